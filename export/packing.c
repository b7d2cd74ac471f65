// Codes → streams of bits; floats → the types of tensors.
#include <string.h>

#include "base/processors.h"
#include "export/export_parts.h"

uint64_t packed_words(uint64_t codes, int bits) { return (codes * (uint64_t)bits + 31) / 32; }

FOR_EVERY_PROCESSOR static void pack_nibbles(const int8_t *codes, size_t n, uint8_t *out) {
    for (size_t i = 0; i < n / 2; i++) out[i] = (uint8_t)((codes[2 * i] + 8) | (codes[2 * i + 1] + 8) << 4);
    if (n % 2) out[n / 2] = (uint8_t)(codes[n - 1] + 8);
}

FOR_EVERY_PROCESSOR static void pack_bytes(const int8_t *codes, size_t n, uint8_t *out) {
    for (size_t i = 0; i < n; i++) out[i] = (uint8_t)(codes[i] + 128);
}

void pack_codes(const int8_t *codes, size_t n, int bits, uint8_t *out) {
    const size_t used = (n * (size_t)bits + 7) / 8;
    memset(out + used, 0, (size_t)packed_words(n, bits) * sizeof(uint32_t) - used);
    if (bits == 4) {
        pack_nibbles(codes, n, out);
    } else if (bits == 8) {
        pack_bytes(codes, n, out);
    } else {
        unsigned buffer = 0;
        int filled = 0;
        for (size_t i = 0; i < n; i++) {
            buffer |= (unsigned)(codes[i] + (1 << (bits - 1))) << filled;
            for (filled += bits; filled >= 8; filled -= 8, buffer >>= 8) *out++ = (uint8_t)buffer;
        }
        if (filled) *out = (uint8_t)buffer;
    }
}

void number_put(DType type, void *out, size_t index, float value) {
    if (type == DTYPE_F32)
        ((float *)out)[index] = value;
    else
        ((uint16_t *)out)[index] = type == DTYPE_BF16 ? float_to_bf16(value) : float_to_f16(value);
}

FOR_EVERY_PROCESSOR static void put_bf16(const float *values, size_t n, uint16_t *out) {
    for (size_t i = 0; i < n; i++) out[i] = float_to_bf16(values[i]);
}

void numbers_put(DType type, void *out, size_t n, const float *values) {
    if (type == DTYPE_F32)
        memcpy(out, values, n * sizeof *values);
    else if (type == DTYPE_BF16)
        put_bf16(values, n, out);
    else
        for (size_t i = 0; i < n; i++) ((uint16_t *)out)[i] = float_to_f16(values[i]);
}
