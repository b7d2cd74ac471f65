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
    [HEAT_CHANGE] = {"since pin", "change of the output's signal to noise since the pin, in dB", true, false},
};
static_assert(sizeof heat_table / sizeof *heat_table == HEAT_MEASURES, "a measure has no row");

// ---- the shape ----------------------------------------------------------------------------------------------------

// Experts have lines of their own, all linears outside of layers one together.
enum { LINE_OUTSIDE = 2 * ROLE_COUNT, LINE_KINDS };

static int kind_of(const Linear *linear) {
    return linear->layer < 0 ? LINE_OUTSIDE : 2 * (int)linear->role + (linear->expert >= 0);
}

static void name_line(HeatMap *map, int line, int kind) {
    map->lines[line].outside = kind == LINE_OUTSIDE;
    if (kind == LINE_OUTSIDE)
        snprintf(map->lines[line].title, sizeof map->lines[line].title, "outside");
    else
        snprintf(map->lines[line].title, sizeof map->lines[line].title, "%s%s", role_name((LinearRole)(kind / 2)),
                 kind % 2 ? " exp" : "");
}

// Lines in the order of roles; gives each kind its line.
static void number_lines(const ModelStructure *structure, HeatMap *map, int *line_of) {
    bool there[LINE_KINDS] = {false};
    int outside = 0;
    map->columns = structure->config.layers;
    for (int i = 0; i < structure->linear_count; i++) {
        const int kind = kind_of(&structure->linears[i]);
        there[kind] = true;
        outside += kind == LINE_OUTSIDE;
    }
    if (outside > map->columns) map->columns = outside;
    for (int kind = 0; kind < LINE_KINDS; kind++) {
        if (!there[kind]) continue;
        line_of[kind] = map->line_count++;
        name_line(map, line_of[kind], kind);
    }
}

bool heat_init(const ModelStructure *structure, HeatMap *out, Error *err) {
    int line_of[LINE_KINDS], outside = 0;
    *out = (HeatMap){.linear_count = structure->linear_count};
    number_lines(structure, out, line_of);
    out->cell_of = array_new((size_t)structure->linear_count, sizeof *out->cell_of);
    out->cells = array_new((size_t)out->line_count * (size_t)out->columns, sizeof *out->cells);
    out->scratch = array_new((size_t)out->line_count * (size_t)out->columns, sizeof *out->scratch);
    if (!out->cell_of || !out->cells || !out->scratch) return error_memory(err, "the map of linears");
    for (int i = 0; i < structure->linear_count; i++) {
        const Linear *linear = &structure->linears[i];
        const int column = linear->layer < 0 ? outside++ : linear->layer;
        out->cell_of[i] = line_of[kind_of(linear)] * out->columns + column;
        HeatCell *cell = &out->cells[out->cell_of[i]];
        if (!cell->linears++) cell->first = cell->worst = i;
        cell->value = NAN;
    }
    return true;
}

void heat_free(HeatMap *map) {
    free(map->cell_of);
    free(map->cells);
    free(map->scratch);
    *map = (HeatMap){0};
}

// ---- its figures --------------------------------------------------------------------------------------------------

double heat_value(const HeatMap *map, const Workbench *workbench, int linear) {
    const double *before = map->before;
    switch (map->measure) {
    case HEAT_RANGE: return rows_figure(workbench, linear, COLUMN_RANGE);
    case HEAT_WEIGHT_MAX: return rows_figure(workbench, linear, COLUMN_WEIGHT_MAX);
    case HEAT_ERROR: return rows_figure(workbench, linear, COLUMN_SQNR);
    case HEAT_CHANGE: return before ? rows_figure(workbench, linear, COLUMN_SQNR) - before[linear] : NAN;
    case HEAT_MEASURES: break;
    }
    return NAN;
}

static bool is_worse(HeatMeasure measure, double a, double b) {
    if (isnan(a) || isnan(b)) return isnan(b) && !isnan(a);
    return heat_table[measure].falling ? a < b : a > b;
}

