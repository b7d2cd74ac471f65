#include "analysis/budget.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "quant/noise.h"

const int budget_bits[BUDGET_BITS] = {2, 3, 4, 8};

// ---- what other bits would be -------------------------------------------------------------------------------------

static bool plan_with_bits(const Recipe *recipe, const ModelStructure *structure, const Measured *measured, int bits,
                           Plan *out, Error *err) {
    Recipe uniform;
    if (!recipe_copy(recipe, &uniform, err)) return false;
    recipe_set_everywhere(&uniform, DIAL_BITS, bits);
    const bool ok = plan_make(&uniform, structure, measured, out, err);
    recipe_free(&uniform);
    return ok;
}

// Of a matrix that was not measured: as that of the grid's steps.
static double noise_of(const WeightMeasure *weight, const Decision *d) {
    const bool known = weight && weight->known && weight->votes.sizes_count > 0;
    int s = 0;
    while (known && s + 1 < weight->votes.sizes_count && weight->votes.sizes[s] > d->group) s++;
    const double noise = known ? weight_noise(weight, s, d->grid, d->bits) : 0;
    return noise > 0 ? noise : ldexp(1, -2 * d->bits);
}

static int bits_index(int bits) {
    for (int b = 0; b < BUDGET_BITS; b++) {
        if (budget_bits[b] == bits) return b;
    }
    return -1;
}

bool bit_choices_make(const Recipe *recipe, const ModelStructure *structure, const Measured *measured, const Plan *plan,
                      BitChoices *choices, Error *err) {
    for (int i = 0; i < structure->linear_count; i++)
        choices[i].now = plan->decisions[i].quantized ? bits_index(plan->decisions[i].bits) : -1;
    for (int b = 0; b < BUDGET_BITS; b++) {
        Plan uniform = {0};
        if (!plan_with_bits(recipe, structure, measured, budget_bits[b], &uniform, err)) return false;
        for (int i = 0; i < structure->linear_count; i++) {
            const Decision *d = &uniform.decisions[i];
            if (choices[i].now < 0 || !d->quantized) continue;
            choices[i].bytes[b] = (double)d->bytes;
            choices[i].noise[b] = noise_of(measured && measured->weights ? &measured->weights[i] : NULL, d);
        }
        plan_free(&uniform);
    }
    return true;
}

double bit_cost_expected(const BitCost *cost, const BitChoices *choices, int bits) {
    const double then = cost->input_noise + cost->carry * choices->noise[bits],
                 now = cost->input_noise + cost->carry * choices->noise[choices->now];
    const bool known = cost->kl > 2 * cost->se;
    return known || then <= now ? cost->kl * then / now : cost->kl + cost->per_noise * (then - now);
}

// Which linears the engines refuse with so many bits, of a recipe that is mended as it is.
static bool refused_with(const Recipe *recipe, const ModelStructure *structure, const Measured *measured,
                         const Engines *engines, int bits, bool *refused, Error *err) {
    Recipe tried;
    Plan plan;
    if (!recipe_copy(recipe, &tried, err)) return false;
    recipe_set_everywhere(&tried, DIAL_BITS, bits);
    const bool ok = verdict_keep(structure, measured, engines, &tried, &plan, refused, err);
    plan_free(&plan);
    recipe_free(&tried);
    return ok;
}

static bool find_refused(const Recipe *recipe, const ModelStructure *structure, const Measured *measured,
                         const Engines *engines, uint8_t *refused, Error *err) {
    const size_t linears = (size_t)structure->linear_count;
    Recipe mended;
    Plan plan = {0};
    bool *of_bits = array_new(linears, sizeof *of_bits);
    bool ok = (of_bits || error_memory(err, "a budget")) && recipe_copy(recipe, &mended, err);
    if (ok) {
        ok = verdict_keep(structure, measured, engines, &mended, &plan, of_bits, err);
        for (int b = 0; ok && b < BUDGET_BITS; b++) {
            ok = refused_with(&mended, structure, measured, engines, budget_bits[b], of_bits, err);
            for (size_t i = 0; i < linears; i++) refused[i] |= (uint8_t)(of_bits[i] << b);
        }
        recipe_free(&mended);
    }
    plan_free(&plan);
    free(of_bits);
    return ok;
}

bool budget_bounds(const Recipe *recipe, const ModelStructure *structure, const Measured *measured,
                   const Engines *engines, int *unit, uint8_t *refused, Error *err) {
    units_alone(unit, structure->linear_count);
    memset(refused, 0, (size_t)structure->linear_count * sizeof *refused);
    return engines_join(structure, engines, unit, err) &&
           find_refused(recipe, structure, measured, engines, refused, err);
}

// ---- units --------------------------------------------------------------------------------------------------------

static bool join_experts(int *unit, const ModelStructure *s) {
    int *first = array_new(((size_t)s->config.layers + 1) * ROLE_COUNT, sizeof *first); // + 1, of a layer and role
    for (int i = 0; first && i < s->linear_count; i++) {
        const Linear *linear = &s->linears[i];
        int *known = linear->expert < 0 ? NULL : &first[linear->layer * ROLE_COUNT + (int)linear->role];
        if (known && *known) units_join(unit, *known - 1, i);
        if (known) *known = i + 1;
    }
    free(first);
    return first != NULL;
}

