// How fast variants of one model decode and prefill, side by side: runs alternate between them, so that a drift in the
// speed of the machine affects all alike. What the machine could do at most is measured in between.
#pragma once

#include "base/progress.h"
#include "model/transformer.h"

typedef struct SpeedCase {
    bool prefill;
    size_t batch;   // decode: sequences that go on side by side, one token each per step; prefill: 1
    size_t context; // decode: positions before the first step; prefill: tokens
} SpeedCase;

typedef struct Spread {
    double median, least, most;
} Spread;

typedef struct Speed {
    Spread tokens_per_second;
    Spread limit;           // in the runs of this case: bytes read per second (decode), flops per second (prefill)
    double share;           // median of: rate / limit of the same run
    Spread against_first;   // rate / rate of the first model in the same run
    double bytes_per_token; // decode: weights and cache that a step reads, by its tokens; prefill: 0
    double flops_per_token; // of products with weights, 2 for each multiplication and addition
} Speed;

typedef struct SpeedLimits {      // over the runs of all cases
    Spread read_bytes_per_second; // all threads reading memory that fits no cache
    Spread flops_per_second;      // a large product with BF16 weights, by the backend
    int runs;
} SpeedLimits;

#define SPEED_RUNS_MOST 64

// Whether the model has as many positions as every case needs: asked before work whose result would be lost.
bool speed_cases_fit(const SpeedCase *cases, int count, const ModelConfig *config, Error *err);
// Of the cache that a case of decoding needs, with the positions that are decoded.
double speed_cache_bytes(const ModelConfig *config, const SpeedCase *c);

// Two variants while they decode, segment by segment in turn. Whatever else the machine does affects both alike, so
// their ratio is the figure to trust. It is given as a range: a difference means something only when 1 lies outside.
typedef struct DecodeSpeed {
    Spread first, second; // tokens per second
    Spread ratio;         // second / first, of the two segments of a pair
    int pairs;            // 0: not measured. Spreads here leave out the outermost tenth at either end, from 10 pairs on
} DecodeSpeed;
// Whether something else was at work meanwhile: the first variant, which always does the same, kept no even speed. The
// ratio's range is wide then, and only its median means something.
bool decode_speed_is_busy(const DecodeSpeed *speed);

// models [count]: variants of one base, which is the first. cases [case_count]; out [case_count, count]. runs: of each,
// after one that is not counted; 1 … SPEED_RUNS_MOST. threads: of the backend, for reading memory; 0: all cores.
// partial (may be NULL) is called when a case is done. Progress counts runs. Refused: a case that does not fit the
// model's positions.
bool speed_measure(Transformer *const *models, int count, const SpeedCase *cases, int case_count, int runs, int threads,
                   SpeedLimits *limits, Speed *out, void (*partial)(void *context, int case_index), void *context,
                   Progress *progress, Error *err);

// Times a case of decoding, whose context leaves positions to decode. Pairs of segments are timed until the ratio's
// range is narrow or `seconds` are spent, at least three pairs. Each variant has a cache of its own. partial (may be
// NULL) is called after each pair. When it is stopped, out holds the pairs so far. Of progress only the request to stop
// is used.
bool decode_speed(Transformer *first, Transformer *second, const SpeedCase *c, double seconds,
                  void (*partial)(void *context, const DecodeSpeed *so_far), void *context, DecodeSpeed *out,
                  Progress *progress, Error *err);
