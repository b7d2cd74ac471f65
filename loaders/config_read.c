// Reads config.json into a ModelConfig (config_load and config_parse of config.h).
#include <limits.h>
#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/json.h"
#include "loaders/config_layers.h"
#include "loaders/config_rope.h"
#include "loaders/documents.h"
#include "loaders/families.h"

#define CONFIG_LIMIT ((size_t)16 << 20)

// ---- What every reader needs ----

static bool is_null(const cJSON *config, const char *key) {
    return cJSON_IsNull(cJSON_GetObjectItemCaseSensitive(config, key));
}

// null says "none", which is 0; a missing key leaves *out.
static bool read_optional(const cJSON *config, const char *key, float *out, Error *err) {
    double value;
    if (!json_number(config, key, is_null(config, key) ? 0 : (double)*out, &value, err)) return false;
    *out = (float)value;
    return (value >= 0 && isfinite(value)) || error_set(err, "\"%s\" must be a positive number or null", key);
}

// ---- Sizes ----

typedef const char *const Keys[9];

static bool read_count(const cJSON *config, Keys keys, int missing, int most, int *out, Error *err) {
    int64_t value;
    if (!json_integer(config, json_first_key(config, keys), missing, 1, most, &value, err)) return false;
    *out = (int)value;
    return true;
}

// Falcon has its own number of kv heads in the new architecture, else one for all or one for each, as GPT-BigCode.
static bool read_kv_heads(const cJSON *config, const Family *family, ModelConfig *out, Error *err) {
    Keys keys = {"num_key_value_heads", "num_kv_heads", "n_head_kv"};
    bool new = false, single = true;
    int missing = out->kv_heads && !is_null(config, keys[0]) ? out->kv_heads : out->heads;
    if (!family_reads(family, "multi_query")) return read_count(config, keys, missing, 1 << 14, &out->kv_heads, err);
    if (!json_bool(config, "new_decoder_architecture", new, &new, err) ||
        !json_bool(config, "multi_query", single, &single, err)) {
        return false;
    }
    if (new) return read_count(config, keys, out->heads, 1 << 14, &out->kv_heads, err);
    out->kv_heads = single ? 1 : out->heads;
    return true;
}

// Latent attention gives heads their dimensions.
static bool read_latent(const cJSON *config, ModelConfig *out, Error *err) {
    Latent *l = &out->latent;
    Keys kv = {"kv_lora_rank"}, q = {"q_lora_rank"}, plain = {"qk_nope_head_dim"}, rotated = {"qk_rope_head_dim"},
         value = {"v_head_dim"};
    const int most = 1 << 14;
    if (l->kv_rank == 0) return true;
    if (!read_count(config, kv, l->kv_rank, most, &l->kv_rank, err) ||
        !read_count(config, plain, l->plain, most, &l->plain, err) ||
        !read_count(config, rotated, l->rotated, most, &l->rotated, err) ||
        !read_count(config, value, l->value, l->plain + l->rotated, &l->value, err))
        return false;
    if (is_null(config, q[0]))
        l->q_rank = 0;
    else if (!read_count(config, q, l->q_rank, most, &l->q_rank, err))
        return false;
    if (l->q_rank == 0) out->layout = LAYOUT_DEEPSEEK_Q;
    out->head_dim = l->plain + l->rotated;
    return true;
}

static bool read_heads(const cJSON *config, const Family *family, ModelConfig *out, Error *err) {
    Keys head_dim_keys = {"head_dim", "d_kv"};
    int head_dim = out->head_dim ? out->head_dim : out->hidden / out->heads; // 0: then the key must be there
    bool given = cJSON_IsNumber(cJSON_GetObjectItemCaseSensitive(config, "head_dim")) || out->head_dim;
    if (is_null(config, "head_dim")) head_dim = out->hidden / out->heads;
    if (!read_count(config, head_dim_keys, head_dim, 1 << 14, &out->head_dim, err) ||
        !read_kv_heads(config, family, out, err)) {
        return false;
    }
    if (!given && out->hidden % out->heads != 0)
        return error_set(err, "hidden_size %d is not a multiple of num_attention_heads %d", out->hidden, out->heads);
    return out->heads % out->kv_heads == 0 ||
           error_set(err, "num_attention_heads %d is not a multiple of num_key_value_heads %d", out->heads,
                     out->kv_heads);
}

