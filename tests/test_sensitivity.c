// Trials and sensitivities: whatever order they are measured in, wherever they are stopped and taken up again, the
// figures are those of a fresh evaluation.
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "analysis/sensitivity.h"
#include "analysis/statistics.h"
#include "base/array.h"
#include "base/file.h"
#include "tests/support/folder.h"
#include "tests/support/study.h"

#define DIALS "weight-bits=3 granularity=channel activations=fptq v0=0.5 v1=100"

static void ranks_correlate_as_spearman_says(void **state) {
    (void)state;
    double a[] = {1, 2, 3, 4, 5}, rising[] = {1, 10, 11, 1000, 1001}, falling[] = {5, 4, 3, 2, 1}, r;
    assert_true(rank_correlation(a, rising, 5, &r, NULL) && r == 1);
    assert_true(rank_correlation(a, falling, 5, &r, NULL) && r == -1);
    // scipy.stats.spearmanr([1, 2, 2, 3, 9, 4], [2, 1, 4, 4, 4, 6])
    double x[] = {1, 2, 2, 3, 9, 4}, y[] = {2, 1, 4, 4, 4, 6};
    assert_true(rank_correlation(x, y, 6, &r, NULL));
    assert_true(fabs(r - 0.6776452139970672) < 1e-12);
    double same[] = {1, 1, 1};
    assert_true(rank_correlation(a, same, 3, &r, NULL) && isnan(r));
    assert_true(rank_correlation(a, a, 1, &r, NULL) && isnan(r));
}

static void differences_are_paired(void **state) {
    (void)state;
    float a[] = {3, 5, 4, 8}, b[] = {1, 4, 2, 5};
    Difference d = paired_difference(a, b, 4);
    assert_true(fabs(d.mean - 2) < 1e-12);
    assert_true(fabs(d.se - sqrt(0.5 / 3)) < 1e-12); // differences 2 1 2 3
    assert_true(paired_difference(a, b, 1).se == 0);
    assert_true(paired_difference(a, b, 0).mean == 0);
}

static Plan alone(const Plan *plan, int linear) {
    Plan varied = {.linear_count = plan->linear_count,
                   .decisions = array_new((size_t)plan->linear_count, sizeof(Decision))};
    varied.decisions[linear] = plan->decisions[linear];
    return varied;
}

static Plan without(const Plan *plan, int linear) {
    Plan varied = {.linear_count = plan->linear_count,
                   .decisions = array_new((size_t)plan->linear_count, sizeof(Decision))};
    memcpy(varied.decisions, plan->decisions, (size_t)plan->linear_count * sizeof(Decision));
    varied.decisions[linear] = (Decision){0};
    return varied;
}

static void every_figure_is_that_of_a_fresh_evaluation(void **state) {
    (void)state;
    StudyFixture s;
    study_open(NULL, &s);
    Plan plan = study_plan(&s, DIALS);
    Sensitivities found;
    Error err = {0};
    if (!sensitivity_measure(&s.trial, &plan, SENSITIVITY_BOTH_WAYS, NULL, NULL, &found, NULL, &err))
        fail_msg("%s", err.message);
    double sum = 0;
    assert_int_equal(found.count, 14);
    assert_true(found.all_kl == study_kl(&s, &plan));
    for (int i = 0; i < found.count; i++) {
        const Sensitivity *of = &found.linears[i];
        Plan one = alone(&plan, of->linear), rest = without(&plan, of->linear);
        if (of->kl != study_kl(&s, &one)) fail_msg("linear %d alone differs", of->linear);
        if (of->rest_kl != study_kl(&s, &rest)) fail_msg("all but linear %d differs", of->linear);
        assert_true(of->kl > 0 && of->kl_se > 0 && of->estimate > 0 && of->estimate_se > 0);
        sum += of->kl;
        assert_true(i == 0 || of->kl <= found.linears[i - 1].kl);
        plan_free(&one);
        plan_free(&rest);
    }
    assert_true(found.rank_correlation > 0.5 && found.rank_correlation <= 1);
    assert_int_equal(found.measured, found.count);
    assert_true(fabs(found.alone_sum - sum) < 1e-12);
    sensitivities_free(&found);
    plan_free(&plan);
    study_close(&s);
}

