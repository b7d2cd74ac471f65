// How close the linears of a 1.1 B Llama come to what the machine can do: every scheme at 1 to 8 tokens as a share of
// the read bandwidth, at 64 and 512 tokens as a share of a large matrix product by oneDNN. Limits are measured in the
// same run: before each pass over the weights the same number of bytes is plainly read, and the median of the ratios
// counts. Weights are those of as many layers as it takes to be far larger than any cache.
//
//   bench_linears [--json] [--threads N] [--runs N] [--only NAME] [--tokens N]
#include <math.h>
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/clock.h"
#include "base/random.h"
#include "kernels/backend.h"
#ifdef QUANTDIAL_ONEDNN
#include "kernels/cpu/onednn.h"
#endif

enum { HIDDEN = 2048, FFN = 5632, KV = 256, MOST_TOKENS = 512, MOST_RUNS = 99 };
static const size_t least_bytes = (size_t)300 << 20;

typedef struct Shape {
    size_t out, in;
} Shape;

static const Shape layer_shapes[] = {{HIDDEN, HIDDEN}, {KV, HIDDEN},  {KV, HIDDEN}, {HIDDEN, HIDDEN},
                                     {FFN, HIDDEN},    {FFN, HIDDEN}, {HIDDEN, FFN}};
enum { LAYER_LINEARS = sizeof layer_shapes / sizeof *layer_shapes, MOST_LINEARS = 60 * LAYER_LINEARS };

typedef struct LinearScheme {
    const char *name;
    int bits; // 0: dense
    DType dtype;
    Grid grid;
    ActivationMode mode;
} LinearScheme;

static const LinearScheme schemes[] = {
    {"BF16", 0, DTYPE_BF16, 0, 0},
    {"F16", 0, DTYPE_F16, 0, 0},
    {"int8 g64", 8, DTYPE_F16, 0, ACTIVATION_NONE},
    {"int4 g64", 4, DTYPE_F16, 0, ACTIVATION_NONE},
    {"int3 g64", 3, DTYPE_F16, 0, ACTIVATION_NONE},
    {"int2 g64", 2, DTYPE_F16, 0, ACTIVATION_NONE},
    {"W8A8 g64", 8, DTYPE_F16, 0, ACTIVATION_TOKEN},
    {"W4A8 g64", 4, DTYPE_F16, 0, ACTIVATION_TOKEN},
    {"int4 asymmetric", 4, DTYPE_F16, GRID_ASYMMETRIC, ACTIVATION_NONE},
    {"W4A8 asymmetric", 4, DTYPE_F16, GRID_ASYMMETRIC, ACTIVATION_TOKEN},
    {"int4 log2", 4, DTYPE_F16, GRID_LOG2, ACTIVATION_NONE},
    {"W4A8 log2", 4, DTYPE_F16, GRID_LOG2, ACTIVATION_TOKEN},
    {"int4 two-level", 4, DTYPE_F16, GRID_TWO_LEVEL, ACTIVATION_NONE},
    {"W4A8 two-level", 4, DTYPE_F16, GRID_TWO_LEVEL, ACTIVATION_TOKEN},
};

typedef struct LinearsBench {
    Backend *backend;
    int threads, runs;
    bool json;
    const char *only;
    size_t only_tokens;
    uint64_t *block; // what is plainly read
    size_t block_bytes;
    float *x, *y;
    Weight *weights[MOST_LINEARS]; // layer by layer
    void *dense[MOST_LINEARS];     // data of dense weights
    size_t linears, bytes, products;
    Random random;
} LinearsBench;

static volatile uint64_t sink;

static int by_size(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *values, int n) {
    qsort(values, (size_t)n, sizeof *values, by_size);
    return n % 2 ? values[n / 2] : (values[n / 2 - 1] + values[n / 2]) / 2;
}

// ---- Limits ----

// Seconds for reading `bytes` plainly, each thread its own part.
static double plain_read(const LinearsBench *b, size_t bytes) {
    size_t n = bytes / sizeof *b->block;
    uint64_t sum = 0;
    double started = clock_seconds();
#pragma omp parallel for schedule(static) reduction(+ : sum) num_threads(b->threads)
    for (size_t i = 0; i < n; i++) sum += b->block[i];
    sink = sum;
    return clock_seconds() - started;
}

