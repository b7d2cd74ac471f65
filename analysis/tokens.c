#include "analysis/tokens.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/json.h"
#include "base/random.h"
#include "base/recognize.h"

// Text is tokenized in blocks, so that the beginning of a huge file is read in no time. A line of JSONL is read whole,
// and so is a text that has no place to cut it.
#define BLOCK ((size_t)64 << 10)
#define LONGEST ((size_t)64 << 20)

static bool is_space(char c) { return c == ' ' || c == '\n' || c == '\t' || c == '\r' || c == '\v' || c == '\f'; }
static bool is_continuation(char c) { return ((unsigned char)c & 0xC0) == 0x80; }
static bool is_graphic(char c) { return c > ' ' && c < 0x7F; }

// ---- Where a text may be cut ----

// Kinds of places that no token reaches across, so that the ids on either side are those of the whole text.
typedef struct CutPlaces {
    bool before_space; // a single space between visible ASCII characters
    bool after_line;   // a single line end between characters that are no white space
} CutPlaces;

// Whether a token's text has white space of this kind in its middle, which would make it reach across.
static void rule_out(const char *token, size_t length, CutPlaces *places) {
    for (size_t i = 1; i < length; i++) {
        if (token[i] == ' ' && !is_space(token[i - 1])) places->before_space = false;
        if (token[i - 1] == '\n' && !is_space(token[i])) places->after_line = false;
    }
}

// Models merge what is in their vocabulary, and pre-tokenizers only cut further. But normalizers may take line ends
// away or turn them into spaces; then a line end adds nothing to the text before it, or joins the text behind it.
static bool line_ends_stand(const Tokenizer *tokenizer, bool *stand, Error *err) {
    TokenIds word = {0}, line = {0}, more = {0};
    bool ok = tokenizer_encode(tokenizer, "a", 1, false, &word, err) &&
              tokenizer_encode(tokenizer, "a\n", 2, false, &line, err) &&
              tokenizer_encode(tokenizer, "a\na", 3, false, &more, err);
    *stand = ok && line.count > word.count && more.count > line.count &&
             memcmp(line.ids, more.ids, line.count * sizeof *line.ids) == 0;
    token_ids_free(&word);
    token_ids_free(&line);
    token_ids_free(&more);
    return ok;
}

static bool find_places(const Tokenizer *tokenizer, CutPlaces *out, Error *err) {
    out->before_space = true;
    if (!line_ends_stand(tokenizer, &out->after_line, err)) return false;
    size_t vocab = tokenizer_vocab_size(tokenizer);
    for (size_t id = 0; id < vocab; id++) {
        size_t length;
        const char *token = tokenizer_token(tokenizer, (int32_t)id, &length);
        rule_out(token, length, out);
    }
    return true;
}

// A character that no pre-tokenizer and no normalizer takes for white space: beyond ASCII, what is in the blocks of
// spaces, marks and invisible characters does not count.
static bool is_visible(const char *text, size_t left) {
    uint32_t code;
    if ((unsigned char)text[0] < 0x80) return is_graphic(text[0]);
    if (!utf8_read(text, left, &code)) return false;
    return code > 0xA0 && code != 0x1680 && code != 0x180E && (code < 0x2000 || code > 0x206F) && code != 0x3000 &&
           code != 0xFEFF;
}

// 0 < i < length
static bool is_place(const CutPlaces *places, const char *text, size_t length, size_t i) {
    if (text[i] == ' ')
        return places->before_space && i + 1 < length && is_graphic(text[i - 1]) && is_graphic(text[i + 1]);
    if (text[i - 1] != '\n' || !places->after_line || i < 2 || !is_visible(text + i, length - i)) return false;
    size_t before = i - 2;
    while (before > 0 && is_continuation(text[before])) before--;
    return is_visible(text + before, i - 1 - before);
}

// The last place after `from` and before `end`; 0 when there is none.
static size_t last_place(const CutPlaces *places, const char *text, size_t from, size_t end) {
    for (size_t i = end; i > from + 1; i--)
        if (is_place(places, text, end, i - 1)) return i - 1;
    return 0;
}

