// One GGUF file (versions 2 and 3, little-endian), mapped into memory: its keys with values, and its tensors under the
// names that it gives them. Nothing in it is trusted: every count, length and place is checked before it is used.
// Format: docs/gguf.md of the ggml project.
#pragma once

#include "base/error.h"
#include "loaders/gguf_formats.h"
#include "loaders/tensor_file.h"

typedef struct GgufValue {
    const char *key; // not NUL-terminated
    size_t key_length;
    bool is_list;
    uint32_t kind;       // of the value, or of the items of a list, as the file numbers it
    uint64_t count;      // of items; 1 of what is no list
    const uint8_t *data; // the first item
    const uint8_t *end;  // behind the last
} GgufValue;

typedef struct Gguf {
    TensorFile file;
    GgufValue *values;
    size_t value_count;
} Gguf;

// Errors name the file, the tensor or the key, and the reason. Of shapes the outermost dimension stands first, as
// everywhere here. Tensors whose numbers lie in blocks have a form.
bool gguf_open(const char *path, Gguf *out, Error *err);
void gguf_close(Gguf *gguf);
// The same for a file whose bytes are in memory already, and stay there until gguf_close. `path` is for messages.
bool gguf_parse(const char *path, const void *bytes, size_t size, Gguf *out, Error *err);

// The value of a key that begins with a prefix ("llama", ".block_count"); NULL: there is none.
const GgufValue *gguf_value(const Gguf *gguf, const char *prefix, const char *key);

// Item `index` of a list, or a single value (0), as a number; true is 1. False: there is none, or it is no number.
bool gguf_value_number(const GgufValue *value, uint64_t index, double *out);

// The texts of a list, or a single one, one after the other: *at is value->data at the beginning. False: no more, or no
// texts. Bytes as they are in the file: neither NUL-terminated nor checked.
bool gguf_value_text(const GgufValue *value, const uint8_t **at, const char **text, size_t *length);

// general.architecture, "" when it does not say.
void gguf_architecture_of(const Gguf *gguf, char *out, size_t size);