// Estimates come from the first window and one in the middle.
static void estimates_are_measured_on_few_tokens(void **state) {
    (void)state;
    StudyFixture s;
    Error err = {0};
    Sensitivities found;
    study_open(NULL, &s);
    Plan plan = study_plan(&s, DIALS);
    assert_true(sensitivity_measure(&s.trial, &plan, SENSITIVITY_ESTIMATES, NULL, NULL, &found, NULL, &err));
    assert_true(found.measured == 0 && isnan(found.rank_correlation) && isnan(found.alone_sum));
    size_t count, window;
    evaluator_ids(s.evaluator, &count, &window);
    const size_t second = count / window / 2;
    for (int i = 0; i < found.count; i += 3) {
        const Sensitivity *of = &found.linears[i];
        Plan one = alone(&plan, of->linear);
        assert_float_equal(of->estimate, study_two_windows_kl(&s, &one, second), 1e-12);
        assert_true(!of->alone_known && (i == 0 || of->estimate <= found.linears[i - 1].estimate));
        plan_free(&one);
    }
    sensitivities_free(&found);
    plan_free(&plan);
    study_close(&s);
}

// Without a model nothing can be measured a second time.
static void estimates_are_kept(void **state) {
    (void)state;
    char *folder = folder_temporary();
    StudyFixture s;
    Error err = {0};
    Sensitivities first, again;
    study_open(folder, &s);
    Plan plan = study_plan(&s, DIALS);
    assert_true(sensitivity_measure(&s.trial, &plan, SENSITIVITY_ESTIMATES, NULL, NULL, &first, NULL, &err));
    s.trial.model = NULL;
    assert_true(sensitivity_measure(&s.trial, &plan, SENSITIVITY_ESTIMATES, NULL, NULL, &again, NULL, &err));
    for (int i = 0; i < first.count; i++) assert_true(first.linears[i].estimate == again.linears[i].estimate);
    sensitivities_free(&first);
    sensitivities_free(&again);
    plan_free(&plan);
    study_close(&s);
    folder_remove(folder);
}

// The linears of the largest upper bounds come first.
typedef struct Order {
    int told;
    double first_round, later; // the least upper bound of the first quarter, the largest of the others
    bool known[64];
} Order;

static void note_order(void *context, const Sensitivities *so_far) {
    Order *order = context;
    assert_int_equal(so_far->measured, order->told);
    for (int i = 0; i < so_far->count; i++) {
        const Sensitivity *of = &so_far->linears[i];
        if (!of->alone_known || order->known[i]) continue;
        const double bound = of->estimate + 2 * of->estimate_se;
        order->known[i] = true;
        if (order->told <= so_far->count / 4)
            order->first_round = fmin(order->first_round, bound);
        else
            order->later = fmax(order->later, bound);
    }
    order->told++;
}

static void the_doubtful_and_the_worst_are_measured_first(void **state) {
    (void)state;
    char *folder = folder_temporary();
    StudyFixture s;
    Error err = {0};
    Sensitivities found, kept;
    Order order = {.first_round = INFINITY};
    study_open(folder, &s);
    Plan plan = study_plan(&s, DIALS);
    assert_true(sensitivity_measure(&s.trial, &plan, SENSITIVITY_ALONE, note_order, &order, &found, NULL, &err));
    assert_int_equal(order.told, found.count + 1);
    assert_true(order.first_round >= order.later && order.later > 0);
    // Estimates alone state the correlation with what was measured before.
    assert_true(sensitivity_measure(&s.trial, &plan, SENSITIVITY_ESTIMATES, NULL, NULL, &kept, NULL, &err));
    assert_int_equal(kept.measured, found.count);
    assert_true(kept.rank_correlation == found.rank_correlation);
    sensitivities_free(&found);
    sensitivities_free(&kept);
    plan_free(&plan);
    study_close(&s);
    folder_remove(folder);
}

