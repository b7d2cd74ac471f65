// What lies between linears: memory, norms, functions of single elements, moving rows, rotations, looking up, choosing,
// measuring.
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/array.h"
#include "kernels/host/measure.h"
#include "tests/support/backend_buffers.h"

// ---- Memory ----

void memory_cases(Checks *c) {
    const BackendOps *ops = c->b->ops;
    const float host[3] = {1, 2, 3};
    float back[3] = {9, 9, 9};
    Error err = {0};
    assert_true(ops->describe(c->b)[0]);
    float *data = ops->memory_new(c->b, sizeof host, &err);
    assert_non_null(data);
    ops->download(c->b, back, data, sizeof back);
    for (int i = 0; i < 3; i++) assert_true(back[i] == 0);
    ops->upload(c->b, data, host, sizeof host);
    ops->synchronize(c->b);
    ops->download(c->b, back, data, sizeof back);
    assert_memory_equal(back, host, sizeof host);
    ops->memory_free(c->b, data);
    assert_null(ops->memory_new(c->b, SIZE_MAX, &err));
    assert_true(err.message[0]);
    if (!ops->has_room) return;
    assert_true(ops->has_room(c->b, 1000, &err));
    assert_false(ops->has_room(c->b, SIZE_MAX / 2, &err));
}

// ---- Norms ----

// Σ (x − mean)² / width, or of x itself.
static double mean_of_squares(const float *x, size_t width, double mean) {
    double squares = 0;
    for (size_t i = 0; i < width; i++) squares += ((double)x[i] - mean) * ((double)x[i] - mean) / (double)width;
    return squares;
}

static void check_rms_norm(Checks *c, const float *x, const float *gain, size_t tokens, size_t width, const float *y) {
    double *expected = doubles(tokens * width);
    for (size_t t = 0; t < tokens; t++) {
        const double size = sqrt(mean_of_squares(x + t * width, width, 0) + (double)1e-5f);
        for (size_t i = 0; i < width; i++) expected[t * width + i] = (double)x[t * width + i] / size * (double)gain[i];
    }
    compare_here(c, "rms norm", y, expected, tokens * width, 1e-6, 2e-6);
    free(expected);
}

// The mean itself is a float before it is taken off.
static void check_layer_norm(Checks *c, const float *x, const float *gains, const float *biases, size_t heads,
                             size_t tokens, size_t width, const float *y) {
    const size_t n = tokens * width;
    double *expected = doubles(n), *sizes = doubles(n);
    for (size_t t = 0; t < tokens; t++) {
        const float *row = x + t * width, *gain = gains + t % heads * width, *bias = biases + t % heads * width;
        double mean = 0;
        for (size_t i = 0; i < width; i++) mean += (double)row[i] / (double)width;
        const double deviation = sqrt(mean_of_squares(row, width, mean) + (double)1e-5f),
                     rounding = 1e-7 * fabs(mean) / deviation;
        for (size_t i = 0; i < width; i++) {
            const double unit = ((double)row[i] - mean) / deviation * (double)gain[i];
            expected[t * width + i] = unit + (double)bias[i];
            sizes[t * width + i] =
                fabs(unit) + fabs((double)bias[i]) + rounding * fabs((double)gain[i]) / 2e-6 + bound(c, 0, 3e-2);
        }
    }
    compare("layer norm", y, expected, sizes, n, 2e-6);
    free(expected), free(sizes);
}

// Both norms, to another place and in place.
static void check_norms(Checks *c, size_t tokens, size_t width, size_t heads, float middle) {
    const size_t n = tokens * width, all = heads * width;
    float *x = random_floats(c, n, 3), *gain = random_floats(c, all, 1), *bias = random_floats(c, all, 1);
    float *dgain = put(c, gain, all), *dbias = put(c, bias, all);
    for (int layer = 0; layer < 2; layer++) {
        for (size_t i = 0; i < n && layer; i++) x[i] += middle;
        float *dx = put(c, x, n), *dy = put_nothing(c, n), *to[2] = {dy, dx};
        for (int i = 0; i < 2; i++) {
            if (layer)
                c->b->ops->layer_norm(c->b, dx, dgain, dbias, heads, 1e-5f, tokens, width, to[i]);
            else
                c->b->ops->rms_norm(c->b, dx, dgain, 1e-5f, tokens, width, to[i]);
        }
        float *y = take(c, dy, n), *in_place = take(c, dx, n);
        if (layer)
            check_layer_norm(c, x, gain, bias, heads, tokens, width, y);
        else
            check_rms_norm(c, x, gain, tokens, width, y);
        assert_memory_equal(in_place, y, n * sizeof *y);
        free(y), free(in_place);
    }
    drop(c, dgain, all), drop(c, dbias, all);
    free(x), free(gain), free(bias);
}

