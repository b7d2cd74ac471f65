// The weights of a transformer and its variants: which are in use, who owns them, and products with them.
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
    const BackendOps *ops = t->backend->ops;
    if (!linear_bias(linear, &bias, err)) return false;
    bool held = !ops->dense_in_place && tensor_hold(linear->weight, err);
    bool ok = (held || ops->dense_in_place) &&
              ops->weight_dense(t->backend, linear->weight->dtype, linear->weight->data, linear->out, linear->in, bias,
                                t->precision, &t->dense[index], err);
    if (held) {
        ops->synchronize(t->backend); // it may still be copying
        tensor_release(linear->weight);
    }
    free(bias);
    return ok || error_prefix(err, "%s", linear->name);
}

float *floats_new(Backend *backend, const float *host, size_t floats, Error *err) {
    float *device = backend->ops->memory_new(backend, floats * sizeof(float), err);
    if (!device) return NULL;
    backend->ops->upload(backend, device, host, floats * sizeof(float));
    backend->ops->synchronize(backend); // an upload may still read from `host`
    return device;
}

// Gain and bias of a norm as floats on the host, each [heads, width]; NULL when memory is short. Factors are those of a
// norm without heads.
static float *gain_read(const Transformer *t, int index, const float *factors) {
    const Norm *norm = &t->structure->norms[index];
    const size_t width = (size_t)norm->heads * norm_width(norm);
    float *host = array_new(2 * width, sizeof(float));
    if (!host) return NULL;
    const size_t own = tensor_elements(norm->gain); // all of it, or of one head
    for (size_t i = 0; i < width / own; i++) floats_from(norm[i].gain->dtype, norm[i].gain->data, own, host + i * own);
    if (norm->bias) floats_from(norm->bias->dtype, norm->bias->data, width, host + width);
    for (size_t i = 0; i < width; i++) {
        if (norm_adds_one(t->structure->config.norm) && !norm->plain) host[i] += 1;
        if (norm->factor != 0) host[i] *= norm->factor;
        if (factors) host[i] /= factors[i];
        if (factors) host[width + i] /= factors[i];
    }
    return host;
}

// The same in backend memory, divided by factors unless they are NULL.
static float *gain_new(const Transformer *t, int index, const float *factors, Error *err) {
    const Norm *norm = &t->structure->norms[index];
    const size_t floats = (size_t)norm->heads * norm_width(norm) * (norm_is_centred(t->structure->config.norm) ? 2 : 1);
    float *host = gain_read(t, index, factors);
    if (!host) {
        error_memory(err, norm->name);
        return NULL;
    }
    float *device = floats_new(t->backend, host, floats, err);
    free(host);
    return device;
}

// A vector of a layer as floats in backend memory.
static float *vector_new(const Transformer *t, const Tensor *tensor, Error *err) {
    const size_t count = (size_t)tensor->shape[0];
    float *host = array_new(count, sizeof *host);
    if (!host) {
        error_memory(err, tensor->name);
        return NULL;
    }
    floats_from(tensor->dtype, tensor->data, count, host);
    float *device = floats_new(t->backend, host, count, err);
    free(host);
    return device;
}

// Of the widest norm without weights; 0: there is none.
static size_t bare_width(const ModelConfig *config) {
    const Recurrent *r = &config->recurrent;
    size_t width = config->bare_norms ? (size_t)config->hidden : 0;
    if (config->value_norm || config->qk_norm == QK_NORM_BARE)
        width = larger(width, larger((size_t)config->head_dim, (size_t)config->full_head_dim));
    if (r->norm_groups > 1 && !r->without_norm) width = larger(width, (size_t)(recurrent_values(r) / r->norm_groups));
    return width;
}

static bool make_ones(Transformer *t, Error *err) {
    const size_t width = bare_width(&t->structure->config);
    if (width == 0) return true;
    float *host = array_new(2 * width, sizeof *host);
    if (!host) return error_memory(err, "norms without weights");
    for (size_t i = 0; i < width; i++) host[i] = 1;
    t->ones = floats_new(t->backend, host, 2 * width, err);
    if (t->ones) t->zeros = t->ones + width;
    free(host);
    return t->ones != NULL;
}

