#include "tests/support/device_checks.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/array.h"
#include "kernels/host/measure.h"

// ---- Buffers ----

static float *host_floats(size_t n) {
    float *data = array_new(n, sizeof *data);
    assert_non_null(data);
    return data;
}

static float *random_floats(Checks *c, size_t n, double deviation) {
    float *data = host_floats(n);
    for (size_t i = 0; i < n; i++) data[i] = (float)(random_normal(&c->random) * deviation);
    return data;
}

// In memory of a backend; NULL stays NULL.
static float *uploaded(Backend *b, const float *host, size_t n) {
    if (!host) return NULL;
    float *data = b->ops->memory_new(b, n * sizeof *data, NULL);
    assert_non_null(data);
    b->ops->upload(b, data, host, n * sizeof *data);
    b->ops->synchronize(b);
    return data;
}

static float *poisoned(Backend *b, size_t n) {
    float *host = host_floats(n);
    for (size_t i = 0; i < n; i++) host[i] = NAN;
    float *data = uploaded(b, host, n);
    free(host);
    return data;
}

// Frees the backend's memory.
static float *downloaded(Backend *b, float *data, size_t n) {
    Error err = {0};
    float *host = host_floats(n);
    b->ops->download(b, host, data, n * sizeof *host);
    if (b->ops->healthy && !b->ops->healthy(b, &err)) fail_msg("%s", err.message);
    b->ops->memory_free(b, data);
    return host;
}

// |y − expected| ≤ tolerance · size[i], or tolerance · |expected| without sizes. NaN must meet NaN.
static void compare(const char *what, const float *y, const float *expected, const double *size, size_t n,
                    double tolerance) {
    for (size_t i = 0; i < n; i++) {
        if (isnan(expected[i]) && isnan(y[i])) continue;
        double most = tolerance * (size ? size[i] : fabs((double)expected[i]));
        if (!(y[i] == expected[i] || fabs((double)y[i] - (double)expected[i]) <= most))
            fail_msg("%s: [%zu] of %zu is %.9g, not %.9g", what, i, n, (double)y[i], (double)expected[i]);
    }
}

// ---- Linears ----

// The launches since `before`.
static size_t launched(const Checks *c, size_t before) { return c->launches ? *c->launches - before : 0; }

static float *linear_result(Backend *b, const Weight *w, const float *x, size_t in, size_t tokens, size_t out) {
    float *from = uploaded(b, x, tokens * in), *to = poisoned(b, tokens * out);
    b->ops->linear(b, w, from, tokens, to);
    float *y = downloaded(b, to, tokens * out);
    b->ops->memory_free(b, from);
    return y;
}

// Σ |w| · (the largest |x| among 255 neighbours, or |x| itself), by which rounding may be off.
static double *product_sizes(const float *w, const float *x, size_t out, size_t in, size_t tokens, bool neighbours) {
    double *sizes = array_new(tokens * out, sizeof *sizes), *near = array_new(in, sizeof *near);
    assert_true(sizes && near);
    for (size_t t = 0; t < tokens; t++) {
        for (size_t i = 0; i < in; i++) {
            size_t from = neighbours ? (i > 127 ? i - 127 : 0) : i,
                   to = neighbours ? (i + 127 < in ? i + 127 : in - 1) : i;
            near[i] = 0;
            for (size_t j = from; j <= to; j++) near[i] = fmax(near[i], fabs((double)x[t * in + j]));
        }
        for (size_t o = 0; o < out; o++) {
            sizes[t * out + o] = 1e-30;
            for (size_t i = 0; i < in; i++) sizes[t * out + o] += fabs((double)w[o * in + i]) * near[i];
        }
    }
    free(near);
    return sizes;
}

static void *stored(DType dtype, float *values, size_t n) {
    char *data = array_new(n, 4);
    assert_non_null(data);
    for (size_t i = 0; i < n; i++) {
        values[i] = float_rounded(dtype, values[i]);
        uint16_t half = dtype == DTYPE_F16 ? float_to_f16(values[i]) : float_to_bf16(values[i]);
        if (dtype == DTYPE_F32)
            memcpy(data + i * 4, &values[i], 4);
        else
            memcpy(data + i * 2, &half, 2);
    }
    return data;
}

void check_dense(Checks *c, DType dtype, Precision precision, size_t out, size_t in, size_t tokens) {
    float *w = random_floats(c, out * in, 0.1), *x = random_floats(c, tokens * in, 1);
    float *bias = between(c, 0, 1) ? random_floats(c, out, 1) : NULL;
    void *data = stored(dtype, w, out * in);
    Backend *const backends[2] = {c->reference, c->device};
    float *y[2];
    for (int i = 0; i < 2; i++) {
        Backend *b = backends[i];
        Weight *weight = NULL;
        Error err = {0};
        if (!b->ops->weight_dense(b, dtype, data, out, in, bias, precision, &weight, &err)) fail_msg("%s", err.message);
        y[i] = linear_result(b, weight, x, in, tokens, out);
        b->ops->weight_free(b, weight);
    }
    double *sizes = product_sizes(w, x, out, in, tokens, false);
    for (size_t i = 0; bias && i < tokens * out; i++) sizes[i] += fabs((double)bias[i % out]);
    // Natively, activations may be rounded to the weight's 16 bits.
    double tolerance = precision == PRECISION_NATIVE && dtype == DTYPE_BF16  ? 0x1p-8
                       : precision == PRECISION_NATIVE && dtype == DTYPE_F16 ? 0x1p-11
                                                                             : 6e-7 + 2e-8 * sqrt((double)in);
    compare("dense", y[1], y[0], sizes, tokens * out, tolerance);
    free(w), free(x), free(bias), free(data), free(sizes), free(y[0]), free(y[1]);
}

