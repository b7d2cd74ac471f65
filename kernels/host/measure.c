#include "kernels/host/measure.h"

#include <omp.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "kernels/host/kernels.h"
#include "kernels/host/scan.h"
#include "kernels/standing_out.h"

enum { PATTERNS = 65536 };
// Below this many elements the tables would cost more than the counting.
enum { FEW = 1 << 17 };

// Two tables taken in turn, so that runs of one value do not wait for each other's increments; more would not stay in
// the first-level cache. F16 has more values than fit there, and fewer runs: it is counted in one.
struct PatternCounter {
    uint32_t tables[2][PATTERNS];
    uint64_t pending; // elements in the tables: no entry may pass 2^32
    uint64_t totals[PATTERNS];
};

static uint16_t pattern_at(DType dtype, const unsigned char *data, size_t i) {
    uint16_t pattern;
    memcpy(&pattern, dtype == DTYPE_F32 ? data + i * 4 + 2 : data + i * 2, sizeof pattern); // little-endian
    return pattern;
}

static void count_16(const unsigned char *data, size_t n, uint32_t *even, uint32_t *odd) {
    size_t whole = n / 4 * 4;
    for (size_t i = 0; i < whole; i += 4) {
        uint64_t four;
        memcpy(&four, data + i * 2, sizeof four);
        even[four & 0xFFFF]++;
        odd[four >> 16 & 0xFFFF]++;
        even[four >> 32 & 0xFFFF]++;
        odd[four >> 48]++;
    }
    for (size_t i = whole; i < n; i++) even[pattern_at(DTYPE_BF16, data, i)]++;
}

static void count_f32(const unsigned char *data, size_t n, uint32_t *even, uint32_t *odd) {
    for (size_t i = 0; i < n; i++) (i & 1 ? odd : even)[pattern_at(DTYPE_F32, data, i)]++;
}

PatternCounter *pattern_counter_new(void) { return array_new(1, sizeof(PatternCounter)); }
void pattern_counter_free(PatternCounter *counter) { free(counter); }

static void empty_tables(PatternCounter *counter) {
    for (size_t p = 0; p < PATTERNS; p++) counter->totals[p] += (uint64_t)counter->tables[0][p] + counter->tables[1][p];
    memset(counter->tables, 0, sizeof counter->tables);
    counter->pending = 0;
}

void pattern_counter_add(PatternCounter *counter, DType dtype, const void *data, size_t n) {
    const unsigned char *from = data;
    uint32_t *odd = counter->tables[dtype == DTYPE_F16 ? 0 : 1];
    while (n) {
        size_t part = n < (size_t)1 << 30 ? n : (size_t)1 << 30;
        if (counter->pending + part > UINT32_MAX) empty_tables(counter);
        (dtype == DTYPE_F32 ? count_f32 : count_16)(from, part, counter->tables[0], odd);
        counter->pending += part;
        from += part * dtype_bytes(dtype);
        n -= part;
    }
}

void pattern_counter_get(PatternCounter *counter, uint64_t *counts) {
    empty_tables(counter);
    for (size_t p = 0; p < PATTERNS; p++) counts[p] += counter->totals[p];
}

static void count_directly(DType dtype, const unsigned char *data, size_t n, uint64_t *counts) {
#pragma omp critical(quantdial_count_patterns)
    for (size_t i = 0; i < n; i++) counts[pattern_at(dtype, data, i)]++;
}

static void count_part(DType dtype, const unsigned char *data, size_t n, uint64_t *counts) {
    PatternCounter *counter = n < FEW / 2 ? NULL : pattern_counter_new();
    if (!counter) {
        count_directly(dtype, data, n, counts);
        return;
    }
    pattern_counter_add(counter, dtype, data, n);
#pragma omp critical(quantdial_count_patterns)
    pattern_counter_get(counter, counts);
    pattern_counter_free(counter);
}

void count_patterns(DType dtype, const void *data, size_t n, uint64_t *counts) {
    // Every thread pays for its tables, so it gets work that is worth them.
    int threads = n / FEW < (size_t)host_cores() ? (int)(n / FEW) : host_cores();
#pragma omp parallel num_threads(threads < 1 ? 1 : threads)
    {
        size_t part = (size_t)omp_get_thread_num(), parts = (size_t)omp_get_num_threads();
        size_t each = n / parts, from = part * each, to = part + 1 == parts ? n : from + each;
        count_part(dtype, (const unsigned char *)data + from * dtype_bytes(dtype), to - from, counts);
    }
}

float pattern_value(DType dtype, uint16_t pattern) {
    return dtype == DTYPE_F16 ? f16_to_float(pattern) : bf16_to_float(pattern);
}

