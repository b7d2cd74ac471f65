// Keys that are given to other actions on the screen, and kept in the file of settings.
#pragma once

#include "tui/ui.h"

void rebind(Ui *ui, const char *text);      // "undo U", "page-up ctrl-u pgup"; "undo": says its keys
void rebind_back(Ui *ui, const char *name); // the keys that it has usually
void settings_show(Ui *ui, int unused);     // the file, what it says and what of it is not used
