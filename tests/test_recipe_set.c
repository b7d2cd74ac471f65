// Rules of a recipe for sets of linears: short where they can be, and exact always.
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/array.h"
#include "base/random.h"
#include "quant/carry.h"
#include "quant/recipe_set.h"

enum { LAYERS = 30, EXPERTS = 12, PER_LAYER = 3 + EXPERTS, LINEARS = LAYERS * PER_LAYER + 1 };

static char names[LINEARS][80];
static Linear linears[LINEARS];
static ModelStructure structure = {.linears = linears, .linear_count = LINEARS};
static LinearIndex names_index;
static bool set[LINEARS];

static int build(void **state) {
    (void)state;
    for (int i = 0; i < LINEARS; i++) {
        const int layer = i / PER_LAYER, place = i % PER_LAYER;
        if (i == LINEARS - 1)
            snprintf(names[i], sizeof *names, "lm_head");
        else if (place < 3)
            snprintf(names[i], sizeof *names, "model.layers.%d.%s", layer,
                     place == 0   ? "self_attn.q_proj"
                     : place == 1 ? "self_attn.o_proj"
                                  : "mlp.gate");
        else
            snprintf(names[i], sizeof *names, "model.layers.%d.mlp.experts.%d.down_proj", layer, place - 3);
        linears[i].name = names[i];
        linears[i].quantizable = true;
    }
    return linear_index_new(&structure, &names_index, NULL) ? 0 : -1;
}

static int drop(void **state) {
    (void)state;
    linear_index_free(&names_index);
    return 0;
}

static void choose(const char *const *globs) {
    int matched[LINEARS];
    memset(set, 0, sizeof set);
    for (; *globs; globs++) {
        const int count = name_table_match(&names_index.table, *globs, matched);
        for (int i = 0; i < count; i++) set[matched[i]] = true;
    }
}

#define CHOOSE(...) choose((const char *const[]){__VA_ARGS__, NULL})

static void assert_globs(const char *expected) {
    Globs globs;
    char text[4096] = "";
    assert_true(linear_index_globs(&names_index, set, &globs, NULL));
    for (size_t i = 0; i < globs.count; i++)
        snprintf(text + strlen(text), sizeof text - strlen(text), "%s%s", i ? " " : "", globs.texts[i]);
    globs_free(&globs);
    assert_string_equal(text, expected);
}

static void a_set_is_named_by_few_short_globs(void **state) {
    (void)state;
    CHOOSE("model.layers.7.self_attn.q_proj");
    assert_globs("model.layers.7.self_attn.q_proj");
    CHOOSE("*");
    assert_globs("*");
    CHOOSE("model.layers.*.self_attn.q_proj");
    assert_globs("model.layers.*.self_attn.q_proj");
    CHOOSE("model.layers.3.*");
    assert_globs("model.layers.3.*");
    CHOOSE("*_proj");
    assert_globs("model.layers.*_proj");
    CHOOSE("model.layers.1[5-9].self_attn.q_proj", "model.layers.2?.self_attn.q_proj");
    assert_globs("model.layers.1[5-9].self_attn.q_proj model.layers.2[0-9].self_attn.q_proj");
    CHOOSE("model.layers.[0-9].self_attn.o_proj", "model.layers.1[0-4].self_attn.o_proj");
    assert_globs("model.layers.[0-9].self_attn.o_proj model.layers.1[0-4].self_attn.o_proj");
    CHOOSE("model.layers.[0135].self_attn.q_proj");
    assert_globs("model.layers.[0135].self_attn.q_proj");
    CHOOSE("model.layers.4.mlp.experts.*");
    assert_globs("model.layers.4.mlp.experts.*");
    CHOOSE("model.layers.[48].mlp.experts.*");
    assert_globs("model.layers.[48].mlp.experts.*.down_proj");
    CHOOSE("model.layers.*.mlp.experts.5.down_proj", "model.layers.*.mlp.experts.11.down_proj");
    assert_globs("model.layers.*.mlp.experts.5.down_proj model.layers.*.mlp.experts.11.down_proj");
    CHOOSE("lm_head", "model.layers.2.mlp.gate");
    assert_globs("model.layers.2.mlp.gate lm_head"); // in the order of the model
}

