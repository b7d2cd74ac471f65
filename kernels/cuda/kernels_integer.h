// Products with quantized weights on integer tensor cores (integer_layout.h). Activations of one plane are int8 (W8A8,
// W4A8): Σ q_w q_x of a group is a whole number, and the groups are added in order, so that the result is that of the
// CPU to the last bit. Activations of three planes are floats of 24 bits (weight-only): the order is free, and K is
// shared among warps and blocks.
#pragma once

#include "kernels/cuda/kernels_common.h"

enum { MOST_ROW_BLOCKS = 4, MOST_TOKEN_BLOCKS = 8 };

// Of one warp: [planes][row blocks][token blocks][4], and [row blocks][token blocks][4]. Loops over them have constant
// bounds, so they live in registers. With factors (two-level grid) a total holds an int32.
typedef int32_t Sums[3][MOST_ROW_BLOCKS][MOST_TOKEN_BLOCKS][4];
typedef float Totals[MOST_ROW_BLOCKS][MOST_TOKEN_BLOCKS][4];

// ---- One segment's share of one output ----

typedef struct SegmentScale {
    float weight, activation; // activation: three planes only
    int zero, factor;         // 0 and 1 without
} SegmentScale;

// s: sums of the planes; x: Σ codes of the activations of each plane, if there is a zero point.
DEVICE float with_segment(const int planes, const IntegerArguments *a, const SegmentScale *scale, const int32_t *s,
                          const int32_t *x, float total) {
    if (planes == 1 && a->factors) return __int_as_float(__float_as_int(total) + scale->factor * s[0]);
    if (planes == 1 && a->zeros)
        return total + scale->weight * (float)((long long)s[0] - (long long)scale->zero * (long long)x[0]);
    if (planes == 1) return total + scale->weight * (float)s[0];
    float part[3];
    UNROLL for (int p = 0; p < 3; p++) part[p] = (float)(a->zeros ? s[p] - scale->zero * x[p] : s[p]);
    float whole = fmaf(part[0], 65536.0f, fmaf(part[1], 256.0f, part[2]));
    return fmaf(whole, scale->weight * scale->activation, total);
}

// What stands before a total when all segments are in it.
DEVICE float finished(const int planes, const IntegerArguments *a, int row, int token, float total) {
    if (planes == 3) return total;
    if (a->factors) total = ((const float *)a->scales)[row] * (float)__float_as_int(total);
    return total * a->x_scales[token];
}

DEVICE SegmentScale scale_of_row(const IntegerArguments *a, int row, int group) {
    SegmentScale s;
    size_t at = scale_index(&a->layout, row, group);
    s.weight = a->factors ? 0 : element_at(a->scale_dtype, a->scales, at);
    s.zero = a->zeros ? a->zeros[at] : 0;
    s.factor = a->factors ? a->factors[at] : 1;
    s.activation = 1;
    return s;
}

DEVICE int padded_tokens(const IntegerArguments *a) { return token_blocks(a->tokens) * TOKEN_BLOCK; }

// ---- A lane's part of a step ----

typedef struct StepCodes { // of one row block; what the number of bits does not need is never loaded
    uint4 low[STEP_UNITS];
    uint2 high;
} StepCodes;

DEVICE uint32_t word_of(uint4 v, const int i) { return i == 0 ? v.x : i == 1 ? v.y : i == 2 ? v.z : v.w; }

DEVICE int tiles_of(const int bits) { return bits == 8 ? 4 : bits == 4 ? 2 : 1; }

// From global memory, each word read once …
DEVICE void load_step(const int bits, const uint8_t *step, StepCodes *s) {
    const int lane = threadIdx.x % WARP;
    UNROLL for (int i = 0; i < tiles_of(bits); i++) s->low[i] = load_once(step + i * 512 + lane * 16);
    if (bits == 3) s->high = *(const uint2 *)(step + 512 + lane * 8);
}

// … or from shared memory.
DEVICE void read_step(const int bits, const uint8_t *step, StepCodes *s) {
    const int lane = threadIdx.x % WARP;
    UNROLL for (int i = 0; i < tiles_of(bits); i++) s->low[i] = *(const uint4 *)(step + i * 512 + lane * 16);
    if (bits == 3) s->high = *(const uint2 *)(step + 512 + lane * 8);
}

