// Added tokens: the texts that are found before everything else (tokenizers package, added_vocabulary.rs).
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

#include "loaders/tokenizer/tokenizer_parts.h"

// -----------------------------------------------------------------------------------------------------------------
// reading

static AddedToken *find_content(const AddedTokens *tokens, const Text *content) {
    int32_t at = vocab_find(&tokens->index, content->data, content->length);
    return at < 0 ? NULL : &tokens->items[at];
}

// The package ignores the id in the file: a token of the vocabulary keeps its id there, others are numbered behind the
// vocabulary.
static int32_t id_of(const AddedTokens *tokens, const Vocab *vocab, const Text *content) {
    int32_t known = vocab_find(vocab, content->data, content->length), last = (int32_t)vocab->count - 1;
    if (known >= 0) return known;
    return (last < tokens->last ? tokens->last : last) + 1;
}

static bool read_flags(const cJSON *json, AddedToken *token, Error *err) {
    return json_bool(json, "special", false, &token->special, err) &&
           json_bool(json, "lstrip", false, &token->lstrip, err) &&
           json_bool(json, "rstrip", false, &token->rstrip, err) &&
           json_bool(json, "single_word", false, &token->single_word, err) &&
           json_bool(json, "normalized", !token->special, &token->normalized, err);
}

static bool read_wanted(AddedToken *token, const Normalizer *normalizer, Error *err) {
    Scratch scratch = {0};
    static const Normalizer none = {0};
    bool ok = scratch_init(&scratch, err) && normalizer_run(token->normalized ? normalizer : &none, token->content.data,
                                                            token->content.length, &scratch, &token->wanted, err);
    scratch_free(&scratch);
    return ok;
}

// Takes the content over.
static AddedToken *new_token(AddedTokens *out, Text *content, int32_t id) {
    if (!array_grow(&out->items, out->count, &out->capacity, sizeof *out->items) ||
        !vocab_add(&out->index, content->data, content->length, (int32_t)out->count))
        return NULL;
    AddedToken *token = &out->items[out->count++];
    if (id > out->last) out->last = id;
    *token = (AddedToken){.content = *content, .id = id};
    *content = (Text){0};
    return token;
}

static bool add_token(const cJSON *json, const Vocab *vocab, const Normalizer *normalizer, AddedTokens *out,
                      Error *err) {
    const char *string;
    Text content = {0};
    if (!json_string(json, "content", NULL, &string, err)) return false;
    if (!string) return error_set(err, "an added token has no \"content\"");
    if (!*string) return true; // never matches
    json_bytes(string, &content);
    AddedToken *token = content.failed ? NULL : find_content(out, &content);
    if (!token && !content.failed) token = new_token(out, &content, id_of(out, vocab, &content));
    text_free(&content);
    if (!token) return error_memory(err, "added tokens");
    return read_flags(json, token, err) && read_wanted(token, normalizer, err);
}

int32_t added_tokens_id(const AddedTokens *tokens, const Vocab *vocab, const char *string) {
    Text content = {0};
    json_bytes(string, &content);
    const AddedToken *token = content.failed ? NULL : find_content(tokens, &content);
    int32_t id = token ? token->id : content.failed ? -1 : vocab_find(vocab, content.data, content.length);
    text_free(&content);
    return id;
}

bool added_tokens_special(const AddedTokens *tokens, const char *content, size_t length) {
    if (!length) return false;
    unsigned char byte = (unsigned char)*content;
    for (int normalized = 0; normalized < 2; normalized++) {
        const uint32_t *first = tokens->first[normalized], *order = tokens->order[normalized];
        for (uint32_t i = first[byte]; i < first[byte + 1]; i++) {
            const AddedToken *token = &tokens->items[order[i]];
            if (token->special && token->content.length == length && memcmp(token->content.data, content, length) == 0)
                return true;
        }
    }
    return false;
}

static int compare_wanted(const void *a, const void *b, void *items) {
    const AddedToken *x = (const AddedToken *)items + *(const uint32_t *)a,
                     *y = (const AddedToken *)items + *(const uint32_t *)b;
    unsigned char first_x = (unsigned char)x->wanted.data[0], first_y = (unsigned char)y->wanted.data[0];
    if (first_x != first_y) return first_x < first_y ? -1 : 1;
    if (x->wanted.length != y->wanted.length) return x->wanted.length > y->wanted.length ? -1 : 1;
    return *(const uint32_t *)a < *(const uint32_t *)b ? -1 : 1;
}

static bool sort_tokens(AddedTokens *tokens, bool normalized, Error *err) {
    uint32_t *order = tokens->order[normalized] = array_new(tokens->count, sizeof *order), count = 0;
    if (!order) return error_memory(err, "added tokens");
    for (uint32_t i = 0; i < tokens->count; i++) {
        if (tokens->items[i].normalized == normalized && tokens->items[i].wanted.length) order[count++] = i;
    }
    qsort_r(order, count, sizeof *order, compare_wanted, tokens->items);
    for (unsigned byte = 0, at = 0; byte <= 256; byte++) {
        while (at < count && (unsigned char)tokens->items[order[at]].wanted.data[0] < byte) at++;
        tokens->first[normalized][byte] = at;
    }
    return true;
}

