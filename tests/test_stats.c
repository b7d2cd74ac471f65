// Weight statistics against straightforward sums in long double, for every element type.
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "analysis/stats.h"
#include "base/array.h"
#include "base/random.h"
#include "kernels/host/measure.h"
#include "quant/vote_counts.h"

// One matrix as a model. Its data begins at an odd byte, as tensors in a file may.
typedef struct Matrix {
    size_t out, in;
    DType dtype;
    float *values; // [out, in] as the stored elements read
    uint8_t *storage;
    Tensor tensor;
    Linear linear;
    ModelStructure structure;
    ModelStats stats;
} Matrix;

static void store(Matrix *m, size_t i, float value) {
    size_t size = dtype_bytes(m->dtype);
    uint16_t half = m->dtype == DTYPE_F16 ? float_to_f16(value) : float_to_bf16(value);
    memcpy(m->storage + 1 + i * size, m->dtype == DTYPE_F32 ? (const void *)&value : (const void *)&half, size);
    floats_from(m->dtype, m->storage + 1 + i * size, 1, &m->values[i]);
}

static void matrix_new(DType dtype, size_t out, size_t in, Matrix *m) {
    *m = (Matrix){.out = out, .in = in, .dtype = dtype};
    m->values = array_new(out * in, sizeof(float));
    m->storage = array_new(out * in * dtype_bytes(dtype) + 1, 1);
    Random random = random_seeded(out * 31 + in + (size_t)dtype);
    for (size_t i = 0; i < out * in; i++) store(m, i, (float)random_normal(&random) * 0.05f + 0.01f);
    m->tensor = (Tensor){.name = "w", .dtype = dtype, .data = m->storage + 1, .bytes = out * in * dtype_bytes(dtype)};
    m->linear = (Linear){.name = (char *)"layers.0.w", .out = out, .in = in, .weight = &m->tensor};
    m->structure = (ModelStructure){.linears = &m->linear, .linear_count = 1, .input_count = 1};
}

static const WeightStats *measured(Matrix *m) {
    Error err = {0};
    m->tensor.dtype = m->dtype;
    assert_true(model_stats_new(&m->structure, &m->stats, &err));
    assert_false(m->stats.weights[0].known);
    if (!weight_stats_measure(&m->structure, 0, &m->stats, &err)) fail_msg("%s", err.message);
    assert_true(m->stats.weights[0].known && m->stats.measured.weights[0].known);
    return &m->stats.weights[0];
}

static void matrix_free(Matrix *m) {
    model_stats_free(&m->stats);
    free(m->values);
    free(m->storage);
}

static void assert_near(double got, double expected, double tolerance, const char *what) {
    if (!(fabs(got - expected) <= tolerance * (1e-300 + fabs(expected))))
        fail_msg("%s: %.15g, not %.15g", what, got, expected);
}

// What the header promises, from the definition.
static WeightStats by_definition(const Matrix *m) {
    WeightStats s = {.elements = m->out * m->in, .min = INFINITY, .max = -INFINITY};
    long double n = 0, sum = 0, second = 0, fourth = 0;
    for (size_t i = 0; i < s.elements; i++) {
        double w = (double)m->values[i];
        if (!isfinite(w)) {
            s.nonfinite++;
            continue;
        }
        n++;
        sum += w;
        s.zeros += w == 0;
        s.min = fmin(s.min, w);
        s.max = fmax(s.max, w);
    }
    s.mean = (double)(sum / n);
    for (size_t i = 0; i < s.elements; i++) {
        long double d = (long double)m->values[i] - sum / n;
        if (!isfinite(m->values[i])) continue;
        second += d * d;
        fourth += d * d * d * d;
    }
    s.std = (double)sqrtl(second / n);
    s.kurtosis = second > 0 ? (double)(fourth / n / (second / n) / (second / n)) : 0;
    for (size_t i = 0; i < s.elements; i++)
        s.outliers_6sigma += isfinite(m->values[i]) && fabs((double)m->values[i] - s.mean) > 6 * s.std;
    return s;
}

