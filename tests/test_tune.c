// The tuner: its knapsack against trying everything, and what it promises about the recipe that it writes.
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "analysis/knapsack.h"
#include "analysis/tune.h"
#include "base/random.h"
#include "export/verdict.h"
#include "quant/recipe_set.h"
#include "tests/support/slow_checks.h"
#include "tests/support/study.h"

enum { ITEMS = 5, CHOICES = 4, COMBINATIONS = 1024 };

static void random_items(Random *random, KnapsackItem *items) {
    for (int i = 0; i < ITEMS; i++) {
        for (int c = 0; c < CHOICES; c++) {
            bool offered = c == 0 || random_below(random, 5) > 0;
            items[i].weight[c] = 100 + 40 * c + random_below(random, 30);
            items[i].cost[c] = offered ? random_uniform(random) * pow(4, -c) : (double)INFINITY;
        }
    }
}

static void totals(const KnapsackItem *items, const int *chosen, double *weight, double *cost) {
    *weight = *cost = 0;
    for (int i = 0; i < ITEMS; i++) {
        *weight += items[i].weight[chosen[i]];
        *cost += items[i].cost[chosen[i]];
    }
}

// The least cost within a weight and the least weight within a cost, by trying all.
static void try_all(const KnapsackItem *items, double most_weight, double most_cost, double *least_cost,
                    double *least_weight) {
    *least_cost = *least_weight = INFINITY;
    for (int n = 0; n < COMBINATIONS; n++) {
        int chosen[ITEMS];
        double weight, cost;
        for (int i = 0, rest = n; i < ITEMS; i++, rest /= CHOICES) chosen[i] = rest % CHOICES;
        totals(items, chosen, &weight, &cost);
        if (weight <= most_weight) *least_cost = fmin(*least_cost, cost);
        if (cost <= most_cost) *least_weight = fmin(*least_weight, weight);
    }
}

static void knapsack_finds_what_trying_all_finds(void **state) {
    (void)state;
    Random random = random_seeded(5);
    const int trials = many_cases() ? 200 : 20;
    for (int trial = 0; trial < trials; trial++) {
        KnapsackItem items[ITEMS];
        int chosen[ITEMS];
        bool found;
        double weight, cost, least_cost, least_weight, ignored;
        random_items(&random, items);
        double budget = 500 + 700 * random_uniform(&random), bound = 2 * random_uniform(&random);
        try_all(items, budget, bound, &least_cost, &least_weight);
        assert_true(knapsack_solve(items, ITEMS, CHOICES, budget, INFINITY, chosen, &found, NULL));
        assert_int_equal(found, isfinite(least_cost));
        if (found) {
            totals(items, chosen, &weight, &cost);
            assert_true(weight <= budget);
            try_all(items, budget * 0.998, bound, &least_cost, &ignored); // weights are rounded to steps
            assert_true(cost <= least_cost + 1e-9);
        }
        assert_true(knapsack_solve(items, ITEMS, CHOICES, INFINITY, bound, chosen, &found, NULL));
        assert_int_equal(found, isfinite(least_weight));
        if (!found) continue;
        totals(items, chosen, &weight, &cost);
        assert_true(cost <= bound + 1e-12);
        assert_true(weight <= least_weight * 1.002);
    }
}

static void knapsack_at_its_ends(void **state) {
    (void)state;
    KnapsackItem item = {.weight = {10, 20}, .cost = {1, 0.5}};
    int chosen;
    bool found;
    assert_true(knapsack_solve(&item, 1, 2, 10, INFINITY, &chosen, &found, NULL));
    assert_true(found && chosen == 0);
    assert_true(knapsack_solve(&item, 1, 2, 20, INFINITY, &chosen, &found, NULL));
    assert_true(found && chosen == 1);
    assert_true(knapsack_solve(&item, 1, 2, 9.99, INFINITY, &chosen, &found, NULL));
    assert_false(found);
    assert_true(knapsack_solve(&item, 1, 2, INFINITY, 0, &chosen, &found, NULL));
    assert_true(found && chosen == 1);
    assert_true(knapsack_solve(&item, 1, 2, INFINITY, 0.4, &chosen, &found, NULL));
    assert_false(found);
}

