#include "kernels/quantized.h"

#include <assert.h>
#include <float.h>
#include <math.h>
#include <stdlib.h>

#include "base/array.h"

const char *const grid_names[GRID_COUNT + 1] = {
    [GRID_SYMMETRIC] = "symmetric",
    [GRID_ASYMMETRIC] = "asymmetric",
    [GRID_LOG2] = "log2",
    [GRID_TWO_LEVEL] = "two-level",
};

const GridInfo grid_table[GRID_COUNT] = {
    [GRID_SYMMETRIC] = {0},
    [GRID_ASYMMETRIC] = {.zeros = true},
    [GRID_LOG2] = {.powers = true},
    [GRID_TWO_LEVEL] = {.factors = true},
};

bool quantized_weight_new(size_t out, size_t in, size_t group, int bits, DType scale_dtype, QuantizedWeight *w,
                          Error *err) {
    return quantized_weight_on_grid(GRID_SYMMETRIC, out, in, group, bits, scale_dtype, w, err);
}

bool quantized_weight_on_grid(Grid grid, size_t out, size_t in, size_t group, int bits, DType scale_dtype,
                              QuantizedWeight *w, Error *err) {
    *w =
        (QuantizedWeight){.out = out, .in = in, .group = group, .bits = bits, .scale_dtype = scale_dtype, .grid = grid};
    assert((unsigned)grid < GRID_COUNT);
    const GridInfo *info = &grid_table[grid];
    size_t elements, groups;
    if (group == 0) return error_set(err, "a group of 0 weights was asked for");
    if (__builtin_mul_overflow(out, in, &elements) || __builtin_mul_overflow(out, group_count(in, group), &groups))
        return error_set(err, "a matrix of %zu × %zu is too large", out, in);
    w->codes = array_new(elements, sizeof *w->codes);
    w->scales = array_new(info->factors ? out : groups, sizeof *w->scales);
    if (info->zeros) w->zeros = array_new(groups, sizeof *w->zeros);
    if (info->factors) w->factors = array_new(groups, sizeof *w->factors);
    bool all = w->codes && w->scales && (w->zeros || !info->zeros) && (w->factors || !info->factors);
    if (all) return true;
    quantized_weight_free(w);
    return error_memory(err, "quantized weights");
}

void quantized_weight_free(QuantizedWeight *w) {
    free(w->codes);
    free(w->scales);
    free(w->zeros);
    free(w->factors);
    *w = (QuantizedWeight){0};
}

static float power_value(int code, int qmax, float scale) {
    if (code == 0) return 0;
    float value = ldexpf(scale, abs(code) - qmax);
    return code < 0 ? -value : value;
}

void quantized_values(const QuantizedWeight *w, size_t o, size_t g, const int8_t *codes, size_t n, float *values) {
    const GridInfo *info = &grid_table[w->grid];
    const size_t at = o * group_count(w->in, w->group) + g;
    assert(g < group_count(w->in, w->group) && n <= w->group);
    const float scale = w->scales[info->factors ? o : at];
    const int qmax = (1 << (w->bits - 1)) - 1;
    const int zero = w->zeros ? w->zeros[at] : 0, factor = w->factors ? w->factors[at] : 1;
    if (info->powers) {
        for (size_t j = 0; j < n; j++) values[j] = power_value(codes[j], qmax, scale);
    } else {
        for (size_t j = 0; j < n; j++) values[j] = (float)((codes[j] - zero) * factor) * scale;
    }
}

void quantized_row(const QuantizedWeight *w, size_t o, float *row) {
    for (size_t g = 0, first = 0; first < w->in; g++, first += w->group) {
        size_t n = w->in - first < w->group ? w->in - first : w->group;
        quantized_values(w, o, g, w->codes + o * w->in + first, n, row + first);
    }
}

// ---- Scales ----

static float largest_of(DType dtype) {
    return dtype == DTYPE_F16 ? 65504 : dtype == DTYPE_BF16 ? 0x1.FEp127f : FLT_MAX;
}
static float smallest_of(DType dtype) {
    return dtype == DTYPE_F16 ? 0x1p-24f : dtype == DTYPE_BF16 ? 0x1p-133f : FLT_TRUE_MIN;
}

float scale_of(float range, float steps, DType dtype) {
    if (range == 0) return 1;
    float scale = float_rounded(dtype, range / steps);
    if (!(scale > 0)) return smallest_of(dtype);
    return isfinite(scale) ? scale : largest_of(dtype);
}

// ---- What products take ----

// int32 sums of 255 · 127 per weight may pass through 2^32 but must end within 127 · 127 · in < 2^31.
enum { LARGEST_INTEGER_INPUT = 131072 };

bool quantized_can_multiply(const QuantizedWeight *q, const ActivationScheme *scheme, Error *err) {
    if (q->bits != 2 && q->bits != 3 && q->bits != 4 && q->bits != 8)
        return error_set(err, "weights of %d bits cannot be multiplied; 2, 3, 4 and 8 bits can", q->bits);
    if (q->group == 0 || q->group > q->in)
        return error_set(err, "a group of %zu among %zu inputs is not valid", q->group, q->in);
    if (!dtype_is_float16_or_32(q->scale_dtype))
        return error_set(err, "scales of type %s are not known; F16, BF16 and F32 are", dtype_name(q->scale_dtype));
    if ((unsigned)q->grid >= GRID_COUNT || (grid_table[q->grid].zeros && !q->zeros) ||
        (grid_table[q->grid].factors && !q->factors))
        return error_set(err, "weights on grid %d cannot be multiplied", (int)q->grid);
    if (!activation_is_integer(scheme->mode)) return true;
    if (q->in > LARGEST_INTEGER_INPUT)
        return error_set(err, "%zu inputs are too many for sums in 32 bits; keep the activations in floating point",
                         q->in);
    if (scheme->mode == ACTIVATION_STATIC && !(isfinite(scheme->scale) && scheme->scale >= 0x1p-126f))
        return error_set(err, "the activation scale %g is not a positive number", (double)scheme->scale);
    return true;
}

bool quantized_not_finite(size_t row, bool equalized, Error *err) {
    return error_set(err, "row %zu holds a value that is not finite%s; leave the linear out with \"ignore\"", row,
                     equalized ? " (after equalization)" : "");
}
