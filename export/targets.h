// Modules as configurations name them: those of the same kind in every layer as one regular expression.
#pragma once

#include "base/array.h"

// Names that differ by numbers in them, such as that of the layer, have one pattern.
typedef struct TargetPattern {
    Text text;  // "(.*\.)?layers\.\d+\.mlp\.up_proj$"
    int scheme; // of all that it matches
    bool mixed; // they do not all have the same: each is named on its own
} TargetPattern;

typedef struct Targets {
    const char *const *names; // [count], the caller's, as are
    const int *schemes;       // [count]: a number for names that are alike
    size_t count;
    TargetPattern *patterns;
    size_t pattern_count, pattern_capacity;
    int *pattern_of; // [count]: −1 a name without numbers
} Targets;

bool targets_make(const char *const *names, const int *schemes, size_t count, Targets *out, Error *err);
void targets_free(Targets *targets);

// What names all modules of a scheme, each once: patterns, which exclude each other, then names. Begin with *at = 0;
// NULL at the end. *regex: it is a pattern, to be matched from the beginning; else it is a name as it is.
const char *targets_next(const Targets *targets, int scheme, size_t *at, bool *regex);

// A name as a regular expression that matches it alone.
void target_escape(const char *name, Text *out);
