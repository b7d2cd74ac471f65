// Keys and values, and attention over them. A block takes one token, one head of keys with up to `nh` of its query
// heads, and one part of the context (split); eight lanes share a position, so that a warp looks at four positions at
// once and reads whole lines. The softmax runs along: every eight lanes keep a maximum, a sum and a weighted mean, and
// these are merged at the end, within the warp, within the block, and, by a second kernel, over the splits.
#pragma once

#include "kernels/cuda/kernels_activations.h"
#include "kernels/cuda/kernels_between.h"

// Where the rows of a sequence's head begin.
DEVICE size_t head_row(const CacheView *c, int sequence, int head) {
    return ((size_t)sequence * c->kv_heads + head) * c->positions;
}

// ---- Writing ----

enum { WRITE_WARPS = 4 };

DEVICE void write_row(int dtype, const float *x, int n, void *rows, float *scales, size_t row) {
    const int lane = threadIdx.x % WARP;
    uint32_t most = 0;
    if (dtype != ELEMENT_I8) {
        for (int i = lane; i < n; i += WARP) store_element(dtype, rows, row * n + i, x[i]);
        return;
    }
    for (int i = lane; i < n; i += WARP) most = larger_bits(most, size_bits(x[i]));
    const Rounding r = rounding_of(warp_largest(most), 0);
    for (int i = lane; i < n; i += WARP) ((int8_t *)rows)[row * n + i] = (int8_t)rounded_code(&r, x[i]);
    if (lane == 0) scales[row] = r.scale;
}

DEVICE int write_items(const CacheWriteArguments *a) { return 2 * a->sequences * a->tokens * a->cache.kv_heads; }

// The key or the value of one head and token, by a warp: first all keys, then all values.
DEVICE void write_item(const CacheWriteArguments *a, int item) {
    const CacheView *c = &a->cache;
    const int rows = write_items(a) / 2, n = item % rows, token = n / c->kv_heads, head = n % c->kv_heads;
    const size_t row = head_row(c, token / a->tokens, head) + position_of(&a->first) + token % a->tokens;
    if (item < rows)
        write_row(c->dtype, a->k + (size_t)n * c->head_dim, c->head_dim, c->keys, c->key_scales, row);
    else
        write_row(c->dtype, a->v + (size_t)n * c->head_dim, c->head_dim, c->values, c->value_scales, row);
}

KERNEL(cache_write_kernel, WRITE_WARPS *WARP, CacheWriteArguments) {
    const int item = (int)blockIdx.x * WRITE_WARPS + (int)threadIdx.x / WARP;
    if (item < write_items(&a)) write_item(&a, item);
}

DEVICE void rotate_head(const RopeArguments *a, int head) {
    const int first = position_of(&a->first);
    for (int i = threadIdx.x % WARP; i < a->half; i += WARP) rotate_pair(a, first, head, i);
}

// A warp takes a key, rotated first, a value, or, behind these, a query.
KERNEL(rope_write_kernel, WRITE_WARPS *WARP, RopeWriteArguments) {
    const int item = (int)blockIdx.x * WRITE_WARPS + (int)threadIdx.x / WARP;
    const int items = write_items(&a.write), query = item - items;
    if (query >= 0) {
        if (query < a.q.tokens * a.q.heads) rotate_head(&a.q, query);
        return;
    }
    if (item < items / 2) rotate_head(&a.k, item);
    warp_barrier();
    write_item(&a.write, item);
}

// ---- Looking back ----

enum { ATTENTION_WARPS = 4, ATTENTION_SLOTS = ATTENTION_WARPS * 4, MOST_HEADS = 4, MOST_CHUNKS = 8 };

typedef struct Looking { // of eight lanes
    float most[MOST_HEADS], sum[MOST_HEADS], mixed[MOST_HEADS][MOST_CHUNKS * 8];
} Looking;

// Eight elements of a row from dimension d on; zeros behind its end.
DEVICE void eight_of_row(int dtype, const void *rows, size_t row, int head_dim, int d, float *out) {
    if (head_dim % 8 == 0 && d < head_dim) {
        eight_elements(dtype, rows, row * head_dim + d, out);
    } else {
        UNROLL for (int j = 0; j < 8; j++) out[j] =
            d + j < head_dim ? element_at(dtype, rows, row * head_dim + d + j) : 0;
    }
}

// Two softmaxes over different positions become one: the first takes in the other.
DEVICE void merge_looks(const int width, float *most, float *sum, float *mixed, float other_most, float other_sum,
                        const float *other) {
    float m = fmaxf(*most, other_most);
    if (m == -INFINITY) return;
    float own = expf(*most - m), its = expf(other_most - m);
    *sum = *sum * own + other_sum * its;
    UNROLL for (int i = 0; i < width; i++) mixed[i] = mixed[i] * own + other[i] * its;
    *most = m;
}

// With the weight that the head's sink takes.
DEVICE float whole_sum(const AttentionArguments *a, int head, float most, float sum) {
    return a->sinks ? sum + expf(a->sinks[head] - most) : sum;
}

