#include "export/gguf_head.h"

#include <stdio.h>
#include <string.h>

enum { VERSION = 3 };

// Kinds of single values, as the file numbers them.
enum { KIND_U32 = 4, KIND_F32 = 6, KIND_BOOL = 7, KIND_STRING = 8, KIND_LIST = 9 };

// Little-endian, as every machine this is built for.
static void add_u32(Text *text, uint32_t value) { text_add(text, (const char *)&value, sizeof value); }
static void add_u64(Text *text, uint64_t value) { text_add(text, (const char *)&value, sizeof value); }
static void add_f32(Text *text, float value) { text_add(text, (const char *)&value, sizeof value); }

static void add_bytes(Text *text, const char *bytes, size_t length) {
    add_u64(text, length);
    text_add(text, bytes, length);
}

static void begin_key(GgufHead *head, const char *key, uint32_t kind) {
    char whole[128];
    int length = snprintf(whole, sizeof whole, "%s%s", *key == '.' ? head->prefix : "", key);
    add_bytes(&head->keys, whole, (size_t)length);
    add_u32(&head->keys, kind);
    head->key_count++;
}

void gguf_key_u32(GgufHead *head, const char *key, uint32_t value) {
    begin_key(head, key, KIND_U32);
    add_u32(&head->keys, value);
}

void gguf_key_f32(GgufHead *head, const char *key, float value) {
    begin_key(head, key, KIND_F32);
    add_f32(&head->keys, value);
}

void gguf_key_bool(GgufHead *head, const char *key, bool value) {
    begin_key(head, key, KIND_BOOL);
    gguf_item_bool(head, value);
}

void gguf_key_string(GgufHead *head, const char *key, const char *value) {
    begin_key(head, key, KIND_STRING);
    add_bytes(&head->keys, value, strlen(value));
}

void gguf_key_list(GgufHead *head, const char *key, GgufItem kind, uint64_t count) {
    begin_key(head, key, KIND_LIST);
    add_u32(&head->keys, (uint32_t)kind);
    add_u64(&head->keys, count);
}

void gguf_item_i32(GgufHead *head, int32_t value) { add_u32(&head->keys, (uint32_t)value); }
void gguf_item_f32(GgufHead *head, float value) { add_f32(&head->keys, value); }
void gguf_item_bool(GgufHead *head, bool value) { text_add(&head->keys, value ? "\1" : "\0", 1); }
void gguf_item_string(GgufHead *head, const char *bytes, size_t length) { add_bytes(&head->keys, bytes, length); }

uint64_t gguf_head_add(GgufHead *head, const char *name, GgufType type, int rank, const uint64_t *shape) {
    const uint64_t begin = head->data_bytes;
    uint64_t elements = 1;
    add_bytes(&head->tensors, name, strlen(name));
    add_u32(&head->tensors, (uint32_t)rank);
    for (int i = rank - 1; i >= 0; i--) {
        add_u64(&head->tensors, shape[i]);
        elements *= shape[i];
    }
    add_u32(&head->tensors, (uint32_t)type);
    add_u64(&head->tensors, begin);
    head->tensor_count++;
    const uint64_t end = begin + gguf_bytes(type, elements);
    head->data_bytes = (end + GGUF_ALIGNMENT - 1) / GGUF_ALIGNMENT * GGUF_ALIGNMENT;
    return begin;
}

bool gguf_head_end(GgufHead *head, Error *err) {
    Text *text = &head->text;
    text_add(text, "GGUF", 4);
    add_u32(text, VERSION);
    add_u64(text, head->tensor_count);
    add_u64(text, head->key_count);
    text_add(text, head->keys.data, head->keys.length);
    text_add(text, head->tensors.data, head->tensors.length);
    while (text->length % GGUF_ALIGNMENT) text_add(text, "", 1);
    if (text->failed || head->keys.failed || head->tensors.failed) return error_memory(err, "the head of a GGUF file");
    text_free(&head->keys);
    text_free(&head->tensors);
    return true;
}

void gguf_head_free(GgufHead *head) {
    text_free(&head->text);
    text_free(&head->keys);
    text_free(&head->tensors);
    *head = (GgufHead){0};
}
