// Layout of a file, in the byte order of the machine: TrialHeader, `count` Entries, then what was found at each
// position of those entries that have it (accuracy.h), in the same order. A reader believes it only when the hash over
// all of that is right and every figure can be true.
#include "analysis/trial_cache.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/cache_write.h"
#include "base/array.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/log.h"

// Counts up whenever the layout, or what the figures mean, changes.
#define TRIAL_VERSION 3u
#define FILE_LIMIT ((size_t)64 << 20)
#define SECONDS_BETWEEN_WRITES 1.0

typedef struct TrialHeader {
    char magic[8];
    uint32_t version, entry_bytes;
    uint64_t key, count, hash;
} TrialHeader;
static_assert(sizeof(TrialHeader) == 40, "padding would reach the file");

typedef struct Entry {
    uint64_t plan;
    uint64_t positions; // that are kept one by one: all of the accuracy's tokens, or 0
    Accuracy accuracy;
} Entry;
static_assert(sizeof(Entry) == 2 * 8 + 25 * 8, "entries are kept as they are: does TRIAL_VERSION count the change?");

struct TrialCache {
    char *folder, *path;
    uint64_t key;
    Entry *entries;
    float **by_position; // [count] → [POSITION_FIGURES, positions] or NULL
    size_t count, capacity, place_capacity, bytes;
    bool changed; // since it was written
    double write_time;
};

// body: all that follows the header.
static TrialHeader trial_header(uint64_t key, size_t count, const char *body, size_t bytes) {
    return (TrialHeader){.magic = "qdtrial",
                         .version = TRIAL_VERSION,
                         .entry_bytes = sizeof(Entry),
                         .key = key,
                         .count = count,
                         .hash = hash_bytes(HASH_START, body, bytes)};
}

static bool plausible_accuracy(const Accuracy *a) {
    return a->tokens > 0 && a->tokens == a->planned && isfinite(a->kl_mean) && a->kl_mean >= 0 && a->kl_se >= 0 &&
           isfinite(a->kl_reverse_mean) && a->kl_reverse_mean >= 0 && a->ppl > 0 && a->base_ppl > 0 && a->top1 >= 0 &&
           a->top1 <= 1;
}

static bool plausible_positions(const float *by_position, size_t n) {
    for (size_t i = 0; i < POSITION_FIGURES * n; i++) {
        if (!isfinite(by_position[i]) || by_position[i] < 0) return false;
    }
    return true;
}

static bool room_for_one(TrialCache *cache) {
    return array_grow(&cache->entries, cache->count, &cache->capacity, sizeof *cache->entries) &&
           array_grow(&cache->by_position, cache->count, &cache->place_capacity, sizeof *cache->by_position);
}

static size_t positions_bytes(size_t n) { return POSITION_FIGURES * n * sizeof(float); }

// Replaces what is kept of positions; without memory nothing is.
static void keep_positions(TrialCache *cache, size_t at, const float *by_position, size_t n) {
    float *copy = by_position ? array_new(POSITION_FIGURES * n, sizeof *copy) : NULL;
    if (!copy) return;
    memcpy(copy, by_position, positions_bytes(n));
    cache->by_position[at] = copy;
    cache->entries[at].positions = n;
    cache->bytes += positions_bytes(n);
}

// One entry, and its positions from *rest on; false when it cannot be true.
static bool take_entry(TrialCache *cache, const Entry *entry, const char **rest, const char *end) {
    const size_t n = (size_t)entry->positions;
    if (!plausible_accuracy(&entry->accuracy) || (n && n != entry->accuracy.tokens)) return false;
    if (n > (size_t)(end - *rest) / positions_bytes(1) || !room_for_one(cache)) return false;
    float *by_position = array_new(POSITION_FIGURES * n, sizeof *by_position);
    if (!by_position) return false;
    memcpy(by_position, *rest, positions_bytes(n));
    *rest += positions_bytes(n);
    const bool ok = plausible_positions(by_position, n);
    if (ok) {
        cache->entries[cache->count] = *entry;
        cache->entries[cache->count].positions = 0;
        cache->by_position[cache->count] = NULL;
        keep_positions(cache, cache->count++, n ? by_position : NULL, n);
        cache->bytes += sizeof *entry;
    }
    free(by_position);
    return ok;
}

