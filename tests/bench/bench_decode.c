// Decoding and prefill of a whole model in several formats, in turns: one run of each after the other, so that a busy
// machine is busy for all of them. Quantized ones are symmetric with groups of 64, the head included, as other programs
// have it. The read bandwidth is measured around every run.
//
//   bench_decode CHECKPOINT [--json] [--threads N] [--runs N] [--decode N] [--prefill N] [--only NAME]
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/clock.h"
#include "base/random.h"
#include "model/generate.h"
#include "quant/quantize.h"

typedef struct DecodeFormat {
    const char *name;
    int bits; // 0: as the checkpoint has it
    ActivationMode mode;
} DecodeFormat;

static const DecodeFormat formats[] = {{"as stored", 0, ACTIVATION_NONE},
                                       {"int8 g64", 8, ACTIVATION_NONE},
                                       {"int4 g64", 4, ACTIVATION_NONE},
                                       {"W8A8 g64", 8, ACTIVATION_TOKEN},
                                       {"W4A8 g64", 4, ACTIVATION_TOKEN}};
enum { FORMATS = sizeof formats / sizeof *formats, MOST_RUNS = 99, PROMPT = 8 };

typedef struct DecodeBench {
    const char *folder, *only;
    bool json;
    int threads, runs;
    size_t decode, prefill;
    Checkpoint checkpoint;
    ModelConfig config;
    ModelStructure structure;
    Backend *backend;
    Transformer *models[FORMATS];
    int32_t *ids;
    uint64_t *block; // what is plainly read
    double decode_rates[FORMATS][MOST_RUNS], shares[FORMATS][MOST_RUNS], prefill_rates[FORMATS][MOST_RUNS];
} DecodeBench;

enum { BLOCK_WORDS = 32 << 20 };
static volatile uint64_t sink;

static void stop(const char *message) {
    fprintf(stderr, "%s\n", message);
    exit(1);
}

static int by_size(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *values, int n) {
    qsort(values, (size_t)n, sizeof *values, by_size);
    return values[n / 2];
}

// Bytes per second.
static double read_rate(const DecodeBench *b) {
    uint64_t sum = 0;
    double started = clock_seconds();
#pragma omp parallel for schedule(static) reduction(+ : sum) num_threads(b->threads)
    for (size_t i = 0; i < BLOCK_WORDS; i++) sum += b->block[i];
    sink = sum;
    return BLOCK_WORDS * sizeof *b->block / (clock_seconds() - started);
}

static void quantize(DecodeBench *b, Transformer *t, const DecodeFormat *format) {
    Error err;
    const Decision decision = {.quantized = true,
                               .bits = format->bits,
                               .granularity = GRANULARITY_GROUP,
                               .scale_dtype = DTYPE_BF16,
                               .group = 64,
                               .activations = POLICY_NONE};
    for (int i = 0; i < b->structure.linear_count; i++) {
        QuantizedWeight q;
        WeightError error;
        Weight *weight;
        if (!quantize_linear(&b->structure.linears[i], &decision, NULL, NULL, &q, &error, &err)) stop(err.message);
        const ActivationScheme scheme = {.mode = format->mode};
        if (!b->backend->ops->weight_quantized(b->backend, &q, &scheme, NULL, PRECISION_NATIVE, &weight, &err))
            stop(err.message);
        transformer_set_linear(t, i, weight);
        quantized_weight_free(&q);
    }
}

static void open_model(DecodeBench *b) {
    Error err;
    if (!checkpoint_open(b->folder, &b->checkpoint, &err) || !config_load(b->checkpoint.folder, &b->config, &err) ||
        !structure_build(&b->checkpoint, &b->config, &b->structure, &err) ||
        !backend_cpu_new(b->threads, &b->backend, &err) ||
        !transformer_new(&b->structure, b->backend, PRECISION_NATIVE, &b->models[0], &err))
        stop(err.message);
    for (size_t f = 1; f < FORMATS; f++) {
        if (b->only && strcmp(b->only, formats[f].name) != 0) continue;
        if (!transformer_variant(b->models[0], &b->models[f], &err)) stop(err.message);
        quantize(b, b->models[f], &formats[f]);
    }
    b->ids = array_new(b->prefill + PROMPT, sizeof *b->ids);
    b->block = array_new(BLOCK_WORDS, sizeof *b->block);
    if (!b->ids || !b->block) stop("memory is short");
    memset(b->block, 1, BLOCK_WORDS * sizeof *b->block);
    Random random = random_seeded(1);
    for (size_t i = 0; i < b->prefill + PROMPT; i++)
        b->ids[i] = (int32_t)random_below(&random, (uint32_t)b->config.vocab);
}

