// What the tests share that compare quant/ with tools/reference/methods.py.
#pragma once

#include "base/json.h"
#include "loaders/safetensors.h"
#include "loaders/structure.h"
#include "quant/measured.h"

// All of these abort with a message when something is missing: a test cannot go on without its fixture.
cJSON *fixture_json(const char *path);
TensorFile fixture_tensors(const char *path);
const Tensor *fixture_tensor(const TensorFile *file, const char *name);
double fixture_number(const cJSON *object, const char *key);
const char *fixture_text(const cJSON *object, const char *key);

// The votes of a linear, measured from its weights; freed with vote_counts_free.
VoteCounts fixture_votes(const Linear *linear);
DType fixture_dtype(const char *name); // "BF16"
