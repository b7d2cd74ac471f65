#include <assert.h>
#include <stdlib.h>

#include "base/array.h"
#include "model/alibi.h"
#include "model/relative.h"
#include "model/rope.h"
#include "model/transformer_parts.h"

static DType cache_type(const Transformer *t) {
    if (t->cache_bits == 8) return DTYPE_I8;
    if (t->precision == PRECISION_F32) return DTYPE_F32;
    return t->structure->embedding->dtype == DTYPE_BF16 ? DTYPE_BF16 : DTYPE_F16;
}

static void latent_widths(const ModelConfig *config, size_t *widths) {
    const Latent *l = &config->latent;
    const size_t heads = (size_t)config->heads;
    widths[SCRATCH_LATENT] = larger((size_t)l->q_rank, (size_t)l->kv_rank);
    widths[SCRATCH_PLAIN] = heads * (size_t)l->plain;
    widths[SCRATCH_ROTATED] = heads * (size_t)l->rotated;
    widths[SCRATCH_VALUES] = heads * (size_t)l->value;
    widths[SCRATCH_PADDING] = heads * (size_t)(config->head_dim - l->value);
}

static void stream_widths(const ModelConfig *config, size_t *widths) {
    const size_t hidden = (size_t)config->hidden, streams = (size_t)config->altup.streams;
    widths[SCRATCH_STREAMS] = streams * hidden;
    widths[SCRATCH_ACTIVE] = streams ? hidden : 0;
    widths[SCRATCH_MODALITIES] = streams;
    widths[SCRATCH_COEFFICIENTS] = streams * streams;
    widths[SCRATCH_LAUREL] = config->laurel_rank ? hidden : 0;
    widths[SCRATCH_RANK] = (size_t)config->laurel_rank;
}

static void recurrent_widths(const ModelConfig *config, size_t *widths) {
    const Recurrent *r = &config->recurrent;
    const size_t values = (size_t)recurrent_values(r), keys = (size_t)r->key_heads * (size_t)r->key_dim;
    widths[SCRATCH_Q] = larger(widths[SCRATCH_Q], r->kind == RECURRENT_CONVOLUTION ? values : keys);
    widths[SCRATCH_K] = larger(widths[SCRATCH_K], r->kind == RECURRENT_CONVOLUTION ? values : keys);
    widths[SCRATCH_V] = larger(widths[SCRATCH_V], values);
    widths[SCRATCH_MIXED] = larger(widths[SCRATCH_MIXED], values);
    widths[SCRATCH_GATES] = larger(widths[SCRATCH_GATES], values);
    widths[SCRATCH_MIXING] = (size_t)recurrent_channels(r);
    widths[SCRATCH_FUSED] = larger(widths[SCRATCH_FUSED], widths[SCRATCH_MIXING]);
    widths[SCRATCH_RATES] = widths[SCRATCH_STEPS] = 2 * (size_t)r->heads;
}

static void scratch_widths(const ModelStructure *structure, size_t *widths) {
    const ModelConfig *config = &structure->config;
    size_t hidden = (size_t)config->hidden, ffn = 0, fused = 0;
    size_t attended = 0, cached = 0;
    for (int layer = 0; layer < config->layers; layer++) {
        attended = larger(attended, (size_t)config->heads * (size_t)layer_head_dim(config, layer));
        cached = larger(cached, layer_key_width(config, layer));
    }
    for (int i = 0; i < structure->linear_count; i++) {
        const Linear *linear = &structure->linears[i];
        if (linear->role == ROLE_DOWN || linear->role == ROLE_FC2) ffn = larger(ffn, linear->in);
        const bool latent = linear->role == ROLE_KV_A || linear->role == ROLE_KV_B;
        const bool gated = linear->role == ROLE_Q && config->gated_attention, in = linear->role == ROLE_IN;
        if (linear->role == ROLE_QKV || linear->role == ROLE_GATE_UP || latent || gated || in)
            fused = larger(fused, linear->out);
    }
    widths[SCRATCH_HIDDEN] = stream_width(config);
    widths[SCRATCH_NORMED] = widths[SCRATCH_BRANCH] = hidden;
    widths[SCRATCH_Q] = widths[SCRATCH_MIXED] = attended;
    widths[SCRATCH_K] = widths[SCRATCH_V] = cached;
    if (config->latent.kv_rank) latent_widths(config, widths);
    widths[SCRATCH_FUSED] = config->latent.kv_rank ? larger(fused, attended) : fused;
    if (config->gated_attention) widths[SCRATCH_GATES] = attended;
    if (config->recurrent.kind) recurrent_widths(config, widths);
    widths[SCRATCH_GATE] = widths[SCRATCH_UP] = widths[SCRATCH_INNER] = larger(ffn, (size_t)config->layer_inputs.width);
    widths[SCRATCH_LAYER_INPUTS] = (size_t)config->layers * (size_t)config->layer_inputs.width;
    stream_widths(config, widths);
    widths[SCRATCH_DENSE] = config->experts.count && config->experts.beside ? hidden : 0;
    widths[SCRATCH_ROUTER] = (size_t)config->experts.count;
    widths[SCRATCH_ROUTED] = widths[SCRATCH_EXPERT] = config->experts.count ? hidden : 0;
}

