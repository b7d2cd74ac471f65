// What every layer is made of: showing inputs, products, norms, sums.
#include "model/transformer_parts.h"

bool pass_observe(const Pass *pass, int linear, const float *x) {
    if (!pass->observer) return true;
    const Linear *reader = &pass->t->structure->linears[linear];
    Backend *backend = pass->t->backend;
    if (pass->observer->measured_input && backend->ops->measure) {
        pass->observer->measured_input(pass->observer->context, reader->input, backend, x, pass->tokens, reader->in);
        return true;
    }
    float *host = sequences_observed(pass->running, pass->tokens * reader->in, pass->err);
    if (!host) return false;
    backend->ops->download(backend, host, x, pass->tokens * reader->in * sizeof(float));
    pass->observer->linear_input(pass->observer->context, reader->input, host, pass->tokens, reader->in);
    return true;
}

bool pass_linear(const Pass *pass, int index, const float *x, float *y) {
    return transformer_multiply(pass->t, index, x, pass->tokens, y, pass->err);
}

bool pass_together(const Pass *pass, int count, const int *linears, const float *x, float *const *y) {
    return transformer_multiply_together(pass->t, count, linears, x, pass->tokens, y, pass->err);
}

const float *pass_gain(const Pass *pass, int norm) {
    const Transformer *t = pass->t;
    return t->divided[norm] ? t->divided[norm] : t->gains[norm];
}

void pass_norm(const Pass *pass, int index, const float *x, size_t rows, float *y) {
    const Transformer *t = pass->t;
    const Norm *norm = &t->structure->norms[index];
    const float *gain = pass_gain(pass, index);
    const float eps = norm->eps > 0 ? norm->eps : pass_config(pass)->norm_eps;
    const size_t width = norm_width(norm), heads = (size_t)norm->heads;
    if (norm_is_centred(pass_config(pass)->norm))
        t->backend->ops->layer_norm(t->backend, x, gain, gain + heads * width, heads, eps, rows, width, y);
    else
        t->backend->ops->rms_norm(t->backend, x, gain, eps, rows, width, y);
}

void pass_bare_norm(const Pass *pass, const float *x, size_t rows, size_t width, float *y) {
    const ModelConfig *config = pass_config(pass);
    const float *ones = pass->t->ones, *zeros = pass->t->zeros;
    Backend *backend = pass->t->backend;
    if (norm_is_centred(config->norm))
        backend->ops->layer_norm(backend, x, ones, zeros, 1, config->norm_eps, rows, width, y);
    else
        backend->ops->rms_norm(backend, x, ones, config->norm_eps, rows, width, y);
}

void pass_add(const Pass *pass, float *x, const float *y) {
    Backend *backend = pass->t->backend;
    backend->ops->add(backend, x, y, pass->tokens * (size_t)pass_config(pass)->hidden);
}

void pass_copy(const Pass *pass, const float *x, size_t width, float *y) {
    Backend *backend = pass->t->backend;
    backend->ops->split(backend, x, pass->tokens, 1, &width, 1, &y);
}

void pass_scale(const Pass *pass, float *x, float factor, size_t width) {
    Backend *backend = pass->t->backend;
    if (factor != 0 && factor != 1) backend->ops->scale(backend, x, factor, pass->tokens * width);
}

void pass_multiply(const Pass *pass, Nonlinearity f, const float *gates, size_t width, float *x) {
    Backend *backend = pass->t->backend;
    backend->ops->activate(backend, f, gates, x, pass->tokens * width, x);
}
