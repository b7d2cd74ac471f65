// Linears: dense, quantized on every grid, several at once, mixtures of experts, quantized on the spot.
#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/array.h"
#include "tests/support/backend_buffers.h"

static const int all_bits[] = {2, 3, 4, 8};

static size_t group_for(Checks *c, size_t in) {
    static const size_t groups[] = {16, 32, 64, 128, 256, 5, 17, 33, 96, 512};
    const size_t group = groups[between(c, 0, 9)];
    return group > in || between(c, 0, 3) == 0 ? in : group;
}

float *linear_result(Checks *c, const Weight *w, const float *x, size_t in, size_t tokens, size_t out) {
    float *from = put(c, x, tokens * in), *to = put_nothing(c, tokens * out);
    c->b->ops->linear(c->b, w, from, tokens, to);
    float *y = take(c, to, tokens * out);
    drop(c, from, tokens * in);
    return y;
}

// ---- What a product is ----

// Of each x the largest |x| of its neighbours up to `reach` away, of which codes that share a scale are rounded.
static double *largest_near(const double *x, size_t in, size_t tokens, size_t reach) {
    double *near = doubles(tokens * in);
    for (size_t t = 0; t < tokens; t++) {
        for (size_t i = 0; i < in; i++) {
            const size_t from = i > reach ? i - reach : 0, to = i + reach < in ? i + reach : in - 1;
            double most = 0;
            for (size_t j = from; j <= to; j++) {
                const double size = fabs(x[t * in + j]);
                most = size > most ? size : most;
            }
            near[t * in + i] = most;
        }
    }
    return near;
}

// y against W x + bias in double: |difference| ≤ tolerance · (Σ |w| · largest_near(x) + |bias|).
static void check_product(const char *what, const double *w, const float *bias, const double *x, size_t out, size_t in,
                          size_t tokens, size_t reach, double tolerance, const float *y) {
    double *near = largest_near(x, in, tokens, reach), *expected = doubles(tokens * out),
           *sizes = doubles(tokens * out);
#pragma omp parallel for schedule(static) if (out * in * tokens > 4 << 20)
    for (size_t o = 0; o < out; o++) {
        for (size_t t = 0; t < tokens; t++) {
            double sum = 0, size = 0;
#pragma omp simd reduction(+ : sum, size)
            for (size_t i = 0; i < in; i++) {
                sum += w[o * in + i] * x[t * in + i];
                size += fabs(w[o * in + i]) * near[t * in + i];
            }
            expected[t * out + o] = sum + (bias ? (double)bias[o] : 0);
            sizes[t * out + o] = size + (bias ? fabs((double)bias[o]) : 0) + 1e-30 / tolerance;
        }
    }
    compare(what, y, expected, sizes, tokens * out, tolerance);
    free(near), free(expected), free(sizes);
}

static double *widened(const float *x, size_t n) {
    double *y = doubles(n);
    for (size_t i = 0; i < n; i++) y[i] = (double)x[i];
    return y;
}

// On the host a token does not see its neighbours.
static void check_tokens_alone(Checks *c, const Weight *w, const float *x, size_t in, size_t tokens, size_t out,
                               const float *y) {
    float *from = put(c, x, tokens * in), *to = put_nothing(c, tokens * out);
    for (size_t t = 0; t < tokens; t++) c->b->ops->linear(c->b, w, from + t * in, 1, to + t * out);
    float *again = take(c, to, tokens * out);
    assert_memory_equal(again, y, tokens * out * sizeof *y);
    drop(c, from, tokens * in);
    free(again);
}

// ---- Dense ----

static bool is_set(const Checks *c, const char *set) {
    return strncmp(c->b->ops->describe(c->b), set, strlen(set)) == 0;
}

// The host's library multiplies BF16 natively from 9 tokens on.
static bool by_library(const Checks *c, DType dtype, Precision precision, size_t tokens) {
    return c->place == ON_HOST && !is_set(c, "scalar") && precision == PRECISION_NATIVE && dtype == DTYPE_BF16 &&
           tokens > 8;
}

// Natively, activations may be rounded to the weight's 16 bits: on the host to BF16 where the processor multiplies
// that, and by the library.
static double dense_bound(const Checks *c, DType dtype, Precision precision, size_t in, size_t tokens) {
    const bool native = precision == PRECISION_NATIVE;
    if (native && dtype == DTYPE_BF16 &&
        (c->place != ON_HOST || is_set(c, "avx512") || by_library(c, dtype, precision, tokens)))
        return 0x1p-8;
    if (native && dtype == DTYPE_F16 && c->place != ON_HOST) return 0x1p-11;
    return bound(c, 3e-7, 6e-7) + 2e-8 * sqrt((double)in);
}

void check_dense(Checks *c, DType dtype, Precision precision, size_t out, size_t in, size_t tokens) {
    const BackendOps *ops = c->b->ops;
    float *w = random_floats(c, out * in, 0.1), *x = random_floats(c, tokens * in, 1);
    float *bias = between(c, 0, 1) ? random_floats(c, out, 1) : NULL;
    void *block, *data = stored_as(dtype, w, out * in, &block);
    const size_t bytes = out * in * dtype_bytes(dtype) + (bias ? out * sizeof *bias : 0);
    double *values = widened(w, out * in), *seen = widened(x, tokens * in);
    Weight *weight = NULL;
    Error err = {0};
    if (!ops->weight_dense(c->b, dtype, data, out, in, bias, precision, &weight, &err)) fail_msg("%s", err.message);
    if (c->place == ON_HOST) // a device pads rows
        assert_int_equal(ops->weight_bytes(weight), bytes);
    else
        assert_true(ops->weight_bytes(weight) >= bytes);
    float *y = linear_result(c, weight, x, in, tokens, out), *again = linear_result(c, weight, x, in, tokens, out);
    char what[120];
    snprintf(what, sizeof what, "%s, precision %d, [%zu, %zu], %zu tokens", dtype_name(dtype), (int)precision, out, in,
             tokens);
    check_product(what, values, bias, seen, out, in, tokens, 0, dense_bound(c, dtype, precision, in, tokens), y);
    assert_memory_equal(again, y, tokens * out * sizeof *y);
    if (c->place == ON_HOST && !by_library(c, dtype, precision, tokens))
        check_tokens_alone(c, weight, x, in, tokens, out, y);
    ops->weight_free(c->b, weight);
    free(w), free(x), free(bias), free(block), free(values), free(seen), free(y), free(again);
}

void dense_cases(Checks *c) {
    const int cases = amount(c, (Amount){60, 8}, (Amount){40, 4}, (Amount){150, 12});
    for (int i = 0; i < cases; i++) {
        turn(c, i);
        const size_t in = between(c, 1, i % 4 ? at(c, 70, 90, 300) : at(c, 300, 600, 2100));
        const size_t out = between(c, 1, i % 4 ? at(c, 70, 90, 300) : at(c, 300, 90, 2100));
        check_dense(c, (DType)(i % 3), (Precision)(i / 3 % 2), out, in,
                    i % 5 > 2 ? between(c, 9, at(c, 40, 80, 150)) : between(c, 1, 8));
    }
}

