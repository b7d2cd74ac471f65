// The cache, and attention over it.
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/array.h"
#include "tests/support/backend_buffers.h"

typedef struct AttentionCase {
    int heads, kv_heads, head_dim, window;
    size_t sequences, tokens, before; // of each: tokens of the call, and those that the cache holds already
    DType dtype;
    float softcap;
    bool biased, sinks, chunked;
    bool relative, whole; // biases are by distance; every query sees all positions
    double deviation;     // of the queries
} AttentionCase;

enum { LAYERS = 2, LAYER = 1, BEYOND = 3 }; // positions that are never written

static size_t positions_of(const AttentionCase *a) { return a->before + a->tokens; }
static size_t row_of(const AttentionCase *a) { return (size_t)a->heads * (size_t)a->head_dim; }
static size_t kv_row_of(const AttentionCase *a) { return (size_t)a->kv_heads * (size_t)a->head_dim; }

// Distances go as far back as they go forward.
static size_t bias_stride_of(const AttentionCase *a) {
    return a->relative ? 2 * positions_of(a) : positions_of(a) + BEYOND;
}

static AttentionShape shape_of(const AttentionCase *a, const float *bias, const float *sinks) {
    return (AttentionShape){.heads = a->heads,
                            .kv_heads = a->kv_heads,
                            .head_dim = a->head_dim,
                            .scale = 1 / sqrtf((float)a->head_dim),
                            .window = a->window,
                            .chunked = a->chunked,
                            .softcap = a->softcap,
                            .bias = bias,
                            .bias_stride = bias_stride_of(a),
                            .bias_middle = a->relative ? positions_of(a) : 0,
                            .whole = a->whole ? (int)positions_of(a) : 0,
                            .sinks = sinks};
}

// Keys or values lie as the calls get them: the sequences' tokens of the first call, then those of the second.
static size_t kv_at(const AttentionCase *a, size_t sequence, size_t position) {
    const size_t of_first = a->sequences * a->before;
    const size_t row =
        position < a->before ? sequence * a->before + position : of_first + sequence * a->tokens + position - a->before;
    return row * kv_row_of(a);
}

// ---- What attention is ----

// Rows of a head as the cache keeps them: rounded, or as int8 that the scale absmax / 127 lets see.
static void round_row(DType dtype, float *row, size_t dim) {
    float absmax = 0;
    for (size_t i = 0; i < dim; i++) absmax = fmaxf(absmax, fabsf(row[i]));
    const float scale = absmax / 127;
    for (size_t i = 0; i < dim; i++) {
        if (dtype != DTYPE_I8)
            row[i] = float_rounded(dtype, row[i]);
        else if (scale > 0)
            row[i] = rintf(row[i] * (1 / scale)) * scale;
    }
}

static void round_rows(const AttentionCase *a, float *x) {
    const size_t dim = (size_t)a->head_dim, rows = positions_of(a) * a->sequences * (size_t)a->kv_heads;
    for (size_t r = 0; r < rows; r++) round_row(a->dtype, x + r * dim, dim);
}

// The output of one query, at `at` among the positions; weights: [positions].
static void attend(const AttentionCase *a, const AttentionShape *s, size_t sequence, size_t at, size_t head,
                   const float *q, const float *k, const float *v, double *weights, double *y) {
    const size_t dim = (size_t)s->head_dim, kv = head / (size_t)(s->heads / s->kv_heads);
    const size_t window = (size_t)s->window, chunk = window ? at - at % window : 0,
                 from = s->chunked               ? chunk
                        : window && at >= window ? at + 1 - window
                                                 : 0;
    const size_t end = s->whole ? (size_t)s->whole : at + 1, shift = s->bias_middle ? s->bias_middle - at : 0;
    double most = -INFINITY, sum = 0;
    for (size_t p = from; p < end; p++) {
        const float *key = k + kv_at(a, sequence, p) + kv * dim;
        double score = 0;
        for (size_t i = 0; i < dim; i++) score += (double)q[i] * (double)key[i];
        score *= (double)s->scale;
        if (s->softcap > 0) score = (double)s->softcap * tanh(score / (double)s->softcap);
        weights[p] = score + (s->bias ? (double)s->bias[head * s->bias_stride + p + shift] : 0);
        most = weights[p] > most ? weights[p] : most;
    }
    for (size_t p = from; p < end; p++) sum += weights[p] = exp(weights[p] - most);
    if (s->sinks) sum += exp((double)s->sinks[head] - most);
    for (size_t i = 0; i < dim; i++) y[i] = 0;
    for (size_t p = from; p < end; p++) {
        const float *value = v + kv_at(a, sequence, p) + kv * dim;
        for (size_t i = 0; i < dim; i++) y[i] += weights[p] / sum * (double)value[i];
    }
}

