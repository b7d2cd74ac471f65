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
#include "loaders/config_parts.h"
#include "loaders/documents.h"
#include "loaders/families.h"

#define CONFIG_LIMIT ((size_t)16 << 20)

// ---- What every reader needs ----

bool config_is_null(const cJSON *config, const char *key) {
    return cJSON_IsNull(cJSON_GetObjectItemCaseSensitive(config, key));
}

// null says "none", which is 0; a missing key leaves *out.
bool config_read_optional(const cJSON *config, const char *key, float *out, Error *err) {
    double value;
    if (!json_number(config, key, config_is_null(config, key) ? 0 : (double)*out, &value, err)) return false;
    *out = (float)value;
    return (value >= 0 && isfinite(value)) || error_set(err, "\"%s\" must be a positive number or null", key);
}

// ---- Sizes ----

bool config_read_count(const cJSON *config, Keys keys, int missing, int most, int *out, Error *err) {
    int64_t value;
    if (!json_integer(config, json_first_key(config, keys), missing, 1, most, &value, err)) return false;
    *out = (int)value;
    return true;
}

// Falcon has its own number of kv heads in the new architecture, else one for all or one for each, as GPT-BigCode.
static bool read_kv_heads(const cJSON *config, const Family *family, ModelConfig *out, Error *err) {
    Keys keys = {"num_key_value_heads", "num_kv_heads", "n_head_kv"};
    bool new = false, single = true;
    int missing = out->kv_heads && !config_is_null(config, keys[0]) ? out->kv_heads : out->heads;
    if (!family_reads(family, "multi_query"))
        return config_read_count(config, keys, missing, 1 << 14, &out->kv_heads, err);
    if (!json_bool(config, "new_decoder_architecture", new, &new, err) ||
        !json_bool(config, "multi_query", single, &single, err)) {
        return false;
    }
    if (new) return config_read_count(config, keys, out->heads, 1 << 14, &out->kv_heads, err);
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
    if (!config_read_count(config, kv, l->kv_rank, most, &l->kv_rank, err) ||
        !config_read_count(config, plain, l->plain, most, &l->plain, err) ||
        !config_read_count(config, rotated, l->rotated, most, &l->rotated, err) ||
        !config_read_count(config, value, l->value, l->plain + l->rotated, &l->value, err))
        return false;
    if (config_is_null(config, q[0]))
        l->q_rank = 0;
    else if (!config_read_count(config, q, l->q_rank, most, &l->q_rank, err))
        return false;
    if (l->q_rank == 0) out->layout = LAYOUT_DEEPSEEK_Q;
    out->head_dim = l->plain + l->rotated;
    return true;
}

static bool read_heads(const cJSON *config, const Family *family, ModelConfig *out, Error *err) {
    Keys head_dim_keys = {"head_dim", "d_kv"};
    int head_dim = out->head_dim ? out->head_dim : out->hidden / out->heads; // 0: then the key must be there
    bool given = cJSON_IsNumber(cJSON_GetObjectItemCaseSensitive(config, "head_dim")) || out->head_dim;
    if (config_is_null(config, "head_dim")) head_dim = out->hidden / out->heads;
    if (!config_read_count(config, head_dim_keys, head_dim, 1 << 14, &out->head_dim, err) ||
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
    if (!config_is_null(config, key) &&
        !config_read_count(config, layer_keys, out->layers, LAYERS_MAX, &out->layers, err))
        return false;
    if (!config_read_count(config, ffn, out->ffn, 1 << 24, &pair->encoder_ffn, err) ||
        !config_read_count(config, heads_keys, out->heads, 1 << 14, &heads, err))
        return false;
    if (out->positions == POSITIONS_RELATIVE &&
        (!config_read_count(config, buckets, pair->relative_buckets, 1 << 14, &pair->relative_buckets, err) ||
         !config_read_count(config, distance, pair->relative_distance, 1 << 24, &pair->relative_distance, err)))
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
    if (!config_read_count(config, keys, listed ? listed : out->layers, LAYERS_MAX, &out->layers, err)) return false;
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
    if (!config_read_count(config, hidden, out->hidden, most, &out->hidden, err) || !read_layers(config, out, err) ||
        !config_read_count(config, heads, out->heads, 1 << 14, &out->heads, err) ||
        !config_read_count(config, ffn, out->ffn ? out->ffn : 4 * out->hidden, most, &out->ffn, err) ||
        !config_read_count(config, vocab, out->vocab, most, &out->vocab, err) ||
        !config_read_count(config, positions, out->max_positions, INT_MAX, &out->max_positions, err) ||
        !config_read_count(config, width, out->hidden, out->hidden, &out->embedding_width, err)) {
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
    if (!config_read_optional(config, "embedding_multiplier", &out->embedding_scale, err) ||
        !config_read_optional(config, "residual_multiplier", &out->residual_scale, err) ||
        !json_positive(config, "logits_scaling", 1, &divisor, err))
        return false;
    if (divisor != 1) out->logit_scale = (float)(1 / divisor);
    return config_read_optional(config, "logit_scale", &out->logit_scale, err);
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
    if (!config_read_optional(config, "attention_multiplier", &out->attention_scale, err) ||
        !read_multipliers(config, out, err))
        return false;
    const cJSON *inner = cJSON_GetObjectItemCaseSensitive(config, "attn_config"); // MPT
    if (!config_read_optional(inner ? inner : config, "clip_qkv", &out->qkv_limit, err)) return false;
    // Gemma 3 has the first key too, but no such cap.
    return (out->score_softcap == 0 ||
            config_read_optional(config, "attn_logit_softcapping", &out->score_softcap, err)) &&
           config_read_optional(config, "final_logit_softcapping", &out->logit_softcap, err);
}

// Llama 4: queries of layers without positions. An early file says 4 where true is meant.
static bool read_temperature(const cJSON *config, ModelConfig *out, Error *err) {
    QueryGrowth *growth = &out->query_growth;
    const cJSON *tuning = cJSON_GetObjectItemCaseSensitive(config, "attn_temperature_tuning");
    if (!growth->unrotated) return true;
    if (!config_read_optional(config, "attn_scale", &growth->rate, err) ||
        !json_positive(config, "floor_scale", growth->step, &growth->step, err))
        return false;
    if (cJSON_IsFalse(tuning) || (cJSON_IsNumber(tuning) && tuning->valuedouble == 0)) growth->rate = 0;
    return true;
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
           read_scale(config, family, out, err) && config_read_windows(config, family, out, err) &&
           config_read_recurrent(config, family, out, err) && config_read_unrotated(config, family, out, err) &&
           config_read_layers(config, family, out, err) && read_temperature(config, out, err) &&
           read_positions(config, family, out, err) && config_read_experts(config, family, out, err) &&
           refuse_options(config, out, err) && config_read_tokens(config, out, err) && read_dtype(config, out, err);
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
    const bool ok = (config_add_eos_tokens(document, out, err) && config_read_writing(document, out, err)) ||
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