static Recipe recipe_with_fused(double fused) {
    Recipe recipe;
    assert_true(recipe_default(&recipe, NULL));
    recipe.value[DIAL_FUSED] = fused;
    recipe.value[DIAL_ACTIVATIONS] = POLICY_NONE;
    return recipe;
}

// What is told on the way only gets better, and the bar only goes forward.
typedef struct Watcher {
    Progress progress;
    double share, best_kl, best_bits;
    bool by_bits;
    int told;
} Watcher;

static void watch(void *context, const Tuned *so_far) {
    Watcher *w = context;
    const double share = (double)w->progress.done / (double)w->progress.total;
    assert_true(share >= w->share - 1e-6 && share <= 1 + 1e-6);
    w->share = share;
    if (isnan(so_far->best_kl)) {
        assert_int_equal(w->told, 0);
        return;
    }
    if (w->told++) assert_true(w->by_bits ? so_far->best_bits <= w->best_bits : so_far->best_kl <= w->best_kl);
    if (!w->by_bits) assert_true(so_far->best_kl <= so_far->first_kl);
    w->best_kl = so_far->best_kl;
    w->best_bits = so_far->best_bits;
}

static void a_budget_is_kept_and_used_well(void **state) {
    (void)state;
    StudyFixture s;
    Tuned tuned;
    Plan plan;
    Watcher watcher = {0};
    Error err = {0};
    study_open(NULL, &s);
    Recipe recipe = recipe_with_fused(0);
    TuneGoal goal = {.max_bits = 4.6, .bits = {2, 3, 4, 8}};
    if (!tune(&s.trial, &s.trial, &s.stats, &recipe, &goal, watch, &watcher, &tuned, &watcher.progress, &err))
        fail_msg("%s", err.message);
    assert_true(watcher.told > 1 && watcher.share > 0.99);
    assert_true(tuned.point.bits_per_weight <= 4.6);
    assert_true(tuned.uniform.known && tuned.uniform.bits_per_weight <= 4.6);
    assert_true(tuned.point.accuracy.kl_mean < tuned.uniform.accuracy.kl_mean);
    assert_true(fabs(tuned.difference.kl.mean - (tuned.point.accuracy.kl_mean - tuned.uniform.accuracy.kl_mean)) <
                1e-9);
    // What is reported is what the recipe gives.
    assert_true(plan_make(&tuned.recipe, &s.model.structure, &s.stats.measured, &plan, &err));
    assert_int_equal(plan.bytes, tuned.point.bytes);
    assert_true(study_kl(&s, &plan) == tuned.point.accuracy.kl_mean);
    plan_free(&plan);
    tuned_free(&tuned);
    recipe_free(&recipe);
    study_close(&s);
}

static void a_bound_is_kept_with_less_than_all_bits(void **state) {
    (void)state;
    StudyFixture s;
    Tuned tuned;
    Watcher watcher = {.by_bits = true};
    Error err = {0};
    study_open(NULL, &s);
    Recipe recipe = recipe_with_fused(0);
    Plan four = study_plan(&s, "granularity=group group-size=32 activations=none");
    TuneGoal goal = {.max_kl = study_kl(&s, &four) * 1.2, .bits = {2, 3, 4, 8}};
    if (!tune(&s.trial, &s.trial, &s.stats, &recipe, &goal, watch, &watcher, &tuned, &watcher.progress, &err))
        fail_msg("%s", err.message);
    assert_true(watcher.told > 1 && watcher.share > 0.99);
    assert_true(tuned.point.accuracy.kl_mean <= goal.max_kl);
    assert_true(tuned.uniform.known && tuned.point.bytes <= tuned.uniform.bytes);
    assert_in_range(tuned.trials, 20, 45); // bisection needed 50 to find the same
    tuned_free(&tuned);
    goal.max_kl = 1e-12;
    assert_false(tune(&s.trial, &s.trial, &s.stats, &recipe, &goal, NULL, NULL, &tuned, NULL, &err));
    assert_non_null(strstr(err.message, "the least is"));
    tuned_free(&tuned);
    plan_free(&four);
    recipe_free(&recipe);
    study_close(&s);
}

