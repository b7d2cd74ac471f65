#include "kernels/host/packed.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"

static size_t units_for(size_t columns, int bits) {
    size_t per_unit = packed_unit_columns(bits);
    return (columns + per_unit - 1) / per_unit;
}

bool packed_fits(const QuantizedWeight *w, bool integer) {
    const GridInfo *grid = &grid_table[w->grid];
    const uint64_t qmax = (1u << (w->bits - 1)) - 1, largest = INT32_MAX;
    if (grid->powers && w->bits == 8) return false;
    if (!integer) return true;
    if (grid->zeros) return (2 * qmax + 1) * 127 * w->group <= largest;
    return !grid->factors || qmax * 127 * 127 * w->in <= largest;
}

static size_t head_bytes(const QuantizedWeight *w, size_t groups) {
    const GridInfo *grid = &grid_table[w->grid];
    if (!grid->zeros && !grid->factors) return 0;
    size_t bytes = groups * PACKED_ROWS + (grid->factors ? PACKED_ROWS * sizeof(float) : 0);
    return (bytes + 63) / 64 * 64;
}

static void packed_shape(const QuantizedWeight *w, Packed *p) {
    *p = (Packed){.out = w->out, .in = w->in, .group = w->group, .bits = w->bits, .scale_dtype = w->scale_dtype};
    p->grid = grid_table[w->grid];
    // At 2 bits the powers −1, 0, 1 are the codes themselves; else the largest power of two keeps levels from being
    // negative.
    const bool powers = p->grid.powers && w->bits > 2;
    p->offset_bits = powers ? (1 << (w->bits - 1)) - 2 : w->bits - 1;
    p->step = powers ? ldexpf(1, -p->offset_bits) : 1;
    p->groups = group_count(w->in, w->group);
    p->group_units = units_for(w->group, w->bits);
    p->last_units = units_for(w->in - (p->groups - 1) * w->group, w->bits);
    size_t units = (p->groups - 1) * p->group_units + p->last_units, scale_bytes = packed_scale_bytes(p);
    p->padded = units * packed_unit_columns(w->bits);
    p->head_bytes = head_bytes(w, p->groups);
    p->group_bytes = scale_bytes + p->group_units * packed_unit_bytes(w->bits);
    p->block_bytes = p->head_bytes + p->groups * scale_bytes + units * packed_unit_bytes(w->bits);
    p->blocks = (w->out + PACKED_ROWS - 1) / PACKED_ROWS;
}

// ---- Filling a block ----

enum { STRIP_UNITS = 64, MOST_UNIT_COLUMNS = 16 };

// The words of some units that follow each other in the rows of a block, before they are transposed.
typedef struct Strip {
    uint32_t words[PACKED_ROWS][STRIP_UNITS];
    uint16_t high[PACKED_ROWS][STRIP_UNITS];
} Strip;

// Units begin at `column`; behind `columns` of them the last one is filled up with zeros, and so are rows that w lacks.
static void strip_words(const CodingKernels *kernels, const QuantizedWeight *w, size_t column, size_t columns,
                        size_t units, Strip *strip) {
    int8_t last[STRIP_UNITS * MOST_UNIT_COLUMNS] = {0};
    const size_t whole = units * packed_unit_columns(w->bits);
    for (size_t row = 0; row < PACKED_ROWS; row++) {
        const int8_t *codes = last;
        if (row >= w->out) {
            memset(last, 0, columns < whole ? columns : whole);
        } else if (columns < whole) {
            memcpy(last, w->codes + row * w->in + column, columns);
        } else {
            codes = w->codes + row * w->in + column;
        }
        kernels->words(w->bits, codes, units, strip->words[row], strip->high[row]);
    }
}

// to: where each unit begins.
static void store_strip(const CodingKernels *kernels, const Strip *strip, int bits, size_t units, uint32_t *const *to) {
    kernels->transpose(strip->words[0], PACKED_ROWS, STRIP_UNITS, units, to);
    for (size_t u = 0; bits == 3 && u < units; u++) {
        uint16_t *high = (uint16_t *)(to[u] + PACKED_ROWS);
        for (size_t row = 0; row < PACKED_ROWS; row++) high[row] = strip->high[row][u];
    }
}

// `columns` columns from `column` on, which are units from `unit` of the row on.
static void pack_run(const CodingKernels *kernels, const QuantizedWeight *w, const Packed *p, size_t column,
                     size_t columns, size_t unit, uint8_t *groups) {
    const size_t whole = packed_unit_columns(p->bits), end = unit + units_for(columns, p->bits);
    Strip strip;
    while (unit < end) {
        const size_t units = end - unit < STRIP_UNITS ? end - unit : STRIP_UNITS;
        uint32_t *to[STRIP_UNITS];
        for (size_t u = 0; u < units; u++, unit++)
            to[u] = (uint32_t *)(void *)(groups + unit / p->group_units * p->group_bytes + packed_scale_bytes(p) +
                                         unit % p->group_units * packed_unit_bytes(p->bits));
        strip_words(kernels, w, column, columns, units, &strip);
        store_strip(kernels, &strip, p->bits, units, to);
        column += units * whole;
        columns -= columns < units * whole ? columns : units * whole;
    }
}

