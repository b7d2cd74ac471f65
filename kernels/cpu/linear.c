// Linears: dense weights read in place, quantized ones packed; rows are shared among threads. What cannot be packed is
// plain integers for integer products and floats for the others.
#include <math.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "kernels/cpu/cpu.h"
#include "kernels/cpu/plain.h"

// Tokens prepared at a time (rounded to BF16, quantized or spread out): bounds the working memory.
enum { PREPARED_TOKENS = 256 };
// From so many tokens on the library's blocked product is faster than rows in place.
enum { LIBRARY_TOKENS = 9 };
// int32 sums of 255 · 127 per weight may pass through 2^32 but must end within 127 · 127 · in < 2^31.
enum { LARGEST_INTEGER_INPUT = 131072 };

typedef enum Form {
    FORM_DENSE,  // 16- or 32-bit floats
    FORM_PACKED, // integers for the fast kernels
    FORM_PLAIN,  // integers whose sums need more than 32 bits
} Form;

struct Weight {
    size_t out, in;
    float *bias; // [out] or NULL
    Form form;
    DType dtype;      // of data
    const void *data; // [out, in], not owned unless it is `values`
    float *values;    // [out, in]: a quantized weight as floats, or NULL
    bool rounded;     // activations are rounded to BF16, and many tokens may go to the library
    Packed packed;
    Plain plain;
    ActivationMode mode; // dense: always NONE, unless `values` are of a quantized weight
    float scale;
    float *divisor; // [in] or NULL
};

static bool copy_floats(const float *from, size_t n, float **to, Error *err) {
    if (!from) return true;
    *to = array_new(n, sizeof **to);
    if (!*to) return error_memory(err, "weights");
    memcpy(*to, from, n * sizeof **to);
    return true;
}

// NULL with err set when it cannot be.
static Weight *weight_new(size_t out, size_t in, const float *bias, Error *err) {
    size_t elements;
    if (out == 0 || in == 0 || __builtin_mul_overflow(out, in, &elements) || elements > PTRDIFF_MAX / 8) {
        error_set(err, "a linear of %zu × %zu weights cannot be computed", out, in);
        return NULL;
    }
    Weight *w = array_new(1, sizeof *w);
    if (!w) {
        error_memory(err, "weights");
        return NULL;
    }
    w->out = out;
    w->in = in;
    if (copy_floats(bias, out, &w->bias, err)) return w;
    free(w);
    return NULL;
}

void cpu_weight_free(Backend *backend, Weight *w) {
    (void)backend;
    if (!w) return;
    packed_free(&w->packed);
    plain_free(&w->plain);
    free(w->values);
    free(w->divisor);
    free(w->bias);
    free(w);
}

static bool refused(Weight **weight) {
    cpu_weight_free(NULL, *weight);
    *weight = NULL;
    return false;
}

bool cpu_weight_dense(Backend *backend, DType dtype, const void *data, size_t out, size_t in, const float *bias,
                      Precision precision, Weight **weight, Error *err) {
    CpuBackend *cpu = cpu_of(backend);
    *weight = NULL;
    if (!dtype_is_float16_or_32(dtype))
        return error_set(err, "weights of type %s cannot be multiplied; F32, F16 and BF16 can", dtype_name(dtype));
    Weight *w = weight_new(out, in, bias, err);
    if (!w) return false;
    *weight = w;
    w->dtype = dtype;
    w->data = data;
    w->rounded = (cpu->library || cpu->kernels->dense_rounded) && dtype == DTYPE_BF16 && precision == PRECISION_NATIVE;
    if (w->rounded && !cpu_reserve(cpu, PREPARED_TOKENS * in * sizeof(uint16_t), err)) return refused(weight);
    return true;
}

