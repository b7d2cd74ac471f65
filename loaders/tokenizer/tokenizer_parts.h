// The parts of a tokenizer, as the files of this folder share them. Order and meaning of the parts: tokenizers package
// (tokenizer/mod.rs).
#pragma once

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "base/json.h"
#include "loaders/tokenizer/tokenizer.h"

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
int32_t vocab_find_string(const Vocab *vocab, const char *string);       // of a JSON document (json_bytes)
// The same, but a known text's old id keeps it, for lists in which a text stands twice.
bool vocab_append(Vocab *vocab, const char *text, size_t length, int32_t id);
bool vocab_read(const cJSON *json, Vocab *out, Error *err); // {"text": id, …}
void vocab_free(Vocab *vocab);

// The ids of "<0x00>" to "<0xFF>", −1 when absent.
typedef struct ByteTokens {
    int32_t ids[256];
} ByteTokens;

ByteTokens vocab_byte_tokens(const Vocab *vocab);
bool byte_tokens_has_all(const ByteTokens *tokens, const char *bytes, size_t length);

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

// `source`, a string of a JSON document, in the syntax of Oniguruma (Ruby), which tokenizers uses; refused where PCRE2
// cannot do the same.
bool pattern_compile(const char *source, bool literal, Pattern *out, Error *err);
// {"String": …} or {"Regex": …} under the key "pattern"; `of` names what has it.
bool pattern_read(const cJSON *json, const char *of, Pattern *out, Error *err);
void pattern_free(Pattern *pattern);

// Cuts the text into matches and what lies between them, into scratch->matches.
bool pattern_cut(const Pattern *pattern, const char *text, size_t length, Scratch *scratch, Error *err);

// Appends the text with every match replaced.
bool pattern_replace(const Pattern *pattern, const Text *content, const char *text, size_t length, Scratch *scratch,
                     Text *out, Error *err);

// ---- characters ----

bool character_is_space(uint32_t code); // Unicode White_Space

// Parts of a tokenizer can be stacked so that each doubles the text: what grows beyond this is refused.
bool growth_check(size_t before, size_t after, Error *err);

// ---- pieces ----

typedef struct Piece {
    size_t at, length; // in Pieces.text
    bool at_start;     // stands where the text begins
} Piece;

typedef struct Pieces {
    Text text;
    Piece *items;
    size_t count, capacity;
} Pieces;

bool pieces_add(Pieces *pieces, const char *text, size_t length, bool at_start); // false: memory is short
void pieces_clear(Pieces *pieces);

// ---- normalizers: text → text ----

// What SentencePiece compiled from its rules: a trie of texts and what replaces them.
typedef struct Charsmap Charsmap;

bool charsmap_read(const char *base64, Charsmap **out, Error *err);
bool charsmap_apply(const Charsmap *map, const char *text, size_t length, Text *out); // false: memory is short
void charsmap_free(Charsmap *map);

typedef struct NormalizerStep {
    bool (*run)(const struct NormalizerStep *step, const char *text, size_t length, Scratch *scratch, Text *out,
                Error *err);
    int options;                    // utf8proc_option_t
    uint32_t (*map)(uint32_t code); // of each character
    bool left, right;               // Strip
    Text content;                   // Replace, Prepend: what comes in
    Pattern pattern;                // Replace
    Charsmap *charsmap;             // Precompiled
} NormalizerStep;

typedef struct Normalizer {
    NormalizerStep *steps;
    size_t count, capacity;
} Normalizer;

bool normalizer_read(const cJSON *json, Normalizer *out, Error *err);
// Replaces *out. scratch->start_lost tells whether what the text began with is gone.
bool normalizer_run(const Normalizer *normalizer, const char *text, size_t length, Scratch *scratch, Text *out,
                    Error *err);
void normalizer_free(Normalizer *normalizer);

// ---- pre-tokenizers: pieces → smaller pieces ----

typedef enum SplitBehavior {
    SPLIT_REMOVED,
    SPLIT_ISOLATED,
    SPLIT_MERGED_WITH_PREVIOUS,
    SPLIT_MERGED_WITH_NEXT,
    SPLIT_CONTIGUOUS
} SplitBehavior;

typedef enum PrependScheme { PREPEND_ALWAYS, PREPEND_FIRST, PREPEND_NEVER } PrependScheme;

// Metaspace, which is a pre-tokenizer and a decoder.
typedef struct Metaspace {
    char replacement[5]; // one character, "▁"
    PrependScheme scheme;
    bool split;
} Metaspace;

bool metaspace_read(const cJSON *json, Metaspace *out, Error *err);

typedef struct PreStep {
    bool (*run)(const struct PreStep *step, const Pieces *in, Pieces *out, Scratch *scratch, Error *err);
    Pattern pattern; // code NULL when the step uses none
    SplitBehavior behavior;
    bool invert, add_prefix_space;
    Metaspace metaspace;
} PreStep;

