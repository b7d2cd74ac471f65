// Channels that exceed the rest, in the inputs of linears and in the columns of their weights.
#pragma once

#include "analysis/stats.h"

typedef struct OutlierChannel {
    uint32_t channel;
    float absmax;
    double ratio;       // to the median of all channels of this input
    double token_share; // of the tokens of this input: where it stands out in its token (kernels/standing_out.h)
} OutlierChannel;

typedef struct InputOutliers {
    int linear; // the first that reads it
    size_t width;
    float median;             // of the channels' absmax
    OutlierChannel *channels; // [count], largest first
    size_t count;
    // Input of o: the head whose channels reach furthest, and how far, relative to the median head. −1 elsewhere.
    int top_head;
    double top_head_ratio;
} InputOutliers;

typedef struct WeightOutliers {
    float median;          // of the columns' absmax
    size_t columns;        // how many exceed factor × median
    uint32_t top_column;   // the largest
    double top_ratio;      // to the median
    int top_head;          // q, k, v: the head with the largest output rows (root mean square), −1 elsewhere
    double top_head_ratio; // to the median head
} WeightOutliers;

// A channel of the residual stream (inputs that a norm feeds: q,k,v and gate,up), and how many of these inputs it
// stands out in.
typedef struct RecurringChannel {
    uint32_t channel;
    int inputs;
    double largest_ratio, largest_token_share;
} RecurringChannel;

typedef struct Outliers {
    double factor;
    uint64_t tokens;       // of the calibration
    InputOutliers *inputs; // [input_count]
    int input_count;
    WeightOutliers *weights; // [linear_count]
    int linear_count;
    RecurringChannel *recurring; // [recurring_count]; in most inputs first
    size_t recurring_count;
    int norm_inputs; // inputs that a norm feeds
} Outliers;

// stats: calibrated. factor > 1: a channel is an outlier when its absmax exceeds factor × the median of the channels.
// Free with outliers_free in any case.
bool outliers_find(const ModelStructure *structure, const ModelStats *stats, double factor, Outliers *out,
                   Progress *progress, Error *err);
void outliers_free(Outliers *outliers);
