// Which linears hurt: each one quantized alone, and the reverse, all of them but one (methods.md, section 6).
#pragma once

#include "analysis/trial.h"

// One linear. KL divergences are means over the positions, in nats, with standard errors.
typedef struct Sensitivity {
    int linear;
    double estimate; // from the linear alone: noise / signal of its output on sample rows; NAN when there are none
    bool alone_known, rest_known;
    double kl, kl_se;           // this linear quantized, all others as they are
    double rest_kl, rest_kl_se; // all quantized that the plan quantizes, but not this one
} Sensitivity;

typedef struct Sensitivities {
    Sensitivity *linears; // [count], of the linears that the plan quantizes: in the order of the model while they are
                          // measured, then by kl, largest first
    int count;
    double all_kl, all_kl_se; // the whole plan
    double rank_correlation;  // Spearman's, of estimate and kl; NAN where it is not defined
} Sensitivities;

// output_sqnr_db [linear_count]: of each linear under the plan (NAN where unknown), for the estimates. reverse: also
// measure all but one. partial (may be NULL) is called after each figure. When it is stopped or fails, *out holds what
// is known so far; free it in any case. Nothing of the order of evaluations is visible in the figures.
bool sensitivity_measure(Trial *trial, const Plan *plan, const double *output_sqnr_db, bool reverse,
                         void (*partial)(void *context, const Sensitivities *so_far), void *context, Sensitivities *out,
                         Progress *progress, Error *err);
void sensitivities_free(Sensitivities *sensitivities);
