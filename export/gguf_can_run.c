#include "export/gguf_can_run.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

// Softmax over all experts, in every layer.
static bool has_such_experts(const ModelConfig *config, const GgufArchitecture *architecture) {
    const Experts *e = &config->experts;
    if (!e->count || architecture->experts == GGUF_EXPERTS_NONE)
        return !e->count && architecture->experts == GGUF_EXPERTS_NONE;
    const bool weighted =
        e->normalized == (architecture->experts == GGUF_EXPERTS_NORMALIZED) && (!e->scale || e->scale == 1);
    bool everywhere = true;
    for (int layer = 0; layer < config->layers; layer++) everywhere = everywhere && layer_is_in(&e->layers, layer);
    return weighted && everywhere && !e->sigmoid && !e->biased && !e->stacked && !e->groups;
}

// Not what this architecture computes; NULL: it does.
static const char *unlike(const ModelConfig *config, const GgufArchitecture *architecture) {
    const bool gemma = strncmp(architecture->name, "gemma", 5) == 0, phi = strcmp(architecture->name, "phi3") == 0;
    const bool plain_biases = !config->output_bias && !config->mlp_bias;
    const bool capped = strcmp(architecture->name, "gemma2") == 0;
    if (!has_such_experts(config, architecture)) return "its way of choosing experts and weighing them";
    if (config->activation != (gemma ? NONLINEARITY_GELU_TANH : NONLINEARITY_SILU)) return "its activation function";
    if (!architecture->any_bias && !plain_biases) return "a bias of the output projection or the MLP";
    if ((config->score_softcap > 0) != capped ||
        (capped ? config->logit_softcap <= 0 : !gemma && config->logit_softcap > 0))
        return "its soft caps of scores or logits";
    if (architecture->narrow_heads && config->heads * config->head_dim != config->hidden)
        return "heads that together are not as wide as the model";
    if (architecture->tied && !config->tied_head) return "a head of its own";
    if (architecture->own_head && config->tied_head) return "a head that is the embedding";
    if (!phi && rope_dims(config) != config->head_dim) return "heads that are rotated in part";
    if (config->rope_scaling == ROPE_LLAMA3 && rope_dims(config) > 2 * ROPE_PAIRS_MAX) return "heads as wide as these";
    const double width =
        gguf_scaled_width(architecture, config->layers, config->hidden, config->heads, config->head_dim);
    if (fabs((double)config->attention_scale * sqrt(width) - 1) > 1e-5) return "its scale of attention";
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
                         "GGUF is not written for models of type %s, only for " GGUF_FAMILIES
                         "; write another format, or convert with llama.cpp's convert_hf_to_gguf.py",
                         config->family);
    const char *what = unlike(config, architecture);
    if (what)
        return error_set(err, "llama.cpp's architecture %s does not have %s; write another format", architecture->name,
                         what);
    note_differences(config, architecture, note, size);
    return true;
}
