// One safetensors file, mapped into memory and validated in full (format: reference README of the safetensors project).
// Nothing is copied: tensor data points into the mapping, which lives until safetensors_close.
//
// Tensors of checkpoints that are quantized already are made from several tensors of the file
// (loaders/stored/stored.h).
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "kernels/dtype.h"
#include "loaders/mapping.h"

#define TENSOR_MAX_RANK 8

typedef struct Tensor {
    const char *name; // NUL-terminated UTF-8, owned by the file; names holding U+0000 are refused
    DType dtype;
    int rank;
    uint64_t shape[TENSOR_MAX_RANK];
    const void *data; // no alignment is promised
    size_t bytes;
    const char *file;           // path of the file that holds it, for messages
    const struct Tensor *whole; // of one expert: the tensor of all of them; NULL: it is no part of another

    // Made tensors only. Their data is there between tensor_hold and tensor_release.
    const char *stored;        // what the file holds instead: "GPTQ 4-bit g128"; NULL: the tensor is as in the file
    size_t stored_bytes;       // and how much of it
    struct StoredMatrix *made; // how the data is made
} Tensor;

typedef struct Safetensors {
    char *path;
    Mapping *mapping;   // NULL: the bytes are somebody else's
    const uint8_t *map; // the whole file
    size_t map_bytes;
    Tensor *tensors; // in file order
    size_t tensor_count;
    void *names; // storage behind the names
} Safetensors;

// Errors name the file, the tensor and the reason, in the order of checks of the reference implementation: header too
// small, header too large, header length beyond the file, not UTF-8, not the schema, offsets
// not contiguous, shape overflow, size mismatch, file longer or shorter than the tensors.
bool safetensors_open(const char *path, Safetensors *out, Error *err);
void safetensors_close(Safetensors *file);

// The same for a file whose bytes are in memory already, and stay there until safetensors_close. `path` is for
// messages.
bool safetensors_read(const char *path, const void *bytes, size_t size, Safetensors *out, Error *err);

uint64_t tensor_elements(const Tensor *tensor);
size_t tensor_stored_bytes(const Tensor *tensor); // what it takes in the file
