// Keys and values on the device, and attention over them, cut so that a single token keeps the device busy.
#include <assert.h>
#include <stdlib.h>

#include "base/array.h"
#include "kernels/cuda/cuda.h"

struct Cache {
    int layers;
    size_t sequences;
    CacheView view; // of the first layer
    size_t sequence_rows;
};

enum { SPLIT_POSITIONS = 64, MOST_SPLITS = 64 }; // positions that are worth a block of their own
enum { MOST_ROWS = 65535 };                      // of one launch: what a grid may have

void cuda_cache_free(Backend *backend, Cache *cache) {
    CudaBackend *c = cuda_of(backend);
    if (!cache) return;
    cuda_release(c, cache->view.keys);
    cuda_release(c, cache->view.values);
    cuda_release(c, cache->view.key_scales);
    cuda_release(c, cache->view.value_scales);
    free(cache);
}

static size_t target_blocks(const CudaBackend *c) { return 4 * (size_t)c->runtime->facts.multiprocessors; }

static bool cache_memory(CudaBackend *c, Cache *cache, Error *err) {
    CacheView *v = &cache->view;
    const size_t rows = cache->sequence_rows * cache->sequences * (size_t)cache->layers,
                 bytes = rows * (size_t)v->head_dim * dtype_bytes((DType)v->dtype), scales = rows * sizeof(float);
    void *key_scales = NULL, *value_scales = NULL;
    bool ok =
        cuda_allocate(c, bytes, "the cache", &v->keys, err) && cuda_allocate(c, bytes, "the cache", &v->values, err);
    if (ok && v->dtype == (int)DTYPE_I8)
        ok = cuda_allocate(c, scales, "the cache", &key_scales, err) &&
             cuda_allocate(c, scales, "the cache", &value_scales, err);
    v->key_scales = key_scales;
    v->value_scales = value_scales;
    // Attention splits only while that makes no more than target_blocks, of four heads each at most.
    return ok && cuda_reserve(c, &c->parts, target_blocks(c) * 4 * ((size_t)v->head_dim + 2) * sizeof(float), err) &&
           cuda_reserve(c, &c->arrived, target_blocks(c) * sizeof(uint32_t), err);
}

bool cuda_cache_new(Backend *backend, int layers, size_t sequences, int kv_heads, int head_dim, size_t positions,
                    DType dtype, Cache **out, Error *err) {
    CudaBackend *c = cuda_of(backend);
    *out = NULL;
    if (!dtype_is_float16_or_32(dtype) && dtype != DTYPE_I8)
        return error_set(err, "a cache of type %s is not known; F32, F16, BF16 and I8 are", dtype_name(dtype));
    if (layers <= 0 || sequences == 0 || sequences > MOST_ROWS || kv_heads <= 0 || head_dim <= 0 || positions == 0 ||
        positions > INT32_MAX / 2)
        return error_set(err, "a cache of %d layers, %zu × %d heads of %d and %zu positions is not valid", layers,
                         sequences, kv_heads, head_dim, positions);
    if (head_dim > ATTENTION_LARGEST_HEAD)
        return error_set(err, "heads of %d dimensions are more than the %d that CUDA computes here; use --backend cpu",
                         head_dim, ATTENTION_LARGEST_HEAD);
    Cache *cache = array_new(1, sizeof *cache);
    if (!cache) return error_memory(err, "the cache");
    cache->layers = layers;
    cache->sequences = sequences;
    cache->sequence_rows = (size_t)kv_heads * positions;
    cache->view =
        (CacheView){.dtype = (int)dtype, .kv_heads = kv_heads, .head_dim = head_dim, .positions = (int)positions};
    if (cache_memory(c, cache, err)) return *out = cache, true;
    cuda_cache_free(backend, cache);
    return false;
}

static CacheView view_of(const Cache *cache, int layer, size_t sequence) {
    CacheView v = cache->view;
    const size_t row = cache->sequence_rows * (cache->sequences * (size_t)layer + sequence),
                 bytes = row * (size_t)v.head_dim * dtype_bytes((DType)v.dtype);
    v.keys = (char *)v.keys + bytes;
    v.values = (char *)v.values + bytes;
    if (v.key_scales) v.key_scales += row;
    if (v.value_scales) v.value_scales += row;
    return v;
}

void cuda_cache_write(Backend *backend, Cache *cache, int layer, size_t first, size_t tokens, const float *k,
                      const float *v) {
    CudaBackend *c = cuda_of(backend);
    const CudaLaunches *launches = c->runtime->launches;
    void *stream = c->runtime->stream;
    const CacheWriteArguments a = {.cache = view_of(cache, layer, 0),
                                   .k = k,
                                   .v = v,
                                   .sequences = (int)cache->sequences,
                                   .tokens = (int)tokens,
                                   .first = cuda_position(c, first)};
    RopeWriteArguments rotated;
    if (tokens == 0) return;
    const bool rotates = cuda_take_ropes(c, &a, &rotated);
    if (cuda_ready(c))
        cuda_check(c, rotates ? launches->rope_write(stream, &rotated) : launches->cache_write(stream, &a),
                   "writing keys and values");
}

