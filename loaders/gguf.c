#include "loaders/gguf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/recognize.h"

enum { MOST_DIMENSIONS = 4, ALIGNMENT = 32, MOST_NAME = 1 << 16 };
#define MOST_ALIGNMENT ((uint64_t)1 << 24)

// Kinds of values, as the file numbers them.
enum { KIND_BOOL = 7, KIND_TEXT = 8, KIND_LIST = 9, KIND_COUNT = 13 };
// Bytes of one; 0: a text or a list.
static const uint8_t kind_bytes[KIND_COUNT] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};

typedef struct GgufReader {
    const char *path;
    const uint8_t *begin, *at, *end;
    Gguf *out;
    uint64_t alignment;
    Text names; // of the tensors so far, each with a NUL behind
    Error *err;
} GgufReader;

// ---- Errors ----

__attribute__((format(printf, 4, 5))) static bool refuse_named(const GgufReader *r, const char *what, const char *name,
                                                               const char *format, ...) {
    char reason[256];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(reason, sizeof reason, format, arguments);
    va_end(arguments);
    char *shown = text_printable(name, strlen(name), false);
    error_set(r->err, "%s: %s %.200s: %s", r->path, what, shown ? shown : "?", reason);
    free(shown);
    return false;
}

static bool cut_off(const GgufReader *r, const char *where) {
    return error_set(r->err, "%s: the file ends in %s; it is cut off: download it again", r->path, where);
}

// ---- Bytes ----

static size_t left(const GgufReader *r) { return (size_t)(r->end - r->at); }

// Little-endian, as every machine this is built for.
static bool take_bytes(GgufReader *r, void *out, size_t size, const char *where) {
    if (left(r) < size) return cut_off(r, where);
    memcpy(out, r->at, size);
    r->at += size;
    return true;
}

static bool take_text(GgufReader *r, const char **text, size_t *length, const char *where) {
    uint64_t said;
    if (!take_bytes(r, &said, sizeof said, where)) return false;
    if (said > left(r)) return cut_off(r, where);
    *text = (const char *)r->at;
    *length = (size_t)said;
    r->at += said;
    return true;
}

// ---- Keys ----

static bool skip_items(GgufReader *r, const GgufValue *value) {
    static const char where[] = "the values of its keys";
    const uint64_t bytes = kind_bytes[value->kind];
    const char *text;
    size_t length;
    if (bytes) {
        if (value->count > left(r) / bytes) return cut_off(r, where);
        r->at += value->count * bytes;
        return true;
    }
    for (uint64_t i = 0; i < value->count; i++) {
        if (!take_text(r, &text, &length, where)) return false;
    }
    return true;
}

static bool refuse_key(const GgufReader *r, const GgufValue *value, const char *reason) {
    char name[128];
    snprintf(name, sizeof name, "%.*s", value->key_length < 100 ? (int)value->key_length : 100, value->key);
    return refuse_named(r, "key", name, "%s", reason);
}

static bool read_value(GgufReader *r, GgufValue *value) {
    static const char where[] = "its keys";
    *value = (GgufValue){.count = 1};
    if (!take_text(r, &value->key, &value->key_length, where) ||
        !take_bytes(r, &value->kind, sizeof value->kind, where))
        return false;
    value->is_list = value->kind == KIND_LIST;
    if (value->is_list && (!take_bytes(r, &value->kind, sizeof value->kind, where) ||
                           !take_bytes(r, &value->count, sizeof value->count, where)))
        return false;
    if (value->kind >= KIND_COUNT || value->kind == KIND_LIST)
        return refuse_key(r, value, value->is_list ? "lists of lists are not read" : "its kind of value is not known");
    value->data = r->at;
    if (!skip_items(r, value)) return false;
    value->end = r->at;
    return true;
}

static bool read_values(GgufReader *r, uint64_t count) {
    enum { LEAST = 8 + 4 + 1 }; // bytes of a key with its value
    if (count > left(r) / LEAST)
        return error_set(r->err, "%s: %llu keys do not fit into the file; it is cut off: download it again", r->path,
                         (unsigned long long)count);
    r->out->values = array_new((size_t)count, sizeof *r->out->values);
    if (!r->out->values) return error_memory(r->err, r->path);
    for (uint64_t i = 0; i < count; i++) {
        if (!read_value(r, &r->out->values[i])) return false;
        r->out->value_count++;
    }
    return true;
}

static bool read_alignment(GgufReader *r) {
    const GgufValue *value = gguf_value(r->out, "", "general.alignment");
    double alignment = ALIGNMENT;
    if (value && !gguf_value_number(value, 0, &alignment)) alignment = 0;
    r->alignment = alignment >= 1 && alignment <= (double)MOST_ALIGNMENT ? (uint64_t)alignment : 0;
    return (r->alignment && !(r->alignment & (r->alignment - 1))) ||
           error_set(r->err, "%s: general.alignment must be a power of two", r->path);
}

// ---- Tensors ----

