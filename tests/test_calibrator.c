// Calibration in steps: stopped, kept on disk and taken up again anywhere, it ends with the same figures bit by bit.
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "analysis/calibrator.h"
#include "analysis/input_stats.h"
#include "analysis/stats_cache.h"
#include "analysis/tokens.h"
#include "base/file.h"
#include "tests/support/fixture_model.h"
#include "tests/support/in_folder.h"
#include "tests/support/slow_checks.h"

// Two batches: the first has 1,024 tokens. The experts of the second model share them.
enum { LENGTH = 32, SEQUENCES = 40, TOKENS = LENGTH * SEQUENCES, KEY = 7 };
static const char *const models[] = {"tests/fixtures/llama-gqa-llama3-bf16", "tests/fixtures/families/mixtral"};

static const char *state_path(void) {
    static char path[4200];
    snprintf(path, sizeof path, "%s/calibration-%016x.stats", folder, KEY);
    return path;
}

// ---- A model that stops after so many layers ----

static BackendOps counting;
static void (*attention)(Backend *, const Cache *, int, const AttentionShape *, const float *, size_t, size_t, float *);
static Progress watched;
static int layers_left;

static void count_attention(Backend *backend, const Cache *cache, int layer, const AttentionShape *shape,
                            const float *q, size_t first, size_t tokens, float *y) {
    attention(backend, cache, layer, shape, q, first, tokens, y);
    if (--layers_left == 0) progress_request_stop(&watched);
}

static void open_counting(const char *name, FixtureModel *out) {
    fixture_model_open(name, PRECISION_NATIVE, out);
    counting = *out->backend->ops;
    attention = counting.attention;
    counting.attention = count_attention;
    out->backend->ops = &counting;
}

static void stop_after(int layers) {
    watched = (Progress){0};
    layers_left = layers;
}

static Calibrator *started(FixtureModel *model) {
    static TokenIds ids;
    Calibrator *c = NULL;
    Error err = {0};
    token_ids_free(&ids);
    if (!tokens_random((size_t)model->config.vocab, TOKENS, 3, &ids, &err) ||
        !calibrator_new(model->base, ids.ids, SEQUENCES, LENGTH, &c, &err))
        fail_msg("%s", err.message);
    return c;
}

static InputSet *seen_by(const Calibrator *c) {
    InputSet *set;
    Error err = {0};
    if (!calibrator_inputs(c, &set, &err)) fail_msg("%s", err.message);
    return set;
}

// To the end; counts no token twice.
static InputSet *finished(Calibrator *c) {
    Error err = {0};
    stop_after(0);
    calibrator_begin(c, &watched);
    while (!calibrator_done(c)) {
        if (!calibrator_batch(c, &watched, &err)) fail_msg("%s", err.message);
    }
    assert_int_equal(atomic_load(&watched.done), TOKENS);
    InputSet *set = seen_by(c);
    calibrator_free(c);
    return set;
}

static InputSet *uninterrupted(FixtureModel *model) { return finished(started(model)); }

static void assert_same(const InputSet *a, const InputSet *b) {
    assert_true(a->tokens == b->tokens && a->planned == b->planned && a->count == b->count);
    for (int i = 0; i < a->count; i++) {
        const InputStats *x = &a->inputs[i], *y = &b->inputs[i];
        assert_true(x->width == y->width && x->tokens == y->tokens && x->range == y->range && x->p99 == y->p99 &&
                    x->p99_9 == y->p99_9 && x->p99_99 == y->p99_99 && x->sample_rows == y->sample_rows);
        assert_memory_equal(x->channel_absmax, y->channel_absmax, x->width * sizeof(float));
        assert_memory_equal(x->channel_tokens, y->channel_tokens, x->width * sizeof(uint32_t));
        assert_memory_equal(x->magnitude, y->magnitude, sizeof x->magnitude);
        assert_memory_equal(x->token_magnitude, y->token_magnitude, sizeof x->token_magnitude);
        assert_memory_equal(x->sample, y->sample, x->sample_rows * x->width * sizeof(float));
        assert_true(b->measured[i].range == y->range && !b->measured[i].provisional);
    }
}