static QuantizedWeight random_quantized(Checks *c, const QuantizedCase *q) {
    QuantizedWeight w;
    assert_true(quantized_weight_on_grid(q->grid, q->out, q->in, q->group, q->bits, q->scale_dtype, &w, NULL));
    const int most = (1 << (q->bits - 1)) - 1, least = q->grid == GRID_ASYMMETRIC ? -most - 1 : -most;
    for (size_t i = 0; i < q->out * q->in; i++)
        w.codes[i] = (int8_t)(least + (int)between(c, 0, (size_t)(most - least)));
    if (between(c, 0, 5) == 0) memset(w.codes, between(c, 0, 1) ? most : least, q->out * q->in); // extremes everywhere
    const size_t groups = group_count(q->in, q->group), scales = q->grid == GRID_TWO_LEVEL ? q->out : q->out * groups;
    for (size_t i = 0; i < scales; i++)
        w.scales[i] = float_rounded(q->scale_dtype, (float)(0.001 + 0.01 * random_uniform(&c->random)));
    for (size_t i = 0; i < q->out * groups; i++) {
        if (w.zeros) w.zeros[i] = (int8_t)(least + (int)between(c, 0, (size_t)(most - least)));
        if (w.factors) w.factors[i] = (int8_t)between(c, 1, 127);
    }
    return w;
}

void check_quantized(Checks *c, const QuantizedCase *q) {
    QuantizedWeight w = random_quantized(c, q);
    float *x = random_floats(c, q->tokens * q->in, 1), *bias = between(c, 0, 1) ? random_floats(c, q->out, 1) : NULL;
    float *divisor = between(c, 0, 2) == 0 ? random_floats(c, q->in, 1) : NULL, *y[2];
    for (size_t i = 0; divisor && i < q->in; i++) divisor[i] = 0.1f + fabsf(divisor[i]);
    for (size_t t = 0; t < q->tokens; t++) x[t * q->in + between(c, 0, q->in - 1)] *= q->outlier;
    if (q->tokens > 1) memset(x + q->in, 0, q->in * sizeof *x); // a token of zeros
    const ActivationScheme scheme = {.mode = q->mode, .scale = 1 / 60.0f, .divisor = divisor};
    Backend *const backends[2] = {c->reference, c->device};
    const Precision precisions[2] = {PRECISION_F32, q->precision};
    for (int i = 0; i < 2; i++) {
        Backend *b = backends[i];
        Weight *weight = NULL;
        Error err = {0};
        if (!b->ops->weight_quantized(b, &w, &scheme, bias, precisions[i], &weight, &err)) fail_msg("%s", err.message);
        y[i] = linear_result(b, weight, x, q->in, q->tokens, q->out);
        b->ops->weight_free(b, weight);
    }
    char what[200];
    snprintf(what, sizeof what, "grid %d, %d bits, [%zu, %zu], group %zu, %zu tokens, activations %d, precision %d",
             (int)q->grid, q->bits, q->out, q->in, q->group, q->tokens, (int)q->mode, (int)q->precision);
    const bool whole = q->mode == ACTIVATION_STATIC || q->mode == ACTIVATION_TOKEN;
    if (whole && !(q->grid == GRID_LOG2 && q->bits == 8)) {
        compare(what, y[1], y[0], NULL, q->tokens * q->out, 0);
    } else {
        float *values = host_floats(q->out * q->in);
        for (size_t o = 0; o < q->out; o++) quantized_row(&w, o, values + o * q->in);
        // What is multiplied: x / divisor, rounded; what is at least half a step may become a whole one.
        float *met = host_floats(q->tokens * q->in);
        for (size_t i = 0; i < q->tokens * q->in; i++) {
            met[i] = q->mode == ACTIVATION_NONE ? x[i] : 2 * x[i];
            if (divisor && q->mode != ACTIVATION_NONE) met[i] /= divisor[i % q->in];
        }
        double *sizes = product_sizes(values, met, q->out, q->in, q->tokens, true);
        for (size_t i = 0; bias && i < q->tokens * q->out; i++) sizes[i] += fabs((double)bias[i % q->out]);
        // Of 16 bits: each activation is off by half a step of a 127 · 256th of the largest among its neighbours.
        const double rounding = q->precision == PRECISION_NATIVE ? 0.5 / (127 * 256) : 0;
        compare(what, y[1], y[0], sizes, q->tokens * q->out, rounding + 6e-7 + 2e-8 * sqrt((double)q->in));
        free(values), free(sizes), free(met);
    }
    quantized_weight_free(&w);
    free(x), free(bias), free(divisor), free(y[0]), free(y[1]);
}

void check_recorded(Checks *c, const char *what, RecordedOperation operation, const void *context) {
    static const float table[1] = {0};
    const int32_t id = 0;
    Backend *b = c->device;
    Error err = {0};
    float *nowhere = poisoned(b, 1);
    assert_true(b->ops->step_begin(b));
    b->ops->embed(b, DTYPE_F32, table, 1, &id, 1, nowhere);
    operation(b, context);
    Step *step = b->ops->step_end(b);
    if (!step) fail_msg("%s: a launch is refused", what);
    b->ops->step_free(b, step);
    b->ops->memory_free(b, nowhere);
    if (!b->ops->healthy(b, &err)) fail_msg("%s: %s", what, err.message);
}

typedef struct RecordedProduct {
    const Weight *w;
    const float *x;
    size_t tokens;
    float *y;
} RecordedProduct;

static void run_product(Backend *b, const void *context) {
    const RecordedProduct *p = context;
    b->ops->linear(b, p->w, p->x, p->tokens, p->y);
}

void check_recorded_products(Checks *c, const QuantizedCase *q) {
    static const size_t tokens[] = {1, 2, 4, 5, 8, 9, 16, 32, 64, 300};
    enum { CALLS = sizeof tokens / sizeof *tokens, MOST = 300 };
    Backend *b = c->device;
    QuantizedWeight codes = random_quantized(c, q);
    const ActivationScheme scheme = {.mode = q->mode, .scale = 1 / 60.0f};
    Weight *w = NULL;
    Error err = {0};
    if (!b->ops->weight_quantized(b, &codes, &scheme, NULL, q->precision, &w, &err)) fail_msg("%s", err.message);
    float *x = poisoned(b, MOST * q->in), *y = poisoned(b, MOST * q->out);
    for (size_t i = 0; i < CALLS; i++) {
        char what[200];
        snprintf(what, sizeof what, "grid %d, %d bits, group %zu of %zu, %zu tokens, activations %d, precision %d",
                 (int)q->grid, q->bits, q->group, q->in, tokens[i], (int)q->mode, (int)q->precision);
        check_recorded(c, what, run_product, &(RecordedProduct){w, x, tokens[i], y});
    }
    b->ops->weight_free(b, w);
    b->ops->memory_free(b, x), b->ops->memory_free(b, y);
    quantized_weight_free(&codes);
}

