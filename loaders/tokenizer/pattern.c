// Patterns are written for Oniguruma with Ruby syntax and run here with PCRE2. What differs is translated or refused; a
// pattern must never cut differently in silence.
#include <stdlib.h>
#include <string.h>

#include "loaders/tokenizer/tokenizer_parts.h"

// Unicode White_Space, which Oniguruma's \s means. PCRE2's \s also takes U+180E.
#define WHITE_SPACE \
    "\\x{9}-\\x{d}\\x{20}\\x{85}\\x{a0}\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}\\x{202f}\\x{205f}\\x{3000}"
// Alphabetic, marks, decimal digits and connectors, which Oniguruma's \w means. PCRE2's \w lacks marks and some more.
#define WORD                                                                                                        \
    "\\p{L}\\p{M}\\p{Nl}\\p{Nd}\\p{Pc}\\x{24b6}-\\x{24e9}\\x{1f130}-\\x{1f149}\\x{1f150}-\\x{1f169}\\x{1f170}-\\x{" \
    "1f189}"

typedef struct Translation {
    const char *at;
    Text out;
    int depth; // of nested character classes
    Error *err;
} Translation;

static bool translation_refuse(const Translation *translation, const char *what) {
    return error_set(translation->err, "the pattern uses %s, which is not supported", what);
}

static void translation_add(Translation *translation, const char *text) {
    text_add(&translation->out, text, strlen(text));
}

static void translation_copy(Translation *translation, size_t n) {
    text_add(&translation->out, translation->at, n);
    translation->at += n;
}

static void add_class(Translation *translation, const char *members, bool negated) {
    if (translation->depth)
        translation_add(translation, members);
    else
        text_addf(&translation->out, "[%s%s]", negated ? "^" : "", members);
}

// "\p{Lu}", "\x{20}": up to the closing brace when there is one.
static bool translate_braced(Translation *translation) {
    size_t n = 2;
    if (translation->at[2] == '{') {
        const char *end = strchr(translation->at, '}');
        if (!end) return translation_refuse(translation, "an unfinished escape");
        n = (size_t)(end - translation->at) + 1;
    }
    translation_copy(translation, n);
    return true;
}

static bool translate_unicode(Translation *translation) {
    const char *digits = translation->at + 2;
    if (strspn(digits, "0123456789abcdefABCDEF") < 4) return translation_refuse(translation, "an unfinished escape");
    text_addf(&translation->out, "\\x{%.4s}", digits);
    translation->at += 6;
    return true;
}

static bool translate_escape(Translation *translation) {
    char c = translation->at[1];
    const char *same = "dDAzZnrtfae"; // the same in both
    switch (c) {
    case '\0': return translation_refuse(translation, "a backslash at its end");
    case 's':
    case 'w': add_class(translation, c == 's' ? WHITE_SPACE : WORD, false); break;
    case 'S':
        // Inside a class only PCRE2's own way works, which lacks U+180E.
        if (translation->depth)
            translation_add(translation, "\\S\\x{180e}");
        else
            add_class(translation, WHITE_SPACE, true);
        break;
    case 'W':
        if (translation->depth) return translation_refuse(translation, "\\W inside brackets");
        add_class(translation, WORD, true);
        break;
    case 'v': translation_add(translation, "\\x{b}"); break; // a class in PCRE2
    case 'p':
    case 'P':
    case 'x': return translate_braced(translation);
    case 'u': return translate_unicode(translation);
    default: {
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        char name[] = {'\\', c, '\0'};
        if (letter && !strchr(same, c)) return translation_refuse(translation, name);
        translation_copy(translation, 2);
        return true;
    }
    }
    translation->at += 2;
    return true;
}

// "[:space:]" and the like, inside a class. Most of them mean other sets of characters in PCRE2.
static bool translate_posix(Translation *translation) {
    static const struct {
        const char *name, *members;
    } classes[] = {{"[:space:]", WHITE_SPACE}, {"[:digit:]", "\\p{Nd}"}, {"[:word:]", WORD}};
    for (size_t i = 0; i < sizeof classes / sizeof *classes; i++) {
        size_t n = strlen(classes[i].name);
        if (strncmp(translation->at, classes[i].name, n) != 0) continue;
        translation_add(translation, classes[i].members);
        translation->at += n;
        return true;
    }
    return translation_refuse(translation, "a class such as [:alpha:]");
}

