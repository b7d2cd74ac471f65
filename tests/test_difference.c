// What one recipe does other than another, in words.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "quant/difference.h"
#include "tests/support/toy_model.h"

typedef struct Fixture {
    ToyModel model; // 4 layers of 7 linears, and the head
    Recipe from, to;
    Text said;
} Fixture;

static int setup(void **state) {
    Fixture *f = calloc(1, sizeof *f);
    toy_model_new(4, 256, 128, 768, DTYPE_BF16, &f->model);
    *state = f;
    return recipe_default(&f->from, NULL) && recipe_default(&f->to, NULL) ? 0 : -1;
}

static int teardown(void **state) {
    Fixture *f = *state;
    recipe_free(&f->from);
    recipe_free(&f->to);
    toy_model_free(&f->model);
    text_free(&f->said);
    free(f);
    return 0;
}

static void set(Recipe *recipe, const char *match, Dial dial, double value) {
    assert_true(recipe_override(recipe, match, dial, &value, NULL));
}

static void says(Fixture *f, int count, const char *expected) {
    text_clear(&f->said);
    assert_int_equal(recipe_difference(&f->from, &f->to, &f->model.structure, ", ", &f->said), count);
    assert_string_equal(f->said.data, expected);
}

static void a_dial_that_was_turned_for_all_is_named_alone(void **state) {
    Fixture *f = *state;
    says(f, 0, "");
    f->to.value[DIAL_ALPHA] = 0.1;
    says(f, 1, "alpha 0.3 → 0.1");
    f->to.value[DIAL_CACHE_BITS] = 8;
    f->to.value[DIAL_ACTIVATIONS] = POLICY_NONE;
    says(f, 3, "cache 16 → 8, alpha 0.3 → 0.1, policy fptq → none");
}

static void linears_are_named_by_what_they_have_in_common(void **state) {
    Fixture *f = *state;
    set(&f->to, "model.layers.2.mlp.down_proj", DIAL_BITS, 8);
    says(f, 1, "2.down_proj bits 4 → 8");
    set(&f->to, "model.layers.3.mlp.down_proj", DIAL_BITS, 8);
    says(f, 1, "down_proj of layers 2–3 bits 4 → 8 (2 linears)");
    set(&f->to, "model.layers.0.mlp.down_proj", DIAL_BITS, 8);
    says(f, 1, "some down_proj bits 4 → 8 (3 linears)");
    set(&f->to, "*.down_proj", DIAL_BITS, 8);
    says(f, 1, "down_proj bits 4 → 8 (4 linears)");
    set(&f->to, "*.up_proj", DIAL_BITS, 8);
    says(f, 1, "up_proj, down_proj bits 4 → 8 (8 linears)");
    set(&f->to, "model.layers.1.*", DIAL_BITS, 8);
    says(f, 1, "bits 4 → 8 (13 linears)");
}

static void whole_layers_are_named_as_such(void **state) {
    Fixture *f = *state;
    set(&f->to, "model.layers.3.*", DIAL_BITS, 3);
    says(f, 1, "layer 3 bits 4 → 3 (7 linears)");
    set(&f->to, "model.layers.2.*", DIAL_BITS, 3);
    says(f, 1, "layers 2–3 bits 4 → 3 (14 linears)");
}

// A later rule wins, whichever of them names the linear exactly.
static void rules_count_by_what_they_do(void **state) {
    Fixture *f = *state;
    set(&f->from, "model.layers.2.mlp.down_proj", DIAL_BITS, 3);
    set(&f->to, "model.layers.2.mlp.down_proj", DIAL_BITS, 3);
    set(&f->to, "*.down_proj", DIAL_BITS, 8);
    says(f, 2, "some down_proj bits 4 → 8 (3 linears), 2.down_proj bits 3 → 8");
    set(&f->from, "*.mlp.down_proj", DIAL_BITS, 8);
    says(f, 0, "");
    f->to.value[DIAL_BITS] = 3;
    says(f, 1, "bits 4 → 3 (24 of 28 quantized)");
}

static void what_is_left_alone_is_told(void **state) {
    Fixture *f = *state;
    assert_true(recipe_ignore(&f->to, "*.o_proj", NULL));
    f->to.value[DIAL_BITS] = 8;
    says(f, 2, "bits 4 → 8, o_proj left alone (4 linears)");
    Recipe swapped = f->from;
    f->from = f->to;
    f->to = swapped;
    says(f, 2, "bits 8 → 4, o_proj quantized (4 linears)");
}

