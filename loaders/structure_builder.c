#include "loaders/structure_parts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"

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

bool builder_take(const Builder *builder, const char *name, const char *ending, const uint64_t *shape, int rank,
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

// The name of something within a layer.
void builder_name(const Builder *builder, int layer, const char *name, char *out, size_t size) {
    snprintf(out, size, "%s%s%d.%s", builder->prefix, builder->table->layer, layer - builder->first_layer, name);
}

// A tensor of the layer; NULL where its name is.
bool builder_take_in_layer(const Builder *builder, int layer, const char *name, const char *ending,
                           const uint64_t *shape, int rank, const Tensor **out) {
    char full[160];
    if (!name) return true;
    builder_name(builder, layer, name, full, sizeof full);
    return builder_take(builder, full, ending, shape, rank, out);
}

// The same of a vector.
bool builder_take_vector(const Builder *builder, int layer, const char *name, size_t width, const Tensor **out) {
    return builder_take_in_layer(builder, layer, name, "", (const uint64_t[]){width}, 1, out);
}

// ---- What a configuration says of a row ----

// In a layer, or −1.
size_t builder_width(const ModelConfig *config, int layer, Width width) {
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

int *layer_member(LayerMap *map, size_t offset) { return (int *)(void *)((char *)map + offset); }

int builder_input(Builder *builder, Slot slot) {
    if (slot == SLOT_MLP && builder->out->config.shared_norm) slot = SLOT_ATTENTION;
    if (builder->slots[slot] < 0) builder->slots[slot] = builder->out->input_count++;
    return builder->slots[slot];
}

static int fused_of(Builder *builder, FusedSet set) {
    if (set == FUSED_ALONE) return -1;
    if (builder->fused[set] < 0) builder->fused[set] = builder->fused_count++;
    return builder->fused[set];
}

// ---- Linears ----

static bool take_transposed(Builder *builder, Linear *linear) {
    uint64_t stored_shape[] = {linear->in, linear->out};
    const Tensor *stored;
    return builder_take(builder, linear->name, ".weight", stored_shape, 2, &stored) &&
           stored_transposed(builder->out->stored, stored, &linear->weight, builder->err);
}

// Packed codes tell where out and in are: nothing needs to be transposed.
static bool is_packed(const Builder *builder, const Linear *linear) {
    char name[256];
    snprintf(name, sizeof name, "%s.weight", linear->name);
    return !checkpoint_find(builder->out->checkpoint, name) && stored_has(builder->out->checkpoint, name);
}

bool builder_take_weights(Builder *builder, Linear *linear, bool bias) {
    uint64_t shape[] = {linear->out, linear->in};
    if (linear->transposed && is_packed(builder, linear)) linear->transposed = false;
    bool ok = linear->transposed ? take_transposed(builder, linear)
                                 : builder_take(builder, linear->name, ".weight", shape, 2, &linear->weight);
    return ok && (!bias || builder_take(builder, linear->name, ".bias", shape, 1, &linear->bias));
}

// Adds a linear with everything but its tensors; NULL when memory is short.
Linear *builder_add_linear(Builder *builder, int layer, const char *name, LinearRole role, Width out_width,
                           Width in_width) {
    ModelStructure *out = builder->out;
    if (array_grow(&out->linears, (size_t)out->linear_count, &builder->linear_capacity, sizeof *out->linears)) {
        Linear *linear = &out->linears[out->linear_count];
        *linear = (Linear){.name = strdup(name),
                           .role = role,
                           .layer = layer,
                           .expert = -1,
                           .out = builder_width(&out->config, layer, out_width),
                           .in = builder_width(&out->config, layer, in_width),
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

bool builder_add_row(Builder *builder, int layer, const LinearRow *row) {
    ModelStructure *out = builder->out;
    char name[160];
    builder_name(builder, layer, row->name, name, sizeof name);
    *layer_member(&out->layers[layer], row->offset) = out->linear_count;
    Linear *linear = builder_add_linear(builder, layer, name, row->role, row->out, row->in);
    if (!linear) return false;
    linear->stack = builder->stack;
    linear->number = layer - builder->first_layer;
    linear->input = builder_input(builder, row->slot);
    linear->fused_set = fused_of(builder, row->fused);
    linear->transposed = builder->table->transposed;
    return builder_take_weights(builder, linear, has_bias(&out->config, row->bias));
}

// Keys and values that nobody reads stand in some files all the same. They go with q, so that all three are alike.
static bool is_in_file(const Builder *builder, int layer, const char *name) {
    char full[160], within[128];
    snprintf(within, sizeof within, "%s.weight", name);
    builder_name(builder, layer, within, full, sizeof full);
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

bool builder_add_rows(Builder *builder, int layer, const LinearRow *rows) {
    for (; rows->name; rows++) {
        if (has_row(builder, layer, rows) && !builder_add_row(builder, layer, rows)) return false;
    }
    return true;
}