// ---- Quantized: the definition, step by step ----

QuantizedWeight random_quantized(Checks *c, const QuantizedCase *q) {
    QuantizedWeight w;
    assert_true(quantized_weight_on_grid(q->grid, q->out, q->in, q->group, q->bits, q->scale_dtype, &w, NULL));
    const int most = (1 << (q->bits - 1)) - 1, least = q->grid == GRID_ASYMMETRIC ? -most - 1 : -most;
    for (size_t i = 0; i < q->out * q->in; i++)
        w.codes[i] = (int8_t)(least + (int)between(c, 0, (size_t)(most - least)));
    if (between(c, 0, 4) == 0) memset(w.codes, between(c, 0, 1) ? most : least, q->out * q->in); // extremes everywhere
    const size_t groups = group_count(q->in, q->group), scales = q->grid == GRID_TWO_LEVEL ? q->out : q->out * groups;
    for (size_t i = 0; i < scales; i++)
        w.scales[i] = float_rounded(q->scale_dtype, (float)(0.001 + 0.01 * random_uniform(&c->random)));
    for (size_t i = 0; i < q->out * groups; i++) {
        if (w.zeros) w.zeros[i] = (int8_t)(least + (int)between(c, 0, (size_t)(most - least)));
        if (w.factors) w.factors[i] = (int8_t)between(c, 1, 127);
    }
    return w;
}

// What element (o, i) stands for, by the formulas of kernels/quantized.h, in whole multiples of step_of · scale.
static int32_t level(const QuantizedWeight *w, size_t o, size_t i) {
    const int8_t code = w->codes[o * w->in + i];
    const size_t at = o * group_count(w->in, w->group) + i / w->group;
    switch (w->grid) {
    case GRID_SYMMETRIC:
    case GRID_COUNT: break;
    case GRID_ASYMMETRIC: return code - w->zeros[at];
    case GRID_LOG2: return code == 0 ? 0 : (code < 0 ? -1 : 1) * (1 << (abs(code) - 1));
    case GRID_TWO_LEVEL: return code * w->factors[at];
    }
    return code;
}

static double step_of(const QuantizedWeight *w) { return w->grid == GRID_LOG2 ? exp2(2 - (1 << (w->bits - 1))) : 1; }

static bool in_floats(const QuantizedWeight *w) { return w->grid == GRID_LOG2 && w->bits == 8; }

static double value_of(const QuantizedWeight *w, size_t o, size_t i) {
    const double scale = (double)w->scales[w->factors ? o : o * group_count(w->in, w->group) + i / w->group];
    const int8_t code = w->codes[o * w->in + i];
    if (in_floats(w)) return code == 0 ? 0 : scale * copysign(ldexp(1, abs(code) - 127), code);
    return scale * (double)level(w, o, i) * step_of(w);
}

static double *weight_values(const QuantizedWeight *w) {
    double *values = doubles(w->out * w->in);
    for (size_t o = 0; o < w->out; o++)
        for (size_t i = 0; i < w->in; i++) values[o * w->in + i] = value_of(w, o, i);
    return values;
}

static float divided(const ActivationScheme *scheme, const float *x, size_t i) {
    return scheme->divisor && scheme->mode != ACTIVATION_NONE ? x[i] / scheme->divisor[i] : x[i];
}

// Codes of a value, and the scale that they are multiplied by; of a scale that is none all codes are 0.
static int32_t code_of(float value, float scale) {
    return scale < FLT_MIN ? 0 : (int32_t)fmaxf(-127, fminf(127, rintf(value * (1 / scale))));
}

static float token_scale(const ActivationScheme *scheme, const float *x, size_t in) {
    float absmax = 0;
    if (scheme->mode == ACTIVATION_STATIC) return scheme->scale;
    for (size_t i = 0; i < in; i++) absmax = fmaxf(absmax, fabsf(divided(scheme, x, i)));
    return absmax / 127;
}

// x as a scheme lets the product see it.
static double *seen_by(const ActivationScheme *scheme, const float *x, size_t in, size_t tokens) {
    double *seen = doubles(tokens * in);
    float *scales = host_floats(in); // of channels
    for (size_t t = 0; t < tokens; t++)
        for (size_t i = 0; i < in; i++) scales[i] = fmaxf(scales[i], fabsf(divided(scheme, x + t * in, i)) / 127);
    for (size_t t = 0; t < tokens; t++) {
        const float scale = token_scale(scheme, x + t * in, in);
        for (size_t i = 0; i < in; i++) {
            const float value = divided(scheme, x + t * in, i),
                        s = scheme->mode == ACTIVATION_CHANNEL ? scales[i] : scale;
            seen[t * in + i] = scheme->mode == ACTIVATION_NONE ? (double)value : (double)s * code_of(value, s);
        }
    }
    free(scales);
    return seen;
}

// Row o of a product of integers: sums inside, floats outside in the order of the groups.
static float exactly(const QuantizedWeight *w, const int32_t *levels, size_t o, const int32_t *codes, float scale) {
    const size_t groups = group_count(w->in, w->group);
    float total = 0;
    int64_t whole = 0;
    for (size_t g = 0; g < groups; g++) {
        const size_t end = (g + 1) * w->group < w->in ? (g + 1) * w->group : w->in;
        int64_t sum = 0;
        for (size_t i = g * w->group; i < end; i++) sum += (int64_t)levels[i] * codes[i];
        whole += sum;
        if (!w->factors) total += w->scales[o * groups + g] * (float)sum;
    }
    return (w->factors ? (float)whole * w->scales[o] : total * (float)step_of(w)) * scale;
}

// Products with 8-bit activations are defined to the last bit.
static void check_integer(const char *what, const QuantizedWeight *w, const ActivationScheme *scheme, const float *bias,
                          const float *x, size_t tokens, const float *y) {
    const size_t in = w->in, out = w->out;
    int32_t *codes = array_new(tokens * in, sizeof *codes), *levels = array_new(out * in, sizeof *levels);
    float *scales = host_floats(tokens), *expected = host_floats(tokens * out);
    assert_true(codes && levels);
    for (size_t t = 0; t < tokens; t++) {
        scales[t] = token_scale(scheme, x + t * in, in);
        for (size_t i = 0; i < in; i++) codes[t * in + i] = code_of(divided(scheme, x + t * in, i), scales[t]);
        if (scales[t] < FLT_MIN) scales[t] = 1; // codes are 0
    }
#pragma omp parallel for schedule(static) if (out * in * tokens > 4 << 20)
    for (size_t o = 0; o < out; o++) {
        for (size_t i = 0; i < in; i++) levels[o * in + i] = level(w, o, i);
        for (size_t t = 0; t < tokens; t++)
            expected[t * out + o] = exactly(w, levels + o * in, o, codes + t * in, scales[t]) + (bias ? bias[o] : 0);
    }
    for (size_t i = 0; i < tokens * out; i++)
        if (y[i] != expected[i])
            fail_msg("%s: row %zu of token %zu is %.9g, not %.9g", what, i % out, i / out, (double)y[i],
                     (double)expected[i]);
    free(codes), free(levels), free(scales), free(expected);
}

