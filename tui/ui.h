// The state of the screen, and what all its parts do with it. Nothing here includes curses.
#pragma once

#include "tui/canvas.h"
#include "tui/line_editor.h"
#include "tui/rows.h"
#include "tui/terminal.h"
#include "workbench/unsaved.h"

typedef enum ScreenKind { SCREEN_LAYERS, SCREEN_CONVERT, SCREEN_COUNT } ScreenKind;
typedef enum Pane { PANE_LAYERS, PANE_DIALS, PANE_COUNT } Pane;

// What a click on a place means. Collected while drawing, so that it is where it is seen.
typedef enum HitKind { HIT_ROW, HIT_COLUMN, HIT_DIAL, HIT_SLIDER, HIT_KEY, HIT_PANE, HIT_ENGINE } HitKind;
typedef struct Hit {
    Rect rect;
    HitKind kind;
    int value; // linear, column, dial, key, pane or row of engines
} Hit;
#define HITS_MOST 512

#define NO_DIAL (-1) // where a Dial may stand

// Figures to compare with.
typedef struct Pin {
    bool set;
    uint64_t turn;
    double bytes, bits_per_weight;
    bool accuracy_known, speed_known;
    Accuracy accuracy;
    float *by_position; // as in Effect, with the accuracy; NULL when memory was short
    size_t positions;
    Spread speed; // times the base's
} Pin;

// What is chosen on the Convert screen.
typedef struct Convert {
    ExportFormat format;
    char *folder;        // NULL: not named yet
    int engine, finding; // rows of the verdict: the chosen one; the first of its findings that is shown
    bool start_when_named;
    bool can_go_on; // of the question: what the folder holds is a part by an earlier recipe
} Convert;

typedef enum PromptKind {
    PROMPT_NONE,
    PROMPT_COMMAND,
    PROMPT_FIND,
    PROMPT_FILTER,
    PROMPT_SAVE,
    PROMPT_LOAD,
    PROMPT_TEXT,
    PROMPT_DIAL,
    PROMPT_FOLDER,
    PROMPT_QUIT,
    PROMPT_LEAVE,   // while a model is being written
    PROMPT_REPLACE, // what the folder holds
    PROMPT_OVERWRITE,
    PROMPT_RESTORE,
    PROMPT_COUNT,
} PromptKind;

typedef struct Message {
    char text[1024]; // empty: none
    bool failure;
} Message;

typedef struct Ui {
    Workbench *workbench;
    Terminal *terminal; // NULL in tests of drawing
    Canvas canvas;
    Layout layout;
    Rows rows;
    ScreenKind screen;
    Pane focus;
    Dial dial;       // the one that ← and → turn
    int dial_first;  // the first row of dials that is shown
    bool one_linear; // dials set an override for the selected linear
    Pin pin;
    Convert convert;
    PromptKind prompt;
    LineEditor editor;
    LineHistory histories[PROMPT_COUNT];
    char suggestions[512]; // completions to choose from; empty: none
    Message message;
    char *recipe_path; // NULL: not named yet
    Unsaved unsaved;
    uint64_t unsaved_change; // the last that was seen by ui_keep_unsaved
    double unsaved_since;    // when it was
    bool unsaved_failed;     // a message said that it cannot be kept
    bool help;
    int help_top, help_rows; // first line shown, lines there are
    int dragged;             // dial whose slider is held, or NO_DIAL
    int tick;                // of the spinner
    bool failed[JOB_COUNT];  // jobs whose failure was reported
    bool told_unkept;        // that measurements cannot be kept
    bool quit, quit_after_save;
    Hit hits[HITS_MOST];
    int hit_count;
} Ui;

bool ui_init(Ui *ui, Workbench *workbench, const char *recipe_path, Error *err); // recipe_path NULL: not named yet
void ui_free(Ui *ui);
bool ui_resize(Ui *ui, int rows, int cols, Error *err);
void ui_unpin(Ui *ui);
void ui_update(Ui *ui); // after workbench_update or a change of the recipe

// Unsaved changes are kept on disk shortly after the last of them, or at once; returns the seconds until that is due, <
// 0 when nothing is.
double ui_keep_unsaved(Ui *ui, bool at_once);

int ui_linear(const Ui *ui); // the selected one; −1 when the filter leaves none
int ui_target(const Ui *ui); // what dials set: the selected linear in one-linear mode, else −1 for all
void ui_say(Ui *ui, const char *format, ...) __attribute__((format(printf, 2, 3)));
void ui_fail(Ui *ui, const char *format, ...) __attribute__((format(printf, 2, 3)));
bool ui_report(Ui *ui, bool ok, const Error *err);      // shows the error unless ok; returns ok
void ui_ask(Ui *ui, PromptKind kind, const char *text); // on the bottom line; text: what stands there to be edited
void ui_hit(Ui *ui, Rect rect, HitKind kind, int value);
const char *ui_spinner(const Ui *ui);
