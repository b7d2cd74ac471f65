// Inside analysis/: making measured numbers visible, and taking them down.
#pragma once

#include "analysis/stats.h"

// Fills the views in stats->measured from stats->weights[linear] (inputs[input]), then sets `known` of both. Nothing
// may change afterwards.
void model_stats_publish_weight(ModelStats *stats, int linear);
void model_stats_publish_input(ModelStats *stats, int input);

void weight_stats_free(WeightStats *weight);
void input_stats_free(InputStats *input);
