// What a user types to find names: a regular expression, or a glob of whole names.
#pragma once

#include "base/error.h"

// A capital letter in it makes case count. Matching gives up after a bounded time, and then nothing matches.
#define NAME_PATTERN_ROOM 256 // bytes of a glob
typedef struct NamePattern {
    void *code, *match, *limits; // of PCRE2; code NULL: a glob, or nothing at all
    char glob[NAME_PATTERN_ROOM];
} NamePattern;

// glob: take it for one. Refuses what is no regular expression, and says where.
bool name_pattern_compile(const char *text, bool glob, NamePattern *out, Error *err);
void name_pattern_free(NamePattern *pattern);
bool name_pattern_matches(const NamePattern *pattern, const char *name);
