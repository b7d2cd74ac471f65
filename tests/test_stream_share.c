// What is guessed of linears before they are measured: their parts of the residual stream by definition, and whether
// the guess ranks the linears of the sample.
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "analysis/statistics.h"
#include "analysis/stream_share.h"
#include "base/array.h"
#include "engine/engine.h"
#include "tests/support/slow_checks.h"

enum { MOST = 8 };

typedef struct Case {
    Linear linears[MOST];
    ModelStructure structure;
    InputSet *inputs;
    double energy[MOST], shares[MOST];
    int count;
} Case;

static void begin(Case *c) {
    *c = (Case){.inputs = input_set_new(MOST)};
    assert_non_null(c->inputs);
    c->inputs->tokens = 100;
}

static void add(Case *c, LinearRole role, int layer, int expert, double energy) {
    c->linears[c->count] = (Linear){.role = role, .layer = layer, .expert = expert, .input = c->count};
    c->energy[c->count++] = energy;
}

static void find(Case *c) {
    c->structure.linears = c->linears;
    c->structure.linear_count = c->count;
    stream_shares(&c->structure, c->inputs, c->energy, c->shares);
}

static void expect_shares(Case *c, const double *expected) {
    find(c);
    for (int i = 0; i < c->count; i++)
        if (!(fabs(c->shares[i] - expected[i]) < 1e-9)) fail_msg("%d: %g, not %g", i, c->shares[i], expected[i]);
    input_set_release(c->inputs);
}

// Of what was written so far, its own part among it; what goes into it has the same part, the head all.
static void a_share_is_of_what_is_written_so_far(void **state) {
    (void)state;
    Case c;
    begin(&c);
    add(&c, ROLE_Q, 0, -1, NAN);
    add(&c, ROLE_O, 0, -1, 1);
    add(&c, ROLE_UP, 0, -1, NAN);
    add(&c, ROLE_DOWN, 0, -1, 3);
    add(&c, ROLE_O, 1, -1, 4);
    add(&c, ROLE_DOWN, 1, -1, 2);
    add(&c, ROLE_HEAD, -1, -1, NAN);
    expect_shares(&c, (const double[]){1, 1, 0.75, 0.75, 0.5, 0.2, 1});
    begin(&c); // before inputs are known
    add(&c, ROLE_O, 0, -1, NAN);
    add(&c, ROLE_DOWN, 0, -1, NAN);
    expect_shares(&c, (const double[]){1, 1});
}

// A decoder's stream is another one than its encoder's. Norms behind each sum make it as large as before.
static void a_stream_begins_anew(void **state) {
    (void)state;
    Case c;
    begin(&c);
    add(&c, ROLE_O, 0, -1, 1);
    add(&c, ROLE_FC2, 0, -1, 1);
    add(&c, ROLE_O, 1, -1, 2);
    add(&c, ROLE_CROSS_O, 1, -1, 2);
    c.linears[0].stack = c.linears[1].stack = 'e';
    c.linears[2].stack = c.linears[3].stack = 'd';
    expect_shares(&c, (const double[]){1, 0.5, 1, 0.5});
    begin(&c);
    add(&c, ROLE_O, 0, -1, 1);
    add(&c, ROLE_FC2, 0, -1, 9);
    c.structure.config.norm_after = true;
    expect_shares(&c, (const double[]){1, 1});
}

// A norm behind a branch makes all as large.
static void norms_behind_branches_even_them_out(void **state) {
    (void)state;
    LayerMap layers[] = {{.mlp_out_norm = 3}};
    Case c;
    begin(&c);
    add(&c, ROLE_O, 0, -1, 1);
    add(&c, ROLE_DOWN, 0, -1, 9);
    c.structure.layers = layers;
    expect_shares(&c, (const double[]){1, 0.5});
}

// Experts are added at once, each for the tokens that are sent to it, and by half where two are chosen.
static void an_expert_counts_by_its_tokens(void **state) {
    (void)state;
    Case c;
    begin(&c);
    add(&c, ROLE_O, 0, -1, 1);
    add(&c, ROLE_ROUTER, 0, -1, NAN);
    add(&c, ROLE_UP, 0, 0, NAN);
    add(&c, ROLE_DOWN, 0, 0, 8);
    add(&c, ROLE_UP, 0, 1, NAN);
    add(&c, ROLE_DOWN, 0, 1, 8);
    add(&c, ROLE_DOWN, 0, 2, 8);
    c.structure.config.experts.per_token = 2;
    c.inputs->inputs[3].tokens = 75;
    c.inputs->inputs[5].tokens = 25;
    // 1 + 1.5 + 0.5 + 0
    expect_shares(&c, (const double[]){1, 1, 0.5, 0.5, 0.5 / 3, 0.5 / 3, 0});
}

