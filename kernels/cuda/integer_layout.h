// How quantized weights and the activations they meet lie in device memory. Plain index arithmetic, used by kernels, by
// the code that packs on the host, and by tests on any machine.
//
// Products run on integer tensor cores: mma.m16n8k32, 16 rows of W times 8 tokens, 32 columns at a time. Everything is
// stored in the order in which the 32 lanes of a warp hold these fragments, so that every load is one vector per lane:
//
//     columns of a unit        0 1 2 3 | 4 … 7 | 8 … 11 | 12 … 15 ‖ 16 … 19 | … | 28 … 31
//     lane % 4                    0    |   1   |    2   |    3    ‖    0    | … |    3
//     register, row lane / 4                 0                    ‖           2
//     register, row lane / 4 + 8             1                    ‖           3
//
// A *unit* is 16 rows × 32 columns. A lane holds 16 of its weights: four registers of four signed bytes.
//
// Groups are padded to whole units (groups of 16 columns and fewer to half a unit, a single one to whole slabs), and
// the row of units to whole *slabs* of four units = 128 columns. What pads holds the code 0. A layout is *regular* if
// its groups have one, two or a multiple of four units: a slab then has whole groups or belongs to one.
//
//     group 0          │ group 1          │ group 2 … │ padding
//     unit 0 │ unit 1  │ unit 2 │ unit 3  │ …         │          here groups of 33 … 64 columns
//     slab 0                              │ slab 1 …
//
// Weights: [row blocks of 16][slabs][units][32 lanes]{ 2 · bits bytes }; at 3 bits the slab is as at 2 with the low
// bits, followed by [units][32 lanes]{ 2 bytes } with the high ones. Codes sit in the upper bits of their bytes after a
// shift and a mask, that is, multiplied by 2^(8 − bits), so that widening them needs no subtraction; so are sums, and
// what they are multiplied by later takes it back, which is exact.
//
// As 16-bit floats the same weights are operand A of mma.m16n8k16 and of wgmma.m64nNk16, two multiplications a unit:
// the columns of a half go in the order 0 2 4 … 14 1 3 … 15 (f16_position), so that the bytes of a word need no
// exchange.
//
// Scales: [row blocks][groups][16], rows r and r + 8 beside each other (scale_slot). Zero points and factors likewise.
//
// Activations: [blocks of 8 tokens][units][planes][32 lanes][8 bytes]. One plane: int8 codes. Several planes: floats,
// relative to the largest of their segment: the columns that one group and one slab have in common. A value is its
// scale times a · 2^8 + b (two planes, 16 bits) or a · 2^16 + b · 2^8 + c (three, 24 bits). Two planes of four tokens
// and fewer are *paired* if the layout is regular: they stand in one block as its columns 2 · token and 2 · token + 1,
// so one product does for both.
#ifndef QUANTDIAL_KERNELS_CUDA_INTEGER_LAYOUT_H
#define QUANTDIAL_KERNELS_CUDA_INTEGER_LAYOUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __CUDACC__
#define LAYOUT static __host__ __device__ __forceinline__
#else
#define LAYOUT static inline __attribute__((unused))
#endif

enum {
    UNIT_ROWS = 16,
    UNIT_COLUMNS = 32,
    SLAB_UNITS = 4,
    SLAB_COLUMNS = 128,
    HALF_COLUMNS = 16, // half a unit: the least that a group takes
    SLAB_HALVES = 8,
    TOKEN_BLOCK = 8, // tokens of one fragment
    PAIRED_TOKENS = 4,
};

typedef struct IntegerLayout {
    int out, in, group, bits;
    int groups;
    int group_columns; // of one group with its padding: 16, or a multiple of 32
    int units, slabs;  // of one row, padded
    int row_blocks;    // of 16 rows
    bool rows;         // activations of one plane lie in rows
} IntegerLayout;

LAYOUT IntegerLayout integer_layout(size_t out, size_t in, size_t group, int bits) {
    IntegerLayout l;
    l.out = (int)out;
    l.in = (int)in;
    l.group = (int)group;
    l.bits = bits;
    l.groups = (int)((in + group - 1) / group);
    l.group_columns = group >= in   ? (int)((group + SLAB_COLUMNS - 1) / SLAB_COLUMNS * SLAB_COLUMNS)
                      : group <= 16 ? HALF_COLUMNS
                                    : (int)((group + UNIT_COLUMNS - 1) / UNIT_COLUMNS * UNIT_COLUMNS);
    l.slabs = (l.groups * l.group_columns + SLAB_COLUMNS - 1) / SLAB_COLUMNS;
    l.units = l.slabs * SLAB_UNITS;
    l.row_blocks = (int)((out + UNIT_ROWS - 1) / UNIT_ROWS);
    l.rows = false;
    return l;
}

