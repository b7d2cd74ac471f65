// What a token carries from layer to layer beside its hidden state, behind it in the same memory, all tokens of one
// kind together: further streams (AltUp), the inputs that layers have of their own, and the keys and values that later
// layers share, so that a pass can go on in the middle.
#include <math.h>
#include <stdlib.h>

#include "base/array.h"
#include "model/transformer_parts.h"

// ---- Where it lies ----

static size_t streams_of(const ModelConfig *config) {
    return config->altup.streams ? (size_t)config->altup.streams : 1;
}

// [tokens, layers, width]
static float *layer_inputs_of(const ModelConfig *config, float *stream, size_t tokens) {
    return stream + tokens * (size_t)config->hidden * streams_of(config);
}

// Keys [tokens, width] of the layer that others share, values behind them.
static float *shared_keys(const Pass *pass, bool windowed) {
    const ModelConfig *config = pass_config(pass);
    const int full = shared_layer(config, false);
    float *keys = layer_inputs_of(config, pass->stream, pass->tokens) +
                  pass->tokens * (size_t)config->layers * (size_t)config->layer_inputs.width;
    return windowed && full >= 0 ? keys + 2 * pass->tokens * layer_key_width(config, full) : keys;
}

// ---- Keys and values of others ----

void stream_keep_keys(const Pass *pass, int layer) {
    const ModelConfig *config = pass_config(pass);
    const bool windowed = layer_is_in(&config->windowed, layer);
    const size_t width = layer_key_width(config, layer);
    if (!pass->goes_on || shared_layer(config, windowed) != layer) return;
    float *keys = shared_keys(pass, windowed);
    pass_copy(pass, pass->running->scratch[SCRATCH_K], width, keys);
    pass_copy(pass, pass->running->scratch[SCRATCH_V], width, keys + pass->tokens * width);
}

static bool is_shared_in(const ModelConfig *config, bool windowed, int first, int last) {
    for (int layer = first; layer < last; layer++)
        if (layer_shares(config, layer) && layer_is_in(&config->windowed, layer) == windowed) return true;
    return false;
}

void stream_restore_keys(const Pass *pass, int first, int last) {
    const ModelConfig *config = pass_config(pass);
    for (int windowed = 0; windowed < 2; windowed++) {
        const int layer = shared_layer(config, windowed);
        if (layer < 0 || layer >= first || !is_shared_in(config, windowed, first, last)) continue;
        const LayerMap *map = &pass->t->structure->layers[layer];
        const float *keys = shared_keys(pass, windowed);
        pass->t->backend->ops->cache_write(pass->t->backend, pass->running->caches[map->cache], map->cache_at,
                                           pass->first, pass->tokens / pass->sequences, keys,
                                           keys + pass->tokens * layer_key_width(config, layer));
    }
}

// ---- Inputs that layers have of their own ----

// Tokens that the table has no row for have its first.
static bool look_up(Transformer *t, const Tensor *table, const int32_t *ids, size_t tokens, float *y, Error *err) {
    int32_t *own = array_new(tokens, sizeof *own);
    if (!own) return error_memory(err, "the inputs of layers");
    for (size_t i = 0; i < tokens; i++) own[i] = ids[i] < t->structure->config.layer_inputs.vocab ? ids[i] : 0;
    t->backend->ops->embed(t->backend, table->dtype, table->data, (size_t)table->shape[1], own, tokens, y);
    free(own);
    return true;
}

bool stream_embed(Transformer *t, const int32_t *ids, size_t tokens, float *stream, Error *err) {
    const ModelConfig *config = &t->structure->config;
    const Tensor *table = t->structure->layer_embedding;
    if (!table) return true;
    float *inputs = layer_inputs_of(config, stream, tokens), scale = sqrtf((float)config->layer_inputs.width);
    if (t->precision == PRECISION_NATIVE) scale = float_rounded(table->dtype, scale);
    if (!tensor_hold(table, err)) return false;
    const bool ok = look_up(t, table, ids, tokens, inputs, err);
    tensor_keep(table);
    t->backend->ops->scale(t->backend, inputs, scale, tokens * (size_t)table->shape[1]);
    return ok;
}

// inputs = (inputs + norm(what the embedding says of them)) / √2
static bool enter_inputs(const Pass *pass, const float *hidden) {
    const ModelStructure *structure = pass->t->structure;
    const ModelConfig *config = &structure->config;
    Backend *backend = pass->t->backend;
    const size_t rows = pass->tokens * (size_t)config->layers, n = rows * (size_t)config->layer_inputs.width;
    float *said = pass->running->scratch[SCRATCH_LAYER_INPUTS],
          *inputs = layer_inputs_of(config, pass->stream, pass->tokens);
    if (structure->layer_projection < 0) return true;
    if (!pass_observe(pass, structure->layer_projection, hidden) ||
        !pass_linear(pass, structure->layer_projection, hidden, said))
        return false;
    backend->ops->scale(backend, said, 1 / sqrtf((float)config->hidden), n);
    pass_norm(pass, structure->layer_projection_norm, said, rows, said);
    backend->ops->add(backend, inputs, said, n);
    backend->ops->scale(backend, inputs, sqrtf(0.5f), n);
    return true;
}

bool stream_enter(const Pass *pass, const float *hidden) {
    return enter_inputs(pass, hidden) && altup_enter(pass, hidden);
}

bool stream_layer_input(const Pass *pass, int layer, const float *x) {
    const LayerMap *map = &pass->t->structure->layers[layer];
    const ModelConfig *config = pass_config(pass);
    Backend *backend = pass->t->backend;
    float **scratch = pass->running->scratch;
    const size_t width = (size_t)config->layer_inputs.width, before = (size_t)layer * width,
                 behind = (size_t)(config->layers - 1 - layer) * width;
    float *const parts[] = {NULL, scratch[SCRATCH_INNER], NULL};
    backend->ops->split(backend, layer_inputs_of(config, pass->stream, pass->tokens), pass->tokens, 1,
                        (const size_t[]){before, width, behind}, 3, parts);
    if (!pass_observe(pass, map->layer_gate, x) || !pass_linear(pass, map->layer_gate, x, scratch[SCRATCH_GATE]))
        return false;
    pass_multiply(pass, config->activation, scratch[SCRATCH_GATE], width, scratch[SCRATCH_INNER]);
    if (!pass_observe(pass, map->layer_proj, scratch[SCRATCH_INNER]) ||
        !pass_linear(pass, map->layer_proj, scratch[SCRATCH_INNER], scratch[SCRATCH_BRANCH]))
        return false;
    pass_norm(pass, map->layer_input_norm, scratch[SCRATCH_BRANCH], pass->tokens, scratch[SCRATCH_BRANCH]);
    return true;
}
