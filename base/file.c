#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

// A regular file, opened; −1 with a message.
static int open_regular(const char *path, struct stat *info, Error *err) {
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) {
        error_set(err, "%s: cannot be opened: %s", path, strerror(errno));
        return -1;
    }
    if (fstat(fd, info) == 0 && S_ISREG(info->st_mode)) return fd;
    error_set(err, S_ISDIR(info->st_mode) ? "%s: is a folder, not a file" : "%s: is not a regular file", path);
    close(fd);
    return -1;
}

bool file_can_be_read(const char *path, Error *err) {
    struct stat info;
    if (stat(path, &info) != 0 || access(path, R_OK) != 0)
        return error_set(err, "%s: cannot be opened: %s", path, strerror(errno));
    return !S_ISDIR(info.st_mode) || error_set(err, "%s: is a folder, not a file", path);
}

bool file_read(const char *path, size_t limit, char **data, size_t *size, Error *err) {
    struct stat info = {0};
    int fd = open_regular(path, &info, err);
    if (fd < 0) return false;
    char *buffer = NULL;
    bool ok = false;
    if ((size_t)info.st_size > limit) {
        error_set(err, "%s: %zu bytes is more than the %zu that such a file may have", path, (size_t)info.st_size,
                  limit);
    } else if (!(buffer = malloc((size_t)info.st_size + 1))) {
        error_memory(err, path);
    } else {
        size_t have = 0, want = (size_t)info.st_size;
        ssize_t n = 1;
        while (have < want && ((n = read(fd, buffer + have, want - have)) > 0 || (n < 0 && errno == EINTR))) {
            if (n > 0) have += (size_t)n;
        }
        if (n < 0) {
            error_set(err, "%s: cannot be read: %s", path, strerror(errno));
        } else {
            buffer[have] = '\0';
            *data = buffer;
            *size = have;
            ok = true;
        }
    }
    if (!ok) free(buffer);
    close(fd);
    return ok;
}

static bool write_all(int fd, const char *data, size_t size) {
    while (size) {
        ssize_t n = write(fd, data, size);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) {
            if (n == 0) errno = ENOSPC;
            return false;
        }
        data += n;
        size -= (size_t)n;
    }
    return true;
}

static bool not_written(const char *path, const char *outcome, Error *err) {
    return error_set(err, "%s: cannot be written: %s; %s", path, strerror(errno), outcome);
}

static const char choose_another[] = "choose a folder that exists and that you may write to";

// Standard output is written from where it stands: opened again, a file behind it would be overwritten.
static int open_stream(const char *path) {
    if (strcmp(path, "/dev/stdout") != 0) return open(path, O_WRONLY | O_CLOEXEC);
    return fflush(stdout) == 0 ? fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 0) : -1;
}

static bool write_into(const char *path, const void *data, size_t size, Error *err) {
    int fd = open_stream(path);
    if (fd < 0) return not_written(path, choose_another, err);
    bool ok = write_all(fd, data, size);
    if (!ok) not_written(path, "part of the data may have gone there", err);
    if (close(fd) != 0 && ok) ok = not_written(path, "part of the data may have gone there", err);
    return ok;
}

static mode_t default_mode(void) {
    mode_t mask = umask(0);
    umask(mask);
    return 0666 & ~mask;
}

// An empty file beside `path`; its name, owned by the caller, goes to *temporary.
static int open_beside(const char *path, char **temporary, Error *err) {
    int fd = -1;
    if (asprintf(temporary, "%s.XXXXXX", path) < 0) {
        *temporary = NULL;
        error_memory(err, path);
    } else if ((fd = mkostemp(*temporary, O_CLOEXEC)) < 0) {
        free(*temporary);
        *temporary = NULL;
        not_written(path, choose_another, err);
    }
    return fd;
}

static bool replace_file(const char *path, mode_t mode, const void *data, size_t size, Error *err) {
    char *temporary;
    int fd = open_beside(path, &temporary, err);
    if (fd < 0) return false;
    bool ok = fchmod(fd, mode) == 0 && write_all(fd, data, size) && fsync(fd) == 0;
    int why = errno;
    if (close(fd) != 0 && ok) {
        ok = false;
        why = errno;
    }
    if (ok && rename(temporary, path) != 0) {
        ok = false;
        why = errno;
    }
    if (!ok) {
        unlink(temporary);
        errno = why;
        not_written(path, "nothing was changed", err);
    }
    free(temporary);
    return ok;
}

// Where the data for a path goes.
typedef struct Target {
    char *path; // owned: of the file itself, where a link leads to it
    mode_t mode;
    bool stream; // written into, not replaced
} Target;

