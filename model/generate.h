// Text generation: prefill the prompt, then decode token by token.
#pragma once

#include "base/random.h"
#include "model/transformer.h"

typedef struct Sampling {
    float temperature; // 0: greedy (ties → lowest id)
    float top_p;       // 1: all
    uint64_t seed;
} Sampling;

// Picks a token id from logits [vocab]; *probability (may be NULL) gets the softmax probability of the pick at
// temperature 1. top_p keeps the most probable tokens (at this temperature) that together reach it, at least one.
// Greedy when memory is short.
int32_t sample_token(const float *logits, size_t vocab, const Sampling *sampling, Random *random, float *probability);

typedef struct Generated {
    int32_t *ids;         // what was generated, without the prompt
    float *probabilities; // [count]
    size_t count, capacity;
    double prefill_seconds, decode_seconds; // decode: the tokens after the first, which comes out of the prefill
    bool ended;                             // at an end-of-sequence token (not included)
} Generated;

// (count − 1) / decode_seconds; 0 when fewer than two tokens were made.
double generated_tokens_per_second(const Generated *g);
void generated_free(Generated *g);

// token (may be NULL) is called after each token. The prompt must not be empty and prompt + most must fit the model's
// positions; most is cut to what fits. When it fails or is stopped, out holds what was made so far; free it in any
// case.
bool generate(Transformer *t, const int32_t *prompt, size_t prompt_count, size_t most, const Sampling *sampling,
              void (*token)(void *context, const Generated *so_far), void *context, Generated *out, Progress *progress,
              Error *err);
