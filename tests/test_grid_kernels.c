// Products with weights on grids other than the symmetric one, activations with a scale per channel, and the int8
// cache: every instruction set against what the definitions say.
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/array.h"
#include "quant/grids.h"
#include "tests/support/cpu_sets.h"

static int code_between(int least, int most) {
    return least + (int)random_below(&random_state, (uint32_t)(most - least + 1));
}

static QuantizedWeight random_weight(Grid grid, int bits, size_t out, size_t in, size_t group) {
    QuantizedWeight w;
    Error err = {0};
    const DType dtype = (DType)random_below(&random_state, 3);
    assert_true(quantized_weight_on_grid(grid, out, in, group, bits, dtype, &w, &err));
    const int qmax = (1 << (bits - 1)) - 1, least = grid == GRID_ASYMMETRIC ? -qmax - 1 : -qmax;
    size_t groups = out * group_count(in, group);
    for (size_t i = 0; i < out * in; i++) w.codes[i] = (int8_t)code_between(least, qmax);
    for (size_t i = 0; i < (w.factors ? out : groups); i++)
        w.scales[i] = float_rounded(dtype, (float)(0.01 + random_uniform(&random_state)));
    for (size_t i = 0; w.zeros && i < groups; i++) w.zeros[i] = (int8_t)code_between(least, qmax);
    for (size_t i = 0; w.factors && i < groups; i++) w.factors[i] = (int8_t)code_between(1, 127);
    return w;
}

// What element (o, i) stands for, from the definitions in kernels/quantized.h, without its float scale.
static double level(const QuantizedWeight *w, size_t o, size_t i) {
    const int qmax = (1 << (w->bits - 1)) - 1;
    const int8_t code = w->codes[o * w->in + i];
    const size_t at = o * group_count(w->in, w->group) + i / w->group;
    switch (w->grid) {
    case GRID_ASYMMETRIC: return code - w->zeros[at];
    case GRID_LOG2: return code == 0 ? 0 : (code < 0 ? -1 : 1) * exp2(abs(code) - qmax);
    case GRID_TWO_LEVEL: return code * w->factors[at];
    case GRID_SYMMETRIC:
    case GRID_COUNT: break;
    }
    return code;
}

static double scale_at(const QuantizedWeight *w, size_t o, size_t i) {
    return (double)w->scales[w->factors ? o : o * group_count(w->in, w->group) + i / w->group];
}

// y must be Σ w x + bias but for roundings, which are a small part of Σ |w x|, and with 16 bits half a step of x, which
// is 1 / (127 · 257) of the largest of neighbours, or less than that of the largest of all.
static void check(const QuantizedWeight *w, const double *x, const float *bias, size_t tokens, Precision precision,
                  const float *y) {
    const double step = precision == PRECISION_NATIVE ? 1.0 / 32639 : 0;
    for (size_t t = 0; t < tokens; t++) {
        double largest = 0;
        for (size_t i = 0; i < w->in; i++) largest = fmax(largest, fabs(x[t * w->in + i]));
        for (size_t o = 0; o < w->out; o++) {
            double sum = (double)bias[o], allowed = 2e-6 * fabs(sum);
            for (size_t i = 0; i < w->in; i++) {
                double weight = level(w, o, i) * scale_at(w, o, i), product = weight * x[t * w->in + i];
                sum += product;
                allowed += 2e-6 * fabs(product) + step / 2 * fabs(weight) * largest;
            }
            if (fabs((double)y[t * w->out + o] - sum) > allowed + 1e-30)
                fail_msg("grid %d, %d bits, token %zu, row %zu: %.8g, not %.8g", (int)w->grid, w->bits, t, o,
                         (double)y[t * w->out + o], sum);
        }
    }
}

