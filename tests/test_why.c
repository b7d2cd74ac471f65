// What the errors of a linear come from, against tools/reference/make_why_fixture.py, and by a plan of a real model.
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "analysis/shared_channels.h"
#include "analysis/statistics.h"
#include "analysis/why.h"
#include "base/array.h"
#include "tests/support/quant_fixtures.h"
#include "tests/support/study.h"

#define FOLDER "tests/fixtures/quant/"

static void assert_near(double got, double expected, const char *what) {
    if (!(fabs(got - expected) <= 1e-4 * fabs(expected))) fail_msg("%s: %.9g, not %.9g", what, got, expected);
}

// NULL where the fixture has none.
static float *numbers_of(const cJSON *object, const char *key) {
    const cJSON *list = cJSON_GetObjectItemCaseSensitive(object, key), *item;
    if (!cJSON_IsArray(list)) return NULL;
    float *values = array_new((size_t)cJSON_GetArraySize(list), sizeof *values);
    size_t n = 0;
    cJSON_ArrayForEach(item, list) values[n++] = (float)item->valuedouble;
    return values;
}

static double parsed(Dial dial, const cJSON *item, const char *key) {
    double value;
    assert_true(dial_parse(dial, fixture_text(item, key), &value, NULL));
    return value;
}

static void compare(const Why *got, const cJSON *expected) {
    assert_near(got->signal, fixture_number(expected, "signal"), "signal");
    assert_near(got->weights, fixture_number(expected, "weights"), "weights");
    assert_near(got->input, fixture_number(expected, "input"), "input");
    assert_near(got->both, fixture_number(expected, "both"), "both");
    assert_int_equal(got->column, (int)fixture_number(expected, "column"));
    assert_near(got->column_share, fixture_number(expected, "column_share"), "share of the column");
    assert_int_equal(got->channel, (int)fixture_number(expected, "channel"));
    assert_near((double)got->channel_absmax, fixture_number(expected, "channel_absmax"), "channel");
    assert_near(got->channel_ratio, fixture_number(expected, "channel_ratio"), "channel against the median");
}

static void check_case(const TensorFile *matrices, const cJSON *item, size_t rows, float constant) {
    char *name = (char *)fixture_text(item, "matrix");
    const Tensor *tensor = fixture_tensor(matrices, name);
    const Linear linear = {.name = name, .out = tensor->shape[0], .in = tensor->shape[1], .weight = tensor};
    const Decision decision = {.quantized = true,
                               .bits = (int)fixture_number(item, "bits"),
                               .granularity = GRANULARITY_GROUP,
                               .group = (size_t)fixture_number(item, "group"),
                               .grid = (Grid)parsed(DIAL_GRID, item, "grid"),
                               .scale_dtype = DTYPE_F32,
                               .activations = (ActivationPolicy)parsed(DIAL_ACTIVATIONS, item, "policy"),
                               .activation_scale = constant};
    float *factors = numbers_of(item, "factors"), *divisors = numbers_of(item, "divisors");
    InputStats input = {.width = linear.in,
                        .channel_absmax = numbers_of(item, "absmax"),
                        .sample = numbers_of(item, "x"),
                        .sample_rows = rows};
    Why why;
    Error err = {0};
    if (!why_linear(&linear, &decision, factors, divisors, &input, &why, &err)) fail_msg("%s", err.message);
    compare(&why, cJSON_GetObjectItemCaseSensitive(item, "expected"));
    free(factors);
    free(divisors);
    free(input.channel_absmax);
    free(input.sample);
}

static void shares_are_those_of_the_reference(void **state) {
    (void)state;
    cJSON *file = fixture_json(FOLDER "why.json");
    TensorFile matrices = fixture_tensors(FOLDER "matrices.safetensors");
    const cJSON *item;
    int count = 0;
    cJSON_ArrayForEach(item, cJSON_GetObjectItemCaseSensitive(file, "cases")) {
        check_case(&matrices, item, (size_t)fixture_number(file, "rows"), (float)fixture_number(file, "constant"));
        count++;
    }
    assert_int_equal(count, 6);
    tensor_file_close(&matrices);
    cJSON_Delete(file);
}

static double ratio_of(const InputStats *input, uint32_t channel) {
    float median;
    assert_true(median_of(input->channel_absmax, input->width, &median, NULL));
    return (double)input->channel_absmax[channel] / (double)median;
}

// Factors leave no trace in what is said of the input as it comes, nor in how many others have the same outlier.
static void look_at_raw(const StudyFixture *s, int index, const Why *why) {
    const Linear *linear = &s->model.structure.linears[index];
    const InputStats *input = &s->stats.inputs[linear->input];
    int others = 0, beyond = 0;
    assert_true(input->channel_absmax[why->raw_channel] == input->range);
    assert_true(fabs(why->raw_ratio - ratio_of(input, why->raw_channel)) < 1e-9);
    for (int i = 0; i < s->model.structure.linear_count; i++) {
        const Linear *other = &s->model.structure.linears[i];
        if (other->role != linear->role || other->layer == linear->layer) continue;
        others++;
        beyond += ratio_of(&s->stats.inputs[other->input], why->raw_channel) > OUTLIER_FACTOR;
    }
    assert_int_equal(why->others, others);
    assert_int_equal(why->others_beyond, beyond);
}