// The tables are made for the positions asked for, not for those of the model: 131,072 positions would take longer than
// a short text.
static bool make_rope(Sequences *running, const ModelConfig *config, bool windowed, RopeTable *out, Error *err) {
    out->dims = rope_dims_of(config, windowed);
    size_t pairs = (size_t)out->dims / 2, floats = running->positions * pairs;
    float *frequencies = array_new(pairs, sizeof(float));
    float *cosine = array_new(floats, sizeof(float));
    float *sine = array_new(floats, sizeof(float));
    bool ok = frequencies && cosine && sine;
    if (ok) {
        float factor = rope_frequencies(config, windowed, running->positions, frequencies);
        rope_tables(frequencies, pairs, running->positions, factor, cosine, sine);
        out->cosine = floats_new(running->backend, cosine, floats, err);
        out->sine = out->cosine ? floats_new(running->backend, sine, floats, err) : NULL;
        ok = out->sine != NULL;
    } else {
        error_memory(err, "position tables");
    }
    free(frequencies);
    free(cosine);
    free(sine);
    return ok;
}

static bool make_growth(Sequences *running, const ModelConfig *config, Error *err) {
    const size_t pairs = (size_t)config->head_dim / 2, floats = running->positions * pairs;
    RopeTable *out = &running->growth;
    if (config->query_growth.rate == 0) return true;
    out->dims = config->head_dim;
    float *factors = array_new(floats, sizeof(float));
    if (!factors) return error_memory(err, "position tables");
    growth_table(&config->query_growth, pairs, running->positions, factors);
    out->cosine = floats_new(running->backend, factors, floats, err);
    out->sine = out->cosine ? running->backend->ops->memory_new(running->backend, floats * sizeof(float), err) : NULL;
    free(factors);
    return out->sine != NULL;
}

// Takes `bias` [heads, stride] over.
static bool upload_bias(Sequences *running, const ModelConfig *config, float *bias, ScoreBias *out, Error *err) {
    out->bias = floats_new(running->backend, bias, (size_t)config->heads * out->stride, err);
    free(bias);
    return out->bias != NULL;
}

static bool make_alibi(Sequences *running, const ModelConfig *config, Error *err) {
    ScoreBias *out = &running->bias;
    out->stride = running->positions;
    float *bias = array_new((size_t)config->heads * out->stride, sizeof(float));
    if (!bias) return error_memory(err, "position biases");
    alibi_table(config, running->positions, bias);
    return upload_bias(running, config, bias, out, err);
}

// For tokens that are at most `positions` apart.
static bool make_relative(Sequences *running, const ModelConfig *config, const Tensor *table, size_t positions,
                          bool both_ways, ScoreBias *out, Error *err) {
    *out = (ScoreBias){.stride = 2 * positions, .middle = positions};
    float *bias = array_new((size_t)config->heads * out->stride, sizeof(float));
    if (!bias) return error_memory(err, "position biases");
    relative_table(config, table, positions, both_ways, bias);
    return upload_bias(running, config, bias, out, err);
}

static bool make_sinusoids(Sequences *running, const ModelConfig *config, Error *err) {
    running->sinusoids = array_new(running->positions * (size_t)config->hidden, sizeof(float));
    if (!running->sinusoids) return error_memory(err, "position tables");
    sinusoid_table(config, running->positions, running->sinusoids);
    return true;
}

static bool make_positions(Sequences *running, const ModelStructure *structure, Error *err) {
    const ModelConfig *config = &structure->config;
    switch (config->positions) {
    case POSITIONS_LEARNED: return true; // rows of a table, looked up as they are needed
    case POSITIONS_ALIBI: return make_alibi(running, config, err);
    case POSITIONS_SINUSOID: return make_sinusoids(running, config, err);
    case POSITIONS_RELATIVE:
        return make_relative(running, config, structure->encoder.relative, running->source, true,
                             &running->encoder_bias, err) &&
               make_relative(running, config, structure->ends.relative, running->positions - running->source, false,
                             &running->bias, err);
    case POSITIONS_ROPE: break;
    }
    return make_growth(running, config, err) && make_rope(running, config, false, &running->rope, err) &&
           (config->rope_window_theta == 0 || make_rope(running, config, true, &running->windowed_rope, err));
}

