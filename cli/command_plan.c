#include <math.h>
#include <string.h>

#include "cli/cli.h"
#include "quant/equalize.h"

static const char *activation_text(const Decision *d) {
    static const char *const names[][3] = {[POLICY_NONE] = {"none", "none", "none"},
                                           [POLICY_STATIC] = {"static", "LAE, static", "smooth, static"},
                                           [POLICY_TOKEN] = {"token", "LAE, token", "smooth, token"},
                                           [POLICY_CHANNEL] = {"channel", "channel", "channel"}};
    return names[d->activations][d->smooth ? 2 : d->lae ? 1 : 0];
}

static const char *granularity_text(const Decision *d) {
    if (!d->quantized) return "none";
    return d->granularity == GRANULARITY_TENSOR    ? "tensor"
           : d->granularity == GRANULARITY_CHANNEL ? "channel"
                                                   : "group";
}

static const char *folded_into(const ModelStructure *structure, const Decision *d) {
    if (!decision_equalizes(d) || d->fold == FOLD_NONE) return NULL;
    return d->fold == FOLD_NORM ? structure->norms[d->fold_index].name : structure->linears[d->fold_index].name;
}

static double sqnr_of(const Engine *engine, const Plan *plan, int linear) {
    double db = NAN;
    engine_weight_sqnr(engine, plan, linear, &db, NULL);
    return db;
}

static cJSON *linear_json(const Engine *engine, const Plan *plan, int i) {
    const ModelStructure *structure = engine_structure(engine);
    const Decision *d = &plan->decisions[i];
    cJSON *object = cJSON_CreateObject();
    cJSON_AddStringToObject(object, "name", structure->linears[i].name);
    cJSON_AddNumberToObject(object, "bits", d->bits);
    cJSON_AddStringToObject(object, "granularity", granularity_text(d));
    if (d->quantized) {
        char grid[32];
        dial_format(DIAL_GRID, d->grid, grid, sizeof grid);
        cJSON_AddStringToObject(object, "grid", grid);
    }
    if (d->quantized)
        cJSON_AddNumberToObject(object, "group_size", (double)d->group);
    else
        cJSON_AddNullToObject(object, "group_size");
    char policy[32];
    dial_format(DIAL_ACTIVATIONS, d->activations, policy, sizeof policy);
    cJSON_AddStringToObject(object, "activations", policy);
    cJSON_AddStringToObject(object, "class", class_name(d->input_class));
    cJSON_AddBoolToObject(object, "lae", d->lae);
    cJSON_AddBoolToObject(object, "smooth", d->smooth);
    json_add_number(object, "activation_scale",
                    d->activations == POLICY_STATIC ? (double)d->activation_scale : (double)NAN);
    const char *fold = folded_into(structure, d);
    if (fold)
        cJSON_AddStringToObject(object, "folded_into", fold);
    else
        cJSON_AddNullToObject(object, "folded_into");
    json_add_number(object, "bits_per_weight", d->bits_per_weight);
    json_add_number(object, "sqnr_db", sqnr_of(engine, plan, i));
    if (d->note) cJSON_AddStringToObject(object, "note", d->note);
    return object;
}

static void print_row(const Engine *engine, const Plan *plan, int i) {
    const Decision *d = &plan->decisions[i];
    char group[32], sqnr[32] = "-"; // what is not quantized has no error
    const double db = sqnr_of(engine, plan, i);
    if (!isnan(db)) snprintf(sqnr, sizeof sqnr, "%.1f", db);
    decision_group_text(d, group, sizeof group);
    print_name(engine_structure(engine)->linears[i].name, 38);
    printf(" %4d %8s  %-14s %-7s %6.3f %7s  %s\n", d->bits, group, activation_text(d), class_name(d->input_class),
           d->bits_per_weight, sqnr, d->note ? d->note : "");
}

static void print_text(const Options *options, const Engine *engine, const Plan *plan) {
    const ModelStructure *structure = engine_structure(engine);
    char before[32], after[32], bits[48];
    if (!engine_can_run(engine, NULL)) print_not_run(engine);
    printf("%s %s %s, %s", in_megabytes((double)plan->base_bytes, before, sizeof before), arrow(),
           in_megabytes((double)plan->bytes, after, sizeof after), bits_text(plan->bits_per_weight, bits, sizeof bits));
    if (plan->quantized_count)
        printf(" in %d quantized linears, %d of them finer than a channel", plan->quantized_count, plan->refined_count);
    putchar('\n');
    print_unlisted(structure);
    putchar('\n');
    printf("%-38s %4s %8s  %-14s %-7s %6s %7s\n", "linear", "bits", "group", "activations", "class", "b/w", "SQNR dB");
    for (int i = 0; i < plan->linear_count; i++) {
        if (match_shows(options, &structure->linears[i])) print_row(engine, plan, i);
    }
}

static void print_as_json(const Options *options, const Engine *engine, const Plan *plan) {
    const ModelStructure *structure = engine_structure(engine);
    cJSON *object = cJSON_CreateObject();
    json_add_bits(object, plan->bits_per_weight);
    cJSON_AddNumberToObject(object, "bytes", (double)plan->bytes);
    cJSON_AddNumberToObject(object, "base_bytes", (double)plan->base_bytes);
    cJSON_AddNumberToObject(object, "cache_bits", plan->cache_bits);
    cJSON_AddNumberToObject(object, "cache_bytes_per_token", (double)plan->cache_bytes);
    json_add_unlisted(object, structure);
    cJSON *linears = cJSON_AddArrayToObject(object, "linears");
    for (int i = 0; i < plan->linear_count; i++) {
        if (match_shows(options, &structure->linears[i])) cJSON_AddItemToArray(linears, linear_json(engine, plan, i));
    }
    print_json(object);
}

static bool print_recipe(const Options *options, Error *err) {
    Engine *engine;
    Text text = {0};
    bool ok = open_prepared(options, false, false, &engine, err);
    watch_end();
    if (ok) warn_unmatched(options, engine);
    ok = ok && recipe_text(options->as, engine_structure(engine), engine_plan(engine), &text, err);
    if (ok) fputs(text.data, stdout);
    text_free(&text);
    engine_close(engine);
    return ok;
}

bool command_plan(const Options *options, Error *err) {
    Engine *engine;
    if (options->as) return print_recipe(options, err);
    bool ok =
        open_prepared(options, false, false, &engine, err) &&
        (!engine_can_run(engine, NULL) || engine_follow(engine, engine_plan(engine), NULL, watch_start(options), err));
    watch_end();
    if (ok) {
        warn_unmatched(options, engine);
        (options->json ? print_as_json : print_text)(options, engine, engine_plan(engine));
    }
    engine_close(engine);
    return ok;
}
