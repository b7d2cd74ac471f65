#include "kernels/prove.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/random.h"
#include "kernels/host/measure.h"

const char *const kernel_family_names[] = {
    [KERNELS_INT8_WARPGROUPS] = "integer products by warpgroups",
    [KERNELS_CHAINS] = "products that blocks hand on",
    [KERNELS_INTEGER] = "integer products",
    [KERNELS_F16] = "products in 16-bit floats",
    [KERNELS_WARPGROUPS] = "products by warpgroups",
    [KERNELS_LIBRARY] = "products by the library",
    [KERNELS_DENSE] = "dense products",
    [KERNELS_ATTENTION] = "attention of many tokens",
    [KERNELS_FUSED] = "fused operations",
    [KERNELS_MIXTURE] = "mixtures of experts",
    [KERNELS_STEP] = "recorded steps",
    [KERNELS_EARLY] = "kernels that begin early",
    [KERNELS_MEASURE] = "statistics of activations",
};
static_assert(sizeof kernel_family_names / sizeof *kernel_family_names == KERNEL_FAMILIES, "a family has no name");

// ---- Running a case ----

#define RESULTS_MOST 65536
#define BUFFERS_MOST 24

// One case on one backend: the same numbers go in on every backend, and what comes out is collected.
typedef struct Run {
    Backend *b;
    Random random;
    void *buffers[BUFFERS_MOST];
    int buffer_count;
    float *results; // [RESULTS_MOST]
    size_t count;
    bool ok; // false: refused, or memory was short
    Error err;
} Run;

static float *host_numbers(Run *r, size_t n, double deviation) {
    float *x = array_new(n, sizeof *x);
    r->ok &= x != NULL;
    const double range = deviation * 2 * sqrt(3); // uniform: making numbers takes longer than the products
    for (size_t i = 0; x && i < n; i++) x[i] = (float)(range * (random_uniform(&r->random) - 0.5));
    return x;
}

static float *device_room(Run *r, size_t n) {
    float *x = r->buffer_count < BUFFERS_MOST ? r->b->ops->memory_new(r->b, n * sizeof *x, &r->err) : NULL;
    r->ok &= x != NULL;
    if (x) r->buffers[r->buffer_count++] = x;
    return x;
}

static float *device_numbers(Run *r, size_t n, double deviation) {
    float *host = host_numbers(r, n, deviation), *x = device_room(r, n);
    if (host && x) {
        r->b->ops->upload(r->b, x, host, n * sizeof *x);
        r->b->ops->synchronize(r->b);
    }
    free(host);
    return x;
}

static void collect(Run *r, const float *x, size_t n) {
    if (!r->ok) return;
    assert(r->count + n <= RESULTS_MOST);
    r->b->ops->download(r->b, r->results + r->count, x, n * sizeof *x);
    r->count += n;
}

static void collect_number(Run *r, double x) {
    assert(r->count < RESULTS_MOST);
    r->results[r->count++] = (float)x;
}

// ---- What every device must do ----

enum { ROWS = 5, WIDTH = 70 };

static void norms(Run *r) {
    float *x = device_numbers(r, ROWS * WIDTH, 2), *gain = device_numbers(r, WIDTH, 1),
          *bias = device_numbers(r, WIDTH, 1), *y = device_room(r, ROWS * WIDTH);
    if (!r->ok) return;
    r->b->ops->rms_norm(r->b, x, gain, 1e-5F, ROWS, WIDTH, y);
    collect(r, y, ROWS * WIDTH);
    r->b->ops->layer_norm(r->b, x, gain, bias, 1, 1e-5F, ROWS, WIDTH, y);
    collect(r, y, ROWS * WIDTH);
    r->b->ops->layer_norm(r->b, x, gain, bias, 2, 1e-5F, 2 * ROWS, WIDTH / 2, y); // of two heads
    collect(r, y, ROWS * WIDTH);
}

static void elements(Run *r) {
    float *x = device_numbers(r, WIDTH, 2), *up = device_numbers(r, WIDTH, 1), *y = device_room(r, WIDTH);
    if (!r->ok) return;
    const BackendOps *ops = r->b->ops;
    for (int f = 0; f < NONLINEARITY_COUNT; f++) {
        ops->activate(r->b, (Nonlinearity)f, x, up, WIDTH, y);
        collect(r, y, WIDTH);
    }
    ops->xielu(r->b, &(Xielu){0.8F, 1.3F, 0.5F}, x, WIDTH, y);
    collect(r, y, WIDTH);
    ops->silu_times(r->b, x, up, WIDTH, y);
    ops->add(r->b, y, up, WIDTH);
    ops->scale(r->b, y, 0.3F, WIDTH);
    ops->softcap(r->b, y, 1.5F, WIDTH);
    ops->clamp(r->b, y, 0.2F, WIDTH);
    collect(r, y, WIDTH);
}

