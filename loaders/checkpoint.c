#include "loaders/checkpoint.h"

#include <ctype.h>
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
#include "base/log.h"
#include "base/program.h"
#include "loaders/checkpoint_index.h"
#include "loaders/checkpoint_name.h"
#include "loaders/gguf_set.h"
#include "loaders/hub.h"
#include "loaders/mlx_names.h"
#include "loaders/recognize.h"
#include "loaders/safetensors.h"

#define SINGLE_NAME "model.safetensors"
#define INDEX_NAME "model.safetensors.index.json"

static bool ends_with(const char *text, const char *ending) {
    size_t n = strlen(text), m = strlen(ending);
    return n >= m && strcmp(text + n - m, ending) == 0;
}

// ---- The files ----

// "model.safetensors.index.json", "model.safetensors.index.fp16.json"
static bool is_index_name(const char *name) { return strstr(name, ".safetensors.index.") && ends_with(name, ".json"); }

// The only *.safetensors file of the folder.
static bool find_single(const char *folder, const Names *names, Names *shards, Error *err) {
    const char *found = NULL;
    for (size_t i = 0; i < names->count; i++) {
        if (!ends_with(names->items[i], ".safetensors")) continue;
        if (found) {
            return error_set(err,
                             "%s: holds several safetensors files (%s, %s, …) but no " INDEX_NAME "; name one of them",
                             folder, found, names->items[i]);
        }
        found = names->items[i];
    }
    return found ? names_add(shards, found) || error_memory(err, folder) : recognize_folder(folder, err);
}

// The place of the only index of another name: of a variant ("model.safetensors.index.fp16.json") or of a part of a
// pipeline. names->count: there is none, or more than one.
static size_t find_index(const Names *names) {
    size_t found = names->count;
    for (size_t i = 0; i < names->count; i++) {
        if (!is_index_name(names->items[i])) continue;
        if (found < names->count) return names->count;
        found = i;
    }
    return found;
}

// "model-00002-of-00005.safetensors": the length of what is before the number, and both numbers.
static bool is_shard_name(const char *name, int *stem, int *number, int *of) {
    const char *dash = strstr(name, "-of-");
    int end = 0;
    while (dash && dash > name && isdigit((unsigned char)dash[-1])) dash--;
    if (!dash || dash == name || dash[-1] != '-') return false;
    *stem = (int)(dash - name);
    return sscanf(dash, "%d-of-%d.safetensors%n", number, of, &end) == 2 && end && !dash[end] && *of < 100000;
}

// The files of one numbered set, where nothing but their names says that they belong together; *of: how many it has.
// False without a message when there is no such set, or more than one.
static bool find_set(const Names *names, Names *shards, int *of) {
    const char *first = NULL;
    int first_stem = 0, stem, number, its;
    for (size_t i = 0; i < names->count; i++) {
        const char *name = names->items[i];
        if (!is_shard_name(name, &stem, &number, &its)) continue;
        if (!first) {
            first = name;
            first_stem = stem;
            *of = its;
        }
        if (stem != first_stem || its != *of || strncmp(name, first, (size_t)stem) != 0) return false;
        if (!names_add(shards, name)) return false;
    }
    return first != NULL;
}

static bool find_files(const char *folder, const Names *names, Names *shards, Error *err) {
    int of = 0;
    if (find_set(names, shards, &of))
        return of < 2 || shards->count == (size_t)of || recognize_part_of_set(folder, shards->items[0], of, err);
    names_free(shards);
    return find_single(folder, names, shards, err);
}

// ---- Open ----

static bool is_absent(const char *path) { return access(path, F_OK) != 0 && errno == ENOENT; }

static bool note_missing(Checkpoint *out, const Names *files, size_t absent, Error *err) {
    Error reason = {0};
    if (out->missing) return true;
    recognize_missing(out->folder, files, absent, &reason);
    out->missing = strdup(reason.message);
    return out->missing || error_memory(err, out->folder);
}