static bool take_entries(TrialCache *cache, const char *data, size_t size) {
    TrialHeader header;
    if (size < sizeof header) return false;
    memcpy(&header, data, sizeof header);
    const char *body = data + sizeof header, *end = data + size;
    if (header.count > (size_t)(end - body) / sizeof(Entry)) return false;
    const TrialHeader expected = trial_header(cache->key, (size_t)header.count, body, (size_t)(end - body));
    if (memcmp(&header, &expected, sizeof header) != 0) return false;
    const char *rest = body + header.count * sizeof(Entry);
    for (size_t i = 0; i < header.count; i++) {
        Entry entry;
        memcpy(&entry, body + i * sizeof entry, sizeof entry);
        if (!take_entry(cache, &entry, &rest, end)) return false;
    }
    return rest == end;
}

static void forget_all(TrialCache *cache) {
    for (size_t i = 0; i < cache->count; i++) free(cache->by_position[i]);
    cache->count = cache->bytes = 0;
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
        if (!take_entries(cache, data, size)) forget_all(cache);
        free(data);
    }
    log_line("cache: %s holds %zu evaluations", cache->path, cache->count);
    return true;
}

static size_t place_of(const TrialCache *cache, uint64_t plan) {
    size_t i = 0;
    while (i < cache->count && cache->entries[i].plan != plan) i++;
    return i;
}

bool trial_cache_find(const TrialCache *cache, uint64_t plan, Accuracy *out, float *by_position) {
    const size_t at = cache ? place_of(cache, plan) : 0;
    if (!cache || at == cache->count || (by_position && !cache->by_position[at])) return false;
    *out = cache->entries[at].accuracy;
    if (by_position) memcpy(by_position, cache->by_position[at], positions_bytes((size_t)cache->entries[at].positions));
    return true;
}

static void write_entries(TrialCache *cache) {
    Text file = {0};
    TrialHeader header = {0};
    text_add(&file, (const char *)&header, sizeof header);
    text_add(&file, (const char *)cache->entries, cache->count * sizeof *cache->entries);
    for (size_t i = 0; i < cache->count; i++) {
        const size_t n = (size_t)cache->entries[i].positions;
        if (n) text_add(&file, (const char *)cache->by_position[i], positions_bytes(n));
    }
    if (!file.failed) {
        header = trial_header(cache->key, cache->count, file.data + sizeof header, file.length - sizeof header);
        memcpy(file.data, &header, sizeof header);
        cache_write(cache->folder, cache->path, &file, NULL);
    }
    text_free(&file);
    // Also where it failed: a folder that cannot be written now is not tried for each figure.
    cache->changed = false;
    cache->write_time = clock_seconds();
}

void trial_cache_add(TrialCache *cache, uint64_t plan, const Accuracy *accuracy, const float *by_position) {
    if (!cache || !plausible_accuracy(accuracy)) return;
    const size_t at = place_of(cache, plan), n = by_position ? (size_t)accuracy->tokens : 0;
    if (at < cache->count && (!by_position || cache->by_position[at])) return; // known already
    if (sizeof(TrialHeader) + cache->bytes + sizeof(Entry) + positions_bytes(n) > FILE_LIMIT) return;
    if (at == cache->count) {
        if (!room_for_one(cache)) return;
        cache->entries[at] = (Entry){.plan = plan, .accuracy = *accuracy};
        cache->by_position[at] = NULL;
        cache->count++;
        cache->bytes += sizeof(Entry);
    }
    keep_positions(cache, at, by_position, n);
    cache->changed = true;
    if (clock_seconds() - cache->write_time >= SECONDS_BETWEEN_WRITES) write_entries(cache);
}

void trial_cache_close(TrialCache *cache) {
    if (!cache) return;
    if (cache->changed) write_entries(cache);
    forget_all(cache);
    free(cache->folder);
    free(cache->path);
    free(cache->entries);
    free(cache->by_position);
    free(cache);
}
