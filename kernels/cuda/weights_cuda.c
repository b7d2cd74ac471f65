// Weights on the device. Dense ones as they are, rows padded to 16 bytes; quantized ones packed there, in the order in
// which the products read them (integer_layout.h).
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "kernels/cuda/cuda.h"

void cuda_weight_free(Backend *backend, Weight *w) {
    CudaBackend *c = cuda_of(backend);
    if (!w) return;
    void *const parts[] = {w->bias, w->data, w->codes, w->scales, w->zeros, w->factors, w->powers, w->divisor};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) cuda_release(c, parts[i]);
    free(w);
}

static bool cuda_refused(Backend *backend, Weight **weight) {
    cuda_weight_free(backend, *weight);
    *weight = NULL;
    return false;
}

// Host bytes → new memory on the device.
static bool upload_new(CudaBackend *c, const void *host, size_t bytes, void **out, Error *err) {
    if (!cuda_allocate_raw(c, bytes, "weights", out, err)) return false;
    return cuda_check(c, c->runtime->upload(c->runtime, *out, host, bytes), "copying weights to the device") ||
           error_set(err, "%s", c->failure.message);
}

static bool upload_floats(CudaBackend *c, const float *host, size_t n, float **out, Error *err) {
    void *memory = NULL;
    if (!host) return true;
    bool ok = upload_new(c, host, n * sizeof *host, &memory, err);
    *out = memory;
    return ok;
}

