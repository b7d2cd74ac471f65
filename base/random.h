// A small seeded generator (xoshiro256**, Blackman and Vigna 2018): the same numbers on every machine.
#pragma once

#include <stdint.h>

typedef struct Random {
    uint64_t state[4];
} Random;

Random random_seeded(uint64_t seed);
uint64_t random_next(Random *random);
uint32_t random_below(Random *random, uint32_t bound); // uniform in [0, bound), bound > 0
double random_uniform(Random *random);                 // [0, 1)
double random_normal(Random *random);                  // mean 0, variance 1