static Calibrator *stopped_after(FixtureModel *model, int layers) {
    Calibrator *c = started(model);
    Error err = {0};
    stop_after(layers);
    while (calibrator_batch(c, &watched, &err)) {
    }
    assert_true(err.stopped);
    return c;
}

static void stopped_and_gone_on(FixtureModel *model, const InputSet *whole, int layers) {
    Calibrator *c = stopped_after(model, layers);
    InputSet *set = finished(c);
    assert_same(whole, set);
    input_set_release(set);
}

// As after a restart of the program; twice, since a state may be kept again before its own batch was run again.
static void kept_and_taken_up(FixtureModel *model, const InputSet *whole, int layers) {
    Calibrator *c = stopped_after(model, layers);
    const uint64_t tokens = calibrator_tokens(c);
    Error err = {0};
    for (int i = 0; i < 2; i++) {
        if (!calibrator_keep(c, folder, KEY, &err)) fail_msg("%s", err.message);
        calibrator_free(c);
        c = started(model);
        assert_true(calibrator_resume(c, folder, KEY));
        assert_int_equal(calibrator_tokens(c), tokens);
    }
    InputSet *set = finished(c);
    assert_same(whole, set);
    input_set_release(set);
}

// Under valgrind one model and one stop do.
static void the_end_is_the_same_wherever_it_was_stopped(void **state) {
    (void)state;
    for (size_t m = slow_checks() ? 0 : 1; m < sizeof models / sizeof *models; m++) {
        FixtureModel model;
        open_counting(models[m], &model);
        InputSet *whole = uninterrupted(&model);
        const int layers = model.config.layers * SEQUENCES;
        // In the first layer, at its end, at the end of the first batch, and in the middle of the second.
        const int stops[] = {1, 32, 32 * model.config.layers, layers - 5};
        for (size_t i = slow_checks() ? 0 : 3; i < sizeof stops / sizeof *stops; i++) {
            if (slow_checks()) stopped_and_gone_on(&model, whole, stops[i]);
            kept_and_taken_up(&model, whole, stops[i]);
        }
        input_set_release(whole);
        fixture_model_close(&model);
    }
}

static void what_is_seen_early_is_provisional(void **state) {
    (void)state;
    FixtureModel model;
    Error err = {0};
    if (!slow_checks()) skip();
    open_counting(models[0], &model);
    InputSet *whole = uninterrupted(&model);
    Calibrator *c = started(&model);
    stop_after(0);
    assert_true(calibrator_batch(c, &watched, &err) && !calibrator_done(c));
    InputSet *early = seen_by(c);
    assert_int_equal(early->tokens, 1024);
    assert_int_equal(early->planned, TOKENS);
    bool grows = false;
    for (int i = 0; i < early->count; i++) {
        assert_true(early->measured[i].known && early->measured[i].provisional);
        assert_true(early->inputs[i].range <= whole->inputs[i].range);
        grows = grows || early->inputs[i].range < whole->inputs[i].range;
    }
    assert_true(grows);
    // The set is the caller's: it stays as it is while the calibrator goes on.
    const float range = early->inputs[0].channel_absmax[0];
    InputSet *set = finished(c), *kept = input_set_keep(early);
    assert_same(whole, set);
    input_set_release(early);
    assert_true(kept->inputs[0].channel_absmax[0] == range && kept->tokens == 1024);
    input_set_release(kept);
    input_set_release(set);
    input_set_release(whole);
    fixture_model_close(&model);
}