LAYOUT bool is_regular(const IntegerLayout *l) {
    return l->group_columns % SLAB_COLUMNS == 0 ||
           (l->group_columns >= UNIT_COLUMNS && SLAB_COLUMNS % l->group_columns == 0);
}

// A regular layout is *plain* if padded columns are the columns themselves, and those come in whole fours (quads): then
// lane i of a warp has columns 4 i … of a slab, and segments are neighbouring lanes.
LAYOUT bool is_plain(const IntegerLayout *l) {
    return is_regular(l) && l->in % 4 == 0 && (l->groups == 1 || l->group == l->group_columns) &&
           l->slabs == (l->in + SLAB_COLUMNS - 1) / SLAB_COLUMNS;
}

// At most 2^this groups have a part in one slab; exactly as many, or one, in a regular layout.
LAYOUT int slab_slot_bits(const IntegerLayout *l) {
    int units = l->group_columns / UNIT_COLUMNS;
    return units == 0 ? 3 : units % SLAB_UNITS == 0 ? 0 : units == 2 ? 1 : 2;
}

// ---- Weights ----

LAYOUT int unit_bytes(int bits) { return UNIT_ROWS * UNIT_COLUMNS * bits / 8; }
LAYOUT size_t slab_bytes(int bits) { return (size_t)SLAB_UNITS * (size_t)unit_bytes(bits); }
LAYOUT size_t codes_bytes(const IntegerLayout *l) {
    return (size_t)l->row_blocks * (size_t)l->slabs * slab_bytes(l->bits);
}

// Where slab `slab` of a row block begins.
LAYOUT size_t slab_offset(const IntegerLayout *l, int row_block, int slab) {
    return ((size_t)row_block * (size_t)l->slabs + (size_t)slab) * slab_bytes(l->bits);
}

// Column of W that stands at a padded column, or −1 for padding.
LAYOUT int column_at(const IntegerLayout *l, int padded) {
    int group = padded / l->group_columns, within = padded % l->group_columns;
    int column = group * l->group + within;
    return group < l->groups && within < l->group && column < l->in ? column : -1;
}

LAYOUT int padded_of(const IntegerLayout *l, int column) {
    return column / l->group * l->group_columns + column % l->group;
}

// Which lane and which of its 16 weights of a unit hold (row, column), both within the unit. Weight 4 r + j is byte j
// of register r.
LAYOUT int unit_lane(int row, int column) { return row % 8 * 4 + column % 16 / 4; }
LAYOUT int unit_slot(int row, int column) { return (column / 16 * 2 + row / 8) * 4 + column % 4; }

// The bits of one weight within its slab: the byte, the lowest bit, how many. At 3 bits `part` 1 is the high bit.
typedef struct CodePlace {
    int byte, bit, count;
} CodePlace;

// unit: 0 … 3 within the slab. Words of a lane and what they hold, register r byte j:
//     8 bits  word r, byte j
//     4 bits  word r / 2, byte j, nibble r % 2
//     2 bits  byte j, pair r
//     3 bits  the low two bits as at 2 bits; the high one in a half word, bit 4 j + r
LAYOUT CodePlace code_place(int bits, int unit, int lane, int slot, int part) {
    int r = slot / 4, j = slot % 4;
    CodePlace p;
    if (bits == 8) {
        p.byte = unit * 512 + lane * 16 + r * 4 + j;
        p.bit = 0;
        p.count = 8;
    } else if (bits == 4) {
        p.byte = unit * 256 + lane * 8 + r / 2 * 4 + j;
        p.bit = r % 2 * 4;
        p.count = 4;
    } else if (bits == 2 || part == 0) {
        p.byte = unit * 128 + lane * 4 + j;
        p.bit = r * 2;
        p.count = 2;
    } else {
        int bit = 4 * j + r;
        p.byte = 512 + unit * 64 + lane * 2 + bit / 8;
        p.bit = bit % 8;
        p.count = 1;
    }
    return p;
}

