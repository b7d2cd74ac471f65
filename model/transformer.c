#include "model/transformer.h"

#include <math.h>
#include <stdlib.h>

#include "base/array.h"
#include "model/transformer_parts.h"

// ---- Weights ----

bool linear_bias(const Linear *linear, float **out, Error *err) {
    *out = NULL;
    if (!linear->bias) return true;
    float *bias = array_new(linear->out, sizeof(float));
    if (!bias) return error_memory(err, linear->name);
    floats_from(linear->bias->dtype, linear->bias->data, linear->out, bias);
    *out = bias;
    return true;
}

static bool make_dense(Transformer *t, int index, Error *err) {
    const Linear *linear = &t->structure->linears[index];
    float *bias;
    // Backends may read the matrix in place: it is held for as long as the dense weight is there.
    if (!linear_bias(linear, &bias, err)) return false;
    if (!tensor_hold(linear->weight, err)) {
        free(bias);
        return error_prefix(err, "%s", linear->name);
    }
    bool ok = t->backend->ops->weight_dense(t->backend, linear->weight->dtype, linear->weight->data, linear->out,
                                            linear->in, bias, t->precision, &t->dense[index], err);
    free(bias);
    if (!ok) tensor_release(linear->weight);
    return ok || error_prefix(err, "%s", linear->name);
}

// A gain [hidden] in backend memory, divided by factors unless they are NULL.
static float *gain_new(const Transformer *t, int index, const float *factors, Error *err) {
    size_t hidden = (size_t)t->structure->config.hidden;
    const Tensor *gain = t->structure->norms[index].gain;
    float *host = array_new(hidden, sizeof(float));
    if (!host) {
        error_memory(err, t->structure->norms[index].name);
        return NULL;
    }
    floats_from(gain->dtype, gain->data, hidden, host);
    for (size_t i = 0; factors && i < hidden; i++) host[i] /= factors[i];
    float *device = t->backend->ops->memory_new(t->backend, hidden * sizeof(float), err);
    if (device) {
        t->backend->ops->upload(t->backend, device, host, hidden * sizeof(float));
        t->backend->ops->synchronize(t->backend); // an upload may still read from `host`
    }
    free(host);
    return device;
}

static bool load_weights(Transformer *t, Error *err) {
    if (!tensor_hold(t->structure->embedding, err)) return false;
    t->holds_embedding = true;
    for (int i = 0; i < t->structure->linear_count; i++)
        if (!make_dense(t, i, err)) return false;
    for (int i = 0; i < t->structure->norm_count; i++)
        if (!(t->gains[i] = gain_new(t, i, NULL, err))) return false;
    return true;
}

// A transformer without weights of its own yet; variants borrow the lists of their base.
static Transformer *transformer_empty(const ModelStructure *structure, Backend *backend, Precision precision,
                                      const Transformer *base, Error *err) {
    size_t linears = (size_t)structure->linear_count, norms = (size_t)structure->norm_count;
    Transformer *t = array_new(1, sizeof *t);
    if (!t) {
        error_memory(err, "transformer");
        return NULL;
    }
    *t = (Transformer){.structure = structure, .backend = backend, .precision = precision, .is_variant = base != NULL};
    t->dense = base ? base->dense : array_new(linears, sizeof(Weight *));
    t->gains = base ? base->gains : array_new(norms, sizeof(float *));
    t->replaced = array_new(linears, sizeof(Weight *));
    t->divided = array_new(norms, sizeof(float *));
    if (t->dense && t->gains && t->replaced && t->divided) return t;
    error_memory(err, "transformer");
    transformer_free(t);
    return NULL;
}

bool transformer_new(const ModelStructure *structure, Backend *backend, Precision precision, Transformer **out,
                     Error *err) {
    *out = NULL;
    Transformer *t = transformer_empty(structure, backend, precision, NULL, err);
    if (!t) return false;
    if (!load_weights(t, err)) {
        transformer_free(t);
        return false;
    }
    *out = t;
    return true;
}

