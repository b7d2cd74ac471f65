#include "tui/target.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "quant/recipe_set.h"

const char *const scope_names[] = {"all", "marked", "selected"};
static_assert(sizeof scope_names / sizeof *scope_names == SCOPES, "a scope has no name");

bool target_init(DialTarget *target, const Rows *rows, Error *err) {
    *target = (DialTarget){.linears = array_new((size_t)rows->total, sizeof *target->linears)};
    if (!target->linears) return error_memory(err, "the table of linears");
    target_refresh(target, rows);
    return true;
}

void target_free(DialTarget *target) {
    free(target->linears);
    free(target->settings);
}

// True when the list is another one.
static bool list_marked(DialTarget *target, const Rows *rows) {
    if (target->listed == SCOPE_MARKED && target->marks == rows->marks) return false;
    target->count = 0;
    for (int i = 0; i < rows->total; i++) {
        if (rows->marked[i]) target->linears[target->count++] = i;
    }
    return true;
}

static bool list_selected(DialTarget *target, const Rows *rows) {
    const int index = rows_index(rows), count = index < 0 ? 0 : rows_size(rows, index);
    const size_t bytes = (size_t)count * sizeof *target->linears;
    if (count == target->count && (!count || memcmp(target->linears, rows_members(rows, index), bytes) == 0))
        return false;
    if (count) memcpy(target->linears, rows_members(rows, index), bytes);
    target->count = count;
    return true;
}

static void take_values(DialTarget *target, const Recipe *recipe) {
    memcpy(target->value, recipe->value, sizeof target->value);
    for (int dial = 0; dial < DIAL_COUNT; dial++) {
        target->mixed[dial] = target->overridden[dial] = false;
        for (int i = 0; target->settings && i < target->count; i++) {
            const double value = target->settings[target->linears[i]][dial];
            if (i == 0) target->value[dial] = value;
            target->mixed[dial] |= value != target->value[dial];
            target->overridden[dial] |= value != recipe->value[dial];
        }
    }
}

static void take_settings(DialTarget *target, const Rows *rows) {
    const uint64_t change = workbench_changes(rows->workbench);
    if (target->settings && target->settings_of == change) return;
    if (!target->settings) target->settings = array_new((size_t)rows->total, sizeof *target->settings);
    if (!target->settings) return;
    target->settings_of = change;
    if (recipe_settings(workbench_recipe(rows->workbench), &workbench_index(rows->workbench)->table, target->settings,
                        NULL))
        return;
    free(target->settings);
    target->settings = NULL;
}

void target_refresh(DialTarget *target, const Rows *rows) {
    const uint64_t change = workbench_changes(rows->workbench);
    bool other = target->values_of != change;
    if (target->scope == SCOPE_MARKED && rows->marked_count == 0) target->scope = SCOPE_ALL;
    switch (target->scope) {
    case SCOPE_ALL:
        other = other || target->count;
        target->count = 0;
        break;
    case SCOPE_MARKED: other = list_marked(target, rows) || other; break;
    case SCOPE_SELECTED: other = list_selected(target, rows) || other; break;
    }
    target->marks = rows->marks;
    target->listed = target->scope;
    if (!other) return;
    if (target->count) take_settings(target, rows);
    take_values(target, workbench_recipe(rows->workbench));
    target->values_of = change;
}

Scope target_next_scope(const DialTarget *target, const Rows *rows) {
    if (rows->marked_count && rows->marks != target->offered && target->scope != SCOPE_MARKED) return SCOPE_MARKED;
    switch (target->scope) {
    case SCOPE_ALL: return rows->marked_count ? SCOPE_MARKED : SCOPE_SELECTED;
    case SCOPE_MARKED: return SCOPE_SELECTED;
    case SCOPE_SELECTED: break;
    }
    return SCOPE_ALL;
}
