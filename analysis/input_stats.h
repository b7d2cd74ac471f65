// Inside analysis/: gathers the statistics of one linear input while its activations come by, piece by piece.
#pragma once

#include "analysis/stats.h"
#include "analysis/stats_file.h"

// What is known beforehand of the tokens that will come by.
typedef struct InputPlan {
    uint64_t planned; // in all, by whoever sees them
    uint64_t before;  // of these, others see so many that come first
    bool routed;      // only some are sent here: which rows are kept is said before each call
} InputPlan;

typedef struct InputGatherer {
    size_t width;
    InputPlan plan;
    uint64_t tokens;               // seen so far
    uint64_t next_slot, slots_end; // routed: of SAMPLE_ROWS, those that the next call may fill
    uint64_t *patterns;            // [65536] upper halves of the values
    float *token_absmax;           // [room], scratch
    size_t room;
    InputStats stats; // all but what follows from patterns
    // Rows evenly spread over the first EARLY_TOKENS, while there are few of those spread over all of them.
    float *early; // [SAMPLE_ROWS, width], or NULL
    size_t early_rows;
} InputGatherer;

#define EARLY_TOKENS 1024

bool input_gatherer_new(size_t width, InputPlan plan, InputGatherer *out, Error *err);
void input_gatherer_free(InputGatherer *gatherer);
// Keeps early rows too, for callers that look before the end.
bool input_gatherer_sample_early(InputGatherer *gatherer, Error *err);

// x [tokens, width]. False (memory, or a value that is not finite) with err set.
bool input_gatherer_add(InputGatherer *gatherer, const float *x, size_t tokens, Error *err);

// The same for x in memory of a backend that can measure it there.
bool input_gatherer_measure(InputGatherer *gatherer, Backend *backend, const float *x, size_t tokens, Error *err);

// The statistics of what was seen so far (with known still false), of copies: the gatherer may go on. final: it will
// not.
bool input_gatherer_look(const InputGatherer *gatherer, bool final, InputStats *out, Error *err);

// Everything that the result depends on. Reading makes a gatherer of that width; false when the numbers cannot be true.
void input_gatherer_put(const InputGatherer *gatherer, Text *file);
bool input_gatherer_get(StatsReader *r, size_t width, InputPlan plan, InputGatherer *out);

// Adds what another saw right behind it: then it is as if it had seen all of that itself.
void input_gatherer_merge(InputGatherer *gatherer, const InputGatherer *next);
