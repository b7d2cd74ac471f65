// A norm or an activation function together with the rounding of what it gives: one launch, and the row is still near.
// y is written, too, for other readers, and the codes are those of y as it was written.
#pragma once

#include "kernels/cuda/kernels_activations.h"
#include "kernels/cuda/kernels_between.h"

// A block takes a token.
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

static int launch_fused(void *stream, const FusedArguments *a) {
    const Extent grid = extent(a->activations.tokens, 1, 1);
    const unsigned threads = row_threads(a->activations.layout.in);
    if (a->norm.rows == 0) return LAUNCH(elementwise_codes_kernel, grid, threads, 0, stream, a);
    if (a->norm.bias) return LAUNCH(layer_norm_codes_kernel, grid, threads, 0, stream, a);
    return LAUNCH(rms_norm_codes_kernel, grid, threads, 0, stream, a);
}
