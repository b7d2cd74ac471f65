// One word for each engine and format: what comes of a recipe there.
#include <assert.h>

#include "export/verdict.h"

const char *const standing_names[] = {"-", "loads", "mended", "misreads", "refuses"};
static_assert(sizeof standing_names / sizeof *standing_names == STANDING_COUNT, "a standing has no name");

// A remedy that leaves nothing quantized is none.
static bool can_mend(const Recipe *recipe, const ModelStructure *structure, const Measured *measured,
                     const VerdictWish *wish) {
    VerdictFix fix;
    const bool mends =
        verdict_fix(recipe, structure, measured, wish, &fix, NULL) && !verdict_has(&fix.verdict, SEVERITY_MISREAD);
    verdict_fix_free(&fix);
    return mends;
}

bool verdict_standing(const Recipe *recipe, const ModelStructure *structure, const Measured *measured, const Plan *plan,
                      const VerdictWish *wish, Standing *out, Error *err) {
    Verdict verdict;
    *out = STANDING_UNREAD;
    if (!(wish->targets & targets_of_format(wish->format))) return true;
    if (!verdict_make(structure, measured, plan, wish, &verdict, err)) return false;
    *out = verdict_has(&verdict, SEVERITY_REFUSED)   ? STANDING_REFUSES
           : verdict_has(&verdict, SEVERITY_MISREAD) ? STANDING_MISREADS
                                                     : STANDING_LOADS;
    verdict_free(&verdict);
    if (*out > STANDING_LOADS && can_mend(recipe, structure, measured, wish)) *out = STANDING_MENDED;
    return true;
}
