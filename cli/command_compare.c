// Methods, and the user's recipe, in one table on the same tokens.
#include <stdlib.h>

#include "analysis/methods.h"
#include "base/array.h"
#include "cli/results.h"

typedef struct MethodTable {
    const char **names; // [count]
    Recipe *recipes;    // [count]
    Point *points;      // [count]
    int count;
} MethodTable;

static bool add_row(MethodTable *table, const char *name, const Options *options, const char *dials, Error *err) {
    Recipe *recipe = &table->recipes[table->count];
    if (!options_recipe(options, recipe, err)) return false;
    table->names[table->count++] = name;
    return recipe_turn(recipe, dials, err);
}

static bool fill_table(const Options *options, MethodTable *table, Error *err) {
    size_t most = (size_t)method_count + 1;
    *table = (MethodTable){.names = array_new(most, sizeof *table->names),
                           .recipes = array_new(most, sizeof *table->recipes),
                           .points = array_new(most, sizeof *table->points)};
    if (!table->names || !table->recipes || !table->points) return error_memory(err, "a comparison");
    // A recipe's rules for single linears belong to that recipe; what the command line says holds for all.
    Options plain = *options;
    plain.recipe = NULL;
    for (int i = 0; i < method_count; i++) {
        if (!add_row(table, method_table[i].name, &plain, method_table[i].dials, err)) return false;
    }
    return !options->recipe || add_row(table, options->recipe, options, "", err);
}

static void table_free(MethodTable *table) {
    for (int i = 0; i < table->count; i++) recipe_free(&table->recipes[i]);
    free(table->names);
    free(table->recipes);
    free(table->points);
}

static cJSON *table_json(const MethodTable *table, const Engine *engine) {
    const size_t base_bytes = engine_structure(engine)->checkpoint->bytes;
    cJSON *object = cJSON_CreateObject(), *base = cJSON_AddObjectToObject(object, "base");
    json_add_number(base, "ppl", table->points[0].accuracy.base_ppl);
    cJSON_AddNumberToObject(base, "bytes", (double)base_bytes);
    spread_json(base, "tokens_per_second", &table->points[0].speed.first);
    cJSON_AddNumberToObject(object, "tokens", (double)table->points[0].accuracy.tokens);
    scored_json(object, engine, TEXT_EVALUATION, table->points[0].accuracy.tokens);
    cJSON *methods = cJSON_AddArrayToObject(object, "methods");
    for (int i = 0; i < table->count; i++) {
        cJSON *method = cJSON_CreateObject();
        cJSON_AddStringToObject(method, "name", table->names[i]);
        point_json(method, &table->points[i]);
        json_add_number(method, "pack_seconds", table->points[i].pack_seconds);
        cJSON_AddItemToArray(methods, method);
    }
    return object;
}

static void print_table(const MethodTable *table, const Engine *engine) {
    const size_t base_bytes = engine_structure(engine)->checkpoint->bytes;
    char size[32], rate[32], ppl[24];
    printf("base: %s, perplexity %s, %s tokens/s\n\n", in_megabytes((double)base_bytes, size, sizeof size),
           ppl_text(table->points[0].accuracy.base_ppl, ppl, sizeof ppl),
           rate_text(table->points[0].speed.first.median, rate, sizeof rate));
    printf("%-32s ", "");
    point_print_header();
    for (int i = 0; i < table->count; i++) {
        print_name(table->names[i], 32);
        putchar(' ');
        point_print(&table->points[i]);
    }
    printf("\n* on the Pareto front: no other row is as small and as close to the base\n");
    best_print();
    scored_print(engine, TEXT_EVALUATION, table->points[0].accuracy.tokens);
}

bool command_compare(const Options *options, Error *err) {
    Engine *engine;
    MethodTable table = {0};
    PointOptions how = {.speed = true};
    bool ok = open_prepared(options, true, true, &engine, err) && fill_table(options, &table, err) &&
              engine_points(engine, table.recipes, table.count, &how, table.points, watch_start(options), err);
    watch_end();
    if (ok) {
        warn_unmatched(options, engine);
        if (options->json)
            print_json(table_json(&table, engine));
        else
            print_table(&table, engine);
    }
    table_free(&table);
    engine_close(engine);
    return ok;
}
