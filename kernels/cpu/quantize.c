// From a dense weight straight to the packed layout: 32 rows at a time become codes, which never leave the cache.
#include <stdlib.h>

#include "base/array.h"
#include "kernels/cpu/weight.h"
#include "kernels/host/row_coding.h"

typedef struct Quantizing {
    const CpuBackend *cpu;
    const Weight *dense;
    const WeightQuantizing *how;
    QuantizedWeight shape; // no codes, no scales
    const Packed *packed;
    double *errors; // [out, 2] or NULL
} Quantizing;

// Memory of one thread.
typedef struct BlockMemory {
    float *row;           // [in]
    QuantizedWeight rows; // 32 of them
} BlockMemory;

static bool memory_new(const Quantizing *q, BlockMemory *m) {
    const QuantizedWeight *s = &q->shape;
    m->row = array_new(s->in, sizeof *m->row);
    return quantized_weight_new(PACKED_ROWS, s->in, s->group, s->bits, s->scale_dtype, &m->rows, NULL) && m->row;
}

static void memory_free(BlockMemory *m) {
    quantized_weight_free(&m->rows);
    free(m->row);
}

// The first row of the block that holds something not finite, or `out`.
static size_t quantize_block(const Quantizing *q, BlockMemory *m, size_t block) {
    const Weight *dense = q->dense;
    const size_t in = dense->in, first = block * PACKED_ROWS, groups = group_count(in, q->shape.group);
    const RowCoding coding = {in, q->shape.group, q->shape.bits, q->shape.scale_dtype, 0};
    size_t bad = dense->out;
    m->rows.out = dense->out - first < PACKED_ROWS ? dense->out - first : PACKED_ROWS;
    for (size_t r = 0; r < m->rows.out; r++) {
        const size_t o = first + r;
        load_equalized_row(q->cpu->kernels, dense->dtype, dense->data, in, o, q->how->factors, q->how->divisors,
                           m->row);
        if (q->errors) q->errors[2 * o] = q->errors[2 * o + 1] = 0;
        if (!code_symmetric_row(q->cpu->kernels, &coding, m->row, m->rows.scales + r * groups, m->rows.codes + r * in,
                                q->errors ? q->errors + 2 * o : NULL) &&
            o < bad)
            bad = o;
    }
    packed_fill(q->packed, q->cpu->kernels->coding, &m->rows, block);
    return bad;
}

static bool quantize_dense_rows(const Quantizing *q, Error *err) {
    size_t bad = q->dense->out;
    bool short_of_memory = false;
#pragma omp parallel reduction(min : bad) reduction(|| : short_of_memory) num_threads(q->cpu->threads)
    {
        BlockMemory memory;
        short_of_memory = !memory_new(q, &memory);
#pragma omp for schedule(static)
        for (size_t block = 0; block < q->packed->blocks; block++) {
            size_t found = short_of_memory ? bad : quantize_block(q, &memory, block);
            bad = found < bad ? found : bad;
        }
        memory_free(&memory);
    }
    if (short_of_memory) return error_memory(err, "quantized weights");
    return bad == q->dense->out || quantized_not_finite(bad, q->how->factors || q->how->divisors, err);
}

bool cpu_weight_from_dense(Backend *backend, const Weight *dense, const WeightQuantizing *how,
                           const ActivationScheme *scheme, const float *bias, double *errors, Weight **weight,
                           Error *err) {
    CpuBackend *cpu = cpu_of(backend);
    Quantizing q = {.cpu = cpu, .dense = dense, .how = how, .errors = errors};
    q.shape = (QuantizedWeight){
        .out = dense->out, .in = dense->in, .group = how->group, .bits = how->bits, .scale_dtype = how->scale_dtype};
    *weight = NULL;
    if (dense->form != FORM_DENSE || dense->values)
        return error_set(err, "a weight that is quantized already cannot be quantized");
    if (!cpu_packed_new(cpu, &q.shape, scheme, bias, dense->precision, weight, err)) return false;
    q.packed = &(*weight)->packed;
    if (quantize_dense_rows(&q, err)) return true;
    cpu_weight_free(backend, *weight);
    *weight = NULL;
    return false;
}