// The four registers of one unit.
DEVICE void unit_fragment(const int bits, const StepCodes *s, const int unit, uint32_t *fragment) {
    uint32_t high = bits == 3 ? (unit / 2 ? s->high.y : s->high.x) >> (unit % 2 * 16) & 0xFFFFu : 0;
    UNROLL for (int r = 0; r < 4; r++) {
        uint32_t low = bits == 8   ? word_of(s->low[unit], r)
                       : bits == 4 ? word_of(s->low[unit / 2], unit % 2 * 2 + r / 2)
                                   : word_of(s->low[0], unit);
        fragment[r] = widened_codes(bits, low, high, r);
    }
}

// ---- Walking along the columns ----

typedef struct Walk {
    int group, segment;
    int left, group_left; // units, of the segment and of the group
} Walk;

DEVICE int segment_units(const int planes, int group_left) {
    return planes == 3 && group_left > STEP_UNITS ? STEP_UNITS : group_left;
}

DEVICE Walk walk_from(const IntegerLayout *l, const int planes, int unit) {
    const int units = l->group_columns / UNIT_COLUMNS; // 0 for groups of half a unit: they do not walk
    Walk w;
    w.group = units ? unit / units : 0;
    const int within = units ? unit % units : 0;
    w.group_left = units - within;
    w.segment = planes == 1 ? w.group : w.group * l->group_segments + within / STEP_UNITS;
    w.left = planes == 1 ? w.group_left : segment_units(planes, w.group_left);
    if (planes == 3 && STEP_UNITS - within % STEP_UNITS < w.left) w.left = STEP_UNITS - within % STEP_UNITS;
    return w;
}

// Behind one unit. True when the segment ended; segment_next then goes on to the next one.
DEVICE bool walk_unit(Walk *w) {
    w->group_left--;
    return --w->left == 0;
}

DEVICE void segment_next(const IntegerLayout *l, const int planes, Walk *w) {
    w->segment++;
    if (w->group_left == 0) {
        w->group++;
        w->group_left = l->group_columns / UNIT_COLUMNS;
    }
    w->left = segment_units(planes, w->group_left);
}

// ---- Adding a segment to the totals ----

// Takes the sums of the warp's row blocks (from row_block on) and token blocks, and clears them. ends: the segment is
// complete now, so its zero points count; what several warps have of one segment may come in parts.
DEVICE void add_segment(const int bits, const int planes, const int nr, const int nb, const IntegerArguments *a,
                        int row_block, int token_block, int group, int segment, bool ends, Sums sums, Totals totals) {
    const int lane = threadIdx.x % WARP, tokens = padded_tokens(a);
    if (group < a->layout.groups) {
        UNROLL for (int r = 0; r < nr; r++) UNROLL for (int half = 0; half < 2; half++) {
            int block = row_block + r < a->layout.row_blocks ? row_block + r : a->layout.row_blocks - 1;
            SegmentScale scale = scale_of_row(a, block * UNIT_ROWS + lane / 4 + half * 8, group);
            UNROLL for (int b = 0; b < nb; b++) UNROLL for (int i = half * 2; i < half * 2 + 2; i++) {
                int token = (token_block + b) * TOKEN_BLOCK + lane % 4 * 2 + i % 2;
                int32_t s[3], x[3];
                if (token >= tokens) continue; // no such block
                UNROLL for (int p = 0; p < planes; p++) {
                    s[p] = sums[p][r][b][i] >> (8 - bits);
                    x[p] = a->zeros && ends ? a->x_sums[((size_t)segment * planes + p) * tokens + token] : 0;
                }
                if (planes == 3) scale.activation = a->x_scales[(size_t)segment * tokens + token];
                totals[r][b][i] = with_segment(planes, a, &scale, s, x, totals[r][b][i]);
            }
        }
    }
    UNROLL for (int p = 0; p < planes; p++) UNROLL for (int r = 0; r < nr; r++) UNROLL for (int b = 0; b < nb; b++)
        UNROLL for (int i = 0; i < 4; i++) sums[p][r][b][i] = 0;
}

DEVICE void clear(const int planes, const int nr, const int nb, Sums sums, Totals totals) {
    UNROLL for (int r = 0; r < nr; r++) UNROLL for (int b = 0; b < nb; b++) UNROLL for (int i = 0; i < 4; i++) {
        totals[r][b][i] = 0;
        UNROLL for (int p = 0; p < planes; p++) sums[p][r][b][i] = 0;
    }
}

