#include "quant/lae.h"

#include <float.h>
#include <math.h>

// A range that is no normal number is as good as none: dividing by it would overflow.
static float factor(float range, double alpha) {
    if (!isnormal(range)) return 1;
    return (float)pow((double)range / log2(2 + (double)range), alpha);
}

void lae_factors(const float *channel_absmax, size_t width, double alpha, float *factors) {
    for (size_t j = 0; j < width; j++) factors[j] = factor(channel_absmax[j], alpha);
}

float lae_range(float range, double alpha) { return range / factor(range, alpha); }
