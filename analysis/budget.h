// Bits for every linear within a budget, at once, from what linears cost alone. tune.h searches and measures wholes.
#pragma once

#include "analysis/allocation.h"
#include "export/verdict.h"
#include "loaders/structure.h"
#include "quant/plan.h"
#include "quant/units.h"

#define BUDGET_BITS ALLOCATION_CHOICES
extern const int budget_bits[BUDGET_BITS]; // rising

// What a linear would be with other bits, by the recipe's other dials. Arrays are by budget_bits.
typedef struct BitChoices {
    int now;                   // as it is quantized, −1: it is not
    double bytes[BUDGET_BITS]; // weight and scales
    double noise[BUDGET_BITS]; // of the weights (quant/noise.h), > 0
} BitChoices;

// choices [linear_count], under the recipe and its plan.
bool bit_choices_make(const Recipe *recipe, const ModelStructure *structure, const Measured *measured, const Plan *plan,
                      BitChoices *choices, Error *err);

// What one linear costs alone, in nats, as it is quantized now: measured or estimated.
typedef struct BitCost {
    double kl, se;      // with its standard error, 0 where it is none
    double input_noise; // noise over signal that rounding the input makes in the output, with any bits
    double carry;       // noise over signal in the output for each of the weights' noise
    double per_noise;   // what noise of the size of the signal costs linears of this model on average
} BitCost;

// The same with other bits, in proportion to the noise in the output. A figure that its error may explain is no ground
// for one many times as large: there the average of the model says what more noise costs.
double bit_cost_expected(const BitCost *cost, const BitChoices *choices, int bits);

// What the engines that the recipe is for ask of a budget. NULL: nothing.
typedef struct BudgetBounds {
    const int *unit;        // [linear_count] (quant/units.h): linears that must have the same bits
    const uint8_t *refused; // [linear_count]: 1 << b: not these of budget_bits; who refuses all of them is not heard
    const bool *kept;       // [linear_count]: linears that keep bits which are not refused, for all that must agree
} BudgetBounds;

// Of these engines, for a recipe: unit and refused [linear_count].
bool budget_bounds(const Recipe *recipe, const ModelStructure *structure, const Measured *measured,
                   const Engines *engines, int *unit, uint8_t *refused, Error *err);

// Linears that get the same bits: fused sets, when fused_together is on, the experts of a layer, which engines store as
// one matrix for each role, and those that the bounds tell.
typedef struct Budget {
    int *unit_of; // [linear_count], −1: not quantized
    int linear_count, unit_count;
    double elements; // weights in all units
    Allocation allocation;
    double now; // what all cost, each alone, as they are quantized
} Budget;

// choices, costs [linear_count]; costs of linears that are not quantized are not read. A pure function. Free with
// budget_free in any case.
bool budget_make(const ModelStructure *structure, bool fused_together, const BudgetBounds *bounds,
                 const BitChoices *choices, const BitCost *costs, Budget *out, Error *err);
void budget_free(Budget *budget);

typedef struct BudgetChoice {
    bool met;                          // otherwise this is the smallest there is, or that of least divergence
    double bits_per_weight, bytes, kl; // of all units; kl is the sum of what they are expected to cost alone
} BudgetChoice;

// The least divergence with at most so many bits per weight; chosen [linear_count] → of budget_bits, −1 where the
// linear is not quantized.
bool budget_within_bits(const Budget *budget, double most_bits, int *chosen, BudgetChoice *out, Error *err);
// The smallest whose sum of divergences is at most this.
bool budget_within_kl(const Budget *budget, double most_kl, int *chosen, BudgetChoice *out, Error *err);