static bool quantized_checked(const QuantizedWeight *q, const ActivationScheme *scheme, Error *err) {
    if (q->bits != 2 && q->bits != 3 && q->bits != 4 && q->bits != 8)
        return error_set(err, "weights of %d bits cannot be multiplied; 2, 3, 4 and 8 bits can", q->bits);
    if (q->group == 0 || q->group > q->in)
        return error_set(err, "a group of %zu among %zu inputs makes no sense", q->group, q->in);
    if (!dtype_is_float16_or_32(q->scale_dtype))
        return error_set(err, "scales of type %s are not known; F16, BF16 and F32 are", dtype_name(q->scale_dtype));
    if ((unsigned)q->grid > GRID_TWO_LEVEL || (q->grid == GRID_ASYMMETRIC && !q->zeros) ||
        (q->grid == GRID_TWO_LEVEL && !q->factors))
        return error_set(err, "weights on grid %d cannot be multiplied", (int)q->grid);
    if (scheme->mode == ACTIVATION_NONE || scheme->mode == ACTIVATION_CHANNEL) return true;
    if (q->in > LARGEST_INTEGER_INPUT)
        return error_set(err, "%zu inputs are too many for sums in 32 bits; keep the activations in floating point",
                         q->in);
    if (scheme->mode == ACTIVATION_STATIC && !(isfinite(scheme->scale) && scheme->scale >= 0x1p-126f))
        return error_set(err, "the activation scale %g is not a positive number", (double)scheme->scale);
    return true;
}

// Whether the product is one of integers; otherwise the weight sees floats, rounded or not.
static bool is_integer(ActivationMode mode) { return mode == ACTIVATION_STATIC || mode == ACTIVATION_TOKEN; }

// How activations are cut for this weight, without their memory.
static Activations activations_for(const Packed *p, ActivationMode mode) {
    Activations x = {.planes = is_integer(mode) ? 1 : 3,
                     .segment_units = SEGMENT_COLUMNS / packed_unit_columns(p->bits)};
    if (x.planes == 1) {
        x.segments = p->groups;
    } else {
        size_t full = (p->group_units + x.segment_units - 1) / x.segment_units;
        x.segments = (p->groups - 1) * full + (p->last_units + x.segment_units - 1) / x.segment_units;
    }
    return x;
}

// Bytes of the parts of the working memory, in the order in which they lie there.
typedef struct ActivationBytes {
    size_t codes, sums, scales;
    size_t rows; // codes [in] for each thread, before they are spread out
} ActivationBytes;

static ActivationBytes activation_bytes(const Activations *x, const Packed *p, size_t tokens, int threads) {
    size_t planes = (size_t)x->planes;
    return (ActivationBytes){.codes = (tokens * planes * p->padded + 63) / 64 * 64,
                             .sums = tokens * x->segments * planes * sizeof *x->sums,
                             .scales = tokens * (planes == 1 ? 1 : x->segments) * sizeof *x->scales,
                             .rows = (size_t)threads * p->in};
}

// Activations that are rounded to 8 bits and then used as floats lie before everything else in the working memory: a
// scale for every channel, codes of one token, the rounded values.
static bool is_rounded(const Weight *w) {
    return w->mode == ACTIVATION_CHANNEL || (w->form == FORM_DENSE && w->mode != ACTIVATION_NONE);
}

static size_t rounded_bytes(const Weight *w) {
    size_t bytes = w->in * sizeof(float) + w->in + PREPARED_TOKENS * w->in * sizeof(float);
    return is_rounded(w) ? (bytes + 63) / 64 * 64 : 0;
}

static bool make_packed(CpuBackend *cpu, const QuantizedWeight *q, Weight *w, Error *err) {
    w->form = FORM_PACKED;
    if (!packed_new(q, cpu->threads, &w->packed, err)) return false;
    Activations x = activations_for(&w->packed, w->mode);
    ActivationBytes bytes = activation_bytes(&x, &w->packed, PREPARED_TOKENS, cpu->threads);
    return cpu_reserve(cpu, rounded_bytes(w) + bytes.codes + bytes.sums + bytes.scales + bytes.rows, err);
}

static bool make_plain(CpuBackend *cpu, const QuantizedWeight *q, Weight *w, Error *err) {
    w->form = FORM_PLAIN;
    return plain_new(q, &w->plain, err) && cpu_reserve(cpu, PREPARED_TOKENS * (sizeof(float) + w->in), err);
}

static bool make_values(CpuBackend *cpu, const QuantizedWeight *q, Weight *w, Error *err) {
    w->form = FORM_DENSE;
    w->dtype = DTYPE_F32;
    w->data = w->values = array_new(w->out * w->in, sizeof *w->values);
    if (!w->values) return error_memory(err, "weights");
    for (size_t o = 0; o < w->out; o++) quantized_row(q, o, w->values + o * w->in);
    return cpu_reserve(cpu, rounded_bytes(w), err);
}

