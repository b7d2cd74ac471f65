// One list for every backend: the operations of kernels/backend.h, the cases in which each is tried, and what its
// results may differ by. What is right comes from plain sums in double, or from integers where a result is defined to
// the last bit, so the scalar set of the CPU is checked by the same list as the others, an emulated device and a real
// one. Numbers are random, outputs are poisoned. What is wrong fails the running test.
//
// A new operation gets a row of backend_checks and its cases in checks_*.c; tests of the backends go through all rows,
// and operations_are_covered fails for an operation without one.
#pragma once

#include <stddef.h>

#include "base/random.h"
#include "kernels/backend.h"

// Decides how many cases there are, how large, and which bounds hold.
typedef enum CheckedPlace { ON_HOST, EMULATED, ON_DEVICE, PLACES } CheckedPlace;

typedef struct Checks {
    Backend *b;         // what is checked
    Backend *reference; // the scalar CPU backend with one thread; only for what is defined by code (choosing a token)
    CheckedPlace place;
    bool no_f16;   // weight-only products of many tokens are in integers
    bool thorough; // false: few cases, for valgrind and the sanitizers
    Random random;
    const size_t *launches; // of the device so far; NULL where nobody counts
    bool *backwards;        // turns the order of emulated threads round; NULL where there is none
} Checks;

// Which function of BackendOps, counted from 1.
#define OPERATION(NAME) ((offsetof(BackendOps, NAME) - offsetof(BackendOps, destroy)) / sizeof(void (*)(void)) + 1)

typedef struct BackendCheck {
    const char *test; // rows of the same name, side by side, are one test
    void (*cases)(Checks *);
    size_t operations[8]; // that these cases call, 0 at the end
} BackendCheck;
extern const BackendCheck backend_checks[];

// Those of one test. Every row begins with the same random numbers, whatever ran before.
void run_backend_checks(Checks *, const char *test);
// Appends a test for each name of the list to those that are there (up to the first without a function); `run` finds
// the name in *state. The array must have room for them. Returns how many tests there are now.
struct CMUnitTest;
size_t add_backend_tests(struct CMUnitTest *tests, size_t room, void (*run)(void **state));

// Each operation in turn is taken away, in a child process, and the row that names it must miss it. `only`: those that
// this backend lacks are left out, being another's (NULL: none are).
void operations_are_covered(Checks *, const BackendOps *only_without);

static inline size_t between(Checks *c, size_t least, size_t most) {
    return least + random_below(&c->random, (uint32_t)(most - least + 1));
}

// ---- Single cases, for tests that choose their device or their shapes ----

typedef struct QuantizedCase {
    Grid grid;
    int bits;
    size_t out, in, group, tokens;
    ActivationMode mode;
    DType scale_dtype;
    float outlier; // one activation of every token is so many times larger
    Precision precision;
    double deviation; // of the activations; 0: 1
} QuantizedCase;

void check_dense(Checks *, DType, Precision, size_t out, size_t in, size_t tokens);
// Products of integers must be equal to the last bit, others within the bounds of docs/kernels.md.
void check_quantized(Checks *, const QuantizedCase *);
// A weight-only product in 16-bit floats against its own definition (kernels/cuda/kernels_f16.h), in which only the
// sums are left to chance. spread: of the scales of a row, in powers of two. Returns the largest difference from the
// exact product, relative to the largest result.
double check_f16_product(Checks *, const QuantizedCase *, int spread);
// Cases first … end − 1 of those that go through every grid, number of bits and kind of activations, 64 in all, again
// and again; sizes up to the given ones, with 8 tokens or fewer in every second case.
typedef struct QuantizedSizes {
    int first, end;
    size_t out, in, tokens;
} QuantizedSizes;
void check_quantized_mix(Checks *, const QuantizedSizes *);

// An operation as a recorded step, which is not run: no launch of it may be refused. The same of products of few and
// many tokens.
typedef void (*RecordedOperation)(Backend *, const void *context);
void check_recorded(Checks *, const char *what, RecordedOperation, const void *context);
void check_recorded_products(Checks *, const QuantizedCase *);
