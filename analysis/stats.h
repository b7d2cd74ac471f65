// What is in a model: statistics of every weight matrix and of the input of every linear. Measured once, then read by
// the screen, the plan and the commands.
//
// Sharing between threads. Weights: `known` is set last, so a thread that has read it as true sees complete and final
// numbers; what is not known yet belongs to the thread that measures it, and ModelStats itself must outlive all of
// them. Inputs settle while calibration goes on: the thread that calibrates replaces the whole set, and others read a
// set that it handed to them under a lock (InputSet).
#pragma once

#include <stdatomic.h>

#include "base/progress.h"
#include "loaders/structure.h"
#include "model/transformer.h"
#include "quant/measured.h"

// Every value that occurs and how often, sorted by value: the exact histogram of a 16-bit tensor (F32: by the upper 16
// bits). Finite values only; +0 and −0 are one value.
typedef struct ValueCounts {
    float *values;
    uint64_t *counts;
    size_t length;
} ValueCounts;

// Everything but `elements` and `nonfinite` is about the finite elements. Exact for F32 too, except `counts`.
typedef struct WeightStats {
    atomic_bool known;
    uint64_t elements, zeros, nonfinite;
    double min, max, absmax, mean, std, kurtosis; // kurtosis: E[(w−µ)⁴]/σ⁴ (normal: 3); 0 when all are equal
    uint64_t outliers_6sigma;                     // |w − µ| > 6σ
    ValueCounts counts;
    VoteCounts votes;
    size_t columns;       // in
    float *column_absmax; // [columns]: max |w| of each column, NaN left out
} WeightStats;

// patterns[65536] as count_patterns leaves them; *nonfinite gets how many were infinite or NaN.
bool value_counts_from_patterns(DType dtype, const uint64_t *patterns, ValueCounts *out, uint64_t *nonfinite,
                                Error *err);
void value_counts_free(ValueCounts *counts);

// Counts in `bins` equal bins over [low, high]; values outside go to the end bins.
void value_counts_bins(const ValueCounts *counts, double low, double high, int bins, uint64_t *out);

// |x| in log-spaced bins: MAGNITUDE_PER_OCTAVE per factor of two from 2^MAGNITUDE_LOW; bin 0 also takes what is below
// (zeros too), the last what is above.
#define MAGNITUDE_PER_OCTAVE 8
#define MAGNITUDE_LOW (-16)
#define MAGNITUDE_BINS 288 // up to 2^20

#define SAMPLE_ROWS 32

typedef struct InputStats {
    atomic_bool known;
    size_t width;
    uint64_t tokens;
    float range;                              // max |x|
    float p99, p99_9, p99_99;                 // of |x|, to within a bin of upper-16-bit patterns (relative 2^−8)
    float *channel_absmax;                    // [width]
    uint32_t *channel_tokens;                 // [width]: tokens in which it stands out (kernels/standing_out.h)
    uint64_t magnitude[MAGNITUDE_BINS];       // |x|
    uint64_t token_magnitude[MAGNITUDE_BINS]; // per-token absmax
    float *sample; // [sample_rows ≤ SAMPLE_ROWS, width]: rows as they were, one in each part of the tokens, for output
                   // errors
    size_t sample_rows;
} InputStats;

double magnitude_edge(int bin);      // lower edge of a bin
int magnitude_bin(double magnitude); // the bin that |x| = magnitude falls into

// The inputs of all linears, as far as calibration has come. Once a set was handed over, nothing in it changes: a
// calibration that goes on makes another one. Shared by count, which any thread may change.
typedef struct InputSet {
    atomic_int users;
    uint64_t tokens, planned; // calibration tokens behind it, and behind the final one: equal once it is that
    int count;
    InputStats *inputs;     // [count]
    InputMeasure *measured; // [count] views of them
} InputSet;

InputSet *input_set_new(int count); // nothing known; one user. NULL when memory is short
InputSet *input_set_keep(InputSet *set);
void input_set_release(InputSet *set); // frees it with its last user; NULL: nothing

typedef struct ModelStats {
    int linear_count, input_count;
    WeightStats *weights; // [linear_count]
    InputSet *set;        // one use of it is theirs
    InputStats *inputs;   // [input_count], those of the set
    Measured measured;    // views into the above, for plan_make
} ModelStats;

bool model_stats_new(const ModelStructure *structure, ModelStats *out, Error *err); // nothing known yet
void model_stats_free(ModelStats *stats);
// Replaces the inputs by those of the set; the caller's use of it becomes theirs. A thread that still reads the old
// ones holds a use of its own.
void model_stats_take_inputs(ModelStats *stats, InputSet *set);

// Measures one matrix and fills stats->weights[linear] and the view of it; what is known already stays as it is.
// Thread-safe for different linears.
bool weight_stats_measure(const ModelStructure *structure, int linear, ModelStats *stats, Error *err);

// What a calibration is on.
typedef struct CalibrationText {
    char name[128]; // "mixed", or of a file
    bool chat;      // conversations went through the chat template
} CalibrationText;

// Runs token sequences (each of `length` ids, one after the other in `ids`) through the model and fills all inputs.
// Progress counts tokens. On stop or failure the inputs stay as they were. In steps: analysis/calibrator.h.
bool calibrate(Transformer *t, const int32_t *ids, size_t sequences, size_t length, ModelStats *stats,
               Progress *progress, Error *err);

// Channels by absmax, largest first: fills index[0 … n − 1], returns n ≤ most.
size_t input_top_channels(const InputStats *input, size_t most, uint32_t *index);