static bool check_positions(const ModelConfig *config, size_t source, size_t positions, Error *err) {
    const size_t most = (size_t)config->max_positions;
    if (positions == 0) return error_set(err, "a sequence needs at least one position");
    if (config->pair.encoder_layers && (source == 0 || source >= positions))
        return error_set(err, "%zu positions are too few for a source and a target", positions);
    if (source <= most && positions - source <= most) return true;
    return error_set(err, "%zu positions are more than the %zu of the model (max_position_embeddings)",
                     source > most ? source : positions - source, most);
}

static bool make_caches(Sequences *running, const Transformer *t, Error *err) {
    const ModelConfig *config = &t->structure->config;
    const BackendOps *ops = t->backend->ops;
    const int layers = config->layers - config->pair.encoder_layers, *cached = t->structure->cached_layers;
    const size_t positions = running->positions - running->source;
    return (!cached[0] || ops->cache_new(t->backend, cached[0], running->count, config->kv_heads, config->head_dim,
                                         positions, cache_type(t), &running->caches[0], err)) &&
           (!cached[1] || ops->cache_new(t->backend, cached[1], running->count, config->full_kv_heads,
                                         config->full_head_dim, positions, cache_type(t), &running->caches[1], err)) &&
           (!running->source || ops->cache_new(t->backend, layers + 1, 1, config->kv_heads, config->head_dim,
                                               running->source, cache_type(t), &running->cross, err));
}

static bool states_new(const Sequences *running, float **out, Error *err) {
    const size_t bytes = running->count * running->state_floats * sizeof(float);
    if (bytes && !*out) *out = running->backend->ops->memory_new(running->backend, bytes, err);
    return !bytes || *out;
}

static bool make_states(Sequences *running, const ModelStructure *structure, Error *err) {
    running->state_floats = remembered_floats(&structure->config);
    return states_new(running, &running->states, err) &&
           (running->count == 1 || running->count > MOST_FOLLOWING || states_new(running, &running->turned, err));
}

bool sequences_new(const Transformer *t, size_t positions, Sequences **out, Error *err) {
    return sequences_new_many(t, positions, 1, out, err);
}

bool sequences_new_many(const Transformer *t, size_t positions, size_t sequences, Sequences **out, Error *err) {
    return sequences_new_pair(t, source_share(&t->structure->config, positions), positions, sequences, out, err);
}

bool sequences_new_pair(const Transformer *t, size_t source, size_t positions, size_t sequences, Sequences **out,
                        Error *err) {
    *out = NULL;
    if (!check_positions(&t->structure->config, source, positions, err)) return false;
    Sequences *running = array_new(1, sizeof *running);
    if (!running) return error_memory(err, "running");
    running->backend = t->backend;
    running->positions = positions;
    running->source = source;
    running->count = sequences;
    scratch_widths(t->structure, running->widths);
    if (!make_caches(running, t, err) || !make_states(running, t->structure, err) ||
        !make_positions(running, t->structure, err)) {
        sequences_free(running);
        return false;
    }
    *out = running;
    return true;
}

static void memory_drop(Backend *backend, float **memory) {
    if (*memory) backend->ops->memory_free(backend, *memory);
    *memory = NULL;
}

static void rope_drop(Backend *backend, RopeTable *table) {
    memory_drop(backend, &table->cosine);
    memory_drop(backend, &table->sine);
}

static void scratch_free(Sequences *running) {
    for (int i = 0; i < SCRATCH_COUNT; i++) memory_drop(running->backend, &running->scratch[i]);
    running->scratch_tokens = 0;
}

static void routing_free(Routing *routing) {
    free(routing->logits);
    free(routing->chosen);
    free(routing->weights);
    free(routing->rows);
    free(routing->scales);
    free(routing->order);
    free(routing->factors);
    free(routing->scores);
    free(routing->bias);
    *routing = (Routing){0};
}

bool sequences_routing(Sequences *running, const Experts *experts, size_t tokens, Error *err) {
    Routing *r = &running->routing;
    if (tokens <= r->tokens) return true;
    size_t chosen = tokens * (size_t)experts->per_token;
    routing_free(r);
    r->logits = array_new(tokens * (size_t)experts->count, sizeof *r->logits);
    r->chosen = array_new(chosen, sizeof *r->chosen);
    r->weights = array_new(chosen, sizeof *r->weights);
    r->rows = array_new(tokens, sizeof *r->rows);
    r->order = array_new(tokens, sizeof *r->order);
    r->factors = array_new(tokens, sizeof *r->factors);
    r->scores = array_new((size_t)experts->count, sizeof *r->scores);
    r->bias = array_new((size_t)experts->count, sizeof *r->bias);
    r->scales = array_new((size_t)experts->count, sizeof *r->scales);
    if (r->logits && r->chosen && r->weights && r->rows && r->order && r->factors && r->scores && r->bias &&
        r->scales) {
        for (size_t i = 0; i < tokens; i++) r->order[i] = (int32_t)i;
        r->tokens = tokens;
        return true;
    }
    routing_free(r);
    return error_memory(err, "the routing of tokens to experts");
}

