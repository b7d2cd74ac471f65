// Weights as GGUF stores them: blocks of 32 columns of a row, each with a scale in F16.
//   Q4_0: scale d, 16 bytes; byte i has element i below and i + 16 above; d · (nibble − 8)
//   Q4_1: d, minimum m, 16 bytes alike; d · nibble + m
//   Q8_0: d, 32 signed bytes; d · code
#pragma once

#include "export/gguf_head.h"
#include "quant/plan.h"

// The element type that holds a linear as decided, its own where it is not quantized. False with one sentence, the
// linear's name first, that says why none can, and what to do. A pure function.
bool gguf_can_hold(const Linear *linear, const Decision *decision, GgufType *type, Error *err);
GgufType gguf_type_of(DType dtype); // F32 but for types of 16 bits

// Scales that are not the same in F16: below 6e-5 it loses digits, above 65504 the largest it has takes their place.
typedef struct GgufScales {
    uint64_t all, changed;
    float worst; // the largest relative difference
} GgufScales;

void gguf_count_scales(const QuantizedWeight *w, GgufScales *scales); // adds those of w
// A sentence on them with what to do; "" when all stay what they are.
void gguf_scales_note(const GgufScales *scales, char *out, size_t size);

// Rows first … first + rows − 1 as the file has them into out [rows · gguf_bytes(type, in)]. head_dim: of q and k where
// the architecture pairs neighbours (gguf_source_row); else 0.
void gguf_pack(const QuantizedWeight *w, GgufType type, size_t head_dim, size_t first, size_t rows, uint8_t *out);
