// Exact histograms: bit patterns → sorted values, then bins and percentiles without a second look at the data.
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/stats.h"
#include "base/array.h"
#include "kernels/host/measure.h"

// Walks all patterns in ascending order of their values: negative ones from the largest magnitude down, then positive
// ones.
static uint16_t pattern_at(uint32_t rank) { return (uint16_t)(rank < 0x8000 ? 0xFFFF - rank : rank - 0x8000); }

static size_t distinct_values(DType dtype, const uint64_t *patterns, uint64_t *nonfinite) {
    size_t distinct = 0;
    *nonfinite = 0;
    for (uint32_t p = 0; p < 65536; p++) {
        if (!patterns[p]) continue;
        if (isfinite(pattern_value(dtype, (uint16_t)p)))
            distinct++;
        else
            *nonfinite += patterns[p];
    }
    return distinct;
}

bool value_counts_from_patterns(DType dtype, const uint64_t *patterns, ValueCounts *out, uint64_t *nonfinite,
                                Error *err) {
    size_t room = distinct_values(dtype, patterns, nonfinite);
    *out = (ValueCounts){.values = array_new(room, sizeof(float)), .counts = array_new(room, sizeof(uint64_t))};
    if (!out->values || !out->counts) {
        value_counts_free(out);
        return error_memory(err, "the histogram of a matrix");
    }
    for (uint32_t rank = 0; rank < 65536; rank++) {
        uint16_t pattern = pattern_at(rank);
        if (!patterns[pattern]) continue;
        float value = pattern_value(dtype, pattern);
        if (!isfinite(value)) continue;
        // −0 and +0 are neighbours in this order; they become one value.
        bool same = out->length && out->values[out->length - 1] == value;
        if (!same) out->values[out->length++] = value + 0.0f;
        out->counts[out->length - 1] += patterns[pattern];
    }
    return true;
}

void value_counts_free(ValueCounts *counts) {
    free(counts->values);
    free(counts->counts);
    *counts = (ValueCounts){0};
}

void value_counts_bins(const ValueCounts *counts, double low, double high, int bins, uint64_t *out) {
    memset(out, 0, (size_t)bins * sizeof *out);
    double per_unit = high > low ? bins / (high - low) : 0;
    for (size_t i = 0; i < counts->length; i++) {
        double place = floor((counts->values[i] - low) * per_unit);
        int bin = place < 0 ? 0 : place >= bins ? bins - 1 : (int)place;
        out[bin] += counts->counts[i];
    }
}
