// What a user prefers, from $XDG_CONFIG_HOME/quantdial/config.json. docs/interface.md describes the file.
#pragma once

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
} Settings;

#define TEXT_TOKENS_MOST 4096

Settings settings_default(void);
char *settings_path(void); // owned by the caller; NULL when neither XDG_CONFIG_HOME nor HOME is set
// A file that is not there leaves the defaults. Messages name the file and the place; *out holds the defaults then.
bool settings_load(const char *path, Settings *out, Error *err);
void settings_free(Settings *settings);

const KeyChange *settings_keys(const Settings *settings, const char *action); // NULL: it has those of the table
