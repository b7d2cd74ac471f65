// Rotary position embedding: the frequencies of a configuration and the cosine and sine of every position (RoFormer,
// arXiv 2104.09864; scaled forms as in the config.json of Llama checkpoints). Computed in float in the order in which
// transformers computes them: at large positions another order of rounding is visible in the logits.
#pragma once

#include <stddef.h>

#include "loaders/config.h"

// config->head_dim / 2 frequencies in radians per position: θ^(−2i/d), then scaled.
void rope_frequencies(const ModelConfig *config, float *frequencies);

// cosine, sine: [positions, pairs] of position · frequency.
void rope_tables(const float *frequencies, size_t pairs, size_t positions, float *cosine, float *sine);
