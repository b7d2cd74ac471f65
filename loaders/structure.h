// The model as a list of linears in execution order, with everything that stats, plans, overrides and exports need to
// know of each.
#pragma once

#include "loaders/checkpoint.h"
#include "loaders/config.h"
#include "loaders/stored.h"

typedef enum LinearRole {
    ROLE_Q,
    ROLE_K,
    ROLE_V,
    ROLE_O,
    ROLE_GATE,
    ROLE_UP,
    ROLE_DOWN,
    ROLE_FC1,
    ROLE_FC2,
    ROLE_ROUTER,
    ROLE_HEAD,
    ROLE_OTHER,
} LinearRole;

const char *role_name(LinearRole role); // "q", "gate", "head"

// Where a channel scale of a linear's input can be folded so that the function stays exactly the same (methods.md
// section 3).
typedef enum FoldKind {
    FOLD_NONE,        // nowhere: applied at run time or not at all
    FOLD_NORM,        // the gain of norm `index`
    FOLD_LINEAR_ROWS, // the output rows of linear `index` (v → o, up → down)
} FoldKind;

typedef struct Linear {
    char *name; // as in the checkpoint, without ".weight": "model.layers.3.mlp.down_proj"
    LinearRole role;
    int layer;  // −1 outside the layers (head)
    int expert; // −1 outside experts
    size_t out, in;
    const Tensor *weight; // [out, in]; hold it (tensor_hold) while its data is read
    const Tensor *bias;   // [out] or NULL
    int input;            // linears with the same number read the very same buffer: 0 … input_count − 1
    int fused_set;        // linears that engines store as one (q,k,v; gate,up) share a number ≥ 0; −1 alone
    FoldKind fold;
    int fold_index;
    bool quantizable; // false for head and routers unless the recipe says otherwise
} Linear;

typedef struct Norm {
    char *name;
    int layer;          // −1: the final norm
    const Tensor *gain; // [hidden]
    int input;          // the linear input that it feeds
} Norm;

typedef struct LayerMap { // indices into linears and norms
    int q, k, v, o, gate, up, down;
    int attention_norm, mlp_norm;
} LayerMap;

typedef struct ModelStructure {
    ModelConfig config;
    const Checkpoint *checkpoint; // must outlive the structure
    StoredSet *stored;            // the weights among the tensors below that are not plain in the file
    Linear *linears;
    int linear_count;
    int input_count;
    Norm *norms;
    int norm_count;
    LayerMap *layers;        // [config.layers]
    const Tensor *embedding; // [vocab, hidden]; to be held too
    int head;                // index of the head linear (its weight is the embedding when tied)
    int final_norm;
    uint64_t parameters;
} ModelStructure;

// Checks every tensor's presence, shape and element type against the configuration; messages name tensor, found and
// expected.
bool structure_build(const Checkpoint *checkpoint, const ModelConfig *config, ModelStructure *out, Error *err);
void structure_free(ModelStructure *structure);
int structure_find(const ModelStructure *structure, const char *linear_name); // −1 when absent

// What the checkpoint holds instead of plain matrices, where it is the same for all linears that are not plain: "GPTQ
// 4-bit g128"; "quantized in several ways" where it is not; NULL when all are plain.
const char *structure_stored(const ModelStructure *structure);

// A short name for tables: "3 down_proj", "head".
void linear_short_name(const Linear *linear, char *out, size_t size);
