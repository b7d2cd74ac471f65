// The state that figures are compared with: a recipe, and what it comes to by what is measured now.
#pragma once

#include "tui/changes.h"

typedef struct Pin {
    bool set;
    Recipe recipe;
    uint64_t plans, plan, model; // the plans of the workbench that the rest is by; plan_hash and trial_model
    double bytes, bits_per_weight;
    bool here;         // the present state is this model
    uint64_t measured; // the model that accuracy and speed are of
    bool accuracy_known, speed_known;
    Accuracy accuracy;
    Accuracy part;      // of the first tokens, where its state was left before all were scored; no tokens: nothing
    float *by_position; // as in Effect, with the accuracy; NULL when memory was short
    size_t positions;
    Spread speed;           // times the base's
    double base_speed;      // tokens per second, when that was timed
    double *output_sqnr_db; // [linears]; NULL while unknown
    uint32_t trial;         // its row; 0: it has none
} Pin;

// Takes over *recipe, also on failure; then nothing is pinned. measured: the model that figures put in afterwards are
// of; 0: none.
bool pin_set(Pin *pin, Changes *changes, Rows *rows, Recipe *recipe, uint64_t measured, Error *err);
// Takes it away with its figures, and keeps them; the other way round, when it was kept.
void pin_remove(Pin *pin, Pin *kept, Changes *changes, Rows *rows);
bool pin_bring_back(Pin *pin, Pin *kept, Changes *changes, Rows *rows, Error *err);
void pin_free(Pin *pin);
// Plans it again when more was measured or turned, and takes what the trials know of it. After changes_follow.
void pin_follow(Pin *pin, Changes *changes, Rows *rows);
// The recipe, while it is not the present one and there is something to find out about it; NULL: nothing. What the user
// forgot of it stays so.
const Recipe *pin_to_score(const Pin *pin);
bool pin_is_known(const Pin *pin); // accuracy is there
// It is of the model that the recipe makes now. If not, calibration went on since its state was measured.
bool pin_is_settled(const Pin *pin);
bool pin_is_timed(const Pin *pin); // the same of its speed
