// A norm or an activation function together with the rounding of what it gives: one launch, and the row is still near.
// y is written, too, for other readers, and the codes are those of y as it was written.
#pragma once

#include "kernels/cuda/kernels_activations.h"
#include "kernels/cuda/kernels_between.h"

// ---- Plain layouts: the row stays in registers ----

// Quads of an activation function's result, which are stored.
DEVICE void activate_quad(const FusedArguments *a, int token, int quad, float *v) {
    const size_t at = (size_t)token * a->activations.layout.in + quad * 4;
    UNROLL for (int j = 0; j < 4; j++) v[j] = 0;
    if (quad * 4 >= a->activations.layout.in) return;
    activated_four(&a->elementwise, at, v);
    store_four(true, a->elementwise.y + at, v);
}

DEVICE void elementwise_quad(const int planes, const FusedArguments *a) {
    const int quad = (int)(blockIdx.x * QUAD_THREADS + threadIdx.x);
    float v[4];
    if (quad >= quads_of(&a->activations.layout)) return;
    activate_quad(a, (int)blockIdx.y, quad, v);
    split_quad(planes, &a->activations, (int)blockIdx.y, quad, v);
}

KERNEL(elementwise_codes_1, MOST_ROW_THREADS, FusedArguments) {
    SHARED(float, scratch, WARP);
    RowQuads row;
    UNROLL for (int k = 0; k < ROW_QUADS; k++)
        activate_quad(&a, (int)blockIdx.x, (int)threadIdx.x + k * (int)blockDim.x, row[k]);
    row_codes(1, ROW_QUADS, &a.activations, (int)blockIdx.x, row, scratch);
}
KERNEL(elementwise_codes_2, QUAD_THREADS, FusedArguments) { elementwise_quad(2, &a); }
KERNEL(elementwise_codes_3, QUAD_THREADS, FusedArguments) { elementwise_quad(3, &a); }

#define RMS_NORM_CODES_KERNEL(PLANES, QUADS)                                      \
    KERNEL(rms_norm_codes_##PLANES##_##QUADS, MOST_ROW_THREADS, FusedArguments) { \
        SHARED(float, scratch, WARP);                                             \
        RowQuads row;                                                             \
        rms_norm_quads(QUADS, true, &a.norm, blockIdx.x, scratch, row);           \
        row_codes(PLANES, QUADS, &a.activations, (int)blockIdx.x, row, scratch);  \
    }
#define NORM_CODES_KERNELS(PLANES)                                                   \
    RMS_NORM_CODES_KERNEL(PLANES, 1)                                                 \
    RMS_NORM_CODES_KERNEL(PLANES, 2)                                                 \
    RMS_NORM_CODES_KERNEL(PLANES, 4)                                                 \
    KERNEL(layer_norm_codes_##PLANES, MOST_ROW_THREADS, FusedArguments) {            \
        SHARED(double, wide, WARP);                                                  \
        SHARED(float, scratch, WARP);                                                \
        RowQuads row;                                                                \
        layer_norm_row(&a.norm, blockIdx.x, wide);                                   \
        __syncthreads();                                                             \
        load_row(&a.activations, (int)blockIdx.x, row);                              \
        row_codes(PLANES, ROW_QUADS, &a.activations, (int)blockIdx.x, row, scratch); \
    }
NORM_CODES_KERNELS(1)
NORM_CODES_KERNELS(2)
NORM_CODES_KERNELS(3)

// ---- Any layout: a block takes a token ----

KERNEL(rms_norm_codes_kernel, MOST_ROW_THREADS, FusedArguments) {
    SHARED(float, scratch, WARP);
    rms_norm_row(&a.norm, blockIdx.x, scratch);
    __syncthreads();
    token_codes(&a.activations, (int)blockIdx.x, scratch);
}

KERNEL(layer_norm_codes_kernel, MOST_ROW_THREADS, FusedArguments) {
    SHARED(double, wide, WARP);
    SHARED(float, scratch, WARP);
    layer_norm_row(&a.norm, blockIdx.x, wide);
    __syncthreads();
    token_codes(&a.activations, (int)blockIdx.x, scratch);
}

KERNEL(elementwise_codes_kernel, MOST_ROW_THREADS, FusedArguments) {
    SHARED(float, scratch, WARP);
    const size_t width = (size_t)a.activations.layout.in, row = blockIdx.x * width;
    for (size_t i = threadIdx.x; i < width; i += blockDim.x)
        a.elementwise.y[row + i] = elementwise(&a.elementwise, row + i);
    __syncthreads();
    token_codes(&a.activations, (int)blockIdx.x, scratch);
}

// Whether rows can be read 16 bytes at a time.
static bool fused_is_aligned(const FusedArguments *a) {
    const ElementwiseArguments *e = &a->elementwise;
    return a->norm.rows ? norm_is_aligned(&a->norm) : is_aligned(e->x) && is_aligned(e->other) && is_aligned(e->y);
}

static int launch_fused_quads(void *stream, const FusedArguments *a) {
    const int width = a->activations.layout.in, tokens = a->activations.tokens, planes = a->activations.planes;
    const Extent rows = extent(tokens, 1, 1), quads = extent(quad_blocks(&a->activations.layout), tokens, 1);
    const unsigned threads = quad_threads(width);
    if (a->norm.rows && a->norm.bias)
        return planes == 1   ? LAUNCH(layer_norm_codes_1, rows, row_threads(width), 0, stream, a)
               : planes == 2 ? LAUNCH(layer_norm_codes_2, rows, row_threads(width), 0, stream, a)
                             : LAUNCH(layer_norm_codes_3, rows, row_threads(width), 0, stream, a);
    if (a->norm.rows)
        return planes == 1   ? LAUNCH_QUADS(rms_norm_codes_1, width, rows, threads)
               : planes == 2 ? LAUNCH_QUADS(rms_norm_codes_2, width, rows, threads)
                             : LAUNCH_QUADS(rms_norm_codes_3, width, rows, threads);
    return planes == 1   ? LAUNCH(elementwise_codes_1, rows, threads, 0, stream, a)
           : planes == 2 ? LAUNCH(elementwise_codes_2, quads, QUAD_THREADS, 0, stream, a)
                         : LAUNCH(elementwise_codes_3, quads, QUAD_THREADS, 0, stream, a);
}

static int launch_fused(void *stream, const FusedArguments *wanted) {
    FusedArguments own = *wanted, *a = &own;
    const bool quads = place_activations(&a->activations);
    const int width = a->activations.layout.in;
    const Extent rows = extent(a->activations.tokens, 1, 1);
    if (quads && fused_is_aligned(a)) return launch_fused_quads(stream, a);
    if (a->norm.rows == 0) return LAUNCH(elementwise_codes_kernel, rows, row_threads(width), 0, stream, a);
    if (a->norm.bias) return LAUNCH(layer_norm_codes_kernel, rows, row_threads(width), 0, stream, a);
    return LAUNCH(rms_norm_codes_kernel, rows, norm_threads(width), 0, stream, a);
}
