// Plans: what the recipe and the measured ranges lead to, on a model that has no weights.
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "quant/equalize.h"
#include "quant/lae.h"
#include "quant/plan.h"
#include "quant/vote_counts.h"
#include "tests/support/toy_model.h"

enum { Q, K, V, O, GATE, UP, DOWN, HEAD = 14 }; // linears of layer 0 of two, and the head

typedef struct Fixture {
    ToyModel model;
    Recipe recipe;
    Plan plan;
} Fixture;

static int setup(void **state) {
    Fixture *f = calloc(1, sizeof *f);
    toy_model_new(2, 256, 128, 768, DTYPE_BF16, &f->model);
    *state = f;
    return recipe_default(&f->recipe, NULL) ? 0 : -1;
}

static int teardown(void **state) {
    Fixture *f = *state;
    plan_free(&f->plan);
    recipe_free(&f->recipe);
    toy_model_free(&f->model);
    free(f);
    return 0;
}

static const Decision *plan(Fixture *f) {
    Error err = {0};
    plan_free(&f->plan);
    if (!plan_make(&f->recipe, &f->model.structure, &f->model.measured, &f->plan, &err)) fail_msg("%s", err.message);
    return f->plan.decisions;
}

static void set(Fixture *f, const char *match, Dial dial, double value) {
    if (match)
        assert_true(recipe_override(&f->recipe, match, dial, &value, NULL));
    else
        f->recipe.value[dial] = value;
}

static void range_of(Fixture *f, int linear, float range) {
    f->model.measured.inputs[f->model.structure.linears[linear].input].range = range;
}

static void assert_note(const Decision *d, const char *part) {
    if (!d->note || !strstr(d->note, part)) fail_msg("the note is \"%s\", not \"%s\"", d->note ? d->note : "", part);
}

static void by_votes(Fixture *f) { set(f, NULL, DIAL_RULE, RULE_SHRINK); }

// Votes that a test chooses: share_percent of the parents vote at each step, at every alpha.
static void votes_of(Fixture *f, int linear, const int *share_percent) {
    const Linear *l = &f->model.structure.linears[linear];
    VoteCounts *votes = &f->model.measured.weights[linear].votes;
    f->model.measured.weights[linear].known = true;
    vote_counts_free(votes);
    votes->sizes_count = ladder_sizes(l->in, 16, votes->sizes);
    for (int rule = 0; rule < 2; rule++) {
        votes->votes[rule] = calloc((size_t)votes->sizes_count * (VOTE_STEPS + 1), sizeof(uint32_t));
        for (int s = 0; s + 1 < votes->sizes_count; s++) {
            votes->parents[s] = 100;
            for (int k = 0; k <= VOTE_STEPS; k++)
                votes->votes[rule][s * (VOTE_STEPS + 1) + k] = (uint32_t)share_percent[s];
        }
    }
}

// ---- What is quantized ----

static void the_head_stays(void **state) {
    Fixture *f = *state;
    const Decision *d = plan(f);
    assert_false(d[HEAD].quantized);
    assert_note(&d[HEAD], "recipe");
    f->recipe.ignore[0][0] = 'x'; // nothing ignored any more: it is still a head
    d = plan(f);
    assert_false(d[HEAD].quantized);
    assert_note(&d[HEAD], "head and routers");
    set(f, "*head", DIAL_BITS, 8); // a glob that happens to match does not mean it
    assert_false(plan(f)[HEAD].quantized);
    set(f, "lm_head", DIAL_V0, 8); // nor do activations
    assert_false(plan(f)[HEAD].quantized);
    set(f, "lm_head", DIAL_BITS, 8);
    assert_true(plan(f)[HEAD].quantized);
    assert_int_equal(plan(f)[HEAD].bits, 8);
}

static void ignored_linears_stay(void **state) {
    Fixture *f = *state;
    assert_true(recipe_ignore(&f->recipe, "*.layers.0.*", NULL));
    set(f, "model.layers.0.self_attn.q_proj", DIAL_BITS, 8);
    const Decision *d = plan(f);
    for (int i = 0; i < 7; i++) {
        assert_false(d[i].quantized);
        assert_int_equal(d[i].activations, POLICY_NONE);
        assert_int_equal(d[i].bytes, f->model.structure.linears[i].weight->bytes);
        assert_true(d[i].bits_per_weight == 16);
        assert_true(d[7 + i].quantized);
    }
    assert_int_equal(f->plan.quantized_count, 7);
}

static void types_that_are_no_floats_stay(void **state) {
    Fixture *f = *state;
    f->model.tensors[O].dtype = DTYPE_F8_E4M3;
    const Decision *d = plan(f);
    assert_false(d[O].quantized);
    assert_note(&d[O], "type");
}

static void overrides_apply_in_order(void **state) {
    Fixture *f = *state;
    set(f, "model.layers.0.mlp.up_proj", DIAL_BITS, 2);
    set(f, "*.up_proj", DIAL_BITS, 8);
    set(f, "*.up_proj", DIAL_ALPHA, 0.1);
    set(f, "model.layers.1.mlp.up_proj", DIAL_BITS, 3);
    const Decision *d = plan(f);
    assert_int_equal(d[UP].bits, 8);
    assert_int_equal(d[7 + UP].bits, 3);
    assert_int_equal(d[DOWN].bits, 4);
}

// ---- Group sizes ----