static void positions(Run *r) {
    enum { TOKENS = 3, HEADS = 2, DIM = 12, ROTATED = 8, FIRST = 2 };
    const size_t n = (size_t)TOKENS * HEADS * DIM, table = (size_t)(FIRST + TOKENS) * ROTATED / 2;
    float *x = device_numbers(r, n, 1), *cosine = device_numbers(r, table, 1), *sine = device_numbers(r, table, 1);
    for (int adjacent = 0; r->ok && adjacent < 2; adjacent++) {
        r->b->ops->rope(r->b, x, TOKENS, HEADS, DIM, ROTATED, adjacent, cosine, sine, FIRST);
        collect(r, x, n);
    }
}

static void rows(Run *r) {
    const size_t widths[] = {30, WIDTH - 30};
    const int32_t chosen[] = {4, 0, 0};
    const float factors[] = {0.5F, -2, 1};
    const BackendOps *ops = r->b->ops;
    float *x = device_numbers(r, ROWS * WIDTH, 1), *gates = device_numbers(r, ROWS, 1),
          *y = device_room(r, ROWS * WIDTH),
          *parts[] = {device_room(r, ROWS * 30), device_room(r, ROWS * (WIDTH - 30))};
    if (!r->ok) return;
    ops->split(r->b, x, ROWS, 1, widths, 2, parts);
    ops->join(r->b, (const float *const[]){parts[1], parts[0]}, ROWS, 1, (const size_t[]){widths[1], widths[0]},
              (const bool[]){false, false}, 2, y);
    collect(r, y, ROWS * WIDTH);
    ops->gather(r->b, x, WIDTH, chosen, 3, y);
    ops->scatter_add(r->b, x, WIDTH, chosen, factors, 3, y);
    ops->gated_add(r->b, gates, x, ROWS, WIDTH, y);
    collect(r, y, ROWS * WIDTH);
    ops->blend_add(r->b, gates, x, 1, ROWS, WIDTH, y, 1);
    ops->match_size(r->b, y, x, 1e-5F, ROWS, WIDTH);
    ops->cut_below(r->b, y, 0.5F, ROWS, WIDTH);
    collect(r, y, ROWS * WIDTH);
}

static void choosing(Run *r) {
    enum { VOCAB = 300 };
    int32_t ids[2] = {0};
    float probabilities[2] = {0};
    float *logits = device_numbers(r, 2 * VOCAB, 3);
    if (!r->ok) return;
    r->b->ops->choose(r->b, logits, 2, VOCAB, &(Draw){.temperature = 0, .top_p = 1}, ids, probabilities);
    for (int i = 0; i < 2; i++) collect_number(r, ids[i]), collect_number(r, (double)probabilities[i]);
}

// `before` positions are in the cache already; of keys the rotated ones.
static void attend(Run *r, DType dtype, int heads, int dim, size_t before, size_t tokens) {
    enum { KV = 2 };
    const AttentionShape shape = {
        .heads = heads, .kv_heads = KV, .head_dim = dim, .scale = 1 / sqrtf((float)dim), .window = 30};
    const size_t kv = (before + tokens) * KV * (size_t)dim, n = tokens * (size_t)heads * (size_t)dim;
    const BackendOps *ops = r->b->ops;
    float *k = device_numbers(r, kv, 1), *v = device_numbers(r, kv, 1), *q = device_numbers(r, n, 1),
          *y = device_room(r, n);
    Cache *cache = NULL;
    r->ok = r->ok && ops->cache_new(r->b, 1, 1, KV, dim, before + tokens, dtype, &cache, &r->err);
    if (!r->ok) return;
    ops->cache_write(r->b, cache, 0, 0, before + tokens, k, v);
    ops->attention(r->b, cache, 0, &shape, q, before, tokens, y);
    collect(r, y, n);
    ops->cache_free(r->b, cache);
}

static void attention_of_one(Run *r) {
    attend(r, DTYPE_F16, 8, 64, 40, 1);
    attend(r, DTYPE_F32, 2, 80, 7, 1);
}

// Three sequences, of which two go on where others were; one token then looks at all that they hold.
static void following(Run *r) {
    enum { SEQUENCES = 3, KV = 2, DIM = 20, BEFORE = 5 };
    static const int32_t from[SEQUENCES] = {1, 1, 0};
    const AttentionShape shape = {.heads = KV, .kv_heads = KV, .head_dim = DIM, .scale = 1};
    const size_t token = (size_t)SEQUENCES * KV * DIM;
    const BackendOps *ops = r->b->ops;
    float *k = device_numbers(r, token * BEFORE, 1), *more = device_numbers(r, token, 1), *y = device_room(r, token);
    Cache *cache = NULL;
    r->ok = r->ok && ops->cache_new(r->b, 1, SEQUENCES, KV, DIM, BEFORE + 1, DTYPE_I8, &cache, &r->err);
    if (!r->ok) return;
    ops->cache_write(r->b, cache, 0, 0, BEFORE, k, k);
    ops->cache_follow(r->b, cache, from, BEFORE);
    ops->cache_write(r->b, cache, 0, BEFORE, 1, more, more);
    ops->attention(r->b, cache, 0, &shape, more, BEFORE, 1, y);
    collect(r, y, token);
    ops->cache_free(r->b, cache);
}

