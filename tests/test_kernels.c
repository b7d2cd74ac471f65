// The CPU backend against plain sums in double: every operation in every instruction set that this processor has.
#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/array.h"
#include "tests/support/cpu_sets.h"

static size_t below(size_t bound) { return random_below(&random_state, (uint32_t)bound); }
static size_t between(size_t least, size_t most) { return least + below(most - least + 1); }

// Buffers with room around them, filled with NaN: whoever reads or writes where nobody asked is found out.
enum { MARGIN = 24 };
static float *floats_new(size_t n) {
    float *all = array_new(n + 2 * MARGIN, sizeof *all);
    assert_non_null(all);
    for (size_t i = 0; i < n + 2 * MARGIN; i++) all[i] = NAN;
    return all + MARGIN;
}

static void floats_free(float *data, size_t n) {
    for (size_t i = 0; i < MARGIN; i++) assert_true(isnan(data[-1 - (ptrdiff_t)i]) && isnan(data[n + i]));
    free(data - MARGIN);
}

static float *random_floats(size_t n, double deviation) {
    float *data = floats_new(n);
    for (size_t i = 0; i < n; i++) data[i] = (float)(random_normal(&random_state) * deviation);
    return data;
}

// Stored as dtype at an odd address; *values gets what was stored. Free with free(*block).
static void *stored_as(DType dtype, float *values, size_t n, void **block) {
    *block = malloc(n * dtype_bytes(dtype) + 1);
    assert_non_null(*block);
    char *data = (char *)*block + 1;
    for (size_t i = 0; i < n; i++) {
        values[i] = float_rounded(dtype, values[i]);
        uint16_t half = dtype == DTYPE_F16 ? float_to_f16(values[i]) : float_to_bf16(values[i]);
        if (dtype == DTYPE_F32) {
            memcpy(data + i * 4, &values[i], 4);
        } else {
            memcpy(data + i * 2, &half, 2);
        }
    }
    return data;
}

// What an error in x[i] may be relative to: x itself (reach 0), or the largest of its neighbours where codes share a
// scale.
static double largest_near(const float *x, size_t in, size_t i, size_t reach) {
    double most = fabs((double)x[i]);
    for (size_t j = i > reach ? i - reach : 0; j < in && j <= i + reach; j++) most = fmax(most, fabs((double)x[j]));
    return most;
}

// y against double sums: |difference| ≤ tolerance · Σ |w| · largest_near(x).
static void check_product(const float *w, const float *bias, const float *x, const float *y, size_t out, size_t in,
                          size_t tokens, size_t reach, double tolerance) {
    double *near = array_new(in, sizeof *near);
    for (size_t t = 0; t < tokens; t++) {
        for (size_t i = 0; i < in; i++) near[i] = largest_near(x + t * in, in, i, reach);
        for (size_t o = 0; o < out; o++) {
            double sum = bias ? bias[o] : 0, size = fabs(sum);
            for (size_t i = 0; i < in; i++) {
                sum += (double)w[o * in + i] * x[t * in + i];
                size += fabs((double)w[o * in + i]) * near[i];
            }
            double difference = fabs(sum - y[t * out + o]);
            if (!(difference <= tolerance * size + 1e-30))
                fail_msg("row %zu of %zu, token %zu of %zu, in %zu: %g, not %g (size %g)", o, out, t, tokens, in,
                         (double)y[t * out + o], sum, size);
        }
    }
    free(near);
}

static bool same_bits(const float *a, const float *b, size_t n) { return memcmp(a, b, n * sizeof *a) == 0; }

// ---- Dense ----

