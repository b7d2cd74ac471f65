// Products: which kernel takes a linear of so many tokens, and how it is cut into blocks.
#include "kernels/cuda/cuda.h"

enum { FEW_TOKENS = 8 };

static bool is_rounded_float(const Weight *w) {
    return w->mode == ACTIVATION_CHANNEL || (!w->integer && w->mode != ACTIVATION_NONE);
}

static size_t at_most(size_t n, size_t most) { return n < most ? n : most; }
static size_t at_least(size_t n, size_t least) { return n > least ? n : least; }

// ---- Dense ----

static bool dense_by_library(const CudaBackend *c, const Weight *w, size_t tokens) {
    return c->runtime->product && tokens > DENSE_FEW && (w->dtype == DTYPE_F32 || w->precision == PRECISION_NATIVE);
}

// Sixteen-bit weights meet activations of 16 bits there.
static int library_product(CudaBackend *c, const Weight *w, const float *x, size_t tokens, float *y) {
    CudaRuntime *r = c->runtime;
    LibraryProduct p = {(int)w->dtype, w->data, x, w->out, w->in, tokens, w->stride, w->in, y};
    const NarrowArguments narrow = {x, c->halves.data, (int)w->dtype, (int)tokens, (int)w->in, (int)w->stride};
    const BiasArguments bias = {w->bias, y, (int)tokens, (int)w->out};
    int code = 0;
    if (w->dtype != DTYPE_F32) {
        code = r->launches->narrow(r->stream, &narrow);
        p.x = c->halves.data;
        p.x_stride = w->stride;
    }
    if (code == 0) code = r->product(r, &p);
    return code == 0 && w->bias ? r->launches->add_bias(r->stream, &bias) : code;
}

static int dense_product(CudaBackend *c, const Weight *w, const float *x, size_t tokens, float *y) {
    const DenseArguments a = {.w = w->data,
                              .bias = w->bias,
                              .x = x,
                              .y = y,
                              .dtype = (int)w->dtype,
                              .out = (int)w->out,
                              .in = (int)w->in,
                              .stride = (int)w->stride,
                              .tokens = (int)tokens,
                              .aligned = w->in % 4 == 0 && (uintptr_t)x % 16 == 0};
    if (tokens <= DENSE_FEW) return c->runtime->launches->dense_few(c->runtime->stream, &a);
    if (dense_by_library(c, w, tokens)) return library_product(c, w, x, tokens, y);
    return c->runtime->launches->dense_tiled(c->runtime->stream, &a);
}

// ---- Integer ----

static int planes_of(const Weight *w) { return w->mode == ACTIVATION_STATIC || w->mode == ACTIVATION_TOKEN ? 1 : 3; }

static bool same_activations(const Prepared *p, const Prepared *q) {
    return p->x == q->x && p->tokens == q->tokens && p->layout.in == q->layout.in &&
           p->layout.group == q->layout.group && p->planes == q->planes && p->mode == q->mode &&
           p->static_scale == q->static_scale && p->divisor == q->divisor && (p->sums || !q->sums);
}

static int prepare(CudaBackend *c, const Weight *w, const float *x, size_t tokens, int planes) {
    const Prepared wanted = {.x = x,
                             .tokens = tokens,
                             .layout = w->layout,
                             .planes = planes,
                             .mode = (int)w->mode,
                             .static_scale = w->static_scale,
                             .divisor = w->divisor,
                             .sums = w->zeros != NULL};
    if (same_activations(&c->prepared, &wanted)) return 0;
    const ActivationArguments a = {.layout = w->layout,
                                   .x = x,
                                   .divisor = planes == 1 ? w->divisor : NULL,
                                   .codes = c->codes.data,
                                   .scales = c->scales.data,
                                   .sums = w->zeros ? c->sums.data : NULL,
                                   .tokens = (int)tokens,
                                   .planes = planes,
                                   .mode = w->mode == ACTIVATION_STATIC ? ROUND_STATIC : ROUND_TOKEN,
                                   .static_scale = w->static_scale};
    FusedArguments fused = {.activations = a};
    const CudaLaunches *launches = c->runtime->launches;
    int code = cuda_take_rows(c, x, tokens, w->in, &fused) ? launches->fused(c->runtime->stream, &fused)
                                                           : launches->activations(c->runtime->stream, &a);
    c->prepared = wanted;
    if (code != 0) c->prepared.x = NULL;
    return code;
}

// So many parts of the columns that `blocks` blocks become two for each multiprocessor, with `least` steps each.
static int splits_for(const CudaBackend *c, size_t blocks, size_t steps, size_t least) {
    const size_t wanted = 2 * (size_t)c->runtime->facts.multiprocessors / at_least(blocks, 1);
    return (int)at_least(at_most(at_most(wanted, steps / least), 8), 1);
}

static size_t blocks_of(size_t n, size_t each) { return (n + each - 1) / each; }

// How a product of few tokens is cut. With several tokens the activations weigh more, so more rows share them.
static void cut_few(const CudaBackend *c, IntegerArguments *a) {
    const size_t warps = 8, rows = a->tokens <= 2 ? 1 : 4;
    a->row_blocks_per_warp = (int)rows;
    a->splits = 1;
    if (a->planes == 3)
        a->splits = splits_for(c, blocks_of((size_t)a->layout.row_blocks, rows), (size_t)a->layout.steps, warps);
}

