// What a search over bits and groups, a budget or a choice of bits asks of engines, so that they take what it ends
// with.
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "export/verdict_parts.h"
#include "quant/units.h"

bool finding_is_of_scheme(const Finding *finding) {
    for (int i = 0; i < finding->change_count; i++) {
        const int dial = finding->changes[i].dial; // may be none
        if (dial >= 0 && dial_is_of_scheme((Dial)dial)) return true;
    }
    return false;
}

Engines engines_of(const VerdictWish *wish) { return (Engines){.wishes = {*wish}, .count = 1}; }

bool engines_join(const ModelStructure *structure, const Engines *engines, int *unit, Error *err) {
    for (int e = 0; e < engines->count; e++)
        if (!verdict_join(structure, &engines->wishes[e], unit, err)) return false;
    return true;
}

// Of the model, and nothing of a recipe mends it.
static bool is_final(const Finding *finding) {
    return finding->severity == SEVERITY_REFUSED && !finding->linear_count && !finding->change_count;
}

static bool refuse_model(const Finding *finding, Error *err) {
    Text names = {0};
    targets_list(finding->targets, &names);
    error_set(err, "%s: refused by %s, whatever the recipe: %s %s", finding->name, names.data ? names.data : "",
              finding->what, finding->remedy);
    text_free(&names);
    return false;
}

bool engines_load(const ModelStructure *structure, const Engines *engines, const Plan *plan, Error *err) {
    bool loads = !engines->count;
    for (int e = 0; !loads && e < engines->count; e++) {
        Verdict verdict;
        if (!verdict_make(structure, NULL, plan, &engines->wishes[e], &verdict, err)) return false;
        for (int r = 0; r < verdict.row_count; r++) {
            const int worst = verdict.rows[r].worst;
            loads |= worst < 0 || !is_final(&verdict.findings[worst]);
        }
        if (!loads && e + 1 == engines->count) refuse_model(&verdict.findings[0], err);
        verdict_free(&verdict);
    }
    return loads;
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

// Mends the recipe for one of them. asked as of verdict_mend.
static bool keep_to_one(const ModelStructure *structure, const Measured *measured, const VerdictWish *wish,
                        Recipe *recipe, Plan *plan, Plan *asked, bool *refused, Error *err) {
    VerdictFix fix;
    const bool ok = verdict_mend(recipe, structure, measured, wish, &fix, asked, err);
    if (ok) {
        const Recipe was = *recipe;
        const Plan planned = *plan;
        *recipe = fix.recipe;
        *plan = fix.plan;
        fix.recipe = was;
        fix.plan = planned;
        if (refused) refuse_rest(&fix.verdict, refused);
    }
    verdict_fix_free(&fix);
    return ok;
}

// With several, what mends for one may be another's to refuse: they are heard twice.
bool verdict_keep(const ModelStructure *structure, const Measured *measured, const Engines *engines, Recipe *recipe,
                  Plan *plan, bool *refused, Error *err) {
    const size_t bytes = (size_t)structure->linear_count * sizeof *refused;
    Plan asked = {0};
    bool ok = true;
    *plan = (Plan){0};
    if (refused) memset(refused, 0, bytes);
    if (!engines->count) return plan_make(recipe, structure, measured, plan, err);
    for (int n = 0; ok && n < (engines->count > 1 ? 2 * engines->count : 1); n++) {
        if (refused && n == engines->count)
            memset(refused, 0, bytes); // of the first round: the second says what is left
        const VerdictWish *wish = &engines->wishes[n % engines->count];
        ok = keep_to_one(structure, measured, wish, recipe, plan, &asked, refused, err) &&
             (refused || verdict_leaves_something(wish, plan, &asked, err));
    }
    for (int i = 0; ok && refused && asked.decisions && i < structure->linear_count; i++)
        refused[i] |= !same_scheme(&asked.decisions[i], &plan->decisions[i]);
    plan_free(&asked);
    return ok;
}
