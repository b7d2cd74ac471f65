#include "analysis/statistics.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/accuracy.h"
#include "base/array.h"

static int by_float(const void *a, const void *b) {
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

bool median_of(const float *values, size_t n, float *out, Error *err) {
    float *sorted = array_new(n, sizeof *sorted);
    if (!sorted) return error_memory(err, "a median");
    memcpy(sorted, values, n * sizeof *sorted);
    qsort(sorted, n, sizeof *sorted, by_float);
    *out = n ? n % 2 ? sorted[n / 2] : (sorted[n / 2 - 1] + sorted[n / 2]) / 2 : 0;
    free(sorted);
    return true;
}

typedef struct Place {
    double value;
    size_t index;
} Place;

static int by_value(const void *a, const void *b) {
    double x = ((const Place *)a)->value, y = ((const Place *)b)->value;
    return (x > y) - (x < y);
}

// Ranks from 0; equal values get the mean of the places that they take. places: [n], scratch.
static void rank_values(const double *values, size_t n, Place *places, double *ranks) {
    for (size_t i = 0; i < n; i++) places[i] = (Place){values[i], i};
    qsort(places, n, sizeof *places, by_value);
    for (size_t first = 0, end; first < n; first = end) {
        for (end = first + 1; end < n && places[end].value == places[first].value;) end++;
        for (size_t i = first; i < end; i++) ranks[places[i].index] = (double)(first + end - 1) / 2;
    }
}

static double correlation_of(const double *a, const double *b, size_t n) {
    double mean_a = 0, mean_b = 0, ab = 0, aa = 0, bb = 0;
    for (size_t i = 0; i < n; i++) {
        mean_a += a[i] / (double)n;
        mean_b += b[i] / (double)n;
    }
    for (size_t i = 0; i < n; i++) {
        ab += (a[i] - mean_a) * (b[i] - mean_b);
        aa += (a[i] - mean_a) * (a[i] - mean_a);
        bb += (b[i] - mean_b) * (b[i] - mean_b);
    }
    return aa > 0 && bb > 0 ? ab / sqrt(aa * bb) : (double)NAN;
}

bool rank_correlation(const double *a, const double *b, size_t n, double *out, Error *err) {
    Place *places = array_new(n, sizeof *places);
    double *ranks = array_new(2 * n, sizeof *ranks);
    bool ok = places && ranks;
    if (ok) {
        rank_values(a, n, places, ranks);
        rank_values(b, n, places, ranks + n);
        *out = correlation_of(ranks, ranks + n, n);
    }
    free(places);
    free(ranks);
    return ok || error_memory(err, "ranks");
}

Difference paired_difference(const float *a, const float *b, size_t n) {
    double sum = 0, squares = 0;
    for (size_t i = 0; i < n; i++) {
        double d = (double)a[i] - (double)b[i];
        sum += d;
        squares += d * d;
    }
    if (!n) return (Difference){0, 0};
    double mean = sum / (double)n, variance = fmax(squares / (double)n - mean * mean, 0);
    return (Difference){mean, n > 1 ? sqrt(variance / (double)(n - 1)) : 0};
}

Differences paired_differences(const float *a, const float *b, size_t n) {
    return (Differences){.kl = paired_difference(a + POSITION_KL * n, b + POSITION_KL * n, n),
                         .nll = paired_difference(a + POSITION_NLL * n, b + POSITION_NLL * n, n),
                         .top1 = paired_difference(a + POSITION_TOP1 * n, b + POSITION_TOP1 * n, n)};
}
