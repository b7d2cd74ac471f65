#include <stdlib.h>

#include "cli/results.h"

#define TOP_CHANNELS 3

static double token_share(const InputStats *input, uint32_t channel) {
    return input->tokens ? (double)input->channel_tokens[channel] / (double)input->tokens : 0;
}

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
        json_add_number(channel, "token_share", token_share(input, order[i]));
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
    for (size_t i = 0; i < count; i++)
        printf(" %u (%.3g, %.2g %%)", top[i], input->channel_absmax[top[i]], 100 * token_share(input, top[i]));
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
           "largest channels (stand out in so many tokens)");
    for (int i = 0; i < structure->linear_count; i++) {
        const Linear *linear = &structure->linears[i];
        if (match_shows(options, linear))
            print_row(linear, input_of(engine, i), engine_plan(engine)->decisions[i].input_class);
    }
}

// ---- A part ----

static void print_part(const Options *options, const CalibrationPart *part) {
    print_name(options->output, 0);
    printf(": part %d of %d, %llu of %llu tokens%s\n", options->part.index, options->part.count,
           (unsigned long long)part->tokens, (unsigned long long)part->all,
           part->was_there ? "; was there already" : "");
}

static void print_part_as_json(const Options *options, const Engine *engine, const CalibrationPart *part) {
    cJSON *object = cJSON_CreateObject();
    cJSON_AddStringToObject(object, "file", options->output);
    cJSON_AddNumberToObject(object, "part", options->part.index);
    cJSON_AddNumberToObject(object, "parts", options->part.count);
    cJSON_AddNumberToObject(object, "tokens", (double)part->tokens);
    cJSON_AddNumberToObject(object, "tokens_of_all", (double)part->all);
    cJSON_AddStringToObject(object, "text", engine_text_name(engine, TEXT_CALIBRATION));
    cJSON_AddBoolToObject(object, "was_there", part->was_there);
    print_json(object);
}

static bool calibrate_part(const Options *options, Error *err) {
    Engine *engine;
    CalibrationPart part;
    bool ok = open_engine(options, true, &engine, err) &&
              engine_calibrate_part(engine, options->part.index, options->part.count, options->output, &part,
                                    watch_start(options), err);
    watch_end();
    if (ok && options->json) print_part_as_json(options, engine, &part);
    if (ok && !options->json) print_part(options, &part);
    engine_close(engine);
    return ok;
}

// ---- All ----

// What parts or a file of statistics say needs no forward pass.
static bool prepare(const Options *options, Engine **engine, Error *err) {
    const bool runs = !options->merge && !options->model.statistics;
    return open_engine(options, runs, engine, err) &&
           (!options->merge || engine_merge_calibration(*engine, options->files, options->file_count, err)) &&
           prepare_engine(options, *engine, true, err);
}

bool command_calibrate(const Options *options, Error *err) {
    if (options->compare_random) return command_compare_random(options, err);
    if (options->part.count) return calibrate_part(options, err);
    Engine *engine;
    bool ok = prepare(options, &engine, err);
    watch_end();
    ok = ok && (!options->output || engine_keep_statistics(engine, options->output, err));
    if (ok) (options->json ? print_as_json : print_text)(options, engine);
    engine_close(engine);
    return ok;
}
