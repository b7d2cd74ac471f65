#include "export/gguf_tokenizer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "loaders/chat/chat_template.h"
#include "loaders/gguf_pre.h"

// ---- How texts are cut ----

static const char *string_of(const cJSON *object, const char *key) {
    const char *string = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(object, key));
    return string ? string : "";
}

static bool is_true(const cJSON *object, const char *key, bool missing) {
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, key);
    return cJSON_IsBool(item) ? cJSON_IsTrue(item) : missing;
}

// Line ends as patterns write them, since some files have the characters themselves.
static void add_pattern(const cJSON *step, Text *out) {
    const cJSON *pattern = cJSON_GetObjectItemCaseSensitive(step, "pattern");
    const char *at = *string_of(pattern, "Regex") ? string_of(pattern, "Regex") : string_of(pattern, "String");
    for (; *at; at++) {
        if (*at == '\n')
            text_add(out, "\\n", 2);
        else if (*at == '\r')
            text_add(out, "\\r", 2);
        else
            text_add(out, at, 1);
    }
}

static void add_split(const cJSON *step, Text *out) {
    const char *behavior = string_of(step, "behavior");
    const bool inverted = is_true(step, "invert", false);
    // Patterns that match all of a text keep the same pieces either way.
    const bool isolated =
        (strcmp(behavior, "Isolated") == 0 && !inverted) || (strcmp(behavior, "Removed") == 0 && inverted);
    add_pattern(step, out);
    if (!isolated) text_addf(out, " %s%s", behavior, inverted ? " inverted" : "");
    text_addf(out, "\n");
}

static void add_steps(const cJSON *pre, Text *out) {
    const char *type = string_of(pre, "type");
    const cJSON *step;
    if (strcmp(type, "Sequence") == 0) {
        cJSON_ArrayForEach(step, cJSON_GetObjectItemCaseSensitive(pre, "pretokenizers")) add_steps(step, out);
    } else if (strcmp(type, "Split") == 0) {
        add_split(pre, out);
    } else if (strcmp(type, "Digits") == 0) {
        text_addf(out, is_true(pre, "individual_digits", false) ? "\\p{N}\n" : "\\p{N}+\n");
    } else if (strcmp(type, "Punctuation") == 0) {
        text_addf(out, GGUF_PRE_PUNCTUATION "%s\n", string_of(pre, "behavior"));
    } else if (strcmp(type, "ByteLevel") == 0) {
        if (is_true(pre, "use_regex", true)) text_addf(out, GGUF_PRE_BYTES);
        if (is_true(pre, "add_prefix_space", true)) text_addf(out, "space\n");
    } else {
        text_addf(out, "%s\n", type);
    }
}

static bool steps_equal(const char *wanted, const char *found) {
    static const char any[] = GGUF_PRE_ANY;
    while (*wanted && *found) {
        const size_t n = strcspn(wanted, "\n") + 1, m = strcspn(found, "\n") + 1;
        if (strncmp(wanted, any, sizeof any - 1) != 0 && (n != m || memcmp(wanted, found, n) != 0)) return false;
        wanted += n;
        found += m;
    }
    return !*wanted && !*found;
}

const char *gguf_pre_tokenizer(const Tokenizer *tokenizer) {
    const cJSON *settings = tokenizer_settings(tokenizer);
    const cJSON *model = cJSON_GetObjectItemCaseSensitive(settings, "model");
    const bool whole_words = is_true(model, "ignore_merges", false);
    Text steps = {0};
    const char *name = NULL;
    add_steps(cJSON_GetObjectItemCaseSensitive(settings, "pre_tokenizer"), &steps);
    for (const GgufPre *pre = gguf_pres; pre->name && !name && !steps.failed && steps.data; pre++) {
        if (pre->whole_words == whole_words && steps_equal(pre->steps, steps.data)) name = pre->name;
    }
    text_free(&steps);
    return name;
}

// ---- Its kind ----

typedef enum Kind {
    KIND_NONE,  // none that llama.cpp has
    KIND_BYTES, // "gpt2": merges of bytes that are written as characters
    KIND_SPACES // "llama": merges of characters, ▁ for a space, bytes where characters are unknown
} Kind;

static bool has_type(const cJSON *part, const char *list, const char *type, const cJSON **found) {
    const cJSON *step;
    if (strcmp(string_of(part, "type"), type) == 0) return *found = part, true;
    cJSON_ArrayForEach(step, cJSON_GetObjectItemCaseSensitive(part, list)) {
        if (has_type(step, list, type, found)) return true;
    }
    return false;
}

typedef enum Prefix { PREFIX_NONE, PREFIX_ALWAYS, PREFIX_SOMETIMES } Prefix;

