// The vocabulary of kernels_template.h with one lane: plain C, the truth for the wide ones. GNU C's operators (+ − · &
// | >> …) work on vectors and on single values alike, so only what operators cannot say is named here.
#pragma once

#include <math.h>
#include <stdint.h>
#include <string.h>

#include "kernels/host/kernels.h"

#define LANES 1

typedef float Vf;    // LANES floats
typedef uint32_t Vu; // LANES 32-bit patterns
typedef int32_t Vs;  // LANES signed integers

#define INLINE static inline __attribute__((always_inline, unused))

INLINE void ahead(const void *p) { __builtin_prefetch(p); }
INLINE Vf vf_load(const float *p) { return *p; }
INLINE void vf_store(float *p, Vf v) { *p = v; }
INLINE Vf vf_set(float value) { return value; }
INLINE Vf vf_fma(Vf a, Vf b, Vf c) { return a * b + c; } // without the hardware's fma a library call would be needed
INLINE Vf vf_max(Vf a, Vf b) { return a > b ? a : b; }   // b when one is NaN, as the vector instructions have it
INLINE Vf vf_min(Vf a, Vf b) { return a < b ? a : b; }
INLINE Vf vf_abs(Vf a) { return fabsf(a); }
INLINE Vf vf_round(Vf a) { return rintf(a); }
INLINE float vf_sum(Vf v) { return v; }
INLINE void vf_sum_four(const Vf *v, float *sums) { // each added up in the same order as by vf_sum
    for (int i = 0; i < 4; i++) sums[i] = v[i];
}
INLINE float vf_greatest(Vf v) { return v; }
INLINE float vf_least(Vf v) { return v; }
INLINE Vf vf_from_ints(Vs v) { return (float)v; }
INLINE Vs vf_to_ints(Vf v) { return (int32_t)rintf(v); } // for values that are whole and small
INLINE Vf vf_from_pattern(Vs v) {
    Vf value;
    memcpy(&value, &v, sizeof value);
    return value;
}
INLINE Vf vf_from_i8(const void *p) {
    int8_t code;
    memcpy(&code, p, sizeof code);
    return code;
}
INLINE Vf vf_from_bf16(const void *p) {
    uint16_t bits;
    memcpy(&bits, p, sizeof bits);
    return bf16_to_float(bits);
}
INLINE Vf vf_from_f16(const void *p) {
    uint16_t bits;
    memcpy(&bits, p, sizeof bits);
    return f16_to_float(bits);
}

INLINE Vs vs_from_pattern(Vf v) {
    Vs bits;
    memcpy(&bits, &v, sizeof bits);
    return bits;
}
INLINE Vs vs_from_i8(const void *p) { return *(const int8_t *)p; } // LANES bytes, sign-extended
typedef struct Vt {                                                // 16 bytes, repeated as often as a vector holds them
    uint8_t bytes[16];
} Vt;
INLINE Vt vt_load(const uint8_t *bytes) { // [64]
    Vt table;
    memcpy(&table, bytes, sizeof table);
    return table;
}
INLINE Vu vt_lookup(Vt table, Vu index) { // byte by byte; each < 16
    Vu found = 0;
    for (int i = 0; i < 32; i += 8) found |= (Vu)table.bytes[index >> i & 15] << i;
    return found;
}
INLINE Vu vu_load(const void *p) {
    Vu value;
    memcpy(&value, p, sizeof value);
    return value;
}
INLINE Vu vu_load_16(const void *p) { // LANES 16-bit patterns, zero-extended
    uint16_t value;
    memcpy(&value, p, sizeof value);
    return value;
}
INLINE Vu vu_set(uint32_t value) { return value; }
INLINE int32_t vs_sum(Vs v) { return v; }
INLINE void vs_store_bytes(int8_t *p, Vs v) { *p = (int8_t)v; }

// sum + Σ of four products: bytes of w unsigned and below 2^bits, bytes of x signed.
INLINE Vs vs_dot(const int bits, Vs sum, Vu w, Vu x) {
    (void)bits;
    for (int shift = 0; shift < 32; shift += 8) sum += (int32_t)(w >> shift & 0xFF) * (int8_t)(x >> shift & 0xFF);
    return sum;
}
