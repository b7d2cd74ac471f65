// A model that exists only as a list of linears, for tests of plans: no file, no weights unless a test gives some.
#pragma once

#include "loaders/structure.h"
#include "quant/measured.h"

// `layers` layers of q, k, v, o, gate, up, down (hidden, kv and ffn wide), then a head tied to nothing. Names as in
// Llama checkpoints. The struct must stay where it is (the structure points into it). Inputs per layer: q,k,v · o ·
// gate,up · down; the head has its own. Freed with toy_model_free.
typedef struct ToyModel {
    ModelStructure structure;
    Checkpoint checkpoint;
    Measured measured; // all inputs known with range 1; weights without votes
    Tensor *tensors;   // [linear_count + 1], the last one is the embedding
} ToyModel;

void toy_model_new(int layers, size_t hidden, size_t kv, size_t ffn, DType dtype, ToyModel *out);
// `layers` layers of gate, up, down of so many experts and nothing else. Inputs per layer: all gates and ups · each
// down.
void toy_experts_new(int layers, int experts, size_t hidden, size_t ffn, ToyModel *out);
void toy_model_free(ToyModel *model);

// Ranges and votes of a matrix of plain Gaussian weights, where column `outlier` (or none: −1) of every row is ten
// times larger.
void toy_votes(ToyModel *model, int linear, int outlier, uint64_t seed);
