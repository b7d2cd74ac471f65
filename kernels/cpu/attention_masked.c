// Attention that is more than causal: windows, capped scores, biases by position.
#include <math.h>
#include <string.h>

#include "kernels/cpu/cpu.h"

// First position that the tile's first token, which sees the farthest back, can see.
static size_t first_seen(size_t position, int window) {
    return window > 0 && position + 1 > (size_t)window ? position + 1 - (size_t)window : 0;
}

// scores [n] → e^(score − max), in place; returns their sum.
static float softmax(float *scores, size_t n) {
    float most = -INFINITY, sum = 0;
    for (size_t i = 0; i < n; i++) most = scores[i] > most ? scores[i] : most;
    for (size_t i = 0; i < n; i++) sum += scores[i] = expf(scores[i] - most);
    return sum;
}

// Products of one query with the keys of positions from … → what softmax takes.
static void adjust(const AttentionShape *shape, const float *key_scales, const float *bias, float *scores, size_t n) {
    for (size_t i = 0; key_scales && i < n; i++) scores[i] *= key_scales[i];
    for (size_t i = 0; shape->softcap > 0 && i < n; i++) scores[i] = shape->softcap * tanhf(scores[i] / shape->softcap);
    for (size_t i = 0; bias && i < n; i++) scores[i] += bias[i];
}

// y = Σ weights[i] · V[from + i] / sum; row: [head_dim]
static void mix(const CpuKernels *kernels, const AttentionTile *a, size_t from, const float *weights, size_t n,
                float sum, float *row, float *y) {
    const size_t dim = a->head_dim, bytes = dim * dtype_bytes(a->dtype);
    memset(y, 0, dim * sizeof *y);
    for (size_t i = 0; i < n; i++) {
        kernels->widen(a->dtype, (const char *)a->values + (from + i) * bytes, dim, row);
        for (size_t j = 0; j < dim; j++) y[j] += weights[i] * row[j];
    }
    for (size_t j = 0; j < dim; j++) y[j] /= sum;
}

void attention_masked(const CpuKernels *kernels, const AttentionTile *a, const AttentionShape *shape,
                      const float *bias) {
    const size_t dim = a->head_dim;
    float *q = a->scratch, *scores = q + dim, *row = scores + a->first + a->tokens;
    for (size_t n = 0; n < a->tokens * a->heads; n++) {
        size_t token = n / a->heads, head = n % a->heads, at = token * a->stride + head * dim;
        size_t position = a->first + token, from = first_seen(position, shape->window), seen = position + 1 - from;
        for (size_t i = 0; i < dim; i++) q[i] = a->q[at + i] * a->scale;
        DenseProduct product = {.dtype = a->dtype,
                                .w = (const char *)a->keys + from * dim * dtype_bytes(a->dtype),
                                .in = dim,
                                .x = q,
                                .tokens = 1,
                                .x_stride = dim,
                                .y = scores,
                                .y_stride = seen};
        kernels->dense(&product, 0, seen);
        adjust(shape, a->key_scales ? a->key_scales + from : NULL,
               bias ? bias + head * shape->bias_stride + from : NULL, scores, seen);
        float sum = softmax(scores, seen);
        for (size_t i = 0; a->value_scales && i < seen; i++) scores[i] *= a->value_scales[from + i];
        mix(kernels, a, from, scores, seen, sum, row, a->y + at);
    }
}
