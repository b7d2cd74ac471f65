// Decode and prefill speed of the model and of quantized forms of it.
#include <stdlib.h>
#include <string.h>

#include "analysis/speed_map.h"
#include "base/array.h"
#include "base/number.h"
#include "cli/bench_schemes.h"
#include "cli/cli.h"

typedef struct BenchCommand {
    const Options *options;
    Engine *engine;
    const BenchScheme *chosen[BENCH_SCHEMES]; // the first is the base
    QuantizedModel *quantized[BENCH_SCHEMES];
    Transformer *models[BENCH_SCHEMES];
    int count;
    SpeedCase cases[2 * BENCH_LIST * BENCH_LIST];
    int case_count;
    SpeedLimits limits;
    Speed *speeds; // [case_count, count]
    char device[128];
} BenchCommand;

// ---- What to measure ----

static bool choose_schemes(BenchCommand *b, Error *err) {
    const Options *o = b->options;
    const bool own = o->recipe || o->dial_count;
    const char *usual = own ? "w8,w4,w8a8,w4a8,recipe" : "w8,w4,w8a8,w4a8";
    return bench_schemes_read(o->schemes ? o->schemes : usual, b->chosen, &b->count, err);
}

static void choose_cases(BenchCommand *b) {
    const Options *o = b->options;
    static const size_t one[] = {1}, some[] = {128};
    const size_t *batches = o->batches.count ? o->batches.values : one;
    const size_t *contexts = o->contexts.count ? o->contexts.values : some;
    const size_t *prompts = o->prompts.count ? o->prompts.values : some;
    int batch_count = o->batches.count ? o->batches.count : 1,
        context_count = o->contexts.count ? o->contexts.count : 1;
    for (int i = 0; i < batch_count; i++) {
        for (int k = 0; k < context_count; k++)
            b->cases[b->case_count++] = (SpeedCase){.batch = batches[i], .context = contexts[k]};
    }
    for (int i = 0; i < (o->prompts.count ? o->prompts.count : 1); i++) {
        if (prompts[i]) b->cases[b->case_count++] = (SpeedCase){.prefill = true, .batch = 1, .context = prompts[i]};
    }
}

// ---- The models ----

static bool needs_recipe(const BenchCommand *b) {
    for (int i = 0; i < b->count; i++) {
        if (b->chosen[i]->bits < 0) return true;
    }
    return false;
}

static bool open_model(BenchCommand *b, Error *err) {
    return open_engine(b->options, true, &b->engine, err) &&
           speed_cases_fit(b->cases, b->case_count, &engine_structure(b->engine)->config, err) &&
           (!needs_recipe(b) || prepare_engine(b->options, b->engine, false, err));
}

static bool scheme_plan(const BenchCommand *b, const BenchScheme *scheme, Plan *out, Error *err) {
    Recipe recipe;
    if (scheme->bits < 0) return engine_make_plan(b->engine, engine_recipe(b->engine), out, err);
    if (!recipe_default(&recipe, err)) return false;
    recipe.value[DIAL_BITS] = scheme->bits;
    recipe.value[DIAL_GRANULARITY] = GRANULARITY_GROUP;
    recipe.value[DIAL_GROUP_SIZE] = (double)scheme->group;
    recipe.value[DIAL_ACTIVATIONS] = scheme->activations;
    bool ok = plan_make(&recipe, engine_structure(b->engine), NULL, out, err);
    recipe_free(&recipe);
    return ok;
}

static bool make_models(BenchCommand *b, Progress *progress, Error *err) {
    Transformer *base = engine_base(b->engine);
    const Measured *measured = &engine_stats(b->engine)->measured;
    b->models[0] = base;
    for (int i = 1; i < b->count; i++) {
        Plan plan;
        if (!scheme_plan(b, b->chosen[i], &plan, err)) return false;
        bool ok = quantized_model_new(base, &b->quantized[i], err) &&
                  quantized_model_follow(b->quantized[i], &plan, measured, NULL, progress, err);
        plan_free(&plan);
        if (!ok) return error_prefix(err, "%s", b->chosen[i]->name);
        b->models[i] = quantized_model_transformer(b->quantized[i]);
    }
    return true;
}

