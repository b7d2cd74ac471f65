#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/linear_map.h"
#include "base/markup.h"
#include "cli/report.h"

const char *report_figure(double value, char *out, size_t size) {
    const double magnitude = fabs(value);
    if (!isfinite(value) || (magnitude > 0 && (magnitude < 1e-3 || magnitude >= 1e5)))
        snprintf(out, size, "%.2e", value);
    else
        snprintf(out, size, "%.*f",
                 magnitude < 0.01    ? 5
                 : magnitude < 0.1   ? 4
                 : magnitude < 1     ? 3
                 : magnitude < 9.995 ? 2
                 : magnitude < 99.95 ? 1
                                     : 0,
                 value);
    return out;
}

double report_value(const Report *report, ReportMeasure measure, int linear) {
    const ModelStats *stats = engine_stats(report->engine);
    const InputStats *input = &stats->inputs[engine_structure(report->engine)->linears[linear].input];
    switch (measure) {
    case REPORT_RANGE: return input->known && input->tokens ? (double)input->range : NAN;
    case REPORT_WEIGHT_MAX: return stats->weights[linear].known ? stats->weights[linear].absmax : NAN;
    case REPORT_ERROR: return report->output_db[linear];
    case REPORT_MEASURES: break;
    }
    return NAN;
}

// ---- the map ------------------------------------------------------------------------------------------------------

enum { LABEL = 76, ROW = 20, TOP = 18, WIDTH = 860, CELL_MOST = 64, CELL_WITH_FIGURE = 40 };

typedef struct MapCell {
    double value;
    int worst, linears;
} MapCell;

static const struct {
    const char *title;
    bool falling, logarithmic;
} measures[] = {
    [REPORT_RANGE] = {"Largest input", false, true},
    [REPORT_WEIGHT_MAX] = {"Largest weight", false, true},
    [REPORT_ERROR] = {"Signal to noise of the output in dB", true, false},
};

// Each cell has the value of the worst of its linears.
static MapCell *cells_of(const Report *report, ReportMeasure measure, const LinearMap *map) {
    MapCell *cells = array_new((size_t)map->line_count * (size_t)map->columns, sizeof *cells);
    for (int i = 0; cells && i < map->linear_count; i++) {
        MapCell *cell = &cells[map->cell_of[i]];
        const double value = report_value(report, measure, i);
        const bool worse = measures[measure].falling ? value < cell->value : value > cell->value;
        if (!cell->linears++ || (isnan(cell->value) && !isnan(value)) || worse) {
            cell->value = value;
            cell->worst = i;
        }
    }
    return cells;
}

static bool scale_of_cells(const MapCell *cells, size_t count, ReportMeasure measure, ShadeScale *out) {
    double *values = array_new(count, sizeof *values);
    for (size_t i = 0; values && i < count; i++) values[i] = cells[i].linears ? cells[i].value : NAN;
    if (values) *out = shade_scale(values, count, measures[measure].falling, measures[measure].logarithmic);
    free(values);
    return values != NULL;
}

static void add_cell(const Report *report, const ShadeScale *scale, const MapCell *cell, double x, double y,
                     double width, Text *page) {
    const int shade = shade_of(scale, cell->value);
    char value[32] = "not quantized";
    if (!isnan(cell->value)) report_figure(cell->value, value, sizeof value);
    text_addf(page, "<rect class=\"s%d\" x=\"%.1f\" y=\"%.0f\" width=\"%.1f\" height=\"%d\"><title>", shade, x, y,
              width - (width > 8 ? 1 : 0), ROW - 1);
    markup_text(page, engine_structure(report->engine)->linears[cell->worst].name);
    text_addf(page, ": %s", value);
    if (cell->linears > 1) text_addf(page, ", the worst of %d", cell->linears);
    text_addf(page, "</title></rect>");
    if (width >= CELL_WITH_FIGURE && shade >= 0)
        text_addf(page, "<text class=\"t%d\" x=\"%.1f\" y=\"%.0f\">%s</text>", shade, x + width / 2, y + 14, value);
    text_addf(page, "\n");
}

// Numbers of layers, as far as they find room.
static void add_layers(const LinearMap *map, double width, Text *page) {
    int step = 1;
    while (step * width < 26) step = step == 1 ? 2 : step == 2 ? 5 : step * 2;
    for (int i = 0; i < map->columns; i += step)
        text_addf(page, "<text class=\"axis\" x=\"%.1f\" y=\"12\">%d</text>\n", LABEL + (i + 0.5) * width, i);
}

static void add_legend(const ShadeScale *scale, Text *page) {
    text_addf(page, "<p class=\"legend\">");
    for (int i = 0; i < SHADES; i++)
        text_addf(page, "<span class=\"key s%d\"></span>%s %.3g ", i,
                  i < SHADES - 1   ? scale->falling ? "from" : "to"
                  : scale->falling ? "below"
                                   : "above",
                  scale->edges[i < SHADES - 1 ? i : i - 1]);
    text_addf(page, "</p>\n");
}