// Two calls of two sequences: by the delta rule, and what Mamba 2 remembers.
static void remembering(Run *r) {
    enum { SEQUENCES = 2, TOKENS = 3, KEY_HEADS = 2, HEADS = 4, KEY = 10, VALUE = 70, TAPS = 4 };
    const size_t rows = (size_t)SEQUENCES * TOKENS, keys = (size_t)KEY_HEADS * KEY, values = (size_t)HEADS * VALUE,
                 tail = (size_t)(TAPS - 1) * keys, stride = tail + (size_t)HEADS * KEY * VALUE;
    float *x = device_numbers(r, rows * keys, 1), *q = device_room(r, rows * keys),
          *k = device_numbers(r, rows * keys, 1), *v = device_numbers(r, rows * values, 1),
          *steps = device_numbers(r, rows * HEADS, 1), *weight = device_numbers(r, TAPS * keys, 1),
          *heads = device_numbers(r, HEADS, 1), *state = device_room(r, SEQUENCES * stride),
          *y = device_room(r, rows * values);
    const ConvolutionShape convolution = {SEQUENCES, keys, TAPS, weight, weight, true, stride};
    const RecurrenceShape recurrence = {SEQUENCES, HEADS, KEY_HEADS, KEY, VALUE, heads, heads, heads, stride};
    if (!r->ok) return;
    r->b->ops->scale(r->b, heads, -0.1F, HEADS);
    for (size_t call = 0; call < 4; call++) {
        r->b->ops->convolve(r->b, &convolution, x, call % 2 * TOKENS, TOKENS, state, q);
        r->b->ops->recur(r->b, &recurrence, q, k, v, steps, call < 2 ? steps : NULL, call % 2 * TOKENS, TOKENS,
                         state + tail, y);
        collect(r, y, rows * values);
    }
}

// F32, or BF16: the upper half of a float.
static void put_number(DType dtype, float value, void *stored, size_t i) {
    const float rounded = float_rounded(dtype, value);
    uint32_t bits;
    memcpy(&bits, &rounded, sizeof bits);
    if (dtype == DTYPE_BF16)
        ((uint16_t *)stored)[i] = (uint16_t)(bits >> 16);
    else
        ((float *)stored)[i] = value;
}

static void dense(Run *r, DType dtype, Precision precision, size_t tokens) {
    enum { OUT = 72, IN = 160 };
    float *w = host_numbers(r, (size_t)OUT * IN, 0.1), *x = device_numbers(r, tokens * IN, 1),
          *y = device_room(r, tokens * OUT);
    void *stored = array_new((size_t)OUT * IN, dtype_bytes(dtype));
    Weight *weight = NULL;
    for (size_t i = 0; w && stored && i < (size_t)OUT * IN; i++) put_number(dtype, w[i], stored, i);
    r->ok = r->ok && stored && r->b->ops->weight_dense(r->b, dtype, stored, OUT, IN, NULL, precision, &weight, &r->err);
    if (r->ok) {
        r->b->ops->linear(r->b, weight, x, tokens, y);
        collect(r, y, tokens * OUT);
        r->b->ops->weight_free(r->b, weight);
    }
    free(stored);
    free(w);
}

static void dense_of_few(Run *r) {
    dense(r, DTYPE_F32, PRECISION_F32, 3);
    dense(r, DTYPE_BF16, PRECISION_F32, 1);
}

// Codes are seen in a product of rounded activations.
static void quantize(Run *r, const WeightQuantizing *how, size_t in) {
    enum { OUT = 9 };
    const ActivationScheme scheme = {.mode = ACTIVATION_TOKEN};
    double errors[2 * OUT] = {0};
    float *w = host_numbers(r, OUT * in, 0.1), *x = device_numbers(r, in, 1), *y = device_room(r, OUT);
    Weight *from = NULL, *made = NULL;
    r->ok = r->ok && r->b->ops->weight_dense(r->b, DTYPE_F32, w, OUT, in, NULL, PRECISION_F32, &from, &r->err) &&
            r->b->ops->weight_from_dense(r->b, from, how, &scheme, NULL, errors, &made, &r->err);
    for (int i = 0; r->ok && i < 2 * OUT; i++) collect_number(r, errors[i]);
    if (r->ok) r->b->ops->linear(r->b, made, x, 1, y);
    collect(r, y, OUT);
    if (made) r->b->ops->weight_free(r->b, made);
    if (from) r->b->ops->weight_free(r->b, from);
    r->b->ops->synchronize(r->b);
    free(w);
}

