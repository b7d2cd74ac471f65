// Bits within a budget: allocations against the exact knapsack, what other bits are expected to cost, units, and the
// rules that a choice is written as.
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "analysis/budget.h"
#include "analysis/knapsack.h"
#include "base/clock.h"
#include "base/random.h"
#include "quant/assign.h"
#include "tests/support/study.h"

// ---- allocations --------------------------------------------------------------------------------------------------

// Larger choices usually cost less, but not always, and some are not offered.
static AllocationItem random_item(Random *random) {
    AllocationItem item;
    double bytes = 100 + random_below(random, 900), cost = exp(random_normal(random));
    for (int c = 0; c < ALLOCATION_CHOICES; c++) {
        item.bytes[c] = bytes;
        item.cost[c] =
            c && random_below(random, 8) == 0 ? (double)INFINITY : cost * (0.9 + 0.2 * random_uniform(random));
        bytes *= 1.2 + random_uniform(random);
        cost *= 0.2 + 0.7 * random_uniform(random);
    }
    return item;
}

static void sums(const AllocationItem *items, int count, const int *chosen, double *bytes, double *cost) {
    *bytes = *cost = 0;
    for (int i = 0; i < count; i++) {
        *bytes += items[i].bytes[chosen[i]];
        *cost += items[i].cost[chosen[i]];
    }
}

static double largest_gain(const Allocation *a) {
    double largest = 0;
    for (int i = 0; i < a->step_count; i++) largest = fmax(largest, a->steps[i].gain);
    return largest;
}

enum { ITEMS = 40 };

static KnapsackItem knapsack_item(const AllocationItem *item) {
    KnapsackItem out;
    for (int c = 0; c < ALLOCATION_CHOICES; c++) {
        out.weight[c] = item->bytes[c];
        out.cost[c] = item->cost[c];
    }
    return out;
}

static void an_allocation_is_the_best_up_to_a_step(void **state) {
    (void)state;
    Random random = random_seeded(3);
    AllocationItem items[ITEMS];
    KnapsackItem exact[ITEMS];
    Allocation a;
    for (int i = 0; i < ITEMS; i++) {
        items[i] = random_item(&random);
        exact[i] = knapsack_item(&items[i]);
    }
    assert_true(allocation_make(items, ITEMS, &a, NULL));
    for (int i = 0; i <= 20; i++) {
        const double most = a.least_bytes + (a.most_bytes - a.least_bytes) * i / 20;
        int chosen[ITEMS], best[ITEMS];
        double bytes, cost, best_bytes, best_cost;
        bool found;
        const Allocated result = allocation_within_bytes(&a, most, chosen);
        assert_true(result.met);
        sums(items, ITEMS, chosen, &bytes, &cost);
        assert_true(bytes <= most * (1 + 1e-12));
        assert_true(fabs(result.bytes - bytes) < 1e-6 && fabs(result.cost - cost) < 1e-9);
        assert_true(knapsack_solve(exact, ITEMS, ALLOCATION_CHOICES, most, INFINITY, best, &found, NULL) && found);
        sums(items, ITEMS, best, &best_bytes, &best_cost);
        assert_true(cost <= best_cost + largest_gain(&a));
        if (i == 0 || i == 20) assert_true(fabs(cost - best_cost) < 1e-9);
        const Allocated back = allocation_within_cost(&a, cost * (1 + 1e-9), chosen);
        assert_true(back.met && back.bytes <= bytes + a.most_bytes / ITEMS);
    }
    allocation_free(&a);
}

static void what_cannot_be_met_is_said_with_the_least(void **state) {
    (void)state;
    const AllocationItem items[] = {{{10, 20, 30, 40}, {4, 3, 2, 1}}, {{5, 6, 7, 8}, {1, 1, 1, 1}}};
    int chosen[2];
    Allocation a;
    assert_true(allocation_make(items, 2, &a, NULL));
    Allocated result = allocation_within_bytes(&a, 14.9, chosen);
    assert_false(result.met);
    assert_true(result.bytes == 15 && chosen[0] == 0 && chosen[1] == 0);
    assert_true(allocation_within_bytes(&a, 15, chosen).met);
    result = allocation_within_cost(&a, 1.5, chosen);
    assert_false(result.met);
    assert_true(result.cost == 2 && chosen[0] == 3);
    assert_int_equal(chosen[1], 0); // larger, and no better
    allocation_free(&a);
}

