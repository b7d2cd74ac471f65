#include "kernels/cpu/wide.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"

bool wide_knows(Grid grid, int bits) { return !grid_table[grid].powers || bits < 8; }

static int16_t level_of(const QuantizedWeight *w, size_t at, int8_t code) {
    if (w->zeros) return (int16_t)(code - w->zeros[at]);
    if (!grid_table[w->grid].powers || code == 0) return code;
    return (int16_t)(code > 0 ? 1 << (code - 1) : -(1 << (-code - 1)));
}

static void fill_row(const QuantizedWeight *w, Wide *p, size_t o) {
    for (size_t i = 0; i < p->in; i++) {
        size_t at = o * p->in + i;
        p->levels[at] = level_of(w, o * p->groups + i / p->group, w->codes[at]);
    }
}

static void fill_scales(const QuantizedWeight *w, Wide *p, size_t count) {
    // The smallest number of a grid of powers is one step.
    int exponent = grid_table[w->grid].powers ? 2 - (1 << (w->bits - 1)) : 0;
    for (size_t i = 0; i < count; i++) p->scales[i] = ldexpf(w->scales[i], exponent);
}

bool wide_new(const QuantizedWeight *w, Wide *wide, Error *err) {
    *wide = (Wide){.out = w->out, .in = w->in, .group = w->group, .groups = group_count(w->in, w->group)};
    size_t groups = w->out * wide->groups, scales = w->factors ? w->out : groups;
    wide->levels = array_new(w->out * w->in, sizeof *wide->levels);
    wide->scales = array_new(scales, sizeof *wide->scales);
    if (w->factors) wide->factors = array_new(groups, sizeof *wide->factors);
    if (!wide->levels || !wide->scales || (w->factors && !wide->factors)) {
        wide_free(wide);
        return error_memory(err, "quantized weights");
    }
    for (size_t o = 0; o < w->out; o++) fill_row(w, wide, o);
    fill_scales(w, wide, scales);
    if (w->factors) memcpy(wide->factors, w->factors, groups);
    return true;
}

void wide_free(Wide *wide) {
    free(wide->levels);
    free(wide->scales);
    free(wide->factors);
    *wide = (Wide){0};
}

size_t wide_bytes(const Wide *wide) {
    size_t groups = wide->out * wide->groups;
    return wide->out * wide->in * sizeof *wide->levels +
           (wide->factors ? groups + wide->out * sizeof(float) : groups * sizeof(float));
}

// A group may be longer than what fits a sum of 32 bits.
static int64_t group_sum(const HostKernels *kernels, const int16_t *levels, const int8_t *codes, size_t n) {
    int64_t sum = 0;
    for (size_t i = 0; i < n; i += LEVELS_AT_ONCE)
        sum += kernels->dot_levels(levels + i, codes + i, n - i < LEVELS_AT_ONCE ? n - i : LEVELS_AT_ONCE);
    return sum;
}

// Σ_g s_g · Σ q_w q_x of one row; two-level: s · Σ_g f_g · Σ q_w q_x.
static float row_product(const HostKernels *kernels, const Wide *w, size_t o, const int8_t *codes) {
    float total = 0;
    int64_t whole = 0;
    for (size_t g = 0; g < w->groups; g++) {
        size_t first = g * w->group, n = w->in - first < w->group ? w->in - first : w->group;
        int64_t sum = group_sum(kernels, w->levels + o * w->in + first, codes + first, n);
        if (w->factors)
            whole += w->factors[o * w->groups + g] * sum;
        else
            total += w->scales[o * w->groups + g] * (float)sum;
    }
    return w->factors ? w->scales[o] * (float)whole : total;
}

void wide_product(const HostKernels *kernels, const Wide *w, const float *bias, const int8_t *codes,
                  const float *scales, size_t tokens, float *y, size_t first, size_t end) {
    for (size_t o = first; o < end; o++) {
        for (size_t t = 0; t < tokens; t++) {
            float sum = row_product(kernels, w, o, codes + t * w->in) * scales[t];
            y[t * w->out + o] = bias ? sum + bias[o] : sum;
        }
    }
}