// A file that the index names and that is not there is only missed once one of its tensors is.
static bool open_shards(Checkpoint *out, const Names *shards, bool indexed, Error *err) {
    out->files = array_new(shards->count, sizeof *out->files);
    if (!out->files) return error_memory(err, out->folder);
    for (size_t i = 0; i < shards->count; i++) {
        char *path = path_join(out->folder, shards->items[i]);
        if (!path) return error_memory(err, out->folder);
        const bool absent = is_absent(path);
        bool ok = !absent   ? safetensors_open(path, &out->files[out->file_count], err)
                  : indexed ? note_missing(out, shards, i, err)
                            : !recognize_missing(out->folder, shards, i, err);
        free(path);
        if (!ok) return false;
        out->file_count += !absent;
        if (!absent && !mlx_take_apart(&out->files[out->file_count - 1], err)) return false;
    }
    return out->file_count > 0 || checkpoint_whole(out, err);
}

static int compare_tensors(const void *a, const void *b) {
    return strcmp((*(const Tensor *const *)a)->name, (*(const Tensor *const *)b)->name);
}

// Of one name, by file.
static int compare_copies(const void *a, const void *b) {
    int order = compare_tensors(a, b);
    return order ? order : strcmp((*(const Tensor *const *)a)->file, (*(const Tensor *const *)b)->file);
}

// Puts the copy that lies in the file `named` last among those of its name.
static bool checkpoint_prefer(Checkpoint *out, const char *name, const char *named) {
    Tensor wanted = {.name = name};
    const Tensor *key = &wanted, **all = out->by_name, **end = all + out->tensor_count;
    const Tensor **at = bsearch(&key, all, out->tensor_count, sizeof(void *), compare_tensors);
    if (!at) return true; // it may not be needed
    const Tensor **first = at, **last = at;
    while (first > all && strcmp(first[-1]->name, name) == 0) first--;
    while (last + 1 < end && strcmp(last[1]->name, name) == 0) last++;
    if (first == last) return true;
    char *path = path_join(out->folder, named);
    if (!path) return false;
    for (at = first; at < last; at++) {
        if (strcmp((*at)->file, path) != 0) continue;
        const Tensor *copy = *at;
        *at = *last;
        *last = copy;
    }
    free(path);
    return true;
}

// All tensors by name, each once: of several copies the one that the index names, else that of the last file.
static bool sort_tensors(Checkpoint *out, const cJSON *index, Error *err) {
    size_t count = 0, kept = 0;
    for (size_t f = 0; f < out->file_count; f++) count += out->files[f].tensor_count;
    out->by_name = array_new(count, sizeof(void *));
    if (!out->by_name) return error_memory(err, out->folder);
    for (size_t f = 0; f < out->file_count; f++) {
        for (size_t i = 0; i < out->files[f].tensor_count; i++)
            out->by_name[out->tensor_count++] = &out->files[f].tensors[i];
    }
    qsort(out->by_name, count, sizeof(void *), compare_copies);
    const cJSON *map = cJSON_GetObjectItemCaseSensitive(index, "weight_map"), *item;
    cJSON_ArrayForEach(item, map) {
        if (!checkpoint_prefer(out, item->string, item->valuestring)) return error_memory(err, out->folder);
    }
    for (size_t i = 0; i < count; i++) {
        if (i + 1 < count && compare_tensors(&out->by_name[i], &out->by_name[i + 1]) == 0) continue;
        out->by_name[kept++] = out->by_name[i];
        out->bytes += out->by_name[i]->bytes;
    }
    out->tensor_count = kept;
    return true;
}

// Which copies were taken: that depends on the index, and makes another model of the same files.
static uint64_t hash_choice(const Checkpoint *checkpoint) {
    uint64_t hash = HASH_START;
    for (size_t i = 0; i < checkpoint->tensor_count; i++)
        hash = hash_text(hash, checkpoint->by_name[i]->file + strlen(checkpoint->folder));
    return hash;
}

#define SAMPLE_BYTES ((size_t)4096)
#define SAMPLES ((size_t)1024)        // of all tensors together
#define READ_WHOLE ((size_t)32 << 20) // checkpoints up to this size are not sampled, but read

// Where file `f` is, how long, and when it was made. Not the device: a share has another one each time it is mounted.
static uint64_t hash_place(uint64_t hash, const TensorFile *file) {
    const char *slash = strrchr(file->path, '/');
    struct stat info;
    hash = hash_text(hash, slash ? slash + 1 : file->path);
    hash = hash_bytes(hash, &file->map_bytes, sizeof file->map_bytes);
    if (stat(file->path, &info) != 0) return hash;
    int64_t made[5] = {info.st_mtim.tv_sec, info.st_mtim.tv_nsec, info.st_ctim.tv_sec, info.st_ctim.tv_nsec,
                       (int64_t)info.st_ino};
    return hash_bytes(hash, made, sizeof made);
}

