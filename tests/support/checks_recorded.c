// What a device does with several operations at a time: recorded steps, and operations that it computes together.
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support/backend_buffers.h"

// ---- Recorded, not run ----

void check_recorded(Checks *c, const char *what, RecordedOperation operation, const void *context) {
    static const float table[1] = {0};
    const int32_t id = 0;
    Backend *b = c->b;
    Error err = {0};
    float *nowhere = put_nothing(c, 1);
    assert_true(b->ops->step_begin(b));
    b->ops->embed(b, DTYPE_F32, table, 1, &id, 1, nowhere);
    operation(b, context);
    Step *step = b->ops->step_end(b);
    if (!step) fail_msg("%s: a launch is refused", what);
    b->ops->step_free(b, step);
    drop(c, nowhere, 1);
    if (!b->ops->healthy(b, &err)) fail_msg("%s: %s", what, err.message);
}

static const size_t recorded_tokens[] = {1, 2, 4, 5, 8, 9, 16, 32, 64, 300};
enum { RECORDED = sizeof recorded_tokens / sizeof *recorded_tokens, MOST_RECORDED = 300 };

typedef struct RecordedProducts {
    const Weight *w;
    const float *x;
    float *y;
} RecordedProducts;

static void run_products(Backend *b, const void *context) {
    const RecordedProducts *p = context;
    for (size_t i = 0; i < RECORDED; i++) b->ops->linear(b, p->w, p->x, recorded_tokens[i], p->y);
}

// All in one step, since making one takes longer than recording it.
void check_recorded_products(Checks *c, const QuantizedCase *q) {
    Backend *b = c->b;
    QuantizedWeight codes = random_quantized(c, q);
    const ActivationScheme scheme = {.mode = q->mode, .scale = 1 / 60.0f};
    Weight *w = NULL;
    Error err = {0};
    char what[200];
    if (!b->ops->weight_quantized(b, &codes, &scheme, NULL, q->precision, &w, &err)) fail_msg("%s", err.message);
    float *x = b->ops->memory_new(b, MOST_RECORDED * q->in * sizeof *x, &err),
          *y = b->ops->memory_new(b, MOST_RECORDED * q->out * sizeof *y, &err);
    assert_true(x && y);
    snprintf(what, sizeof what, "grid %d, %d bits, group %zu of %zu, activations %d, precision %d", (int)q->grid,
             q->bits, q->group, q->in, (int)q->mode, (int)q->precision);
    check_recorded(c, what, run_products, &(RecordedProducts){w, x, y});
    b->ops->weight_free(b, w);
    b->ops->memory_free(b, x), b->ops->memory_free(b, y);
    quantized_weight_free(&codes);
}

// ---- Recorded, and run ----

typedef struct SmallStep {
    const Weight *w;
    const float *table, *positions;
    size_t tokens, width;
    float *x, *y;
} SmallStep;

static void small_step(Backend *b, const SmallStep *s, const int32_t *ids, size_t first) {
    b->ops->embed(b, DTYPE_F32, s->table, s->width, ids, s->tokens, s->x);
    b->ops->embed_positions(b, DTYPE_F32, s->positions, s->width, first, 1, s->y);
    b->ops->add(b, s->x, s->y, s->width);
    b->ops->linear(b, s->w, s->x, s->tokens, s->y);
}

// A step that is recorded at one position with some ids gives, at others, what its operations give there.
static void check_step(Checks *c, size_t tokens) {
    enum { WIDTH = 40, ROWS = 9, RUNS = 3 };
    const BackendOps *ops = c->b->ops;
    const QuantizedCase q = {
        .grid = GRID_SYMMETRIC, .bits = 4, .out = WIDTH, .in = WIDTH, .group = 20, .scale_dtype = DTYPE_F16};
    QuantizedWeight codes = random_quantized(c, &q);
    float *table = random_floats(c, ROWS * WIDTH, 1), *positions = random_floats(c, ROWS * WIDTH, 1);
    const size_t n = tokens * WIDTH;
    SmallStep s = {.table = table, .positions = positions, .tokens = tokens, .width = WIDTH};
    Weight *w = NULL;
    int32_t ids[RUNS][4];
    assert_true(tokens <= 4);
    assert_true(ops->weight_quantized(c->b, &codes, &(ActivationScheme){0}, NULL, PRECISION_NATIVE, &w, NULL));
    s.w = w, s.x = put_nothing(c, n), s.y = put_nothing(c, n);
    for (size_t i = 0; i < RUNS * 4; i++) ids[i / 4][i % 4] = (int32_t)between(c, 0, ROWS - 1);
    float *alone[RUNS];
    for (size_t run = 0; run < RUNS; run++) { // as ever
        small_step(c->b, &s, ids[run], run);
        alone[run] = host_floats(n);
        ops->download(c->b, alone[run], s.y, n * sizeof(float));
    }
    assert_true(ops->step_begin(c->b));
    small_step(c->b, &s, ids[0], 0);
    Step *step = ops->step_end(c->b);
    assert_non_null(step);
    for (size_t run = RUNS; run-- > 0;) {
        float *y = host_floats(n);
        assert_true(ops->step_run(c->b, step, ids[run], run));
        ops->download(c->b, y, s.y, n * sizeof *y);
        assert_memory_equal(y, alone[run], n * sizeof *y);
        free(y), free(alone[run]);
    }
    drop(c, s.x, n); // what a step may refer to is gone
    assert_false(ops->step_run(c->b, step, ids[0], 0));
    ops->step_free(c->b, step);
    drop(c, s.y, n);
    ops->weight_free(c->b, w);
    quantized_weight_free(&codes);
    free(table), free(positions);
}