// Oniguruma nests classes, PCRE2 does not; a nested class that is not negated is the same as its members.
static bool translate_bracket(Translation *translation) {
    if (translation->depth && translation->at[1] == ':') return translate_posix(translation);
    if (!translation->depth++) {
        translation_copy(translation, translation->at[1] == '^' ? 2 : 1);
        if (*translation->at == ']') { // a first ] is a member
            translation_add(translation, "\\]");
            translation->at++;
        }
        return true;
    }
    if (translation->at[1] == '^') return translation_refuse(translation, "a negated class inside a class");
    translation->at++;
    return true;
}

static bool translate_class_member(Translation *translation) {
    if (*translation->at == '[') return translate_bracket(translation);
    if (strncmp(translation->at, "&&", 2) == 0) return translation_refuse(translation, "an intersection of classes");
    if (*translation->at == ']' && --translation->depth)
        translation->at++;
    else
        translation_copy(translation, 1);
    return true;
}

// {n}, {n,}, {,m}, {n,m} and what may follow.
static bool translate_interval(Translation *translation) {
    const char *at = translation->at + 1;
    size_t least = strspn(at, "0123456789"), comma = at[least] == ',',
           most = comma ? strspn(at + least + 1, "0123456789") : 0;
    const char *end = at + least + comma + most;
    if (*end != '}' || least + most == 0) {
        translation_add(translation, "\\{"); // an ordinary character
        translation->at++;
        return true;
    }
    if (end[1] == '+') return translation_refuse(translation, "{n,m}+ (repeated in Oniguruma, possessive in PCRE2)");
    if (end[1] == '?' && !comma) return translation_refuse(translation, "{n}? (optional in Oniguruma, lazy in PCRE2)");
    if (!least) {
        text_addf(&translation->out, "{0,%.*s}", (int)most, end - most);
        translation->at = end + 1;
    } else {
        translation_copy(translation, (size_t)(end + 1 - translation->at));
    }
    return true;
}

static bool translate_group(Translation *translation) {
    const char *at = translation->at;
    if (at[1] == '*') return translation_refuse(translation, "(*");
    if (at[1] == '?') {
        size_t flags = strspn(at + 2, "imx-");
        if (flags && memchr(at + 2, 'm', flags)) return translation_refuse(translation, "(?m"); // means (?s in PCRE2
        if (flags && memchr(at + 2, 'x', flags)) return translation_refuse(translation, "(?x");
        if (flags && at[2 + flags] == ')')
            return translation_refuse(translation, "options without a group of their own");
        if (!flags && !strchr(":=!<>", at[2])) return translation_refuse(translation, "an unknown group");
    }
    translation_copy(translation, 1);
    return true;
}

static bool translation_run(Translation *translation) {
    while (*translation->at) {
        bool ok = true;
        char c = *translation->at;
        if (c == '\\')
            ok = translate_escape(translation);
        else if (translation->depth)
            ok = translate_class_member(translation);
        else if (c == '[')
            ok = translate_bracket(translation);
        else if (c == '{')
            ok = translate_interval(translation);
        else if (c == '(')
            ok = translate_group(translation);
        else
            translation_copy(translation, 1);
        if (!ok) return false;
    }
    return !translation->out.failed || error_memory(translation->err, "a pattern");
}

static bool compile_source(const char *source, size_t length, uint32_t options, Pattern *out, Error *err) {
    pcre2_compile_context *context = pcre2_compile_context_create(NULL);
    if (!context) return error_memory(err, "a pattern");
    pcre2_set_newline(context, PCRE2_NEWLINE_LF);
    int code;
    PCRE2_SIZE at;
    out->code = pcre2_compile((PCRE2_SPTR)source, length, options, &code, &at, context);
    pcre2_compile_context_free(context);
    if (!out->code) {
        PCRE2_UCHAR reason[128];
        pcre2_get_error_message(code, reason, sizeof reason);
        return error_set(err, "the pattern cannot be compiled: %s", (const char *)reason);
    }
    pcre2_jit_compile(out->code, PCRE2_JIT_COMPLETE); // without it matching is slower, not different
    return true;
}

static bool compile_regex(const Text *source, Pattern *out, Error *err) {
    Text escaped = {0};
    for (size_t i = 0; i < source->length; i++) // the translation ends at a NUL
        text_add(&escaped, source->data[i] ? source->data + i : "\\x{0}", source->data[i] ? 1 : 5);
    text_add(&escaped, "", 0);
    Translation translation = {.at = escaped.failed ? "" : escaped.data, .err = err};
    text_add(&translation.out, "", 0);
    bool ok = (!escaped.failed || error_memory(err, "a pattern")) && translation_run(&translation) &&
              compile_source(translation.out.data, translation.out.length,
                             PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C, out, err);
    text_free(&translation.out);
    text_free(&escaped);
    return ok;
}

