// Measuring plain buffers: exact histograms of 16-bit values, ranges, maxima. One pass over the data each.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "kernels/dtype.h"

// How often each 16-bit pattern occurs among n elements; F32 is counted by its upper 16 bits. counts[65536] is added
// to.
void count_patterns(DType dtype, const void *data, size_t n, uint64_t *counts);

// The same piece by piece, each thread with a counter of its own.
typedef struct PatternCounter PatternCounter;
PatternCounter *pattern_counter_new(void); // NULL when memory is short
void pattern_counter_free(PatternCounter *counter);
void pattern_counter_add(PatternCounter *counter, DType dtype, const void *data, size_t n);
void pattern_counter_get(PatternCounter *counter, uint64_t *counts); // counts[65536] is added to

// The value that a pattern stands for (F32: the value with zero low bits).
float pattern_value(DType dtype, uint16_t pattern);

// min and max of each run of `group` columns (the last may be shorter) of a matrix [rows, columns]: minima, maxima
// [rows, groups]. NaN is skipped; of nothing but NaN min is infinity and max −infinity. One thread.
void group_ranges(DType dtype, const void *data, size_t rows, size_t columns, size_t group, float *minima,
                  float *maxima);

// absmax[j] = max(absmax[j], max |w| of column j) over a matrix [rows, columns]. NaN is skipped. One thread.
void column_absmax(DType dtype, const void *data, size_t rows, size_t columns, float *absmax);

// channel[j] = max(channel[j], max_t |x[t, j]|); token[t] = max_j |x[t, j]|. Either may be NULL. NaN is skipped.
void absmax_update(const float *x, size_t tokens, size_t width, float *channel, float *token);

// channel[j] gets one more for each token in which channel j stands out (kernels/standing_out.h). absmax [tokens]: max
// |x| of each.
void count_standing_out(const float *x, size_t tokens, size_t width, const float *absmax, uint32_t *channel);
