// Modules as configurations name them: those of the same kind in every layer as one regular expression.
#pragma once

#include "base/array.h"

// Names that differ by numbers in them, such as that of the layer, have one pattern. Engines put other words before the
// layers, and some checkpoints have none there, so patterns begin with the word before the first number.
typedef struct ModulePattern {
    Text text;  // "(.*\.)?layers\.\d+\.mlp\.up_proj$"
    int scheme; // of all that it matches
    bool mixed; // they do not all have the same: each has a pattern of its own
} ModulePattern;

typedef struct ModuleNames {
    const char *const *names; // [count], the caller's, as are
    const int *schemes;       // [count]: a number for names that are alike
    size_t count;
    ModulePattern *patterns;
    size_t pattern_count, pattern_capacity;
    int *pattern_of; // [count]: −1 a name without numbers
    Text *own;       // [count]: the pattern of a name that needs one; data NULL: none, or the name is one word
} ModuleNames;

bool module_names_make(const char *const *names, const int *schemes, size_t count, ModuleNames *out, Error *err);
void module_names_free(ModuleNames *targets);

// What names all modules of a scheme, each once, and excludes all others. Begin with *at = 0; NULL at the end. *regex:
// it is a pattern, to be matched from the beginning; else it is a name as it is.
const char *module_names_next(const ModuleNames *targets, int scheme, size_t *at, bool *regex);

// A name as a regular expression that matches it alone.
void module_name_escape(const char *name, Text *out);