// Half a step of the integers that x becomes (24 bits: of 127 · 2^16; 16 bits: of 127 · 257, on a device of 127 · 256)
// in parts of the largest of 128 neighbours, and roundings of float sums beside it. Of more than 8 tokens a device may
// make F16: of x, of the weight, and of a scale that has more digits.
static double weight_only_bound(const Checks *c, const QuantizedWeight *w, Precision precision, size_t in,
                                size_t tokens) {
    const double sums = in_floats(w) ? bound(c, 3e-7, 6e-7) + 2e-8 * sqrt((double)in)
                                     : bound(c, 2e-7, 6e-7) + bound(c, 4e-9, 2e-8) * sqrt((double)in);
    if (precision == PRECISION_F32) return sums;
    return (c->place != ON_HOST && tokens > 8 && !c->no_f16 ? 3 * 0x1p-11 : 0.5 / bound(c, 127 * 257, 127 * 256)) +
           sums;
}

static void describe_case(const QuantizedCase *q, char *what, size_t size) {
    snprintf(what, size, "grid %d, %d bits, [%zu, %zu], group %zu, %zu tokens, activations %d, precision %d",
             (int)q->grid, q->bits, q->out, q->in, q->group, q->tokens, (int)q->mode, (int)q->precision);
}

static Weight *quantized_weight(Checks *c, const QuantizedWeight *w, const ActivationScheme *scheme, const float *bias,
                                Precision precision) {
    Weight *weight = NULL;
    Error err = {0};
    if (!c->b->ops->weight_quantized(c->b, w, scheme, bias, precision, &weight, &err)) fail_msg("%s", err.message);
    return weight;
}

void check_quantized(Checks *c, const QuantizedCase *q) {
    const double deviation = q->deviation > 0 ? q->deviation : 1;
    QuantizedWeight w = random_quantized(c, q);
    float *x = random_floats(c, q->tokens * q->in, deviation);
    float *bias = between(c, 0, 1) ? random_floats(c, q->out, 1) : NULL;
    float *divisor = between(c, 0, 2) == 0 ? random_floats(c, q->in, 1) : NULL;
    for (size_t i = 0; divisor && i < q->in; i++) divisor[i] = 0.1f + fabsf(divisor[i]);
    for (size_t t = 0; t < q->tokens; t++) x[t * q->in + between(c, 0, q->in - 1)] *= q->outlier;
    if (q->tokens > 1) memset(x + q->in, 0, q->in * sizeof *x); // a token of zeros
    const ActivationScheme scheme = {.mode = q->mode, .scale = (float)(deviation / 60), .divisor = divisor};
    Weight *weight = quantized_weight(c, &w, &scheme, bias, q->precision);
    assert_true(c->b->ops->weight_bytes(weight) > 0);
    float *y = linear_result(c, weight, x, q->in, q->tokens, q->out);
    char what[200];
    describe_case(q, what, sizeof what);
    if (activation_is_integer(q->mode) && !in_floats(&w)) {
        check_integer(what, &w, &scheme, bias, x, q->tokens, y);
    } else {
        const Precision precision = activation_is_integer(q->mode) ? PRECISION_F32 : q->precision;
        double *values = weight_values(&w), *seen = seen_by(&scheme, x, q->in, q->tokens);
        check_product(what, values, bias, seen, q->out, q->in, q->tokens, 127,
                      weight_only_bound(c, &w, precision, q->in, q->tokens), y);
        free(values), free(seen);
    }
    if (c->place == ON_HOST && q->mode == ACTIVATION_NONE)
        check_tokens_alone(c, weight, x, q->in, q->tokens, q->out, y);
    c->b->ops->weight_free(c->b, weight);
    quantized_weight_free(&w);
    free(x), free(bias), free(divisor), free(y);
}

// ---- In 16-bit floats: what weights and activations are rounded to ----

static float power_for(double most, int exponent) { return ldexpf(1, exponent - ilogb(most)); }

static double f16_rounded(double value) { return (double)float_rounded(DTYPE_F16, (float)value); }

// To 11 bits, whatever the exponent is.
static double eleven_bits(double value) {
    return value == 0 ? 0 : ldexp(rint(ldexp(value, 10 - ilogb(value))), ilogb(value) - 10);
}

// Row o: a code's worth, times a power of two that takes the row's largest scale to 2^−10 … 2^−9.
static void f16_weights(const QuantizedWeight *w, size_t o, double *values) {
    const size_t groups = group_count(w->in, w->group);
    const double offset = w->grid == GRID_LOG2 ? 128 : 1 << (w->bits - 1); // powers of two are stored in 8 bits
    double most = 0;
    for (size_t g = 0; g < groups; g++)
        most = fmax(most,
                    (double)w->scales[w->factors ? o : o * groups + g] * (w->factors ? w->factors[o * groups + g] : 1));
    const double power = (double)power_for(most * step_of(w), -10);
    for (size_t i = 0; i < w->in; i++) {
        const size_t at = o * groups + i / w->group;
        const double stored = w->factors ? (double)((float)w->factors[at] * w->scales[o]) : (double)w->scales[at];
        const double scale = eleven_bits(stored * step_of(w) * power);
        const int32_t code = w->factors ? w->codes[o * w->in + i] : level(w, o, i);
        const double zero = w->zeros ? 0 : f16_rounded(-offset * scale);
        values[i] = f16_rounded((w->zeros ? code : code + offset) * scale + zero) / power;
    }
}

static void f16_activations(const float *x, size_t in, double *values) {
    double most = 0;
    for (size_t i = 0; i < in; i++) most = fmax(most, fabs((double)x[i]));
    const double power = most > 0 ? (double)power_for(most, 14) : 1;
    for (size_t i = 0; i < in; i++) values[i] = f16_rounded((double)x[i] * power) / power;
}

static double relative_difference(const QuantizedWeight *w, const float *x, const float *y, size_t tokens) {
    double *values = weight_values(w), most = 0, difference = 0;
    for (size_t n = 0; n < tokens * w->out; n++) {
        double sum = 0;
        for (size_t i = 0; i < w->in; i++) sum += values[n % w->out * w->in + i] * (double)x[n / w->out * w->in + i];
        most = fmax(most, fabs(sum));
        difference = fmax(difference, fabs(sum - (double)y[n]));
    }
    free(values);
    return difference / most;
}

