#include "loaders/structure.h"

#include <assert.h>
#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "loaders/structure_parts.h"

typedef struct Builder {
    ModelStructure *out;
    const LayoutTable *table;
    const char *prefix; // "model." or ""
    size_t linear_capacity, norm_capacity, copy_capacity;
    int remembered;        // layers so far that keep a state
    int first_layer;       // of the stack that is being built
    char stack;            // as Linear.stack
    int slots[SLOT_COUNT]; // input numbers of the current layer; −1: not read yet
    int source;            // input number of SLOT_SOURCE
    int fused[FUSED_COUNT], fused_count;
    Error *err;
} Builder;

const char *role_name(LinearRole role) {
    static const char *const names[] = {
        [ROLE_Q] = "q",
        [ROLE_K] = "k",
        [ROLE_V] = "v",
        [ROLE_O] = "o",
        [ROLE_GATE] = "gate",
        [ROLE_UP] = "up",
        [ROLE_DOWN] = "down",
        [ROLE_FC1] = "fc1",
        [ROLE_FC2] = "fc2",
        [ROLE_QKV] = "qkv",
        [ROLE_Q_A] = "q_a",
        [ROLE_Q_B] = "q_b",
        [ROLE_KV_A] = "kv_a",
        [ROLE_KV_B] = "kv_b",
        [ROLE_GATE_UP] = "gate_up",
        [ROLE_CROSS_Q] = "cross_q",
        [ROLE_CROSS_K] = "cross_k",
        [ROLE_CROSS_V] = "cross_v",
        [ROLE_CROSS_O] = "cross_o",
        [ROLE_LAYER_GATE] = "layer_gate",
        [ROLE_LAYER_PROJ] = "layer_proj",
        [ROLE_IN] = "in",
        [ROLE_Z] = "z",
        [ROLE_RATES] = "rates",
        [ROLE_ROUTER] = "router",
        [ROLE_HEAD] = "head",
        [ROLE_OTHER] = "other",
    };
    static_assert(sizeof names / sizeof *names == ROLE_COUNT, "a role has no name");
    assert((unsigned)role < ROLE_COUNT);
    return names[role];
}

// ---- Tensors ----

static void print_shape(Text *text, const uint64_t *shape, int rank) {
    text_addf(text, "[");
    for (int i = 0; i < rank; i++) text_addf(text, "%s%llu", i ? ", " : "", (unsigned long long)shape[i]);
    text_addf(text, "]");
}

static bool check_tensor(const Tensor *tensor, const uint64_t *shape, int rank, Error *err) {
    if (!dtype_is_float16_or_32(tensor->dtype)) {
        return error_set(
            err,
            "%s: tensor %s: elements of type %s cannot be used as weights; supported: F32, F16, BF16, F64, "
            "and matrices of F8_E4M3, F8_E5M2, I8 and U8",
            tensor->file, tensor->name, dtype_name(tensor->dtype));
    }
    bool same = tensor->rank == rank;
    for (int i = 0; same && i < rank; i++) same = tensor->shape[i] == shape[i];
    if (same) return true;
    Text text = {0};
    print_shape(&text, tensor->shape, tensor->rank);
    text_addf(&text, ", but config.json makes it ");
    print_shape(&text, shape, rank);
    error_set(err, "%s: tensor %s: its shape is %s", tensor->file, tensor->name, text.data ? text.data : "wrong");
    text_free(&text);
    return false;
}

// The tensor "<name><ending>" of the given shape, counted as parameters. `rank` 1: only shape[0].
static bool take_tensor(const Builder *builder, const char *name, const char *ending, const uint64_t *shape, int rank,
                        const Tensor **out) {
    char full[256];
    snprintf(full, sizeof full, "%s%s", name, ending);
    if (!stored_find(builder->out->stored, full, out, builder->err)) return false;
    if (!*out) {
        return checkpoint_whole(builder->out->checkpoint, builder->err) &&
               error_set(builder->err, "%s: tensor %s is missing", builder->out->checkpoint->folder, full);
    }
    builder->out->parameters += tensor_elements(*out);
    return check_tensor(*out, shape, rank, builder->err);
}

// ---- Building ----

// In a layer, or −1.
static size_t width_of(const ModelConfig *config, int layer, Width width) {
    const Recurrent *r = &config->recurrent;
    const size_t head_dim = (size_t)layer_head_dim(config, layer), streams = (size_t)config->altup.streams,
                 of_layer = (size_t)config->layer_inputs.width, values = (size_t)recurrent_values(r),
                 channels = (size_t)recurrent_channels(r);
    switch (width) {
    case WIDTH_QUERIES: return (size_t)config->heads * head_dim;
    case WIDTH_KEYS: return layer_key_width(config, layer);
    case WIDTH_QKV: return ((size_t)config->heads + 2 * (size_t)config->kv_heads) * head_dim;
    case WIDTH_FFN: return (size_t)layer_ffn(config, layer);
    case WIDTH_TWO_FFN: return 2 * (size_t)config->ffn;
    case WIDTH_ENCODER_FFN: return (size_t)config->pair.encoder_ffn;
    case WIDTH_HEAD_DIM: return head_dim;
    case WIDTH_EMBEDDING: return (size_t)(config->embedding_width ? config->embedding_width : config->hidden);
    case WIDTH_VOCAB: return (size_t)config->vocab;
    case WIDTH_EXPERTS: return (size_t)config->experts.count;
    case WIDTH_TWO_EXPERT_FFN: return 2 * (size_t)config->experts.ffn;
    case WIDTH_EXPERT_FFN: return (size_t)config->experts.ffn;
    case WIDTH_SHARED_FFN: return (size_t)config->experts.shared_ffn;
    case WIDTH_TWO_SHARED_FFN: return 2 * (size_t)config->experts.shared_ffn;
    case WIDTH_Q_LATENT: return (size_t)config->latent.q_rank;
    case WIDTH_KV_LATENT: return (size_t)config->latent.kv_rank;
    case WIDTH_KV_LATENT_AND_ROTATED: return (size_t)(config->latent.kv_rank + config->latent.rotated);
    case WIDTH_KEYS_AND_VALUES: return (size_t)config->heads * (size_t)(config->latent.plain + config->latent.value);
    case WIDTH_VALUES: return (size_t)config->heads * (size_t)config->latent.value;
    case WIDTH_LAYER_INPUT: return of_layer;
    case WIDTH_ALL_LAYER_INPUTS: return of_layer * (size_t)config->layers;
    case WIDTH_LAUREL: return (size_t)config->laurel_rank;
    case WIDTH_STREAMS: return streams;
    case WIDTH_STREAMS_SQUARED: return streams * streams;
    case WIDTH_ONE: return 1;
    case WIDTH_GATED_QUERIES: return 2 * (size_t)config->heads * head_dim;
    case WIDTH_THREE_HIDDEN: return 3 * (size_t)config->hidden;
    case WIDTH_RECURRENT_VALUES: return values;
    case WIDTH_RECURRENT_VALUE: return (size_t)r->value_dim;
    case WIDTH_RECURRENT_HEADS: return (size_t)r->heads;
    case WIDTH_TWO_RECURRENT_HEADS: return 2 * (size_t)r->heads;
    case WIDTH_CONVOLVED: return channels;
    case WIDTH_CONVOLVED_AND_Z: return channels + values;
    case WIDTH_CONVOLVED_Z_AND_STEPS: return channels + values + (size_t)r->heads;
    case WIDTH_HIDDEN: break;
    }
    return (size_t)config->hidden;
}

