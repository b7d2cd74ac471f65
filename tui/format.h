// Figures as short texts: for eyes, not for files.
#pragma once

#include <stdbool.h>
#include <stddef.h>

typedef struct Short {
    char text[40];
} Short;

// All give "–" for NAN.
Short format_bytes(double bytes); // "10.4 MB", decimal
Short format_count(double count); // "16k", "1.2M"
// At least so many significant digits, never an exponent between 0.001 and 10⁵: "412", "38.2", "13.1k".
Short format_figure(double value, int digits);
Short format_fixed(double value, int decimals);
// Decimals that show so many significant digits of it, at most `most`; 0 where even these show none.
int format_decimals(double value, int digits, int most);
Short format_ratio(double ratio);                                  // "3.42", "15.0", "120": always as short
Short format_percent(double share);                                // "97.6 %"
Short format_change(double value, int decimals, const char *unit); // "+0.012", "−0.3 MB"
Short format_seconds(double seconds);                              // "3 s", "1:20", "2:05 h"
Short format_decibel(double db);                                   // "38.1", "∞"