typedef struct PreTokenizer {
    PreStep *steps;
    size_t count, capacity;
} PreTokenizer;

bool pretokenizer_read(const cJSON *json, PreTokenizer *out, Error *err);
// The result stays in the scratch until the next call. at_start: the text stands where the whole text begins.
bool pretokenizer_run(const PreTokenizer *pre, const char *text, size_t length, bool at_start, Scratch *scratch,
                      const Pieces **out, Error *err);
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
    bool (*merges)(const void *model, TokenMerge **out, size_t *count, Error *err); // NULL: it has none
} ModelKind;

extern const ModelKind bpe_model, unigram_model, wordlevel_model;

bool token_ids_add(TokenIds *ids, int32_t id); // false: memory is short
bool token_ids_join(TokenIds *to, const TokenIds *more, Error *err);

// ---- added tokens: found in the text before everything else ----

typedef struct AddedToken {
    Text content, wanted; // what is looked for: the content, normalized when `normalized`
    int32_t id;
    bool special, normalized, lstrip, rstrip, single_word;
} AddedToken;

typedef struct AddedTokens {
    AddedToken *items;
    size_t count, capacity;
    Vocab index;  // content → place in items
    int32_t last; // the largest id
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
int32_t added_tokens_id(const AddedTokens *tokens, const Vocab *vocab, const char *string); // −1 when neither has it
bool added_tokens_special(const AddedTokens *tokens, const char *content, size_t length);
// Appends the sections of the text to *sections.
typedef struct Sections {
    Section *items;
    size_t count, capacity;
} Sections;
bool added_tokens_find(const AddedTokens *tokens, bool normalized, const char *text, size_t length, Sections *out,
                       Error *err);
void added_tokens_free(AddedTokens *tokens);

// ---- post-processors: what stands around the text ----

typedef struct Template {
    TokenIds before, after;
} Template;

bool template_read(const cJSON *json, Template *out, Error *err);
void template_free(Template *template);

// ---- decoders: tokens → texts that are joined ----

typedef struct DecoderStep {
    // alone: one token is shown by itself, so nothing is taken off at the ends, and bytes need not make characters.
    bool (*run)(const struct DecoderStep *step, bool alone, const Pieces *in, Pieces *out, Scratch *scratch,
                Error *err);
    Pattern pattern; // Replace
    Text content;    // Replace
    Metaspace metaspace;
    uint32_t character; // Strip
    size_t start, stop; // Strip: how many at most
} DecoderStep;

typedef struct Decoder {
    DecoderStep *steps;
    size_t count, capacity;
} Decoder;

bool decoder_read(const cJSON *json, Decoder *out, Error *err);
// Takes the tokens in scratch->pieces[0]; the result stays in the scratch until the next call.
bool decoder_run(const Decoder *decoder, bool alone, Scratch *scratch, const Pieces **out, Error *err);
void decoder_free(Decoder *decoder);

// ---- folders ----

// What a folder says about its tokenizer.
typedef struct TokenizerSource {
    cJSON *document; // tokenizer.json, or what vocab.json and merges.txt amount to, with all added tokens
    cJSON *config;   // tokenizer_config.json with what the files beside it say; an empty object when there is none
    char class[64];  // "GPT2Tokenizer": without "Fast"; "" when unknown
    bool from_vocab;
} TokenizerSource;

bool tokenizer_source_read(const char *folder, TokenizerSource *out, Error *err);
void tokenizer_source_free(TokenizerSource *source); // also after a failure

// Some tokenizer classes of transformers make the template themselves, from tokenizer_config.json: then replaces *out.
bool template_from_source(const TokenizerSource *source, const AddedTokens *added, const Vocab *vocab, Template *out,
                          Error *err);
// An object with the texts of the special tokens that have a name; NULL when memory is short.
cJSON *tokenizer_source_special(const TokenizerSource *source);
// The id of bos_token, else of eos_token, else −1.
int32_t tokenizer_source_prefix(const TokenizerSource *source, const AddedTokens *added, const Vocab *vocab);

// Appends to the document's added tokens those of tokenizer_config.json, special_tokens_map.json and added_tokens.json
// (NULL: not there). The configuration gets what the map says about special tokens.
bool special_tokens_add(cJSON *config, const cJSON *map, const cJSON *added, cJSON *document, Error *err);

// ---- one call's memory ----

// A place in a piece, reached the best way (Unigram): the last token on it, and where that begins.
typedef struct BestPath {
    double score;
    int32_t id;
    uint32_t start; // UINT32_MAX: not reached yet
    uint32_t end;   // where the token of the best way through the whole piece ends that begins here
} BestPath;

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
    bool start_lost; // by the normalizer
    Sections raw, inner;
    Symbol *symbols;
    size_t symbol_count, symbol_capacity;
    Merge *heap;
    size_t heap_count, heap_capacity;
    BestPath *paths;
    size_t path_capacity;
};

bool scratch_init(Scratch *scratch, Error *err);
void scratch_free(Scratch *scratch);
