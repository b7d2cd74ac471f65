// Studies of the workbench: they come last, give way to a turn, and go on where they were.
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <dirent.h>

#include <cmocka.h>

#include "base/file.h"
#include "tests/support/in_folder.h"
#include "tests/support/settle.h"
#include "tests/support/slow_checks.h"
#include "tests/support/small_sample.h"
#include "workbench/workbench.h"

// patience: of studies that nobody asked for; 0: as long as they take.
static Workbench *opened_with(double patience) {
    Workbench *w;
    Error err = {0};
    const EngineOptions model = {.sequences = 1,
                                 .length = 16,
                                 .eval_tokens = slow_checks() ? 64 : 16,
                                 .window = slow_checks() ? 16 : 8,
                                 .threads = 1};
    const WorkbenchOptions options = {.model = model, .most_tokens = 2, .patience = patience > 0 ? patience : 1e6};
    if (!workbench_open(&options, &w, &err)) fail_msg("%s", err.message);
    workbench_stop_job(w, JOB_SPEED); // which takes its seconds whatever the model
    return w;
}

static Workbench *opened(void) { return opened_with(0); }

static void set(Workbench *w, Dial dial, double value) {
    Error err = {0};
    if (!workbench_set(w, -1, dial, &value, &err)) fail_msg("%s", err.message);
    workbench_stop_job(w, JOB_SPEED);
}

static JobState state_of(Workbench *w, JobKind kind) {
    JobView job;
    workbench_job(w, kind, &job);
    return job.state;
}

static bool has_accuracy(Workbench *w) {
    const Effect *e = workbench_effect(w);
    return e->accuracy_finished && e->accuracy_turn == workbench_turn(w);
}
static bool is_idle(Workbench *w) { return !workbench_busy(w); }

// The time of the last change of the file of trials that has most entries.
static double trials_written(void) {
    double latest = 0;
    char path[4600];
    snprintf(path, sizeof path, "%s/quantdial", folder);
    DIR *cache = opendir(path);
    assert_non_null(cache);
    for (const struct dirent *entry; (entry = readdir(cache));) {
        struct stat status;
        if (strncmp(entry->d_name, "trials-", 7) != 0) continue;
        snprintf(path, sizeof path, "%s/quantdial/%s", folder, entry->d_name);
        assert_int_equal(stat(path, &status), 0);
        latest = fmax(latest, (double)status.st_mtim.tv_sec + 1e-9 * (double)status.st_mtim.tv_nsec);
    }
    closedir(cache);
    return latest;
}

// ---- sensitivity --------------------------------------------------------------------------------------------------

static bool has_choices(Workbench *w) { return workbench_sensitivity(w)->choices_turn == workbench_turn(w); }
static bool has_some(Workbench *w) {
    const SensitivityView *v = workbench_sensitivity(w);
    return v->turn == workbench_turn(w) && v->measured > 0;
}
static bool has_all(Workbench *w) {
    const SensitivityView *v = workbench_sensitivity(w);
    return v->turn == workbench_turn(w) && v->finished;
}

static bool has_looked(Workbench *w) { return !job_is_on(state_of(w, JOB_SENSITIVITY)); }

