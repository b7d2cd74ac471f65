// Products with quantized weights on integer tensor cores (integer_layout.h). Activations of one plane are int8 (W8A8,
// W4A8): Σ q_w q_x of a group is a whole number, and the groups are added in order, so that the result is that of the
// CPU to the last bit ("ordered"). Activations of several planes are floats of 16 or 24 bits (weight-only, "free"): the
// order is free, and the columns are shared among warps and blocks.
//
// Slabs of 128 columns pass through shared memory with all that belongs to them, in several stages: while one is
// multiplied, the next ones are on their way.
#pragma once

#include "kernels/cuda/kernels_common.h"

enum { MOST_ROWS = 4, MOST_TOKENS = 4 }; // blocks of a warp's tile

// Of one warp: [row blocks][token blocks][4]. Loops over them have constant bounds, so they live in registers. With
// factors (two-level grid) a total holds an int32.
typedef int32_t Sums[MOST_ROWS][MOST_TOKENS][4];
typedef float Totals[MOST_ROWS][MOST_TOKENS][4];

// ---- One group's share of one output ----

// `levels` is constant where a product is inlined, so that what is not there costs nothing.

// What is added for a group when activations are int8. s: Σ q_w q_x; x: Σ q_x, for a zero point.
DEVICE float group_term(const int levels, float scale, int level, int32_t s, int32_t x) {
    if (levels == FACTORS) return __int_as_float(level * s);
    if (levels == ZERO_POINTS) return scale * (float)((long long)s - (long long)level * (long long)x);
    return scale * (float)s;
}
DEVICE float with_term(const int levels, float total, float term) {
    if (levels == FACTORS) return __int_as_float(__float_as_int(total) + __float_as_int(term));
    return total + term;
}

// The same for one plane, or two as one, of float activations; scale: of the weights and the activations.
DEVICE float with_segment(const int levels, float scale, int level, int32_t s, int32_t x, float total) {
    return fmaf((float)(levels == ZERO_POINTS ? s - level * x : s), scale, total);
}
DEVICE float plane_factor(int planes, int plane) { return planes < 3 || plane == 2 ? 1 : plane == 1 ? 256 : 65536; }

// ---- What a block works on ----

// One of the launch's weights, from some row block on, and the activations that meet it.
typedef struct WeightShare {
    IntegerRows w;
    float *y;
    int weight, out, row_blocks, row_block;
    const uint8_t *x;
    const float *x_scales;
    const int32_t *x_sums;
    int tokens;
} WeightShare;

// block: of a grid along the rows of all weights, `rows` row blocks each and `along` blocks for the same rows side by
// side. Returns where it is in its own weight.
DEVICE int share_of(const IntegerArguments *a, int block, int rows, int along, WeightShare *share) {
    int i = 0;
    for (int blocks; i + 1 < a->weights; block -= blocks, i++) {
        blocks = (a->each[i].row_blocks + rows - 1) / rows * along;
        if (block < blocks) break;
    }
    share->weight = i;
    share->w = a->each[i].rows;
    share->y = a->each[i].y;
    share->out = a->each[i].out;
    share->row_blocks = a->each[i].row_blocks;
    share->row_block = block / along * rows;
    share->x = a->x;
    share->x_scales = a->x_scales;
    share->x_sums = a->x_sums;
    share->tokens = a->tokens;
    return block % along;
}

// The expert of this portion in place of the weight. False: there is nothing to do.
DEVICE bool share_of_portion(const IntegerArguments *a, WeightShare *share) {
    const Portion portion = a->portions.list[blockIdx.z];
    if (portion.count == 0) return false;
    share->w = a->experts[share->weight * a->portions.experts + portion.expert];
    share->y += (size_t)portion.first * share->out;
    share->x += blockIdx.z * a->strides.codes;
    share->x_scales += blockIdx.z * a->strides.scales;
    share->x_sums += a->levels == ZERO_POINTS ? blockIdx.z * a->strides.sums : 0;
    share->tokens = portion.count;
    return share->w.codes != NULL;
}

// What stands before a total when all groups are in it.
DEVICE float finished_output(const bool ordered, const IntegerArguments *a, const WeightShare *share, int row,
                             int token, float total) {
    if (!ordered) return total;
    if (a->levels == FACTORS) total = ((const float *)share->w.scales)[row] * (float)__float_as_int(total);
    return total * share->x_scales[token];
}

// Stores one output if it exists: into y, or into the part of this split.
DEVICE void store_output(const bool ordered, const IntegerArguments *a, const WeightShare *share, int split, int row,
                         int token, float total) {
    if (row >= share->out || token >= share->tokens) return;
    float y = finished_output(ordered, a, share, row, token, total);
    if (share->w.bias && a->splits == 1) y += share->w.bias[row];
    share->y[((size_t)split * share->tokens + token) * share->out + row] = y;
}

// ---- Walking along the columns, by halves of units ----
//
// A *run* is what a group and a slab have in common.

typedef struct Walk {
    int group, left; // halves of it
} Walk;

DEVICE Walk walk_from(const IntegerLayout *l, int half) {
    const int halves = l->group_columns / HALF_COLUMNS;
    Walk w;
    w.group = half / halves;
    w.left = (w.group + 1) * halves - half;
    return w;
}

// Along the run that begins at `half` of a slab: returns its halves.
DEVICE int walk_run(const IntegerLayout *l, int half, Walk *w) {
    const int halves = w->left < SLAB_HALVES - half ? w->left : SLAB_HALVES - half;
    w->left -= halves;
    if (w->left == 0) {
        w->group++;
        w->left = l->group_columns / HALF_COLUMNS;
    }
    return halves;
}

// A whole slab on.
DEVICE void walk_slab(const IntegerLayout *l, Walk *w) {
    for (int half = 0; half < SLAB_HALVES;) half += walk_run(l, half, w);
}

// ---- Into shared memory ----

// Memory is counted in words of 16 bytes here: 32 bits are enough for that, and an address takes one instruction.
DEVICE const uint8_t *word_at(const void *memory, uint32_t word) { return (const uint8_t *)memory + (size_t)word * 16; }
DEVICE int slab_words(const int bits) { return (int)slab_bytes(bits) / 16; }

