// Ways for text to the clipboard.
#pragma once

#include "base/array.h"

// OSC 52: the terminal itself is asked to take it, wherever the program runs. In GNU screen (STY is set), so that
// screen passes it on.
void clipboard_sequence(const char *text, size_t length, Text *out);
// Gives it to the tmux that the program runs in, whose buffer it becomes and which passes it on to the terminal. False
// when there is none, or when it is too old for that.
bool clipboard_tmux(const char *text, size_t length);