// *prefix: whether a space goes before the text and behind special tokens.
static Kind kind_of(const cJSON *settings, Prefix *prefix) {
    const cJSON *model = cJSON_GetObjectItemCaseSensitive(settings, "model"), *step;
    const cJSON *pre = cJSON_GetObjectItemCaseSensitive(settings, "pre_tokenizer");
    const cJSON *normalizer = cJSON_GetObjectItemCaseSensitive(settings, "normalizer");
    const bool affixes = *string_of(model, "continuing_subword_prefix") || *string_of(model, "end_of_word_suffix");
    *prefix = PREFIX_NONE;
    if ((*string_of(model, "type") && strcmp(string_of(model, "type"), "BPE") != 0) || affixes) return KIND_NONE;
    if (has_type(pre, "pretokenizers", "ByteLevel", &step)) return KIND_BYTES;
    if (!is_true(model, "byte_fallback", false)) return KIND_NONE;
    if (has_type(pre, "pretokenizers", "Metaspace", &step)) {
        const bool none =
            strcmp(string_of(step, "prepend_scheme"), "never") == 0 || !is_true(step, "add_prefix_space", true);
        *prefix = none ? PREFIX_NONE : PREFIX_SOMETIMES; // not where there is one already
        return KIND_SPACES;
    }
    if (has_type(normalizer, "normalizers", "Prepend", &step)) *prefix = PREFIX_ALWAYS;
    return has_type(normalizer, "normalizers", "Replace", &step) ? KIND_SPACES : KIND_NONE;
}

// Composed characters llama.cpp leaves to whoever writes the text, as all its models of this kind do.
static bool only_composes(const cJSON *normalizer) {
    const cJSON *step;
    const char *type = string_of(normalizer, "type");
    cJSON_ArrayForEach(step, cJSON_GetObjectItemCaseSensitive(normalizer, "normalizers")) {
        if (!only_composes(step)) return false;
    }
    return !*type || strcmp(type, "NFC") == 0 || strcmp(type, "Sequence") == 0;
}

// ---- Tokens ----

typedef struct Making {
    GgufHead *head;
    const Tokenizer *tokenizer;
    Kind kind;
    size_t vocab;
    bool *twice;     // [vocab]: another token has the same text, and keeps it
    int32_t unknown; // −1: none
    TokenMerge *merges;
    size_t merge_count;
} Making;

static int compare_contents(const void *a, const void *b, void *tokenizer) {
    size_t n, m;
    TokenKind first, second;
    const int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
    const char *s = tokenizer_content(tokenizer, x, &n, &first), *t = tokenizer_content(tokenizer, y, &m, &second);
    const int order = memcmp(s, t, n < m ? n : m);
    if (order || n != m) return order ? order : n > m ? 1 : -1;
    return first != second ? (int)second - (int)first : x - y;
}

// llama.cpp wants every text once. An added token keeps it, since it is found first.
static bool find_twice(Making *m, Error *err) {
    int32_t *ids = array_new(m->vocab, sizeof *ids);
    m->twice = array_new(m->vocab, sizeof *m->twice);
    size_t count = 0;
    TokenKind kind;
    for (size_t i = 0, n; ids && m->twice && i < m->vocab; i++) {
        tokenizer_content(m->tokenizer, (int32_t)i, &n, &kind);
        if (kind != TOKEN_NONE) ids[count++] = (int32_t)i;
    }
    if (ids && m->twice) qsort_r(ids, count, sizeof *ids, compare_contents, (void *)m->tokenizer);
    for (size_t i = 1, n, l; ids && m->twice && i < count; i++) {
        const char *text = tokenizer_content(m->tokenizer, ids[i], &n, &kind);
        const char *last = tokenizer_content(m->tokenizer, ids[i - 1], &l, &kind);
        m->twice[ids[i]] = n == l && memcmp(text, last, n) == 0;
    }
    free(ids);
    return (ids && m->twice) || error_memory(err, "the vocabulary");
}

// llama.cpp looks in the text as it is, where ▁ is still a space.
static void add_normalized_token(const char *text, size_t length, GgufHead *head) {
    Text spaced = {0};
    for (size_t i = 0; i < length;) {
        const bool mark = length - i >= 3 && memcmp(text + i, "▁", 3) == 0;
        text_add(&spaced, mark ? " " : text + i, 1);
        i += mark ? 3 : 1;
    }
    if (spaced.failed) head->keys.failed = true;
    gguf_item_string(head, spaced.data, spaced.length);
    text_free(&spaced);
}

