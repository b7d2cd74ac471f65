#include "tui/canvas.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "tui/character.h"

enum { EDGE_UP = 1, EDGE_RIGHT = 2, EDGE_DOWN = 4, EDGE_LEFT = 8 };

static const char *const edge_characters[16] = {" ", "│", "─", "╰", "│", "│", "╭", "├",
                                                "─", "╯", "─", "┴", "╮", "┤", "┬", "┼"};

// What stands for characters beyond ASCII. May be longer than one column; canvas_width knows.
static const struct {
    const char *character, *ascii;
} replacements[] = {
    {"│", "|"},  {"─", "-"},  {"╰", "+"},    {"╭", "+"}, {"├", "+"},   {"╯", "+"}, {"┴", "+"},  {"╮", "+"},
    {"┤", "+"},  {"┬", "+"},  {"┼", "+"},    {"·", "-"}, {"…", "~"},   {"×", "x"}, {"±", "+-"}, {"→", "->"},
    {"←", "<-"}, {"↑", "Up"}, {"↓", "Down"}, {"▲", "^"}, {"▼", "v"},   {"▸", ">"}, {"◂", "<"},  {"σ", "sd"},
    {"−", "-"},  {"●", "o"},  {"○", "."},    {"━", "="}, {"┊", ":"},   {"┋", "!"}, {"╌", "."},  {"┃", "#"},
    {"✓", "*"},  {"✗", "!"},  {"█", "#"},    {"▁", "."}, {"▂", "."},   {"▃", ":"}, {"▄", ":"},  {"▅", "|"},
    {"▆", "|"},  {"▇", "#"},  {"▏", "."},    {"▎", "."}, {"▍", ":"},   {"▌", ":"}, {"▋", "|"},  {"▊", "|"},
    {"▉", "#"},  {"≥", ">="}, {"≤", "<="},   {"≈", "~"}, {"∞", "inf"}, {"⠋", "|"}, {"⠙", "/"},  {"⠸", "-"},
    {"⠴", "\\"}, {"⠦", "|"},  {"⠇", "/"},    {"◉", "@"}, {"◐", "%"},   {"›", ">"}, {"‹", "<"},  {"╸", "="},
    {"“", "\""}, {"”", "\""}, {"‘", "'"},    {"’", "'"}, {"–", "-"},   {"—", "-"}, {"•", "*"},  {"◆", "@"},
    {"★", "*"},  {"░", "."},  {"▒", ":"},    {"▓", "%"}, {"▾", "v"},
};

// ---- characters ----------------------------------------------------------------------------------------------------

static const char *ascii_for(const char *character, size_t length) {
    for (size_t i = 0; i < sizeof replacements / sizeof *replacements; i++) {
        const char *known = replacements[i].character;
        if (strlen(known) == length && memcmp(known, character, length) == 0) return replacements[i].ascii;
    }
    return "?";
}

// ---- cells --------------------------------------------------------------------------------------------------------

bool canvas_resize(Canvas *canvas, int rows, int cols, Error *err) {
    Cell *cells = array_new((size_t)rows * (size_t)cols, sizeof *cells);
    if (!cells) return error_memory(err, "the screen");
    free(canvas->cells);
    canvas->cells = cells;
    canvas->rows = rows;
    canvas->cols = cols;
    canvas_clear(canvas);
    return true;
}

void canvas_free(Canvas *canvas) {
    free(canvas->cells);
    *canvas = (Canvas){0};
}

static Cell *cell_at(Canvas *canvas, int row, int col) {
    if (row < 0 || col < 0 || row >= canvas->rows || col >= canvas->cols) return NULL;
    return &canvas->cells[(size_t)row * (size_t)canvas->cols + (size_t)col];
}

void canvas_clear(Canvas *canvas) {
    for (size_t i = 0; i < (size_t)canvas->rows * (size_t)canvas->cols; i++) {
        canvas->cells[i] = (Cell){.text = " ", .width = 1};
    }
    canvas->cursor_row = -1;
}

// Overwriting half of a wide character leaves a blank in the other half.
static void canvas_separate(Canvas *canvas, int row, int col) {
    Cell *cell = cell_at(canvas, row, col);
    if (!cell) return;
    Cell *left = cell_at(canvas, row, col - 1), *right = cell_at(canvas, row, col + 1);
    if (cell->width == 0 && left) *left = (Cell){.text = " ", .style = left->style, .width = 1};
    if (cell->width == 2 && right) *right = (Cell){.text = " ", .style = right->style, .width = 1};
}

static void canvas_put(Canvas *canvas, int row, int col, Style style, const char *text, size_t length, int width) {
    Cell *cell = cell_at(canvas, row, col);
    if (!cell) return;
    canvas_separate(canvas, row, col);
    if (width == 2) canvas_separate(canvas, row, col + 1);
    *cell = (Cell){.style = style, .width = (uint8_t)width};
    memcpy(cell->text, text, length);
    Cell *covered = width == 2 ? cell_at(canvas, row, col + 1) : NULL;
    if (covered) *covered = (Cell){.style = style, .width = 0};
}

// What is drawn for the first character of the text: itself, or what stands for it.
typedef struct Shown {
    const char *text;
    size_t length, taken; // bytes of it; bytes of the text that it stands for, 0 at the end
    int columns;
} Shown;

