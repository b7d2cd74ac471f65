// What layers remember: the last inputs of a convolution, and a matrix for each head. Threads share channels and
// columns, none of which depends on another.
#include <math.h>
#include <string.h>

#include "kernels/cpu/cpu.h"

enum { COLUMNS = 64 }; // channels or columns of a matrix that a thread takes at a time

static size_t at_most(size_t n, size_t most) { return n < most ? n : most; }

// ---- Convolution ----

// The input at a place counted from `first`; NULL: before the beginning.
static const float *input_at(const ConvolutionShape *s, const float *x, const float *tail, size_t first, long place) {
    if (place >= 0) return x + (size_t)place * s->channels;
    return first == 0 ? NULL : tail + (size_t)(place + (long)s->taps - 1) * s->channels;
}

// n channels of one token.
static void convolve_token(const HostKernels *kernels, const ConvolutionShape *s, const float *x, const float *tail,
                           size_t first, size_t token, size_t n, size_t channel, float *y) {
    float sum[COLUMNS] = {0};
    if (s->bias) memcpy(sum, s->bias + channel, n * sizeof *sum);
    for (size_t tap = 0; tap < s->taps; tap++) {
        const float *row = input_at(s, x, tail, first, (long)(token + tap) - (long)s->taps + 1),
                    *weight = s->weight + tap * s->channels + channel;
        for (size_t i = 0; row && i < n; i++) sum[i] += weight[i] * row[channel + i];
    }
    if (s->silu)
        kernels->activate(NONLINEARITY_SILU, sum, NULL, n, y);
    else
        memcpy(y, sum, n * sizeof *sum);
}

// Ascending: a row is read before it is overwritten.
static void keep_tail(const ConvolutionShape *s, const float *x, size_t first, size_t tokens, size_t n, size_t channel,
                      float *tail) {
    for (size_t i = 0; i + 1 < s->taps; i++) {
        const float *row = input_at(s, x, tail, first, (long)(tokens + i) - (long)s->taps + 1);
        float *to = tail + i * s->channels + channel;
        if (row)
            memmove(to, row + channel, n * sizeof *to);
        else
            memset(to, 0, n * sizeof *to);
    }
}

void cpu_convolve(Backend *backend, const ConvolutionShape *s, const float *x, size_t first, size_t tokens, float *tail,
                  float *y) {
    const CpuBackend *cpu = cpu_of(backend);
    const size_t blocks = (s->channels + COLUMNS - 1) / COLUMNS, items = s->sequences * blocks;
#pragma omp parallel for schedule(static) \
    num_threads(items > 1 ? cpu_threads_for(cpu, 0, s->sequences * tokens * s->channels * (s->taps + 20)) : 1)
    for (size_t item = 0; item < items; item++) {
        const size_t channel = item % blocks * COLUMNS, n = at_most(s->channels - channel, COLUMNS),
                     begin = item / blocks * tokens * s->channels;
        float *own = tail ? tail + item / blocks * s->stride : NULL;
        for (size_t t = 0; t < tokens; t++)
            convolve_token(cpu->kernels, s, x + begin, own, first, t, n, channel,
                           y + begin + t * s->channels + channel);
        if (own) keep_tail(s, x + begin, first, tokens, n, channel, own);
    }
}

// ---- Matrices ----

// What one head does with one token.
typedef struct HeadStep {
    const float *q, *k; // [key_dim]
    float q_factor, k_factor;
    float decay, rate;
    float skip;
    bool delta;
} HeadStep;

static float softplus(float x) { return x > 20 ? x : log1pf(expf(x)); }

static float squares(const float *x, size_t n) {
    float sum = 0;
    for (size_t i = 0; i < n; i++) sum += x[i] * x[i];
    return sum;
}

static HeadStep step_of(const RecurrenceShape *s, const float *q, const float *k, const float *steps,
                        const float *rates, size_t row, size_t head) {
    const size_t at = (row * s->key_heads + head / (s->heads / s->key_heads)) * s->key_dim, own = row * s->heads + head;
    const float t = softplus(steps[own] + s->offset[head]);
    HeadStep step = {.q = q + at,
                     .k = k + at,
                     .q_factor = 1,
                     .k_factor = 1,
                     .decay = expf(s->decay[head] * t),
                     .rate = t,
                     .skip = s->skip ? s->skip[head] : 0,
                     .delta = rates != NULL};
    if (!rates) return step;
    step.rate = 1 / (1 + expf(-rates[own]));
    step.q_factor = 1 / sqrtf((squares(step.q, s->key_dim) + 1e-6F) * (float)s->key_dim);
    step.k_factor = 1 / sqrtf(squares(step.k, s->key_dim) + 1e-6F);
    return step;
}

// n columns of the matrix of a head, whose rows are `width` apart.
static void step_columns(const HeadStep *s, size_t key_dim, size_t width, size_t n, const float *v, float *state,
                         float *y) {
    float known[COLUMNS] = {0}, given[COLUMNS] = {0};
    for (size_t i = 0; i < key_dim; i++) {
        const float k = s->k[i] * s->k_factor;
        float *row = state + i * width;
        for (size_t j = 0; j < n; j++) known[j] += k * (row[j] *= s->decay);
    }
    for (size_t j = 0; j < n; j++) known[j] = s->rate * (s->delta ? v[j] - known[j] : v[j]);
    for (size_t i = 0; i < key_dim; i++) {
        const float k = s->k[i] * s->k_factor, q = s->q[i] * s->q_factor;
        float *row = state + i * width;
        for (size_t j = 0; j < n; j++) given[j] += q * (row[j] += k * known[j]);
    }
    for (size_t j = 0; j < n; j++) y[j] = given[j] + s->skip * v[j];
}

void cpu_recur(Backend *backend, const RecurrenceShape *s, const float *q, const float *k, const float *v,
               const float *steps, const float *rates, size_t first, size_t tokens, float *state, float *y) {
    const CpuBackend *cpu = cpu_of(backend);
    const size_t blocks = (s->value_dim + COLUMNS - 1) / COLUMNS, heads = s->sequences * s->heads,
                 matrix = s->key_dim * s->value_dim, items = heads * blocks;
#pragma omp parallel for schedule(static) \
    num_threads(items > 1 ? cpu_threads_for(cpu, 0, 4 * heads * matrix * tokens) : 1)
    for (size_t item = 0; item < items; item++) {
        const size_t head = item / blocks % s->heads, sequence = item / blocks / s->heads,
                     column = item % blocks * COLUMNS, n = at_most(s->value_dim - column, COLUMNS);
        float *own = state + sequence * s->stride + head * matrix + column;
        for (size_t i = 0; first == 0 && i < s->key_dim; i++) memset(own + i * s->value_dim, 0, n * sizeof *own);
        for (size_t row = sequence * tokens; row < (sequence + 1) * tokens; row++) {
            const HeadStep step = step_of(s, q, k, steps, rates, row, head);
            const size_t at = (row * s->heads + head) * s->value_dim + column;
            step_columns(&step, s->key_dim, s->value_dim, n, v + at, own, y + at);
        }
    }
}
