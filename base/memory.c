#include "base/memory.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#define UNKNOWN ((uint64_t)1 << 30)

static uint64_t smaller_of(uint64_t a, uint64_t b) { return a < b ? a : b; }
static uint64_t left_of(uint64_t limit, uint64_t used) { return limit > used ? limit - used : 0; }

// The number after `key` at the beginning of a line, or of the file when key is "". False when there is none.
static bool read_number(const char *path, const char *key, uint64_t *out) {
    FILE *file = fopen(path, "re");
    char line[256];
    bool found = false;
    while (file && !found && fgets(line, sizeof line, file)) {
        if (strncmp(line, key, strlen(key)) != 0) continue;
        char *end, *text = line + strlen(key);
        *out = strtoull(text, &end, 10);
        found = end != text;
    }
    if (file) fclose(file);
    return found;
}

// What a control group has left; pages of files count as free.
static uint64_t left_of_group(const char *folder, const char *limit_name, const char *used_name) {
    char path[512];
    uint64_t limit, used = 0, files = 0;
    snprintf(path, sizeof path, "%s/%s", folder, limit_name);
    if (!read_number(path, "", &limit)) return UINT64_MAX; // no such group, or "max"
    snprintf(path, sizeof path, "%s/%s", folder, used_name);
    read_number(path, "", &used);
    snprintf(path, sizeof path, "%s/memory.stat", folder);
    if (!read_number(path, "file ", &files)) read_number(path, "cache ", &files);
    return left_of(limit, left_of(used, files));
}

// The group that /proc/self/cgroup names ("0::/a/b" in version 2), and those around it.
static uint64_t left_of_groups(void) {
    const char *root = "/sys/fs/cgroup";
    uint64_t left = left_of_group("/sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes");
    char line[256], path[300];
    FILE *file = fopen("/proc/self/cgroup", "re");
    while (file && fgets(line, sizeof line, file)) {
        if (strncmp(line, "0::/", 4) != 0) continue;
        line[strcspn(line, "\n")] = '\0';
        snprintf(path, sizeof path, "%s%s", root, line + 3);
        for (char *slash; strlen(path) > strlen(root) && (slash = strrchr(path, '/')); *slash = '\0')
            left = smaller_of(left, left_of_group(path, "memory.max", "memory.current"));
    }
    if (file) fclose(file);
    return left;
}

static uint64_t left_of_limit(const struct rlimit *limit, const char *used_key) {
    uint64_t used = 0;
    if (limit->rlim_cur == RLIM_INFINITY) return UINT64_MAX;
    read_number("/proc/self/status", used_key, &used);
    return left_of(limit->rlim_cur, used << 10);
}

size_t memory_available(void) {
    struct rlimit limit;
    uint64_t left, kilobytes;
    left = read_number("/proc/meminfo", "MemAvailable:", &kilobytes) ? kilobytes << 10 : UNKNOWN;
    left = smaller_of(left, left_of_groups());
    if (getrlimit(RLIMIT_DATA, &limit) == 0) left = smaller_of(left, left_of_limit(&limit, "VmData:"));
    if (getrlimit(RLIMIT_AS, &limit) == 0) left = smaller_of(left, left_of_limit(&limit, "VmSize:"));
    return (size_t)smaller_of(left, SIZE_MAX / 2);
}
