// Products of linears. Those that read the same x and want it prepared alike are one piece of work: x is prepared once,
// and all their rows are shared among threads. Each goes through a share of its own piece by piece, one long stream for
// its core, and then helps others with theirs, so that a core that something else keeps busy holds up nobody.
#include <math.h>
#include <omp.h>
#include <string.h>

#include "kernels/cpu/weight.h"

// From this many tokens on, oneDNN's blocked product is faster than rows in place.
enum { LIBRARY_TOKENS = 9 };
enum { MOST_TOGETHER = 4 };

// Weights that are multiplied with the same x.
typedef struct Batch {
    const Weight *const *weights; // [count]
    float *y[MOST_TOGETHER];      // [tokens, out] each
    size_t count;
    const float *x; // [tokens, in]
    size_t tokens;
} Batch;

// ---- How work is cut ----

// Rows that a thread takes at a time: about 128 KB, in whole tiles.
static size_t piece_rows(const Weight *w) {
    if (w->form == FORM_PACKED) return 2 * PACKED_ROWS;
    size_t rows = (size_t)131072 / (w->in * dtype_bytes(w->dtype)) / 4 * 4;
    return rows ? rows : 4;
}

static size_t piece_count(const Batch *b) {
    size_t count = 0;
    for (size_t i = 0; i < b->count; i++)
        count += (b->weights[i]->out + piece_rows(b->weights[i]) - 1) / piece_rows(b->weights[i]);
    return count;
}

// Rows from … to − 1 of weight number `weight` of a batch.
typedef struct ProductPiece {
    size_t weight, from, to;
} ProductPiece;

static ProductPiece piece_at(const Batch *b, size_t number) {
    ProductPiece piece = {0};
    for (; piece.weight < b->count; piece.weight++) {
        const Weight *w = b->weights[piece.weight];
        size_t rows = piece_rows(w), count = (w->out + rows - 1) / rows;
        if (number < count) {
            piece.from = number * rows;
            piece.to = w->out - piece.from < rows ? w->out : piece.from + rows;
            break;
        }
        number -= count;
    }
    return piece;
}

static int threads_for(const CpuBackend *cpu, const Batch *b, size_t steps_per_product) {
    size_t bytes = 0, steps = 0;
    for (size_t i = 0; i < b->count; i++) {
        bytes += cpu_weight_bytes(b->weights[i]);
        steps += b->weights[i]->out * b->weights[i]->in * b->tokens * steps_per_product / 4;
    }
    return cpu_threads_for(cpu, bytes, steps);
}

// What threads work on, and one piece of it.
typedef struct SharedProduct {
    const CpuBackend *cpu;
    const Batch *batch;
    const uint16_t *rounded;        // dense: x in BF16 or NULL
    const Activations *activations; // packed: x in planes or NULL
    void (*work)(const struct SharedProduct *, ProductPiece);
    size_t pieces;
    int shares;
} SharedProduct;

static void shared_begin(SharedProduct *shared, int shares) {
    shared->pieces = piece_count(shared->batch);
    shared->shares = shares;
    for (int i = 0; i < shares; i++)
        atomic_store(&shared->cpu->shares[i].next, shared->pieces * (size_t)i / (size_t)shares);
}

// By every thread of a region, after shared_begin by one.
static void shared_help(const SharedProduct *shared) {
    for (int k = 0; k < shared->shares; k++) {
        int i = (omp_get_thread_num() + k) % shared->shares;
        size_t end = shared->pieces * ((size_t)i + 1) / (size_t)shared->shares, number;
        while ((number = atomic_fetch_add(&shared->cpu->shares[i].next, 1)) < end)
            shared->work(shared, piece_at(shared->batch, number));
    }
}

// ---- Dense ----

static void dense_piece(const SharedProduct *shared, ProductPiece piece) {
    const Batch *b = shared->batch;
    const Weight *w = b->weights[piece.weight];
    const DenseProduct product = {.dtype = w->dtype,
                                  .w = w->data,
                                  .in = w->in,
                                  .bias = w->bias,
                                  .x = b->x,
                                  .rounded = shared->rounded,
                                  .tokens = b->tokens,
                                  .x_stride = w->in,
                                  .y = b->y[piece.weight],
                                  .y_stride = w->out,
                                  .streams = cpu_weight_bytes(w) >= (size_t)1 << 20};
    (shared->rounded ? shared->cpu->kernels->dense_rounded : shared->cpu->kernels->dense)(&product, piece.from,
                                                                                          piece.to);
}

