// Which linears the last turn changed, which differ from the pin, and which have an override: kept in the table (Rows).
#pragma once

#include "tui/rows.h"

typedef struct Changes {
    uint64_t *now, *before, *pinned; // [linears]: hashes of decisions; before the last turn; those of the pin
    bool has_pin, held;              // held: `before` is still that of the step that is being turned
    uint64_t plans, recipes;         // that these are of
    size_t step;
    int turned, since_pin; // how many linears differ
} Changes;

bool changes_init(Changes *changes, Rows *rows, Error *err);
void changes_begin(Changes *changes, Rows *rows); // another recipe, but nothing was turned
void changes_free(Changes *changes);
void changes_follow(Changes *changes, Rows *rows);                  // after every change of the plan
void changes_pin(Changes *changes, Rows *rows, const Plan *pinned); // NULL: nothing is; after changes_follow
