#include "loaders/tokenizer/tokenizer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "loaders/tokenizer/tokenizer_parts.h"

static const ModelKind *const models[] = {&bpe_model, &unigram_model, &wordlevel_model, NULL};

typedef struct TokenText {
    uint32_t at, length;          // in Tokenizer.contents, a NUL behind it; length UINT32_MAX: no such token
    uint32_t shown, shown_length; // in Tokenizer.shown, likewise
    bool special, added, normalized;
} TokenText;

struct Tokenizer {
    const ModelKind *kind;
    void *model;
    Normalizer normalizer;
    PreTokenizer pre;
    AddedTokens added;
    Template template; // what the post-processor puts around the text
    cJSON *special;    // texts of named special tokens, or NULL
    cJSON *settings;   // tokenizer.json without its lists
    int32_t prefix;    // bos_token or eos_token; −1: not known
    Decoder decoder;
    TokenText *tokens; // by id
    size_t vocab_size;
    Text contents, shown; // of tokens: as in the vocabulary, and by themselves
};

// ----------------------------------------------------------------------------------------------------- token by id

static bool set_token(Tokenizer *tokenizer, int32_t id, const char *content, size_t length, bool special) {
    size_t at = tokenizer->contents.length;
    text_add(&tokenizer->contents, content, length);
    text_add(&tokenizer->contents, "", 1);
    if (tokenizer->contents.failed || tokenizer->contents.length > UINT32_MAX) return false;
    tokenizer->tokens[id] = (TokenText){.at = (uint32_t)at, .length = (uint32_t)length, .special = special};
    return true;
}

static bool make_tokens(Tokenizer *tokenizer, Error *err) {
    const Vocab *vocab = tokenizer->kind->vocab(tokenizer->model);
    const AddedTokens *added = &tokenizer->added;
    int32_t most = -1;
    for (size_t i = 0; i < vocab->count; i++) most = vocab->entries[i].id > most ? vocab->entries[i].id : most;
    for (size_t i = 0; i < added->count; i++) most = added->items[i].id > most ? added->items[i].id : most;
    tokenizer->vocab_size = most < 0 ? 0 : (size_t)most + 1;
    tokenizer->tokens = array_new(tokenizer->vocab_size, sizeof *tokenizer->tokens);
    if (!tokenizer->tokens) return error_memory(err, "the vocabulary");
    for (size_t i = 0; i < tokenizer->vocab_size; i++) tokenizer->tokens[i].length = UINT32_MAX;
    bool ok = true;
    for (size_t i = 0; ok && i < vocab->count; i++) {
        const VocabEntry *entry = &vocab->entries[i];
        const char *content = vocab->bytes.data + entry->at;
        // A token of the same text as a special one is special, too.
        bool special = added_tokens_special(added, content, entry->length);
        ok = set_token(tokenizer, entry->id, content, entry->length, special);
    }
    for (size_t i = 0; ok && i < added->count; i++) {
        const AddedToken *token = &added->items[i];
        // As the package since 0.23 decodes: what was looked for, not what the file has.
        ok = set_token(tokenizer, token->id, token->wanted.data, token->wanted.length, token->special);
        tokenizer->tokens[token->id].added = true;
        tokenizer->tokens[token->id].normalized = token->normalized;
    }
    return ok || error_memory(err, "the vocabulary");
}

// What each token is when it stands alone.
static bool show_tokens(Tokenizer *tokenizer, Error *err) {
    Scratch scratch = {0};
    const Pieces *pieces;
    Text *shown = &tokenizer->shown;
    bool ok = scratch_init(&scratch, err);
    for (size_t id = 0; ok && id < tokenizer->vocab_size; id++) {
        TokenText *token = &tokenizer->tokens[id];
        if (token->length == UINT32_MAX) continue;
        pieces_clear(&scratch.pieces[0]);
        ok = pieces_add(&scratch.pieces[0], tokenizer->contents.data + token->at, token->length, false) ||
             error_memory(err, "the vocabulary");
        ok = ok && decoder_run(&tokenizer->decoder, true, &scratch, &pieces, err);
        if (!ok) break;
        token->shown = (uint32_t)shown->length;
        token->shown_length = (uint32_t)pieces->text.length;
        text_add(shown, pieces->text.data, pieces->text.length);
        text_add(shown, "", 1);
        ok = growth_check(tokenizer->contents.length + id, shown->length, err);
        if (ok && (shown->failed || shown->length > UINT32_MAX)) ok = error_memory(err, "the vocabulary");
    }
    scratch_free(&scratch);
    return ok;
}

