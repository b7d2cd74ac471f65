#include "loaders/config_parts.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"

#define MOST (1 << 24)

static bool read_int(const cJSON *config, const char *key, int missing, int least, int most, int *out, Error *err) {
    int64_t value;
    if (!json_integer(config, key, missing, least, most, &value, err)) return false;
    *out = (int)value;
    return true;
}

// ---- Inner widths ----

// The smaller of two widths is that of most layers.
bool config_take_widths(cJSON *config, ModelConfig *out, Error *err) {
    static const char key[] = "intermediate_size";
    const cJSON *list = cJSON_GetObjectItemCaseSensitive(config, key), *item;
    double least = INFINITY, most = 0;
    int layer = 0;
    if (!cJSON_IsArray(list)) return true;
    cJSON_ArrayForEach(item, list) {
        const double width = cJSON_GetNumberValue(item);
        if (!(width >= 1 && width <= MOST && width == floor(width)))
            return error_set(err, "\"%s\" must be whole numbers from 1 to %d", key, MOST);
        least = fmin(least, width);
        most = fmax(most, width);
    }
    if (list->child) out->ffn = (int)least;
    cJSON_ArrayForEach(item, list) {
        const double width = cJSON_GetNumberValue(item);
        if (width != least && width != most)
            config_not_run(out, "more than two inner widths (\"%s\") are not supported", key);
        if (width != least && layer < LAYERS_MAX) layer_add(&out->wide, layer);
        layer++;
    }
    out->wide_ffn = (int)most;
    cJSON_DeleteItemFromObjectCaseSensitive(config, key);
    return true;
}

static bool read_double_width(const cJSON *config, ModelConfig *out, Error *err) {
    bool doubled;
    if (!json_bool(config, "use_double_wide_mlp", false, &doubled, err)) return false;
    if (!doubled) return true;
    out->wide_ffn = 2 * out->ffn;
    for (int layer = 0; layer < out->layers; layer++)
        if (layer_shares(out, layer)) layer_add(&out->wide, layer);
    return true;
}

// ---- Heads of layers without a window ----

// {"5": {"head_dim": 512, "num_key_value_heads": 2}, …}: must be what full layers have, all of them the same.
static bool read_head_list(const cJSON *list, ModelConfig *out, Error *err) {
    const cJSON *item;
    int listed = 0, full = 0;
    out->full_head_dim = 0; // as the others, where none is listed
    for (int layer = 0; layer < out->layers; layer++) full += !layer_is_in(&out->windowed, layer);
    cJSON_ArrayForEach(item, list) {
        char *end;
        const long layer = strtol(item->string, &end, 10);
        const bool is_full = end > item->string && !*end && layer >= 0 && layer < out->layers &&
                             !layer_is_in(&out->windowed, (int)layer);
        int dim, heads;
        if (!read_int(item, "head_dim", out->head_dim, 1, 1 << 14, &dim, err) ||
            !read_int(item, "num_key_value_heads", out->kv_heads, 1, 1 << 14, &heads, err))
            return error_prefix(err, "per_layer_config");
        const bool same = listed == 0 || (dim == out->full_head_dim && heads == out->full_kv_heads);
        if (!is_full || !same)
            return config_not_run(out, "heads that differ otherwise than by a layer's window are not supported");
        out->full_head_dim = dim;
        out->full_kv_heads = heads;
        listed++;
    }
    if (listed > 0 && listed < full)
        config_not_run(out, "heads that differ otherwise than by a layer's window are not supported");
    return true;
}

static bool read_full_heads(const cJSON *config, const Family *family, ModelConfig *out, Error *err) {
    const cJSON *list = cJSON_GetObjectItemCaseSensitive(config, "per_layer_config");
    if (!family_reads(family, "global_head_dim")) return true;
    if (!json_bool(config, "attention_k_eq_v", false, &out->full_values_are_keys, err)) return false;
    const char *heads = out->full_values_are_keys ? "num_global_key_value_heads" : "num_key_value_heads";
    if (cJSON_IsObject(list)) {
        if (!read_head_list(list, out, err)) return false;
    } else if (!read_int(config, "global_head_dim", out->full_head_dim, 1, 1 << 14, &out->full_head_dim, err) ||
               !read_int(config, heads, out->kv_heads, 1, 1 << 14, &out->full_kv_heads, err)) {
        return false;
    }
    if (out->full_head_dim % 2 != 0)
        return error_set(err, "heads of %d dimensions are odd; rotary positions need an even number",
                         out->full_head_dim);
    return !out->full_head_dim || out->heads % out->full_kv_heads == 0 ||
           error_set(err, "num_attention_heads %d is not a multiple of num_global_key_value_heads %d", out->heads,
                     out->full_kv_heads);
}

