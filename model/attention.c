// Attention of one layer: q, k and v, where tokens stand, the cache, and o.
#include "model/transformer_parts.h"

// ---- Latent attention ----

// SCRATCH_Q: heads as [rotated, plain], whatever the order of the linear's rows.
static bool latent_queries(const Pass *pass, const LayerMap *map, const float *x) {
    const Latent *l = &pass_config(pass)->latent;
    const size_t heads = (size_t)pass_config(pass)->heads, plain = (size_t)l->plain, rotated = (size_t)l->rotated;
    float **scratch = pass->running->scratch, *latent = scratch[SCRATCH_LATENT];
    const BackendOps *ops = pass->t->backend->ops;
    if (map->q_b >= 0) {
        if (!pass_linear(pass, map->q_a, x, latent)) return false;
        pass_norm(pass, map->q_latent_norm, latent, pass->tokens, latent);
        if (!pass_observe(pass, map->q_b, latent)) return false;
    }
    if (!pass_linear(pass, map->q_b >= 0 ? map->q_b : map->q, map->q_b >= 0 ? latent : x, scratch[SCRATCH_FUSED]))
        return false;
    ops->split(pass->t->backend, scratch[SCRATCH_FUSED], pass->tokens, heads, (const size_t[]){plain, rotated}, 2,
               (float *const[]){scratch[SCRATCH_PLAIN], scratch[SCRATCH_ROTATED]});
    ops->join(pass->t->backend, (const float *const[]){scratch[SCRATCH_ROTATED], scratch[SCRATCH_PLAIN]}, pass->tokens,
              heads, (const size_t[]){rotated, plain}, (const bool[]){false, false}, 2, scratch[SCRATCH_Q]);
    return true;
}

// SCRATCH_K with the rotated part that all heads share, and SCRATCH_V with zeros behind its values.
static bool latent_keys(const Pass *pass, const LayerMap *map, const float *x) {
    const Latent *l = &pass_config(pass)->latent;
    const size_t heads = (size_t)pass_config(pass)->heads, plain = (size_t)l->plain, rotated = (size_t)l->rotated,
                 value = (size_t)l->value, rest = (size_t)pass_config(pass)->head_dim - value;
    float **scratch = pass->running->scratch, *latent = scratch[SCRATCH_LATENT], *fused = scratch[SCRATCH_FUSED];
    Backend *backend = pass->t->backend;
    if (!pass_linear(pass, map->kv_a, x, fused)) return false;
    backend->ops->split(backend, fused, pass->tokens, 1, (const size_t[]){(size_t)l->kv_rank, rotated}, 2,
                        (float *const[]){latent, scratch[SCRATCH_ROTATED]});
    pass_norm(pass, map->kv_latent_norm, latent, pass->tokens, latent);
    if (!pass_observe(pass, map->kv_b, latent) || !pass_linear(pass, map->kv_b, latent, fused)) return false;
    backend->ops->split(backend, fused, pass->tokens, heads, (const size_t[]){plain, value}, 2,
                        (float *const[]){scratch[SCRATCH_PLAIN], scratch[SCRATCH_VALUES]});
    backend->ops->join(backend, (const float *const[]){scratch[SCRATCH_ROTATED], scratch[SCRATCH_PLAIN]}, pass->tokens,
                       heads, (const size_t[]){rotated, plain}, (const bool[]){true, false}, 2, scratch[SCRATCH_K]);
    backend->ops->join(backend, (const float *const[]){scratch[SCRATCH_VALUES], NULL}, pass->tokens, heads,
                       (const size_t[]){value, rest}, (const bool[]){false, false}, 2, scratch[SCRATCH_V]);
    return true;
}

// What attention gives, without what stood behind the values.
static float *latent_values(const Pass *pass) {
    const size_t value = (size_t)pass_config(pass)->latent.value, rest = (size_t)pass_config(pass)->head_dim - value;
    float **scratch = pass->running->scratch;
    pass->t->backend->ops->split(pass->t->backend, scratch[SCRATCH_MIXED], pass->tokens,
                                 (size_t)pass_config(pass)->heads, (const size_t[]){value, rest}, 2,
                                 (float *const[]){scratch[SCRATCH_VALUES], scratch[SCRATCH_PADDING]});
    return scratch[SCRATCH_VALUES];
}