// The error of both is that which the packed linear makes on a backend, also where factors are folded into the norm
// before it or into its own rows.
static void both_is_what_the_backend_computes(void **state) {
    (void)state;
    StudyFixture s;
    Error err = {0};
    int equalized = 0, divided = 0;
    study_open(NULL, &s);
    Plan plan =
        study_plan(&s, "weight-bits=4 group-size=32 granularity=group activations=fptq v0=0.5 v1=1000 fold=all");
    assert_true(quantized_model_follow(s.quantized, &plan, &s.stats.measured, NULL, NULL, &err));
    for (int i = 0; i < plan.linear_count; i++) {
        const InputStats *input = &s.stats.inputs[s.model.structure.linears[i].input];
        const Linear *linear = &s.model.structure.linears[i];
        const float *factors = quantized_model_factors(s.quantized, i),
                    *rows = quantized_model_divisors(s.quantized, i);
        double db = NAN, input_db = NAN;
        Why why;
        if (!plan.decisions[i].quantized) continue;
        if (!why_planned(&s.model.structure, &s.stats, &plan, i, &why, &err)) fail_msg("%s", err.message);
        float *changes = calloc(input->sample_rows * linear->in, sizeof *changes);
        const LinearRows x = {input->sample, input->sample_rows, factors, rows, changes};
        assert_true(
            changes && why_input_changes(linear, &plan.decisions[i], factors, input, changes, &err) &&
            linear_output_sqnr(s.model.base, quantized_model_transformer(s.quantized), i, &x, &db, &input_db, &err));
        if (fabs(10 * log10(why.signal / why.both) - db) > 0.01)
            fail_msg("linear %d: %g dB, not %g", i, 10 * log10(why.signal / why.both), db);
        assert_true(fabs(10 * log10(why.signal / why.input) - input_db) < 0.01);
        look_at_raw(&s, i, &why);
        free(changes);
        equalized += factors != NULL;
        divided += rows != NULL;
    }
    assert_true(equalized > 4 && divided > 0);
    plan_free(&plan);
    study_close(&s);
}

static void what_is_exact_has_no_share(void **state) {
    (void)state;
    assert_true(isnan(why_weights_share(&(Why){.signal = 1})));
    assert_true(why_weights_share(&(Why){.weights = 3, .input = 1}) == 0.75);
    const Linear linear = {.name = (char *)"some.linear"};
    Error err = {0};
    Why why;
    assert_false(why_linear(&linear, &(Decision){0}, NULL, NULL, &(InputStats){0}, &why, &err));
    assert_non_null(strstr(err.message, "some.linear: no sample rows of its input; calibrate first"));
}

// The linear of the first layer that a norm feeds, with a channel that once reached far, but in no sample row.
static int linear_with_an_outlier(StudyFixture *s, uint32_t channel) {
    const int linear = 0;
    InputStats *input = &s->stats.inputs[s->model.structure.linears[linear].input];
    assert_int_equal(s->model.structure.linears[linear].fold, FOLD_NORM);
    input->channel_absmax[channel] = input->range = 100;
    return linear;
}

static Why why_by(const StudyFixture *s, const char *dials, int linear, char *text, size_t size) {
    Plan plan = study_plan(s, dials);
    Error err = {0};
    Why why;
    if (!why_planned(&s->model.structure, &s->stats, &plan, linear, &why, &err)) fail_msg("%s", err.message);
    why_text(&why, &s->stats.weights[linear], &plan.decisions[linear], (WhyPlace){0}, text, size);
    plan_free(&plan);
    return why;
}

// LAE makes the column wide, and all that share a scale with it coarse: that is the outlier's doing, not the weights'.
static void an_outlier_in_the_weights_is_not_called_theirs(void **state) {
    (void)state;
    StudyFixture s;
    char text[400];
    const char *blames = "which LAE moves into the weights";
    study_open(NULL, &s);
    const int linear = linear_with_an_outlier(&s, 5);
    const Why lae =
        why_by(&s, "weight-bits=4 granularity=channel activations=fptq v0=0.5 v1=1000", linear, text, sizeof text);
    assert_true(lae.weights > 2 * lae.weights_plain && why_factors_share(&lae) > 0.5);
    assert_true(why_stands_out(&lae, NULL) & STANDS_FACTORS);
    assert_non_null(strstr(text, "Input channel 5, which LAE moves into the weights, stands out ("));
    assert_non_null(strstr(text, " of that since LAE widens them)"));
    const Why token = why_by(&s, "weight-bits=4 granularity=channel activations=token", linear, text, sizeof text);
    assert_near(lae.weights_plain, token.weights, "what weights err without factors");
    assert_true(token.weights_plain == token.weights && why_factors_share(&token) == 0);
    assert_null(strstr(text, blames));
    const Why none = why_by(&s, "weight-bits=4 granularity=channel activations=fptq v0=0.5 v1=1000 lae-alpha=0", linear,
                            text, sizeof text);
    assert_near(none.weights, token.weights, "what weights err with factors of 1");
    assert_null(strstr(text, "LAE"));
    study_close(&s);
    assert_true(why_factors_share(&(Why){.weights = 1, .weights_plain = 3}) == 0); // factors may help, too
}

