// quant/ against an independent implementation (tools/reference/methods.py) on small matrices: codes and group sizes
// equal, scales equal to the bit, equalization factors within one unit in the last place.
// tools/reference/make_quant_fixtures.py wrote what is read here.
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "quant/lae.h"
#include "quant/quantize.h"
#include "quant/vote_counts.h"
#include "tests/support/quant_fixtures.h"

#define FOLDER "tests/fixtures/quant/"

typedef struct Reference {
    cJSON *cases;
    Safetensors matrices, expected;
} Reference;

static int setup(void **state) {
    static Reference reference;
    reference = (Reference){.cases = fixture_json(FOLDER "cases.json"),
                            .matrices = fixture_tensors(FOLDER "matrices.safetensors"),
                            .expected = fixture_tensors(FOLDER "expected.safetensors")};
    *state = &reference;
    return 0;
}

static int teardown(void **state) {
    Reference *r = *state;
    cJSON_Delete(r->cases);
    safetensors_close(&r->matrices);
    safetensors_close(&r->expected);
    return 0;
}

static Linear linear_of(const Reference *r, const char *name) {
    const Tensor *tensor = fixture_tensor(&r->matrices, name);
    return (Linear){.name = (char *)name,
                    .out = tensor->shape[0],
                    .in = tensor->shape[1],
                    .weight = tensor,
                    .fused_set = -1,
                    .quantizable = true};
}

static const Tensor *numbered(const Reference *r, const char *kind, int number) {
    char name[64];
    snprintf(name, sizeof name, "%s.%d", kind, number);
    return fixture_tensor(&r->expected, name);
}

static float *factors_of(const Reference *r, const char *matrix) {
    char name[64];
    snprintf(name, sizeof name, "factors.%s", matrix);
    const Tensor *tensor = fixture_tensor(&r->expected, name);
    float *factors = malloc(tensor->bytes);
    memcpy(factors, tensor->data, tensor->bytes); // tensors have no alignment
    return factors;
}

static void check_quantized(const Reference *r, const cJSON *item, int number) {
    Linear linear = linear_of(r, fixture_text(item, "matrix"));
    const char *granularity = fixture_text(item, "granularity");
    double value;
    Error err = {0};
    assert_true(dial_parse(DIAL_GRANULARITY, granularity, &value, &err));
    Decision decision = {.quantized = true,
                         .bits = (int)fixture_number(item, "bits"),
                         .granularity = (Granularity)value,
                         .group = (size_t)fixture_number(item, "group"),
                         .scale_dtype = fixture_dtype(fixture_text(item, "scale"))};
    bool equalized = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(item, "equalized"));
    float *factors = equalized ? factors_of(r, linear.name) : NULL;
    QuantizedWeight w;
    if (!quantize_linear(&linear, &decision, factors, &w, NULL, &err)) fail_msg("%s", err.message);
    const Tensor *codes = numbered(r, "codes", number), *scales = numbered(r, "scales", number);
    size_t groups = group_count(linear.in, decision.group);
    assert_int_equal(codes->bytes, linear.out * linear.in);
    assert_int_equal(scales->bytes, linear.out * groups * sizeof(float));
    bool same = memcmp(w.codes, codes->data, codes->bytes) == 0 && memcmp(w.scales, scales->data, scales->bytes) == 0;
    if (!same)
        fail_msg("case %d (%s, %d bits, %s %zu) differs", number, linear.name, decision.bits, granularity,
                 decision.group);
    quantized_weight_free(&w);
    free(factors);
}

static void codes_and_scales_are_the_same(void **state) {
    const Reference *r = *state;
    const cJSON *item;
    int number = 0;
    cJSON_ArrayForEach(item, cJSON_GetObjectItemCaseSensitive(r->cases, "quantized"))
        check_quantized(r, item, number++);
    assert_true(number > 100);
}

// The whole way: ranges of groups, votes, ladder, by a plan over a model of one linear.
static size_t planned_group(const Linear *linear, const VoteCounts *votes, const Recipe *recipe) {
    ModelStructure structure = {.linears = (Linear *)linear, .linear_count = 1, .input_count = 1};
    WeightMeasure weight = {.known = true, .votes = *votes};
    Measured measured = {.weights = &weight, .linear_count = 1};
    Plan plan;
    assert_true(plan_make(recipe, &structure, &measured, &plan, NULL));
    size_t group = plan.decisions[0].group;
    plan_free(&plan);
    return group;
}

static double at(const cJSON *row, int index) { return cJSON_GetArrayItem(row, index)->valuedouble; }

