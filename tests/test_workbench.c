// The workbench on the sample model: plans at once, figures in the background, newest turn wins, history.
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file.h"
#include "tests/support/edited_model.h"
#include "tests/support/folder.h"
#include "tests/support/settle.h"
#include "tests/support/slow_checks.h"
#include "tests/support/small_sample.h"
#include "workbench/history.h"
#include "workbench/unsaved.h"
#include "workbench/workbench.h"

static Workbench *opened(void) {
    Workbench *w;
    Error err = {0};
    // Speeds are timed for a while, on whatever: with two threads that would be twice the work.
    EngineOptions many = {.sequences = 2, .length = 64, .eval_tokens = 256, .window = 64, .threads = 1};
    EngineOptions few = {.sequences = 1, .length = 8, .eval_tokens = 16, .window = 8, .threads = 1};
    many.no_cache = few.no_cache = true;
    WorkbenchOptions options = {.model = slow_checks() ? many : few, .most_tokens = 8};
    if (!workbench_open(&options, &w, &err)) fail_msg("%s", err.message);
    return w;
}

static bool calibrated(Workbench *w) { return workbench_calibration_tokens(w) > 0; }
static bool has_accuracy(Workbench *w) {
    const Effect *e = workbench_effect(w);
    return e->accuracy_finished && e->accuracy_turn == workbench_turn(w);
}
static bool has_everything(Workbench *w) {
    const Effect *e = workbench_effect(w);
    return has_accuracy(w) && e->decode_turn == workbench_turn(w) && e->quantized.finished && e->base.finished &&
           e->sqnr_turn == workbench_turn(w) && e->speed_turn == workbench_turn(w) && e->speed_finished;
}

static void set(Workbench *w, int linear, Dial dial, double value) {
    Error err = {0};
    if (!workbench_set(w, linear, dial, &value, &err)) fail_msg("%s", err.message);
}

static void everything_arrives(void **state) {
    (void)state;
    Workbench *w = opened();
    assert_non_null(workbench_structure(w));
    assert_int_equal(workbench_plan(w)->calibrated, false);
    wait_until(w, has_everything);
    const Effect *e = workbench_effect(w);
    assert_int_equal(workbench_plan(w)->calibrated, true);
    assert_int_equal(e->base.count, 8);
    assert_true(strlen(e->base.text) > 0);
    assert_true(e->accuracy.tokens == e->accuracy.planned && e->accuracy.tokens > 0);
    assert_true(e->accuracy.kl_mean > 0);
    int known = 0;
    for (int i = 0; i < workbench_structure(w)->linear_count; i++) {
        assert_non_null(workbench_weight_stats(w, i));
        assert_non_null(workbench_input_stats(w, i));
        assert_true(e->stream_shares[i] > 0 && e->stream_shares[i] <= 1);
        known += !isnan(e->output_sqnr_db[i]);
    }
    assert_int_equal(known, workbench_plan(w)->quantized_count);
    workbench_close(w);
}

static bool is_idle(Workbench *w) { return !workbench_busy(w); }

static Workbench *opened_for_long(const char *recipe) {
    Workbench *w;
    Error err = {0};
    // Two parts of calibration, the first of 1,024 tokens; or many, which take their time.
    const EngineOptions model = {.sequences = recipe ? 128 : 40,
                                 .length = recipe ? 512 : 32,
                                 .eval_tokens = 128,
                                 .window = 64,
                                 .no_cache = true};
    if (!workbench_open(&(WorkbenchOptions){.model = model, .recipe = recipe, .most_tokens = 8}, &w, &err))
        fail_msg("%s", err.message);
    return w;
}

static bool has_figure(Workbench *w) {
    const Effect *e = workbench_effect(w);
    return e->accuracy_known && e->accuracy_turn == workbench_turn(w);
}
static bool has_provisional_figure(Workbench *w) { return workbench_plan(w)->provisional && has_figure(w); }
static bool has_settled(Workbench *w) {
    return calibrated(w) && workbench_calibration_tokens(w) == workbench_calibration_planned(w) && has_everything(w);
}

