// Normalizers (tokenizers package, normalizers/): each makes a new text.
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

#include "loaders/tokenizer/tokenizer_parts.h"

#define DEEPEST 16 // of Sequences in Sequences

// --------------------------------------------------------------------------------------------- Unicode normal forms

static bool run_form(const NormalizerStep *step, const char *text, size_t length, Scratch *scratch, Text *out,
                     Error *err) {
    (void)scratch;
    utf8proc_uint8_t *mapped = NULL;
    utf8proc_option_t options = (utf8proc_option_t)step->options;
    utf8proc_ssize_t n = utf8proc_map((const utf8proc_uint8_t *)text, (utf8proc_ssize_t)length, &mapped, options);
    if (n >= 0) text_add(out, (const char *)mapped, (size_t)n);
    free(mapped);
    return n >= 0 || error_memory(err, "text");
}

// ---------------------------------------------------------------------------------------- character by character

#define DROPPED UINT32_MAX

// Without context, as the package does: a final sigma stays an ordinary one. The caller deals with the only character
// whose lower case is two (U+0130).
static uint32_t lower_case(uint32_t c) { return (uint32_t)utf8proc_tolower((utf8proc_int32_t)c); }

static uint32_t without_accent(uint32_t c) {
    switch (utf8proc_category((utf8proc_int32_t)c)) {
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_MC:
    case UTF8PROC_CATEGORY_ME: return DROPPED;
    default: return c;
    }
}

// What SentencePiece's nmt rules do to control characters and odd spaces.
static uint32_t nmt_character(uint32_t c) {
    if ((c >= 0x1 && c <= 0x8) || c == 0xB || (c >= 0xE && c <= 0x1F) || c == 0x7F || c == 0x8F || c == 0x9F)
        return DROPPED;
    bool space = c == 0x9 || c == 0xA || c == 0xC || c == 0xD || c == 0x1680 || (c >= 0x200B && c <= 0x200F) ||
                 c == 0x2028 || c == 0x2029 || c == 0x2581 || c == 0xFEFF || c == 0xFFFD;
    return space ? ' ' : c;
}

static bool run_characters(const NormalizerStep *step, const char *text, size_t length, Scratch *scratch, Text *out,
                           Error *err) {
    (void)err;
    for (size_t i = 0; i < length;) {
        uint32_t code;
        char bytes[4];
        i += utf8_read(text + i, length - i, &code);
        uint32_t mapped = step->map(code);
        if (mapped == DROPPED)
            scratch->start_lost = scratch->start_lost || !out->length;
        else if (code == 0x130 && step->map == lower_case)
            text_add(out, "i\xCC\x87", 3);
        else
            text_add(out, bytes, utf8_write(mapped, bytes));
    }
    return true;
}

static bool run_byte_level(const NormalizerStep *step, const char *text, size_t length, Scratch *scratch, Text *out,
                           Error *err) {
    (void)step, (void)scratch, (void)err;
    for (size_t i = 0; i < length; i++) {
        char bytes[4];
        text_add(out, bytes, utf8_write(byte_level_code((unsigned char)text[i]), bytes));
    }
    return true;
}

// ------------------------------------------------------------------------------------------------------- the rest

static bool run_prepend(const NormalizerStep *step, const char *text, size_t length, Scratch *scratch, Text *out,
                        Error *err) {
    (void)scratch, (void)err;
    if (length) text_add(out, step->content.data, step->content.length);
    text_add(out, text, length);
    return true;
}

static bool read_prepend(const cJSON *json, NormalizerStep *step, Error *err) {
    const char *content;
    if (!json_string(json, "prepend", "", &content, err)) return false;
    json_bytes(content, &step->content);
    return !step->content.failed || error_memory(err, "a normalizer");
}

// Whether what the text began with went away: the package takes the place of a replaced text from its last character.
static bool loses_start(const Match *first, const char *text, const Text *content) {
    uint32_t code;
    if (!first->is_match || first->start || first->end == first->start) return false;
    return !content->length || utf8_read(text, first->end, &code) != first->end;
}

static bool run_replace(const NormalizerStep *step, const char *text, size_t length, Scratch *scratch, Text *out,
                        Error *err) {
    if (!length) return true;
    if (!pattern_replace(&step->pattern, &step->content, text, length, scratch, out, err)) return false;
    if (scratch->match_count && loses_start(scratch->matches, text, &step->content)) scratch->start_lost = true;
    return true;
}

static bool read_replace(const cJSON *json, NormalizerStep *step, Error *err) {
    const char *content;
    if (!json_string(json, "content", "", &content, err)) return false;
    json_bytes(content, &step->content);
    if (step->content.failed) return error_memory(err, "a normalizer");
    return pattern_read(json, "Replace", &step->pattern, err);
}

static bool run_strip(const NormalizerStep *step, const char *text, size_t length, Scratch *scratch, Text *out,
                      Error *err) {
    (void)err;
    size_t start = 0, end = length;
    while (step->left && start < end) {
        uint32_t code;
        size_t n = utf8_read(text + start, end - start, &code);
        if (!character_is_space(code)) break;
        start += n;
    }
    for (size_t at = end; step->right && at > start;) {
        uint32_t code = 0;
        do at--;
        while (at > start && ((unsigned char)text[at] & 0xC0) == 0x80);
        utf8_read(text + at, end - at, &code);
        if (!character_is_space(code)) break;
        end = at;
    }
    if (start) scratch->start_lost = true;
    text_add(out, text + start, end - start);
    return true;
}

