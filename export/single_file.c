// A format of one file, and a path that ends as such files do: the file itself is meant. It is made in a folder beside
// it, PATH.unfinished, where it can go on after any end, and moved to its place when it is whole.
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "export/export_parts.h"

static bool is_meant(const FormatRow *format, const char *path) {
    const size_t length = strlen(path), ending = format && format->one_file ? strlen(format->ending) : length;
    return length > ending && strcmp(path + length - ending, format->ending) == 0 && !folder_exists(path);
}

static bool is_source(const Checkpoint *checkpoint, const char *path) {
    struct stat a, b;
    for (size_t f = 0; f < checkpoint->file_count; f++) {
        if (stat(path, &a) == 0 && stat(checkpoint->files[f].path, &b) == 0 && a.st_dev == b.st_dev &&
            a.st_ino == b.st_ino)
            return true;
    }
    return false;
}

bool single_file_begin(const Checkpoint *source, const ExportOptions *options, const FormatRow *format, SingleFile *out,
                       Error *err) {
    *out = (SingleFile){.options = *options, .path = options->folder};
    if (!is_meant(format, options->folder)) return true;
    if (is_source(source, out->path))
        return error_set(err, "%s: is the model itself; name another file with -o", out->path);
    if (asprintf(&out->folder, "%s.unfinished", options->folder) < 0) out->folder = NULL;
    out->options.folder = out->folder;
    return out->folder || error_memory(err, options->folder);
}

// The head has hashes of model and plan (gguf.c), and says of every tensor what it is and where.
static bool has_head(const char *path, const OutFile *file, bool *same, Error *err) {
    Mapping *mapping;
    if (!mapping_open(path, &mapping, err)) return false;
    *same = mapping_bytes(mapping) == out_file_bytes(file) &&
            memcmp(mapping_data(mapping), file->head.data, file->head.length) == 0;
    mapping_close(mapping);
    return true;
}

bool single_file_is_whole(SingleFile *file, const Export *x, bool *whole, Error *err) {
    *whole = false;
    if (!file->folder || file->options.overwrite || !file_exists(file->path)) return true;
    const bool ok =
        has_head(file->path, &x->files[0], whole, err) &&
        (*whole || error_set(err,
                             "%s: is there already, and is not what this recipe makes of this model; name another "
                             "file with -o, or replace it with --overwrite",
                             file->path));
    file->occupied = !ok;
    return ok;
}

// What else stands in the folder is of no use without the file.
static void remove_folder(const char *folder) {
    DIR *dir = opendir(folder);
    for (struct dirent *entry; dir && (entry = readdir(dir));) unlinkat(dirfd(dir), entry->d_name, 0);
    if (dir) closedir(dir);
    rmdir(folder);
}

bool single_file_end(SingleFile *file, const char *name, Error *err) {
    if (!file->folder) return true;
    char *from = path_join(file->folder, name);
    bool ok = from || error_memory(err, name);
    if (ok && rename(from, file->path) != 0)
        ok = error_set(err, "%s: cannot be moved to %s: %s", from, file->path, strerror(errno));
    if (ok) remove_folder(file->folder);
    free(from);
    return ok;
}

void single_file_free(SingleFile *file) {
    free(file->folder);
    file->folder = NULL;
}