// The weights of a row block's slab by a warp; at: this lane's first word.
DEVICE void copy_codes(const int bits, const WeightShare *share, uint32_t at, uint8_t *to) {
    const int lane = threadIdx.x % WARP, words = slab_words(bits);
    const uint8_t *from = word_at(share->w.codes, at);
    UNROLL for (int n = 0; n < words; n += WARP) if (n + lane < words) copy_begin(to + (n + lane) * 16, from + n * 16);
}

// So many of this thread's groups of copies may be under way, at most 3.
DEVICE void wait_for_copies(int under_way) {
    if (under_way == 2)
        COPY_WAIT(2);
    else if (under_way == 1)
        COPY_WAIT(1);
    else if (under_way == 0)
        COPY_WAIT(0);
    else
        COPY_WAIT(3);
}

// ---- Multiplying what is there ----

// Where a lane finds its words of a unit, and the four registers that they are.
DEVICE int lane_place(const int bits) { return code_place(bits, 0, threadIdx.x % WARP, 0, 0).byte; }

// The words of the lane, and at 3 bits the half word `high`.
DEVICE void unit_words(const int bits, const uint8_t *slab, int unit, uint32_t *words, uint32_t *high) {
    const uint8_t *from = slab + unit * (bits == 3 ? 128 : unit_bytes(bits)) + lane_place(bits);
    *high = bits == 3 ? *(const uint16_t *)(slab + code_place(3, unit, threadIdx.x % WARP, 0, 1).byte) : 0;
    words[0] = words[1] = words[2] = words[3] = 0;
    if (bits == 8) {
        const uint4 v = *(const uint4 *)from;
        words[0] = v.x, words[1] = v.y, words[2] = v.z, words[3] = v.w;
    } else if (bits == 4) {
        const uint2 v = *(const uint2 *)from;
        words[0] = v.x, words[1] = v.y;
    } else {
        words[0] = *(const uint32_t *)from;
    }
}

DEVICE void unit_fragment(const int bits, const uint8_t *slab, int unit, uint32_t *fragment) {
    const int per_word = bits == 8 ? 1 : bits == 4 ? 2 : 4;
    uint32_t words[4], high;
    unit_words(bits, slab, unit, words, &high);
    UNROLL for (int r = 0; r < 4; r++) fragment[r] = widened_codes(bits, words[r / per_word], high, r);
}

// A unit of nr row blocks, slab_bytes apart, times nb blocks of 8 columns of x, the lane's part of which is at x and
// then block_bytes apart. half: of groups of half a unit the one that counts, else −1.
DEVICE void multiply_unit(const int bits, const int nr, const int nb, const uint8_t *w, int unit, int half,
                          const uint8_t *x, const int block_bytes, Sums sums) {
    uint32_t fragments[MOST_ROWS][4];
    UNROLL for (int r = 0; r < nr; r++) unit_fragment(bits, w + r * (int)slab_bytes(bits), unit, fragments[r]);
    if (half >= 0) {
        UNROLL for (int r = 0; r < nr; r++) UNROLL for (int i = 0; i < 4; i++) fragments[r][i] =
            i / 2 == half ? fragments[r][i] : 0;
    }
    UNROLL for (int b = 0; b < nb; b++) {
        const uint2 v = *(const uint2 *)(x + b * block_bytes);
        uint32_t column[2];
        column[0] = v.x, column[1] = v.y;
        UNROLL for (int r = 0; r < nr; r++) multiply_fragments(sums[r][b], fragments[r], column);
    }
}

DEVICE int signed_byte(uint8_t byte) { return (byte ^ 0x80) - 0x80; }

// Scales, and levels, of rows lane / 4 and + 8, from slot `slot` of a stage.
DEVICE void scale_pair(const int levels, const IntegerArguments *a, const uint8_t *stage, int slot, float *scale,
                       int *level) {
    const int at = slot * UNIT_ROWS + (int)threadIdx.x % WARP / 4 * 2;
    scale[0] = scale[1] = 0;
    level[0] = level[1] = 0;
    if (levels != NO_LEVELS) {
        level[0] = signed_byte(stage[a->stage.levels + at]);
        level[1] = signed_byte(stage[a->stage.levels + at + 1]);
    }
    if (levels == FACTORS) return;
    if (a->scale_dtype == ELEMENT_F32) {
        scale[0] = ((const float *)(stage + a->stage.scales))[at];
        scale[1] = ((const float *)(stage + a->stage.scales))[at + 1];
    } else {
        const uint32_t both = *(const uint32_t *)(stage + a->stage.scales + at * 2);
        const uint16_t low = (uint16_t)both, high = (uint16_t)(both >> 16);
        const bool f16 = a->scale_dtype == ELEMENT_F16;
        scale[0] = f16 ? f16_value(low) : bf16_value(low);
        scale[1] = f16 ? f16_value(high) : bf16_value(high);
    }
}

DEVICE int32_t x_sum_at(const int levels, const IntegerArguments *a, const uint8_t *stage, int at) {
    return levels == ZERO_POINTS ? ((const int32_t *)(stage + a->stage.x_sums))[at] : 0;
}

// ---- Few tokens: up to 8 columns of x, in a regular layout ----
//
// The warps of a block share the columns of the same 16 rows; each has stages of its own.

// What a lane copies for a slab besides weights and x: one word of what belongs to its groups or segments.
typedef struct Side {
    const uint8_t *from; // of the first group or segment
    int bytes;           // from one to the next
    int to;              // in the stage
    int slot, count;     // which one of a slab; how many there are, 0: nothing
    bool of_group, of_weights;
} Side;

DEVICE Side side_of(const void *from, int slot_bytes, int word, int to, int slot, int count, bool of_group,
                    bool of_weights) {
    Side side;
    side.from = (const uint8_t *)from + (size_t)slot * slot_bytes + word * 16;
    side.bytes = slot_bytes;
    side.to = to;
    side.slot = slot;
    side.count = count;
    side.of_group = of_group;
    side.of_weights = of_weights;
    return side;
}