static uint64_t hash_header(uint64_t hash, const TensorFile *file) {
    return hash_bytes(hash, file->map, file->head_bytes);
}

// A page from the middle of a tensor, whose ends may be padding.
static const char *sample_of(const Tensor *tensor, size_t *bytes) {
    *bytes = tensor->bytes < SAMPLE_BYTES ? tensor->bytes : SAMPLE_BYTES;
    return (const char *)tensor->data + (tensor->bytes - *bytes) / 2;
}

// Times and inodes say nothing where all files have the same ones (a Nix store, an archive, FUSE): the numbers
// themselves do. All samples are asked for before the first is read, so that a disk serves them together.
uint64_t checkpoint_numbers(const Checkpoint *checkpoint) {
    uint64_t hash = HASH_START;
    size_t step = checkpoint->tensor_count / SAMPLES + 1, bytes;
    if (checkpoint->bytes <= READ_WHOLE) {
        for (size_t i = 0; i < checkpoint->tensor_count; i++)
            hash = hash_bytes(hash, checkpoint->by_name[i]->data, checkpoint->by_name[i]->bytes);
        return hash;
    }
    for (size_t i = 0; i < checkpoint->tensor_count; i += step) {
        const char *sample = sample_of(checkpoint->by_name[i], &bytes);
        mapping_want(sample, bytes);
    }
    for (size_t i = 0; i < checkpoint->tensor_count; i += step) {
        const char *sample = sample_of(checkpoint->by_name[i], &bytes);
        hash = hash_bytes(hash, sample, bytes);
    }
    return hash;
}

static void checkpoint_identify(Checkpoint *out) {
    uint64_t hash = HASH_START, content = HASH_START;
    for (size_t f = 0; f < out->file_count; f++) {
        hash = hash_header(hash_place(hash, &out->files[f]), &out->files[f]);
        content = hash_header(content, &out->files[f]);
    }
    uint64_t numbers = checkpoint_numbers(out);
    out->identity = hash_bytes(hash, &numbers, sizeof numbers);
    out->content = hash_bytes(content, &numbers, sizeof numbers);
}

// All files are open. `index`: the document that names them; NULL: there is none.
static bool join_files(Checkpoint *out, const cJSON *index, Error *err) {
    if (!sort_tensors(out, index, err)) return false;
    checkpoint_identify(out);
    const uint64_t choice = hash_choice(out);
    out->identity = hash_bytes(out->identity, &choice, sizeof choice);
    out->content = hash_bytes(out->content, &choice, sizeof choice);
    return true;
}

static bool open_files(Checkpoint *out, const Names *shards, const cJSON *index, Error *err) {
    return open_shards(out, shards, index != NULL, err) && join_files(out, index, err);
}

static bool open_gguf(const char *path, Checkpoint *out, Error *err) {
    GgufSet set;
    if (!gguf_set_open(path, &set, err)) return false;
    bool ok = gguf_set_rename(&set, err);
    out->files = array_new(set.count, sizeof *out->files);
    out->documents = strdup(set.files[0].file.path);
    if (ok && (!out->files || !out->documents)) ok = error_memory(err, path);
    for (; ok && out->file_count < set.count; out->file_count++) {
        out->files[out->file_count] = set.files[out->file_count].file;
        set.files[out->file_count].file = (TensorFile){0};
    }
    gguf_set_close(&set);
    return ok && join_files(out, NULL, err);
}

static bool open_index(const char *name, Checkpoint *out, Error *err) {
    char *path = path_join(out->folder, name);
    Names shards = {0};
    cJSON *document = NULL;
    bool ok = path ? index_read(path, &document, &shards, err) && open_files(out, &shards, document, err)
                   : error_memory(err, out->folder);
    cJSON_Delete(document);
    names_free(&shards);
    free(path);
    return ok;
}