static double *attention_by_definition(const AttentionCase *a, const AttentionShape *s, const float *q, const float *k,
                                       const float *v) {
    const size_t dim = (size_t)a->head_dim, heads = (size_t)a->heads, positions = positions_of(a),
                 rows = a->sequences * a->tokens;
    double *y = doubles(rows * heads * dim), *weights = doubles(rows * positions);
#pragma omp parallel for schedule(dynamic) if (rows * heads * dim * positions > 4 << 20)
    for (size_t r = 0; r < rows; r++)
        for (size_t h = 0; h < heads; h++)
            attend(a, s, r / a->tokens, a->before + r % a->tokens, h, q + (r * heads + h) * dim, k, v,
                   weights + r * positions, y + (r * heads + h) * dim);
    free(weights);
    return y;
}

// ---- What the backend makes of it ----

// Positions first … of all sequences at once.
static void write_and_attend(Checks *c, const AttentionCase *a, Cache *cache, int layer, const AttentionShape *s,
                             const float *dk, const float *dv, const float *dq, float *dy) {
    const BackendOps *ops = c->b->ops;
    const size_t later = a->before * a->sequences * kv_row_of(a);
    if (a->before) ops->cache_write(c->b, cache, layer, 0, a->before, dk, dv);
    ops->cache_write(c->b, cache, layer, a->before, a->tokens, dk + later, dv + later);
    ops->attention(c->b, cache, layer, s, dq, a->before, a->tokens, dy);
}

// One sequence token by token, in another layer.
static void token_by_token(Checks *c, const AttentionCase *a, Cache *cache, const AttentionShape *s, const float *dk,
                           const float *dv, const float *dq, float *dy) {
    const size_t kv = kv_row_of(a), width = row_of(a);
    for (size_t p = 0; p < positions_of(a); p++) {
        c->b->ops->cache_write(c->b, cache, 0, p, 1, dk + p * kv, dv + p * kv);
        if (p < a->before) continue;
        const size_t t = p - a->before;
        c->b->ops->attention(c->b, cache, 0, s, dq + t * width, p, 1, dy + t * width);
    }
}

static Cache *cache_for(Checks *c, const AttentionCase *a) {
    Cache *cache;
    Error err = {0};
    if (!c->b->ops->cache_new(c->b, LAYERS, a->sequences, a->kv_heads, a->head_dim, positions_of(a) + BEYOND, a->dtype,
                              &cache, &err))
        fail_msg("%s", err.message);
    return cache;
}

// again, unless NULL: the same token by token.
static float *attention_result(Checks *c, const AttentionCase *a, const float *q, const float *k, const float *v,
                               const float *bias, const float *sinks, float **again) {
    const size_t kv = positions_of(a) * a->sequences * kv_row_of(a), n = a->tokens * a->sequences * row_of(a),
                 biases = (size_t)a->heads * bias_stride_of(a);
    float *dk = put(c, k, kv), *dv = put(c, v, kv), *dq = put(c, q, n), *dy = put_nothing(c, n);
    float *dbias = put(c, bias, biases), *dsinks = put(c, sinks, (size_t)a->heads);
    const AttentionShape shape = shape_of(a, dbias, dsinks);
    Cache *cache = cache_for(c, a);
    write_and_attend(c, a, cache, LAYER, &shape, dk, dv, dq, dy);
    float *y = take(c, dy, n);
    if (again) {
        dy = put_nothing(c, n);
        token_by_token(c, a, cache, &shape, dk, dv, dq, dy);
        *again = take(c, dy, n);
    }
    drop(c, dk, kv), drop(c, dv, kv), drop(c, dq, n), drop(c, dbias, biases);
    drop(c, dsinks, (size_t)a->heads);
    c->b->ops->cache_free(c->b, cache);
    return y;
}

