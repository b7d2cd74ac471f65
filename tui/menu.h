// Lists to choose from, over the screen: columns to sort by, dials to sweep.
#pragma once

#include "tui/ui.h"

void menu_open(Ui *ui, int prompt); // PROMPT_SORT, PROMPT_SWEEP or PROMPT_SWEEP_SECOND
void menu_key(Ui *ui, int code);
void menu_click(Ui *ui, int item);
void menu_draw(Ui *ui, Rect line); // line: the one at the bottom
