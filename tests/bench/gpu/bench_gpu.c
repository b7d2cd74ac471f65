// How fast the CUDA kernels are: products with matrices of Llama's shapes against the vendor's library, and decoding
// with whole models of random weights, each beside what the device can do, measured in the same run. Writes JSON after
// every case, so that a run which is cut off leaves what it found, and says at the end how the figures stand to their
// goals.
//
// Each product runs as a recorded step of many, ours and the library's, over copies that together exceed the cache of
// the device, so launches do not count and memory does. Whatever is recorded has run once before: a kernel that is
// launched for the first time, ours or the library's, may have to be loaded.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cjson/cJSON.h>

#include "base/array.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/random.h"
#include "kernels/cuda/cuda.h"
#include "tests/support/cuda_emulated.h"

static Error err;

// ---- Sizes ----

enum { MOST_BATCHES = 10, DECODES = 3, MOST_LAYERS = 32, MOST_COPIES = 64 };

typedef struct GpuSizes {
    double warm;         // seconds of copies before anything is timed: an idle device runs at a sixth of its clock
    size_t part;         // matrices have a part of the rows and columns of the real ones
    size_t copied, gemm; // bytes that are copied, the side of the matrices that tell the library's rate
    size_t cache, l2;    // bytes that the copies of a matrix exceed; that no device's cache has
    double least, most;  // seconds that one step of a product takes, and that all of its runs may take
    int runs, times;     // of what is timed one by one, at least; of what is timed together
    size_t batches[MOST_BATCHES], batch_count;
    int layers, heads, head_dim;
    size_t ffn, vocab;
    size_t choices;                                       // logits of a row of which a token is chosen
    size_t sequences[DECODES], contexts[DECODES], tokens; // tokens: decoded in one round
} GpuSizes;

static const GpuSizes real_sizes = {.warm = 0.2,
                                    .part = 1,
                                    .copied = (size_t)1 << 30,
                                    .gemm = 8192,
                                    .cache = (size_t)256 << 20,
                                    .l2 = (size_t)64 << 20,
                                    .least = 5e-3,
                                    .most = 0.15,
                                    .runs = 3,
                                    .times = 20,
                                    .batches = {1, 2, 4, 8, 16, 32, 64, 128, 256, 512},
                                    .batch_count = 10,
                                    .layers = 32,
                                    .heads = 32,
                                    .head_dim = 128,
                                    .ffn = 11008,
                                    .vocab = 32000,
                                    .choices = 152064,
                                    .sequences = {1, 8, 32},
                                    .contexts = {128, 1024, 2048},
                                    .tokens = 24};
static const GpuSizes toy_sizes = {.part = 256,
                                   .copied = 1 << 16,
                                   .gemm = 32,
                                   .cache = 1 << 12,
                                   .l2 = 1 << 8,
                                   .least = 0,
                                   .most = 0,
                                   .runs = 1,
                                   .times = 2,
                                   .batches = {1, 16, 64},
                                   .batch_count = 3,
                                   .layers = 1,
                                   .heads = 2,
                                   .head_dim = 16,
                                   .ffn = 86,
                                   .vocab = 50,
                                   .choices = 300,
                                   .sequences = {1, 2, 3},
                                   .contexts = {8, 16, 24},
                                   .tokens = 2};
static GpuSizes sizes;

static _Noreturn void give_up(void) {
    fprintf(stderr, "bench-gpu: %s.\n", err.message[0] ? err.message : "something failed");
    exit(1);
}

static void must(bool ok) {
    if (!ok) give_up();
}

static float *device_floats(Backend *b, size_t n) {
    float *host = array_new(n, sizeof *host), *data = b->ops->memory_new(b, n * sizeof *data, &err);
    Random random = random_seeded(n);
    must(host && data);
    for (size_t i = 0; i < n; i++) host[i] = (float)random_normal(&random);
    b->ops->upload(b, data, host, n * sizeof *data);
    b->ops->synchronize(b);
    free(host);
    return data;
}

// Random F16 numbers of about ± 0.06, the same for every matrix of the size.
static uint16_t *random_halves(size_t n) {
    uint16_t *data = array_new(n, sizeof *data);
    uint64_t state = 88172645463325252u;
    must(data != NULL);
    for (size_t i = 0; i < n; i++) {
        state ^= state << 13, state ^= state >> 7, state ^= state << 17; // xorshift64
        data[i] = (uint16_t)((state & 0x83FF) | (9u + (state >> 20 & 1)) << 10);
    }
    return data;
}

// ---- Time ----

// The median of several runs of a recorded step, in seconds.
static double step_seconds(Backend *b, Step *step) {
    enum { MOST = 15 };
    double times[MOST];
    int n = 0;
    const int32_t id = 0;
    must(step && b->ops->step_run(b, step, &id, 0));
    b->ops->synchronize(b);
    for (double until = clock_seconds() + sizes.most; n < MOST && (n < sizes.runs || clock_seconds() < until); n++) {
        double start = clock_seconds();
        must(b->ops->step_run(b, step, &id, 0));
        b->ops->synchronize(b);
        times[n] = clock_seconds() - start;
        for (int i = n; i > 0 && times[i] < times[i - 1]; i--) {
            double t = times[i];
            times[i] = times[i - 1], times[i - 1] = t;
        }
    }
    must(n > 0 && b->ops->healthy(b, &err));
    return times[n / 2];
}

static const float table[1] = {0};

// Begins a step; its token goes nowhere.
static void begin_step(Backend *b, float *nowhere) {
    static const int32_t id = 0;
    must(b->ops->step_begin(b));
    b->ops->embed(b, DTYPE_F32, table, 1, &id, 1, nowhere);
}

// ---- What the device can do ----

