#include "tui/settings.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "tui/key_names.h"

#define FILE_MOST (1 << 20)

Settings settings_default(void) { return (Settings){.theme = COLORS_AUTO, .bell = true, .sort = -1}; }

char *settings_path(void) {
    char *folder = folder_config(), *path = folder ? path_join(folder, "config.json") : NULL;
    free(folder);
    return path;
}

void settings_free(Settings *settings) {
    free(settings->keys);
    *settings = settings_default();
}

const KeyChange *settings_keys(const Settings *settings, const char *action) {
    for (int i = 0; action && i < settings->key_count; i++) {
        if (strcmp(settings->keys[i].action, action) == 0) return &settings->keys[i];
    }
    return NULL;
}

// ---- reading ------------------------------------------------------------------------------------------------------

static bool read_theme(const cJSON *json, Settings *out, Error *err) {
    const char *name;
    if (!json_string(json, "theme", color_scheme_names[out->theme], &name, err)) return false;
    const int scheme = color_scheme_named(name);
    if (scheme < 0)
        return error_set(err, "theme: there is none named \"%s\"; there are auto, dark, light, colorblind and mono",
                         name);
    out->theme = (ColorScheme)scheme;
    return true;
}

static bool read_sort(const cJSON *json, Settings *out, Error *err) {
    const char *name;
    if (!json_string(json, "sort", NULL, &name, err)) return false;
    if (!name) return true;
    out->sort = rows_column_named(name);
    return out->sort >= 0 || error_set(err, "sort: there is no column \"%s\"", name);
}

static bool read_tokens(const cJSON *json, Settings *out, Error *err) {
    int64_t tokens;
    if (!cJSON_HasObjectItem(json, "tokens")) return true;
    if (!json_integer(json, "tokens", 0, 1, TEXT_TOKENS_MOST, &tokens, err)) return false;
    out->tokens = (size_t)tokens;
    return true;
}

static bool add_key(const cJSON *item, KeyChange *change, Error *err) {
    int at = 0;
    while (at < KEYS_OF_ACTION && change->codes[at]) at++;
    if (!cJSON_IsString(item))
        return error_set(err, "keys.%s: must be a key such as \"u\" or \"ctrl-u\", or a list of them", change->action);
    if (at == KEYS_OF_ACTION) return error_set(err, "keys.%s: at most %d keys", change->action, KEYS_OF_ACTION);
    change->codes[at] = key_named(item->valuestring);
    if (!change->codes[at])
        return error_set(err, "keys.%s: \"%s\" is no key; keys are characters, ctrl-a to ctrl-z, f1 to f12, %s",
                         change->action, item->valuestring, key_words());
    const size_t used = strlen(change->shown);
    snprintf(change->shown + used, sizeof change->shown - used, "%s%s", used ? " " : "", item->valuestring);
    return true;
}

static bool read_key(const cJSON *item, Settings *out, Error *err) {
    KeyChange *change = &out->keys[out->key_count++];
    snprintf(change->action, sizeof change->action, "%s", item->string);
    if (!action_exists(item->string))
        return error_set(err, "keys.%s: there is no such action; the help (?) names them at the right", item->string);
    if (!cJSON_IsArray(item)) return add_key(item, change, err);
    for (const cJSON *key = item->child; key; key = key->next) {
        if (!add_key(key, change, err)) return false;
    }
    return true;
}

static bool read_keys(const cJSON *json, Settings *out, Error *err) {
    const cJSON *keys = cJSON_GetObjectItemCaseSensitive(json, "keys");
    if (!keys) return true;
    if (!cJSON_IsObject(keys)) return error_set(err, "keys: must be an object of actions and their keys");
    out->keys = array_new((size_t)cJSON_GetArraySize(keys) + 1, sizeof *out->keys);
    if (!out->keys) return error_memory(err, "the keys");
    for (const cJSON *item = keys->child; item; item = item->next) {
        if (!read_key(item, out, err)) return false;
    }
    return keys_agree(out, err);
}

static bool read_all(const cJSON *json, Settings *out, Error *err) {
    static const char *const known[] = {"theme", "ascii", "sort", "reverse", "tokens", "bell", "keys", NULL};
    if (!cJSON_IsObject(json)) return error_set(err, "must be one JSON object");
    return json_only_keys(json, "settings", known, err) && read_theme(json, out, err) &&
           json_bool(json, "ascii", false, &out->ascii, err) && read_sort(json, out, err) &&
           json_bool(json, "reverse", false, &out->reverse, err) && read_tokens(json, out, err) &&
           json_bool(json, "bell", true, &out->bell, err) && read_keys(json, out, err);
}

bool settings_load(const char *path, Settings *out, Error *err) {
    char *text;
    size_t size;
    *out = settings_default();
    if (!file_exists(path)) return true;
    if (!file_read(path, FILE_MOST, &text, &size, err)) return false;
    cJSON *json = json_parse_strict(text, size, err);
    const bool ok = json && read_all(json, out, err);
    if (!ok) settings_free(out);
    cJSON_Delete(json);
    free(text);
    return ok || (error_prefix(err, path), false);
}
