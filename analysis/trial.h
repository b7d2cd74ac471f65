// Trials: one plan after the other, measured on the same tokens. Sensitivities, sweeps, comparisons and the tuner are
// made of them. Each starts at the first layer that differs from the trial before, and what was measured once is kept
// on disk, so that a study that was stopped goes on where it was.
#pragma once

#include "analysis/accuracy.h"
#include "analysis/stats.h"
#include "model/quantized_model.h"

typedef struct TrialCache TrialCache;

typedef struct Trial {
    Transformer *base;
    QuantizedModel *model;    // follows the last plan that had to be evaluated
    Evaluator *evaluator;     // where the last evaluation left it
    const Measured *measured; // what the plans were made from
    TrialCache *cache;        // NULL: nothing is kept
    int first_changed;        // since that evaluation; 0 after trial_begin
    double deadline;          // of clock_seconds: work stops then as if on request, but what is kept is known; 0: none
    const char *cache_folder; // as given
    uint64_t model_key;
    Evaluator *own; // the evaluator, where it is the trial's own (trial_begin_on)
} Trial;

// Everything stays owned by the caller and must outlive the trial; nobody else may use model and evaluator meanwhile.
// cache_folder NULL: nothing is read or kept. A cache file that is damaged or of another model counts as empty;
// model_key tells models apart (checkpoint, configuration, precision).
bool trial_begin(Transformer *base, QuantizedModel *model, Evaluator *evaluator, const Measured *measured,
                 const char *cache_folder, uint64_t model_key, Trial *out, Error *err);
// The same on fewer of its tokens, or all if there are not so many: `count` pieces of `tokens` from places spread
// evenly over the text. Each begins anew, so that the first token, where many models have their largest activations and
// to which all others attend, is in all of them.
typedef struct Pieces {
    size_t count, tokens;
} Pieces;
#define FEW_TOKENS ((Pieces){2, 64}) // for a first look
#define SOME_TOKENS ((Pieces){4, 256})
bool trial_begin_on(const Trial *of, Pieces pieces, Trial *out, Error *err);
void trial_end(Trial *trial); // writes what was measured (best effort); harmless on a trial that was not begun

// Goes on with a hash by what plans were made from and do not hold: the maxima behind LAE factors.
uint64_t measured_hash(uint64_t hash, const Measured *measured);

// What each trial_run adds to a Progress, when it finishes: scored positions. The caller has begun it with a multiple.
uint64_t trial_work(const Trial *trial);

// Figures of the model under this plan: kept ones, or an evaluation.
bool trial_run(Trial *trial, const Plan *plan, Accuracy *out, Progress *progress, Error *err);
// The same, and what was found at each position: by_position [POSITION_FIGURES, trial_work].
bool trial_run_positions(Trial *trial, const Plan *plan, Accuracy *out, float *by_position, Progress *progress,
                         Error *err);
// Whether the figures of this plan are kept already, and those of positions, where by_position is not NULL; nothing is
// evaluated.
bool trial_known(const Trial *trial, const Plan *plan, Accuracy *out, float *by_position);
// Only makes the model follow the plan, for what else there is to do with it.
bool trial_follow(Trial *trial, const Plan *plan, Progress *progress, Error *err);
