#include "kernels/host/coding_rows.h"

static void transpose_words(const uint32_t *words, size_t rows, size_t stride, size_t units, uint32_t *const *to) {
    transpose_loop(words, rows, stride, 0, units, to);
}

const CodingKernels coding_kernels_scalar = {row_absmax, row_scales, row_codes, row_error, row_words, transpose_words};