static void bench_close(BenchCommand *b) {
    for (int i = 0; i < b->count; i++) quantized_model_free(b->quantized[i]);
    free(b->speeds);
    engine_close(b->engine);
}

// ---- The machine ----

static void find_device(BenchCommand *b) {
    char processor[96];
    processor_name(processor, sizeof processor);
    snprintf(b->device, sizeof b->device, "%s%s%s %s", processor, *processor ? ", " : "",
             engine_backend_name(b->engine), engine_backend_description(b->engine));
}

// ---- Results ----

// The median under this name, the ends of the range under names that begin like it.
static void add_limit(cJSON *object, const char *name, const Spread *limit, double unit) {
    char least[48], most[48];
    snprintf(least, sizeof least, "%s_least", name);
    snprintf(most, sizeof most, "%s_most", name);
    json_add_number(object, name, limit->median * unit);
    json_add_number(object, least, limit->least * unit);
    json_add_number(object, most, limit->most * unit);
}

static cJSON *speed_json(const BenchCommand *b, int i, int m) {
    const SpeedCase *c = &b->cases[i];
    const Speed *speed = &b->speeds[i * b->count + m];
    cJSON *object = cJSON_CreateObject();
    cJSON_AddStringToObject(object, "scheme", b->chosen[m]->name);
    if (!c->prefill) cJSON_AddNumberToObject(object, "batch", (double)c->batch);
    cJSON_AddNumberToObject(object, c->prefill ? "tokens" : "context", (double)c->context);
    json_add_number(object, "tokens_per_second", speed->tokens_per_second.median);
    json_add_number(object, "tokens_per_second_least", speed->tokens_per_second.least);
    json_add_number(object, "tokens_per_second_most", speed->tokens_per_second.most);
    add_limit(object, c->prefill ? "limit_tflops" : "limit_gb_per_s", &speed->limit, c->prefill ? 1e-12 : 1e-9);
    json_add_number(object, "share_of_limit", speed->share);
    json_add_number(object, "against_base", speed->against_first.median);
    json_add_number(object, "against_base_least", speed->against_first.least);
    json_add_number(object, "against_base_most", speed->against_first.most);
    if (c->prefill)
        json_add_number(object, "flops_per_token", speed->flops_per_token);
    else
        json_add_number(object, "bytes_per_token", speed->bytes_per_token);
    return object;
}

static void print_as_json(const BenchCommand *b) {
    const ModelStructure *structure = engine_structure(b->engine);
    cJSON *object = cJSON_CreateObject();
    cJSON_AddStringToObject(object, "device", b->device);
    cJSON_AddStringToObject(object, "model", structure->checkpoint->path);
    cJSON_AddNumberToObject(object, "parameters", (double)structure->parameters);
    cJSON_AddNumberToObject(object, "runs", b->limits.runs);
    cJSON *limit = cJSON_AddObjectToObject(object, "limit");
    add_limit(limit, "read_gb_per_s", &b->limits.read_bytes_per_second, 1e-9);
    add_limit(limit, "gemm_tflops", &b->limits.flops_per_second, 1e-12);
    cJSON *lists[] = {cJSON_AddArrayToObject(object, "decode"), cJSON_AddArrayToObject(object, "prefill")};
    for (int i = 0; i < b->case_count; i++) {
        for (int m = 0; m < b->count; m++) cJSON_AddItemToArray(lists[b->cases[i].prefill], speed_json(b, i, m));
    }
    print_json(object);
}