static void expect_result_is_verified(StudyFixture *s, const Tuned *tuned) {
    Error err = {0};
    Plan plan;
    assert_true(plan_make(&tuned->recipe, &s->model.structure, &s->stats.measured, &plan, &err));
    assert_true(study_kl(s, &plan) == tuned->point.accuracy.kl_mean);
    plan_free(&plan);
}

// Groups of 16 by hand, which a search does not try: 5 bits per weight.
static void the_given_recipe_is_a_candidate(void **state) {
    (void)state;
    static const struct {
        double max_bits;
        bool by_kl, stays;
        int bits;
    } cases[] = {{5, false, true, 4}, {4.9, false, false, 4}, {0, true, true, 4}, {5, false, false, 3}};
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        StudyFixture s;
        Tuned tuned;
        Error err = {0};
        study_open(NULL, &s);
        Recipe recipe = recipe_with_fused(0);
        recipe.value[DIAL_GRANULARITY] = GRANULARITY_GROUP;
        recipe.value[DIAL_GROUP_SIZE] = 16;
        Plan plan = study_plan(&s, "granularity=group group-size=16 fused-together=off activations=none");
        assert_true(fabs(plan.bits_per_weight - 5) < 1e-9);
        const double kl = study_kl(&s, &plan);
        const TuneGoal goal = {
            .max_bits = cases[c].max_bits, .max_kl = cases[c].by_kl ? kl : 0, .bits = {cases[c].bits}};
        recipe.value[DIAL_MIN_GROUP] = 32;
        const bool found = tune(&s.trial, &s.trial, &s.stats, &recipe, &goal, NULL, NULL, &tuned, NULL, &err);
        if (!found) fail_msg("case %zu: %s", c, err.message);
        assert_int_equal(tuned.stays, cases[c].stays);
        assert_int_equal(tuned.given.known, cases[c].stays);
        if (tuned.stays) assert_true(tuned.point.accuracy.kl_mean == kl && recipe_equal(&tuned.recipe, &recipe));
        if (tuned.stays && tuned.uniform.known)
            assert_true(fabs(tuned.difference.kl.mean - (kl - tuned.uniform.accuracy.kl_mean)) < 1e-9);
        expect_result_is_verified(&s, &tuned);
        plan_free(&plan);
        tuned_free(&tuned);
        recipe_free(&recipe);
        study_close(&s);
    }
}

static void fused_sets_stay_together(void **state) {
    (void)state;
    StudyFixture s;
    Tuned tuned;
    Plan plan;
    Error err = {0};
    study_open(NULL, &s);
    Recipe recipe = recipe_with_fused(1);
    TuneGoal goal = {.max_bits = 4.6, .bits = {3, 4, 8}};
    if (!tune(&s.trial, &s.trial, &s.stats, &recipe, &goal, NULL, NULL, &tuned, NULL, &err))
        fail_msg("%s", err.message);
    assert_int_equal(tuned.units, 4 * s.model.config.layers);
    assert_true(plan_make(&tuned.recipe, &s.model.structure, &s.stats.measured, &plan, &err));
    for (int i = 1; i < plan.linear_count; i++) {
        const Linear *a = &s.model.structure.linears[i - 1], *b = &s.model.structure.linears[i];
        if (a->fused_set < 0 || a->fused_set != b->fused_set) continue;
        assert_int_equal(plan.decisions[i].bits, plan.decisions[i - 1].bits);
        assert_int_equal(plan.decisions[i].group, plan.decisions[i - 1].group);
        assert_true(plan.decisions[i].bits != 2);
    }
    plan_free(&plan);
    tuned_free(&tuned);
    recipe_free(&recipe);
    study_close(&s);
}

