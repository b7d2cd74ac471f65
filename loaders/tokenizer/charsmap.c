// Precompiled: the character rules of a SentencePiece model, as the spm_precompiled package applies them. A charsmap is
// the size of a trie in bytes, the trie (a double array of little-endian 32-bit units, as Darts-clone writes it) and
// the replacements, NUL-terminated; the trie's values are offsets into these.
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

#include "loaders/tokenizer/tokenizer_parts.h"

#define LONGEST_CLUSTER 6 // bytes; grapheme clusters from here on are looked up character by character

struct Charsmap {
    unsigned char *bytes; // of the file
    uint32_t *units;
    size_t unit_count;
    const char *replacements;
    size_t replacement_bytes;
};

// ------------------------------------------------------------------------------------------------------- reading

static int base64_value(char c) {
    if (c >= 'A' && c <= 'Z') return c - 'A';
    if (c >= 'a' && c <= 'z') return c - 'a' + 26;
    if (c >= '0' && c <= '9') return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

// Writes length / 4 × 3 bytes at most; false when it is no base64.
static bool base64_read(const char *text, size_t length, unsigned char *out, size_t *count) {
    size_t padding = 0;
    while (padding < 2 && padding < length && text[length - 1 - padding] == '=') padding++;
    uint32_t bits = 0;
    *count = 0;
    if (length % 4) return false;
    for (size_t i = 0; i < length; i++) {
        int value = i < length - padding ? base64_value(text[i]) : 0;
        if (value < 0) return false;
        bits = bits << 6 | (uint32_t)value;
        if (i % 4 != 3) continue;
        for (int shift = 16; shift >= 0; shift -= 8) out[(*count)++] = (unsigned char)(bits >> shift);
    }
    *count -= padding;
    return true;
}

static uint32_t read_u32(const unsigned char *bytes) {
    return (uint32_t)bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 | (uint32_t)bytes[3] << 24;
}

static bool read_parts(Charsmap *map, size_t size, Error *err) {
    size_t trie = size < 4 ? SIZE_MAX : read_u32(map->bytes) / 4;
    if (trie == 0 || trie > (size - 4) / 4) return error_set(err, "the charsmap of Precompiled is damaged");
    map->unit_count = trie;
    map->units = array_new(trie, sizeof *map->units);
    if (!map->units) return error_memory(err, "the charsmap");
    for (size_t i = 0; i < trie; i++) map->units[i] = read_u32(map->bytes + 4 + 4 * i);
    map->replacements = (const char *)map->bytes + 4 + 4 * trie;
    map->replacement_bytes = size - 4 - 4 * trie;
    return text_is_utf8(map->replacements, map->replacement_bytes) ||
           error_set(err, "the charsmap of Precompiled is damaged: its replacements are not UTF-8");
}

bool charsmap_read(const char *base64, Charsmap **out, Error *err) {
    size_t length = strlen(base64), size;
    Charsmap *map = *out = array_new(1, sizeof *map);
    if (!map) return error_memory(err, "the charsmap");
    map->bytes = array_new(length, 1);
    if (!map->bytes) return error_memory(err, "the charsmap");
    if (!base64_read(base64, length, map->bytes, &size))
        return error_set(err, "\"precompiled_charsmap\" is not base64");
    return read_parts(map, size, err);
}

void charsmap_free(Charsmap *map) {
    if (!map) return;
    free(map->bytes);
    free(map->units);
    free(map);
}

// ------------------------------------------------------------------------------------------------------ the trie

// A unit: bits 0–7 and 31 the label, bit 8 "a value follows", bits 10–30 the offset of the children, bit 9 "times 256";
// of a value: bits 0–30.
static size_t offset_of(uint32_t unit) { return (size_t)(unit >> 10) << ((unit & 1u << 9) >> 6); }

// Where the replacement of the shortest beginning of the text that has one starts; SIZE_MAX when there is none. A
// damaged trie may lead out of the array; that counts as none.
static size_t look_up(const Charsmap *map, const char *text, size_t length) {
    size_t node = offset_of(map->units[0]);
    for (size_t i = 0; i < length && text[i]; i++) {
        node ^= (unsigned char)text[i];
        if (node >= map->unit_count) return SIZE_MAX;
        uint32_t unit = map->units[node];
        if ((unit & (1u << 31 | 0xFF)) != (unsigned char)text[i]) return SIZE_MAX;
        node ^= offset_of(unit);
        if (!(unit & 1u << 8)) continue;
        return node < map->unit_count ? map->units[node] & ~(1u << 31) : SIZE_MAX;
    }
    return SIZE_MAX;
}

static bool is_character_start(char byte) { return ((unsigned char)byte & 0xC0) != 0x80; }

// Appends the replacement; false when there is none.
static bool charsmap_replace(const Charsmap *map, const char *text, size_t length, Text *out) {
    size_t at = look_up(map, text, length);
    if (at > map->replacement_bytes) return false;
    const char *start = map->replacements + at;
    if (at < map->replacement_bytes && !is_character_start(*start)) return false;
    text_add(out, start, strnlen(start, map->replacement_bytes - at));
    return true;
}

static void replace_characters(const Charsmap *map, const char *text, size_t length, Text *out) {
    for (size_t i = 0, n; i < length; i += n) {
        uint32_t code;
        n = utf8_read(text + i, length - i, &code);
        if (!charsmap_replace(map, text + i, n, out)) text_add(out, text + i, n);
    }
}

// Where the grapheme cluster at the beginning of the text ends (Unicode, annex 29).
static size_t cluster_length(const char *text, size_t length) {
    uint32_t code, next;
    utf8proc_int32_t state = 0;
    size_t at = utf8_read(text, length, &code);
    while (at < length) {
        size_t n = utf8_read(text + at, length - at, &next);
        if (utf8proc_grapheme_break_stateful((utf8proc_int32_t)code, (utf8proc_int32_t)next, &state)) break;
        code = next;
        at += n;
    }
    return at;
}

bool charsmap_apply(const Charsmap *map, const char *text, size_t length, Text *out) {
    for (size_t i = 0, n; i < length; i += n) {
        n = cluster_length(text + i, length - i);
        if (n >= LONGEST_CLUSTER || !charsmap_replace(map, text + i, n, out)) replace_characters(map, text + i, n, out);
    }
    return !out->failed;
}