// Errors of outputs are judged by rows that are spread over what was seen, not by the very first one.
static void rows_come_from_the_tokens_that_were_seen(void **state) {
    (void)state;
    enum { PLANNED = 65536 };
    InputGatherer g;
    InputStats stats;
    Error err = {0};
    assert_true(input_gatherer_new(1, (InputPlan){.planned = PLANNED}, &g, &err) &&
                input_gatherer_sample_early(&g, &err));
    for (int t = 0; t < PLANNED; t += EARLY_TOKENS) {
        float x[EARLY_TOKENS];
        for (int i = 0; i < EARLY_TOKENS; i++) x[i] = (float)(t + i);
        assert_true(input_gatherer_add(&g, x, EARLY_TOKENS, &err));
        const int seen = t + EARLY_TOKENS;
        if (t > 0 && seen < PLANNED) continue;
        assert_true(input_gatherer_look(&g, seen == PLANNED, &stats, &err));
        assert_int_equal(stats.sample_rows, SAMPLE_ROWS);
        const int apart = seen / SAMPLE_ROWS;
        for (int i = 0; i < SAMPLE_ROWS; i++)
            assert_true(stats.sample[i] >= (float)(apart * i) && stats.sample[i] < (float)(apart * (i + 1)));
        free(stats.sample);
        free(stats.channel_absmax);
        free(stats.channel_tokens);
    }
    input_gatherer_free(&g);
}

// ---- Parts ----

static char *part_file(const char *name, int part) {
    char *path = NULL;
    assert_true(asprintf(&path, "%s/%s-%d", folder, name, part) > 0);
    return path;
}

// As a process of its own runs it, stopped once on its way.
static void run_part(FixtureModel *model, const char *name, int part, int parts, uint64_t ids_hash) {
    TokenIds ids = {0};
    Calibrator *c = NULL;
    Error err = {0};
    const CalibrationWork work = {.model = inputs_model_key(&model->structure), .ids = ids_hash, .backend = "cpu"};
    char *path = part_file(name, part);
    assert_false(calibration_part_is_there(path, &work, part, parts));
    assert_true(tokens_random((size_t)model->config.vocab, TOKENS, 3, &ids, &err));
    for (int run = 0; run < 2; run++) {
        if (!calibrator_new_part(model->base, ids.ids, SEQUENCES, LENGTH, part, parts, &c, &err))
            fail_msg("%s", err.message);
        assert_int_equal(calibrator_resume(c, folder, (uint64_t)(10 + part)), run == 1);
        stop_after(run ? 0 : 5);
        while (!calibrator_done(c) && calibrator_batch(c, &watched, &err)) continue;
        assert_int_equal(calibrator_done(c), run == 1);
        assert_true(calibrator_keep(c, folder, (uint64_t)(10 + part), &err));
        if (run && !calibration_part_write(c, &work, path, &err)) fail_msg("%s", err.message);
        calibrator_free(c);
    }
    assert_true(calibration_part_is_there(path, &work, part, parts));
    assert_false(calibration_part_is_there(path, &work, part, parts + 1));
    calibrator_forget(folder, (uint64_t)(10 + part));
    token_ids_free(&ids);
    free(path);
}

static void expect_not_merged(const FixtureModel *model, char *const *paths, int count, const char *reason) {
    CalibrationWork work;
    InputSet *set;
    Error err = {0};
    assert_false(calibration_merge(&model->structure, paths, count, &work, &set, &err));
    assert_null(set);
    if (!strstr(err.message, reason)) fail_msg("expected \"%s\", got \"%s\"", reason, err.message);
}

// In any order; experts, whose tokens are spread over the parts, included.
static void parts_together_saw_what_one_sees(void **state) {
    (void)state;
    enum { PARTS = 3 }; // of 13, 13 and 14 sequences
    for (size_t m = slow_checks() ? 0 : 1; m < sizeof models / sizeof *models; m++) {
        FixtureModel model;
        CalibrationWork work;
        InputSet *set;
        Error err = {0};
        char *paths[PARTS];
        open_counting(models[m], &model);
        for (int part = 1; part <= PARTS; part++) {
            run_part(&model, m ? "b" : "a", part, PARTS, 1);
            paths[PARTS - part] = part_file(m ? "b" : "a", part);
        }
        if (!calibration_merge(&model.structure, paths, PARTS, &work, &set, &err)) fail_msg("%s", err.message);
        assert_string_equal(work.backend, "cpu");
        InputSet *whole = uninterrupted(&model);
        assert_same(whole, set);
        for (int i = 0; i < set->count; i++) assert_true(set->inputs[i].sample_rows > SAMPLE_ROWS / 4);
        expect_not_merged(&model, paths + 1, PARTS - 1, "1 of 3 parts is missing; calibrate --part 3/3");
        expect_not_merged(&model, (char *[]){paths[0], paths[1], paths[1]}, PARTS, "both are part 2 of 3");
        input_set_release(set), input_set_release(whole);
        for (int i = 0; i < PARTS; i++) free(paths[i]);
        fixture_model_close(&model);
    }
}

