#include "loaders/tokenizer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "loaders/tokenizer_parts.h"

#define FILE_LIMIT ((size_t)512 << 20)
#define DEEPEST 16 // of Sequences in Sequences

static const ModelKind *const models[] = {&bpe_model, NULL};

// How the content of a token becomes bytes of the decoded text.
typedef struct DecoderKind {
    const char *type;
    const char *separator; // between tokens
    void (*add)(const char *content, size_t length, Text *out);
} DecoderKind;

typedef struct TokenText {
    uint32_t at, length; // in Tokenizer.decoded, NUL-terminated there; length UINT32_MAX: no such token
    bool special;
} TokenText;

struct Tokenizer {
    const ModelKind *kind;
    void *model;
    Normalizer normalizer;
    PreTokenizer pre;
    AddedTokens added;
    TokenIds prefix, suffix; // what the post-processor puts around the text
    const DecoderKind *decoder;
    TokenText *tokens; // by id
    size_t vocab_size;
    Text decoded;
};

bool tokenizer_refuse(const char *part, const char *type, const char *supported, Error *err) {
    char *shown = text_printable(type, strlen(type), false);
    error_set(err, "the %s \"%.60s\" is not supported; supported: %s", part, shown ? shown : "?", supported);
    free(shown);
    return false;
}

bool token_ids_add(TokenIds *ids, int32_t id) {
    if (!array_grow(&ids->ids, ids->count, &ids->capacity, sizeof *ids->ids)) return false;
    ids->ids[ids->count++] = id;
    return true;
}

void token_ids_free(TokenIds *ids) {
    free(ids->ids);
    *ids = (TokenIds){0};
}

// --------------------------------------------------------------------------------------------------------------
// decoders

static void add_plain(const char *content, size_t length, Text *out) { text_add(out, content, length); }

// A token with any character outside the byte alphabet (an added token, say) stands for itself.
static void add_byte_level(const char *content, size_t length, Text *out) {
    size_t before = out->length;
    for (size_t i = 0; i < length;) {
        uint32_t code = 0;
        i += utf8_read(content + i, length - i, &code);
        int byte = byte_level_byte(code);
        if (byte < 0) {
            out->length = before;
            text_add(out, content, length);
            return;
        }
        text_add(out, &(char){(char)byte}, 1);
    }
}

static const DecoderKind no_decoder = {"", " ", add_plain}; // the package joins with spaces then
static const DecoderKind decoders[] = {{"ByteLevel", "", add_byte_level}};

static bool read_decoder(const cJSON *json, Tokenizer *out, Error *err) {
    out->decoder = &no_decoder;
    if (!json || cJSON_IsNull(json)) return true;
    const char *type;
    if (!json_string(json, "type", "", &type, err)) return false;
    for (size_t i = 0; i < sizeof decoders / sizeof *decoders; i++) {
        if (strcmp(decoders[i].type, type) != 0) continue;
        out->decoder = &decoders[i];
        return true;
    }
    return tokenizer_refuse("decoder", type, "ByteLevel", err);
}

// --------------------------------------------------------------------------------------------------------
// post-processors

static bool add_special_ids(const cJSON *specials, const char *name, TokenIds *out, Error *err) {
    const cJSON *ids = cJSON_GetObjectItemCaseSensitive(cJSON_GetObjectItemCaseSensitive(specials, name), "ids"), *item;
    if (!cJSON_IsArray(ids))
        return tokenizer_refuse("special token", name, "those with \"ids\" in \"special_tokens\"", err);
    cJSON_ArrayForEach(item, ids) {
        if (!cJSON_IsNumber(item) || item->valueint < 0)
            return error_set(err, "an id of the special token must be a number");
        if (!token_ids_add(out, item->valueint)) return error_memory(err, "the template");
    }
    return true;
}

