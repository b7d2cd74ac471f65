// Products of int8 activations and many tokens by warpgroups. As in kernels_integer.h Σ q_w q_x of a group is a whole
// number and groups are added in order, so that the result is that of the CPU to the last bit. Weights are widened once
// for all tokens of a block.
//
// Where there is one group, or all groups have whole factors (two-level grid), a product is a whole number until the
// end. Then blocks share the columns, in any order, and what they find is scaled when it is added up.
#pragma once

#include "kernels/cuda/kernels_slabs.h"

typedef int32_t WholeSums[INT8_MOST_TOKENS][4];
typedef float OrderedTotals[INT8_MOST_TOKENS][4]; // with factors whole numbers

enum { ONE_GROUP = FACTORS + 1 }; // in place of levels: whole numbers are added, and nothing else

// Adds what a group comes to.
DEVICE void add_group_with(const int bits, const int levels, const int nb, const IntegerArguments *a,
                           const uint8_t *stage, const uint8_t *own, int slot, WholeSums sums, OrderedTotals totals) {
    const int warp = threadIdx.x / WARP, tokens = nb * TOKEN_BLOCK, first = slot * tokens + (int)threadIdx.x % 4 * 2;
    float scale[2];
    int level[2];
    level[0] = level[1] = 1;
    if (levels != ONE_GROUP) scale_pair(levels, a, own, (warp << a->stage.slot_bits) + slot, scale, level);
    // What codes are multiplied by (integer_layout.h) is taken back from the scale, where nothing else is to be added:
    // that is exact from 2^−120 on.
    if (levels == NO_LEVELS) UNROLL for (int i = 0; i < 2; i++) scale[i] *= 1.0f / (1 << (8 - bits));
    UNROLL for (int b = 0; b < nb; b++) UNROLL for (int i = 0; i < 4; i++) {
        const int32_t x = x_sum_at(levels, a, stage, first + b * TOKEN_BLOCK + i % 2);
        const int32_t s = levels == NO_LEVELS ? sums[b][i] : sums[b][i] >> (8 - bits);
        if (levels >= FACTORS)
            totals[b][i] = with_term(FACTORS, totals[b][i], group_term(FACTORS, 0, level[i / 2], s, 0));
        else
            totals[b][i] = with_term(levels, totals[b][i], group_term(levels, scale[i / 2], level[i / 2], s, x));
    }
}

DEVICE void add_group(const int bits, const int nb, const IntegerArguments *a, const uint8_t *stage, const uint8_t *own,
                      int slot, WholeSums sums, OrderedTotals totals) {
    if (a->whole && a->levels != FACTORS)
        add_group_with(bits, ONE_GROUP, nb, a, stage, own, slot, sums, totals);
    else if (a->levels == ZERO_POINTS)
        add_group_with(bits, ZERO_POINTS, nb, a, stage, own, slot, sums, totals);
    else if (a->levels == FACTORS)
        add_group_with(bits, FACTORS, nb, a, stage, own, slot, sums, totals);
    else
        add_group_with(bits, NO_LEVELS, nb, a, stage, own, slot, sums, totals);
}

// A slab whose groups have `units` units, or that belongs to one, which may begin and end here.
DEVICE void int8_slab(const int bits, const int units, const int nb, const IntegerArguments *a, const uint8_t *stage,
                      const uint8_t *own, int slab, bool begins, bool ends, WholeSums sums, OrderedTotals totals) {
    const uint8_t *weights = own + (int)threadIdx.x / WARP * (int)slab_bytes(bits);
    const uint64_t x = matrix_descriptor(stage);
    uint32_t fragments[SLAB_UNITS][4];
    UNROLL for (int slot = 0; slot < SLAB_UNITS / units; slot++) {
        if (units < SLAB_UNITS && slab * (SLAB_UNITS / units) + slot >= a->layout.groups) return; // padding
        UNROLL for (int u = 0; u < units; u++) unit_fragment(bits, weights, slot * units + u, fragments[u]);
        WARPGROUP_FENCE();
        UNROLL for (int u = 0; u < units; u++) warpgroup_multiply_int8(
            nb, sums, fragments[u], matrix_behind(x, 32 * (slot * units + u)), u > 0 || !begins);
        WARPGROUP_COMMIT();
        WARPGROUP_WAIT(0);
        if (ends) add_group(bits, nb, a, stage, own, slot, sums, totals);
    }
}

DEVICE void store_totals(const int nb, const IntegerArguments *a, const SlabTile *t, OrderedTotals totals) {
    const int lane = threadIdx.x % WARP, split = (int)blockIdx.y;
    const int first = (t->share.row_block + (int)threadIdx.x / WARP) * UNIT_ROWS + lane / 4;
    UNROLL for (int b = 0; b < nb; b++) UNROLL for (int i = 0; i < 4; i++) {
        const int row = first + i / 2 * 8, token = t->token + b * TOKEN_BLOCK + lane % 4 * 2 + i % 2;
        store_output(!a->whole, a, &t->share, split, row, token, totals[b][i]);
    }
}

