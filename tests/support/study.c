#include "tests/support/study.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "analysis/methods.h"
#include "analysis/tokens.h"
#include "tests/support/slow_checks.h"

enum { WINDOW = 24, WINDOWS = 4 };

// Under valgrind two windows must do.
static size_t study_tokens(void) { return (slow_checks() ? WINDOWS : 2) * WINDOW; }

static void must(bool ok, const Error *err) {
    if (!ok) fail_msg("%s", err->message);
}

static Evaluator *evaluator_for(StudyFixture *s, size_t tokens) {
    Error err = {0};
    Evaluator *evaluator;
    TokenIds ids = {0};
    must(tokens_random((size_t)s->model.config.vocab, WINDOWS * WINDOW, 7, &ids, &err), &err);
    must(evaluator_new(s->model.base, ids.ids, tokens, WINDOW, (size_t)1 << 30, &evaluator, &err), &err);
    token_ids_free(&ids);
    return evaluator;
}

void study_open(const char *cache, StudyFixture *out) {
    Error err = {0};
    TokenIds ids = {0};
    *out = (StudyFixture){0};
    fixture_model_open(STUDY_MODEL, PRECISION_F32, &out->model);
    must(model_stats_new(&out->model.structure, &out->stats, &err), &err);
    for (int i = 0; i < out->model.structure.linear_count; i++)
        must(weight_stats_measure(&out->model.structure, i, &out->stats, &err), &err);
    must(tokens_random((size_t)out->model.config.vocab, WINDOWS * WINDOW, 8, &ids, &err), &err);
    must(calibrate(out->model.base, ids.ids, WINDOWS, WINDOW, &out->stats, NULL, &err), &err);
    token_ids_free(&ids);
    out->evaluator = evaluator_for(out, study_tokens());
    must(quantized_model_new(out->model.base, &out->quantized, &err), &err);
    must(
        trial_begin(out->model.base, out->quantized, out->evaluator, &out->stats.measured, cache, 1, &out->trial, &err),
        &err);
}

void study_close(StudyFixture *s) {
    trial_end(&s->trial);
    quantized_model_free(s->quantized);
    evaluator_free(s->evaluator);
    model_stats_free(&s->stats);
    fixture_model_close(&s->model);
}

Plan study_plan(const StudyFixture *s, const char *dials) {
    Error err = {0};
    Recipe recipe;
    Plan plan;
    must(recipe_default(&recipe, &err), &err);
    must(recipe_turn(&recipe, dials, &err), &err);
    must(plan_make(&recipe, &s->model.structure, &s->stats.measured, &plan, &err), &err);
    recipe_free(&recipe);
    return plan;
}

static double kl_by(StudyFixture *s, const Plan *plan, Evaluator *evaluator) {
    Error err = {0};
    Accuracy accuracy;
    QuantizedModel *model;
    must(quantized_model_new(s->model.base, &model, &err), &err);
    must(quantized_model_follow(model, plan, &s->stats.measured, NULL, NULL, &err), &err);
    must(evaluator_run(evaluator, quantized_model_transformer(model), 0, NULL, NULL, &accuracy, NULL, &err), &err);
    evaluator_free(evaluator);
    quantized_model_free(model);
    return accuracy.kl_mean;
}

double study_kl(StudyFixture *s, const Plan *plan) { return kl_by(s, plan, evaluator_for(s, study_tokens())); }

double study_two_windows_kl(StudyFixture *s, const Plan *plan, size_t second) {
    Error err = {0};
    Evaluator *evaluator;
    size_t count, window;
    int32_t both[2 * WINDOW];
    const int32_t *ids = evaluator_ids(s->evaluator, &count, &window);
    memcpy(both, ids, sizeof both / 2);
    memcpy(both + WINDOW, ids + second * WINDOW, sizeof both / 2);
    must(evaluator_new(s->model.base, both, (size_t)2 * WINDOW, WINDOW, (size_t)1 << 30, &evaluator, &err), &err);
    return kl_by(s, plan, evaluator);
}
