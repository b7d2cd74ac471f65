// Quantizing a dense weight where it is: every set of kernels against a plain computation, products compared bit for
// bit, and the same sums of errors.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support/cpu_sets.h"
#include "tests/support/device_checks.h"

static void shapes(const char *set, int threads) {
    static const int bits[] = {2, 3, 4, 8};
    Checks c = {.random = random_seeded(3)};
    c.device = backend_of(set, threads);
    if (!c.device) return;
    setenv("QUANTDIAL_CPU", "scalar", 1);
    assert_true(backend_cpu_new(1, &c.reference, NULL));
    for (int i = 0; i < (thorough ? 72 : 12); i++) {
        const size_t in = between(&c, 1, i % 5 ? 300 : 1500), out = between(&c, 1, i % 3 ? 70 : 200);
        const size_t group = i % 4 == 0 ? in : i % 4 == 1 ? between(&c, 1, in) : in < 64 ? in : i % 4 == 2 ? 64 : 16;
        check_weight_from_dense(&c, (DType)(i % 3), bits[i / 3 % 4], out, in, group, i % 2);
    }
    c.device->ops->destroy(c.device);
    c.reference->ops->destroy(c.reference);
}

static void equals_a_plain_computation(void **state) {
    (void)state;
    for (size_t set = 0; set < CPU_SETS; set++) {
        shapes(cpu_sets[set], 1);
        shapes(cpu_sets[set], 3);
    }
}

static void what_is_quantized_is_not_quantized_again(void **state) {
    (void)state;
    const uint16_t w[64] = {0x3F80, 0x4000}; // BF16
    const WeightQuantizing how = {.bits = 4, .group = 16, .scale_dtype = DTYPE_BF16};
    const ActivationScheme scheme = {.mode = ACTIVATION_NONE};
    Backend *b;
    Weight *dense, *packed, *again;
    Error err = {0};
    assert_true(backend_cpu_new(1, &b, &err));
    assert_true(b->ops->weight_dense(b, DTYPE_BF16, w, 4, 16, NULL, PRECISION_NATIVE, &dense, &err));
    assert_true(b->ops->weight_from_dense(b, dense, &how, &scheme, NULL, NULL, &packed, &err));
    assert_false(b->ops->weight_from_dense(b, packed, &how, &scheme, NULL, NULL, &again, &err));
    assert_non_null(strstr(err.message, "quantized already"));
    const WeightQuantizing odd = {.bits = 5, .group = 16, .scale_dtype = DTYPE_BF16};
    assert_false(b->ops->weight_from_dense(b, dense, &odd, &scheme, NULL, NULL, &again, &err));
    assert_null(again);
    b->ops->weight_free(b, packed);
    b->ops->weight_free(b, dense);
    b->ops->destroy(b);
}

int main(void) {
    cpu_sets_begin();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equals_a_plain_computation),
        cmocka_unit_test(what_is_quantized_is_not_quantized_again),
    };
    return cpu_sets_end(cmocka_run_group_tests_name("from_dense", tests, NULL, NULL));
}
