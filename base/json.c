#include "base/json.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/recognize.h"

#define DEEPEST 100

// What stands around the end of a text that is the beginning of one in JSON.
typedef struct Reading {
    char around[DEEPEST]; // brackets that are open, the innermost last
    size_t depth;
    size_t string; // where the last string begins, behind its quote
    bool in_string, too_deep;
    char last; // before the end, outside of strings, and no space
} Reading;

static bool is_space(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; }

static Reading read_until(const char *text, size_t end) {
    Reading r = {.depth = 0};
    for (size_t i = 0; i < end && !r.too_deep; i++) {
        const char c = text[i];
        if (r.in_string) {
            if (c == '\\')
                i++;
            else if (c == '"')
                r.in_string = false;
            continue;
        }
        if (!is_space(c)) r.last = c;
        if (c == '"') {
            r.in_string = true;
            r.string = i + 1;
        } else if (c == '[' || c == '{') {
            r.too_deep = r.depth == DEEPEST;
            if (!r.too_deep) r.around[r.depth++] = c;
        } else if ((c == ']' || c == '}') && r.depth)
            r.depth--;
    }
    return r;
}

// ---- U+0000 ----

static const char escaped_nul[] = "\\u0000", kept_nul[] = "\xC0\x80";
enum { ESCAPED = sizeof escaped_nul - 1, KEPT = sizeof kept_nul - 1 };

// Replaces the escaped form with the kept one. A backslash after a backslash begins no escape.
static void keep_nuls(const char *text, size_t length, Text *out) {
    size_t done = 0;
    for (size_t i = 0; i + ESCAPED <= length;) {
        if (text[i] != '\\') {
            i++;
        } else if (memcmp(text + i, escaped_nul, ESCAPED) != 0) {
            i += 2;
        } else {
            text_add(out, text + done, i - done);
            text_add(out, kept_nul, KEPT);
            done = i += ESCAPED;
        }
    }
    text_add(out, text + done, length - done);
}

// Copies the text with all of `from` replaced.
static void replace_text(const char *text, const char *from, const char *to, size_t to_length, Text *out) {
    for (const char *found; (found = strstr(text, from)); text = found + strlen(from)) {
        text_add(out, text, (size_t)(found - text));
        text_add(out, to, to_length);
    }
    text_add(out, text, strlen(text));
}

void json_bytes(const char *string, Text *out) {
    text_clear(out);
    replace_text(string, kept_nul, "", 1, out);
}

cJSON *json_from_bytes(const char *bytes, size_t length) {
    Text text = {0};
    for (const char *nul; length && (nul = memchr(bytes, 0, length)); bytes = nul + 1) {
        text_add(&text, bytes, (size_t)(nul - bytes));
        text_add(&text, kept_nul, KEPT);
        length -= (size_t)(nul - bytes) + 1;
    }
    text_add(&text, bytes, length);
    cJSON *item = text.failed ? NULL : cJSON_CreateString(text.data);
    text_free(&text);
    return item;
}

char *json_print(const cJSON *value) {
    Text text = {0};
    char *printed = cJSON_PrintUnformatted(value);
    if (printed && strstr(printed, kept_nul)) {
        replace_text(printed, kept_nul, escaped_nul, ESCAPED, &text);
        free(printed);
        if (text.failed) text_free(&text);
        printed = text.data;
    }
    if (printed) text_mend(printed); // paths need not be UTF-8
    return printed;
}

void json_quote(Text *text, const char *string) {
    const cJSON item = {.type = cJSON_String | cJSON_IsReference, .valuestring = (char *)(uintptr_t)string};
    char *quoted = json_print(&item);
    if (quoted)
        text_add(text, quoted, strlen(quoted));
    else
        text->failed = true;
    free(quoted);
}

// ---- Parsing ----

typedef struct Place {
    char text[48];
} Place;

// Of byte `at`, as an editor counts lines and columns of the text as it was before forms were kept.
static Place place_of(const char *text, size_t at) {
    Place place;
    size_t line = 1, column = 1;
    for (size_t i = 0; i < at; i++) {
        if (text[i] == '\n') {
            line++;
            column = 1;
        } else if (i + KEPT <= at && memcmp(text + i, kept_nul, KEPT) == 0) {
            column += ESCAPED;
            i += KEPT - 1;
        } else {
            column += ((unsigned char)text[i] & 0xC0) != 0x80; // of a character the first byte
        }
    }
    snprintf(place.text, sizeof place.text, "line %zu, column %zu", line, column);
    return place;
}

// cJSON names the place itself, but where a name should begin, the byte behind.
static size_t place_of_mistake(const char *text, size_t at) {
    if (!at || text[at - 1] == '"' || is_space(text[at - 1])) return at;
    const Reading r = read_until(text, at - 1);
    const bool first = r.last == '{', closes = first && text[at - 1] == '}';
    const bool name_due = !r.in_string && r.depth && r.around[r.depth - 1] == '{' && (first || r.last == ',');
    return name_due && !closes ? at - 1 : at;
}

// Where too few bytes are, cJSON names the last one, or the beginning of a string.
static bool ends_early(const char *text, size_t length, size_t at) {
    const Reading r = read_until(text, length);
    return (r.in_string && r.string == at) || (at + 1 >= length && (r.in_string || r.depth));
}