// x → BF16, by the threads of the region that calls this.
static void round_tokens(const CpuBackend *cpu, const Batch *b, uint16_t *rounded) {
    const size_t in = b->weights[0]->in;
#pragma omp for schedule(static)
    for (size_t t = 0; t < b->tokens; t++) cpu->kernels->narrow(DTYPE_BF16, b->x + t * in, in, rounded + t * in);
}

static void run_dense(const CpuBackend *cpu, const Batch *b) {
    const int threads = threads_for(cpu, b, 4);
    uint16_t *rounded = b->weights[0]->rounded && cpu->kernels->dense_rounded ? cpu->scratch : NULL; // [tokens, in]
    SharedProduct shared = {.cpu = cpu, .batch = b, .rounded = rounded, .work = dense_piece};
    shared_begin(&shared, threads);
#pragma omp parallel num_threads(threads)
    {
        if (rounded) round_tokens(cpu, b, rounded);
        shared_help(&shared);
    }
}

// True when the library has done it.
static bool run_library(const CpuBackend *cpu, const Batch *b) {
    if (!cpu->library) return false;
    const size_t in = b->weights[0]->in;
    bool done = true;
#pragma omp parallel num_threads(cpu_threads_for(cpu, 0, 2 * b->tokens * in))
    round_tokens(cpu, b, cpu->scratch);
    for (size_t i = 0; i < b->count && done; i++)
        done = dense_library_product(cpu->library, b->weights[i]->data, b->weights[i]->out, in, b->weights[i]->bias,
                                     cpu->scratch, b->tokens, b->y[i]);
    return done;
}

// ---- Packed ----

// −Σ codes of every group of one token.
static void group_sums(const Packed *p, const int8_t *codes, int32_t *sums) {
    size_t width = p->group_units * packed_unit_columns(p->bits), from = 0;
    for (size_t g = 0; g < p->groups; g++, from += width) {
        size_t end = g + 1 < p->groups ? from + width : p->padded;
        int32_t sum = 0;
        for (size_t i = from; i < end; i++) sum += codes[i];
        sums[g] = -sum;
    }
}

// One token to one plane of 8-bit codes. row: [in], for what has to be spread out.
static void quantize_token(const CpuBackend *cpu, const Weight *w, const float *x, int8_t *row, Activations *a,
                           size_t token) {
    const Packed *p = &w->packed;
    int8_t *codes = a->codes + token * p->padded;
    a->scales[token] = cpu->kernels->quantize_row(x, w->divisor, w->in, w->scale, packed_spreads(p) ? row : codes);
    if (packed_spreads(p)) packed_spread(p, row, codes);
    group_sums(p, codes, a->sums + token * p->groups);
}

// One group of one token to two or three planes of codes, segment by segment.
static void split_group(const CpuBackend *cpu, const Weight *w, const float *x, Activations *a, size_t token,
                        size_t group) {
    const Packed *p = &w->packed;
    const size_t unit = packed_unit_columns(p->bits), most = a->segment_units * unit, from = group * p->group;
    const size_t planes = (size_t)a->planes, sums_each = (size_t)activation_sums(a->planes);
    size_t segment = token * a->segments + group * ((p->group_units + a->segment_units - 1) / a->segment_units);
    int8_t *codes = a->codes + token * planes * p->padded + group * p->group_units * unit;
    size_t left = p->in - from < p->group ? p->in - from : p->group;
    for (const float *at = x + token * p->in + from; left > 0; segment++) {
        size_t n = left < most ? left : most, width = (n + unit - 1) / unit * unit;
        int32_t *sums = a->sums + sums_each * segment;
        a->scales[segment] = cpu->kernels->split_segment(a->planes, at, n, p->padded, codes, sums);
        for (size_t plane = 0; plane < planes; plane++) memset(codes + plane * p->padded + n, 0, width - n);
        for (size_t i = 0; i < sums_each; i++) sums[i] = -sums[i];
        codes += width;
        at += n;
        left -= n;
    }
}