// At all bits; groups within a slab of columns and wider ones; and what goes one weight after the other.
static void quantizing(Run *r) {
    static const WeightQuantizing ways[] = {
        {.bits = 4, .group = 64, .scale_dtype = DTYPE_F16},  {.bits = 2, .group = 32, .scale_dtype = DTYPE_F16},
        {.bits = 3, .group = 128, .scale_dtype = DTYPE_F16}, {.bits = 8, .group = 256, .scale_dtype = DTYPE_BF16},
        {.bits = 4, .group = 64, .scale_dtype = DTYPE_F32},
    };
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) quantize(r, &ways[i], 256);
}

// ---- Integer products ----

typedef struct IntegerCase {
    int bits;
    size_t group; // 0: the whole row
    Grid grid;
    ActivationMode mode;
    Precision precision;
} IntegerCase;

// Long rows have more slabs of columns than there are stages for them, so that those go round; but not so many that
// blocks share them.
enum { INTEGER_OUT = 40, INTEGER_IN = 192, LONG_IN = 832 };

// Eight codes of a random number.
static void fill_codes(Run *r, QuantizedWeight *q) {
    const uint32_t most = (1U << (q->bits - 1)) - 1, codes = 2 * most + 1;
    uint64_t bits = 0;
    for (size_t i = 0; i < q->out * q->in; i++, bits >>= 8) {
        if (i % 8 == 0) bits = random_next(&r->random);
        q->codes[i] = (int8_t)((int)((bits & 0xFF) * codes >> 8) - (int)most);
    }
}

static void fill(Run *r, QuantizedWeight *q) {
    const size_t groups = group_count(q->in, q->group);
    const uint32_t most = (1U << (q->bits - 1)) - 1;
    fill_codes(r, q);
    for (size_t i = 0; i < q->out * (q->factors ? 1 : groups); i++)
        q->scales[i] = float_rounded(q->scale_dtype, 0.01F + 0.02F * (float)random_uniform(&r->random));
    for (size_t i = 0; i < q->out * groups; i++) {
        if (q->zeros) q->zeros[i] = (int8_t)((int)random_below(&r->random, most + 1) - (int)most / 2);
        if (q->factors) q->factors[i] = (int8_t)(1 + random_below(&r->random, 127));
    }
}

static Weight *integer_weight(Run *r, const IntegerCase *c, size_t out, size_t in) {
    const ActivationScheme scheme = {.mode = c->mode, .scale = 0.02F};
    QuantizedWeight q = {0};
    Weight *weight = NULL;
    r->ok =
        r->ok && quantized_weight_on_grid(c->grid, out, in, c->group ? c->group : in, c->bits, DTYPE_F16, &q, &r->err);
    if (r->ok) fill(r, &q);
    r->ok = r->ok && r->b->ops->weight_quantized(r->b, &q, &scheme, NULL, c->precision, &weight, &r->err);
    r->b->ops->synchronize(r->b);
    quantized_weight_free(&q);
    return weight;
}

// One weight with each number of tokens.
static void integer_product(Run *r, const IntegerCase *c, size_t out, size_t in, const size_t *tokens, size_t sizes) {
    const int buffers = r->buffer_count;
    Weight *weight = integer_weight(r, c, out, in);
    for (size_t t = 0; t < sizes; t++) {
        float *x = device_numbers(r, tokens[t] * in, 1), *y = device_room(r, tokens[t] * out);
        if (r->ok) r->b->ops->linear(r->b, weight, x, tokens[t], y);
        collect(r, y, tokens[t] * out);
    }
    if (weight) r->b->ops->weight_free(r->b, weight);
    while (r->buffer_count > buffers) r->b->ops->memory_free(r->b, r->buffers[--r->buffer_count]);
}

static const IntegerCase integer_cases[] = {
    {4, 64, GRID_SYMMETRIC, ACTIVATION_TOKEN, PRECISION_NATIVE},
    {8, 0, GRID_SYMMETRIC, ACTIVATION_STATIC, PRECISION_NATIVE},
    {4, 32, GRID_SYMMETRIC, ACTIVATION_NONE, PRECISION_F32},
    {8, 0, GRID_SYMMETRIC, ACTIVATION_NONE, PRECISION_F32},
    {3, 64, GRID_ASYMMETRIC, ACTIVATION_TOKEN, PRECISION_NATIVE},
    {2, 32, GRID_ASYMMETRIC, ACTIVATION_NONE, PRECISION_F32},
    {4, 64, GRID_TWO_LEVEL, ACTIVATION_TOKEN, PRECISION_NATIVE},
};
static const IntegerCase planes_of_two = {4, 64, GRID_SYMMETRIC, ACTIVATION_NONE, PRECISION_NATIVE};

static void integer_products(Run *r) {
    for (size_t i = 0; i < sizeof integer_cases / sizeof *integer_cases; i++)
        integer_product(r, &integer_cases[i], INTEGER_OUT, INTEGER_IN, (const size_t[]){1, 5, 33}, 3);
}