static int32_t next(const DecodeBench *b, size_t format, Sequences *sequences, const int32_t *ids, size_t tokens) {
    int32_t id;
    float probability;
    Error err;
    if (!transformer_choose(b->models[format], sequences, ids, tokens, &(Draw){0}, &id, &probability, &err))
        stop(err.message);
    return id;
}

static void run_once(DecodeBench *b, size_t f, int run) {
    Sequences *sequences;
    Error err;
    if (!sequences_new(b->models[f], b->prefill + PROMPT + b->decode, &sequences, &err)) stop(err.message);
    double started = clock_seconds();
    next(b, f, sequences, b->ids, b->prefill);
    b->prefill_rates[f][run] = (double)b->prefill / (clock_seconds() - started);
    sequences_rewind(sequences, 0);
    int32_t id = next(b, f, sequences, b->ids, PROMPT);
    double before = read_rate(b);
    started = clock_seconds();
    for (size_t i = 0; i < b->decode; i++) id = next(b, f, sequences, &id, 1);
    double rate = (double)b->decode / (clock_seconds() - started);
    b->decode_rates[f][run] = rate;
    b->shares[f][run] = rate * (double)transformer_bytes_per_token(b->models[f]) / ((before + read_rate(b)) / 2);
    sequences_free(sequences);
}

static void print(DecodeBench *b, size_t f) {
    double decode = median(b->decode_rates[f], b->runs), share = median(b->shares[f], b->runs);
    double prefill = median(b->prefill_rates[f], b->runs);
    size_t bytes = transformer_bytes_per_token(b->models[f]);
    if (b->json)
        printf("{\"format\": \"%s\", \"bytes_per_token\": %zu, \"decode_tokens_per_second\": %.2f, "
               "\"share_of_read\": %.3f, \"prefill_tokens\": %zu, \"prefill_tokens_per_second\": %.1f}\n",
               formats[f].name, bytes, decode, share, b->prefill, prefill);
    else
        printf("%-10s %7.1f MB per token  decode %6.2f tok/s  %3.0f %% of read  prefill of %zu %7.1f tok/s\n",
               formats[f].name, (double)bytes * 1e-6, decode, share * 100, b->prefill, prefill);
}

int main(int argc, char **argv) {
    backend_cpu_shorten_spin(argv);
    static DecodeBench b = {.runs = 5, .decode = 24, .prefill = 512};
    b.threads = omp_get_num_procs();
    for (int i = 1; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : "";
        if (strcmp(argv[i], "--json") == 0)
            b.json = true;
        else if (strcmp(argv[i], "--threads") == 0)
            b.threads = atoi(value), i++;
        else if (strcmp(argv[i], "--runs") == 0)
            b.runs = atoi(value), i++;
        else if (strcmp(argv[i], "--decode") == 0)
            b.decode = (size_t)atoi(value), i++;
        else if (strcmp(argv[i], "--prefill") == 0)
            b.prefill = (size_t)atoi(value), i++;
        else if (strcmp(argv[i], "--only") == 0)
            b.only = value, i++;
        else
            b.folder = argv[i];
    }
    if (!b.folder) {
        printf("no checkpoint given: left out\n");
        return 0;
    }
    if (b.runs < 1 || b.runs > MOST_RUNS || b.decode < 1 || b.prefill < 1) stop("numbers are out of range");
    open_model(&b);
    for (int run = 0; run < b.runs; run++)
        for (size_t f = 0; f < FORMATS; f++)
            if (b.models[f] && (!b.only || strcmp(b.only, formats[f].name) == 0)) run_once(&b, f, run);
    for (size_t f = 0; f < FORMATS; f++)
        if (b.models[f] && (!b.only || strcmp(b.only, formats[f].name) == 0)) print(&b, f);
    return 0;
}
