#include "analysis/linear_map.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/array.h"

// ---- the map ------------------------------------------------------------------------------------------------------

// Experts have lines of their own, all linears outside of layers one together.
enum { LINE_OUTSIDE = 2 * ROLE_COUNT, LINE_KINDS };

static int kind_of(const Linear *linear) {
    return linear->layer < 0 ? LINE_OUTSIDE : 2 * (int)linear->role + (linear->expert >= 0);
}

// outside: what the line of linears outside of layers is called.
static void name_line(LinearMap *map, int line, int kind, const char *outside) {
    const char *name = kind == LINE_OUTSIDE ? outside : role_name((LinearRole)(kind / 2));
    map->lines[line].outside = kind == LINE_OUTSIDE;
    snprintf(map->lines[line].title, sizeof map->lines[line].title, "%s%s", name,
             kind % 2 && kind != LINE_OUTSIDE ? " exp" : "");
}

// Lines in the order of roles; gives each kind its line.
static void number_lines(const ModelStructure *structure, LinearMap *map, int *line_of) {
    bool there[LINE_KINDS] = {false};
    int outside = 0;
    const char *name = role_name(ROLE_HEAD); // unless there is something else
    map->columns = structure->config.layers;
    for (int i = 0; i < structure->linear_count; i++) {
        const int kind = kind_of(&structure->linears[i]);
        there[kind] = true;
        outside += kind == LINE_OUTSIDE;
        if (kind == LINE_OUTSIDE && structure->linears[i].role != ROLE_HEAD) name = "outside";
    }
    if (outside > map->columns) map->columns = outside;
    for (int kind = 0; kind < LINE_KINDS; kind++) {
        if (!there[kind]) continue;
        line_of[kind] = map->line_count++;
        name_line(map, line_of[kind], kind, name);
    }
}

bool linear_map_new(const ModelStructure *structure, LinearMap *out, Error *err) {
    int line_of[LINE_KINDS], outside = 0;
    *out = (LinearMap){.linear_count = structure->linear_count};
    number_lines(structure, out, line_of);
    out->cell_count = out->line_count * out->columns;
    out->cell_of = array_new((size_t)structure->linear_count, sizeof *out->cell_of);
    out->values = array_new((size_t)structure->linear_count, sizeof *out->values);
    out->cells = array_new((size_t)out->cell_count, sizeof *out->cells);
    out->scratch = array_new((size_t)out->cell_count, sizeof *out->scratch);
    if (!out->cell_of || !out->values || !out->cells || !out->scratch) {
        linear_map_free(out);
        return error_memory(err, "the map of linears");
    }
    for (int i = 0; i < structure->linear_count; i++) {
        const Linear *linear = &structure->linears[i];
        const int column = linear->layer < 0 ? outside++ : linear->layer;
        out->cell_of[i] = line_of[kind_of(linear)] * out->columns + column;
        MapCell *cell = &out->cells[out->cell_of[i]];
        if (!cell->linears++) cell->first = cell->worst = i;
        cell->value = NAN;
    }
    return true;
}

void linear_map_free(LinearMap *map) {
    free(map->cell_of);
    free(map->values);
    free(map->cells);
    free(map->scratch);
    *map = (LinearMap){0};
}

// ---- shades -------------------------------------------------------------------------------------------------------

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

// The better half of the values is one shade; from the median to the worst a factor from one shade to the next, or a
// step. values [count]: sorted here, and what is not finite, or not positive on a logarithmic scale, has no say.
static ShadeScale shade_scale(double *values, size_t count, bool falling, bool logarithmic) {
    ShadeScale scale = {.falling = falling};
    size_t n = 0;
    for (size_t i = 0; i < count; i++) {
        if (isfinite(values[i]) && (values[i] > 0 || !logarithmic)) values[n++] = values[i];
    }
    if (!n) return scale;
    qsort(values, n, sizeof *values, ascending);
    const double middle = values[n / 2], worst = falling ? values[0] : values[n - 1];
    const bool close = fabs(worst - middle) < fabs(middle);
    for (int i = 0; i < SHADES - 1; i++) {
        const double share = (double)i / (SHADES - 1);
        const double edge = logarithmic ? middle * pow(worst / middle, share) : middle + (worst - middle) * share;
        scale.edges[i] = rounded(edge, close);
    }
    return scale;
}

int shade_of(const ShadeScale *scale, double value) {
    int shade = 0;
    if (isnan(value)) return -1;
    while (shade < SHADES - 1 && (scale->falling ? value < scale->edges[shade] : value > scale->edges[shade])) shade++;
    return shade;
}

// ---- figures ------------------------------------------------------------------------------------------------------

bool map_worse(const LinearMap *map, double a, double b) {
    if (isnan(a) || isnan(b)) return isnan(b) && !isnan(a);
    return map->scale.falling ? a < b : a > b;
}

void linear_map_fill(LinearMap *map, bool falling, bool logarithmic) {
    map->scale.falling = falling;
    map->known = 0;
    for (int i = 0; i < map->cell_count; i++) map->cells[i].value = NAN;
    for (int i = 0; i < map->linear_count; i++) {
        MapCell *cell = &map->cells[map->cell_of[i]];
        if (i == cell->first) cell->worst = i;
        if (!map_worse(map, map->values[i], cell->value)) continue;
        map->known += isnan(cell->value) != 0;
        cell->value = map->values[i];
        cell->worst = i;
    }
    for (int i = 0; i < map->cell_count; i++) map->scratch[i] = map->cells[i].value;
    map->scale = shade_scale(map->scratch, (size_t)map->cell_count, falling, logarithmic);
}
