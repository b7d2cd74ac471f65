#include "workbench/history.h"

#include <stdint.h>
#include <stdlib.h>

#include "base/array.h"

static bool history_append(History *history, Recipe *recipe, Error *err) {
    if (!array_grow(&history->recipes, history->length, &history->capacity, sizeof *history->recipes)) {
        recipe_free(recipe);
        return error_memory(err, "the history of recipes");
    }
    history->recipes[history->length++] = *recipe;
    *recipe = (Recipe){0};
    return true;
}

bool history_start(History *history, Recipe *first, Error *err) {
    *history = (History){.saved = 0};
    return history_append(history, first, err);
}

bool history_push(History *history, Recipe *recipe, Error *err) {
    while (history->length > history->now + 1) recipe_free(&history->recipes[--history->length]);
    if (history->saved != SIZE_MAX && history->saved > history->now) history->saved = SIZE_MAX;
    if (!history_append(history, recipe, err)) return false;
    history->now = history->length - 1;
    return true;
}

void history_replace(History *history, Recipe *recipe) {
    recipe_free(&history->recipes[history->now]);
    history->recipes[history->now] = *recipe;
    *recipe = (Recipe){0};
}

bool history_undo(History *history) {
    if (history->now == 0) return false;
    history->now--;
    return true;
}

bool history_redo(History *history) {
    if (history->now + 1 >= history->length) return false;
    history->now++;
    return true;
}

const Recipe *history_now(const History *history) { return &history->recipes[history->now]; }

void history_free(History *history) {
    for (size_t i = 0; i < history->length; i++) recipe_free(&history->recipes[i]);
    free(history->recipes);
    *history = (History){0};
}
