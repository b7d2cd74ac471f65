// Trials: rows, what they share and what is dropped, their file, and turns of a workbench that become rows.
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/file.h"
#include "tests/support/folder.h"
#include "tests/support/settle.h"
#include "tests/support/slow_checks.h"
#include "tests/support/small_sample.h"
#include "tests/support/toy_model.h"
#include "workbench/workbench.h"

// ---- rows ---------------------------------------------------------------------------------------------------------

typedef struct Fixture {
    ToyModel model;
    Recipe recipe;
    Plan plan;
    Trials trials;
} Fixture;

static int setup(void **state) {
    Fixture *f = calloc(1, sizeof *f);
    toy_model_new(2, 256, 128, 768, DTYPE_BF16, &f->model);
    *state = f;
    return recipe_default(&f->recipe, NULL) ? 0 : -1;
}

static int teardown(void **state) {
    Fixture *f = *state;
    trials_free(&f->trials);
    plan_free(&f->plan);
    recipe_free(&f->recipe);
    toy_model_free(&f->model);
    free(f);
    return 0;
}

enum { POSITIONS = 400 };

// Records the recipe as it is, with a divergence of `kl` on average; n positions. model 0: the one that it makes.
static uint32_t measured_as(Fixture *f, double kl, size_t n, uint64_t model) {
    float *by_position = calloc(POSITION_FIGURES * n, sizeof *by_position);
    for (size_t i = 0; i < n; i++) by_position[i] = (float)(kl * (0.5 + (double)(i % 2)));
    const Accuracy accuracy = {
        .tokens = n, .planned = n, .kl_mean = kl, .kl_se = kl / 10, .ppl = 3, .base_ppl = 2, .top1 = 0.9};
    plan_free(&f->plan);
    assert_true(plan_make(&f->recipe, &f->model.structure, &f->model.measured, &f->plan, NULL));
    const TrialState state = {.recipe = &f->recipe,
                              .plan = &f->plan,
                              .model = model ? model : trial_model(&f->plan, &f->model.measured),
                              .accuracy = &accuracy,
                              .by_position = by_position,
                              .positions = n};
    const uint32_t number = trials_record(&f->trials, &state, &f->model.structure);
    free(by_position);
    assert_true(number > 0);
    return number;
}

static uint32_t measured_on(Fixture *f, double kl, size_t n) { return measured_as(f, kl, n, 0); }
static uint32_t measured(Fixture *f, double kl) { return measured_on(f, kl, POSITIONS); }

static void turn(Fixture *f, Dial dial, double value) {
    f->recipe.value[dial] = value;
    trials_follow(&f->trials, &f->recipe);
}

static void a_row_says_what_was_turned_since_the_one_before(void **state) {
    Fixture *f = *state;
    const uint32_t first = measured(f, 0.02);
    turn(f, DIAL_BITS, 8);
    assert_int_equal(f->trials.present, 0); // nothing is known of it yet
    const uint32_t second = measured(f, 0.01);
    assert_string_equal(trials_row(&f->trials, first)->what, "start");
    assert_string_equal(trials_row(&f->trials, second)->what, "bits 4 → 8");
    assert_int_equal(trials_row(&f->trials, second)->from, first);
    turn(f, DIAL_BITS, 4); // back to the first, and on from there
    assert_int_equal(f->trials.present, first);
    turn(f, DIAL_BITS, 3);
    const uint32_t third = measured(f, 0.05);
    assert_string_equal(trials_row(&f->trials, third)->what, "bits 4 → 3");
    assert_int_equal(trials_row(&f->trials, third)->from, first);
    assert_int_equal(measured(f, 0.05), third); // the same again is no new row
    assert_int_equal(f->trials.count, 3);
    assert_int_equal(f->trials.start, first);
}