static void dense_case(Backend *b, DType dtype, Precision precision, size_t out, size_t in, size_t tokens) {
    void *block;
    float *w = random_floats(out * in, 0.1), *x = random_floats(tokens * in, 1), *y = floats_new(tokens * out);
    float *bias = below(2) ? random_floats(out, 1) : NULL;
    void *data = stored_as(dtype, w, out * in, &block);
    Weight *weight;
    assert_true(b->ops->weight_dense(b, dtype, data, out, in, bias, precision, &weight, NULL));
    assert_int_equal(b->ops->weight_bytes(weight), out * in * dtype_bytes(dtype) + (bias ? out * 4 : 0));
    b->ops->linear(b, weight, x, tokens, y);
    // Activations are rounded to BF16 where the processor multiplies that, and by the library.
    bool may_round = precision == PRECISION_NATIVE && dtype == DTYPE_BF16, by_library = may_round && tokens > 8;
    bool rounded = may_round && (by_library || strncmp(b->ops->describe(b), "avx512", 6) == 0);
    check_product(w, bias, x, y, out, in, tokens, 0, rounded ? 0x1p-8 : 3e-7 + 2e-8 * sqrt((double)in));
    float *again = floats_new(tokens * out);
    b->ops->linear(b, weight, x, tokens, again);
    assert_true(same_bits(y, again, tokens * out));
    if (!by_library) { // a token does not see its neighbours
        for (size_t t = 0; t < tokens; t++) b->ops->linear(b, weight, x + t * in, 1, again + t * out);
        assert_true(same_bits(y, again, tokens * out));
    }
    b->ops->weight_free(b, weight);
    free(block);
    floats_free(w, out * in), floats_free(x, tokens * in), floats_free(y, tokens * out),
        floats_free(again, tokens * out);
    if (bias) floats_free(bias, out);
}

static void dense_cases(Backend *b) {
    int cases = thorough ? 60 : 8;
    for (int i = 0; i < cases; i++) {
        size_t most = i % 4 ? 70 : 300;
        dense_case(b, (DType)(i % 3), (Precision)(i / 3 % 2), between(1, most), between(1, most),
                   between(1, i % 5 ? 12 : 40));
    }
}

static void test_dense(void **state) {
    (void)state;
    FOR_BACKENDS(dense_cases(b));
}

static void test_library_gives_up_old_shapes(void **state) {
    (void)state;
    if (!thorough) return;
    Backend *b = backend_of("avx512", 2);
    if (!b) return;
    for (size_t tokens = 9; tokens < 150; tokens++) dense_case(b, DTYPE_BF16, PRECISION_NATIVE, 9, 11, tokens);
    dense_case(b, DTYPE_BF16, PRECISION_NATIVE, 40, 33, 600); // more tokens than are prepared at a time
    b->ops->destroy(b);
}

// ---- Quantized ----

static QuantizedWeight random_quantized(size_t out, size_t in, size_t group, int bits, DType scale_dtype) {
    QuantizedWeight q;
    assert_true(quantized_weight_new(out, in, group, bits, scale_dtype, &q, NULL));
    size_t codes = (size_t)(2 << (bits - 1)) - 1; // −qmax … qmax
    for (size_t i = 0; i < out * in; i++) q.codes[i] = (int8_t)((int)below(codes) - (int)(codes / 2));
    if (below(4) == 0)
        memset(q.codes, below(2) ? (int)(codes / 2) : -(int)(codes / 2), out * in); // extremes everywhere
    for (size_t i = 0; i < out * group_count(in, group); i++)
        q.scales[i] = float_rounded(scale_dtype, (float)(0.001 + 0.01 * random_uniform(&random_state)));
    return q;
}

static size_t random_group(size_t in) {
    static const size_t sizes[] = {16, 32, 64, 128, 5, 17, 33};
    size_t group = sizes[below(7)];
    return below(3) == 0 || group > in ? in : group;
}

static float *widened(const QuantizedWeight *q) {
    float *w = floats_new(q->out * q->in);
    for (size_t o = 0; o < q->out; o++)
        for (size_t i = 0; i < q->in; i++)
            w[o * q->in + i] =
                (float)q->codes[o * q->in + i] * q->scales[o * group_count(q->in, q->group) + i / q->group];
    return w;
}

// Half a step of the integers that x becomes (24 bits: of 127 · 2^16; 16 bits: of 127 · 257) in parts of the largest of
// 128 neighbours, and roundings of float sums beside it.
static double weight_only_bound(Precision precision, size_t in) {
    return (precision == PRECISION_NATIVE ? 0.5 / 32639 : 0) + 2e-7 + 4e-9 * sqrt((double)in);
}