static void not_finite_case(Checks *c, ActivationMode mode, Precision precision, float bad, size_t tokens) {
    enum { OUT = 40, IN = 70 };
    const QuantizedCase q = {GRID_SYMMETRIC, 4, OUT, IN, 32, tokens, mode, DTYPE_F16, 1, precision};
    QuantizedWeight w = random_quantized(c, &q);
    float *x = random_floats(c, tokens * IN, 1);
    Weight *weight = NULL;
    const ActivationScheme scheme = {.mode = mode, .scale = 0.02f};
    x[IN + 5] = bad;
    assert_true(c->device->ops->weight_quantized(c->device, &w, &scheme, NULL, precision, &weight, NULL));
    float *y = linear_result(c->device, weight, x, IN, tokens, OUT);
    for (size_t i = 0; i < tokens * OUT; i++) assert_true(i / OUT == 1 ? isnan(y[i]) : isfinite(y[i]));
    c->device->ops->weight_free(c->device, weight);
    quantized_weight_free(&w);
    free(x), free(y);
}

void check_not_finite(Checks *c) {
    for (size_t tokens = 3; tokens < 20; tokens += 14) {
        for (Precision precision = PRECISION_NATIVE; precision <= PRECISION_F32; precision++) {
            not_finite_case(c, ACTIVATION_NONE, precision, NAN, tokens);
            not_finite_case(c, ACTIVATION_NONE, precision, INFINITY, tokens);
        }
        not_finite_case(c, ACTIVATION_TOKEN, PRECISION_NATIVE, NAN, tokens);
        not_finite_case(c, ACTIVATION_TOKEN, PRECISION_NATIVE, -INFINITY, tokens);
        not_finite_case(c, ACTIVATION_STATIC, PRECISION_NATIVE, NAN, tokens);
    }
}

static Weight *dense_weight(Checks *c, size_t in, size_t out) {
    const BackendOps *ops = c->device->ops;
    float *w = random_floats(c, out * in, 0.1), *bias = between(c, 0, 1) ? random_floats(c, out, 1) : NULL;
    void *data = stored(DTYPE_BF16, w, out * in);
    Weight *weight = NULL;
    assert_true(ops->weight_dense(c->device, DTYPE_BF16, data, out, in, bias, PRECISION_NATIVE, &weight, NULL));
    ops->synchronize(c->device);
    free(w), free(data), free(bias);
    return weight;
}

// Weight-only ones on a symmetric grid, others with zero points.
static Weight *four_bit_weight(Checks *c, ActivationMode mode, size_t group, size_t in, size_t out) {
    const QuantizedCase q = {.grid = mode == ACTIVATION_NONE ? GRID_SYMMETRIC : GRID_ASYMMETRIC,
                             .bits = 4,
                             .out = out,
                             .in = in,
                             .group = in < group ? in : group,
                             .scale_dtype = DTYPE_F16};
    QuantizedWeight codes = random_quantized(c, &q);
    const ActivationScheme scheme = {.mode = mode, .scale = 1 / 60.0f};
    float *bias = between(c, 0, 1) ? random_floats(c, out, 1) : NULL;
    Weight *weight = NULL;
    assert_true(c->device->ops->weight_quantized(c->device, &codes, &scheme, bias, PRECISION_NATIVE, &weight, NULL));
    quantized_weight_free(&codes);
    free(bias);
    return weight;
}

// Formats that alternate, and more of one than a launch takes.
enum { LINEARS = 8 };

static Weight *one_of_many(Checks *c, int i, size_t in, size_t out) {
    if (i == 2 || i == 5) return dense_weight(c, in, out);
    return four_bit_weight(c, i == 1 || i == 6 ? ACTIVATION_TOKEN : ACTIVATION_NONE, 32, in, out);
}

void check_linears(Checks *c, size_t tokens, size_t in) {
    Backend *b = c->device;
    Weight *weights[LINEARS];
    size_t outs[LINEARS];
    float *x = random_floats(c, tokens * in, 1), *apart[LINEARS], *y[LINEARS], *from = uploaded(b, x, tokens * in);
    for (int i = 0; i < LINEARS; i++) {
        outs[i] = between(c, 1, 130);
        weights[i] = one_of_many(c, i, in, outs[i]);
        y[i] = poisoned(b, tokens * outs[i]);
    }
    const size_t begin = launched(c, 0);
    for (int i = 0; i < LINEARS; i++) apart[i] = linear_result(b, weights[i], x, in, tokens, outs[i]);
    const size_t middle = launched(c, 0);
    b->ops->linears(b, (const Weight *const *)weights, LINEARS, from, tokens, y);
    b->ops->synchronize(b);
    // Four of one format are two launches, twice two of another are one each; what is prepared for them is one for all.
    if (c->launches) assert_true(launched(c, middle) + (tokens > 8 ? 3 : 4) <= middle - begin);
    for (int i = 0; i < LINEARS; i++) {
        float *together = downloaded(b, y[i], tokens * outs[i]);
        double *sizes = array_new(tokens * outs[i], sizeof *sizes), largest = 0;
        assert_non_null(sizes);
        for (size_t n = 0; n < tokens * outs[i]; n++) largest = fmax(largest, fabs((double)apart[i][n]));
        for (size_t n = 0; n < tokens * outs[i]; n++) sizes[n] = largest;
        compare("linears", together, apart[i], sizes, tokens * outs[i], i % 7 && i != 3 && i != 4 ? 0 : 1e-5);
        b->ops->weight_free(b, weights[i]);
        free(apart[i]), free(together), free(sizes);
    }
    b->ops->memory_free(b, from);
    free(x);
}

// ---- Mixtures of experts ----

static Weight *expert_weight(Checks *c, const MixtureCase *m, size_t in, size_t out) {
    const size_t kind = m->mixed ? between(c, 0, 3) : 3;
    if (m->dense || kind == 0) return dense_weight(c, in, out);
    return four_bit_weight(c,
                           kind == 1   ? ACTIVATION_NONE
                           : kind == 2 ? ACTIVATION_STATIC
                                       : m->mode,
                           kind == 1 ? 64 : 32, in, out);
}

