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

// Experts are chosen on the host, and learned positions are looked up there: such a step cannot be recorded.
static bool can_record(const Transformer *t) {
    const ModelStructure *structure = t->structure;
    return t->backend->ops->step_begin && structure->config.experts.count == 0 && !structure->position_rows;
}

static void record(Transformer *t, Session *session, int32_t id) {
    const BackendOps *ops = t->backend->ops;
    float *hidden = session->scratch[SCRATCH_HIDDEN];
    session_forget_step(session);
    if (!ops->step_begin(t->backend)) return;
    bool ok = transformer_embed(t, &id, 1, hidden, NULL) &&
              transformer_layers(t, session, 0, t->structure->config.layers, hidden, 1, NULL, NULL) &&
              transformer_head(t, session, hidden, 1, session->logits, NULL, NULL);
    session->step = ops->step_end(t->backend);
    session->step_of = t;
    session->step_version = t->version;
    if (!ok) session_forget_step(session);
}

// The token's row is read from the table at every run.
static bool run(Transformer *t, const Session *session, int32_t id) {
    const Tensor *table = t->structure->embedding;
    if (!session->step || !tensor_hold(table, NULL)) return false;
    bool ran = t->backend->ops->step_run(t->backend, session->step, id, session->length);
    tensor_keep(table);
    return ran;
}

bool session_step(Transformer *t, Session *session, int32_t id) {
    if (session->step_refused || !can_record(t)) return false;
    if (is_recorded(session, t) && run(t, session, id)) return true;
    // The first time everything runs as ever, and makes the memory that the step will need.
    if (session->scratch_tokens == 0 || session->logits_rows == 0) return false;
    record(t, session, id);
    session->step_refused = !session->step;
    return run(t, session, id);
}