static void weight_only_case(Backend *b, int bits, Precision precision, size_t out, size_t in, size_t tokens,
                             float outlier) {
    QuantizedWeight q = random_quantized(out, in, random_group(in), bits, (DType)below(3));
    float *w = widened(&q), *x = random_floats(tokens * in, 1), *y = floats_new(tokens * out),
          *again = floats_new(tokens * out);
    float *bias = below(2) ? random_floats(out, 1) : NULL;
    for (size_t t = 0; t < tokens; t++) x[t * in + below(in)] *= outlier;
    Weight *weight;
    assert_true(
        b->ops->weight_quantized(b, &q, &(ActivationScheme){.mode = ACTIVATION_NONE}, bias, precision, &weight, NULL));
    quantized_weight_free(&q);
    b->ops->linear(b, weight, x, tokens, y);
    check_product(w, bias, x, y, out, in, tokens, 127, weight_only_bound(precision, in));
    for (size_t t = 0; t < tokens; t++) b->ops->linear(b, weight, x + t * in, 1, again + t * out);
    assert_true(same_bits(y, again, tokens * out)); // a token does not see its neighbours
    b->ops->weight_free(b, weight);
    floats_free(w, out * in), floats_free(x, tokens * in), floats_free(y, tokens * out),
        floats_free(again, tokens * out);
    if (bias) floats_free(bias, out);
}

static const int all_bits[] = {2, 3, 4, 8};

static void weight_only_cases(Backend *b) {
    static const float outliers[] = {1, 1e4f, 0, 1e-20f, 1e25f};
    int cases = thorough ? 160 : 16;
    for (int i = 0; i < cases; i++) {
        size_t most = i % 8 > 3 ? 260 : 60;
        weight_only_case(b, all_bits[i % 4], (Precision)(i / 8 % 2), between(1, most), between(1, most),
                         between(1, i % 5 ? 15 : 40), outliers[i % 5]);
    }
    if (!thorough) return;
    for (int p = 0; p < 2; p++) {
        weight_only_case(b, 4, (Precision)p, 64, 2000, 3, 1e4f);
        weight_only_case(b, 8, (Precision)p, 40, 3001, 3, 1);
    }
}

static void test_weight_only(void **state) {
    (void)state;
    FOR_BACKENDS(weight_only_cases(b));
}

// The definition, step by step: codes, integer sums, floats outside in the order of the groups.
static void reference_codes(const ActivationScheme *scheme, const float *x, size_t in, int32_t *codes, float *scale) {
    float absmax = 0;
    for (size_t i = 0; i < in; i++) absmax = fmaxf(absmax, fabsf(scheme->divisor ? x[i] / scheme->divisor[i] : x[i]));
    *scale = scheme->mode == ACTIVATION_STATIC ? scheme->scale : absmax / 127;
    bool nothing = *scale < FLT_MIN;
    if (nothing) *scale = 1;
    float reciprocal = 1 / *scale;
    for (size_t i = 0; i < in; i++) {
        float q = rintf((scheme->divisor ? x[i] / scheme->divisor[i] : x[i]) * reciprocal);
        codes[i] = nothing ? 0 : (int32_t)fmaxf(-127, fminf(127, q));
    }
}

static float reference_integer(const QuantizedWeight *q, const int32_t *codes, size_t o) {
    float total = 0;
    size_t groups = group_count(q->in, q->group);
    for (size_t g = 0; g < groups; g++) {
        int64_t sum = 0;
        for (size_t i = g * q->group; i < q->in && i < (g + 1) * q->group; i++)
            sum += (int64_t)q->codes[o * q->in + i] * codes[i];
        total += q->scales[o * groups + g] * (float)sum;
    }
    return total;
}

static void check_integer(const QuantizedWeight *q, const ActivationScheme *scheme, const float *bias, const float *x,
                          size_t tokens, const float *y) {
    int32_t *codes = array_new(q->in, sizeof *codes);
    assert_non_null(codes);
    for (size_t t = 0; t < tokens; t++) {
        float scale;
        reference_codes(scheme, x + t * q->in, q->in, codes, &scale);
        for (size_t o = 0; o < q->out; o++) {
            float expected = reference_integer(q, codes, o) * scale + (bias ? bias[o] : 0);
            if (y[t * q->out + o] != expected)
                fail_msg("bits %d, group %zu, in %zu, row %zu, token %zu: %.9g, not %.9g", q->bits, q->group, q->in, o,
                         t, (double)y[t * q->out + o], (double)expected);
        }
    }
    free(codes);
}

