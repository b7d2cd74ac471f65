// Unigram (Kudo 2018) as the tokenizers package does it (models/unigram): the way through a piece whose tokens have the
// highest sum of scores, found with doubles, the first of equals.
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "loaders/tokenizer/tokenizer_parts.h"

#define UNKNOWN_PENALTY 10.0 // below the lowest score of the vocabulary

typedef struct Unigram {
    Vocab vocab; // entries[id]
    double *scores;
    size_t score_capacity;
    double unknown_score;
    int32_t unknown; // −1: none
    bool byte_fallback;
    ByteTokens byte_tokens;
    // Indices into entries, by text: the tokens that begin alike stand together, the shorter ones first.
    uint32_t *order;
    uint32_t first[257]; // the range of order[] whose tokens start with a byte
} Unigram;

// ------------------------------------------------------------------------------------------------------ reading

static bool add_token(Unigram *unigram, const cJSON *item, Error *err) {
    size_t id = unigram->vocab.count;
    const cJSON *text = cJSON_GetArrayItem(item, 0), *score = cJSON_GetArrayItem(item, 1);
    if (!cJSON_IsString(text) || !cJSON_IsNumber(score) || !isfinite(score->valuedouble))
        return error_set(err, "token %zu of \"vocab\" must be a text and a score", id);
    if (id >= 1 << 24) return error_set(err, "more than %d tokens are not supported", 1 << 24);
    Text bytes = {0};
    json_bytes(text->valuestring, &bytes);
    bool ok = !bytes.failed && array_grow(&unigram->scores, id, &unigram->score_capacity, sizeof *unigram->scores) &&
              vocab_append(&unigram->vocab, bytes.data, bytes.length, (int32_t)id);
    text_free(&bytes);
    if (!ok) return error_memory(err, "the vocabulary");
    unigram->scores[id] = score->valuedouble;
    return true;
}

static int compare_texts(const void *a, const void *b, void *vocab) {
    const Vocab *v = vocab;
    const VocabEntry *x = &v->entries[*(const uint32_t *)a], *y = &v->entries[*(const uint32_t *)b];
    size_t common = x->length < y->length ? x->length : y->length;
    int order = memcmp(v->bytes.data + x->at, v->bytes.data + y->at, common);
    if (order) return order;
    return x->length != y->length ? (x->length < y->length ? -1 : 1) : x->id - y->id;
}

// −1 behind the end of the token.
static int byte_of(const Unigram *unigram, uint32_t index, size_t depth) {
    const VocabEntry *entry = &unigram->vocab.entries[unigram->order[index]];
    return depth < entry->length ? (unsigned char)unigram->vocab.bytes.data[entry->at + depth] : -1;
}

static bool sort_tokens(Unigram *unigram, Error *err) {
    size_t count = unigram->vocab.count;
    unigram->order = array_new(count, sizeof *unigram->order);
    if (!unigram->order) return error_memory(err, "the vocabulary");
    for (size_t i = 0; i < count; i++) unigram->order[i] = (uint32_t)i;
    qsort_r(unigram->order, count, sizeof *unigram->order, compare_texts, &unigram->vocab);
    uint32_t at = 0;
    for (int byte = 0; byte <= 256; byte++) {
        while (at < count && byte_of(unigram, at, 0) < byte) at++;
        unigram->first[byte] = at;
    }
    return true;
}

static bool read_options(Unigram *unigram, const cJSON *json, Error *err) {
    const Vocab *vocab = &unigram->vocab;
    const cJSON *unknown = cJSON_GetObjectItemCaseSensitive(json, "unk_id");
    int64_t id = -1;
    if (!json_bool(json, "byte_fallback", false, &unigram->byte_fallback, err)) return false;
    if (unknown && !cJSON_IsNull(unknown) && !json_integer(json, "unk_id", 0, 0, (int64_t)vocab->count - 1, &id, err))
        return error_prefix(err, "the vocabulary has %zu tokens", vocab->count);
    unigram->unknown = (int32_t)id;
    double least = INFINITY;
    for (size_t i = 0; i < vocab->count; i++) least = unigram->scores[i] < least ? unigram->scores[i] : least;
    unigram->unknown_score = least - UNKNOWN_PENALTY;
    unigram->byte_tokens = vocab_byte_tokens(vocab);
    return true;
}

static void unigram_free(void *model) {
    Unigram *unigram = model;
    if (!unigram) return;
    vocab_free(&unigram->vocab);
    free(unigram->scores);
    free(unigram->order);
    free(unigram);
}

static bool unigram_read(const cJSON *json, void **model, Error *err) {
    Unigram *unigram = array_new(1, sizeof *unigram);
    if (!unigram) return error_memory(err, "the tokenizer");
    *model = unigram;
    const cJSON *vocab = cJSON_GetObjectItemCaseSensitive(json, "vocab"), *item;
    if (!cJSON_IsArray(vocab)) return error_set(err, "\"vocab\" of Unigram must be an array");
    cJSON_ArrayForEach(item, vocab) {
        if (!add_token(unigram, item, err)) return false;
    }
    return read_options(unigram, json, err) && sort_tokens(unigram, err);
}

