#include "model/relative.h"

#include <math.h>

// Buckets are single distances up to half of them, then grow by a factor, so that the last begins at `furthest`.
static int bucket_of(int distance, int buckets, int furthest) {
    const int single = buckets / 2;
    if (distance < single) return distance;
    const float reach = logf((float)distance / (float)single) / (float)log((double)furthest / single);
    const int bucket = single + (int)(reach * (float)(buckets - single));
    return bucket < buckets ? bucket : buckets - 1;
}

static int bucket_at(const EncoderDecoder *pair, int ahead, bool both_ways) {
    if (!both_ways) return bucket_of(ahead < 0 ? -ahead : 0, pair->relative_buckets, pair->relative_distance);
    const int half = pair->relative_buckets / 2;
    return (ahead > 0 ? half : 0) + bucket_of(ahead < 0 ? -ahead : ahead, half, pair->relative_distance);
}

void relative_table(const ModelConfig *config, const Tensor *table, size_t positions, bool both_ways, float *bias) {
    const size_t heads = (size_t)config->heads, stride = 2 * positions;
    for (size_t i = 0; i < stride; i++) {
        const int bucket = bucket_at(&config->pair, (int)i - (int)positions, both_ways);
        for (size_t head = 0; head < heads; head++) {
            const size_t at = (size_t)bucket * heads + head;
            floats_from(table->dtype, (const char *)table->data + at * dtype_bytes(table->dtype), 1,
                        &bias[head * stride + i]);
        }
    }
}

void sinusoid_table(const ModelConfig *config, size_t positions, float *rows) {
    const size_t width = (size_t)config->hidden, sines = (width + 1) / 2;
    for (size_t p = 0; p < positions; p++) {
        for (size_t i = 0; i < width; i++) {
            const size_t pair = i < sines ? i : i - sines;
            const double angle = (double)p / pow(10000, 2 * (double)pair / (double)width);
            rows[p * width + i] = (float)(i < sines ? sin(angle) : cos(angle));
        }
    }
}
