// quant/ against an independent implementation (tools/reference/methods.py) on every linear of the sample model. After
// the sample changed: python3 tools/reference/make_sample_fixture.py samples/storyteller
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/array.h"
#include "base/file.h"
#include "base/hash.h"
#include "quant/lae.h"
#include "quant/quantize.h"
#include "quant/vote_counts.h"
#include "tests/support/quant_fixtures.h"

#define FIXTURE "tests/fixtures/quant/storyteller"

typedef struct Sample {
    bool there;
    Checkpoint checkpoint;
    ModelStructure structure;
    Measured measured;
    cJSON *expected;
    TensorFile inputs;
} Sample;

static Sample sample;

static void open_model(const char *folder) {
    Error err = {0};
    ModelConfig config;
    bool ok = checkpoint_open(folder, &sample.checkpoint, &err) && config_load(folder, &config, &err) &&
              structure_build(&sample.checkpoint, &config, &sample.structure, &err);
    if (!ok) fprintf(stderr, "%s\n", err.message);
    if (!ok) abort();
}

// Ranges of activations come with the fixture, under the name of the first linear that reads an input.
static void measure_input(const Linear *linear) {
    InputMeasure *input = &sample.measured.inputs[linear->input];
    if (input->known || !linear->quantizable) return;
    const Tensor *tensor = fixture_tensor(&sample.inputs, linear->name);
    *input = (InputMeasure){
        .known = true, .tokens = 2048, .width = linear->in, .channel_absmax = array_new(linear->in, sizeof(float))};
    memcpy(input->channel_absmax, tensor->data, linear->in * sizeof(float));
    for (size_t j = 0; j < linear->in; j++) {
        if (input->channel_absmax[j] > input->range) input->range = input->channel_absmax[j];
    }
}

static int setup(void **state) {
    (void)state;
    const char *folder = getenv("QUANTDIAL_SAMPLES");
    char *path = path_join(folder ? folder : "samples", "storyteller");
    sample.there = folder_exists(path);
    if (sample.there) {
        open_model(path);
        sample.expected = fixture_json(FIXTURE ".json");
        sample.inputs = fixture_tensors(FIXTURE ".safetensors");
        ModelStructure *s = &sample.structure;
        sample.measured = (Measured){.linear_count = s->linear_count, .input_count = s->input_count};
        sample.measured.weights = array_new((size_t)s->linear_count, sizeof(WeightMeasure));
        sample.measured.inputs = array_new((size_t)s->input_count, sizeof(InputMeasure));
        for (int i = 0; i < s->linear_count; i++) {
            measure_input(&s->linears[i]);
            if (!s->linears[i].quantizable) continue;
            sample.measured.weights[i].votes = fixture_votes(&s->linears[i]);
            sample.measured.weights[i].known = true;
        }
    }
    free(path);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    if (!sample.there) return 0;
    for (int i = 0; i < sample.structure.linear_count; i++) vote_counts_free(&sample.measured.weights[i].votes);
    for (int i = 0; i < sample.structure.input_count; i++) free(sample.measured.inputs[i].channel_absmax);
    free(sample.measured.weights);
    free(sample.measured.inputs);
    cJSON_Delete(sample.expected);
    tensor_file_close(&sample.inputs);
    structure_free(&sample.structure);
    checkpoint_close(&sample.checkpoint);
    return 0;
}

static const cJSON *member(const cJSON *object, const char *key) {
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, key);
    assert_non_null(item);
    return item;
}

static void assert_hash(const Linear *linear, const Decision *decision, const float *factors, const char *expected) {
    QuantizedWeight w;
    Error err = {0};
    if (!quantize_linear(linear, decision, factors, NULL, &w, NULL, &err)) fail_msg("%s", err.message);
    uint64_t hash = hash_bytes(HASH_START, w.codes, w.out * w.in);
    hash = hash_bytes(hash, w.scales, w.out * group_count(w.in, w.group) * sizeof *w.scales);
    quantized_weight_free(&w);
    char text[20];
    snprintf(text, sizeof text, "%016llx", (unsigned long long)hash);
    if (strcmp(text, expected) != 0)
        fail_msg("%s, %d bits, group %zu differs", linear->name, decision->bits, decision->group);
}

static void the_fixture_is_of_this_model(void **state) {
    (void)state;
    if (!sample.there) skip();
    const cJSON *name;
    uint64_t hash = hash_bytes(HASH_START, NULL, 0);
    cJSON_ArrayForEach(name, member(sample.expected, "linears")) {
        int index = structure_find(&sample.structure, name->valuestring);
        assert_true(index >= 0);
        const Tensor *tensor = sample.structure.linears[index].weight;
        hash = hash_bytes(hash, tensor->data, tensor->bytes);
    }
    char text[20];
    snprintf(text, sizeof text, "%016llx", (unsigned long long)hash);
    if (strcmp(text, fixture_text(sample.expected, "weights")) != 0) {
        fail_msg("the sample model changed: run python3 tools/reference/make_sample_fixture.py samples/storyteller");
    }
}

