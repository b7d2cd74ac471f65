#include "loaders/checkpoint_name.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/file.h"
#include "loaders/checkpoint.h"
#include "loaders/gguf_set.h"
#include "loaders/hub.h"

// Behind the last slash that something follows.
static char *last_part(const char *path) {
    size_t end = strlen(path);
    while (end > 1 && path[end - 1] == '/') end--;
    size_t begin = end;
    while (begin && path[begin - 1] != '/') begin--;
    return strndup(path + begin, end - begin);
}

static bool says_nothing(const char *name) {
    return !*name || strcmp(name, "/") == 0 || strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

// Of a folder; a snapshot of the Hugging Face cache has the hash of a commit for a name.
static char *name_of_folder(const char *folder) {
    char *whole = realpath(folder, NULL), *name = last_part(folder), *real = whole ? last_part(whole) : NULL;
    if (name && real && (says_nothing(name) || strcmp(name, real) == 0)) {
        char *hub = hub_name_of(whole);
        free(name);
        name = hub ? last_part(hub) : strdup(real);
        free(hub);
    }
    free(real);
    free(whole);
    return name;
}

static void cut_ending(char *name, const char *ending) {
    const size_t length = strlen(name), most = strlen(ending);
    if (length > most && strcmp(name + length - most, ending) == 0) name[length - most] = '\0';
}

// "model.safetensors" and its index are in every folder.
static char *name_of_file(const char *path, const char *folder) {
    char *name = last_part(path);
    size_t stem;
    unsigned number, of;
    if (name && !gguf_is_name(name) && strncmp(name, "model", 5) == 0) {
        free(name);
        return name_of_folder(folder);
    }
    if (name && gguf_split_name(name, &stem, &number, &of)) name[stem] = '\0';
    if (name) cut_ending(name, ".gguf");
    if (name) cut_ending(name, ".safetensors");
    return name;
}

// "org/model" as its folder in the cache spells it; as the user did, where that folder is a link to another place.
static char *whole_hub_name(const char *path, const char *folder) {
    char *name = hub_name_of(folder);
    if (name || folder_exists(path) || file_exists(path)) return name;
    name = hub_name_in(path);
    if (name) name[strcspn(name, "@")] = '\0';
    return name;
}

static char *name_of_hub(const char *path, const char *folder) {
    char *whole = whole_hub_name(path, folder), *name = whole ? last_part(whole) : NULL;
    free(whole);
    return name;
}

char *checkpoint_name_of(const char *path, const char *folder) {
    char *name = folder_exists(path) ? name_of_folder(path)
                 : file_exists(path) ? name_of_file(path, folder)
                                     : name_of_hub(path, folder);
    char *shown = name ? text_printable(name, strlen(name), false) : NULL;
    free(name);
    return shown;
}

char *checkpoint_hub_name(const Checkpoint *checkpoint) {
    char *name = whole_hub_name(checkpoint->path, checkpoint->folder);
    if (name && strchr(name, '/')) return name;
    free(name);
    return NULL;
}
