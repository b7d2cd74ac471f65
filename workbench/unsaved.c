#include "workbench/unsaved.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/hash.h"

#define PLACES 8 // programs that may have the same model open

// A path is the same model from every folder; a name of the Hugging Face cache is the same in every revision. The
// caller's.
static char *model_path(const char *model) {
    char *path = realpath(model, NULL);
    return path ? path : strdup(model);
}

// "storyteller-0123456789abcdef": a name for people and a hash for the program.
static char *file_name(const char *path, uint64_t key) {
    char *name = NULL, readable[41] = "";
    const char *slash = strrchr(path, '/'), *from = slash && slash[1] ? slash + 1 : path;
    for (size_t length = 0; *from && length + 1 < sizeof readable; from++)
        readable[length++] = isalnum((unsigned char)*from) || *from == '.' ? *from : '-';
    return asprintf(&name, "%s-%016llx", readable, (unsigned long long)key) < 0 ? NULL : name;
}

// A lock that ends with the program, whatever ends it. Where the file system has none, every place is free.
static bool lock_place(const Unsaved *u, int place, short type) {
    struct flock lock = {
        .l_type = type, .l_whence = SEEK_SET, .l_start = (off_t)(u->model >> 8 | 15) - place, .l_len = 1};
    return fcntl(u->lock, F_OFD_SETLK, &lock) == 0 || (errno != EAGAIN && errno != EACCES);
}

// The first place that no running program has, with a file in it or without.
static bool take_place(Unsaved *u, bool with_file) {
    for (u->place = 0; u->place < PLACES; u->place++) {
        if (!lock_place(u, u->place, F_WRLCK)) continue;
        free(u->path);
        if (asprintf(&u->path, "%s/%s-%d.json", u->folder, u->name, u->place) < 0) u->path = NULL;
        if (u->path && file_exists(u->path) == with_file) return true;
        lock_place(u, u->place, F_UNLCK);
    }
    free(u->path);
    u->path = NULL;
    return false;
}

static bool open_folder(Unsaved *u, Error *err) {
    char *state = folder_state(), *lock = NULL;
    free(u->folder);
    u->folder = state ? path_join(state, "unsaved") : NULL;
    bool ok = u->folder || error_set(err, "neither XDG_STATE_HOME nor HOME is set");
    ok = ok && u->name && folder_make(u->folder, err) && (lock = path_join(u->folder, "lock"));
    u->lock = ok ? open(lock, O_RDWR | O_CREAT | O_CLOEXEC, 0666) : -1;
    if (ok && u->lock < 0) ok = error_set(err, "%s: cannot be opened: %s", lock, strerror(errno));
    free(lock);
    free(state);
    return ok;
}

static bool read_found(Unsaved *u, Error *err) {
    struct stat info;
    if (!recipe_load(u->path, &u->kept, err)) return error_prefix(err, "unsaved changes cannot be read");
    u->when = stat(u->path, &info) == 0 ? info.st_mtime : 0;
    return u->there = true;
}

bool unsaved_open(const char *model, Unsaved *out, Error *err) {
    char *path = model_path(model);
    const uint64_t key = path ? hash_text(HASH_START, path) : 0;
    *out = (Unsaved){.model = key, .name = path ? file_name(path, key) : NULL, .lock = -1};
    free(path);
    if (!open_folder(out, NULL)) return true; // unsaved_keep reports it
    const bool ok = !take_place(out, true) || read_found(out, err);
    if (!ok) lock_place(out, out->place, F_UNLCK);
    if (!out->there) take_place(out, false);
    return ok;
}

void unsaved_close(Unsaved *u) {
    if (u->lock >= 0) close(u->lock);
    recipe_free(&u->kept);
    free(u->folder);
    free(u->name);
    free(u->path);
    *u = (Unsaved){.lock = -1};
}

static bool have_place(Unsaved *u, Error *err) {
    if (u->path) return true;
    if (u->lock < 0 && !open_folder(u, err)) return false;
    return take_place(u, false) || error_set(err, "%s: too many other programs have this model open", u->folder);
}

bool unsaved_keep(Unsaved *u, const Recipe *recipe, Error *err) {
    if (u->there && recipe_equal(recipe, &u->kept)) return true;
    Recipe copy;
    if (!have_place(u, err) || !recipe_copy(recipe, &copy, err))
        return error_prefix(err, "unsaved changes are not kept");
    if (!recipe_save(recipe, u->path, err)) {
        recipe_free(&copy);
        return error_prefix(err, "unsaved changes are not kept");
    }
    recipe_free(&u->kept);
    u->kept = copy;
    return u->there = true;
}

void unsaved_forget(Unsaved *u) {
    if (u->there) unlink(u->path);
    u->there = false;
}

void unsaved_set_aside(Unsaved *u) {
    lock_place(u, u->place, F_UNLCK);
    u->there = false;
    take_place(u, false);
}
