// Statistics on disk, in the user's cache folder. A file that is missing, stale or damaged is simply not used; nothing
// in it is trusted.
#pragma once

#include "analysis/stats.h"

// Keys: weights by the identities of the checkpoint and its configuration; inputs by these, token ids, precision and
// the name of the backend. The version of what is measured is part of both.
uint64_t weight_stats_key(const ModelStructure *structure);
uint64_t input_stats_key(const ModelStructure *structure, const int32_t *ids, size_t sequences, size_t length,
                         Precision precision, const char *backend);

// The same from a hash of the ids.
uint64_t input_ids_key(const int32_t *ids, size_t sequences, size_t length);
uint64_t input_stats_key_of(const ModelStructure *structure, uint64_t ids, Precision precision, const char *backend);
// The model alone, and any copy of it.
uint64_t inputs_model_key(const ModelStructure *structure);

// True when it was there, whole and fits the structure; then all weights (inputs) are known.
bool stats_cache_read_weights(const char *folder, uint64_t key, const ModelStructure *structure, ModelStats *stats);
bool stats_cache_read_inputs(const char *folder, uint64_t key, const ModelStructure *structure, ModelStats *stats);
// Best effort, atomic; a full disk or a read-only folder is reported in err but nothing else suffers.
bool stats_cache_write_weights(const char *folder, uint64_t key, const ModelStats *stats, Error *err);
bool stats_cache_write_inputs(const char *folder, uint64_t key, const ModelStats *stats, Error *err);

// Statistics of inputs in a file that people name and carry about, with the text that they are of.
bool statistics_write(const char *path, const ModelStructure *structure, const CalibrationText *text,
                      const ModelStats *stats, Error *err);
// Refuses those of another model, and files that are something else.
bool statistics_read(const char *path, const ModelStructure *structure, CalibrationText *text, ModelStats *stats,
                     Error *err);
