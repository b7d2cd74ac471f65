#include "tests/support/backend_checks.h"

#include <assert.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/array.h"
#include "kernels/prove.h"
#include "tests/support/backend_buffers.h"

// ---- Proving ----

// A device that computes right proves it, and can do without every family.
static void proof_cases(Checks *c) {
    unsigned avoid = 0;
    Error err = {0};
    if (!c->b->ops->avoid) return;
    if (!backend_prove(c->b, c->reference, &avoid, &err)) fail_msg("%s", err.message);
    assert_int_equal(avoid, 0);
    if (!c->thorough) return;
    avoid = (1U << KERNEL_FAMILIES) - 1;
    if (!backend_prove(c->b, c->reference, &avoid, &err)) fail_msg("without any family: %s", err.message);
    c->b->ops->avoid(c->b, 0);
}

// ---- The list ----

const BackendCheck backend_checks[] = {
    {"test_dense",
     dense_cases,
     {OPERATION(weight_dense), OPERATION(weight_free), OPERATION(weight_bytes), OPERATION(linear)}},
    {"test_quantized", quantized_cases, {OPERATION(weight_quantized)}},
    {"test_quantized", quantized_extremes, {OPERATION(linear)}},
    {"test_quantized", weight_refusals, {OPERATION(weight_quantized)}},
    {"test_linears", linears_cases, {OPERATION(linears)}},
    {"test_mixture", mixture_cases, {OPERATION(mixture_new), OPERATION(mixture), OPERATION(mixture_free)}},
    {"test_mixture", mixture_formats, {OPERATION(mixture)}},
    {"test_not_finite", not_finite_cases, {OPERATION(linear)}},
    {"test_from_dense", from_dense_cases, {OPERATION(weight_from_dense)}},
    {"test_from_dense", from_dense_regular, {OPERATION(weight_from_dense)}},
    {"test_between",
     memory_cases,
     {OPERATION(memory_new), OPERATION(memory_free), OPERATION(upload), OPERATION(download), OPERATION(synchronize),
      OPERATION(describe), OPERATION(has_room)}},
    {"test_between", norm_cases, {OPERATION(rms_norm), OPERATION(layer_norm), OPERATION(healthy)}},
    {"test_between",
     elementwise_cases,
     {OPERATION(add), OPERATION(silu_times), OPERATION(activate), OPERATION(xielu), OPERATION(scale),
      OPERATION(softcap), OPERATION(clamp)}},
    {"test_between",
     row_cases,
     {OPERATION(split), OPERATION(join), OPERATION(gather), OPERATION(scatter_add), OPERATION(gated_add)}},
    {"test_between", stream_cases, {OPERATION(blend_add), OPERATION(match_size), OPERATION(cut_below)}},
    {"test_between", rope_cases, {OPERATION(rope)}},
    {"test_between", embed_cases, {OPERATION(embed), OPERATION(embed_positions)}},
    {"test_between", choose_cases, {OPERATION(choose)}},
    {"test_between", measure_cases, {OPERATION(measure)}},
    {"test_between", fused_cases, {0}},
    {"test_between",
     step_cases,
     {OPERATION(step_begin), OPERATION(step_end), OPERATION(step_run), OPERATION(step_free), OPERATION(destroy)}},
    {"test_attention",
     attention_cases,
     {OPERATION(cache_new), OPERATION(cache_free), OPERATION(cache_write), OPERATION(attention)}},
    {"test_attention", following_cases, {OPERATION(cache_follow)}},
    {"test_attention", attention_shapes, {OPERATION(attention)}},
    {"test_attention_of_many_tokens", many_token_cases, {OPERATION(attention)}},
    {"test_attention_of_many_tokens", spoiled_cases, {OPERATION(attention)}},
    {"test_recurrence", recurrence_cases, {OPERATION(convolve), OPERATION(recur)}},
    {"test_proof", proof_cases, {OPERATION(avoid)}},
};
enum { CHECKS = sizeof backend_checks / sizeof *backend_checks };