// Sums up what the experts of one token give, in order of experts. chosen: zeros.
static void mixed_token(Checks *c, const MixtureCase *m, const float *logits, Weight *const *gate, Weight *const *up,
                        Weight *const *down, const float *x, bool *chosen, float *y) {
    double all = 0, mass = 0;
    for (int k = 0; k < m->per_token; k++) {
        int best = -1;
        for (int e = 0; e < m->experts; e++)
            if (!chosen[e] && (best < 0 || logits[e] > logits[best])) best = e;
        chosen[best] = true;
    }
    for (int e = 0; e < m->experts; e++) all += exp((double)logits[e]);
    for (int e = 0; e < m->experts; e++) mass += chosen[e] ? exp((double)logits[e]) / all : 0;
    for (size_t j = 0; j < m->hidden; j++) y[j] = 0;
    for (int e = 0; e < m->experts; e++) {
        if (!chosen[e]) continue;
        Backend *b = c->device;
        const double weight = exp((double)logits[e]) / all / (m->normalized ? mass : 1);
        float *g = linear_result(b, gate[e], x, m->hidden, 1, m->inner);
        float *u = linear_result(b, up[e], x, m->hidden, 1, m->inner);
        float *dg = uploaded(b, g, m->inner), *du = uploaded(b, u, m->inner);
        b->ops->activate(b, NONLINEARITY_GELU, dg, du, m->inner, dg);
        float *inner = downloaded(b, dg, m->inner), *out = linear_result(b, down[e], inner, m->inner, 1, m->hidden);
        for (size_t j = 0; j < m->hidden; j++) y[j] += (float)weight * out[j];
        b->ops->memory_free(b, du);
        free(g), free(u), free(inner), free(out);
    }
}

void check_mixture(Checks *c, const MixtureCase *m) {
    Backend *b = c->device;
    const size_t experts = (size_t)m->experts, in = m->tokens * m->hidden;
    Weight **weights = array_new(3 * experts, sizeof(Weight *)), **gate = weights, **up = weights + experts,
           **down = weights + 2 * experts;
    float *logits = random_floats(c, m->tokens * experts, 1), *x = random_floats(c, in, 1), *expected = host_floats(in);
    bool *chosen = array_new(experts, sizeof *chosen);
    assert_true(weights && chosen);
    for (size_t e = 0; e < experts; e++) {
        gate[e] = expert_weight(c, m, m->hidden, m->inner);
        up[e] = expert_weight(c, m, m->hidden, m->inner);
        down[e] = expert_weight(c, m, m->inner, m->hidden);
    }
    for (size_t i = 0; i + 1 < experts; i += 2) logits[i + 1] = logits[i]; // equal ones: the first counts
    for (size_t t = 0; t < m->tokens; t++) {
        memset(chosen, 0, experts * sizeof *chosen);
        mixed_token(c, m, logits + t * experts, gate, up, down, x + t * m->hidden, chosen, expected + t * m->hidden);
    }
    const MixtureShape shape = {m->experts, m->per_token, m->normalized, NONLINEARITY_GELU};
    Mixture *mixture = b->ops->mixture_new(b, &shape, (const Weight *const *)gate, (const Weight *const *)up,
                                           (const Weight *const *)down);
    assert_non_null(mixture);
    float *dl = uploaded(b, logits, m->tokens * experts), *dx = uploaded(b, x, in), *dy = poisoned(b, in);
    for (int twice = 0; twice < 2; twice++) assert_true(b->ops->mixture(b, mixture, dl, dx, m->tokens, dy));
    float *y = downloaded(b, dy, in);
    double *sizes = array_new(in, sizeof *sizes), largest = 0;
    assert_non_null(sizes);
    for (size_t i = 0; i < in; i++) largest = fmax(largest, fabs((double)expected[i]));
    for (size_t i = 0; i < in; i++) sizes[i] = largest;
    char what[200];
    snprintf(what, sizeof what, "%d of %d experts, %zu tokens, [%zu, %zu], mixed %d, activations %d, dense %d",
             m->per_token, m->experts, m->tokens, m->hidden, m->inner, m->mixed, (int)m->mode, m->dense);
    compare(what, y, expected, sizes, in, 2e-5);
    assert_false(b->ops->mixture(b, mixture, dl, dx, 100000, dy));
    b->ops->mixture_free(b, mixture);
    for (size_t i = 0; i < 3 * experts; i++) b->ops->weight_free(b, weights[i]);
    b->ops->memory_free(b, dl), b->ops->memory_free(b, dx);
    free(weights), free(logits), free(x), free(expected), free(chosen), free(y), free(sizes);
}

// ---- Between linears ----

typedef void (*Operation)(Backend *, const void *context, float *x, float *other, float *y);

// The same operation on both; x, other and y may be changed, and y is compared, and x too.
static void check_operation(Checks *c, const char *what, Operation operation, const void *context, const float *x,
                            size_t x_floats, const float *other, size_t other_floats, size_t y_floats,
                            double tolerance) {
    Backend *const backends[2] = {c->reference, c->device};
    float *results[2], *changed[2];
    for (int i = 0; i < 2; i++) {
        Backend *b = backends[i];
        float *dx = uploaded(b, x, x_floats), *dother = uploaded(b, other, other_floats), *dy = poisoned(b, y_floats);
        operation(b, context, dx, dother, dy);
        results[i] = downloaded(b, dy, y_floats);
        changed[i] = downloaded(b, dx, x_floats);
        if (dother) b->ops->memory_free(b, dother);
    }
    double largest = 0;
    for (size_t i = 0; i < y_floats; i++)
        largest = fmax(largest, isfinite(results[0][i]) ? fabs((double)results[0][i]) : 0);
    double *sizes = array_new(y_floats > x_floats ? y_floats : x_floats, sizeof *sizes);
    assert_non_null(sizes);
    for (size_t i = 0; i < y_floats; i++) sizes[i] = fabs((double)results[0][i]) + 1e-2 * largest;
    compare(what, results[1], results[0], sizes, y_floats, tolerance);
    for (size_t i = 0; i < x_floats; i++) sizes[i] = fabs((double)changed[0][i]) + 1e-2;
    compare(what, changed[1], changed[0], sizes, x_floats, tolerance);
    for (int i = 0; i < 2; i++) free(results[i]), free(changed[i]);
    free(sizes);
}

typedef struct Shape {
    size_t tokens, width;
    Nonlinearity f;
} Shape;

