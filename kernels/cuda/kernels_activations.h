// Activations become integers, in the order in which the products read them (integer_layout.h).
#pragma once

#include "kernels/cuda/kernels_common.h"

DEVICE int32_t low_byte(int32_t v) { return ((v & 0xFF) ^ 0x80) - 0x80; } // with its sign
DEVICE uint32_t byte_of(int32_t code, int j) { return ((uint32_t)code & 0xFFu) << 8 * j; }

// Byte `byte` of each of four numbers.
DEVICE uint32_t four_bytes(const int32_t *v, const uint32_t byte) {
    const uint32_t which = byte | (4 + byte) << 4;
    const uint32_t low = __byte_perm((uint32_t)v[0], (uint32_t)v[1], which),
                   high = __byte_perm((uint32_t)v[2], (uint32_t)v[3], which);
    return __byte_perm(low, high, 0x5410);
}

// As rint for |v| < 2^22: behind this sum there is no room for a fraction.
DEVICE int32_t nearest(float v) { return (int32_t)(__float_as_uint(v + 12582912.0f) - 0x4B400000u); }

// ---- One plane: int8 with one scale for a token ----

typedef struct Rounding {
    float scale, reciprocal; // reciprocal 0: all codes are 0
} Rounding;

// most: the largest size_bits. As quantize_row of the CPU.
DEVICE Rounding rounding_of(uint32_t most, float static_scale) {
    Rounding r;
    r.scale = static_scale > 0 ? static_scale : __uint_as_float(most) / 127;
    r.reciprocal = 0;
    if (most >= NOT_FINITE || r.scale > 3e38f) {
        r.scale = NAN;
    } else if (!(r.scale >= 1.17549435e-38f)) {
        r.scale = 1;
    } else {
        r.reciprocal = 1 / r.scale;
    }
    return r;
}

DEVICE int32_t rounded_code(const Rounding *r, float value) {
    if (r->reciprocal == 0) return 0;
    return nearest(fmaxf(fminf(value * r->reciprocal, 127.0f), -127.0f));
}

DEVICE int32_t code_of_column(const ActivationArguments *a, const Rounding *r, const float *x, int padded) {
    int column = column_at(&a->layout, padded);
    return column < 0 ? 0 : rounded_code(r, divided(x, a->divisor, column));
}

// Σ codes of each group.
DEVICE void group_sums(const ActivationArguments *a, const Rounding *r, const float *x, int token) {
    const IntegerLayout *l = &a->layout;
    for (int g = threadIdx.x / WARP; g < l->groups; g += (int)blockDim.x / WARP) {
        int32_t sum = 0;
        for (int c = threadIdx.x % WARP; c < l->group_columns; c += WARP)
            sum += code_of_column(a, r, x, g * l->group_columns + c);
        sum = warp_sum_int(sum);
        if (threadIdx.x % WARP == 0) a->sums[(size_t)g * padded_tokens(a->tokens) + token] = sum;
    }
}

// One token by the whole block.
DEVICE void one_plane(const ActivationArguments *a, int token, float *scratch) {
    const float *x = a->x + (size_t)token * a->layout.in;
    const Rounding r = rounding_of(largest_of_row(x, a->divisor, a->layout.in, scratch), a->static_scale);
    for (int padded = threadIdx.x * 4; padded < a->layout.units * UNIT_COLUMNS; padded += (int)blockDim.x * 4) {
        uint32_t word = 0;
        UNROLL for (int j = 0; j < 4; j++) word |= byte_of(code_of_column(a, &r, x, padded + j), j);
        *(uint32_t *)(a->codes + activation_offset(&a->layout, 1, a->tokens, 0, token, padded)) = word;
    }
    if (threadIdx.x == 0) a->scales[token] = r.scale;
    if (a->sums) group_sums(a, &r, x, token);
}

// ---- Several planes: 16 or 24 bits relative to the largest value of a segment ----

enum { SEGMENT_WARPS = 8 };

// Four columns of a token: their bytes in each plane, the highest first, and what they add to the segment's sums.
typedef struct SplitFour {
    uint32_t words[3];
    int32_t sums[3];
    float scale;
} SplitFour;

