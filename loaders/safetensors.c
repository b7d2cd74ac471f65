// Order of checks: safetensors reference implementation, tensor.rs (Metadata::validate).
#include "loaders/safetensors.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/recognize.h"
#include "loaders/header_json.h"

#define LENGTH_BYTES 8
#define HEADER_MOST 100000000u

typedef struct StoredType {
    const char *name;
    uint64_t bits;
    DType dtype;
} StoredType;

static const StoredType stored_types[] = {
    {"BF16", 16, DTYPE_BF16},
    {"F32", 32, DTYPE_F32},
    {"F16", 16, DTYPE_F16},
    {"F64", 64, DTYPE_F64},
    {"F8_E4M3", 8, DTYPE_F8_E4M3},
    {"F8_E5M2", 8, DTYPE_F8_E5M2},
    {"I8", 8, DTYPE_I8},
    {"U8", 8, DTYPE_U8},
    {"I16", 16, DTYPE_I16},
    {"U16", 16, DTYPE_U16},
    {"I32", 32, DTYPE_I32},
    {"U32", 32, DTYPE_U32},
    {"I64", 64, DTYPE_I64},
    {"U64", 64, DTYPE_U64},
    {"BOOL", 8, DTYPE_BOOL},
    {"F4", 4, DTYPE_OTHER},
    {"F6_E2M3", 6, DTYPE_OTHER},
    {"F6_E3M2", 6, DTYPE_OTHER},
    {"F8_E8M0", 8, DTYPE_F8_E8M0},
    {"F8_E4M3FNUZ", 8, DTYPE_OTHER},
    {"F8_E5M2FNUZ", 8, DTYPE_OTHER},
    {"C64", 64, DTYPE_OTHER},
};

typedef struct HeaderEntry {
    Tensor tensor;
    uint64_t begin, end; // data_offsets
    uint64_t bits;       // per element
} HeaderEntry;

typedef struct SafetensorsHeader {
    HeaderText json;
    HeaderEntry *entries;
    size_t count, capacity;
} SafetensorsHeader;

// ---- Messages ----

__attribute__((format(printf, 3, 4))) static bool refuse_tensor(const SafetensorsHeader *header, const char *name,
                                                                const char *format, ...) {
    va_list args;
    va_start(args, format);
    char reason[512];
    vsnprintf(reason, sizeof reason, format, args);
    va_end(args);
    char *shown = text_printable(name, strlen(name), false);
    error_set(header->json.err, "%s: tensor \"%.200s\": %s", header->json.path, shown ? shown : "?", reason);
    free(shown);
    return false;
}

// ---- The schema ----

static bool is_text(const char *string, size_t length, const char *text) {
    return length == strlen(text) && memcmp(string, text, length) == 0;
}

static bool read_dtype(SafetensorsHeader *header, HeaderEntry *entry) {
    char *name;
    size_t length;
    if (!header_string(&header->json, &name, &length)) return false;
    for (size_t i = 0; i < sizeof stored_types / sizeof *stored_types; i++) {
        if (!is_text(name, length, stored_types[i].name)) continue;
        entry->tensor.dtype = stored_types[i].dtype;
        entry->bits = stored_types[i].bits;
        return true;
    }
    char *shown = text_printable(name, length, false);
    refuse_tensor(header, entry->tensor.name, "unknown dtype \"%.40s\"", shown ? shown : "?");
    free(shown);
    return false;
}

static bool read_shape(SafetensorsHeader *header, HeaderEntry *entry) {
    Tensor *tensor = &entry->tensor;
    if (!header_expect(&header->json, '[', "shape must be an array")) return false;
    if (header_accept(&header->json, ']')) return true;
    bool ok = true;
    do {
        if (tensor->rank == TENSOR_MAX_RANK) {
            return refuse_tensor(header, tensor->name, "has more than %d dimensions, which is not supported",
                                 TENSOR_MAX_RANK);
        }
        if (!header_u64(&header->json, &tensor->shape[tensor->rank++])) return false;
    } while (header_another(&header->json, ']', &ok));
    return ok;
}

static bool read_offsets(SafetensorsHeader *header, HeaderEntry *entry) {
    return header_expect(&header->json, '[', "data_offsets must be an array") &&
           header_u64(&header->json, &entry->begin) &&
           header_expect(&header->json, ',', "data_offsets must have two numbers") &&
           header_u64(&header->json, &entry->end) &&
           header_expect(&header->json, ']', "data_offsets must have two numbers");
}