void norm_cases(Checks *c) {
    static const float middles[] = {0, 100, 40, -3};
    const int cases = amount(c, (Amount){12, 12}, (Amount){6, 1}, (Amount){30, 3});
    for (int i = 0; i < cases; i++) {
        turn(c, i);
        check_norms(c, between(c, 1, at(c, 5, 9, 40)), between(c, 1, at(c, 100, 600, 5000)), i % 3 ? 1 : 2,
                    middles[i % 4]);
    }
    if (c->thorough) check_norms(c, at(c, 40, 3, 300), 600, 3, -3); // large enough for several threads
}

// ---- Element by element ----

static void check_sums(Checks *c, size_t n) {
    static const float extremes[] = {0, -0.0f, 80, -80, 1e4f, 1e30f, 1e-30f};
    float *gate = random_floats(c, n, 20), *up = random_floats(c, n, 1);
    double *expected = doubles(n);
    for (size_t i = 0; i < n && i < 7; i++) gate[i] = extremes[i];
    if (n > 8) gate[n - 1] = NAN;
    if (n > 9) gate[n - 2] = -1e5f;
    for (size_t i = 0; i < n; i++) expected[i] = (double)gate[i] / (1 + exp(-(double)gate[i])) * (double)up[i];
    float *dgate = put(c, gate, n), *dup = put(c, up, n), *dy = put_nothing(c, n);
    c->b->ops->silu_times(c->b, dgate, dup, n, dy);
    c->b->ops->add(c->b, dup, dgate, n);
    float *y = take(c, dy, n), *sum = take(c, dup, n);
    if (n > 9) { // what is left of it depends on how an exponential ends
        assert_true(fabsf(y[n - 2]) < 1e-30f);
        expected[n - 2] = (double)y[n - 2];
    }
    compare_here(c, "silu", y, expected, n, 1e-6, 1e-6);
    for (size_t i = 0; i < n; i++) expected[i] = (double)(up[i] + gate[i]);
    compare("add", sum, expected, NULL, n, 0);
    drop(c, dgate, n);
    free(gate), free(up), free(y), free(sum), free(expected);
}

// f(x), and the argument of the exponential in it, of which every rounding is a part of the result.
static double activated(Nonlinearity f, double x, double *exponent) {
    const double u = 0.79788456080286535588 * (x + 0.044715 * x * x * x);
    switch (f) {
    case NONLINEARITY_GELU: *exponent = x * x / 2; return x / 2 * erfc(-x * 0.70710678118654752440);
    case NONLINEARITY_GELU_TANH: *exponent = 2 * u; return x / (1 + exp(-2 * u));
    case NONLINEARITY_RELU: *exponent = 0; return x > 0 || isnan(x) ? x : 0;
    case NONLINEARITY_RELU_SQUARED: *exponent = 0; return x > 0 || isnan(x) ? x * x : 0;
    case NONLINEARITY_SWIGLU_OAI:
        x = x > (double)SWIGLU_OAI_LIMIT ? (double)SWIGLU_OAI_LIMIT : x;
        *exponent = (double)SWIGLU_OAI_ALPHA * x;
        return x / (1 + exp(-*exponent));
    case NONLINEARITY_SIGMOID: *exponent = x; return 1 / (1 + exp(-x));
    case NONLINEARITY_NONE: *exponent = 0; return x;
    case NONLINEARITY_SILU:
    case NONLINEARITY_COUNT: break;
    }
    *exponent = x;
    return x / (1 + exp(-x));
}

