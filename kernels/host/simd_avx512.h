// The vocabulary of kernels_template.h with sixteen lanes: AVX-512 F, BW, DQ, VL and VNNI. simd_scalar.h says what each
// word means.
#pragma once

#include <immintrin.h>
#include <stdint.h>
#include <string.h>

#include "kernels/host/kernels.h"

#define LANES 16
#define HAS_PAIRS

typedef float Vf __attribute__((vector_size(64)));
typedef uint32_t Vu __attribute__((vector_size(64)));
typedef int32_t Vs __attribute__((vector_size(64)));

#define INLINE static inline __attribute__((always_inline, unused))

INLINE void ahead(const void *p) { _mm_prefetch(p, _MM_HINT_T0); }
INLINE Vf vf_load(const float *p) { return _mm512_loadu_ps(p); }
INLINE void vf_store(float *p, Vf v) { _mm512_storeu_ps(p, v); }
INLINE Vf vf_set(float value) { return _mm512_set1_ps(value); }
INLINE Vf vf_fma(Vf a, Vf b, Vf c) { return _mm512_fmadd_ps(a, b, c); }
INLINE Vf vf_max(Vf a, Vf b) { return _mm512_max_ps(a, b); }
INLINE Vf vf_min(Vf a, Vf b) { return _mm512_min_ps(a, b); }
INLINE Vf vf_abs(Vf a) { return _mm512_abs_ps(a); }
INLINE Vf vf_round(Vf a) { return _mm512_roundscale_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
INLINE float vf_sum(Vf v) { return _mm512_reduce_add_ps(v); }
INLINE void vf_sum_four(const Vf *v, float *sums) {
    Vf ab =
        _mm512_add_ps(_mm512_shuffle_f32x4(v[0], v[1], 0x44), _mm512_shuffle_f32x4(v[0], v[1], 0xEE)); // eight of each
    Vf cd = _mm512_add_ps(_mm512_shuffle_f32x4(v[2], v[3], 0x44), _mm512_shuffle_f32x4(v[2], v[3], 0xEE));
    Vf four =
        _mm512_add_ps(_mm512_shuffle_f32x4(ab, cd, 0x88), _mm512_shuffle_f32x4(ab, cd, 0xDD)); // four of a, b, c, d
    four = _mm512_add_ps(four, _mm512_permute_ps(four, 0x4E));
    four = _mm512_add_ps(four, _mm512_permute_ps(four, 0xB1));
    const __m512i firsts = _mm512_castsi128_si512(_mm_setr_epi32(0, 4, 8, 12));
    _mm_storeu_ps(sums, _mm512_castps512_ps128(_mm512_permutexvar_ps(firsts, four)));
}
INLINE float vf_greatest(Vf v) { return _mm512_reduce_max_ps(v); }
INLINE float vf_least(Vf v) { return _mm512_reduce_min_ps(v); }
INLINE Vf vf_from_ints(Vs v) { return _mm512_cvtepi32_ps((__m512i)v); }
INLINE Vs vf_to_ints(Vf v) { return (Vs)_mm512_cvtps_epi32(v); }
INLINE Vf vf_from_pattern(Vs v) { return (Vf)v; }
INLINE Vf vf_from_bf16(const void *p) { return (Vf)((Vu)_mm512_cvtepu16_epi32(_mm256_loadu_si256(p)) << 16); }
INLINE Vf vf_from_i8(const void *p) { return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(p))); }
INLINE Vf vf_from_f16(const void *p) { return _mm512_cvtph_ps(_mm256_loadu_si256(p)); }

INLINE Vs vs_from_pattern(Vf v) { return (Vs)v; }
INLINE Vs vs_from_i8(const void *p) { return (Vs)_mm512_cvtepi8_epi32(_mm_loadu_si128(p)); }
typedef Vu Vt;
INLINE Vt vt_load(const uint8_t *bytes) { return (Vu)_mm512_loadu_si512(bytes); }
INLINE Vu vt_lookup(Vt table, Vu index) { return (Vu)_mm512_shuffle_epi8((__m512i)table, (__m512i)index); }
INLINE Vu vu_load(const void *p) { return (Vu)_mm512_loadu_si512(p); }
INLINE Vu vu_load_16(const void *p) { return (Vu)_mm512_cvtepu16_epi32(_mm256_loadu_si256(p)); }
INLINE Vu vu_set(uint32_t value) { return (Vu)_mm512_set1_epi32((int)value); }
INLINE int32_t vs_sum(Vs v) { return _mm512_reduce_add_epi32((__m512i)v); }
INLINE void vs_store_bytes(int8_t *p, Vs v) { _mm_storeu_si128((__m128i *)p, _mm512_cvtepi32_epi8((__m512i)v)); }

// Two products of BF16 per lane: sum + w[2i] x[2i] + w[2i + 1] x[2i + 1].
INLINE Vf vf_dot_pairs(Vf sum, Vu w, Vu x) { return _mm512_dpbf16_ps(sum, (__m512bh)w, (__m512bh)x); }
INLINE Vs vs_dot(const int bits, Vs sum, Vu w, Vu x) {
    (void)bits;
    return (Vs)_mm512_dpbusd_epi32((__m512i)sum, (__m512i)w, (__m512i)x);
}