// What people write who edit such a file, and what a broken download leaves; "" for anything else.
static const char *usual_mistake(const char *text, size_t length, size_t at) {
    size_t before = at;
    if (ends_early(text, length, at)) return ": the text ends too early";
    while (before && is_space(text[before - 1])) before--;
    if ((text[at] == '}' || text[at] == ']') && before && text[before - 1] == ',')
        return ": nothing stands behind the last comma";
    const char next = at + 1 < length ? text[at + 1] : '\0';
    if (text[at] == '#' || (text[at] == '/' && (next == '/' || next == '*'))) return ": JSON has no comments";
    return text[at] == '\'' ? ": names and texts stand in double quotes" : "";
}

static bool is_surrogate(const char *text, size_t left) {
    return left >= 4 && text[0] == '\\' && text[1] == 'u' && (text[2] == 'd' || text[2] == 'D') && text[3] &&
           strchr("89abcdefABCDEF", text[3]);
}

static cJSON *refuse_text(const char *text, size_t length, const char *end, Error *err) {
    size_t at = end ? place_of_mistake(text, (size_t)(end - text)) : 0;
    if (at < length && is_surrogate(text + at, length - at))
        error_set(err, "unpaired surrogate at %s", place_of(text, at).text);
    else
        error_set(err, "JSON cannot be read at %s%s", place_of(text, at).text, usual_mistake(text, length, at));
    return NULL;
}

static cJSON *parse_document(const char *text, size_t length, Error *err) {
    const char *end = NULL;
    cJSON *value = cJSON_ParseWithLengthOpts(text, length, &end, false);
    if (!value) return refuse_text(text, length, end, err);
    size_t at = (size_t)(end - text);
    while (at < length && is_space(text[at])) at++;
    if (at == length) return value;
    error_set(err, "unexpected text after the JSON value at %s", place_of(text, at).text);
    cJSON_Delete(value);
    return NULL;
}

static cJSON *parse_checked(const char *text, size_t length, Error *err) {
    if (!length) {
        error_set(err, "JSON cannot be read: the text is empty");
        return NULL;
    }
    if (!text_is_utf8(text, length)) {
        error_set(err, "is not UTF-8 text");
        return NULL;
    }
    if (read_until(text, length).too_deep) { // cJSON recurses for nested values
        error_set(err, "JSON is nested deeper than %d levels", DEEPEST);
        return NULL;
    }
    if (!memmem(text, length, escaped_nul, ESCAPED)) return parse_document(text, length, err);
    Text kept = {0};
    keep_nuls(text, length, &kept);
    cJSON *value = kept.failed ? NULL : parse_document(kept.data, kept.length, err);
    if (kept.failed) error_memory(err, "a JSON text");
    text_free(&kept);
    return value;
}

cJSON *json_parse_strict(const char *text, size_t length, Error *err) {
    cJSON *value = parse_checked(text, length, err);
    if (!value) recognize_bytes(text, length, EXPECTED_JSON, err);
    return value;
}

// ---- Getters ----

static const cJSON *present_member(const cJSON *object, const char *key) {
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, key);
    return cJSON_IsNull(item) ? NULL : item;
}

bool json_number(const cJSON *object, const char *key, double missing, double *out, Error *err) {
    const cJSON *item = present_member(object, key);
    if (item && !cJSON_IsNumber(item)) return error_set(err, "\"%s\" must be a number", key);
    *out = item ? item->valuedouble : missing;
    return true;
}

bool json_positive(const cJSON *object, const char *key, double missing, double *out, Error *err) {
    if (!json_number(object, key, missing, out, err)) return false;
    return (*out > 0 && isfinite(*out)) || error_set(err, "\"%s\" must be a positive number", key);
}

bool json_integer(const cJSON *object, const char *key, int64_t missing, int64_t least, int64_t most, int64_t *out,
                  Error *err) {
    double number = 0;
    if (!json_number(object, key, (double)missing, &number, err)) return false;
    if (number != floor(number) || number < (double)least || number > (double)most) {
        return error_set(err, "\"%s\" must be a whole number from %lld to %lld", key, (long long)least,
                         (long long)most);
    }
    *out = (int64_t)number;
    return true;
}

bool json_bool(const cJSON *object, const char *key, bool missing, bool *out, Error *err) {
    const cJSON *item = present_member(object, key);
    if (item && !cJSON_IsBool(item)) return error_set(err, "\"%s\" must be true or false", key);
    *out = item ? cJSON_IsTrue(item) : missing;
    return true;
}

bool json_string(const cJSON *object, const char *key, const char *missing, const char **out, Error *err) {
    const cJSON *item = present_member(object, key);
    if (item && !cJSON_IsString(item)) return error_set(err, "\"%s\" must be a string", key);
    *out = item ? item->valuestring : missing;
    return true;
}

const char *json_first_key(const cJSON *object, const char *const *keys) {
    for (const char *const *key = keys; *key; key++) {
        if (present_member(object, *key)) return *key;
    }
    return *keys;
}

bool json_only_keys(const cJSON *object, const char *where, const char *const *known, Error *err) {
    for (const cJSON *item = object ? object->child : NULL; item; item = item->next) {
        bool found = false;
        for (const char *const *k = known; *k && !found; k++) found = strcmp(*k, item->string) == 0;
        if (found) continue;
        Text list = {0};
        for (const char *const *k = known; *k; k++) text_addf(&list, "%s%s", k == known ? "" : ", ", *k);
        error_set(err, "%s: unknown key \"%.100s\"; known are %s", where, item->string, list.data ? list.data : "");
        text_free(&list);
        return false;
    }
    return true;
}
