// How fast one core measures and quantizes weights, each part and all of it, in time that the thread was given: what
// else the machine does counts little. Prints figures, judges nothing.
#include <math.h>
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "analysis/stats.h"
#include "base/array.h"
#include "base/random.h"
#include "kernels/backend.h"
#include "kernels/host/kernels.h"
#include "kernels/host/measure.h"
#include "quant/quantize.h"
#include "quant/vote_counts.h"

enum { ROWS = 8192, COLUMNS = 2048, RUNS = 7 };
#define BYTES ((double)ROWS * COLUMNS * 2)

// Median rate of some runs.
#define RATE(NAME, BODY)                                                                  \
    do {                                                                                  \
        double times[RUNS];                                                               \
        for (int run = 0; run < RUNS; run++) {                                            \
            double start = cpu_seconds();                                                 \
            BODY;                                                                         \
            times[run] = cpu_seconds() - start;                                           \
        }                                                                                 \
        qsort(times, RUNS, sizeof *times, by_value);                                      \
        printf("%-28s %6.2f GB/s (%5.2f … %.2f)\n", NAME, BYTES * 1e-9 / times[RUNS / 2], \
               BYTES * 1e-9 / times[RUNS - 1], BYTES * 1e-9 / times[0]);                  \
        fflush(stdout);                                                                   \
    } while (0)

static double cpu_seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int by_value(const void *a, const void *b) {
    return (*(const double *)a > *(const double *)b) - (*(const double *)a < *(const double *)b);
}

static volatile uint64_t sink;

static void measure(DType dtype, const uint16_t *w) {
    Tensor tensor = {.name = "w", .dtype = dtype, .data = w, .bytes = (size_t)BYTES};
    Linear linear = {.name = (char *)"w", .out = ROWS, .in = COLUMNS, .weight = &tensor};
    ModelStructure structure = {.linears = &linear, .linear_count = 1, .input_count = 1};
    const size_t groups = (size_t)ROWS * COLUMNS / LADDER_FLOOR;
    float *low = array_new(groups, sizeof *low), *high = array_new(groups, sizeof *high);
    float *columns = array_new(COLUMNS, sizeof *columns);
    PatternCounter *counter = pattern_counter_new();
    VoteTally *tally;
    double *squares = NULL;
    if (!low || !high || !columns || !counter || !vote_tally_new(COLUMNS, LADDER_FLOOR, &tally, NULL)) exit(1);
    squares = array_new(ROWS * vote_tally_squares(tally), sizeof *squares);
    if (!squares) exit(1);
    printf("%s, one thread\n", dtype_name(dtype));
    uint64_t sum = 0;
    RATE("reading", {
        for (size_t i = 0; i < (size_t)BYTES / 8; i++) sum += ((const uint64_t *)(const void *)w)[i];
        sink = sum;
    });
    RATE("histogram", pattern_counter_add(counter, dtype, w, (size_t)ROWS * COLUMNS));
    RATE("ranges of 16", group_ranges(dtype, w, ROWS, COLUMNS, LADDER_FLOOR, low, high));
    RATE("votes", vote_tally_add(tally, low, high, ROWS, squares));
    RATE("absmax of columns", column_absmax(dtype, w, ROWS, COLUMNS, columns));
    RATE("all statistics", {
        ModelStats stats;
        Error err;
        if (!model_stats_new(&structure, &stats, &err) || !weight_stats_measure(&structure, 0, &stats, &err)) exit(1);
        model_stats_free(&stats);
    });
    free(squares);
    vote_tally_free(tally);
    pattern_counter_free(counter);
    free(low), free(high), free(columns);
}

static void quantize(DType dtype, const uint16_t *w, size_t group, bool errors) {
    Tensor tensor = {.name = "w", .dtype = dtype, .data = w, .bytes = (size_t)BYTES};
    Linear linear = {.name = (char *)"w", .out = ROWS, .in = COLUMNS, .weight = &tensor};
    Decision decision = {.bits = 4, .group = group, .granularity = GRANULARITY_GROUP, .scale_dtype = dtype};
    WeightError error;
    QuantizedWeight q;
    Packed packed;
    char name[64];
    snprintf(name, sizeof name, "int4 group %zu%s", group, errors ? ", errors" : "");
    RATE(name, {
        if (!quantize_linear(&linear, &decision, NULL, NULL, &q, errors ? &error : NULL, NULL)) exit(1);
        quantized_weight_free(&q);
    });
    snprintf(name, sizeof name, "  … and packed");
    RATE(name, {
        if (!quantize_linear(&linear, &decision, NULL, NULL, &q, errors ? &error : NULL, NULL)) exit(1);
        if (!packed_new(&q, host_kernels()->coding, 1, &packed, NULL)) exit(1);
        quantized_weight_free(&q);
        packed_free(&packed);
    });
    Backend *b;
    Weight *dense, *weight;
    const WeightQuantizing how = {.bits = 4, .group = group, .scale_dtype = dtype};
    const ActivationScheme scheme = {.mode = ACTIVATION_NONE};
    double *sums = errors ? array_new((size_t)2 * ROWS, sizeof *sums) : NULL;
    if (!backend_cpu_new(1, &b, NULL) ||
        !b->ops->weight_dense(b, dtype, w, ROWS, COLUMNS, NULL, PRECISION_NATIVE, &dense, NULL))
        exit(1);
    snprintf(name, sizeof name, "  … at once");
    RATE(name, {
        if (!b->ops->weight_from_dense(b, dense, &how, &scheme, NULL, sums, &weight, NULL)) exit(1);
        b->ops->weight_free(b, weight);
    });
    b->ops->weight_free(b, dense);
    b->ops->destroy(b);
    free(sums);
}

int main(void) {
    omp_set_num_threads(1);
    uint16_t *w = array_new((size_t)ROWS * COLUMNS, sizeof *w);
    if (!w) return 1;
    for (DType dtype = DTYPE_F16; dtype <= DTYPE_BF16; dtype++) {
        Random random = random_seeded(1);
        for (size_t i = 0; i < (size_t)ROWS * COLUMNS; i++) {
            float value = 0.02f * (float)random_normal(&random);
            w[i] = dtype == DTYPE_F16 ? float_to_f16(value) : float_to_bf16(value);
        }
        measure(dtype, w);
        quantize(dtype, w, 64, false);
        quantize(dtype, w, 64, true);
        quantize(dtype, w, COLUMNS, true);
    }
    free(w);
    return 0;
}