// ---- Attention ----

// Those of q, k and v that the layer has.
static bool attention_apart(const Pass *pass, const LayerMap *map, int layer, const float *x) {
    float **scratch = pass->running->scratch, *y[3];
    const int all[] = {map->q, map->k, map->v};
    int linears[3], count = 0;
    for (int i = 0; i < 3; i++) {
        if (all[i] < 0 || (i > 0 && map->keys_of != layer)) continue;
        linears[count] = all[i];
        y[count++] = scratch[SCRATCH_Q + i];
    }
    if (!pass_together(pass, count, linears, x, y)) return false;
    if (map->keys_of == layer && map->v < 0)
        pass_copy(pass, scratch[SCRATCH_K], layer_key_width(pass_config(pass), layer), scratch[SCRATCH_V]);
    return true;
}

// Queries of each head are followed by its gates.
static bool attention_project_gated(const Pass *pass, const LayerMap *map, const float *x) {
    const size_t heads = (size_t)pass_config(pass)->heads, dim = (size_t)pass_config(pass)->head_dim;
    float **scratch = pass->running->scratch;
    float *const y[] = {scratch[SCRATCH_FUSED], scratch[SCRATCH_K], scratch[SCRATCH_V]};
    if (!pass_together(pass, 3, (const int[]){map->q, map->k, map->v}, x, y)) return false;
    pass->t->backend->ops->split(pass->t->backend, scratch[SCRATCH_FUSED], pass->tokens, heads,
                                 (const size_t[]){dim, dim}, 2,
                                 (float *const[]){scratch[SCRATCH_Q], scratch[SCRATCH_GATES]});
    return true;
}

// q, k and v of x, whether they are one linear or three.
static bool attention_project(const Pass *pass, const LayerMap *map, int layer, const float *x) {
    float **scratch = pass->running->scratch;
    const ModelConfig *config = pass_config(pass);
    if (map->kv_a >= 0) return latent_queries(pass, map, x) && latent_keys(pass, map, x);
    if (config->gated_attention) return attention_project_gated(pass, map, x);
    if (map->qkv < 0) return attention_apart(pass, map, layer, x);
    const size_t dim = (size_t)config->head_dim, groups = config->quartered_qkv ? 4
                                                          : config->grouped_qkv ? (size_t)config->kv_heads
                                                                                : 1;
    size_t queries = (size_t)config->heads * dim / groups, keys = (size_t)config->kv_heads * dim / groups;
    float *const parts[] = {scratch[SCRATCH_Q], scratch[SCRATCH_K], scratch[SCRATCH_V]}, *const quarters[] = {parts[0],
                                                                                                              parts[2],
                                                                                                              parts[1]};
    if (!pass_linear(pass, map->qkv, x, scratch[SCRATCH_FUSED])) return false;
    pass->t->backend->ops->split(pass->t->backend, scratch[SCRATCH_FUSED], pass->tokens, groups,
                                 (const size_t[]){queries, keys, keys}, 3, config->quartered_qkv ? quarters : parts);
    return true;
}

static void attention_rotate(const Pass *pass, const RopeTable *table, int layer, int heads, float *x) {
    const ModelConfig *config = pass_config(pass);
    const int dim = layer_head_dim(config, layer);
    Backend *backend = pass->t->backend;
    const size_t sequences = pass->sequences, rows = pass->tokens / sequences;
    // Single tokens are at the same position: as if they were one with more heads.
    const size_t calls = rows == 1 ? 1 : sequences, each = (size_t)heads * sequences / calls;
    const size_t width = rows * each * (size_t)dim;
    for (size_t i = 0; i < calls; i++)
        backend->ops->rope(backend, x + i * width, rows, (int)each, dim, table->dims, config->rope_adjacent,
                           table->cosine, table->sine, pass->first);
}

