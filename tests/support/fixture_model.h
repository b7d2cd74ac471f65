// A real checkpoint opened for tests of the forward pass and what stands on it.
#pragma once

#include "model/transformer.h"

typedef struct FixtureModel {
    Checkpoint checkpoint;
    ModelConfig config;
    ModelStructure structure;
    Backend *backend;
    Transformer *base;
    int32_t *ids;          // [tokens]: tokens with known logits; NULL without expected.safetensors
    float *logits;         // [tokens − source, vocab] as transformers computes them in float
    size_t tokens, source; // of an encoder–decoder the first `source` of them are the source
} FixtureModel;

// Fails the running test when the folder cannot be opened. The struct must stay where it is. Runs on two threads.
void fixture_model_open(const char *folder, Precision precision, FixtureModel *out);
// On a backend that the model owns from then on.
void fixture_model_open_on(const char *folder, Precision precision, Backend *backend, FixtureModel *out);
void fixture_model_close(FixtureModel *model);

// Elements of a tensor in a file as int32 or float, owned by the caller.
int32_t *fixture_integers(const TensorFile *file, const char *name, size_t *count);
float *fixture_floats(const TensorFile *file, const char *name, size_t *count);

// Logits [tokens − source, vocab] of ids run at once in sequences of their own; owned by the caller.
float *fixture_logits(Transformer *t, const int32_t *ids, size_t tokens);

// The largest |a − b| over the largest |b|.
double relative_difference(const float *a, const float *b, size_t n);
