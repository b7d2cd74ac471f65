// Where everything stands: a pure function of the terminal's size.
#pragma once

#include <stdbool.h>

#define LAYOUT_LEAST_ROWS 24
#define LAYOUT_LEAST_COLS 80

typedef struct Rect {
    int row, col, rows, cols;
} Rect;

// The dials stand in three columns by subject; as many rows are shown as there is room for.
#define DIAL_COLUMNS 3
#define DIAL_ROWS 9

// Panes share their borders: each rectangle is what lies inside; its title stands on the row above it.
typedef struct Layout {
    bool fits; // false: the terminal is too small and nothing else is set
    Rect header, frame;
    Rect layers, detail, dials, effect;
    Rect metrics, texts; // parts of effect
    Rect bottom;         // keys, messages and prompts, on the lower edge of the frame
    bool dial_headings;  // the first row of dials names the columns
    int dial_rows;       // of DIAL_ROWS that are shown
} Layout;

// Of the Layers screen one pane may take the whole frame.
typedef enum Zoom { ZOOM_NONE, ZOOM_LAYERS, ZOOM_DETAIL, ZOOM_DIALS, ZOOM_EFFECT, ZOOM_COUNT } Zoom;

// The Convert screen: four panes, one above the other.
typedef struct ConvertLayout {
    Rect form, engines, findings, job;
} ConvertLayout;

// The Outliers screen: the map over the whole width; below it the cell under the cursor, and channels.
typedef struct OutliersLayout {
    Rect map, cell, channels;
    int lines, height; // of the map that are seen; rows of each
} OutliersLayout;
// The Trials screen: the table, below or beside it the texts of two models or three, under these a line about them, and
// a plot where there is room.
typedef struct TrialsLayout {
    Rect table, texts; // texts: the whole pane
    Rect text[3], note;
    int text_count; // 2 or 3
    Rect plot;      // no rows: not there
} TrialsLayout;

// Parts of the detail pane, from top to bottom; those without room have no rows.
typedef struct DetailLayout {
    Rect weight_line, weight_graph, weight_axis;
    Rect input_line, input_graph, input_axis;
    Rect channel_line, channel_graph;
    Rect why;      // one line, where there is room for it: what the errors of its output come from
    Rect decision; // one line, or with the ladder of group sizes three
    Rect note;     // why it is not what the recipe asked for
} DetailLayout;
#define NOTE_ROWS_MOST 2

Layout layout_make(int rows, int cols);
Layout layout_zoom(const Layout *layout, Zoom zoom); // the other panes have no rows
// engines: rows of the verdict; job, needs: lines of the job and of the estimate.
ConvertLayout layout_convert(const Layout *layout, int engines, int job, int needs);
// lines of the map; zoomed: 1 the map, 2 the cell, 3 the channels alone; 0: all
OutliersLayout layout_outliers(const Layout *layout, int lines, int zoomed);
TrialsLayout layout_trials(const Layout *layout, int zoomed); // 1 the table, 2 the texts, 3 the plot alone; 0: all
DetailLayout layout_detail(Rect pane, int note_rows);         // at most NOTE_ROWS_MOST
Rect layout_dial(const Layout *layout, int column, int row);  // row: 0 … dial_rows − 1, as shown

// The first of `seen` of `count` that are shown, so that `at` is among them: the first so far, or as near to it as can
// be.
int layout_scroll(int first, int at, int seen, int count);

bool rect_contains(Rect rect, int row, int col);
Rect rect_inset(Rect rect, int cols); // without `cols` columns at the left and right