bool added_tokens_read(const cJSON *json, const Vocab *vocab, const Normalizer *normalizer, AddedTokens *out,
                       Error *err) {
    if (json && !cJSON_IsNull(json) && !cJSON_IsArray(json)) return error_set(err, "\"added_tokens\" must be an array");
    const cJSON *item;
    cJSON_ArrayForEach(item, json) {
        if (!add_token(item, vocab, normalizer, out, err)) return false;
    }
    return sort_tokens(out, false, err) && sort_tokens(out, true, err);
}

void added_tokens_free(AddedTokens *tokens) {
    for (size_t i = 0; i < tokens->count; i++) {
        text_free(&tokens->items[i].content);
        text_free(&tokens->items[i].wanted);
    }
    free(tokens->items);
    vocab_free(&tokens->index);
    free(tokens->order[0]);
    free(tokens->order[1]);
    *tokens = (AddedTokens){0};
}

// ----------------------------------------------------------------------------------------------------------
// neighbourhood

static bool is_word(uint32_t c) { // \w of the regex crate: Alphabetic, marks, decimal digits, connectors, joiners
    switch (utf8proc_category((utf8proc_int32_t)c)) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_MC:
    case UTF8PROC_CATEGORY_ME:
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_PC: return true;
    default: // circled and squared letters are symbols, but Alphabetic
        return c == 0x200C || c == 0x200D || (c >= 0x24B6 && c <= 0x24E9) || (c >= 0x1F130 && c <= 0x1F149) ||
               (c >= 0x1F150 && c <= 0x1F169) || (c >= 0x1F170 && c <= 0x1F189);
    }
}

static size_t character_before(const char *text, size_t at) {
    do at--;
    while (at && ((unsigned char)text[at] & 0xC0) == 0x80);
    return at;
}

static uint32_t character_at(const char *text, size_t at, size_t length) {
    uint32_t code = 0;
    utf8_read(text + at, length - at, &code);
    return code;
}

static bool stands_alone(const char *text, size_t length, size_t start, size_t end) {
    if (start && is_word(character_at(text, character_before(text, start), length))) return false;
    return end == length || !is_word(character_at(text, end, length));
}

static size_t without_spaces_before(const char *text, size_t length, size_t start) {
    while (start) {
        size_t before = character_before(text, start);
        if (!character_is_space(character_at(text, before, length))) break;
        start = before;
    }
    return start;
}

static size_t without_spaces_after(const char *text, size_t length, size_t end) {
    while (end < length) {
        uint32_t code = 0;
        size_t n = utf8_read(text + end, length - end, &code);
        if (!character_is_space(code)) break;
        end += n;
    }
    return end;
}

// ----------------------------------------------------------------------------------------------------------------
// finding

static bool add_section(Sections *out, int32_t id, size_t start, size_t end, Error *err) {
    if (!array_grow(&out->items, out->count, &out->capacity, sizeof *out->items)) return error_memory(err, "text");
    out->items[out->count++] = (Section){id, start, end};
    return true;
}

// The longest token that starts here.
static const AddedToken *match_at(const AddedTokens *tokens, bool normalized, const char *text, size_t left) {
    const uint32_t *first = tokens->first[normalized];
    unsigned char byte = (unsigned char)*text;
    for (uint32_t i = first[byte]; i < first[byte + 1]; i++) {
        const AddedToken *token = &tokens->items[tokens->order[normalized][i]];
        if (token->wanted.length <= left && memcmp(text, token->wanted.data, token->wanted.length) == 0) return token;
    }
    return NULL;
}

bool added_tokens_find(const AddedTokens *tokens, bool normalized, const char *text, size_t length, Sections *out,
                       Error *err) {
    size_t done = 0;
    for (size_t at = 0; at < length;) {
        const AddedToken *token = match_at(tokens, normalized, text + at, length - at);
        if (!token) {
            at++;
            continue;
        }
        size_t start = at, end = at + token->wanted.length;
        at = end; // also when the match is dropped: the search goes on behind it
        if (token->single_word && !stands_alone(text, length, start, end)) continue;
        if (token->lstrip) {
            start = without_spaces_before(text, length, start);
            if (start < done) start = done; // spaces that an earlier rstrip took stay with it
        }
        if (token->rstrip) end = without_spaces_after(text, length, end);
        if (start >= end) continue; // nothing of it is left
        if (done < start && !add_section(out, -1, done, start, err)) return false;
        if (!add_section(out, token->id, start, end, err)) return false;
        done = end; // may step back into what an earlier rstrip took, as in the package
    }
    return done >= length || add_section(out, -1, done, length, err);
}
