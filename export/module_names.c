#include "export/module_names.h"

#include <stdlib.h>
#include <string.h>

static bool is_number(const char *at, size_t n) { return n && strspn(at, "0123456789") == n; }

// The first number among its words, but for the first word; NULL: none.
static const char *number_in(const char *name) {
    const char *dot = strchr(name, '.');
    while (dot && !is_number(dot + 1, strcspn(dot + 1, "."))) dot = strchr(dot + 1, '.');
    return dot ? dot + 1 : NULL;
}

// From the word before the first number on, or the last word; NULL: there is but one.
static const char *stem_of(const char *name) {
    const char *number = number_in(name), *stem = number ? number - 1 : name + strlen(name);
    while (stem > name && stem[-1] != '.') stem--;
    return number || stem > name ? stem : NULL;
}

static void make_pattern(const char *stem, bool any_number, Text *out) {
    text_addf(out, "(.*\\.)?");
    for (const char *at = stem; *at;) {
        const size_t n = strcspn(at, ".");
        if (any_number && is_number(at, n))
            text_addf(out, "\\d+");
        else
            text_add(out, at, n);
        at += n;
        if (*at) text_addf(out, "\\.");
        at += *at == '.';
    }
    text_addf(out, "$");
}

static bool find_pattern(ModuleNames *targets, size_t name, Error *err) {
    Text text = {0};
    targets->pattern_of[name] = -1;
    if (!number_in(targets->names[name])) return true;
    make_pattern(stem_of(targets->names[name]), true, &text);
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

// ---- Names that need a pattern of their own ----

static bool is_covered(const ModuleNames *targets, size_t name) {
    const int pattern = targets->pattern_of[name];
    return pattern >= 0 && !targets->patterns[pattern].mixed;
}

typedef struct Own {
    Text *text;
    size_t name;
} Own;

static int compare_own(const void *a, const void *b) {
    return strcmp(((const Own *)a)->text->data, ((const Own *)b)->text->data);
}

// The same layer of two stacks: the whole name tells them apart.
static void tell_apart(const ModuleNames *targets, Own *list, size_t count) {
    qsort(list, count, sizeof *list, compare_own);
    for (size_t i = 0, end; i < count; i = end) {
        for (end = i + 1; end < count && compare_own(&list[i], &list[end]) == 0;) end++;
        for (size_t k = i; end - i > 1 && k < end; k++) {
            text_free(list[k].text);
            make_pattern(targets->names[list[k].name], false, list[k].text);
        }
    }
}

static bool make_own(ModuleNames *targets) {
    Own *list = array_new(targets->count, sizeof *list);
    size_t count = 0;
    bool ok = list != NULL;
    for (size_t i = 0; ok && i < targets->count; i++) {
        const char *stem = is_covered(targets, i) ? NULL : stem_of(targets->names[i]);
        if (!stem) continue;
        make_pattern(stem, false, &targets->own[i]);
        ok = !targets->own[i].failed;
        list[count++] = (Own){&targets->own[i], i};
    }
    if (ok) tell_apart(targets, list, count);
    for (size_t i = 0; ok && i < targets->count; i++) ok = !targets->own[i].failed;
    free(list);
    return ok;
}

// ---- The whole ----

bool module_names_make(const char *const *names, const int *schemes, size_t count, ModuleNames *out, Error *err) {
    *out = (ModuleNames){.names = names, .schemes = schemes, .count = count};
    out->pattern_of = array_new(count, sizeof *out->pattern_of);
    out->own = array_new(count, sizeof *out->own);
    if (!out->pattern_of || !out->own) return error_memory(err, "the configuration");
    for (size_t i = 0; i < count; i++)
        if (!find_pattern(out, i, err)) return false;
    return make_own(out) || error_memory(err, "the configuration");
}

void module_names_free(ModuleNames *targets) {
    for (size_t i = 0; i < targets->pattern_count; i++) text_free(&targets->patterns[i].text);
    for (size_t i = 0; targets->own && i < targets->count; i++) text_free(&targets->own[i]);
    free(targets->patterns);
    free(targets->pattern_of);
    free(targets->own);
}

const char *module_names_next(const ModuleNames *targets, int scheme, size_t *at, bool *regex) {
    for (; *at < targets->pattern_count; ++*at) {
        const ModulePattern *pattern = &targets->patterns[*at];
        *regex = true;
        if (!pattern->mixed && pattern->scheme == scheme) return targets->patterns[(*at)++].text.data;
    }
    for (; *at < targets->pattern_count + targets->count; ++*at) {
        const size_t name = *at - targets->pattern_count;
        if (targets->schemes[name] != scheme || is_covered(targets, name)) continue;
        ++*at;
        *regex = targets->own[name].data != NULL;
        return *regex ? targets->own[name].data : targets->names[name];
    }
    return NULL;
}

void module_name_escape(const char *name, Text *out) {
    for (; *name; name++) text_addf(out, strchr(".^$*+?()[]{}|\\", *name) ? "\\%c" : "%c", *name);
    text_addf(out, "$");
}