// What is measured first need not be what the program started with.
static void the_start_is_what_it_was_begun_with(void **state) {
    Fixture *f = *state;
    assert_true(trials_begin(&f->trials, &f->recipe, NULL));
    turn(f, DIAL_BITS, 8); // before anything was measured
    const uint32_t eight = measured(f, 0.01);
    assert_string_equal(trials_row(&f->trials, eight)->what, "bits 4 → 8");
    assert_int_equal(f->trials.start, 0);
    turn(f, DIAL_BITS, 4);
    const uint32_t four = measured(f, 0.02);
    assert_string_equal(trials_row(&f->trials, four)->what, "start");
    assert_int_equal(trials_row(&f->trials, four)->from, 0);
    assert_int_equal(f->trials.start, four);
}

static void recipes_of_one_model_share_its_figures(void **state) {
    Fixture *f = *state;
    const uint32_t first = measured(f, 0.02);
    turn(f, DIAL_BITS, 8);
    const uint32_t second = measured(f, 0.01);
    assert_true(first != second);
    measured_as(f, 0.02, POSITIONS, trials_row(&f->trials, first)->figures->model); // as if more was measured
    assert_ptr_equal(trials_row(&f->trials, first)->figures, trials_row(&f->trials, second)->figures);
    trials_forget(&f->trials, first);
    assert_int_equal(trials_row(&f->trials, second)->figures->rows, 1);
    assert_true(trials_row(&f->trials, second)->figures->accuracy.kl_mean == 0.02);
}

static void a_turn_without_effect_makes_no_row(void **state) {
    Fixture *f = *state;
    assert_true(trials_begin(&f->trials, &f->recipe, NULL));
    turn(f, DIAL_QUORUM, 0.5); // which rule noise does not look at
    const uint32_t first = measured(f, 0.02);
    turn(f, DIAL_QUORUM, 0.25);
    assert_int_equal(measured(f, 0.02), first);
    assert_int_equal(f->trials.count, 1);
    assert_int_equal(f->trials.present, first);
    assert_int_equal(f->trials.start, 0);
    turn(f, DIAL_QUORUM, f->trials.first.value[DIAL_QUORUM]);
    assert_int_equal(measured(f, 0.02), first);
    assert_int_equal(f->trials.start, first); // what it was begun with is this model, too
    turn(f, DIAL_BITS, 8);
    const uint32_t second = measured(f, 0.01);
    turn(f, DIAL_QUORUM, 0.75);
    assert_int_equal(measured(f, 0.01), second);
    assert_int_equal(f->trials.count, 2);
}

// A plan holds the range of an input, but its factors of equalization come from channels: other tokens, other model.
static void other_measurements_make_another_model(void **state) {
    Fixture *f = *state;
    f->model.measured.inputs[0].range = 100; // of the class that is equalized
    const uint32_t number = measured(f, 0.02);
    assert_true(f->plan.decisions[0].lae);
    const uint64_t before = trials_row(&f->trials, number)->figures->model;
    f->model.measured.inputs[0].tokens = 5000;
    assert_int_equal(measured(f, 0.03), number); // of the same recipe: its new figures
    assert_true(trials_row(&f->trials, number)->figures->model != before);
    assert_true(trials_row(&f->trials, number)->figures->accuracy.kl_mean == 0.03);
    f->recipe.value[DIAL_ACTIVATIONS] = POLICY_NONE;
    plan_free(&f->plan);
    assert_true(plan_make(&f->recipe, &f->model.structure, &f->model.measured, &f->plan, NULL));
    const uint64_t plain = trial_model(&f->plan, &f->model.measured);
    f->model.measured.inputs[0].tokens = 6000;
    assert_true(trial_model(&f->plan, &f->model.measured) == plain);
}

