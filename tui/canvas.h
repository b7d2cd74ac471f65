// What a frame looks like, before any terminal sees it: a grid of characters with styles. Panels draw here; terminal.c
// shows it.
//
// Text may hold any bytes, wherever it comes from: what no terminal should be sent is drawn as U+FFFD (character.h). On
// an ASCII canvas characters beyond ASCII become what comes closest ("±" → "+-").
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "tui/character.h"
#include "tui/layout.h"
#include "tui/theme.h"

typedef struct Cell {
    char text[CHARACTER_MOST + 1]; // one character with what combines with it, NUL-terminated
    Style style;
    uint8_t width; // 1 or 2; 0: covered by the wide character to its left
    uint8_t edges; // lines of a border that leave this cell: EDGE_…
} Cell;

typedef struct Canvas {
    int rows, cols;
    Cell *cells; // [rows, cols]
    bool ascii;
    int cursor_row, cursor_col; // row −1: hidden
} Canvas;

bool canvas_resize(Canvas *canvas, int rows, int cols, Error *err);
void canvas_free(Canvas *canvas);
void canvas_clear(Canvas *canvas);

// Draws text from (row, col), at most `width` columns of it; returns how many were drawn. What lies outside the canvas
// is cut off.
int canvas_text(Canvas *canvas, int row, int col, int width, Style style, const char *text);
// The same, with an ellipsis when it does not fit.
int canvas_fit(Canvas *canvas, int row, int col, int width, Style style, const char *text);
void canvas_right(Canvas *canvas, int row, int col, int width, Style style, const char *text); // against the right edge
void canvas_fill(Canvas *canvas, Rect rect, Style style, const char *character);
void canvas_restyle(Canvas *canvas, Rect rect, Style set); // adds flags to what is there

// A frame around `inside`; lines that meet are joined.
void canvas_box(Canvas *canvas, Rect inside, Style style);

int canvas_width(const Canvas *canvas, const char *text); // in columns

// The first character of the text with what combines with it: its length in bytes, 0 at the end, and its columns as it
// is drawn.
size_t canvas_character(const Canvas *canvas, const char *text, int *columns);

// A place for pieces of text side by side. A piece that does not fit whole is left out, and so are all that follow.
typedef struct Pen {
    Canvas *canvas;
    int row, col, end;
    bool full;
} Pen;

Pen pen_at(Canvas *canvas, Rect line);
void pen_text(Pen *pen, Style style, const char *format, ...) __attribute__((format(printf, 3, 4)));
// "label value   ": label faint, three columns of distance to what came before.
void pen_field(Pen *pen, const char *label, Style style, const char *format, ...) __attribute__((format(printf, 4, 5)));
