// Text that the model itself writes, to calibrate on: what it was trained on, as far as it remembers.
#pragma once

#include "loaders/tokenizer/tokenizer.h"
#include "model/transformer.h"

typedef struct SelfTextOptions {
    size_t sequences, length; // tokens of each
    int32_t prefix;           // what a text begins with (BOS); −1: any token
    uint64_t seed;
} SelfTextOptions;

// Replaces *out by the ids of `sequences` sequences, one after the other, sampled at temperature 1. Where a text ends
// (EOS) the sequence goes on with the beginning of another one. Each sequence has a generator of its own. Taken from
// the folder when it was made before (NULL: no folder), and kept there.
bool self_text(Transformer *t, const SelfTextOptions *options, const char *folder, TokenIds *out, Progress *progress,
               Error *err);
