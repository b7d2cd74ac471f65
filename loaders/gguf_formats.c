// Blocks of numbers as ggml defines them (ggml-common.h), with the arithmetic of the gguf package (quants.py): what is
// multiplied first makes a difference in the last bit.
#include "loaders/gguf_formats.h"

enum { SMALL = 32, LARGE = 256, SUB = 16 }; // columns of a block, of a large one, of what shares a scale in it

static float f16_at(const uint8_t *bytes) { return f16_to_float((uint16_t)(bytes[0] | bytes[1] << 8)); }

// Bits [2 · part, 2 · part + 1] of a byte.
static unsigned two_bits(uint8_t byte, size_t part) { return (unsigned)byte >> (2 * part) & 3; }

// The nibble of element i: elements of the first half are below, those of the second above.
static unsigned nibble(const uint8_t *bytes, size_t half, size_t i) {
    return i < half ? bytes[i] & 15u : (unsigned)bytes[i - half] >> 4;
}

// ---- Blocks of 32 with one scale ----

static void unpack_q4_0(const uint8_t *block, float *out) {
    const float d = f16_at(block);
    for (size_t i = 0; i < SMALL; i++) out[i] = d * ((float)nibble(block + 2, SMALL / 2, i) - 8);
}

static void unpack_q4_1(const uint8_t *block, float *out) {
    const float d = f16_at(block), least = f16_at(block + 2);
    for (size_t i = 0; i < SMALL; i++) out[i] = d * (float)nibble(block + 4, SMALL / 2, i) + least;
}

// The fifth bits of all 32 elements stand in four bytes of their own.
static unsigned five_bits(const uint8_t *bits, const uint8_t *nibbles, size_t i) {
    return nibble(nibbles, SMALL / 2, i) | ((unsigned)bits[i / 8] >> (i % 8) & 1) << 4;
}

static void unpack_q5_0(const uint8_t *block, float *out) {
    const float d = f16_at(block);
    for (size_t i = 0; i < SMALL; i++) out[i] = d * ((float)five_bits(block + 2, block + 6, i) - 16);
}

static void unpack_q5_1(const uint8_t *block, float *out) {
    const float d = f16_at(block), least = f16_at(block + 2);
    for (size_t i = 0; i < SMALL; i++) out[i] = d * (float)five_bits(block + 4, block + 8, i) + least;
}

static void unpack_q8_0(const uint8_t *block, float *out) {
    const float d = f16_at(block);
    for (size_t i = 0; i < SMALL; i++) out[i] = (float)(int8_t)block[2 + i] * d;
}

// ---- Codes of four bits that stand for unevenly spaced numbers ----

static const int8_t levels_nl[16] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};
static const int8_t levels_e2m1[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12}; // twice E2M1

static void unpack_iq4_nl(const uint8_t *block, float *out) {
    const float d = f16_at(block);
    for (size_t i = 0; i < SMALL; i++) out[i] = d * (float)levels_nl[nibble(block + 2, SMALL / 2, i)];
}

static void unpack_iq4_xs(const uint8_t *block, float *out) {
    const float d = f16_at(block);
    const unsigned high = block[2] | (unsigned)block[3] << 8;
    for (size_t g = 0; g < LARGE / SMALL; g++) {
        const unsigned low = (unsigned)block[4 + g / 2] >> (4 * (g % 2)) & 15;
        const float scale = d * (float)((int)(low | (high >> (2 * g) & 3) << 4) - 32);
        const uint8_t *codes = block + 8 + g * SMALL / 2;
        for (size_t i = 0; i < SMALL; i++) *out++ = scale * (float)levels_nl[nibble(codes, SMALL / 2, i)];
    }
}

// A scale that is a power of two, halved because the levels are doubled; the smallest two are subnormal.
static void unpack_mxfp4(const uint8_t *block, float *out) {
    const uint32_t e = block[0], bits = e < 2 ? UINT32_C(0x00200000) << e : (e - 1) << 23;
    float d;
    memcpy(&d, &bits, sizeof d);
    for (size_t i = 0; i < SMALL; i++) out[i] = d * (float)levels_e2m1[nibble(block + 1, SMALL / 2, i)];
}

// ---- Blocks of 256 with scales of scales ----

// Element i of two bits: 32 bytes hold 128 elements, the first 32 in the lowest bits of each.
static unsigned two_bits_at(const uint8_t *bytes, size_t i) {
    return two_bits(bytes[i / 128 * 32 + i % 32], i % 128 / 32);
}

static void unpack_q2_k(const uint8_t *block, float *out) {
    const uint8_t *scales = block, *codes = block + 16;
    const float d = f16_at(block + 80), least = f16_at(block + 82);
    for (size_t g = 0; g < LARGE / SUB; g++) {
        const float scale = d * (float)(scales[g] & 15), minimum = least * (float)(scales[g] >> 4);
        for (size_t i = g * SUB; i < (g + 1) * SUB; i++) out[i] = scale * (float)two_bits_at(codes, i) - minimum;
    }
}

// Sixteen scales of 6 bits: eight bytes hold their lower four, four bytes the upper two.
static int scale_of_q3(const uint8_t *scales, size_t g) {
    const unsigned low = (unsigned)scales[g % 8] >> (4 * (g / 8)) & 15;
    return (int)(low | two_bits(scales[8 + g % 4], g / 4) << 4) - 32;
}

static void unpack_q3_k(const uint8_t *block, float *out) {
    const uint8_t *high = block, *codes = block + 32, *scales = block + 96;
    const float d = f16_at(block + 108);
    for (size_t g = 0; g < LARGE / SUB; g++) {
        const float scale = d * (float)scale_of_q3(scales, g);
        for (size_t i = g * SUB; i < (g + 1) * SUB; i++) {
            const int less = high[i % 32] >> (i / 32) & 1 ? 0 : 4;
            out[i] = scale * (float)((int)two_bits_at(codes, i) - less);
        }
    }
}

