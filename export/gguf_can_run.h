// What of a model llama.cpp can compute.
#pragma once

#include "loaders/gguf_names.h"

// False with what llama.cpp would not compute as the model does, and what to do. *note: what it computes otherwise in
// situations that do not matter to every user ("" nothing).
bool gguf_can_run(const ModelStructure *structure, char *note, size_t size, Error *err);