// Row o of an integer product to the last bit: integers inside, floats outside in the order of the groups.
static float exactly(const QuantizedWeight *w, const float *codes, size_t o, float token_scale) {
    const double step = w->grid == GRID_LOG2 ? exp2(2 - (1 << (w->bits - 1))) : 1; // what one is worth
    const size_t groups = group_count(w->in, w->group);
    float total = 0;
    double whole = 0;
    for (size_t g = 0; g < groups; g++) {
        double sum = 0; // far below 2^53
        for (size_t i = g * w->group; i < w->in && i < (g + 1) * w->group; i++)
            sum += level(w, o, i) / step * (double)codes[i];
        whole += sum;
        if (!w->factors) total += w->scales[o * groups + g] * (float)sum;
    }
    return (w->factors ? (float)whole * w->scales[o] : total * (float)step) * token_scale;
}

// Products with 8-bit activations are defined to the last bit: seen must be whole multiples of the scale.
static void check_exactly(const QuantizedWeight *w, const ActivationScheme *scheme, const float *x, const float *bias,
                          size_t tokens, const float *y) {
    float *codes = array_new(w->in, sizeof *codes);
    for (size_t t = 0; t < tokens; t++) {
        const float *row = x + t * w->in;
        float absmax = 0, scale = scheme->scale;
        for (size_t j = 0; j < w->in; j++)
            absmax = fmaxf(absmax, fabsf(scheme->divisor ? row[j] / scheme->divisor[j] : row[j]));
        if (scheme->mode == ACTIVATION_TOKEN) scale = absmax / 127;
        for (size_t j = 0; j < w->in; j++) {
            float value = scheme->divisor ? row[j] / scheme->divisor[j] : row[j];
            codes[j] = fmaxf(fminf(rintf(value * (1 / scale)), 127), -127);
        }
        for (size_t o = 0; o < w->out; o++) {
            const float expected = exactly(w, codes, o, scale) + bias[o];
            if (y[t * w->out + o] != expected)
                fail_msg("grid %d, %d bits, token %zu, row %zu: %.9g, not %.9g", (int)w->grid, w->bits, t, o,
                         (double)y[t * w->out + o], (double)expected);
        }
    }
    free(codes);
}

// x as a scheme lets the product see it.
static double *rounded(const QuantizedWeight *w, const ActivationScheme *scheme, const float *x, size_t tokens) {
    double *seen = array_new(tokens * w->in, sizeof *seen);
    float *divided = array_new(tokens * w->in, sizeof *divided);
    for (size_t i = 0; i < tokens * w->in; i++)
        divided[i] = scheme->divisor && scheme->mode != ACTIVATION_NONE ? x[i] / scheme->divisor[i % w->in] : x[i];
    for (size_t t = 0; t < tokens; t++) {
        for (size_t j = 0; j < w->in; j++) {
            float absmax = 0, value = divided[t * w->in + j];
            if (scheme->mode == ACTIVATION_TOKEN)
                for (size_t k = 0; k < w->in; k++) absmax = fmaxf(absmax, fabsf(divided[t * w->in + k]));
            if (scheme->mode == ACTIVATION_CHANNEL)
                for (size_t k = 0; k < tokens; k++) absmax = fmaxf(absmax, fabsf(divided[k * w->in + j]));
            float scale = scheme->mode == ACTIVATION_STATIC ? scheme->scale : absmax / 127;
            double code = fmin(fmax(rint((double)(value * (1 / scale))), -127), 127);
            seen[t * w->in + j] = scheme->mode == ACTIVATION_NONE ? (double)value : code * (double)scale;
        }
    }
    free(divided);
    return seen;
}

static void product_case(Backend *b, const QuantizedWeight *w, const ActivationScheme *scheme, Precision precision,
                         size_t tokens) {
    Error err = {0};
    Weight *weight;
    float *x = normal_floats(tokens * w->in, 3), *bias = normal_floats(w->out, 1);
    float *y = array_new(tokens * w->out, sizeof *y);
    for (size_t i = 0; i < tokens * w->out; i++) y[i] = NAN; // what is not written shows
    if (!b->ops->weight_quantized(b, w, scheme, bias, precision, &weight, &err)) fail_msg("%s", err.message);
    assert_true(b->ops->weight_bytes(weight) > 0);
    b->ops->linear(b, weight, x, tokens, y);
    b->ops->synchronize(b);
    double *seen = rounded(w, scheme, x, tokens);
    const bool integer = scheme->mode == ACTIVATION_STATIC || scheme->mode == ACTIVATION_TOKEN;
    check(w, seen, bias, tokens, integer ? PRECISION_F32 : precision, y);
    if (integer && !(w->grid == GRID_LOG2 && w->bits == 8)) // that one is in floating point
        check_exactly(w, scheme, x, bias, tokens, y);
    b->ops->weight_free(b, weight);
    free(seen);
    free(y);
    free(bias);
    free(x);
}