// The first case at every number of tokens, which have kernels of their own, the others at the last.
static void products_of_many(Run *r, const IntegerCase *cases, size_t count, const size_t *tokens, size_t sizes) {
    integer_product(r, cases, INTEGER_OUT, INTEGER_IN, tokens, sizes);
    for (size_t i = 1; i < count; i++) integer_product(r, &cases[i], INTEGER_OUT, INTEGER_IN, tokens + sizes - 1, 1);
}

// With one group for each row a block takes as many tokens as there are, on the largest device, too.
static void int8_products(Run *r) {
    static const IntegerCase cases[] = {
        {4, 0, GRID_SYMMETRIC, ACTIVATION_TOKEN, PRECISION_NATIVE},
        {4, 64, GRID_SYMMETRIC, ACTIVATION_TOKEN, PRECISION_NATIVE},
        {8, 0, GRID_SYMMETRIC, ACTIVATION_STATIC, PRECISION_NATIVE},
        {3, 32, GRID_ASYMMETRIC, ACTIVATION_TOKEN, PRECISION_NATIVE},
        {2, 128, GRID_TWO_LEVEL, ACTIVATION_TOKEN, PRECISION_NATIVE},
    };
    products_of_many(r, cases, 5, (const size_t[]){9, 17, 65, 33}, 4);
    integer_product(r, &cases[1], INTEGER_OUT, LONG_IN, (const size_t[]){9}, 1);
}

static void integer_products_of_16_bits(Run *r) {
    integer_product(r, &planes_of_two, INTEGER_OUT, INTEGER_IN, (const size_t[]){1, 33}, 2);
}

static const IntegerCase f16_cases[] = {
    {4, 64, GRID_SYMMETRIC, ACTIVATION_NONE, PRECISION_NATIVE},
    {8, 32, GRID_SYMMETRIC, ACTIVATION_NONE, PRECISION_NATIVE},
    {3, 0, GRID_ASYMMETRIC, ACTIVATION_NONE, PRECISION_NATIVE},
    {2, 128, GRID_ASYMMETRIC, ACTIVATION_NONE, PRECISION_NATIVE},
};

static void f16_products(Run *r) { products_of_many(r, f16_cases, 4, (const size_t[]){9, 17, 33}, 3); }

static void f16_by_warpgroups(Run *r) {
    products_of_many(r, f16_cases, 4, (const size_t[]){65, 129, 33}, 3);
    integer_product(r, &f16_cases[0], INTEGER_OUT, LONG_IN, (const size_t[]){33}, 1);
}

// Three tiles of pairs of blocks by warpgroups. Where two pairs run at a time (MANY_PAIRS) the second tile is begun by
// one and ended by the other. Tokens are as many as it takes to have one block on a multiprocessor.
enum { TILES_OUT = 2 * 256 + 1, TILES_TOKENS = 65 };

static void f16_tiles(Run *r) {
    integer_product(r, &planes_of_two, TILES_OUT, INTEGER_IN, (const size_t[]){TILES_TOKENS}, 1);
}
static void int8_tiles(Run *r) {
    integer_product(r, &integer_cases[0], TILES_OUT, INTEGER_IN, (const size_t[]){TILES_TOKENS}, 1);
}

// ---- The other families ----

static void dense_of_many(Run *r) {
    dense(r, DTYPE_F32, PRECISION_F32, 33);
    dense(r, DTYPE_BF16, PRECISION_F32, 20);
}

static void dense_native(Run *r) {
    dense(r, DTYPE_BF16, PRECISION_NATIVE, 33);
    dense(r, DTYPE_F32, PRECISION_NATIVE, 20);
}

static void attention_of_many(Run *r) {
    attend(r, DTYPE_F16, 8, 64, 9, 34);
    attend(r, DTYPE_BF16, 6, 128, 0, 20);
}