static void check_attention(Checks *c, const AttentionCase *a) {
    const size_t kv = positions_of(a) * a->sequences * kv_row_of(a), n = a->tokens * a->sequences * row_of(a);
    float *k = random_floats(c, kv, 1), *v = random_floats(c, kv, 1), *q = random_floats(c, n, a->deviation),
          *bias = a->biased ? random_floats(c, (size_t)a->heads * bias_stride_of(a), 3) : NULL,
          *sinks = a->sinks ? random_floats(c, (size_t)a->heads, 3) : NULL, *again = NULL;
    memset(k, 0, (size_t)a->head_dim * sizeof *k); // a row without range
    const bool alone = c->place == ON_HOST && a->sequences == 1 && !a->whole;
    float *y = attention_result(c, a, q, k, v, bias, sinks, alone ? &again : NULL);
    round_rows(a, k), round_rows(a, v);
    const AttentionShape shape = shape_of(a, bias, sinks);
    double *expected = attention_by_definition(a, &shape, q, k, v), *sizes = doubles(n);
    for (size_t i = 0; i < n; i++) sizes[i] = 3 + a->deviation;
    char what[160];
    snprintf(what, sizeof what, "attention, %zu × %d of %d heads of %d, %zu + %zu tokens, window %d, cache %s",
             a->sequences, a->heads, a->kv_heads, a->head_dim, a->before, a->tokens, a->window, dtype_name(a->dtype));
    compare(what, y, expected, sizes, n, 2e-6);
    if (alone && !a->window && !a->biased && !(a->softcap > 0)) assert_memory_equal(again, y, n * sizeof *y);
    for (size_t i = 0; alone && i < n; i++) assert_true(fabs((double)again[i] - (double)y[i]) <= 5e-7 * sizes[i]);
    free(k), free(v), free(q), free(bias), free(sinks), free(y), free(again), free(expected), free(sizes);
}

static const DType cache_types[] = {DTYPE_F32, DTYPE_F16, DTYPE_BF16, DTYPE_I8};

// Few tokens over a long or a short text.
void attention_cases(Checks *c) {
    static const int ratios[] = {1, 2, 4, 3, 9, 8, 19};
    const int cases = amount(c, (Amount){42, 16}, (Amount){60, 6}, (Amount){240, 8});
    Cache *cache;
    Error err = {0};
    assert_false(c->b->ops->cache_new(c->b, 1, 1, 1, 8, 0, DTYPE_F32, &cache, &err));
    for (int i = 0; i < cases; i++) {
        turn(c, i);
        const int kv = (int)between(c, 1, at(c, 3, 3, 4));
        const AttentionCase a = {
            .heads = kv * ratios[i % (c->place == EMULATED ? 5 : 7)],
            .kv_heads = kv,
            .head_dim =
                i % 3 ? 8 * (int)between(c, 1, i % 7 ? 17 : at(c, 17, 40, 64)) : (int)between(c, 1, at(c, 70, 70, 150)),
            .sequences = i % 3 == 0 ? between(c, 1, at(c, 4, 4, 9)) : 1,
            .tokens = i % 2 ? 1 : between(c, 1, at(c, 9, 9, 40)),
            .before = between(c, 0, i % 6 ? at(c, 30, 60, 100) : at(c, 60, c->thorough ? 400 : 100, 3000)),
            .dtype = cache_types[i % 4],
            .window = i % 4 == 1 ? (int)between(c, 1, at(c, 20, 50, 200)) : 0,
            .chunked = i % 8 == 5,
            .softcap = i % 5 == 2 ? 3.0f : 0,
            .biased = i % 5 == 1,
            .relative = i % 10 == 1,
            .whole = i % 4 != 1 && i % 3 == 0,
            .sinks = i % 4 == 2,
            .deviation = (const double[]){3, 1, 30}[i % 3]};
        check_attention(c, &a);
    }
}

