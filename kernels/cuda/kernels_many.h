// Products of many tokens in rows of activations: all that a translation unit of nvcc takes.
#pragma once

#include "kernels/cuda/kernels_f16.h"
#include "kernels/cuda/kernels_int8.h"

static void fill_many_launches(CudaLaunches *l) {
    l->f16_activations = launch_f16_activations;
    l->row_powers = launch_row_powers;
    l->f16_product = launch_f16_product;
    l->f16_by_warpgroups = launch_f16_by_warpgroups;
    l->int8_by_warpgroups = launch_int8_by_warpgroups;
    l->reduce_whole = launch_reduce_whole;
}
