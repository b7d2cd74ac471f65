// calibrate --compare-random: how far do data-free ranges lead from those of text?
#include <math.h>
#include <stdlib.h>

#include "analysis/statistics.h"
#include "base/array.h"
#include "cli/results.h"

typedef struct RangeRow {
    int linear;
    double ratio;       // range on random tokens / range on text
    double correlation; // of the channels' absmax: Spearman
    FptqClass text, random;
} RangeRow;

typedef struct RangeRows {
    RangeRow *rows; // [count], one for each linear that is shown
    int count;
    int changed;         // linears whose class differs
    double median_ratio; // of all rows
} RangeRows;

static bool channel_correlation(const InputStats *a, const InputStats *b, double *out, Error *err) {
    double *values = array_new(2 * a->width, sizeof *values);
    if (!values) return error_memory(err, "a comparison");
    for (size_t j = 0; j < a->width; j++) {
        values[j] = (double)a->channel_absmax[j];
        values[a->width + j] = (double)b->channel_absmax[j];
    }
    bool ok = rank_correlation(values, values + a->width, a->width, out, err);
    free(values);
    return ok;
}

// Inputs without range have no ratio.
static bool median_ratio(RangeRows *rows, Error *err) {
    size_t n = 0;
    float *ratios = array_new((size_t)rows->count, sizeof *ratios), median = 0;
    for (int i = 0; ratios && i < rows->count; i++) {
        if (isfinite(rows->rows[i].ratio)) ratios[n++] = (float)rows->rows[i].ratio;
    }
    bool ok = ratios ? median_of(ratios, n, &median, err) : error_memory(err, "a comparison");
    rows->median_ratio = n ? (double)median : (double)NAN;
    free(ratios);
    return ok;
}

static bool fill_rows(const Options *options, const Engine *engine, const RandomCalibration *random, RangeRows *out,
                      Error *err) {
    const ModelStructure *structure = engine_structure(engine);
    out->rows = array_new((size_t)structure->linear_count, sizeof *out->rows);
    if (!out->rows) return error_memory(err, "a comparison");
    for (int i = 0; i < structure->linear_count; i++) {
        const Linear *linear = &structure->linears[i];
        const InputStats *a = &engine_stats(engine)->inputs[linear->input], *b = &random->stats.inputs[linear->input];
        if (!match_shows(options, linear)) continue;
        RangeRow *row = &out->rows[out->count++];
        *row = (RangeRow){.linear = i,
                          .ratio = a->range > 0 ? (double)b->range / (double)a->range : (double)NAN,
                          .text = engine_plan(engine)->decisions[i].input_class,
                          .random = random->plan.decisions[i].input_class};
        out->changed += row->text != row->random;
        if (!channel_correlation(a, b, &row->correlation, err)) return false;
    }
    return median_ratio(out, err);
}

static double range_of(const ModelStats *stats, const Linear *linear) {
    return (double)stats->inputs[linear->input].range;
}

static cJSON *rows_json(const Engine *engine, const RandomCalibration *random, const RangeRows *rows) {
    cJSON *object = cJSON_CreateObject();
    cJSON_AddNumberToObject(object, "tokens", (double)engine_calibration_tokens(engine));
    point_json(cJSON_AddObjectToObject(object, "text"), &random->text);
    point_json(cJSON_AddObjectToObject(object, "random"), &random->random);
    differences_json(object, "difference", &random->difference);
    cJSON_AddNumberToObject(object, "classes_changed", rows->changed);
    json_add_number(object, "median_range_ratio", rows->median_ratio);
    cJSON_AddBoolToObject(object, "too_few_tokens", random->text.accuracy.tokens < FEWEST_TOKENS);
    cJSON_AddStringToObject(object, "calibration_text", engine_text_name(engine, TEXT_CALIBRATION));
    cJSON_AddStringToObject(object, "evaluation_text", engine_text_name(engine, TEXT_EVALUATION));
    cJSON_AddBoolToObject(
        object, "chat", engine_text_is_chat(engine, TEXT_CALIBRATION) || engine_text_is_chat(engine, TEXT_EVALUATION));
    cJSON *linears = cJSON_AddArrayToObject(object, "linears");
    for (int i = 0; i < rows->count; i++) {
        const RangeRow *row = &rows->rows[i];
        const Linear *linear = &engine_structure(engine)->linears[row->linear];
        cJSON *entry = cJSON_CreateObject();
        cJSON_AddStringToObject(entry, "name", linear->name);
        json_add_number(entry, "range", range_of(engine_stats(engine), linear));
        json_add_number(entry, "range_random", range_of(&random->stats, linear));
        cJSON_AddStringToObject(entry, "class", class_name(row->text));
        cJSON_AddStringToObject(entry, "class_random", class_name(row->random));
        json_add_number(entry, "rank_correlation", row->correlation);
        cJSON_AddItemToArray(linears, entry);
    }
    return object;
}

static void print_rows(const Engine *engine, const RandomCalibration *random, const RangeRows *rows) {
    printf("%llu tokens of ", (unsigned long long)engine_calibration_tokens(engine));
    print_name(engine_text_name(engine, TEXT_CALIBRATION), 0);
    printf(", as many random ones\n\n%-38s %9s %9s %7s  %-6s %-6s  %s\n", "input of", "text", "random", "ratio",
           "class", "random", "channels correlate");
    for (int i = 0; i < rows->count; i++) {
        const RangeRow *row = &rows->rows[i];
        const Linear *linear = &engine_structure(engine)->linears[row->linear];
        print_name(linear->name, 38);
        printf(" %9.4g %9.4g %7.2f  %-6s %-6s %6.2f%s\n", range_of(engine_stats(engine), linear),
               range_of(&random->stats, linear), row->ratio, class_name(row->text), class_name(row->random),
               row->correlation, row->text != row->random ? "  another class" : "");
    }
    printf("\nmedian ratio of ranges %.2f; %d of %d linears get another class\n\n%-10s ", rows->median_ratio,
           rows->changed, rows->count, "");
    point_print_header();
    printf("%-10s ", "text");
    point_print(&random->text);
    printf("%-10s ", "random");
    point_print(&random->random);
    printf("\nrandom minus text, ");
    differences_print(&random->difference);
    scored_print(engine, TEXT_EVALUATION, random->text.accuracy.tokens);
}

bool command_compare_random(const Options *options, Error *err) {
    Engine *engine;
    RandomCalibration random = {0};
    RangeRows rows = {0};
    bool ok = open_prepared(options, true, true, &engine, err) &&
              engine_random_calibration(engine, &random, watch_start(options), err) &&
              fill_rows(options, engine, &random, &rows, err);
    watch_end();
    if (ok && options->json) print_json(rows_json(engine, &random, &rows));
    if (ok && !options->json) print_rows(engine, &random, &rows);
    free(rows.rows);
    random_calibration_free(&random);
    engine_close(engine);
    return ok;
}