// After a thousand tokens there is a plan, and figures of it; more tokens make better ones.
static void ranges_are_provisional_first_and_settle(void **state) {
    (void)state;
    if (!slow_checks()) skip();
    Workbench *w = opened_for_long(NULL);
    wait_until(w, has_provisional_figure);
    assert_int_equal(workbench_calibration_tokens(w), 1024);
    assert_int_equal(workbench_calibration_planned(w), 1280);
    assert_true(workbench_plan(w)->calibrated);
    const float early = workbench_input_stats(w, 0)->range;
    wait_until(w, has_settled);
    assert_false(workbench_plan(w)->provisional);
    assert_true(workbench_input_stats(w, 0)->range >= early);
    assert_int_equal(workbench_input_stats(w, 0)->tokens, 1280);
    workbench_close(w);
}

static bool has_input(Workbench *w) { return calibrated(w); }

// It still comes, between other jobs, because inputs are shown; and it changes nothing about the figures.
static void weights_alone_do_not_wait_for_calibration(void **state) {
    (void)state;
    if (!slow_checks()) skip();
    char *made = folder_temporary(), *path = path_join(made, "recipe.json");
    Recipe recipe;
    Error err = {0};
    assert_true(recipe_default(&recipe, &err));
    recipe.value[DIAL_ACTIVATIONS] = POLICY_NONE;
    assert_true(recipe_save(&recipe, path, &err));
    recipe_free(&recipe);
    Workbench *w = opened_for_long(path);
    wait_until(w, has_accuracy);
    assert_true(workbench_effect(w)->quantized.count > 0);
    assert_true(workbench_calibration_tokens(w) <= 1024); // of 65,536
    const uint64_t turn = workbench_turn(w);
    wait_until(w, has_input);
    assert_int_equal(workbench_turn(w), turn);
    assert_true(has_accuracy(w));
    workbench_close(w);
    free(path);
    folder_remove(made);
}

static bool has_failed(Workbench *w) {
    JobView job;
    workbench_job(w, JOB_QUANTIZE, &job);
    return job.state == JOB_FAILED && !workbench_busy(w);
}

// What lies behind a quantization that failed has failed with it, and the reason is told by one job.
static void a_failed_quantization_fails_what_is_behind_it(void **state) {
    (void)state;
    if (!slow_checks()) skip(); // valgrind does not restore all registers when a load is repeated after SIGBUS
    char *made = folder_temporary(), *path = path_join(made, "model.safetensors");
    static const char *const files[] = {"config.json", "model.safetensors", "tokenizer.json"};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) model_copy(made, "samples/storyteller", files[i]);
    Workbench *w;
    Error err = {0};
    WorkbenchOptions options = {
        .model = {.model = made, .sequences = 1, .length = 8, .eval_tokens = 16, .window = 8, .no_cache = true},
        .most_tokens = 2};
    if (!workbench_open(&options, &w, &err)) fail_msg("%s", err.message);
    wait_until(w, is_idle);
    assert_int_equal(truncate(path, 4096), 0);
    set(w, -1, DIAL_BITS, 8);
    wait_until(w, has_failed);
    int told = 0;
    for (JobKind kind = JOB_QUANTIZE; kind < JOB_FIGURES_END; kind++) {
        JobView job;
        workbench_job(w, kind, &job);
        if (job.state != JOB_FAILED) fail_msg("%s has not failed", job.name);
        told += job.message[0] != '\0';
    }
    assert_int_equal(told, 1);
    workbench_close(w);
    free(path);
    folder_remove(made);
}

static void a_turn_changes_the_plan_at_once_and_the_accuracy_soon(void **state) {
    (void)state;
    if (!slow_checks()) skip();
    Workbench *w = opened();
    wait_until(w, has_accuracy);
    double coarse_bits = workbench_plan(w)->bits_per_weight, kl4 = workbench_effect(w)->accuracy.kl_mean;
    uint64_t turn = workbench_turn(w);
    set(w, -1, DIAL_BITS, 8);
    assert_true(workbench_plan(w)->bits_per_weight > coarse_bits + 3);
    assert_true(workbench_turn(w) > turn);
    assert_true(workbench_effect(w)->accuracy_turn < workbench_turn(w)); // marked as old until the new figure is there
    wait_until(w, has_accuracy);
    assert_true(workbench_effect(w)->accuracy.kl_mean < kl4);
    workbench_close(w);
}

