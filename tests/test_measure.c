// Histograms and ranges against counting and comparing one by one, in every instruction set that this processor has.
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/array.h"
#include "base/random.h"
#include "kernels/host/measure.h"
#include "tests/support/slow_checks.h"

static const char *only_set;

static bool use_set(const char *set) {
    if (only_set && strcmp(set, only_set) != 0) return false;
    setenv("QUANTDIAL_CPU", set, 1); // a set that is not supported here is measured with another: no harm
    return true;
}

// n elements of dtype at an odd address.
static unsigned char *random_data(DType dtype, size_t n, Random *random, void **block) {
    *block = malloc(n * dtype_bytes(dtype) + 1);
    assert_non_null(*block);
    unsigned char *data = (unsigned char *)*block + 1;
    for (size_t i = 0; i < n; i++) {
        float value = (float)random_normal(random);
        uint16_t half = dtype == DTYPE_F16 ? float_to_f16(value) : float_to_bf16(value);
        if (random_below(random, 50) == 0)
            half = (uint16_t)random_below(random, 65536), memcpy((char *)&value + 2, &half, 2);
        if (dtype == DTYPE_F32) {
            memcpy(data + i * 4, &value, 4);
        } else {
            memcpy(data + i * 2, &half, 2);
        }
    }
    return data;
}

static void count_case(DType dtype, size_t n) {
    Random random = random_seeded(n);
    void *block;
    unsigned char *data = random_data(dtype, n, &random, &block);
    uint64_t *counts = array_new(65536, sizeof *counts), *expected = array_new(65536, sizeof *expected);
    counts[17] = expected[17] = 5; // added to
    if (n % 2) count_patterns(dtype, data, n, counts);
    for (size_t i = 0; i < n; i++) {
        uint16_t pattern;
        memcpy(&pattern, data + i * dtype_bytes(dtype) + (dtype == DTYPE_F32 ? 2 : 0), 2);
        expected[pattern] += 1 + n % 2;
    }
    PatternCounter *counter = pattern_counter_new();
    pattern_counter_add(counter, dtype, data, n / 3); // in two pieces
    pattern_counter_add(counter, dtype, data + n / 3 * dtype_bytes(dtype), n - n / 3);
    pattern_counter_get(counter, counts);
    assert_memory_equal(counts, expected, 65536 * sizeof *counts);
    pattern_counter_free(counter);
    free(counts), free(expected), free(block);
}

static void test_count_patterns(void **state) {
    (void)state;
    for (DType dtype = DTYPE_F32; dtype <= DTYPE_BF16; dtype++) {
        count_case(dtype, 0);
        count_case(dtype, 1);
        count_case(dtype, 1001);
        count_case(dtype, 131073);
        if (many_cases()) count_case(dtype, 1000003);
    }
}

// More of one value than a table of 32-bit numbers can hold.
static void counts_do_not_overflow(void **state) {
    (void)state;
    if (!slow_checks()) skip();
    const size_t n = (size_t)1 << 25;
    uint16_t *zeros = array_new(n, sizeof *zeros);
    uint64_t *counts = array_new(65536, sizeof *counts);
    PatternCounter *counter = pattern_counter_new();
    for (int i = 0; i < 130; i++) pattern_counter_add(counter, DTYPE_BF16, zeros, n);
    pattern_counter_get(counter, counts);
    assert_true(counts[0] == 130 * n && counts[1] == 0);
    pattern_counter_get(counter, counts); // is added to
    assert_true(counts[0] == 260 * n);
    pattern_counter_free(counter);
    free(counts), free(zeros);
}

static void test_pattern_value(void **state) {
    (void)state;
    assert_true(pattern_value(DTYPE_BF16, 0x3F80) == 1 && pattern_value(DTYPE_F32, 0x3F80) == 1 &&
                pattern_value(DTYPE_F16, 0x3C00) == 1);
    assert_true(pattern_value(DTYPE_F16, 1) == 0x1p-24f && isinf(pattern_value(DTYPE_BF16, 0x7F80)));
}