// At most 16 words of scales, four of levels, four of the activations' scales and four or, in order, eight of sums.
DEVICE Side few_side(const bool ordered, const IntegerArguments *a, const WeightShare *share) {
    const IntegerLayout *l = &a->layout;
    const int slots = 1 << a->stage.slot_bits, token_bytes = FEW_TOKENS * 4, sum_words = ordered ? 2 : 1;
    const int words = a->levels == FACTORS ? 0 : a->scale_dtype == ELEMENT_F32 ? 4 : 2;
    const size_t row = (size_t)share->row_block * l->groups * UNIT_ROWS;
    const int segments = segment_count(l, a->planes);
    int n = threadIdx.x % WARP;
    if (n < slots * words)
        return side_of((const uint8_t *)share->w.scales + row * words, words * 16, n % words, a->stage.scales + n * 16,
                       n / words, l->groups, true, true);
    n -= slots * words;
    if (a->levels != NO_LEVELS) {
        if (n < slots) return side_of(share->w.levels + row, 16, 0, a->stage.levels + n * 16, n, l->groups, true, true);
        n -= slots;
    }
    if (!ordered) {
        if (n < slots)
            return side_of(share->x_scales, token_bytes, 0, a->stage.x_scales + n * token_bytes, n, segments, false,
                           false);
        n -= slots;
    }
    if (a->levels == ZERO_POINTS && n < slots * sum_words)
        return side_of(share->x_sums, token_bytes, n % sum_words,
                       a->stage.x_sums + n / sum_words * token_bytes + n % sum_words * 16, n / sum_words, segments,
                       ordered, false);
    return side_of(share->w.codes, 0, 0, 0, 0, 0, false, false);
}

DEVICE void few_copy_weights(const int bits, const IntegerArguments *a, const WeightShare *share, int slab,
                             uint8_t *stage) {
    const int lane = threadIdx.x % WARP;
    copy_codes(bits, share, (uint32_t)((share->row_block * a->layout.slabs + slab) * slab_words(bits) + lane), stage);
}

DEVICE void few_copy_x(const IntegerArguments *a, const WeightShare *share, int slab, uint8_t *stage) {
    const int lane = threadIdx.x % WARP, columns = a->columns;
    const uint8_t *x = word_at(share->x, (uint32_t)(slab * SLAB_UNITS * 16 + lane));
    UNROLL for (int unit = 0; unit < SLAB_UNITS; unit += 2) // two of them: 16 words have the columns of a unit
        if (lane % 16 < columns * 2)
            copy_begin_shared(stage + a->stage.x + ((unit + lane / 16) * columns * 2 + lane % 16) * 16, x + unit * 256);
}

DEVICE void few_copy_side(const IntegerArguments *a, const Side *side, int slab, uint8_t *stage) {
    const int slot_bits = a->stage.slot_bits, slabs = a->layout.group_columns / SLAB_COLUMNS; // of a group
    const int first = side->of_group && slot_bits == 0 && slabs > 1 ? slab / slabs : slab << slot_bits;
    if (first + side->slot < side->count) copy_begin(stage + side->to, side->from + (size_t)first * side->bytes);
}

DEVICE void few_copy(const int bits, const IntegerArguments *a, const WeightShare *share, const Side *side, int slab,
                     uint8_t *stage) {
    few_copy_weights(bits, a, share, slab, stage);
    few_copy_x(a, share, slab, stage);
    few_copy_side(a, side, slab, stage);
}

// The first slabs, `step` apart: the weights before the activations are there.
DEVICE void few_begin(const int bits, const bool early, const IntegerArguments *a, const WeightShare *share,
                      const Side *side, int slab, int step, int end, uint8_t *stages) {
    const int ahead = a->stages - 1;
    for (int i = 0; i < ahead && slab + i * step < end; i++) {
        few_copy_weights(bits, a, share, slab + i * step, stages + i * a->stage.bytes);
        if (side->of_weights) few_copy_side(a, side, slab + i * step, stages + i * a->stage.bytes);
    }
    if (early) wait_for_previous();
    for (int i = 0; i < ahead; i++) {
        uint8_t *stage = stages + i * a->stage.bytes;
        if (slab + i * step < end) {
            few_copy_x(a, share, slab + i * step, stage);
            if (!side->of_weights) few_copy_side(a, side, slab + i * step, stage);
        }
        COPY_COMMIT();
    }
}

// Where a lane finds its part of x; lanes whose column is not there may read any other.
DEVICE const uint8_t *few_x(const IntegerArguments *a, const uint8_t *stage) {
    const int lane = threadIdx.x % WARP;
    return stage + a->stage.x + (lane / 4 < a->columns ? lane : lane % 4) * 8;
}

// Sums of `units` units of a slab from `unit` on.
DEVICE void few_multiply(const int bits, const int units, const IntegerArguments *a, const uint8_t *stage,
                         const uint8_t *x, const int unit, int32_t *sums) {
    Sums all;
    UNROLL for (int i = 0; i < 4; i++) all[0][0][i] = 0;
    UNROLL for (int u = unit; u < unit + units; u++)
        multiply_unit(bits, 1, 1, stage, u, -1, x + u * a->columns * 32, 0, all);
    UNROLL for (int i = 0; i < 4; i++) sums[i] = all[0][0][i];
}

// ---- Free order: paired planes; the splits share the columns, too ----

// What is copied next, slab by slab: by this lane its first word of the weights, one of x, and one beside them.
typedef struct Feed {
    const uint8_t *w, *x, *side;
    int at, step, left, period; // the group or segment of the side; on by `step` when `period` slabs are through
} Feed;

DEVICE Feed feed_from(const int bits, const IntegerArguments *a, const WeightShare *share, const Side *side, int slab) {
    const IntegerLayout *l = &a->layout;
    const int lane = threadIdx.x % WARP, slabs = l->group_columns / SLAB_COLUMNS;
    Feed f;
    f.w = word_at(share->w.codes, (uint32_t)((share->row_block * l->slabs + slab) * slab_words(bits) + lane));
    f.x = word_at(share->x, (uint32_t)(slab * SLAB_UNITS * 16 + lane));
    f.step = 1 << a->stage.slot_bits;
    f.period = side->of_group && slabs > 1 ? slabs : 1;
    f.left = f.period - slab % f.period;
    f.at = slab / f.period * f.step + side->slot;
    f.side = side->from + (size_t)(slab / f.period * f.step) * side->bytes;
    return f;
}

