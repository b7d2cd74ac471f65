// Every family against transformers (tools/fixtures/make_families.py): logits of all positions at once and token by
// token, what calibration sees, and where scales can be folded.
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/array.h"
#include "tests/support/fixture_model.h"

#define BOUND 1e-4 // of the largest logit, in float

static const char *const names[] = {
    "llama-yarn",
    "llama-yarn-mscale",
    "llama-dynamic",
    "mistral-window",
    "qwen2-window",
    "qwen3-tied",
    "qwen3-bias",
    "gemma",
    "gemma2",
    "gemma3-text",
    "gemma3-nested",
    "phi3",
    "phi3-longrope",
    "phi3-longrope-short",
    "gpt2",
    "gpt2-scaled",
    "gpt-neo",
    "gpt-neo-wide",
    "gpt-neox",
    "gpt-neox-sequential",
    "opt",
    "opt-post-norm",
    "opt-no-bias",
    "bloom",
    "bloom-odd-heads",
    "falcon",
    "falcon-groups",
    "falcon-groups-one-norm",
    "falcon-alibi",
    "mixtral",
    "qwen2-moe",
    "qwen2-moe-normed",
    "qwen3-moe",
};
enum { NAMES = sizeof names / sizeof *names };

static void open_model(const char *name, Precision precision, FixtureModel *model) {
    char folder[128];
    snprintf(folder, sizeof folder, "tests/fixtures/families/%s", name);
    fixture_model_open(folder, precision, model);
}

static float *token_by_token(const FixtureModel *model) {
    Session *session;
    Error err = {0};
    size_t vocab = (size_t)model->config.vocab;
    float *logits = array_new(model->tokens * vocab, sizeof *logits);
    assert_non_null(logits);
    if (!session_new(model->base, model->tokens, &session, &err)) fail_msg("%s", err.message);
    for (size_t t = 0; t < model->tokens; t++) {
        if (!transformer_forward(model->base, session, &model->ids[t], 1, false, logits + t * vocab, NULL, &err))
            fail_msg("%s", err.message);
    }
    session_free(session);
    return logits;
}

static double difference(const FixtureModel *model, float *logits) {
    double d = relative_difference(logits, model->logits, model->tokens * (size_t)model->config.vocab);
    free(logits);
    return d;
}

static void in_float_they_equal_transformers(void **state) {
    (void)state;
    int wrong = 0;
    for (int i = 0; i < NAMES; i++) {
        FixtureModel model;
        open_model(names[i], PRECISION_F32, &model);
        double whole = difference(&model, fixture_logits(model.base, model.ids, model.tokens));
        double single = difference(&model, token_by_token(&model));
        bool right = whole <= BOUND && single <= BOUND;
        print_message("%-24s all at once %.1e, token by token %.1e%s\n", names[i], whole, single,
                      right ? "" : "  <--- wrong");
        wrong += !right;
        fixture_model_close(&model);
    }
    assert_int_equal(wrong, 0);
}

static void in_native_precision_they_are_near(void **state) {
    (void)state;
    for (int i = 0; i < NAMES; i++) {
        FixtureModel model;
        open_model(names[i], PRECISION_NATIVE, &model);
        double d = difference(&model, fixture_logits(model.base, model.ids, model.tokens));
        // A token near the border between two experts may take the other one.
        if (!(d <= 0.15) && model.config.experts.count == 0) fail_msg("%s: %.2e", names[i], d);
        fixture_model_close(&model);
    }
}

// ---- Observer ----

enum { MOST_INPUTS = 128 };

typedef struct Seen {
    int calls[MOST_INPUTS];
    size_t tokens[MOST_INPUTS], widths[MOST_INPUTS];
} Seen;

static void see(void *context, int input, const float *x, size_t tokens, size_t width) {
    Seen *seen = context;
    assert_in_range(input, 0, MOST_INPUTS - 1);
    seen->calls[input]++;
    seen->tokens[input] += tokens;
    seen->widths[input] = width;
    for (size_t i = 0; i < tokens * width; i++) assert_true(isfinite(x[i]));
}

// Every linear's input once, of the width that it reads; experts see the tokens that were sent to them, which together
// are as many as the tokens times the experts of each.
static void check_seen(const FixtureModel *model, const Seen *seen) {
    const ModelStructure *s = &model->structure;
    size_t routed = 0, layers_with_experts = 0;
    for (int i = 0; i < s->linear_count; i++) {
        const Linear *linear = &s->linears[i];
        if (linear->expert >= 0) {
            if (seen->calls[linear->input]) assert_int_equal(seen->widths[linear->input], linear->in);
            if (linear->role == ROLE_DOWN) routed += seen->tokens[linear->input];
            continue;
        }
        assert_int_equal(seen->calls[linear->input], 1);
        assert_int_equal(seen->tokens[linear->input], model->tokens);
        assert_int_equal(seen->widths[linear->input], linear->in);
    }
    for (int layer = 0; layer < model->config.layers; layer++) layers_with_experts += s->layers[layer].router >= 0;
    assert_int_equal(routed, layers_with_experts * model->tokens * (size_t)model->config.experts.per_token);
}

static void the_observer_sees_every_input_once(void **state) {
    (void)state;
    for (int i = 0; i < NAMES; i++) {
        FixtureModel model;
        Session *session;
        Error err = {0};
        Seen seen = {0};
        const Observer observer = {see, &seen};
        open_model(names[i], PRECISION_F32, &model);
        float *logits = array_new(model.tokens * (size_t)model.config.vocab, sizeof *logits);
        assert_true(session_new(model.base, model.tokens, &session, &err));
        assert_true(transformer_forward(model.base, session, model.ids, model.tokens, true, logits, &observer, &err));
        assert_true(model.structure.input_count <= MOST_INPUTS);
        check_seen(&model, &seen);
        session_free(session);
        free(logits);
        fixture_model_close(&model);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(in_float_they_equal_transformers),
        cmocka_unit_test(in_native_precision_they_are_near),
        cmocka_unit_test(the_observer_sees_every_input_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
