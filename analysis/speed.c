#include "analysis/speed.h"

#include <math.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/clock.h"

#define READ_BYTES ((size_t)256 << 20)
#define RUN_SECONDS 0.25 // a run takes at least so long, in whole steps
#define MOST_STEPS 64
#define ORDINARY_SOURCE 32
// Of a pair of variants: short segments, so that both meet the same moment of a busy machine, but not so few steps that
// one interruption is the figure.
#define SEGMENT_SECONDS 0.01
#define SEGMENT_STEPS 16 // at least, unless they take ten times as long
#define NARROW 0.08      // of the ratio
#define EVEN 1.25        // most / least of one variant, where nothing else is at work
enum { LEAST_PAIRS = 3, FEW_PAIRS = 10 };
enum { GEMM_SIZE = 2048, GEMM_TOKENS = 256 };

static volatile uint64_t sink; // keeps the compiler from leaving the reads out

// ---- Limits ----

typedef struct Limits {
    Backend *backend;
    int threads;
    uint64_t *words; // READ_BYTES
    uint16_t *matrix;
    Weight *weight;
    float *x, *y;         // in backend memory
    double *read, *flops; // [case_count, runs]
} Limits;

static bool limits_new(Backend *backend, int threads, size_t runs, Limits *out, Error *err) {
    const size_t elements = (size_t)GEMM_SIZE * GEMM_SIZE, activations = (size_t)GEMM_TOKENS * GEMM_SIZE;
    *out = (Limits){
        .backend = backend, .threads = threads ? threads : omp_get_num_procs(), .words = array_new(READ_BYTES, 1)};
    out->matrix = array_new(elements, sizeof *out->matrix);
    out->read = array_new(runs, sizeof *out->read);
    out->flops = array_new(runs, sizeof *out->flops);
    if (!out->words || !out->matrix || !out->read || !out->flops)
        return error_memory(err, "measuring the machine's limits");
    memset(out->words, 1, READ_BYTES); // untouched pages may all be the same page of zeros
    for (size_t i = 0; i < elements; i++) out->matrix[i] = float_to_bf16((float)(i % 7) - 3);
    return backend->ops->weight_dense(backend, DTYPE_BF16, out->matrix, GEMM_SIZE, GEMM_SIZE, NULL, PRECISION_NATIVE,
                                      &out->weight, err) &&
           (out->x = backend->ops->memory_new(backend, activations * sizeof(float), err)) &&
           (out->y = backend->ops->memory_new(backend, activations * sizeof(float), err));
}

static void limits_free(Limits *l) {
    const BackendOps *ops = l->backend->ops;
    if (l->weight) ops->weight_free(l->backend, l->weight);
    if (l->x) ops->memory_free(l->backend, l->x);
    if (l->y) ops->memory_free(l->backend, l->y);
    free(l->words);
    free(l->matrix);
    free(l->read);
    free(l->flops);
}

static double read_rate(const Limits *l) {
    const uint64_t *words = l->words;
    uint64_t sum = 0;
    double start = clock_seconds();
#pragma omp parallel for schedule(static) reduction(+ : sum) num_threads(l->threads)
    for (size_t i = 0; i < READ_BYTES / sizeof *words; i++) sum += words[i];
    sink = sum;
    return (double)READ_BYTES / (clock_seconds() - start);
}

static double gemm_rate(const Limits *l) {
    int products = 0;
    double start = clock_seconds();
    do {
        l->backend->ops->linear(l->backend, l->weight, l->x, GEMM_TOKENS, l->y);
        l->backend->ops->synchronize(l->backend);
        products++;
    } while (clock_seconds() - start < RUN_SECONDS);
    return products * 2.0 * GEMM_TOKENS * GEMM_SIZE * GEMM_SIZE / (clock_seconds() - start);
}

// ---- One run ----

typedef struct Bench {
    Transformer *const *models;
    int count, runs;
    double seconds; // a run takes at least so long, in whole steps
    size_t least_steps, most_steps;
    Sequences *running;
    int32_t *ids;  // [tokens of a call]
    float *logits; // [vocab], of a prompt
    int32_t *next; // [batch], chosen while decoding, with their probabilities [batch]
    float *probabilities;
    Limits limits;
    double *rates; // [count, SPEED_RUNS_MOST]: tokens per second
    Progress *progress;
    Error *err;
} Bench;

static bool bench_step(const Bench *b, Transformer *t, const SpeedCase *c) {
    size_t tokens = c->prefill ? c->context : c->batch;
    if (progress_should_stop(b->progress)) return error_stopped(b->err);
    if (!c->prefill) // as `generate` decodes: no logits leave the device
        return transformer_choose(t, b->running, b->ids, tokens, &(Draw){0}, b->next, b->probabilities, b->err);
    return transformer_forward(t, b->running, b->ids, tokens, false, b->logits, NULL, b->err);
}

