#include <stdlib.h>

#include "cli/results.h"

#define TOP_CHANNELS 3

static cJSON *linear_json(const Linear *linear, const InputStats *input, FptqClass class) {
    cJSON *object = cJSON_CreateObject(), *channels;
    uint32_t *order = malloc((input->width + 1) * sizeof *order);
    size_t count = order ? input_top_channels(input, input->width, order) : 0;
    cJSON_AddStringToObject(object, "name", linear->name);
    cJSON_AddNumberToObject(object, "tokens", (double)input->tokens); // experts see only some
    json_add_number(object, "range", input->range);
    json_add_number(object, "p99", input->p99);
    json_add_number(object, "p99_9", input->p99_9);
    json_add_number(object, "p99_99", input->p99_99);
    channels = cJSON_AddArrayToObject(object, "channels"); // largest first
    for (size_t i = 0; i < count; i++) {
        cJSON *channel = cJSON_CreateObject();
        cJSON_AddNumberToObject(channel, "index", order[i]);
        json_add_number(channel, "absmax", input->channel_absmax[order[i]]);
        cJSON_AddItemToArray(channels, channel);
    }
    free(order);
    cJSON_AddStringToObject(object, "class", class_name(class));
    return object;
}

static void print_row(const Linear *linear, const InputStats *input, FptqClass class) {
    uint32_t top[TOP_CHANNELS];
    size_t count = input_top_channels(input, TOP_CHANNELS, top);
    print_name(linear->name, 38);
    printf(" %8llu %9.4g %9.4g %9.4g  %-6s ", (unsigned long long)input->tokens, input->range, input->p99_99,
           input->p99_9, class_name(class));
    for (size_t i = 0; i < count; i++) printf(" %u (%.3g)", top[i], input->channel_absmax[top[i]]);
    putchar('\n');
}

static const InputStats *input_of(const Engine *engine, int linear) {
    return &engine_stats(engine)->inputs[engine_structure(engine)->linears[linear].input];
}

static void print_as_json(const Options *options, const Engine *engine) {
    const ModelStructure *structure = engine_structure(engine);
    cJSON *object = cJSON_CreateObject();
    cJSON_AddNumberToObject(object, "tokens", (double)engine_calibration_tokens(engine));
    scored_json(object, engine, TEXT_CALIBRATION, engine_calibration_tokens(engine));
    cJSON *linears = cJSON_AddArrayToObject(object, "linears");
    for (int i = 0; i < structure->linear_count; i++) {
        const Linear *linear = &structure->linears[i];
        if (match_shows(options, linear))
            cJSON_AddItemToArray(
                linears, linear_json(linear, input_of(engine, i), engine_plan(engine)->decisions[i].input_class));
    }
    print_json(object);
}

static void print_text(const Options *options, const Engine *engine) {
    const ModelStructure *structure = engine_structure(engine);
    scored_print(engine, TEXT_CALIBRATION, engine_calibration_tokens(engine));
    printf("\n%-38s %8s %9s %9s %9s  %-6s  %s\n", "input of", "tokens", "|x| max", "99.99 %", "99.9 %", "class",
           "largest channels");
    for (int i = 0; i < structure->linear_count; i++) {
        const Linear *linear = &structure->linears[i];
        if (match_shows(options, linear))
            print_row(linear, input_of(engine, i), engine_plan(engine)->decisions[i].input_class);
    }
}

bool command_calibrate(const Options *options, Error *err) {
    if (options->compare_random) return command_compare_random(options, err);
    Engine *engine;
    bool ok = open_prepared(options, true, true, &engine, err);
    watch_end();
    if (ok) (options->json ? print_as_json : print_text)(options, engine);
    engine_close(engine);
    return ok;
}
