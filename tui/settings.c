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
    text_free(&settings->faults);
    *settings = settings_default();
}

const KeyChange *settings_keys(const Settings *settings, const char *action) {
    for (int i = 0; action && i < settings->key_count; i++) {
        if (strcmp(settings->keys[i].action, action) == 0) return &settings->keys[i];
    }
    return NULL;
}

// ---- keys ---------------------------------------------------------------------------------------------------------

static bool change_begin(KeyChange *change, const char *action, Error *err) {
    *change = (KeyChange){.codes = {0}};
    snprintf(change->action, sizeof change->action, "%s", action);
    return action_exists(action) ||
           error_set(err, "no key does anything of that name; the help (?) names what keys do at the right");
}

static bool change_add(KeyChange *change, const char *key, Error *err) {
    int at = 0;
    while (at < KEYS_OF_ACTION && change->codes[at]) at++;
    if (at == KEYS_OF_ACTION) return error_set(err, "at most %d keys", KEYS_OF_ACTION);
    change->codes[at] = key_named(key);
    if (!change->codes[at])
        return error_set(err, "\"%s\" is no key; keys are characters, ctrl-a to ctrl-z, f1 to f12, %s", key,
                         key_words());
    const size_t used = strlen(change->shown);
    snprintf(change->shown + used, sizeof change->shown - used, "%s%s", used ? " " : "", key);
    return true;
}

static int change_of(const Settings *settings, const char *action) {
    const KeyChange *change = settings_keys(settings, action);
    return change ? (int)(change - settings->keys) : -1;
}

static void change_drop(Settings *settings, int at) {
    KeyChange *change = settings->keys + at;
    memmove(change, change + 1, (size_t)(--settings->key_count - at) * sizeof *change);
}

// In the place of what the action had.
static bool change_put(Settings *settings, const KeyChange *change, Error *err) {
    const int at = change_of(settings, change->action);
    const size_t count = (size_t)settings->key_count + (at < 0);
    KeyChange *keys = at < 0 ? realloc(settings->keys, count * sizeof *keys) : settings->keys;
    if (!keys) return error_memory(err, "the keys");
    keys[at < 0 ? settings->key_count++ : at] = *change;
    settings->keys = keys;
    return true;
}

static bool change_read(KeyChange *change, const char *action, const char *keys, Error *err) {
    char words[sizeof change->shown];
    if (strlen(keys) >= sizeof words) return error_set(err, "at most %d keys", KEYS_OF_ACTION);
    snprintf(words, sizeof words, "%s", keys);
    bool ok = change_begin(change, action, err);
    for (char *rest = words, *key; ok && (key = strtok_r(rest, " ", &rest));) ok = change_add(change, key, err);
    return ok;
}

bool settings_bind(Settings *settings, const char *action, const char *keys, Error *err) {
    KeyChange change;
    if (!change_read(&change, action, keys, err)) return error_prefix(err, "%s", action);
    Settings tried = *settings;
    tried.keys = array_new((size_t)settings->key_count + 1, sizeof *tried.keys);
    if (!tried.keys) return error_memory(err, "the keys");
    if (settings->key_count) memcpy(tried.keys, settings->keys, (size_t)settings->key_count * sizeof *tried.keys);
    const int had = change_of(&tried, action);
    bool ok = !*change.codes || change_put(&tried, &change, err);
    if (!*change.codes && had >= 0) change_drop(&tried, had);
    const int wrong = keys_disagree(&tried, err);
    if (wrong >= 0) ok = error_prefix(err, "%s", tried.keys[wrong].action);
    free(ok ? settings->keys : tried.keys);
    if (ok) *settings = tried;
    return ok;
}

// ---- reading ------------------------------------------------------------------------------------------------------

// On one line, whatever names stand in the file.
static void add_fault(Settings *out, const Error *err) {
    char *line = text_printable(err->message, strlen(err->message), false);
    text_addf(&out->faults, "%s%s", out->fault_count ? "\n" : "", line ? line : "");
    if (!out->faults.failed) out->fault_count++;
    free(line);
}

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

