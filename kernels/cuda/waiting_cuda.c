// Operations that wait for the next one, because a single kernel computes both: the residual that is added before a
// norm, norms and activation functions before a quantized product, rotations before keys and values are
// stored. Whatever else is asked for comes after what waits (cuda_ready), so nobody can tell but by counting launches.
#include "kernels/cuda/cuda.h"

static int launch(CudaBackend *c, const Waiting *w) {
    const CudaLaunches *launches = c->runtime->launches;
    void *stream = c->runtime->stream;
    int code = 0;
    switch (w->kind) {
    case WAITING_NOTHING: break;
    case WAITING_ADD:
    case WAITING_ACTIVATION: code = launches->elementwise(stream, &w->elementwise); break;
    case WAITING_NORM: code = launches->norm(stream, &w->norm); break;
    case WAITING_ROPES:
        for (int i = 0; i < w->rope_count && code == 0; i++) code = launches->rope(stream, &w->ropes[i]);
        break;
    }
    return code;
}

bool cuda_ready(CudaBackend *c) {
    const Waiting waiting = c->waiting;
    c->waiting.kind = WAITING_NOTHING;
    return cuda_runs(c) && cuda_check(c, c->runtime->enter(c->runtime), "choosing the device") &&
           cuda_check(c, launch(c, &waiting), "an operation on activations");
}

void cuda_wait_add(CudaBackend *c, const ElementwiseArguments *a) {
    if (cuda_ready(c) && a->n) c->waiting = (Waiting){.kind = WAITING_ADD, .elementwise = *a};
}

void cuda_wait_activation(CudaBackend *c, const ElementwiseArguments *a) {
    if (cuda_ready(c) && a->n) c->waiting = (Waiting){.kind = WAITING_ACTIVATION, .elementwise = *a};
}

void cuda_wait_norm(CudaBackend *c, const NormArguments *a) {
    const ElementwiseArguments added = c->waiting.elementwise;
    NormArguments norm = *a;
    if (a->rows == 0 || a->width == 0) return;
    if (c->waiting.kind == WAITING_ADD && added.y == a->x && added.n == (size_t)a->rows * (size_t)a->width)
        norm.added = added.other;
    else if (!cuda_ready(c))
        return;
    c->waiting = (Waiting){.kind = WAITING_NORM, .norm = norm};
}

void cuda_wait_rope(CudaBackend *c, const RopeArguments *a) {
    Waiting *w = &c->waiting;
    if (a->tokens == 0 || a->half == 0) return;
    if (w->kind != WAITING_ROPES || w->rope_count == MOST_ROPES || w->ropes[0].x == a->x) {
        if (!cuda_ready(c)) return;
        w->kind = WAITING_ROPES;
        w->rope_count = 0;
    }
    w->ropes[w->rope_count++] = *a;
}

bool cuda_rows_wait(const CudaBackend *c, const float *x, size_t tokens, size_t width) {
    const Waiting *w = &c->waiting;
    if (w->kind == WAITING_ACTIVATION) return w->elementwise.y == x && w->elementwise.n == tokens * width;
    return w->kind == WAITING_NORM && w->norm.y == x && (size_t)w->norm.rows == tokens &&
           (size_t)w->norm.width == width;
}

bool cuda_take_rows(CudaBackend *c, const float *x, size_t tokens, size_t width, FusedArguments *out) {
    const Waiting *w = &c->waiting;
    if (!cuda_rows_wait(c, x, tokens, width)) return false;
    if (w->kind == WAITING_NORM)
        out->norm = w->norm;
    else
        out->elementwise = w->elementwise;
    c->waiting.kind = WAITING_NOTHING;
    return true;
}

bool cuda_take_ropes(CudaBackend *c, const CacheWriteArguments *write, RopeWriteArguments *out) {
    const Waiting *w = &c->waiting;
    if (w->kind != WAITING_ROPES) return false;
    const RopeArguments *last = &w->ropes[w->rope_count - 1];
    if (w->rope_count > 1 && w->ropes[0].x == write->v) return false; // values are stored while queries rotate
    if (last->x != write->k || last->head_dim != write->cache.head_dim ||
        last->tokens * last->heads != write->sequences * write->tokens * write->cache.kv_heads)
        return false;
    *out = (RopeWriteArguments){.k = *last, .write = *write};
    if (w->rope_count > 1) out->q = w->ropes[0];
    c->waiting.kind = WAITING_NOTHING;
    return true;
}
