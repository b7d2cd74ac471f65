#include <stdlib.h>

#include "cli/cli.h"

#define BINS 64

static cJSON *model_json(const ModelSession *s) {
    cJSON *model = cJSON_CreateObject();
    const ModelConfig *config = &s->config;
    cJSON_AddStringToObject(model, "family", config->family);
    if (!s->base) cJSON_AddStringToObject(model, "not_run", config->not_run);
    cJSON_AddNumberToObject(model, "parameters", (double)s->structure.parameters);
    cJSON_AddNumberToObject(model, "bytes", (double)s->checkpoint.bytes);
    cJSON_AddStringToObject(model, "dtype", dtype_name(structure_dtype(&s->structure)));
    json_add_text(model, "stored", structure_stored(&s->structure));
    const char *warning = stored_warning(s->structure.stored);
    json_add_text(model, "warning", warning[0] ? warning : NULL);
    cJSON_AddNumberToObject(model, "layers", s->structure.config.layers);
    cJSON_AddNumberToObject(model, "hidden", config->hidden);
    return model;
}

// Counts over [−absmax, absmax] in BINS equal bins.
static void histogram(const WeightStats *stats, uint64_t *counts) {
    for (int i = 0; i < BINS; i++) counts[i] = 0;
    value_counts_bins(&stats->counts, -stats->absmax, stats->absmax, BINS, counts);
}

static cJSON *histogram_json(const WeightStats *stats) {
    uint64_t counts[BINS];
    cJSON *object = cJSON_CreateObject(), *edges = cJSON_AddArrayToObject(object, "edges"),
          *heights = cJSON_AddArrayToObject(object, "counts");
    histogram(stats, counts);
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
    json_add_number(object, "absmax", stats->absmax);
    json_add_number(object, "mean", stats->mean);
    json_add_number(object, "std", stats->std);
    json_add_number(object, "kurtosis", stats->kurtosis);
    cJSON_AddNumberToObject(object, "outliers_6sigma", (double)stats->outliers_6sigma);
    cJSON_AddItemToObject(object, "histogram", histogram_json(stats));
    return object;
}

static void print_row(const Linear *linear, const WeightStats *stats) {
    uint64_t counts[BINS], narrow[BINS / 2];
    histogram(stats, counts);
    for (int i = 0; i < BINS / 2; i++) narrow[i] = counts[2 * i] + counts[2 * i + 1];
    print_name(linear->name, 38);
    printf(" %5zu %s %-6zu %8.4g %8.4g %8.1f %9.4f  ", linear->out, output_is_utf8() ? "×" : "x", linear->in,
           stats->absmax, stats->std, stats->kurtosis,
           stats->elements ? 100.0 * (double)stats->outliers_6sigma / (double)stats->elements : 0);
    print_sparkline(narrow, BINS / 2, stdout);
    if (linear->weight->stored) printf("  %s", linear->weight->stored);
    putchar('\n');
}

static void print_text(const Options *options, const ModelSession *s) {
    char size[32], dtype[80];
    dtype_text(&s->structure, dtype, sizeof dtype);
    printf("%s, %.1f M parameters, %s in %s, %d layers, hidden %d\n\n", s->config.family,
           (double)s->structure.parameters / 1e6, in_megabytes((double)s->checkpoint.bytes, size, sizeof size), dtype,
           s->structure.config.layers, s->config.hidden);
    if (!s->base) {
        Error why = {0};
        model_session_can_run(s, &why);
        printf("%s\n\n", why.message);
    }
    printf("%-38s %13s  %8s %8s %8s %9s  %s\n", "linear", "shape", "|w| max", "std", "kurtosis", ">6 std, %",
           "histogram (log counts)");
    for (int i = 0; i < s->structure.linear_count; i++) {
        const Linear *linear = &s->structure.linears[i];
        if (!options->match || glob_matches(options->match, linear->name)) print_row(linear, &s->stats.weights[i]);
    }
}

static void print_as_json(const Options *options, const ModelSession *s) {
    cJSON *object = cJSON_CreateObject();
    cJSON_AddItemToObject(object, "model", model_json(s));
    cJSON *linears = cJSON_AddArrayToObject(object, "linears");
    for (int i = 0; i < s->structure.linear_count; i++) {
        const Linear *linear = &s->structure.linears[i];
        if (!options->match || glob_matches(options->match, linear->name))
            cJSON_AddItemToArray(linears, linear_json(linear, &s->stats.weights[i]));
    }
    print_json(object);
}

bool command_inspect(const Options *options, Error *err) {
    ModelSession session;
    if (!model_session_open(&options->model, &session, err)) return false;
    bool ok = match_finds(options, &session.structure, err) &&
              model_session_measure_weights(&session, watch_start(options), err);
    watch_end();
    if (ok) warn_stored(options, &session.structure);
    if (ok) (options->json ? print_as_json : print_text)(options, &session);
    model_session_close(&session);
    return ok;
}
