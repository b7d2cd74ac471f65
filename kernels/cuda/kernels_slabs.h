// What products share whose warps take 16 rows each and all tokens of their block, with activations in rows of 128
// bytes for each token (integer_layout.h): one block of columns for a slab of int8, two for one of 16-bit floats. Slabs
// pass through shared memory in stages:
//
//     stage   weights [8 row blocks][slab] │ activations [blocks of columns][tokens][128 bytes] │ scales │ levels
#pragma once

#include "kernels/cuda/kernels_integer.h"

// Where a lane's copies of the next slab come from, and what its warp multiplies.
typedef struct SlabTile {
    WeightShare share;
    int token;             // the first
    int row_block;         // of the warp; of those behind the last one, the last one
    const uint8_t *codes;  // of the row block
    const uint8_t *x;      // of the activations
    size_t x_bytes;        // of one block of columns
    int x_words;           // there are so many in a block from here on
    const uint8_t *side;   // scales or levels of the row block: one word of its first group
    int side_bytes;        // from one group to the next; 0: this lane copies none
    int side_to, slot;     // in the stage; which group of a slab
    int slab, group, left; // that comes next, the group that it begins with, and for how many slabs
} SlabTile;

DEVICE int slabs_of_group(const IntegerLayout *l) { return (l->group_columns + SLAB_COLUMNS - 1) / SLAB_COLUMNS; }

// At most 16 words of scales, and four of levels.
DEVICE void slab_side(const IntegerArguments *a, SlabTile *t) {
    const int warp = threadIdx.x / WARP, slots = 1 << a->stage.slot_bits;
    const int words = a->levels == FACTORS ? 0 : a->scale_dtype == ELEMENT_F32 ? 4 : 2, scales = slots * words;
    const size_t row = (size_t)t->row_block * a->layout.groups * UNIT_ROWS;
    const int n = threadIdx.x % WARP, level = n - scales;
    t->side = t->share.w.codes;
    t->side_bytes = t->side_to = t->slot = 0;
    if (n < scales) {
        t->side = (const uint8_t *)t->share.w.scales + row * words + n % words * 16;
        t->side_bytes = words * 16;
        t->slot = n / words;
        t->side_to = a->stage.scales + (warp * scales + n) * 16;
    } else if (a->levels != NO_LEVELS && level < slots) {
        t->side = (const uint8_t *)t->share.w.levels + row;
        t->side_bytes = 16;
        t->slot = level;
        t->side_to = a->stage.levels + (warp * slots + level) * 16;
    }
}

DEVICE SlabTile slab_tile(const int nb, const int blocks, const IntegerArguments *a, int slab) {
    const IntegerLayout *l = &a->layout;
    const int warp = threadIdx.x / WARP, lane = threadIdx.x % WARP, padded = padded_tokens(a->tokens),
              along = (token_blocks(a->tokens) + nb - 1) / nb;
    SlabTile t;
    t.token = share_of(a, (int)blockIdx.x, SLAB_WARPS, along, &t.share) * nb * TOKEN_BLOCK;
    const int last = t.share.row_blocks - 1, own = t.share.row_block + warp;
    t.row_block = own < last ? own : last;
    t.codes = t.share.w.codes + slab_offset(l, t.row_block, slab) + lane * 16;
    t.x = t.share.x + x_row(a->tokens, t.token, slab * blocks);
    t.x_bytes = (size_t)padded * X_ROW_BYTES;
    t.x_words = (padded - t.token) * X_ROW_WORDS;
    t.slab = slab;
    t.group = slab / slabs_of_group(l);
    t.left = (t.group + 1) * slabs_of_group(l) - slab;
    slab_side(a, &t);
    return t;
}

// The next slab: each warp copies its row block, and all of them the activations. Behind the last group is padding,
// whose codes are 0 and whose scale may be any.
DEVICE void slab_copy(const int bits, const int nb, const int blocks, const IntegerArguments *a, SlabTile *t,
                      uint8_t *stage) {
    const int warp = threadIdx.x / WARP, lane = threadIdx.x % WARP, words = slab_words(bits),
              slot_bits = a->stage.slot_bits;
    const int x_words = nb * TOKEN_BLOCK * X_ROW_WORDS, thread = (int)threadIdx.x;
    const int first = slot_bits ? (t->slab << slot_bits) + t->slot : t->group, last = a->layout.groups - 1;
    uint8_t *to = stage + (warp * words + lane) * 16, *x_to = stage + a->stage.x + thread * 16;
    UNROLL for (int n = 0; n < words; n += WARP) if (n + lane < words) copy_begin(to + n * 16, t->codes + n * 16);
    if (t->side_bytes)
        copy_begin(stage + t->side_to, t->side + (uint32_t)((first < last ? first : last) * t->side_bytes));
    UNROLL for (int n = 0; n < blocks * x_words; n += SLAB_WARPS * WARP) {
        const int word = (n + thread) % x_words;
        if (word < t->x_words && n + thread < blocks * x_words)
            copy_begin_shared(x_to + n * 16, t->x + (n + thread < x_words ? 0 : t->x_bytes) + word * 16);
    }
    t->codes += words * 16;
    t->x += blocks * t->x_bytes;
    t->slab++;
    if (--t->left == 0) t->group++, t->left = slabs_of_group(&a->layout);
}

// ---- Launches ----

#define LAUNCH_SLABS(NAME) LAUNCH(NAME, slab_grid(a), SLAB_WARPS *WARP, slab_shared(a), stream, a)

static Extent slab_grid(const IntegerArguments *a) {
    return extent(integer_blocks(a, SLAB_WARPS, a->tile.tokens), a->splits, 1);
}
static size_t slab_shared(const IntegerArguments *a) { return (size_t)a->stages * (size_t)a->stage.bytes; }
