// What the files of the tuner share: units, the schemes that each may have, and what is known of their divergences.
// tune_clock.h tells how long that takes. Calls go one way: tune.c → tune_choose.c → tune_units.c → tune_kept.c.
#pragma once

#include "analysis/knapsack.h"
#include "analysis/tune_clock.h"

typedef struct Scheme {
    int bits;
    size_t group; // 0: whole channel
} Scheme;

// Linears that share one scheme. Arrays are by scheme.
typedef struct Unit {
    bool offered[KNAPSACK_CHOICES];
    double bytes[KNAPSACK_CHOICES];
    double noise[KNAPSACK_CHOICES];    // noise / signal of the outputs, summed over its linears
    double measured[KNAPSACK_CHOICES]; // divergence with this unit alone quantized; < 0: not measured
    double alone[KNAPSACK_CHOICES];    // the same, or what is expected
    double share[KNAPSACK_CHOICES];    // what it is thought to add to a whole
    double worth;                      // by which that is multiplied to agree with wholes that were measured
    double weights;
    int layer; // of its first linear
} Unit;

// How shares follow from what units cost alone. trust: the power of the divergence; the rest to 1 is that of the noise.
// growth: how much faster than alone a share grows with noise. With trust 0 nothing has to be measured.
typedef struct Weighing {
    double trust, growth;
} Weighing;

// Schemes of all units, measured together on the tokens of verify.
typedef struct Whole {
    int *schemes; // [unit_count]
    double kl;
} Whole;
#define WHOLES 32
#define LEAST_KL 1e-12 // where nothing is lost at all

typedef struct Tuning {
    Trial *search, *verify;
    Trial few, some; // of search
    Trial *alone;    // on which units are measured: few, some or search
    Trial *last;     // that made the model follow a plan
    const ModelStructure *structure;
    const ModelStats *stats;
    const Recipe *recipe;
    const TuneGoal *goal;
    void (*partial)(void *context, const Tuned *so_far);
    void *context;
    Tuned *out;
    Progress *progress;
    TunePhase phase;
    TuneClock clock;
    double reached; // share of the whole that is told by the work begun so far
    Error *err;
    double began; // clock_seconds
    Scheme schemes[KNAPSACK_CHOICES];
    int scheme_count;
    Plan uniform[KNAPSACK_CHOICES]; // every linear by this scheme, but for those that are kept
    Recipe start;                   // the recipe without what the result will overrule
    bool *kept;                     // [linear_count]: as the recipe has them
    Plan kept_plan;                 // which has their decisions
    double kept_bytes;
    Plan varied;  // room for one assembled from those
    int *unit_of; // [linear_count], −1: not quantized, or kept
    Unit *units;  // [unit_count]
    int unit_count;
    double elements;            // weights in all units, and in what is kept
    int anchor;                 // the scheme by which all units are measured first
    float *uniform_by_position; // [POSITION_FIGURES, positions of verify], of out->uniform
    Recipe given;               // of out->given
    float *given_by_position;
    double verify_seconds; // what one evaluation there takes
    Weighing weighing;     // the best so far
    int *chosen, *best;    // [unit_count] → scheme
    Whole wholes[WHOLES];  // that shares are learned from; for a bound only
    int whole_count;
    bool best_known;
} Tuning;

// ---- tune_kept.c ----

bool tuning_start(Tuning *t);                  // the recipe to start from
void override_drop_scheme(Override *override); // its bits and groups
// unit [linear_count] (quant/units.h): whole units of a kept linear are kept, with its scheme. After uniform is made.
bool tuning_keep(Tuning *t, const int *unit);

// ---- tune_units.c ----

bool tuning_units(Tuning *t);                             // schemes and units, and which may have which; what is kept
bool tuning_noise(Tuning *t);                             // of each unit by each scheme
bool scheme_for_all(const Tuning *t, int scheme);         // all units may have it
double tuning_bytes(const Tuning *t, const int *schemes); // with those of what is kept
// The recipe that gives units these schemes.
bool tuning_recipe(const Tuning *t, const int *schemes, Recipe *out);

// The plan on the tokens of one of the trials: of everything (only −1), or of this unit. by_position as of
// trial_run_positions, or NULL.
bool tuning_run(Tuning *t, Trial *trial, const Plan *plan, int only, Accuracy *out, float *by_position);
// All units by their schemes, and the recipe's cache.
bool tuning_whole(Tuning *t, Trial *trial, const int *schemes, double *kl);
// Measures each unit alone by its scheme, as far as that is not known.
bool tuning_measure(Tuning *t, const int *schemes);
// Whether all of them are.
bool tuning_known(const Tuning *t, const int *schemes);
bool tuning_begun(const Tuning *t); // each unit is measured by some scheme
// alone, from what is measured; tuning_begun.
void tuning_expect(Tuning *t);

// ---- tune_choose.c ----

// The schemes of the least sum of shares within a size, or of the least size within a sum (knapsack.h), where all
// chosen ones are measured. *found: false when none is within the limit.
bool tuning_choose(Tuning *t, double most_bytes, double most_share, int *schemes, bool *found);
// From now on shares agree with this measurement, too.
bool tuning_learn(Tuning *t, const int *schemes, double kl);
bool tuning_learned(const Tuning *t, const int *schemes);     // whether it was measured already
void tuning_forget(Tuning *t);                                // all that was learned
double tuning_sum_alone(const Tuning *t, const int *schemes); // of divergences alone

typedef struct Choice {
    Weighing by;
    int *schemes; // [unit_count]
    double sum;   // of shares
    double kl;    // of the whole, on some tokens; infinite: the same as another
} Choice;

typedef struct Choices {
    Choice list[WEIGHINGS]; // the best first
    int *schemes;           // [WEIGHINGS, unit_count]
} Choices;

// One choice within a size for each way of weighing, measured as a whole. Free with choices_free in any case.
bool tuning_choices(Tuning *t, double most_bytes, Choices *out);
void choices_free(Choices *choices);