static void plain_granularities(void **state) {
    Fixture *f = *state;
    set(f, NULL, DIAL_GRANULARITY, GRANULARITY_GROUP);
    const Decision *d = plan(f);
    assert_int_equal(d[Q].granularity, GRANULARITY_GROUP);
    assert_int_equal(d[Q].group, 128);
    assert_int_equal(f->plan.refined_count, 14);
    set(f, NULL, DIAL_GROUP_SIZE, 256);
    assert_int_equal(plan(f)[Q].granularity, GRANULARITY_CHANNEL); // the group is the row
    assert_null(plan(f)[Q].note);
    set(f, NULL, DIAL_GROUP_SIZE, 512);
    d = plan(f);
    assert_int_equal(d[Q].group, 256);
    assert_note(&d[Q], "beyond the row");
    assert_int_equal(d[DOWN].group, 512);
    assert_note(&d[DOWN], "smaller");
    set(f, NULL, DIAL_GRANULARITY, GRANULARITY_TENSOR);
    d = plan(f);
    assert_int_equal(d[Q].granularity, GRANULARITY_TENSOR);
    assert_int_equal(d[Q].group, 256);
    set(f, NULL, DIAL_GRANULARITY, GRANULARITY_CHANNEL);
    assert_int_equal(plan(f)[DOWN].group, 768);
    assert_int_equal(f->plan.refined_count, 0);
}

static void the_ladder_is_walked_while_enough_vote(void **state) {
    Fixture *f = *state;
    by_votes(f);
    votes_of(f, Q, (const int[]){5, 3, 0, 9}); // 256 → 128 → 64, then nobody; 9 % at 32 → 16 are never asked
    votes_of(f, DOWN, (const int[]){100, 100, 100, 100, 100});
    votes_of(f, O, (const int[]){0, 100, 100, 100});
    const Decision *d = plan(f);
    assert_int_equal(d[Q].group, 64);
    assert_int_equal(d[Q].steps, 3);
    assert_int_equal(d[Q].step_size[0], 256);
    assert_int_equal(d[Q].step_size[2], 64);
    assert_true(fabsf(d[Q].step_share[1] - 0.03f) < 1e-6f);
    assert_int_equal(d[DOWN].group, 32); // the floor; 768 is followed by 256
    assert_int_equal(d[DOWN].step_size[1], 256);
    assert_int_equal(d[O].granularity, GRANULARITY_CHANNEL);
    set(f, NULL, DIAL_MIN_GROUP, 16);
    assert_int_equal(plan(f)[DOWN].group, 16);
    assert_int_equal(plan(f)[Q].group, 64);
}

static void the_quorum_decides(void **state) {
    Fixture *f = *state;
    by_votes(f);
    votes_of(f, Q, (const int[]){50, 10, 1, 1});
    set(f, NULL, DIAL_QUORUM, 0.1);
    assert_int_equal(plan(f)[Q].group, 64); // 10 % is enough for 10 %
    set(f, NULL, DIAL_QUORUM, 0.11);
    assert_int_equal(plan(f)[Q].group, 128);
    set(f, NULL, DIAL_QUORUM, 0);
    assert_int_equal(plan(f)[Q].group, 32);
    set(f, NULL, DIAL_QUORUM, 1);
    assert_int_equal(plan(f)[Q].group, 256);
    votes_of(f, Q, (const int[]){0, 0, 0, 0});
    set(f, NULL, DIAL_QUORUM, 0); // any single one: but there is none
    assert_int_equal(plan(f)[Q].group, 256);
}

static void the_start_and_the_floor(void **state) {
    Fixture *f = *state;
    by_votes(f);
    for (int i = 0; i < 7; i++) votes_of(f, i, (const int[]){0, 0, 0, 0, 0});
    set(f, NULL, DIAL_MAX_GROUP, 512);
    const Decision *d = plan(f);
    assert_int_equal(d[Q].group, 256);
    assert_int_equal(d[DOWN].group, 256); // the first size of the ladder that is not above 512
    set(f, NULL, DIAL_MAX_GROUP, 64);
    assert_int_equal(plan(f)[Q].group, 64);
    set(f, NULL, DIAL_MIN_GROUP, 128);
    d = plan(f);
    assert_int_equal(d[Q].group, 128);
    assert_note(&d[Q], "min-group");
}

static void rows_that_no_group_divides(void **state) {
    Fixture *f = *state;
    toy_model_free(&f->model);
    toy_model_new(2, 40, 40, 88, DTYPE_F16, &f->model);
    for (int i = 0; i < 7; i++) votes_of(f, i, (const int[]){100, 100, 100, 100});
    set(f, NULL, DIAL_MAX_GROUP, 16);
    const Decision *d = plan(f);
    assert_int_equal(d[Q].group, 40);
    assert_int_equal(d[Q].granularity, GRANULARITY_CHANNEL);
    assert_int_equal(d[Q].steps, 0);
}

static void weights_not_measured_yet_are_per_channel(void **state) {
    Fixture *f = *state;
    const Decision *d = plan(f);
    assert_int_equal(d[Q].granularity, GRANULARITY_CHANNEL);
    assert_note(&d[Q], "not measured");
    Plan bare;
    assert_true(plan_make(&f->recipe, &f->model.structure, NULL, &bare, NULL));
    assert_false(bare.calibrated);
    assert_int_equal(bare.decisions[Q].activations, POLICY_NONE);
    plan_free(&bare);
}

static void outliers_make_groups_smaller(void **state) {
    Fixture *f = *state;
    by_votes(f);
    toy_votes(&f->model, Q, -1, 1);
    toy_votes(&f->model, O, 77, 1);
    set(f, NULL, DIAL_ALPHA, 0.6);
    const Decision *d = plan(f);
    assert_int_equal(d[Q].group, 256);
    assert_int_equal(d[O].group, 32);
    set(f, NULL, DIAL_ALPHA, 0.99);
    assert_int_equal(plan(f)[O].group, 256); // a large alpha overlooks outliers
    set(f, NULL, DIAL_ALPHA, 0.01);
    assert_int_equal(plan(f)[Q].group, 32); // a small one splits everything
}

static void assert_groups(const Plan *plan, size_t group) {
    for (int i = 0; i < HEAD; i++) {
        if (plan->decisions[i].group != group)
            fail_msg("linear %d: groups of %zu, not %zu", i, plan->decisions[i].group, group);
    }
}

