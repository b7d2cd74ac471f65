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

// Σ q_j x_j over the columns of one group of one row; zero: of the group.
static float group_sum(const Packed *w, const uint8_t *units, size_t row, int zero, const float *x, size_t columns) {
    size_t per_unit = packed_unit_columns(w->bits);
    float sum = 0;
    for (size_t j = 0; j < columns; j++) {
        int code = code_at(w, units + j / per_unit * packed_unit_bytes(w->bits), row, j % per_unit);
        sum += (float)(w->grid.powers ? packed_power_level(code) : code - zero) * x[j];
    }
    return sum;
}

// Σ_g s_g · Σ_{j∈g} q_j x_j of one row, with the factors of the two-level grid in place of the scales s_g.
static float row_sum(const Packed *w, size_t o, const float *x) {
    const size_t block = o / PACKED_ROWS, row = o % PACKED_ROWS;
    const uint8_t *at = w->data + block * w->block_bytes + w->head_bytes;
    float total = 0;
    for (size_t g = 0, j = 0; g < w->groups; g++, j += w->group, at += w->group_bytes) {
        const int8_t *extras = packed_extras(w, block, g);
        const bool factors = w->grid.factors;
        float scale = factors ? (float)extras[row] : load_as(w->scale_dtype, at, row);
        total += scale * group_sum(w, at + packed_scale_bytes(w), row, w->grid.zeros ? extras[row] : 0, x + j,
                                   at_most(w->in - j, w->group));
    }
    return total * (w->grid.factors ? packed_row_scales(w, block)[row] : w->step);
}

// Weight-only products as they are defined.
static void packed_float(const Packed *w, const float *bias, const float *x, size_t tokens, float *y,
                         size_t first_block, size_t end_block) {
    for (size_t o = first_block * PACKED_ROWS; o < w->out && o < end_block * PACKED_ROWS; o++)
        for (size_t t = 0; t < tokens; t++) y[t * w->out + o] = row_sum(w, o, x + t * w->in) + (bias ? bias[o] : 0);
}

const HostKernels host_kernels_scalar = KERNELS("scalar", &coding_kernels_scalar, &scan_kernels_scalar, packed_float);