// Two digits say where a shade begins, or three where all lie close together.
static double rounded(double value, bool close) {
    char text[32];
    snprintf(text, sizeof text, "%.*e", close ? 2 : 1, value);
    return strtod(text, NULL);
}

static int ascending(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

// What did not err, or is not finite, has no place on a scale.
static size_t values_on_scale(const HeatMap *map, double *values) {
    size_t count = 0;
    for (int i = 0; i < map->line_count * map->columns; i++) {
        const double value = map->cells[i].value;
        if (isfinite(value) && (value > 0 || !heat_table[map->measure].logarithmic)) values[count++] = value;
    }
    qsort(values, count, sizeof *values, ascending);
    return count;
}

// The better half is one shade; from there to the worst a factor from one shade to the next, or a step.
static void space_shades(HeatMap *map, double *scratch) {
    const HeatInfo *info = &heat_table[map->measure];
    const size_t count = values_on_scale(map, scratch);
    if (!count) return;
    const double middle = scratch[count / 2], worst = info->falling ? scratch[0] : scratch[count - 1];
    const bool close = fabs(worst - middle) < 0.3 * fabs(middle);
    for (int i = 0; i < HEAT_LEVELS - 1; i++) {
        const double share = (double)i / (HEAT_LEVELS - 1);
        const double edge = info->logarithmic ? middle * pow(worst / middle, share) : middle + (worst - middle) * share;
        map->edges[i] = rounded(edge, close);
    }
}

void heat_fill(HeatMap *map, const Workbench *workbench, HeatMeasure measure, const double *before) {
    static const double changes[HEAT_LEVELS - 1] = {0.5, -0.5, -2, -6}; // better, as it was, and three times worse
    map->measure = measure;
    map->before = before;
    map->known = 0;
    for (int i = 0; i < map->line_count * map->columns; i++) map->cells[i].value = NAN;
    for (int i = 0; i < map->linear_count; i++) {
        HeatCell *cell = &map->cells[map->cell_of[i]];
        const double value = heat_value(map, workbench, i);
        if (i == cell->first) cell->worst = i;
        if (isnan(value)) continue;
        map->known += isnan(cell->value) != 0;
        if (!is_worse(measure, value, cell->value)) continue;
        cell->value = value;
        cell->worst = i;
    }
    if (measure == HEAT_CHANGE)
        memcpy(map->edges, changes, sizeof changes);
    else
        space_shades(map, map->scratch);
}

int heat_level(const HeatMap *map, double value) {
    int level = 0;
    if (isnan(value)) return -1;
    const bool falling = heat_table[map->measure].falling;
    while (level < HEAT_LEVELS - 1 && (falling ? value < map->edges[level] : value > map->edges[level])) level++;
    return level;
}

// ---- order --------------------------------------------------------------------------------------------------------

// Equal ones in the order of the map.
static bool stands_before(const HeatMap *map, int a, int b) {
    const double x = map->cells[a].value, y = map->cells[b].value;
    return x == y || (isnan(x) && isnan(y)) ? a < b : is_worse(map->measure, x, y);
}

int heat_worst(const HeatMap *map) {
    int worst = map->cell_of[0];
    for (int i = 0; i < map->line_count * map->columns; i++) {
        if (map->cells[i].linears && stands_before(map, i, worst)) worst = i;
    }
    return worst;
}

// −1: none.
static int neighbour(const HeatMap *map, int cell, bool after) {
    int found = -1;
    for (int i = 0; i < map->line_count * map->columns; i++) {
        if (i == cell || !map->cells[i].linears || isnan(map->cells[i].value)) continue;
        if (stands_before(map, cell, i) != after) continue;
        if (found < 0 || stands_before(map, i, found) == after) found = i;
    }
    return found;
}

int heat_next(const HeatMap *map, int cell, int steps) {
    for (; steps; steps += steps > 0 ? -1 : 1) {
        const int next = neighbour(map, cell, steps > 0);
        if (next < 0) break;
        cell = next;
    }
    return cell;
}
