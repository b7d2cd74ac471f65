#include "loaders/structure_parts.h"

#include <stdio.h>
#include <string.h>

// A linear outside the layers; only the head may have a bias. `input` < 0: an input of its own.
static int add_outer(Builder *builder, const char *name, LinearRole role, Width out_width, Width in_width, int input,
                     const Tensor *tied) {
    Linear *linear = builder_add_linear(builder, -1, name, role, out_width, in_width);
    if (!linear) return -1;
    linear->input = input >= 0 ? input : builder->out->input_count++;
    linear->weight = tied;
    const bool bias = role == ROLE_HEAD && builder->out->config.head_bias;
    return tied || builder_take_weights(builder, linear, bias) ? builder->out->linear_count - 1 : -1;
}

// The bias of the head is one row of a matrix.
static bool take_head_bias(Builder *builder) {
    const char *name = builder->table->head_bias;
    const uint64_t shape[] = {1, (uint64_t)builder->out->config.vocab};
    const Tensor *row;
    if (!name || !checkpoint_find(builder->out->checkpoint, name)) return true;
    return builder_take(builder, name, "", shape, 2, &row) &&
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

bool builder_add_final_norm(Builder *builder, int layer, int input, StackEnds *ends) {
    char name[128];
    if (builder->out->config.no_final_norm || builder->out->config.bare_norms) return true;
    snprintf(name, sizeof name, "%s%s", builder->prefix, builder->table->final_norm);
    return (ends->final_norm = builder_add_norm(builder, layer, name, WIDTH_HIDDEN, input)) >= 0;
}

// The head keeps FOLD_NONE: scaling the final norm is exact too, but the head is left alone.
bool builder_add_head(Builder *builder) {
    ModelStructure *out = builder->out;
    char name[128];
    int input = out->input_count++;
    if (!builder_add_final_norm(builder, -1, input, &out->ends)) return false;
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
bool builder_add_embedding(Builder *builder) {
    ModelStructure *out = builder->out;
    const ModelConfig *config = &out->config;
    const size_t width = builder_width(config, -1, WIDTH_EMBEDDING), hidden = (size_t)config->hidden;
    uint64_t shape[] = {(uint64_t)config->vocab, width};
    char name[128];
    snprintf(name, sizeof name, "%s%s", builder->prefix, embedding_name(builder));
    char full[160];
    snprintf(full, sizeof full, "%s.weight", name);
    bool is_head = config->tied_head && !stored_has(out->checkpoint, full); // one of the two is enough
    if (!builder_take(builder, is_head ? head_name(builder) : name, ".weight", shape, 2, &out->embedding)) return false;
    if (width == hidden) return true;
    snprintf(name, sizeof name, "%sproject_in", builder->prefix);
    out->project_in = add_outer(builder, name, ROLE_OTHER, WIDTH_HIDDEN, WIDTH_EMBEDDING, -1, NULL);
    if (out->project_in < 0) return false;
    out->linears[out->project_in].layer = 0;
    return true;
}

// Inputs of layers' own, and further streams of a token. What makes them counts as part of the first layer.
bool builder_add_layer_inputs(Builder *builder) {
    ModelStructure *out = builder->out;
    const ModelConfig *config = &out->config;
    const uint64_t shape[] = {(uint64_t)config->layer_inputs.vocab, builder_width(config, -1, WIDTH_ALL_LAYER_INPUTS)};
    char name[128];
    if (config->layer_inputs.width == 0) return true;
    snprintf(name, sizeof name, "%sembed_tokens_per_layer", builder->prefix);
    if (!builder_take(builder, name, ".weight", shape, 2, &out->layer_embedding)) return false;
    snprintf(name, sizeof name, "%sper_layer_model_projection", builder->prefix);
    out->layer_projection = add_outer(builder, name, ROLE_OTHER, WIDTH_ALL_LAYER_INPUTS, WIDTH_HIDDEN, -1, NULL);
    if (out->layer_projection < 0) return false;
    out->linears[out->layer_projection].layer = 0;
    snprintf(name, sizeof name, "%sper_layer_projection_norm", builder->prefix);
    return (out->layer_projection_norm = builder_add_norm(builder, -1, name, WIDTH_LAYER_INPUT, -1)) >= 0;
}

bool builder_add_streams(Builder *builder, const char *what, int input, int layer, int *first) {
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
bool builder_add_positions(Builder *builder, StackEnds *ends) {
    const ModelConfig *config = &builder->out->config;
    const LayoutTable *table = builder->table;
    const uint64_t positions[] = {(uint64_t)config->max_positions + (uint64_t)config->position_offset,
                                  (uint64_t)config->hidden},
                   relative[] = {(uint64_t)config->pair.relative_buckets, (uint64_t)config->heads};
    char name[128];
    snprintf(name, sizeof name, "%s%s", builder->prefix, table->positions ? table->positions : "");
    if (has_position_rows(builder, name) && !builder_take(builder, name, ".weight", positions, 2, &ends->position_rows))
        return false;
    if (config->positions == POSITIONS_RELATIVE) {
        builder_name(builder, builder->first_layer, table->relative, name, sizeof name);
        if (!builder_take(builder, name, ".weight", relative, 2, &ends->relative)) return false;
    }
    if (!config->embedding_norm) return true;
    snprintf(name, sizeof name, "%s%s", builder->prefix, table->embedding_norm);
    return (ends->embedding_norm = builder_add_norm(builder, -1, name, WIDTH_HIDDEN, -1)) >= 0;
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
bool builder_find_prefix(Builder *builder) {
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
