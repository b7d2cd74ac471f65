// Weights → integers: rounding, scales at the edges of their type, refusals, errors. tests/test_quant_reference.c
// compares with an independent implementation; here is what can be said without one.
#include <float.h>
#include <math.h>
#include <omp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/random.h"
#include "quant/grids.h"
#include "quant/lae.h"
#include "quant/quantize.h"
#include "tests/support/cpu_sets.h"

typedef struct Matrix {
    Tensor tensor;
    Linear linear;
    Decision decision;
} Matrix;

static Matrix matrix(const void *data, DType dtype, size_t out, size_t in, int bits, size_t group) {
    Matrix m = {
        .tensor = {.name = "layer.weight", .dtype = dtype, .rank = 2, .shape = {out, in}, .data = data},
        .linear = {.name = (char *)"layer", .out = out, .in = in},
        .decision = {.quantized = true,
                     .bits = bits,
                     .group = group,
                     .scale_dtype = DTYPE_F32,
                     .granularity = GRANULARITY_GROUP},
    };
    return m;
}

static QuantizedWeight quantized(Matrix *m, const float *factors, WeightError *error) {
    QuantizedWeight w;
    Error err = {0};
    m->linear.weight = &m->tensor;
    if (!quantize_linear(&m->linear, &m->decision, factors, NULL, &w, error, &err)) fail_msg("%s", err.message);
    return w;
}

static void assert_refused(Matrix *m, const float *factors, const char *part) {
    QuantizedWeight w;
    Error err = {0};
    m->linear.weight = &m->tensor;
    if (quantize_linear(&m->linear, &m->decision, factors, NULL, &w, NULL, &err)) fail_msg("accepted");
    if (!strstr(err.message, part)) fail_msg("\"%s\" does not say \"%s\"", err.message, part);
    assert_null(w.codes);
}

// Every instruction set gives the same codes, scales and sums, whatever the group and what is left of it at the end.
static void instruction_sets_agree(void **state) {
    (void)state;
    static const char *const sets[] = {"scalar", "avx2", "avx512"}; // one that is not supported is the scalar one
    static const size_t groups[] = {1, 5, 16, 37, 64, 160, 333};
    enum { ROWS = 7, IN = 333 };
    const char *given = getenv("QUANTDIAL_CPU");
    Random random = random_seeded(11);
    uint16_t data[ROWS * IN];
    for (size_t i = 0; i < ROWS * IN; i++) data[i] = float_to_f16((float)random_normal(&random) * (i % 50 ? 1 : 30));
    for (size_t g = 0; g < sizeof groups / sizeof *groups && !given; g++) {
        for (int bits = 2; bits <= 8; bits += bits < 4 ? 1 : 4) {
            Matrix m = matrix(data, DTYPE_F16, ROWS, IN, bits, groups[g]);
            QuantizedWeight first = {0};
            WeightError error, first_error = {0};
            for (size_t s = 0; s < 3; s++) {
                setenv("QUANTDIAL_CPU", sets[s], 1);
                QuantizedWeight w = quantized(&m, NULL, &error);
                if (s == 0) {
                    first = w;
                    first_error = error;
                    continue;
                }
                assert_memory_equal(w.codes, first.codes, ROWS * IN);
                assert_memory_equal(w.scales, first.scales, ROWS * group_count(IN, groups[g]) * sizeof(float));
                assert_memory_equal(&error, &first_error, sizeof error);
                quantized_weight_free(&w);
            }
            quantized_weight_free(&first);
        }
    }
    if (!given) unsetenv("QUANTDIAL_CPU");
}

static void halves_go_to_even(void **state) {
    (void)state;
    const float data[] = {7, 0.5f, 1.5f, 2.5f, 3.5f, -0.5f, -1.5f, -2.5f, -6.5f, 0.49999997f, -0.0f, -7};
    const int8_t codes[] = {7, 0, 2, 2, 4, 0, -2, -2, -6, 0, 0, -7};
    Matrix m = matrix(data, DTYPE_F32, 1, 12, 4, 12);
    QuantizedWeight w = quantized(&m, NULL, NULL);
    assert_true(w.scales[0] == 1);
    assert_memory_equal(w.codes, codes, sizeof codes);
    quantized_weight_free(&w);
}

