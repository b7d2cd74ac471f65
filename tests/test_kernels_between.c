// What families other than Llama do between linears, on every CPU backend there is: norms with a mean, activation
// functions, caps, partial rotation, splitting and routing rows, attention with windows, caps and biases. The
// references are formulas in double.
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/array.h"
#include "tests/support/cpu_sets.h"

static size_t between(size_t least, size_t most) {
    return least + random_below(&random_state, (uint32_t)(most - least + 1));
}

static void assert_near(float value, double expected, double tolerance) {
    if (!(fabs((double)value - expected) <= tolerance)) fail_msg("%.9g, not %.9g", (double)value, expected);
}

// ---- Rows ----

static void layer_norm_case(Backend *b) {
    for (int i = 0; i < 8; i++) {
        size_t tokens = between(1, 5), width = between(1, 90);
        float *x = normal_floats(tokens * width, 3), *y = normal_floats(tokens * width, 1);
        float *gain = normal_floats(width, 1), *bias = normal_floats(width, 1);
        for (size_t j = 0; j < tokens * width; j++) x[j] += 40; // far from zero: the mean must not cost precision
        b->ops->layer_norm(b, x, gain, bias, 1e-5f, tokens, width, y);
        for (size_t t = 0; t < tokens; t++) {
            double mean = 0, variance = 0;
            for (size_t j = 0; j < width; j++) mean += (double)x[t * width + j] / (double)width;
            for (size_t j = 0; j < width; j++) variance += pow((double)x[t * width + j] - mean, 2) / (double)width;
            for (size_t j = 0; j < width; j++) {
                double unit = ((double)x[t * width + j] - mean) / sqrt(variance + (double)1e-5f);
                assert_near(y[t * width + j], unit * (double)gain[j] + (double)bias[j], 2e-5 * (1 + fabs(unit)));
            }
        }
        b->ops->layer_norm(b, x, gain, bias, 1e-5f, tokens, width, x); // in place
        assert_memory_equal(x, y, tokens * width * sizeof *x);
        free(x), free(y), free(gain), free(bias);
    }
}

static void test_layer_norm(void **state) {
    (void)state;
    for_backends(layer_norm_case);
}

static void split_case(Backend *b) {
    enum { TOKENS = 3, GROUPS = 2 };
    const size_t widths[] = {5, 2, 3}, width = 10;
    float *x = normal_floats(TOKENS * GROUPS * width, 1);
    float q[TOKENS * GROUPS * 5], k[TOKENS * GROUPS * 2], v[TOKENS * GROUPS * 3];
    b->ops->split(b, x, TOKENS, GROUPS, widths, 3, (float *const[]){q, k, v});
    for (size_t g = 0; g < TOKENS * GROUPS; g++) {
        assert_memory_equal(q + g * 5, x + g * width, 5 * sizeof *x);
        assert_memory_equal(k + g * 2, x + g * width + 5, 2 * sizeof *x);
        assert_memory_equal(v + g * 3, x + g * width + 7, 3 * sizeof *x);
    }
    free(x);
}

static void route_case(Backend *b) {
    enum { TOKENS = 4, WIDTH = 19, ROUTED = 3 };
    static const int32_t rows[ROUTED] = {3, 0, 3};
    static const float factors[ROUTED] = {0.5f, 2, -1};
    float *x = normal_floats(TOKENS * WIDTH, 1), *sum = normal_floats(TOKENS * WIDTH, 1), y[ROUTED * WIDTH];
    double *expected = array_new(TOKENS * WIDTH, sizeof *expected);
    b->ops->gather(b, x, WIDTH, rows, ROUTED, y);
    for (size_t i = 0; i < ROUTED; i++) assert_memory_equal(y + i * WIDTH, x + rows[i] * WIDTH, WIDTH * sizeof *x);
    for (size_t i = 0; i < TOKENS * WIDTH; i++) expected[i] = sum[i];
    for (size_t i = 0; i < ROUTED * WIDTH; i++)
        expected[(size_t)rows[i / WIDTH] * WIDTH + i % WIDTH] += (double)factors[i / WIDTH] * (double)y[i];
    b->ops->scatter_add(b, y, WIDTH, rows, factors, ROUTED, sum);
    for (size_t i = 0; i < TOKENS * WIDTH; i++) assert_near(sum[i], expected[i], 1e-6);
    free(x), free(sum), free(expected);
}