// A number has 8 · planes bits, in −127 · 2^(8 (planes − 1)) … the same, and its bytes are signed. most: size_bits of
// the segment's largest value. With three planes as split_segment of the CPU.
DEVICE SplitFour split_four(const int planes, const float *v, uint32_t most) {
    const float whole = planes == 2 ? 127 * 256 : 127 * 65536, unit = __uint_as_float(most) / whole;
    const bool finite = most < NOT_FINITE, nothing = !finite || unit < 1.17549435e-38f;
    const float factor = nothing ? 0 : whole / __uint_as_float(most);
    int32_t numbers[4], upper[4];
    SplitFour s;
    s.scale = !finite ? NAN : nothing ? 1 : unit;
    UNROLL for (int p = 0; p < 3; p++) s.words[p] = 0, s.sums[p] = 0;
    UNROLL for (int j = 0; j < 4; j++) {
        const float scaled = nothing ? 0 : v[j] * factor;
        numbers[j] = planes == 2 ? nearest(scaled) : (int32_t)rintf(scaled);
        if (planes == 3) {
            s.sums[2] += low_byte(numbers[j]);
            upper[j] = (numbers[j] + 128) >> 8;
            s.sums[1] += low_byte(upper[j]);
            s.sums[0] += (upper[j] + 128) >> 8;
        } else {
            s.sums[0] += numbers[j];
        }
    }
    s.words[planes - 1] = four_bytes(numbers, 0);
    if (planes == 3) s.words[1] = four_bytes(upper, 0);
    UNROLL for (int j = 0; j < 4; j++) numbers[j] = (planes == 3 ? upper[j] : numbers[j]) + 128;
    s.words[0] = four_bytes(numbers, 1);
    return s;
}

// A warp takes a segment of a token in any layout, a lane four columns of it.
DEVICE void split_segment(const int planes, const ActivationArguments *a, int token, int segment) {
    const IntegerLayout *l = &a->layout;
    const int lane = threadIdx.x % WARP, padded_count = padded_tokens(a->tokens);
    const Segment place = segment_at(l, planes, segment);
    const int padded = place.from + lane * 4;
    const bool inside = padded < place.end;
    const float *x = a->x + (size_t)token * l->in;
    float v[4];
    UNROLL for (int j = 0; j < 4; j++) {
        const int column = inside ? column_at(l, padded + j) : -1;
        v[j] = column < 0 ? 0 : x[column];
    }
    const SplitFour s = split_four(planes, v, warp_largest(largest_of_four(v)));
    UNROLL for (int p = 0; p < planes; p++) {
        if (inside) *(uint32_t *)(a->codes + activation_offset(l, planes, a->tokens, p, token, padded)) = s.words[p];
        if (!a->sums || p >= sum_planes(planes)) continue;
        const int32_t sum = warp_sum_int(s.sums[p]);
        if (lane == 0) a->sums[((size_t)segment * sum_planes(planes) + p) * padded_count + token] = sum;
    }
    if (lane == 0) a->scales[(size_t)segment * padded_count + token] = s.scale;
}

DEVICE void split_segment_of(const ActivationArguments *a, int token, int segment) {
    if (a->planes == 2)
        split_segment(2, a, token, segment);
    else
        split_segment(3, a, token, segment);
}

// ---- Plain layouts: a lane takes a quad, and neighbouring lanes a segment ----

enum { QUAD_THREADS = 4 * WARP };

DEVICE int quads_of(const IntegerLayout *l) { return l->units * (UNIT_COLUMNS / 4); } // whole warps

DEVICE uint32_t segment_largest(int slot_bits, uint32_t v) {
    if (slot_bits == 0) return warp_largest(v);
    UNROLL for (int mask = 1; mask <= 4; mask *= 2) v = larger_bits(v, (uint32_t)shuffle_int((int32_t)v, mask));
    return slot_bits == 1 ? larger_bits(v, (uint32_t)shuffle_int((int32_t)v, 8)) : v;
}

DEVICE int32_t segment_sum(int slot_bits, int32_t v) {
    if (slot_bits == 0) return warp_sum_int(v);
    UNROLL for (int mask = 1; mask <= 4; mask *= 2) v += shuffle_int(v, mask);
    return slot_bits == 1 ? v + shuffle_int(v, 8) : v;
}

// Whether this lane is the first of a segment, and which that is.
DEVICE bool leads_segment(const ActivationArguments *a, int quad, int *segment) {
    *segment = quad >> (5 - a->slot_bits);
    return (quad & ((WARP >> a->slot_bits) - 1)) == 0;
}

// Where quads of a row begin; zeros stand behind its end.
DEVICE void load_quad(const ActivationArguments *a, int token, int quad, float *v) {
    UNROLL for (int j = 0; j < 4; j++) v[j] = 0;
    if (quad * 4 < a->layout.in) load_four(true, a->x + (size_t)token * a->layout.in + quad * 4, v);
}

