// Which schemes engines take: for a search over them.
#include "export/verdict_parts.h"

bool finding_is_of_scheme(const Finding *finding) {
    for (int i = 0; i < finding->change_count; i++) {
        const int dial = finding->changes[i].dial;
        if (dial == DIAL_BITS || dial == DIAL_GRANULARITY || dial == DIAL_GROUP_SIZE) return true;
    }
    return false;
}

// Of linears that have whole groups of this size: a search gives it to no others.
static bool refuses(const ModelStructure *structure, const Finding *finding, size_t group) {
    if (finding->severity < SEVERITY_MISREAD || !finding_is_of_scheme(finding)) return false;
    for (int i = 0; i < finding->linear_count; i++) {
        const size_t in = structure->linears[finding->linears[i]].in;
        if (!group || (group < in && in % group == 0)) return true;
    }
    return false;
}

bool verdict_refused_bits(const Recipe *recipe, const ModelStructure *structure, const Measured *measured,
                          const VerdictWish *wish, int bits, bool *refused, Error *err) {
    Recipe tried;
    Plan plan = {0};
    Verdict verdict = {0};
    const bool copied = recipe_copy(recipe, &tried, err);
    if (copied) recipe_set_everywhere(&tried, DIAL_BITS, bits);
    const bool ok = copied && plan_make(&tried, structure, measured, &plan, err) &&
                    verdict_make(structure, measured, &plan, wish, &verdict, err);
    for (int i = 0; i < structure->linear_count; i++) refused[i] = false;
    for (int f = 0; ok && f < verdict.finding_count && verdict.findings[f].severity >= SEVERITY_MISREAD; f++) {
        const Finding *finding = &verdict.findings[f];
        for (int i = 0; finding_is_of_scheme(finding) && i < finding->linear_count; i++)
            refused[finding->linears[i]] = true;
    }
    verdict_free(&verdict);
    plan_free(&plan);
    recipe_free(&tried);
    return ok;
}

bool verdict_refused_groups(const Recipe *recipe, const ModelStructure *structure, const Measured *measured,
                            const VerdictWish *wish, int bits, uint32_t *out, Error *err) {
    static const size_t groups[] = {0, 16, 32, 64, 128, 256};
    Recipe tried;
    bool ok = recipe_copy(recipe, &tried, err);
    *out = 0;
    for (size_t g = 0; ok && g < sizeof groups / sizeof *groups; g++) {
        Plan plan = {0};
        Verdict verdict = {0};
        recipe_set_scheme(&tried, bits, groups[g]);
        ok = plan_make(&tried, structure, measured, &plan, err) &&
             verdict_make(structure, measured, &plan, wish, &verdict, err);
        for (int i = 0; ok && i < verdict.finding_count; i++)
            if (refuses(structure, &verdict.findings[i], groups[g])) *out |= groups[g] ? (uint32_t)groups[g] : 1;
        verdict_free(&verdict);
        plan_free(&plan);
    }
    recipe_free(&tried);
    return ok;
}