DEVICE float adjusted(const AttentionArguments *a, int head, int position, float score) {
    if (a->softcap > 0) score = a->softcap * tanhf(score / a->softcap);
    return a->bias ? score + a->bias[(size_t)head * a->bias_stride + position] : score;
}

// One position, whose row is `row`, for all heads. there: false for lanes that only help.
DEVICE void look_at(const int chunks, const int nh, const AttentionArguments *a, int head, int count, int position,
                    size_t row, bool there, float (*q)[MOST_CHUNKS * 8], Looking *look) {
    const CacheView *c = &a->cache;
    const int part = threadIdx.x % 8;
    float score[MOST_HEADS], eight[8];
    UNROLL for (int h = 0; h < nh; h++) score[h] = 0;
    UNROLL for (int i = 0; i < chunks; i++) {
        eight_of_row(c->dtype, c->keys, row, c->head_dim, (i * 8 + part) * 8, eight);
        UNROLL for (int h = 0; h < nh; h++) UNROLL for (int j = 0; j < 8; j++) score[h] =
            fmaf(q[h][i * 8 + j], eight[j], score[h]);
    }
    UNROLL for (int h = 0; h < nh; h++) UNROLL for (int mask = 4; mask > 0; mask /= 2) score[h] +=
        shuffle_float(score[h], mask);
    if (!there) return;
    const float key = c->key_scales ? c->key_scales[row] : 1, value = c->value_scales ? c->value_scales[row] : 1;
    UNROLL for (int h = 0; h < nh; h++) {
        float s = adjusted(a, head + (h < count ? h : 0), position, score[h] * key), most = fmaxf(look->most[h], s);
        float kept = look->most[h] == most ? 1 : expf(look->most[h] - most);
        score[h] = expf(s - most);
        look->sum[h] = look->sum[h] * kept + score[h];
        UNROLL for (int i = 0; i < chunks * 8; i++) look->mixed[h][i] *= kept;
        look->most[h] = most;
        score[h] *= value;
    }
    UNROLL for (int i = 0; i < chunks; i++) {
        eight_of_row(c->dtype, c->values, row, c->head_dim, (i * 8 + part) * 8, eight);
        UNROLL for (int h = 0; h < nh; h++) UNROLL for (int j = 0; j < 8; j++) look->mixed[h][i * 8 + j] =
            fmaf(score[h], eight[j], look->mixed[h][i * 8 + j]);
    }
}

// The four groups of eight lanes become one.
DEVICE void merge_warp(const int chunks, const int nh, Looking *look) {
    UNROLL for (int mask = 8; mask < WARP; mask *= 2) UNROLL for (int h = 0; h < nh; h++) {
        float most = shuffle_float(look->most[h], mask), sum = shuffle_float(look->sum[h], mask);
        float other[MOST_CHUNKS * 8];
        UNROLL for (int i = 0; i < chunks * 8; i++) other[i] = shuffle_float(look->mixed[h][i], mask);
        merge_looks(chunks * 8, &look->most[h], &look->sum[h], look->mixed[h], most, sum, other);
    }
}

// From the first warp on the results lie in shared memory: [warps][heads][maximum, sum, chunks · 64 mixed].
DEVICE void keep_look(const int chunks, const int nh, const Looking *look, float *kept) {
    const int lane = threadIdx.x % WARP, warp = threadIdx.x / WARP, width = chunks * 64 + 2;
    if (lane >= 8) return;
    UNROLL for (int h = 0; h < nh; h++) {
        float *to = kept + (warp * nh + h) * width;
        if (lane == 0) to[0] = look->most[h], to[1] = look->sum[h];
        UNROLL for (int i = 0; i < chunks * 8; i++) to[2 + (i / 8 * 8 + lane) * 8 + i % 8] = look->mixed[h][i];
    }
}

DEVICE void store_look(const int chunks, const int nh, const AttentionArguments *a, int head, int count, int row,
                       int split, const float *kept) {
    const int dim = a->cache.head_dim, width = chunks * 64 + 2;
    for (int n = threadIdx.x; n < count * dim; n += ATTENTION_WARPS * WARP) {
        const int h = n / dim, d = n % dim;
        float most = -INFINITY, sum = 0, mixed = 0;
        UNROLL for (int w = 0; w < ATTENTION_WARPS; w++) {
            const float *from = kept + (w * nh + h) * width;
            merge_looks(1, &most, &sum, &mixed, from[0], from[1], &from[2 + d]);
        }
        const size_t at = (size_t)row * a->heads + head + h;
        if (a->splits == 1) {
            a->y[at * dim + d] = mixed / whole_sum(a, head + h, most, sum);
            continue;
        }
        float *part = a->parts + (at * a->splits + split) * (dim + 2);
        part[2 + d] = mixed;
        if (d == 0) part[0] = most, part[1] = sum;
    }
}

