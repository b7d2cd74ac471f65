// What a model's folder says about its tokenizer: tokenizer.json, or vocab.json with merges.txt (GPT-2's format), and
// what tokenizer_config.json changes about it (transformers 4.57).
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "loaders/tokenizer/tokenizer_parts.h"

#define FILE_LIMIT ((size_t)512 << 20)

// cJSON ends a text at its first NUL, and what is left may be another token. U+FFFF, which is no character, stands for
// it then: NUL in a text is found as a byte token or not at all.
cJSON *tokenizer_document_parse(const char *json, size_t length, Error *err) {
    static const char nul[] = "u0000", instead[] = "uffff";
    Text text = {0};
    text_add(&text, json, length);
    if (text.failed) return error_memory(err, "the tokenizer"), NULL;
    for (size_t i = 0; i + 6 <= length; i++) {
        if (text.data[i] != '\\') continue;
        i++; // a backslash behind a backslash begins nothing
        if (memcmp(text.data + i, nul, 5) == 0) memcpy(text.data + i, instead, 5);
    }
    cJSON *document = json_parse(text.data, length, err);
    text_free(&text);
    return document;
}

// NULL without an error: the file is not there.
static cJSON *read_json(const char *folder, const char *name, Error *err) {
    char *path = path_join(folder, name), *text = NULL;
    size_t length;
    cJSON *json = NULL;
    if (!path)
        error_memory(err, "a file name");
    else if (file_exists(path) && file_read(path, FILE_LIMIT, &text, &length, err)) {
        json = tokenizer_document_parse(text, length, err);
        if (!json) error_prefix(err, "%s", path);
    }
    free(text);
    free(path);
    return json;
}

// ------------------------------------------------------------------------------------------------- tokenizer_config

typedef struct Config {
    cJSON *config, *map; // tokenizer_config.json, special_tokens_map.json; NULL when missing
    char class[64];      // "GPT2Tokenizer": without "Fast"; "" when unknown
} Config;

static bool read_config(const char *folder, Config *out, Error *err) {
    Error failed = {0};
    *out = (Config){.config = read_json(folder, "tokenizer_config.json", &failed)};
    if (!*failed.message) out->map = read_json(folder, "special_tokens_map.json", &failed);
    const char *class = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(out->config, "tokenizer_class"));
    snprintf(out->class, sizeof out->class, "%s", class ? class : "");
    size_t length = strlen(out->class);
    if (length >= 4 && strcmp(out->class + length - 4, "Fast") == 0) out->class[length - 4] = '\0';
    return !*failed.message || error_set(err, "%s", failed.message);
}

static void free_config(Config *config) {
    cJSON_Delete(config->config);
    cJSON_Delete(config->map);
}

// "bos_token": a string, or an object with "content". null means that there is none.
static const char *special_content(const Config *config, const char *key, const char *missing) {
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(config->config, key);
    if (!item) item = cJSON_GetObjectItemCaseSensitive(config->map, key);
    if (!item) return missing;
    return cJSON_GetStringValue(cJSON_IsObject(item) ? cJSON_GetObjectItemCaseSensitive(item, "content") : item);
}

// Classes that make the template themselves, whatever tokenizer.json has for one.
static const struct {
    const char *class, *bos, *eos;
    bool add_bos, only_vocab; // only_vocab: only when there is no tokenizer.json
} classes[] = {
    {"LlamaTokenizer", "<s>", "</s>", true, false},
    {"CodeLlamaTokenizer", "<s>", "</s>", true, false},
    {"GemmaTokenizer", "<bos>", "<eos>", true, false},
    {"CohereTokenizer", "<BOS_TOKEN>", "<|END_OF_TURN_TOKEN|>", true, false},
    {"GPTNeoXTokenizer", "<|endoftext|>", "<|endoftext|>", false, false},
    {"GPT2Tokenizer", "<|endoftext|>", "<|endoftext|>", false, true},
    {"CodeGenTokenizer", "<|endoftext|>", "<|endoftext|>", false, true},
};
#define CLASSES (sizeof classes / sizeof *classes)

static size_t find_class(const char *name) {
    size_t i = 0;
    while (i < CLASSES && strcmp(classes[i].class, name) != 0) i++;
    return i;
}

