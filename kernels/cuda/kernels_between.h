// What a transformer does between linears. One thread an element, one block a row; nothing here takes long beside the
// products. Formulas as in kernels/cpu/between.c.
#pragma once

#include "kernels/cuda/kernels_common.h"

KERNEL(widen_kernel, FLAT_THREADS, WidenArguments) {
    for (size_t i = FLAT_INDEX; i < a.n; i += FLAT_STRIDE) a.y[i] = element_at(a.dtype, a.source, i);
}

// ---- Norms ----

// x += added. A thread reads what it wrote itself, here and below.
DEVICE void add_to_row(const NormArguments *a, size_t row) {
    float *x = a->x + row * a->width;
    if (!a->added) return;
    for (int i = threadIdx.x; i < a->width; i += (int)blockDim.x) x[i] += a->added[row * a->width + i];
}

DEVICE float norm_factor(const NormArguments *a, float squares, float *scratch) {
    return 1 / sqrtf(block_sum(squares, scratch) / (float)a->width + a->eps);
}

// One row of quads by the whole block, `count` of them for each thread, which may go on with the result
// (kernels_fused.h). Zeros stand behind its end.
DEVICE void rms_norm_quads(const int count, const bool aligned, const NormArguments *a, size_t row, float *scratch,
                           RowQuads y) {
    const int quads = a->width / 4, threads = (int)blockDim.x;
    const size_t begin = row * a->width;
    float *x = a->x + begin, squares = 0;
    RowQuads gain, added;
    UNROLL for (int k = 0; k < count; k++) {
        const int quad = (int)threadIdx.x + k * threads;
        UNROLL for (int j = 0; j < 4; j++) y[k][j] = gain[k][j] = added[k][j] = 0;
        if (quad >= quads) continue;
        load_four(aligned, x + quad * 4, y[k]);
        if (a->added) load_four(aligned, a->added + begin + quad * 4, added[k]);
        load_four(aligned, a->gain + quad * 4, gain[k]);
    }
    UNROLL for (int k = 0; k < count; k++) {
        const int quad = (int)threadIdx.x + k * threads;
        if (a->added) {
            UNROLL for (int j = 0; j < 4; j++) y[k][j] += added[k][j];
            if (quad < quads) store_four(aligned, x + quad * 4, y[k]);
        }
        UNROLL for (int j = 0; j < 4; j++) squares = fmaf(y[k][j], y[k][j], squares);
    }
    const float factor = norm_factor(a, squares, scratch);
    UNROLL for (int k = 0; k < count; k++) {
        const int quad = (int)threadIdx.x + k * threads;
        UNROLL for (int j = 0; j < 4; j++) y[k][j] = y[k][j] * factor * gain[k][j];
        if (quad < quads) store_four(aligned, a->y + begin + quad * 4, y[k]);
    }
}
static bool norm_is_aligned(const NormArguments *a) {
    return is_aligned(a->x) && is_aligned(a->added) && is_aligned(a->gain) && is_aligned(a->y);
}

// Any row by the whole block. The order of sums depends on its width alone.
DEVICE void rms_norm_row(const NormArguments *a, size_t row, float *scratch) {
    const int step = (int)blockDim.x;
    const float *x = a->x + row * a->width;
    float *y = a->y + row * a->width, squares = 0;
    if (is_row_of_quads(a->width)) {
        RowQuads quads;
        rms_norm_quads(ROW_QUADS, false, a, row, scratch, quads);
        return;
    }
    add_to_row(a, row);
    for (int i = threadIdx.x; i < a->width; i += step) squares = fmaf(x[i], x[i], squares);
    const float factor = norm_factor(a, squares, scratch);
    for (int i = threadIdx.x; i < a->width; i += step) y[i] = x[i] * factor * a->gain[i];
}
static unsigned norm_threads(int width) { return is_row_of_quads(width) ? quad_threads(width) : row_threads(width); }

// Of a row, by the whole block.
DEVICE double row_mean(const float *x, int width, double *scratch) {
    double sum = 0;
    for (int i = threadIdx.x; i < width; i += (int)blockDim.x) sum += (double)x[i];
    return block_sum_double(sum, scratch) / width;
}
DEVICE double mean_of_squares(const float *x, int width, double middle, double *scratch) {
    double sum = 0;
    for (int i = threadIdx.x; i < width; i += (int)blockDim.x) sum += ((double)x[i] - middle) * ((double)x[i] - middle);
    return block_sum_double(sum, scratch) / width;
}

