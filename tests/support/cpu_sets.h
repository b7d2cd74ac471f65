// The CPU backend in every set of kernels that this processor has, for tests of kernels: begin first, end last.
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/array.h"
#include "base/random.h"
#include "kernels/backend.h"
#include "tests/support/slow_checks.h"

static const char *const cpu_sets[] = {"scalar", "avx2", "avx512"};
enum { CPU_SETS = sizeof cpu_sets / sizeof *cpu_sets };

static char *only_set; // QUANTDIAL_CPU as the tests were started: then no other set is run
static bool thorough;  // not under valgrind or the sanitizers
static Random random_state;

static inline void cpu_sets_begin(void) {
    const char *set = getenv("QUANTDIAL_CPU");
    only_set = set ? strdup(set) : NULL;
    thorough = many_cases();
}

static inline int cpu_sets_end(int failed) {
    free(only_set);
    return failed;
}

static inline float *normal_floats(size_t n, double deviation) {
    float *values = array_new(n, sizeof *values);
    assert_non_null(values);
    for (size_t i = 0; i < n; i++) values[i] = (float)(deviation * random_normal(&random_state));
    return values;
}

// NULL where the processor lacks the set.
static inline Backend *backend_of(const char *set, int threads) {
    if (only_set && strcmp(set, only_set) != 0) return NULL;
    setenv("QUANTDIAL_CPU", set, 1);
    Backend *backend = NULL;
    Error err = {0};
    if (!backend_cpu_new(threads, &backend, &err)) assert_non_null(strstr(err.message, "lacks"));
    return backend;
}

// Runs `body` on each backend there is, with one and with three threads.
static inline void for_backends(void (*body)(Backend *, void *context), void *context) {
    for (size_t set = 0; set < CPU_SETS; set++) {
        for (int threads = 1; threads <= 3; threads += 2) {
            Backend *b = backend_of(cpu_sets[set], threads);
            if (!b) continue;
            body(b, context);
            b->ops->destroy(b);
        }
    }
}
