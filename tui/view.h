// What of the Layers screen is seen: all panes or one of them on the whole frame, which of them has the keys, and which
// lines of the texts.
#pragma once

#include "tui/ui.h"

void view_arrange(Ui *ui); // after the size or the screen changed: where everything stands
// From all panes to the one that has the keys, from there to the next, and after the last one to all again; of any
// screen.
void view_zoom(Ui *ui, int unused);
bool view_can_zoom(const Ui *ui);       // there are several panes, or one that may have the whole frame
void view_whole(Ui *ui);                // all panes
void view_next_pane(Ui *ui, int steps); // gives the keys to another one; a zoomed one makes room for it
void view_scroll(Ui *ui, int lines);    // the texts
void view_scroll_page(Ui *ui, int pages);
void view_scroll_end(Ui *ui, int direction); // −1: their beginning
void view_length(Ui *ui, int direction);     // doubles or halves the tokens of the texts
void view_tokens(Ui *ui, const char *count); // ":tokens 200"
