// What layers remember: convolutions, and matrices of heads. Each case is two calls, of which the second goes on where
// the first ended; before the first there is NaN wherever something may be remembered.
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/array.h"
#include "tests/support/backend_buffers.h"

enum { GAP = 3 }; // floats between what two sequences remember

// How rows lie: those of the sequences of the first call, then those of the second.
typedef struct Calls {
    size_t sequences, before, tokens;
} Calls;

static size_t rows_of(const Calls *c) { return c->sequences * (c->before + c->tokens); }

static size_t row_at(const Calls *c, size_t sequence, size_t position) {
    if (position < c->before) return sequence * c->before + position;
    return c->sequences * c->before + sequence * c->tokens + position - c->before;
}

static Calls random_calls(Checks *c, int i) {
    return (Calls){between(c, 1, 3), i % 3 ? between(c, 1, at(c, 9, 5, 40)) : 0, between(c, 1, at(c, 9, 5, 40))};
}

// ---- Convolutions ----

// The sum of one channel at one position; *size: of what is added. bias may be NULL.
static double convolved(const Calls *calls, const float *x, const float *weight, const float *bias, size_t channels,
                        size_t taps, size_t sequence, size_t position, size_t channel, double *size) {
    double sum = bias ? (double)bias[channel] : 0;
    *size = fabs(sum);
    for (size_t back = 0; back < taps && back <= position; back++) {
        const double added = (double)weight[(taps - 1 - back) * channels + channel] *
                             (double)x[row_at(calls, sequence, position - back) * channels + channel];
        sum += added;
        *size += fabs(added);
    }
    return sum;
}

static void check_convolved(Checks *c, const Calls *calls, const float *x, const float *weight, const float *bias,
                            size_t channels, size_t taps, bool silu, const float *y) {
    const size_t n = rows_of(calls) * channels;
    double *expected = doubles(n), *sizes = doubles(n);
    for (size_t i = 0; i < n; i++) {
        const size_t each = calls->before + calls->tokens, place = i / channels, channel = i % channels,
                     to = row_at(calls, place / each, place % each) * channels + channel;
        const double sum =
            convolved(calls, x, weight, bias, channels, taps, place / each, place % each, channel, &sizes[to]);
        expected[to] = silu ? sum / (1 + exp(-sum)) : sum;
    }
    compare("convolution", y, expected, sizes, n, bound(c, 6e-7, 2e-6));
    free(expected), free(sizes);
}

static void check_convolve(Checks *c, const Calls *calls, size_t channels, size_t taps, bool silu, bool biased) {
    const size_t n = rows_of(calls) * channels, stride = (taps - 1) * channels + GAP,
                 first = calls->sequences * calls->before * channels;
    float *x = random_floats(c, n, 1), *weight = random_floats(c, taps * channels, 1),
          *bias = biased ? random_floats(c, channels, 1) : NULL;
    float *dx = put(c, x, n), *dweight = put(c, weight, taps * channels), *dbias = put(c, bias, channels),
          *tail = put_nothing(c, calls->sequences * stride), *dy = put_nothing(c, n), *used = taps > 1 ? tail : NULL;
    const ConvolutionShape shape = {.sequences = calls->sequences,
                                    .channels = channels,
                                    .taps = taps,
                                    .weight = dweight,
                                    .bias = dbias,
                                    .silu = silu,
                                    .stride = stride};
    if (calls->before) c->b->ops->convolve(c->b, &shape, dx, 0, calls->before, used, dy);
    c->b->ops->convolve(c->b, &shape, dx + first, calls->before, calls->tokens, used, dy + first);
    float *y = take(c, dy, n), *kept = take(c, tail, calls->sequences * stride);
    check_convolved(c, calls, x, weight, bias, channels, taps, silu, y);
    for (size_t i = 0; i < calls->sequences * GAP; i++)
        assert_true(isnan(kept[i / GAP * stride + stride - GAP + i % GAP]));
    drop(c, dx, n), drop(c, dweight, taps * channels), drop(c, dbias, channels);
    free(x), free(weight), free(bias), free(y), free(kept);
}

// ---- Matrices ----

typedef struct Heads {
    size_t heads, key_heads, key_dim, value_dim;
    bool delta, skips;
} Heads;

// On the host, for all rows; rates and skip may be NULL.
typedef struct HeadNumbers {
    float *q, *k, *v, *steps, *rates, *decay, *offset, *skip;
} HeadNumbers;

static double root_of_squares(const float *x, size_t n) {
    double sum = 1e-6;
    for (size_t i = 0; i < n; i++) sum += (double)x[i] * (double)x[i];
    return sqrt(sum);
}

// One token of one head: S [key_dim, value_dim], y [value_dim].
static void remember(const Heads *h, const HeadNumbers *x, size_t row, size_t head, double *s, double *y) {
    const size_t own = row * h->heads + head,
                 at_key = (row * h->key_heads + head / (h->heads / h->key_heads)) * h->key_dim;
    const float *q = x->q + at_key, *k = x->k + at_key, *v = x->v + own * h->value_dim;
    const double t = log1p(exp((double)x->steps[own] + (double)x->offset[head])),
                 rate = h->delta ? 1 / (1 + exp(-(double)x->rates[own])) : t,
                 q_size = h->delta ? root_of_squares(q, h->key_dim) * sqrt((double)h->key_dim) : 1,
                 k_size = h->delta ? root_of_squares(k, h->key_dim) : 1;
    for (size_t i = 0; i < h->key_dim * h->value_dim; i++) s[i] *= exp((double)x->decay[head] * t);
    for (size_t j = 0; j < h->value_dim; j++) {
        double known = 0, given = h->skips ? (double)x->skip[head] * (double)v[j] : 0;
        for (size_t i = 0; h->delta && i < h->key_dim; i++) known += s[i * h->value_dim + j] * (double)k[i] / k_size;
        for (size_t i = 0; i < h->key_dim; i++) {
            s[i * h->value_dim + j] += (double)k[i] / k_size * rate * ((double)v[j] - known);
            given += s[i * h->value_dim + j] * (double)q[i] / q_size;
        }
        y[j] = given;
    }
}

