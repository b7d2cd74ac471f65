// WordLevel: a piece is a token or it is unknown.
#include <stdlib.h>
#include <string.h>

#include "loaders/tokenizer/tokenizer_parts.h"

typedef struct WordLevel {
    Vocab vocab;
    int32_t unknown; // −1 when unk_token is not in the vocabulary
} WordLevel;

static void wordlevel_free(void *model) {
    WordLevel *words = model;
    if (!words) return;
    vocab_free(&words->vocab);
    free(words);
}

static bool wordlevel_read(const cJSON *json, void **model, Error *err) {
    WordLevel *words = array_new(1, sizeof *words);
    if (!words) return error_memory(err, "the tokenizer");
    *model = words;
    const char *unknown;
    if (!vocab_read(cJSON_GetObjectItemCaseSensitive(json, "vocab"), &words->vocab, err) ||
        !json_string(json, "unk_token", "<unk>", &unknown, err)) {
        return false;
    }
    words->unknown = vocab_find_string(&words->vocab, unknown);
    return true;
}

static const Vocab *wordlevel_vocab(const void *model) { return &((const WordLevel *)model)->vocab; }

static bool wordlevel_encode(const void *model, const char *piece, size_t length, Scratch *scratch, TokenIds *out,
                             Error *err) {
    (void)scratch;
    const WordLevel *words = model;
    int32_t id = vocab_find(&words->vocab, piece, length);
    if (id < 0) id = words->unknown;
    if (id < 0) return error_set(err, "unk_token is not in the vocabulary, but the text needs it");
    return token_ids_add(out, id) || error_memory(err, "token ids");
}

const ModelKind wordlevel_model = {.type = "WordLevel",
                                   .read = wordlevel_read,
                                   .free = wordlevel_free,
                                   .vocab = wordlevel_vocab,
                                   .encode = wordlevel_encode};