static void the_oldest_goes_that_nobody_needs(void **state) {
    Fixture *f = *state;
    const uint32_t named = measured(f, 0.02);
    assert_true(trials_note(&f->trials, named, "for Monday", NULL));
    uint64_t model = 1; // each alpha makes another one
    turn(f, DIAL_ALPHA, 0.001);
    const uint32_t compared = measured_as(f, 0.02, POSITIONS, model++);
    trials_compare(&f->trials, compared, 0);
    turn(f, DIAL_ALPHA, 0.002);
    const uint32_t oldest = measured_as(f, 0.02, POSITIONS, model++);
    for (int i = 0; f->trials.count < TRIALS_MOST; i++) {
        turn(f, DIAL_ALPHA, 0.01 + i * 0.001);
        measured_as(f, 0.02, POSITIONS, model++);
    }
    assert_non_null(trials_row(&f->trials, oldest));
    turn(f, DIAL_ALPHA, 0.9);
    const uint32_t newest = measured_as(f, 0.02, POSITIONS, model);
    assert_int_equal(f->trials.count, TRIALS_MOST);
    assert_null(trials_row(&f->trials, oldest));
    assert_non_null(trials_row(&f->trials, named));
    assert_non_null(trials_row(&f->trials, compared));
    assert_non_null(trials_row(&f->trials, newest));
}

static void divergences_of_old_rows_are_dropped_and_figures_stay(void **state) {
    Fixture *f = *state;
    const size_t third = TRIALS_POSITIONS_BYTES / sizeof(float) / 3;
    const int bits[] = {2, 3, 4, 8};
    uint32_t rows[4];
    for (int i = 0; i < 4; i++) {
        turn(f, DIAL_BITS, bits[i]);
        rows[i] = measured_on(f, 0.02 + i * 0.01, third);
        if (i == 0) trials_compare(&f->trials, rows[0], 0);
    }
    assert_int_equal(trials_row(&f->trials, rows[0])->figures->positions, third);
    assert_int_equal(trials_row(&f->trials, rows[1])->figures->positions, 0);
    assert_int_equal(trials_row(&f->trials, rows[3])->figures->positions, third);
    const TrialFigures *a = trials_row(&f->trials, rows[0])->figures, *b = trials_row(&f->trials, rows[1])->figures;
    TrialDifference d = trial_difference(a, b);
    assert_false(d.paired);
    assert_true(fabs(d.mean - 0.01) < 1e-9 && fabs(d.se - hypot(0.002, 0.003)) < 1e-9);
    d = trial_difference(a, trials_row(&f->trials, rows[3])->figures);
    assert_true(d.paired && fabs(d.mean - 0.03) < 1e-6);
    assert_true(d.se < 0.001); // what positions have in common does not count
}

static void the_best_have_fewer_bits_or_less_divergence(void **state) {
    Fixture *f = *state;
    const struct {
        int bits;
        double kl;
        bool best;
    } rows[] = {{2, 0.5, true}, {3, 0.6, false}, {4, 0.1, true}, {8, 0.2, false}};
    uint32_t numbers[4];
    for (int i = 0; i < 4; i++) {
        turn(f, DIAL_BITS, rows[i].bits);
        numbers[i] = measured(f, rows[i].kl);
    }
    for (int i = 0; i < 4; i++)
        assert_int_equal(trial_is_best(&f->trials, trials_row(&f->trials, numbers[i])), rows[i].best);
}

static void forgetting_goes_back_to_where_it_came_from(void **state) {
    Fixture *f = *state;
    const uint32_t first = measured(f, 0.02);
    turn(f, DIAL_BITS, 3);
    const uint32_t passed = measured(f, 0.02);
    trials_forget(&f->trials, passed);
    turn(f, DIAL_BITS, 8);
    assert_string_equal(trials_row(&f->trials, measured(f, 0.03))->what, "bits 4 → 8");
    assert_int_equal(f->trials.rows[1].from, first);
}

// ---- the file -----------------------------------------------------------------------------------------------------

static const char *const words[] = {" Once", " more", " ü"};

