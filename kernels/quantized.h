// Quantized numbers in plain form: what quant/ computes and every backend packs for its own kernels.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "kernels/dtype.h"

// Which numbers codes stand for. With qmax = 2^(bits−1) − 1, and code, scale, zero and factor those of an element:
typedef enum Grid {
    GRID_SYMMETRIC, // code · scale, code in −qmax…qmax
    GRID_ASYMMETRIC, // (code − zero) · scale, both in −2^(bits−1)…qmax (as stored: plus 2^(bits−1), so 0…2^bits − 1)
    GRID_LOG2,      // 0, or ± scale · 2^(|code| − qmax), code in −qmax…qmax
    GRID_TWO_LEVEL, // code · factor · scale, code in −qmax…qmax, factor in 1…127
    GRID_COUNT,
} Grid;

// What a grid stores beside codes and scales, and what products do with its codes. quant/grids.c has how groups are
// coded.
typedef struct GridInfo {
    bool zeros;   // a zero point per group, which is subtracted from codes; ranges have two ends
    bool factors; // an integer per group, which codes are multiplied by; scales are those of rows
    bool powers;  // codes are signed exponents: what is multiplied are 0 and powers of two
} GridInfo;

extern const GridInfo grid_table[GRID_COUNT];
extern const char *const grid_names[GRID_COUNT + 1]; // as recipes name them; the last is NULL

// A weight matrix [out, in] as signed integers; element (o, i) belongs to group i / group of row o. group == in: one
// scale per output channel. A last partial group is allowed: groups = ceil(in / group).
typedef struct QuantizedWeight {
    size_t out, in, group;
    int bits;          // 2, 3, 4 or 8
    DType scale_dtype; // F16, BF16 or F32: what `scales` were rounded to
    Grid grid;
    int8_t *codes;   // [out, in]
    float *scales;   // [out, groups]; with factors [out]; all positive
    int8_t *zeros;   // [out, groups], or NULL on a grid without
    int8_t *factors; // [out, groups], or NULL on a grid without
} QuantizedWeight;

static inline size_t group_count(size_t in, size_t group) { return (in + group - 1) / group; }

// Buffers for the given shape, zeroed; false when memory is short. The second is for the symmetric grid.
bool quantized_weight_on_grid(Grid grid, size_t out, size_t in, size_t group, int bits, DType scale_dtype,
                              QuantizedWeight *w, Error *err);
bool quantized_weight_new(size_t out, size_t in, size_t group, int bits, DType scale_dtype, QuantizedWeight *w,
                          Error *err);
void quantized_weight_free(QuantizedWeight *w);

// range / steps as stored in dtype. Where that cannot hold it the nearest positive number that it holds takes its
// place: codes are clamped then, or use fewer of their values. 1 where there is no range.
float scale_of(float range, float steps, DType dtype);

// What n codes of group g of row o stand for.
void quantized_values(const QuantizedWeight *w, size_t o, size_t g, const int8_t *codes, size_t n, float *values);
// The whole row o as floats [in].
void quantized_row(const QuantizedWeight *w, size_t o, float *row);

// How the input of a linear is quantized before the product.
typedef enum ActivationMode {
    ACTIVATION_NONE,   // the product uses the activations as they are (16 bits or wider)
    ACTIVATION_STATIC, // int8 with one constant scale
    ACTIVATION_TOKEN,  // int8 with scale = absmax of the token / 127
    // Each channel to int8 with scale = its absmax over the tokens of one call / 127; the product then uses the values
    // that the codes stand for. No integer product can do this: it is for measuring accuracy.
    ACTIVATION_CHANNEL,
} ActivationMode;

typedef struct ActivationScheme {
    ActivationMode mode;
    float scale;          // ACTIVATION_STATIC: x ≈ q · scale, q in −127…127, half to even, saturating
    const float *divisor; // [in] or NULL: x_j / divisor_j before quantizing (a channel scale that could not be folded)
} ActivationScheme;

// Whether the product is one of integers; otherwise the weight sees floats, rounded or not.
static inline bool activation_is_integer(ActivationMode mode) {
    return mode == ACTIVATION_STATIC || mode == ACTIVATION_TOKEN;
}

// Sets err: row `row` of a weight cannot be quantized. equalized: it was multiplied or divided before. Returns false.
bool quantized_not_finite(size_t row, bool equalized, Error *err);

// What every backend requires of a weight and its scheme (backend.h, weight_quantized); false with err set.
bool quantized_can_multiply(const QuantizedWeight *w, const ActivationScheme *scheme, Error *err);
