// Decoding one token is the same few hundred operations every time. A backend that can record them runs them again with
// one call. This file decides when to record, and when a recorded step is out of date.
#include "model/transformer_parts.h"

// A step whose experts are chosen on the host cannot be recorded; where a mixture is refused, recording breaks off.
static bool can_record(const Transformer *t) {
    const BackendOps *ops = t->backend->ops;
    return ops->step_begin && (t->structure->config.experts.count == 0 || ops->mixture_new);
}

static void record_step(Transformer *t, Sequences *running, const int32_t *ids) {
    const BackendOps *ops = t->backend->ops;
    float *hidden = running->scratch[SCRATCH_HIDDEN];
    const size_t tokens = running->count;
    if (!ops->step_begin(t->backend)) return;
    bool ok = transformer_embed(t, ids, tokens, hidden, NULL) &&
              transformer_layers(t, running, 0, t->structure->config.layers, hidden, tokens, NULL, NULL) &&
              transformer_head(t, running, hidden, tokens, running->logits, NULL, NULL);
    running->step = ops->step_end(t->backend);
    if (!ok) sequences_forget_step(running);
}

// Rows of tokens and positions are read from their tables at every run.
static bool run_step(Transformer *t, const Sequences *running, const int32_t *ids) {
    const Tensor *tables[] = {t->structure->embedding, t->structure->layer_embedding, t->structure->ends.position_rows};
    const int count = sizeof tables / sizeof *tables;
    int held = 0;
    if (!running->step) return false;
    while (held < count && (!tables[held] || tensor_hold(tables[held], NULL))) held++;
    bool ran = held == count && t->backend->ops->step_run(t->backend, running->step, ids, sequences_target(running));
    while (held-- > 0)
        if (tables[held]) tensor_keep(tables[held]);
    return ran;
}

// A step looks every token up in every table.
static bool are_in_tables(const Transformer *t, const int32_t *ids, size_t count) {
    for (size_t i = 0; t->structure->layer_embedding && i < count; i++)
        if (ids[i] >= t->structure->config.layer_inputs.vocab) return false;
    return true;
}

// Whether the last call used the same transformer: only then is there a step, or is one worth recording.
static bool is_same(Sequences *running, const Transformer *t) {
    if (running->step_of == t && running->step_version == t->version) return true;
    sequences_forget_step(running);
    running->step_of = t;
    running->step_version = t->version;
    running->step_refused = false;
    return false;
}

bool sequences_step(Transformer *t, Sequences *running, const int32_t *ids) {
    if (!can_record(t) || !are_in_tables(t, ids, running->count)) return false;
    // The first time everything runs as usual: it makes the memory that the step will need, and a device may load its
    // programs, which it could not while it records.
    if (!is_same(running, t) || running->scratch_tokens < running->count) return false;
    if (run_step(t, running, ids)) return true;
    sequences_forget_step(running);
    if (running->step_refused || !sequences_logits(running, running->count, (size_t)t->structure->config.vocab, NULL))
        return false;
    record_step(t, running, ids);
    running->step_refused = !running->step;
    return run_step(t, running, ids);
}