// Quorum has no part in the rule noise: nothing is measured again.
static void a_change_that_makes_the_same_model_keeps_all_figures(void **state) {
    (void)state;
    if (!slow_checks()) skip();
    Workbench *w = opened();
    wait_until(w, has_everything);
    wait_until(w, is_idle);
    const uint64_t turn = workbench_turn(w), changes = workbench_changes(w);
    assert_true(recipe_value(workbench_recipe(w), DIAL_RULE, "") == RULE_NOISE);
    set(w, -1, DIAL_QUORUM, 0.5);
    assert_false(workbench_busy(w));
    assert_true(has_everything(w));
    assert_true(workbench_turn(w) == turn && workbench_changes(w) > changes);
    assert_false(workbench_saved(w));
    assert_true(workbench_undo(w));
    assert_false(workbench_busy(w));
    set(w, -1, DIAL_RULE, RULE_LITERAL);
    assert_true(workbench_turn(w) > turn);
    workbench_close(w);
}

// Without ranges both recipes make the same model, but one of them asks for ranges.
static void a_recipe_that_needs_ranges_is_another_wish(void **state) {
    (void)state;
    Workbench *w = opened();
    workbench_stop_job(w, JOB_CALIBRATE);
    set(w, -1, DIAL_ACTIVATIONS, POLICY_NONE);
    wait_until(w, is_idle);
    assert_false(calibrated(w));
    const uint64_t turn = workbench_turn(w);
    set(w, -1, DIAL_ACTIVATIONS, POLICY_STATIC);
    assert_true(workbench_turn(w) > turn);
    workbench_close(w);
}

static int looked_at;

static bool is_explained(Workbench *w) {
    const Effect *e = workbench_effect(w);
    return e->why && e->remedies->known && e->why_turn == workbench_turn(w) && e->why_linear == looked_at;
}

// Of the linear that is looked at, again after a turn, and of another one when all is done already.
static void it_is_known_why_the_linear_hurts_that_is_looked_at(void **state) {
    (void)state;
    Workbench *w = opened();
    wait_until(w, has_everything);
    assert_null(workbench_effect(w)->why);
    workbench_look(w, looked_at = 2);
    wait_until(w, is_explained);
    const Why first = *workbench_effect(w)->why;
    assert_true(fabs(10 * log10(first.signal / first.both) - workbench_effect(w)->output_sqnr_db[2]) < 0.01);
    set(w, -1, DIAL_BITS, 2);
    wait_until(w, is_explained);
    assert_true(workbench_effect(w)->why->weights > first.weights);
    workbench_look(w, looked_at = 5);
    wait_until(w, is_explained);
    workbench_close(w);
}

static double mean_of(const float *values, size_t n) {
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += (double)values[i];
    return sum / (double)n;
}

// Those of the accuracy that is shown, for comparing one turn with another.
static void positions_are_those_of_the_accuracy(void **state) {
    (void)state;
    if (!slow_checks()) skip();
    Workbench *w = opened();
    wait_until(w, has_accuracy);
    const Effect *e = workbench_effect(w);
    const size_t n = e->positions;
    assert_int_equal(n, e->accuracy.tokens);
    assert_true(fabs(mean_of(e->by_position + POSITION_KL * n, n) - e->accuracy.kl_mean) < 1e-9);
    assert_true(fabs(exp(mean_of(e->by_position + POSITION_NLL * n, n)) / e->accuracy.ppl - 1) < 1e-6);
    assert_true(fabs(mean_of(e->by_position + POSITION_TOP1 * n, n) - e->accuracy.top1) < 1e-12);
    workbench_close(w);
}

static bool has_glimpse(Workbench *w) { return workbench_effect(w)->speed_turn == workbench_turn(w); }
static bool times(Workbench *w) {
    JobView job;
    workbench_job(w, JOB_SPEED, &job);
    return (job.state == JOB_RUNNING && has_accuracy(w)) || has_everything(w);
}

// A first pair comes early and is marked as such; the rest waits for everything else, and for no turn.
static void speeds_are_timed_in_turn_and_yield_to_a_turn(void **state) {
    (void)state;
    Workbench *w = opened();
    wait_until(w, has_glimpse);
    assert_true(workbench_effect(w)->speed.pairs >= 1);
    wait_until(w, has_everything);
    const DecodeSpeed first = workbench_effect(w)->speed;
    assert_true(first.pairs >= 3 && first.ratio.least <= first.ratio.median && first.ratio.median <= first.ratio.most);
    set(w, -1, DIAL_BITS, 8);
    wait_until(w, times);
    set(w, -1, DIAL_BITS, 2);
    assert_false(has_glimpse(w)); // that of 8 bits is old
    wait_until(w, has_everything);
    workbench_close(w);
}

