// Alternating updates (arXiv 2301.13310) as Gemma 3n has them: a token is several vectors. A layer guesses what all of
// them become, computes one of them, and corrects the others by how far off the guess of that one was.
#include <math.h>

#include "model/transformer_parts.h"

#define LEAST_SQUARE 1e-5F // mean square below which a stream is not made larger

static size_t floats_of(const Pass *pass) { return pass->tokens * (size_t)pass_config(pass)->hidden; }

// ---- Into and out of streams ----

bool altup_enter(const Pass *pass, const float *hidden) {
    const ModelStructure *structure = pass->t->structure;
    const ModelConfig *config = &structure->config;
    if (structure->first_stream < 0) return true;
    if (structure->layer_projection < 0 && !pass_observe(pass, structure->first_stream, hidden)) return false;
    for (int s = 1; s < config->altup.streams; s++) {
        float *stream = pass->stream + (size_t)s * floats_of(pass);
        if (!pass_linear(pass, structure->first_stream + s - 1, hidden, stream)) return false;
        pass->t->backend->ops->match_size(pass->t->backend, stream, hidden, LEAST_SQUARE, pass->tokens,
                                          (size_t)config->hidden);
    }
    return true;
}

// The first stream becomes the mean of all, each of its size.
bool altup_leave(const Pass *pass) {
    const ModelStructure *structure = pass->t->structure;
    const ModelConfig *config = &structure->config;
    Backend *backend = pass->t->backend;
    float *first = pass->stream, *sum = pass->running->scratch[SCRATCH_ACTIVE],
          *branch = pass->running->scratch[SCRATCH_BRANCH];
    if (structure->last_stream < 0) return true;
    pass_copy(pass, first, (size_t)config->hidden, sum);
    for (int s = 1; s < config->altup.streams; s++) {
        const float *stream = pass->stream + (size_t)s * floats_of(pass);
        const int linear = structure->last_stream + s - 1;
        if (!pass_observe(pass, linear, stream) || !pass_linear(pass, linear, stream, branch)) return false;
        backend->ops->match_size(backend, branch, first, LEAST_SQUARE, pass->tokens, (size_t)config->hidden);
        pass_add(pass, sum, branch);
    }
    backend->ops->scale(backend, sum, 1 / (float)config->altup.streams, floats_of(pass));
    pass_copy(pass, sum, (size_t)config->hidden, first);
    return true;
}

// ---- Guess and correction ----

// SCRATCH_COEFFICIENTS = linear(tanh(router(norm(x)))). The router is shown what it reads before the layer, not again
// behind it.
static bool find_coefficients(const Pass *pass, const LayerMap *map, const float *x, bool show, int linear) {
    float **scratch = pass->running->scratch, *modalities = scratch[SCRATCH_MODALITIES];
    Backend *backend = pass->t->backend;
    pass_norm(pass, map->modality_norm, x, pass->tokens, scratch[SCRATCH_NORMED]);
    if (show && !pass_observe(pass, map->modalities, scratch[SCRATCH_NORMED])) return false;
    if (!pass_linear(pass, map->modalities, scratch[SCRATCH_NORMED], modalities)) return false;
    backend->ops->softcap(backend, modalities, 1, pass->tokens * (size_t)pass_config(pass)->altup.streams);
    return pass_observe(pass, linear, modalities) &&
           pass_linear(pass, linear, modalities, scratch[SCRATCH_COEFFICIENTS]);
}

bool altup_predict(const Pass *pass, int layer, float **active) {
    const LayerMap *map = &pass->t->structure->layers[layer];
    const ModelConfig *config = pass_config(pass);
    const size_t hidden = (size_t)config->hidden, streams = (size_t)config->altup.streams,
                 at = (size_t)config->altup.active * floats_of(pass);
    float **scratch = pass->running->scratch, *guessed = scratch[SCRATCH_STREAMS];
    if (!find_coefficients(pass, map, pass->stream + at, true, map->prediction)) return false;
    pass_copy(pass, pass->stream, streams * hidden, guessed);
    pass->t->backend->ops->blend_add(pass->t->backend, scratch[SCRATCH_COEFFICIENTS], pass->stream, streams,
                                     pass->tokens, hidden, guessed, streams);
    *active = scratch[SCRATCH_ACTIVE];
    pass_copy(pass, guessed + at, hidden, *active);
    return true;
}

bool altup_correct(const Pass *pass, int layer, const float *active) {
    const LayerMap *map = &pass->t->structure->layers[layer];
    const ModelConfig *config = pass_config(pass);
    Backend *backend = pass->t->backend;
    const size_t hidden = (size_t)config->hidden, streams = (size_t)config->altup.streams;
    float **scratch = pass->running->scratch, *guessed = scratch[SCRATCH_STREAMS], *missed = scratch[SCRATCH_BRANCH];
    if (!find_coefficients(pass, map, active, false, map->correction)) return false;
    pass_copy(pass, guessed + (size_t)config->altup.active * floats_of(pass), hidden, missed);
    backend->ops->scale(backend, missed, -1, floats_of(pass));
    pass_add(pass, missed, active);
    pass_copy(pass, guessed, streams * hidden, pass->stream);
    for (size_t s = 0; s < streams; s++) pass_add(pass, pass->stream + s * floats_of(pass), missed);
    backend->ops->blend_add(backend, scratch[SCRATCH_COEFFICIENTS], missed, 1, pass->tokens, hidden, pass->stream,
                            streams);
    return true;
}

// ---- The layer's own input ----

// What the active stream tells the others, times a vector if there is one.
static const float *told(const Pass *pass, int layer) {
    const ModelConfig *config = pass_config(pass);
    const float *active = pass->stream + (size_t)config->altup.active * floats_of(pass),
                *scale = pass->t->corrections[layer];
    Backend *backend = pass->t->backend;
    float **scratch = pass->running->scratch;
    if (!scale) return active;
    backend->ops->join(backend, &scale, 1, pass->tokens, (const size_t[]){(size_t)config->hidden}, (const bool[]){true},
                       1, scratch[SCRATCH_NORMED]);
    pass_multiply(pass, NONLINEARITY_NONE, active, (size_t)config->hidden, scratch[SCRATCH_NORMED]);
    return scratch[SCRATCH_NORMED];
}

bool altup_tell(const Pass *pass, int layer) {
    const float *branch = pass->running->scratch[SCRATCH_BRANCH];
    if (pass->t->structure->layers[layer].layer_gate < 0) return true;
    if (!stream_layer_input(pass, layer, told(pass, layer))) return false;
    for (int s = 1; s < pass_config(pass)->altup.streams; s++)
        pass_add(pass, pass->stream + (size_t)s * floats_of(pass), branch);
    return true;
}
