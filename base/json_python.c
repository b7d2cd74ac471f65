// What Python reads beside the standard, and so do files that Python wrote: NaN and Infinity, and of a key that stands
// twice the last counts.
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/hash.h"
#include "base/json.h"

// ---- Words for numbers ----

// Each in as many bytes as the word has, so that places in messages stay right. JSON has no number for NaN: a string is
// none to whoever reads it.
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

// Puts standard JSON into copy [length], if it is not NULL; true when there is a word to replace.
static bool replace_words(const char *text, size_t length, char *copy) {
    bool in_string = false, found = false;
    for (size_t i = 0; i < length; i++) {
        char c = text[i];
        if (in_string && c == '\\') i++;
        in_string ^= c == '"';
        if (in_string || (c != 'N' && c != 'I')) continue;
        size_t word = put_standard(text + i, length - i, copy ? copy + i : NULL);
        if (!word) continue;
        if (!copy) return true;
        found = true;
        i += word - 1;
    }
    return found;
}

// ---- Keys that stand twice ----

typedef struct Keys {
    cJSON **slots; // NULL: free
    size_t mask;
} Keys;

static void enter_key(const Keys *keys, cJSON *object, cJSON *item) {
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
    Keys keys = {.slots = array_new(slots, sizeof(cJSON *)), .mask = slots - 1};
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

// ---- Both ----

cJSON *json_parse(const char *text, size_t length, Error *err) {
    char *copy = NULL;
    if (replace_words(text, length, NULL)) {
        copy = malloc(length + 1);
        if (!copy) return error_memory(err, "a JSON text"), NULL;
        memcpy(copy, text, length);
        copy[length] = '\0';
        replace_words(text, length, copy);
    }
    cJSON *value = json_parse_strict(copy ? copy : text, length, err);
    free(copy);
    if (!value || drop_earlier(value)) return value;
    cJSON_Delete(value);
    return error_memory(err, "a JSON text"), NULL;
}