// What decoding asks for in a row: sum, norm and product; activation and product; rotations and cache.
static void fused(Run *r) {
    enum { KV = 1, HEADS = 2, DIM = 64 };
    const IntegerCase c = {4, 64, GRID_SYMMETRIC, ACTIVATION_TOKEN, PRECISION_NATIVE};
    const size_t n = INTEGER_IN;
    const BackendOps *ops = r->b->ops;
    Weight *weight = integer_weight(r, &c, INTEGER_OUT, INTEGER_IN);
    float *x = device_numbers(r, n, 1), *more = device_numbers(r, n, 1), *gain = device_numbers(r, n, 1),
          *normed = device_room(r, n), *y = device_room(r, INTEGER_OUT), *q = device_numbers(r, (size_t)HEADS * DIM, 1),
          *k = device_numbers(r, (size_t)KV * DIM, 1), *turns = device_numbers(r, DIM, 1),
          *mixed = device_room(r, (size_t)HEADS * DIM);
    Cache *cache = NULL;
    r->ok = r->ok && ops->cache_new(r->b, 1, 1, KV, DIM, 2, DTYPE_F16, &cache, &r->err);
    if (r->ok) {
        ops->add(r->b, x, more, n);
        ops->rms_norm(r->b, x, gain, 1e-5F, 1, n, normed);
        ops->linear(r->b, weight, normed, 1, y);
        collect(r, y, INTEGER_OUT);
        ops->silu_times(r->b, normed, x, n, normed);
        ops->linear(r->b, weight, normed, 1, y);
        collect(r, y, INTEGER_OUT);
        collect(r, normed, n);
        ops->rope(r->b, q, 1, HEADS, DIM, DIM, false, turns, turns + DIM / 2, 0);
        ops->rope(r->b, k, 1, KV, DIM, DIM, false, turns, turns + DIM / 2, 0);
        ops->cache_write(r->b, cache, 0, 0, 1, k, k);
        ops->attention(r->b, cache, 0, &(AttentionShape){.heads = HEADS, .kv_heads = KV, .head_dim = DIM, .scale = 1},
                       q, 0, 1, mixed);
        collect(r, q, (size_t)HEADS * DIM);
        collect(r, mixed, (size_t)HEADS * DIM);
        ops->cache_free(r->b, cache);
    }
    if (weight) ops->weight_free(r->b, weight);
}

enum { EXPERTS = 3, CHOSEN = 2, FFN = 64 };

// By definition, on a backend without the operation. All experts get weight: the one that is left out, 0.
static void mix_one_by_one(Run *r, Weight *const *weights, const float *logits, const float *x, float *inner, float *up,
                           float *y, float *sum) {
    const BackendOps *ops = r->b->ops;
    const int32_t first = 0;
    float scores[EXPERTS], all = 0;
    int least = 0;
    ops->download(r->b, scores, logits, sizeof scores);
    for (int e = 0; e < EXPERTS; e++) least = scores[e] <= scores[least] ? e : least;
    for (int e = 0; e < EXPERTS; e++) all += e == least ? 0 : expf(scores[e]);
    for (int e = 0; e < EXPERTS; e++) {
        const float share = e == least ? 0 : expf(scores[e]) / all;
        ops->linear(r->b, weights[3 * e], x, 1, inner);
        ops->linear(r->b, weights[3 * e + 1], x, 1, up);
        ops->silu_times(r->b, inner, up, FFN, inner);
        ops->linear(r->b, weights[3 * e + 2], inner, 1, y);
        ops->scatter_add(r->b, y, INTEGER_IN, &first, &share, 1, sum);
    }
}

// False: these weights are not taken, which is no fault.
static bool mix_at_once(Run *r, Weight *const *weights, const float *logits, const float *x, float *y) {
    const MixtureShape shape = {EXPERTS, CHOSEN, true, NONLINEARITY_SILU};
    const BackendOps *ops = r->b->ops;
    const Weight *gate[EXPERTS], *up[EXPERTS], *down[EXPERTS];
    for (int e = 0; e < EXPERTS; e++)
        gate[e] = weights[3 * e], up[e] = weights[3 * e + 1], down[e] = weights[3 * e + 2];
    Mixture *mixture = ops->mixture_new(r->b, &shape, gate, up, down);
    if (!mixture) return false;
    r->ok = ops->mixture(r->b, mixture, logits, x, 1, y);
    ops->synchronize(r->b);
    ops->mixture_free(r->b, mixture);
    return true;
}

static void mixture(Run *r) {
    const IntegerCase c = {4, 64, GRID_SYMMETRIC, ACTIVATION_NONE, PRECISION_NATIVE};
    Weight *weights[3 * EXPERTS] = {0};
    for (int i = 0; i < 3 * EXPERTS; i++)
        weights[i] = integer_weight(r, &c, i % 3 == 2 ? INTEGER_IN : FFN, i % 3 == 2 ? FFN : INTEGER_IN);
    float *x = device_numbers(r, INTEGER_IN, 1), *logits = device_numbers(r, EXPERTS, 1), *inner = device_room(r, FFN),
          *up = device_room(r, FFN), *y = device_room(r, INTEGER_IN), *sum = device_room(r, INTEGER_IN);
    if (r->ok && !(r->b->ops->mixture_new && mix_at_once(r, weights, logits, x, sum)))
        mix_one_by_one(r, weights, logits, x, inner, up, y, sum);
    collect(r, sum, INTEGER_IN);
    for (int i = 0; i < 3 * EXPERTS; i++)
        if (weights[i]) r->b->ops->weight_free(r->b, weights[i]);
}

static void embed_and_norm(const Run *r, const float *table, int32_t id, const float *gain, float *x, float *y) {
    r->b->ops->embed(r->b, DTYPE_F32, table, WIDTH, &id, 1, x);
    r->b->ops->rms_norm(r->b, x, gain, 1e-5F, 1, WIDTH, y);
}