void sequences_forget_step(Sequences *running) {
    if (running->step) running->backend->ops->step_free(running->backend, running->step);
    running->step = NULL;
}

void sequences_free(Sequences *running) {
    if (!running) return;
    running->backend->ops->synchronize(running->backend);
    sequences_forget_step(running);
    scratch_free(running);
    memory_drop(running->backend, &running->logits);
    memory_drop(running->backend, &running->states);
    memory_drop(running->backend, &running->kept);
    memory_drop(running->backend, &running->turned);
    rope_drop(running->backend, &running->rope);
    rope_drop(running->backend, &running->windowed_rope);
    rope_drop(running->backend, &running->growth);
    memory_drop(running->backend, &running->bias.bias);
    memory_drop(running->backend, &running->encoder_bias.bias);
    routing_free(&running->routing);
    for (int i = 0; i < 2; i++) running->backend->ops->cache_free(running->backend, running->caches[i]);
    running->backend->ops->cache_free(running->backend, running->cross);
    free(running->sinusoids);
    free(running->observed);
    free(running);
}

static void copy_states(const Sequences *running, const float *from, float *to) {
    running->backend->ops->split(running->backend, from, running->count, 1, &running->state_floats, 1, &to);
}

// To the last position up to `positions` of which is known what layers remember there.
static size_t states_back(const Sequences *running, size_t positions) {
    if (running->kept_length == 0 || running->kept_length > positions) return 0;
    copy_states(running, running->kept, running->states);
    return running->kept_length;
}

void sequences_rewind(Sequences *running, size_t positions) {
    if (positions < running->source) positions = 0;
    if (positions >= running->length) return;
    if (running->states && positions > 0) positions = states_back(running, positions);
    if (positions < running->kept_length) running->kept_length = 0; // another text may follow
    running->length = positions;
}

bool sequences_keep(Sequences *running, Error *err) {
    if (!running->states) return true;
    if (!states_new(running, &running->kept, err)) return false;
    copy_states(running, running->states, running->kept);
    running->kept_length = running->length;
    return true;
}

void sequences_spoil(Sequences *running) {
    if (running->states) running->length = running->kept_length = 0;
}

void sequences_follow(Sequences *running, const int32_t *from) {
    if (running->states) {
        running->backend->ops->gather(running->backend, running->states, running->state_floats, from, running->count,
                                      running->turned);
        copy_states(running, running->turned, running->states);
    }
    for (int i = 0; i < 2; i++)
        if (running->caches[i])
            running->backend->ops->cache_follow(running->backend, running->caches[i], from, sequences_target(running));
}

size_t sequences_length(const Sequences *running) { return running->length; }

void sequences_advance(Sequences *running, size_t tokens) {
    assert(tokens <= running->positions - running->length);
    running->length += tokens;
}

bool sequences_scratch(Sequences *running, size_t tokens, Error *err) {
    if (tokens <= running->scratch_tokens) return true;
    running->backend->ops->synchronize(running->backend);
    scratch_free(running);
    for (int i = 0; i < SCRATCH_COUNT; i++) {
        size_t bytes = tokens * running->widths[i] * sizeof(float);
        if (bytes == 0) continue;
        running->scratch[i] = running->backend->ops->memory_new(running->backend, bytes, err);
        if (!running->scratch[i]) {
            scratch_free(running);
            return false;
        }
    }
    running->scratch_tokens = tokens;
    return true;
}

bool sequences_logits(Sequences *running, size_t rows, size_t vocab, Error *err) {
    if (rows <= running->logits_rows) return true;
    running->backend->ops->synchronize(running->backend);
    memory_drop(running->backend, &running->logits);
    running->logits_rows = 0;
    running->logits = running->backend->ops->memory_new(running->backend, rows * vocab * sizeof(float), err);
    if (!running->logits) return false;
    running->logits_rows = rows;
    return true;
}

float *sequences_observed(Sequences *running, size_t floats, Error *err) {
    if (floats <= running->observed_floats) return running->observed;
    free(running->observed);
    running->observed = array_new(floats, sizeof(float));
    running->observed_floats = running->observed ? floats : 0;
    if (!running->observed) error_memory(err, "observed activations");
    return running->observed;
}
