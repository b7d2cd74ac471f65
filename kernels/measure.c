#include "kernels/measure.h"

#include <omp.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "kernels/cpu/kernels.h"

enum { PATTERNS = 65536 };
// Four tables taken in turn, so that runs of one value do not wait for each other's increments.
enum { TABLES = 4 };
// Below so many elements the tables would cost more than the counting.
enum { FEW = 1 << 17 };
// Elements between two emptyings of the 32-bit tables: no entry can pass 2^32.
#define BATCH ((size_t)1 << 30)

static const CpuKernels *kernels_here(void) {
    const CpuKernels *kernels = cpu_kernels_choose(NULL);
    return kernels ? kernels : &cpu_kernels_scalar; // whoever makes a backend reports the wrong setting
}

static uint16_t pattern_at(DType dtype, const unsigned char *data, size_t i) {
    uint16_t pattern;
    memcpy(&pattern, dtype == DTYPE_F32 ? data + i * 4 + 2 : data + i * 2, sizeof pattern); // little-endian
    return pattern;
}

static inline void count_eight_bytes(DType dtype, uint64_t bytes, uint32_t (*tables)[PATTERNS]) {
    tables[0][dtype == DTYPE_F32 ? bytes >> 16 & 0xFFFF : bytes & 0xFFFF]++;
    if (dtype != DTYPE_F32) {
        tables[1][bytes >> 16 & 0xFFFF]++;
        tables[2][bytes >> 32 & 0xFFFF]++;
    }
    tables[3][bytes >> 48]++;
}

static inline __attribute__((always_inline)) void count_as(DType dtype, const unsigned char *data, size_t n,
                                                           uint32_t (*tables)[PATTERNS]) {
    size_t i = 0, per_word = 8 / dtype_bytes(dtype);
    for (; i + per_word <= n; i += per_word) {
        uint64_t bytes;
        memcpy(&bytes, data + i * 8 / per_word, sizeof bytes);
        count_eight_bytes(dtype, bytes, tables);
    }
    for (; i < n; i++) tables[0][pattern_at(dtype, data, i)]++;
}

static void empty_tables(uint32_t (*tables)[PATTERNS], uint64_t *counts) {
#pragma omp critical(quantdial_count_patterns)
    for (size_t p = 0; p < PATTERNS; p++)
        counts[p] += (uint64_t)tables[0][p] + tables[1][p] + tables[2][p] + tables[3][p];
    memset(tables, 0, sizeof(uint32_t[TABLES][PATTERNS]));
}

static void count_directly(DType dtype, const unsigned char *data, size_t n, uint64_t *counts) {
#pragma omp critical(quantdial_count_patterns)
    for (size_t i = 0; i < n; i++) counts[pattern_at(dtype, data, i)]++;
}

// One thread's part.
static void count_part(DType dtype, const unsigned char *data, size_t n, uint64_t *counts) {
    uint32_t(*tables)[PATTERNS] = array_new(TABLES, sizeof *tables);
    if (!tables) {
        count_directly(dtype, data, n, counts);
        return;
    }
    for (size_t from = 0; from < n; from += BATCH) {
        size_t count = n - from < BATCH ? n - from : BATCH;
        if (dtype == DTYPE_F32) {
            count_as(DTYPE_F32, data + from * 4, count, tables);
        } else {
            count_as(DTYPE_BF16, data + from * 2, count, tables);
        }
        empty_tables(tables, counts);
    }
    free(tables);
}

void count_patterns(DType dtype, const void *data, size_t n, uint64_t *counts) {
    if (n < FEW) {
        count_directly(dtype, data, n, counts);
        return;
    }
    // Every thread pays for its tables, so it gets work that is worth them.
#pragma omp parallel num_threads(n / FEW < (size_t)cpu_cores() ? (int)(n / FEW) : cpu_cores())
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
    const CpuKernels *kernels = kernels_here();
    size_t groups = (columns + group - 1) / group, size = dtype_bytes(dtype);
#pragma omp parallel for schedule(static) num_threads(cpu_cores()) if (rows * columns > 65536)
    for (size_t row = 0; row < rows; row++) {
        const char *from = (const char *)data + row * columns * size;
        for (size_t g = 0; g < groups; g++) {
            size_t n = g + 1 < groups ? group : columns - g * group;
            kernels->range(dtype, from + g * group * size, n, &minima[row * groups + g], &maxima[row * groups + g]);
        }
    }
}

void column_absmax(DType dtype, const void *data, size_t rows, size_t columns, float *absmax) {
    enum { STRIP = 256 };
    const CpuKernels *kernels = kernels_here();
    const size_t size = dtype_bytes(dtype);
    float piece[STRIP];
    for (size_t j = 0; j < columns; j += STRIP) {
        size_t n = columns - j < STRIP ? columns - j : STRIP;
        for (size_t row = 0; row < rows; row++) {
            kernels->widen(dtype, (const char *)data + (row * columns + j) * size, n, piece);
            kernels->absmax_columns(piece, 1, n, n, absmax + j);
        }
    }
}

void absmax_update(const float *x, size_t tokens, size_t width, float *channel, float *token) {
    const CpuKernels *kernels = kernels_here();
    const size_t strip = 256; // columns that a thread takes at a time
#pragma omp parallel num_threads(cpu_cores()) if (tokens * width > 32768)
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
