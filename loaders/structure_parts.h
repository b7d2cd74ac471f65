// What the files that build a structure share; nobody else includes it.
#pragma once

#include "loaders/structure.h"

typedef enum Width {
    WIDTH_HIDDEN,
    WIDTH_QUERIES,
    WIDTH_GATED_QUERIES,
    WIDTH_KEYS,
    WIDTH_QKV,
    WIDTH_FFN,
    WIDTH_TWO_FFN,
    WIDTH_ENCODER_FFN,
    WIDTH_HEAD_DIM,
    WIDTH_EMBEDDING,
    WIDTH_VOCAB,
    WIDTH_EXPERTS,
    WIDTH_EXPERT_FFN,
    WIDTH_TWO_EXPERT_FFN,
    WIDTH_SHARED_FFN,
    WIDTH_TWO_SHARED_FFN,
    WIDTH_Q_LATENT,
    WIDTH_KV_LATENT,
    WIDTH_KV_LATENT_AND_ROTATED,
    WIDTH_KEYS_AND_VALUES, // of latent attention, without what is rotated
    WIDTH_VALUES,          // of all heads
    WIDTH_LAYER_INPUT,
    WIDTH_ALL_LAYER_INPUTS,
    WIDTH_LAUREL,
    WIDTH_STREAMS,
    WIDTH_STREAMS_SQUARED,
    WIDTH_ONE,
    WIDTH_THREE_HIDDEN,
    WIDTH_RECURRENT_VALUES,
    WIDTH_RECURRENT_VALUE, // of one head
    WIDTH_RECURRENT_HEADS,
    WIDTH_TWO_RECURRENT_HEADS,
    WIDTH_CONVOLVED,
    WIDTH_CONVOLVED_AND_Z,
    WIDTH_CONVOLVED_Z_AND_STEPS,
} Width;

typedef enum Bias { BIAS_NONE, BIAS_ATTENTION, BIAS_OUTPUT, BIAS_MLP, BIAS_RECURRENT } Bias;

// What the linears of a layer read. Those of one slot share an input.
typedef enum Slot {
    SLOT_NONE = -1,
    SLOT_ATTENTION,
    SLOT_Q_LATENT,
    SLOT_KV_LATENT,
    SLOT_MIXED,
    SLOT_REMEMBERED,
    SLOT_MLP,
    SLOT_INNER,
    SLOT_SHARED_INNER,
    SLOT_CROSS,
    SLOT_CROSS_MIXED,
    SLOT_ROUTER, // where it is not what experts read
    SLOT_LAYER_GATE,
    SLOT_LAYER_INNER,
    SLOT_LAUREL,
    SLOT_MODALITIES, // of AltUp: before a layer, and behind it
    SLOT_PREDICTION,
    SLOT_CORRECTION,
    SLOT_SOURCE, // what the encoder gave, for all layers of the decoder
    SLOT_COUNT
} Slot;

typedef enum FusedSet {
    FUSED_ALONE = -1,
    FUSED_QKV,
    FUSED_IN,
    FUSED_RATES,
    FUSED_GATE_UP,
    FUSED_SHARED,
    FUSED_COUNT
} FusedSet;

typedef struct LinearRow {
    const char *name; // within the layer; NULL ends a table
    LinearRole role;
    Width out, in;
    Bias bias;
    Slot slot;
    FusedSet fused;
    size_t offset; // of its index in LayerMap
} LinearRow;

// Which configurations, and which of their layers, have a norm.
typedef enum When {
    WHEN_ALWAYS,
    WHEN_QK_NORM_HEADS,
    WHEN_QK_NORM_WHOLE,
    WHEN_QK_NORM_ROTATED,
    WHEN_QK_NORM_EACH,
    WHEN_QK_NORM_APART,
    WHEN_Q_LATENT,
    WHEN_NORM_BEFORE,
    WHEN_BRANCH_NORMS,
    WHEN_NORMS_AROUND, // before and after a branch
    WHEN_MLP_NORM,     // before the MLP alone, and not that of attention
    WHEN_PARALLEL_TWO, // parallel branches with a norm each
    WHEN_NOT_PARALLEL_TWO,
    WHEN_SEQUENTIAL,
    WHEN_LAYER_INPUTS,
    WHEN_BESIDE_EXPERTS,
    WHEN_MIXING, // the layer has attention, or remembers
    WHEN_MLP,
    WHEN_RECURRENT_NORM,
} When;

typedef enum Normed { NORMED_TOKENS, NORMED_QUERIES, NORMED_KEYS } Normed;
// By the width of the model, or by its root.
typedef enum Divided { DIVIDED_BY_NOTHING, DIVIDED_BY_WIDTH, DIVIDED_BY_ROOT } Divided;

typedef struct NormRow {
    const char *name; // NULL ends a table
    Slot slot;        // what it feeds
    Width width;
    When when;
    size_t offset;   // of its index in LayerMap
    Normed of;       // what it norms: each head may have a gain, and keys may be another layer's
    Divided divided; // what it gives
    bool bare;       // its name is that of the gain itself
} NormRow;

