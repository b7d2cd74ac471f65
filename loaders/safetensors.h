// One safetensors file, mapped into memory and validated in full (format: reference README of the safetensors project).
// Nothing is copied: tensor data points into the mapping, which lives until tensor_file_close.
#pragma once

#include "base/error.h"
#include "loaders/tensor_file.h"

// Errors name the file, the tensor and the reason, in the order of checks of the reference implementation: header too
// small, header too large, header length beyond the file, not UTF-8, not the schema, offsets
// not contiguous, shape overflow, size mismatch, file longer or shorter than the tensors.
bool safetensors_open(const char *path, TensorFile *out, Error *err);

// The same for a file whose bytes are in memory already, and stay there until tensor_file_close. `path` is for
// messages.
bool safetensors_read(const char *path, const void *bytes, size_t size, TensorFile *out, Error *err);
