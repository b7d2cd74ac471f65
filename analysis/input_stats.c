#include "analysis/input_stats.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "kernels/host/measure.h"

static size_t rows_planned(uint64_t planned) { return planned < SAMPLE_ROWS ? (size_t)planned : SAMPLE_ROWS; }

bool input_gatherer_new(size_t width, InputPlan plan, InputGatherer *out, Error *err) {
    *out = (InputGatherer){.width = width, .plan = plan, .patterns = array_new(65536, sizeof(uint64_t))};
    out->stats.width = width;
    out->stats.channel_absmax = array_new(width, sizeof(float));
    out->stats.channel_tokens = array_new(width, sizeof(uint32_t));
    out->stats.sample = array_new(rows_planned(plan.planned), width * sizeof(float));
    if (out->patterns && out->stats.channel_absmax && out->stats.channel_tokens && out->stats.sample) return true;
    input_gatherer_free(out);
    return error_memory(err, "activation statistics");
}

bool input_gatherer_sample_early(InputGatherer *gatherer, Error *err) {
    if (gatherer->plan.planned <= EARLY_TOKENS) return true;
    gatherer->early = array_new(SAMPLE_ROWS, gatherer->width * sizeof(float));
    return gatherer->early || error_memory(err, "activation statistics");
}

void input_gatherer_free(InputGatherer *gatherer) {
    free(gatherer->patterns);
    free(gatherer->token_absmax);
    free(gatherer->stats.channel_absmax);
    free(gatherer->stats.channel_tokens);
    free(gatherer->stats.sample);
    free(gatherer->early);
    *gatherer = (InputGatherer){0};
}

// One of the tokens [from, to), at another place for each i (by the golden ratio). At the same place they might all be
// first tokens of sequences, which are like no others.
static uint64_t place_in(uint64_t from, uint64_t to, uint64_t i) {
    const uint32_t place = (uint32_t)(i + 1) * 2654435769u; // 2^32 times the fraction of (i + 1) · 0.618…
    return from + (uint64_t)((__uint128_t)(to - from) * place >> 32);
}

// The position among `tokens` tokens of sample row `i`: one in each part of them.
static uint64_t sample_position(uint64_t tokens, size_t i) {
    const uint64_t rows = rows_planned(tokens);
    return place_in((uint64_t)((__uint128_t)tokens * i / rows), (uint64_t)((__uint128_t)tokens * (i + 1) / rows), i);
}

// How many rows there are after so many tokens.
static size_t rows_after(uint64_t tokens, uint64_t planned) {
    size_t rows = 0;
    while (rows < rows_planned(planned) && sample_position(planned, rows) < tokens) rows++;
    return rows;
}

// backend: where x lies; NULL: on the host.
static void keep_row(const InputGatherer *g, Backend *backend, const float *x, uint64_t row, float *to) {
    if (backend)
        backend->ops->download(backend, to, x + row * g->width, g->width * sizeof(float));
    else
        memcpy(to, x + row * g->width, g->width * sizeof(float));
}

// Rows that are spread over `spread` tokens, of which `before` come first, with so many of the rows.
static void keep_rows(const InputGatherer *g, Backend *backend, const float *x, size_t tokens, uint64_t spread,
                      uint64_t before, float *rows, size_t *count) {
    const uint64_t from = before + g->tokens;
    for (size_t i = rows_after(before, spread) + *count; i < rows_planned(spread); i++) {
        const uint64_t position = sample_position(spread, i);
        if (position >= from + tokens) return;
        keep_row(g, backend, x, position - from, rows + (*count)++ * g->width);
    }
}

// Of a call with few tokens some slots stay empty. What is kept of it depends on nothing that came before.
static void keep_slots(InputGatherer *g, Backend *backend, const float *x, size_t tokens) {
    const uint64_t slots = g->slots_end - g->next_slot, rows = slots < tokens ? slots : tokens;
    for (uint64_t i = 0; i < rows && g->stats.sample_rows < rows_planned(g->plan.planned); i++)
        keep_row(g, backend, x, place_in(tokens * i / rows, tokens * (i + 1) / rows, g->next_slot + i),
                 g->stats.sample + g->stats.sample_rows++ * g->width);
    g->next_slot = g->slots_end;
}

