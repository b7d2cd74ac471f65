// The layers of all families: which norms there are, in which order things happen and what is added to what is said by
// named flags of the configuration and by what the LayerMap holds.
#include "model/transformer_parts.h"

static const ModelConfig *config_of(const Pass *pass) { return &pass->t->structure->config; }

// ---- Steps ----

bool pass_observe(const Pass *pass, int linear, const float *x) {
    if (!pass->observer) return true;
    const Linear *reader = &pass->t->structure->linears[linear];
    Backend *backend = pass->t->backend;
    if (pass->observer->measured_input && backend->ops->measure) {
        pass->observer->measured_input(pass->observer->context, reader->input, backend, x, pass->tokens, reader->in);
        return true;
    }
    float *host = session_observed(pass->session, pass->tokens * reader->in, pass->err);
    if (!host) return false;
    backend->ops->download(backend, host, x, pass->tokens * reader->in * sizeof(float));
    pass->observer->linear_input(pass->observer->context, reader->input, host, pass->tokens, reader->in);
    return true;
}

bool pass_linear(const Pass *pass, int index, const float *x, float *y) {
    return transformer_multiply(pass->t, index, x, pass->tokens, y, pass->err);
}

// Several linears of the same x.
static bool together(const Pass *pass, int count, const int *linears, const float *x, float *const *y) {
    return transformer_multiply_together(pass->t, count, linears, x, pass->tokens, y, pass->err);
}

void pass_norm(const Pass *pass, int index, const float *x, size_t rows, float *y) {
    const Transformer *t = pass->t;
    const Norm *norm = &t->structure->norms[index];
    const float *gain = t->divided[index] ? t->divided[index] : t->gains[index];
    const float eps = config_of(pass)->norm_eps;
    const size_t width = (size_t)norm->gain->shape[0];
    if (norm->bias)
        t->backend->ops->layer_norm(t->backend, x, gain, gain + width, eps, rows, width, y);
    else
        t->backend->ops->rms_norm(t->backend, x, gain, eps, rows, width, y);
}

static void add(const Pass *pass, float *x, const float *y) {
    Backend *backend = pass->t->backend;
    backend->ops->add(backend, x, y, pass->tokens * (size_t)config_of(pass)->hidden);
}

static void copy(const Pass *pass, const float *x, size_t width, float *y) {
    Backend *backend = pass->t->backend;
    backend->ops->split(backend, x, pass->tokens, 1, &width, 1, &y);
}

// ---- Attention ----

// q, k and v of x, whether they are one linear or three.
static bool project(const Pass *pass, const LayerMap *map, const float *x) {
    float **scratch = pass->session->scratch;
    const ModelConfig *config = config_of(pass);
    if (map->qkv < 0) return together(pass, 3, (const int[]){map->q, map->k, map->v}, x, &scratch[SCRATCH_Q]);
    size_t groups = config->grouped_qkv ? (size_t)config->kv_heads : 1, dim = (size_t)config->head_dim;
    size_t queries = (size_t)config->heads * dim / groups, keys = (size_t)config->kv_heads * dim / groups;
    if (!pass_linear(pass, map->qkv, x, scratch[SCRATCH_FUSED])) return false;
    pass->t->backend->ops->split(pass->t->backend, scratch[SCRATCH_FUSED], pass->tokens, groups,
                                 (const size_t[]){queries, keys, keys}, 3, &scratch[SCRATCH_Q]);
    return true;
}

static void rotate(const Pass *pass, const RopeTable *table, int heads, float *x) {
    const ModelConfig *config = config_of(pass);
    Backend *backend = pass->t->backend;
    const size_t sequences = pass->session->sequences, rows = pass->tokens / sequences;
    // Single tokens are at the same position: as if they were one with more heads.
    const size_t calls = rows == 1 ? 1 : sequences, each = (size_t)heads * sequences / calls;
    const size_t width = rows * each * (size_t)config->head_dim;
    for (size_t i = 0; i < calls; i++)
        backend->ops->rope(backend, x + i * width, rows, (int)each, config->head_dim, rope_dims(config), table->cosine,
                           table->sine, pass->session->length);
}

// Norms over heads and positions: what q and k get before they meet.
static void position(const Pass *pass, int layer) {
    const ModelConfig *config = config_of(pass);
    const LayerMap *map = &pass->t->structure->layers[layer];
    Session *session = pass->session;
    float *q = session->scratch[SCRATCH_Q], *k = session->scratch[SCRATCH_K];
    if (map->q_norm >= 0) pass_norm(pass, map->q_norm, q, pass->tokens * (size_t)config->heads, q);
    if (map->k_norm >= 0) pass_norm(pass, map->k_norm, k, pass->tokens * (size_t)config->kv_heads, k);
    bool own = session->windowed_rope.cosine && layer_is_in(&config->windowed, layer);
    const RopeTable *table = own ? &session->windowed_rope : &session->rope;
    if (!table->cosine) return;
    rotate(pass, table, config->heads, q);
    rotate(pass, table, config->kv_heads, k);
}

