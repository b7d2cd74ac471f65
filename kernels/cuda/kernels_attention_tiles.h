// Attention of many tokens: a block takes a tile of queries that read the same keys and values, 32 positions at a time
// from shared memory, and multiplies on tensor cores. A query is a token with one of the heads that share a head of
// keys, so that such heads read together.
//
// Operands there have 11 bits (tf32). Numbers of a 16-bit or 8-bit cache fit; queries, weights of positions and numbers
// of a 32-bit cache are taken in two parts of 11 bits. Tensor cores cut what they add, so the sums of second parts, and
// those of each 32 dimensions or positions, are kept apart and added in the ordinary way.
#pragma once

#include "kernels/cuda/kernels_attention.h"

enum { TILE_BLOCKS = TILE_POSITIONS / 8, MOST_TILE_DIM = ATTENTION_TILE_LARGEST_HEAD };

// ---- Shared memory: rows of `dim` + 4 floats, which the fragments' lanes read without meeting in a bank ----

typedef struct TileMemory {
    float *q, *k, *v;                       // [queries], [positions], [positions]
    float *key_scales, *value_scales, *bad; // [positions]; bad: NaN where a value is not finite, which v holds as 0
} TileMemory;

DEVICE TileMemory tile_memory(const int dim, unsigned char *shared) {
    TileMemory m;
    m.q = (float *)shared;
    m.k = m.q + (size_t)tile_queries(dim) * (dim + 4);
    m.v = m.k + TILE_POSITIONS * (dim + 4);
    m.key_scales = m.v + TILE_POSITIONS * (dim + 4);
    m.value_scales = m.key_scales + TILE_POSITIONS;
    m.bad = m.value_scales + TILE_POSITIONS;
    return m;
}

DEVICE void store_eight(float *to, const float *eight) {
    float4 v;
    v.x = eight[0], v.y = eight[1], v.z = eight[2], v.w = eight[3];
    ((float4 *)to)[0] = v;
    v.x = eight[4], v.y = eight[5], v.z = eight[6], v.w = eight[7];
    ((float4 *)to)[1] = v;
}

// Eight elements of a row from dimension d on; zeros behind its end.
DEVICE void eight_of_row(int dtype, const void *rows, size_t row, int head_dim, int d, float *out) {
    if (head_dim % 8 == 0 && d < head_dim) {
        eight_elements(dtype, rows, row * head_dim + d, out);
    } else {
        UNROLL for (int j = 0; j < 8; j++) out[j] =
            d + j < head_dim ? element_at(dtype, rows, row * head_dim + d + j) : 0;
    }
}

// `count` rows of the cache from `row` on, and zeros behind them. bad NULL: numbers that are not finite stay.
DEVICE void load_rows(const int dim, const CacheView *c, const void *rows, size_t row, int count, float *to,
                      float *bad) {
    for (int n = threadIdx.x; n < TILE_POSITIONS * (dim / 8); n += (int)blockDim.x) {
        const int p = n / (dim / 8), d = n % (dim / 8) * 8;
        float eight[8], probe = 0;
        UNROLL for (int j = 0; j < 8; j++) eight[j] = 0;
        if (p < count) eight_of_row(c->dtype, rows, row + p, c->head_dim, d, eight);
        UNROLL for (int j = 0; j < 8; j++) probe += eight[j] * 0;
        if (bad && !(probe == 0)) {
            bad[p] = NAN;
            UNROLL for (int j = 0; j < 8; j++) eight[j] = 0;
        }
        store_eight(to + p * (dim + 4) + d, eight);
    }
}

// Positions `base` … base + count − 1.
DEVICE void load_positions(const int dim, const CacheView *c, size_t row, int count, const TileMemory *m) {
    __syncthreads(); // all have read what was there
    for (int p = threadIdx.x; p < TILE_POSITIONS; p += (int)blockDim.x) {
        m->key_scales[p] = c->key_scales && p < count ? c->key_scales[row + p] : 1;
        m->value_scales[p] = c->value_scales && p < count ? c->value_scales[row + p] : 1;
        m->bad[p] = 0;
    }
    __syncthreads();
    load_rows(dim, c, c->keys, row, count, m->k, NULL);
    load_rows(dim, c, c->values, row, count, m->v, m->bad);
    __syncthreads();
}

