// Reading an export back.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "export/export_parts.h"
#include "export/gguf_blocks.h"
#include "loaders/documents.h"
#include "loaders/gguf.h"

static bool wrong(const char *where, const char *what, Error *err) {
    return error_set(err,
                     "%s: %s is not what was written; memory or the disk is at fault: write it again with "
                     "--overwrite",
                     where, what);
}

// ---- Tensors, as our own loaders see them ----

typedef struct Reading {
    const Export *x;
    Checkpoint checkpoint;
    StoredSet *stored;
    Gguf gguf; // the same file under its own names; without tensors: other formats
} Reading;

static bool is_gguf(const Reading *r) { return r->gguf.file.tensors; }

// −1: it is not there.
static ptrdiff_t gguf_index(const Reading *r, const char *name) {
    for (size_t i = 0; i < r->gguf.file.tensor_count; i++) {
        if (strcmp(r->gguf.file.tensors[i].name, name) == 0) return (ptrdiff_t)i;
    }
    return -1;
}

// NULL: it is not there, or of another type.
static const Tensor *find_written(const Reading *r, const OutTensor *out) {
    const ptrdiff_t i = is_gguf(r) ? gguf_index(r, out->name) : -1;
    const Tensor *tensor = is_gguf(r) ? NULL : checkpoint_find(&r->checkpoint, out->name);
    if (i >= 0 && r->gguf.file.forms[i].format->type == (uint32_t)out->type) return &r->gguf.file.tensors[i];
    return tensor && tensor->dtype == (DType)out->type ? tensor : NULL;
}

// The bytes of a piece against those of the file.
static bool same_bytes(const Reading *r, const Unit *unit, size_t first, size_t rows, const char *room, Error *err) {
    for (int t = 0; t < unit->tensor_count; t++) {
        const OutTensor *out = &unit->tensors[t];
        const Tensor *tensor = find_written(r, out);
        uint64_t begin, end;
        piece_range(unit, out, first, rows, &begin, &end);
        if (!tensor || tensor->bytes != out->bytes ||
            memcmp((const char *)tensor->data + begin, room, end - begin) != 0)
            return wrong(r->x->options->folder, out->name, err);
        room += (end - begin + PIECE_ALIGN - 1) / PIECE_ALIGN * PIECE_ALIGN;
    }
    return true;
}

// How far a row may be off: the minima of Q4_1 are rounded to F16, sixteen scales at most.
static float row_error(const QuantizedWeight *codes, size_t row) {
    const size_t groups = group_count(codes->in, codes->group);
    float largest = 0;
    for (size_t g = 0; codes->zeros && g < groups; g++) largest = fmaxf(largest, codes->scales[row * groups + g]);
    return codes->zeros ? 0x1p-7f * largest + 0x1p-24f : 0;
}

// What the loaders make of codes and scales against what the plan's codes stand for.
static bool same_values(const Reading *r, const Tensor *tensor, const QuantizedWeight *codes, size_t first, bool *same,
                        Error *err) {
    const size_t in = codes->in, row_bytes = in * dtype_bytes(tensor->dtype);
    bool differ = false, short_of_memory = false;
#pragma omp parallel reduction(|| : differ, short_of_memory)
    {
        float *row = array_new(2 * in, sizeof *row);
        short_of_memory = !row;
#pragma omp for schedule(static)
        for (size_t o = 0; o < codes->out; o++) {
            if (!row) continue;
            quantized_row(codes, o, row);
            floats_from(tensor->dtype, (const char *)tensor->data + (first + o) * row_bytes, in, row + in);
            const float most = is_gguf(r) ? row_error(codes, o) : 0;
            for (size_t i = 0; i < in; i++)
                differ |= !(fabsf(float_rounded(tensor->dtype, row[i]) - row[in + i]) <= most);
        }
        free(row);
    }
    *same = !differ;
    return !short_of_memory || error_memory(err, tensor->name);
}