static void assert_covers(void) {
    Globs globs;
    int matched[LINEARS];
    bool covered[LINEARS] = {false};
    assert_true(linear_index_globs(&names_index, set, &globs, NULL));
    for (size_t i = 0; i < globs.count; i++) {
        const int count = name_table_match(&names_index.table, globs.texts[i], matched);
        if (count == 0) fail_msg("%s matches nothing", globs.texts[i]);
        for (int j = 0; j < count; j++) covered[matched[j]] = true;
    }
    assert_memory_equal(covered, set, sizeof set);
    globs_free(&globs);
}

static void whatever_the_set_it_is_matched_exactly(void **state) {
    (void)state;
    Random random = random_seeded(3);
    for (int round = 0; round < 60; round++) {
        const uint32_t odds = 1 + random_below(&random, 12);
        for (int i = 0; i < LINEARS; i++) set[i] = random_below(&random, odds) == 0;
        assert_covers();
    }
}

// A * that would match the names of others, too, is none.
static void names_that_a_glob_would_confuse_are_kept_apart(void **state) {
    (void)state;
    char odd[][16] = {"a.0.b", "a.1.b", "a.2.b", "a.x.y.b", "c[0].0", "c[0].1", "d.00.e", "d.01.e", "d.1.e"};
    enum { ODD = 9 };
    Linear few[ODD] = {0};
    bool chosen[ODD] = {true, true, true, false, true, true, true, false, false};
    ModelStructure small = {.linears = few, .linear_count = ODD};
    LinearIndex index;
    Globs globs;
    int matched[ODD];
    bool covered[ODD] = {false};
    for (int i = 0; i < ODD; i++) few[i].name = odd[i];
    assert_true(linear_index_new(&small, &index, NULL));
    assert_true(linear_index_globs(&index, chosen, &globs, NULL));
    for (size_t i = 0; i < globs.count; i++) {
        const int count = name_table_match(&index.table, globs.texts[i], matched);
        for (int j = 0; j < count; j++) covered[matched[j]] = true;
    }
    assert_memory_equal(covered, chosen, sizeof covered);
    globs_free(&globs);
    linear_index_free(&index);
}

// ---- recipes ------------------------------------------------------------------------------------------------------

static LinearSet chosen(void) {
    int chosen_linears[LINEARS], count = 0;
    LinearSet out;
    for (int i = 0; i < LINEARS; i++) {
        if (set[i]) chosen_linears[count++] = i;
    }
    assert_true(linear_set_new(&names_index, chosen_linears, count, &out, NULL));
    return out;
}

// value NULL: takes it from them.
static void change_dial(Recipe *recipe, Dial dial, const double *value) {
    LinearSet linear_set = chosen();
    assert_true(recipe_override_set(recipe, &linear_set, dial, value, NULL));
    linear_set_free(&linear_set);
}

static void set_dial(Recipe *recipe, Dial dial, double value) { change_dial(recipe, dial, &value); }

static void clear_dial(Recipe *recipe, Dial dial) { change_dial(recipe, dial, NULL); }

static void leave_alone(Recipe *recipe, bool ignore) {
    LinearSet linear_set = chosen();
    assert_true(recipe_ignore_set(recipe, &linear_set, ignore, NULL));
    linear_set_free(&linear_set);
}

static void a_set_is_one_readable_rule(void **state) {
    (void)state;
    Recipe recipe;
    assert_true(recipe_default(&recipe, NULL));
    CHOOSE("model.layers.3.self_attn.q_proj");
    set_dial(&recipe, DIAL_BITS, 3);
    CHOOSE("model.layers.4.self_attn.q_proj");
    set_dial(&recipe, DIAL_BITS, 2);
    set_dial(&recipe, DIAL_ALPHA, 0.1);
    assert_int_equal(recipe.override_count, 2);
    CHOOSE("model.layers.*.self_attn.q_proj");
    set_dial(&recipe, DIAL_BITS, 8); // of the two before only alpha is left
    assert_int_equal(recipe.override_count, 2);
    assert_string_equal(recipe.overrides[0].match, "model.layers.4.self_attn.q_proj");
    assert_false(recipe.overrides[0].set[DIAL_BITS]);
    assert_string_equal(recipe.overrides[1].match, "model.layers.*.self_attn.q_proj");
    for (int layer = 0; layer < LAYERS; layer++)
        assert_true(recipe_value(&recipe, DIAL_BITS, names[layer * PER_LAYER]) == 8);
    set_dial(&recipe, DIAL_BITS, 4);
    assert_int_equal(recipe.override_count, 2);
    recipe_free(&recipe);
}

