// What is said of linears of a whole model, by random recipes, against the figures that stand beside it.
// QUANTDIAL_TEST_MODEL names another model than the sample.
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "analysis/methods.h"
#include "analysis/shared_channels.h"
#include "base/array.h"
#include "engine/engine.h"

enum { RECIPES = 6 };

static Engine *engine;

static int open_model(void **state) {
    (void)state;
    Error err = {0};
    Recipe recipe;
    const EngineOptions options = {.model = getenv("QUANTDIAL_TEST_MODEL"),
                                   .sequences = 4,
                                   .length = 128,
                                   .eval_tokens = 64,
                                   .window = 32,
                                   .threads = 2,
                                   .no_cache = true};
    const bool ok = engine_open(&options, &engine, &err) && recipe_default(&recipe, &err);
    if (ok) engine_set_recipe(engine, &recipe);
    if (ok && engine_prepare(engine, true, NULL, &err)) return 0;
    fprintf(stderr, "%s\n", err.message);
    return 1;
}

static int close_model(void **state) {
    (void)state;
    engine_close(engine);
    return 0;
}

// The same ones every time.
static Recipe random_recipe(uint32_t seed) {
    static const char *const bits[] = {"2", "3", "4", "8"}, *const sizes[] = {"tensor", "channel", "group", "adaptive"};
    static const char *const policies[] = {"fptq", "smoothquant", "token", "static", "none", "fptq"};
    static const char *const others[] = {"",          " fold=all",      " lae-alpha=0.5",
                                         " clip=mse", " group-size=32", " smooth-alpha=0.9"};
    char dials[160];
    Error err = {0};
    Recipe recipe;
    seed = seed * 2654435761u + 12345;
    snprintf(dials, sizeof dials, "weight-bits=%s granularity=%s activations=%s v1=1000%s", bits[seed >> 8 & 3],
             sizes[seed >> 12 & 3], policies[(seed >> 16 & 255) % 6], others[(seed >> 24) % 6]);
    if (!recipe_default(&recipe, &err) || !recipe_turn(&recipe, dials, &err)) fail_msg("%s: %s", dials, err.message);
    return recipe;
}

