// The terminal interface.
#pragma once

#include "workbench/workbench.h"

typedef struct TuiOptions {
    bool ascii;              // no characters beyond ASCII
    bool mono;               // no colours (NO_COLOR does the same)
    bool light;              // colours for a light background, whatever COLORFGBG says
    double tour;             // its pace: 1 for people; 0: there is none
    const char *theme;       // its name, rather than what the settings say; NULL: not given
    bool tokens_given;       // the length of the texts was asked for, whatever the settings say
    bool prompt_given;       // and the prompt, whatever it was the last time
    bool fresh;              // begin without what is known of the last time
    const char *recipe_path; // where w writes by default; NULL: asks
} TuiOptions;

// Whether the screen can be shown: TERM names a terminal that can place the cursor, or one that is not known here,
// which then is taken for an xterm. err says why not.
bool tui_possible(Error *err);

// The file of settings, owned by the caller; NULL when there is no place for it. And what of it is not understood and
// so not used: a line for each entry, owned by the caller; NULL: nothing.
char *tui_settings_file(void);
char *tui_settings_faults(const char *path);

// Runs until the user quits; gives the terminal back in any case, also on signals and crashes. Refused, with the
// reason, when the terminal cannot be used.
bool tui_run(Workbench *workbench, const TuiOptions *options, Error *err);
