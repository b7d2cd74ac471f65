// What bench compares with the model as it is: named forms of it.
#pragma once

#include "quant/plan.h"

typedef struct Scheme {
    const char *name;
    int bits; // 0: the model as it is; −1: by the recipe
    ActivationPolicy activations;
    size_t group;
} Scheme;

enum { SCHEMES = 8 };

// The base, and what the list ("w4,w8a8") names, each once: chosen [SCHEMES].
bool schemes_parse(const char *list, const Scheme *chosen[SCHEMES], int *count, Error *err);