// What one session measured of linears, another has as soon as it looks, without an evaluation.
static void what_was_measured_of_linears_is_there_at_once(void **state) {
    (void)state;
    Workbench *w = opened();
    workbench_look_at_kept_sensitivity(w, true);
    wait_until(w, has_looked);
    assert_int_equal(workbench_sensitivity(w)->turn, 0); // nothing is kept yet
    workbench_look_at_sensitivity(w, true);
    wait_until(w, has_all);
    const int linears = workbench_structure(w)->linear_count;
    double *kl = calloc((size_t)linears, sizeof *kl);
    assert_non_null(kl);
    for (int i = 0; i < linears; i++) kl[i] = workbench_sensitivity(w)->linears[i].kl;
    workbench_close(w);

    const double written = trials_written();
    w = opened();
    workbench_look_at_kept_sensitivity(w, true);
    wait_until(w, has_all);
    const SensitivityView *v = workbench_sensitivity(w);
    assert_int_equal(v->measured, workbench_plan(w)->quantized_count);
    for (int i = 0; i < linears; i++) assert_true(v->linears[i].kl == kl[i]);
    assert_true(v->estimate_tokens == 0 && trials_written() == written);
    workbench_stop_job(w, JOB_SPEED);
    set(w, DIAL_BITS, 3); // of which nothing is kept
    wait_until(w, has_looked);
    assert_true(workbench_sensitivity(w)->turn != workbench_turn(w));
    assert_true(workbench_undo(w));
    workbench_stop_job(w, JOB_SPEED);
    wait_until(w, has_looked);
    assert_true(has_all(w));
    free(kl);
    workbench_close(w);
}

static bool has_bounds_of(Workbench *w, Target target) {
    const SensitivityView *v = workbench_sensitivity(w);
    return has_choices(w) && v->bound_by.targets == (target < TARGET_COUNT ? 1U << target : 0);
}
static bool has_no_bounds(Workbench *w) { return has_bounds_of(w, TARGET_COUNT); }
static bool has_bounds_of_vllm(Workbench *w) { return has_bounds_of(w, TARGET_VLLM_SM80); }
static bool has_bounds_of_mlx(Workbench *w) { return has_bounds_of(w, TARGET_MLX); }

// Those that the recipe as it is comes to.
static void assert_bounds(Workbench *w, const VerdictWish *wish) {
    const ModelStructure *structure = workbench_structure(w);
    const size_t n = (size_t)structure->linear_count;
    const SensitivityView *v = workbench_sensitivity(w);
    const Engines engines = engines_of(wish);
    int *unit = calloc(n, sizeof *unit);
    uint8_t *refused = calloc(n, sizeof *refused);
    assert_true(unit && refused);
    assert_true(budget_bounds(workbench_recipe(w), structure, NULL, &engines, unit, refused, NULL));
    assert_memory_equal(v->unit, unit, n * sizeof *unit);
    assert_memory_equal(v->refused, refused, n * sizeof *refused);
    free(unit);
    free(refused);
}

static void bounds_of_an_engine_are_found_behind_the_screen(void **state) {
    (void)state;
    const VerdictWish none = {0}, vllm = {EXPORT_COMPRESSED_TENSORS, 1U << TARGET_VLLM_SM80, false},
                      mlx = {EXPORT_MLX, 1U << TARGET_MLX, false};
    Workbench *w = opened();
    Error err = {0};
    assert_true(workbench_set(w, -1, DIAL_ACTIVATIONS, &(double){POLICY_NONE}, &err));
    workbench_look_at_sensitivity(w, true);
    wait_until(w, has_no_bounds);
    assert_null(workbench_sensitivity(w)->unit);
    workbench_bound_by(w, &vllm);
    assert_true(has_no_bounds(w)); // what is asked for is not computed there
    wait_until(w, has_bounds_of_vllm);
    assert_bounds(w, &vllm);
    workbench_bound_by(w, &mlx);
    wait_until(w, has_bounds_of_mlx);
    assert_bounds(w, &mlx);
    assert_true(workbench_set(w, -1, DIAL_GROUP_SIZE, &(double){16}, &err));
    wait_until(w, has_bounds_of_mlx);
    assert_bounds(w, &mlx);
    workbench_bound_by(w, &none);
    wait_until(w, has_no_bounds);
    assert_null(workbench_sensitivity(w)->refused);
    workbench_close(w);
}

