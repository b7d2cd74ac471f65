#include "loaders/tensor_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"

enum { MOST_EXPERTS = 4096 };

void tensor_file_close(TensorFile *file) {
    mapping_close(file->mapping);
    free(file->tensors);
    free(file->names);
    free(file->forms);
    free(file->path);
    *file = (TensorFile){0};
}

// ---- Other names ----

// 0: it stays one tensor.
static size_t experts_in(const Tensor *tensor, const MatrixName *name) {
    const uint64_t count = tensor->rank == 3 && name->expert_at ? tensor->shape[0] : 0;
    return count && count <= MOST_EXPERTS && tensor->bytes % count == 0 ? (size_t)count : 0;
}

typedef struct Renamed {
    Tensor *tensors;
    size_t count, capacity;
    Text names; // each with a NUL behind
} Renamed;

static bool add_matrix(Renamed *all, const Tensor *tensor, const char *name) {
    if (!array_grow(&all->tensors, all->count, &all->capacity, sizeof *all->tensors)) return false;
    all->tensors[all->count++] = *tensor;
    text_add(&all->names, name, strlen(name) + 1);
    return true;
}

static bool add_expert(Renamed *all, const Tensor *tensor, const MatrixName *name, size_t expert, size_t count) {
    char text[sizeof name->text + 8];
    Tensor matrix = *tensor;
    matrix.bytes /= count;
    matrix.data = (const char *)tensor->data + expert * matrix.bytes;
    matrix.rank = 2;
    memmove(matrix.shape, tensor->shape + 1, 2 * sizeof *matrix.shape);
    snprintf(text, sizeof text, "%.*s%zu%s", (int)name->expert_at, name->text, expert, name->text + name->expert_at);
    return add_matrix(all, &matrix, text);
}

static bool add_tensor(Renamed *all, const Tensor *tensor, const MatrixName *name) {
    const size_t experts = experts_in(tensor, name);
    Tensor one = *tensor;
    bool ok = true;
    for (size_t e = 0; ok && e < experts; e++) ok = add_expert(all, tensor, name, e, experts);
    if (experts) return ok;
    if (name->is_row && tensor->rank == 1) one.shape[one.rank++] = tensor->shape[0], one.shape[0] = 1;
    return add_matrix(all, &one, name->expert_at || !*name->text ? tensor->name : name->text);
}

bool tensor_file_rename(TensorFile *file, NameMatrix *name, const void *context, Error *err) {
    Renamed all = {0};
    bool ok = true;
    for (size_t i = 0; ok && i < file->tensor_count; i++) {
        MatrixName said = {0};
        name(context, i, &file->tensors[i], &said);
        ok = add_tensor(&all, &file->tensors[i], &said);
    }
    if (!ok || all.names.failed) {
        free(all.tensors);
        text_free(&all.names);
        return error_memory(err, file->path);
    }
    free(file->tensors);
    free(file->names);
    file->tensors = all.tensors;
    file->tensor_count = all.count;
    file->names = all.names.data;
    const char *text = all.names.data;
    for (size_t i = 0; i < all.count; i++, text += strlen(text) + 1) file->tensors[i].name = text;
    return true;
}

uint64_t tensor_elements(const Tensor *tensor) {
    uint64_t n = 1;
    for (int i = 0; i < tensor->rank; i++) n *= tensor->shape[i];
    return n;
}

size_t tensor_stored_bytes(const Tensor *tensor) { return tensor->stored ? tensor->stored_bytes : tensor->bytes; }