#ifdef QUANTDIAL_ONEDNN
typedef struct Reference {
    dnnl_engine_t engine;
    dnnl_stream_t stream;
    dnnl_primitive_t product;
    dnnl_memory_t x, w, y;
    double operations;
} Reference;

static bool memory_of(Reference *r, dnnl_primitive_desc_t pd, dnnl_query_t what, dnnl_memory_t *memory) {
    OnednnDesc desc = dnnl_primitive_desc_query_md(pd, what, 0);
    return desc && dnnl_memory_create(memory, desc, r->engine, DNNL_MEMORY_ALLOCATE) == dnnl_success;
}

// A product of 512 × 4096 by 4096 × 4096, its operands laid out as the library likes best.
static bool reference_new(Reference *r, dnnl_data_type_t x_type, dnnl_data_type_t w_type) {
    dnnl_memory_desc_t x, w, y;
    dnnl_primitive_desc_t pd;
    *r = (Reference){.operations = 2.0 * 512 * 4096 * 4096};
    return dnnl_engine_create(&r->engine, dnnl_cpu, 0) == dnnl_success &&
           dnnl_stream_create(&r->stream, r->engine, dnnl_stream_default_flags) == dnnl_success &&
           onednn_describe(&x, 512, 4096, x_type, dnnl_ab) &&
           onednn_describe(&w, 4096, 4096, w_type, dnnl_format_tag_any) &&
           onednn_describe(&y, 512, 4096, dnnl_f32, dnnl_ab) &&
           onednn_matmul(r->engine, ONEDNN_DESC(x), ONEDNN_DESC(w), NULL, ONEDNN_DESC(y), &pd) &&
           dnnl_primitive_create(&r->product, pd) == dnnl_success && memory_of(r, pd, dnnl_query_src_md, &r->x) &&
           memory_of(r, pd, dnnl_query_weights_md, &r->w) && memory_of(r, pd, dnnl_query_dst_md, &r->y);
}

// Operations per second.
static double reference_rate(const Reference *r) {
    dnnl_exec_arg_t args[] = {{DNNL_ARG_SRC, r->x}, {DNNL_ARG_WEIGHTS, r->w}, {DNNL_ARG_DST, r->y}};
    double started = clock_seconds();
    dnnl_primitive_execute(r->product, r->stream, 3, args);
    dnnl_stream_wait(r->stream);
    return r->operations / (clock_seconds() - started);
}
#endif

// The median rates of large products of BF16 and of int8; 0 without oneDNN.
static void product_limits(const LinearsBench *b, double rates[2]) {
    rates[0] = rates[1] = 0;
#ifdef QUANTDIAL_ONEDNN
    omp_set_num_threads(b->threads);
    for (int which = 0; which < 2; which++) {
        Reference r;
        double values[MOST_RUNS];
        if (!reference_new(&r, which ? dnnl_u8 : dnnl_bf16, which ? dnnl_s8 : dnnl_bf16)) continue;
        reference_rate(&r);
        for (int i = 0; i < b->runs; i++) values[i] = reference_rate(&r);
        rates[which] = median(values, b->runs);
    }
#else
    (void)b;
#endif
}

// ---- Weights ----

static Weight *dense_weight(LinearsBench *b, const LinearScheme *s, Shape shape, void **data) {
    Weight *weight = NULL;
    size_t n = shape.out * shape.in;
    uint16_t *values = array_new(n, sizeof *values);
    const uint16_t one = s->dtype == DTYPE_F16 ? 0x2400 : 0x3C00; // 2^−6, 2^−7: fractions and signs are random
    const uint16_t kept = s->dtype == DTYPE_F16 ? 0x83FF : 0x807F;
    for (size_t i = 0; values && i < n; i++) values[i] = (uint16_t)((random_next(&b->random) & kept) | one);
    *data = values;
    b->backend->ops->weight_dense(b->backend, s->dtype, values, shape.out, shape.in, NULL, PRECISION_NATIVE, &weight,
                                  NULL);
    return weight;
}