static bool has_bias(const ModelConfig *config, Bias bias) {
    switch (bias) {
    case BIAS_ATTENTION: return config->attention_bias;
    case BIAS_OUTPUT: return config->output_bias;
    case BIAS_MLP: return config->mlp_bias;
    case BIAS_RECURRENT: return config->recurrent.bias;
    case BIAS_NONE: break;
    }
    return false;
}

bool norm_applies(const ModelConfig *config, int layer, When when) {
    const bool two = config->parallel && !config->shared_norm, attends = !layer_is_in(&config->unattended, layer),
               remembers = layer_is_in(&config->recurrent.layers, layer);
    switch (when) {
    case WHEN_QK_NORM_HEADS: return attends && config->qk_norm == QK_NORM_HEADS;
    case WHEN_QK_NORM_WHOLE: return attends && config->qk_norm == QK_NORM_WHOLE;
    case WHEN_QK_NORM_ROTATED: return attends && config->qk_norm == QK_NORM_ROTATED;
    case WHEN_QK_NORM_EACH: return attends && config->qk_norm == QK_NORM_EACH;
    case WHEN_QK_NORM_APART: return attends && config->qk_norm == QK_NORM_APART;
    case WHEN_MIXING: return attends || remembers;
    case WHEN_MLP: return !layer_is_in(&config->without_mlp, layer);
    case WHEN_RECURRENT_NORM: return remembers && !config->recurrent.without_norm;
    case WHEN_Q_LATENT: return config->latent.q_rank > 0;
    case WHEN_NORM_BEFORE: return !config->no_norm_before;
    case WHEN_BRANCH_NORMS: return config->branch_norms;
    case WHEN_NORMS_AROUND: return config->branch_norms && !config->no_norm_before;
    case WHEN_MLP_NORM: return !config->branch_norms && !config->shared_norm;
    case WHEN_PARALLEL_TWO: return two;
    case WHEN_NOT_PARALLEL_TWO: return !two;
    case WHEN_SEQUENTIAL: return !config->parallel;
    case WHEN_LAYER_INPUTS: return config->layer_inputs.width > 0;
    case WHEN_BESIDE_EXPERTS: return config->experts.count > 0;
    case WHEN_ALWAYS: break;
    }
    return true;
}

static int *map_member(LayerMap *map, size_t offset) { return (int *)(void *)((char *)map + offset); }

// The number of the input that a slot's linears read; a new one when it has not been read yet.
static int input_of(Builder *builder, Slot slot) {
    if (slot == SLOT_MLP && builder->out->config.shared_norm) slot = SLOT_ATTENTION;
    if (builder->slots[slot] < 0) builder->slots[slot] = builder->out->input_count++;
    return builder->slots[slot];
}

static int fused_of(Builder *builder, FusedSet set) {
    if (set == FUSED_ALONE) return -1;
    if (builder->fused[set] < 0) builder->fused[set] = builder->fused_count++;
    return builder->fused[set];
}

// ---- Norms ----

// The name of something within a layer.
static void name_in_layer(const Builder *builder, int layer, const char *name, char *out, size_t size) {
    snprintf(out, size, "%s%s%d.%s", builder->prefix, builder->table->layer, layer - builder->first_layer, name);
}

// A tensor of the layer; NULL where its name is.
static bool take_in_layer(const Builder *builder, int layer, const char *name, const char *ending,
                          const uint64_t *shape, int rank, const Tensor **out) {
    char full[160];
    if (!name) return true;
    name_in_layer(builder, layer, name, full, sizeof full);
    return take_tensor(builder, full, ending, shape, rank, out);
}

// The same of a vector.
static bool take_vector(const Builder *builder, int layer, const char *name, size_t width, const Tensor **out) {
    return take_in_layer(builder, layer, name, "", (const uint64_t[]){width}, 1, out);
}

// Its gain is the tensor "<name><ending>": [heads, width], or [width] where heads is 0. −1 when it fails.
static int add_norm_of(Builder *builder, int layer, const char *name, const char *ending, size_t heads, size_t width,
                       bool bias, int input) {
    ModelStructure *out = builder->out;
    if (!array_grow(&out->norms, (size_t)out->norm_count, &builder->norm_capacity, sizeof *out->norms)) {
        error_memory(builder->err, name);
        return -1;
    }
    Norm *norm = &out->norms[out->norm_count];
    *norm = (Norm){.name = strdup(name), .layer = layer, .input = input, .heads = heads ? (int)heads : 1};
    if (!norm->name) {
        error_memory(builder->err, name);
        return -1;
    }
    out->norm_count++;
    const uint64_t both[] = {heads, width}, *shape = heads ? both : both + 1;
    const int rank = heads ? 2 : 1;
    bool ok = take_tensor(builder, name, ending, shape, rank, &norm->gain) &&
              (!bias || take_tensor(builder, name, ".bias", shape, rank, &norm->bias));
    return ok ? out->norm_count - 1 : -1;
}

static int add_named_norm(Builder *builder, int layer, const char *name, const char *ending, Width width, int input) {
    const ModelConfig *config = &builder->out->config;
    const bool bias = norm_is_centred(config->norm) && !config->norm_without_bias;
    return add_norm_of(builder, layer, name, ending, 0, width_of(config, layer, width), bias, input);
}

static int add_norm(Builder *builder, int layer, const char *name, Width width, int input) {
    return add_named_norm(builder, layer, name, ".weight", width, input);
}