static void integer_case(Backend *b, int bits, size_t out, size_t in, size_t tokens, double deviation) {
    QuantizedWeight q = random_quantized(out, in, random_group(in), bits, (DType)below(3));
    float *x = random_floats(tokens * in, deviation), *y = floats_new(tokens * out);
    float *bias = below(2) ? random_floats(out, 1) : NULL, *divisor = below(2) ? random_floats(in, 1) : NULL;
    for (size_t i = 0; divisor && i < in; i++) divisor[i] = 0.1f + fabsf(divisor[i]);
    if (tokens > 1) memset(x + in, 0, in * sizeof *x); // a token of zeros
    ActivationScheme scheme = {
        .mode = below(2) ? ACTIVATION_STATIC : ACTIVATION_TOKEN, .scale = (float)(deviation / 60), .divisor = divisor};
    Weight *weight;
    assert_true(b->ops->weight_quantized(b, &q, &scheme, bias, PRECISION_F32, &weight, NULL));
    b->ops->linear(b, weight, x, tokens, y);
    check_integer(&q, &scheme, bias, x, tokens, y);
    b->ops->weight_free(b, weight);
    quantized_weight_free(&q);
    floats_free(x, tokens * in), floats_free(y, tokens * out);
    if (bias) floats_free(bias, out);
    if (divisor) floats_free(divisor, in);
}

static void integer_cases(Backend *b) {
    static const double deviations[] = {1, 1e4, 1e-3, 1e30, 1e-30};
    int cases = thorough ? 100 : 12;
    for (int i = 0; i < cases; i++) {
        size_t most = i % 8 > 3 ? 260 : 60;
        integer_case(b, all_bits[i % 4], between(1, most), between(1, most), between(1, i % 5 ? 15 : 40),
                     deviations[i % 5]);
    }
    if (thorough) integer_case(b, 8, 33, 20000, 3, 1); // sums that need all 32 bits
}

static void test_integer(void **state) {
    (void)state;
    FOR_BACKENDS(integer_cases(b));
}

static void not_finite_case(Backend *b, ActivationMode mode, Precision precision, float bad) {
    enum { OUT = 40, IN = 70, TOKENS = 3 };
    QuantizedWeight q = random_quantized(OUT, IN, 32, 4, DTYPE_F16);
    float *x = random_floats(TOKENS * IN, 1), *y = floats_new(TOKENS * OUT);
    x[IN + 5] = bad;
    Weight *weight;
    assert_true(b->ops->weight_quantized(b, &q, &(ActivationScheme){.mode = mode, .scale = 0.02f}, NULL, precision,
                                         &weight, NULL));
    b->ops->linear(b, weight, x, TOKENS, y);
    for (size_t o = 0; o < OUT; o++) assert_true(isfinite(y[o]) && isnan(y[OUT + o]) && isfinite(y[2 * OUT + o]));
    b->ops->weight_free(b, weight);
    quantized_weight_free(&q);
    floats_free(x, TOKENS * IN), floats_free(y, TOKENS * OUT);
}

static void test_what_is_not_finite_shows(void **state) {
    (void)state;
    FOR_BACKENDS(not_finite_case(b, ACTIVATION_NONE, PRECISION_NATIVE, NAN);
                 not_finite_case(b, ACTIVATION_NONE, PRECISION_F32, NAN);
                 not_finite_case(b, ACTIVATION_TOKEN, PRECISION_NATIVE, NAN);
                 not_finite_case(b, ACTIVATION_TOKEN, PRECISION_NATIVE, INFINITY);
                 not_finite_case(b, ACTIVATION_STATIC, PRECISION_NATIVE, NAN);
                 not_finite_case(b, ACTIVATION_STATIC, PRECISION_NATIVE, -INFINITY));
}

static void test_packed_bytes(void **state) {
    (void)state;
    Backend *b = backend_of(only_set ? only_set : "scalar", 1);
    assert_non_null(b);
    for (int i = 0; i < 4; i++) {
        QuantizedWeight q = random_quantized(64, 256, 64, all_bits[i], DTYPE_F16);
        Weight *weight;
        assert_true(b->ops->weight_quantized(b, &q, &(ActivationScheme){0}, NULL, PRECISION_F32, &weight, NULL));
        assert_int_equal(b->ops->weight_bytes(weight), 64 * 256 * all_bits[i] / 8 + 64 * 4 * 2);
        b->ops->weight_free(b, weight);
        quantized_weight_free(&q);
    }
    b->ops->destroy(b);
}

