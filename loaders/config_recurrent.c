#include "loaders/config_parts.h"

#include <limits.h>
#include <math.h>
#include <string.h>

#include "base/json.h"

// Layers that no list of kinds speaks of: by a list of those with attention, every so many of them, or a text with a
// letter for each.
static bool read_mixing(const cJSON *config, const Family *family, ModelConfig *out, Error *err) {
    const cJSON *attend = cJSON_GetObjectItemCaseSensitive(config, "full_attn_idxs"), *item;
    const char *pattern;
    int64_t interval;
    if (!json_string(config, "hybrid_override_pattern", NULL, &pattern, err) ||
        !json_integer(config, "full_attention_interval", 4, 1, INT_MAX, &interval, err))
        return false;
    if (pattern && pattern[strspn(pattern, "M*-E")])
        return error_set(err, "\"hybrid_override_pattern\" may hold M, *, - and E, one letter for each layer");
    for (int layer = 0; layer < out->layers; layer++) {
        const char letter = pattern && *pattern ? pattern[layer] : 0; // as many as there are layers
        bool remembers = cJSON_IsArray(attend) || letter == 'M' ||
                         (family_reads(family, "full_attention_interval") && (layer + 1) % interval != 0);
        cJSON_ArrayForEach(item, attend) remembers &= cJSON_GetNumberValue(item) != (double)layer;
        const char *kind = letter == '-' ? "mlp" : letter == 'E' ? "moe" : remembers ? "conv" : "full_attention";
        if (!config_set_layer_kind(out, layer, kind, err)) return false;
    }
    return true;
}

// A layer is one thing: attention, memory or MLP; or both of the first, and then an MLP.
static void set_alone(const Family *family, ModelConfig *out) {
    for (int layer = 0; layer < out->layers; layer++) {
        const bool mixes = layer_is_in(&out->recurrent.layers, layer) || !layer_is_in(&out->unattended, layer);
        if (out->layout == LAYOUT_FALCON_H1) layer_add(&out->recurrent.layers, layer);
        if (out->layout == LAYOUT_NEMOTRON_H && mixes) layer_add(&out->without_mlp, layer);
        if (!family_reads(family, "rope_theta")) layer_add(&out->unrotated, layer);
    }
}

// Falcon H1 says how wide all heads are together, or how much wider than the model.
static bool read_mamba_width(const cJSON *config, ModelConfig *out, Error *err) {
    Recurrent *r = &out->recurrent;
    Keys width = {"mamba_d_ssm"}, expand = {"mamba_expand"};
    int values = 0, times;
    if (!config_read_count(config, expand, 2, 1 << 10, &times, err) ||
        !config_read_count(config, width, config_is_null(config, width[0]) ? times * out->hidden : 1024, 1 << 24,
                           &values, err))
        return false;
    r->value_dim = values / r->heads;
    return (values % r->heads == 0 && r->value_dim <= 1 << 14) ||
           error_set(err, "\"mamba_d_ssm\" %d cannot be shared by %d heads", values, r->heads);
}

// A list of numbers, each 1 where there is none.
static bool read_numbers(const cJSON *config, const char *key, int count, float *out, Error *err) {
    const cJSON *list = cJSON_GetObjectItemCaseSensitive(config, key);
    for (int i = 0; i < count; i++) out[i] = 1;
    if (!list || cJSON_IsNull(list)) return true;
    bool ok = cJSON_GetArraySize(list) == count;
    for (int i = 0; ok && i < count; i++) {
        const double value = cJSON_GetNumberValue(cJSON_GetArrayItem(list, i));
        out[i] = (float)value;
        ok = isfinite(value) && value > 0;
    }
    return ok || error_set(err, "\"%s\" must be a list of %d positive numbers", key, count);
}

static void refuse_step_limits(const cJSON *config, ModelConfig *out) {
    const cJSON *limits = cJSON_GetObjectItemCaseSensitive(config, "time_step_limit"),
                *most = cJSON_GetArrayItem(limits, 1);
    const bool least = cJSON_GetNumberValue(cJSON_GetArrayItem(limits, 0)) > 0;
    if (least || (cJSON_IsNumber(most) && isfinite(most->valuedouble)))
        config_not_run(out, "limits of time steps (\"time_step_limit\") are not supported");
}

// What Falcon H1 multiplies. A factor of what attention reads multiplies queries, keys and values.
static bool read_recurrent_scales(const cJSON *config, ModelConfig *out, Error *err) {
    Recurrent *r = &out->recurrent;
    float parts[5], mlp[2], key = 1, in = 1, mixed = 1, ssm = 1, head = 1;
    if (out->layout != LAYOUT_FALCON_H1) return true;
    refuse_step_limits(config, out);
    if (!read_numbers(config, "ssm_multipliers", 5, parts, err) ||
        !read_numbers(config, "mlp_multipliers", 2, mlp, err) ||
        !config_read_optional(config, "key_multiplier", &key, err) ||
        !config_read_optional(config, "attention_in_multiplier", &in, err) ||
        !config_read_optional(config, "attention_out_multiplier", &mixed, err) ||
        !config_read_optional(config, "ssm_in_multiplier", &ssm, err) ||
        !config_read_optional(config, "ssm_out_multiplier", &r->out_scale, err) ||
        !config_read_optional(config, "lm_head_multiplier", &head, err))
        return false;
    if ((out->attention_bias && in != 1) || (out->output_bias && in != 1) || (r->bias && ssm != 1))
        config_not_run(out, "multiplied inputs of linears with a bias are not supported");
    r->z_scale = parts[0] * ssm;
    r->value_scale = parts[1] * ssm;
    r->key_scale = parts[2] * ssm;
    r->query_scale = parts[3] * ssm;
    r->step_scale = parts[4] * ssm;
    out->attention_scale *= in * in * key;
    out->attention_out_scale = in * mixed;
    out->gate_scale = mlp[0];
    out->mlp_scale = mlp[1];
    if (head != 1) out->logit_scale = head;
    return true;
}

