// What a screen hands out: to the clipboard and to files.
#pragma once

#include "tui/ui.h"

void handout_copy(Ui *ui, int unused);        // what the keys are on: a row, the recipe, the texts, a verdict
void handout_copy_table(Ui *ui, int unused);  // the table as it is shown
void handout_ask(Ui *ui, int unused);         // a prompt asks for the file
void handout_write(Ui *ui, const char *path); // .csv, .md: the table; .svg: the figure. Never over another file
void handout_over(Ui *ui, const char *path);  // the same, even over another file
