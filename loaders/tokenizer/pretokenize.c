#include <stdlib.h>
#include <string.h>

#include "loaders/tokenizer/tokenizer_parts.h"

#define DEEPEST 16 // of Sequences in Sequences

// GPT-2's pattern, which ByteLevel uses unless it is told not to.
#define BYTE_LEVEL_PATTERN "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"

// -----------------------------------------------------------------------------------------------------------------
// split

// Whether cut i begins a new piece or joins the one before.
static bool begins_piece(const Match *cuts, size_t i, SplitBehavior behavior) {
    if (i == 0) return true;
    switch (behavior) {
    case SPLIT_CONTIGUOUS: return cuts[i].is_match != cuts[i - 1].is_match;
    case SPLIT_MERGED_WITH_PREVIOUS: return !cuts[i].is_match || cuts[i - 1].is_match;
    case SPLIT_MERGED_WITH_NEXT: return !cuts[i - 1].is_match || cuts[i].is_match;
    default: return true;
    }
}

// Empty pieces are dropped.
static bool split_text(const PreStep *step, const char *text, size_t length, bool at_start, Pieces *out,
                       Scratch *scratch, Error *err) {
    if (!pattern_cut(&step->pattern, text, length, scratch, err)) return false;
    Match *cuts = scratch->matches;
    for (size_t i = 0; step->invert && i < scratch->match_count; i++) cuts[i].is_match = !cuts[i].is_match;
    for (size_t i = 0, next; i < scratch->match_count; i = next) {
        for (next = i + 1; next < scratch->match_count && !begins_piece(cuts, next, step->behavior);) next++;
        if (step->behavior == SPLIT_REMOVED && cuts[i].is_match) continue;
        size_t start = cuts[i].start, end = cuts[next - 1].end;
        if (start < end && !pieces_add(out, text + start, end - start, at_start && start == 0))
            return error_memory(err, "pieces");
    }
    return true;
}

static bool run_split(const PreStep *step, const Pieces *in, Pieces *out, Scratch *scratch, Error *err) {
    for (size_t i = 0; i < in->count; i++) {
        const Piece *piece = &in->items[i];
        if (!split_text(step, in->text.data + piece->at, piece->length, piece->at_start, out, scratch, err))
            return false;
    }
    return true;
}

static bool read_behavior(const cJSON *json, const char *missing, SplitBehavior *out, Error *err) {
    static const char *const behaviors[] = {"Removed", "Isolated", "MergedWithPrevious", "MergedWithNext",
                                            "Contiguous"};
    const char *behavior;
    if (!json_string(json, "behavior", missing, &behavior, err)) return false;
    for (size_t i = 0; i < sizeof behaviors / sizeof *behaviors; i++) {
        if (strcmp(behaviors[i], behavior) != 0) continue;
        *out = (SplitBehavior)i;
        return true;
    }
    return tokenizer_refuse("behavior", behavior, "Removed, Isolated, MergedWithPrevious, MergedWithNext, Contiguous",
                            err);
}

static bool read_split(const cJSON *json, PreStep *step, Error *err) {
    return read_behavior(json, "", &step->behavior, err) && json_bool(json, "invert", false, &step->invert, err) &&
           pattern_read(json, "Split", &step->pattern, err);
}

// What the package calls punctuation: categories P… and all ASCII that is neither letter, digit, control nor space.
#define PUNCTUATION "[!-/:-@\\[-`{-~\\p{P}]"

static bool read_punctuation(const cJSON *json, PreStep *step, Error *err) {
    return read_behavior(json, "Isolated", &step->behavior, err) &&
           pattern_compile(PUNCTUATION, false, &step->pattern, err);
}

static bool read_digits(const cJSON *json, PreStep *step, Error *err) {
    bool individual;
    if (!json_bool(json, "individual_digits", false, &individual, err)) return false;
    step->behavior = individual ? SPLIT_ISOLATED : SPLIT_CONTIGUOUS;
    return pattern_compile("\\p{N}", false, &step->pattern, err);
}

static bool read_whitespace_split(const cJSON *json, PreStep *step, Error *err) {
    (void)json;
    step->behavior = SPLIT_REMOVED;
    return pattern_compile("\\s", false, &step->pattern, err);
}