DEVICE void attend(const int chunks, const int nh, const AttentionArguments *a, float *kept) {
    const CacheView *c = &a->cache;
    const int part = threadIdx.x % 8, slot = threadIdx.x / 8, split = (int)blockIdx.x, row = (int)blockIdx.z;
    const int per_kv = a->heads / c->kv_heads, pieces = (per_kv + nh - 1) / nh;
    const int kv = (int)blockIdx.y / pieces, own = (int)blockIdx.y % pieces * nh, head = kv * per_kv + own;
    const int count = per_kv - own < nh ? per_kv - own : nh;
    const int end = position_of(&a->first) + row % a->tokens + 1,
              begin = a->window > 0 && end > a->window ? end - a->window : 0;
    const int each = (end - begin + a->splits - 1) / a->splits, from = begin + each * split;
    const int to = from + each < end ? from + each : end;
    float q[MOST_HEADS][MOST_CHUNKS * 8];
    Looking look;
    UNROLL for (int h = 0; h < nh; h++) {
        look.most[h] = -INFINITY, look.sum[h] = 0;
        UNROLL for (int i = 0; i < chunks * 8; i++) {
            const int d = (i / 8 * 8 + part) * 8 + i % 8;
            const size_t at = ((size_t)row * a->heads + head + (h < count ? h : 0)) * c->head_dim;
            q[h][i] = d < c->head_dim ? a->q[at + d] * a->scale : 0;
            look.mixed[h][i] = 0;
        }
    }
    const size_t rows = head_row(c, row / a->tokens, kv);
    for (int base = from; base < to; base += ATTENTION_SLOTS) {
        const int position = base + slot < to ? base + slot : from;
        look_at(chunks, nh, a, head, count, position, rows + position, base + slot < to, q, &look);
    }
    merge_warp(chunks, nh, &look);
    keep_look(chunks, nh, &look, kept);
    __syncthreads();
    store_look(chunks, nh, a, head, count, row, split, kept);
}

#define ATTENTION_KERNEL(CHUNKS, HEADS)                                               \
    KERNEL(attention_##CHUNKS##_##HEADS, ATTENTION_WARPS *WARP, AttentionArguments) { \
        SHARED(float, kept, ATTENTION_WARPS *HEADS *((CHUNKS)*64 + 2));               \
        attend(CHUNKS, HEADS, &a, kept);                                              \
    }
ATTENTION_KERNEL(1, 4)
ATTENTION_KERNEL(2, 4)
ATTENTION_KERNEL(4, 2)
ATTENTION_KERNEL(8, 1)

// ---- Over the splits ----

// A block takes a head of a token.
KERNEL(attention_merge_kernel, 64, AttentionArguments) {
    const int dim = a.cache.head_dim;
    const float *parts = a.parts + (size_t)blockIdx.x * a.splits * (dim + 2);
    for (int d = threadIdx.x; d < dim; d += 64) {
        float most = -INFINITY, sum = 0, mixed = 0;
        for (int s = 0; s < a.splits; s++) {
            const float *part = parts + (size_t)s * (dim + 2);
            merge_looks(1, &most, &sum, &mixed, part[0], part[1], &part[2 + d]);
        }
        a.y[(size_t)blockIdx.x * dim + d] = mixed / whole_sum(&a, (int)(blockIdx.x % a.heads), most, sum);
    }
}

// ---- Launches ----

static int launch_cache_write(void *stream, const CacheWriteArguments *a) {
    const size_t items = 2 * (size_t)a->sequences * a->tokens * a->cache.kv_heads;
    return LAUNCH(cache_write_kernel, extent((items + WRITE_WARPS - 1) / WRITE_WARPS, 1, 1), WRITE_WARPS * WARP, 0,
                  stream, a);
}

static int launch_rope_write(void *stream, const RopeWriteArguments *a) {
    const size_t items =
        2 * (size_t)a->write.sequences * a->write.tokens * a->write.cache.kv_heads + (size_t)a->q.tokens * a->q.heads;
    return LAUNCH(rope_write_kernel, extent((items + WRITE_WARPS - 1) / WRITE_WARPS, 1, 1), WRITE_WARPS * WARP, 0,
                  stream, a);
}

static int launch_attention_parts(void *stream, const AttentionArguments *a) {
    const int dim = a->cache.head_dim, per_kv = a->heads / a->cache.kv_heads, nh = dim <= 128 ? 4 : dim <= 256 ? 2 : 1;
    const Extent grid =
        extent(a->splits, (size_t)a->cache.kv_heads * ((per_kv + nh - 1) / nh), (size_t)a->sequences * a->tokens);
    if (dim <= 64) return LAUNCH(attention_1_4, grid, ATTENTION_WARPS * WARP, 0, stream, a);
    if (dim <= 128) return LAUNCH(attention_2_4, grid, ATTENTION_WARPS * WARP, 0, stream, a);
    if (dim <= 256) return LAUNCH(attention_4_2, grid, ATTENTION_WARPS * WARP, 0, stream, a);
    return LAUNCH(attention_8_1, grid, ATTENTION_WARPS * WARP, 0, stream, a);
}

static int launch_attention(void *stream, const AttentionArguments *a) {
    int error = launch_attention_parts(stream, a);
    if (error || a->splits == 1) return error;
    return LAUNCH(attention_merge_kernel, extent((size_t)a->sequences * a->tokens * a->heads, 1, 1), 64, 0, stream, a);
}
