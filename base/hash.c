#include "base/hash.h"

#include <string.h>

enum { LANES = 8 };

static inline uint64_t add_word(uint64_t hash, const unsigned char *bytes) {
    uint64_t word;
    memcpy(&word, bytes, 8);
    hash = (hash ^ word) * 0x100000001B3u;
    return hash ^ hash >> 29;
}

uint64_t hash_bytes(uint64_t hash, const void *data, size_t size) {
    const unsigned char *bytes = data;
    for (; size >= 8; bytes += 8, size -= 8) hash = add_word(hash, bytes);
    for (; size; bytes++, size--) hash = (hash ^ *bytes) * 0x100000001B3u;
    hash = (hash ^ (hash >> 32)) * 0xD6E8FEB86659FD93u;
    return hash ^ (hash >> 32);
}

// One lane would wait for each of its multiplications.
uint64_t hash_bulk(uint64_t hash, const void *data, size_t size) {
    const unsigned char *bytes = data;
    uint64_t lanes[LANES];
    const size_t blocks = size / sizeof lanes, rest = size % sizeof lanes;
    for (uint64_t l = 0; l < LANES; l++) lanes[l] = hash + l;
    for (size_t b = 0; b < blocks; b++, bytes += sizeof lanes)
        for (size_t l = 0; l < LANES; l++) lanes[l] = add_word(lanes[l], bytes + 8 * l);
    return hash_bytes(hash_bytes(HASH_START, lanes, sizeof lanes), bytes, rest);
}

uint64_t hash_text(uint64_t hash, const char *text) {
    return hash_bytes(hash, text ? text : "", text ? strlen(text) + 1 : 1);
}
