#include "kernels/host/coding_rows.h"

#include <immintrin.h>

// Pairs of rows at this distance exchange what lies on the wrong side.
static inline __attribute__((always_inline)) void exchange(const int apart, __m512i *rows) {
    const __m512i place = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    const __mmask16 wrong = _mm512_test_epi32_mask(place, _mm512_set1_epi32(apart));
    const __m512i there = _mm512_add_epi32(place, _mm512_set1_epi32(16)), // of the second operand
        lower = _mm512_mask_sub_epi32(place, wrong, there, _mm512_set1_epi32(apart)),
                  upper = _mm512_mask_mov_epi32(_mm512_add_epi32(place, _mm512_set1_epi32(apart)), wrong, there);
#pragma GCC unroll 16
    for (int i = 0; i < 16; i++) {
        if (i & apart) continue;
        const __m512i a = rows[i], b = rows[i + apart];
        rows[i] = _mm512_permutex2var_epi32(a, lower, b);
        rows[i + apart] = _mm512_permutex2var_epi32(a, upper, b);
    }
}

static void transpose_words(const uint32_t *words, size_t rows, size_t stride, size_t units, uint32_t *const *to) {
    const size_t whole = units / 16 * 16;
    for (size_t row = 0; row < rows; row += 16) {
        for (size_t u = 0; u < whole; u += 16) {
            __m512i block[16];
#pragma GCC unroll 16
            for (size_t i = 0; i < 16; i++) block[i] = _mm512_loadu_si512(words + (row + i) * stride + u);
            exchange(1, block), exchange(2, block), exchange(4, block), exchange(8, block);
#pragma GCC unroll 16
            for (size_t i = 0; i < 16; i++) _mm512_storeu_si512(to[u + i] + row, block[i]);
        }
    }
    transpose_loop(words, rows, stride, whole, units, to);
}

const CodingKernels coding_kernels_avx512 = {row_absmax, row_scales, row_codes, row_error, row_words, transpose_words};
