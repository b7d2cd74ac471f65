// The Sweep screen: which dials are swept, the point under the cursor, and what its keys do. panel_sweep.c draws it.
#pragma once

#include "tui/ui.h"

void sweep_init(Ui *ui);
void sweep_open(Ui *ui);
void sweep_close(Ui *ui);
void sweep_update(Ui *ui); // the cursor stays among the points

// The point that stands for those of the same model: the recipe's own, or the first of them.
int sweep_stands_for(const Ui *ui, int point);
bool sweep_is_here(const Ui *ui, int point); // the recipe is as at this point
// KL of the point minus that of the recipe as it is, position by position; false where that cannot be told.
bool sweep_above_now(const Ui *ui, const SweepPoint *point, Difference *out);

void sweep_choose(Ui *ui, int point);
void sweep_move_across(Ui *ui, int steps); // along the only dial, or the first
void sweep_move_up(Ui *ui, int steps);     // along the second
void sweep_take(Ui *ui, int unused);
void sweep_choose_dial(Ui *ui, int which, int dial); // the first or the second (NO_DIAL: none)
void sweep_turn_axis(Ui *ui, int unused);
void sweep_stop(Ui *ui, int unused);
void sweep_measure(Ui *ui, int unused);     // what was put off
void sweep_named(Ui *ui, const char *text); // "alpha", "alpha=0.1,0.2 weight-bits"; "": goes to the screen
