// A tour that plays by itself: the table in demo.c says which keys are pressed and what is told beside them. The
// program under it is the real one, with the figures that it measures.
#pragma once

#include "tui/ui.h"

// pace: 1 is that of people who read; the larger, the slower. Nothing that the tour changes is kept.
void demo_start(Ui *ui, double pace);
// Does what is due; returns the seconds until the next thing is. *acted: something is to be drawn.
double demo_step(Ui *ui, bool *acted);
// A person presses a key: the tour ends. True when it was q, which ends the program, too.
bool demo_take_over(Ui *ui, const Key *key);
void demo_draw(
    Ui *ui); // the keys that are pressed and what they are for, over the line at the bottom or above a prompt
