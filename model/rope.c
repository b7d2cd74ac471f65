#include "model/rope.h"

#include <math.h>

static const float two_pi = 6.28318530717958647692f;

// Long wavelengths are stretched by the factor, short ones stay, those between are blended.
static float llama3_frequency(const ModelConfig *config, float frequency) {
    float factor = (float)config->rope_factor, positions = (float)config->rope_original_positions;
    float low = (float)config->rope_low_freq_factor, high = (float)config->rope_high_freq_factor;
    float wavelength = two_pi / frequency;
    if (wavelength > positions / low) return frequency / factor;
    if (wavelength < positions / high) return frequency;
    float blend = (positions / wavelength - low) / (high - low);
    return (1.0f - blend) * (frequency / factor) + blend * frequency;
}

static float scaled_frequency(const ModelConfig *config, float frequency) {
    switch (config->rope_scaling) {
    case ROPE_PLAIN: return frequency;
    case ROPE_LINEAR: return frequency / (float)config->rope_factor;
    case ROPE_LLAMA3: return llama3_frequency(config, frequency);
    }
    return frequency;
}

void rope_frequencies(const ModelConfig *config, float *frequencies) {
    int pairs = config->head_dim / 2;
    for (int i = 0; i < pairs; i++) {
        float exponent = (float)(2 * i) / (float)config->head_dim;
        frequencies[i] = scaled_frequency(config, 1.0f / powf((float)config->rope_theta, exponent));
    }
}

void rope_tables(const float *frequencies, size_t pairs, size_t positions, float *cosine, float *sine) {
    for (size_t p = 0; p < positions; p++) {
        for (size_t i = 0; i < pairs; i++) {
            float angle = (float)p * frequencies[i];
            cosine[p * pairs + i] = cosf(angle);
            sine[p * pairs + i] = sinf(angle);
        }
    }
}
