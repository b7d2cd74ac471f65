// Rows of dense weights to symmetric codes, where every group has its absmax for range. One thread; callers share rows.
#pragma once

#include "kernels/host/kernels.h"

// row [in] = row `index` of a dense weight in floats, · factors [in] / divisors[index] unless they are NULL.
void load_equalized_row(const HostKernels *, DType, const void *data, size_t in, size_t index, const float *factors,
                        const float *divisors, float *row);

typedef struct RowCoding {
    size_t in, group;
    int bits;
    DType scale_dtype;
    float scale; // of all groups, or 0: each its own, scale_of(absmax, qmax)
} RowCoding;

// scales [groups], codes [in]. Adds Σ w² and Σ (w − ŵ)² to errors [2] unless that is NULL. False when the row holds
// something that is not finite.
bool code_symmetric_row(const HostKernels *, const RowCoding *, const float *row, float *scales, int8_t *codes,
                        double *errors);
