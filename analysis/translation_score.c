#include "analysis/translation_score.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// ---- Counting n-grams ----

// Texts as numbers, one behind the other: the translation, then its references. Equal symbols have equal numbers.
typedef struct Symbols {
    uint32_t *symbols, *numbers; // [count]; of the n-gram that begins there
    uint64_t *keys;              // [count]: scratch
    uint32_t *counts, *most;     // [count], by number
    size_t *ends;                // [texts]
    size_t count, capacity, texts;
} Symbols;

static void symbols_free(Symbols *s) {
    free(s->symbols);
    free(s->numbers);
    free(s->keys);
    free(s->counts);
    free(s->most);
    free(s->ends);
}

static bool symbols_ready(Symbols *s) {
    s->numbers = array_new(s->count, sizeof *s->numbers);
    s->keys = array_new(s->count, sizeof *s->keys);
    s->counts = array_new(s->count, sizeof *s->counts);
    s->most = array_new(s->count, sizeof *s->most);
    return s->numbers && s->keys && s->counts && s->most;
}

static bool symbol_add(Symbols *s, uint32_t symbol) {
    if (!array_grow(&s->symbols, s->count, &s->capacity, sizeof *s->symbols)) return false;
    s->symbols[s->count++] = symbol;
    return true;
}

static size_t text_begin(const Symbols *s, size_t text) { return text ? s->ends[text - 1] : 0; }
static size_t text_length(const Symbols *s, size_t text) { return s->ends[text] - text_begin(s, text); }

static size_t grams_of(const Symbols *s, size_t text, size_t n) {
    const size_t length = text_length(s, text);
    return length < n ? 0 : length - n + 1;
}