// The ids before and after the text.
static bool read_template(const cJSON *json, TokenIds *before, TokenIds *after, Error *err) {
    const cJSON *single = cJSON_GetObjectItemCaseSensitive(json, "single"), *item;
    const cJSON *specials = cJSON_GetObjectItemCaseSensitive(json, "special_tokens");
    if (!cJSON_IsArray(single)) return error_set(err, "\"single\" must be an array");
    int texts = 0;
    cJSON_ArrayForEach(item, single) {
        const cJSON *special = cJSON_GetObjectItemCaseSensitive(item, "SpecialToken");
        const cJSON *sequence = cJSON_GetObjectItemCaseSensitive(item, "Sequence");
        const char *id;
        if (!json_string(special ? special : sequence, "id", "", &id, err)) return false;
        if (!special && strcmp(id, "A") == 0)
            texts++;
        else if (!special)
            return error_set(err, "\"single\" may hold SpecialToken and Sequence A only");
        else if (!add_special_ids(specials, id, texts ? after : before, err))
            return false;
    }
    return texts == 1 || error_set(err, "\"single\" must hold the text once");
}

static bool join_ids(TokenIds *to, const TokenIds *more, Error *err) {
    for (size_t i = 0; i < more->count; i++) {
        if (!token_ids_add(to, more->ids[i])) return error_memory(err, "the template");
    }
    return true;
}

// A template wraps what earlier post-processors of a Sequence made.
static bool add_template(const cJSON *json, Tokenizer *out, Error *err) {
    TokenIds before = {0}, after = {0};
    bool ok = read_template(json, &before, &after, err) && join_ids(&before, &out->prefix, err) &&
              join_ids(&out->suffix, &after, err);
    token_ids_free(&after);
    token_ids_free(ok ? &out->prefix : &before);
    if (ok) out->prefix = before;
    return ok;
}

static bool read_post_processor(const cJSON *json, int depth, Tokenizer *out, Error *err) {
    if (!json || cJSON_IsNull(json)) return true;
    const char *type;
    if (!json_string(json, "type", "", &type, err)) return false;
    if (strcmp(type, "ByteLevel") == 0) return true; // corrects offsets, which nobody here asks for
    if (strcmp(type, "TemplateProcessing") == 0) return add_template(json, out, err);
    if (strcmp(type, "Sequence") != 0)
        return tokenizer_refuse("post-processor", type, "Sequence, TemplateProcessing, ByteLevel", err);
    if (depth == DEEPEST) return error_set(err, "post-processors are nested too deep");
    const cJSON *list = cJSON_GetObjectItemCaseSensitive(json, "processors"), *item;
    if (!cJSON_IsArray(list)) return error_set(err, "\"processors\" must be an array");
    cJSON_ArrayForEach(item, list) {
        if (!read_post_processor(item, depth + 1, out, err)) return false;
    }
    return true;
}

// ---------------------------------------------------------------------------------------------------------- token by
// id

static bool set_token(Tokenizer *tokenizer, int32_t id, const char *content, size_t length, bool special) {
    size_t at = tokenizer->decoded.length;
    tokenizer->decoder->add(content, length, &tokenizer->decoded);
    size_t bytes = tokenizer->decoded.length - at;
    text_add(&tokenizer->decoded, "", 1);
    if (tokenizer->decoded.failed || tokenizer->decoded.length > UINT32_MAX) return false;
    tokenizer->tokens[id] = (TokenText){.at = (uint32_t)at, .length = (uint32_t)bytes, .special = special};
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
        ok = set_token(tokenizer, entry->id, vocab->bytes.data + entry->at, entry->length, false);
    }
    for (size_t i = 0; ok && i < added->count; i++) {
        const AddedToken *token = &added->items[i];
        // As the package since 0.23 decodes: what was looked for, not what the file has.
        ok = set_token(tokenizer, token->id, token->wanted, token->length, token->special);
    }
    return ok || error_memory(err, "the vocabulary");
}

static const TokenText *token_text(const Tokenizer *tokenizer, int32_t id) {
    if (id < 0 || (size_t)id >= tokenizer->vocab_size || tokenizer->tokens[id].length == UINT32_MAX) return NULL;
    return &tokenizer->tokens[id];
}

size_t tokenizer_vocab_size(const Tokenizer *tokenizer) { return tokenizer->vocab_size; }

const char *tokenizer_token(const Tokenizer *tokenizer, int32_t id) {
    const TokenText *token = token_text(tokenizer, id);
    return token ? tokenizer->decoded.data + token->at : "";
}

// ----------------------------------------------------------------------------------------------------------------
// loading

