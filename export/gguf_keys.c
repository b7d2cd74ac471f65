#include "export/gguf_keys.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "loaders/gguf_names.h"

enum { QUANTIZATION_VERSION = 2 };

// What a file's name should not have, and signs that stand for what could not be shown.
static void make_plain(char *name) {
    static const char unshown[] = "\uFFFD";
    text_mend(name);
    for (char *odd; (odd = strstr(name, unshown));) {
        *odd = '_';
        memmove(odd + 1, odd + sizeof unshown - 1, strlen(odd + sizeof unshown - 1) + 1);
    }
    for (; *name; name++) {
        if (strchr("\"\\?*", *name)) *name = '_';
    }
}

void gguf_model_name(const ModelStructure *structure, char *out, size_t size) {
    snprintf(out, size, "%s", structure->checkpoint->name);
    make_plain(out);
}

// general.file_type, which is for people.
static uint32_t file_type(GgufType most) {
    static const struct {
        GgufType type;
        uint32_t number;
    } numbers[] = {{GGUF_F16, 1}, {GGUF_Q4_0, 2}, {GGUF_Q4_1, 3}, {GGUF_Q8_0, 7}, {GGUF_BF16, 32}};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        if (numbers[i].type == most) return numbers[i].number;
    }
    return 0;
}

static void add_general(GgufHead *head, const ModelStructure *structure, GgufType most) {
    char name[128];
    gguf_model_name(structure, name, sizeof name);
    gguf_key_string(head, "general.architecture", head->prefix);
    gguf_key_string(head, "general.type", "model");
    gguf_key_string(head, "general.name", name);
    gguf_key_u32(head, "general.file_type", file_type(most));
    gguf_key_u32(head, "general.quantization_version", QUANTIZATION_VERSION);
    gguf_key_u32(head, "general.alignment", GGUF_ALIGNMENT);
}

static void add_sizes(GgufHead *head, const ModelConfig *c, size_t vocab) {
    gguf_key_u32(head, ".vocab_size", (uint32_t)vocab);
    // What dynamic scaling adds to the positions llama.cpp cannot give.
    gguf_key_u32(head, ".context_length",
                 c->rope_scaling == ROPE_DYNAMIC ? (uint32_t)c->rope_original_positions : (uint32_t)c->max_positions);
    for (const GgufSize *size = gguf_sizes; size->key; size++) {
        int value;
        memcpy(&value, (const char *)c + size->at, sizeof value);
        gguf_key_u32(head, size->key, (uint32_t)value);
    }
    gguf_key_u32(head, ".attention.value_length", (uint32_t)c->head_dim);
    gguf_key_f32(head, ".attention.layer_norm_rms_epsilon", c->norm_eps);
}

static void add_experts(GgufHead *head, const Experts *e, bool of_experts) {
    if (!e->count) return;
    gguf_key_u32(head, ".expert_count", (uint32_t)e->count);
    gguf_key_u32(head, ".expert_used_count", (uint32_t)e->per_token);
    if (of_experts) gguf_key_u32(head, ".expert_feed_forward_length", (uint32_t)e->ffn);
    if (e->shared_ffn) gguf_key_u32(head, ".expert_shared_feed_forward_length", (uint32_t)e->shared_ffn);
}

static void add_windows(GgufHead *head, const ModelConfig *c) {
    if (c->score_softcap > 0) gguf_key_f32(head, ".attn_logit_softcapping", c->score_softcap);
    if (c->logit_softcap > 0) gguf_key_f32(head, ".final_logit_softcapping", c->logit_softcap);
    if (!c->window) return;
    gguf_key_u32(head, ".attention.sliding_window", (uint32_t)c->window);
    gguf_key_list(head, ".attention.sliding_window_pattern", GGUF_ITEMS_BOOL, (uint64_t)c->layers);
    for (int layer = 0; layer < c->layers; layer++) gguf_item_bool(head, layer_is_in(&c->windowed, layer));
}

// ---- Rotary positions ----

static const char *scaling_name(RopeScaling scaling) {
    switch (scaling) {
    case ROPE_LINEAR: return "linear";
    case ROPE_YARN: return "yarn";
    case ROPE_LONG: return "longrope";
    case ROPE_DEFAULT:
    case ROPE_DYNAMIC:
    case ROPE_PROPORTIONAL:
    case ROPE_LLAMA3: return NULL; // llama3 by factors alone
    }
    return NULL;
}

