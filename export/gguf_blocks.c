#include "export/gguf_blocks.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

enum { BLOCK = 32, HALF = BLOCK / 2, ZERO = 8 };
#define LARGEST 65504.0f // of F16

// ---- What can be held ----

GgufType gguf_type_of(DType dtype) {
    return dtype == DTYPE_F16 ? GGUF_F16 : dtype == DTYPE_BF16 ? GGUF_BF16 : GGUF_F32;
}

static bool refuse(const Linear *linear, const char *why, const char *remedy, Error *err) {
    return error_set(err, "%s: GGUF cannot hold %s; %s", linear->name, why, remedy);
}

static bool find_type(const Linear *linear, const Decision *decision, GgufType *type, Error *err) {
    if (decision->grid == GRID_SYMMETRIC && (decision->bits == 4 || decision->bits == 8)) {
        *type = decision->bits == 4 ? GGUF_Q4_0 : GGUF_Q8_0;
        return true;
    }
    if (decision->grid == GRID_ASYMMETRIC && decision->bits == 4) {
        *type = GGUF_Q4_1;
        return true;
    }
    char why[64];
    snprintf(why, sizeof why, "%d bits on the %s grid", decision->bits, grid_names[decision->grid]);
    const char *remedy = decision->grid == GRID_ASYMMETRIC && decision->bits == 8
                             ? "set its grid to symmetric, or 4 bits"
                             : "set its bits to 4 or 8 and its grid to symmetric";
    return refuse(linear, why, remedy, err);
}

bool gguf_can_hold(const Linear *linear, const Decision *decision, GgufType *type, Error *err) {
    *type = gguf_type_of(linear->weight->dtype);
    if (!decision->quantized) return true;
    char why[96];
    if (linear->role == ROLE_ROUTER) return refuse(linear, "a quantized router", "leave it out with \"ignore\"", err);
    if (!find_type(linear, decision, type, err)) return false;
    if (linear->in % BLOCK) {
        snprintf(why, sizeof why, "rows of %zu weights in blocks of %d", linear->in, BLOCK);
        return refuse(linear, why, "leave it out with \"ignore\"", err);
    }
    if (decision->group < linear->in && decision->group % BLOCK) {
        snprintf(why, sizeof why, "groups of %zu weights in blocks of %d", decision->group, BLOCK);
        return refuse(linear, why, "set its group size (or min-group) to 32, 64 or 128", err);
    }
    return true;
}

// ---- Scales ----

static uint16_t f16_least(float scale, int zero) {
    return float_to_f16(fmaxf((float)(-ZERO - zero) * scale, -LARGEST));
}

static uint16_t f16_scale(float scale) { return float_to_f16(scale < LARGEST ? scale : LARGEST); }

void gguf_count_scales(const QuantizedWeight *w, GgufScales *scales) {
    const size_t n = w->out * group_count(w->in, w->group);
    scales->all += n;
    for (size_t i = 0; i < n; i++) {
        const float scale = w->scales[i], stored = f16_to_float(f16_scale(scale));
        if (stored == scale) continue;
        scales->changed++;
        scales->worst = fmaxf(scales->worst, fabsf(stored - scale) / scale);
    }
}

void gguf_scales_note(const GgufScales *scales, char *out, size_t size) {
    *out = '\0';
    if (scales->changed)
        snprintf(out, size,
                 "%" PRIu64 " of %" PRIu64 " scales are rounded to F16, by up to %.2g %%; with --scale f16 the recipe "
                 "counts that in",
                 scales->changed, scales->all, 100 * (double)scales->worst);
}

// ---- Blocks ----

static void put_bits(uint16_t bits, uint8_t *out) {
    out[0] = (uint8_t)bits;
    out[1] = (uint8_t)(bits >> 8);
}

// Eight codes at a time: of 4 bits, code + 8 is the code with its highest bit flipped.
static void put_nibbles(const int8_t *codes, uint8_t *out) {
    const uint64_t flips = ZERO * UINT64_C(0x0101010101010101), nibbles = 15 * UINT64_C(0x0101010101010101);
    for (int i = 0; i < HALF; i += 8) {
        uint64_t low, high;
        memcpy(&low, codes + i, sizeof low);
        memcpy(&high, codes + i + HALF, sizeof high);
        low = ((low ^ flips) & nibbles) | ((high ^ flips) & nibbles) << 4;
        memcpy(out + i, &low, sizeof low);
    }
}

static void pack_block(GgufType type, const int8_t *codes, uint16_t scale, uint16_t least, uint8_t *out) {
    put_bits(scale, out);
    if (type == GGUF_Q8_0) {
        memcpy(out + 2, codes, BLOCK);
    } else if (type == GGUF_Q4_1) {
        put_bits(least, out + 2);
        put_nibbles(codes, out + 4);
    } else {
        put_nibbles(codes, out + 2);
    }
}

static void pack_row(const QuantizedWeight *w, GgufType type, size_t o, uint8_t *out) {
    const size_t groups = group_count(w->in, w->group), bytes = gguf_bytes(type, BLOCK);
    const int8_t *codes = w->codes + o * w->in;
    for (size_t g = 0, first = 0; g < groups; g++) {
        const float scale = w->scales[o * groups + g];
        const size_t end = w->in - first < w->group ? w->in : first + w->group;
        const uint16_t bits = f16_scale(scale),
                       least = type == GGUF_Q4_1 ? f16_least(scale, w->zeros[o * groups + g]) : 0;
        for (; first < end; first += BLOCK, out += bytes) pack_block(type, codes + first, bits, least, out);
    }
}

void gguf_pack(const QuantizedWeight *w, GgufType type, size_t head_dim, size_t first, size_t rows, uint8_t *out) {
    const size_t bytes = gguf_bytes(type, w->in);
#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < rows; i++) pack_row(w, type, gguf_source_row(first + i, head_dim), out + i * bytes);
}
