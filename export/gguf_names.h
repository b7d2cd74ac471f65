// What llama.cpp calls a model's architecture and its tensors, and what of a model it can compute.
#pragma once

#include "loaders/structure.h"

#define GGUF_NAME_ROOM 64

typedef struct GgufArchitecture {
    const char *family; // model_type of config.json
    const char *name;   // "llama": general.architecture, and the prefix of its keys
    bool pairs_rows;    // rows of q and k: a rotated pair side by side (gguf_blocks.h)
    bool any_bias;      // o, gate, up and down may have one
    bool windows;       // sees to windows, whose layers are those of its own family
    bool narrow_heads;  // queries are as wide as the model
    bool tied;          // the head is always the embedding
} GgufArchitecture;

// NULL: none for this family.
const GgufArchitecture *gguf_architecture(const ModelStructure *structure);

// False with what llama.cpp would not compute as the model does, and what to do. *note: what it computes otherwise in
// situations that do not matter to every user ("" nothing).
bool gguf_can_run(const ModelStructure *structure, char *note, size_t size, Error *err);

// "blk.3.attn_q.weight". False: the file has no tensor for it.
bool gguf_linear_name(const ModelStructure *structure, int linear, bool is_bias, char out[GGUF_NAME_ROOM]);
bool gguf_norm_name(const ModelStructure *structure, int norm, bool is_bias, char out[GGUF_NAME_ROOM]);

// The rows of a head, where those of this linear have to be paired; else 0.
size_t gguf_paired_rows(const ModelStructure *structure, int linear);