static bool read_model(const cJSON *json, Tokenizer *out, Error *err) {
    const char *type;
    if (!cJSON_IsObject(json)) return error_set(err, "\"model\" is missing or no object");
    // Old files do not name their model; only BPE has merges.
    if (!json_string(json, "type", cJSON_HasObjectItem(json, "merges") ? "BPE" : "", &type, err)) return false;
    for (const ModelKind *const *kind = models; *kind; kind++) {
        if (strcmp((*kind)->type, type) != 0) continue;
        out->kind = *kind;
        return out->kind->read(json, &out->model, err);
    }
    return tokenizer_refuse("tokenizer model", type, "BPE", err);
}

static bool read_parts(const cJSON *json, Tokenizer *out, Error *err) {
    if (!cJSON_IsObject(json)) return error_set(err, "must hold a JSON object");
    return normalizer_read(cJSON_GetObjectItemCaseSensitive(json, "normalizer"), &out->normalizer, err) &&
           pretokenizer_read(cJSON_GetObjectItemCaseSensitive(json, "pre_tokenizer"), &out->pre, err) &&
           read_decoder(cJSON_GetObjectItemCaseSensitive(json, "decoder"), out, err) &&
           read_post_processor(cJSON_GetObjectItemCaseSensitive(json, "post_processor"), 0, out, err) &&
           read_model(cJSON_GetObjectItemCaseSensitive(json, "model"), out, err) &&
           added_tokens_read(cJSON_GetObjectItemCaseSensitive(json, "added_tokens"), out->kind->vocab(out->model),
                             &out->normalizer, &out->added, err) &&
           make_tokens(out, err);
}

static bool load(const char *path, Tokenizer *out, Error *err) {
    char *text;
    size_t length;
    if (!file_read(path, FILE_LIMIT, &text, &length, err)) return false;
    cJSON *json = json_parse(text, length, err);
    free(text);
    bool ok = (json && read_parts(json, out, err)) || error_prefix(err, "%s", path);
    cJSON_Delete(json);
    return ok;
}

bool tokenizer_load(const char *folder, Tokenizer **out, Error *err) {
    char *path = path_join(folder, "tokenizer.json");
    *out = path ? array_new(1, sizeof **out) : NULL;
    bool ok = *out ? load(path, *out, err) : error_memory(err, "the tokenizer");
    free(path);
    if (ok) return true;
    tokenizer_free(*out);
    *out = NULL;
    return false;
}

void tokenizer_free(Tokenizer *tokenizer) {
    if (!tokenizer) return;
    if (tokenizer->kind) tokenizer->kind->free(tokenizer->model);
    normalizer_free(&tokenizer->normalizer);
    pretokenizer_free(&tokenizer->pre);
    added_tokens_free(&tokenizer->added);
    token_ids_free(&tokenizer->prefix);
    token_ids_free(&tokenizer->suffix);
    free(tokenizer->tokens);
    text_free(&tokenizer->decoded);
    free(tokenizer);
}

// ---------------------------------------------------------------------------------------------------------------
// encoding

static void scratch_free(Scratch *scratch) {
    pcre2_match_data_free(scratch->match_data);
    free(scratch->matches);
    pieces_free(&scratch->pieces[0]);
    pieces_free(&scratch->pieces[1]);
    text_free(&scratch->normalized);
    free(scratch->raw.items);
    free(scratch->inner.items);
    free(scratch->symbols);
    free(scratch->heap);
}

static bool encode_ordinary(const Tokenizer *tokenizer, const char *text, size_t length, Scratch *scratch,
                            TokenIds *out, Error *err) {
    const Pieces *pieces;
    if (!pretokenizer_run(&tokenizer->pre, text, length, scratch, &pieces, err)) return false;
    for (size_t i = 0; i < pieces->count; i++) {
        const Piece *piece = &pieces->items[i];
        if (!tokenizer->kind->encode(tokenizer->model, pieces->text.data + piece->at, piece->length, scratch, out, err))
            return false;
    }
    return true;
}