static void check_remembered(Checks *c, const Calls *calls, const Heads *h, const HeadNumbers *x, const float *y) {
    const size_t n = rows_of(calls) * h->heads * h->value_dim, matrix = h->key_dim * h->value_dim;
    double *expected = doubles(n), *sizes = doubles(n), largest = 0;
    for (size_t one = 0; one < calls->sequences * h->heads; one++) {
        double *s = doubles(matrix);
        for (size_t p = 0; p < calls->before + calls->tokens; p++) {
            const size_t row = row_at(calls, one / h->heads, p);
            remember(h, x, row, one % h->heads, s, expected + (row * h->heads + one % h->heads) * h->value_dim);
        }
        free(s);
    }
    for (size_t i = 0; i < n; i++) largest = fmax(largest, fabs(expected[i]));
    for (size_t i = 0; i < n; i++) sizes[i] = largest;
    compare("matrices of heads", y, expected, sizes, n, bound(c, 2e-6, 4e-6));
    free(expected), free(sizes);
}

static void check_recur(Checks *c, const Calls *calls, const Heads *h) {
    const size_t rows = rows_of(calls), first = calls->sequences * calls->before, keys = h->key_heads * h->key_dim,
                 values = h->heads * h->value_dim, stride = h->heads * h->key_dim * h->value_dim + GAP;
    const HeadNumbers x = {.q = random_floats(c, rows * keys, 1),
                           .k = random_floats(c, rows * keys, 1),
                           .v = random_floats(c, rows * values, 1),
                           .steps = random_floats(c, rows * h->heads, 1),
                           .rates = h->delta ? random_floats(c, rows * h->heads, 1) : NULL,
                           .decay = random_floats(c, h->heads, 1),
                           .offset = random_floats(c, h->heads, 1),
                           .skip = h->skips ? random_floats(c, h->heads, 1) : NULL};
    for (size_t i = 0; i < h->heads; i++) x.decay[i] = -fabsf(x.decay[i]);
    x.steps[0] = 40; // the softplus is the number itself
    float *q = put(c, x.q, rows * keys), *k = put(c, x.k, rows * keys), *v = put(c, x.v, rows * values),
          *steps = put(c, x.steps, rows * h->heads), *rates = put(c, x.rates, rows * h->heads),
          *decay = put(c, x.decay, h->heads), *offset = put(c, x.offset, h->heads), *skip = put(c, x.skip, h->heads),
          *state = put_nothing(c, calls->sequences * stride), *dy = put_nothing(c, rows * values);
    const RecurrenceShape shape = {.sequences = calls->sequences,
                                   .heads = h->heads,
                                   .key_heads = h->key_heads,
                                   .key_dim = h->key_dim,
                                   .value_dim = h->value_dim,
                                   .decay = decay,
                                   .offset = offset,
                                   .skip = skip,
                                   .stride = stride};
    if (first) c->b->ops->recur(c->b, &shape, q, k, v, steps, rates, 0, calls->before, state, dy);
    c->b->ops->recur(c->b, &shape, q + first * keys, k + first * keys, v + first * values, steps + first * h->heads,
                     rates ? rates + first * h->heads : NULL, calls->before, calls->tokens, state, dy + first * values);
    float *y = take(c, dy, rows * values), *kept = take(c, state, calls->sequences * stride);
    check_remembered(c, calls, h, &x, y);
    for (size_t i = 0; i < calls->sequences * GAP; i++)
        assert_true(isnan(kept[i / GAP * stride + stride - GAP + i % GAP]));
    drop(c, q, rows * keys), drop(c, k, rows * keys), drop(c, v, rows * values), drop(c, steps, rows * h->heads);
    drop(c, rates, rows * h->heads), drop(c, decay, h->heads), drop(c, offset, h->heads), drop(c, skip, h->heads);
    free(x.q), free(x.k), free(x.v), free(x.steps), free(x.rates), free(x.decay), free(x.offset), free(x.skip);
    free(y), free(kept);
}

void recurrence_cases(Checks *c) {
    const int cases = amount(c, (Amount){18, 6}, (Amount){8, 2}, (Amount){30, 4});
    for (int i = 0; i < cases; i++) {
        turn(c, i);
        const Calls calls = random_calls(c, i);
        const size_t shared = between(c, 1, 3);
        check_convolve(c, &calls, between(c, 1, at(c, 150, 300, 5000)), between(c, 1, 4), i % 2, i % 4 < 2);
        check_recur(c, &calls,
                    &(Heads){.heads = shared * (1 + (size_t)i % 2),
                             .key_heads = 1 + (size_t)i % 2,
                             .key_dim = between(c, 1, at(c, 24, 20, 130)),
                             .value_dim = between(c, 1, at(c, 80, 70, 200)),
                             .delta = i % 2 == 0,
                             .skips = i % 3 == 0});
    }
    if (c->thorough && c->place == ON_HOST) // large enough for several threads
        check_recur(c, &(Calls){2, 0, 9}, &(Heads){4, 2, 32, 70, true, false});
}
