// The model as a list of linears in execution order, with everything that stats, plans, overrides and exports need to
// know of each. A linear is the unit as the checkpoint stores it: where q, k and v are one tensor they are one linear.
#pragma once

#include "loaders/checkpoint.h"
#include "loaders/config.h"
#include "loaders/stored/stored.h"

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
    ROLE_QKV,
    ROLE_Q_A, // of latent attention: down to a few columns, and up from these
    ROLE_Q_B,
    ROLE_KV_A,
    ROLE_KV_B,
    ROLE_GATE_UP,
    ROLE_CROSS_Q, // of cross-attention: queries of the target, keys and values of what the encoder gave
    ROLE_CROSS_K,
    ROLE_CROSS_V,
    ROLE_CROSS_O,
    ROLE_LAYER_GATE, // of inputs that every layer has of its own: what they are multiplied by, and their way back
    ROLE_LAYER_PROJ,
    ROLE_IN,    // of layers that remember: what goes into the convolution, and what they have in one with it
    ROLE_Z,     // what gates their result
    ROLE_RATES, // how fast they learn and forget
    ROLE_ROUTER,
    ROLE_HEAD,
    ROLE_OTHER,
    ROLE_COUNT,
} LinearRole;

const char *role_name(LinearRole role); // "q", "gate", "head"

// Where a channel scale of a linear's input can be folded so that the function stays exactly the same
// (docs/methods.md).
typedef enum FoldKind {
    FOLD_NONE,        // nowhere: applied at run time or not at all
    FOLD_NORM,        // the gain of norm `index`
    FOLD_LINEAR_ROWS, // the output rows of linear `index` (v → o, up → down; of a fused one those of v, of up)
} FoldKind;

typedef struct Linear {
    char *name; // as in the checkpoint, without ".weight": "model.layers.3.mlp.down_proj"
    LinearRole role;
    int layer;  // −1 outside the layers (head); in an encoder–decoder those of the encoder come first
    char stack; // 'e': in the encoder, 'd': in the decoder, 0: there is but one stack
    int number; // of its layer within the stack, as its name says
    int expert; // −1 outside experts
    size_t out, in;
    const Tensor *weight; // [out, in]; hold it (tensor_hold) while its data is read
    const Tensor *bias;   // [out] or NULL
    // The checkpoint stores the tensor of this name as [in, out] (GPT-2); `weight` is made from it then.
    bool transposed;
    int input;     // linears with the same number read the very same buffer: 0 … input_count − 1
    int fused_set; // linears that engines store as one (q,k,v; gate,up) share a number ≥ 0; −1 alone
    FoldKind fold;
    int fold_index;
    bool quantizable; // false for head and routers unless the recipe says otherwise
} Linear;

typedef struct Norm {
    char *name;
    int layer;          // −1: the final norm, the embedding's
    const Tensor *gain; // [hidden], or [head_dim] of q and k norms; [heads, head_dim] where each has its own
    int heads;          // that have their own: rows of the gain, or it and the norms behind it; else 1
    const Tensor *bias; // like gain, or NULL
    float eps;          // of its own; 0: that of the configuration
    float factor;       // of the gain; 0: 1
    bool plain;         // by its gain as it is, also where others add one to it
    int input;          // the linear input that it feeds; −1: none, or not it alone
} Norm;

static inline size_t norm_width(const Norm *norm) { return (size_t)norm->gain->shape[norm->gain->rank - 1]; }

typedef struct LayerMap { // indices into linears and norms; −1: this layer has none
    int qkv;              // or else q, k, v
    int q, k, v, o;
    int q_a, q_b, kv_a, kv_b; // latent attention: instead of k and v, and of q or without q_a and q_b
    int gate_up;              // or else gate and up, or only up where the MLP is not gated (fc1)
    int gate, up, down;
    int attention_norm, mlp_norm; // the same where both branches share one
    int q_norm, k_norm;           // over heads
    int q_latent_norm, kv_latent_norm;
    int attention_out_norm, mlp_out_norm;               // of what a branch gives
    int cross_q, cross_k, cross_v, cross_o, cross_norm; // cross-attention
    int in, z, rates, steps, out,
        recurrent_norm; // a layer that remembers: z, rates and steps have linears of their own,
                        // or rates those of the steps too, or all are among those of `in`
    int remembered;     // which one it is among those that keep a state
    int router;         // mixture of experts: then there is no MLP of the above
    int first_expert;   // gate, up, down of expert e: first_expert + 3 e, + 1, + 2; of stacked ones gate_up, down, of
                        // ungated ones up, down: + 2 e, + 1
    int shared_gate_up, shared_gate, shared_up, shared_down;         // as those of an MLP
    int shared_router;                                               // −1: added as it is
    int router_norm, experts_norm, experts_out_norm, dense_out_norm; // experts beside an MLP: Experts.beside
    int layer_gate, layer_proj, layer_input_norm; // of the layer's own inputs: ModelConfig.layer_inputs
    int laurel_left, laurel_right, laurel_norm;
    int modalities, prediction, correction, modality_norm; // AltUp
    // Where keys and values are: of which layer, in which of the two caches, and where in it.
    int keys_of, cache, cache_at;
    // The tensors come last: structure.c fills all before them with −1.
    const Tensor *sinks;                          // [heads]; NULL: none
    const Tensor *convolution, *convolution_bias; // [channels, 1, taps], [channels]; NULL: none
    const Tensor *decay, *offset, *skip;          // [heads]: ln(−decay) and the others of RecurrenceShape; NULL: none
    const Tensor *router_bias;                    // [experts], added to scores when experts are chosen; NULL: none
    const Tensor *expert_scale;                   // [experts], times their weights; NULL: none
    const Tensor *scalar;                         // [1], of what the layer gives; NULL: none
    const Tensor *correction_scale;               // [hidden]; NULL: none
    // Of xIELU (kernels/nonlinearity.h), each one number: `positive` is the softplus of the first, `negative` that of
    // the second plus the third, `linear` the third. NULL: no xIELU.
    const Tensor *xielu_positive, *xielu_negative, *xielu_linear;
} LayerMap;

