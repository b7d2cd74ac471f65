// Operations that wait for the next one, because a single kernel computes both: the residual that is added before a
// norm, norms and activation functions before a quantized product, rotations before keys and values are
// stored. Any other operation first runs what is deferred (cuda_ready), so only the number of launches differs.
#include "kernels/cuda/cuda.h"

static int launch_deferred(CudaBackend *c, const Deferred *w) {
    const CudaLaunches *launches = c->runtime->launches;
    void *stream = c->runtime->stream;
    int code = 0;
    switch (w->kind) {
    case DEFERRED_NOTHING: break;
    case DEFERRED_ADD:
    case DEFERRED_ACTIVATION: code = launches->elementwise(stream, &w->elementwise); break;
    case DEFERRED_NORM: code = launches->norm(stream, &w->norm); break;
    case DEFERRED_ROPES:
        for (int i = 0; i < w->rope_count && code == 0; i++) code = launches->rope(stream, &w->ropes[i]);
        break;
    }
    return code;
}

bool cuda_ready(CudaBackend *c) {
    const Deferred deferred = c->deferred;
    c->deferred.kind = DEFERRED_NOTHING;
    return cuda_runs(c) && cuda_check(c, c->runtime->enter(c->runtime), "choosing the device") &&
           cuda_check(c, launch_deferred(c, &deferred), "an operation on activations");
}

// Nothing waits where fused operations are avoided.
static void run_what_is_avoided(CudaBackend *c) {
    if (cuda_avoids(c, KERNELS_FUSED)) (void)cuda_ready(c);
}

void cuda_wait_add(CudaBackend *c, const ElementwiseArguments *a) {
    if (cuda_ready(c) && a->n) c->deferred = (Deferred){.kind = DEFERRED_ADD, .elementwise = *a};
    run_what_is_avoided(c);
}

void cuda_wait_activation(CudaBackend *c, const ElementwiseArguments *a) {
    if (cuda_ready(c) && a->n) c->deferred = (Deferred){.kind = DEFERRED_ACTIVATION, .elementwise = *a};
    run_what_is_avoided(c);
}

void cuda_wait_norm(CudaBackend *c, const NormArguments *a) {
    const ElementwiseArguments added = c->deferred.elementwise;
    NormArguments norm = *a;
    if (a->rows == 0 || a->width == 0) return;
    if (c->deferred.kind == DEFERRED_ADD && added.y == a->x && added.n == (size_t)a->rows * (size_t)a->width)
        norm.added = added.other;
    else if (!cuda_ready(c))
        return;
    c->deferred = (Deferred){.kind = DEFERRED_NORM, .norm = norm};
    run_what_is_avoided(c);
}

void cuda_wait_rope(CudaBackend *c, const RopeArguments *a) {
    Deferred *w = &c->deferred;
    if (a->tokens == 0 || a->half == 0) return;
    if (w->kind != DEFERRED_ROPES || w->rope_count == MOST_ROPES || w->ropes[0].x == a->x) {
        if (!cuda_ready(c)) return;
        w->kind = DEFERRED_ROPES;
        w->rope_count = 0;
    }
    w->ropes[w->rope_count++] = *a;
    run_what_is_avoided(c);
}

bool cuda_rows_wait(const CudaBackend *c, const float *x, size_t tokens, size_t width) {
    const Deferred *w = &c->deferred;
    if (w->kind == DEFERRED_ACTIVATION) return w->elementwise.y == x && w->elementwise.n == tokens * width;
    return w->kind == DEFERRED_NORM && w->norm.y == x && (size_t)w->norm.rows == tokens &&
           (size_t)w->norm.width == width;
}

bool cuda_take_rows(CudaBackend *c, const float *x, size_t tokens, size_t width, FusedArguments *out) {
    const Deferred *w = &c->deferred;
    if (!cuda_rows_wait(c, x, tokens, width)) return false;
    if (w->kind == DEFERRED_NORM)
        out->norm = w->norm;
    else
        out->elementwise = w->elementwise;
    c->deferred.kind = DEFERRED_NOTHING;
    return true;
}

bool cuda_take_ropes(CudaBackend *c, const CacheWriteArguments *write, RopeWriteArguments *out) {
    const Deferred *w = &c->deferred;
    if (w->kind != DEFERRED_ROPES) return false;
    const RopeArguments *last = &w->ropes[w->rope_count - 1];
    if (w->rope_count > 1 && w->ropes[0].x == write->v) return false; // values are stored while queries rotate
    if (last->x != write->k || last->head_dim != write->cache.head_dim ||
        last->tokens * last->heads != write->sequences * write->tokens * write->cache.kv_heads)
        return false;
    *out = (RopeWriteArguments){.k = *last, .write = *write};
    if (w->rope_count > 1) out->q = w->ropes[0];
    c->deferred.kind = DEFERRED_NOTHING;
    return true;
}