// Stores one output if it exists: into y, or into the part of this split.
DEVICE void store_output(const int planes, const IntegerArguments *a, int split, int row, int token, float total) {
    if (row >= a->layout.out || token >= a->tokens) return;
    float y = finished(planes, a, row, token, total);
    if (a->bias && a->splits == 1) y += a->bias[row];
    a->y[((size_t)split * a->tokens + token) * a->layout.out + row] = y;
}

// ---- Few tokens: 8 at most ----
//
// Weights go from memory to registers, nothing is shared but the last sum. Three planes: the warps of a block (and the
// splits) share the columns of the same rows. One plane: each warp has rows of its own and walks along all columns.

enum { FEW_WARPS = 8 };

// The activations of one unit for this lane; zeros for tokens that are not there.
DEVICE void few_activations(const int planes, const IntegerArguments *a, int unit, uint32_t (*x)[2]) {
    const int lane = threadIdx.x % WARP;
    UNROLL for (int p = 0; p < planes; p++) {
        x[p][0] = x[p][1] = 0;
        if (lane / 4 >= a->tokens) continue;
        uint2 v = *(const uint2 *)(a->x + ((size_t)unit * planes + p) * 256 + lane * 8);
        x[p][0] = v.x, x[p][1] = v.y;
    }
}

// Groups of half a unit: the first and the second half of the fragments are segments of their own.
DEVICE void few_half_groups(const int bits, const int planes, const int nr, const IntegerArguments *a, int row_block,
                            int unit, uint32_t (*w)[4], uint32_t (*x)[2], Sums sums, Totals totals) {
    UNROLL for (int half = 0; half < 2; half++) {
        UNROLL for (int r = 0; r < nr; r++) {
            uint32_t part[4];
            UNROLL for (int i = 0; i < 4; i++) part[i] = i / 2 == half ? w[r][i] : 0;
            UNROLL for (int p = 0; p < planes; p++) multiply_fragments(sums[p][r][0], part, x[p]);
        }
        add_segment(bits, planes, nr, 1, a, row_block, 0, unit * 2 + half, unit * 2 + half, true, sums, totals);
    }
}

DEVICE void few_step(const int bits, const int planes, const int nr, const IntegerArguments *a, int row_block, int step,
                     const StepCodes *codes, Walk *walk, Sums sums, Totals totals) {
    const bool halves = a->layout.group_columns < UNIT_COLUMNS;
    UNROLL for (int u = 0; u < STEP_UNITS; u++) {
        const int unit = step * STEP_UNITS + u;
        uint32_t w[MOST_ROW_BLOCKS][4], x[3][2];
        few_activations(planes, a, unit, x);
        UNROLL for (int r = 0; r < nr; r++) unit_fragment(bits, &codes[r], u, w[r]);
        if (halves) {
            few_half_groups(bits, planes, nr, a, row_block, unit, w, x, sums, totals);
            continue;
        }
        UNROLL for (int r = 0; r < nr; r++) UNROLL for (int p = 0; p < planes; p++)
            multiply_fragments(sums[p][r][0], w[r], x[p]);
        if (walk_unit(walk)) {
            add_segment(bits, planes, nr, 1, a, row_block, 0, walk->group, walk->segment, true, sums, totals);
            segment_next(&a->layout, planes, walk);
        }
    }
}

DEVICE void few_load(const int bits, const int nr, const IntegerArguments *a, int row_block, int step, StepCodes *to) {
    const IntegerLayout *l = &a->layout;
    UNROLL for (int r = 0; r < nr; r++) {
        int block = row_block + r < l->row_blocks ? row_block + r : l->row_blocks - 1;
        load_step(bits, a->codes + step_offset(l, block, step), &to[r]);
    }
}

