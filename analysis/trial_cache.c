// Layout of a file, in the byte order of the machine: Header, then `count` Entries. A reader believes it only when the
// hash over the entries is right and every figure can be true.
#include "analysis/trial_cache.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/log.h"

// Counts up whenever the layout, or what the figures mean, changes.
#define TRIAL_VERSION 2u
#define FILE_LIMIT ((size_t)64 << 20)
#define SECONDS_BETWEEN_WRITES 1.0

typedef struct Header {
    char magic[8];
    uint32_t version, entry_bytes;
    uint64_t key, count, hash;
} Header;

typedef struct Entry {
    uint64_t plan;
    Accuracy accuracy;
} Entry;

struct TrialCache {
    char *folder, *path;
    uint64_t key;
    Entry *entries;
    size_t count, capacity, written;
    double write_time;
};

static Header header_for(uint64_t key, const Entry *entries, size_t count) {
    return (Header){.magic = "qdtrial",
                    .version = TRIAL_VERSION,
                    .entry_bytes = sizeof(Entry),
                    .key = key,
                    .count = count,
                    .hash = hash_bytes(HASH_START, entries, count * sizeof *entries)};
}

static bool plausible(const Accuracy *a) {
    return a->tokens > 0 && a->tokens == a->planned && isfinite(a->kl_mean) && a->kl_mean >= 0 && a->kl_se >= 0 &&
           isfinite(a->kl_reverse_mean) && a->kl_reverse_mean >= 0 &&
           a->ppl > 0 && a->base_ppl > 0 && a->top1 >= 0 && a->top1 <= 1;
}

static bool take_entries(TrialCache *cache, const char *data, size_t size) {
    Header header;
    if (size < sizeof header || (size - sizeof header) % sizeof(Entry)) return false;
    size_t count = (size - sizeof header) / sizeof(Entry);
    memcpy(&header, data, sizeof header);
    cache->entries = array_new(count, sizeof(Entry));
    if (!cache->entries) return false;
    cache->capacity = count;
    memcpy(cache->entries, data + sizeof header, count * sizeof(Entry));
    Header expected = header_for(cache->key, cache->entries, count);
    if (memcmp(&header, &expected, sizeof header) != 0) return false;
    for (size_t i = 0; i < count; i++) {
        if (!plausible(&cache->entries[i].accuracy)) return false;
    }
    cache->count = cache->written = count;
    return true;
}

bool trial_cache_open(const char *folder, uint64_t key, TrialCache **out, Error *err) {
    char name[64], *data;
    size_t size;
    TrialCache *cache = calloc(1, sizeof *cache);
    *out = cache;
    snprintf(name, sizeof name, "trials-%016llx.bin", (unsigned long long)key);
    if (cache) cache->folder = strdup(folder);
    if (cache) cache->path = path_join(folder, name);
    if (!cache || !cache->folder || !cache->path) return error_memory(err, "kept figures");
    cache->key = key;
    if (file_read(cache->path, FILE_LIMIT, &data, &size, NULL)) {
        take_entries(cache, data, size);
        free(data);
    }
    log_line("cache: %s holds %zu evaluations", cache->path, cache->count);
    return true;
}

bool trial_cache_find(const TrialCache *cache, uint64_t plan, Accuracy *out) {
    for (size_t i = 0; cache && i < cache->count; i++) {
        if (cache->entries[i].plan != plan) continue;
        *out = cache->entries[i].accuracy;
        return true;
    }
    return false;
}

static void write_entries(TrialCache *cache) {
    Text file = {0};
    Header header = header_for(cache->key, cache->entries, cache->count);
    text_add(&file, (const char *)&header, sizeof header);
    text_add(&file, (const char *)cache->entries, cache->count * sizeof *cache->entries);
    if (!file.failed && folder_make(cache->folder, NULL)) file_write(cache->path, file.data, file.length, NULL);
    text_free(&file);
    // Also where it failed: a folder that cannot be written now is not tried for each figure.
    cache->written = cache->count;
    cache->write_time = clock_seconds();
}

void trial_cache_add(TrialCache *cache, uint64_t plan, const Accuracy *accuracy) {
    Accuracy kept;
    if (!cache || !plausible(accuracy) || trial_cache_find(cache, plan, &kept)) return;
    if ((cache->count + 1) * sizeof(Entry) + sizeof(Header) > FILE_LIMIT) return;
    if (!array_grow(&cache->entries, cache->count, &cache->capacity, sizeof *cache->entries)) return;
    Entry *entry = &cache->entries[cache->count++];
    memset(entry, 0, sizeof *entry); // padding goes to disk, too
    entry->plan = plan;
    entry->accuracy = *accuracy;
    if (clock_seconds() - cache->write_time >= SECONDS_BETWEEN_WRITES) write_entries(cache);
}

void trial_cache_close(TrialCache *cache) {
    if (!cache) return;
    if (cache->written < cache->count) write_entries(cache);
    free(cache->folder);
    free(cache->path);
    free(cache->entries);
    free(cache);
}