static void check_activated(const Checks *c, Nonlinearity f, const float *x, size_t n, const float *y) {
    double *expected = doubles(n), *sizes = doubles(n), largest = 0;
    for (size_t i = 0; i < n; i++) {
        double exponent;
        expected[i] = activated(f, (double)x[i], &exponent);
        sizes[i] = (3 + fabs(exponent)) * fabs(expected[i]) + 5e-27;
        if (isfinite(expected[i])) largest = fmax(largest, fabs(expected[i]));
    }
    for (size_t i = 0; i < n && c->place != ON_HOST; i++) sizes[i] = 10 * fabs(expected[i]) + 0.1 * largest;
    char what[40];
    snprintf(what, sizeof what, "activation %d", (int)f);
    compare(what, y, expected, sizes, n, 2e-7);
    free(expected), free(sizes);
}

static float factor_of(Nonlinearity f, float up) {
    if (f != NONLINEARITY_SWIGLU_OAI) return up;
    return fmaxf(-SWIGLU_OAI_LIMIT, fminf(SWIGLU_OAI_LIMIT, up)) + 1;
}

// Alone and multiplied; to another place, in place of x, and in place of what it is multiplied by.
static void check_activate(Checks *c, Nonlinearity f, size_t n) {
    static const float extremes[] = {0, -0.0f, 9, -9, -14, 30, -30, 80, -80, 1e4f, -1e4f, 1e-20f, 1e-30f};
    float *x = random_floats(c, n, 3), *up = random_floats(c, n, 1), *results[4];
    for (size_t i = 0; i < n && i < sizeof extremes / sizeof *extremes; i++) x[i] = extremes[i];
    if (n > 14) x[14] = NAN, up[12] = 12, up[13] = -12;
    float *dx = put(c, x, n), *dup = put(c, up, n), *dy = put_nothing(c, n), *multiplied = put_nothing(c, n);
    c->b->ops->activate(c->b, f, dx, NULL, n, dy);
    c->b->ops->activate(c->b, f, dx, dup, n, multiplied);
    c->b->ops->activate(c->b, f, dx, dup, n, dup);
    c->b->ops->activate(c->b, f, dx, NULL, n, dx);
    float *const from[4] = {dy, multiplied, dup, dx};
    for (int i = 0; i < 4; i++) results[i] = take(c, from[i], n);
    check_activated(c, f, x, n, results[0]);
    for (size_t i = 0; i < n; i++) {
        const float product = results[0][i] * factor_of(f, up[i]);
        assert_true(results[1][i] == product || (isnan(product) && isnan(results[1][i])));
    }
    assert_memory_equal(results[2], results[1], n * sizeof *x);
    assert_memory_equal(results[3], results[0], n * sizeof *x);
    for (int i = 0; i < 4; i++) free(results[i]);
    free(x), free(up);
}

// Each term by itself is as exact as its size: of e^x − 1 − x that of x.
static void check_xielu(Checks *c, size_t n) {
    static const float extremes[] = {0, -0.0f, 1e-7f, -1e-7f, -1e-3f, -0.34f, -0.35f, -88, -1e4f, 1e4f};
    const Xielu f = {0.8f, 1.3f, 0.5f};
    float *x = random_floats(c, n, 3);
    double *expected = doubles(n), *sizes = doubles(n);
    for (size_t i = 0; i < n && i < sizeof extremes / sizeof *extremes; i++) x[i] = extremes[i];
    if (n > 14) x[14] = NAN;
    for (size_t i = 0; i < n; i++) {
        const double v = (double)x[i], above = v > 0 ? (double)f.positive * v * v : 0,
                     below = v < 0 ? (double)f.negative * (expm1(v) - v) : 0;
        expected[i] = isnan(v) ? NAN : above + below + (double)f.linear * v;
        sizes[i] = fabs(above) + 3 * fabs(v);
    }
    float *dx = put(c, x, n), *dy = put_nothing(c, n);
    c->b->ops->xielu(c->b, &f, dx, n, dy);
    c->b->ops->xielu(c->b, &f, dx, n, dx);
    float *y = take(c, dy, n), *in_place = take(c, dx, n);
    compare("xielu", y, expected, sizes, n, 3e-7);
    assert_memory_equal(in_place, y, n * sizeof *y);
    free(x), free(expected), free(sizes), free(y), free(in_place);
}

