#include "loaders/config.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/array.h"

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

int shared_layer(const ModelConfig *config, bool windowed) {
    int layer = config->first_sharing - 1;
    while (layer >= 0 && layer_is_in(&config->windowed, layer) != windowed) layer--;
    return layer;
}

size_t stream_width(const ModelConfig *config) {
    size_t width = (size_t)config->hidden * (size_t)(config->altup.streams ? config->altup.streams : 1);
    width += (size_t)config->layers * (size_t)config->layer_inputs.width;
    for (int windowed = 0; windowed < 2; windowed++) {
        const int layer = shared_layer(config, windowed);
        if (layer >= 0) width += 2 * layer_key_width(config, layer);
    }
    return width;
}

size_t cache_bytes(const ModelConfig *config, size_t bytes_of_number, size_t more) {
    size_t bytes = 0;
    for (int layer = config->pair.encoder_layers; layer < config->layers && !layer_shares(config, layer); layer++)
        if (!layer_is_in(&config->unattended, layer))
            bytes += 2 * (size_t)layer_kv_heads(config, layer) *
                     ((size_t)layer_head_dim(config, layer) * bytes_of_number + more);
    return bytes;
}
