// The keys of a GGUF file as config.json, so that families.c has the same to read. What a key leaves out has the
// family's default.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "loaders/config.h"
#include "loaders/gguf_documents.h"
#include "loaders/gguf_names.h"

typedef struct Keys {
    const GgufSet *set;
    const Gguf *gguf; // the first of the set
    const GgufArchitecture *architecture;
    const char *prefix; // of its keys: "llama"
    int layers, hidden, heads, head_dim;
} Keys;

// A number, or a list of the same number for every layer.
static bool number_of(const Gguf *gguf, const char *prefix, const char *key, double *out) {
    const GgufValue *value = gguf_value(gguf, prefix, key);
    double other;
    if (!gguf_value_number(value, 0, out)) return false;
    for (uint64_t i = 1; i < value->count; i++) {
        if (!gguf_value_number(value, i, &other) || other != *out) return false;
    }
    return true;
}

static int integer_of(const Gguf *gguf, const char *prefix, const char *key) {
    double value;
    return number_of(gguf, prefix, key, &value) && value >= 0 && value <= 1 << 30 ? (int)value : 0;
}

bool gguf_head_dim(const Gguf *gguf, const char *prefix, int *out) {
    const int heads = integer_of(gguf, prefix, ".attention.head_count");
    *out = integer_of(gguf, prefix, ".attention.key_length");
    if (!*out && heads) *out = integer_of(gguf, prefix, ".embedding_length") / heads;
    return *out > 0;
}

static const Tensor *experts_of(const GgufSet *set) { return gguf_set_tensor(set, "blk.0.ffn_gate_exps.weight"); }

const GgufArchitecture *gguf_known_architecture(const GgufSet *set, char *name, size_t size) {
    gguf_architecture_of(&set->files[0], name, size);
    const bool experts = integer_of(&set->files[0], name, ".expert_count") > 0;
    return experts && !experts_of(set) ? NULL : gguf_architecture_named(name, experts);
}

// ---- Numbers that only change their names ----

// The file has floats: the number of few digits that such a one was made from.
static double shortest(double value) {
    for (int digits = 6; digits < 10 && (double)(float)value == value; digits++) {
        char text[32];
        snprintf(text, sizeof text, "%.*g", digits, value);
        const double shorter = strtod(text, NULL);
        if ((double)(float)shorter == value) return shorter;
    }
    return value;
}

static void copy_number(const Keys *k, const char *key, const char *name, cJSON *to) {
    double value;
    if (number_of(k->gguf, k->prefix, key, &value)) cJSON_AddNumberToObject(to, name, shortest(value));
}

static void add_sizes(const Keys *k, cJSON *config) {
    const Tensor *embedding = gguf_set_tensor(k->set, "token_embd.weight");
    for (const GgufSize *size = gguf_sizes; size->key; size++) {
        if (strcmp(size->name, "head_dim") != 0) copy_number(k, size->key, size->name, config);
    }
    cJSON_AddNumberToObject(config, "head_dim", k->head_dim);
    copy_number(k, ".context_length", "max_position_embeddings", config);
    copy_number(k, ".attention.layer_norm_rms_epsilon", "rms_norm_eps", config);
    if (embedding && embedding->rank == 2) cJSON_AddNumberToObject(config, "vocab_size", (double)embedding->shape[0]);
    const DType dtype = embedding ? embedding->dtype : DTYPE_OTHER; // of blocks: they become F32
    cJSON_AddStringToObject(config, "torch_dtype",
                            dtype == DTYPE_BF16  ? "bfloat16"
                            : dtype == DTYPE_F16 ? "float16"
                                                 : "float32");
    cJSON_AddBoolToObject(config, "tie_word_embeddings", !gguf_set_tensor(k->set, "output.weight"));
}

static void add_biases(const Keys *k, cJSON *config) {
    if (gguf_set_tensor(k->set, "blk.0.attn_q.bias")) cJSON_AddBoolToObject(config, "attention_bias", true);
    if (gguf_set_tensor(k->set, "blk.0.ffn_up.bias")) cJSON_AddBoolToObject(config, "mlp_bias", true);
}

