// Statistics of one weight matrix. 16-bit elements take at most 65,536 values, so one counting pass answers everything;
// F32 elements get passes of their own, because their upper halves do not tell the exact moments.
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/publish.h"
#include "base/array.h"
#include "kernels/host/measure.h"
#include "quant/vote_counts.h"

typedef struct Moments {
    uint64_t n;
    double sum[5]; // Σ (w − center)^k, k = 1 … 4
    double center;
} Moments;

static void moments_add(Moments *m, const Moments *more) {
    m->n += more->n;
    for (int k = 1; k <= 4; k++) m->sum[k] += more->sum[k];
}

// Moments about any center near the mean → mean, σ and kurtosis without the cancellation that a center far away would
// bring.
static void moments_finish(const Moments *m, WeightStats *out) {
    if (!m->n) return;
    double n = (double)m->n, d = m->sum[1] / n;
    double e2 = m->sum[2] / n, e3 = m->sum[3] / n, e4 = m->sum[4] / n;
    double variance = fmax(e2 - d * d, 0);
    double fourth = e4 - 4 * d * e3 + 6 * d * d * e2 - 3 * d * d * d * d;
    out->mean = m->center + d;
    out->std = sqrt(variance);
    out->kurtosis = variance > 0 ? fourth / (variance * variance) : 0;
}

static double counts_mean(const ValueCounts *counts) {
    double sum = 0, n = 0;
    for (size_t i = 0; i < counts->length; i++) {
        sum += counts->values[i] * (double)counts->counts[i];
        n += (double)counts->counts[i];
    }
    return n > 0 ? sum / n : 0;
}

// ---- 16-bit elements: everything from the counts ----

static void stats_from_counts(WeightStats *out) {
    const ValueCounts *c = &out->counts;
    if (!c->length) return;
    out->min = c->values[0];
    out->max = c->values[c->length - 1];
    Moments m = {.center = counts_mean(c)};
    for (size_t i = 0; i < c->length; i++) {
        double d = c->values[i] - m.center, n = (double)c->counts[i];
        m.n += c->counts[i];
        m.sum[1] += n * d;
        m.sum[2] += n * d * d;
        m.sum[3] += n * d * d * d;
        m.sum[4] += n * d * d * d * d;
        if (c->values[i] == 0) out->zeros = c->counts[i];
    }
    moments_finish(&m, out);
    for (size_t i = 0; i < c->length; i++) {
        if (fabs(c->values[i] - out->mean) > 6 * out->std) out->outliers_6sigma += c->counts[i];
    }
}

// ---- F32 elements ----

// Passes over the data, in chunks whose partial sums are added in order, so that threads do not change the result.

#define CHUNK ((size_t)1 << 16)

typedef struct ChunkStats {
    Moments moments;
    double min, max;
    uint64_t zeros, outliers;
} ChunkStats;

static void f32_chunk_moments(const float *w, size_t n, double center, ChunkStats *out) {
    uint64_t finite = 0, zeros = 0;
    double least = DBL_MAX, most = -DBL_MAX, s1 = 0, s2 = 0, s3 = 0, s4 = 0;
#pragma omp simd reduction(+ : finite, zeros, s1, s2, s3, s4) reduction(min : least) reduction(max : most)
    for (size_t i = 0; i < n; i++) {
        bool is_finite = fabsf(w[i]) <= FLT_MAX;
        double d = is_finite ? w[i] - center : 0;
        finite += is_finite;
        zeros += w[i] == 0;
        least = is_finite && w[i] < least ? (double)w[i] : least;
        most = is_finite && w[i] > most ? (double)w[i] : most;
        s1 += d;
        s2 += d * d;
        s3 += d * d * d;
        s4 += d * d * d * d;
    }
    *out =
        (ChunkStats){.moments = {.n = finite, .sum = {0, s1, s2, s3, s4}}, .min = least, .max = most, .zeros = zeros};
}

static uint64_t f32_chunk_outliers(const float *w, size_t n, double mean, double limit) {
    uint64_t outliers = 0;
#pragma omp simd reduction(+ : outliers)
    for (size_t i = 0; i < n; i++) {
        double distance = fabs(w[i] - mean);
        outliers += distance > limit && distance <= DBL_MAX; // infinities and NaN are counted elsewhere
    }
    return outliers;
}

// Aligned copies of 16 KB at a time: tensors in a file may start at any byte.
#define PIECE ((size_t)4096)