static void scales_are_rounded_first(void **state) {
    (void)state;
    // 1 / 7 as BF16 is a little smaller: 3.5 of the exact scale, which would be a tie, lies above the tie of the stored
    // one.
    const float data[] = {1, 0.5f};
    Matrix m = matrix(data, DTYPE_F32, 1, 2, 4, 2);
    m.decision.scale_dtype = DTYPE_BF16;
    QuantizedWeight w = quantized(&m, NULL, NULL);
    assert_true(w.scales[0] == 0.142578125f);
    assert_int_equal(w.codes[0], 7);
    assert_int_equal(w.codes[1], 4);
    quantized_weight_free(&w);
}

static void every_bit_width_uses_its_range(void **state) {
    (void)state;
    static const struct { int bits, qmax; } cases[] = {{2, 1}, {3, 3}, {4, 7}, {8, 127}};
    float data[512];
    for (int i = 0; i < 512; i++) data[i] = (float)(i - 256);
    for (size_t c = 0; c < 4; c++) {
        Matrix m = matrix(data, DTYPE_F32, 2, 256, cases[c].bits, 256);
        QuantizedWeight w = quantized(&m, NULL, NULL);
        assert_int_equal(w.codes[0], -cases[c].qmax);
        assert_int_equal(w.codes[511], cases[c].qmax);
        for (int i = 0; i < 512; i++) assert_in_range(w.codes[i] + cases[c].qmax, 0, 2 * cases[c].qmax);
        quantized_weight_free(&w);
    }
}

static void zeros_have_a_positive_scale(void **state) {
    (void)state;
    float data[64] = {0};
    data[40] = -0.0f;
    data[63] = 1;
    for (int g = GRANULARITY_TENSOR; g <= GRANULARITY_GROUP; g++) {
        Matrix m = matrix(data, DTYPE_F32, 2, 32, 4, g == GRANULARITY_GROUP ? 16 : 32);
        m.decision.granularity = (Granularity)g;
        QuantizedWeight w = quantized(&m, NULL, NULL);
        assert_true(w.scales[0] == (g == GRANULARITY_TENSOR ? 1.0f / 7 : 1));
        assert_int_equal(w.codes[0], 0);
        assert_int_equal(w.codes[63], 7);
        quantized_weight_free(&w);
    }
}

static void scales_stay_within_their_type(void **state) {
    (void)state;
    static const struct {
        float absmax;
        DType dtype;
        float scale;
        int code;
    } cases[] = {
        {1e-30f, DTYPE_F16, 0x1p-24f, 0},                                   // too small for F16: the smallest it holds
        {0x1p-23f, DTYPE_F16, 0x1p-24f, 2},    {1e6f, DTYPE_F16, 65504, 7}, // too large: clamped codes
        {0x1p-149f, DTYPE_F32, 0x1p-149f, 1},  {0x1p-140f, DTYPE_BF16, 0x1p-133f, 0},
        {FLT_MAX, DTYPE_BF16, FLT_MAX / 7, 7}, // rounded below
        {FLT_MAX, DTYPE_F32, FLT_MAX / 7, 7},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        Matrix m = matrix(&cases[i].absmax, DTYPE_F32, 1, 1, 4, 1);
        m.decision.scale_dtype = cases[i].dtype;
        QuantizedWeight w = quantized(&m, NULL, NULL);
        assert_true(w.scales[0] == float_rounded(cases[i].dtype, cases[i].scale));
        assert_int_equal(w.codes[0], cases[i].code);
        quantized_weight_free(&w);
    }
    const float most =
        FLT_MAX; // with one bit of magnitude the scale is the absmax, and BF16 would round it to infinity
    Matrix m = matrix(&most, DTYPE_F32, 1, 1, 2, 1);
    m.decision.scale_dtype = DTYPE_BF16;
    QuantizedWeight w = quantized(&m, NULL, NULL);
    assert_true(isfinite(w.scales[0]) && w.codes[0] == 1);
    quantized_weight_free(&w);
}