static bool read_strip(const cJSON *json, NormalizerStep *step, Error *err) {
    return json_bool(json, "strip_left", false, &step->left, err) &&
           json_bool(json, "strip_right", false, &step->right, err);
}

static bool run_charsmap(const NormalizerStep *step, const char *text, size_t length, Scratch *scratch, Text *out,
                         Error *err) {
    (void)scratch, (void)err;
    return charsmap_apply(step->charsmap, text, length, out) || error_memory(err, "text");
}

static bool read_charsmap(const cJSON *json, NormalizerStep *step, Error *err) {
    const char *base64;
    return json_string(json, "precompiled_charsmap", "", &base64, err) && charsmap_read(base64, &step->charsmap, err);
}

// ------------------------------------------------------------------------------------------------------ the table

static const struct {
    const char *type;
    NormalizerStep step;
    bool (*read)(const cJSON *json, NormalizerStep *step, Error *err); // NULL: there is nothing to read
} kinds[] = {
    {"NFC", {.run = run_form, .options = UTF8PROC_STABLE | UTF8PROC_COMPOSE}, NULL},
    {"NFD", {.run = run_form, .options = UTF8PROC_STABLE | UTF8PROC_DECOMPOSE}, NULL},
    {"NFKC", {.run = run_form, .options = UTF8PROC_STABLE | UTF8PROC_COMPOSE | UTF8PROC_COMPAT}, NULL},
    {"NFKD", {.run = run_form, .options = UTF8PROC_STABLE | UTF8PROC_DECOMPOSE | UTF8PROC_COMPAT}, NULL},
    {"Lowercase", {.run = run_characters, .map = lower_case}, NULL},
    {"StripAccents", {.run = run_characters, .map = without_accent}, NULL},
    {"Nmt", {.run = run_characters, .map = nmt_character}, NULL},
    {"ByteLevel", {.run = run_byte_level}, NULL},
    {"Prepend", {.run = run_prepend}, read_prepend},
    {"Replace", {.run = run_replace}, read_replace},
    {"Strip", {.run = run_strip}, read_strip},
    {"Precompiled", {.run = run_charsmap}, read_charsmap},
};

static bool add_kind(const char *type, const cJSON *json, Normalizer *out, Error *err) {
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        if (strcmp(kinds[i].type, type) != 0) continue;
        if (!array_grow(&out->steps, out->count, &out->capacity, sizeof *out->steps))
            return error_memory(err, "normalizers");
        NormalizerStep *step = &out->steps[out->count++];
        *step = kinds[i].step;
        return !kinds[i].read || kinds[i].read(json, step, err);
    }
    return tokenizer_refuse("normalizer", type,
                            "Sequence, NFC, NFD, NFKC, NFKD, Lowercase, StripAccents, Nmt, ByteLevel, Prepend, "
                            "Replace, Strip, Precompiled",
                            err);
}

static bool read_steps(const cJSON *json, int depth, Normalizer *out, Error *err) {
    if (!json || cJSON_IsNull(json)) return true;
    const char *type;
    if (!cJSON_IsObject(json)) return error_set(err, "a normalizer must be an object");
    if (!json_string(json, "type", "", &type, err)) return false;
    if (strcmp(type, "Sequence") != 0) return add_kind(type, json, out, err);
    if (depth == DEEPEST) return error_set(err, "normalizers are nested too deep");
    const cJSON *list = cJSON_GetObjectItemCaseSensitive(json, "normalizers"), *item;
    if (!cJSON_IsArray(list)) return error_set(err, "\"normalizers\" must be an array");
    cJSON_ArrayForEach(item, list) {
        if (!read_steps(item, depth + 1, out, err)) return false;
    }
    return true;
}

bool normalizer_read(const cJSON *json, Normalizer *out, Error *err) { return read_steps(json, 0, out, err); }

bool normalizer_run(const Normalizer *normalizer, const char *text, size_t length, Scratch *scratch, Text *out,
                    Error *err) {
    text_clear(out);
    text_add(out, text, length); // compiled patterns look at whole vectors, so also behind a text that is not a Text
    scratch->start_lost = false;
    for (size_t i = 0; i < normalizer->count && !out->failed; i++) {
        const NormalizerStep *step = &normalizer->steps[i];
        Text next = {0};
        text_add(&next, "", 0);
        bool ok = step->run(step, out->data, out->length, scratch, &next, err);
        text_free(out);
        *out = next;
        if (!ok || !growth_check(length, out->length, err)) return false;
    }
    return !out->failed || error_memory(err, "text");
}

void normalizer_free(Normalizer *normalizer) {
    for (size_t i = 0; i < normalizer->count; i++) {
        text_free(&normalizer->steps[i].content);
        pattern_free(&normalizer->steps[i].pattern);
        charsmap_free(normalizer->steps[i].charsmap);
    }
    free(normalizer->steps);
    *normalizer = (Normalizer){0};
}
