// The dials turned by the program: bits and group size of every linear, for the smallest model within a bound on KL
// divergence, or the least divergence within a budget of bits per weight.
//
// How: linears that must agree (fused sets, when fused_together is on, and what engines store as one) form a unit. One
// scheme for all is looked for first: candidates on few tokens, the best of them in full. By that each unit is measured
// alone, and other schemes are expected from the noise in its outputs. The sum over units is minimized exactly within a
// size (a knapsack with one choice per unit); what it chooses is measured alone, too, and chosen again. Then the sum is
// weighed in several ways, and the choice of each is measured as a whole. For a bound on divergence, what is measured
// of wholes corrects the sum. The given recipe is a candidate, too, where it reaches the goal: no result is worse.
#pragma once

#include "analysis/points.h"
#include "analysis/statistics.h"
#include "export/verdict.h"

// Seconds that the machine takes for each weight that is packed, and for each that a token meets; 0: not known. Where
// only the second is known, packing a weight takes as long as meeting it so many times: measured, on processors.
typedef struct TunePace {
    double pack, meet;
} TunePace;
#define TUNE_PACKING 100

typedef struct TuneGoal {
    double max_kl;   // > 0: the smallest size whose mean divergence is at most this
    double max_bits; // > 0: the least divergence with at most so many bits per weight; one of both is set
    int bits[4];     // which bits may be used, of 2, 3, 4, 8; 0 where fewer
    // What the result is for: each unit gets schemes that these take, what they store as one is a unit, and what they
    // refuse of other dials is mended (verdict_keep), in all that is measured and in the result. Where none of them
    // loads the model, whatever the recipe, there is no search.
    Engines engines;
    // [linear_count]: linears that stay as the recipe has them. What must have one scheme with them gets theirs. NULL:
    // none. They count within a budget.
    const bool *kept;
    double seconds; // after which the search ends with the best so far, and on how many tokens units are measured; 0:
                    // no limit, and all
    TunePace pace;  // as far as it is known: it tells how long the search takes before it has measured that
} TuneGoal;

typedef enum TuneCut { TUNE_WHOLE, TUNE_OUT_OF_TIME, TUNE_STOPPED } TuneCut;

typedef struct Tuned {
    // The given one with an override for each linear that is not kept. Overrides that these would overrule are gone. Or
    // the given one itself.
    Recipe recipe;
    Point point; // what it costs, on the tokens of `verify`
    Point given; // the recipe as it was given, mended for the engines; not known where it does not reach the goal
    bool stays;  // nothing better was found: the result is that one
    // Of the recipes with the same bits and group size everywhere that reach the goal, the best (smallest, or least
    // divergence); not known when none does.
    Point uniform;
    int uniform_bits;
    size_t uniform_group;   // 0: whole channels
    Differences difference; // the tuned recipe minus the uniform one, position by position
    // What the sum over units says, each alone on tokens of `search`; NAN where the search ended before.
    double expected_kl;
    int units, trials; // how many, and how many evaluations were asked for
    int kept;          // linears
    int kept_mended;   // of these: the engines do not take what the recipe gives them, and so they have something else
    uint64_t tokens;   // positions in these evaluations
    double seconds;    // since the beginning
    TunePace pace;     // measured
    TuneCut cut;       // whether the search ended early
    // Of the best so far, NAN before: bits per weight of its units, and divergence on the tokens of `search` (for a
    // bound, of `verify`). Within a budget best_kl only falls, within a bound best_bits.
    double best_bits, best_kl;
    double first_kl; // what `uniform` has on the tokens of best_kl; NAN where there is none
} Tuned;

// search: for measuring units and choosing; verify: for what is reported, and for the bound. Both on the same model,
// with different tokens so that the choice is not judged by what it was made from; they may be the same. A goal that
// cannot be reached is refused with what can. partial (may be NULL) is called after each evaluation and each better
// recipe. A search that is stopped, or out of time, ends with the best so far, verified: the request to stop is then
// taken back, and another one ends that, too. Free with tuned_free in any case.
bool tune(Trial *search, Trial *verify, const ModelStats *stats, const Recipe *recipe, const TuneGoal *goal,
          void (*partial)(void *context, const Tuned *so_far), void *context, Tuned *out, Progress *progress,
          Error *err);
void tuned_free(Tuned *tuned);

// Seconds that a search would take without a limit, on so many tokens for choosing and as many for verifying; NAN where
// the pace is not known. Only what is scarce is asked: units, schemes, and the weights that a token meets.
bool tune_forecast(const ModelStructure *structure, const Plan *plan, const Recipe *recipe, const TuneGoal *goal,
                   size_t tokens, double *seconds, Error *err);
// Weights that a token meets in a layer, on average: of experts, those that it is sent to. And in the head.
void tune_weights_met(const ModelStructure *structure, double *layer, double *head);
