// The plain loops of scan.h. Each scan_*.c compiles them for its instruction set and replaces what it can do better.
#include <float.h>
#include <math.h>
#include <string.h>

#include "kernels/host/scan.h"

static inline int16_t magnitude_at(const char *row, size_t j) {
    int16_t bits;
    memcpy(&bits, row + j * sizeof bits, sizeof bits);
    return bits & 0x7FFF; // below 0x8000, so that signed comparisons do
}

static inline int16_t larger(int16_t a, int16_t b) { return a > b ? a : b; }

// Four rows at a time, so that the maxima are read and written less often.
static void magnitudes(const void *data, size_t rows, size_t stride, size_t n, uint16_t *patterns) {
    const char *a = data;
    for (; rows >= 4; rows -= 4, a += 4 * stride) {
        const char *b = a + stride, *c = b + stride, *d = c + stride;
        for (size_t j = 0; j < n; j++) {
            int16_t most =
                larger(larger(magnitude_at(a, j), magnitude_at(b, j)), larger(magnitude_at(c, j), magnitude_at(d, j)));
            patterns[j] = (uint16_t)larger((int16_t)patterns[j], most);
        }
    }
    for (; rows; rows--, a += stride) {
        for (size_t j = 0; j < n; j++) patterns[j] = (uint16_t)larger((int16_t)patterns[j], magnitude_at(a, j));
    }
}

static inline float absmax_of(float low, float high) {
    float a = fabsf(low), b = fabsf(high);
    return a > b ? a : b;
}

// The number of thresholds that a statistic in 0…1 exceeds, −1 too near to one of them. A statistic made of two
// differences and a quotient of floats is off by less than 2^−21; UNSURE allows 2^−20 of 1000 steps.
#define UNSURE 1e-3f
static inline int32_t thresholds_below(float statistic, float steps) {
    float x = statistic * steps;
    x = x > 0 ? x : 0; // NaN, too
    x = x < steps ? x : steps;
    int32_t whole = (int32_t)x;
    float part = x - (float)whole;
    return ((part > UNSURE) & (part < 1 - UNSURE)) ? whole + 1 : -1;
}

static void merge_pairs(const float *restrict low, const float *restrict high, size_t parents, float steps,
                        float *restrict parent_low, float *restrict parent_high, int32_t *restrict shrink,
                        int32_t *restrict literal) {
    for (size_t p = 0; p < parents; p++) {
        float l0 = low[2 * p], l1 = low[2 * p + 1], h0 = high[2 * p], h1 = high[2 * p + 1];
        float least = l0 < l1 ? l0 : l1, most = h0 > h1 ? h0 : h1;
        float a0 = absmax_of(l0, h0), a1 = absmax_of(l1, h1), s0 = h0 - l0, s1 = h1 - l1;
        float narrowest = a0 < a1 ? a0 : a1, range = absmax_of(least, most);
        float widest = s0 > s1 ? s0 : s1, spread = most - least;
        int32_t shrunk = thresholds_below(1 - narrowest / range, steps);
        int32_t printed = thresholds_below(widest / spread, steps);
        parent_low[p] = least;
        parent_high[p] = most;
        // The most frequent cases that lie on a threshold: 0 (or no number at all), and 1.
        shrink[p] = narrowest == range ? 0 : shrunk;
        literal[p] = ((widest == spread) & (spread > 0) & (spread <= FLT_MAX)) ? (int32_t)steps : printed;
    }
}

// Element i goes to lane i % SQUARE_LANES.
enum { SQUARE_LANES = 4 };

static void squares_in_lanes(const float *low, const float *high, size_t n, double *absmax, double *spread) {
    for (size_t i = 0; i < n; i++) {
        double below = low[i] < 0 ? (double)-low[i] : 0, above = high[i] > 0 ? (double)high[i] : 0;
        double range = below > above ? below : above, width = below + above;
        absmax[i % SQUARE_LANES] += range * range;
        spread[i % SQUARE_LANES] += width * width;
    }
}

static inline double sum_of_lanes(const double *lane) { return (lane[0] + lane[1]) + (lane[2] + lane[3]); }