static bool read_recurrent_sizes(const cJSON *config, ModelConfig *out, Error *err) {
    Recurrent *r = &out->recurrent;
    Keys taps = {"conv_L_cache", "linear_conv_kernel_dim", "mamba_d_conv", "conv_kernel"},
         heads = {"linear_num_value_heads", "mamba_n_heads", "mamba_num_heads"},
         key_heads = {"linear_num_key_heads", "mamba_n_groups", "n_groups"},
         key_dim = {"linear_key_head_dim", "mamba_d_state", "ssm_state_size"},
         value_dim = {"linear_value_head_dim", "mamba_head_dim"};
    const int most = 1 << 14;
    if (!config_read_count(config, taps, r->taps, 1 << 10, &r->taps, err)) return false;
    if (r->kind == RECURRENT_CONVOLUTION) return r->value_dim = out->hidden, true;
    if (!config_read_count(config, heads, r->heads, most, &r->heads, err) ||
        !config_read_count(config, key_heads, r->key_heads, most, &r->key_heads, err) ||
        !config_read_count(config, key_dim, r->key_dim, most, &r->key_dim, err) ||
        (r->value_dim && !config_read_count(config, value_dim, r->value_dim, most, &r->value_dim, err)) ||
        (!r->value_dim && !read_mamba_width(config, out, err)))
        return false;
    if (r->kind == RECURRENT_MAMBA) r->norm_groups = r->key_heads;
    return r->heads % r->key_heads == 0 ||
           error_set(err, "%d heads of a layer that remembers cannot share %d keys", r->heads, r->key_heads);
}

static bool read_recurrent_flags(const cJSON *config, ModelConfig *out, Error *err) {
    Recurrent *r = &out->recurrent;
    bool normed;
    if (!json_bool(config, "conv_bias", r->bias, &r->bias, err) ||
        !json_bool(config, "use_bias", r->bias, &r->bias, err) ||
        !json_bool(config, "use_conv_bias", r->convolution_bias, &r->convolution_bias, err) ||
        !json_bool(config, "mamba_conv_bias", r->convolution_bias, &r->convolution_bias, err) ||
        !json_bool(config, "mamba_norm_before_gate", r->norm_first, &r->norm_first, err) ||
        !json_bool(config, "mamba_rms_norm", !r->without_norm, &normed, err))
        return false;
    bool out_biased;
    const char *activation;
    if (!json_bool(config, "mamba_proj_bias", r->bias, &r->bias, err) ||
        !json_bool(config, "projectors_bias", r->bias, &out_biased, err) ||
        !json_string(config, "mamba_hidden_act", "silu", &activation, err))
        return false;
    if (out_biased != r->bias) config_not_run(out, "layers that remember with half of their biases are not supported");
    if (strcmp(activation, "silu") != 0)
        config_not_run(out, "layers that remember with another activation function than silu are not supported");
    if (r->kind == RECURRENT_CONVOLUTION) r->convolution_bias = r->bias;
    r->without_norm = !normed;
    return true;
}

// LFM 2 counts what its MLPs would have without gates.
static bool read_adjusted_ffn(const cJSON *config, ModelConfig *out, Error *err) {
    double times;
    int64_t multiple;
    bool adjusts;
    if (!json_bool(config, "block_auto_adjust_ff_dim", true, &adjusts, err) ||
        !json_positive(config, "block_ffn_dim_multiplier", 1, &times, err) ||
        !json_integer(config, "block_multiple_of", 256, 1, 1 << 20, &multiple, err))
        return false;
    if (out->layout != LAYOUT_LFM2 || !adjusts) return true;
    const double ffn = floor(times * floor(2 * (double)out->ffn / 3)), blocks = ceil(ffn / (double)multiple);
    if (!(blocks >= 1 && blocks * (double)multiple <= 1 << 24))
        return error_set(err, "\"intermediate_size\" does not make a width for MLPs");
    out->ffn = (int)blocks * (int)multiple;
    return true;
}

bool config_read_recurrent(const cJSON *config, const Family *family, ModelConfig *out, Error *err) {
    Keys lists = {"layer_types", "layers_block_type"};
    const bool listed = cJSON_IsArray(cJSON_GetObjectItemCaseSensitive(config, json_first_key(config, lists)));
    if (out->recurrent.kind == RECURRENT_NONE) return true;
    if (!listed && out->layout != LAYOUT_FALCON_H1 && !read_mixing(config, family, out, err)) return false;
    set_alone(family, out);
    return read_recurrent_sizes(config, out, err) && read_recurrent_flags(config, out, err) &&
           read_adjusted_ffn(config, out, err) && read_recurrent_scales(config, out, err);
}