// One alpha means one size for all of them, however wide they are and whatever they are quantized to.
static void normal_weights_get_one_size(void **state) {
    Fixture *f = *state;
    static const double bits[] = {2, 3, 4, 8};
    static const Grid grids[] = {GRID_SYMMETRIC, GRID_ASYMMETRIC, GRID_LOG2, GRID_TWO_LEVEL};
    for (int i = 0; i < HEAD; i++) toy_votes(&f->model, i, -1, (uint64_t)i);
    for (size_t b = 0; b < sizeof bits / sizeof *bits; b++) {
        for (size_t g = 0; g < sizeof grids / sizeof *grids; g++) {
            set(f, NULL, DIAL_BITS, bits[b]);
            set(f, NULL, DIAL_GRID, grids[g]);
            set(f, NULL, DIAL_ALPHA, dial_table[DIAL_ALPHA].default_value);
            plan(f);
            assert_groups(&f->plan, 64);
            set(f, NULL, DIAL_ALPHA, 0.2);
            plan(f);
            assert_groups(&f->plan, 32);
            set(f, NULL, DIAL_ALPHA, 0.4);
            plan(f);
            assert_groups(&f->plan, 128);
        }
    }
}

static void noise_is_held_against_the_ceiling(void **state) {
    Fixture *f = *state;
    toy_votes(&f->model, Q, -1, 1);
    toy_votes(&f->model, O, 77, 1);
    toy_votes(&f->model, DOWN, -1, 1);
    const Decision *d = plan(f), *q = &d[Q], *o = &d[O];
    assert_int_equal(q->group, 64);
    assert_int_equal(q->steps, 3); // 256, 128, and the one that was chosen
    assert_int_equal(q->step_size[2], 64);
    assert_true(q->step_share[1] > q->noise_ceiling && q->step_share[2] < q->noise_ceiling);
    assert_int_equal(o->group, 32); // one column of 256 that is ten times as large costs smaller groups
    assert_int_equal(o->steps, 4);
    assert_true(o->noise_ceiling == q->noise_ceiling && o->step_share[2] > o->noise_ceiling);
    assert_int_equal(d[DOWN].step_size[1], 256); // 768 is followed by 256
    set(f, NULL, DIAL_ALPHA, 0);
    assert_int_equal(plan(f)[Q].group, 32); // the floor, though it is above the ceiling
    assert_true(f->plan.decisions[Q].step_share[3] > f->plan.decisions[Q].noise_ceiling);
    set(f, NULL, DIAL_ALPHA, 1);
    assert_int_equal(plan(f)[Q].group, 256);
    assert_int_equal(plan(f)[O].group, 32); // no alpha overlooks such a column
    set(f, NULL, DIAL_MAX_GROUP, 128);
    assert_int_equal(plan(f)[Q].group, 128);
    set(f, NULL, DIAL_QUORUM, 1); // no part in it
    assert_int_equal(plan(f)[Q].group, 128);
    by_votes(f);
    assert_true(plan(f)[Q].noise_ceiling == 0);
}

static void fused_sets_share_the_smallest_group(void **state) {
    Fixture *f = *state;
    by_votes(f);
    votes_of(f, Q, (const int[]){0, 0, 0, 0});
    votes_of(f, K, (const int[]){100, 100, 0, 0});
    votes_of(f, V, (const int[]){100, 0, 0, 0});
    votes_of(f, O, (const int[]){0, 0, 0, 0});
    const Decision *d = plan(f);
    assert_int_equal(d[Q].group, 256);
    assert_int_equal(d[V].group, 128);
    set(f, NULL, DIAL_FUSED, 1);
    d = plan(f);
    assert_int_equal(d[Q].group, 64);
    assert_int_equal(d[Q].granularity, GRANULARITY_GROUP);
    assert_note(&d[Q], "fused");
    assert_null(d[K].note);
    assert_int_equal(d[V].group, 64);
    assert_int_equal(d[O].group, 256);
    assert_true(recipe_ignore(&f->recipe, "*.0.self_attn.k_proj", NULL)); // what stays as it is asks for nothing
    assert_int_equal(plan(f)[Q].group, 128);
}

static void differences_within_a_fused_set_are_noted(void **state) {
    Fixture *f = *state;
    set(f, NULL, DIAL_FUSED, 1);
    set(f, NULL, DIAL_GRANULARITY, GRANULARITY_CHANNEL);
    set(f, "*.0.mlp.up_proj", DIAL_BITS, 8);
    const Decision *d = plan(f);
    assert_int_equal(d[UP].bits, 8);
    assert_note(&d[UP], "differ");
    assert_null(d[7 + UP].note);
}

// ---- Activations ----

static void classes_by_range(void **state) {
    Fixture *f = *state;
    set(f, NULL, DIAL_GRANULARITY, GRANULARITY_CHANNEL);
    set(f, NULL, DIAL_V0, 15);
    range_of(f, Q, 15);
    range_of(f, GATE, 15.001f);
    range_of(f, 7 + Q, 149.999f);
    range_of(f, 7 + GATE, 150);
    const Decision *d = plan(f);
    assert_int_equal(d[Q].input_class, CLASS_STATIC);
    assert_int_equal(d[Q].activations, POLICY_STATIC);
    assert_true(d[Q].activation_scale == 15.0f / 127);
    assert_int_equal(d[GATE].input_class, CLASS_LAE);
    assert_true(d[GATE].lae && d[GATE].fold == FOLD_NORM && d[GATE].fold_index == 1);
    assert_int_equal(d[7 + Q].input_class, CLASS_LAE);
    assert_int_equal(d[7 + Q].activations, POLICY_STATIC);
    assert_true(d[7 + Q].activation_scale == lae_range(149.999f, 1) / 127);
    assert_int_equal(d[7 + GATE].input_class, CLASS_TOKEN);
    assert_int_equal(d[7 + GATE].activations, POLICY_TOKEN);
    assert_int_equal(f->plan.class_count[CLASS_LAE], 5);
    assert_int_equal(f->plan.class_count[CLASS_TOKEN], 2);
    assert_int_equal(f->plan.class_count[CLASS_STATIC], 8); // the head's input has a class too
    assert_string_equal(class_name(CLASS_LAE), "LAE");
}

