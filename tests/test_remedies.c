// What mends a linear, against the error that it has when the recipe is really changed so.
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "analysis/methods.h"
#include "analysis/remedies.h"
#include "tests/support/study.h"

static StudyFixture s;

static int open_study(void **state) {
    (void)state;
    study_open(NULL, &s);
    return 0;
}

static int close_study(void **state) {
    (void)state;
    study_close(&s);
    return 0;
}

static void must(bool ok, const Error *err) {
    if (!ok) fail_msg("%s", err->message);
}

static double db_by(const Recipe *recipe, int linear, Plan *plan, Why *why) {
    Error err = {0};
    must(plan_make(recipe, &s.model.structure, &s.stats.measured, plan, &err), &err);
    must(why_planned(&s.model.structure, &s.stats, plan, linear, why, &err), &err);
    return why_db(why);
}

static void recipe_with(const char *dials, Recipe *out) {
    Error err = {0};
    must(recipe_default(out, &err), &err);
    must(recipe_turn(out, dials, &err), &err);
}

static Remedies remedies_of(const Recipe *recipe, int linear) {
    Error err = {0};
    Plan plan;
    Why why;
    Remedies remedies;
    db_by(recipe, linear, &plan, &why);
    must(remedies_find(&s.model.structure, &s.stats, recipe, &plan, linear, &why, &remedies, &err), &err);
    plan_free(&plan);
    return remedies;
}

// Whatever it brings is enough.
static Remedies tried(const Recipe *recipe, int linear, RemedyKind kind) {
    Error err = {0};
    Plan plan;
    Remedies remedies = {.db = -1000};
    must(plan_make(recipe, &s.model.structure, &s.stats.measured, &plan, &err), &err);
    must(remedies_try(&s.model.structure, &s.stats, recipe, &plan, linear, kind, &remedies, &err), &err);
    plan_free(&plan);
    return remedies;
}

static const Remedy *find(const Remedies *remedies, RemedyKind kind) {
    for (int i = 0; i < remedies->count; i++) {
        if (remedies->list[i].kind == kind) return &remedies->list[i];
    }
    return NULL;
}

static int linear_of(LinearRole role) {
    int i = 0;
    while (s.model.structure.linears[i].role != role) i++;
    return i;
}

// Whoever does what is said gets the figure that was told.
static void a_remedy_does_what_it_says(void **state) {
    (void)state;
    int told = 0;
    for (int i = 0; i < s.model.structure.linear_count; i++) {
        Recipe recipe;
        if (s.model.structure.linears[i].role == ROLE_HEAD) break;
        recipe_with("weight-bits=3 granularity=channel activations=static", &recipe);
        const Remedies remedies = remedies_of(&recipe, i);
        assert_true(remedies.known);
        for (int r = 0; r < remedies.count; r++) {
            Error err = {0};
            Plan plan;
            Why why;
            recipe_free(&recipe);
            recipe_with("weight-bits=3 granularity=channel activations=static", &recipe);
            must(recipe_turn(&recipe, remedies.list[r].dials, &err), &err); // for all: it holds for this one, too
            const double db = db_by(&recipe, i, &plan, &why);
            // Factors that the next linear puts into its rows are the one thing that a change for all may add.
            if (remedies.list[r].kind != REMEDY_SMOOTH && fabs(db - remedies.list[r].db) > 1e-6)
                fail_msg("linear %d, %s: %g dB, not %g", i, remedies.list[r].dials, db, remedies.list[r].db);
            assert_true(remedies.list[r].gain >= REMEDY_GAIN_LEAST);
            assert_true(fabs(remedies.list[r].db - remedies.db - remedies.list[r].gain) < 1e-9);
            plan_free(&plan);
            told++;
        }
        recipe_free(&recipe);
    }
    assert_true(told > 10);
}

static void what_a_recipe_cannot_give_is_not_told(void **state) {
    (void)state;
    Recipe recipe;
    const int down = linear_of(ROLE_DOWN);
    recipe_with("weight-bits=8 granularity=group group-size=16 activations=none", &recipe);
    Remedies remedies = remedies_of(&recipe, down);
    assert_int_equal(remedies.count, 0); // the ends of all dials
    recipe_free(&recipe);
    recipe_with("weight-bits=2 granularity=adaptive min-group=32 max-group=32 activations=token", &recipe);
    remedies = remedies_of(&recipe, down);
    assert_int_equal(tried(&recipe, down, REMEDY_GROUP).count, 0); // the floor
    assert_int_equal(tried(&recipe, down, REMEDY_TOKEN).count, 0); // it has that
    const Remedy *bits = find(&remedies, REMEDY_BITS);
    assert_non_null(bits);
    assert_string_equal(bits->dials, "weight-bits=3");
    assert_true(bits->bits_per_weight > 0.9);
    recipe_free(&recipe);
    recipe_with("weight-bits=2 granularity=adaptive alpha=1 min-group=16 max-group=32 activations=token", &recipe);
    remedies = tried(&recipe, linear_of(ROLE_O), REMEDY_GROUP); // has groups of 32 by the noise
    assert_int_equal(remedies.count, 1);
    assert_string_equal(remedies.list[0].dials, "max-group=16");
    recipe_free(&recipe);
}

// Factors that have nowhere to go are no remedy: the policy would leave the linear with what it has.
static void smoothquant_is_told_only_where_it_can_be_folded(void **state) {
    (void)state;
    Recipe recipe;
    const int down = linear_of(ROLE_DOWN);
    Linear *linear = &s.model.structure.linears[down];
    const FoldKind fold = linear->fold;
    recipe_with("weight-bits=8 granularity=group group-size=16 activations=static", &recipe);
    for (int foldable = 0; foldable < 2; foldable++) {
        linear->fold = foldable ? fold : FOLD_NONE;
        const Remedies smooth = tried(&recipe, down, REMEDY_SMOOTH);
        assert_int_equal(smooth.count, foldable);
        if (foldable) assert_string_equal(smooth.list[0].dials, "activations=smoothquant fold=all");
    }
    recipe_free(&recipe);
}