static void values_that_are_not_finite_are_refused(void **state) {
    (void)state;
    static const float bad[] = {NAN, INFINITY, -INFINITY};
    for (size_t i = 0; i < 3; i++) {
        float data[5 * 20] = {0};
        data[3 * 20 + 19] = bad[i]; // in the last, partial group
        data[4 * 20] = NAN;         // the first row is the one that is told
        for (int g = GRANULARITY_TENSOR; g <= GRANULARITY_GROUP; g++) {
            Matrix m = matrix(data, DTYPE_F32, 5, 20, 4, g == GRANULARITY_GROUP ? 16 : 20);
            m.decision.granularity = (Granularity)g;
            assert_refused(&m, NULL, "layer.weight: row 3 ");
        }
    }
    uint16_t bf16[2] = {0x3F80, 0x7FC0};
    Matrix m = matrix(bf16, DTYPE_BF16, 2, 1, 4, 1);
    assert_refused(&m, NULL, "row 1 ");
    float large[2] = {1, FLT_MAX}, factors[1] = {2};
    m = matrix(large, DTYPE_F32, 2, 1, 4, 1);
    assert_refused(&m, factors, "after equalization");
}

static void other_types_are_refused(void **state) {
    (void)state;
    double data[4] = {0};
    Matrix m = matrix(data, DTYPE_F64, 2, 2, 4, 2);
    assert_refused(&m, NULL, "F64");
}

static void partial_groups_have_their_own_scale(void **state) {
    (void)state;
    float data[2 * 20];
    for (int i = 0; i < 40; i++) data[i] = i % 20 < 16 ? 7 : 70;
    Matrix m = matrix(data, DTYPE_F32, 2, 20, 4, 16);
    QuantizedWeight w = quantized(&m, NULL, NULL);
    const float scales[] = {1, 10, 1, 10};
    assert_memory_equal(w.scales, scales, sizeof scales);
    for (int i = 0; i < 40; i++) assert_int_equal(w.codes[i], 7);
    float back[40];
    dequantize(&w, back);
    assert_memory_equal(back, data, sizeof data);
    quantized_weight_free(&w);
}

static void a_tensor_has_one_scale(void **state) {
    (void)state;
    const float data[] = {1, 2, 3, -14};
    Matrix m = matrix(data, DTYPE_F32, 2, 2, 4, 2);
    m.decision.granularity = GRANULARITY_TENSOR;
    QuantizedWeight w = quantized(&m, NULL, NULL);
    assert_true(w.scales[0] == 2 && w.scales[1] == 2);
    assert_int_equal(w.codes[0], 0); // 0.5
    assert_int_equal(w.codes[2], 2); // 1.5
    quantized_weight_free(&w);
}

static void factors_multiply_columns(void **state) {
    (void)state;
    const float data[] = {7, 1, 3.5f, 7}, factors[] = {2, 14};
    Matrix m = matrix(data, DTYPE_F32, 2, 2, 4, 2);
    QuantizedWeight w = quantized(&m, factors, NULL);
    const int8_t codes[] = {7, 7, 0, 7}; // 14 14 | 7 98
    assert_true(w.scales[0] == 2 && w.scales[1] == 14);
    assert_memory_equal(w.codes, codes, sizeof codes);
    quantized_weight_free(&w);
}

static void unaligned_sixteen_bit_weights(void **state) {
    (void)state;
    unsigned char bytes[1 + 8];
    const uint16_t halves[] = {0x4700, 0x3C00, 0xC000, 0x0000}; // 7, 1, −2, 0 as F16
    memcpy(bytes + 1, halves, sizeof halves);
    Matrix m = matrix(bytes + 1, DTYPE_F16, 1, 4, 4, 4);
    QuantizedWeight w = quantized(&m, NULL, NULL);
    const int8_t codes[] = {7, 1, -2, 0};
    assert_memory_equal(w.codes, codes, sizeof codes);
    quantized_weight_free(&w);
}

