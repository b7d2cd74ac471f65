// Loops that turn weights into codes: ranges, symmetric codes, their errors, and words of the packed layout (packed.h).
// One thread; callers share rows. The inner loops are in coding_template.h, for quant/grids.c too.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernels/dtype.h"

typedef struct CodingKernels {
    // absmax [ceil(in / group)] of a row of `in` floats; false when one of them is not finite.
    bool (*absmax)(const float *x, size_t in, size_t group, float *absmax);
    // scales[i] = scale_of(absmax[i], qmax, dtype), in place.
    void (*scales)(float *absmax, size_t n, float qmax, DType dtype);
    // codes[j] = x[j] / scale of its group, half to even, within ±qmax.
    void (*codes)(const float *x, size_t in, size_t group, const float *scales, float qmax, int8_t *codes);
    // Adds Σ x² and Σ (x − (code − zero) · scale)², the same sums in every set.
    void (*error)(const float *x, const int8_t *codes, size_t in, size_t group, const float *scales, int zero,
                  double *signal, double *noise);
    // One row's words of `units` whole units. high: at 3 bits its 16-bit words, else not touched.
    void (*words)(int bits, const int8_t *codes, size_t units, uint32_t *words, uint16_t *high);
    // to[u] [rows] = column u of words [rows, `stride`]; rows a multiple of 16.
    void (*transpose)(const uint32_t *words, size_t rows, size_t stride, size_t units, uint32_t *const *to);
} CodingKernels;

extern const CodingKernels coding_kernels_scalar;
#ifdef QUANTDIAL_X86
extern const CodingKernels coding_kernels_avx2, coding_kernels_avx512;
#endif