// A norm of q or k with weights for every head, in one tensor or in as many as there are heads.
static int add_head_norms(Builder *builder, int layer, const NormRow *row, const char *name) {
    const ModelConfig *config = &builder->out->config;
    const size_t heads = (size_t)(row->offset == offsetof(LayerMap, q_norm) ? config->heads : config->kv_heads),
                 width = width_of(config, layer, row->width);
    const int first = builder->out->norm_count;
    if (config->qk_norm != QK_NORM_APART) return add_norm_of(builder, layer, name, ".weight", heads, width, false, -1);
    for (size_t head = 0; head < heads; head++) {
        char own[160];
        snprintf(own, sizeof own, "%s.%zu", name, head);
        if (add_norm_of(builder, layer, own, ".weight", 0, width, false, -1) < 0) return -1;
    }
    builder->out->norms[first].heads = (int)heads;
    return first;
}

// Whether what a norm gives is read by linears alone, so that scales can move into it.
static bool norms_feed_linears(const ModelConfig *config) { return !config->norm_after && !config->residual_from_norm; }

// Laurel adds what the first norm gives, too.
static bool norm_feeds_linears(const ModelConfig *config, Slot slot) {
    return norms_feed_linears(config) && !(slot == SLOT_ATTENTION && config->laurel_rank > 0);
}

// Whether the layer has none since its keys are another's.
static bool norm_is_shared(const ModelConfig *config, int layer, const NormRow *row) {
    return row->offset == offsetof(LayerMap, k_norm) && layer_shares(config, layer);
}

// Whether its name is that of the gain itself.
static bool is_bare(const NormRow *row) { return row->offset == offsetof(LayerMap, router_norm); }

// What routers read is divided by the width, or by its root.
static float norm_factor(const ModelConfig *config, const NormRow *row) {
    const float hidden = (float)config->hidden;
    return row->offset == offsetof(LayerMap, router_norm)     ? 1 / sqrtf(hidden)
           : row->offset == offsetof(LayerMap, modality_norm) ? 1 / hidden
                                                              : 0;
}

#define LATENT_EPS 1e-6F // whatever the configuration says of the others

static bool add_layer_norms(Builder *builder, int layer) {
    LayerMap *map = &builder->out->layers[layer];
    const ModelConfig *config = &builder->out->config;
    for (const NormRow *row = builder->table->norms; row->name; row++) {
        if (config->bare_norms || !norm_applies(config, layer, row->when) || norm_is_shared(config, layer, row))
            continue;
        char name[128];
        name_in_layer(builder, layer, row->name, name, sizeof name);
        bool feeds = row->slot != SLOT_NONE && norm_feeds_linears(config, row->slot);
        const bool by_head = row->when == WHEN_QK_NORM_EACH || row->when == WHEN_QK_NORM_APART;
        int index = by_head ? add_head_norms(builder, layer, row, name)
                            : add_named_norm(builder, layer, name, is_bare(row) ? "" : ".weight", row->width,
                                             feeds ? input_of(builder, row->slot) : -1);
        if (index < 0) return false;
        if (row->slot == SLOT_Q_LATENT || row->slot == SLOT_KV_LATENT) builder->out->norms[index].eps = LATENT_EPS;
        builder->out->norms[index].factor = norm_factor(config, row);
        builder->out->norms[index].plain = row->when == WHEN_RECURRENT_NORM;
        *map_member(map, row->offset) = index;
    }
    if (config->shared_norm) map->mlp_norm = map->attention_norm;
    return true;
}

// ---- Linears ----

static bool take_transposed(Builder *builder, Linear *linear) {
    uint64_t stored_shape[] = {linear->in, linear->out};
    const Tensor *stored;
    return take_tensor(builder, linear->name, ".weight", stored_shape, 2, &stored) &&
           stored_transposed(builder->out->stored, stored, &linear->weight, builder->err);
}

// Packed codes tell where out and in are: nothing needs to be transposed.
static bool is_packed(const Builder *builder, const Linear *linear) {
    char name[256];
    snprintf(name, sizeof name, "%s.weight", linear->name);
    return !checkpoint_find(builder->out->checkpoint, name) && stored_has(builder->out->checkpoint, name);
}

static bool take_weights(Builder *builder, Linear *linear, bool bias) {
    uint64_t shape[] = {linear->out, linear->in};
    if (linear->transposed && is_packed(builder, linear)) linear->transposed = false;
    bool ok = linear->transposed ? take_transposed(builder, linear)
                                 : take_tensor(builder, linear->name, ".weight", shape, 2, &linear->weight);
    return ok && (!bias || take_tensor(builder, linear->name, ".bias", shape, 1, &linear->bias));
}

// Adds a linear with everything but its tensors; NULL when memory is short.
static Linear *add_linear(Builder *builder, int layer, const char *name, LinearRole role, Width out_width,
                          Width in_width) {
    ModelStructure *out = builder->out;
    if (array_grow(&out->linears, (size_t)out->linear_count, &builder->linear_capacity, sizeof *out->linears)) {
        Linear *linear = &out->linears[out->linear_count];
        *linear = (Linear){.name = strdup(name),
                           .role = role,
                           .layer = layer,
                           .expert = -1,
                           .out = width_of(&out->config, layer, out_width),
                           .in = width_of(&out->config, layer, in_width),
                           .fused_set = -1,
                           .quantizable = role != ROLE_HEAD && role != ROLE_ROUTER && role != ROLE_OTHER};
        if (linear->name) {
            out->linear_count++;
            return linear;
        }
    }
    error_memory(builder->err, name);
    return NULL;
}

static bool add_row(Builder *builder, int layer, const LinearRow *row) {
    ModelStructure *out = builder->out;
    char name[160];
    name_in_layer(builder, layer, row->name, name, sizeof name);
    *map_member(&out->layers[layer], row->offset) = out->linear_count;
    Linear *linear = add_linear(builder, layer, name, row->role, row->out, row->in);
    if (!linear) return false;
    linear->stack = builder->stack;
    linear->number = layer - builder->first_layer;
    linear->input = input_of(builder, row->slot);
    linear->fused_set = fused_of(builder, row->fused);
    linear->transposed = builder->table->transposed;
    return take_weights(builder, linear, has_bias(&out->config, row->bias));
}

