// Any bytes as a safetensors file: refused with a message, or tensors that lie within the bytes, one after the other.
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "loaders/safetensors.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_tensor_place(const Tensor *tensor, const uint8_t **at, const uint8_t *end) {
    if (tensor->data != *at || tensor->bytes > (size_t)(end - *at)) abort();
    if (tensor->rank < 0 || tensor->rank > TENSOR_MAX_RANK) abort();
    if (!text_is_utf8(tensor->name, strlen(tensor->name))) abort();
    size_t element = dtype_bytes(tensor->dtype);
    if (element && tensor_elements(tensor) * element != tensor->bytes) abort();
    *at += tensor->bytes;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    TensorFile file;
    Error err = {0};
    if (!safetensors_read("file", data, size, &file, &err)) {
        if (!err.message[0] || !text_is_utf8(err.message, strlen(err.message))) abort();
        return 0;
    }
    uint64_t header;
    memcpy(&header, data, sizeof header);
    const uint8_t *at = data + sizeof header + header;
    for (size_t i = 0; i < file.tensor_count; i++) check_tensor_place(&file.tensors[i], &at, data + size);
    if (at != data + size) abort();
    tensor_file_close(&file);
    return 0;
}
