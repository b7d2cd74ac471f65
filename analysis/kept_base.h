// Inside analysis/ and engine/: what the base says of a text, on disk. It depends on nothing that a user turns, so a
// second start need not compute it again. Best effort: what is missing, damaged or of something else is not used.
#pragma once

#include "model/generate.h"

// Last hidden states of windows: states[w] [floats], or NULL where they are not known. Reading fills fresh arrays
// (free) into what is NULL, up to `most` windows; true when there were any. A file beyond KEPT_STATES_MOST is not
// written, and older ones of other texts and models are removed where all of them together take more than
// KEPT_STATES_TOTAL.
#define KEPT_STATES_MOST ((size_t)256 << 20)
#define KEPT_STATES_TOTAL ((size_t)1 << 30)
bool kept_states_read(const char *folder, uint64_t key, float **states, size_t most, size_t floats);
bool kept_states_write(const char *folder, uint64_t key, float *const *states, size_t count, size_t floats, Error *err);

// A text that the base wrote, greedily; ids below `vocab`. Reading fills *out, which the caller frees (generated_free).
bool kept_text_read(const char *folder, uint64_t key, size_t vocab, Generated *out);
bool kept_text_write(const char *folder, uint64_t key, const Generated *text, Error *err);
