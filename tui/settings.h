// What a user prefers, from $XDG_CONFIG_HOME/quantdial/config.json. docs/interface.md describes the file.
#pragma once

#include "base/array.h"
#include "base/json.h"
#include "tui/rows.h"
#include "tui/theme.h"

#define KEYS_OF_ACTION 3

// An action that has other keys than the table of keys says.
typedef struct KeyChange {
    char action[32];
    int codes[KEYS_OF_ACTION]; // 0: none
    char shown[40];            // "U Ctrl-U"
} KeyChange;

typedef struct Settings {
    ColorScheme theme;
    bool ascii, reverse, bell;
    int sort;      // a Column; −1: not said
    size_t tokens; // of the texts; 0: not said
    KeyChange *keys;
    int key_count;
    Text faults; // what of the file is not used: a line for each entry, with its place and the remedy
    int fault_count;
} Settings;

#define TEXT_TOKENS_MOST 4096

// What the file may say, by its keys.
typedef struct SettingInfo {
    const char *key, *help;
    bool (*read)(const cJSON *json, Settings *out, Error *err);
    void (*show)(const Settings *settings, char *out, size_t size); // as it is now
} SettingInfo;
extern const SettingInfo setting_table[];
extern const int setting_count;

Settings settings_default(void);
char *settings_path(void); // owned by the caller; NULL when neither XDG_CONFIG_HOME nor HOME is set
// Takes what is understood; the rest is left out and told in out->faults. Nothing is used of a file that is no JSON. A
// file that is not there leaves the defaults.
void settings_load(const char *path, Settings *out);
void settings_free(Settings *settings);

const KeyChange *settings_keys(const Settings *settings, const char *action); // NULL: it has those of the table
// Gives an action other keys, "U" or "ctrl-u pgup"; "": those of the table again. Refused, and nothing changed, when
// there is no such action or key, or when a key means something else where the action counts.
bool settings_bind(Settings *settings, const char *action, const char *keys, Error *err);
// Writes the keys that an action has into the file, and leaves all else in it as it is. The file is made when it is not
// there. Refused when it is no JSON object.
bool settings_keep_keys(const Settings *settings, const char *action, const char *path, Error *err);