// Between added tokens of the raw text: normalize, then look for added tokens again.
static bool encode_section(const Tokenizer *tokenizer, const char *text, size_t length, Scratch *scratch, TokenIds *out,
                           Error *err) {
    Text *normalized = &scratch->normalized;
    scratch->inner.count = 0;
    if (!normalizer_run(&tokenizer->normalizer, text, length, normalized, err) ||
        !added_tokens_find(&tokenizer->added, true, normalized->data, normalized->length, &scratch->inner, err)) {
        return false;
    }
    for (size_t i = 0; i < scratch->inner.count; i++) {
        const Section *section = &scratch->inner.items[i];
        const char *start = normalized->data + section->start;
        bool ok = section->id < 0 ? encode_ordinary(tokenizer, start, section->end - section->start, scratch, out, err)
                                  : token_ids_add(out, section->id) || error_memory(err, "token ids");
        if (!ok) return false;
    }
    return true;
}

static bool encode_text(const Tokenizer *tokenizer, const char *text, size_t length, Scratch *scratch, TokenIds *out,
                        Error *err) {
    scratch->match_data = pcre2_match_data_create(1, NULL);
    if (!scratch->match_data) return error_memory(err, "text");
    if (!added_tokens_find(&tokenizer->added, false, text, length, &scratch->raw, err)) return false;
    for (size_t i = 0; i < scratch->raw.count; i++) {
        const Section *section = &scratch->raw.items[i];
        bool ok = section->id < 0 ? encode_section(tokenizer, text + section->start, section->end - section->start,
                                                   scratch, out, err)
                                  : token_ids_add(out, section->id) || error_memory(err, "token ids");
        if (!ok) return false;
    }
    return true;
}

bool tokenizer_encode(const Tokenizer *tokenizer, const char *text, size_t length, bool add_special, TokenIds *out,
                      Error *err) {
    if (length > INT32_MAX / 4)
        return error_set(err, "the text is longer than %d bytes; cut it into parts", INT32_MAX / 4);
    if (!text_is_utf8(text, length)) return error_set(err, "the text is not UTF-8; convert it first (iconv)");
    if (add_special && !join_ids(out, &tokenizer->prefix, err)) return false;
    Scratch scratch = {0};
    bool ok = encode_text(tokenizer, text, length, &scratch, out, err);
    scratch_free(&scratch);
    return ok && (!add_special || join_ids(out, &tokenizer->suffix, err));
}

// ---------------------------------------------------------------------------------------------------------------
// decoding

// How many bytes at `bytes` belong together when no whole character is there: the longest beginning of one, or a single
// byte (Unicode, section 3.9, substitution of maximal subparts).
static size_t broken_length(const unsigned char *bytes, size_t left) {
    unsigned char first = bytes[0];
    size_t whole = first >= 0xF0 && first <= 0xF4  ? 4
                   : first >= 0xE0 && first < 0xF0 ? 3
                                                   : 1; // two bytes: the first is alone
    if (whole == 1 || left < 2) return 1;
    unsigned char least = first == 0xE0   ? 0xA0
                          : first == 0xF0 ? 0x90
                                          : 0x80,
                  most = first == 0xED   ? 0x9F
                         : first == 0xF4 ? 0x8F
                                         : 0xBF;
    if (bytes[1] < least || bytes[1] > most) return 1;
    return whole == 4 && left > 2 && (bytes[2] & 0xC0) == 0x80 ? 3 : 2;
}

static void add_repaired(Text *out, const char *bytes, size_t length) {
    for (size_t i = 0; i < length;) {
        uint32_t code;
        size_t n = utf8_read(bytes + i, length - i, &code);
        if (n) {
            text_add(out, bytes + i, n);
        } else {
            text_add(out, "\xEF\xBF\xBD", 3);
            n = broken_length((const unsigned char *)bytes + i, length - i);
        }
        i += n;
    }
}

bool tokenizer_decode(const Tokenizer *tokenizer, const int32_t *ids, size_t count, bool skip_special, Text *out,
                      Error *err) {
    Text bytes = {0};
    bool first = true;
    text_add(&bytes, "", 0);
    for (size_t i = 0; i < count; i++) {
        const TokenText *token = token_text(tokenizer, ids[i]);
        if (!token || (skip_special && token->special)) continue;
        if (!first) text_add(&bytes, tokenizer->decoder->separator, strlen(tokenizer->decoder->separator));
        text_add(&bytes, tokenizer->decoded.data + token->at, token->length);
        first = false;
    }
    text_add(out, "", 0);
    if (!bytes.failed) add_repaired(out, bytes.data, bytes.length);
    bool ok = !bytes.failed && !out->failed;
    text_free(&bytes);
    return ok || error_memory(err, "text");
}