static void thresholds_that_meet_leave_no_middle(void **state) {
    Fixture *f = *state;
    set(f, NULL, DIAL_V0, 15);
    set(f, NULL, DIAL_V1, 15);
    range_of(f, Q, 15);
    range_of(f, GATE, 15.001f);
    assert_int_equal(plan(f)[Q].input_class, CLASS_STATIC);
    assert_int_equal(plan(f)[GATE].input_class, CLASS_TOKEN);
    set(f, NULL, DIAL_V1, 10); // below v0: v0 wins
    range_of(f, Q, 12);
    assert_int_equal(plan(f)[Q].input_class, CLASS_STATIC);
    assert_int_equal(plan(f)[GATE].input_class, CLASS_TOKEN);
}

// 8 query heads of 32 over 4 kv heads.
static void set_heads(Fixture *f) {
    f->model.structure.config.heads = 8;
    f->model.structure.config.kv_heads = 4;
    f->model.structure.config.head_dim = 32;
}

static int rows_for(const Fixture *f, int index) {
    int readers[HEAD + 1];
    equalize_row_readers(&f->model.structure, &f->plan, readers);
    return readers[index];
}

static void all_folds_reach_the_linear_before(void **state) {
    Fixture *f = *state;
    range_of(f, O, 100);
    range_of(f, DOWN, 100);
    set(f, NULL, DIAL_FOLD, FOLDS_ALL);
    const Decision *d = plan(f);
    assert_false(d[O].lae); // 256 columns cannot be 128 rows without heads that repeat
    assert_note(&d[O], "are not the rows");
    set_heads(f);
    d = plan(f);
    assert_true(d[O].lae && d[O].fold == FOLD_LINEAR_ROWS && d[O].fold_index == V);
    assert_true(d[DOWN].lae && d[DOWN].fold == FOLD_LINEAR_ROWS && d[DOWN].fold_index == UP);
    assert_int_equal(d[O].activations, POLICY_STATIC);
    assert_true(d[O].activation_scale == lae_range(100, 1) / 127);
    assert_int_equal(rows_for(f, V), O);
    assert_int_equal(rows_for(f, UP), DOWN);
    assert_int_equal(rows_for(f, K), -1);
    assert_true(recipe_ignore(&f->recipe, "*.0.self_attn.v_proj", NULL)); // its rows stay
    d = plan(f);
    assert_int_equal(d[O].activations, POLICY_TOKEN);
    assert_note(&d[O], "left as it is");
    assert_int_equal(rows_for(f, V), -1);
}

static void what_folds_nowhere_can_be_divided_at_run_time(void **state) {
    Fixture *f = *state;
    range_of(f, O, 100);
    range_of(f, GATE, 100);
    set(f, "*.0.mlp.up_proj", DIAL_ACTIVATIONS, POLICY_TOKEN);
    set(f, NULL, DIAL_UNFOLDABLE, UNFOLDABLE_RUNTIME);
    const Decision *d = plan(f);
    assert_true(d[O].lae && d[O].fold == FOLD_NONE);
    assert_int_equal(d[O].activations, POLICY_STATIC);
    assert_note(&d[O], "run time");
    assert_true(d[GATE].lae && d[GATE].fold == FOLD_NONE); // up reads the norm as it is
    assert_int_equal(d[UP].activations, POLICY_TOKEN);
}

// One factor for the columns that read the same row of v: the largest.
static void heads_that_share_a_row_share_its_factor(void **state) {
    Fixture *f = *state;
    float absmax[256], factors[256], divisors[128];
    set_heads(f);
    for (size_t j = 0; j < 256; j++) absmax[j] = (float)(20 + (j * 37) % 80);
    f->model.measured.inputs[1].channel_absmax = absmax;
    range_of(f, O, 99);
    set(f, NULL, DIAL_FOLD, FOLDS_ALL);
    const Decision *d = plan(f);
    assert_true(equalize_factors(&f->model.structure, &f->model.measured, &d[O], O, factors, NULL));
    assert_true(equalize_divisors(&f->model.structure, &f->model.measured, &f->plan, O, divisors, NULL));
    for (size_t j = 0; j < 256; j++) {
        size_t other = j ^ 32, row = j / 64 * 32 + j % 32; // heads 0 and 1, 2 and 3, … share a kv head
        float own, largest = fmaxf(absmax[j], absmax[other]);
        lae_factors(&largest, 1, 1, &own);
        assert_true(factors[j] == own && factors[other] == own && divisors[row] == own);
    }
    f->model.measured.inputs[1].channel_absmax = NULL;
}

static float *column_of(Fixture *f, int linear, float value) {
    const Linear *l = &f->model.structure.linears[linear];
    float *columns = calloc(l->in, sizeof *columns);
    for (size_t j = 0; j < l->in; j++) columns[j] = value;
    f->model.measured.weights[linear].column_absmax = columns;
    f->model.measured.weights[linear].known = true;
    f->model.measured.weights[linear].votes.sizes_count = 0;
    return columns;
}

// Channels 0 … n − 1 have absmax 1; channel 3 has `range`.
static float *channels_of(Fixture *f, int linear, float range) {
    const Linear *l = &f->model.structure.linears[linear];
    float *absmax = calloc(l->in, sizeof *absmax);
    for (size_t j = 0; j < l->in; j++) absmax[j] = 1;
    absmax[3] = range;
    f->model.measured.inputs[l->input].channel_absmax = absmax;
    range_of(f, linear, range);
    return absmax;
}

