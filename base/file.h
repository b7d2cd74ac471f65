// Files and folders: whole reads, atomic writes, the user's folders.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

// Reads a whole regular file; *data is NUL-terminated behind *size bytes and owned by the caller (free). Refuses files
// larger than `limit` bytes, directories and devices.
bool file_read(const char *path, size_t limit, char **data, size_t *size, Error *err);

// Writes a file whole or not at all: a temporary file beside it, fsync, rename. On failure the old file stays as it was
// and nothing half-written remains. The folder must exist. A link stays and its target is replaced. Devices and pipes
// (/dev/stdout) are written to directly.
bool file_write(const char *path, const void *data, size_t size, Error *err);

// Whether a file can be read, or written by file_write. If not, err is what reading or writing it would report. No file
// is changed, truncated or left behind. Ask before work whose result would be lost.
bool file_can_be_read(const char *path, Error *err);
bool file_can_be_written(const char *path, Error *err);

// mkdir -p.
bool folder_make(const char *path, Error *err);

// Whether the disk has room for so many bytes in a folder, which need not be there yet; a disk that does not say has.
bool disk_has_room(const char *folder, uint64_t bytes, Error *err);

bool file_exists(const char *path);
bool folder_exists(const char *path);

// Joined path "folder/name", owned by the caller; NULL when memory is short.
char *path_join(const char *folder, const char *name);

// $XDG_CACHE_HOME/quantdial or ~/.cache/quantdial (likewise config; state: ~/.local/state); owned by the caller, not
// created; NULL when neither variable nor home is known. Relative XDG values are ignored, as the specification asks.
char *folder_cache(void);
char *folder_config(void);
char *folder_state(void);
