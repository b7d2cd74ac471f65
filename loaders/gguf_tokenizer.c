// The tokenizer in the keys of a GGUF file, as tokenizer.json and tokenizer_config.json. Two kinds are read: "gpt2",
// merges of bytes; and "llama", whose merges follow from a score per token (SentencePiece's BPE).
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "loaders/gguf_documents.h"
#include "loaders/gguf_pre.h"
#include "loaders/tokenizer/tokenizer.h"

#define KEYS "tokenizer.ggml."
enum { MOST_TOKENS = 1 << 24 };

typedef struct TokenList {
    const Gguf *gguf;
    const GgufValue *types, *scores;
    const char **texts; // [count], not NUL-terminated
    size_t *lengths;
    size_t count;
} TokenList;

// ---- Keys ----

static const GgufValue *key_of(const Gguf *gguf, const char *key) { return gguf_value(gguf, KEYS, key); }

static void text_of(const Gguf *gguf, const char *key, char *out, size_t size) {
    const GgufValue *value = key_of(gguf, key);
    const uint8_t *at = value ? value->data : NULL;
    const char *text;
    size_t length;
    *out = '\0';
    if (gguf_value_text(value, &at, &text, &length) && length < size) snprintf(out, size, "%.*s", (int)length, text);
}

static bool is_true(const Gguf *gguf, const char *key, bool missing) {
    double value;
    return gguf_value_number(key_of(gguf, key), 0, &value) ? value != 0 : missing;
}

static int type_of(const TokenList *tokens, size_t id) {
    double type;
    const bool known = gguf_value_number(tokens->types, id, &type) && type >= 0 && type <= GGUF_TOKEN_BYTE;
    return known ? (int)type : GGUF_TOKEN_ORDINARY;
}

// −1: there is none.
static int32_t special_id(const TokenList *tokens, const char *key, int32_t missing) {
    double id;
    if (!gguf_value_number(key_of(tokens->gguf, key), 0, &id)) id = missing;
    return id >= 0 && id < (double)tokens->count && tokens->lengths[(size_t)id] ? (int32_t)id : -1;
}

// ---- Tokens ----

static void tokens_free(TokenList *tokens) {
    free(tokens->texts);
    free(tokens->lengths);
}

static bool tokens_read(const Gguf *gguf, TokenList *out, Error *err) {
    const GgufValue *list = key_of(gguf, "tokens");
    *out = (TokenList){.gguf = gguf, .types = key_of(gguf, "token_type"), .scores = key_of(gguf, "scores")};
    if (!list || !list->count || list->count > MOST_TOKENS)
        return error_set(err, TOKENIZER_MISSING ", nor a list of tokens in the file; without it only token ids work");
    out->texts = array_new((size_t)list->count, sizeof *out->texts);
    out->lengths = array_new((size_t)list->count, sizeof *out->lengths);
    if (!out->texts || !out->lengths) return error_memory(err, "the vocabulary");
    const uint8_t *at = list->data;
    while (gguf_value_text(list, &at, &out->texts[out->count], &out->lengths[out->count])) {
        const size_t length = out->lengths[out->count];
        if (!text_is_utf8(out->texts[out->count], length) || length > INT32_MAX / 4)
            return error_set(err, "token %zu is not UTF-8", out->count);
        out->count++;
        if (out->count == list->count) return true;
    }
    return error_set(err, KEYS "tokens must be a list of texts");
}

static cJSON *string_of(const TokenList *tokens, int32_t id) {
    return json_from_bytes(tokens->texts[id], tokens->lengths[id]);
}

// Ids that stand for no text have a name in the file, which is not looked for.
static bool is_used(const TokenList *tokens, size_t id) {
    return tokens->lengths[id] && type_of(tokens, id) != GGUF_TOKEN_UNUSED;
}

static bool add_vocab(const TokenList *tokens, cJSON *model) {
    cJSON *vocab = cJSON_AddObjectToObject(model, "vocab");
    for (size_t id = 0; vocab && id < tokens->count; id++) {
        if (!is_used(tokens, id)) continue;
        cJSON *text = string_of(tokens, (int32_t)id);
        if (text) cJSON_AddItemToObject(vocab, text->valuestring, cJSON_CreateNumber((double)id));
        cJSON_Delete(text);
        if (!text) return false;
    }
    return vocab != NULL;
}