static void attention_norm(const Pass *pass, int layer) {
    const ModelConfig *config = pass_config(pass);
    const LayerMap *map = &pass->t->structure->layers[layer];
    float *q = pass->running->scratch[SCRATCH_Q], *k = pass->running->scratch[SCRATCH_K],
          *v = pass->running->scratch[SCRATCH_V];
    const bool whole = config->qk_norm == QK_NORM_WHOLE;
    const size_t heads = whole ? 1 : (size_t)config->heads,
                 kv_heads = whole ? 1 : (size_t)layer_kv_heads(config, layer);
    if (config->value_norm && map->keys_of == layer)
        pass_bare_norm(pass, v, pass->tokens * kv_heads, (size_t)layer_head_dim(config, layer), v);
    if (map->q_norm >= 0) pass_norm(pass, map->q_norm, q, pass->tokens * heads, q);
    if (map->k_norm >= 0) pass_norm(pass, map->k_norm, k, pass->tokens * kv_heads, k);
}

static void attention_bare_norm(const Pass *pass, ScratchKind kind, int heads) {
    float *x = pass->running->scratch[kind];
    pass_bare_norm(pass, x, pass->tokens * (size_t)heads, (size_t)pass_config(pass)->head_dim, x);
}

static void attention_clamp(const Pass *pass, ScratchKind kind, int heads) {
    const ModelConfig *config = pass_config(pass);
    const size_t n = pass->tokens * (size_t)heads * (size_t)config->head_dim;
    pass->t->backend->ops->clamp(pass->t->backend, pass->running->scratch[kind], config->qkv_limit, n);
}

// Norms and positions: what q and k get before they meet.
static void attention_position(const Pass *pass, int layer) {
    const ModelConfig *config = pass_config(pass);
    Sequences *running = pass->running;
    bool own = running->windowed_rope.cosine && layer_is_in(&config->windowed, layer);
    const RopeTable *table = own ? &running->windowed_rope : &running->rope;
    const bool rotated = table->cosine && !layer_is_in(&config->unrotated, layer),
               grows = running->growth.cosine && rotated != config->query_growth.unrotated;
    if (config->qk_norm != QK_NORM_ROTATED) attention_norm(pass, layer);
    if (config->qkv_limit > 0) {
        attention_clamp(pass, SCRATCH_Q, config->heads);
        attention_clamp(pass, SCRATCH_K, config->kv_heads);
        attention_clamp(pass, SCRATCH_V, config->kv_heads);
    }
    if (rotated) attention_rotate(pass, table, layer, config->heads, running->scratch[SCRATCH_Q]);
    if (grows) attention_rotate(pass, &running->growth, layer, config->heads, running->scratch[SCRATCH_Q]);
    if (rotated && pass->t->structure->layers[layer].keys_of == layer)
        attention_rotate(pass, table, layer, layer_kv_heads(config, layer), running->scratch[SCRATCH_K]);
    if (config->qk_norm == QK_NORM_ROTATED) attention_norm(pass, layer);
    if (config->qk_norm == QK_NORM_BARE && rotated) {
        attention_bare_norm(pass, SCRATCH_Q, config->heads);
        attention_bare_norm(pass, SCRATCH_K, config->kv_heads);
    }
}

static AttentionShape shape_of(const Pass *pass, int layer) {
    const ModelConfig *config = pass_config(pass);
    const ScoreBias *bias = pass->encodes ? &pass->running->encoder_bias : &pass->running->bias;
    return (AttentionShape){.heads = config->heads,
                            .kv_heads = layer_kv_heads(config, layer),
                            .head_dim = layer_head_dim(config, layer),
                            .scale = config->attention_scale / (config->scale_by_layer ? (float)layer + 1 : 1),
                            .window = layer_is_in(&config->windowed, layer) ? config->window : 0,
                            .chunked = config->chunked,
                            .softcap = config->score_softcap,
                            .bias = bias->bias,
                            .bias_stride = bias->stride,
                            .bias_middle = bias->middle,
                            .whole = pass->encodes ? (int)pass->running->source : 0,
                            .sinks = pass->t->sinks[layer]};
}