double check_f16_product(Checks *c, const QuantizedCase *q, int spread) {
    QuantizedWeight w = random_quantized(c, q);
    const size_t scales = w.factors ? q->out : q->out * group_count(q->in, q->group);
    for (size_t i = 0; i < scales; i++)
        w.scales[i] = float_rounded(q->scale_dtype, ldexpf(w.scales[i], -(int)between(c, 0, (size_t)spread)));
    float *x = random_floats(c, q->tokens * q->in, 1);
    for (size_t t = 0; t < q->tokens; t++) x[t * q->in + between(c, 0, q->in - 1)] *= q->outlier;
    Weight *weight = quantized_weight(c, &w, &(ActivationScheme){.mode = ACTIVATION_NONE}, NULL, PRECISION_NATIVE);
    float *y = linear_result(c, weight, x, q->in, q->tokens, q->out);
    double *values = doubles(q->out * q->in), *seen = doubles(q->tokens * q->in);
    for (size_t o = 0; o < q->out; o++) f16_weights(&w, o, values + o * q->in);
    for (size_t t = 0; t < q->tokens; t++) f16_activations(x + t * q->in, q->in, seen + t * q->in);
    char what[200];
    describe_case(q, what, sizeof what);
    // Tensor cores cut off what is small beside the largest of 17 addends.
    check_product(what, values, NULL, seen, q->out, q->in, q->tokens, 0, 0x1p-21 + 0x1p-27 * (double)q->in, y);
    const double difference = relative_difference(&w, x, y, q->tokens);
    c->b->ops->weight_free(c->b, weight);
    quantized_weight_free(&w);
    free(x), free(y), free(values), free(seen);
    return difference;
}

void check_quantized_mix(Checks *c, const QuantizedSizes *sizes) {
    static const float outliers[] = {1, 1e4f, 0, 1e-20f, 1e25f};
    static const double deviations[] = {1, 1e4, 1e-3, 1e30, 1e-30};
    for (int i = sizes->first; i < sizes->end; i++) {
        turn(c, i);
        const size_t in = between(c, 1, sizes->in), group = group_for(c, in);
        QuantizedCase q = {.grid = (Grid)(i / 4 % 4),
                           .bits = all_bits[i % 4],
                           .out = between(c, 1, sizes->out),
                           .in = in,
                           .group = group,
                           .tokens = between(c, 1, i % 2 && sizes->tokens > 8 ? 8 : sizes->tokens),
                           .mode = (ActivationMode)(i / 16 % 4),
                           .scale_dtype = (DType)between(c, 0, 2),
                           .outlier = outliers[i % 5],
                           .precision = (Precision)between(c, 0, 1)};
        if (q.mode != ACTIVATION_NONE && q.outlier > 1e20f) q.outlier = 100; // steps of 8 bits hide everything else
        if (activation_is_integer(q.mode)) q.deviation = deviations[i / 2 % 5];
        check_quantized(c, &q);
    }
}

// All kinds, of which the grid that is used most gets as many cases again on the host, where every number of tokens has
// a loop of its own.
void quantized_cases(Checks *c) {
    static const ActivationMode modes[] = {ACTIVATION_NONE, ACTIVATION_NONE, ACTIVATION_TOKEN, ACTIVATION_NONE,
                                           ACTIVATION_STATIC};
    static const float outliers[] = {1, 1e4f, 0, 1e-20f, 1e25f};
    const int cases = amount(c, (Amount){128, 64}, (Amount){320, 24}, (Amount){640, 32});
    check_quantized_mix(c,
                        &(QuantizedSizes){0, cases / 3, at(c, 100, 40, 300), at(c, 240, 700, 300), at(c, 14, 40, 60)});
    check_quantized_mix(
        c, &(QuantizedSizes){cases / 3, cases, at(c, 60, 60, 300), at(c, 100, 200, 300), at(c, 14, 24, 60)});
    const int more = amount(c, (Amount){240, 24}, (Amount){0, 0}, (Amount){0, 0});
    for (int i = 0; i < more; i++) {
        const size_t most = i % 8 > 3 ? 260 : 60, in = between(c, 1, most);
        const QuantizedCase q = {.grid = GRID_SYMMETRIC,
                                 .bits = all_bits[i % 4],
                                 .out = between(c, 1, most),
                                 .in = in,
                                 .group = group_for(c, in),
                                 .tokens = between(c, 1, i % 7 ? 15 : 40),
                                 .mode = modes[i % 5],
                                 .scale_dtype = (DType)between(c, 0, 2),
                                 .outlier = modes[i % 5] == ACTIVATION_NONE ? outliers[i % 3 ? i / 5 % 5 : 0] : 1,
                                 .precision = (Precision)(i / 8 % 2)};
        check_quantized(c, &q);
    }
}

// ---- Quantized: extremes ----

// All codes at their largest over `in` inputs: nothing overflows.
static void largest_sum(Checks *c, Grid grid, int bits, ActivationMode mode, size_t in) {
    const int most = (1 << (bits - 1)) - 1;
    QuantizedWeight w;
    assert_true(
        quantized_weight_on_grid(grid, 1, in, grid == GRID_TWO_LEVEL ? in / 32 : in, bits, DTYPE_F32, &w, NULL));
    memset(w.codes, most, in);
    if (w.zeros) memset(w.zeros, -most - 1, 1);
    if (w.factors) memset(w.factors, 127, 32);
    w.scales[0] = 1;
    float *x = host_floats(in);
    for (size_t i = 0; i < in; i++) x[i] = 127;
    Weight *weight = quantized_weight(c, &w, &(ActivationScheme){.mode = mode}, NULL, PRECISION_NATIVE);
    float *y = linear_result(c, weight, x, in, 1, 1);
    const double expected = value_of(&w, 0, 0) * 127.0 * (double)in;
    compare("the largest sum", y, &expected, NULL, 1, 1e-4);
    c->b->ops->weight_free(c->b, weight);
    quantized_weight_free(&w);
    free(x), free(y);
}

// More tokens than are prepared at a time: a channel's scale is that of all of them.
static void long_calls(Checks *c) {
    for (Grid grid = GRID_SYMMETRIC; grid <= GRID_TWO_LEVEL; grid++) {
        for (ActivationMode mode = ACTIVATION_NONE; mode <= ACTIVATION_CHANNEL; mode++) {
            const QuantizedCase q = {grid, 4, 5, 24, 16, 300, mode, DTYPE_F16, 1, PRECISION_NATIVE, 3};
            check_quantized(c, &q);
        }
    }
}