static void adaptive_group_sizes_are_the_same(void **state) {
    const Reference *r = *state;
    const cJSON *row;
    Recipe recipe;
    assert_true(recipe_standard(&recipe, NULL));
    Linear linear = {0};
    VoteCounts votes = {0};
    int number = 0;
    cJSON_ArrayForEach(row, cJSON_GetObjectItemCaseSensitive(r->cases, "adaptive")) {
        const char *matrix = cJSON_GetArrayItem(row, 0)->valuestring, *rule = cJSON_GetArrayItem(row, 1)->valuestring;
        if (!linear.name || strcmp(linear.name, matrix) != 0) { // rows of one matrix follow each other
            vote_counts_free(&votes);
            linear = linear_of(r, matrix);
            votes = fixture_votes(&linear);
        }
        assert_true(dial_parse(DIAL_RULE, rule, &recipe.value[DIAL_RULE], NULL));
        recipe.value[DIAL_ALPHA] = at(row, 2);
        recipe.value[DIAL_QUORUM] = at(row, 3);
        recipe.value[DIAL_MIN_GROUP] = at(row, 4);
        recipe.value[DIAL_MAX_GROUP] = at(row, 5);
        size_t group = planned_group(&linear, &votes, &recipe);
        if (group != (size_t)at(row, 6)) {
            fail_msg("%s, %s, alpha %g, quorum %g, from %g to %g: %zu, not %g", matrix, rule, at(row, 2), at(row, 3),
                     at(row, 5), at(row, 4), group, at(row, 6));
        }
        number++;
    }
    vote_counts_free(&votes);
    recipe_free(&recipe);
    assert_true(number > 1000);
}

static void assert_within_one_unit(float got, float expected) {
    if (got != expected && got != nextafterf(expected, got))
        fail_msg("%.9g is not %.9g", (double)got, (double)expected);
}

static void factors_are_the_same(void **state) {
    const Reference *r = *state;
    const Tensor *absmax = fixture_tensor(&r->expected, "lae.absmax");
    size_t width = absmax->shape[0];
    float m[256], s[256], expected[256];
    assert_true(width <= 256);
    memcpy(m, absmax->data, absmax->bytes);
    const cJSON *alphas =
        cJSON_GetObjectItemCaseSensitive(cJSON_GetObjectItemCaseSensitive(r->cases, "fptq"), "lae_alphas");
    for (int i = 0; i < cJSON_GetArraySize(alphas); i++) {
        memcpy(expected, numbered(r, "lae.factors", i)->data, width * sizeof(float));
        lae_factors(m, width, at(alphas, i), s);
        for (size_t j = 0; j < width; j++) assert_within_one_unit(s[j], expected[j]);
    }
}

static void classes_and_scales_of_inputs_are_the_same(void **state) {
    const Reference *r = *state;
    const cJSON *item;
    Linear linear = linear_of(r, "one");
    linear.fold = FOLD_NORM;
    linear.expert = -1;
    ModelStructure structure = {.linears = &linear, .linear_count = 1, .input_count = 1};
    Recipe recipe;
    assert_true(recipe_standard(&recipe, NULL));
    cJSON_ArrayForEach(item,
                       cJSON_GetObjectItemCaseSensitive(cJSON_GetObjectItemCaseSensitive(r->cases, "fptq"), "ranges")) {
        InputMeasure input = {.known = true, .range = (float)fixture_number(item, "v")};
        Measured measured = {.inputs = &input, .input_count = 1};
        Plan plan;
        assert_true(plan_make(&recipe, &structure, &measured, &plan, NULL));
        const Decision *d = &plan.decisions[0];
        assert_string_equal(class_name(d->input_class), fixture_text(item, "class"));
        if (d->input_class == CLASS_STATIC) assert_true(d->activation_scale == (float)fixture_number(item, "scale"));
        if (d->input_class == CLASS_LAE) {
            assert_true(d->lae);
            assert_within_one_unit(d->activation_scale, (float)fixture_number(item, "equalized_scale"));
        }
        assert_true((d->input_class == CLASS_TOKEN) == (d->activations == POLICY_TOKEN));
        plan_free(&plan);
    }
    recipe_free(&recipe);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(codes_and_scales_are_the_same),
        cmocka_unit_test(adaptive_group_sizes_are_the_same),
        cmocka_unit_test(factors_are_the_same),
        cmocka_unit_test(classes_and_scales_of_inputs_are_the_same),
    };
    return cmocka_run_group_tests_name("quant_reference", tests, setup, teardown);
}
