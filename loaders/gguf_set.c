#include "loaders/gguf_set.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/array.h"
#include "loaders/gguf_documents.h"
#include "loaders/gguf_names.h"

#define ENDING ".gguf"
enum { MOST_FILES = 10000 };

bool gguf_is_name(const char *path) {
    const size_t length = strlen(path), ending = strlen(ENDING);
    return length > ending && strcmp(path + length - ending, ENDING) == 0;
}

bool gguf_split_name(const char *path, size_t *stem, unsigned *number, unsigned *of) {
    static const char pattern[] = "-00001-of-00003.gguf"; // llama.cpp always writes five digits
    const size_t length = strlen(path), tail = sizeof pattern - 1;
    int end = 0;
    if (length <= tail) return false;
    *stem = length - tail;
    return sscanf(path + *stem, "-%5u-of-%5u.gguf%n", number, of, &end) == 2 && end == (int)tail && *number >= 1 &&
           *number <= *of && *of <= MOST_FILES;
}

// ---- Open ----

static bool open_part(const char *path, size_t stem, unsigned number, unsigned of, GgufSet *set, Error *err) {
    char *name;
    if (asprintf(&name, "%.*s-%05u-of-%05u" ENDING, (int)stem, path, number, of) < 0) return error_memory(err, path);
    bool ok = access(name, F_OK) == 0 ||
              error_set(err, "%s: is missing: the model is in %u files; put them into one folder", name, of);
    ok = ok && gguf_open(name, &set->files[set->count], err);
    set->count += ok;
    free(name);
    return ok;
}

static bool check_count(const GgufSet *set, Error *err) {
    double count = 0;
    const bool said = gguf_value_number(gguf_value(&set->files[0], "split.", "count"), 0, &count);
    return !said || count <= 1 || count == (double)set->count ||
           error_set(err, "%s: is one of %.0f files by what it says, but of %zu by its name; give it the name back",
                     set->files[0].file.path, count, set->count);
}

bool gguf_set_open(const char *path, GgufSet *out, Error *err) {
    size_t stem;
    unsigned number, of = 1;
    const bool split = gguf_split_name(path, &stem, &number, &of);
    *out = (GgufSet){.files = array_new(split ? of : 1, sizeof *out->files)};
    bool ok = out->files || error_memory(err, path);
    if (ok && !split) out->count = ok = gguf_open(path, &out->files[0], err);
    for (unsigned i = 1; ok && split && i <= of; i++) ok = open_part(path, stem, i, of, out, err);
    ok = ok && check_count(out, err);
    if (!ok) gguf_set_close(out);
    return ok;
}

void gguf_set_close(GgufSet *set) {
    for (size_t i = 0; i < set->count; i++) gguf_close(&set->files[i]);
    free(set->files);
    *set = (GgufSet){0};
}

const Tensor *gguf_set_tensor(const GgufSet *set, const char *name) {
    for (size_t f = 0; f < set->count; f++) {
        const TensorFile *file = &set->files[f].file;
        for (size_t i = 0; i < file->tensor_count; i++) {
            if (strcmp(file->tensors[i].name, name) == 0) return &file->tensors[i];
        }
    }
    return NULL;
}

// ---- Names ----

typedef struct Naming {
    const GgufArchitecture *architecture;
    size_t head_dim;
    TensorFile *file;
} Naming;

static void name_tensor(const void *context, size_t index, const Tensor *tensor, MatrixName *out) {
    const Naming *naming = context;
    TensorForm *form = &naming->file->forms[index];
    GgufMeaning meaning;
    if (!gguf_meaning(naming->architecture, tensor->name, &meaning)) return;
    *out = meaning.name;
    if (meaning.paired) form->paired = naming->head_dim;
    form->plus_one = meaning.plus_one;
    if (form->paired || form->plus_one) naming->file->tensors[index].form = form;
}

bool gguf_set_rename(GgufSet *set, Error *err) {
    char name[GGUF_NAME_ROOM];
    int head_dim = 0;
    const GgufArchitecture *architecture = gguf_known_architecture(set, name, sizeof name);
    if (!architecture || !gguf_head_dim(&set->files[0], name, &head_dim)) return true;
    for (size_t f = 0; f < set->count; f++) {
        const Naming naming = {architecture, (size_t)head_dim, &set->files[f].file};
        if (!tensor_file_rename(&set->files[f].file, name_tensor, &naming, err)) return false;
    }
    return true;
}