static bool take_name(GgufReader *r, Tensor *tensor) {
    const char *name;
    size_t length;
    if (!take_text(r, &name, &length, "the list of its tensors")) return false;
    if (length > MOST_NAME || memchr(name, 0, length) || !text_is_utf8(name, length))
        return error_set(r->err, "%s: tensor %zu has no valid name", r->path, r->out->file.tensor_count);
    const size_t at = r->names.length;
    text_add(&r->names, name, length);
    text_add(&r->names, "", 1);
    if (r->names.failed) return error_memory(r->err, r->path);
    tensor->name = r->names.data + at; // until the next one, since the text may move
    return true;
}

// The file has the innermost dimension first.
static bool take_shape(GgufReader *r, Tensor *tensor) {
    uint32_t rank;
    if (!take_bytes(r, &rank, sizeof rank, "the list of its tensors")) return false;
    if (rank > MOST_DIMENSIONS) return refuse_named(r, "tensor", tensor->name, "%u dimensions are too many", rank);
    tensor->rank = (int)rank;
    for (int i = tensor->rank - 1; i >= 0; i--) {
        if (!take_bytes(r, &tensor->shape[i], sizeof tensor->shape[i], "the list of its tensors")) return false;
        if (!tensor->shape[i]) return refuse_named(r, "tensor", tensor->name, "a dimension is 0");
    }
    return true;
}

static bool set_bytes(const GgufReader *r, Tensor *tensor, const GgufFormat *format) {
    uint64_t blocks = 1, bytes;
    bool overflow = false;
    const uint64_t columns = tensor->rank ? tensor->shape[tensor->rank - 1] : 1;
    if (columns % format->columns)
        return refuse_named(r, "tensor", tensor->name, "rows of %llu elements in blocks of %u (%s)",
                            (unsigned long long)columns, format->columns, format->name);
    for (int i = 0; i + 1 < tensor->rank && !overflow; i++)
        overflow = __builtin_mul_overflow(blocks, tensor->shape[i], &blocks);
    overflow = overflow || __builtin_mul_overflow(blocks, columns / format->columns, &blocks) ||
               __builtin_mul_overflow(blocks, (uint64_t)format->bytes, &bytes) || bytes > SIZE_MAX / 16;
    if (overflow) return refuse_named(r, "tensor", tensor->name, "its shape is too large");
    tensor->bytes = (size_t)bytes;
    return true;
}

static bool take_type(GgufReader *r, Tensor *tensor) {
    uint32_t type;
    if (!take_bytes(r, &type, sizeof type, "the list of its tensors")) return false;
    const GgufFormat *format = gguf_format(type);
    if (!format)
        return refuse_named(r, "tensor", tensor->name, "its element type has the number %u, which is not known", type);
    tensor->dtype = format->dtype;
    TensorForm *form = &r->out->file.forms[r->out->file.tensor_count];
    *form = (TensorForm){.format = format};
    if (format->columns > 1) tensor->form = form;
    return set_bytes(r, tensor, format);
}

// *at: where its data begins, behind the head.
static bool read_tensor(GgufReader *r, Tensor *tensor, uint64_t *at) {
    *tensor = (Tensor){.file = r->path};
    return take_name(r, tensor) && take_shape(r, tensor) && take_type(r, tensor) &&
           take_bytes(r, at, sizeof *at, "the list of its tensors");
}

static bool place_tensor(const GgufReader *r, Tensor *tensor, uint64_t at) {
    const size_t room = left(r);
    if (at % r->alignment)
        return refuse_named(r, "tensor", tensor->name, "its data begins at %llu, which is not a multiple of %llu",
                            (unsigned long long)at, (unsigned long long)r->alignment);
    if (at > room || tensor->bytes > room - at)
        return refuse_named(r, "tensor", tensor->name,
                            "its data ends behind the end of the file, which is cut off: download it again");
    tensor->data = r->at + at;
    return true;
}

// The data of all tensors begin behind the head, rounded up.
static void skip_padding(GgufReader *r) {
    const uint64_t over = (uint64_t)(r->at - r->begin) % r->alignment, padding = over ? r->alignment - over : 0;
    r->out->file.head_bytes = (size_t)(r->at - r->begin);
    r->at = padding > left(r) ? r->end : r->at + padding; // a file without tensors may end here
}

static bool read_tensors(GgufReader *r, uint64_t count) {
    enum { LEAST = 8 + 4 + 4 + 8 }; // bytes of a tensor's entry
    TensorFile *file = &r->out->file;
    if (count > left(r) / LEAST)
        return error_set(r->err, "%s: %llu tensors do not fit into the file; it is cut off: download it again", r->path,
                         (unsigned long long)count);
    uint64_t *places = array_new((size_t)count, sizeof *places);
    file->tensors = array_new((size_t)count, sizeof *file->tensors);
    file->forms = array_new((size_t)count, sizeof *file->forms);
    bool ok = (places && file->tensors && file->forms) || error_memory(r->err, r->path);
    for (; ok && file->tensor_count < count; file->tensor_count += ok)
        ok = read_tensor(r, &file->tensors[file->tensor_count], &places[file->tensor_count]);
    file->names = r->names.data;
    if (ok) skip_padding(r);
    const char *name = file->names ? file->names : "";
    for (size_t i = 0; ok && i < count; i++, name += strlen(name) + 1) {
        file->tensors[i].name = name;
        ok = place_tensor(r, &file->tensors[i], places[i]);
    }
    free(places);
    return ok;
}

