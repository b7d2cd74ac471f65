// The CPU backend: its table, memory, and the operations that work element by element or row by row.
#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/log.h"
#include "kernels/cpu/cpu.h"

bool cpu_reserve(CpuBackend *cpu, size_t bytes, Error *err) {
    if (bytes <= cpu->scratch_bytes) return true;
    void *grown = array_new(bytes, 1);
    if (!grown) return error_memory(err, "working memory");
    free(cpu->scratch);
    cpu->scratch = grown;
    cpu->scratch_bytes = bytes;
    return true;
}

int cpu_threads_for(const CpuBackend *cpu, size_t bytes, size_t steps) {
    // One thread's rates, roughly: 20 bytes and two steps in every lane per nanosecond.
    double nanoseconds = (double)bytes / 20 + (double)steps / (2.0 * cpu->kernels->lanes);
    return nanoseconds > 30000 ? cpu->threads : 1;
}

static void cpu_destroy(Backend *backend) {
    CpuBackend *cpu = cpu_of(backend);
    dense_library_free(cpu->library);
    free(cpu->scratch);
    free(cpu->shares);
    free(cpu);
}

static const char *cpu_describe(const Backend *backend) {
    return ((const CpuBackend *)(const void *)backend)->description;
}

static void *cpu_memory_new(Backend *backend, size_t bytes, Error *err) {
    (void)backend;
    void *memory = array_new(bytes, 1);
    if (!memory) error_memory(err, "activations");
    return memory;
}

static void cpu_memory_free(Backend *backend, void *memory) {
    (void)backend;
    free(memory);
}

static void cpu_copy(Backend *backend, void *to, const void *from, size_t bytes) {
    (void)backend;
    if (bytes) memcpy(to, from, bytes);
}

static void cpu_synchronize(Backend *backend) { (void)backend; }

static void cpu_embed(Backend *backend, DType dtype, const void *table, size_t width, const int32_t *ids, size_t tokens,
                      float *y) {
    const CpuBackend *cpu = cpu_of(backend);
    for (size_t t = 0; t < tokens; t++)
        cpu->kernels->widen(dtype, (const char *)table + (size_t)ids[t] * width * dtype_bytes(dtype), width,
                            y + t * width);
}

static void cpu_embed_positions(Backend *backend, DType dtype, const void *table, size_t width, size_t first,
                                size_t tokens, float *y) {
    const char *rows = (const char *)table + first * width * dtype_bytes(dtype);
    cpu_of(backend)->kernels->widen(dtype, rows, tokens * width, y);
}

static void cpu_rms_norm(Backend *backend, const float *x, const float *gain, float eps, size_t tokens, size_t width,
                         float *y) {
    const CpuBackend *cpu = cpu_of(backend);
#pragma omp parallel for schedule(static) num_threads(tokens > 1 ? cpu_threads_for(cpu, 0, 2 * tokens * width) : 1)
    for (size_t t = 0; t < tokens; t++) cpu->kernels->rms_norm_row(x + t * width, gain, eps, width, y + t * width);
}

enum { CHUNK = 4096 }; // elements that a thread takes at a time; a multiple of every vector length

static void cpu_add(Backend *backend, float *x, const float *y, size_t n) {
    const CpuBackend *cpu = cpu_of(backend);
#pragma omp parallel for schedule(static) num_threads(cpu_threads_for(cpu, 0, n))
    for (size_t i = 0; i < n; i += CHUNK) cpu->kernels->add(x + i, y + i, n - i < CHUNK ? n - i : CHUNK);
}

static void cpu_silu_times(Backend *backend, const float *gate, const float *up, size_t n, float *y) {
    const CpuBackend *cpu = cpu_of(backend);
    // an exponential
#pragma omp parallel for schedule(static) num_threads(cpu_threads_for(cpu, 0, 20 * n))
    for (size_t i = 0; i < n; i += CHUNK)
        cpu->kernels->silu_times(gate + i, up + i, n - i < CHUNK ? n - i : CHUNK, y + i);
}