static void smoothquant_equalizes_whatever_its_range(void **state) {
    Fixture *f = *state;
    set(f, NULL, DIAL_ACTIVATIONS, POLICY_SMOOTHQUANT);
    float *absmax[3] = {channels_of(f, Q, 100), channels_of(f, GATE, 400), channels_of(f, DOWN, 9)};
    assert_note(&plan(f)[Q], "weights not measured");
    assert_false(f->plan.calibrated);
    float *columns[6] = {column_of(f, Q, 1),    column_of(f, K, 4),  column_of(f, V, 2),
                         column_of(f, GATE, 1), column_of(f, UP, 1), column_of(f, DOWN, 4)};
    const Decision *d = plan(f);
    assert_true(d[Q].smooth && !d[Q].lae && d[Q].fold == FOLD_NORM);
    assert_int_equal(d[Q].activations, POLICY_STATIC);
    assert_true(d[Q].activation_scale == 20.0f / 127); // √(100 · 4): k has the largest weights
    assert_true(d[K].activation_scale == d[Q].activation_scale);
    assert_true(d[GATE].activation_scale == 20.0f / 127);
    assert_int_equal(d[DOWN].activations, POLICY_TOKEN); // nowhere to fold
    assert_note(&d[DOWN], "norm");
    set(f, NULL, DIAL_FOLD, FOLDS_ALL);
    d = plan(f);
    assert_true(d[DOWN].smooth && d[DOWN].fold_index == UP);
    assert_true(d[DOWN].activation_scale == 6.0f / 127); // √(9 · 4)
    set(f, NULL, DIAL_SMOOTH_SCALE, SMOOTH_TOKEN);
    assert_int_equal(plan(f)[Q].activations, POLICY_TOKEN);
    assert_true(plan(f)[Q].smooth);
    set(f, "*.0.self_attn.k_proj", DIAL_SMOOTH_ALPHA, 0.25); // q and v must not be divided by other factors than k
    assert_false(plan(f)[Q].smooth);
    assert_note(&plan(f)[Q], "not equalized alike");
    for (int i = 0; i < 3; i++) free(absmax[i]);
    for (int i = 0; i < 6; i++) free(columns[i]);
}

static void percentiles_clip(void **state) {
    Fixture *f = *state;
    InputMeasure *input = &f->model.measured.inputs[f->model.structure.linears[Q].input];
    set(f, NULL, DIAL_ACTIVATIONS, POLICY_PERCENTILE);
    range_of(f, Q, 500);
    input->p99 = 2;
    input->p99_9 = 7;
    input->p99_99 = 40;
    assert_true(plan(f)[Q].activation_scale == 7.0f / 127);
    set(f, NULL, DIAL_PERCENTILE, 99);
    assert_true(plan(f)[Q].activation_scale == 2.0f / 127);
    set(f, NULL, DIAL_PERCENTILE, 99.99);
    assert_true(plan(f)[Q].activation_scale == 40.0f / 127);
    assert_int_equal(plan(f)[Q].activations, POLICY_STATIC);
    input->p99_99 = 0;
    assert_true(plan(f)[Q].activation_scale == 500.0f / 127);
    assert_note(&plan(f)[Q], "whole range");
}

static void channels_need_no_calibration(void **state) {
    Fixture *f = *state;
    set(f, NULL, DIAL_ACTIVATIONS, POLICY_CHANNEL);
    f->model.measured.inputs[0].known = false;
    assert_int_equal(plan(f)[Q].activations, POLICY_CHANNEL);
    assert_note(&plan(f)[Q], "accuracy");
    assert_true(f->plan.calibrated);
}

// ---- Grids ----

static void grids_that_make_no_sense_are_resolved(void **state) {
    Fixture *f = *state;
    set(f, NULL, DIAL_GRID, GRID_TWO_LEVEL);
    set(f, NULL, DIAL_CLIP, CLIP_MSE);
    set(f, NULL, DIAL_GRANULARITY, GRANULARITY_CHANNEL);
    const Decision *d = plan(f);
    assert_int_equal(d[Q].grid, GRID_SYMMETRIC);
    assert_note(&d[Q], "two levels are one");
    assert_int_equal(d[Q].clip, CLIP_MSE);
    set(f, NULL, DIAL_GRANULARITY, GRANULARITY_TENSOR);
    set(f, NULL, DIAL_GRID, GRID_LOG2);
    d = plan(f);
    assert_int_equal(d[Q].grid, GRID_LOG2);
    assert_int_equal(d[Q].clip, CLIP_ABSMAX);
    assert_note(&d[Q], "not clipped");
}

static void sizes_include_zero_points_and_factors(void **state) {
    Fixture *f = *state;
    set(f, NULL, DIAL_GRANULARITY, GRANULARITY_GROUP);
    set(f, NULL, DIAL_GROUP_SIZE, 64);
    assert_true(plan(f)[Q].bits_per_weight == 4 + 16 / 64.0);
    set(f, NULL, DIAL_GRID, GRID_ASYMMETRIC);
    assert_true(plan(f)[Q].bits_per_weight == 4 + (16 + 4) / 64.0);
    set(f, NULL, DIAL_GRID, GRID_LOG2);
    assert_true(plan(f)[Q].bits_per_weight == 4 + 16 / 64.0);
    set(f, NULL, DIAL_GRID, GRID_TWO_LEVEL);
    assert_true(plan(f)[Q].bits_per_weight == 4 + 8 / 64.0 + 16 / 256.0);
    Decision a = plan(f)[Q], b = a;
    assert_true(decision_equal(&a, &b));
    b.grid = GRID_LOG2;
    assert_false(decision_equal(&a, &b));
    b = a;
    b.clip = CLIP_MSE;
    assert_false(decision_equal(&a, &b));
}

static void without_a_norm_the_middle_is_per_token(void **state) {
    Fixture *f = *state;
    range_of(f, O, 100);
    range_of(f, DOWN, 100);
    const Decision *d = plan(f);
    assert_int_equal(d[O].activations, POLICY_TOKEN);
    assert_note(&d[O], "norm");
    assert_int_equal(d[DOWN].activations, POLICY_TOKEN);
    assert_int_equal(d[DOWN].input_class, CLASS_LAE);
    assert_false(d[O].lae);
}