DEVICE void feed_weights(const int bits, Feed *f, uint8_t *stage) {
    const int lane = threadIdx.x % WARP, words = slab_words(bits);
    UNROLL for (int n = 0; n < words; n += WARP) if (n + lane < words)
        copy_begin(stage + (n + lane) * 16, f->w + n * 16);
    f->w += words * 16;
}

DEVICE void feed_x(const IntegerArguments *a, Feed *f, uint8_t *stage) {
    const int lane = threadIdx.x % WARP, columns = a->columns;
    uint8_t *to = stage + a->stage.x + (lane / 16 * columns * 2 + lane % 16) * 16;
    if (lane % 16 < columns * 2) {
        copy_begin_shared(to, f->x);
        copy_begin_shared(to + columns * 64, f->x + 512);
    }
    f->x += SLAB_UNITS * 256;
}

DEVICE void feed_side(const Side *side, Feed *f, uint8_t *stage) {
    if (f->at < side->count) copy_begin(stage + side->to, f->side);
    if (--f->left > 0) return;
    f->left = f->period;
    f->at += f->step;
    f->side += side->bytes * f->step;
}

// The first slabs: of weights, which need not wait for the activations, and then of these.
DEVICE void feed_first(const int bits, const bool early, const IntegerArguments *a, const Side *side, Feed *f,
                       int slabs, uint8_t *stages) {
    const int ahead = a->stages - 1;
    for (int i = 0; i < ahead && i < slabs; i++) {
        feed_weights(bits, f, stages + i * a->stage.bytes);
        if (side->of_weights) feed_side(side, f, stages + i * a->stage.bytes);
    }
    if (early) wait_for_previous();
    for (int i = 0; i < ahead; i++) {
        if (i < slabs) feed_x(a, f, stages + i * a->stage.bytes);
        if (i < slabs && !side->of_weights) feed_side(side, f, stages + i * a->stage.bytes);
        COPY_COMMIT();
    }
}

// Adds a slab whose segments have so many units to the totals of rows lane / 4 and + 8 and token lane % 4. groups: that
// are left from this slab on; what lies behind them is padding.
DEVICE void free_slab(const int bits, const int levels, const int units, const IntegerArguments *a,
                      const uint8_t *stage, int groups, float *totals) {
    const uint8_t *x = few_x(a, stage);
    UNROLL for (int slot = 0; slot < SLAB_UNITS / units; slot++) {
        const int at = slot * FEW_TOKENS + (int)threadIdx.x % 4;
        int32_t sums[4], level[2];
        float scale[2];
        if (units < SLAB_UNITS && slot >= groups) return;
        few_multiply(bits, units, a, stage, x, slot * units, sums);
        scale_pair(levels, a, stage, slot, scale, level);
        const float activation = ((const float *)(stage + a->stage.x_scales))[at] * (1.0f / (1 << (8 - bits)));
        const int32_t x_sum = x_sum_at(levels, a, stage, at) * (1 << (8 - bits));
        UNROLL for (int i = 0; i < 2; i++) totals[i] = with_segment(
            levels, scale[i] * activation, level[i], sums[2 * i] * 256 + sums[2 * i + 1], x_sum, totals[i]);
    }
}

// The slabs of one warp. levels and units are constant, so that the loop holds nothing else.
DEVICE void free_slabs(const int bits, const int levels, const int units, const bool early, const IntegerArguments *a,
                       const WeightShare *share, int from, int end, uint8_t *first, float *totals) {
    const int bytes = a->stage.bytes, ahead = a->stages - 1;
    const Side side = few_side(false, a, share);
    const uint8_t *here = first, *last = first + ahead * bytes;
    uint8_t *free = first + ahead * bytes;
    Feed f = feed_from(bits, a, share, &side, from);
    int groups = a->layout.groups - from * (SLAB_UNITS / units);
    feed_first(bits, early, a, &side, &f, end - from, first);
    for (int slab = from; slab < end; slab++) {
        wait_for_copies(ahead - 1);
        warp_barrier(); // all lanes' copies are there, and all have left the stage before
        if (slab + ahead < end) {
            feed_weights(bits, &f, free);
            feed_x(a, &f, free);
            feed_side(&side, &f, free);
        }
        COPY_COMMIT();
        free_slab(bits, levels, units, a, here, groups, totals);
        groups -= SLAB_UNITS / units;
        free = free == last ? first : free + bytes;
        here = here == last ? first : here + bytes;
    }
}

DEVICE void free_slabs_as_laid_out(const int bits, const int levels, const bool early, const IntegerArguments *a,
                                   const WeightShare *share, int from, int end, uint8_t *stages, float *totals) {
    switch (a->stage.slot_bits) {
    case 0: free_slabs(bits, levels, 4, early, a, share, from, end, stages, totals); break;
    case 1: free_slabs(bits, levels, 2, early, a, share, from, end, stages, totals); break;
    default: free_slabs(bits, levels, 1, early, a, share, from, end, stages, totals); break;
    }
}

DEVICE void few_free(const int bits, const bool early, const IntegerArguments *a, const WeightShare *share,
                     uint8_t *memory) {
    const int lane = threadIdx.x % WARP, warp = threadIdx.x / WARP;
    const int worker = (int)blockIdx.y * FEW_WARPS + warp, workers = a->splits * FEW_WARPS, slabs = a->layout.slabs;
    const int from = (int)((long long)slabs * worker / workers), end = (int)((long long)slabs * (worker + 1) / workers);
    float *shared = (float *)memory, totals[2]; // shared: [warps][2][lanes]
    totals[0] = totals[1] = 0;
    memory += few_piece_bytes(a) + (size_t)warp * a->stages * a->stage.bytes;
    if (a->levels == ZERO_POINTS)
        free_slabs_as_laid_out(bits, ZERO_POINTS, early, a, share, from, end, memory, totals);
    else
        free_slabs_as_laid_out(bits, NO_LEVELS, early, a, share, from, end, memory, totals);
    UNROLL for (int i = 0; i < 2; i++) shared[(warp * 2 + i) * WARP + lane] = totals[i];
    __syncthreads();
    if (warp >= 2) return;
    float total = 0;
    for (int w = 0; w < FEW_WARPS; w++) total += shared[(w * 2 + warp) * WARP + lane];
    store_output(false, a, share, (int)blockIdx.y, share->row_block * UNIT_ROWS + lane / 4 + warp * 8, lane % 4, total);
}

