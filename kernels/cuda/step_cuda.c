// A decode step is recorded once and run again for each token: one launch instead of hundreds. What differs from token
// to token, the position and the token's row of the embedding, lies in one block of host memory that every run copies
// to the device first.
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "kernels/cuda/cuda.h"

enum { ROW_AT = 16, MOST_ROW_BYTES = 1 << 20 }; // where the row begins in the block; the widest row there is room for

void cuda_step_free(Backend *backend, Step *step) {
    CudaBackend *c = cuda_of(backend);
    if (!step) return;
    c->runtime->synchronize(c->runtime);
    if (step->recorded) c->runtime->forget(c->runtime, step->recorded);
    cuda_release(c, step->device);
    if (step->host) c->runtime->release_host(c->runtime, step->host);
    free(step);
}

bool cuda_step_begin(Backend *backend) {
    CudaBackend *c = cuda_of(backend);
    void *host = NULL;
    if (!cuda_ready(c) || c->recording) return false;
    Step *step = array_new(1, sizeof *step);
    if (!step) return false;
    bool ok = cuda_allocate(c, ROW_AT + MOST_ROW_BYTES, "a step", &step->device, NULL) &&
              c->runtime->allocate_host(c->runtime, ROW_AT + MOST_ROW_BYTES, &host) == 0;
    step->host = host;
    c->prepared.x = NULL; // nothing that was computed before is part of the step
    if (!ok || c->runtime->record_begin(c->runtime) != 0) {
        cuda_step_free(backend, step);
        return false;
    }
    c->recording = step;
    return true;
}

Step *cuda_step_end(Backend *backend) {
    CudaBackend *c = cuda_of(backend);
    Step *step = c->recording;
    if (!step) return NULL;
    (void)cuda_ready(c);
    c->recording = NULL;
    c->prepared.x = NULL; // recorded, not computed
    int code = c->runtime->record_end(c->runtime, &step->recorded);
    step->generation = c->generation;
    if (code == 0 && !step->broken && step->has_row && !c->failed) return step;
    cuda_step_free(backend, step);
    return NULL;
}

bool cuda_step_run(Backend *backend, Step *step, int32_t id, size_t first) {
    CudaBackend *c = cuda_of(backend);
    if (!cuda_ready(c) || step->generation != c->generation) return false;
    const int32_t position = (int32_t)first;
    // The run before this one may still be reading.
    if (!cuda_check(c, c->runtime->synchronize(c->runtime), "computing")) return false;
    const size_t bytes = step->width * dtype_bytes(step->dtype);
    memcpy(step->host, &position, sizeof position);
    memcpy(step->host + ROW_AT, (const char *)step->table + (size_t)id * bytes, bytes);
    c->prepared.x = NULL;
    return cuda_check(c, c->runtime->run(c->runtime, step->recorded), "running a recorded step");
}

Position cuda_position(const CudaBackend *c, size_t first) {
    Position p = {NULL, (int32_t)first};
    if (!c->recording) return p;
    if (!c->recording->has_row) c->recording->broken = true; // the position comes with the row
    p.device = c->recording->device;
    return p;
}

// ---- Embedding ----

static void embed_recorded(CudaBackend *c, DType dtype, const void *table, size_t width, size_t tokens, float *y) {
    Step *step = c->recording;
    const size_t bytes = width * dtype_bytes(dtype);
    if (step->has_row || tokens != 1 || bytes > MOST_ROW_BYTES) {
        step->broken = true;
        return;
    }
    step->has_row = true;
    step->dtype = dtype;
    step->table = table;
    step->width = width;
    int code = c->runtime->record_upload(c->runtime, step->device, step->host, ROW_AT + bytes);
    const WidenArguments a = {(const char *)step->device + ROW_AT, y, width, (int)dtype};
    if (code == 0) code = c->runtime->launches->widen(c->runtime->stream, &a);
    if (code != 0) step->broken = true;
}

static bool rows_room(CudaBackend *c, size_t bytes) {
    if (bytes > c->rows_bytes) {
        free(c->rows);
        c->rows = array_new(bytes, 1);
        c->rows_bytes = c->rows ? bytes : 0;
    }
    Error err = {0};
    if (c->rows && cuda_reserve(c, &c->staging, bytes, &err)) return true;
    if (!c->failed) c->failure = err;
    if (!c->rows) error_memory(&c->failure, "embedded tokens");
    c->failed = true;
    return false;
}

void cuda_embed(Backend *backend, DType dtype, const void *table, size_t width, const int32_t *ids, size_t tokens,
                float *y) {
    CudaBackend *c = cuda_of(backend);
    const size_t bytes = width * dtype_bytes(dtype);
    if (!cuda_ready(c) || tokens == 0) return;
    cuda_written(c, y, tokens * width * sizeof *y);
    if (c->recording) {
        embed_recorded(c, dtype, table, width, tokens, y);
        return;
    }
    if (!rows_room(c, tokens * bytes)) return;
    for (size_t t = 0; t < tokens; t++)
        memcpy(c->rows + t * bytes, (const char *)table + (size_t)ids[t] * bytes, bytes);
    const WidenArguments a = {c->staging.data, y, tokens * width, (int)dtype};
    if (cuda_check(c, c->runtime->upload(c->runtime, c->staging.data, c->rows, tokens * bytes), "embedding"))
        cuda_check(c, c->runtime->launches->widen(c->runtime->stream, &a), "embedding");
}