static void add_text(Fixture *f) {
    int32_t ids[] = {3, 4, 5};
    float probabilities[] = {0.5F, 1, 0.25F};
    size_t ends[] = {5, 10, 13};
    char text[] = " Once more ü";
    assert_int_equal(strlen(words[0]) + strlen(words[1]) + strlen(words[2]), 13);
    const DecodeText decoded = {true, true, text, ids, probabilities, ends, 3};
    trials_add_text(&f->trials, trials_row(&f->trials, f->trials.present)->figures->model, "Say", &decoded, 3);
}

static void fill(Fixture *f) {
    const uint32_t first = measured(f, 0.02);
    add_text(f);
    turn(f, DIAL_BITS, 3);
    measured(f, 0.02);
    measured_as(f, 0.02, POSITIONS, trials_row(&f->trials, first)->figures->model);
    turn(f, DIAL_BITS, 8);
    const uint32_t last = measured(f, 0.01);
    const DecodeSpeed speed = {{10, 9, 11}, {20, 18, 22}, {2, 1.9, 2.1}, 12};
    trials_add_speed(&f->trials, &speed);
    assert_true(trials_note(&f->trials, last, "größer", NULL));
}

static Text written(const Fixture *f) {
    Text file = {0};
    trials_put(&f->trials, &file);
    assert_false(file.failed);
    return file;
}

static void rows_come_back_as_those_of_an_earlier_session(void **state) {
    Fixture *f = *state;
    fill(f);
    Text file = written(f);
    Trials again = {0};
    StatsReader reader = {file.data, file.length, false};
    assert_true(trials_get(&reader, &again));
    assert_int_equal(again.count, 3);
    assert_int_equal(again.last, f->trials.last);
    for (size_t i = 0; i < 3; i++) {
        const TrialRow *a = &f->trials.rows[i], *b = &again.rows[i];
        assert_true(b->earlier && recipe_equal(&a->recipe, &b->recipe));
        assert_true(a->number == b->number && a->from == b->from && a->recipe_key == b->recipe_key);
        assert_string_equal(a->what, b->what);
        assert_string_equal(a->note, b->note);
        assert_true(a->figures->model == b->figures->model && a->figures->bytes == b->figures->bytes);
        assert_memory_equal(&a->figures->accuracy, &b->figures->accuracy, sizeof(Accuracy));
        assert_memory_equal(a->figures->by_position, b->figures->by_position,
                            POSITION_FIGURES * POSITIONS * sizeof(float));
    }
    assert_ptr_equal(again.rows[0].figures, again.rows[1].figures);
    const TrialFigures *first = again.rows[0].figures, *last = again.rows[2].figures;
    assert_string_equal(first->prompt, "Say");
    assert_string_equal(first->text.text, " Once more ü");
    assert_true(first->text.count == 3 && first->text.ends[1] == 10 && first->text.probabilities[2] == 0.25F);
    assert_true(last->timed && last->timed_earlier && last->speed.ratio.most == 2.1 && last->speed.pairs == 12);
    trials_free(&again);
    text_free(&file);
}

static void rows_of_this_session_are_numbered_behind_them(void **state) {
    Fixture *f = *state;
    fill(f);
    Text file = written(f);
    trials_free(&f->trials);
    turn(f, DIAL_BITS, 3);
    measured(f, 0.3);
    turn(f, DIAL_BITS, 2);
    const uint32_t second = measured(f, 0.9);
    StatsReader reader = {file.data, file.length, false};
    assert_true(trials_get(&reader, &f->trials));
    assert_int_equal(f->trials.count, 5);
    assert_int_equal(f->trials.present, second + 3);
    assert_int_equal(f->trials.rows[4].from, f->trials.rows[3].number);
    assert_string_equal(f->trials.rows[4].what, "bits 3 → 2");
    assert_int_equal(f->trials.start, f->trials.rows[3].number);
    text_free(&file);
}