static void assert_by_definition(Matrix *m) {
    const WeightStats *got = measured(m);
    WeightStats expected = by_definition(m);
    assert_int_equal(got->elements, expected.elements);
    assert_int_equal(got->nonfinite, expected.nonfinite);
    assert_int_equal(got->zeros, expected.zeros);
    assert_int_equal(got->outliers_6sigma, expected.outliers_6sigma);
    assert_true(got->min == expected.min && got->max == expected.max);
    assert_true(got->absmax == fmax(fabs(expected.min), fabs(expected.max)));
    assert_near(got->mean, expected.mean, 1e-11, "mean");
    assert_near(got->std, expected.std, 1e-11, "std");
    assert_near(got->kurtosis, expected.kurtosis, 1e-10, "kurtosis");
    const WeightMeasure *view = &m->stats.measured.weights[0];
    assert_true(view->absmax == (float)got->absmax && view->min == (float)got->min && view->max == (float)got->max);
    assert_near(view->energy,
                (expected.std * expected.std + expected.mean * expected.mean) *
                    (double)(expected.elements - expected.nonfinite),
                1e-10, "energy");
    assert_memory_equal(&view->votes, &got->votes, sizeof view->votes);
    assert_ptr_equal(view->column_absmax, got->column_absmax);
    assert_int_equal(got->columns, m->linear.in);
    for (size_t j = 0; j < got->columns; j++) {
        float most = 0;
        for (size_t i = j; i < got->elements; i += got->columns)
            most = fmaxf(most, fabsf(m->values[i])); // NaN left out
        assert_true(got->column_absmax[j] == most);
    }
}

// The screen draws what is known while the worker measures on, and a job that was stopped begins again at the first
// matrix.
static void what_is_known_is_not_touched_again(void **state) {
    (void)state;
    Matrix m;
    Error err = {0};
    matrix_new(DTYPE_BF16, 3, 7, &m);
    const WeightStats *first = measured(&m);
    const float *values = first->counts.values, *columns = first->column_absmax;
    const uint32_t *votes = first->votes.votes[0];
    assert_true(weight_stats_measure(&m.structure, 0, &m.stats, &err));
    assert_ptr_equal(first->counts.values, values);
    assert_ptr_equal(first->column_absmax, columns);
    assert_ptr_equal(first->votes.votes[0], votes);
    matrix_free(&m);
}

static const DType dtypes[] = {DTYPE_BF16, DTYPE_F16, DTYPE_F32};

static void moments_by_definition(void **state) {
    (void)state;
    static const size_t shapes[][2] = {{1, 1}, {3, 7}, {40, 176}, {64, 256}, {300, 1000}};
    for (size_t d = 0; d < 3; d++) {
        for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++) {
            Matrix m;
            matrix_new(dtypes[d], shapes[s][0], shapes[s][1], &m);
            store(&m, 0, 0.7f); // beyond 6σ where there are enough others
            store(&m, shapes[s][0] * shapes[s][1] - 1, -0.0f);
            assert_by_definition(&m);
            matrix_free(&m);
        }
    }
}

static void not_finite_is_counted_and_left_out(void **state) {
    (void)state;
    for (size_t d = 0; d < 3; d++) {
        Matrix m;
        matrix_new(dtypes[d], 20, 64, &m);
        store(&m, 3, NAN);
        store(&m, 700, INFINITY);
        store(&m, 701, -INFINITY);
        assert_by_definition(&m);
        matrix_free(&m);
    }
}

static void equal_values_have_no_spread(void **state) {
    (void)state;
    for (size_t d = 0; d < 3; d++) {
        Matrix m;
        matrix_new(dtypes[d], 4, 32, &m);
        for (size_t i = 0; i < 128; i++) store(&m, i, i % 2 ? 0.0f : -0.0f);
        const WeightStats *s = measured(&m);
        assert_true(s->std == 0 && s->kurtosis == 0 && s->absmax == 0 && s->zeros == 128);
        assert_int_equal(s->counts.length, 1); // −0 and +0 are one value
        matrix_free(&m);
    }
    Matrix m;
    matrix_new(DTYPE_F16, 1, 2, &m);
    store(&m, 0, NAN);
    store(&m, 1, NAN);
    const WeightStats *s = measured(&m);
    assert_true(s->counts.length == 0 && s->min == 0 && s->max == 0 && s->nonfinite == 2);
    matrix_free(&m);
}

static void other_types_are_refused(void **state) {
    (void)state;
    Matrix m;
    matrix_new(DTYPE_F32, 2, 16, &m);
    Error err = {0};
    assert_true(model_stats_new(&m.structure, &m.stats, &err));
    m.tensor.dtype = DTYPE_I8;
    assert_false(weight_stats_measure(&m.structure, 0, &m.stats, &err));
    assert_non_null(strstr(err.message, "layers.0.w"));
    assert_false(m.stats.weights[0].known);
    matrix_free(&m);
}

