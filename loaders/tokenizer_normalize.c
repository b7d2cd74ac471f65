#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

#include "loaders/tokenizer_parts.h"

#define DEEPEST 16 // of Sequences in Sequences

static bool run_form(const NormalizerStep *step, const char *text, size_t length, Text *out) {
    utf8proc_uint8_t *mapped = NULL;
    utf8proc_option_t options = (utf8proc_option_t)step->options;
    utf8proc_ssize_t n = utf8proc_map((const utf8proc_uint8_t *)text, (utf8proc_ssize_t)length, &mapped, options);
    if (n >= 0) text_add(out, (const char *)mapped, (size_t)n);
    free(mapped);
    return n >= 0 && !out->failed;
}

// Character by character, without context, as the package does: a final sigma stays an ordinary one.
static bool run_lowercase(const NormalizerStep *step, const char *text, size_t length, Text *out) {
    (void)step;
    for (size_t i = 0; i < length;) {
        uint32_t code;
        i += utf8_read(text + i, length - i, &code);
        char bytes[4];
        if (code == 0x130)
            text_add(out, "i\xCC\x87", 3); // the only character whose lower case is two
        else
            text_add(out, bytes, utf8_write((uint32_t)utf8proc_tolower((utf8proc_int32_t)code), bytes));
    }
    return !out->failed;
}

static const struct {
    const char *type;
    NormalizerStep step;
} kinds[] = {
    {"NFC", {run_form, UTF8PROC_STABLE | UTF8PROC_COMPOSE}},
    {"NFD", {run_form, UTF8PROC_STABLE | UTF8PROC_DECOMPOSE}},
    {"NFKC", {run_form, UTF8PROC_STABLE | UTF8PROC_COMPOSE | UTF8PROC_COMPAT}},
    {"NFKD", {run_form, UTF8PROC_STABLE | UTF8PROC_DECOMPOSE | UTF8PROC_COMPAT}},
    {"Lowercase", {run_lowercase, 0}},
};

static bool add_kind(const char *type, Normalizer *out, Error *err) {
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        if (strcmp(kinds[i].type, type) != 0) continue;
        if (!array_grow(&out->steps, out->count, &out->capacity, sizeof *out->steps))
            return error_memory(err, "normalizers");
        out->steps[out->count++] = kinds[i].step;
        return true;
    }
    return tokenizer_refuse("normalizer", type, "Sequence, NFC, NFD, NFKC, NFKD, Lowercase", err);
}

static bool read_steps(const cJSON *json, int depth, Normalizer *out, Error *err) {
    if (!json || cJSON_IsNull(json)) return true;
    const char *type;
    if (!cJSON_IsObject(json)) return error_set(err, "a normalizer must be an object");
    if (!json_string(json, "type", "", &type, err)) return false;
    if (strcmp(type, "Sequence") != 0) return add_kind(type, out, err);
    if (depth == DEEPEST) return error_set(err, "normalizers are nested too deep");
    const cJSON *list = cJSON_GetObjectItemCaseSensitive(json, "normalizers"), *item;
    if (!cJSON_IsArray(list)) return error_set(err, "\"normalizers\" must be an array");
    cJSON_ArrayForEach(item, list) {
        if (!read_steps(item, depth + 1, out, err)) return false;
    }
    return true;
}

bool normalizer_read(const cJSON *json, Normalizer *out, Error *err) { return read_steps(json, 0, out, err); }

bool normalizer_run(const Normalizer *normalizer, const char *text, size_t length, Text *out, Error *err) {
    text_clear(out);
    if (!normalizer->count) {
        text_add(out, text, length);
        return !out->failed || error_memory(err, "text");
    }
    for (size_t i = 0; i < normalizer->count; i++) {
        const NormalizerStep *step = &normalizer->steps[i];
        Text next = {0};
        text_add(&next, "", 0);
        bool ok = i == 0 ? step->run(step, text, length, &next) : step->run(step, out->data, out->length, &next);
        text_free(out);
        *out = next;
        if (!ok) return error_memory(err, "text");
    }
    return true;
}

void normalizer_free(Normalizer *normalizer) {
    free(normalizer->steps);
    *normalizer = (Normalizer){0};
}