static bool read_entry(SafetensorsHeader *header, HeaderEntry *entry) {
    static const struct {
        const char *name;
        bool (*read)(SafetensorsHeader *, HeaderEntry *);
    } fields[] = {{"dtype", read_dtype}, {"shape", read_shape}, {"data_offsets", read_offsets}};
    enum { FIELDS = sizeof fields / sizeof *fields };
    bool seen[FIELDS] = {false}, ok = true;
    if (!header_expect(&header->json, '{', "a tensor must be described by an object")) return false;
    if (!header_accept(&header->json, '}')) {
        do {
            char *key;
            size_t length, f = 0;
            if (!header_string(&header->json, &key, &length)) return false;
            while (f < FIELDS && !is_text(key, length, fields[f].name)) f++;
            if (f < FIELDS && seen[f])
                return refuse_tensor(header, entry->tensor.name, "%s is there twice", fields[f].name);
            if (!header_expect(&header->json, ':', "expected :")) return false;
            if (f < FIELDS) seen[f] = true;
            if (f < FIELDS ? !fields[f].read(header, entry) : !header_skip_value(&header->json, 3)) return false;
        } while (header_another(&header->json, '}', &ok));
    }
    for (size_t f = 0; ok && f < FIELDS; f++) {
        if (!seen[f]) ok = refuse_tensor(header, entry->tensor.name, "%s is missing", fields[f].name);
    }
    return ok;
}

// Texts by name, or null. They are not used, but the file is only valid when they are texts.
static bool read_metadata(SafetensorsHeader *header) {
    if (header_peek(&header->json) == 'n') return header_word(&header->json, "null");
    if (!header_expect(&header->json, '{', "__metadata__ must be an object")) return false;
    if (header_accept(&header->json, '}')) return true;
    bool ok = true;
    do {
        char *text;
        size_t length;
        if (!header_string(&header->json, &text, &length) || !header_expect(&header->json, ':', "expected :"))
            return false;
        if (header_peek(&header->json) != '"')
            return header_refuse(&header->json, "__metadata__ may only hold strings");
        if (!header_string(&header->json, &text, &length)) return false;
    } while (header_another(&header->json, '}', &ok));
    return ok;
}

static bool read_tensor(SafetensorsHeader *header, char *name, size_t length) {
    if (strlen(name) != length) return refuse_tensor(header, name, "its name holds the character U+0000");
    header_keep(&header->json, length);
    if (!array_grow(&header->entries, header->count, &header->capacity, sizeof *header->entries)) {
        return error_memory(header->json.err, header->json.path);
    }
    HeaderEntry *entry = &header->entries[header->count++];
    *entry = (HeaderEntry){.tensor = {.name = name, .file = header->json.path}};
    return read_entry(header, entry);
}

static bool read_header(SafetensorsHeader *header) {
    if (!header_expect(&header->json, '{', "expected an object")) return false;
    bool ok = true, has_metadata = false;
    if (!header_accept(&header->json, '}')) {
        do {
            char *name;
            size_t length;
            if (!header_string(&header->json, &name, &length) || !header_expect(&header->json, ':', "expected :"))
                return false;
            if (!is_text(name, length, "__metadata__")) {
                if (!read_tensor(header, name, length)) return false;
            } else {
                if (has_metadata) return header_refuse(&header->json, "__metadata__ is there twice");
                has_metadata = true;
                if (!read_metadata(header)) return false;
            }
        } while (header_another(&header->json, '}', &ok));
    }
    header_skip_space(&header->json);
    return ok && (header->json.at == header->json.end || header_refuse(&header->json, "something follows the object"));
}

// ---- Validation ----

static int compare_names(const void *a, const void *b) {
    return strcmp(((const HeaderEntry *)a)->tensor.name, ((const HeaderEntry *)b)->tensor.name);
}

// Of one name, in the order of the header: so do the names lie in their storage.
static int compare_places(const void *a, const void *b) {
    const char *x = ((const HeaderEntry *)a)->tensor.name, *y = ((const HeaderEntry *)b)->tensor.name;
    int order = strcmp(x, y);
    return order ? order : (x > y) - (x < y);
}

static int compare_offsets(const void *a, const void *b) {
    const HeaderEntry *x = a, *y = b;
    if (x->begin != y->begin) return x->begin < y->begin ? -1 : 1;
    if (x->end != y->end) return x->end < y->end ? -1 : 1;
    return compare_names(a, b); // empty tensors may share their place
}

// Of a name that stands twice the last counts, as in the reference implementation; the layout shows whether the file is
// whole without the others.
static void drop_earlier(SafetensorsHeader *header) {
    size_t kept = 0;
    if (header->count) qsort(header->entries, header->count, sizeof *header->entries, compare_places);
    for (size_t i = 0; i < header->count; i++) {
        bool again = i + 1 < header->count && compare_names(&header->entries[i], &header->entries[i + 1]) == 0;
        if (!again) header->entries[kept++] = header->entries[i];
    }
    header->count = kept;
}