// Blocks of rows, counted by several threads, make the votes of the whole.
static void votes_of_blocks_are_those_of_the_whole(void **state) {
    (void)state;
    static const size_t shapes[][2] = {{1500, 768}, {3, 16}, {5, 40}, {2, 300000}};
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++) {
        size_t rows = shapes[s][0], in = shapes[s][1], groups = (in + 15) / 16;
        Matrix m;
        matrix_new(DTYPE_BF16, rows, in, &m);
        const VoteCounts *got = &measured(&m)->votes;
        float *low = array_new(rows * groups, sizeof *low), *high = array_new(rows * groups, sizeof *high);
        group_ranges(DTYPE_BF16, m.tensor.data, rows, in, 16, low, high);
        VoteCounts whole;
        Error err = {0};
        uint32_t smallest = got->sizes_count > 1 ? got->sizes[got->sizes_count - 1] : 16;
        if (smallest != 16) group_ranges(DTYPE_BF16, m.tensor.data, rows, in, smallest, low, high);
        assert_true(vote_counts_build(low, high, rows, in, smallest, &whole, &err));
        assert_int_equal(got->sizes_count, whole.sizes_count);
        assert_memory_equal(got->sizes, whole.sizes, sizeof whole.sizes);
        assert_memory_equal(got->parents, whole.parents, sizeof whole.parents);
        assert_memory_equal(got->squares, whole.squares, sizeof whole.squares);
        size_t bytes = (size_t)(whole.sizes_count - 1) * (VOTE_STEPS + 1) * sizeof(uint32_t);
        for (int rule = 0; rule < 2 && bytes; rule++) assert_memory_equal(got->votes[rule], whole.votes[rule], bytes);
        vote_counts_free(&whole);
        free(low);
        free(high);
        matrix_free(&m);
    }
}

static void counts_and_bins(void **state) {
    (void)state;
    Matrix m;
    matrix_new(DTYPE_BF16, 30, 70, &m);
    const ValueCounts *c = &measured(&m)->counts;
    size_t n = m.out * m.in;
    uint64_t total = 0;
    for (size_t i = 0; i < c->length; i++) {
        if (i) assert_true(c->values[i - 1] < c->values[i]);
        uint64_t occurs = 0;
        for (size_t j = 0; j < n; j++) occurs += m.values[j] == c->values[i];
        assert_int_equal(c->counts[i], occurs);
        total += occurs;
    }
    assert_int_equal(total, n);
    enum { BINS = 13 };
    uint64_t bins[BINS], expected[BINS] = {0};
    value_counts_bins(c, -0.05, 0.08, BINS, bins);
    for (size_t j = 0; j < n; j++) {
        int bin = (int)floor(((double)m.values[j] + 0.05) * (BINS / 0.13));
        expected[bin < 0 ? 0 : bin >= BINS ? BINS - 1 : bin]++;
    }
    assert_memory_equal(bins, expected, sizeof bins);
    value_counts_bins(c, 1, 1, BINS, bins); // no width: all in the first
    assert_int_equal(bins[0], n);
    matrix_free(&m);
}

static void magnitudes_have_bins(void **state) {
    (void)state;
    for (int bin = 0; bin < MAGNITUDE_BINS; bin++) {
        double middle = magnitude_edge(bin) * 1.04; // a bin is 9 % wide
        assert_int_equal(magnitude_bin(middle), bin);
    }
    assert_true(magnitude_edge(128) == 1);
    assert_int_equal(magnitude_bin(1), 128);
    assert_int_equal(magnitude_bin(0), 0);
    assert_int_equal(magnitude_bin(1e-30), 0);
    assert_int_equal(magnitude_bin(1e30), MAGNITUDE_BINS - 1);
    assert_int_equal(magnitude_bin(INFINITY), MAGNITUDE_BINS - 1);
}

static void top_channels_by_sorting(void **state) {
    (void)state;
    float absmax[] = {3, 9, 1, 9, 0, 7, 3};
    InputStats input = {.width = 7, .channel_absmax = absmax};
    static const uint32_t expected[] = {1, 3, 5, 0, 6, 2, 4}; // equal ones by index
    for (size_t most = 0; most < 10; most++) {
        uint32_t index[10];
        size_t n = input_top_channels(&input, most, index);
        assert_int_equal(n, most < 7 ? most : 7);
        if (n) assert_memory_equal(index, expected, n * sizeof *index);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_known_is_not_touched_again),
        cmocka_unit_test(moments_by_definition),
        cmocka_unit_test(not_finite_is_counted_and_left_out),
        cmocka_unit_test(equal_values_have_no_spread),
        cmocka_unit_test(other_types_are_refused),
        cmocka_unit_test(votes_of_blocks_are_those_of_the_whole),
        cmocka_unit_test(counts_and_bins),
        cmocka_unit_test(magnitudes_have_bins),
        cmocka_unit_test(top_channels_by_sorting),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