static const Vocab *unigram_vocab(const void *model) { return &((const Unigram *)model)->vocab; }

// ----------------------------------------------------------------------------------------- the best way (Viterbi)

// The first of order[low..high) whose byte at `depth` is at least `byte`.
static uint32_t lower_bound(const Unigram *unigram, uint32_t low, uint32_t high, size_t depth, int byte) {
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (byte_of(unigram, middle, depth) < byte)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static void offer_piece(BestPath *paths, size_t start, size_t end, double score, int32_t id) {
    score += paths[start].score;
    if (paths[end].start != UINT32_MAX && !(score > paths[end].score)) return;
    paths[end] = (BestPath){.score = score, .id = id, .start = (uint32_t)start};
}

// Offers every token that the text at `start` begins with; tells whether one of them is its first character.
static bool offer_tokens(const Unigram *unigram, const char *piece, size_t length, size_t start, size_t character,
                         BestPath *paths) {
    bool single = false;
    unsigned char byte = (unsigned char)piece[start];
    uint32_t low = unigram->first[byte], high = unigram->first[byte + 1];
    for (size_t depth = 0; low < high; depth++) {
        // All of the range agree with the text up to here; those that end here come first, a doubled text's last id
        // last.
        uint32_t longer = lower_bound(unigram, low, high, depth + 1, 0);
        if (longer > low) {
            int32_t id = unigram->vocab.entries[unigram->order[longer - 1]].id;
            offer_piece(paths, start, start + depth + 1, unigram->scores[id], id);
            single = single || depth + 1 == character;
        }
        if (start + depth + 1 == length) break;
        byte = (unsigned char)piece[start + depth + 1];
        low = lower_bound(unigram, longer, high, depth + 1, byte);
        high = lower_bound(unigram, low, high, depth + 1, byte + 1);
    }
    return single;
}

static bool find_paths(const Unigram *unigram, const char *piece, size_t length, BestPath *paths, Error *err) {
    for (size_t i = 1; i <= length; i++) paths[i].start = UINT32_MAX;
    paths[0] = (BestPath){0};
    for (size_t start = 0, n; start < length; start += n) {
        uint32_t code;
        n = utf8_read(piece + start, length - start, &code);
        if (offer_tokens(unigram, piece, length, start, n, paths)) continue;
        offer_piece(paths, start, start + n, unigram->unknown_score, unigram->unknown);
        if (paths[start + n].start == start && paths[start + n].id < 0)
            return error_set(err, "the text has a character that is not in the vocabulary, and there is no unk_id");
    }
    return true;
}

// ------------------------------------------------------------------------------------------------------- encoding

static bool add_ids(const Unigram *unigram, const char *text, size_t length, TokenIds *out, Error *err) {
    int32_t id = vocab_find(&unigram->vocab, text, length); // a run of unknown characters may be a token, too
    bool bytes = id < 0 && unigram->byte_fallback && byte_tokens_has_all(&unigram->byte_tokens, text, length);
    for (size_t i = 0; i < (bytes ? length : 1); i++) {
        int32_t next = bytes ? unigram->byte_tokens.ids[(unsigned char)text[i]] : id >= 0 ? id : unigram->unknown;
        if (!token_ids_add(out, next)) return error_memory(err, "token ids");
    }
    return true;
}

// Notes at the beginning of each token on the best way where it ends. A run of unknown tokens is one.
static void link_forward(const Unigram *unigram, size_t length, BestPath *paths) {
    uint32_t end = (uint32_t)length;
    bool unknown_behind = false;
    for (size_t at = length; at > 0;) {
        bool unknown = unigram->unknown >= 0 && paths[at].id == unigram->unknown;
        if (!unknown || !unknown_behind) end = (uint32_t)at;
        unknown_behind = unknown;
        at = paths[at].start;
        paths[at].end = end;
    }
}

static bool unigram_encode(const void *model, const char *piece, size_t length, Scratch *scratch, TokenIds *out,
                           Error *err) {
    const Unigram *unigram = model;
    while (scratch->path_capacity <= length) {
        if (!array_grow(&scratch->paths, scratch->path_capacity, &scratch->path_capacity, sizeof *scratch->paths))
            return error_memory(err, "a piece of text");
    }
    if (!find_paths(unigram, piece, length, scratch->paths, err)) return false;
    link_forward(unigram, length, scratch->paths);
    for (size_t start = 0, end; start < length; start = end) {
        end = scratch->paths[start].end;
        if (!add_ids(unigram, piece + start, end - start, out, err)) return false;
    }
    return true;
}

const ModelKind unigram_model = {
    .type = "Unigram", .read = unigram_read, .free = unigram_free, .vocab = unigram_vocab, .encode = unigram_encode};