// `layers` is the number of the encoder's, and becomes that of both.
static bool read_stacks(const cJSON *config, ModelConfig *out, Error *err) {
    EncoderDecoder *pair = &out->pair;
    Keys layer_keys = {"num_decoder_layers", "decoder_layers"}, ffn = {"encoder_ffn_dim"},
         heads_keys = {"encoder_attention_heads"}, buckets = {"relative_attention_num_buckets"},
         distance = {"relative_attention_max_distance"};
    const char *key = json_first_key(config, layer_keys);
    const int encoder_layers = out->layers;
    int heads;
    if (pair->encoder_layers == 0) return true;
    if (!is_null(config, key) && !read_count(config, layer_keys, out->layers, LAYERS_MAX, &out->layers, err))
        return false;
    if (!read_count(config, ffn, out->ffn, 1 << 24, &pair->encoder_ffn, err) ||
        !read_count(config, heads_keys, out->heads, 1 << 14, &heads, err))
        return false;
    if (out->positions == POSITIONS_RELATIVE &&
        (!read_count(config, buckets, pair->relative_buckets, 1 << 14, &pair->relative_buckets, err) ||
         !read_count(config, distance, pair->relative_distance, 1 << 24, &pair->relative_distance, err)))
        return false;
    if (out->positions == POSITIONS_RELATIVE &&
        (pair->relative_buckets < 4 || pair->relative_distance <= pair->relative_buckets / 2))
        return error_set(err, "\"relative_attention_num_buckets\" must be 4 or more, and "
                              "\"relative_attention_max_distance\" more than half of it");
    if (heads != out->heads) config_not_run(out, "an encoder with other heads than the decoder's is not supported");
    pair->encoder_layers = encoder_layers;
    out->layers += encoder_layers;
    return out->layers <= LAYERS_MAX ||
           error_set(err, "%d layers of encoder and decoder are more than %d", out->layers, LAYERS_MAX);
}

// Some files say it by a list of kinds, or a text with a letter for each.
static bool read_layers(const cJSON *config, ModelConfig *out, Error *err) {
    Keys keys = {"num_hidden_layers", "n_layer", "num_layers", "n_layers", "encoder_layers"};
    const cJSON *list = cJSON_GetObjectItemCaseSensitive(config, "layers_block_type");
    const char *pattern = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(config, "hybrid_override_pattern"));
    const size_t count = cJSON_IsArray(list) ? (size_t)cJSON_GetArraySize(list) : pattern ? strlen(pattern) : 0;
    const int listed = count < LAYERS_MAX ? (int)count : LAYERS_MAX;
    if (!read_count(config, keys, listed ? listed : out->layers, LAYERS_MAX, &out->layers, err)) return false;
    return count == 0 || count == (size_t)out->layers ||
           error_set(err, "the kind of %zu layers is named, but there are %d", count, out->layers);
}

// Limits far above every model there is keep products of two sizes within 64 bits, and of a size and a small factor
// within int.
static bool read_sizes(const cJSON *config, const Family *family, ModelConfig *out, Error *err) {
    Keys hidden = {"n_embed", "hidden_size", "n_embd", "d_model"},
         heads = {"num_attention_heads", "n_head", "num_heads", "n_heads", "decoder_attention_heads"},
         vocab = {"vocab_size"},
         ffn = {"block_ff_dim", "intermediate_size_mlp", "intermediate_size", "ffn_dim", "ffn_hidden_size", "n_inner",
                "d_ff",         "decoder_ffn_dim"},
         positions = {"max_position_embeddings", "n_positions", "seq_length", "max_seq_len"},
         width = {"word_embed_proj_dim"};
    const int most = 1 << 24;
    if (!read_count(config, hidden, out->hidden, most, &out->hidden, err) || !read_layers(config, out, err) ||
        !read_count(config, heads, out->heads, 1 << 14, &out->heads, err) ||
        !read_count(config, ffn, out->ffn ? out->ffn : 4 * out->hidden, most, &out->ffn, err) ||
        !read_count(config, vocab, out->vocab, most, &out->vocab, err) ||
        !read_count(config, positions, out->max_positions, INT_MAX, &out->max_positions, err) ||
        !read_count(config, width, out->hidden, out->hidden, &out->embedding_width, err)) {
        return false;
    }
    return read_latent(config, out, err) && read_heads(config, family, out, err) && read_stacks(config, out, err);
}

// ---- Flags ----