// A chain is cut between groups, so that only totals are handed on.
DEVICE void int8_piece(const int bits, const int nb, const IntegerArguments *a, const Piece *piece, Ring *ring) {
    const int group_slabs = slabs_of_group(&a->layout), end = piece->end;
    SlabTile t = slab_tile(nb, 1, true, a, piece->tile, piece->from);
    WholeSums sums;
    OrderedTotals totals;
    UNROLL for (int b = 0; b < nb; b++) UNROLL for (int i = 0; i < 4; i++) totals[b][i] = 0, sums[b][i] = 0;
    if (piece->taken) take_sums(nb, false, a, ring, totals);
    ring_begin(bits, nb, 1, a, piece, &t, ring);
    for (int slab = piece->from, within = piece->from % group_slabs; slab < end; slab++) {
        const bool begins = within == 0 || slab == piece->from, ends = within + 1 == group_slabs || slab + 1 == end;
        const uint8_t *stage = ring_wait(a, ring), *own = ring->own + ring->own_at * a->stage.own_bytes;
        switch (a->stage.slot_bits) {
        case 0: int8_slab(bits, 4, nb, a, stage, own, slab, begins, ends, sums, totals); break;
        case 1: int8_slab(bits, 2, nb, a, stage, own, slab, true, true, sums, totals); break;
        default: int8_slab(bits, 1, nb, a, stage, own, slab, true, true, sums, totals); break;
        }
        within = within + 1 < group_slabs ? within + 1 : 0;
        ring_leave(ring, ring->at);
        if (t.slab < end) {
            if (threadIdx.x < WARP) copy_for_pair(nb, 1, a, &t, ring, a->stages - 1);
            ring_copy_own(bits, 1, a, &t, ring);
        }
        ring_step_own(a, ring);
        ring_step(a, ring);
    }
    spoil_if_late(nb, ring, totals);
    if (piece->left)
        leave_sums(nb, a, totals);
    else
        store_totals(nb, a, &t, totals);
}

DEVICE void int8_by_pairs(const int bits, const int nb, const IntegerArguments *a, uint8_t *memory) {
    Ring ring = ring_of(a, memory);
    Pieces all = pieces_of(a, (int)blockIdx.x / 2, (int)blockIdx.y);
    Piece piece;
    while (next_piece(a, &all, &piece)) int8_piece(bits, nb, a, &piece, &ring);
    pair_barrier(); // or one would bring something to a block that is over
}

// ---- Sums of whole numbers ----

DEVICE float scaled_whole(const IntegerArguments *a, const IntegerRows *w, int row, int token, int32_t whole) {
    if (a->levels == FACTORS) return ((const float *)w->scales)[row] * (float)whole;
    const size_t at = scale_index(&a->layout, row, 0); // of the only group
    const float scale = element_at(a->scale_dtype, w->scales, at);
    if (a->levels == ZERO_POINTS) return group_term(ZERO_POINTS, scale, w->levels[at], whole, a->x_sums[token]);
    return group_term(NO_LEVELS, scale, 0, whole, 0);
}

KERNEL(reduce_whole_kernel, FLAT_THREADS, ReduceWholeArguments) {
    const ReduceOutputs *to = &a.reduce.each[blockIdx.y];
    const IntegerRows *w = &a.product.each[blockIdx.y].rows;
    const size_t n = (size_t)a.reduce.tokens * to->out;
    for (size_t i = FLAT_INDEX; i < n; i += FLAT_STRIDE) {
        const int row = (int)(i % to->out), token = (int)(i / to->out);
        uint32_t whole = 0;
        for (int s = 0; s < a.reduce.splits; s++) whole += ((const uint32_t *)to->parts)[(size_t)s * n + i];
        const float y = scaled_whole(&a.product, w, row, token, (int32_t)whole) * a.product.x_scales[token];
        to->y[i] = to->bias ? y + to->bias[row] : y;
    }
}

// ---- The kernels, by bits and tokens ----

#define INT8_KERNEL(NAME, BITS, NB, BLOCKS)                         \
    PAIR_KERNEL(NAME, SLAB_WARPS *WARP, BLOCKS, IntegerArguments) { \
        SWIZZLED_SHARED(memory);                                    \
        NEEDS_WARPGROUPS();                                         \
        int8_by_pairs(BITS, NB, &a, memory);                        \
    }
#define INT8_KERNELS(BITS)                                                   \
    INT8_KERNEL(int8_##BITS##_2, BITS, 2, 2)                                 \
    INT8_KERNEL(int8_##BITS##_4, BITS, 4, 2)                                 \
    INT8_KERNEL(int8_##BITS##_8, BITS, 8, 2)                                 \
    INT8_KERNEL(int8_##BITS##_16, BITS, 16, 1)                               \
    static int launch_int8_##BITS(void *stream, const IntegerArguments *a) { \
        switch (a->tile.tokens) {                                            \
        case 2: return LAUNCH_RINGS(int8_##BITS##_2);                        \
        case 4: return LAUNCH_RINGS(int8_##BITS##_4);                        \
        case 8: return LAUNCH_RINGS(int8_##BITS##_8);                        \
        default: return LAUNCH_RINGS(int8_##BITS##_16);                      \
        }                                                                    \
    }

INT8_KERNELS(2)
INT8_KERNELS(3)
INT8_KERNELS(4)
INT8_KERNELS(8)

LAUNCH_BY_BITS(launch_int8_by_warpgroups, launch_int8)

static int launch_reduce_whole(void *stream, const ReduceWholeArguments *a) {
    int most = 0;
    for (int i = 0; i < a->reduce.weights; i++) most = a->reduce.each[i].out > most ? a->reduce.each[i].out : most;
    Extent grid = flat_extent((size_t)a->reduce.tokens * (size_t)most);
    grid.y = (unsigned)a->reduce.weights;
    return LAUNCH(reduce_whole_kernel, grid, FLAT_THREADS, 0, stream, a);
}
