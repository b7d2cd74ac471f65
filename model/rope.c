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

// The dimension whose wavelength fits `rotations` times into the original positions (YaRN, arXiv 2309.00071, 3.2).
static double yarn_dimension(const ModelConfig *config, double rotations) {
    double dims = rope_dims(config), positions = config->rope_original_positions;
    return dims * log(positions / (rotations * 2 * (double)M_PI)) / (2 * log(config->rope_theta));
}

// Dimensions below `low` stay, those from `high` on are stretched, those between are blended.
static void yarn_range(const ModelConfig *config, float *low, float *high) {
    double from = yarn_dimension(config, config->rope_beta_fast), to = yarn_dimension(config, config->rope_beta_slow);
    if (!config->rope_untruncated) {
        from = floor(from);
        to = ceil(to);
    }
    *low = (float)fmax(from, 0);
    *high = (float)fmin(to, rope_dims(config) - 1);
    if (*low == *high) *high += 0.001f;
}

static float yarn_frequency(const ModelConfig *config, int i, float frequency) {
    float low, high;
    yarn_range(config, &low, &high);
    float ramp = fminf(fmaxf(((float)i - low) / (high - low), 0), 1), keep = 1 - ramp;
    float stretched = 1.0f / ((float)config->rope_factor / frequency);
    return stretched * (1 - keep) + frequency * keep;
}

static double theta_of(const ModelConfig *config, bool windowed, size_t positions) {
    if (windowed) return config->rope_window_theta;
    double original = config->rope_original_positions, factor = config->rope_factor, dims = rope_dims(config);
    if (config->rope_scaling != ROPE_DYNAMIC || (double)positions <= original || dims <= 2) return config->rope_theta;
    return config->rope_theta * pow(factor * (double)positions / original - (factor - 1), dims / (dims - 2));
}

static float scaled_frequency(const ModelConfig *config, size_t positions, int i, float frequency) {
    const bool is_long = (double)positions > config->rope_original_positions;
    switch (config->rope_scaling) {
    case ROPE_DEFAULT:
    case ROPE_DYNAMIC: return frequency;
    case ROPE_LINEAR: return frequency / (float)config->rope_factor;
    case ROPE_LLAMA3: return llama3_frequency(config, frequency);
    case ROPE_YARN: return yarn_frequency(config, i, frequency);
    case ROPE_PROPORTIONAL:
        return i < (int)floor(config->rope_share * rope_dims(config) / 2) ? frequency / (float)config->rope_factor : 0;
    case ROPE_LONG: return frequency / (is_long ? config->rope_long_factors : config->rope_short_factors)[i];
    }
    return frequency;
}

float rope_frequencies(const ModelConfig *config, bool windowed, size_t positions, float *frequencies) {
    const int dims = rope_dims_of(config, windowed);
    const float theta = (float)theta_of(config, windowed, positions);
    for (int i = 0; i < dims / 2; i++) {
        float frequency = 1.0f / powf(theta, (float)(2 * i) / (float)dims);
        frequencies[i] = windowed ? frequency : scaled_frequency(config, positions, i, frequency);
    }
    if (windowed || config->rope_attention_factor == 0) return 1;
    const bool is_long = config->rope_long_factor > 0 && (double)positions > config->rope_original_positions;
    return (float)(is_long ? config->rope_long_factor : config->rope_attention_factor);
}

void rope_tables(const float *frequencies, size_t pairs, size_t positions, float factor, float *cosine, float *sine) {
    for (size_t p = 0; p < positions; p++) {
        for (size_t i = 0; i < pairs; i++) {
            float angle = (float)p * frequencies[i];
            cosine[p * pairs + i] = cosf(angle) * factor;
            sine[p * pairs + i] = sinf(angle) * factor;
        }
    }
}

void growth_table(const QueryGrowth *growth, size_t pairs, size_t positions, float *factors) {
    for (size_t p = 0; p < positions; p++) {
        const float steps = floorf((float)(p + (size_t)growth->first) / (float)growth->step);
        const float factor = 1 + growth->rate * log1pf(steps);
        for (size_t i = 0; i < pairs; i++) factors[p * pairs + i] = factor;
    }
}
