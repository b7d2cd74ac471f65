// What products share whose warps take 16 rows each and all tokens of their block, with activations in rows of 128
// bytes for each token (integer_layout.h): one block of columns for a slab of int8, two for one of 16-bit floats. Slabs
// pass through shared memory in stages:
//
//     stage   weights [8 row blocks][slab] │ activations [blocks of columns][tokens][128 bytes] │ scales │ levels │
//     sums
//
// By warpgroups blocks run in pairs, so that activations come from the second-level cache once for 256 rows. Then
// weights, scales and levels have stages of their own.
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

// pair: with the rows of `tile` for two blocks, of which this one takes its own. blocks: of columns, of a slab.
DEVICE SlabTile slab_tile(const int nb, const int blocks, const bool pair, const IntegerArguments *a, int tile,
                          int slab) {
    const IntegerLayout *l = &a->layout;
    const int warp = threadIdx.x / WARP, lane = threadIdx.x % WARP, padded = padded_tokens(a->tokens),
              along = (token_blocks(a->tokens) + nb - 1) / nb;
    SlabTile t;
    t.token = share_of(a, tile, pair ? PAIR_ROW_BLOCKS : SLAB_WARPS, along, &t.share) * nb * TOKEN_BLOCK;
    if (pair) t.share.row_block += (int)blockIdx.x % 2 * SLAB_WARPS;
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

// The first group that has a part in the next slab.
DEVICE int slab_group(const IntegerArguments *a, const SlabTile *t) {
    return a->stage.slot_bits ? t->slab << a->stage.slot_bits : t->group;
}

// Each warp copies the next slab of its row block. Behind the last group is padding, whose codes are 0 and whose scale
// may be any.
DEVICE void copy_weights(const int bits, const IntegerArguments *a, const SlabTile *t, uint8_t *stage) {
    const int warp = threadIdx.x / WARP, lane = threadIdx.x % WARP, words = slab_words(bits);
    const int group = slab_group(a, t) + t->slot, last = a->layout.groups - 1;
    uint8_t *to = stage + (warp * words + lane) * 16;
    UNROLL for (int n = 0; n < words; n += WARP) if (n + lane < words) copy_begin(to + n * 16, t->codes + n * 16);
    if (t->side_bytes)
        copy_begin(stage + t->side_to, t->side + (uint32_t)((group < last ? group : last) * t->side_bytes));
}

DEVICE void next_slab(const int bits, const int blocks, const IntegerArguments *a, SlabTile *t) {
    t->codes += slab_words(bits) * 16;
    t->x += blocks * t->x_bytes;
    t->slab++;
    if (--t->left == 0) t->group++, t->left = slabs_of_group(&a->layout);
}

// The next slab: all warps copy the activations.
DEVICE void slab_copy(const int bits, const int nb, const int blocks, const IntegerArguments *a, SlabTile *t,
                      uint8_t *stage) {
    const int x_words = nb * TOKEN_BLOCK * X_ROW_WORDS, thread = (int)threadIdx.x;
    uint8_t *to = stage + a->stage.x + thread * 16;
    copy_weights(bits, a, t, stage);
    UNROLL for (int n = 0; n < blocks * x_words; n += SLAB_WARPS * WARP) {
        const int word = (n + thread) % x_words;
        if (word < t->x_words && n + thread < blocks * x_words)
            copy_begin_shared(to + n * 16, t->x + (n + thread < x_words ? 0 : t->x_bytes) + word * 16);
    }
    next_slab(bits, blocks, a, t);
}

// ---- A pair of blocks ----
//
// Two blocks with neighbouring rows and the same tokens bring each other half of the activations. Slabs go round in the
// stages as in a ring. Of each there are two arrivals: what both blocks need *is there*, or all warps of both have
// *left* it. Weights are each warp's own, so that no warp has to wait for another one: as soon as it has widened those
// of a slab others take their place.

typedef struct Ring {
    uint8_t *memory, *own;  // what both need, what is each warp's own
    uint64_t *there, *left; // [stages]
    uint32_t *late;         // set: something was waited for in vain
    int at, phase;          // of the slab that comes next
    int own_at;             // the same among what is each warp's own
} Ring;

DEVICE Ring ring_of(const IntegerArguments *a, uint8_t *memory) {
    Ring r;
    r.memory = memory;
    r.own = memory + a->stages * a->stage.bytes;
    r.there = (uint64_t *)(void *)(r.own + (a->stages - 1) * a->stage.own_bytes);
    r.left = r.there + RING_STAGES;
    r.late = (uint32_t *)(void *)(r.left + RING_STAGES);
    r.at = r.phase = r.own_at = 0;
    if ((int)threadIdx.x < a->stages) {
        arrival_begin(r.there + threadIdx.x, 1);
        arrival_begin(r.left + threadIdx.x, 2 * SLAB_WARPS);
    }
    if (threadIdx.x == 0) *r.late = 0;
    pair_barrier();
    return r;
}

// This block's half of `bytes`, which come to both.
DEVICE void copy_half(uint8_t *to, const uint8_t *from, int bytes, uint64_t *arrival) {
    const int half = (int)blockIdx.x % 2 * (bytes / 2);
    copy_to_pair(to + half, from + half, bytes / 2, arrival);
}

// The stage so many behind the next one, fewer than there are.
DEVICE int ring_stage(const IntegerArguments *a, const Ring *r, int behind) {
    const int to = r->at + behind;
    return to < a->stages ? to : to - a->stages;
}

// What both blocks need of the next slab, by one warp: activations and, where zero points take them, their sums in each
// group.
DEVICE void copy_for_pair(const int nb, const int blocks, const IntegerArguments *a, const SlabTile *t, const Ring *r,
                          int behind) {
    const int to = ring_stage(a, r, behind), phase = r->phase ^ (to < r->at);
    uint8_t *stage = r->memory + to * a->stage.bytes;
    const int most = nb * TOKEN_BLOCK, rest = t->x_words / X_ROW_WORDS, tokens = rest < most ? rest : most,
              group = slab_group(a, t), groups = a->layout.groups - group, slots = 1 << a->stage.slot_bits,
              sums = blocks > 1 || a->levels != ZERO_POINTS ? 0
                     : groups < slots                       ? groups
                                                            : slots;
    const int32_t *from = a->x_sums + (size_t)group * padded_tokens(a->tokens) + t->token;
    uint64_t *there = r->there + to;
    arrival_wait(r->left + to, phase ^ 1, r->late);
    if (threadIdx.x != 0 || is_set(r->late)) return;
    arrival_expect(there, blocks * tokens * X_ROW_BYTES + sums * tokens * 4);
    UNROLL for (int n = 0; n < blocks; n++)
        copy_half(stage + n * most * X_ROW_BYTES, t->x + n * t->x_bytes, tokens * X_ROW_BYTES, there);
    UNROLL_BY(1)
    for (int n = 0; n < sums; n++)
        copy_half(stage + a->stage.x_sums + n * most * 4,
                  (const uint8_t *)(from + (size_t)n * padded_tokens(a->tokens)), tokens * 4, there);
}

// What is this warp's own, in the place of what it has done with; behind copy_for_pair.
DEVICE void ring_copy_own(const int bits, const int blocks, const IntegerArguments *a, SlabTile *t, const Ring *r) {
    copy_weights(bits, a, t, r->own + r->own_at * a->stage.own_bytes);
    next_slab(bits, blocks, a, t);
}

DEVICE void ring_step_own(const IntegerArguments *a, Ring *r) {
    COPY_COMMIT();
    r->own_at++;
    if (r->own_at == a->stages - 1) r->own_at = 0;
}

// The first slabs of a piece.
DEVICE void ring_begin(const int bits, const int nb, const int blocks, const IntegerArguments *a, const Piece *piece,
                       SlabTile *t, Ring *r) {
    for (int i = 0; i < a->stages - 1; i++) {
        if (t->slab < piece->end) {
            if (threadIdx.x < WARP) copy_for_pair(nb, blocks, a, t, r, i);
            ring_copy_own(bits, blocks, a, t, r);
        }
        ring_step_own(a, r);
    }
}

// The slab that comes next: what this warp copied of it is there, and what the pair did.
DEVICE const uint8_t *ring_wait(const IntegerArguments *a, const Ring *r) {
    wait_for_copies(a->stages - 2);
    warp_barrier();
    arrival_wait(r->there + r->at, r->phase, r->late);
    return r->memory + r->at * a->stage.bytes;
}

// This warp has done with the stage; lanes 0 and 1 tell both blocks.
DEVICE void ring_leave(const Ring *r, int stage) {
    warp_barrier();
    if (threadIdx.x % WARP < 2) arrival_tell(r->left + stage, (int)threadIdx.x % WARP);
}

DEVICE void ring_step(const IntegerArguments *a, Ring *r) {
    r->at++;
    if (r->at == a->stages) r->at = 0, r->phase ^= 1;
}

// What is wrong must not look right: NaN, or as a whole number a huge one.
DEVICE void spoil_if_late(const int nb, const Ring *r, float (*sums)[4]) {
    if (!is_set(r->late)) return;
    UNROLL for (int b = 0; b < nb; b++) UNROLL for (int i = 0; i < 4; i++) sums[b][i] = NAN;
}

// Where a block leaves sums for the block with the same rows of the next pair: of a block of tokens four of each
// thread.
DEVICE float4 *chain_place(const int nb, const IntegerArguments *a, int block) {
    return (float4 *)a->chain.sums + (size_t)block * nb * SLAB_WARPS * WARP + threadIdx.x;
}

DEVICE void leave_sums(const int nb, const IntegerArguments *a, float (*sums)[4]) {
    float4 *to = chain_place(nb, a, (int)blockIdx.x);
    UNROLL for (int b = 0; b < nb; b++) {
        float4 v;
        v.x = sums[b][0], v.y = sums[b][1], v.z = sums[b][2], v.w = sums[b][3];
        to[b * SLAB_WARPS * WARP] = v;
    }
    __syncthreads();
    if (threadIdx.x == 0) flag_set(a->chain.flags + blockIdx.x);
}

// Those of the pair before, in place of what is there, or added to it.
DEVICE void take_sums(const int nb, const bool adds, const IntegerArguments *a, const Ring *r, float (*sums)[4]) {
    const float4 *from = chain_place(nb, a, (int)blockIdx.x - 2);
    if (threadIdx.x == 0) flag_take(a->chain.flags + blockIdx.x - 2, r->late);
    __syncthreads();
    UNROLL for (int b = 0; b < nb; b++) {
        const float4 v = from[b * SLAB_WARPS * WARP];
        sums[b][0] = adds ? v.x + sums[b][0] : v.x;
        sums[b][1] = adds ? v.y + sums[b][1] : v.y;
        sums[b][2] = adds ? v.z + sums[b][2] : v.z;
        sums[b][3] = adds ? v.w + sums[b][3] : v.w;
    }
}

// ---- Launches ----

#define LAUNCH_SLABS(NAME) LAUNCH(NAME, slab_grid(a), SLAB_WARPS *WARP, slab_shared(a), stream, a)
#define LAUNCH_RINGS(NAME) \
    LAUNCH_PAIRS(NAME, pair_grid(a), SLAB_WARPS *WARP, ring_bytes(&a->stage, a->stages), stream, a)

static Extent slab_grid(const IntegerArguments *a) {
    return extent(integer_blocks(a, SLAB_WARPS, a->tile.tokens), a->splits, 1);
}
static Extent pair_grid(const IntegerArguments *a) {
    return extent(2 * (a->chain.tiles > 0 ? (size_t)a->chain.pairs : pair_tiles(a)), a->splits, 1);
}
static size_t slab_shared(const IntegerArguments *a) { return (size_t)a->stages * (size_t)a->stage.bytes; }