static void of_many_turns_the_newest_wins(void **state) {
    (void)state;
    Workbench *w = opened();
    wait_until(w, calibrated);
    for (int i = 0; i < 50; i++) set(w, -1, DIAL_V0, 1 + i);
    set(w, -1, DIAL_BITS, 8);
    set(w, -1, DIAL_ACTIVATIONS, POLICY_NONE);
    wait_until(w, has_everything);
    assert_true(workbench_effect(w)->accuracy.kl_mean < 0.05);
    workbench_close(w);
}

static void the_same_recipe_gives_the_same_figures_however_it_was_reached(void **state) {
    (void)state;
    if (!slow_checks()) skip();
    Workbench *w = opened();
    wait_until(w, has_accuracy);
    Accuracy first = workbench_effect(w)->accuracy;
    set(w, -1, DIAL_BITS, 2);
    set(w, 3, DIAL_BITS, 8);
    wait_until(w, has_accuracy);
    assert_true(workbench_effect(w)->accuracy.kl_mean != first.kl_mean);
    assert_true(workbench_undo(w) && workbench_undo(w));
    wait_until(w, has_accuracy);
    assert_true(workbench_effect(w)->accuracy.kl_mean == first.kl_mean);
    assert_true(workbench_effect(w)->accuracy.ppl == first.ppl);
    workbench_close(w);
}

static void undo_redo_overrides_and_files(void **state) {
    (void)state;
    Workbench *w = opened();
    Error err = {0};
    assert_false(workbench_undo(w));
    assert_true(workbench_saved(w));
    set(w, -1, DIAL_GRANULARITY, GRANULARITY_GROUP);
    set(w, 2, DIAL_BITS, 8);
    assert_int_equal(workbench_plan(w)->decisions[2].bits, 8);
    assert_int_equal(workbench_plan(w)->decisions[3].bits, 4);
    assert_false(workbench_saved(w));
    assert_true(workbench_undo(w));
    assert_int_equal(workbench_plan(w)->decisions[2].bits, 4);
    assert_true(workbench_redo(w));
    assert_false(workbench_redo(w));
    assert_int_equal(workbench_plan(w)->decisions[2].bits, 8);
    double on = 1;
    assert_false(workbench_set(w, 2, DIAL_FUSED, &on, &err)); // holds for the whole model
    assert_true(workbench_toggle_ignore(w, (int[]){5}, 1, &err));
    assert_false(workbench_plan(w)->decisions[5].quantized);

    char *made = folder_temporary(), *path = path_join(made, "recipe.json");
    assert_true(workbench_save(w, path, &err));
    assert_true(workbench_saved(w));
    assert_true(workbench_toggle_ignore(w, (int[]){5}, 1, &err));
    assert_true(workbench_plan(w)->decisions[5].quantized);
    assert_false(workbench_saved(w));
    assert_true(workbench_load(w, path, &err));
    assert_false(workbench_plan(w)->decisions[5].quantized);
    assert_int_equal(workbench_plan(w)->decisions[2].bits, 8);
    assert_true(workbench_set(w, 2, DIAL_BITS, NULL, &err)); // takes the override back
    assert_int_equal(workbench_plan(w)->decisions[2].bits, 4);
    unlink(path);
    assert_false(workbench_load(w, path, &err));
    assert_non_null(strstr(err.message, path));
    free(path);
    folder_remove(made);
    workbench_close(w);
}

static void a_dial_that_is_held_down_is_one_step_back(void **state) {
    (void)state;
    Workbench *w = opened();
    set(w, -1, DIAL_BITS, 8);
    for (int i = 0; i < 20; i++) set(w, -1, DIAL_V0, 20 + i);
    assert_true(workbench_recipe(w)->value[DIAL_V0] == 39);
    assert_true(workbench_undo(w));
    assert_true(workbench_recipe(w)->value[DIAL_V0] == dial_table[DIAL_V0].default_value);
    assert_true(workbench_recipe(w)->value[DIAL_BITS] == 8);
    assert_true(workbench_redo(w));
    assert_true(workbench_recipe(w)->value[DIAL_V0] == 39);
    workbench_close(w);
}

static void set_many(Workbench *w, const int *linears, int count, Dial dial, double value) {
    Error err = {0};
    if (!workbench_set_many(w, linears, count, dial, &value, &err)) fail_msg("%s", err.message);
}

