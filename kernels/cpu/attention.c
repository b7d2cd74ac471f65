// Keys and values, and attention over them. Threads share (kv head, tile of queries) pairs; within one pair sums have a
// fixed order.
#include <omp.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/memory.h"
#include "kernels/cpu/cpu.h"

// Queries of one tile: they read each key and value once together.
enum { TILE_QUERIES = 16 };

struct Cache {
    size_t layers, sequences, kv_heads, head_dim, positions;
    DType dtype;
    char *keys, *values;              // [layers][sequences][kv_heads][positions, head_dim]
    float *key_scales, *value_scales; // [layers][sequences][kv_heads][positions]; I8 only
};

void cpu_cache_free(Backend *backend, Cache *cache) {
    (void)backend;
    if (!cache) return;
    free(cache->keys);
    free(cache->values);
    free(cache->key_scales);
    free(cache->value_scales);
    free(cache);
}

static size_t tile_floats(const Cache *cache) {
    return attention_scratch(TILE_QUERIES, cache->positions, cache->head_dim);
}

#define ASK_FIRST ((size_t)256 << 20)
static bool cache_memory(Cache *c) {
    size_t rows, bytes = dtype_bytes(c->dtype) * c->head_dim;
    if (__builtin_mul_overflow(c->layers * c->kv_heads, c->sequences, &rows) ||
        __builtin_mul_overflow(rows, c->positions, &rows))
        return false;
    // Asked first where it is large: the system gives more than there is, and ends the program when it is used.
    if (rows >= ASK_FIRST / bytes / 2 && rows >= memory_available() / bytes / 2) return false;
    c->keys = array_new(rows, bytes);
    c->values = array_new(rows, bytes);
    if (c->dtype != DTYPE_I8) return c->keys && c->values;
    c->key_scales = array_new(rows, sizeof *c->key_scales);
    c->value_scales = array_new(rows, sizeof *c->value_scales);
    return c->keys && c->values && c->key_scales && c->value_scales;
}

bool cpu_cache_new(Backend *backend, int layers, size_t sequences, int kv_heads, int head_dim, size_t positions,
                   DType dtype, Cache **out, Error *err) {
    CpuBackend *cpu = cpu_of(backend);
    *out = NULL;
    if (!dtype_is_float16_or_32(dtype) && dtype != DTYPE_I8)
        return error_set(err, "a cache of type %s is not known; F32, F16, BF16 and I8 are", dtype_name(dtype));
    if (layers <= 0 || sequences == 0 || kv_heads <= 0 || head_dim <= 0 || positions == 0 || positions > UINT32_MAX)
        return error_set(err, "a cache of %d layers, %zu × %d heads of %d and %zu positions is not valid", layers,
                         sequences, kv_heads, head_dim, positions);
    Cache *cache = array_new(1, sizeof *cache);
    if (!cache) return error_memory(err, "the cache");
    *cache = (Cache){.layers = (size_t)layers,
                     .sequences = sequences,
                     .kv_heads = (size_t)kv_heads,
                     .head_dim = (size_t)head_dim,
                     .positions = positions,
                     .dtype = dtype};
    if (cache_memory(cache)) {
        if (cpu_reserve(cpu, (size_t)cpu->threads * tile_floats(cache) * sizeof(float), err)) return *out = cache, true;
    } else {
        error_set(err, "no memory for a cache of %zu × %zu positions; ask for a shorter context", sequences, positions);
    }
    cpu_cache_free(backend, cache);
    return false;
}

// Number of a position's row for one layer, sequence and head, and where it begins, in bytes.
static size_t row_number(const Cache *c, size_t layer, size_t sequence, size_t head, size_t position) {
    return ((layer * c->sequences + sequence) * c->kv_heads + head) * c->positions + position;
}
static size_t row_offset(const Cache *c, size_t row) { return row * c->head_dim * dtype_bytes(c->dtype); }

static void write_row(const HostKernels *kernels, const Cache *c, const float *x, size_t row, char *rows,
                      float *scales) {
    char *to = rows + row_offset(c, row);
    if (c->dtype == DTYPE_I8)
        scales[row] = kernels->quantize_row(x, NULL, c->head_dim, 0, (int8_t *)to);
    else
        kernels->narrow(c->dtype, x, c->head_dim, to);
}

void cpu_cache_write(Backend *backend, Cache *c, int layer, size_t first, size_t tokens, const float *k,
                     const float *v) {
    const CpuBackend *cpu = cpu_of(backend);
    for (size_t t = 0; t < c->sequences * tokens; t++) {
        for (size_t head = 0; head < c->kv_heads; head++) {
            size_t from = (t * c->kv_heads + head) * c->head_dim;
            size_t row = row_number(c, (size_t)layer, t / tokens, head, first + t % tokens);
            write_row(cpu->kernels, c, k + from, row, c->keys, c->key_scales);
            write_row(cpu->kernels, c, v + from, row, c->values, c->value_scales);
        }
    }
}