static const TokenText *token_text(const Tokenizer *tokenizer, int32_t id) {
    if (id < 0 || (size_t)id >= tokenizer->vocab_size || tokenizer->tokens[id].length == UINT32_MAX) return NULL;
    return &tokenizer->tokens[id];
}

size_t tokenizer_vocab_size(const Tokenizer *tokenizer) { return tokenizer->vocab_size; }

const char *tokenizer_token(const Tokenizer *tokenizer, int32_t id, size_t *length) {
    const TokenText *token = token_text(tokenizer, id);
    if (length) *length = token ? token->shown_length : 0;
    return token ? tokenizer->shown.data + token->shown : "";
}

// ----------------------------------------------------------------------------------------------------------------
// loading

static bool read_model(const cJSON *json, Tokenizer *out, Error *err) {
    const char *type;
    if (!cJSON_IsObject(json)) return error_set(err, "\"model\" is missing or not an object");
    // Old files do not name their model; only BPE has merges, and only Unigram has a list of tokens.
    const char *missing = cJSON_HasObjectItem(json, "merges")                              ? "BPE"
                          : cJSON_IsArray(cJSON_GetObjectItemCaseSensitive(json, "vocab")) ? "Unigram"
                                                                                           : "";
    if (!json_string(json, "type", missing, &type, err)) return false;
    for (const ModelKind *const *kind = models; *kind; kind++) {
        if (strcmp((*kind)->type, type) != 0) continue;
        out->kind = *kind;
        return out->kind->read(json, &out->model, err);
    }
    return tokenizer_refuse("tokenizer model", type, "BPE, Unigram, WordLevel", err);
}

static bool read_parts(const cJSON *json, Tokenizer *out, Error *err) {
    if (!cJSON_IsObject(json)) return error_set(err, "must hold a JSON object");
    return normalizer_read(cJSON_GetObjectItemCaseSensitive(json, "normalizer"), &out->normalizer, err) &&
           pretokenizer_read(cJSON_GetObjectItemCaseSensitive(json, "pre_tokenizer"), &out->pre, err) &&
           decoder_read(cJSON_GetObjectItemCaseSensitive(json, "decoder"), &out->decoder, err) &&
           template_read(cJSON_GetObjectItemCaseSensitive(json, "post_processor"), &out->template, err) &&
           read_model(cJSON_GetObjectItemCaseSensitive(json, "model"), out, err) &&
           added_tokens_read(cJSON_GetObjectItemCaseSensitive(json, "added_tokens"), out->kind->vocab(out->model),
                             &out->normalizer, &out->added, err) &&
           make_tokens(out, err) && show_tokens(out, err);
}

// What was read is kept without its long lists.
static void keep_settings(cJSON *document, Tokenizer *out) {
    cJSON *model = cJSON_GetObjectItemCaseSensitive(document, "model");
    cJSON_DeleteItemFromObjectCaseSensitive(document, "added_tokens");
    cJSON_DeleteItemFromObjectCaseSensitive(model, "vocab");
    cJSON_DeleteItemFromObjectCaseSensitive(model, "merges");
    out->settings = document;
}

static bool load_folder(const char *folder, Tokenizer *out, Error *err) {
    TokenizerSource source;
    bool ok = tokenizer_source_read(folder, &source, err);
    if (ok && !read_parts(source.document, out, err))
        ok = error_prefix(err, "%s/%s", folder, source.from_vocab ? "vocab.json" : "tokenizer.json");
    if (ok) {
        const Vocab *vocab = out->kind->vocab(out->model);
        ok = template_from_source(&source, &out->added, vocab, &out->template, err) || error_prefix(err, "%s", folder);
        out->special = tokenizer_source_special(&source);
        out->prefix = tokenizer_source_prefix(&source, &out->added, vocab);
        keep_settings(source.document, out);
        source.document = NULL;
    }
    tokenizer_source_free(&source);
    return ok;
}

