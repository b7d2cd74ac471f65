// What each screen hands out (handout.h).
#pragma once

#include "tui/sheet.h"
#include "tui/ui.h"

typedef struct Handouts {
    void (*copy)(Ui *ui, Text *out, Text *what); // what the keys are on; nothing in `out`: there is nothing to copy
    void (*sheet)(Ui *ui, Sheet *sheet);         // its table
    void (*figure)(Ui *ui, Text *out);           // as SVG; NULL: it has none
} Handouts;

extern const Handouts handouts[SCREEN_COUNT];
