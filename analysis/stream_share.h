// How large a part of the residual stream each linear has: with the noise in its output, a guess of what it costs
// before anything is measured (docs/methods.md).
#pragma once

#include "analysis/stats.h"

// Whether its output is added to the stream.
bool stream_is_written(const Linear *linear);

// energy [linear_count]: mean squares of outputs, summed over channels; read of linears that write the stream, NAN
// where unknown. shares [linear_count]: 0…1 of those that write it and of those before them that make what they write;
// 1 of others, as of the head.
void stream_shares(const ModelStructure *structure, const InputSet *inputs, const double *energy, double *shares);
