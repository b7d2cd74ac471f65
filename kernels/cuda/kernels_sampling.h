// A token for each row of logits, by one block a row: the arithmetic of kernels/sampling.h, the same sums in another
// order. Every thread takes part in every step and comes to the same results; what they share lies in Found.
#pragma once

#include "kernels/cuda/kernels_common.h"
#include "kernels/sampling.h"

// 64-bit sums by digit, in halves: 32-bit additions are what shared memory does by itself. A weight has 38 bits, so
// that 2^24 of them do not fill the upper half.
typedef struct DigitWeights {
    uint32_t low[DIGIT_VALUES], high[DIGIT_VALUES];
} DigitWeights;

typedef struct Found { // of each warp
    float logits[WARP];
    int32_t counts[WARP];
    uint64_t weights[WARP];
} Found;

// Logits first, first + step … before `end`, behind it NaN, which weighs nothing: asked for at once, since a block
// alone waits for memory more than it computes.
enum { AT_ONCE = 8 };
DEVICE void logits_at_once(const float *logits, int first, int step, int end, float *out) {
    UNROLL for (int j = 0; j < AT_ONCE; j++) out[j] = first + j * step < end ? logits[first + j * step] : NAN;
}

DEVICE uint64_t warp_sum_wide(uint64_t v) {
    UNROLL for (int mask = 16; mask > 0; mask /= 2) v += shuffle_wide(v, mask);
    return v;
}

// The largest, the first of equals; NO_INDEX when nothing is a number.
DEVICE int likeliest_of_row(const float *logits, int vocab, Found *found) {
    const int threads = (int)blockDim.x, warp = (int)threadIdx.x / WARP;
    float best = -INFINITY;
    int id = NO_INDEX;
    for (int i = threadIdx.x; i < vocab; i += AT_ONCE * threads) {
        float some[AT_ONCE];
        logits_at_once(logits, i, threads, vocab, some);
        UNROLL for (int j = 0; j < AT_ONCE; j++) {
            if (goes_before(some[j], i + j * threads, best, id)) best = some[j], id = i + j * threads;
        }
    }
    warp_first(&best, &id);
    if (threadIdx.x % WARP == 0) found->logits[warp] = best, found->counts[warp] = id;
    __syncthreads();
    best = found->logits[0], id = found->counts[0];
    for (int w = 1; w < threads / WARP; w++)
        if (goes_before(found->logits[w], found->counts[w], best, id)) best = found->logits[w], id = found->counts[w];
    __syncthreads();
    return id;
}

DEVICE uint64_t mass_of_row(const LogitRow *row, Found *found) {
    const int threads = (int)blockDim.x;
    uint64_t mass = 0;
    for (int i = threadIdx.x; i < row->vocab; i += AT_ONCE * threads) {
        float some[AT_ONCE];
        logits_at_once(row->logits, i, threads, row->vocab, some);
        UNROLL for (int j = 0; j < AT_ONCE; j++) mass += weight_of(distance_of(row, some[j]));
    }
    mass = warp_sum_wide(mass);
    if (threadIdx.x % WARP == 0) found->weights[threadIdx.x / WARP] = mass;
    __syncthreads();
    mass = 0;
    for (int w = 0; w < threads / WARP; w++) mass += found->weights[w];
    __syncthreads();
    return mass;
}

// ---- The nucleus ----

DEVICE void add_weight(DigitWeights *digits, uint32_t digit, uint64_t weight) {
    if (weight == 0) return;
    const uint32_t low = (uint32_t)weight, was = atomicAdd(&digits->low[digit], low);
    const uint32_t high = (uint32_t)(weight >> 32) + (was + low < was);
    if (high) atomicAdd(&digits->high[digit], high);
}

// The weights of tokens by the digit of their distance at `shift`, of those whose digits before are `before`. A thread
// holds what goes into the same sum, so that equal logits do not all wait for one.
DEVICE void weights_by_digit(const LogitRow *row, int shift, uint32_t before, DigitWeights *digits) {
    const int threads = (int)blockDim.x;
    uint32_t held = 0;
    uint64_t weight = 0;
    for (int d = threadIdx.x; d < DIGIT_VALUES; d += threads) digits->low[d] = digits->high[d] = 0;
    __syncthreads();
    for (int i = threadIdx.x; i < row->vocab; i += AT_ONCE * threads) {
        float some[AT_ONCE];
        logits_at_once(row->logits, i, threads, row->vocab, some);
        UNROLL for (int j = 0; j < AT_ONCE; j++) {
            const uint32_t distance = distance_of(row, some[j]), digit = distance >> shift & (DIGIT_VALUES - 1);
            if (distance == DISTANCE_FAR || distance >> shift >> DIGIT_BITS != before) continue;
            if (digit != held) {
                add_weight(digits, held, weight);
                held = digit, weight = 0;
            }
            weight += weight_of(distance);
        }
    }
    add_weight(digits, held, weight);
    __syncthreads();
}

DEVICE uint64_t weight_of_digit(const DigitWeights *digits, int d) {
    return (uint64_t)digits->high[d] << 32 | digits->low[d];
}