DEVICE void load_row(const ActivationArguments *a, int token, RowQuads row) {
    UNROLL for (int k = 0; k < ROW_QUADS; k++) load_quad(a, token, (int)threadIdx.x + k * (int)blockDim.x, row[k]);
}

DEVICE void store_word(const int planes, const ActivationArguments *a, int plane, int token, int quad, uint32_t word) {
    *(uint32_t *)(a->codes + quad_offset(&a->layout, planes, a->tokens, a->paired, plane, token, quad)) = word;
}

DEVICE void split_quad(const int planes, const ActivationArguments *a, int token, int quad, const float *v) {
    const int padded_count = padded_tokens(a->tokens);
    const SplitFour s = split_four(planes, v, segment_largest(a->slot_bits, largest_of_four(v)));
    int segment;
    const bool leads = leads_segment(a, quad, &segment);
    UNROLL for (int p = 0; p < planes; p++) store_word(planes, a, p, token, quad, s.words[p]);
    if (leads) a->scales[(size_t)segment * padded_count + token] = s.scale;
    if (!a->sums) return;
    UNROLL for (int p = 0; p < sum_planes(planes); p++) {
        const int32_t sum = segment_sum(a->slot_bits, s.sums[p]);
        if (leads) a->sums[((size_t)segment * sum_planes(planes) + p) * padded_count + token] = sum;
    }
}

// One plane; groups that have sums lie in one slab.
DEVICE void code_quad(const ActivationArguments *a, const Rounding *r, int token, int quad, const float *v) {
    int32_t codes[4];
    int group;
    UNROLL for (int j = 0; j < 4; j++) codes[j] = rounded_code(r, v[j]);
    store_word(1, a, 0, token, quad, four_bytes(codes, 0));
    if (!a->sums) return;
    const int32_t sum = segment_sum(a->slot_bits, codes[0] + codes[1] + codes[2] + codes[3]);
    if (leads_segment(a, quad, &group) && group < a->layout.groups)
        a->sums[(size_t)group * padded_tokens(a->tokens) + token] = sum;
}

DEVICE void divide_row(const int count, const ActivationArguments *a, RowQuads row) {
    UNROLL for (int k = 0; k < count; k++) {
        const int quad = (int)threadIdx.x + k * (int)blockDim.x;
        float by[4];
        if (quad * 4 >= a->layout.in) continue;
        load_four(true, a->divisor + quad * 4, by);
        UNROLL for (int j = 0; j < 4; j++) row[k][j] = row[k][j] / by[j];
    }
}

// The rounding of a row that the block's threads hold.
DEVICE Rounding quads_rounding(const int count, const ActivationArguments *a, RowQuads row, float *scratch) {
    uint32_t most = 0;
    UNROLL for (int k = 0; k < count; k++) most = larger_bits(most, largest_of_four(row[k]));
    return rounding_of(block_largest(most, scratch), a->static_scale);
}

// A token whose quads the block's threads hold, `count` each (load_row).
DEVICE void row_codes(const int planes, const int count, const ActivationArguments *a, int token, RowQuads row,
                      float *scratch) {
    const int quads = quads_of(&a->layout), threads = (int)blockDim.x;
    Rounding r;
    if (planes == 1) {
        if (a->divisor) divide_row(count, a, row);
        r = quads_rounding(count, a, row, scratch);
        if (threadIdx.x == 0) a->scales[token] = r.scale;
    }
    UNROLL for (int k = 0; k < count; k++) {
        const int quad = (int)threadIdx.x + k * threads;
        if (quad >= quads) continue;
        if (planes == 1)
            code_quad(a, &r, token, quad, row[k]);
        else
            split_quad(planes, a, token, quad, row[k]);
    }
}

// ---- The kernels: a block for a token where it has one scale, else any number of blocks ----

DEVICE void one_plane_row(const ActivationArguments *a, int token, float *scratch) {
    RowQuads row;
    load_row(a, token, row);
    row_codes(1, ROW_QUADS, a, token, row, scratch);
}

DEVICE void planes_quad(const int planes, const ActivationArguments *a, int token) {
    const int quad = (int)(blockIdx.x * QUAD_THREADS + threadIdx.x);
    float v[4];
    if (quad >= quads_of(&a->layout)) return;
    load_quad(a, token, quad, v);
    split_quad(planes, a, token, quad, v);
}

