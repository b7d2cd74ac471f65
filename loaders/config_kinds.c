#include "loaders/config_parts.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/json.h"

// Whether it is a kind of layers that are not, or not all, attention.
static bool set_recurrent_kind(ModelConfig *out, int layer, const char *kind) {
    const bool remembers =
                   strcmp(kind, "conv") == 0 || strcmp(kind, "linear_attention") == 0 || strcmp(kind, "mamba") == 0,
               experts = strcmp(kind, "moe") == 0 && out->experts.ungated, mlp = strcmp(kind, "mlp") == 0 || experts,
               attention = strcmp(kind, "attention") == 0;
    if (out->recurrent.kind == RECURRENT_NONE) return false;
    if (remembers) layer_add(&out->recurrent.layers, layer);
    if (remembers || mlp) layer_add(&out->unattended, layer);
    if (experts) layer_add(&out->experts.layers, layer);
    return remembers || mlp || attention;
}

bool config_set_layer_kind(ModelConfig *out, int layer, const char *kind, Error *err) {
    if (!kind) return error_set(err, "\"layer_types\" must list the kind of every layer");
    if (set_recurrent_kind(out, layer, kind)) return true;
    bool windowed =
        strcmp(kind, out->chunked ? "chunked_attention" : "sliding_attention") == 0 || strcmp(kind, "local") == 0;
    if (windowed) layer_add(&out->windowed, layer);
    if (!windowed && strcmp(kind, "full_attention") != 0 && strcmp(kind, "global") != 0) {
        char *shown = text_printable(kind, strlen(kind), false);
        config_not_run(out, "layers of the kind \"%.40s\" are not supported", shown ? shown : "?");
        free(shown);
    }
    return true;
}

static bool read_layer_list(const cJSON *list, ModelConfig *out, Error *err) {
    if (cJSON_GetArraySize(list) < out->layers)
        return error_set(err, "\"layer_types\" names the kind of %d layers, but there are %d", cJSON_GetArraySize(list),
                         out->layers);
    const cJSON *item = list->child;
    for (int layer = 0; layer < out->layers; layer++, item = item->next) {
        if (!config_set_layer_kind(out, layer, cJSON_GetStringValue(item), err)) return false;
    }
    return true;
}

// GPT-Neo before it listed every layer: [[["global", "local"], 12]], kinds to repeat and how often.
static bool read_layer_repeats(const cJSON *repeats, ModelConfig *out, Error *err) {
    const cJSON *repeat, *kind;
    int layer = 0;
    cJSON_ArrayForEach(repeat, repeats) {
        const cJSON *kinds = cJSON_GetArrayItem(repeat, 0), *times = cJSON_GetArrayItem(repeat, 1);
        double count = cJSON_GetNumberValue(times);
        for (int i = 0; count > i && cJSON_IsArray(kinds) && kinds->child && layer < out->layers; i++) {
            cJSON_ArrayForEach(kind, kinds) {
                if (layer < out->layers && !config_set_layer_kind(out, layer++, cJSON_GetStringValue(kind), err))
                    return false;
            }
        }
    }
    return layer == out->layers ||
           error_set(err, "\"attention_types\" names the kind of %d layers, but there are %d", layer, out->layers);
}

static bool windowed_by_rule(WindowRule rule, int layer, int border, int period) {
    switch (rule) {
    case WINDOW_LATER_LAYERS: return layer >= border;
    case WINDOW_EARLY_ODD_LAYERS: return layer < border && layer % 2 == 0;
    case WINDOW_EVERY_NTH: return (layer + 1) % period == 0;
    case WINDOW_NOT_EVERY_NTH: return (layer + 1) % period != 0;
    case WINDOW_ROTATED_LAYERS: return false; // read_unrotated
    case WINDOW_ALL_LAYERS: break;
    }
    return true;
}

static bool read_rule(const cJSON *config, const Family *family, ModelConfig *out, Error *err) {
    int64_t border, period;
    if (!json_integer(config, "max_window_layers", 28, 0, INT_MAX, &border, err) ||
        !json_integer(config, "sliding_window_pattern", family->window_period, 0, INT_MAX, &period, err)) {
        return false;
    }
    for (int layer = 0; layer < out->layers; layer++) {
        if (windowed_by_rule(family->windows, layer, (int)border, period ? (int)period : 1))
            layer_add(&out->windowed, layer);
    }
    return true;
}

// Layers without positions: those that a list of flags leaves out, every so many, or those without a window.
bool config_read_unrotated(const cJSON *config, const Family *family, ModelConfig *out, Error *err) {
    const cJSON *list = cJSON_GetObjectItemCaseSensitive(config, "no_rope_layers"), *item;
    int64_t interval = 0;
    if (family_reads(family, "no_rope_layers") && cJSON_GetArraySize(list) == 0 &&
        !json_integer(config, "no_rope_layer_interval", 4, 1, INT_MAX, &interval, err))
        return false;
    for (int layer = 0; layer < out->layers; layer++) {
        const bool wide = family->windows_rotate && out->window > 0 && !layer_is_in(&out->windowed, layer);
        if (wide || (interval > 0 && (layer + 1) % interval == 0)) layer_add(&out->unrotated, layer);
    }
    int layer = 0;
    cJSON_ArrayForEach(item, list) { // 1: with positions
        if (layer < out->layers && cJSON_GetNumberValue(item) == 0) layer_add(&out->unrotated, layer);
        layer++;
    }
    const bool listed = cJSON_IsArray(cJSON_GetObjectItemCaseSensitive(config, "layer_types"));
    for (layer = 0; family->windows == WINDOW_ROTATED_LAYERS && !listed && layer < out->layers; layer++)
        if (!layer_is_in(&out->unrotated, layer)) layer_add(&out->windowed, layer);
    return true;
}

bool config_read_windows(const cJSON *config, const Family *family, ModelConfig *out, Error *err) {
    Keys window_keys = {"sliding_window", "window_size", "attention_chunk_size"},
         list_keys = {"layer_types", "attention_layers", "layers_block_type"};
    const char *key = out->chunked ? window_keys[2] : json_first_key(config, window_keys);
    int64_t window;
    bool used = true;
    if (!json_integer(config, key, config_is_null(config, key) ? 0 : out->window, 0, INT_MAX, &window, err))
        return false;
    if (!json_bool(config, "use_sliding_window", !family_reads(family, "use_sliding_window"), &used, err)) return false;
    out->window = used ? (int)window : 0;
    const cJSON *list = cJSON_GetObjectItemCaseSensitive(config, json_first_key(config, list_keys));
    const cJSON *repeats = cJSON_GetObjectItemCaseSensitive(config, "attention_types");
    const bool ok = cJSON_IsArray(list)      ? read_layer_list(list, out, err)
                    : cJSON_IsArray(repeats) ? read_layer_repeats(repeats, out, err)
                                             : read_rule(config, family, out, err);
    if (family->last_is_full && out->layers > 0) layer_remove(&out->windowed, out->layers - 1);
    return ok;
}
