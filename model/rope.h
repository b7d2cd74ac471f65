// Rotary position embedding: the frequencies of a configuration and the cosine and sine of every position (RoFormer,
// arXiv 2104.09864; scaled forms as in the config.json of Llama checkpoints). Computed in float in the order in which
// transformers computes them: at large positions another order of rounding is visible in the logits.
#pragma once

#include <stddef.h>

#include "loaders/config.h"

// rope_dims / 2 frequencies in radians per position for a sequence with room for `positions`: θ^(−2i/d), then scaled.
// windowed: those of layers with a window, where the configuration makes a difference. Returns what cosine and sine are
// multiplied by. Scalings that depend on the length of the text (dynamic, longrope) take the room for it, so that what
// is in the cache never has to be rotated again.
float rope_frequencies(const ModelConfig *config, bool windowed, size_t positions, float *frequencies);

// cosine, sine: [positions, pairs] of position · frequency, times factor.
void rope_tables(const float *frequencies, size_t pairs, size_t positions, float factor, float *cosine, float *sine);

// factors: [positions, pairs]. As cosines, with sines of 0, they make a rotation of what queries are multiplied by.
void growth_table(const QueryGrowth *growth, size_t pairs, size_t positions, float *factors);