static void what_each_linear_costs_comes_last_and_goes_on_after_a_turn(void **state) {
    (void)state;
    Workbench *w = opened();
    const int linears = workbench_structure(w)->linear_count;
    Sensitivity *first = calloc((size_t)linears, sizeof *first);
    assert_true(first && workbench_sensitivity(w)->choices_turn == 0);
    workbench_look_at_sensitivity(w, true);
    assert_int_equal(state_of(w, JOB_SENSITIVITY), JOB_WAITING);
    wait_until(w, has_choices);
    wait_until(w, has_some);
    assert_true(has_accuracy(w)); // before the study began
    wait_until(w, has_all);
    const SensitivityView *v = workbench_sensitivity(w);
    assert_int_equal(v->measured, workbench_plan(w)->quantized_count);
    for (int i = 0; i < linears; i++) {
        first[i] = v->linears[i];
        assert_int_equal(first[i].linear, i);
        assert_true(first[i].alone_known == workbench_plan(w)->decisions[i].quantized);
        assert_true(!first[i].alone_known || (isfinite(first[i].estimate) && first[i].kl > 0));
    }

    if (!slow_checks()) {
        free(first);
        workbench_close(w);
        return;
    }

    // Another turn in its midst: figures of that turn come first, and those of the first are not measured again.
    set(w, DIAL_BITS, 3);
    wait_until(w, has_some);
    assert_true(has_accuracy(w));
    assert_true(workbench_undo(w));
    workbench_stop_job(w, JOB_SPEED);
    assert_true(workbench_sensitivity(w)->turn != workbench_turn(w)); // what is shown is known to be old
    wait_until(w, has_all);
    v = workbench_sensitivity(w);
    for (int i = 0; i < linears; i++)
        if (first[i].alone_known) assert_true(v->linears[i].kl == first[i].kl);
    wait_until(w, is_idle);
    assert_true(has_accuracy(w));

    // The quantized model is that of the recipe again when it is asked something.
    const Accuracy accuracy = workbench_effect(w)->accuracy;
    set(w, DIAL_BITS, 8);
    assert_true(workbench_undo(w));
    workbench_stop_job(w, JOB_SPEED);
    wait_until(w, has_accuracy);
    assert_true(workbench_effect(w)->accuracy.kl_mean == accuracy.kl_mean);
    free(first);
    workbench_close(w);
}

static bool measures(Workbench *w) {
    return state_of(w, JOB_SENSITIVITY) == JOB_RUNNING || workbench_sensitivity(w)->finished;
}
static bool is_stopped(Workbench *w) { return state_of(w, JOB_SENSITIVITY) != JOB_RUNNING; }

static void a_study_can_be_stopped_and_is_not_begun_where_nobody_looks(void **state) {
    (void)state;
    if (!slow_checks()) skip();
    Workbench *w = opened();
    workbench_look_at_sensitivity(w, true);
    wait_until(w, measures);
    workbench_stop_job(w, JOB_SENSITIVITY);
    wait_until(w, is_stopped);
    wait_until(w, is_idle);
    if (!workbench_sensitivity(w)->finished) assert_int_equal(state_of(w, JOB_SENSITIVITY), JOB_STOPPED);
    workbench_look_at_sensitivity(w, false);
    workbench_look_at_sensitivity(w, true);
    assert_true(is_idle(w) || workbench_sensitivity(w)->finished); // stopped is stopped
    workbench_look_at_sensitivity(w, false);
    set(w, DIAL_BITS, 3);
    assert_int_equal(state_of(w, JOB_SENSITIVITY), JOB_DONE);
    wait_until(w, is_idle);
    assert_true(workbench_sensitivity(w)->turn != workbench_turn(w));
    workbench_close(w);
}

static bool is_put_off(Workbench *w) {
    JobView job;
    workbench_job(w, JOB_SENSITIVITY, &job);
    return job.put_off > 0;
}

