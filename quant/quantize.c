#include "quant/quantize.h"

#include <math.h>
#include <stdlib.h>

#include "base/array.h"
#include "kernels/host/row_coding.h"
#include "quant/grids.h"

// One matrix on its way into integers.
typedef struct Work {
    const Linear *linear;
    const Decision *decision;
    const float *factors;  // [in] or NULL
    const float *divisors; // [out] or NULL
    QuantizedWeight *w;
    bool whole; // one coding for all groups, `tensor`
    GroupCoding tensor;
    const HostKernels *kernels;
    WeightError *rows; // [out] or NULL
} Work;

// Memory of one thread.
typedef struct RowMemory {
    float *row;    // [in]
    float *scales; // [groups]; two-level only
} RowMemory;

typedef enum RowPass { PASS_RANGE, PASS_CODES } RowPass;

double weight_sqnr_db(const WeightError *error) {
    return error->noise > 0 ? 10 * log10(error->signal / error->noise) : (double)INFINITY;
}

// ---- One row ----

static void load_row(const Work *work, size_t o, float *row) {
    const Tensor *tensor = work->linear->weight;
    load_equalized_row(work->kernels, tensor->dtype, tensor->data, work->w->in, o, work->factors, work->divisors, row);
}

static size_t group_columns(const QuantizedWeight *w, size_t g) {
    size_t first = g * w->group;
    return first + w->group <= w->in ? w->group : w->in - first;
}

static GroupCoding choose_coding(const Work *work, DType dtype, GroupRange range, const float *x, size_t n,
                                 int8_t *codes) {
    const QuantizedWeight *w = work->w;
    if (work->decision->clip == CLIP_MSE)
        return group_coding_of_least_error(w->grid, w->bits, dtype, range, x, n, codes);
    return group_coding(w->grid, w->bits, dtype, range);
}

static void code_group(const Work *work, const GroupCoding *coding, const float *x, size_t n, int8_t *codes,
                       WeightError *error) {
    group_codes(coding, x, n, codes);
    if (work->rows) group_error(coding, x, codes, n, error);
}

// False when the row holds something that is not finite.
static bool code_row_by_groups(const Work *work, size_t o, const float *row, WeightError *error) {
    const QuantizedWeight *w = work->w;
    size_t groups = group_count(w->in, w->group);
    for (size_t g = 0; g < groups; g++) {
        size_t n = group_columns(w, g), at = o * groups + g;
        const float *x = row + g * w->group;
        int8_t *codes = w->codes + o * w->in + g * w->group;
        GroupCoding coding = work->tensor;
        if (!work->whole) {
            GroupRange range;
            if (!group_range(w->grid, x, n, &range)) return false;
            coding = choose_coding(work, w->scale_dtype, range, x, n, codes);
        }
        w->scales[at] = coding.scale;
        if (w->zeros) w->zeros[at] = (int8_t)coding.zero;
        code_group(work, &coding, x, n, codes, error);
    }
    return true;
}

// The same where every group has its absmax for range: the whole row at once.
static bool code_row_symmetric(const Work *work, size_t o, const float *row, WeightError *error) {
    const QuantizedWeight *w = work->w;
    const RowCoding how = {w->in, w->group, w->bits, w->scale_dtype, work->whole ? work->tensor.scale : 0};
    double errors[2] = {0};
    if (!code_symmetric_row(work->kernels, &how, row, w->scales + o * group_count(w->in, w->group),
                            w->codes + o * w->in, work->rows ? errors : NULL))
        return false;
    *error = (WeightError){errors[0], errors[1]};
    return true;
}

// Two levels: each group's scale as if it were stored in float, then the row's scale so that the largest of them is 127
// times that, then each group's as a whole multiple of it, 1 to 127.
static bool code_row_two_level(const Work *work, size_t o, const RowMemory *memory, WeightError *error) {
    const QuantizedWeight *w = work->w;
    size_t groups = group_count(w->in, w->group);
    float *scales = memory->scales, largest = 0;
    for (size_t g = 0; g < groups; g++) {
        GroupRange range;
        const float *x = memory->row + g * w->group;
        size_t n = group_columns(w, g);
        if (!group_range(w->grid, x, n, &range)) return false;
        scales[g] =
            range.high > 0 ? choose_coding(work, DTYPE_F32, range, x, n, w->codes + o * w->in + g * w->group).scale : 0;
        largest = scales[g] > largest ? scales[g] : largest;
    }
    float scale = scale_of(largest, 127, w->scale_dtype);
    w->scales[o] = scale;
    for (size_t g = 0; g < groups; g++) {
        float factor = rintf(scales[g] / scale);
        factor = factor < 1 ? 1 : factor > 127 ? 127 : factor;
        w->factors[o * groups + g] = (int8_t)factor;
        GroupCoding coding = {.grid = w->grid, .bits = w->bits, .scale = factor * scale};
        code_group(work, &coding, memory->row + g * w->group, group_columns(w, g), w->codes + o * w->in + g * w->group,
                   error);
    }
    return true;
}

