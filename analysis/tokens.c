#include "analysis/tokens.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/json.h"
#include "base/random.h"

// Text is tokenized in blocks, so that the beginning of a huge file is read in no time. A line of JSONL is read whole.
#define BLOCK ((size_t)64 << 10)
#define LINE_LIMIT ((size_t)64 << 20)

static bool is_space(char c) { return c == ' ' || c == '\n' || c == '\t' || c == '\r' || c == '\v' || c == '\f'; }
static bool is_continuation(char c) { return ((unsigned char)c & 0xC0) == 0x80; }

// How good it is to cut before text[i]: 0 not within a character, 1 between characters, 2 before the white space that
// begins a word, 3 after a line end that stands alone. Pre-tokenizers never join over a place of rank 2 or 3 (a word
// takes at most one space before it, punctuation takes line ends behind it), so the ids of both sides are those of the
// whole text.
static int cut_rank(const char *text, size_t i) {
    char before = text[i - 1], after = text[i];
    if (is_continuation(after)) return 0;
    if (before == '\n' && !is_space(after) && i >= 2 && !is_space(text[i - 2])) return 3;
    if (after == ' ' && !is_space(before) && !is_space(text[i + 1])) return 2;
    return 1;
}

// Where to end a block of at most `length` bytes of a longer text: the best place in its last quarter. length ≥ 8.
static size_t cut_place(const char *text, size_t length) {
    size_t best = length;
    int rank = 0;
    for (size_t i = length - 2; i > length - length / 4 && rank < 3; i--) {
        int here = cut_rank(text, i);
        if (here <= rank) continue;
        rank = here;
        best = i;
    }
    return best;
}

static void keep_most(TokenIds *out, size_t most) {
    if (out->count > most) out->count = most;
}

static bool from_text(const Tokenizer *tokenizer, FILE *file, size_t most, TokenIds *out, Error *err) {
    char *block = malloc(BLOCK);
    if (!block) return error_memory(err, "reading text");
    size_t have = 0, offset = 0;
    bool ok = true, ended = false;
    while (ok && out->count < most && !(ended && have == 0)) {
        have += fread(block + have, 1, BLOCK - have, file);
        if (ferror(file)) ok = error_set(err, "cannot be read: %s", strerror(errno));
        ended = have < BLOCK;
        size_t skip =
            offset == 0 && have >= 3 && memcmp(block, "\xEF\xBB\xBF", 3) == 0 ? 3 : 0; // a byte order mark is no text
        size_t end = ended ? have : cut_place(block, have);
        bool first = offset == 0; // what the tokenizer puts before a text belongs there once
        if (ok && end > skip && !tokenizer_encode(tokenizer, block + skip, end - skip, first, out, err)) {
            ok = error_prefix(err, "bytes %zu to %zu", offset + skip, offset + end);
        }
        memmove(block, block + end, have - end);
        have -= end;
        offset += end;
    }
    free(block);
    return ok;
}

static bool from_json_line(const Tokenizer *tokenizer, const char *line, size_t length, TokenIds *out, Error *err) {
    cJSON *json = json_parse(line, length, err);
    if (!json) return false;
    const char *text = NULL;
    bool ok = cJSON_IsObject(json) || error_set(err, "is not a JSON object");
    ok = ok && json_string(json, "text", NULL, &text, err);
    ok = ok && (text || error_set(err, "has no field \"text\""));
    ok = ok && tokenizer_encode(tokenizer, text, strlen(text), true, out, err);
    cJSON_Delete(json);
    return ok;
}

static bool is_blank(const char *line, size_t length) {
    size_t i = 0;
    while (i < length && is_space(line[i])) i++;
    return i == length;
}

// One line with its end, of at most LINE_LIMIT bytes. *length = 0 at the end of the file.
static bool read_line(FILE *file, char **line, size_t *capacity, size_t *length, Error *err) {
    *length = 0;
    for (int c; (c = getc_unlocked(file)) != EOF;) {
        if (*length == LINE_LIMIT) return error_set(err, "is longer than %zu MB", LINE_LIMIT >> 20);
        if (!array_grow(line, *length, capacity, 1)) return error_memory(err, "reading lines");
        (*line)[(*length)++] = (char)c;
        if (c == '\n') break;
    }
    return !ferror(file) || error_set(err, "cannot be read: %s", strerror(errno));
}

static bool from_jsonl(const Tokenizer *tokenizer, FILE *file, size_t most, TokenIds *out, Error *err) {
    char *line = NULL;
    size_t capacity = 0, length = 1;
    bool ok = true;
    for (size_t number = 1; ok && length && out->count < most; number++) {
        ok = read_line(file, &line, &capacity, &length, err);
        if (ok && !is_blank(line, length)) ok = from_json_line(tokenizer, line, length, out, err);
        if (!ok) error_prefix(err, "line %zu", number);
    }
    free(line);
    return ok;
}

static bool is_jsonl(const char *path) {
    const char *dot = strrchr(path, '.');
    return dot && strcasecmp(dot, ".jsonl") == 0;
}

bool tokens_from_file(const Tokenizer *tokenizer, const char *path, size_t most, TokenIds *out, Error *err) {
    FILE *file = fopen(path, "rbe");
    if (!file) return error_set(err, "%s: cannot be opened: %s", path, strerror(errno));
    size_t before = out->count, limit = most > SIZE_MAX - before ? SIZE_MAX : before + most;
    bool ok =
        is_jsonl(path) ? from_jsonl(tokenizer, file, limit, out, err) : from_text(tokenizer, file, limit, out, err);
    fclose(file);
    keep_most(out, limit);
    if (ok && most && out->count == before) ok = error_set(err, "there is no text in it");
    if (ok) return true;
    out->count = before;
    return error_prefix(err, "%s", path);
}

bool tokens_random(size_t vocab, size_t count, uint64_t seed, TokenIds *out, Error *err) {
    if (!vocab || vocab > INT32_MAX) return error_set(err, "a vocabulary of %zu tokens cannot be drawn from", vocab);
    Random random = random_seeded(seed);
    for (size_t i = 0; i < count; i++) {
        if (!array_grow(&out->ids, out->count, &out->capacity, sizeof *out->ids))
            return error_memory(err, "random tokens");
        out->ids[out->count++] = (int32_t)random_below(&random, (uint32_t)vocab);
    }
    return true;
}