static float number_of(const Tensor *tensor) {
    float number;
    floats_from(tensor->dtype, tensor->data, 1, &number);
    return number;
}

static float softplus(float x) { return x > 20 ? x : log1pf(expf(x)); } // above 20 they are the same in float

static Xielu xielu_of(const LayerMap *map) {
    const float linear = number_of(map->xielu_linear);
    return (Xielu){softplus(number_of(map->xielu_positive)), linear + softplus(number_of(map->xielu_negative)), linear};
}

static bool load_weights(Transformer *t, Error *err) {
    for (int i = 0; i < t->structure->linear_count; i++)
        if (!make_dense(t, i, err)) return false;
    for (int i = 0; i < t->structure->norm_count; i++)
        if (!(t->gains[i] = gain_new(t, i, NULL, err))) return false;
    for (int i = 0; i < t->structure->config.layers; i++) {
        const LayerMap *map = &t->structure->layers[i];
        if (map->sinks && !(t->sinks[i] = vector_new(t, map->sinks, err))) return false;
        if (map->correction_scale && !(t->corrections[i] = vector_new(t, map->correction_scale, err))) return false;
        if (map->convolution && !(t->recurrent[i] = recurrent_new(t, i, err))) return false;
    }
    for (int i = 0; t->structure->config.xielu && i < t->structure->config.layers; i++)
        t->xielu[i] = xielu_of(&t->structure->layers[i]);
    return make_ones(t, err);
}

// One of the layer's linears is about to change.
static void forget_mixture(Transformer *t, int layer) {
    if (t->mixtures[layer].mixture) t->backend->ops->mixture_free(t->backend, t->mixtures[layer].mixture);
    t->mixtures[layer] = (LayerMixture){0};
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
    t->ones = base ? base->ones : NULL;
    t->zeros = base ? base->zeros : NULL;
    t->corrections = base ? base->corrections : array_new((size_t)structure->config.layers, sizeof(float *));
    t->sinks = base ? base->sinks : array_new((size_t)structure->config.layers, sizeof(float *));
    t->recurrent = base ? base->recurrent : array_new((size_t)structure->config.layers, sizeof(float *));
    t->xielu = base ? base->xielu : array_new((size_t)structure->config.layers, sizeof *t->xielu);
    t->replaced = array_new(linears, sizeof(Weight *));
    t->divided = array_new(norms, sizeof(float *));
    t->mixtures = array_new((size_t)structure->config.layers, sizeof *t->mixtures);
    if (t->dense && t->gains && t->sinks && t->corrections && t->recurrent && t->xielu && t->replaced && t->divided &&
        t->mixtures)
        return t;
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

static void free_gains(Backend *backend, float **gains, int count) {
    for (int i = 0; gains && i < count; i++)
        if (gains[i]) backend->ops->memory_free(backend, gains[i]);
    free(gains);
}

void transformer_free(Transformer *t) {
    if (!t) return;
    t->backend->ops->synchronize(t->backend);
    for (int i = 0; t->mixtures && i < t->structure->config.layers; i++) forget_mixture(t, i);
    free(t->mixtures);
    free_weights(t->backend, t->replaced, t->structure->linear_count);
    free_gains(t->backend, t->divided, t->structure->norm_count);
    if (!t->is_variant) {
        free_weights(t->backend, t->dense, t->structure->linear_count);
        free_gains(t->backend, t->gains, t->structure->norm_count);
        free_gains(t->backend, t->sinks, t->structure->config.layers);
        free_gains(t->backend, t->corrections, t->structure->config.layers);
        if (t->ones) t->backend->ops->memory_free(t->backend, t->ones);
        free(t->xielu);
        free_gains(t->backend, t->recurrent, t->structure->config.layers);
    }
    free(t);
}

const ModelStructure *transformer_structure(const Transformer *t) { return t->structure; }
Backend *transformer_backend(const Transformer *t) { return t->backend; }
Precision transformer_precision(const Transformer *t) { return t->precision; }

void transformer_set_linear(Transformer *t, int linear, Weight *weight) {
    t->version++;
    if (t->structure->linears[linear].expert >= 0) forget_mixture(t, t->structure->linears[linear].layer);
    if (t->replaced[linear]) {
        t->backend->ops->synchronize(t->backend);
        t->backend->ops->weight_free(t->backend, t->replaced[linear]);
    }
    t->replaced[linear] = weight;
}

const Weight *transformer_dense(const Transformer *t, int linear) { return t->dense[linear]; }

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
    t->version++;
    return true;
}

