#include <math.h>
#include <stdlib.h>

#include "analysis/nonfinite.h"
#include "cli/cli.h"

#define BINS 64

static uint64_t nonfinite_weights(const Engine *engine) {
    uint64_t count = 0;
    const ModelStats *stats = engine_stats(engine);
    for (int i = 0; i < stats->linear_count; i++) count += stats->weights[i].nonfinite;
    return count;
}

// Of the finite weights; NaN where there are none.
static double of_finite(const WeightStats *stats, double figure) {
    return stats->nonfinite == stats->elements ? (double)NAN : figure;
}

static cJSON *model_json(const Engine *engine, const Nonfinite *rest) {
    const ModelStructure *structure = engine_structure(engine);
    const ModelConfig *config = &structure->config;
    cJSON *model = cJSON_CreateObject();
    cJSON_AddStringToObject(model, "family", config->family);
    if (!engine_can_run(engine, NULL)) cJSON_AddStringToObject(model, "not_run", config->not_run);
    cJSON_AddNumberToObject(model, "parameters", (double)structure->parameters);
    cJSON_AddNumberToObject(model, "bytes", (double)structure->checkpoint->bytes);
    cJSON_AddStringToObject(model, "dtype", dtype_name(structure_dtype(structure)));
    json_add_text(model, "stored", structure_stored(structure));
    const char *warning = stored_warning(structure->stored);
    json_add_text(model, "warning", warning[0] ? warning : NULL);
    json_add_unlisted(model, structure);
    cJSON_AddNumberToObject(model, "nonfinite", (double)nonfinite_weights(engine));
    cJSON_AddNumberToObject(model, "unlisted_nonfinite", (double)rest->values);
    cJSON_AddNumberToObject(model, "layers", config->layers);
    cJSON_AddNumberToObject(model, "encoder_layers", config->pair.encoder_layers);
    cJSON_AddNumberToObject(model, "hidden", config->hidden);
    return model;
}

// Counts over [−absmax, absmax] in BINS equal bins.
static void count_bins(const WeightStats *stats, uint64_t *counts) {
    for (int i = 0; i < BINS; i++) counts[i] = 0;
    value_counts_bins(&stats->counts, -stats->absmax, stats->absmax, BINS, counts);
}

static cJSON *histogram_json(const WeightStats *stats) {
    uint64_t counts[BINS];
    cJSON *object = cJSON_CreateObject(), *edges = cJSON_AddArrayToObject(object, "edges"),
          *heights = cJSON_AddArrayToObject(object, "counts");
    count_bins(stats, counts);
    for (int i = 0; i <= BINS; i++)
        cJSON_AddItemToArray(edges, cJSON_CreateNumber(stats->absmax * (2.0 * i / BINS - 1)));
    for (int i = 0; i < BINS; i++) cJSON_AddItemToArray(heights, cJSON_CreateNumber((double)counts[i]));
    return object;
}

static cJSON *linear_json(const Linear *linear, const WeightStats *stats) {
    cJSON *object = cJSON_CreateObject(), *shape;
    cJSON_AddStringToObject(object, "name", linear->name);
    cJSON_AddStringToObject(object, "role", role_name(linear->role));
    cJSON_AddNumberToObject(object, "layer", linear->layer);
    shape = cJSON_AddArrayToObject(object, "shape");
    cJSON_AddItemToArray(shape, cJSON_CreateNumber((double)linear->out));
    cJSON_AddItemToArray(shape, cJSON_CreateNumber((double)linear->in));
    cJSON_AddStringToObject(object, "dtype", dtype_name(linear->weight->dtype));
    json_add_text(object, "stored", linear->weight->stored);
    json_add_number(object, "absmax", of_finite(stats, stats->absmax));
    json_add_number(object, "mean", of_finite(stats, stats->mean));
    json_add_number(object, "std", of_finite(stats, stats->std));
    json_add_number(object, "kurtosis", of_finite(stats, stats->kurtosis));
    cJSON_AddNumberToObject(object, "nonfinite", (double)stats->nonfinite);
    cJSON_AddNumberToObject(object, "outliers_6sigma", (double)stats->outliers_6sigma);
    cJSON_AddItemToObject(object, "histogram", histogram_json(stats));
    return object;
}

