// Decoding one token is the same few hundred operations every time. A backend that can record them runs them again with
// one call; here it is decided when to record, and when a recorded step is out of date.
#include "model/transformer_parts.h"

void session_forget_step(Session *session) {
    if (session->step) session->backend->ops->step_free(session->backend, session->step);
    session->step = NULL;
    session->step_of = NULL;
}

static bool is_recorded(const Session *session, const Transformer *t) {
    return session->step && session->step_of == t && session->step_version == t->version;
}

// Experts are chosen on the host: such a step cannot be recorded.
static bool can_record(const Transformer *t) {
    return t->backend->ops->step_begin && t->structure->config.experts.count == 0;
}

static void record(Transformer *t, Session *session, const int32_t *ids) {
    const BackendOps *ops = t->backend->ops;
    float *hidden = session->scratch[SCRATCH_HIDDEN];
    const size_t tokens = session->sequences;
    session_forget_step(session);
    if (!ops->step_begin(t->backend)) return;
    bool ok = transformer_embed(t, ids, tokens, hidden, NULL) &&
              transformer_layers(t, session, 0, t->structure->config.layers, hidden, tokens, NULL, NULL) &&
              transformer_head(t, session, hidden, tokens, session->logits, NULL, NULL);
    session->step = ops->step_end(t->backend);
    session->step_of = t;
    session->step_version = t->version;
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

bool session_step(Transformer *t, Session *session, const int32_t *ids) {
    if (session->step_refused || !can_record(t)) return false;
    if (is_recorded(session, t) && run(t, session, ids)) return true;
    // The first time everything runs as ever, and makes the memory that the step will need.
    if (session->scratch_tokens < session->sequences ||
        !session_logits(session, session->sequences, (size_t)t->structure->config.vocab, NULL))
        return false;
    record(t, session, ids);
    session->step_refused = !session->step;
    return run(t, session, ids);
}
