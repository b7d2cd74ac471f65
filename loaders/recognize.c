#include "loaders/recognize.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/array.h"
#include "base/file.h"
#include "base/json.h"
#include "base/recognize.h"
#include "loaders/hub.h"

#define DOWNLOAD_AGAIN "download the model again (hf download resumes where it stopped)"

static bool ends_with(const char *text, const char *ending) {
    size_t n = strlen(text), m = strlen(ending);
    return n >= m && strcasecmp(text + n - m, ending) == 0;
}

// ---- Formats by the ends of names, where the content does not tell ----

static const struct {
    const char *ending, *what, *remedy;
} formats[] = {
    {".bin", "PyTorch .bin", "save the model with save_pretrained(safe_serialization=True)"},
    {".pt", "PyTorch .pt", "save the model as safetensors"},
    {".pth", "PyTorch .pth", "save the model as safetensors"},
    {".ckpt", "PyTorch or TensorFlow .ckpt", "save the model as safetensors"},
    {".h5", "TensorFlow", "save the model as safetensors"},
    {".keras", "Keras", "save the model as safetensors"},
    {".pb", "TensorFlow", "save the model as safetensors"},
    {".msgpack", "Flax", "save the model as safetensors"},
    {".onnx", "ONNX", "open the checkpoint that it was made from"},
    {".tflite", "TensorFlow Lite", "open the checkpoint that it was made from"},
    {".engine", "TensorRT", "open the checkpoint that it was made from"},
    {".plan", "TensorRT", "open the checkpoint that it was made from"},
    {".npz", "NumPy", "save the model as safetensors"},
    {".npy", "NumPy", "save the model as safetensors"},
};
enum { FORMATS = sizeof formats / sizeof *formats };

static int format_of(const char *name) {
    int f = 0;
    while (f < FORMATS && !ends_with(name, formats[f].ending)) f++;
    return f;
}

static bool is_unfinished(const char *name) {
    static const char *const endings[] = {".incomplete", ".part", ".partial", ".crdownload", ".download", ".aria2"};
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++) {
        if (ends_with(name, endings[i])) return true;
    }
    return false;
}

// ---- Folders ----

typedef struct Folder {
    const char *path;
    Names names; // of what is in it, hidden things left out
    Error *err;
} Folder;

// The first name in a folder that fits; owned by the caller, NULL for none.
static char *find_in(const char *folder, bool (*fits)(const char *name)) {
    Names names = {0};
    char *found = NULL;
    names_list(folder, &names, NULL);
    for (size_t i = 0; i < names.count && !found; i++) {
        if (fits(names.items[i])) found = strdup(names.items[i]);
    }
    names_free(&names);
    return found;
}

static bool is_safetensors(const char *name) { return ends_with(name, ".safetensors"); }

static bool has_file(const char *folder, const char *name) {
    char *path = path_join(folder, name);
    bool there = path && file_exists(path);
    free(path);
    return there;
}

bool recognize_adapter(const char *folder, const char *path, Error *err) {
    char *config = path_join(folder, "adapter_config.json"), *text = NULL, *shown = NULL;
    const char *base = NULL;
    size_t size;
    cJSON *json = NULL;
    if (config && file_read(config, 1 << 20, &text, &size, NULL)) json = json_parse(text, size, NULL);
    json_string(json, "base_model_name_or_path", NULL, &base, NULL);
    if (base) shown = text_printable(base, strlen(base), false);
    error_set(
        err,
        "%s: is an adapter (LoRA)%s%.200s%s, not a model; merge it into that (merge_and_unload of peft), save the "
        "result and open it",
        path, shown ? " of \"" : "", shown ? shown : "", shown ? "\"" : "");
    cJSON_Delete(json);
    free(shown);
    free(text);
    free(config);
    return false;
}

// Each of these returns true when it knows the reason, and has set the message then.

static bool tells_links(const Folder *f) {
    for (size_t i = 0; i < f->names.count; i++) {
        if (is_safetensors(f->names.items[i]) && recognize_missing(f->path, &f->names, i, f->err)) return true;
    }
    return false;
}

static bool tells_adapter(const Folder *f) {
    if (!has_file(f->path, "adapter_config.json")) return false;
    recognize_adapter(f->path, f->path, f->err);
    return true;
}

// Here, where hf download keeps them for a folder of its own, or where the Hugging Face cache does.
static bool tells_unfinished(const Folder *f) {
    static const char *const places[] = {".", ".cache/huggingface/download", "../../blobs", "blobs"};
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        char *place = path_join(f->path, places[i]), *found = place ? find_in(place, is_unfinished) : NULL;
        if (found)
            error_set(f->err, "%s: its download did not finish (%s/%s); " DOWNLOAD_AGAIN, f->path, places[i], found);
        free(place);
        free(found);
        if (found) return true;
    }
    return false;
}

