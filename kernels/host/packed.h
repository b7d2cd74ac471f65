// How quantized weights lie in memory for the CPU kernels.
//
// Rows (output channels) go in blocks of 32, one row per vector lane, so a product needs no sums across lanes and a
// block is one contiguous stream:
//
//     zeros or factors [groups][32] · then, group after group of columns: scales [32] in their own type · units
//
// A grid with factors has, in place of the scales of groups, scales [32] of rows as floats behind its factors.
//
// A unit holds `packed_unit_columns(bits)` columns as words [32]: one 32-bit word per row. At 3 bits these words hold
// the two low bits and are followed by [32] 16-bit words with the high ones. Codes are stored plus 2^(bits−1), so they
// are never negative. Every group begins with a new unit; columns that pad a group to whole units, and rows that pad
// the last block, hold the code 0.
//
// Where column k = 4 f + j of a unit lies: its low bits at bit 8 j + f · (8, 4, 2, 2 at 8, 4, 3, 2 bits). A shift by f
// steps and a mask thus give the four bytes j = 0…3 that a byte dot product wants, and a shift alone gives an index for
// a table permute.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "kernels/host/coding.h"
#include "kernels/quantized.h"

enum { PACKED_ROWS = 32 };

typedef struct Packed {
    size_t out, in, group, groups;
    int bits;
    GridInfo grid;
    DType scale_dtype;
    int offset_bits;   // what is multiplied is 2^offset_bits more than what a code stands for, never negative
    float step;        // what one is worth, but for scales: 2^(2 − 2^(bits−1)) on a grid of powers, else 1
    size_t head_bytes; // of a block, before its first group
    size_t group_units, last_units; // units of a full group, and of the last one
    size_t padded;                  // columns including those that pad groups to whole units
    size_t group_bytes;             // of a full group of one block: scales and units
    size_t block_bytes, blocks;
    uint8_t *data; // [blocks]{head, [groups]{scales [32], units}}, 64-byte aligned
} Packed;

static inline size_t packed_unit_columns(int bits) { return bits == 8 ? 4 : bits == 4 ? 8 : 16; }
static inline size_t packed_unit_bytes(int bits) { return PACKED_ROWS * (bits == 3 ? 6 : 4); }

// Distance in bits between the codes of columns k and k + 4.
static inline int packed_step(int bits) { return bits == 3 ? 2 : bits; }

// Bit of column k = 4 f + j in the 16-bit word of high bits (3 bits only). w | w << 12 then has it at bit 8 j + f.
static inline int packed_high_bit(int f, int j) { return j < 2 ? 8 * j + f : 8 * (j - 2) + 4 + f; }

// What a code of a grid of powers stands for in steps: 0, ±1, ±2, ±4 …
static inline int packed_power_level(int code) {
    return code > 0 ? 1 << (code - 1) : code < 0 ? -(1 << (-code - 1)) : 0;
}

// Bytes that the scales of one group take: none on a grid with factors.
static inline size_t packed_scale_bytes(const Packed *p) {
    return p->grid.factors ? 0 : PACKED_ROWS * dtype_bytes(p->scale_dtype);
}

// Zeros or factors of a group of a block, and scales of the block's rows on a grid with factors.
static inline const int8_t *packed_extras(const Packed *p, size_t block, size_t group) {
    return (const int8_t *)p->data + block * p->block_bytes + group * PACKED_ROWS;
}
static inline const float *packed_row_scales(const Packed *p, size_t block) {
    return (const float *)(const void *)(p->data + block * p->block_bytes + p->head_bytes) - PACKED_ROWS;
}

// Whether integer products of this weight with 8-bit codes stay within 32 bits, and its levels within a byte.
bool packed_fits(const QuantizedWeight *w, bool integer);

// The layout of a weight of this shape (codes and scales are not looked at), nothing in it yet.
bool packed_reserve(const QuantizedWeight *shape, Packed *packed, Error *err);
// Fills one block from its rows: 32 or, in the last one, fewer.
void packed_fill(const Packed *packed, const CodingKernels *, const QuantizedWeight *rows, size_t block);
// Both, from plain codes; false when memory is short. Threads: how many may work.
bool packed_new(const QuantizedWeight *w, const CodingKernels *, int threads, Packed *packed, Error *err);
void packed_free(Packed *packed);

// True when groups need padding, so that activations have to be spread out before a product.
static inline bool packed_spreads(const Packed *packed) { return packed->padded != packed->in; }

// Copies a row of codes [in] to [padded], zeros in between.
void packed_spread(const Packed *packed, const int8_t *row, int8_t *out);
