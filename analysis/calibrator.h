// Calibration in steps: text through the model, every linear input observed. What was seen so far can be looked at, and
// kept on disk, at any time; figures at the end are the same, bit by bit, however often it was stopped in between.
#pragma once

#include "analysis/stats.h"

typedef struct Calibrator Calibrator;

// Sequences of `length` ids each, one after the other in `ids`, which are copied. t stays the caller's. Refuses what
// the model has no positions for.
bool calibrator_new(Transformer *t, const int32_t *ids, size_t sequences, size_t length, Calibrator **out, Error *err);
void calibrator_free(Calibrator *c); // NULL: nothing

// Tells the progress how many tokens there are, and how many were run before.
void calibrator_begin(const Calibrator *c, Progress *progress);
// Runs the next batch, or what is left of one that was stopped: about a thousand tokens first, then twice as many. A
// batch reads all weights once, layer by layer. Adds tokens to progress. False when it is stopped, which loses nothing;
// after a failure the calibrator can only be freed.
bool calibrator_batch(Calibrator *c, Progress *progress, Error *err);

uint64_t calibrator_tokens(const Calibrator *c); // of all batches that are done
bool calibrator_done(const Calibrator *c);

// What was seen so far, in a set of its own (the caller's); final when the calibrator is done.
bool calibrator_inputs(const Calibrator *c, InputSet **out, Error *err);

// The state on disk. key: input_stats_key of what it calibrates on. A state that is missing, damaged or of something
// else leaves a fresh calibrator as it is (false). Writing is atomic and best effort.
bool calibrator_resume(Calibrator *c, const char *folder, uint64_t key);
bool calibrator_keep(const Calibrator *c, const char *folder, uint64_t key, Error *err);
void calibrator_forget(const char *folder, uint64_t key);