bool transformer_variant(const Transformer *base, Transformer **out, Error *err) {
    *out = transformer_empty(base->structure, base->backend, base->precision, base, err);
    return *out != NULL;
}

static void free_weights(Backend *backend, Weight **weights, int count) {
    for (int i = 0; weights && i < count; i++)
        if (weights[i]) backend->ops->weight_free(backend, weights[i]);
    free(weights);
}

// What dense weights read; nobody computes with them any more.
static void release_weights(const Transformer *t) {
    for (int i = 0; i < t->structure->linear_count; i++)
        if (t->dense && t->dense[i]) tensor_release(t->structure->linears[i].weight);
    if (t->holds_embedding) tensor_release(t->structure->embedding);
}

static void free_gains(Backend *backend, float **gains, int count) {
    for (int i = 0; gains && i < count; i++)
        if (gains[i]) backend->ops->memory_free(backend, gains[i]);
    free(gains);
}

void transformer_free(Transformer *t) {
    if (!t) return;
    t->backend->ops->synchronize(t->backend);
    free_weights(t->backend, t->replaced, t->structure->linear_count);
    free_gains(t->backend, t->divided, t->structure->norm_count);
    if (!t->is_variant) {
        release_weights(t);
        free_weights(t->backend, t->dense, t->structure->linear_count);
        free_gains(t->backend, t->gains, t->structure->norm_count);
    }
    free(t);
}

const ModelStructure *transformer_structure(const Transformer *t) { return t->structure; }
Backend *transformer_backend(const Transformer *t) { return t->backend; }

void transformer_set_linear(Transformer *t, int linear, Weight *weight) {
    if (t->replaced[linear]) {
        t->backend->ops->synchronize(t->backend);
        t->backend->ops->weight_free(t->backend, t->replaced[linear]);
    }
    t->replaced[linear] = weight;
}

const Weight *transformer_linear(const Transformer *t, int linear) {
    return t->replaced[linear] ? t->replaced[linear] : t->dense[linear];
}

bool transformer_set_norm_divisor(Transformer *t, int norm, const float *factors, Error *err) {
    float *divided = factors ? gain_new(t, norm, factors, err) : NULL;
    if (factors && !divided) return false;
    if (t->divided[norm]) {
        t->backend->ops->synchronize(t->backend);
        t->backend->ops->memory_free(t->backend, t->divided[norm]);
    }
    t->divided[norm] = divided;
    return true;
}

size_t transformer_bytes_per_token(const Transformer *t) {
    const ModelStructure *structure = t->structure;
    size_t hidden = (size_t)structure->config.hidden;
    size_t bytes = hidden * dtype_bytes(structure->embedding->dtype); // one row
    bytes += (size_t)structure->norm_count * hidden * sizeof(float);
    for (int i = 0; i < structure->linear_count; i++) bytes += t->backend->ops->weight_bytes(transformer_linear(t, i));
    return bytes;
}

// ---- Forward pass ----

// One call of transformer_layers or transformer_head: what every step below needs.
typedef struct Pass {
    Transformer *t;
    Session *session;
    size_t tokens;
    const Observer *observer;
    Error *err;
} Pass;

// Shows the input of a linear, x [tokens, in], to the observer. q, k and v share one; the caller shows it once.
static bool observe(const Pass *pass, int linear, const float *x) {
    if (!pass->observer) return true;
    const Linear *reader = &pass->t->structure->linears[linear];
    float *host = session_observed(pass->session, pass->tokens * reader->in, pass->err);
    if (!host) return false;
    Backend *backend = pass->t->backend;
    backend->ops->download(backend, host, x, pass->tokens * reader->in * sizeof(float));
    pass->observer->linear_input(pass->observer->context, reader->input, host, pass->tokens, reader->in);
    return true;
}

static void linear(const Pass *pass, int index, const float *x, float *y) {
    Backend *backend = pass->t->backend;
    backend->ops->linear(backend, transformer_linear(pass->t, index), x, pass->tokens, y);
}

