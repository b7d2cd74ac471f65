#include "base/random.h"

#include <assert.h>
#include <math.h>

static uint64_t splitmix(uint64_t *x) {
    uint64_t z = (*x += 0x9E3779B97F4A7C15u);
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

Random random_seeded(uint64_t seed) {
    Random random;
    for (int i = 0; i < 4; i++) random.state[i] = splitmix(&seed);
    return random;
}

static uint64_t rotate_left(uint64_t x, int k) { return x << k | x >> (64 - k); }

uint64_t random_next(Random *random) {
    uint64_t *s = random->state, result = rotate_left(s[1] * 5, 7) * 9, t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotate_left(s[3], 45);
    return result;
}

uint32_t random_below(Random *random, uint32_t bound) {
    assert(bound > 0);
    // Lemire's method without the rejection step: the bias is below 2^-32.
    return (uint32_t)(((random_next(random) >> 32) * bound) >> 32);
}

double random_uniform(Random *random) { return (double)(random_next(random) >> 11) * 0x1p-53; }

double random_normal(Random *random) {
    double u = 1.0 - random_uniform(random), v = random_uniform(random);
    return sqrt(-2.0 * log(u)) * cos(6.283185307179586 * v);
}