static void range_case(DType dtype, size_t rows, size_t columns, size_t group, Random *random) {
    void *block;
    unsigned char *data = random_data(dtype, rows * columns, random, &block);
    size_t groups = (columns + group - 1) / group;
    float *least = array_new(rows * groups, sizeof *least), *greatest = array_new(rows * groups, sizeof *greatest);
    group_ranges(dtype, data, rows, columns, group, least, greatest);
    for (size_t row = 0; row < rows; row++) {
        for (size_t g = 0; g < groups; g++) {
            float low = INFINITY, high = -INFINITY;
            for (size_t j = g * group; j < columns && j < (g + 1) * group; j++) {
                float v;
                floats_from(dtype, data + (row * columns + j) * dtype_bytes(dtype), 1, &v);
                if (v < low) low = v;
                if (v > high) high = v;
            }
            assert_true(least[row * groups + g] == low && greatest[row * groups + g] == high);
        }
    }
    free(least), free(greatest), free(block);
}

static void ranges_in(const char *set) {
    if (!use_set(set)) return;
    Random random = random_seeded(3);
    static const size_t sizes[] = {16, 32, 64, 7, 33, 1000};
    for (int i = 0; i < 36; i++)
        range_case((DType)(i % 3), 1 + random_below(&random, 6), 1 + random_below(&random, 200), sizes[i % 6], &random);
    for (int i = 0; i < 12; i++) // groups of 16 that fill the row, in all remainders of eight groups
        range_case((DType)(1 + i % 2), 1 + random_below(&random, 4), 16 * (1 + random_below(&random, 140)), 16,
                   &random);
    if (slow_checks()) range_case(DTYPE_BF16, 300, 512, 64, &random);
}

static void test_group_ranges(void **state) {
    (void)state;
    ranges_in("scalar"), ranges_in("avx2"), ranges_in("avx512");
}

// Numbers without NaN in even cases: those are compared by their bits.
static void column_case(DType dtype, size_t rows, size_t columns, bool nan, Random *random) {
    void *block;
    unsigned char *data = random_data(dtype, rows * columns, random, &block);
    float *got = array_new(columns, sizeof *got), *expected = array_new(columns, sizeof *expected), v;
    for (size_t i = 0; i < rows * columns; i++) {
        unsigned char *at = data + i * dtype_bytes(dtype);
        floats_from(dtype, at, 1, &v);
        if (isnan(v) && !nan) memset(at, 0, dtype_bytes(dtype));
    }
    for (size_t j = 0; j < columns; j++) {
        got[j] = expected[j] = j % 5 ? 0 : 1.5f; // what was there counts
        for (size_t row = 0; row < rows; row++) {
            floats_from(dtype, data + (row * columns + j) * dtype_bytes(dtype), 1, &v);
            expected[j] = fmaxf(expected[j], fabsf(v));
        }
    }
    column_absmax(dtype, data, rows, columns, got);
    assert_memory_equal(got, expected, columns * sizeof *got);
    free(got), free(expected), free(block);
}

static void columns_in(const char *set) {
    if (!use_set(set)) return;
    Random random = random_seeded(9);
    for (int i = 0; i < 18; i++)
        column_case((DType)(i % 3), 1 + random_below(&random, 9), 1 + random_below(&random, 300), i % 2, &random);
    if (slow_checks()) column_case(DTYPE_BF16, 20, 3000, false, &random);
}

static void test_column_absmax(void **state) {
    (void)state;
    columns_in("scalar"), columns_in("avx2"), columns_in("avx512");
}

