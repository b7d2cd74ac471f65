// One file of tensors, mapped into memory: what readers of safetensors and GGUF make of it.
//
// Tensors of checkpoints that are quantized already are made from several tensors of the file, or from one whose
// numbers lie in blocks (loaders/stored/stored.h).
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "kernels/dtype.h"
#include "loaders/mapping.h"

#define TENSOR_MAX_RANK 8

// How a GGUF file has a tensor, where that is not how a checkpoint has it.
typedef struct TensorForm {
    const struct GgufFormat *format; // of its numbers
    size_t paired;                   // rows of a head, whose pairs lie side by side (gguf_source_row); 0: as usual
    bool plus_one;                   // a gain that is stored whole, where the checkpoint has it less one
} TensorForm;

typedef struct Tensor {
    const char *name; // NUL-terminated UTF-8, owned by the file; names holding U+0000 are refused
    DType dtype;      // DTYPE_OTHER where numbers lie in blocks
    int rank;
    uint64_t shape[TENSOR_MAX_RANK];
    const void *data; // no alignment is promised
    size_t bytes;
    const char *file;           // path of the file that holds it, for messages
    const struct Tensor *whole; // of one expert: the tensor of all of them; NULL: it is no part of another
    const TensorForm *form;     // NULL: plain

    // Made tensors only. Their data is there between tensor_hold and tensor_release.
    const char *stored;        // what the file holds instead: "GPTQ 4-bit g128"; NULL: the tensor is as in the file
    size_t stored_bytes;       // and how much of it
    struct StoredMatrix *made; // how the data is made
} Tensor;

typedef struct TensorFile {
    char *path;
    Mapping *mapping;   // NULL: the bytes are somebody else's
    const uint8_t *map; // the whole file
    size_t map_bytes;
    size_t head_bytes; // what stands before the data: names, types, places
    Tensor *tensors;   // in file order
    size_t tensor_count;
    void *names;       // storage behind the names
    TensorForm *forms; // of GGUF, of all tensors; those that matter are in Tensor.form
} TensorFile;

void tensor_file_close(TensorFile *file);

// What a tensor is called in a checkpoint that holds each matrix by itself.
typedef struct MatrixName {
    char text[192];   // "": it keeps its name
    size_t expert_at; // the tensor [experts, …] is a matrix for each expert, whose number stands here; 0: one tensor
    bool is_row;      // the vector is a matrix of one row
} MatrixName;

// Gives all tensors the names that name() says, and takes those of several experts apart, in the order of the file.
typedef void NameMatrix(const void *context, size_t index, const Tensor *tensor, MatrixName *out);
bool tensor_file_rename(TensorFile *file, NameMatrix *name, const void *context, Error *err);

uint64_t tensor_elements(const Tensor *tensor);
size_t tensor_stored_bytes(const Tensor *tensor); // what it takes in the file
