// Checkpoints of random weights in the shape of real models: for measuring speed and memory where no trained model is
// at hand. Their output is nonsense; their size, spread and outliers are realistic.
#pragma once

#include "base/error.h"
#include "base/progress.h"
#include "kernels/dtype.h"

typedef struct RandomShape {
    const char *name;
    int hidden, layers, heads, kv_heads, ffn, vocab, max_positions; // as in a Llama configuration
} RandomShape;

// Ends with a shape whose name is NULL.
extern const RandomShape random_shapes[];
const RandomShape *random_shape_find(const char *name); // NULL when there is none of that name

typedef struct RandomOptions {
    RandomShape shape;
    DType dtype; // BF16 or F16
    uint64_t seed;
    size_t shard_bytes; // of tensor data; a larger model is written as several files. 0: 4 GB
} RandomOptions;

// Makes `folder` with config.json, tokenizer.json (one token per byte of text) and the weights, in the names of the
// Llama family: the same bytes for the same options, whatever the number of threads. Weights are heavy-tailed; rows and
// columns have scales of their own (lognormal), and a few columns and channels of the norms, the same in all layers,
// stand far out. All or nothing: a folder beside it is filled and renamed at the end. Errors: the folder exists and is
// not empty, the disk is full, other errors of writing. Progress counts bytes.
bool random_checkpoint_write(const RandomOptions *options, const char *folder, Progress *progress, Error *err);