// Rules of the recipe that go, not what follows the dials of all.
static void what_is_taken_back_was_an_override(void **state) {
    Fixture *f = *state;
    f->to.value[DIAL_ACTIVATIONS] = POLICY_NONE;
    set(&f->from, "*.down_proj", DIAL_BITS, 8);
    set(&f->to, "model.layers.[0-2].mlp.down_proj", DIAL_BITS, 8);
    assert_int_equal(recipe_taken_back(&f->from, &f->to, &f->model.structure, ", ", &f->said), 1);
    assert_string_equal(f->said.data, "3.down_proj bits 8 → 4");
    says(f, 2, "policy fptq → none, 3.down_proj bits 8 → 4");
    text_clear(&f->said);
    assert_int_equal(recipe_taken_back(&f->to, &f->from, &f->model.structure, ", ", &f->said), 0);
}

static void the_head_counts_once_it_is_named(void **state) {
    Fixture *f = *state;
    f->to.value[DIAL_BITS] = 8;
    says(f, 1, "bits 4 → 8");
    free(f->to.ignore[--f->to.ignore_count]);
    says(f, 1, "bits 4 → 8"); // nothing names it
    set(&f->to, "lm_head", DIAL_V0, 3);
    says(f, 1, "bits 4 → 8"); // nothing says how its weight is to be quantized
    set(&f->to, "lm_head", DIAL_BITS, 8);
    says(f, 2, "bits 4 → 8, head quantized");
}

static void described(Fixture *f, const char *match, const char *expected) {
    int linears[64], count = 0;
    for (int i = 0; i < f->model.structure.linear_count; i++)
        if (glob_matches(match, f->model.structure.linears[i].name)) linears[count++] = i;
    text_clear(&f->said);
    linears_describe(&f->model.structure, linears, count, &f->said);
    assert_string_equal(f->said.data, expected);
}

static void lists_are_told_by_kinds(void **state) {
    Fixture *f = *state;
    described(f, "*down_proj", "down_proj (4 linears)");
    described(f, "*.[12].mlp.down_proj", "down_proj of layers 1–2 (2 linears)");
    described(f, "*.2.*", "layer 2 (7 linears)");
    described(f, "*.3.mlp.up_proj", "3.up_proj");
    described(f, "*.[03].self_attn.[qk]*", "some q_proj, k_proj (4 linears)");
    described(f, "*.[0123].*_proj", "layers 0–3 (28 linears)");
    described(f, "nothing", "0 linears");
}

// By options, with what they are set to, whatever it was.
static void new_settings_are_lines(void **state) {
    Fixture *f = *state;
    set(&f->from, "*.0.*up_proj", DIAL_BITS, 3);
    set(&f->from, "*.1.*up_proj", DIAL_BITS, 2);
    set(&f->to, "*.2.*down_proj", DIAL_ACTIVATIONS, POLICY_NONE);
    f->to.value[DIAL_CACHE_BITS] = 8;
    assert_int_equal(recipe_new_settings(&f->from, &f->to, &f->model.structure, &f->said), 3);
    assert_string_equal(f->said.data,
                        "cache-bits 8: the whole model\nweight-bits 4: up_proj of layers 0–1 (2 linears)\n"
                        "activations none: model.layers.2.mlp.down_proj\n");
}

// 2,304 rules for one linear each, as marks make them.
static void thousands_of_rules_take_no_time(void **state) {
    Fixture *f = *state;
    toy_model_free(&f->model);
    toy_experts_new(12, 64, 16, 16, &f->model);
    for (int i = 0; i < f->model.structure.linear_count; i++) {
        Override *override = recipe_add_override(&f->to, f->model.structure.linears[i].name, NULL);
        assert_non_null(override);
        override->set[DIAL_BITS] = true;
        override->value[DIAL_BITS] = i % 3 == 2 ? 8 : 4;
    }
    const double start = clock_seconds();
    text_clear(&f->said);
    assert_int_equal(recipe_difference(&f->from, &f->to, &f->model.structure, ", ", &f->said), 1);
    assert_true(clock_seconds() - start < 5); // milliseconds, but under valgrind; by each against each it is minutes
    assert_non_null(strstr(f->said.data, " bits 4 → 8 (768 linears)"));
}

int main(void) {
#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_dial_that_was_turned_for_all_is_named_alone),
        TEST(linears_are_named_by_what_they_have_in_common),
        TEST(whole_layers_are_named_as_such),
        TEST(rules_count_by_what_they_do),
        TEST(what_is_left_alone_is_told),
        TEST(what_is_taken_back_was_an_override),
        TEST(the_head_counts_once_it_is_named),
        TEST(lists_are_told_by_kinds),
        TEST(new_settings_are_lines),
        TEST(thousands_of_rules_take_no_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
