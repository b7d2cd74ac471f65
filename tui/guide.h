// Four lines at the first start that lead from the worst outlier to a saved recipe, and tick themselves off. They stand
// below the frame, or where there is no height for that, the next one in the place of the header.
#pragma once

#include "tui/ui.h"

void guide_begin(Ui *ui, bool first);   // first: nothing is known of an earlier start
void guide_toggle(Ui *ui, int unused);  // :guide
int guide_rows(const Ui *ui, int rows); // that it takes of a screen of so many rows
void guide_draw(Ui *ui);