static bool has_lasted(const Bench *b, size_t steps, double seconds) {
    if (steps >= b->most_steps) return true;
    return seconds >= b->seconds && (steps >= b->least_steps || seconds >= 10 * b->seconds);
}

// Prefill: the whole prompt once. Decode: step after step until it has lasted, then back to where it began.
static bool bench_run(const Bench *b, Transformer *t, const SpeedCase *c, double *rate) {
    size_t steps = 0;
    bool ok = true;
    // A device records its steps first; what is timed runs them.
    const bool records = transformer_backend(t)->ops->step_begin;
    const size_t begin = sequences_length(b->running);
    for (int i = 0; ok && !c->prefill && records && i < 2; i++) ok = bench_step(b, t, c);
    if (!ok) return false;
    if (!c->prefill) sequences_rewind(b->running, begin);
    double start = clock_seconds(), seconds = 0;
    do {
        ok = bench_step(b, t, c);
        steps++;
        seconds = clock_seconds() - start;
        if (c->prefill) sequences_rewind(b->running, 0);
    } while (ok && !has_lasted(b, steps, seconds));
    sequences_rewind(b->running, c->prefill ? 0 : begin);
    *rate = (double)(c->prefill ? c->context : c->batch) * (double)steps / seconds;
    return ok;
}

// ---- What the figures are compared with ----

static double cache_bytes_per_position(const ModelConfig *config) {
    return (double)cache_bytes(config, sizeof(uint16_t), 0);
}

double speed_cache_bytes(const ModelConfig *config, const SpeedCase *c) {
    return (double)c->batch * ((double)(c->context + MOST_STEPS) * cache_bytes_per_position(config) +
                               2 * (double)(remembered_floats(config) * sizeof(float))); // and what is kept of it
}

static double flops_per_token(const Transformer *t) {
    const ModelStructure *structure = transformer_structure(t);
    const Experts *experts = &structure->config.experts;
    double flops = 0;
    for (int i = 0; i < structure->linear_count; i++) {
        const Linear *linear = &structure->linears[i];
        double own = 2.0 * (double)linear->out * (double)linear->in;
        if (i == structure->head) continue; // prefill asks it for the last token only
        flops += linear->expert < 0 ? own : own * experts->per_token / experts->count;
    }
    return flops;
}

static int by_value(const void *a, const void *b) {
    return (*(const double *)a > *(const double *)b) - (*(const double *)a < *(const double *)b);
}

// Sorts them.
static Spread spread_sorting(double *values, int count) {
    qsort(values, (size_t)count, sizeof *values, by_value);
    double middle = (values[(count - 1) / 2] + values[count / 2]) / 2;
    return (Spread){.median = middle, .least = values[0], .most = values[count - 1]};
}

static Spread spread_of(const double *values, int count) {
    double copy[SPEED_RUNS_MOST];
    memcpy(copy, values, (size_t)count * sizeof *values);
    return spread_sorting(copy, count);
}

// Over all runs, of a · factor / b.
static Spread spread_of_ratios(const double *a, double factor, const double *b, int count) {
    double ratios[SPEED_RUNS_MOST];
    for (int r = 0; r < count; r++) ratios[r] = a[r] * factor / b[r];
    return spread_sorting(ratios, count);
}

// limit [runs]: of this case.
static Speed speed_of(const Bench *b, const SpeedCase *c, int model, const double *limit) {
    const Transformer *t = b->models[model];
    const double *rates = b->rates + (size_t)model * SPEED_RUNS_MOST;
    Speed speed = {.tokens_per_second = spread_of(rates, b->runs),
                   .limit = spread_of(limit, b->runs),
                   .against_first = spread_of_ratios(rates, 1, b->rates, b->runs),
                   .flops_per_token = flops_per_token(t)};
    if (c->prefill) {
        speed.share = spread_of_ratios(rates, speed.flops_per_token, limit, b->runs).median;
        return speed;
    }
    const ModelConfig *config = &transformer_structure(t)->config;
    double cache = (double)c->context * cache_bytes_per_position(config) +
                   2 * (double)(remembered_floats(config) * sizeof(float)); // what is remembered is read and written
    speed.bytes_per_token = (double)transformer_bytes_per_token(t) / (double)c->batch + cache;
    speed.share = spread_of_ratios(rates, speed.bytes_per_token, limit, b->runs).median;
    return speed;
}

// ---- A case ----