static const ActivationMode modes[] = {ACTIVATION_NONE, ACTIVATION_STATIC, ACTIVATION_TOKEN, ACTIVATION_CHANNEL};

static void products_on(Backend *b, Grid grid) {
    const int bits[] = {2, 3, 4, 8};
    for (size_t i = 0; i < 4; i++) {
        for (size_t mode = 0; mode < 4; mode++) {
            const size_t in = 70 + random_below(&random_state, 60), out = 3 + random_below(&random_state, 90);
            const size_t groups[] = {32, 17, 64, in};
            QuantizedWeight w = random_weight(grid, bits[i], out, in, groups[random_below(&random_state, 4)]);
            float *divisor = normal_floats(in, 0);
            for (size_t j = 0; j < in; j++) divisor[j] = (float)(0.5 + random_uniform(&random_state));
            ActivationScheme scheme = {modes[mode], 0.05f, mode && random_below(&random_state, 2) ? divisor : NULL};
            product_case(b, &w, &scheme, PRECISION_F32, 1 + random_below(&random_state, 14));
            product_case(b, &w, &scheme, PRECISION_NATIVE, 1 + random_below(&random_state, 14));
            free(divisor);
            quantized_weight_free(&w);
        }
    }
}

static void all_products(Backend *b) {
    for (Grid grid = 0; grid < GRID_COUNT; grid++) products_on(b, grid);
}

static void products_are_those_of_the_numbers(void **state) {
    (void)state;
    for_backends(all_products);
}

// More tokens than are prepared at a time: a channel's scale is that of all of them.
static void long_calls(Backend *b) {
    for (Grid grid = 0; grid < GRID_COUNT; grid++) {
        QuantizedWeight w = random_weight(grid, 4, 5, 24, 16);
        for (size_t mode = 0; mode < 4; mode++)
            product_case(b, &w, &(ActivationScheme){modes[mode], 0.05f, NULL}, PRECISION_NATIVE, 300);
        quantized_weight_free(&w);
    }
}

static void long_calls_have_one_scale_per_channel(void **state) {
    (void)state;
    for_backends(long_calls);
}

// All codes at their largest over `in` inputs: nothing overflows.
static void largest_sums_of(Backend *b, ActivationMode mode, size_t in) {
    float *x = array_new(in, sizeof *x), y;
    for (size_t i = 0; i < in; i++) x[i] = 127;
    for (Grid grid = GRID_ASYMMETRIC; grid < GRID_COUNT; grid++) {
        for (int bits = 4; bits <= 8; bits += 4) {
            QuantizedWeight w = random_weight(grid, bits, 1, in, grid == GRID_TWO_LEVEL ? in / 32 : in);
            const int qmax = (1 << (bits - 1)) - 1;
            memset(w.codes, qmax, in);
            if (w.zeros) memset(w.zeros, -qmax - 1, 1);
            if (w.factors) memset(w.factors, 127, 32);
            w.scales[0] = 1;
            Weight *weight;
            Error err = {0};
            ActivationScheme scheme = {mode, 0, NULL};
            assert_true(b->ops->weight_quantized(b, &w, &scheme, NULL, PRECISION_NATIVE, &weight, &err));
            b->ops->linear(b, weight, x, 1, &y);
            double expected = level(&w, 0, 0) * 127.0 * (double)in;
            assert_true(fabs((double)y - expected) <= 1e-4 * expected);
            b->ops->weight_free(b, weight);
            quantized_weight_free(&w);
        }
    }
    free(x);
}

