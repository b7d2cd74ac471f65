// Weight-only products of many tokens in 16-bit floats. A weight is its code times its scale, rounded once to F16 in
// the registers of the lane that multiplies it; activations are F16, too; sums are F32. Weights lie as for integer
// products (integer_layout.h): what a lane holds of them is what it holds of operand A.
//
// Powers of two keep both within the range of F16. A row's weights are multiplied by one that takes its largest scale
// to 2^−10 … 2^−9, a token by one that takes its largest value to 2^14 … 2^15. Outputs are divided by both, which is
// exact. Values that are more than 2^28 times smaller than their token's largest lose bits, and so do weights of groups
// whose scale is more than 2^5 (2 bits) … 2^11 (8 bits) times smaller than their row's largest: they are whole
// multiples of 2^−14 (2 bits) … 2^−20 (8 bits) of its largest weight.
//
// A block computes 128 rows, 16 a warp, of up to 64 tokens, or by warpgroups of 64 to 256 (kernels_slabs.h).
#pragma once

#include "kernels/cuda/kernels_slabs.h"

enum { F16_STEPS = 4 }; // multiplications for a block of 64 columns

// ---- Activations, and the powers of the rows ----

// 2^14 … 2^15 / most as a float, most ≥ 0 and finite.
DEVICE float token_power(float most) {
    const uint32_t exponent = __float_as_uint(most) >> 23;
    return __uint_as_float((268 - (exponent < 15 ? 15 : exponent)) << 23);
}
DEVICE float power_inverse(float power) { return __uint_as_float((254u << 23) - __float_as_uint(power)); }

enum { ACTIVATION_COLUMNS = 4 }; // of a thread at a time

// A block takes a token.
KERNEL(f16_activations_kernel, MOST_ROW_THREADS, F16Arguments) {
    SHARED(float, scratch, WARP);
    const IntegerLayout *l = &a.layout;
    const int token = (int)blockIdx.x, columns = l->units * UNIT_COLUMNS;
    const float *x = a.x + (size_t)token * l->in;
    const uint32_t most = largest_of_row(x, NULL, l->in, scratch);
    const bool finite = most < NOT_FINITE;
    const float power = finite ? token_power(__uint_as_float(most)) : 0;
    for (int padded = threadIdx.x * ACTIVATION_COLUMNS; padded < columns;
         padded += (int)blockDim.x * ACTIVATION_COLUMNS) {
        uint8_t *row = (uint8_t *)a.y + x_row(a.tokens, token, padded / F16_BLOCK_COLUMNS);
        const int at = f16_position(padded % F16_BLOCK_COLUMNS);
        uint32_t bits[ACTIVATION_COLUMNS];
        UNROLL for (int j = 0; j < ACTIVATION_COLUMNS; j++) {
            const int column = finite ? column_at(l, padded + j) : -1;
            bits[j] = column < 0 ? 0 : f16_bits(x[column] * power);
        }
        *(uint32_t *)(row + x_swizzled(token, at * 2)) = bits[0] | bits[2] << 16;
        *(uint32_t *)(row + x_swizzled(token, at * 2 + 16)) = bits[1] | bits[3] << 16;
    }
    if (threadIdx.x == 0) a.scales[token] = finite ? power_inverse(power) : NAN;
}

enum { POWER_WARPS = 8 };

// A warp takes a row.
KERNEL(row_powers_kernel, POWER_WARPS *WARP, RowPowersArguments) {
    const int row = (int)blockIdx.x * POWER_WARPS + (int)threadIdx.x / WARP;
    float most = 0;
    if (row >= a.layout.row_blocks * UNIT_ROWS) return;
    for (int group = threadIdx.x % WARP; row < a.layout.out && group < a.layout.groups; group += WARP)
        most = fmaxf(most, fabsf(element_at(a.scale_dtype, a.scales, scale_index(&a.layout, row, group))));
    uint32_t exponent = __float_as_uint(warp_max(most)) >> 23;
    exponent = exponent < 15 ? 15 : exponent > 243 ? 243 : exponent;
    if (threadIdx.x % WARP == 0) a.powers[row] = __uint_as_float((244 - exponent) << 23);
}

// ---- Weights in registers ----

// What turns codes into weights, of rows lane / 4 and + 8; two halves to a word, both the same. A code u stands in the
// lowest bits of a half from bit `place` on, where it is the number u · 2^(place − 24) (code_pair). With u too large by
// m = 2^(bits − 1):
//
//     factor = scale · 2^(24 − place)     zero = −m · scale     w = u · 2^(place − 24) · factor + zero
//
// A zero point z is taken off first, together with m, for that sum is exact: w = (u − m − z) · 2^(place − 24) · factor.
typedef struct Widening {
    uint32_t factor[2], zero[2], less[2];
} Widening;

