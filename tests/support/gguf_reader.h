// A small reader of GGUF files, written apart from the writer, for tests.
#pragma once

#include <stddef.h>
#include <stdint.h>

typedef struct GgufKey {
    char name[128];
    uint32_t kind, item_kind; // as the file numbers them; 9: a list
    uint64_t count;           // of a list
    const uint8_t *value;     // behind kind and count
} GgufKey;

typedef struct GgufTensor {
    char name[64];
    uint32_t type;
    int rank;
    uint64_t shape[4]; // innermost first, as in the file
    uint64_t at;       // behind data
} GgufTensor;

typedef struct GgufFile {
    GgufKey *keys;
    GgufTensor *tensors;
    size_t key_count, tensor_count;
    const uint8_t *data;
} GgufFile;

// Everything here fails the running test when the file is not as it should be, or has no such key. The bytes must stay.
void gguf_read(const void *bytes, size_t size, GgufFile *out);
void gguf_free(GgufFile *file);

const GgufKey *gguf_find(const GgufFile *file, const char *name); // NULL when it is not there
const char *gguf_text(const GgufFile *file, const char *name);    // until the next call
double gguf_number(const GgufFile *file, const char *name);       // true is 1
const char *gguf_item(const GgufFile *file, const char *name, size_t index, size_t *length);
double gguf_item_number(const GgufFile *file, const char *name, size_t index);
const GgufTensor *gguf_tensor(const GgufFile *file, const char *name);
