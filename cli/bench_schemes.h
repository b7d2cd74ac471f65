// What `bench --schemes` can name.
#pragma once

#include "quant/recipe.h"

typedef struct BenchScheme {
    const char *name;
    int bits; // 0: the model as it is; −1: as the recipe says
    ActivationPolicy activations;
    size_t group;
} BenchScheme;
#define BENCH_SCHEMES 8

// The base, and what the list ("w8,w4a8") names, each once: chosen [*count].
bool bench_schemes_read(const char *list, const BenchScheme *chosen[BENCH_SCHEMES], int *count, Error *err);