static void codes_and_scales_are_the_same(void **state) {
    (void)state;
    if (!sample.there) skip();
    const cJSON *scheme, *hash;
    cJSON_ArrayForEach(scheme, member(sample.expected, "schemes")) {
        double granularity;
        assert_true(dial_parse(DIAL_GRANULARITY, fixture_text(scheme, "granularity"), &granularity, NULL));
        Decision decision = {.quantized = true,
                             .bits = (int)fixture_number(scheme, "bits"),
                             .granularity = (Granularity)granularity,
                             .scale_dtype = fixture_dtype(fixture_text(scheme, "scale"))};
        cJSON_ArrayForEach(hash, member(scheme, "hashes")) {
            const Linear *linear = &sample.structure.linears[structure_find(&sample.structure, hash->string)];
            size_t group = (size_t)fixture_number(scheme, "group");
            decision.group = group ? group : linear->in;
            assert_hash(linear, &decision, NULL, hash->valuestring);
        }
    }
}

static Plan planned(const Recipe *recipe) {
    Plan plan;
    Error err = {0};
    if (!plan_make(recipe, &sample.structure, &sample.measured, &plan, &err)) fail_msg("%s", err.message);
    return plan;
}

static void adaptive_group_sizes_are_the_same(void **state) {
    (void)state;
    if (!sample.there) skip();
    const cJSON *setting, *group;
    Recipe recipe;
    assert_true(recipe_default(&recipe, NULL));
    cJSON_ArrayForEach(setting, member(sample.expected, "adaptive")) {
        assert_true(dial_parse(DIAL_RULE, fixture_text(setting, "rule"), &recipe.value[DIAL_RULE], NULL));
        recipe.value[DIAL_ALPHA] = fixture_number(setting, "alpha");
        recipe.value[DIAL_QUORUM] = fixture_number(setting, "quorum");
        Plan plan = planned(&recipe);
        cJSON_ArrayForEach(group, member(setting, "groups")) {
            const Decision *d = &plan.decisions[structure_find(&sample.structure, group->string)];
            if (d->group != (size_t)group->valuedouble)
                fail_msg("%s: %zu, not %g", group->string, d->group, group->valuedouble);
        }
        plan_free(&plan);
    }
    recipe_free(&recipe);
}

static void check_decision(const Plan *plan, const cJSON *expected) {
    int index = structure_find(&sample.structure, expected->string);
    const Linear *linear = &sample.structure.linears[index];
    const Decision *d = &plan->decisions[index];
    assert_string_equal(class_name(d->input_class), fixture_text(expected, "class"));
    char policy[16];
    dial_format(DIAL_ACTIVATIONS, d->activations, policy, sizeof policy);
    assert_string_equal(policy, fixture_text(expected, "policy"));
    assert_int_equal(d->lae, cJSON_IsTrue(member(expected, "equalized")));
    assert_int_equal(d->group, (size_t)fixture_number(expected, "group"));
    if (d->activations == POLICY_STATIC) assert_true(d->activation_scale == (float)fixture_number(expected, "scale"));
    float *factors = NULL;
    if (d->lae) {
        factors = array_new(linear->in, sizeof *factors);
        lae_factors(sample.measured.inputs[linear->input].channel_absmax, linear->in, (double)d->lae_alpha, factors);
    }
    assert_hash(linear, d, factors, fixture_text(expected, "hash"));
    free(factors);
}

static void fptq_is_the_same(void **state) {
    (void)state;
    if (!sample.there) skip();
    const cJSON *setting, *expected;
    Recipe recipe;
    assert_true(recipe_default(&recipe, NULL));
    recipe.value[DIAL_RULE] = RULE_SHRINK; // the group sizes of the fixture
    cJSON_ArrayForEach(setting, member(sample.expected, "fptq")) {
        recipe.value[DIAL_V0] = fixture_number(setting, "v0");
        recipe.value[DIAL_V1] = fixture_number(setting, "v1");
        recipe.value[DIAL_LAE_ALPHA] = fixture_number(setting, "lae_alpha");
        Plan plan = planned(&recipe);
        cJSON_ArrayForEach(expected, member(setting, "linears")) check_decision(&plan, expected);
        plan_free(&plan);
    }
    recipe_free(&recipe);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_fixture_is_of_this_model),
        cmocka_unit_test(codes_and_scales_are_the_same),
        cmocka_unit_test(adaptive_group_sizes_are_the_same),
        cmocka_unit_test(fptq_is_the_same),
    };
    return cmocka_run_group_tests_name("sample_quant", tests, setup, teardown);
}
