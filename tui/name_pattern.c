#include "tui/name_pattern.h"

#include <stdio.h>
#include <string.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "quant/recipe.h"

// Enough for any name that a sensible expression matches; one that tries all ways of splitting it stops soon.
#define MATCH_LIMIT 20000

// \D and the like are no capitals.
static bool has_capital(const char *text) {
    for (; *text; text++) {
        if (*text == '\\' && text[1])
            text++;
        else if (*text >= 'A' && *text <= 'Z')
            return true;
    }
    return false;
}

static bool compile(const char *text, NamePattern *out, Error *err) {
    int code;
    PCRE2_SIZE at;
    const uint32_t options = PCRE2_UTF | PCRE2_MATCH_INVALID_UTF | (has_capital(text) ? 0 : PCRE2_CASELESS);
    out->code = pcre2_compile((PCRE2_SPTR)text, PCRE2_ZERO_TERMINATED, options, &code, &at, NULL);
    if (!out->code) {
        PCRE2_UCHAR reason[128];
        pcre2_get_error_message(code, reason, sizeof reason);
        return error_set(err, "“%s”, character %zu: %s", text, (size_t)at + 1, (const char *)reason);
    }
    pcre2_jit_compile(out->code, PCRE2_JIT_COMPLETE); // without it matching is slower, not different
    out->match = pcre2_match_data_create(1, NULL);
    out->limits = pcre2_match_context_create(NULL);
    if (!out->match || !out->limits) return error_memory(err, "the expression");
    pcre2_set_match_limit(out->limits, MATCH_LIMIT);
    pcre2_set_depth_limit(out->limits, MATCH_LIMIT);
    return true;
}

bool name_pattern_compile(const char *text, bool glob, NamePattern *out, Error *err) {
    *out = (NamePattern){0};
    if (glob || !*text) {
        if (strlen(text) >= sizeof out->glob) return error_set(err, "“%.40s…” is too long", text);
        snprintf(out->glob, sizeof out->glob, "%s", text);
        return true;
    }
    if (compile(text, out, err)) return true;
    name_pattern_free(out);
    return false;
}

void name_pattern_free(NamePattern *pattern) {
    pcre2_code_free(pattern->code);
    pcre2_match_data_free(pattern->match);
    pcre2_match_context_free(pattern->limits);
    *pattern = (NamePattern){0};
}

bool name_pattern_matches(const NamePattern *pattern, const char *name) {
    if (!pattern->code) return *pattern->glob && glob_matches(pattern->glob, name);
    return pcre2_match(pattern->code, (PCRE2_SPTR)name, PCRE2_ZERO_TERMINATED, 0, 0, pattern->match, pattern->limits) >=
           0;
}