// bits [32]: of floats.
static void store_scales(DType dtype, const uint32_t *bits, uint8_t *to) {
    uint16_t *halves = (uint16_t *)(void *)to;
    switch (dtype) {
    case DTYPE_F16:
        for (size_t row = 0; row < PACKED_ROWS; row++) {
            float scale;
            memcpy(&scale, &bits[row], sizeof scale);
            halves[row] = float_to_f16(scale);
        }
        break;
    case DTYPE_BF16:
        for (size_t row = 0; row < PACKED_ROWS; row++) halves[row] = (uint16_t)(bits[row] >> 16);
        break;
    default: memcpy(to, bits, PACKED_ROWS * sizeof *bits); break;
    }
}

// Scales, transposed like codes. They are stored in the type that they were rounded to.
static void pack_scales(const CodingKernels *kernels, const QuantizedWeight *w, const Packed *p, uint8_t *groups) {
    Strip strip = {0};
    uint32_t transposed[STRIP_UNITS][PACKED_ROWS], *to[STRIP_UNITS];
    for (size_t i = 0; i < STRIP_UNITS; i++) to[i] = transposed[i];
    for (size_t from = 0; from < p->groups; from += STRIP_UNITS) {
        const size_t n = p->groups - from < STRIP_UNITS ? p->groups - from : STRIP_UNITS;
        for (size_t row = 0; row < w->out; row++)
            memcpy(strip.words[row], &w->scales[row * p->groups + from], n * sizeof(float));
        kernels->transpose(strip.words[0], PACKED_ROWS, STRIP_UNITS, n, to);
        for (size_t i = 0; i < n; i++)
            store_scales(p->scale_dtype, transposed[i], groups + (from + i) * p->group_bytes);
    }
}

static void pack_head(const QuantizedWeight *w, const Packed *p, uint8_t *to) {
    const int8_t *extras = w->zeros ? w->zeros : w->factors;
    for (size_t row = 0; row < w->out; row++) {
        for (size_t g = 0; extras && g < p->groups; g++)
            memcpy(to + g * PACKED_ROWS + row, &extras[row * p->groups + g], 1);
        if (w->factors)
            memcpy(to + p->head_bytes - (PACKED_ROWS - row) * sizeof(float), &w->scales[row], sizeof(float));
    }
}

void packed_fill(const Packed *p, const CodingKernels *kernels, const QuantizedWeight *rows, size_t block) {
    uint8_t *to = p->data + block * p->block_bytes, *groups = to + p->head_bytes;
    pack_head(rows, p, to);
    if (packed_scale_bytes(p)) pack_scales(kernels, rows, p, groups);
    if (p->group % packed_unit_columns(p->bits) == 0) { // groups follow each other without a gap
        pack_run(kernels, rows, p, 0, p->in, 0, groups);
        return;
    }
    for (size_t g = 0; g < p->groups; g++) {
        const size_t from = g * p->group;
        pack_run(kernels, rows, p, from, p->group < p->in - from ? p->group : p->in - from, g * p->group_units, groups);
    }
}

bool packed_reserve(const QuantizedWeight *shape, Packed *packed, Error *err) {
    packed_shape(shape, packed);
    packed->data = array_new(packed->blocks, packed->block_bytes);
    return packed->data || error_memory(err, "packed weights");
}

// Rows 32 · block … of w.
static QuantizedWeight rows_of_block(const QuantizedWeight *w, size_t block) {
    const size_t first = block * PACKED_ROWS, groups = group_count(w->in, w->group);
    QuantizedWeight rows = *w;
    rows.out = w->out - first < PACKED_ROWS ? w->out - first : PACKED_ROWS;
    rows.codes += first * w->in;
    rows.scales += grid_table[w->grid].factors ? first : first * groups;
    if (w->zeros) rows.zeros += first * groups;
    if (w->factors) rows.factors += first * groups;
    return rows;
}

bool packed_new(const QuantizedWeight *w, const CodingKernels *kernels, int threads, Packed *packed, Error *err) {
    if (!packed_reserve(w, packed, err)) return false;
#pragma omp parallel for schedule(static) num_threads(threads) if (w->out * w->in > 32768)
    for (size_t block = 0; block < packed->blocks; block++) {
        const QuantizedWeight rows = rows_of_block(w, block);
        packed_fill(packed, kernels, &rows, block);
    }
    (void)threads; // where there is no OpenMP
    return true;
}

void packed_free(Packed *packed) {
    free(packed->data);
    *packed = (Packed){0};
}

void packed_spread(const Packed *p, const int8_t *row, int8_t *out) {
    size_t full = p->group_units * packed_unit_columns(p->bits), last = p->last_units * packed_unit_columns(p->bits);
    for (size_t g = 0; g < p->groups; g++) {
        size_t columns = g + 1 < p->groups ? p->group : p->in - g * p->group;
        size_t width = g + 1 < p->groups ? full : last;
        memcpy(out, row, columns);
        memset(out + columns, 0, width - columns);
        row += columns;
        out += width;
    }
}
