// Why a checkpoint that could be opened is no model, told by its tensors.
#pragma once

#include "loaders/checkpoint.h"

// Refuses checkpoints whose tensors show that their numbers would not be read as what they stand for: adapters, and
// formats of quantization that are not known.
bool recognize_tensors(const Checkpoint *checkpoint, Error *err);
