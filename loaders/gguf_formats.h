// The element types of GGUF: their numbers in a file, their sizes, and what their blocks stand for.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "kernels/dtype.h"

// As the file numbers them. Q…, IQ… and the like: blocks of columns of a row.
typedef enum GgufType {
    GGUF_F32 = 0,
    GGUF_F16 = 1,
    GGUF_Q4_0 = 2,
    GGUF_Q4_1 = 3,
    GGUF_Q5_0 = 6,
    GGUF_Q5_1 = 7,
    GGUF_Q8_0 = 8,
    GGUF_Q2_K = 10,
    GGUF_Q3_K = 11,
    GGUF_Q4_K = 12,
    GGUF_Q5_K = 13,
    GGUF_Q6_K = 14,
    GGUF_IQ4_NL = 20,
    GGUF_IQ4_XS = 23,
    GGUF_BF16 = 30,
    GGUF_MXFP4 = 39,
} GgufType;

typedef struct GgufFormat {
    uint32_t type;
    const char *name; // "Q4_0"
    unsigned columns; // of a block; 1 of plain numbers
    unsigned bytes;   // of a block
    DType dtype;      // of plain numbers; DTYPE_OTHER of blocks
    // Blocks: the numbers that one stands for, the very floats that the gguf package has; NULL: it is not read.
    void (*unpack)(const uint8_t *block, float *out);
} GgufFormat;

const GgufFormat *gguf_format(uint32_t type); // NULL: no type has this number

const char *gguf_type_name(GgufType type); // "Q4_0"
// What `elements` of them take; of blocks a multiple of their columns.
uint64_t gguf_bytes(GgufType type, uint64_t elements);

// Rotary positions turn pairs of rows of a head. Checkpoints have a pair's two in the two halves of the head, llama.cpp
// for some architectures side by side: [heads, 2, half] becomes [heads, half, 2]. The row of the checkpoint that the
// file has as `row`; head_dim 0: the same.
static inline size_t gguf_source_row(size_t row, size_t head_dim) {
    if (!head_dim) return row;
    const size_t in_head = row % head_dim;
    return row - in_head + in_head / 2 + in_head % 2 * (head_dim / 2);
}
