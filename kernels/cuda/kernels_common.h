// What the kernels share: element types, reductions over a warp and a block. Included after simt_cuda.h, or after the
// host's stand-in for it in tests.
#pragma once

#include "kernels/cuda/arguments.h"

enum { WARP = 32, ROW_THREADS = 256, MOST_ROW_THREADS = 1024, FLAT_THREADS = 256 };

// Threads of a block that takes a row: wide rows are few, and then they must be quick.
static inline unsigned row_threads(int width) { return width > 2048 ? MOST_ROW_THREADS : ROW_THREADS; }

// A row of fours (quads), at most ROW_QUADS for each thread, can stay in its block's registers: quad n is that of
// thread n % threads.
enum { ROW_QUADS = 4 };
typedef float RowQuads[ROW_QUADS][4];
static inline unsigned quad_threads(int width) { // whole warps
    const unsigned threads = (unsigned)(width + 4 * WARP - 1) / (4 * WARP) * WARP;
    return threads < (unsigned)MOST_ROW_THREADS ? threads : (unsigned)MOST_ROW_THREADS;
}
static inline int quads_of_thread(int width) { return (width / 4 + MOST_ROW_THREADS - 1) / MOST_ROW_THREADS; }
LAYOUT bool is_row_of_quads(int width) { return width % 4 == 0 && width / 4 <= ROW_QUADS * MOST_ROW_THREADS; }

// ---- Element types ----

DEVICE float bf16_value(uint16_t bits) { return __uint_as_float((uint32_t)bits << 16); }
DEVICE uint16_t bf16_bits(float value) { // to nearest, ties to even; NaN stays NaN
    uint32_t wide = __float_as_uint(value);
    if ((wide & 0x7FFFFFFFu) > 0x7F800000u) return (uint16_t)(wide >> 16 | 0x40u);
    return (uint16_t)((wide + 0x7FFFu + (wide >> 16 & 1u)) >> 16);
}

DEVICE float element_at(int dtype, const void *p, size_t i) {
    if (dtype == ELEMENT_F32) return ((const float *)p)[i];
    if (dtype == ELEMENT_I8) return (float)((const int8_t *)p)[i];
    uint16_t bits = ((const uint16_t *)p)[i];
    return dtype == ELEMENT_F16 ? f16_value(bits) : bf16_value(bits);
}

DEVICE void store_element(int dtype, void *p, size_t i, float value) {
    if (dtype == ELEMENT_F32)
        ((float *)p)[i] = value;
    else
        ((uint16_t *)p)[i] = dtype == ELEMENT_F16 ? f16_bits(value) : bf16_bits(value);
}

DEVICE float rounded_to(int dtype, float value) {
    if (dtype == ELEMENT_F32) return value;
    return dtype == ELEMENT_F16 ? f16_value(f16_bits(value)) : bf16_value(bf16_bits(value));
}

// Eight elements from i on as floats, by 16-byte loads; i a multiple of 8 and p aligned.
DEVICE void eight_elements(int dtype, const void *p, size_t i, float *out) {
    if (dtype == ELEMENT_F32) {
        float4 low = ((const float4 *)p)[i / 4], high = ((const float4 *)p)[i / 4 + 1];
        out[0] = low.x, out[1] = low.y, out[2] = low.z, out[3] = low.w;
        out[4] = high.x, out[5] = high.y, out[6] = high.z, out[7] = high.w;
        return;
    }
    if (dtype == ELEMENT_I8) {
        uint2 v = ((const uint2 *)p)[i / 8];
        UNROLL for (int j = 0; j < 8; j++) out[j] = (float)(int8_t)((j < 4 ? v.x : v.y) >> (j % 4 * 8) & 0xFF);
        return;
    }
    uint4 v = ((const uint4 *)p)[i / 8];
    uint32_t words[4];
    words[0] = v.x, words[1] = v.y, words[2] = v.z, words[3] = v.w;
    UNROLL for (int j = 0; j < 8; j++) {
        uint16_t bits = (uint16_t)(words[j / 2] >> (j % 2 * 16));
        out[j] = dtype == ELEMENT_F16 ? f16_value(bits) : bf16_value(bits);
    }
}

// Four floats; aligned: in one access.
DEVICE void load_four(const bool aligned, const float *p, float *v) {
    if (aligned) {
        const float4 four = *(const float4 *)p;
        v[0] = four.x, v[1] = four.y, v[2] = four.z, v[3] = four.w;
    } else {
        UNROLL for (int j = 0; j < 4; j++) v[j] = p[j];
    }
}
DEVICE void store_four(const bool aligned, float *p, const float *v) {
    if (aligned) {
        float4 four;
        four.x = v[0], four.y = v[1], four.z = v[2], four.w = v[3];
        *(float4 *)p = four;
    } else {
        UNROLL for (int j = 0; j < 4; j++) p[j] = v[j];
    }
}
// NULL is, too.
static inline bool is_aligned(const void *p) { return (uintptr_t)p % 16 == 0; }

