// The layers of all families. Named flags of the configuration and the contents of the LayerMap say which norms there
// are, in which order things happen and what is added to what.
#include <math.h>

#include "model/transformer_parts.h"

// SCRATCH_BRANCH = norm(MLP of x) + norm(what the experts make of the hidden states)
static bool mlp_beside_experts(const Pass *pass, int layer, const Mlp *mlp, const float *x, const float *hidden) {
    const LayerMap *map = &pass->t->structure->layers[layer];
    float *branch = pass->running->scratch[SCRATCH_BRANCH], *dense = pass->running->scratch[SCRATCH_DENSE];
    if (!pass_mlp(pass, mlp, x, true, dense)) return false;
    pass_norm(pass, map->dense_out_norm, dense, pass->tokens, dense);
    if (!pass_experts(pass, layer, hidden)) return false;
    pass_norm(pass, map->experts_out_norm, branch, pass->tokens, branch);
    pass_add(pass, branch, dense);
    return true;
}

// SCRATCH_BRANCH = MLP of x, or what the experts make of it. x: hidden states, or what a norm made of them.
static bool mlp_branch(const Pass *pass, int layer, const float *x, const float *hidden) {
    const LayerMap *map = &pass->t->structure->layers[layer];
    const ModelConfig *config = pass_config(pass);
    const float *cutoff = layer_is_in(&config->sparse, layer) ? &config->gate_cutoff : NULL;
    const Mlp mlp = {map->gate_up, map->gate, map->up, map->down, config->xielu ? &pass->t->xielu[layer] : NULL,
                     cutoff};
    float *branch = pass->running->scratch[SCRATCH_BRANCH];
    bool show = !config->shared_norm; // else attention has shown it
    const bool ok = map->router < 0  ? pass_mlp(pass, &mlp, x, show, branch)
                    : map->down >= 0 ? mlp_beside_experts(pass, layer, &mlp, x, hidden)
                                     : pass_experts(pass, layer, x);
    if (!ok) return false;
    if (map->mlp_out_norm >= 0) pass_norm(pass, map->mlp_out_norm, branch, pass->tokens, branch);
    return true;
}

// ---- Orders of a layer ----

// hidden = (hidden or what the norm gave) + branch
static void add_branch(const Pass *pass, float *hidden) {
    float **scratch = pass->running->scratch;
    const ModelConfig *config = pass_config(pass);
    if (config->residual_from_norm) pass_copy(pass, scratch[SCRATCH_NORMED], (size_t)config->hidden, hidden);
    pass_scale(pass, scratch[SCRATCH_BRANCH], config->residual_scale, (size_t)config->hidden);
    pass_add(pass, hidden, scratch[SCRATCH_BRANCH]);
}

// What a branch reads: the hidden states, after the norm if there is one.
static const float *branch_input(const Pass *pass, int norm, const float *hidden) {
    float *normed = pass->running->scratch[SCRATCH_NORMED];
    if (pass_config(pass)->bare_norms)
        pass_bare_norm(pass, hidden, pass->tokens, (size_t)pass_config(pass)->hidden, normed);
    else if (norm < 0)
        return hidden;
    else
        pass_norm(pass, norm, hidden, pass->tokens, normed);
    return normed;
}

static bool layer_norm_before(const Pass *pass, int layer, float *hidden) {
    const LayerMap *map = &pass->t->structure->layers[layer];
    const float *x = map->attention_norm >= 0 || map->o >= 0 ? branch_input(pass, map->attention_norm, hidden) : NULL;
    if (map->in >= 0) {
        if (!pass_recurrent(pass, layer, x)) return false;
        add_branch(pass, hidden);
    }
    if (map->o >= 0) {
        if (!pass_attention(pass, layer, x)) return false;
        add_branch(pass, hidden);
    }
    if (map->cross_q >= 0) {
        if (!pass_cross_attention(pass, layer, branch_input(pass, map->cross_norm, hidden))) return false;
        add_branch(pass, hidden);
    }
    if (layer_is_in(&pass_config(pass)->without_mlp, layer)) return true;
    if (!mlp_branch(pass, layer, branch_input(pass, map->mlp_norm, hidden), hidden)) return false;
    add_branch(pass, hidden);
    if (map->layer_gate >= 0) {
        if (!stream_layer_input(pass, layer, hidden)) return false;
        add_branch(pass, hidden);
    }
    return true;
}

static bool layer_norm_after(const Pass *pass, int layer, float *hidden) {
    const LayerMap *map = &pass->t->structure->layers[layer];
    const float *branch = pass->running->scratch[SCRATCH_BRANCH];
    if (!pass_attention(pass, layer, hidden)) return false;
    pass_add(pass, hidden, branch);
    pass_norm(pass, map->attention_norm, hidden, pass->tokens, hidden);
    if (map->cross_q >= 0) {
        if (!pass_cross_attention(pass, layer, hidden)) return false;
        pass_add(pass, hidden, branch);
        pass_norm(pass, map->cross_norm, hidden, pass->tokens, hidden);
    }
    if (!mlp_branch(pass, layer, hidden, hidden)) return false;
    pass_add(pass, hidden, branch);
    pass_norm(pass, map->mlp_norm, hidden, pass->tokens, hidden);
    return true;
}