void quantized_extremes(Checks *c) {
    // The most inputs that integer products allow; weight-only ones end their integer sums after 128.
    for (Grid grid = GRID_SYMMETRIC; grid <= GRID_TWO_LEVEL; grid++) {
        for (int bits = 4; bits <= 8; bits += 4) {
            if (c->thorough || c->place == ON_HOST) largest_sum(c, grid, bits, ACTIVATION_TOKEN, 131072);
            largest_sum(c, grid, bits, ACTIVATION_NONE, 1024);
        }
    }
    if (c->thorough || c->place == ON_HOST) long_calls(c);
    if (!c->thorough || c->place == EMULATED) return; // which has long rows of its own
    for (Precision p = PRECISION_NATIVE; p <= PRECISION_F32; p++) {
        check_quantized(c,
                        &(QuantizedCase){GRID_SYMMETRIC, 4, 64, 2000, 128, 3, ACTIVATION_NONE, DTYPE_F16, 1e4f, p, 1});
        check_quantized(c, &(QuantizedCase){GRID_SYMMETRIC, 8, 40, 3001, 64, 3, ACTIVATION_NONE, DTYPE_BF16, 1, p, 1});
    }
    check_quantized(c, &(QuantizedCase){GRID_SYMMETRIC, 8, 33, 20000, 20000, 3, ACTIVATION_TOKEN, DTYPE_F32, 1,
                                        PRECISION_F32, 1}); // sums that need all 32 bits
}

// One activation that is not finite shows in the results of its token, and in no other. An infinity may stay one in
// floating point.
static void not_finite_case(Checks *c, ActivationMode mode, Precision precision, float bad, size_t tokens) {
    enum { OUT = 40, IN = 70 };
    const QuantizedCase q = {GRID_SYMMETRIC, 4, OUT, IN, 32, tokens, mode, DTYPE_F16, 1, precision, 1};
    QuantizedWeight w = random_quantized(c, &q);
    float *x = random_floats(c, tokens * IN, 1);
    const bool may_stay = c->place == ON_HOST && mode == ACTIVATION_NONE && !isnan(bad);
    x[IN + 5] = bad;
    Weight *weight = quantized_weight(c, &w, &(ActivationScheme){.mode = mode, .scale = 0.02f}, NULL, precision);
    float *y = linear_result(c, weight, x, IN, tokens, OUT);
    for (size_t i = 0; i < tokens * OUT; i++)
        if (i / OUT == 1 ? (may_stay ? isfinite(y[i]) : !isnan(y[i])) : !isfinite(y[i]))
            fail_msg("activations %d, one is %g: token %zu has %g", (int)mode, (double)bad, i / OUT, (double)y[i]);
    c->b->ops->weight_free(c->b, weight);
    quantized_weight_free(&w);
    free(x), free(y);
}

// A channel whose values are not finite must show; one that is nothing must not.
static void strange_channels(Checks *c) {
    const QuantizedCase q = {
        .grid = GRID_SYMMETRIC, .bits = 4, .out = 3, .in = 16, .group = 16, .scale_dtype = DTYPE_F32};
    QuantizedWeight w = random_quantized(c, &q);
    float x[32] = {0};
    memset(w.codes, 1, 16);
    Weight *weight = quantized_weight(c, &w, &(ActivationScheme){.mode = ACTIVATION_CHANNEL}, NULL, PRECISION_F32);
    float *y = linear_result(c, weight, x, 16, 2, 3);
    for (int i = 0; i < 6; i++) assert_true(y[i] == 0);
    x[5] = INFINITY;
    float *z = linear_result(c, weight, x, 16, 2, 3);
    assert_true(!isfinite(z[0]) && isfinite(z[3]));
    c->b->ops->weight_free(c->b, weight);
    quantized_weight_free(&w);
    free(y), free(z);
}

void not_finite_cases(Checks *c) {
    static const float bad[] = {NAN, INFINITY, -INFINITY};
    for (size_t tokens = 3; tokens < 20; tokens += 14)
        for (ActivationMode mode = ACTIVATION_NONE; mode <= ACTIVATION_TOKEN; mode++)
            for (Precision precision = PRECISION_NATIVE; precision <= PRECISION_F32; precision++)
                for (int i = 0; i < 3; i++) not_finite_case(c, mode, precision, bad[i], tokens);
    strange_channels(c);
}

// ---- What is refused, and what is used ----

static void refused(Checks *c, const QuantizedWeight *q, const ActivationScheme *scheme, const char *because) {
    Error err = {0};
    Weight *weight;
    assert_false(c->b->ops->weight_quantized(c->b, q, scheme, NULL, PRECISION_F32, &weight, &err));
    assert_null(weight);
    if (!strstr(err.message, because)) fail_msg("\"%s\" does not say \"%s\"", err.message, because);
}

static void refused_quantized(Checks *c) {
    const QuantizedCase shape = {
        .grid = GRID_SYMMETRIC, .bits = 4, .out = 4, .in = 8, .group = 8, .scale_dtype = DTYPE_F16};
    QuantizedWeight q = random_quantized(c, &shape), wrong = q;
    const ActivationScheme none = {0}, zero = {.mode = ACTIVATION_STATIC, .scale = 0},
                           nan = {.mode = ACTIVATION_STATIC, .scale = NAN};
    wrong.bits = 5;
    refused(c, &wrong, &none, "5 bits");
    wrong = q, wrong.group = 0;
    refused(c, &wrong, &none, "group");
    wrong = q, wrong.scale_dtype = DTYPE_I8;
    refused(c, &wrong, &none, "I8");
    wrong = q, wrong.in = wrong.group = 200000;
    refused(c, &wrong, &(ActivationScheme){.mode = ACTIVATION_TOKEN}, "200000 inputs");
    refused(c, &q, &zero, "scale");
    refused(c, &q, &nan, "scale");
    wrong = q, wrong.grid = (Grid)9;
    refused(c, &wrong, &none, "grid");
    wrong = q, wrong.grid = GRID_ASYMMETRIC; // without zero points
    refused(c, &wrong, &none, "");
    Error err = {0};
    Weight *weight;
    assert_false(c->b->ops->weight_dense(c->b, DTYPE_I8, q.codes, 4, 8, NULL, PRECISION_F32, &weight, &err));
    assert_non_null(strstr(err.message, "I8"));
    quantized_weight_free(&q);
}

static void refused_from_dense(Checks *c) {
    const uint16_t w[64] = {0x3F80, 0x4000}; // BF16
    const WeightQuantizing how = {.bits = 4, .group = 16, .scale_dtype = DTYPE_BF16},
                           odd = {.bits = 5, .group = 16, .scale_dtype = DTYPE_BF16};
    const ActivationScheme scheme = {.mode = ACTIVATION_NONE};
    const BackendOps *ops = c->b->ops;
    Weight *dense, *packed, *again;
    Error err = {0};
    assert_true(ops->weight_dense(c->b, DTYPE_BF16, w, 4, 16, NULL, PRECISION_NATIVE, &dense, &err));
    assert_true(ops->weight_from_dense(c->b, dense, &how, &scheme, NULL, NULL, &packed, &err));
    assert_false(ops->weight_from_dense(c->b, packed, &how, &scheme, NULL, NULL, &again, &err));
    assert_non_null(strstr(err.message, "quantized already"));
    assert_false(ops->weight_from_dense(c->b, dense, &odd, &scheme, NULL, NULL, &again, &err));
    assert_null(again);
    ops->weight_free(c->b, packed);
    ops->weight_free(c->b, dense);
}

