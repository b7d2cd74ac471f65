// Keys and values, and attention over them. A block takes one token, one head of keys with up to `nh` of its query
// heads, and one part of the context (split); eight lanes share a position, so that a warp looks at four positions at
// once and reads whole lines. The softmax runs along: every eight lanes keep a maximum, a sum and a weighted mean, and
// these are merged at the end, within the warp, within the block, and, by the last block to get there, over the splits.
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

// The row of a head and token.
DEVICE size_t write_place(const CacheWriteArguments *a, int n, int first) {
    const int token = n / a->cache.kv_heads, head = n % a->cache.kv_heads;
    return head_row(&a->cache, token / a->tokens, head) + first + token % a->tokens;
}

// The key or the value of one head and token, by a warp: first all keys, then all values.
DEVICE void write_item(const CacheWriteArguments *a, int item) {
    const CacheView *c = &a->cache;
    const int rows = write_items(a) / 2, n = item % rows;
    const size_t row = write_place(a, n, position_of(&a->first));
    if (item < rows)
        write_row(c->dtype, a->k + (size_t)n * c->head_dim, c->head_dim, c->keys, c->key_scales, row);
    else
        write_row(c->dtype, a->v + (size_t)n * c->head_dim, c->head_dim, c->values, c->value_scales, row);
}

KERNEL(cache_write_kernel, WRITE_WARPS *WARP, CacheWriteArguments) {
    const int item = (int)blockIdx.x * WRITE_WARPS + (int)threadIdx.x / WARP;
    if (item < write_items(&a)) write_item(&a, item);
}

// A thread takes one unit of a block, in all sequences.
DEVICE void follow_unit(const CacheFollowArguments *a, unsigned char *first) {
    unsigned int held[FOLLOWING_MOST];
    for (int s = 0; s < a->sequences; s++) {
        const unsigned char *from = first + (size_t)a->from[s] * a->stride;
        held[s] = a->unit == 4 ? *(const unsigned int *)from : *from;
    }
    for (int s = 0; s < a->sequences; s++) {
        unsigned char *to = first + (size_t)s * a->stride;
        if (a->unit == 4)
            *(unsigned int *)to = held[s];
        else
            *to = (unsigned char)held[s];
    }
}