static double copy_rate(CudaRuntime *r, Backend *b) {
    const size_t bytes = sizes.copied;
    void *from = b->ops->memory_new(b, bytes, &err), *to = b->ops->memory_new(b, bytes, &err);
    must(from && to);
    double start = clock_seconds();
    do {
        r->copy(r, to, from, bytes);
        r->synchronize(r);
    } while (clock_seconds() < start + sizes.warm);
    start = clock_seconds();
    for (int i = 0; i < 20; i++) r->copy(r, to, from, bytes);
    r->synchronize(r);
    double seconds = clock_seconds() - start;
    b->ops->memory_free(b, from), b->ops->memory_free(b, to);
    return 20 * 2.0 * (double)bytes / seconds;
}

static double gemm_rate(CudaRuntime *r, Backend *b) {
    const size_t n = sizes.gemm;
    if (!r->product) return 0;
    uint16_t *host = random_halves(n * n);
    void *w = b->ops->memory_new(b, n * n * 2, &err);
    float *y = b->ops->memory_new(b, n * n * 4, &err);
    must(w && y);
    b->ops->upload(b, w, host, n * n * 2);
    const LibraryProduct p = {DTYPE_F16, w, w, n, n, n, n, n, y};
    for (int i = 0; i < 3; i++) r->product(r, &p);
    r->synchronize(r);
    double start = clock_seconds();
    for (int i = 0; i < 20; i++) r->product(r, &p);
    r->synchronize(r);
    double seconds = clock_seconds() - start;
    b->ops->memory_free(b, w), b->ops->memory_free(b, y);
    free(host);
    return 20 * 2.0 * (double)n * (double)n * (double)n / seconds;
}

// ---- Products ----

typedef struct GpuScheme {
    const char *name;
    int bits;     // 0: F16
    size_t group; // 0: per channel
    ActivationMode mode;
} GpuScheme;

// What there are goals for comes first, as among the shapes.
static const GpuScheme schemes[] = {
    {"int4 g64", 4, 64, ACTIVATION_NONE},     {"W4A8 g128", 4, 128, ACTIVATION_TOKEN},
    {"W4A8 channel", 4, 0, ACTIVATION_TOKEN}, {"fp16", 0, 0, ACTIVATION_NONE},
    {"int8 g64", 8, 64, ACTIVATION_NONE},     {"int4 g128", 4, 128, ACTIVATION_NONE},
    {"int4 channel", 4, 0, ACTIVATION_NONE},  {"int3 g64", 3, 64, ACTIVATION_NONE},
    {"int2 g64", 2, 64, ACTIVATION_NONE},     {"W8A8 channel", 8, 0, ACTIVATION_TOKEN},
};
enum { SCHEMES = sizeof schemes / sizeof *schemes, MOST_TOKENS = 512 };

static const struct {
    const char *model;
    size_t out, in;
} shapes[] = {{"70B", 28672, 8192}, {"70B", 8192, 28672}, {"7B", 4096, 4096}, {"7B", 11008, 4096},
              {"7B", 4096, 11008},  {"70B", 8192, 8192},  {"70B", 1024, 8192}};

// errors [out, 2] or NULL.
static Weight *quantized_from(Backend *b, const Weight *dense, const GpuScheme *s, double *errors) {
    Weight *w = NULL;
    const size_t group = s->group && s->group < dense->in ? s->group : dense->in;
    const WeightQuantizing how = {.bits = s->bits, .group = group, .scale_dtype = DTYPE_F16};
    const ActivationScheme scheme = {.mode = s->mode};
    must(b->ops->weight_from_dense(b, dense, &how, &scheme, NULL, errors, &w, &err));
    return w;
}

typedef struct GpuBench {
    Backend *b;
    CudaRuntime *runtime;
    double copy, gemm; // bytes and operations per second
    float *x, *y, *nowhere;
    void *halves;            // x in 16 bits
    const uint16_t *weights; // on the host: as many as the largest matrix has
    const char *scheme;      // only schemes whose name begins so; NULL: all
    cJSON *root;             // all results
    char *path;              // where they go
} GpuBench;

static void keep_results(const GpuBench *bench) {
    char *text = cJSON_Print(bench->root);
    must(text && file_write(bench->path, text, strlen(text), &err));
    free(text);
}

// One more case of a part.
static void add_case(const GpuBench *bench, const char *part, cJSON *entry) {
    if (!cJSON_HasObjectItem(bench->root, part)) cJSON_AddArrayToObject(bench->root, part);
    cJSON_AddItemToArray(cJSON_GetObjectItemCaseSensitive(bench->root, part), entry);
    keep_results(bench);
}

static bool wanted(const char *scheme, const char *name) {
    return !scheme || strncmp(name, scheme, strlen(scheme)) == 0;
}

// y = W x with each of the copies in turn, about 5 ms of them in one step. The activations are prepared once: in a
// model q, k and v share that, and decoding below pays for it.
static double product_seconds(const GpuBench *bench, Weight *const *w, size_t copies, size_t tokens) {
    Backend *b = bench->b;
    size_t repeats = (size_t)(sizes.least * bench->copy / (double)b->ops->weight_bytes(w[0])) + 1;
    if (repeats > 400) repeats = 400;
    b->ops->linear(b, w[0], bench->x, tokens, bench->y);
    begin_step(b, bench->nowhere);
    for (size_t i = 0; i < repeats; i++) b->ops->linear(b, w[i % copies], bench->x, tokens, bench->y);
    Step *step = b->ops->step_end(b);
    double seconds = step_seconds(b, step) / (double)repeats;
    b->ops->step_free(b, step);
    return seconds;
}

// The vendor's library on F16 numbers that lie ready.
static double library_seconds(const GpuBench *bench, Weight *const *w, size_t copies, size_t tokens) {
    CudaRuntime *r = bench->runtime;
    Backend *b = bench->b;
    const size_t repeats = (size_t)(sizes.least * bench->copy / (double)b->ops->weight_bytes(w[0])) + 1;
    if (!r->product) return NAN;
    for (size_t i = 0; i <= repeats; i++) { // the first one is not recorded
        const Weight *v = w[i % copies];
        const LibraryProduct p = {DTYPE_F16, v->data, bench->halves, v->out, v->in, tokens, v->stride, v->in, bench->y};
        must(r->product(r, &p) == 0);
        if (i == 0) begin_step(b, bench->nowhere);
    }
    Step *step = b->ops->step_end(b);
    const double seconds = step_seconds(b, step) / (double)repeats;
    b->ops->step_free(b, step);
    return seconds;
}