DEVICE uint32_t twice(uint32_t half) { return half | half << 16; }

// From slot `slot` of a stage; powers: of the two rows, times 2^(24 − place).
DEVICE void widening_of(const int bits, const bool points, const IntegerArguments *a, const uint8_t *stage, int slot,
                        const float *powers, Widening *w) {
    const int most = 1 << (bits - 1);
    float scale[2];
    int level[2];
    scale_pair(points ? ZERO_POINTS : NO_LEVELS, a, stage, slot, scale, level);
    UNROLL for (int i = 0; i < 2; i++) {
        const int place = code_place_in_half(bits, i);
        w->factor[i] = both_f16(scale[i] * powers[i]);
        if (points)
            w->less[i] = twice(0x8000u | (uint32_t)(most + level[i]) << place), w->zero[i] = twice(0x8000u);
        else
            w->zero[i] = multiply_add_f16(w->factor[i], twice(0x8000u | (uint32_t)most << place), 0);
    }
}

// The two fragments of a unit.
DEVICE void widen_unit(const int bits, const bool points, const uint8_t *slab, int unit, const Widening *w,
                       uint32_t (*fragments)[4]) {
    const uint32_t one = twice(0x3C00u);
    uint32_t words[4], high;
    unit_words(bits, slab, unit, words, &high);
    UNROLL for (int r = 0; r < 4; r++) UNROLL for (int odd = 0; odd < 2; odd++) {
        uint32_t pair = code_pair(bits, words, high, r, odd);
        if (points) pair = multiply_add_f16(pair, one, w->less[r % 2]);
        fragments[r / 2][odd * 2 + r % 2] = multiply_add_f16(pair, w->factor[r % 2], w->zero[r % 2]);
    }
}

// ---- A block ----

// Of rows lane / 4 and + 8 of this warp, as Widening takes them.
DEVICE void row_powers(const int bits, const SlabTile *t, float *powers) {
    UNROLL for (int i = 0; i < 2; i++) powers[i] =
        t->share.w.powers[t->row_block * UNIT_ROWS + (int)threadIdx.x % WARP / 4 + i * 8] *
        (float)(1 << (24 - code_place_in_half(bits, i)));
}

// The weights of half a slab, 64 columns, of this warp.
DEVICE void widen_half(const int bits, const bool points, const IntegerArguments *a, const float *powers,
                       const uint8_t *stage, int half, Widening *w, uint32_t (*fragments)[4]) {
    const int warp = threadIdx.x / WARP, slot_bits = a->stage.slot_bits;
    UNROLL for (int unit = half * 2; unit < half * 2 + 2; unit++) {
        if (unit == 0 || slot_bits == 2 || (unit == 2 && slot_bits == 1))
            widening_of(bits, points, a, stage, (warp << slot_bits) + (unit >> (2 - slot_bits)), powers, w);
        widen_unit(bits, points, stage + warp * (int)slab_bytes(bits), unit, w, fragments + (unit - half * 2) * 2);
    }
}

// Sixteen columns of all tokens, whose 32 bytes of the first token begin in word `word` of its row.
DEVICE void multiply_tokens(const int nb, const uint32_t *fragment, const uint8_t *x, int word, float (*sums)[4]) {
    const int lane = threadIdx.x % WARP, token = lane / 16 * 8 + lane % 8;
    const uint8_t *row = x + token * X_ROW_BYTES + ((word + lane / 8 % 2) ^ lane % 8) * 16;
    UNROLL for (int b = 0; b < nb; b += 2) {
        uint32_t columns[4];
        load_matrices(columns, row + b * TOKEN_BLOCK * X_ROW_BYTES);
        multiply_f16(sums[b], fragment, columns);
        multiply_f16(sums[b + 1], fragment, columns + 2);
    }
}

DEVICE void store_tile(const int bits, const int nb, const IntegerArguments *a, const SlabTile *t, const float *powers,
                       int split, float (*sums)[4]) {
    const int lane = threadIdx.x % WARP, row = (t->share.row_block + (int)threadIdx.x / WARP) * UNIT_ROWS + lane / 4;
    float back[2];
    UNROLL for (int i = 0; i < 2; i++) back[i] =
        power_inverse(powers[i]) * (float)(1 << (24 - code_place_in_half(bits, i)));
    UNROLL for (int b = 0; b < nb; b++) UNROLL for (int i = 0; i < 4; i++) {
        const int token = t->token + b * TOKEN_BLOCK + lane % 4 * 2 + i % 2;
        if (token < t->share.tokens)
            store_output(false, a, &t->share, split, row + i / 2 * 8, token,
                         sums[b][i] * back[i / 2] * t->share.x_scales[token]);
    }
}