static void expect_that_it_loads(const StudyFixture *s, const Tuned *tuned, const VerdictWish *wish) {
    Plan plan;
    Verdict verdict;
    assert_true(plan_make(&tuned->recipe, &s->model.structure, &s->stats.measured, &plan, NULL));
    assert_true(verdict_make(&s->model.structure, &s->stats.measured, &plan, wish, &verdict, NULL));
    if (verdict_has(&verdict, SEVERITY_MISREAD)) fail_msg("%s", verdict.findings[0].name);
    verdict_free(&verdict);
    plan_free(&plan);
}

// Inputs with constant scales go with 8 bits in whole channels: what else gets of bits and groups has them taken back.
static void what_an_engine_takes_is_what_it_ends_with(void **state) {
    (void)state;
    static const char *const dials[] = {"none", "static", "token"};
    for (size_t d = 0; d < sizeof dials / sizeof *dials; d++) {
        StudyFixture s;
        Tuned tuned;
        Error err = {0};
        double policy;
        study_open(NULL, &s);
        Recipe recipe = recipe_with_fused(0);
        const VerdictWish wish = {EXPORT_COMPRESSED_TENSORS, 1U << TARGET_VLLM_SM80, false};
        assert_true(dial_parse(DIAL_ACTIVATIONS, dials[d], &policy, &err));
        assert_true(recipe_override(&recipe, "*", DIAL_ACTIVATIONS, &policy, &err));
        const TuneGoal goal = {.max_bits = 5, .bits = {4, 8}, .engines = engines_of(&wish)};
        if (!tune(&s.trial, &s.trial, &s.stats, &recipe, &goal, NULL, NULL, &tuned, NULL, &err))
            fail_msg("%s", err.message);
        assert_int_equal(tuned.units, 4 * s.model.config.layers);
        assert_true(tuned.point.bits_per_weight <= 5);
        expect_that_it_loads(&s, &tuned, &wish);
        expect_result_is_verified(&s, &tuned);
        tuned_free(&tuned);
        recipe_free(&recipe);
        study_close(&s);
    }
}

static void an_engine_may_take_nothing(void **state) {
    (void)state;
    StudyFixture s;
    Tuned tuned;
    Error err = {0};
    study_open(NULL, &s);
    Recipe recipe = recipe_with_fused(0);
    const VerdictWish wish = {EXPORT_COMPRESSED_TENSORS, 1U << TARGET_VLLM_CPU, false};
    const TuneGoal goal = {.max_bits = 9, .bits = {8}, .engines = engines_of(&wish)};
    assert_false(tune(&s.trial, &s.trial, &s.stats, &recipe, &goal, NULL, NULL, &tuned, NULL, &err));
    assert_non_null(strstr(err.message, "takes none of the bits and groups"));
    tuned_free(&tuned);
    recipe_free(&recipe);
    study_close(&s);
}

