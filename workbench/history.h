// Undo and redo: every recipe that was, in order, and which of them holds now.
#pragma once

#include "quant/recipe.h"

typedef struct History {
    Recipe *recipes; // [length], the one at `now` holds
    size_t length, capacity, now;
    size_t saved; // index of the recipe that is on disk; SIZE_MAX when none is
} History;

bool history_start(History *history, Recipe *first, Error *err); // takes over *first, also on failure
// Takes over *recipe as the newest; what could have been redone is forgotten. On failure *recipe is freed and nothing
// changes.
bool history_push(History *history, Recipe *recipe, Error *err);
// Like history_push, but in place of the newest recipe, for a dial that is still being turned; frees the old one.
void history_replace(History *history, Recipe *recipe);
bool history_undo(History *history);
bool history_redo(History *history);
const Recipe *history_now(const History *history);
void history_free(History *history);
