// Layers that remember: what goes into the convolution and what decides how much is learned and forgotten, the state of
// each sequence, and what is made of the result.
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "model/transformer_parts.h"

// ---- Constants ----

// Where they lie in backend memory, in floats. What is not there takes no room.
typedef struct Constants {
    size_t weight;              // [taps, channels]
    size_t bias;                // [channels]
    size_t decay, offset, skip; // [heads]
    size_t count;
} Constants;

static size_t values_of(const ModelConfig *config) { return (size_t)recurrent_values(&config->recurrent); }

static Constants constants_of(const ModelConfig *config, const LayerMap *map) {
    const Recurrent *r = &config->recurrent;
    const size_t channels = (size_t)recurrent_channels(r), heads = map->decay ? (size_t)r->heads : 0;
    Constants c = {.bias = (size_t)r->taps * channels};
    c.decay = c.bias + (map->convolution_bias ? channels : 0);
    c.offset = c.decay + heads;
    c.skip = c.offset + heads;
    c.count = c.skip + (map->skip ? heads : 0);
    return c;
}

// What a channel of the convolution's input is multiplied by.
static float channel_scale(const Recurrent *r, size_t channel) {
    const size_t values = (size_t)recurrent_values(r), keys = (size_t)r->key_heads * (size_t)r->key_dim;
    const float scale = channel < values ? r->value_scale : channel < values + keys ? r->key_scale : r->query_scale;
    return scale != 0 ? scale : 1;
}

static void fill_weight(const Recurrent *r, const Tensor *tensor, float *weight) {
    const size_t channels = (size_t)recurrent_channels(r), taps = (size_t)r->taps;
    for (size_t channel = 0; channel < channels; channel++)
        for (size_t tap = 0; tap < taps; tap++) {
            const char *from = (const char *)tensor->data + (channel * taps + tap) * dtype_bytes(tensor->dtype);
            floats_from(tensor->dtype, from, 1, &weight[tap * channels + channel]);
            if (r->kind == RECURRENT_MAMBA) weight[tap * channels + channel] *= channel_scale(r, channel);
        }
}

static void fill(const Tensor *tensor, float *to) {
    if (tensor) floats_from(tensor->dtype, tensor->data, (size_t)tensor->shape[0], to);
}

static void fill_constants(const ModelConfig *config, const LayerMap *map, const Constants *c, float *host) {
    fill_weight(&config->recurrent, map->convolution, host);
    fill(map->convolution_bias, host + c->bias);
    fill(map->decay, host + c->decay);
    for (size_t i = c->decay; i < c->offset; i++) host[i] = -expf(host[i]);
    fill(map->offset, host + c->offset);
    fill(map->skip, host + c->skip);
}

float *recurrent_new(const Transformer *t, int layer, Error *err) {
    const LayerMap *map = &t->structure->layers[layer];
    const Constants c = constants_of(&t->structure->config, map);
    float *host = array_new(c.count, sizeof *host);
    if (!host) {
        error_memory(err, map->convolution->name);
        return NULL;
    }
    fill_constants(&t->structure->config, map, &c, host);
    float *device = floats_new(t->backend, host, c.count, err);
    free(host);
    return device;
}

// ---- What goes in ----

// LFM 2: SCRATCH_MIXING = b · x, SCRATCH_GATES = c.
static void take_gated(const Pass *pass, const float *fused) {
    const size_t n = values_of(pass_config(pass));
    float **scratch = pass->running->scratch;
    pass->t->backend->ops->split(pass->t->backend, fused, pass->tokens, 1, (const size_t[]){n, n, n}, 3,
                                 (float *const[]){scratch[SCRATCH_Q], scratch[SCRATCH_GATES], scratch[SCRATCH_MIXING]});
    pass_multiply(pass, NONLINEARITY_NONE, scratch[SCRATCH_Q], n, scratch[SCRATCH_MIXING]);
}

