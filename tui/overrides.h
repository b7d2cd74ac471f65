// The list of a recipe's rules, over the screen: its overrides, the latest of which wins, and behind them the linears
// that it leaves alone. Each can be edited, removed and moved, as one step of the history.
#pragma once

#include "tui/terminal.h"

typedef struct Ui Ui;

typedef struct Overrides {
    bool shown;
    int selected, top; // rules, counted through both lists
    int edited;        // the rule that the prompt is about; −1: a new one
    int *linears;      // [rules]: how many each matches, −1: not counted yet
    bool *overruled;   // [rules]: without effect (recipe_overruled)
    int rules;
    uint64_t change; // of the recipe, that these are of
} Overrides;

void overrides_free(Overrides *overrides);
void overrides_open(Ui *ui);
void overrides_draw(Ui *ui);
void overrides_key(Ui *ui, const Key *key);
int overrides_count(Ui *ui); // rules
void overrides_choose(Ui *ui, int rule);
void overrides_name(Ui *ui, int rule, char *out, size_t size); // "MATCH DIAL=VALUE …"
void overrides_accept(Ui *ui, const char *line); // of the prompt: "MATCH DIAL=VALUE …" or "MATCH ignore"
