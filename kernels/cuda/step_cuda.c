// A decode step is recorded once and run again for each token: one launch instead of hundreds. What differs from token
// to token, the position and the rows that are looked up, lies in one block of host memory that every run copies to the
// device first.
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "kernels/cuda/cuda.h"

// Where rows begin in the block, and its size: 32 tokens of 16,384 floats, and positions.
enum { ROWS_AT = 16, BLOCK_BYTES = 4 << 20 };

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
    bool ok = cuda_allocate(c, BLOCK_BYTES, "a step", &step->device, NULL) &&
              c->runtime->allocate_host(c->runtime, BLOCK_BYTES, &host) == 0;
    step->host = host;
    step->used = ROWS_AT;
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
    if (code == 0 && !step->broken && step->tokens[0].rows && !c->failed) return step;
    cuda_step_free(backend, step);
    return NULL;
}

// Rows `ids` of a table, or, where that is NULL, the rows from `first` on.
static void gather_rows(const void *table, size_t bytes, const int32_t *ids, size_t first, size_t rows,
                        unsigned char *to) {
    for (size_t i = 0; i < rows; i++)
        memcpy(to + i * bytes, (const char *)table + (ids ? (size_t)ids[i] : first + i) * bytes, bytes);
}

static void gather_again(const StepRows *rows, const int32_t *ids, size_t first, unsigned char *block) {
    gather_rows(rows->table, rows->bytes, ids, first, rows->rows, block + rows->at);
}

bool cuda_step_run(Backend *backend, Step *step, const int32_t *ids, size_t first) {
    CudaBackend *c = cuda_of(backend);
    if (!cuda_ready(c) || step->generation != c->generation) return false;
    const int32_t position = (int32_t)first;
    // The run before this one may still be reading.
    if (!cuda_check(c, c->runtime->synchronize(c->runtime), "computing")) return false;
    memcpy(step->host, &position, sizeof position);
    for (int i = 0; i < 2; i++) gather_again(&step->tokens[i], ids, 0, step->host);
    gather_again(&step->positions, NULL, first, step->host);
    c->prepared.x = NULL;
    return cuda_check(c, c->runtime->run(c->runtime, step->recorded), "running a recorded step");
}

Position cuda_position(const CudaBackend *c, size_t first) {
    Position p = {NULL, (int32_t)first};
    if (!c->recording) return p;
    if (c->recording->tokens[0].rows == 0) c->recording->broken = true; // the position comes with the tokens
    p.device = c->recording->device;
    return p;
}

// ---- Embedding ----

// Rows become part of the step's block: the copy of that part, and what takes it from there, are recorded. The tokens'
// copy begins with the position.
static void embed_recorded(CudaBackend *c, StepRows *rows, DType dtype, const void *table, size_t width, size_t tokens,
                           float *y) {
    Step *step = c->recording;
    const size_t row = width * dtype_bytes(dtype), bytes = tokens * row, from = step->used == ROWS_AT ? 0 : step->used;
    if (rows->rows || bytes > BLOCK_BYTES - step->used) {
        step->broken = true;
        return;
    }
    *rows = (StepRows){table, row, tokens, step->used};
    step->used = (step->used + bytes + 15) / 16 * 16;
    char *device = step->device;
    const WidenArguments a = {device + rows->at, y, tokens * width, (int)dtype};
    CudaRuntime *r = c->runtime;
    const size_t end = rows->at + bytes;
    if (cuda_check(c, r->record_upload(r, device + from, step->host + from, end - from), "recording"))
        cuda_check(c, r->launches->widen(r->stream, &a), "recording");
}

bool cuda_rows_room(CudaBackend *c, size_t bytes) {
    if (bytes > c->rows_bytes) {
        free(c->rows);
        c->rows = array_new(bytes, 1);
        c->rows_bytes = c->rows ? bytes : 0;
    }
    Error err = {0};
    if (c->rows && cuda_reserve(c, &c->staging, bytes, &err)) return true;
    if (!c->failed) c->failure = err;
    if (!c->rows) error_memory(&c->failure, "rows on their way to the device");
    c->failed = true;
    return false;
}

// recorded: where a step that is being recorded remembers the rows.
static void step_embed(CudaBackend *c, StepRows *recorded, DType dtype, const void *table, size_t width,
                       const int32_t *ids, size_t first, size_t tokens, float *y) {
    const size_t row = width * dtype_bytes(dtype);
    if (!cuda_ready(c) || tokens == 0) return;
    cuda_written(c, y, tokens * width * sizeof *y);
    if (recorded) {
        embed_recorded(c, recorded, dtype, table, width, tokens, y);
        return;
    }
    if (!cuda_rows_room(c, tokens * row)) return;
    gather_rows(table, row, ids, first, tokens, c->rows);
    const WidenArguments a = {c->staging.data, y, tokens * width, (int)dtype};
    if (cuda_check(c, c->runtime->upload(c->runtime, c->staging.data, c->rows, tokens * row), "embedding"))
        cuda_check(c, c->runtime->launches->widen(c->runtime->stream, &a), "embedding");
}

void cuda_embed(Backend *backend, DType dtype, const void *table, size_t width, const int32_t *ids, size_t tokens,
                float *y) {
    CudaBackend *c = cuda_of(backend);
    StepRows *rows = c->recording ? c->recording->tokens : NULL;
    step_embed(c, rows && rows->rows ? rows + 1 : rows, dtype, table, width, ids, 0, tokens, y);
}

void cuda_embed_positions(Backend *backend, DType dtype, const void *table, size_t width, size_t first, size_t tokens,
                          float *y) {
    CudaBackend *c = cuda_of(backend);
    if (c->recording && c->recording->tokens[0].rows == 0) c->recording->broken = true; // the position comes with them
    step_embed(c, c->recording ? &c->recording->positions : NULL, dtype, table, width, NULL, first, tokens, y);
}
