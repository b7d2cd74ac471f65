// Inside analysis/: figures of evaluations on disk, one file for each combination of model and tokens.
#pragma once

#include "analysis/trial.h"

// key: of model, tokens and whatever else all entries share. An unreadable, damaged or foreign file counts as empty.
bool trial_cache_open(const char *folder, uint64_t key, TrialCache **out, Error *err);
// by_position: NULL, or [POSITION_FIGURES, positions]; false where only the figures of the whole were kept.
bool trial_cache_find(const TrialCache *cache, uint64_t plan, Accuracy *out, float *by_position);
// by_position [POSITION_FIGURES, accuracy->tokens] or NULL. Writes the file if the last time is a second ago; best
// effort.
void trial_cache_add(TrialCache *cache, uint64_t plan, const Accuracy *accuracy, const float *by_position);
void trial_cache_close(TrialCache *cache); // writes what is not on disk yet
