#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "loaders/tokenizer/tokenizer_parts.h"

static size_t slot_of(const Vocab *vocab, const char *text, size_t length) {
    size_t mask = vocab->slot_count - 1, slot = (size_t)hash_bytes(HASH_START, text, length) & mask;
    for (; vocab->slots[slot]; slot = (slot + 1) & mask) {
        const VocabEntry *entry = &vocab->entries[vocab->slots[slot] - 1];
        if (entry->length == length && memcmp(vocab->bytes.data + entry->at, text, length) == 0) break;
    }
    return slot;
}

// At most half of the slots are taken.
static bool make_room(Vocab *vocab) {
    if (!array_grow(&vocab->entries, vocab->count, &vocab->capacity, sizeof *vocab->entries)) return false;
    if (vocab->slot_count > 2 * vocab->count) return true;
    size_t wanted = vocab->slot_count ? vocab->slot_count * 2 : 64;
    uint32_t *slots = array_new(wanted, sizeof *slots);
    if (!slots) return false;
    free(vocab->slots);
    vocab->slots = slots;
    vocab->slot_count = wanted;
    for (size_t i = 0; i < vocab->count; i++) {
        const VocabEntry *entry = &vocab->entries[i];
        vocab->slots[slot_of(vocab, vocab->bytes.data + entry->at, entry->length)] = (uint32_t)i + 1;
    }
    return true;
}

bool vocab_append(Vocab *vocab, const char *text, size_t length, int32_t id) {
    if (length > UINT32_MAX - vocab->bytes.length || !make_room(vocab)) return false;
    size_t slot = slot_of(vocab, text, length);
    uint32_t at = (uint32_t)vocab->bytes.length;
    text_add(&vocab->bytes, text, length);
    if (vocab->bytes.failed) return false;
    vocab->entries[vocab->count++] = (VocabEntry){at, (uint32_t)length, id};
    vocab->slots[slot] = (uint32_t)vocab->count;
    return true;
}

bool vocab_add(Vocab *vocab, const char *text, size_t length, int32_t id) {
    size_t slot = vocab->count ? slot_of(vocab, text, length) : 0;
    if (!vocab->count || !vocab->slots[slot]) return vocab_append(vocab, text, length, id);
    vocab->entries[vocab->slots[slot] - 1].id = id;
    return true;
}

int32_t vocab_find(const Vocab *vocab, const char *text, size_t length) {
    if (!vocab->count) return -1;
    size_t slot = slot_of(vocab, text, length);
    return vocab->slots[slot] ? vocab->entries[vocab->slots[slot] - 1].id : -1;
}

bool vocab_read(const cJSON *json, Vocab *out, Error *err) {
    if (!cJSON_IsObject(json)) return error_set(err, "\"vocab\" must be an object");
    Text text = {0};
    bool ok = true;
    for (const cJSON *item = json->child; ok && item; item = item->next) {
        double id = item->valuedouble;
        ok = (cJSON_IsNumber(item) && id >= 0 && id < 1 << 24 && id == (int32_t)id) ||
             tokenizer_refuse("id of the token", item->string, "whole numbers below 16777216", err);
        json_bytes(item->string, &text);
        ok = ok && ((!text.failed && vocab_add(out, text.data, text.length, (int32_t)id)) ||
                    error_memory(err, "the vocabulary"));
    }
    text_free(&text);
    return ok;
}

int32_t vocab_find_string(const Vocab *vocab, const char *string) {
    Text text = {0};
    json_bytes(string, &text);
    int32_t id = text.failed ? -1 : vocab_find(vocab, text.data, text.length);
    text_free(&text);
    return id;
}

ByteTokens vocab_byte_tokens(const Vocab *vocab) {
    ByteTokens tokens;
    for (unsigned byte = 0; byte < 256; byte++) {
        char name[8];
        int n = snprintf(name, sizeof name, "<0x%02X>", byte);
        tokens.ids[byte] = vocab_find(vocab, name, (size_t)n);
    }
    return tokens;
}

bool byte_tokens_has_all(const ByteTokens *tokens, const char *bytes, size_t length) {
    for (size_t i = 0; i < length; i++) {
        if (tokens->ids[(unsigned char)bytes[i]] < 0) return false;
    }
    return true;
}

void vocab_free(Vocab *vocab) {
    text_free(&vocab->bytes);
    free(vocab->entries);
    free(vocab->slots);
    *vocab = (Vocab){0};
}
