// Infinite numbers and NaN in what no linear holds: embeddings, norms, biases.
#pragma once

#include "loaders/structure.h"

typedef struct Nonfinite {
    uint64_t values;
    size_t tensors;
    const Tensor *first; // by name; NULL when all are finite
} Nonfinite;

// Looks through the tensors that the structure does not list (structure.rest). Those of types without such numbers are
// passed over.
bool nonfinite_rest(const ModelStructure *structure, Nonfinite *out, Error *err);