static void add_rope_keys(GgufHead *head, const ModelConfig *c) {
    const char *scaling = scaling_name(c->rope_scaling);
    gguf_key_u32(head, ".rope.dimension_count", (uint32_t)rope_dims(c));
    gguf_key_f32(head, ".rope.freq_base", (float)c->rope_theta);
    if (c->rope_window_theta > 0) gguf_key_f32(head, ".rope.freq_base_swa", (float)c->rope_window_theta);
    if (!scaling) return;
    gguf_key_string(head, ".rope.scaling.type", scaling);
    if (c->rope_scaling != ROPE_LONG) gguf_key_f32(head, ".rope.scaling.factor", (float)c->rope_factor);
    if (c->rope_scaling == ROPE_LINEAR) return;
    gguf_key_u32(head, ".rope.scaling.original_context_length", (uint32_t)c->rope_original_positions);
    // llama.cpp multiplies YaRN's by its usual factor itself.
    const double usual = c->rope_scaling == ROPE_YARN && c->rope_factor > 1 ? 0.1 * log(c->rope_factor) + 1 : 1;
    const double factor = c->rope_attention_factor > 0 ? c->rope_attention_factor : 1;
    gguf_key_f32(head, ".rope.scaling.attn_factor", (float)(factor / usual));
    if (c->rope_scaling == ROPE_LONG) return;
    gguf_key_f32(head, ".rope.scaling.yarn_beta_fast", (float)c->rope_beta_fast);
    gguf_key_f32(head, ".rope.scaling.yarn_beta_slow", (float)c->rope_beta_slow);
}

// What Llama 3 divides the frequency of a pair by: 1 for short wavelengths, the factor for long ones, between them both
// are blended (as in model/rope.c, where the frequencies themselves are).
static float llama3_divisor(const ModelConfig *c, int pair) {
    const float dims = (float)rope_dims(c), positions = (float)c->rope_original_positions;
    const float wavelength = 2 * (float)M_PI * powf((float)c->rope_theta, (float)(2 * pair) / dims);
    const float low = (float)c->rope_low_freq_factor, high = (float)c->rope_high_freq_factor;
    const float factor = (float)c->rope_factor;
    if (wavelength > positions / low) return factor;
    if (wavelength < positions / high) return 1;
    const float blend = (positions / wavelength - low) / (high - low);
    return 1 / ((1 - blend) / factor + blend);
}

static void add_factors(GgufHead *head, const char *name, const float *factors, int pairs, Text *data) {
    gguf_head_add(head, name, GGUF_F32, 1, (uint64_t[]){(uint64_t)pairs});
    text_add(data, (const char *)factors, (size_t)pairs * sizeof *factors);
    while (data->length % GGUF_ALIGNMENT) text_add(data, "", 1);
}

void gguf_add_rope(GgufHead *head, const ModelConfig *config, Text *data) {
    const int pairs = rope_dims(config) / 2;
    float factors[ROPE_PAIRS_MAX];
    if (config->rope_scaling == ROPE_LLAMA3 && pairs <= ROPE_PAIRS_MAX) {
        for (int i = 0; i < pairs; i++) factors[i] = llama3_divisor(config, i);
        add_factors(head, "rope_freqs.weight", factors, pairs, data);
    } else if (config->rope_scaling == ROPE_LONG) {
        add_factors(head, "rope_factors_long.weight", config->rope_long_factors, pairs, data);
        add_factors(head, "rope_factors_short.weight", config->rope_short_factors, pairs, data);
    }
}

void gguf_add_keys(GgufHead *head, const ModelStructure *structure, GgufType most) {
    const ModelConfig *config = &structure->config;
    const GgufArchitecture *architecture = gguf_architecture(structure);
    snprintf(head->prefix, sizeof head->prefix, "%s", architecture->name);
    add_general(head, structure, most);
    add_sizes(head, config, structure->embedding->shape[0]);
    add_experts(head, &config->experts, architecture->ffn_of_experts);
    if (architecture->windows) add_windows(head, config);
    add_rope_keys(head, config);
}
