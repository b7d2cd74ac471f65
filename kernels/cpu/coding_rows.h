// What a coding_*.c is: the loops of coding_template.h over the groups of a row.
#include "kernels/cpu/coding_template.h"

static inline size_t columns_of(size_t in, size_t group, size_t first) {
    return in - first < group ? in - first : group;
}

static bool row_absmax(const float *x, size_t in, size_t group, float *absmax) {
    uint32_t most = 0;
    for (size_t first = 0, g = 0; first < in; first += group, g++) {
        uint32_t bits = absmax_bits(x + first, columns_of(in, group, first));
        memcpy(&absmax[g], &bits, sizeof bits);
        most = bits > most ? bits : most;
    }
    return most < BITS_OF_INFINITY;
}

static void row_codes(const float *x, size_t in, size_t group, const float *scales, float qmax, int8_t *codes) {
    for (size_t first = 0, g = 0; first < in; first += group, g++)
        symmetric_codes(x + first, columns_of(in, group, first), scales[g], qmax, codes + first);
}

// zero is an argument so that the compiler does not know it: GCC 12 makes scalar code of a conversion from int8 to
// float without a subtraction in between.
static void row_error(const float *x, const int8_t *codes, size_t in, size_t group, const float *scales, int zero,
                      double *signal, double *noise) {
    Sums sums = {0};
    for (size_t first = 0, g = 0; first < in; first += group, g++)
        uniform_error(x + first, codes + first, columns_of(in, group, first), scales[g], zero, &sums);
    add_lanes(&sums, signal, noise);
}
