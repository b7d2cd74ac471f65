// The Trials screen: what is chosen on it, and what its keys do. panel_trials.c draws it.
#pragma once

#include "tui/ui.h"

typedef enum TrialSide { SIDE_BASE, SIDE_A, SIDE_B, SIDE_COUNT } TrialSide;
extern const char *const trial_side_names[SIDE_COUNT];

typedef struct TrialColumnInfo {
    const char *title;
    int width;    // with a blank before it
    bool falling; // sorts with the largest first
    char key;     // in the menu of columns
    const char *help;
} TrialColumnInfo;

extern const TrialColumnInfo trial_column_table[TRIAL_COLUMN_COUNT];

// Rows as they are shown: their numbers. 0 stands for the present state while it is not measured; it is always first.
#define TRIALS_SHOWN_MOST (TRIALS_MOST + 8)
typedef struct TrialOrder {
    uint32_t numbers[TRIALS_SHOWN_MOST];
    int count;
} TrialOrder;
void trials_order(const Ui *ui, TrialOrder *out);
// As the table names it: "#4", "e4" of an earlier session.
typedef struct TrialName {
    char text[16];
} TrialName;
TrialName trials_name(const Ui *ui, uint32_t number);
int trials_place(const TrialOrder *order, uint32_t number); // of a row in it; −1: it is not there
uint32_t trials_selected(const Ui *ui);                     // 0: the present state, not measured

// The row that is compared, A or B; NULL: none was measured yet.
const TrialRow *trials_compared(const Ui *ui, TrialSide side);
// How the present state, not measured yet, differs from the row before it.
const char *trials_present_words(Ui *ui);

// What the recipes of A and B do differently and what that buys, line by line; NULL: memory is short. Worked out once
// for two rows. Good until the next call.
const char *trials_compared_words(Ui *ui);
// "−0.0069 ±0.0009 ✓": by positions; "(±0.0021)" by the two standard errors, where positions are not kept.
void trials_against_text(const TrialDifference *difference, int most_decimals, bool ascii, char *out, size_t size);

// What one side writes.
typedef struct TrialText {
    const DecodeText *text; // NULL: there is none
    const char *prompt;     // "" without a text
    bool waits;             // it is being written
    bool cut;               // it ends because it was to be no longer
} TrialText;
TrialText trials_text(const Ui *ui, TrialSide side);
// Where its text parts from another one after the same prompt: a token; SIZE_MAX while they do not, or cannot be
// compared.
size_t trials_parting(const TrialText *text, const TrialText *other);
TrialSide trials_text_shown(const Ui *ui, int column); // in columns from left to right
size_t trials_token(const Ui *ui);                     // of the text that has the keys

void trials_open(Ui *ui);
void trials_leave(Ui *ui);
void trials_settle(Ui *ui);              // the keys are in a text that is seen, of another pair at its first difference
void trials_follow_zoom(Ui *ui);         // the keys go where something is seen
void trials_scroll(Ui *ui, int columns); // of figures
void trials_move(Ui *ui, int steps);     // the chosen row, or in a text the token
void trials_move_sideways(Ui *ui, int steps);
void trials_page(Ui *ui, int pages);
void trials_end(Ui *ui, int direction); // −1: first
void trials_choose(Ui *ui, uint32_t number);
void trials_next_pane(Ui *ui, int steps); // table, base, A, B
void trials_take(Ui *ui, int unused);     // the recipe of the chosen row
void trials_recompare(Ui *ui);            // what was compared in an earlier session, once its rows are there
void trials_compare_with(Ui *ui, int side);
void trials_toggle_difference(Ui *ui, int unused);
void trials_ask_drop(Ui *ui, int unused); // before trials_drop: what is dropped does not come back
void trials_drop(Ui *ui);
void trials_ask_note(Ui *ui, int unused);
void trials_take_note(Ui *ui, const char *note);
void trials_sort_by(Ui *ui, int column);
void trials_reverse(Ui *ui, int unused);
bool trials_close_view(Ui *ui); // what Esc closes first; false: nothing is open