static void refused(Backend *b, const QuantizedWeight *q, const ActivationScheme *scheme, const char *because) {
    Error err = {0};
    Weight *weight;
    assert_false(b->ops->weight_quantized(b, q, scheme, NULL, PRECISION_F32, &weight, &err));
    assert_null(weight);
    if (!strstr(err.message, because)) fail_msg("\"%s\" does not say \"%s\"", err.message, because);
}

static void test_refusals(void **state) {
    (void)state;
    Backend *b = backend_of(only_set ? only_set : "scalar", 1);
    assert_non_null(b);
    QuantizedWeight q = random_quantized(4, 8, 8, 4, DTYPE_F16), wrong = q;
    const ActivationScheme none = {0}, zero = {.mode = ACTIVATION_STATIC, .scale = 0},
                           nan = {.mode = ACTIVATION_STATIC, .scale = NAN};
    wrong.bits = 5;
    refused(b, &wrong, &none, "5 bits");
    wrong = q, wrong.group = 0;
    refused(b, &wrong, &none, "group");
    wrong = q, wrong.scale_dtype = DTYPE_I8;
    refused(b, &wrong, &none, "I8");
    wrong = q, wrong.in = wrong.group = 200000;
    refused(b, &wrong, &(ActivationScheme){.mode = ACTIVATION_TOKEN}, "200000 inputs");
    refused(b, &q, &zero, "scale");
    refused(b, &q, &nan, "scale");
    Error err = {0};
    Weight *weight;
    assert_false(b->ops->weight_dense(b, DTYPE_I8, q.codes, 4, 8, NULL, PRECISION_F32, &weight, &err));
    assert_non_null(strstr(err.message, "I8"));
    Cache *cache;
    assert_false(b->ops->cache_new(b, 1, 1, 1, 8, 0, DTYPE_F32, &cache, &err));
    quantized_weight_free(&q);
    b->ops->destroy(b);
}

static void test_choice_of_instructions(void **state) {
    (void)state;
    Backend *b = backend_of(only_set ? only_set : "scalar", 2);
    assert_non_null(b);
    char expected[32];
    snprintf(expected, sizeof expected, "%s ×2", only_set ? only_set : "scalar");
    assert_string_equal(b->ops->describe(b), expected);
    b->ops->destroy(b);
    Error err = {0};
    setenv("QUANTDIAL_CPU", "neon9", 1);
    assert_false(backend_cpu_new(1, &b, &err));
    assert_non_null(strstr(err.message, "neon9"));
}

// ---- Element by element ----

static void check_close(const float *y, const double *expected, size_t n, double tolerance) {
    for (size_t i = 0; i < n; i++)
        if (!(fabs(y[i] - expected[i]) <= tolerance * fabs(expected[i]) + 1e-35))
            fail_msg("[%zu of %zu] %g, not %g", i, n, (double)y[i], expected[i]);
}

static void embed_case(Backend *b, DType dtype, size_t width) {
    enum { ROWS = 9, TOKENS = 4 };
    static const int32_t ids[TOKENS] = {8, 0, 3, 3};
    void *block;
    float *table = random_floats(ROWS * width, 1), *y = floats_new(TOKENS * width);
    void *data = stored_as(dtype, table, ROWS * width, &block);
    b->ops->embed(b, dtype, data, width, ids, TOKENS, y);
    for (size_t t = 0; t < TOKENS; t++) assert_true(same_bits(y + t * width, table + (size_t)ids[t] * width, width));
    free(block);
    floats_free(table, ROWS * width), floats_free(y, TOKENS * width);
}

static void norm_case(Backend *b, size_t tokens, size_t width) {
    float *x = random_floats(tokens * width, 3), *gain = random_floats(width, 1), *y = floats_new(tokens * width);
    double *expected = array_new(tokens * width, sizeof *expected);
    for (size_t t = 0; t < tokens; t++) {
        double squares = 0;
        for (size_t i = 0; i < width; i++) squares += (double)x[t * width + i] * x[t * width + i];
        for (size_t i = 0; i < width; i++)
            expected[t * width + i] = x[t * width + i] / sqrt(squares / (double)width + (double)1e-5f) * gain[i];
    }
    b->ops->rms_norm(b, x, gain, 1e-5f, tokens, width, y);
    check_close(y, expected, tokens * width, 1e-6);
    free(expected);
    floats_free(x, tokens * width), floats_free(gain, width), floats_free(y, tokens * width);
}

