// How long a plan takes after a dial turn. Prints figures, judges nothing.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "analysis/budget.h"
#include "analysis/tune.h"
#include "base/array.h"
#include "base/clock.h"
#include "quant/equalize.h"
#include "quant/plan.h"
// Benchmarks are linked with the library alone.
#include "tests/support/toy_model.c" // NOLINT(bugprone-suspicious-include)

enum { LAYERS = 80, TURNS = 200 };
// As Qwen3-30B-A3B.
enum { EXPERT_LAYERS = 48, EXPERTS = 128, EXPERT_HIDDEN = 2048, EXPERT_FFN = 768, EXPERT_TURNS = 10 };

static void fail(const Error *err) {
    fprintf(stderr, "%s\n", err->message);
    exit(1);
}

// The best of many: what is left is the work itself.
static double seconds_per_plan(ToyModel *model, Recipe *recipe, int turns) {
    Error err = {0};
    double best = 1e9;
    for (int turn = 0; turn < turns; turn++) {
        Plan plan;
        recipe->value[DIAL_ALPHA] = dial_turn(DIAL_ALPHA, 0, turn % 100, false);
        double start = clock_seconds();
        if (!plan_make(recipe, &model->structure, &model->measured, &plan, &err)) fail(&err);
        double took = clock_seconds() - start;
        if (took < best) best = took;
        plan_free(&plan);
    }
    return best;
}

static void bench_plans(void) {
    Error err = {0};
    ToyModel model;
    Recipe recipe;
    toy_model_new(LAYERS, 512, 128, 1408, DTYPE_BF16, &model);
    if (!recipe_default(&recipe, &err)) fail(&err);
    for (int i = 0; i < model.structure.linear_count; i++) toy_votes(&model, i, i % 3 ? -1 : 5, (uint64_t)i);
    int linears = model.structure.linear_count - 1;
    printf("plan, %d linears                       %8.3f ms\n", linears,
           1e3 * seconds_per_plan(&model, &recipe, TURNS));
    for (int i = 0; i < linears; i++) {
        double eight = 8;
        if (!recipe_override(&recipe, model.structure.linears[i].name, DIAL_BITS, &eight, &err)) fail(&err);
    }
    printf("plan, %d linears, an override for each %8.3f ms\n", linears,
           1e3 * seconds_per_plan(&model, &recipe, TURNS));
    recipe_free(&recipe);
    toy_model_free(&model);
}

static double seconds_for_row_readers(ToyModel *model, const Recipe *recipe) {
    Error err = {0};
    Plan plan;
    int *readers = array_new((size_t)model->structure.linear_count, sizeof *readers);
    if (!readers || !plan_make(recipe, &model->structure, &model->measured, &plan, &err)) fail(&err);
    double start = clock_seconds();
    equalize_row_readers(&model->structure, &plan, readers);
    double took = clock_seconds() - start;
    plan_free(&plan);
    free(readers);
    return took;
}

static double thread_seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

// What the screen asks with an engine chosen: processor time, the best of some.
static void bench_engine(const ToyModel *model, const Recipe *recipe, const char *what) {
    Error err = {0};
    const VerdictWish wish = {EXPORT_COMPRESSED_TENSORS, 1U << TARGET_VLLM_SM80, false};
    const Engines engines = engines_of(&wish);
    const size_t n = (size_t)model->structure.linear_count;
    TuneGoal goal = {.max_bits = 4, .bits = {2, 3, 4, 8}, .engines = engines, .pace = {.meet = 1e-9}};
    int *unit = array_new(n, sizeof *unit);
    uint8_t *refused = array_new(n, sizeof *refused);
    Plan plan;
    double bounds = 1e9, forecast = 1e9, verdict = 1e9, seconds;
    if (!unit || !refused || !plan_make(recipe, &model->structure, &model->measured, &plan, &err)) fail(&err);
    for (int turn = 0; turn < EXPERT_TURNS; turn++) {
        Verdict v;
        double start = thread_seconds();
        if (!budget_bounds(recipe, &model->structure, &model->measured, &engines, unit, refused, &err)) fail(&err);
        bounds = fmin(bounds, thread_seconds() - start);
        start = thread_seconds();
        if (!tune_forecast(&model->structure, &plan, recipe, &goal, 4096, &seconds, &err)) fail(&err);
        forecast = fmin(forecast, thread_seconds() - start);
        start = thread_seconds();
        if (!verdict_make(&model->structure, &model->measured, &plan, &wish, &v, &err)) fail(&err);
        verdict = fmin(verdict, thread_seconds() - start);
        verdict_free(&v);
    }
    printf("  %s, vllm-sm80: bounds %.3f ms, length of a search %.3f ms, verdict %.3f ms\n", what, 1e3 * bounds,
           1e3 * forecast, 1e3 * verdict);
    plan_free(&plan);
    free(unit);
    free(refused);
}

// All inputs in FPTQ's class LAE, folded wherever that goes; then smoothed.
static void bench_experts(void) {
    Error err = {0};
    ToyModel model;
    Recipe recipe;
    float columns[EXPERT_HIDDEN];
    for (int j = 0; j < EXPERT_HIDDEN; j++) columns[j] = (float)(1 + j % 7);
    toy_experts_new(EXPERT_LAYERS, EXPERTS, EXPERT_HIDDEN, EXPERT_FFN, &model);
    for (int i = 0; i < model.structure.linear_count; i++)
        model.measured.weights[i] = (WeightMeasure){.known = true, .column_absmax = columns};
    for (int i = 0; i < model.structure.input_count; i++) {
        model.measured.inputs[i].range = 30;
        model.measured.inputs[i].channel_absmax = columns;
    }
    if (!recipe_default(&recipe, &err)) fail(&err);
    recipe.value[DIAL_FOLD] = FOLDS_ALL;
    int linears = model.structure.linear_count;
    printf("plan, %d linears of experts, LAE      %8.3f ms\n", linears,
           1e3 * seconds_per_plan(&model, &recipe, EXPERT_TURNS));
    printf("  whose factors go into which rows       %8.3f ms\n", 1e3 * seconds_for_row_readers(&model, &recipe));
    recipe.value[DIAL_ACTIVATIONS] = POLICY_SMOOTHQUANT;
    recipe.value[DIAL_FOLD] = FOLDS_NORM;
    printf("plan, %d linears of experts, smoothed %8.3f ms\n", linears,
           1e3 * seconds_per_plan(&model, &recipe, EXPERT_TURNS));
    bench_engine(&model, &recipe, "smoothed");
    recipe.value[DIAL_ACTIVATIONS] = POLICY_NONE;
    bench_engine(&model, &recipe, "inputs as they are");
    recipe.value[DIAL_ACTIVATIONS] = POLICY_SMOOTHQUANT;
    for (int i = 0; i < linears; i++) {
        Override *override = recipe_add_override(&recipe, model.structure.linears[i].name, &err);
        if (!override) fail(&err);
        override->set[DIAL_BITS] = true;
        override->value[DIAL_BITS] = 8;
    }
    recipe.value[DIAL_ACTIVATIONS] = POLICY_FPTQ;
    printf("  an override for each, LAE              %8.3f ms\n",
           1e3 * seconds_per_plan(&model, &recipe, EXPERT_TURNS));
    recipe_free(&recipe);
    toy_model_free(&model);
}

int main(void) {
    bench_plans();
    bench_experts();
    return 0;
}
