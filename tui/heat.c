#include "tui/heat.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "tui/rows.h"

const HeatInfo heat_table[] = {
    [HEAT_RANGE] = {"|x|max", "largest input over the calibration tokens", false, true},
    [HEAT_WEIGHT_MAX] = {"|w|max", "largest weight", false, true},
    [HEAT_ERROR] = {"out dB", "signal to quantization noise of the output", true, false},
    [HEAT_KL] = {"KL alone", "KL divergence with this linear alone quantized", false, true},
    [HEAT_CHANGE] = {"since pin", "change of the output's signal to noise since the pin, in dB", true, false},
};
static_assert(sizeof heat_table / sizeof *heat_table == HEAT_MEASURES, "a measure has no row");

bool heat_init(const ModelStructure *structure, HeatMap *out, Error *err) {
    *out = (HeatMap){0};
    return linear_map_new(structure, &out->map, err);
}

void heat_free(HeatMap *heat) { linear_map_free(&heat->map); }

// ---- its figures --------------------------------------------------------------------------------------------------

static double divergence_of(const Workbench *workbench, int linear) {
    const SensitivityView *view = workbench_sensitivity(workbench);
    if (!view->turn) return NAN;
    const Sensitivity *known = &view->linears[linear];
    return known->alone_known ? known->kl : known->estimate;
}

double heat_measured(const HeatMap *heat, const Workbench *workbench, HeatMeasure measure, int linear) {
    const double *before = heat->before;
    switch (measure) {
    case HEAT_RANGE: return rows_figure(workbench, linear, COLUMN_RANGE);
    case HEAT_WEIGHT_MAX: return rows_figure(workbench, linear, COLUMN_WEIGHT_MAX);
    case HEAT_ERROR: return rows_figure(workbench, linear, COLUMN_SQNR);
    case HEAT_KL: return divergence_of(workbench, linear);
    case HEAT_CHANGE: return before ? rows_figure(workbench, linear, COLUMN_SQNR) - before[linear] : NAN;
    case HEAT_MEASURES: break;
    }
    return NAN;
}

double heat_value(const HeatMap *heat, const Workbench *workbench, int linear) {
    return heat_measured(heat, workbench, heat->measure, linear);
}

static Short divergence_text(double value) {
    Short out;
    snprintf(out.text, sizeof out.text, value > 0 && value < 5e-5 ? "%.0e" : "%.4f", value);
    return out;
}

Short heat_text(HeatMeasure measure, double value) {
    if (isinf(value) && measure == HEAT_WEIGHT_MAX) return (Short){"nonfin"};
    if (measure == HEAT_ERROR) return format_decibel(value);
    if (measure == HEAT_KL) return divergence_text(value);
    if (measure == HEAT_CHANGE) return format_change(value, 1, "");
    return format_figure(value, 3);
}

void heat_fill(HeatMap *heat, const Workbench *workbench, HeatMeasure measure, const double *before) {
    const HeatInfo *info = &heat_table[measure];
    heat->measure = measure;
    heat->before = before;
    for (int i = 0; i < heat->map.linear_count; i++) heat->map.values[i] = heat_value(heat, workbench, i);
    linear_map_fill(&heat->map, info->falling, info->logarithmic);
    if (measure == HEAT_CHANGE) // better, as it was, and three times worse
        heat->map.scale = (ShadeScale){.falling = true, .edges = {0.5, -0.5, -2, -6}};
}

// ---- order --------------------------------------------------------------------------------------------------------

// Equal ones in the order of the map.
static bool stands_before(const HeatMap *heat, int a, int b) {
    const double x = heat->map.cells[a].value, y = heat->map.cells[b].value;
    return x == y || (isnan(x) && isnan(y)) ? a < b : map_worse(&heat->map, x, y);
}

int heat_worst(const HeatMap *heat) {
    int worst = heat->map.cell_of[0];
    for (int i = 0; i < heat->map.cell_count; i++) {
        if (heat->map.cells[i].linears && stands_before(heat, i, worst)) worst = i;
    }
    return worst;
}

// −1: none.
static int neighbour(const HeatMap *heat, int cell, bool after) {
    int found = -1;
    for (int i = 0; i < heat->map.cell_count; i++) {
        if (i == cell || !heat->map.cells[i].linears || isnan(heat->map.cells[i].value)) continue;
        if (stands_before(heat, cell, i) != after) continue;
        if (found < 0 || stands_before(heat, i, found) == after) found = i;
    }
    return found;
}

int heat_next(const HeatMap *heat, int cell, int steps) {
    for (; steps; steps += steps > 0 ? -1 : 1) {
        const int next = neighbour(heat, cell, steps > 0);
        if (next < 0) break;
        cell = next;
    }
    return cell;
}
