// The vocabulary of kernels_template.h with eight lanes: AVX2, FMA and F16C. simd_scalar.h says what each word means.
#pragma once

#include <immintrin.h>
#include <stdint.h>
#include <string.h>

#include "kernels/host/kernels.h"

#define LANES 8

typedef float Vf __attribute__((vector_size(32)));
typedef uint32_t Vu __attribute__((vector_size(32)));
typedef int32_t Vs __attribute__((vector_size(32)));

#define INLINE static inline __attribute__((always_inline, unused))

INLINE void ahead(const void *p) { _mm_prefetch(p, _MM_HINT_T0); }
INLINE Vf vf_load(const float *p) { return _mm256_loadu_ps(p); }
INLINE void vf_store(float *p, Vf v) { _mm256_storeu_ps(p, v); }
INLINE Vf vf_set(float value) { return _mm256_set1_ps(value); }
INLINE Vf vf_fma(Vf a, Vf b, Vf c) { return _mm256_fmadd_ps(a, b, c); }
INLINE Vf vf_max(Vf a, Vf b) { return _mm256_max_ps(a, b); }
INLINE Vf vf_min(Vf a, Vf b) { return _mm256_min_ps(a, b); }
INLINE Vf vf_abs(Vf a) { return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), a); }
INLINE Vf vf_round(Vf a) { return _mm256_round_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
INLINE float vf_sum(Vf v) {
    __m128 four = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}
INLINE void vf_sum_four(const Vf *v, float *sums) {
    Vf ab = _mm256_add_ps(_mm256_permute2f128_ps(v[0], v[1], 0x20), _mm256_permute2f128_ps(v[0], v[1], 0x31));
    Vf cd = _mm256_add_ps(_mm256_permute2f128_ps(v[2], v[3], 0x20), _mm256_permute2f128_ps(v[2], v[3], 0x31));
    Vf acbd = _mm256_add_ps(_mm256_shuffle_ps(ab, cd, 0x44), _mm256_shuffle_ps(ab, cd, 0xEE)); // two of each
    acbd = _mm256_add_ps(acbd, _mm256_movehdup_ps(acbd));
    sums[0] = acbd[0], sums[1] = acbd[4], sums[2] = acbd[2], sums[3] = acbd[6];
}
INLINE float vf_greatest(Vf v) {
    __m128 four = _mm_max_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    __m128 two = _mm_max_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_max_ss(two, _mm_movehdup_ps(two)));
}
INLINE float vf_least(Vf v) {
    __m128 four = _mm_min_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    __m128 two = _mm_min_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_min_ss(two, _mm_movehdup_ps(two)));
}
INLINE Vf vf_from_ints(Vs v) { return _mm256_cvtepi32_ps((__m256i)v); }
INLINE Vs vf_to_ints(Vf v) { return (Vs)_mm256_cvtps_epi32(v); }
INLINE Vf vf_from_pattern(Vs v) { return (Vf)v; }
INLINE Vf vf_from_bf16(const void *p) { return (Vf)((Vu)_mm256_cvtepu16_epi32(_mm_loadu_si128(p)) << 16); }
INLINE Vf vf_from_i8(const void *p) { return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64(p))); }
INLINE Vf vf_from_f16(const void *p) { return _mm256_cvtph_ps(_mm_loadu_si128(p)); }

INLINE Vs vs_from_pattern(Vf v) { return (Vs)v; }
INLINE Vs vs_from_i8(const void *p) { return (Vs)_mm256_cvtepi8_epi32(_mm_loadl_epi64(p)); }
typedef Vu Vt;
INLINE Vt vt_load(const uint8_t *bytes) { return (Vu)_mm256_loadu_si256((const __m256i *)(const void *)bytes); }
INLINE Vu vt_lookup(Vt table, Vu index) { return (Vu)_mm256_shuffle_epi8((__m256i)table, (__m256i)index); }
INLINE Vu vu_load(const void *p) { return (Vu)_mm256_loadu_si256(p); }
INLINE Vu vu_load_16(const void *p) { return (Vu)_mm256_cvtepu16_epi32(_mm_loadu_si128(p)); }
INLINE Vu vu_set(uint32_t value) { return (Vu)_mm256_set1_epi32((int)value); }
INLINE int32_t vs_sum(Vs v) {
    int32_t sum = 0;
    for (int i = 0; i < LANES; i++) sum += v[i];
    return sum;
}
INLINE void vs_store_bytes(int8_t *p, Vs v) {
    __m256i words = _mm256_packs_epi32((__m256i)v, (__m256i)v); // within each half
    __m256i bytes = _mm256_packs_epi16(words, words);
    int low = _mm256_extract_epi32(bytes, 0), high = _mm256_extract_epi32(bytes, 4);
    memcpy(p, &low, 4);
    memcpy(p + 4, &high, 4);
}

// Up to 4 bits pairs fit in 16 bits: 2 · 15 · 127. At 8 bits vpmaddubsw would saturate, so even and odd bytes are
// widened first.
INLINE Vs vs_dot(const int bits, Vs sum, Vu w, Vu x) {
    __m256i wide;
    if (bits <= 4) {
        wide = _mm256_madd_epi16(_mm256_maddubs_epi16((__m256i)w, (__m256i)x), _mm256_set1_epi16(1));
    } else {
        __m256i x_even = _mm256_srai_epi16(_mm256_slli_epi16((__m256i)x, 8), 8),
                x_odd = _mm256_srai_epi16((__m256i)x, 8);
        __m256i w_even = _mm256_and_si256((__m256i)w, _mm256_set1_epi16(0xFF)),
                w_odd = _mm256_srli_epi16((__m256i)w, 8);
        wide = _mm256_add_epi32(_mm256_madd_epi16(w_even, x_even), _mm256_madd_epi16(w_odd, x_odd));
    }
    return (Vs)_mm256_add_epi32((__m256i)sum, wide);
}