// Linears that are kept have what the recipe gives them, count within the budget, and those that must agree with them
// do; the rule that says so stays, and none is left without effect.
static void what_is_kept_stays(void **state) {
    (void)state;
    StudyFixture s;
    Tuned tuned;
    Plan plan;
    Error err = {0};
    NameTable names;
    bool *kept, overruled[64];
    const double eight = 8, two = 2;
    study_open(NULL, &s);
    const ModelStructure *structure = &s.model.structure;
    const int linears = structure->linear_count;
    Recipe recipe = recipe_with_fused(1);
    assert_true(recipe_override(&recipe, "*.up_proj", DIAL_BITS, &two, &err));
    recipe.overrides[0].tuned = true; // may go
    assert_true(recipe_override(&recipe, "*.layers.1.*.down_proj", DIAL_BITS, &eight, &err));
    assert_true(recipe_override(&recipe, "*.layers.0.*.k_proj", DIAL_BITS, &eight, &err));
    assert_true(name_table_new(structure, &names));
    assert_non_null(kept = calloc((size_t)linears, sizeof *kept));
    assert_true(recipe_held(&recipe, &names, kept, &err));
    TuneGoal goal = {.max_bits = 5.5, .bits = {3, 4}, .kept = kept};
    if (!tune(&s.trial, &s.trial, &s.stats, &recipe, &goal, NULL, NULL, &tuned, NULL, &err))
        fail_msg("%s", err.message);
    assert_int_equal(tuned.kept, 4); // down, and q, k, v, which are fused
    assert_true(tuned.point.bits_per_weight <= 5.5 && tuned.uniform.bits_per_weight <= 5.5);
    assert_true(plan_make(&tuned.recipe, structure, &s.stats.measured, &plan, &err));
    for (int i = 0; i < linears; i++) {
        const Linear *l = &structure->linears[i];
        const bool at_eight = l->layer == 0 ? l->role <= ROLE_V : l->role == ROLE_DOWN;
        if ((plan.decisions[i].bits == 8) != at_eight) fail_msg("%s has %d bits", l->name, plan.decisions[i].bits);
    }
    assert_in_range(tuned.recipe.override_count, 1, 64);
    assert_true(recipe_overruled(&tuned.recipe, &names, overruled, &err));
    int by_hand = 0;
    for (int i = 0; i < tuned.recipe.override_count; i++) {
        if (overruled[i]) fail_msg("%s has no effect", tuned.recipe.overrides[i].match);
        by_hand += !tuned.recipe.overrides[i].tuned;
    }
    assert_int_equal(by_hand, 2);
    plan_free(&plan);
    tuned_free(&tuned);
    for (int i = 0; i < linears; i++) kept[i] = true;
    assert_false(tune(&s.trial, &s.trial, &s.stats, &recipe, &goal, NULL, NULL, &tuned, NULL, &err));
    assert_non_null(strstr(err.message, "nothing to tune"));
    assert_non_null(strstr(err.message, "--keep none"));
    tuned_free(&tuned);
    name_table_free(&names);
    free(kept);
    recipe_free(&recipe);
    study_close(&s);
}

// Engines come before what is kept, and that is told.
static void what_is_kept_gives_way_to_an_engine(void **state) {
    (void)state;
    for (int three = 0; three < 2; three++) {
        StudyFixture s;
        Tuned tuned;
        Error err = {0};
        study_open(NULL, &s);
        Recipe recipe = recipe_with_fused(0);
        const ModelStructure *structure = &s.model.structure;
        const double bits = three ? 3 : 8;
        const VerdictWish wish = {EXPORT_COMPRESSED_TENSORS, 1U << TARGET_VLLM_SM80, false};
        bool *kept = calloc((size_t)structure->linear_count, sizeof *kept);
        int q = 0;
        while (structure->linears[q].role != ROLE_Q) q++;
        assert_non_null(kept);
        kept[q] = true;
        assert_true(recipe_override(&recipe, structure->linears[q].name, DIAL_BITS, &bits, &err));
        const TuneGoal goal = {.max_bits = 6, .bits = {4, 8}, .engines = engines_of(&wish), .kept = kept};
        if (!tune(&s.trial, &s.trial, &s.stats, &recipe, &goal, NULL, NULL, &tuned, NULL, &err))
            fail_msg("%s", err.message);
        assert_int_equal(tuned.kept, 3); // with k and v, which are stored as one with it
        assert_int_equal(tuned.kept_mended, three ? 3 : 0);
        assert_int_equal((int)recipe_value(&tuned.recipe, DIAL_BITS, structure->linears[q].name), three ? 4 : 8);
        expect_that_it_loads(&s, &tuned, &wish);
        expect_result_is_verified(&s, &tuned);
        tuned_free(&tuned);
        recipe_free(&recipe);
        free(kept);
        study_close(&s);
    }
}

