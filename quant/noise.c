#include "quant/noise.h"

#include <math.h>

#define DOUBLINGS 12

// The mean of range² over groups of 8 · 2^k standard normal numbers (tools/reference/methods.py, normal_squares).
static const double normal_squares[RANGE_KINDS][DOUBLINGS] = {
    [RANGE_ABSMAX] = {3.45743, 4.54948, 5.70951, 6.9139, 8.14825, 9.40378, 10.67498, 11.95826, 13.25118, 14.55201,
                      15.85946, 17.17256},
    [RANGE_SPREAD] = {8.78244, 13.03727, 17.60642, 22.37483, 27.27633, 32.2711, 37.33438, 42.45014, 47.60751, 52.79882,
                      58.01842, 63.26205},
};

static RangeKind range_kind(Grid grid) { return grid_table[grid].zeros ? RANGE_SPREAD : RANGE_ABSMAX; }

// The mean of (w − ŵ)² where the range is 1.
static double unit_noise(Grid grid, int bits) {
    const double steps = grid_table[grid].zeros ? ldexp(1, bits) - 1 : ldexp(1, bits - 1) - 1;
    return 1 / (12 * steps * steps);
}

double weight_noise(const WeightMeasure *weight, int s, Grid grid, int bits) {
    if (!(weight->energy > 0)) return 0;
    const double squares = weight->votes.squares[range_kind(grid)][s];
    return weight->votes.sizes[s] * squares / weight->energy * unit_noise(grid, bits);
}

double noise_ceiling(double alpha, Grid grid, int bits) {
    const double *table = normal_squares[range_kind(grid)], at = 10 * alpha + 0.5;
    const int k = (int)at;
    return (table[k] + (at - k) * (table[k + 1] - table[k])) * unit_noise(grid, bits);
}