static void run_add(Backend *b, const void *context, float *x, float *other, float *y) {
    const Shape *s = context;
    (void)y;
    b->ops->add(b, x, other, s->width);
}
static void run_silu(Backend *b, const void *context, float *x, float *other, float *y) {
    b->ops->silu_times(b, x, other, ((const Shape *)context)->width, y);
}
static void run_activate(Backend *b, const void *context, float *x, float *other, float *y) {
    const Shape *s = context;
    b->ops->activate(b, s->f, x, s->tokens ? other : NULL, s->width, y);
}
static void run_scales(Backend *b, const void *context, float *x, float *other, float *y) {
    const Shape *s = context;
    b->ops->scale(b, x, 0.37f, s->width);
    b->ops->scale(b, other, 0, s->width);
    b->ops->softcap(b, x, 1.5f, s->width);
    b->ops->split(b, other, 1, 1, &s->width, 1, &y);
}

void check_elementwise(Checks *c, size_t n) {
    float *x = random_floats(c, n, 3), *other = random_floats(c, n, 1);
    Shape s = {0, n, NONLINEARITY_SILU};
    check_operation(c, "add", run_add, &s, x, n, other, n, n, 0);
    check_operation(c, "silu", run_silu, &s, x, n, other, n, n, 1e-6);
    for (int f = 0; f <= NONLINEARITY_RELU; f++) {
        for (s.tokens = 0; s.tokens < 2; s.tokens++) {
            s.f = (Nonlinearity)f;
            check_operation(c, "activate", run_activate, &s, x, n, other, n, n, 2e-6);
        }
    }
    other[0] = NAN;
    check_operation(c, "scale, softcap", run_scales, &s, x, n, other, n, n, 1e-6);
    free(x), free(other);
}

static void run_rms_norm(Backend *b, const void *context, float *x, float *other, float *y) {
    const Shape *s = context;
    b->ops->rms_norm(b, x, other, 1e-5f, s->tokens, s->width, y);
    b->ops->rms_norm(b, x, other, 1e-5f, s->tokens, s->width, x);
}
static void run_layer_norm(Backend *b, const void *context, float *x, float *other, float *y) {
    const Shape *s = context;
    b->ops->layer_norm(b, x, other, other + s->width, 1e-5f, s->tokens, s->width, y);
}
static void run_split(Backend *b, const void *context, float *x, float *other, float *y) {
    const Shape *s = context;
    const size_t widths[3] = {1, s->width / 2, s->width - 1 - s->width / 2};
    float *parts[3] = {y, y + s->tokens, y + s->tokens * (1 + widths[1])};
    (void)other;
    b->ops->split(b, x, s->tokens, 1, widths, 3, parts);
}
static void run_routing(Backend *b, const void *context, float *x, float *other, float *y) {
    const Shape *s = context;
    int32_t rows[5] = {(int32_t)s->tokens - 1, 0, 0, (int32_t)s->tokens / 2, 0};
    const float factors[5] = {0.5f, -2, 1, 3, 0.25f};
    b->ops->gather(b, x, s->width, rows, 5, y);
    b->ops->scatter_add(b, other, s->width, rows, factors, 5, x);
}

void check_rows(Checks *c, size_t tokens, size_t width) {
    const size_t n = tokens * width, more = n > 5 * width ? n : 5 * width;
    float *x = random_floats(c, n, 2), *other = random_floats(c, more > 2 * width ? more : 2 * width, 1);
    const Shape s = {tokens, width, NONLINEARITY_SILU};
    for (size_t i = 0; i < n; i++) x[i] += 1;
    check_operation(c, "rms norm", run_rms_norm, &s, x, n, other, width, n, 2e-6);
    check_operation(c, "layer norm", run_layer_norm, &s, x, n, other, 2 * width, n, 2e-6);
    if (width > 2) check_operation(c, "split", run_split, &s, x, n, NULL, 0, n, 0);
    check_operation(c, "gather, scatter", run_routing, &s, x, n, other, 5 * width, 5 * width, 1e-6);
    free(x), free(other);
}

typedef struct RopeShape {
    size_t tokens;
    int heads, head_dim, rotated;
} RopeShape;

static void run_rope(Backend *b, const void *context, float *x, float *other, float *y) {
    const RopeShape *s = context;
    const size_t half = (size_t)s->rotated / 2;
    (void)y;
    b->ops->rope(b, x, s->tokens, s->heads, s->head_dim, s->rotated, other, other + (s->tokens + 3) * half, 3);
}

void check_rope(Checks *c, size_t tokens, int heads, int head_dim, int rotated) {
    const RopeShape s = {tokens, heads, head_dim, rotated};
    const size_t n = tokens * (size_t)heads * (size_t)head_dim, table = (tokens + 3) * (size_t)rotated;
    float *x = random_floats(c, n, 1), *tables = random_floats(c, table, 1);
    check_operation(c, "rope", run_rope, &s, x, n, tables, table, 1, 1e-6);
    free(x), free(tables);
}

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
    case FUSED_LAYER: b->ops->layer_norm(b, x, other, other + in, 1e-5f, tokens, in, y); break;
    case FUSED_SILU: b->ops->silu_times(b, x, other, tokens * in, y); break;
    default: b->ops->activate(b, NONLINEARITY_RELU, x, NULL, tokens * in, x);
    }
    part(b, apart);
}

// What lies before, a product with a divisor, and one without → [both products, x, y].
static float *fused_result(Backend *b, int way, Weight *const *w, const float *x, const float *other, size_t tokens,
                           size_t in, size_t out, bool apart) {
    const size_t n = tokens * in, products = 2 * tokens * out;
    float *dx = uploaded(b, x, n), *dother = uploaded(b, other, n + 2 * in), *dy = uploaded(b, x, n);
    float *result = poisoned(b, products + 2 * n), *rows[2] = {result + products, result + products + n};
    before_product(b, way, dx, dother, tokens, in, dy, apart);
    for (size_t i = 0; i < 2; i++)
        b->ops->linear(b, w[i], way == FUSED_IN_PLACE ? dx : dy, tokens, result + i * tokens * out);
    b->ops->split(b, dx, tokens, 1, &in, 1, &rows[0]);
    b->ops->split(b, dy, tokens, 1, &in, 1, &rows[1]);
    b->ops->memory_free(b, dx), b->ops->memory_free(b, dother), b->ops->memory_free(b, dy);
    return downloaded(b, result, products + 2 * n);
}

