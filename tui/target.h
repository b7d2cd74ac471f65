// What the dials set: all linears, the marked ones, or those of the selected row; and how their dials stand.
#pragma once

#include "tui/rows.h"

typedef enum Scope { SCOPE_ALL, SCOPE_MARKED, SCOPE_SELECTED } Scope;
enum { SCOPES = SCOPE_SELECTED + 1 };

extern const char *const scope_names[]; // "all", "marked", "selected"

typedef struct DialTarget {
    Scope scope;
    uint64_t offered;                               // the change of marks that the last choice of a scope was by
    int *linears, count;                            // [count]; none with SCOPE_ALL
    double value[DIAL_COUNT];                       // of the first of them; with SCOPE_ALL that of the recipe
    bool mixed[DIAL_COUNT], overridden[DIAL_COUNT]; // they differ; some have a value of their own

    double (*settings)[DIAL_COUNT];         // [linears of the model]; NULL until it is needed
    Scope listed;                           // that the list is of
    uint64_t settings_of, values_of, marks; // the change of the recipe and of marks that these are of
} DialTarget;

bool target_init(DialTarget *target, const Rows *rows, Error *err);
void target_free(DialTarget *target);
// After whatever may have changed: scope, marks, selection, recipe. Without marks the scope of these is that of all.
void target_refresh(DialTarget *target, const Rows *rows);
// Goes round, but what was marked since the scope was chosen comes first.
Scope target_next_scope(const DialTarget *target, const Rows *rows);
