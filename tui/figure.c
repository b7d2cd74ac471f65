#include "tui/figure.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/markup.h"
#include "tui/format.h"
#include "tui/graph.h"
#include "tui/histogram.h"
#include "tui/sensitivity.h"

#define WIDTH 720
#define LEFT 20
#define PLOT_WIDTH (WIDTH - 2 * LEFT)
#define PLOT_HEIGHT 130
#define COLUMNS 240 // of a histogram: three units wide each

typedef struct Figure {
    Text *out;
    ColorScheme scheme;
    int y; // where the next part begins
} Figure;

static int color(const Figure *f, Style style) {
    const int rgb = theme_color(f->scheme, (Meaning)(style & STYLE_MEANING), true);
    return rgb < 0 ? 0x1F2328 : rgb;
}

// anchor: "start", "middle" or "end".
static void add_label(const Figure *f, double x, int y, const char *anchor, Style style, const char *text) {
    text_addf(f->out, "<text x=\"%.1f\" y=\"%d\" text-anchor=\"%s\" fill=\"#%06x\">", x, y, anchor, color(f, style));
    markup_text(f->out, text);
    text_addf(f->out, "</text>\n");
}

// Bars from the left to the right edge, neighbours of one colour as one path.
static void add_bars(const Figure *f, const double *shares, const Style *styles, int n, int height) {
    const double width = (double)PLOT_WIDTH / n;
    const int base = f->y + height;
    for (int i = 0; i < n;) {
        const Style style = styles[i];
        text_addf(f->out, "<path fill=\"#%06x\" d=\"", color(f, style));
        for (; i < n && styles[i] == style; i++) {
            const double tall = shares[i] > 0 ? fmax(shares[i] * height, 1) : 0; // what is there is seen
            if (tall > 0) text_addf(f->out, "M%.2f %dV%.1fh%.2fV%dz", LEFT + i * width, base, base - tall, width, base);
        }
        text_addf(f->out, "\"/>\n");
    }
    text_addf(f->out, "<path stroke=\"#%06x\" d=\"M%d %d.5h%d\"/>\n", color(f, MEANING_TRACK), LEFT, base, PLOT_WIDTH);
}

static void add_heading(Figure *f, const char *text) {
    f->y += 18;
    add_label(f, LEFT, f->y, "start", MEANING_TEXT, text);
    f->y += 8;
}

// ---- weights ------------------------------------------------------------------------------------------------------

static void add_weights(Figure *f, const WeightStats *w) {
    char text[160];
    snprintf(text, sizeof text, "weights: absmax %s, σ %s, kurtosis %s, beyond 6σ %s", format_figure(w->absmax, 3).text,
             format_figure(w->std, 2).text, format_figure(w->kurtosis, 3).text,
             format_percent(w->elements ? (double)w->outliers_6sigma / (double)w->elements : NAN).text);
    add_heading(f, text);
    uint64_t bins[COLUMNS];
    double counts[COLUMNS], shares[COLUMNS];
    Style styles[COLUMNS];
    value_counts_bins(&w->counts, -w->absmax, w->absmax, COLUMNS, bins);
    for (int i = 0; i < COLUMNS; i++) {
        const double x = ((i + 0.5) / COLUMNS * 2 - 1) * w->absmax;
        counts[i] = (double)bins[i];
        styles[i] = fabs(x - w->mean) > 6 * w->std ? MEANING_TAIL : MEANING_WEIGHT;
    }
    graph_log_shares(counts, COLUMNS, shares);
    add_bars(f, shares, styles, COLUMNS, PLOT_HEIGHT);
    f->y += PLOT_HEIGHT + 16;
    snprintf(text, sizeof text, "−%s", format_figure(w->absmax, 3).text);
    add_label(f, LEFT, f->y, "start", MEANING_FAINT, text);
    add_label(f, WIDTH / 2.0, f->y, "middle", MEANING_FAINT, "0");
    add_label(f, WIDTH - LEFT, f->y, "end", MEANING_FAINT, format_figure(w->absmax, 3).text);
    f->y += 12;
}

// ---- input --------------------------------------------------------------------------------------------------------

static void add_threshold(const Figure *f, const LogAxis *axis, const char *name, double value, Style style) {
    const double share = log_axis_share(axis, value);
    if (share < 0 || share > 1) return;
    char text[48];
    const double x = LEFT + share * PLOT_WIDTH;
    text_addf(f->out, "<path stroke=\"#%06x\" stroke-dasharray=\"3 3\" d=\"M%.1f %dv%d\"/>\n", color(f, style), x, f->y,
              PLOT_HEIGHT);
    snprintf(text, sizeof text, "%s %s", name, format_figure(value, 2).text);
    add_label(f, x, f->y + PLOT_HEIGHT + 16, "middle", style, text);
}

static void add_input(Figure *f, const InputStats *input, const Decision *decision, double v0, double v1) {
    char text[160];
    snprintf(text, sizeof text, "input: range %s, p99.9 %s, class %s, over %s tokens",
             format_figure(input->range, 3).text, format_figure(input->p99_9, 3).text,
             class_name(decision->input_class), format_count((double)input->tokens).text);
    add_heading(f, text);
    double counts[COLUMNS], shares[COLUMNS];
    Style styles[COLUMNS];
    const LogAxis axis = input_log_axis(input, v0, v1);
    input_spread(input, &axis, COLUMNS, counts);
    for (int i = 0; i < COLUMNS; i++)
        styles[i] = zone_style(axis.low * exp2((i + 0.5) / COLUMNS * log2(axis.high / axis.low)), v0, v1);
    graph_log_shares(counts, COLUMNS, shares);
    add_bars(f, shares, styles, COLUMNS, PLOT_HEIGHT);
    add_threshold(f, &axis, "v0", v0, MEANING_LAE);
    add_threshold(f, &axis, "v1", v1, MEANING_TOKEN);
    f->y += PLOT_HEIGHT + 28;
}

