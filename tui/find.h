// Finding rows by what is typed, the same on every screen and in the list of overrides: what is sought is kept when
// another screen is shown.
#pragma once

#include "tui/ui.h"

bool find_set(Ui *ui, const char *text, Error *err); // a regular expression, or a glob of a linear's name; "": none
// To the next row that matches, or with `here` to this one if it does; false: none does.
bool find_step(Ui *ui, int direction, bool here);
// How many rows match, and how many of them up to the one under the cursor. False: there is too little memory.
bool find_count(Ui *ui, int *up_to_here, int *all);
int find_at(Ui *ui); // the row under the cursor
void find_return(Ui *ui, int row);
const char *find_rows(const Ui *ui); // what they are: "linear", "row", …