// Puts a code (two's complement, `bits` wide) into a slab whose bytes were zero.
LAYOUT void put_code(int bits, uint8_t *slab, int unit, int lane, int slot, int code) {
    CodePlace low = code_place(bits, unit, lane, slot, 0);
    slab[low.byte] = (uint8_t)(slab[low.byte] | ((unsigned)code & ((1u << low.count) - 1)) << low.bit);
    if (bits == 3) {
        CodePlace high = code_place(bits, unit, lane, slot, 1);
        slab[high.byte] = (uint8_t)(slab[high.byte] | ((unsigned)code >> 2 & 1u) << high.bit);
    }
}

LAYOUT int get_code(int bits, const uint8_t *slab, int unit, int lane, int slot) {
    CodePlace low = code_place(bits, unit, lane, slot, 0);
    int code = slab[low.byte] >> low.bit & ((1 << low.count) - 1);
    if (bits == 3) {
        CodePlace high = code_place(bits, unit, lane, slot, 1);
        code |= (slab[high.byte] >> high.bit & 1) << 2;
    }
    return code >= 1 << (bits - 1) ? code - (1 << bits) : code;
}

// The code of (row, padded column) in packed weights.
LAYOUT int packed_code(const IntegerLayout *l, const uint8_t *codes, int row, int padded) {
    int unit = padded / UNIT_COLUMNS, r = row % UNIT_ROWS, c = padded % UNIT_COLUMNS;
    const uint8_t *slab = codes + slab_offset(l, row / UNIT_ROWS, unit / SLAB_UNITS);
    return get_code(l->bits, slab, unit % SLAB_UNITS, unit_lane(r, c), unit_slot(r, c));
}

// Four codes of register r as signed bytes times 2^(8 − bits), from the words of the lane: `low` is the word that
// code_place names, `high` (3 bits) the half word of the unit.
LAYOUT uint32_t widened_codes(int bits, uint32_t low, uint32_t high, int r) {
    switch (bits) {
    case 8: return low;
    case 4: return (r % 2 ? low : low << 4) & 0xF0F0F0F0u;
    case 2: return low << (6 - 2 * r) & 0xC0C0C0C0u;
    default: break;
    }
    // Bit 4 j + r of the half word goes to bit 8 j + 7: spread nibbles to bytes, then move up.
    uint32_t spread = (high | high << 8) & 0x00FF00FFu;
    spread = (spread | spread << 4) & 0x0F0F0F0Fu;
    return ((low << (6 - 2 * r) & 0xC0C0C0C0u) >> 1 & 0x60606060u) | (spread << (7 - r) & 0x80808080u);
}

// ---- Weights as 16-bit floats ----

// Two codes of register r, plus 2^(bits − 1), in the lower bits of two halves of a word, from bit code_place_in_half
// on: those of bytes 0 and 2, or 1 and 3 (odd). The words of the lane as above, but all of them.
LAYOUT int code_place_in_half(int bits, int r) { return r % 2 == 0 || bits == 8 ? 0 : bits == 4 ? 4 : 2; }
LAYOUT uint32_t code_pair(int bits, const uint32_t *words, uint32_t high, int r, int odd) {
    const int per_word = bits == 8 ? 1 : bits == 4 ? 2 : 4, place = code_place_in_half(bits, r);
    const uint32_t mask = bits == 8 ? 0x00FF00FFu : bits == 4 ? 0x000F000Fu : 0x00030003u;
    const uint32_t signs = bits == 8 ? 0x80808080u : bits == 4 ? 0x88888888u : bits == 2 ? 0xAAAAAAAAu : 0;
    const uint32_t low = (words[r / per_word] ^ signs) >> (odd * 8 + (bits < 4 ? r / 2 * 4 : 0));
    if (bits != 3) return low & mask << place;
    // Bits 4 j + r of the half word: those of j and j + 2 go above the other two of their code.
    const uint32_t spread = ((~high & 0x00FFu) | (~high & 0xFF00u) << 8) >> odd * 4;
    return (low & mask << place) | (spread << (4 + place) >> (r + 2) & 0x00040004u << place);
}

// ---- Scales ----

