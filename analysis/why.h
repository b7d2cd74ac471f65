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
    // As `weights`, if no factors had widened columns. Only why_planned finds it out; else, and where there are none,
    // it is the same.
    double weights_plain;
    // The column whose rounding can bring most, |ΔW_j| times the channel's largest magnitude in calibration, and its
    // share of the squares of that over all columns, 0…1. It finds rare tokens too, which sample rows may miss.
    uint32_t column;
    double column_share;
    // The channel of the input that reaches furthest when it is rounded (divided by its factor, if there is one), how
    // far, and how many times the median channel that is; 0 times where the median is 0.
    uint32_t channel;
    float channel_absmax;
    double channel_ratio;
    // The channel that reaches furthest as the input comes, before any factor, how many times the median that is, and
    // the share of tokens in which it stands out among the token's (kernels/standing_out.h).
    uint32_t raw_channel;
    double raw_ratio, raw_tokens;
    // Only by why_planned: how many other inputs linears of this role read that are as wide, and in how many of them
    // raw_channel is beyond OUTLIER_FACTOR times the median.
    int others, others_beyond;
} Why;

// Weights' part of weights + input, 0…1; NAN when neither errs.
double why_weights_share(const Why *why);

// Signal to noise of the output as it is, in dB: infinite where nothing errs.
double why_db(const Why *why);

// The part of the weights' error that is there because factors move the input's reach into them, 0…1: 0 where there are
// none, or where they make weights err less.
double why_factors_share(const Why *why);

const char *why_factors_name(const Decision *decision); // of a linear that has factors: "LAE", "smooth"

// Whole percents, but never none or all of what is a part: "61 %", "<1 %"; "–" of what is not known. Returns out.
const char *why_percent(double share, char *out, size_t size);

// What stands out. Sentences, and what they name as the cause, go by this.
typedef enum StandsOut {
    STANDS_CHANNEL = 1, // raw_channel, beyond OUTLIER_FACTOR times the median
    STANDS_TOKENS = 2,  // raw_channel, among those of its token, in 1 % of the tokens or more
    STANDS_WEIGHTS = 4, // some, beyond six standard deviations
    STANDS_COLUMN = 8,  // it has 10 % or more of what weights can err
    STANDS_FACTORS = 16 // they bring half of the weights' error or more
} StandsOut;

// A set of these. weights: NULL while they are not known.
unsigned why_stands_out(const Why *why, const WeightStats *weights);

// Where a linear stands among those whose output's signal to noise is known. count 0: nowhere.
typedef struct WhyPlace {
    int worse, count; // linears that err more; linears
} WhyPlace;

// db [count]: of all linears, NAN where it is not known; NULL: of none.
WhyPlace why_place(const double *db, int count, int linear);

// Cause and effect in words: what stands out, or where none does, how the linear stands among all; what the error of
// the output is made of and which column of weights errs worst.
void why_text(const Why *why, const WeightStats *weights, const Decision *decision, WhyPlace place, char *out,
              size_t size);

// factors [in]: what the input is divided by and the columns multiplied by; divisors [out]: what the rows are divided
// by, because the next linear's factors are folded into them; each may be NULL. Computed on the host in float. Errors:
// no sample rows; memory; weights that cannot be quantized.
bool why_linear(const Linear *linear, const Decision *decision, const float *factors, const float *divisors,
                const InputStats *input, Why *out, Error *err);
// Δx alone, rounded by the decision: changes [sample_rows, in], all 0 before. Errors: memory.
bool why_input_changes(const Linear *linear, const Decision *decision, const float *factors, const InputStats *input,
                       float *changes, Error *err);
// As why_linear, with factors and divisors by the plan and what was measured.
bool why_errors(const ModelStructure *structure, const ModelStats *stats, const Plan *plan, int linear, Why *out,
                Error *err);
// The same with all that is told of a linear: what factors do to its weights, and what others have of its outlier.
bool why_planned(const ModelStructure *structure, const ModelStats *stats, const Plan *plan, int linear, Why *out,
                 Error *err);