static void report(const GpuBench *bench, const char *model, const char *scheme, const Weight *w, size_t bytes,
                   size_t tokens, double seconds, double library) {
    const double share = (double)bytes / seconds / bench->copy;
    const double operations = 2.0 * (double)w->out * (double)w->in * (double)tokens / seconds;
    // What the bytes need, or the operations at the library's rate for F16.
    const double least = fmax((double)bytes / bench->copy, operations * seconds / fmax(bench->gemm, 1));
    cJSON *entry = cJSON_CreateObject();
    cJSON_AddStringToObject(entry, "model", model);
    cJSON_AddNumberToObject(entry, "out", (double)w->out);
    cJSON_AddNumberToObject(entry, "in", (double)w->in);
    cJSON_AddStringToObject(entry, "scheme", scheme);
    cJSON_AddNumberToObject(entry, "batch", (double)tokens);
    cJSON_AddNumberToObject(entry, "microseconds", seconds * 1e6);
    cJSON_AddNumberToObject(entry, "share_of_copy", share);
    cJSON_AddNumberToObject(entry, "tflops", operations / 1e12);
    cJSON_AddNumberToObject(entry, "roofline_microseconds", least * 1e6);
    if (isfinite(library)) cJSON_AddNumberToObject(entry, "times_cublas_fp16", library / seconds);
    add_case(bench, "products", entry);
    printf("%-4s %6zu x %-6zu %-13s %4zu %9.1f us  %5.1f %% of copy  %7.1f TFLOP/s  %5.2f x cuBLAS fp16\n", model,
           w->out, w->in, scheme, tokens, seconds * 1e6, 100 * share, operations / 1e12, library / seconds);
}

static void bench_shape(const GpuBench *bench, const char *model, size_t out, size_t in) {
    Backend *b = bench->b;
    Weight *dense[MOST_COPIES] = {0}, *w[MOST_COPIES] = {0};
    const size_t copies = sizes.cache / (out * in * 2) + 1, *batches = sizes.batches;
    double library[MOST_BATCHES] = {0};
    must(copies > 0 && copies <= MOST_COPIES);
    for (size_t i = 0; i < copies; i++)
        must(b->ops->weight_dense(b, DTYPE_F16, bench->weights, out, in, NULL, PRECISION_NATIVE, &dense[i], &err));
    for (int t = 0; t < (int)sizes.batch_count; t++) {
        library[t] = library_seconds(bench, dense, copies, batches[t]);
        if (isfinite(library[t]))
            report(bench, model, "cuBLAS fp16", dense[0], out * in * 2, batches[t], library[t], library[t]);
    }
    for (int s = 0; s < SCHEMES; s++) {
        if (!wanted(bench->scheme, schemes[s].name)) continue;
        // A quantized copy is a part of a dense one: more of them are needed to exceed the cache.
        size_t own = schemes[s].bits ? sizes.cache / (out * in * (size_t)schemes[s].bits / 8) + 1 : copies;
        if (own > MOST_COPIES) own = MOST_COPIES;
        for (size_t i = 0; i < own; i++)
            w[i] = schemes[s].bits ? quantized_from(b, dense[0], &schemes[s], NULL) : dense[i];
        for (int t = 0; t < (int)sizes.batch_count; t++) {
            if (!schemes[s].bits && batches[t] > DENSE_FEW) continue; // that is the library
            double seconds = product_seconds(bench, w, own, batches[t]);
            report(bench, model, schemes[s].name, w[0], b->ops->weight_bytes(w[0]), batches[t], seconds, library[t]);
        }
        for (size_t i = 0; schemes[s].bits && i < own; i++) b->ops->weight_free(b, w[i]);
    }
    for (size_t i = 0; i < copies; i++) b->ops->weight_free(b, dense[i]);
}

static void bench_products(const GpuBench *bench) {
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        bench_shape(bench, shapes[i].model, shapes[i].out / sizes.part, shapes[i].in / sizes.part);
}

// ---- Quantizing ----

// One matrix again and again, memory included; with the sums of errors that a model asks for, or without.
static void bench_quantize_scheme(const GpuBench *bench, const Weight *dense, const GpuScheme *s, double *errors) {
    Backend *b = bench->b;
    double start = 0;
    for (int i = -1; i < sizes.times; i++) { // the first makes memory
        if (i == 0) start = clock_seconds();
        b->ops->weight_free(b, quantized_from(b, dense, s, errors));
    }
    const double seconds = (clock_seconds() - start) / sizes.times, n = (double)dense->out * (double)dense->in;
    const double bytes = n * (2 + s->bits / 8.0 + (s->group ? 2.0 / (double)s->group : 0)), least = bytes / bench->copy;
    cJSON *entry = cJSON_CreateObject();
    cJSON_AddNumberToObject(entry, "out", (double)dense->out);
    cJSON_AddNumberToObject(entry, "in", (double)dense->in);
    cJSON_AddStringToObject(entry, "scheme", s->name);
    cJSON_AddBoolToObject(entry, "errors", errors != NULL);
    cJSON_AddNumberToObject(entry, "microseconds", seconds * 1e6);
    cJSON_AddNumberToObject(entry, "times_bytes", seconds / least);
    add_case(bench, "quantize", entry);
    printf("quantize %zu x %zu fp16 to %s%s: %.0f us, memory included; its bytes need %.0f us\n", dense->out, dense->in,
           s->name, errors ? " with errors" : "", seconds * 1e6, least * 1e6);
}

