// Inside analysis/: files in the cache folder. One layout for all: a header, and a payload of numbers and arrays one
// after the other, in the byte order of the machine. A file is believed only when every byte of its header and the hash
// of its payload are right; whether the numbers can be true is for whoever reads them to say.
#pragma once

#include <stdint.h>

#include "base/array.h"

// Counts up whenever a layout, or what is measured and how, changes.
#define STATS_VERSION 6u

typedef enum StatsKind {
    STATS_WEIGHTS = 1,
    STATS_INPUTS,
    STATS_CALIBRATION,
    STATS_STATES,
    STATS_TEXT,
    STATS_PART,       // of a calibration, in a file that a person named
    STATS_STATISTICS, // of inputs, likewise
    STATS_TRIALS,     // rows of the screen (workbench/trials.h), which are no cache
    STATS_TRANSLATIONS,
    STATS_KIND_END
} StatsKind;

// ---- Writing ----

// Starts with stats_file_begin, then the payload. Free with text_free.
void stats_file_begin(Text *file);
void stats_put(Text *file, const void *data, size_t bytes);
void stats_put_number(Text *file, uint64_t number);
// Atomic; makes the folder.
bool stats_file_write(const char *folder, StatsKind kind, uint64_t key, Text *file, Error *err);
// The same where a person wants it.
bool stats_file_save(const char *path, StatsKind kind, uint64_t key, Text *file, Error *err);

// ---- Reading ----

typedef struct StatsReader {
    const char *at;
    size_t left;
    bool bad; // stays true once something was wrong; what is read then is zeros
} StatsReader;

// The file, if it is there and whole, with the reader at its payload; owned by the caller (free). NULL otherwise.
char *stats_file_read(const char *folder, StatsKind kind, uint64_t key, StatsReader *payload);
// A file that a person named, of whatever key, which goes to *key; or what is wrong with it.
char *stats_file_load(const char *path, StatsKind kind, uint64_t *key, StatsReader *payload, Error *err);
void stats_file_remove(const char *folder, StatsKind kind, uint64_t key);
// Removes the oldest files of a kind while all of them take more than so many bytes; never that of the key.
void stats_file_prune(const char *folder, StatsKind kind, uint64_t key, size_t most);

bool stats_get(StatsReader *r, void *out, size_t bytes);
uint64_t stats_get_number(StatsReader *r);
// A fresh array of as many elements; NULL, and r->bad, when the file does not hold so many.
void *stats_get_array(StatsReader *r, size_t count, size_t size);
bool floats_finite(const float *values, size_t n); // all of them
bool counts_sum_to(const uint64_t *counts, size_t n, uint64_t total);
bool counts_at_most(const uint32_t *counts, size_t n, uint64_t most); // each of them
