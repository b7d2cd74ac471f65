// The whole screen: draws its panes and what lies over them, and dispatches keys.
#pragma once

#include "tui/ui.h"

void screen_draw(Ui *ui);                // the whole frame, onto ui->canvas
void screen_key(Ui *ui, const Key *key); // what the user pressed, clicked or pasted
