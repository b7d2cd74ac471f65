#include "loaders/config_parts.h"

#include <limits.h>
#include <string.h>

#include "base/json.h"

static bool read_dense_layers(const cJSON *config, ModelConfig *out, Error *err) {
    const cJSON *dense = cJSON_GetObjectItemCaseSensitive(config, "mlp_only_layers"),
                *listed = cJSON_GetObjectItemCaseSensitive(config, "moe_layers"), *item;
    int64_t step, first;
    Keys steps = {"decoder_sparse_step", "moe_layer_interval", "interleave_moe_layer_step"},
         firsts = {"first_k_dense_replace", "moe_layer_start_index", "num_dense_layers"};
    int64_t last;
    if (!json_integer(config, json_first_key(config, steps), 1, 1, INT_MAX, &step, err) ||
        !json_integer(config, json_first_key(config, firsts), out->experts.first_layer, 0, INT_MAX, &first, err) ||
        !json_integer(config, "moe_layer_end_index", -1, -1, INT_MAX, &last, err))
        return false;
    if (cJSON_IsArray(listed)) {
        cJSON_ArrayForEach(item, listed) {
            const double layer = cJSON_GetNumberValue(item);
            if (layer >= 0 && layer < out->layers) layer_add(&out->experts.layers, (int)layer);
        }
        return true;
    }
    for (int layer = (int)first; layer < out->layers && (last < 0 || layer <= last); layer++) {
        bool is_dense = false;
        cJSON_ArrayForEach(item, dense) is_dense |= cJSON_GetNumberValue(item) == (double)layer;
        if (!is_dense && (layer + 1) % step == 0) layer_add(&out->experts.layers, layer);
    }
    return true;
}

// How DeepSeek and those after it choose experts, and how many see every token.
static bool read_routing(const cJSON *config, Experts *e, Error *err) {
    int64_t shared, groups, chosen;
    Keys shared_keys = {"n_shared_experts", "moe_num_shared_experts"};
    if (!json_integer(config, json_first_key(config, shared_keys), e->shared_count, 0, 1 << 10, &shared, err) ||
        !json_integer(config, "n_group", config_is_null(config, "n_group") ? 1 : e->groups, 0, EXPERT_GROUPS_MAX,
                      &groups, err) ||
        !json_integer(config, "topk_group", config_is_null(config, "topk_group") ? 1 : e->chosen_groups, 0, groups,
                      &chosen, err) ||
        !config_read_optional(config, "routed_scaling_factor", &e->scale, err))
        return false;
    const char *method;
    if (!json_string(config, "topk_method", e->sigmoid ? "noaux_tc" : "greedy", &method, err)) return false;
    if (strcmp(method, "greedy") == 0) groups = 0;
    if (groups > 0 && e->count % groups != 0)
        return error_set(err, "%d experts cannot be shared by %d groups (\"n_group\")", e->count, (int)groups);
    if (groups > 1 && chosen * (e->count / groups) < e->per_token)
        return error_set(err, "%d groups of %d experts (\"topk_group\") are too few to choose %d experts from",
                         (int)chosen, e->count / (int)groups, e->per_token);
    if (e->shared_count) e->shared_ffn = (int)shared * e->ffn;
    if (e->scale == 1) e->scale = 0;
    e->groups = groups > 1 ? (int)groups : 0;
    e->chosen_groups = (int)chosen;
    return true;
}

// SparseMixer as PhiMoE has it chooses two, whatever the file says.
static bool read_mixer(const cJSON *config, ModelConfig *out, Error *err) {
    float noise = 0.01F;
    if (!out->experts.mixer) return true;
    if (!config_read_optional(config, "router_jitter_noise", &noise, err)) return false;
    out->experts.tolerance = 2 * noise;
    if (out->experts.per_token != 2)
        config_not_run(out, "routers of this kind that choose other than two experts are not supported");
    return true;
}

static bool any_layer(const ModelConfig *config, const LayerSet *set) {
    bool any = false;
    for (int layer = 0; layer < config->layers; layer++) any |= layer_is_in(set, layer);
    return any;
}

bool config_read_experts(const cJSON *config, const Family *family, ModelConfig *out, Error *err) {
    Experts *e = &out->experts;
    Keys count = {"num_local_experts", "num_experts", "n_routed_experts", "moe_num_experts"},
         per_token = {"num_experts_per_tok", "moe_k", "top_k_experts"},
         ffn = {family_reads(family, "intermediate_size_mlp") ? "intermediate_size" : "moe_intermediate_size"},
         shared = {"shared_expert_intermediate_size", "shared_intermediate_size",
                   "moe_shared_expert_intermediate_size"};
    const int most = 1 << 24;
    int64_t shared_ffn;
    bool enabled;
    if (!json_bool(config, "enable_moe_block", !e->beside, &enabled, err)) return false;
    if (!enabled || (e->ungated && !any_layer(out, &e->layers))) e->count = 0;
    if (e->count == 0) return true;
    if (cJSON_GetNumberValue(cJSON_GetObjectItemCaseSensitive(config, json_first_key(config, count))) == 0) {
        *e = (Experts){0}; // a small one of its family
        return true;
    }
    if (cJSON_IsNumber(cJSON_GetObjectItemCaseSensitive(config, "moe_latent_size")))
        config_not_run(out, "experts that read fewer columns than there are (\"moe_latent_size\") are not supported");
    if (!config_read_count(config, count, e->count, 1 << 14, &e->count, err) ||
        !config_read_count(config, per_token, e->per_token, e->count, &e->per_token, err) ||
        !config_read_count(config, ffn, e->ffn ? e->ffn : out->ffn, most, &e->ffn, err) ||
        !json_integer(config, json_first_key(config, shared), e->shared_ffn, 0, most, &shared_ffn, err)) {
        return false;
    }
    e->shared_ffn = (int)shared_ffn;
    if (e->scales_inputs) e->shared_ffn = e->ffn; // Llama 4
    return read_mixer(config, out, err) && read_routing(config, e, err) &&
           (e->ungated || read_dense_layers(config, out, err));
}
