#include "loaders/config_parts.h"

#include <limits.h>
#include <math.h>
#include <string.h>

#include "base/json.h"

static bool add_eos(const cJSON *item, ModelConfig *out, Error *err) {
    double id = cJSON_GetNumberValue(item);
    if (id < 0 && id == floor(id)) return true; // −1 and the like: there is none
    if (!(id >= 0 && id <= INT_MAX && id == floor(id)))
        return error_set(err, "\"eos_token_id\" must be a token id or an array of them");
    for (int i = 0; i < out->eos_count; i++) {
        if (out->eos_tokens[i] == (int)id) return true;
    }
    int room = sizeof out->eos_tokens / sizeof *out->eos_tokens;
    if (out->eos_count == room)
        return error_set(err, "\"eos_token_id\" names more than %d tokens, which is not supported", room);
    out->eos_tokens[out->eos_count++] = (int)id;
    return true;
}

// One id, an array of ids, or null for none; what is there is added.
bool config_add_eos_tokens(const cJSON *object, ModelConfig *out, Error *err) {
    const cJSON *eos = cJSON_GetObjectItemCaseSensitive(object, "eos_token_id"), *item;
    if (!eos || cJSON_IsNull(eos)) return true;
    if (!cJSON_IsArray(eos)) return add_eos(eos, out, err);
    cJSON_ArrayForEach(item, eos) {
        if (!add_eos(item, out, err)) return false;
    }
    return true;
}

// A token id, or null or −1 for none.
static bool read_token(const cJSON *config, const char *key, int *out, Error *err) {
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(config, key);
    int64_t id;
    if (cJSON_IsArray(item)) item = item->child; // one of several that would do
    if (!item) return true;
    if (cJSON_IsNull(item)) return *out = -1, true;
    id = cJSON_IsNumber(item) && fabs(item->valuedouble) <= INT_MAX ? (int64_t)item->valuedouble : INT64_MIN;
    if (id < -1 || (double)id != item->valuedouble) return error_set(err, "\"%s\" must be a token id or null", key);
    *out = (int)id;
    return true;
}

// [[id], …]: words of several tokens are not looked for.
static bool read_never(const cJSON *config, EncoderDecoder *pair, Error *err) {
    const cJSON *words = cJSON_GetObjectItemCaseSensitive(config, "bad_words_ids"), *word;
    const int room = sizeof pair->never_tokens / sizeof *pair->never_tokens;
    if (!cJSON_IsArray(words)) return true;
    pair->never_count = 0;
    cJSON_ArrayForEach(word, words) {
        const double id = cJSON_GetNumberValue(cJSON_GetArrayItem(word, 0));
        if (cJSON_GetArraySize(word) != 1 || !(id >= 0 && id <= INT_MAX && id == floor(id)) ||
            pair->never_count == room)
            return error_set(err, "\"bad_words_ids\" may name at most %d words of one token each", room);
        pair->never_tokens[pair->never_count++] = (int)id;
    }
    return true;
}

// How an encoder–decoder writes; in config.json, or in generation_config.json, which counts then.
bool config_read_writing(const cJSON *config, ModelConfig *out, Error *err) {
    EncoderDecoder *pair = &out->pair;
    double penalty = (double)pair->length_penalty;
    int64_t least, run;
    const cJSON *early = cJSON_GetObjectItemCaseSensitive(config, "early_stopping");
    if (pair->encoder_layers == 0) return true;
    if (!read_token(config, "decoder_start_token_id", &pair->start_token, err) ||
        !read_token(config, "forced_bos_token_id", &pair->first_token, err) ||
        !read_token(config, "forced_eos_token_id", &pair->last_token, err) || !read_never(config, pair, err) ||
        !json_number(config, "length_penalty", penalty, &penalty, err) ||
        !json_integer(config, "min_length", pair->least_length, 0, INT_MAX, &least, err) ||
        !json_integer(config, "no_repeat_ngram_size", pair->no_repeat, 0, INT_MAX, &run, err))
        return false;
    pair->least_length = (int)least;
    pair->no_repeat = (int)run;
    if (early) {
        pair->early_stopping = cJSON_IsTrue(early);
        pair->never_stopping = cJSON_IsString(early) && strcmp(early->valuestring, "never") == 0;
    }
    pair->length_penalty = (float)penalty;
    return isfinite(penalty) || error_set(err, "\"length_penalty\" must be finite");
}

bool config_read_tokens(const cJSON *config, ModelConfig *out, Error *err) {
    if (!read_token(config, "bos_token_id", &out->bos_token, err)) return false;
    if (cJSON_GetObjectItemCaseSensitive(config, "eos_token_id"))
        out->eos_count = 0; // the default is for files that do not say
    return config_add_eos_tokens(config, out, err) && config_read_writing(config, out, err);
}
