// A plot as SVG: points with error bars, in families that are joined by lines, and a front.
#pragma once

#include "base/array.h"

typedef struct PlottedPoint {
    double x, y, error; // error: half the height of its bar
    int family;         // points of one family are joined in their order
    bool front;         // on the Pareto front, which is drawn as a step line
    char label[24];     // beside the point; "" for none
    const char *words;  // below the plot, behind the label; NULL: none
} PlottedPoint;

typedef struct PointPlot {
    const char *title, *x_label, *y_label;
    const PlottedPoint *points; // [count]
    int count;
    const char (*families)[48]; // [family_count] names for the legend
    int family_count;           // 1: no names in the legend
    bool apart;                 // points are not joined
} PointPlot;

// A file of its own. y is drawn on a logarithmic scale where it is positive throughout and spans more than a factor of
// twenty, else from 0 where that takes no more than half the height.
void point_plot_svg(const PointPlot *plot, Text *out);