static ChunkStats f32_chunk(const uint8_t *data, size_t n, const WeightStats *known, double center) {
    ChunkStats all = {.min = DBL_MAX, .max = -DBL_MAX};
    float piece[PIECE];
    for (size_t i = 0; i < n; i += PIECE) {
        size_t count = n - i < PIECE ? n - i : PIECE;
        memcpy(piece, data + i * sizeof(float), count * sizeof(float));
        if (known) {
            all.outliers += f32_chunk_outliers(piece, count, known->mean, 6 * known->std);
            continue;
        }
        ChunkStats one;
        f32_chunk_moments(piece, count, center, &one);
        moments_add(&all.moments, &one.moments);
        all.min = fmin(all.min, one.min);
        all.max = fmax(all.max, one.max);
        all.zeros += one.zeros;
    }
    return all;
}

// known == NULL: moments about `center`; otherwise the outliers under the moments that are known by now.
static bool f32_pass(const void *data, size_t n, const WeightStats *known, double center, ChunkStats *out, Error *err) {
    size_t chunks = (n + CHUNK - 1) / CHUNK;
    ChunkStats *parts = array_new(chunks, sizeof *parts);
    if (!parts) return error_memory(err, "the statistics of a matrix");
#pragma omp parallel for schedule(static)
    for (size_t c = 0; c < chunks; c++) {
        size_t first = c * CHUNK, count = n - first < CHUNK ? n - first : CHUNK;
        parts[c] = f32_chunk((const uint8_t *)data + first * sizeof(float), count, known, center);
    }
    *out = (ChunkStats){.moments.center = center, .min = DBL_MAX, .max = -DBL_MAX};
    for (size_t c = 0; c < chunks; c++) {
        moments_add(&out->moments, &parts[c].moments);
        out->min = fmin(out->min, parts[c].min);
        out->max = fmax(out->max, parts[c].max);
        out->zeros += parts[c].zeros;
        out->outliers += parts[c].outliers;
    }
    free(parts);
    return true;
}

static bool stats_from_f32(const void *data, size_t n, WeightStats *out, Error *err) {
    ChunkStats sums = {0};
    if (!f32_pass(data, n, NULL, counts_mean(&out->counts), &sums, err)) return false;
    if (!sums.moments.n) return true;
    out->min = sums.min;
    out->max = sums.max;
    out->zeros = sums.zeros;
    moments_finish(&sums.moments, out);
    if (!f32_pass(data, n, out, 0, &sums, err)) return false;
    out->outliers_6sigma = sums.outliers;
    return true;
}

// ---- One matrix ----

// Each thread takes one block of rows after another and measures everything while the block is in the cache. The
// results are integers and maxima, so the order of blocks does not matter, and a matrix of any size takes little
// memory.
#define BLOCK_BYTES ((size_t)256 << 10)

typedef struct Scan {
    const Linear *linear;
    uint64_t *patterns;   // [65536]
    float *column_absmax; // [in]
    VoteTally *votes;
    double *squares;           // [out, vote_tally_squares]
    size_t block_rows, groups; // groups: per row
    uint32_t group;            // columns of the smallest groups
    bool failed;
} Scan;

// What a thread works in.
typedef struct ScanMemory {
    PatternCounter *counter; // NULL when there is one block: its tables cost more than a small matrix
    VoteTally *votes;
    float *ranges;  // [2, block_rows · groups]: minima, maxima
    float *columns; // [in]: absmax of the columns that it has seen
} ScanMemory;

static void scan_block(const Scan *scan, size_t block, const ScanMemory *memory) {
    const Linear *linear = scan->linear;
    const size_t row = block * scan->block_rows, left = linear->out - row, in = linear->in;
    const size_t rows = left < scan->block_rows ? left : scan->block_rows;
    const DType dtype = linear->weight->dtype;
    const uint8_t *data = (const uint8_t *)linear->weight->data + row * in * dtype_bytes(dtype);
    float *minima = memory->ranges, *maxima = memory->ranges + rows * scan->groups;
    if (memory->counter)
        pattern_counter_add(memory->counter, dtype, data, rows * in);
    else
        count_patterns(dtype, data, rows * in, scan->patterns);
    group_ranges(dtype, data, rows, in, scan->group, minima, maxima);
    vote_tally_add(memory->votes, minima, maxima, rows, scan->squares + row * vote_tally_squares(memory->votes));
    column_absmax(dtype, data, rows, in, memory->columns);
}

static void scan_merge(Scan *scan, const ScanMemory *memory) {
    const size_t in = scan->linear->in;
    if (memory->counter) pattern_counter_get(memory->counter, scan->patterns);
    vote_tally_merge(scan->votes, memory->votes);
    for (size_t j = 0; j < in; j++) {
        float *all = &scan->column_absmax[j];
        *all = memory->columns[j] > *all ? memory->columns[j] : *all;
    }
}

