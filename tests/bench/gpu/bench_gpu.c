// How fast the CUDA kernels are: products with matrices of Llama's shapes against the vendor's library, and decoding
// with whole models of random weights, each beside what the device can do, measured in the same run. Writes JSON.
//
// Each product runs as a recorded step of many, over copies that together exceed the cache of the device, so launches
// do not count and memory does.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cjson/cJSON.h>

#include "base/array.h"
#include "base/clock.h"
#include "base/random.h"
#include "kernels/cuda/cuda.h"

static Error err;

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
    for (double until = clock_seconds() + 0.15; n < MOST && (n < 3 || clock_seconds() < until); n++) {
        double start = clock_seconds();
        must(b->ops->step_run(b, step, &id, 0));
        b->ops->synchronize(b);
        times[n] = clock_seconds() - start;
        for (int i = n; i > 0 && times[i] < times[i - 1]; i--) {
            double t = times[i];
            times[i] = times[i - 1], times[i - 1] = t;
        }
    }
    must(b->ops->healthy(b, &err));
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
    const size_t bytes = (size_t)1 << 30;
    void *from = b->ops->memory_new(b, bytes, &err), *to = b->ops->memory_new(b, bytes, &err);
    must(from && to);
    r->copy(r, to, from, bytes);
    r->synchronize(r);
    double start = clock_seconds();
    for (int i = 0; i < 20; i++) r->copy(r, to, from, bytes);
    r->synchronize(r);
    double seconds = clock_seconds() - start;
    b->ops->memory_free(b, from), b->ops->memory_free(b, to);
    return 20 * 2.0 * (double)bytes / seconds;
}