// k and v are stored, then q looks back over what is stored so far; in an encoder, over all.
static void attention_attend(const Pass *pass, int layer) {
    Backend *backend = pass->t->backend;
    Sequences *running = pass->running;
    float **scratch = running->scratch;
    const AttentionShape shape = shape_of(pass, layer);
    const ModelConfig *config = pass_config(pass);
    const LayerMap *map = &pass->t->structure->layers[layer];
    Cache *cache = pass->encodes ? running->cross : running->caches[map->cache];
    const int at = pass->encodes ? config->layers - config->pair.encoder_layers : map->cache_at;
    attention_position(pass, layer);
    const size_t rows = pass->tokens / pass->sequences;
    if (map->keys_of == layer) {
        backend->ops->cache_write(backend, cache, at, pass->first, rows, scratch[SCRATCH_K], scratch[SCRATCH_V]);
        stream_keep_keys(pass, layer);
    }
    backend->ops->attention(backend, cache, at, &shape, scratch[SCRATCH_Q], pass->first, rows, scratch[SCRATCH_MIXED]);
}

// SCRATCH_BRANCH = o(attention(q, k, v of x))
bool pass_attention(const Pass *pass, int layer, const float *x) {
    const LayerMap *map = &pass->t->structure->layers[layer];
    float **scratch = pass->running->scratch;
    const int first = map->qkv >= 0 ? map->qkv : map->kv_a >= 0 ? map->kv_a : map->q;
    if (map->in < 0 && !pass_observe(pass, first, x)) return false; // else what the layer remembers with has shown it
    if (!attention_project(pass, map, layer, x)) return false;
    attention_attend(pass, layer);
    if (pass_config(pass)->gated_attention)
        pass_multiply(pass, NONLINEARITY_SIGMOID, scratch[SCRATCH_GATES],
                      (size_t)pass_config(pass)->heads * (size_t)pass_config(pass)->head_dim, scratch[SCRATCH_MIXED]);
    const float *mixed = map->kv_a >= 0 ? latent_values(pass) : scratch[SCRATCH_MIXED];
    if (!pass_observe(pass, map->o, mixed) || !pass_linear(pass, map->o, mixed, scratch[SCRATCH_BRANCH])) return false;
    pass_scale(pass, scratch[SCRATCH_BRANCH], pass_config(pass)->attention_out_scale,
               (size_t)pass_config(pass)->hidden);
    if (map->attention_out_norm >= 0)
        pass_norm(pass, map->attention_out_norm, scratch[SCRATCH_BRANCH], pass->tokens, scratch[SCRATCH_BRANCH]);
    return true;
}

// ---- Cross-attention ----

// Keys and values of the source, once. The first layer of the decoder shows what all read.
static bool cross_store(const Pass *pass, int layer) {
    const LayerMap *map = &pass->t->structure->layers[layer];
    Pass source = *pass;
    float **scratch = pass->running->scratch;
    const int first = pass_config(pass)->pair.encoder_layers;
    source.tokens = pass->running->source;
    if (layer == first && !pass_observe(&source, map->cross_k, pass->source)) return false;
    if (!pass_together(&source, 2, (const int[]){map->cross_k, map->cross_v}, pass->source, &scratch[SCRATCH_K]))
        return false;
    pass->t->backend->ops->cache_write(pass->t->backend, pass->running->cross, layer - first, 0, source.tokens,
                                       scratch[SCRATCH_K], scratch[SCRATCH_V]);
    return true;
}

bool pass_cross_attention(const Pass *pass, int layer, const float *x) {
    const LayerMap *map = &pass->t->structure->layers[layer];
    const ModelConfig *config = pass_config(pass);
    Backend *backend = pass->t->backend;
    float **scratch = pass->running->scratch;
    const AttentionShape shape = {.heads = config->heads,
                                  .kv_heads = config->kv_heads,
                                  .head_dim = config->head_dim,
                                  .scale = config->attention_scale,
                                  .whole = (int)pass->running->source};
    if (pass->source && !cross_store(pass, layer)) return false;
    if (!pass_observe(pass, map->cross_q, x) || !pass_linear(pass, map->cross_q, x, scratch[SCRATCH_Q])) return false;
    // To the cache of the one source the rows of all sequences are so many tokens.
    backend->ops->attention(backend, pass->running->cross, layer - config->pair.encoder_layers, &shape,
                            scratch[SCRATCH_Q], 0, pass->tokens, scratch[SCRATCH_MIXED]);
    return pass_observe(pass, map->cross_o, scratch[SCRATCH_MIXED]) &&
           pass_linear(pass, map->cross_o, scratch[SCRATCH_MIXED], scratch[SCRATCH_BRANCH]);
}
