// What a model wrote after a prompt, token by token.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct DecodeText {
    bool known; // something was generated for this turn
    bool finished;
    char *text; // "" at first
    int32_t *ids;
    float *probabilities; // that the model gave each token
    size_t *ends;         // bytes of the text up to the end of each token
    size_t count;         // of tokens
} DecodeText;

void decode_text_free(DecodeText *d);
// Replaces *to by a copy of *from; keeps the old one, and returns false, when memory is short.
bool decode_text_copy(const DecodeText *from, DecodeText *to);
// The first token that differs, or the shorter count when none does.
size_t decode_text_difference(const DecodeText *a, const DecodeText *b);