// |v| as a number that grows with it; infinities and NaN lie above all others.
enum { NOT_FINITE = 0x7F800000 };
DEVICE uint32_t size_bits(float v) { return __float_as_uint(v) & 0x7FFFFFFFu; }
DEVICE uint32_t larger_bits(uint32_t a, uint32_t b) { return a > b ? a : b; }
DEVICE uint32_t largest_of_four(const float *v) {
    return larger_bits(larger_bits(size_bits(v[0]), size_bits(v[1])), larger_bits(size_bits(v[2]), size_bits(v[3])));
}

DEVICE int position_of(const Position *p) { return p->device ? *p->device : p->value; }

// ---- Reductions: every lane, or every thread of the block, gets the result ----

DEVICE float warp_sum(float v) {
    UNROLL for (int mask = 16; mask > 0; mask /= 2) v += shuffle_float(v, mask);
    return v;
}
DEVICE int32_t warp_sum_int(int32_t v) {
    UNROLL for (int mask = 16; mask > 0; mask /= 2) v += shuffle_int(v, mask);
    return v;
}
DEVICE double warp_sum_double(double v) {
    UNROLL for (int mask = 16; mask > 0; mask /= 2) v += shuffle_double(v, mask);
    return v;
}
DEVICE float warp_max(float v) { // NaN counts as nothing
    UNROLL for (int mask = 16; mask > 0; mask /= 2) v = fmaxf(v, shuffle_float(v, mask));
    return v;
}

// The larger of two numbers goes before, among equals the one of the lower index; NaN never does. What is no number
// yet: −∞ of NO_INDEX.
enum { NO_INDEX = INT32_MAX };
DEVICE bool goes_before(float v, int index, float than, int than_index) {
    return v > than || (v == than && index < than_index);
}
DEVICE void warp_first(float *v, int *index) {
    UNROLL for (int mask = 16; mask > 0; mask /= 2) {
        const float other = shuffle_float(*v, mask);
        const int other_index = shuffle_int(*index, mask);
        if (goes_before(other, other_index, *v, *index)) *v = other, *index = other_index;
    }
}

// scratch: [32] in shared memory, free again on return.
DEVICE float block_sum(float v, float *scratch) {
    v = warp_sum(v);
    if (threadIdx.x % WARP == 0) scratch[threadIdx.x / WARP] = v;
    __syncthreads();
    v = warp_sum(threadIdx.x % WARP < blockDim.x / WARP ? scratch[threadIdx.x % WARP] : 0.0f);
    __syncthreads();
    return v;
}
DEVICE double block_sum_double(double v, double *scratch) {
    v = warp_sum_double(v);
    if (threadIdx.x % WARP == 0) scratch[threadIdx.x / WARP] = v;
    __syncthreads();
    v = warp_sum_double(threadIdx.x % WARP < blockDim.x / WARP ? scratch[threadIdx.x % WARP] : 0.0);
    __syncthreads();
    return v;
}
DEVICE float block_max(float v, float *scratch) {
    v = warp_max(v);
    if (threadIdx.x % WARP == 0) scratch[threadIdx.x / WARP] = v;
    __syncthreads();
    v = warp_max(threadIdx.x % WARP < blockDim.x / WARP ? scratch[threadIdx.x % WARP] : -INFINITY);
    __syncthreads();
    return v;
}
DEVICE uint32_t block_largest(uint32_t v, float *scratch) {
    v = warp_largest(v);
    if (threadIdx.x % WARP == 0) scratch[threadIdx.x / WARP] = __uint_as_float(v);
    __syncthreads();
    v = warp_largest(threadIdx.x % WARP < blockDim.x / WARP ? __float_as_uint(scratch[threadIdx.x % WARP]) : 0);
    __syncthreads();
    return v;
}

DEVICE float divided(const float *x, const float *divisor, int j) { return divisor ? x[j] / divisor[j] : x[j]; }

// The largest size_bits of a row, divided if there is a divisor, by the whole block.
DEVICE uint32_t largest_of_row(const float *x, const float *divisor, int n, float *scratch) {
    uint32_t most = 0;
    for (int j = threadIdx.x; j < n; j += (int)blockDim.x) most = larger_bits(most, size_bits(divided(x, divisor, j)));
    return block_largest(most, scratch);
}

// ---- Shapes of launches ----

static inline Extent extent(size_t x, size_t y, size_t z) {
    Extent e;
    e.x = (unsigned)x, e.y = (unsigned)y, e.z = (unsigned)z;
    return e;
}
// Threads take several elements each where there are very many.
static inline Extent flat_extent(size_t n) {
    size_t blocks = (n + FLAT_THREADS - 1) / FLAT_THREADS;
    return extent(blocks < 65536 ? blocks : 65536, 1, 1);
}
#define FLAT_INDEX ((size_t)blockIdx.x * blockDim.x + threadIdx.x)
#define FLAT_STRIDE ((size_t)gridDim.x * blockDim.x)
