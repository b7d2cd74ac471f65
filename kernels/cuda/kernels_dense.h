// Products with 16- and 32-bit weights in floating point. Few tokens: rows are streamed once, sums in float, so memory
// is the limit. Many: tiles in shared memory; where the vendor's library is there it takes over.
#pragma once

#include "kernels/cuda/kernels_common.h"

// ---- Few tokens ----
//
// A warp computes DENSE_ROWS rows × `tokens` outputs; a lane takes eight columns of every 256. While they are
// multiplied, the weights of the next ones are on their way. x comes from the first-level cache.

enum { DENSE_ROWS = 4, DENSE_WARPS = 4, DENSE_COLUMNS = 8 * WARP };

LAYOUT int dense_blocks(int out) { return (out + DENSE_WARPS * DENSE_ROWS - 1) / (DENSE_WARPS * DENSE_ROWS); }

// What a block works on: one of the launch's weights, or that of the expert of its portion.
typedef struct DenseShare {
    DenseRows rows;
    const float *x;
    float *y;
    int out, block, tokens;
} DenseShare;

// False: nothing is to be done.
DEVICE bool dense_share(const bool portions, const DenseArguments *a, DenseShare *share) {
    int block = (int)blockIdx.x, i = 0;
    for (int blocks; i + 1 < a->weights; block -= blocks, i++) {
        blocks = dense_blocks(a->each[i].out);
        if (block < blocks) break;
    }
    share->rows = a->each[i].rows;
    share->x = a->x;
    share->y = a->each[i].y;
    share->out = a->each[i].out;
    share->block = block;
    share->tokens = a->tokens;
    if (!portions) return true;
    const Portion portion = a->portions.list[blockIdx.z];
    if (portion.count == 0) return false;
    share->rows = a->experts[i * a->portions.experts + portion.expert];
    share->x += (size_t)portion.first * a->in;
    share->y += (size_t)portion.first * share->out;
    share->tokens = portion.count;
    return share->rows.w != NULL;
}

DEVICE void eight_floats(const DenseArguments *a, const DenseShare *share, int token, int column, float *out) {
    const float *x = share->x + (size_t)token * a->in + column;
    if (a->aligned && column + 8 <= a->in) {
        eight_elements(ELEMENT_F32, x, 0, out);
    } else {
        UNROLL for (int j = 0; j < 8; j++) out[j] = column + j < a->in ? x[j] : 0;
    }
}

// Eight weights of each row as they are stored: two words of 16 bytes at 32 bits, else one.
typedef uint4 DenseWeights[DENSE_ROWS][2];

DEVICE void dense_load(const int dtype, const DenseArguments *a, const DenseShare *share, int row, int column,
                       DenseWeights w) {
    const int bytes = dtype == ELEMENT_F32 ? 4 : 2;
    UNROLL for (int r = 0; r < DENSE_ROWS; r++) {
        const size_t at = (size_t)(row + r < share->out ? row + r : row) * a->stride + column;
        UNROLL for (int i = 0; i < bytes / 2; i++) w[r][i] =
            load_once((const uint8_t *)share->rows.w + at * bytes + i * 16);
    }
}

DEVICE void dense_values(const int dtype, const uint4 *words, float *out) {
    UNROLL for (int j = 0; j < 8; j++) {
        const int n = dtype == ELEMENT_F32 ? j : j / 2;
        const uint4 v = words[n / 4];
        const uint32_t word = n % 4 == 0 ? v.x : n % 4 == 1 ? v.y : n % 4 == 2 ? v.z : v.w;
        const uint16_t bits = (uint16_t)(word >> (j % 2 * 16));
        out[j] = dtype == ELEMENT_F32   ? __uint_as_float(word)
                 : dtype == ELEMENT_F16 ? f16_value(bits)
                                        : bf16_value(bits);
    }
}

DEVICE void dense_multiply(const int dtype, const int tokens, const DenseArguments *a, const DenseShare *share,
                           DenseWeights w, int column, float (*sum)[8]) {
    float values[DENSE_ROWS][8];
    UNROLL for (int r = 0; r < DENSE_ROWS; r++) dense_values(dtype, w[r], values[r]);
    UNROLL for (int t = 0; t < tokens; t++) {
        float x[8];
        if (t >= share->tokens) continue;
        eight_floats(a, share, t, column, x);
        UNROLL for (int r = 0; r < DENSE_ROWS; r++) UNROLL for (int j = 0; j < 8; j++) sum[r][t] =
            fmaf(values[r][j], x[j], sum[r][t]);
    }
}

