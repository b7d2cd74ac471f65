#include "tui/changes.h"

#include <stdlib.h>
#include <string.h>

#include "base/array.h"

static void hash_plan(const Rows *rows, const Plan *plan, uint64_t *out) {
    for (int i = 0; i < rows->total; i++) out[i] = decision_hash(&plan->decisions[i]);
}

static int differing(const uint64_t *now, const uint64_t *then, int total, bool *flags) {
    int count = 0;
    for (int i = 0; i < total; i++) count += flags[i] = now[i] != then[i];
    return count;
}

static void find_overridden(Rows *rows) {
    const Recipe *recipe = workbench_recipe(rows->workbench);
    int *matched = array_new((size_t)rows->total, sizeof *matched);
    memset(rows->overridden, 0, (size_t)rows->total * sizeof *rows->overridden);
    for (int o = 0; matched && o < recipe->override_count; o++) {
        const int count =
            name_table_match(&workbench_index(rows->workbench)->table, recipe->overrides[o].match, matched);
        for (int i = 0; i < count; i++) rows->overridden[matched[i]] = true;
    }
    free(matched);
}

bool changes_init(Changes *changes, Rows *rows, Error *err) {
    const size_t total = (size_t)rows->total;
    *changes = (Changes){.now = array_new(total, sizeof(uint64_t)),
                         .before = array_new(total, sizeof(uint64_t)),
                         .pinned = array_new(total, sizeof(uint64_t)),
                         .plans = workbench_plans(rows->workbench),
                         .recipes = workbench_changes(rows->workbench),
                         .step = workbench_step(rows->workbench)};
    if (!changes->now || !changes->before || !changes->pinned) return error_memory(err, "the table of linears");
    hash_plan(rows, workbench_plan(rows->workbench), changes->now);
    find_overridden(rows);
    return true;
}

void changes_free(Changes *changes) {
    free(changes->now);
    free(changes->before);
    free(changes->pinned);
}

// What measuring changes in a plan is no turn: then the flags stay, and a dial that is held begins anew.
void changes_follow(Changes *changes, Rows *rows) {
    const Workbench *w = rows->workbench;
    if (workbench_plans(w) == changes->plans) return;
    const bool turned = workbench_changes(w) != changes->recipes;
    const bool same_step = changes->held && workbench_step(w) == changes->step;
    if (turned && !same_step) memcpy(changes->before, changes->now, (size_t)rows->total * sizeof *changes->now);
    hash_plan(rows, workbench_plan(rows->workbench), changes->now);
    if (turned) {
        // Back at the start nothing is changed.
        if (workbench_step(w) == 0) memcpy(changes->before, changes->now, (size_t)rows->total * sizeof *changes->now);
        changes->turned = differing(changes->now, changes->before, rows->total, rows->changed);
        find_overridden(rows);
    }
    if (changes->has_pin) changes->since_pin = differing(changes->now, changes->pinned, rows->total, rows->unlike_pin);
    changes->held = turned;
    changes->plans = workbench_plans(w);
    changes->recipes = workbench_changes(w);
    changes->step = workbench_step(w);
}

void changes_begin(Changes *changes, Rows *rows) {
    changes->turned = 0;
    memset(rows->changed, 0, (size_t)rows->total * sizeof *rows->changed);
    changes->recipes = workbench_changes(rows->workbench);
    changes_follow(changes, rows);
    find_overridden(rows);
}

void changes_pin(Changes *changes, Rows *rows, const Plan *pinned) {
    changes->has_pin = pinned != NULL;
    changes->since_pin = 0;
    memset(rows->unlike_pin, 0, (size_t)rows->total * sizeof *rows->unlike_pin);
    if (!pinned) return;
    hash_plan(rows, pinned, changes->pinned);
    changes->since_pin = differing(changes->now, changes->pinned, rows->total, rows->unlike_pin);
}