static void equalization_needs_every_reader(void **state) {
    Fixture *f = *state;
    set(f, NULL, DIAL_GRANULARITY, GRANULARITY_CHANNEL);
    range_of(f, Q, 100);
    range_of(f, GATE, 100);
    assert_true(recipe_ignore(&f->recipe, "*.0.self_attn.k_proj", NULL));
    const Decision *d = plan(f);
    assert_int_equal(d[Q].activations, POLICY_TOKEN);
    assert_int_equal(d[V].activations, POLICY_TOKEN);
    assert_note(&d[V], "not equalized alike");
    assert_int_equal(d[K].activations, POLICY_NONE);
    assert_true(d[GATE].lae && d[UP].lae);

    set(f, "*.0.mlp.up_proj", DIAL_ACTIVATIONS, POLICY_STATIC);
    d = plan(f);
    assert_int_equal(d[GATE].activations, POLICY_TOKEN);
    assert_int_equal(d[UP].activations, POLICY_STATIC);
    assert_true(d[UP].activation_scale == 100.0f / 127);
    set(f, "*.0.mlp.up_proj", DIAL_ACTIVATIONS, POLICY_FPTQ);
    assert_true(plan(f)[GATE].lae);
    set(f, "*.0.mlp.up_proj", DIAL_LAE_ALPHA, 0.5); // other factors
    assert_int_equal(plan(f)[UP].activations, POLICY_TOKEN);
    assert_int_equal(plan(f)[GATE].activations, POLICY_TOKEN);
    set(f, "*.0.mlp.up_proj", DIAL_LAE_ALPHA, 1);
    set(f, "*.0.mlp.up_proj", DIAL_V1, 50); // another class
    assert_int_equal(plan(f)[UP].input_class, CLASS_TOKEN);
    assert_int_equal(plan(f)[GATE].activations, POLICY_TOKEN);
    set(f, "*.0.mlp.up_proj", DIAL_V1, 120); // the same class, by another threshold: the factors are the same
    assert_true(plan(f)[GATE].lae && plan(f)[UP].lae);
}

static void without_exponent_nothing_is_equalized(void **state) {
    Fixture *f = *state;
    set(f, NULL, DIAL_LAE_ALPHA, 0);
    range_of(f, Q, 100);
    range_of(f, O, 100);
    const Decision *d = plan(f);
    assert_false(d[Q].lae);
    assert_int_equal(d[Q].activations, POLICY_STATIC);
    assert_true(d[Q].activation_scale == 100.0f / 127);
    assert_int_equal(d[O].activations, POLICY_STATIC);
}

static void other_policies_do_as_they_say(void **state) {
    Fixture *f = *state;
    range_of(f, Q, 1000);
    set(f, NULL, DIAL_ACTIVATIONS, POLICY_STATIC);
    const Decision *d = plan(f);
    assert_int_equal(d[Q].activations, POLICY_STATIC);
    assert_true(d[Q].activation_scale == 1000.0f / 127);
    assert_int_equal(d[Q].input_class, CLASS_TOKEN); // the class is told whatever the policy
    set(f, NULL, DIAL_ACTIVATIONS, POLICY_TOKEN);
    assert_int_equal(plan(f)[O].activations, POLICY_TOKEN);
    set(f, NULL, DIAL_ACTIVATIONS, POLICY_NONE);
    assert_int_equal(plan(f)[O].activations, POLICY_NONE);
    assert_true(f->plan.calibrated);
}

static void before_calibration(void **state) {
    Fixture *f = *state;
    f->model.measured.inputs[0].known = false;
    const Decision *d = plan(f);
    assert_int_equal(d[Q].activations, POLICY_NONE);
    assert_int_equal(d[Q].input_class, CLASS_UNKNOWN);
    assert_note(&d[Q], "not measured");
    assert_int_equal(d[O].activations, POLICY_STATIC);
    assert_false(f->plan.calibrated);
    set(f, NULL, DIAL_ACTIVATIONS, POLICY_TOKEN); // needs no ranges
    assert_int_equal(plan(f)[Q].activations, POLICY_TOKEN);
    assert_true(f->plan.calibrated);
}

// Only what becomes of an input can rest on its range.
static void what_rests_on_ranges_that_may_grow_is_provisional(void **state) {
    Fixture *f = *state;
    for (int i = 0; i < f->model.structure.input_count; i++) f->model.measured.inputs[i].provisional = true;
    assert_true(plan(f)[Q].provisional && f->plan.decisions[DOWN].provisional && f->plan.provisional);
    assert_false(f->plan.decisions[HEAD].provisional); // is left alone
    set(f, NULL, DIAL_ACTIVATIONS, POLICY_TOKEN);
    assert_false(plan(f)[Q].provisional || f->plan.provisional);
    set(f, "*.down_proj", DIAL_ACTIVATIONS, POLICY_STATIC);
    assert_true(plan(f)[DOWN].provisional && f->plan.provisional);
    assert_false(f->plan.decisions[Q].provisional);
    f->model.measured.inputs[f->model.structure.linears[DOWN].input].provisional = false;
    assert_false(plan(f)[DOWN].provisional);
}

// Settled ranges ask for packing where a scale follows from them, or factors.
static void the_same_model_of_better_ranges(void **state) {
    Fixture *f = *state;
    Plan before;
    Error err = {0};
    const double policies[] = {POLICY_TOKEN, POLICY_STATIC, POLICY_FPTQ};
    for (size_t i = 0; i < sizeof policies / sizeof *policies; i++) {
        set(f, NULL, DIAL_ACTIVATIONS, policies[i]);
        range_of(f, Q, 40);
        assert_true(plan_make(&f->recipe, &f->model.structure, &f->model.measured, &before, &err));
        assert_int_equal(plan_same_model(&before, (plan(f), &f->plan)), policies[i] != POLICY_FPTQ);
        range_of(f, Q, 41);
        plan(f);
        assert_int_equal(plan_same_model(&before, &f->plan), policies[i] == POLICY_TOKEN);
        plan_free(&before);
    }
}

