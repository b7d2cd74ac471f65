// How long a plan takes after a dial turn. Prints figures, judges nothing.
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "quant/plan.h"
// Benchmarks are linked with the library alone.
#include "tests/support/toy_model.c" // NOLINT(bugprone-suspicious-include)

enum { LAYERS = 80, TURNS = 200 };

static void fail(const Error *err) {
    fprintf(stderr, "%s\n", err->message);
    exit(1);
}

// The best of many: what is left is the work itself.
static double seconds_per_plan(ToyModel *model, Recipe *recipe) {
    Error err = {0};
    double best = 1e9;
    for (int turn = 0; turn < TURNS; turn++) {
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
    if (!recipe_standard(&recipe, &err)) fail(&err);
    for (int i = 0; i < model.structure.linear_count; i++) toy_votes(&model, i, i % 3 ? -1 : 5, (uint64_t)i);
    int linears = model.structure.linear_count - 1;
    printf("plan, %d linears                       %8.3f ms\n", linears, 1e3 * seconds_per_plan(&model, &recipe));
    for (int i = 0; i < linears; i++) {
        double eight = 8;
        if (!recipe_override(&recipe, model.structure.linears[i].name, DIAL_BITS, &eight, &err)) fail(&err);
    }
    printf("plan, %d linears, an override for each %8.3f ms\n", linears, 1e3 * seconds_per_plan(&model, &recipe));
    recipe_free(&recipe);
    toy_model_free(&model);
}

int main(void) {
    bench_plans();
    return 0;
}
