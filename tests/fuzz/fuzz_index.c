// Any bytes as model.safetensors.index.json: refused with a message, or file names that do not lead out of its folder.
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "loaders/checkpoint_index.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_file_name(const char *name) {
    if (!*name || *name == '/' || strchr(name, '\\')) abort();
    for (const char *part = name; part; part = strchr(part, '/') ? strchr(part, '/') + 1 : NULL) {
        if (strcspn(part, "/") == 2 && strncmp(part, "..", 2) == 0) abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    cJSON *document;
    Names files = {0};
    Error err = {0};
    bool ok = index_parse("index", (const char *)data, size, &document, &files, &err);
    if (!ok && (!err.message[0] || !text_is_utf8(err.message, strlen(err.message)))) abort();
    if (ok && !files.count) abort();
    for (size_t i = 0; ok && i < files.count; i++) check_file_name(files.items[i]);
    names_free(&files);
    cJSON_Delete(document);
    return 0;
}