// ---- Queries ----

typedef struct TileQuery {
    size_t at;       // in q and y
    int head, shift; // of its biases
    int begin, end;  // of the positions it sees; none behind the last query
    float most, sum; // of the softmax so far; sum of this lane's positions
} TileQuery;

DEVICE TileQuery tile_query(const AttentionArguments *a, int sequence, int kv, int n) {
    const int per_kv = a->heads / a->cache.kv_heads, token = n / per_kv;
    TileQuery q;
    q.head = kv * per_kv + n % per_kv;
    q.at = (((size_t)sequence * a->tokens + token) * a->heads + q.head) * a->cache.head_dim;
    const int place = position_of(&a->first) + token;
    q.end = token >= a->tokens ? 0 : a->whole ? a->whole : place + 1;
    q.shift = bias_shift(a, place);
    q.begin = first_seen(a, q.end);
    q.most = -INFINITY, q.sum = 0;
    return q;
}

DEVICE void load_queries(const int dim, const AttentionArguments *a, int sequence, int kv, int first, float *to) {
    const int head_dim = a->cache.head_dim, warps = (int)blockDim.x / WARP;
    for (int n = threadIdx.x / WARP; n < tile_queries(dim); n += warps) {
        const TileQuery q = tile_query(a, sequence, kv, first + n);
        for (int d = threadIdx.x % WARP; d < dim; d += WARP)
            to[n * (dim + 4) + d] = q.end > 0 && d < head_dim ? a->q[q.at + d] * a->scale : 0;
    }
}

// ---- Products: C fragments [16 queries, 8 columns], rows lane / 4 and + 8, columns 2 (lane % 4) and the next ----

typedef struct Halves { // of a number; the second is NaN when it is not finite
    uint32_t high, low;
} Halves;

enum { TF32_CUT = 13 }; // bits of a float that tensor cores do not read

DEVICE uint32_t without_cut(uint32_t bits) { return bits >> TF32_CUT << TF32_CUT; }
DEVICE Halves halves_of(float v) {
    Halves h;
    h.high = without_cut(__float_as_uint(v) + (1u << (TF32_CUT - 1)));
    h.low = without_cut(__float_as_uint(v - __uint_as_float(h.high)));
    return h;
}

// a [16, 8] · b [8, 8], a in two halves and b in one (exact) or two; what is small is added to `small`.
DEVICE void multiply_halves(const bool exact, float *c, float *small, uint32_t (*a)[4], const float *b) {
    uint32_t high[2], low[2];
    UNROLL for (int i = 0; i < 2; i++) {
        const Halves h = halves_of(b[i]);
        high[i] = exact ? __float_as_uint(b[i]) : h.high;
        low[i] = h.low;
    }
    multiply_tf32(c, a[0], high);
    multiply_tf32(small, a[1], high);
    if (!exact) multiply_tf32(small, a[0], low);
}

// s [16 queries, 32 positions] = q · k, 32 dimensions after the other.
DEVICE void tile_scores(const int dim, const bool exact, const float *q, const float *k, float (*s)[4]) {
    const int row = threadIdx.x % WARP / 4, column = threadIdx.x % 4;
    UNROLL for (int n = 0; n < TILE_BLOCKS; n++) UNROLL for (int i = 0; i < 4; i++) s[n][i] = 0;
    for (int first = 0; first < dim; first += 32) {
        float sum[TILE_BLOCKS][4], small[TILE_BLOCKS][4];
        UNROLL for (int n = 0; n < TILE_BLOCKS; n++) UNROLL for (int i = 0; i < 4; i++) sum[n][i] = small[n][i] = 0;
        UNROLL for (int d = first; d < first + 32; d += 8) {
            uint32_t a[2][4];
            UNROLL for (int i = 0; i < 4; i++) {
                const Halves h = halves_of(q[(row + i % 2 * 8) * (dim + 4) + d + column + i / 2 * 4]);
                a[0][i] = h.high, a[1][i] = h.low;
            }
            UNROLL for (int n = 0; n < TILE_BLOCKS; n++) {
                const float *from = k + (n * 8 + row) * (dim + 4) + d + column;
                float b[2];
                b[0] = from[0], b[1] = from[4];
                multiply_halves(exact, sum[n], small[n], a, b);
            }
        }
        UNROLL for (int n = 0; n < TILE_BLOCKS; n++) UNROLL for (int i = 0; i < 4; i++) s[n][i] +=
            sum[n][i] + small[n][i];
    }
}