static void cut_tiled(const CudaBackend *c, IntegerArguments *a) {
    const size_t rows = (size_t)a->layout.row_blocks, tokens = (size_t)token_blocks(a->tokens), warps = 4;
    const bool large = blocks_of(rows, 2 * warps) * blocks_of(tokens, 8) >= (size_t)c->runtime->facts.multiprocessors;
    a->row_blocks_per_warp = a->planes == 1 && large ? 2 : 1;
    a->token_blocks_per_warp = a->planes == 1 ? (large ? 8 : 4) : (tokens <= 4 ? 4 : 8);
    a->splits = 1;
    if (a->planes == 3)
        a->splits = splits_for(c, blocks_of(rows, warps) * blocks_of(tokens, (size_t)a->token_blocks_per_warp),
                               (size_t)a->layout.steps, 8);
    const size_t stage =
        integer_stage_bytes(a->layout.bits, a->planes, a->row_blocks_per_warp, a->token_blocks_per_warp);
    a->stages = (int)at_least(at_most(c->runtime->facts.shared_bytes / stage, 4), 2);
}

// Groups of half a unit are walked by the kernel for few tokens only.
static bool only_few(const Weight *w) { return w->layout.group_columns < UNIT_COLUMNS; }

static bool by_tensor_cores(const CudaBackend *c, const Weight *w) {
    return c->runtime->facts.capability >= TENSOR_CORES && !w->wide;
}

static int integer_product(CudaBackend *c, const Weight *w, const float *x, size_t tokens, float *y) {
    const CudaLaunches *launches = c->runtime->launches;
    const int planes = planes_of(w);
    int code = prepare(c, w, x, tokens, planes);
    if (code != 0) return code;
    IntegerArguments a = {.layout = w->layout,
                          .codes = w->codes,
                          .scales = w->scales,
                          .zeros = w->zeros,
                          .factors = w->factors,
                          .bias = w->bias,
                          .x = c->codes.data,
                          .x_scales = c->scales.data,
                          .x_sums = w->zeros ? c->sums.data : NULL,
                          .y = y,
                          .scale_dtype = (int)w->scale_dtype,
                          .tokens = (int)tokens,
                          .planes = planes,
                          .splits = 1};
    if (!by_tensor_cores(c, w)) return launches->integer_plain(c->runtime->stream, &a);
    const bool few = tokens <= FEW_TOKENS;
    (few ? cut_few : cut_tiled)(c, &a);
    if (a.splits > 1) a.y = c->parts.data;
    code = (few ? launches->integer_few : launches->integer_tiled)(c->runtime->stream, &a);
    if (code != 0 || a.splits == 1) return code;
    const ReduceArguments reduce = {c->parts.data, w->bias, y, a.splits, (int)tokens, (int)w->out};
    return launches->reduce(c->runtime->stream, &reduce);
}

// ---- Either ----

// Rounded activations lie before the scales of the channels.
static RoundArguments rounding(const CudaBackend *c, const Weight *w, const float *x, size_t tokens) {
    float *floats = c->floats.data;
    return (RoundArguments){.x = x,
                            .divisor = w->divisor,
                            .y = floats,
                            .scales = floats + PASS_TOKENS * w->in,
                            .tokens = (int)tokens,
                            .in = (int)w->in,
                            .mode = w->mode == ACTIVATION_CHANNEL  ? ROUND_CHANNEL
                                    : w->mode == ACTIVATION_STATIC ? ROUND_STATIC
                                                                   : ROUND_TOKEN,
                            .static_scale = w->static_scale};
}

static int product(CudaBackend *c, const Weight *w, const float *x, size_t tokens, float *y) {
    if (is_rounded_float(w)) {
        const RoundArguments a = rounding(c, w, x, tokens);
        int code = c->runtime->launches->round(c->runtime->stream, &a);
        c->prepared.x = NULL;
        if (code != 0) return code;
        x = a.y;
    }
    return w->integer ? integer_product(c, w, x, tokens, y) : dense_product(c, w, x, tokens, y);
}

// Whether what waits is computed together with the activations of this product (prepare).
static bool takes_rows(const CudaBackend *c, const Weight *w, const float *x, size_t tokens, size_t pass) {
    return w->integer && planes_of(w) == 1 && tokens <= pass && cuda_rows_wait(c, x, tokens, w->in);
}

void cuda_linear(Backend *backend, const Weight *w, const float *x, size_t tokens, float *y) {
    CudaBackend *c = cuda_of(backend);
    const size_t pass = w->integer && only_few(w) && by_tensor_cores(c, w) ? FEW_TOKENS : PASS_TOKENS;
    if (!takes_rows(c, w, x, tokens, pass)) (void)cuda_ready(c);
    cuda_written(c, y, tokens * w->out * sizeof *y);
    if (w->mode == ACTIVATION_CHANNEL && cuda_runs(c)) {
        const RoundArguments a = rounding(c, w, x, tokens);
        cuda_check(c, c->runtime->launches->channel_scales(c->runtime->stream, &a), "rounding activations");
    }
    for (size_t t = 0; t < tokens && cuda_runs(c); t += pass)
        cuda_check(c, product(c, w, x + t * w->in, at_most(tokens - t, pass), y + t * w->out), "a linear");
}