static void packed_bytes(Checks *c) {
    for (int i = 0; i < 4; i++) {
        const QuantizedCase q = {
            .grid = GRID_SYMMETRIC, .bits = all_bits[i], .out = 64, .in = 256, .group = 64, .scale_dtype = DTYPE_F16};
        QuantizedWeight w = random_quantized(c, &q);
        Weight *weight = quantized_weight(c, &w, &(ActivationScheme){0}, NULL, PRECISION_F32);
        assert_int_equal(c->b->ops->weight_bytes(weight), 64 * 256 * all_bits[i] / 8 + 64 * 4 * 2);
        c->b->ops->weight_free(c->b, weight);
        quantized_weight_free(&w);
    }
}

void weight_refusals(Checks *c) {
    refused_quantized(c);
    refused_from_dense(c);
    packed_bytes(c);
}

// ---- Several at once ----

static Weight *dense_weight(Checks *c, DType dtype, size_t in, size_t out, void **block) {
    float *w = random_floats(c, out * in, 0.1), *bias = between(c, 0, 1) ? random_floats(c, out, 1) : NULL;
    void *data = stored_as(dtype, w, out * in, block);
    Weight *weight = NULL;
    assert_true(c->b->ops->weight_dense(c->b, dtype, data, out, in, bias, PRECISION_NATIVE, &weight, NULL));
    c->b->ops->synchronize(c->b);
    free(w), free(bias);
    return weight;
}

// Weight-only ones on a symmetric grid, others with zero points.
static Weight *weight_of_bits(Checks *c, int bits, ActivationMode mode, size_t group, size_t in, size_t out) {
    const QuantizedCase q = {.grid = mode == ACTIVATION_NONE ? GRID_SYMMETRIC : GRID_ASYMMETRIC,
                             .bits = bits,
                             .out = out,
                             .in = in,
                             .group = in < group ? in : group,
                             .scale_dtype = DTYPE_F16};
    QuantizedWeight codes = random_quantized(c, &q);
    float *bias = between(c, 0, 1) ? random_floats(c, out, 1) : NULL;
    const ActivationScheme scheme = {.mode = mode, .scale = 1 / 60.0f};
    Weight *weight = quantized_weight(c, &codes, &scheme, bias, PRECISION_NATIVE);
    quantized_weight_free(&codes);
    free(bias);
    return weight;
}

// Formats that alternate, and more of one than a launch takes.
enum { LINEARS = 8 };

static Weight *one_of_many(Checks *c, int i, size_t in, size_t out, void **block) {
    *block = NULL;
    if (i == 2 || i == 5) return dense_weight(c, DTYPE_BF16, in, out, block);
    return weight_of_bits(c, 4, i == 1 || i == 6 ? ACTIVATION_TOKEN : ACTIVATION_NONE, 32, in, out);
}

// The same as one by one, on a device in fewer launches.
static void check_linears(Checks *c, size_t tokens, size_t in) {
    Weight *weights[LINEARS];
    size_t outs[LINEARS];
    void *blocks[LINEARS];
    float *x = random_floats(c, tokens * in, 1), *apart[LINEARS], *y[LINEARS], *from = put(c, x, tokens * in);
    for (int i = 0; i < LINEARS; i++) {
        outs[i] = between(c, 1, 130);
        weights[i] = one_of_many(c, i, in, outs[i], &blocks[i]);
        y[i] = put_nothing(c, tokens * outs[i]);
    }
    const size_t begin = launched(c, 0);
    for (int i = 0; i < LINEARS; i++) apart[i] = linear_result(c, weights[i], x, in, tokens, outs[i]);
    const size_t middle = launched(c, 0);
    c->b->ops->linears(c->b, (const Weight *const *)weights, LINEARS, from, tokens, y);
    c->b->ops->synchronize(c->b);
    // Four of one format are two launches, twice two of another are one each; what is prepared for them is one for all.
    if (c->launches) assert_true(launched(c, middle) + (tokens > 8 ? 3 : 4) <= middle - begin);
    for (int i = 0; i < LINEARS; i++) {
        const size_t n = tokens * outs[i];
        float *together = take(c, y[i], n);
        double *expected = widened(apart[i], n), *sizes = doubles(n), largest = 0;
        for (size_t j = 0; j < n; j++) largest = fmax(largest, fabs(expected[j]));
        for (size_t j = 0; j < n; j++) sizes[j] = largest;
        compare("linears", together, expected, sizes, n, i % 7 && i != 3 && i != 4 ? 0 : 1e-5);
        c->b->ops->weight_free(c->b, weights[i]);
        free(blocks[i]), free(apart[i]), free(together), free(expected), free(sizes);
    }
    drop(c, from, tokens * in);
    free(x);
}

void linears_cases(Checks *c) {
    const int cases = amount(c, (Amount){12, 2}, (Amount){8, 2}, (Amount){24, 4});
    for (int i = 0; i < cases; i++) {
        turn(c, i);
        check_linears(c, i % 4 == 3 ? between(c, 9, at(c, 20, 20, 70)) : between(c, 1, 8),
                      between(c, 8, i % 2 ? at(c, 300, c->thorough ? 3000 : 1500, 5000) : at(c, 100, 300, 500)));
    }
}

// ---- Mixtures of experts ----

typedef struct MixtureCase {
    int experts, per_token;
    size_t tokens, hidden, inner;
    bool normalized, mixed; // mixed: experts of different formats, gate and up too
    ActivationMode mode;    // of the others
    bool dense;             // none is quantized
    DType dtype;            // of those that are not
    int bits;
} MixtureCase;

static Weight *expert_weight(Checks *c, const MixtureCase *m, size_t in, size_t out, void **block) {
    const size_t kind = m->mixed ? between(c, 0, 3) : 3;
    *block = NULL;
    if (m->dense || kind == 0) return dense_weight(c, m->dtype, in, out, block);
    return weight_of_bits(c, m->bits,
                          kind == 1   ? ACTIVATION_NONE
                          : kind == 2 ? ACTIVATION_STATIC
                                      : m->mode,
                          kind == 1 ? 64 : 32, in, out);
}

// Sums up what the experts of one token give, in order of experts. chosen: zeros.
static void mixed_token(Checks *c, const MixtureCase *m, const float *logits, Weight *const *gate, Weight *const *up,
                        Weight *const *down, const float *x, bool *chosen, double *y) {
    double all = 0, mass = 0;
    for (int k = 0; k < m->per_token; k++) {
        int best = -1;
        for (int e = 0; e < m->experts; e++)
            if (!chosen[e] && (best < 0 || logits[e] > logits[best])) best = e;
        chosen[best] = true;
    }
    for (int e = 0; e < m->experts; e++) all += exp((double)logits[e]);
    for (int e = 0; e < m->experts; e++) mass += chosen[e] ? exp((double)logits[e]) / all : 0;
    for (int e = 0; e < m->experts; e++) {
        if (!chosen[e]) continue;
        const double weight = exp((double)logits[e]) / all / (m->normalized ? mass : 1);
        float *g = linear_result(c, gate[e], x, m->hidden, 1, m->inner);
        float *u = linear_result(c, up[e], x, m->hidden, 1, m->inner);
        float *dg = put(c, g, m->inner), *du = put(c, u, m->inner);
        c->b->ops->activate(c->b, NONLINEARITY_GELU, dg, du, m->inner, dg);
        float *inner = take(c, dg, m->inner), *out = linear_result(c, down[e], inner, m->inner, 1, m->hidden);
        for (size_t j = 0; j < m->hidden; j++) y[j] += weight * (double)out[j];
        drop(c, du, m->inner);
        free(g), free(u), free(inner), free(out);
    }
}