static void test_rows(void **state) {
    (void)state;
    for_backends(split_case);
    for_backends(route_case);
}

// ---- Element by element ----

static double activated(Nonlinearity f, double x) {
    switch (f) {
    case NONLINEARITY_GELU: return x / 2 * (1 + erf(x / sqrt(2)));
    case NONLINEARITY_GELU_TANH: return x / 2 * (1 + tanh(sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
    case NONLINEARITY_RELU: return fmax(x, 0);
    case NONLINEARITY_SILU: break;
    }
    return x / (1 + exp(-x));
}

static void activate_case(Backend *b) {
    static const float extremes[] = {0, -0.0f, 80, -80, 1e4f, -1e4f, 1e-30f};
    for (int i = 0; i < 8; i++) {
        Nonlinearity f = (Nonlinearity)(i / 2);
        size_t n = between(8, 300);
        float *x = normal_floats(n, 3), *up = normal_floats(n, 1), *y = normal_floats(n, 1);
        memcpy(x, extremes, sizeof extremes);
        b->ops->activate(b, f, x, i % 2 ? up : NULL, n, y);
        for (size_t j = 0; j < n; j++) {
            double factor = i % 2 ? (double)up[j] : 1, expected = activated(f, (double)x[j]) * factor;
            assert_near(y[j], expected, 1e-6 * fabs(expected) + 4e-7 * fabs(factor));
        }
        x[3] = NAN;
        b->ops->activate(b, f, x, NULL, n, x); // in place
        assert_true(isnan(x[3]) && !isnan(x[4]));
        free(x), free(up), free(y);
    }
}

static void scale_case(Backend *b) {
    enum { N = 37 };
    float *x = normal_floats(N, 20), *before = normal_floats(N, 1);
    memcpy(before, x, N * sizeof *x);
    b->ops->softcap(b, x, 5, N);
    for (int i = 0; i < N; i++) assert_near(x[i], 5 * tanh((double)before[i] / 5), 1e-6);
    memcpy(x, before, N * sizeof *x);
    b->ops->scale(b, x, -0.3f, N);
    for (int i = 0; i < N; i++) assert_true(x[i] == before[i] * -0.3f);
    x[2] = NAN;
    b->ops->scale(b, x, 0, N); // clears
    for (int i = 0; i < N; i++) assert_true(x[i] == 0);
    free(x), free(before);
}

static void test_element_by_element(void **state) {
    (void)state;
    for_backends(activate_case);
    for_backends(scale_case);
}

static void partial_rope_case(Backend *b) {
    enum { TOKENS = 3, HEADS = 2, DIM = 22, ROTATED = 6, HALF = 3, FIRST = 2 };
    float *x = normal_floats(TOKENS * HEADS * DIM, 1), *before = normal_floats(TOKENS * HEADS * DIM, 1);
    float *cosine = normal_floats((FIRST + TOKENS) * HALF, 1), *sine = normal_floats((FIRST + TOKENS) * HALF, 1);
    memcpy(before, x, TOKENS * HEADS * DIM * sizeof *x);
    b->ops->rope(b, x, TOKENS, HEADS, DIM, ROTATED, cosine, sine, FIRST);
    for (size_t i = 0; i < TOKENS * HEADS * DIM; i++) {
        size_t row = FIRST + i / (HEADS * DIM), d = i % DIM;
        double expected = before[i];
        if (d < HALF)
            expected = (double)before[i] * cosine[row * HALF + d] - (double)before[i + HALF] * sine[row * HALF + d];
        if (d >= HALF && d < ROTATED)
            expected = (double)before[i] * cosine[row * HALF + d - HALF] +
                       (double)before[i - HALF] * sine[row * HALF + d - HALF];
        assert_near(x[i], expected, 1e-6);
    }
    free(x), free(before), free(cosine), free(sine);
}

static void test_partial_rope(void **state) {
    (void)state;
    for_backends(partial_rope_case);
}

// ---- Attention ----

typedef struct Heads {
    size_t tokens;
    DType dtype;
    AttentionShape shape;
} Heads;

// The output of one query; weights: [tokens].
static void reference(const Heads *h, size_t t, size_t head, const float *q, const float *k, const float *v,
                      double *weights, double *y) {
    const AttentionShape *s = &h->shape;
    size_t dim = (size_t)s->head_dim, kv_heads = (size_t)s->kv_heads, kv = head / ((size_t)s->heads / kv_heads);
    size_t from = s->window && t + 1 > (size_t)s->window ? t + 1 - (size_t)s->window : 0;
    double most = -INFINITY, sum = 0;
    for (size_t p = from; p <= t; p++) {
        double score = 0;
        for (size_t i = 0; i < dim; i++)
            score += (double)q[(t * (size_t)s->heads + head) * dim + i] * (double)k[(p * kv_heads + kv) * dim + i];
        score *= (double)s->scale;
        if (s->softcap > 0) score = (double)s->softcap * tanh(score / (double)s->softcap);
        weights[p] = score + (s->bias ? (double)s->bias[head * s->bias_stride + p] : 0);
        most = fmax(most, weights[p]);
    }
    for (size_t p = from; p <= t; p++) sum += weights[p] = exp(weights[p] - most);
    for (size_t i = 0; i < dim; i++) {
        y[i] = 0;
        for (size_t p = from; p <= t; p++) y[i] += weights[p] / sum * (double)v[(p * kv_heads + kv) * dim + i];
    }
}

static void check_attention(const Heads *h, const float *q, const float *k, const float *v, const float *y) {
    size_t dim = (size_t)h->shape.head_dim, heads = (size_t)h->shape.heads;
    double *weights = array_new(h->tokens, sizeof *weights), *expected = array_new(dim, sizeof *expected);
    for (size_t t = 0; t < h->tokens; t++) {
        for (size_t head = 0; head < heads; head++) {
            reference(h, t, head, q, k, v, weights, expected);
            for (size_t i = 0; i < dim; i++) assert_near(y[(t * heads + head) * dim + i], expected[i], 1e-5);
        }
    }
    free(weights), free(expected);
}

// All tokens at once, then one by one in another layer: the same.
static void attention_case(Backend *b, const Heads *h) {
    const AttentionShape *s = &h->shape;
    size_t width = (size_t)(s->heads * s->head_dim), kv_width = (size_t)(s->kv_heads * s->head_dim);
    float *q = normal_floats(h->tokens * width, 1), *k = normal_floats(h->tokens * kv_width, 1);
    float *v = normal_floats(h->tokens * kv_width, 1), *y = normal_floats(h->tokens * width, 1);
    float *again = normal_floats(h->tokens * width, 1);
    Cache *cache;
    for (size_t i = 0; i < h->tokens * kv_width; i++) {
        k[i] = float_rounded(h->dtype, k[i]);
        v[i] = float_rounded(h->dtype, v[i]);
    }
    assert_true(b->ops->cache_new(b, 2, 1, s->kv_heads, s->head_dim, h->tokens, h->dtype, &cache, NULL));
    b->ops->cache_write(b, cache, 1, 0, h->tokens, k, v);
    b->ops->attention(b, cache, 1, s, q, 0, h->tokens, y);
    check_attention(h, q, k, v, y);
    for (size_t t = 0; t < h->tokens; t++) {
        b->ops->cache_write(b, cache, 0, t, 1, k + t * kv_width, v + t * kv_width);
        b->ops->attention(b, cache, 0, s, q + t * width, t, 1, again + t * width);
    }
    for (size_t i = 0; i < h->tokens * width; i++) assert_near(again[i], (double)y[i], 2e-6);
    b->ops->cache_free(b, cache);
    free(q), free(k), free(v), free(y), free(again);
}

static void attention_cases(Backend *b) {
    enum { MOST_HEADS = 20, MOST_TOKENS = 40 };
    for (int i = 0; i < 16; i++) {
        int kv = (int)between(1, 3), ratio = (int[]){1, 2, 5}[i % 3], dim = (int)between(1, 40);
        Heads h = {.tokens = between(1, MOST_TOKENS), .dtype = (DType)(i % 3)};
        float *bias = normal_floats((size_t)(kv * ratio) * (MOST_TOKENS + 3), 3);
        h.shape = (AttentionShape){.heads = kv * ratio,
                                   .kv_heads = kv,
                                   .head_dim = dim,
                                   .scale = 1 / sqrtf((float)dim),
                                   .window = i & 1 ? (int)between(1, 12) : 0,
                                   .softcap = i & 2 ? 1.5f : 0,
                                   .bias = i & 4 ? bias : NULL,
                                   .bias_stride = MOST_TOKENS + 3};
        attention_case(b, &h);
        free(bias);
    }
}

static void test_attention(void **state) {
    (void)state;
    for_backends(attention_cases);
}

// Values of one token that are not finite show in the tokens that see it, and in no others.
static void spoiled_case(Backend *b, DType dtype, int window, float bad) {
    enum { TOKENS = 40, BAD = 13, KV = 2, HEADS = 6, DIM = 20, WIDTH = HEADS * DIM };
    const AttentionShape shape = {.heads = HEADS, .kv_heads = KV, .head_dim = DIM, .scale = 0.2f, .window = window};
    float *q = normal_floats(TOKENS * WIDTH, 1), *k = normal_floats(TOKENS * KV * DIM, 1);
    float *v = normal_floats(TOKENS * KV * DIM, 1), *y = normal_floats(TOKENS * WIDTH, 1);
    Cache *cache;
    for (int head = 0; head < KV; head++) v[(BAD * KV + head) * DIM + 7] = bad;
    assert_true(b->ops->cache_new(b, 1, 1, KV, DIM, TOKENS, dtype, &cache, NULL));
    b->ops->cache_write(b, cache, 0, 0, TOKENS, k, v);
    b->ops->attention(b, cache, 0, &shape, q, 0, TOKENS, y);
    for (int i = 0; i < TOKENS * WIDTH; i++) {
        const int token = i / WIDTH;
        const bool sees = token >= BAD && (window == 0 || token < BAD + window);
        assert_true(isfinite(y[i]) == !(sees && i % DIM == 7));
    }
    b->ops->cache_free(b, cache);
    free(q), free(k), free(v), free(y);
}

static void spoiled_cases(Backend *b) {
    for (int i = 0; i < 12; i++) spoiled_case(b, (DType)(i % 3), (int[]){0, 5, 20}[i / 4], i % 2 ? NAN : INFINITY);
}

static void test_attention_of_spoiled_values(void **state) {
    (void)state;
    for_backends(spoiled_cases);
}

static bool begin_nothing(Backend *b) {
    (void)b;
    return false;
}

static void missing_operations_are_noticed(void **state) {
    (void)state;
    Backend *b;
    assert_true(backend_cpu_new(1, &b, NULL));
    BackendOps ops = *b->ops;
    assert_true(backend_is_complete(&ops));
    ops.attention = NULL;
    assert_false(backend_is_complete(&ops));
    ops = *b->ops;
    ops.destroy = NULL;
    assert_false(backend_is_complete(&ops));
    ops = *b->ops;
    ops.step_begin = begin_nothing; // without the others that go with it
    assert_false(backend_is_complete(&ops));
    b->ops->destroy(b);
}

int main(void) {
    cpu_sets_begin();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_layer_norm),
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_element_by_element),
        cmocka_unit_test(test_partial_rope),
        cmocka_unit_test(test_attention),
        cmocka_unit_test(test_attention_of_spoiled_values),
        cmocka_unit_test(missing_operations_are_noticed),
    };
    return cpu_sets_end(cmocka_run_group_tests(tests, NULL, NULL));
}