// The weights of 32 digits each.
DEVICE void weights_of_digits(const DigitWeights *digits, Found *found) {
    const int warps = (int)blockDim.x / WARP, lane = (int)threadIdx.x % WARP;
    for (int group = (int)threadIdx.x / WARP; group < DIGIT_VALUES / WARP; group += warps) {
        const uint64_t sum = warp_sum_wide(weight_of_digit(digits, group * WARP + lane));
        if (lane == 0) found->weights[group] = sum;
    }
    __syncthreads();
}

// The digit at which the weights reach `missing`; what those before it have is missing no more.
DEVICE uint32_t digit_reaching(const DigitWeights *digits, const Found *found, uint64_t *missing) {
    int group = 0;
    while (group < DIGIT_VALUES / WARP - 1 && found->weights[group] < *missing) *missing -= found->weights[group++];
    int digit = group * WARP;
    for (; digit < group * WARP + WARP - 1; digit++) {
        const uint64_t own = weight_of_digit(digits, digit);
        if (own >= *missing) break;
        *missing -= own;
    }
    return (uint32_t)digit;
}

DEVICE Nucleus nucleus_of_row(const LogitRow *row, float top_p, DigitWeights *digits, Found *found) {
    uint64_t missing = 0;
    uint32_t bound = 0;
    if (!(top_p < 1)) return whole_vocabulary();
    for (int shift = FIRST_DIGIT; shift >= 0; shift -= DIGIT_BITS) {
        weights_by_digit(row, shift, bound, digits);
        weights_of_digits(digits, found);
        if (shift == FIRST_DIGIT) {
            uint64_t mass = 0;
            for (int group = 0; group < DIGIT_VALUES / WARP; group++) mass += found->weights[group];
            missing = nucleus_reach(top_p, mass);
        }
        bound = bound << DIGIT_BITS | digit_reaching(digits, found, &missing);
        __syncthreads();
    }
    return nucleus_to(bound, missing);
}

// ---- The token ----

// What `weight_within` asks for, of each warp's part of the tokens from … to − 1.
DEVICE void weigh_parts(const LogitRow *row, const Nucleus *n, int from, int to, int part, Found *found) {
    const int warp = (int)threadIdx.x / WARP, begin = from + warp * part, end = begin + part < to ? begin + part : to;
    uint64_t nearer = 0;
    int equals = 0;
    for (int i = begin + (int)threadIdx.x % WARP; i < end; i += AT_ONCE * WARP) {
        float some[AT_ONCE];
        logits_at_once(row->logits, i, WARP, end, some);
        UNROLL for (int j = 0; j < AT_ONCE; j++) {
            const uint32_t distance = distance_of(row, some[j]);
            nearer += distance < n->bound ? weight_of(distance) : 0;
            equals += distance == n->bound;
        }
    }
    nearer = warp_sum_wide(nearer);
    equals = warp_sum_int(equals);
    if (threadIdx.x % WARP == 0) found->weights[warp] = nearer, found->counts[warp] = equals;
    __syncthreads();
}

// The tokens are cut into a part for each warp, and the part where the point lies again, until it is one token.
DEVICE int token_of_row(const LogitRow *row, Nucleus n, double point, Found *found) {
    const int warps = (int)blockDim.x / WARP;
    uint64_t place = 0;
    int from = 0, to = row->vocab;
    for (bool first = true; first || to - from > 1; first = false) {
        const int part = (to - from + warps - 1) / warps;
        weigh_parts(row, &n, from, to, part, found);
        if (first) {
            uint64_t nearer = 0;
            int equals = 0;
            for (int w = 0; w < warps; w++) nearer += found->weights[w], equals += found->counts[w];
            place = place_at(point, weight_within(&n, nearer, equals));
        }
        for (int w = 0; w < warps - 1; w++) {
            const uint64_t own = weight_within(&n, found->weights[w], found->counts[w]);
            if (place < own) break;
            place -= own;
            n.equals -= found->counts[w] < n.equals ? found->counts[w] : n.equals;
            from += part;
        }
        to = from + part < to ? from + part : to;
        __syncthreads();
    }
    return from;
}

KERNEL(choose_kernel, MOST_ROW_THREADS, ChooseArguments) {
    SHARED(DigitWeights, digits, 1);
    SHARED(Found, found, 1);
    const int r = (int)blockIdx.x;
    LogitRow row;
    row.logits = a.logits + (size_t)r * a.vocab, row.vocab = a.vocab, row.largest = 0, row.scale = distance_scale(1);
    int id = likeliest_of_row(row.logits, row.vocab, found);
    float probability = NAN;
    if (id != NO_INDEX) {
        row.largest = row.logits[id];
        const uint64_t mass = mass_of_row(&row, found);
        if (a.drawn) {
            row.scale = a.scale;
            id = token_of_row(&row, nucleus_of_row(&row, a.top_p, digits, found), a.points[r], found);
        }
        probability = token_probability(row.logits[id], row.largest, mass);
    }
    if (threadIdx.x != 0) return;
    a.ids[r] = id == NO_INDEX ? 0 : id;
    a.probabilities[r] = probability;
}

static int launch_choose(void *stream, const ChooseArguments *a) {
    return LAUNCH(choose_kernel, extent(a->rows, 1, 1), row_threads(a->vocab), 0, stream, a);
}