static bool check_case(const SpeedCase *c, size_t positions, Error *err) {
    size_t needed = c->prefill ? c->context : c->context + MOST_STEPS;
    if (needed <= positions) return true;
    return error_set(err, "%s %zu tokens needs %zu positions, but the model has %zu; choose a shorter one",
                     c->prefill ? "a prompt of" : "decoding after", c->context, needed, positions);
}

bool speed_cases_fit(const SpeedCase *cases, int count, const ModelConfig *config, Error *err) {
    for (int i = 0; i < count; i++) {
        if (!check_case(&cases[i], (size_t)config->max_positions, err)) return false;
    }
    return true;
}

// Of a model with an encoder, half of what stands before a decoded token is a source, or of a prompt; where nothing
// stands there, there is one of ordinary length all the same, since it is looked at with every token.
static size_t source_of(const ModelConfig *config, const SpeedCase *c) {
    if (!config->pair.encoder_layers || c->context > 1) return source_share(config, c->context);
    return c->prefill ? 1 : config->max_positions < ORDINARY_SOURCE ? (size_t)config->max_positions : ORDINARY_SOURCE;
}

static bool case_sequences(const Bench *b, const SpeedCase *c, const Transformer *t, Sequences **out) {
    const size_t source = source_of(&transformer_structure(t)->config, c);
    const size_t before = c->context > source ? c->context : source + (source > 0 && c->prefill);
    if (!sequences_new_pair(t, source, before + (c->prefill ? 0 : b->most_steps), c->batch, out, b->err)) return false;
    if (!c->prefill) sequences_advance(*out, before); // what is cached does not change the time
    return c->prefill || sequences_keep(*out, b->err);
}

static bool case_new(Bench *b, const SpeedCase *c) {
    const ModelConfig *config = &transformer_structure(b->models[0])->config;
    size_t tokens = c->prefill ? c->context : c->batch, rows = c->prefill ? 1 : c->batch;
    b->ids = array_new(tokens, sizeof *b->ids);
    b->logits = array_new((size_t)config->vocab, sizeof *b->logits);
    b->next = array_new(rows, sizeof *b->next);
    b->probabilities = array_new(rows, sizeof *b->probabilities);
    if (!b->ids || !b->logits || !b->next || !b->probabilities) return error_memory(b->err, "measuring speed");
    for (size_t i = 0; i < tokens; i++) b->ids[i] = (int32_t)(i * 7919 % (size_t)config->vocab);
    return case_sequences(b, c, b->models[0], &b->running);
}

static void case_free(Bench *b) {
    sequences_free(b->running);
    free(b->ids);
    free(b->logits);
    free(b->next);
    free(b->probabilities);
    b->running = NULL;
    b->ids = b->next = NULL;
    b->logits = b->probabilities = NULL;
}

// The first round warms up and is not counted.
static bool run_case(Bench *b, const SpeedCase *c, double *flops, double *read) {
    for (int r = -1; r < b->runs; r++) {
        int at = r < 0 ? 0 : r;
        flops[at] = gemm_rate(&b->limits);
        read[at] = read_rate(&b->limits);
        for (int m = 0; m < b->count; m++) {
            if (!bench_run(b, b->models[m], c, &b->rates[(size_t)m * SPEED_RUNS_MOST + (size_t)at])) return false;
            progress_add(b->progress, 1);
        }
    }
    return true;
}

static bool measure_cases(Bench *b, const SpeedCase *cases, int case_count, SpeedLimits *limits, Speed *out,
                          void (*partial)(void *, int), void *context) {
    for (int i = 0; i < case_count; i++) {
        double *flops = b->limits.flops + (size_t)i * (size_t)b->runs;
        double *read = b->limits.read + (size_t)i * (size_t)b->runs;
        bool ok = case_new(b, &cases[i]) && run_case(b, &cases[i], flops, read);
        case_free(b);
        if (!ok) return false;
        for (int m = 0; m < b->count; m++)
            out[i * b->count + m] = speed_of(b, &cases[i], m, cases[i].prefill ? flops : read);
        if (partial) partial(context, i);
    }
    limits->flops_per_second = spread_sorting(b->limits.flops, case_count * b->runs);
    limits->read_bytes_per_second = spread_sorting(b->limits.read, case_count * b->runs);
    return true;
}

