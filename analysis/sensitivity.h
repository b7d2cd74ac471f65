// Which linears hurt: each one quantized alone, and the reverse, all of them but one.
#pragma once

#include "analysis/trial.h"

// One linear. KL divergences are means over the positions, in nats, with standard errors.
typedef struct Sensitivity {
    int linear;
    double estimate, estimate_se; // of kl (sensitivity_estimate); NAN before
    bool alone_known, rest_known;
    double kl, kl_se;           // this linear quantized, all others as they are
    double rest_kl, rest_kl_se; // all quantized that the plan quantizes, but not this one
} Sensitivity;

typedef struct Sensitivities {
    Sensitivity *linears; // [count], of the linears that the plan quantizes: in the order of the model while they are
                          // measured, then by kl (or by estimate), largest first
    int count;
    size_t estimate_tokens;   // positions behind each estimate
    double all_kl, all_kl_se; // the whole plan; NAN with estimates alone
    double alone_sum;         // of kl over all linears; NAN while not all are known
    double rank_correlation;  // Spearman's, of estimate and kl, of the linears that are measured; NAN where undefined
    int measured;             // how many those are
} Sensitivities;

// Estimates, for a first ranking: the same measurement on 128 tokens, 64 from the beginning of the text and 64 from its
// middle. Sets estimate and estimate_se of linears [count] (sorted by `linear`), and *tokens, the positions behind
// each. A linear costs the layers behind it, on these tokens.
bool sensitivity_estimate(Trial *trial, const Plan *plan, Sensitivity *linears, int count, size_t *tokens,
                          Progress *progress, Error *err);

typedef enum SensitivityDepth {
    SENSITIVITY_KEPT,      // only what was measured before and kept; nothing is evaluated, and estimates are NAN
    SENSITIVITY_ESTIMATES, // and what was measured before and kept; sorted by estimates
    SENSITIVITY_ALONE,
    SENSITIVITY_BOTH_WAYS, // also all but one
} SensitivityDepth;

// First the estimates, then the figures, in the order of the estimate plus two standard errors, largest first: the
// worst, and those of which least is known. partial (may be NULL) is called after the estimates and after each figure.
// When it is stopped or fails, *out holds what is known so far; free it in any case. The figures do not depend on the
// order of evaluations.
bool sensitivity_measure(Trial *trial, const Plan *plan, SensitivityDepth depth,
                         void (*partial)(void *context, const Sensitivities *so_far), void *context, Sensitivities *out,
                         Progress *progress, Error *err);
void sensitivities_free(Sensitivities *sensitivities);