// Scores of one query of this lane → weights, times the scales of the values; returns what earlier weights are to be
// multiplied by. part: which two of the four numbers of a fragment are the query's.
DEVICE float tile_weights(const AttentionArguments *a, const TileMemory *m, int base, const int part, TileQuery *q,
                          float (*s)[4]) {
    const int column = threadIdx.x % 4 * 2;
    float most = q->most;
    UNROLL for (int n = 0; n < TILE_BLOCKS; n++) UNROLL for (int j = 0; j < 2; j++) {
        const int p = n * 8 + column + j, position = base + p;
        float *score = &s[n][part * 2 + j];
        const bool seen = position >= q->begin && position < q->end;
        *score = seen ? adjusted(a, q->head, position + q->shift, *score * m->key_scales[p]) : -INFINITY;
        most = fmaxf(most, *score);
    }
    most = fmaxf(most, shuffle_float(most, 1));
    most = fmaxf(most, shuffle_float(most, 2));
    const float zero = most == -INFINITY ? 0 : most, kept = expf(q->most - zero);
    q->most = most;
    q->sum *= kept;
    UNROLL for (int n = 0; n < TILE_BLOCKS; n++) UNROLL for (int j = 0; j < 2; j++) {
        const int p = n * 8 + column + j, position = base + p;
        const float weight = expf(s[n][part * 2 + j] - zero);
        q->sum += position >= q->begin && position < q->end ? weight + m->bad[p] : 0;
        s[n][part * 2 + j] = weight * m->value_scales[p];
    }
    return kept;
}

// mixed [16 queries, dim] = mixed · kept + weights · v. Which position is which column of a product does not matter, as
// long as both sides agree: columns c and c + 4 are positions 2 c and 2 c + 1, which the lane holds.
DEVICE void tile_mix(const int dim, const bool exact, float (*s)[4], const float *kept, const float *v,
                     float (*mixed)[4]) {
    const int row = threadIdx.x % WARP / 4, column = threadIdx.x % 4;
    uint32_t a[TILE_BLOCKS][2][4];
    UNROLL for (int n = 0; n < TILE_BLOCKS; n++) UNROLL for (int i = 0; i < 4; i++) {
        const Halves h = halves_of(s[n][i % 2 * 2 + i / 2]);
        a[n][0][i] = h.high, a[n][1][i] = h.low;
    }
    UNROLL for (int d = 0; d < dim / 8; d++) {
        float sum[4], small[4];
        UNROLL for (int i = 0; i < 4; i++) sum[i] = small[i] = 0;
        UNROLL for (int n = 0; n < TILE_BLOCKS; n++) {
            const float *from = v + (n * 8 + column * 2) * (dim + 4) + d * 8 + row;
            float b[2];
            b[0] = from[0], b[1] = from[dim + 4];
            multiply_halves(exact, sum, small, a[n], b);
        }
        UNROLL for (int i = 0; i < 4; i++) mixed[d][i] = fmaf(mixed[d][i], kept[i / 2], sum[i] + small[i]);
    }
}

DEVICE void store_mixed(const int dim, const AttentionArguments *a, const TileQuery *q, const int part,
                        float (*mixed)[4]) {
    float sum = q->sum;
    sum += shuffle_float(sum, 1);
    sum += shuffle_float(sum, 2);
    if (q->end == 0) return;
    sum = whole_sum(a, q->head, q->most, sum);
    UNROLL for (int d = 0; d < dim / 8; d++) UNROLL for (int j = 0; j < 2; j++) {
        const int at = d * 8 + threadIdx.x % 4 * 2 + j;
        if (at < a->cache.head_dim) a->y[q->at + at] = mixed[d][part * 2 + j] / sum;
    }
}

