// Activations become integers, in the order in which the products read them (integer_layout.h).
#pragma once

#include "kernels/cuda/kernels_common.h"

DEVICE float divided(const float *x, const float *divisor, int j) { return divisor ? x[j] / divisor[j] : x[j]; }

DEVICE int32_t low_byte(int32_t v) { return ((v & 0xFF) ^ 0x80) - 0x80; } // with its sign
DEVICE uint32_t byte_of(int32_t code, int j) { return ((uint32_t)code & 0xFFu) << 8 * j; }

// ---- One plane: int8 with one scale for a token ----

typedef struct Rounding {
    float scale, reciprocal; // reciprocal 0: all codes are 0
} Rounding;

// most: max |x|; probe: Σ 0 · x, NaN when something is not finite. As quantize_row of the CPU.
DEVICE Rounding rounding_of(float most, float probe, float static_scale) {
    Rounding r;
    r.scale = static_scale > 0 ? static_scale : most / 127;
    r.reciprocal = 0;
    if (!(probe == 0) || r.scale > 3e38f) {
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
    return (int32_t)fmaxf(fminf(rintf(value * r->reciprocal), 127.0f), -127.0f);
}

// The rounding of one row by the whole block.
DEVICE Rounding row_rounding(const float *x, const float *divisor, int n, float static_scale, float *scratch) {
    float most = 0, probe = 0;
    for (int j = threadIdx.x; j < n; j += (int)blockDim.x) {
        float v = divided(x, divisor, j);
        most = fmaxf(most, fabsf(v));
        probe += v * 0;
    }
    most = block_max(most, scratch);
    probe = block_sum(probe, scratch);
    return rounding_of(most, probe, static_scale);
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
    const Rounding r = row_rounding(x, a->divisor, a->layout.in, a->static_scale, scratch);
    for (int padded = threadIdx.x * 4; padded < a->layout.units * UNIT_COLUMNS; padded += (int)blockDim.x * 4) {
        uint32_t word = 0;
        UNROLL for (int j = 0; j < 4; j++) word |= byte_of(code_of_column(a, &r, x, padded + j), j);
        *(uint32_t *)(a->codes + activation_offset(&a->layout, 1, a->tokens, 0, token, padded)) = word;
    }
    if (threadIdx.x == 0) a->scales[token] = r.scale;
    if (a->sums) group_sums(a, &r, x, token);
}

KERNEL(one_plane_kernel, MOST_ROW_THREADS, ActivationArguments) {
    SHARED(float, scratch, WARP);
    one_plane(&a, (int)blockIdx.x, scratch);
}

// ---- Several planes: 16 or 24 bits relative to the largest value of a segment ----

enum { SEGMENT_WARPS = 8 };

// A number of 8 · planes bits, in −127 · 2^(8 (planes − 1)) … the same, as signed bytes, the highest first.
DEVICE void split_planes(int planes, int32_t number, int32_t *parts) {
    UNROLL for (int p = 2; p > 0; p--) {
        if (p >= planes) continue;
        parts[p] = low_byte(number);
        number = (number - parts[p]) >> 8;
    }
    parts[0] = number;
}

// A warp takes a segment of a token, a lane four columns of it. With three planes as split_segment of the CPU.
DEVICE void split_segment(const ActivationArguments *a, int token, int segment) {
    const IntegerLayout *l = &a->layout;
    const int lane = threadIdx.x % WARP, padded_count = padded_tokens(a->tokens);
    const Segment place = segment_at(l, a->planes, segment);
    const int padded = place.from + lane * 4;
    const bool inside = padded < place.end;
    const float *x = a->x + (size_t)token * l->in, whole = a->planes == 2 ? 127 * 256 : 127 * 65536;
    float v[4], most = 0, probe = 0;
    UNROLL for (int j = 0; j < 4; j++) {
        int column = inside ? column_at(l, padded + j) : -1;
        v[j] = column < 0 ? 0 : x[column];
        most = fmaxf(most, fabsf(v[j]));
        probe += v[j] * 0;
    }
    most = warp_max(most);
    probe = warp_sum(probe);
    const bool finite = probe == 0, nothing = !finite || most / whole < 1.17549435e-38f;
    const float factor = nothing ? 0 : whole / most;
    uint32_t words[3];
    int32_t sums[3];
    UNROLL for (int p = 0; p < 3; p++) words[p] = 0, sums[p] = 0;
    UNROLL for (int j = 0; j < 4; j++) {
        const int32_t number = nothing ? 0 : (int32_t)rintf(v[j] * factor);
        int32_t parts[3];
        parts[1] = parts[2] = 0;
        split_planes(a->planes, number, parts);
        UNROLL for (int p = 0; p < 3; p++) words[p] |= byte_of(parts[p], j), sums[p] += parts[p];
    }
    if (a->planes == 2) sums[0] = sums[0] * 256 + sums[1];
    UNROLL for (int p = 0; p < 3; p++) {
        if (inside && p < a->planes)
            *(uint32_t *)(a->codes + activation_offset(l, a->planes, a->tokens, p, token, padded)) = words[p];
        if (!a->sums || p >= sum_planes(a->planes)) continue;
        int32_t sum = warp_sum_int(sums[p]);
        if (lane == 0) a->sums[((size_t)segment * sum_planes(a->planes) + p) * padded_count + token] = sum;
    }
    if (lane == 0) a->scales[(size_t)segment * padded_count + token] = nothing ? (finite ? 1 : NAN) : most / whole;
}

KERNEL(planes_kernel, SEGMENT_WARPS *WARP, ActivationArguments) {
    const int segment = (int)blockIdx.x * SEGMENT_WARPS + (int)threadIdx.x / WARP;
    if (segment < segment_count(&a.layout, a.planes)) split_segment(&a, (int)blockIdx.y, segment);
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
    split_segment(&own, (int)blockIdx.y, segment);
}

// One token by the whole block, in as many planes as are wanted.
DEVICE void token_codes(const ActivationArguments *a, int token, float *scratch) {
    if (a->planes == 1) {
        one_plane(a, token, scratch);
        return;
    }
    const int segments = segment_count(&a->layout, a->planes), warps = (int)blockDim.x / WARP;
    for (int segment = threadIdx.x / WARP; segment < segments; segment += warps) split_segment(a, token, segment);
}

// ---- Rounded, but floats ----

KERNEL(round_tokens_kernel, ROW_THREADS, RoundArguments) {
    SHARED(float, scratch, WARP);
    const float *x = a.x + (size_t)blockIdx.x * a.in;
    float *y = a.y + (size_t)blockIdx.x * a.in;
    const Rounding r = row_rounding(x, a.divisor, a.in, a.mode == ROUND_STATIC ? a.static_scale : 0, scratch);
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

static int launch_activations(void *stream, const ActivationArguments *a) {
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