static void goals_out_of_reach_say_what_is_in_reach(void **state) {
    (void)state;
    StudyFixture s;
    Tuned tuned;
    Error err = {0};
    study_open(NULL, &s);
    Recipe recipe = recipe_with_fused(0);
    TuneGoal goal = {.max_bits = 2.5, .bits = {4, 8}};
    assert_false(tune(&s.trial, &s.trial, &s.stats, &recipe, &goal, NULL, NULL, &tuned, NULL, &err));
    assert_non_null(strstr(err.message, "the least is 4."));
    tuned_free(&tuned);
    assert_int_equal(tuned.trials, 0); // before anything is measured
    assert_null(strstr(err.message, "no fewer than"));
    tuned_free(&tuned);
    const VerdictWish wish = {EXPORT_COMPRESSED_TENSORS, 1U << TARGET_VLLM_SM80, false};
    goal = (TuneGoal){.max_bits = 3.5, .bits = {2, 3, 4, 8}, .engines = engines_of(&wish)};
    assert_false(tune(&s.trial, &s.trial, &s.stats, &recipe, &goal, NULL, NULL, &tuned, NULL, &err));
    assert_non_null(strstr(err.message, "the least is 4."));
    if (!strstr(err.message, "; for vllm-sm80 no fewer than 4 bits")) fail_msg("%s", err.message);
    tuned_free(&tuned);
    goal = (TuneGoal){.max_bits = 5, .bits = {4, 8}};
    Progress progress = {0};
    progress_request_stop(&progress);
    assert_false(tune(&s.trial, &s.trial, &s.stats, &recipe, &goal, NULL, NULL, &tuned, &progress, &err));
    assert_true(err.stopped);
    tuned_free(&tuned);
    recipe_free(&recipe);
    study_close(&s);
}

// Early rejection must not lose the best one.
static void the_uniform_recipe_is_the_best_there_is(void **state) {
    (void)state;
    static const char *const settings[] = {"weight-bits=3 granularity=channel", "weight-bits=3 group-size=32",
                                           "weight-bits=3 group-size=16",       "weight-bits=4 granularity=channel",
                                           "weight-bits=4 group-size=32",       "weight-bits=4 group-size=16"};
    StudyFixture s;
    Tuned tuned;
    Error err = {0};
    double least = INFINITY;
    study_open(NULL, &s);
    Recipe recipe = recipe_with_fused(0);
    TuneGoal goal = {.max_bits = 4.6, .bits = {3, 4}};
    for (size_t i = 0; i < sizeof settings / sizeof *settings; i++) {
        char dials[96];
        snprintf(dials, sizeof dials, "%s%s activations=none", strstr(settings[i], "size") ? "granularity=group " : "",
                 settings[i]);
        Plan plan = study_plan(&s, dials);
        if (plan.bits_per_weight <= goal.max_bits) least = fmin(least, study_kl(&s, &plan));
        plan_free(&plan);
    }
    if (!tune(&s.trial, &s.trial, &s.stats, &recipe, &goal, NULL, NULL, &tuned, NULL, &err))
        fail_msg("%s", err.message);
    assert_true(tuned.uniform.accuracy.kl_mean == least);
    tuned_free(&tuned);
    recipe_free(&recipe);
    study_close(&s);
}

typedef struct Stopper {
    Progress progress;
    int after; // evaluations
    double best_kl;
} Stopper;

static void stop_after(void *context, const Tuned *so_far) {
    Stopper *stopper = context;
    stopper->best_kl = so_far->best_kl;
    if (so_far->trials == stopper->after) progress_request_stop(&stopper->progress);
}

