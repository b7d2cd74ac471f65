#include <math.h>

#include "kernels/cpu/simd_scalar.h"

#include "kernels/cpu/kernels_template.h"

// The code of column k of a unit, for one row.
static int code_at(const Packed *w, const uint8_t *unit, size_t row, size_t k) {
    int f = (int)k / 4, j = (int)k % 4, step = packed_step(w->bits);
    uint32_t code = vu_load(unit + row * 4) >> (8 * j + step * f) & ((1u << step) - 1);
    if (w->bits == 3) code |= (vu_load_16(unit + PACKED_ROWS * 4 + row * 2) >> packed_high_bit(f, j) & 1u) << 2;
    return (int)code - (1 << (w->bits - 1));
}

// Σ q_j x_j over the columns of one group of one row.
static float group_sum(const Packed *w, const uint8_t *units, size_t row, const float *x, size_t columns) {
    size_t per_unit = packed_unit_columns(w->bits);
    float sum = 0;
    for (size_t j = 0; j < columns; j++)
        sum += (float)code_at(w, units + j / per_unit * packed_unit_bytes(w->bits), row, j % per_unit) * x[j];
    return sum;
}

// Weight-only products as they are defined: Σ_g s_g · Σ_{j∈g} q_j x_j.
static void packed_float(const Packed *w, const float *bias, const float *x, size_t tokens, float *y,
                         size_t first_block, size_t end_block) {
    size_t scale_bytes = bytes_of(w->scale_dtype);
    for (size_t o = first_block * PACKED_ROWS; o < w->out && o < end_block * PACKED_ROWS; o++) {
        size_t row = o % PACKED_ROWS;
        for (size_t t = 0; t < tokens; t++) {
            const uint8_t *at = w->data + o / PACKED_ROWS * w->block_bytes;
            float total = 0;
            for (size_t j = 0; j < w->in; j += w->group, at += w->group_bytes)
                total += load_as(w->scale_dtype, at, row) * group_sum(w, at + PACKED_ROWS * scale_bytes, row,
                                                                      x + t * w->in + j, at_most(w->in - j, w->group));
            y[t * w->out + o] = total + (bias ? bias[o] : 0);
        }
    }
}

const CpuKernels cpu_kernels_scalar = KERNELS("scalar", packed_float);
