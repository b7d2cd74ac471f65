// The parts of a tokenizer, as the files tokenizer_*.c share them. Order and meaning of the parts: tokenizers package
// (tokenizer/mod.rs).
#pragma once

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "base/json.h"
#include "loaders/tokenizer.h"

// Refuses a part of tokenizer.json by name: `the normalizer "X" is not supported; supported: …`.
bool tokenizer_refuse(const char *part, const char *type, const char *supported, Error *err);

// ---- names ↔ ids ----

typedef struct VocabEntry {
    uint32_t at, length; // in bytes.data
    int32_t id;
} VocabEntry;

// Texts (any bytes) → ids ≥ 0.
typedef struct Vocab {
    Text bytes;
    VocabEntry *entries;
    size_t count, capacity;
    uint32_t *slots; // open addressing: index + 1 into entries, 0 = empty
    size_t slot_count;
} Vocab;

bool vocab_add(Vocab *vocab, const char *text, size_t length,
               int32_t id); // false: memory is short; a known text gets the new id
int32_t vocab_find(const Vocab *vocab, const char *text, size_t length); // −1 when absent
void vocab_free(Vocab *vocab);

// ---- regular expressions ----

typedef struct Pattern {
    pcre2_code *code;
} Pattern;

typedef struct Match {
    size_t start, end;
    bool is_match; // false: what lies between matches
} Match;

// Growing buffers of one call, so that pieces cost no allocation.
typedef struct Scratch Scratch;

// `source` in the syntax of Oniguruma (Ruby), which tokenizers uses; refused where PCRE2 cannot do the same.
bool pattern_compile(const char *source, bool literal, Pattern *out, Error *err);
void pattern_free(Pattern *pattern);

// Cuts the text into matches and what lies between them, into scratch->matches.
bool pattern_cut(const Pattern *pattern, const char *text, size_t length, Scratch *scratch, Error *err);

// ---- pieces ----

typedef struct Piece {
    size_t at, length; // in Pieces.text
} Piece;

typedef struct Pieces {
    Text text;
    Piece *items;
    size_t count, capacity;
} Pieces;

bool pieces_add(Pieces *pieces, const char *text, size_t length); // empty ones are dropped; false: memory is short
void pieces_clear(Pieces *pieces);
void pieces_free(Pieces *pieces);

// ---- normalizers: text → text ----

typedef struct NormalizerStep {
    bool (*run)(const struct NormalizerStep *step, const char *text, size_t length,
                Text *out); // false: memory is short
    int options;            // utf8proc_option_t
} NormalizerStep;

typedef struct Normalizer {
    NormalizerStep *steps;
    size_t count, capacity;
} Normalizer;

bool normalizer_read(const cJSON *json, Normalizer *out, Error *err);
bool normalizer_run(const Normalizer *normalizer, const char *text, size_t length, Text *out,
                    Error *err); // replaces *out
void normalizer_free(Normalizer *normalizer);

// ---- pre-tokenizers: pieces → smaller pieces ----

typedef enum SplitBehavior {
    SPLIT_REMOVED,
    SPLIT_ISOLATED,
    SPLIT_MERGED_WITH_PREVIOUS,
    SPLIT_MERGED_WITH_NEXT,
    SPLIT_CONTIGUOUS
} SplitBehavior;

typedef struct PreStep {
    bool (*run)(const struct PreStep *step, const Pieces *in, Pieces *out, Scratch *scratch, Error *err);
    Pattern pattern; // code NULL when the step uses none
    SplitBehavior behavior;
    bool invert, add_prefix_space;
} PreStep;

typedef struct PreTokenizer {
    PreStep *steps;
    size_t count, capacity;
} PreTokenizer;

bool pretokenizer_read(const cJSON *json, PreTokenizer *out, Error *err);
// The result stays in the scratch until the next call.
bool pretokenizer_run(const PreTokenizer *pre, const char *text, size_t length, Scratch *scratch, const Pieces **out,
                      Error *err);
void pretokenizer_free(PreTokenizer *pre);

// ByteLevel's alphabet: every byte as a visible character.
uint32_t byte_level_code(unsigned char byte);
int byte_level_byte(uint32_t code); // −1 when the character stands for no byte

// ---- models: piece → ids ----

// One row per model type; a new type is a new row.
typedef struct ModelKind {
    const char *type; // "BPE"
    bool (*read)(const cJSON *json, void **model, Error *err);
    void (*free)(void *model);
    const Vocab *(*vocab)(const void *model);
    bool (*encode)(const void *model, const char *piece, size_t length, Scratch *scratch, TokenIds *out, Error *err);
} ModelKind;

extern const ModelKind bpe_model;

bool token_ids_add(TokenIds *ids, int32_t id); // false: memory is short

// ---- added tokens: found in the text before everything else ----

typedef struct AddedToken {
    char *content; // owned
    char *wanted;  // what is looked for: the content, normalized when `normalized`; owned
    size_t length; // of wanted
    int32_t id;
    bool special, normalized, lstrip, rstrip, single_word;
} AddedToken;

typedef struct AddedTokens {
    AddedToken *items;
    size_t count, capacity;
    // Indices into items, [0] looked for in the raw text, [1] in normalized text: by first byte, longest first.
    uint32_t *order[2];
    uint32_t first[2][257]; // the range of order[] whose tokens start with a byte
} AddedTokens;

typedef struct Section {
    int32_t id; // −1: ordinary text
    size_t start, end;
} Section;

bool added_tokens_read(const cJSON *json, const Vocab *vocab, const Normalizer *normalizer, AddedTokens *out,
                       Error *err);
// Appends the sections of the text to *sections.
typedef struct Sections {
    Section *items;
    size_t count, capacity;
} Sections;
bool added_tokens_find(const AddedTokens *tokens, bool normalized, const char *text, size_t length, Sections *out,
                       Error *err);
void added_tokens_free(AddedTokens *tokens);

// ---- one call's memory ----

typedef struct Symbol {
    int32_t id, previous, next; // −1 at the ends; id −1 once merged away
} Symbol;

typedef struct Merge {
    uint32_t rank, at;
    int32_t id;
} Merge;

struct Scratch {
    pcre2_match_data *match_data;
    Match *matches;
    size_t match_count, match_capacity;
    Pieces pieces[2];
    Text normalized;
    Sections raw, inner;
    Symbol *symbols;
    size_t symbol_count, symbol_capacity;
    Merge *heap;
    size_t heap_count, heap_capacity;
};