// Blocks of `bytes` of the sequences, `stride` bytes apart, change places.
static void follow_blocks(char *first, size_t bytes, size_t stride, size_t sequences, const int32_t *from) {
    char held[MOST_FOLLOWING][64];
    for (size_t at = 0; at < bytes; at += sizeof held[0]) {
        const size_t n = bytes - at < sizeof held[0] ? bytes - at : sizeof held[0];
        for (size_t s = 0; s < sequences; s++) memcpy(held[s], first + (size_t)from[s] * stride + at, n);
        for (size_t s = 0; s < sequences; s++) memcpy(first + s * stride + at, held[s], n);
    }
}

void cpu_cache_follow(Backend *backend, Cache *c, const int32_t *from, size_t positions) {
    const size_t row = row_offset(c, 1), apart = c->kv_heads * c->positions, scale = sizeof(float);
    (void)backend;
    for (size_t layer = 0; layer < c->layers; layer++) {
        for (size_t head = 0; head < c->kv_heads; head++) {
            const size_t at = row_number(c, layer, 0, head, 0);
            follow_blocks(c->keys + at * row, positions * row, apart * row, c->sequences, from);
            follow_blocks(c->values + at * row, positions * row, apart * row, c->sequences, from);
            if (!c->key_scales) continue;
            follow_blocks((char *)(c->key_scales + at), positions * scale, apart * scale, c->sequences, from);
            follow_blocks((char *)(c->value_scales + at), positions * scale, apart * scale, c->sequences, from);
        }
    }
}

// How queries are cut into tiles: some heads of one kv head × some tokens.
typedef struct Tiling {
    size_t per_kv;     // query heads of one kv head
    size_t heads;      // of them in a tile
    size_t head_tiles; // tiles of one kv head for the same tokens
    size_t tokens;     // in a tile
    size_t token_tiles;
} Tiling;

static Tiling tiling_for(const Cache *c, const AttentionShape *shape, size_t tokens) {
    Tiling t = {.per_kv = (size_t)shape->heads / c->kv_heads};
    t.heads = t.per_kv < TILE_QUERIES ? t.per_kv : TILE_QUERIES;
    t.head_tiles = (t.per_kv + t.heads - 1) / t.heads;
    t.tokens = TILE_QUERIES / t.heads;
    t.token_tiles = (tokens + t.tokens - 1) / t.tokens;
    return t;
}

void cpu_attention(Backend *backend, const Cache *c, int layer, const AttentionShape *shape, const float *q,
                   size_t first, size_t tokens, float *y) {
    const CpuBackend *cpu = cpu_of(backend);
    const Tiling tiling = tiling_for(c, shape, tokens);
    const size_t width = (size_t)shape->heads * c->head_dim;
    const size_t items = c->sequences * c->kv_heads * tiling.head_tiles * tiling.token_tiles;
    // Later tokens see more positions, so tiles are handed out one by one; each writes only its own part of y.
#pragma omp parallel for schedule(dynamic) \
    num_threads(items > 1 ? cpu_threads_for(cpu, 0, 2 * width * c->sequences * tokens * (first + tokens)) : 1)
    for (size_t item = 0; item < items; item++) {
        size_t token = (tiling.token_tiles - 1 - item % tiling.token_tiles) * tiling.tokens,
               rest = item / tiling.token_tiles;
        size_t sequence = rest / tiling.head_tiles / c->kv_heads, kv_head = rest / tiling.head_tiles % c->kv_heads;
        size_t head = rest % tiling.head_tiles * tiling.heads;
        size_t at = (sequence * tokens + token) * width + (kv_head * tiling.per_kv + head) * c->head_dim;
        AttentionTile tile = {
            .dtype = c->dtype, .head_dim = c->head_dim, .scale = shape->scale, .stride = width, .first = first + token};
        size_t row = row_number(c, (size_t)layer, sequence, kv_head, 0);
        tile.keys = c->keys + row_offset(c, row);
        tile.values = c->values + row_offset(c, row);
        tile.key_scales = c->key_scales ? c->key_scales + row : NULL;
        tile.value_scales = c->value_scales ? c->value_scales + row : NULL;
        tile.heads = tiling.per_kv - head < tiling.heads ? tiling.per_kv - head : tiling.heads;
        tile.tokens = tokens - token < tiling.tokens ? tokens - token : tiling.tokens;
        tile.q = q + at;
        tile.y = y + at;
        tile.scratch = (float *)cpu->scratch + (size_t)omp_get_thread_num() * tile_floats(c);
        tile.window = shape->window > 0 ? (size_t)shape->window : 0;
        tile.chunked = shape->chunked;
        tile.softcap = shape->softcap;
        tile.whole = (size_t)shape->whole;
        tile.bias_stride = shape->bias_stride;
        tile.bias_middle = shape->bias_middle;
        tile.bias = shape->bias ? shape->bias + (kv_head * tiling.per_kv + head) * shape->bias_stride : NULL;
        tile.sinks = shape->sinks ? shape->sinks + kv_head * tiling.per_kv + head : NULL;
        cpu->kernels->attention(&tile);
    }
}