static void thousands_of_items_take_milliseconds(void **state) {
    (void)state;
    enum { MANY = 18432 };
    Random random = random_seeded(5);
    AllocationItem *items = calloc(MANY, sizeof *items);
    int *chosen = calloc(MANY, sizeof *chosen);
    Allocation a;
    assert_true(items && chosen);
    for (int i = 0; i < MANY; i++) items[i] = random_item(&random);
    assert_true(allocation_make(items, MANY, &a, NULL));
    double least = INFINITY, before = -1;
    for (int i = 0; i < 20; i++) {
        const double began = clock_seconds();
        const Allocated result = allocation_within_bytes(&a, a.least_bytes + i * a.least_bytes / 20, chosen);
        least = fmin(least, clock_seconds() - began);
        assert_true(result.met && (before < 0 || result.cost < before));
        before = result.cost;
    }
    assert_true(least < 0.05); // under valgrind, too
    allocation_free(&a);
    free(items);
    free(chosen);
}

// ---- budgets ------------------------------------------------------------------------------------------------------

static void other_bits_are_told_from_the_weights(void **state) {
    (void)state;
    StudyFixture study;
    study_open(NULL, &study);
    const ModelStructure *s = transformer_structure(study.trial.base);
    Recipe recipe;
    Plan plan;
    BitChoices *choices = calloc((size_t)s->linear_count, sizeof *choices);
    assert_true(choices && recipe_default(&recipe, NULL));
    assert_true(plan_make(&recipe, s, &study.stats.measured, &plan, NULL));
    assert_true(bit_choices_make(&recipe, s, &study.stats.measured, &plan, choices, NULL));
    int known = 0;
    for (int i = 0; i < s->linear_count; i++) {
        if (!plan.decisions[i].quantized) {
            assert_int_equal(choices[i].now, -1);
            continue;
        }
        known++;
        assert_int_equal(budget_bits[choices[i].now], 4);
        assert_true(choices[i].bytes[choices[i].now] == (double)plan.decisions[i].bytes);
        for (int b = 1; b < BUDGET_BITS; b++) {
            assert_true(choices[i].bytes[b] > choices[i].bytes[b - 1]);
            assert_true(choices[i].noise[b] < choices[i].noise[b - 1]);
        }
        // The steps of 8 bits are 127 / 7 times as fine, where groups are as large: noise goes with their square.
        const BitCost half = {.kl = 2, .input_noise = choices[i].noise[choices[i].now], .carry = 1};
        assert_true(fabs(bit_cost_expected(&half, &choices[i], choices[i].now) - 2) < 1e-12);
        const double fine = bit_cost_expected(&half, &choices[i], 3), coarse = bit_cost_expected(&half, &choices[i], 0);
        assert_true(fine > 1 && fine < 2 && coarse > 2);
    }
    assert_true(known > 0);
    free(choices);
    plan_free(&plan);
    recipe_free(&recipe);
    study_close(&study);
}

// From 8 bits, where rounding the input is most of the noise, back to 4 is what 4 cost. What is not clear of its error
// is not multiplied.
static void the_way_back_costs_what_the_way_there_gained(void **state) {
    (void)state;
    const BitChoices four = {.now = 2, .noise = {0.5, 0.05, 0.01, 0.00003}};
    BitChoices eight = four;
    eight.now = 3;
    BitCost cost = {.kl = 0.06, .input_noise = 0.0006, .carry = 1, .per_noise = 0.2};
    const double gained = bit_cost_expected(&cost, &four, 3);
    assert_true(gained > 0.003 && gained < 0.004);
    cost.kl = gained;
    assert_true(fabs(bit_cost_expected(&cost, &eight, 2) - 0.06) < 1e-12);
    const BitCost noisy = {.kl = 0.0025, .se = 0.0024, .carry = 1, .per_noise = 0.2};
    assert_true(fabs(bit_cost_expected(&noisy, &eight, 2) - (0.0025 + 0.2 * (0.01 - 0.00003))) < 1e-12);
    assert_true(bit_cost_expected(&noisy, &four, 3) < 0.0025);
}