static int compare_keys(const void *a, const void *b) {
    const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

// An n-gram is its first n − 1 symbols, which have a number already, and its last one.
static uint64_t key_at(const Symbols *s, size_t at, size_t n) {
    return n == 1 ? s->symbols[at] : (uint64_t)s->numbers[at] << 32 | s->symbols[at + n - 1];
}

// Numbers all n-grams, those of n − 1 being numbered.
static void number_grams(Symbols *s, size_t n) {
    size_t count = 0, different = 0;
    for (size_t t = 0; t < s->texts; t++)
        for (size_t i = 0; i < grams_of(s, t, n); i++) s->keys[count++] = key_at(s, text_begin(s, t) + i, n);
    qsort(s->keys, count, sizeof *s->keys, compare_keys);
    for (size_t i = 0; i < count; i++)
        if (!i || s->keys[i] != s->keys[different - 1]) s->keys[different++] = s->keys[i];
    for (size_t t = 0; t < s->texts; t++)
        for (size_t i = 0; i < grams_of(s, t, n); i++) {
            const size_t at = text_begin(s, t) + i;
            const uint64_t key = key_at(s, at, n), *found = bsearch(&key, s->keys, different, sizeof key, compare_keys);
            s->numbers[at] = (uint32_t)(found - s->keys);
        }
}

static void count_grams(const Symbols *s, size_t text, size_t n, uint32_t *counts) {
    memset(counts, 0, s->count * sizeof *counts);
    for (size_t i = 0; i < grams_of(s, text, n); i++) counts[s->numbers[text_begin(s, text) + i]]++;
}

// How many n-grams of the translation are among so many.
static uint64_t count_common(const Symbols *s, size_t n, const uint32_t *most) {
    uint64_t common = 0;
    count_grams(s, 0, n, s->counts);
    for (size_t i = 0; i < s->count; i++) common += s->counts[i] < most[i] ? s->counts[i] : most[i];
    return common;
}

// ---- 13a ----

static void replace_all(Text *text, const char *from, const char *to) {
    Text out = {0};
    const size_t n = strlen(from);
    for (size_t at = 0; at < text->length;) {
        const char *found = memmem(text->data + at, text->length - at, from, n);
        const size_t before = found ? (size_t)(found - text->data) - at : text->length - at;
        text_add(&out, text->data + at, before);
        if (found) text_add(&out, to, strlen(to));
        at += before + (found ? n : 0);
    }
    out.failed |= text->failed;
    text_free(text);
    *text = out;
}

static bool is_digit(char c) { return c >= '0' && c <= '9'; }
static bool is_point(char c) { return c == '.' || c == ','; }
static bool is_dash(char c) { return c == '-'; }
static bool is_no_digit(char c) { return !is_digit(c); }

// Symbols of ASCII, but no apostrophe, comma, dash and full stop.
static bool stands_alone(char c) {
    return (c >= ' ' && c <= '&') || (c >= '(' && c <= '+') || c == '/' || (c >= ':' && c <= '@') ||
           (c >= '[' && c <= '`') || (c >= '{' && c <= '~');
}

// Spaces around a character and the next, where they are such two. Both are passed then, so that of "..." the first two
// belong together. Bytes serve as well as characters: what is looked for is ASCII.
typedef struct PairRule {
    bool (*first)(char c), (*second)(char c);
    const char *before, *after; // beside the one in between
} PairRule;

static void space_pairs(Text *text, const PairRule *rule) {
    Text out = {0};
    for (size_t i = 0; i < text->length; i++) {
        const char *at = text->data + i;
        const bool pair = i + 1 < text->length && rule->first(at[0]) && rule->second(at[1]);
        if (pair) text_addf(&out, "%s", rule->before);
        text_add(&out, at, 1);
        if (!pair) continue;
        text_add(&out, " ", 1);
        text_add(&out, at + 1, 1);
        text_addf(&out, "%s", rule->after);
        i++;
    }
    out.failed |= text->failed;
    text_free(text);
    *text = out;
}

static void space_symbols(Text *text) {
    Text out = {0};
    for (size_t i = 0; i < text->length; i++) {
        const bool alone = stands_alone(text->data[i]);
        if (alone) text_add(&out, " ", 1);
        text_add(&out, text->data + i, 1);
        if (alone) text_add(&out, " ", 1);
    }
    out.failed |= text->failed;
    text_free(text);
    *text = out;
}

static void unescape(Text *text) {
    static const char *const entities[][2] = {{"&quot;", "\""}, {"&amp;", "&"}, {"&lt;", "<"}, {"&gt;", ">"}};
    for (size_t i = 0; i < sizeof entities / sizeof *entities; i++) replace_all(text, entities[i][0], entities[i][1]);
}

// The text with spaces between its words, as mteval-v13a cuts them.
static void tokenize_13a(const char *data, size_t length, Text *out) {
    static const PairRule rules[] = {
        {is_no_digit, is_point, "", " "}, // unless a digit is before it
        {is_point, is_no_digit, " ", ""}, // unless a digit is behind it
        {is_digit, is_dash, "", " "},
    };
    Text text = {0};
    text_add(&text, data, length);
    replace_all(&text, "<skipped>", "");
    replace_all(&text, "-\n", "");
    replace_all(&text, "\n", " ");
    unescape(&text);
    text_add(out, " ", 1);
    text_add(out, text.data, text.length);
    text_add(out, " ", 1);
    out->failed |= text.failed;
    text_free(&text);
    space_symbols(out);
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++) space_pairs(out, &rules[i]);
}

// ---- Words ----

// A character from `at` on; what is no UTF-8 counts as one, too.
static size_t next_character(const char *data, size_t length, size_t at, uint32_t *code) {
    const size_t n = utf8_read(data + at, length - at, code);
    if (n) return n;
    *code = 0x110000 + (unsigned char)data[at]; // beyond all characters
    return 1;
}

typedef struct Word {
    const char *data;
    size_t length, place; // among all words
} Word;

typedef struct Words {
    Word *words;
    size_t count, capacity;
} Words;

static bool words_add(Words *words, const Text *text) {
    uint32_t code;
    size_t begin = 0;
    for (size_t at = 0, next; at <= text->length; at = next) {
        next = at < text->length ? at + next_character(text->data, text->length, at, &code) : at + 1;
        if (at < text->length && !utf8_is_white(code)) continue;
        if (at > begin) {
            if (!array_grow(&words->words, words->count, &words->capacity, sizeof *words->words)) return false;
            words->words[words->count] = (Word){text->data + begin, at - begin, words->count};
            words->count++;
        }
        begin = next;
    }
    return true;
}

