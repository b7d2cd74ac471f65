// The linears of a model as a map: one line per role, one column per layer; and shades for their figures.
#pragma once

#include "loaders/structure.h"

#define MAP_LINES_MOST (2 * ROLE_COUNT + 1)

// Linears that share a cell, as the experts of a layer do, follow one another in the model.
typedef struct LinearMap {
    int linear_count, line_count, columns;
    struct {
        char title[20];
        bool outside; // linears outside of layers, one after the other
    } lines[MAP_LINES_MOST];
    int *cell_of; // [linear_count]: line · columns + column
} LinearMap;

bool linear_map_new(const ModelStructure *structure, LinearMap *out, Error *err); // free with linear_map_free
void linear_map_free(LinearMap *map);

// From harmless to worst.
#define SHADES 5
typedef struct ShadeScale {
    bool falling;             // the smallest is the worst
    double edges[SHADES - 1]; // between the shades
} ShadeScale;

// The better half of the values is one shade; from the median to the worst a factor from one shade to the next, or a
// step. values [count]: sorted here, and what is not finite, or not positive on a logarithmic scale, has no say.
ShadeScale shade_scale(double *values, size_t count, bool falling, bool logarithmic);
int shade_of(const ShadeScale *scale, double value); // 0 … SHADES − 1; −1 of NAN
