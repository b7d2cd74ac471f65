// Modules as configurations name them: those of the same kind in every layer as one regular expression.
#pragma once

#include "base/array.h"

// Names that differ by numbers in them, such as that of the layer, have one pattern.
typedef struct ModulePattern {
    Text text;  // "(.*\.)?layers\.\d+\.mlp\.up_proj$"
    int scheme; // of all that it matches
    bool mixed; // they do not all have the same: each is named on its own
} ModulePattern;

typedef struct ModuleNames {
    const char *const *names; // [count], the caller's, as are
    const int *schemes;       // [count]: a number for names that are alike
    size_t count;
    ModulePattern *patterns;
    size_t pattern_count, pattern_capacity;
    int *pattern_of; // [count]: −1 a name without numbers
} ModuleNames;

bool module_names_make(const char *const *names, const int *schemes, size_t count, ModuleNames *out, Error *err);
void module_names_free(ModuleNames *targets);

// What names all modules of a scheme, each once: patterns, which exclude each other, then names. Begin with *at = 0;
// NULL at the end. *regex: it is a pattern, to be matched from the beginning; else it is a name as it is.
const char *module_names_next(const ModuleNames *targets, int scheme, size_t *at, bool *regex);

// A name as a regular expression that matches it alone.
void module_name_escape(const char *name, Text *out);
