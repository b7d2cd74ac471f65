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

// ---- the shape ----------------------------------------------------------------------------------------------------

bool heat_init(const ModelStructure *structure, HeatMap *out, Error *err) {
    *out = (HeatMap){0};
    if (!linear_map_new(structure, &out->map, err)) return false;
    out->cell_count = out->map.line_count * out->map.columns;
    out->cells = array_new((size_t)out->cell_count, sizeof *out->cells);
    out->scratch = array_new((size_t)out->cell_count, sizeof *out->scratch);
    if (!out->cells || !out->scratch) return error_memory(err, "the map of linears");
    for (int i = 0; i < structure->linear_count; i++) {
        HeatCell *cell = &out->cells[out->map.cell_of[i]];
        if (!cell->linears++) cell->first = cell->worst = i;
        cell->value = NAN;
    }
    return true;
}

void heat_free(HeatMap *heat) {
    linear_map_free(&heat->map);
    free(heat->cells);
    free(heat->scratch);
    *heat = (HeatMap){0};
}

// ---- its figures --------------------------------------------------------------------------------------------------

static double divergence_of(const Workbench *workbench, int linear) {
    const SensitivityView *view = workbench_sensitivity(workbench);
    if (!view->turn) return NAN;
    const Sensitivity *known = &view->linears[linear];
    return known->alone_known ? known->kl : known->estimate;
}

double heat_value(const HeatMap *heat, const Workbench *workbench, int linear) {
    const double *before = heat->before;
    switch (heat->measure) {
    case HEAT_RANGE: return rows_figure(workbench, linear, COLUMN_RANGE);
    case HEAT_WEIGHT_MAX: return rows_figure(workbench, linear, COLUMN_WEIGHT_MAX);
    case HEAT_ERROR: return rows_figure(workbench, linear, COLUMN_SQNR);
    case HEAT_KL: return divergence_of(workbench, linear);
    case HEAT_CHANGE: return before ? rows_figure(workbench, linear, COLUMN_SQNR) - before[linear] : NAN;
    case HEAT_MEASURES: break;
    }
    return NAN;
}

static bool is_worse(HeatMeasure measure, double a, double b) {
    if (isnan(a) || isnan(b)) return isnan(b) && !isnan(a);
    return heat_table[measure].falling ? a < b : a > b;
}

static ShadeScale heat_scale(HeatMap *heat) {
    const HeatInfo *info = &heat_table[heat->measure];
    if (heat->measure == HEAT_CHANGE) // better, as it was, and three times worse
        return (ShadeScale){.falling = true, .edges = {0.5, -0.5, -2, -6}};
    for (int i = 0; i < heat->cell_count; i++) heat->scratch[i] = heat->cells[i].value;
    return shade_scale(heat->scratch, (size_t)heat->cell_count, info->falling, info->logarithmic);
}

void heat_fill(HeatMap *heat, const Workbench *workbench, HeatMeasure measure, const double *before) {
    heat->measure = measure;
    heat->before = before;
    heat->known = 0;
    for (int i = 0; i < heat->cell_count; i++) heat->cells[i].value = NAN;
    for (int i = 0; i < heat->map.linear_count; i++) {
        HeatCell *cell = &heat->cells[heat->map.cell_of[i]];
        const double value = heat_value(heat, workbench, i);
        if (i == cell->first) cell->worst = i;
        if (isnan(value)) continue;
        heat->known += isnan(cell->value) != 0;
        if (!is_worse(measure, value, cell->value)) continue;
        cell->value = value;
        cell->worst = i;
    }
    heat->scale = heat_scale(heat);
}

// ---- order --------------------------------------------------------------------------------------------------------

// Equal ones in the order of the map.
static bool stands_before(const HeatMap *heat, int a, int b) {
    const double x = heat->cells[a].value, y = heat->cells[b].value;
    return x == y || (isnan(x) && isnan(y)) ? a < b : is_worse(heat->measure, x, y);
}

int heat_worst(const HeatMap *heat) {
    int worst = heat->map.cell_of[0];
    for (int i = 0; i < heat->cell_count; i++) {
        if (heat->cells[i].linears && stands_before(heat, i, worst)) worst = i;
    }
    return worst;
}

// −1: none.
static int neighbour(const HeatMap *heat, int cell, bool after) {
    int found = -1;
    for (int i = 0; i < heat->cell_count; i++) {
        if (i == cell || !heat->cells[i].linears || isnan(heat->cells[i].value)) continue;
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
