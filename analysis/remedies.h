// What would mend the output of one linear: changes that a recipe can make, each measured as analysis/why.h measures.
#pragma once

#include "analysis/why.h"

typedef enum RemedyKind {
    REMEDY_TOKEN,
    REMEDY_SMOOTH,
    REMEDY_GROUP,
    REMEDY_BITS,
    REMEDY_INPUT,
    REMEDY_COUNT
} RemedyKind;

typedef struct Remedy {
    RemedyKind kind;
    char text[32];          // "8 bits"
    char dials[64];         // "weight-bits=8", as options take them
    double db;              // signal to noise of the output with it
    double gain;            // of that, dB
    double bits_per_weight; // of this linear, more than now
    double bytes;           // of the whole model, more than now
} Remedy;

#define REMEDY_GAIN_LEAST 1.0 // dB: what brings less is no remedy
#define REMEDY_ENOUGH 40.0    // dB: an output that errs by 1 % needs none

typedef struct Remedies {
    bool known; // all were tried
    double db;  // now
    int count;
    // The best first: those that leave the size and 8-bit products alone, by gain; an input that is not rounded; then
    // by the noise that they take away for a byte.
    Remedy list[REMEDY_COUNT];
} Remedies;

bool remedy_is_free(const Remedy *remedy);       // the model grows by nothing
double remedy_noise_taken(const Remedy *remedy); // the share of the output's noise that it takes away

// Tries one kind and puts it into *remedies, if the recipe can make it, it makes another linear, and brings enough.
// Bits and groups are set for this linear; what becomes of an input, for all that read it. plan: of the recipe. Begin
// with {.db = why_db(…)}. One call costs about what why_errors costs.
bool remedies_try(const ModelStructure *structure, const ModelStats *stats, const Recipe *recipe, const Plan *plan,
                  int linear, RemedyKind kind, Remedies *remedies, Error *err);
// All of them, if the output needs any.
bool remedies_find(const ModelStructure *structure, const ModelStats *stats, const Recipe *recipe, const Plan *plan,
                   int linear, const Why *why, Remedies *out, Error *err);
// "mends it: policy token 22.1 dB (same size) or 8 bits 24.8 dB", "no dial helps here", "nothing needed: 43.6 dB".
void remedies_text(const Remedies *remedies, char *out, size_t size);
