// What a model's folder, or GGUF file, says about its tokenizer: tokenizer.json, or vocab.json with merges.txt (GPT-2's
// format), and what tokenizer_config.json and the files beside it change about it (transformers 4.57; added tokens: 5).
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "loaders/documents.h"
#include "loaders/tokenizer/tokenizer_parts.h"

#define FILE_LIMIT ((size_t)512 << 20)

// NULL without an error: the document is not there.
static cJSON *read_json(const char *source, const char *name, Error *err) {
    cJSON *json;
    document_read(source, name, &json, err);
    return json;
}

// ------------------------------------------------------------------------------------------------- tokenizer_config

// Classes that make the template themselves, whatever tokenizer.json has for one. The names are those of the special
// tokens where tokenizer_config.json has none.
static const struct {
    const char *class, *bos, *eos, *unk;
    bool add_bos, only_vocab; // only_vocab: only when there is no tokenizer.json
    bool bytes;               // whether a space goes before the text is said by tokenizer_config.json
} classes[] = {
    {"LlamaTokenizer", "<s>", "</s>", "<unk>", true, false, false},
    {"CodeLlamaTokenizer", "<s>", "</s>", "<unk>", true, false, false},
    {"GemmaTokenizer", "<bos>", "<eos>", "<unk>", true, false, false},
    {"CohereTokenizer", "<BOS_TOKEN>", "<|END_OF_TURN_TOKEN|>", "<UNK>", true, false, false},
    {"GPTNeoXTokenizer", "<|endoftext|>", "<|endoftext|>", "<|endoftext|>", false, false, true},
    {"GPT2Tokenizer", "<|endoftext|>", "<|endoftext|>", "<|endoftext|>", false, true, true},
    {"CodeGenTokenizer", "<|endoftext|>", "<|endoftext|>", "<|endoftext|>", false, true, true},
};
#define CLASSES (sizeof classes / sizeof *classes)

static size_t find_class(const char *name) {
    size_t i = 0;
    while (i < CLASSES && strcmp(classes[i].class, name) != 0) i++;
    return i;
}

// Without tokenizer.json the class is GPT-2's where none is named.
static size_t class_of(const TokenizerSource *source) {
    return find_class(source->from_vocab && !*source->class ? "GPT2Tokenizer" : source->class);
}

static bool add_missing(cJSON *config, const char *key, const char *content) {
    return cJSON_GetObjectItemCaseSensitive(config, key) || cJSON_AddStringToObject(config, key, content);
}

static bool add_default_tokens(TokenizerSource *source, Error *err) {
    size_t class = class_of(source);
    if (class == CLASSES) return true;
    return (add_missing(source->config, "bos_token", classes[class].bos) &&
            add_missing(source->config, "eos_token", classes[class].eos) &&
            add_missing(source->config, "unk_token", classes[class].unk)) ||
           error_memory(err, "special tokens");
}

static bool read_config(const char *folder, TokenizerSource *out, Error *err) {
    Error failed = {0};
    out->config = read_json(folder, "tokenizer_config.json", &failed);
    if (!out->config && !*failed.message) out->config = cJSON_CreateObject();
    if (*failed.message) return error_set(err, "%s", failed.message);
    if (!cJSON_IsObject(out->config))
        return error_set(err, "%s/tokenizer_config.json: must hold a JSON object", folder);
    const char *class = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(out->config, "tokenizer_class"));
    snprintf(out->class, sizeof out->class, "%s", class ? class : "");
    size_t length = strlen(out->class);
    if (length >= 4 && strcmp(out->class + length - 4, "Fast") == 0) out->class[length - 4] = '\0';
    return true;
}

static bool set_prefix_space(TokenizerSource *source, Error *err) {
    size_t class = class_of(source);
    cJSON *pre = cJSON_GetObjectItemCaseSensitive(source->document, "pre_tokenizer");
    const char *type = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(pre, "type"));
    bool prefix;
    if (class == CLASSES || !classes[class].bytes || !type || strcmp(type, "ByteLevel") != 0) return true;
    if (!json_bool(source->config, "add_prefix_space", false, &prefix, err))
        return error_prefix(err, "tokenizer_config.json");
    cJSON_DeleteItemFromObjectCaseSensitive(pre, "add_prefix_space");
    return cJSON_AddBoolToObject(pre, "add_prefix_space", prefix) || error_memory(err, "the tokenizer");
}

// Into the document, and what special_tokens_map.json says into the configuration.
static bool add_tokens(const char *folder, TokenizerSource *source, Error *err) {
    Error failed = {0};
    cJSON *map = read_json(folder, "special_tokens_map.json", &failed), *added = NULL;
    if (!*failed.message) added = read_json(folder, "added_tokens.json", &failed);
    bool ok = !*failed.message || error_set(err, "%s", failed.message);
    if (ok) {
        ok = special_tokens_add(source->config, map, added, source->document, err) ||
             error_prefix(err, "%s/tokenizer.json or a file beside it", folder);
    }
    cJSON_Delete(map);
    cJSON_Delete(added);
    return ok;
}

// "bos_token": a string, or an object with "content". null means that there is none.
static const char *special_content(const TokenizerSource *source, const char *key) {
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(source->config, key);
    return cJSON_GetStringValue(cJSON_IsObject(item) ? cJSON_GetObjectItemCaseSensitive(item, "content") : item);
}

