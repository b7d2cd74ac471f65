#include "kernels/dtype.h"

#include <assert.h>

#define F32_INFINITY 0x7F800000u

const char *dtype_name(DType dtype) {
    static const char *const names[] = {
        [DTYPE_F32] = "F32",         [DTYPE_F16] = "F16",         [DTYPE_BF16] = "BF16", [DTYPE_F64] = "F64",
        [DTYPE_F8_E4M3] = "F8_E4M3", [DTYPE_F8_E5M2] = "F8_E5M2", [DTYPE_I8] = "I8",     [DTYPE_U8] = "U8",
        [DTYPE_I16] = "I16",         [DTYPE_U16] = "U16",         [DTYPE_I32] = "I32",   [DTYPE_U32] = "U32",
        [DTYPE_I64] = "I64",         [DTYPE_U64] = "U64",         [DTYPE_BOOL] = "BOOL", [DTYPE_F8_E8M0] = "F8_E8M0",
        [DTYPE_OTHER] = "other",
    };
    static_assert(sizeof names / sizeof *names == DTYPE_COUNT, "an element type has no name");
    return (unsigned)dtype < DTYPE_COUNT ? names[dtype] : "other";
}

size_t dtype_bytes(DType dtype) {
    static const unsigned char bytes[] = {
        [DTYPE_F32] = 4,     [DTYPE_F16] = 2,   [DTYPE_BF16] = 2, [DTYPE_F64] = 8, [DTYPE_F8_E4M3] = 1,
        [DTYPE_F8_E5M2] = 1, [DTYPE_I8] = 1,    [DTYPE_U8] = 1,   [DTYPE_I16] = 2, [DTYPE_U16] = 2,
        [DTYPE_I32] = 4,     [DTYPE_U32] = 4,   [DTYPE_I64] = 8,  [DTYPE_U64] = 8, [DTYPE_BOOL] = 1,
        [DTYPE_F8_E8M0] = 1, [DTYPE_OTHER] = 0,
    };
    static_assert(sizeof bytes / sizeof *bytes == DTYPE_COUNT, "an element type has no size");
    return (unsigned)dtype < DTYPE_COUNT ? bytes[dtype] : 0;
}

