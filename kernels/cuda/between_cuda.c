// What stands between linears: each operation fills the arguments of its kernel.
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "kernels/cuda/cuda.h"
#include "kernels/sampling.h"

static bool between_ran(CudaBackend *c, int code, const char *doing) {
    return cuda_runs(c) && cuda_check(c, code, doing);
}

// RUN(c, norm, &a, "a norm"): launches a kernel with these arguments, unless the device has failed.
#define RUN(C, NAME, ARGUMENTS, DOING) \
    between_ran(C, cuda_ready(C) ? (C)->runtime->launches->NAME((C)->runtime->stream, ARGUMENTS) : 0, DOING)

static void between_norm(CudaBackend *c, const NormArguments *a) {
    cuda_wait_norm(c, a);
    cuda_written(c, a->y, (size_t)a->rows * (size_t)a->width * sizeof *a->y);
}

void cuda_rms_norm(Backend *backend, const float *x, const float *gain, float eps, size_t tokens, size_t width,
                   float *y) {
    between_norm(cuda_of(backend), &(NormArguments){(float *)x, NULL, gain, NULL, y, eps, (int)tokens, (int)width, 1});
}

void cuda_layer_norm(Backend *backend, const float *x, const float *gain, const float *bias, size_t gains, float eps,
                     size_t tokens, size_t width, float *y) {
    between_norm(cuda_of(backend),
                 &(NormArguments){(float *)x, NULL, gain, bias, y, eps, (int)tokens, (int)width, (int)gains});
}

static void between_elementwise(Backend *backend, const ElementwiseArguments *a) {
    CudaBackend *c = cuda_of(backend);
    if (a->n == 0) return; // as everywhere here: a launch of no blocks is an error
    cuda_written(c, a->y, a->n * sizeof *a->y);
    RUN(c, elementwise, a, "an operation on activations");
}

void cuda_add(Backend *backend, float *x, const float *y, size_t n) {
    CudaBackend *c = cuda_of(backend);
    cuda_wait_add(c, &(ElementwiseArguments){.x = x, .other = y, .y = x, .n = n, .what = ELEMENTWISE_ADD});
    cuda_written(c, x, n * sizeof *x);
}

void cuda_silu_times(Backend *backend, const float *gate, const float *up, size_t n, float *y) {
    cuda_activate(backend, NONLINEARITY_SILU, gate, up, n, y);
}

void cuda_activate(Backend *backend, Nonlinearity f, const float *x, const float *up, size_t n, float *y) {
    const ElementwiseArguments a = {
        .x = x, .other = up, .y = y, .n = n, .what = ELEMENTWISE_ACTIVATE, .nonlinearity = (int)f};
    CudaBackend *c = cuda_of(backend);
    cuda_wait_activation(c, &a);
    cuda_written(c, y, n * sizeof *y);
}

void cuda_xielu(Backend *backend, const Xielu *f, const float *x, size_t n, float *y) {
    between_elementwise(backend,
                        &(ElementwiseArguments){.x = x, .y = y, .n = n, .what = ELEMENTWISE_XIELU, .xielu = *f});
}

void cuda_scale(Backend *backend, float *x, float factor, size_t n) {
    between_elementwise(
        backend,
        &(ElementwiseArguments){
            .x = x, .y = x, .n = n, .number = factor, .what = factor == 0 ? ELEMENTWISE_CLEAR : ELEMENTWISE_SCALE});
}

void cuda_softcap(Backend *backend, float *x, float cap, size_t n) {
    between_elementwise(backend,
                        &(ElementwiseArguments){.x = x, .y = x, .n = n, .number = cap, .what = ELEMENTWISE_SOFTCAP});
}

void cuda_clamp(Backend *backend, float *x, float limit, size_t n) {
    between_elementwise(backend,
                        &(ElementwiseArguments){.x = x, .y = x, .n = n, .number = limit, .what = ELEMENTWISE_CLAMP});
}

void cuda_rope(Backend *backend, float *x, size_t tokens, int heads, int head_dim, int rotated, bool adjacent,
               const float *cosine, const float *sine, size_t first) {
    CudaBackend *c = cuda_of(backend);
    const RopeArguments a = {
        x, cosine, sine, (int)tokens, heads, head_dim, rotated / 2, adjacent, cuda_position(c, first),
    };
    cuda_wait_rope(c, &a);
    cuda_written(c, x, tokens * (size_t)heads * (size_t)head_dim * sizeof *x);
}