static void check_scale(Checks *c, size_t n) {
    const float cap = 1.5f, factor = -0.3f;
    float *x = random_floats(c, n, 6);
    double *expected = doubles(n), *sizes = doubles(n);
    float *dx = put(c, x, n), *dcapped = put(c, x, n);
    c->b->ops->scale(c->b, dx, factor, n);
    c->b->ops->softcap(c->b, dcapped, cap, n);
    x[n / 2] = NAN;
    float *dcleared = put(c, x, n), *dclamped = put(c, x, n);
    c->b->ops->clamp(c->b, dclamped, cap, n);
    c->b->ops->scale(c->b, dcleared, 0, n); // clears
    float *scaled = take(c, dx, n), *capped = take(c, dcapped, n), *cleared = take(c, dcleared, n),
          *clamped = take(c, dclamped, n);
    for (size_t i = 0; i < n; i++) {
        expected[i] = (double)cap * tanh((double)x[i] / (double)cap), sizes[i] = (double)cap;
        assert_true(cleared[i] == 0);
        assert_true(isnan(x[i]) ? isnan(clamped[i]) : clamped[i] == fmaxf(-cap, fminf(cap, x[i])));
        if (i != n / 2) assert_true(scaled[i] == x[i] * factor);
        if (i == n / 2) expected[i] = (double)capped[i];
    }
    compare("softcap", capped, expected, sizes, n, bound(c, 2e-7, 7e-7));
    free(x), free(expected), free(sizes), free(scaled), free(capped), free(cleared), free(clamped);
}

void elementwise_cases(Checks *c) {
    const int cases = amount(c, (Amount){12, 12}, (Amount){6, 1}, (Amount){30, 3});
    for (int i = 0; i < cases; i++) {
        turn(c, i);
        const size_t n = between(c, 1, at(c, 90, 700, 70000));
        check_sums(c, n);
        check_scale(c, n);
        check_xielu(c, n);
        for (int f = 0; f < NONLINEARITY_COUNT; f++) check_activate(c, (Nonlinearity)f, n);
    }
    if (!c->thorough || c->place != ON_HOST) return;
    check_sums(c, 20011); // large enough for several threads
    for (int f = 0; f < NONLINEARITY_COUNT; f++) check_activate(c, (Nonlinearity)f, 40011);
}

// ---- Rows ----

static void check_split(Checks *c, size_t tokens, size_t groups, size_t width) {
    const size_t widths[3] = {1, width / 2, width - 1 - width / 2}, n = tokens * groups * width;
    float *x = random_floats(c, n, 1), *dx = put(c, x, n), *y[3];
    for (int p = 0; p < 3; p++) y[p] = put_nothing(c, tokens * groups * widths[p]);
    c->b->ops->split(c->b, dx, tokens, groups, widths, 3, y);
    for (size_t p = 0, from = 0; p < 3; from += widths[p++]) {
        float *part = take(c, y[p], tokens * groups * widths[p]);
        for (size_t g = 0; g < tokens * groups; g++)
            assert_memory_equal(part + g * widths[p], x + g * width + from, widths[p] * sizeof *x);
        free(part);
    }
    drop(c, dx, n);
    free(x);
}

// Three parts: one for every group, one for all groups of a token, zeros.
static void check_join(Checks *c, size_t tokens, size_t groups, size_t width) {
    const size_t widths[3] = {width / 2, 1, width - 1 - width / 2}, n = tokens * groups * width;
    const bool common[3] = {false, true, false};
    float *own = random_floats(c, n, 1), *shared = random_floats(c, tokens, 1);
    float *down = put(c, own, n), *dshared = put(c, shared, tokens), *dy = put_nothing(c, n);
    c->b->ops->join(c->b, (const float *const[]){down, dshared, NULL}, tokens, groups, widths, common, 3, dy);
    float *y = take(c, dy, n);
    for (size_t g = 0; g < tokens * groups; g++) {
        const float *row = y + g * width;
        assert_memory_equal(row, own + g * widths[0], widths[0] * sizeof *row);
        assert_true(row[widths[0]] == shared[g / groups]);
        for (size_t i = widths[0] + 1; i < width; i++) assert_true(row[i] == 0);
    }
    drop(c, down, n), drop(c, dshared, tokens);
    free(own), free(shared), free(y);
}