static int type_of(const Making *m, int32_t id, TokenKind kind, const char *text, size_t length) {
    if (kind == TOKEN_NONE || m->twice[id]) return GGUF_TOKEN_UNUSED;
    if (m->kind == KIND_SPACES && id == m->unknown) return GGUF_TOKEN_UNKNOWN;
    if (kind == TOKEN_SPECIAL) return GGUF_TOKEN_CONTROL;
    if (kind == TOKEN_ADDED || kind == TOKEN_NORMALIZED) return GGUF_TOKEN_USER;
    const bool is_byte = length == 6 && memcmp(text, "<0x", 3) == 0 && text[5] == '>';
    return m->kind == KIND_SPACES && is_byte ? GGUF_TOKEN_BYTE : GGUF_TOKEN_ORDINARY;
}

static void add_tokens(const Making *m) {
    TokenKind kind;
    size_t length;
    gguf_key_list(m->head, "tokenizer.ggml.tokens", GGUF_ITEMS_STRING, m->vocab);
    for (int32_t id = 0; (size_t)id < m->vocab; id++) {
        const char *text = tokenizer_content(m->tokenizer, id, &length, &kind);
        const int type = type_of(m, id, kind, text, length);
        if (type == GGUF_TOKEN_UNUSED) {
            char unused[32];
            gguf_item_string(m->head, unused, (size_t)snprintf(unused, sizeof unused, "[PAD%d]", id));
        } else if (kind == TOKEN_NORMALIZED) {
            add_normalized_token(text, length, m->head);
        } else {
            gguf_item_string(m->head, text, length);
        }
    }
    gguf_key_list(m->head, "tokenizer.ggml.token_type", GGUF_ITEMS_I32, m->vocab);
    for (int32_t id = 0; (size_t)id < m->vocab; id++) {
        const char *text = tokenizer_content(m->tokenizer, id, &length, &kind);
        gguf_item_i32(m->head, type_of(m, id, kind, text, length));
    }
}

// ---- Merges ----

static void add_merges(const Making *m) {
    gguf_key_list(m->head, "tokenizer.ggml.merges", GGUF_ITEMS_STRING, m->merge_count);
    for (size_t i = 0; i < m->merge_count; i++) {
        size_t length;
        TokenKind kind;
        Text line = {0};
        const char *left = tokenizer_content(m->tokenizer, m->merges[i].left, &length, &kind);
        text_add(&line, left, length);
        text_add(&line, " ", 1);
        const char *right = tokenizer_content(m->tokenizer, m->merges[i].right, &length, &kind);
        text_add(&line, right, length);
        if (line.failed) m->head->keys.failed = true;
        gguf_item_string(m->head, line.data, line.length);
        text_free(&line);
    }
}

// Instead of merges a score per token: the pair that makes the token of the highest score is merged first. Where all
// merges that make a token stand together, as SentencePiece has them, that is the same order; else *ordered is false.
static bool add_scores(const Making *m, bool *ordered, Error *err) {
    const float last = -(float)(m->merge_count + 1); // of tokens that no merge makes
    float *scores = array_new(m->vocab, sizeof *scores);
    if (!scores) return error_memory(err, "the vocabulary");
    for (size_t i = 0; i < m->vocab; i++) scores[i] = last;
    *ordered = true;
    for (size_t i = 0; i < m->merge_count; i++) {
        const int32_t token = m->merges[i].result;
        if ((size_t)token >= m->vocab || (i && m->merges[i - 1].result == token)) continue;
        if (scores[token] > last)
            *ordered = false;
        else
            scores[token] = -(float)(i + 1);
    }
    gguf_key_list(m->head, "tokenizer.ggml.scores", GGUF_ITEMS_F32, m->vocab);
    for (size_t i = 0; i < m->vocab; i++) gguf_item_f32(m->head, scores[i]);
    free(scores);
    return true;
}

// ---- Special tokens ----

// −1: there is none of that name.
static int32_t special_id(const Tokenizer *tokenizer, const char *name) {
    const char *wanted = string_of(tokenizer_special(tokenizer), name);
    const size_t vocab = tokenizer_vocab_size(tokenizer);
    TokenKind kind;
    size_t length;
    for (int32_t id = 0; *wanted && (size_t)id < vocab; id++) {
        if (strcmp(tokenizer_content(tokenizer, id, &length, &kind), wanted) == 0) return id;
    }
    return -1;
}

static void add_id(GgufHead *head, const char *key, int32_t id) {
    if (id >= 0) gguf_key_u32(head, key, (uint32_t)id);
}

// The first token that is put before a text, or the last behind it; −1: none.
static int32_t outer_token(const TokenIds *around, bool last) {
    return around->count ? around->ids[last ? around->count - 1 : 0] : -1;
}

