// Whole forward passes: from ids to logits or to the next token, by a recorded step where there is one.
#include <math.h>

#include "model/transformer_parts.h"

// Rows of logits that are made at once: a whole prompt times a large vocabulary would take gigabytes.
static size_t rows_at_once(size_t vocab) {
    const size_t floats = (size_t)1 << 24;
    return vocab < floats ? floats / vocab : 1;
}

// Logits of the last `rows` of the tokens in the scratch's residual stream → the host.
static bool download_logits(Transformer *t, Sequences *running, size_t tokens, size_t rows, float *logits,
                            const Observer *observer, Error *err) {
    size_t vocab = (size_t)t->structure->config.vocab, hidden = (size_t)t->structure->config.hidden;
    size_t most = rows_at_once(vocab);
    const float *x = running->scratch[SCRATCH_HIDDEN] + (tokens - rows) * hidden; // [rows, hidden]
    for (size_t done = 0; done < rows;) {
        size_t now = rows - done < most ? rows - done : most;
        if (!sequences_logits(running, now, vocab, err)) return false;
        if (!transformer_head(t, running, x + done * hidden, now, running->logits, observer, err)) return false;
        t->backend->ops->download(t->backend, logits + done * vocab, running->logits, now * vocab * sizeof(float));
        done += now;
    }
    return transformer_healthy(t, err);
}

// All layers, into the scratch's residual stream.
static bool run_layers(Transformer *t, Sequences *running, const int32_t *ids, size_t tokens, const Observer *observer,
                       Error *err) {
    if (tokens == 0) return error_set(err, "there are no tokens to run");
    if (!forward_has_room(running, tokens, err) || !sequences_scratch(running, tokens, err)) return false;
    float *hidden = running->scratch[SCRATCH_HIDDEN];
    return transformer_embed(t, ids, tokens, hidden, err) &&
           transformer_layers(t, running, 0, t->structure->config.layers, hidden, tokens, observer, err);
}

// The next token of each sequence; running->logits then holds their logits.
static bool recorded_steps(Transformer *t, Sequences *running, const int32_t *ids, size_t tokens) {
    return tokens == running->count && source_rows(running) == 0 &&
           forward_ids_known(&t->structure->config, ids, tokens, NULL) && forward_has_room(running, tokens, NULL) &&
           sequences_step(t, running, ids);
}

bool transformer_forward(Transformer *t, Sequences *running, const int32_t *ids, size_t tokens, bool all, float *logits,
                         const Observer *observer, Error *err) {
    const size_t each = rows_of_each(running, tokens), targets = tokens - source_rows(running);
    if (!observer && recorded_steps(t, running, ids, tokens)) {
        const size_t vocab = (size_t)t->structure->config.vocab, rows = all ? tokens : 1;
        t->backend->ops->download(t->backend, logits, running->logits + (tokens - rows) * vocab,
                                  rows * vocab * sizeof(float));
        if (!transformer_healthy(t, err)) return false;
    } else if (!run_layers(t, running, ids, tokens, observer, err) ||
               !download_logits(t, running, tokens, all || !targets ? targets : 1, logits, observer, err)) {
        return false;
    }
    sequences_advance(running, each);
    return true;
}

// Logits of the last token of each sequence, into running->logits.
static bool last_logits(Transformer *t, Sequences *running, size_t tokens, Error *err) {
    const size_t sequences = running->count, hidden = (size_t)t->structure->config.hidden;
    const size_t vocab = (size_t)t->structure->config.vocab, source = source_rows(running);
    const size_t rows = (tokens - source) / sequences;
    const float *targets = running->scratch[SCRATCH_HIDDEN] + source * hidden;
    if (!sequences_logits(running, sequences, vocab, err)) return false;
    if (rows == 1) // they lie side by side
        return transformer_head(t, running, targets, sequences, running->logits, NULL, err);
    for (size_t s = 0; s < sequences; s++) {
        const float *last = targets + ((s + 1) * rows - 1) * hidden;
        if (!transformer_head(t, running, last, 1, running->logits + s * vocab, NULL, err)) return false;
    }
    return true;
}

// They become what is never chosen.
static void forbid(const Transformer *t, const Sequences *running, const int32_t *ids, size_t count) {
    static const float never = -INFINITY;
    for (size_t i = 0; i < count; i++)
        t->backend->ops->upload(t->backend, running->logits + ids[i], &never, sizeof never);
}

bool transformer_choose(Transformer *t, Sequences *running, const int32_t *ids, size_t tokens, const Draw *draw,
                        int32_t *next, float *probabilities, Error *err) {
    return transformer_choose_other(t, running, ids, tokens, draw, NULL, 0, next, probabilities, err);
}

bool transformer_choose_other(Transformer *t, Sequences *running, const int32_t *ids, size_t tokens, const Draw *draw,
                              const int32_t *forbidden, size_t forbidden_count, int32_t *next, float *probabilities,
                              Error *err) {
    const size_t each = rows_of_each(running, tokens);
    if (!recorded_steps(t, running, ids, tokens) &&
        (!run_layers(t, running, ids, tokens, NULL, err) || !last_logits(t, running, tokens, err)))
        return false;
    forbid(t, running, forbidden, forbidden_count);
    t->backend->ops->choose(t->backend, running->logits, running->count, (size_t)t->structure->config.vocab, draw, next,
                            probabilities);
    if (!transformer_healthy(t, err)) return false;
    sequences_advance(running, each);
    return true;
}