DEVICE void dense_few(const int dtype, const int tokens, const bool portions, const DenseArguments *a) {
    DenseShare share;
    float sum[DENSE_ROWS][8];
    DenseWeights now, next;
    if (portions) wait_for_previous();
    if (!dense_share(portions, a, &share)) return;
    const int lane = threadIdx.x % WARP, row = (share.block * DENSE_WARPS + (int)threadIdx.x / WARP) * DENSE_ROWS;
    if (row < share.out && lane * 8 < a->in) dense_load(dtype, a, &share, row, lane * 8, now);
    if (!portions) wait_for_previous();
    if (row >= share.out) return;
    UNROLL for (int r = 0; r < DENSE_ROWS; r++) UNROLL for (int t = 0; t < tokens; t++) sum[r][t] = 0;
    for (int column = lane * 8; column < a->in; column += DENSE_COLUMNS) {
        const bool more = column + DENSE_COLUMNS < a->in;
        if (more) dense_load(dtype, a, &share, row, column + DENSE_COLUMNS, next);
        dense_multiply(dtype, tokens, a, &share, now, column, sum);
        UNROLL for (int r = 0; more && r < DENSE_ROWS; r++) now[r][0] = next[r][0], now[r][1] = next[r][1];
    }
    UNROLL for (int r = 0; r < DENSE_ROWS; r++) UNROLL for (int t = 0; t < tokens; t++) {
        float y = warp_sum(sum[r][t]);
        if (lane == 0 && row + r < share.out && t < share.tokens)
            share.y[(size_t)t * share.out + row + r] = share.rows.bias ? y + share.rows.bias[row + r] : y;
    }
}

