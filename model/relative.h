// Positions by table: biases of distances, and sinusoids.
#pragma once

#include "loaders/structure.h"

// What T5 adds to the scores of every head [heads, 2 · positions]: at `positions` + where the position that is looked
// at stands, counted from the token. table: [buckets, heads], held in memory. both_ways: half of the buckets are for
// what comes later; else all that does is in the first.
void relative_table(const ModelConfig *config, const Tensor *table, size_t positions, bool both_ways, float *bias);

// Rows [positions, hidden] that Marian adds to embeddings: the sines of falling frequencies, then their cosines.
void sinusoid_table(const ModelConfig *config, size_t positions, float *rows);
