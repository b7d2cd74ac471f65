#include <stdlib.h>

#include "base/array.h"
#include "model/alibi.h"
#include "model/rope.h"
#include "model/transformer_parts.h"

static DType cache_type(const Transformer *t) {
    if (t->cache_bits == 8) return DTYPE_I8;
    if (t->precision == PRECISION_F32) return DTYPE_F32;
    return t->structure->embedding->dtype == DTYPE_BF16 ? DTYPE_BF16 : DTYPE_F16;
}

static size_t larger(size_t a, size_t b) { return a > b ? a : b; }

static void scratch_widths(const ModelStructure *structure, size_t *widths) {
    const ModelConfig *config = &structure->config;
    size_t hidden = (size_t)config->hidden, ffn = 0, fused = 0;
    size_t attended = (size_t)config->heads * (size_t)config->head_dim;
    size_t cached = (size_t)config->kv_heads * (size_t)config->head_dim;
    for (int i = 0; i < structure->linear_count; i++) {
        const Linear *linear = &structure->linears[i];
        if (linear->role == ROLE_DOWN || linear->role == ROLE_FC2) ffn = larger(ffn, linear->in);
        if (linear->role == ROLE_QKV || linear->role == ROLE_GATE_UP) fused = larger(fused, linear->out);
    }
    widths[SCRATCH_HIDDEN] = widths[SCRATCH_NORMED] = widths[SCRATCH_BRANCH] = hidden;
    widths[SCRATCH_Q] = widths[SCRATCH_MIXED] = attended;
    widths[SCRATCH_K] = widths[SCRATCH_V] = cached;
    widths[SCRATCH_FUSED] = fused;
    widths[SCRATCH_GATE] = widths[SCRATCH_UP] = widths[SCRATCH_INNER] = ffn;
    widths[SCRATCH_ROUTER] = (size_t)config->experts.count;
    widths[SCRATCH_ROUTED] = widths[SCRATCH_EXPERT] = config->experts.count ? hidden : 0;
}

static float *upload_new(Backend *backend, const float *host, size_t floats, Error *err) {
    float *device = backend->ops->memory_new(backend, floats * sizeof(float), err);
    if (device) backend->ops->upload(backend, device, host, floats * sizeof(float));
    return device;
}

// The tables are made for the positions of the session, not of the model: 131,072 positions would take longer than a
// short text.
static bool make_rope(Session *session, const ModelConfig *config, bool windowed, RopeTable *out, Error *err) {
    size_t pairs = (size_t)rope_dims(config) / 2, floats = session->positions * pairs;
    float *frequencies = array_new(pairs, sizeof(float));
    float *cosine = array_new(floats, sizeof(float));
    float *sine = array_new(floats, sizeof(float));
    bool ok = frequencies && cosine && sine;
    if (ok) {
        float factor = rope_frequencies(config, windowed, session->positions, frequencies);
        rope_tables(frequencies, pairs, session->positions, factor, cosine, sine);
        out->cosine = upload_new(session->backend, cosine, floats, err);
        out->sine = out->cosine ? upload_new(session->backend, sine, floats, err) : NULL;
        ok = out->sine != NULL;
    } else {
        error_memory(err, "position tables");
    }
    session->backend->ops->synchronize(session->backend); // uploads may still read from these
    free(frequencies);
    free(cosine);
    free(sine);
    return ok;
}

static bool make_alibi(Session *session, const ModelConfig *config, Error *err) {
    size_t floats = (size_t)config->heads * session->positions;
    float *bias = array_new(floats, sizeof(float));
    if (!bias) return error_memory(err, "position biases");
    alibi_table(config, session->positions, bias);
    session->alibi = upload_new(session->backend, bias, floats, err);
    session->backend->ops->synchronize(session->backend);
    free(bias);
    return session->alibi != NULL;
}

static bool make_positions(Session *session, const ModelConfig *config, Error *err) {
    switch (config->positions) {
    case POSITIONS_LEARNED: return true; // rows of a table, looked up as they are needed
    case POSITIONS_ALIBI: return make_alibi(session, config, err);
    case POSITIONS_ROPE: break;
    }
    return make_rope(session, config, false, &session->rope, err) &&
           (config->rope_window_theta == 0 || make_rope(session, config, true, &session->windowed_rope, err));
}

static bool check_positions(const ModelConfig *config, size_t positions, Error *err) {
    if (positions == 0) return error_set(err, "a sequence needs at least one position");
    if (positions > (size_t)config->max_positions)
        return error_set(err, "%zu positions are more than the %d of the model (max_position_embeddings)", positions,
                         config->max_positions);
    return true;
}

