// A figure of every linear on the map of the model (analysis/linear_map.h), each cell with that of the worst of its
// linears.
#pragma once

#include "analysis/linear_map.h"
#include "tui/format.h"
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

typedef struct HeatMap {
    LinearMap map;
    HeatMeasure measure;
    const double *before; // to compare with, as heat_fill got it
} HeatMap;

bool heat_init(const ModelStructure *structure, HeatMap *out, Error *err); // the shape; free with heat_free
void heat_free(HeatMap *heat);
// before: output errors in dB [linears] to compare with; NULL: none. Goes through all linears: call it when figures
// changed.
void heat_fill(HeatMap *heat, const Workbench *workbench, HeatMeasure measure, const double *before);

double heat_value(const HeatMap *heat, const Workbench *workbench, int linear); // NAN while unknown
double heat_measured(const HeatMap *heat, const Workbench *workbench, HeatMeasure measure, int linear); // by any
Short heat_text(HeatMeasure measure, double value); // as cells show it
int heat_worst(const HeatMap *heat);                // cell; one of those with linears while nothing is known
// The cell that comes `steps` places after this one, worst first; the same when there is none. Cells without a value do
// not count.
int heat_next(const HeatMap *heat, int cell, int steps);
