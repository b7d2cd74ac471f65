#include "export/module_names.h"

#include <stdlib.h>
#include <string.h>

static bool is_number(const char *at, size_t n) { return n && strspn(at, "0123456789") == n; }

// From the word before the first number on; what stands before it differs between engines. False: no number.
static bool make_pattern(const char *name, Text *out) {
    const char *begin = name, *at = name;
    for (; *at; at += at[strcspn(at, ".")] == '.' ? strcspn(at, ".") + 1 : strcspn(at, ".")) {
        if (is_number(at, strcspn(at, "."))) break;
        begin = at;
    }
    if (!*at || begin == at) return false;
    text_addf(out, "(.*\\.)?");
    for (at = begin; *at;) {
        const size_t n = strcspn(at, ".");
        if (is_number(at, n))
            text_addf(out, "\\d+");
        else
            text_add(out, at, n);
        at += n;
        if (*at) text_addf(out, "\\.");
        at += *at == '.';
    }
    text_addf(out, "$");
    return true;
}

static bool find_pattern(ModuleNames *targets, size_t name, Error *err) {
    Text text = {0};
    targets->pattern_of[name] = -1;
    if (!make_pattern(targets->names[name], &text)) return true;
    size_t i = 0;
    while (!text.failed && i < targets->pattern_count && strcmp(targets->patterns[i].text.data, text.data) != 0) i++;
    const bool known = i < targets->pattern_count;
    if (text.failed ||
        (!known && !array_grow(&targets->patterns, i, &targets->pattern_capacity, sizeof(ModulePattern)))) {
        text_free(&text);
        return error_memory(err, "the configuration");
    }
    if (known) {
        targets->patterns[i].mixed |= targets->patterns[i].scheme != targets->schemes[name];
        text_free(&text);
    } else {
        targets->patterns[targets->pattern_count++] = (ModulePattern){.text = text, .scheme = targets->schemes[name]};
    }
    targets->pattern_of[name] = (int)i;
    return true;
}

bool module_names_make(const char *const *names, const int *schemes, size_t count, ModuleNames *out, Error *err) {
    *out = (ModuleNames){.names = names, .schemes = schemes, .count = count};
    out->pattern_of = array_new(count, sizeof *out->pattern_of);
    if (!out->pattern_of) return error_memory(err, "the configuration");
    for (size_t i = 0; i < count; i++)
        if (!find_pattern(out, i, err)) return false;
    return true;
}

void module_names_free(ModuleNames *targets) {
    for (size_t i = 0; i < targets->pattern_count; i++) text_free(&targets->patterns[i].text);
    free(targets->patterns);
    free(targets->pattern_of);
}

const char *module_names_next(const ModuleNames *targets, int scheme, size_t *at, bool *regex) {
    for (; *at < targets->pattern_count; ++*at) {
        const ModulePattern *pattern = &targets->patterns[*at];
        *regex = true;
        if (!pattern->mixed && pattern->scheme == scheme) return targets->patterns[(*at)++].text.data;
    }
    for (; *at < targets->pattern_count + targets->count; ++*at) {
        const size_t name = *at - targets->pattern_count;
        const int pattern = targets->pattern_of[name];
        *regex = false;
        if (targets->schemes[name] != scheme || (pattern >= 0 && !targets->patterns[pattern].mixed)) continue;
        ++*at;
        return targets->names[name];
    }
    return NULL;
}

void module_name_escape(const char *name, Text *out) {
    for (; *name; name++) text_addf(out, strchr(".^$*+?()[]{}|\\", *name) ? "\\%c" : "%c", *name);
    text_addf(out, "$");
}