// One token of heads of every size, as many of them for a head of keys as a device takes together, and one more; heads
// that do not come in eights; a context that is split, and one that is not.
void attention_shapes(Checks *c) {
    static const int dims[] = {64, 128, 256, 512, 6, 66, 130, 300}, ratios[] = {1, 2, 5};
    if (c->place == ON_HOST || !c->thorough) return;
    for (int i = 0; i < 8 * 3 * 4; i++) {
        turn(c, i);
        const int dim = dims[i / 12];
        if (dim % 8 != 0 && i % 12 / 4 != 1) continue;
        const AttentionCase a = {.heads = ratios[i % 12 / 4],
                                 .kv_heads = 1,
                                 .head_dim = dim,
                                 .sequences = 1,
                                 .tokens = 1,
                                 .before = i / 4 % 2 ? 150 : 20,
                                 .dtype = cache_types[i % 4],
                                 .sinks = i % 5 == 0,
                                 .deviation = 3};
        check_attention(c, &a);
    }
}

// Tiles of queries: heads that share, windows, biases, all types, rooms for 64, 128 and 256 dimensions on a device.
void many_token_cases(Checks *c) {
    static const int ratios[] = {1, 3, 8, 2, 40}, dims[] = {64, 24, 128, 17, 130, 256, 80};
    const int cases = amount(c, (Amount){14, 7}, (Amount){42, 4}, (Amount){140, 8});
    const size_t most = at(c, 40, c->thorough ? 70 : 33, 100);
    for (int i = 0; i < cases; i++) {
        turn(c, i);
        const int ratio = ratios[i % (c->place == ON_HOST ? 4 : 5)], kv = (int)between(c, 1, at(c, 1, 2, 4));
        const size_t enough = ratio == 40 ? at(c, 40, 18, 100) : most; // tokens of many heads fill many tiles
        const AttentionCase a = {.heads = kv * ratio,
                                 .kv_heads = kv,
                                 .head_dim = dims[i % 7],
                                 .sequences = i % 4 == 3 ? at(c, 2, 2, 3) : 1,
                                 .tokens = between(c, i % 5 == 0 ? 32 : 16, i % 6 ? enough : at(c, 40, enough, 400)),
                                 .before = i % 3 ? between(c, 0, at(c, 30, 70, 300)) : 0,
                                 .dtype = cache_types[i % 4],
                                 .window = i % 3 == 1 ? (int)between(c, 1, at(c, 20, 40, 200)) : 0,
                                 .chunked = i % 6 == 4,
                                 .softcap = i % 5 == 2 ? 3.0f : 0,
                                 .biased = i % 5 == 1,
                                 .relative = i % 2 == 1,
                                 .whole = i % 3 == 0,
                                 .sinks = i % 4 == 2,
                                 .deviation = i % 2 ? 1 : 3};
        check_attention(c, &a);
    }
    if (c->thorough && c->place != EMULATED)
        check_attention(c, &(AttentionCase){.heads = 8,
                                            .kv_heads = 2,
                                            .head_dim = 64,
                                            .sequences = 1,
                                            .tokens = 150,
                                            .dtype = DTYPE_BF16,
                                            .deviation = 1});
}

// ---- Sequences that change places ----

