// The CPU backend in every instruction set that this processor has: the list of tests/support/backend_checks.h, and
// what only this backend has.
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support/backend_checks.h"
#include "tests/support/cpu_sets.h"

static Backend *scalar_backend(void) {
    Backend *b;
    setenv("QUANTDIAL_CPU", "scalar", 1);
    assert_true(backend_cpu_new(1, &b, NULL));
    return b;
}

typedef struct OneTest {
    const char *name;
    Backend *reference;
} OneTest;

static void run_on(Backend *b, void *context) {
    const OneTest *test = context;
    Checks c = {.b = b, .reference = test->reference, .place = ON_HOST, .thorough = thorough};
    run_backend_checks(&c, test->name);
}

static void backend_test(void **state) {
    OneTest test = {*state, scalar_backend()};
    for_backends(run_on, &test);
    test.reference->ops->destroy(test.reference);
}

static void every_operation_has_cases(void **state) {
    (void)state;
    if (!thorough) skip(); // not a second time under valgrind
    Backend *b = scalar_backend(), *reference = scalar_backend();
    operations_are_covered(&(Checks){.b = b, .reference = reference, .place = ON_HOST}, NULL);
    b->ops->destroy(b);
    reference->ops->destroy(reference);
}

static void test_library_gives_up_old_shapes(void **state) {
    (void)state;
    if (!slow_checks()) skip();
    Checks c = {.b = backend_of("avx512", 2), .place = ON_HOST, .random = random_seeded(7)};
    if (!c.b) return;
    for (size_t tokens = 9; tokens < 150; tokens++) check_dense(&c, DTYPE_BF16, PRECISION_NATIVE, 9, 11, tokens);
    check_dense(&c, DTYPE_BF16, PRECISION_NATIVE, 40, 33, 600); // more tokens than are prepared at a time
    c.b->ops->destroy(c.b);
}

static void test_choice_of_instructions(void **state) {
    (void)state;
    Backend *b = backend_of(only_set ? only_set : "scalar", 2);
    assert_non_null(b);
    char expected[32];
    snprintf(expected, sizeof expected, "%s ×2", only_set ? only_set : "scalar");
    assert_string_equal(b->ops->describe(b), expected);
    b->ops->destroy(b);
    Error err = {0};
    setenv("QUANTDIAL_CPU", "neon9", 1);
    assert_false(backend_cpu_new(1, &b, &err));
    assert_non_null(strstr(err.message, "neon9"));
}

static bool begin_nothing(Backend *b) {
    (void)b;
    return false;
}

static void missing_operations_are_noticed(void **state) {
    (void)state;
    Backend *b = scalar_backend();
    BackendOps ops = *b->ops;
    assert_true(backend_is_complete(&ops));
    ops.attention = NULL;
    assert_false(backend_is_complete(&ops));
    ops = *b->ops;
    ops.destroy = NULL;
    assert_false(backend_is_complete(&ops));
    ops = *b->ops;
    ops.step_begin = begin_nothing; // without the others that go with it
    assert_false(backend_is_complete(&ops));
    b->ops->destroy(b);
}

int main(void) {
    enum { ROOM = 24 };
    cpu_sets_begin();
    struct CMUnitTest tests[ROOM] = {
        cmocka_unit_test(every_operation_has_cases), // first, while there are no threads
        cmocka_unit_test(missing_operations_are_noticed),
        cmocka_unit_test(test_library_gives_up_old_shapes),
        cmocka_unit_test(test_choice_of_instructions),
    };
    add_backend_tests(tests, ROOM, backend_test);
    return cpu_sets_end(cmocka_run_group_tests(tests, NULL, NULL));
}