static void print_case(const BenchCommand *b, int i) {
    char head[32];
    const SpeedCase *c = &b->cases[i];
    snprintf(head, sizeof head, "least %s most", ellipsis());
    if (c->prefill)
        printf("\nprefill of %zu tokens%14s %19s %9s %9s %16s\n", c->context, "tokens/s", head, "of limit", "of base",
               "GFLOP per token");
    else
        printf("\ndecode, batch %-3zu context %-6zu %6s %19s %9s %9s %16s\n", c->batch, c->context, "tok/s", head,
               "of limit", "of base", "MB per token");
    for (int m = 0; m < b->count; m++) {
        const Speed *s = &b->speeds[i * b->count + m];
        char spread[48];
        snprintf(spread, sizeof spread, "%.2f %s %.2f", s->tokens_per_second.least, ellipsis(),
                 s->tokens_per_second.most);
        printf("  %-27s %9.2f %21s %7.1f %% %8.2fx %16.2f\n", b->chosen[m]->name, s->tokens_per_second.median, spread,
               100 * s->share, s->against_first.median,
               c->prefill ? s->flops_per_token * 1e-9 : s->bytes_per_token * 1e-6);
    }
    const Spread *limit = &b->speeds[i * b->count].limit;
    double unit = c->prefill ? 1e-12 : 1e-9;
    printf(c->prefill ? "  limit: BF16 product %.3f TFLOP/s (%.3f %s %.3f)\n"
                      : "  limit: memory read %.1f GB/s (%.1f %s %.1f)\n",
           limit->median * unit, limit->least * unit, ellipsis(), limit->most * unit);
}

// ---- Over batch and context ----

static SpeedMap scheme_map(const BenchCommand *b, int m) {
    size_t batches[BENCH_LIST * BENCH_LIST], contexts[BENCH_LIST * BENCH_LIST];
    int count = 0;
    for (int i = 0; i < b->case_count; i++) {
        if (b->cases[i].prefill) continue;
        batches[count] = b->cases[i].batch;
        contexts[count++] = b->cases[i].context;
    }
    SpeedMap map = speed_map_of(batches, count, contexts, count);
    for (int i = 0; i < b->case_count; i++) {
        if (b->cases[i].prefill) continue;
        *speed_map_at(&map, b->cases[i].batch, b->cases[i].context) = b->speeds[i * b->count + m].against_first;
    }
    return map;
}

#define CELL_COLS 16
static void print_map(const char *scheme, const SpeedMap *map) {
    char words[512];
    printf("\n%s, times base\n%-12s", scheme, "");
    for (int k = 0; k < map->context_count; k++)
        printf("%*s%-7zu", CELL_COLS - 7, k ? "" : "context ", map->contexts[k]);
    printf("\n");
    for (int i = 0; i < map->batch_count; i++) {
        printf("  batch %-4zu", map->batches[i]);
        for (int k = 0; k < map->context_count; k++) {
            const Spread *ratio = &map->ratio[i][k];
            printf("%6.2f %s %-6.2f", ratio->least, ellipsis(), ratio->most);
        }
        printf("\n");
    }
    speed_map_words(map, words, sizeof words);
    printf("  faster than base: %s\n", words);
}

static void print_maps(const BenchCommand *b) {
    for (int m = 1; m < b->count; m++) {
        const SpeedMap map = scheme_map(b, m);
        if (map.batch_count * map.context_count > 1) print_map(b->chosen[m]->name, &map);
    }
}

static void print_text(const BenchCommand *b) {
    print_name(b->device, 0);
    printf("\nmedians of %d alternating runs; limits (memory read, BF16 product) measured in the same runs\n",
           b->limits.runs);
    for (int i = 0; i < b->case_count; i++) print_case(b, i);
    print_maps(b);
}

bool command_bench(const Options *options, Error *err) {
    BenchCommand b = {.options = options};
    Progress *progress = watch_start(options);
    int runs = options->runs ? options->runs : 5;
    choose_cases(&b);
    bool ok = choose_schemes(&b, err) && open_model(&b, err) && make_models(&b, progress, err);
    if (ok) {
        b.speeds = array_new((size_t)b.case_count * (size_t)b.count, sizeof *b.speeds);
        ok = b.speeds ? speed_measure(b.models, b.count, b.cases, b.case_count, runs, options->model.threads, &b.limits,
                                      b.speeds, NULL, NULL, progress, err)
                      : error_memory(err, "measuring speed");
    }
    watch_end();
    if (ok) {
        find_device(&b);
        (options->json ? print_as_json : print_text)(&b);
    }
    bench_close(&b);
    return ok;
}
