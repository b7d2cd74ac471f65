// One group of weights on a number grid: its scale, its codes, and what they lose. kernels/quantized.h says which
// numbers codes stand for.
#pragma once

#include "kernels/quantized.h"
#include "quant/quantize.h"
#include "quant/recipe.h"

// How one group is coded.
typedef struct GroupCoding {
    Grid grid; // with factors: `scale` is that of the group, factor · scale
    int bits;
    float scale;
    int zero; // with zero points: the code of the number 0, in −2^(bits−1)…2^(bits−1) − 1
} GroupCoding;

// The range that a group's codes must cover. A grid without zero points has low = 0 and high = absmax.
typedef struct GroupRange {
    float low, high; // low ≤ 0 ≤ high
} GroupRange;

// False when a value is not finite.
bool group_range(Grid grid, const float *x, size_t n, GroupRange *range);

//   symmetric, two-level  scale = absmax / qmax                     code = rint(w / scale), clamped
//   asymmetric            scale = (high − low) / (2^bits − 1)       zero = rint(−low / scale), code = rint(w / scale) +
//                                                                   zero, clamped
//   log2                  scale = absmax                            the nearest number of the grid, ties to the even
//                                                                   code
// Quotients are rounded to float once, then half to even.
GroupCoding group_coding(Grid grid, int bits, DType dtype, GroupRange range);
void group_codes(const GroupCoding *coding, const float *x, size_t n, int8_t *codes);
// Adds Σ x² and Σ (x − value of its code)² of one group.
void group_error(const GroupCoding *coding, const float *x, const int8_t *codes, size_t n, WeightError *error);

// The ranges that CLIP_MSE tries: the whole range times (32 − i) / 32.
#define CLIP_CANDIDATES 25
static inline float clip_share(int i) { return (float)(32 - i) / 32; }
// The coding whose range loses least in squares among them, the widest of equals. codes [n]: scratch.
GroupCoding group_coding_of_least_error(Grid grid, int bits, DType dtype, GroupRange range, const float *x, size_t n,
                                        int8_t *codes);
