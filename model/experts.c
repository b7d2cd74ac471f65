// Mixture of experts: a router picks a few MLPs for each token, and only those are computed.
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "model/transformer_parts.h"

static const Experts *experts_of(const Pass *pass) { return &pass->t->structure->config.experts; }

// ---- Routing, on the host ----

// Those with the largest softmax, and nothing more to it: as backends know it.
static bool experts_plain(const Experts *e) {
    return !e->sigmoid && !e->biased && !e->mixer && e->groups == 0 && e->scale == 0;
}

// A group is as good as its best expert, or with a bias as its two best together.
static float group_score(const Experts *experts, const float *scores) {
    const int each = experts->count / experts->groups;
    float best = -INFINITY, second = -INFINITY;
    for (int e = 0; e < each; e++) {
        second = fmaxf(second, fminf(best, scores[e]));
        best = fmaxf(best, scores[e]);
    }
    return experts->biased && each > 1 ? best + second : best;
}

// Takes the experts of all but the best groups out of the scores.
static void leave_groups(const Experts *experts, float *scores) {
    const int each = experts->count / experts->groups;
    float of_group[EXPERT_GROUPS_MAX];
    for (int g = 0; g < experts->groups; g++) of_group[g] = group_score(experts, scores + g * each);
    for (int k = 0; k < experts->chosen_groups; k++) {
        int best = 0;
        for (int g = 1; g < experts->groups; g++)
            if (of_group[g] > of_group[best] || isnan(of_group[best])) best = g;
        of_group[best] = NAN;
    }
    for (int g = 0; g < experts->groups; g++)
        for (int e = 0; !isnan(of_group[g]) && e < each; e++) scores[g * each + e] = NAN;
}

// The largest score that is left, the first of equals; taken out.
static int best_left(const Experts *experts, float *scores) {
    int best = 0;
    for (int e = 1; e < experts->count; e++)
        if (scores[e] > scores[best] || isnan(scores[best])) best = e;
    scores[best] = NAN;
    return best;
}

// logits become scores of their own; scores are what they are chosen by: where inputs are scaled the logits, of which
// large ones have the same sigmoid.
static void score_experts(const Experts *experts, float *logits, const float *bias, float *scores) {
    float top = logits[0], all = 0;
    for (int e = 1; e < experts->count; e++) top = fmaxf(top, logits[e]);
    for (int e = 0; e < experts->count; e++) {
        scores[e] = logits[e];
        logits[e] = experts->sigmoid ? 1 / (1 + expf(-logits[e])) : expf(logits[e] - top);
        all += logits[e];
    }
    for (int e = 0; e < experts->count; e++) {
        if (!experts->sigmoid) logits[e] /= all;
        if (!experts->scales_inputs) scores[e] = logits[e] + (bias ? bias[e] : 0);
    }
}

// As DeepSeek chooses.
static void experts_choose_by_score(float *logits, const Experts *experts, Routing *routing, const float *bias,
                                    int32_t *chosen, float *weights) {
    const float scale = experts->scale != 0 ? experts->scale : 1;
    float sum = 0;
    score_experts(experts, logits, bias, routing->scores);
    if (experts->groups > 0) leave_groups(experts, routing->scores);
    for (int k = 0; k < experts->per_token; k++) {
        chosen[k] = best_left(experts, routing->scores);
        sum += weights[k] = logits[chosen[k]];
    }
    for (int k = 0; k < experts->per_token; k++) weights[k] *= experts->normalized ? scale / (sum + 1e-20f) : scale;
}

// The `per_token` experts of one token with the largest logits, the first of equals, and their softmax probabilities;
// takes them out of the logits.
static void experts_choose(float *logits, const Experts *experts, int32_t *chosen, float *weights) {
    float top = 0, all = 0, sum = 0;
    for (int k = 0; k < experts->per_token; k++) {
        int best = 0;
        for (int e = 1; e < experts->count; e++)
            if (logits[e] > logits[best] || isnan(logits[best])) best = e;
        if (k == 0) top = logits[best];
        for (int e = 0; k == 0 && e < experts->count; e++) all += expf(logits[e] - top);
        chosen[k] = best;
        sum += weights[k] = expf(logits[best] - top) / all;
        logits[best] = NAN;
    }
    for (int k = 0; experts->normalized && k < experts->per_token; k++) weights[k] /= sum;
}

