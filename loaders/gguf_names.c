#include "loaders/gguf_names.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "loaders/families.h"
#include "loaders/structure_parts.h"

// Of several families with one name the first is what a file is read as.
static const GgufArchitecture architectures[] = {
    {.family = "llama", .name = "llama", .class = "LlamaForCausalLM", .pairs_rows = true, .any_bias = true},
    {.family = "mistral", .name = "llama", .class = "MistralForCausalLM", .pairs_rows = true, .any_bias = true},
    {.family = "qwen2", .name = "qwen2", .class = "Qwen2ForCausalLM", .narrow_heads = true},
    {.family = "qwen3", .name = "qwen3", .class = "Qwen3ForCausalLM"},
    {.family = "gemma", .name = "gemma", .class = "GemmaForCausalLM", .tied = true},
    {.family = "gemma2", .name = "gemma2", .class = "Gemma2ForCausalLM", .windows = true, .tied = true},
    {.family = "gemma3_text", .name = "gemma3", .class = "Gemma3ForCausalLM", .windows = true},
    {.family = "gemma3",
     .name = "gemma3",
     .class = "Gemma3ForConditionalGeneration",
     .windows = true}, // the text model of one that sees, too
    {.family = "mixtral",
     .name = "llama",
     .class = "MixtralForCausalLM",
     .pairs_rows = true,
     .any_bias = true,
     .experts = GGUF_EXPERTS_NORMALIZED},
    {.family = "qwen2_moe",
     .name = "qwen2moe",
     .class = "Qwen2MoeForCausalLM",
     .narrow_heads = true,
     .own_head = true,
     .experts = GGUF_EXPERTS_AS_THEY_ARE,
     .ffn_of_experts = true},
    {.family = "qwen3_moe",
     .name = "qwen3moe",
     .class = "Qwen3MoeForCausalLM",
     .experts = GGUF_EXPERTS_NORMALIZED,
     .ffn_of_experts = true},
    {.family = "phi3", .name = "phi3", .class = "Phi3ForCausalLM", .narrow_heads = true},
};
#define ARCHITECTURES (sizeof architectures / sizeof *architectures)

const GgufArchitecture *gguf_architecture(const ModelStructure *structure) {
    for (size_t i = 0; i < ARCHITECTURES; i++) {
        if (strcmp(architectures[i].family, structure->config.family) == 0) return &architectures[i];
    }
    return NULL;
}

const GgufArchitecture *gguf_architecture_named(const char *name, bool experts) {
    for (size_t i = 0; i < ARCHITECTURES; i++) {
        const bool has = architectures[i].experts != GGUF_EXPERTS_NONE;
        if (has == experts && strcmp(architectures[i].name, name) == 0) return &architectures[i];
    }
    return NULL;
}

const GgufSize gguf_sizes[] = {
    {".embedding_length", "hidden_size", offsetof(ModelConfig, hidden)},
    {".block_count", "num_hidden_layers", offsetof(ModelConfig, layers)},
    {".feed_forward_length", "intermediate_size", offsetof(ModelConfig, ffn)},
    {".attention.head_count", "num_attention_heads", offsetof(ModelConfig, heads)},
    {".attention.head_count_kv", "num_key_value_heads", offsetof(ModelConfig, kv_heads)},
    {".attention.key_length", "head_dim", offsetof(ModelConfig, head_dim)},
    {0},
};

double gguf_scaled_width(const GgufArchitecture *architecture, int layers, int hidden, int heads, int head_dim) {
    const bool largest = strncmp(architecture->name, "gemma", 5) == 0 && (layers == 46 || layers == 62);
    return largest ? (double)hidden / heads : head_dim;
}

// ---- Names ----

typedef struct SlotName {
    size_t at; // of its index in LayerMap
    const char *name;
} SlotName;

#define AT(member) offsetof(LayerMap, member)

