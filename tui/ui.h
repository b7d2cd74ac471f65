// The state of the screen, and what all its parts do with it. Nothing here includes curses.
#pragma once

#include "tui/canvas.h"
#include "tui/finished.h"
#include "tui/heat.h"
#include "tui/line_editor.h"
#include "tui/overrides.h"
#include "tui/pin.h"
#include "tui/settings.h"
#include "tui/target.h"
#include "tui/terminal.h"
#include "workbench/unsaved.h"

typedef enum ScreenKind {
    SCREEN_LAYERS,
    SCREEN_OUTLIERS,
    SCREEN_TRIALS,
    SCREEN_SWEEP,
    SCREEN_SENSITIVITY,
    SCREEN_CONVERT,
    SCREEN_COUNT
} ScreenKind;
typedef enum Pane { PANE_LAYERS, PANE_DIALS, PANE_TEXTS, PANE_COUNT } Pane;

// What a click on a place means. Collected while drawing, so that it is where it is seen.
typedef enum HitKind {
    HIT_ROW,
    HIT_COLUMN,
    HIT_DIAL,
    HIT_SLIDER,
    HIT_KEY,
    HIT_PANE,
    HIT_SCREEN,
    HIT_ENGINE,
    HIT_STANDING, // of the table of all engines: format and target in one
    HIT_MEASURE,
    HIT_CELLS,
    HIT_TRIAL,
    HIT_TRIAL_COLUMN,
    HIT_TRIAL_TEXT,
    HIT_COST,
    HIT_POINT,
    HIT_ITEM,
    HIT_JOB,
    HIT_RULE
} HitKind;
typedef struct Hit {
    Rect rect;
    HitKind kind;
    // item of a menu, linear, column, dial, key, pane, screen, row of engines, costs, jobs or rules, point of a sweep,
    // measure, number of a trial or one of its texts; of cells the columns of one
    int value;
} Hit;
#define HITS_MOST 512

#define NO_DIAL (-1) // where a Dial may stand

typedef enum TrialColumn {
    TRIAL_NUMBER,
    TRIAL_BITS,
    TRIAL_SIZE,
    TRIAL_KL,
    TRIAL_AGAINST,
    TRIAL_PPL,
    TRIAL_TOP1,
    TRIAL_SPEED,
    TRIAL_COLUMN_COUNT
} TrialColumn;

// What is chosen on the Trials screen. Rows are named by their numbers.
typedef struct TrialsView {
    uint32_t a, b;      // compared; 0: A is the pin or the start, B the present state
    uint64_t wanted[2]; // recipes of A and B of an earlier session, until their rows are read; 0: none
    uint32_t selected;  // 0: the present state
    uint32_t asked;     // the one that a note is being written for, or that is to be forgotten
    int top;            // the first row that is shown
    int scrolled;       // columns of figures that are scrolled out at the left
    TrialColumn sort;
    bool reversed;
    int pane;                  // what has the keys: 0 the table, 1 … the texts of base, A and B
    size_t token;              // that the cursor in a text is on
    uint32_t pair[2];          // the rows whose texts it is in
    bool difference;           // of the recipes, in place of the texts
    uint64_t words_of;         // the change that these words are of
    char words[256];           // how the present state differs, while it is not measured
    uint64_t difference_of[4]; // the recipes and models of A and B that these words are of
    Text difference_words;
} TrialsView;

// What is chosen on the Convert screen.
typedef struct Convert {
    ExportFormat format;
    char *folder;        // NULL: not named yet
    int engine, finding; // rows of the verdict: the one that is looked at; the first of its findings that is shown
    bool aimed;          // the recipe is for an engine: what that takes is said on the other screens, too
    Target target;       // which it is
    ExportFormat target_format; // and the format that is written for it
    bool taken;                 // it took the recipe when that was looked at last
    bool odd_bits;              // 2 and 3 bits are written
    bool start_when_named;
    Finished finished;
    bool can_go_on; // of the question: what the folder holds is a part by an earlier recipe
    // Of the questions before a remedy and before what an engine does not take is written.
    Target asked;
    bool over;               // it is to be written over what the folder holds
    bool can_fix, can_write; // a recipe can mend it; the format can hold it
    struct Accepted {        // that was answered with yes: the change of the recipe + 1, and for what
        uint64_t change;
        ExportFormat format;
        Target target;
    } accepted;
} Convert;

