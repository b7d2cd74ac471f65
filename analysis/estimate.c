#include "analysis/sensitivity.h"

#include <stdlib.h>
#include <string.h>

#include "base/array.h"

// Room for the states of one window, for the divergences of whole layers.
#define STATES_BYTES ((size_t)64 << 20)

typedef struct Estimator {
    Trial trial; // on one window, keeping nothing
    const Plan *plan;
    const ModelStructure *structure;
    Plan varied;
    Sequences *base_running, *running;
    const int32_t *ids;
    size_t tokens, width;
    float *before, *after; // [tokens, width] in backend memory: the base's hidden states around the layer
    float *exact, *other;  // [tokens, width]
    double *estimates;     // [linear_count]
    Progress *progress;
    Error *err;
} Estimator;

static bool estimator_new(Estimator *e, const Trial *of) {
    Transformer *base = of->base;
    Backend *backend = transformer_backend(base);
    size_t linears = (size_t)e->plan->linear_count, bytes;
    e->structure = transformer_structure(base);
    e->ids = evaluator_window(of->evaluator, &e->tokens);
    e->width = (size_t)e->structure->config.hidden;
    bytes = e->tokens * e->width * sizeof(float);
    e->varied = (Plan){.linear_count = e->plan->linear_count,
                       .cache_bits = 16,
                       .decisions = array_new(linears, sizeof *e->varied.decisions)};
    e->exact = array_new(bytes, 1);
    e->other = array_new(bytes, 1);
    if (!e->varied.decisions || !e->exact || !e->other) return error_memory(e->err, "estimates");
    e->trial = (Trial){.base = base, .model = of->model, .measured = of->measured};
    return (e->before = backend->ops->memory_new(backend, bytes, e->err)) &&
           (e->after = backend->ops->memory_new(backend, bytes, e->err)) &&
           evaluator_new(base, e->ids, e->tokens, e->tokens, STATES_BYTES, &e->trial.evaluator, e->err) &&
           sequences_new(base, e->tokens, &e->base_running, e->err) &&
           sequences_new(base, e->tokens, &e->running, e->err);
}

static void estimator_free(Estimator *e) {
    Backend *backend = transformer_backend(e->trial.base);
    if (e->before) backend->ops->memory_free(backend, e->before);
    if (e->after) backend->ops->memory_free(backend, e->after);
    if (e->base_running) sequences_free(e->base_running);
    if (e->running) sequences_free(e->running);
    evaluator_free(e->trial.evaluator);
    plan_free(&e->varied);
    free(e->exact);
    free(e->other);
}

// One layer on the hidden states before it; result: [tokens, width] on the host.
static bool run_layer(const Estimator *e, Transformer *t, Sequences *running, int layer, float *result) {
    const Backend *backend = transformer_backend(t);
    size_t bytes = e->tokens * e->width * sizeof(float);
    backend->ops->download((Backend *)backend, result, e->before, bytes);
    backend->ops->upload((Backend *)backend, e->after, result, bytes);
    sequences_rewind(running, 0);
    if (!transformer_layers(t, running, layer, layer + 1, e->after, e->tokens, NULL, e->err)) return false;
    backend->ops->download((Backend *)backend, result, e->after, bytes);
    return transformer_healthy(t, e->err);
}

// What the varied model does to the hidden states behind a layer: error / signal of each token, their mean.
static bool layer_error(Estimator *e, int layer, double *out) {
    if (!trial_follow(&e->trial, &e->varied, e->progress, e->err) ||
        !run_layer(e, quantized_model_transformer(e->trial.model), e->running, layer, e->other))
        return false;
    double sum = 0;
    for (size_t t = 0; t < e->tokens; t++) {
        double signal = 0, noise = 0;
        for (size_t i = t * e->width; i < (t + 1) * e->width; i++) {
            double x = (double)e->exact[i], d = x - (double)e->other[i];
            signal += x * x;
            noise += d * d;
        }
        sum += signal > 0 ? noise / signal : 0;
    }
    *out = sum / (double)e->tokens;
    return true;
}

// The varied plan: the quantized linears of one layer, or one of them.
static int take_layer(Estimator *e, int layer, int only) {
    int count = 0;
    memset(e->varied.decisions, 0, (size_t)e->varied.linear_count * sizeof *e->varied.decisions);
    for (int i = 0; i < e->varied.linear_count; i++) {
        bool taken = e->structure->linears[i].layer == layer && e->plan->decisions[i].quantized;
        if (!taken || (only >= 0 && only != i)) continue;
        e->varied.decisions[i] = e->plan->decisions[i];
        count++;
    }
    return count;
}

static bool divergence(Estimator *e, double *kl) {
    Accuracy accuracy;
    Progress quiet = {.also_stop = e->progress ? &e->progress->stop : NULL};
    if (!trial_run(&e->trial, &e->varied, &accuracy, &quiet, e->err)) return false;
    *kl = accuracy.kl_mean;
    return true;
}

// The divergence of the whole layer goes to its linears by the error that each brings alone.
static bool estimate_layer(Estimator *e, int layer) {
    double whole_error, kl, error;
    if (take_layer(e, layer, -1) == 0) return true;
    if (!layer_error(e, layer, &whole_error) || !divergence(e, &kl)) return false;
    for (int i = 0; i < e->plan->linear_count; i++) {
        if (e->structure->linears[i].layer != layer || !e->plan->decisions[i].quantized) continue;
        take_layer(e, layer, i);
        if (!layer_error(e, layer, &error)) return false;
        e->estimates[i] = whole_error > 0 ? kl * error / whole_error : 0;
        if (!progress_add(e->progress, 1)) return error_stopped(e->err);
    }
    return true;
}

static bool estimate_layers(Estimator *e) {
    Backend *backend = transformer_backend(e->trial.base);
    if (!transformer_embed(e->trial.base, e->ids, e->tokens, e->before, e->err)) return false;
    for (int layer = 0; layer < e->structure->config.layers; layer++) {
        if (!run_layer(e, e->trial.base, e->base_running, layer, e->exact) || !estimate_layer(e, layer)) return false;
        backend->ops->upload(backend, e->before, e->exact, e->tokens * e->width * sizeof(float));
    }
    return true;
}

// The head, and what stands between the embedding and the layers, has no layer whose error could be shared.
static bool measure_others(Estimator *e) {
    for (int i = 0; i < e->plan->linear_count; i++) {
        if (e->structure->linears[i].layer >= 0 || !e->plan->decisions[i].quantized) continue;
        take_layer(e, -1, i);
        if (!divergence(e, &e->estimates[i])) return false;
        if (!progress_add(e->progress, 1)) return error_stopped(e->err);
    }
    return true;
}

bool sensitivity_estimate(Trial *trial, const Plan *plan, double *estimates, Progress *progress, Error *err) {
    Estimator e = {.plan = plan, .estimates = estimates, .progress = progress, .err = err};
    uint64_t count = 0;
    for (int i = 0; i < plan->linear_count; i++) count += plan->decisions[i].quantized;
    progress_begin(progress, "estimating", count);
    e.trial.base = trial->base;
    bool ok = estimator_new(&e, trial) && estimate_layers(&e) && measure_others(&e);
    estimator_free(&e);
    trial->first_changed = 0; // the model went elsewhere
    return ok;
}
