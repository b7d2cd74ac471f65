// Quantizing weights where they are, straight into the layout of the products; and measuring activations. To the last
// bit what quant/quantize.c and kernels/host/measure.c compute, but for sums of errors, which are floats within a slab.
#pragma once

#include "kernels/cuda/kernels_common.h"
#include "kernels/standing_out.h"

enum { QUANTIZE_WARPS = 8, PACK_WARPS = 8 };

// The weight that is quantized, equalization included.
DEVICE float weight_at(const QuantizeArguments *a, int row, int column) {
    float w = element_at(a->dtype, a->w, (size_t)row * a->stride + column);
    if (a->factors) w *= a->factors[column];
    return a->divisors ? w / a->divisors[row] : w;
}

DEVICE float largest_code(const IntegerLayout *l) { return (float)((1 << (l->bits - 1)) - 1); }

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

DEVICE int within(int n, int end) { return n < end ? n : end - 1; }

// ---- One weight after the other: any layout, any scale ----

// A warp finds and stores the scale of one group of one row. Rows behind the last one repeat it.
DEVICE void find_scale(const QuantizeArguments *a, int row, int group) {
    const IntegerLayout *l = &a->layout;
    const int lane = threadIdx.x % WARP, here = within(row, l->out);
    const int from = group * l->group, end = from + l->group < l->in ? from + l->group : l->in;
    uint32_t most = 0;
    for (int i = from + lane; i < end; i += WARP) most = larger_bits(most, size_bits(weight_at(a, here, i)));
    most = warp_largest(most);
    if (lane != 0) return;
    if (most >= NOT_FINITE) atomicMin(a->bad_row, here);
    store_element(a->scale_dtype, a->scales, scale_index(l, row, group),
                  stored_scale(__uint_as_float(most), largest_code(l), a->scale_dtype));
}

typedef struct RowError {
    double signal, noise;
} RowError;