static void ranges_at_the_edge_of_float(void **state) {
    Fixture *f = *state;
    static const float ranges[] = {0, 1e-45f, 1e-38f, 3.4e38f};
    for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++) {
        range_of(f, Q, ranges[i]);
        set(f, NULL, DIAL_ACTIVATIONS, POLICY_STATIC);
        const Decision *d = plan(f);
        assert_true(isnormal(d[Q].activation_scale) && d[Q].activation_scale > 0);
    }
    set(f, NULL, DIAL_ACTIVATIONS, POLICY_FPTQ);
    range_of(f, Q, INFINITY);
    assert_int_equal(plan(f)[Q].activations, POLICY_TOKEN);
    range_of(f, Q, NAN);
    assert_int_equal(plan(f)[Q].activations, POLICY_TOKEN);
    assert_note(&plan(f)[Q], "finite");
}

// ---- Size ----

static void bytes_are_counted(void **state) {
    Fixture *f = *state;
    set(f, NULL, DIAL_GRANULARITY, GRANULARITY_GROUP);
    const Decision *d = plan(f);
    assert_int_equal(d[Q].bytes, 256 * 256 / 2 + 256 * 2 * 2);
    assert_true(d[Q].bits_per_weight == 4 + 16.0 / 128);
    assert_true(f->plan.bits_per_weight == 4 + 16.0 / 128);
    size_t layer_weights = 256 * 256 * 2 + 128 * 256 * 2 + 3 * 768 * 256;
    assert_int_equal(f->plan.base_bytes, f->model.checkpoint.bytes);
    assert_int_equal(f->plan.bytes,
                     f->model.checkpoint.bytes - 2 * 2 * layer_weights + 2 * (layer_weights / 2 + layer_weights / 64));

    set(f, NULL, DIAL_GRANULARITY, GRANULARITY_TENSOR);
    set(f, NULL, DIAL_SCALE, SCALE_F32);
    set(f, NULL, DIAL_BITS, 3);
    d = plan(f);
    assert_int_equal(d[Q].bytes, 256 * 256 * 3 / 8 + 4);
    assert_int_equal(d[Q].scale_dtype, DTYPE_F32);
    set(f, NULL, DIAL_GRANULARITY, GRANULARITY_CHANNEL);
    assert_int_equal(plan(f)[DOWN].bytes, 256 * 768 * 3 / 8 + 256 * 4);
    set(f, NULL, DIAL_GRANULARITY, GRANULARITY_GROUP);
    set(f, NULL, DIAL_GROUP_SIZE, 512);
    assert_int_equal(plan(f)[DOWN].bytes, 256 * 768 * 3 / 8 + 256 * 2 * 4); // a partial group has a scale too
}

static void scale_types_follow_the_model(void **state) {
    Fixture *f = *state;
    static const DType stored[] = {DTYPE_BF16, DTYPE_F16, DTYPE_F32}, scale[] = {DTYPE_BF16, DTYPE_F16, DTYPE_F16};
    for (int i = 0; i < 3; i++) {
        f->model.tensors[Q].dtype = stored[i];
        set(f, NULL, DIAL_SCALE, SCALE_MODEL);
        assert_int_equal(plan(f)[Q].scale_dtype, scale[i]);
        set(f, NULL, DIAL_SCALE, SCALE_BF16);
        assert_int_equal(plan(f)[Q].scale_dtype, DTYPE_BF16);
    }
}

static void a_tied_head_does_not_free_the_embedding(void **state) {
    Fixture *f = *state;
    set(f, NULL, DIAL_GRANULARITY, GRANULARITY_CHANNEL);
    f->recipe.ignore[0][0] = 'x';
    set(f, "lm_head", DIAL_BITS, 4);
    plan(f);
    size_t apart = f->plan.bytes, head = f->model.structure.linears[HEAD].weight->bytes;
    f->model.structure.linears[HEAD].weight = f->model.structure.embedding;
    assert_note(&plan(f)[HEAD], "embedding");
    assert_int_equal(f->plan.bytes, apart + head);
}

static void nothing_quantized_costs_nothing(void **state) {
    Fixture *f = *state;
    assert_true(recipe_ignore(&f->recipe, "*", NULL));
    plan(f);
    assert_int_equal(f->plan.bytes, f->plan.base_bytes);
    assert_true(f->plan.bits_per_weight == 0);
    assert_int_equal(f->plan.quantized_count, 0);
}

// ---- Comparing and reporting ----

static void equal_decisions_need_no_packing(void **state) {
    Fixture *f = *state;
    range_of(f, Q, 100);
    Decision before[15];
    memcpy(before, plan(f), sizeof before);
    for (int i = 0; i < 15; i++) assert_true(decision_equal(&before[i], &f->plan.decisions[i]));
    set(f, NULL, DIAL_ALPHA, 0.4);
    set(f, NULL, DIAL_V1, 140);
    for (int i = 0; i < 15; i++) assert_true(decision_equal(&before[i], &plan(f)[i])); // turned, but nothing came of it
    set(f, NULL, DIAL_LAE_ALPHA, 0.9);
    assert_false(decision_equal(&before[Q], &plan(f)[Q]));
    assert_true(decision_equal(&before[O], &plan(f)[O]));
    set(f, NULL, DIAL_LAE_ALPHA, 1);
    set(f, NULL, DIAL_BITS, 8);
    assert_false(decision_equal(&before[O], &plan(f)[O]));
    assert_true(decision_equal(&before[HEAD], &plan(f)[HEAD])); // left alone both times
    assert_false(decision_equal(&before[HEAD], &plan(f)[O]));
}

static void rules_that_match_nothing_are_told(void **state) {
    Fixture *f = *state;
    f->model.structure.linear_count--; // no head: the default rule is no news
    char *text = recipe_unmatched(&f->recipe, &f->model.structure);
    assert_string_equal(text, "");
    free(text);
    set(f, "*.up_proj", DIAL_BITS, 8);
    set(f, "*.upproj", DIAL_BITS, 8);
    assert_true(recipe_ignore(&f->recipe, "router\033[2J*", NULL));
    text = recipe_unmatched(&f->recipe, &f->model.structure);
    assert_non_null(strstr(text, "ignore \"router"));
    assert_non_null(strstr(text, "override \"*.upproj\""));
    assert_null(strstr(text, "*.up_proj"));
    assert_null(strchr(text, '\033'));
    free(text);
    f->model.structure.linear_count++;
}

