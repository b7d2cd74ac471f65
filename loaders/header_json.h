// A strict reader of JSON for the header of a safetensors file: it needs exact 64-bit integers, which a general JSON
// library does not give, and accepts what serde_json does. It goes from piece to piece; what is there in place of the
// one that is asked for is refused by file and byte.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

typedef struct HeaderText {
    const char *path;            // of the file, for messages
    const char *text, *at, *end; // UTF-8; what is read next
    // Storage of unescaped strings. An unescaped string with its NUL is shorter than its source with quotes, so as many
    // bytes as the text has are always enough.
    char *strings;
    size_t strings_used;
    Error *err;
} HeaderText;

bool header_refuse(const HeaderText *header, const char *reason); // at this place; returns false

void header_skip_space(HeaderText *header);
char header_peek(HeaderText *header); // the next character that is not white space, 0 at the end
bool header_accept(HeaderText *header, char wanted);
bool header_expect(HeaderText *header, char wanted, const char *reason);
// After an element of an array or object: true when another one follows; sets *ok to false when neither , nor the end
// is there.
bool header_another(HeaderText *header, char closing, bool *ok);

// Reads a string into the storage at strings_used, with a NUL behind it; the next string overwrites it unless it is
// kept.
bool header_string(HeaderText *header, char **out, size_t *length);
void header_keep(HeaderText *header, size_t length);
// A whole number as serde reads it into u64: no sign, no fraction, no exponent, no leading zero.
bool header_u64(HeaderText *header, uint64_t *out);
bool header_word(HeaderText *header, const char *word); // "null"
// Any value, checked but not kept. `depth` is the level that an array or object here would have.
bool header_skip_value(HeaderText *header, int depth);
