// Names for the file of settings: of keys, and of what they do.
#pragma once

#include "tui/keys.h"
#include "tui/settings.h"

int key_named(const char *text); // "u", "ctrl-r", "pgup"; 0: there is no such key
const char *key_word(int code);  // "end", of those that are words; NULL: it is none
const char *key_words(void);     // those that are words, for a message

// Its command, or for what has none a name of its own; NULL: its keys cannot be changed. Rows that do the same in other
// places share it.
const char *binding_name(const Binding *binding);
int action_named(const char *name); // the first row of this name; −1: there is none
bool action_exists(const char *name);
const char *action_keys(const Settings *settings, const char *name); // as they are shown; "" when there is none
// The first change of keys of which one means something else in the same place; −1: they all agree.
int keys_disagree(const Settings *settings, Error *err);
