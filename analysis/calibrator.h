// Calibration in steps: text through the model, every linear input observed. What was seen so far can be looked at, and
// kept on disk, at any time; figures at the end are the same, bit by bit, however often it was stopped in between.
#pragma once

#include "analysis/stats.h"

typedef struct Calibrator Calibrator;

// Sequences of `length` ids each, one after the other in `ids`, which are copied. t stays the caller's. Refuses what
// the model has no positions for.
bool calibrator_new(Transformer *t, const int32_t *ids, size_t sequences, size_t length, Calibrator **out, Error *err);
// Part `part` of `parts` of these sequences, counted from 1: with parts 1 all of them. Refuses more parts than
// sequences.
bool calibrator_new_part(Transformer *t, const int32_t *ids, size_t sequences, size_t length, int part, int parts,
                         Calibrator **out, Error *err);
void calibrator_free(Calibrator *c); // NULL: nothing

// Tells the progress how many tokens there are, and how many were run before.
void calibrator_begin(const Calibrator *c, Progress *progress);
// Runs the next batch, or what is left of one that was stopped: about a thousand tokens first, then twice as many. A
// batch reads all weights once, layer by layer. Adds tokens to progress. False when it is stopped, which loses nothing;
// after a failure the calibrator can only be freed.
bool calibrator_batch(Calibrator *c, Progress *progress, Error *err);

uint64_t calibrator_tokens(const Calibrator *c);  // of all batches that are done
uint64_t calibrator_planned(const Calibrator *c); // that it will have run
bool calibrator_done(const Calibrator *c);

// What was seen so far, in a set of its own (the caller's); final when the calibrator is done.
bool calibrator_inputs(const Calibrator *c, InputSet **out, Error *err);

// The state on disk. key: input_stats_key of what it calibrates on. A state that is missing, damaged or of something
// else leaves a fresh calibrator as it is (false). Writing is atomic and best effort.
bool calibrator_resume(Calibrator *c, const char *folder, uint64_t key);
bool calibrator_keep(const Calibrator *c, const char *folder, uint64_t key, Error *err);
void calibrator_forget(const char *folder, uint64_t key);

// ---- Files of parts (calibration_parts.c) ----

// What parts have in common.
typedef struct CalibrationWork {
    uint64_t model; // inputs_model_key
    uint64_t ids;   // input_ids_key of all of them
    Precision precision;
    char backend[16]; // its name
    CalibrationText text;
} CalibrationWork;

// What a part saw, once it is done; atomic.
bool calibration_part_write(const Calibrator *c, const CalibrationWork *work, const char *path, Error *err);
// Whether the file is that part of that work, whole.
bool calibration_part_is_there(const char *path, const CalibrationWork *work, int part, int parts);
// All parts of one work, in any order: exactly what one calibrator sees of all sequences. Says what is missing, twice
// there or of another work. *out is the caller's.
bool calibration_merge(const ModelStructure *structure, char *const *paths, int count, CalibrationWork *work,
                       InputSet **out, Error *err);
