#include "loaders/checkpoint.h"

#include <ctype.h>
#include <dirent.h>
#include <endian.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/array.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/json.h"
#include "loaders/checkpoint_index.h"
#include "loaders/recognize.h"

#define SINGLE_NAME "model.safetensors"
#define INDEX_NAME "model.safetensors.index.json"

static bool ends_with(const char *text, const char *ending) {
    size_t n = strlen(text), m = strlen(ending);
    return n >= m && strcmp(text + n - m, ending) == 0;
}

// ------------------------------------------------------------------------------------------------- the Hugging Face
// cache

// The folder of downloaded models, in the order in which huggingface_hub looks. NULL when no home is known.
static char *hub_folder(void) {
    const char *cache = getenv("HF_HUB_CACHE"), *home = getenv("HF_HOME"), *xdg = getenv("XDG_CACHE_HOME"),
               *user = getenv("HOME");
    char *path = NULL;
    int n = -1;
    if (cache && *cache) return strdup(cache);
    if (home && *home) return path_join(home, "hub");
    if (xdg && *xdg)
        n = asprintf(&path, "%s/huggingface/hub", xdg);
    else if (user && *user)
        n = asprintf(&path, "%s/.cache/huggingface/hub", user);
    return n < 0 ? NULL : path;
}

// "org/name" or "name": letters, digits and . _ -; each part starts with a letter, a digit or _.
static bool is_hub_name(const char *path) {
    int slashes = 0;
    bool start = true;
    for (const char *p = path; *p; p++) {
        unsigned char c = (unsigned char)*p;
        if (c == '/') {
            if (start || ++slashes > 1) return false;
            start = true;
        } else {
            if (!isalnum(c) && c != '_' && (start || (c != '.' && c != '-'))) return false;
            start = false;
        }
    }
    return !start;
}

// "models--org--name" for "org/name"; owned by the caller.
static char *hub_folder_name(const char *name) {
    Text text = {0};
    text_addf(&text, "models--");
    for (const char *p = name; *p; p++) text_add(&text, *p == '/' ? "--" : p, *p == '/' ? 2 : 1);
    if (!text.failed) return text.data;
    text_free(&text);
    return NULL;
}

// The only folder inside `folder`; NULL when there is none or more than one.
static char *only_folder_in(const char *folder) {
    DIR *listing = opendir(folder);
    if (!listing) return NULL;
    char *found = NULL;
    bool several = false;
    for (struct dirent *item; !several && (item = readdir(listing));) {
        if (item->d_name[0] == '.') continue;
        several = found != NULL;
        free(found);
        found = path_join(folder, item->d_name);
    }
    closedir(listing);
    if (several || (found && !folder_exists(found))) {
        free(found);
        return NULL;
    }
    return found;
}

// The snapshot that refs/main names, or the only one there is.
static char *snapshot_folder(const char *model) {
    char *ref = path_join(model, "refs/main"), *snapshots = path_join(model, "snapshots"), *found = NULL,
         *revision = NULL;
    size_t length = 0;
    if (ref && snapshots) {
        if (file_exists(ref) && file_read(ref, 256, &revision, &length, NULL)) {
            revision[strcspn(revision, " \t\r\n")] = '\0';
            if (is_hub_name(revision) && !strchr(revision, '/')) found = path_join(snapshots, revision);
        } else {
            found = only_folder_in(snapshots);
        }
    }
    free(ref);
    free(snapshots);
    free(revision);
    return found;
}

static bool find_in_hub(const char *name, char **folder, Error *err) {
    char *hub = hub_folder(), *model_name = hub_folder_name(name);
    char *model = hub && model_name ? path_join(hub, model_name) : NULL;
    bool ok = false;
    *folder = NULL;
    if (!model || !folder_exists(model)) {
        error_set(err,
                  "%s: there is no such file or folder, and no such model in the local Hugging Face cache (%s); "
                  "download it first",
                  name, hub ? hub : "no home folder is known");
    } else if (!(*folder = snapshot_folder(model)) || !folder_exists(*folder)) {
        error_set(err, "%s: %s holds no complete snapshot; download the model again", name, model);
    } else {
        ok = true;
    }
    if (!ok) {
        free(*folder);
        *folder = NULL;
    }
    free(hub);
    free(model_name);
    free(model);
    return ok;
}

// ------------------------------------------------------------------------------------------------------------- the
// files