// A mixture against its experts one by one, chosen on the host.
static void check_mixture(Checks *c, const MixtureCase *m) {
    const BackendOps *ops = c->b->ops;
    const size_t experts = (size_t)m->experts, in = m->tokens * m->hidden;
    Weight **weights = array_new(3 * experts, sizeof(Weight *)), **gate = weights, **up = weights + experts,
           **down = weights + 2 * experts;
    void **blocks = array_new(3 * experts, sizeof *blocks);
    float *logits = random_floats(c, m->tokens * experts, 1), *x = random_floats(c, in, 1);
    double *expected = doubles(in), *sizes = doubles(in), largest = 0;
    bool *chosen = array_new(experts, sizeof *chosen);
    assert_true(weights && blocks && chosen);
    for (size_t e = 0; e < experts; e++) {
        gate[e] = expert_weight(c, m, m->hidden, m->inner, &blocks[3 * e]);
        up[e] = expert_weight(c, m, m->hidden, m->inner, &blocks[3 * e + 1]);
        down[e] = expert_weight(c, m, m->inner, m->hidden, &blocks[3 * e + 2]);
    }
    for (size_t i = 0; i + 1 < experts; i += 2) logits[i + 1] = logits[i]; // equal ones: the first counts
    for (size_t t = 0; t < m->tokens; t++) {
        memset(chosen, 0, experts * sizeof *chosen);
        mixed_token(c, m, logits + t * experts, gate, up, down, x + t * m->hidden, chosen, expected + t * m->hidden);
    }
    const MixtureShape shape = {m->experts, m->per_token, m->normalized, NONLINEARITY_GELU};
    Mixture *mixture = ops->mixture_new(c->b, &shape, (const Weight *const *)gate, (const Weight *const *)up,
                                        (const Weight *const *)down);
    assert_non_null(mixture);
    float *dl = put(c, logits, m->tokens * experts), *dx = put(c, x, in), *dy = put_nothing(c, in);
    for (int twice = 0; twice < 2; twice++) assert_true(ops->mixture(c->b, mixture, dl, dx, m->tokens, dy));
    assert_false(ops->mixture(c->b, mixture, dl, dx, 100000, dy));
    float *y = take(c, dy, in);
    for (size_t i = 0; i < in; i++) largest = fmax(largest, fabs(expected[i]));
    for (size_t i = 0; i < in; i++) sizes[i] = largest;
    char what[200];
    snprintf(what, sizeof what, "%d of %d experts, %zu tokens, [%zu, %zu], mixed %d, activations %d, dense %d",
             m->per_token, m->experts, m->tokens, m->hidden, m->inner, m->mixed, (int)m->mode, m->dense);
    compare(what, y, expected, sizes, in, 2e-5);
    ops->mixture_free(c->b, mixture);
    for (size_t i = 0; i < 3 * experts; i++) ops->weight_free(c->b, weights[i]), free(blocks[i]);
    drop(c, dl, m->tokens * experts), drop(c, dx, in);
    free(weights), free(blocks), free(logits), free(x), free(expected), free(chosen), free(y), free(sizes);
}

void mixture_cases(Checks *c) {
    static const ActivationMode modes[] = {ACTIVATION_NONE, ACTIVATION_TOKEN, ACTIVATION_STATIC};
    if (!c->b->ops->mixture) return;
    const int cases = amount(c, (Amount){24, 3}, (Amount){24, 3}, (Amount){36, 6});
    for (int i = 0; i < cases; i++) {
        turn(c, i);
        const int experts = (int)between(c, 1, i % 4 == 3 ? at(c, 70, 70, 140) : 9);
        const MixtureCase m = {.experts = experts,
                               .per_token = (int)between(c, 1, experts < 8 ? (size_t)experts : 8),
                               .tokens = i % 3 ? between(c, 1, at(c, 20, 20, 64)) : 1,
                               .hidden = between(c, 3, at(c, 150, 150, c->thorough ? 900 : 200)),
                               .inner = between(c, 3, at(c, 90, 90, c->thorough ? 700 : 200)),
                               .normalized = i % 2,
                               .mixed = i % 4 == 2,
                               .mode = modes[i % 3],
                               .dense = i % 6 == 5,
                               .dtype = DTYPE_BF16,
                               .bits = 4};
        check_mixture(c, &m);
    }
}

// Every instance of the kernels for portions, and of those of few tokens.
void mixture_formats(Checks *c) {
    static const size_t tokens[] = {1, 2, 4, 8};
    static const int bits[] = {2, 3, 8};
    if (!c->b->ops->mixture || !c->thorough) return;
    for (int i = 0; i < 4 * 3; i++) {
        MixtureCase m = {.experts = 2, .per_token = 1, .tokens = tokens[i % 4], .hidden = 40, .inner = 24};
        m.dense = true, m.dtype = (DType)(i / 4);
        check_mixture(c, &m);
        check_dense(c, (DType)(i / 4), PRECISION_NATIVE, 20, 40, tokens[i % 4]);
        if (i >= 6) continue;
        m.dense = false, m.bits = bits[i % 3], m.mode = i / 3 ? ACTIVATION_TOKEN : ACTIVATION_NONE;
        check_mixture(c, &m);
    }
}

// ---- Quantized on the spot ----

// One group on the symmetric grid, as quant/quantize.c does it: the scale as it is stored, then codes.
static float plain_group(const float *values, size_t n, int bits, DType dtype, int8_t *codes, double *errors) {
    const float most = (float)((1 << (bits - 1)) - 1);
    float range = 0;
    for (size_t j = 0; j < n; j++) range = fmaxf(range, fabsf(values[j]));
    float scale = range == 0 ? 1 : float_rounded(dtype, range / most);
    if (!(scale > 0)) scale = dtype == DTYPE_F16 ? 0x1p-24f : dtype == DTYPE_BF16 ? 0x1p-133f : 0x1p-149f;
    for (size_t j = 0; j < n; j++) {
        const float code = rintf(fmaxf(fminf(values[j] / scale, most), -most));
        const double lost = (double)values[j] - (double)(code * scale);
        codes[j] = (int8_t)code;
        errors[0] += (double)values[j] * (double)values[j];
        errors[1] += lost * lost;
    }
    return scale;
}

