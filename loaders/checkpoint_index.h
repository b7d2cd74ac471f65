// model.safetensors.index.json: which tensor is in which of several files.
#pragma once

#include "base/json.h"

// Names inside a folder, as a list that owns them.
typedef struct Names {
    char **items;
    size_t count, capacity;
} Names;

void names_free(Names *names);
bool names_add(Names *names, const char *name); // false: memory is short
// Adds what is in a folder, sorted; hidden things are left out.
bool names_list(const char *folder, Names *out, Error *err);

// Reads the index at `path`. Appends the names of the files, each once; *document (cJSON_Delete) holds the weight_map.
// File names may lead into folders below, but never out of the folder of the index.
bool index_read(const char *path, cJSON **document, Names *files, Error *err);
// The same from memory; `path` is for messages.
bool index_parse(const char *path, const char *text, size_t length, cJSON **document, Names *files, Error *err);
