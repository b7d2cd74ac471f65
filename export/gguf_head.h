// The head of a GGUF file (version 3): keys with values, and what tensors follow. All sizes are known before the first
// number of a tensor is.
//
//     GgufHead head = {0};
//     gguf_key_string(&head, "general.architecture", "llama");
//     uint64_t at = gguf_head_add(&head, "output_norm.weight", GGUF_F32, 1, (uint64_t[]){hidden}); // in the order …
//     if (!gguf_head_end(&head, err)) …                                                          // … of the data
//     // write head.text; the data of each tensor begins head.text.length + at bytes into the file
//     gguf_head_free(&head);
#pragma once

#include <stdint.h>

#include "base/array.h"
#include "loaders/gguf_formats.h"

#define GGUF_ALIGNMENT 32 // of the data of tensors

typedef struct GgufHead {
    Text text; // after gguf_head_end: the bytes before the data
    Text keys, tensors;
    uint64_t key_count, tensor_count;
    uint64_t data_bytes; // of the tensors so far, each rounded up to the alignment
    char prefix[32];     // stands before keys that begin with a dot: "llama"
} GgufHead;

void gguf_key_u32(GgufHead *head, const char *key, uint32_t value);
void gguf_key_f32(GgufHead *head, const char *key, float value);
void gguf_key_bool(GgufHead *head, const char *key, bool value);
void gguf_key_string(GgufHead *head, const char *key, const char *value);

// A list: its head, then `count` items of its kind.
typedef enum GgufItem { GGUF_ITEMS_I32 = 5, GGUF_ITEMS_F32 = 6, GGUF_ITEMS_BOOL = 7, GGUF_ITEMS_STRING = 8 } GgufItem;
void gguf_key_list(GgufHead *head, const char *key, GgufItem kind, uint64_t count);
void gguf_item_i32(GgufHead *head, int32_t value);
void gguf_item_f32(GgufHead *head, float value);
void gguf_item_bool(GgufHead *head, bool value);
void gguf_item_string(GgufHead *head, const char *bytes, size_t length);

// shape: outermost first, as everywhere here (the file has it the other way round). Returns where its data begins,
// behind the head.
uint64_t gguf_head_add(GgufHead *head, const char *name, GgufType type, int rank, const uint64_t *shape);
bool gguf_head_end(GgufHead *head, Error *err); // false: memory was short
void gguf_head_free(GgufHead *head);