static void bench_quantize(const GpuBench *bench) {
    static const GpuScheme quantized[] = {{"int4 g64", 4, 64, ACTIVATION_NONE},
                                          {"int4 g128", 4, 128, ACTIVATION_NONE},
                                          {"int8 channel", 8, 0, ACTIVATION_NONE}};
    static const size_t matrices[][2] = {{11008, 4096}, {28672, 8192}};
    Backend *b = bench->b;
    for (size_t i = 0; i < sizeof matrices / sizeof *matrices; i++) {
        const size_t out = matrices[i][0] / sizes.part, in = matrices[i][1] / sizes.part;
        double *errors = array_new(2 * out, sizeof *errors);
        Weight *dense = NULL;
        must(errors &&
             b->ops->weight_dense(b, DTYPE_F16, bench->weights, out, in, NULL, PRECISION_NATIVE, &dense, &err));
        for (size_t n = 0; n < 2 * sizeof quantized / sizeof *quantized; n++)
            bench_quantize_scheme(bench, dense, &quantized[n / 2], n % 2 ? errors : NULL);
        b->ops->weight_free(b, dense);
        free(errors);
    }
}

// ---- Attention of prompts ----

// 512 tokens at the beginning of a text, and at the end of 2,048; heads that share keys fourfold, and that do not.
static void bench_attention(const GpuBench *bench) {
    const DType types[] = {DTYPE_F16, DTYPE_I8};
    const size_t tokens = sizes.contexts[1] / 2, positions = sizes.contexts[2];
    const size_t width = (size_t)(sizes.heads * sizes.head_dim);
    Backend *b = bench->b;
    for (int i = 0; i < 8; i++) {
        const size_t first = i % 2 ? positions - tokens : 0;
        const int kv_heads = i / 2 % 2 && sizes.heads % 4 == 0 ? sizes.heads / 4 : sizes.heads;
        const AttentionShape shape = {
            .heads = sizes.heads, .kv_heads = kv_heads, .head_dim = sizes.head_dim, .scale = 0.09f};
        Cache *cache;
        must(b->ops->cache_new(b, 1, 1, kv_heads, sizes.head_dim, positions, types[i / 4], &cache, &err));
        for (size_t p = 0; p < positions; p += tokens)
            b->ops->cache_write(b, cache, 0, p, positions - p < tokens ? positions - p : tokens, bench->x, bench->x);
        b->ops->attention(b, cache, 0, &shape, bench->x, first, tokens, bench->y);
        b->ops->synchronize(b);
        double start = clock_seconds();
        for (int n = 0; n < sizes.times; n++) b->ops->attention(b, cache, 0, &shape, bench->x, first, tokens, bench->y);
        b->ops->synchronize(b);
        const double seconds = (clock_seconds() - start) / sizes.times;
        const double seen = (double)tokens * ((double)first + (double)(tokens + 1) / 2);
        cJSON *entry = cJSON_CreateObject();
        cJSON_AddNumberToObject(entry, "heads", sizes.heads);
        cJSON_AddNumberToObject(entry, "kv_heads", kv_heads);
        cJSON_AddStringToObject(entry, "cache", dtype_name(types[i / 4]));
        cJSON_AddNumberToObject(entry, "tokens", (double)tokens);
        cJSON_AddNumberToObject(entry, "before", (double)first);
        cJSON_AddNumberToObject(entry, "microseconds", seconds * 1e6);
        cJSON_AddNumberToObject(entry, "tflops", 4 * (double)width * seen / seconds / 1e12);
        add_case(bench, "attention", entry);
        printf("attention, %d of %d heads, cache %s: %zu tokens after %zu in %.0f us, %.1f TFLOP/s\n", sizes.heads,
               kv_heads, dtype_name(types[i / 4]), tokens, first, seconds * 1e6,
               4 * (double)width * seen / seconds / 1e12);
        b->ops->cache_free(b, cache);
    }
    must(b->ops->healthy(b, &err));
}

// ---- Choosing tokens ----

typedef struct Choosing {
    const char *what;
    float temperature, top_p;
    bool equal; // logits are all the same: every weight goes into one sum; otherwise as spread as a model's
} Choosing;

// Seconds of choosing and of its way to the host.
static double choose_seconds(Backend *b, const Choosing *c, const float *logits, size_t rows) {
    double points[CHOOSE_ROWS], start = 0;
    int32_t ids[CHOOSE_ROWS];
    float probabilities[CHOOSE_ROWS];
    for (int t = -1; t < sizes.times; t++) { // the first makes memory
        if (t == 0) start = clock_seconds();
        for (size_t r = 0; r < rows; r++) points[r] = (double)((size_t)(t + 1) + r) / (sizes.times + CHOOSE_ROWS + 1);
        b->ops->choose(b, logits, rows, sizes.choices, &(Draw){c->temperature, c->top_p, points}, ids, probabilities);
    }
    must(b->ops->healthy(b, &err));
    return (clock_seconds() - start) / sizes.times;
}

static void bench_choosing(const GpuBench *bench) {
    static const Choosing cases[] = {{"greedy", 0, 1, false},
                                     {"temperature 0.8", 0.8f, 1, false},
                                     {"temperature 0.8, top_p 0.9", 0.8f, 0.9f, false},
                                     {"the same of equal logits", 0.8f, 0.9f, true}};
    Backend *b = bench->b;
    const size_t floats = CHOOSE_ROWS * sizes.choices;
    float *spread = device_floats(b, floats), *equal = device_floats(b, floats);
    b->ops->scale(b, spread, 3, floats);
    b->ops->scale(b, equal, 0, floats);
    for (size_t i = 0; i < 2 * sizeof cases / sizeof *cases; i++) {
        const Choosing *c = &cases[i / 2];
        const size_t rows = i % 2 ? CHOOSE_ROWS : 1;
        const double microseconds = choose_seconds(b, c, c->equal ? equal : spread, rows) * 1e6;
        cJSON *entry = cJSON_CreateObject();
        cJSON_AddStringToObject(entry, "what", c->what);
        cJSON_AddNumberToObject(entry, "rows", (double)rows);
        cJSON_AddNumberToObject(entry, "vocab", (double)sizes.choices);
        cJSON_AddNumberToObject(entry, "microseconds", microseconds);
        add_case(bench, "choose", entry);
        printf("choose of %zu x %zu, %s: %.0f us\n", rows, sizes.choices, c->what, microseconds);
    }
    b->ops->memory_free(b, spread), b->ops->memory_free(b, equal);
}