static void add_channels(Figure *f, const InputStats *input, double v0, double v1) {
    const int height = PLOT_HEIGHT / 2, n = input->width < COLUMNS ? (int)input->width : COLUMNS;
    double shares[COLUMNS];
    Style styles[COLUMNS];
    char text[96];
    uint32_t top[1];
    if (!input_top_channels(input, 1, top)) return;
    snprintf(text, sizeof text, "channels: %zu, furthest %u with %s", input->width, top[0],
             format_figure((double)input->channel_absmax[top[0]], 3).text);
    add_heading(f, text);
    for (int i = 0; i < n; i++) {
        float largest = 0;
        const size_t from = input->width * (size_t)i / (size_t)n, to = input->width * (size_t)(i + 1) / (size_t)n;
        for (size_t j = from; j < to; j++) largest = fmaxf(largest, input->channel_absmax[j]);
        shares[i] = input->range > 0 ? log1p((double)largest) / log1p((double)input->range) : 0;
        styles[i] = zone_style((double)largest, v0, v1);
    }
    add_bars(f, shares, styles, n, height);
    f->y += height + 12;
}

// ---- the whole ----------------------------------------------------------------------------------------------------

ColorScheme figure_scheme(const Ui *ui) { return ui->colors == COLORS_COLORBLIND ? COLORS_COLORBLIND : COLORS_LIGHT; }

// The height is known at the end, so the head is put before the body then.
static void finish(const Figure *f, const char *note, Text *out) {
    add_label(f, WIDTH - LEFT, f->y + 12, "end", MEANING_FAINT, note);
    text_addf(
        out,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" viewBox=\"0 0 %d %d\" "
        "font-family=\"sans-serif\" font-size=\"13\">\n<rect width=\"100%%\" height=\"100%%\" fill=\"#ffffff\"/>\n",
        WIDTH, f->y + 24, WIDTH, f->y + 24);
    if (f->out->length) text_add(out, f->out->data, f->out->length);
    text_addf(out, "</svg>\n");
    out->failed = out->failed || f->out->failed;
    text_free(f->out);
}

void figure_svg(const Ui *ui, int linear, ColorScheme scheme, Text *out) {
    const Linear *l = &workbench_structure(ui->workbench)->linears[linear];
    const WeightStats *weights = workbench_weight_stats(ui->workbench, linear);
    const InputStats *input = workbench_input_stats(ui->workbench, linear);
    const Recipe *recipe = workbench_recipe(ui->workbench);
    const double v0 = recipe_value(recipe, DIAL_V0, l->name), v1 = recipe_value(recipe, DIAL_V1, l->name);
    Text body = {0};
    Figure f = {.out = &body, .scheme = scheme, .y = 10};
    char title[300];
    snprintf(title, sizeof title, "%s  %zu × %zu", l->name, l->out, l->in);
    add_heading(&f, title);
    if (weights) add_weights(&f, weights);
    if (input) add_input(&f, input, &workbench_plan(ui->workbench)->decisions[linear], v0, v1);
    if (input) add_channels(&f, input, v0, v1);
    finish(&f, "counts on a logarithmic scale · quantdial", out);
}

// ---- what linears cost --------------------------------------------------------------------------------------------

enum { COST_ROW = 18, COST_NAME = 190, COST_FIGURE = 90 };

static void add_cost(Figure *f, const Ui *ui, const CostRow *row) {
    const double room = WIDTH - 2 * LEFT - COST_NAME - COST_FIGURE, largest = ui->sensitivity.largest;
    const bool measured = row->source == COST_MEASURED;
    const Style style = measured ? MEANING_WEIGHT : MEANING_TRACK;
    char text[160];
    f->y += COST_ROW;
    sensitivity_row_name(ui, row, text, sizeof text);
    add_label(f, LEFT, f->y, "start", MEANING_TEXT, text);
    text_addf(f->out, "<rect x=\"%d\" y=\"%d\" width=\"%.1f\" height=\"%d\" fill=\"#%06x\"/>\n", LEFT + COST_NAME,
              f->y - 11, largest > 0 && row->kl > 0 ? row->kl / largest * room : 0, COST_ROW - 5, color(f, style));
    add_label(f, WIDTH - LEFT, f->y, "end", measured ? MEANING_TEXT : MEANING_FAINT, sensitivity_kl_text(row).text);
}

void figure_costs(const Ui *ui, ColorScheme scheme, Text *out) {
    Text body = {0};
    Figure f = {.out = &body, .scheme = scheme, .y = 10};
    add_heading(&f, "KL divergence from the base with each quantized alone");
    for (int i = 0; i < ui->sensitivity.row_count; i++) add_cost(&f, ui, &ui->sensitivity.rows[i]);
    f.y += COST_ROW / 2;
    finish(&f, "pale: not measured, ~ guessed · quantdial", out);
}
