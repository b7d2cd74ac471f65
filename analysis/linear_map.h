// The linears of a model as a map: one line per role, one column per layer; their figures in it, and shades for these.
#pragma once

#include "base/array.h"
#include "loaders/structure.h"

#define MAP_LINES_MOST (2 * ROLE_COUNT + 1)

// From harmless to worst.
#define SHADES 5
typedef struct ShadeScale {
    bool falling;             // the smallest is the worst
    double edges[SHADES - 1]; // between the shades
} ShadeScale;

int shade_of(const ShadeScale *scale, double value); // 0 … SHADES − 1; −1 of NAN

typedef struct MapCell {
    int linears;  // 0: the model has none here
    int first;    // the first of them
    int worst;    // the one whose value it has
    double value; // NAN while unknown
} MapCell;

// Linears that share a cell, as the experts of a layer do, follow one another in the model.
typedef struct LinearMap {
    int linear_count, line_count, columns, cell_count;
    struct {
        char title[20];
        bool outside; // linears outside of layers, one after the other
    } lines[MAP_LINES_MOST];
    int *cell_of;    // [linear_count]: line · columns + column
    MapCell *cells;  // [cell_count]: each with the value of the worst of its linears
    double *values;  // [linear_count]: of the linears, for linear_map_fill
    double *scratch; // [cell_count]
    int known;       // cells with a value
    ShadeScale scale;
} LinearMap;

bool linear_map_new(const ModelStructure *structure, LinearMap *out, Error *err); // free with linear_map_free
void linear_map_free(LinearMap *map);
// From map->values, NAN where unknown. Goes through all linears: call it when figures changed.
void linear_map_fill(LinearMap *map, bool falling, bool logarithmic);
bool map_worse(const LinearMap *map, double a, double b); // a than b; what is not known is best

// The map as SVG, each linear's name and figure behind its cell.
typedef struct MapFigure {
    const LinearMap *map; // filled
    const ModelStructure *structure;
    const char *title, *unknown;                                 // unknown: what a cell without a value says
    const char *(*format)(double value, char *out, size_t size); // returns out
    // A file of its own, on white. Otherwise part of a page, which has styles for .s-1 … .s4, .t4, .axis and .line.
    bool alone;
} MapFigure;
void map_figure_svg(const MapFigure *figure, Text *out);