// The most inputs that integer products allow; weight-only ones end their integer sums after 128.
static void largest_sums(Backend *b) {
    largest_sums_of(b, ACTIVATION_TOKEN, 131072);
    largest_sums_of(b, ACTIVATION_NONE, 1024);
}

static void sums_do_not_overflow(void **state) {
    (void)state;
    for_backends(largest_sums);
}

// A channel whose values are not finite must show; one that is nothing must not.
static void strange_channels(Backend *b) {
    QuantizedWeight w = random_weight(GRID_SYMMETRIC, 4, 3, 16, 16);
    ActivationScheme scheme = {ACTIVATION_CHANNEL, 0, NULL};
    Weight *weight;
    Error err = {0};
    float x[32] = {0}, y[6];
    for (int i = 0; i < 16; i++) w.codes[i] = 1;
    assert_true(b->ops->weight_quantized(b, &w, &scheme, NULL, PRECISION_F32, &weight, &err));
    b->ops->linear(b, weight, x, 2, y);
    for (int i = 0; i < 6; i++) assert_true(y[i] == 0);
    x[5] = INFINITY;
    b->ops->linear(b, weight, x, 2, y);
    assert_false(isfinite(y[0]));
    assert_true(isfinite(y[3]));
    b->ops->weight_free(b, weight);
    quantized_weight_free(&w);
}

static void channels_that_are_not_finite_show(void **state) {
    (void)state;
    for_backends(strange_channels);
}

// ---- Rows of a grid ----

// What is reported as lost is what the codes' values lack, and a wider code loses less.
static void check_coding(Grid grid) {
    enum { N = 48 };
    float *x = normal_floats(N, 0), values[N];
    double last = INFINITY;
    for (int bits = 2; bits <= 8; bits += bits == 4 ? 4 : 1) {
        QuantizedWeight w;
        assert_true(quantized_weight_on_grid(grid, 1, N, N, bits, DTYPE_F32, &w, NULL));
        GroupRange range;
        assert_true(group_range(grid, x, N, &range));
        const GroupCoding coding = group_coding(grid, bits, DTYPE_F32, range);
        WeightError error = {0};
        group_codes(&coding, x, N, w.codes);
        group_error(&coding, x, w.codes, N, &error);
        w.scales[0] = coding.scale;
        if (w.zeros) w.zeros[0] = (int8_t)coding.zero;
        if (w.factors) w.factors[0] = 1;
        quantized_values(&w, 0, 0, w.codes, N, values);
        double noise = 0;
        for (size_t j = 0; j < N; j++) noise += ((double)x[j] - values[j]) * ((double)x[j] - values[j]);
        assert_true(fabs(error.noise - noise) <= 1e-5 * noise);
        assert_true(noise <= last);
        last = noise;
        quantized_weight_free(&w);
    }
    free(x);
}

static void every_grid_has_a_name_and_a_coder(void **state) {
    (void)state;
    for (Grid grid = 0; grid < GRID_COUNT; grid++) {
        assert_non_null(grid_names[grid]);
        check_coding(grid);
    }
    assert_null(grid_names[GRID_COUNT]);
}

static void unknown_grids(Backend *b) {
    QuantizedWeight w = random_weight(GRID_SYMMETRIC, 4, 2, 16, 16);
    ActivationScheme scheme = {ACTIVATION_NONE, 0, NULL};
    Weight *weight;
    Error err = {0};
    w.grid = (Grid)9;
    assert_false(b->ops->weight_quantized(b, &w, &scheme, NULL, PRECISION_F32, &weight, &err));
    assert_non_null(strstr(err.message, "grid"));
    w.grid = GRID_ASYMMETRIC; // without zero points
    assert_false(b->ops->weight_quantized(b, &w, &scheme, NULL, PRECISION_F32, &weight, &err));
    quantized_weight_free(&w);
}

static void unknown_grids_are_refused(void **state) {
    (void)state;
    for_backends(unknown_grids);
}

// ---- The cache ----

enum { HEADS = 6, KV_HEADS = 2, POSITIONS = 21 };