static void print_row(const Linear *linear, const WeightStats *stats) {
    uint64_t counts[BINS], narrow[BINS / 2];
    count_bins(stats, counts);
    for (int i = 0; i < BINS / 2; i++) narrow[i] = counts[2 * i] + counts[2 * i + 1];
    print_name(linear->name, 38);
    printf(" %5zu %s %-6zu %8.4g %8.4g %8.1f %9.4f  ", linear->out, output_is_utf8() ? "×" : "x", linear->in,
           of_finite(stats, stats->absmax), of_finite(stats, stats->std), of_finite(stats, stats->kurtosis),
           stats->elements ? 100.0 * (double)stats->outliers_6sigma / (double)stats->elements : 0);
    print_sparkline(narrow, BINS / 2, stdout);
    if (linear->weight->stored) printf("  %s", linear->weight->stored);
    if (stats->nonfinite) printf("  not finite: %llu", (unsigned long long)stats->nonfinite);
    putchar('\n');
}

static void print_text(const Options *options, const Engine *engine, const Nonfinite *rest) {
    const ModelStructure *structure = engine_structure(engine);
    char size[32], dtype[80];
    dtype_text(structure, dtype, sizeof dtype);
    const int encoder = structure->config.pair.encoder_layers;
    char layers[32] = "", hidden[32] = ""; // 0 where the configuration tells nothing
    if (structure->config.hidden) snprintf(hidden, sizeof hidden, ", hidden %d", structure->config.hidden);
    if (encoder) snprintf(layers, sizeof layers, "%d + ", encoder);
    printf("%s, %.1f M parameters, %s in %s, %s%d layers%s\n", structure->config.family,
           (double)structure->parameters / 1e6, in_megabytes((double)structure->checkpoint->bytes, size, sizeof size),
           dtype, layers, structure->config.layers - encoder, hidden);
    print_unlisted(structure);
    if (rest->first)
        printf("not finite, beside the list: %llu number%s in %zu tensor%s (first: %s)\n",
               (unsigned long long)rest->values, rest->values == 1 ? "" : "s", rest->tensors,
               rest->tensors == 1 ? "" : "s", rest->first->name);
    if (!engine_can_run(engine, NULL)) print_not_run(engine);
    putchar('\n');
    printf("%-38s %13s  %8s %8s %8s %9s  %s\n", "linear", "shape", "|w| max", "std", "kurtosis", ">6 std, %",
           "histogram (log counts)");
    for (int i = 0; i < structure->linear_count; i++) {
        const Linear *linear = &structure->linears[i];
        if (match_shows(options, linear)) print_row(linear, &engine_stats(engine)->weights[i]);
    }
}

static void print_as_json(const Options *options, const Engine *engine, const Nonfinite *rest) {
    const ModelStructure *structure = engine_structure(engine);
    cJSON *object = cJSON_CreateObject();
    cJSON_AddItemToObject(object, "model", model_json(engine, rest));
    cJSON *linears = cJSON_AddArrayToObject(object, "linears");
    for (int i = 0; i < structure->linear_count; i++) {
        const Linear *linear = &structure->linears[i];
        if (match_shows(options, linear))
            cJSON_AddItemToArray(linears, linear_json(linear, &engine_stats(engine)->weights[i]));
    }
    print_json(object);
}

bool command_inspect(const Options *options, Error *err) {
    Engine *engine;
    if (!engine_open(&options->model, &engine, err)) return false;
    Nonfinite rest;
    bool ok = match_finds(options, engine_structure(engine), err) &&
              engine_measure(engine, watch_start(options), err) && nonfinite_rest(engine_structure(engine), &rest, err);
    watch_end();
    if (ok) warn_stored(options, engine_structure(engine));
    if (ok) warn_nonfinite(options, engine);
    if (ok) (options->json ? print_as_json : print_text)(options, engine, &rest);
    engine_close(engine);
    return ok;
}