// Of a rule for several the others keep what it says.
static void what_is_taken_from_some_stays_for_the_others(void **state) {
    (void)state;
    Recipe recipe;
    const double value = 8;
    assert_true(recipe_default(&recipe, NULL));
    assert_true(recipe_override(&recipe, "*_proj", DIAL_BITS, &value, NULL));
    assert_true(recipe_override(&recipe, "*.q_proj", DIAL_ALPHA, &value, NULL));
    CHOOSE("model.layers.1?.self_attn.q_proj");
    clear_dial(&recipe, DIAL_BITS);
    for (int i = 0; i < LINEARS; i++) {
        const bool has = strstr(names[i], "_proj") && !set[i];
        if ((recipe_value(&recipe, DIAL_BITS, names[i]) == 8) != has) fail_msg("%s", names[i]);
    }
    assert_string_equal(recipe.overrides[recipe.override_count - 1].match, "*.q_proj"); // still the last
    CHOOSE("*");
    clear_dial(&recipe, DIAL_BITS);
    clear_dial(&recipe, DIAL_ALPHA);
    assert_int_equal(recipe.override_count, 0);
    recipe_free(&recipe);
}

static void what_a_person_gave_is_held_and_what_is_overruled_is_told(void **state) {
    (void)state;
    Recipe recipe;
    const double eight = 8, half = 0.5;
    bool held[LINEARS], overruled[4];
    assert_true(recipe_default(&recipe, NULL));
    assert_true(recipe_override(&recipe, "*.q_proj", DIAL_BITS, &eight, NULL));
    assert_true(recipe_override(&recipe, "*_proj", DIAL_ALPHA, &half, NULL)); // neither bits nor groups
    Override *searched = recipe_add_override(&recipe, "model.layers.3.*", NULL);
    searched->tuned = searched->set[DIAL_BITS] = true;
    searched->value[DIAL_BITS] = 3;
    assert_true(recipe_held(&recipe, &names_index.table, held, NULL));
    for (int i = 0; i < LINEARS; i++) {
        const bool by_hand = strstr(names[i], ".q_proj") && !strstr(names[i], "layers.3.");
        if (held[i] != by_hand) fail_msg("%s", names[i]);
    }
    assert_true(recipe_overruled(&recipe, &names_index.table, overruled, NULL));
    assert_false(overruled[0] || overruled[1] || overruled[2]);
    Override *all = recipe_add_override(&recipe, "*", NULL);
    all->set[DIAL_BITS] = true;
    all->value[DIAL_BITS] = 2;
    assert_true(recipe_overruled(&recipe, &names_index.table, overruled, NULL));
    assert_true(overruled[0] && !overruled[1] && overruled[2] && !overruled[3]);
    assert_true(recipe_ignore(&recipe, "*", NULL));
    assert_true(recipe_overruled(&recipe, &names_index.table, overruled, NULL));
    assert_true(overruled[1] && overruled[3]);
    recipe_free(&recipe);
}

static void linears_are_left_alone_and_taken_back(void **state) {
    (void)state;
    Recipe recipe;
    assert_true(recipe_default(&recipe, NULL));
    CHOOSE("model.layers.3.self_attn.q_proj");
    leave_alone(&recipe, true);
    CHOOSE("model.layers.*.self_attn.q_proj");
    leave_alone(&recipe, true);
    assert_int_equal(recipe.ignore_count, 2);
    assert_string_equal(recipe.ignore[1], "model.layers.*.self_attn.q_proj");
    CHOOSE("model.layers.3.self_attn.q_proj");
    leave_alone(&recipe, false);
    for (int layer = 0; layer < LAYERS; layer++)
        assert_int_equal(recipe_ignores(&recipe, names[layer * PER_LAYER]), layer != 3);
    CHOOSE("*");
    leave_alone(&recipe, false);
    assert_int_equal(recipe.ignore_count, 0);
    recipe_free(&recipe);
}

