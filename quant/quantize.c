#include "quant/quantize.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"

// One matrix on its way into integers.
typedef struct Work {
    const Linear *linear;
    const float *factors; // [in] or NULL
    QuantizedWeight *w;
    float qmax;
    float tensor_scale; // one scale for all, or 0: each group has its own
    WeightError *rows;  // [out] or NULL
} Work;

typedef enum Pass { PASS_RANGE, PASS_CODES } Pass;

double weight_sqnr_db(const WeightError *error) {
    return error->noise > 0 ? 10 * log10(error->signal / error->noise) : (double)INFINITY;
}

// ---- One group ----

// The bits of |x| order as the values do, and NaN and infinity lie above every number: one pass finds both.
static uint32_t absmax_bits(const float *x, size_t n) {
    int32_t most = 0;
    for (size_t j = 0; j < n; j++) {
        int32_t bits;
        memcpy(&bits, &x[j], sizeof bits);
        bits &= 0x7FFFFFFF;
        most = bits > most ? bits : most;
    }
    return (uint32_t)most;
}

static float float_of_bits(uint32_t bits) {
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static float largest_of(DType dtype) {
    return dtype == DTYPE_F16 ? 65504 : dtype == DTYPE_BF16 ? 0x1.FEp127f : FLT_MAX;
}
static float smallest_of(DType dtype) {
    return dtype == DTYPE_F16 ? 0x1p-24f : dtype == DTYPE_BF16 ? 0x1p-133f : FLT_TRUE_MIN;
}

// absmax / qmax as stored. Where the stored type cannot hold it the nearest positive number that it holds takes its
// place: codes are clamped then, or use fewer of their values.
static float scale_of(float absmax, float qmax, DType dtype) {
    if (absmax == 0) return 1;
    float scale = float_rounded(dtype, absmax / qmax);
    if (!(scale > 0)) return smallest_of(dtype);
    return isfinite(scale) ? scale : largest_of(dtype);
}

// Rounds half to even: adding 1.5 · 2^23 leaves no room for a fraction. Unlike rintf it needs no call where the
// processor's base instruction set cannot round. |x| must stay below 2^22.
static inline float rounded(float x) {
    const float shift = 0x1.8p23f;
    return (x + shift) - shift;
}

static void codes_of(const float *x, size_t n, float scale, float qmax, int8_t *codes) {
    for (size_t j = 0; j < n; j++) {
        float q = x[j] / scale; // not times 1 / scale: that would round twice
        q = q > qmax ? qmax : q;
        q = q < -qmax ? -qmax : q;
        codes[j] = (int8_t)(int32_t)rounded(q);
    }
}

// Sums in a fixed order whatever the number of threads: eight lanes, so that they can be added side by side.
static void add_error(const float *x, const int8_t *codes, size_t n, float scale, WeightError *error) {
    enum { LANES = 8 };
    double signal[LANES] = {0}, noise[LANES] = {0};
    size_t whole = n / LANES * LANES;
    for (size_t j = 0; j < whole; j += LANES) {
        for (size_t l = 0; l < LANES; l++) {
            double w = (double)x[j + l], lost = (double)(x[j + l] - (float)codes[j + l] * scale);
            signal[l] += w * w;
            noise[l] += lost * lost;
        }
    }
    for (size_t j = whole; j < n; j++) {
        double w = (double)x[j], lost = (double)(x[j] - (float)codes[j] * scale);
        signal[j - whole] += w * w;
        noise[j - whole] += lost * lost;
    }
    for (size_t l = 0; l < LANES; l++) {
        error->signal += signal[l];
        error->noise += noise[l];
    }
}

// ---- One row ----

static void load_row(const Work *work, size_t o, float *row) {
    const Tensor *tensor = work->linear->weight;
    size_t in = work->w->in;
    floats_from(tensor->dtype, (const char *)tensor->data + o * in * dtype_bytes(tensor->dtype), in, row);
    for (size_t j = 0; work->factors && j < in; j++) row[j] *= work->factors[j];
}

// False when the row holds something that is not finite.
static bool quantize_row(const Work *work, size_t o, const float *row) {
    const QuantizedWeight *w = work->w;
    size_t groups = group_count(w->in, w->group);
    WeightError error = {0};
    for (size_t g = 0; g < groups; g++) {
        size_t first = g * w->group, n = first + w->group <= w->in ? w->group : w->in - first;
        int8_t *codes = w->codes + o * w->in + first;
        float scale = work->tensor_scale;
        if (scale == 0) {
            uint32_t absmax = absmax_bits(row + first, n);
            if (absmax >= 0x7F800000u) return false;
            scale = scale_of(float_of_bits(absmax), work->qmax, w->scale_dtype);
        }
        w->scales[o * groups + g] = scale;
        codes_of(row + first, n, scale, work->qmax, codes);
        if (work->rows) add_error(row + first, codes, n, scale, &error);
    }
    if (work->rows) work->rows[o] = error;
    return true;
}

// ---- The matrix ----

// One pass over all rows. PASS_RANGE finds the absmax of the matrix; both find the first row that is not finite.
static bool pass_over_rows(const Work *work, Pass pass, uint32_t *absmax, Error *err) {
    size_t out = work->w->out, in = work->w->in, bad = out;
    uint32_t most = 0;
    bool short_of_memory = false;
#pragma omp parallel reduction(max : most) reduction(min : bad) reduction(|| : short_of_memory)
    {
        float *row = array_new(in, sizeof *row);
        short_of_memory = !row;
#pragma omp for schedule(static)
        for (size_t o = 0; o < out; o++) {
            if (!row) continue;
            load_row(work, o, row);
            uint32_t here = pass == PASS_RANGE ? absmax_bits(row, in) : 0;
            most = here > most ? here : most;
            bool finite = pass == PASS_RANGE ? here < 0x7F800000u : quantize_row(work, o, row);
            if (!finite && o < bad) bad = o;
        }
        free(row);
    }
    if (short_of_memory) return error_memory(err, work->linear->name);
    if (bad < out) {
        return error_set(err, "%s: row %zu holds a value that is not finite%s; leave the linear out with \"ignore\"",
                         work->linear->weight->name, bad, work->factors ? " (after equalization)" : "");
    }
    *absmax = most;
    return true;
}

static bool quantize_rows(Work *work, Granularity granularity, Error *err) {
    uint32_t absmax = 0;
    if (granularity == GRANULARITY_TENSOR) {
        if (!pass_over_rows(work, PASS_RANGE, &absmax, err)) return false;
        work->tensor_scale = scale_of(float_of_bits(absmax), work->qmax, work->w->scale_dtype);
    }
    return pass_over_rows(work, PASS_CODES, &absmax, err);
}

bool quantize_linear(const Linear *linear, const Decision *decision, const float *column_factors, QuantizedWeight *out,
                     WeightError *error, Error *err) {
    *out = (QuantizedWeight){0};
    DType dtype = linear->weight->dtype;
    if (!dtype_is_float16_or_32(dtype)) {
        return error_set(err, "%s: %s weights cannot be quantized; they must be F32, F16 or BF16", linear->weight->name,
                         dtype_name(dtype));
    }
    if (!quantized_weight_new(linear->out, linear->in, decision->group, decision->bits, decision->scale_dtype, out,
                              err))
        return false;
    Work work = {
        .linear = linear, .factors = column_factors, .w = out, .qmax = (float)((1 << (decision->bits - 1)) - 1)};
    if (error) work.rows = array_new(linear->out, sizeof *work.rows);
    bool ok = !error || work.rows || error_memory(err, linear->name);
    if (ok && tensor_hold(linear->weight, err)) {
        ok = quantize_rows(&work, decision->granularity, err);
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
    size_t groups = group_count(w->in, w->group);
#pragma omp parallel for schedule(static)
    for (size_t o = 0; o < w->out; o++) {
        for (size_t g = 0; g < groups; g++) {
            size_t first = o * w->in + g * w->group, end = o * w->in + (g + 1 < groups ? (g + 1) * w->group : w->in);
            float scale = w->scales[o * groups + g];
            for (size_t j = first; j < end; j++) out[j] = (float)w->codes[j] * scale;
        }
    }
}
