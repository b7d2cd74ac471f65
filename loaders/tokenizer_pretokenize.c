#include <stdlib.h>
#include <string.h>

#include "loaders/tokenizer_parts.h"

#define DEEPEST 16 // of Sequences in Sequences

// GPT-2's pattern, which ByteLevel uses unless it is told not to.
#define BYTE_LEVEL_PATTERN "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"

// ----------------------------------------------------------------------------------------------------------------
// pieces

bool pieces_add(Pieces *pieces, const char *text, size_t length) {
    if (!length) return true;
    if (!array_grow(&pieces->items, pieces->count, &pieces->capacity, sizeof *pieces->items)) return false;
    pieces->items[pieces->count++] = (Piece){pieces->text.length, length};
    text_add(&pieces->text, text, length);
    return !pieces->text.failed;
}

void pieces_clear(Pieces *pieces) {
    text_clear(&pieces->text);
    pieces->count = 0;
}

void pieces_free(Pieces *pieces) {
    text_free(&pieces->text);
    free(pieces->items);
    *pieces = (Pieces){0};
}

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

static bool split_text(const PreStep *step, const char *text, size_t length, Pieces *out, Scratch *scratch,
                       Error *err) {
    if (!pattern_cut(&step->pattern, text, length, scratch, err)) return false;
    Match *cuts = scratch->matches;
    for (size_t i = 0; step->invert && i < scratch->match_count; i++) cuts[i].is_match = !cuts[i].is_match;
    for (size_t i = 0, next; i < scratch->match_count; i = next) {
        for (next = i + 1; next < scratch->match_count && !begins_piece(cuts, next, step->behavior);) next++;
        if (step->behavior == SPLIT_REMOVED && cuts[i].is_match) continue;
        if (!pieces_add(out, text + cuts[i].start, cuts[next - 1].end - cuts[i].start))
            return error_memory(err, "pieces");
    }
    return true;
}

static bool run_split(const PreStep *step, const Pieces *in, Pieces *out, Scratch *scratch, Error *err) {
    for (size_t i = 0; i < in->count; i++) {
        if (!split_text(step, in->text.data + in->items[i].at, in->items[i].length, out, scratch, err)) return false;
    }
    return true;
}

static bool read_split(const cJSON *json, PreStep *step, Error *err) {
    static const char *const behaviors[] = {"Removed", "Isolated", "MergedWithPrevious", "MergedWithNext",
                                            "Contiguous"};
    const cJSON *pattern = cJSON_GetObjectItemCaseSensitive(json, "pattern");
    const char *regex, *literal, *behavior;
    if (!json_string(pattern, "Regex", NULL, &regex, err) || !json_string(pattern, "String", NULL, &literal, err) ||
        !json_string(json, "behavior", "", &behavior, err) || !json_bool(json, "invert", false, &step->invert, err)) {
        return false;
    }
    size_t known = 0;
    while (known < sizeof behaviors / sizeof *behaviors && strcmp(behaviors[known], behavior) != 0) known++;
    if (known == sizeof behaviors / sizeof *behaviors) {
        return tokenizer_refuse("behavior of Split", behavior,
                                "Removed, Isolated, MergedWithPrevious, MergedWithNext, Contiguous", err);
    }
    if (!regex && !literal) return error_set(err, "\"pattern\" of Split must be a Regex or a String");
    step->behavior = (SplitBehavior)known;
    step->run = run_split;
    return pattern_compile(regex ? regex : literal, !regex, &step->pattern, err);
}

// ------------------------------------------------------------------------------------------------------------- byte
// level

// Visible Latin-1 characters stand for themselves; the other 68 bytes, in order, are the characters from U+0100 on.
uint32_t byte_level_code(unsigned char byte) {
    if (byte <= 0x20) return 0x100u + byte;
    if (byte >= 0x7F && byte <= 0xA0) return 0x121u + (byte - 0x7Fu);
    return byte == 0xAD ? 0x143u : byte;
}

int byte_level_byte(uint32_t code) {
    if (code >= 0x100 && code <= 0x120) return (int)code - 0x100;
    if (code >= 0x121 && code <= 0x142) return (int)code - 0x121 + 0x7F;
    if (code == 0x143) return 0xAD;
    return code < 0x100 && byte_level_code((unsigned char)code) == code ? (int)code : -1;
}

static bool add_bytes_as_characters(const char *text, size_t length, Pieces *out) {
    size_t at = out->text.length;
    if (!array_grow(&out->items, out->count, &out->capacity, sizeof *out->items)) return false;
    for (size_t i = 0; i < length; i++) {
        char bytes[4];
        text_add(&out->text, bytes, utf8_write(byte_level_code((unsigned char)text[i]), bytes));
    }
    out->items[out->count++] = (Piece){at, out->text.length - at};
    return !out->text.failed;
}

static bool run_byte_level(const PreStep *step, const Pieces *in, Pieces *out, Scratch *scratch, Error *err) {
    bool ok = true;
    Text spaced = {0};
    for (size_t i = 0; ok && i < in->count; i++) {
        const char *text = in->text.data + in->items[i].at;
        size_t length = in->items[i].length;
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
            ok = add_bytes_as_characters(text, length, out) || error_memory(err, "pieces");
            continue;
        }
        ok = pattern_cut(&step->pattern, text, length, scratch, err);
        for (size_t m = 0; ok && m < scratch->match_count; m++) {
            const Match *cut = &scratch->matches[m];
            ok = cut->start == cut->end || add_bytes_as_characters(text + cut->start, cut->end - cut->start, out) ||
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

// ------------------------------------------------------------------------------------------------------------ the
// table

static const struct {
    const char *type;
    bool (*read)(const cJSON *json, PreStep *step, Error *err);
} kinds[] = {{"Split", read_split}, {"ByteLevel", read_byte_level}};

static bool add_kind(const char *type, const cJSON *json, PreTokenizer *out, Error *err) {
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        if (strcmp(kinds[i].type, type) != 0) continue;
        if (!array_grow(&out->steps, out->count, &out->capacity, sizeof *out->steps))
            return error_memory(err, "pre-tokenizers");
        PreStep *step = &out->steps[out->count++];
        *step = (PreStep){0};
        return kinds[i].read(json, step, err);
    }
    return tokenizer_refuse("pre-tokenizer", type, "Sequence, Split, ByteLevel", err);
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

bool pretokenizer_run(const PreTokenizer *pre, const char *text, size_t length, Scratch *scratch, const Pieces **out,
                      Error *err) {
    Pieces *from = &scratch->pieces[0], *to = &scratch->pieces[1];
    pieces_clear(from);
    if (!pieces_add(from, text, length)) return error_memory(err, "pieces");
    for (size_t i = 0; i < pre->count; i++) {
        pieces_clear(to);
        if (!pre->steps[i].run(&pre->steps[i], from, to, scratch, err)) return false;
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