static bool add_special(const char *content, const AddedTokens *added, const Vocab *vocab, TokenIds *out, Error *err) {
    int32_t id = added_tokens_id(added, vocab, content);
    if (id < 0) {
        return tokenizer_refuse("special token of tokenizer_config.json", content, "tokens of the vocabulary", err);
    }
    return token_ids_add(out, id) || error_memory(err, "the template");
}

static bool make_template(const Config *config, bool from_vocab, const AddedTokens *added, const Vocab *vocab,
                          Template *out, Error *err) {
    size_t class = find_class(config->class);
    if (class == CLASSES || (classes[class].only_vocab && !from_vocab)) return true;
    const char *bos = special_content(config, "bos_token", classes[class].bos),
               *eos = special_content(config, "eos_token", classes[class].eos);
    bool add_bos, add_eos;
    if (!json_bool(config->config, "add_bos_token", classes[class].add_bos, &add_bos, err) ||
        !json_bool(config->config, "add_eos_token", false, &add_eos, err)) {
        return error_prefix(err, "tokenizer_config.json");
    }
    if (classes[class].only_vocab) add_eos = false;
    if ((add_bos && !bos) || (add_eos && !eos)) return true; // contradicts itself: then tokenizer.json knows better
    template_free(out);
    return (!add_bos || add_special(bos, added, vocab, &out->before, err)) &&
           (!add_eos || add_special(eos, added, vocab, &out->after, err));
}

bool template_from_config(const char *folder, bool from_vocab, const AddedTokens *added, const Vocab *vocab,
                          Template *out, Error *err) {
    Config config;
    bool ok = read_config(folder, &config, err) && make_template(&config, from_vocab, added, vocab, out, err);
    free_config(&config);
    return ok || error_prefix(err, "%s", folder);
}

// --------------------------------------------------------------------------------------------- vocab.json, merges.txt

static bool add_merges(const char *folder, cJSON *merges, Error *err) {
    char *path = path_join(folder, "merges.txt"), *text = NULL;
    size_t length;
    bool ok = path ? file_read(path, FILE_LIMIT, &text, &length, err) : error_memory(err, "a file name");
    for (char *line = text, *next; ok && line && *line; line = next) {
        next = line + strcspn(line, "\n");
        if (*next) *next++ = '\0';
        line[strcspn(line, "\r")] = '\0';
        ok = !*line || cJSON_AddItemToArray(merges, cJSON_CreateString(line)) || error_memory(err, "merges");
    }
    free(text);
    free(path);
    return ok;
}

static bool add_token(cJSON *tokens, const char *content, const cJSON *flags, bool special) {
    cJSON *token = cJSON_IsObject(flags) ? cJSON_Duplicate(flags, true) : cJSON_CreateObject();
    if (!cJSON_IsObject(flags)) cJSON_AddStringToObject(token, "content", content);
    cJSON_DeleteItemFromObjectCaseSensitive(token, "special");
    return cJSON_AddBoolToObject(token, "special", special) && cJSON_AddItemToArray(tokens, token);
}

static int compare_ids(const void *a, const void *b) {
    const cJSON *x = *(const cJSON *const *)a, *y = *(const cJSON *const *)b;
    return (x->valuedouble > y->valuedouble) - (x->valuedouble < y->valuedouble);
}

// added_tokens.json: {"text": id}. They are numbered in the order of their ids.
static bool add_added_tokens(const char *folder, cJSON *tokens, Error *err) {
    Error failed = {0};
    cJSON *json = read_json(folder, "added_tokens.json", &failed);
    if (!json) return !*failed.message || error_set(err, "%s", failed.message);
    size_t count = (size_t)cJSON_GetArraySize(json), n = 0;
    const cJSON **items = array_new(count, sizeof(cJSON *)), *item;
    bool ok = items && cJSON_IsObject(json);
    cJSON_ArrayForEach(item, json) {
        if (ok) items[n++] = item;
    }
    if (ok) qsort(items, n, sizeof(cJSON *), compare_ids);
    for (size_t i = 0; ok && i < n; i++) ok = add_token(tokens, items[i]->string, NULL, false);
    free(items);
    cJSON_Delete(json);
    return ok || error_set(err, "added_tokens.json cannot be used");
}

