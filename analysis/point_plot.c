#include "analysis/point_plot.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/markup.h"

enum { WIDTH = 760, HEIGHT = 460, LEFT = 76, RIGHT = 24, TOP = 48, BOTTOM = 56, LEGEND = 168, WORDS = 16 };

// Colours that stay apart for colour-blind readers (Okabe and Ito 2008).
static const char *const colours[] = {"#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000"};
#define COLOURS ((int)(sizeof colours / sizeof *colours))

typedef struct Axis {
    double low, high; // after log10 when logarithmic
    double from, to;  // in pixels
    bool logarithmic;
} Axis;

static double plot_place(const Axis *axis, double value) {
    double v = axis->logarithmic ? log10(fmax(value, 1e-300)) : value;
    return axis->from + (v - axis->low) / (axis->high - axis->low) * (axis->to - axis->from);
}

static void plot_label(Text *svg, double x, double y, const char *anchor, const char *more, const char *text) {
    text_addf(svg, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\"%s>", x, y, anchor, more);
    markup_text(svg, text);
    text_addf(svg, "</text>\n");
}

// 1, 2 or 5 times a power of ten, so that there are four to ten ticks.
static double nice_step(double range) {
    double raw = range / 7, power = pow(10, floor(log10(raw))), ratio = raw / power;
    return power * (ratio > 5 ? 10 : ratio > 2 ? 5 : ratio > 1 ? 2 : 1);
}

static void range_of(const PointPlot *plot, bool of_y, double *low, double *high) {
    *low = INFINITY;
    *high = -INFINITY;
    for (int i = 0; i < plot->count; i++) {
        const PlottedPoint *p = &plot->points[i];
        double value = of_y ? p->y : p->x;
        *low = fmin(*low, value);
        *high = fmax(*high, of_y ? value + p->error : value);
    }
}

// The end of the lowest error bar.
static double lowest(const PointPlot *plot) {
    double low = INFINITY;
    for (int i = 0; i < plot->count; i++) low = fmin(low, plot->points[i].y - plot->points[i].error);
    return low;
}

static Axis axis_of(const PointPlot *plot, bool of_y, double from, double to) {
    Axis axis = {.from = from, .to = to};
    range_of(plot, of_y, &axis.low, &axis.high);
    axis.logarithmic = of_y && axis.low > 0 && axis.high > 20 * axis.low;
    if (of_y && !axis.logarithmic && axis.low > 0) {
        const double low = lowest(plot);
        axis.low = low < axis.high - low ? 0 : low;
    }
    if (axis.logarithmic) {
        axis.low = log10(axis.low);
        axis.high = log10(axis.high);
    }
    double margin = axis.high > axis.low ? (axis.high - axis.low) * 0.06 : fmax(fabs(axis.high) * 0.1, 1e-6);
    axis.low -= of_y && axis.low == 0 ? 0 : margin;
    axis.high += margin;
    return axis;
}

static bool has_front(const PointPlot *plot) {
    for (int i = 0; i < plot->count; i++) {
        if (plot->points[i].front) return true;
    }
    return false;
}

// The right end of the plot: beside it stands the legend, when there is one.
static int right_end(const PointPlot *plot) {
    return WIDTH - RIGHT - (plot->family_count > 1 || has_front(plot) ? LEGEND : 0);
}

static void plot_tick(Text *svg, const PointPlot *plot, const Axis *axis, bool vertical, double value) {
    char shown[32];
    snprintf(shown, sizeof shown, "%.6g", value);
    double at = plot_place(axis, value);
    if (vertical) {
        text_addf(svg, "<path class=\"grid\" d=\"M%d %.1fH%d\"/>\n", LEFT, at, right_end(plot));
        plot_label(svg, LEFT - 8, at + 4, "end", "", shown);
    } else {
        text_addf(svg, "<path class=\"grid\" d=\"M%.1f %dV%d\"/>\n", at, TOP, HEIGHT - BOTTOM);
        plot_label(svg, at, HEIGHT - BOTTOM + 18, "middle", "", shown);
    }
}

static void plot_ticks(Text *svg, const PointPlot *plot, const Axis *axis, bool vertical) {
    static const double mantissas[] = {1, 2, 5};
    if (axis->logarithmic) {
        for (int decade = (int)floor(axis->low); decade <= (int)ceil(axis->high); decade++) {
            for (int m = 0; m < 3; m++) {
                double value = mantissas[m] * pow(10, decade);
                if (log10(value) >= axis->low && log10(value) <= axis->high)
                    plot_tick(svg, plot, axis, vertical, value);
            }
        }
        return;
    }
    double step = nice_step(axis->high - axis->low);
    for (double n = ceil(axis->low / step - 1e-9); n * step <= axis->high; n++)
        plot_tick(svg, plot, axis, vertical, n * step + 0.0);
}

// A label that would lie on an earlier one is left out.
static bool label_fits(const PointPlot *plot, const Axis *x, const Axis *y, int index) {
    const PlottedPoint *p = &plot->points[index];
    for (int i = 0; i < index; i++) {
        const PlottedPoint *other = &plot->points[i];
        double dx = fabs(plot_place(x, p->x) - plot_place(x, other->x)),
               dy = fabs(plot_place(y, p->y) - plot_place(y, other->y));
        if (dx < 30 && dy < 11) return false;
    }
    return p->label[0];
}

// Points of later families that lie on this one are drawn inside it: all stay visible.
static double plot_radius(const PointPlot *plot, const Axis *x, const Axis *y, int index) {
    const PlottedPoint *p = &plot->points[index];
    int families = 0;
    for (int f = p->family + 1; f < plot->family_count; f++) {
        bool near = false;
        for (int i = 0; i < plot->count && !near; i++) {
            const PlottedPoint *other = &plot->points[i];
            near = other->family == f && fabs(plot_place(x, p->x) - plot_place(x, other->x)) < 2 &&
                   fabs(plot_place(y, p->y) - plot_place(y, other->y)) < 2;
        }
        families += near;
    }
    return 4 + 2.5 * families;
}

