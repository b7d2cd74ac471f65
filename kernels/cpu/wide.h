// Weights whose products with 8-bit activations might not fit what packed.h sums in 32 bits: one 16-bit integer per
// weight and 64-bit sums, so that every product is exact. Exact but slow: what fits uses the fast kernels.
#pragma once

#include "kernels/host/kernels.h"

typedef struct Wide {
    size_t out, in, group, groups;
    int16_t *levels; // [out, in]: what is multiplied with the codes of activations
    float *scales;   // [out, groups]; two-level: [out]
    int8_t *factors; // two-level: [out, groups], or NULL
} Wide;

// True for a grid whose numbers are whole multiples of a group's scale, each ≤ 255 of them.
bool wide_knows(Grid grid, int bits);

// False when memory is short.
bool wide_new(const QuantizedWeight *w, Wide *wide, Error *err);
void wide_free(Wide *wide);
size_t wide_bytes(const Wide *wide);

// y [tokens, out] of rows first … end − 1; codes [tokens, in] and their scales [tokens].
void wide_product(const HostKernels *kernels, const Wide *w, const float *bias, const int8_t *codes,
                  const float *scales, size_t tokens, float *y, size_t first, size_t end);