// What lies beside weights in any folder is not looked at.
static bool is_beside(const char *name) {
    static const char *const endings[] = {".json", ".txt", ".md", ".py", ".jinja", ".model", ".jsonl", ".html", ".xml"};
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++) {
        if (ends_with(name, endings[i])) return true;
    }
    return false;
}

// Looked at as if JSON were expected: then text is no mistake, since a folder may hold licences and notes.
static bool tells_contents(const Folder *f) {
    bool told = false;
    for (size_t i = 0; i < f->names.count && !told; i++) {
        char bytes[RECOGNIZE_BYTES],
            *path = is_beside(f->names.items[i]) ? NULL : path_join(f->path, f->names.items[i]);
        told = path && file_first_bytes(path, bytes) && recognize_file(path, EXPECTED_JSON, f->err);
        free(path);
    }
    return told;
}

static bool tells_formats(const Folder *f) {
    for (size_t i = 0; i < f->names.count; i++) {
        int format = format_of(f->names.items[i]);
        if (format == FORMATS) continue;
        error_set(f->err, "%s: holds %s files, which are not read; %s", f->path, formats[format].what,
                  formats[format].remedy);
        return true;
    }
    return false;
}

static bool tells_hub(const Folder *f) {
    char *name = NULL;
    for (size_t i = 0; i < f->names.count && !name; i++) {
        const bool is_model = strncmp(f->names.items[i], "models--", 8) == 0;
        char *path = is_model ? path_join(f->path, f->names.items[i]) : NULL;
        name = path ? hub_name_of(path) : NULL;
        free(path);
    }
    if (name)
        error_set(f->err, "%s: is the Hugging Face cache; give the name of a model in it, such as %s", f->path, name);
    free(name);
    return name != NULL;
}

// Pipelines of diffusers, sentence-transformers, and checkpoints of a training.
static bool tells_subfolders(const Folder *f) {
    Text inside = {0};
    size_t count = 0;
    for (size_t i = 0; i < f->names.count; i++) {
        char *path = path_join(f->path, f->names.items[i]), *weights = path ? find_in(path, is_safetensors) : NULL;
        if (weights && ++count <= 4) text_addf(&inside, "%s%s", count > 1 ? ", " : "", f->names.items[i]);
        free(weights);
        free(path);
    }
    if (count)
        error_set(f->err, "%s: contains no weights itself, but its subfolders do (%s%s); name one of them", f->path,
                  inside.data ? inside.data : "?", count > 4 ? ", …" : "");
    text_free(&inside);
    return count > 0;
}

static bool tells_no_weights(const Folder *f) {
    if (!f->names.count)
        error_set(f->err, "%s: holds no safetensors files: the folder is empty", f->path);
    else if (has_file(f->path, "config.json"))
        error_set(f->err, "%s: holds no safetensors files: there is a config.json, but no weights; " DOWNLOAD_AGAIN,
                  f->path);
    else
        error_set(f->err,
                  "%s: holds no safetensors files; give the folder of a checkpoint with config.json and "
                  "model.safetensors",
                  f->path);
    return true;
}

bool recognize_folder(const char *path, Error *err) {
    static bool (*const reasons[])(const Folder *) = {tells_links,   tells_adapter, tells_unfinished, tells_contents,
                                                      tells_formats, tells_hub,     tells_subfolders, tells_no_weights};
    Folder folder = {.path = path, .err = err};
    names_list(path, &folder.names, NULL);
    size_t i = 0;
    while (!reasons[i](&folder)) i++; // the last one always tells
    names_free(&folder.names);
    return false;
}

// ---- Exports of this program ----

#define JOURNAL "quantdial-export.json"
#define JOURNAL_OF_PART "quantdial-export.part-"
#define JOURNAL_LIMIT ((size_t)64 << 20)

static bool refuse_journal(const char *folder, const cJSON *journal, Error *err) {
    const cJSON *files = cJSON_GetObjectItemCaseSensitive(journal, "files"), *file;
    int whole = 0;
    cJSON_ArrayForEach(file, files) whole += cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(file, "whole"));
    return error_set(
        err,
        "%s: is an unfinished export, %d of %d files of weights are whole; run the same quantdial quantize "
        "again, it goes on where it was",
        folder, whole, cJSON_GetArraySize(files));
}

static bool is_begun_part(const char *name) {
    return strncmp(name, JOURNAL_OF_PART, strlen(JOURNAL_OF_PART)) == 0 && ends_with(name, ".json");
}