// Four codes of a lane from padded column `padded` on, which one group has.
DEVICE void quantize_four(const QuantizeArguments *a, int row, int padded, RowError *error, int *codes) {
    const IntegerLayout *l = &a->layout;
    const int group = padded / l->group_columns, within_group = padded - group * l->group_columns;
    const int column = group * l->group + within_group, here = within(row, l->out);
    const float most = largest_code(l);
    UNROLL for (int j = 0; j < 4; j++) codes[j] = 0;
    if (group >= l->groups) return;
    const float scale = element_at(a->scale_dtype, a->scales, scale_index(l, row, group));
    UNROLL_BY(1) for (int j = 0; j < 4; j++) {
        if (within_group + j >= l->group || column + j >= l->in) continue;
        const float w = weight_at(a, here, column + j), code = rintf(fmaxf(fminf(w / scale, most), -most));
        const double lost = (double)w - (double)(code * scale);
        codes[j] = (int)code;
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

// A warp quantizes one unit whose scales are stored.
DEVICE void quantize_unit(const int bits, const QuantizeArguments *a, int unit, RowError *errors) {
    const IntegerLayout *l = &a->layout;
    const int lane = threadIdx.x % WARP, row = (int)blockIdx.x * UNIT_ROWS + lane / 4;
    int codes[16];
    UNROLL for (int r = 0; r < 4; r++) quantize_four(
        a, row + r % 2 * 8, unit * UNIT_COLUMNS + r / 2 * 16 + lane % 4 * 4, &errors[r % 2], codes + 4 * r);
    store_unit(bits, a->codes + slab_offset(l, (int)blockIdx.x, unit / SLAB_UNITS), unit % SLAB_UNITS, lane, codes);
}

// What the warps of a block found of its sixteen rows.
DEVICE void store_errors(const QuantizeArguments *a, RowError *errors, double *shared) {
    const int lane = threadIdx.x % WARP, warp = threadIdx.x / WARP;
    if (!a->errors) return;
    UNROLL for (int half = 0; half < 2; half++) {
        UNROLL for (int mask = 2; mask > 0; mask /= 2) {
            errors[half].signal += shuffle_double(errors[half].signal, mask);
            errors[half].noise += shuffle_double(errors[half].noise, mask);
        }
        double *to = shared + (warp * UNIT_ROWS + lane / 4 + half * 8) * 2;
        if (lane % 4 == 0) to[0] = errors[half].signal, to[1] = errors[half].noise;
    }
    __syncthreads();
    for (int n = threadIdx.x; n < UNIT_ROWS * 2; n += QUANTIZE_WARPS * WARP) {
        const int row = (int)blockIdx.x * UNIT_ROWS + n / 2;
        double sum = 0;
        for (int w = 0; w < QUANTIZE_WARPS; w++) sum += shared[w * UNIT_ROWS * 2 + n];
        if (row < a->layout.out) a->errors[(size_t)row * 2 + n % 2] = sum;
    }
}

// A warp takes a group of a row.
KERNEL(scales_kernel, QUANTIZE_WARPS *WARP, QuantizeArguments) {
    const size_t n = (size_t)blockIdx.x * QUANTIZE_WARPS + threadIdx.x / WARP;
    const int row = (int)(n / a.layout.groups);
    if (row < a.layout.row_blocks * UNIT_ROWS) find_scale(&a, row, (int)(n % a.layout.groups));
}

// A block quantizes and packs sixteen rows.
KERNEL(codes_kernel, QUANTIZE_WARPS *WARP, QuantizeArguments) {
    SHARED(double, shared, QUANTIZE_WARPS *UNIT_ROWS * 2);
    RowError errors[2];
    UNROLL for (int half = 0; half < 2; half++) errors[half].signal = errors[half].noise = 0;
    for (int unit = (int)threadIdx.x / WARP; unit < a.layout.units; unit += QUANTIZE_WARPS)
        quantize_unit(a.layout.bits, &a, unit, errors);
    store_errors(&a, errors, shared);
}

// ---- A slab at once: plain layouts with scales of 16 bits ----
//
// A lane has the weights of a slab that it packs, 64 of them, in registers, so that memory is read once where a slab
// has whole groups. Groups of more columns are read twice.

enum { LANE_QUADS = SLAB_HALVES };
typedef float LaneWeights[2][LANE_QUADS][4]; // of two rows, quad k from column `column` + k · step on

DEVICE void four_values(const int dtype, uint2 two, float *values) {
    UNROLL for (int j = 0; j < 4; j++) {
        const uint16_t bits = (uint16_t)((j < 2 ? two.x : two.y) >> j % 2 * 16);
        values[j] = dtype == ELEMENT_F16 ? f16_value(bits) : bf16_value(bits);
    }
}

// Zeros from column `end` on.
DEVICE void load_lane(const QuantizeArguments *a, const int *rows, int column, int step, int end, LaneWeights w) {
    if (a->dtype == ELEMENT_F32) {
        UNROLL for (int half = 0; half < 2; half++) UNROLL for (int k = 0; k < LANE_QUADS; k++) {
            const float *from = (const float *)a->w + (size_t)rows[half] * a->stride + column + k * step;
            UNROLL for (int j = 0; j < 4; j++) w[half][k][j] = 0;
            if (column + k * step < end) load_four(true, from, w[half][k]);
        }
    } else {
        uint2 two[2][LANE_QUADS];
        UNROLL for (int half = 0; half < 2; half++) UNROLL for (int k = 0; k < LANE_QUADS; k++) {
            const uint16_t *from = (const uint16_t *)a->w + (size_t)rows[half] * a->stride + column + k * step;
            two[half][k].x = two[half][k].y = 0;
            if (column + k * step < end) two[half][k] = *(const uint2 *)from;
        }
        if (a->dtype == ELEMENT_F16) {
            UNROLL for (int n = 0; n < 2 * LANE_QUADS; n++)
                four_values(ELEMENT_F16, two[n / LANE_QUADS][n % LANE_QUADS], w[n / LANE_QUADS][n % LANE_QUADS]);
        } else {
            UNROLL for (int n = 0; n < 2 * LANE_QUADS; n++)
                four_values(ELEMENT_BF16, two[n / LANE_QUADS][n % LANE_QUADS], w[n / LANE_QUADS][n % LANE_QUADS]);
        }
    }
}

// w / by, rounded once. An approximate quotient is corrected by what it leaves, which is exact. Twice is enough for any
// `by`, once for one of 11 bits: then no quotient comes near the middle of two floats. reciprocal: 1 / by, rounded.
// Where numbers are so small that what is left is not exact, scales are so small, too, that nobody asks
// (is_fast_scale).
DEVICE float corrected(float quotient, float w, float by, float reciprocal) {
    return fmaf(fmaf(-quotient, by, w), reciprocal, quotient);
}
DEVICE float divided_by_scale(float w, float scale, float reciprocal) {
    return corrected(w * reciprocal, w, scale, reciprocal);
}
DEVICE float divided_by(float w, float by, float reciprocal) {
    return corrected(divided_by_scale(w, by, reciprocal), w, by, reciprocal);
}

DEVICE void equalize_lane(const QuantizeArguments *a, const int *rows, int column, int step, int end, LaneWeights w) {
    if (a->factors) {
        UNROLL for (int k = 0; k < LANE_QUADS; k++) {
            float factors[4];
            if (column + k * step >= end) continue;
            load_four(true, a->factors + column + k * step, factors);
            UNROLL for (int j = 0; j < 4; j++) w[0][k][j] *= factors[j], w[1][k][j] *= factors[j];
        }
    }
    if (a->divisors) {
        UNROLL for (int half = 0; half < 2; half++) {
            const float by = a->divisors[rows[half]], reciprocal = 1 / by;
            UNROLL for (int k = 0; k < LANE_QUADS; k++) UNROLL for (int j = 0; j < 4; j++) w[half][k][j] =
                divided_by(w[half][k][j], by, reciprocal);
        }
    }
}

// Whether codes need no clamping, and their quotients are as precise as divided_by_scale says: nothing about the scale
// is close to the limits of its type.
DEVICE bool is_fast_scale(float scale, float most, int dtype) {
    const float least = dtype == ELEMENT_F16 ? (most + 1) * 5.9604644775390625e-8f : 8.6736174e-19f; // 2^−24, 2^−60
    return scale >= least && scale < (dtype == ELEMENT_F16 ? 65504.0f : 1.1529215e18f);              // 2^60
}

// What two rows of a slab are divided by, for each of up to four groups.
typedef struct SlabScales {
    float scale[2][SLAB_UNITS], reciprocal[2][SLAB_UNITS];
} SlabScales;

// Groups of `units` units.
DEVICE void slab_scales(const int units, const QuantizeArguments *a, LaneWeights w, SlabScales *s) {
    const float most = largest_code(&a->layout);
    UNROLL for (int half = 0; half < 2; half++) UNROLL for (int g = 0; g < SLAB_UNITS / units; g++) {
        float range = 0;
        UNROLL for (int k = g * units * 2; k < (g + 1) * units * 2; k++) UNROLL for (int j = 0; j < 4; j++) range =
            larger_or_nan(range, fabsf(w[half][k][j]));
        UNROLL for (int mask = 2; mask > 0; mask /= 2) range = larger_or_nan(range, shuffle_float(range, mask));
        s->scale[half][g] = stored_scale(range, most, a->scale_dtype);
    }
}

DEVICE void stored_scales(const QuantizeArguments *a, int row, int slab, SlabScales *s) {
    const int group = within(slab / ((a->layout.group_columns + SLAB_COLUMNS - 1) / SLAB_COLUMNS), a->layout.groups);
    UNROLL for (int half = 0; half < 2; half++) s->scale[half][0] =
        element_at(a->scale_dtype, a->scales, scale_index(&a->layout, row + half * 8, group));
}

DEVICE void store_scales(const int units, const QuantizeArguments *a, int row, int slab, const SlabScales *s) {
    UNROLL for (int g = 0; g < SLAB_UNITS / units; g++) {
        const int group = slab * (SLAB_UNITS / units) + g;
        if (group >= a->layout.groups) continue;
        UNROLL for (int half = 0; half < 2; half++)
            store_element(a->scale_dtype, a->scales, scale_index(&a->layout, row + half * 8, group), s->scale[half][g]);
    }
}

// Adding it leaves no room for a fraction, and codes in the lowest bits.
#define ROUNDING 12582912.0f // 1.5 · 2^23

// Four bytes of a word from the lowest bytes of four.
DEVICE uint32_t lowest_bytes(const uint32_t *v) {
    return __byte_perm(__byte_perm(v[0], v[1], 0x0040), __byte_perm(v[2], v[3], 0x0040), 0x5410);
}

// Word `word` of a lane and unit (code_place): codes that share a byte are put together as floats, each too large by
// 2^(bits − 1), which turns the sign of two's complement.
DEVICE uint32_t word_of_codes(const int bits, float (*codes)[4], int word) {
    const int each = 8 / bits;
    const uint32_t signs = bits == 8 ? 0x80808080u : bits == 4 ? 0x88888888u : 0xAAAAAAAAu;
    uint32_t bytes[4];
    UNROLL for (int j = 0; j < 4; j++) {
        float sum = codes[word * each][j] + (ROUNDING + (float)(signs & 0xFFu));
        UNROLL for (int i = 1; i < each; i++) sum = fmaf(codes[word * each + i][j], (float)(1 << bits * i), sum);
        bytes[j] = __float_as_uint(sum);
    }
    return lowest_bytes(bytes) ^ signs;
}

// Codes of a lane and unit, as floats, to where they belong.
DEVICE void store_float_codes(const int bits, uint8_t *slab, int unit, int lane, float (*codes)[4]) {
    uint32_t *to = (uint32_t *)(slab + code_place(bits, unit, lane, 0, 0).byte);
    int whole[16];
    if (bits == 3) {
        UNROLL for (int n = 0; n < 16; n++) whole[n] = (int)__float_as_uint(codes[n / 4][n % 4] + ROUNDING);
        store_unit(bits, slab, unit, lane, whole);
    } else if (bits == 2) {
        *to = word_of_codes(bits, codes, 0);
    } else if (bits == 4) {
        uint2 two;
        two.x = word_of_codes(bits, codes, 0), two.y = word_of_codes(bits, codes, 1);
        *(uint2 *)to = two;
    } else {
        uint4 four;
        four.x = word_of_codes(bits, codes, 0), four.y = word_of_codes(bits, codes, 1);
        four.z = word_of_codes(bits, codes, 2), four.w = word_of_codes(bits, codes, 3);
        *(uint4 *)to = four;
    }
}

DEVICE void quantize_lane(const int bits, const int units, LaneWeights w, const SlabScales *s, uint8_t *slab,
                          RowError *errors) {
    float signal[2], noise[2];
    UNROLL for (int half = 0; half < 2; half++) signal[half] = noise[half] = 0;
    UNROLL for (int unit = 0; unit < SLAB_UNITS; unit++) {
        float codes[4][4], of_signal[2], of_noise[2];
        UNROLL for (int half = 0; half < 2; half++) of_signal[half] = of_noise[half] = 0;
        UNROLL for (int r = 0; r < 4; r++) UNROLL for (int j = 0; j < 4; j++) {
            const int half = r % 2, g = unit / units;
            const float v = w[half][unit * 2 + r / 2][j], scale = s->scale[half][g];
            codes[r][j] = divided_by_scale(v, scale, s->reciprocal[half][g]) + ROUNDING - ROUNDING;
            const float lost = fmaf(-codes[r][j], scale, v);
            of_signal[half] = fmaf(v, v, of_signal[half]);
            of_noise[half] = fmaf(lost, lost, of_noise[half]);
        }
        UNROLL for (int half = 0; half < 2; half++) signal[half] += of_signal[half], noise[half] += of_noise[half];
        store_float_codes(bits, slab, unit, threadIdx.x % WARP, codes);
    }
    UNROLL for (int half = 0; half < 2; half++) {
        errors[half].signal += (double)signal[half];
        errors[half].noise += (double)noise[half];
    }
}

// A slab one weight after the other, scales included where it has whole groups.
DEVICE void quantize_carefully(const int bits, const QuantizeArguments *a, int slab, RowError *errors) {
    const int groups = 1 << slab_slot_bits(&a->layout), first = slab * groups;
    if (a->layout.group_columns <= SLAB_COLUMNS) {
        for (int n = 0; n < UNIT_ROWS * groups; n++)
            if (first + n % groups < a->layout.groups)
                find_scale(a, (int)blockIdx.x * UNIT_ROWS + n / groups, first + n % groups);
        warp_barrier();
    }
    for (int unit = slab * SLAB_UNITS; unit < (slab + 1) * SLAB_UNITS; unit++) quantize_unit(bits, a, unit, errors);
}

// known: the scales, which stand there. False when that is not for here (is_fast_scale).
DEVICE bool quantize_slab(const int bits, const int units, const bool known, const QuantizeArguments *a, int slab,
                          LaneWeights w, RowError *errors) {
    const int lane = threadIdx.x % WARP, row = (int)blockIdx.x * UNIT_ROWS + lane / 4;
    const float most = largest_code(&a->layout);
    SlabScales s;
    bool fast = true;
    if (known)
        stored_scales(a, row, slab, &s);
    else
        slab_scales(units, a, w, &s);
    UNROLL for (int half = 0; half < 2; half++) UNROLL for (int g = 0; g < SLAB_UNITS / units; g++) {
        s.reciprocal[half][g] = 1 / s.scale[half][g];
        fast = fast && is_fast_scale(s.scale[half][g], most, a->scale_dtype);
    }
    if (warp_largest(fast ? 0 : 1)) return false;
    if (!known && lane % 4 == 0) store_scales(units, a, row, slab, &s);
    quantize_lane(bits, units, w, &s, a->codes + slab_offset(&a->layout, (int)blockIdx.x, slab), errors);
    return true;
}

DEVICE void quantize_rows(const int bits, const QuantizeArguments *a, double *shared) {
    const IntegerLayout *l = &a->layout;
    const int lane = threadIdx.x % WARP, row = (int)blockIdx.x * UNIT_ROWS + lane / 4;
    const int slot_bits = slab_slot_bits(l);
    RowError errors[2];
    int rows[2];
    UNROLL for (int half = 0; half < 2; half++) {
        errors[half].signal = errors[half].noise = 0;
        rows[half] = within(row + half * 8, l->out);
    }
    for (int slab = (int)threadIdx.x / WARP; slab < l->slabs; slab += QUANTIZE_WARPS) {
        const int column = slab * SLAB_COLUMNS + lane % 4 * 4;
        LaneWeights w;
        bool done;
        load_lane(a, rows, column, HALF_COLUMNS, l->in, w);
        equalize_lane(a, rows, column, HALF_COLUMNS, l->in, w);
        if (slot_bits == 2)
            done = quantize_slab(bits, 1, false, a, slab, w, errors);
        else if (slot_bits == 1)
            done = quantize_slab(bits, 2, false, a, slab, w, errors);
        else
            done = quantize_slab(bits, 4, l->group_columns > SLAB_COLUMNS, a, slab, w, errors);
        if (!done) quantize_carefully(bits, a, slab, errors);
    }
    store_errors(a, errors, shared);
}

// A warp finds the scales of a group of two rows, where groups have more columns than a slab.
KERNEL(wide_scales_kernel, QUANTIZE_WARPS *WARP, QuantizeArguments) {
    const IntegerLayout *l = &a.layout;
    const int lane = threadIdx.x % WARP, step = 4 * WARP;
    const size_t n = (size_t)blockIdx.x * QUANTIZE_WARPS + threadIdx.x / WARP;
    const int row = (int)(n / l->groups) * 2, group = (int)(n % l->groups);
    const int from = group * l->group, end = from + l->group < l->in ? from + l->group : l->in;
    float range[2], scale[2];
    bool fast = true;
    int rows[2];
    if (row >= l->row_blocks * UNIT_ROWS) return;
    UNROLL for (int i = 0; i < 2; i++) rows[i] = within(row + i, l->out), range[i] = 0;
    for (int column = from + lane * 4; column < end; column += LANE_QUADS * step) {
        LaneWeights w;
        load_lane(&a, rows, column, step, end, w);
        equalize_lane(&a, rows, column, step, end, w);
        UNROLL for (int i = 0; i < 2; i++) UNROLL for (int k = 0; k < LANE_QUADS; k++)
            UNROLL for (int j = 0; j < 4; j++) range[i] = larger_or_nan(range[i], fabsf(w[i][k][j]));
    }
    UNROLL for (int i = 0; i < 2; i++) {
        UNROLL for (int mask = 16; mask > 0; mask /= 2) range[i] =
            larger_or_nan(range[i], shuffle_float(range[i], mask));
        scale[i] = stored_scale(range[i], largest_code(l), a.scale_dtype);
        fast = fast && is_fast_scale(scale[i], largest_code(l), a.scale_dtype);
    }
    UNROLL for (int i = 0; i < 2; i++) {
        if (!fast)
            find_scale(&a, row + i, group);
        else if (lane == 0)
            store_element(a.scale_dtype, a.scales, scale_index(l, row + i, group), scale[i]);
    }
}

#define QUANTIZE_KERNEL(BITS)                                                     \
    CROWDED_KERNEL(quantize_##BITS, QUANTIZE_WARPS *WARP, 2, QuantizeArguments) { \
        SHARED(double, shared, QUANTIZE_WARPS *UNIT_ROWS * 2);                    \
        quantize_rows(BITS, &a, shared);                                          \
    }
QUANTIZE_KERNEL(2)
QUANTIZE_KERNEL(3)
QUANTIZE_KERNEL(4)
QUANTIZE_KERNEL(8)

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

// slabs: for launch_slabs, which finds the scales of whole groups itself.
static int launch_scales(void *stream, const QuantizeArguments *a, bool slabs) {
    const size_t scales = (size_t)a->layout.row_blocks * UNIT_ROWS * (size_t)a->layout.groups,
                 warps = slabs ? scales / 2 : scales;
    const Extent grid = extent((warps + QUANTIZE_WARPS - 1) / QUANTIZE_WARPS, 1, 1);
    if (!slabs) return LAUNCH(scales_kernel, grid, QUANTIZE_WARPS * WARP, 0, stream, a);
    if (a->layout.group_columns <= SLAB_COLUMNS) return 0;
    return LAUNCH(wide_scales_kernel, grid, QUANTIZE_WARPS * WARP, 0, stream, a);
}

static int launch_slabs(void *stream, const QuantizeArguments *a) {
    const Extent grid = extent(a->layout.row_blocks, 1, 1);
    switch (a->layout.bits) {
    case 2: return LAUNCH(quantize_2, grid, QUANTIZE_WARPS * WARP, 0, stream, a);
    case 3: return LAUNCH(quantize_3, grid, QUANTIZE_WARPS * WARP, 0, stream, a);
    case 4: return LAUNCH(quantize_4, grid, QUANTIZE_WARPS * WARP, 0, stream, a);
    default: return LAUNCH(quantize_8, grid, QUANTIZE_WARPS * WARP, 0, stream, a);
    }
}

static int launch_quantize(void *stream, const QuantizeArguments *a) {
    const bool slabs = is_plain(&a->layout) && a->scale_dtype != ELEMENT_F32;
    const int error = launch_scales(stream, a, slabs);
    if (error || slabs) return error ? error : launch_slabs(stream, a);
    return LAUNCH(codes_kernel, extent(a->layout.row_blocks, 1, 1), QUANTIZE_WARPS * WARP, 0, stream, a);
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