void step_cases(Checks *c) {
    if (!c->b->ops->step_begin) return;
    check_step(c, 1);
    check_step(c, 3);
}

// ---- Computed together ----

enum { FUSED_RMS, FUSED_LAYER, FUSED_SILU, FUSED_IN_PLACE, FUSED_WAYS };

// Something in between.
static void part(Backend *b, bool apart) {
    if (apart) b->ops->synchronize(b);
}

static void before_product(Backend *b, int way, float *x, const float *other, size_t tokens, size_t in, float *y,
                           bool apart) {
    if (way == FUSED_RMS || way == FUSED_LAYER) b->ops->add(b, x, other, tokens * in);
    part(b, apart);
    switch (way) {
    case FUSED_RMS: b->ops->rms_norm(b, x, other, 1e-5f, tokens, in, y); break;
    case FUSED_LAYER: b->ops->layer_norm(b, x, other, other + in, 1, 1e-5f, tokens, in, y); break;
    case FUSED_SILU: b->ops->silu_times(b, x, other, tokens * in, y); break;
    default: b->ops->activate(b, NONLINEARITY_RELU, x, NULL, tokens * in, x);
    }
    part(b, apart);
}

// What lies before, a product with a divisor, and one without → [both products, x, y].
static float *fused_result(Checks *c, int way, Weight *const *w, const float *x, const float *other, size_t tokens,
                           size_t in, size_t out, bool apart) {
    Backend *b = c->b;
    const size_t n = tokens * in, products = 2 * tokens * out;
    float *dx = put(c, x, n), *dother = put(c, other, n + 2 * in), *dy = put(c, x, n);
    float *result = put_nothing(c, products + 2 * n), *rows[2] = {result + products, result + products + n};
    before_product(b, way, dx, dother, tokens, in, dy, apart);
    for (size_t i = 0; i < 2; i++)
        b->ops->linear(b, w[i], way == FUSED_IN_PLACE ? dx : dy, tokens, result + i * tokens * out);
    b->ops->split(b, dx, tokens, 1, &in, 1, &rows[0]);
    b->ops->split(b, dy, tokens, 1, &in, 1, &rows[1]);
    drop(c, dx, n), drop(c, dother, n + 2 * in), drop(c, dy, n);
    return take(c, result, products + 2 * n);
}

// An addition and a norm, or an activation function, before a product: the same bits in fewer launches.
static void check_fused(Checks *c, ActivationMode mode, Precision first, size_t tokens, size_t in, size_t out) {
    const QuantizedCase q = {.grid = between(c, 0, 1) ? GRID_SYMMETRIC : GRID_ASYMMETRIC,
                             .bits = 4,
                             .out = out,
                             .in = in,
                             .group = in < 64 ? in : 64,
                             .tokens = tokens,
                             .mode = mode,
                             .scale_dtype = DTYPE_F16};
    QuantizedWeight codes = random_quantized(c, &q);
    float *x = random_floats(c, tokens * in, 2), *other = random_floats(c, tokens * in + 2 * in, 1);
    float *divisor = random_floats(c, in, 1);
    Weight *w[2];
    for (size_t i = 0; i < in; i++) divisor[i] = 0.1f + fabsf(divisor[i]);
    for (int i = 0; i < 2; i++) {
        const ActivationScheme scheme = {.mode = mode, .scale = 1 / 60.0f, .divisor = i ? NULL : divisor};
        const Precision precision = (i == 0) == (first == PRECISION_F32) ? PRECISION_F32 : PRECISION_NATIVE;
        assert_true(c->b->ops->weight_quantized(c->b, &codes, &scheme, NULL, precision, &w[i], NULL));
    }
    for (int way = 0; way < FUSED_WAYS; way++) {
        const size_t floats = 2 * tokens * (out + in);
        const size_t begin = launched(c, 0);
        float *together = fused_result(c, way, w, x, other, tokens, in, out, false);
        const size_t middle = launched(c, 0), saved = way == FUSED_RMS || way == FUSED_LAYER ? 2 : 1;
        float *apart = fused_result(c, way, w, x, other, tokens, in, out, true);
        if (c->launches) assert_int_equal(middle - begin + saved, launched(c, middle));
        for (size_t i = 0; i < floats; i++) assert_true(isfinite(together[i]));
        assert_memory_equal(together, apart, floats * sizeof *apart);
        free(together), free(apart);
    }
    for (int i = 0; i < 2; i++) c->b->ops->weight_free(c->b, w[i]);
    quantized_weight_free(&codes);
    free(x), free(other), free(divisor);
}