static void plain_quantize(const float *w, const WeightQuantizing *how, QuantizedWeight *q, double *errors) {
    const size_t groups = group_count(q->in, q->group);
    float *values = host_floats(q->group);
    for (size_t o = 0; o < q->out; o++) {
        for (size_t g = 0; g < groups; g++) {
            const size_t first = g * q->group, n = g + 1 < groups ? q->group : q->in - first;
            for (size_t j = 0; j < n; j++) {
                values[j] = w[o * q->in + first + j];
                if (how->factors) values[j] *= how->factors[first + j];
                if (how->divisors) values[j] /= how->divisors[o];
            }
            q->scales[o * groups + g] =
                plain_group(values, n, how->bits, q->scale_dtype, q->codes + o * q->in + first, errors + 2 * o);
        }
    }
    free(values);
}

static Weight *dense_of(Checks *c, DType dtype, const void *data, size_t out, size_t in) {
    Weight *dense = NULL;
    Error err = {0};
    if (!c->b->ops->weight_dense(c->b, dtype, data, out, in, NULL, PRECISION_NATIVE, &dense, &err))
        fail_msg("%s", err.message);
    return dense;
}

// An infinity is refused, with its row.
static void infinity_is_refused(Checks *c, DType dtype, float *w, size_t out, size_t in, const WeightQuantizing *how) {
    void *block, *data;
    Weight *packed = NULL;
    Error err = {0};
    char row[40];
    w[in * (out - 1) + in / 2] = INFINITY;
    data = stored_as(dtype, w, out * in, &block);
    Weight *dense = dense_of(c, dtype, data, out, in);
    assert_false(c->b->ops->weight_from_dense(c->b, dense, how, &(ActivationScheme){.mode = ACTIVATION_TOKEN}, NULL,
                                              NULL, &packed, &err));
    snprintf(row, sizeof row, "row %zu holds", out - 1);
    if (!strstr(err.message, row)) fail_msg("%s", err.message);
    c->b->ops->weight_free(c->b, dense);
    free(block);
}

// Weights in the middle between two codes, and as close to it as there are floats.
static void make_middles(Checks *c, float *w, size_t n, int bits) {
    const float most = (float)((1 << (bits - 1)) - 1),
                scale = float_rounded(DTYPE_BF16, 0.01f + (float)between(c, 0, 9));
    for (size_t i = 0; i < n; i++) {
        const float middle = ((float)between(c, 0, (size_t)most - 1) + 0.5f) * scale * (i % 2 ? -1.0f : 1.0f);
        w[i] = i % 16 == 0 ? most * scale : i % 3 == 0 ? middle : nextafterf(middle, i % 3 == 1 ? INFINITY : -INFINITY);
    }
}

// The product shows codes and scales: both must be those of the definition, to the last bit.
static void check_from_dense(Checks *c, DType dtype, DType scale_dtype, int bits, size_t out, size_t in, size_t group,
                             bool equalized) {
    float *w = random_floats(c, out * in, 0.1), *x = random_floats(c, 3 * in, 1);
    for (size_t i = 0; i < in && out > 2; i++) w[in + i] *= i % 7 ? 1e-7f : 0; // small, and zeros
    if (group < in) memset(w, 0, group * sizeof *w);
    if (out > 16) make_middles(c, w + (out - 1) * in, in, bits);
    void *block, *data = stored_as(dtype, w, out * in, &block);
    float *factors = equalized ? random_floats(c, in, 1) : NULL,
          *divisors = equalized ? random_floats(c, out, 1) : NULL;
    for (size_t i = 0; factors && i < in; i++) factors[i] = 0.5f + fabsf(factors[i]);
    for (size_t i = 0; divisors && i < out; i++) divisors[i] = 0.5f + fabsf(divisors[i]);
    const WeightQuantizing how = {bits, group, scale_dtype, factors, divisors};
    const ActivationScheme scheme = {.mode = ACTIVATION_TOKEN};
    QuantizedWeight q;
    double *expected = doubles(2 * out), *errors = doubles(2 * out);
    assert_true(quantized_weight_new(out, in, group, bits, how.scale_dtype, &q, NULL));
    plain_quantize(w, &how, &q, expected);
    Weight *dense = dense_of(c, dtype, data, out, in), *packed = NULL;
    Error err = {0};
    if (!c->b->ops->weight_from_dense(c->b, dense, &how, &scheme, NULL, errors, &packed, &err))
        fail_msg("%s", err.message);
    float *y = linear_result(c, packed, x, in, 3, out);
    char what[120];
    snprintf(what, sizeof what, "%s to %d bits, [%zu, %zu], group %zu", dtype_name(dtype), bits, out, in, group);
    check_integer(what, &q, &scheme, NULL, x, 3, y);
    for (size_t i = 0; i < 2 * out; i++)
        assert_true(fabs(errors[i] - expected[i]) <= bound(c, 1e-12, 1e-6) * expected[i]);
    c->b->ops->weight_free(c->b, packed), c->b->ops->weight_free(c->b, dense);
    infinity_is_refused(c, dtype, w, out, in, &how);
    quantized_weight_free(&q);
    free(w), free(x), free(block), free(y), free(factors), free(divisors), free(expected), free(errors);
}

static DType scales_of(DType dtype) { return dtype == DTYPE_F32 ? DTYPE_F16 : dtype; }

void from_dense_cases(Checks *c) {
    const int cases = amount(c, (Amount){72, 12}, (Amount){24, 4}, (Amount){120, 6});
    for (int i = 0; i < cases; i++) {
        turn(c, i);
        const size_t in = between(c, 1, i % 5 ? 300 : at(c, 1500, 300, 3000));
        const size_t group = i % 4 == 0 ? in : i % 4 == 1 ? between(c, 1, in) : group_for(c, in);
        check_from_dense(c, (DType)(i % 3), scales_of((DType)(i % 3)), all_bits[i / 3 % 4],
                         between(c, 1, i % 3 ? at(c, 70, 50, 200) : at(c, 200, 50, 200)), in, group, i % 2);
    }
}

// Groups and rows as models have them, for which devices have kernels of their own; more than one block of rows.
void from_dense_regular(Checks *c) {
    static const size_t groups[] = {64, 32, 128, 256, 4096};
    const int cases = amount(c, (Amount){40, 5}, (Amount){20, 20}, (Amount){60, 20});
    for (int i = 0; i < cases; i++) {
        turn(c, i);
        const DType dtype = (DType)(i / 2 % 3), scale = i % 7 == 6 ? DTYPE_F32 : scales_of(dtype);
        const size_t in = 4 * between(c, 33, at(c, 400, 100, 1000)), group = groups[i % 5];
        check_from_dense(c, dtype, scale, all_bits[i % 4], between(c, 17, at(c, 70, 40, 300)), in,
                         group < in ? group : in, i % 3 == 1);
    }
}
