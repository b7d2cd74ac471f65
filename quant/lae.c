#include "quant/lae.h"

#include <float.h>
#include <math.h>

// A range that is not a normal number counts as none: dividing by it would overflow.
static float lae_factor(float range, double alpha) {
    if (!isnormal(range)) return 1;
    return (float)pow((double)range / log2(2 + (double)range), alpha);
}

void lae_factors(const float *channel_absmax, size_t width, double alpha, float *factors) {
    for (size_t j = 0; j < width; j++) factors[j] = lae_factor(channel_absmax[j], alpha);
}

float lae_range(float range, double alpha) { return range / lae_factor(range, alpha); }

static float smooth_factor(float range, float weight, double alpha) {
    if (!isnormal(range) || !isnormal(weight)) return 1;
    return (float)(pow((double)range, alpha) / pow((double)weight, 1 - alpha));
}

void smooth_factors(const float *channel_absmax, const float *weight_absmax, size_t width, double alpha,
                    float *factors) {
    for (size_t j = 0; j < width; j++) factors[j] = smooth_factor(channel_absmax[j], weight_absmax[j], alpha);
}

float smooth_range(const float *channel_absmax, const float *weight_absmax, size_t width, double alpha) {
    float alone = 0; // of channels that are not divided
    double product = 0;
    size_t largest = width;
    for (size_t j = 0; j < width; j++) {
        double here = (double)channel_absmax[j] * (double)weight_absmax[j];
        if (!isnormal(channel_absmax[j]) || !isnormal(weight_absmax[j])) {
            alone = fmaxf(alone, channel_absmax[j]);
        } else if (here > product) {
            product = here;
            largest = j;
        }
    }
    if (largest == width) return alone;
    return fmaxf(alone,
                 channel_absmax[largest] / smooth_factor(channel_absmax[largest], weight_absmax[largest], alpha));
}
