// The table of linears: which are shown, in what order, and which one is selected.
#pragma once

#include "tui/canvas.h"
#include "workbench/workbench.h"

typedef enum Column {
    COLUMN_LINEAR,
    COLUMN_WEIGHT_MAX,
    COLUMN_RANGE,
    COLUMN_CLASS,
    COLUMN_BITS,
    COLUMN_GROUP,
    COLUMN_SQNR,
    COLUMN_KURTOSIS,
    COLUMN_OUTLIERS,
    COLUMN_SIZE,
    COLUMN_COUNT,
} Column;

typedef struct ColumnInfo {
    const char *title;
    const char *name; // for :sort
    int width;
    bool falling; // sorts with the largest first
    const char *help;
} ColumnInfo;

extern const ColumnInfo column_table[COLUMN_COUNT];

typedef struct Rows {
    const Workbench *workbench;
    int *linears; // [count]: what is shown, in order
    int count;
    bool *marked; // [linears of the model]
    int marked_count;
    int selected; // linear, −1: none
    int top;      // index of the first row on the screen
    bool moved;   // the user chose the selection
    Column sort;
    bool reversed;
    char find[128], filter[128]; // empty: none
} Rows;

bool rows_init(Rows *rows, const Workbench *workbench, Error *err);
void rows_free(Rows *rows);
void rows_arrange(Rows *rows); // filters and sorts anew; the selection stays with its linear

int rows_index(const Rows *rows); // of the selection, −1
void rows_move(Rows *rows, int steps);
void rows_move_to(Rows *rows, int index); // clamped
void rows_show(Rows *rows, int height);   // scrolls so that the selection is seen
bool rows_find(Rows *rows, int direction,
               bool here); // the next linear whose name holds `find`; here: the selected one may be it

void rows_mark(Rows *rows, int linear, bool on);

// The figure that a column sorts by; NAN while unknown.
double rows_figure(const Workbench *workbench, int linear, Column column);
int rows_column_named(const char *name); // −1 when there is none
// True when text occurs in name, whatever the case; or, with * or ? in it, matches as a glob.
bool rows_text_matches(const char *name, const char *text);