static void what_is_stopped_gives_the_best_so_far(void **state) {
    (void)state;
    StudyFixture s;
    Tuned tuned;
    Error err = {0};
    study_open(NULL, &s);
    Recipe recipe = recipe_with_fused(0);
    recipe.value[DIAL_BITS] = 8; // no candidate
    TuneGoal goal = {.max_bits = 4.6, .bits = {3, 4}};
    // Before the first recipe there is nothing to give.
    Stopper stopper = {.after = 1};
    assert_false(
        tune(&s.trial, &s.trial, &s.stats, &recipe, &goal, stop_after, &stopper, &tuned, &stopper.progress, &err));
    assert_true(err.stopped);
    tuned_free(&tuned);
    stopper = (Stopper){.after = 20};
    err = (Error){0};
    if (!tune(&s.trial, &s.trial, &s.stats, &recipe, &goal, stop_after, &stopper, &tuned, &stopper.progress, &err))
        fail_msg("%s", err.message);
    assert_int_equal(tuned.cut, TUNE_STOPPED);
    assert_false(progress_should_stop(&stopper.progress));
    assert_int_equal(tuned.trials, 21); // and one to verify it
    assert_true(tuned.point.accuracy.kl_mean == stopper.best_kl);
    expect_result_is_verified(&s, &tuned);
    tuned_free(&tuned);
    recipe_free(&recipe);
    study_close(&s);
}

static void the_time_is_kept(void **state) {
    (void)state;
    StudyFixture s;
    Tuned tuned;
    Error err = {0};
    study_open(NULL, &s);
    Recipe recipe = recipe_with_fused(0);
    recipe.value[DIAL_BITS] = 8; // no candidate
    TuneGoal goal = {.max_bits = 4.6, .bits = {3, 4}, .seconds = 1e-6};
    if (!tune(&s.trial, &s.trial, &s.stats, &recipe, &goal, NULL, NULL, &tuned, NULL, &err))
        fail_msg("%s", err.message);
    assert_int_equal(tuned.cut, TUNE_OUT_OF_TIME);
    assert_true(tuned.uniform.known && tuned.difference.kl.mean == 0);
    assert_true(isnan(tuned.expected_kl));
    expect_result_is_verified(&s, &tuned);
    tuned_free(&tuned);
    // No uniform recipe is within this bound.
    goal = (TuneGoal){.max_kl = 1e-12, .bits = {3}, .seconds = 1e-6};
    assert_false(tune(&s.trial, &s.trial, &s.stats, &recipe, &goal, NULL, NULL, &tuned, NULL, &err));
    assert_non_null(strstr(err.message, "the time was over"));
    assert_false(err.stopped);
    tuned_free(&tuned);
    recipe_free(&recipe);
    study_close(&s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(knapsack_finds_what_trying_all_finds),
        cmocka_unit_test(knapsack_at_its_ends),
        cmocka_unit_test(a_budget_is_kept_and_used_well),
        cmocka_unit_test(a_bound_is_kept_with_less_than_all_bits),
        cmocka_unit_test(the_given_recipe_is_a_candidate),
        cmocka_unit_test(fused_sets_stay_together),
        cmocka_unit_test(what_an_engine_takes_is_what_it_ends_with),
        cmocka_unit_test(an_engine_may_take_nothing),
        cmocka_unit_test(what_is_kept_stays),
        cmocka_unit_test(what_is_kept_gives_way_to_an_engine),
        cmocka_unit_test(the_uniform_recipe_is_the_best_there_is),
        cmocka_unit_test(what_is_stopped_gives_the_best_so_far),
        cmocka_unit_test(the_time_is_kept),
        cmocka_unit_test(goals_out_of_reach_say_what_is_in_reach),
    };
    return cmocka_run_group_tests_name("tune", tests, NULL, NULL);
}
