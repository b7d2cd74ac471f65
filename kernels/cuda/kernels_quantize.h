// Quantizing weights where they are, straight into the layout of the products; and measuring activations. To the last
// bit what quant/quantize.c and kernels/host/measure.c compute.
#pragma once

#include "kernels/cuda/kernels_common.h"
#include "kernels/standing_out.h"

enum { SCALE_WARPS = 8, PACK_WARPS = 8 };

// The weight that is quantized, equalization included.
DEVICE float weight_at(const QuantizeArguments *a, int row, int column) {
    float w = element_at(a->dtype, a->w, (size_t)row * a->stride + column);
    if (a->factors) w *= a->factors[column];
    return a->divisors ? w / a->divisors[row] : w;
}

// As scale_of of quant/grids.c: range / steps as stored, positive and finite.
DEVICE float stored_scale(float range, float steps, int dtype) {
    if (range == 0) return 1;
    float scale = rounded_to(dtype, range / steps);
    if (!(scale > 0))
        return dtype == ELEMENT_F16    ? 5.9604644775390625e-8f
               : dtype == ELEMENT_BF16 ? __uint_as_float(0x00010000u)
                                       : __uint_as_float(1u);
    if (scale <= 3.4028235e38f) return scale;
    return dtype == ELEMENT_F16 ? 65504.0f : dtype == ELEMENT_BF16 ? __uint_as_float(0x7F7F0000u) : 3.4028235e38f;
}

// A warp finds the scale of one group of one row.
KERNEL(scales_kernel, SCALE_WARPS *WARP, QuantizeArguments) {
    const IntegerLayout *l = &a.layout;
    const int lane = threadIdx.x % WARP, row = (int)blockIdx.x;
    const int group = (int)blockIdx.y * SCALE_WARPS + (int)threadIdx.x / WARP;
    if (group >= l->groups) return;
    const int from = group * l->group, end = from + l->group < l->in ? from + l->group : l->in;
    uint32_t most = 0; // the bits of |w| order as the values do; NaN and infinity lie above every number
    for (int i = from + lane; i < end; i += WARP) {
        uint32_t bits = __float_as_uint(weight_at(&a, row, i)) & 0x7FFFFFFFu;
        most = bits > most ? bits : most;
    }
    UNROLL for (int mask = 16; mask > 0; mask /= 2) {
        uint32_t other = (uint32_t)shuffle_int((int32_t)most, mask);
        most = other > most ? other : most;
    }
    if (lane != 0) return;
    if (most >= 0x7F800000u) atomicMin(a.bad_row, row);
    store_element(a.scale_dtype, a.scales, scale_index(l, row, group),
                  stored_scale(__uint_as_float(most), (float)((1 << (l->bits - 1)) - 1), a.scale_dtype));
}

typedef struct RowError {
    double signal, noise;
} RowError;

// rintf(w / scale) between −most and most; reciprocal: 1 / scale, rounded. A product with it differs from the quotient
// by less than 2^−22 of it, so only near the middle between two codes a division tells which one it is.
DEVICE float nearest_code(float w, float scale, float reciprocal, float most) {
    const float quotient = w * reciprocal, code = rintf(quotient);
    if (fabsf(quotient) <= most && fabsf(fabsf(quotient - code) - 0.5f) > 1e-4f) return code;
    return rintf(fmaxf(fminf(w / scale, most), -most));
}

// Four codes of a lane from padded column `padded` on, which one group has; errors NULL: nobody asks.
DEVICE void quantize_four(const QuantizeArguments *a, int row, int padded, RowError *error, int *codes) {
    const IntegerLayout *l = &a->layout;
    const int group = padded / l->group_columns, within = padded - group * l->group_columns;
    const int column = group * l->group + within;
    const float most = (float)((1 << (l->bits - 1)) - 1);
    float scale = 1, reciprocal = 1;
    UNROLL for (int j = 0; j < 4; j++) codes[j] = 0;
    if (row >= l->out || group >= l->groups) return;
    scale = element_at(a->scale_dtype, a->scales, scale_index(l, row, group));
    reciprocal = 1 / scale;
    UNROLL for (int j = 0; j < 4; j++) {
        if (within + j >= l->group || column + j >= l->in) continue;
        const float w = weight_at(a, row, column + j), code = nearest_code(w, scale, reciprocal, most);
        codes[j] = (int)code;
        if (!a->errors) continue;
        const double lost = (double)w - (double)(code * scale);
        error->signal += (double)w * (double)w;
        error->noise += lost * lost;
    }
}

