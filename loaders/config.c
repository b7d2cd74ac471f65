#include "loaders/config.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/array.h"

int attending_layers(const ModelConfig *config) {
    int count = 0;
    for (int layer = config->pair.encoder_layers; layer < config->layers; layer++)
        count += !layer_is_in(&config->unattended, layer);
    return count;
}

size_t remembered_floats(const ModelConfig *config) {
    size_t floats = 0;
    for (int layer = 0; config->recurrent.kind && layer < config->layers; layer++)
        if (layer_is_in(&config->recurrent.layers, layer)) floats += recurrent_floats(&config->recurrent);
    return floats;
}

const ModelConfig config_unknown = {.family = "unknown", .layout = LAYOUT_OTHER, .dtype = DTYPE_OTHER, .bos_token = -1};

bool config_not_run(ModelConfig *config, const char *format, ...) {
    if (config->not_run[0]) return true;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(config->not_run, sizeof config->not_run, format, arguments);
    text_mend(config->not_run);
    va_end(arguments);
    return true;
}

void config_unusable(ModelConfig *config, const char *reason) {
    ModelConfig out = config_unknown;
    memcpy(out.family, config->family, sizeof out.family);
    out.identity = config->identity;
    config_not_run(&out, "%s", reason);
    *config = out;
}