// Here \w has the joiners, too: the package uses another engine than for patterns from files.
static bool read_whitespace(const cJSON *json, PreStep *step, Error *err) {
    (void)json;
    step->behavior = SPLIT_REMOVED;
    step->invert = true;
    return pattern_compile("[\\w\\x{200c}\\x{200d}]+|[^\\w\\s\\x{200c}\\x{200d}]+", false, &step->pattern, err);
}

// ------------------------------------------------------------------------------------------------------ metaspace

// Older files say add_prefix_space instead of prepend_scheme.
bool metaspace_read(const cJSON *json, Metaspace *out, Error *err) {
    static const char *const schemes[] = {"always", "first", "never"};
    const char *replacement, *scheme;
    bool prefix;
    uint32_t code;
    if (!json_string(json, "replacement", "\xE2\x96\x81", &replacement, err) ||
        !json_bool(json, "add_prefix_space", true, &prefix, err) ||
        !json_string(json, "prepend_scheme", prefix ? "always" : "never", &scheme, err) ||
        !json_bool(json, "split", true, &out->split, err)) {
        return false;
    }
    size_t length = strlen(replacement), known = 0;
    if (!length || length > 4 || utf8_read(replacement, length, &code) != length)
        return error_set(err, "\"replacement\" of Metaspace must be one character");
    memcpy(out->replacement, replacement, length + 1);
    while (known < sizeof schemes / sizeof *schemes && strcmp(schemes[known], scheme) != 0) known++;
    if (known == sizeof schemes / sizeof *schemes)
        return tokenizer_refuse("prepend_scheme of Metaspace", scheme, "always, first, never", err);
    if (!prefix && known != PREPEND_NEVER)
        return error_set(err, "add_prefix_space and prepend_scheme of Metaspace contradict each other");
    out->scheme = (PrependScheme)known;
    return true;
}

static bool starts_with(const char *text, size_t length, const char *with) {
    size_t n = strlen(with);
    return n <= length && memcmp(text, with, n) == 0;
}

static bool run_metaspace(const PreStep *step, const Pieces *in, Pieces *out, Scratch *scratch, Error *err) {
    const char *replacement = step->metaspace.replacement;
    Text spaced = {0};
    bool ok = true;
    for (size_t i = 0; ok && i < in->count; i++) {
        const Piece *piece = &in->items[i];
        const char *text = in->text.data + piece->at;
        PrependScheme scheme = step->metaspace.scheme;
        bool wanted = scheme == PREPEND_ALWAYS || (scheme == PREPEND_FIRST && piece->at_start);
        text_clear(&spaced);
        if (wanted && text[0] != ' ' && !starts_with(text, piece->length, replacement))
            text_add(&spaced, replacement, strlen(replacement));
        for (size_t k = 0; k < piece->length; k++) {
            if (text[k] == ' ')
                text_add(&spaced, replacement, strlen(replacement));
            else
                text_add(&spaced, text + k, 1);
        }
        if (spaced.failed)
            ok = error_memory(err, "pieces");
        else if (step->metaspace.split)
            ok = split_text(step, spaced.data, spaced.length, piece->at_start, out, scratch, err);
        else
            ok = pieces_add(out, spaced.data, spaced.length, piece->at_start) || error_memory(err, "pieces");
    }
    text_free(&spaced);
    return ok;
}

static bool read_metaspace(const cJSON *json, PreStep *step, Error *err) {
    step->behavior = SPLIT_MERGED_WITH_NEXT;
    step->run = run_metaspace;
    return metaspace_read(json, &step->metaspace, err) &&
           pattern_compile(step->metaspace.replacement, true, &step->pattern, err);
}

// ----------------------------------------------------------------------------------------------------- byte level

static bool add_bytes_as_characters(const char *text, size_t length, bool at_start, Pieces *out) {
    size_t at = out->text.length;
    if (!array_grow(&out->items, out->count, &out->capacity, sizeof *out->items)) return false;
    for (size_t i = 0; i < length; i++) {
        char bytes[4];
        text_add(&out->text, bytes, utf8_write(byte_level_code((unsigned char)text[i]), bytes));
    }
    out->items[out->count++] = (Piece){at, out->text.length - at, at_start};
    return !out->text.failed;
}

