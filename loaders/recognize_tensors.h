// Explains by its tensors why a checkpoint that could be opened is not a model.
#pragma once

#include "loaders/checkpoint.h"

// Refuses checkpoints whose tensors show that their numbers would not be read as what they stand for: adapters, and
// formats of quantization that are not known.
bool recognize_tensors(const Checkpoint *checkpoint, Error *err);