// The only model in GGUF of the folder, by one of its files; NULL without a message when there is none. What makes
// pictures into tokens is no model.
static bool find_gguf(const char *folder, const Names *names, const char **found, Error *err) {
    const char *part = NULL;
    *found = NULL;
    for (size_t i = 0; i < names->count; i++) {
        const char *name = names->items[i];
        size_t stem;
        unsigned number, of;
        if (!gguf_is_name(name) || strncmp(name, "mmproj", 6) == 0) continue;
        if (gguf_split_name(name, &stem, &number, &of) && number != 1) {
            part = name;
            continue;
        }
        if (*found)
            return error_set(err, "%s: holds several GGUF files (%s, %s, …); name one of them", folder, *found, name);
        *found = name;
    }
    if (!*found) *found = part;
    return true;
}

static bool has_safetensors(const Names *names) {
    for (size_t i = 0; i < names->count; i++) {
        if (ends_with(names->items[i], ".safetensors")) return true;
    }
    return false;
}

static bool open_gguf_in(const char *name, Checkpoint *out, Error *err) {
    char *path = path_join(out->folder, name);
    const bool ok = path ? open_gguf(path, out, err) : error_memory(err, name);
    free(path);
    return ok;
}

// Neither of the usual names is there.
static bool open_unnamed(Checkpoint *out, Error *err) {
    Names names = {0}, shards = {0};
    bool ok = names_list(out->folder, &names, err);
    const size_t index = find_index(&names);
    const bool indexed = index < names.count;
    const char *gguf = NULL;
    if (ok && !indexed && !has_safetensors(&names)) ok = find_gguf(out->folder, &names, &gguf, err);
    if (ok && indexed) {
        ok = open_index(names.items[index], out, err);
    } else if (ok && gguf) {
        ok = open_gguf_in(gguf, out, err);
    } else if (ok) {
        ok = find_files(out->folder, &names, &shards, err) && open_files(out, &shards, NULL, err);
    }
    names_free(&names);
    names_free(&shards);
    return ok;
}

static bool open_one(const char *name, Checkpoint *out, Error *err) {
    Names files = {0};
    bool ok = names_add(&files, name) ? open_files(out, &files, NULL, err) : error_memory(err, name);
    names_free(&files);
    return ok;
}

static bool open_folder(Checkpoint *out, Error *err) {
    char *single = path_join(out->folder, SINGLE_NAME), *index = path_join(out->folder, INDEX_NAME);
    bool ok;
    if (!single || !index)
        ok = error_memory(err, out->folder);
    else if (!recognize_export(out->folder, err) || !recognize_links(out->folder, err))
        ok = false;
    else if (file_exists(single)) // the order of transformers: one file wins over an index
        ok = open_one(SINGLE_NAME, out, err);
    else
        ok = file_exists(index) ? open_index(INDEX_NAME, out, err) : open_unnamed(out, err);
    free(single);
    free(index);
    return ok;
}

static bool open_file(const char *path, Checkpoint *out, Error *err) {
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    const bool gguf = gguf_is_name(path);
    if (!gguf && !ends_with(path, ".safetensors") && !is_index_name(name) && !recognize_model_file(path, err))
        return false;
    out->folder = slash ? strndup(path, slash == path ? 1 : (size_t)(slash - path)) : strdup(".");
    if (!out->folder) return error_memory(err, path);
    if (gguf) return open_gguf(path, out, err);
    return is_index_name(name) ? open_index(name, out, err) : open_one(name, out, err);
}

static bool open_named_folder(const char *path, Checkpoint *out, Error *err) {
    if (!hub_find_in(path, &out->folder, err)) return false;
    if (!out->folder) out->folder = strdup(path);
    for (size_t n = out->folder ? strlen(out->folder) : 0; n > 1 && out->folder[n - 1] == '/'; n--)
        out->folder[n - 1] = '\0'; // messages put names behind it
    return out->folder ? open_folder(out, err) : error_memory(err, path);
}

static bool refuse_path(const char *path, Error *err) {
    if (strstr(path, "://"))
        return error_set(
            err, "%s: is an address; download the model first, and give its folder or its name (org/model)", path);
    return error_set(
        err,
        "%s: there is no such file or folder; give a checkpoint folder, a .safetensors or .gguf file, or the name "
        "(org/model) of a model in the local Hugging Face cache",
        path);
}