static bool plans_equal(const Plan *a, const Plan *b) {
    bool equal = a->cache_bits == b->cache_bits;
    for (int i = 0; i < a->linear_count; i++) equal &= decision_equal(&a->decisions[i], &b->decisions[i]);
    return equal;
}

// Every other setting of every dial, from several recipes: hashes differ exactly where the model does.
static void hashes_tell_what_changes_the_model(void **state) {
    Fixture *f = *state;
    const ActivationPolicy policies[] = {POLICY_FPTQ, POLICY_SMOOTHQUANT, POLICY_PERCENTILE, POLICY_NONE};
    int differences = 0, equals = 0;
    range_of(f, GATE, 100);
    range_of(f, DOWN, 100);
    for (int k = 0; k < 8; k++) {
        set(f, NULL, DIAL_ACTIVATIONS, policies[k % 4]);
        set(f, NULL, DIAL_GRANULARITY, k < 4 ? GRANULARITY_ADAPTIVE : GRANULARITY_GROUP);
        set(f, NULL, DIAL_FOLD, k < 4 ? FOLDS_NORM : FOLDS_ALL);
        plan(f);
        Plan before = f->plan;
        f->plan = (Plan){0};
        for (Dial dial = 0; dial < DIAL_COUNT; dial++) {
            double value = f->recipe.value[dial], other = dial_turn(dial, value, 1, true);
            if (other == value) other = dial_turn(dial, value, -1, true);
            set(f, NULL, dial, other);
            plan(f);
            bool equal = plans_equal(&before, &f->plan);
            if (equal != (plan_hash(&before) == plan_hash(&f->plan)))
                fail_msg("%s, recipe %d: plans are %s", dial_table[dial].option, k, equal ? "equal" : "different");
            *(equal ? &equals : &differences) += 1;
            set(f, NULL, dial, value);
        }
        plan_free(&before);
    }
    assert_true(differences > 40 && equals > 40);
}

// As studies look them up: one quantized, the others not.
static void linears_alone_are_told_apart(void **state) {
    Fixture *f = *state;
    set(f, NULL, DIAL_ACTIVATIONS, POLICY_NONE);
    set(f, NULL, DIAL_GRANULARITY, GRANULARITY_CHANNEL);
    plan(f);
    const int count = f->plan.linear_count;
    uint64_t hashes[64];
    int alike = 0;
    assert_in_range(count, 2, 64);
    Plan alone = {.linear_count = count, .decisions = calloc((size_t)count, sizeof(Decision))};
    assert_non_null(alone.decisions);
    for (int i = 0; i < count; i++) {
        alone.decisions[i] = f->plan.decisions[i];
        hashes[i] = plan_hash(&alone);
        for (int j = 0; j < i; j++) {
            if (!f->plan.decisions[i].quantized && !f->plan.decisions[j].quantized) continue;
            assert_true(hashes[i] != hashes[j]);
            alike += decision_equal(&f->plan.decisions[i], &f->plan.decisions[j]);
        }
        alone.decisions[i] = (Decision){0};
    }
    assert_true(alike > 0);
    free(alone.decisions);
}

#define WITH_MODEL(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        WITH_MODEL(the_head_stays),
        WITH_MODEL(ignored_linears_stay),
        WITH_MODEL(types_that_are_no_floats_stay),
        WITH_MODEL(overrides_apply_in_order),
        WITH_MODEL(plain_granularities),
        WITH_MODEL(the_ladder_is_walked_while_enough_vote),
        WITH_MODEL(the_quorum_decides),
        WITH_MODEL(the_start_and_the_floor),
        WITH_MODEL(rows_that_no_group_divides),
        WITH_MODEL(weights_not_measured_yet_are_per_channel),
        WITH_MODEL(outliers_make_groups_smaller),
        WITH_MODEL(normal_weights_get_one_size),
        WITH_MODEL(noise_is_held_against_the_ceiling),
        WITH_MODEL(fused_sets_share_the_smallest_group),
        WITH_MODEL(differences_within_a_fused_set_are_noted),
        WITH_MODEL(classes_by_range),
        WITH_MODEL(thresholds_that_meet_leave_no_middle),
        WITH_MODEL(all_folds_reach_the_linear_before),
        WITH_MODEL(hashes_tell_what_changes_the_model),
        WITH_MODEL(linears_alone_are_told_apart),
        WITH_MODEL(what_folds_nowhere_can_be_divided_at_run_time),
        WITH_MODEL(heads_that_share_a_row_share_its_factor),
        WITH_MODEL(smoothquant_equalizes_whatever_its_range),
        WITH_MODEL(percentiles_clip),
        WITH_MODEL(channels_need_no_calibration),
        WITH_MODEL(grids_that_make_no_sense_are_resolved),
        WITH_MODEL(sizes_include_zero_points_and_factors),
        WITH_MODEL(without_a_norm_the_middle_is_per_token),
        WITH_MODEL(equalization_needs_every_reader),
        WITH_MODEL(without_exponent_nothing_is_equalized),
        WITH_MODEL(other_policies_do_as_they_say),
        WITH_MODEL(before_calibration),
        WITH_MODEL(what_rests_on_ranges_that_may_grow_is_provisional),
        WITH_MODEL(the_same_model_of_better_ranges),
        WITH_MODEL(ranges_at_the_edge_of_float),
        WITH_MODEL(bytes_are_counted),
        WITH_MODEL(scale_types_follow_the_model),
        WITH_MODEL(a_tied_head_does_not_free_the_embedding),
        WITH_MODEL(nothing_quantized_costs_nothing),
        WITH_MODEL(equal_decisions_need_no_packing),
        WITH_MODEL(rules_that_match_nothing_are_told),
    };
    return cmocka_run_group_tests_name("plan", tests, NULL, NULL);
}