// Eight scales and eight minima of 6 bits in twelve bytes: the upper two bits of the last four of each stand above the
// first four.
static void scales_of_k(const uint8_t *packed, size_t g, float *scale, float *least) {
    const uint8_t *d = packed + g % 4, *m = d + 4, *both = d + 8;
    *scale = (float)(g < 4 ? *d & 63u : (*both & 15u) | (*d >> 2 & 48u));
    *least = (float)(g < 4 ? *m & 63u : (unsigned)*both >> 4 | (*m >> 2 & 48u));
}

// `high`: the fifth bits, NULL without.
static void unpack_k(const uint8_t *block, const uint8_t *high, const uint8_t *codes, float *out) {
    const float d = f16_at(block), minimum = f16_at(block + 2);
    for (size_t g = 0; g < LARGE / SMALL; g++) {
        float scale, least;
        scales_of_k(block + 4, g, &scale, &least);
        scale = d * scale;
        least = minimum * least;
        for (size_t i = 0; i < SMALL; i++) {
            const unsigned code = (unsigned)codes[g / 2 * SMALL + i] >> (4 * (g % 2)) & 15;
            const unsigned fifth = high ? (unsigned)high[i] >> g & 1 : 0;
            *out++ = scale * (float)(code | fifth << 4) - least;
        }
    }
}

static void unpack_q4_k(const uint8_t *block, float *out) { unpack_k(block, NULL, block + 16, out); }

static void unpack_q5_k(const uint8_t *block, float *out) { unpack_k(block, block + 16, block + 48, out); }

static void unpack_q6_k(const uint8_t *block, float *out) {
    const uint8_t *low = block, *high = block + 128, *scales = block + 192;
    const float d = f16_at(block + 208);
    for (size_t i = 0; i < LARGE; i++) {
        const unsigned four = nibble(low + i / 128 * 64, 64, i % 128);
        const float scale = d * (float)(int8_t)scales[i / SUB];
        out[i] = scale * (float)((int)(four | two_bits_at(high, i) << 4) - 32);
    }
}

// ---- The table ----

#define PLAIN(type, dtype, bytes) \
    { type, #dtype, 1, bytes, DTYPE_##dtype, NULL }
#define BLOCKS(type, name, columns, bytes, unpack) \
    { type, name, columns, bytes, DTYPE_OTHER, unpack }

static const GgufFormat formats[] = {
    PLAIN(GGUF_F32, F32, 4),
    PLAIN(GGUF_F16, F16, 2),
    PLAIN(GGUF_BF16, BF16, 2),
    PLAIN(24, I8, 1),
    PLAIN(25, I16, 2),
    PLAIN(26, I32, 4),
    PLAIN(27, I64, 8),
    PLAIN(28, F64, 8),
    BLOCKS(GGUF_Q4_0, "Q4_0", SMALL, 18, unpack_q4_0),
    BLOCKS(GGUF_Q4_1, "Q4_1", SMALL, 20, unpack_q4_1),
    BLOCKS(GGUF_Q5_0, "Q5_0", SMALL, 22, unpack_q5_0),
    BLOCKS(GGUF_Q5_1, "Q5_1", SMALL, 24, unpack_q5_1),
    BLOCKS(GGUF_Q8_0, "Q8_0", SMALL, 34, unpack_q8_0),
    BLOCKS(9, "Q8_1", SMALL, 40, NULL),
    BLOCKS(GGUF_Q2_K, "Q2_K", LARGE, 84, unpack_q2_k),
    BLOCKS(GGUF_Q3_K, "Q3_K", LARGE, 110, unpack_q3_k),
    BLOCKS(GGUF_Q4_K, "Q4_K", LARGE, 144, unpack_q4_k),
    BLOCKS(GGUF_Q5_K, "Q5_K", LARGE, 176, unpack_q5_k),
    BLOCKS(GGUF_Q6_K, "Q6_K", LARGE, 210, unpack_q6_k),
    BLOCKS(15, "Q8_K", LARGE, 292, NULL),
    BLOCKS(16, "IQ2_XXS", LARGE, 66, NULL),
    BLOCKS(17, "IQ2_XS", LARGE, 74, NULL),
    BLOCKS(18, "IQ3_XXS", LARGE, 98, NULL),
    BLOCKS(19, "IQ1_S", LARGE, 50, NULL),
    BLOCKS(GGUF_IQ4_NL, "IQ4_NL", SMALL, 18, unpack_iq4_nl),
    BLOCKS(21, "IQ3_S", LARGE, 110, NULL),
    BLOCKS(22, "IQ2_S", LARGE, 82, NULL),
    BLOCKS(GGUF_IQ4_XS, "IQ4_XS", LARGE, 136, unpack_iq4_xs),
    BLOCKS(29, "IQ1_M", LARGE, 56, NULL),
    BLOCKS(34, "TQ1_0", LARGE, 54, NULL),
    BLOCKS(35, "TQ2_0", LARGE, 66, NULL),
    BLOCKS(GGUF_MXFP4, "MXFP4", SMALL, 17, unpack_mxfp4),
    BLOCKS(40, "NVFP4", 64, 36, NULL),
};

const GgufFormat *gguf_format(uint32_t type) {
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++) {
        if (formats[i].type == type) return &formats[i];
    }
    return NULL;
}

const char *gguf_type_name(GgufType type) { return gguf_format(type)->name; }

uint64_t gguf_bytes(GgufType type, uint64_t elements) {
    const GgufFormat *format = gguf_format(type);
    return elements / format->columns * format->bytes;
}