// For several linears as for all; other linears are another step.
static void a_dial_that_is_held_down_for_some_is_one_step_back(void **state) {
    (void)state;
    static const int some[] = {1, 3, 4}, others[] = {1, 3};
    Workbench *w = opened();
    set_many(w, some, 3, DIAL_BITS, 8);
    const size_t step = workbench_step(w);
    for (int i = 0; i < 20; i++) set_many(w, some, 3, DIAL_ALPHA, 0.2 + 0.01 * i);
    assert_int_equal(workbench_step(w), step + 1);
    set_many(w, others, 2, DIAL_ALPHA, 0.5);
    assert_int_equal(workbench_step(w), step + 2);
    assert_true(workbench_undo(w) && workbench_undo(w));
    for (int i = 0; i < 3; i++) {
        const char *name = workbench_structure(w)->linears[some[i]].name;
        assert_true(recipe_value(workbench_recipe(w), DIAL_ALPHA, name) == dial_table[DIAL_ALPHA].default_value);
        assert_true(recipe_value(workbench_recipe(w), DIAL_BITS, name) == 8);
        assert_int_equal(workbench_plan(w)->decisions[some[i]].bits, 8);
    }
    assert_int_equal(workbench_plan(w)->decisions[2].bits, 4);
    workbench_close(w);
}

static bool new_prompt_is_there(Workbench *w) {
    const Effect *e = workbench_effect(w);
    return e->base.finished && e->quantized.finished && !workbench_busy(w);
}

// Whatever is just ending does not depend on the prompt: it must not wait for ever to be done again.
static void a_prompt_that_meets_the_end_of_a_job_leaves_nothing_waiting(void **state) {
    (void)state;
    if (!slow_checks()) skip();
    Workbench *w = opened();
    for (int i = 0; i < (slow_checks() ? 4 : 1); i++) {
        set(w, -1, DIAL_BITS, i % 2 ? 4 : 8);
        wait_until(w, has_everything);
        workbench_set_prompt(w, i % 2 ? "The old lighthouse" : "Once");
        wait_until(w, is_idle);
    }
    workbench_close(w);
}

static void prompts_and_stopping(void **state) {
    (void)state;
    Workbench *w = opened();
    wait_until(w, has_everything);
    char *before = strdup(workbench_effect(w)->base.text);
    workbench_set_prompt(w, "The old lighthouse");
    assert_false(workbench_effect(w)->base.known);
    wait_until(w, new_prompt_is_there);
    assert_string_not_equal(workbench_effect(w)->base.text, before);
    free(before);
    set(w, -1, DIAL_BITS, 3);
    workbench_stop_job(w, JOB_ACCURACY);
    JobView job;
    do {
        workbench_update(w);
        workbench_job(w, JOB_ACCURACY, &job);
    } while (job.state == JOB_RUNNING);
    assert_true(job.state == JOB_STOPPED || job.state == JOB_DONE);
    workbench_resume_job(w, JOB_ACCURACY);
    wait_until(w, has_accuracy);
    workbench_close(w);
}

static void closing_does_not_wait_for_work(void **state) {
    (void)state;
    Workbench *w;
    Error err = {0};
    WorkbenchOptions options = {.model = {.length = slow_checks() ? 0 : 16, .no_cache = true}};
    assert_true(workbench_open(&options, &w, &err));
    workbench_close(w); // in the middle of measuring or calibrating
}

static void history_forgets_what_could_have_been_redone(void **state) {
    (void)state;
    History history;
    Recipe recipe;
    Error err;
    assert_true(recipe_default(&recipe, &err) && history_start(&history, &recipe, &err));
    for (int bits = 2; bits <= 4; bits++) {
        assert_true(recipe_copy(history_now(&history), &recipe, &err));
        recipe.value[DIAL_BITS] = bits;
        assert_true(history_push(&history, &recipe, &err));
    }
    assert_true(history_undo(&history) && history_undo(&history));
    assert_true(history_now(&history)->value[DIAL_BITS] == 2);
    assert_true(recipe_copy(history_now(&history), &recipe, &err));
    recipe.value[DIAL_BITS] = 8;
    assert_true(history_push(&history, &recipe, &err));
    assert_false(history_redo(&history));
    assert_true(history_undo(&history) && history_now(&history)->value[DIAL_BITS] == 2);
    history_free(&history);
}

// ---- export -------------------------------------------------------------------------------------------------------

#define TINY "tests/fixtures/llama-gqa-llama3-bf16"

