// The inner loops that run on the host, one set per instruction set. They know nothing of threads or of backends:
// callers split the work. Set "scalar" is plain C and the reference.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "kernels/dtype.h"
#include "kernels/host/coding.h"
#include "kernels/host/packed.h"
#include "kernels/host/scan.h"
#include "kernels/nonlinearity.h"

// Activations as 8-bit codes, ready for a product with one packed weight. Columns are padded as the weight's.
//
// One plane: x = scale of the token · code. Two and three planes: activations that stay floating point, x = scale of
// the segment · (a · 2^8 + b) or (a · 2^16 + b · 2^8 + c). A segment is SEGMENT_COLUMNS columns at most, within one
// group, so a value keeps 16 or 24 bits below the largest of its neighbours; their sums are exact where a sum in float
// would be rounded at each step.
typedef struct Activations {
    int planes;           // 1, 2 or 3
    size_t segment_units; // of the weight, per segment; one plane: a segment is a group
    size_t segments;      // of one token
    int8_t *codes;        // [tokens, planes, padded]
    int32_t *sums; // [tokens, segments, activation_sums(planes)]: −Σ codes, which takes back what packing added
                   // to the codes of weights, and their zeros
    float *scales; // one plane: [tokens]; more: [tokens, segments]
} Activations;

// Sums of codes per segment: of each plane, but two planes are small enough for −Σ (a · 2^8 + b) in one.
static inline int activation_sums(int planes) { return planes == 2 ? 1 : planes; }

enum { SEGMENT_COLUMNS = 128 };
enum { LEVELS_AT_ONCE = 32768 };

// The rows of W that a call works on, and where x and y lie.
typedef struct DenseProduct {
    DType dtype;   // F32, F16, BF16 or I8
    const void *w; // [rows, in], any alignment
    size_t in;
    const float *bias;       // [rows] or NULL
    const float *x;          // [tokens, in], rows x_stride apart
    const uint16_t *rounded; // the same in BF16, for dense_rounded
    size_t tokens, x_stride;
    float *y; // [tokens, rows], rows y_stride apart
    size_t y_stride;
    bool streams; // w comes from memory, not from a cache
} DenseProduct;

// Keys and values of one layer and one kv head, and the queries that look at them.
typedef struct AttentionTile {
    DType dtype;                            // of keys and values: F32, F16, BF16, or I8 with scales
    const void *keys, *values;              // [positions, head_dim]
    const float *key_scales, *value_scales; // [positions] or NULL: what a code of that position is worth
    size_t head_dim, heads;                 // query heads that share the kv head
    float scale;
    size_t first, tokens;            // query t sees positions 0 … first + t
    size_t whole;                    // not 0: every query sees positions 0 … whole − 1
    size_t window;                   // or the last of them, itself included; 0: all
    bool chunked;                    // or those from the last multiple of it on
    float softcap;                   // score = c · tanh(score / c); 0: none
    const float *bias;               // [heads, bias_stride]: added to the scores of a head by position; NULL: nothing
    size_t bias_stride, bias_middle; // as in AttentionShape
    const float *sinks;              // [heads]: a score that takes weight and gives nothing; NULL: none
    const float *q;                  // [tokens][heads, head_dim], tokens q_stride apart
    float *y;                        // as q
    size_t stride;
    float *scratch; // attention_scratch(…) floats
} AttentionTile;

static inline size_t attention_scratch(size_t queries, size_t positions, size_t head_dim) {
    return queries * (positions + head_dim + 1);
}

typedef struct HostKernels {
    const char *name;
    int lanes; // floats in a vector
    const CodingKernels *coding;
    const ScanKernels *scan;

    void (*dense)(const DenseProduct *, size_t first_row, size_t end_row);
    // The same for weights in BF16 and activations rounded to BF16; NULL where that is not quicker.
    void (*dense_rounded)(const DenseProduct *, size_t first_row, size_t end_row);

    // y [tokens, out] for blocks of 32 rows.
    void (*packed)(const Packed *, const float *bias, const Activations *x, size_t tokens, float *y, size_t first_block,
                   size_t end_block);
    // The same for x [tokens, in] in float, product by product; NULL in sets that make planes of x instead.
    void (*packed_float)(const Packed *, const float *bias, const float *x, size_t tokens, float *y, size_t first_block,
                         size_t end_block);

    // One token: codes = x / divisor / scale to int8. static_scale > 0, or 0 for absmax / 127. Returns the scale; NaN
    // when x holds a NaN or an infinity, so that the product shows it. divisor: [n] or NULL.
    float (*quantize_row)(const float *x, const float *divisor, size_t n, float static_scale, int8_t *codes);

    // One segment to two or three planes of codes, `plane` apart, and their sums. Returns the scale, NaN as above.
    float (*split_segment)(int planes, const float *x, size_t n, size_t plane, int8_t *codes, int32_t *sums);

    // Σ w x of n ≤ LEVELS_AT_ONCE; |w| ≤ 255.
    int32_t (*dot_levels)(const int16_t *w, const int8_t *x, size_t n);

    void (*widen)(DType, const void *from, size_t n, float *to);
    void (*narrow)(DType, const float *from, size_t n, void *to);
    void (*rms_norm_row)(const float *x, const float *gain, float eps, size_t width, float *y);
    void (*layer_norm_row)(const float *x, const float *gain, const float *bias, float eps, size_t width, float *y);
    void (*add)(float *x, const float *y, size_t n);
    // y = f(x), or f(x) · up unless up is NULL; to a few units in the last place of what x, rounded, stands for.
    void (*activate)(Nonlinearity, const float *x, const float *up, size_t n, float *y);
    void (*xielu)(const Xielu *, const float *x, size_t n, float *y);
    void (*silu_times)(const float *gate, const float *up, size_t n, float *y);
    void (*rope_head)(float *x, size_t half, const float *cosine, const float *sine);
    void (*attention)(const AttentionTile *);

    void (*range)(DType, const void *data, size_t n, float *least, float *greatest); // NaN skipped
    float (*absmax)(const float *x, size_t n);                                       // NaN skipped
    void (*absmax_columns)(const float *x, size_t rows, size_t stride, size_t n,
                           float *columns); // columns = max(columns, |x|)
} HostKernels;

extern const HostKernels host_kernels_scalar;
#ifdef QUANTDIAL_X86
extern const HostKernels host_kernels_avx2, host_kernels_avx512;
#endif

// The best set for this processor, or the one that QUANTDIAL_CPU names; NULL with err set when that is unknown or not
// supported here.
const HostKernels *host_kernels_choose(Error *err);

// The same for callers that cannot fail: "scalar" where QUANTDIAL_CPU is wrong, which making a backend reports.
const HostKernels *host_kernels(void);

// Cores this process may use.
int host_cores(void);