// ---- Decoding ----
//
// A Llama of 7B shape.

enum { MOST_BATCH = 32, LINEARS = 7 };

typedef struct GpuDecoder {
    Backend *b;
    size_t hidden;
    Weight *layers[MOST_LAYERS][LINEARS]; // q k v o gate up down
    Weight *head;
    float *gain, *cosine, *sine;
    float *residual, *normed, *q, *k, *v, *mixed, *branch, *gate, *up, *logits;
} GpuDecoder;

// Rows and columns of linear i of a layer.
static size_t layer_out(int i) { return i == 4 || i == 5 ? sizes.ffn : (size_t)(sizes.heads * sizes.head_dim); }
static size_t layer_in(int i) { return i == 6 ? sizes.ffn : (size_t)(sizes.heads * sizes.head_dim); }

static void record_layer(const GpuDecoder *d, int layer, Cache *cache, size_t batch) {
    Backend *b = d->b;
    Weight *const *w = d->layers[layer];
    const int heads = sizes.heads * (int)batch; // the sequences are at the same position
    const int head_dim = sizes.head_dim;
    const float scale = 1 / sqrtf((float)head_dim);
    const AttentionShape shape = {.heads = sizes.heads, .kv_heads = sizes.heads, .head_dim = head_dim, .scale = scale};
    b->ops->rms_norm(b, d->residual, d->gain, 1e-5f, batch, d->hidden, d->normed);
    b->ops->linears(b, (const Weight *const *)w, 3, d->normed, batch, (float *const[]){d->q, d->k, d->v});
    b->ops->rope(b, d->q, 1, heads, head_dim, head_dim, false, d->cosine, d->sine, 0);
    b->ops->rope(b, d->k, 1, heads, head_dim, head_dim, false, d->cosine, d->sine, 0);
    b->ops->cache_write(b, cache, layer, 0, 1, d->k, d->v);
    b->ops->attention(b, cache, layer, &shape, d->q, 0, 1, d->mixed);
    b->ops->linear(b, w[3], d->mixed, batch, d->branch);
    b->ops->add(b, d->residual, d->branch, batch * d->hidden);
    b->ops->rms_norm(b, d->residual, d->gain, 1e-5f, batch, d->hidden, d->normed);
    b->ops->linears(b, (const Weight *const *)w + 4, 2, d->normed, batch, (float *const[]){d->gate, d->up});
    b->ops->silu_times(b, d->gate, d->up, batch * sizes.ffn, d->gate);
    b->ops->linear(b, w[6], d->gate, batch, d->branch);
    b->ops->add(b, d->residual, d->branch, batch * d->hidden);
}

static void decode_token(const GpuDecoder *d, Cache *cache, size_t batch, const uint16_t *rows) {
    static const int32_t ids[MOST_BATCH] = {0};
    Backend *b = d->b;
    b->ops->embed(b, DTYPE_F16, rows, d->hidden, ids, batch, d->residual);
    for (int layer = 0; layer < sizes.layers; layer++) record_layer(d, layer, cache, batch);
    b->ops->rms_norm(b, d->residual, d->gain, 1e-5f, batch, d->hidden, d->normed);
    b->ops->linear(b, d->head, d->normed, batch, d->logits);
}

static Step *record_decode(const GpuDecoder *d, Cache *cache, size_t batch, const uint16_t *rows) {
    decode_token(d, cache, batch, rows);
    must(d->b->ops->step_begin(d->b));
    decode_token(d, cache, batch, rows);
    return d->b->ops->step_end(d->b);
}

// Seconds of a token: the step and the choice that follows.
static double decode_seconds(const GpuDecoder *d, Step *step, size_t batch, size_t context) {
    Backend *b = d->b;
    int32_t ids[MOST_BATCH] = {0};
    float probabilities[MOST_BATCH];
    double best = INFINITY;
    for (int round = 0; round < sizes.runs; round++) {
        double start = clock_seconds();
        for (size_t t = 0; t < sizes.tokens; t++) {
            must(b->ops->step_run(b, step, ids, context - sizes.tokens + t));
            b->ops->choose(b, d->logits, batch, sizes.vocab, &(Draw){0}, ids, probabilities);
        }
        must(b->ops->healthy(b, &err));
        best = fmin(best, (clock_seconds() - start) / (double)sizes.tokens);
    }
    return best;
}

static void fill_cache(const GpuDecoder *d, Cache *cache, size_t batch, size_t context) {
    Backend *b = d->b;
    const size_t chunk = sizes.contexts[0] < 64 ? sizes.contexts[0] : 64;
    float *k = device_floats(b, chunk * batch * d->hidden);
    for (int layer = 0; layer < sizes.layers; layer++)
        for (size_t first = 0; first + chunk <= context; first += chunk)
            b->ops->cache_write(b, cache, layer, first, chunk, k, k);
    b->ops->synchronize(b);
    b->ops->memory_free(b, k);
}

static size_t decoder_bytes(const GpuDecoder *d) {
    size_t bytes = d->b->ops->weight_bytes(d->head);
    for (int i = 0; i < sizes.layers * LINEARS; i++)
        bytes += d->b->ops->weight_bytes(d->layers[i / LINEARS][i % LINEARS]);
    return bytes;
}