// Keys and values that nobody reads stand in some files all the same. They go with q, so that all three are alike.
static bool is_in_file(const Builder *builder, int layer, const char *name) {
    char full[160], within[128];
    snprintf(within, sizeof within, "%s.weight", name);
    name_in_layer(builder, layer, within, full, sizeof full);
    return stored_has(builder->out->checkpoint, full);
}

// Linears that not every layer has: its keys and values may be another's, or its values keys.
static bool has_row(const Builder *builder, int layer, const LinearRow *row) {
    const ModelConfig *config = &builder->out->config;
    if (row->out == WIDTH_LAYER_INPUT || row->in == WIDTH_LAYER_INPUT) return config->layer_inputs.width > 0;
    if (row->role != ROLE_K && row->role != ROLE_V) return true;
    const bool is_key = row->role == ROLE_V && config->full_values_are_keys && !layer_is_in(&config->windowed, layer);
    if (layer_shares(config, layer)) return is_in_file(builder, layer, row->name);
    return !is_key;
}

static bool add_rows(Builder *builder, int layer, const LinearRow *rows) {
    for (; rows->name; rows++) {
        if (has_row(builder, layer, rows) && !add_row(builder, layer, rows)) return false;
    }
    return true;
}

// ---- Experts ----

// One linear of one expert, without its weight. Its input is its own: only the tokens that the router sends there.
static Linear *add_expert_linear(Builder *builder, int layer, int expert, const char *name, LinearRole role,
                                 int input) {
    const bool down = role == ROLE_DOWN;
    const Width inner = role == ROLE_GATE_UP ? WIDTH_TWO_EXPERT_FFN : WIDTH_EXPERT_FFN;
    char full[160], within[128];
    snprintf(within, sizeof within, "%s.%d.%s", builder->table->experts->experts, expert, name);
    name_in_layer(builder, layer, within, full, sizeof full);
    Linear *linear = add_linear(builder, layer, full, role, down ? WIDTH_HIDDEN : inner, down ? inner : WIDTH_HIDDEN);
    if (!linear) return NULL;
    linear->number = layer;
    linear->expert = expert;
    linear->input = input;
    return linear;
}

static bool add_own_linear(Builder *builder, int layer, int expert, const char *name, LinearRole role, int input,
                           int fused) {
    Linear *linear = add_expert_linear(builder, layer, expert, name, role, input);
    if (!linear) return false;
    linear->fused_set = fused;
    return take_weights(builder, linear, false);
}

static bool add_expert(Builder *builder, int layer, int expert) {
    const ExpertNames *names = builder->table->experts;
    int input = builder->out->input_count, fused = names->gate ? builder->fused_count++ : -1;
    builder->out->input_count += 2;
    return (!names->gate || add_own_linear(builder, layer, expert, names->gate, ROLE_GATE, input, fused)) &&
           add_own_linear(builder, layer, expert, names->up, ROLE_UP, input, fused) &&
           add_own_linear(builder, layer, expert, names->down, ROLE_DOWN, input + 1, -1);
}

// The tensor of all experts: a parameter, the weight of a module, or blocks of MXFP4.
static const Tensor *stacked_tensor(const Checkpoint *checkpoint, const char *name) {
    static const char *const endings[] = {"", ".weight", "_blocks"};
    const Tensor *found = NULL;
    for (size_t i = 0; !found && i < sizeof endings / sizeof *endings; i++) {
        char full[160];
        snprintf(full, sizeof full, "%s%s", name, endings[i]);
        found = checkpoint_find(checkpoint, full);
    }
    return found;
}

// The row of a stacked bias that belongs to this expert.
static bool take_stacked_bias(Builder *builder, const char *name, Linear *linear) {
    const uint64_t shape[] = {(uint64_t)builder->out->config.experts.count, linear->out};
    char full[160];
    const Tensor *bias;
    if (!builder->out->config.mlp_bias) return true;
    snprintf(full, sizeof full, "%s_bias", name);
    return take_tensor(builder, full, "", shape, 2, &bias) &&
           stored_row(builder->out->stored, bias, (size_t)linear->expert, &linear->bias, builder->err);
}

// The matrix of a stacked tensor that belongs to this expert.
static bool take_stacked(Builder *builder, const char *name, Linear *linear) {
    const ModelStructure *out = builder->out;
    const Tensor *tensor = stacked_tensor(out->checkpoint, name);
    ExpertLayout layout;
    if (!tensor)
        return checkpoint_whole(out->checkpoint, builder->err) &&
               error_set(builder->err, "%s: tensor %s is missing", out->checkpoint->folder, name);
    if (!tensor_experts(out->checkpoint, tensor, &layout) || layout.count != (size_t)out->config.experts.count ||
        layout.out != linear->out || layout.in != linear->in)
        return error_set(builder->err, "%s: tensor %s: its shape is not that of %d experts, each [%zu, %zu]",
                         tensor->file, tensor->name, out->config.experts.count, linear->out, linear->in);
    linear->transposed = layout.transposed;
    builder->out->parameters += linear->out * linear->in;
    return stored_experts_known(out->stored, tensor, &layout, builder->err) &&
           stored_expert(out->stored, tensor, &layout, (size_t)linear->expert, linear->name, &linear->weight,
                         builder->err) &&
           take_stacked_bias(builder, name, linear);
}

static bool add_stacked_linear(Builder *builder, int layer, int expert, const char *name, LinearRole role, int input) {
    char stacked[160], within[128];
    snprintf(within, sizeof within, "%s.%s", builder->table->experts->experts, name);
    name_in_layer(builder, layer, within, stacked, sizeof stacked);
    Linear *linear = add_expert_linear(builder, layer, expert, name, role, input);
    return linear && take_stacked(builder, stacked, linear);
}

static bool add_stacked_expert(Builder *builder, int layer, int expert) {
    const ExpertNames *names = builder->table->experts;
    const int input = builder->out->input_count;
    builder->out->input_count += 2;
    return add_stacked_linear(builder, layer, expert, names->gate_up, ROLE_GATE_UP, input) &&
           add_stacked_linear(builder, layer, expert, names->down, ROLE_DOWN, input + 1);
}

static bool take_router_bias(Builder *builder, int layer) {
    const Experts *experts = &builder->out->config.experts;
    const ExpertNames *names = builder->table->experts;
    const uint64_t row[] = {1, (uint64_t)experts->count}, *shape = names->bias_is_row ? row : row + 1;
    return !experts->biased || take_in_layer(builder, layer, names->bias, "", shape, names->bias_is_row ? 2 : 1,
                                             &builder->out->layers[layer].router_bias);
}

