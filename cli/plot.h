// A plot as an SVG file: points with error bars, in families that are joined by lines, and a front.
#pragma once

#include <stdbool.h>

#include "base/array.h"
#include "base/error.h"

typedef struct PlotPoint {
    double x, y, error; // error: half the height of its bar
    int family;         // points of one family are joined in their order
    bool front;         // on the Pareto front, which is drawn as a step line
    char label[24];     // beside the point; "" for none
} PlotPoint;

typedef struct Plot {
    const char *title, *x_label, *y_label;
    const PlotPoint *points; // [count]
    int count;
    const char (*families)[48]; // [family_count] names for the legend
    int family_count;           // 1: no names in the legend
} Plot;

// y is drawn on a logarithmic scale where it is positive throughout and spans more than a factor of twenty.
bool plot_write(const Plot *plot, const char *path, Error *err);