static Shown canvas_shown(const Canvas *canvas, const char *text) {
    bool agreed;
    Shown s = {.text = text};
    s.length = s.taken = character_length(text, &s.columns, &agreed);
    if (s.taken == 0 || (agreed && (!canvas->ascii || (unsigned char)*text < 0x80))) return s;
    s.text = canvas->ascii ? ascii_for(text, s.taken) : "\xEF\xBF\xBD";
    s.length = strlen(s.text);
    s.columns = canvas->ascii ? (int)s.length : 1;
    return s;
}

size_t canvas_character(const Canvas *canvas, const char *text, int *columns) {
    const Shown shown = canvas_shown(canvas, text);
    *columns = shown.columns;
    return shown.taken;
}

int canvas_width(const Canvas *canvas, const char *text) {
    int total = 0, columns;
    for (size_t length; (length = canvas_character(canvas, text, &columns)) > 0; text += length) total += columns;
    return total;
}

int canvas_text(Canvas *canvas, int row, int col, int width, Style style, const char *text) {
    int used = 0;
    for (Shown s; (s = canvas_shown(canvas, text)).taken > 0; text += s.taken) {
        if (used + s.columns > width || col + used + s.columns > canvas->cols) break;
        if (!canvas->ascii)
            canvas_put(canvas, row, col + used, style, s.text, s.length, s.columns);
        else
            for (int i = 0; i < s.columns; i++) canvas_put(canvas, row, col + used + i, style, s.text + i, 1, 1);
        used += s.columns;
    }
    return used;
}

int canvas_fit(Canvas *canvas, int row, int col, int width, Style style, const char *text) {
    if (canvas_width(canvas, text) <= width) return canvas_text(canvas, row, col, width, style, text);
    int used = canvas_text(canvas, row, col, width - 1, style, text);
    return used + canvas_text(canvas, row, col + used, width - used, style, "…");
}

void canvas_right(Canvas *canvas, int row, int col, int width, Style style, const char *text) {
    int needed = canvas_width(canvas, text);
    if (needed > width) needed = width;
    canvas_fit(canvas, row, col + width - needed, needed, style, text);
}

void canvas_fill(Canvas *canvas, Rect rect, Style style, const char *character) {
    for (int row = rect.row; row < rect.row + rect.rows; row++) {
        for (int col = rect.col; col < rect.col + rect.cols; col++) canvas_text(canvas, row, col, 1, style, character);
    }
}

void canvas_restyle(Canvas *canvas, Rect rect, Style set) {
    for (int row = rect.row; row < rect.row + rect.rows; row++) {
        for (int col = rect.col; col < rect.col + rect.cols; col++) {
            Cell *cell = cell_at(canvas, row, col);
            if (cell) cell->style |= set;
        }
    }
}

static void add_edges(Canvas *canvas, int row, int col, Style style, uint8_t edges) {
    Cell *cell = cell_at(canvas, row, col);
    if (!cell) return;
    const uint8_t joined = cell->edges | edges;
    canvas_text(canvas, row, col, 1, style, edge_characters[joined]);
    cell->edges = joined;
}

void canvas_box(Canvas *canvas, Rect inside, Style style) {
    const int top = inside.row - 1, bottom = inside.row + inside.rows, left = inside.col - 1,
              right = inside.col + inside.cols;
    add_edges(canvas, top, left, style, EDGE_RIGHT | EDGE_DOWN);
    add_edges(canvas, top, right, style, EDGE_LEFT | EDGE_DOWN);
    add_edges(canvas, bottom, left, style, EDGE_RIGHT | EDGE_UP);
    add_edges(canvas, bottom, right, style, EDGE_LEFT | EDGE_UP);
    for (int col = left + 1; col < right; col++) {
        add_edges(canvas, top, col, style, EDGE_LEFT | EDGE_RIGHT);
        add_edges(canvas, bottom, col, style, EDGE_LEFT | EDGE_RIGHT);
    }
    for (int row = top + 1; row < bottom; row++) {
        add_edges(canvas, row, left, style, EDGE_UP | EDGE_DOWN);
        add_edges(canvas, row, right, style, EDGE_UP | EDGE_DOWN);
    }
}

// ---- pen ----------------------------------------------------------------------------------------------------------

Pen pen_at(Canvas *canvas, Rect line) {
    return (Pen){
        .canvas = canvas, .row = line.row, .col = line.col, .end = line.col + line.cols, .full = line.rows < 1};
}

static void pen_put(Pen *pen, Style style, const char *text) {
    int width = canvas_width(pen->canvas, text);
    if (pen->full || pen->col + width > pen->end) {
        pen->full = true;
        return;
    }
    canvas_text(pen->canvas, pen->row, pen->col, width, style, text);
    pen->col += width;
}

void pen_text(Pen *pen, Style style, const char *format, ...) {
    char text[512];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    pen_put(pen, style, text);
}

void pen_field(Pen *pen, const char *label, Style style, const char *format, ...) {
    char text[256];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    int width = canvas_width(pen->canvas, label) + 1 + canvas_width(pen->canvas, text);
    if (pen->col + width > pen->end) pen->full = true;
    pen_text(pen, MEANING_FAINT, "%s ", label);
    pen_put(pen, style, text);
    if (!pen->full) pen->col += 3;
}