bool cpu_weight_quantized(Backend *backend, const QuantizedWeight *q, const ActivationScheme *scheme, const float *bias,
                          Weight **weight, Error *err) {
    CpuBackend *cpu = cpu_of(backend);
    *weight = NULL;
    if (!quantized_checked(q, scheme, err)) return false;
    Weight *w = weight_new(q->out, q->in, bias, err);
    if (!w) return false;
    *weight = w;
    w->mode = scheme->mode;
    w->scale = scheme->mode == ACTIVATION_STATIC ? scheme->scale : 0;
    if (!copy_floats(scheme->mode == ACTIVATION_NONE ? NULL : scheme->divisor, q->in, &w->divisor, err))
        return refused(weight);
    const bool integer = is_integer(w->mode);
    bool ok = packed_fits(q, integer)                    ? make_packed(cpu, q, w, err)
              : integer && plain_knows(q->grid, q->bits) ? make_plain(cpu, q, w, err)
                                                         : make_values(cpu, q, w, err);
    return ok || refused(weight);
}

size_t cpu_weight_bytes(const Weight *w) {
    size_t bias = w->bias ? w->out * sizeof(float) : 0;
    switch (w->form) {
    case FORM_PACKED: return bias + w->packed.blocks * w->packed.block_bytes;
    case FORM_PLAIN: return bias + plain_bytes(&w->plain);
    case FORM_DENSE: break;
    }
    return bias + w->out * w->in * dtype_bytes(w->dtype);
}

// ---- Dense ----

static void linear_dense(const CpuBackend *cpu, const Weight *w, const float *x, const uint16_t *rounded, size_t tokens,
                         float *y) {
    DenseProduct product = {.dtype = w->dtype, .w = w->data, .in = w->in, .bias = w->bias, .x = x, .tokens = tokens};
    product.rounded = rounded;
    product.x_stride = w->in;
    product.y = y;
    product.y_stride = w->out;
#pragma omp parallel num_threads(cpu_threads_for(cpu, cpu_weight_bytes(w), w->out * w->in * tokens))
    {
        size_t from, to;
        cpu_share(w->out, 4, omp_get_num_threads(), omp_get_thread_num(), &from, &to);
        (rounded ? cpu->kernels->dense_rounded : cpu->kernels->dense)(&product, from, to);
    }
}

// Activations and weights in BF16: by the library, or row by row in place where tokens are few.
static void linear_rounded(const CpuBackend *cpu, const Weight *w, const float *x, bool many, size_t tokens, float *y) {
    uint16_t *rounded = cpu->scratch; // [tokens, in]
#pragma omp parallel for schedule(static) num_threads(cpu_threads_for(cpu, 0, 2 * tokens * w->in))
    for (size_t t = 0; t < tokens; t++) cpu->kernels->narrow(DTYPE_BF16, x + t * w->in, w->in, rounded + t * w->in);
    if (many && cpu->library &&
        dense_library_product(cpu->library, w->data, w->out, w->in, w->bias, rounded, tokens, y))
        return;
    linear_dense(cpu, w, x, cpu->kernels->dense_rounded ? rounded : NULL, tokens, y);
}

// ---- Packed ----

static void linear_float(const CpuBackend *cpu, const Weight *w, const float *x, size_t tokens, float *y) {
#pragma omp parallel num_threads(cpu_threads_for(cpu, cpu_weight_bytes(w), w->out * w->in * tokens))
    {
        size_t from, to;
        cpu_share(w->packed.blocks, 1, omp_get_num_threads(), omp_get_thread_num(), &from, &to);
        cpu->kernels->packed_float(&w->packed, w->bias, x, tokens, y, from, to);
    }
}

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

// One token to three planes of codes, segment by segment.
static void split_token(const CpuBackend *cpu, const Weight *w, const float *x, Activations *a, size_t token) {
    const Packed *p = &w->packed;
    const size_t unit = packed_unit_columns(p->bits), most = a->segment_units * unit;
    int8_t *codes = a->codes + token * 3 * p->padded;
    size_t segment = token * a->segments;
    for (size_t from = 0; from < p->in; from += p->group) {
        size_t left = p->in - from < p->group ? p->in - from : p->group;
        const float *at = x + from;
        while (left > 0) {
            size_t n = left < most ? left : most, width = (n + unit - 1) / unit * unit;
            int32_t *sums = a->sums + 3 * segment;
            a->scales[segment++] = cpu->kernels->split_segment(at, n, p->padded, codes, sums);
            for (size_t plane = 0; plane < 3; plane++) {
                memset(codes + plane * p->padded + n, 0, width - n);
                sums[plane] = -sums[plane];
            }
            codes += width;
            at += n;
            left -= n;
        }
    }
}