// Whatever is set and taken in whatever order: each linear has what was last said of it.
static void random_turns_hold_for_their_linears_alone(void **state) {
    (void)state;
    static const Dial dials[] = {DIAL_BITS, DIAL_ALPHA, DIAL_V0};
    Random random = random_seeded(5);
    Recipe recipe;
    double(*settings)[DIAL_COUNT] = array_new(LINEARS, sizeof *settings),
    (*wanted)[DIAL_COUNT] = array_new(LINEARS, sizeof *wanted);
    assert_true(recipe_default(&recipe, NULL));
    for (int i = 0; i < LINEARS; i++) memcpy(wanted[i], recipe.value, sizeof *wanted);
    for (int turn = 0; turn < 40; turn++) {
        const Dial dial = dials[random_below(&random, 3)];
        const bool takes = random_below(&random, 4) == 0;
        const double value = 2 + random_below(&random, 7);
        const uint32_t from = random_below(&random, LINEARS), odds = 1 + random_below(&random, 3);
        for (int i = 0; i < LINEARS; i++) {
            set[i] = i >= (int)from && i < (int)from + 60 && random_below(&random, odds) == 0;
            if (set[i]) wanted[i][dial] = takes ? recipe.value[dial] : value;
        }
        change_dial(&recipe, dial, takes ? NULL : &value);
        assert_true(recipe_settings(&recipe, &names_index.table, settings, NULL));
        for (int i = 0; i < LINEARS; i++) {
            for (int d = 0; d < 3; d++)
                if (settings[i][dials[d]] != wanted[i][dials[d]]) fail_msg("turn %d: %s", turn, names[i]);
        }
    }
    free(settings);
    free(wanted);
    recipe_free(&recipe);
}

// ---- carrying changes over ----

// What a search found: of the recipe that it began from, all but what was set by hand has other bits.
static void begin_and_find(Recipe *began, Recipe *found) {
    static const char *const searched[] = {"*.q_proj", "*.gate", "*.down_proj"};
    const double eight = 8;
    assert_true(recipe_default(began, NULL) && recipe_override(began, "*.o_proj", DIAL_BITS, &eight, NULL));
    assert_true(recipe_copy(began, found, NULL));
    for (int i = 0; i < 3; i++) {
        Override *override = recipe_add_override(found, searched[i], NULL);
        override->tuned = override->set[DIAL_BITS] = override->set[DIAL_GROUP_SIZE] = true;
        override->value[DIAL_BITS] = i == 0 ? 3 : 2;
        override->value[DIAL_GROUP_SIZE] = 64;
    }
}

typedef struct Kind {
    const char *match; // NULL: the dial for all
    int dial;          // −1: left alone
    double value;      // NAN: taken back
    const char *at;    // a linear, and what its bits and the dial are then
    double bits, is;
} Kind;

#define LAYER_0 "model.layers.0."
#define LAYER_1 "model.layers.1."

static void change(Recipe *recipe, const Kind *k) {
    if (k->dial < 0)
        assert_true(recipe_ignore(recipe, k->match, NULL));
    else if (k->match)
        assert_true(recipe_override(recipe, k->match, (Dial)k->dial, isnan(k->value) ? NULL : &k->value, NULL));
    else
        recipe->value[k->dial] = k->value;
}

