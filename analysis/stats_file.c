#include "analysis/stats_file.h"

#include <assert.h>
#include <dirent.h>
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

#include "analysis/cache_write.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/log.h"

#define BYTE_ORDER_MARK 0x01020304u
#define FILE_LIMIT ((size_t)4 << 30)

typedef struct StatsHeader {
    char magic[8];
    uint32_t byte_order, version, kind, zero;
    uint64_t key, payload_bytes, payload_hash;
} StatsHeader;
static_assert(sizeof(StatsHeader) == 48, "padding would reach the file");

static StatsHeader stats_header(StatsKind kind, uint64_t key, const char *payload, size_t size) {
    return (StatsHeader){.magic = "qdstats\n",
                         .byte_order = BYTE_ORDER_MARK,
                         .version = STATS_VERSION,
                         .kind = kind,
                         .key = key,
                         .payload_bytes = size,
                         .payload_hash = hash_bytes(HASH_START, payload, size)};
}

static const char *const kind_names[] = {
    [STATS_WEIGHTS] = "weights",       [STATS_INPUTS] = "inputs", [STATS_CALIBRATION] = "calibration",
    [STATS_STATES] = "states",         [STATS_TEXT] = "text",     [STATS_PART] = "part",
    [STATS_STATISTICS] = "statistics", [STATS_TRIALS] = "trials", [STATS_TRANSLATIONS] = "translations"};
static_assert(sizeof kind_names / sizeof *kind_names == STATS_KIND_END, "a kind of file has no name");

static char *file_path(const char *folder, StatsKind kind, uint64_t key) {
    char name[64];
    snprintf(name, sizeof name, "%s-%016llx.stats", kind_names[kind], (unsigned long long)key);
    return path_join(folder, name);
}

// ---- Writing ----

void stats_put(Text *file, const void *data, size_t bytes) {
    if (bytes) text_add(file, data, bytes);
}

void stats_put_number(Text *file, uint64_t number) { stats_put(file, &number, sizeof number); }

void stats_file_begin(Text *file) { stats_put(file, &(StatsHeader){0}, sizeof(StatsHeader)); }

static bool put_header(StatsKind kind, uint64_t key, Text *file, Error *err) {
    if (file->failed) return error_memory(err, "writing statistics");
    StatsHeader header = stats_header(kind, key, file->data + sizeof header, file->length - sizeof header);
    memcpy(file->data, &header, sizeof header);
    return true;
}

bool stats_file_save(const char *path, StatsKind kind, uint64_t key, Text *file, Error *err) {
    return put_header(kind, key, file, err) && file_write(path, file->data, file->length, err);
}

bool stats_file_write(const char *folder, StatsKind kind, uint64_t key, Text *file, Error *err) {
    if (!put_header(kind, key, file, err)) return false;
    char *path = file_path(folder, kind, key);
    if (!path) return error_memory(err, folder);
    bool ok = cache_write(folder, path, file, err);
    free(path);
    return ok;
}

// ---- Reading ----

char *stats_file_read(const char *folder, StatsKind kind, uint64_t key, StatsReader *payload) {
    char *path = file_path(folder, kind, key), *data = NULL;
    size_t size = 0;
    bool there = path && file_read(path, FILE_LIMIT, &data, &size, NULL), ok = there && size >= sizeof(StatsHeader);
    if (ok) {
        *payload = (StatsReader){.at = data + sizeof(StatsHeader), .left = size - sizeof(StatsHeader)};
        StatsHeader wanted = stats_header(kind, key, payload->at, payload->left);
        ok = memcmp(data, &wanted, sizeof wanted) == 0;
    }
    log_line("cache: %s %s", path ? path : "?",
             ok      ? "is read"
             : there ? "is damaged or of another version"
                     : "is not there");
    free(path);
    if (ok) return data;
    free(data);
    return NULL;
}

static bool check_header(const char *path, const StatsHeader *found, const StatsHeader *wanted, Error *err) {
    if (memcmp(found->magic, wanted->magic, sizeof found->magic) != 0)
        return error_set(err, "%s: holds no statistics; calibrate -o writes such files", path);
    if (found->version != wanted->version || found->byte_order != wanted->byte_order)
        return error_set(err, "%s: was written by another version, or on another kind of machine; calibrate again",
                         path);
    if (found->kind == STATS_PART && wanted->kind == STATS_STATISTICS)
        return error_set(err, "%s: is a part of a calibration; calibrate --merge makes statistics of all parts", path);
    if (found->kind == STATS_STATISTICS && wanted->kind == STATS_PART)
        return error_set(err, "%s: is whole, and no part of a calibration; take it with --statistics", path);
    return memcmp(found, wanted, sizeof *found) == 0 || error_set(err, "%s: is damaged; write it again", path);
}