// ---- Errors ----

enum { ROWS = 13, COLUMNS = 208 };

static void fill_random(float *data) {
    Random random = random_seeded(11);
    for (int i = 0; i < ROWS * COLUMNS; i++) data[i] = (float)random_normal(&random);
}

static void errors_are_those_of_the_numbers(void **state) {
    (void)state;
    float data[ROWS * COLUMNS], back[ROWS * COLUMNS];
    fill_random(data);
    for (size_t group = 16; group <= 208; group += 37) {
        Matrix m = matrix(data, DTYPE_F32, ROWS, COLUMNS, 4, group);
        WeightError error;
        QuantizedWeight w = quantized(&m, NULL, &error);
        dequantize(&w, back);
        double signal = 0, noise = 0;
        size_t groups = group_count(COLUMNS, group);
        for (size_t i = 0; i < ROWS * COLUMNS; i++) {
            double lost = fabs((double)data[i] - (double)back[i]);
            assert_true(lost <= 0.5000001 * (double)w.scales[i / COLUMNS * groups + i % COLUMNS / group]);
            signal += (double)data[i] * (double)data[i];
            noise += lost * lost;
        }
        assert_true(fabs(error.signal - signal) <= 1e-9 * signal);
        assert_true(fabs(error.noise - noise) <= 1e-5 * noise);
        quantized_weight_free(&w);
    }
}

static void smaller_groups_lose_less(void **state) {
    (void)state;
    float data[ROWS * COLUMNS];
    fill_random(data);
    double before = -INFINITY;
    for (size_t group = 208; group >= 13; group /= 2) {
        Matrix m = matrix(data, DTYPE_F32, ROWS, COLUMNS, 4, group);
        WeightError error;
        QuantizedWeight w = quantized(&m, NULL, &error);
        assert_true(weight_sqnr_db(&error) > before);
        before = weight_sqnr_db(&error);
        quantized_weight_free(&w);
    }
}

static void the_number_of_threads_changes_nothing(void **state) {
    (void)state;
    float data[ROWS * COLUMNS];
    fill_random(data);
    Matrix m = matrix(data, DTYPE_F32, ROWS, COLUMNS, 3, 16);
    WeightError one, three;
    int threads = omp_get_max_threads();
    omp_set_num_threads(1);
    QuantizedWeight a = quantized(&m, NULL, &one);
    omp_set_num_threads(3);
    QuantizedWeight b = quantized(&m, NULL, &three);
    omp_set_num_threads(threads);
    assert_memory_equal(a.codes, b.codes, ROWS * COLUMNS);
    assert_true(one.signal == three.signal && one.noise == three.noise);
    quantized_weight_free(&a);
    quantized_weight_free(&b);
}

static void ratios_in_decibels(void **state) {
    (void)state;
    assert_true(weight_sqnr_db(&(WeightError){.signal = 100, .noise = 1}) == 20);
    assert_true(isinf(weight_sqnr_db(&(WeightError){.signal = 100, .noise = 0})));
    assert_true(isinf(weight_sqnr_db(&(WeightError){.signal = 0, .noise = 0})));
}

// ---- LAE ----

static void lae_follows_the_formula(void **state) {
    (void)state;
    const float m[] = {0, 1, 2, 14, 62, 1e-40f, 1e30f, INFINITY};
    float s[8];
    lae_factors(m, 8, 1, s);
    assert_true(s[0] == 1); // nothing to equalize
    assert_true(s[1] == (float)(1 / log2(3)));
    assert_true(s[2] == 1);    // 2 / log2(4)
    assert_true(s[3] == 3.5f); // 14 / log2(16)
    assert_true(s[4] == 62.0f / 6);
    assert_true(s[5] == 1 && s[7] == 1); // dividing by it would overflow
    assert_true(isfinite(s[6]));
    lae_factors(m, 8, 0, s);
    for (int i = 0; i < 8; i++) assert_true(s[i] == 1);
    lae_factors(m, 8, 0.5, s);
    assert_true(s[3] == (float)sqrt(3.5));
}