static const SlotName linear_slots[] = {
    {AT(q), "attn_q"},
    {AT(k), "attn_k"},
    {AT(v), "attn_v"},
    {AT(qkv), "attn_qkv"},
    {AT(o), "attn_output"},
    {AT(gate), "ffn_gate"},
    {AT(up), "ffn_up"},
    {AT(gate_up), "ffn_up"},
    {AT(down), "ffn_down"},
    {AT(router), "ffn_gate_inp"},
    {AT(shared_gate), "ffn_gate_shexp"},
    {AT(shared_up), "ffn_up_shexp"},
    {AT(shared_down), "ffn_down_shexp"},
    {AT(shared_router), "ffn_gate_inp_shexp"},
    {0, NULL},
};

static const SlotName norm_slots[] = {
    {AT(attention_norm), "attn_norm"},
    {AT(q_norm), "attn_q_norm"},
    {AT(k_norm), "attn_k_norm"},
    {AT(attention_out_norm), "post_attention_norm"},
    {AT(mlp_norm), "ffn_norm"},
    {AT(mlp_out_norm), "post_ffw_norm"},
    {0, NULL},
};

// From what the program calls it.
static bool slot_name(const SlotName *slots, const LayerMap *map, int layer, int index, bool is_bias, char *out) {
    for (const SlotName *slot = slots; slot->name; slot++) {
        int here;
        memcpy(&here, (const char *)map + slot->at, sizeof here);
        if (here != index) continue;
        snprintf(out, GGUF_NAME_ROOM, "blk.%d.%s.%s", layer, slot->name, is_bias ? "bias" : "weight");
        return true;
    }
    return false;
}

static const char *const expert_names[ROLE_COUNT] = {
    [ROLE_GATE] = "ffn_gate_exps", [ROLE_UP] = "ffn_up_exps", [ROLE_DOWN] = "ffn_down_exps"};

static bool expert_name(const Linear *linear, bool is_bias, char *out) {
    const char *name = expert_names[linear->role];
    if (!name) return false;
    snprintf(out, GGUF_NAME_ROOM, "blk.%d.%s.%s", linear->layer, name, is_bias ? "bias" : "weight");
    return true;
}

bool gguf_linear_name(const ModelStructure *structure, int linear, bool is_bias, char out[GGUF_NAME_ROOM]) {
    const int layer = structure->linears[linear].layer;
    if (structure->linears[linear].expert >= 0) return expert_name(&structure->linears[linear], is_bias, out);
    if (layer >= 0) return slot_name(linear_slots, &structure->layers[layer], layer, linear, is_bias, out);
    snprintf(out, GGUF_NAME_ROOM, "output.%s", is_bias ? "bias" : "weight");
    return linear == structure->head;
}

bool gguf_norm_name(const ModelStructure *structure, int norm, bool is_bias, char out[GGUF_NAME_ROOM]) {
    const int layer = structure->norms[norm].layer;
    if (layer >= 0) return slot_name(norm_slots, &structure->layers[layer], layer, norm, is_bias, out);
    snprintf(out, GGUF_NAME_ROOM, "output_norm.%s", is_bias ? "bias" : "weight");
    return norm == structure->ends.final_norm;
}

size_t gguf_paired_rows(const ModelStructure *structure, int linear) {
    const GgufArchitecture *architecture = gguf_architecture(structure);
    const LinearRole role = structure->linears[linear].role;
    const bool rotated = role == ROLE_Q || role == ROLE_K;
    return architecture && architecture->pairs_rows && rotated ? (size_t)structure->config.head_dim : 0;
}

// ---- And back ----

static const char *linear_at(const LinearRow *rows, size_t offset, LinearRole *role) {
    for (; rows->name; rows++) {
        if (rows->offset != offset) continue;
        *role = rows->role;
        return rows->name;
    }
    return NULL;
}

// What routes, and the expert that sees every token.
static const char *of_experts(const ExpertNames *names, size_t offset, LinearRole *role) {
    if (offset == AT(router)) return names->router;
    return names->shared ? linear_at(names->shared, offset, role) : NULL;
}

static const char *norm_at(const NormRow *rows, size_t offset, const ModelConfig *config) {
    for (; rows->name; rows++) {
        if (rows->offset == offset && norm_applies(config, 0, rows->when)) return rows->name;
    }
    return NULL;
}