static void pointwise_case(Backend *b, size_t n) {
    float *gate = random_floats(n, 20), *up = random_floats(n, 1), *y = floats_new(n);
    static const float extremes[] = {0, -0.0f, 80, -80, 1e4f, 1e30f, 1e-30f};
    for (size_t i = 0; i < n && i < 7; i++) gate[i] = extremes[i];
    double *expected = array_new(n, sizeof *expected);
    for (size_t i = 0; i < n; i++) expected[i] = gate[i] / (1 + exp(-(double)gate[i])) * up[i];
    b->ops->silu_times(b, gate, up, n, y);
    check_close(y, expected, n, 1e-6);
    for (size_t i = 0; i < n; i++) expected[i] = (double)(up[i] + y[i]);
    b->ops->add(b, up, y, n);
    check_close(up, expected, n, 0);
    gate[n - 1] = NAN;
    b->ops->silu_times(b, gate, up, n, y);
    assert_true(isnan(y[n - 1]));
    gate[n - 1] = -1e5f;
    b->ops->silu_times(b, gate, up, n, y);
    assert_true(fabsf(y[n - 1]) < 1e-30f);
    free(expected);
    floats_free(gate, n), floats_free(up, n), floats_free(y, n);
}

static void layer_norm_case(Backend *b, size_t tokens, size_t width, double middle) {
    float *x = random_floats(tokens * width, 3), *gain = random_floats(width, 1), *bias = random_floats(width, 1),
          *y = floats_new(tokens * width);
    for (size_t i = 0; i < tokens * width; i++) x[i] += (float)middle;
    b->ops->layer_norm(b, x, gain, bias, 1e-5f, tokens, width, y);
    for (size_t t = 0; t < tokens; t++) {
        const float *row = x + t * width;
        double mean = 0, squares = 0;
        for (size_t i = 0; i < width; i++) mean += row[i] / (double)width;
        for (size_t i = 0; i < width; i++) squares += (row[i] - mean) * (row[i] - mean) / (double)width;
        const double deviation = sqrt(squares + (double)1e-5f), rounding = 1e-7 * fabs(mean) / deviation;
        for (size_t i = 0; i < width; i++) {
            double expected = (row[i] - mean) / deviation, size = fabs(expected * gain[i]) + fabsf(bias[i]);
            expected = expected * gain[i] + bias[i];
            // The mean itself is a float before it is taken off.
            if (!(fabs(y[t * width + i] - expected) <= 2e-6 * size + rounding * fabsf(gain[i]) + 1e-30))
                fail_msg("layer norm of %zu, [%zu] %g, not %g", width, i, (double)y[t * width + i], expected);
        }
    }
    floats_free(x, tokens * width), floats_free(gain, width), floats_free(bias, width), floats_free(y, tokens * width);
}

// f(x), and the argument of the exponential in it, of which every rounding is a part of the result.
static double activated(Nonlinearity f, double x, double *exponent) {
    const double u = 0.79788456080286535588 * (x + 0.044715 * x * x * x);
    switch (f) {
    case NONLINEARITY_GELU: *exponent = x * x / 2; return x / 2 * erfc(-x * 0.70710678118654752440);
    case NONLINEARITY_GELU_TANH: *exponent = 2 * u; return x / (1 + exp(-2 * u));
    case NONLINEARITY_RELU: *exponent = 0; return x > 0 ? x : 0;
    case NONLINEARITY_SILU: break;
    }
    *exponent = x;
    return x / (1 + exp(-x));
}