static void check_routing(Checks *c, size_t tokens, size_t width) {
    enum { ROUTED = 5 };
    const int32_t rows[ROUTED] = {(int32_t)tokens - 1, 0, 0, (int32_t)tokens / 2, 0};
    const float factors[ROUTED] = {0.5f, -2, 1, 3, 0.25f};
    const size_t n = tokens * width;
    float *x = random_floats(c, n, 2), *sum = random_floats(c, n, 1);
    double *expected = doubles(n), *sizes = doubles(n);
    for (size_t i = 0; i < n; i++) expected[i] = (double)sum[i], sizes[i] = fabs((double)sum[i]);
    for (size_t i = 0; i < ROUTED * width; i++) {
        const size_t to = (size_t)rows[i / width] * width + i % width;
        const double added = (double)factors[i / width] * (double)x[to];
        expected[to] += added, sizes[to] += fabs(added);
    }
    float *dx = put(c, x, n), *dy = put_nothing(c, ROUTED * width), *dsum = put(c, sum, n);
    c->b->ops->gather(c->b, dx, width, rows, ROUTED, dy);
    c->b->ops->scatter_add(c->b, dy, width, rows, factors, ROUTED, dsum);
    float *y = take(c, dy, ROUTED * width), *after = take(c, dsum, n);
    for (size_t i = 0; i < ROUTED; i++)
        assert_memory_equal(y + i * width, x + (size_t)rows[i] * width, width * sizeof *x);
    compare("scatter", after, expected, sizes, n, 4e-7);
    drop(c, dx, n);
    free(x), free(sum), free(expected), free(sizes), free(y), free(after);
}

static void check_gated_add(Checks *c, size_t rows, size_t width) {
    const size_t n = rows * width;
    float *gates = random_floats(c, rows, 4), *x = random_floats(c, n, 2), *y = random_floats(c, n, 1);
    double *expected = doubles(n), *sizes = doubles(n);
    gates[0] = -200; // closed
    for (size_t i = 0; i < n; i++) {
        const double added = (double)x[i] / (1 + exp(-(double)gates[i / width]));
        expected[i] = (double)y[i] + added, sizes[i] = fabs((double)y[i]) + fabs(added);
    }
    float *dgates = put(c, gates, rows), *dx = put(c, x, n), *dy = put(c, y, n);
    c->b->ops->gated_add(c->b, dgates, dx, rows, width, dy);
    float *after = take(c, dy, n);
    compare("gated add", after, expected, sizes, n, bound(c, 6e-7, 1e-6));
    drop(c, dgates, rows), drop(c, dx, n);
    free(gates), free(x), free(y), free(expected), free(sizes), free(after);
}

void row_cases(Checks *c) {
    const int cases = amount(c, (Amount){8, 4}, (Amount){6, 1}, (Amount){30, 3});
    for (int i = 0; i < cases; i++) {
        turn(c, i);
        const size_t tokens = between(c, 1, at(c, 6, 9, 40)), width = between(c, 3, at(c, 100, 600, 5000));
        check_split(c, tokens, 1 + (size_t)i % 3, width);
        check_join(c, tokens, 1 + (size_t)i % 3, width);
        check_routing(c, tokens, width);
        check_gated_add(c, tokens, width);
    }
}

// ---- Streams of a token ----

