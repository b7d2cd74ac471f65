#include "tests/support/tokenizer_lines.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/hash.h"
#include "tests/support/slow_checks.h"

#define HASH_DIGITS 4 // of a line

TokenIds encoded(const Tokenizer *tokenizer, const char *text, size_t length, bool add_special) {
    TokenIds ids = {0};
    Error err = {0};
    if (!tokenizer_encode(tokenizer, text, length, add_special, &ids, &err)) fail_msg("%s", err.message);
    return ids;
}

Text decoded(const Tokenizer *tokenizer, const TokenIds *ids, bool skip_special) {
    Text text = {0};
    assert_true(tokenizer_decode(tokenizer, ids->ids, ids->count, skip_special, &text, NULL));
    return text;
}

static const cJSON *pick(Random *random, const cJSON *array) {
    return cJSON_GetArrayItem(array, (int)random_below(random, (uint32_t)cJSON_GetArraySize(array)));
}

uint32_t number_of(const cJSON *object, const char *key) {
    return (uint32_t)cJSON_GetNumberValue(cJSON_GetObjectItemCaseSensitive(object, key));
}

void make_line(Random *random, const cJSON *recipe, Text *out) {
    const cJSON *kinds = cJSON_GetObjectItemCaseSensitive(recipe, "kinds");
    text_clear(out);
    uint32_t segments = 1 + random_below(random, number_of(recipe, "most_segments"));
    for (uint32_t s = 0; s < segments; s++) {
        const cJSON *kind = pick(random, kinds), *strings = cJSON_GetObjectItemCaseSensitive(kind, "strings");
        if (strings) {
            const char *string = pick(random, strings)->valuestring;
            text_add(out, string, strlen(string));
            continue;
        }
        const cJSON *range = pick(random, cJSON_GetObjectItemCaseSensitive(kind, "ranges"));
        uint32_t first = (uint32_t)cJSON_GetArrayItem(range, 0)->valueint,
                 last = (uint32_t)cJSON_GetArrayItem(range, 1)->valueint;
        uint32_t count = 1 + random_below(random, number_of(kind, "most"));
        for (uint32_t i = 0; i < count; i++) {
            char bytes[4];
            text_add(out, bytes, utf8_write(first + random_below(random, last - first + 1), bytes));
        }
    }
}

int line_count(const cJSON *recipe) { return (int)number_of(recipe, "lines") / (slow_checks() ? 1 : 10); }

void fail_line(const char *name, int line, const Text *text, const TokenIds *ids) {
    Text message = {0};
    for (size_t i = 0; i < ids->count; i++) text_addf(&message, " %d", ids->ids[i]);
    char *shown = text_printable(text->data, text->length, false);
    fail_msg("%s: line %d is the first that differs: \"%s\" gave%s", name, line, shown, message.data);
}

// Ids with what the post-processor adds, then the decoded text with special tokens.
static unsigned line_hash(const Tokenizer *tokenizer, const TokenIds *ids) {
    uint64_t hash = hash_bytes(HASH_START, ids->ids, ids->count * sizeof *ids->ids);
    Text text = decoded(tokenizer, ids, false);
    hash = hash_bytes(hash, text.data, text.length);
    text_free(&text);
    return (unsigned)(hash & 0xFFFF);
}

static unsigned expected_hash(const cJSON *rows, int line) {
    int per_row = (int)strlen(cJSON_GetArrayItem(rows, 0)->valuestring) / HASH_DIGITS;
    const char *row = cJSON_GetArrayItem(rows, line / per_row)->valuestring;
    char digits[HASH_DIGITS + 1] = {0};
    memcpy(digits, row + line % per_row * HASH_DIGITS, HASH_DIGITS);
    return (unsigned)strtoul(digits, NULL, 16);
}

void check_line(const char *name, const Tokenizer *tokenizer, const cJSON *rows, int line, const Text *text,
                const TokenIds *ids) {
    if (line_hash(tokenizer, ids) != expected_hash(rows, line)) fail_line(name, line, text, ids);
}

// Puts back what the families share: "shared 3" stands for an item of that name.
static void put_shared(cJSON *object, const char *key, const cJSON *shared) {
    const char *name = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(object, key));
    const cJSON *item = name ? cJSON_GetObjectItemCaseSensitive(shared, name) : NULL;
    if (item) cJSON_ReplaceItemInObjectCaseSensitive(object, key, cJSON_Duplicate(item, true));
}

Tokenizer *family_tokenizer(cJSON *document, const cJSON *shared) {
    cJSON *model = cJSON_GetObjectItemCaseSensitive(document, "model"), *step;
    cJSON *normalizer = cJSON_GetObjectItemCaseSensitive(document, "normalizer");
    put_shared(model, "vocab", shared);
    put_shared(model, "merges", shared);
    put_shared(normalizer, "precompiled_charsmap", shared);
    cJSON_ArrayForEach(step, cJSON_GetObjectItemCaseSensitive(normalizer, "normalizers")) {
        put_shared(step, "precompiled_charsmap", shared);
    }
    char *text = cJSON_PrintUnformatted(document);
    Tokenizer *tokenizer;
    Error err = {0};
    if (!tokenizer_parse(text, strlen(text), &tokenizer, &err)) fail_msg("%s", err.message);
    cJSON_free(text);
    return tokenizer;
}