LAYOUT int scale_slot(int row) { return row % 8 * 2 + row % UNIT_ROWS / 8; }
LAYOUT size_t scale_index(const IntegerLayout *l, int row, int group) {
    return ((size_t)(row / UNIT_ROWS) * (size_t)l->groups + (size_t)group) * UNIT_ROWS + (size_t)scale_slot(row);
}
LAYOUT size_t scale_count(const IntegerLayout *l) { return (size_t)l->row_blocks * (size_t)l->groups * UNIT_ROWS; }

// ---- Activations ----

LAYOUT int token_blocks(int tokens) { return (tokens + TOKEN_BLOCK - 1) / TOKEN_BLOCK; }
LAYOUT int padded_tokens(int tokens) { return token_blocks(tokens) * TOKEN_BLOCK; }
LAYOUT bool is_paired(const IntegerLayout *l, int planes, int tokens) {
    return planes == 2 && tokens <= PAIRED_TOKENS && is_regular(l);
}

// In rows: [blocks of columns][padded tokens][128 bytes], as wgmma takes operand B from shared memory with a swizzle of
// 128 bytes: of a token the 16 bytes n stand at n ^ token % 8. A block has 128 columns of int8, or 64 of 16-bit floats,
// those in the order of the weights.
enum { F16_BLOCK_COLUMNS = 64, X_ROW_BYTES = 128, X_ROW_WORDS = 8, SWIZZLE_BYTES = 1024 };
LAYOUT int f16_position(int column) { return column / 16 * 16 + column % 2 * 8 + column % 16 / 2; }
LAYOUT int x_swizzled(int token, int byte) { return (byte / 16 ^ token % 8) * 16 + byte % 16; } // bytes of a row
LAYOUT size_t x_row(int tokens, int token, int block) {
    return ((size_t)block * (size_t)padded_tokens(tokens) + (size_t)token) * X_ROW_BYTES;
}

// First byte of the four codes of padded columns 4 quad … + 3 of one of `tokens` tokens, by shifts. paired: is_paired.
LAYOUT size_t quad_offset(const IntegerLayout *l, int planes, int tokens, bool paired, int plane, int token, int quad) {
    if (planes == 1 && l->rows) return x_row(tokens, token, quad / 32) + (size_t)x_swizzled(token, quad % 32 * 4);
    const unsigned unit = (unsigned)quad / 8, c = (unsigned)quad % 8, block = (unsigned)token / TOKEN_BLOCK;
    size_t fragment = (size_t)block * (size_t)l->units + unit;
    unsigned column = (unsigned)token % TOKEN_BLOCK;
    if (paired)
        column = (unsigned)token * 2 + (unsigned)plane;
    else
        fragment = fragment * (size_t)planes + (size_t)plane;
    return fragment * 256 + (size_t)((column * 4 + c % 4) * 8 + c / 4 * 4);
}
LAYOUT size_t activation_offset(const IntegerLayout *l, int planes, int tokens, int plane, int token, int padded) {
    return quad_offset(l, planes, tokens, is_paired(l, planes, tokens), plane, token, padded / 4);
}
LAYOUT size_t activation_bytes_of(const IntegerLayout *l, int planes, int tokens) {
    return (size_t)token_blocks(tokens) * (size_t)l->units * (size_t)planes * 256;
}

// Segments: groups for one plane; for several what a group and a slab have in common, with as many numbers for each
// slab as there may be, so that some segments may be empty.
LAYOUT int segment_count(const IntegerLayout *l, int planes) {
    return planes == 1 ? l->groups : l->slabs << slab_slot_bits(l);
}

typedef struct Segment {
    int group, from, end; // padded columns; none: from is end
} Segment;

LAYOUT Segment segment_at(const IntegerLayout *l, int planes, int segment) {
    const int bits = slab_slot_bits(l), slab = segment >> bits;
    Segment s;
    s.group = planes == 1 ? segment : slab * SLAB_COLUMNS / l->group_columns + segment - (slab << bits);
    s.from = s.group * l->group_columns;
    s.end = s.from + l->group_columns;
    if (planes == 1) return s;
    if (s.from < slab * SLAB_COLUMNS) s.from = slab * SLAB_COLUMNS;
    if (s.end > (slab + 1) * SLAB_COLUMNS) s.end = (slab + 1) * SLAB_COLUMNS;
    if (s.group >= l->groups || s.end < s.from) s.end = s.from;
    return s;
}
// Sums of codes that zero points need: two planes are summed as the numbers they stand for, three would not fit.
LAYOUT int sum_planes(int planes) { return planes == 3 ? 3 : 1; }

#endif