static bool scan_memory_new(const Scan *scan, ScanMemory *memory) {
    const bool alone = scan->block_rows == scan->linear->out;
    *memory = (ScanMemory){.counter = alone ? NULL : pattern_counter_new(),
                           .ranges = array_new(2 * scan->block_rows * scan->groups, sizeof(float)),
                           .columns = array_new(scan->linear->in, sizeof(float))};
    return vote_tally_new(scan->linear->in, scan->group, &memory->votes, NULL) && (memory->counter || alone) &&
           memory->ranges && memory->columns;
}

static void scan_memory_free(ScanMemory *memory) {
    pattern_counter_free(memory->counter);
    vote_tally_free(memory->votes);
    free(memory->ranges);
    free(memory->columns);
}

// Adds up what all threads find; false when memory is short.
static bool scan_matrix(Scan *scan) {
    const Linear *linear = scan->linear;
    size_t row_bytes = linear->in * dtype_bytes(linear->weight->dtype), rows = BLOCK_BYTES / row_bytes;
    scan->block_rows = rows < 1 ? 1 : rows > linear->out ? linear->out : rows;
    scan->groups = group_count(linear->in, scan->group);
    size_t blocks = (linear->out + scan->block_rows - 1) / scan->block_rows;
#pragma omp parallel if (blocks > 1)
    {
        ScanMemory memory;
        bool ready = scan_memory_new(scan, &memory);
#pragma omp for schedule(dynamic)
        for (size_t block = 0; block < blocks; block++) {
            if (ready) scan_block(scan, block, &memory);
        }
#pragma omp critical(weight_stats)
        {
            if (ready) scan_merge(scan, &memory);
            scan->failed = scan->failed || !ready;
        }
        scan_memory_free(&memory);
    }
    return !scan->failed;
}

static bool measure_linear(const Linear *linear, uint64_t *patterns, WeightStats *out, Error *err) {
    DType dtype = linear->weight->dtype;
    out->elements = (uint64_t)linear->out * linear->in;
    out->columns = linear->in;
    out->column_absmax = array_new(linear->in, sizeof *out->column_absmax);
    if (!out->column_absmax) return error_memory(err, "the statistics of a matrix");
    uint32_t sizes[LADDER_MAX];
    int count = ladder_sizes(linear->in, LADDER_FLOOR, sizes);
    Scan scan = {.linear = linear, .patterns = patterns, .column_absmax = out->column_absmax};
    scan.group = count > 1 ? sizes[count - 1] : LADDER_FLOOR;
    if (!vote_tally_new(linear->in, scan.group, &scan.votes, err)) return false;
    scan.squares = array_new(linear->out * vote_tally_squares(scan.votes), sizeof *scan.squares);
    bool ok = scan.squares && scan_matrix(&scan) ? vote_tally_counts(scan.votes, scan.squares, &out->votes, err)
                                                 : error_memory(err, "the statistics of a matrix");
    free(scan.squares);
    vote_tally_free(scan.votes);
    if (!ok) return false;
    if (!value_counts_from_patterns(dtype, patterns, &out->counts, &out->nonfinite, err)) return false;
    if (dtype != DTYPE_F32)
        stats_from_counts(out);
    else if (!stats_from_f32(linear->weight->data, (size_t)out->elements, out, err))
        return false;
    out->absmax = fmax(fabs(out->min), fabs(out->max));
    return true;
}

bool weight_stats_measure(const ModelStructure *structure, int index, ModelStats *stats, Error *err) {
    const Linear *linear = &structure->linears[index];
    if (stats->weights[index].known) return true; // others may be reading it
    if (!dtype_is_float16_or_32(linear->weight->dtype)) {
        return error_set(err, "%s: elements of type %s cannot be measured; convert the checkpoint to BF16, F16 or F32",
                         linear->name, dtype_name(linear->weight->dtype));
    }
    uint64_t *patterns = array_new(65536, sizeof *patterns);
    if (!patterns) return error_memory(err, "the histogram of a matrix");
    WeightStats *out = &stats->weights[index];
    bool ok = tensor_hold(linear->weight, err);
    if (ok) {
        ok = measure_linear(linear, patterns, out, err) && tensor_intact(structure->checkpoint, linear->weight, err);
        tensor_release(linear->weight);
        tensor_drop_pages(linear->weight); // a model larger than memory is measured matrix by matrix
    }
    free(patterns);
    if (ok)
        model_stats_publish_weight(stats, index);
    else {
        weight_stats_free(out);
        error_prefix(err, "%s", linear->name);
    }
    return ok;
}