static void absmax_case(size_t tokens, size_t width, Random *random) {
    float *x = array_new(tokens * width, sizeof *x), *channel = array_new(width, sizeof *channel),
          *token = array_new(tokens, sizeof *token);
    float *expected = array_new(width, sizeof *expected);
    for (size_t i = 0; i < tokens * width; i++) x[i] = (float)random_normal(random);
    for (size_t j = 0; j < width; j++) {
        channel[j] = j % 3 ? 0 : 2; // what was there counts
        expected[j] = channel[j];
        for (size_t t = 0; t < tokens; t++) expected[j] = fmaxf(expected[j], fabsf(x[t * width + j]));
    }
    absmax_update(x, tokens, width, channel, token);
    assert_memory_equal(channel, expected, width * sizeof *channel);
    for (size_t t = 0; t < tokens; t++) {
        float most = 0;
        for (size_t j = 0; j < width; j++) most = fmaxf(most, fabsf(x[t * width + j]));
        assert_true(token[t] == most);
    }
    absmax_update(x, tokens, width, NULL, token);
    absmax_update(x, tokens, width, channel, NULL);
    assert_memory_equal(channel, expected, width * sizeof *channel);
    free(x), free(channel), free(token), free(expected);
}

static void absmax_in(const char *set) {
    if (!use_set(set)) return;
    Random random = random_seeded(5);
    for (int i = 0; i < 20; i++) absmax_case(1 + random_below(&random, 9), 1 + random_below(&random, 90), &random);
    if (slow_checks()) absmax_case(70, 700, &random);
}

// By its definition, in doubles. Some tokens have an outlier, others are of one size, zero, or not finite.
static void standing_out_case(size_t tokens, size_t width, Random *random) {
    float *x = array_new(tokens * width, sizeof *x), *token = array_new(tokens, sizeof *token);
    uint32_t *channel = array_new(width, sizeof *channel), *expected = array_new(width, sizeof *expected);
    for (size_t t = 0; t < tokens; t++) {
        float *row = x + t * width;
        for (size_t j = 0; j < width; j++) row[j] = t % 5 == 3 ? 0 : (float)random_normal(random);
        if (t % 5 == 1) row[random_below(random, width)] = -500;
        if (t % 5 == 4) row[0] = INFINITY;
    }
    absmax_update(x, tokens, width, NULL, token);
    for (size_t j = 0; j < width; j++) channel[j] = expected[j] = (uint32_t)j; // what was there counts
    for (size_t t = 0; t < tokens; t++) {
        double mean = 0;
        for (size_t j = 0; j < width; j++) mean += fabs((double)x[t * width + j]) / (double)width;
        for (size_t j = 0; j < width && t % 5 != 4; j++) expected[j] += fabs((double)x[t * width + j]) > 6 * mean;
    }
    count_standing_out(x, tokens, width, token, channel);
    assert_memory_equal(channel, expected, width * sizeof *channel);
    free(x), free(token), free(channel), free(expected);
}

static void test_count_standing_out(void **state) {
    (void)state;
    Random random = random_seeded(6);
    for (int i = 0; i < 20; i++)
        standing_out_case(5 + random_below(&random, 9), 7 + random_below(&random, 90), &random);
    standing_out_case(300, 130, &random);
    uint32_t channel[7] = {0};
    const float outlier[7] = {0, 0, 70, 0, 0, 0, 0}; // more than six sevenths of the sum
    count_standing_out(outlier, 1, 7, (const float[]){70}, channel);
    for (int j = 0; j < 7; j++) assert_int_equal(channel[j], j == 2);
}

static void test_absmax_update(void **state) {
    (void)state;
    absmax_in("scalar"), absmax_in("avx2"), absmax_in("avx512");
}

int main(void) {
    only_set = getenv("QUANTDIAL_CPU");
    if (only_set) only_set = strdup(only_set);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_count_patterns),     cmocka_unit_test(counts_do_not_overflow),
        cmocka_unit_test(test_pattern_value),      cmocka_unit_test(test_group_ranges),
        cmocka_unit_test(test_column_absmax),      cmocka_unit_test(test_absmax_update),
        cmocka_unit_test(test_count_standing_out),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    free((char *)only_set);
    return failed;
}