// By the threads of the region that calls this.
static void prepare_activations(const CpuBackend *cpu, const Batch *b, Activations *a, int8_t *rows) {
    const Weight *w = b->weights[0];
    int8_t *row = rows + (size_t)omp_get_thread_num() * w->in;
    if (a->planes == 1) {
#pragma omp for schedule(static)
        for (size_t t = 0; t < b->tokens; t++) quantize_token(cpu, w, b->x + t * w->in, row, a, t);
    } else {
        const size_t groups = w->packed.groups, items = b->tokens * groups;
#pragma omp for schedule(static)
        for (size_t i = 0; i < items; i++) split_group(cpu, w, b->x, a, i / groups, i % groups);
    }
}

static void packed_piece(const SharedProduct *shared, ProductPiece piece) {
    const Batch *b = shared->batch;
    const Weight *w = b->weights[piece.weight];
    float *y = b->y[piece.weight];
    const size_t from = piece.from / PACKED_ROWS, to = (piece.to + PACKED_ROWS - 1) / PACKED_ROWS;
    if (shared->activations)
        shared->cpu->kernels->packed(&w->packed, w->bias, shared->activations, b->tokens, y, from, to);
    else
        shared->cpu->kernels->packed_float(&w->packed, w->bias, b->x, b->tokens, y, from, to);
}

// Weight-only, in sets that multiply floats.
static void run_float(const CpuBackend *cpu, const Batch *b) {
    const int threads = threads_for(cpu, b, 4);
    SharedProduct shared = {.cpu = cpu, .batch = b, .work = packed_piece};
    shared_begin(&shared, threads);
#pragma omp parallel num_threads(threads)
    shared_help(&shared);
}

static void run_packed(const CpuBackend *cpu, const Batch *b) {
    const Weight *w = b->weights[0];
    Activations a = activations_for(w);
    const int threads = threads_for(cpu, b, (size_t)a.planes);
    const ActivationBytes bytes = activation_bytes(&a, w, b->tokens, cpu->threads);
    char *memory = (char *)cpu->scratch + bytes.rounded;
    a.codes = (int8_t *)memory;
    a.sums = (int32_t *)(void *)(memory + bytes.codes);
    a.scales = (float *)(void *)(memory + bytes.codes + bytes.sums);
    int8_t *rows = (int8_t *)(memory + bytes.codes + bytes.sums + bytes.scales);
    SharedProduct shared = {.cpu = cpu, .batch = b, .activations = &a, .work = packed_piece};
    shared_begin(&shared, threads);
#pragma omp parallel num_threads(threads)
    {
        prepare_activations(cpu, b, &a, rows);
        shared_help(&shared);
    }
}

// ---- Wide ----

static void run_wide(const CpuBackend *cpu, const Batch *b) {
    const Weight *w = b->weights[0];
    const float *x = b->x;
    const size_t tokens = b->tokens;
    float *y = b->y[0];
    float *scales = cpu->scratch;
    int8_t *codes = (int8_t *)cpu->scratch + PREPARED_TOKENS * sizeof *scales; // [tokens, in]
    for (size_t t = 0; t < tokens; t++)
        scales[t] = cpu->kernels->quantize_row(x + t * w->in, w->divisor, w->in, w->scale, codes + t * w->in);
#pragma omp parallel num_threads(cpu_threads_for(cpu, cpu_weight_bytes(w), w->out * w->in * tokens))
    {
        size_t from, to;
        cpu_share(w->out, 4, omp_get_num_threads(), omp_get_thread_num(), &from, &to);
        wide_product(cpu->kernels, &w->wide, w->bias, codes, scales, tokens, y, from, to);
    }
}

// ---- Activations that are rounded and stay floats ----

// One scale per channel over all tokens of the call, in scratch [in]. A channel without range, or with one that is not
// finite, passes as it is: scale 0.
static void channel_scales(const CpuBackend *cpu, const Weight *w, const float *x, size_t tokens) {
    float *scales = cpu->scratch;
    memset(scales, 0, w->in * sizeof *scales);
    cpu->kernels->absmax_columns(x, tokens, w->in, w->in, scales);
    for (size_t j = 0; j < w->in; j++) {
        float scale = (w->divisor ? scales[j] / w->divisor[j] : scales[j]) / 127;
        scales[j] = isnormal(scale) ? scale : 0;
    }
}