// Some files have what others stack.
static void find_stacked(Builder *builder, int layer) {
    const ExpertNames *names = builder->table->experts;
    Experts *experts = &builder->out->config.experts;
    char name[160], full[200];
    name_in_layer(builder, layer, names->experts, name, sizeof name);
    snprintf(full, sizeof full, "%s.%s", name, names->gate_up ? names->gate_up : "");
    if (names->gate_up && names->gate && checkpoint_find(builder->out->checkpoint, full))
        experts->stacked = experts->halves = true;
}

static bool add_experts(Builder *builder, int layer) {
    const ExpertNames *names = builder->table->experts;
    const Experts *experts = &builder->out->config.experts;
    const Slot slot = experts->beside ? SLOT_ROUTER : SLOT_MLP;
    const LinearRow router = {names->router,      ROLE_ROUTER, WIDTH_EXPERTS, WIDTH_HIDDEN,
                              names->router_bias, slot,        FUSED_ALONE,   offsetof(LayerMap, router)};
    if (experts->beside && !add_rows(builder, layer, builder->table->mlp)) return false;
    if (!add_row(builder, layer, &router) || !take_router_bias(builder, layer) ||
        !take_vector(builder, layer, names->scale, (size_t)experts->count, &builder->out->layers[layer].expert_scale))
        return false;
    find_stacked(builder, layer);
    builder->out->layers[layer].first_expert = builder->out->linear_count;
    for (int expert = 0; expert < experts->count; expert++) {
        if (!(experts->stacked ? add_stacked_expert : add_expert)(builder, layer, expert)) return false;
    }
    return !names->shared || !experts->shared_ffn || add_rows(builder, layer, names->shared);
}

// ---- Folds (docs/methods.md) ----

static void add_fold(ModelStructure *out, int linear, FoldKind kind, int index) {
    if (linear < 0 || index < 0) return;
    out->linears[linear].fold = kind;
    out->linears[linear].fold_index = index;
}

// The first of two linears that this layer has.
static int fused_or_apart(int fused, int apart) { return fused >= 0 ? fused : apart; }

// The last linear of an expert, and the rows before it where a factor passes through what is between them.
static void fold_experts(ModelStructure *out, const LayerMap *map) {
    const Experts *e = &out->config.experts;
    const bool gated = out->config.activation != NONLINEARITY_SWIGLU_OAI && !e->ungated;
    const int linears = e->stacked || e->ungated ? 2 : 3;
    for (int i = 0; gated && i < e->count; i++) {
        const int down = map->first_expert + linears * (i + 1) - 1;
        add_fold(out, down, FOLD_LINEAR_ROWS, down - 1);
    }
}

// What a router and experts read is left alone: each sees other tokens, so no one factor suits all readers of the norm.
static void set_folds(ModelStructure *out, const LayerMap *map) {
    const bool gated = map->gate >= 0 || map->gate_up >= 0;
    if (norms_feed_linears(&out->config)) {
        const int attention[] = {map->qkv, map->q, map->k, map->v}, mlp[] = {map->gate_up, map->gate, map->up};
        const bool alone = norm_feeds_linears(&out->config, SLOT_ATTENTION);
        for (int i = 0; i < 4 && alone; i++) add_fold(out, attention[i], FOLD_NORM, map->attention_norm);
        for (int i = 0; i < 3; i++) add_fold(out, mlp[i], FOLD_NORM, map->mlp_norm);
        const int reading[] = {map->in, map->z, map->rates, map->steps};
        for (int i = 0; i < 4; i++) add_fold(out, reading[i], FOLD_NORM, map->attention_norm);
        add_fold(out, map->q_a, FOLD_NORM, map->attention_norm);
        add_fold(out, map->kv_a, FOLD_NORM, map->attention_norm);
        add_fold(out, map->q_b, FOLD_NORM, map->q_latent_norm);
        add_fold(out, map->kv_b, FOLD_NORM, map->kv_latent_norm);
        add_fold(out, map->cross_q, FOLD_NORM, map->cross_norm);
        add_fold(out, map->cross_k, FOLD_NORM, out->encoder.final_norm);
        add_fold(out, map->cross_v, FOLD_NORM, out->encoder.final_norm);
    }
    // Columns have a gain of their own where heads do not share one.
    if (map->recurrent_norm >= 0 && out->norms[map->recurrent_norm].input >= 0)
        add_fold(out, map->out, FOLD_NORM, map->recurrent_norm);
    if (out->config.recurrent.kind == RECURRENT_CONVOLUTION) add_fold(out, map->out, FOLD_LINEAR_ROWS, map->in);
    add_fold(out, map->cross_o, FOLD_LINEAR_ROWS, map->cross_v);
    if (out->config.qkv_limit == 0 && !out->config.value_norm)
        add_fold(out, map->o, FOLD_LINEAR_ROWS, fused_or_apart(map->qkv, map->v));
    add_fold(out, map->laurel_right, FOLD_LINEAR_ROWS, map->laurel_left);
    if (gated || out->config.activation == NONLINEARITY_RELU)
        add_fold(out, map->down, FOLD_LINEAR_ROWS, fused_or_apart(map->gate_up, map->up));
    if (map->shared_gate >= 0 || map->shared_gate_up >= 0)
        add_fold(out, map->shared_down, FOLD_LINEAR_ROWS, fused_or_apart(map->shared_gate_up, map->shared_up));
    if (map->router >= 0) fold_experts(out, map);
}

// ---- The whole ----

// Vectors of a layer that are neither gains nor biases.
static bool take_vectors(Builder *builder, int layer) {
    const ModelConfig *config = &builder->out->config;
    const LayoutTable *table = builder->table;
    LayerMap *map = &builder->out->layers[layer];
    const char *correction = config->altup.scaled ? table->correction : NULL;
    return take_vector(builder, layer, table->sinks, (size_t)config->heads, &map->sinks) &&
           take_vector(builder, layer, table->scalar, 1, &map->scalar) &&
           take_vector(builder, layer, correction, (size_t)config->hidden, &map->correction_scale);
}

// Layers of an encoder keep nothing.
static void place_keys(ModelStructure *out, int layer) {
    const ModelConfig *config = &out->config;
    LayerMap *map = &out->layers[layer];
    map->keys_of = layer_shares(config, layer) ? shared_layer(config, layer_is_in(&config->windowed, layer)) : layer;
    map->cache = layer_is_full(config, layer);
    if (map->keys_of != layer)
        map->cache_at = out->layers[map->keys_of].cache_at;
    else if (layer >= config->pair.encoder_layers && !layer_is_in(&config->unattended, layer))
        map->cache_at = out->cached_layers[map->cache]++;
}

