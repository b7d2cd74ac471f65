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

static const struct {
    const char *title;
    bool falling, logarithmic;
} measures[] = {
    [REPORT_RANGE] = {"Largest input, by layer", false, true},
    [REPORT_WEIGHT_MAX] = {"Largest weight, by layer", false, true},
    [REPORT_ERROR] = {"Signal to noise of the output in dB, by layer", true, false},
};

bool report_map(const Report *report, ReportMeasure measure, Text *page, Error *err) {
    LinearMap map;
    const ModelStructure *structure = engine_structure(report->engine);
    if (!linear_map_new(structure, &map, err)) return false;
    for (int i = 0; i < map.linear_count; i++) map.values[i] = report_value(report, measure, i);
    linear_map_fill(&map, measures[measure].falling, measures[measure].logarithmic);
    text_addf(page, "<figure><figcaption>%s</figcaption>\n", measures[measure].title);
    map_figure_svg(&(MapFigure){.map = &map,
                                .structure = structure,
                                .title = measures[measure].title,
                                .unknown = "not quantized",
                                .format = report_figure},
                   page);
    text_addf(page, "</figure>\n");
    linear_map_free(&map);
    return true;
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