// What takes long waits until it is asked for; with the next turn that is so again.
static void a_long_study_is_put_off_until_it_is_asked_for(void **state) {
    (void)state;
    Workbench *w = opened_with(1e-6);
    workbench_look_at_sensitivity(w, true);
    wait_until(w, is_put_off);
    assert_int_equal(state_of(w, JOB_SENSITIVITY), JOB_STOPPED);
    assert_int_equal(workbench_next_study(w, JOB_COUNT), JOB_COUNT);
    wait_until(w, is_idle);
    assert_true(is_put_off(w) && !workbench_sensitivity(w)->finished);
    workbench_resume_study(w, JOB_SENSITIVITY);
    assert_int_equal(workbench_next_study(w, JOB_COUNT), JOB_SENSITIVITY);
    assert_int_equal(workbench_next_study(w, JOB_SENSITIVITY), JOB_COUNT);
    wait_until(w, has_all);
    assert_false(is_put_off(w));
    set(w, DIAL_BITS, 3);
    wait_until(w, is_put_off);
    assert_true(workbench_undo(w));
    const double three = 3;
    assert_true(workbench_set(w, 2, DIAL_BITS, &three, NULL)); // the others alone are as they were
    workbench_stop_job(w, JOB_SPEED);
    wait_until(w, is_put_off);
    assert_true(has_some(w)); // which the disk has, though nothing is estimated
    workbench_close(w);
}

// ---- sweep --------------------------------------------------------------------------------------------------------

static void sweep(Workbench *w, const char *first, const char *second) {
    SweepDial dials[SWEEP_DIALS] = {0};
    Error err = {0};
    assert_true(sweep_dial_parse(first, &dials[0], &err) && (!second || sweep_dial_parse(second, &dials[1], &err)));
    if (!workbench_sweep(w, dials, second ? 2 : 1, true, &err)) fail_msg("%s", err.message);
}

static bool has_a_point(Workbench *w) { return workbench_swept(w)->known > 0; }
static bool has_points(Workbench *w) {
    const SweepView *v = workbench_swept(w);
    return v->known == v->count && state_of(w, JOB_SWEEP) == JOB_DONE;
}

static void points_come_from_the_nearest_on_and_stay(void **state) {
    (void)state;
    if (!slow_checks()) skip();
    Workbench *w = opened();
    assert_int_equal(workbench_swept(w)->dial_count, 0);
    workbench_look_at_sweep(w, true);
    sweep(w, "weight-bits=2,3,4,8", NULL);
    assert_int_equal(workbench_swept(w)->count, 4);
    wait_until(w, has_a_point);
    const SweepView *v = workbench_swept(w);
    assert_true(v->points[2].point.known); // the recipe's own 4 bits
    assert_true(v->points[0].planned && v->points[0].point.bytes < v->points[3].point.bytes);
    wait_until(w, has_points);
    double kl[4];
    for (int i = 0; i < 4; i++) {
        kl[i] = v->points[i].point.accuracy.kl_mean;
        assert_true(v->points[i].divergences && !v->points[i].older);
        assert_true(sweep_view_value(v, i, 0) == budget_bits[i]);
    }
    assert_true(kl[2] == workbench_effect(w)->accuracy.kl_mean && v->points[3].point.pareto);

    // A point that is taken is still a point of the sweep; another dial makes all of them old.
    set(w, DIAL_BITS, 8);
    assert_true(has_points(w));
    wait_until(w, has_accuracy);
    assert_true(workbench_effect(w)->accuracy.kl_mean == kl[3]);
    set(w, DIAL_GRANULARITY, GRANULARITY_CHANNEL);
    v = workbench_swept(w);
    assert_true(v->known == 0 && v->points[0].older && v->points[0].point.known && !v->points[0].divergences);
    wait_until(w, has_points);
    assert_true(workbench_swept(w)->points[0].point.accuracy.kl_mean != kl[0]);

    // Nobody looks: it stays old, and comes from the disk when somebody does.
    workbench_look_at_sweep(w, false);
    assert_true(workbench_undo(w));
    workbench_stop_job(w, JOB_SPEED);
    assert_int_equal(state_of(w, JOB_SWEEP), JOB_DONE);
    assert_int_equal(workbench_swept(w)->known, 0);
    const double written = trials_written();
    workbench_look_at_sweep(w, true);
    wait_until(w, has_points);
    for (int i = 0; i < 4; i++) assert_true(workbench_swept(w)->points[i].point.accuracy.kl_mean == kl[i]);
    workbench_close(w);
    assert_true(trials_written() == written);
}