static bool check_entry(const SafetensorsHeader *header, HeaderEntry *entry, uint64_t start) {
    Tensor *tensor = &entry->tensor;
    if (entry->begin != start || entry->end < entry->begin) {
        return refuse_tensor(
            header, tensor->name, "data_offsets [%llu, %llu] do not continue at byte %llu, where the previous ends",
            (unsigned long long)entry->begin, (unsigned long long)entry->end, (unsigned long long)start);
    }
    uint64_t size = 1;
    bool overflow = false;
    for (int i = 0; i < tensor->rank && !overflow; i++)
        overflow = __builtin_mul_overflow(size, tensor->shape[i], &size);
    if (overflow || __builtin_mul_overflow(size, entry->bits, &size)) {
        return refuse_tensor(header, tensor->name, "its shape overflows 64 bits");
    }
    if (size % 8 != 0) return refuse_tensor(header, tensor->name, "its elements do not fill whole bytes");
    if (entry->end - entry->begin != size / 8) {
        return refuse_tensor(header, tensor->name, "shape and dtype need %llu bytes, data_offsets give %llu",
                             (unsigned long long)(size / 8), (unsigned long long)(entry->end - entry->begin));
    }
    tensor->bytes = size / 8;
    return true;
}

static bool check_layout(SafetensorsHeader *header, uint64_t data_bytes) {
    drop_earlier(header);
    if (header->count) qsort(header->entries, header->count, sizeof *header->entries, compare_offsets);
    uint64_t at = 0;
    for (size_t i = 0; i < header->count; i++) {
        if (!check_entry(header, &header->entries[i], at)) return false;
        at = header->entries[i].end;
    }
    if (at == data_bytes) return true;
    return error_set(header->json.err, "%s: the tensors take %llu bytes, the file has %llu for them: it is %s",
                     header->json.path, (unsigned long long)at, (unsigned long long)data_bytes,
                     at > data_bytes ? "cut off; download it again" : "too long");
}

// ---- open, close ----

static bool header_length(const TensorFile *file, uint64_t *out, Error *err) {
    uint64_t length = 0;
    if (file->map_bytes < LENGTH_BYTES) {
        return error_set(err, "%s: %zu bytes are too small for a safetensors header; download it again", file->path,
                         file->map_bytes);
    }
    for (int i = 0; i < LENGTH_BYTES; i++) length |= (uint64_t)file->map[i] << (8 * i);
    if (length > HEADER_MOST) {
        return error_set(err, "%s: header of %llu bytes is too large (at most %u); this is not a safetensors file",
                         file->path, (unsigned long long)length, HEADER_MOST);
    }
    if (length > file->map_bytes - LENGTH_BYTES) {
        return error_set(
            err,
            "%s: header length %llu goes beyond the file; it is cut off (download it again) or not a safetensors file",
            file->path, (unsigned long long)length);
    }
    *out = length;
    return true;
}

// Hands the checked entries over as tensors that point into the mapping.
static bool take_tensors(const SafetensorsHeader *header, size_t data_at, TensorFile *out, Error *err) {
    out->tensors = array_new(header->count, sizeof *out->tensors);
    if (!out->tensors) return error_memory(err, header->json.path);
    for (size_t i = 0; i < header->count; i++) {
        out->tensors[i] = header->entries[i].tensor;
        out->tensors[i].data = out->map + data_at + header->entries[i].begin;
    }
    out->tensor_count = header->count;
    out->head_bytes = data_at;
    return true;
}

static bool read_tensors(TensorFile *out, Error *err) {
    uint64_t length = 0;
    if (!header_length(out, &length, err)) return false;
    const char *text = (const char *)out->map + LENGTH_BYTES;
    if (!text_is_utf8(text, length)) return error_set(err, "%s: header is not UTF-8", out->path);
    SafetensorsHeader header = {
        .json = {.path = out->path, .text = text, .at = text, .end = text + length, .err = err}};
    header.json.strings = out->names = malloc(length + 1);
    if (!header.json.strings) return error_memory(err, out->path);
    uint64_t data_at = LENGTH_BYTES + length;
    bool ok = read_header(&header) && check_layout(&header, out->map_bytes - data_at) &&
              take_tensors(&header, data_at, out, err);
    free(header.entries);
    return ok;
}

bool safetensors_read(const char *path, const void *bytes, size_t size, TensorFile *out, Error *err) {
    *out = (TensorFile){.path = strdup(path), .map = bytes, .map_bytes = size};
    if (!out->path) return error_memory(err, path);
    if (read_tensors(out, err)) return true;
    tensor_file_close(out);
    return false;
}

bool safetensors_open(const char *path, TensorFile *out, Error *err) {
    *out = (TensorFile){0};
    Mapping *mapping;
    if (!mapping_open(path, &mapping, err)) return false;
    // What was wrong with a header whose file became shorter meanwhile is of no interest.
    const bool read = safetensors_read(path, mapping_data(mapping), mapping_bytes(mapping), out, err);
    if (mapping_intact(mapping, path, err) && read) {
        out->mapping = mapping;
        return true;
    }
    if (read)
        tensor_file_close(out);
    else if (recognize_bytes(mapping_data(mapping), mapping_bytes(mapping), EXPECTED_WEIGHTS, err))
        error_prefix(err, "%s", path);
    mapping_close(mapping);
    return false;
}
