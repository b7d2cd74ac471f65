// The help over the screen, made from the table that dispatches keys and commands: what holds in the pane that has the
// keys, the colours and signs that are seen there, then everything else.
#pragma once

#include "tui/ui.h"

void help_draw(Ui *ui);
bool help_knows(const Ui *ui, const char *word); // some line of it holds that
void help_key(Ui *ui, const Key *key);