static void parts_of_different_work_are_not_merged(void **state) {
    (void)state;
    FixtureModel model, other;
    Calibrator *c;
    Error err = {0};
    int32_t ids[LENGTH] = {0};
    open_counting(models[1], &model);
    run_part(&model, "x", 1, 2, 1);
    run_part(&model, "y", 2, 2, 2);
    run_part(&model, "z", 2, 4, 1);
    char *paths[] = {part_file("x", 1), part_file("y", 2), part_file("z", 2)};
    expect_not_merged(&model, paths, 2, "another text");
    expect_not_merged(&model, (char *[]){paths[0], paths[2]}, 2, "another number of parts");
    open_counting(models[0], &other);
    expect_not_merged(&other, paths, 2, "another model");
    assert_false(calibrator_new_part(other.base, ids, 1, LENGTH, 1, 2, &c, &err));
    assert_non_null(strstr(err.message, "only 1 sequences"));
    char *data;
    size_t size;
    assert_true(file_read(paths[0], (size_t)1 << 30, &data, &size, &err));
    data[size / 2] ^= 4;
    assert_true(file_write(paths[0], data, size, &err));
    expect_not_merged(&model, paths, 2, "is damaged");
    assert_true(file_write(paths[0], "{}", 2, &err));
    expect_not_merged(&model, paths, 2, "holds no statistics");
    free(data);
    for (int i = 0; i < 3; i++) free(paths[i]);
    fixture_model_close(&model), fixture_model_close(&other);
}

static bool is_used(FixtureModel *model, uint64_t key) {
    Calibrator *c = started(model);
    bool used = calibrator_resume(c, folder, key);
    assert_int_equal(calibrator_tokens(c), used ? 1024 : 0);
    calibrator_free(c);
    return used;
}

static void write_plain(const char *data, size_t size) {
    FILE *file = fopen(state_path(), "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(data, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
}

static void a_state_of_something_else_or_damaged_is_not_used(void **state) {
    (void)state;
    FixtureModel model, other;
    Error err = {0};
    char *data;
    size_t size;
    open_counting(models[1], &model);
    Calibrator *c = stopped_after(&model, 32 * model.config.layers + 3);
    assert_true(calibrator_keep(c, folder, KEY, &err));
    calibrator_free(c);
    assert_true(is_used(&model, KEY));
    assert_false(is_used(&model, KEY + 1));
    assert_true(file_read(state_path(), (size_t)1 << 30, &data, &size, &err));
    for (size_t at = 0; at < size; at += size / 16) {
        data[at] ^= 4;
        write_plain(data, size);
        if (is_used(&model, KEY)) fail_msg("damage at byte %zu was not noticed", at);
        data[at] ^= 4;
    }
    write_plain(data, size - 1);
    assert_false(is_used(&model, KEY));
    write_plain(data, size);
    assert_true(is_used(&model, KEY));
    open_counting(models[0], &other);
    assert_false(is_used(&other, KEY)); // its linears have other widths
    fixture_model_close(&other);
    calibrator_forget(folder, KEY);
    assert_false(file_exists(state_path()));
    free(data);
    fixture_model_close(&model);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_end_is_the_same_wherever_it_was_stopped),
        cmocka_unit_test(what_is_seen_early_is_provisional),
        cmocka_unit_test(rows_come_from_the_tokens_that_were_seen),
        cmocka_unit_test(parts_together_saw_what_one_sees),
        cmocka_unit_test(parts_of_different_work_are_not_merged),
        cmocka_unit_test(a_state_of_something_else_or_damaged_is_not_used),
    };
    return cmocka_run_group_tests(tests, make_folder, drop_folder);
}
