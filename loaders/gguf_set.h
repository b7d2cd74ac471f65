// The files of one model in GGUF: one, or several that are numbered (model-00001-of-00003.gguf), of which the first has
// the keys.
#pragma once

#include "loaders/gguf.h"

typedef struct GgufSet {
    Gguf *files;
    size_t count;
} GgufSet;

bool gguf_is_name(const char *path); // ends in .gguf

// "model-00002-of-00003.gguf": the length of what is before the number, and both numbers. False: is none of several.
bool gguf_split_name(const char *path, size_t *stem, unsigned *number, unsigned *of);

// All files of the set that `path` belongs to, whichever of them it is.
bool gguf_set_open(const char *path, GgufSet *out, Error *err);
void gguf_set_close(GgufSet *set);

const Tensor *gguf_set_tensor(const GgufSet *set, const char *name); // NULL: none of them has it

// Gives the tensors of an architecture that is known the names that they have in a checkpoint, and forms to those that
// differ from it in more than that.
bool gguf_set_rename(GgufSet *set, Error *err);