static const struct {
    const char *key;
    size_t offset; // of a bool in ModelConfig
    bool inverted;
} flags[] = {
    {"tie_word_embeddings", offsetof(ModelConfig, tied_head), false},
    {"tie_embedding", offsetof(ModelConfig, tied_head), false},
    {"use_expert_bias", offsetof(ModelConfig, experts.biased), false},
    {"use_parallel_residual", offsetof(ModelConfig, parallel), false},
    {"parallel_attn", offsetof(ModelConfig, parallel), false},
    {"do_layer_norm_before", offsetof(ModelConfig, norm_after), true},
    {"_remove_final_layer_norm", offsetof(ModelConfig, no_final_norm), false},
    {"scale_attn_by_inverse_layer_idx", offsetof(ModelConfig, scale_by_layer), false},
    {"norm_topk_prob", offsetof(ModelConfig, experts.normalized), false},
    {"rope_interleave", offsetof(ModelConfig, rope_adjacent), false},
    {"lm_head_bias", offsetof(ModelConfig, head_bias), false},
};

static bool read_bias_flag(const cJSON *config, const char *key, bool *flag, Error *err) {
    return !key || json_bool(config, key, *flag, flag, err);
}

static bool read_qk_norm(const cJSON *config, const Family *family, ModelConfig *out, Error *err) {
    static const char *const keys[] = {"use_qk_norm", "qk_layernorm", NULL};
    bool use;
    if (family->qk_norm == QK_NORM_NONE) return true;
    if (!json_bool(config, json_first_key(config, keys), out->qk_norm != QK_NORM_NONE, &use, err)) return false;
    out->qk_norm = use ? family->qk_norm : QK_NORM_NONE;
    return true;
}

static bool read_flags(const cJSON *config, const Family *family, ModelConfig *out, Error *err) {
    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++) {
        bool *flag = (bool *)((char *)out + flags[i].offset), value;
        if (!json_bool(config, flags[i].key, *flag != flags[i].inverted, &value, err)) return false;
        *flag = value != flags[i].inverted;
    }
    out->no_final_norm |= out->norm_after;
    return read_qk_norm(config, family, out, err) &&
           read_bias_flag(config, family->attention_bias, &out->attention_bias, err) &&
           read_bias_flag(config, family->output_bias, &out->output_bias, err) &&
           read_bias_flag(config, family->mlp_bias, &out->mlp_bias, err);
}

// Falcon: its newer models have a norm for attention and one for the MLP side by side, the others share one. (Bloom's
// key stands in Falcon's files too, where it means nothing.)
static bool read_norm_sharing(const cJSON *config, const Family *family, ModelConfig *out, Error *err) {
    bool new = false;
    int64_t norms;
    if (!family->decoder_architecture) {
        out->shared_norm = out->parallel && family->parallel_shares_norm;
        return json_bool(config, "apply_residual_connection_post_layernorm", false, &out->residual_from_norm, err);
    }
    if (!json_bool(config, "new_decoder_architecture", false, &new, err) ||
        !json_integer(config, "num_ln_in_parallel_attn", 2, 1, 2, &norms, err)) {
        return false;
    }
    out->parallel |= new;
    out->shared_norm = out->parallel && !(new &&norms == 2);
    return true;
}

static bool read_eps(const cJSON *config, ModelConfig *out, Error *err) {
    Keys keys = {"rms_norm_eps", "layer_norm_epsilon", "layer_norm_eps", "norm_epsilon", "norm_eps"};
    double eps;
    if (!json_positive(config, json_first_key(config, keys), (double)out->norm_eps, &eps, err)) return false;
    out->norm_eps = (float)eps;
    return true;
}

