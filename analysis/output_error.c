// What quantization does to the output of one linear.
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/accuracy.h"
#include "base/array.h"

typedef struct Buffers {
    Backend *backend;
    float *x, *y;         // [rows, in], [rows, out] in backend memory
    float *divided;       // [rows, in]: what the other product is of
    float *exact, *other; // [rows, out]
} Buffers;

static bool buffers_new(Backend *backend, size_t rows, size_t in, size_t out, Buffers *b, Error *err) {
    *b = (Buffers){.backend = backend};
    b->divided = array_new(rows * in, sizeof(float));
    b->exact = array_new(rows * out, sizeof(float));
    b->other = array_new(rows * out, sizeof(float));
    if (!b->divided || !b->exact || !b->other) return error_memory(err, "the output of a linear");
    return (b->x = backend->ops->memory_new(backend, rows * in * sizeof(float), err)) &&
           (b->y = backend->ops->memory_new(backend, rows * out * sizeof(float), err));
}

static void buffers_free(Buffers *b) {
    if (b->x) b->backend->ops->memory_free(b->backend, b->x);
    if (b->y) b->backend->ops->memory_free(b->backend, b->y);
    free(b->divided);
    free(b->exact);
    free(b->other);
}

static bool product_on_host(const Buffers *b, Transformer *t, int linear, const float *x, size_t rows, size_t in,
                            size_t out, float *y, Error *err) {
    const BackendOps *ops = b->backend->ops;
    ops->upload(b->backend, b->x, x, rows * in * sizeof(float));
    if (!transformer_multiply(t, linear, b->x, rows, b->y, err)) return false;
    ops->download(b->backend, y, b->y, rows * out * sizeof(float));
    return true;
}

static double energy_of(const float *values, size_t n) {
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += (double)values[i] * (double)values[i];
    return sum;
}

static double ratio_db(const float *exact, const float *other, size_t n) {
    double signal = 0, noise = 0;
    for (size_t i = 0; i < n; i++) {
        double y = (double)exact[i], d = y - (double)other[i];
        signal += y * y;
        noise += d * d;
    }
    return noise > 0 ? 10 * log10(signal / noise) : INFINITY;
}

// The outputs by `t` on what is in `divided`, as they compare with the exact ones.
static bool compare_output(Buffers *b, Transformer *t, int index, const LinearRows *x, const float *divisors,
                           double *db, Error *err) {
    const Linear *linear = &transformer_structure(t)->linears[index];
    const size_t out = linear->out;
    if (!product_on_host(b, t, index, b->divided, x->count, linear->in, out, b->other, err)) return false;
    for (size_t i = 0; divisors && i < x->count * out; i++) b->other[i] *= divisors[i % out];
    *db = ratio_db(b->exact, b->other, x->count * out);
    return true;
}

static bool compare_changed(Buffers *b, Transformer *base, int index, const LinearRows *x, double *db, Error *err) {
    const size_t in = transformer_structure(base)->linears[index].in;
    *db = INFINITY;
    if (!x->changes) return true;
    for (size_t i = 0; i < x->count * in; i++) b->divided[i] = x->rows[i] + x->changes[i];
    return compare_output(b, base, index, x, NULL, db, err);
}

bool linear_output_sqnr(Transformer *base, Transformer *quantized, int index, const LinearRows *x, double *db,
                        double *input_db, Error *err) {
    const Linear *linear = &transformer_structure(base)->linears[index];
    const size_t in = linear->in, out = linear->out;
    if (!x->count) return error_set(err, "%s: no sample rows of its input; calibrate first", linear->name);
    Buffers b;
    bool ok = buffers_new(transformer_backend(base), x->count, in, out, &b, err) &&
              product_on_host(&b, base, index, x->rows, x->count, in, out, b.exact, err) &&
              (!input_db || compare_changed(&b, base, index, x, input_db, err));
    if (ok) {
        for (size_t i = 0; i < x->count * in; i++)
            b.divided[i] = x->factors ? x->rows[i] / x->factors[i % in] : x->rows[i];
        ok = compare_output(&b, quantized, index, x, x->divisors, db, err) && transformer_healthy(base, err);
    }
    buffers_free(&b);
    return ok;
}

bool linear_output_energy(Transformer *base, int index, const LinearRows *x, double *energy, Error *err) {
    const Linear *linear = &transformer_structure(base)->linears[index];
    Buffers b;
    const bool ok = buffers_new(transformer_backend(base), x->count, linear->in, linear->out, &b, err) &&
                    product_on_host(&b, base, index, x->rows, x->count, linear->in, linear->out, b.exact, err) &&
                    transformer_healthy(base, err);
    if (ok) *energy = energy_of(b.exact, x->count * linear->out) / (double)x->count;
    buffers_free(&b);
    return ok;
}
