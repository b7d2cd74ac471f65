// Files that are something else than what they were taken for: what a file is by its first bytes, and what to do about
// it. Asked where a file could not be read, so that the message names the cause.
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

#define RECOGNIZE_BYTES 4096 // as many of the first bytes are looked at

// What was expected: a web page may be a text to evaluate on, but no configuration, and no text is weights.
typedef enum Expected { EXPECTED_TEXT, EXPECTED_JSON, EXPECTED_WEIGHTS } Expected;

// True when the bytes are known; the message then reads "is …; …" and waits for the file's name as a prefix.
bool recognize_bytes(const void *bytes, size_t length, Expected expected, Error *err);

// The same of the beginning of a file; false also where it cannot be read. The message begins with the path.
bool recognize_file(const char *path, Expected expected, Error *err);

// The first bytes of a regular file; returns how many.
size_t file_first_bytes(const char *path, char bytes[RECOGNIZE_BYTES]);
