// The help over the screen, made from the table that dispatches keys and commands.
#pragma once

#include "tui/ui.h"

void help_draw(Ui *ui);
void help_key(Ui *ui, const Key *key);
