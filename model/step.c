// Decoding one token is the same few hundred operations every time. A backend that can record them runs them again with
// one call; here it is decided when to record, and when a recorded step is out of date.
#include "model/transformer_parts.h"

// A step whose experts are chosen on the host cannot be recorded; where a mixture is refused, recording breaks off.
static bool can_record(const Transformer *t) {
    const BackendOps *ops = t->backend->ops;
    return ops->step_begin && (t->structure->config.experts.count == 0 || ops->mixture_new);
}

static void record(Transformer *t, Session *session, const int32_t *ids) {
    const BackendOps *ops = t->backend->ops;
    float *hidden = session->scratch[SCRATCH_HIDDEN];
    const size_t tokens = session->sequences;
    if (!ops->step_begin(t->backend)) return;
    bool ok = transformer_embed(t, ids, tokens, hidden, NULL) &&
              transformer_layers(t, session, 0, t->structure->config.layers, hidden, tokens, NULL, NULL) &&
              transformer_head(t, session, hidden, tokens, session->logits, NULL, NULL);
    session->step = ops->step_end(t->backend);
    if (!ok) session_forget_step(session);
}

// Rows of tokens and positions are read from their tables at every run.
static bool run(Transformer *t, const Session *session, const int32_t *ids) {
    const Tensor *table = t->structure->embedding, *positions = t->structure->position_rows;
    if (!session->step || !tensor_hold(table, NULL)) return false;
    const bool held = !positions || tensor_hold(positions, NULL);
    bool ran = held && t->backend->ops->step_run(t->backend, session->step, ids, session->length);
    if (held && positions) tensor_keep(positions);
    tensor_keep(table);
    return ran;
}

// Whether this is what the last call was about: only then is there a step, or is one worth recording.
static bool is_same(Session *session, const Transformer *t) {
    if (session->step_of == t && session->step_version == t->version) return true;
    session_forget_step(session);
    session->step_of = t;
    session->step_version = t->version;
    session->step_refused = false;
    return false;
}

bool session_step(Transformer *t, Session *session, const int32_t *ids) {
    if (!can_record(t)) return false;
    // The first time everything runs as ever: it makes the memory that the step will need, and a device may load its
    // programs, which it could not while it records.
    if (!is_same(session, t) || session->scratch_tokens < session->sequences) return false;
    if (run(t, session, ids)) return true;
    session_forget_step(session);
    if (session->step_refused || !session_logits(session, session->sequences, (size_t)t->structure->config.vocab, NULL))
        return false;
    record(t, session, ids);
    session->step_refused = !session->step;
    return run(t, session, ids);
}