// What is found in texts before everything else.
static bool add_added_tokens(const TokenList *tokens, cJSON *document) {
    cJSON *list = cJSON_AddArrayToObject(document, "added_tokens");
    for (size_t id = 0; list && id < tokens->count; id++) {
        const int type = type_of(tokens, id);
        const bool special = type == GGUF_TOKEN_CONTROL || type == GGUF_TOKEN_UNKNOWN;
        if (!tokens->lengths[id] || (!special && type != GGUF_TOKEN_USER)) continue;
        cJSON *token = cJSON_CreateObject(), *text = string_of(tokens, (int32_t)id);
        cJSON_AddItemToArray(list, token);
        if (!text || !cJSON_AddItemToObject(token, "content", text)) return false;
        cJSON_AddNumberToObject(token, "id", (double)id);
        cJSON_AddBoolToObject(token, "special", special);
        static const char *const flags[] = {"normalized", "lstrip", "rstrip", "single_word"}; // all are needed
        for (size_t i = 0; i < sizeof flags / sizeof *flags; i++) cJSON_AddBoolToObject(token, flags[i], false);
    }
    return list != NULL;
}

// ---- Merges ----

static bool copy_merges(const Gguf *gguf, cJSON *model, Error *err) {
    const GgufValue *list = key_of(gguf, "merges");
    cJSON *merges = cJSON_AddArrayToObject(model, "merges");
    const uint8_t *at = list ? list->data : NULL;
    const char *text;
    size_t length;
    while (gguf_value_text(list, &at, &text, &length)) {
        if (!text_is_utf8(text, length)) return error_set(err, "a merge is not UTF-8");
        cJSON_AddItemToArray(merges, json_from_bytes(text, length));
    }
    return merges || error_memory(err, "merges");
}

typedef struct ScoredMerge {
    double score;
    int32_t id;    // of the token that it makes
    uint32_t left; // bytes of its first part
} ScoredMerge;

typedef struct ScoredMerges {
    ScoredMerge *items;
    size_t count, capacity;
} ScoredMerges;

static int compare_merges(const void *a, const void *b) {
    const ScoredMerge *x = a, *y = b;
    if (x->score != y->score) return x->score > y->score ? -1 : 1;
    if (x->id != y->id) return x->id < y->id ? -1 : 1;
    return (x->left > y->left) - (x->left < y->left);
}

// All tokens, by their texts.
typedef struct SortedTokens {
    const TokenList *tokens;
    int32_t *ids;
    size_t count;
} SortedTokens;

static int compare_texts(const char *a, size_t n, const char *b, size_t m) {
    const int order = memcmp(a, b, n < m ? n : m);
    return order ? order : (n > m) - (n < m);
}

static int compare_ids(const void *a, const void *b, void *list) {
    const TokenList *tokens = list;
    const int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
    return compare_texts(tokens->texts[x], tokens->lengths[x], tokens->texts[y], tokens->lengths[y]);
}