bool pattern_compile(const char *source, bool literal, Pattern *out, Error *err) {
    Text bytes = {0};
    json_bytes(source, &bytes);
    bool ok = bytes.failed ? error_memory(err, "a pattern")
              : literal    ? compile_source(bytes.data, bytes.length, PCRE2_UTF | PCRE2_LITERAL, out, err)
                           : compile_regex(&bytes, out, err);
    text_free(&bytes);
    if (ok) return true;
    char *shown = text_printable(source, strlen(source), false);
    error_prefix(err, "%.300s", shown ? shown : "?");
    free(shown);
    return false;
}

bool pattern_read(const cJSON *json, const char *of, Pattern *out, Error *err) {
    const cJSON *pattern = cJSON_GetObjectItemCaseSensitive(json, "pattern");
    const char *regex, *literal;
    if (!json_string(pattern, "Regex", NULL, &regex, err) || !json_string(pattern, "String", NULL, &literal, err))
        return false;
    if (!regex && !literal) return error_set(err, "\"pattern\" of %s must be a Regex or a String", of);
    return pattern_compile(regex ? regex : literal, !regex, out, err);
}

void pattern_free(Pattern *pattern) {
    pcre2_code_free(pattern->code);
    pattern->code = NULL;
}

static bool add_match(Scratch *scratch, size_t start, size_t end, bool is_match, Error *err) {
    if (!array_grow(&scratch->matches, scratch->match_count, &scratch->match_capacity, sizeof *scratch->matches)) {
        return error_memory(err, "matches");
    }
    scratch->matches[scratch->match_count++] = (Match){start, end, is_match};
    return true;
}

// The next match at or after `from`: 1, none: 0, failure: −1. The text was checked to be UTF-8 once, for all matches in
// it.
static int pattern_search(const Pattern *pattern, const char *text, size_t length, size_t from, pcre2_match_data *data,
                          Error *err) {
    PCRE2_SPTR subject = (PCRE2_SPTR)text;
    int rc = pcre2_match(pattern->code, subject, length, from, PCRE2_NO_UTF_CHECK, data, NULL);
    if (rc == PCRE2_ERROR_JIT_STACKLIMIT) {
        rc = pcre2_match(pattern->code, subject, length, from, PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT, data, NULL);
    }
    if (rc >= 0) return 1;
    if (rc == PCRE2_ERROR_NOMATCH) return 0;
    PCRE2_UCHAR reason[128];
    pcre2_get_error_message(rc, reason, sizeof reason);
    error_set(err, "the tokenizer's pattern gave up on this text: %s", (const char *)reason);
    return -1;
}

static size_t next_character(const char *text, size_t length, size_t at) {
    uint32_t code;
    return at + (at < length ? utf8_read(text + at, length - at, &code) : 1);
}

bool pattern_cut(const Pattern *pattern, const char *text, size_t length, Scratch *scratch, Error *err) {
    scratch->match_count = 0;
    size_t from = 0, previous = 0, last_end = SIZE_MAX;
    while (from <= length) {
        int found = pattern_search(pattern, text, length, from, scratch->match_data, err);
        if (found < 0) return false;
        if (!found) break;
        const PCRE2_SIZE *range = pcre2_get_ovector_pointer(scratch->match_data);
        size_t start = range[0], end = range[1];
        if (start == end && end == last_end) { // an empty match right behind a match does not count
            from = next_character(text, length, from);
            continue;
        }
        from = last_end = end;
        if (previous < start && !add_match(scratch, previous, start, false, err)) return false;
        if (!add_match(scratch, start, end, true, err)) return false;
        previous = end;
    }
    return previous == length || add_match(scratch, previous, length, false, err);
}

bool pattern_replace(const Pattern *pattern, const Text *content, const char *text, size_t length, Scratch *scratch,
                     Text *out, Error *err) {
    if (!pattern_cut(pattern, text, length, scratch, err)) return false;
    size_t before = out->length;
    for (size_t i = 0; i < scratch->match_count; i++) {
        const Match *cut = &scratch->matches[i];
        if (!cut->is_match)
            text_add(out, text + cut->start, cut->end - cut->start);
        else if (growth_check(length, out->length - before + content->length, err))
            text_add(out, content->data, content->length);
        else
            return false;
    }
    return !out->failed || error_memory(err, "text");
}
