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

static bool shown(const Options *options, const Linear *linear) {
    return !options->match || glob_matches(options->match, linear->name);
}

static const InputStats *input_of(const Opened *o, int linear) {
    return &o->engine.stats.inputs[o->engine.structure.linears[linear].input];
}

static void print_as_json(const Options *options, const Opened *o) {
    cJSON *object = cJSON_CreateObject();
    cJSON_AddNumberToObject(object, "tokens", (double)o->engine.calibration_tokens);
    few_json(object, o->engine.calibration_tokens);
    cJSON *linears = cJSON_AddArrayToObject(object, "linears");
    for (int i = 0; i < o->engine.structure.linear_count; i++) {
        const Linear *linear = &o->engine.structure.linears[i];
        if (shown(options, linear))
            cJSON_AddItemToArray(linears, linear_json(linear, input_of(o, i), o->plan.decisions[i].input_class));
    }
    print_json(object);
}

static void print_text(const Options *options, const Opened *o) {
    printf("%llu tokens\n\n%-38s %8s %9s %9s %9s  %-6s  %s\n", (unsigned long long)o->engine.calibration_tokens,
           "input of", "tokens", "|x| max", "99.99 %", "99.9 %", "class", "largest channels");
    for (int i = 0; i < o->engine.structure.linear_count; i++) {
        const Linear *linear = &o->engine.structure.linears[i];
        if (shown(options, linear)) print_row(linear, input_of(o, i), o->plan.decisions[i].input_class);
    }
    few_print(o->engine.calibration_tokens, MORE_CALIBRATION);
}

bool command_calibrate(const Options *options, Error *err) {
    if (options->compare_random) return command_compare_random(options, err);
    Opened o;
    bool ok = opened_plan(options, true, &o, err);
    watch_end();
    if (ok) (options->json ? print_as_json : print_text)(options, &o);
    opened_close(&o);
    return ok;
}