static bool sweep_is_on(Workbench *w) { return job_is_on(state_of(w, JOB_SWEEP)); }
static bool sweep_is_off(Workbench *w) { return !sweep_is_on(w); }

// Asked for, it comes before what only began by looking, and what it was left at is not lost.
static void an_asked_sweep_comes_first_and_comes_back(void **state) {
    (void)state;
    if (!slow_checks()) skip();
    Workbench *w = opened();
    sweep(w, "weight-bits=2,3,4,8", "granularity=channel,group");
    workbench_look_at_sensitivity(w, true);
    wait_until(w, has_a_point);
    assert_int_equal(workbench_sensitivity(w)->measured, 0);
    set(w, DIAL_GRID, GRID_ASYMMETRIC);
    wait_until(w, sweep_is_off);
    assert_int_equal(workbench_swept(w)->known, 0);
    assert_true(workbench_undo(w));
    assert_true(sweep_is_on(w));
    wait_until(w, has_points);
    assert_int_equal(workbench_sensitivity(w)->measured, 0);
    workbench_close(w);
}

static void a_sweep_of_two_dials_goes_on_after_a_turn(void **state) {
    (void)state;
    if (!slow_checks()) skip();
    Error err = {0};
    Workbench *w = opened();
    SweepDial twice[] = {{DIAL_BITS, calloc(1, sizeof(double)), 1}, {DIAL_BITS, calloc(1, sizeof(double)), 1}};
    assert_false(workbench_sweep(w, twice, 2, true, &err));
    assert_non_null(strstr(err.message, "swept twice"));
    workbench_look_at_sweep(w, true);
    sweep(w, "weight-bits=3,4", "granularity=channel,group");
    wait_until(w, has_a_point);
    const int before = workbench_swept(w)->known;
    set(w, DIAL_BITS, 3); // one of the dials: what is there stays
    assert_true(workbench_swept(w)->known >= before);
    wait_until(w, has_points);
    assert_true(has_accuracy(w));
    assert_true(sweep_view_value(workbench_swept(w), 1, 1) == GRANULARITY_GROUP);
    workbench_close(w);
}

// ---- tune ---------------------------------------------------------------------------------------------------------

static TuneView tuned(Workbench *w) {
    TuneView view;
    workbench_tuned(w, &view);
    return view;
}
static bool has_tuned(Workbench *w) { return tuned(w).done || state_of(w, JOB_TUNE) == JOB_FAILED; }
static bool has_best(Workbench *w) { return tuned(w).done || tuned(w).tuned.trials > 0; }

static void a_search_goes_on_after_a_turn_and_is_taken_as_one_step(void **state) {
    (void)state;
    if (!slow_checks()) skip();
    Error err = {0};
    Workbench *w = opened();
    const TuneGoal goal = {.max_bits = 5.5, .bits = {4, 8}};
    double seconds, more_bits;
    assert_false(tuned(w).asked);
    assert_true(workbench_tune_seconds(w, &goal, NULL, &seconds, &err) && isnan(seconds));
    wait_until(w, has_accuracy);
    assert_true(workbench_tune_seconds(w, &goal, NULL, &seconds, &err) && seconds > 0 && seconds < 3600);
    const TuneGoal four = {.max_bits = 5.5, .bits = {2, 3, 4, 8}};
    assert_true(workbench_tune_seconds(w, &four, NULL, &more_bits, &err) && more_bits > seconds);
    assert_true(workbench_tune(w, &goal, NULL, &err));
    assert_false(workbench_tune(w, &goal, NULL, &err));
    wait_until(w, has_best);
    set(w, DIAL_ALPHA, 0.5);
    wait_until(w, has_accuracy);
    wait_until(w, has_tuned);
    TuneView view = tuned(w);
    assert_true(view.done && view.changes == 1 && view.tuned.cut == TUNE_WHOLE);
    assert_true(view.tuned.point.known && view.tuned.point.bits_per_weight <= 5.5);
    assert_true(workbench_restore(w, view.recipe, &err));
    assert_true(workbench_plan(w)->bits_per_weight == view.tuned.point.bits_per_weight);
    assert_true(workbench_undo(w));
    assert_true(workbench_recipe(w)->value[DIAL_ALPHA] == 0.5 && workbench_recipe(w)->override_count == 0);
    workbench_forget_tuned(w);
    assert_false(tuned(w).asked);

    const TuneGoal too_small = {.max_bits = 1, .bits = {4, 8}};
    assert_true(workbench_tune(w, &too_small, NULL, &err));
    wait_until(w, has_tuned);
    JobView job;
    workbench_job(w, JOB_TUNE, &job);
    assert_int_equal(job.state, JOB_FAILED);
    assert_non_null(strstr(job.message, "the least is"));
    workbench_close(w);
}