#define DENSE_FEW_KERNEL(DTYPE, TOKENS)                                                      \
    EARLY_KERNEL(dense_few_##DTYPE##_##TOKENS, DENSE_WARPS *WARP, DenseArguments) {          \
        dense_few(ELEMENT_##DTYPE, TOKENS, false, &a);                                       \
    }                                                                                        \
    EARLY_KERNEL(dense_few_portions_##DTYPE##_##TOKENS, DENSE_WARPS *WARP, DenseArguments) { \
        dense_few(ELEMENT_##DTYPE, TOKENS, true, &a);                                        \
    }
#define DENSE_FEW_KERNELS(DTYPE) \
    DENSE_FEW_KERNEL(DTYPE, 1)   \
    DENSE_FEW_KERNEL(DTYPE, 2)   \
    DENSE_FEW_KERNEL(DTYPE, 4)   \
    DENSE_FEW_KERNEL(DTYPE, 8)
DENSE_FEW_KERNELS(F32)
DENSE_FEW_KERNELS(F16)
DENSE_FEW_KERNELS(BF16)

// ---- Many tokens ----
//
// Of one weight. A block computes 64 rows × 64 tokens; a thread 4 × 4 of them. Sixteen columns at a time lie in shared
// memory, W and x alike as [column][64 + padding].

enum { TILE = 64, TILE_DEPTH = 16, TILE_STRIDE = TILE + 4, TILE_THREADS = 256 };

DEVICE void dense_tile_load(const DenseArguments *a, int row, int token, int column, float *w, float *x) {
    for (int i = threadIdx.x; i < TILE * TILE_DEPTH; i += TILE_THREADS) {
        int line = i / TILE_DEPTH, k = i % TILE_DEPTH, c = column + k;
        bool inside = c < a->in;
        w[k * TILE_STRIDE + line] = inside && row + line < a->each[0].out
                                        ? element_at(a->dtype, a->each[0].rows.w, (size_t)(row + line) * a->stride + c)
                                        : 0;
        x[k * TILE_STRIDE + line] = inside && token + line < a->tokens ? a->x[(size_t)(token + line) * a->in + c] : 0;
    }
}

KERNEL(dense_tiled_kernel, TILE_THREADS, DenseArguments) {
    SHARED(float, w, TILE_DEPTH *TILE_STRIDE);
    SHARED(float, x, TILE_DEPTH *TILE_STRIDE);
    const int row = (int)blockIdx.x * TILE, token = (int)blockIdx.y * TILE;
    const int r0 = threadIdx.x % 16 * 4, t0 = threadIdx.x / 16 * 4;
    float sum[4][4];
    UNROLL for (int r = 0; r < 4; r++) UNROLL for (int t = 0; t < 4; t++) sum[r][t] = 0;
    for (int column = 0; column < a.in; column += TILE_DEPTH) {
        dense_tile_load(&a, row, token, column, w, x);
        __syncthreads();
        for (int k = 0; k < TILE_DEPTH; k++) {
            UNROLL for (int t = 0; t < 4; t++) {
                float value = x[k * TILE_STRIDE + t0 + t];
                UNROLL for (int r = 0; r < 4; r++) sum[r][t] = fmaf(w[k * TILE_STRIDE + r0 + r], value, sum[r][t]);
            }
        }
        __syncthreads();
    }
    const DenseOutputs *to = &a.each[0];
    UNROLL for (int t = 0; t < 4; t++) UNROLL for (int r = 0; r < 4; r++) {
        int o = row + r0 + r, at = token + t0 + t;
        if (o < to->out && at < a.tokens)
            to->y[(size_t)at * to->out + o] = to->rows.bias ? sum[r][t] + to->rows.bias[o] : sum[r][t];
    }
}

// ---- Around the vendor's library ----

KERNEL(narrow_kernel, FLAT_THREADS, NarrowArguments) {
    const size_t n = (size_t)a.rows * a.stride;
    for (size_t i = FLAT_INDEX; i < n; i += FLAT_STRIDE) {
        size_t row = i / a.stride, column = i % a.stride;
        store_element(a.dtype, a.y, i, column < (size_t)a.width ? a.x[row * a.width + column] : 0);
    }
}

KERNEL(add_bias_kernel, FLAT_THREADS, BiasArguments) {
    const size_t n = (size_t)a.tokens * a.out;
    for (size_t i = FLAT_INDEX; i < n; i += FLAT_STRIDE) a.y[i] += a.bias[i % a.out];
}

// ---- Launches ----

#define LAUNCH_DENSE_FEW(DTYPE, TOKENS)                                                                       \
    (a->portions.list ? LAUNCH(dense_few_portions_##DTYPE##_##TOKENS, grid, DENSE_WARPS * WARP, 0, stream, a) \
                      : LAUNCH(dense_few_##DTYPE##_##TOKENS, grid, DENSE_WARPS * WARP, 0, stream, a))
#define LAUNCH_DENSE_FEW_OF(DTYPE)                 \
    (a->tokens == 1   ? LAUNCH_DENSE_FEW(DTYPE, 1) \
     : a->tokens == 2 ? LAUNCH_DENSE_FEW(DTYPE, 2) \
     : a->tokens <= 4 ? LAUNCH_DENSE_FEW(DTYPE, 4) \
                      : LAUNCH_DENSE_FEW(DTYPE, 8))

static int launch_dense_few(void *stream, const DenseArguments *a) {
    size_t blocks = 0;
    for (int i = 0; i < a->weights; i++) blocks += (size_t)dense_blocks(a->each[i].out);
    const Extent grid = extent(blocks, 1, a->portions.list ? a->portions.count : 1);
    if (a->dtype == ELEMENT_F32) return LAUNCH_DENSE_FEW_OF(F32);
    if (a->dtype == ELEMENT_F16) return LAUNCH_DENSE_FEW_OF(F16);
    return LAUNCH_DENSE_FEW_OF(BF16);
}

static int launch_dense_tiled(void *stream, const DenseArguments *a) {
    const Extent grid = extent((size_t)(a->each[0].out + TILE - 1) / TILE, (size_t)(a->tokens + TILE - 1) / TILE, 1);
    return LAUNCH(dense_tiled_kernel, grid, TILE_THREADS, 0, stream, a);
}

static int launch_narrow(void *stream, const NarrowArguments *a) {
    return LAUNCH(narrow_kernel, flat_extent((size_t)a->rows * a->stride), FLAT_THREADS, 0, stream, a);
}

static int launch_add_bias(void *stream, const BiasArguments *a) {
    return LAUNCH(add_bias_kernel, flat_extent((size_t)a->tokens * a->out), FLAT_THREADS, 0, stream, a);
}