static Weight *quantized_weight(LinearsBench *b, const LinearScheme *s, Shape shape) {
    Weight *weight = NULL;
    QuantizedWeight q;
    if (!quantized_weight_on_grid(s->grid, shape.out, shape.in, 64, s->bits, s->dtype, &q, NULL)) return NULL;
    const int most = (1 << (s->bits - 1)) - 1;
    size_t groups = shape.out * group_count(shape.in, 64);
    for (size_t i = 0; i < shape.out * shape.in; i++)
        q.codes[i] = (int8_t)((int)((uint32_t)random_next(&b->random) % (unsigned)(2 * most + 1)) - most);
    for (size_t i = 0; i < (s->grid == GRID_TWO_LEVEL ? shape.out : groups); i++) q.scales[i] = 0.0078125f;
    for (size_t i = 0; q.zeros && i < groups; i++) q.zeros[i] = (int8_t)((int)i % 5 - 2);
    for (size_t i = 0; q.factors && i < groups; i++) q.factors[i] = (int8_t)(i % 127 + 1);
    b->backend->ops->weight_quantized(b->backend, &q, &(ActivationScheme){.mode = s->mode}, NULL, PRECISION_NATIVE,
                                      &weight, NULL);
    quantized_weight_free(&q);
    return weight;
}

static void free_weights(LinearsBench *b) {
    for (size_t i = 0; i < b->linears; i++) {
        b->backend->ops->weight_free(b->backend, b->weights[i]);
        free(b->dense[i]);
    }
    b->linears = b->bytes = b->products = 0;
}

static bool make_weights(LinearsBench *b, const LinearScheme *s) {
    while (b->bytes < least_bytes && b->linears < MOST_LINEARS) {
        Shape shape = layer_shapes[b->linears % LAYER_LINEARS];
        void **data = &b->dense[b->linears];
        *data = NULL;
        Weight *weight = s->bits ? quantized_weight(b, s, shape) : dense_weight(b, s, shape, data);
        if (!weight) return false;
        b->weights[b->linears++] = weight;
        b->bytes += b->backend->ops->weight_bytes(weight);
        b->products += shape.out * shape.in;
    }
    return true;
}

// ---- Measuring ----

// Seconds for all linears of the first `linears`.
static double pass(const LinearsBench *b, size_t linears, size_t tokens) {
    double started = clock_seconds();
    for (size_t i = 0; i < linears; i++) b->backend->ops->linear(b->backend, b->weights[i], b->x, tokens, b->y);
    return clock_seconds() - started;
}

static void decode(LinearsBench *b, const LinearScheme *s, size_t tokens) {
    double rates[MOST_RUNS], shares[MOST_RUNS];
    pass(b, b->linears, tokens);
    for (int i = 0; i < b->runs; i++) {
        double read = (plain_read(b, b->bytes) / (double)b->bytes), here = pass(b, b->linears, tokens);
        read = (read + plain_read(b, b->bytes) / (double)b->bytes) / 2;
        rates[i] = (double)b->bytes / here;
        shares[i] = rates[i] * read;
    }
    double rate = median(rates, b->runs), share = median(shares, b->runs);
    if (b->json)
        printf("{\"scheme\": \"%s\", \"tokens\": %zu, \"bytes\": %zu, \"bytes_per_second\": %.4g, "
               "\"share_of_read\": %.3f, \"operations_per_second\": %.4g}\n",
               s->name, tokens, b->bytes, rate, share,
               2 * (double)b->products * (double)tokens * rate / (double)b->bytes);
    else
        printf(" %4.0f %%", share * 100);
    fflush(stdout);
}

static void prefill(LinearsBench *b, const LinearScheme *s, size_t tokens, const double limits[2]) {
    double rates[MOST_RUNS];
    double operations = 0;
    for (size_t i = 0; i < LAYER_LINEARS; i++)
        operations += 2.0 * (double)(layer_shapes[i].out * layer_shapes[i].in) * (double)tokens;
    pass(b, LAYER_LINEARS, tokens);
    for (int i = 0; i < b->runs; i++) rates[i] = operations / pass(b, LAYER_LINEARS, tokens);
    double rate = median(rates, b->runs);
    const double limit = s->mode == ACTIVATION_TOKEN ? limits[1] : limits[0];
    if (b->json)
        printf("{\"scheme\": \"%s\", \"tokens\": %zu, \"operations_per_second\": %.4g, \"share_of_product\": %.3f}\n",
               s->name, tokens, rate, rate / limit);
    else
        printf(" %5.0f Gop/s %3.0f %%", rate * 1e-9, 100 * rate / limit);
    fflush(stdout);
}

