// Which linears hurt: each one quantized alone, and the reverse, all of them but one.
#pragma once

#include "analysis/trial.h"

// One linear. KL divergences are means over the positions, in nats, with standard errors.
typedef struct Sensitivity {
    int linear;
    double estimate; // of kl (sensitivity_estimate)
    bool alone_known, rest_known;
    double kl, kl_se;           // this linear quantized, all others as they are
    double rest_kl, rest_kl_se; // all quantized that the plan quantizes, but not this one
} Sensitivity;

typedef struct Sensitivities {
    Sensitivity *linears; // [count], of the linears that the plan quantizes: in the order of the model while they are
                          // measured, then by kl (or by estimate), largest first
    int count;
    double all_kl, all_kl_se; // the whole plan; NAN with estimates alone
    double rank_correlation;  // Spearman's, of estimate and kl; NAN where it is not defined
} Sensitivities;

// Estimates, for a first ranking: estimates [linear_count] of kl, set for the linears that the plan quantizes. On the
// first window of tokens each layer is quantized as a whole and its divergence measured, then shared among its linears
// in proportion to the error that each alone brings into the hidden states behind the layer. Runs one layer per linear,
// not the model.
bool sensitivity_estimate(Trial *trial, const Plan *plan, double *estimates, Progress *progress, Error *err);

typedef enum SensitivityDepth {
    SENSITIVITY_ESTIMATES, // nothing else; sorted by them
    SENSITIVITY_ALONE,
    SENSITIVITY_BOTH_WAYS, // also all but one
} SensitivityDepth;

// First the estimates, then the figures. partial (may be NULL) is called after the estimates and after each figure.
// When it is stopped or fails, *out holds what is known so far; free it in any case. Nothing of the order of
// evaluations is visible in the figures.
bool sensitivity_measure(Trial *trial, const Plan *plan, SensitivityDepth depth,
                         void (*partial)(void *context, const Sensitivities *so_far), void *context, Sensitivities *out,
                         Progress *progress, Error *err);
void sensitivities_free(Sensitivities *sensitivities);