static inline float float_of_bits(uint32_t bits) {
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static inline uint32_t bits_of_float(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

// Without branches, so that loops over it become vector code. Both results of the selection are normal floats or exact,
// which keeps it right when the processor flushes subnormals to zero.
static inline float half_to_float(uint16_t half) {
    const uint32_t rebias = 112u << 23, smallest_normal = 113u << 23;
    uint32_t moved = (half & 0x7FFFu) << 13, exponent = moved & 0x0F800000u;
    uint32_t normal = moved + rebias + (exponent == 0x0F800000u ? rebias : 0); // infinity and NaN: rebias twice
    uint32_t tiny = bits_of_float(float_of_bits(moved + smallest_normal) - float_of_bits(smallest_normal));
    uint32_t choose_tiny =
        0u - (uint32_t)(exponent == 0); // a mask: compilers do not turn ?: around a subtraction into one
    return float_of_bits((tiny & choose_tiny) | (normal & ~choose_tiny) | (half & 0x8000u) << 16);
}

float f16_to_float(uint16_t bits) { return half_to_float(bits); }

// value >> shift, rounded to nearest, ties to even; shift from 1 to 31.
static uint32_t shift_rounded(uint32_t value, uint32_t shift) {
    uint32_t half_less = (1u << (shift - 1)) - 1;
    return (value + half_less + (value >> shift & 1u)) >> shift;
}

uint16_t float_to_f16(float value) {
    uint32_t bits = bits_of_float(value), sign = bits >> 16 & 0x8000u, magnitude = bits & 0x7FFFFFFFu;
    if (magnitude > F32_INFINITY) return (uint16_t)(sign | 0x7E00u | (magnitude >> 13 & 0x3FFu)); // quiet NaN
    uint32_t exponent = magnitude >> 23;
    uint32_t result;
    if (exponent >= 143) { // 2^16 and above
        result = 0x7C00u;
    } else if (exponent >= 113) { // a carry out of the fraction moves into the exponent, up to infinity
        result = shift_rounded(magnitude - (112u << 23), 13);
    } else if (exponent >= 102) { // subnormal: the implicit bit becomes explicit
        result = shift_rounded((magnitude & 0x7FFFFFu) | 0x800000u, 126 - exponent);
    } else {
        result = 0; // below half of the smallest subnormal
    }
    return (uint16_t)(sign | result);
}

static void floats_from_f16(const unsigned char *source, size_t n, float *out) {
    for (size_t i = 0; i < n; i++) {
        uint16_t bits;
        memcpy(&bits, source + 2 * i, sizeof bits); // the source has no alignment
        out[i] = half_to_float(bits);
    }
}

static void floats_from_bf16(const unsigned char *source, size_t n, float *out) {
    for (size_t i = 0; i < n; i++) {
        uint16_t bits;
        memcpy(&bits, source + 2 * i, sizeof bits);
        out[i] = bf16_to_float(bits);
    }
}

// Half precision has the same layout with one exponent bit more, and a bias that is greater by 8.
float f8_e4m3_to_float(uint8_t bits) {
    uint32_t magnitude = bits & 0x7Fu, sign = (uint32_t)(bits & 0x80u) << 24;
    if (magnitude == 0x7Fu) return float_of_bits(sign | 0x7FC00000u);
    return float_of_bits(sign | bits_of_float(half_to_float((uint16_t)(magnitude << 7)) * 256));
}

// The upper byte of half precision.
float f8_e5m2_to_float(uint8_t bits) { return half_to_float((uint16_t)(bits << 8)); }

// 2^(bits − 127): an exponent of single precision, of which 0 is a subnormal there. 255 is NaN.
static float f8_e8m0_to_float(uint8_t bits) {
    if (bits == 255) return float_of_bits(0x7FC00000u);
    return float_of_bits(bits == 0 ? 0x00400000u : (uint32_t)bits << 23);
}

static float i8_to_float(uint8_t bits) { return (float)(int8_t)bits; }
static float u8_to_float(uint8_t bits) { return (float)bits; }

typedef float ByteToFloat(uint8_t bits);

// NULL for types of other sizes.
static ByteToFloat *byte_to_float(DType dtype) {
    switch (dtype) {
    case DTYPE_F8_E4M3: return f8_e4m3_to_float;
    case DTYPE_F8_E5M2: return f8_e5m2_to_float;
    case DTYPE_F8_E8M0: return f8_e8m0_to_float;
    case DTYPE_I8: return i8_to_float;
    case DTYPE_U8: return u8_to_float;
    default: return NULL;
    }
}

int dtype_is_number(DType dtype) { return dtype <= DTYPE_F64 || byte_to_float(dtype) != NULL; }

static void floats_from_f64(const unsigned char *source, size_t n, float *out) {
    for (size_t i = 0; i < n; i++) {
        double value;
        memcpy(&value, source + sizeof value * i, sizeof value);
        out[i] = (float)value;
    }
}

static void floats_from_bytes(ByteToFloat *convert, const unsigned char *source, size_t n, float *out) {
    for (size_t i = 0; i < n; i++) out[i] = convert(source[i]);
}

void floats_from(DType dtype, const void *source, size_t n, float *out) {
    if (n == 0) return;
    switch (dtype) {
    case DTYPE_F32: memcpy(out, source, n * sizeof *out); break;
    case DTYPE_F16: floats_from_f16(source, n, out); break;
    case DTYPE_BF16: floats_from_bf16(source, n, out); break;
    case DTYPE_F64: floats_from_f64(source, n, out); break;
    default:
        if (byte_to_float(dtype))
            floats_from_bytes(byte_to_float(dtype), source, n, out);
        else
            memset(out, 0, n * sizeof *out);
        break;
    }
}

float float_rounded(DType dtype, float value) {
    if (dtype == DTYPE_F16) return f16_to_float(float_to_f16(value));
    if (dtype == DTYPE_BF16) return bf16_to_float(float_to_bf16(value));
    return value;
}
