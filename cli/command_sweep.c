// One dial or two over lists of values.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/number.h"
#include "cli/results.h"

// ---- JSON, table, CSV ----

static void add_value(cJSON *values, const Sweep *sweep, int point, int dial) {
    char text[32];
    sweep_value_text(sweep, point, dial, text, sizeof text);
    double number;
    bool numeric = number_parse(text, &number);
    cJSON_AddItemToArray(values, numeric ? cJSON_CreateNumber(number) : cJSON_CreateString(text));
}

static cJSON *sweep_json(const Engine *engine, const Sweep *sweep) {
    cJSON *object = cJSON_CreateObject(), *dials = cJSON_AddArrayToObject(object, "dials");
    cJSON *points = cJSON_AddArrayToObject(object, "points");
    scored_json(object, engine, TEXT_EVALUATION, sweep->points[0].accuracy.tokens);
    for (int d = 0; d < sweep->dial_count; d++) cJSON_AddItemToArray(dials, cJSON_CreateString(sweep_option(sweep, d)));
    for (int i = 0; i < sweep->count; i++) {
        cJSON *point = cJSON_CreateObject(), *values = cJSON_AddArrayToObject(point, "values");
        for (int d = 0; d < sweep->dial_count; d++) add_value(values, sweep, i, d);
        point_json(point, &sweep->points[i]);
        cJSON_AddItemToArray(points, point);
    }
    return object;
}

static void print_sweep(const Engine *engine, const Sweep *sweep) {
    for (int d = 0; d < sweep->dial_count; d++) printf("%-12s ", sweep_option(sweep, d));
    point_print_header();
    for (int i = 0; i < sweep->count; i++) {
        for (int d = 0; d < sweep->dial_count; d++) {
            char text[32];
            sweep_value_text(sweep, i, d, text, sizeof text);
            printf("%-12s ", text);
        }
        point_print(&sweep->points[i]);
    }
    printf("\n* on the Pareto front: no other point is as small and as close to the base\n");
    best_print();
    scored_print(engine, TEXT_EVALUATION, sweep->points[0].accuracy.tokens);
}

static bool write_csv(const Sweep *sweep, const char *path, Error *err) {
    Text csv = {0};
    for (int d = 0; d < sweep->dial_count; d++) text_addf(&csv, "%s,", sweep_option(sweep, d));
    text_addf(&csv, "bits_per_weight,bytes,ppl,kl,kl_se,top1,tokens_per_second,pareto,kl_above_best,kl_above_best_se,"
                    "ln_ppl_above_best,ln_ppl_above_best_se,top1_above_best,top1_above_best_se\n");
    for (int i = 0; i < sweep->count; i++) {
        const Point *p = &sweep->points[i];
        char text[32];
        for (int d = 0; d < sweep->dial_count; d++) {
            sweep_value_text(sweep, i, d, text, sizeof text);
            text_addf(&csv, "%s,", text);
        }
        if (p->bits_per_weight > 0) text_addf(&csv, "%.6g", p->bits_per_weight);
        text_addf(&csv, ",%zu,%.8g,%.8g,%.3g,%.6g,", p->bytes, p->accuracy.ppl, p->accuracy.kl_mean, p->accuracy.kl_se,
                  p->accuracy.top1);
        if (p->speed.pairs) text_addf(&csv, "%.6g", p->speed.second.median);
        const Differences *above = &p->above_best;
        text_addf(&csv, ",%d,%.8g,%.3g,%.8g,%.3g,%.8g,%.3g\n", p->pareto, above->kl.mean, above->kl.se, above->nll.mean,
                  above->nll.se, above->top1.mean, above->top1.se);
    }
    bool ok = csv.failed ? error_memory(err, path) : file_write(path, csv.data, csv.length, err);
    text_free(&csv);
    return ok;
}

static bool write_svg(const Sweep *sweep, const char *path, Error *err) {
    Text svg = {0};
    sweep_svg(sweep, &svg);
    const bool ok = svg.failed ? error_memory(err, path) : file_write(path, svg.data, svg.length, err);
    text_free(&svg);
    return ok;
}

// ---- The command ----

static bool make_sweep(const Options *options, const Recipe *recipe, Sweep *out, Error *err) {
    SweepDial dials[SWEEP_DIALS] = {0};
    for (int d = 0; d < options->sweep_count; d++) {
        if (!sweep_dial_parse(options->sweeps[d], &dials[d], err)) {
            while (d-- > 0) sweep_dial_free(&dials[d]);
            return false;
        }
    }
    Error idle = {0};
    if (!sweep_matters(recipe, dials, options->sweep_count, &idle) && !options->quiet)
        fprintf(stderr, "warning: %s\n", idle.message);
    return sweep_new(recipe, dials, options->sweep_count, out, err);
}

// The dials that are swept may be those of inputs.
static bool needs_ranges(const Sweep *sweep) {
    bool any = false;
    for (int i = 0; i < sweep->count; i++) any = any || recipe_needs_ranges(&sweep->recipes[i]);
    return any;
}

bool command_sweep(const Options *options, Error *err) {
    Engine *engine;
    Sweep sweep = {0};
    PointOptions how = {.speed = options->speed};
    bool ok = open_engine(options, true, &engine, err) && make_sweep(options, engine_recipe(engine), &sweep, err) &&
              prepare_engine(options, engine, needs_ranges(&sweep), err) &&
              engine_points(engine, sweep.recipes, sweep.count, &how, sweep.points, watch_start(options), err);
    watch_end();
    if (ok) {
        warn_unmatched(options, engine);
        if (options->json)
            print_json(sweep_json(engine, &sweep));
        else
            print_sweep(engine, &sweep);
    }
    ok = ok && (!options->csv || write_csv(&sweep, options->csv, err)) &&
         (!options->svg || write_svg(&sweep, options->svg, err));
    sweep_free(&sweep);
    engine_close(engine);
    return ok;
}
