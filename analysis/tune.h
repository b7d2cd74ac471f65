// The dials turned by the program: bits and group size of every linear, for the smallest model within a bound on KL
// divergence, or the least divergence within a budget of bits per weight.
//
// How: linears that must agree (fused sets, when fused_together is on) form a unit. The divergence of each unit alone
// is measured once for each number of bits and estimated for the other group sizes from the noise in its outputs; the
// sum over units is minimized exactly within a size (a knapsack with one choice per unit). The choice is then measured
// as a whole, the share of each unit in it is measured by taking the unit back, and the choice is made again with that.
#pragma once

#include "analysis/points.h"
#include "analysis/statistics.h"

typedef struct TuneGoal {
    double max_kl;   // > 0: the smallest size whose mean divergence is at most this
    double max_bits; // > 0: the least divergence with at most so many bits per weight; one of both is set
    int bits[4];     // which bits may be used, of 2, 3, 4, 8; 0 where fewer
} TuneGoal;

typedef struct Tuned {
    Recipe recipe; // the given one with an override for each linear
    Point point;   // what it costs, on the tokens of `verify`
    // Of the recipes with the same bits and group size everywhere that reach the goal, the best (smallest, or least
    // divergence); not known when none does.
    Point uniform;
    int uniform_bits;
    size_t uniform_group;  // 0: whole channels
    Difference difference; // divergence of the tuned recipe minus that of the uniform one, position by position
    double expected_kl;    // what the sum over units said, on the tokens of `search`
    int units, trials;     // how many, and how many evaluations were asked for
} Tuned;

// search: for measuring units and choosing; verify: for what is reported, and for the bound. Both on the same model,
// with different tokens so that the choice is not judged by what it was made from; they may be the same. A goal that
// cannot be reached is refused with what can. Free with tuned_free in any case.
bool tune(Trial *search, Trial *verify, const ModelStats *stats, const Recipe *recipe, const TuneGoal *goal, Tuned *out,
          Progress *progress, Error *err);
void tuned_free(Tuned *tuned);
