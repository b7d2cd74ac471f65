#include "loaders/checkpoint_index.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/file.h"

#define INDEX_LIMIT ((size_t)256 << 20)
#define MOST_FILES 10000 // every name is looked for among all

void names_free(Names *names) {
    for (size_t i = 0; i < names->count; i++) free(names->items[i]);
    free(names->items);
    *names = (Names){0};
}

bool names_add(Names *names, const char *name) {
    if (!array_grow(&names->items, names->count, &names->capacity, sizeof *names->items)) return false;
    char *copy = strdup(name);
    if (!copy) return false;
    names->items[names->count++] = copy;
    return true;
}

static int compare_names(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

bool names_list(const char *folder, Names *out, Error *err) {
    DIR *listing = opendir(folder);
    if (!listing) return error_set(err, "%s: cannot be listed: %s", folder, strerror(errno));
    bool ok = true;
    for (struct dirent *item; ok && (item = readdir(listing));)
        ok = item->d_name[0] == '.' || names_add(out, item->d_name);
    closedir(listing);
    if (out->count) qsort(out->items, out->count, sizeof *out->items, compare_names);
    return ok || error_memory(err, folder);
}

static size_t names_find(const Names *names, const char *name) {
    size_t i = 0;
    while (i < names->count && strcmp(names->items[i], name) != 0) i++;
    return i;
}

// `path: what "name": reason`, with the name made fit to be shown; returns false.
static bool refuse(const char *path, const char *what, const char *name, const char *reason, Error *err) {
    char *shown = text_printable(name, strlen(name), false);
    error_set(err, "%s: %s \"%.200s\": %s", path, what, shown ? shown : "?", reason);
    free(shown);
    return false;
}

// A shard lies in the folder of its index, or in one below it.
static bool check_shard_name(const char *index, const char *name, Error *err) {
    for (const char *p = name; *p; p++) {
        if (*p == '\\') return refuse(index, "file", name, "path separators are not allowed", err);
        if ((unsigned char)*p < 0x20 || *p == 0x7F)
            return refuse(index, "file", name, "control characters are not allowed", err);
    }
    if (*name == '/') return refuse(index, "file", name, "leads out of the folder of the index", err);
    const char *part = name, *end;
    do {
        size_t length = strcspn(part, "/");
        end = part + length;
        if (length == 2 && strncmp(part, "..", 2) == 0)
            return refuse(index, "file", name, "leads out of the folder of the index", err);
        if (length == 0 || (!*end && length == 1 && *part == '.'))
            return refuse(index, "file", name, "is not a file name", err);
        part = end + 1;
    } while (*end);
    return true;
}

static bool read_weight_map(const char *index, const cJSON *map, Names *shards, Error *err) {
    if (!cJSON_IsObject(map)) return error_set(err, "%s: \"weight_map\" is missing or not an object", index);
    size_t last = 0; // neighbours usually share a shard
    for (const cJSON *item = map->child; item; item = item->next) {
        const char *file = cJSON_GetStringValue(item);
        if (!file) return refuse(index, "tensor", item->string, "its file must be a string", err);
        if (last < shards->count && strcmp(shards->items[last], file) == 0) continue;
        last = names_find(shards, file);
        if (last < shards->count) continue;
        if (!check_shard_name(index, file, err)) return false;
        if (shards->count == MOST_FILES) return error_set(err, "%s: names more than %d files", index, MOST_FILES);
        if (!names_add(shards, file)) return error_memory(err, index);
    }
    return shards->count > 0 || error_set(err, "%s: \"weight_map\" names no tensors", index);
}

bool index_parse(const char *path, const char *text, size_t length, cJSON **document, Names *files, Error *err) {
    *document = json_parse(text, length, err);
    if (!*document) return error_prefix(err, "%s", path);
    return read_weight_map(path, cJSON_GetObjectItemCaseSensitive(*document, "weight_map"), files, err);
}

bool index_read(const char *path, cJSON **document, Names *files, Error *err) {
    char *text;
    size_t length;
    *document = NULL;
    if (!file_read(path, INDEX_LIMIT, &text, &length, err)) return false;
    bool ok = index_parse(path, text, length, document, files, err);
    free(text);
    return ok;
}
