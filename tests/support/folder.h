// Temporary folders and the files that loader tests put into them. Everything here ends the test program when it cannot
// be done.
#pragma once

#include <stdbool.h>
#include <stddef.h>

char *folder_temporary(void);     // owned by the caller; give it to folder_remove
void folder_remove(char *folder); // with everything in it; frees the path

// Writes folder/name; returns its path, owned by the caller.
char *folder_write(const char *folder, const char *name, const void *data, size_t size);
void folder_put_text(const char *folder, const char *name, const char *text); // the same without the path

bool folder_has(const char *folder, const char *name);

// A safetensors file of this header (JSON text) and `data_bytes` bytes of data counting 0, 1, 2, …
char *folder_put_safetensors(const char *folder, const char *name, const char *header, size_t data_bytes);