static void prepare_activations(const CpuBackend *cpu, const Weight *w, const float *x, size_t tokens, Activations *a,
                                int8_t *rows) {
#pragma omp parallel for schedule(static) num_threads(tokens > 1 ? cpu_threads_for(cpu, 0, 8 * tokens * w->in) : 1)
    for (size_t t = 0; t < tokens; t++) {
        if (a->planes == 1) {
            quantize_token(cpu, w, x + t * w->in, rows + (size_t)omp_get_thread_num() * w->in, a, t);
        } else {
            split_token(cpu, w, x + t * w->in, a, t);
        }
    }
}

static void linear_packed(const CpuBackend *cpu, const Weight *w, const float *x, size_t tokens, float *y) {
    Activations a = activations_for(&w->packed, w->mode);
    ActivationBytes bytes = activation_bytes(&a, &w->packed, tokens, cpu->threads);
    char *memory = (char *)cpu->scratch + rounded_bytes(w);
    a.codes = (int8_t *)memory;
    a.sums = (int32_t *)(void *)(memory + bytes.codes);
    a.scales = (float *)(void *)(memory + bytes.codes + bytes.sums);
    int8_t *rows = (int8_t *)(memory + bytes.codes + bytes.sums + bytes.scales);
    prepare_activations(cpu, w, x, tokens, &a, rows);
#pragma omp parallel num_threads( \
    cpu_threads_for(cpu, cpu_weight_bytes(w), w->out * w->in * tokens * (size_t)a.planes / 4))
    {
        size_t from, to;
        cpu_share(w->packed.blocks, 1, omp_get_num_threads(), omp_get_thread_num(), &from, &to);
        cpu->kernels->packed(&w->packed, w->bias, &a, tokens, y, from, to);
    }
}

// ---- Plain ----

static void linear_plain(const CpuBackend *cpu, const Weight *w, const float *x, size_t tokens, float *y) {
    float *scales = cpu->scratch;
    int8_t *codes = (int8_t *)cpu->scratch + PREPARED_TOKENS * sizeof *scales; // [tokens, in]
    for (size_t t = 0; t < tokens; t++)
        scales[t] = cpu->kernels->quantize_row(x + t * w->in, w->divisor, w->in, w->scale, codes + t * w->in);
#pragma omp parallel num_threads(cpu_threads_for(cpu, cpu_weight_bytes(w), w->out * w->in * tokens))
    {
        size_t from, to;
        cpu_share(w->out, 4, omp_get_num_threads(), omp_get_thread_num(), &from, &to);
        plain_product(cpu->kernels, &w->plain, w->bias, codes, scales, tokens, y, from, to);
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

void cpu_linear(Backend *backend, const Weight *w, const float *x, size_t tokens, float *y) {
    const CpuBackend *cpu = cpu_of(backend);
    if (w->mode == ACTIVATION_CHANNEL) channel_scales(cpu, w, x, tokens);
    for (size_t t = 0; t < tokens; t += PREPARED_TOKENS) {
        size_t n = tokens - t < PREPARED_TOKENS ? tokens - t : PREPARED_TOKENS;
        const float *from = rounded_activations(cpu, w, x + t * w->in, n);
        float *to = y + t * w->out;
        if (w->form == FORM_PACKED && !is_integer(w->mode) && cpu->kernels->packed_float) {
            linear_float(cpu, w, from, n, to);
        } else if (w->form == FORM_PACKED) {
            linear_packed(cpu, w, from, n, to);
        } else if (w->form == FORM_PLAIN) {
            linear_plain(cpu, w, from, n, to);
        } else if (w->rounded) {
            linear_rounded(cpu, w, from, tokens >= LIBRARY_TOKENS, n, to);
        } else {
            linear_dense(cpu, w, from, NULL, n, to);
        }
    }
}
