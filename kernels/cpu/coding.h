// Rows of weights to symmetric codes: the inner loops of quantization where every group has its absmax for range. One
// thread; callers share rows. The loops themselves are in coding_template.h, for quant/grids.c too.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct CodingKernels {
    // absmax [ceil(in / group)] of a row of `in` floats; false when one of them is not finite.
    bool (*absmax)(const float *x, size_t in, size_t group, float *absmax);
    // codes[j] = x[j] / scale of its group, half to even, within ±qmax.
    void (*codes)(const float *x, size_t in, size_t group, const float *scales, float qmax, int8_t *codes);
    // Adds Σ x² and Σ (x − (code − zero) · scale)², the same sums in every set.
    void (*error)(const float *x, const int8_t *codes, size_t in, size_t group, const float *scales, int zero,
                  double *signal, double *noise);
} CodingKernels;

extern const CodingKernels coding_kernels_scalar;
#ifdef QUANTDIAL_X86
extern const CodingKernels coding_kernels_avx2, coding_kernels_avx512;
#endif

// The set that goes with cpu_kernels_choose.
const CodingKernels *coding_kernels_choose(void);
