// Weights whose products with 8-bit activations might not fit what packed.h sums in 32 bits: one 16-bit integer per
// weight and 64-bit sums, so that every product is exact. Correct first: what fits has the fast kernels.
#pragma once

#include "kernels/host/kernels.h"

typedef struct Plain {
    size_t out, in, group, groups;
    int16_t *levels; // [out, in]: what is multiplied with the codes of activations
    float *scales;   // [out, groups]; two-level: [out]
    int8_t *factors; // two-level: [out, groups], or NULL
} Plain;

// True for a grid whose numbers are whole multiples of a group's scale, each ≤ 255 of them.
bool plain_knows(Grid grid, int bits);

// False when memory is short.
bool plain_new(const QuantizedWeight *w, Plain *plain, Error *err);
void plain_free(Plain *plain);
size_t plain_bytes(const Plain *plain);

// y [tokens, out] of rows first … end − 1; codes [tokens, in] and their scales [tokens].
void plain_product(const HostKernels *kernels, const Plain *w, const float *bias, const int8_t *codes,
                   const float *scales, size_t tokens, float *y, size_t first, size_t end);
