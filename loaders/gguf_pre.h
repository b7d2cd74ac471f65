// llama.cpp's names for the ways in which tokenizers of bytes cut texts (tokenizer.ggml.pre), with the steps of
// tokenizer.json that each stands for.
#pragma once

#include <stdbool.h>
#include <stddef.h>

// Kinds of tokens (tokenizer.ggml.token_type).
enum {
    GGUF_TOKEN_ORDINARY = 1,
    GGUF_TOKEN_UNKNOWN = 2,
    GGUF_TOKEN_CONTROL = 3,
    GGUF_TOKEN_USER = 4,
    GGUF_TOKEN_UNUSED = 5,
    GGUF_TOKEN_BYTE = 6,
};

// Steps, one per line: "byte level" (ByteLevel with GPT-2's pattern), "punctuation BEHAVIOR", else a pattern whose
// matches are pieces of their own (Split, Isolated). GGUF_PRE_ANY: one that is too long to be written here.
typedef struct GgufPre {
    const char *name, *steps;
    bool whole_words; // a piece that is a token is never cut (ignore_merges)
    bool begins;      // texts begin with BOS where the file does not say
    bool composes;    // the models have characters composed first (NFC), which llama.cpp leaves to others
} GgufPre;

#define GGUF_PRE_ANY "…\n"
#define GGUF_PRE_BYTES "byte level\n"
#define GGUF_PRE_PUNCTUATION "punctuation "

// Ends with a row without a name. Of several names for the same steps the first is written.
extern const GgufPre gguf_pres[];