// ---- Text ----

// A file that is read from block to block. The text begins with what was there before the block, so that its first word
// is not taken for the first of a text.
typedef struct TextReader {
    const Tokenizer *tokenizer;
    FILE *file;
    CutPlaces places;
    char *text;
    size_t have, capacity;
    size_t context; // bytes at the beginning whose ids are known already
    size_t offset;  // of the text, in the file
    bool begun, ended;
    bool bare; // no special tokens are added: the text has its own
} TextReader;

static bool reader_fill(TextReader *r, size_t wanted, Error *err) {
    if (wanted > r->capacity) {
        char *grown = realloc(r->text, wanted);
        if (!grown) return error_memory(err, "reading text");
        r->text = grown;
        r->capacity = wanted;
    }
    r->have += fread(r->text + r->have, 1, wanted - r->have, r->file);
    if (ferror(r->file)) return error_set(err, "cannot be read: %s", strerror(errno));
    r->ended = r->have < wanted;
    if (r->offset == 0 && !r->begun && r->have >= 3 && memcmp(r->text, "\xEF\xBB\xBF", 3) == 0) {
        r->offset = 3; // a byte order mark is no text
        r->have -= 3;
        memmove(r->text, r->text + 3, r->have);
    }
    if (!r->begun) r->bare = tokenizer_has_prefix(r->tokenizer, r->text, r->have);
    return true;
}

// The end of the next block; the text is there up to it and maybe further.
static bool reader_next_end(TextReader *r, size_t *end, Error *err) {
    for (size_t more = BLOCK; more <= LONGEST; more *= 2) {
        if (!reader_fill(r, r->context + more, err)) return false;
        *end = r->ended ? r->have : last_place(&r->places, r->text, r->context, r->have);
        if (*end || r->ended) return true;
    }
    *end = r->have - 4;
    while (is_continuation(r->text[*end])) --*end;
    return true;
}

static bool reader_encode(const TextReader *r, size_t from, size_t end, bool begins, bool ends, TokenIds *out,
                          Error *err) {
    return tokenizer_encode_part(r->tokenizer, r->text + from, end - from, begins, ends, out, err) ||
           error_prefix(err, "bytes %zu to %zu", r->offset + from, r->offset + end);
}

static bool add_id(TokenIds *out, int32_t id, Error *err) {
    if (!array_grow(&out->ids, out->count, &out->capacity, sizeof *out->ids)) return error_memory(err, "token ids");
    out->ids[out->count++] = id;
    return true;
}

// Appends the ids of text[context … end), encoded together with the context.
static bool reader_add_block(const TextReader *r, size_t end, TokenIds *out, Error *err) {
    TokenIds known = {0}, all = {0};
    bool ok = (!r->context || reader_encode(r, 0, r->context, false, false, &known, err)) &&
              reader_encode(r, 0, end, !r->begun && !r->bare, r->ended && !r->bare, &all, err);
    for (size_t i = known.count; ok && i < all.count; i++) ok = add_id(out, all.ids[i], err);
    token_ids_free(&known);
    token_ids_free(&all);
    return ok;
}

// Keeps what follows the block, and of the block what follows its last place, if it has one.
static void reader_advance(TextReader *r, size_t end) {
    size_t place = last_place(&r->places, r->text, 0, end), from = place ? place : end;
    r->begun = true;
    memmove(r->text, r->text + from, r->have - from);
    r->have -= from;
    r->offset += from;
    r->context = end - from;
}

static bool from_text(const Tokenizer *tokenizer, FILE *file, size_t most, TokenIds *out, Error *err) {
    TextReader r = {.tokenizer = tokenizer, .file = file};
    bool ok = find_places(tokenizer, &r.places, err);
    while (ok && out->count < most && !r.ended) {
        size_t end;
        ok = reader_next_end(&r, &end, err) && (end == 0 || reader_add_block(&r, end, out, err));
        if (ok && !r.ended) reader_advance(&r, end);
    }
    free(r.text);
    return ok;
}

