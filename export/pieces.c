// Rows of a unit → bytes of the output.
#include <stdlib.h>
#include <string.h>

#include "export/export_parts.h"
#include "quant/equalize.h"
#include "quant/quantize.h"

// Elements of a piece: its numbers, codes and bytes stay in the caches of a processor.
#define PIECE_ELEMENTS ((size_t)512 << 10)

// ---- Which rows, which bytes ----

// What is quantized at once.
static size_t chunk_rows(const Unit *unit) {
    size_t rows = unit->columns ? PIECE_ELEMENTS / unit->columns / unit->row_step * unit->row_step : unit->rows;
    if (rows == 0) rows = unit->row_step;
    return rows < unit->rows ? rows : unit->rows;
}

size_t piece_rows(const Unit *unit) { return unit->gathered ? unit->rows : chunk_rows(unit); }

void piece_range(const Unit *unit, const OutTensor *tensor, size_t first, size_t rows, uint64_t *begin, uint64_t *end) {
    *begin = first ? tensor->bytes : 0;
    *end = tensor->bytes;
    if (tensor->block_rows == 0 || unit->gathered) return;
    *begin = (uint64_t)(first / tensor->block_rows) * tensor->block_bytes;
    if (first + rows < unit->rows) *end = (uint64_t)((first + rows) / tensor->block_rows) * tensor->block_bytes;
}

size_t piece_bytes(const Unit *unit, size_t first, size_t rows) {
    size_t bytes = 0;
    for (int t = 0; t < unit->tensor_count; t++) {
        uint64_t begin, end;
        piece_range(unit, &unit->tensors[t], first, rows, &begin, &end);
        bytes += (size_t)(end - begin + PIECE_ALIGN - 1) / PIECE_ALIGN * PIECE_ALIGN;
    }
    return bytes;
}

uint64_t piece_memory(const Unit *unit) {
    const uint64_t codes = unit->kind == UNIT_LINEAR ? (uint64_t)chunk_rows(unit) * unit->columns * 5 / 4 : 0;
    return codes + piece_bytes(unit, 0, piece_rows(unit));
}

// ---- Factors of a unit ----

static bool rows_divided_by(const UnitWork *work, int reader, float **out, Error *err) {
    const ModelStructure *s = work->x->model->structure;
    *out = array_new(s->linears[work->unit->linear].out, sizeof **out);
    if (!*out) return error_memory(err, work->unit->name);
    return equalize_divisors(s, work->x->model->measured, work->x->model->plan, reader, *out, err);
}

static bool columns_multiplied_by(const UnitWork *work, int linear, float **out, Error *err) {
    const ExportModel *model = work->x->model;
    *out = array_new(model->structure->linears[linear].in, sizeof **out);
    if (!*out) return error_memory(err, work->unit->name);
    return equalize_factors(model->structure, model->measured, &model->plan->decisions[linear], linear, *out, err);
}

bool unit_begin(const Export *x, const Unit *unit, UnitWork *out, Error *err) {
    *out = (UnitWork){.x = x, .unit = unit};
    bool ok = true;
    if (unit->kind == UNIT_LINEAR) {
        const int reader = x->row_readers[unit->linear];
        if (decision_equalizes(unit_decision(x, unit)))
            ok = columns_multiplied_by(out, unit->linear, &out->factors, err);
        if (ok && reader >= 0) ok = rows_divided_by(out, reader, &out->divisors, err);
    } else if (unit->divided_by >= 0) {
        ok = unit->linear >= 0 ? rows_divided_by(out, unit->divided_by, &out->divisors, err)
                               : columns_multiplied_by(out, unit->divided_by, &out->divisors, err);
    }
    out->held = ok && tensor_hold(unit->tensor, err);
    if (!out->held) unit_end(out);
    return out->held;
}

void unit_end(UnitWork *work) {
    if (work->held) tensor_release(work->unit->tensor);
    free(work->factors);
    free(work->divisors);
    work->factors = work->divisors = NULL;
}

