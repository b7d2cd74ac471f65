// Loops for statistics of weights: counts of 16-bit numbers, ranges of small groups, and what merging two groups does
// to their range. One thread; callers split the work. AVX2 does as well as wider vectors here, since counting is most
// of the work.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "kernels/dtype.h"

enum { SCAN_GROUP = 16 };

typedef struct ScanKernels {
    // minima, maxima of `groups` runs of SCAN_GROUP elements of F16 or BF16; NaN is skipped, and of nothing but NaN
    // they are infinity and −infinity.
    void (*ranges)(DType, const void *data, size_t groups, float *minima, float *maxima);

    // patterns[j] = max(patterns[j], bits of |element j|) over rows of n 16-bit floats, `stride` bytes apart. The bits
    // of NaN are above infinity's.
    void (*magnitudes)(const void *data, size_t rows, size_t stride, size_t n, uint16_t *patterns);

    // Merges 2 · parents ranges in pairs. For each the number of thresholds 0, 1/steps, 2/steps … that are exceeded, by
    //   shrink   1 − min(absmax of the two) / absmax of both
    //   literal  max(max − min of the two) / (max − min of both)
    // or −1 where float arithmetic is too close to a threshold to tell, or the statistic is not a number.
    void (*merge_pairs)(const float *low, const float *high, size_t parents, float steps, float *parent_low,
                        float *parent_high, int32_t *shrink, int32_t *literal);

    // Sums over n ranges of max(−low, high, 0)², and of the square of the range with 0 in it. The order of adding, and
    // so every digit, is the same on all processors. Ranges of nothing but NaN (infinity to −infinity) add 0.
    void (*squares)(const float *low, const float *high, size_t n, double *absmaxes, double *spreads);
} ScanKernels;

extern const ScanKernels scan_kernels_scalar;
#ifdef QUANTDIAL_X86
extern const ScanKernels scan_kernels_avx2;
#endif
