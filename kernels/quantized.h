// Quantized numbers in plain form: what quant/ computes and every backend packs for its own kernels.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "kernels/dtype.h"

// A weight matrix [out, in] as signed integers; element (o, i) stands for codes[o·in + i] · scales[o·groups + i /
// group]. group == in: one scale per output channel. A last partial group is allowed: groups = ceil(in / group).
typedef struct QuantizedWeight {
    size_t out, in, group;
    int bits;          // 2, 3, 4 or 8; codes lie in −qmax…qmax, qmax = 2^(bits−1) − 1
    DType scale_dtype; // F16, BF16 or F32: what `scales` were rounded to
    int8_t *codes;     // [out, in]
    float *scales;     // [out, groups], all positive
} QuantizedWeight;

static inline size_t group_count(size_t in, size_t group) { return (in + group - 1) / group; }

// Buffers for the given shape, zeroed; false when memory is short.
bool quantized_weight_new(size_t out, size_t in, size_t group, int bits, DType scale_dtype, QuantizedWeight *w,
                          Error *err);
void quantized_weight_free(QuantizedWeight *w);

// How the input of a linear is quantized before the product.
typedef enum ActivationMode {
    ACTIVATION_NONE,   // the product uses the activations as they are (16 bits or wider)
    ACTIVATION_STATIC, // int8 with one constant scale
    ACTIVATION_TOKEN,  // int8 with scale = absmax of the token / 127
} ActivationMode;

typedef struct ActivationScheme {
    ActivationMode mode;
    float scale;          // ACTIVATION_STATIC: x ≈ q · scale, q in −127…127, half to even, saturating
    const float *divisor; // [in] or NULL: x_j / divisor_j before quantizing (a channel scale that could not be folded)
} ActivationScheme;