static_assert((int)FOLLOWING_MOST == (int)MOST_FOLLOWING, "sequences that change places");

static void follow(CudaBackend *c, const Cache *cache, void *data, size_t row, const int32_t *from, size_t positions) {
    const CacheView *v = &cache->view;
    CacheFollowArguments a = {.data = data,
                              .block = positions * row,
                              .bytes = (size_t)v->positions * row,
                              .stride = cache->sequence_rows * row,
                              .unit = row % 4 ? 1 : 4,
                              .heads = v->kv_heads,
                              .layers = cache->layers,
                              .sequences = (int)cache->sequences};
    for (int s = 0; s < a.sequences; s++) a.from[s] = from[s];
    if (positions && cuda_ready(c))
        cuda_check(c, c->runtime->launches->cache_follow(c->runtime->stream, &a), "reordering keys and values");
}

void cuda_cache_follow(Backend *backend, Cache *cache, const int32_t *from, size_t positions) {
    CudaBackend *c = cuda_of(backend);
    const CacheView *v = &cache->view;
    const size_t row = (size_t)v->head_dim * dtype_bytes((DType)v->dtype);
    follow(c, cache, v->keys, row, from, positions);
    follow(c, cache, v->values, row, from, positions);
    if (!v->key_scales) return;
    follow(c, cache, v->key_scales, sizeof(float), from, positions);
    follow(c, cache, v->value_scales, sizeof(float), from, positions);
}

// A recorded step does not know how far it will look back: as if the cache were full.
static int splits_for(const CudaBackend *c, const Cache *cache, const AttentionShape *shape, size_t last, size_t rows) {
    const size_t per_kv = (size_t)shape->heads / (size_t)cache->view.kv_heads;
    const size_t nh = (size_t)attention_heads((int)per_kv, shape->head_dim);
    const size_t blocks = (size_t)cache->view.kv_heads * ((per_kv + nh - 1) / nh) * rows;
    size_t seen = shape->whole ? (size_t)shape->whole : c->recording ? (size_t)cache->view.positions : last;
    if (shape->window > 0 && seen > (size_t)shape->window) seen = (size_t)shape->window;
    size_t splits = target_blocks(c) / blocks, useful = (seen + SPLIT_POSITIONS - 1) / SPLIT_POSITIONS;
    if (splits > useful) splits = useful;
    if (splits > MOST_SPLITS) splits = MOST_SPLITS;
    return splits < 1 ? 1 : (int)splits;
}

// Whether there are enough tokens for tiles of queries.
static bool by_tiles(const CudaBackend *c, const Cache *cache, const AttentionShape *shape, size_t tokens) {
    const CudaFacts *facts = &c->runtime->facts;
    const size_t queries = tokens * (size_t)(shape->heads / cache->view.kv_heads);
    return tokens > 1 && !cuda_avoids(c, KERNELS_ATTENTION) && queries >= 2 * WARP_QUERIES &&
           facts->capability >= TENSOR_CORES && shape->head_dim <= ATTENTION_TILE_LARGEST_HEAD &&
           tile_bytes(tile_dim(shape->head_dim)) <= facts->shared_bytes;
}

void cuda_attention(Backend *backend, const Cache *cache, int layer, const AttentionShape *shape, const float *q,
                    size_t first, size_t tokens, float *y) {
    CudaBackend *c = cuda_of(backend);
    const size_t width = (size_t)shape->heads * (size_t)shape->head_dim;
    const size_t together = cache->sequences * tokens <= MOST_ROWS ? cache->sequences : 1, most = MOST_ROWS / together;
    const CudaLaunches *launches = c->runtime->launches;
    int (*launch)(void *, const AttentionArguments *) =
        by_tiles(c, cache, shape, tokens) ? launches->attention_tiles : launches->attention;
    cuda_written(c, y, cache->sequences * tokens * width * sizeof *y);
    for (size_t s = 0; s < cache->sequences; s += together) {
        for (size_t t = 0; t < tokens && cuda_ready(c); t += most) {
            const size_t n = tokens - t < most ? tokens - t : most, at = (s * tokens + t) * width;
            const AttentionArguments a = {.cache = view_of(cache, layer, s),
                                          .q = q + at,
                                          .bias = shape->bias,
                                          .sinks = shape->sinks,
                                          .y = y + at,
                                          .parts = c->parts.data,
                                          .arrived = c->arrived.data,
                                          .bias_stride = shape->bias_stride,
                                          .scale = shape->scale,
                                          .softcap = shape->softcap,
                                          .sequences = (int)together,
                                          .tokens = (int)n,
                                          .heads = shape->heads,
                                          .window = shape->window,
                                          .chunked = shape->chunked,
                                          .whole = shape->whole,
                                          .bias_middle = (int)shape->bias_middle,
                                          .splits = splits_for(c, cache, shape, first + t + n, together * n),
                                          .first = cuda_position(c, first + t)};
            cuda_check(c, launch(c->runtime->stream, &a), "attention");
        }
    }
}