void group_ranges(DType dtype, const void *data, size_t rows, size_t columns, size_t group, float *minima,
                  float *maxima) {
    const HostKernels *kernels = host_kernels();
    size_t groups = (columns + group - 1) / group, size = dtype_bytes(dtype);
    for (size_t row = 0; row < rows; row++) {
        const char *from = (const char *)data + row * columns * size;
        if (group == SCAN_GROUP && columns % SCAN_GROUP == 0 && dtype != DTYPE_F32) {
            kernels->scan->ranges(dtype, from, groups, &minima[row * groups], &maxima[row * groups]);
            continue;
        }
        for (size_t g = 0; g < groups; g++) {
            size_t n = g + 1 < groups ? group : columns - g * group;
            kernels->range(dtype, from + g * group * size, n, &minima[row * groups + g], &maxima[row * groups + g]);
        }
    }
}

enum { STRIP = 1024 };

static void strip_absmax(const HostKernels *kernels, DType dtype, const char *data, size_t rows, size_t row_bytes,
                         size_t n, float *absmax) {
    float piece[STRIP];
    for (size_t row = 0; row < rows; row++) {
        kernels->widen(dtype, data + row * row_bytes, n, piece);
        kernels->absmax_columns(piece, 1, n, n, absmax);
    }
}

// Compares bits, which without the sign are ordered as the values are. False when there is a NaN: its bits are above
// those of all numbers.
static bool strip_absmax_16(const ScanKernels *scan, DType dtype, const char *data, size_t rows, size_t row_bytes,
                            size_t n, float *absmax) {
    const uint16_t infinity = dtype == DTYPE_F16 ? 0x7C00 : 0x7F80;
    uint16_t patterns[STRIP] = {0};
    scan->magnitudes(data, rows, row_bytes, n, patterns);
    for (size_t j = 0; j < n; j++) {
        if (patterns[j] > infinity) return false;
    }
    for (size_t j = 0; j < n; j++) {
        float value = pattern_value(dtype, patterns[j]);
        absmax[j] = value > absmax[j] ? value : absmax[j];
    }
    return true;
}

void column_absmax(DType dtype, const void *data, size_t rows, size_t columns, float *absmax) {
    const HostKernels *kernels = host_kernels();
    const size_t size = dtype_bytes(dtype);
    for (size_t j = 0; j < columns; j += STRIP) {
        size_t n = columns - j < STRIP ? columns - j : STRIP;
        const char *from = (const char *)data + j * size;
        if (dtype == DTYPE_F32 || !strip_absmax_16(kernels->scan, dtype, from, rows, columns * size, n, absmax + j))
            strip_absmax(kernels, dtype, from, rows, columns * size, n, absmax + j);
    }
}

void absmax_update(const float *x, size_t tokens, size_t width, float *channel, float *token) {
    const HostKernels *kernels = host_kernels();
    const size_t strip = 256; // columns that a thread takes at a time
#pragma omp parallel num_threads(host_cores()) if (tokens * width > 32768)
    {
        if (channel) {
#pragma omp for schedule(static) nowait
            for (size_t j = 0; j < width; j += strip)
                kernels->absmax_columns(x + j, tokens, width, width - j < strip ? width - j : strip, channel + j);
        }
        if (token) {
#pragma omp for schedule(static)
            for (size_t t = 0; t < tokens; t++) token[t] = kernels->absmax(x + t * width, width);
        }
    }
}

// Of a few codes at a time, so that their sum is one of 32 bits.
static double sum_codes(const float *x, size_t width, float scale) {
    double sum = 0;
    for (size_t from = 0; from < width; from += 64) {
        const size_t end = width - from < 64 ? width : from + 64;
        uint32_t part = 0;
        for (size_t j = from; j < end; j++) part += (uint32_t)standing_code(x[j], scale);
        sum += part;
    }
    return sum;
}

static void count_above(const float *x, size_t n, float scale, int32_t limit, uint32_t *channel) {
    for (size_t j = 0; j < n; j++) channel[j] += standing_code(x[j], scale) > limit;
}

// Some tokens at a time: threads share these first, then the channels.
void count_standing_out(const float *x, size_t tokens, size_t width, const float *absmax, uint32_t *channel) {
    enum { AT_ONCE = 256, COLUMNS = 256 };
    float scales[AT_ONCE];
    int32_t limits[AT_ONCE];
    for (size_t from = 0; from < tokens; from += AT_ONCE, x += AT_ONCE * width) {
        const size_t count = tokens - from < AT_ONCE ? tokens - from : AT_ONCE;
#pragma omp parallel num_threads(host_cores()) if (count * width > 32768)
        {
#pragma omp for schedule(static)
            for (size_t t = 0; t < count; t++) {
                scales[t] = standing_scale(absmax[from + t]);
                limits[t] = standing_limit(sum_codes(x + t * width, width, scales[t]), width);
            }
#pragma omp for schedule(static)
            for (size_t j = 0; j < width; j += COLUMNS) {
                const size_t n = width - j < COLUMNS ? width - j : COLUMNS;
                for (size_t t = 0; t < count; t++) count_above(x + t * width + j, n, scales[t], limits[t], channel + j);
            }
        }
    }
}