// SparseMixer: rivals are those that are left and near the best of them.
static void experts_choose_by_rivals(float *logits, const Experts *experts, float *left, int32_t *chosen,
                                     float *weights) {
    memcpy(left, logits, (size_t)experts->count * sizeof *left);
    for (int k = 0; k < experts->per_token; k++) {
        float sum = 1;
        const int best = chosen[k] = best_left(experts, left);
        for (int e = 0; e < experts->count; e++) {
            const float below = (logits[best] - left[e]) / fmaxf(fabsf(left[e]), logits[best]);
            if (!isnan(left[e]) && !(below > experts->tolerance)) sum += expf(left[e] - logits[best]);
        }
        weights[k] = 1 / sum;
    }
}

// logits: of the router, for the tokens of the pass.
static bool experts_route(const Pass *pass, const LayerMap *map, const float *logits) {
    const Experts *experts = experts_of(pass);
    Routing *routing = &pass->running->routing;
    Backend *backend = pass->t->backend;
    if (!sequences_routing(pass->running, experts, pass->tokens, pass->err)) return false;
    size_t count = (size_t)experts->count, most = (size_t)experts->per_token;
    backend->ops->download(backend, routing->logits, logits, pass->tokens * count * sizeof(float));
    const float *bias = map->router_bias ? routing->bias : NULL;
    if (bias) floats_from(map->router_bias->dtype, map->router_bias->data, count, routing->bias);
    if (map->expert_scale) floats_from(map->expert_scale->dtype, map->expert_scale->data, count, routing->scales);
    for (size_t t = 0; t < pass->tokens; t++) {
        float *of_token = routing->logits + t * count, *weights = routing->weights + t * most;
        int32_t *chosen = routing->chosen + t * most;
        if (experts_plain(experts))
            experts_choose(of_token, experts, chosen, weights);
        else if (experts->mixer)
            experts_choose_by_rivals(of_token, experts, routing->scores, chosen, weights);
        else
            experts_choose_by_score(of_token, experts, routing, bias, chosen, weights);
        for (size_t k = 0; map->expert_scale && k < most; k++) weights[k] *= routing->scales[chosen[k]];
    }
    return true;
}

// The tokens of one expert → rows and factors; returns how many.
static size_t experts_collect(const Pass *pass, int expert) {
    const size_t most = (size_t)experts_of(pass)->per_token;
    Routing *r = &pass->running->routing;
    size_t n = 0;
    for (size_t i = 0; i < pass->tokens * most; i++) {
        if (r->chosen[i] != expert) continue;
        r->rows[n] = (int32_t)(i / most);
        r->factors[n++] = r->weights[i];
    }
    return n;
}

// ---- Experts ----

// Of x [all, hidden] the rows of an expert, whose pass this is. Where they are scaled, their results no longer are.
static const float *expert_input(const Pass *pass, size_t all, const float *x) {
    Routing *routing = &pass->running->routing;
    float *routed = pass->running->scratch[SCRATCH_ROUTED], *plain = pass->running->scratch[SCRATCH_EXPERT];
    Backend *backend = pass->t->backend;
    const size_t n = pass->tokens, hidden = (size_t)pass_config(pass)->hidden;
    const bool scaled = experts_of(pass)->scales_inputs;
    if (n == all && !scaled) return x; // they lie there as they are
    backend->ops->gather(backend, x, hidden, routing->rows, n, scaled ? plain : routed);
    if (!scaled) return routed;
    backend->ops->scale(backend, routed, 0, n * hidden);
    backend->ops->scatter_add(backend, plain, hidden, routing->order, routing->factors, n, routed);
    for (size_t i = 0; i < n; i++) routing->factors[i] = 1;
    return routed;
}

static Mlp mlp_of(const Experts *experts, const LayerMap *map, int expert) {
    const bool two = experts->stacked || experts->ungated;
    const int first = map->first_expert + (two ? 2 : 3) * expert;
    if (experts->stacked) return (Mlp){.gate_up = first, .gate = -1, .up = -1, .down = first + 1};
    if (experts->ungated) return (Mlp){.gate_up = -1, .gate = -1, .up = first, .down = first + 1};
    return (Mlp){.gate_up = -1, .gate = first, .up = first + 1, .down = first + 2};
}

