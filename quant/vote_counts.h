// FineQuant's votes of one matrix for every alpha at once (measured.h), from the ranges of its smallest groups.
#pragma once

#include "base/error.h"
#include "quant/measured.h"
#include "quant/recipe.h"

#define LADDER_FLOOR 16 // the smallest group size that is looked at

// The ladder of group sizes of a row of `in` columns: in, then the powers of two ≥ floor that divide it, largest first.
// Returns how many; `floor` is a power of two.
int ladder_sizes(size_t in, uint32_t floor, uint32_t sizes[LADDER_MAX]);

// minima, maxima: [rows, columns / base_group], of groups of base_group columns (a power of two ≥ 16), as group_ranges
// gives them. Where base_group does not divide `columns` the ladder has no steps and they are not read. A parent that
// holds values which are not finite does not vote. Free with vote_counts_free.
bool vote_counts_build(const float *minima, const float *maxima, size_t rows, size_t columns, uint32_t base_group,
                       VoteCounts *out, Error *err);
// Adds the votes of further rows of the same matrix: votes are counted per parent, and a parent lies within a row. *sum
// may come from a build with no rows.
void vote_counts_add(VoteCounts *sum, const VoteCounts *more);
void vote_counts_free(VoteCounts *counts);

// The share of parents at `step` that vote for going on: statistic > alpha, alpha rounded to 1 / VOTE_STEPS.
double vote_share(const VoteCounts *counts, AlphaRule rule, int step, double alpha);