static void check_blend(Checks *c, size_t from, size_t to, size_t rows, size_t width) {
    const size_t plane = rows * width, n = to * plane;
    float *factors = random_floats(c, rows * to * from, 1), *x = random_floats(c, from * plane, 2),
          *y = random_floats(c, n, 1);
    double *expected = doubles(n), *sizes = doubles(n);
    for (size_t i = 0; i < n; i++) {
        const size_t at = i % plane, row = at / width;
        expected[i] = (double)y[i], sizes[i] = fabs((double)y[i]);
        for (size_t p = 0; p < from; p++) {
            const double added = (double)factors[(row * to + i / plane) * from + p] * (double)x[p * plane + at];
            expected[i] += added, sizes[i] += fabs(added);
        }
    }
    float *dfactors = put(c, factors, rows * to * from), *dx = put(c, x, from * plane), *dy = put(c, y, n);
    c->b->ops->blend_add(c->b, dfactors, dx, from, rows, width, dy, to);
    float *after = take(c, dy, n);
    compare("blend", after, expected, sizes, n, 6e-7);
    drop(c, dfactors, rows * to * from), drop(c, dx, from * plane);
    free(factors), free(x), free(y), free(expected), free(sizes), free(after);
}

// A row that is almost nothing is made no larger than if it had the least size.
static void check_match(Checks *c, size_t rows, size_t width) {
    const size_t n = rows * width;
    float *x = random_floats(c, n, 3), *like = random_floats(c, n, 2);
    double *expected = doubles(n);
    for (size_t i = 0; i < width; i++) x[i] *= 1e-5f;
    for (size_t r = 0; r < rows; r++) {
        const double own = mean_of_squares(x + r * width, width, 0),
                     other = mean_of_squares(like + r * width, width, 0);
        for (size_t i = r * width; i < (r + 1) * width; i++)
            expected[i] = (double)x[i] * sqrt(other / fmax(own, (double)1e-5f));
    }
    float *dx = put(c, x, n), *dlike = put(c, like, n);
    c->b->ops->match_size(c->b, dx, dlike, 1e-5f, rows, width);
    float *after = take(c, dx, n);
    compare_here(c, "match", after, expected, n, 1e-6, 1e-6);
    drop(c, dlike, n);
    free(x), free(like), free(expected), free(after);
}

static void check_cut(Checks *c, size_t rows, size_t width, float deviations) {
    const size_t n = rows * width;
    float *x = random_floats(c, n, 3);
    double *expected = doubles(n), *sizes = doubles(n);
    x[n / 2] = 40;
    for (size_t r = 0; r < rows; r++) {
        double mean = 0;
        for (size_t i = 0; i < width; i++) mean += (double)x[r * width + i] / (double)width;
        const double limit = mean + (double)deviations * sqrt(mean_of_squares(x + r * width, width, mean));
        for (size_t i = r * width; i < (r + 1) * width; i++)
            expected[i] = fmax(0, (double)x[i] - limit), sizes[i] = fabs((double)x[i]) + fabs(limit) + 1;
    }
    float *dx = put(c, x, n);
    c->b->ops->cut_below(c->b, dx, deviations, rows, width);
    float *after = take(c, dx, n);
    compare("cut", after, expected, sizes, n, 4e-7);
    free(x), free(expected), free(sizes), free(after);
}

void stream_cases(Checks *c) {
    const int cases = amount(c, (Amount){8, 4}, (Amount){6, 1}, (Amount){30, 3});
    for (int i = 0; i < cases; i++) {
        turn(c, i);
        const size_t rows = between(c, 1, at(c, 6, 9, 40)), width = between(c, 3, at(c, 100, 600, 5000));
        check_blend(c, 1 + (size_t)i % 4, 1 + (size_t)(i / 2) % 4, rows, width);
        check_match(c, rows, width);
        check_cut(c, rows, width, (float)(i % 3) - 0.5f);
    }
}

// ---- Rotations ----

