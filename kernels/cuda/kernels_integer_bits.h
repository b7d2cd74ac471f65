// The tensor-core products for every number of bits.
#pragma once

#include "kernels/cuda/kernels_integer.h"

INTEGER_KERNELS(2)
INTEGER_KERNELS(3)
INTEGER_KERNELS(4)
INTEGER_KERNELS(8)

LAUNCH_BY_BITS(launch_integer_few, launch_few)
LAUNCH_BY_BITS(launch_integer_tiled, launch_tiled)

static void fill_integer_launches(CudaLaunches *l) {
    l->integer_few = launch_integer_few;
    l->integer_tiled = launch_integer_tiled;
}
