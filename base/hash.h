// A 64-bit hash (FNV-1a over 8-byte steps, with a final mix) for cache keys and change detection; not for security.
#pragma once

#include <stddef.h>
#include <stdint.h>

#define HASH_START 0xCBF29CE484222325u

uint64_t hash_bytes(uint64_t hash, const void *data,
                    size_t size);                    // chain calls: hash_bytes(hash_bytes(HASH_START, …), …)
uint64_t hash_text(uint64_t hash, const char *text); // NULL counts as empty
