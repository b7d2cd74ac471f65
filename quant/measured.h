// What a plan needs to know of a model's measurements. Filled by analysis/, read by quant/.
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// FineQuant's question, answered for every alpha at once. A ladder of group sizes runs from `in` down (in, then the
// powers of two that divide it, largest first, ≥ 16). Step s leads from sizes[s] to sizes[s + 1]; each group of
// sizes[s] columns is a parent and has one vote there. votes[rule][s][k]: parents whose statistic is > k / 1000, k =
// 0…1000, so that a plan needs no look at the weights.
//   shrink:  1 − min_i absmax(part_i) / absmax(parent)       literal:  max_i (max−min)(part_i) / (max−min)(parent)
// A parent of range 0 does not vote.
#define LADDER_MAX 24
#define VOTE_STEPS 1000

typedef enum VoteRule { VOTES_SHRINK, VOTES_LITERAL, VOTE_RULES } VoteRule;
// What a group's scale has to reach: its absmax, or max − min with 0 between them.
typedef enum RangeKind { RANGE_ABSMAX, RANGE_SPREAD, RANGE_KINDS } RangeKind;

typedef struct VoteCounts {
    int sizes_count;              // steps = sizes_count − 1
    uint32_t sizes[LADDER_MAX];   // sizes[0] = in
    uint64_t parents[LADDER_MAX]; // parents[s]: groups of size sizes[s] in the matrix
    uint32_t *votes[VOTE_RULES];  // [rule] → [steps, VOTE_STEPS + 1]; NULL when there are no steps
    // squares[kind][s]: the sum of range² over the groups of size sizes[s], which quant/noise.h reads; 0 when there are
    // no steps. A row that holds infinity counts as 0.
    double squares[RANGE_KINDS][LADDER_MAX];
} VoteCounts;

typedef struct WeightMeasure {
    atomic_bool known;      // set last: when it is true, the rest may be read
    float absmax, min, max; // of the finite elements
    uint64_t nonfinite;     // infinite or NaN
    double energy;          // Σ w² of the finite elements
    VoteCounts votes;
    float *column_absmax; // [in]: max |w| of each column
} WeightMeasure;

typedef struct InputMeasure {
    atomic_bool known; // false before calibration; set last
    bool provisional;  // calibration goes on, and a range may grow
    uint64_t tokens;
    size_t width;
    float range;              // v: max |x| over the calibration tokens
    float *channel_absmax;    // [width]
    float p99, p99_9, p99_99; // percentiles of |x| over all its elements
} InputMeasure;

typedef struct Measured {
    WeightMeasure *weights; // [linear_count]
    InputMeasure *inputs;   // [input_count]
    int linear_count, input_count;
} Measured;
