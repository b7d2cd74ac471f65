#include "loaders/structure_parts.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/array.h"

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
    bool ok = builder_take(builder, name, ending, shape, rank, &norm->gain) &&
              (!bias || builder_take(builder, name, ".bias", shape, rank, &norm->bias));
    return ok ? out->norm_count - 1 : -1;
}

static int add_named_norm(Builder *builder, int layer, const char *name, const char *ending, Width width, int input) {
    const ModelConfig *config = &builder->out->config;
    const bool bias = norm_is_centred(config->norm) && !config->norm_without_bias;
    return add_norm_of(builder, layer, name, ending, 0, builder_width(config, layer, width), bias, input);
}

int builder_add_norm(Builder *builder, int layer, const char *name, Width width, int input) {
    return add_named_norm(builder, layer, name, ".weight", width, input);
}

// A norm of q or k with weights for every head, in one tensor or in as many as there are heads.
static int add_head_norms(Builder *builder, int layer, const NormRow *row, const char *name) {
    const ModelConfig *config = &builder->out->config;
    const size_t heads = (size_t)(row->of == NORMED_QUERIES ? config->heads : config->kv_heads),
                 width = builder_width(config, layer, row->width);
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
bool norms_feed_linears(const ModelConfig *config) { return !config->norm_after && !config->residual_from_norm; }

// Laurel adds what the first norm gives, too.
bool norm_feeds_linears(const ModelConfig *config, Slot slot) {
    return norms_feed_linears(config) && !(slot == SLOT_ATTENTION && config->laurel_rank > 0);
}

// Whether the layer has none since its keys are another's.
static bool norm_is_shared(const ModelConfig *config, int layer, const NormRow *row) {
    return row->of == NORMED_KEYS && layer_shares(config, layer);
}

static float norm_factor(const ModelConfig *config, const NormRow *row) {
    const float hidden = (float)config->hidden;
    switch (row->divided) {
    case DIVIDED_BY_WIDTH: return 1 / hidden;
    case DIVIDED_BY_ROOT: return 1 / sqrtf(hidden);
    case DIVIDED_BY_NOTHING: break;
    }
    return 0;
}

#define LATENT_EPS 1e-6F // whatever the configuration says of the others

bool builder_add_layer_norms(Builder *builder, int layer) {
    LayerMap *map = &builder->out->layers[layer];
    const ModelConfig *config = &builder->out->config;
    for (const NormRow *row = builder->table->norms; row->name; row++) {
        if (config->bare_norms || !norm_applies(config, layer, row->when) || norm_is_shared(config, layer, row))
            continue;
        char name[128];
        builder_name(builder, layer, row->name, name, sizeof name);
        bool feeds = row->slot != SLOT_NONE && norm_feeds_linears(config, row->slot);
        const bool by_head = row->when == WHEN_QK_NORM_EACH || row->when == WHEN_QK_NORM_APART;
        int index = by_head ? add_head_norms(builder, layer, row, name)
                            : add_named_norm(builder, layer, name, row->bare ? "" : ".weight", row->width,
                                             feeds ? builder_input(builder, row->slot) : -1);
        if (index < 0) return false;
        if (row->slot == SLOT_Q_LATENT || row->slot == SLOT_KV_LATENT) builder->out->norms[index].eps = LATENT_EPS;
        builder->out->norms[index].factor = norm_factor(config, row);
        builder->out->norms[index].plain = row->when == WHEN_RECURRENT_NORM;
        *layer_member(map, row->offset) = index;
    }
    if (config->shared_norm) map->mlp_norm = map->attention_norm;
    return true;
}