void check_fused(Checks *c, ActivationMode mode, size_t tokens, size_t in, size_t out) {
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
    Backend *b = c->device;
    Weight *w[2];
    for (size_t i = 0; i < in; i++) divisor[i] = 0.1f + fabsf(divisor[i]);
    for (int i = 0; i < 2; i++) {
        const ActivationScheme scheme = {.mode = mode, .scale = 1 / 60.0f, .divisor = i ? NULL : divisor};
        const Precision precision = i ? PRECISION_F32 : PRECISION_NATIVE;
        assert_true(b->ops->weight_quantized(b, &codes, &scheme, NULL, precision, &w[i], NULL));
    }
    for (int way = 0; way < FUSED_WAYS; way++) {
        const size_t floats = 2 * tokens * (out + in);
        const size_t begin = launched(c, 0);
        float *together = fused_result(b, way, w, x, other, tokens, in, out, false);
        const size_t middle = launched(c, 0), saved = way == FUSED_RMS || way == FUSED_LAYER ? 2 : 1;
        float *apart = fused_result(b, way, w, x, other, tokens, in, out, true);
        if (c->launches) assert_int_equal(middle - begin + saved, launched(c, middle));
        for (size_t i = 0; i < floats; i++) assert_true(isfinite(together[i]));
        assert_memory_equal(together, apart, floats * sizeof *apart);
        free(together), free(apart);
    }
    for (int i = 0; i < 2; i++) b->ops->weight_free(b, w[i]);
    quantized_weight_free(&codes);
    free(x), free(other), free(divisor);
}

// [q, k, what attention makes of them]
static float *ropes_result(Backend *b, const AttentionShape *shape, DType dtype, size_t sequences, const float *qkv,
                           const float *table, bool apart) {
    enum { FIRST = 2, TOKENS = 1, POSITIONS = 4 };
    const size_t heads = sequences * (size_t)shape->heads, kv_heads = sequences * (size_t)shape->kv_heads;
    const size_t dim = (size_t)shape->head_dim, half = dim / 4, q = heads * dim, kv = kv_heads * dim;
    float *x = uploaded(b, qkv, q + 2 * kv), *turns = uploaded(b, table, 2 * POSITIONS * half);
    float *y = poisoned(b, 2 * q + kv), *parts[2] = {y, y + q};
    Cache *cache;
    assert_true(b->ops->cache_new(b, 1, sequences, shape->kv_heads, shape->head_dim, POSITIONS, dtype, &cache, NULL));
    b->ops->cache_write(b, cache, 0, 0, FIRST, x, x); // anything: 2 tokens of zeros would hide mistakes
    b->ops->rope(b, x, TOKENS, (int)heads, (int)dim, (int)(2 * half), turns, turns + POSITIONS * half, FIRST);
    part(b, apart);
    b->ops->rope(b, x + q, TOKENS, (int)kv_heads, (int)dim, (int)(2 * half), turns, turns + POSITIONS * half, FIRST);
    part(b, apart);
    b->ops->cache_write(b, cache, 0, FIRST, TOKENS, x + q, x + q + kv);
    b->ops->attention(b, cache, 0, shape, x, FIRST, TOKENS, y + q + kv);
    b->ops->split(b, x, 1, 1, (const size_t[]){q, kv}, 2, parts);
    b->ops->memory_free(b, x), b->ops->memory_free(b, turns);
    b->ops->cache_free(b, cache);
    return downloaded(b, y, 2 * q + kv);
}

void check_fused_ropes(Checks *c, DType dtype, size_t sequences, int heads, int kv_heads, int head_dim) {
    const AttentionShape shape = {.heads = heads, .kv_heads = kv_heads, .head_dim = head_dim, .scale = 0.3f};
    const size_t dim = (size_t)head_dim, q = sequences * (size_t)heads * dim, kv = sequences * (size_t)kv_heads * dim;
    float *qkv = random_floats(c, q + 4 * kv, 1), *table = random_floats(c, 2 * dim, 1);
    const size_t begin = launched(c, 0);
    float *together = ropes_result(c->device, &shape, dtype, sequences, qkv, table, false);
    const size_t middle = launched(c, 0);
    float *apart = ropes_result(c->device, &shape, dtype, sequences, qkv, table, true);
    if (c->launches) assert_int_equal(middle - begin + 2, launched(c, middle));
    for (size_t i = 0; i < 2 * q + kv; i++) assert_true(isfinite(together[i]));
    assert_memory_equal(together, apart, (2 * q + kv) * sizeof *apart);
    assert_true(memcmp(together, qkv, q * sizeof *qkv) != 0);
    free(qkv), free(table), free(together), free(apart);
}

typedef struct EmbedShape {
    DType dtype;
    const void *table;
    size_t width, tokens;
    const int32_t *ids;
} EmbedShape;

static void run_embed(Backend *b, const void *context, float *x, float *other, float *y) {
    const EmbedShape *s = context;
    (void)x, (void)other;
    b->ops->embed(b, s->dtype, s->table, s->width, s->ids, s->tokens, y);
}

void check_embed(Checks *c, DType dtype, size_t width, size_t tokens) {
    enum { ROWS = 20 };
    float *values = random_floats(c, ROWS * width, 1), nothing[1] = {0};
    char *table = stored(dtype, values, ROWS * width), *odd = malloc(ROWS * width * dtype_bytes(dtype) + 1);
    int32_t *ids = array_new(tokens, sizeof *ids);
    assert_true(odd && ids);
    memcpy(odd + 1, table, ROWS * width * dtype_bytes(dtype));
    for (size_t t = 0; t < tokens; t++) ids[t] = (int32_t)between(c, 0, ROWS - 1);
    const EmbedShape s = {dtype, odd + 1, width, tokens, ids};
    check_operation(c, "embed", run_embed, &s, nothing, 1, NULL, 0, tokens * width, 0);
    free(values), free(table), free(odd), free(ids);
}

// Ties, what is no number, and rows where everything is the same.
static float *odd_logits(Checks *c, size_t rows, size_t vocab) {
    static const float bad[] = {NAN, INFINITY, -INFINITY, 3e38f, -3e38f, 50};
    float *logits = random_floats(c, rows * vocab, 2);
    for (size_t r = 0; r < rows; r++) {
        float *row = logits + r * vocab;
        const size_t kind = between(c, 0, 5);
        for (size_t i = 0; i < vocab; i++) {
            if (kind == 1) row[i] = rintf(row[i]);
            if (kind == 2) row[i] = bad[between(c, 0, 5)];
            if (kind == 3) row[i] = bad[r % 3];
        }
        if (kind > 3) row[vocab - 1] = row[vocab / 2] = 9;
        if (kind == 5) row[vocab / 3] = NAN;
    }
    return logits;
}

