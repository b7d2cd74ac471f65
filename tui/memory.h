// How the screen was left, kept for each model in $XDG_STATE_HOME/quantdial/sessions, and restored at the next start:
// order, filter, marks, selection, screen, dial, prompt, length of the texts, the pin, what Convert wrote to, and the
// recipe last saved or loaded if its file is as it was. Unsaved changes of the
// recipe are kept elsewhere (workbench/unsaved.h).
#pragma once

#include "tui/ui.h"

// As far as the file goes: what is not there or not understood stays as it is. prompt, tokens: these, too.
void memory_restore(Ui *ui, bool prompt, bool tokens);
bool memory_keep(const Ui *ui, Error *err);