// Stops once the estimates and two figures are known.
typedef struct Stopper {
    Progress *progress;
    int left;
} Stopper;

static void stop_soon(void *context, const Sensitivities *so_far) {
    Stopper *stopper = context;
    (void)so_far;
    if (--stopper->left == 0) progress_request_stop(stopper->progress);
}

static void what_was_stopped_goes_on_from_the_cache(void **state) {
    (void)state;
    char *folder = folder_temporary();
    StudyFixture s;
    Error err = {0};
    Sensitivities cut, rest, whole;
    Progress progress = {0}, second = {0};
    Stopper stopper = {&progress, 3};
    study_open(folder, &s);
    Plan plan = study_plan(&s, DIALS);
    assert_false(
        sensitivity_measure(&s.trial, &plan, SENSITIVITY_BOTH_WAYS, stop_soon, &stopper, &cut, &progress, &err));
    assert_true(err.stopped);
    int known = 0;
    for (int i = 0; i < cut.count; i++) known += cut.linears[i].alone_known;
    assert_int_equal(known, 2);
    sensitivities_free(&cut);
    study_close(&s);

    study_open(folder, &s);
    assert_true(sensitivity_measure(&s.trial, &plan, SENSITIVITY_BOTH_WAYS, NULL, NULL, &rest, &second, &err));
    assert_true(atomic_load(&second.done) == atomic_load(&second.total));
    study_close(&s);
    study_open(NULL, &s);
    assert_true(sensitivity_measure(&s.trial, &plan, SENSITIVITY_BOTH_WAYS, NULL, NULL, &whole, NULL, &err));
    for (int i = 0; i < whole.count; i++) {
        assert_int_equal(whole.linears[i].linear, rest.linears[i].linear);
        assert_true(whole.linears[i].kl == rest.linears[i].kl);
        assert_true(whole.linears[i].rest_kl == rest.linears[i].rest_kl);
    }
    sensitivities_free(&rest);
    sensitivities_free(&whole);
    plan_free(&plan);
    study_close(&s);
    folder_remove(folder);
}

// What was measured without positions is measured again for them, and then kept with them.
static void positions_are_kept(void **state) {
    (void)state;
    char *folder = folder_temporary();
    StudyFixture s;
    Accuracy plain, first, again, known;
    Error err = {0};
    study_open(folder, &s);
    Plan plan = study_plan(&s, DIALS);
    const size_t n = (size_t)trial_work(&s.trial);
    const size_t each = POSITION_FIGURES * n;
    float *by_position = array_new(2 * each, sizeof *by_position);
    assert_false(trial_known(&s.trial, &plan, &known, NULL));
    assert_true(trial_run(&s.trial, &plan, &plain, NULL, &err));
    assert_true(trial_run_positions(&s.trial, &plan, &first, by_position, NULL, &err));
    study_close(&s);
    study_open(folder, &s);
    assert_true(trial_known(&s.trial, &plan, &known, NULL));
    assert_true(trial_run_positions(&s.trial, &plan, &again, by_position + each, NULL, &err));
    assert_int_equal(s.trial.first_changed, 0); // nothing was evaluated
    assert_memory_equal(by_position, by_position + each, each * sizeof *by_position);
    assert_memory_equal(&plain, &first, sizeof plain);
    assert_memory_equal(&plain, &again, sizeof plain);
    assert_memory_equal(&plain, &known, sizeof plain);
    free(by_position);
    plan_free(&plan);
    study_close(&s);
    folder_remove(folder);
}

static void damage(const char *folder, size_t at) {
    char command[512];
    snprintf(command, sizeof command,
             "for f in '%s'/trials-*; do printf X | dd of=\"$f\" bs=1 seek=%zu conv=notrunc 2>/dev/null; done", folder,
             at);
    assert_int_equal(system(command), 0);
}

