#include "tui/wrap.h"

#include <stdint.h>
#include <string.h>

// A walk over all characters of all pieces that knows at which line and column each stands. A word that does not fit
// moves to the next line.
typedef struct WrapWalk {
    const Canvas *canvas;
    const WrapPiece *pieces;
    size_t count, piece, at;
    int cols, line, col;
} WrapWalk;

typedef struct WrapCharacter {
    char text[16];
    Style style;
    size_t piece;
    int line, col;
} WrapCharacter;

static size_t character_at(const WrapWalk *w, size_t piece, size_t at, int *width) {
    const WrapPiece *p = &w->pieces[piece];
    *width = 0;
    if (at >= p->length) return 0;
    size_t length = canvas_character(w->canvas, p->text + at, width);
    return length > p->length - at ? p->length - at : length;
}

// Goes to the next piece that has something left; false at the end.
static bool walk_settle(const WrapWalk *w, size_t *piece, size_t *at) {
    int width;
    while (*piece < w->count && character_at(w, *piece, *at, &width) == 0) {
        (*piece)++;
        *at = 0;
    }
    return *piece < w->count;
}

static bool is_break(char c) { return c == ' ' || c == '\n' || c == '\t'; }

// Columns from here to the end of the word, over the borders of pieces.
static int word_width(const WrapWalk *w) {
    size_t piece = w->piece, at = w->at;
    int total = 0;
    while (total <= w->cols && walk_settle(w, &piece, &at)) {
        int width = 0;
        const size_t length = character_at(w, piece, at, &width);
        if (is_break(w->pieces[piece].text[at])) break;
        total += width;
        at += length;
    }
    return total;
}

static void new_line(WrapWalk *w) {
    w->line++;
    w->col = 0;
}

static bool walk_next(WrapWalk *w, WrapCharacter *step) {
    if (!walk_settle(w, &w->piece, &w->at)) return false;
    const WrapPiece *p = &w->pieces[w->piece];
    const char *text = p->text + w->at;
    int width = 0;
    size_t length = character_at(w, w->piece, w->at, &width);
    const bool space = is_break(*text), word_starts = w->col == 0 || w->at == 0 || is_break(text[-1]);
    if (!space && word_starts && w->col > 0 && w->col + word_width(w) > w->cols && word_width(w) <= w->cols)
        new_line(w);
    if (w->col + width > w->cols) new_line(w);
    *step = (WrapCharacter){.style = p->style, .piece = w->piece, .line = w->line, .col = w->col};
    if (length < sizeof step->text) memcpy(step->text, space ? " " : text, space ? 1 : length);
    w->at += length;
    if (*text == '\n')
        new_line(w);
    else if (!(space && w->col == 0 && w->line > 0))
        w->col += width; // no blank at the start of a line
    return true;
}

static WrapWalk walk_of(const Canvas *canvas, int cols, const WrapPiece *pieces, size_t count) {
    return (WrapWalk){.canvas = canvas, .pieces = pieces, .count = count, .cols = cols};
}

int wrap_lines(const Canvas *canvas, int cols, const WrapPiece *pieces, size_t count) {
    int lines = 0;
    WrapCharacter step;
    for (WrapWalk w = walk_of(canvas, cols, pieces, count); walk_next(&w, &step);) lines = step.line + 1;
    return lines;
}

int wrap_first(const Canvas *canvas, Rect rect, const WrapPiece *pieces, size_t count, size_t keep) {
    int last = 0, kept = -1;
    WrapCharacter step;
    for (WrapWalk w = walk_of(canvas, rect.cols, pieces, count); walk_next(&w, &step);) {
        if (step.piece == keep && kept < 0) kept = step.line;
        last = step.line;
    }
    int first = kept - rect.rows + (rect.rows >= 3 ? 2 : 1); // a line more after the kept one, if there is room
    if (first > last - rect.rows + 1) first = last - rect.rows + 1;
    return first < 0 || keep == 0 ? 0 : first;
}

void wrap_draw_from(Canvas *canvas, Rect rect, const WrapPiece *pieces, size_t count, int first) {
    if (rect.rows < 1 || rect.cols < 2) return;
    const int end = rect.row + rect.rows - 1;
    WrapCharacter step = {0};
    for (WrapWalk w = walk_of(canvas, rect.cols, pieces, count); walk_next(&w, &step);) {
        if (step.line < first || step.line >= first + rect.rows) continue;
        canvas_text(canvas, rect.row + step.line - first, rect.col + step.col, rect.cols - step.col, step.style,
                    step.text);
    }
    if (first > 0) canvas_text(canvas, rect.row, rect.col, 1, MEANING_FAINT, "…");
    if (step.line >= first + rect.rows) canvas_text(canvas, end, rect.col + rect.cols, 1, MEANING_FAINT, "…");
}

void wrap_draw(Canvas *canvas, Rect rect, const WrapPiece *pieces, size_t count, size_t keep) {
    if (rect.rows < 1 || rect.cols < 2) return;
    wrap_draw_from(canvas, rect, pieces, count, wrap_first(canvas, rect, pieces, count, keep));
}
