#include "kernels/host/scan_template.h"

#include "kernels/host/kernels.h"

static void scan_ranges(DType dtype, const void *data, size_t groups, float *minima, float *maxima) {
    for (size_t g = 0; g < groups; g++)
        host_kernels_scalar.range(dtype, (const char *)data + g * SCAN_GROUP * sizeof(uint16_t), SCAN_GROUP, &minima[g],
                                  &maxima[g]);
}

static void squares(const float *low, const float *high, size_t n, double *absmaxes, double *spreads) {
    double absmax[SQUARE_LANES] = {0}, spread[SQUARE_LANES] = {0};
    squares_in_lanes(low, high, n, absmax, spread);
    *absmaxes = sum_of_lanes(absmax);
    *spreads = sum_of_lanes(spread);
}

const ScanKernels scan_kernels_scalar = {scan_ranges, magnitudes, merge_pairs, squares};