// Whatever byte is wrong: nothing crashes, and what is taken over is whole. (Of a file its hash is looked at first.)
static void nothing_is_taken_from_what_is_damaged(void **state) {
    Fixture *f = *state;
    measured_on(f, 0.02, 4);
    add_text(f);
    Text file = written(f);
    for (size_t i = 0; i < file.length; i += slow_checks() ? 1 : 41) {
        Trials found = {0};
        StatsReader reader = {file.data, file.length, false};
        file.data[i] = (char)(file.data[i] ^ 0xFF);
        if (!trials_get(&reader, &found)) assert_int_equal(found.count, 0);
        file.data[i] = (char)(file.data[i] ^ 0xFF);
        trials_free(&found);
        reader = (StatsReader){file.data, i, false};
        assert_false(trials_get(&reader, &found));
        trials_free(&found);
    }
    text_free(&file);
}

// ---- the workbench ------------------------------------------------------------------------------------------------

static Workbench *opened_with(bool forgetful) {
    Workbench *w;
    Error err = {0};
    const EngineOptions model = {.sequences = 1, .length = 8, .eval_tokens = 16, .window = 8, .threads = 1};
    const WorkbenchOptions options = {.model = model, .most_tokens = 4, .forgetful = forgetful};
    if (!workbench_open(&options, &w, &err)) fail_msg("%s", err.message);
    return w;
}

static Workbench *opened(void) { return opened_with(false); }

static bool has_text(Workbench *w) {
    const Trials *t = workbench_trials(w);
    const TrialRow *row = trials_row(t, t->present);
    return row && row->figures->prompt && !row->figures->provisional;
}

static bool wrote_base(Workbench *w) { return has_text(w) && workbench_effect(w)->base.finished; }

static void set(Workbench *w, Dial dial, double value) {
    Error err = {0};
    if (!workbench_set(w, -1, dial, &value, &err)) fail_msg("%s", err.message);
}

static void assert_own_positions(const Effect *e) {
    assert_non_null(e->by_position);
    double sum = 0;
    for (size_t i = 0; i < e->positions; i++) sum += (double)e->by_position[i]; // divergences come first
    assert_true(fabs(sum / (double)e->positions - e->accuracy.kl_mean) < 1e-6 + 1e-5 * e->accuracy.kl_mean);
}

static void a_turn_that_is_known_has_its_figures_at_once(void **state) {
    (void)state;
    Workbench *w = opened_with(true);
    wait_until(w, wrote_base);
    const Trials *t = workbench_trials(w);
    const Accuracy first = workbench_effect(w)->accuracy;
    const DecodeText *text = &workbench_effect(w)->quantized;
    assert_int_equal(t->count, 1);
    assert_true(text->count == 4 && text->ends[3] == strlen(text->text));
    for (size_t i = 1; i < text->count; i++) assert_true(text->ends[i] >= text->ends[i - 1]);
    char *wrote = strdup(text->text);
    set(w, DIAL_BITS, 2);
    const Effect *e = workbench_effect(w);
    assert_true(e->accuracy_turn != workbench_turn(w));
    assert_int_equal(t->present, 0);
    wait_until(w, has_text);
    assert_string_equal(trials_row(t, t->present)->what, "bits 4 → 2");
    Error err = {0};
    assert_true(workbench_restore(w, &t->rows[0].recipe, &err)); // as Enter does
    assert_int_equal(t->present, t->rows[0].number);
    assert_true(e->accuracy_turn == workbench_turn(w) && e->accuracy_finished);
    assert_memory_equal(&e->accuracy, &first, sizeof first);
    assert_own_positions(e);
    assert_true(e->decode_turn == workbench_turn(w) && e->quantized.finished);
    assert_string_equal(e->quantized.text, wrote);
    JobView job;
    workbench_job(w, JOB_ACCURACY, &job);
    assert_int_equal(job.state, JOB_DONE);
    assert_int_equal(t->count, 2);
    assert_true(workbench_undo(w)); // one step
    assert_true(workbench_recipe(w)->value[DIAL_BITS] == 2);
    assert_true(e->accuracy_turn == workbench_turn(w) && e->accuracy_finished);
    assert_own_positions(e);
    free(wrote);
    workbench_close(w);
}

