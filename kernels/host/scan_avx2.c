#include <immintrin.h>

#include "kernels/host/kernels.h"
#include "kernels/host/scan_template.h"

// Bits of a 16-bit float ↔ numbers without sign in the order of their values, where an instruction finds the least of
// eight.
static inline __m256i ordered(__m256i bits) {
    __m256i sign = _mm256_srai_epi16(bits, 15);
    return _mm256_xor_si256(bits, _mm256_or_si256(sign, _mm256_set1_epi16((short)0x8000)));
}

static inline __m128i bits_of(__m128i order) {
    __m128i negative = _mm_xor_si128(_mm_srai_epi16(order, 15), _mm_set1_epi16(-1));
    return _mm_xor_si128(order, _mm_or_si128(negative, _mm_set1_epi16((short)0x8000)));
}

static inline uint16_t least_of(__m128i order) { return (uint16_t)_mm_extract_epi16(_mm_minpos_epu16(order), 0); }

static inline void group_range(const char *data, uint16_t *least, uint16_t *most) {
    __m256i order = ordered(_mm256_loadu_si256((const __m256i *)(const void *)data));
    __m128i low = _mm256_castsi256_si128(order), high = _mm256_extracti128_si256(order, 1);
    *least = least_of(_mm_min_epu16(low, high));
    *most = (uint16_t)~least_of(_mm_xor_si128(_mm_max_epu16(low, high), _mm_set1_epi16(-1)));
}

static inline __m256 eight_floats(DType dtype, const uint16_t *order) {
    __m128i bits = bits_of(_mm_loadu_si128((const __m128i *)(const void *)order));
    if (dtype == DTYPE_F16) return _mm256_cvtph_ps(bits);
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(bits), 16));
}

// Eight groups at a time are widened. NaN lies outside the infinities, so it shows in one of the ends: such a group is
// looked at again.
static void scan_ranges(DType dtype, const void *data, size_t groups, float *minima, float *maxima) {
    enum { BATCH = 64 };
    const size_t bytes = SCAN_GROUP * sizeof(uint16_t);
    uint16_t least[BATCH], most[BATCH];
    size_t whole = groups / 8 * 8;
    for (size_t from = 0; from < whole; from += BATCH) {
        size_t n = whole - from < BATCH ? whole - from : BATCH;
        for (size_t g = 0; g < n; g++) group_range((const char *)data + (from + g) * bytes, &least[g], &most[g]);
        for (size_t g = 0; g < n; g += 8) {
            __m256 low = eight_floats(dtype, least + g), high = eight_floats(dtype, most + g);
            int nan = _mm256_movemask_ps(_mm256_cmp_ps(low, high, _CMP_UNORD_Q));
            _mm256_storeu_ps(minima + from + g, low);
            _mm256_storeu_ps(maxima + from + g, high);
            for (; nan; nan &= nan - 1) {
                size_t at = from + g + (size_t)__builtin_ctz((unsigned)nan);
                host_kernels_scalar.range(dtype, (const char *)data + at * bytes, SCAN_GROUP, &minima[at], &maxima[at]);
            }
        }
    }
    for (size_t g = whole; g < groups; g++)
        host_kernels_scalar.range(dtype, (const char *)data + g * bytes, SCAN_GROUP, &minima[g], &maxima[g]);
}

// The first and the second of eight pairs.
static inline void pairs(const float *from, __m256 *first, __m256 *second) {
    __m256 a = _mm256_loadu_ps(from), b = _mm256_loadu_ps(from + 8);
    __m256 low = _mm256_permute2f128_ps(a, b, 0x20), high = _mm256_permute2f128_ps(a, b, 0x31);
    *first = _mm256_shuffle_ps(low, high, _MM_SHUFFLE(2, 0, 2, 0));
    *second = _mm256_shuffle_ps(low, high, _MM_SHUFFLE(3, 1, 3, 1));
}

static inline __m256 absmax_8(__m256 low, __m256 high) {
    const __m256 sign = _mm256_set1_ps(-0.0f);
    return _mm256_max_ps(_mm256_andnot_ps(sign, low), _mm256_andnot_ps(sign, high));
}