// ---- A tile ----

// Later tokens see more, so their tiles begin first.
DEVICE void attend_tile(const int dim, const bool exact, const AttentionArguments *a, unsigned char *shared) {
    const CacheView *c = &a->cache;
    const int kv = (int)blockIdx.y, sequence = (int)blockIdx.z, per_kv = a->heads / c->kv_heads;
    const int queries = tile_queries(dim), first = (int)(gridDim.x - 1 - blockIdx.x) * queries;
    const int warp_first = (int)threadIdx.x / WARP * WARP_QUERIES,
              own = first + warp_first + (int)threadIdx.x % WARP / 4;
    const int last = (first + queries - 1) / per_kv, last_token = last < a->tokens ? last : a->tokens - 1;
    const int end = a->whole ? a->whole : position_of(&a->first) + last_token + 1;
    const size_t rows = head_row(c, sequence, kv);
    const TileMemory m = tile_memory(dim, shared);
    TileQuery q[2];
    float mixed[MOST_TILE_DIM / 8][4];
    UNROLL for (int i = 0; i < 2; i++) q[i] = tile_query(a, sequence, kv, own + i * 8);
    UNROLL for (int d = 0; d < dim / 8; d++) UNROLL for (int i = 0; i < 4; i++) mixed[d][i] = 0;
    load_queries(dim, a, sequence, kv, first, m.q);
    for (int base = tile_query(a, sequence, kv, first).begin; base < end; base += TILE_POSITIONS) {
        float s[TILE_BLOCKS][4], kept[2];
        load_positions(dim, c, rows + base, end - base < TILE_POSITIONS ? end - base : TILE_POSITIONS, &m);
        tile_scores(dim, exact, m.q + warp_first * (dim + 4), m.k, s);
        UNROLL for (int i = 0; i < 2; i++) kept[i] = tile_weights(a, &m, base, i, &q[i], s);
        tile_mix(dim, exact, s, kept, m.v, mixed);
    }
    UNROLL for (int i = 0; i < 2; i++) store_mixed(dim, a, &q[i], i, mixed);
}

#define ATTENTION_TILES_KERNEL(DIM, WARPS, WAY, EXACT)                                \
    DYNAMIC_KERNEL(attention_tiles_##DIM##_##WAY, (WARPS)*WARP, AttentionArguments) { \
        DYNAMIC_SHARED(shared);                                                       \
        attend_tile(DIM, EXACT, &a, shared);                                          \
    }
ATTENTION_TILES_KERNEL(64, 4, exact, true)
ATTENTION_TILES_KERNEL(128, 4, exact, true)
ATTENTION_TILES_KERNEL(256, 2, exact, true)
ATTENTION_TILES_KERNEL(64, 4, halves, false)
ATTENTION_TILES_KERNEL(128, 4, halves, false)
ATTENTION_TILES_KERNEL(256, 2, halves, false)

static int launch_attention_tiles(void *stream, const AttentionArguments *a) {
    const int dim = tile_dim(a->cache.head_dim), queries = tile_queries(dim);
    const size_t rows = (size_t)a->tokens * (a->heads / a->cache.kv_heads), shared = tile_bytes(dim);
    const Extent grid = extent((rows + queries - 1) / queries, a->cache.kv_heads, a->sequences);
    const unsigned threads = (unsigned)queries / WARP_QUERIES * WARP;
    const bool exact = a->cache.dtype != ELEMENT_F32;
#define TILES(DIM)                                                                   \
    (exact ? LAUNCH(attention_tiles_##DIM##_exact, grid, threads, shared, stream, a) \
           : LAUNCH(attention_tiles_##DIM##_halves, grid, threads, shared, stream, a))
    return dim == 64 ? TILES(64) : dim == 128 ? TILES(128) : TILES(256);
#undef TILES
}
