// Loops over one group of weights. Written so that compilers make vector code of them; coding_*.c compile them for
// their instruction sets.
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "kernels/host/coding.h"

// The bits of |x| order as the values do, and NaN and infinity lie above every number: one pass finds both.
static inline uint32_t absmax_bits(const float *x, size_t n) {
    int32_t most = 0;
    for (size_t j = 0; j < n; j++) {
        int32_t bits;
        memcpy(&bits, &x[j], sizeof bits);
        bits &= 0x7FFFFFFF;
        most = bits > most ? bits : most;
    }
    return (uint32_t)most;
}
#define BITS_OF_INFINITY 0x7F800000u

// Rounds half to even: adding 1.5 · 2^23 leaves no room for a fraction. Unlike rintf it needs no call where the
// processor's base instruction set cannot round. |x| must stay below 2^22.
static inline float rounded(float x) {
    const float shift = 0x1.8p23f;
    return (x + shift) - shift;
}

static inline void symmetric_codes(const float *x, size_t n, float scale, float qmax, int8_t *codes) {
    for (size_t j = 0; j < n; j++) {
        float q = x[j] / scale; // not times 1 / scale: that would round twice
        q = q > qmax ? qmax : q;
        q = q < -qmax ? -qmax : q;
        codes[j] = (int8_t)(int32_t)rounded(q);
    }
}

// Sums in a fixed order whatever the instruction set and the number of threads: element j of a group goes to lane j mod
// 8.
enum { LANES = 8 };

typedef struct LaneSums {
    double signal[LANES], noise[LANES];
} LaneSums;

static inline void add_to_lane(double *signal, double *noise, float x, float value) {
    double w = (double)x, lost = (double)(x - value);
    *signal += w * w;
    *noise += lost * lost;
}

// Values are (code − zero) · scale. The lanes are copied so that they can stay in registers.
static inline void uniform_error(const float *x, const int8_t *codes, size_t n, float scale, int zero, LaneSums *sums) {
    LaneSums here = *sums;
    size_t whole = n / LANES * LANES;
    for (size_t j = 0; j < whole; j += LANES) {
        for (size_t l = 0; l < LANES; l++)
            add_to_lane(&here.signal[l], &here.noise[l], x[j + l], (float)(codes[j + l] - zero) * scale);
    }
    for (size_t l = 0; l < n - whole; l++)
        add_to_lane(&here.signal[l], &here.noise[l], x[whole + l], (float)(codes[whole + l] - zero) * scale);
    *sums = here;
}

static inline void add_lanes(const LaneSums *sums, double *signal, double *noise) {
    for (size_t l = 0; l < LANES; l++) {
        *signal += sums->signal[l];
        *noise += sums->noise[l];
    }
}
