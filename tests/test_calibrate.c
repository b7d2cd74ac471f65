// Calibration against an observer that keeps every activation.
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "analysis/stats.h"
#include "analysis/tokens.h"
#include "base/array.h"
#include "tests/support/fixture_model.h"

#define MODEL "tests/fixtures/llama-gqa-llama3-bf16"
enum { SEQUENCES = 5, LENGTH = 17, TOKENS = SEQUENCES * LENGTH, MOST_INPUTS = 64 };

typedef struct Seen { // all activations of every input
    float *x[MOST_INPUTS];
    size_t tokens[MOST_INPUTS], width[MOST_INPUTS];
} Seen;

static void keep_all(void *context, int input, const float *x, size_t tokens, size_t width) {
    Seen *seen = context;
    if (!seen->x[input]) seen->x[input] = array_new(TOKENS, width * sizeof(float));
    assert_true(seen->tokens[input] + tokens <= TOKENS);
    memcpy(seen->x[input] + seen->tokens[input] * width, x, tokens * width * sizeof(float));
    seen->tokens[input] += tokens;
    seen->width[input] = width;
}

static void run_observed(FixtureModel *model, const int32_t *ids, Seen *seen) {
    *seen = (Seen){0};
    const Observer observer = {.linear_input = keep_all, .context = seen};
    float *logits = array_new(LENGTH * (size_t)model->config.vocab, sizeof *logits);
    for (int s = 0; s < SEQUENCES; s++) {
        Sequences *sequences;
        Error err = {0};
        if (!sequences_new(model->base, LENGTH, &sequences, &err) ||
            !transformer_forward(model->base, sequences, ids + s * LENGTH, LENGTH, true, logits, &observer, &err))
            fail_msg("%s", err.message);
        sequences_free(sequences);
    }
    free(logits);
}

static void seen_free(Seen *seen) {
    for (int i = 0; i < MOST_INPUTS; i++) free(seen->x[i]);
}

