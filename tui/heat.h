// A figure of every linear as a map: one line per role, one column per layer. Linears that share a cell, as the experts
// of a layer do, are folded to the worst of them.
#pragma once

#include "tui/theme.h"
#include "workbench/workbench.h"

typedef enum HeatMeasure {
    HEAT_RANGE,
    HEAT_WEIGHT_MAX,
    HEAT_ERROR,
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

#define HEAT_LINES_MOST (2 * ROLE_COUNT + 1)
#define HEAT_LEVELS 5 // shades, from harmless to worst

typedef struct HeatMap {
    int linear_count, line_count, columns;
    struct {
        char title[20];
        bool outside; // linears outside of layers, one after the other
    } lines[HEAT_LINES_MOST];
    int *cell_of;    // [linear_count]: index into cells
    HeatCell *cells; // [line_count, columns]
    double *scratch; // as many
    HeatMeasure measure;
    const double *before;          // to compare with, as heat_fill got it
    int known;                     // cells with a value
    double edges[HEAT_LEVELS - 1]; // between the shades, from harmless to worst
} HeatMap;

bool heat_init(const ModelStructure *structure, HeatMap *out, Error *err); // the shape; free with heat_free
void heat_free(HeatMap *map);
// before: output errors in dB [linears] to compare with; NULL: none. Goes through all linears: call it when figures
// changed.
void heat_fill(HeatMap *map, const Workbench *workbench, HeatMeasure measure, const double *before);

double heat_value(const HeatMap *map, const Workbench *workbench, int linear); // NAN while unknown
int heat_worst(const HeatMap *map);               // cell; one of those with linears while nothing is known
int heat_level(const HeatMap *map, double value); // 0 … HEAT_LEVELS − 1; −1 of NAN
// The cell that comes `steps` places after this one, worst first; the same when there is none. Cells without a value do
// not count.
int heat_next(const HeatMap *map, int cell, int steps);
