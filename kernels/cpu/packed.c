#include "kernels/cpu/packed.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"

static size_t units_for(size_t columns, int bits) {
    size_t per_unit = packed_unit_columns(bits);
    return (columns + per_unit - 1) / per_unit;
}

bool packed_fits(const QuantizedWeight *w, bool integer) {
    const uint64_t qmax = (1u << (w->bits - 1)) - 1, largest = INT32_MAX;
    if (w->grid == GRID_LOG2 && w->bits == 8) return false;
    if (!integer) return true;
    if (w->grid == GRID_ASYMMETRIC) return (2 * qmax + 1) * 127 * w->group <= largest;
    return w->grid != GRID_TWO_LEVEL || qmax * 127 * 127 * w->in <= largest;
}

static size_t head_bytes(const QuantizedWeight *w, size_t groups) {
    if (w->grid != GRID_ASYMMETRIC && w->grid != GRID_TWO_LEVEL) return 0;
    size_t bytes = groups * PACKED_ROWS + (w->factors ? PACKED_ROWS * sizeof(float) : 0);
    return (bytes + 63) / 64 * 64;
}

static void packed_shape(const QuantizedWeight *w, Packed *p) {
    *p = (Packed){.out = w->out, .in = w->in, .group = w->group, .bits = w->bits, .scale_dtype = w->scale_dtype};
    p->grid = w->grid;
    // At 2 bits log2's −1, 0, 1 are the codes themselves; else the largest power of two keeps levels from being
    // negative.
    const bool powers = w->grid == GRID_LOG2 && w->bits > 2;
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

static void store_scale(DType dtype, float scale, uint8_t *to) {
    uint16_t half = dtype == DTYPE_F16 ? float_to_f16(scale) : float_to_bf16(scale);
    if (dtype == DTYPE_F32) {
        memcpy(to, &scale, sizeof scale);
    } else {
        memcpy(to, &half, sizeof half);
    }
}

// One row's word of a unit of whole · codes. Four codes at a time, as the four bytes of a number: flipping the sign bit
// adds 2^(bits−1). *high gets the high bits at 3 bits.
static inline __attribute__((always_inline)) uint32_t unit_word(const int bits, const int8_t *codes, uint16_t *high) {
    const int quads = bits == 8 ? 1 : bits == 4 ? 2 : 4, step = bits == 3 ? 2 : bits;
    const uint32_t ones = 0x01010101, sign = ones << (bits - 1), low = bits == 3 ? 3 * ones : ones * ((1u << bits) - 1);
    uint32_t word = 0, top = 0;
    for (int f = 0; f < quads; f++) {
        uint32_t quad;
        memcpy(&quad, codes + 4 * f, sizeof quad);
        quad ^= sign;
        word |= (quad & low) << (step * f);
        if (bits == 3) top |= (quad >> 2 & ones) << f;
    }
    *high = (uint16_t)(top | top >> 12); // packed_high_bit
    return word;
}

// All units of one row of one group. `units` is where the group's units begin in the block.
static inline __attribute__((always_inline)) void pack_row(const int bits, const int8_t *codes, size_t columns,
                                                           size_t row, uint8_t *units) {
    size_t whole = packed_unit_columns(bits);
    for (size_t k = 0; k < columns; k += whole, units += packed_unit_bytes(bits)) {
        int8_t last[16] = {0};
        uint16_t high;
        if (columns - k < whole) memcpy(last, codes + k, columns - k);
        uint32_t word = unit_word(bits, columns - k < whole ? last : codes + k, &high);
        memcpy(units + row * sizeof word, &word, sizeof word);
        if (bits == 3) memcpy(units + PACKED_ROWS * sizeof word + row * sizeof high, &high, sizeof high);
    }
}

// zeros: a group of codes for the rows that only fill the last block.
static void pack_group(const QuantizedWeight *w, const Packed *p, const int8_t *zeros, size_t block, size_t group,
                       uint8_t *to) {
    size_t scale_bytes = packed_scale_bytes(p) / PACKED_ROWS, from = group * p->group;
    size_t columns = p->group < p->in - from ? p->group : p->in - from;
    uint8_t *units = to + PACKED_ROWS * scale_bytes;
    for (size_t row = 0; row < PACKED_ROWS; row++) {
        size_t o = block * PACKED_ROWS + row;
        if (scale_bytes)
            store_scale(p->scale_dtype, o < p->out ? w->scales[o * p->groups + group] : 0, to + row * scale_bytes);
        const int8_t *codes = o < p->out ? w->codes + o * p->in + from : zeros;
        switch (p->bits) {
        case 2: pack_row(2, codes, columns, row, units); break;
        case 3: pack_row(3, codes, columns, row, units); break;
        case 4: pack_row(4, codes, columns, row, units); break;
        default: pack_row(8, codes, columns, row, units); break;
        }
    }
}

static void pack_head(const QuantizedWeight *w, Packed *p, size_t block) {
    const int8_t *extras = w->zeros ? w->zeros : w->factors;
    uint8_t *to = p->data + block * p->block_bytes;
    for (size_t o = block * PACKED_ROWS; o < p->out && o < (block + 1) * PACKED_ROWS; o++) {
        size_t row = o % PACKED_ROWS;
        for (size_t g = 0; extras && g < p->groups; g++)
            memcpy(to + g * PACKED_ROWS + row, &extras[o * p->groups + g], 1);
        if (w->factors) memcpy(to + p->head_bytes - (PACKED_ROWS - row) * sizeof(float), &w->scales[o], sizeof(float));
    }
}

bool packed_new(const QuantizedWeight *w, int threads, Packed *packed, Error *err) {
    packed_shape(w, packed);
    int8_t *zeros = array_new(w->group, 1);
    packed->data = array_new(packed->blocks, packed->block_bytes);
    if (!zeros || !packed->data) {
        free(zeros);
        packed_free(packed);
        return error_memory(err, "packed weights");
    }
#pragma omp parallel for schedule(static) num_threads(threads) if (w->out * w->in > 32768)
    for (size_t block = 0; block < packed->blocks; block++) {
        uint8_t *groups = packed->data + block * packed->block_bytes + packed->head_bytes;
        pack_head(w, packed, block);
        for (size_t group = 0; group < packed->groups; group++)
            pack_group(w, packed, zeros, block, group, groups + group * packed->group_bytes);
    }
    free(zeros);
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
