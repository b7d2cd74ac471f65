// What llama.cpp calls models and tensors, for reading GGUF and for writing it.
#pragma once

#include "loaders/structure.h"

#define GGUF_NAME_ROOM 64

// A mixture of experts in every layer; what becomes of the weights of the chosen ones.
typedef enum GgufExperts { GGUF_EXPERTS_NONE, GGUF_EXPERTS_NORMALIZED, GGUF_EXPERTS_AS_THEY_ARE } GgufExperts;

typedef struct GgufArchitecture {
    const char *family; // model_type of config.json
    const char *name;   // "llama": general.architecture, and the prefix of its keys
    const char *class;  // of transformers
    bool pairs_rows;    // rows of q and k: a rotated pair side by side (gguf_source_row)
    bool any_bias;      // o, gate, up and down may have one
    bool windows;       // sees to windows, whose layers are those of its own family
    bool narrow_heads;  // queries are as wide as the model
    bool tied;          // the head is always the embedding
    bool own_head;      // it never is
    GgufExperts experts;
    bool ffn_of_experts; // the width of an expert has a key of its own
} GgufArchitecture;

// NULL: none for this family.
const GgufArchitecture *gguf_architecture(const ModelStructure *structure);
// The family that files of an architecture, with experts or without, are read as; NULL: none.
const GgufArchitecture *gguf_architecture_named(const char *name, bool experts);

#define GGUF_FAMILIES "llama, mistral, mixtral, qwen2, qwen2_moe, qwen3, qwen3_moe, gemma, gemma2, gemma3, phi3"

// Sizes that have other names in config.json.
typedef struct GgufSize {
    const char *key;  // behind the architecture's name; NULL ends the table
    const char *name; // in config.json
    size_t at;        // of an int in ModelConfig
} GgufSize;

extern const GgufSize gguf_sizes[];

// The width that scores are divided by the root of. The largest of Gemma 2 and 3 have the model's width per head, and
// llama.cpp knows them by their layers.
double gguf_scaled_width(const GgufArchitecture *architecture, int layers, int hidden, int heads, int head_dim);

// "blk.3.attn_q.weight"; experts of a layer share one: "blk.3.ffn_up_exps.weight". False: the file has no tensor for
// it.
bool gguf_linear_name(const ModelStructure *structure, int linear, bool is_bias, char out[GGUF_NAME_ROOM]);
bool gguf_norm_name(const ModelStructure *structure, int norm, bool is_bias, char out[GGUF_NAME_ROOM]);

// The rows of a head, where those of this linear have to be paired; else 0.
size_t gguf_paired_rows(const ModelStructure *structure, int linear);

// What a tensor of a file is in a checkpoint of the family.
typedef struct GgufMeaning {
    MatrixName name; // "model.layers.3.self_attn.q_proj.weight"
    bool paired;     // its rows are paired
    bool plus_one;   // a gain that is stored whole, where the checkpoint has it less one
} GgufMeaning;

// False: it has no name there.
bool gguf_meaning(const GgufArchitecture *architecture, const char *tensor, GgufMeaning *out);
