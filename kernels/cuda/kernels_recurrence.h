// What layers remember. A thread owns a channel of a convolution, or a column of a head's matrix, and goes through the
// tokens of its sequence: no thread waits for another, and many tokens give the bits that single ones give.
#pragma once

#include "kernels/cuda/kernels_common.h"

// ---- Convolution ----

// Input `place` of a channel, counted from the first token. x and tail begin with this channel and sequence.
DEVICE float convolved_input(const ConvolveArguments *a, const float *x, const float *tail, int first, int place) {
    if (place >= 0) return x[(size_t)place * a->channels];
    return first == 0 ? 0 : tail[(size_t)(place + a->taps - 1) * a->channels];
}

KERNEL(convolve_kernel, FLAT_THREADS, ConvolveArguments) {
    const int first = position_of(&a.first);
    for (size_t n = FLAT_INDEX; n < (size_t)a.sequences * a.channels; n += FLAT_STRIDE) {
        const size_t channel = n % a.channels, sequence = n / a.channels,
                     begin = sequence * a.tokens * a.channels + channel;
        float *tail = a.tail + sequence * a.stride + channel;
        for (int t = 0; t < a.tokens; t++) {
            float sum = a.bias ? a.bias[channel] : 0;
            for (int tap = 0; tap < a.taps; tap++)
                sum += a.weight[(size_t)tap * a.channels + channel] *
                       convolved_input(&a, a.x + begin, tail, first, t + tap - a.taps + 1);
            a.y[begin + (size_t)t * a.channels] = a.silu ? sum / (1 + expf(-sum)) : sum;
        }
        for (int i = 0; i + 1 < a.taps; i++) // ascending: each is read before it is overwritten
            tail[(size_t)i * a.channels] = convolved_input(&a, a.x + begin, tail, first, a.tokens + i - a.taps + 1);
    }
}

// ---- Matrices ----

enum { RECUR_THREADS = 64 };

DEVICE float squares_of(const float *x, int n) {
    float sum = 0;
    for (int i = 0; i < n; i++) sum = fmaf(x[i], x[i], sum);
    return sum;
}

// One token. q, k [key_dim]; v and y of this column; the rows of its state are `value_dim` apart.
DEVICE void recur_token(const RecurArguments *a, size_t row, int head, const float *v, float *state, float *y) {
    const size_t own = row * a->heads + head, at = (row * a->key_heads + head / (a->heads / a->key_heads)) * a->key_dim;
    const float *q = a->q + at, *k = a->k + at, step = a->steps[own] + a->offset[head];
    const float t = step > 20 ? step : log1pf(expf(step)), decay = expf(a->decay[head] * t);
    float q_factor = 1, k_factor = 1, known = 0, given = 0;
    if (a->rates) {
        q_factor = 1 / sqrtf((squares_of(q, a->key_dim) + 1e-6f) * (float)a->key_dim);
        k_factor = 1 / sqrtf(squares_of(k, a->key_dim) + 1e-6f);
    }
    for (int i = 0; a->rates && i < a->key_dim; i++)
        known = fmaf(k[i] * k_factor, decay * state[(size_t)i * a->value_dim], known);
    const float added = (a->rates ? 1 / (1 + expf(-a->rates[own])) : t) * (*v - known);
    for (int i = 0; i < a->key_dim; i++) {
        float *number = state + (size_t)i * a->value_dim;
        *number = fmaf(k[i] * k_factor, added, decay * *number);
        given = fmaf(q[i] * q_factor, *number, given);
    }
    *y = given + (a->skip ? a->skip[head] * *v : 0);
}

// A block takes RECUR_THREADS columns of a head.
KERNEL(recur_kernel, RECUR_THREADS, RecurArguments) {
    const int head = blockIdx.x % a.heads, sequence = blockIdx.x / a.heads,
              column = blockIdx.y * RECUR_THREADS + threadIdx.x;
    if (column >= a.value_dim) return;
    float *state = a.state + sequence * a.stride + (size_t)head * a.key_dim * a.value_dim + column;
    for (int i = 0; position_of(&a.first) == 0 && i < a.key_dim; i++) state[(size_t)i * a.value_dim] = 0;
    for (int t = 0; t < a.tokens; t++) {
        const size_t row = (size_t)sequence * a.tokens + t, at = (row * a.heads + head) * a.value_dim + column;
        recur_token(&a, row, head, a.v + at, state, a.y + at);
    }
}

static int launch_convolve(void *stream, const ConvolveArguments *a) {
    return LAUNCH(convolve_kernel, flat_extent((size_t)a->sequences * a->channels), FLAT_THREADS, 0, stream, a);
}
static int launch_recur(void *stream, const RecurArguments *a) {
    const unsigned tiles = (unsigned)(a->value_dim + RECUR_THREADS - 1) / RECUR_THREADS;
    return LAUNCH(recur_kernel, extent((unsigned)a->sequences * a->heads, tiles, 1), RECUR_THREADS, 0, stream, a);
}
