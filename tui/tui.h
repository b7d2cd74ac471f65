// The terminal interface.
#pragma once

#include "workbench/workbench.h"

typedef struct TuiOptions {
    bool ascii;              // no characters beyond ASCII
    bool mono;               // no colours (NO_COLOR does the same)
    bool light;              // colours for a light background, whatever COLORFGBG says
    double tour;             // its pace: 1 for people; 0: there is none
    const char *recipe_path; // where w writes by default; NULL: asks
} TuiOptions;

// Whether the screen can be shown: TERM names a terminal that can place the cursor, or one that is not known here,
// which then is taken for an xterm. err says why not.
bool tui_possible(Error *err);

// Runs until the user quits; gives the terminal back in any case, also on signals and crashes. Refused, with the
// reason, when the terminal cannot be used.
bool tui_run(Workbench *workbench, const TuiOptions *options, Error *err);
