// Mixture of experts: a router picks a few MLPs for each token, and only those are computed.
#include <math.h>
#include <string.h>

#include "model/transformer_parts.h"

static const Experts *experts_of(const Pass *pass) { return &pass->t->structure->config.experts; }

// ---- Routing, on the host ----

static void softmax(float *x, int n) {
    float most = -INFINITY, sum = 0;
    for (int i = 0; i < n; i++) most = x[i] > most ? x[i] : most;
    for (int i = 0; i < n; i++) sum += x[i] = expf(x[i] - most);
    for (int i = 0; i < n; i++) x[i] /= sum;
}

// The `per_token` most probable experts of one token, the first of equals; takes them out of the probabilities.
static void choose(float *probabilities, const Experts *experts, int32_t *chosen, float *weights) {
    float sum = 0;
    for (int k = 0; k < experts->per_token; k++) {
        int best = 0;
        for (int e = 1; e < experts->count; e++)
            if (probabilities[e] > probabilities[best]) best = e;
        chosen[k] = best;
        sum += weights[k] = probabilities[best];
        probabilities[best] = -1;
    }
    for (int k = 0; experts->normalized && k < experts->per_token; k++) weights[k] /= sum;
}

static bool route(const Pass *pass, int router, const float *x) {
    const Experts *experts = experts_of(pass);
    Routing *routing = &pass->session->routing;
    Backend *backend = pass->t->backend;
    float *logits = pass->session->scratch[SCRATCH_ROUTER];
    if (!session_routing(pass->session, experts, pass->tokens, pass->err) || !pass_observe(pass, router, x) ||
        !pass_linear(pass, router, x, logits))
        return false;
    size_t count = (size_t)experts->count, most = (size_t)experts->per_token;
    backend->ops->download(backend, routing->logits, logits, pass->tokens * count * sizeof(float));
    for (size_t t = 0; t < pass->tokens; t++) {
        softmax(routing->logits + t * count, experts->count);
        choose(routing->logits + t * count, experts, routing->chosen + t * most, routing->weights + t * most);
    }
    return true;
}

// The tokens of one expert → rows and factors; returns how many.
static size_t collect(const Pass *pass, int expert) {
    const size_t most = (size_t)experts_of(pass)->per_token;
    Routing *r = &pass->session->routing;
    size_t n = 0;
    for (size_t i = 0; i < pass->tokens * most; i++) {
        if (r->chosen[i] != expert) continue;
        r->rows[n] = (int32_t)(i / most);
        r->factors[n++] = r->weights[i];
    }
    return n;
}

// ---- Experts ----

static bool run_expert(const Pass *pass, const LayerMap *map, int expert, const float *x) {
    Session *session = pass->session;
    Backend *backend = pass->t->backend;
    const size_t hidden = (size_t)pass->t->structure->config.hidden;
    const int gate = map->first_expert + 3 * expert;
    const Mlp mlp = {.gate_up = -1, .gate = gate, .up = gate + 1, .down = gate + 2};
    Pass own = *pass; // its tokens only
    own.tokens = collect(pass, expert);
    if (own.tokens == 0) return true;
    if (own.tokens < pass->tokens) { // else they lie there as they are
        float *routed = session->scratch[SCRATCH_ROUTED];
        backend->ops->gather(backend, x, hidden, session->routing.rows, own.tokens, routed);
        x = routed;
    }
    if (!pass_mlp(&own, &mlp, x, true, session->scratch[SCRATCH_EXPERT])) return false;
    backend->ops->scatter_add(backend, session->scratch[SCRATCH_EXPERT], hidden, session->routing.rows,
                              session->routing.factors, own.tokens, session->scratch[SCRATCH_BRANCH]);
    return true;
}

// The expert that sees every token, weighed by a sigmoid of its own.
static bool run_shared(const Pass *pass, const LayerMap *map, const float *x) {
    Session *session = pass->session;
    Backend *backend = pass->t->backend;
    Routing *r = &session->routing;
    const Mlp mlp = {.gate_up = -1, .gate = map->shared_gate, .up = map->shared_up, .down = map->shared_down};
    if (map->shared_down < 0) return true;
    if (!pass_mlp(pass, &mlp, x, false, session->scratch[SCRATCH_EXPERT]) || // the router has shown x
        !pass_linear(pass, map->shared_router, x, session->scratch[SCRATCH_ROUTER]))
        return false;
    backend->ops->download(backend, r->factors, session->scratch[SCRATCH_ROUTER], pass->tokens * sizeof(float));
    for (size_t t = 0; t < pass->tokens; t++) {
        r->factors[t] = 1 / (1 + expf(-r->factors[t]));
        r->rows[t] = (int32_t)t;
    }
    backend->ops->scatter_add(backend, session->scratch[SCRATCH_EXPERT], (size_t)pass->t->structure->config.hidden,
                              r->rows, r->factors, pass->tokens, session->scratch[SCRATCH_BRANCH]);
    return true;
}

bool pass_experts(const Pass *pass, int layer, const float *x) {
    const LayerMap *map = &pass->t->structure->layers[layer];
    Backend *backend = pass->t->backend;
    const size_t n = pass->tokens * (size_t)pass->t->structure->config.hidden;
    if (!route(pass, map->router, x)) return false;
    backend->ops->scale(backend, pass->session->scratch[SCRATCH_BRANCH], 0, n);
    for (int expert = 0; expert < experts_of(pass)->count; expert++) {
        if (!run_expert(pass, map, expert, x)) return false;
    }
    return run_shared(pass, map, x);
}
