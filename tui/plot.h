// Plots with axes: points with marks and error bars, and lines between them. In braille where the terminal has it, in
// characters otherwise. Points outside the range are not drawn.
#pragma once

#include "tui/canvas.h"

#define PLOT_TICKS_MOST 16

typedef struct PlotTick {
    double at;
    char text[24];
} PlotTick;

typedef struct PlotAxis {
    double from, to;
    bool logarithmic;
    const char *title;
    PlotTick ticks[PLOT_TICKS_MOST]; // none: round numbers, as there is room
    int tick_count;
} PlotAxis;

typedef struct PlotPoint {
    double x, y;      // NAN: not there
    double error;     // of y, up and down; 0: none
    const char *mark; // one column; NULL: only the error bar
    Style style;
} PlotPoint;

typedef struct Plot {
    Canvas *canvas;
    PlotAxis x, y;
    Rect inside; // without axes and their labels
} Plot;

// A range that holds all of the values (NAN: none) and leaves a margin; a logarithmic axis becomes linear where they
// are not all above 0.
void plot_range(PlotAxis *axis, const double *values, int count);

// Draws the axes into rect, their titles at their ends. From 8 rows and 24 columns on it is worth looking at.
Plot plot_begin(Canvas *canvas, Rect rect, const PlotAxis *x, const PlotAxis *y);
void plot_line(const Plot *plot, const PlotPoint *points, int count, Style style); // through them in their order
void plot_points(const Plot *plot, const PlotPoint *points, int count);            // later ones lie on top
// The cell of a place; false when it is outside.
bool plot_cell(const Plot *plot, double x, double y, int *row, int *col);
