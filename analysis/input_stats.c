#include "analysis/input_stats.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "kernels/host/measure.h"

bool input_gatherer_new(size_t width, uint64_t planned, InputGatherer *out, Error *err) {
    size_t samples = planned < SAMPLE_ROWS ? (size_t)planned : SAMPLE_ROWS;
    *out = (InputGatherer){.width = width, .planned = planned, .patterns = array_new(65536, sizeof(uint64_t))};
    out->stats.width = width;
    out->stats.channel_absmax = array_new(width, sizeof(float));
    out->stats.sample = array_new(samples, width * sizeof(float));
    if (out->patterns && out->stats.channel_absmax && out->stats.sample) return true;
    input_gatherer_free(out);
    return error_memory(err, "activation statistics");
}

void input_gatherer_free(InputGatherer *gatherer) {
    free(gatherer->patterns);
    free(gatherer->token_absmax);
    free(gatherer->stats.channel_absmax);
    free(gatherer->stats.sample);
    *gatherer = (InputGatherer){0};
}

// The position among all tokens of sample row `i`: one in each part of them, at another place in each part (by the
// golden ratio). At the same place they might all be first tokens of sequences, which are like no others.
static uint64_t sample_position(const InputGatherer *g, size_t i) {
    const uint64_t rows = g->planned < SAMPLE_ROWS ? g->planned : SAMPLE_ROWS;
    const uint64_t from = (uint64_t)((__uint128_t)g->planned * i / rows),
                   to = (uint64_t)((__uint128_t)g->planned * (i + 1) / rows);
    const uint32_t place = (uint32_t)(i + 1) * 2654435769u; // 2^32 times the fraction of (i + 1) · 0.618…
    return from + (uint64_t)((__uint128_t)(to - from) * place >> 32);
}

// backend: where x lies; NULL: on the host.
static void keep_samples(InputGatherer *g, Backend *backend, const float *x, size_t tokens) {
    const size_t bytes = g->width * sizeof(float);
    while (g->stats.sample_rows < SAMPLE_ROWS && g->stats.sample_rows < g->planned) {
        uint64_t position = sample_position(g, g->stats.sample_rows);
        if (position >= g->tokens + tokens) return;
        const float *row = x + (size_t)(position - g->tokens) * g->width;
        float *to = g->stats.sample + g->stats.sample_rows++ * g->width;
        if (backend)
            backend->ops->download(backend, to, row, bytes);
        else
            memcpy(to, row, bytes);
    }
}

static bool any_nonfinite(const uint64_t *patterns) {
    uint64_t found = 0;
    for (uint32_t p = 0x7F80; p < 0x8000; p++) found |= patterns[p] | patterns[p + 0x8000];
    return found != 0;
}

static bool token_room(InputGatherer *g, size_t tokens, Error *err) {
    if (tokens <= g->room) return true;
    free(g->token_absmax);
    g->token_absmax = array_new(tokens, sizeof(float));
    g->room = g->token_absmax ? tokens : 0;
    return g->token_absmax || error_memory(err, "activation statistics");
}

static bool check_finite(const InputGatherer *g, size_t tokens, Error *err) {
    if (!any_nonfinite(g->patterns)) return true;
    return error_set(err,
                     "activations are infinite or not a number among tokens %llu to %llu; the model overflows in its "
                     "own precision: try --precision f32, or check the checkpoint for damaged weights",
                     (unsigned long long)g->tokens + 1, (unsigned long long)(g->tokens + tokens));
}

// What follows from the maxima of the tokens, once these are known.
static void add_tokens(InputGatherer *g, Backend *backend, const float *x, size_t tokens) {
    for (size_t t = 0; t < tokens; t++) g->stats.token_magnitude[magnitude_bin(g->token_absmax[t])]++;
    keep_samples(g, backend, x, tokens);
    g->tokens += tokens;
}

bool input_gatherer_add(InputGatherer *g, const float *x, size_t tokens, Error *err) {
    if (!token_room(g, tokens, err)) return false;
    count_patterns(DTYPE_F32, x, tokens * g->width, g->patterns);
    if (!check_finite(g, tokens, err)) return false;
    absmax_update(x, tokens, g->width, g->stats.channel_absmax, g->token_absmax);
    add_tokens(g, NULL, x, tokens);
    return true;
}

bool input_gatherer_measure(InputGatherer *g, Backend *backend, const float *x, size_t tokens, Error *err) {
    if (!token_room(g, tokens, err)) return false;
    const ActivationCounts counts = {g->patterns, g->stats.channel_absmax, g->token_absmax};
    if (!backend->ops->measure(backend, x, tokens, g->width, &counts, err) || !check_finite(g, tokens, err))
        return false;
    add_tokens(g, backend, x, tokens);
    return true;
}

// A pattern stands for all floats with these upper 16 bits; the middle of them errs by at most 2^−8 of the value.
static double pattern_middle(uint32_t magnitude_pattern) {
    if (!magnitude_pattern) return 0;
    uint32_t bits = magnitude_pattern << 16 | 0x8000;
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

// Walks the magnitudes upwards once, filling the log histogram and the percentiles on the way.
static void magnitudes_finish(const InputGatherer *g, InputStats *out) {
    const double shares[3] = {0.99, 0.999, 0.9999};
    float *const percentiles[3] = {&out->p99, &out->p99_9, &out->p99_99};
    double total = (double)g->tokens * (double)g->width;
    uint64_t have = 0;
    int next = 0;
    for (uint32_t p = 0; p < 0x7F80; p++) {
        uint64_t count = g->patterns[p] + g->patterns[p + 0x8000];
        if (!count) continue;
        double magnitude = fmin(pattern_middle(p), out->range);
        out->magnitude[magnitude_bin(magnitude)] += count;
        have += count;
        for (; next < 3 && (double)have >= shares[next] * total; next++) *percentiles[next] = (float)magnitude;
    }
}

void input_gatherer_finish(InputGatherer *g, InputStats *out) {
    InputStats *stats = &g->stats;
    stats->tokens = g->tokens;
    for (size_t j = 0; j < g->width; j++) stats->range = fmaxf(stats->range, stats->channel_absmax[j]);
    magnitudes_finish(g, stats);
    *out = *stats;
    stats->channel_absmax = stats->sample = NULL;
    input_gatherer_free(g);
}