static bool open_path(const char *path, Checkpoint *out, Error *err) {
    struct stat info;
    if (stat(path, &info) == 0)
        return S_ISDIR(info.st_mode) ? open_named_folder(path, out, err) : open_file(path, out, err);
    if (errno != ENOENT && errno != ENOTDIR) return error_set(err, "%s: cannot be opened: %s", path, strerror(errno));
    if (recognize_link_to_nothing(path, err)) return false;
    char *name = hub_name_in(path);
    const bool is_file = name && (gguf_is_name(name) || ends_with(name, ".safetensors"));
    const bool ok =
        name && !is_file ? hub_find(name, &out->folder, err) && open_folder(out, err) : refuse_path(path, err);
    free(name);
    return ok;
}

bool checkpoint_is_there(const char *path) {
    struct stat info;
    char *name = hub_name_in(path), *folder = NULL;
    bool there = stat(path, &info) == 0 || (name && hub_find(name, &folder, NULL));
    free(name);
    free(folder);
    return there;
}

bool checkpoint_open(const char *path, Checkpoint *out, Error *err) {
    *out = (Checkpoint){.path = strdup(path)};
    if (!out->path) return error_memory(err, path);
    bool ok = open_path(path, out, err);
    if (ok && !out->documents && !(out->documents = strdup(out->folder))) ok = error_memory(err, path);
    if (ok && !(out->name = checkpoint_name_of(path, out->folder))) ok = error_memory(err, path);
    if (ok && checkpoint_intact(out, err)) {
        log_line("checkpoint %s: %zu tensors, %zu bytes, %zu files", out->path, out->tensor_count, out->bytes,
                 out->file_count);
        return true;
    }
    checkpoint_close(out);
    return false;
}

void checkpoint_close(Checkpoint *checkpoint) {
    for (size_t f = 0; f < checkpoint->file_count; f++) tensor_file_close(&checkpoint->files[f]);
    free(checkpoint->files);
    free(checkpoint->by_name);
    free(checkpoint->missing);
    free(checkpoint->documents);
    free(checkpoint->folder);
    free(checkpoint->name);
    free(checkpoint->path);
    *checkpoint = (Checkpoint){0};
}

bool checkpoint_intact(const Checkpoint *checkpoint, Error *err) {
    for (size_t f = 0; checkpoint && f < checkpoint->file_count; f++) {
        const TensorFile *file = &checkpoint->files[f];
        if (file->mapping && !mapping_intact(file->mapping, file->path, err)) return false;
    }
    return true;
}

bool checkpoint_whole(const Checkpoint *checkpoint, Error *err) {
    return !checkpoint->missing || error_set(err, "%s", checkpoint->missing);
}

const Tensor *checkpoint_find(const Checkpoint *checkpoint, const char *name) {
    Tensor wanted = {.name = name};
    const Tensor *key = &wanted;
    if (!checkpoint->tensor_count) return NULL;
    const Tensor **found =
        bsearch(&key, checkpoint->by_name, checkpoint->tensor_count, sizeof(void *), compare_tensors);
    return found ? *found : NULL;
}

// ---- Sample ----

// The folder of the running program; owned by the caller.
static char *program_folder(void) {
    char *path = program_file();
    if (path) strrchr(path, '/')[1] = '\0';
    return path;
}

static bool is_there(const char *path) { return folder_exists(path) || file_exists(path); }

// The places beside build/quantdial, build/debug/quantdial and bin/quantdial.
static char *beside_program(const char *name) {
    static const char *const places[] = {"../samples", "../../samples", "../share/quantdial/samples"};
    char *program = program_folder(), *found = NULL;
    for (size_t i = 0; program && i < sizeof places / sizeof *places; i++) {
        char *samples = path_join(program, places[i]);
        free(found);
        found = samples ? path_join(samples, name) : NULL;
        free(samples);
        if (found && is_there(found)) break;
    }
    free(program);
    return found;
}

char *shipped_path(const char *name, Error *err) {
    const char *samples = getenv("QUANTDIAL_SAMPLES");
    char *found = samples && *samples ? path_join(samples, name) : beside_program(name);
    if (found && is_there(found)) return found;
    error_set(err, "what ships with the program is not there (%s); set QUANTDIAL_SAMPLES to the folder that holds %s",
              found ? found : name, name);
    free(found);
    return NULL;
}

char *sample_path(Error *err) {
    char *found = shipped_path("storyteller", err);
    if (!found) error_prefix(err, "no model is named, and the sample model cannot be opened");
    return found;
}
