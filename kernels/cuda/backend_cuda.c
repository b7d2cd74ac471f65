// The CUDA backend: its table, memory, and what happens when the device fails.
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/log.h"
#include "kernels/cuda/cuda.h"

// ---- Failing ----

static bool cuda_healthy(Backend *backend, Error *err) {
    CudaBackend *c = cuda_of(backend);
    return cuda_ready(c) || error_set(err, "%s", c->failure.message);
}

static double in_gigabytes(size_t bytes) { return (double)bytes / 1e9; }

static bool has_room(Backend *backend, size_t bytes, Error *err) {
    CudaBackend *c = cuda_of(backend);
    size_t available = 0, total = 0;
    if (!cuda_ready(c) || !cuda_check(c, c->runtime->memory(c->runtime, &available, &total), "asking for its memory"))
        return cuda_healthy(backend, err);
    if (bytes <= available) return true;
    return error_set(err,
                     "%.1f GB are needed on the device, and %s has %.1f GB free of %.1f GB; --backend cpu computes on "
                     "the processor instead",
                     in_gigabytes(bytes), c->runtime->facts.name, in_gigabytes(available), in_gigabytes(total));
}

// ---- Memory ----

bool cuda_allocate_raw(CudaBackend *c, size_t bytes, const char *what, void **out, Error *err) {
    *out = NULL;
    if (c->failed) return error_set(err, "%s", c->failure.message);
    if (c->recording) { // clearing it would become part of the step
        c->recording->broken = true;
        return error_set(err, "no memory for %s while a step is recorded", what);
    }
    size_t available = 0, total = 0;
    int code = c->runtime->enter(c->runtime);
    if (code == 0) code = c->runtime->allocate(c->runtime, bytes ? bytes : 1, out);
    c->generation++;
    if (code == 0) return true;
    if (c->runtime->memory(c->runtime, &available, &total) != 0) available = total = 0;
    return error_set(err, "no memory on %s for %s: %.2f GB wanted, %.2f GB free of %.1f GB (%s)",
                     c->runtime->facts.name, what, in_gigabytes(bytes), in_gigabytes(available), in_gigabytes(total),
                     c->runtime->message(code));
}

bool cuda_allocate(CudaBackend *c, size_t bytes, const char *what, void **out, Error *err) {
    if (!cuda_allocate_raw(c, bytes, what, out, err)) return false;
    if (cuda_check(c, c->runtime->clear(c->runtime, *out, bytes), "clearing memory")) return true;
    c->runtime->release(c->runtime, *out);
    *out = NULL;
    return error_set(err, "%s", c->failure.message);
}

void cuda_release(CudaBackend *c, void *memory) {
    if (!memory) return;
    (void)cuda_ready(c); // what waits may be about this memory
    c->runtime->release(c->runtime, memory);
    c->generation++;
    c->prepared.x = NULL; // the address may come again with other content
}

bool cuda_reserve(CudaBackend *c, Region *region, size_t bytes, Error *err) {
    if (bytes <= region->bytes) return true;
    void *grown;
    if (!cuda_allocate(c, bytes, "working memory", &grown, err)) return false;
    cuda_release(c, region->data);
    *region = (Region){grown, bytes};
    return true;
}

static void *memory_new(Backend *backend, size_t bytes, Error *err) {
    void *memory;
    return cuda_allocate(cuda_of(backend), bytes, "activations", &memory, err) ? memory : NULL;
}

static void memory_free(Backend *backend, void *memory) { cuda_release(cuda_of(backend), memory); }

void cuda_written(CudaBackend *c, const void *y, size_t bytes) {
    const Prepared *p = &c->prepared;
    if (!p->x || !y) return;
    const char *from = (const char *)p->x, *to = from + p->tokens * (size_t)p->layout.in * sizeof(float);
    if ((const char *)y < to && from < (const char *)y + bytes) c->prepared.x = NULL;
}

static void cuda_upload(Backend *backend, void *device, const void *host, size_t bytes) {
    CudaBackend *c = cuda_of(backend);
    if (!cuda_ready(c) || bytes == 0) return;
    cuda_written(c, device, bytes);
    if (c->recording)
        c->recording->broken = true;
    else
        cuda_check(c, c->runtime->upload(c->runtime, device, host, bytes), "copying to the device");
}

// NaN rather than something old when the device has failed.
static void cuda_download(Backend *backend, void *host, const void *device, size_t bytes) {
    CudaBackend *c = cuda_of(backend);
    if (bytes == 0) return;
    if (c->recording) c->recording->broken = true;
    bool there = cuda_ready(c) && !c->recording &&
                 cuda_check(c, c->runtime->download(c->runtime, host, device, bytes), "computing");
    if (!there) memset(host, 0xFF, bytes);
}