// Qwen 3 Next: queries, keys, values and gates, all of one key's heads side by side, and so rates and steps.
static bool take_grouped(const Pass *pass, const LayerMap *map, const float *x, const float *fused) {
    const Recurrent *r = &pass_config(pass)->recurrent;
    const size_t groups = (size_t)r->key_heads, shared = (size_t)r->heads / groups, key = (size_t)r->key_dim,
                 value = shared * (size_t)r->value_dim;
    float **scratch = pass->running->scratch;
    const BackendOps *ops = pass->t->backend->ops;
    float *const parts[] = {scratch[SCRATCH_Q], scratch[SCRATCH_K], scratch[SCRATCH_V], scratch[SCRATCH_GATES]};
    ops->split(pass->t->backend, fused, pass->tokens, groups, (const size_t[]){key, key, value, value}, 4, parts);
    ops->join(pass->t->backend, (const float *const *)parts, pass->tokens, 1,
              (const size_t[]){groups * key, groups * key, groups * value}, (const bool[]){false, false, false}, 3,
              scratch[SCRATCH_MIXING]);
    if (!pass_linear(pass, map->rates, x, scratch[SCRATCH_FUSED])) return false;
    ops->split(pass->t->backend, scratch[SCRATCH_FUSED], pass->tokens, groups, (const size_t[]){shared, shared}, 2,
               (float *const[]){scratch[SCRATCH_RATES], scratch[SCRATCH_STEPS]});
    return true;
}

// Mamba 2: gates, inputs of the convolution, steps.
static void take_parts(const Pass *pass, const float *fused) {
    const ModelConfig *config = pass_config(pass);
    const Recurrent *r = &config->recurrent;
    const size_t widths[] = {values_of(config), (size_t)recurrent_channels(r), (size_t)r->heads};
    float **scratch = pass->running->scratch;
    pass->t->backend->ops->split(
        pass->t->backend, fused, pass->tokens, 1, widths, 3,
        (float *const[]){scratch[SCRATCH_GATES], scratch[SCRATCH_MIXING], scratch[SCRATCH_STEPS]});
    pass_scale(pass, scratch[SCRATCH_GATES], r->z_scale, widths[0]);
    pass_scale(pass, scratch[SCRATCH_STEPS], r->step_scale, widths[2]);
}

// SCRATCH_MIXING, SCRATCH_GATES, and of matrices SCRATCH_STEPS and by the delta rule SCRATCH_RATES.
static bool take_in(const Pass *pass, const LayerMap *map, const float *x) {
    float **scratch = pass->running->scratch, *fused = scratch[SCRATCH_FUSED];
    if (map->z >= 0)
        return pass_linear(pass, map->in, x, scratch[SCRATCH_MIXING]) &&
               pass_together(pass, 3, (const int[]){map->z, map->rates, map->steps}, x, &scratch[SCRATCH_GATES]);
    if (!pass_linear(pass, map->in, x, fused)) return false;
    if (map->rates >= 0) return take_grouped(pass, map, x, fused);
    if (map->decay)
        take_parts(pass, fused);
    else
        take_gated(pass, fused);
    return true;
}

// ---- What is remembered ----

static float *state_of(const Pass *pass, const LayerMap *map) {
    return pass->running->states + (size_t)map->remembered * recurrent_floats(&pass_config(pass)->recurrent);
}

// SCRATCH_MIXING → y
static void convolve(const Pass *pass, int layer, float *y) {
    const ModelConfig *config = pass_config(pass);
    const LayerMap *map = &pass->t->structure->layers[layer];
    const float *constants = pass->t->recurrent[layer];
    const Constants c = constants_of(config, map);
    const ConvolutionShape shape = {.sequences = pass->sequences,
                                    .channels = (size_t)recurrent_channels(&config->recurrent),
                                    .taps = (size_t)config->recurrent.taps,
                                    .weight = constants,
                                    .bias = map->convolution_bias ? constants + c.bias : NULL,
                                    .silu = map->decay != NULL,
                                    .stride = pass->running->state_floats};
    pass->t->backend->ops->convolve(pass->t->backend, &shape, pass->running->scratch[SCRATCH_MIXING], pass->first,
                                    pass->tokens / pass->sequences, state_of(pass, map), y);
}

// What the convolution gave, apart: Mamba 2 has values, keys, queries; the others queries, keys, values.
static void take_apart(const Pass *pass, const float *x) {
    const Recurrent *r = &pass_config(pass)->recurrent;
    const size_t keys = (size_t)r->key_heads * (size_t)r->key_dim, values = (size_t)recurrent_values(r);
    float **scratch = pass->running->scratch;
    const bool mamba = r->kind == RECURRENT_MAMBA;
    const size_t widths[] = {mamba ? values : keys, keys, mamba ? keys : values};
    float *const y[] = {scratch[mamba ? SCRATCH_V : SCRATCH_Q], scratch[SCRATCH_K],
                        scratch[mamba ? SCRATCH_Q : SCRATCH_V]};
    pass->t->backend->ops->split(pass->t->backend, x, pass->tokens, 1, widths, 3, y);
}

