// A log of what happens behind the screen. QUANTDIAL_LOG=1 turns it on.
//
//     log_line("%s: read from the cache", name);        →   quantdial 0.183 weights-….stats: read from the cache
#pragma once

#include <stdbool.h>

bool log_on(void);
// One line on stderr, with the seconds since the first; nothing when it is off. From any thread.
void log_line(const char *format, ...) __attribute__((format(printf, 1, 2)));
// While the screen has the terminal, lines that would go to a terminal are added to the file "log" in folder_state().
void log_screen(bool up);