static bool search_ended(Workbench *w) { return state_of(w, JOB_TUNE) != JOB_RUNNING; }

static void a_search_that_is_stopped_ends_with_the_best_so_far(void **state) {
    (void)state;
    if (!slow_checks()) skip();
    Error err = {0};
    Workbench *w = opened();
    assert_true(workbench_tune(w, &(TuneGoal){.max_bits = 5.5, .bits = {2, 3, 4, 8}}, NULL, &err));
    wait_until(w, has_best);
    workbench_stop_job(w, JOB_TUNE);
    wait_until(w, search_ended);
    const TuneView view = tuned(w);
    assert_true(view.done ? view.tuned.point.known && view.recipe : state_of(w, JOB_TUNE) == JOB_STOPPED);
    workbench_close(w);
}

static bool has_better(Workbench *w) { return isfinite(tuned(w).tuned.best_kl); }
static bool search_over(Workbench *w) { return tuned(w).done || !job_is_on(state_of(w, JOB_TUNE)); }

// A turn made it wait: it begins again, comes to what it had, and ends there.
static void a_search_that_waits_ends_with_the_best_it_had(void **state) {
    (void)state;
    if (!slow_checks()) skip();
    Error err = {0};
    Workbench *w = opened();
    const double alpha = 0.7;
    assert_true(workbench_tune(w, &(TuneGoal){.max_bits = 5.5, .bits = {3, 4, 8}}, NULL, &err));
    wait_until(w, has_better);
    const double best = tuned(w).tuned.best_kl;
    assert_true(workbench_set(w, -1, DIAL_ALPHA, &alpha, &err));
    workbench_stop_job(w, JOB_TUNE);
    wait_until(w, search_over);
    const TuneView view = tuned(w);
    assert_true(view.done && view.recipe && view.tuned.point.known && view.tuned.best_kl <= best);
    workbench_close(w);
}

// ---- speeds -------------------------------------------------------------------------------------------------------

static bool has_a_cell(Workbench *w) { return workbench_speeds(w)->map.ratio[0][0].median > 0; }
static bool has_speeds(Workbench *w) {
    return workbench_speeds(w)->finished && workbench_speeds(w)->turn == workbench_turn(w);
}
static bool speeds_stopped(Workbench *w) { return state_of(w, JOB_SPEEDS) != JOB_RUNNING; }