// [q, k, what attention makes of them]
static float *ropes_result(Checks *c, const AttentionShape *shape, DType dtype, size_t sequences, const float *qkv,
                           const float *table, bool apart) {
    enum { FIRST = 2, TOKENS = 1, POSITIONS = 4 };
    Backend *b = c->b;
    const size_t heads = sequences * (size_t)shape->heads, kv_heads = sequences * (size_t)shape->kv_heads;
    const size_t dim = (size_t)shape->head_dim, q = heads * dim, kv = kv_heads * dim;
    const size_t half = dim % 8 == 0 ? dim / 2 : dim / 4; // whole heads, or parts of them
    const bool adjacent = shape->kv_heads == 2;
    const size_t n = q + 2 * kv, turns_count = 2 * POSITIONS * half;
    float *x = put(c, qkv, n), *turns = put(c, table, turns_count);
    float *y = put_nothing(c, 2 * q + kv), *parts[2] = {y, y + q};
    Cache *cache;
    assert_true(b->ops->cache_new(b, 1, sequences, shape->kv_heads, shape->head_dim, POSITIONS, dtype, &cache, NULL));
    b->ops->cache_write(b, cache, 0, 0, FIRST, x, x); // anything: 2 tokens of zeros would hide mistakes
    b->ops->rope(b, x, TOKENS, (int)heads, (int)dim, (int)(2 * half), adjacent, turns, turns + POSITIONS * half, FIRST);
    part(b, apart);
    b->ops->rope(b, x + q, TOKENS, (int)kv_heads, (int)dim, (int)(2 * half), adjacent, turns, turns + POSITIONS * half,
                 FIRST);
    part(b, apart);
    b->ops->cache_write(b, cache, 0, FIRST, TOKENS, x + q, x + q + kv);
    b->ops->attention(b, cache, 0, shape, x, FIRST, TOKENS, y + q + kv);
    b->ops->split(b, x, 1, 1, (const size_t[]){q, kv}, 2, parts);
    drop(c, x, n), drop(c, turns, turns_count);
    b->ops->cache_free(b, cache);
    return take(c, y, 2 * q + kv);
}

// Rotations before keys and values are stored.
static void check_fused_ropes(Checks *c, DType dtype, size_t sequences, int heads, int kv_heads, int head_dim) {
    const AttentionShape shape = {.heads = heads, .kv_heads = kv_heads, .head_dim = head_dim, .scale = 0.3f};
    const size_t dim = (size_t)head_dim, q = sequences * (size_t)heads * dim, kv = sequences * (size_t)kv_heads * dim;
    float *qkv = random_floats(c, q + 4 * kv, 1), *table = random_floats(c, 4 * dim, 1);
    const size_t begin = launched(c, 0);
    float *together = ropes_result(c, &shape, dtype, sequences, qkv, table, false);
    const size_t middle = launched(c, 0);
    float *apart = ropes_result(c, &shape, dtype, sequences, qkv, table, true);
    if (c->launches) assert_int_equal(middle - begin + 2, launched(c, middle));
    for (size_t i = 0; i < 2 * q + kv; i++) assert_true(isfinite(together[i]));
    assert_memory_equal(together, apart, (2 * q + kv) * sizeof *apart);
    assert_true(memcmp(together, qkv, q * sizeof *qkv) != 0);
    free(qkv), free(table), free(together), free(apart);
}

// Only a device waits for the next operation.
void fused_cases(Checks *c) {
    static const ActivationMode modes[] = {ACTIVATION_TOKEN, ACTIVATION_NONE, ACTIVATION_STATIC};
    if (c->place == ON_HOST) return;
    const int cases = amount(c, (Amount){0, 0}, (Amount){8, 2}, (Amount){30, 3});
    for (int i = 0; i < cases; i++) {
        turn(c, i);
        check_fused(c, modes[i % 3], (Precision)(i / 3 % 2), between(c, 1, at(c, 4, 4, 20)),
                    between(c, 3, at(c, 300, 300, 5000)), between(c, 1, at(c, 40, 40, 300)));
        check_fused_ropes(c, i % 2 ? DTYPE_I8 : DTYPE_F16, between(c, 1, at(c, 3, 3, 9)), (int)at(c, 6, 6, 12),
                          1 + i % 3, 4 * (int)between(c, 1, at(c, 30, 30, 60)));
    }
    check_fused(c, ACTIVATION_TOKEN, PRECISION_NATIVE, 2, 2100, 3); // rows of many threads
    check_fused(c, ACTIVATION_NONE, PRECISION_NATIVE, 1, 2100, 3);
    for (int i = 0; c->thorough && i < 2 * 3; i++) // and of one, two and four quads for each thread
        check_fused(c, modes[i % 3 == 0 ? 0 : 1], (Precision)(i % 3 == 2), 1, i / 3 ? 8200 : 4100, 1);
    if (c->thorough) check_fused(c, ACTIVATION_NONE, PRECISION_F32, 1, 256, 20);
}