// Sixteen codes of a lane and unit to where they belong (code_place).
DEVICE void store_unit(int bits, uint8_t *slab, int unit, int lane, const int *codes) {
    uint32_t words[4];
    uint32_t high = 0;
    UNROLL for (int i = 0; i < 4; i++) words[i] = 0;
    UNROLL for (int slot = 0; slot < 16; slot++) {
        const int r = slot / 4, j = slot % 4;
        const uint32_t code = (uint32_t)codes[slot];
        if (bits == 8) words[r] |= (code & 0xFFu) << 8 * j;
        if (bits == 4) words[r / 2] |= (code & 0xFu) << (8 * j + r % 2 * 4);
        if (bits <= 3) words[0] |= (code & 3u) << (8 * j + 2 * r);
        if (bits == 3) high |= (code >> 2 & 1u) << (4 * j + r);
    }
    uint32_t *to = (uint32_t *)(slab + code_place(bits, unit, lane, 0, 0).byte);
    const int count = bits == 8 ? 4 : bits == 4 ? 2 : 1;
    UNROLL for (int i = 0; i < 4; i++) if (i < count) to[i] = words[i];
    if (bits == 3) *(uint16_t *)(slab + code_place(3, unit, lane, 0, 1).byte) = (uint16_t)high;
}

// A warp packs one unit of codes that are there already.
KERNEL(pack_kernel, PACK_WARPS *WARP, PackArguments) {
    const IntegerLayout *l = &a.layout;
    const int lane = threadIdx.x % WARP, row = (int)blockIdx.x * UNIT_ROWS + lane / 4;
    for (int unit = (int)threadIdx.x / WARP; unit < l->units; unit += PACK_WARPS) {
        int codes[16];
        UNROLL for (int slot = 0; slot < 16; slot++) {
            const int r = slot / 4, to = row + r % 2 * 8;
            const int column = column_at(l, unit * UNIT_COLUMNS + r / 2 * 16 + lane % 4 * 4 + slot % 4);
            codes[slot] = to < l->out && column >= 0 ? a.unpacked[(size_t)to * l->in + column] : 0;
        }
        store_unit(l->bits, a.codes + slab_offset(l, (int)blockIdx.x, unit / SLAB_UNITS), unit % SLAB_UNITS, lane,
                   codes);
    }
}

// A block quantizes and packs sixteen rows.
KERNEL(codes_kernel, PACK_WARPS *WARP, QuantizeArguments) {
    SHARED(double, shared, PACK_WARPS *UNIT_ROWS * 2);
    const IntegerLayout *l = &a.layout;
    const int lane = threadIdx.x % WARP, warp = threadIdx.x / WARP, row = (int)blockIdx.x * UNIT_ROWS + lane / 4;
    RowError error[2];
    UNROLL for (int half = 0; half < 2; half++) error[half].signal = error[half].noise = 0;
    for (int unit = warp; unit < l->units; unit += PACK_WARPS) {
        int codes[16];
        UNROLL for (int r = 0; r < 4; r++) quantize_four(
            &a, row + r % 2 * 8, unit * UNIT_COLUMNS + r / 2 * 16 + lane % 4 * 4, &error[r % 2], codes + 4 * r);
        store_unit(l->bits, a.codes + slab_offset(l, (int)blockIdx.x, unit / SLAB_UNITS), unit % SLAB_UNITS, lane,
                   codes);
    }
    if (!a.errors) return;
    UNROLL for (int half = 0; half < 2; half++) UNROLL for (int mask = 2; mask > 0; mask /= 2) {
        error[half].signal += shuffle_double(error[half].signal, mask);
        error[half].noise += shuffle_double(error[half].noise, mask);
    }
    UNROLL for (int half = 0; half < 2; half++) if (lane % 4 == 0) {
        double *to = shared + (warp * UNIT_ROWS + lane / 4 + half * 8) * 2;
        to[0] = error[half].signal, to[1] = error[half].noise;
    }
    __syncthreads();
    for (int n = threadIdx.x; n < UNIT_ROWS * 2; n += PACK_WARPS * WARP) {
        const int to = (int)blockIdx.x * UNIT_ROWS + n / 2;
        double sum = 0;
        for (int w = 0; w < PACK_WARPS; w++) sum += shared[w * UNIT_ROWS * 2 + n];
        if (to < l->out) a.errors[(size_t)to * 2 + n % 2] = sum;
    }
}

