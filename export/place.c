// Where an export goes: whether a folder can be made or written there, known before anything is.
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "export/export_parts.h"

static bool cannot_write(const char *folder, const char *why, Error *err) {
    return error_set(err, "%s: cannot be written to: %s; name another folder with -o, or change its rights", folder,
                     why);
}

// Cuts a path to the last part of it that is there.
static void cut_to_existing(char *path) {
    struct stat info;
    while (lstat(path, &info) != 0 && (errno == ENOENT || errno == ENOTDIR) && strcmp(path, ".") != 0 &&
           strcmp(path, "/") != 0) {
        size_t n = strlen(path);
        while (n && path[n - 1] == '/') n--; // of "a/b/"
        while (n && path[n - 1] != '/') n--;
        while (n > 1 && path[n - 1] == '/') n--;
        if (n)
            path[n] = '\0';
        else
            memcpy(path, ".", 2);
    }
}

static bool check_existing(const Export *x, const char *there, const char *shown, Error *err) {
    struct stat info;
    const bool itself = strcmp(x->options->folder, there) == 0;
    if (stat(there, &info) != 0)
        return error_set(err, "%s: cannot be opened: %s; name another folder with -o", there, strerror(errno));
    if (!S_ISDIR(info.st_mode) && itself)
        return error_set(err, "%s: is a file, not a folder; name a folder with -o%s", there,
                         x->format->one_file ? ", or a file that ends in .gguf" : "");
    if (!S_ISDIR(info.st_mode))
        return error_set(err, "%s: cannot be made, since %s is a file; name another folder with -o", shown, there);
    return access(there, W_OK | X_OK) == 0 || cannot_write(there, strerror(errno), err);
}

bool place_check(const Export *x, const char *shown, Error *err) {
    char *there = strdup(*x->options->folder ? x->options->folder : ".");
    if (!there) return error_memory(err, shown);
    cut_to_existing(there);
    const bool ok = check_existing(x, there, shown, err);
    free(there);
    return ok;
}