static bool slot_is(const SlotName *slot, const char *name, int length) {
    return strncmp(slot->name, name, (size_t)length) == 0 && !slot->name[length];
}

// Two slots may share a name; the layout has one of them.
static const char *meaning_in_layer(const GgufArchitecture *architecture, const Family *family, const char *name,
                                    int length, GgufMeaning *out) {
    const LayoutTable *table = layout_table(family->defaults.layout);
    const char *found = NULL;
    LinearRole role = ROLE_OTHER;
    for (const SlotName *slot = linear_slots; slot->name && !found; slot++) {
        if (!slot_is(slot, name, length)) continue;
        found = linear_at(table->attention, slot->at, &role);
        if (!found && table->mlp) found = linear_at(table->mlp, slot->at, &role);
        if (!found && table->experts) found = of_experts(table->experts, slot->at, &role);
    }
    out->paired = architecture->pairs_rows && (role == ROLE_Q || role == ROLE_K);
    for (const SlotName *slot = norm_slots; slot->name && !found; slot++) {
        if (!slot_is(slot, name, length)) continue;
        found = norm_at(table->norms, slot->at, &family->defaults);
        out->plus_one = found && family->defaults.norm == NORM_RMS_PLUS_ONE;
    }
    return found;
}

// "…mlp.experts." and ".gate_proj.weight", between which a number belongs.
static bool meaning_of_experts(const LayoutTable *table, int layer, const char *name, GgufMeaning *out) {
    const ExpertNames *names = table->experts;
    const struct {
        const char *name;
        LinearRole role;
    } all[] = {{names->gate, ROLE_GATE}, {names->up, ROLE_UP}, {names->down, ROLE_DOWN}};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        const size_t length = strlen(expert_names[all[i].role]);
        if (strncmp(name, expert_names[all[i].role], length) != 0 || strcmp(name + length, ".weight") != 0) continue;
        MatrixName *to = &out->name;
        const int at =
            snprintf(to->text, sizeof to->text, "%s%s%d.%s.", table->prefixes[0], table->layer, layer, names->experts);
        to->expert_at = (size_t)at;
        snprintf(to->text + at, sizeof to->text - (size_t)at, ".%s.weight", all[i].name);
        return true;
    }
    return false;
}

static bool meaning_outside(const Family *family, const char *tensor, GgufMeaning *out) {
    const LayoutTable *table = layout_table(family->defaults.layout);
    const struct {
        const char *name, *prefix, *meaning;
    } outside[] = {{"token_embd.weight", table->prefixes[0], table->embedding},
                   {"output_norm.weight", table->prefixes[0], table->final_norm},
                   {"output.weight", "", table->heads[0]}};
    for (size_t i = 0; i < sizeof outside / sizeof *outside; i++) {
        if (strcmp(outside[i].name, tensor) != 0) continue;
        snprintf(out->name.text, sizeof out->name.text, "%s%s.weight", outside[i].prefix, outside[i].meaning);
        out->plus_one = i == 1 && family->defaults.norm == NORM_RMS_PLUS_ONE;
        return true;
    }
    return false;
}

bool gguf_meaning(const GgufArchitecture *architecture, const char *tensor, GgufMeaning *out) {
    const Family *family = family_find(architecture->family);
    int layer, begin = 0;
    *out = (GgufMeaning){0};
    if (sscanf(tensor, "blk.%5d.%n", &layer, &begin) != 1 || !begin) return meaning_outside(family, tensor, out);
    const char *name = tensor + begin, *ending = strchr(name, '.');
    if (layer < 0 || !ending || (strcmp(ending, ".weight") != 0 && strcmp(ending, ".bias") != 0)) return false;
    const LayoutTable *table = layout_table(family->defaults.layout);
    if (table->experts && meaning_of_experts(table, layer, name, out)) return true;
    const char *found = meaning_in_layer(architecture, family, name, (int)(ending - name), out);
    if (!found) return false;
    snprintf(out->name.text, sizeof out->name.text, "%s%s%d.%s%s", table->prefixes[0], table->layer, layer, found,
             ending);
    out->name.is_row = strncmp(name, "ffn_gate_inp_shexp.", 19) == 0;
    return true;
}
