// Models of the fixtures with something changed about them, in a folder of the test. Everything here fails the running
// test when it cannot be done.
#pragma once

#include <stddef.h>

// Copies FROM/NAME into the folder.
void model_copy(const char *folder, const char *from, const char *name);
// Overwrites `count` F32 numbers of a tensor in FOLDER/model.safetensors, from its beginning; all of them for 0.
void model_poke(const char *folder, const char *tensor, float value, size_t count);
// Replaces the first `from` in FOLDER/NAME by `to`.
void model_edit(const char *folder, const char *name, const char *from, const char *to);
