#include "export/gguf_names.h"

#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

static const GgufArchitecture architectures[] = {
    {.family = "llama", .name = "llama", .pairs_rows = true, .any_bias = true},
    {.family = "mistral", .name = "llama", .pairs_rows = true, .any_bias = true},
    {.family = "qwen2", .name = "qwen2", .narrow_heads = true},
    {.family = "qwen3", .name = "qwen3"},
    {.family = "gemma", .name = "gemma", .tied = true},
    {.family = "gemma2", .name = "gemma2", .windows = true, .tied = true},
    {.family = "gemma3", .name = "gemma3", .windows = true}, // the text model of one that sees, too
    {.family = "gemma3_text", .name = "gemma3", .windows = true},
    {.family = "phi3", .name = "phi3", .narrow_heads = true},
};
#define ARCHITECTURES (sizeof architectures / sizeof *architectures)
#define FAMILIES "llama, mistral, qwen2, qwen3, gemma, gemma2, gemma3, phi3"

const GgufArchitecture *gguf_architecture(const ModelStructure *structure) {
    for (size_t i = 0; i < ARCHITECTURES; i++) {
        if (strcmp(architectures[i].family, structure->config.family) == 0) return &architectures[i];
    }
    return NULL;
}

// ---- Names ----

typedef struct Slot {
    size_t at; // of its index in LayerMap
    const char *name;
} Slot;

#define AT(member) offsetof(LayerMap, member)

static const Slot linear_slots[] = {
    {AT(q), "attn_q"},      {AT(k), "attn_k"},  {AT(v), "attn_v"},       {AT(qkv), "attn_qkv"},  {AT(o), "attn_output"},
    {AT(gate), "ffn_gate"}, {AT(up), "ffn_up"}, {AT(gate_up), "ffn_up"}, {AT(down), "ffn_down"}, {0, NULL},
};

static const Slot norm_slots[] = {
    {AT(attention_norm), "attn_norm"},
    {AT(q_norm), "attn_q_norm"},
    {AT(k_norm), "attn_k_norm"},
    {AT(attention_out_norm), "post_attention_norm"},
    {AT(mlp_norm), "ffn_norm"},
    {AT(mlp_out_norm), "post_ffw_norm"},
    {0, NULL},
};

static bool slot_name(const Slot *slots, const LayerMap *map, int layer, int index, bool is_bias, char *out) {
    for (const Slot *slot = slots; slot->name; slot++) {
        int here;
        memcpy(&here, (const char *)map + slot->at, sizeof here);
        if (here != index) continue;
        snprintf(out, GGUF_NAME_ROOM, "blk.%d.%s.%s", layer, slot->name, is_bias ? "bias" : "weight");
        return true;
    }
    return false;
}

bool gguf_linear_name(const ModelStructure *structure, int linear, bool is_bias, char out[GGUF_NAME_ROOM]) {
    const int layer = structure->linears[linear].layer;
    if (layer >= 0) return slot_name(linear_slots, &structure->layers[layer], layer, linear, is_bias, out);
    snprintf(out, GGUF_NAME_ROOM, "output.%s", is_bias ? "bias" : "weight");
    return linear == structure->head;
}

bool gguf_norm_name(const ModelStructure *structure, int norm, bool is_bias, char out[GGUF_NAME_ROOM]) {
    const int layer = structure->norms[norm].layer;
    if (layer >= 0) return slot_name(norm_slots, &structure->layers[layer], layer, norm, is_bias, out);
    snprintf(out, GGUF_NAME_ROOM, "output_norm.%s", is_bias ? "bias" : "weight");
    return norm == structure->final_norm;
}

size_t gguf_paired_rows(const ModelStructure *structure, int linear) {
    const GgufArchitecture *architecture = gguf_architecture(structure);
    const LinearRole role = structure->linears[linear].role;
    const bool rotated = role == ROLE_Q || role == ROLE_K;
    return architecture && architecture->pairs_rows && rotated ? (size_t)structure->config.head_dim : 0;
}

// ---- What can be computed ----

// Not what this architecture computes; NULL: it does.
static const char *unlike(const ModelConfig *config, const GgufArchitecture *architecture) {
    const bool gemma = strncmp(architecture->name, "gemma", 5) == 0, phi = strcmp(architecture->name, "phi3") == 0;
    const bool plain_biases = !config->output_bias && !config->mlp_bias;
    const bool capped = strcmp(architecture->name, "gemma2") == 0;
    const double scale = 1 / sqrt((double)config->head_dim);
    if (config->experts.count) return "a mixture of experts";
    if (config->activation != (gemma ? NONLINEARITY_GELU_TANH : NONLINEARITY_SILU)) return "its activation function";
    if (!architecture->any_bias && !plain_biases) return "a bias of the output projection or the MLP";
    if ((config->score_softcap > 0) != capped ||
        (capped ? config->logit_softcap <= 0 : !gemma && config->logit_softcap > 0))
        return "its soft caps of scores or logits";
    if (architecture->narrow_heads && config->heads * config->head_dim != config->hidden)
        return "heads that together are not as wide as the model";
    if (architecture->tied && !config->tied_head) return "a head of its own";
    if (!phi && rope_dims(config) != config->head_dim) return "heads that are rotated in part";
    if (config->rope_scaling == ROPE_LLAMA3 && rope_dims(config) > 2 * ROPE_PAIRS_MAX) return "heads as wide as these";
    // The largest of Gemma 2 and 3 divide by the root of the width per head; llama.cpp knows them by their layers.
    const double wide = 1 / sqrt((double)config->hidden / config->heads);
    const bool largest = gemma && (config->layers == 46 || config->layers == 62);
    if (fabs((double)config->attention_scale / (largest ? wide : scale) - 1) > 1e-5) return "its scale of attention";
    return NULL;
}

static void note_differences(const ModelConfig *config, const GgufArchitecture *architecture, char *note, size_t size) {
    *note = '\0';
    bool windowed = false;
    for (int i = 0; i < config->layers; i++)
        windowed = windowed || (config->window && layer_is_in(&config->windowed, i));
    if (windowed && !architecture->windows)
        snprintf(note, size, "llama.cpp attends to all tokens, also beyond the model's window of %d", config->window);
    else if (config->rope_scaling == ROPE_DYNAMIC)
        snprintf(note, size, "llama.cpp has no dynamic scaling of positions: beyond %.0f tokens texts go wrong",
                 config->rope_original_positions);
    else if (config->rope_scaling == ROPE_LONG)
        snprintf(note, size,
                 "llama.cpp takes the factors for long texts as soon as its context is longer than %.0f tokens",
                 config->rope_original_positions);
    else if (config->rope_scaling == ROPE_YARN && config->rope_untruncated)
        snprintf(note, size, "llama.cpp rounds where YaRN begins and ends, which this model does not");
}

bool gguf_can_run(const ModelStructure *structure, char *note, size_t size, Error *err) {
    const ModelConfig *config = &structure->config;
    const GgufArchitecture *architecture = gguf_architecture(structure);
    *note = '\0';
    if (*config->not_run) return error_set(err, "GGUF needs a model that is understood whole: %s", config->not_run);
    if (!architecture)
        return error_set(err,
                         "GGUF is not written for models of type %s, only for " FAMILIES
                         "; export to compressed-tensors, or convert with llama.cpp's convert_hf_to_gguf.py",
                         config->family);
    const char *what = unlike(config, architecture);
    if (what)
        return error_set(err, "llama.cpp's architecture %s does not have %s; export to compressed-tensors",
                         architecture->name, what);
    note_differences(config, architecture, note, size);
    return true;
}
