// Checks of a backend against another one, the reference: the same operation on both, on random numbers, into poisoned
// outputs. For CUDA, on a device (tests/gpu) and emulated (test_cuda_emulated.c). A difference fails the running test.
#pragma once

#include "base/random.h"
#include "kernels/backend.h"

typedef struct Checks {
    Backend *reference, *device;
    Random random;
    const size_t *launches; // of the device so far; NULL where nobody counts
} Checks;

static inline size_t between(Checks *c, size_t least, size_t most) {
    return least + random_below(&c->random, (uint32_t)(most - least + 1));
}

typedef struct QuantizedCase {
    Grid grid;
    int bits;
    size_t out, in, group, tokens;
    ActivationMode mode;
    DType scale_dtype;
    float outlier; // one activation of every token is so many times larger
    Precision precision;
} QuantizedCase;

void check_dense(Checks *, DType, Precision, size_t out, size_t in, size_t tokens);
// Products of integers must be equal to the last bit, others within what summing in another order may change.
void check_quantized(Checks *, const QuantizedCase *);
// An operation as a recorded step, which is not run: no launch of it may be refused. The same of products of few and
// many tokens.
typedef void (*RecordedOperation)(Backend *, const void *context);
void check_recorded(Checks *, const char *what, RecordedOperation, const void *context);
void check_recorded_products(Checks *, const QuantizedCase *);
// Several linears of the same activations: the same as one by one, in fewer launches.
void check_linears(Checks *, size_t tokens, size_t in);
typedef struct MixtureCase {
    int experts, per_token;
    size_t tokens, hidden, inner;
    bool normalized, mixed; // mixed: experts of different formats, gate and up too
    ActivationMode mode;    // of the others
    bool dense;             // none is quantized
} MixtureCase;
// A mixture against its experts one by one, chosen on the host.
void check_mixture(Checks *, const MixtureCase *);
// One activation that is not finite shows in the results of its token, and in no other.
void check_not_finite(Checks *);
void check_weight_from_dense(Checks *, DType, int bits, size_t out, size_t in, size_t group, bool equalized);
void check_measure(Checks *, size_t tokens, size_t width);
void check_elementwise(Checks *, size_t n);
void check_rows(Checks *, size_t tokens, size_t width);
void check_rope(Checks *, size_t tokens, int heads, int head_dim, int rotated);
// Operations that a device may compute together: the same bits whether or not something comes in between. An addition
// and a norm, or an activation function, before a product; rotations before keys and values are stored.
void check_fused(Checks *, ActivationMode, size_t tokens, size_t in, size_t out);
void check_fused_ropes(Checks *, DType, size_t sequences, int heads, int kv_heads, int head_dim);
void check_embed(Checks *, DType, size_t width, size_t tokens);
// Tokens chosen at random temperatures, shares and points are those of the reference, ties and bad logits among them.
void check_choose(Checks *, size_t rows, size_t vocab);

typedef struct AttentionCase {
    int heads, kv_heads, head_dim, window;
    size_t sequences, tokens, before; // of each: tokens of the call, and those that the cache holds already
    DType dtype;
    float softcap;
    bool biased;
} AttentionCase;
void check_attention(Checks *, const AttentionCase *);
// Keys and values of one token that are not finite: those before it do not notice.
void check_attention_not_finite(Checks *, size_t tokens, DType, float bad);