static void check_rope(Checks *c, size_t tokens, int heads, int head_dim, int rotated, bool adjacent) {
    enum { FIRST = 3 };
    const size_t half = (size_t)rotated / 2, dim = (size_t)head_dim, row = (size_t)heads * dim, n = tokens * row,
                 table = (tokens + FIRST) * half;
    float *x = random_floats(c, n, 1), *cosine = random_floats(c, table, 1), *sine = random_floats(c, table, 1);
    double *expected = doubles(n), *sizes = doubles(n);
    for (size_t i = 0; i < n; i++) {
        const size_t d = i % dim, pair = adjacent ? d / 2 : d % (half ? half : 1), away = adjacent ? 1 : half,
                     turns = (FIRST + i / row) * half + pair;
        const bool is_low = adjacent ? d % 2 == 0 : d < half;
        double own = (double)x[i], other = 0;
        if (d < 2 * half) {
            own *= (double)cosine[turns];
            other = (double)sine[turns] * (is_low ? -(double)x[i + away] : (double)x[i - away]);
        }
        expected[i] = own + other, sizes[i] = d < 2 * half ? fabs(own) + fabs(other) : 0;
    }
    float *dx = put(c, x, n), *dcosine = put(c, cosine, table), *dsine = put(c, sine, table);
    c->b->ops->rope(c->b, dx, tokens, heads, head_dim, rotated, adjacent, dcosine, dsine, FIRST);
    float *y = take(c, dx, n);
    compare("rope", y, expected, sizes, n, 2e-7);
    drop(c, dcosine, table), drop(c, dsine, table);
    free(x), free(cosine), free(sine), free(expected), free(sizes), free(y);
}

void rope_cases(Checks *c) {
    const int cases = amount(c, (Amount){14, 14}, (Amount){6, 1}, (Amount){30, 3});
    for (int i = 0; i < cases; i++) {
        turn(c, i);
        const size_t half = between(c, 1, at(c, 40, 40, 70)), part = i % 2 ? half : between(c, 1, half);
        check_rope(c, between(c, 1, at(c, 5, 7, 40)), (int)between(c, 1, 5), 2 * (int)half, 2 * (int)part, i % 3 == 1);
    }
    if (c->thorough) check_rope(c, at(c, 80, 8, 80), 4, 64, 64, false);
}

// ---- Looking up ----

static void check_embed(Checks *c, DType dtype, size_t width, size_t tokens) {
    enum { ROWS = 20 };
    float *values = random_floats(c, ROWS * width, 1);
    void *block, *table = stored_as(dtype, values, ROWS * width, &block);
    int32_t *ids = array_new(tokens, sizeof *ids);
    assert_non_null(ids);
    for (size_t t = 0; t < tokens; t++) ids[t] = (int32_t)between(c, 0, ROWS - 1);
    const size_t first = between(c, 0, ROWS - tokens);
    float *dy = put_nothing(c, tokens * width), *dpositions = put_nothing(c, tokens * width);
    c->b->ops->embed(c->b, dtype, table, width, ids, tokens, dy);
    c->b->ops->embed_positions(c->b, dtype, table, width, first, tokens, dpositions);
    float *y = take(c, dy, tokens * width), *positions = take(c, dpositions, tokens * width);
    for (size_t t = 0; t < tokens; t++)
        assert_memory_equal(y + t * width, values + (size_t)ids[t] * width, width * sizeof *y);
    assert_memory_equal(positions, values + first * width, tokens * width * sizeof *y);
    free(values), free(block), free(ids), free(y), free(positions);
}

void embed_cases(Checks *c) {
    const int cases = amount(c, (Amount){12, 12}, (Amount){6, 3}, (Amount){30, 3});
    for (int i = 0; i < cases; i++) {
        turn(c, i);
        check_embed(c, (DType)(i % 3), between(c, 1, at(c, 80, 300, 5000)), between(c, 1, at(c, 4, 9, 20)));
    }
}

// ---- Choosing ----

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

