// What a search leaves as the recipe has it.
#include <stdlib.h>
#include <string.h>

#include "analysis/tune_parts.h"
#include "base/array.h"
#include "quant/linear_index.h"

void override_drop_scheme(Override *override) {
    for (Dial dial = 0; dial < DIAL_COUNT; dial++) override->set[dial] &= !dial_is_of_scheme(dial);
}

// ---- the recipe to start from ----

// Not of a linear that is kept, nor of one that is quantized only because it is named.
static bool will_be_overruled(const Tuning *t, const char *match, const int *linears, int count) {
    for (int i = 0; i < count; i++) {
        const Linear *linear = &t->structure->linears[linears[i]];
        if (t->kept[linears[i]] || (!linear->quantizable && strcmp(linear->name, match) == 0)) return false;
    }
    return count > 0;
}

bool tuning_start(Tuning *t) {
    const size_t n = (size_t)t->structure->linear_count;
    NameTable names = {0};
    int *matched = array_new(n, sizeof *matched);
    t->kept = array_new(n, sizeof *t->kept);
    const bool ok = (matched && t->kept && name_table_new(t->structure, &names)) || error_memory(t->err, "tuning");
    if (ok && t->goal->kept) memcpy(t->kept, t->goal->kept, n * sizeof *t->kept);
    const bool copied = ok && recipe_copy(t->recipe, &t->start, t->err);
    for (int i = 0; copied && i < t->start.override_count; i++) {
        Override *override = &t->start.overrides[i];
        const int count = name_table_match(&names, override->match, matched);
        if (will_be_overruled(t, override->match, matched, count)) override_drop_scheme(override);
    }
    if (copied) recipe_drop_empty(&t->start);
    name_table_free(&names);
    free(matched);
    return copied;
}

// ---- what is kept ----

// What the kept one has, for another that must agree with it.
static bool give_scheme(Tuning *t, int from, int to) {
    const char *name = t->structure->linears[from].name;
    Override *override = recipe_add_override(&t->start, t->structure->linears[to].name, t->err);
    if (!override) return false;
    override->tuned = true;
    for (Dial dial = 0; dial < DIAL_COUNT; dial++) {
        if (!dial_is_of_scheme(dial)) continue;
        override->set[dial] = true;
        override->value[dial] = recipe_value(t->recipe, dial, name);
    }
    return true;
}

static bool may_be_quantized(const Tuning *t, int linear) {
    for (int s = 0; s < t->scheme_count; s++)
        if (t->uniform[s].decisions[linear].quantized) return true;
    return false;
}

// Linears that are not quantized are not kept. first [linear_count]: of the first of a unit, its first kept one + 1.
static bool keep_units(Tuning *t, const int *unit, int *first) {
    const int linears = t->structure->linear_count;
    for (int i = 0; i < linears; i++) {
        t->kept[i] = t->kept[i] && may_be_quantized(t, i);
        int *known = &first[units_first(unit, i)];
        if (t->kept[i] && !*known) *known = i + 1;
    }
    for (int i = 0; i < linears; i++) {
        const int kept = first[units_first(unit, i)] - 1;
        if (kept < 0 || !may_be_quantized(t, i)) continue;
        if (!t->kept[i] && !give_scheme(t, kept, i)) return false;
        t->kept[i] = true;
        t->out->kept++;
    }
    return true;
}

static void put_into(const Tuning *t, Plan *plan) {
    double bits = 0, weights = 0;
    for (int i = 0; i < plan->linear_count; i++) {
        const Linear *linear = &t->structure->linears[i];
        if (t->kept[i]) {
            plan->bytes += t->kept_plan.decisions[i].bytes - plan->decisions[i].bytes; // which may wrap around and back
            plan->decisions[i] = t->kept_plan.decisions[i];
        }
        if (!plan->decisions[i].quantized) continue;
        bits += 8 * (double)plan->decisions[i].bytes;
        weights += (double)(linear->out * linear->in);
    }
    plan->bits_per_weight = bits / weights;
}

// Engines come before what is kept: what they do not take of it is mended, and counted.
static bool plan_kept(Tuning *t) {
    Recipe recipe = {0};
    bool *refused = array_new((size_t)t->structure->linear_count, sizeof *refused);
    const bool ok =
        (refused || error_memory(t->err, "tuning")) && recipe_copy(&t->start, &recipe, t->err) &&
        verdict_keep(t->structure, &t->stats->measured, &t->goal->engines, &recipe, &t->kept_plan, refused, t->err);
    for (int i = 0; ok && i < t->structure->linear_count; i++) t->out->kept_mended += t->kept[i] && refused[i];
    recipe_free(&recipe);
    free(refused);
    return ok;
}

bool tuning_keep(Tuning *t, const int *unit) {
    int *first = array_new((size_t)t->structure->linear_count, sizeof *first);
    bool ok = (first || error_memory(t->err, "tuning")) && keep_units(t, unit, first);
    free(first);
    if (!ok || !t->out->kept) return ok;
    if (!plan_kept(t)) return false;
    for (int i = 0; i < t->structure->linear_count; i++)
        if (t->kept[i]) t->kept_bytes += (double)t->kept_plan.decisions[i].bytes;
    for (int s = 0; s < t->scheme_count; s++) put_into(t, &t->uniform[s]);
    return true;
}
