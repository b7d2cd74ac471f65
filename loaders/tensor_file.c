#include "loaders/tensor_file.h"

#include <stdlib.h>

void tensor_file_close(TensorFile *file) {
    mapping_close(file->mapping);
    free(file->tensors);
    free(file->names);
    free(file->forms);
    free(file->path);
    *file = (TensorFile){0};
}

uint64_t tensor_elements(const Tensor *tensor) {
    uint64_t n = 1;
    for (int i = 0; i < tensor->rank; i++) n *= tensor->shape[i];
    return n;
}

size_t tensor_stored_bytes(const Tensor *tensor) { return tensor->stored ? tensor->stored_bytes : tensor->bytes; }