bool recognize_export(const char *folder, Error *err) {
    char *path = path_join(folder, JOURNAL), *text = NULL, *part = NULL;
    size_t size;
    bool ok = true, complete = true;
    if (path && file_exists(path)) {
        cJSON *journal = file_read(path, JOURNAL_LIMIT, &text, &size, NULL) ? json_parse(text, size, NULL) : NULL;
        if (journal && json_bool(journal, "complete", true, &complete, NULL) && !complete)
            ok = refuse_journal(folder, journal, err);
        cJSON_Delete(journal);
    } else if ((part = find_in(folder, is_begun_part))) {
        ok = error_set(err,
                       "%s: is an export in parts that is not finished; run those that are missing with quantdial "
                       "quantize --part, then --finish in place of it",
                       folder);
    }
    free(text);
    free(path);
    free(part);
    return ok;
}

// ---- Files ----

// The length of a header that lies within the file, then a JSON object.
static bool begins_as_safetensors(const char *bytes, size_t length, size_t file_bytes) {
    uint64_t header = 0;
    if (length < 10) return false;
    for (int i = 0; i < 8; i++) header |= (uint64_t)(unsigned char)bytes[i] << (8 * i);
    return header >= 2 && header <= file_bytes - 8 && bytes[8] == '{';
}

bool recognize_model_file(const char *path, Error *err) {
    char bytes[RECOGNIZE_BYTES + 1];
    struct stat info;
    if (stat(path, &info) != 0 || !S_ISREG(info.st_mode))
        return error_set(err, "%s: is neither a folder nor a regular file", path);
    if (!file_can_be_read(path, err)) return false;
    size_t length = file_first_bytes(path, bytes);
    bytes[length] = '\0';
    if (begins_as_safetensors(bytes, length, (size_t)info.st_size)) return true;
    if (strstr(bytes, "\"weight_map\""))
        return error_set(err, "%s: is the index of a checkpoint; give its folder", path);
    if (ends_with(path, ".json")) return error_set(err, "%s: is not a weights file; give its folder", path);
    if (recognize_file(path, EXPECTED_WEIGHTS, err)) return false;
    const int format = format_of(path);
    if (format < FORMATS)
        return error_set(err, "%s: is neither a folder nor a .safetensors or .gguf file; %s files are not read; %s",
                         path, formats[format].what, formats[format].remedy);
    return error_set(err, "%s: is neither a folder nor a .safetensors or .gguf file", path);
}

static bool is_missing(const char *path) {
    struct stat info;
    return path && stat(path, &info) != 0 && errno == ENOENT;
}

bool recognize_link_to_nothing(const char *path, Error *err) {
    char target[512];
    const ssize_t n = is_missing(path) ? readlink(path, target, sizeof target) : -1;
    if (n >= 0)
        error_set(err, "%s: cannot be opened: it is a link to %.*s, which is not there; " DOWNLOAD_AGAIN, path, (int)n,
                  target);
    return n >= 0;
}

bool recognize_missing(const char *folder, const Names *files, size_t failed, Error *err) {
    char *path = path_join(folder, files->items[failed]);
    size_t missing = 0;
    const bool gone = is_missing(path), is_link = gone && recognize_link_to_nothing(path, err);
    for (size_t i = 0; gone && !is_link && i < files->count; i++) {
        char *other = path_join(folder, files->items[i]);
        missing += is_missing(other);
        free(other);
    }
    if (gone && !is_link)
        error_set(
            err,
            "%s: cannot be opened: it is missing; of %zu files of the checkpoint %zu %s not there; " DOWNLOAD_AGAIN,
            path, files->count, missing, missing == 1 ? "is" : "are");
    free(path);
    return gone;
}

bool recognize_broken_link(const char *folder, const char *name, Error *err) {
    char *path = path_join(folder, name);
    const bool broken = path && recognize_link_to_nothing(path, err);
    free(path);
    return broken;
}

bool recognize_links(const char *folder, Error *err) {
    static const char *const needed[] = {"config.json", "model.safetensors", "model.safetensors.index.json"};
    for (size_t i = 0; i < sizeof needed / sizeof *needed; i++) {
        if (recognize_broken_link(folder, needed[i], err)) return false;
    }
    return true;
}

bool recognize_part_of_set(const char *folder, const char *name, int of, Error *err) {
    return error_set(
        err,
        "%s: %s is one of %d files of a checkpoint, but not all of these are there, and no index; " DOWNLOAD_AGAIN
        ", or name one file alone",
        folder, name, of);
}
