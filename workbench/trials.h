// Trials: the states of the recipe that were measured, one row each, oldest first. It is the list of what was tried,
// memory from one start of the program to the next, and what two states are compared by.
//
// Rows whose recipes make the same model share its figures. At most TRIALS_MOST rows are kept: then the oldest goes
// that has no note and is neither present nor compared (or, when all have, the oldest of those with a note).
// Figures of positions take at most TRIALS_POSITIONS_BYTES together: then those of the oldest rows go, but not
// of the rows that are compared, and what is left of such a row is its figures.
#pragma once

#include "analysis/accuracy.h"
#include "analysis/speed.h"
#include "analysis/statistics.h"
#include "analysis/stats_file.h"
#include "quant/plan.h"
#include "workbench/decode_text.h"

#define TRIALS_MOST 200
#define TRIALS_POSITIONS_BYTES ((size_t)16 << 20)
#define TRIAL_NOTE_MOST 200 // bytes

typedef struct TrialFigures {
    int rows;         // that share them
    uint64_t model;   // what they are of
    bool provisional; // by ranges that had not settled
    double bits_per_weight;
    uint64_t bytes;
    Accuracy accuracy;
    float *by_position; // [POSITION_FIGURES, positions]; NULL: were dropped, or memory was short
    size_t positions;
    bool timed, timed_earlier; // timed_earlier: in an earlier session, when the machine may have been another
    DecodeSpeed speed;
    char *prompt; // of the text; NULL: there is none
    DecodeText text;
    size_t asked; // tokens that were asked for when it was finished; 0: not known
} TrialFigures;

typedef struct TrialRow {
    uint32_t number; // counts from 1, over sessions
    uint32_t from;   // the row that was turned to make this one; 0: none
    bool earlier;    // from an earlier session, and not come back to in this one
    Recipe recipe;
    uint64_t recipe_key; // a hash of it
    TrialFigures *figures;
    char *what; // how the recipe differs from that of `from`; "start": what a session began with
    char *note; // the user's; "" none
} TrialRow;

typedef struct Trials {
    TrialRow *rows; // [count], by number
    size_t count, capacity;
    uint32_t last;    // number that was given last
    uint32_t present; // the row of the recipe as it is now; 0: it was not measured yet
    uint32_t before;  // the last one that was present
    bool begun;       // with the recipe `first`
    Recipe first;
    uint32_t start;       // the row of `first`, 0 until it is measured; without it the first one of this session
    uint32_t compared[2]; // rows that stay; 0: none
    uint64_t changes;     // counts them
} Trials;

void trials_free(Trials *trials);
// What the program starts with, which is not always what is measured first.
bool trials_begin(Trials *trials, const Recipe *recipe, Error *err);
// How a recipe differs from the last one that was present, or before there was one from the first; "start" for the
// first. Owned by the caller; NULL when memory is short.
char *trials_difference(const Trials *trials, const Recipe *recipe, const ModelStructure *structure);

const TrialRow *trials_row(const Trials *trials, uint32_t number);            // NULL: there is none
const TrialRow *trials_of_recipe(const Trials *trials, const Recipe *recipe); // NULL: not measured
const TrialFigures *trials_of_model(const Trials *trials, uint64_t model);    // NULL: not measured
// The row of the recipe, or without one a row of the same model: the last present one before others. NULL: there is
// none.
const TrialRow *trials_row_for(const Trials *trials, const Recipe *recipe, uint64_t model);

uint64_t trial_recipe_key(const Recipe *recipe);
// Which model it is: of plan and, where they matter, measured inputs.
uint64_t trial_model(const Plan *plan, const Measured *measured);

// A state that was measured. Makes the row of this recipe the present one: a row that was there with the figures of
// this model, or a new one, or the old one with new figures when measurements changed what the recipe comes to. A turn
// without effect makes no row: that of the model is the present one. Returns its number; 0 when memory is short.
typedef struct TrialState {
    const Recipe *recipe;
    const Plan *plan;
    uint64_t model;
    const Accuracy *accuracy;
    const float *by_position; // [POSITION_FIGURES, positions] or NULL
    size_t positions;
} TrialState;
uint32_t trials_record(Trials *trials, const TrialState *state, const ModelStructure *structure);
// The same of a state that is not the present one: no other row becomes that.
uint32_t trials_record_other(Trials *trials, const TrialState *state, const ModelStructure *structure);
// What a model among them writes, or has written so far; asked: the most tokens it was to be.
void trials_add_text(Trials *trials, uint64_t model, const char *prompt, const DecodeText *text, size_t asked);
// Whether all is there that this model writes after the prompt, up to so many tokens.
bool trial_text_is_whole(const TrialFigures *figures, const char *prompt, size_t most);
// What comes later, of the present row.
void trials_add_speed(Trials *trials, const DecodeSpeed *speed);
// The recipe is another: its row is the present one, if there is one.
void trials_follow(Trials *trials, const Recipe *recipe);

void trials_forget(Trials *trials, uint32_t number);
bool trials_note(Trials *trials, uint32_t number, const char *note, Error *err); // "": none
void trials_compare(Trials *trials, uint32_t a, uint32_t b);                     // these stay

// How far b's divergence lies above a's, and the standard error: paired, position by position, where both kept them.
typedef struct TrialDifference {
    double mean, se;
    bool paired;
} TrialDifference;
TrialDifference trial_difference(const TrialFigures *a, const TrialFigures *b);

// Whether no other row has both fewer bits and less divergence, or one of them and the other equal.
bool trial_is_best(const Trials *trials, const TrialRow *row);

// ---- On disk ----

// The payload of a file of STATS_TRIALS.
void trials_put(const Trials *trials, Text *file);
// As rows of an earlier session, before those that are there, which are numbered after them. False, and nothing added,
// when something in it cannot be true.
bool trials_get(StatsReader *reader, Trials *trials);