static bool find_target(const char *path, Target *out, Error *err) {
    struct stat link, info;
    *out = (Target){.mode = default_mode()};
    if (lstat(path, &link) != 0) {
        out->path = strdup(path);
    } else if (stat(path, &info) != 0) {
        return not_written(path, "it is a link that leads nowhere", err);
    } else if (S_ISDIR(info.st_mode)) {
        errno = EISDIR;
        return not_written(path, "name a file", err);
    } else {
        out->mode = info.st_mode & 0777;
        out->stream = !S_ISREG(info.st_mode) || strcmp(path, "/dev/stdout") == 0;
        out->path = out->stream || !S_ISLNK(link.st_mode) ? strdup(path) : realpath(path, NULL);
    }
    return out->path || not_written(path, choose_another, err);
}

bool file_write(const char *path, const void *data, size_t size, Error *err) {
    Target target;
    if (!find_target(path, &target, err)) return false;
    bool ok = target.stream ? write_into(target.path, data, size, err)
                            : replace_file(target.path, target.mode, data, size, err);
    free(target.path);
    return ok;
}

// Pipes are not opened: a reader would see the end of them.
static bool try_target(const Target *target, Error *err) {
    char *temporary;
    if (target->stream)
        return strcmp(target->path, "/dev/stdout") == 0 || access(target->path, W_OK) == 0 ||
               not_written(target->path, choose_another, err);
    int fd = open_beside(target->path, &temporary, err);
    if (fd < 0) return false;
    unlink(temporary);
    free(temporary);
    close(fd);
    return true;
}

bool file_can_be_written(const char *path, Error *err) {
    Target target;
    if (!find_target(path, &target, err)) return false;
    bool ok = try_target(&target, err);
    free(target.path);
    return ok;
}

bool folder_make(const char *path, Error *err) {
    char *copy = strdup(path);
    if (!copy) return error_memory(err, path);
    bool ok = true;
    for (char *p = copy + 1; ok; p++) {
        if (*p != '/' && *p != '\0') continue;
        char saved = *p;
        *p = '\0';
        const int why = mkdir(copy, 0777) == 0 ? 0 : errno;
        if (why && !folder_exists(copy))
            ok = error_set(err, "%s: the folder cannot be created: %s", copy, strerror(why));
        *p = saved;
        if (saved == '\0') break;
    }
    free(copy);
    return ok;
}

bool disk_room(const char *folder, double *bytes, Error *err) {
    struct statvfs disk;
    char *path = strdup(folder);
    if (!path) return error_memory(err, folder);
    bool known;
    while (!(known = statvfs(path, &disk) == 0) && errno == ENOENT && strcmp(path, ".") != 0 &&
           strcmp(path, "/") != 0) {
        char *slash = strrchr(path, '/'); // the folder above
        if (slash)
            slash[slash == path] = '\0';
        else
            memcpy(path, ".", 2);
    }
    free(path);
    *bytes = known ? (double)disk.f_bavail * (double)disk.f_frsize : (double)INFINITY;
    return true;
}

bool disk_has_room(const char *folder, uint64_t bytes, Error *err) {
    const double needed = (double)bytes;
    double room;
    if (!disk_room(folder, &room, err)) return false;
    return room >= needed ||
           error_set(err, "%s: %.3g GB are needed, but the disk has %.3g GB left; make room, or choose another disk",
                     folder, needed * 1e-9, room * 1e-9);
}

bool file_exists(const char *path) {
    struct stat info;
    return stat(path, &info) == 0 && S_ISREG(info.st_mode);
}

bool folder_exists(const char *path) {
    struct stat info;
    return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

char *path_join(const char *folder, const char *name) {
    char *path = NULL;
    size_t n = strlen(folder);
    if (asprintf(&path, "%s%s%s", folder, n && folder[n - 1] == '/' ? "" : "/", name) < 0) return NULL;
    return path;
}

static char *user_folder(const char *variable, const char *under_home) {
    const char *base = getenv(variable), *home = getenv("HOME");
    char *path = NULL;
    if (base && base[0] == '/') return path_join(base, "quantdial");
    if (!home || home[0] != '/') return NULL;
    if (asprintf(&path, "%s/%s/quantdial", home, under_home) < 0) return NULL;
    return path;
}

char *folder_cache(void) { return user_folder("XDG_CACHE_HOME", ".cache"); }
char *folder_config(void) { return user_folder("XDG_CONFIG_HOME", ".config"); }
char *folder_state(void) { return user_folder("XDG_STATE_HOME", ".local/state"); }