static void the_largest_channel_decides_the_range(void **state) {
    (void)state;
    Random random = random_seeded(3);
    for (int round = 0; round < 200; round++) {
        float m[32], s[32], most = 0, range = 0;
        double alpha = random_uniform(&random);
        for (int j = 0; j < 32; j++) {
            m[j] = (float)exp(8 * random_uniform(&random) - 3);
            most = fmaxf(most, m[j]);
        }
        lae_factors(m, 32, alpha, s);
        for (int j = 0; j < 32; j++) range = fmaxf(range, m[j] / s[j]);
        assert_true(range == lae_range(most, alpha));
    }
    assert_true(lae_range(0, 1) == 0);
    assert_true(lae_range(14, 1) == 4);
}

// ---- Rows of a grid ----

// What is reported as lost is what the codes' values lack, and a wider code loses less.
static void check_coding(Grid grid) {
    enum { N = 48 };
    float *x = normal_floats(N, 0), values[N];
    double last = INFINITY;
    for (int bits = 2; bits <= 8; bits += bits == 4 ? 4 : 1) {
        QuantizedWeight w;
        assert_true(quantized_weight_on_grid(grid, 1, N, N, bits, DTYPE_F32, &w, NULL));
        GroupRange range;
        assert_true(group_range(grid, x, N, &range));
        const GroupCoding coding = group_coding(grid, bits, DTYPE_F32, range);
        WeightError error = {0};
        group_codes(&coding, x, N, w.codes);
        group_error(&coding, x, w.codes, N, &error);
        w.scales[0] = coding.scale;
        if (w.zeros) w.zeros[0] = (int8_t)coding.zero;
        if (w.factors) w.factors[0] = 1;
        quantized_values(&w, 0, 0, w.codes, N, values);
        double noise = 0;
        for (size_t j = 0; j < N; j++) noise += ((double)x[j] - values[j]) * ((double)x[j] - values[j]);
        assert_true(fabs(error.noise - noise) <= 1e-5 * noise);
        assert_true(noise <= last);
        last = noise;
        quantized_weight_free(&w);
    }
    free(x);
}

static void every_grid_has_a_name_and_a_coder(void **state) {
    (void)state;
    for (Grid grid = 0; grid < GRID_COUNT; grid++) {
        assert_non_null(grid_names[grid]);
        check_coding(grid);
    }
    assert_null(grid_names[GRID_COUNT]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(halves_go_to_even),
        cmocka_unit_test(scales_are_rounded_first),
        cmocka_unit_test(every_bit_width_uses_its_range),
        cmocka_unit_test(zeros_have_a_positive_scale),
        cmocka_unit_test(scales_stay_within_their_type),
        cmocka_unit_test(values_that_are_not_finite_are_refused),
        cmocka_unit_test(other_types_are_refused),
        cmocka_unit_test(partial_groups_have_their_own_scale),
        cmocka_unit_test(a_tensor_has_one_scale),
        cmocka_unit_test(factors_multiply_columns),
        cmocka_unit_test(unaligned_sixteen_bit_weights),
        cmocka_unit_test(instruction_sets_agree),
        cmocka_unit_test(errors_are_those_of_the_numbers),
        cmocka_unit_test(smaller_groups_lose_less),
        cmocka_unit_test(the_number_of_threads_changes_nothing),
        cmocka_unit_test(every_grid_has_a_name_and_a_coder),
        cmocka_unit_test(ratios_in_decibels),
        cmocka_unit_test(lae_follows_the_formula),
        cmocka_unit_test(the_largest_channel_decides_the_range),
    };
    return cmocka_run_group_tests_name("quantize", tests, NULL, NULL);
}
