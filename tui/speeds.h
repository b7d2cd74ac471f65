// How many times as fast as the base the present state decodes, over sequences side by side and context: a table over
// the screen, measured while it is shown.
#pragma once

#include "tui/ui.h"

void speeds_show(Ui *ui, int unused);
void speeds_draw(Ui *ui);
void speeds_key(Ui *ui, const Key *key);