void transformer_set_cache_bits(Transformer *t, int bits) { t->cache_bits = bits; }

size_t transformer_bytes_per_token(const Transformer *t) {
    const ModelStructure *structure = t->structure;
    const Experts *experts = &structure->config.experts;
    const Tensor *tables[] = {structure->embedding, structure->layer_embedding};
    size_t bytes = 0;
    for (int i = 0; i < 2; i++) // one row
        if (tables[i]) bytes += (size_t)tables[i]->shape[1] * dtype_bytes(tables[i]->dtype);
    double of_experts = 0;
    for (int i = 0; i < structure->norm_count; i++)
        bytes += (size_t)tensor_elements(structure->norms[i].gain) * sizeof(float) *
                 (norm_is_centred(structure->config.norm) ? 2 : 1);
    for (int i = 0; i < structure->linear_count; i++) {
        if (!linear_is_read(structure, i)) continue;
        if (linear_reads_source(&structure->linears[i])) continue; // once, whatever is written then
        size_t own = t->backend->ops->weight_bytes(transformer_linear(t, i));
        if (structure->linears[i].expert < 0)
            bytes += own;
        else
            of_experts += (double)own * experts->per_token / experts->count; // on average
    }
    return bytes + (size_t)of_experts;
}

bool transformer_healthy(const Transformer *t, Error *err) {
    const BackendOps *ops = t->backend->ops;
    return !ops->healthy || ops->healthy(t->backend, err);
}

// ---- What reads weights ----

// The tensor that a linear's weight is read from in place, or NULL.
static const Tensor *in_place(const Transformer *t, int linear) {
    const bool own = t->replaced[linear] || !t->backend->ops->dense_in_place;
    return own ? NULL : t->structure->linears[linear].weight;
}

static void keep_linears(const Transformer *t, const int *linears, int count) {
    for (int i = 0; i < count; i++)
        if (in_place(t, linears[i])) tensor_keep(in_place(t, linears[i]));
}

bool transformer_multiply_together(Transformer *t, int count, const int *linears, const float *x, size_t tokens,
                                   float *const *y, Error *err) {
    const BackendOps *ops = t->backend->ops;
    const Weight *weights[TRANSFORMER_TOGETHER];
    for (int i = 0; i < count; i++) {
        const Tensor *weight = in_place(t, linears[i]);
        if (weight && !tensor_hold(weight, err)) {
            keep_linears(t, linears, i);
            return error_prefix(err, "%s", t->structure->linears[linears[i]].name);
        }
        weights[i] = transformer_linear(t, linears[i]);
    }
    ops->linears(t->backend, weights, (size_t)count, x, tokens, y);
    keep_linears(t, linears, count);
    return true;
}

bool transformer_multiply(Transformer *t, int linear, const float *x, size_t tokens, float *y, Error *err) {
    return transformer_multiply_together(t, 1, &linear, x, tokens, &y, err);
}

static void release_linears(const Transformer *t, int layer, int end) {
    for (int i = 0; i < end; i++)
        if (t->structure->linears[i].layer == layer) tensor_release(t->structure->linears[i].weight);
}

bool transformer_hold_layer(const Transformer *t, int layer, Error *err) {
    for (int i = 0; i < t->structure->linear_count; i++) {
        const Linear *linear = &t->structure->linears[i];
        if (linear->layer != layer || tensor_hold(linear->weight, err)) continue;
        release_linears(t, layer, i);
        return error_prefix(err, "%s", linear->name);
    }
    return true;
}

void transformer_release_layer(const Transformer *t, int layer) {
    release_linears(t, layer, t->structure->linear_count);
}