static bool has_token(const SortedTokens *sorted, const char *text, size_t length) {
    size_t low = 0, high = sorted->count;
    while (low < high) {
        const size_t middle = (low + high) / 2;
        const int32_t id = sorted->ids[middle];
        const int order = compare_texts(sorted->tokens->texts[id], sorted->tokens->lengths[id], text, length);
        if (!order) return true;
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return false;
}

// Every way of making a token from two others. Texts have no spaces where they are cut, so those with one take no part.
static bool add_ways(const SortedTokens *sorted, int32_t id, ScoredMerges *out) {
    const char *text = sorted->tokens->texts[id];
    const size_t length = sorted->tokens->lengths[id];
    double score = 0;
    gguf_value_number(sorted->tokens->scores, (uint64_t)id, &score);
    if (memchr(text, ' ', length)) return true;
    for (size_t i = 1; i < length; i++) {
        if (((unsigned char)text[i] & 0xC0) == 0x80 || !has_token(sorted, text, i) ||
            !has_token(sorted, text + i, length - i))
            continue;
        if (!array_grow(&out->items, out->count, &out->capacity, sizeof *out->items)) return false;
        out->items[out->count++] = (ScoredMerge){score, id, (uint32_t)i};
    }
    return true;
}

static bool find_merges(const TokenList *tokens, ScoredMerges *out) {
    SortedTokens sorted = {.tokens = tokens, .ids = array_new(tokens->count, sizeof *sorted.ids)};
    bool ok = sorted.ids;
    for (size_t id = 0; ok && id < tokens->count; id++)
        if (is_used(tokens, id)) sorted.ids[sorted.count++] = (int32_t)id;
    if (ok && sorted.count) qsort_r(sorted.ids, sorted.count, sizeof *sorted.ids, compare_ids, (void *)tokens);
    for (size_t id = 0; ok && id < tokens->count; id++)
        ok = !is_used(tokens, id) || add_ways(&sorted, (int32_t)id, out);
    free(sorted.ids);
    return ok;
}

static bool write_merges(const TokenList *tokens, const ScoredMerges *merges, cJSON *model) {
    cJSON *list = cJSON_AddArrayToObject(model, "merges");
    Text line = {0};
    for (size_t i = 0; i < merges->count; i++) {
        const ScoredMerge *merge = &merges->items[i];
        const char *text = tokens->texts[merge->id];
        text_clear(&line);
        text_add(&line, text, merge->left);
        text_add(&line, " ", 1);
        text_add(&line, text + merge->left, tokens->lengths[merge->id] - merge->left);
        if (line.failed) break;
        cJSON_AddItemToArray(list, json_from_bytes(line.data, line.length));
    }
    const bool ok = list && !line.failed;
    text_free(&line);
    return ok;
}

// The pair that makes the token of the highest score is merged first.
static bool make_merges(const TokenList *tokens, cJSON *model, Error *err) {
    ScoredMerges merges = {0};
    bool ok = find_merges(tokens, &merges);
    if (ok && merges.count) qsort(merges.items, merges.count, sizeof *merges.items, compare_merges);
    ok = ok && write_merges(tokens, &merges, model);
    free(merges.items);
    return ok || error_memory(err, "merges");
}

// ---- Parts around the model ----

static cJSON *add_part(cJSON *list, const char *type) {
    cJSON *part = cJSON_CreateObject();
    cJSON_AddStringToObject(part, "type", type);
    cJSON_AddItemToArray(list, part);
    return part;
}

// {"type": "Sequence", NAME: [the parts]}.
static cJSON *add_sequence(cJSON *document, const char *key, const char *name) {
    cJSON *sequence = cJSON_AddObjectToObject(document, key);
    cJSON_AddStringToObject(sequence, "type", "Sequence");
    return cJSON_AddArrayToObject(sequence, name);
}

static void add_pattern(cJSON *part, const char *kind, const char *pattern) {
    cJSON_AddStringToObject(cJSON_AddObjectToObject(part, "pattern"), kind, pattern);
}

static void add_replace(cJSON *list, const char *pattern, const char *content) {
    cJSON *part = add_part(list, "Replace");
    add_pattern(part, "String", pattern);
    cJSON_AddStringToObject(part, "content", content);
}

static void set_byte_level(cJSON *part, bool cuts) {
    cJSON_AddBoolToObject(part, "add_prefix_space", false);
    cJSON_AddBoolToObject(part, "trim_offsets", true);
    cJSON_AddBoolToObject(part, "use_regex", cuts);
}

static void add_step(cJSON *list, char *step) {
    const size_t punctuation = strlen(GGUF_PRE_PUNCTUATION);
    if (strncmp(step, GGUF_PRE_PUNCTUATION, punctuation) == 0) {
        cJSON_AddStringToObject(add_part(list, "Punctuation"), "behavior", step + punctuation);
        return;
    }
    cJSON *part = add_part(list, "Split");
    add_pattern(part, "Regex", step);
    cJSON_AddStringToObject(part, "behavior", "Isolated");
    cJSON_AddBoolToObject(part, "invert", false);
}

// False: a step is not known.
static bool add_steps(const GgufPre *pre, cJSON *list) {
    char *steps = strdup(pre->steps), *rest = steps, *step;
    bool known = steps && !strstr(steps, GGUF_PRE_ANY), bytes = false;
    while (known && (step = strsep(&rest, "\n")) && *step) {
        const bool is_bytes = strncmp(step, GGUF_PRE_BYTES, strlen(step)) == 0;
        if (is_bytes)
            set_byte_level(add_part(list, "ByteLevel"), true);
        else
            add_step(list, step);
        bytes = bytes || is_bytes;
    }
    if (!bytes) set_byte_level(add_part(list, "ByteLevel"), false);
    free(steps);
    return known;
}

static bool refuse_name(const char *part, const char *name, const char *supported, Error *err) {
    char *shown = text_printable(name, strlen(name), false);
    error_set(err, "the %s \"%.60s\" is not supported; supported: %s", part, shown ? shown : "?", supported);
    free(shown);
    return false;
}

static const GgufPre *find_pre(const Gguf *gguf, char *name, size_t size) {
    const GgufPre *pre = gguf_pres;
    text_of(gguf, "pre", name, size);
    if (!*name) snprintf(name, size, "default");
    while (pre->name && strcmp(pre->name, name) != 0) pre++;
    return pre;
}

static bool add_bytes(const TokenList *tokens, cJSON *document, Error *err) {
    char name[64];
    const GgufPre *pre = find_pre(tokens->gguf, name, sizeof name);
    cJSON *model = cJSON_GetObjectItemCaseSensitive(document, "model");
    if (!pre->name || !add_steps(pre, add_sequence(document, "pre_tokenizer", "pretokenizers")))
        return refuse_name("way of cutting texts (" KEYS "pre)", name,
                           "those of GPT-2, Llama 3, Qwen, SmolLM, Mistral (tekken), GPT-4o, DeepSeek 3 and Falcon",
                           err);
    if (pre->composes) add_part(add_sequence(document, "normalizer", "normalizers"), "NFC");
    cJSON *decoder = cJSON_AddObjectToObject(document, "decoder");
    cJSON_AddStringToObject(decoder, "type", "ByteLevel");
    set_byte_level(decoder, true);
    cJSON_AddBoolToObject(model, "ignore_merges", pre->whole_words);
    return copy_merges(tokens->gguf, model, err);
}

static bool add_spaces(const TokenList *tokens, cJSON *document, Error *err) {
    const bool prefix = is_true(tokens->gguf, "add_space_prefix", true);
    const int32_t unknown = special_id(tokens, "unknown_token_id", 0);
    cJSON *model = cJSON_GetObjectItemCaseSensitive(document, "model");
    cJSON *normalizers = add_sequence(document, "normalizer", "normalizers");
    cJSON *decoders = add_sequence(document, "decoder", "decoders");
    if (prefix) cJSON_AddStringToObject(add_part(normalizers, "Prepend"), "prepend", "▁");
    add_replace(normalizers, " ", "▁");
    add_replace(decoders, "▁", " ");
    add_part(decoders, "ByteFallback");
    add_part(decoders, "Fuse");
    cJSON *strip = prefix ? add_part(decoders, "Strip") : NULL;
    cJSON_AddStringToObject(strip, "content", " ");
    cJSON_AddNumberToObject(strip, "start", 1);
    cJSON_AddNumberToObject(strip, "stop", 0);
    cJSON_AddBoolToObject(model, "byte_fallback", true);
    cJSON_AddBoolToObject(model, "fuse_unk", true);
    if (unknown >= 0) cJSON_AddItemToObject(model, "unk_token", string_of(tokens, unknown));
    return make_merges(tokens, model, err);
}

// ---- Special tokens ----

static const struct {
    const char *kind;
    bool (*add)(const TokenList *tokens, cJSON *document, Error *err);
    int32_t bos, eos; // where the file does not say; −1: none
} kinds[] = {{"gpt2", add_bytes, -1, -1}, {"llama", add_spaces, 1, 2}};
enum { KINDS = sizeof kinds / sizeof *kinds };

// KINDS: it is not read.
static int kind_of(const Gguf *gguf, char *name, size_t size) {
    int kind = 0;
    text_of(gguf, "model", name, size);
    while (kind < KINDS && strcmp(kinds[kind].kind, name) != 0) kind++;
    return kind;
}

static void add_piece(cJSON *list, const char *kind, const char *id, int type) {
    cJSON *item = cJSON_CreateObject(), *piece = cJSON_AddObjectToObject(item, kind);
    cJSON_AddStringToObject(piece, "id", id);
    cJSON_AddNumberToObject(piece, "type_id", type);
    cJSON_AddItemToArray(list, item);
}

static void add_special(const TokenList *tokens, int32_t id, cJSON *single, cJSON *specials) {
    char name[16];
    snprintf(name, sizeof name, "%d", id);
    add_piece(single, "SpecialToken", name, 0);
    if (cJSON_GetObjectItemCaseSensitive(specials, name)) return;
    cJSON *special = cJSON_AddObjectToObject(specials, name);
    cJSON_AddStringToObject(special, "id", name);
    cJSON_AddItemToArray(cJSON_AddArrayToObject(special, "ids"), cJSON_CreateNumber(id));
    cJSON_AddItemToArray(cJSON_AddArrayToObject(special, "tokens"), string_of(tokens, id));
}

static void add_template(const TokenList *tokens, int kind, cJSON *document) {
    char name[64];
    const bool begins = kind ? true : find_pre(tokens->gguf, name, sizeof name)->begins;
    const int32_t bos = special_id(tokens, "bos_token_id", kinds[kind].bos),
                  eos = special_id(tokens, "eos_token_id", kinds[kind].eos);
    cJSON *template = cJSON_AddObjectToObject(document, "post_processor");
    cJSON_AddStringToObject(template, "type", "TemplateProcessing");
    cJSON *single = cJSON_AddArrayToObject(template, "single");
    cJSON *specials = cJSON_AddObjectToObject(template, "special_tokens");
    if (bos >= 0 && is_true(tokens->gguf, "add_bos_token", begins)) add_special(tokens, bos, single, specials);
    add_piece(single, "Sequence", "A", 0);
    if (eos >= 0 && is_true(tokens->gguf, "add_eos_token", false)) add_special(tokens, eos, single, specials);
    cJSON *pair = cJSON_AddArrayToObject(template, "pair"); // must be there, too
    add_piece(pair, "Sequence", "A", 0);
    add_piece(pair, "Sequence", "B", 1);
}

// ---- The documents ----

static bool make_tokenizer(const TokenList *tokens, int kind, cJSON *document, Error *err) {
    cJSON *model = cJSON_AddObjectToObject(document, "model");
    cJSON_AddStringToObject(model, "type", "BPE");
    if (!add_vocab(tokens, model) || !add_added_tokens(tokens, document)) return error_memory(err, "the vocabulary");
    add_template(tokens, kind, document);
    return kinds[kind].add(tokens, document, err);
}

bool gguf_tokenizer(const GgufSet *set, cJSON **out, Error *err) {
    const Gguf *gguf = &set->files[0];
    char name[64];
    TokenList tokens;
    const int kind = kind_of(gguf, name, sizeof name);
    *out = NULL;
    if (kind == KINDS && *name && strcmp(name, "none") != 0 && strcmp(name, "no_vocab") != 0)
        return refuse_name("tokenizer (" KEYS "model)", name, "gpt2, llama", err);
    if (kind == KINDS)
        return error_set(err, TOKENIZER_MISSING ", nor a tokenizer in the file; without it only token ids work");
    bool ok = tokens_read(gguf, &tokens, err);
    if (ok) *out = cJSON_CreateObject();
    ok = ok && (*out ? make_tokenizer(&tokens, kind, *out, err) : error_memory(err, "the tokenizer"));
    tokens_free(&tokens);
    if (!ok) {
        cJSON_Delete(*out);
        *out = NULL;
    }
    return ok;
}

static void add_chat_template(const Gguf *gguf, cJSON *config) {
    const GgufValue *value = gguf_value(gguf, "tokenizer.", "chat_template");
    const uint8_t *at = value ? value->data : NULL;
    const char *text;
    size_t length;
    if (!gguf_value_text(value, &at, &text, &length) || !text_is_utf8(text, length)) return;
    cJSON_AddItemToObject(config, "chat_template", json_from_bytes(text, length));
}

bool gguf_tokenizer_config(const GgufSet *set, cJSON **out, Error *err) {
    static const struct {
        const char *key, *name;
    } specials[] = {{"bos_token_id", "bos_token"},
                    {"eos_token_id", "eos_token"},
                    {"unknown_token_id", "unk_token"},
                    {"padding_token_id", "pad_token"}};
    const Gguf *gguf = &set->files[0];
    char name[64];
    TokenList tokens = {0};
    const int kind = kind_of(gguf, name, sizeof name);
    *out = cJSON_CreateObject();
    if (!*out) return error_memory(err, "the tokenizer");
    cJSON_AddStringToObject(*out, "tokenizer_class", "PreTrainedTokenizerFast");
    const bool known = kind < KINDS && tokens_read(gguf, &tokens, NULL);
    for (size_t i = 0; known && i < sizeof specials / sizeof *specials; i++) {
        const int32_t missing = i == 0 ? kinds[kind].bos : i == 1 ? kinds[kind].eos : -1;
        const int32_t id = special_id(&tokens, specials[i].key, missing);
        if (id >= 0) cJSON_AddItemToObject(*out, specials[i].name, string_of(&tokens, id));
    }
    tokens_free(&tokens);
    add_chat_template(gguf, *out);
    return true;
}
