// The tokens that only tokenizer_config.json, special_tokens_map.json or added_tokens.json know: in the order, and with
// the flags, in which transformers adds them to what tokenizer.json has.
#include <stdlib.h>
#include <string.h>

#include "loaders/tokenizer/tokenizer_parts.h"

static const char *const named[] = {"bos_token", "eos_token", "unk_token", "sep_token",
                                    "pad_token", "cls_token", "mask_token"};
enum { NAMED = sizeof named / sizeof *named };

static bool is_named(const char *key) {
    for (size_t i = 0; i < NAMED; i++) {
        if (strcmp(named[i], key) == 0) return true;
    }
    return false;
}

// "image_token" and the like, which only some models have.
static bool is_models_own(const cJSON *item) {
    size_t length = strlen(item->string), ending = strlen("_token");
    return length >= ending && strcmp(item->string + length - ending, "_token") == 0 && !is_named(item->string) &&
           (cJSON_IsString(item) || cJSON_IsObject(item));
}

static const cJSON *member_of(const cJSON *object, const char *key) {
    return cJSON_GetObjectItemCaseSensitive(object, key);
}

// Takes `item` over, also where it fails.
static bool member_put(cJSON *object, const char *key, cJSON *item, Error *err) {
    if (item && member_of(object, key) && cJSON_ReplaceItemInObjectCaseSensitive(object, key, item)) return true;
    if (item && !member_of(object, key) && cJSON_AddItemToObject(object, key, item)) return true;
    cJSON_Delete(item);
    return error_memory(err, "special tokens");
}

// ---- Tokens ----

typedef struct Token {
    const char *content; // as in the document
    bool special, lstrip, rstrip, single_word;
    bool normalized, normalized_said; // where it is not said, special tokens are not and others are
} Token;

// A string is a special token. An object says what it is; `special` is what it is where it does not say so.
static bool read_token(const cJSON *json, bool special, Token *out, Error *err) {
    *out = (Token){.content = cJSON_GetStringValue(json), .special = true};
    if (out->content) return true;
    const cJSON *normalized = member_of(json, "normalized");
    out->normalized_said = normalized && !cJSON_IsNull(normalized);
    if (!cJSON_IsObject(json)) return error_set(err, "a special token must be a string or an object");
    return json_string(json, "content", NULL, &out->content, err) &&
           (out->content || error_set(err, "a special token has no \"content\"")) &&
           json_bool(json, "special", special, &out->special, err) &&
           json_bool(json, "normalized", false, &out->normalized, err) &&
           json_bool(json, "lstrip", false, &out->lstrip, err) && json_bool(json, "rstrip", false, &out->rstrip, err) &&
           json_bool(json, "single_word", false, &out->single_word, err);
}

static cJSON *token_json(const Token *token) {
    cJSON *json = cJSON_CreateObject();
    cJSON_AddStringToObject(json, "content", token->content);
    cJSON_AddBoolToObject(json, "special", token->special);
    cJSON_AddBoolToObject(json, "normalized", token->normalized_said ? token->normalized : !token->special);
    cJSON_AddBoolToObject(json, "lstrip", token->lstrip);
    cJSON_AddBoolToObject(json, "rstrip", token->rstrip);
    if (cJSON_AddBoolToObject(json, "single_word", token->single_word)) return json;
    cJSON_Delete(json);
    return NULL;
}

// ---- What the files say ----

#define EXTRA "extra_special_tokens"
#define ADDITIONAL "additional_special_tokens" // its name before transformers 5

static bool is_filled(const cJSON *json) { return cJSON_GetArraySize(json) > 0; }

// Moves `item` of one object into another.
static bool member_move(cJSON *from, cJSON *item, cJSON *to, const char *key, Error *err) {
    char *name = strdup(key);
    bool ok =
        name ? member_put(to, name, cJSON_DetachItemViaPointer(from, item), err) : error_memory(err, "special tokens");
    free(name);
    return ok;
}

// An object of further special tokens names the model's own.
static bool take_named_extras(cJSON *config, cJSON *own, Error *err) {
    cJSON *extra = cJSON_GetObjectItemCaseSensitive(config, EXTRA);
    if (!cJSON_IsObject(extra)) return true;
    while (extra->child) {
        if (!member_move(extra, extra->child, own, extra->child->string, err)) return false;
    }
    cJSON_DeleteItemFromObjectCaseSensitive(config, EXTRA);
    return true;
}

static bool take_own(cJSON *config, cJSON *own, Error *err) {
    cJSON *additional = cJSON_GetObjectItemCaseSensitive(config, ADDITIONAL);
    if (additional && !is_filled(member_of(config, EXTRA)) && !member_move(config, additional, config, EXTRA, err))
        return false;
    for (cJSON *item = config->child, *next; item; item = next) {
        next = item->next;
        if (is_models_own(item) && cJSON_IsString(item) && !member_move(config, item, own, item->string, err))
            return false;
    }
    return take_named_extras(config, own, err);
}