static bool verify_piece(const Reading *r, const UnitWork *work, const Tensor *tensor, size_t first, size_t rows,
                         char *room, Error *err) {
    const Unit *unit = work->unit;
    QuantizedWeight codes;
    bool same = true;
    if (!piece_make(work, first, rows, room, err) || !same_bytes(r, unit, first, rows, room, err)) return false;
    if (!tensor) return true;
    if (!unit_quantize(work, first, rows, &codes, err)) return false;
    if (is_gguf(r)) gguf_round_scales(&codes);
    const bool ok = same_values(r, tensor, &codes, first, &same, err);
    quantized_weight_free(&codes);
    return ok && (same || wrong(r->x->options->folder, unit->name, err));
}

static bool verify_pieces(const Reading *r, const UnitWork *work, const Tensor *tensor, Progress *progress,
                          Error *err) {
    const Unit *unit = work->unit;
    const size_t step = piece_rows(unit), bytes = piece_bytes(unit, 0, step);
    char *room = array_new(bytes ? bytes : 1, 1);
    bool ok = room || error_memory(err, unit->name);
    for (size_t first = 0; ok && first < unit->rows; first += step) {
        if (progress_should_stop(progress)) ok = error_stopped(err);
        ok = ok &&
             verify_piece(r, work, tensor, first, unit->rows - first < step ? unit->rows - first : step, room, err);
    }
    free(room);
    return ok;
}

// The matrix that the loaders find under the name of a linear; NULL for numbers.
static bool find_matrix(const Reading *r, const Unit *unit, const Tensor **out, Error *err) {
    char name[512];
    *out = NULL;
    if (unit->kind != UNIT_LINEAR) return true;
    const ptrdiff_t i = is_gguf(r) ? gguf_index(r, unit->tensors[0].name) : -1;
    if (i >= 0)
        snprintf(name, sizeof name, "%s", r->checkpoint.files[0].tensors[i].name);
    else
        snprintf(name, sizeof name, "%s.weight", unit->name);
    if (!stored_find(r->stored, name, out, err)) return false;
    const Tensor *t = *out;
    return (t && t->made && t->rank == 2 && t->shape[0] == unit->rows && t->shape[1] == unit->columns) ||
           wrong(r->x->options->folder, unit->name, err);
}

static bool verify_unit(const Reading *r, const Unit *unit, Progress *progress, Error *err) {
    const Tensor *tensor;
    UnitWork work;
    if (!find_matrix(r, unit, &tensor, err) || (tensor && !tensor_hold(tensor, err))) return false;
    bool ok = unit_begin(r->x, unit, &work, err);
    if (ok) {
        ok = verify_pieces(r, &work, tensor, progress, err);
        unit_end(&work);
    }
    if (tensor) tensor_release(tensor);
    return ok;
}

static bool verify_units(const Reading *r, uint64_t *bytes, Progress *progress, Error *err) {
    progress_begin(progress, "reading back", r->x->bytes);
    for (size_t u = 0; u < r->x->unit_count; u++) {
        const Unit *unit = &r->x->units[u];
        uint64_t size = 0;
        for (int t = 0; t < unit->tensor_count; t++) size += unit->tensors[t].bytes;
        if (!verify_unit(r, unit, progress, err)) return false;
        *bytes += size;
        if (!progress_add(progress, size)) return error_stopped(err);
    }
    return checkpoint_intact(&r->checkpoint, err);
}

bool verify_tensors(const Export *x, uint64_t *bytes, Progress *progress, Error *err) {
    Reading r = {.x = x};
    if (!checkpoint_open(x->options->folder, &r.checkpoint, err)) return false;
    bool ok = !source_is_gguf(r.checkpoint.documents) || gguf_open(r.checkpoint.documents, &r.gguf, err);
    ok = ok && stored_open(&r.checkpoint, &r.stored, err) && verify_units(&r, bytes, progress, err);
    stored_close(r.stored);
    gguf_close(&r.gguf);
    checkpoint_close(&r.checkpoint);
    return ok;
}