static bool run_byte_level(const PreStep *step, const Pieces *in, Pieces *out, Scratch *scratch, Error *err) {
    bool ok = true;
    Text spaced = {0};
    for (size_t i = 0; ok && i < in->count; i++) {
        const char *text = in->text.data + in->items[i].at;
        size_t length = in->items[i].length;
        bool at_start = in->items[i].at_start;
        if (step->add_prefix_space && text[0] != ' ') {
            text_clear(&spaced);
            text_add(&spaced, " ", 1);
            text_add(&spaced, text, length);
            if (spaced.failed) {
                ok = error_memory(err, "pieces");
                break;
            }
            text = spaced.data;
            length = spaced.length;
        }
        if (!step->pattern.code) {
            ok = add_bytes_as_characters(text, length, at_start, out) || error_memory(err, "pieces");
            continue;
        }
        ok = pattern_cut(&step->pattern, text, length, scratch, err);
        for (size_t m = 0; ok && m < scratch->match_count; m++) {
            const Match *cut = &scratch->matches[m];
            size_t n = cut->end - cut->start;
            ok = !n || add_bytes_as_characters(text + cut->start, n, at_start && !cut->start, out) ||
                 error_memory(err, "pieces");
        }
    }
    text_free(&spaced);
    return ok;
}

static bool read_byte_level(const cJSON *json, PreStep *step, Error *err) {
    bool use_regex;
    if (!json_bool(json, "add_prefix_space", true, &step->add_prefix_space, err) ||
        !json_bool(json, "use_regex", true, &use_regex, err)) {
        return false;
    }
    step->run = run_byte_level;
    return !use_regex || pattern_compile(BYTE_LEVEL_PATTERN, false, &step->pattern, err);
}

// ------------------------------------------------------------------------------------------------------ the table

static const struct {
    const char *type;
    bool (*read)(const cJSON *json, PreStep *step, Error *err);
} kinds[] = {{"Split", read_split},
             {"ByteLevel", read_byte_level},
             {"Metaspace", read_metaspace},
             {"Digits", read_digits},
             {"Punctuation", read_punctuation},
             {"Whitespace", read_whitespace},
             {"WhitespaceSplit", read_whitespace_split}};

static bool add_kind(const char *type, const cJSON *json, PreTokenizer *out, Error *err) {
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        if (strcmp(kinds[i].type, type) != 0) continue;
        if (!array_grow(&out->steps, out->count, &out->capacity, sizeof *out->steps))
            return error_memory(err, "pre-tokenizers");
        PreStep *step = &out->steps[out->count++];
        *step = (PreStep){.run = run_split};
        return kinds[i].read(json, step, err);
    }
    return tokenizer_refuse("pre-tokenizer", type,
                            "Sequence, Split, ByteLevel, Metaspace, Digits, Punctuation, Whitespace, WhitespaceSplit",
                            err);
}

static bool read_steps(const cJSON *json, int depth, PreTokenizer *out, Error *err) {
    if (!json || cJSON_IsNull(json)) return true;
    const char *type;
    if (!cJSON_IsObject(json)) return error_set(err, "a pre-tokenizer must be an object");
    if (!json_string(json, "type", "", &type, err)) return false;
    if (strcmp(type, "Sequence") != 0) return add_kind(type, json, out, err);
    if (depth == DEEPEST) return error_set(err, "pre-tokenizers are nested too deep");
    const cJSON *list = cJSON_GetObjectItemCaseSensitive(json, "pretokenizers"), *item;
    if (!cJSON_IsArray(list)) return error_set(err, "\"pretokenizers\" must be an array");
    cJSON_ArrayForEach(item, list) {
        if (!read_steps(item, depth + 1, out, err)) return false;
    }
    return true;
}

bool pretokenizer_read(const cJSON *json, PreTokenizer *out, Error *err) { return read_steps(json, 0, out, err); }

bool pretokenizer_run(const PreTokenizer *pre, const char *text, size_t length, bool at_start, Scratch *scratch,
                      const Pieces **out, Error *err) {
    Pieces *from = &scratch->pieces[0], *to = &scratch->pieces[1];
    pieces_clear(from);
    if (length && !pieces_add(from, text, length, at_start)) return error_memory(err, "pieces");
    for (size_t i = 0; i < pre->count; i++) {
        pieces_clear(to);
        if (!pre->steps[i].run(&pre->steps[i], from, to, scratch, err) || !growth_check(length, to->text.length, err))
            return false;
        Pieces *swapped = from;
        from = to;
        to = swapped;
    }
    *out = from;
    return true;
}

void pretokenizer_free(PreTokenizer *pre) {
    for (size_t i = 0; i < pre->count; i++) pattern_free(&pre->steps[i].pattern);
    free(pre->steps);
    *pre = (PreTokenizer){0};
}