enum { LAYERS = 12, EXPERTS = 3 };

typedef struct Mixture {
    Linear linears[LAYERS * (2 + EXPERTS * 3)];
    char names[LAYERS * (2 + EXPERTS * 3)][80];
    ModelStructure structure;
} Mixture;

static void mixture_add(Mixture *m, LinearRole role, int layer, int expert, int set, const char *format, ...) {
    const int i = m->structure.linear_count++;
    va_list args;
    va_start(args, format);
    vsnprintf(m->names[i], sizeof m->names[i], format, args);
    va_end(args);
    m->linears[i] = (Linear){.name = m->names[i],
                             .role = role,
                             .layer = layer,
                             .expert = expert,
                             .fused_set = set,
                             .out = 10,
                             .in = 10,
                             .quantizable = true};
}

static void mixture_make(Mixture *m) {
    *m = (Mixture){.structure.config.layers = LAYERS};
    int set = 0;
    for (int l = 0; l < LAYERS; l++, set++) {
        mixture_add(m, ROLE_Q, l, -1, set, "model.layers.%d.self_attn.q_proj", l);
        mixture_add(m, ROLE_K, l, -1, set, "model.layers.%d.self_attn.k_proj", l);
        for (int e = 0; e < EXPERTS; e++) {
            set++;
            mixture_add(m, ROLE_GATE, l, e, set, "model.layers.%d.mlp.experts.%d.gate_proj", l, e);
            mixture_add(m, ROLE_UP, l, e, set, "model.layers.%d.mlp.experts.%d.up_proj", l, e);
            mixture_add(m, ROLE_DOWN, l, e, -1, "model.layers.%d.mlp.experts.%d.down_proj", l, e);
        }
    }
    m->structure.linears = m->linears;
}

static void fused_sets_and_experts_of_a_layer_get_the_same_bits(void **state) {
    (void)state;
    static Mixture m;
    static BitChoices choices[LAYERS * (2 + EXPERTS * 3)];
    static BitCost costs[LAYERS * (2 + EXPERTS * 3)];
    static int chosen[LAYERS * (2 + EXPERTS * 3)];
    Budget budget;
    BudgetChoice choice;
    mixture_make(&m);
    for (int i = 0; i < m.structure.linear_count; i++) {
        choices[i] = (BitChoices){.now = 2, .bytes = {25, 37.5, 50, 100}, .noise = {49, 5.4, 1, 0.003}};
        costs[i] = (BitCost){.kl = 1 + 10 * m.linears[i].layer, .carry = 1};
    }
    assert_true(budget_make(&m.structure, true, &(BudgetBounds){0}, choices, costs, &budget, NULL));
    assert_int_equal(budget.unit_count, LAYERS * 3); // q with k; gate with up of all experts; down of all
    assert_true(budget_within_bits(&budget, 4, chosen, &choice, NULL));
    assert_true(choice.met && choice.bits_per_weight <= 4 && choice.kl < budget.now);
    for (int i = 0; i < m.structure.linear_count; i++) {
        for (int j = i + 1; j < m.structure.linear_count; j++)
            if (budget.unit_of[i] == budget.unit_of[j]) assert_int_equal(chosen[i], chosen[j]);
    }
    assert_true(budget_within_bits(&budget, 1.9, chosen, &choice, NULL));
    assert_false(choice.met);
    assert_true(choice.bits_per_weight == 2);
    assert_true(budget_within_kl(&budget, budget.now, chosen, &choice, NULL) && choice.met);
    assert_true(choice.bits_per_weight <= 4 && choice.kl <= budget.now);
    assert_true(budget_within_kl(&budget, 0, chosen, &choice, NULL));
    assert_false(choice.met);
    assert_true(choice.bits_per_weight == 8);
    budget_free(&budget);
    assert_true(budget_make(&m.structure, false, &(BudgetBounds){0}, choices, costs, &budget, NULL));
    assert_int_equal(budget.unit_count, LAYERS * 5);
    budget_free(&budget);
}

