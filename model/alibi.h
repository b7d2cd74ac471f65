// Positions as biases of the attention scores (ALiBi, arXiv 2108.12409; slopes for any number of heads as in Bloom).
#pragma once

#include <stddef.h>

#include "loaders/config.h"

// bias [heads, positions]: slope of the head · position that is looked at. (Relative to the position that attends this
// differs by a constant, which softmax does not see.)
void alibi_table(const ModelConfig *config, size_t positions, float *bias);