// The Outliers screen.
typedef struct HeatScreen {
    HeatMap heat;
    bool filled; // it has the figures of now
    HeatMeasure measure;
    int cell;                     // under the cursor
    bool moved;                   // the user chose it; else it is the worst
    int first_column, first_line; // that are seen
    int height;                   // rows of a cell, as drawn
} HeatScreen;
// How well it is known what a linear costs alone.
typedef enum CostSource { COST_STATISTICS, COST_ESTIMATED, COST_MEASURED } CostSource;
typedef enum CostFold { COSTS_OF_LINEARS, COSTS_OF_EXPERTS, COSTS_OF_ROLES, COSTS_OF_LAYERS, COST_FOLDS } CostFold;

// A row of the Sensitivity screen: one linear, or several that are folded.
typedef struct CostRow {
    int first, count, marked, found, held;             // the first of its linears; how many; held: and kept
    CostSource source;                                 // the worst of them
    double kl, se;                                     // sums, alone
    int bits, chosen;                                  // 0: not all the same
    double more_kl, more_bytes, fewer_kl, fewer_bytes; // one step of bits: what changes; bytes 0: there is none
} CostRow;

// What is chosen on the Sensitivity screen, and what follows from the figures.
typedef struct SensitivityScreen {
    CostFold fold;
    bool in_order;       // of the model; otherwise the largest first
    int selected, top;   // the first linear of the row; the first row that is seen
    bool moved;          // the user chose the row; otherwise it is the first
    bool by_kl;          // the budget bounds the divergence, not the bits
    double bits, kl;     // both budgets; 0: not set yet
    bool tuned;          // Enter takes what was tuned, not the budget's choice
    bool ready;          // the rest is known
    bool scaled;         // figures are divergences; else only their ratios are known
    bool carried;        // guesses are shares of the whole by figures of the recipe before, not by noise
    int guessed, priced; // linears that are only guessed at; all that have a cost
    bool takes_back;     // a budget and a search choose also for linears that were given bits or groups by hand
    bool *held;          // [linear_count]: those that were, at the change of the recipe held_change, and how many
    int held_count;
    uint64_t held_change;  // + 1
    uint64_t warned;       // the turn + 1 at which Enter said so
    double search_seconds; // that a search would take; NAN: not known
    bool told_long;        // T said that this is long: T again begins it
    BitCost *costs;        // [linear_count]
    CostSource *sources;
    int *chosen; // [linear_count] → budget_bits
    Budget budget;
    BudgetChoice choice;
    CostRow *rows;
    int row_count;
    double largest; // of the rows
} SensitivityScreen;

// What is chosen on the Sweep screen.
typedef struct SweepScreen {
    int dials[SWEEP_DIALS]; // NO_DIAL: none
    int offered;            // the dial of the first screen when this one was last opened
    int cursor;             // point
    bool by_bits;           // the curve goes over bits per weight
} SweepScreen;

typedef enum PromptKind {
    PROMPT_NONE,
    PROMPT_COMMAND,
    PROMPT_FIND,
    PROMPT_FILTER,
    PROMPT_MARK,
    PROMPT_SORT, // this and the next two are lists (menu.h)
    PROMPT_SWEEP,
    PROMPT_SWEEP_SECOND,
    PROMPT_RULE, // a rule of the recipe, in the list of them
    PROMPT_SAVE,
    PROMPT_LOAD,
    PROMPT_TEXT,
    PROMPT_DIAL,
    PROMPT_FOLDER,
    PROMPT_BUDGET,
    PROMPT_NOTE, // to a trial
    PROMPT_EXPORT,
    PROMPT_QUIT,
    PROMPT_LEAVE,   // while a model is being written
    PROMPT_REPLACE, // what the folder holds
    PROMPT_FIX,     // what overrides of the recipe set
    PROMPT_REFUSED, // an engine does not take what would be written
    PROMPT_OVERWRITE,
    PROMPT_RESTORE,
    PROMPT_FORGET, // a trial
    PROMPT_COUNT,
} PromptKind;

typedef struct Message {
    char text[1024]; // empty: none
    bool failure;
} Message;

// What is seen of the texts: lines from `top` on, once they were scrolled, else where the texts part.
typedef struct Texts {
    bool scrolled;
    int top, last, rows; // first line shown, the last that can be, lines shown of each text
} Texts;

// The list of jobs, and since when each has been at work.
typedef struct JobsView {
    bool shown;
    int at;
    double since[JOB_COUNT]; // 0: it is not
    uint64_t turn;
} JobsView;

#define GUIDE_STEPS 4
typedef struct Guide {
    bool shown, finished, done[GUIDE_STEPS];
    uint64_t changes; // of the recipe, at its beginning
} Guide;

