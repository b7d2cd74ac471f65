// The head of a safetensors file, which precedes the data: the length of the header, the header, padding.
//
//     SafetensorsHead head;
//     safetensors_head_begin(&head);
//     safetensors_head_add(&head, "logits", DTYPE_F32, 2, (uint64_t[]){tokens, vocab}); // in the order of the data
//     if (!safetensors_head_end(&head, err)) …
//     // write head.text, then the data of each tensor, one right behind the other
//     text_free(&head.text);
#pragma once

#include <stdint.h>

#include "base/array.h"
#include "kernels/dtype.h"

typedef struct SafetensorsHead {
    Text text;
    uint64_t data_bytes; // of the tensors so far: where the next one begins
} SafetensorsHead;

void safetensors_head_begin(SafetensorsHead *head);
void safetensors_head_add(SafetensorsHead *head, const char *name, DType dtype, int rank, const uint64_t *shape);
bool safetensors_head_end(SafetensorsHead *head, Error *err); // false: memory was short