// What stands before and behind the layers of a stack.
typedef struct StackEnds {
    const Tensor *position_rows; // [positions, hidden]: learned positions; NULL without
    const Tensor *relative;      // [buckets, heads], of all its layers: POSITIONS_RELATIVE; NULL without
    int embedding_norm;          // −1 without
    int final_norm;              // −1 without
} StackEnds;

// Tensors of the file that are in no linear: of one kind.
typedef struct Unlisted {
    size_t tensors, bytes;
    const Tensor *largest; // NULL when there are none
} Unlisted;

typedef struct ModelStructure {
    ModelConfig config;
    const Checkpoint *checkpoint; // must outlive the structure
    StoredSet *stored;            // the weights among the tensors below that are not plain in the file
    Linear *linears;
    int linear_count;
    int input_count;
    Norm *norms;
    int norm_count;
    LayerMap *layers;              // [config.layers]
    const Tensor *embedding;       // [vocab, embedding_width]; to be held too; NULL for models that cannot be run
    StackEnds ends;                // of the layers, or of the decoder's
    StackEnds encoder;             // of the encoder's layers
    bool head_untied;              // config.json says that the head is the embedding, but it has numbers of its own
    int head;                      // index of the head linear (its weight is the embedding when tied); −1 without
    const Tensor *layer_embedding; // [layer_inputs.vocab, layers · layer_inputs.width]; NULL without; to be held too
    int layer_projection;          // from the embedding to all layers' inputs; −1
    int layer_projection_norm;     // −1
    int first_stream,
        last_stream;      // AltUp: linears that make the other streams, and the first of those that end them; −1
    int cached_layers[2]; // layers of the two caches: of ordinary layers, and of full ones
    int project_in, project_out; // linears between the embedding and the first layer, the last layer and the head; −1
    uint64_t parameters;
    Unlisted unlisted[TENSOR_KIND_COUNT];
    size_t unlisted_bytes; // of checkpoint->bytes
    char unread[400];      // of a model that cannot be run: why a matrix could not be read, and is left out; "" none
    const Tensor **rest;   // the tensors behind it, by name
    size_t rest_count;
} ModelStructure;

// Checks every tensor's presence, shape and element type against the configuration; messages name tensor, found and
// expected. Of a model that cannot be run (config->not_run) all matrices that look like weights of linears are listed
// in the order of their names; what they read is unknown, so each has an input of its own, which cannot be measured.
bool structure_build(const Checkpoint *checkpoint, const ModelConfig *config, ModelStructure *out, Error *err);
void structure_free(ModelStructure *structure);
int structure_find(const ModelStructure *structure, const char *linear_name); // −1 when absent

// What the list leaves out, in words: "embeddings 67.1 MB, norms 9.2 kB"; "" when it is nothing. Owned by the caller;
// NULL when memory is short.
char *structure_unlisted_text(const ModelStructure *structure);

// What the checkpoint holds instead of plain matrices, where it is the same for all linears that are not plain: "GPTQ
// 4-bit g128"; "quantized in several ways" or "GGUF in several types" where it is not; NULL when all are plain.
const char *structure_stored(const ModelStructure *structure);

// The element type that stands for the whole model.
DType structure_dtype(const ModelStructure *structure);

// Whether its rows are those of the source: it is in the encoder, or makes keys and values of what that gave.
static inline bool linear_reads_source(const Linear *linear) {
    return linear->stack == 'e' || linear->role == ROLE_CROSS_K || linear->role == ROLE_CROSS_V;
}

// Whether its result is used: keys and values of layers that read those of others are not.
bool linear_is_read(const ModelStructure *structure, int linear);

// A short name for tables: of layer 3 "3.down_proj", of its expert 17 "3.17.down_proj"; "e3.q", "d3.cross_q", "head".
void linear_short_name(const Linear *linear, char *out, size_t size);
// "3"; of an encoder–decoder "e3" or "d3", as its linears are called. Returns the length.
int layer_short_name(const ModelStructure *structure, int layer, char *out, size_t size);