static bool take_xielu(Builder *builder, int layer) {
    const uint64_t one[] = {1};
    LayerMap *map = &builder->out->layers[layer];
    const char *name = builder->out->config.xielu ? builder->table->xielu : NULL;
    return take_in_layer(builder, layer, name, ".alpha_p", one, 1, &map->xielu_positive) &&
           take_in_layer(builder, layer, name, ".alpha_n", one, 1, &map->xielu_negative) &&
           take_in_layer(builder, layer, name, ".beta", NULL, 0, &map->xielu_linear);
}

// What a layer remembers with, beside its linears.
static bool add_recurrent(Builder *builder, int layer) {
    const Recurrent *r = &builder->out->config.recurrent;
    const RecurrentNames *names = builder->table->recurrent;
    LayerMap *map = &builder->out->layers[layer];
    const uint64_t weight[] = {(uint64_t)recurrent_channels(r), 1, (uint64_t)r->taps}, heads[] = {(uint64_t)r->heads};
    const char *biased = r->convolution_bias ? names->convolution : NULL;
    map->remembered = builder->remembered++;
    return add_rows(builder, layer, names->linears) &&
           take_in_layer(builder, layer, names->convolution, ".weight", weight, 3, &map->convolution) &&
           take_in_layer(builder, layer, biased, ".bias", weight, 1, &map->convolution_bias) &&
           take_in_layer(builder, layer, names->decay, "", heads, 1, &map->decay) &&
           take_in_layer(builder, layer, names->offset, "", heads, 1, &map->offset) &&
           take_in_layer(builder, layer, names->skip, "", heads, 1, &map->skip);
}

static bool add_mlp(Builder *builder, int layer) {
    const bool experts = builder->table->experts && layer_is_in(&builder->out->config.experts.layers, layer);
    return experts ? add_experts(builder, layer) : add_rows(builder, layer, builder->table->mlp);
}

static bool add_layer(Builder *builder, int layer) {
    ModelStructure *out = builder->out;
    LayerMap *map = &out->layers[layer];
    memset(map, 0xFF, offsetof(LayerMap, sinks)); // −1; the tensors from there on stay NULL
    place_keys(out, layer);
    memset(builder->slots, 0xFF, sizeof builder->slots);
    memset(builder->fused, 0xFF, sizeof builder->fused);
    builder->slots[SLOT_SOURCE] = builder->source;
    const ModelConfig *config = &out->config;
    bool ok = (!layer_is_in(&config->recurrent.layers, layer) || add_recurrent(builder, layer)) &&
              (layer_is_in(&config->unattended, layer) || add_rows(builder, layer, builder->table->attention)) &&
              (!builder->table->cross || add_rows(builder, layer, builder->table->cross)) &&
              (layer_is_in(&config->without_mlp, layer) || add_mlp(builder, layer)) &&
              (!builder->table->more || add_rows(builder, layer, builder->table->more)) &&
              add_layer_norms(builder, layer) && take_vectors(builder, layer) && take_xielu(builder, layer);
    if (ok) set_folds(out, map);
    return ok;
}

// A linear outside the layers; only the head may have a bias. `input` < 0: an input of its own.
static int add_outer(Builder *builder, const char *name, LinearRole role, Width out_width, Width in_width, int input,
                     const Tensor *tied) {
    Linear *linear = add_linear(builder, -1, name, role, out_width, in_width);
    if (!linear) return -1;
    linear->input = input >= 0 ? input : builder->out->input_count++;
    linear->weight = tied;
    const bool bias = role == ROLE_HEAD && builder->out->config.head_bias;
    return tied || take_weights(builder, linear, bias) ? builder->out->linear_count - 1 : -1;
}

// The bias of the head is one row of a matrix.
static bool take_head_bias(Builder *builder) {
    const char *name = builder->table->head_bias;
    const uint64_t shape[] = {1, (uint64_t)builder->out->config.vocab};
    const Tensor *row;
    if (!name || !checkpoint_find(builder->out->checkpoint, name)) return true;
    return take_tensor(builder, name, "", shape, 2, &row) &&
           stored_row(builder->out->stored, row, 0, &builder->out->linears[builder->out->head].bias, builder->err);
}

static const char *head_name(const Builder *builder) {
    const char *const *names = builder->table->heads;
    for (int i = 0; names[i]; i++) {
        char full[128];
        snprintf(full, sizeof full, "%s.weight", names[i]);
        if (stored_has(builder->out->checkpoint, full)) return names[i];
    }
    return names[0];
}

// As the file has them. Codes mean nothing without their scales; F64 is made into F32 before it is read, but has none.
static bool same_numbers(const Tensor *a, const Tensor *b) {
    const Tensor *x = tensor_in_file(a), *y = tensor_in_file(b);
    const bool plain = (!a->made && !b->made) || (x->dtype == DTYPE_F64 && y->dtype == DTYPE_F64);
    return plain && x->dtype == y->dtype && x->bytes == y->bytes && memcmp(x->data, y->data, x->bytes) == 0;
}

// The tensor that serves as embedding and head, or NULL. A file whose head has numbers of its own is believed, whatever
// config.json says: as transformers 5 does.
static bool find_tied(const Builder *builder, const Tensor **out) {
    ModelStructure *structure = builder->out;
    const Tensor *head = NULL;
    char name[128];
    snprintf(name, sizeof name, "%s.weight", head_name(builder));
    *out = NULL;
    if (!structure->config.tied_head) return true;
    if (stored_has(structure->checkpoint, name) && !stored_find(structure->stored, name, &head, builder->err))
        return false;
    structure->head_untied = head && !same_numbers(head, structure->embedding);
    if (!structure->head_untied) *out = structure->embedding;
    return true;
}

// The norm behind the layers of a stack, whose result is `input`.
static bool add_final_norm(Builder *builder, int layer, int input, StackEnds *ends) {
    char name[128];
    if (builder->out->config.no_final_norm || builder->out->config.bare_norms) return true;
    snprintf(name, sizeof name, "%s%s", builder->prefix, builder->table->final_norm);
    return (ends->final_norm = add_norm(builder, layer, name, WIDTH_HIDDEN, input)) >= 0;
}

