// What the rules of adaptive granularity ask of one matrix, for every alpha at once (measured.h): FineQuant's votes and
// the squared ranges of every group size, from the ranges of its smallest groups.
#pragma once

#include "base/error.h"
#include "quant/measured.h"

#define LADDER_FLOOR 16 // the smallest group size that is looked at

// The ladder of group sizes of a row of `in` columns: in, then the powers of two ≥ floor that divide it, largest first.
// Returns how many; `floor` is a power of two.
int ladder_sizes(size_t in, uint32_t floor, uint32_t sizes[LADDER_MAX]);

// minima, maxima: [rows, columns / base_group], of groups of base_group columns (a power of two ≥ 16), as group_ranges
// gives them. Where base_group does not divide `columns` the ladder has no steps and they are not read. A parent that
// holds values which are not finite does not vote. Free with vote_counts_free.
bool vote_counts_build(const float *minima, const float *maxima, size_t rows, size_t columns, uint32_t base_group,
                       VoteCounts *out, Error *err);
void vote_counts_free(VoteCounts *counts);

// The same piece by piece, each thread with a tally of its own: rows are added in any order and number, then one tally
// is merged into another and turned into counts. Votes are counted per parent, and a parent lies within a row, so the
// counts do not depend on how rows were divided. Nor do the sums of squares: each row has its own, which the caller
// keeps in the order of the matrix, [rows, vote_tally_squares]. Free with vote_tally_free in any case.
typedef struct VoteTally VoteTally;
bool vote_tally_new(size_t columns, uint32_t base_group, VoteTally **out, Error *err);
size_t vote_tally_squares(const VoteTally *tally); // numbers per row
// squares: of these rows, written.
void vote_tally_add(VoteTally *tally, const float *minima, const float *maxima, size_t rows, double *squares);
void vote_tally_merge(VoteTally *sum, const VoteTally *more);
// squares: of all rows of the matrix.
bool vote_tally_counts(const VoteTally *tally, const double *squares, VoteCounts *out, Error *err);
void vote_tally_free(VoteTally *tally);

// The share of parents at `step` that vote for going on: statistic > alpha, alpha rounded to 1 / VOTE_STEPS.
double vote_share(const VoteCounts *counts, VoteRule rule, int step, double alpha);