static void draw_family(Text *svg, const PointPlot *plot, const Axis *x, const Axis *y, int family) {
    const char *colour = colours[family % COLOURS];
    bool first = true;
    text_addf(svg, "<path fill=\"none\" stroke=\"%s\" stroke-opacity=\".45\" d=\"", colour);
    for (int i = 0; i < plot->count; i++) {
        const PlottedPoint *p = &plot->points[i];
        if (p->family != family || plot->apart) continue;
        text_addf(svg, "%c%.1f %.1f", first ? 'M' : 'L', plot_place(x, p->x), plot_place(y, p->y));
        first = false;
    }
    text_addf(svg, "\"/>\n");
    for (int i = 0; i < plot->count; i++) {
        const PlottedPoint *p = &plot->points[i];
        if (p->family != family) continue;
        double px = plot_place(x, p->x), py = plot_place(y, p->y);
        double above = plot_place(y, p->y + p->error),
               below = plot_place(y, fmax(p->y - p->error, y->logarithmic ? p->y / 2 : 0));
        text_addf(svg, "<path stroke=\"%s\" d=\"M%.1f %.1fV%.1f\"/>\n", colour, px, above, below);
        text_addf(svg, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"%.1f\" fill=\"%s\" stroke=\"%s\"/>\n", px, py,
                  plot_radius(plot, x, y, i), p->front ? colour : "#fff", colour);
        if (label_fits(plot, x, y, i)) plot_label(svg, px + 7, py - 6, "start", " class=\"small\"", p->label);
    }
}

// The front as steps: to the right of a point nothing better is known until the next one. Points are few: each is
// looked for anew.
static void draw_front(Text *svg, const PointPlot *plot, const Axis *x, const Axis *y) {
    bool first = true;
    double at = -INFINITY;
    text_addf(svg, "<path class=\"front\" d=\"");
    for (;;) {
        const PlottedPoint *next = NULL;
        for (int i = 0; i < plot->count; i++) {
            const PlottedPoint *p = &plot->points[i];
            if (p->front && p->x > at && (!next || p->x < next->x)) next = p;
        }
        if (!next) break;
        if (first)
            text_addf(svg, "M%.1f %.1f", plot_place(x, next->x), plot_place(y, next->y));
        else
            text_addf(svg, "H%.1fV%.1f", plot_place(x, next->x), plot_place(y, next->y));
        first = false;
        at = next->x;
    }
    text_addf(svg, "\"/>\n");
}

static void draw_legend(Text *svg, const PointPlot *plot) {
    int top = TOP + 14, left = right_end(plot) + 22;
    for (int f = 0; plot->family_count > 1 && f < plot->family_count; f++, top += 18) {
        text_addf(svg, "<circle cx=\"%d\" cy=\"%d\" r=\"4\" fill=\"%s\"/>\n", left, top - 4, colours[f % COLOURS]);
        plot_label(svg, left + 10, top, "start", "", plot->families[f]);
    }
    if (!has_front(plot)) return;
    text_addf(svg, "<path class=\"front\" d=\"M%d %dh16\"/>\n", left - 8, top - 4);
    plot_label(svg, left + 14, top, "start", "", "Pareto front");
}

// What labels stand for, a line each.
static void draw_words(Text *svg, const PointPlot *plot) {
    int top = HEIGHT + 4;
    for (int i = 0; i < plot->count; i++) {
        const PlottedPoint *p = &plot->points[i];
        char words[120];
        if (!p->words) continue;
        snprintf(words, sizeof words, "%s  %s", p->label, p->words);
        text_mend(words);
        plot_label(svg, LEFT, top, "start", " class=\"small\"", words);
        top += WORDS;
    }
}

static int words_height(const PointPlot *plot) {
    int count = 0;
    for (int i = 0; i < plot->count; i++) count += plot->points[i].words != NULL;
    return count * WORDS;
}

void point_plot_svg(const PointPlot *plot, Text *out) {
    Axis x = axis_of(plot, false, LEFT, right_end(plot)), y = axis_of(plot, true, HEIGHT - BOTTOM, TOP);
    text_addf(out,
              "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" font-family=\"sans-serif\" "
              "font-size=\"12\" fill=\"#222\">\n<style>.grid{stroke:#e4e4e4}.small{font-size:10px;fill:#555}"
              ".front{fill:none;stroke:#222;stroke-width:1.5;stroke-dasharray:5 3}</style>\n"
              "<rect width=\"100%%\" height=\"100%%\" fill=\"#fff\"/>\n",
              WIDTH, HEIGHT + words_height(plot));
    plot_label(out, WIDTH / 2.0, 26, "middle", " font-size=\"15\"", plot->title);
    plot_ticks(out, plot, &x, false);
    plot_ticks(out, plot, &y, true);
    text_addf(out, "<path fill=\"none\" stroke=\"#222\" d=\"M%d %dV%dH%d\"/>\n", LEFT, TOP, HEIGHT - BOTTOM,
              right_end(plot));
    plot_label(out, (LEFT + right_end(plot)) / 2.0, HEIGHT - 14, "middle", "", plot->x_label);
    plot_label(out, 0, 0, "middle", " transform=\"translate(18 234) rotate(-90)\"", plot->y_label);
    draw_front(out, plot, &x, &y);
    for (int f = 0; f < plot->family_count; f++) draw_family(out, plot, &x, &y, f);
    draw_legend(out, plot);
    draw_words(out, plot);
    text_addf(out, "</svg>\n");
}
