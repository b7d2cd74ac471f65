// How fast the CPU kernels are: decode as a share of what a plain read of memory reaches, prefill in products per
// second.
#include <math.h>
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/clock.h"
#include "kernels/backend.h"
#include "kernels/measure.h"

static volatile uint64_t sink;

// Seconds of the fastest of several runs of `body`, half a second in all.
#define FASTEST(SECONDS, BODY)                                      \
    do {                                                            \
        (SECONDS) = INFINITY;                                       \
        double until = clock_seconds() + 0.5;                       \
        do {                                                        \
            double started = clock_seconds();                       \
            BODY;                                                   \
            (SECONDS) = fmin((SECONDS), clock_seconds() - started); \
        } while (clock_seconds() < until);                          \
    } while (0)

static uint64_t read_words(const uint64_t *data, size_t n, int threads) {
    uint64_t sum = 0;
#pragma omp parallel for schedule(static) reduction(+ : sum) num_threads(threads)
    for (size_t i = 0; i < n; i++) sum += data[i];
    return sum;
}

static double read_rate(int threads) {
    size_t n = (size_t)32 << 20;
    uint64_t *data = array_new(n, sizeof *data);
    if (!data) return NAN;
    memset(data, 1, n * sizeof *data);
    double seconds;
    FASTEST(seconds, sink = read_words(data, n, threads));
    free(data);
    return (double)(n * sizeof *data) / seconds;
}

typedef struct Scheme {
    const char *name;
    int bits; // 0: dense
    DType dtype;
    Precision precision;
    ActivationMode mode;
} Scheme;

static const Scheme schemes[] = {
    {"BF16", 0, DTYPE_BF16, PRECISION_NATIVE, 0}, {"BF16, float products", 0, DTYPE_BF16, PRECISION_F32, 0},
    {"F16", 0, DTYPE_F16, PRECISION_NATIVE, 0},   {"F32", 0, DTYPE_F32, PRECISION_F32, 0},
    {"int8", 8, DTYPE_F16, 0, ACTIVATION_NONE},   {"int4", 4, DTYPE_F16, 0, ACTIVATION_NONE},
    {"int3", 3, DTYPE_F16, 0, ACTIVATION_NONE},   {"int2", 2, DTYPE_F16, 0, ACTIVATION_NONE},
    {"W8A8", 8, DTYPE_F16, 0, ACTIVATION_TOKEN},  {"W4A8", 4, DTYPE_F16, 0, ACTIVATION_TOKEN},
};

static Weight *weight_of(Backend *b, const Scheme *s, size_t out, size_t in, void **data) {
    Weight *weight = NULL;
    *data = NULL;
    if (s->bits == 0) {
        *data = array_new(out * in, dtype_bytes(s->dtype));
        if (*data) b->ops->weight_dense(b, s->dtype, *data, out, in, NULL, s->precision, &weight, NULL);
        return weight;
    }
    QuantizedWeight q;
    if (!quantized_weight_new(out, in, 64, s->bits, s->dtype, &q, NULL)) return NULL;
    b->ops->weight_quantized(b, &q, &(ActivationScheme){.mode = s->mode}, NULL, &weight, NULL);
    quantized_weight_free(&q);
    return weight;
}

static double seconds_of(Backend *b, const Scheme *s, size_t out, size_t in, size_t tokens, size_t *bytes) {
    void *data;
    Weight *weight = weight_of(b, s, out, in, &data);
    float *x = b->ops->memory_new(b, tokens * in * sizeof *x, NULL),
          *y = b->ops->memory_new(b, tokens * out * sizeof *y, NULL);
    double seconds = NAN;
    if (weight && x && y) {
        for (size_t i = 0; i < tokens * in; i++) x[i] = (float)(i % 11) / 11;
        *bytes = b->ops->weight_bytes(weight);
        FASTEST(seconds, b->ops->linear(b, weight, x, tokens, y));
    }
    b->ops->memory_free(b, x);
    b->ops->memory_free(b, y);
    b->ops->weight_free(b, weight);
    free(data);
    return seconds;
}

static void print_rates(Backend *b, double read) {
    static const size_t prefill[][3] = {
        {256, 256, 768}, {512, 768, 256}, {128, 5632, 2048}, {32, 2048, 5632}}; // tokens, in, out
    printf("%-22s %10s %6s %10s", "group 64, F16 scales", "decode", "share", "in cache");
    for (size_t p = 0; p < 4; p++) printf("  %3zu×%zu×%zu", prefill[p][0], prefill[p][1], prefill[p][2]);
    printf("\n");
    for (size_t i = 0; i < sizeof schemes / sizeof *schemes; i++) {
        size_t bytes = 0;
        double large = seconds_of(b, &schemes[i], 32000, 4096, 1, &bytes);
        printf("%-22s %5.1f GB/s %4.0f %%", schemes[i].name, (double)bytes / large * 1e-9,
               100 * (double)bytes / large / read);
        double small = seconds_of(b, &schemes[i], 768, 256, 1, &bytes);
        printf(" %7.1f µs", small * 1e6);
        for (size_t p = 0; p < 4; p++) {
            const size_t *s = prefill[p];
            double seconds = seconds_of(b, &schemes[i], s[2], s[1], s[0], &bytes);
            printf(" %7.0f Gop/s", 2e-9 * (double)(s[0] * s[1] * s[2]) / seconds);
        }
        printf("\n");
        fflush(stdout);
    }
}

static void print_measuring(void) {
    size_t rows = 8192, columns = 4096, n = rows * columns;
    uint16_t *data = array_new(n, sizeof *data);
    float *least = array_new(n / 16, sizeof *least), *greatest = array_new(n / 16, sizeof *greatest);
    if (data && least && greatest) {
        uint64_t state = 1;
        for (size_t i = 0; i < n; i++) { // roughly what trained weights look like
            float value = 0;
            for (int k = 0; k < 4; k++)
                value += (float)((state = state * 6364136223846793005u + 1442695040888963407u) >> 40) * 0x1p-24f - 0.5f;
            data[i] = float_to_bf16(value * 0.05f);
        }
        double seconds;
        for (size_t group = 16; group <= 256; group *= 4) {
            FASTEST(seconds, group_ranges(DTYPE_BF16, data, rows, columns, group, least, greatest));
            printf("ranges, group %3zu  %5.1f GB/s\n", group, (double)n * 2e-9 / seconds);
        }
    }
    free(data), free(least), free(greatest);
}

// bench_kernels [THREADS]
int main(int argc, char **argv) {
    backend_cpu_waiting(argv);
    Backend *b;
    Error err;
    int threads = argc > 1 ? atoi(argv[1]) : omp_get_num_procs();
    if (!backend_cpu_new(threads, &b, &err)) {
        fprintf(stderr, "%s\n", err.message);
        return 1;
    }
    double read = read_rate(threads);
    printf("%s, plain read %.1f GB/s\n", b->ops->describe(b), read * 1e-9);
    print_rates(b, read);
    print_measuring();
    b->ops->destroy(b);
    return 0;
}
