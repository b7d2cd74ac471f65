// Codes → numbers. A tile of rows at a time is unpacked into bytes, one per code; then every row is looked up: what a
// code means depends on its group alone, so a small table per group has the rounded result ready.
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "loaders/gguf_formats.h"
#include "loaders/stored/stored_parts.h"

#define TILE ((size_t)16) // rows; 16 columns of a packed GPTQ matrix are one cache line

// Column j of eight lies in this nibble of its word.
static const unsigned char awq_nibble[8] = {0, 4, 1, 5, 2, 6, 3, 7};

// The memory of one thread.
typedef struct TileScratch {
    uint8_t *codes;   // [TILE, in]
    float *scales;    // [groups]
    float *zeros;     // [groups], or biases
    uint32_t *values; // [groups << bits], the bits of results of the row's type
} TileScratch;

typedef struct MatrixMaking {
    const StoredMatrix *m;
    float numbers[256];     // of every code
    const uint32_t *groups; // [in]: the group of every column
    bool tabled;            // whether tables are smaller than what is looked up in them
} MatrixMaking;

static uint32_t word_at(const Tensor *tensor, size_t index) {
    uint32_t word;
    memcpy(&word, (const char *)tensor->data + index * sizeof word, sizeof word);
    return word;
}

static uint32_t mask_of(unsigned bits) { return (1u << bits) - 1; }

// ---- Unpacking: rows [first, first + count) of W into codes [count, in] ----

static void unpack_row(const StoredMatrix *m, size_t row, uint8_t *codes) {
    size_t words = (size_t)m->codes->shape[1], next = row * words;
    uint64_t buffer = 0;
    unsigned filled = 0;
    for (size_t i = 0; i < m->in; i++) {
        if (filled < m->bits) {
            uint64_t word = word_at(m->codes, next++);
            buffer = m->whole_words ? word : buffer | word << filled;
            filled = m->whole_words ? 32 : filled + 32;
        }
        codes[i] = (uint8_t)(buffer & mask_of(m->bits));
        buffer >>= m->bits;
        filled -= m->bits;
    }
}

static void unpack_columns(const StoredMatrix *m, size_t first, size_t count, uint8_t *codes) {
    uint64_t buffer[TILE] = {0};
    size_t next = first;
    unsigned filled = 0;
    for (size_t i = 0; i < m->in; i++) {
        if (filled < m->bits) {
            for (size_t c = 0; c < count; c++) buffer[c] |= (uint64_t)word_at(m->codes, next + c) << filled;
            next += m->out;
            filled += 32;
        }
        for (size_t c = 0; c < count; c++) {
            codes[c * m->in + i] = (uint8_t)(buffer[c] & mask_of(m->bits));
            buffer[c] >>= m->bits;
        }
        filled -= m->bits;
    }
}

// Tiles begin at multiples of eight columns, and there are as many.
static void unpack_awq(const StoredMatrix *m, size_t first, size_t count, uint8_t *codes) {
    size_t words = m->out / 8;
    for (size_t i = 0; i < m->in; i++) {
        for (size_t c = 0; c < count; c += 8) {
            uint32_t word = word_at(m->codes, i * words + (first + c) / 8);
            for (size_t j = 0; j < 8; j++) codes[(c + j) * m->in + i] = word >> (4 * awq_nibble[j]) & 0xF;
        }
    }
}

static void unpack_rows(const StoredMatrix *m, size_t first, size_t count, uint8_t *codes) {
    switch (m->layout) {
    case CODES_BYTES: memcpy(codes, (const char *)m->codes->data + first * m->in, count * m->in); break;
    case CODES_ROWS:
    case CODES_E2M1:
        for (size_t r = 0; r < count; r++) unpack_row(m, first + r, codes + r * m->in);
        break;
    case CODES_COLUMNS: unpack_columns(m, first, count, codes); break;
    case CODES_AWQ: unpack_awq(m, first, count, codes); break;
    case CODES_F64:
    case CODES_TRANSPOSED:
    case CODES_GGUF: break;
    }
}

// ---- Scales and zero points of a row ----

unsigned stored_zero_code(const StoredMatrix *m, size_t row, size_t group) {
    const PackedZeros *z = &m->zeros;
    size_t at = group * z->group_step;
    if (z->awq) return word_at(z->tensor, at + row / 8 * z->word_step) >> (4 * awq_nibble[row % 8]) & 0xF;
    if (z->whole_words) {
        size_t per_word = 32 / m->bits;
        uint32_t word = word_at(z->tensor, at + row / per_word * z->word_step);
        return word >> (row % per_word * m->bits) & mask_of(m->bits);
    }
    size_t bit = row * m->bits, shift = bit % 32, index = at + bit / 32 * z->word_step;
    uint64_t words = word_at(z->tensor, index);
    if (shift + m->bits > 32) words |= (uint64_t)word_at(z->tensor, index + z->word_step) << 32;
    return (unsigned)(words >> shift) & mask_of(m->bits);
}