// What lies over the screen and explains it.
typedef struct Help {
    bool shown, searching; // searching: keys go into the line below
    int top, rows;         // first line shown, lines there are
    LineEditor filter;     // only lines that contain it
} Help;

// A tour that plays by itself (demo.h).
typedef struct Demo {
    bool runs;
    bool forgetful; // it ran: nothing is kept
    double pace, due;
    int step, phase;
    size_t typed; // bytes of the step's keys
} Demo;

struct Ui {
    Workbench *workbench;
    const char *stored; // as structure_stored says, which looks at every linear
    Terminal *terminal; // NULL in tests of drawing
    Canvas canvas;
    Layout layout;
    Rows rows;
    ScreenKind screen;
    Settings settings;
    ColorScheme colors;
    Pane focus;
    Zoom zoom, zoomed_first; // of the Layers screen; the first pane of those that v goes through
    int zoomed;              // of another screen the pane that has the whole frame, from 1; 0: none
    Texts texts;
    Dial dial;         // the one that ← and → turn
    int dial_first;    // the first row of dials that is shown
    DialTarget target; // what dials set
    Changes changes;
    Overrides overrides;
    Pin pin, pin_removed; // removed: that can be brought back
    Convert convert;
    HeatScreen outliers;
    SensitivityScreen sensitivity;
    SweepScreen sweep;
    TrialsView trials;
    struct {              // as ui_update left it: while they differ, the model of a turn is looked for among the rows
        uint64_t changes; // of the recipe
        uint32_t last;    // the newest row
    } same;
    Demo demo;
    char exported[8]; // the ending of the last table or figure that was written; empty: none
    PromptKind prompt;
    LineEditor editor;
    LineHistory histories[PROMPT_COUNT];
    struct {
        int at, top;    // the item under the cursor, the first that is seen
        bool searching; // letters go into the search
        char sought[32];
    } menu;
    char suggestions[512]; // completions to choose from; empty: none
    struct {               // what the line that is being edited would do
        char text[512];    // beside it, or when it is wrong above it; empty: nothing to say
        bool wrong;
        // What Esc comes back to.
        bool moved;
        int selected; // linear
        int at;       // row of what is searched (find.h)
        char find[256], filter[256];
    } preview;
    Message message;
    char *recipe_path;    // NULL: not named yet
    uint64_t recipe_hash; // of its file, when it was last read or written
    char *recipe_offered; // one of another day that is not loaded; NULL: none
    Unsaved unsaved;
    uint64_t unsaved_change; // the last that was seen by ui_keep_unsaved
    double unsaved_since;    // when it was
    bool unsaved_failed;     // a message said that it cannot be kept
    Help help;
    Guide guide;
    JobsView jobs;
    bool speeds_shown;
    int dragged;            // dial whose slider is held, or NO_DIAL
    int tick;               // of the spinner
    bool failed[JOB_COUNT]; // jobs whose failure was reported
    bool told_unkept;       // that measurements cannot be kept
    bool quit, quit_after_save;
    Hit hits[HITS_MOST];
    int hit_count;
};

bool ui_init(Ui *ui, Workbench *workbench, const char *recipe_path, Error *err); // recipe_path NULL: not named yet
void ui_free(Ui *ui);
bool ui_resize(Ui *ui, int rows, int cols, Error *err);
void ui_name_recipe(Ui *ui, char *path);     // that was read or written; takes it over
uint64_t recipe_file_hash(const char *path); // 0: it cannot be read
void ui_update(Ui *ui);                      // after workbench_update or a change of the recipe

// Unsaved changes are kept on disk shortly after the last of them, or at once; returns the seconds until that is due, <
// 0 when nothing is.
double ui_keep_unsaved(Ui *ui, bool at_once);

int ui_linear(const Ui *ui); // the selected one; −1 when the filter leaves none
void ui_say(Ui *ui, const char *format, ...) __attribute__((format(printf, 2, 3)));
void ui_fail(Ui *ui, const char *format, ...) __attribute__((format(printf, 2, 3)));
bool ui_report(Ui *ui, bool ok, const Error *err);      // shows the error unless ok; returns ok
void ui_ask(Ui *ui, PromptKind kind, const char *text); // on the bottom line; text: what stands there to be edited
void ui_hit(Ui *ui, Rect rect, HitKind kind, int value);
const Hit *ui_hit_at(const Ui *ui, int row, int col); // what was drawn last lies on top; NULL: nothing is there
const char *ui_spinner(const Ui *ui);
