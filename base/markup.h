// Texts for HTML and SVG, also those from files.
#pragma once

#include "base/array.h"

// Adds text as characters of a page: &, <, > and quotes escaped; control characters but line ends and tabs, and bytes
// that are not UTF-8, as U+FFFD.
void markup_add(Text *page, const char *text, size_t length);
void markup_text(Text *page, const char *text);
