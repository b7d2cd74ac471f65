#include "base/json.h"

#include <math.h>
#include <string.h>

#include "base/array.h"
#include "base/recognize.h"

#define DEEPEST 100

// cJSON recurses for nested values, so the depth is checked before it sees the text.
static bool shallow_enough(const char *text, size_t length) {
    size_t depth = 0;
    bool in_string = false;
    for (size_t i = 0; i < length; i++) {
        char c = text[i];
        if (in_string) {
            if (c == '\\')
                i++;
            else if (c == '"')
                in_string = false;
        } else if (c == '"')
            in_string = true;
        else if ((c == '[' || c == '{') && ++depth > DEEPEST)
            return false;
        else if ((c == ']' || c == '}') && depth)
            depth--;
    }
    return true;
}

static cJSON *parse(const char *text, size_t length, Error *err) {
    if (!length) {
        error_set(err, "JSON cannot be read: there is none, the text is empty");
        return NULL;
    }
    if (!text_is_utf8(text, length)) {
        error_set(err, "is not UTF-8 text");
        return NULL;
    }
    if (!shallow_enough(text, length)) {
        error_set(err, "JSON is nested deeper than %d levels", DEEPEST);
        return NULL;
    }
    const char *end = NULL;
    cJSON *value = cJSON_ParseWithLengthOpts(text, length, &end, false);
    if (!value) {
        error_set(err, "JSON cannot be read at byte %zu", end ? (size_t)(end - text) : 0);
        return NULL;
    }
    size_t at = (size_t)(end - text);
    while (at < length && strchr(" \t\r\n", text[at]) && text[at]) at++;
    if (at != length) {
        error_set(err, "something follows the JSON value at byte %zu", at);
        cJSON_Delete(value);
        return NULL;
    }
    return value;
}

cJSON *json_parse(const char *text, size_t length, Error *err) {
    cJSON *value = parse(text, length, err);
    if (!value) recognize_bytes(text, length, EXPECTED_JSON, err);
    return value;
}

static const cJSON *present(const cJSON *object, const char *key) {
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, key);
    return cJSON_IsNull(item) ? NULL : item;
}

bool json_number(const cJSON *object, const char *key, double missing, double *out, Error *err) {
    const cJSON *item = present(object, key);
    if (item && !cJSON_IsNumber(item)) return error_set(err, "\"%s\" must be a number", key);
    *out = item ? item->valuedouble : missing;
    return true;
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
    const cJSON *item = present(object, key);
    if (item && !cJSON_IsBool(item)) return error_set(err, "\"%s\" must be true or false", key);
    *out = item ? cJSON_IsTrue(item) : missing;
    return true;
}

bool json_string(const cJSON *object, const char *key, const char *missing, const char **out, Error *err) {
    const cJSON *item = present(object, key);
    if (item && !cJSON_IsString(item)) return error_set(err, "\"%s\" must be a string", key);
    *out = item ? item->valuestring : missing;
    return true;
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