static double gemm_rate(CudaRuntime *r, Backend *b) {
    const size_t n = 8192;
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

typedef struct Scheme {
    const char *name;
    int bits;     // 0: F16
    size_t group; // 0: per channel
    ActivationMode mode;
} Scheme;

static const Scheme schemes[] = {
    {"fp16", 0, 0, ACTIVATION_NONE},         {"int8 g64", 8, 64, ACTIVATION_NONE},
    {"int4 g64", 4, 64, ACTIVATION_NONE},    {"int4 g128", 4, 128, ACTIVATION_NONE},
    {"int4 channel", 4, 0, ACTIVATION_NONE}, {"int3 g64", 3, 64, ACTIVATION_NONE},
    {"int2 g64", 2, 64, ACTIVATION_NONE},    {"W8A8 channel", 8, 0, ACTIVATION_TOKEN},
    {"W4A8 g128", 4, 128, ACTIVATION_TOKEN}, {"W4A8 channel", 4, 0, ACTIVATION_TOKEN},
};
enum { SCHEMES = sizeof schemes / sizeof *schemes, MOST_TOKENS = 256 };

static const size_t batches[] = {1, 2, 4, 8, 16, 32, 64, 128, 256};
enum { BATCHES = sizeof batches / sizeof *batches };

static const struct {
    const char *model;
    size_t out, in;
} shapes[] = {{"7B", 4096, 4096},   {"7B", 11008, 4096},  {"7B", 4096, 11008}, {"70B", 8192, 8192},
              {"70B", 28672, 8192}, {"70B", 8192, 28672}, {"70B", 1024, 8192}};

static Weight *quantized_from(Backend *b, const Weight *dense, const Scheme *s, size_t in) {
    Weight *w = NULL;
    const WeightQuantizing how = {s->bits, s->group ? s->group : in, DTYPE_F16, NULL, NULL};
    const ActivationScheme scheme = {.mode = s->mode};
    must(b->ops->weight_from_dense(b, dense, &how, &scheme, NULL, NULL, &w, &err));
    return w;
}

typedef struct Bench {
    Backend *b;
    CudaRuntime *runtime;
    double copy, gemm; // bytes and operations per second
    float *x, *y, *nowhere;
    void *halves; // x in 16 bits
    cJSON *products;
} Bench;

// y = W x with each of the copies in turn, about 5 ms of them in one step. The activations are prepared once: in a
// model q, k and v share that, and decoding below pays for it.
static double product_seconds(const Bench *bench, Weight *const *w, size_t copies, size_t tokens) {
    Backend *b = bench->b;
    size_t repeats = (size_t)(5e-3 * bench->copy / (double)b->ops->weight_bytes(w[0])) + 1;
    if (repeats > 400) repeats = 400;
    begin_step(b, bench->nowhere);
    for (size_t i = 0; i < repeats; i++) b->ops->linear(b, w[i % copies], bench->x, tokens, bench->y);
    Step *step = b->ops->step_end(b);
    double seconds = step_seconds(b, step) / (double)repeats;
    b->ops->step_free(b, step);
    return seconds;
}

// The vendor's library on F16 numbers that lie ready.
static double library_seconds(const Bench *bench, Weight *const *w, size_t copies, size_t tokens) {
    CudaRuntime *r = bench->runtime;
    if (!r->product || copies == 0) return NAN;
    const size_t repeats = 50;
    double best = INFINITY;
    for (int run = 0; run < 5; run++) {
        r->synchronize(r);
        double start = clock_seconds();
        for (size_t i = 0; i < repeats; i++) {
            const Weight *v = w[i % copies];
            const LibraryProduct p = {DTYPE_F16, v->data,   bench->halves, v->out,  v->in,
                                      tokens,    v->stride, v->in,         bench->y};
            must(r->product(r, &p) == 0);
        }
        r->synchronize(r);
        if (run > 0) best = fmin(best, (clock_seconds() - start) / (double)repeats);
    }
    return best;
}

static void report(const Bench *bench, const char *model, const char *scheme, const Weight *w, size_t bytes,
                   size_t tokens, double seconds, double library) {
    const double share = (double)bytes / seconds / bench->copy;
    const double operations = 2.0 * (double)w->out * (double)w->in * (double)tokens / seconds;
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
    cJSON_AddItemToArray(bench->products, entry);
    printf("%-4s %6zu x %-6zu %-13s %4zu %9.1f us  %5.1f %% of copy  %7.1f TFLOP/s  %5.2f x cuBLAS fp16\n", model,
           w->out, w->in, scheme, tokens, seconds * 1e6, 100 * share, operations / 1e12, library / seconds);
}

static void bench_shape(Bench *bench, const char *model, size_t out, size_t in, const uint16_t *halves) {
    Backend *b = bench->b;
    enum { MOST_COPIES = 64 };
    Weight *dense[MOST_COPIES] = {0}, *w[MOST_COPIES] = {0};
    size_t copies = ((size_t)256 << 20) / (out * in * 2) + 1;
    double library[BATCHES];
    for (size_t i = 0; i < copies; i++)
        must(b->ops->weight_dense(b, DTYPE_F16, halves, out, in, NULL, PRECISION_NATIVE, &dense[i], &err));
    for (int t = 0; t < BATCHES; t++) {
        library[t] = library_seconds(bench, dense, copies, batches[t]);
        if (isfinite(library[t]))
            report(bench, model, "cuBLAS fp16", dense[0], out * in * 2, batches[t], library[t], library[t]);
    }
    for (int s = 0; s < SCHEMES; s++) {
        // A quantized copy is a part of a dense one: more of them are needed to exceed the cache.
        size_t own = schemes[s].bits ? ((size_t)256 << 20) / (out * in * (size_t)schemes[s].bits / 8) + 1 : copies;
        if (own > MOST_COPIES) own = MOST_COPIES;
        for (size_t i = 0; i < own; i++)
            w[i] = schemes[s].bits ? quantized_from(b, dense[0], &schemes[s], in) : dense[i];
        for (int t = 0; t < BATCHES; t++) {
            if (!schemes[s].bits && batches[t] > DENSE_FEW) continue; // that is the library
            double seconds = product_seconds(bench, w, own, batches[t]);
            report(bench, model, schemes[s].name, w[0], b->ops->weight_bytes(w[0]), batches[t], seconds, library[t]);
        }
        for (size_t i = 0; schemes[s].bits && i < own; i++) b->ops->weight_free(b, w[i]);
    }
    for (size_t i = 0; i < copies; i++) b->ops->weight_free(b, dense[i]);
}

// ---- Quantizing ----

static void bench_quantize(const Bench *bench, const uint16_t *halves, cJSON *root) {
    enum { OUT = 11008, IN = 4096, TIMES = 20 };
    Backend *b = bench->b;
    Weight *dense = NULL;
    const Scheme s = {"int4 g64", 4, 64, ACTIVATION_NONE};
    must(b->ops->weight_dense(b, DTYPE_F16, halves, OUT, IN, NULL, PRECISION_NATIVE, &dense, &err));
    b->ops->weight_free(b, quantized_from(b, dense, &s, IN));
    double start = clock_seconds();
    for (int i = 0; i < TIMES; i++) b->ops->weight_free(b, quantized_from(b, dense, &s, IN));
    double seconds = (clock_seconds() - start) / TIMES, least = (double)OUT * IN * (2 + 0.53125) / (bench->copy);
    cJSON *entry = cJSON_AddObjectToObject(root, "quantize");
    cJSON_AddNumberToObject(entry, "microseconds", seconds * 1e6);
    cJSON_AddNumberToObject(entry, "times_bytes", seconds / least);
    printf("quantize %d x %d fp16 to int4 g64: %.0f us, memory included; its bytes need %.0f us\n", OUT, IN,
           seconds * 1e6, least * 1e6);
    b->ops->weight_free(b, dense);
}

// ---- Decoding ----
//
// A Llama of 7B shape.

enum { MOST_BATCH = 32 };
enum { LAYERS = 32, HIDDEN = 4096, FFN = 11008, HEADS = 32, HEAD_DIM = 128, VOCAB = 32000, LINEARS = 7 };

typedef struct Decoder {
    Backend *b;
    Weight *layers[LAYERS][LINEARS]; // q k v o gate up down
    Weight *head;
    float *gain, *cosine, *sine;
    float *hidden, *normed, *q, *k, *v, *mixed, *branch, *gate, *up, *logits;
} Decoder;

static const size_t layer_shapes[LINEARS][2] = {{HIDDEN, HIDDEN}, {HIDDEN, HIDDEN}, {HIDDEN, HIDDEN}, {HIDDEN, HIDDEN},
                                                {FFN, HIDDEN},    {FFN, HIDDEN},    {HIDDEN, FFN}};

static void record_layer(const Decoder *d, int layer, Cache *cache, size_t batch) {
    Backend *b = d->b;
    Weight *const *w = d->layers[layer];
    const int heads = HEADS * (int)batch; // the sequences are at the same position
    const AttentionShape shape = {.heads = HEADS, .kv_heads = HEADS, .head_dim = HEAD_DIM, .scale = 0.088388f};
    b->ops->rms_norm(b, d->hidden, d->gain, 1e-5f, batch, HIDDEN, d->normed);
    b->ops->linear(b, w[0], d->normed, batch, d->q);
    b->ops->linear(b, w[1], d->normed, batch, d->k);
    b->ops->linear(b, w[2], d->normed, batch, d->v);
    b->ops->rope(b, d->q, 1, heads, HEAD_DIM, HEAD_DIM, d->cosine, d->sine, 0);
    b->ops->rope(b, d->k, 1, heads, HEAD_DIM, HEAD_DIM, d->cosine, d->sine, 0);
    b->ops->cache_write(b, cache, layer, 0, 1, d->k, d->v);
    b->ops->attention(b, cache, layer, &shape, d->q, 0, 1, d->mixed);
    b->ops->linear(b, w[3], d->mixed, batch, d->branch);
    b->ops->add(b, d->hidden, d->branch, batch * HIDDEN);
    b->ops->rms_norm(b, d->hidden, d->gain, 1e-5f, batch, HIDDEN, d->normed);
    b->ops->linear(b, w[4], d->normed, batch, d->gate);
    b->ops->linear(b, w[5], d->normed, batch, d->up);
    b->ops->silu_times(b, d->gate, d->up, batch * FFN, d->gate);
    b->ops->linear(b, w[6], d->gate, batch, d->branch);
    b->ops->add(b, d->hidden, d->branch, batch * HIDDEN);
}

static Step *record_decode(const Decoder *d, Cache *cache, size_t batch, const uint16_t *rows) {
    static const int32_t ids[MOST_BATCH] = {0};
    Backend *b = d->b;
    must(b->ops->step_begin(b));
    b->ops->embed(b, DTYPE_F16, rows, HIDDEN, ids, batch, d->hidden);
    for (int layer = 0; layer < LAYERS; layer++) record_layer(d, layer, cache, batch);
    b->ops->rms_norm(b, d->hidden, d->gain, 1e-5f, batch, HIDDEN, d->normed);
    b->ops->linear(b, d->head, d->normed, batch, d->logits);
    return b->ops->step_end(b);
}

// Seconds of a token: the step and the choice that follows.
static double decode_seconds(const Decoder *d, Step *step, size_t batch, size_t context) {
    enum { TOKENS = 24 };
    Backend *b = d->b;
    int32_t ids[MOST_BATCH] = {0};
    float probabilities[MOST_BATCH];
    double best = INFINITY;
    for (int round = 0; round < 3; round++) {
        double start = clock_seconds();
        for (size_t t = 0; t < TOKENS; t++) {
            must(b->ops->step_run(b, step, ids, context - TOKENS + t));
            b->ops->greedy(b, d->logits, batch, VOCAB, ids, probabilities);
        }
        must(b->ops->healthy(b, &err));
        best = fmin(best, (clock_seconds() - start) / TOKENS);
    }
    return best;
}

static void fill_cache(const Decoder *d, Cache *cache, size_t batch, size_t context) {
    Backend *b = d->b;
    float *k = device_floats(b, (size_t)64 * batch * HIDDEN);
    for (int layer = 0; layer < LAYERS; layer++)
        for (size_t first = 0; first + 64 <= context; first += 64)
            b->ops->cache_write(b, cache, layer, first, 64, k, k);
    b->ops->synchronize(b);
    b->ops->memory_free(b, k);
}

static size_t decoder_bytes(const Decoder *d) {
    size_t bytes = d->b->ops->weight_bytes(d->head);
    for (int i = 0; i < LAYERS * LINEARS; i++) bytes += d->b->ops->weight_bytes(d->layers[i / LINEARS][i % LINEARS]);
    return bytes;
}

static void bench_decode(const Bench *bench, const Decoder *d, const char *scheme, DType cached, const uint16_t *rows,
                         cJSON *results) {
    static const size_t sizes[] = {1, 8, 32}, contexts[] = {128, 1024, 2048};
    Backend *b = d->b;
    for (int i = 0; i < 9; i++) {
        const size_t batch = sizes[i / 3], context = contexts[i % 3];
        Cache *cache;
        if (!b->ops->cache_new(b, LAYERS, batch, HEADS, HEAD_DIM, context, cached, &cache, &err)) {
            printf("decode 7B %-13s batch %2zu context %4zu: %s\n", scheme, batch, context, err.message);
            continue;
        }
        fill_cache(d, cache, batch, context);
        int32_t ids[32];
        float probabilities[32];
        b->ops->greedy(b, d->logits, batch, VOCAB, ids, probabilities); // makes its memory
        Step *step = record_decode(d, cache, batch, rows);
        must(step != NULL);
        const double seconds = decode_seconds(d, step, batch, context);
        const double kept =
            2.0 * LAYERS * HIDDEN * (double)batch * (double)context * (cached == DTYPE_I8 ? 1.03125 : 2);
        const double share = ((double)decoder_bytes(d) + kept) / bench->copy / seconds;
        cJSON *entry = cJSON_CreateObject();
        cJSON_AddStringToObject(entry, "model", "7B");
        cJSON_AddStringToObject(entry, "scheme", scheme);
        cJSON_AddNumberToObject(entry, "batch", (double)batch);
        cJSON_AddNumberToObject(entry, "context", (double)context);
        cJSON_AddNumberToObject(entry, "tokens_per_second", (double)batch / seconds);
        cJSON_AddNumberToObject(entry, "share_of_limit", share);
        cJSON_AddItemToArray(results, entry);
        printf("decode 7B %-13s batch %2zu context %4zu: %8.1f tokens/s, %5.1f %% of the copy rate\n", scheme, batch,
               context, (double)batch / seconds, 100 * share);
        b->ops->step_free(b, step);
        b->ops->cache_free(b, cache);
    }
}

static void decoder_memory(Decoder *d) {
    enum { BATCH = 32, POSITIONS = 2048 };
    Backend *b = d->b;
    float **const buffers[] = {&d->hidden, &d->normed, &d->q, &d->k, &d->v, &d->mixed, &d->branch};
    for (size_t i = 0; i < sizeof buffers / sizeof *buffers; i++)
        *buffers[i] = device_floats(b, (size_t)BATCH * HIDDEN);
    d->gate = device_floats(b, (size_t)BATCH * FFN);
    d->up = device_floats(b, (size_t)BATCH * FFN);
    d->logits = device_floats(b, (size_t)BATCH * VOCAB);
    d->gain = device_floats(b, HIDDEN);
    d->cosine = device_floats(b, (size_t)POSITIONS * HEAD_DIM / 2);
    d->sine = device_floats(b, (size_t)POSITIONS * HEAD_DIM / 2);
}

static void bench_decoding(const Bench *bench, const uint16_t *halves, cJSON *root) {
    static const Scheme tried[] = {{"int8 channel", 8, 0, ACTIVATION_NONE},
                                   {"int4 g64", 4, 64, ACTIVATION_NONE},
                                   {"W4A8 g128", 4, 128, ACTIVATION_TOKEN},
                                   {"W8A8 channel", 8, 0, ACTIVATION_TOKEN}};
    static Decoder base, other;
    Backend *b = bench->b;
    cJSON *results = cJSON_AddArrayToObject(root, "decode");
    base.b = b;
    decoder_memory(&base);
    for (int i = 0; i < LAYERS * LINEARS; i++) {
        const size_t *shape = layer_shapes[i % LINEARS];
        must(b->ops->weight_dense(b, DTYPE_F16, halves, shape[0], shape[1], NULL, PRECISION_NATIVE,
                                  &base.layers[i / LINEARS][i % LINEARS], &err));
    }
    must(b->ops->weight_dense(b, DTYPE_F16, halves, VOCAB, HIDDEN, NULL, PRECISION_NATIVE, &base.head, &err));
    bench_decode(bench, &base, "fp16", DTYPE_F16, halves, results);
    for (size_t s = 0; s < sizeof tried / sizeof *tried; s++) {
        other = base;
        for (int i = 0; i < LAYERS * LINEARS; i++)
            other.layers[i / LINEARS][i % LINEARS] =
                quantized_from(b, base.layers[i / LINEARS][i % LINEARS], &tried[s], layer_shapes[i % LINEARS][1]);
        bench_decode(bench, &other, tried[s].name, DTYPE_F16, halves, results);
        if (s == 1) bench_decode(bench, &other, "int4 g64 kv8", DTYPE_I8, halves, results);
        for (int i = 0; i < LAYERS * LINEARS; i++) b->ops->weight_free(b, other.layers[i / LINEARS][i % LINEARS]);
    }
}

// ---- All of it ----

static void write_results(const cJSON *root, const char *device) {
    char path[512], name[200];
    snprintf(name, sizeof name, "%s", device);
    for (char *c = name; *c; c++)
        if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789", *c)) *c = '-';
    mkdir("tests/bench/results", 0755);
    snprintf(path, sizeof path, "tests/bench/results/%s.json", name);
    char *text = cJSON_Print(root);
    FILE *file = fopen(path, "w");
    must(text && file && fprintf(file, "%s\n", text) > 0 && fclose(file) == 0);
    printf("written to %s\n", path);
    free(text);
}

int main(void) {
    Bench bench = {0};
    if (!backend_cuda_new(0, &bench.b, &err)) give_up();
    Backend *b = bench.b;
    bench.runtime = cuda_of(b)->runtime;
    const CudaFacts *facts = &bench.runtime->facts;
    const size_t largest = (size_t)28672 * 8192;
    uint16_t *halves = random_halves(largest);
    bench.x = device_floats(b, (size_t)MOST_TOKENS * 28672);
    bench.y = device_floats(b, (size_t)MOST_TOKENS * 28672);
    bench.nowhere = device_floats(b, 1);
    bench.halves = b->ops->memory_new(b, (size_t)MOST_TOKENS * 28672 * 2, &err);
    must(bench.halves != NULL);
    b->ops->upload(b, bench.halves, halves, (size_t)MOST_TOKENS * 28672 * 2);
    bench.copy = copy_rate(bench.runtime, b);
    bench.gemm = gemm_rate(bench.runtime, b);
    printf("%s, %s: copies %.0f GB/s, multiplies fp16 at %.0f TFLOP/s\n", facts->name, bench.runtime->library,
           bench.copy / 1e9, bench.gemm / 1e12);
    cJSON *root = cJSON_CreateObject(), *limit = cJSON_AddObjectToObject(root, "limit");
    cJSON_AddStringToObject(root, "device", facts->name);
    cJSON_AddStringToObject(root, "library", bench.runtime->library);
    cJSON_AddNumberToObject(limit, "copy_gb_per_s", bench.copy / 1e9);
    cJSON_AddNumberToObject(limit, "gemm_tflops", bench.gemm / 1e12);
    bench.products = cJSON_AddArrayToObject(root, "products");
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        bench_shape(&bench, shapes[i].model, shapes[i].out, shapes[i].in, halves);
    bench_quantize(&bench, halves, root);
    write_results(root, facts->name); // what is there already survives a run that is cut off
    bench_decoding(&bench, halves, root);
    write_results(root, facts->name);
    cJSON_Delete(root);
    free(halves);
    return 0;
}