static bool read_activation(const cJSON *config, const Family *family, ModelConfig *out, Error *err) {
    static const struct {
        const char *name;
        Nonlinearity f;
    } names[] = {
        {"silu", NONLINEARITY_SILU},           {"swish", NONLINEARITY_SILU},
        {"gelu", NONLINEARITY_GELU},           {"gelu_python", NONLINEARITY_GELU},
        {"gelu_new", NONLINEARITY_GELU_TANH},  {"gelu_pytorch_tanh", NONLINEARITY_GELU_TANH},
        {"gelu_fast", NONLINEARITY_GELU_TANH}, {"relu", NONLINEARITY_RELU},
        {"relu2", NONLINEARITY_RELU_SQUARED},
    };
    Keys keys = {"hidden_activation", "hidden_act",        "activation_function",
                 "activation",        "feed_forward_proj", "mlp_hidden_act"};
    const char *name;
    if (!json_string(config, json_first_key(config, keys), family->activation, &name, err)) return false;
    if (out->layout == LAYOUT_T5 && strncmp(name, "gated-", 6) == 0) {
        out->layout = LAYOUT_T5_GATED;
        name = strcmp(name, "gated-gelu") == 0 ? "gelu_new" : name + 6;
    }
    out->xielu = out->layout == LAYOUT_APERTUS && strcmp(name, "xielu") == 0;
    if (out->xielu) return true;
    if (family->gelu_means_tanh && strcmp(name, "gelu") == 0) name = "gelu_new";
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (strcmp(names[i].name, name) != 0) continue;
        out->activation = family->clamps_gate ? NONLINEARITY_SWIGLU_OAI : names[i].f;
        return true;
    }
    char *shown = text_printable(name, strlen(name), false);
    config_not_run(out, "the activation function \"%.40s\" is not supported", shown ? shown : "?");
    free(shown);
    return true;
}

// ---- Attention ----

// Granite multiplies nearly everything, Cohere its logits.
static bool read_multipliers(const cJSON *config, ModelConfig *out, Error *err) {
    double divisor;
    if (!read_optional(config, "embedding_multiplier", &out->embedding_scale, err) ||
        !read_optional(config, "residual_multiplier", &out->residual_scale, err) ||
        !json_positive(config, "logits_scaling", 1, &divisor, err))
        return false;
    if (divisor != 1) out->logit_scale = (float)(1 / divisor);
    return read_optional(config, "logit_scale", &out->logit_scale, err);
}

// Embeddings times √hidden, and logits divided by it.
static bool read_root_scales(const cJSON *config, const Family *family, ModelConfig *out, Error *err) {
    bool embedding, logits;
    if (!json_bool(config, "scale_embedding", family->scales_embedding, &embedding, err) ||
        !json_bool(config, "scale_decoder_outputs", family->scales_tied_logits && out->tied_head, &logits, err))
        return false;
    if (embedding) out->embedding_scale = sqrtf((float)out->hidden);
    if (logits) out->logit_scale = (float)(1 / sqrt((double)out->hidden));
    return true;
}

static bool read_scale(const cJSON *config, const Family *family, ModelConfig *out, Error *err) {
    double scalar = family->query_scalar > 0 ? family->query_scalar : out->head_dim;
    bool scaled;
    if ((family->query_scalar > 0 && !json_positive(config, "query_pre_attn_scalar", scalar, &scalar, err)) ||
        !json_bool(config, "scale_attn_weights", out->attention_scale == 0, &scaled, err)) {
        return false;
    }
    out->attention_scale = scaled ? (float)(1 / sqrt(scalar)) : 1;
    if (!read_root_scales(config, family, out, err)) return false;
    if (!read_optional(config, "attention_multiplier", &out->attention_scale, err) ||
        !read_multipliers(config, out, err))
        return false;
    const cJSON *inner = cJSON_GetObjectItemCaseSensitive(config, "attn_config"); // MPT
    if (!read_optional(inner ? inner : config, "clip_qkv", &out->qkv_limit, err)) return false;
    // Gemma 3 has the first key too, but no such cap.
    return (out->score_softcap == 0 || read_optional(config, "attn_logit_softcapping", &out->score_softcap, err)) &&
           read_optional(config, "final_logit_softcapping", &out->logit_softcap, err);
}

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

