// Weights of linears: dense ones are read in place, quantized ones packed. What cannot be packed is kept as wide
// integers for integer products and floats for the others.
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "kernels/cpu/weight.h"

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
    wide_free(&w->wide);
    free(w->values);
    free(w->divisor);
    free(w->bias);
    free(w);
}

static bool cpu_refused(Weight **weight) {
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
    w->precision = precision;
    w->rounded = (cpu->library || cpu->kernels->dense_rounded) && dtype == DTYPE_BF16 && precision == PRECISION_NATIVE;
    if (w->rounded && !cpu_reserve(cpu, PREPARED_TOKENS * in * sizeof(uint16_t), err)) return cpu_refused(weight);
    return true;
}

// Without its numbers. False with *weight NULL, or to be freed by the caller.
static bool quantized_new(const QuantizedWeight *q, const ActivationScheme *scheme, const float *bias,
                          Precision precision, Weight **weight, Error *err) {
    *weight = NULL;
    if (!quantized_can_multiply(q, scheme, err)) return false;
    Weight *w = weight_new(q->out, q->in, bias, err);
    if (!w) return false;
    *weight = w;
    w->precision = precision;
    w->mode = scheme->mode;
    w->scale = scheme->mode == ACTIVATION_STATIC ? scheme->scale : 0;
    return copy_floats(scheme->mode == ACTIVATION_NONE ? NULL : scheme->divisor, q->in, &w->divisor, err);
}

static bool reserve_activations(CpuBackend *cpu, const Weight *w, Error *err) {
    Activations x = activations_for(w);
    ActivationBytes bytes = activation_bytes(&x, w, PREPARED_TOKENS, cpu->threads);
    return cpu_reserve(cpu, bytes.rounded + bytes.codes + bytes.sums + bytes.scales + bytes.rows, err);
}

static bool make_packed(CpuBackend *cpu, const QuantizedWeight *q, Weight *w, Error *err) {
    w->form = FORM_PACKED;
    return packed_new(q, cpu->kernels->coding, cpu->threads, &w->packed, err) && reserve_activations(cpu, w, err);
}

bool cpu_packed_new(CpuBackend *cpu, const QuantizedWeight *shape, const ActivationScheme *scheme, const float *bias,
                    Precision precision, Weight **weight, Error *err) {
    bool ok = quantized_new(shape, scheme, bias, precision, weight, err);
    if (ok) (*weight)->form = FORM_PACKED;
    ok = ok && packed_reserve(shape, &(*weight)->packed, err) && reserve_activations(cpu, *weight, err);
    return ok || cpu_refused(weight);
}

static bool make_wide(CpuBackend *cpu, const QuantizedWeight *q, Weight *w, Error *err) {
    w->form = FORM_WIDE;
    return wide_new(q, &w->wide, err) && cpu_reserve(cpu, PREPARED_TOKENS * (sizeof(float) + w->in), err);
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
                          Precision precision, Weight **weight, Error *err) {
    CpuBackend *cpu = cpu_of(backend);
    if (!quantized_new(q, scheme, bias, precision, weight, err)) return cpu_refused(weight);
    Weight *w = *weight;
    const bool integer = activation_is_integer(w->mode);
    bool ok = packed_fits(q, integer)                   ? make_packed(cpu, q, w, err)
              : integer && wide_knows(q->grid, q->bits) ? make_wide(cpu, q, w, err)
                                                        : make_values(cpu, q, w, err);
    return ok || cpu_refused(weight);
}