static void rotate_adjacent(float *x, size_t half, const float *cosine, const float *sine) {
    for (size_t i = 0; i < half; i++) {
        const float low = x[2 * i], high = x[2 * i + 1];
        x[2 * i] = low * cosine[i] - high * sine[i];
        x[2 * i + 1] = high * cosine[i] + low * sine[i];
    }
}

static void cpu_rope(Backend *backend, float *x, size_t tokens, int heads, int head_dim, int rotated, bool adjacent,
                     const float *cosine, const float *sine, size_t first) {
    const CpuBackend *cpu = cpu_of(backend);
    size_t dim = (size_t)head_dim, half = (size_t)rotated / 2, width = (size_t)heads * dim;
    void (*rotate)(float *, size_t, const float *, const float *) =
        adjacent ? rotate_adjacent : cpu->kernels->rope_head;
#pragma omp parallel for schedule(static) num_threads(tokens > 1 ? cpu_threads_for(cpu, 0, 2 * tokens * width) : 1)
    for (size_t t = 0; t < tokens; t++)
        for (size_t h = 0; h < (size_t)heads; h++)
            rotate(x + t * width + h * dim, half, cosine + (first + t) * half, sine + (first + t) * half);
}

static const BackendOps cpu_ops = {
    .name = "cpu",
    .destroy = cpu_destroy,
    .describe = cpu_describe,
    .memory_new = cpu_memory_new,
    .memory_free = cpu_memory_free,
    .upload = cpu_copy,
    .download = cpu_copy,
    .synchronize = cpu_synchronize,
    .dense_in_place = true,
    .weight_dense = cpu_weight_dense,
    .weight_quantized = cpu_weight_quantized,
    .weight_from_dense = cpu_weight_from_dense,
    .weight_free = cpu_weight_free,
    .weight_bytes = cpu_weight_bytes,
    .linear = cpu_linear,
    .linears = cpu_linears,
    .embed = cpu_embed,
    .embed_positions = cpu_embed_positions,
    .rms_norm = cpu_rms_norm,
    .add = cpu_add,
    .silu_times = cpu_silu_times,
    .rope = cpu_rope,
    .layer_norm = cpu_layer_norm,
    .activate = cpu_activate,
    .xielu = cpu_xielu,
    .scale = cpu_scale,
    .softcap = cpu_softcap,
    .clamp = cpu_clamp,
    .split = cpu_split,
    .join = cpu_join,
    .gather = cpu_gather,
    .scatter_add = cpu_scatter_add,
    .gated_add = cpu_gated_add,
    .blend_add = cpu_blend_add,
    .match_size = cpu_match_size,
    .cut_below = cpu_cut_below,
    .choose = cpu_choose,
    .cache_new = cpu_cache_new,
    .cache_free = cpu_cache_free,
    .cache_write = cpu_cache_write,
    .cache_follow = cpu_cache_follow,
    .attention = cpu_attention,
    .convolve = cpu_convolve,
    .recur = cpu_recur,
};

bool backend_cpu_new(int threads, Backend **out, Error *err) {
    *out = NULL;
    const HostKernels *kernels = host_kernels_choose(err);
    if (!kernels) return false;
    if (threads < 0 || threads > 4096)
        return error_set(err, "%d threads are not possible; choose 1 to 4096, or 0 for all cores", threads);
    CpuBackend *cpu = array_new(1, sizeof *cpu);
    if (!cpu) return error_memory(err, "the CPU backend");
    assert(backend_is_complete(&cpu_ops));
    cpu->base.ops = &cpu_ops;
    cpu->kernels = kernels;
    cpu->threads = threads ? threads : host_cores();
    cpu->shares = array_new((size_t)cpu->threads, sizeof *cpu->shares);
    if (!cpu->shares) {
        free(cpu);
        return error_memory(err, "the CPU backend");
    }
    // Forced to plain C, it uses no foreign code either: valgrind does not know all instructions of such code.
    if (kernels != &host_kernels_scalar) cpu->library = dense_library_new(cpu->threads);
    snprintf(cpu->description, sizeof cpu->description, "%s ×%d", kernels->name, cpu->threads);
    log_line("the CPU computes: %s, %s dense library", cpu->description, cpu->library ? "with a" : "without a");
    *out = &cpu->base;
    return true;
}