static bool merge_item(const cJSON *item, cJSON *config, Error *err) {
    bool is_extra = strcmp(item->string, EXTRA) == 0;
    cJSON *copy = cJSON_Duplicate(item, true), *extra = cJSON_GetObjectItemCaseSensitive(config, EXTRA);
    if (is_extra && cJSON_IsArray(copy) && cJSON_IsArray(extra)) {
        while (copy->child) cJSON_AddItemToArray(extra, cJSON_DetachItemViaPointer(copy, copy->child));
        cJSON_Delete(copy);
        return true;
    }
    if (cJSON_IsObject(copy) && !is_extra && !member_put(copy, "special", cJSON_CreateTrue(), err)) {
        cJSON_Delete(copy);
        return false;
    }
    return member_put(config, item->string, copy, err);
}

// special_tokens_map.json goes before tokenizer_config.json, where that does not list the added tokens itself.
static bool merge_map(const cJSON *map, cJSON *config, cJSON *own, Error *err) {
    const cJSON *item;
    if (map && !cJSON_IsObject(map)) return error_set(err, "special_tokens_map.json must hold an object");
    cJSON_ArrayForEach(item, map) {
        if (!merge_item(item, config, err)) return false;
    }
    return take_named_extras(config, own, err);
}

// ---- In order of their ids ----

typedef struct Numbered {
    double id;
    size_t order; // what comes later replaces what has the same id
    Token token;
} Numbered;

typedef struct NumberedList {
    Numbered *items;
    size_t count, capacity;
} NumberedList;

static bool add_numbered(NumberedList *list, double id, const Token *token, Error *err) {
    if (!array_grow(&list->items, list->count, &list->capacity, sizeof *list->items))
        return error_memory(err, "added tokens");
    list->items[list->count] = (Numbered){id, list->count, *token};
    list->count++;
    return true;
}

static int compare_numbered(const void *a, const void *b) {
    const Numbered *x = a, *y = b;
    if (x->id != y->id) return x->id < y->id ? -1 : 1;
    return (x->order > y->order) - (x->order < y->order);
}

static bool read_decoder(const cJSON *decoder, NumberedList *list, Error *err) {
    const cJSON *item;
    if (!cJSON_IsObject(decoder)) return error_set(err, "\"added_tokens_decoder\" must be an object");
    cJSON_ArrayForEach(item, decoder) {
        Token token;
        char *end;
        double id = strtod(item->string, &end);
        if (end == item->string || *end) return error_set(err, "\"added_tokens_decoder\": its keys must be ids");
        if (!read_token(item, false, &token, err) || !add_numbered(list, id, &token, err))
            return error_prefix(err, "\"added_tokens_decoder\"");
    }
    return true;
}

static bool is_content(const cJSON *json, const char *content) {
    Token token;
    return json && read_token(json, true, &token, NULL) && strcmp(token.content, content) == 0;
}

// At that point transformers has not yet looked into the objects of tokenizer_config.json that name their type.
static bool is_special(const cJSON *config, const char *content) {
    const cJSON *item;
    for (size_t i = 0; i < NAMED; i++) {
        item = member_of(config, named[i]);
        if (!member_of(item, "__type") && is_content(item, content)) return true;
    }
    cJSON_ArrayForEach(item, member_of(config, EXTRA)) {
        if (!member_of(item, "__type") && is_content(item, content)) return true;
    }
    return false;
}

// {"text": id}, and then what tokenizer.json has under these ids.
static bool read_added(const cJSON *added, const cJSON *config, const cJSON *file, NumberedList *list, Error *err) {
    const cJSON *item;
    if (added && !cJSON_IsObject(added)) return error_set(err, "added_tokens.json must hold an object");
    cJSON_ArrayForEach(item, added) {
        bool special = is_special(config, item->string);
        Token token = {.content = item->string, .special = special, .normalized = !special, .normalized_said = true};
        if (!cJSON_IsNumber(item)) return error_set(err, "added_tokens.json: the ids must be numbers");
        if (!add_numbered(list, item->valuedouble, &token, err)) return false;
    }
    cJSON_ArrayForEach(item, file) {
        Token token;
        const cJSON *id = member_of(item, "id");
        if (!read_token(item, false, &token, err) ||
            (cJSON_IsNumber(id) && !add_numbered(list, id->valuedouble, &token, err)))
            return error_prefix(err, "\"added_tokens\"");
    }
    return true;
}

// ---- All together ----

typedef struct Adding {
    Vocab known; // contents of what the tokenizer has already, and of what has an id in the files
    Vocab plain; // of those that were added as strings, without flags
    cJSON *list; // of the document, which grows
    Error *err;
} Adding;