// Steps from … end − 1 of the warp's row blocks; the next step's weights are on their way while one is computed.
DEVICE void few_steps(const int bits, const int planes, const int nr, const IntegerArguments *a, int row_block,
                      int from, int end, Sums sums, Totals totals) {
    StepCodes now[MOST_ROW_BLOCKS], next[MOST_ROW_BLOCKS];
    Walk walk = walk_from(&a->layout, planes, from * STEP_UNITS);
    if (from >= end) return;
    few_load(bits, nr, a, row_block, from, now);
    for (int step = from; step < end; step++) {
        if (step + 1 < end) few_load(bits, nr, a, row_block, step + 1, next);
        few_step(bits, planes, nr, a, row_block, step, now, &walk, sums, totals);
        UNROLL for (int r = 0; r < nr; r++) now[r] = next[r];
    }
    // A range may end within a segment; the rest of it is another warp's.
    if (planes == 3 && a->layout.group_columns >= UNIT_COLUMNS)
        add_segment(bits, planes, nr, 1, a, row_block, 0, walk.group, walk.segment, false, sums, totals);
}

// Three planes.
DEVICE void few_shared(const int bits, const int nr, const IntegerArguments *a, float *scratch) {
    const int lane = threadIdx.x % WARP, warp = threadIdx.x / WARP, row_block = (int)blockIdx.x * nr;
    const int worker = (int)blockIdx.y * FEW_WARPS + warp, workers = a->splits * FEW_WARPS, steps = a->layout.steps;
    Sums sums;
    Totals totals;
    clear(3, nr, 1, sums, totals);
    few_steps(bits, 3, nr, a, row_block, (int)((long long)steps * worker / workers),
              (int)((long long)steps * (worker + 1) / workers), sums, totals);
    UNROLL for (int r = 0; r < nr; r++) UNROLL for (int i = 0; i < 4; i++)
        scratch[((warp * nr + r) * 4 + i) * WARP + lane] = totals[r][0][i];
    __syncthreads();
    for (int n = threadIdx.x; n < nr * 4 * WARP; n += FEW_WARPS * WARP) {
        const int r = n / (4 * WARP), i = n / WARP % 4, l = n % WARP;
        float total = 0;
        for (int w = 0; w < FEW_WARPS; w++) total += scratch[w * nr * 4 * WARP + n];
        store_output(3, a, (int)blockIdx.y, (row_block + r) * UNIT_ROWS + l / 4 + i / 2 * 8, l % 4 * 2 + i % 2, total);
    }
}

// One plane.
DEVICE void few_ordered(const int bits, const IntegerArguments *a) {
    const int lane = threadIdx.x % WARP, row_block = (int)(blockIdx.x * (blockDim.x / WARP) + threadIdx.x / WARP);
    Sums sums;
    Totals totals;
    if (row_block >= a->layout.row_blocks) return;
    clear(1, 1, 1, sums, totals);
    few_steps(bits, 1, 1, a, row_block, 0, a->layout.steps, sums, totals);
    UNROLL for (int i = 0; i < 4; i++)
        store_output(1, a, 0, row_block * UNIT_ROWS + lane / 4 + i / 2 * 8, lane % 4 * 2 + i % 2, totals[0][0][i]);
}

// ---- Many tokens ----
//
// A block computes 4 warps × nr × 16 rows, for nb × 8 tokens. Steps pass through shared memory in several stages: while
// one is multiplied, the next ones are being copied.
//
//     stage   weights [warps · nr][step] │ activations [nb][units][planes][256 bytes]

enum { TILED_WARPS = 4, TILED_THREADS = TILED_WARPS * WARP };

DEVICE void tiled_copy(const int bits, const int planes, const int nr, const int nb, const IntegerArguments *a,
                       int row_block, int token_block, int step, uint8_t *stage) {
    const IntegerLayout *l = &a->layout;
    const int thread = (int)threadIdx.x, words = (int)step_bytes(bits) / 16, x_words = STEP_UNITS * planes * 16;
    for (int n = thread; n < TILED_WARPS * nr * words; n += TILED_THREADS) {
        int block = row_block + n / words < l->row_blocks ? row_block + n / words : l->row_blocks - 1;
        copy_begin(stage + (size_t)n * 16, a->codes + step_offset(l, block, step) + (size_t)(n % words) * 16);
    }
    uint8_t *x = stage + (size_t)TILED_WARPS * nr * words * 16;
    for (int n = thread; n < nb * x_words; n += TILED_THREADS) {
        int block = token_block + n / x_words;
        if (block >= token_blocks(a->tokens)) break;
        size_t from = ((size_t)block * l->units + (size_t)step * STEP_UNITS) * planes * 256;
        copy_begin(x + (size_t)n * 16, a->x + from + (size_t)(n % x_words) * 16);
    }
}