static bool code_row(const Work *work, size_t o, const RowMemory *memory) {
    WeightError error = {0};
    bool symmetric = work->w->grid == GRID_SYMMETRIC && (work->whole || work->decision->clip != CLIP_MSE), finite;
    if (symmetric)
        finite = code_row_symmetric(work, o, memory->row, &error);
    else if (work->w->factors)
        finite = code_row_two_level(work, o, memory, &error);
    else
        finite = code_row_by_groups(work, o, memory->row, &error);
    if (work->rows) work->rows[o] = error;
    return finite;
}

// ---- The matrix ----

// One pass over all rows. PASS_RANGE finds the range of the matrix; both find the first row that is not finite.
static bool pass_over_rows(const Work *work, RowPass pass, GroupRange *range, Error *err) {
    size_t out = work->w->out, in = work->w->in, bad = out;
    float low = 0, high = 0;
    bool short_of_memory = false;
#pragma omp parallel reduction(max : high) reduction(min : low, bad) reduction(|| : short_of_memory)
    {
        RowMemory memory = {array_new(in, sizeof *memory.row),
                            array_new(group_count(in, work->w->group), sizeof *memory.scales)};
        short_of_memory = !memory.row || !memory.scales;
#pragma omp for schedule(static)
        for (size_t o = 0; o < out; o++) {
            if (short_of_memory) continue;
            load_row(work, o, memory.row);
            GroupRange here = {0};
            bool finite =
                pass == PASS_RANGE ? group_range(work->w->grid, memory.row, in, &here) : code_row(work, o, &memory);
            low = here.low < low ? here.low : low;
            high = here.high > high ? here.high : high;
            if (!finite && o < bad) bad = o;
        }
        free(memory.row);
        free(memory.scales);
    }
    if (short_of_memory) return error_memory(err, work->linear->name);
    if (bad < out) {
        quantized_not_finite(bad, work->factors || work->divisors, err);
        return error_prefix(err, "%s", work->linear->weight->name);
    }
    *range = (GroupRange){low, high};
    return true;
}

static bool quantize_rows(Work *work, Error *err) {
    GroupRange range;
    work->whole = work->decision->granularity == GRANULARITY_TENSOR;
    if (work->whole) {
        if (!pass_over_rows(work, PASS_RANGE, &range, err)) return false;
        work->tensor = group_coding(work->w->grid, work->w->bits, work->w->scale_dtype, range);
    }
    return pass_over_rows(work, PASS_CODES, &range, err);
}

bool quantize_linear(const Linear *linear, const Decision *decision, const float *column_factors,
                     const float *row_divisors, QuantizedWeight *out, WeightError *error, Error *err) {
    *out = (QuantizedWeight){0};
    DType dtype = linear->weight->dtype;
    if (!dtype_is_float16_or_32(dtype)) {
        return error_set(err, "%s: %s weights cannot be quantized; they must be F32, F16 or BF16", linear->weight->name,
                         dtype_name(dtype));
    }
    if (!quantized_weight_on_grid(decision->grid, linear->out, linear->in, decision->group, decision->bits,
                                  decision->scale_dtype, out, err))
        return false;
    Work work = {.linear = linear, .decision = decision, .factors = column_factors, .divisors = row_divisors, .w = out};
    work.kernels = host_kernels();
    if (error) work.rows = array_new(linear->out, sizeof *work.rows);
    bool ok = !error || work.rows || error_memory(err, linear->name);
    if (ok && tensor_hold(linear->weight, err)) {
        ok = quantize_rows(&work, err);
        tensor_release(linear->weight);
    } else {
        ok = false;
    }
    if (ok && work.rows) {
        *error = (WeightError){0};
        for (size_t o = 0; o < linear->out; o++) {
            error->signal += work.rows[o].signal;
            error->noise += work.rows[o].noise;
        }
    }
    free(work.rows);
    if (!ok) quantized_weight_free(out);
    return ok;
}

void dequantize(const QuantizedWeight *w, float *out) {
#pragma omp parallel for schedule(static)
    for (size_t o = 0; o < w->out; o++) quantized_row(w, o, out + o * w->in);
}