// ---- In order ----
//
// In one *pass* each warp of the block takes a slab and leaves *pieces* in shared memory: the groups' terms where a
// slab has whole groups, else a sum that is one part of a group's. Then a thread for each output adds them in order,
// while the warps are at the next pass.
//
//     pieces   [2][warps][slots][16 rows][8 tokens]

enum { PIECE_OUTPUTS = UNIT_ROWS * FEW_TOKENS };

DEVICE void ordered_slab(const int bits, const int levels, const int units, const IntegerArguments *a,
                         const uint8_t *stage, int32_t *pieces) {
    const int lane = threadIdx.x % WARP, token = lane % 4 * 2;
    const bool whole = a->layout.group_columns <= SLAB_COLUMNS;
    const uint8_t *x = few_x(a, stage);
    UNROLL for (int slot = 0; slot < SLAB_UNITS / units; slot++) {
        int32_t *to = pieces + slot * PIECE_OUTPUTS + lane / 4 * FEW_TOKENS + token, sums[4], level[2];
        float scale[2];
        few_multiply(bits, units, a, stage, x, slot * units, sums);
        UNROLL for (int i = 0; i < 4; i++) sums[i] >>= 8 - bits;
        if (whole) {
            scale_pair(levels, a, stage, slot, scale, level);
            UNROLL for (int i = 0; i < 4; i++) sums[i] =
                __float_as_int(group_term(levels, scale[i / 2], level[i / 2], sums[i],
                                          x_sum_at(levels, a, stage, slot * FEW_TOKENS + token + i % 2)));
        }
        UNROLL for (int i = 0; i < 4; i++) to[i / 2 * 8 * FEW_TOKENS + i % 2] = sums[i];
    }
}

DEVICE void ordered_slab_as_laid_out(const int bits, const int levels, const IntegerArguments *a, const uint8_t *stage,
                                     int32_t *pieces) {
    switch (a->stage.slot_bits) {
    case 0: ordered_slab(bits, levels, 4, a, stage, pieces); break;
    case 1: ordered_slab(bits, levels, 2, a, stage, pieces); break;
    default: ordered_slab(bits, levels, 1, a, stage, pieces); break;
    }
}

// What is left to add of a group that has several slabs.
typedef struct Adder {
    float total;
    int32_t sum;
    int group, left; // slabs of it
} Adder;

// The pieces of the slabs from `slab` on, one pass of them, for one output.
DEVICE void add_pieces(const IntegerArguments *a, const WeightShare *share, const int32_t *pieces, int slab, int row,
                       int token, Adder *adder) {
    const IntegerLayout *l = &a->layout;
    const int slot_bits = a->stage.slot_bits, levels = a->levels;
    const int slabs = l->slabs - slab < FEW_WARPS ? l->slabs - slab : FEW_WARPS;
    pieces += row * FEW_TOKENS + token;
    if (l->group_columns <= SLAB_COLUMNS) {
        const int rest = l->groups - (slab << slot_bits), count = slabs << slot_bits;
        for (int n = 0; n < count && n < rest; n++)
            adder->total = with_term(levels, adder->total, __int_as_float(pieces[n * PIECE_OUTPUTS]));
        return;
    }
    for (int n = 0; n < slabs; n++) {
        adder->sum += pieces[n * PIECE_OUTPUTS];
        if (--adder->left > 0) continue;
        const size_t at = scale_index(l, share->row_block * UNIT_ROWS + row, adder->group);
        const float scale = levels == FACTORS ? 0 : element_at(a->scale_dtype, share->w.scales, at);
        const int level = levels == NO_LEVELS ? 0 : share->w.levels[at];
        const int32_t x = levels == ZERO_POINTS ? share->x_sums[(size_t)adder->group * FEW_TOKENS + token] : 0;
        adder->total = with_term(levels, adder->total, group_term(levels, scale, level, adder->sum, x));
        adder->sum = 0;
        adder->group++;
        adder->left = l->group_columns / SLAB_COLUMNS;
    }
}

DEVICE void few_ordered(const int bits, const bool early, const IntegerArguments *a, const WeightShare *share,
                        uint8_t *memory) {
    const int warp = threadIdx.x / WARP, stages = a->stages, slabs = a->layout.slabs;
    const int row = threadIdx.x % UNIT_ROWS, token = threadIdx.x / UNIT_ROWS, slot_bits = a->stage.slot_bits;
    const int warp_pieces = PIECE_OUTPUTS << slot_bits;
    const Side side = few_side(true, a, share);
    int32_t *pieces = (int32_t *)memory;
    Adder adder;
    adder.total = 0;
    adder.sum = adder.group = 0;
    adder.left = a->layout.group_columns / SLAB_COLUMNS;
    memory += few_piece_bytes(a) + (size_t)warp * stages * a->stage.bytes;
    few_begin(bits, early, a, share, &side, warp, FEW_WARPS, slabs, memory);
    for (int first = 0, here = 0, free = stages - 1, buffer = 0; first < slabs; first += FEW_WARPS) {
        const int ahead = first + (stages - 1) * FEW_WARPS + warp;
        int32_t *now = pieces + buffer * FEW_WARPS * warp_pieces, *own = now + warp * warp_pieces;
        const uint8_t *stage = memory + here * a->stage.bytes;
        wait_for_copies(stages - 2);
        warp_barrier();
        if (ahead < slabs) few_copy(bits, a, share, &side, ahead, memory + free * a->stage.bytes);
        COPY_COMMIT();
        if (first + warp < slabs) {
            switch (a->levels) {
            case ZERO_POINTS: ordered_slab_as_laid_out(bits, ZERO_POINTS, a, stage, own); break;
            case FACTORS: ordered_slab_as_laid_out(bits, FACTORS, a, stage, own); break;
            default: ordered_slab_as_laid_out(bits, NO_LEVELS, a, stage, own); break;
            }
        }
        __syncthreads(); // these pieces are added before the next barrier, and overwritten behind it
        if (token < share->tokens) add_pieces(a, share, now, first, row, token, &adder);
        buffer = 1 - buffer;
        free = here;
        here = here + 1 < stages ? here + 1 : 0;
    }
    if (token < share->tokens) store_output(true, a, share, 0, share->row_block * UNIT_ROWS + row, token, adder.total);
}