static void norm(const Pass *pass, int index, const float *x, float *y) {
    const Transformer *t = pass->t;
    const float *gain = t->divided[index] ? t->divided[index] : t->gains[index];
    const ModelConfig *config = &t->structure->config;
    t->backend->ops->rms_norm(t->backend, x, gain, config->norm_eps, pass->tokens, (size_t)config->hidden, y);
}

static void add_branch(const Pass *pass, float *hidden) {
    Backend *backend = pass->t->backend;
    size_t n = pass->tokens * (size_t)pass->t->structure->config.hidden;
    backend->ops->add(backend, hidden, pass->session->scratch[SCRATCH_BRANCH], n);
}

// q and k are rotated, k and v stored, then q looks back over everything stored so far.
static void attend(const Pass *pass, int layer) {
    const ModelConfig *config = &pass->t->structure->config;
    Backend *backend = pass->t->backend;
    Session *session = pass->session;
    float **scratch = session->scratch;
    AttentionShape shape = {config->heads, config->kv_heads, config->head_dim, 1.0f / sqrtf((float)config->head_dim)};
    backend->ops->rope(backend, scratch[SCRATCH_Q], pass->tokens, config->heads, config->head_dim, session->cosine,
                       session->sine, session->length);
    backend->ops->rope(backend, scratch[SCRATCH_K], pass->tokens, config->kv_heads, config->head_dim, session->cosine,
                       session->sine, session->length);
    backend->ops->cache_write(backend, session->cache, layer, session->length, pass->tokens, scratch[SCRATCH_K],
                              scratch[SCRATCH_V]);
    backend->ops->attention(backend, session->cache, layer, &shape, scratch[SCRATCH_Q], session->length, pass->tokens,
                            scratch[SCRATCH_MIXED]);
}

// hidden [tokens, hidden] += o(attention(q, k, v of norm(hidden)))
static bool attention_block(const Pass *pass, int layer, float *hidden) {
    const LayerMap *map = &pass->t->structure->layers[layer];
    float **scratch = pass->session->scratch;
    norm(pass, map->attention_norm, hidden, scratch[SCRATCH_NORMED]);
    if (!observe(pass, map->q, scratch[SCRATCH_NORMED])) return false;
    linear(pass, map->q, scratch[SCRATCH_NORMED], scratch[SCRATCH_Q]);
    linear(pass, map->k, scratch[SCRATCH_NORMED], scratch[SCRATCH_K]);
    linear(pass, map->v, scratch[SCRATCH_NORMED], scratch[SCRATCH_V]);
    attend(pass, layer);
    if (!observe(pass, map->o, scratch[SCRATCH_MIXED])) return false;
    linear(pass, map->o, scratch[SCRATCH_MIXED], scratch[SCRATCH_BRANCH]);
    add_branch(pass, hidden);
    return true;
}

// hidden [tokens, hidden] += down(silu(gate(x)) · up(x)), x = norm(hidden)
static bool mlp_block(const Pass *pass, int layer, float *hidden) {
    const LayerMap *map = &pass->t->structure->layers[layer];
    Backend *backend = pass->t->backend;
    float **scratch = pass->session->scratch;
    norm(pass, map->mlp_norm, hidden, scratch[SCRATCH_NORMED]);
    if (!observe(pass, map->gate, scratch[SCRATCH_NORMED])) return false;
    linear(pass, map->gate, scratch[SCRATCH_NORMED], scratch[SCRATCH_GATE]);
    linear(pass, map->up, scratch[SCRATCH_NORMED], scratch[SCRATCH_UP]);
    size_t n = pass->tokens * (size_t)pass->t->structure->config.ffn;
    backend->ops->silu_times(backend, scratch[SCRATCH_GATE], scratch[SCRATCH_UP], n, scratch[SCRATCH_INNER]);
    if (!observe(pass, map->down, scratch[SCRATCH_INNER])) return false;
    linear(pass, map->down, scratch[SCRATCH_INNER], scratch[SCRATCH_BRANCH]);
    add_branch(pass, hidden);
    return true;
}

