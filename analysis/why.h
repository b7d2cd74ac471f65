// Why a linear hurts: how much of the error of its output comes from its weights and how much from its input, and which
// channels stand out.
#pragma once

#include "analysis/stats.h"
#include "quant/plan.h"

// Energies are sums of squares over the calibration sample rows and all outputs. With ΔW and Δx for what rounding
// changes, an output errs by ΔW x + W Δx + ΔW Δx: the first is `weights`, the second `input`, and all three at once
// `both`. What `both` has beyond the sum of the two, or lacks, is no one's share.
typedef struct Why {
    double signal;               // of the exact output
    double weights, input, both; // of its error when only the weights are rounded, only the input, both
    // The column whose rounding can bring most, |ΔW_j| times the channel's largest magnitude in calibration, and its
    // share of the squares of that over all columns, 0…1. It finds rare tokens too, which sample rows may miss.
    uint32_t column;
    double column_share;
    // The channel of the input that reaches furthest when it is rounded (divided by its factor, if there is one), how
    // far, and how many times the median channel that is; 0 times where the median is 0.
    uint32_t channel;
    float channel_absmax;
    double channel_ratio;
    // The channel that reaches furthest as the input comes, before any factor, and how many times the median that is.
    uint32_t raw_channel;
    double raw_ratio;
    // Only by why_planned: how many other inputs linears of this role read that are as wide, and in how many of them
    // raw_channel is beyond OUTLIER_FACTOR times the median.
    int others, others_beyond;
} Why;

// Weights' part of weights + input, 0…1; NAN when neither errs.
double why_weights_share(const Why *why);

// Signal to noise of the output as it is, in dB: infinite where nothing errs.
double why_db(const Why *why);

// Cause and effect in words: which channel of the input stands out (from OUTLIER_FACTOR times the median on), how many
// weights do (beyond six standard deviations), what the error of the output is made of and which column of weights errs
// worst. weights: NULL while they are not known.
void why_text(const Why *why, const WeightStats *weights, const Decision *decision, char *out, size_t size);

// factors [in]: what the input is divided by and the columns multiplied by; divisors [out]: what the rows are divided
// by, because the next linear's factors are folded into them; each may be NULL. Computed on the host in float. Errors:
// no sample rows; memory; weights that cannot be quantized.
bool why_linear(const Linear *linear, const Decision *decision, const float *factors, const float *divisors,
                const InputStats *input, Why *out, Error *err);
// Δx alone, rounded by the decision: changes [sample_rows, in], all 0 before. Errors: memory.
bool why_input_changes(const Linear *linear, const Decision *decision, const float *factors, const InputStats *input,
                       float *changes, Error *err);
// As why_linear, with factors and divisors by the plan and what was measured.
bool why_planned(const ModelStructure *structure, const ModelStats *stats, const Plan *plan, int linear, Why *out,
                 Error *err);