static AttentionShape shape_of(const Pass *pass, int layer) {
    const ModelConfig *config = config_of(pass);
    return (AttentionShape){.heads = config->heads,
                            .kv_heads = config->kv_heads,
                            .head_dim = config->head_dim,
                            .scale = config->attention_scale / (config->scale_by_layer ? (float)layer + 1 : 1),
                            .window = layer_is_in(&config->windowed, layer) ? config->window : 0,
                            .softcap = config->score_softcap,
                            .bias = pass->session->alibi,
                            .bias_stride = pass->session->positions};
}

// k and v are stored, then q looks back over what is stored so far.
static void attend(const Pass *pass, int layer) {
    Backend *backend = pass->t->backend;
    Session *session = pass->session;
    float **scratch = session->scratch;
    const AttentionShape shape = shape_of(pass, layer);
    position(pass, layer);
    const size_t rows = pass->tokens / session->sequences;
    backend->ops->cache_write(backend, session->cache, layer, session->length, rows, scratch[SCRATCH_K],
                              scratch[SCRATCH_V]);
    backend->ops->attention(backend, session->cache, layer, &shape, scratch[SCRATCH_Q], session->length, rows,
                            scratch[SCRATCH_MIXED]);
}

// SCRATCH_BRANCH = o(attention(q, k, v of x))
static bool attention_branch(const Pass *pass, int layer, const float *x) {
    const LayerMap *map = &pass->t->structure->layers[layer];
    float **scratch = pass->session->scratch;
    if (!pass_observe(pass, map->qkv >= 0 ? map->qkv : map->q, x)) return false;
    if (!project(pass, map, x)) return false;
    attend(pass, layer);
    if (!pass_observe(pass, map->o, scratch[SCRATCH_MIXED]) ||
        !pass_linear(pass, map->o, scratch[SCRATCH_MIXED], scratch[SCRATCH_BRANCH]))
        return false;
    if (map->attention_out_norm >= 0)
        pass_norm(pass, map->attention_out_norm, scratch[SCRATCH_BRANCH], pass->tokens, scratch[SCRATCH_BRANCH]);
    return true;
}

// ---- MLP ----

// SCRATCH_INNER = f(gate(x)) · up(x), or f(up(x))
static bool mlp_inner(const Pass *pass, const Mlp *mlp, const float *x, size_t width) {
    float **scratch = pass->session->scratch;
    Backend *backend = pass->t->backend;
    const Nonlinearity f = config_of(pass)->activation;
    const size_t n = pass->tokens * width;
    if (mlp->gate_up >= 0) {
        if (!pass_linear(pass, mlp->gate_up, x, scratch[SCRATCH_FUSED])) return false;
        backend->ops->split(backend, scratch[SCRATCH_FUSED], pass->tokens, 1, (const size_t[]){width, width}, 2,
                            &scratch[SCRATCH_GATE]);
    } else if (mlp->gate >= 0) {
        if (!together(pass, 2, (const int[]){mlp->gate, mlp->up}, x, &scratch[SCRATCH_GATE])) return false;
    } else {
        if (!pass_linear(pass, mlp->up, x, scratch[SCRATCH_UP])) return false;
    }
    if (mlp->gate < 0 && mlp->gate_up < 0)
        backend->ops->activate(backend, f, scratch[SCRATCH_UP], NULL, n, scratch[SCRATCH_INNER]);
    else if (f == NONLINEARITY_SILU)
        backend->ops->silu_times(backend, scratch[SCRATCH_GATE], scratch[SCRATCH_UP], n, scratch[SCRATCH_INNER]);
    else
        backend->ops->activate(backend, f, scratch[SCRATCH_GATE], scratch[SCRATCH_UP], n, scratch[SCRATCH_INNER]);
    return true;
}

bool pass_mlp(const Pass *pass, const Mlp *mlp, const float *x, bool show, float *y) {
    const float *inner = pass->session->scratch[SCRATCH_INNER];
    int first = mlp->gate_up >= 0 ? mlp->gate_up : mlp->gate >= 0 ? mlp->gate : mlp->up;
    if (show && !pass_observe(pass, first, x)) return false;
    return mlp_inner(pass, mlp, x, pass->t->structure->linears[mlp->down].in) && pass_observe(pass, mlp->down, inner) &&
           pass_linear(pass, mlp->down, inner, y);
}