static int compare_words(const void *a, const void *b) {
    const Word *x = a, *y = b;
    if (x->length != y->length) return x->length < y->length ? -1 : 1;
    return memcmp(x->data, y->data, x->length);
}

// symbols: [count]. Sorts the words.
static void number_words(Words *words, uint32_t *symbols) {
    uint32_t number = 0;
    if (words->count) qsort(words->words, words->count, sizeof *words->words, compare_words);
    for (size_t i = 0; i < words->count; i++) {
        if (i && compare_words(&words->words[i - 1], &words->words[i]) != 0) number++;
        symbols[words->words[i].place] = number;
    }
}

// Of the translation (text 0) and its references.
static const Text *text_at(const Text *translation, const Text *references, size_t text) {
    return text ? &references[text - 1] : translation;
}

static bool bleu_words(const Text *translation, const Text *references, Text *cut, Words *words, Symbols *s) {
    for (size_t t = 0; t < s->texts; t++) {
        const Text *text = text_at(translation, references, t);
        tokenize_13a(text->data, utf8_stripped(text->data, text->length), &cut[t]);
        if (cut[t].failed || !words_add(words, &cut[t])) return false;
        s->ends[t] = words->count;
    }
    s->count = words->count;
    s->symbols = array_new(s->count, sizeof *s->symbols);
    if (!s->symbols) return false;
    number_words(words, s->symbols);
    return true;
}

static size_t nearest_length(const Symbols *s) {
    const size_t length = text_length(s, 0);
    size_t best = text_length(s, 1);
    for (size_t t = 2; t < s->texts; t++) {
        const size_t other = text_length(s, t), far = other > length ? other - length : length - other;
        const size_t least = best > length ? best - length : length - best;
        if (far < least || (far == least && other < best)) best = other;
    }
    return best;
}

static void count_bleu(Symbols *s, TranslationCounts *out) {
    out->words = text_length(s, 0);
    out->reference_words = nearest_length(s);
    for (size_t n = 1; n <= BLEU_ORDERS; n++) {
        number_grams(s, n);
        memset(s->most, 0, s->count * sizeof *s->most);
        for (size_t t = 1; t < s->texts; t++) {
            count_grams(s, t, n, s->counts);
            for (size_t i = 0; i < s->count; i++)
                if (s->counts[i] > s->most[i]) s->most[i] = s->counts[i];
        }
        out->bleu[n - 1] = (NgramCounts){.translation = grams_of(s, 0, n), .common = count_common(s, n, s->most)};
    }
}

static bool bleu_counts(const Text *translation, const Text *references, size_t count, TranslationCounts *out) {
    Symbols s = {.texts = count + 1, .ends = array_new(count + 1, sizeof *s.ends)};
    Words words = {0};
    Text *cut = array_new(count + 1, sizeof *cut);
    const bool ok = s.ends && cut && bleu_words(translation, references, cut, &words, &s) && symbols_ready(&s);
    if (ok) count_bleu(&s, out);
    for (size_t t = 0; cut && t < s.texts; t++) text_free(&cut[t]);
    free(cut);
    free(words.words);
    symbols_free(&s);
    return ok;
}

// ---- Characters ----

static bool add_characters(const Text *text, Symbols *s) {
    uint32_t code;
    for (size_t at = 0; at < text->length;) {
        at += next_character(text->data, text->length, at, &code);
        if (!utf8_is_white(code) && !symbol_add(s, code)) return false;
    }
    return true;
}

static void count_chrf(Symbols *s, NgramCounts *out) {
    for (size_t n = 1; n <= CHRF_ORDERS; n++) {
        number_grams(s, n);
        count_grams(s, 1, n, s->most);
        const size_t reference = grams_of(s, 1, n);
        out[n - 1] = (NgramCounts){reference ? grams_of(s, 0, n) : 0, reference, count_common(s, n, s->most)};
    }
}