static const EngineOptions tiny = {.model = TINY,
                                   .random_tokens = true,
                                   .sequences = 4,
                                   .length = 32,
                                   .backend = BACKEND_CPU,
                                   .precision = PRECISION_F32,
                                   .no_cache = true};
// Factors of equalization come from measured ranges, and go into weights.
static const char tiny_recipe[] =
    "{\"quantdial_recipe\": 2, \"weights\": {\"bits\": 4, \"granularity\": \"group\", \"group_size\": 16}, "
    "\"activations\": {\"policy\": \"smoothquant\"}}";

static ExportView viewed(Workbench *w) {
    ExportView view;
    workbench_export_view(w, &view);
    return view;
}

static bool export_ended(Workbench *w) {
    const JobState state = viewed(w).job.state;
    return state != JOB_WAITING && state != JOB_RUNNING;
}

static void assert_same_file(const char *a, const char *b, const char *name) {
    char *one = path_join(a, name), *other = path_join(b, name), *first = NULL, *second = NULL;
    size_t size = 0, length = 0;
    assert_true(file_read(one, 1 << 28, &first, &size, NULL) && file_read(other, 1 << 28, &second, &length, NULL));
    assert_int_equal(size, length);
    assert_memory_equal(first, second, size);
    free(one), free(other), free(first), free(second);
}

static void write_as_the_command_does(const char *recipe_text, const char *out) {
    Engine *engine;
    Recipe recipe;
    ExportResult result;
    Error err = {0};
    assert_true(recipe_parse(recipe_text, strlen(recipe_text), &recipe, &err));
    if (!engine_open(&tiny, &engine, &err)) fail_msg("%s", err.message);
    engine_set_recipe(engine, &recipe);
    const ExportOptions options = {.format = EXPORT_COMPRESSED_TENSORS, .folder = out, .verify = true};
    if (!engine_prepare_export(engine, NULL, &err) || !engine_export(engine, &options, NULL, &result, NULL, &err))
        fail_msg("%s", err.message);
    engine_close(engine);
}

// It waits for the ranges that its recipe needs; a turn in between is not in it.
static void an_export_is_that_of_the_command(void **state) {
    (void)state;
    char *made = folder_temporary(), *recipe = path_join(made, "r.json"), *mine = path_join(made, "mine"),
         *theirs = path_join(made, "theirs");
    static const char *const files[] = {"model.safetensors", "config.json", "quantdial-export.json", "README.md"};
    folder_put_text(made, "r.json", tiny_recipe);
    write_as_the_command_does(tiny_recipe, theirs);
    Workbench *w;
    Error err = {0};
    if (!workbench_open(&(WorkbenchOptions){.model = tiny, .recipe = recipe, .most_tokens = 4}, &w, &err))
        fail_msg("%s", err.message);
    assert_false(viewed(w).asked);
    assert_true(workbench_export(w, EXPORT_COMPRESSED_TENSORS, mine, false, &err));
    assert_int_equal(viewed(w).job.state, JOB_WAITING);
    assert_true(viewed(w).waits_for != JOB_COUNT && viewed(w).changes == 0);
    assert_false(workbench_export(w, EXPORT_COMPRESSED_TENSORS, theirs, false, &err)); // one at a time
    set(w, -1, DIAL_BITS, 8);
    assert_int_equal(viewed(w).changes, 1);
    workbench_stop_job(w, JOB_EXPORT);
    assert_int_equal(viewed(w).job.state, JOB_STOPPED);
    wait_until(w, calibrated);
    assert_int_equal(viewed(w).job.state, JOB_STOPPED);
    assert_true(workbench_export_on(w, &err));
    wait_until(w, export_ended);
    const ExportView view = viewed(w);
    if (view.job.state != JOB_DONE) fail_msg("%s", view.job.message);
    assert_true(view.result.verified > 0 && view.result.verified <= view.result.bytes);
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) assert_same_file(mine, theirs, files[i]);
    workbench_close(w);
    free(recipe), free(mine), free(theirs);
    folder_remove(made);
}

static bool is_estimated(Workbench *w) {
    ForecastView view;
    workbench_forecast(w, &view);
    return view.known;
}

static ForecastView estimated(Workbench *w) {
    ForecastView view;
    wait_until(w, is_estimated);
    workbench_forecast(w, &view);
    return view;
}