static void bench_decode(const GpuBench *bench, const GpuDecoder *d, const char *scheme, DType cached) {
    Backend *b = d->b;
    if (!wanted(bench->scheme, scheme)) return;
    for (int i = 0; i < DECODES * DECODES; i++) {
        const size_t batch = sizes.sequences[i / DECODES], context = sizes.contexts[i % DECODES];
        Cache *cache;
        if (!b->ops->cache_new(b, sizes.layers, batch, sizes.heads, sizes.head_dim, context, cached, &cache, &err)) {
            printf("decode 7B %-13s batch %2zu context %4zu: %s\n", scheme, batch, context, err.message);
            continue;
        }
        fill_cache(d, cache, batch, context);
        int32_t ids[32];
        float probabilities[32];
        b->ops->choose(b, d->logits, batch, sizes.vocab, &(Draw){0}, ids, probabilities); // makes its memory
        Step *step = record_decode(d, cache, batch, bench->weights);
        must(step != NULL);
        const double seconds = decode_seconds(d, step, batch, context);
        const double kept = 2.0 * sizes.layers * (double)d->hidden * (double)batch * (double)context *
                            (cached == DTYPE_I8 ? 1.03125 : 2);
        const double share = ((double)decoder_bytes(d) + kept) / bench->copy / seconds;
        cJSON *entry = cJSON_CreateObject();
        cJSON_AddStringToObject(entry, "model", "7B");
        cJSON_AddStringToObject(entry, "scheme", scheme);
        cJSON_AddNumberToObject(entry, "batch", (double)batch);
        cJSON_AddNumberToObject(entry, "context", (double)context);
        cJSON_AddNumberToObject(entry, "tokens_per_second", (double)batch / seconds);
        cJSON_AddNumberToObject(entry, "share_of_limit", share);
        add_case(bench, "decode", entry);
        printf("decode 7B %-13s batch %2zu context %4zu: %8.1f tokens/s, %5.1f %% of the copy rate\n", scheme, batch,
               context, (double)batch / seconds, 100 * share);
        b->ops->step_free(b, step);
        b->ops->cache_free(b, cache);
    }
}

static void decoder_memory(GpuDecoder *d) {
    const size_t batch = sizes.sequences[DECODES - 1], positions = sizes.contexts[DECODES - 1];
    Backend *b = d->b;
    float **const buffers[] = {&d->residual, &d->normed, &d->q, &d->k, &d->v, &d->mixed, &d->branch};
    d->hidden = (size_t)(sizes.heads * sizes.head_dim);
    for (size_t i = 0; i < sizeof buffers / sizeof *buffers; i++) *buffers[i] = device_floats(b, batch * d->hidden);
    d->gate = device_floats(b, batch * sizes.ffn);
    d->up = device_floats(b, batch * sizes.ffn);
    d->logits = device_floats(b, batch * sizes.vocab);
    d->gain = device_floats(b, d->hidden);
    d->cosine = device_floats(b, positions * (size_t)sizes.head_dim / 2);
    d->sine = device_floats(b, positions * (size_t)sizes.head_dim / 2);
}

static void decoder_free(GpuDecoder *d) {
    Backend *b = d->b;
    float *const buffers[] = {d->residual, d->normed, d->q,      d->k,    d->v,      d->mixed, d->branch,
                              d->gate,     d->up,     d->logits, d->gain, d->cosine, d->sine};
    for (size_t i = 0; i < sizeof buffers / sizeof *buffers; i++) b->ops->memory_free(b, buffers[i]);
    for (int i = 0; i < sizes.layers * LINEARS; i++) b->ops->weight_free(b, d->layers[i / LINEARS][i % LINEARS]);
    b->ops->weight_free(b, d->head);
}

static const GpuScheme decoded[] = {{"int4 g64", 4, 64, ACTIVATION_NONE},
                                    {"int8 channel", 8, 0, ACTIVATION_NONE},
                                    {"W4A8 g128", 4, 128, ACTIVATION_TOKEN},
                                    {"W8A8 channel", 8, 0, ACTIVATION_TOKEN}};
enum { DECODED = sizeof decoded / sizeof *decoded };
static const char small_cache[] = "int4 g64 kv8"; // the same as int4 g64, with a cache of 8 bits

// Of the 7B model in this scheme; base: the dense one.
static void bench_decode_scheme(const GpuBench *bench, const GpuDecoder *base, const GpuScheme *scheme) {
    static GpuDecoder other;
    Backend *b = bench->b;
    const bool both = strncmp(small_cache, scheme->name, strlen(scheme->name)) == 0;
    if (!wanted(bench->scheme, scheme->name) && !(both && wanted(bench->scheme, small_cache))) return;
    other = *base;
    for (int i = 0; i < sizes.layers * LINEARS; i++)
        other.layers[i / LINEARS][i % LINEARS] =
            quantized_from(b, base->layers[i / LINEARS][i % LINEARS], scheme, NULL);
    bench_decode(bench, &other, scheme->name, DTYPE_F16);
    if (both) bench_decode(bench, &other, small_cache, DTYPE_I8);
    for (int i = 0; i < sizes.layers * LINEARS; i++) b->ops->weight_free(b, other.layers[i / LINEARS][i % LINEARS]);
}

static void bench_decoding(const GpuBench *bench) {
    static GpuDecoder base;
    Backend *b = bench->b;
    base.b = b;
    decoder_memory(&base);
    for (int i = 0; i < sizes.layers * LINEARS; i++) {
        const int n = i % LINEARS;
        must(b->ops->weight_dense(b, DTYPE_F16, bench->weights, layer_out(n), layer_in(n), NULL, PRECISION_NATIVE,
                                  &base.layers[i / LINEARS][n], &err));
    }
    must(b->ops->weight_dense(b, DTYPE_F16, bench->weights, sizes.vocab, base.hidden, NULL, PRECISION_NATIVE,
                              &base.head, &err));
    bench_decode(bench, &base, "fp16", DTYPE_F16);
    for (int s = 0; s < DECODED; s++) bench_decode_scheme(bench, &base, &decoded[s]);
    decoder_free(&base);
}

// ---- Goals ----

typedef struct FigureRange {
    double low, high;
} FigureRange;

static bool is(const cJSON *entry, const char *field, const char *text) {
    const cJSON *value = cJSON_GetObjectItemCaseSensitive(entry, field);
    return cJSON_IsString(value) && strcmp(value->valuestring, text) == 0;
}

static double number(const cJSON *entry, const char *field) {
    const cJSON *value = cJSON_GetObjectItemCaseSensitive(entry, field);
    return cJSON_IsNumber(value) ? value->valuedouble : NAN;
}