static bool chrf_counts(const Text *translation, const Text *reference, TranslationCounts *out) {
    Symbols s = {.texts = 2, .ends = array_new(2, sizeof *s.ends)};
    bool ok = s.ends != NULL;
    for (size_t t = 0; ok && t < s.texts; t++) {
        ok = add_characters(text_at(translation, reference, t), &s);
        s.ends[t] = s.count;
    }
    ok = ok && symbols_ready(&s);
    if (ok) count_chrf(&s, out->chrf);
    symbols_free(&s);
    return ok;
}

bool translation_count(const Text *translation, const Text *references, size_t count, TranslationCounts *out,
                       Error *err) {
    double best = -1;
    *out = (TranslationCounts){0};
    bool ok = bleu_counts(translation, references, count, out);
    for (size_t i = 0; ok && i < count; i++) {
        TranslationCounts one = {0};
        ok = chrf_counts(translation, &references[i], &one);
        const double score = translation_chrf(&one);
        if (score > best) memcpy(out->chrf, one.chrf, sizeof out->chrf);
        if (score > best) best = score;
    }
    return ok || error_memory(err, "a translation");
}

// ---- Scores ----

static void add_ngrams(NgramCounts *sum, const NgramCounts *more, size_t orders) {
    for (size_t n = 0; n < orders; n++) {
        sum[n].translation += more[n].translation;
        sum[n].reference += more[n].reference;
        sum[n].common += more[n].common;
    }
}

void translation_add(TranslationCounts *sum, const TranslationCounts *more) {
    sum->words += more->words;
    sum->reference_words += more->reference_words;
    add_ngrams(sum->bleu, more->bleu, BLEU_ORDERS);
    add_ngrams(sum->chrf, more->chrf, CHRF_ORDERS);
}

static double brevity_penalty(double words, double reference_words) {
    if (words >= reference_words) return 1;
    return words > 0 ? exp(1 - reference_words / words) : 0;
}

// The first order without anything in common counts as half of one n-gram, the next as a quarter …
Bleu translation_bleu(const TranslationCounts *sum) {
    Bleu out = {.brevity_penalty = brevity_penalty((double)sum->words, (double)sum->reference_words)};
    double logarithms = 0, smooth = 1;
    if (!sum->bleu[0].common) return out; // then no longer ones are in common either
    for (int n = 0; n < BLEU_ORDERS; n++) {
        const double common = (double)sum->bleu[n].common, all = (double)sum->bleu[n].translation;
        if (all == 0) return out; // too short for this order
        if (common == 0) smooth *= 2;
        out.precisions[n] = common > 0 ? 100 * common / all : 100 / (smooth * all);
        logarithms += log(out.precisions[n]);
    }
    out.score = out.brevity_penalty * exp(logarithms / BLEU_ORDERS);
    return out;
}

double translation_chrf(const TranslationCounts *sum) {
    double precision = 0, recall = 0, orders = 0;
    for (int n = 0; n < CHRF_ORDERS; n++) {
        const NgramCounts *c = &sum->chrf[n];
        if (!c->translation || !c->reference) continue;
        precision += (double)c->common / (double)c->translation;
        recall += (double)c->common / (double)c->reference;
        orders++;
    }
    if (precision + recall == 0) return 0;
    precision /= orders;
    recall /= orders;
    return 100 * (5 * precision * recall / (4 * precision + recall)); // recall counts twice as much: beta 2
}

double translation_score(TranslationMetric metric, const TranslationCounts *sum) {
    return metric == METRIC_BLEU ? translation_bleu(sum).score : translation_chrf(sum);
}

void translation_signature(TranslationMetric metric, size_t references, char *out, size_t size) {
    char count[24] = "var";
    if (references) snprintf(count, sizeof count, "%zu", references);
    snprintf(out, size, "nrefs:%s|bs:%d|seed:%d|case:mixed|%s|version:quantdial-%s", count, BOOTSTRAP_RESAMPLES,
             BOOTSTRAP_SEED, metric == METRIC_BLEU ? "eff:no|tok:13a|smooth:exp" : "eff:yes|nc:6|nw:0|space:no",
             QUANTDIAL_VERSION);
}