void cuda_split(Backend *backend, const float *x, size_t tokens, size_t groups, const size_t *widths, int parts,
                float *const *y) {
    CudaBackend *c = cuda_of(backend);
    size_t width = 0, from = 0;
    for (int p = 0; p < parts; p++) width += widths[p];
    for (int p = 0; p < parts; from += widths[p++]) {
        const CopyArguments a = {x, y[p], tokens * groups, (int)width, (int)from, (int)widths[p]};
        if (!y[p] || a.rows == 0 || widths[p] == 0) continue;
        cuda_written(c, y[p], a.rows * widths[p] * sizeof(float));
        RUN(c, copy, &a, "taking a product apart");
    }
}

void cuda_join(Backend *backend, const float *const *x, size_t tokens, size_t groups, const size_t *widths,
               const bool *common, int parts, float *y) {
    CudaBackend *c = cuda_of(backend);
    size_t width = 0, to = 0;
    for (int p = 0; p < parts; p++) width += widths[p];
    cuda_written(c, y, tokens * groups * width * sizeof *y);
    for (int p = 0; p < parts; to += widths[p++]) {
        const PlaceArguments a = {x[p],           y,          tokens * groups, common[p] ? groups : 1,
                                  (int)widths[p], (int)width, (int)to};
        if (a.rows == 0 || widths[p] == 0) continue;
        RUN(c, place, &a, "putting parts together");
    }
}

// ---- Rows named by the host ----

// rows [n] and factors [n] or NULL, in the staging memory. False when they cannot be.
static bool stage_rows(CudaBackend *c, const int32_t *rows, const float *factors, size_t n, RowsArguments *a) {
    const size_t bytes = n * sizeof *rows, all = bytes + (factors ? n * sizeof *factors : 0);
    if (c->recording) c->recording->broken = true;
    if (!cuda_ready(c) || c->recording || n == 0 || !cuda_rows_room(c, all)) return false;
    memcpy(c->rows, rows, bytes);
    if (factors) memcpy(c->rows + bytes, factors, all - bytes);
    int32_t *to = c->staging.data;
    a->rows = to;
    a->factors = (const float *)(const void *)(to + n);
    return cuda_check(c, c->runtime->upload(c->runtime, to, c->rows, all), "copying to the device");
}

void cuda_gather(Backend *backend, const float *x, size_t width, const int32_t *rows, size_t n, float *y) {
    CudaBackend *c = cuda_of(backend);
    RowsArguments a = {.x = x, .y = y, .n = (int)n, .width = (int)width};
    cuda_written(c, y, n * width * sizeof *y);
    if (stage_rows(c, rows, NULL, n, &a)) RUN(c, gather, &a, "gathering rows");
}

void cuda_scatter_add(Backend *backend, const float *x, size_t width, const int32_t *rows, const float *factors,
                      size_t n, float *y) {
    CudaBackend *c = cuda_of(backend);
    RowsArguments a = {.x = x, .y = y, .n = (int)n, .width = (int)width};
    c->prepared.x = NULL;
    if (stage_rows(c, rows, factors, n, &a)) RUN(c, scatter_add, &a, "scattering rows");
}

void cuda_gated_add(Backend *backend, const float *gates, const float *x, size_t rows, size_t width, float *y) {
    CudaBackend *c = cuda_of(backend);
    const GatedAddArguments a = {gates, x, y, (int)rows, (int)width};
    if (rows == 0) return;
    cuda_written(c, y, rows * width * sizeof *y);
    RUN(c, gated_add, &a, "adding an expert");
}

// ---- Streams of a token ----

void cuda_blend_add(Backend *backend, const float *coefficients, const float *x, size_t from, size_t rows, size_t width,
                    float *y, size_t to) {
    CudaBackend *c = cuda_of(backend);
    const BlendArguments a = {coefficients, x, y, (int)from, (int)to, (int)rows, (int)width};
    if (rows == 0) return;
    cuda_written(c, y, to * rows * width * sizeof *y);
    RUN(c, blend_add, &a, "blending streams");
}

static void between_sizes(Backend *backend, const SizesArguments *a) {
    CudaBackend *c = cuda_of(backend);
    if (a->rows == 0) return;
    cuda_written(c, a->x, (size_t)a->rows * (size_t)a->width * sizeof *a->x);
    RUN(c, sizes, a, "an operation on rows");
}

void cuda_match_size(Backend *backend, float *x, const float *like, float least, size_t rows, size_t width) {
    between_sizes(backend, &(SizesArguments){x, like, least, (int)rows, (int)width});
}

void cuda_cut_below(Backend *backend, float *x, float deviations, size_t rows, size_t width) {
    between_sizes(backend, &(SizesArguments){x, NULL, deviations, (int)rows, (int)width});
}

// ---- Results for the host ----