// Tokens around a text that tokenizer_config.json does not name begin and end it all the same.
static bool add_specials(const Making *m, Error *err) {
    TokenIds before = {0}, after = {0};
    const bool ok = tokenizer_encode_part(m->tokenizer, "", 0, true, false, &before, err) &&
                    tokenizer_encode_part(m->tokenizer, "", 0, false, true, &after, err);
    const int32_t first = outer_token(&before, false), last = outer_token(&after, true);
    int32_t bos = special_id(m->tokenizer, "bos_token"), eos = special_id(m->tokenizer, "eos_token");
    token_ids_free(&before);
    token_ids_free(&after);
    if (bos < 0) bos = first;
    if (eos < 0) eos = last;
    add_id(m->head, "tokenizer.ggml.bos_token_id", bos);
    add_id(m->head, "tokenizer.ggml.eos_token_id", eos);
    add_id(m->head, "tokenizer.ggml.unknown_token_id", m->unknown);
    add_id(m->head, "tokenizer.ggml.padding_token_id", special_id(m->tokenizer, "pad_token"));
    gguf_key_bool(m->head, "tokenizer.ggml.add_bos_token", first >= 0 && first == bos);
    gguf_key_bool(m->head, "tokenizer.ggml.add_eos_token", last >= 0 && last == eos);
    return ok;
}

static void add_chat_template(GgufHead *head, const char *folder, char *note, size_t size) {
    ChatTemplate *chat;
    Error failed = {0};
    if (!chat_template_load(folder, &chat, &failed)) snprintf(note, size, "no chat template: %s", failed.message);
    if (chat) gguf_key_string(head, "tokenizer.chat_template", chat_template_source(chat));
    chat_template_free(chat);
}

// ---- All of it ----

static bool add_all(Making *m, const char *folder, Prefix prefix, char *note, size_t size, Error *err) {
    const cJSON *settings = tokenizer_settings(m->tokenizer);
    const char *rule = m->kind == KIND_BYTES ? gguf_pre_tokenizer(m->tokenizer) : "default";
    bool ordered = true;
    add_chat_template(m->head, folder, note, size);
    if (m->kind == KIND_BYTES && !only_composes(cJSON_GetObjectItemCaseSensitive(settings, "normalizer")))
        snprintf(note, size, "llama.cpp does not normalize texts as this tokenizer does; compare token ids before use");
    if (!rule)
        snprintf(note, size,
                 "llama.cpp has no name for the way in which this tokenizer cuts texts, or it is not known "
                 "here: it will cut some otherwise; compare token ids before use");
    gguf_key_string(m->head, "tokenizer.ggml.model", m->kind == KIND_BYTES ? "gpt2" : "llama");
    gguf_key_string(m->head, "tokenizer.ggml.pre", rule ? rule : "default");
    if (m->kind == KIND_SPACES) gguf_key_bool(m->head, "tokenizer.ggml.add_space_prefix", prefix != PREFIX_NONE);
    if (!find_twice(m, err) || !tokenizer_merges(m->tokenizer, &m->merges, &m->merge_count, err)) return false;
    m->unknown = special_id(m->tokenizer, "unk_token");
    add_tokens(m);
    if (m->kind == KIND_BYTES)
        add_merges(m);
    else if (!add_scores(m, &ordered, err))
        return false;
    if (prefix == PREFIX_SOMETIMES)
        snprintf(note, size,
                 "llama.cpp puts a space before every text and behind special tokens, which this tokenizer does not "
                 "always");
    if (!ordered)
        snprintf(note, size,
                 "the tokenizer's merges follow from no score per token, which is what llama.cpp has: it will "
                 "cut some words otherwise; compare token ids before use");
    return add_specials(m, err);
}

bool gguf_add_tokenizer(GgufHead *head, const char *folder, size_t vocab, char *note, size_t size, Error *err) {
    Tokenizer *tokenizer;
    Error missing = {0};
    *note = '\0';
    Prefix prefix = PREFIX_NONE;
    if (!tokenizer_load(folder, &tokenizer, &missing)) snprintf(note, size, "without a tokenizer: %s", missing.message);
    const Kind kind = tokenizer ? kind_of(tokenizer_settings(tokenizer), &prefix) : KIND_NONE;
    if (tokenizer && kind == KIND_NONE)
        snprintf(note, size, "without a tokenizer: llama.cpp has none of this kind; it works with token ids alone");
    Making making = {.head = head, .tokenizer = tokenizer, .kind = kind, .vocab = vocab};
    const bool ok = kind == KIND_NONE || add_all(&making, folder, prefix, note, size, err);
    if (kind == KIND_NONE) gguf_key_string(head, "tokenizer.ggml.model", "none");
    free(making.twice);
    free(making.merges);
    tokenizer_free(tokenizer);
    return ok;
}