// Rows of `dim` numbers, each as int8 with the scale absmax / 127 lets see it.
static void round_rows(float *x, size_t rows, size_t dim) {
    for (size_t r = 0; r < rows; r++) {
        float absmax = 0, *row = x + r * dim;
        for (size_t i = 0; i < dim; i++) absmax = fmaxf(absmax, fabsf(row[i]));
        float scale = absmax / 127;
        for (size_t i = 0; i < dim && scale > 0; i++) row[i] = rintf(row[i] * (1 / scale)) * scale;
    }
}

// Fills a cache in two calls, as decoding does, and looks back at it.
static void attend(Backend *b, DType dtype, AttentionShape shape, const float *q, const float *k, const float *v,
                   float *y) {
    Error err = {0};
    Cache *cache;
    const size_t dim = (size_t)shape.head_dim;
    if (!b->ops->cache_new(b, 2, 1, KV_HEADS, (int)dim, POSITIONS, dtype, &cache, &err)) fail_msg("%s", err.message);
    const size_t first = 13, row = KV_HEADS * dim, wide = HEADS * dim;
    b->ops->cache_write(b, cache, 1, 0, first, k, v);
    b->ops->attention(b, cache, 1, &shape, q, 0, first, y);
    b->ops->cache_write(b, cache, 1, first, POSITIONS - first, k + first * row, v + first * row);
    b->ops->attention(b, cache, 1, &shape, q + first * wide, first, POSITIONS - first, y + first * wide);
    b->ops->cache_free(b, cache);
}

static void cache_case(Backend *b, AttentionShape shape) {
    const size_t dim = (size_t)shape.head_dim, n = POSITIONS * HEADS * dim, rows = POSITIONS * KV_HEADS;
    float *q = normal_floats(n, 1), *k = normal_floats(rows * dim, 2), *v = normal_floats(rows * dim, 2);
    float *small = array_new(n, sizeof *small), *exact = array_new(n, sizeof *exact);
    memset(k + 3 * dim, 0, dim * sizeof *k); // a row without range
    attend(b, DTYPE_I8, shape, q, k, v, small);
    round_rows(k, rows, dim);
    round_rows(v, rows, dim);
    attend(b, DTYPE_F32, shape, q, k, v, exact);
    for (size_t i = 0; i < n; i++) {
        if (!(fabsf(small[i] - exact[i]) <= 2e-5f))
            fail_msg("%zu of %zu: %g, not %g", i, n, (double)small[i], (double)exact[i]);
    }
    free(q);
    free(k);
    free(v);
    free(small);
    free(exact);
}

// Each way in which attention can be more than causal, and all of them.
static void cache_cases(Backend *b) {
    const int dims[] = {8, 20, 64};
    float *bias = normal_floats((size_t)HEADS * POSITIONS, 3);
    for (int d = 0; d < 3; d++) {
        for (int kind = 0; kind < 5; kind++) {
            cache_case(b, (AttentionShape){.heads = HEADS,
                                           .kv_heads = KV_HEADS,
                                           .head_dim = dims[d],
                                           .scale = 0.3f,
                                           .window = kind == 1 || kind == 4 ? 5 : 0,
                                           .softcap = kind == 2 || kind == 4 ? 1.5f : 0,
                                           .bias = kind >= 3 ? bias : NULL,
                                           .bias_stride = POSITIONS});
        }
    }
    free(bias);
}

static void an_int8_cache_is_one_of_rounded_rows(void **state) {
    (void)state;
    for_backends(cache_cases);
}

int main(void) {
    cpu_sets_begin();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(products_are_those_of_the_numbers),
        cmocka_unit_test(long_calls_have_one_scale_per_channel),
        cmocka_unit_test(sums_do_not_overflow),
        cmocka_unit_test(channels_that_are_not_finite_show),
        cmocka_unit_test(every_grid_has_a_name_and_a_coder),
        cmocka_unit_test(unknown_grids_are_refused),
        cmocka_unit_test(an_int8_cache_is_one_of_rounded_rows),
    };
    return cpu_sets_end(cmocka_run_group_tests_name("grid_kernels", tests, NULL, NULL));
}
