// What several parts of a tokenizer need: messages, characters, growing lists, and the memory of one call.
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "loaders/tokenizer/tokenizer_parts.h"

#define GROWTH 64 // no text grows by more than this factor, and a constant

bool tokenizer_refuse(const char *part, const char *type, const char *supported, Error *err) {
    char *shown = text_printable(type, strlen(type), false);
    error_set(err, "the %s \"%.60s\" is not supported; supported: %s", part, shown ? shown : "?", supported);
    free(shown);
    return false;
}

bool token_ids_add(TokenIds *ids, int32_t id) {
    if (!array_grow(&ids->ids, ids->count, &ids->capacity, sizeof *ids->ids)) return false;
    ids->ids[ids->count++] = id;
    return true;
}

bool token_ids_join(TokenIds *to, const TokenIds *more, Error *err) {
    for (size_t i = 0; i < more->count; i++) {
        if (!token_ids_add(to, more->ids[i])) return error_memory(err, "token ids");
    }
    return true;
}

void token_ids_free(TokenIds *ids) {
    free(ids->ids);
    *ids = (TokenIds){0};
}

bool growth_check(size_t before, size_t after, Error *err) {
    return after / GROWTH <= before + 1024 || error_set(err, "the tokenizer makes a text %d times longer", GROWTH);
}

bool scratch_init(Scratch *scratch, Error *err) {
    scratch->match_data = pcre2_match_data_create(1, NULL);
    return scratch->match_data || error_memory(err, "text");
}

static void pieces_free(Pieces *pieces) {
    text_free(&pieces->text);
    free(pieces->items);
    *pieces = (Pieces){0};
}

void scratch_free(Scratch *scratch) {
    pcre2_match_data_free(scratch->match_data);
    free(scratch->matches);
    pieces_free(&scratch->pieces[0]);
    pieces_free(&scratch->pieces[1]);
    text_free(&scratch->normalized);
    free(scratch->raw.items);
    free(scratch->inner.items);
    free(scratch->symbols);
    free(scratch->heap);
    free(scratch->paths);
}

// ---- Characters ----

bool character_is_space(uint32_t c) {
    return (c >= 0x9 && c <= 0xD) || c == 0x20 || c == 0x85 || c == 0xA0 || c == 0x1680 ||
           (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F || c == 0x205F || c == 0x3000;
}

// Visible Latin-1 characters stand for themselves; the other 68 bytes, in order, are the characters from U+0100 on.
uint32_t byte_level_code(unsigned char byte) {
    if (byte <= 0x20) return 0x100u + byte;
    if (byte >= 0x7F && byte <= 0xA0) return 0x121u + (byte - 0x7Fu);
    return byte == 0xAD ? 0x143u : byte;
}

int byte_level_byte(uint32_t code) {
    if (code >= 0x100 && code <= 0x120) return (int)code - 0x100;
    if (code >= 0x121 && code <= 0x142) return (int)code - 0x121 + 0x7F;
    if (code == 0x143) return 0xAD;
    return code < 0x100 && byte_level_code((unsigned char)code) == code ? (int)code : -1;
}

// ---- Pieces ----

bool pieces_add(Pieces *pieces, const char *text, size_t length, bool at_start) {
    if (!array_grow(&pieces->items, pieces->count, &pieces->capacity, sizeof *pieces->items)) return false;
    pieces->items[pieces->count++] = (Piece){pieces->text.length, length, at_start};
    text_add(&pieces->text, text, length);
    return !pieces->text.failed;
}

void pieces_clear(Pieces *pieces) {
    text_clear(&pieces->text);
    pieces->count = 0;
}