static bool layer_parallel(const Pass *pass, int layer, float *hidden) {
    const LayerMap *map = &pass->t->structure->layers[layer];
    float *normed = pass->running->scratch[SCRATCH_NORMED];
    const float *branch = pass->running->scratch[SCRATCH_BRANCH];
    pass_norm(pass, map->attention_norm, hidden, pass->tokens, normed);
    if (!pass_attention(pass, layer, normed)) return false;
    if (!pass_config(pass)->shared_norm) pass_norm(pass, map->mlp_norm, hidden, pass->tokens, normed);
    pass_add(pass, hidden, branch);
    if (!mlp_branch(pass, layer, normed, hidden)) return false;
    pass_add(pass, hidden, branch);
    return true;
}

// SCRATCH_LAUREL = x + norm(right(left(x))); attention shows x.
static bool laurel(const Pass *pass, const LayerMap *map, const float *x) {
    float *y = pass->running->scratch[SCRATCH_LAUREL], *inner = pass->running->scratch[SCRATCH_RANK];
    if (!pass_linear(pass, map->laurel_left, x, inner) || !pass_observe(pass, map->laurel_right, inner) ||
        !pass_linear(pass, map->laurel_right, inner, y))
        return false;
    pass_norm(pass, map->laurel_norm, y, pass->tokens, y);
    pass_add(pass, y, x);
    return true;
}

// Of several streams of a token the layer computes one, which it has guessed before.
static bool layer_of_streams(const Pass *pass, int layer, float *hidden) {
    (void)hidden; // it is the first of them
    const LayerMap *map = &pass->t->structure->layers[layer];
    const float *beside = pass->running->scratch[SCRATCH_LAUREL];
    Backend *backend = pass->t->backend;
    float *active;
    if (!altup_predict(pass, layer, &active)) return false;
    const float *x = branch_input(pass, map->attention_norm, active);
    if (!laurel(pass, map, x) || !pass_attention(pass, layer, x)) return false;
    add_branch(pass, active);
    pass_add(pass, active, beside);
    backend->ops->scale(backend, active, sqrtf(0.5f), pass->tokens * (size_t)pass_config(pass)->hidden);
    if (!mlp_branch(pass, layer, branch_input(pass, map->mlp_norm, active), active)) return false;
    add_branch(pass, active);
    return altup_correct(pass, layer, active) && altup_tell(pass, layer);
}

static void scale_layer(const Pass *pass, int layer, float *hidden) {
    const Tensor *scalar = pass->t->structure->layers[layer].scalar;
    float factor;
    if (!scalar) return;
    floats_from(scalar->dtype, scalar->data, 1, &factor);
    pass->t->backend->ops->scale(pass->t->backend, hidden, factor, pass->tokens * (size_t)pass_config(pass)->hidden);
}

bool pass_layer(const Pass *pass, int layer, float *hidden) {
    const ModelConfig *config = pass_config(pass);
    if (!(config->parallel        ? layer_parallel
          : config->norm_after    ? layer_norm_after
          : config->altup.streams ? layer_of_streams
                                  : layer_norm_before)(pass, layer, hidden))
        return false;
    scale_layer(pass, layer, hidden);
    return true;
}

// ---- Before the first layer ----

// hidden += rows of a table of positions, the same ones for each sequence.
static void add_rows(const Pass *pass, DType dtype, const void *table, float *hidden) {
    Backend *backend = pass->t->backend;
    const size_t rows = pass->tokens / pass->sequences, width = (size_t)pass_config(pass)->hidden;
    float *branch = pass->running->scratch[SCRATCH_BRANCH];
    backend->ops->embed_positions(backend, dtype, table, width, pass->first, rows, branch);
    for (size_t s = 0; s < pass->sequences; s++)
        backend->ops->add(backend, hidden + s * rows * width, branch, rows * width);
}

static bool add_positions(const Pass *pass, const Tensor *table, float *hidden) {
    const ModelConfig *config = pass_config(pass);
    if (!table && pass->running->sinusoids) add_rows(pass, DTYPE_F32, pass->running->sinusoids, hidden);
    if (!table) return true;
    if (!tensor_hold(table, pass->err)) return false;
    const size_t row = (size_t)config->hidden * dtype_bytes(table->dtype);
    add_rows(pass, table->dtype, (const char *)table->data + (size_t)config->position_offset * row, hidden);
    tensor_keep(table);
    return true;
}

// hidden: [tokens, embedding_width] on the way in.
bool pass_enter(const Pass *pass, float *hidden) {
    const ModelStructure *structure = pass->t->structure;
    const StackEnds *ends = pass->encodes ? &structure->encoder : &structure->ends;
    float *branch = pass->running->scratch[SCRATCH_BRANCH];
    if (structure->project_in >= 0) {
        if (!pass_observe(pass, structure->project_in, hidden) ||
            !pass_linear(pass, structure->project_in, hidden, branch))
            return false;
        pass_copy(pass, branch, (size_t)structure->config.hidden, hidden);
    }
    if (!stream_enter(pass, hidden)) return false;
    if (!add_positions(pass, ends->position_rows, hidden)) return false;
    if (ends->embedding_norm >= 0) pass_norm(pass, ends->embedding_norm, hidden, pass->tokens, hidden);
    return true;
}