static void what_was_changed_is_carried_over(void **state) {
    (void)state;
    static const Kind kinds[] = {
        {NULL, DIAL_ACTIVATIONS, POLICY_NONE, LAYER_0 "self_attn.q_proj", 3, POLICY_NONE},
        {NULL, DIAL_CACHE_BITS, 8, LAYER_0 "self_attn.q_proj", 3, 8},
        {NULL, DIAL_BITS, 2, LAYER_0 "self_attn.q_proj", 3, 3}, // what the search was for
        {LAYER_0 "self_attn.q_proj", DIAL_BITS, 8, LAYER_0 "self_attn.q_proj", 8, 8},
        {LAYER_0 "self_attn.q_proj", DIAL_BITS, 8, LAYER_1 "self_attn.q_proj", 3, 3},
        {"*.down_proj", DIAL_CLIP, CLIP_MSE, LAYER_1 "mlp.experts.0.down_proj", 2, CLIP_MSE},
        {"*.down_proj", DIAL_ACTIVATIONS, POLICY_TOKEN, LAYER_0 "self_attn.q_proj", 3, POLICY_FPTQ},
        {"*.o_proj", DIAL_BITS, NAN, LAYER_0 "self_attn.o_proj", 4, 4},
        {"*.o_proj", DIAL_BITS, 3, LAYER_0 "self_attn.o_proj", 3, 3},
        {"*.gate", -1, 0, LAYER_1 "mlp.gate", 2, 0},
    };
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        const Kind *k = &kinds[i];
        Recipe began, found, present, again;
        begin_and_find(&began, &found);
        assert_true(recipe_copy(&began, &present, NULL) && recipe_copy(&found, &again, NULL));
        assert_true(recipe_carry(&began, &present, &names_index, &found, NULL));
        assert_true(recipe_equal(&found, &again)); // nothing was changed yet
        change(&present, k);
        assert_true(recipe_carry(&began, &present, &names_index, &found, NULL));
        if (recipe_value(&found, DIAL_BITS, k->at) != k->bits) fail_msg("%zu: bits", i);
        if (k->dial >= 0 && recipe_value(&found, (Dial)k->dial, k->at) != k->is) fail_msg("%zu: the dial", i);
        assert_int_equal(recipe_ignores(&found, k->at), k->dial < 0);
        recipe_free(&began);
        recipe_free(&found);
        recipe_free(&present);
        recipe_free(&again);
    }
}

// All at once, and back: what was left alone and is not any more has the bits that it was given, and nothing is left of
// what was undone.
static void several_changes_are_carried_over(void **state) {
    (void)state;
    Recipe began, found, present;
    const double three = 3, token = POLICY_TOKEN;
    begin_and_find(&began, &found);
    assert_true(recipe_ignore(&began, "*.gate", NULL) && recipe_ignore(&found, "*.gate", NULL));
    assert_true(recipe_copy(&began, &present, NULL));
    choose((const char *const[]){"*.gate", NULL});
    LinearSet gates = chosen();
    assert_true(recipe_ignore_set(&present, &gates, false, NULL));
    assert_true(recipe_override(&present, "*.gate", DIAL_BITS, &three, NULL));
    assert_true(recipe_override(&present, "*.down_proj", DIAL_ACTIVATIONS, &token, NULL));
    present.value[DIAL_V0] = 2;
    assert_true(recipe_carry(&began, &present, &names_index, &found, NULL));
    assert_false(recipe_ignores(&found, LAYER_0 "mlp.gate"));
    assert_true(recipe_value(&found, DIAL_BITS, LAYER_0 "mlp.gate") == 3);
    assert_true(recipe_value(&found, DIAL_BITS, LAYER_0 "mlp.experts.1.down_proj") == 2);
    assert_true(recipe_value(&found, DIAL_ACTIVATIONS, LAYER_0 "mlp.experts.1.down_proj") == POLICY_TOKEN);
    assert_true(recipe_value(&found, DIAL_ACTIVATIONS, LAYER_0 "self_attn.o_proj") == POLICY_FPTQ);
    assert_true(recipe_value(&found, DIAL_BITS, LAYER_0 "self_attn.o_proj") == 8);
    assert_true(found.value[DIAL_V0] == 2);
    linear_set_free(&gates);
    recipe_free(&began);
    recipe_free(&found);
    recipe_free(&present);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_set_is_named_by_few_short_globs),
        cmocka_unit_test(whatever_the_set_it_is_matched_exactly),
        cmocka_unit_test(names_that_a_glob_would_confuse_are_kept_apart),
        cmocka_unit_test(a_set_is_one_readable_rule),
        cmocka_unit_test(what_is_taken_from_some_stays_for_the_others),
        cmocka_unit_test(what_a_person_gave_is_held_and_what_is_overruled_is_told),
        cmocka_unit_test(linears_are_left_alone_and_taken_back),
        cmocka_unit_test(random_turns_hold_for_their_linears_alone),
        cmocka_unit_test(what_was_changed_is_carried_over),
        cmocka_unit_test(several_changes_are_carried_over),
    };
    return cmocka_run_group_tests(tests, build, drop);
}
