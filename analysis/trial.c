#include "analysis/trial.h"

#include <stdlib.h>
#include <string.h>

#include "analysis/trial_cache.h"
#include "base/array.h"
#include "base/clock.h"
#include "base/hash.h"

uint64_t measured_hash(uint64_t hash, const Measured *measured) {
    for (int i = 0; i < measured->input_count; i++) {
        const InputMeasure *input = &measured->inputs[i];
        if (input->known) hash = hash_bytes(hash, input->channel_absmax, input->width * sizeof(float));
    }
    return hash;
}

static uint64_t key_of(const Trial *t, uint64_t model_key) {
    uint64_t hash = hash_bytes(hash_text(HASH_START, QUANTDIAL_VERSION), &model_key, sizeof model_key);
    return evaluator_hash(t->evaluator, measured_hash(hash, t->measured));
}

bool trial_begin(Transformer *base, QuantizedModel *model, Evaluator *evaluator, const Measured *measured,
                 const char *cache_folder, uint64_t model_key, Trial *out, Error *err) {
    *out = (Trial){.base = base,
                   .model = model,
                   .evaluator = evaluator,
                   .measured = measured,
                   .cache_folder = cache_folder,
                   .model_key = model_key};
    return !cache_folder || trial_cache_open(cache_folder, key_of(out, model_key), &out->cache, err);
}

// For states and logits of the base, so that an evaluation starts at the layer that was changed.
#define PIECES_BYTES ((size_t)256 << 20)

static bool evaluator_on(const Trial *of, Pieces pieces, Evaluator **out, Error *err) {
    size_t window, all;
    const int32_t *ids = evaluator_ids(of->evaluator, &all, &window);
    const size_t tokens = window < pieces.tokens ? window : pieces.tokens;
    const size_t count = all / tokens < pieces.count ? all / tokens : pieces.count;
    int32_t *taken = array_new(count * tokens, sizeof *taken);
    if (!taken) return error_memory(err, "evaluation");
    for (size_t i = 0; i < count; i++) memcpy(taken + i * tokens, ids + all * i / count, tokens * sizeof *taken);
    const bool ok = evaluator_new(of->base, taken, count * tokens, tokens, PIECES_BYTES, out, err);
    free(taken);
    return ok;
}

bool trial_begin_on(const Trial *of, Pieces pieces, Trial *out, Error *err) {
    Evaluator *evaluator;
    *out = (Trial){0};
    if (!evaluator_on(of, pieces, &evaluator, err)) return false;
    const bool ok =
        trial_begin(of->base, of->model, evaluator, of->measured, of->cache_folder, of->model_key, out, err);
    out->own = evaluator;
    return ok;
}

void trial_end(Trial *trial) {
    trial_cache_close(trial->cache);
    evaluator_free(trial->own);
    *trial = (Trial){0};
}

uint64_t trial_work(const Trial *trial) { return evaluator_positions(trial->evaluator); }

// Stands between an evaluation, which counts its own work from 0, and the study that it is part of.
typedef struct Relay {
    Progress inner;
    Progress *outer;
    uint64_t reported;
    double deadline;
} Relay;

static bool is_over(double deadline) { return deadline > 0 && clock_seconds() >= deadline; }

static void report(Relay *relay, uint64_t done) {
    if (done > relay->reported) progress_add(relay->outer, done - relay->reported);
    relay->reported = done > relay->reported ? done : relay->reported;
    if (progress_should_stop(relay->outer) || is_over(relay->deadline)) progress_request_stop(&relay->inner);
}

static void on_window(void *context, const Accuracy *so_far) { report(context, so_far->tokens); }

static Relay relay_to(Progress *outer) {
    return (Relay){.inner = {.also_stop = outer ? &outer->stop : NULL}, .outer = outer};
}

bool trial_follow(Trial *t, const Plan *plan, Progress *progress, Error *err) {
    if (is_over(t->deadline)) return error_stopped(err);
    Relay relay = relay_to(progress);
    int first;
    bool ok = quantized_model_follow(t->model, plan, t->measured, &first, &relay.inner, err);
    if (first < t->first_changed) t->first_changed = first;
    return ok;
}

static bool evaluate(Trial *t, const Plan *plan, Accuracy *out, float *by_position, Progress *progress, Error *err) {
    Relay relay = relay_to(progress);
    relay.deadline = t->deadline;
    if (!trial_follow(t, plan, progress, err)) return false;
    int first = t->first_changed;
    // Whatever becomes of the evaluation, the evaluator knows about these changes now.
    t->first_changed = transformer_structure(t->base)->config.layers;
    if (!evaluator_run(t->evaluator, quantized_model_transformer(t->model), first, on_window, &relay, out, &relay.inner,
                       err))
        return false;
    report(&relay, trial_work(t));
    if (by_position && !evaluator_by_position(t->evaluator, by_position))
        return error_set(err, "not all positions were evaluated");
    trial_cache_add(t->cache, plan_hash(plan), out, by_position);
    return true;
}

bool trial_run_positions(Trial *t, const Plan *plan, Accuracy *out, float *by_position, Progress *progress,
                         Error *err) {
    if (progress_should_stop(progress)) return error_stopped(err);
    if (!trial_cache_find(t->cache, plan_hash(plan), out, by_position))
        return evaluate(t, plan, out, by_position, progress, err);
    progress_skip(progress, trial_work(t));
    return true;
}

bool trial_run(Trial *t, const Plan *plan, Accuracy *out, Progress *progress, Error *err) {
    return trial_run_positions(t, plan, out, NULL, progress, err);
}

bool trial_known(const Trial *t, const Plan *plan, Accuracy *out, float *by_position) {
    return trial_cache_find(t->cache, plan_hash(plan), out, by_position);
}