static void speeds_are_timed_while_they_are_looked_at(void **state) {
    (void)state;
    if (!slow_checks()) skip();
    Workbench *w = opened();
    wait_until(w, is_idle);
    assert_int_equal(workbench_speeds(w)->turn, 0);
    workbench_look_at_speeds(w, true);
    wait_until(w, has_a_cell);
    workbench_stop_job(w, JOB_SPEEDS);
    wait_until(w, speeds_stopped);
    const SpeedsView stopped = *workbench_speeds(w);
    workbench_resume_study(w, JOB_SPEEDS);
    wait_until(w, has_speeds);
    const SpeedMap *map = &workbench_speeds(w)->map;
    assert_true(map->batch_count >= 3 && map->context_count >= 1);
    assert_true(map->ratio[2][map->context_count - 1].median > 0);
    assert_true(map->ratio[0][0].median == stopped.map.ratio[0][0].median); // was not timed again

    // Another turn begins anew; where nobody looks, none does.
    set(w, DIAL_BITS, 3);
    wait_until(w, has_speeds);
    assert_true(has_accuracy(w));
    workbench_look_at_speeds(w, false);
    set(w, DIAL_BITS, 8);
    wait_until(w, is_idle);
    assert_false(has_speeds(w));
    workbench_close(w);
}

static int in_cache(void **state) {
    make_folder(state);
    char kept[4200]; // rows of trials, apart from those that studies keep
    snprintf(kept, sizeof kept, "%s/state", folder);
    return setenv("XDG_CACHE_HOME", folder, 1) || setenv("XDG_STATE_HOME", kept, 1);
}
#define WITH_CACHE(function) cmocka_unit_test_setup_teardown(function, in_cache, drop_folder)

// ---- the pin ------------------------------------------------------------------------------------------------------

static Recipe pinned;

static bool pin_has_all(Workbench *w) {
    workbench_pin(w, &pinned); // as the screen does each time
    const TrialRow *row = trials_of_recipe(workbench_trials(w), &pinned);
    return row && row->figures->text.finished;
}

// A state that was left before it was measured: its figures are those that it has as the present one, and it becomes a
// row with a text.
static void a_pin_is_scored_when_there_is_nothing_else_to_do(void **state) {
    (void)state;
    Workbench *w = opened();
    Error err = {0};
    wait_until(w, has_accuracy);
    const double kl = workbench_effect(w)->accuracy.kl_mean;
    assert_true(recipe_copy(workbench_recipe(w), &pinned, &err));
    set(w, DIAL_BITS, 8);
    workbench_forget_trial(w, 1);
    assert_int_equal(workbench_trials(w)->count, 0);
    wait_until(w, pin_has_all);
    const TrialRow *row = trials_of_recipe(workbench_trials(w), &pinned);
    assert_non_null(row);
    assert_true(row->figures->accuracy.kl_mean == kl);
    assert_true(row->figures->by_position && row->figures->text.known);
    assert_int_equal(workbench_trials(w)->present, 2); // still the state of now
    assert_int_equal(row->number, 3);
    wait_until(w, is_idle);
    assert_int_equal(state_of(w, JOB_PIN), JOB_DONE);
    workbench_pin(w, NULL);
    recipe_free(&pinned);
    workbench_close(w);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        WITH_CACHE(what_was_measured_of_linears_is_there_at_once),
        WITH_CACHE(bounds_of_an_engine_are_found_behind_the_screen),
        WITH_CACHE(what_each_linear_costs_comes_last_and_goes_on_after_a_turn),
        WITH_CACHE(a_study_can_be_stopped_and_is_not_begun_where_nobody_looks),
        WITH_CACHE(a_long_study_is_put_off_until_it_is_asked_for),
        WITH_CACHE(points_come_from_the_nearest_on_and_stay),
        WITH_CACHE(an_asked_sweep_comes_first_and_comes_back),
        WITH_CACHE(a_sweep_of_two_dials_goes_on_after_a_turn),
        WITH_CACHE(a_search_goes_on_after_a_turn_and_is_taken_as_one_step),
        WITH_CACHE(a_search_that_is_stopped_ends_with_the_best_so_far),
        WITH_CACHE(a_search_that_waits_ends_with_the_best_it_had),
        WITH_CACHE(speeds_are_timed_while_they_are_looked_at),
        WITH_CACHE(a_pin_is_scored_when_there_is_nothing_else_to_do),
    };
    return cmocka_run_group_tests(tests, small_sample_make, small_sample_drop);
}
