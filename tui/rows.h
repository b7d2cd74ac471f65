// The table of linears: which are shown, in what order, which are folded into one row, marked and selected.
#pragma once

#include "tui/canvas.h"
#include "tui/filter.h"
#include "tui/rows_columns.h"
#include "workbench/workbench.h"

// What folds: the experts of a layer that do the same, and all linears of a layer. NO_GROUP where there is none.
typedef enum Fold { FOLD_EXPERTS, FOLD_LAYER, FOLD_COUNT } Fold;
#define NO_GROUP (-1)

// What rows are made with.
typedef struct RowMaking {
    int *row_of_group; // [groups]
    double *figures;   // [rows], that they are sorted by
    int *worst;        // [rows]: linear
    int *order, *scratch, *size;
} RowMaking;

typedef struct Rows {
    const Workbench *workbench;
    int total; // linears of the model

    // The rows. One stands for the linears members[first[i]] … members[first[i + 1] − 1]; linears[i] is the one of them
    // that is shown beside the table: the worst by the column that sorts.
    int *linears; // [count]
    int count;
    int *first, *members; // [count + 1], [shown linears]
    int *row_of;          // [total]: −1 where the filter leaves it out
    double range_most;    // the largest range of all, as it was with so many tokens
    uint64_t range_tokens;
    double *figures; // [total], of the column that sorts; with what passes the filter, what rows are made of
    bool *passes, *passed;
    Column sorted_by;
    bool sorted_reversed;
    bool stale; // they have to be made anew even when all of this is the same
    RowMaking making;

    Text names;      // of all linears, one behind the other: as shown, "3.down_proj.17", and as typed, "3 down_proj 17"
    size_t *name_at; // [total]

    int *group[FOLD_COUNT]; // [total]
    int *group_size;        // [groups]: linears of the model in it
    bool *folded;           // [groups]
    int groups;

    bool *marked; // [total]
    int marked_count;
    uint64_t marks;                          // counts their changes
    bool *changed, *unlike_pin, *overridden; // [total], kept by changes.c

    int selected; // linear, −1: none
    int top;      // index of the first row on the screen
    bool moved;   // the user chose the selection
    Column sort;
    bool reversed;
    int scrolled; // columns behind the left edge

    char find[256], filter[256]; // empty: none
    Filter passing;
    bool *found; // [total]: its name matches `find`
} Rows;

bool rows_init(Rows *rows, const Workbench *workbench, Error *err);
void rows_free(Rows *rows);
void rows_arrange(Rows *rows); // filters and sorts anew where anything changed; the selection stays with its linear

int rows_index(const Rows *rows); // of the selection, −1
void rows_move(Rows *rows, int steps);
void rows_move_to(Rows *rows, int index);                                      // clamped
void rows_select(Rows *rows, int linear);                                      // nothing where the filter leaves it out
void rows_show(Rows *rows, int height);                                        // scrolls so that the selection is seen
int rows_size(const Rows *rows, int index);                                    // linears in a row
const int *rows_members(const Rows *rows, int index);                          // [rows_size]
void rows_name(const Rows *rows, int index, int room, char *out, size_t size); // as long as fits into so many columns

// Refuse what cannot be understood, and leave everything as it was.
bool rows_set_filter(Rows *rows, const char *text, Error *err);
bool rows_set_find(Rows *rows, const char *text, Error *err); // "": none
// Those linears that an expression (filter.h) lets pass, shown or not. passes: [total].
bool rows_passing(const Rows *rows, const char *text, bool *passes, Error *err);

bool rows_found(const Rows *rows, int index);
int rows_found_in(const Rows *rows, int index); // a linear of the row that matches; −1: none does

void rows_mark(Rows *rows, int linear, bool on);
void rows_unmark_all(Rows *rows);

bool rows_is_folded(const Rows *rows, int index); // index −1: false
bool rows_fold(Rows *rows, bool fold);            // the selected row; false: there is nothing to fold or unfold
void rows_fold_all(Rows *rows);                   // in turn: everything unfolded, experts folded, layers folded
// What the rows are: 0 linears, 1 experts folded, 2 layers folded.
int rows_fold_level(const Rows *rows);

// The figure that a column sorts by; NAN while unknown. Of the linears of a row the worst, or the sum of what adds up.
double rows_figure(const Workbench *workbench, int linear, Column column);
// of: the linears that have them.
void rows_figures(const Rows *rows, int index, double out[COLUMN_COUNT], int of[COLUMN_COUNT]);
// Which of a folded row is selected: "worst of 8 by |x|max: ", "worst of 8: ", "1 of 8: "; "" where the row has no
// other.
void rows_shown_text(const Rows *rows, bool whole, char *out, size_t size);
// Whose figures the folded row of the selection shows, where they are not the selected linear's: "in the row: |w|max of
// expert 5, kurt of 7"; "" where all are.
void rows_others_text(const Rows *rows, char *out, size_t size);
int rows_column_named(const char *name); // −1 when there is none