static Weight *weight_new(CudaBackend *c, size_t out, size_t in, const float *bias, Error *err) {
    size_t elements;
    if (out == 0 || in == 0 || __builtin_mul_overflow(out, in, &elements) || out > INT32_MAX / 4 ||
        in > INT32_MAX / 4) {
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
    w->bytes = bias ? out * sizeof *bias : 0;
    if (upload_floats(c, bias, out, &w->bias, err)) return w;
    cuda_weight_free(&c->base, w);
    return NULL;
}

size_t cuda_weight_bytes(const Weight *w) { return w->bytes; }

// ---- Dense ----

static bool make_dense(CudaBackend *c, Weight *w, DType dtype, const void *data, Error *err) {
    const size_t size = dtype_bytes(dtype);
    w->dtype = dtype;
    w->stride = (w->in + 7) / 8 * 8;
    w->bytes += w->out * w->stride * size;
    if (!cuda_allocate(c, w->out * w->stride * size, "weights", &w->data, err)) return false;
    int code = c->runtime->upload_rows(c->runtime, w->data, w->stride * size, data, w->in * size, w->out);
    if (!cuda_check(c, code, "copying weights to the device")) return error_set(err, "%s", c->failure.message);
    const size_t rounded = (PASS_TOKENS + 1) * w->stride; // and the scales of the channels
    return cuda_reserve(c, &c->floats, rounded * sizeof(float), err) &&
           (dtype == DTYPE_F32 || cuda_reserve(c, &c->halves, rounded * sizeof(uint16_t), err));
}

bool cuda_weight_dense(Backend *backend, DType dtype, const void *data, size_t out, size_t in, const float *bias,
                       Precision precision, Weight **weight, Error *err) {
    CudaBackend *c = cuda_of(backend);
    *weight = NULL;
    if (!dtype_is_float16_or_32(dtype))
        return error_set(err, "weights of type %s cannot be multiplied; F32, F16 and BF16 can", dtype_name(dtype));
    Weight *w = weight_new(c, out, in, bias, err);
    if (!w) return false;
    *weight = w;
    w->precision = precision;
    return make_dense(c, w, dtype, data, err) || cuda_refused(backend, weight);
}

// ---- Quantized ----

static bool set_scheme(CudaBackend *c, Weight *w, const ActivationScheme *scheme, Error *err) {
    w->mode = scheme->mode;
    w->static_scale = scheme->mode == ACTIVATION_STATIC ? scheme->scale : 0;
    return scheme->mode == ACTIVATION_NONE || upload_floats(c, scheme->divisor, w->in, &w->divisor, err);
}

int cuda_planes(const Weight *w) {
    if (activation_is_integer(w->mode)) return 1;
    return w->precision == PRECISION_F32 ? 3 : 2;
}

bool cuda_may_be_f16(const CudaBackend *c, const Weight *w) {
    return c->runtime->facts.capability >= TENSOR_CORES && cuda_planes(w) == 2 && is_regular(&w->layout);
}

// What is needed besides codes and scales.
static bool make_powers(CudaBackend *c, Weight *w, Error *err) {
    const size_t bytes = (size_t)w->layout.row_blocks * UNIT_ROWS * sizeof(float);
    void *powers;
    if (!cuda_may_be_f16(c, w)) return true;
    if (!cuda_allocate_raw(c, bytes, "weights", &powers, err)) return false;
    w->powers = powers;
    w->bytes += bytes;
    const RowPowersArguments a = {w->layout, w->scales, w->powers, (int)w->scale_dtype};
    return cuda_check(c, c->runtime->launches->row_powers(c->runtime->stream, &a), "scaling weights") ||
           error_set(err, "%s", c->failure.message);
}

// Working memory of a product with this weight.
static bool reserve_activations(CudaBackend *c, const Weight *w, Error *err) {
    const int planes = cuda_planes(w);
    const size_t segments = (size_t)segment_count(&w->layout, planes), tokens = PASS_TOKENS;
    // There are at most two blocks for each multiprocessor when one splits, or leaves sums to the next, and they sum
    // 128 × 128 outputs at most; or one, with 128 × 256 of them.
    const size_t processors = (size_t)c->runtime->facts.multiprocessors,
                 parts = processors * 2 * 128 * 128 * sizeof(float);
    return cuda_reserve(c, &c->codes, activation_bytes_of(&w->layout, planes, PASS_TOKENS), err) &&
           cuda_reserve(c, &c->scales, (planes == 1 ? 1 : segments) * tokens * sizeof(float), err) &&
           (!w->zeros ||
            cuda_reserve(c, &c->sums, segments * (size_t)sum_planes(planes) * tokens * sizeof(int32_t), err)) &&
           cuda_reserve(c, &c->parts, parts, err) && cuda_reserve(c, &c->arrived, processors * sizeof(uint32_t), err) &&
           (w->mode != ACTIVATION_CHANNEL || cuda_reserve(c, &c->floats, (tokens + 1) * w->in * sizeof(float), err));
}

static bool integer_memory(CudaBackend *c, Weight *w, size_t group, int bits, DType scale_dtype, Error *err) {
    void *codes;
    w->integer = true;
    w->scale_dtype = scale_dtype;
    w->layout = integer_layout(w->out, w->in, group, bits);
    if (!cuda_allocate_raw(c, codes_bytes(&w->layout), "weights", &codes, err)) return false;
    w->codes = codes;
    w->bytes += codes_bytes(&w->layout);
    return true;
}

// ---- From codes on the host ----

// The integers that are multiplied: powers become whole multiples of the smallest one.
static int8_t level_of(const QuantizedWeight *q, int8_t code) {
    if (!grid_table[q->grid].powers || code == 0) return code;
    return (int8_t)(code > 0 ? 1 << (code - 1) : -(1 << (-code - 1)));
}

static bool upload_codes(CudaBackend *c, const QuantizedWeight *q, Weight *w, Error *err) {
    const size_t n = q->out * q->in;
    int8_t *levels = grid_table[q->grid].powers ? array_new(n, 1) : q->codes;
    void *unpacked = NULL;
    if (!levels) return error_memory(err, "weights");
    for (size_t i = 0; levels != q->codes && i < n; i++) levels[i] = level_of(q, q->codes[i]);
    bool ok = upload_new(c, levels, n, &unpacked, err);
    const PackArguments a = {w->layout, unpacked, w->codes};
    ok = ok && (cuda_check(c, c->runtime->launches->pack(c->runtime->stream, &a), "packing weights") ||
                error_set(err, "%s", c->failure.message));
    cuda_release(c, unpacked);
    if (levels != q->codes) free(levels);
    return ok;
}

// What a code of this group is worth, as the kernels multiply it.
static float group_scale(const QuantizedWeight *q, size_t row, size_t group) {
    const size_t groups = group_count(q->in, q->group);
    if (grid_table[q->grid].factors) return (float)q->factors[row * groups + group] * q->scales[row];
    float scale = q->scales[row * groups + group];
    return grid_table[q->grid].powers ? ldexpf(scale, 2 - (1 << (q->bits - 1))) : scale;
}

static void put_number(DType dtype, float value, unsigned char *to) {
    uint16_t half = dtype == DTYPE_F16 ? float_to_f16(value) : float_to_bf16(value);
    memcpy(to, dtype == DTYPE_F32 ? (const void *)&value : (const void *)&half, dtype_bytes(dtype));
}

static bool upload_scales(CudaBackend *c, const QuantizedWeight *q, Weight *w, Error *err) {
    const size_t count = scale_count(&w->layout), size = dtype_bytes(w->scale_dtype);
    unsigned char *host = array_new(count, size);
    if (!host) return error_memory(err, "scales");
    for (size_t o = 0; o < q->out; o++)
        for (int g = 0; g < w->layout.groups; g++)
            put_number(w->scale_dtype, group_scale(q, o, (size_t)g), host + scale_index(&w->layout, (int)o, g) * size);
    bool ok = upload_new(c, host, count * size, &w->scales, err);
    w->bytes += count * size;
    free(host);
    return ok;
}

// Zero points or factors, [out, groups] → the order of the scales.
static bool upload_bytes(CudaBackend *c, const int8_t *bytes, Weight *w, int8_t **out, Error *err) {
    const size_t count = scale_count(&w->layout);
    int8_t *host = array_new(count, 1);
    void *memory = NULL;
    if (!host) return error_memory(err, "zero points");
    for (size_t o = 0; o < w->out; o++)
        for (int g = 0; g < w->layout.groups; g++)
            host[scale_index(&w->layout, (int)o, g)] = bytes[o * (size_t)w->layout.groups + (size_t)g];
    bool ok = upload_new(c, host, count, &memory, err);
    *out = memory;
    w->bytes += count;
    free(host);
    return ok;
}

static bool make_integer(CudaBackend *c, const QuantizedWeight *q, Weight *w, Error *err) {
    const bool factors = grid_table[q->grid].factors && activation_is_integer(w->mode);
    const bool widened = grid_table[q->grid].powers || (grid_table[q->grid].factors && !factors);
    if (!integer_memory(c, w, q->group, grid_table[q->grid].powers ? 8 : q->bits, widened ? DTYPE_F32 : q->scale_dtype,
                        err) ||
        !upload_codes(c, q, w, err))
        return false;
    if (grid_table[q->grid].zeros && !upload_bytes(c, q->zeros, w, &w->zeros, err)) return false;
    if (!factors) return upload_scales(c, q, w, err) && make_powers(c, w, err) && reserve_activations(c, w, err);
    float *scales = NULL;
    bool ok = upload_bytes(c, q->factors, w, &w->factors, err) && upload_floats(c, q->scales, q->out, &scales, err);
    w->scales = scales;
    w->bytes += q->out * sizeof *scales;
    // |code| · 127 · factor ≤ 127 for each input
    w->wide = (double)q->in * (double)((1 << (q->bits - 1)) - 1) * 127 * 127 >= 0x1p31;
    return ok && reserve_activations(c, w, err);
}

// Powers of 8-bit codes do not fit integers: the weight as floats.
static bool make_values(CudaBackend *c, const QuantizedWeight *q, Weight *w, Error *err) {
    float *values = array_new(q->out * q->in, sizeof *values);
    if (!values) return error_memory(err, "weights");
    for (size_t o = 0; o < q->out; o++) quantized_row(q, o, values + o * q->in);
    w->precision = PRECISION_F32;
    bool ok = make_dense(c, w, DTYPE_F32, values, err);
    free(values);
    return ok;
}

bool cuda_weight_quantized(Backend *backend, const QuantizedWeight *q, const ActivationScheme *scheme,
                           const float *bias, Precision precision, Weight **weight, Error *err) {
    CudaBackend *c = cuda_of(backend);
    *weight = NULL;
    if (!quantized_can_multiply(q, scheme, err)) return false;
    Weight *w = weight_new(c, q->out, q->in, bias, err);
    if (!w) return false;
    *weight = w;
    w->precision = precision;
    bool values = grid_table[q->grid].powers && q->bits == 8;
    bool ok = set_scheme(c, w, scheme, err) && (values ? make_values : make_integer)(c, q, w, err);
    return ok || cuda_refused(backend, weight);
}

// ---- From a dense weight on the device ----

// What lies in the working memory of quantizing, one after the other: errors [out, 2], factors [in], divisors [out],
// the row that is bad.
typedef struct QuantizingMemory {
    double *errors;
    float *factors, *divisors;
    int32_t *bad_row;
} QuantizingMemory;

static bool quantizing_memory(CudaBackend *c, const Weight *w, QuantizingMemory *m, Error *err) {
    const size_t floats = w->in + w->out;
    if (!cuda_reserve(c, &c->quantizing, 2 * w->out * sizeof(double) + floats * sizeof(float) + sizeof(int32_t), err))
        return false;
    m->errors = c->quantizing.data;
    m->factors = (float *)(void *)(m->errors + 2 * w->out);
    m->divisors = m->factors + w->in;
    m->bad_row = (int32_t *)(void *)(m->divisors + w->out);
    return true;
}

static int upload_if_there(CudaRuntime *r, void *to, const float *host, size_t n) {
    return host ? r->upload(r, to, host, n * sizeof *host) : 0;
}

static bool quantize_on_device(CudaBackend *c, const Weight *dense, const WeightQuantizing *how, Weight *w,
                               double *errors, Error *err) {
    CudaRuntime *r = c->runtime;
    QuantizingMemory m;
    int32_t bad = (int32_t)w->out;
    if (!quantizing_memory(c, w, &m, err)) return false;
    const QuantizeArguments a = {.layout = w->layout,
                                 .w = dense->data,
                                 .factors = how->factors ? m.factors : NULL,
                                 .divisors = how->divisors ? m.divisors : NULL,
                                 .codes = w->codes,
                                 .scales = w->scales,
                                 .errors = errors ? m.errors : NULL,
                                 .bad_row = m.bad_row,
                                 .dtype = (int)dense->dtype,
                                 .stride = (int)dense->stride,
                                 .scale_dtype = (int)w->scale_dtype};
    int code = upload_if_there(r, m.factors, how->factors, w->in);
    if (code == 0) code = upload_if_there(r, m.divisors, how->divisors, w->out);
    if (code == 0) code = r->upload(r, m.bad_row, &bad, sizeof bad);
    if (code == 0) code = r->launches->quantize(r->stream, &a);
    if (code == 0) code = r->download(r, &bad, m.bad_row, sizeof bad);
    if (code == 0 && errors) code = r->download(r, errors, m.errors, 2 * w->out * sizeof *errors);
    if (!cuda_check(c, code, "quantizing")) return error_set(err, "%s", c->failure.message);
    return bad >= (int32_t)w->out || quantized_not_finite((size_t)bad, how->factors || how->divisors, err);
}

bool cuda_weight_from_dense(Backend *backend, const Weight *dense, const WeightQuantizing *how,
                            const ActivationScheme *scheme, const float *bias, double *errors, Weight **weight,
                            Error *err) {
    CudaBackend *c = cuda_of(backend);
    const QuantizedWeight shape = {
        .out = dense->out, .in = dense->in, .group = how->group, .bits = how->bits, .scale_dtype = how->scale_dtype};
    *weight = NULL;
    if (dense->integer) return error_set(err, "a weight that is quantized already cannot be quantized");
    if (!quantized_can_multiply(&shape, scheme, err)) return false;
    Weight *w = weight_new(c, dense->out, dense->in, bias, err);
    if (!w) return false;
    *weight = w;
    w->precision = dense->precision;
    bool ok = set_scheme(c, w, scheme, err) && integer_memory(c, w, how->group, how->bits, how->scale_dtype, err);
    const size_t scale_bytes = ok ? scale_count(&w->layout) * dtype_bytes(w->scale_dtype) : 0;
    ok = ok && cuda_allocate_raw(c, scale_bytes, "scales", &w->scales, err) && reserve_activations(c, w, err) &&
         quantize_on_device(c, dense, how, w, errors, err) && make_powers(c, w, err);
    w->bytes += scale_bytes;
    return ok || cuda_refused(backend, weight);
}