// ---- Many tokens ----
//
// A block computes the rows and tokens of its tile; its warps stand side by side along both (IntegerTile).
//
//     stage   weights [row blocks][slab] │ activations [token blocks][units][planes][256 bytes] │ scales …

enum { TILED_THREADS = 8 * WARP }; // at most

typedef struct Tile {
    WeightShare share;
    int row_blocks, token_block, token_blocks; // of the block, from share's row block on
    int row, token;                            // where this warp's part begins in it, in blocks
    uint32_t codes, x; // the word that this lane copies next of the warp's first row block and token block
    Walk next;         // where the slab that is copied next begins
    int next_slab;
} Tile;

DEVICE Tile tile_of_block(const int bits, const int planes, const int nr, const int nb, const IntegerArguments *a,
                          int slab) {
    const IntegerLayout *l = &a->layout;
    const int warp = threadIdx.x / WARP, lane = threadIdx.x % WARP;
    Tile t;
    t.row_blocks = tile_row_blocks(&a->tile);
    t.token_blocks = tile_token_blocks(&a->tile);
    // Blocks that share weights run side by side.
    const int along = (token_blocks(a->tokens) + t.token_blocks - 1) / t.token_blocks;
    t.token_block = share_of(a, (int)blockIdx.x, t.row_blocks, along, &t.share) * t.token_blocks;
    t.row = warp / a->tile.token_warps * nr;
    t.token = warp % a->tile.token_warps * nb;
    t.codes = (uint32_t)(((t.share.row_block + warp) * l->slabs + slab) * slab_words(bits) + lane);
    t.x = (uint32_t)(((t.token_block + warp) * l->units + slab * SLAB_UNITS) * planes * 16 + lane);
    t.next = walk_from(l, slab * SLAB_HALVES);
    t.next_slab = slab;
    return t;
}

// Row block r of the tile, by a warp: its weights, and the scales and levels of the groups from `group` on.
DEVICE void copy_rows(const int bits, const IntegerArguments *a, const WeightShare *share, int r, uint32_t codes,
                      int group, uint8_t *stage) {
    const int lane = threadIdx.x % WARP, slot_bits = a->stage.slot_bits, groups = a->layout.groups;
    const int word_bits = a->scale_dtype == ELEMENT_F32 ? 2 : 1; // of the words of 16 scales
    const int first = (share->row_block + r) * groups + group, slots = 1 << slot_bits;
    copy_codes(bits, share, codes, stage + r * (int)slab_bytes(bits));
    if (a->levels != FACTORS && lane < slots << word_bits && group + (lane >> word_bits) < groups)
        copy_begin(stage + a->stage.scales + ((r << (slot_bits + word_bits)) + lane) * 16,
                   word_at(share->w.scales, (uint32_t)((first << word_bits) + lane)));
    if (a->levels != NO_LEVELS && lane < slots && group + lane < groups)
        copy_begin(stage + a->stage.levels + ((r << slot_bits) + lane) * 16,
                   word_at(share->w.levels, (uint32_t)(first + lane)));
}

// Token block b of the tile, by a warp: its activations, and what belongs to the segments from `segment` on.
DEVICE void copy_tokens(const int planes, const IntegerArguments *a, const Tile *t, int b, uint32_t x, int segment,
                        uint8_t *stage) {
    const int lane = threadIdx.x % WARP, bytes = SLAB_UNITS * planes * 256, token_bytes = t->token_blocks * 32;
    const int rows = 1 << a->stage.slot_bits, blocks = token_blocks(a->tokens), planes_summed = sum_planes(planes);
    const int left = segment_count(&a->layout, planes) - segment, block = t->token_block + b;
    const int to = b * 32 + lane % 2 * 16, from = block * 2 + lane % 2; // two words have eight tokens
    const uint8_t *codes = word_at(a->x, x);
    UNROLL for (int n = 0; n < bytes; n += WARP * 16)
        copy_begin_shared(stage + a->stage.x + b * bytes + n + lane * 16, codes + n);
    if (planes > 1 && lane / 2 < rows && lane / 2 < left)
        copy_begin_shared(stage + a->stage.x_scales + lane / 2 * token_bytes + to,
                          word_at(a->x_scales, (uint32_t)((segment + lane / 2) * blocks * 2 + from)));
    if (a->levels != ZERO_POINTS) return;
    for (int row = lane / 2; row < rows * planes_summed && row < left * planes_summed; row += WARP / 2)
        copy_begin_shared(stage + a->stage.x_sums + row * token_bytes + to,
                          word_at(a->x_sums, (uint32_t)((segment * planes_summed + row) * blocks * 2 + from)));
}

// The next slab. Warps take row blocks and token blocks in turn.
DEVICE void tiled_copy(const int bits, const int planes, const IntegerArguments *a, Tile *t, uint8_t *stage) {
    const IntegerLayout *l = &a->layout;
    const int warp = threadIdx.x / WARP, warps = a->tile.warps, blocks = token_blocks(a->tokens) - t->token_block;
    const int segment = planes == 1 ? t->next.group : t->next_slab << a->stage.slot_bits;
    uint32_t codes = t->codes, x = t->x;
    for (int r = warp; r < t->row_blocks && t->share.row_block + r < t->share.row_blocks; r += warps) {
        copy_rows(bits, a, &t->share, r, codes, t->next.group, stage);
        codes += (uint32_t)(warps * l->slabs * slab_words(bits));
    }
    for (int b = warp; b < t->token_blocks && b < blocks; b += warps) {
        copy_tokens(planes, a, t, b, x, segment, stage);
        x += (uint32_t)(warps * l->units * planes * 16);
    }
    t->codes += (uint32_t)slab_words(bits);
    t->x += (uint32_t)(SLAB_UNITS * planes * 16);
    t->next_slab++;
    walk_slab(l, &t->next);
}

