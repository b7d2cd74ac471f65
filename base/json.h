// Reading JSON files with cJSON: parse with limits, typed getters, and a check for unknown keys.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cjson/cJSON.h>

#include "base/array.h"
#include "base/error.h"

// Parses exactly one JSON value (surrounding white space allowed) of `length` bytes. Refuses malformed UTF-8, nesting
// deeper than 100 levels and trailing bytes; the message gives the byte offset. Free with cJSON_Delete.
//
// As Python reads it: NaN and Infinity are allowed (infinite numbers, and for NaN something that is no number), half of
// a surrogate pair is allowed and becomes U+FFFD, and the last of duplicate keys counts.
//
// cJSON's strings end at a NUL. So U+0000 stands in them as the two bytes C0 80, which UTF-8 never has: strings and
// keys are whole and differ where they should, and json_bytes gives the bytes that a text really has.
cJSON *json_parse(const char *text, size_t length, Error *err);

// The same for files that people write for this program: standard JSON only. Duplicate keys are all there.
cJSON *json_parse_strict(const char *text, size_t length, Error *err);

// Replaces *out by the bytes of a string of a document, U+0000 included.
void json_bytes(const char *string, Text *out);
// The other way: a string item of these bytes, and a document as text on one line. NULL when memory is short.
cJSON *json_from_bytes(const char *bytes, size_t length);
char *json_print(const cJSON *value); // free; bytes that are not UTF-8 become "?"
// Adds a string as JSON text, with its quotation marks.
void json_quote(Text *text, const char *string);

// Getters: the key may be missing (the default is returned) but must have the right type if it is there. JSON null
// counts as missing. Messages name the key; callers prefix file and path.
bool json_number(const cJSON *object, const char *key, double missing, double *out, Error *err);
// The same, and above 0 and finite.
bool json_positive(const cJSON *object, const char *key, double missing, double *out, Error *err);
bool json_integer(const cJSON *object, const char *key, int64_t missing, int64_t least, int64_t most, int64_t *out,
                  Error *err);
bool json_bool(const cJSON *object, const char *key, bool missing, bool *out, Error *err);
// The string stays owned by the document; *out = missing (may be NULL) when the key is not there.
bool json_string(const cJSON *object, const char *key, const char *missing, const char **out, Error *err);

// From a NULL-terminated list of keys that mean the same: the first that is present and not null, else the first.
const char *json_first_key(const cJSON *object, const char *const *keys);

// Refuses keys that are not in the NULL-terminated list: `where: unknown key "x"; known are …`.
bool json_only_keys(const cJSON *object, const char *where, const char *const *known, Error *err);
