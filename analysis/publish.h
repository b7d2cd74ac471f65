// Inside analysis/: making measured numbers visible, and taking them down.
#pragma once

#include "analysis/stats.h"

// Fills the view of a weight (an input) from its statistics, then sets `known` of both. Nothing may change afterwards.
void model_stats_publish_weight(ModelStats *stats, int linear);
void input_set_publish(InputSet *set, int input);

void weight_stats_free(WeightStats *weight);