static int ascending(const void *a, const void *b) {
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

static void assert_percentile(float got, const float *sorted, size_t n, double share) {
    double exact = (double)sorted[(size_t)ceil(share * (double)n) - 1];
    if (!(fabs((double)got - exact) <= exact / 256)) fail_msg("percentile %g: %g, not %g", share, (double)got, exact);
}

// A value within half a pattern of an edge may go to either side of it.
static void assert_histogram(const uint64_t *bins, const float *sorted, size_t n) {
    uint64_t below = 0, total = 0;
    for (int b = 0; b < MAGNITUDE_BINS; b++) {
        if (b) {
            uint64_t least = 0, most = 0;
            for (size_t i = 0; i < n; i++) {
                least += (double)sorted[i] < magnitude_edge(b) * (1 - 1.0 / 128);
                most += (double)sorted[i] < magnitude_edge(b) * (1 + 1.0 / 128);
            }
            assert_true(below >= least && below <= most);
        }
        below += bins[b];
        total += bins[b];
    }
    assert_int_equal(total, n);
}

// Where in its part of the tokens sample row i stands; x [TOKENS, width] is all of them.
static size_t place_of_row(const InputStats *got, size_t i, const float *x) {
    size_t from = (size_t)TOKENS * i / SAMPLE_ROWS, to = (size_t)TOKENS * (i + 1) / SAMPLE_ROWS, at = from;
    while (at < to && memcmp(got->sample + i * got->width, x + at * got->width, got->width * sizeof *x) != 0) at++;
    assert_true(at < to);
    return at - from;
}

// magnitudes [TOKENS, width]
static void assert_standing_out(const InputStats *got, const float *magnitudes, size_t width) {
    uint32_t *expected = array_new(width, sizeof *expected);
    for (size_t t = 0; t < TOKENS; t++) {
        double mean = 0;
        for (size_t j = 0; j < width; j++) mean += (double)magnitudes[t * width + j] / (double)width;
        for (size_t j = 0; j < width; j++) expected[j] += (double)magnitudes[t * width + j] > 6 * mean;
    }
    assert_memory_equal(got->channel_tokens, expected, width * sizeof *expected);
    free(expected);
}

static void assert_input(const InputStats *got, const float *x, size_t width) {
    assert_true(got->known);
    assert_int_equal(got->width, width);
    assert_int_equal(got->tokens, TOKENS);
    size_t n = TOKENS * width;
    float *magnitudes = array_new(n, sizeof *magnitudes);
    float tokens[TOKENS] = {0};
    for (size_t j = 0; j < width; j++) {
        float most = 0;
        for (size_t t = 0; t < TOKENS; t++) {
            float a = fabsf(x[t * width + j]);
            magnitudes[t * width + j] = a;
            most = fmaxf(most, a);
            tokens[t] = fmaxf(tokens[t], a);
        }
        assert_true(got->channel_absmax[j] == most);
    }
    assert_standing_out(got, magnitudes, width);
    qsort(magnitudes, n, sizeof *magnitudes, ascending);
    assert_true(got->range == magnitudes[n - 1]);
    assert_percentile(got->p99, magnitudes, n, 0.99);
    assert_percentile(got->p99_9, magnitudes, n, 0.999);
    assert_percentile(got->p99_99, magnitudes, n, 0.9999);
    assert_histogram(got->magnitude, magnitudes, n);
    uint64_t token_bins[MAGNITUDE_BINS] = {0};
    for (size_t t = 0; t < TOKENS; t++) token_bins[magnitude_bin((double)tokens[t])]++;
    assert_memory_equal(got->token_magnitude, token_bins, sizeof token_bins);
    assert_int_equal(got->sample_rows, SAMPLE_ROWS);
    size_t places[SAMPLE_ROWS];
    for (size_t i = 0; i < SAMPLE_ROWS; i++) places[i] = place_of_row(got, i, x);
    assert_true(places[0] != places[1] || places[1] != places[2]); // not at the same place of every part
    free(magnitudes);
}

static void statistics_by_definition(void **state) {
    (void)state;
    FixtureModel model;
    fixture_model_open(MODEL, PRECISION_F32, &model);
    TokenIds tokens = {0};
    Error err = {0};
    assert_true(tokens_random((size_t)model.config.vocab, TOKENS, 3, &tokens, &err));
    Seen seen;
    run_observed(&model, tokens.ids, &seen);
    ModelStats stats;
    Progress progress = {0};
    assert_true(model_stats_new(&model.structure, &stats, &err));
    if (!calibrate(model.base, tokens.ids, SEQUENCES, LENGTH, &stats, &progress, &err)) fail_msg("%s", err.message);
    assert_int_equal(atomic_load(&progress.done), TOKENS);
    assert_int_equal(atomic_load(&progress.total), TOKENS);
    for (int i = 0; i < stats.input_count; i++) {
        assert_input(&stats.inputs[i], seen.x[i], seen.width[i]);
        const InputMeasure *view = &stats.measured.inputs[i];
        assert_true(view->known && view->range == stats.inputs[i].range);
        assert_ptr_equal(view->channel_absmax, stats.inputs[i].channel_absmax);
        assert_int_equal(view->tokens, TOKENS);
    }
    model_stats_free(&stats);
    seen_free(&seen);
    token_ids_free(&tokens);
    fixture_model_close(&model);
}

static void assert_unknown(const ModelStats *stats) {
    for (int i = 0; i < stats->input_count; i++) {
        assert_false(stats->inputs[i].known);
        assert_false(stats->measured.inputs[i].known);
        assert_null(stats->inputs[i].channel_absmax);
    }
}

static void stopped_or_refused_leaves_nothing(void **state) {
    (void)state;
    FixtureModel model;
    fixture_model_open(MODEL, PRECISION_NATIVE, &model);
    int32_t ids[2 * LENGTH] = {0};
    ModelStats stats;
    Error err = {0};
    Progress progress = {0};
    assert_true(model_stats_new(&model.structure, &stats, &err));
    progress_request_stop(&progress);
    assert_false(calibrate(model.base, ids, 2, LENGTH, &stats, &progress, &err));
    assert_true(err.stopped);
    assert_unknown(&stats);
    assert_false(calibrate(model.base, ids, 0, LENGTH, &stats, NULL, &err));
    assert_non_null(strstr(err.message, "no tokens"));
    assert_false(calibrate(model.base, ids, 1, 65, &stats, NULL, &err));
    assert_non_null(strstr(err.message, "64 positions"));
    ids[20] = -1;
    assert_false(calibrate(model.base, ids, 2, LENGTH, &stats, NULL, &err));
    assert_unknown(&stats);
    ids[20] = 0;
    // Fewer tokens than sample rows: every row once.
    assert_true(calibrate(model.base, ids, 1, 3, &stats, NULL, &err));
    assert_int_equal(stats.inputs[0].sample_rows, 3);
    model_stats_free(&stats);
    fixture_model_close(&model);
}

static void overflow_names_the_input(void **state) {
    (void)state;
    FixtureModel model;
    fixture_model_open(MODEL, PRECISION_F32, &model);
    float factors[48];
    for (int j = 0; j < 48; j++) factors[j] = j == 7 ? 1e-44f : 1;
    Error err = {0};
    assert_true(transformer_set_norm_divisor(model.base, model.structure.layers[1].mlp_norm, factors, &err));
    int32_t ids[LENGTH] = {1, 2, 3};
    ModelStats stats;
    assert_true(model_stats_new(&model.structure, &stats, &err));
    assert_false(calibrate(model.base, ids, 1, LENGTH, &stats, NULL, &err));
    assert_non_null(strstr(err.message, "model.layers.1.mlp.gate_proj"));
    assert_non_null(strstr(err.message, "precision"));
    assert_unknown(&stats);
    model_stats_free(&stats);
    fixture_model_close(&model);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(statistics_by_definition),
        cmocka_unit_test(stopped_or_refused_leaves_nothing),
        cmocka_unit_test(overflow_names_the_input),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