static bool find_units(const ModelStructure *s, bool fused_together, const BudgetBounds *bounds,
                       const BitChoices *choices, Budget *out, Error *err) {
    const size_t linears = (size_t)s->linear_count;
    int *unit = array_new(linears, sizeof *unit), *number = array_new(linears, sizeof *number); // of a first + 1
    out->unit_of = array_new(linears, sizeof *out->unit_of);
    const bool ok = (unit && number && out->unit_of && units_begin(s, bounds->unit, fused_together, unit, NULL) &&
                     join_experts(unit, s)) ||
                    error_memory(err, "a budget");
    for (int i = 0; ok && i < s->linear_count; i++) {
        out->unit_of[i] = -1;
        if (choices[i].now < 0) continue;
        int *known = &number[units_first(unit, i)];
        if (!*known) *known = ++out->unit_count;
        out->unit_of[i] = *known - 1;
        out->elements += (double)s->linears[i].out * (double)s->linears[i].in;
    }
    free(unit);
    free(number);
    return ok;
}

static void fill_items(const ModelStructure *s, const BitChoices *choices, const BitCost *costs, Budget *budget,
                       AllocationItem *items) {
    for (int i = 0; i < s->linear_count; i++) {
        if (budget->unit_of[i] < 0) continue;
        AllocationItem *item = &items[budget->unit_of[i]];
        for (int b = 0; b < BUDGET_BITS; b++) {
            item->bytes[b] += choices[i].bytes[b];
            item->cost[b] += bit_cost_expected(&costs[i], &choices[i], b);
        }
        budget->now += costs[i].kl;
    }
}

static bool refuse_items(const uint8_t *refused, const Budget *budget, AllocationItem *items) {
    uint8_t *of_unit = array_new((size_t)budget->unit_count, sizeof *of_unit);
    for (int i = 0; of_unit && i < budget->linear_count; i++) {
        if (budget->unit_of[i] >= 0) of_unit[budget->unit_of[i]] |= refused[i];
    }
    for (int u = 0; of_unit && u < budget->unit_count; u++) {
        bool any = false;
        for (int b = 0; b < BUDGET_BITS; b++) any = any || (isfinite(items[u].cost[b]) && !(of_unit[u] >> b & 1));
        for (int b = 0; any && b < BUDGET_BITS; b++)
            if (of_unit[u] >> b & 1) items[u].cost[b] = INFINITY;
    }
    free(of_unit);
    return of_unit != NULL;
}

// Of a unit with several that are kept, the first is heard whose bits the engines take: what comes out is kept to
// these.
static bool keep_items(const bool *kept, const BitChoices *choices, const Budget *budget, AllocationItem *items) {
    bool *done = array_new((size_t)budget->unit_count, sizeof *done);
    for (int i = 0; done && i < budget->linear_count; i++) {
        const int unit = budget->unit_of[i];
        if (unit < 0 || !kept[i] || done[unit] || !isfinite(items[unit].cost[choices[i].now])) continue;
        done[unit] = true;
        for (int b = 0; b < BUDGET_BITS; b++)
            if (b != choices[i].now) items[unit].cost[b] = INFINITY;
    }
    free(done);
    return done != NULL;
}

bool budget_make(const ModelStructure *structure, bool fused_together, const BudgetBounds *bounds,
                 const BitChoices *choices, const BitCost *costs, Budget *out, Error *err) {
    *out = (Budget){.linear_count = structure->linear_count};
    if (!find_units(structure, fused_together, bounds, choices, out, err)) return false;
    AllocationItem *items = array_new((size_t)out->unit_count, sizeof *items);
    if (items) fill_items(structure, choices, costs, out, items);
    bool ok = items && (!bounds->refused || refuse_items(bounds->refused, out, items)) &&
              (!bounds->kept || keep_items(bounds->kept, choices, out, items));
    if (!ok) error_memory(err, "a budget");
    ok = ok && allocation_make(items, out->unit_count, &out->allocation, err);
    free(items);
    return ok;
}

void budget_free(Budget *budget) {
    free(budget->unit_of);
    allocation_free(&budget->allocation);
    *budget = (Budget){0};
}

// ---- choosing -----------------------------------------------------------------------------------------------------

typedef Allocated (*Within)(const Allocation *allocation, double limit, int *chosen);

static bool choose(const Budget *budget, Within within, double limit, int *chosen, BudgetChoice *out, Error *err) {
    int *units = array_new((size_t)budget->unit_count, sizeof *units);
    if (!units) return error_memory(err, "a budget");
    const Allocated result = within(&budget->allocation, limit, units);
    *out = (BudgetChoice){.met = result.met,
                          .bits_per_weight = 8 * result.bytes / budget->elements,
                          .bytes = result.bytes,
                          .kl = result.cost};
    for (int i = 0; i < budget->linear_count; i++) chosen[i] = budget->unit_of[i] < 0 ? -1 : units[budget->unit_of[i]];
    free(units);
    return true;
}

bool budget_within_bits(const Budget *budget, double most_bits, int *chosen, BudgetChoice *out, Error *err) {
    return choose(budget, allocation_within_bytes, most_bits * budget->elements / 8, chosen, out, err);
}

bool budget_within_kl(const Budget *budget, double most_kl, int *chosen, BudgetChoice *out, Error *err) {
    return choose(budget, allocation_within_cost, most_kl, chosen, out, err);
}