static bool read_ascii(const cJSON *json, Settings *out, Error *err) {
    return json_bool(json, "ascii", false, &out->ascii, err);
}

static bool read_sort(const cJSON *json, Settings *out, Error *err) {
    const char *name;
    if (!json_string(json, "sort", NULL, &name, err)) return false;
    if (!name) return true;
    out->sort = rows_column_named(name);
    return out->sort >= 0 || error_set(err, "sort: there is no column \"%s\"; :sort completes their names", name);
}

static bool read_reverse(const cJSON *json, Settings *out, Error *err) {
    return json_bool(json, "reverse", false, &out->reverse, err);
}

static bool read_tokens(const cJSON *json, Settings *out, Error *err) {
    int64_t tokens;
    if (!cJSON_HasObjectItem(json, "tokens")) return true;
    if (!json_integer(json, "tokens", 0, 1, TEXT_TOKENS_MOST, &tokens, err)) return false;
    out->tokens = (size_t)tokens;
    return true;
}

static bool read_bell(const cJSON *json, Settings *out, Error *err) {
    return json_bool(json, "bell", true, &out->bell, err);
}

static bool read_key(const cJSON *item, KeyChange *change, Error *err) {
    if (!change_begin(change, item->string, err)) return false;
    const cJSON *first = cJSON_IsArray(item) ? item->child : item;
    for (const cJSON *key = first; key; key = cJSON_IsArray(item) ? key->next : NULL) {
        if (!cJSON_IsString(key)) return error_set(err, "must be a key such as \"u\" or \"ctrl-u\", or a list of them");
        if (!change_add(change, key->valuestring, err)) return false;
    }
    return true;
}

// Each by itself; then those that others have already are left out, one by one, since each gives its keys back.
static bool read_keys(const cJSON *json, Settings *out, Error *err) {
    const cJSON *keys = cJSON_GetObjectItemCaseSensitive(json, "keys");
    if (!keys) return true;
    if (!cJSON_IsObject(keys)) return error_set(err, "keys: must be an object of actions and their keys");
    for (const cJSON *item = keys->child; item; item = item->next) {
        KeyChange change;
        Error fault = {0};
        if (read_key(item, &change, &fault) && change_put(out, &change, &fault)) continue;
        error_prefix(&fault, "keys.%s", item->string);
        add_fault(out, &fault);
    }
    Error fault = {0};
    for (int wrong; (wrong = keys_disagree(out, &fault)) >= 0; fault = (Error){0}) {
        error_prefix(&fault, "keys.%s", out->keys[wrong].action);
        add_fault(out, &fault);
        change_drop(out, wrong);
    }
    return true;
}

static void show_theme(const Settings *settings, char *out, size_t size) {
    snprintf(out, size, "%s", color_scheme_names[settings->theme]);
}

static void show_bool(bool value, char *out, size_t size) { snprintf(out, size, "%s", value ? "true" : "false"); }

static void show_ascii(const Settings *settings, char *out, size_t size) { show_bool(settings->ascii, out, size); }
static void show_reverse(const Settings *settings, char *out, size_t size) { show_bool(settings->reverse, out, size); }
static void show_bell(const Settings *settings, char *out, size_t size) { show_bool(settings->bell, out, size); }

static void show_sort(const Settings *settings, char *out, size_t size) {
    snprintf(out, size, "%s", settings->sort < 0 ? "default" : column_table[settings->sort].name);
}

static void show_tokens(const Settings *settings, char *out, size_t size) {
    snprintf(out, size, settings->tokens ? "%zu" : "default", settings->tokens);
}

static void show_keys(const Settings *settings, char *out, size_t size) {
    size_t used = 0;
    snprintf(out, size, "default");
    for (int i = 0; i < settings->key_count && used < size; i++)
        used += (size_t)snprintf(out + used, size - used, "%s%s: %s", i ? ", " : "", settings->keys[i].action,
                                 settings->keys[i].shown);
}