static float group_value(const GroupValues *values, size_t row, size_t group) {
    const Tensor *t = values->tensor;
    float value;
    if (!t) return 1;
    size_t index = row / values->rows_per_value * values->row_step + group * values->group_step;
    floats_from(t->dtype, (const char *)t->data + index * dtype_bytes(t->dtype), 1, &value);
    return value;
}

static float zero_value(const StoredMatrix *m, size_t row, size_t group) {
    switch (m->zero_kind) {
    case ZERO_NUMBERS:
    case ZERO_BIASES: return group_value(&m->zero_numbers, row, group);
    case ZERO_PACKED: return (float)((stored_zero_code(m, row, group) + m->zeros.add) & m->zeros.mask);
    case ZERO_NONE: break;
    }
    return 0;
}

// ---- Results ----

static uint32_t result_bits(DType dtype, float value) {
    uint32_t bits;
    if (dtype == DTYPE_F16) return float_to_f16(value);
    if (dtype == DTYPE_BF16) return float_to_bf16(value);
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static void put_result(DType dtype, void *out, size_t index, uint32_t bits) {
    if (dtype == DTYPE_F32)
        ((uint32_t *)out)[index] = bits;
    else
        ((uint16_t *)out)[index] = (uint16_t)bits;
}

// Where the bias is a multiple of the scale, what is left is rounded once.
static float number_of(const MatrixMaking *making, const TileScratch *scratch, size_t code, size_t group) {
    const float number = making->numbers[code], scale = scratch->scales[group], zero = scratch->zeros[group];
    if (making->m->zero_kind == ZERO_BIASES) return (float)((double)number * (double)scale + (double)zero);
    return (number - zero) * scale;
}

static void make_tables(const MatrixMaking *making, TileScratch *scratch) {
    const StoredMatrix *m = making->m;
    const size_t codes = (size_t)1 << m->bits;
    for (size_t g = 0; g < m->groups; g++) {
        for (size_t code = 0; code < codes; code++) {
            const float value = number_of(making, scratch, code, g);
            scratch->values[(g << m->bits) + code] = result_bits(m->dtype, value);
        }
    }
}

static void make_row(const MatrixMaking *making, size_t row, const uint8_t *codes, TileScratch *scratch, void *out) {
    const StoredMatrix *m = making->m;
    const uint32_t *groups = making->groups;
    const DType dtype = m->dtype;
    const size_t in = m->in;
    for (size_t g = 0; g < m->groups; g++) {
        scratch->scales[g] = group_value(&m->scales, row, g);
        scratch->zeros[g] = zero_value(m, row, g);
    }
    if (!making->tabled) {
        for (size_t i = 0; i < in; i++) {
            const float value = number_of(making, scratch, codes[i], groups[i]);
            put_result(dtype, out, i, result_bits(dtype, value));
        }
        return;
    }
    make_tables(making, scratch);
    const uint32_t *values = scratch->values;
    const unsigned bits = m->bits;
    for (size_t i = 0; i < in; i++) put_result(dtype, out, i, values[((size_t)groups[i] << bits) + codes[i]]);
}

// ---- The matrix ----

static bool scratch_new(const MatrixMaking *making, TileScratch *scratch) {
    const StoredMatrix *m = making->m;
    *scratch = (TileScratch){.codes = array_new(m->in, TILE),
                             .scales = array_new(m->groups, sizeof(float)),
                             .zeros = array_new(m->groups, sizeof(float))};
    if (making->tabled) scratch->values = array_new(m->groups << m->bits, sizeof *scratch->values);
    return scratch->codes && scratch->scales && scratch->zeros && (scratch->values || !making->tabled);
}

static void scratch_free(TileScratch *scratch) {
    free(scratch->codes);
    free(scratch->scales);
    free(scratch->zeros);
    free(scratch->values);
}

static bool make_rows(const MatrixMaking *making, char *out) {
    const StoredMatrix *m = making->m;
    const size_t tiles = (m->out + TILE - 1) / TILE, row_bytes = m->in * dtype_bytes(m->dtype);
    bool failed = false;
#pragma omp parallel reduction(|| : failed)
    {
        TileScratch scratch;
        failed = !scratch_new(making, &scratch);
#pragma omp for schedule(static)
        for (size_t tile = 0; tile < tiles; tile++) {
            if (failed) continue;
            size_t first = tile * TILE, count = m->out - first < TILE ? m->out - first : TILE;
            unpack_rows(m, first, count, scratch.codes);
            for (size_t r = 0; r < count; r++)
                make_row(making, first + r, scratch.codes + r * m->in, &scratch, out + (first + r) * row_bytes);
        }
        scratch_free(&scratch);
    }
    return !failed;
}

static void find_groups(const StoredMatrix *m, uint32_t *groups) {
    for (size_t i = 0; i < m->in; i++) {
        groups[i] = m->g_idx ? word_at(m->g_idx, i) : (uint32_t)(i / m->columns);
        if (groups[i] >= m->groups) groups[i] = 0; // checked before; but the file may have changed
    }
}

static void make_f64(const StoredMatrix *m, float *out) {
    const char *data = m->codes->data;
#pragma omp parallel for schedule(static)
    for (size_t row = 0; row < m->out; row++)
        floats_from(DTYPE_F64, data + row * m->in * sizeof(double), m->in, out + row * m->in);
}

// In blocks that stay in the cache.
static void transpose_matrix(const StoredMatrix *m, char *to) {
    enum { BLOCK = 32 };
    const size_t bytes = dtype_bytes(m->dtype), out = m->out, in = m->in;
    const char *data = m->codes->data;
#pragma omp parallel for schedule(static)
    for (size_t o = 0; o < out; o += BLOCK)
        for (size_t i = 0; i < in; i += BLOCK)
            for (size_t r = o; r < o + BLOCK && r < out; r++)
                for (size_t c = i; c < i + BLOCK && c < in; c++)
                    memcpy(to + (r * in + c) * bytes, data + (c * out + r) * bytes, bytes);
}

// A row of numbers in blocks, or of plain numbers that change their place or lose one (TensorForm).
static void make_gguf_row(const StoredMatrix *m, const uint8_t *row, char *out) {
    const TensorForm *form = m->codes->form;
    const GgufFormat *format = form->format;
    float *floats = (float *)(void *)out;
    if (!format->unpack && format->dtype == m->dtype)
        memcpy(out, row, m->in * format->bytes);
    else if (!format->unpack)
        floats_from(format->dtype, row, m->in, floats);
    for (size_t i = 0; format->unpack && i < m->in; i += format->columns, row += format->bytes)
        format->unpack(row, floats + i);
}

static void make_gguf(const StoredMatrix *m, char *out) {
    const TensorForm *form = m->codes->form;
    const size_t row_bytes = m->in / form->format->columns * form->format->bytes, bytes = m->in * dtype_bytes(m->dtype);
    const uint8_t *rows = m->codes->data;
#pragma omp parallel for schedule(static)
    for (size_t row = 0; row < m->out; row++)
        make_gguf_row(m, rows + row * row_bytes, out + gguf_source_row(row, form->paired) * bytes);
    if (!form->plus_one) return;
    float *gains = (float *)(void *)out;
    for (size_t i = 0; i < m->out * m->in; i++) gains[i] -= 1;
}

// What each code stands for. E2M1 (OCP Microscaling Formats 1.0, section 5.3.3): a sign and one of eight magnitudes.
static void number_codes(const StoredMatrix *m, float *numbers) {
    static const float magnitudes[8] = {0, 0.5f, 1, 1.5f, 2, 3, 4, 6};
    uint8_t codes[256];
    for (int i = 0; i < 256; i++) codes[i] = (uint8_t)i;
    if (m->layout != CODES_E2M1) floats_from(m->code_type, codes, 256, numbers);
    for (int i = 0; i < 256; i++) {
        if (m->layout == CODES_E2M1) numbers[i] = i & 8 ? -magnitudes[i & 7] : magnitudes[i & 7];
        numbers[i] -= m->offset;
    }
}

bool stored_make(const StoredMatrix *m, void *out, Error *err) {
    if (m->layout == CODES_F64) {
        make_f64(m, out);
        return true;
    }
    if (m->layout == CODES_TRANSPOSED) {
        transpose_matrix(m, out);
        return true;
    }
    if (m->layout == CODES_GGUF) {
        make_gguf(m, out);
        return true;
    }
    uint32_t *groups = array_new(m->in, sizeof *groups);
    if (!groups) return error_memory(err, m->codes->name);
    find_groups(m, groups);
    MatrixMaking making = {.m = m, .groups = groups, .tabled = m->groups <= m->in >> m->bits};
    number_codes(m, making.numbers);
    bool ok = make_rows(&making, out);
    free(groups);
    return ok || error_memory(err, m->codes->name);
}