static void what_an_export_needs_is_estimated(void **state) {
    (void)state;
    char *made = folder_temporary(), *out = path_join(made, "out");
    Workbench *w;
    Error err = {0};
    if (!workbench_open(&(WorkbenchOptions){.model = tiny, .most_tokens = 4}, &w, &err)) fail_msg("%s", err.message);
    set(w, -1, DIAL_ACTIVATIONS, POLICY_NONE);
    set(w, -1, DIAL_GRANULARITY, GRANULARITY_CHANNEL);
    assert_false(is_estimated(w));
    workbench_look_at_export(w, EXPORT_COMPRESSED_TENSORS, out);
    ForecastView view = estimated(w);
    if (view.refused) fail_msg("%s", view.message);
    const uint64_t four = view.forecast.bytes;
    assert_true(four > 0 && view.forecast.left == four && view.forecast.room > 0);
    set(w, -1, DIAL_BITS, 8);
    assert_false(is_estimated(w)); // it was that of 4 bits
    assert_true(estimated(w).forecast.bytes > four);
    workbench_look_at_export(w, EXPORT_COMPRESSED_TENSORS, made);
    view = estimated(w);
    assert_false(view.refused);
    folder_put_text(made, "something", "else");
    workbench_look_at_export(w, EXPORT_COMPRESSED_TENSORS, out);
    workbench_look_at_export(w, EXPORT_COMPRESSED_TENSORS, made);
    view = estimated(w);
    assert_true(view.refused && view.forecast.occupied);
    assert_non_null(strstr(view.message, "is not empty"));
    assert_true(workbench_export(w, EXPORT_COMPRESSED_TENSORS, made, false, &err));
    wait_until(w, export_ended);
    assert_true(viewed(w).job.state == JOB_FAILED && viewed(w).result.occupied);
    assert_non_null(strstr(viewed(w).job.message, "is not empty"));
    assert_true(workbench_export(w, EXPORT_COMPRESSED_TENSORS, made, true, &err));
    wait_until(w, export_ended);
    assert_int_equal(viewed(w).job.state, JOB_DONE);
    assert_int_equal(estimated(w).forecast.left, 0);
    workbench_look_at_export(w, EXPORT_COMPRESSED_TENSORS, NULL);
    assert_false(is_estimated(w));
    wait_until(w, is_idle);
    workbench_close(w);
    free(out);
    folder_remove(made);
}

static bool finds(Workbench *w, const char *name) {
    const Verdict *verdict = workbench_verdict(w, EXPORT_COMPRESSED_TENSORS);
    for (int i = 0; i < verdict->finding_count; i++)
        if (strcmp(verdict->findings[i].name, name) == 0) return true;
    return false;
}

static void a_remedy_is_one_step_back(void **state) {
    (void)state;
    Workbench *w;
    Error err = {0};
    VerdictFix fix;
    if (!workbench_open(&(WorkbenchOptions){.model = tiny, .most_tokens = 4}, &w, &err)) fail_msg("%s", err.message);
    set(w, -1, DIAL_ACTIVATIONS, POLICY_NONE);
    set(w, -1, DIAL_BITS, 3);
    const Targets target = 1U << TARGET_TRANSFORMERS;
    assert_true(verdict_has(workbench_verdict(w, EXPORT_COMPRESSED_TENSORS), SEVERITY_MISREAD));
    assert_true(workbench_fix(w, EXPORT_COMPRESSED_TENSORS, target, &fix, &err));
    assert_true(workbench_recipe(w)->value[DIAL_BITS] == 3 && fix.recipe.value[DIAL_BITS] == 4);
    assert_true(workbench_restore(w, &fix.recipe, &err));
    assert_int_equal(workbench_plan(w)->bytes, fix.plan.bytes);
    verdict_fix_free(&fix);
    assert_true(workbench_recipe(w)->value[DIAL_BITS] == 4);
    assert_false(finds(w, "odd-bits") || finds(w, "three-bits"));
    assert_true(workbench_undo(w));
    assert_true(finds(w, "odd-bits") && finds(w, "three-bits"));
    workbench_allow_odd_bits(w, true); // the engine that misreads them does so all the same
    assert_true(!finds(w, "odd-bits") && finds(w, "three-bits"));
    assert_true(workbench_verdict_of(w, EXPORT_COMPRESSED_TENSORS, TARGET_TRANSFORMERS)->rows->loads);
    workbench_allow_odd_bits(w, false);
    assert_false(workbench_verdict_of(w, EXPORT_COMPRESSED_TENSORS, TARGET_TRANSFORMERS)->rows->loads);
    assert_true(workbench_recipe(w)->value[DIAL_BITS] == 3);
    workbench_close(w);
}