DEVICE void layer_norm_row(const NormArguments *a, size_t row, double *scratch) {
    const float *x = a->x + row * a->width;
    const size_t own = row % a->gains * a->width;
    const float *gain = a->gain + own, *bias = a->bias + own;
    float *y = a->y + row * a->width;
    add_to_row(a, row);
    const double mean = row_mean(x, a->width, scratch), squares = mean_of_squares(x, a->width, mean, scratch);
    const float middle = (float)mean, factor = (float)(1 / sqrt(squares + (double)a->eps));
    for (int i = threadIdx.x; i < a->width; i += (int)blockDim.x) y[i] = (x[i] - middle) * factor * gain[i] + bias[i];
}

KERNEL(rms_norm_kernel, MOST_ROW_THREADS, NormArguments) {
    SHARED(float, scratch, WARP);
    rms_norm_row(&a, blockIdx.x, scratch);
}

#define RMS_NORM_KERNEL(QUADS)                                     \
    KERNEL(rms_norm_##QUADS, MOST_ROW_THREADS, NormArguments) {    \
        SHARED(float, scratch, WARP);                              \
        RowQuads row;                                              \
        rms_norm_quads(QUADS, true, &a, blockIdx.x, scratch, row); \
    }
RMS_NORM_KERNEL(1)
RMS_NORM_KERNEL(2)
RMS_NORM_KERNEL(4)
// One of a row of so many quads for each thread.
#define LAUNCH_QUADS(NAME, WIDTH, GRID, THREADS)                                   \
    (quads_of_thread(WIDTH) == 1   ? LAUNCH(NAME##_1, GRID, THREADS, 0, stream, a) \
     : quads_of_thread(WIDTH) == 2 ? LAUNCH(NAME##_2, GRID, THREADS, 0, stream, a) \
                                   : LAUNCH(NAME##_4, GRID, THREADS, 0, stream, a))

KERNEL(layer_norm_kernel, MOST_ROW_THREADS, NormArguments) {
    SHARED(double, scratch, WARP);
    layer_norm_row(&a, blockIdx.x, scratch);
}

// ---- Element by element ----

DEVICE float activated(Nonlinearity f, float x) {
    const float half_root = 0.70710678118654752440f, root = 0.79788456080286535588f; // √½, √(2/π)
    switch (f) {
    case NONLINEARITY_SWIGLU_OAI:
        x = x > SWIGLU_OAI_LIMIT ? SWIGLU_OAI_LIMIT : x;
        return x / (1 + expf(-SWIGLU_OAI_ALPHA * x));
    case NONLINEARITY_SILU:
    case NONLINEARITY_COUNT: break;
    case NONLINEARITY_GELU: return 0.5f * x * (1 + erff(x * half_root));
    case NONLINEARITY_GELU_TANH: return 0.5f * x * (1 + tanhf(root * (x + 0.044715f * x * x * x)));
    case NONLINEARITY_RELU: return x < 0 ? 0 : x; // NaN stays NaN
    case NONLINEARITY_RELU_SQUARED: return x < 0 ? 0 : x * x;
    case NONLINEARITY_SIGMOID: return 1 / (1 + expf(-x));
    case NONLINEARITY_NONE: return x;
    }
    return x / (1 + expf(-x));
}

// NaN stays NaN.
DEVICE float held_within(float x, float limit) { return x > limit ? limit : x < -limit ? -limit : x; }

// What f(x) is multiplied by; NaN stays NaN.
DEVICE float factor_of(Nonlinearity f, float up) {
    if (f != NONLINEARITY_SWIGLU_OAI) return up;
    return held_within(up, SWIGLU_OAI_LIMIT) + 1;
}

DEVICE float xielu(const Xielu *f, float x) {
    return x > 0 ? (f->positive * x + f->linear) * x : f->negative * (expm1f(x) - x) + f->linear * x;
}

DEVICE float elementwise(const ElementwiseArguments *a, size_t i) {
    switch ((Elementwise)a->what) {
    case ELEMENTWISE_ADD: return a->x[i] + a->other[i];
    case ELEMENTWISE_SCALE: return a->x[i] * a->number;
    case ELEMENTWISE_CLEAR: return 0;
    case ELEMENTWISE_SOFTCAP: return a->number * tanhf(a->x[i] / a->number);
    case ELEMENTWISE_CLAMP: return held_within(a->x[i], a->number);
    case ELEMENTWISE_XIELU: return xielu(&a->xielu, a->x[i]);
    case ELEMENTWISE_ACTIVATE: break;
    }
    const Nonlinearity f = (Nonlinearity)a->nonlinearity;
    float value = activated(f, a->x[i]);
    return a->other ? value * factor_of(f, a->other[i]) : value;
}

// Four of ELEMENTWISE_ACTIVATE; aligned.
DEVICE void activated_four(const ElementwiseArguments *a, size_t i, float *v) {
    const Nonlinearity f = (Nonlinearity)a->nonlinearity;
    float x[4], other[4];
    UNROLL for (int j = 0; j < 4; j++) other[j] = 0;
    load_four(true, a->x + i, x);
    if (a->other) load_four(true, a->other + i, other);
    if (f == NONLINEARITY_SILU) {
        UNROLL for (int j = 0; j < 4; j++) v[j] = activated(NONLINEARITY_SILU, x[j]);
    } else {
        UNROLL for (int j = 0; j < 4; j++) v[j] = activated(f, x[j]);
    }
    if (!a->other) return;
    UNROLL for (int j = 0; j < 4; j++) v[j] *= factor_of(f, other[j]);
}

KERNEL(elementwise_kernel, FLAT_THREADS, ElementwiseArguments) {
    for (size_t i = FLAT_INDEX; i < a.n; i += FLAT_STRIDE) a.y[i] = elementwise(&a, i);
}

// ---- Positions ----

// Pair i of a head, of those of all tokens.
DEVICE void rotate_pair(const RopeArguments *a, int first, size_t head, size_t i) {
    const size_t row = (first + head / a->heads) * a->half + i;
    float *x = a->x + head * a->head_dim + (a->adjacent ? 2 * i : i), *y = x + (a->adjacent ? 1 : a->half);
    const float c = a->cosine[row], s = a->sine[row], low = *x, high = *y;
    *x = low * c - high * s;
    *y = high * c + low * s;
}

// A thread rotates one pair.
KERNEL(rope_kernel, FLAT_THREADS, RopeArguments) {
    const size_t pairs = (size_t)a.tokens * a.heads * a.half;
    const int first = position_of(&a.first);
    for (size_t n = FLAT_INDEX; n < pairs; n += FLAT_STRIDE) rotate_pair(&a, first, n / a.half, n % a.half);
}

// ---- Rows ----

KERNEL(copy_kernel, FLAT_THREADS, CopyArguments) {
    const size_t n = a.rows * a.width;
    for (size_t i = FLAT_INDEX; i < n; i += FLAT_STRIDE) a.y[i] = a.x[i / a.width * a.x_width + a.from + i % a.width];
}

KERNEL(place_kernel, FLAT_THREADS, PlaceArguments) {
    const size_t n = a.rows * a.width;
    for (size_t i = FLAT_INDEX; i < n; i += FLAT_STRIDE) {
        const size_t row = i / a.width, column = i % a.width;
        a.y[row * a.y_width + a.to + column] = a.x ? a.x[row / a.rows_of_one * a.width + column] : 0;
    }
}

KERNEL(gather_kernel, FLAT_THREADS, RowsArguments) {
    const size_t n = (size_t)a.n * a.width;
    for (size_t i = FLAT_INDEX; i < n; i += FLAT_STRIDE)
        a.y[i] = a.x[(size_t)a.rows[i / a.width] * a.width + i % a.width];
}

// A thread owns a column, so rows that come twice are added one after the other.
KERNEL(scatter_add_kernel, FLAT_THREADS, RowsArguments) {
    for (size_t j = FLAT_INDEX; j < (size_t)a.width; j += FLAT_STRIDE)
        for (int i = 0; i < a.n; i++)
            a.y[(size_t)a.rows[i] * a.width + j] += a.factors[i] * a.x[(size_t)i * a.width + j];
}

// ---- Streams of a token ----

KERNEL(blend_add_kernel, FLAT_THREADS, BlendArguments) {
    const size_t plane = (size_t)a.rows * a.width, n = plane * a.to;
    for (size_t i = FLAT_INDEX; i < n; i += FLAT_STRIDE) {
        const size_t at = i % plane, row = at / a.width;
        const float *factors = a.coefficients + (row * a.to + i / plane) * a.from;
        float sum = a.y[i];
        for (int p = 0; p < a.from; p++) sum += factors[p] * a.x[p * plane + at];
        a.y[i] = sum;
    }
}

// A block takes a row. NaN stays NaN.
KERNEL(match_size_kernel, MOST_ROW_THREADS, SizesArguments) {
    SHARED(double, scratch, WARP);
    float *x = a.x + (size_t)blockIdx.x * a.width;
    const float *like = a.like + (size_t)blockIdx.x * a.width;
    const double own = mean_of_squares(x, a.width, 0, scratch), other = mean_of_squares(like, a.width, 0, scratch);
    const float factor = (float)sqrt(other / (own < (double)a.number ? (double)a.number : own));
    for (int i = threadIdx.x; i < a.width; i += (int)blockDim.x) x[i] *= factor;
}

KERNEL(cut_below_kernel, MOST_ROW_THREADS, SizesArguments) {
    SHARED(double, scratch, WARP);
    float *x = a.x + (size_t)blockIdx.x * a.width;
    const double mean = row_mean(x, a.width, scratch), deviation = sqrt(mean_of_squares(x, a.width, mean, scratch));
    const float limit = (float)(mean + (double)a.number * deviation);
    for (int i = threadIdx.x; i < a.width; i += (int)blockDim.x) x[i] = x[i] < limit ? 0 : x[i] - limit;
}

// ---- Launches ----

static int launch_widen(void *stream, const WidenArguments *a) {
    return LAUNCH(widen_kernel, flat_extent(a->n), FLAT_THREADS, 0, stream, a);
}
static int launch_norm(void *stream, const NormArguments *a) {
    const Extent rows = extent(a->rows, 1, 1);
    if (a->bias) return LAUNCH(layer_norm_kernel, rows, row_threads(a->width), 0, stream, a);
    if (is_row_of_quads(a->width) && norm_is_aligned(a))
        return LAUNCH_QUADS(rms_norm, a->width, rows, quad_threads(a->width));
    return LAUNCH(rms_norm_kernel, rows, norm_threads(a->width), 0, stream, a);
}
static int launch_elementwise(void *stream, const ElementwiseArguments *a) {
    return LAUNCH(elementwise_kernel, flat_extent(a->n), FLAT_THREADS, 0, stream, a);
}
static int launch_rope(void *stream, const RopeArguments *a) {
    return LAUNCH(rope_kernel, flat_extent((size_t)a->tokens * a->heads * a->half), FLAT_THREADS, 0, stream, a);
}
static int launch_place(void *stream, const PlaceArguments *a) {
    return LAUNCH(place_kernel, flat_extent(a->rows * a->width), FLAT_THREADS, 0, stream, a);
}

static int launch_copy(void *stream, const CopyArguments *a) {
    return LAUNCH(copy_kernel, flat_extent(a->rows * a->width), FLAT_THREADS, 0, stream, a);
}
static int launch_gather(void *stream, const RowsArguments *a) {
    return LAUNCH(gather_kernel, flat_extent((size_t)a->n * a->width), FLAT_THREADS, 0, stream, a);
}
static int launch_scatter_add(void *stream, const RowsArguments *a) {
    return LAUNCH(scatter_add_kernel, flat_extent((size_t)a->width), FLAT_THREADS, 0, stream, a);
}
static int launch_blend_add(void *stream, const BlendArguments *a) {
    return LAUNCH(blend_add_kernel, flat_extent((size_t)a->to * (size_t)a->rows * a->width), FLAT_THREADS, 0, stream,
                  a);
}
static int launch_sizes(void *stream, const SizesArguments *a) {
    if (a->like) return LAUNCH(match_size_kernel, extent(a->rows, 1, 1), row_threads(a->width), 0, stream, a);
    return LAUNCH(cut_below_kernel, extent(a->rows, 1, 1), row_threads(a->width), 0, stream, a);
}