// Of all matrices that take more than `bytes` in the scheme; batch 0: at any.
static FigureRange products_range(const cJSON *products, const char *scheme, double batch, double bits, size_t bytes,
                                  const char *field) {
    FigureRange range = {NAN, NAN};
    const cJSON *entry;
    cJSON_ArrayForEach(entry, products) {
        if (!is(entry, "scheme", scheme) || (batch != 0 && number(entry, "batch") != batch)) continue;
        if (number(entry, "out") * number(entry, "in") * bits / 8 <= (double)bytes) continue;
        range.low = fmin(range.low, number(entry, field));
        range.high = fmax(range.high, number(entry, field));
    }
    return range;
}

static double decode_figure(const cJSON *decode, const char *scheme, size_t batch, size_t context, const char *field) {
    const cJSON *entry;
    cJSON_ArrayForEach(entry, decode) {
        if (is(entry, "scheme", scheme) && number(entry, "batch") == (double)batch &&
            number(entry, "context") == (double)context)
            return number(entry, field);
    }
    return NAN;
}

static FigureRange quantize_range(const cJSON *root) {
    FigureRange range = {NAN, NAN};
    const cJSON *entry;
    cJSON_ArrayForEach(entry, cJSON_GetObjectItemCaseSensitive(root, "quantize")) {
        range.low = fmin(range.low, number(entry, "times_bytes"));
        range.high = fmax(range.high, number(entry, "times_bytes"));
    }
    return range;
}

// all: also those of which nothing was measured.
static void report_goal(cJSON *goals, bool all, const char *what, FigureRange range, bool at_most, double goal) {
    const bool known = isfinite(range.low), reached = at_most ? range.high <= goal : range.low >= goal;
    if (!known && !all) return;
    if (cJSON_GetArraySize(goals) == 0) printf("\nLowest and highest of all matrices, and the goals:\n");
    const char *verdict = !known ? "not measured" : reached ? "reached" : "not reached";
    cJSON *entry = cJSON_CreateObject();
    cJSON_AddStringToObject(entry, "what", what);
    cJSON_AddNumberToObject(entry, at_most ? "at_most" : "at_least", goal);
    cJSON_AddNumberToObject(entry, "lowest", range.low);
    cJSON_AddNumberToObject(entry, "highest", range.high);
    cJSON_AddStringToObject(entry, "verdict", verdict);
    cJSON_AddItemToArray(goals, entry);
    printf("%-66s %6.2f … %-6.2f goal %s %.2f: %s\n", what, range.low, range.high, at_most ? "≤" : "≥", goal, verdict);
}

static void report_goals(cJSON *root, bool all) {
    const struct {
        const char *what, *scheme;
        double batch, goal;
        size_t bytes; // of larger matrices only
    } against_library[] = {{"int4 g64, batch 16, times cuBLAS fp16", "int4 g64", 16, 2.5, sizes.l2},
                           {"int4 g64, batch 32, times cuBLAS fp16", "int4 g64", 32, 2.0, sizes.l2},
                           {"int4 g64, batch 64, times cuBLAS fp16", "int4 g64", 64, 1.2, sizes.l2},
                           {"int4 g64, any batch and matrix, times cuBLAS fp16", "int4 g64", 0, 0.9, 0},
                           {"W4A8 g128, batch 64, times cuBLAS fp16", "W4A8 g128", 64, 1.5, sizes.l2},
                           {"W4A8 g128, batch 128, times cuBLAS fp16", "W4A8 g128", 128, 1.3, sizes.l2},
                           {"W4A8 g128, batch 256, times cuBLAS fp16", "W4A8 g128", 256, 1.1, sizes.l2},
                           {"W4A8 channel, batch 64, times cuBLAS fp16", "W4A8 channel", 64, 1.5, sizes.l2},
                           {"W4A8 channel, batch 128, times cuBLAS fp16", "W4A8 channel", 128, 1.3, sizes.l2},
                           {"W4A8 channel, batch 256, times cuBLAS fp16", "W4A8 channel", 256, 1.1, sizes.l2}};
    const cJSON *products = cJSON_GetObjectItemCaseSensitive(root, "products"),
                *decode = cJSON_GetObjectItemCaseSensitive(root, "decode");
    const size_t context = sizes.contexts[0];
    const double share = decode_figure(decode, "fp16", 1, context, "share_of_limit");
    const double ratio = decode_figure(decode, "int4 g64", 1, context, "tokens_per_second") /
                         decode_figure(decode, "fp16", 1, context, "tokens_per_second");
    cJSON *goals = cJSON_AddArrayToObject(root, "goals");
    report_goal(goals, all, "int4 g64, batch 1, share of the copy rate, larger than the cache",
                products_range(products, "int4 g64", 1, 4, sizes.l2, "share_of_copy"), false, 0.85);
    for (size_t i = 0; i < sizeof against_library / sizeof *against_library; i++)
        report_goal(goals, all, against_library[i].what,
                    products_range(products, against_library[i].scheme, against_library[i].batch, 4,
                                   against_library[i].bytes, "times_cublas_fp16"),
                    false, against_library[i].goal);
    report_goal(goals, all, "decode 7B fp16, batch 1, share of the copy rate", (FigureRange){share, share}, false, 0.8);
    report_goal(goals, all, "decode 7B int4 g64, batch 1, times fp16", (FigureRange){ratio, ratio}, false, 2.7);
    report_goal(goals, all, "quantize fp16, times what its bytes need", quantize_range(root), true, 3);
}

// ---- All of it ----

typedef struct BenchPart {
    const char *name;
    void (*run)(const GpuBench *);
} BenchPart;

// What tells most comes first.
static const BenchPart parts[] = {{"products", bench_products},
                                  {"quantize", bench_quantize},
                                  {"attention", bench_attention},
                                  {"choose", bench_choosing},
                                  {"decode", bench_decoding}};
enum { PARTS = sizeof parts / sizeof *parts };

typedef struct GpuOptions {
    bool emulated, some, only[PARTS]; // some: not all of it
    const char *scheme, *folder;
} GpuOptions;

