// Post-processors: the special tokens around the text (tokenizers package, processors/).
#include <string.h>

#include "loaders/tokenizer/tokenizer_parts.h"

#define DEEPEST 16 // of Sequences in Sequences

static bool add_id(TokenIds *out, const cJSON *id, Error *err) {
    if (!cJSON_IsNumber(id) || id->valueint < 0) return error_set(err, "an id of the special token must be a number");
    return token_ids_add(out, id->valueint) || error_memory(err, "the template");
}

static bool add_special_ids(const cJSON *specials, const char *name, TokenIds *out, Error *err) {
    const cJSON *ids = cJSON_GetObjectItemCaseSensitive(cJSON_GetObjectItemCaseSensitive(specials, name), "ids"), *item;
    if (!cJSON_IsArray(ids))
        return tokenizer_refuse("special token", name, "those with \"ids\" in \"special_tokens\"", err);
    cJSON_ArrayForEach(item, ids) {
        if (!add_id(out, item, err)) return false;
    }
    return true;
}

static bool read_single(const cJSON *json, Template *out, Error *err) {
    const cJSON *single = cJSON_GetObjectItemCaseSensitive(json, "single"), *item;
    const cJSON *specials = cJSON_GetObjectItemCaseSensitive(json, "special_tokens");
    if (!cJSON_IsArray(single)) return error_set(err, "\"single\" must be an array");
    int texts = 0;
    cJSON_ArrayForEach(item, single) {
        const cJSON *special = cJSON_GetObjectItemCaseSensitive(item, "SpecialToken");
        const cJSON *sequence = cJSON_GetObjectItemCaseSensitive(item, "Sequence");
        const char *id;
        if (!json_string(special ? special : sequence, "id", "", &id, err)) return false;
        if (!special && strcmp(id, "A") == 0)
            texts++;
        else if (!special)
            return error_set(err, "\"single\" may hold SpecialToken and Sequence A only");
        else if (!add_special_ids(specials, id, texts ? &out->after : &out->before, err))
            return false;
    }
    return texts == 1 || error_set(err, "\"single\" must hold the text once");
}

// BERT's and RoBERTa's: {"cls": ["<s>", 0], "sep": ["</s>", 2]}; the latter corrects offsets, too.
static bool read_cls_and_sep(const cJSON *json, Template *out, Error *err) {
    const cJSON *cls = cJSON_GetObjectItemCaseSensitive(json, "cls"),
                *sep = cJSON_GetObjectItemCaseSensitive(json, "sep");
    return add_id(&out->before, cJSON_GetArrayItem(cls, 1), err) &&
           add_id(&out->after, cJSON_GetArrayItem(sep, 1), err);
}

// A template wraps what earlier post-processors of a Sequence made.
static bool template_wrap(Template *out, Template *around, Error *err) {
    bool ok = token_ids_join(&around->before, &out->before, err) && token_ids_join(&out->after, &around->after, err);
    TokenIds swapped = out->before;
    out->before = around->before;
    around->before = swapped;
    return ok;
}

// ByteLevel corrects offsets, which are not used here.
static const struct {
    const char *type;
    bool (*read)(const cJSON *json, Template *out, Error *err); // NULL: adds nothing
} kinds[] = {{"ByteLevel", NULL},
             {"TemplateProcessing", read_single},
             {"RobertaProcessing", read_cls_and_sep},
             {"BertProcessing", read_cls_and_sep}};

static bool add_kind(const char *type, const cJSON *json, Template *out, Error *err) {
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        if (strcmp(kinds[i].type, type) != 0) continue;
        Template around = {0};
        bool ok = !kinds[i].read || (kinds[i].read(json, &around, err) && template_wrap(out, &around, err));
        template_free(&around);
        return ok;
    }
    return tokenizer_refuse("post-processor", type,
                            "Sequence, TemplateProcessing, ByteLevel, RobertaProcessing, BertProcessing", err);
}

static bool read_steps(const cJSON *json, int depth, Template *out, Error *err) {
    if (!json || cJSON_IsNull(json)) return true;
    const char *type;
    if (!json_string(json, "type", "", &type, err)) return false;
    if (strcmp(type, "Sequence") != 0) return add_kind(type, json, out, err);
    if (depth == DEEPEST) return error_set(err, "post-processors are nested too deep");
    const cJSON *list = cJSON_GetObjectItemCaseSensitive(json, "processors"), *item;
    if (!cJSON_IsArray(list)) return error_set(err, "\"processors\" must be an array");
    cJSON_ArrayForEach(item, list) {
        if (!read_steps(item, depth + 1, out, err)) return false;
    }
    return true;
}

bool template_read(const cJSON *json, Template *out, Error *err) { return read_steps(json, 0, out, err); }

void template_free(Template *template) {
    token_ids_free(&template->before);
    token_ids_free(&template->after);
}
