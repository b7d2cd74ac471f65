#include "loaders/structure.h"

#include <assert.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "loaders/structure_parts.h"

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

// ---- Building ----

// Vectors of a layer that are neither gains nor biases.
static bool take_vectors(Builder *builder, int layer) {
    const ModelConfig *config = &builder->out->config;
    const LayoutTable *table = builder->table;
    LayerMap *map = &builder->out->layers[layer];
    const char *correction = config->altup.scaled ? table->correction : NULL;
    return builder_take_vector(builder, layer, table->sinks, (size_t)config->heads, &map->sinks) &&
           builder_take_vector(builder, layer, table->scalar, 1, &map->scalar) &&
           builder_take_vector(builder, layer, correction, (size_t)config->hidden, &map->correction_scale);
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
    return builder_take_in_layer(builder, layer, name, ".alpha_p", one, 1, &map->xielu_positive) &&
           builder_take_in_layer(builder, layer, name, ".alpha_n", one, 1, &map->xielu_negative) &&
           builder_take_in_layer(builder, layer, name, ".beta", NULL, 0, &map->xielu_linear);
}

// What a layer remembers with, beside its linears.
static bool add_recurrent(Builder *builder, int layer) {
    const Recurrent *r = &builder->out->config.recurrent;
    const RecurrentNames *names = builder->table->recurrent;
    LayerMap *map = &builder->out->layers[layer];
    const uint64_t weight[] = {(uint64_t)recurrent_channels(r), 1, (uint64_t)r->taps}, heads[] = {(uint64_t)r->heads};
    const char *biased = r->convolution_bias ? names->convolution : NULL;
    map->remembered = builder->remembered++;
    return builder_add_rows(builder, layer, names->linears) &&
           builder_take_in_layer(builder, layer, names->convolution, ".weight", weight, 3, &map->convolution) &&
           builder_take_in_layer(builder, layer, biased, ".bias", weight, 1, &map->convolution_bias) &&
           builder_take_in_layer(builder, layer, names->decay, "", heads, 1, &map->decay) &&
           builder_take_in_layer(builder, layer, names->offset, "", heads, 1, &map->offset) &&
           builder_take_in_layer(builder, layer, names->skip, "", heads, 1, &map->skip);
}

static bool add_mlp(Builder *builder, int layer) {
    const bool experts = builder->table->experts && layer_is_in(&builder->out->config.experts.layers, layer);
    return experts ? builder_add_experts(builder, layer) : builder_add_rows(builder, layer, builder->table->mlp);
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
    bool ok =
        (!layer_is_in(&config->recurrent.layers, layer) || add_recurrent(builder, layer)) &&
        (layer_is_in(&config->unattended, layer) || builder_add_rows(builder, layer, builder->table->attention)) &&
        (!builder->table->cross || builder_add_rows(builder, layer, builder->table->cross)) &&
        (layer_is_in(&config->without_mlp, layer) || add_mlp(builder, layer)) &&
        (!builder->table->more || builder_add_rows(builder, layer, builder->table->more)) &&
        builder_add_layer_norms(builder, layer) && take_vectors(builder, layer) && take_xielu(builder, layer);
    if (ok) structure_set_folds(out, map);
    return ok;
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
    bool ok = builder_add_positions(builder, &builder->out->encoder) && add_layers(builder, 0, layers);
    builder->source = builder->out->input_count++;
    ok = ok && builder_add_final_norm(builder, layers - 1, builder->source, &builder->out->encoder);
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
    return builder_add_streams(builder, "altup_projections", input, 0, &out->first_stream);
}

static bool build_all(Builder *builder) {
    ModelStructure *out = builder->out;
    const ModelConfig *config = &out->config;
    size_t layers = (size_t)config->layers;
    if (!builder_find_prefix(builder)) return false;
    out->layers = array_new(layers, sizeof *out->layers);
    if (!out->layers) return error_memory(builder->err, "the list of linears");
    const bool entered = builder_add_embedding(builder) && builder_add_layer_inputs(builder) && enter_streams(builder);
    return entered && (!builder->table->encoder || add_encoder(builder)) &&
           builder_add_positions(builder, &out->ends) && add_layers(builder, builder->first_layer, config->layers) &&
           builder_add_streams(builder, "altup_unembed_projections", -1, config->layers - 1, &out->last_stream) &&
           builder_add_head(builder);
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
