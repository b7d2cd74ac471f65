// Recognizes by its first bytes a file that is not what it was taken for, and says what to do about it. Called where a
// file could not be read, so that the message names the cause.
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

#define RECOGNIZE_BYTES 4096 // how many of the first bytes are looked at

// What was expected: a web page may be a text to evaluate on, but no configuration, and no text is weights.
typedef enum Expected { EXPECTED_TEXT, EXPECTED_JSON, EXPECTED_WEIGHTS } Expected;

// True when the bytes are known; the message then reads "is …; …" and needs the file's name as a prefix.
bool recognize_bytes(const void *bytes, size_t length, Expected expected, Error *err);

// The same for the beginning of a file; also false when it cannot be read. The message begins with the path.
bool recognize_file(const char *path, Expected expected, Error *err);

// The first bytes of a regular file; returns how many.
size_t file_first_bytes(const char *path, char bytes[RECOGNIZE_BYTES]);