static int compare_texts(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

static bool list_folder(const char *folder, Names *names, Error *err) {
    DIR *listing = opendir(folder);
    if (!listing) return error_set(err, "%s: cannot be listed: %s", folder, strerror(errno));
    bool ok = true;
    for (struct dirent *item; ok && (item = readdir(listing));) ok = names_add(names, item->d_name);
    closedir(listing);
    if (!ok) return error_memory(err, folder);
    if (names->count) qsort(names->items, names->count, sizeof *names->items, compare_texts);
    return true;
}

// The only *.safetensors file of the folder.
static bool find_single(const char *folder, Names *shards, Error *err) {
    Names names = {0};
    bool ok = list_folder(folder, &names, err);
    const char *found = NULL;
    for (size_t i = 0; ok && i < names.count; i++) {
        if (!ends_with(names.items[i], ".safetensors") || names.items[i][0] == '.') continue;
        if (found) {
            ok = error_set(err,
                           "%s: holds several safetensors files (%s, %s, …) but no " INDEX_NAME "; name one of them",
                           folder, found, names.items[i]);
        }
        found = names.items[i];
    }
    if (ok)
        ok = found ? recognize_lone_shard(folder, found, err) && (names_add(shards, found) || error_memory(err, folder))
                   : recognize_folder(folder, err);
    names_free(&names);
    return ok;
}

// Every tensor of the index must be in the shard that the index names.
static bool check_index(const Checkpoint *checkpoint, const char *index, const cJSON *document, Error *err) {
    const cJSON *map = cJSON_GetObjectItemCaseSensitive(document, "weight_map");
    for (const cJSON *item = map->child; item; item = item->next) {
        const Tensor *tensor = checkpoint_find(checkpoint, item->string);
        if (!tensor)
            return index_refuse(index, "tensor", item->string, "is in none of the files; download the checkpoint again",
                                err);
        const char *slash = strrchr(tensor->file, '/');
        if (strcmp(slash ? slash + 1 : tensor->file, item->valuestring) != 0) {
            return index_refuse(index, "tensor", item->string, "is not in the file that the index names", err);
        }
    }
    return true;
}

// ------------------------------------------------------------------------------------------------------------------
// open

static bool open_shards(Checkpoint *out, const Names *shards, Error *err) {
    out->files = array_new(shards->count, sizeof *out->files);
    if (!out->files) return error_memory(err, out->folder);
    for (size_t i = 0; i < shards->count; i++) {
        char *path = path_join(out->folder, shards->items[i]);
        if (!path) return error_memory(err, out->folder);
        bool ok = safetensors_open(path, &out->files[i], err);
        free(path);
        if (!ok) {
            recognize_missing(out->folder, shards, i, err);
            return false;
        }
        out->file_count++;
    }
    return true;
}

static int compare_tensors(const void *a, const void *b) {
    return strcmp((*(const Tensor *const *)a)->name, (*(const Tensor *const *)b)->name);
}

static bool sort_tensors(Checkpoint *out, Error *err) {
    size_t count = 0;
    for (size_t f = 0; f < out->file_count; f++) count += out->files[f].tensor_count;
    out->by_name = array_new(count, sizeof(void *));
    if (!out->by_name) return error_memory(err, out->folder);
    for (size_t f = 0; f < out->file_count; f++) {
        for (size_t i = 0; i < out->files[f].tensor_count; i++) {
            out->by_name[out->tensor_count++] = &out->files[f].tensors[i];
            out->bytes += out->files[f].tensors[i].bytes;
        }
    }
    qsort(out->by_name, count, sizeof(void *), compare_tensors);
    for (size_t i = 1; i < count; i++) {
        const Tensor *a = out->by_name[i - 1], *b = out->by_name[i];
        if (strcmp(a->name, b->name) != 0) continue;
        index_refuse(out->folder, "tensor", a->name, "is in two files", err);
        return error_prefix(err, "%s and %s", a->file, b->file);
    }
    return true;
}

// Names, sizes, times and headers: what changes when somebody replaces a file.
static void identify(Checkpoint *out) {
    uint64_t hash = HASH_START;
    for (size_t f = 0; f < out->file_count; f++) {
        const Safetensors *file = &out->files[f];
        uint64_t header_bytes;
        memcpy(&header_bytes, file->map, sizeof header_bytes); // checked when the file was opened
        const char *slash = strrchr(file->path, '/');
        hash = hash_text(hash, slash ? slash + 1 : file->path);
        hash = hash_bytes(hash, &file->map_bytes, sizeof file->map_bytes);
        hash = hash_bytes(hash, file->map, sizeof header_bytes + (size_t)le64toh(header_bytes));
        struct stat info;
        if (stat(file->path, &info) != 0) continue;
        int64_t changed[2] = {info.st_mtim.tv_sec, info.st_mtim.tv_nsec};
        hash = hash_bytes(hash, changed, sizeof changed);
    }
    out->identity = hash;
}

static bool open_files(Checkpoint *out, const Names *shards, Error *err) {
    if (!open_shards(out, shards, err) || !sort_tensors(out, err)) return false;
    identify(out);
    return true;
}

static bool open_folder(Checkpoint *out, Error *err) {
    char *single = path_join(out->folder, SINGLE_NAME), *index = path_join(out->folder, INDEX_NAME);
    Names shards = {0};
    cJSON *document = NULL;
    bool ok;
    if (!single || !index) {
        ok = error_memory(err, out->folder);
    } else if (!recognize_links(out->folder, err)) {
        ok = false;
    } else if (file_exists(single)) { // the order of transformers: one file wins over an index
        ok = (names_add(&shards, SINGLE_NAME) || error_memory(err, single)) && open_files(out, &shards, err);
    } else if (file_exists(index)) {
        ok = index_read(index, &document, &shards, err) && open_files(out, &shards, err) &&
             check_index(out, index, document, err);
    } else {
        ok = find_single(out->folder, &shards, err) && open_files(out, &shards, err);
    }
    cJSON_Delete(document);
    names_free(&shards);
    free(single);
    free(index);
    return ok;
}

static bool open_file(const char *path, Checkpoint *out, Error *err) {
    if (!ends_with(path, ".safetensors") && !recognize_model_file(path, err)) return false;
    const char *slash = strrchr(path, '/');
    out->folder = slash ? strndup(path, slash == path ? 1 : (size_t)(slash - path)) : strdup(".");
    Names shards = {0};
    bool ok = out->folder && names_add(&shards, slash ? slash + 1 : path) ? open_files(out, &shards, err)
                                                                          : error_memory(err, path);
    names_free(&shards);
    return ok;
}

static bool open_path(const char *path, Checkpoint *out, Error *err) {
    struct stat info;
    if (stat(path, &info) == 0) {
        if (!S_ISDIR(info.st_mode)) return open_file(path, out, err);
        out->folder = strdup(path);
        for (size_t n = out->folder ? strlen(out->folder) : 0; n > 1 && out->folder[n - 1] == '/'; n--)
            out->folder[n - 1] = '\0'; // messages put names behind it
        return out->folder ? open_folder(out, err) : error_memory(err, path);
    }
    if (errno != ENOENT && errno != ENOTDIR) return error_set(err, "%s: cannot be opened: %s", path, strerror(errno));
    if (strstr(path, "://"))
        return error_set(
            err, "%s: is an address; download the model first, and give its folder or its name (org/model)", path);
    if (!is_hub_name(path)) {
        return error_set(err,
                         "%s: there is no such file or folder; give a checkpoint folder, a .safetensors file, or the "
                         "name (org/model) of "
                         "a model in the local Hugging Face cache",
                         path);
    }
    return find_in_hub(path, &out->folder, err) && open_folder(out, err);
}

bool checkpoint_is_there(const char *path) {
    struct stat info;
    char *folder = NULL;
    bool there = stat(path, &info) == 0 || (is_hub_name(path) && find_in_hub(path, &folder, NULL));
    free(folder);
    return there;
}

bool checkpoint_open(const char *path, Checkpoint *out, Error *err) {
    *out = (Checkpoint){.path = strdup(path)};
    if (!out->path) return error_memory(err, path);
    if (open_path(path, out, err) && checkpoint_intact(out, err)) return true;
    checkpoint_close(out);
    return false;
}

void checkpoint_close(Checkpoint *checkpoint) {
    for (size_t f = 0; f < checkpoint->file_count; f++) safetensors_close(&checkpoint->files[f]);
    free(checkpoint->files);
    free(checkpoint->by_name);
    free(checkpoint->folder);
    free(checkpoint->path);
    *checkpoint = (Checkpoint){0};
}

bool checkpoint_intact(const Checkpoint *checkpoint, Error *err) {
    for (size_t f = 0; checkpoint && f < checkpoint->file_count; f++) {
        const Safetensors *file = &checkpoint->files[f];
        if (file->mapping && !mapping_intact(file->mapping, file->path, err)) return false;
    }
    return true;
}

const Tensor *checkpoint_find(const Checkpoint *checkpoint, const char *name) {
    Tensor wanted = {.name = name};
    const Tensor *key = &wanted;
    if (!checkpoint->tensor_count) return NULL;
    const Tensor **found =
        bsearch(&key, checkpoint->by_name, checkpoint->tensor_count, sizeof(void *), compare_tensors);
    return found ? *found : NULL;
}

// ----------------------------------------------------------------------------------------------------------------
// sample

// The folder of the running program; owned by the caller.
static char *program_folder(void) {
    char path[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", path, sizeof path - 1);
    if (n <= 0) return NULL;
    path[n] = '\0';
    char *slash = strrchr(path, '/');
    if (!slash) return NULL;
    slash[slash == path ? 1 : 0] = '\0';
    return strdup(path);
}

char *sample_path(Error *err) {
    const char *samples = getenv("QUANTDIAL_SAMPLES");
    char *program = program_folder(), *found = NULL;
    if (samples && *samples) found = path_join(samples, "storyteller");
    if (!found && program) {
        found = path_join(program, "../samples/storyteller");
        if (found && !folder_exists(found)) {
            free(found);
            found = path_join(program, "../share/quantdial/samples/storyteller");
        }
    }
    free(program);
    if (found && folder_exists(found)) return found;
    error_set(err,
              "the sample model is not there (%s); name a model, or set QUANTDIAL_SAMPLES to the folder that holds "
              "storyteller/",
              found ? found : "no path known");
    free(found);
    return NULL;
}
