// What layers remember: each operation fills the arguments of its kernel.
#include "kernels/cuda/cuda.h"

void cuda_convolve(Backend *backend, const ConvolutionShape *s, const float *x, size_t first, size_t tokens,
                   float *tail, float *y) {
    CudaBackend *c = cuda_of(backend);
    const ConvolveArguments a = {.x = x,
                                 .weight = s->weight,
                                 .bias = s->bias,
                                 .tail = tail,
                                 .y = y,
                                 .stride = s->stride,
                                 .sequences = (int)s->sequences,
                                 .channels = (int)s->channels,
                                 .taps = (int)s->taps,
                                 .tokens = (int)tokens,
                                 .silu = s->silu,
                                 .first = cuda_position(c, first)};
    if (tokens == 0) return;
    cuda_written(c, y, s->sequences * tokens * s->channels * sizeof *y);
    if (cuda_ready(c)) cuda_check(c, c->runtime->launches->convolve(c->runtime->stream, &a), "a convolution");
}

void cuda_recur(Backend *backend, const RecurrenceShape *s, const float *q, const float *k, const float *v,
                const float *steps, const float *rates, size_t first, size_t tokens, float *state, float *y) {
    CudaBackend *c = cuda_of(backend);
    const RecurArguments a = {.q = q,
                              .k = k,
                              .v = v,
                              .steps = steps,
                              .rates = rates,
                              .decay = s->decay,
                              .offset = s->offset,
                              .skip = s->skip,
                              .state = state,
                              .y = y,
                              .stride = s->stride,
                              .sequences = (int)s->sequences,
                              .heads = (int)s->heads,
                              .key_heads = (int)s->key_heads,
                              .key_dim = (int)s->key_dim,
                              .value_dim = (int)s->value_dim,
                              .tokens = (int)tokens,
                              .first = cuda_position(c, first)};
    if (tokens == 0) return;
    cuda_written(c, y, s->sequences * tokens * s->heads * s->value_dim * sizeof *y);
    if (cuda_ready(c)) cuda_check(c, c->runtime->launches->recur(c->runtime->stream, &a), "what a layer remembers");
}