static bool is_measured(Workbench *w) { return workbench_trials(w)->present != 0; }

// A dial that is held passes many values: only where it comes to rest is a row.
static void what_a_held_dial_passes_is_no_row(void **state) {
    (void)state;
    if (!slow_checks()) skip();
    Workbench *w = opened_with(true);
    wait_until(w, is_measured);
    const double begun = clock_seconds();
    set(w, DIAL_BITS, 8);
    wait_until(w, is_measured);
    const bool quick = clock_seconds() - begun < 0.35; // else it came to rest there
    set(w, DIAL_BITS, 3);
    const bool held = quick && clock_seconds() - begun < 0.4;
    wait_until(w, is_measured);
    const Trials *t = workbench_trials(w);
    if (held) {
        assert_int_equal(t->count, 2);
        assert_string_equal(t->rows[1].what, "bits 4 → 3");
        assert_true(workbench_undo(w));
        assert_true(workbench_recipe(w)->value[DIAL_BITS] == 4);
    }
    workbench_close(w);
    if (!held) skip(); // too slow here to tell a dial that is held from one that rests
}

static const DecodeText *text_of_row(Workbench *w, uint32_t number) {
    return &trials_row(workbench_trials(w), number)->figures->text;
}

static bool row_1_has_eight(Workbench *w) {
    workbench_look_at_texts(w, 1, 2); // as the screen does each time
    return text_of_row(w, 1)->finished && text_of_row(w, 1)->count == 8 && text_of_row(w, 2)->count == 8;
}

static bool row_1_says_other(Workbench *w) {
    workbench_look_at_texts(w, 1, 0);
    return strcmp(trials_row(workbench_trials(w), 1)->figures->prompt, "The sun") == 0 && text_of_row(w, 1)->finished;
}

// Rows that are not the present one write on by their own plans, and after a new prompt; the turn's figures stay.
static void texts_of_rows_that_are_looked_at_go_on(void **state) {
    (void)state;
    Workbench *w = opened_with(true);
    wait_until(w, has_text);
    set(w, DIAL_BITS, 2);
    wait_until(w, has_text);
    char *first = strdup(text_of_row(w, 1)->text);
    assert_int_equal(workbench_trials(w)->present, 2);
    assert_int_equal(text_of_row(w, 1)->count, 4);
    workbench_set_tokens(w, 8);
    assert_int_equal(text_of_row(w, 1)->count, 4); // what was there stays until there is more
    assert_true(workbench_effect(w)->base.known && !workbench_effect(w)->base.finished);
    wait_until(w, row_1_has_eight);
    assert_memory_equal(text_of_row(w, 1)->text, first, strlen(first)); // by the plan of that row
    assert_false(workbench_writes_text(w, 1));
    assert_string_not_equal(text_of_row(w, 1)->text, text_of_row(w, 2)->text);
    workbench_set_prompt(w, "The sun");
    wait_until(w, row_1_says_other);
    const Effect *e = workbench_effect(w);
    assert_true(e->accuracy_turn == workbench_turn(w) && e->accuracy_finished); // the turn is as it was
    set(w, DIAL_BITS, 4);
    assert_true(e->decode_turn == workbench_turn(w)); // it is known after this prompt, too
    free(first);
    workbench_close(w);
}

