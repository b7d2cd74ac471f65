// Questions on the bottom line; which one is asked is ui->prompt (ui_ask).
#pragma once

#include "tui/ui.h"

// What stands between the prompt that models are given and what they write; "" where they go on with it.
const char *prompt_mark(const Ui *ui);
void prompt_preview(Ui *ui); // what the line would do, as it is now
void prompt_draw(Ui *ui);
void prompt_key(Ui *ui, const Key *key);     // also a click
void prompt_paste(Ui *ui, const char *text); // refuses it where no line is being edited