static void round_by_channel(const Weight *w, const float *scales, const float *x, float *rounded) {
    for (size_t j = 0; j < w->in; j++) {
        float value = w->divisor ? x[j] / w->divisor[j] : x[j];
        rounded[j] = scales[j] > 0 ? rintf(value * (1 / scales[j])) * scales[j] : value;
    }
}

static void round_by_token(const CpuBackend *cpu, const Weight *w, const float *x, int8_t *codes, float *rounded) {
    float scale = cpu->kernels->quantize_row(x, w->divisor, w->in, w->scale, codes);
    for (size_t j = 0; j < w->in; j++) rounded[j] = (float)codes[j] * scale;
}

// x [tokens, in] as the weight is to see it.
static const float *rounded_activations(const CpuBackend *cpu, const Weight *w, const float *x, size_t tokens) {
    if (!is_rounded(w)) return x;
    float *scales = cpu->scratch, *rounded = scales + w->in;
    int8_t *codes = (int8_t *)(rounded + PREPARED_TOKENS * w->in);
    for (size_t t = 0; t < tokens; t++) {
        if (w->mode == ACTIVATION_CHANNEL)
            round_by_channel(w, scales, x + t * w->in, rounded + t * w->in);
        else
            round_by_token(cpu, w, x + t * w->in, codes, rounded + t * w->in);
    }
    return rounded;
}

// ---- Together ----

static void run_batch(const CpuBackend *cpu, const Batch *b, size_t tokens_of_call) {
    const Weight *w = b->weights[0];
    if (w->form == FORM_WIDE)
        run_wide(cpu, b);
    else if (w->form == FORM_PACKED && !activation_is_integer(w->mode) && cpu->kernels->packed_float)
        run_float(cpu, b);
    else if (w->form == FORM_PACKED)
        run_packed(cpu, b);
    else if (!w->rounded || tokens_of_call < LIBRARY_TOKENS || !run_library(cpu, b))
        run_dense(cpu, b);
}

// Whether two weights want the same x prepared alike.
static bool go_together(const Weight *a, const Weight *b) {
    if (a->form != b->form || a->in != b->in || a->mode != b->mode || is_rounded(a) || a->divisor || b->divisor)
        return false;
    if (a->form == FORM_DENSE) return a->dtype == b->dtype && a->rounded == b->rounded;
    return a->form == FORM_PACKED && a->scale == b->scale && a->packed.bits == b->packed.bits &&
           a->packed.group == b->packed.group && a->precision == b->precision;
}

// In parts of as many tokens as are prepared at a time.
static void multiply_batch(const CpuBackend *cpu, const Weight *const *weights, size_t count, const float *x,
                           size_t tokens, float *const *y) {
    const Weight *w = weights[0];
    if (w->mode == ACTIVATION_CHANNEL) channel_scales(cpu, w, x, tokens);
    for (size_t t = 0; t < tokens; t += PREPARED_TOKENS) {
        Batch b = {
            .weights = weights, .count = count, .tokens = tokens - t < PREPARED_TOKENS ? tokens - t : PREPARED_TOKENS};
        b.x = rounded_activations(cpu, w, x + t * w->in, b.tokens);
        for (size_t i = 0; i < count; i++) b.y[i] = y[i] + t * weights[i]->out;
        run_batch(cpu, &b, tokens);
    }
}

void cpu_linears(Backend *backend, const Weight *const *weights, size_t count, const float *x, size_t tokens,
                 float *const *y) {
    for (size_t first = 0, next; first < count; first = next) {
        next = first + 1;
        while (next < count && next - first < MOST_TOGETHER && go_together(weights[first], weights[next])) next++;
        multiply_batch(cpu_of(backend), weights + first, next - first, x, tokens, y + first);
    }
}

void cpu_linear(Backend *backend, const Weight *w, const float *x, size_t tokens, float *y) {
    cpu_linears(backend, &w, 1, x, tokens, &y);
}