static void activate_case(Backend *b, Nonlinearity f, size_t n) {
    float *x = random_floats(n, 3), *up = random_floats(n, 1), *y = floats_new(n), *multiplied = floats_new(n);
    static const float extremes[] = {0, -0.0f, 9, -9, -14, 30, -30, 1e4f, 1e-20f};
    for (size_t i = 0; i < n && i < sizeof extremes / sizeof *extremes; i++) x[i] = extremes[i];
    if (n > 12) x[11] = NAN;
    b->ops->activate(b, f, x, NULL, n, y);
    b->ops->activate(b, f, x, up, n, multiplied);
    for (size_t i = 0; i < n; i++) {
        double exponent, expected = activated(f, x[i], &exponent);
        if (isnan(x[i])) {
            assert_true(isnan(y[i]) && isnan(multiplied[i]));
            continue;
        }
        if (!(fabs(y[i] - expected) <= 2e-7 * (3 + fabs(exponent)) * fabs(expected) + 1e-33))
            fail_msg("f %d of %g: %g, not %g", (int)f, (double)x[i], (double)y[i], expected);
        assert_true(multiplied[i] == y[i] * up[i]);
    }
    floats_free(x, n), floats_free(up, n), floats_free(y, n), floats_free(multiplied, n);
}

static void rope_case(Backend *b, size_t tokens, int heads, int dim) {
    size_t half = (size_t)dim / 2, n = tokens * (size_t)(heads * dim), first = 3;
    float *x = random_floats(n, 1), *cosine = random_floats((first + tokens) * half, 1),
          *sine = random_floats((first + tokens) * half, 1);
    double *expected = array_new(n, sizeof *expected);
    for (size_t t = 0; t < tokens; t++) {
        for (size_t h = 0; h < (size_t)heads; h++) {
            for (size_t i = 0; i < half; i++) {
                size_t at = (t * (size_t)heads + h) * (size_t)dim + i;
                double c = cosine[(first + t) * half + i], s = sine[(first + t) * half + i];
                expected[at] = x[at] * c - x[at + half] * s;
                expected[at + half] = x[at + half] * c + x[at] * s;
            }
        }
    }
    b->ops->rope(b, x, tokens, heads, dim, dim, cosine, sine, first);
    for (size_t i = 0; i < n; i++) assert_true(fabs(x[i] - expected[i]) < 3e-6);
    free(expected);
    floats_free(x, n), floats_free(cosine, (first + tokens) * half), floats_free(sine, (first + tokens) * half);
}

static void small_cases(Backend *b) {
    for (int i = 0; i < 12; i++) {
        embed_case(b, (DType)(i % 3), between(1, 80));
        norm_case(b, between(1, 5), between(1, 100));
        pointwise_case(b, between(8, 90));
        layer_norm_case(b, between(1, 5), between(1, 100), i % 2 ? 100 : 0);
        activate_case(b, (Nonlinearity)(i % 4), between(1, 90));
        rope_case(b, between(1, 5), (int)between(1, 4), 2 * (int)between(1, 40));
    }
    if (!thorough) return;
    norm_case(b, 40, 600); // large enough for several threads
    pointwise_case(b, 20011);
    layer_norm_case(b, 40, 600, -3);
    for (int f = 0; f < 4; f++) activate_case(b, (Nonlinearity)f, 40011);
    rope_case(b, 80, 4, 64);
}

static void test_element_by_element(void **state) {
    (void)state;
    FOR_BACKENDS(small_cases(b));
}

// ---- Attention ----

typedef struct Heads {
    size_t heads, kv, dim, tokens;
    DType dtype;
} Heads;

static void reference_attention(const Heads *h, float scale, const float *q, const float *k, const float *v,
                                double *y) {
    double *weights = array_new(h->tokens, sizeof *weights);
    for (size_t t = 0; t < h->tokens; t++) {
        for (size_t head = 0; head < h->heads; head++) {
            const float *query = q + (t * h->heads + head) * h->dim;
            size_t kv = head / (h->heads / h->kv);
            double most = -INFINITY, sum = 0;
            for (size_t p = 0; p <= t; p++) {
                weights[p] = 0;
                for (size_t i = 0; i < h->dim; i++)
                    weights[p] += (double)query[i] * scale * k[(p * h->kv + kv) * h->dim + i];
                most = fmax(most, weights[p]);
            }
            for (size_t p = 0; p <= t; p++) sum += weights[p] = exp(weights[p] - most);
            for (size_t i = 0; i < h->dim; i++) {
                double mixed = 0;
                for (size_t p = 0; p <= t; p++) mixed += weights[p] / sum * v[(p * h->kv + kv) * h->dim + i];
                y[(t * h->heads + head) * h->dim + i] = mixed;
            }
        }
    }
    free(weights);
}