static void a_budget_keeps_to_what_engines_take(void **state) {
    (void)state;
    static Mixture m;
    static BitChoices choices[LAYERS * (2 + EXPERTS * 3)];
    static BitCost costs[LAYERS * (2 + EXPERTS * 3)];
    static int chosen[LAYERS * (2 + EXPERTS * 3)], unit[LAYERS * (2 + EXPERTS * 3)];
    static uint8_t refused[LAYERS * (2 + EXPERTS * 3)];
    Budget budget;
    BudgetChoice choice;
    mixture_make(&m);
    units_alone(unit, m.structure.linear_count);
    for (int i = 0; i < m.structure.linear_count; i++) {
        choices[i] = (BitChoices){.now = 2, .bytes = {25, 37.5, 50, 100}, .noise = {49, 5.4, 1, 0.003}};
        costs[i] = (BitCost){.kl = 1 + 10 * m.linears[i].layer, .carry = 1};
        refused[i] = m.linears[i].role == ROLE_Q ? 1 + 2 : 0; // neither 2 nor 3 bits
        if (i && m.linears[i].role == ROLE_K) units_join(unit, i - 1, i);
    }
    refused[2] = 1 + 2 + 4 + 8; // as it is, whatever its engine says
    assert_true(budget_make(&m.structure, false, &(BudgetBounds){.unit = unit, .refused = refused}, choices, costs,
                            &budget, NULL));
    assert_int_equal(budget.unit_count, LAYERS * 4); // q with k; gate, up and down of all experts
    assert_true(budget_within_bits(&budget, 3, chosen, &choice, NULL) && choice.met);
    for (int i = 0; i < m.structure.linear_count; i++) {
        const bool attends = m.linears[i].role == ROLE_Q || m.linears[i].role == ROLE_K;
        if (attends)
            assert_true(budget_bits[chosen[i]] >= 4 && chosen[i] == chosen[m.linears[i].role == ROLE_K ? i - 1 : i]);
        assert_in_range(chosen[i], 0, 3);
    }
    budget_free(&budget);

    // What is kept has its bits, and so has what must agree with it; but bits that an engine refuses are nobody's.
    bool kept[LAYERS * (2 + EXPERTS * 3)] = {false};
    kept[0] = true;
    for (int engine = 0; engine < 2; engine++) {
        refused[0] = engine ? 1 + 2 + 4 : 1 + 2 + 8;
        assert_true(budget_make(&m.structure, false, &(BudgetBounds){.unit = unit, .refused = refused, .kept = kept},
                                choices, costs, &budget, NULL));
        assert_true(budget_within_bits(&budget, 8, chosen, &choice, NULL) && choice.met);
        for (int i = 0; i < m.structure.linear_count; i++) assert_int_equal(chosen[i], i < 2 && !engine ? 2 : 3);
        budget_free(&budget);
    }
}

// ---- rules --------------------------------------------------------------------------------------------------------

static void assign(Recipe *recipe, const Mixture *m, const double *values) {
    Error err = {0};
    if (!recipe_assign(recipe, &m->structure, DIAL_BITS, values, &err)) fail_msg("%s", err.message);
    for (int i = 0; i < m->structure.linear_count; i++) {
        if (!isnan(values[i])) assert_true(recipe_value(recipe, DIAL_BITS, m->names[i]) == values[i]);
    }
}