// The head keeps FOLD_NONE: scaling the final norm is exact too, but the head is left alone.
static bool add_head(Builder *builder) {
    ModelStructure *out = builder->out;
    char name[128];
    int input = out->input_count++;
    if (!add_final_norm(builder, -1, input, &out->ends)) return false;
    if (out->project_in >= 0) {
        snprintf(name, sizeof name, "%sproject_out", builder->prefix);
        out->project_out = add_outer(builder, name, ROLE_OTHER, WIDTH_EMBEDDING, WIDTH_HIDDEN, input, NULL);
        if (out->project_out < 0) return false;
        input = -1;
    }
    const Tensor *tied;
    if (!find_tied(builder, &tied)) return false;
    out->head = add_outer(builder, head_name(builder), ROLE_HEAD, WIDTH_VOCAB, WIDTH_EMBEDDING, input, tied);
    return out->head >= 0 && take_head_bias(builder);
}

// The name under which the file has the embedding; the first where it has none.
static const char *embedding_name(const Builder *builder) {
    const LayoutTable *table = builder->table;
    const char *const names[] = {table->embedding, table->copies[0], table->copies[1], NULL};
    for (int i = 0; names[i]; i++) {
        char full[160];
        snprintf(full, sizeof full, "%s%s.weight", builder->prefix, names[i]);
        if (stored_has(builder->out->checkpoint, full)) return names[i];
    }
    return table->embedding;
}

// What a linear reads before the first layer. It counts as part of that layer.
static bool add_embedding(Builder *builder) {
    ModelStructure *out = builder->out;
    const ModelConfig *config = &out->config;
    const size_t width = width_of(config, -1, WIDTH_EMBEDDING), hidden = (size_t)config->hidden;
    uint64_t shape[] = {(uint64_t)config->vocab, width};
    char name[128];
    snprintf(name, sizeof name, "%s%s", builder->prefix, embedding_name(builder));
    char full[160];
    snprintf(full, sizeof full, "%s.weight", name);
    bool is_head = config->tied_head && !stored_has(out->checkpoint, full); // one of the two is enough
    if (!take_tensor(builder, is_head ? head_name(builder) : name, ".weight", shape, 2, &out->embedding)) return false;
    if (width == hidden) return true;
    snprintf(name, sizeof name, "%sproject_in", builder->prefix);
    out->project_in = add_outer(builder, name, ROLE_OTHER, WIDTH_HIDDEN, WIDTH_EMBEDDING, -1, NULL);
    if (out->project_in < 0) return false;
    out->linears[out->project_in].layer = 0;
    return true;
}

// Inputs of layers' own, and further streams of a token. What makes them counts as part of the first layer.
static bool add_layer_inputs(Builder *builder) {
    ModelStructure *out = builder->out;
    const ModelConfig *config = &out->config;
    const uint64_t shape[] = {(uint64_t)config->layer_inputs.vocab, width_of(config, -1, WIDTH_ALL_LAYER_INPUTS)};
    char name[128];
    if (config->layer_inputs.width == 0) return true;
    snprintf(name, sizeof name, "%sembed_tokens_per_layer", builder->prefix);
    if (!take_tensor(builder, name, ".weight", shape, 2, &out->layer_embedding)) return false;
    snprintf(name, sizeof name, "%sper_layer_model_projection", builder->prefix);
    out->layer_projection = add_outer(builder, name, ROLE_OTHER, WIDTH_ALL_LAYER_INPUTS, WIDTH_HIDDEN, -1, NULL);
    if (out->layer_projection < 0) return false;
    out->linears[out->layer_projection].layer = 0;
    snprintf(name, sizeof name, "%sper_layer_projection_norm", builder->prefix);
    return (out->layer_projection_norm = add_norm(builder, -1, name, WIDTH_LAYER_INPUT, -1)) >= 0;
}

// One linear for each stream but the first, of input `input`, or each of an input of its own; `layer` is where they
// run.
static bool add_streams(Builder *builder, const char *what, int input, int layer, int *first) {
    ModelStructure *out = builder->out;
    for (int stream = 1; stream < out->config.altup.streams; stream++) {
        char name[128];
        snprintf(name, sizeof name, "%s%s.%d", builder->prefix, what, stream - 1);
        const int linear = add_outer(builder, name, ROLE_OTHER, WIDTH_HIDDEN, WIDTH_HIDDEN, input, NULL);
        if (linear < 0) return false;
        out->linears[linear].layer = layer;
        if (stream == 1) *first = linear;
    }
    return true;
}

// Many files hold sinusoids, too, and those count then, rounded as they are.
static bool has_position_rows(const Builder *builder, const char *name) {
    char full[160];
    snprintf(full, sizeof full, "%s.weight", name);
    const Positions kind = builder->out->config.positions;
    return kind == POSITIONS_LEARNED || (kind == POSITIONS_SINUSOID && stored_has(builder->out->checkpoint, full));
}

// What stands between the embedding and the first layer of a stack.
static bool add_positions(Builder *builder, StackEnds *ends) {
    const ModelConfig *config = &builder->out->config;
    const LayoutTable *table = builder->table;
    const uint64_t positions[] = {(uint64_t)config->max_positions + (uint64_t)config->position_offset,
                                  (uint64_t)config->hidden},
                   relative[] = {(uint64_t)config->pair.relative_buckets, (uint64_t)config->heads};
    char name[128];
    snprintf(name, sizeof name, "%s%s", builder->prefix, table->positions ? table->positions : "");
    if (has_position_rows(builder, name) && !take_tensor(builder, name, ".weight", positions, 2, &ends->position_rows))
        return false;
    if (config->positions == POSITIONS_RELATIVE) {
        name_in_layer(builder, builder->first_layer, table->relative, name, sizeof name);
        if (!take_tensor(builder, name, ".weight", relative, 2, &ends->relative)) return false;
    }
    if (!config->embedding_norm) return true;
    snprintf(name, sizeof name, "%s%s", builder->prefix, table->embedding_norm);
    return (ends->embedding_norm = add_norm(builder, -1, name, WIDTH_HIDDEN, -1)) >= 0;
}

static bool has_prefix(Builder *builder, const char *tensor) {
    for (const char *const *prefix = builder->table->prefixes; *prefix; prefix++) {
        char name[128];
        snprintf(name, sizeof name, "%s%s.weight", *prefix, tensor);
        builder->prefix = *prefix;
        if (stored_has(builder->out->checkpoint, name)) return true;
    }
    return false;
}