DEVICE void tiled_step(const int bits, const int planes, const int nr, const int nb, const IntegerArguments *a,
                       int row_block, int token_block, const uint8_t *stage, Walk *walk, Sums sums, Totals totals) {
    const int lane = threadIdx.x % WARP, warp = threadIdx.x / WARP;
    const uint8_t *x = stage + (size_t)TILED_WARPS * nr * step_bytes(bits);
    StepCodes codes[MOST_ROW_BLOCKS];
    UNROLL for (int r = 0; r < nr; r++) read_step(bits, stage + (size_t)(warp * nr + r) * step_bytes(bits), &codes[r]);
    UNROLL for (int u = 0; u < STEP_UNITS; u++) {
        uint32_t w[MOST_ROW_BLOCKS][4];
        UNROLL for (int r = 0; r < nr; r++) unit_fragment(bits, &codes[r], u, w[r]);
        UNROLL for (int b = 0; b < nb; b++) UNROLL for (int p = 0; p < planes; p++) {
            uint2 v = *(const uint2 *)(x + (size_t)((b * STEP_UNITS + u) * planes + p) * 256 + lane * 8);
            uint32_t fragment[2];
            fragment[0] = v.x, fragment[1] = v.y;
            UNROLL for (int r = 0; r < nr; r++) multiply_fragments(sums[p][r][b], w[r], fragment);
        }
        if (walk_unit(walk)) {
            add_segment(bits, planes, nr, nb, a, row_block + warp * nr, token_block, walk->group, walk->segment, true,
                        sums, totals);
            segment_next(&a->layout, planes, walk);
        }
    }
}

// Until the oldest copy has arrived, everyone's.
DEVICE void tiled_wait(int stages) {
    if (stages == 4)
        COPY_WAIT(2);
    else if (stages == 3)
        COPY_WAIT(1);
    else
        COPY_WAIT(0);
    __syncthreads();
}

DEVICE void integer_tiled(const int bits, const int planes, const int nr, const int nb, const IntegerArguments *a,
                          uint8_t *memory) {
    const int lane = threadIdx.x % WARP, warp = threadIdx.x / WARP, split = (int)blockIdx.z, steps = a->layout.steps;
    const int row_block = (int)blockIdx.x * TILED_WARPS * nr, token_block = (int)blockIdx.y * nb;
    const int from = (int)((long long)steps * split / a->splits),
              end = (int)((long long)steps * (split + 1) / a->splits);
    const size_t stage_bytes = integer_stage_bytes(bits, planes, nr, nb);
    Sums sums;
    Totals totals;
    Walk walk = walk_from(&a->layout, planes, from * STEP_UNITS);
    clear(planes, nr, nb, sums, totals);
    for (int s = 0; s < a->stages - 1; s++) {
        if (from + s < end)
            tiled_copy(bits, planes, nr, nb, a, row_block, token_block, from + s, memory + s * stage_bytes);
        COPY_COMMIT();
    }
    for (int step = from; step < end; step++) {
        const int ahead = step + a->stages - 1;
        tiled_wait(a->stages);
        // Goes where the step before this one was: everyone has passed the barrier behind it.
        if (ahead < end)
            tiled_copy(bits, planes, nr, nb, a, row_block, token_block, ahead,
                       memory + (size_t)((ahead - from) % a->stages) * stage_bytes);
        COPY_COMMIT();
        tiled_step(bits, planes, nr, nb, a, row_block, token_block,
                   memory + (size_t)((step - from) % a->stages) * stage_bytes, &walk, sums, totals);
    }
    if (planes == 3) // a split may end within a segment
        add_segment(bits, planes, nr, nb, a, row_block + warp * nr, token_block, walk.group, walk.segment, false, sums,
                    totals);
    UNROLL for (int r = 0; r < nr; r++) UNROLL for (int b = 0; b < nb; b++) UNROLL for (int i = 0; i < 4; i++)
        store_output(planes, a, split, (row_block + warp * nr + r) * UNIT_ROWS + lane / 4 + i / 2 * 8,
                     (token_block + b) * TOKEN_BLOCK + lane % 4 * 2 + i % 2, totals[r][b][i]);
}