// Of the whole model, to the byte.
static void what_a_remedy_costs_is_the_size_of_the_plan(void **state) {
    (void)state;
    Error err = {0};
    Recipe recipe, changed;
    Plan before, after;
    Why why;
    const int linear = linear_of(ROLE_DOWN);
    const double bits = 8;
    recipe_with("weight-bits=4 granularity=channel activations=static", &recipe);
    must(recipe_copy(&recipe, &changed, &err), &err);
    must(recipe_override(&changed, s.model.structure.linears[linear].name, DIAL_BITS, &bits, &err), &err);
    db_by(&recipe, linear, &before, &why);
    db_by(&changed, linear, &after, &why);
    const Remedies remedies = tried(&recipe, linear, REMEDY_BITS);
    assert_int_equal(remedies.count, 1);
    assert_true(after.bytes > before.bytes);
    assert_true(remedies.list[0].bytes == (double)after.bytes - (double)before.bytes);
    plan_free(&before);
    plan_free(&after);
    recipe_free(&recipe);
    recipe_free(&changed);
}

// 0: costs nothing; 1: no room, but products of integers; 2: room.
static int kind_of_cost(const Remedy *remedy) { return remedy->bytes > 0 ? 2 : remedy->kind == REMEDY_INPUT; }

static double noise_for_a_byte(const Remedies *remedies, int i) {
    const double now = pow(10, -remedies->db / 10), then = pow(10, -remedies->list[i].db / 10);
    return (now - then) / remedies->list[i].bytes;
}

static void the_best_comes_first(void **state) {
    (void)state;
    static const char *const recipes[] = {"weight-bits=3 granularity=channel activations=static",
                                          "weight-bits=2 granularity=group group-size=64 activations=token",
                                          "weight-bits=4 granularity=tensor activations=fptq v0=0.1 v1=1000",
                                          "weight-bits=8 granularity=channel activations=static"};
    int pairs[3] = {0}, bits_after_a_free_one = 0;
    for (size_t k = 0; k < sizeof recipes / sizeof *recipes; k++) {
        Recipe recipe;
        recipe_with(recipes[k], &recipe);
        for (int linear = 0; s.model.structure.linears[linear].role != ROLE_HEAD; linear++) {
            const Remedies remedies = remedies_of(&recipe, linear);
            for (int i = 1; i < remedies.count; i++) {
                const Remedy *a = &remedies.list[i - 1], *b = &remedies.list[i];
                const int cost = kind_of_cost(b);
                assert_true(kind_of_cost(a) <= cost);
                bits_after_a_free_one += b->kind == REMEDY_BITS && remedy_is_free(&remedies.list[0]);
                if (kind_of_cost(a) != cost) continue;
                pairs[cost]++;
                assert_true(cost == 2 ? noise_for_a_byte(&remedies, i - 1) >= noise_for_a_byte(&remedies, i)
                                      : a->gain >= b->gain);
            }
        }
        recipe_free(&recipe);
    }
    assert_true(pairs[0] && pairs[2] && bits_after_a_free_one);
}

// Giving up products of integers is no advice where as much is to be had for nothing: here one token of many reached
// far, for which a scale per token is enough.
static void nothing_is_given_up_for_nothing(void **state) {
    (void)state;
    const int linear = linear_of(ROLE_DOWN);
    InputMeasure *input = &s.stats.measured.inputs[s.model.structure.linears[linear].input];
    const float range = input->range;
    Recipe recipe;
    recipe_with("weight-bits=4 granularity=channel activations=static", &recipe);
    input->range = 20 * range;
    const Remedies all = remedies_of(&recipe, linear), alone = tried(&recipe, linear, REMEDY_INPUT);
    input->range = range;
    assert_int_equal(all.list[0].kind, REMEDY_TOKEN);
    assert_true(alone.list[0].db > all.db + 6 && alone.list[0].db < all.list[0].db + REMEDY_GAIN_LEAST);
    assert_null(find(&all, REMEDY_INPUT));
    recipe_free(&recipe);
}

static void remedies_are_told_in_words(void **state) {
    (void)state;
    char text[320];
    remedies_text(&(Remedies){.db = 43.58}, text, sizeof text);
    assert_string_equal(text, "nothing needed: 43.6 dB");
    remedies_text(&(Remedies){.db = 20}, text, sizeof text);
    assert_string_equal(text, "no dial helps here");
    remedies_text(
        &(Remedies){.db = 20,
                    .count = 2,
                    .list = {{.text = "policy token", .db = 22.1}, {.text = "8 bits", .db = 24.8, .bytes = 9}}},
        text, sizeof text);
    assert_string_equal(text, "mends it: policy token 22.1 dB (same size) or 8 bits 24.8 dB");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_remedy_does_what_it_says),
        cmocka_unit_test(what_a_recipe_cannot_give_is_not_told),
        cmocka_unit_test(smoothquant_is_told_only_where_it_can_be_folded),
        cmocka_unit_test(what_a_remedy_costs_is_the_size_of_the_plan),
        cmocka_unit_test(the_best_comes_first),
        cmocka_unit_test(nothing_is_given_up_for_nothing),
        cmocka_unit_test(remedies_are_told_in_words),
    };
    return cmocka_run_group_tests_name("remedies", tests, open_study, close_study);
}
