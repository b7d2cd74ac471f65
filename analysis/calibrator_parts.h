// How calibration is done, for calibrate.c and calibration_parts.c alone.
#pragma once

#include "analysis/calibrator.h"
#include "analysis/input_stats.h"

// Which of all sequences one process runs.
typedef struct Share {
    int part, parts;     // counted from 1
    size_t all, length;  // sequences of all parts; tokens of each
    size_t first, count; // of this part
} Share;
Share part_share(size_t sequences, size_t length, int part, int parts);

// What is known of one input, and of the batch in work.
typedef struct Gathering {
    InputGatherer gatherer; // width 0: not seen yet
    uint64_t before;        // tokens of the batches that are done
    uint64_t skip;          // tokens that are still to come and known already, from a state on disk
} Gathering;

struct Calibrator {
    Transformer *model;
    const ModelStructure *structure;
    Sequences *running;
    int32_t *ids; // [share.count, share.length]
    Share share;
    size_t hidden;     // width
    size_t stream;     // floats of a token between layers
    float **states;    // [most] → [length, stream] in backend memory
    size_t most;       // sequences of a batch
    Gathering *inputs; // [input_count]
    bool failed;       // an observation failed; err says why
    Error *err;
    Progress *progress;
    // Where it is: sequences `done`, then a batch of `count` of which all have passed the layers before `layer`, and
    // the first `passed` that one too. Layer −1: not begun. Layer `layers`: the head.
    size_t done, count, passed;
    int layer;
    size_t grown; // sequences of the next batch
};

// The statistics of one input, published. An expert that no token was sent to is known to have seen none.
bool input_look(const ModelStructure *structure, int input, const InputGatherer *gatherer, bool final, InputSet *out,
                Error *err);

// The state: `done`, then every input. Reading one of these: false when it cannot be true after so many sequences.
void calibrator_put(const Calibrator *c, Text *file);
bool gathering_get(const ModelStructure *structure, int input, const Share *share, size_t done, StatsReader *r,
                   Gathering *out);
