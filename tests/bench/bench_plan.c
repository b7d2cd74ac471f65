// How long a plan takes after a dial turn, how fast votes are counted and weights become integers. Prints figures,
// judges nothing.
#include <stdio.h>
#include <stdlib.h>

#include "base/array.h"
#include "base/clock.h"
#include "base/random.h"
#include "kernels/measure.h"
#include "quant/quantize.h"
#include "quant/vote_counts.h"
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

enum { ROWS = 4096, COLUMNS = 11008 };

static uint16_t *random_bf16(void) {
    uint16_t *w = array_new((size_t)ROWS * COLUMNS, sizeof *w);
    Random random = random_seeded(1);
    for (size_t i = 0; w && i < (size_t)ROWS * COLUMNS; i++)
        w[i] = float_to_bf16((float)random_uniform(&random) - 0.5f);
    return w;
}

static void bench_votes(const uint16_t *w) {
    Error err = {0};
    size_t groups = (size_t)ROWS * COLUMNS / LADDER_FLOOR;
    float *low = array_new(groups, sizeof *low), *high = array_new(groups, sizeof *high);
    if (!low || !high) exit(1);
    group_ranges(DTYPE_BF16, w, ROWS, COLUMNS, LADDER_FLOOR, low, high);
    VoteCounts votes;
    double start = clock_seconds();
    if (!vote_counts_build(low, high, ROWS, COLUMNS, LADDER_FLOOR, &votes, &err)) fail(&err);
    printf("votes of %d × %d                   %8.1f ms\n", ROWS, COLUMNS, 1e3 * (clock_seconds() - start));
    vote_counts_free(&votes);
    free(low);
    free(high);
}

static void bench_quantize(const uint16_t *w, size_t group, bool errors) {
    Error err = {0};
    Tensor tensor = {.name = "w", .dtype = DTYPE_BF16, .data = w};
    Linear linear = {.name = (char *)"w", .out = ROWS, .in = COLUMNS, .weight = &tensor};
    Decision decision = {.bits = 4, .group = group, .granularity = GRANULARITY_GROUP, .scale_dtype = DTYPE_BF16};
    double best = 1e9;
    for (int i = 0; i < 5; i++) {
        QuantizedWeight q;
        WeightError error;
        double start = clock_seconds();
        if (!quantize_linear(&linear, &decision, NULL, NULL, &q, errors ? &error : NULL, &err)) fail(&err);
        double took = clock_seconds() - start;
        if (took < best) best = took;
        quantized_weight_free(&q);
    }
    printf("bf16 → int4, groups of %5zu%s %8.2f GB/s of bf16\n", group, errors ? ", with errors" : "             ",
           2e-9 * ROWS * COLUMNS / best);
}

int main(void) {
    bench_plans();
    uint16_t *w = random_bf16();
    if (!w) return 1;
    bench_votes(w);
    bench_quantize(w, 64, false);
    bench_quantize(w, 64, true);
    bench_quantize(w, COLUMNS, false);
    free(w);
    return 0;
}