void run_backend_checks(Checks *c, const char *test) {
    for (const BackendCheck *row = backend_checks; row < backend_checks + CHECKS; row++) {
        if (strcmp(row->test, test) != 0) continue;
        c->random = random_seeded(7);
        row->cases(c);
        if (c->backwards) *c->backwards = false;
    }
}

size_t add_backend_tests(struct CMUnitTest *tests, size_t room, void (*run)(void **state)) {
    size_t count = 0;
    while (count < room && tests[count].test_func) count++;
    for (size_t i = 0; i < CHECKS; i++) {
        const char *test = backend_checks[i].test;
        if (i > 0 && strcmp(test, backend_checks[i - 1].test) == 0) continue;
        assert(count < room);
        tests[count++] = (struct CMUnitTest){.name = test, .test_func = run, .initial_state = (void *)(uintptr_t)test};
    }
    return count;
}

// ---- Whether it is complete ----

static bool *was_missed; // seen by the parent, too

static void missed(void) {
    *was_missed = true;
    _exit(0);
}

static bool names(const BackendCheck *row, size_t operation) {
    for (size_t i = 0; i < sizeof row->operations / sizeof *row->operations; i++)
        if (row->operations[i] == operation) return true;
    return false;
}

static void *function_at(const BackendOps *ops, size_t operation) {
    void *function;
    memcpy(&function, (const char *)ops + offsetof(BackendOps, destroy) + (operation - 1) * sizeof function,
           sizeof function);
    return function;
}

static bool is_missed(Checks *c, const BackendCheck *row, size_t operation) {
    void (*const instead)(void) = missed;
    *was_missed = false;
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        setenv("CMOCKA_TEST_ABORT", "1", 1); // a check that fails must not go on with the tests behind it
        BackendOps without = *c->b->ops;
        memcpy((char *)&without + offsetof(BackendOps, destroy) + (operation - 1) * sizeof instead, &instead,
               sizeof instead);
        c->b->ops = &without;
        c->random = random_seeded(7);
        row->cases(c);
        c->b->ops->destroy(c->b);
        _exit(0);
    }
    assert_int_equal(waitpid(child, NULL, 0), child);
    return *was_missed;
}