static void keep_samples(InputGatherer *g, Backend *backend, const float *x, size_t tokens) {
    if (g->plan.routed)
        keep_slots(g, backend, x, tokens);
    else
        keep_rows(g, backend, x, tokens, g->plan.planned, g->plan.before, g->stats.sample, &g->stats.sample_rows);
    if (!g->early) return;
    if (g->tokens < EARLY_TOKENS) keep_rows(g, backend, x, tokens, EARLY_TOKENS, 0, g->early, &g->early_rows);
    if (g->stats.sample_rows < SAMPLE_ROWS / 2) return;
    free(g->early);
    g->early = NULL;
    g->early_rows = 0;
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
    count_standing_out(x, tokens, g->width, g->token_absmax, g->stats.channel_tokens);
    add_tokens(g, NULL, x, tokens);
    return true;
}

bool input_gatherer_measure(InputGatherer *g, Backend *backend, const float *x, size_t tokens, Error *err) {
    if (!token_room(g, tokens, err)) return false;
    const ActivationCounts counts = {g->patterns, g->stats.channel_absmax, g->stats.channel_tokens, g->token_absmax};
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

// Early rows while they outnumber those spread over all tokens; at the end always the latter.
static bool copy_samples(const InputGatherer *g, bool final, InputStats *out, Error *err) {
    const bool early = !final && g->early_rows > g->stats.sample_rows;
    out->sample_rows = early ? g->early_rows : g->stats.sample_rows;
    out->sample = array_new(out->sample_rows, g->width * sizeof(float));
    if (!out->sample) return error_memory(err, "activation statistics");
    memcpy(out->sample, early ? g->early : g->stats.sample, out->sample_rows * g->width * sizeof(float));
    return true;
}

bool input_gatherer_look(const InputGatherer *g, bool final, InputStats *out, Error *err) {
    *out = g->stats;
    out->sample = NULL;
    out->tokens = g->tokens;
    out->channel_absmax = array_new(g->width, sizeof(float));
    out->channel_tokens = array_new(g->width, sizeof(uint32_t));
    if (!out->channel_absmax || !out->channel_tokens) return error_memory(err, "activation statistics");
    memcpy(out->channel_absmax, g->stats.channel_absmax, g->width * sizeof(float));
    memcpy(out->channel_tokens, g->stats.channel_tokens, g->width * sizeof(uint32_t));
    for (size_t j = 0; j < g->width; j++) out->range = fmaxf(out->range, out->channel_absmax[j]);
    magnitudes_finish(g, out);
    return copy_samples(g, final, out, err);
}

// ---- On disk ----

// Of 65,536 patterns a few thousand occur, most of them side by side: runs of them.
static uint32_t run_end(const uint64_t *patterns, uint32_t p) {
    while (p < 65536 && patterns[p]) p++;
    return p;
}

static void put_patterns(const uint64_t *patterns, Text *file) {
    uint64_t runs = 0;
    for (uint32_t p = 0; p < 65536; p++) runs += patterns[p] && (!p || !patterns[p - 1]);
    stats_put_number(file, runs);
    for (uint32_t p = 0; p < 65536; p++) {
        if (!patterns[p]) continue;
        const uint32_t run[2] = {p, run_end(patterns, p) - p};
        stats_put(file, run, sizeof run);
        stats_put(file, patterns + p, run[1] * sizeof *patterns);
        p += run[1];
    }
}

static bool get_patterns(StatsReader *r, uint64_t *patterns) {
    uint64_t runs = stats_get_number(r);
    for (uint64_t i = 0; i < runs && !r->bad; i++) {
        uint32_t run[2];
        stats_get(r, run, sizeof run);
        if (run[0] >= 65536 || run[1] > 65536 - run[0]) return false;
        stats_get(r, patterns + run[0], run[1] * sizeof *patterns);
    }
    return !r->bad;
}

void input_gatherer_put(const InputGatherer *g, Text *file) {
    stats_put_number(file, g->tokens);
    put_patterns(g->patterns, file);
    stats_put(file, g->stats.channel_absmax, g->width * sizeof(float));
    stats_put(file, g->stats.channel_tokens, g->width * sizeof(uint32_t));
    stats_put(file, g->stats.token_magnitude, sizeof g->stats.token_magnitude);
    stats_put_number(file, g->stats.sample_rows);
    stats_put(file, g->stats.sample, g->stats.sample_rows * g->width * sizeof(float));
}

static bool floats_plausible(const float *values, size_t n, bool magnitudes) {
    bool ok = true;
    for (size_t i = 0; i < n; i++) ok &= fabsf(values[i]) <= FLT_MAX && (!magnitudes || values[i] >= 0);
    return ok;
}

// Rows of the tokens that were seen; of routed ones nobody knows how many.
static bool rows_plausible(const InputGatherer *g, uint64_t rows) {
    const InputPlan *p = &g->plan;
    uint64_t end;
    if (__builtin_add_overflow(p->before, g->tokens, &end)) return false;
    return p->routed ? rows <= g->tokens && rows <= rows_planned(p->planned)
                     : rows == rows_after(end, p->planned) - rows_after(p->before, p->planned);
}

bool input_gatherer_get(StatsReader *r, size_t width, InputPlan plan, InputGatherer *out) {
    uint64_t values;
    if (!width || !input_gatherer_new(width, plan, out, NULL)) return false;
    out->tokens = stats_get_number(r);
    bool ok = get_patterns(r, out->patterns) && !__builtin_mul_overflow(out->tokens, (uint64_t)width, &values) &&
              counts_sum_to(out->patterns, 65536, values) && !any_nonfinite(out->patterns);
    stats_get(r, out->stats.channel_absmax, width * sizeof(float));
    stats_get(r, out->stats.channel_tokens, width * sizeof(uint32_t));
    stats_get(r, out->stats.token_magnitude, sizeof out->stats.token_magnitude);
    ok = ok && counts_sum_to(out->stats.token_magnitude, MAGNITUDE_BINS, out->tokens) &&
         floats_plausible(out->stats.channel_absmax, width, true) &&
         counts_at_most(out->stats.channel_tokens, width, out->tokens);
    const uint64_t rows = stats_get_number(r);
    if (ok && (ok = rows_plausible(out, rows))) {
        out->stats.sample_rows = (size_t)rows;
        ok = stats_get(r, out->stats.sample, out->stats.sample_rows * width * sizeof(float)) &&
             floats_plausible(out->stats.sample, out->stats.sample_rows * width, false);
    }
    if (!ok) input_gatherer_free(out);
    return ok;
}

void input_gatherer_merge(InputGatherer *g, const InputGatherer *next) {
    const size_t room = rows_planned(g->plan.planned) - g->stats.sample_rows;
    const size_t rows = next->stats.sample_rows < room ? next->stats.sample_rows : room;
    for (size_t i = 0; i < 65536; i++) g->patterns[i] += next->patterns[i];
    for (size_t i = 0; i < MAGNITUDE_BINS; i++) g->stats.token_magnitude[i] += next->stats.token_magnitude[i];
    for (size_t j = 0; j < g->width; j++)
        g->stats.channel_absmax[j] = fmaxf(g->stats.channel_absmax[j], next->stats.channel_absmax[j]);
    for (size_t j = 0; j < g->width; j++) g->stats.channel_tokens[j] += next->stats.channel_tokens[j];
    memcpy(g->stats.sample + g->stats.sample_rows * g->width, next->stats.sample, rows * g->width * sizeof(float));
    g->stats.sample_rows += rows;
    g->tokens += next->tokens;
}
