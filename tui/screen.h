// The screens: which there are, going from one to another, drawing one with what lies over it, and dispatching keys.
#pragma once

#include "tui/ui.h"

typedef struct ScreenInfo {
    const char *title;
    void (*draw)(Ui *ui);  // below the header
    void (*open)(Ui *ui);  // NULL: nothing to do
    void (*close)(Ui *ui); // when another takes its place; NULL: nothing to do
    int panes;             // that one by one can have the whole frame (Ui.zoomed); Layers has its own (Zoom)
} ScreenInfo;

extern const ScreenInfo screen_table[SCREEN_COUNT]; // on the screen their numbers count from 1

void screen_go(Ui *ui, ScreenKind kind);
// The titles of all screens, on the upper edge of its first pane; only numbers where they find no room. Returns the
// column after them.
int screen_tabs_draw(Ui *ui, Rect line);

void screen_draw(Ui *ui);                // the whole frame, onto ui->canvas
void screen_key(Ui *ui, const Key *key); // what the user pressed, clicked or pasted
