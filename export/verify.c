// Reading an export back.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "export/export_parts.h"

static bool wrong(const char *where, const char *what, Error *err) {
    return error_set(err,
                     "%s: %s is not what was written; memory or the disk is at fault: write it again with "
                     "--overwrite",
                     where, what);
}

// ---- A piece ----

typedef struct Reading {
    const Export *x;
    const char *file;    // its path
    const uint8_t *data; // behind its head
    StoredSet *stored;   // what the loaders see; NULL: they do not read the format
} Reading;

// The bytes of a piece against those of the file.
static bool same_bytes(const Reading *r, const Unit *unit, size_t first, size_t rows, const char *room, Error *err) {
    for (int t = 0; t < unit->tensor_count; t++) {
        const OutTensor *out = &unit->tensors[t];
        uint64_t begin, end;
        piece_range(unit, out, first, rows, &begin, &end);
        if (memcmp(r->data + out->at + begin, room, end - begin) != 0) return wrong(r->file, out->name, err);
        room += (end - begin + PIECE_ALIGN - 1) / PIECE_ALIGN * PIECE_ALIGN;
    }
    return true;
}

// What the loaders make of codes and scales against what the plan's codes stand for.
static bool same_values(const Tensor *tensor, const QuantizedWeight *codes, size_t first, bool *same, Error *err) {
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
            for (size_t i = 0; i < in; i++) differ |= float_rounded(tensor->dtype, row[i]) != row[in + i];
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
    const bool ok = same_values(tensor, &codes, first, &same, err);
    quantized_weight_free(&codes);
    return ok && (same || wrong(r->file, unit->name, err));
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

// The matrix that the loaders find under the name of a linear; NULL where its numbers are not compared: rows do not lie
// in the file as they are quantized, or zero points are rounded.
static bool find_matrix(const Reading *r, const Unit *unit, const Tensor **out, Error *err) {
    const FormatRow *format = r->x->format;
    char name[512];
    *out = NULL;
    if (unit->kind != UNIT_LINEAR || !r->stored) return true;
    if (format->stacks && (unit_linear(r->x, unit)->transposed || tensor_is_slice(unit->tensor))) return true;
    if (format->rounds_zeros && unit_decision(r->x, unit)->grid == GRID_ASYMMETRIC) return true;
    snprintf(name, sizeof name, "%s.weight", unit->name);
    if (!stored_find(r->stored, name, out, err)) return false;
    const Tensor *t = *out;
    return (t && t->rank == 2 && t->shape[0] == unit->rows && t->shape[1] == unit->columns &&
            dtype_is_float16_or_32(t->dtype)) ||
           wrong(r->file, unit->name, err);
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

// ---- Files ----

static bool verify_file(Reading *r, const OutFile *file, const Mapping *mapping, uint64_t *bytes, Progress *progress,
                        Error *err) {
    if (mapping_bytes(mapping) != out_file_bytes(file) ||
        memcmp(mapping_data(mapping), file->head.data, file->head.length) != 0)
        return wrong(r->file, "its head", err);
    r->data = mapping_data(mapping) + file->head.length;
    *bytes += file->head.length;
    for (size_t u = file->first; u < file->end; u++) {
        const Unit *unit = &r->x->units[u];
        uint64_t size = 0;
        for (int t = 0; t < unit->tensor_count; t++) size += unit->tensors[t].bytes;
        if (!verify_unit(r, unit, progress, err)) return false;
        *bytes += size;
        if (!progress_add(progress, size)) return error_stopped(err);
    }
    return mapping_intact(mapping, r->file, err);
}

static bool open_and_verify(Reading *r, const OutFile *file, const char *path, uint64_t *bytes, Progress *progress,
                            Error *err) {
    char *own = path ? NULL : path_join(r->x->options->folder, file->name);
    Mapping *mapping = NULL;
    r->file = path ? path : own;
    const bool ok = (r->file || error_memory(err, file->name)) && mapping_open(r->file, &mapping, err) &&
                    verify_file(r, file, mapping, bytes, progress, err);
    mapping_close(mapping);
    free(own);
    return ok;
}

static bool verify_all(Reading *r, const char *path, uint64_t *bytes, Progress *progress, Error *err) {
    bool ok = true;
    progress_begin(progress, "reading back", r->x->bytes);
    for (int f = 0; ok && f < r->x->file_count; f++)
        ok = open_and_verify(r, &r->x->files[f], path, bytes, progress, err);
    return ok;
}

bool verify_files(const Export *x, const char *path, uint64_t *bytes, Progress *progress, Error *err) {
    Reading r = {.x = x};
    Checkpoint checkpoint;
    if (!x->format->read_back) return verify_all(&r, path, bytes, progress, err);
    if (!checkpoint_open(x->options->folder, &checkpoint, err)) return false;
    const bool ok = stored_open(&checkpoint, &r.stored, err) && verify_all(&r, path, bytes, progress, err) &&
                    checkpoint_intact(&checkpoint, err);
    stored_close(r.stored);
    checkpoint_close(&checkpoint);
    return ok;
}
