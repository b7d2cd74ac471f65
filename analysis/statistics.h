// Statistics of measurements that were made side by side.
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

// The fewest tokens or positions whose figures mean something. What happens at one position in a hundred (another first
// choice, a channel that stands out) is missed by so many with a probability below 5 % (0.99^300). With fewer, "100 %
// the same" does not even mean 99 %.
#define FEWEST_TOKENS 300
// The fewest items of a task: with fewer, accuracy is uncertain by more than 10 percentage points (1.96 · 0.5 / √n).
#define FEWEST_ITEMS 100

// The median, or the mean of the two in the middle; 0 of nothing. No value may be NAN.
bool median_of(const float *values, size_t n, float *out, Error *err);

// Spearman's rank correlation of n pairs; equal values share the mean of their ranks. NAN when it is not defined (n <
// 2, or all values of one side are equal).
bool rank_correlation(const double *a, const double *b, size_t n, double *out, Error *err);

// Mean of a − b over n positions that both were measured at, and its standard error: what the positions have in common
// (some are harder for any model) does not count, so that smaller differences can be told than from two separate
// errors.
typedef struct Difference {
    double mean, se;
} Difference;
Difference paired_difference(const float *a, const float *b, size_t n);

// Of two runs on the same n positions (evaluator_by_position). nll is the logarithm of the ratio of perplexities.
typedef struct Differences {
    Difference kl, nll, top1;
} Differences;
Differences paired_differences(const float *a, const float *b, size_t n);