static bool adding_keep(Adding *a, const Token *token) {
    return vocab_add(&a->known, token->content, strlen(token->content), 0) || error_memory(a->err, "added tokens");
}

static bool adding_append(Adding *a, const Token *token) {
    cJSON *json = token_json(token);
    if (json && cJSON_AddItemToArray(a->list, json)) return true;
    cJSON_Delete(json);
    return error_memory(a->err, "added tokens");
}

// Also when an earlier special token has the same text: then the flags of the later one hold. Strings are added once.
static bool append_missing(Adding *a, const cJSON *json, bool always_special) {
    Token token;
    if (!json || cJSON_IsNull(json)) return true;
    if (!read_token(json, false, &token, a->err)) return false;
    token.special |= always_special;
    size_t length = strlen(token.content);
    if (vocab_find(&a->known, token.content, length) >= 0) return true;
    if (cJSON_IsString(json)) {
        if (vocab_find(&a->plain, token.content, length) >= 0) return true;
        if (!vocab_add(&a->plain, token.content, length, 0)) return error_memory(a->err, "added tokens");
    }
    return adding_append(a, &token);
}

static bool names_it(const cJSON *config, const cJSON *own, const char *content) {
    const cJSON *item;
    for (size_t i = 0; i < NAMED; i++) {
        if (is_content(member_of(config, named[i]), content)) return true;
    }
    cJSON_ArrayForEach(item, own) {
        if (is_content(item, content)) return true;
    }
    return false;
}

// Also those that the tokenizer has: with other flags, or behind one of the same text.
static bool append_numbered(Adding *a, NumberedList *list, const cJSON *config, const cJSON *own) {
    if (list->count) qsort(list->items, list->count, sizeof *list->items, compare_numbered);
    for (size_t i = 0; i < list->count; i++) {
        Numbered *item = &list->items[i];
        if (i + 1 < list->count && item->id == list->items[i + 1].id) continue;
        item->token.special |= names_it(config, own, item->token.content);
        if (!adding_append(a, &item->token) || !adding_keep(a, &item->token)) return false;
    }
    return true;
}

static bool append_all(Adding *a, NumberedList *list, cJSON *config, const cJSON *own) {
    const cJSON *item;
    cJSON *additional = cJSON_GetObjectItemCaseSensitive(config, ADDITIONAL);
    if (!append_numbered(a, list, config, own)) return false;
    if (additional && !member_of(config, EXTRA) && !member_move(config, additional, config, EXTRA, a->err))
        return false;
    for (size_t i = 0; i < NAMED; i++) {
        if (!append_missing(a, member_of(config, named[i]), true)) return error_prefix(a->err, "\"%s\"", named[i]);
    }
    cJSON_ArrayForEach(item, config) {
        if (is_models_own(item) && !member_of(own, item->string) && !append_missing(a, item, true))
            return error_prefix(a->err, "\"%s\"", item->string);
    }
    cJSON_ArrayForEach(item, own) {
        if (!append_missing(a, item, true)) return error_prefix(a->err, "\"%s\"", item->string);
    }
    cJSON_ArrayForEach(item, member_of(config, EXTRA)) {
        Token token;
        const bool is_named_too = read_token(item, false, &token, NULL) && names_it(config, own, token.content);
        if (!append_missing(a, item, is_named_too)) return error_prefix(a->err, "\"" EXTRA "\"");
    }
    return true;
}

static bool know_list(Adding *a) {
    const cJSON *item;
    cJSON_ArrayForEach(item, a->list) {
        Token token;
        if (!read_token(item, false, &token, a->err) || !adding_keep(a, &token))
            return error_prefix(a->err, "\"added_tokens\"");
    }
    return true;
}

bool special_tokens_add(cJSON *config, const cJSON *map, const cJSON *added, cJSON *document, Error *err) {
    cJSON *list = cJSON_GetObjectItemCaseSensitive(document, "added_tokens");
    if (!cJSON_IsObject(document)) return true; // refused where the parts are read
    if (list && !cJSON_IsNull(list) && !cJSON_IsArray(list)) return true;
    if (!cJSON_IsArray(list) && !member_put(document, "added_tokens", list = cJSON_CreateArray(), err)) return false;
    Adding adding = {.list = list, .err = err};
    NumberedList numbered = {0};
    cJSON *own = cJSON_CreateObject();
    const cJSON *decoder = member_of(config, "added_tokens_decoder");
    bool ok = (own || error_memory(err, "special tokens")) && take_own(config, own, err) && know_list(&adding) &&
              (decoder && !cJSON_IsNull(decoder)
                   ? read_decoder(decoder, &numbered, err)
                   : merge_map(map, config, own, err) && read_added(added, config, list, &numbered, err)) &&
              append_all(&adding, &numbered, config, own);
    vocab_free(&adding.known);
    vocab_free(&adding.plain);
    free(numbered.items);
    cJSON_Delete(own);
    return ok;
}
