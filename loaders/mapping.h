// Files mapped into memory for reading. When such a file is cut off, or its disk fails, while it is mapped, reading it
// raises SIGBUS. A handler, installed with the first mapping, replaces what is gone with zeros and remembers it. The
// work goes on and then fails with a message that names the file, instead of ending the program.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

typedef struct Mapping Mapping;

// The whole of a regular file of at least one byte. It does not stay open.
bool mapping_open(const char *path, Mapping **out, Error *err);
void mapping_close(Mapping *mapping); // NULL is allowed
const uint8_t *mapping_data(const Mapping *mapping);
size_t mapping_bytes(const Mapping *mapping);

// `path` is that of mapping_open. False when a part of the file is gone and reads as zeros, or it was written to since.
// Ask after reading and before using what was read.
bool mapping_intact(const Mapping *mapping, const char *path, Error *err);

// Takes the pages that lie within these bytes of a mapping out of the program's memory; reading them maps them again.
// Nothing happens to other memory.
void mapping_drop(const void *data, size_t bytes);

// These bytes of a mapping will be read soon: lets the system fetch them, and does not wait for it.
void mapping_want(const void *data, size_t bytes);

// For other handlers of SIGBUS: true when `address` (si_addr) lies in a mapping, which is then readable. Only calls
// that are allowed in a signal handler.
bool mapping_repair(const void *address);