KERNEL(cache_follow_kernel, WRITE_WARPS *WARP, CacheFollowArguments) {
    const size_t at = ((size_t)blockIdx.x * (WRITE_WARPS * WARP) + threadIdx.x) * a.unit;
    const int layer = (int)blockIdx.y / a.heads, head = (int)blockIdx.y % a.heads;
    if (at < a.block)
        follow_unit(&a, (unsigned char *)a.data + (size_t)layer * a.sequences * a.stride + head * a.bytes + at);
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

// ---- Heads that rotate as a whole, of up to 128 dimensions: a lane has two pairs, from memory to memory ----

enum { LANE_PAIRS = 2 };
typedef struct Pairs {
    float low[LANE_PAIRS], high[LANE_PAIRS];
} Pairs;

LAYOUT bool rotates_by_pairs(const RopeArguments *a) {
    return a->head_dim == 2 * a->half && a->half <= LANE_PAIRS * WARP;
}

// Where pair i lies in its head.
DEVICE int pair_low(const RopeArguments *a, int i) { return a->adjacent ? 2 * i : i; }
DEVICE int pair_high(const RopeArguments *a, int i) { return pair_low(a, i) + (a->adjacent ? 1 : a->half); }

// All that is read is asked for together, but for what depends on the position.
DEVICE Pairs rotate_pairs(const RopeArguments *a, int head, int *first) {
    float *x = a->x + (size_t)head * a->head_dim;
    Pairs p;
    UNROLL for (int k = 0; k < LANE_PAIRS; k++) {
        const int i = (int)threadIdx.x % WARP + k * WARP;
        p.low[k] = p.high[k] = 0;
        if (i < a->half) p.low[k] = x[pair_low(a, i)], p.high[k] = x[pair_high(a, i)];
    }
    *first = position_of(&a->first);
    const size_t turns = (size_t)(*first + head / a->heads) * a->half;
    UNROLL for (int k = 0; k < LANE_PAIRS; k++) {
        const int i = (int)threadIdx.x % WARP + k * WARP;
        if (i >= a->half) continue;
        const float c = a->cosine[turns + i], s = a->sine[turns + i], low = p.low[k], high = p.high[k];
        x[pair_low(a, i)] = p.low[k] = low * c - high * s;
        x[pair_high(a, i)] = p.high[k] = high * c + low * s;
    }
    return p;
}

DEVICE void store_code(int8_t *row, const Rounding *r, int i, float value) { row[i] = (int8_t)rounded_code(r, value); }

// As write_row.
DEVICE void write_pairs(const RopeWriteArguments *a, const Pairs *p, size_t row) {
    const CacheView *c = &a->write.cache;
    const size_t begin = row * c->head_dim;
    uint32_t most = 0;
    Rounding r;
    UNROLL for (int k = 0; k < LANE_PAIRS; k++) most =
        larger_bits(most, larger_bits(size_bits(p->low[k]), size_bits(p->high[k])));
    if (c->dtype == ELEMENT_I8) {
        r = rounding_of(warp_largest(most), 0);
        if (threadIdx.x % WARP == 0) c->key_scales[row] = r.scale;
    }
    UNROLL for (int k = 0; k < LANE_PAIRS; k++) {
        const int i = (int)threadIdx.x % WARP + k * WARP;
        if (i >= a->k.half) continue;
        if (c->dtype == ELEMENT_I8) {
            store_code((int8_t *)c->keys + begin, &r, pair_low(&a->k, i), p->low[k]);
            store_code((int8_t *)c->keys + begin, &r, pair_high(&a->k, i), p->high[k]);
        } else {
            store_element(c->dtype, c->keys, begin + pair_low(&a->k, i), p->low[k]);
            store_element(c->dtype, c->keys, begin + pair_high(&a->k, i), p->high[k]);
        }
    }
}

// As rope_write_kernel.
KERNEL(rope_write_pairs, WRITE_WARPS *WARP, RopeWriteArguments) {
    const int item = (int)blockIdx.x * WRITE_WARPS + (int)threadIdx.x / WARP;
    const int items = write_items(&a.write), query = item - items;
    int first;
    if (query >= 0) {
        if (query < a.q.tokens * a.q.heads) rotate_pairs(&a.q, query, &first);
    } else if (item < items / 2) {
        const Pairs p = rotate_pairs(&a.k, item, &first);
        write_pairs(&a, &p, write_place(&a.write, item, first));
    } else {
        write_item(&a.write, item);
    }
}

// ---- Looking back ----

enum { ATTENTION_WARPS = 4, ATTENTION_SLOTS = ATTENTION_WARPS * 4, MOST_HEADS = 4, MOST_CHUNKS = 8 };
enum { ELEMENT_ODD = -1 }; // of any type, in heads that do not come in eights

typedef struct Looking { // of eight lanes
    float most[MOST_HEADS], sum[MOST_HEADS], mixed[MOST_HEADS][MOST_CHUNKS * 8];
} Looking;

typedef float Queries[MOST_HEADS][MOST_CHUNKS * 8];

// Queries of many dimensions lie in shared memory, and leave their registers to more blocks.
LAYOUT bool queries_are_shared(int chunks, int nh) { return chunks * nh >= 8; }

// ---- A position of the cache ----

// Eight elements as they are stored: two words of 16 bytes, one, or half a one; odd ones as floats.
typedef struct Eight {
    uint4 low, high;
} Eight;

// A lane's part of the key and the value at one position.
typedef struct Sight {
    Eight k[MOST_CHUNKS], v[MOST_CHUNKS];
    float key, value; // scales
} Sight;

DEVICE void words_of(const uint32_t *words, Eight *eight) {
    eight->low.x = words[0], eight->low.y = words[1], eight->low.z = words[2], eight->low.w = words[3];
    eight->high.x = words[4], eight->high.y = words[5], eight->high.z = words[6], eight->high.w = words[7];
}

// From dimension d of a row on; zeros behind its end.
DEVICE void load_eight(const int dtype, const CacheView *c, const void *rows, size_t row, int d, Eight *eight) {
    const size_t at = row * c->head_dim + d;
    uint32_t words[8];
    UNROLL for (int j = 0; j < 8; j++) words[j] = 0;
    if (dtype == ELEMENT_ODD) {
        UNROLL for (int j = 0; j < 8; j++) if (d + j < c->head_dim) words[j] =
            __float_as_uint(element_at(c->dtype, rows, at + j));
    }
    words_of(words, eight);
    if (dtype == ELEMENT_ODD || d >= c->head_dim) return;
    if (dtype == ELEMENT_I8) {
        const uint2 v = ((const uint2 *)rows)[at / 8];
        eight->low.x = v.x, eight->low.y = v.y;
    } else if (dtype == ELEMENT_F32) {
        eight->low = ((const uint4 *)rows)[at / 4];
        eight->high = ((const uint4 *)rows)[at / 4 + 1];
    } else {
        eight->low = ((const uint4 *)rows)[at / 8];
    }
}

DEVICE void eight_values(const int dtype, const Eight *eight, float *out) {
    const uint4 low = eight->low, high = eight->high;
    uint32_t words[8];
    words[0] = low.x, words[1] = low.y, words[2] = low.z, words[3] = low.w;
    words[4] = high.x, words[5] = high.y, words[6] = high.z, words[7] = high.w;
    UNROLL for (int j = 0; j < 8; j++) {
        const uint16_t bits = (uint16_t)(words[j / 2] >> (j % 2 * 16));
        out[j] = dtype == ELEMENT_I8     ? (float)(int8_t)(words[j / 4] >> (j % 4 * 8) & 0xFF)
                 : dtype == ELEMENT_F16  ? f16_value(bits)
                 : dtype == ELEMENT_BF16 ? bf16_value(bits)
                                         : __uint_as_float(words[j]);
    }
}

// Key and value are asked for together.
DEVICE void find(const int chunks, const int dtype, const CacheView *c, size_t row, Sight *f) {
    const int part = threadIdx.x % 8;
    UNROLL for (int i = 0; i < chunks; i++) load_eight(dtype, c, c->keys, row, (i * 8 + part) * 8, &f->k[i]);
    UNROLL for (int i = 0; i < chunks; i++) load_eight(dtype, c, c->values, row, (i * 8 + part) * 8, &f->v[i]);
    const bool scaled = dtype == ELEMENT_I8 || (dtype == ELEMENT_ODD && c->key_scales);
    f->key = scaled ? c->key_scales[row] : 1;
    f->value = scaled ? c->value_scales[row] : 1;
}

// ---- Softmax on the way ----

// Two softmaxes over different positions become one: the first takes in the other. What is not a number stays.
DEVICE void merge_looks(const int width, float *most, float *sum, float *mixed, float other_most, float other_sum,
                        const float *other) {
    const float m = fmaxf(*most, other_most), from = m == -INFINITY ? 0 : m;
    const float own = expf(*most - from), its = expf(other_most - from);
    *sum = *sum * own + other_sum * its;
    UNROLL for (int i = 0; i < width; i++) mixed[i] = mixed[i] * own + other[i] * its;
    *most = m;
}

// With the weight that the head's sink takes.
DEVICE float whole_sum(const AttentionArguments *a, int head, float most, float sum) {
    return a->sinks ? sum + expf(a->sinks[head] - most) : sum;
}

// Where a token that stands at `own` finds the biases of positions, from its first on.
DEVICE int bias_shift(const AttentionArguments *a, int own) { return a->bias_middle ? a->bias_middle - own : 0; }

// The first position that is seen by a token that sees nothing from `end` on.
DEVICE int first_seen(const AttentionArguments *a, int end) {
    if (a->window <= 0 || end <= a->window) return 0;
    return a->chunked ? (end - 1) / a->window * a->window : end - a->window;
}

// bias: which of the head's.
DEVICE float adjusted(const AttentionArguments *a, int head, int bias, float score) {
    if (a->softcap > 0) score = a->softcap * tanhf(score / a->softcap);
    return a->bias ? score + a->bias[(size_t)head * a->bias_stride + bias] : score;
}

DEVICE float score_of_eight(const float *q, const float *key, float score) {
    UNROLL for (int j = 0; j < 8; j++) score = fmaf(q[j], key[j], score);
    return score;
}

// One position for all heads. there: false for lanes that only help. shared: [heads][chunks · 64] of queries.
DEVICE void look_at(const int chunks, const int nh, const int dtype, const AttentionArguments *a, int head, int count,
                    int bias, bool there, const Sight *f, Queries q, const float *shared, Looking *look) {
    const int part = threadIdx.x % 8;
    float score[MOST_HEADS], eight[8];
    UNROLL for (int h = 0; h < nh; h++) score[h] = 0;
    UNROLL for (int i = 0; i < chunks; i++) {
        eight_values(dtype, &f->k[i], eight);
        UNROLL for (int h = 0; h < nh; h++) {
            float far[8];
            if (queries_are_shared(chunks, nh)) {
                eight_elements(ELEMENT_F32, shared, (h * chunks * 8 + i * 8 + part) * 8, far);
                score[h] = score_of_eight(far, eight, score[h]);
            } else {
                score[h] = score_of_eight(&q[h][i * 8], eight, score[h]);
            }
        }
    }
    UNROLL for (int h = 0; h < nh; h++) UNROLL for (int mask = 4; mask > 0; mask /= 2) score[h] +=
        shuffle_float(score[h], mask);
    if (!there) return;
    UNROLL for (int h = 0; h < nh; h++) {
        float s = adjusted(a, head + (h < count ? h : 0), bias, score[h] * f->key), most = fmaxf(look->most[h], s);
        float kept = look->most[h] == most ? 1 : expf(look->most[h] - most);
        score[h] = expf(s - most);
        look->sum[h] = look->sum[h] * kept + score[h];
        UNROLL for (int i = 0; i < chunks * 8; i++) look->mixed[h][i] *= kept;
        look->most[h] = most;
        score[h] *= f->value;
    }
    UNROLL for (int i = 0; i < chunks; i++) {
        eight_values(dtype, &f->v[i], eight);
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
    for (int h = 0; h < count; h++) {
        const size_t at = (size_t)row * a->heads + head + h;
        for (int d = threadIdx.x; d < dim; d += ATTENTION_WARPS * WARP) {
            float most = -INFINITY, sum = 0, mixed = 0;
            UNROLL for (int w = 0; w < ATTENTION_WARPS; w++) {
                const float *from = kept + (w * nh + h) * width;
                merge_looks(1, &most, &sum, &mixed, from[0], from[1], &from[2 + d]);
            }
            if (a->splits == 1) {
                a->y[at * dim + d] = mixed / whole_sum(a, head + h, most, sum);
                continue;
            }
            float *part = a->parts + (at * a->splits + split) * (dim + 2);
            part[2 + d] = mixed;
            if (d == 0) part[0] = most, part[1] = sum;
        }
    }
}

// ---- Over the splits ----

// Whether all the other splits of these heads have stored their parts. The last block clears the count for the next
// launch.
DEVICE bool is_last_split(const AttentionArguments *a, uint32_t *arrived) {
    uint32_t *count = a->arrived + blockIdx.z * gridDim.y + blockIdx.y;
    device_fence(); // the part is there before it is counted
    __syncthreads();
    if (threadIdx.x == 0) {
        *arrived = atomicAdd(count, 1u) + 1;
        if (*arrived == (uint32_t)a->splits) *count = 0;
    }
    __syncthreads();
    device_fence(); // and counted before it is read
    return *arrived == (uint32_t)a->splits;
}

DEVICE void merge_splits(const AttentionArguments *a, int head, int count, int row) {
    const int dim = a->cache.head_dim, width = dim + 2;
    for (int h = 0; h < count; h++) {
        const size_t at = (size_t)row * a->heads + head + h;
        const float *parts = a->parts + at * a->splits * width;
        float most = -INFINITY;
        for (int s = 0; s < a->splits; s++) most = fmaxf(most, parts[s * width]);
        const float from = most == -INFINITY ? 0 : most;
        for (int d = threadIdx.x; d < dim; d += ATTENTION_WARPS * WARP) {
            float sum = 0, mixed = 0;
            UNROLL_BY(4) for (int s = 0; s < a->splits; s++) {
                const float weight = expf(parts[s * width] - from);
                sum += parts[s * width + 1] * weight;
                mixed += parts[s * width + 2 + d] * weight;
            }
            a->y[at * dim + d] = mixed / whole_sum(a, head + h, most, sum);
        }
    }
}

// ---- The kernels, by dimensions, heads and type ----

// What a block works on, and the queries' part of it.
typedef struct AttentionShare {
    int split, row, head, count, from, to, shift; // shift: from a position to its bias
    size_t rows;                                  // of the cache
} AttentionShare;

DEVICE AttentionShare attention_share(const int nh, const AttentionArguments *a) {
    const CacheView *c = &a->cache;
    const int per_kv = a->heads / c->kv_heads, pieces = (per_kv + nh - 1) / nh;
    const int kv = (int)blockIdx.y / pieces, own = (int)blockIdx.y % pieces * nh;
    AttentionShare s;
    s.split = (int)blockIdx.x;
    s.row = (int)blockIdx.z;
    s.head = kv * per_kv + own;
    s.count = per_kv - own < nh ? per_kv - own : nh;
    const int place = position_of(&a->first) + s.row % a->tokens, end = a->whole ? a->whole : place + 1,
              begin = first_seen(a, end);
    s.shift = bias_shift(a, place);
    const int each = (end - begin + a->splits - 1) / a->splits;
    s.from = begin + each * s.split;
    s.to = s.from + each < end ? s.from + each : end;
    s.rows = head_row(c, s.row / a->tokens, kv);
    return s;
}

DEVICE float query_at(const AttentionArguments *a, const AttentionShare *s, int h, int d) {
    const size_t at = ((size_t)s->row * a->heads + s->head + (h < s->count ? h : 0)) * a->cache.head_dim;
    return d < a->cache.head_dim ? a->q[at + d] * a->scale : 0;
}

DEVICE void load_shared_queries(const int chunks, const int nh, const AttentionArguments *a, const AttentionShare *s,
                                float *shared) {
    for (int n = threadIdx.x; n < nh * chunks * 64; n += ATTENTION_WARPS * WARP)
        shared[n] = query_at(a, s, n / (chunks * 64), n % (chunks * 64));
    __syncthreads();
}

// memory: shared; first the queries, then what warps leave for one another.
DEVICE void attend(const int chunks, const int nh, const int dtype, const AttentionArguments *a, float *memory,
                   uint32_t *arrived) {
    const CacheView *c = &a->cache;
    const int part = threadIdx.x % 8, slot = threadIdx.x / 8;
    const bool shared = queries_are_shared(chunks, nh), ahead = !shared && dtype != ELEMENT_ODD;
    const AttentionShare s = attention_share(nh, a);
    Queries q;
    Looking look;
    Sight now, next;
    if (shared) load_shared_queries(chunks, nh, a, &s, memory);
    UNROLL for (int h = 0; h < nh; h++) {
        look.most[h] = -INFINITY, look.sum[h] = 0;
        UNROLL for (int i = 0; i < chunks * 8; i++) {
            if (!shared) q[h][i] = query_at(a, &s, h, (i / 8 * 8 + part) * 8 + i % 8);
            look.mixed[h][i] = 0;
        }
    }
    // Lanes without a position take the first one, and only help.
    if (ahead && s.from < s.to) find(chunks, dtype, c, s.rows + (s.from + slot < s.to ? s.from + slot : s.from), &now);
    for (int base = s.from; base < s.to; base += ATTENTION_SLOTS) {
        const int position = base + slot < s.to ? base + slot : s.from, later = base + ATTENTION_SLOTS + slot;
        if (!ahead)
            find(chunks, dtype, c, s.rows + position, &now);
        else if (base + ATTENTION_SLOTS < s.to)
            find(chunks, dtype, c, s.rows + (later < s.to ? later : s.from), &next);
        look_at(chunks, nh, dtype, a, s.head, s.count, position + s.shift, base + slot < s.to, &now, q, memory, &look);
        if (ahead) now = next;
    }
    merge_warp(chunks, nh, &look);
    if (shared) __syncthreads();
    keep_look(chunks, nh, &look, memory);
    __syncthreads();
    store_look(chunks, nh, a, s.head, s.count, s.row, s.split, memory);
    if (a->splits > 1 && is_last_split(a, arrived)) merge_splits(a, s.head, s.count, s.row);
}

#define ATTENTION_KERNEL(CHUNKS, HEADS, TYPE)                                                  \
    KERNEL(attention_##CHUNKS##_##HEADS##_##TYPE, ATTENTION_WARPS *WARP, AttentionArguments) { \
        SHARED(float, memory, ATTENTION_WARPS *HEADS *((CHUNKS)*64 + 2));                      \
        SHARED(uint32_t, arrived, 1);                                                          \
        attend(CHUNKS, HEADS, ELEMENT_##TYPE, &a, memory, arrived);                            \
    }
#define ATTENTION_KERNELS(CHUNKS, HEADS)  \
    ATTENTION_KERNEL(CHUNKS, HEADS, F32)  \
    ATTENTION_KERNEL(CHUNKS, HEADS, F16)  \
    ATTENTION_KERNEL(CHUNKS, HEADS, BF16) \
    ATTENTION_KERNEL(CHUNKS, HEADS, I8)
ATTENTION_KERNELS(1, 1)
ATTENTION_KERNELS(1, 2)
ATTENTION_KERNELS(1, 4)
ATTENTION_KERNELS(2, 1)
ATTENTION_KERNELS(2, 2)
ATTENTION_KERNELS(2, 4)
ATTENTION_KERNELS(4, 1)
ATTENTION_KERNELS(4, 2)
ATTENTION_KERNELS(8, 1)
ATTENTION_KERNEL(1, 1, ODD)
ATTENTION_KERNEL(2, 1, ODD)
ATTENTION_KERNEL(4, 1, ODD)
ATTENTION_KERNEL(8, 1, ODD)

// ---- Launches ----

static int launch_cache_write(void *stream, const CacheWriteArguments *a) {
    const size_t items = 2 * (size_t)a->sequences * a->tokens * a->cache.kv_heads;
    return LAUNCH(cache_write_kernel, extent((items + WRITE_WARPS - 1) / WRITE_WARPS, 1, 1), WRITE_WARPS * WARP, 0,
                  stream, a);
}

static int launch_cache_follow(void *stream, const CacheFollowArguments *a) {
    const size_t units = a->block / a->unit, threads = WRITE_WARPS * WARP;
    return LAUNCH(cache_follow_kernel, extent((units + threads - 1) / threads, (size_t)a->layers * a->heads, 1),
                  WRITE_WARPS * WARP, 0, stream, a);
}

static int launch_rope_write(void *stream, const RopeWriteArguments *a) {
    const size_t items =
        2 * (size_t)a->write.sequences * a->write.tokens * a->write.cache.kv_heads + (size_t)a->q.tokens * a->q.heads;
    const Extent grid = extent((items + WRITE_WARPS - 1) / WRITE_WARPS, 1, 1);
    if (rotates_by_pairs(&a->k) && (a->q.heads == 0 || rotates_by_pairs(&a->q)))
        return LAUNCH(rope_write_pairs, grid, WRITE_WARPS * WARP, 0, stream, a);
    return LAUNCH(rope_write_kernel, grid, WRITE_WARPS * WARP, 0, stream, a);
}

#define LAUNCH_ATTENTION(CHUNKS, HEADS, TYPE) \
    LAUNCH(attention_##CHUNKS##_##HEADS##_##TYPE, grid, ATTENTION_WARPS *WARP, 0, stream, a)
#define LAUNCH_ATTENTION_OF(CHUNKS, HEADS)                                    \
    (a->cache.dtype == ELEMENT_F32    ? LAUNCH_ATTENTION(CHUNKS, HEADS, F32)  \
     : a->cache.dtype == ELEMENT_F16  ? LAUNCH_ATTENTION(CHUNKS, HEADS, F16)  \
     : a->cache.dtype == ELEMENT_BF16 ? LAUNCH_ATTENTION(CHUNKS, HEADS, BF16) \
                                      : LAUNCH_ATTENTION(CHUNKS, HEADS, I8))

static int launch_attention_odd(void *stream, const AttentionArguments *a, Extent grid) {
    if (a->cache.head_dim <= 64) return LAUNCH_ATTENTION(1, 1, ODD);
    if (a->cache.head_dim <= 128) return LAUNCH_ATTENTION(2, 1, ODD);
    if (a->cache.head_dim <= 256) return LAUNCH_ATTENTION(4, 1, ODD);
    return LAUNCH_ATTENTION(8, 1, ODD);
}

static int launch_attention(void *stream, const AttentionArguments *a) {
    const int dim = a->cache.head_dim, per_kv = a->heads / a->cache.kv_heads, nh = attention_heads(per_kv, dim);
    const Extent grid =
        extent(a->splits, (size_t)a->cache.kv_heads * ((per_kv + nh - 1) / nh), (size_t)a->sequences * a->tokens);
    if (dim % 8 != 0) return launch_attention_odd(stream, a, grid);
    switch ((dim <= 64 ? 10 : dim <= 128 ? 20 : dim <= 256 ? 40 : 80) + nh) {
    case 11: return LAUNCH_ATTENTION_OF(1, 1);
    case 12: return LAUNCH_ATTENTION_OF(1, 2);
    case 14: return LAUNCH_ATTENTION_OF(1, 4);
    case 21: return LAUNCH_ATTENTION_OF(2, 1);
    case 22: return LAUNCH_ATTENTION_OF(2, 2);
    case 24: return LAUNCH_ATTENTION_OF(2, 4);
    case 41: return LAUNCH_ATTENTION_OF(4, 1);
    case 42: return LAUNCH_ATTENTION_OF(4, 2);
    default: return LAUNCH_ATTENTION_OF(8, 1);
    }
}
