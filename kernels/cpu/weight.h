// A linear as the CPU has it, and how its activations are prepared: what making weights (linear.c) and multiplying them
// (product.c) share.
#pragma once

#include "kernels/cpu/cpu.h"
#include "kernels/cpu/wide.h"

// Tokens prepared at a time (rounded to BF16, quantized or spread out): bounds the working memory.
enum { PREPARED_TOKENS = 256 };
typedef enum Form {
    FORM_DENSE,  // 16- or 32-bit floats
    FORM_PACKED, // integers for the fast kernels
    FORM_WIDE,   // integers whose sums need more than 32 bits
} Form;

struct Weight {
    size_t out, in;
    float *bias; // [out] or NULL
    Form form;
    DType dtype;      // of data
    const void *data; // [out, in], not owned unless it is `values`
    float *values;    // [out, in]: a quantized weight as floats, or NULL
    bool rounded;     // activations are rounded to BF16, and many tokens may go to the library
    Packed packed;
    Precision precision; // of a packed weight-only product: 16 bits of the activations count, or 24
    Wide wide;
    ActivationMode mode; // dense: always NONE, unless `values` are of a quantized weight
    float scale;
    float *divisor; // [in] or NULL
};

// Activations that are rounded to 8 bits and then used as floats.
static inline bool is_rounded(const Weight *w) {
    return w->mode == ACTIVATION_CHANNEL || (w->form == FORM_DENSE && w->mode != ACTIVATION_NONE);
}

// Bytes of the parts of the working memory of a packed weight, in the order in which they lie there.
typedef struct ActivationBytes {
    size_t rounded; // a scale for every channel, codes of one token, the rounded values; 0 unless is_rounded
    size_t codes, sums, scales;
    size_t rows; // codes [in] for each thread, before they are spread out
} ActivationBytes;

// A packed linear with nothing in it yet. False with *weight NULL.
bool cpu_packed_new(CpuBackend *cpu, const QuantizedWeight *shape, const ActivationScheme *scheme, const float *bias,
                    Precision precision, Weight **weight, Error *err);

// How activations are cut for this weight, without their memory.
Activations activations_for(const Weight *w);
ActivationBytes activation_bytes(const Activations *x, const Weight *w, size_t tokens, int threads);
// The first of these parts, all that a weight needs that is not packed.
size_t rounded_bytes(const Weight *w);
