#include "tui/histogram.h"

#include <math.h>
#include <string.h>

double log_axis_share(const LogAxis *axis, double value) {
    return value > 0 ? log2(value / axis->low) / log2(axis->high / axis->low) : -1;
}

// From where a thousandth of the values lies below, to beyond the range and, if they are not far, both thresholds.
LogAxis input_log_axis(const InputStats *input, double v0, double v1) {
    uint64_t total = 0, below = 0;
    for (int i = 0; i < MAGNITUDE_BINS; i++) total += input->magnitude[i];
    int first = 0;
    while (first < MAGNITUDE_BINS - 1 && (double)(below + input->magnitude[first]) <= (double)total * 1e-3)
        below += input->magnitude[first++];
    const double range = fmax(input->range, 1e-6);
    LogAxis axis = {.low = fmax(magnitude_edge(first), range / 65536), .high = range * 1.2};
    if (v1 < range * 64) axis.high = fmax(axis.high, v1 * 1.6);
    if (v0 < range * 64) axis.high = fmax(axis.high, v0 * 1.6);
    if (v0 > range / 65536) axis.low = fmin(axis.low, v0 / 2);
    return axis;
}

// Counts of bins shared out over the columns that they cover.
void input_spread(const InputStats *input, const LogAxis *axis, int n, double *counts) {
    memset(counts, 0, (size_t)n * sizeof *counts);
    for (int bin = 0; bin < MAGNITUDE_BINS; bin++) {
        if (!input->magnitude[bin]) continue;
        const double from = log_axis_share(axis, magnitude_edge(bin)) * n,
                     to = log_axis_share(axis, magnitude_edge(bin + 1)) * n;
        for (int i = (int)fmax(from, 0); i < n && i < to; i++) {
            const double part = fmin(to, i + 1) - fmax(from, i);
            if (part > 0) counts[i] += (double)input->magnitude[bin] * part / (to - from);
        }
    }
}

Style zone_style(double value, double v0, double v1) {
    return value <= v0 ? MEANING_STATIC : value < v1 ? MEANING_LAE : MEANING_TOKEN;
}