static bool tokenizer_finish(bool ok, Tokenizer **out) {
    if (ok) return true;
    tokenizer_free(*out);
    *out = NULL;
    return false;
}

bool tokenizer_load(const char *folder, Tokenizer **out, Error *err) {
    *out = array_new(1, sizeof **out);
    return tokenizer_finish(*out ? load_folder(folder, *out, err) : error_memory(err, "the tokenizer"), out);
}

bool tokenizer_parse(const char *json, size_t length, Tokenizer **out, Error *err) {
    cJSON *document = json_parse(json, length, err);
    *out = document ? array_new(1, sizeof **out) : NULL;
    if (*out) (*out)->prefix = -1;
    bool ok = *out ? read_parts(document, *out, err) : document && error_memory(err, "the tokenizer");
    if (ok)
        keep_settings(document, *out);
    else
        cJSON_Delete(document);
    return tokenizer_finish(ok, out);
}

void tokenizer_free(Tokenizer *tokenizer) {
    if (!tokenizer) return;
    if (tokenizer->kind) tokenizer->kind->free(tokenizer->model);
    normalizer_free(&tokenizer->normalizer);
    pretokenizer_free(&tokenizer->pre);
    added_tokens_free(&tokenizer->added);
    template_free(&tokenizer->template);
    decoder_free(&tokenizer->decoder);
    cJSON_Delete(tokenizer->special);
    cJSON_Delete(tokenizer->settings);
    free(tokenizer->tokens);
    text_free(&tokenizer->contents);
    text_free(&tokenizer->shown);
    free(tokenizer);
}

const cJSON *tokenizer_special(const Tokenizer *tokenizer) { return tokenizer->special; }

// ---------------------------------------------------------------------------------------------------------------
// what it is made of

const cJSON *tokenizer_settings(const Tokenizer *tokenizer) { return tokenizer->settings; }

const char *tokenizer_content(const Tokenizer *tokenizer, int32_t id, size_t *length, TokenKind *kind) {
    const TokenText *token = token_text(tokenizer, id);
    *length = token ? token->length : 0;
    *kind = !token              ? TOKEN_NONE
            : token->special    ? TOKEN_SPECIAL
            : token->normalized ? TOKEN_NORMALIZED
            : token->added      ? TOKEN_ADDED
                                : TOKEN_ORDINARY;
    return token ? tokenizer->contents.data + token->at : "";
}

bool tokenizer_merges(const Tokenizer *tokenizer, TokenMerge **out, size_t *count, Error *err) {
    *out = NULL;
    *count = 0;
    return !tokenizer->kind->merges || tokenizer->kind->merges(tokenizer->model, out, count, err);
}

// ---------------------------------------------------------------------------------------------------------------
// encoding

static bool encode_ordinary(const Tokenizer *tokenizer, const char *text, size_t length, bool at_start,
                            Scratch *scratch, TokenIds *out, Error *err) {
    const Pieces *pieces;
    if (!pretokenizer_run(&tokenizer->pre, text, length, at_start, scratch, &pieces, err)) return false;
    for (size_t i = 0; i < pieces->count; i++) {
        const Piece *piece = &pieces->items[i];
        if (!tokenizer->kind->encode(tokenizer->model, pieces->text.data + piece->at, piece->length, scratch, out, err))
            return false;
    }
    return true;
}