// The special tokens are found in texts, too.
static bool add_special_tokens(const Config *config, cJSON *tokens, Error *err) {
    static const char *const keys[] = {"bos_token", "eos_token", "unk_token", "sep_token",
                                       "pad_token", "cls_token", "mask_token"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        const char *content = special_content(config, keys[i], i < 3 ? "<|endoftext|>" : NULL);
        const cJSON *flags = cJSON_GetObjectItemCaseSensitive(config->config, keys[i]);
        if (!flags) flags = cJSON_GetObjectItemCaseSensitive(config->map, keys[i]);
        if (content && !add_token(tokens, content, flags, true)) return error_memory(err, "special tokens");
    }
    return true;
}

static cJSON *add_object(cJSON *document, const char *key, const char *type) {
    cJSON *object = cJSON_AddObjectToObject(document, key);
    cJSON_AddStringToObject(object, "type", type);
    return object;
}

// GPT-2's parts around the vocabulary and the merges.
static bool fill_document(const char *folder, const Config *config, cJSON *vocab, cJSON *document, Error *err) {
    cJSON *model = add_object(document, "model", "BPE"), *pre = add_object(document, "pre_tokenizer", "ByteLevel");
    cJSON *merges = cJSON_AddArrayToObject(model, "merges"), *tokens = cJSON_AddArrayToObject(document, "added_tokens");
    bool ok = add_object(document, "decoder", "ByteLevel") && pre && merges && tokens &&
              cJSON_AddItemToObject(model, "vocab", vocab);
    if (!ok) {
        cJSON_Delete(vocab);
        return error_memory(err, "the tokenizer");
    }
    bool prefix;
    return json_bool(config->config, "add_prefix_space", false, &prefix, err) &&
           cJSON_AddBoolToObject(pre, "add_prefix_space", prefix) && add_merges(folder, merges, err) &&
           add_added_tokens(folder, tokens, err) && add_special_tokens(config, tokens, err);
}

static cJSON *document_from_vocab(const char *folder, cJSON *vocab, Error *err) {
    Config config;
    cJSON *document = cJSON_CreateObject();
    bool ok = read_config(folder, &config, err), known = !*config.class;
    for (size_t i = 0; i < CLASSES; i++)
        known = known || (classes[i].only_vocab && strcmp(classes[i].class, config.class) == 0);
    if (ok && !known)
        ok = tokenizer_refuse("tokenizer class", config.class, "with vocab.json: GPT2Tokenizer, CodeGenTokenizer", err);
    if (ok)
        ok = fill_document(folder, &config, vocab, document, err);
    else
        cJSON_Delete(vocab);
    free_config(&config);
    if (ok) return document;
    cJSON_Delete(document);
    return NULL;
}

static bool has_file(const char *folder, const char *name) {
    char *path = path_join(folder, name);
    bool has = path && file_exists(path);
    free(path);
    return has;
}

cJSON *tokenizer_document(const char *folder, bool *from_vocab, Error *err) {
    *from_vocab = !has_file(folder, "tokenizer.json");
    if (!*from_vocab) return read_json(folder, "tokenizer.json", err);
    if (has_file(folder, "vocab.json") && has_file(folder, "merges.txt")) {
        cJSON *vocab = read_json(folder, "vocab.json", err), *document = NULL;
        if (vocab) document = document_from_vocab(folder, vocab, err);
        if (vocab && !document) error_prefix(err, "%s/vocab.json", folder);
        return document;
    }
    const char *found = has_file(folder, "tokenizer.model") ? "tokenizer.model"
                        : has_file(folder, "vocab.txt")     ? "vocab.txt"
                                                            : NULL;
    if (found) {
        error_set(err,
                  "%s: " TOKENIZER_MISSING ", and %s is not read; transformers makes one: "
                  "AutoTokenizer.from_pretrained(folder).save_pretrained(folder)",
                  folder, found);
    } else {
        error_set(err, "%s: " TOKENIZER_MISSING " (or vocab.json with merges.txt); without it only token ids work",
                  folder);
    }
    return NULL;
}