static bool check_ids(const ModelConfig *config, const int32_t *ids, size_t tokens, Error *err) {
    for (size_t i = 0; i < tokens; i++)
        if (ids[i] < 0 || ids[i] >= config->vocab)
            return error_set(
                err, "token %zu has the id %d, outside the vocabulary of %d: is the tokenizer that of another model?",
                i, ids[i], config->vocab);
    return true;
}

static bool check_room(const Session *session, size_t tokens, Error *err) {
    if (tokens <= session->positions - session->length) return true;
    return error_set(err, "%zu tokens after %zu are more than the %zu positions of the sequence", tokens,
                     session->length, session->positions);
}

bool transformer_embed(Transformer *t, const int32_t *ids, size_t tokens, float *hidden, Error *err) {
    const ModelConfig *config = &t->structure->config;
    const Tensor *table = t->structure->embedding;
    if (!check_ids(config, ids, tokens, err)) return false;
    t->backend->ops->embed(t->backend, table->dtype, table->data, (size_t)config->hidden, ids, tokens, hidden);
    return true;
}

bool transformer_layers(Transformer *t, Session *session, int first, int last, float *hidden, size_t tokens,
                        const Observer *observer, Error *err) {
    if (!check_room(session, tokens, err) || !session_scratch(session, tokens, err)) return false;
    Pass pass = {t, session, tokens, observer, err};
    for (int layer = first; layer < last; layer++)
        if (!attention_block(&pass, layer, hidden) || !mlp_block(&pass, layer, hidden)) return false;
    return checkpoint_intact(t->structure->checkpoint, err);
}

bool transformer_head(Transformer *t, Session *session, const float *hidden, size_t tokens, float *logits,
                      const Observer *observer, Error *err) {
    if (!session_scratch(session, tokens, err)) return false;
    Pass pass = {t, session, tokens, observer, err};
    float *normed = session->scratch[SCRATCH_NORMED];
    norm(&pass, t->structure->final_norm, hidden, normed);
    if (!observe(&pass, t->structure->head, normed)) return false;
    if (logits) linear(&pass, t->structure->head, normed, logits);
    return true;
}

// Rows of logits that are made at once: a whole prompt times a large vocabulary would take gigabytes.
static size_t rows_at_once(size_t vocab) {
    const size_t floats = (size_t)1 << 24;
    return vocab < floats ? floats / vocab : 1;
}

// Logits of the last `rows` of the tokens in the scratch's residual stream → the host.
static bool download_logits(Transformer *t, Session *session, size_t tokens, size_t rows, float *logits,
                            const Observer *observer, Error *err) {
    size_t vocab = (size_t)t->structure->config.vocab, hidden = (size_t)t->structure->config.hidden;
    size_t most = rows_at_once(vocab);
    const float *x = session->scratch[SCRATCH_HIDDEN] + (tokens - rows) * hidden; // [rows, hidden]
    for (size_t done = 0; done < rows;) {
        size_t now = rows - done < most ? rows - done : most;
        if (!session_logits(session, now, vocab, err)) return false;
        if (!transformer_head(t, session, x + done * hidden, now, session->logits, observer, err)) return false;
        t->backend->ops->download(t->backend, logits + done * vocab, session->logits, now * vocab * sizeof(float));
        done += now;
    }
    return true;
}

bool transformer_forward(Transformer *t, Session *session, const int32_t *ids, size_t tokens, bool all, float *logits,
                         const Observer *observer, Error *err) {
    if (tokens == 0) return error_set(err, "there are no tokens to run");
    if (!check_room(session, tokens, err) || !session_scratch(session, tokens, err)) return false;
    float *hidden = session->scratch[SCRATCH_HIDDEN];
    if (!transformer_embed(t, ids, tokens, hidden, err)) return false;
    if (!transformer_layers(t, session, 0, t->structure->config.layers, hidden, tokens, observer, err)) return false;
    if (!download_logits(t, session, tokens, all ? tokens : 1, logits, observer, err)) return false;
    session_advance(session, tokens);
    return true;
}
