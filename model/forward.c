// The three parts of a forward pass: embedding, layers, head.
#include <assert.h>

#include "model/transformer_parts.h"

bool forward_ids_known(const ModelConfig *config, const int32_t *ids, size_t tokens, Error *err) {
    for (size_t i = 0; i < tokens; i++)
        if (ids[i] < 0 || ids[i] >= config->vocab)
            return error_set(
                err, "token %zu has the id %d, outside the vocabulary of %d: is the tokenizer that of another model?",
                i, ids[i], config->vocab);
    return true;
}

bool forward_has_room(const Sequences *running, size_t tokens, Error *err) {
    const size_t source = source_rows(running);
    if (tokens < source)
        return error_set(err, "%zu tokens are fewer than the %zu of the source, which has to come whole", tokens,
                         source);
    if ((tokens - source) % running->count)
        return error_set(err, "%zu tokens cannot be shared among %zu sequences", tokens - source, running->count);
    size_t each = rows_of_each(running, tokens);
    if (each <= running->positions - running->length) return true;
    return error_set(err, "%zu tokens after %zu are more than the %zu positions of the sequence", each, running->length,
                     running->positions);
}

bool transformer_embed(Transformer *t, const int32_t *ids, size_t tokens, float *hidden, Error *err) {
    const ModelConfig *config = &t->structure->config;
    const Tensor *table = t->structure->embedding;
    const size_t width = (size_t)table->shape[1];
    float scale = config->embedding_scale;
    if (!forward_ids_known(config, ids, tokens, err) || !tensor_hold(table, err)) return false;
    t->backend->ops->embed(t->backend, table->dtype, table->data, width, ids, tokens, hidden);
    tensor_keep(table);
    if (t->precision == PRECISION_NATIVE) scale = float_rounded(table->dtype, scale); // as the model was trained
    if (scale != 0) t->backend->ops->scale(t->backend, hidden, scale, tokens * width);
    return stream_embed(t, ids, tokens, hidden, err);
}

// The encoder's layers of first … last − 1, over the rows of the source.
static bool encode(const Pass *pass, int first, int last, float *hidden) {
    const ModelStructure *structure = pass->t->structure;
    const int end = structure->config.pair.encoder_layers;
    if (first == 0 && last > 0 && !pass_enter(pass, hidden)) return false;
    for (int layer = first; layer < last && layer < end; layer++)
        if (!pass_layer(pass, layer, hidden)) return false;
    if (first < end && last >= end && structure->encoder.final_norm >= 0)
        pass_norm(pass, structure->encoder.final_norm, hidden, pass->tokens, hidden);
    return true;
}

static bool run_layers(Transformer *t, Sequences *running, int first, int last, float *hidden, size_t tokens,
                       const Observer *observer, Error *err) {
    assert(first >= 0 && first <= last && last <= t->structure->config.layers);
    if (!forward_has_room(running, tokens, err) || !sequences_scratch(running, tokens, err)) return false;
    const int encoder_layers = t->structure->config.pair.encoder_layers;
    const size_t source = source_rows(running);
    const Pass encoding = {.t = t,
                           .running = running,
                           .tokens = source,
                           .observer = observer,
                           .err = err,
                           .sequences = 1,
                           .encodes = true};
    Pass pass = {.t = t,
                 .running = running,
                 .tokens = tokens - source,
                 .observer = observer,
                 .err = err,
                 .sequences = running->count,
                 .first = sequences_target(running),
                 .source = source ? hidden : NULL};
    float *target = hidden + source * (size_t)t->structure->config.hidden;
    pass.stream = target;
    pass.goes_on = last < t->structure->config.layers;
    if (source && !encode(&encoding, first, last, hidden)) return false;
    if (first == 0 && last > 0 && pass.tokens && !pass_enter(&pass, target)) return false;
    stream_restore_keys(&pass, first, last);
    for (int layer = first > encoder_layers ? first : encoder_layers; layer < last && pass.tokens; layer++)
        if (!pass_layer(&pass, layer, target)) return false;
    if (!pass.goes_on && first < last && pass.tokens && !altup_leave(&pass)) return false;
    return checkpoint_intact(t->structure->checkpoint, err);
}

bool transformer_layers(Transformer *t, Sequences *running, int first, int last, float *hidden, size_t tokens,
                        const Observer *observer, Error *err) {
    if (run_layers(t, running, first, last, hidden, tokens, observer, err)) return true;
    sequences_spoil(running);
    return false;
}

bool transformer_head(Transformer *t, Sequences *running, const float *hidden, size_t tokens, float *logits,
                      const Observer *observer, Error *err) {
    if (!sequences_scratch(running, tokens, err)) return false;
    const ModelStructure *structure = t->structure;
    Pass pass = {.t = t, .running = running, .tokens = tokens, .observer = observer, .err = err};
    float **scratch = running->scratch;
    const float *x = hidden;
    if (structure->ends.final_norm >= 0)
        pass_norm(&pass, structure->ends.final_norm, x, tokens, scratch[SCRATCH_NORMED]);
    else if (structure->config.bare_norms)
        pass_bare_norm(&pass, x, tokens, (size_t)structure->config.hidden, scratch[SCRATCH_NORMED]);
    if (structure->ends.final_norm >= 0 || structure->config.bare_norms) x = scratch[SCRATCH_NORMED];
    if (structure->project_out >= 0) {
        if (!pass_observe(&pass, structure->project_out, x)) return false;
        if (!pass_linear(&pass, structure->project_out, x, scratch[SCRATCH_BRANCH])) return false;
        x = scratch[SCRATCH_BRANCH];
    }
    if (!pass_observe(&pass, structure->head, x)) return false;
    if (!logits) return true;
    if (!pass_linear(&pass, structure->head, x, logits)) return false;
    const float cap = structure->config.logit_softcap, factor = structure->config.logit_scale;
    if (factor != 0) t->backend->ops->scale(t->backend, logits, factor, tokens * (size_t)structure->config.vocab);
    if (cap > 0) t->backend->ops->softcap(t->backend, logits, cap, tokens * (size_t)structure->config.vocab);
    return checkpoint_intact(structure->checkpoint, err);
}
