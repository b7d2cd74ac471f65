// Element types of tensors and the conversions between 16-bit floats and float.
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef enum DType {
    DTYPE_F32,
    DTYPE_F16,
    DTYPE_BF16,
    DTYPE_F64,
    DTYPE_F8_E4M3,
    DTYPE_F8_E5M2,
    DTYPE_I8,
    DTYPE_U8,
    DTYPE_I16,
    DTYPE_U16,
    DTYPE_I32,
    DTYPE_U32,
    DTYPE_I64,
    DTYPE_U64,
    DTYPE_BOOL,
    DTYPE_F8_E8M0, // powers of two, as scales
    DTYPE_OTHER,   // known to safetensors (sub-byte, complex, …) but of no use here
    DTYPE_COUNT,
} DType;

const char *dtype_name(DType dtype); // as in safetensors: "BF16"
size_t dtype_bytes(DType dtype);     // per element; 0 for DTYPE_OTHER
static inline int dtype_is_float16_or_32(DType dtype) { return dtype <= DTYPE_BF16; }

static inline float bf16_to_float(uint16_t bits) {
    uint32_t wide = (uint32_t)bits << 16;
    float value;
    memcpy(&value, &wide, sizeof value);
    return value;
}

// Round to nearest even; NaN stays NaN (quiet).
static inline uint16_t float_to_bf16(float value) {
    uint32_t wide;
    memcpy(&wide, &value, sizeof wide);
    if ((wide & 0x7FFFFFFFu) > 0x7F800000u) return (uint16_t)(wide >> 16 | 0x40u);
    return (uint16_t)((wide + 0x7FFFu + (wide >> 16 & 1u)) >> 16);
}

float f16_to_float(uint16_t bits);
uint16_t float_to_f16(float value); // round to nearest even, overflow to infinity

float f8_e4m3_to_float(uint8_t bits); // "FN": no infinities, NaN is 0x7F and 0xFF
float f8_e5m2_to_float(uint8_t bits);

// n elements at `source` (any alignment) → floats: floating-point types and integers of 8 bits. F64 is rounded. Other
// types: zeros must not be relied on; check first with dtype_is_number.
int dtype_is_number(DType dtype);
void floats_from(DType dtype, const void *source, size_t n, float *out);

// A float rounded to what `dtype` (F32, F16, BF16) can hold.
float float_rounded(DType dtype, float value);