// Attention over a cache whose sequences went on from others is that over a cache to which these were written.
static void check_following(Checks *c, DType dtype, size_t sequences, size_t before) {
    const AttentionCase a = {.heads = 4,
                             .kv_heads = 2,
                             .head_dim = before % 2 ? 7 : 16,
                             .sequences = sequences,
                             .tokens = 1,
                             .before = before,
                             .dtype = dtype,
                             .deviation = 1};
    const size_t kv = kv_row_of(&a), rows = sequences * (before + 1), n = sequences * row_of(&a);
    const AttentionShape shape = shape_of(&a, NULL, NULL);
    float *k = random_floats(c, rows * kv, 1), *v = random_floats(c, rows * kv, 1), *q = random_floats(c, n, 1);
    float *moved_k = array_new(rows * kv, sizeof *moved_k), *moved_v = array_new(rows * kv, sizeof *moved_v);
    int32_t from[MOST_FOLLOWING];
    for (size_t s = 0; s < sequences; s++) from[s] = (int32_t)between(c, 0, sequences - 1);
    memcpy(moved_k, k, rows * kv * sizeof *k), memcpy(moved_v, v, rows * kv * sizeof *v);
    for (size_t s = 0; s < sequences; s++) {
        const size_t to = kv_at(&a, s, 0), at = kv_at(&a, (size_t)from[s], 0), bytes = before * kv * sizeof *k;
        memcpy(moved_k + to, k + at, bytes), memcpy(moved_v + to, v + at, bytes);
    }
    float *dq = put(c, q, n), *y[2];
    for (int i = 0; i < 2; i++) { // moved by the backend, and written as it should be then
        const size_t later = sequences * before * kv;
        float *dk = put(c, i ? moved_k : k, rows * kv), *dv = put(c, i ? moved_v : v, rows * kv),
              *dy = put_nothing(c, n);
        Cache *cache = cache_for(c, &a);
        c->b->ops->cache_write(c->b, cache, LAYER, 0, before, dk, dv);
        if (i == 0) c->b->ops->cache_follow(c->b, cache, from, before);
        c->b->ops->cache_write(c->b, cache, LAYER, before, 1, dk + later, dv + later);
        c->b->ops->attention(c->b, cache, LAYER, &shape, dq, before, 1, dy);
        y[i] = take(c, dy, n);
        drop(c, dk, rows * kv), drop(c, dv, rows * kv);
        c->b->ops->cache_free(c->b, cache);
    }
    drop(c, dq, n);
    assert_memory_equal(y[0], y[1], n * sizeof *q);
    free(k), free(v), free(q), free(moved_k), free(moved_v), free(y[0]), free(y[1]);
}

void following_cases(Checks *c) {
    for (int i = 0; i < 8; i++) {
        turn(c, i);
        check_following(c, cache_types[i % 4], between(c, 1, i == 7 ? MOST_FOLLOWING : 5), between(c, 1, 40));
    }
}

// ---- What is not finite ----

// A key that is not finite spoils the tokens that see it, a value that dimension of them; no others.
static void check_spoiled(Checks *c, size_t tokens, DType dtype, int window, bool chunked, bool key, float bad) {
    enum { KV = 2, HEADS = 6, DIM = 20, AT = 7 };
    const AttentionCase a = {.heads = HEADS,
                             .kv_heads = KV,
                             .head_dim = DIM,
                             .window = window,
                             .chunked = chunked,
                             .sequences = 1,
                             .tokens = tokens,
                             .dtype = dtype};
    float *k = random_floats(c, tokens * KV * DIM, 1), *v = random_floats(c, tokens * KV * DIM, 1),
          *q = random_floats(c, tokens * HEADS * DIM, 1);
    const size_t spoiled = tokens / 3;
    for (size_t head = 0; head < KV; head++) (key ? k : v)[(spoiled * KV + head) * DIM + AT] = bad;
    float *y = attention_result(c, &a, q, k, v, NULL, NULL, NULL);
    for (size_t i = 0; i < tokens * HEADS * DIM; i++) {
        const size_t token = i / (HEADS * DIM);
        const size_t size = window ? (size_t)window : tokens;
        const bool near = chunked ? token / size == spoiled / size : token < spoiled + size;
        const bool sees = token >= spoiled && near;
        const bool shows = sees && (key ? isnan(bad) : i % DIM == AT);
        if (shows && isfinite(y[i])) fail_msg("token %zu does not show %g of token %zu", token, (double)bad, spoiled);
        if (!sees && !isfinite(y[i])) fail_msg("token %zu has %g of token %zu", token, (double)bad, spoiled);
        if (sees && !shows && !key && c->place == ON_HOST) assert_true(isfinite(y[i]));
    }
    free(k), free(v), free(q), free(y);
}

void spoiled_cases(Checks *c) {
    const int cases = amount(c, (Amount){12, 12}, (Amount){12, 4}, (Amount){24, 8});
    for (int i = 0; i < cases; i++) {
        turn(c, i);
        check_spoiled(c, i % 2 ? 40 : between(c, 3, 70), (DType)(i % 3), (int[]){0, 5, 20}[i / 4 % 3], i / 2 % 2,
                      i % 4 == 3, i % 2 ? NAN : INFINITY);
    }
}
