// Byte pair encoding (Sennrich et al. 2016) as the tokenizers package does it (models/bpe): the pair of lowest rank is
// merged first, ties leftmost. A heap of candidate merges over a linked list of symbols takes n log n steps, however
// long a piece is.
#include <stdlib.h>
#include <string.h>

#include "loaders/tokenizer/tokenizer_parts.h"

typedef struct PairRule {
    int32_t left, right, result; // result −1: an empty slot
    uint32_t rank;
} PairRule;

typedef struct Bpe {
    Vocab vocab;
    PairRule *rules; // open addressing by (left, right)
    size_t rule_slots;
    bool ignore_merges, byte_fallback, fuse_unknown, has_unknown;
    int32_t unknown; // −1 when unk_token is not in the vocabulary
    ByteTokens byte_tokens;
    char *prefix, *suffix; // of all characters of a piece but the first, and of its last; "" for none
    Text parts[2];         // of the merge that is being read
} Bpe;

// -----------------------------------------------------------------------------------------------------------------
// rules

static PairRule *rule_slot(const Bpe *bpe, int32_t left, int32_t right) {
    uint64_t key = (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
    size_t mask = bpe->rule_slots - 1, slot = (size_t)((key ^ key >> 29) * 0x9E3779B97F4A7C15u >> 20) & mask;
    while (bpe->rules[slot].result >= 0 && (bpe->rules[slot].left != left || bpe->rules[slot].right != right))
        slot = (slot + 1) & mask;
    return &bpe->rules[slot];
}

static bool make_rules(Bpe *bpe, size_t count, Error *err) {
    bpe->rule_slots = 64;
    while (bpe->rule_slots < 2 * count) bpe->rule_slots *= 2;
    bpe->rules = array_new(bpe->rule_slots, sizeof *bpe->rules);
    if (!bpe->rules) return error_memory(err, "merges");
    for (size_t i = 0; i < bpe->rule_slots; i++) bpe->rules[i].result = -1;
    return true;
}

static bool find_part(const Bpe *bpe, const char *text, size_t length, size_t line, int32_t *id, Error *err) {
    *id = vocab_find(&bpe->vocab, text, length);
    if (*id >= 0) return true;
    char *shown = text_printable(text, length, false);
    error_set(err, "merge %zu: \"%.60s\" is not in the vocabulary", line, shown ? shown : "?");
    free(shown);
    return false;
}

// A pair that is there twice has its last rank.
static bool add_rule(Bpe *bpe, const char *left, size_t left_length, const char *right, size_t right_length,
                     size_t line, Error *err) {
    PairRule rule = {.rank = (uint32_t)line};
    Text joined = {0};
    size_t skip = strlen(bpe->prefix); // the right part's prefix goes away in the middle of a token
    if (skip > right_length) return error_set(err, "merge %zu: its right part lacks the subword prefix", line);
    text_add(&joined, left, left_length);
    text_add(&joined, right + skip, right_length - skip);
    bool ok = !joined.failed || error_memory(err, "merges");
    ok = ok && find_part(bpe, left, left_length, line, &rule.left, err) &&
         find_part(bpe, right, right_length, line, &rule.right, err) &&
         find_part(bpe, joined.data, joined.length, line, &rule.result, err);
    if (ok) *rule_slot(bpe, rule.left, rule.right) = rule;
    text_free(&joined);
    return ok;
}

// "a b" or ["a", "b"].
static bool read_merge(Bpe *bpe, const cJSON *item, size_t line, Error *err) {
    const char *text = cJSON_GetStringValue(item), *space = text ? strchr(text, ' ') : NULL;
    const char *left = cJSON_GetStringValue(cJSON_GetArrayItem(item, 0)),
               *right = cJSON_GetStringValue(cJSON_GetArrayItem(item, 1));
    if (text && (!space || strchr(space + 1, ' ')))
        return error_set(err, "merge %zu must be two parts with a space between them", line);
    if (!text && (!left || !right || cJSON_GetArraySize(item) != 2))
        return error_set(err, "merge %zu must be a pair of strings", line);
    Text *parts = bpe->parts;
    json_bytes(text ? text : left, &parts[0]);
    if (text) {
        char *cut = memchr(parts[0].data, ' ', parts[0].length);
        json_bytes(space + 1, &parts[1]);
        parts[0].length = (size_t)(cut - parts[0].data);
    } else {
        json_bytes(right, &parts[1]);
    }
    if (parts[0].failed || parts[1].failed) return error_memory(err, "merges");
    return add_rule(bpe, parts[0].data, parts[0].length, parts[1].data, parts[1].length, line, err);
}

static bool read_merges(Bpe *bpe, const cJSON *merges, Error *err) {
    if (!cJSON_IsArray(merges)) return error_set(err, "\"merges\" must be an array");
    if (!make_rules(bpe, (size_t)cJSON_GetArraySize(merges), err)) return false;
    const cJSON *item;
    size_t line = 0;
    cJSON_ArrayForEach(item, merges) {
        const char *text = cJSON_GetStringValue(item);
        if (text && strncmp(text, "#version", 8) == 0) continue;
        if (!read_merge(bpe, item, line++, err)) return false;
    }
    return true;
}

// ------------------------------------------------------------------------------------------------------------
// vocabulary

// An empty affix is none. Dropout belongs to training: here the same text always gives the same ids.
static bool read_options(Bpe *bpe, const cJSON *json, Error *err) {
    const char *unknown, *prefix, *suffix;
    if (!json_string(json, "continuing_subword_prefix", "", &prefix, err) ||
        !json_string(json, "end_of_word_suffix", "", &suffix, err) ||
        !json_bool(json, "ignore_merges", false, &bpe->ignore_merges, err) ||
        !json_bool(json, "byte_fallback", false, &bpe->byte_fallback, err) ||
        !json_bool(json, "fuse_unk", false, &bpe->fuse_unknown, err) ||
        !json_string(json, "unk_token", NULL, &unknown, err)) {
        return false;
    }
    bpe->prefix = strdup(prefix);
    bpe->suffix = strdup(suffix);
    if (!bpe->prefix || !bpe->suffix) return error_memory(err, "the tokenizer");
    bpe->has_unknown = unknown != NULL;
    bpe->unknown = unknown ? vocab_find_string(&bpe->vocab, unknown) : -1;
    bpe->byte_tokens = vocab_byte_tokens(&bpe->vocab);
    return true;
}

static void bpe_free(void *model) {
    Bpe *bpe = model;
    if (!bpe) return;
    vocab_free(&bpe->vocab);
    free(bpe->rules);
    free(bpe->prefix);
    free(bpe->suffix);
    text_free(&bpe->parts[0]);
    text_free(&bpe->parts[1]);
    free(bpe);
}

static bool bpe_read(const cJSON *json, void **model, Error *err) {
    Bpe *bpe = array_new(1, sizeof *bpe);
    if (!bpe) return error_memory(err, "the tokenizer");
    *model = bpe;
    return vocab_read(cJSON_GetObjectItemCaseSensitive(json, "vocab"), &bpe->vocab, err) &&
           read_options(bpe, json, err) && read_merges(bpe, cJSON_GetObjectItemCaseSensitive(json, "merges"), err);
}

static int compare_ranks(const void *a, const void *b) {
    const PairRule *x = a, *y = b;
    return (x->rank > y->rank) - (x->rank < y->rank);
}

static bool bpe_merges(const void *model, TokenMerge **out, size_t *count, Error *err) {
    const Bpe *bpe = model;
    PairRule *rules = array_new(bpe->rule_slots, sizeof *rules);
    size_t n = 0;
    for (size_t i = 0; rules && i < bpe->rule_slots; i++) {
        if (bpe->rules[i].result >= 0) rules[n++] = bpe->rules[i];
    }
    *out = rules ? array_new(n, sizeof **out) : NULL;
    if (*out) {
        qsort(rules, n, sizeof *rules, compare_ranks);
        for (size_t i = 0; i < n; i++) (*out)[i] = (TokenMerge){rules[i].left, rules[i].right, rules[i].result};
        *count = n;
    }
    free(rules);
    return *out || error_memory(err, "merges");
}

static const Vocab *bpe_vocab(const void *model) { return &((const Bpe *)model)->vocab; }

// ---------------------------------------------------------------------------------------------------------------
// symbols

static bool add_symbol(Scratch *scratch, int32_t id, Error *err) {
    if (!array_grow(&scratch->symbols, scratch->symbol_count, &scratch->symbol_capacity, sizeof *scratch->symbols)) {
        return error_memory(err, "a piece of text");
    }
    int32_t at = (int32_t)scratch->symbol_count;
    if (at) scratch->symbols[at - 1].next = at;
    scratch->symbols[scratch->symbol_count++] = (Symbol){.id = id, .previous = at - 1, .next = -1};
    return true;
}

// A character as the vocabulary has it: with the affixes that its place in the piece asks for.
static bool with_affixes(const Bpe *bpe, const char *piece, size_t length, size_t at, size_t n, Text *out) {
    text_clear(out);
    if (at) text_add(out, bpe->prefix, strlen(bpe->prefix));
    text_add(out, piece + at, n);
    if (at + n == length) text_add(out, bpe->suffix, strlen(bpe->suffix));
    return !out->failed;
}

static bool add_byte_tokens(const Bpe *bpe, const char *bytes, size_t length, Scratch *scratch, Error *err) {
    for (size_t i = 0; i < length; i++) {
        if (!add_symbol(scratch, bpe->byte_tokens.ids[(unsigned char)bytes[i]], err)) return false;
    }
    return true;
}

// *pending: an unknown token is due. It is written once the next known character comes, which byte tokens are not (as
// in the package), so that fuse_unk can join runs.
static bool add_character(const Bpe *bpe, const char *text, size_t length, bool *pending, Scratch *scratch,
                          Error *err) {
    int32_t id = vocab_find(&bpe->vocab, text, length);
    if (id >= 0) {
        if (*pending && !add_symbol(scratch, bpe->unknown, err)) return false;
        *pending = false;
        return add_symbol(scratch, id, err);
    }
    if (bpe->byte_fallback && byte_tokens_has_all(&bpe->byte_tokens, text, length))
        return add_byte_tokens(bpe, text, length, scratch, err);
    if (!bpe->has_unknown) return true;
    if (bpe->unknown < 0) return error_set(err, "unk_token is not in the vocabulary, but the text needs it");
    if (*pending && !bpe->fuse_unknown && !add_symbol(scratch, bpe->unknown, err)) return false;
    *pending = true;
    return true;
}

static bool make_symbols(const Bpe *bpe, const char *piece, size_t length, Scratch *scratch, Error *err) {
    bool pending = false, affixes = *bpe->prefix || *bpe->suffix, ok = true;
    Text affixed = {0};
    scratch->symbol_count = 0;
    for (size_t i = 0, n; ok && i < length; i += n) {
        uint32_t code;
        n = utf8_read(piece + i, length - i, &code);
        if (!affixes)
            ok = add_character(bpe, piece + i, n, &pending, scratch, err);
        else if (with_affixes(bpe, piece, length, i, n, &affixed))
            ok = add_character(bpe, affixed.data, affixed.length, &pending, scratch, err);
        else
            ok = error_memory(err, "a piece of text");
    }
    text_free(&affixed);
    return ok && (!pending || add_symbol(scratch, bpe->unknown, err));
}

// ----------------------------------------------------------------------------------------------------------------
// merging

static bool merge_before(const Merge *a, const Merge *b) {
    return a->rank != b->rank ? a->rank < b->rank : a->at < b->at;
}

// Puts the merge of symbol `left` and its right neighbour on the heap, if there is a rule for it.
static bool push_merge(const Bpe *bpe, Scratch *scratch, int32_t left, Error *err) {
    int32_t right = left < 0 ? -1 : scratch->symbols[left].next;
    if (right < 0) return true;
    const PairRule *rule = rule_slot(bpe, scratch->symbols[left].id, scratch->symbols[right].id);
    if (rule->result < 0) return true;
    if (!array_grow(&scratch->heap, scratch->heap_count, &scratch->heap_capacity, sizeof *scratch->heap)) {
        return error_memory(err, "a piece of text");
    }
    Merge merge = {.rank = rule->rank, .at = (uint32_t)left, .id = rule->result}, *heap = scratch->heap;
    size_t i = scratch->heap_count++;
    for (; i && merge_before(&merge, &heap[(i - 1) / 2]); i = (i - 1) / 2) heap[i] = heap[(i - 1) / 2];
    heap[i] = merge;
    return true;
}

static Merge pop_merge(Scratch *scratch) {
    Merge *heap = scratch->heap, top = heap[0], last = heap[--scratch->heap_count];
    size_t i = 0;
    for (size_t child; (child = 2 * i + 1) < scratch->heap_count; i = child) {
        if (child + 1 < scratch->heap_count && merge_before(&heap[child + 1], &heap[child])) child++;
        if (!merge_before(&heap[child], &last)) break;
        heap[i] = heap[child];
    }
    heap[i] = last;
    return top;
}

static bool merge_symbols(const Bpe *bpe, Scratch *scratch, Error *err) {
    Symbol *symbols = scratch->symbols;
    scratch->heap_count = 0;
    for (size_t i = 0; i < scratch->symbol_count; i++) {
        if (!push_merge(bpe, scratch, (int32_t)i, err)) return false;
    }
    while (scratch->heap_count) {
        Merge merge = pop_merge(scratch);
        Symbol *left = &symbols[merge.at];
        if (left->id < 0 || left->next < 0) continue;
        Symbol *right = &symbols[left->next];
        if (rule_slot(bpe, left->id, right->id)->result != merge.id) continue; // one of the two was merged since
        left->id = merge.id;
        left->next = right->next;
        right->id = -1;
        if (left->next >= 0) symbols[left->next].previous = (int32_t)merge.at;
        if (!push_merge(bpe, scratch, left->previous, err) || !push_merge(bpe, scratch, (int32_t)merge.at, err))
            return false;
    }
    return true;
}

static bool bpe_encode(const void *model, const char *piece, size_t length, Scratch *scratch, TokenIds *out,
                       Error *err) {
    const Bpe *bpe = model;
    int32_t whole = bpe->ignore_merges ? vocab_find(&bpe->vocab, piece, length) : -1;
    if (whole >= 0) return token_ids_add(out, whole) || error_memory(err, "token ids");
    if (!make_symbols(bpe, piece, length, scratch, err) || !merge_symbols(bpe, scratch, err)) return false;
    for (int32_t i = scratch->symbol_count ? 0 : -1; i >= 0; i = scratch->symbols[i].next) {
        if (!token_ids_add(out, scratch->symbols[i].id)) return error_memory(err, "token ids");
    }
    return true;
}

const ModelKind bpe_model = {
    .type = "BPE", .read = bpe_read, .free = bpe_free, .vocab = bpe_vocab, .encode = bpe_encode, .merges = bpe_merges};