// A whole text, with what the tokenizer puts around one.
static bool add_text(const Tokenizer *tokenizer, const Text *text, TokenIds *out, Error *err) {
    return (!text->failed || error_memory(err, "reading text")) &&
           tokenizer_encode(tokenizer, text->data, text->length,
                            !tokenizer_has_prefix(tokenizer, text->data, text->length), out, err);
}

// ---- Conversations ----

// Any day will do, if it is always the same.
static const struct tm day_of_texts = {.tm_year = 126, .tm_mday = 1, .tm_hour = 12, .tm_wday = 4}; // 1 January 2026

static bool is_role(const char *role, const char *name) { return strcmp(role, name) == 0; }

static bool add_turn(const cJSON *message, Text *out, Error *err) {
    const char *role, *content;
    Text bytes = {0};
    if (!json_string(message, "role", NULL, &role, err) || !json_string(message, "content", NULL, &content, err))
        return false;
    if (!role || !content) return error_set(err, "a message needs \"role\" and \"content\", both texts");
    const char *name = is_role(role, "user")        ? "User: "
                       : is_role(role, "assistant") ? "Assistant: "
                       : is_role(role, "system")    ? ""
                                                    : NULL;
    if (!name) return error_set(err, "the role \"%.40s\" is none of system, user, assistant", role);
    json_bytes(content, &bytes);
    text_addf(out, "%s%s", out->length ? "\n\n" : "", name);
    text_add(out, bytes.data, bytes.length);
    text_free(&bytes);
    return true;
}

// For models without a chat template: a transcript.
static bool as_transcript(const cJSON *messages, bool answer, Text *out, Error *err) {
    const cJSON *message;
    cJSON_ArrayForEach(message, messages) {
        if (!add_turn(message, out, err)) return false;
    }
    if (answer) text_addf(out, "\n\nAssistant:");
    return true;
}

static const char *field_of(const cJSON *messages, int message, const char *field) {
    const char *text =
        cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(cJSON_GetArrayItem(messages, message), field));
    return text ? text : "";
}

// Some models know no system messages: then it stands at the head of what the user says first. NULL when this is no
// such conversation.
static cJSON *without_system(const cJSON *messages) {
    Text first = {0};
    if (!is_role(field_of(messages, 0, "role"), "system") || !is_role(field_of(messages, 1, "role"), "user"))
        return NULL;
    cJSON *merged = cJSON_Duplicate(messages, true);
    text_addf(&first, "%s\n\n%s", field_of(messages, 0, "content"), field_of(messages, 1, "content"));
    cJSON_DeleteItemFromArray(merged, 0);
    if (!first.failed)
        cJSON_ReplaceItemInObjectCaseSensitive(cJSON_GetArrayItem(merged, 0), "content",
                                               cJSON_CreateString(first.data));
    text_free(&first);
    return merged;
}

static bool through_template(const TextForm *form, const cJSON *messages, bool answer, Text *out, Error *err) {
    const cJSON *special = tokenizer_special(form->tokenizer);
    Error refused = {0};
    if (chat_template_apply(form->chat, messages, answer, special, &day_of_texts, out, &refused)) return true;
    cJSON *merged = without_system(messages);
    const bool ok = merged && chat_template_apply(form->chat, merged, answer, special, &day_of_texts, out, NULL);
    cJSON_Delete(merged);
    return ok || error_set(err, "%s; --chat off leaves the template out", refused.message);
}

bool tokens_of_conversation(const TextForm *form, const cJSON *messages, bool answer, TokenIds *out, Error *err) {
    Text text = {0};
    bool ok = (cJSON_IsArray(messages) && messages->child) ||
              error_set(err, "\"messages\" must be a list of messages, and not empty");
    if (form->chat) {
        ok = ok && through_template(form, messages, answer, &text, err) &&
             tokenizer_encode(form->tokenizer, text.data, text.length, false, out, err);
    } else
        ok = ok && as_transcript(messages, answer, &text, err) && add_text(form->tokenizer, &text, out, err);
    text_free(&text);
    return ok;
}