static void recorded_step(Run *r) {
    const int32_t id = 3;
    const BackendOps *ops = r->b->ops;
    float *table = host_numbers(r, ROWS * WIDTH, 1), *gain = device_numbers(r, WIDTH, 1), *x = device_room(r, WIDTH),
          *y = device_room(r, WIDTH);
    if (r->ok && ops->step_begin && ops->step_begin(r->b)) {
        embed_and_norm(r, table, 1, gain, x, y);
        Step *step = ops->step_end(r->b);
        r->ok = step && ops->step_run(r->b, step, &id, 0);
        ops->synchronize(r->b);
        if (step) ops->step_free(r->b, step);
    } else if (r->ok) {
        embed_and_norm(r, table, id, gain, x, y);
    }
    collect(r, y, WIDTH);
    free(table);
}

typedef struct Measured {
    uint64_t patterns[65536];
    float channels[WIDTH], tokens[ROWS];
    uint32_t standing_out[WIDTH];
} Measured;

// NULL: it was not measured. Owned by the caller.
static Measured *measure(Run *r) {
    Measured *m = array_new(1, sizeof *m);
    float *host = host_numbers(r, (size_t)ROWS * WIDTH, 2), *x = device_room(r, (size_t)ROWS * WIDTH);
    r->ok &= m != NULL;
    if (r->ok) {
        const ActivationCounts counts = {m->patterns, m->channels, m->standing_out, m->tokens};
        host[3] = 400; // stands out
        r->b->ops->upload(r->b, x, host, ROWS * WIDTH * sizeof *x);
        if (r->b->ops->measure) {
            r->ok = r->b->ops->measure(r->b, x, ROWS, WIDTH, &counts, &r->err);
        } else {
            count_patterns(DTYPE_F32, host, (size_t)ROWS * WIDTH, m->patterns);
            absmax_update(host, ROWS, WIDTH, m->channels, m->tokens);
            count_standing_out(host, ROWS, WIDTH, m->tokens, m->standing_out);
        }
    }
    free(host);
    return m;
}

static void measuring_ranges(Run *r) {
    Measured *m = measure(r);
    for (int i = 0; m && i < WIDTH; i++) collect_number(r, (double)m->channels[i]);
    for (int i = 0; m && i < ROWS; i++) collect_number(r, (double)m->tokens[i]);
    free(m);
}

static void measuring_counts(Run *r) {
    Measured *m = measure(r);
    uint64_t sum = 0;
    for (size_t i = 0; m && i < 65536; i++) sum = sum * 31 + m->patterns[i] * (i + 1);
    collect_number(r, (double)(sum % 1009)); // small, so that a difference of one is seen
    for (int i = 0; m && i < WIDTH; i++) collect_number(r, m->standing_out[i]);
    free(m);
}

// ---- Comparing ----

typedef struct Proof {
    const char *name;
    int family; // KERNEL_FAMILIES: nothing can take its place
    void (*run)(Run *r);
    double bound;     // of a difference, in units of the largest result
    unsigned without; // families that would take it over
} Proof;

// A wrong kernel is wrong by much; roundings differ by little.
#define EXACT 3e-5
#define ROUNDED_F16 1.0 / 512
#define ROUNDED 1.0 / 64 // activations are rounded to 16 bits, differently

#define UNCHAINED (1U << KERNELS_CHAINS)

static const Proof proofs[] = {
    {"norms", KERNEL_FAMILIES, norms, EXACT, 1U << KERNELS_FUSED},
    {"operations on elements", KERNEL_FAMILIES, elements, EXACT, 1U << KERNELS_FUSED},
    {"positions", KERNEL_FAMILIES, positions, EXACT, 1U << KERNELS_FUSED},
    {"operations on rows", KERNEL_FAMILIES, rows, EXACT, 0},
    {"the choice of tokens", KERNEL_FAMILIES, choosing, EXACT, 0},
    {"attention", KERNEL_FAMILIES, attention_of_one, EXACT, 0},
    {"sequences that change places", KERNEL_FAMILIES, following, EXACT, 0},
    {"what layers remember", KERNEL_FAMILIES, remembering, EXACT, 0},
    {"dense products of few tokens", KERNEL_FAMILIES, dense_of_few, EXACT, 0},
    {"quantizing", KERNEL_FAMILIES, quantizing, EXACT, 1U << KERNELS_INTEGER},
    {"integer products", KERNELS_INTEGER, integer_products, EXACT, 1U << KERNELS_INT8_WARPGROUPS},
    {"integer products by warpgroups", KERNELS_INT8_WARPGROUPS, int8_products, EXACT, UNCHAINED},
    {"integer products by pairs", KERNELS_INT8_WARPGROUPS, int8_tiles, EXACT, UNCHAINED | 1U << MANY_PAIRS},
    {"integer products that blocks hand on", KERNELS_CHAINS, int8_tiles, EXACT, 1U << MANY_PAIRS},
    {"integer products of 16 bits", KERNELS_INTEGER, integer_products_of_16_bits, 1e-3, 1U << KERNELS_F16},
    {"products in 16-bit floats", KERNELS_F16, f16_products, ROUNDED_F16, 1U << KERNELS_WARPGROUPS},
    {"products by warpgroups", KERNELS_WARPGROUPS, f16_by_warpgroups, ROUNDED_F16, UNCHAINED},
    {"products by pairs", KERNELS_WARPGROUPS, f16_tiles, ROUNDED_F16, UNCHAINED | 1U << MANY_PAIRS},
    {"products that blocks hand on", KERNELS_CHAINS, f16_tiles, ROUNDED_F16, 1U << MANY_PAIRS},
    {"products by the library", KERNELS_LIBRARY, dense_native, ROUNDED, 0},
    {"dense products", KERNELS_DENSE, dense_of_many, EXACT, 1U << KERNELS_LIBRARY},
    {"attention of many tokens", KERNELS_ATTENTION, attention_of_many, EXACT, 0},
    {"fused operations", KERNELS_FUSED, fused, EXACT, 0},
    {"mixtures of experts", KERNELS_MIXTURE, mixture, 1e-3, 0},
    {"recorded steps", KERNELS_STEP, recorded_step, EXACT, 0},
    {"statistics of activations", KERNELS_MEASURE, measuring_counts, EXACT, 0},
    {"ranges of activations", KERNELS_MEASURE, measuring_ranges, EXACT, 0},
    {"kernels that begin early", KERNELS_EARLY, fused, EXACT, 0},
    {"steps of kernels that begin early", KERNELS_EARLY, recorded_step, EXACT, 0},
};