static void a_choice_is_written_as_few_rules(void **state) {
    (void)state;
    static Mixture m;
    static double values[LAYERS * (2 + EXPERTS * 3)];
    Recipe recipe;
    mixture_make(&m);
    assert_true(recipe_default(&recipe, NULL));
    for (int i = 0; i < m.structure.linear_count; i++) {
        const Linear *l = &m.linears[i];
        values[i] = l->role == ROLE_DOWN ? 8 : 3;
        if (l->role == ROLE_Q && (l->layer == 2 || (l->layer >= 6 && l->layer <= 8) || l->layer == 11)) values[i] = 4;
        if (l->role == ROLE_DOWN && l->layer == 3) values[i] = 2;
    }
    values[0] = NAN;
    assign(&recipe, &m, values);
    assert_true(recipe.value[DIAL_BITS] == 3);
    static const char *const matches[] = {"model.layers.*.mlp.experts.*.down_proj",
                                          "model.layers.3.mlp.experts.*.down_proj",
                                          "model.layers.[26-8].self_attn.q_proj", "model.layers.11.self_attn.q_proj"};
    assert_int_equal(recipe.override_count, 4);
    for (int i = 0; i < 4; i++) assert_string_equal(recipe.overrides[i].match, matches[i]);

    // Again, and again otherwise: what was written before goes.
    Override *other = recipe_add_override(&recipe, "model.layers.1.*", NULL);
    other->set[DIAL_ACTIVATIONS] = true;
    other->value[DIAL_ACTIVATIONS] = POLICY_NONE;
    assign(&recipe, &m, values);
    assert_int_equal(recipe.override_count, 5);
    for (int i = 0; i < m.structure.linear_count; i++) values[i] = 4;
    assign(&recipe, &m, values);
    assert_int_equal(recipe.override_count, 1);
    assert_true(recipe.value[DIAL_BITS] == 4);

    // One expert, and one that is quantized because it is named.
    values[5] = 8;
    m.linears[1].quantizable = false;
    other = recipe_add_override(&recipe, m.names[1], NULL);
    other->set[DIAL_BITS] = true;
    other->value[DIAL_BITS] = 8;
    assign(&recipe, &m, values);
    assert_int_equal(recipe.override_count, 3);
    assert_string_equal(recipe.overrides[1].match, m.names[1]);
    assert_string_equal(recipe.overrides[2].match, m.names[5]);
    recipe_free(&recipe);
}

// What a person wrote wins over what is assigned, as long as its linears are to keep that.
static void a_choice_leaves_what_a_person_wrote(void **state) {
    (void)state;
    static Mixture m;
    static double values[LAYERS * (2 + EXPERTS * 3)];
    Recipe recipe;
    const double eight = 8;
    mixture_make(&m);
    assert_true(recipe_default(&recipe, NULL));
    assert_true(recipe_override(&recipe, "model.layers.1?.*.down_proj", DIAL_BITS, &eight, NULL));
    for (int i = 0; i < m.structure.linear_count; i++)
        values[i] = m.linears[i].role != ROLE_DOWN ? 4 : m.linears[i].layer >= 10 ? 8 : 3;
    assign(&recipe, &m, values);
    assert_int_equal(recipe.override_count, 2);
    assert_string_equal(recipe.overrides[0].match, "model.layers.*.mlp.experts.*.down_proj");
    assert_true(recipe.overrides[0].tuned && recipe.overrides[0].value[DIAL_BITS] == 3);
    assert_string_equal(recipe.overrides[1].match, "model.layers.1?.*.down_proj");
    assert_false(recipe.overrides[1].tuned);
    for (int i = 0; i < m.structure.linear_count; i++) values[i] = 4; // also there: it has to go
    assign(&recipe, &m, values);
    assert_int_equal(recipe.override_count, 0);
    recipe_free(&recipe);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_allocation_is_the_best_up_to_a_step),
        cmocka_unit_test(the_way_back_costs_what_the_way_there_gained),
        cmocka_unit_test(what_cannot_be_met_is_said_with_the_least),
        cmocka_unit_test(thousands_of_items_take_milliseconds),
        cmocka_unit_test(other_bits_are_told_from_the_weights),
        cmocka_unit_test(fused_sets_and_experts_of_a_layer_get_the_same_bits),
        cmocka_unit_test(a_budget_keeps_to_what_engines_take),
        cmocka_unit_test(a_choice_is_written_as_few_rules),
        cmocka_unit_test(a_choice_leaves_what_a_person_wrote),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