// ---- JSONL ----

static bool from_json_line(const TextForm *form, const char *line, size_t length, TokenIds *out, Error *err) {
    cJSON *json = json_parse(line, length, err);
    if (!json) return false;
    const char *string = NULL;
    const cJSON *messages = cJSON_GetObjectItemCaseSensitive(json, "messages");
    Text text = {0};
    bool ok = cJSON_IsObject(json) || error_set(err, "is not a JSON object");
    ok = ok && json_string(json, "text", NULL, &string, err);
    if (ok && !string && !messages) ok = error_set(err, "has neither \"text\" nor \"messages\"");
    if (ok && string) {
        json_bytes(string, &text);
        ok = add_text(form->tokenizer, &text, out, err);
    } else
        ok = ok && tokens_of_conversation(form, messages, false, out, err);
    text_free(&text);
    cJSON_Delete(json);
    return ok;
}

static bool is_blank(const char *line, size_t length) {
    size_t i = 0;
    while (i < length && is_space(line[i])) i++;
    return i == length;
}

// One line with its end, of at most LONGEST bytes. *length = 0 at the end of the file.
static bool read_line(FILE *file, char **line, size_t *capacity, size_t *length, Error *err) {
    *length = 0;
    for (int c; (c = getc_unlocked(file)) != EOF;) {
        if (*length == LONGEST) return error_set(err, "is longer than %zu MB", LONGEST >> 20);
        if (!array_grow(line, *length, capacity, 1)) return error_memory(err, "reading lines");
        (*line)[(*length)++] = (char)c;
        if (c == '\n') break;
    }
    return !ferror(file) || error_set(err, "cannot be read: %s", strerror(errno));
}

static bool from_jsonl(const TextForm *form, FILE *file, size_t most, TokenIds *out, Error *err) {
    const size_t before = out->count;
    char *line = NULL;
    size_t capacity = 0, length = 1, lines = 0; // that are not blank
    bool ok = true;
    for (size_t number = 1; ok && length && out->count < most; number++) {
        ok = read_line(file, &line, &capacity, &length, err);
        if (ok && !is_blank(line, length)) {
            ok = from_json_line(form, line, length, out, err);
            lines++;
        }
        if (!ok) error_prefix(err, "line %zu", number);
    }
    free(line);
    if (ok && lines && out->count == before) ok = error_set(err, "no line holds any text");
    return ok;
}

static void keep_most(TokenIds *out, size_t most) {
    if (out->count > most) out->count = most;
}

bool tokens_file_has_lines(const char *path) {
    const char *dot = strrchr(path, '.');
    return dot && strcasecmp(dot, ".jsonl") == 0;
}

bool tokens_from_file(const TextForm *form, const char *path, size_t most, TokenIds *out, Error *err) {
    FILE *file = fopen(path, "rbe");
    Error other = {0};
    if (!file) return error_set(err, "%s: cannot be opened: %s", path, strerror(errno));
    size_t before = out->count, limit = most > SIZE_MAX - before ? SIZE_MAX : before + most;
    bool ok = !recognize_file(path, EXPECTED_TEXT, &other) &&
              (tokens_file_has_lines(path) ? from_jsonl(form, file, limit, out, err)
                                           : from_text(form->tokenizer, file, limit, out, err));
    fclose(file);
    if (other.message[0]) return error_set(err, "%s", other.message);
    keep_most(out, limit);
    if (ok && most && out->count == before) ok = error_set(err, "the file is empty");
    if (ok) return true;
    out->count = before;
    return error_prefix(err, "%s", path);
}

bool tokens_random(size_t vocab, size_t count, uint64_t seed, TokenIds *out, Error *err) {
    if (!vocab || vocab > INT32_MAX) return error_set(err, "a vocabulary of %zu tokens cannot be drawn from", vocab);
    Random random = random_seeded(seed);
    for (size_t i = 0; i < count; i++) {
        if (!add_id(out, (int32_t)random_below(&random, (uint32_t)vocab), err)) return false;
    }
    return true;
}
