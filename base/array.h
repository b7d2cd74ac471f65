// Memory and growable arrays. Counts are multiplied with overflow checks; nothing here aborts.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

// count × size bytes, zeroed, 64-byte aligned; NULL when the product overflows or memory is short. Free with free().
void *array_new(size_t count, size_t size);

// Makes room for one more element: doubles *data when length == *capacity. On failure *data is unchanged.
//   Item *items = NULL; size_t count = 0, capacity = 0;
//   if (!array_grow(&items, count, &capacity, sizeof *items)) return error_memory(err, "items");
//   items[count++] = …;
bool array_grow(void *data_pointer, size_t length, size_t *capacity, size_t size);

// A growing text. Starts as {0}; data is NUL-terminated once anything was added; free with text_free.
typedef struct Text {
    char *data;
    size_t length, capacity;
    bool failed; // memory was short at some point: the text is incomplete
} Text;

void text_add(Text *text, const char *bytes, size_t length);
void text_addf(Text *text, const char *format, ...) __attribute__((format(printf, 2, 3)));
void text_clear(Text *text);
void text_free(Text *text);

// A copy of `text` in which control characters (C0, DEL, C1) and malformed UTF-8 are replaced by U+FFFD ('?' when
// ascii), for names from files that go to a terminal or a message. Owned by the caller; NULL when memory is short.
char *text_printable(const char *text, size_t length, bool ascii);

// True when the bytes are well-formed UTF-8 (RFC 3629: no surrogates, no overlong forms).
bool text_is_utf8(const char *bytes, size_t length);

// Replaces bytes that are not well-formed UTF-8 with question marks, such as the rest of a character after a text was
// cut to the size of a buffer.
void text_mend(char *text);

// Length of the well-formed UTF-8 sequence at `bytes`, of which `left` may be read; 0 when there is none. *code gets
// its code point.
size_t utf8_read(const char *bytes, size_t left, uint32_t *code);

// What Python takes for white space.
bool utf8_is_white(uint32_t code);
// Bytes of a text without the white space at its end.
size_t utf8_stripped(const char *text, size_t length);

// Writes a code point as 1 to 4 bytes; returns how many.
size_t utf8_write(uint32_t code, char *out);