static inline __m256i thresholds_below_8(__m256 statistic, __m256 steps) {
    __m256 x = _mm256_mul_ps(statistic, steps);
    x = _mm256_min_ps(_mm256_max_ps(x, _mm256_setzero_ps()), steps); // of NaN: 0
    __m256i whole = _mm256_cvttps_epi32(x);
    __m256 part = _mm256_sub_ps(x, _mm256_cvtepi32_ps(whole));
    __m256 sure = _mm256_and_ps(_mm256_cmp_ps(part, _mm256_set1_ps(UNSURE), _CMP_GT_OQ),
                                _mm256_cmp_ps(part, _mm256_set1_ps(1 - UNSURE), _CMP_LT_OQ));
    __m256i next = _mm256_add_epi32(whole, _mm256_set1_epi32(1));
    return _mm256_blendv_epi8(_mm256_set1_epi32(-1), next, _mm256_castps_si256(sure));
}

// As merge_pairs, eight parents at a time.
static void merge_pairs_8(const float *low, const float *high, size_t parents, float steps, float *parent_low,
                          float *parent_high, int32_t *shrink, int32_t *literal) {
    const __m256 count = _mm256_set1_ps(steps), one = _mm256_set1_ps(1), largest = _mm256_set1_ps(FLT_MAX);
    const __m256i all = _mm256_set1_epi32((int32_t)steps);
    size_t p = 0;
    for (; p + 8 <= parents; p += 8) {
        __m256 l0, l1, h0, h1;
        pairs(low + 2 * p, &l0, &l1);
        pairs(high + 2 * p, &h0, &h1);
        __m256 least = _mm256_min_ps(l0, l1), most = _mm256_max_ps(h0, h1);
        __m256 narrowest = _mm256_min_ps(absmax_8(l0, h0), absmax_8(l1, h1)), range = absmax_8(least, most);
        __m256 widest = _mm256_max_ps(_mm256_sub_ps(h0, l0), _mm256_sub_ps(h1, l1)),
               spread = _mm256_sub_ps(most, least);
        __m256i shrunk = thresholds_below_8(_mm256_sub_ps(one, _mm256_div_ps(narrowest, range)), count);
        __m256i printed = thresholds_below_8(_mm256_div_ps(widest, spread), count);
        __m256 even = _mm256_cmp_ps(narrowest, range, _CMP_EQ_OQ), whole = _mm256_cmp_ps(widest, spread, _CMP_EQ_OQ);
        whole = _mm256_and_ps(whole, _mm256_cmp_ps(spread, _mm256_setzero_ps(), _CMP_GT_OQ));
        whole = _mm256_and_ps(whole, _mm256_cmp_ps(spread, largest, _CMP_LE_OQ));
        _mm256_storeu_ps(parent_low + p, least);
        _mm256_storeu_ps(parent_high + p, most);
        _mm256_storeu_si256((__m256i *)(void *)(shrink + p), _mm256_andnot_si256(_mm256_castps_si256(even), shrunk));
        _mm256_storeu_si256((__m256i *)(void *)(literal + p),
                            _mm256_blendv_epi8(printed, all, _mm256_castps_si256(whole)));
    }
    merge_pairs(low + 2 * p, high + 2 * p, parents - p, steps, parent_low + p, parent_high + p, shrink + p,
                literal + p);
}

static void squares(const float *low, const float *high, size_t n, double *absmaxes, double *spreads) {
    const __m128 sign = _mm_set1_ps(-0.0f), zero = _mm_setzero_ps();
    __m256d absmax = _mm256_setzero_pd(), spread = _mm256_setzero_pd();
    double absmax_lanes[SQUARE_LANES], spread_lanes[SQUARE_LANES];
    size_t i = 0;
    for (; i + SQUARE_LANES <= n; i += SQUARE_LANES) {
        __m128 below = _mm_max_ps(_mm_xor_ps(sign, _mm_loadu_ps(low + i)), zero);
        __m128 above = _mm_max_ps(_mm_loadu_ps(high + i), zero);
        __m256d range = _mm256_cvtps_pd(_mm_max_ps(below, above));
        __m256d width = _mm256_add_pd(_mm256_cvtps_pd(below), _mm256_cvtps_pd(above));
        absmax = _mm256_add_pd(absmax, _mm256_mul_pd(range, range));
        spread = _mm256_add_pd(spread, _mm256_mul_pd(width, width));
    }
    _mm256_storeu_pd(absmax_lanes, absmax);
    _mm256_storeu_pd(spread_lanes, spread);
    squares_in_lanes(low + i, high + i, n - i, absmax_lanes, spread_lanes);
    *absmaxes = sum_of_lanes(absmax_lanes);
    *spreads = sum_of_lanes(spread_lanes);
}

const ScanKernels scan_kernels_avx2 = {scan_ranges, magnitudes, merge_pairs_8, squares};