cJSON *tokenizer_source_special(const TokenizerSource *source) {
    static const char *const names[] = {"bos_token", "eos_token", "unk_token", "sep_token",
                                        "pad_token", "cls_token", "mask_token"};
    cJSON *special = cJSON_CreateObject();
    for (size_t i = 0; special && i < sizeof names / sizeof *names; i++) {
        const char *content = special_content(source, names[i]);
        if (content) cJSON_AddStringToObject(special, names[i], content);
    }
    return special;
}

int32_t tokenizer_source_prefix(const TokenizerSource *source, const AddedTokens *added, const Vocab *vocab) {
    const char *bos = special_content(source, "bos_token"), *eos = special_content(source, "eos_token");
    return bos || eos ? added_tokens_id(added, vocab, bos ? bos : eos) : -1;
}

static bool add_special(const char *content, const AddedTokens *added, const Vocab *vocab, TokenIds *out, Error *err) {
    int32_t id = added_tokens_id(added, vocab, content);
    if (id < 0) {
        return tokenizer_refuse("special token of tokenizer_config.json", content, "tokens of the vocabulary", err);
    }
    return token_ids_add(out, id) || error_memory(err, "the template");
}

bool template_from_source(const TokenizerSource *source, const AddedTokens *added, const Vocab *vocab, Template *out,
                          Error *err) {
    size_t class = find_class(source->class);
    if (class == CLASSES || (classes[class].only_vocab && !source->from_vocab)) return true;
    const char *bos = special_content(source, "bos_token"), *eos = special_content(source, "eos_token");
    bool add_bos, add_eos;
    if (!json_bool(source->config, "add_bos_token", classes[class].add_bos, &add_bos, err) ||
        !json_bool(source->config, "add_eos_token", false, &add_eos, err)) {
        return error_prefix(err, "tokenizer_config.json");
    }
    if (classes[class].only_vocab) add_eos = false;
    if ((add_bos && !bos) || (add_eos && !eos)) return true; // contradicts itself: then tokenizer.json knows better
    template_free(out);
    return (!add_bos || add_special(bos, added, vocab, &out->before, err)) &&
           (!add_eos || add_special(eos, added, vocab, &out->after, err));
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

static cJSON *add_object(cJSON *document, const char *key, const char *type) {
    cJSON *object = cJSON_AddObjectToObject(document, key);
    cJSON_AddStringToObject(object, "type", type);
    return object;
}

// GPT-2's parts around the vocabulary, which is taken over, and the merges.
static bool fill_document(const char *folder, cJSON *vocab, cJSON *document, Error *err) {
    cJSON *model = add_object(document, "model", "BPE"), *pre = add_object(document, "pre_tokenizer", "ByteLevel");
    cJSON *merges = cJSON_AddArrayToObject(model, "merges");
    bool ok =
        add_object(document, "decoder", "ByteLevel") && pre && merges && cJSON_AddItemToObject(model, "vocab", vocab);
    if (!ok) {
        cJSON_Delete(vocab);
        return error_memory(err, "the tokenizer");
    }
    return add_merges(folder, merges, err);
}

static bool document_from_vocab(const char *folder, TokenizerSource *source, Error *err) {
    size_t class = find_class(source->class);
    if (*source->class && (class == CLASSES || !classes[class].only_vocab))
        return tokenizer_refuse("tokenizer class", source->class, "with vocab.json: GPT2Tokenizer, CodeGenTokenizer",
                                err);
    cJSON *vocab = read_json(folder, "vocab.json", err);
    if (!vocab) return false;
    source->document = cJSON_CreateObject();
    return fill_document(folder, vocab, source->document, err) || error_prefix(err, "%s/vocab.json", folder);
}

static bool refuse_folder(const char *folder, Error *err) {
    static const char *const others[] = {"tokenizer.model", "spiece.model", "sentencepiece.bpe.model", "vocab.txt"};
    const char *found = NULL;
    for (size_t i = 0; i < sizeof others / sizeof *others && !found; i++)
        if (document_is_there(folder, others[i])) found = others[i];
    if (document_is_there(folder, "source.spm")) // of Marian, whose ids are those of vocab.json
        return error_set(err,
                         "%s: " TOKENIZER_MISSING ", and source.spm is not read; put a tokenizer.json beside it that "
                         "has the pieces of source.spm with the ids of vocab.json",
                         folder);
    if (found)
        return error_set(err,
                         "%s: " TOKENIZER_MISSING ", and %s is not read; transformers makes one: "
                         "AutoTokenizer.from_pretrained(folder).save_pretrained(folder)",
                         folder, found);
    return error_set(err, "%s: " TOKENIZER_MISSING " (or vocab.json with merges.txt); without it only token ids work",
                     folder);
}

bool tokenizer_source_read(const char *folder, TokenizerSource *out, Error *err) {
    *out = (TokenizerSource){.from_vocab = !document_is_there(folder, "tokenizer.json")};
    if (out->from_vocab && !(document_is_there(folder, "vocab.json") && document_is_there(folder, "merges.txt")))
        return refuse_folder(folder, err);
    if (!read_config(folder, out, err)) return false;
    if (out->from_vocab && !document_from_vocab(folder, out, err)) return false;
    if (!out->from_vocab && !(out->document = read_json(folder, "tokenizer.json", err))) return false;
    return add_default_tokens(out, err) && set_prefix_space(out, err) && add_tokens(folder, out, err);
}

void tokenizer_source_free(TokenizerSource *source) {
    cJSON_Delete(source->document);
    cJSON_Delete(source->config);
}