// ---- Measuring ----

KERNEL(patterns_kernel, FLAT_THREADS, MeasureArguments) {
    const size_t n = (size_t)a.tokens * a.width;
    for (size_t i = FLAT_INDEX; i < n; i += FLAT_STRIDE) atomicAdd(&a.patterns[__float_as_uint(a.x[i]) >> 16], 1u);
}

KERNEL(tokens_kernel, ROW_THREADS, MeasureArguments) {
    SHARED(float, scratch, WARP);
    SHARED(double, sums, WARP);
    const float *x = a.x + (size_t)blockIdx.x * a.width;
    float most = 0;
    for (int j = threadIdx.x; j < a.width; j += ROW_THREADS) most = fmaxf(most, fabsf(x[j]));
    most = block_max(most, scratch);
    const float scale = standing_scale(most);
    double sum = 0;
    for (int j = threadIdx.x; j < a.width; j += ROW_THREADS) sum += standing_code(x[j], scale);
    sum = block_sum_double(sum, sums);
    if (threadIdx.x > 0) return;
    a.token_absmax[blockIdx.x] = most;
    a.token_limit[blockIdx.x] = standing_limit(sum, a.width);
}

// After the tokens: what stands out in each is known.
KERNEL(channels_kernel, FLAT_THREADS, MeasureArguments) {
    for (size_t j = FLAT_INDEX; j < (size_t)a.width; j += FLAT_STRIDE) {
        float most = a.channel_absmax[j];
        uint32_t count = a.channel_tokens[j];
        for (int t = 0; t < a.tokens; t++) {
            const float x = a.x[(size_t)t * a.width + j];
            most = fmaxf(most, fabsf(x));
            count += standing_code(x, standing_scale(a.token_absmax[t])) > a.token_limit[t];
        }
        a.channel_absmax[j] = most;
        a.channel_tokens[j] = count;
    }
}

// ---- Launches ----

static int launch_quantize(void *stream, const QuantizeArguments *a) {
    const Extent groups = extent(a->layout.out, (size_t)(a->layout.groups + SCALE_WARPS - 1) / SCALE_WARPS, 1);
    int error = LAUNCH(scales_kernel, groups, SCALE_WARPS * WARP, 0, stream, a);
    if (error) return error;
    return LAUNCH(codes_kernel, extent(a->layout.row_blocks, 1, 1), PACK_WARPS * WARP, 0, stream, a);
}

static int launch_pack(void *stream, const PackArguments *a) {
    return LAUNCH(pack_kernel, extent(a->layout.row_blocks, 1, 1), PACK_WARPS * WARP, 0, stream, a);
}

static int launch_measure(void *stream, const MeasureArguments *a) {
    int error = LAUNCH(patterns_kernel, flat_extent((size_t)a->tokens * a->width), FLAT_THREADS, 0, stream, a);
    if (!error) error = LAUNCH(tokens_kernel, extent(a->tokens, 1, 1), ROW_THREADS, 0, stream, a);
    if (!error) error = LAUNCH(channels_kernel, flat_extent((size_t)a->width), FLAT_THREADS, 0, stream, a);
    return error;
}
