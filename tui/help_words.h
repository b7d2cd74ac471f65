// What the help says beside keys: words of the screen and of other programs, colours and signs.
#pragma once

#include "tui/ui.h"

typedef struct HelpWord {
    const char *word, *meaning;
    const char *also; // what else it is called, to be found by; NULL: nothing
} HelpWord;
extern const HelpWord help_words[]; // what the screen says without explaining it
extern const int help_word_count;
extern const HelpWord help_elsewhere[]; // what other programs have: what here corresponds, or that it is not here
extern const int help_elsewhere_count;

// A sign as it is drawn. screens: a bit for each where it is seen; 0: all.
typedef struct HelpSign {
    const char *sign, *meaning;
    Style style;
    unsigned screens;
} HelpSign;
extern const HelpSign help_signs[];
extern const int help_sign_count;
