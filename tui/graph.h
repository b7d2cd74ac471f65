// Small pictures of numbers: bars, histograms, sliders. Values are shares 0…1 of the full height or length.
#pragma once

#include <stdint.h>

#include "tui/canvas.h"

// One bar per column of rect, as high as its share; a share above 0 is always seen. styles may be NULL: all `style`.
void graph_columns(Canvas *canvas, Rect rect, const double *shares, const Style *styles, Style style);
// A thin bar from left to right; a share above 0 is always seen.
void graph_bar(Canvas *canvas, int row, int col, int width, double share, Style style);
// A track with a knob: "━━●────".
void graph_slider(Canvas *canvas, int row, int col, int width, double share, Style filled, Style knob, Style track);
// A choice among n: "○●○○", one column apart if there is room; returns the distance from one to the next.
int graph_choice(Canvas *canvas, int row, int col, int width, int n, int chosen, Style style, Style knob, Style track);

// log(1 + count) over log(1 + largest): so that tails stay visible.
void graph_log_shares(const double *counts, int n, double *shares);