// ---- The file ----

static bool check_version(const GgufReader *r, const uint8_t *magic, uint32_t version) {
    const bool is_gguf = memcmp(magic, "GGUF", 4) == 0;
    if (!is_gguf && recognize_bytes(r->begin, r->out->file.map_bytes, EXPECTED_WEIGHTS, r->err))
        return error_prefix(r->err, "%s", r->path);
    if (!is_gguf) return error_set(r->err, "%s: is not a GGUF file: it does not begin with \"GGUF\"", r->path);
    if (version == 2 || version == 3) return true;
    if (version && !(version & 0xFFFF))
        return error_set(r->err, "%s: is big-endian; convert it with gguf_convert_endian.py of the gguf package",
                         r->path);
    return error_set(r->err, "%s: GGUF version %u is not read, only 2 and 3; convert the model again with llama.cpp",
                     r->path, version);
}

static bool read_all(GgufReader *r) {
    static const char where[] = "its first bytes";
    uint8_t magic[4];
    uint32_t version;
    uint64_t tensors, values;
    return take_bytes(r, magic, sizeof magic, where) && take_bytes(r, &version, sizeof version, where) &&
           check_version(r, magic, version) && take_bytes(r, &tensors, sizeof tensors, where) &&
           take_bytes(r, &values, sizeof values, where) && read_values(r, values) && read_alignment(r) &&
           read_tensors(r, tensors);
}

bool gguf_parse(const char *path, const void *bytes, size_t size, Gguf *out, Error *err) {
    *out = (Gguf){.file = {.path = strdup(path), .map = bytes, .map_bytes = size}};
    if (!out->file.path) return error_memory(err, path);
    GgufReader reader = {.path = out->file.path,
                         .begin = bytes,
                         .at = bytes,
                         .end = (const uint8_t *)bytes + size,
                         .out = out,
                         .err = err};
    if (read_all(&reader)) return true;
    gguf_close(out);
    return false;
}

bool gguf_open(const char *path, Gguf *out, Error *err) {
    *out = (Gguf){0};
    Mapping *mapping;
    if (!mapping_open(path, &mapping, err)) return false;
    const bool read = gguf_parse(path, mapping_data(mapping), mapping_bytes(mapping), out, err);
    if (mapping_intact(mapping, path, err) && read) {
        out->file.mapping = mapping;
        return true;
    }
    if (read) gguf_close(out);
    mapping_close(mapping);
    return false;
}

void gguf_close(Gguf *gguf) {
    tensor_file_close(&gguf->file);
    free(gguf->values);
    *gguf = (Gguf){0};
}

// ---- Values ----

const GgufValue *gguf_value(const Gguf *gguf, const char *prefix, const char *key) {
    const size_t n = strlen(prefix), m = strlen(key);
    for (size_t i = 0; i < gguf->value_count; i++) {
        const GgufValue *value = &gguf->values[i];
        if (value->key_length == n + m && memcmp(value->key, prefix, n) == 0 && memcmp(value->key + n, key, m) == 0)
            return value;
    }
    return NULL;
}

#define AS(type)                            \
    {                                       \
        type number;                        \
        memcpy(&number, at, sizeof number); \
        *out = (double)number;              \
        return true;                        \
    }

bool gguf_value_number(const GgufValue *value, uint64_t index, double *out) {
    if (!value || index >= value->count || !kind_bytes[value->kind]) return false;
    const uint8_t *at = value->data + index * kind_bytes[value->kind];
    switch (value->kind) {
    case 0:
    case KIND_BOOL: AS(uint8_t)
    case 1: AS(int8_t)
    case 2: AS(uint16_t)
    case 3: AS(int16_t)
    case 4: AS(uint32_t)
    case 5: AS(int32_t)
    case 6: AS(float)
    case 10: AS(uint64_t)
    case 11: AS(int64_t)
    case 12: AS(double)
    default: return false;
    }
}

bool gguf_value_text(const GgufValue *value, const uint8_t **at, const char **text, size_t *length) {
    uint64_t said;
    if (!value || value->kind != KIND_TEXT) return false;
    if (*at == value->end) return false;
    memcpy(&said, *at, sizeof said);
    if (said > (size_t)(value->end - *at) - sizeof said) return false; // the file has changed since it was checked
    *text = (const char *)*at + sizeof said;
    *length = (size_t)said;
    *at += sizeof said + said;
    return true;
}

void gguf_architecture_of(const Gguf *gguf, char *out, size_t size) {
    const GgufValue *value = gguf_value(gguf, "", "general.architecture");
    const char *text;
    size_t length;
    *out = '\0';
    const uint8_t *at = value ? value->data : NULL;
    if (gguf_value_text(value, &at, &text, &length) && length < size) snprintf(out, size, "%.*s", (int)length, text);
}