// SCRATCH_MIXED = what the matrices of heads give.
static void recur(const Pass *pass, int layer) {
    const ModelConfig *config = pass_config(pass);
    const Recurrent *r = &config->recurrent;
    const LayerMap *map = &pass->t->structure->layers[layer];
    const float *constants = pass->t->recurrent[layer];
    const Constants c = constants_of(config, map);
    float **scratch = pass->running->scratch;
    const RecurrenceShape shape = {.sequences = pass->sequences,
                                   .heads = (size_t)r->heads,
                                   .key_heads = (size_t)r->key_heads,
                                   .key_dim = (size_t)r->key_dim,
                                   .value_dim = (size_t)r->value_dim,
                                   .decay = constants + c.decay,
                                   .offset = constants + c.offset,
                                   .skip = map->skip ? constants + c.skip : NULL,
                                   .stride = pass->running->state_floats};
    const float *rates = r->kind == RECURRENT_DELTA ? scratch[SCRATCH_RATES] : NULL;
    pass->t->backend->ops->recur(pass->t->backend, &shape, scratch[SCRATCH_Q], scratch[SCRATCH_K], scratch[SCRATCH_V],
                                 scratch[SCRATCH_STEPS], rates, pass->first, pass->tokens / pass->sequences,
                                 state_of(pass, map) + recurrent_tail(r), scratch[SCRATCH_MIXED]);
}

// ---- What is made of it ----

// A norm over each of several parts of a row, which has gains of its own: without weights, and then channel by channel,
// as a convolution of one position.
static void grouped_norm(const Pass *pass, int norm, float *x) {
    const ModelConfig *config = pass_config(pass);
    const size_t values = values_of(config), groups = (size_t)config->recurrent.norm_groups;
    const ConvolutionShape gains = {.sequences = 1, .channels = values, .taps = 1, .weight = pass_gain(pass, norm)};
    float *parts = pass->running->scratch[SCRATCH_V];
    pass_bare_norm(pass, x, pass->tokens * groups, values / groups, parts);
    pass->t->backend->ops->convolve(pass->t->backend, &gains, parts, 0, pass->tokens, NULL, x);
}

static void norm_heads(const Pass *pass, int layer, float *x) {
    const LayerMap *map = &pass->t->structure->layers[layer];
    if (map->recurrent_norm < 0) return;
    const Norm *norm = &pass->t->structure->norms[map->recurrent_norm];
    const size_t rows = pass->tokens * values_of(pass_config(pass)) / (size_t)norm->gain->shape[0];
    if (pass_config(pass)->recurrent.norm_groups > 1)
        grouped_norm(pass, map->recurrent_norm, x);
    else
        pass_norm(pass, map->recurrent_norm, x, rows, x);
}

// SCRATCH_MIXED, gated.
static void gate(const Pass *pass, int layer) {
    const ModelConfig *config = pass_config(pass);
    float **scratch = pass->running->scratch, *x = scratch[SCRATCH_MIXED];
    const size_t values = values_of(config);
    if (config->recurrent.norm_first) norm_heads(pass, layer, x);
    pass_multiply(pass, NONLINEARITY_SILU, scratch[SCRATCH_GATES], values, x);
    if (!config->recurrent.norm_first) norm_heads(pass, layer, x);
}

bool pass_recurrent(const Pass *pass, int layer, const float *x) {
    const ModelConfig *config = pass_config(pass);
    const LayerMap *map = &pass->t->structure->layers[layer];
    float **scratch = pass->running->scratch;
    if (!pass_observe(pass, map->in, x) || !take_in(pass, map, x)) return false;
    if (config->recurrent.kind == RECURRENT_CONVOLUTION) {
        convolve(pass, layer, scratch[SCRATCH_MIXED]);
        pass_multiply(pass, NONLINEARITY_NONE, scratch[SCRATCH_GATES], values_of(config), scratch[SCRATCH_MIXED]);
    } else {
        convolve(pass, layer, scratch[SCRATCH_FUSED]);
        take_apart(pass, scratch[SCRATCH_FUSED]);
        recur(pass, layer);
        gate(pass, layer);
    }
    if (!pass_observe(pass, map->out, scratch[SCRATCH_MIXED]) ||
        !pass_linear(pass, map->out, scratch[SCRATCH_MIXED], scratch[SCRATCH_BRANCH]))
        return false;
    pass_scale(pass, scratch[SCRATCH_BRANCH], config->recurrent.out_scale, (size_t)config->hidden);
    return true;
}