// ---- Keys and values of others ----

static bool read_sharing(const cJSON *config, const Family *family, ModelConfig *out, Error *err) {
    int sharing = 0;
    if (!family_reads(family, "num_kv_shared_layers")) return true;
    if (!read_int(config, "num_kv_shared_layers", family->sharing_layers, 0, LAYERS_MAX, &sharing, err)) return false;
    if (sharing == 0) return true;
    out->first_sharing = out->layers - sharing;
    for (int layer = 0; layer < out->layers; layer++)
        if (out->first_sharing <= 0 ||
            (layer_shares(out, layer) && shared_layer(out, layer_is_in(&out->windowed, layer)) < 0))
            return error_set(err,
                             "the keys and values of layer %d are those of none before it "
                             "(\"num_kv_shared_layers\": %d)",
                             layer, sharing);
    return true;
}

// ---- What else layers have ----

// x with Φ(x) = share.
static double normal_quantile(double share) {
    double low = -40, high = 40;
    for (int i = 0; i < 100; i++) {
        const double middle = (low + high) / 2;
        if (erfc(-middle / sqrt(2.0)) / 2 < share)
            low = middle;
        else
            high = middle;
    }
    return low;
}

// A share for every layer; the first ten of many have the default. Layers with 0 keep everything.
static bool read_sparsity(const cJSON *config, const Family *family, ModelConfig *out, Error *err) {
    static const char key[] = "activation_sparsity_pattern";
    const cJSON *list = cJSON_GetObjectItemCaseSensitive(config, key), *item = list ? list->child : NULL;
    double kept = 0;
    if (!family_reads(family, key)) return true;
    if (cJSON_IsArray(list) && cJSON_GetArraySize(list) != out->layers)
        return error_set(err, "\"%s\" must have a number for each of the %d layers", key, out->layers);
    for (int layer = 0; layer < out->layers; layer++, item = item ? item->next : NULL) {
        const double share = cJSON_IsArray(list)              ? cJSON_GetNumberValue(item)
                             : out->layers > 10 && layer < 10 ? 0.95
                                                              : 0;
        if (!(share >= 0 && share < 1)) return error_set(err, "\"%s\" must be numbers from 0 to below 1", key);
        if (share == 0) continue;
        if (kept != 0 && share != kept) config_not_run(out, "gates of several sparsities are not supported");
        kept = share;
        layer_add(&out->sparse, layer);
    }
    if (kept > 0) out->gate_cutoff = (float)normal_quantile(kept);
    return true;
}

static bool read_altup(const cJSON *config, ModelConfig *out, Error *err) {
    AltUp *a = &out->altup;
    return a->streams == 0 || (read_int(config, "altup_num_inputs", a->streams, 1, 64, &a->streams, err) &&
                               read_int(config, "altup_active_idx", a->active, 0, a->streams - 1, &a->active, err) &&
                               json_bool(config, "altup_correct_scale", a->scaled, &a->scaled, err) &&
                               read_int(config, "laurel_rank", out->laurel_rank, 1, MOST, &out->laurel_rank, err));
}

static bool read_layer_inputs(const cJSON *config, ModelConfig *out, Error *err) {
    LayerInputs *inputs = &out->layer_inputs;
    if (cJSON_IsNull(cJSON_GetObjectItemCaseSensitive(config, "hidden_size_per_layer_input"))) inputs->width = 0;
    return read_int(config, "hidden_size_per_layer_input", inputs->width, 0, 1 << 16, &inputs->width, err) &&
           read_int(config, "vocab_size_per_layer_input", out->vocab, 1, MOST, &inputs->vocab, err);
}

bool config_read_layers(const cJSON *config, const Family *family, ModelConfig *out, Error *err) {
    return read_full_heads(config, family, out, err) && read_sharing(config, family, out, err) &&
           read_double_width(config, out, err) && read_sparsity(config, family, out, err) &&
           read_altup(config, out, err) && read_layer_inputs(config, out, err);
}
