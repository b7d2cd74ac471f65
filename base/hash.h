// A 64-bit hash (FNV-1a over 8-byte steps, with a final mix) for cache keys and change detection; not for security.
#pragma once

#include <stddef.h>
#include <stdint.h>

#define HASH_START 0xCBF29CE484222325u

uint64_t hash_bytes(uint64_t hash, const void *data,
                    size_t size); // chain calls: hash_bytes(hash_bytes(HASH_START, …), …)
// Another hash, of many bytes: several times as fast, since it goes on in eight places at once.
uint64_t hash_bulk(uint64_t hash, const void *data, size_t size);
uint64_t hash_text(uint64_t hash, const char *text); // NULL counts as empty
