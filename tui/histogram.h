// What histograms are made of, whether they are drawn on a screen or for a file.
#pragma once

#include "analysis/stats.h"
#include "tui/theme.h"

// A logarithmic axis from low to high.
typedef struct LogAxis {
    double low, high;
} LogAxis;

double log_axis_share(const LogAxis *axis,
                      double value); // 0 … 1 from low to high; −1 for values that have no logarithm
// From where a thousandth of the values lies below, to beyond the range and, if they are not far, both thresholds.
LogAxis input_log_axis(const InputStats *input, double v0, double v1);
// Counts of |x| in n columns of that axis.
void input_spread(const InputStats *input, const LogAxis *axis, int n, double *counts);
Style zone_style(double value, double v0, double v1); // FPTQ's class of a range
