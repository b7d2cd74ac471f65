// Inside analysis/: gathers the statistics of one linear input while its activations come by, piece by piece.
#pragma once

#include "analysis/stats.h"

typedef struct InputGatherer {
    size_t width;
    uint64_t tokens, planned; // seen so far; will be seen in all
    uint64_t *patterns;       // [65536] upper halves of the values
    float *token_absmax;      // [room], scratch
    size_t room;
    InputStats stats; // all but what follows from patterns
} InputGatherer;

bool input_gatherer_new(size_t width, uint64_t planned, InputGatherer *out, Error *err);
void input_gatherer_free(InputGatherer *gatherer);

// x [tokens, width]. False (memory, or a value that is not finite) with err set.
bool input_gatherer_add(InputGatherer *gatherer, const float *x, size_t tokens, Error *err);

// The same for x in memory of a backend that can measure it there.
bool input_gatherer_measure(InputGatherer *gatherer, Backend *backend, const float *x, size_t tokens, Error *err);

// Moves the result into *out (with known still false); the gatherer is empty afterwards.
void input_gatherer_finish(InputGatherer *gatherer, InputStats *out);