void check_choose(Checks *c, size_t rows, size_t vocab) {
    static const float temperatures[] = {0, 1, 0.7f, 0.01f, 25, 1e-44f, INFINITY},
                       top_ps[] = {1, 0.9f, 0.5f, 0.999f, 0.05f, 0, NAN};
    float *logits = odd_logits(c, rows, vocab), *probabilities[2] = {host_floats(rows), host_floats(rows)};
    int32_t *ids[2] = {array_new(rows, sizeof *ids), array_new(rows, sizeof *ids)};
    double *points = array_new(rows, sizeof *points);
    float *device = uploaded(c->device, logits, rows * vocab);
    assert_true(ids[0] && ids[1] && points);
    for (size_t r = 0; r < rows; r++) points[r] = between(c, 0, 5) ? random_uniform(&c->random) : 0;
    const Draw draw = {temperatures[between(c, 0, 6)], top_ps[between(c, 0, 6)], points};
    c->reference->ops->choose(c->reference, logits, rows, vocab, &draw, ids[0], probabilities[0]);
    c->device->ops->choose(c->device, device, rows, vocab, &draw, ids[1], probabilities[1]);
    for (size_t r = 0; r < rows; r++)
        if (ids[0][r] != ids[1][r])
            fail_msg("row %zu of %zu, %zu logits, temperature %g, top_p %g, point %.17g: %d, not %d", r, rows, vocab,
                     (double)draw.temperature, (double)draw.top_p, points[r], (int)ids[1][r], (int)ids[0][r]);
    compare("probabilities", probabilities[1], probabilities[0], NULL, rows, 2e-7);
    c->device->ops->memory_free(c->device, device);
    for (int i = 0; i < 2; i++) free(ids[i]), free(probabilities[i]);
    free(logits), free(points);
}

// ---- Attention ----

static float *attention_result(Backend *b, const AttentionCase *a, const AttentionShape *shape, const float *k,
                               const float *v, const float *q, const float *bias) {
    enum { LAYERS = 2, LAYER = 1 };
    const size_t positions = a->before + a->tokens, kv = (size_t)a->kv_heads * (size_t)a->head_dim * a->sequences;
    const size_t width = (size_t)a->heads * (size_t)a->head_dim * a->sequences;
    AttentionShape own = *shape;
    Cache *cache;
    Error err = {0};
    if (!b->ops->cache_new(b, LAYERS, a->sequences, a->kv_heads, a->head_dim, positions + 3, a->dtype, &cache, &err))
        fail_msg("%s", err.message);
    float *dk = uploaded(b, k, positions * kv), *dv = uploaded(b, v, positions * kv);
    float *dq = uploaded(b, q, a->tokens * width), *dy = poisoned(b, a->tokens * width);
    float *dbias = uploaded(b, bias, (size_t)a->heads * (positions + 3));
    own.bias = dbias;
    own.bias_stride = positions + 3;
    if (a->before) b->ops->cache_write(b, cache, LAYER, 0, a->before, dk, dv);
    b->ops->cache_write(b, cache, LAYER, a->before, a->tokens, dk + a->before * kv, dv + a->before * kv);
    b->ops->attention(b, cache, LAYER, &own, dq, a->before, a->tokens, dy);
    float *y = downloaded(b, dy, a->tokens * width);
    b->ops->memory_free(b, dk), b->ops->memory_free(b, dv), b->ops->memory_free(b, dq);
    if (dbias) b->ops->memory_free(b, dbias);
    b->ops->cache_free(b, cache);
    return y;
}

void check_attention(Checks *c, const AttentionCase *a) {
    const size_t positions = a->before + a->tokens, kv = (size_t)a->kv_heads * (size_t)a->head_dim * a->sequences;
    const size_t width = (size_t)a->heads * (size_t)a->head_dim * a->sequences, n = a->tokens * width;
    float *k = random_floats(c, positions * kv, 1), *v = random_floats(c, positions * kv, 1);
    float *q = random_floats(c, n, 3),
          *bias = a->biased ? random_floats(c, (size_t)a->heads * (positions + 3), 1) : NULL;
    const AttentionShape shape = {.heads = a->heads,
                                  .kv_heads = a->kv_heads,
                                  .head_dim = a->head_dim,
                                  .scale = 1 / sqrtf((float)a->head_dim),
                                  .window = a->window,
                                  .softcap = a->softcap};
    float *expected = attention_result(c->reference, a, &shape, k, v, q, bias);
    float *y = attention_result(c->device, a, &shape, k, v, q, bias);
    double *sizes = array_new(n, sizeof *sizes);
    assert_non_null(sizes);
    for (size_t i = 0; i < n; i++) sizes[i] = 1;
    char what[160];
    snprintf(what, sizeof what, "attention, %zu × %d of %d heads of %d, %zu + %zu tokens, window %d, cache %s",
             a->sequences, a->heads, a->kv_heads, a->head_dim, a->before, a->tokens, a->window, dtype_name(a->dtype));
    compare(what, y, expected, sizes, n, 1e-5);
    free(k), free(v), free(q), free(bias), free(expected), free(y), free(sizes);
}

void check_attention_not_finite(Checks *c, size_t tokens, DType dtype, float bad) {
    const AttentionCase a = {
        .heads = 4, .kv_heads = 2, .head_dim = 20, .sequences = 1, .tokens = tokens, .dtype = dtype};
    const size_t kv = 2 * 20, width = 4 * 20, from = tokens / 2;
    float *k = random_floats(c, tokens * kv, 1), *v = random_floats(c, tokens * kv, 1);
    float *q = random_floats(c, tokens * width, 1);
    const AttentionShape shape = {.heads = 4, .kv_heads = 2, .head_dim = 20, .scale = 0.2f};
    for (size_t i = 0; i < 2; i++) v[from * kv + i * 20 + between(c, 0, 19)] = k[from * kv + i * 20] = bad;
    float *y = attention_result(c->device, &a, &shape, k, v, q, NULL);
    for (size_t i = 0; i < tokens * width; i++)
        if (i < from * width) assert_true(isfinite(y[i]));
    for (size_t h = 0; h < tokens * 4; h++) { // at least what the number itself is in
        bool finite = true;
        for (size_t d = 0; d < 20; d++) finite = finite && isfinite(y[h * 20 + d]);
        assert_true(finite == (h < from * 4));
    }
    free(k), free(v), free(q), free(y);
}

