// All kernels but the products of integers on tensor cores and those of many tokens in rows. These take long to
// compile, so nvcc meets them in translation units of their own (kernels_integer_bits.h, kernels_many.h). Each unit
// fills in its launches.
#pragma once

#include "kernels/cuda/kernels_attention_tiles.h"
#include "kernels/cuda/kernels_dense.h"
#include "kernels/cuda/kernels_experts.h"
#include "kernels/cuda/kernels_fused.h"
#include "kernels/cuda/kernels_integer_by_code.h"
#include "kernels/cuda/kernels_quantize.h"
#include "kernels/cuda/kernels_recurrence.h"
#include "kernels/cuda/kernels_sampling.h"

static void fill_launches(CudaLaunches *l) {
    l->widen = launch_widen;
    l->norm = launch_norm;
    l->elementwise = launch_elementwise;
    l->rope = launch_rope;
    l->copy = launch_copy;
    l->place = launch_place;
    l->gather = launch_gather;
    l->scatter_add = launch_scatter_add;
    l->choose = launch_choose;
    l->dense_few = launch_dense_few;
    l->dense_tiled = launch_dense_tiled;
    l->narrow = launch_narrow;
    l->add_bias = launch_add_bias;
    l->activations = launch_activations;
    l->fused = launch_fused;
    l->channel_scales = launch_channel_scales;
    l->round = launch_round;
    l->integer_by_code = launch_integer_by_code;
    l->reduce = launch_reduce;
    l->route = launch_route;
    l->mix = launch_mix;
    l->gated_add = launch_gated_add;
    l->cache_write = launch_cache_write;
    l->cache_follow = launch_cache_follow;
    l->rope_write = launch_rope_write;
    l->attention = launch_attention;
    l->attention_tiles = launch_attention_tiles;
    l->convolve = launch_convolve;
    l->recur = launch_recur;
    l->quantize = launch_quantize;
    l->pack = launch_pack;
    l->measure = launch_measure;
}
