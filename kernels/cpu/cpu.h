// What the files of the CPU backend share.
#pragma once

#include <stdalign.h>
#include <stdatomic.h>

#include "kernels/backend.h"
#include "kernels/host/kernels.h"

typedef struct DenseLibrary DenseLibrary;

// The next piece of one thread's share of a product; a cache line of its own.
typedef struct ThreadShare {
    alignas(64) atomic_size_t next;
} ThreadShare;

typedef struct CpuBackend {
    Backend base;
    const HostKernels *kernels;
    int threads;
    ThreadShare *shares;   // [threads]
    DenseLibrary *library; // oneDNN; NULL when it is not there or not wanted
    char description[40];
    // Working memory of linears and attention. It grows when weights and caches are made, since operations cannot fail.
    void *scratch;
    size_t scratch_bytes;
} CpuBackend;

static inline CpuBackend *cpu_of(Backend *backend) { return (CpuBackend *)(void *)backend; }

// Makes the working memory at least `bytes`; false when memory is short.
bool cpu_reserve(CpuBackend *cpu, size_t bytes, Error *err);

// How many threads to use for work that reads `bytes` of memory and does about `steps` multiplications: all, or one.
// Waking the others costs microseconds while they still spin, and far more when the machine is busy with something
// else.
int cpu_threads_for(const CpuBackend *cpu, size_t bytes, size_t steps);

// Part `part` of `parts` of n items, in whole `unit`s.
static inline void cpu_share(size_t n, size_t unit, int parts, int part, size_t *from, size_t *to) {
    size_t units = (n + unit - 1) / unit;
    *from = units * (size_t)part / (size_t)parts * unit;
    *to = units * ((size_t)part + 1) / (size_t)parts * unit;
    if (*to > n) *to = n;
    if (*from > n) *from = n;
}

// Weights (linear.c, quantize.c) and their products (product.c).
bool cpu_weight_dense(Backend *, DType, const void *data, size_t out, size_t in, const float *bias, Precision,
                      Weight **, Error *);
bool cpu_weight_quantized(Backend *, const QuantizedWeight *, const ActivationScheme *, const float *bias, Precision,
                          Weight **, Error *);
bool cpu_weight_from_dense(Backend *, const Weight *dense, const WeightQuantizing *, const ActivationScheme *,
                           const float *bias, double *errors, Weight **, Error *);
void cpu_weight_free(Backend *, Weight *);
size_t cpu_weight_bytes(const Weight *);
void cpu_linear(Backend *, const Weight *, const float *x, size_t tokens, float *y);
void cpu_linears(Backend *, const Weight *const *, size_t count, const float *x, size_t tokens, float *const *y);

// Cache and attention (attention.c).
bool cpu_cache_new(Backend *, int layers, size_t sequences, int kv_heads, int head_dim, size_t positions, DType,
                   Cache **, Error *);
void cpu_cache_free(Backend *, Cache *);
void cpu_cache_write(Backend *, Cache *, int layer, size_t first, size_t tokens, const float *k, const float *v);
void cpu_cache_follow(Backend *, Cache *, const int32_t *from, size_t positions);
void cpu_attention(Backend *, const Cache *, int layer, const AttentionShape *, const float *q, size_t first,
                   size_t tokens, float *y);

// What a layer does between linears, beside what is in backend_cpu.c (between.c).
void cpu_layer_norm(Backend *, const float *x, const float *gain, const float *bias, size_t gains, float eps,
                    size_t tokens, size_t width, float *y);
void cpu_activate(Backend *, Nonlinearity, const float *x, const float *up, size_t n, float *y);
void cpu_xielu(Backend *, const Xielu *, const float *x, size_t n, float *y);
void cpu_scale(Backend *, float *x, float factor, size_t n);
void cpu_softcap(Backend *, float *x, float cap, size_t n);
void cpu_clamp(Backend *, float *x, float limit, size_t n);
void cpu_join(Backend *, const float *const *x, size_t tokens, size_t groups, const size_t *widths, const bool *common,
              int parts, float *y);
void cpu_split(Backend *, const float *x, size_t tokens, size_t groups, const size_t *widths, int parts,
               float *const *y);
void cpu_gather(Backend *, const float *x, size_t width, const int32_t *rows, size_t n, float *y);
void cpu_gated_add(Backend *, const float *gates, const float *x, size_t rows, size_t width, float *y);
void cpu_blend_add(Backend *, const float *coefficients, const float *x, size_t from, size_t rows, size_t width,
                   float *y, size_t to);
void cpu_match_size(Backend *, float *x, const float *like, float least, size_t rows, size_t width);
void cpu_cut_below(Backend *, float *x, float deviations, size_t rows, size_t width);
void cpu_scatter_add(Backend *, const float *x, size_t width, const int32_t *rows, const float *factors, size_t n,
                     float *y);

// What layers remember (recurrence.c).
void cpu_convolve(Backend *, const ConvolutionShape *, const float *x, size_t first, size_t tokens, float *tail,
                  float *y);
void cpu_recur(Backend *, const RecurrenceShape *, const float *q, const float *k, const float *v, const float *steps,
               const float *rates, size_t first, size_t tokens, float *state, float *y);

// A token for each row of logits (sampling.c).
void cpu_choose(Backend *, const float *logits, size_t rows, size_t vocab, const Draw *, int32_t *ids,
                float *probabilities);

// Products of many tokens with 16-bit weights by oneDNN (dense_onednn.c). All may be called on several backends at
// once.
DenseLibrary *dense_library_new(int threads); // NULL when there is none, or none that helps on this processor
void dense_library_free(DenseLibrary *);
// y [tokens, out] = x W' + bias, W [out, in]; x and w are BF16, y float. False when it could not be done; then use
// another way.
bool dense_library_product(DenseLibrary *, const void *w, size_t out, size_t in, const float *bias, const uint16_t *x,
                           size_t tokens, float *y);