// ---- The kernels, by bits ----

enum { ORDERED_WARPS = 2 }; // small blocks: rows are few where tokens are few

#define INTEGER_KERNELS(BITS)                                                                                          \
    KERNEL(few_##BITS##_shared_1, FEW_WARPS *WARP, IntegerArguments) {                                                 \
        SHARED(float, scratch, FEW_WARPS * 4 * WARP);                                                                  \
        few_shared(BITS, 1, &a, scratch);                                                                              \
    }                                                                                                                  \
    KERNEL(few_##BITS##_shared_4, FEW_WARPS *WARP, IntegerArguments) {                                                 \
        SHARED(float, scratch, FEW_WARPS * 4 * 4 * WARP);                                                              \
        few_shared(BITS, 4, &a, scratch);                                                                              \
    }                                                                                                                  \
    KERNEL(few_##BITS##_ordered, ORDERED_WARPS *WARP, IntegerArguments) { few_ordered(BITS, &a); }                     \
    KERNEL(tiled_##BITS##_3_1_4, TILED_THREADS, IntegerArguments) {                                                    \
        DYNAMIC_SHARED(memory);                                                                                        \
        integer_tiled(BITS, 3, 1, 4, &a, memory);                                                                      \
    }                                                                                                                  \
    KERNEL(tiled_##BITS##_3_1_8, TILED_THREADS, IntegerArguments) {                                                    \
        DYNAMIC_SHARED(memory);                                                                                        \
        integer_tiled(BITS, 3, 1, 8, &a, memory);                                                                      \
    }                                                                                                                  \
    KERNEL(tiled_##BITS##_1_1_4, TILED_THREADS, IntegerArguments) {                                                    \
        DYNAMIC_SHARED(memory);                                                                                        \
        integer_tiled(BITS, 1, 1, 4, &a, memory);                                                                      \
    }                                                                                                                  \
    KERNEL(tiled_##BITS##_1_2_8, TILED_THREADS, IntegerArguments) {                                                    \
        DYNAMIC_SHARED(memory);                                                                                        \
        integer_tiled(BITS, 1, 2, 8, &a, memory);                                                                      \
    }                                                                                                                  \
    static int launch_few_##BITS(void *stream, const IntegerArguments *a) {                                            \
        const size_t blocks = (size_t)a->layout.row_blocks;                                                            \
        if (a->planes == 1)                                                                                            \
            return LAUNCH(few_##BITS##_ordered, extent((blocks + ORDERED_WARPS - 1) / ORDERED_WARPS, 1, 1),            \
                          ORDERED_WARPS * WARP, 0, stream, a);                                                         \
        if (a->row_blocks_per_warp == 1)                                                                               \
            return LAUNCH(few_##BITS##_shared_1, extent(blocks, a->splits, 1), FEW_WARPS * WARP, 0, stream, a);        \
        return LAUNCH(few_##BITS##_shared_4, extent((blocks + 3) / 4, a->splits, 1), FEW_WARPS * WARP, 0, stream, a);  \
    }                                                                                                                  \
    static int launch_tiled_##BITS(void *stream, const IntegerArguments *a) {                                          \
        const size_t rows = (size_t)(TILED_WARPS * a->row_blocks_per_warp), tokens = (size_t)a->token_blocks_per_warp; \
        const Extent grid = extent(((size_t)a->layout.row_blocks + rows - 1) / rows,                                   \
                                   ((size_t)token_blocks(a->tokens) + tokens - 1) / tokens, a->splits);                \
        const size_t shared = (size_t)a->stages *                                                                      \
                              integer_stage_bytes(BITS, a->planes, a->row_blocks_per_warp, a->token_blocks_per_warp);  \
        if (a->planes == 3 && tokens == 4)                                                                             \
            return LAUNCH(tiled_##BITS##_3_1_4, grid, TILED_THREADS, shared, stream, a);                               \
        if (a->planes == 3) return LAUNCH(tiled_##BITS##_3_1_8, grid, TILED_THREADS, shared, stream, a);               \
        if (tokens == 4) return LAUNCH(tiled_##BITS##_1_1_4, grid, TILED_THREADS, shared, stream, a);                  \
        return LAUNCH(tiled_##BITS##_1_2_8, grid, TILED_THREADS, shared, stream, a);                                   \
    }