// What was measured anew takes the place of the damaged file.
static void damaged_files_are_not_believed(void **state) {
    (void)state;
    static const size_t places[] = {0, 45, 90, 135, 180, 400};
    char *folder = folder_temporary();
    StudyFixture s;
    Accuracy fresh, again;
    Error err = {0};
    study_open(folder, &s);
    Plan plan = study_plan(&s, DIALS);
    float *by_position = array_new(POSITION_FIGURES * (size_t)trial_work(&s.trial), sizeof *by_position);
    assert_true(trial_run_positions(&s.trial, &plan, &fresh, by_position, NULL, &err));
    study_close(&s);
    for (size_t p = 0; p < sizeof places / sizeof *places; p++) {
        damage(folder, places[p]);
        study_open(folder, &s);
        assert_false(trial_known(&s.trial, &plan, &again, NULL));
        assert_true(trial_run_positions(&s.trial, &plan, &again, by_position, NULL, &err));
        assert_memory_equal(&fresh, &again, sizeof fresh);
        study_close(&s);
    }
    study_open(folder, &s);
    assert_true(trial_known(&s.trial, &plan, &again, NULL));
    study_close(&s);
    plan_free(&plan);
    free(by_position);
    folder_remove(folder);
}

static double mean_of(const float *values, size_t n) {
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += (double)values[i];
    return sum / (double)n;
}

static void positions_add_up_to_the_mean(void **state) {
    (void)state;
    StudyFixture s;
    Accuracy accuracy;
    Error err = {0};
    study_open(NULL, &s);
    Plan plan = study_plan(&s, DIALS);
    size_t n = (size_t)trial_work(&s.trial);
    float *by_position = array_new(POSITION_FIGURES * n, sizeof *by_position);
    assert_true(trial_run_positions(&s.trial, &plan, &accuracy, by_position, NULL, &err));
    assert_true(fabs(mean_of(by_position + POSITION_KL * n, n) - accuracy.kl_mean) < 1e-12);
    assert_true(fabs(exp(mean_of(by_position + POSITION_NLL * n, n)) / accuracy.ppl - 1) < 1e-6);
    assert_true(fabs(mean_of(by_position + POSITION_TOP1 * n, n) - accuracy.top1) < 1e-12);
    free(by_position);
    plan_free(&plan);
    study_close(&s);
}

static void a_recipe_that_quantizes_nothing_is_refused(void **state) {
    (void)state;
    StudyFixture s;
    Sensitivities found;
    Error err = {0};
    study_open(NULL, &s);
    Plan plan = study_plan(&s, DIALS);
    for (int i = 0; i < plan.linear_count; i++) plan.decisions[i].quantized = false;
    assert_false(sensitivity_measure(&s.trial, &plan, SENSITIVITY_BOTH_WAYS, NULL, NULL, &found, NULL, &err));
    assert_non_null(strstr(err.message, "quantizes no linear"));
    sensitivities_free(&found);
    plan_free(&plan);
    study_close(&s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ranks_correlate_as_spearman_says),
        cmocka_unit_test(differences_are_paired),
        cmocka_unit_test(every_figure_is_that_of_a_fresh_evaluation),
        cmocka_unit_test(estimates_are_measured_on_few_tokens),
        cmocka_unit_test(estimates_are_kept),
        cmocka_unit_test(the_doubtful_and_the_worst_are_measured_first),
        cmocka_unit_test(what_was_stopped_goes_on_from_the_cache),
        cmocka_unit_test(positions_are_kept),
        cmocka_unit_test(damaged_files_are_not_believed),
        cmocka_unit_test(positions_add_up_to_the_mean),
        cmocka_unit_test(a_recipe_that_quantizes_nothing_is_refused),
    };
    return cmocka_run_group_tests_name("sensitivity", tests, NULL, NULL);
}