DEVICE void widen(const int bits, const IntegerArguments *a, const float *powers, const uint8_t *stage, int half,
                  Widening *w, uint32_t (*fragments)[4]) {
    if (a->levels == ZERO_POINTS)
        widen_half(bits, true, a, powers, stage, half, w, fragments);
    else
        widen_half(bits, false, a, powers, stage, half, w, fragments);
}

DEVICE void f16_product(const int bits, const int nb, const IntegerArguments *a, uint8_t *memory) {
    const int split = (int)blockIdx.y, stages = a->stages, ahead = stages - 1;
    const int from = (int)((long long)a->layout.slabs * split / a->splits),
              end = (int)((long long)a->layout.slabs * (split + 1) / a->splits);
    SlabTile t = slab_tile(nb, 2, false, a, (int)blockIdx.x, from);
    float powers[2];
    Widening widening;
    float sums[F16_MOST_TOKENS][4];
    uint32_t fragments[F16_STEPS][4];
    row_powers(bits, &t, powers);
    UNROLL for (int b = 0; b < nb; b++) UNROLL for (int i = 0; i < 4; i++) sums[b][i] = 0;
    for (int i = 0; i < ahead; i++) {
        if (t.slab < end) slab_copy(bits, nb, 2, a, &t, memory + i * a->stage.bytes);
        COPY_COMMIT();
    }
    for (int slab = from, here = 0, free = ahead; slab < end; slab++) {
        const uint8_t *stage = memory + here * a->stage.bytes;
        wait_for_copies(ahead - 1);
        __syncthreads();
        if (t.slab < end) slab_copy(bits, nb, 2, a, &t, memory + free * a->stage.bytes);
        COPY_COMMIT();
        UNROLL for (int half = 0; half < 2; half++) {
            const uint8_t *x = stage + a->stage.x + half * nb * TOKEN_BLOCK * X_ROW_BYTES;
            widen(bits, a, powers, stage, half, &widening, fragments);
            UNROLL for (int k = 0; k < F16_STEPS; k++) multiply_tokens(nb, fragments[k], x, 2 * k, sums);
        }
        free = here;
        here = here + 1 < stages ? here + 1 : 0;
    }
    store_tile(bits, nb, a, &t, powers, split, sums);
}

// A warpgroup multiplies half a slab while it widens the next one. In the middle of a slab it is done with the one
// before.
DEVICE void f16_piece(const int bits, const int nb, const IntegerArguments *a, const Piece *piece, Ring *ring) {
    const int ahead = a->stages - 1;
    SlabTile t = slab_tile(nb, 2, true, a, piece->tile, piece->from);
    float powers[2];
    Widening widening;
    float sums[WARPGROUP_MOST_TOKENS][4];
    uint32_t fragments[2][F16_STEPS][4];
    row_powers(bits, &t, powers);
    UNROLL for (int b = 0; b < nb; b++) UNROLL for (int i = 0; i < 4; i++) sums[b][i] = 0;
    ring_begin(bits, nb, 2, a, piece, &t, ring);
    for (int slab = piece->from; slab < piece->end; slab++) {
        const uint64_t x = matrix_descriptor(ring_wait(a, ring));
        const uint8_t *own = ring->own + ring->own_at * a->stage.own_bytes;
        UNROLL for (int half = 0; half < 2; half++) {
            WARPGROUP_WAIT(1); // these registers are free
            if (half == 1) {
                if (slab > piece->from) ring_leave(ring, ring_stage(a, ring, ahead));
                if (t.slab < piece->end && threadIdx.x < WARP) copy_for_pair(nb, 2, a, &t, ring, ahead);
            }
            widen(bits, a, powers, own, half, &widening, fragments[half]);
            WARPGROUP_FENCE();
            UNROLL for (int k = 0; k < F16_STEPS; k++) warpgroup_multiply(
                nb, sums, fragments[half][k], matrix_behind(x, half * nb * TOKEN_BLOCK * X_ROW_BYTES + 32 * k));
            WARPGROUP_COMMIT();
        }
        warp_barrier();
        if (t.slab < piece->end) ring_copy_own(bits, 2, a, &t, ring);
        ring_step_own(a, ring);
        ring_step(a, ring);
    }
    WARPGROUP_WAIT(0);
    ring_leave(ring, ring_stage(a, ring, ahead));
    // Were they there before, ptxas would wait for each multiplication.
    if (piece->taken) take_sums(nb, true, a, ring, sums);
    spoil_if_late(nb, ring, sums);
    if (piece->left)
        leave_sums(nb, a, sums);
    else
        store_tile(bits, nb, a, &t, powers, (int)blockIdx.y, sums);
}

