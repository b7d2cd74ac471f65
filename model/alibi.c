#include "model/alibi.h"

#include <math.h>

// Slopes of p heads, a power of two, are powers of 2^(−8 / p); further heads take every second one of 2 p heads.
static float slope_of(int heads, int head) {
    int power = 1;
    while (2 * power <= heads) power *= 2;
    double base = exp2(-exp2(-(log2(head < power ? power : 2 * power) - 3)));
    return (float)pow(base, head < power ? head + 1 : 2 * (head - power) + 1);
}

void alibi_table(const ModelConfig *config, size_t positions, float *bias) {
    for (int head = 0; head < config->heads; head++) {
        float slope = slope_of(config->heads, head), *row = bias + (size_t)head * positions;
        if (config->alibi_bf16) slope = float_rounded(DTYPE_BF16, slope);
        for (size_t p = 0; p < positions; p++) {
            row[p] = slope * (float)p;
            if (config->alibi_bf16) row[p] = float_rounded(DTYPE_BF16, row[p]) * config->attention_scale;
        }
    }
}