static bool measure(LinearsBench *b, const LinearScheme *s, const double limits[2]) {
    static const size_t few[] = {1, 2, 4, 8}, many[] = {64, 512};
    if (b->only && strcmp(b->only, s->name) != 0) return true;
    bool ok = make_weights(b, s);
    if (!b->json) printf("%-16s %6.2f", s->name, 8 * (double)b->bytes / (double)b->products);
    for (size_t i = 0; ok && i < sizeof few / sizeof *few; i++)
        if (!b->only_tokens || b->only_tokens == few[i]) decode(b, s, few[i]);
    for (size_t i = 0; ok && i < sizeof many / sizeof *many; i++)
        if (!b->only_tokens || b->only_tokens == many[i]) prefill(b, s, many[i], limits);
    if (!b->json) printf("%s\n", ok ? "" : " no memory");
    free_weights(b);
    return ok;
}

static bool start(LinearsBench *b) {
    Error err;
    if (!backend_cpu_new(b->threads, &b->backend, &err)) {
        fprintf(stderr, "%s\n", err.message);
        return false;
    }
    b->block_bytes = least_bytes + ((size_t)64 << 20);
    b->block = array_new(b->block_bytes, 1);
    b->x = b->backend->ops->memory_new(b->backend, (size_t)MOST_TOKENS * FFN * sizeof *b->x, NULL);
    b->y = b->backend->ops->memory_new(b->backend, (size_t)MOST_TOKENS * FFN * sizeof *b->y, NULL);
    if (!b->block || !b->x || !b->y) return false;
    memset(b->block, 1, b->block_bytes);
    for (size_t i = 0; i < (size_t)MOST_TOKENS * FFN; i++) b->x[i] = (float)random_normal(&b->random);
    return true;
}

int main(int argc, char **argv) {
    backend_cpu_shorten_spin(argv);
    LinearsBench b = {.threads = omp_get_num_procs(), .runs = 7, .random = random_seeded(1)};
    for (int i = 1; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : "";
        if (strcmp(argv[i], "--json") == 0)
            b.json = true;
        else if (strcmp(argv[i], "--threads") == 0)
            b.threads = atoi(value), i++;
        else if (strcmp(argv[i], "--runs") == 0)
            b.runs = atoi(value), i++;
        else if (strcmp(argv[i], "--only") == 0)
            b.only = value, i++;
        else if (strcmp(argv[i], "--tokens") == 0)
            b.only_tokens = (size_t)atoi(value), i++;
    }
    if (b.runs < 1 || b.runs > MOST_RUNS || !start(&b)) return 1;
    double limits[2], reads[MOST_RUNS];
    product_limits(&b, limits);
    for (int i = 0; i < b.runs; i++) reads[i] = (double)least_bytes / plain_read(&b, least_bytes);
    double read = median(reads, b.runs);
    if (b.json)
        printf("{\"kernels\": \"%s\", \"read_bytes_per_second\": %.4g, \"bf16_product\": %.4g, \"int8_product\": %.4g, "
               "\"runs\": %d}\n",
               b.backend->ops->describe(b.backend), read, limits[0], limits[1], b.runs);
    else
        printf("%s; plain read %.1f GB/s; oneDNN's product of 512 × 4096 × 4096: BF16 %.0f, int8 %.0f Gop/s\n"
               "%-16s %6s %6s %6s %6s %6s %16s %16s\n",
               b.backend->ops->describe(b.backend), read * 1e-9, limits[0] * 1e-9, limits[1] * 1e-9, "share of read at",
               "bits", "1", "2", "4", "8 tok", "64 tokens", "512 tokens");
    bool ok = true;
    for (size_t i = 0; ok && i < sizeof schemes / sizeof *schemes; i++) ok = measure(&b, &schemes[i], limits);
    return !ok;
}