const SettingInfo setting_table[] = {
    {"theme", "auto, dark, light, colorblind or mono", read_theme, show_theme},
    {"ascii", "true: no characters beyond ASCII", read_ascii, show_ascii},
    {"sort", "the column that the table of a model begins with, as :sort calls it", read_sort, show_sort},
    {"reverse", "true: that order reversed", read_reverse, show_reverse},
    {"tokens", "how many tokens both models write at first", read_tokens, show_tokens},
    {"bell", "false: no bell when a job that took long has ended", read_bell, show_bell},
    {"keys", "other keys for what the help names at the right; :bind NAME KEY writes them", read_keys, show_keys},
};
const int setting_count = sizeof setting_table / sizeof *setting_table;

static bool is_known(const char *key) {
    bool known = false;
    for (int i = 0; i < setting_count; i++) known = known || strcmp(setting_table[i].key, key) == 0;
    return known;
}

static void fault_unknown(Settings *out, const char *key) {
    Error fault;
    char known[160] = "";
    for (int i = 0; i < setting_count; i++) {
        const size_t used = strlen(known);
        snprintf(known + used, sizeof known - used, "%s%s", i ? ", " : "", setting_table[i].key);
    }
    error_set(&fault, "unknown key \"%s\"; known are %s", key, known);
    add_fault(out, &fault);
}

static bool read_object(const char *path, cJSON **out, Error *err) {
    char *text;
    size_t size;
    if (!file_read(path, FILE_MOST, &text, &size, err)) return false;
    *out = json_parse_strict(text, size, err);
    free(text);
    if (!*out || cJSON_IsObject(*out)) return *out != NULL;
    cJSON_Delete(*out);
    *out = NULL;
    return error_set(err, "must be one JSON object");
}

void settings_load(const char *path, Settings *out) {
    cJSON *json = NULL;
    Error fault = {0};
    *out = settings_default();
    if (!file_exists(path)) return;
    if (!read_object(path, &json, &fault)) add_fault(out, &fault);
    for (const cJSON *item = json ? json->child : NULL; item; item = item->next) {
        if (!is_known(item->string)) fault_unknown(out, item->string);
    }
    for (int i = 0; json && i < setting_count; i++) {
        if (!setting_table[i].read(json, out, &fault)) add_fault(out, &fault);
    }
    cJSON_Delete(json);
}

// ---- writing ------------------------------------------------------------------------------------------------------

// A key, or a list of them.
static cJSON *keys_json(const KeyChange *change) {
    char words[sizeof change->shown];
    if (!change->codes[1]) return cJSON_CreateString(change->shown);
    cJSON *keys = cJSON_CreateArray();
    snprintf(words, sizeof words, "%s", change->shown);
    for (char *rest = words, *key; (key = strtok_r(rest, " ", &rest));)
        cJSON_AddItemToArray(keys, cJSON_CreateString(key));
    return keys;
}

static bool write_object(const cJSON *json, const char *path, Error *err) {
    Text text = {0};
    char *folder = folder_config(), *printed = cJSON_Print(json);
    if (printed) text_addf(&text, "%s\n", printed);
    bool ok = (folder && text.data && !text.failed) || error_memory(err, "the settings");
    ok = ok && folder_make(folder, err) && file_write(path, text.data, text.length, err);
    text_free(&text);
    cJSON_free(printed);
    free(folder);
    return ok;
}

bool settings_keep_keys(const Settings *settings, const char *action, const char *path, Error *err) {
    cJSON *json = NULL;
    const KeyChange *change = settings_keys(settings, action);
    if (file_exists(path) && !read_object(path, &json, err)) return error_prefix(err, "%s", path);
    if (!json) json = cJSON_CreateObject();
    cJSON *keys = cJSON_GetObjectItemCaseSensitive(json, "keys");
    if (!cJSON_IsObject(keys)) {
        cJSON_DeleteItemFromObjectCaseSensitive(json, "keys");
        keys = cJSON_AddObjectToObject(json, "keys");
    }
    while (cJSON_GetObjectItemCaseSensitive(keys, action)) cJSON_DeleteItemFromObjectCaseSensitive(keys, action);
    if (change) cJSON_AddItemToObject(keys, action, keys_json(change));
    const bool ok = write_object(json, path, err);
    cJSON_Delete(json);
    return ok;
}