typedef struct ExpertNames {
    const char *router, *experts; // "mlp.gate", "mlp.experts"
    const char *gate, *up, *down; // of one expert; gate NULL: it has none
    const char *gate_up;          // of stacked experts, instead of gate and up; both: as the file has it
    Bias router_bias;             // of its own, which is a part of the logits
    const char *bias;             // of the choice, within the layer
    bool bias_is_row;             // [1, experts]
    const char *scale;            // of the weights of experts, within the layer
    const LinearRow *shared;      // of the expert that sees every token
} ExpertNames;

typedef struct RecurrentNames {
    const LinearRow *linears;
    const char *convolution, *decay, *offset, *skip; // within the layer; NULL: none
} RecurrentNames;

typedef struct LayoutTable {
    const char *prefixes[6];                 // tried in this order
    const char *layer;                       // "layers." + number + "."
    const char *embedding, *positions;       // NULL: none
    const char *embedding_norm, *final_norm; // names without prefix
    const char *heads[3];                    // names with prefix, tried in this order
    const LinearRow *attention, *mlp;
    const NormRow *norms;
    const ExpertNames *experts;
    const RecurrentNames *recurrent;
    const char *sinks, *xielu;       // within a layer
    const LinearRow *more;           // linears that stand neither in attention nor in the MLP
    const char *scalar, *correction; // of what a layer gives, AltUp.scaled; within a layer
    bool transposed;                 // weights of layers are stored as [in, out]
    // Of an encoder–decoder, whose decoder has the names above.
    const struct LayoutTable *encoder; // names of its layers, and of what stands before and behind them
    const LinearRow *cross;
    const char *copies[3]; // other names of the embedding
    const char *relative;  // within the stack
    const char *head_bias; // [1, vocab], in the whole file; it may be missing
} LayoutTable;

const LayoutTable *layout_table(TensorLayout layout);

// ---- Building by such a table ----

typedef struct Builder {
    ModelStructure *out;
    const LayoutTable *table;
    const char *prefix; // "model." or ""
    size_t linear_capacity, norm_capacity;
    int remembered;        // layers so far that keep a state
    int first_layer;       // of the stack that is being built
    char stack;            // as Linear.stack
    int slots[SLOT_COUNT]; // input numbers of the current layer; −1: not read yet
    int source;            // input number of SLOT_SOURCE
    int fused[FUSED_COUNT], fused_count;
    Error *err;
} Builder;

// Of a row, in elements; outside of layers `layer` is −1.
size_t builder_width(const ModelConfig *config, int layer, Width width);

// The tensor "<name><ending>" of the given shape, counted as parameters. `rank` 1: only shape[0].
bool builder_take(const Builder *builder, const char *name, const char *ending, const uint64_t *shape, int rank,
                  const Tensor **out);
// The same of a tensor in a layer, and of a vector there; *out stays where `name` is NULL.
bool builder_take_in_layer(const Builder *builder, int layer, const char *name, const char *ending,
                           const uint64_t *shape, int rank, const Tensor **out);
bool builder_take_vector(const Builder *builder, int layer, const char *name, size_t width, const Tensor **out);
void builder_name(const Builder *builder, int layer, const char *name, char *out, size_t size); // in the whole file

int *layer_member(LayerMap *map, size_t offset);
// The number of the input that a slot's linears read; a new one when it has not been read yet.
int builder_input(Builder *builder, Slot slot);

// A linear with everything but its tensors and its input; NULL when memory is short.
Linear *builder_add_linear(Builder *builder, int layer, const char *name, LinearRole role, Width out_width,
                           Width in_width);
bool builder_take_weights(Builder *builder, Linear *linear, bool bias);
bool builder_add_row(Builder *builder, int layer, const LinearRow *row);
bool builder_add_rows(Builder *builder, int layer, const LinearRow *rows); // those that this layer has

// The router of a layer, its experts, and the expert that sees every token (structure_experts.c).
bool builder_add_experts(Builder *builder, int layer);

// Norms (structure_norms.c). An index of ModelStructure.norms, or −1 with a message.
int builder_add_norm(Builder *builder, int layer, const char *name, Width width, int input);
bool builder_add_layer_norms(Builder *builder, int layer);
bool norm_applies(const ModelConfig *config, int layer, When when);
// Whether what norms give is read by linears alone, so that factors can move into them; of all, and of one slot.
bool norms_feed_linears(const ModelConfig *config);
bool norm_feeds_linears(const ModelConfig *config, Slot slot);

// Where a factor of the inputs of a layer's linears goes (structure_folds.c).
void structure_set_folds(ModelStructure *out, const LayerMap *map);

// What stands before and behind the layers of a stack (structure_ends.c). First the prefix of all names is found.
bool builder_find_prefix(Builder *builder);
bool builder_add_embedding(Builder *builder);
bool builder_add_layer_inputs(Builder *builder);
bool builder_add_positions(Builder *builder, StackEnds *ends);
// One linear for each stream but the first, of input `input`, or each of an input of its own; `layer` is where they
// run.
bool builder_add_streams(Builder *builder, const char *what, int input, int layer, int *first);
// The norm behind the layers, whose result is `input`.
bool builder_add_final_norm(Builder *builder, int layer, int input, StackEnds *ends);
bool builder_add_head(Builder *builder);

// ---- Without one ----

// Lists what looks like a linear in a checkpoint of which nothing is known (structure_other.c).
bool structure_list(ModelStructure *out, Error *err);

// Counts what is in no linear (structure_rest.c).
bool structure_count_rest(ModelStructure *out, Error *err);
