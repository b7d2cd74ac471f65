#include "export/beside.h"

#include <stdio.h>
#include <string.h>

#include "loaders/tensor_kind.h"

// Between dots.
static bool has_word(const char *name, const char *word, size_t length) {
    for (const char *at = name; at; at = strchr(at, '.')) {
        at += *at == '.';
        if (strncmp(at, word, length) == 0 && (at[length] == '.' || !at[length])) return true;
    }
    return false;
}

static bool is_known(const ModelStructure *s, const Names *words, const char *word, size_t length) {
    for (size_t i = 0; i < words->count; i++)
        if (has_word(words->items[i], word, length)) return true;
    for (int i = 0; i < s->linear_count; i++)
        if (has_word(s->linears[i].name, word, length)) return true;
    return false;
}

bool beside_words(const ModelStructure *s, Names *out, Error *err) {
    static const char wrapper[] = "model.";
    *out = (Names){0};
    for (size_t i = 0; i < s->rest_count; i++) {
        const char *name = s->rest[i]->name;
        if (!tensor_kind_is_linear(tensor_kind(s->checkpoint, s->rest[i]))) continue;
        if (strncmp(name, wrapper, sizeof wrapper - 1) == 0) name += sizeof wrapper - 1;
        const size_t length = strcspn(name, ".");
        if (is_known(s, out, name, length)) continue;
        char word[128];
        snprintf(word, sizeof word, "%.*s", (int)length, name);
        if (!names_add(out, word)) return error_memory(err, "the configuration");
    }
    return true;
}

void beside_pattern(const char *word, Text *out) { text_addf(out, "(.*\\.)?%s\\..*", word); }
