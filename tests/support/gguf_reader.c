#include "tests/support/gguf_reader.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

// Bytes of a value by kind; 0: a text or a list.
static const uint8_t sizes[] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};
enum { U32 = 4, I32 = 5, F32 = 6, BOOL = 7, TEXT = 8, LIST = 9, KINDS = sizeof sizes };

typedef struct Reader {
    const uint8_t *at, *end;
} Reader;

static const uint8_t *take(Reader *r, uint64_t n) {
    assert_true((uint64_t)(r->end - r->at) >= n);
    r->at += n;
    return r->at - n;
}

static uint32_t take_u32(Reader *r) {
    uint32_t value;
    memcpy(&value, take(r, sizeof value), sizeof value);
    return value;
}

static uint64_t take_u64(Reader *r) {
    uint64_t value;
    memcpy(&value, take(r, sizeof value), sizeof value);
    return value;
}

static void take_name(Reader *r, char *out, size_t size) {
    const uint64_t length = take_u64(r);
    assert_true(length < size);
    memcpy(out, take(r, length), length);
    out[length] = '\0';
}

static void skip_value(Reader *r, uint32_t kind) {
    assert_true(kind < KINDS && kind != LIST);
    take(r, kind == TEXT ? take_u64(r) : sizes[kind]);
}

static void read_key(Reader *r, GgufKey *key) {
    take_name(r, key->name, sizeof key->name);
    key->kind = take_u32(r);
    if (key->kind == LIST) {
        key->item_kind = take_u32(r);
        key->count = take_u64(r);
    }
    key->value = r->at;
    for (uint64_t i = 0; i < (key->kind == LIST ? key->count : 1); i++)
        skip_value(r, key->kind == LIST ? key->item_kind : key->kind);
}

static void read_tensor(Reader *r, GgufTensor *tensor) {
    take_name(r, tensor->name, sizeof tensor->name);
    tensor->rank = (int)take_u32(r);
    assert_true(tensor->rank >= 1 && tensor->rank <= 4);
    for (int i = 0; i < tensor->rank; i++) tensor->shape[i] = take_u64(r);
    tensor->type = take_u32(r);
    tensor->at = take_u64(r);
    assert_int_equal(tensor->at % 32, 0);
}

void gguf_read(const void *bytes, size_t size, GgufFile *out) {
    Reader r = {bytes, (const uint8_t *)bytes + size};
    assert_memory_equal(take(&r, 4), "GGUF", 4);
    assert_int_equal(take_u32(&r), 3);
    out->tensor_count = take_u64(&r);
    out->key_count = take_u64(&r);
    out->tensors = calloc(out->tensor_count + 1, sizeof *out->tensors);
    out->keys = calloc(out->key_count + 1, sizeof *out->keys);
    for (size_t i = 0; i < out->key_count; i++) read_key(&r, &out->keys[i]);
    for (size_t i = 0; i < out->tensor_count; i++) read_tensor(&r, &out->tensors[i]);
    out->data = take(&r, (32 - (uint64_t)(r.at - (const uint8_t *)bytes) % 32) % 32);
    out->data = r.at;
}

void gguf_free(GgufFile *file) {
    free(file->keys);
    free(file->tensors);
    *file = (GgufFile){0};
}

const GgufKey *gguf_find(const GgufFile *file, const char *name) {
    for (size_t i = 0; i < file->key_count; i++) {
        if (strcmp(file->keys[i].name, name) == 0) return &file->keys[i];
    }
    return NULL;
}

static const GgufKey *find_key(const GgufFile *file, const char *name) {
    const GgufKey *key = gguf_find(file, name);
    if (!key) fail_msg("there is no key %s", name);
    return key;
}

const char *gguf_text(const GgufFile *file, const char *name) {
    static char text[4096];
    const GgufKey *key = find_key(file, name);
    assert_int_equal(key->kind, TEXT);
    Reader r = {key->value, key->value + sizeof text};
    take_name(&r, text, sizeof text);
    return text;
}

static double number_at(const uint8_t *at, uint32_t kind) {
    uint32_t bits;
    int32_t integer;
    float real;
    if (kind == BOOL) return *at;
    memcpy(&bits, at, sizeof bits);
    memcpy(&integer, at, sizeof integer);
    memcpy(&real, at, sizeof real);
    assert_true(kind == U32 || kind == I32 || kind == F32);
    return kind == U32 ? bits : kind == I32 ? integer : (double)real;
}

double gguf_number(const GgufFile *file, const char *name) {
    const GgufKey *key = find_key(file, name);
    return number_at(key->value, key->kind);
}

const char *gguf_item(const GgufFile *file, const char *name, size_t index, size_t *length) {
    const GgufKey *key = find_key(file, name);
    const uint8_t *at = key->value;
    uint64_t n = 0;
    assert_true(key->kind == LIST && key->item_kind == TEXT && index < key->count);
    for (size_t i = 0; i <= index; i++) {
        at += n;
        memcpy(&n, at, sizeof n);
        at += sizeof n;
    }
    *length = n;
    return (const char *)at;
}

double gguf_item_number(const GgufFile *file, const char *name, size_t index) {
    const GgufKey *key = find_key(file, name);
    assert_true(key->kind == LIST && index < key->count);
    return number_at(key->value + index * sizes[key->item_kind], key->item_kind);
}

const GgufTensor *gguf_tensor(const GgufFile *file, const char *name) {
    for (size_t i = 0; i < file->tensor_count; i++) {
        if (strcmp(file->tensors[i].name, name) == 0) return &file->tensors[i];
    }
    fail_msg("there is no tensor %s", name);
    return NULL;
}
