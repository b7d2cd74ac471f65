#include "loaders/documents.h"

#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "loaders/gguf_documents.h"
#include "loaders/recognize.h"

#define FILE_LIMIT ((size_t)512 << 20)

// Made from the keys of a GGUF file; *out stays NULL where they do not say it.
static const struct {
    const char *name;
    bool (*make)(const GgufSet *set, cJSON **out, Error *err);
} made[] = {
    {"config.json", gguf_config},
    {"tokenizer.json", gguf_tokenizer},
    {"tokenizer_config.json", gguf_tokenizer_config},
};
enum { MADE = sizeof made / sizeof *made };

// MADE: a GGUF file says nothing of it.
static int find_made(const char *name) {
    int i = 0;
    while (i < MADE && strcmp(made[i].name, name) != 0) i++;
    return i;
}

bool source_is_gguf(const char *source) { return gguf_is_name(source) && file_exists(source); }

static bool make_document(const char *path, const char *name, cJSON **out, Error *err) {
    const int i = find_made(name);
    GgufSet set;
    if (i == MADE) return true;
    if (!gguf_set_open(path, &set, err)) return false;
    const bool ok = made[i].make(&set, out, err) || error_prefix(err, "%s", path);
    gguf_set_close(&set);
    return ok;
}

static bool read_file(const char *folder, const char *name, cJSON **out, Error *err) {
    char *path = path_join(folder, name), *text = NULL;
    size_t length;
    bool ok = path || error_memory(err, name);
    if (ok && file_exists(path)) {
        ok = file_read(path, FILE_LIMIT, &text, &length, err) &&
             ((*out = json_parse(text, length, err)) || error_prefix(err, "%s", path));
    } else if (ok) {
        ok = !recognize_broken_link(folder, name, err);
    }
    free(text);
    free(path);
    return ok;
}

bool document_read(const char *source, const char *name, cJSON **out, Error *err) {
    *out = NULL;
    return source_is_gguf(source) ? make_document(source, name, out, err) : read_file(source, name, out, err);
}

bool document_is_there(const char *source, const char *name) {
    if (source_is_gguf(source)) return find_made(name) < MADE;
    char *path = path_join(source, name);
    const bool there = path && (file_exists(path) || recognize_broken_link(source, name, NULL)); // reading it tells
    free(path);
    return there;
}