// The widths follow from the tensors, since not all files say them.
static void add_experts(const Keys *k, cJSON *config) {
    const Tensor *experts = experts_of(k->set), *shared = gguf_set_tensor(k->set, "blk.0.ffn_gate_shexp.weight");
    copy_number(k, ".expert_count", k->architecture->ffn_of_experts ? "num_experts" : "num_local_experts", config);
    copy_number(k, ".expert_used_count", "num_experts_per_tok", config);
    if (!k->architecture->ffn_of_experts) return;
    cJSON_AddBoolToObject(config, "norm_topk_prob", k->architecture->experts == GGUF_EXPERTS_NORMALIZED);
    if (experts->rank == 3) cJSON_AddNumberToObject(config, "moe_intermediate_size", (double)experts->shape[1]);
    if (shared && shared->rank == 2)
        cJSON_AddNumberToObject(config, "shared_expert_intermediate_size", (double)shared->shape[0]);
}

static void add_gemma(const Keys *k, cJSON *config) {
    copy_number(k, ".attn_logit_softcapping", "attn_logit_softcapping", config);
    copy_number(k, ".final_logit_softcapping", "final_logit_softcapping", config);
    copy_number(k, ".rope.freq_base_swa", "rope_local_base_freq", config);
    cJSON_AddNumberToObject(config, "query_pre_attn_scalar",
                            gguf_scaled_width(k->architecture, k->layers, k->hidden, k->heads, k->head_dim));
}

// A list says of every layer whether it has the window, a number after how many one has none.
static void add_windows(const Keys *k, cJSON *config) {
    const GgufValue *pattern = gguf_value(k->gguf, k->prefix, ".attention.sliding_window_pattern");
    copy_number(k, ".attention.sliding_window", "sliding_window", config);
    if (!pattern || !pattern->is_list) {
        copy_number(k, ".attention.sliding_window_pattern", "sliding_window_pattern", config);
        return;
    }
    cJSON *types = cJSON_AddArrayToObject(config, "layer_types");
    double windowed;
    for (uint64_t i = 0; i < pattern->count && i < LAYERS_MAX && gguf_value_number(pattern, i, &windowed); i++)
        cJSON_AddItemToArray(types, cJSON_CreateString(windowed != 0 ? "sliding_attention" : "full_attention"));
}

// ---- Rotary positions ----

// A tensor of one factor per pair; NULL: there is none.
static const Tensor *find_factors(const Keys *k, const char *name, int pairs) {
    const Tensor *tensor = gguf_set_tensor(k->set, name);
    const bool fits = tensor && tensor->dtype == DTYPE_F32 && tensor->bytes == (size_t)pairs * sizeof(float);
    return fits && pairs <= ROPE_PAIRS_MAX ? tensor : NULL;
}

static void add_factors(const Tensor *tensor, const char *name, cJSON *rope) {
    cJSON *list = cJSON_AddArrayToObject(rope, name);
    for (size_t i = 0; i < tensor->bytes / sizeof(float); i++) {
        float factor;
        memcpy(&factor, (const char *)tensor->data + i * sizeof factor, sizeof factor);
        cJSON_AddItemToArray(list, cJSON_CreateNumber((double)factor));
    }
}

// Llama 3's scaling is there as the factors that it comes to, which are the same for texts of any length.
static const char *add_long(const Keys *k, int pairs, cJSON *rope) {
    const Tensor *both = find_factors(k, "rope_freqs.weight", pairs);
    const Tensor *large = both ? both : find_factors(k, "rope_factors_long.weight", pairs);
    const Tensor *small = both ? both : find_factors(k, "rope_factors_short.weight", pairs);
    double factor = 1;
    if (!large || !small) return NULL;
    add_factors(large, "long_factor", rope);
    add_factors(small, "short_factor", rope);
    number_of(k->gguf, k->prefix, ".rope.scaling.attn_factor", &factor);
    cJSON_AddNumberToObject(rope, "attention_factor", factor);
    return "longrope";
}

// llama.cpp multiplies by YaRN's usual factor itself.
static void add_yarn(const Keys *k, cJSON *rope) {
    double factor = 1, attention = 1;
    number_of(k->gguf, k->prefix, ".rope.scaling.factor", &factor);
    number_of(k->gguf, k->prefix, ".rope.scaling.attn_factor", &attention);
    cJSON_AddNumberToObject(rope, "attention_factor", attention * (factor > 1 ? 0.1 * log(factor) + 1 : 1));
    copy_number(k, ".rope.scaling.yarn_beta_fast", "beta_fast", rope);
    copy_number(k, ".rope.scaling.yarn_beta_slow", "beta_slow", rope);
}