static void cuda_synchronize(Backend *backend) {
    CudaBackend *c = cuda_of(backend);
    if (cuda_ready(c) && !c->recording) cuda_check(c, c->runtime->synchronize(c->runtime), "computing");
}

// ---- The backend ----

static const char *cuda_describe(const Backend *backend) {
    return ((const CudaBackend *)(const void *)backend)->description;
}

static void cuda_destroy(Backend *backend) {
    CudaBackend *c = cuda_of(backend);
    Region *regions[] = {&c->codes,  &c->scales,     &c->sums,    &c->parts,  &c->floats, &c->arrived,
                         &c->halves, &c->quantizing, &c->staging, &c->routes, &c->slots};
    cuda_synchronize(backend);
    for (size_t i = 0; i < sizeof regions / sizeof *regions; i++) cuda_release(c, regions[i]->data);
    c->runtime->close(c->runtime);
    free(c->rows);
    free(c);
}

static void cuda_avoid(Backend *backend, unsigned families);

static const BackendOps cuda_ops = {
    .name = "cuda",
    .destroy = cuda_destroy,
    .describe = cuda_describe,
    .memory_new = memory_new,
    .memory_free = memory_free,
    .upload = cuda_upload,
    .download = cuda_download,
    .synchronize = cuda_synchronize,
    .weight_dense = cuda_weight_dense,
    .weight_quantized = cuda_weight_quantized,
    .weight_free = cuda_weight_free,
    .weight_bytes = cuda_weight_bytes,
    .linear = cuda_linear,
    .linears = cuda_linears,
    .embed = cuda_embed,
    .embed_positions = cuda_embed_positions,
    .rms_norm = cuda_rms_norm,
    .add = cuda_add,
    .silu_times = cuda_silu_times,
    .rope = cuda_rope,
    .layer_norm = cuda_layer_norm,
    .activate = cuda_activate,
    .xielu = cuda_xielu,
    .scale = cuda_scale,
    .softcap = cuda_softcap,
    .clamp = cuda_clamp,
    .split = cuda_split,
    .join = cuda_join,
    .gather = cuda_gather,
    .scatter_add = cuda_scatter_add,
    .gated_add = cuda_gated_add,
    .blend_add = cuda_blend_add,
    .match_size = cuda_match_size,
    .cut_below = cuda_cut_below,
    .mixture_new = cuda_mixture_new,
    .mixture = cuda_mixture,
    .mixture_free = cuda_mixture_free,
    .choose = cuda_choose,
    .cache_new = cuda_cache_new,
    .cache_free = cuda_cache_free,
    .cache_write = cuda_cache_write,
    .cache_follow = cuda_cache_follow,
    .attention = cuda_attention,
    .convolve = cuda_convolve,
    .recur = cuda_recur,
    .healthy = cuda_healthy,
    .has_room = has_room,
    .step_begin = cuda_step_begin,
    .step_end = cuda_step_end,
    .step_run = cuda_step_run,
    .step_free = cuda_step_free,
    .weight_from_dense = cuda_weight_from_dense,
    .measure = cuda_measure,
    .avoid = cuda_avoid,
};

static void cuda_avoid(Backend *backend, unsigned families) {
    CudaBackend *c = cuda_of(backend);
    (void)cuda_ready(c);
    c->avoided = families;
    c->ops = cuda_ops;
    c->runtime->early = c->runtime->facts.capability >= EARLY_KERNELS && !cuda_avoids(c, KERNELS_EARLY);
    if (cuda_avoids(c, KERNELS_MIXTURE)) {
        c->ops.mixture_new = NULL;
        c->ops.mixture = NULL;
        c->ops.mixture_free = NULL;
    }
    if (cuda_avoids(c, KERNELS_STEP)) {
        c->ops.step_begin = NULL;
        c->ops.step_end = NULL;
        c->ops.step_run = NULL;
        c->ops.step_free = NULL;
    }
    if (cuda_avoids(c, KERNELS_MEASURE)) c->ops.measure = NULL;
}

bool backend_cuda_on(CudaRuntime *runtime, Backend **out, Error *err) {
    *out = NULL;
    CudaBackend *c = array_new(1, sizeof *c);
    if (!c) {
        runtime->close(runtime);
        return error_memory(err, "the CUDA backend");
    }
    assert(backend_is_complete(&cuda_ops));
    c->ops = cuda_ops;
    c->base.ops = &c->ops;
    c->runtime = runtime;
    cuda_avoid(&c->base, 0);
    snprintf(c->description, sizeof c->description, "%s", runtime->facts.name);
    log_line("the device computes: %s", c->description);
    *out = &c->base;
    return true;
}
