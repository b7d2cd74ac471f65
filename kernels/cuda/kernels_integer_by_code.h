// The same products code by code, and the sum of what was split.
#pragma once

#include "kernels/cuda/kernels_integer.h"

// ---- Code by code ----
//
// A warp computes one output of the launch's only weight. The definition, on any device; sums of two-level grids have
// 64 bits.

enum { BY_CODE_WARPS = 4 };

DEVICE int32_t activation_code(const IntegerArguments *a, int plane, int token, int padded) {
    size_t at =
        activation_offset(&a->layout, a->planes, a->tokens, plane, token, padded / 4 * 4) + (size_t)(padded % 4);
    return (int8_t)a->x[at];
}

DEVICE void by_code_run(const IntegerArguments *a, int row, int token, int plane, int from, int end, int32_t *s,
                        int32_t *x) {
    const uint8_t *codes = a->each[0].rows.codes;
    *s = *x = 0;
    for (int padded = from + (int)threadIdx.x % WARP; padded < end; padded += WARP) {
        const int value = activation_code(a, plane, token, padded);
        *s += packed_code(&a->layout, codes, row, padded) * value;
        *x += value;
    }
    *s = warp_sum_int(*s);
    if (a->levels == ZERO_POINTS) *x = warp_sum_int(*x); // nothing else asks for it
}

KERNEL(integer_by_code_kernel, BY_CODE_WARPS *WARP, IntegerArguments) {
    const IntegerLayout *l = &a.layout;
    const IntegerRows *w = &a.each[0].rows;
    const int row = (int)blockIdx.x * BY_CODE_WARPS + (int)threadIdx.x / WARP, token = (int)blockIdx.y;
    const int levels = a.levels, segments = segment_count(l, a.planes), out = a.each[0].out;
    float total = 0;
    long long whole = 0;
    if (row >= out) return;
    for (int segment = 0; segment < segments; segment++) {
        const Segment place = segment_at(l, a.planes, segment);
        if (place.from == place.end) continue;
        const size_t at = scale_index(l, row, place.group);
        const int level = levels == NO_LEVELS ? 0 : w->levels[at];
        const float scale = levels == FACTORS ? 0 : element_at(a.scale_dtype, w->scales, at);
        for (int plane = 0; plane < a.planes; plane++) {
            int32_t s, x;
            by_code_run(&a, row, token, plane, place.from, place.end, &s, &x);
            if (a.planes > 1)
                total = with_segment(levels,
                                     scale * a.x_scales[(size_t)segment * padded_tokens(a.tokens) + token] *
                                         plane_factor(3, plane + 3 - a.planes),
                                     level, s, x, total);
            else if (levels == FACTORS)
                whole += (long long)level * s;
            else
                total += group_term(levels, scale, level, s, x);
        }
    }
    if (a.planes == 1) {
        if (levels == FACTORS) total = ((const float *)w->scales)[row] * (float)whole;
        total *= a.x_scales[token];
    }
    if (threadIdx.x % WARP == 0) a.each[0].y[(size_t)token * out + row] = w->bias ? total + w->bias[row] : total;
}

// ---- Sum of the splits ----

KERNEL(reduce_kernel, FLAT_THREADS, ReduceArguments) {
    const ReduceOutputs *to = &a.each[blockIdx.y];
    const size_t n = (size_t)a.tokens * to->out;
    for (size_t i = FLAT_INDEX; i < n; i += FLAT_STRIDE) {
        float y = 0;
        for (int s = 0; s < a.splits; s++) y += to->parts[(size_t)s * n + i];
        to->y[i] = to->bias ? y + to->bias[i % to->out] : y;
    }
}

static int launch_integer_by_code(void *stream, const IntegerArguments *a) {
    const Extent grid = extent((size_t)(a->each[0].out + BY_CODE_WARPS - 1) / BY_CODE_WARPS, a->tokens, 1);
    return LAUNCH(integer_by_code_kernel, grid, BY_CODE_WARPS * WARP, 0, stream, a);
}

static int launch_reduce(void *stream, const ReduceArguments *a) {
    int most = 0;
    for (int i = 0; i < a->weights; i++) most = a->each[i].out > most ? a->each[i].out : most;
    Extent grid = flat_extent((size_t)a->tokens * (size_t)most);
    grid.y = (unsigned)a->weights;
    return LAUNCH(reduce_kernel, grid, FLAT_THREADS, 0, stream, a);
}