static void print_usage(FILE *to) {
    fprintf(to, "usage: bench_gpu [--emulated] [--only PART]... [--scheme SCHEME] [FOLDER]\n"
                "How fast the CUDA kernels are. Results go to FOLDER/DEVICE.json, written after every case;\n"
                "FOLDER is tests/bench/results unless it is given.\n"
                "  --emulated       everything at toy sizes on an emulated device, to see that this program works\n"
                "  --only PART      of");
    for (int i = 0; i < PARTS; i++) fprintf(to, " %s", parts[i].name);
    fprintf(to,
            "; may be repeated\n"
            "  --scheme SCHEME  products and decode only in schemes that begin so: %s",
            schemes[0].name);
    for (int i = 1; i < SCHEMES; i++) fprintf(to, ", %s", schemes[i].name);
    fprintf(to, "; decode also %s\n", small_cache);
}

static _Noreturn void misused(const char *what, const char *value) {
    fprintf(stderr, "bench_gpu: %s: \"%s\".\n", what, value);
    print_usage(stderr);
    exit(2);
}

static void choose_part(GpuOptions *o, const char *name) {
    for (int i = 0; i < PARTS; i++) {
        if (strcmp(name, parts[i].name) != 0) continue;
        o->only[i] = o->some = true;
        return;
    }
    misused("there is no such part", name);
}

static void choose_scheme(GpuOptions *o, const char *name) {
    bool known = wanted(name, small_cache);
    for (int i = 0; i < SCHEMES; i++) known = known || wanted(name, schemes[i].name);
    for (int i = 0; i < DECODED; i++) known = known || wanted(name, decoded[i].name);
    if (!known) misused("no scheme begins so", name);
    o->scheme = name;
    o->some = true;
}

static GpuOptions read_options(int argc, char **argv) {
    GpuOptions o = {.folder = NULL};
    bool chosen = false;
    for (int i = 1; i < argc; i++) {
        const bool takes = strcmp(argv[i], "--only") == 0 || strcmp(argv[i], "--scheme") == 0;
        if (takes && i + 1 == argc) misused("an option lacks its value", argv[i]);
        if (strcmp(argv[i], "--help") == 0) {
            print_usage(stdout);
            exit(0);
        } else if (strcmp(argv[i], "--emulated") == 0) {
            o.emulated = true;
        } else if (takes && argv[i][2] == 'o') {
            choose_part(&o, argv[++i]);
            chosen = true;
        } else if (takes) {
            choose_scheme(&o, argv[++i]);
        } else if (argv[i][0] == '-' || o.folder) {
            misused("there is no such option", argv[i]);
        } else {
            o.folder = argv[i];
        }
    }
    for (int i = 0; i < PARTS && !chosen; i++) o.only[i] = true;
    if (!o.folder) o.folder = "tests/bench/results";
    return o;
}

// FOLDER/DEVICE.json; the device's name without what a file's name had better not have.
static char *results_path(const char *folder, const char *device) {
    char name[300];
    snprintf(name, sizeof name, "%s.json", device);
    for (char *c = name; c < name + strlen(name) - strlen(".json"); c++)
        if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789", *c)) *c = '-';
    char *path = path_join(folder, name);
    must(path && folder_make(folder, &err));
    return path;
}

static void open_device(GpuBench *bench, bool emulated) {
    EmulatedDevice device = emulated_hopper;
    device.library = true;
    sizes = emulated ? toy_sizes : real_sizes;
    error_set(&err, "this machine cannot emulate a device");
    must(emulated ? backend_emulated_new(&device, &bench->b) : backend_cuda_new(0, &bench->b, &err));
    err = (Error){0};
    bench->runtime = cuda_of(bench->b)->runtime;
}

static void bench_limits(GpuBench *bench) {
    const CudaFacts *facts = &bench->runtime->facts;
    bench->copy = copy_rate(bench->runtime, bench->b);
    bench->gemm = gemm_rate(bench->runtime, bench->b);
    printf("%s, %s: copies %.0f GB/s, multiplies fp16 at %.0f TFLOP/s\n", facts->name, bench->runtime->library,
           bench->copy / 1e9, bench->gemm / 1e12);
    cJSON *limit = cJSON_AddObjectToObject(bench->root, "limit");
    cJSON_AddStringToObject(bench->root, "device", facts->name);
    cJSON_AddStringToObject(bench->root, "library", bench->runtime->library);
    cJSON_AddNumberToObject(limit, "copy_gb_per_s", bench->copy / 1e9);
    cJSON_AddNumberToObject(limit, "gemm_tflops", bench->gemm / 1e12);
    keep_results(bench);
}

int main(int argc, char **argv) {
    const GpuOptions options = read_options(argc, argv);
    GpuBench bench = {.scheme = options.scheme, .root = cJSON_CreateObject()};
    setvbuf(stdout, NULL, _IOLBF, 0); // what is known shows at once, in a file too
    open_device(&bench, options.emulated);
    Backend *b = bench.b;
    const size_t widest = 28672 / sizes.part, floats = MOST_TOKENS * widest;
    uint16_t *halves = random_halves(widest * 8192 / (sizes.part > 1 ? 4 : 1));
    bench.path = results_path(options.folder, bench.runtime->facts.name);
    bench.weights = halves;
    bench.x = device_floats(b, floats);
    bench.y = device_floats(b, floats);
    bench.nowhere = device_floats(b, 1);
    bench.halves = b->ops->memory_new(b, floats * 2, &err);
    must(bench.halves != NULL);
    b->ops->upload(b, bench.halves, halves, floats * 2);
    bench_limits(&bench);
    for (int i = 0; i < PARTS; i++)
        if (options.only[i]) parts[i].run(&bench);
    report_goals(bench.root, !options.some);
    keep_results(&bench);
    printf("written to %s\n", bench.path);
    cJSON_Delete(bench.root);
    free(halves), free(bench.path);
    void *const memory[] = {bench.x, bench.y, bench.nowhere, bench.halves};
    for (size_t i = 0; i < sizeof memory / sizeof *memory; i++) b->ops->memory_free(b, memory[i]);
    b->ops->destroy(b);
    return 0;
}