// ---- Quantizing and measuring ----

// What quant/quantize.c does on the symmetric grid, told again: scales as stored, then codes.
static void plain_quantize(const float *w, const WeightQuantizing *how, QuantizedWeight *q, double *errors) {
    const size_t groups = group_count(q->in, q->group);
    const float most = (float)((1 << (how->bits - 1)) - 1);
    for (size_t o = 0; o < q->out; o++) {
        errors[2 * o] = errors[2 * o + 1] = 0;
        for (size_t g = 0; g < groups; g++) {
            float values[4096], range = 0;
            size_t n = g + 1 < groups ? q->group : q->in - g * q->group;
            assert_true(n <= 4096);
            for (size_t j = 0; j < n; j++) {
                size_t i = g * q->group + j;
                values[j] = w[o * q->in + i];
                if (how->factors) values[j] *= how->factors[i];
                if (how->divisors) values[j] /= how->divisors[o];
                range = fmaxf(range, fabsf(values[j]));
            }
            float scale = range == 0 ? 1 : float_rounded(q->scale_dtype, range / most);
            if (!(scale > 0))
                scale = q->scale_dtype == DTYPE_F16 ? 0x1p-24f : q->scale_dtype == DTYPE_BF16 ? 0x1p-133f : 0x1p-149f;
            q->scales[o * groups + g] = scale;
            for (size_t j = 0; j < n; j++) {
                float code = rintf(fmaxf(fminf(values[j] / scale, most), -most));
                double lost = (double)values[j] - (double)(code * scale);
                q->codes[o * q->in + g * q->group + j] = (int8_t)code;
                errors[2 * o] += (double)values[j] * (double)values[j];
                errors[2 * o + 1] += lost * lost;
            }
        }
    }
}

// The product shows codes and scales: both must be those of the reference, to the last bit.
void check_weight_from_dense(Checks *c, DType dtype, int bits, size_t out, size_t in, size_t group, bool equalized) {
    float *w = random_floats(c, out * in, 0.1), *x = random_floats(c, 3 * in, 1);
    for (size_t i = 0; i < in && out > 2; i++) w[in + i] *= i % 7 ? 1e-7f : 0; // small, and zeros
    if (group < in) memset(w, 0, group * sizeof *w);
    void *data = stored(dtype, w, out * in);
    float *factors = equalized ? random_floats(c, in, 1) : NULL,
          *divisors = equalized ? random_floats(c, out, 1) : NULL;
    const WeightQuantizing how = {bits, group, dtype == DTYPE_F32 ? DTYPE_F16 : dtype, factors, divisors};
    const ActivationScheme scheme = {.mode = ACTIVATION_TOKEN};
    QuantizedWeight q = {.group = group};
    double *expected = array_new(2 * out, sizeof *expected), *errors = array_new(2 * out, sizeof *errors);
    assert_true(expected && errors && quantized_weight_new(out, in, group, bits, how.scale_dtype, &q, NULL));
    for (size_t i = 0; factors && i < in; i++) factors[i] = 0.5f + fabsf(factors[i]);
    for (size_t i = 0; divisors && i < out; i++) divisors[i] = 0.5f + fabsf(divisors[i]);
    plain_quantize(w, &how, &q, expected);
    Weight *dense = NULL, *packed = NULL, *plain = NULL;
    Error err = {0};
    Backend *b = c->device;
    if (!b->ops->weight_dense(b, dtype, data, out, in, NULL, PRECISION_NATIVE, &dense, &err) ||
        !b->ops->weight_from_dense(b, dense, &how, &scheme, NULL, errors, &packed, &err) ||
        !c->reference->ops->weight_quantized(c->reference, &q, &scheme, NULL, PRECISION_F32, &plain, &err))
        fail_msg("%s", err.message);
    float *y = linear_result(b, packed, x, in, 3, out), *z = linear_result(c->reference, plain, x, in, 3, out);
    compare("quantized on the device", y, z, NULL, 3 * out, 0);
    for (size_t i = 0; i < 2 * out; i++) assert_true(fabs(errors[i] - expected[i]) <= 1e-12 * expected[i]);
    b->ops->weight_free(b, packed), b->ops->weight_free(b, dense), c->reference->ops->weight_free(c->reference, plain);
    w[in * (out - 1) + in / 2] = INFINITY;
    free(data);
    data = stored(dtype, w, out * in);
    assert_true(b->ops->weight_dense(b, dtype, data, out, in, NULL, PRECISION_NATIVE, &dense, &err));
    assert_false(b->ops->weight_from_dense(b, dense, &how, &scheme, NULL, NULL, &packed, &err));
    char row[40];
    snprintf(row, sizeof row, "row %zu holds", out - 1);
    if (!strstr(err.message, row)) fail_msg("%s", err.message);
    b->ops->weight_free(b, dense);
    quantized_weight_free(&q);
    free(w), free(x), free(y), free(z), free(data), free(factors), free(divisors), free(expected), free(errors);
}

void check_measure(Checks *c, size_t tokens, size_t width) {
    float *x = random_floats(c, tokens * width, 5), *device = uploaded(c->device, x, tokens * width);
    uint64_t *patterns = array_new(65536, sizeof *patterns), *expected = array_new(65536, sizeof *expected);
    float *channels = host_floats(width), *wanted = host_floats(width), *rows = host_floats(tokens),
          *row = host_floats(tokens);
    assert_true(patterns && expected);
    patterns[77] = expected[77] = (uint64_t)1 << 40;
    channels[0] = wanted[0] = 100;
    const ActivationCounts counts = {patterns, channels, rows};
    Error err = {0};
    if (!c->device->ops->measure(c->device, device, tokens, width, &counts, &err)) fail_msg("%s", err.message);
    count_patterns(DTYPE_F32, x, tokens * width, expected);
    absmax_update(x, tokens, width, wanted, row);
    assert_memory_equal(patterns, expected, 65536 * sizeof *patterns);
    assert_memory_equal(channels, wanted, width * sizeof *wanted);
    assert_memory_equal(rows, row, tokens * sizeof *row);
    c->device->ops->memory_free(c->device, device);
    free(x), free(patterns), free(expected), free(channels), free(wanted), free(rows), free(row);
}