// Only what is about kernels that begin early lets them.
static unsigned left_out(const Proof *proof) {
    return proof->without | (proof->family == KERNELS_EARLY ? 0 : 1U << KERNELS_EARLY);
}

static bool run_on(Backend *b, const Proof *proof, Run *r) {
    float *results = r->results;
    *r = (Run){.b = b, .random = random_seeded(17), .results = results, .ok = true};
    proof->run(r);
    while (r->buffer_count > 0) b->ops->memory_free(b, r->buffers[--r->buffer_count]);
    return r->ok && (!b->ops->healthy || b->ops->healthy(b, &r->err));
}

static bool results_agree(const Run *a, const Run *b, double bound) {
    double largest = 0, difference = 0;
    if (a->count != b->count) return false;
    for (size_t i = 0; i < a->count; i++) {
        if (!isfinite(a->results[i])) return false;
        largest = fmax(largest, fabs((double)b->results[i]));
        difference = fmax(difference, fabs((double)a->results[i] - (double)b->results[i]));
    }
    return difference <= bound * largest;
}

// The device must be healthy again before it is asked for more: so a failure ends the proof.
typedef enum Outcome { RIGHT, WRONG, FAILED } Outcome;

static Outcome prove_one(Backend *device, const Run *expected, const Proof *proof, Run *got) {
    if (!run_on(device, proof, got))
        return device->ops->healthy && !device->ops->healthy(device, NULL) ? FAILED : WRONG;
    return results_agree(got, expected, proof->bound) ? RIGHT : WRONG;
}

static bool says_what(const Proof *proof, const Run *got, Error *err) {
    return got->err.message[0] ? error_set(err, "the device fails at %s: %s", proof->name, got->err.message)
                               : error_set(err, "the device computes wrong numbers: %s", proof->name);
}

static bool prove_all(Backend *device, Backend *plain, Run *got, Run *expected, unsigned *avoid, Error *err) {
    for (size_t i = 0; i < sizeof proofs / sizeof *proofs; i++) {
        const Proof *proof = &proofs[i];
        const bool again = i > 0 && proofs[i - 1].run == proof->run; // of another family: the same is expected
        if (!again && !run_on(plain, proof, expected)) return error_set(err, "%s", expected->err.message);
        device->ops->avoid(device, *avoid | left_out(proof));
        Outcome outcome = prove_one(device, expected, proof, got);
        const unsigned family = proof->family < KERNEL_FAMILIES ? 1U << proof->family : 0;
        if (outcome != RIGHT && family && !(*avoid & family)) {
            *avoid |= family;
            if (outcome == FAILED) return says_what(proof, got, err);
            device->ops->avoid(device, *avoid | left_out(proof));
            outcome = prove_one(device, expected, proof, got);
        }
        if (outcome != RIGHT) return says_what(proof, got, err);
    }
    device->ops->avoid(device, *avoid);
    return true;
}

bool backend_prove(Backend *device, Backend *plain, unsigned *avoid, Error *err) {
    Run got = {.results = array_new(RESULTS_MOST, sizeof(float))},
        expected = {.results = array_new(RESULTS_MOST, sizeof(float))};
    const bool ok = got.results && expected.results ? prove_all(device, plain, &got, &expected, avoid, err)
                                                    : error_memory(err, "proving the device");
    free(got.results);
    free(expected.results);
    return ok;
}
