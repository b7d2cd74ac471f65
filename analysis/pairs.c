#include "analysis/pairs.h"

#include "analysis/task_lines.h"
#include "base/array.h"

// What the tokenizer puts before and behind a source, and what a target begins with.
typedef struct PairForm {
    TokenIds before, behind, start;
} PairForm;

static bool add_id(int32_t id, TokenIds *out, Error *err) {
    if (!array_grow(&out->ids, out->count, &out->capacity, sizeof *out->ids)) return error_memory(err, "token ids");
    out->ids[out->count++] = id;
    return true;
}

static bool add_ids(const int32_t *ids, size_t count, TokenIds *out, Error *err) {
    for (size_t i = 0; i < count; i++)
        if (!add_id(ids[i], out, err)) return false;
    return true;
}

static bool pair_form(const Tokenizer *tokenizer, const EncoderDecoder *pair, PairForm *out, Error *err) {
    return tokenizer_encode_part(tokenizer, "", 0, true, false, &out->before, err) &&
           tokenizer_encode_part(tokenizer, "", 0, false, true, &out->behind, err) &&
           (pair->start_token < 0 || add_id(pair->start_token, &out->start, err)) &&
           (pair->first_token < 0 || add_id(pair->first_token, &out->start, err));
}

static void pair_form_free(PairForm *form) {
    token_ids_free(&form->before);
    token_ids_free(&form->behind);
    token_ids_free(&form->start);
}

static bool is_among(const TokenIds *ids, int32_t id) {
    for (size_t i = 0; i < ids->count; i++)
        if (ids->ids[i] == id) return true;
    return false;
}

// What stands around the texts is taken out: it is put around every source anew.
static void leave_text(const PairForm *form, TokenIds *text) {
    size_t kept = 0;
    for (size_t i = 0; i < text->count; i++)
        if (!is_among(&form->before, text->ids[i]) && !is_among(&form->behind, text->ids[i]))
            text->ids[kept++] = text->ids[i];
    text->count = kept;
}

static bool add_pair(const PairForm *form, const int32_t *source, size_t of_source, const int32_t *target,
                     size_t of_target, TokenIds *out, Error *err) {
    return add_ids(form->before.ids, form->before.count, out, err) && add_ids(source, of_source, out, err) &&
           add_ids(form->behind.ids, form->behind.count, out, err) &&
           add_ids(form->start.ids, form->start.count, out, err) && add_ids(target, of_target, out, err);
}

// Tokens of texts in a sequence of `length`.
static bool find_shares(const PairForm *form, const ModelConfig *config, size_t length, size_t *of_source,
                        size_t *of_target, Error *err) {
    const size_t around = form->before.count + form->behind.count, start = form->start.count;
    const size_t source = source_share(config, length);
    *of_source = source - around;
    *of_target = length - source - start;
    return (source > around && length - source > start + 1) ||
           error_set(err, "%zu tokens are too few for a source and a target; give a longer text or larger windows",
                     length);
}

// ---- Of a text: how it goes on ----

static bool cut_into_pairs(const PairForm *form, const ModelConfig *config, size_t length, size_t most,
                           const TokenIds *text, TokenIds *out, Error *err) {
    const size_t all = text->count + form->before.count + form->behind.count + form->start.count;
    size_t of_source, of_target;
    if (all < length) length = all;
    if (!find_shares(form, config, length, &of_source, &of_target, err)) return false;
    for (size_t at = 0; at + of_source + of_target <= text->count && out->count + length <= most;
         at += of_source + of_target)
        if (!add_pair(form, text->ids + at, of_source, text->ids + at + of_source, of_target, out, err)) return false;
    return out->count > 0 ||
           error_set(err, "%zu tokens hold no sequence of %zu; take more tokens or smaller windows", most, length);
}

bool tokens_into_pairs(const Tokenizer *tokenizer, const ModelConfig *config, size_t length, size_t most, TokenIds *ids,
                       Error *err) {
    PairForm form = {0};
    TokenIds pairs = {0};
    bool ok = pair_form(tokenizer, &config->pair, &form, err);
    if (ok) leave_text(&form, ids);
    ok = ok && cut_into_pairs(&form, config, length, most, ids, &pairs, err);
    pair_form_free(&form);
    token_ids_free(ids);
    *ids = pairs;
    return ok;
}

// ---- Of lines: translations ----

typedef struct PairLines {
    const Tokenizer *tokenizer;
    PairForm form;
    size_t of_source, of_target;
    size_t length, most;
    TokenIds sources, targets; // that are not in a sequence yet
    TokenIds *out;
} PairLines;

static bool add_field(const PairLines *l, const cJSON *line, const char *key, TokenIds *out, Error *err) {
    const char *string = NULL;
    Text text = {0};
    if (!json_string(line, key, NULL, &string, err)) return false;
    if (!string) return error_set(err, "has no field \"%s\"", key);
    json_bytes(string, &text);
    const bool ok = text.failed ? error_memory(err, "reading text")
                                : tokenizer_encode_part(l->tokenizer, text.data, text.length, false, true, out, err);
    text_free(&text);
    return ok;
}

// A sequence begins with a line, and takes lines until both halves are full.
static bool add_line(void *context, const cJSON *line, Error *err) {
    PairLines *l = context;
    if (l->out->count + l->length > l->most) return true;
    if (!add_field(l, line, "source", &l->sources, err) || !add_field(l, line, "reference", &l->targets, err))
        return false;
    if (l->sources.count < l->of_source || l->targets.count < l->of_target) return true;
    const bool ok = add_pair(&l->form, l->sources.ids, l->of_source, l->targets.ids, l->of_target, l->out, err);
    l->sources.count = l->targets.count = 0;
    return ok;
}

static bool pairs_of_lines(const Tokenizer *tokenizer, const ModelConfig *config, const char *path, size_t length,
                           size_t most, TokenIds *out, Error *err) {
    PairLines l = {.tokenizer = tokenizer, .length = length, .most = most, .out = out};
    bool ok = pair_form(tokenizer, &config->pair, &l.form, err) &&
              find_shares(&l.form, config, length, &l.of_source, &l.of_target, err) &&
              task_lines(path, add_line, &l, err);
    if (ok && !out->count)
        ok = error_set(err, "%s: its lines, or %zu tokens, fill no sequence of %zu; give more, or smaller windows",
                       path, most, length);
    pair_form_free(&l.form);
    token_ids_free(&l.sources);
    token_ids_free(&l.targets);
    return ok;
}

// The first line says it.
static bool look_at_line(void *context, const cJSON *line, Error *err) {
    *(bool *)context = cJSON_GetObjectItemCaseSensitive(line, "source") != NULL;
    return error_set(err, "one line is enough");
}

bool pairs_from_file(const TextForm *form, const ModelConfig *config, const char *path, size_t length, size_t most,
                     TokenIds *ids, Error *err) {
    bool translated = false;
    Error looked = {0};
    if (tokens_file_has_lines(path)) task_lines(path, look_at_line, &translated, &looked);
    if (translated) return pairs_of_lines(form->tokenizer, config, path, length, most, ids, err);
    return tokens_from_file(form, path, most, ids, err) &&
           tokens_into_pairs(form->tokenizer, config, length, most, ids, err);
}