// SCRATCH_BRANCH = MLP of x, or what the experts make of it
static bool mlp_branch(const Pass *pass, int layer, const float *x) {
    const LayerMap *map = &pass->t->structure->layers[layer];
    const Mlp mlp = {map->gate_up, map->gate, map->up, map->down};
    float *branch = pass->session->scratch[SCRATCH_BRANCH];
    bool show = !config_of(pass)->shared_norm; // else attention has shown it
    if (map->router >= 0 ? !pass_experts(pass, layer, x) : !pass_mlp(pass, &mlp, x, show, branch)) return false;
    if (map->mlp_out_norm >= 0) pass_norm(pass, map->mlp_out_norm, branch, pass->tokens, branch);
    return true;
}

// ---- Orders of a layer ----

// hidden = (hidden or what the norm gave) + branch
static void add_branch(const Pass *pass, float *hidden) {
    float **scratch = pass->session->scratch;
    const ModelConfig *config = config_of(pass);
    if (config->residual_from_norm) copy(pass, scratch[SCRATCH_NORMED], (size_t)config->hidden, hidden);
    add(pass, hidden, scratch[SCRATCH_BRANCH]);
}

static bool norm_before(const Pass *pass, int layer, float *hidden) {
    const LayerMap *map = &pass->t->structure->layers[layer];
    float *normed = pass->session->scratch[SCRATCH_NORMED];
    pass_norm(pass, map->attention_norm, hidden, pass->tokens, normed);
    if (!attention_branch(pass, layer, normed)) return false;
    add_branch(pass, hidden);
    pass_norm(pass, map->mlp_norm, hidden, pass->tokens, normed);
    if (!mlp_branch(pass, layer, normed)) return false;
    add_branch(pass, hidden);
    return true;
}

static bool norm_after(const Pass *pass, int layer, float *hidden) {
    const LayerMap *map = &pass->t->structure->layers[layer];
    const float *branch = pass->session->scratch[SCRATCH_BRANCH];
    if (!attention_branch(pass, layer, hidden)) return false;
    add(pass, hidden, branch);
    pass_norm(pass, map->attention_norm, hidden, pass->tokens, hidden);
    if (!mlp_branch(pass, layer, hidden)) return false;
    add(pass, hidden, branch);
    pass_norm(pass, map->mlp_norm, hidden, pass->tokens, hidden);
    return true;
}

static bool parallel(const Pass *pass, int layer, float *hidden) {
    const LayerMap *map = &pass->t->structure->layers[layer];
    float *normed = pass->session->scratch[SCRATCH_NORMED];
    const float *branch = pass->session->scratch[SCRATCH_BRANCH];
    pass_norm(pass, map->attention_norm, hidden, pass->tokens, normed);
    if (!attention_branch(pass, layer, normed)) return false;
    if (!config_of(pass)->shared_norm) pass_norm(pass, map->mlp_norm, hidden, pass->tokens, normed);
    add(pass, hidden, branch);
    if (!mlp_branch(pass, layer, normed)) return false;
    add(pass, hidden, branch);
    return true;
}

bool pass_layer(const Pass *pass, int layer, float *hidden) {
    const ModelConfig *config = config_of(pass);
    return (config->parallel ? parallel : config->norm_after ? norm_after : norm_before)(pass, layer, hidden);
}

// ---- Before the first layer ----

// hidden += rows of the table of learned positions, the same ones for each sequence.
static bool add_positions(const Pass *pass, const Tensor *table, float *hidden) {
    const Session *session = pass->session;
    const ModelConfig *config = config_of(pass);
    Backend *backend = pass->t->backend;
    const size_t rows = pass->tokens / session->sequences, width = (size_t)config->hidden;
    float *branch = session->scratch[SCRATCH_BRANCH];
    if (!tensor_hold(table, pass->err)) return false;
    const char *first = (const char *)table->data + (size_t)config->position_offset * width * dtype_bytes(table->dtype);
    backend->ops->embed_positions(backend, table->dtype, first, width, session->length, rows, branch);
    tensor_keep(table);
    for (size_t s = 0; s < session->sequences; s++)
        backend->ops->add(backend, hidden + s * rows * width, branch, rows * width);
    return true;
}

// hidden: [tokens, embedding_width] on the way in.
bool pass_enter(const Pass *pass, float *hidden) {
    const ModelStructure *structure = pass->t->structure;
    float *branch = pass->session->scratch[SCRATCH_BRANCH];
    if (structure->project_in >= 0) {
        if (!pass_observe(pass, structure->project_in, hidden) ||
            !pass_linear(pass, structure->project_in, hidden, branch))
            return false;
        copy(pass, branch, (size_t)structure->config.hidden, hidden);
    }
    if (structure->position_rows && !add_positions(pass, structure->position_rows, hidden)) return false;
    if (structure->embedding_norm >= 0) pass_norm(pass, structure->embedding_norm, hidden, pass->tokens, hidden);
    return true;
}