static const char *scaling_of(const Keys *k, cJSON *rope) {
    const GgufValue *value = gguf_value(k->gguf, k->prefix, ".rope.scaling.type");
    const uint8_t *at = value ? value->data : NULL;
    const char *text;
    size_t length;
    if (!gguf_value_text(value, &at, &text, &length)) return NULL;
    if (length == 4 && memcmp(text, "yarn", 4) == 0) return add_yarn(k, rope), "yarn";
    return length == 6 && memcmp(text, "linear", 6) == 0 ? "linear" : NULL;
}

static void add_rope(const Keys *k, cJSON *config) {
    static const char original[] = "original_max_position_embeddings";
    const int dims = integer_of(k->gguf, k->prefix, ".rope.dimension_count");
    cJSON *rope = cJSON_CreateObject();
    const char *type = add_long(k, (dims ? dims : k->head_dim) / 2, rope);
    if (!type) type = scaling_of(k, rope);
    copy_number(k, ".rope.freq_base", "rope_theta", config);
    // A thousandth more, since the product with the width is cut to an integer.
    if (dims && dims < k->head_dim)
        cJSON_AddNumberToObject(config, "partial_rotary_factor", (dims + 0.001) / k->head_dim);
    if (!type) {
        cJSON_Delete(rope);
        return;
    }
    cJSON_AddStringToObject(rope, "rope_type", type);
    copy_number(k, ".rope.scaling.factor", "factor", rope);
    copy_number(k, ".rope.scaling.original_context_length", original, rope);
    copy_number(k, ".rope.scaling.original_context_length", original, config);
    cJSON_AddItemToObject(config, "rope_scaling", rope);
}

// ---- Tokens ----

static void add_tokens(const Keys *k, cJSON *config) {
    static const char *const ends[] = {"eos_token_id", "eot_token_id", "eom_token_id"};
    double bos, end;
    const bool has_bos = number_of(k->gguf, "tokenizer.ggml.", "bos_token_id", &bos);
    cJSON_AddItemToObject(config, "bos_token_id", has_bos ? cJSON_CreateNumber(bos) : cJSON_CreateNull());
    cJSON *list = cJSON_AddArrayToObject(config, "eos_token_id");
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        if (number_of(k->gguf, "tokenizer.ggml.", ends[i], &end)) cJSON_AddItemToArray(list, cJSON_CreateNumber(end));
    }
}

// ---- The whole ----

// A name that no family has, so that it is listed and not run.
static void add_unknown(const Gguf *gguf, const char *name, cJSON *config) {
    char type[96];
    if (!*name) return;

    snprintf(type, sizeof type, "%s (GGUF%s)", name, integer_of(gguf, name, ".expert_count") ? ", experts" : "");
    cJSON_AddStringToObject(config, "model_type", type);
}

static void add_known(const Keys *k, cJSON *config) {
    cJSON_AddStringToObject(config, "model_type", k->architecture->family);
    cJSON_AddItemToArray(cJSON_AddArrayToObject(config, "architectures"), cJSON_CreateString(k->architecture->class));
    add_sizes(k, config);
    add_biases(k, config);
    if (k->architecture->experts != GGUF_EXPERTS_NONE) add_experts(k, config);
    if (k->architecture->windows) add_gemma(k, config);
    add_windows(k, config);
    add_rope(k, config);
    add_tokens(k, config);
}

bool gguf_config(const GgufSet *set, cJSON **out, Error *err) {
    char name[GGUF_NAME_ROOM];
    Keys keys = {.set = set, .gguf = &set->files[0], .prefix = name};
    keys.architecture = gguf_known_architecture(set, name, sizeof name);
    *out = cJSON_CreateObject();
    if (!*out) return error_memory(err, "the configuration");
    if (!keys.architecture) {
        add_unknown(keys.gguf, name, *out);
        return true;
    }
    if (!gguf_head_dim(keys.gguf, name, &keys.head_dim))
        return error_set(err, "neither %s.attention.key_length nor %s.attention.head_count is there", name, name);
    keys.layers = integer_of(keys.gguf, name, ".block_count");
    keys.hidden = integer_of(keys.gguf, name, ".embedding_length");
    keys.heads = integer_of(keys.gguf, name, ".attention.head_count");
    if (!keys.heads) return error_set(err, "%s.attention.head_count is missing or differs between layers", name);
    add_known(&keys, *out);
    return true;
}
