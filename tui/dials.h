// The dials apart from how they look: their values, whether they matter, and turning them.
#pragma once

#include "tui/ui.h"

extern const int dial_places[DIAL_COLUMNS][DIAL_ROWS]; // Dial or NO_DIAL

// For the target of the dials: all linears, the marked ones, or the selected one.
double dials_value(const Ui *ui, Dial dial);    // of the first of them
bool dials_mixed(const Ui *ui, Dial dial);      // they have several
bool dials_overridden(const Ui *ui, Dial dial); // the target has a value of its own
bool dials_matter(const Ui *ui, Dial dial);     // turning it changes something as the other dials stand
// What it does, in a sentence or a few words, or by which other dial it is not used.
void dials_about(const Ui *ui, Dial dial, bool brief, char *out, size_t size);
Dial dials_next(Dial from, int steps);            // in reading order, column by column
Dial dials_beside(Dial from, int columns);        // in another column, in the same row or the nearest above
int dials_named(const char *name, size_t length); // by option, recipe key or label; NO_DIAL when there is none
int dials_row(Dial dial);                         // of dial_places

void dials_set(Ui *ui, Dial dial, double value);
void dials_turn(Ui *ui, Dial dial, int steps, bool coarse);
void dials_reset(Ui *ui, Dial dial); // to the default, or without an override

// The settings of a dial that is no range, smallest first; 0 for a range.
#define DIAL_SETTINGS_MOST 16
int dial_settings(Dial dial, double *settings, int most);
// The place of a value on the dial's track, 0…1 (beyond 1 for values off the end), and the reverse, rounded to what a
// person would type.
double dial_share(Dial dial, double value);
double dial_at_share(Dial dial, double share);
