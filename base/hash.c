#include "base/hash.h"

#include <string.h>

uint64_t hash_bytes(uint64_t hash, const void *data, size_t size) {
    const unsigned char *bytes = data;
    for (; size >= 8; bytes += 8, size -= 8) {
        uint64_t word;
        memcpy(&word, bytes, 8);
        hash = (hash ^ word) * 0x100000001B3u;
        hash ^= hash >> 29;
    }
    for (; size; bytes++, size--) hash = (hash ^ *bytes) * 0x100000001B3u;
    hash = (hash ^ (hash >> 32)) * 0xD6E8FEB86659FD93u;
    return hash ^ (hash >> 32);
}

uint64_t hash_text(uint64_t hash, const char *text) {
    return hash_bytes(hash, text ? text : "", text ? strlen(text) + 1 : 1);
}