void operations_are_covered(Checks *c, const BackendOps *only_without) {
    was_missed = mmap(NULL, sizeof *was_missed, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(was_missed != MAP_FAILED);
    const size_t operations = (sizeof(BackendOps) - offsetof(BackendOps, destroy)) / sizeof(void (*)(void));
    for (size_t n = 1; n <= operations; n++) {
        size_t row = 0;
        while (row < CHECKS && !names(&backend_checks[row], n)) row++;
        if (row == CHECKS) fail_msg("operation %zu of kernels/backend.h has no case", n);
        if (!function_at(c->b->ops, n) || (only_without && function_at(only_without, n))) continue;
        if (!is_missed(c, &backend_checks[row], n))
            fail_msg("operation %zu of kernels/backend.h: %s does without it", n, backend_checks[row].test);
    }
    munmap(was_missed, sizeof *was_missed);
}

// ---- How much ----

int amount(const Checks *c, Amount host, Amount emulated, Amount device) {
    const Amount a = c->place == ON_HOST ? host : c->place == EMULATED ? emulated : device;
    return c->thorough ? a.all : a.few;
}

void turn(Checks *c, int i) {
    if (c->backwards) *c->backwards = i % 2;
}

// ---- Memory ----

float *host_floats(size_t n) {
    float *data = array_new(n, sizeof *data);
    assert_non_null(data);
    return data;
}

double *doubles(size_t n) {
    double *data = array_new(n, sizeof *data);
    assert_non_null(data);
    return data;
}

// Nearly normal: a sum of four uniform numbers costs no logarithm, which counts under valgrind.
float *random_floats(Checks *c, size_t n, double deviation) {
    const double size = deviation * sqrt(3) / 65536;
    float *data = host_floats(n);
    for (size_t i = 0; i < n; i++) {
        const uint64_t bits = random_next(&c->random);
        const int64_t sum = (int64_t)((bits & 0xFFFF) + (bits >> 16 & 0xFFFF) + (bits >> 32 & 0xFFFF) + (bits >> 48));
        data[i] = (float)((double)(sum - 2 * 65535) * size);
    }
    return data;
}

static size_t margin(const Checks *c) { return c->place == ON_HOST ? 24 : 0; }

static float *put_or_poison(Checks *c, const float *host, size_t n) {
    const size_t side = margin(c), all = n + 2 * side;
    float *filled = host_floats(all), *data = c->b->ops->memory_new(c->b, all * sizeof *data, NULL);
    assert_non_null(data);
    for (size_t i = 0; i < all; i++) filled[i] = NAN;
    if (host) memcpy(filled + side, host, n * sizeof *host);
    c->b->ops->upload(c->b, data, filled, all * sizeof *data);
    c->b->ops->synchronize(c->b);
    free(filled);
    return data + side;
}

float *put(Checks *c, const float *host, size_t n) { return host ? put_or_poison(c, host, n) : NULL; }
float *put_nothing(Checks *c, size_t n) { return put_or_poison(c, NULL, n); }

float *take(Checks *c, float *data, size_t n) {
    Error err = {0};
    const size_t side = margin(c), all = n + 2 * side;
    float *host = host_floats(all);
    c->b->ops->download(c->b, host, data - side, all * sizeof *host);
    if (c->b->ops->healthy && !c->b->ops->healthy(c->b, &err)) fail_msg("%s", err.message);
    for (size_t i = 0; i < side; i++) assert_true(isnan(host[i]) && isnan(host[side + n + i]));
    c->b->ops->memory_free(c->b, data - side);
    memmove(host, host + side, n * sizeof *host);
    return host;
}

void drop(Checks *c, float *data, size_t n) {
    if (!data) return;
    if (margin(c)) {
        free(take(c, data, n));
    } else {
        c->b->ops->memory_free(c->b, data);
    }
}

void *stored_as(DType dtype, float *values, size_t n, void **block) {
    *block = malloc(n * dtype_bytes(dtype) + 1);
    assert_non_null(*block);
    char *data = (char *)*block + 1;
    for (size_t i = 0; i < n; i++) {
        values[i] = float_rounded(dtype, values[i]);
        const uint16_t half = dtype == DTYPE_F16 ? float_to_f16(values[i]) : float_to_bf16(values[i]);
        if (dtype == DTYPE_F32) {
            memcpy(data + i * 4, &values[i], 4);
        } else {
            memcpy(data + i * 2, &half, 2);
        }
    }
    return data;
}

// ---- Comparing ----

void compare(const char *what, const float *y, const double *expected, const double *sizes, size_t n,
             double tolerance) {
    for (size_t i = 0; i < n; i++) {
        if (isnan(expected[i]) && isnan(y[i])) continue;
        const double most = tolerance * (sizes ? sizes[i] : fabs(expected[i])) + 1e-35;
        if (!((double)y[i] == expected[i] || fabs((double)y[i] - expected[i]) <= most))
            fail_msg("%s: [%zu] of %zu is %.9g, not %.9g", what, i, n, (double)y[i], expected[i]);
    }
}

void compare_here(const Checks *c, const char *what, const float *y, const double *expected, size_t n, double host,
                  double device) {
    double largest = 0, *sizes = doubles(n);
    for (size_t i = 0; i < n; i++)
        largest = isfinite(expected[i]) && fabs(expected[i]) > largest ? fabs(expected[i]) : largest;
    for (size_t i = 0; i < n; i++) sizes[i] = fabs(expected[i]) + bound(c, 0, 1e-2 * largest);
    compare(what, y, expected, sizes, n, bound(c, host, device));
    free(sizes);
}
