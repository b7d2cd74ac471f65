// Pieces of text in several styles, wrapped at words into a rectangle.
#pragma once

#include "tui/canvas.h"

typedef struct WrapPiece {
    const char *text;
    size_t length; // bytes; SIZE_MAX: up to the end
    Style style;
} WrapPiece;

int wrap_lines(const Canvas *canvas, int cols, const WrapPiece *pieces, size_t count);

// The line to begin with when those around the start of piece `keep` are to be seen (0: the first ones).
int wrap_first(const Canvas *canvas, Rect rect, const WrapPiece *pieces, size_t count, size_t keep);
// From that line on, with an ellipsis where text is left out.
void wrap_draw_from(Canvas *canvas, Rect rect, const WrapPiece *pieces, size_t count, int first);

// When there are more lines than rows, those around the start of piece `keep` are shown (0: the first ones), with an
// ellipsis where text is left out.
void wrap_draw(Canvas *canvas, Rect rect, const WrapPiece *pieces, size_t count, size_t keep);
