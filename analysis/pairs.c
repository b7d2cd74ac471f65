#include "analysis/pairs.h"

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

// `source` and `target` tokens of the text, which stand one behind the other there.
static bool add_pair(const PairForm *form, const int32_t *text, size_t source, size_t target, TokenIds *out,
                     Error *err) {
    return add_ids(form->before.ids, form->before.count, out, err) && add_ids(text, source, out, err) &&
           add_ids(form->behind.ids, form->behind.count, out, err) &&
           add_ids(form->start.ids, form->start.count, out, err) && add_ids(text + source, target, out, err);
}

static bool cut_into_pairs(const PairForm *form, const ModelConfig *config, size_t length, size_t most,
                           const TokenIds *text, TokenIds *out, Error *err) {
    const size_t around = form->before.count + form->behind.count, start = form->start.count;
    if (text->count + around + start < length) length = text->count + around + start;
    const size_t source = source_share(config, length);
    if (source <= around || length - source <= start + 1)
        return error_set(err, "%zu tokens are too few for a source and a target; give a longer text or larger windows",
                         length);
    const size_t of_source = source - around, of_target = length - source - start;
    for (size_t at = 0; at + of_source + of_target <= text->count && out->count + length <= most;
         at += of_source + of_target)
        if (!add_pair(form, text->ids + at, of_source, of_target, out, err)) return false;
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