static void attention_case(Backend *b, Heads h, double deviation) {
    size_t nq = h.tokens * h.heads * h.dim, nk = h.tokens * h.kv * h.dim;
    float *q = random_floats(nq, deviation), *k = random_floats(nk, 1), *v = random_floats(nk, 1);
    float *y = floats_new(nq), *again = floats_new(nq);
    double *expected = array_new(nq, sizeof *expected);
    AttentionShape shape = {
        .heads = (int)h.heads, .kv_heads = (int)h.kv, .head_dim = (int)h.dim, .scale = 1 / sqrtf((float)h.dim)};
    Cache *cache;
    assert_true(b->ops->cache_new(b, 2, 1, (int)h.kv, (int)h.dim, h.tokens, h.dtype, &cache, NULL));
    b->ops->cache_write(b, cache, 1, 0, h.tokens, k, v);
    for (size_t i = 0; i < nk; i++) k[i] = float_rounded(h.dtype, k[i]), v[i] = float_rounded(h.dtype, v[i]);
    b->ops->attention(b, cache, 1, &shape, q, 0, h.tokens, y);
    reference_attention(&h, shape.scale, q, k, v, expected);
    for (size_t i = 0; i < nq; i++)
        if (!(fabs(y[i] - expected[i]) < 2e-6 * (3 + deviation)))
            fail_msg("[%zu] %g, not %g", i, (double)y[i], expected[i]);
    size_t width = h.heads * h.dim, kv_width = h.kv * h.dim;
    for (size_t t = 0; t < h.tokens; t++) { // token by token in another layer: the same
        b->ops->cache_write(b, cache, 0, t, 1, k + t * kv_width, v + t * kv_width);
        b->ops->attention(b, cache, 0, &shape, q + t * width, t, 1, again + t * width);
    }
    assert_true(same_bits(y, again, nq));
    b->ops->cache_free(b, cache);
    free(expected);
    floats_free(q, nq), floats_free(k, nk), floats_free(v, nk), floats_free(y, nq), floats_free(again, nq);
}

static void attention_cases(Backend *b) {
    static const size_t ratios[] = {1, 2, 4, 3, 8, 19};
    int cases = thorough ? 36 : 6;
    for (int i = 0; i < cases; i++) {
        size_t kv = between(1, 3);
        Heads h = {.heads = kv * ratios[i % 6],
                   .kv = kv,
                   .dim = 2 * between(1, i % 4 ? 20 : 70),
                   .tokens = between(1, 40),
                   .dtype = (DType)(i % 3)};
        attention_case(b, h, i % 2 ? 1 : 30);
    }
    if (thorough) attention_case(b, (Heads){8, 2, 64, 150, DTYPE_BF16}, 1);
}

static void test_attention(void **state) {
    (void)state;
    FOR_BACKENDS(attention_cases(b));
}

static void test_memory(void **state) {
    (void)state;
    Backend *b = backend_of(only_set ? only_set : "scalar", 0);
    assert_non_null(b);
    float host[3] = {1, 2, 3}, back[3];
    float *device = b->ops->memory_new(b, sizeof host, NULL);
    assert_true(device[0] == 0 && device[2] == 0);
    b->ops->upload(b, device, host, sizeof host);
    b->ops->synchronize(b);
    b->ops->download(b, back, device, sizeof host);
    assert_true(same_bits(host, back, 3));
    b->ops->memory_free(b, device);
    Error err = {0};
    assert_null(b->ops->memory_new(b, SIZE_MAX, &err));
    assert_true(err.message[0]);
    b->ops->destroy(b);
}

int main(void) {
    cpu_sets_begin();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_dense),
        cmocka_unit_test(test_library_gives_up_old_shapes),
        cmocka_unit_test(test_weight_only),
        cmocka_unit_test(test_integer),
        cmocka_unit_test(test_what_is_not_finite_shows),
        cmocka_unit_test(test_packed_bytes),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_choice_of_instructions),
        cmocka_unit_test(test_element_by_element),
        cmocka_unit_test(test_attention),
        cmocka_unit_test(test_memory),
    };
    return cpu_sets_end(cmocka_run_group_tests(tests, NULL, NULL));
}