static bool export_writes(Workbench *w) { return viewed(w).done > 0 || export_ended(w); }

// Figures and export share the cores: both come to an end. The model card has the accuracy that came on the way.
static void figures_and_an_export_do_not_starve_each_other(void **state) {
    (void)state;
    if (!slow_checks()) skip();
    char *made = folder_temporary(), *out = path_join(made, "out"), *card = path_join(out, "README.md"), *text;
    size_t size;
    Error err = {0};
    Workbench *w = opened();
    wait_until(w, calibrated);
    assert_true(workbench_export(w, EXPORT_COMPRESSED_TENSORS, out, false, &err));
    wait_until(w, export_writes);
    workbench_stop_job(w, JOB_EXPORT);
    wait_until(w, export_ended);
    assert_true(workbench_export_on(w, &err));
    wait_until(w, has_everything);
    wait_until(w, export_ended);
    if (viewed(w).job.state != JOB_DONE) fail_msg("%s", viewed(w).job.message);
    assert_int_equal(viewed(w).changes, 0);
    workbench_close(w);
    assert_true(file_read(card, 1 << 20, &text, &size, NULL));
    assert_non_null(strstr(text, "How to load it"));
    free(out), free(card), free(text);
    folder_remove(made);
}

// The files of a session are called by it.
static void a_model_is_the_same_from_every_folder(void **state) {
    (void)state;
    char *made = folder_temporary(), *before = getcwd(NULL, 0);
    const char *const spellings[] = {".", "..//model/"};
    char *path = path_join(made, "model");
    Unsaved by_path = {0}, other = {0};
    assert_true(folder_make(path, NULL) && unsaved_open(path, &by_path, NULL));
    assert_int_equal(strncmp(by_path.name, "model-", 6), 0);
    assert_int_equal(chdir(path), 0);
    for (size_t i = 0; i < sizeof spellings / sizeof *spellings; i++) {
        assert_true(unsaved_open(spellings[i], &other, NULL));
        assert_string_equal(other.name, by_path.name);
        unsaved_close(&other);
    }
    assert_int_equal(chdir(before), 0);
    unsaved_close(&by_path);
    free(before);
    free(path);
    folder_remove(made);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(everything_arrives),
        cmocka_unit_test(ranges_are_provisional_first_and_settle),
        cmocka_unit_test(weights_alone_do_not_wait_for_calibration),
        cmocka_unit_test(a_failed_quantization_fails_what_is_behind_it),
        cmocka_unit_test(a_turn_changes_the_plan_at_once_and_the_accuracy_soon),
        cmocka_unit_test(a_change_that_makes_the_same_model_keeps_all_figures),
        cmocka_unit_test(a_recipe_that_needs_ranges_is_another_wish),
        cmocka_unit_test(it_is_known_why_the_linear_hurts_that_is_looked_at),
        cmocka_unit_test(positions_are_those_of_the_accuracy),
        cmocka_unit_test(speeds_are_timed_in_turn_and_yield_to_a_turn),
        cmocka_unit_test(of_many_turns_the_newest_wins),
        cmocka_unit_test(the_same_recipe_gives_the_same_figures_however_it_was_reached),
        cmocka_unit_test(undo_redo_overrides_and_files),
        cmocka_unit_test(a_dial_that_is_held_down_is_one_step_back),
        cmocka_unit_test(a_dial_that_is_held_down_for_some_is_one_step_back),
        cmocka_unit_test(a_prompt_that_meets_the_end_of_a_job_leaves_nothing_waiting),
        cmocka_unit_test(prompts_and_stopping),
        cmocka_unit_test(closing_does_not_wait_for_work),
        cmocka_unit_test(an_export_is_that_of_the_command),
        cmocka_unit_test(what_an_export_needs_is_estimated),
        cmocka_unit_test(a_remedy_is_one_step_back),
        cmocka_unit_test(figures_and_an_export_do_not_starve_each_other),
        cmocka_unit_test(history_forgets_what_could_have_been_redone),
        cmocka_unit_test(a_model_is_the_same_from_every_folder),
    };
    return cmocka_run_group_tests(tests, small_sample_make, small_sample_drop);
}
