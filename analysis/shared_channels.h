// Channels of the residual stream that stay outliers from layer to layer: in the inputs that a norm feeds (q, k, v and
// gate, up of every layer).
#pragma once

#include "analysis/stats.h"

#define SHARED_CHANNELS_MOST 64
#define OUTLIER_FACTOR 6.0 // times the median, where nobody asks for another

typedef struct SharedChannel {
    uint32_t channel;
    int inputs;           // that it reaches beyond `factor` times the median channel in
    double largest_ratio; // to the median, in any of them
    double token_share;   // the largest, in any of them: of its tokens, where the channel stands out among those of the
                          // token (kernels/standing_out.h)
} SharedChannel;

typedef struct SharedChannels {
    double factor;
    int input_count;         // that a norm feeds and that tokens reached
    int *layers;             // [input_count], in the order of the model
    SharedChannel *channels; // [count], those of several inputs, in most of them first
    int count;               // ≤ SHARED_CHANNELS_MOST
    float *ratios;           // [count, input_count]: to the median channel; 0 where that is 0
} SharedChannels;

// Of a model of one layer a channel counts that stands out in one input. Free with shared_channels_free in any case.
bool shared_channels_find(const ModelStructure *structure, const InputSet *set, double factor, SharedChannels *out,
                          Error *err);
void shared_channels_free(SharedChannels *channels);
