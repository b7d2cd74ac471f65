// What a coding_*.c is: the loops of coding_template.h over the groups of a row.
#include "kernels/host/coding_template.h"
#include "kernels/quantized.h"

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

// The same as scale_of, in a form that vectors can do.
static inline float bf16_scale(float absmax, float qmax) {
    const float smallest = 0x1p-133f, largest = 0x1.FEp127f;
    float scale = absmax / qmax;
    uint32_t bits;
    memcpy(&bits, &scale, sizeof bits);
    bits = (bits + 0x7FFF + (bits >> 16 & 1)) & 0xFFFF0000;
    memcpy(&scale, &bits, sizeof scale);
    scale = scale > 0 ? scale : smallest;
    scale = scale < largest ? scale : largest;
    return absmax > 0 ? scale : 1;
}

static void row_scales(float *absmax, size_t n, float qmax, DType dtype) {
    if (dtype == DTYPE_BF16)
        for (size_t i = 0; i < n; i++) absmax[i] = bf16_scale(absmax[i], qmax);
    else
        for (size_t i = 0; i < n; i++) absmax[i] = scale_of(absmax[i], qmax, dtype);
}

static void row_codes(const float *x, size_t in, size_t group, const float *scales, float qmax, int8_t *codes) {
    for (size_t first = 0, g = 0; first < in; first += group, g++)
        symmetric_codes(x + first, columns_of(in, group, first), scales[g], qmax, codes + first);
}

// zero is an argument so that the compiler does not know it: GCC 12 makes scalar code of a conversion from int8 to
// float without a subtraction in between.
static void row_error(const float *x, const int8_t *codes, size_t in, size_t group, const float *scales, int zero,
                      double *signal, double *noise) {
    LaneSums sums = {0};
    for (size_t first = 0, g = 0; first < in; first += group, g++)
        uniform_error(x + first, codes + first, columns_of(in, group, first), scales[g], zero, &sums);
    add_lanes(&sums, signal, noise);
}

// ---- Words of units ----
//
// Four codes at a time as the bytes of a number: flipping the sign bit adds 2^(bits−1). Eight of them as a 64-bit
// number v give two such quads: v | v >> (32 − step) has the second one's bits beside the first one's in its lower
// half.

static inline uint64_t eight_codes(const int8_t *codes, int bits) {
    uint64_t eight;
    memcpy(&eight, codes, sizeof eight);
    return eight ^ (uint64_t)0x0101010101010101 << (bits - 1);
}

static inline uint32_t two_quads(uint64_t eight, uint64_t mask, int step) {
    eight &= 0x0101010101010101 * mask;
    return (uint32_t)(eight | eight >> (32 - step));
}

static void row_words(int bits, const int8_t *codes, size_t units, uint32_t *words, uint16_t *high) {
    switch (bits) {
    case 8:
        memcpy(words, codes, units * sizeof *words);
        for (size_t u = 0; u < units; u++) words[u] ^= 0x80808080;
        break;
    case 4:
        for (size_t u = 0; u < units; u++) words[u] = two_quads(eight_codes(codes + 8 * u, 4), 15, 4);
        break;
    default:
        for (size_t u = 0; u < units; u++) {
            const uint64_t a = eight_codes(codes + 16 * u, bits), b = eight_codes(codes + 16 * u + 8, bits);
            words[u] = two_quads(a, 3, 2) | two_quads(b, 3, 2) << 4;
            if (bits == 2) continue;
            uint32_t top = two_quads(a >> 2, 1, 1) | two_quads(b >> 2, 1, 1) << 2;
            high[u] = (uint16_t)(top | top >> 12); // packed_high_bit
        }
        break;
    }
}

static inline void transpose_loop(const uint32_t *words, size_t rows, size_t stride, size_t first, size_t units,
                                  uint32_t *const *to) {
    for (size_t u = first; u < units; u++)
        for (size_t row = 0; row < rows; row++) to[u][row] = words[row * stride + u];
}
