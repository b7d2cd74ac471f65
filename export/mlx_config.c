// What mlx-lm looks for in config.json. transformers 5 writes some of it in other places; there mlx-lm fails, or takes
// a number of its own without a word.
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "export/export_parts.h"

static void add_missing(const cJSON *had, const char *key, const cJSON *value, Text *out) {
    const cJSON *old = cJSON_GetObjectItemCaseSensitive(had, key);
    if (!value || (old && !cJSON_IsNull(old))) return;
    char *text = cJSON_PrintUnformatted(value);
    if (text)
        config_text_set(out, key, text);
    else
        out->failed = true;
    cJSON_free(text);
}

// One object, or one for each kind of layer.
static void add_rope(const cJSON *had, Text *out) {
    const cJSON *all = cJSON_GetObjectItemCaseSensitive(had, "rope_parameters");
    const cJSON *full = cJSON_GetObjectItemCaseSensitive(all, "full_attention");
    const cJSON *windowed = cJSON_GetObjectItemCaseSensitive(all, "sliding_attention");
    const cJSON *rope = full ? full : all, *theta = cJSON_GetObjectItemCaseSensitive(rope, "rope_theta");
    const cJSON *share = cJSON_GetObjectItemCaseSensitive(rope, "partial_rotary_factor");
    const char *type = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(rope, "rope_type"));
    const char *family = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(had, "model_type"));
    const bool neox = family && strcmp(family, "gpt_neox") == 0;
    add_missing(had, neox ? "rotary_emb_base" : "rope_theta", theta, out);
    add_missing(had, neox ? "rotary_pct" : "partial_rotary_factor", share, out);
    add_missing(had, "rope_local_base_freq", cJSON_GetObjectItemCaseSensitive(windowed, "rope_theta"), out);
    if (type && strcmp(type, "default") != 0) add_missing(had, "rope_scaling", rope, out);
}

void mlx_config(const char *quantization, Text *config) {
    cJSON *had = cJSON_ParseWithLength(config->data, config->length);
    config_text_set(config, "quantization", quantization);
    add_rope(had, config);
    const char *family = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(had, "model_type"));
    if (family && strcmp(family, "qwen3_moe") == 0)
        add_missing(had, "num_experts", cJSON_GetObjectItemCaseSensitive(had, "num_local_experts"), config);
    cJSON_Delete(had);
}
