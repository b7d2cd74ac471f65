// A figure of every linear on the map of the model (analysis/linear_map.h), each cell with that of the worst of its
// linears.
#pragma once

#include "analysis/linear_map.h"
#include "workbench/workbench.h"

typedef enum HeatMeasure {
    HEAT_RANGE,
    HEAT_WEIGHT_MAX,
    HEAT_ERROR,
    HEAT_KL, // estimates where it is not measured
    HEAT_CHANGE,
    HEAT_MEASURES,
} HeatMeasure;

typedef struct HeatInfo {
    const char *title, *help;
    bool falling;     // the smallest is the worst
    bool logarithmic; // how shades are spaced
} HeatInfo;

extern const HeatInfo heat_table[HEAT_MEASURES];

typedef struct HeatCell {
    int linears;  // 0: the model has none here
    int first;    // the first of them
    int worst;    // the one whose value is shown
    double value; // NAN while unknown
} HeatCell;

typedef struct HeatMap {
    LinearMap map;
    HeatCell *cells; // [lines, columns]
    int cell_count;
    double *scratch; // [cell_count]
    HeatMeasure measure;
    const double *before; // to compare with, as heat_fill got it
    int known;            // cells with a value
    ShadeScale scale;
} HeatMap;

bool heat_init(const ModelStructure *structure, HeatMap *out, Error *err); // the shape; free with heat_free
void heat_free(HeatMap *heat);
// before: output errors in dB [linears] to compare with; NULL: none. Goes through all linears: call it when figures
// changed.
void heat_fill(HeatMap *heat, const Workbench *workbench, HeatMeasure measure, const double *before);

double heat_value(const HeatMap *heat, const Workbench *workbench, int linear); // NAN while unknown
int heat_worst(const HeatMap *heat); // cell; one of those with linears while nothing is known
// The cell that comes `steps` places after this one, worst first; the same when there is none. Cells without a value do
// not count.
int heat_next(const HeatMap *heat, int cell, int steps);