static bool run_expert(const Pass *pass, const LayerMap *map, int expert, const float *x) {
    Sequences *running = pass->running;
    Backend *backend = pass->t->backend;
    const size_t hidden = (size_t)pass->t->structure->config.hidden;
    const Mlp mlp = mlp_of(experts_of(pass), map, expert);
    Pass own = *pass; // its tokens only
    own.tokens = experts_collect(pass, expert);
    if (own.tokens == 0) return true;
    if (!pass_mlp(&own, &mlp, expert_input(&own, pass->tokens, x), true, running->scratch[SCRATCH_EXPERT]))
        return false;
    backend->ops->scatter_add(backend, running->scratch[SCRATCH_EXPERT], hidden, running->routing.rows,
                              running->routing.factors, own.tokens, running->scratch[SCRATCH_BRANCH]);
    return true;
}

static bool run_chosen(const Pass *pass, const LayerMap *map, const float *logits, const float *x) {
    Backend *backend = pass->t->backend;
    const size_t n = pass->tokens * (size_t)pass->t->structure->config.hidden;
    if (!experts_route(pass, map, logits)) return false;
    backend->ops->scale(backend, pass->running->scratch[SCRATCH_BRANCH], 0, n);
    for (int expert = 0; expert < experts_of(pass)->count; expert++)
        if (!run_expert(pass, map, expert, x)) return false;
    return true;
}

// The expert that sees every token, weighed by a sigmoid of its own if there is one.
static bool run_shared(const Pass *pass, const LayerMap *map, const float *x) {
    float **scratch = pass->running->scratch;
    Backend *backend = pass->t->backend;
    const Mlp mlp = {map->shared_gate_up, map->shared_gate, map->shared_up, map->shared_down, NULL, NULL};
    if (map->shared_down < 0) return true;
    if (!pass_mlp(pass, &mlp, x, false, scratch[SCRATCH_EXPERT])) return false; // the router has shown x
    if (map->shared_router < 0) {
        pass_add(pass, scratch[SCRATCH_BRANCH], scratch[SCRATCH_EXPERT]);
        return true;
    }
    if (!pass_linear(pass, map->shared_router, x, scratch[SCRATCH_ROUTER])) return false;
    backend->ops->gated_add(backend, scratch[SCRATCH_ROUTER], scratch[SCRATCH_EXPERT], pass->tokens,
                            (size_t)pass->t->structure->config.hidden, scratch[SCRATCH_BRANCH]);
    return true;
}

// ---- As one operation ----

static Mixture *mixture_new(const Transformer *t, const LayerMap *map) {
    const Experts *experts = &t->structure->config.experts;
    const MixtureShape shape = {experts->count, experts->per_token, experts->normalized,
                                t->structure->config.activation};
    const size_t count = (size_t)experts->count;
    const Weight **weights = array_new(3 * count, sizeof *weights);
    Mixture *mixture = NULL;
    for (size_t i = 0; weights && i < 3 * count; i++)
        weights[i % 3 * count + i / 3] = transformer_linear(t, map->first_expert + (int)i);
    if (weights)
        mixture = t->backend->ops->mixture_new(t->backend, &shape, weights, weights + count, weights + 2 * count);
    free(weights);
    return mixture;
}

// Without the host, unless someone wants to see what the experts get. False: nothing has happened.
static bool run_mixture(const Pass *pass, int layer, const float *logits, const float *x) {
    Transformer *t = pass->t;
    const BackendOps *ops = t->backend->ops;
    LayerMixture *own = &t->mixtures[layer];
    if (!ops->mixture_new || pass->observer || own->refused || !experts_plain(experts_of(pass)) ||
        experts_of(pass)->stacked || experts_of(pass)->ungated || t->structure->layers[layer].expert_scale)
        return false;
    if (!own->mixture) own->mixture = mixture_new(t, &t->structure->layers[layer]);
    own->refused = !own->mixture;
    return own->mixture &&
           ops->mixture(t->backend, own->mixture, logits, x, pass->tokens, pass->running->scratch[SCRATCH_BRANCH]);
}

bool pass_experts(const Pass *pass, int layer, const float *x) {
    const LayerMap *map = &pass->t->structure->layers[layer];
    float *logits = pass->running->scratch[SCRATCH_ROUTER], *normed = pass->running->scratch[SCRATCH_NORMED];
    const float *routed = x;
    if (map->router_norm >= 0) {
        pass_norm(pass, map->router_norm, x, pass->tokens, normed);
        routed = normed;
    }
    if (!pass_observe(pass, map->router, routed) || !pass_linear(pass, map->router, routed, logits)) return false;
    if (map->experts_norm >= 0) {
        pass_norm(pass, map->experts_norm, x, pass->tokens, normed);
        x = normed;
    }
    return (run_mixture(pass, layer, logits, x) || run_chosen(pass, map, logits, x)) && run_shared(pass, map, x);
}