// Launches for all rows; ids [rows] and then probabilities [rows] in the staging memory.
static bool choose_rows(CudaBackend *c, const float *logits, size_t rows, size_t vocab, const Draw *draw) {
    int32_t *ids = c->staging.data;
    ChooseArguments a = {.top_p = draw->top_p, .drawn = draw->temperature > 0, .vocab = (int)vocab};
    if (a.drawn) a.scale = distance_scale(draw->temperature);
    for (size_t done = 0; done < rows; done += (size_t)a.rows) {
        a.rows = rows - done < CHOOSE_ROWS ? (int)(rows - done) : CHOOSE_ROWS;
        a.logits = logits + done * vocab;
        a.ids = ids + done;
        a.probabilities = (float *)(void *)(ids + rows) + done;
        if (a.drawn) memcpy(a.points, draw->points + done, (size_t)a.rows * sizeof *a.points);
        if (!RUN(c, choose, &a, "choosing a token")) return false;
    }
    return true;
}

void cuda_choose(Backend *backend, const float *logits, size_t rows, size_t vocab, const Draw *draw, int32_t *ids,
                 float *probabilities) {
    CudaBackend *c = cuda_of(backend);
    Error err = {0};
    if (rows == 0) return;
    const size_t bytes = rows * (sizeof *ids + sizeof *probabilities);
    memset(ids, 0, rows * sizeof *ids);
    memset(probabilities, 0xFF, rows * sizeof *probabilities);
    if (c->recording) c->recording->broken = true;
    if (!cuda_ready(c) || c->recording) return;
    char *host = array_new(bytes, 1);
    if (host && cuda_reserve(c, &c->staging, bytes, &err)) {
        if (choose_rows(c, logits, rows, vocab, draw) &&
            cuda_check(c, c->runtime->download(c->runtime, host, c->staging.data, bytes), "choosing a token")) {
            memcpy(ids, host, rows * sizeof *ids);
            memcpy(probabilities, host + rows * sizeof *ids, rows * sizeof *probabilities);
        }
    } else if (!c->failed) {
        c->failed = true;
        error_memory(&c->failure, "choosing a token");
    }
    free(host);
}

enum { PATTERNS = 65536 };

static bool add_patterns(CudaBackend *c, const uint32_t *device, uint64_t *patterns, Error *err) {
    uint32_t *host = array_new(PATTERNS, sizeof *host);
    if (!host) return error_memory(err, "activation statistics");
    bool ok = cuda_check(c, c->runtime->download(c->runtime, host, device, PATTERNS * sizeof *host), "measuring");
    for (size_t i = 0; ok && i < PATTERNS; i++) patterns[i] += host[i];
    free(host);
    return ok || error_set(err, "%s", c->failure.message);
}

bool cuda_measure(Backend *backend, const float *x, size_t tokens, size_t width, const ActivationCounts *counts,
                  Error *err) {
    CudaBackend *c = cuda_of(backend);
    if (tokens == 0) return true;
    if (c->recording) { // counts cannot come back from there
        c->recording->broken = true;
        return error_set(err, "activations cannot be measured while a step is recorded");
    }
    const size_t pattern_bytes = PATTERNS * sizeof(uint32_t), channels = width * sizeof(float),
                 rows = tokens * sizeof(float);
    if (!cuda_reserve(c, &c->staging, pattern_bytes + 2 * channels + 2 * rows, err)) return false;
    uint32_t *at = c->staging.data; // all of it is of four bytes
    const MeasureArguments a = {.x = x,
                                .patterns = at,
                                .channel_absmax = (float *)(at + PATTERNS),
                                .channel_tokens = at + PATTERNS + width,
                                .token_absmax = (float *)(at + PATTERNS + 2 * width),
                                .token_limit = (int32_t *)(at + PATTERNS + 2 * width + tokens),
                                .tokens = (int)tokens,
                                .width = (int)width};
    CudaRuntime *r = c->runtime;
    bool ok = cuda_check(c, r->clear(r, at, pattern_bytes), "measuring") &&
              cuda_check(c, r->upload(r, a.channel_absmax, counts->channel_absmax, channels), "measuring") &&
              cuda_check(c, r->upload(r, a.channel_tokens, counts->channel_tokens, channels), "measuring") &&
              RUN(c, measure, &a, "measuring") &&
              cuda_check(c, r->download(r, counts->channel_absmax, a.channel_absmax, channels), "measuring") &&
              cuda_check(c, r->download(r, counts->channel_tokens, a.channel_tokens, channels), "measuring") &&
              cuda_check(c, r->download(r, counts->token_absmax, a.token_absmax, rows), "measuring");
    if (!ok) return error_set(err, "%s", c->failure.message);
    return add_patterns(c, a.patterns, counts->patterns, err);
}