// Adds the sums of a run to the totals and clears them. slot: of its group, counted from the slab's first; plane: of
// the activations.
DEVICE void tiled_add_with(const int bits, const int planes, const int levels, const int nr, const int nb,
                           const IntegerArguments *a, const Tile *t, const uint8_t *stage, int slot, const int plane,
                           Sums sums, Totals totals) {
    const int tokens = t->token_blocks * TOKEN_BLOCK, first = t->token * TOKEN_BLOCK + (int)threadIdx.x % 4 * 2;
    const int sum_row = slot * sum_planes(planes) + (planes == 3 ? plane : 0);
    const float factor = plane_factor(planes, plane) / (1 << (8 - bits));
    const float *activations = (const float *)(stage + a->stage.x_scales) + slot * tokens + first;
    float scale[MOST_ROWS][2];
    int level[MOST_ROWS][2];
    UNROLL for (int r = 0; r < nr; r++) {
        scale_pair(levels, a, stage, ((t->row + r) << a->stage.slot_bits) + slot, scale[r], level[r]);
        UNROLL for (int half = 0; half < 2; half++) if (planes > 1) scale[r][half] *= factor;
    }
    UNROLL for (int b = 0; b < nb; b++) {
        float activation[2];
        int32_t x[2];
        UNROLL for (int i = 0; i < 2; i++) {
            activation[i] = planes > 1 ? activations[b * TOKEN_BLOCK + i] : 1;
            x[i] = x_sum_at(levels, a, stage, sum_row * tokens + first + b * TOKEN_BLOCK + i);
            if (planes > 1) x[i] *= 1 << (8 - bits);
        }
        UNROLL for (int r = 0; r < nr; r++) UNROLL for (int i = 0; i < 4; i++) {
            float *total = &totals[r][b][i];
            if (planes == 1)
                *total = with_term(
                    levels, *total,
                    group_term(levels, scale[r][i / 2], level[r][i / 2], sums[r][b][i] >> (8 - bits), x[i % 2]));
            else
                *total = with_segment(levels, scale[r][i / 2] * activation[i % 2], level[r][i / 2], sums[r][b][i],
                                      x[i % 2], *total);
            sums[r][b][i] = 0;
        }
    }
}

DEVICE void tiled_add(const int bits, const int planes, const int nr, const int nb, const IntegerArguments *a,
                      const Tile *t, const uint8_t *stage, int slot, const int plane, Sums sums, Totals totals) {
    if (a->levels == ZERO_POINTS)
        tiled_add_with(bits, planes, ZERO_POINTS, nr, nb, a, t, stage, slot, plane, sums, totals);
    else if (planes == 1 && a->levels == FACTORS)
        tiled_add_with(bits, planes, FACTORS, nr, nb, a, t, stage, slot, plane, sums, totals);
    else
        tiled_add_with(bits, planes, NO_LEVELS, nr, nb, a, t, stage, slot, plane, sums, totals);
}

// One plane of the run of `halves` halves from `half` on. x: the lane's part of the warp's first token block.
DEVICE void tiled_multiply(const int bits, const int planes, const int nr, const int nb, const IntegerArguments *a,
                           const uint8_t *w, const uint8_t *x, int half, int halves, Sums sums) {
    const int block_bytes = SLAB_UNITS * planes * 256;
    if (a->layout.group_columns < UNIT_COLUMNS)
        multiply_unit(bits, nr, nb, w, half / 2, half % 2, x + half / 2 * planes * 256, block_bytes, sums);
    else
        for (int unit = half / 2; unit < (half + halves) / 2; unit++)
            multiply_unit(bits, nr, nb, w, unit, -1, x + unit * planes * 256, block_bytes, sums);
}

// walk: where the slab begins, and then where it ends. In order, a group's sums go on from slab to slab.
DEVICE void tiled_slab(const int bits, const int planes, const int nr, const int nb, const IntegerArguments *a,
                       const Tile *t, const uint8_t *stage, Walk *walk, Sums sums, Totals totals) {
    const int first = walk->group;
    const uint8_t *w = stage + t->row * (int)slab_bytes(bits);
    const uint8_t *x = stage + a->stage.x + t->token * SLAB_UNITS * planes * 256 + threadIdx.x % WARP * 8;
    for (int half = 0, halves; half < SLAB_HALVES; half += halves) {
        const int group = walk->group, slot = group - first;
        if (group >= a->layout.groups) return; // only padding is left
        halves = walk_run(&a->layout, half, walk);
        UNROLL for (int plane = 0; plane < planes; plane++) {
            tiled_multiply(bits, planes, nr, nb, a, w, x + plane * 256, half, halves, sums);
            if (planes == 2 && plane == 0) {
                // The second plane goes on top: together they are the number that they stand for.
                UNROLL for (int r = 0; r < nr; r++) UNROLL for (int b = 0; b < nb; b++)
                    UNROLL for (int i = 0; i < 4; i++) sums[r][b][i] *= 256;
            } else if (planes > 1 || walk->group > group) {
                tiled_add(bits, planes, nr, nb, a, t, stage, slot, plane, sums, totals);
            }
        }
    }
}

DEVICE void tiled_product(const int bits, const int planes, const int nr, const int nb, const IntegerArguments *a,
                          uint8_t *memory) {
    const bool ordered = planes == 1;
    const IntegerLayout *l = &a->layout;
    const int lane = threadIdx.x % WARP, split = (int)blockIdx.y, stages = a->stages;
    const int from = (int)((long long)l->slabs * split / a->splits),
              end = (int)((long long)l->slabs * (split + 1) / a->splits);
    Tile t = tile_of_block(bits, planes, nr, nb, a, from);
    Sums sums;
    Totals totals;
    Walk walk = walk_from(l, from * SLAB_HALVES);
    UNROLL for (int r = 0; r < nr; r++) UNROLL for (int b = 0; b < nb; b++) UNROLL for (int i = 0; i < 4; i++)
        totals[r][b][i] = 0,
        sums[r][b][i] = 0;
    for (int i = 0; i < stages - 1; i++) {
        if (from + i < end) tiled_copy(bits, planes, a, &t, memory + i * a->stage.bytes);
        COPY_COMMIT();
    }
    for (int slab = from, here = 0, free = stages - 1; slab < end; slab++) {
        wait_for_copies(stages - 2);
        __syncthreads(); // everyone's copies are there, and everyone has left the stage before
        if (slab + stages - 1 < end) tiled_copy(bits, planes, a, &t, memory + free * a->stage.bytes);
        COPY_COMMIT();
        tiled_slab(bits, planes, nr, nb, a, &t, memory + here * a->stage.bytes, &walk, sums, totals);
        free = here;
        here = here + 1 < stages ? here + 1 : 0;
    }
    UNROLL for (int r = 0; r < nr; r++) UNROLL for (int b = 0; b < nb; b++) UNROLL for (int i = 0; i < 4; i++)
        store_output(ordered, a, &t.share, split, (t.share.row_block + t.row + r) * UNIT_ROWS + lane / 4 + i / 2 * 8,
                     (t.token_block + t.token + b) * TOKEN_BLOCK + lane % 4 * 2 + i % 2, totals[r][b][i]);
}