static void a_new_start_knows_what_was_tried(void **state) {
    (void)state;
    Workbench *w = opened();
    wait_until(w, has_text);
    set(w, DIAL_BITS, 2);
    wait_until(w, has_text);
    Error err = {0};
    assert_true(workbench_note_trial(w, workbench_trials(w)->present, "too few", &err));
    const Accuracy coarse = workbench_effect(w)->accuracy;
    workbench_close(w);

    w = opened();
    wait_until(w, is_measured);
    const Trials *t = workbench_trials(w);
    assert_int_equal(t->count, 2);
    assert_false(t->rows[0].earlier); // it is what the program starts with
    assert_true(t->rows[1].earlier);
    assert_string_equal(t->rows[1].note, "too few");
    assert_null(workbench_trials_unkept(w));
    set(w, DIAL_BITS, 2);
    assert_memory_equal(&workbench_effect(w)->accuracy, &coarse, sizeof coarse);
    assert_true(workbench_effect(w)->accuracy_turn == workbench_turn(w));
    assert_own_positions(workbench_effect(w));

    Workbench *other = opened(); // beside it
    wait_until(other, is_measured);
    assert_int_equal(workbench_trials(other)->count, 2);
    assert_non_null(workbench_trials_unkept(other));
    workbench_close(other);
    workbench_close(w);
}

static void damaged_rows_are_left_out(void **state) {
    (void)state;
    Workbench *w = opened();
    wait_until(w, is_measured);
    workbench_close(w);
    char command[8192];
    snprintf(command, sizeof command,
             "cd '%s'/quantdial && for f in trials-*.stats; do printf X | dd of=\"$f\" bs=1 seek=200 conv=notrunc "
             "2>/dev/null; done",
             getenv("XDG_STATE_HOME"));
    assert_int_equal(system(command), 0); // NOLINT(bugprone-command-processor)
    w = opened();
    wait_until(w, is_measured);
    assert_int_equal(workbench_trials(w)->count, 1);
    assert_string_equal(workbench_trials(w)->rows[0].what, "start");
    workbench_close(w);
}

static char *state_home;

static int make_state(void **state) {
    (void)state;
    char path[4200];
    state_home = folder_temporary();
    snprintf(path, sizeof path, "%s/state", state_home);
    setenv("XDG_STATE_HOME", path, 1);
    snprintf(path, sizeof path, "%s/cache", state_home);
    setenv("XDG_CACHE_HOME", path, 1);
    return 0;
}

static int drop_state(void **state) {
    (void)state;
    folder_remove(state_home);
    return 0;
}

int main(void) {
#define OF_ROWS(function) cmocka_unit_test_setup_teardown(function, setup, teardown)
#define OF_WORKBENCH(function) cmocka_unit_test_setup_teardown(function, make_state, drop_state)
    const struct CMUnitTest tests[] = {
        OF_ROWS(a_row_says_what_was_turned_since_the_one_before),
        OF_ROWS(the_start_is_what_it_was_begun_with),
        OF_ROWS(recipes_of_one_model_share_its_figures),
        OF_ROWS(a_turn_without_effect_makes_no_row),
        OF_ROWS(other_measurements_make_another_model),
        OF_ROWS(the_oldest_goes_that_nobody_needs),
        OF_ROWS(divergences_of_old_rows_are_dropped_and_figures_stay),
        OF_ROWS(the_best_have_fewer_bits_or_less_divergence),
        OF_ROWS(forgetting_goes_back_to_where_it_came_from),
        OF_ROWS(rows_come_back_as_those_of_an_earlier_session),
        OF_ROWS(rows_of_this_session_are_numbered_behind_them),
        OF_ROWS(nothing_is_taken_from_what_is_damaged),
        OF_WORKBENCH(a_turn_that_is_known_has_its_figures_at_once),
        OF_WORKBENCH(texts_of_rows_that_are_looked_at_go_on),
        OF_WORKBENCH(what_a_held_dial_passes_is_no_row),
        OF_WORKBENCH(a_new_start_knows_what_was_tried),
        OF_WORKBENCH(damaged_rows_are_left_out),
    };
    return cmocka_run_group_tests(tests, small_sample_make, small_sample_drop);
}