static void assert_text(const Why *why, const WeightStats *weights, const Decision *decision, WhyPlace place,
                        const char *expected) {
    char text[400];
    why_text(why, weights, decision, place, text, sizeof text);
    assert_string_equal(text, expected);
}

static void cause_and_effect_are_one_statement(void **state) {
    (void)state;
    const WeightStats none = {.elements = 1000}, some = {.elements = 1000, .outliers_6sigma = 2};
    const Decision token = {.activations = POLICY_TOKEN}, smooth = {.smooth = true, .activations = POLICY_STATIC};
    const WhyPlace nowhere = {0};
    Why why = {.weights = 61, .weights_plain = 61, .input = 39, .raw_channel = 567, .raw_ratio = 110, .column = 567};
    why.column_share = 0.9;
    assert_text(&why, &none, &token, nowhere,
                "Input channel 567 stands out (110×). Error: 61 % weights, worst in column 567, which that channel "
                "multiplies; 39 % input.");
    why.weights_plain = 61 * 0.4;
    assert_text(&why, &some, &smooth, nowhere,
                "Input channel 567, which smooth moves into the weights, stands out (110×), and 0.2 % of the weights "
                "do. Error: 61 % weights (60 % of that since smooth widens them), worst in column 567, which that "
                "channel multiplies; 39 % input.");
    const Why apart = {.weights = 1,
                       .weights_plain = 1,
                       .input = 3,
                       .raw_channel = 567,
                       .raw_ratio = 7,
                       .column = 5,
                       .column_share = 0.2};
    assert_text(&apart, &some, &token, nowhere,
                "Input channel 567 stands out (7.0×), and 0.2 % of the weights do. Error: 75 % input; 25 % weights, "
                "worst in column 5.");
    const Why often = {
        .weights = 1, .weights_plain = 1, .input = 3, .raw_channel = 7, .raw_ratio = 5, .raw_tokens = 0.12};
    assert_text(&often, NULL, &token, nowhere,
                "Input channel 7 stands out in 12 % of the tokens. Error: 75 % input; 25 % weights.");
    assert_text(&(Why){.signal = 1, .raw_ratio = 2}, &some, &token, nowhere,
                "0.2 % of the weights stand out. Nothing errs here.");
}

// Nothing is said to be in order where a figure beside it says that it is not.
static void where_nothing_stands_out_no_figure_says_more(void **state) {
    (void)state;
    const WeightStats none = {.elements = 1000};
    const Decision exact = {.activations = POLICY_NONE}, token = {.activations = POLICY_TOKEN};
    Why why = {.weights = 999, .weights_plain = 999, .input = 1, .raw_ratio = OUTLIER_FACTOR};
    const double db[] = {9, 20, 30, NAN, INFINITY, 21, 22, 23, 24, 25, 26, 27};
    const WhyPlace worst = why_place(db, 12, 0), second = why_place(db, 12, 1);
    assert_int_equal(second.worse, 1);
    assert_int_equal(second.count, 11);
    assert_int_equal(why_place(db, 12, 3).count, 0);
    assert_int_equal(why_place(NULL, 12, 3).count, 0);
    const char *error = "Error: >99 % weights; <1 % input.";
    char expected[400];
    snprintf(expected, sizeof expected, "No input channel is beyond 6× the median, no weight beyond 6σ. %s", error);
    assert_text(&why, &none, &token, why_place(db, 12, 2), expected);
    snprintf(expected, sizeof expected,
             "No input channel is beyond 6× the median, no weight beyond 6σ; no other linear errs more. %s", error);
    assert_text(&why, &none, &token, worst, expected);
    snprintf(expected, sizeof expected,
             "No input channel is beyond 6× the median, no weight beyond 6σ; only 1 of 10 other linears errs more. %s",
             error);
    assert_text(&why, &none, &token, second, expected);
    why.raw_ratio = 0;
    snprintf(expected, sizeof expected, "Half of the input channels are always 0. %s", error);
    assert_text(&why, &none, &token, (WhyPlace){0}, expected);
    why = (Why){.weights = 1, .weights_plain = 1, .raw_ratio = OUTLIER_FACTOR, .column = 9, .column_share = 0.5};
    assert_text(&why, NULL, &exact, worst,
                "Column 9 of the weights stands out. Error: all of weights, worst in column 9.");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shares_are_those_of_the_reference),
        cmocka_unit_test(both_is_what_the_backend_computes),
        cmocka_unit_test(what_is_exact_has_no_share),
        cmocka_unit_test(an_outlier_in_the_weights_is_not_called_theirs),
        cmocka_unit_test(cause_and_effect_are_one_statement),
        cmocka_unit_test(where_nothing_stands_out_no_figure_says_more),
    };
    return cmocka_run_group_tests_name("why", tests, NULL, NULL);
}