// One token that reaches far makes up half of a share: all others may attend to it.
static void a_token_that_reaches_far_counts(void **state) {
    (void)state;
    float rows[] = {1, -1}, furthest[] = {10};
    Case c;
    begin(&c);
    add(&c, ROLE_DOWN, 0, -1, 3);
    add(&c, ROLE_DOWN, 1, -1, 1);
    InputStats *input = &c.inputs->inputs[1];
    *input = (InputStats){.width = 1, .sample = rows, .sample_rows = 2, .channel_absmax = furthest, .known = true};
    find(&c);
    *input = (InputStats){0}; // rows are not to be freed
    assert_true(fabs(c.shares[0] - 1) < 1e-9);
    assert_true(fabs(c.shares[1] - (0.25 + 100.0 / 103) / 2) < 1e-9);
    input_set_release(c.inputs);
}

// ---- the sample ---------------------------------------------------------------------------------------------------

static Engine *opened(double bits, Error *err) {
    Engine *engine;
    Recipe recipe;
    const EngineOptions options = {.sequences = 16, .length = 512, .eval_tokens = 1024, .threads = 2, .no_cache = true};
    if (!engine_open(&options, &engine, err) || !recipe_default(&recipe, err)) fail_msg("%s", err->message);
    recipe.value[DIAL_BITS] = bits;
    engine_set_recipe(engine, &recipe);
    if (!engine_prepare(engine, true, NULL, err)) fail_msg("%s", err->message);
    return engine;
}

// By noise in outputs, times their shares or not.
static double correlation(const Sensitivities *truth, const double *db, const double *shares) {
    double *guesses = array_new((size_t)truth->count, sizeof *guesses),
           *kl = array_new((size_t)truth->count, sizeof *kl);
    double correlation;
    assert_true(guesses && kl);
    for (int i = 0; i < truth->count; i++) {
        const int linear = truth->linears[i].linear;
        guesses[i] = pow(10, -db[linear] / 10) * (shares ? shares[linear] : 1);
        kl[i] = truth->linears[i].kl;
    }
    assert_true(rank_correlation(guesses, kl, (size_t)truth->count, &correlation, NULL));
    free(guesses);
    free(kl);
    return correlation;
}

static void check_guess(double bits, double least) {
    Error err = {0};
    Engine *engine = opened(bits, &err);
    Sensitivities truth = {0};
    const size_t linears = (size_t)engine_structure(engine)->linear_count;
    double *db = array_new(linears, sizeof *db), *shares = array_new(linears, sizeof *shares);
    assert_true(db && shares);
    if (!engine_follow(engine, engine_plan(engine), NULL, NULL, &err) ||
        !engine_output_sqnr(engine, engine_plan(engine), db, NULL, NULL, &err) ||
        !engine_stream_shares(engine, shares, NULL, &err) ||
        !engine_sensitivity(engine, engine_plan(engine), SENSITIVITY_ALONE, NULL, NULL, &truth, NULL, &err))
        fail_msg("%s", err.message);
    const double by_noise = correlation(&truth, db, NULL), by_share = correlation(&truth, db, shares);
    print_message("%g bits: ranks correlate by %.3f, by noise alone by %.3f\n", bits, by_share, by_noise);
    assert_true(by_share > least);
    assert_true(by_share > by_noise + 0.1);
    sensitivities_free(&truth);
    free(db);
    free(shares);
    engine_close(engine);
}

static void the_guess_ranks_the_linears_of_the_sample(void **state) {
    (void)state;
    if (!many_cases()) skip();
    check_guess(4, 0.65);
    check_guess(8, 0.45);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_share_is_of_what_is_written_so_far),
        cmocka_unit_test(a_stream_begins_anew),
        cmocka_unit_test(norms_behind_branches_even_them_out),
        cmocka_unit_test(an_expert_counts_by_its_tokens),
        cmocka_unit_test(a_token_that_reaches_far_counts),
        cmocka_unit_test(the_guess_ranks_the_linears_of_the_sample),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
