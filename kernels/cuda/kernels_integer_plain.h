// The same products code by code, and the sum of what was split.
#pragma once

#include "kernels/cuda/kernels_integer.h"

// ---- Plain: code by code ----
//
// A warp computes one output. The definition, on any device; sums of two-level grids have 64 bits.

enum { PLAIN_WARPS = 4 };

DEVICE int32_t activation_code(const IntegerArguments *a, int plane, int token, int padded) {
    size_t at = activation_offset(&a->layout, a->planes, plane, token, padded / 4 * 4) + (size_t)(padded % 4);
    return (int8_t)a->x[at];
}

DEVICE void plain_segment(const IntegerArguments *a, int row, int token, int from, int end, int32_t *s, int32_t *x) {
    UNROLL for (int p = 0; p < 3; p++) s[p] = x[p] = 0;
    for (int padded = from + (int)threadIdx.x % WARP; padded < end; padded += WARP) {
        int code = packed_code(&a->layout, a->codes, row, padded);
        for (int p = 0; p < a->planes; p++) {
            int32_t value = activation_code(a, p, token, padded);
            s[p] += code * value;
            x[p] += value;
        }
    }
    UNROLL for (int p = 0; p < 3; p++) s[p] = warp_sum_int(s[p]), x[p] = warp_sum_int(x[p]);
}

KERNEL(integer_plain_kernel, PLAIN_WARPS *WARP, IntegerArguments) {
    const IntegerLayout *l = &a.layout;
    const int row = (int)blockIdx.x * PLAIN_WARPS + (int)threadIdx.x / WARP, token = (int)blockIdx.y;
    const int segments = segment_count(l, a.planes), per_group = a.planes == 1 ? 1 : l->group_segments;
    float total = 0;
    long long whole = 0;
    if (row >= l->out) return;
    for (int segment = 0; segment < segments; segment++) {
        int32_t s[3], x[3];
        int group = segment / per_group, from = group * l->group_columns + segment % per_group * STEP_COLUMNS;
        int end = (group + 1) * l->group_columns;
        if (a.planes == 3 && end > from + STEP_COLUMNS) end = from + STEP_COLUMNS;
        plain_segment(&a, row, token, from, end, s, x);
        SegmentScale scale = scale_of_row(&a, row, group);
        if (a.planes == 3) scale.activation = a.x_scales[(size_t)segment * padded_tokens(&a) + token];
        if (a.planes == 1 && a.factors)
            whole += (long long)scale.factor * s[0];
        else if (a.planes == 1)
            total = with_segment(1, &a, &scale, s, x, total);
        else
            total = with_segment(3, &a, &scale, s, x, total);
    }
    if (a.planes == 1) {
        if (a.factors) total = ((const float *)a.scales)[row] * (float)whole;
        total *= a.x_scales[token];
    }
    if (threadIdx.x % WARP == 0) a.y[(size_t)token * l->out + row] = a.bias ? total + a.bias[row] : total;
}

// ---- Sum of the splits ----

KERNEL(reduce_kernel, FLAT_THREADS, ReduceArguments) {
    const size_t n = (size_t)a.tokens * a.out;
    for (size_t i = FLAT_INDEX; i < n; i += FLAT_STRIDE) {
        float y = 0;
        for (int s = 0; s < a.splits; s++) y += a.parts[(size_t)s * n + i];
        a.y[i] = a.bias ? y + a.bias[i % a.out] : y;
    }
}

static int launch_integer_plain(void *stream, const IntegerArguments *a) {
    const Extent grid = extent((size_t)(a->layout.out + PLAIN_WARPS - 1) / PLAIN_WARPS, a->tokens, 1);
    return LAUNCH(integer_plain_kernel, grid, PLAIN_WARPS * WARP, 0, stream, a);
}

static int launch_reduce(void *stream, const ReduceArguments *a) {
    return LAUNCH(reduce_kernel, flat_extent((size_t)a->tokens * a->out), FLAT_THREADS, 0, stream, a);
}