DEVICE void f16_by_pairs(const int bits, const int nb, const IntegerArguments *a, uint8_t *memory) {
    Ring ring = ring_of(a, memory);
    Pieces all = pieces_of(a, (int)blockIdx.x / 2, (int)blockIdx.y);
    Piece piece;
    while (next_piece(a, &all, &piece)) f16_piece(bits, nb, a, &piece, &ring);
    pair_barrier(); // or one would bring something to a block that is over
}

// ---- The kernels, by bits and tokens ----

#define F16_BODY(BITS, NB)                 \
    {                                      \
        SWIZZLED_SHARED(memory);           \
        f16_product(BITS, NB, &a, memory); \
    }
// Some with fewer registers than compilers would choose, for the blocks of a multiprocessor.
#define FREE_F16(NAME, BITS, NB) DYNAMIC_KERNEL(NAME, SLAB_WARPS *WARP, IntegerArguments) F16_BODY(BITS, NB)
#define CROWDED_F16(NAME, BITS, NB, BLOCKS) \
    CROWDED_KERNEL(NAME, SLAB_WARPS *WARP, BLOCKS, IntegerArguments) F16_BODY(BITS, NB)
#define WARPGROUPS_F16(NAME, BITS, NB, BLOCKS)                      \
    PAIR_KERNEL(NAME, SLAB_WARPS *WARP, BLOCKS, IntegerArguments) { \
        SWIZZLED_SHARED(memory);                                    \
        NEEDS_WARPGROUPS();                                         \
        f16_by_pairs(BITS, NB, &a, memory);                         \
    }

#define F16_KERNELS(BITS)                                                          \
    CROWDED_F16(f16_##BITS##_2, BITS, 2, 3)                                        \
    FREE_F16(f16_##BITS##_4, BITS, 4)                                              \
    FREE_F16(f16_##BITS##_8, BITS, 8)                                              \
    WARPGROUPS_F16(warpgroups_##BITS##_8, BITS, 8, 2)                              \
    WARPGROUPS_F16(warpgroups_##BITS##_16, BITS, 16, 1)                            \
    WARPGROUPS_F16(warpgroups_##BITS##_32, BITS, 32, 1)                            \
    static int launch_f16_##BITS(void *stream, const IntegerArguments *a) {        \
        switch (a->tile.tokens) {                                                  \
        case 2: return LAUNCH_SLABS(f16_##BITS##_2);                               \
        case 4: return LAUNCH_SLABS(f16_##BITS##_4);                               \
        default: return LAUNCH_SLABS(f16_##BITS##_8);                              \
        }                                                                          \
    }                                                                              \
    static int launch_warpgroups_##BITS(void *stream, const IntegerArguments *a) { \
        switch (a->tile.tokens) {                                                  \
        case 8: return LAUNCH_RINGS(warpgroups_##BITS##_8);                        \
        case 16: return LAUNCH_RINGS(warpgroups_##BITS##_16);                      \
        default: return LAUNCH_RINGS(warpgroups_##BITS##_32);                      \
        }                                                                          \
    }

F16_KERNELS(2)
F16_KERNELS(3)
F16_KERNELS(4)
F16_KERNELS(8)

LAUNCH_BY_BITS(launch_f16_product, launch_f16)
LAUNCH_BY_BITS(launch_f16_by_warpgroups, launch_warpgroups)

static int launch_f16_activations(void *stream, const F16Arguments *a) {
    const int wanted = a->layout.units * UNIT_COLUMNS / ACTIVATION_COLUMNS; // a multiple of 32
    const unsigned threads = (unsigned)(wanted < (int)MOST_ROW_THREADS ? wanted : (int)MOST_ROW_THREADS);
    return LAUNCH(f16_activations_kernel, extent(a->tokens, 1, 1), threads, 0, stream, a);
}

static int launch_row_powers(void *stream, const RowPowersArguments *a) {
    const Extent grid = extent((size_t)(a->layout.row_blocks * UNIT_ROWS + POWER_WARPS - 1) / POWER_WARPS, 1, 1);
    return LAUNCH(row_powers_kernel, grid, POWER_WARPS * WARP, 0, stream, a);
}
