// tokenizer.json, or vocab.json with merges.txt: text ↔ token ids, equal to the tokenizers package.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cjson/cJSON.h>

#include "base/array.h"
#include "base/error.h"

typedef struct Tokenizer Tokenizer;

typedef struct TokenIds {
    int32_t *ids;
    size_t count, capacity;
} TokenIds;

// In the message of tokenizer_load when the folder has no tokenizer: the model still works with ids.
#define TOKENIZER_MISSING "there is no tokenizer.json"

// Reads tokenizer.json or vocab.json with merges.txt (GPT-2's format, OPT has it) of a folder, and
// tokenizer_config.json for the special tokens around a text; or what a GGUF file says instead. Parts that are not
// supported are refused by name.
bool tokenizer_load(const char *source, Tokenizer **out, Error *err);
// The same from the bytes of a tokenizer.json.
bool tokenizer_parse(const char *json, size_t length, Tokenizer **out, Error *err);
void tokenizer_free(Tokenizer *tokenizer);

size_t tokenizer_vocab_size(const Tokenizer *tokenizer); // largest id + 1

// Appends the ids of `length` bytes of UTF-8 text. add_special: what the post-processor adds (BOS). Not UTF-8: refused.
// Thread-safe on one tokenizer.
bool tokenizer_encode(const Tokenizer *tokenizer, const char *text, size_t length, bool add_special, TokenIds *out,
                      Error *err);

// The token that texts begin with: bos_token, else eos_token of tokenizer_config.json, else the first that the
// post-processor adds; −1 when there is none.
int32_t tokenizer_prefix(const Tokenizer *tokenizer);
// Whether the text itself begins with it. Measurements add no special tokens then (lm_eval's rule): the model would see
// the beginning twice.
bool tokenizer_has_prefix(const Tokenizer *tokenizer, const char *text, size_t length);

// The same for one part of a text that is encoded in several: special tokens before the text are added at its first
// part, those behind it at its last.
bool tokenizer_encode_part(const Tokenizer *tokenizer, const char *text, size_t length, bool begins, bool ends,
                           TokenIds *out, Error *err);

// Appends the decoded text. skip_special leaves special added tokens out. Ids outside the vocabulary are skipped.
bool tokenizer_decode(const Tokenizer *tokenizer, const int32_t *ids, size_t count, bool skip_special, Text *out,
                      Error *err);

// The bytes of one token as they join the stream (none for unknown ids), for showing tokens one by one; NUL-terminated,
// owned by the tokenizer. `length` may be NULL.
const char *tokenizer_token(const Tokenizer *tokenizer, int32_t id, size_t *length);

// The texts of bos_token, eos_token, unk_token, sep_token, pad_token, cls_token and mask_token, those that there are:
// what chat templates are given. NULL when nothing is known.
const cJSON *tokenizer_special(const Tokenizer *tokenizer);

// ---- What it is made of, for writing it in another format ----

typedef enum TokenKind {
    TOKEN_NONE,       // no token has this id
    TOKEN_ORDINARY,   // of the model's vocabulary
    TOKEN_ADDED,      // found in texts before everything else
    TOKEN_NORMALIZED, // such a one that is found in the normalized text
    TOKEN_SPECIAL,    // added, and stands for no text
} TokenKind;

// A token as the vocabulary writes it (which for byte-level models is not its text), NUL-terminated; "" for unknown
// ids.
const char *tokenizer_content(const Tokenizer *tokenizer, int32_t id, size_t *length, TokenKind *kind);

// tokenizer.json without its vocabulary, merges and added tokens: normalizer, pre_tokenizer, the model's options.
const cJSON *tokenizer_settings(const Tokenizer *tokenizer);

typedef struct TokenMerge {
    int32_t left, right, result;
} TokenMerge;

// The merges of a BPE model, the first ones first; none of other models. Owned by the caller (free).
bool tokenizer_merges(const Tokenizer *tokenizer, TokenMerge **out, size_t *count, Error *err);

void token_ids_free(TokenIds *ids);