// Some files were saved from the model without its head, and then lack the prefix. Some have the head alone of what is
// tied, and then the norm before it tells.
static bool find_prefix(Builder *builder) {
    const LayoutTable *table = builder->table;
    char head[128];
    snprintf(head, sizeof head, "%s.weight", head_name(builder));
    if (has_prefix(builder, table->embedding)) return true;
    for (int i = 0; table->copies[i]; i++)
        if (has_prefix(builder, table->copies[i])) return true;
    if (builder->out->config.tied_head && stored_has(builder->out->checkpoint, head) &&
        has_prefix(builder, table->final_norm))
        return true;
    return checkpoint_whole(builder->out->checkpoint, builder->err) &&
           error_set(builder->err, "%s: tensor %s%s.weight is missing: this is not a checkpoint of a %s model",
                     builder->out->checkpoint->folder, table->prefixes[0], table->embedding,
                     builder->out->config.family);
}

static bool add_layers(Builder *builder, int first, int last) {
    for (int layer = first; layer < last; layer++) {
        if (!add_layer(builder, layer)) return false;
    }
    return true;
}

// The layers of the encoder. What they give is read by all layers of the decoder.
static bool add_encoder(Builder *builder) {
    const LayoutTable *whole = builder->table;
    const int layers = builder->out->config.pair.encoder_layers;
    builder->table = whole->encoder;
    builder->stack = 'e';
    bool ok = add_positions(builder, &builder->out->encoder) && add_layers(builder, 0, layers);
    builder->source = builder->out->input_count++;
    ok = ok && add_final_norm(builder, layers - 1, builder->source, &builder->out->encoder);
    builder->table = whole;
    builder->stack = 'd';
    builder->first_layer = layers;
    return ok;
}

// They read the embedding, as the layers' inputs do.
static bool enter_streams(Builder *builder) {
    ModelStructure *out = builder->out;
    if (out->config.altup.streams < 2) return true;
    const int input = out->layer_projection >= 0 ? out->linears[out->layer_projection].input : out->input_count++;
    return add_streams(builder, "altup_projections", input, 0, &out->first_stream);
}

static bool build_all(Builder *builder) {
    ModelStructure *out = builder->out;
    const ModelConfig *config = &out->config;
    size_t layers = (size_t)config->layers;
    if (!find_prefix(builder)) return false;
    out->layers = array_new(layers, sizeof *out->layers);
    if (!out->layers) return error_memory(builder->err, "the list of linears");
    const bool entered = add_embedding(builder) && add_layer_inputs(builder) && enter_streams(builder);
    return entered && (!builder->table->encoder || add_encoder(builder)) && add_positions(builder, &out->ends) &&
           add_layers(builder, builder->first_layer, config->layers) &&
           add_streams(builder, "altup_unembed_projections", -1, config->layers - 1, &out->last_stream) &&
           add_head(builder);
}

bool structure_build(const Checkpoint *checkpoint, const ModelConfig *config, ModelStructure *out, Error *err) {
    *out = (ModelStructure){.config = *config,
                            .checkpoint = checkpoint,
                            .head = -1,
                            .project_in = -1,
                            .project_out = -1,
                            .layer_projection = -1,
                            .layer_projection_norm = -1,
                            .first_stream = -1,
                            .last_stream = -1,
                            .ends = {.embedding_norm = -1, .final_norm = -1},
                            .encoder = {.embedding_norm = -1, .final_norm = -1}};
    Builder builder = {.out = out, .source = -1, .err = err};
    bool ok = stored_open(checkpoint, &out->stored, err);
    if (ok && config->not_run[0]) {
        ok = structure_list(out, err);
    } else if (ok) {
        builder.table = layout_table(config->layout);
        ok = build_all(&builder);
    }
    ok = ok && structure_count_rest(out, err);
    if (!ok) structure_free(out);
    return ok;
}

void structure_free(ModelStructure *structure) {
    for (int i = 0; i < structure->linear_count; i++) free(structure->linears[i].name);
    for (int i = 0; i < structure->norm_count; i++) free(structure->norms[i].name);
    free(structure->linears);
    free(structure->norms);
    free(structure->layers);
    free(structure->rest);
    stored_close(structure->stored);
    *structure = (ModelStructure){0};
}

int structure_find(const ModelStructure *structure, const char *linear_name) {
    for (int i = 0; i < structure->linear_count; i++) {
        if (strcmp(structure->linears[i].name, linear_name) == 0) return i;
    }
    return -1;
}

const char *structure_stored(const ModelStructure *structure) {
    const char *found = NULL;
    for (int i = 0; i < structure->linear_count; i++) {
        const char *stored = structure->linears[i].weight->stored;
        if (found && stored && strcmp(found, stored) != 0)
            return strncmp(stored, "GGUF", 4) == 0 ? "GGUF in several types" : "quantized in several ways";
        if (stored) found = stored;
    }
    return found;
}

DType structure_dtype(const ModelStructure *structure) {
    if (structure->embedding) return structure->embedding->dtype;
    return structure->linear_count ? structure->linears[0].weight->dtype : DTYPE_OTHER;
}

bool linear_is_read(const ModelStructure *structure, int linear) {
    const Linear *l = &structure->linears[linear];
    if (l->layer < 0 || (l->role != ROLE_K && l->role != ROLE_V)) return true;
    return !layer_shares(&structure->config, l->layer);
}

// Behind the last dot, but for a number alone.
static const char *last_name(const char *name) {
    const char *dot = strrchr(name, '.');
    if (!dot) return name;
    if (dot[1] < '0' || dot[1] > '9') return dot + 1;
    while (dot > name && dot[-1] != '.') dot--;
    return dot;
}

int layer_short_name(const ModelStructure *structure, int layer, char *out, size_t size) {
    const int before = structure->config.pair.encoder_layers;
    if (before == 0) return snprintf(out, size, "%d", layer);
    return snprintf(out, size, "%c%d", layer < before ? 'e' : 'd', layer < before ? layer : layer - before);
}

void linear_short_name(const Linear *linear, char *out, size_t size) {
    if (linear->layer < 0) {
        snprintf(out, size, "%s", role_name(linear->role));
        return;
    }
    const char *last = last_name(linear->name);
    if (linear->expert >= 0)
        snprintf(out, size, "%d.%d.%s", linear->layer, linear->expert, last);
    else if (linear->stack)
        snprintf(out, size, "%c%d.%s", linear->stack, linear->number, role_name(linear->role));
    else
        snprintf(out, size, "%d.%s", linear->layer, last);
}
