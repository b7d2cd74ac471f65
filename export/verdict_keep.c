// What a search over bits and groups, a budget or a choice of bits asks of engines, so that they take what it ends
// with.
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "export/verdict_parts.h"
#include "quant/units.h"

bool finding_is_of_scheme(const Finding *finding) {
    for (int i = 0; i < finding->change_count; i++) {
        const int dial = finding->changes[i].dial;
        if (dial == DIAL_BITS || dial == DIAL_GRANULARITY || dial == DIAL_GROUP_SIZE) return true;
    }
    return false;
}

Engines engines_of(const VerdictWish *wish) { return (Engines){.wishes = {*wish}, .count = 1}; }

bool engines_join(const ModelStructure *structure, const Engines *engines, int *unit, Error *err) {
    for (int e = 0; e < engines->count; e++)
        if (!verdict_join(structure, &engines->wishes[e], unit, err)) return false;
    return true;
}

static bool same_scheme(const Decision *a, const Decision *b) {
    return a->quantized == b->quantized &&
           (!a->quantized || (a->bits == b->bits && a->granularity == b->granularity && a->group == b->group));
}

// What mending left, of linears: there is nothing else to do about it.
static void refuse_rest(const Verdict *verdict, bool *refused) {
    for (int f = 0; f < verdict->finding_count && verdict->findings[f].severity >= SEVERITY_MISREAD; f++)
        for (int i = 0; i < verdict->findings[f].linear_count; i++) refused[verdict->findings[f].linears[i]] = true;
}

// Mends the recipe for one of them.
static bool keep_to_one(const ModelStructure *structure, const Measured *measured, const VerdictWish *wish,
                        Recipe *recipe, Plan *plan, bool *refused, Error *err) {
    VerdictFix fix;
    int before;
    const bool ok = verdict_mend(recipe, structure, measured, wish, &fix, &before, err);
    if (ok) {
        const Recipe was = *recipe;
        const Plan planned = *plan;
        *recipe = fix.recipe;
        *plan = fix.plan;
        fix.recipe = was;
        fix.plan = planned;
        refuse_rest(&fix.verdict, refused);
    }
    verdict_fix_free(&fix);
    return ok;
}

bool verdict_keep(const ModelStructure *structure, const Measured *measured, const Engines *engines, Recipe *recipe,
                  Plan *plan, bool *refused, Error *err) {
    const int rounds = engines->count > 1 ? 2 : engines->count; // what mends for one may be another's to refuse
    Plan asked = {0};
    if (!engines->count && refused) memset(refused, 0, (size_t)structure->linear_count * sizeof *refused);
    if (!engines->count) return plan_make(recipe, structure, measured, plan, err);
    bool *rest = array_new((size_t)structure->linear_count + 1, sizeof *rest);
    *plan = (Plan){0};
    bool ok = (rest || error_memory(err, "the verdict")) && plan_make(recipe, structure, measured, &asked, err);
    for (int r = 0; r < rounds; r++) {
        for (int i = 0; ok && i < structure->linear_count; i++) rest[i] = false;
        for (int e = 0; ok && e < engines->count; e++)
            ok = keep_to_one(structure, measured, &engines->wishes[e], recipe, plan, rest, err);
    }
    for (int i = 0; ok && refused && i < structure->linear_count; i++)
        refused[i] = rest[i] || !same_scheme(&asked.decisions[i], &plan->decisions[i]);
    plan_free(&asked);
    free(rest);
    return ok;
}