// At random temperatures, shares and points the token is that of the reference. That one is right by the formulas is
// tested elsewhere (test_sampling.c).
static void check_choose(Checks *c, size_t rows, size_t vocab) {
    static const float temperatures[] = {0, 1, 0.7f, 0.01f, 25, 1e-44f, INFINITY},
                       top_ps[] = {1, 0.9f, 0.5f, 0.999f, 0.05f, 0, NAN};
    float *logits = odd_logits(c, rows, vocab), *probabilities[2] = {host_floats(rows), host_floats(rows)};
    int32_t *ids[2] = {array_new(rows, sizeof *ids), array_new(rows, sizeof *ids)};
    double *points = doubles(rows), *expected = doubles(rows);
    float *device = put(c, logits, rows * vocab);
    assert_true(ids[0] && ids[1]);
    for (size_t r = 0; r < rows; r++) points[r] = between(c, 0, 5) ? random_uniform(&c->random) : 0;
    const Draw draw = {temperatures[between(c, 0, 6)], top_ps[between(c, 0, 6)], points};
    c->reference->ops->choose(c->reference, logits, rows, vocab, &draw, ids[0], probabilities[0]);
    c->b->ops->choose(c->b, device, rows, vocab, &draw, ids[1], probabilities[1]);
    for (size_t r = 0; r < rows; r++) {
        expected[r] = (double)probabilities[0][r];
        if (ids[0][r] != ids[1][r])
            fail_msg("row %zu of %zu, %zu logits, temperature %g, top_p %g, point %.17g: %d, not %d", r, rows, vocab,
                     (double)draw.temperature, (double)draw.top_p, points[r], (int)ids[1][r], (int)ids[0][r]);
    }
    compare("probabilities", probabilities[1], expected, NULL, rows, bound(c, 0, 2e-7));
    drop(c, device, rows * vocab);
    for (int i = 0; i < 2; i++) free(ids[i]), free(probabilities[i]);
    free(logits), free(points), free(expected);
}

// Blocks of few threads and of many, and more rows than one launch takes.
void choose_cases(Checks *c) {
    const int cases = amount(c, (Amount){40, 10}, (Amount){300, 14}, (Amount){300, 30});
    for (int i = 0; i < cases; i++) {
        turn(c, i);
        const size_t seldom = at(c, 5000, c->thorough ? 6000 : 2500, 160000);
        check_choose(c, between(c, 1, at(c, 4, 4, 40)), between(c, 1, i % 10 ? at(c, 400, 400, 5000) : seldom));
    }
    check_choose(c, 2 * 32 + 5, 3);
    for (int i = 0; i < (c->thorough ? 3 : 1); i++) check_choose(c, 1, c->thorough ? 150001 : 30001);
}

// ---- Measuring ----

static void check_measure(Checks *c, size_t tokens, size_t width) {
    float *x = random_floats(c, tokens * width, 5);
    uint64_t *patterns = array_new(65536, sizeof *patterns), *expected = array_new(65536, sizeof *expected);
    float *channels = host_floats(width), *wanted = host_floats(width), *rows = host_floats(tokens),
          *row = host_floats(tokens);
    assert_true(patterns && expected);
    uint32_t *counted = array_new(width, sizeof *counted), *counts_wanted = array_new(width, sizeof *counts_wanted);
    assert_true(counted && counts_wanted);
    x[width / 2] = 400; // stands out in wide tokens
    counted[0] = counts_wanted[0] = 9;
    patterns[77] = expected[77] = (uint64_t)1 << 40;
    channels[0] = wanted[0] = 100;
    float *device = put(c, x, tokens * width);
    const ActivationCounts counts = {patterns, channels, counted, rows};
    Error err = {0};
    if (!c->b->ops->measure(c->b, device, tokens, width, &counts, &err)) fail_msg("%s", err.message);
    count_patterns(DTYPE_F32, x, tokens * width, expected);
    absmax_update(x, tokens, width, wanted, row);
    count_standing_out(x, tokens, width, row, counts_wanted);
    assert_memory_equal(patterns, expected, 65536 * sizeof *patterns);
    assert_memory_equal(channels, wanted, width * sizeof *wanted);
    assert_memory_equal(rows, row, tokens * sizeof *row);
    assert_memory_equal(counted, counts_wanted, width * sizeof *counted);
    free(counted), free(counts_wanted);
    drop(c, device, tokens * width);
    free(x), free(patterns), free(expected), free(channels), free(wanted), free(rows), free(row);
}

void measure_cases(Checks *c) {
    if (!c->b->ops->measure) return;
    const int cases = amount(c, (Amount){4, 4}, (Amount){4, 4}, (Amount){30, 3});
    for (int i = 0; i < cases; i++)
        check_measure(c, between(c, 1, at(c, 20, 20, 100)), between(c, 1, at(c, 300, 300, 3000)));
}
