// Sweeps as a figure.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "analysis/point_plot.h"
#include "analysis/sweep.h"

// Dials that do not change the size (thresholds of activations) are plotted against their own value.
static bool size_differs(const Sweep *sweep) {
    double least = INFINITY, most = 0;
    for (int i = 0; i < sweep->count; i++) {
        if (!sweep->points[i].known) continue;
        least = fmin(least, sweep->points[i].bits_per_weight);
        most = fmax(most, sweep->points[i].bits_per_weight);
    }
    return most - least > 1e-9;
}

static PlottedPoint plotted(const Sweep *sweep, int i, bool by_size) {
    const Point *p = &sweep->points[i];
    const int last = sweep->dial_count - 1;
    PlottedPoint point = {.x = by_size ? p->bits_per_weight : sweep_value(sweep, i, last),
                          .y = p->accuracy.kl_mean,
                          .error = p->accuracy.kl_se,
                          .family = last > 0 ? i / sweep->dials[last].count : 0,
                          .front = by_size && p->pareto};
    if (by_size) sweep_value_text(sweep, i, last, point.label, sizeof point.label);
    return point;
}

static void name_family(const Sweep *sweep, int family, char *out, size_t size) {
    char value[32];
    sweep_value_text(sweep, family * sweep->dials[1].count, 0, value, sizeof value);
    snprintf(out, size, "%s %s", sweep_option(sweep, 0), value);
}

void sweep_svg(const Sweep *sweep, Text *out) {
    const bool by_size = size_differs(sweep);
    const int family_count = sweep->dial_count > 1 ? sweep->dials[0].count : 1;
    PlottedPoint *points = array_new((size_t)sweep->count, sizeof *points);
    char(*families)[48] = array_new((size_t)family_count, sizeof *families), title[160];
    const bool ok = points && families;
    int count = 0;
    for (int i = 0; ok && i < sweep->count; i++) {
        if (sweep->points[i].known) points[count++] = plotted(sweep, i, by_size);
    }
    for (int f = 0; ok && sweep->dial_count > 1 && f < family_count; f++)
        name_family(sweep, f, families[f], sizeof families[f]);
    const char *last = sweep_option(sweep, sweep->dial_count - 1);
    snprintf(title, sizeof title, by_size ? "Accuracy against size; at each point: %s" : "Accuracy against %s", last);
    const PointPlot plot = {.title = title,
                            .x_label = by_size ? "bits per weight" : last,
                            .y_label = "KL divergence from the base, nats",
                            .points = points,
                            .count = count,
                            .families = (const char(*)[48])families,
                            .family_count = family_count};
    if (count) point_plot_svg(&plot, out);
    out->failed = out->failed || !ok;
    free(points);
    free(families);
}
