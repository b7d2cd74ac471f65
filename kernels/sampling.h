// The arithmetic by which a token is chosen from a row of logits (`choose` of backend.h), for the host and for kernels.
// It is done in whole numbers: their sums do not depend on an order, so that every backend chooses the same token from
// the same logits, to the last bit.
//
// The *distance* of a token says how many times less probable it is than the likeliest one, in octaves with 24 bits
// behind the point: 0 for logits equal to the largest and for no others. Its *weight* is 2^(38 − distance), rounded
// down; the sum over 2^24 tokens fits 63 bits. What is 39 octaves away, −∞ and NaN weigh nothing and are never chosen.
#ifndef QUANTDIAL_KERNELS_SAMPLING_H
#define QUANTDIAL_KERNELS_SAMPLING_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __CUDACC__
#define SAMPLING static __host__ __device__ __forceinline__
#else
#define SAMPLING static inline __attribute__((unused))
#endif

// Distances have three digits of ten bits.
enum { OCTAVE_BITS = 24, WEIGHT_BITS = 38, DIGIT_BITS = 10, DIGIT_VALUES = 1024, FIRST_DIGIT = 20 };
#define DISTANCE_FAR ((uint32_t)(WEIGHT_BITS + 1) << OCTAVE_BITS)

typedef struct LogitRow {
    const float *logits; // [vocab]
    int vocab;
    float largest; // of those that are numbers
    float scale;   // distance_scale of the temperature
} LogitRow;

// What a difference between logits is as a distance. temperature > 0
SAMPLING float distance_scale(float temperature) {
    return (float)(1.4426950408889634 * (1 << OCTAVE_BITS) / (double)temperature); // log2 e
}

SAMPLING uint32_t distance_of(const LogitRow *row, float logit) {
    const float far = (float)DISTANCE_FAR, distance = (row->largest - logit) * row->scale;
    const float cut = distance < far ? distance : far; // NaN is far
    return logit == row->largest ? 0 : (uint32_t)cut + (cut < far);
}

// 2^−x of the fraction by a polynomial, within 2e-7 of itself.
SAMPLING uint64_t weight_of(uint32_t distance) {
    const float x = (float)(distance & ((1u << OCTAVE_BITS) - 1)) * 0x1p-24f;
    float power = 1.09023189e-4f;
    power = power * x - 1.27474824e-3f;
    power = power * x + 9.57917981e-3f;
    power = power * x - 5.54907583e-2f;
    power = power * x + 2.40224361e-1f;
    power = power * x - 6.93147063e-1f;
    power = power * x + 1.0f;
    return (uint64_t)(uint32_t)(power * 0x1p31f) << (WEIGHT_BITS - 31) >> (distance >> OCTAVE_BITS);
}

// The tokens to choose among: those nearer than `bound`, and of those just there the first `equals` in the order of
// ids.
typedef struct Nucleus {
    uint32_t bound;
    int equals;
} Nucleus;

SAMPLING Nucleus whole_vocabulary(void) {
    Nucleus n;
    n.bound = DISTANCE_FAR, n.equals = 0;
    return n;
}

// The weight that a nucleus must reach; top_p < 1, or NaN.
SAMPLING uint64_t nucleus_reach(float top_p, uint64_t mass) {
    const double reach = ceil((double)top_p * (double)mass);
    return reach >= 1 ? (uint64_t)reach : 1;
}

// The nucleus whose last tokens lie at `bound`, where `missing` weight is still to be reached.
SAMPLING Nucleus nucleus_to(uint32_t bound, uint64_t missing) {
    const uint64_t own = weight_of(bound);
    Nucleus n;
    n.bound = bound, n.equals = (int)((missing + own - 1) / own);
    return n;
}

// The weight of some tokens that follow each other: `nearer` of those within the bound, and of `equals` just there as
// many as belong to the nucleus.
SAMPLING uint64_t weight_within(const Nucleus *n, uint64_t nearer, int equals) {
    return nearer + (uint64_t)(equals < n->equals ? equals : n->equals) * weight_of(n->bound);
}

// The place at `point` of the way through a mass.
SAMPLING uint64_t place_at(double point, uint64_t mass) {
    const double place = point * (double)mass;
    if (!(place > 0)) return 0;
    return place < (double)(mass - 1) ? (uint64_t)place : mass - 1;
}

// The softmax probability, at temperature 1, of a token that may be chosen; mass: of all weights at temperature 1.
SAMPLING float token_probability(float logit, float largest, uint64_t mass) {
    const double own = logit == largest ? 1 : exp((double)logit - (double)largest);
    return (float)(own / ((double)mass * 0x1p-38));
}

#endif