static void add_map(const Report *report, ReportMeasure measure, const LinearMap *map, const MapCell *cells,
                    const ShadeScale *scale, Text *page) {
    double width = (WIDTH - LABEL) / (double)map->columns;
    if (width > CELL_MOST) width = CELL_MOST;
    text_addf(page, "<figure><figcaption>%s, by layer</figcaption>\n", measures[measure].title);
    text_addf(page, "<svg role=\"img\" viewBox=\"0 0 %.0f %d\" style=\"max-width:%.0fpx\" aria-label=\"%s\">\n",
              LABEL + map->columns * width, TOP + map->line_count * ROW, LABEL + map->columns * width,
              measures[measure].title);
    add_layers(map, width, page);
    for (int line = 0; line < map->line_count; line++) {
        const int y = TOP + line * ROW;
        text_addf(page, "<text class=\"line\" x=\"0\" y=\"%d\">%s</text>\n", y + 14, map->lines[line].title);
        for (int column = 0; column < map->columns; column++) {
            const MapCell *cell = &cells[line * map->columns + column];
            if (cell->linears) add_cell(report, scale, cell, LABEL + column * width, y, width, page);
        }
    }
    text_addf(page, "</svg>\n");
    add_legend(scale, page);
    text_addf(page, "</figure>\n");
}

bool report_map(const Report *report, ReportMeasure measure, Text *page, Error *err) {
    LinearMap map;
    ShadeScale scale = {0};
    if (!linear_map_new(engine_structure(report->engine), &map, err)) return false;
    MapCell *cells = cells_of(report, measure, &map);
    const size_t count = (size_t)map.line_count * (size_t)map.columns;
    const bool ok = (cells && scale_of_cells(cells, count, measure, &scale)) || error_memory(err, "the map of linears");
    if (ok) add_map(report, measure, &map, cells, &scale, page);
    free(cells);
    linear_map_free(&map);
    return ok;
}

// ---- histograms ---------------------------------------------------------------------------------------------------

enum { BINS = 96, GRAPH_WIDTH = 384, GRAPH_HEIGHT = 72, GRAPH_ROOM = 90 };

static void begin_graph(const char *label, Text *page) {
    text_addf(page, "<svg role=\"img\" viewBox=\"0 0 %d %d\" aria-label=\"%s\">\n", GRAPH_WIDTH, GRAPH_ROOM, label);
}

// A single value must stay visible beside millions: heights are logarithmic.
static void add_bars(const double *counts, int n, Text *page) {
    double most = 0;
    for (int i = 0; i < n; i++) most = fmax(most, counts[i]);
    text_addf(page, "<path class=\"bars\" d=\"");
    for (int i = 0; i < n; i++) {
        if (!(counts[i] > 0)) continue;
        const double width = (double)GRAPH_WIDTH / n, height = fmax(1.5, GRAPH_HEIGHT * log1p(counts[i]) / log1p(most));
        text_addf(page, "M%.1f %dv-%.1fh%.2fv%.1fz", i * width, GRAPH_HEIGHT, height, width, height);
    }
    text_addf(page, "\"/>\n");
}

static void add_label(double x, const char *anchor, const char *text, Text *page) {
    text_addf(page, "<text class=\"axis\" style=\"text-anchor:%s\" x=\"%.1f\" y=\"%d\">", anchor, x, GRAPH_ROOM - 4);
    markup_text(page, text);
    text_addf(page, "</text>\n");
}

void report_weights(const WeightStats *weights, Text *page) {
    uint64_t bins[BINS];
    double counts[BINS];
    char text[32];
    value_counts_bins(&weights->counts, -weights->absmax, weights->absmax, BINS, bins);
    for (int i = 0; i < BINS; i++) counts[i] = (double)bins[i];
    begin_graph("Histogram of the weights", page);
    add_bars(counts, BINS, page);
    add_label(0, "start", report_figure(-weights->absmax, text, sizeof text), page);
    add_label(GRAPH_WIDTH / 2.0, "middle", "weights", page);
    add_label(GRAPH_WIDTH, "end", report_figure(weights->absmax, text, sizeof text), page);
    text_addf(page, "</svg>\n");
}

// A dashed line where a threshold lies within the graph.
static void add_threshold(double value, int first, int count, const char *name, Text *page) {
    const double x = (magnitude_bin(value) + 0.5 - first) / count * GRAPH_WIDTH;
    if (x < 0 || x > GRAPH_WIDTH) return;
    text_addf(page, "<path class=\"threshold\" d=\"M%.1f 0V%d\"/><text class=\"axis\" x=\"%.1f\" y=\"10\">%s</text>\n",
              x, GRAPH_HEIGHT, fmin(x + 10, GRAPH_WIDTH - 8), name);
}

// From where a thousandth of the values lies below; zeros, which are many behind some activations, are not followed.
void report_input(const InputStats *input, double v0, double v1, Text *page) {
    double counts[MAGNITUDE_BINS], total = 0, below = 0;
    char text[32];
    int first = magnitude_bin((double)input->range / 16384), last = magnitude_bin((double)input->range);
    for (int i = 0; i < MAGNITUDE_BINS; i++) total += counts[i] = (double)input->magnitude[i];
    for (int i = 0; i < first; i++) below += counts[i];
    while (first < last && below + counts[first] <= total * 1e-3) below += counts[first++];
    const int count = last - first + 1;
    begin_graph("Histogram of the magnitudes of the input", page);
    add_bars(counts + first, count, page);
    add_threshold(v0, first, count, "v0", page);
    add_threshold(v1, first, count, "v1", page);
    add_label(0, "start", report_figure(magnitude_edge(first), text, sizeof text), page);
    add_label(GRAPH_WIDTH / 2.0, "middle", "|x|, logarithmic", page);
    add_label(GRAPH_WIDTH, "end", report_figure((double)input->range, text, sizeof text), page);
    text_addf(page, "</svg>\n");
}
