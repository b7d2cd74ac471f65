#include "loaders/structure_parts.h"

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
void structure_set_folds(ModelStructure *out, const LayerMap *map) {
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
