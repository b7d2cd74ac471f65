// Signals as bytes in a pipe, so that the event loop sees them beside keys; and a guard that gives the terminal back
// when the program crashes.
#pragma once

#include <stddef.h>
#include <termios.h>

#include "base/error.h"

bool signals_start(Error *err);
void signals_stop(void); // as it was before signals_start
int signals_fd(void);    // readable when signals_take has something to tell

typedef struct Signals {
    bool quit, suspend, resumed, resized;
} Signals;
Signals signals_take(void);
void signals_stop_self(void); // stops the process as Ctrl-Z does by default; returns when it is continued

// From now on a crash writes `farewell` to the terminal and restores `modes` before the program dies of it.
void crash_guard_start(int terminal, const struct termios *modes, const char *farewell, size_t length);
void crash_guard_stop(void);