static int by_value(const void *a, const void *b) {
    const float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

static double median(const float *values, size_t count) {
    float *sorted = array_new(count, sizeof *sorted);
    assert_non_null(sorted);
    memcpy(sorted, values, count * sizeof *sorted);
    qsort(sorted, count, sizeof *sorted, by_value);
    const double middle = ((double)sorted[(count - 1) / 2] + (double)sorted[count / 2]) / 2;
    free(sorted);
    return middle;
}

typedef struct Said {
    const char *text;
    const Why *why;
    const InputStats *input;
    const WeightStats *weights;
    const Decision *decision;
    int worse, count; // linears that err more; linears
} Said;

static void check_channel(const Said *s) {
    const char *names = strstr(s->text, "Input channel ");
    const double times = (double)s->input->range / median(s->input->channel_absmax, s->input->width);
    const double share = (double)s->input->channel_tokens[s->why->raw_channel] / (double)s->input->tokens;
    if (times > OUTLIER_FACTOR || share >= 0.01)
        assert_non_null(names);
    else
        assert_null(names);
    if (names) {
        assert_int_equal(strtoul(names + strlen("Input channel "), NULL, 10), s->why->raw_channel);
        assert_true(s->input->channel_absmax[s->why->raw_channel] == s->input->range);
        assert_int_equal(strstr(s->text, "×)") != NULL, times > OUTLIER_FACTOR);
    }
}

// Of a linear of which nothing is named no figure exceeds the bounds that are told.
static bool check_silence(const Said *s) {
    if (!strstr(s->text, "No input channel is beyond")) return false;
    assert_int_equal(s->weights->outliers_6sigma, 0);
    assert_true(s->why->column_share < 0.1);
    assert_int_equal(strstr(s->text, " more. Error") != NULL, 10 * s->worse < s->count);
    return true;
}

static void check_weights(const Said *s) {
    const bool told = strstr(s->text, "of the weights do") || strstr(s->text, "of the weights stand out");
    assert_int_equal(told, s->weights->outliers_6sigma > 0);
    const bool factors = s->decision->activations != POLICY_NONE && (s->decision->lae || s->decision->smooth);
    if (strstr(s->text, "widens") || strstr(s->text, "moves into")) assert_true(factors);
    if (!factors) assert_true(s->why->weights_plain == s->why->weights);
    if (strstr(s->text, "moves into")) assert_true(s->why->weights >= 2 * s->why->weights_plain);
}

static void check_shares(const Said *s) {
    char share[16], expected[32];
    if (isnan(why_weights_share(s->why)) || s->decision->activations == POLICY_NONE) return;
    snprintf(expected, sizeof expected, "%s weights", why_percent(why_weights_share(s->why), share, sizeof share));
    assert_non_null(strstr(s->text, expected));
    snprintf(expected, sizeof expected, "%s input", why_percent(1 - why_weights_share(s->why), share, sizeof share));
    assert_non_null(strstr(s->text, expected));
}

typedef struct Tally {
    int channels, silent, moved;
} Tally;

static void check_linear(const Plan *plan, const Why *whys, const double *db, int linear, Tally *tally) {
    const ModelStats *stats = engine_stats(engine);
    const WhyPlace place = why_place(db, plan->linear_count, linear);
    char text[400];
    Said s = {.text = text,
              .why = &whys[linear],
              .input = &stats->inputs[engine_structure(engine)->linears[linear].input],
              .weights = &stats->weights[linear],
              .decision = &plan->decisions[linear]};
    why_text(s.why, s.weights, s.decision, place, text, sizeof text);
    for (int i = 0; i < plan->linear_count; i++) {
        s.count += !isnan(db[i]);
        s.worse += db[i] < db[linear];
    }
    check_channel(&s);
    check_weights(&s);
    check_shares(&s);
    tally->silent += check_silence(&s);
    tally->channels += strstr(text, "Input channel ") != NULL;
    tally->moved += strstr(text, "moves into") != NULL;
    assert_null(strstr(text, "Nothing stands out"));
}

static void check_recipe(const Recipe *recipe, Tally *tally) {
    Error err = {0};
    Plan plan;
    if (!engine_make_plan(engine, recipe, &plan, &err)) fail_msg("%s", err.message);
    Why *whys = array_new((size_t)plan.linear_count, sizeof *whys);
    double *db = array_new((size_t)plan.linear_count, sizeof *db);
    assert_true(whys && db);
    for (int i = 0; i < plan.linear_count; i++) {
        db[i] = NAN;
        if (!plan.decisions[i].quantized) continue;
        if (!engine_why(engine, &plan, i, &whys[i], &err)) fail_msg("%s", err.message);
        db[i] = why_db(&whys[i]);
    }
    for (int i = 0; i < plan.linear_count; i++)
        if (plan.decisions[i].quantized) check_linear(&plan, whys, db, i, tally);
    free(whys);
    free(db);
    plan_free(&plan);
}

static void no_sentence_contradicts_its_figures(void **state) {
    (void)state;
    Tally tally = {0};
    for (uint32_t i = 0; i < RECIPES; i++) {
        Recipe recipe = random_recipe(i);
        check_recipe(&recipe, &tally);
        recipe_free(&recipe);
    }
    print_message("%d with a channel, %d with nothing, %d with factors to blame\n", tally.channels, tally.silent,
                  tally.moved);
    assert_true(tally.channels > 0);
    if (!getenv("QUANTDIAL_TEST_MODEL")) assert_true(tally.silent > 0 && tally.moved > 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(no_sentence_contradicts_its_figures)};
    return cmocka_run_group_tests_name("reasons", tests, open_model, close_model);
}
