// What Python reads and writes beyond the standard, and its files therefore contain: NaN and Infinity, halves of a
// surrogate pair, and keys that occur twice, of which the last counts.
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/hash.h"
#include "base/json.h"

// ---- Words for numbers ----

// Each is as long as the word it replaces, so that places in messages stay right. JSON has no number for NaN, so a
// string takes its place, which readers of numbers refuse.
static const struct { const char *word, *standard; } words[] = {{"NaN", "\"?\""}, {"Infinity", "1e99999 "}};

// How long the word at `text` is; 0: there is none.
static size_t put_standard(const char *text, size_t left, char *copy) {
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        size_t length = strlen(words[i].word);
        if (left < length || memcmp(text, words[i].word, length) != 0) continue;
        if (copy) memcpy(copy, words[i].standard, length);
        return length;
    }
    return 0;
}

// ---- Halves of a surrogate pair ----

// The code of an escape \uXXXX at `text`; 0: something else is there.
static unsigned escaped_code(const char *text, size_t left) {
    unsigned code = 0;
    if (left < 6 || text[0] != '\\' || text[1] != 'u') return 0;
    for (int i = 2; i < 6; i++) {
        const char digit = text[i], lower = (char)(digit | 0x20);
        if (!(digit >= '0' && digit <= '9') && !(lower >= 'a' && lower <= 'f')) return 0;
        code = code << 4 | (unsigned)(digit <= '9' ? digit - '0' : lower - 'a' + 10);
    }
    return code;
}

// How long the escape at `text` is; *lone: it is half of a pair.
static size_t escape_length(const char *text, size_t left, bool *lone) {
    const unsigned code = escaped_code(text, left);
    *lone = false;
    if (code < 0xD800 || code > 0xDFFF) return code ? 6 : 2;
    const unsigned next = escaped_code(text + 6, left - 6);
    *lone = code >= 0xDC00 || next < 0xDC00 || next > 0xDFFF;
    return *lone ? 6 : 12;
}

// ---- All of them ----

// Writes standard JSON to copy [length], unless that is NULL; true when there is something to replace.
static bool make_standard(const char *text, size_t length, char *copy) {
    bool in_string = false, found = false, lone;
    for (size_t i = 0, here; i < length; i += here) {
        here = 1;
        if (in_string && text[i] == '\\') {
            here = escape_length(text + i, length - i, &lone);
            if (lone && copy) memcpy(copy + i, "\\uFFFD", here);
            found |= lone;
        } else if (text[i] == '"') {
            in_string = !in_string;
        } else if (!in_string && (text[i] == 'N' || text[i] == 'I')) {
            size_t word = put_standard(text + i, length - i, copy ? copy + i : NULL);
            found |= word > 0;
            here = word ? word : 1;
        }
        if (found && !copy) return true;
    }
    return found;
}

// ---- Keys that stand twice ----

typedef struct SeenKeys {
    cJSON **slots; // NULL: free
    size_t mask;
} SeenKeys;

static void enter_key(const SeenKeys *keys, cJSON *object, cJSON *item) {
    size_t at = hash_text(HASH_START, item->string) & keys->mask;
    while (keys->slots[at] && strcmp(keys->slots[at]->string, item->string) != 0) at = (at + 1) & keys->mask;
    if (keys->slots[at]) cJSON_Delete(cJSON_DetachItemViaPointer(object, keys->slots[at]));
    keys->slots[at] = item;
}

static bool drop_earlier_keys(cJSON *object) {
    size_t count = 0, slots = 4;
    for (const cJSON *item = object->child; item; item = item->next) count++;
    if (count < 2) return true;
    while (slots < 2 * count) slots *= 2;
    SeenKeys keys = {.slots = array_new(slots, sizeof(cJSON *)), .mask = slots - 1};
    if (!keys.slots) return false;
    for (cJSON *item = object->child, *next; item; item = next) {
        next = item->next;
        enter_key(&keys, object, item);
    }
    free(keys.slots);
    return true;
}

static bool drop_earlier(cJSON *value) {
    if (cJSON_IsObject(value) && !drop_earlier_keys(value)) return false;
    for (cJSON *item = value->child; item; item = item->next) {
        if (item->child && !drop_earlier(item)) return false;
    }
    return true;
}

// ---- Parsing ----

cJSON *json_parse(const char *text, size_t length, Error *err) {
    char *copy = NULL;
    if (make_standard(text, length, NULL)) {
        copy = malloc(length + 1);
        if (!copy) return error_memory(err, "a JSON text"), NULL;
        memcpy(copy, text, length);
        copy[length] = '\0';
        make_standard(text, length, copy);
    }
    cJSON *value = json_parse_strict(copy ? copy : text, length, err);
    free(copy);
    if (!value || drop_earlier(value)) return value;
    cJSON_Delete(value);
    return error_memory(err, "a JSON text"), NULL;
}