bool session_new(const Transformer *t, size_t positions, Session **out, Error *err) {
    return session_new_many(t, positions, 1, out, err);
}

bool session_new_many(const Transformer *t, size_t positions, size_t sequences, Session **out, Error *err) {
    *out = NULL;
    const ModelConfig *config = &t->structure->config;
    if (!check_positions(config, positions, err)) return false;
    Session *session = array_new(1, sizeof *session);
    if (!session) return error_memory(err, "session");
    session->backend = t->backend;
    session->positions = positions;
    session->sequences = sequences;
    scratch_widths(t->structure, session->widths);
    if (!t->backend->ops->cache_new(t->backend, config->layers, sequences, config->kv_heads, config->head_dim,
                                    positions, cache_type(t), &session->cache, err) ||
        !make_positions(session, config, err)) {
        session_free(session);
        return false;
    }
    *out = session;
    return true;
}

static void memory_drop(Backend *backend, float **memory) {
    if (*memory) backend->ops->memory_free(backend, *memory);
    *memory = NULL;
}

static void scratch_free(Session *session) {
    for (int i = 0; i < SCRATCH_COUNT; i++) memory_drop(session->backend, &session->scratch[i]);
    session->scratch_tokens = 0;
}

static void routing_free(Routing *routing) {
    free(routing->logits);
    free(routing->chosen);
    free(routing->weights);
    free(routing->rows);
    free(routing->factors);
    *routing = (Routing){0};
}

bool session_routing(Session *session, const Experts *experts, size_t tokens, Error *err) {
    Routing *r = &session->routing;
    if (tokens <= r->tokens) return true;
    size_t chosen = tokens * (size_t)experts->per_token;
    routing_free(r);
    r->logits = array_new(tokens * (size_t)experts->count, sizeof *r->logits);
    r->chosen = array_new(chosen, sizeof *r->chosen);
    r->weights = array_new(chosen, sizeof *r->weights);
    r->rows = array_new(tokens, sizeof *r->rows);
    r->factors = array_new(tokens, sizeof *r->factors);
    if (r->logits && r->chosen && r->weights && r->rows && r->factors) {
        r->tokens = tokens;
        return true;
    }
    routing_free(r);
    return error_memory(err, "the routing of tokens to experts");
}

void session_forget_step(Session *session) {
    if (session->step) session->backend->ops->step_free(session->backend, session->step);
    session->step = NULL;
}

void session_free(Session *session) {
    if (!session) return;
    session->backend->ops->synchronize(session->backend);
    session_forget_step(session);
    scratch_free(session);
    memory_drop(session->backend, &session->logits);
    memory_drop(session->backend, &session->rope.cosine);
    memory_drop(session->backend, &session->rope.sine);
    memory_drop(session->backend, &session->windowed_rope.cosine);
    memory_drop(session->backend, &session->windowed_rope.sine);
    memory_drop(session->backend, &session->alibi);
    routing_free(&session->routing);
    session->backend->ops->cache_free(session->backend, session->cache);
    free(session->observed);
    free(session);
}

void session_rewind(Session *session, size_t positions) {
    if (positions < session->length) session->length = positions;
}

size_t session_length(const Session *session) { return session->length; }

void session_advance(Session *session, size_t tokens) { session->length += tokens; }

bool session_scratch(Session *session, size_t tokens, Error *err) {
    if (tokens <= session->scratch_tokens) return true;
    session->backend->ops->synchronize(session->backend);
    scratch_free(session);
    for (int i = 0; i < SCRATCH_COUNT; i++) {
        size_t bytes = tokens * session->widths[i] * sizeof(float);
        if (bytes == 0) continue;
        session->scratch[i] = session->backend->ops->memory_new(session->backend, bytes, err);
        if (!session->scratch[i]) {
            scratch_free(session);
            return false;
        }
    }
    session->scratch_tokens = tokens;
    return true;
}

bool session_logits(Session *session, size_t rows, size_t vocab, Error *err) {
    if (rows <= session->logits_rows) return true;
    session->backend->ops->synchronize(session->backend);
    memory_drop(session->backend, &session->logits);
    session->logits_rows = 0;
    session->logits = session->backend->ops->memory_new(session->backend, rows * vocab * sizeof(float), err);
    if (!session->logits) return false;
    session->logits_rows = rows;
    return true;
}

float *session_observed(Session *session, size_t floats, Error *err) {
    if (floats <= session->observed_floats) return session->observed;
    free(session->observed);
    session->observed = array_new(floats, sizeof(float));
    session->observed_floats = session->observed ? floats : 0;
    if (!session->observed) error_memory(err, "observed activations");
    return session->observed;
}
