// When a channel stands out in a token: its magnitude is more than STANDS_OUT times the mean of the token's. For the
// host and for kernels, in whole numbers: their sums do not depend on an order, so that every backend counts the same.
//
// A magnitude's *code* is its share of the token's largest, in 2^24ths, rounded down; codes of 2^20 channels sum up
// exactly in a double.
#ifndef QUANTDIAL_KERNELS_STANDING_OUT_H
#define QUANTDIAL_KERNELS_STANDING_OUT_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __CUDACC__
#define STANDING static __host__ __device__ __forceinline__
#else
#define STANDING static inline __attribute__((unused))
#endif

#define STANDS_OUT 6 // no value of a normal distribution reaches it: 4.8 sigma
enum { STANDING_ONE = 1 << 24 };

// What makes a code of a magnitude; 0, with which nothing stands out, where the largest is 0, tiny or not finite.
STANDING float standing_scale(float absmax) {
    const float scale = (float)STANDING_ONE / absmax;
    return absmax > 0 && scale < INFINITY ? scale : 0;
}

STANDING int32_t standing_code(float x, float scale) {
    const float code = fabsf(x) * scale, most = (float)(2 * STANDING_ONE);
    return code < most ? (int32_t)code : 0; // what is no number
}

// Codes above it stand out. sum: of all codes of the token.
STANDING int32_t standing_limit(double sum, size_t width) {
    const double limit = STANDS_OUT * sum / (double)width, most = 2 * (double)STANDING_ONE;
    return (int32_t)(limit < most ? limit : most);
}

#endif