static bool set_layer_kind(ModelConfig *out, int layer, const char *kind, Error *err) {
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
        if (!set_layer_kind(out, layer, cJSON_GetStringValue(item), err)) return false;
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
                if (layer < out->layers && !set_layer_kind(out, layer++, cJSON_GetStringValue(kind), err)) return false;
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
static bool read_unrotated(const cJSON *config, const Family *family, ModelConfig *out, Error *err) {
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

// Llama 4: queries of layers without positions. An early file says 4 where true is meant.
static bool read_temperature(const cJSON *config, ModelConfig *out, Error *err) {
    QueryGrowth *growth = &out->query_growth;
    const cJSON *tuning = cJSON_GetObjectItemCaseSensitive(config, "attn_temperature_tuning");
    if (!growth->unrotated) return true;
    if (!read_optional(config, "attn_scale", &growth->rate, err) ||
        !json_positive(config, "floor_scale", growth->step, &growth->step, err))
        return false;
    if (cJSON_IsFalse(tuning) || (cJSON_IsNumber(tuning) && tuning->valuedouble == 0)) growth->rate = 0;
    return true;
}

static bool read_windows(const cJSON *config, const Family *family, ModelConfig *out, Error *err) {
    Keys window_keys = {"sliding_window", "window_size", "attention_chunk_size"},
         list_keys = {"layer_types", "attention_layers", "layers_block_type"};
    const char *key = out->chunked ? window_keys[2] : json_first_key(config, window_keys);
    int64_t window;
    bool used = true;
    if (!json_integer(config, key, is_null(config, key) ? 0 : out->window, 0, INT_MAX, &window, err)) return false;
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

// ---- Layers that remember ----

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
        if (!set_layer_kind(out, layer, kind, err)) return false;
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
    if (!read_count(config, expand, 2, 1 << 10, &times, err) ||
        !read_count(config, width, is_null(config, width[0]) ? times * out->hidden : 1024, 1 << 24, &values, err))
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
        !read_numbers(config, "mlp_multipliers", 2, mlp, err) || !read_optional(config, "key_multiplier", &key, err) ||
        !read_optional(config, "attention_in_multiplier", &in, err) ||
        !read_optional(config, "attention_out_multiplier", &mixed, err) ||
        !read_optional(config, "ssm_in_multiplier", &ssm, err) ||
        !read_optional(config, "ssm_out_multiplier", &r->out_scale, err) ||
        !read_optional(config, "lm_head_multiplier", &head, err))
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
    if (!read_count(config, taps, r->taps, 1 << 10, &r->taps, err)) return false;
    if (r->kind == RECURRENT_CONVOLUTION) return r->value_dim = out->hidden, true;
    if (!read_count(config, heads, r->heads, most, &r->heads, err) ||
        !read_count(config, key_heads, r->key_heads, most, &r->key_heads, err) ||
        !read_count(config, key_dim, r->key_dim, most, &r->key_dim, err) ||
        (r->value_dim && !read_count(config, value_dim, r->value_dim, most, &r->value_dim, err)) ||
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

static bool read_recurrent(const cJSON *config, const Family *family, ModelConfig *out, Error *err) {
    Keys lists = {"layer_types", "layers_block_type"};
    const bool listed = cJSON_IsArray(cJSON_GetObjectItemCaseSensitive(config, json_first_key(config, lists)));
    if (out->recurrent.kind == RECURRENT_NONE) return true;
    if (!listed && out->layout != LAYOUT_FALCON_H1 && !read_mixing(config, family, out, err)) return false;
    set_alone(family, out);
    return read_recurrent_sizes(config, out, err) && read_recurrent_flags(config, out, err) &&
           read_adjusted_ffn(config, out, err) && read_recurrent_scales(config, out, err);
}

static bool read_positions(const cJSON *config, const Family *family, ModelConfig *out, Error *err) {
    bool alibi;
    if (!json_bool(config, "alibi", false, &alibi, err)) return false;
    if (alibi) {
        out->positions = POSITIONS_ALIBI;
        out->alibi_bf16 = true;
    }
    if (out->positions != POSITIONS_ROPE) return true;
    return config_read_rope(config, family, out, err);
}

// ---- Mixture of experts ----

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
        !json_integer(config, "n_group", is_null(config, "n_group") ? 1 : e->groups, 0, EXPERT_GROUPS_MAX, &groups,
                      err) ||
        !json_integer(config, "topk_group", is_null(config, "topk_group") ? 1 : e->chosen_groups, 0, groups, &chosen,
                      err) ||
        !read_optional(config, "routed_scaling_factor", &e->scale, err))
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
    if (!read_optional(config, "router_jitter_noise", &noise, err)) return false;
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

static bool read_experts(const cJSON *config, const Family *family, ModelConfig *out, Error *err) {
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
    if (!read_count(config, count, e->count, 1 << 14, &e->count, err) ||
        !read_count(config, per_token, e->per_token, e->count, &e->per_token, err) ||
        !read_count(config, ffn, e->ffn ? e->ffn : out->ffn, most, &e->ffn, err) ||
        !json_integer(config, json_first_key(config, shared), e->shared_ffn, 0, most, &shared_ffn, err)) {
        return false;
    }
    e->shared_ffn = (int)shared_ffn;
    if (e->scales_inputs) e->shared_ffn = e->ffn; // Llama 4
    return read_mixer(config, out, err) && read_routing(config, e, err) &&
           (e->ungated || read_dense_layers(config, out, err));
}

// ---- Tokens and types ----

static bool add_eos(const cJSON *item, ModelConfig *out, Error *err) {
    double id = cJSON_GetNumberValue(item);
    if (id < 0 && id == floor(id)) return true; // −1 and the like: there is none
    if (!(id >= 0 && id <= INT_MAX && id == floor(id)))
        return error_set(err, "\"eos_token_id\" must be a token id or an array of them");
    for (int i = 0; i < out->eos_count; i++) {
        if (out->eos_tokens[i] == (int)id) return true;
    }
    int room = sizeof out->eos_tokens / sizeof *out->eos_tokens;
    if (out->eos_count == room)
        return error_set(err, "\"eos_token_id\" names more than %d tokens, which is not supported", room);
    out->eos_tokens[out->eos_count++] = (int)id;
    return true;
}

// One id, an array of ids, or null for none; what is there is added.
static bool add_eos_tokens(const cJSON *object, ModelConfig *out, Error *err) {
    const cJSON *eos = cJSON_GetObjectItemCaseSensitive(object, "eos_token_id"), *item;
    if (!eos || cJSON_IsNull(eos)) return true;
    if (!cJSON_IsArray(eos)) return add_eos(eos, out, err);
    cJSON_ArrayForEach(item, eos) {
        if (!add_eos(item, out, err)) return false;
    }
    return true;
}

// A token id, or null or −1 for none.
static bool read_token(const cJSON *config, const char *key, int *out, Error *err) {
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(config, key);
    int64_t id;
    if (cJSON_IsArray(item)) item = item->child; // one of several that would do
    if (!item) return true;
    if (cJSON_IsNull(item)) return *out = -1, true;
    id = cJSON_IsNumber(item) && fabs(item->valuedouble) <= INT_MAX ? (int64_t)item->valuedouble : INT64_MIN;
    if (id < -1 || (double)id != item->valuedouble) return error_set(err, "\"%s\" must be a token id or null", key);
    *out = (int)id;
    return true;
}

// [[id], …]: words of several tokens are not looked for.
static bool read_never(const cJSON *config, EncoderDecoder *pair, Error *err) {
    const cJSON *words = cJSON_GetObjectItemCaseSensitive(config, "bad_words_ids"), *word;
    const int room = sizeof pair->never_tokens / sizeof *pair->never_tokens;
    if (!cJSON_IsArray(words)) return true;
    pair->never_count = 0;
    cJSON_ArrayForEach(word, words) {
        const double id = cJSON_GetNumberValue(cJSON_GetArrayItem(word, 0));
        if (cJSON_GetArraySize(word) != 1 || !(id >= 0 && id <= INT_MAX && id == floor(id)) ||
            pair->never_count == room)
            return error_set(err, "\"bad_words_ids\" may name at most %d words of one token each", room);
        pair->never_tokens[pair->never_count++] = (int)id;
    }
    return true;
}

// How an encoder–decoder writes; in config.json, or in generation_config.json, which counts then.
static bool read_writing(const cJSON *config, ModelConfig *out, Error *err) {
    EncoderDecoder *pair = &out->pair;
    double penalty = (double)pair->length_penalty;
    int64_t least, run;
    const cJSON *early = cJSON_GetObjectItemCaseSensitive(config, "early_stopping");
    if (pair->encoder_layers == 0) return true;
    if (!read_token(config, "decoder_start_token_id", &pair->start_token, err) ||
        !read_token(config, "forced_bos_token_id", &pair->first_token, err) ||
        !read_token(config, "forced_eos_token_id", &pair->last_token, err) || !read_never(config, pair, err) ||
        !json_number(config, "length_penalty", penalty, &penalty, err) ||
        !json_integer(config, "min_length", pair->least_length, 0, INT_MAX, &least, err) ||
        !json_integer(config, "no_repeat_ngram_size", pair->no_repeat, 0, INT_MAX, &run, err))
        return false;
    pair->least_length = (int)least;
    pair->no_repeat = (int)run;
    if (early) {
        pair->early_stopping = cJSON_IsTrue(early);
        pair->never_stopping = cJSON_IsString(early) && strcmp(early->valuestring, "never") == 0;
    }
    pair->length_penalty = (float)penalty;
    return isfinite(penalty) || error_set(err, "\"length_penalty\" must be finite");
}

static bool read_tokens(const cJSON *config, ModelConfig *out, Error *err) {
    if (!read_token(config, "bos_token_id", &out->bos_token, err)) return false;
    if (cJSON_GetObjectItemCaseSensitive(config, "eos_token_id"))
        out->eos_count = 0; // the default is for files that do not say
    return add_eos_tokens(config, out, err) && read_writing(config, out, err);
}

static bool read_dtype(const cJSON *config, ModelConfig *out, Error *err) {
    static const struct {
        const char *name;
        DType dtype;
    } names[] = {{"float32", DTYPE_F32}, {"float16", DTYPE_F16}, {"bfloat16", DTYPE_BF16}, {"float64", DTYPE_F64}};
    const char *old, *name;
    if (!json_string(config, "torch_dtype", "", &old, err) || !json_string(config, "dtype", old, &name, err))
        return false;
    if (strncmp(name, "torch.", 6) == 0) name += 6;
    out->dtype = DTYPE_OTHER;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (strcmp(names[i].name, name) == 0) out->dtype = names[i].dtype;
    }
    return true;
}

// ---- Families ----

// Settings of known families that the forward pass does not obey.
static bool refuse_options(const cJSON *config, ModelConfig *out, Error *err) {
    static const struct {
        const char *key;
        bool refused;
        const char *reason;
    } options[] = {
        {"add_cross_attention", true, "cross-attention is not supported"},
        {"layer_norm_elementwise_affine", false, "norms without weights are not supported"},
        {"share_encoder_decoder_embeddings", false, "a vocabulary of the source's own is not supported"},
    };
    for (size_t i = 0; i < sizeof options / sizeof *options; i++) {
        bool value;
        if (!json_bool(config, options[i].key, !options[i].refused, &value, err)) return false;
        if (value == options[i].refused) config_not_run(out, "%s", options[i].reason);
    }
    // Gemma 4 says "vision" where it is pictures alone that are looked at so.
    const cJSON *both = cJSON_GetObjectItemCaseSensitive(config, "use_bidirectional_attention");
    if (cJSON_IsTrue(both) || (cJSON_IsString(both) && strcmp(both->valuestring, "vision") != 0))
        config_not_run(out, "attention in both directions is not supported");
    const cJSON *inner = cJSON_GetObjectItemCaseSensitive(config, "attn_config"); // MPT
    bool alibi;
    if (!json_bool(inner, "alibi", true, &alibi, err)) return false;
    if (out->quartered_qkv && out->hidden % 4 != 0)
        config_not_run(out, "a hidden size that is no multiple of 4 is not supported");
    if (!alibi) config_not_run(out, "positions of this kind (\"alibi\": false) are not supported");
    return true;
}

// So that no reader sees what means nothing in this family.
static void leave_known(cJSON *config, const Family *family) {
    for (cJSON *item = config->child, *next; item; item = next) {
        next = item->next;
        if (!family_reads(family, item->string)) cJSON_Delete(cJSON_DetachItemViaPointer(config, item));
    }
}

static bool read_family(cJSON *config, const Family *family, ModelConfig *out, Error *err) {
    leave_known(config, family);
    return config_take_widths(config, out, err) && read_sizes(config, family, out, err) &&
           read_flags(config, family, out, err) && read_norm_sharing(config, family, out, err) &&
           read_eps(config, out, err) && read_activation(config, family, out, err) &&
           read_scale(config, family, out, err) && read_windows(config, family, out, err) &&
           read_recurrent(config, family, out, err) && read_unrotated(config, family, out, err) &&
           config_read_layers(config, family, out, err) && read_temperature(config, out, err) &&
           read_positions(config, family, out, err) && read_experts(config, family, out, err) &&
           refuse_options(config, out, err) && read_tokens(config, out, err) && read_dtype(config, out, err);
}

static void name_family(const char *type, ModelConfig *out) {
    if (!type) type = "unknown";
    char *shown = text_printable(type, strlen(type), false);
    snprintf(out->family, sizeof out->family, "%s", shown ? shown : "?");
    text_mend(out->family);
    free(shown);
}

// The weights of a family that cannot be run can still be inspected and planned.
static bool read_unknown(const cJSON *config, const char *type, ModelConfig *out, Error *err) {
    out->layout = LAYOUT_OTHER;
    if (type)
        config_not_run(out, "the model family \"%s\" is not one of those that are run", out->family);
    else
        config_not_run(out, "its config.json has no \"model_type\"");
    return read_dtype(config, out, err);
}

// Tokens and types that stand beside text_config hold for it too, where it does not say otherwise itself.
static bool inherit_keys(const cJSON *outer, cJSON *inner, Error *err) {
    static const char *const keys[] = {"bos_token_id", "eos_token_id", "dtype", "torch_dtype"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        const cJSON *item = cJSON_GetObjectItemCaseSensitive(outer, keys[i]);
        if (!item || cJSON_GetObjectItemCaseSensitive(inner, keys[i])) continue;
        if (!cJSON_AddItemToObject(inner, keys[i], cJSON_Duplicate(item, true)))
            return error_memory(err, "text_config");
    }
    return true;
}

static bool read_nested(cJSON *config, const Family *outer, ModelConfig *out, Error *err) {
    cJSON *inner = cJSON_GetObjectItemCaseSensitive(config, "text_config");
    const char *type;
    if (!inner && cJSON_GetObjectItemCaseSensitive(config, "hidden_size")) { // the first files have it all in one
        const Family *flat = family_find(outer->nested);
        *out = flat->defaults;
        return read_family(config, flat, out, err);
    }
    if (!cJSON_IsObject(inner)) return error_set(err, "\"text_config\" is missing or not an object");
    if (!json_string(inner, "model_type", outer->nested, &type, err) || !inherit_keys(config, inner, err)) return false;
    const Family *family = family_find(type);
    if (!family || family->nested) {
        name_family(type, out);
        return read_unknown(config, type, out, err);
    }
    *out = family->defaults;
    bool tied;
    if (!json_bool(config, "tie_word_embeddings", outer->defaults.tied_head, &tied, err)) return false;
    if (!read_family(inner, family, out, err)) return error_prefix(err, "text_config");
    out->tied_head |= tied;
    return true;
}

static bool read_config(cJSON *config, ModelConfig *out, Error *err) {
    const char *type;
    if (!cJSON_IsObject(config)) return error_set(err, "must hold a JSON object");
    if (!json_string(config, "model_type", NULL, &type, err)) return false;
    const Family *family = type ? family_find(type) : NULL;
    if (family) *out = family->defaults;
    name_family(type, out);
    bool ok = !family          ? read_unknown(config, type, out, err)
              : family->nested ? read_nested(config, family, out, err)
                               : read_family(config, family, out, err);
    name_family(type, out); // read_nested has named its inner part
    return ok;
}

// ---- Files ----

// Goes on with a hash; a file that cannot be read counts as empty.
static uint64_t hash_file(uint64_t hash, const char *folder, const char *name) {
    char *path = path_join(folder, name), *text = NULL;
    size_t length = 0;
    if (path && file_exists(path)) file_read(path, CONFIG_LIMIT, &text, &length, NULL);
    hash = hash_bytes(hash_bytes(hash, &length, sizeof length), text ? text : "", length);
    free(text);
    free(path);
    return hash;
}

// generation_config.json may name further tokens that end a text.
static bool read_generation_config(const char *source, ModelConfig *out, Error *err) {
    static const char name[] = "generation_config.json";
    cJSON *document;
    out->writing = hash_file(HASH_START, source, name);
    if (!document_read(source, name, &document, err)) return false;
    const bool ok = (add_eos_tokens(document, out, err) && read_writing(document, out, err)) ||
                    error_prefix(err, "%s/%s", source, name);
    cJSON_Delete(document);
    return ok;
}

bool config_parse(const char *text, size_t length, ModelConfig *out, Error *err) {
    *out = config_unknown;
    cJSON *document = json_parse(text, length, err);
    bool ok = document && read_config(document, out, err);
    cJSON_Delete(document);
    return ok;
}

bool config_load(const char *source, ModelConfig *out, Error *err) {
    static const char name[] = "config.json";
    const uint64_t identity = hash_file(hash_file(HASH_START, source, name), source, "quantize_config.json");
    cJSON *document;
    *out = config_unknown;
    out->identity = identity;
    if (!document_read(source, name, &document, err)) return false;
    if (!document) return config_not_run(out, "there is no config.json beside the weights");
    const bool ok = read_config(document, out, err) || error_prefix(err, "%s/%s", source, name);
    out->identity = identity;
    cJSON_Delete(document);
    return ok && read_generation_config(source, out, err);
}