// Between added tokens of the raw text: normalize, then look for added tokens again.
static bool encode_section(const Tokenizer *tokenizer, const char *text, size_t length, bool at_start, Scratch *scratch,
                           TokenIds *out, Error *err) {
    Text *normalized = &scratch->normalized;
    scratch->inner.count = 0;
    if (!normalizer_run(&tokenizer->normalizer, text, length, scratch, normalized, err) ||
        !added_tokens_find(&tokenizer->added, true, normalized->data, normalized->length, &scratch->inner, err)) {
        return false;
    }
    at_start = at_start && !scratch->start_lost;
    for (size_t i = 0; i < scratch->inner.count; i++) {
        const Section *section = &scratch->inner.items[i];
        const char *start = normalized->data + section->start;
        bool ok = section->id < 0 ? encode_ordinary(tokenizer, start, section->end - section->start,
                                                    at_start && section->start == 0, scratch, out, err)
                                  : token_ids_add(out, section->id) || error_memory(err, "token ids");
        if (!ok) return false;
    }
    return true;
}

static bool encode_text(const Tokenizer *tokenizer, const char *text, size_t length, Scratch *scratch, TokenIds *out,
                        Error *err) {
    if (!scratch_init(scratch, err) || !added_tokens_find(&tokenizer->added, false, text, length, &scratch->raw, err)) {
        return false;
    }
    for (size_t i = 0; i < scratch->raw.count; i++) {
        const Section *section = &scratch->raw.items[i];
        bool ok = section->id < 0 ? encode_section(tokenizer, text + section->start, section->end - section->start,
                                                   section->start == 0, scratch, out, err)
                                  : token_ids_add(out, section->id) || error_memory(err, "token ids");
        if (!ok) return false;
    }
    return true;
}

bool tokenizer_encode_part(const Tokenizer *tokenizer, const char *text, size_t length, bool begins, bool ends,
                           TokenIds *out, Error *err) {
    if (length > INT32_MAX / 4)
        return error_set(err, "the text is longer than %d bytes; cut it into parts", INT32_MAX / 4);
    if (!text_is_utf8(text, length)) return error_set(err, "the text is not UTF-8; convert it first (iconv)");
    if (begins && !token_ids_join(out, &tokenizer->template.before, err)) return false;
    Scratch scratch = {0};
    bool ok = encode_text(tokenizer, text, length, &scratch, out, err);
    scratch_free(&scratch);
    return ok && (!ends || token_ids_join(out, &tokenizer->template.after, err));
}

int32_t tokenizer_prefix(const Tokenizer *tokenizer) {
    const TokenIds *before = &tokenizer->template.before;
    return tokenizer->prefix >= 0 || !before->count ? tokenizer->prefix : before->ids[0];
}

bool tokenizer_has_prefix(const Tokenizer *tokenizer, const char *text, size_t length) {
    const TokenText *token = token_text(tokenizer, tokenizer_prefix(tokenizer));
    return token && token->length && token->length <= length &&
           memcmp(text, tokenizer->contents.data + token->at, token->length) == 0;
}

bool tokenizer_encode(const Tokenizer *tokenizer, const char *text, size_t length, bool add_special, TokenIds *out,
                      Error *err) {
    return tokenizer_encode_part(tokenizer, text, length, add_special, add_special, out, err);
}

// ---------------------------------------------------------------------------------------------------------------
// decoding

static bool collect_tokens(const Tokenizer *tokenizer, const int32_t *ids, size_t count, bool skip_special,
                           Pieces *out) {
    for (size_t i = 0; i < count; i++) {
        const TokenText *token = token_text(tokenizer, ids[i]);
        if (!token || (skip_special && token->special)) continue;
        if (!pieces_add(out, tokenizer->contents.data + token->at, token->length, false)) return false;
    }
    return true;
}

bool tokenizer_decode(const Tokenizer *tokenizer, const int32_t *ids, size_t count, bool skip_special, Text *out,
                      Error *err) {
    Scratch scratch = {0};
    const Pieces *pieces;
    bool ok = scratch_init(&scratch, err);
    ok = ok && (collect_tokens(tokenizer, ids, count, skip_special, &scratch.pieces[0]) || error_memory(err, "text"));
    ok = ok && decoder_run(&tokenizer->decoder, false, &scratch, &pieces, err);
    if (ok) text_add(out, pieces->text.data, pieces->text.length);
    scratch_free(&scratch);
    return ok && (!out->failed || error_memory(err, "text"));
}
