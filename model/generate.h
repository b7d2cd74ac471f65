// Text generation: prefill the prompt, then decode token by token.
#pragma once

#include "base/random.h"
#include "model/transformer.h"

// How tokens are chosen: `Draw` of kernels/backend.h, with a point from the seed's generator for every token. The same
// logits and seed give the same text on every backend; logits of two backends differ by rounding, which changes a token
// only where its point lies that near to a boundary.
typedef struct Sampling {
    float temperature; // 0: greedy (ties → lowest id)
    float top_p;       // 1: all
    uint64_t seed;
    int beams; // at temperature 0, more than 1: the best target that so many beams find (beams.c); for models with an
               // encoder, BEAMS_MOST at most
} Sampling;

enum { BEAMS_MOST = MOST_FOLLOWING };

typedef struct Generated {
    int32_t *ids;         // what was generated, without the prompt
    float *probabilities; // [count]: softmax at temperature 1
    size_t count, capacity;
    bool ended; // at an end-of-sequence token (not included)
} Generated;

void generated_free(Generated *g);

bool generate_is_end(const ModelConfig *config, int32_t id); // an end-of-sequence token

// Whether a prompt of this many tokens can be continued; of a model with an encoder it is the source. Ask before work
// whose result would be lost.
bool generate_fits(const ModelConfig *config, size_t prompt_count, Error *err);

// Of a model with an encoder the prompt is the source, and what is generated the target behind its start token. It
// begins and ends with the tokens that the model's files ask for, and none of those that they forbid are in it. token
// (may be NULL) is called after each token, of beams once at the end. The prompt must not be empty and prompt + most
// must fit the model's positions (the target its own); most is cut to what fits. When it fails or is stopped, out holds
// what was generated so far. Free it in any case.
bool generate(Transformer *t, const int32_t *prompt, size_t prompt_count, size_t most, const Sampling *sampling,
              void (*token)(void *context, const Generated *so_far), void *context, Generated *out, Progress *progress,
              Error *err);