char *stats_file_load(const char *path, StatsKind kind, uint64_t *key, StatsReader *payload, Error *err) {
    StatsHeader found = {0};
    char *data;
    size_t size;
    if (!file_read(path, FILE_LIMIT, &data, &size, err)) return NULL;
    if (size >= sizeof found) memcpy(&found, data, sizeof found);
    *payload = (StatsReader){.at = data + sizeof found, .left = size >= sizeof found ? size - sizeof found : 0};
    *key = found.key;
    const StatsHeader wanted = stats_header(kind, found.key, payload->at, payload->left);
    if (check_header(path, &found, &wanted, err)) return data;
    free(data);
    return NULL;
}

void stats_file_remove(const char *folder, StatsKind kind, uint64_t key) {
    char *path = file_path(folder, kind, key);
    if (path) unlink(path);
    free(path);
}

// ---- Making room ----

typedef struct StatsFile {
    char *path;
    off_t size;
    struct timespec changed;
} StatsFile;

static bool is_of_kind(const char *name, StatsKind kind) {
    const size_t length = strlen(kind_names[kind]), whole = strlen(name);
    return strncmp(name, kind_names[kind], length) == 0 && name[length] == '-' && whole > 6 &&
           strcmp(name + whole - 6, ".stats") == 0;
}

static bool find_files(const char *folder, StatsKind kind, StatsFile **out, size_t *count) {
    DIR *dir = opendir(folder);
    size_t capacity = 0;
    bool ok = dir != NULL;
    for (struct dirent *entry; ok && (entry = readdir(dir)) != NULL;) {
        struct stat info;
        if (!is_of_kind(entry->d_name, kind)) continue;
        ok = array_grow(out, *count, &capacity, sizeof **out);
        char *path = ok ? path_join(folder, entry->d_name) : NULL;
        if (path && lstat(path, &info) == 0)
            (*out)[(*count)++] = (StatsFile){path, info.st_size, info.st_mtim};
        else
            free(path);
    }
    if (dir) closedir(dir);
    return ok;
}

static int oldest_first(const void *a, const void *b) {
    const struct timespec *x = &((const StatsFile *)a)->changed, *y = &((const StatsFile *)b)->changed;
    if (x->tv_sec != y->tv_sec) return x->tv_sec < y->tv_sec ? -1 : 1;
    return (x->tv_nsec > y->tv_nsec) - (x->tv_nsec < y->tv_nsec);
}

void stats_file_prune(const char *folder, StatsKind kind, uint64_t key, size_t most) {
    StatsFile *found = NULL;
    size_t count = 0, total = 0;
    char *own = file_path(folder, kind, key);
    bool ok = find_files(folder, kind, &found, &count) && own;
    for (size_t i = 0; i < count; i++) total += (size_t)found[i].size;
    if (ok && count) qsort(found, count, sizeof *found, oldest_first);
    for (size_t i = 0; ok && i < count && total > most; i++) {
        if (strcmp(found[i].path, own) == 0 || unlink(found[i].path) != 0) continue;
        log_line("cache: %s made room", found[i].path);
        total -= (size_t)found[i].size;
    }
    for (size_t i = 0; i < count; i++) free(found[i].path);
    free(found);
    free(own);
}

// ---- Taking apart ----

bool stats_get(StatsReader *r, void *out, size_t bytes) {
    if (r->bad || bytes > r->left) {
        r->bad = true;
        memset(out, 0, bytes);
        return false;
    }
    if (bytes) memcpy(out, r->at, bytes);
    r->at += bytes;
    r->left -= bytes;
    return true;
}

uint64_t stats_get_number(StatsReader *r) {
    uint64_t number;
    stats_get(r, &number, sizeof number);
    return number;
}

void *stats_get_array(StatsReader *r, size_t count, size_t size) {
    size_t bytes;
    if (r->bad || __builtin_mul_overflow(count, size, &bytes) || bytes > r->left) {
        r->bad = true;
        return NULL;
    }
    void *data = array_new(count, size);
    if (!data)
        r->bad = true;
    else
        stats_get(r, data, bytes);
    return data;
}

bool floats_finite(const float *values, size_t n) {
    bool finite = true;
    for (size_t i = 0; i < n; i++) finite &= fabsf(values[i]) <= FLT_MAX;
    return finite;
}

bool counts_sum_to(const uint64_t *counts, size_t n, uint64_t total) {
    uint64_t sum = 0;
    for (size_t i = 0; i < n; i++) {
        if (__builtin_add_overflow(sum, counts[i], &sum)) return false;
    }
    return sum == total;
}

bool counts_at_most(const uint32_t *counts, size_t n, uint64_t most) {
    bool ok = true;
    for (size_t i = 0; i < n; i++) ok &= counts[i] <= most;
    return ok;
}
