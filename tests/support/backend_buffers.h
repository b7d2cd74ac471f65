// For the checks of backend_checks.h: memory of a backend, amounts of cases, comparing.
#pragma once

#include "tests/support/backend_checks.h"

// ---- How much ----

typedef struct Amount {
    int all, few;
} Amount;
// Cases where the checks run: on the host, emulated, on a device.
int amount(const Checks *, Amount host, Amount emulated, Amount device);
static inline size_t at(const Checks *c, size_t host, size_t emulated, size_t device) {
    return c->place == ON_HOST ? host : c->place == EMULATED ? emulated : device;
}
// A bound: `host` where the words of kernels/host compute, else `device`, whose functions and order of sums are its
// own.
static inline double bound(const Checks *c, double host, double device) { return c->place == ON_HOST ? host : device; }
// Before case i: every second one runs emulated threads in the other order.
void turn(Checks *, int i);

// ---- Memory ----

float *host_floats(size_t n); // zeros
float *random_floats(Checks *, size_t n, double deviation);
// In memory of the backend, with NaN around it on the host: whoever reads or writes where nobody asked is found out.
// Around an emulated device's memory the emulation looks itself.
float *put(Checks *, const float *host, size_t n); // a copy; NULL stays NULL
float *put_nothing(Checks *, size_t n);            // NaN
float *take(Checks *, float *data, size_t n);      // back to the host; frees the backend's
void drop(Checks *, float *data, size_t n);        // NULL is fine

// Floats as dtype, at an odd address; values get what was stored. Free with free(*block).
void *stored_as(DType dtype, float *values, size_t n, void **block);

// ---- Comparing ----

// |y − expected| ≤ tolerance · sizes[i], or tolerance · |expected| without sizes. NaN must meet NaN.
void compare(const char *what, const float *y, const double *expected, const double *sizes, size_t n, double tolerance);
// The same in parts of |expected|; on a device also of a hundredth of the largest, for differences of large numbers.
void compare_here(const Checks *, const char *what, const float *y, const double *expected, size_t n, double host,
                  double device);
double *doubles(size_t n); // zeros

// The launches since `before`.
static inline size_t launched(const Checks *c, size_t before) { return c->launches ? *c->launches - before : 0; }

// ---- Products ----

QuantizedWeight random_quantized(Checks *, const QuantizedCase *);
float *linear_result(Checks *, const Weight *, const float *x, size_t in, size_t tokens, size_t out);

// ---- The rows of the list ----

void dense_cases(Checks *);
void quantized_cases(Checks *);
void quantized_extremes(Checks *);
void weight_refusals(Checks *);
void linears_cases(Checks *);
void mixture_cases(Checks *);
void mixture_formats(Checks *);
void not_finite_cases(Checks *);
void from_dense_cases(Checks *);
void from_dense_regular(Checks *);
void memory_cases(Checks *);
void norm_cases(Checks *);
void elementwise_cases(Checks *);
void row_cases(Checks *);
void rope_cases(Checks *);
void embed_cases(Checks *);
void choose_cases(Checks *);
void measure_cases(Checks *);
void step_cases(Checks *);
void fused_cases(Checks *);
void attention_cases(Checks *);
void attention_shapes(Checks *);
void many_token_cases(Checks *);
void following_cases(Checks *);
void spoiled_cases(Checks *);
void recurrence_cases(Checks *);