KERNEL(codes_1, MOST_ROW_THREADS, ActivationArguments) {
    SHARED(float, scratch, WARP);
    one_plane_row(&a, (int)blockIdx.x, scratch);
}
KERNEL(codes_2, QUAD_THREADS, ActivationArguments) { planes_quad(2, &a, (int)blockIdx.y); }
KERNEL(codes_3, QUAD_THREADS, ActivationArguments) { planes_quad(3, &a, (int)blockIdx.y); }

KERNEL(one_plane_kernel, MOST_ROW_THREADS, ActivationArguments) {
    SHARED(float, scratch, WARP);
    one_plane(&a, (int)blockIdx.x, scratch);
}

KERNEL(planes_kernel, SEGMENT_WARPS *WARP, ActivationArguments) {
    const int segment = (int)blockIdx.x * SEGMENT_WARPS + (int)threadIdx.x / WARP;
    if (segment < segment_count(&a.layout, a.planes)) split_segment_of(&a, (int)blockIdx.y, segment);
}

// ---- Of experts: a block belongs to a portion, which has room of its own ----

// What is asked for of that portion.
DEVICE ActivationArguments for_portion(const ActivationArguments *a, const Portion *portion) {
    ActivationArguments own = *a;
    const ExpertRounding rounding = a->experts[portion->expert];
    own.x += (size_t)portion->first * a->layout.in;
    own.codes += blockIdx.z * a->strides.codes;
    own.scales += blockIdx.z * a->strides.scales;
    if (a->sums) own.sums += blockIdx.z * a->strides.sums;
    own.divisor = rounding.divisor;
    own.static_scale = rounding.static_scale;
    return own;
}

KERNEL(codes_portions_1, MOST_ROW_THREADS, ActivationArguments) {
    SHARED(float, scratch, WARP);
    const Portion portion = a.portions.list[blockIdx.z];
    if ((int)blockIdx.x >= portion.count) return;
    const ActivationArguments own = for_portion(&a, &portion);
    one_plane_row(&own, (int)blockIdx.x, scratch);
}

KERNEL(codes_portions_2, QUAD_THREADS, ActivationArguments) {
    const Portion portion = a.portions.list[blockIdx.z];
    if ((int)blockIdx.y >= portion.count) return;
    const ActivationArguments own = for_portion(&a, &portion);
    planes_quad(2, &own, (int)blockIdx.y);
}

KERNEL(one_plane_portions_kernel, MOST_ROW_THREADS, ActivationArguments) {
    SHARED(float, scratch, WARP);
    const Portion portion = a.portions.list[blockIdx.z];
    if ((int)blockIdx.x >= portion.count) return;
    const ActivationArguments own = for_portion(&a, &portion);
    one_plane(&own, (int)blockIdx.x, scratch);
}

KERNEL(planes_portions_kernel, SEGMENT_WARPS *WARP, ActivationArguments) {
    const int segment = (int)blockIdx.x * SEGMENT_WARPS + (int)threadIdx.x / WARP;
    const Portion portion = a.portions.list[blockIdx.z];
    if ((int)blockIdx.y >= portion.count || segment >= segment_count(&a.layout, a.planes)) return;
    const ActivationArguments own = for_portion(&a, &portion);
    split_segment_of(&own, (int)blockIdx.y, segment);
}

// One token by the whole block, in as many planes as are wanted.
DEVICE void token_codes(const ActivationArguments *a, int token, float *scratch) {
    if (a->planes == 1) {
        one_plane(a, token, scratch);
        return;
    }
    const int segments = segment_count(&a->layout, a->planes), warps = (int)blockDim.x / WARP;
    for (int segment = threadIdx.x / WARP; segment < segments; segment += warps) split_segment_of(a, token, segment);
}

// ---- Rounded, but floats ----

KERNEL(round_tokens_kernel, ROW_THREADS, RoundArguments) {
    SHARED(float, scratch, WARP);
    const float *x = a.x + (size_t)blockIdx.x * a.in;
    float *y = a.y + (size_t)blockIdx.x * a.in;
    const Rounding r =
        rounding_of(largest_of_row(x, a.divisor, a.in, scratch), a.mode == ROUND_STATIC ? a.static_scale : 0);
    for (int j = threadIdx.x; j < a.in; j += ROW_THREADS)
        y[j] = (float)rounded_code(&r, divided(x, a.divisor, j)) * r.scale;
}

