#include <math.h>

#include "kernels/host/simd_scalar.h"

#include "kernels/host/kernels_template.h"

// The code of column k of a unit, for one row.
static int code_at(const Packed *w, const uint8_t *unit, size_t row, size_t k) {
    int f = (int)k / 4, j = (int)k % 4, step = packed_step(w->bits);
    uint32_t code = vu_load(unit + row * 4) >> (8 * j + step * f) & ((1u << step) - 1);
    if (w->bits == 3) code |= (vu_load_16(unit + PACKED_ROWS * 4 + row * 2) >> packed_high_bit(f, j) & 1u) << 2;
    return (int)code - (1 << (w->bits - 1));
}

// What the codes of columns first … first + count − 1 of one group stand for, in one row; zero: of the group.
static void group_levels(const Packed *w, const uint8_t *units, size_t row, int zero, size_t first, size_t count,
                         float *levels) {
    const size_t per_unit = packed_unit_columns(w->bits);
    for (size_t j = 0; j < count; j++) {
        int code = code_at(w, units + (first + j) / per_unit * packed_unit_bytes(w->bits), row, (first + j) % per_unit);
        levels[j] = (float)(w->grid.powers ? packed_power_level(code) : code - zero);
    }
}

// A few tokens share the levels of a few columns.
enum { TOKENS = 16, COLUMNS = 64 };

// Adds s_g · Σ_{j∈g} q_j x_j of one row to the total of each token. x: [tokens, in], from the group's first column on.
static void add_group(const Packed *w, const uint8_t *units, size_t row, int zero, float scale, size_t columns,
                      const float *x, size_t tokens, float *totals) {
    float levels[COLUMNS], sums[TOKENS] = {0};
    for (size_t first = 0; first < columns; first += COLUMNS) {
        const size_t count = at_most(columns - first, COLUMNS);
        group_levels(w, units, row, zero, first, count, levels);
        for (size_t t = 0; t < tokens; t++)
            for (size_t j = 0; j < count; j++) sums[t] += levels[j] * x[t * w->in + first + j];
    }
    for (size_t t = 0; t < tokens; t++) totals[t] += scale * sums[t];
}

// Σ_g s_g · Σ_{j∈g} q_j x_j of one row for each token, with the factors of the two-level grid in place of the scales
// s_g.
static void row_sums(const Packed *w, size_t o, const float *x, size_t tokens, float *totals) {
    const size_t block = o / PACKED_ROWS, row = o % PACKED_ROWS;
    const uint8_t *at = w->data + block * w->block_bytes + w->head_bytes;
    for (size_t t = 0; t < tokens; t++) totals[t] = 0;
    for (size_t g = 0, j = 0; g < w->groups; g++, j += w->group, at += w->group_bytes) {
        const int8_t *extras = packed_extras(w, block, g);
        float scale = w->grid.factors ? (float)extras[row] : load_as(w->scale_dtype, at, row);
        add_group(w, at + packed_scale_bytes(w), row, w->grid.zeros ? extras[row] : 0, scale,
                  at_most(w->in - j, w->group), x + j, tokens, totals);
    }
    for (size_t t = 0; t < tokens; t++) totals[t] *= w->grid.factors ? packed_row_scales(w, block)[row] : w->step;
}

// Weight-only products as they are defined.
static void packed_float(const Packed *w, const float *bias, const float *x, size_t tokens, float *y,
                         size_t first_block, size_t end_block) {
    for (size_t first = 0; first < tokens; first += TOKENS) {
        const size_t count = at_most(tokens - first, TOKENS);
        for (size_t o = first_block * PACKED_ROWS; o < w->out && o < end_block * PACKED_ROWS; o++) {
            float totals[TOKENS];
            row_sums(w, o, x + first * w->in, count, totals);
            for (size_t t = 0; t < count; t++) y[(first + t) * w->out + o] = totals[t] + (bias ? bias[o] : 0);
        }
    }
}

const HostKernels host_kernels_scalar = KERNELS("scalar", &coding_kernels_scalar, &scan_kernels_scalar, packed_float);