// ---- Rows ----

static const char *row_data(const Unit *unit, size_t row) {
    return (const char *)unit->tensor->data + row * unit->columns * dtype_bytes(unit->tensor->dtype);
}

bool unit_quantize(const UnitWork *work, size_t first, size_t rows, QuantizedWeight *out, Error *err) {
    const Unit *unit = work->unit;
    Tensor part = *unit->tensor;
    Linear linear = *unit_linear(work->x, unit);
    part.made = NULL; // it is held
    part.data = row_data(unit, first);
    part.shape[0] = linear.out = rows;
    linear.weight = &part;
    return quantize_linear(&linear, unit_decision(work->x, unit), work->factors,
                           work->divisors ? work->divisors + first : NULL, out, NULL, err) ||
           (first && error_prefix(err, "from row %zu on", first));
}

static void put_chunk(const UnitWork *work, Piece *piece, size_t first, size_t rows) {
    piece->first = first;
    piece->rows = rows;
    work->x->format->put(work->x, work->unit, piece);
}

static bool make_rows(const UnitWork *work, Piece *piece, size_t first, size_t rows, Error *err) {
    const Unit *unit = work->unit;
    if (unit->kind == UNIT_LINEAR) {
        QuantizedWeight codes;
        if (!unit_quantize(work, first, rows, &codes, err)) return false;
        piece->codes = &codes;
        put_chunk(work, piece, first, rows);
        quantized_weight_free(&codes);
    } else if (unit->columns) {
        piece->numbers = row_data(unit, first);
        piece->divisors = work->divisors;
        put_chunk(work, piece, first, rows);
    }
    if (!unit->tensor->made) mapping_drop(row_data(unit, first), (size_t)(row_data(unit, rows) - row_data(unit, 0)));
    return true;
}

bool piece_make(const UnitWork *work, size_t first, size_t rows, char *room, Error *err) {
    const Unit *unit = work->unit;
    const size_t step = chunk_rows(unit);
    Piece piece = {0};
    for (int t = 0; t < unit->tensor_count; t++) {
        uint64_t begin, end;
        piece_range(unit, &unit->tensors[t], first, rows, &begin, &end);
        piece.out[t] = end > begin ? room : NULL;
        room += (end - begin + PIECE_ALIGN - 1) / PIECE_ALIGN * PIECE_ALIGN;
    }
    bool ok = true;
    for (size_t at = first; ok && at < first + rows; at += step)
        ok = make_rows(work, &piece, at, first + rows - at < step ? first + rows - at : step, err);
    return ok;
}

// ---- Numbers ----

// A vector: they alone are divided.
static void piece_floats(const Export *x, const Unit *unit, const Piece *piece, float *out) {
    const DType type = unit->tensor->dtype;
    const bool one_less = unit->norm >= 0 && !unit->is_bias && norm_adds_one(x->model->structure->config.norm) &&
                          !x->model->structure->norms[unit->norm].plain;
    floats_from(type, piece->numbers, unit->columns, out);
    for (size_t i = 0; piece->divisors && i < unit->columns; i++)
        out[i] = one_less ? (out[i] + 1) / piece->divisors[i] - 1 : out[i] / piece->divisors[i];
}

// The cores share a copy: much of its time goes into pages of the file that are not yet mapped.
static void piece_copy(const Unit *unit, const Piece *piece, void *out) {
    const size_t bytes = unit->columns * dtype_bytes(unit->tensor->dtype);
#pragma omp parallel for schedule(static) if (piece->rows * bytes > 1 << 20)
    for (size_t r = 0; r < piece->rows; r++)
        memcpy((char *)out + r * bytes, (const char *)piece->numbers + r * bytes, bytes);
}

void piece_numbers(const Export *x, const Unit *unit, const Piece *piece) {
    if (piece->divisors)
        piece_floats(x, unit, piece, piece->out[0]);
    else
        piece_copy(unit, piece, piece->out[0]);
}