bool speed_measure(Transformer *const *models, int count, const SpeedCase *cases, int case_count, int runs, int threads,
                   SpeedLimits *limits, Speed *out, void (*partial)(void *, int), void *context, Progress *progress,
                   Error *err) {
    Bench b = {.models = models,
               .count = count,
               .runs = runs,
               .seconds = RUN_SECONDS,
               .most_steps = MOST_STEPS,
               .progress = progress,
               .err = err};
    *limits = (SpeedLimits){.runs = runs};
    if (!speed_cases_fit(cases, case_count, &transformer_structure(models[0])->config, err)) return false;
    progress_begin(progress, "measuring speed", (uint64_t)case_count * (uint64_t)(runs + 1) * (uint64_t)count);
    b.rates = array_new((size_t)count * SPEED_RUNS_MOST, sizeof *b.rates);
    bool ok = (b.rates || error_memory(err, "measuring speed")) &&
              limits_new(transformer_backend(models[0]), threads, (size_t)case_count * (size_t)runs, &b.limits, err) &&
              measure_cases(&b, cases, case_count, limits, out, partial, context);
    if (b.limits.backend) limits_free(&b.limits);
    free(b.rates);
    return ok;
}

// ---- A pair of variants ----

// Sorts them. From 10 values on the outermost tenth at either end is left out.
static Spread middle_sorting(double *values, int count) {
    Spread spread = spread_sorting(values, count);
    spread.least = values[count / 10];
    spread.most = values[count - 1 - count / 10];
    return spread;
}

static Spread middle_of(const double *values, int count) {
    double copy[SPEED_RUNS_MOST];
    memcpy(copy, values, (size_t)count * sizeof *values);
    return middle_sorting(copy, count);
}

static DecodeSpeed speed_of_pairs(double rates[2][SPEED_RUNS_MOST], int pairs) {
    double ratios[SPEED_RUNS_MOST];
    for (int i = 0; i < pairs; i++) ratios[i] = rates[1][i] / rates[0][i];
    return (DecodeSpeed){.first = middle_of(rates[0], pairs),
                         .second = middle_of(rates[1], pairs),
                         .ratio = middle_sorting(ratios, pairs),
                         .pairs = pairs};
}

bool decode_speed_is_busy(const DecodeSpeed *speed) {
    return speed->pairs >= FEW_PAIRS && speed->first.most > EVEN * speed->first.least;
}

// They take turns at going first, so that a machine that slows down affects both alike.
static bool run_pair(Bench *b, const SpeedCase *c, Sequences *const *both, double rates[2][SPEED_RUNS_MOST], int pair) {
    for (int i = 0; i < 2; i++) {
        const int m = (pair + i) % 2;
        b->running = both[m];
        if (!bench_run(b, b->models[m], c, &rates[m][pair])) return false;
    }
    return true;
}

static bool enough_pairs(const DecodeSpeed *s, double spent, double seconds) {
    if (s->pairs == SPEED_RUNS_MOST) return true;
    if (s->pairs >= LEAST_PAIRS && spent >= seconds) return true;
    return s->pairs >= FEW_PAIRS && s->ratio.most - s->ratio.least <= NARROW * s->ratio.median;
}

static bool run_pairs(Bench *b, const SpeedCase *c, Sequences *const *both, double seconds,
                      void (*partial)(void *, const DecodeSpeed *), void *context, DecodeSpeed *out) {
    double rates[2][SPEED_RUNS_MOST];
    double start = 0;
    bool warm = false; // the first pair counts only until there is a second
    for (int pair = 0; !warm || !enough_pairs(out, clock_seconds() - start, seconds);) {
        if (!run_pair(b, c, both, rates, pair)) return false;
        *out = speed_of_pairs(rates, pair + 1);
        if (partial) partial(context, out);
        if (progress_should_stop(b->progress)) return error_stopped(b->err);
        if (warm) pair++;
        if (!warm) start = clock_seconds();
        warm = true;
    }
    return true;
}

bool decode_speed(Transformer *first, Transformer *second, const SpeedCase *c, double seconds,
                  void (*partial)(void *, const DecodeSpeed *), void *context, DecodeSpeed *out, Progress *progress,
                  Error *err) {
    Transformer *models[2] = {first, second};
    const size_t positions = (size_t)transformer_structure(first)->config.max_positions;
    *out = (DecodeSpeed){0};
    if (c->context >= positions)
        return error_set(err, "decoding after %zu tokens needs more positions, but the model has %zu; choose less",
                         c->context, positions);
    Bench b = {.models = models,
               .count = 2,
               .seconds = SEGMENT_SECONDS,
               .least_steps = SEGMENT_STEPS,
               .most_steps = positions - c->context < MOST_STEPS ? positions - c->context : MOST_STEPS,
               .progress = progress,
               .err = err};
    Sequences *both[2] = {0};
    bool ok = case_new(&b, c);
    both[0] = b.running;
    ok = ok && case_sequences(&b, c, second, &both[1]) && run_pairs(&b, c, both, seconds, partial, context, out);
    b.running = both[0];
    case_free(&b);
    sequences_free(both[1]);
    return ok;
}