// ---- The kernels, by bits ----

// A launch that is one of four, by the number of bits.
#define LAUNCH_BY_BITS(NAME, OF)                               \
    static int NAME(void *stream, const IntegerArguments *a) { \
        switch (a->layout.bits) {                              \
        case 2: return OF##_2(stream, a);                      \
        case 3: return OF##_3(stream, a);                      \
        case 4: return OF##_4(stream, a);                      \
        default: return OF##_8(stream, a);                     \
        }                                                      \
    }

#define TILED_KERNEL(BITS, PLANES, NR, NB)                                                   \
    DYNAMIC_KERNEL(tiled_##BITS##_##PLANES##_##NR##_##NB, TILED_THREADS, IntegerArguments) { \
        DYNAMIC_SHARED(memory);                                                              \
        tiled_product(BITS, PLANES, NR, NB, &a, memory);                                     \
    }
#define LAUNCH_TILED(BITS, PLANES, NR, NB) \
    LAUNCH(tiled_##BITS##_##PLANES##_##NR##_##NB, grid, a->tile.warps *WARP, shared, stream, a)

// With portions a block may find that there is nothing for it to do, and knows its weights only when it has waited.
#define FEW_KERNELS(BITS, PORTIONS, NAME)                                         \
    EARLY_DYNAMIC_KERNEL(few_free_##NAME, FEW_WARPS *WARP, IntegerArguments) {    \
        DYNAMIC_SHARED(memory);                                                   \
        WeightShare share;                                                        \
        share_of(&a, (int)blockIdx.x, 1, 1, &share);                              \
        if (PORTIONS) wait_for_previous();                                        \
        if (PORTIONS && !share_of_portion(&a, &share)) return;                    \
        few_free(BITS, !(PORTIONS), &a, &share, memory);                          \
    }                                                                             \
    EARLY_DYNAMIC_KERNEL(few_ordered_##NAME, FEW_WARPS *WARP, IntegerArguments) { \
        DYNAMIC_SHARED(memory);                                                   \
        WeightShare share;                                                        \
        share_of(&a, (int)blockIdx.x, 1, 1, &share);                              \
        if (PORTIONS) wait_for_previous();                                        \
        if (PORTIONS && !share_of_portion(&a, &share)) return;                    \
        few_ordered(BITS, !(PORTIONS), &a, &share, memory);                       \
    }
#define LAUNCH_FEW(NAME)                                                                    \
    (a->planes == 1 ? LAUNCH(few_ordered_##NAME, grid, FEW_WARPS * WARP, shared, stream, a) \
                    : LAUNCH(few_free_##NAME, grid, FEW_WARPS * WARP, shared, stream, a))

#define INTEGER_KERNELS(BITS)                                                                                      \
    FEW_KERNELS(BITS, false, BITS)                                                                                 \
    FEW_KERNELS(BITS, true, portions_##BITS)                                                                       \
    TILED_KERNEL(BITS, 1, 1, 1)                                                                                    \
    TILED_KERNEL(BITS, 1, 2, 2)                                                                                    \
    TILED_KERNEL(BITS, 1, 2, 4)                                                                                    \
    TILED_KERNEL(BITS, 1, 4, 4)                                                                                    \
    TILED_KERNEL(BITS, 2, 1, 1)                                                                                    \
    TILED_KERNEL(BITS, 2, 2, 2)                                                                                    \
    TILED_KERNEL(BITS, 2, 2, 4)                                                                                    \
    TILED_KERNEL(BITS, 3, 1, 1)                                                                                    \
    TILED_KERNEL(BITS, 3, 2, 2)                                                                                    \
    static int launch_few_##BITS(void *stream, const IntegerArguments *a) {                                        \
        const Extent grid = extent(integer_blocks(a, 1, 1), a->splits, a->portions.list ? a->portions.count : 1);  \
        const size_t shared = few_piece_bytes(a) + (size_t)FEW_WARPS * (size_t)a->stages * (size_t)a->stage.bytes; \
        if (a->portions.list) return LAUNCH_FEW(portions_##BITS);                                                  \
        return LAUNCH_FEW(BITS);                                                                                   \
    }                                                                                                              \
    static int launch_tiled_##BITS(void *stream, const IntegerArguments *a) {                                      \
        const Extent grid =                                                                                        \
            extent(integer_blocks(a, tile_row_blocks(&a->tile), tile_token_blocks(&a->tile)), a->splits, 1);       \
        const size_t shared = (size_t)a->stages * (size_t)a->stage.bytes;                                          \
        switch (a->planes * 100 + a->tile.rows * 10 + a->tile.tokens) {                                            \
        case 111: return LAUNCH_TILED(BITS, 1, 1, 1);                                                              \
        case 122: return LAUNCH_TILED(BITS, 1, 2, 2);                                                              \
        case 124: return LAUNCH_TILED(BITS, 1, 2, 4);                                                              \
        case 144: return LAUNCH_TILED(BITS, 1, 4, 4);                                                              \
        case 211: return LAUNCH_TILED(BITS, 2, 1, 1);                                                              \
        case 222: return LAUNCH_TILED(BITS, 2, 2, 2);                                                              \
        case 224: return LAUNCH_TILED(BITS, 2, 2, 4);                                                              \
        case 311: return LAUNCH_TILED(BITS, 3, 1, 1);                                                              \
        default: return LAUNCH_TILED(BITS, 3, 2, 2);                                                               \
        }                                                                                                          \
    }
