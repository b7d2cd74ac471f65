// One group of weights on a number grid: its scale, its codes, and what they lose. Which numbers codes stand for says
// kernels/quantized.h.
#pragma once

#include "kernels/quantized.h"
#include "quant/quantize.h"
#include "quant/recipe.h"

// How one group is coded.
typedef struct Step {
    Grid grid; // two-level: `scale` is that of the group, factor · scale
    int bits;
    float scale;
    int zero; // asymmetric: the code of the number 0, in −2^(bits−1)…2^(bits−1) − 1
} Step;

// The range that a group's codes must cover. symmetric, log2 and two-level use its larger end.
typedef struct Range {
    float low, high; // low ≤ 0 ≤ high
} Range;

// False when a value is not finite.
bool group_range(Grid grid, const float *x, size_t n, Range *range);

//   symmetric, two-level  scale = absmax / qmax                     code = rint(w / scale), clamped
//   asymmetric            scale = (high − low) / (2^bits − 1)       zero = rint(−low / scale), code = rint(w / scale) +
//                                                                   zero, clamped
//   log2                  scale = absmax                            the nearest number of the grid, ties to the even
//                                                                   code
// Quotients are rounded to float once, then half to even.
Step step_of(Grid grid, int bits, DType dtype, Range range);
void step_codes(const Step *step, const float *x, size_t n, int8_t *codes);
// Adds Σ x² and Σ (x − value of its code)² of one group.
void step_error(const Step *step, const float *x, const int8_t *codes, size_t n, WeightError *error);

// The ranges that CLIP_MSE tries: the whole range times (32 − i) / 32.
#define CLIP_CANDIDATES 25
static inline float clip_share(int i) { return (float)(32 - i) / 32; }
// The step whose range loses least in squares among them, the widest of equals. codes [n]: scratch.
Step step_of_least_error(Grid grid, int bits, DType dtype, Range range, const float *x, size_t n, int8_t *codes);
