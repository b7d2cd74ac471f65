// Which characters may be sent to a terminal: those whose width all terminals agree on. With one cell too many or too
// few, everything to the right would be in the wrong place, the frame included. All others are shown as U+FFFD, one
// cell each.
#pragma once

#include <stdbool.h>
#include <stddef.h>

#define CHARACTER_MOST 11 // bytes of a character with what combines with it; no more are taken together

// Length in bytes of the first character of UTF-8 text, with the marks that combine with it; its columns in *width.
// False in *agreed: U+FFFD stands for it. 0 at the end. Bytes that are not UTF-8 are one character each.
size_t character_length(const char *text, int *width, bool *agreed);