// One scale for each channel over all tokens of the call; 0 for a channel without range, or with one that is not
// finite: it passes as it is. A thread owns a channel.
KERNEL(channel_scales_kernel, FLAT_THREADS, RoundArguments) {
    for (size_t j = FLAT_INDEX; j < (size_t)a.in; j += FLAT_STRIDE) {
        float most = 0;
        for (int t = 0; t < a.tokens; t++) most = fmaxf(most, fabsf(a.x[(size_t)t * a.in + j]));
        float scale = (a.divisor ? most / a.divisor[j] : most) / 127;
        a.scales[j] = scale >= 1.17549435e-38f && scale <= 3.4028235e38f ? scale : 0;
    }
}

KERNEL(round_channels_kernel, FLAT_THREADS, RoundArguments) {
    const size_t n = (size_t)a.tokens * a.in;
    for (size_t i = FLAT_INDEX; i < n; i += FLAT_STRIDE) {
        const int j = (int)(i % a.in);
        const float scale = a.scales[j], value = a.divisor ? a.x[i] / a.divisor[j] : a.x[i];
        a.y[i] = scale > 0 ? rintf(value * (1 / scale)) * scale : value;
    }
}

// ---- Launches ----

// What a launch knows of the layout. True: quads can be taken.
static bool place_activations(ActivationArguments *a) {
    const IntegerLayout *l = &a->layout;
    const bool long_sums = a->planes == 1 && a->sums && l->group_columns > SLAB_COLUMNS;
    a->slot_bits = slab_slot_bits(l);
    a->paired = is_paired(l, a->planes, a->tokens);
    return is_plain(l) && is_row_of_quads(l->in) && is_aligned(a->x) && is_aligned(a->divisor) && !long_sums &&
           !(a->portions.list && a->planes == 3);
}

// Blocks for the quads of a row.
static size_t quad_blocks(const IntegerLayout *l) {
    return ((size_t)l->units * (UNIT_COLUMNS / 4) + QUAD_THREADS - 1) / QUAD_THREADS;
}

static int launch_quads(void *stream, const ActivationArguments *a) {
    const bool portions = a->portions.list;
    const size_t count = portions ? (size_t)a->portions.count : 1;
    const unsigned threads = quad_threads(a->layout.in);
    const Extent rows = extent(a->tokens, 1, count), quads = extent(quad_blocks(&a->layout), a->tokens, count);
    if (a->planes == 3) return LAUNCH(codes_3, quads, QUAD_THREADS, 0, stream, a);
    if (a->planes == 2 && portions) return LAUNCH(codes_portions_2, quads, QUAD_THREADS, 0, stream, a);
    if (a->planes == 2) return LAUNCH(codes_2, quads, QUAD_THREADS, 0, stream, a);
    if (portions) return LAUNCH(codes_portions_1, rows, threads, 0, stream, a);
    return LAUNCH(codes_1, rows, threads, 0, stream, a);
}

static int launch_activations(void *stream, const ActivationArguments *wanted) {
    ActivationArguments own = *wanted, *a = &own;
    if (place_activations(a)) return launch_quads(stream, a);
    const size_t segments = (size_t)segment_count(&a->layout, a->planes);
    const int portions = a->portions.list ? a->portions.count : 1;
    const unsigned threads = a->planes == 1 ? row_threads(a->layout.in) : SEGMENT_WARPS * WARP;
    const Extent grid = a->planes == 1 ? extent(a->tokens, 1, portions)
                                       : extent((segments + SEGMENT_WARPS - 1) / SEGMENT_WARPS, a->tokens, portions);
    if (a->planes == 1 && a->portions.list) return LAUNCH(one_plane_portions_kernel, grid, threads, 0, stream, a);
    if (a->planes == 1) return LAUNCH(one_plane_kernel, grid, threads, 0, stream, a);
    if (a->portions.list) return LAUNCH(planes_portions_kernel, grid, threads, 0, stream, a);
    return LAUNCH(planes_kernel, grid, threads, 0, stream, a);
}

static int launch_round(void *stream, const RoundArguments *a) {
    if (a->mode == ROUND_CHANNEL)
        return LAUNCH(round_channels_kernel, flat_extent((size_t)a->tokens * a->in), FLAT_THREADS, 0, stream, a);
    return LAUNCH(round_tokens_kernel, extent(a->tokens, 1, 1), ROW_THREADS, 0, stream, a);
}

static int launch_channel_scales(void *stream, const RoundArguments *a) {
    return LAUNCH(channel_scales_kernel, flat_extent((size_t)a->in), FLAT_THREADS, 0, stream, a);
}
