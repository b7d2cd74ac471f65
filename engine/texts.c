// Texts and their tokens.
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "analysis/pairs.h"
#include "analysis/self_text.h"
#include "analysis/tokens.h"
#include "base/file.h"
#include "engine/engine_parts.h"

bool engine_tokenizer(Engine *engine, const Tokenizer **out, Error *err) {
    if (!engine->tokenizer && !tokenizer_load(engine->checkpoint.documents, &engine->tokenizer, err)) return false;
    *out = engine->tokenizer;
    return true;
}

// ---- Which text ----

// The texts that ship with the program, by name. A model that ships has one of its own, and has seen nothing else.
static const struct {
    const char *name, *model, *calibration, *evaluation, *prompt;
} shipped[] = {
    {"mixed", NULL, "texts/calibration.jsonl", "texts/evaluation.jsonl", DEFAULT_PROMPT},
    {"stories", "storyteller", "storyteller/calibration.txt", "storyteller/evaluation.txt", DEFAULT_PROMPT},
    {"pairs", "translator", "translator/calibration.jsonl", "translator/pairs.jsonl",
     "Too Mon larat los sipo tibres al mi."},
};
enum { SHIPPED = sizeof shipped / sizeof *shipped };

static bool same_folder(const char *a, const char *b) {
    struct stat first, second;
    return stat(a, &first) == 0 && stat(b, &second) == 0 && first.st_dev == second.st_dev &&
           first.st_ino == second.st_ino;
}

void engine_find_text(Engine *engine) {
    for (int i = 0; i < SHIPPED; i++) {
        char *model = shipped[i].model ? shipped_path(shipped[i].model, NULL) : NULL;
        if (model && same_folder(model, engine->checkpoint.folder)) engine->own_text = i;
        free(model);
    }
}

bool engine_text_is_named(EngineText text, const char *name) {
    if (text == TEXT_CALIBRATION && strcmp(name, SELF_TEXT) == 0) return true;
    for (int i = 0; i < SHIPPED; i++) {
        if (strcmp(shipped[i].name, name) == 0) return true;
    }
    return false;
}

static const char *text_asked_for(const Engine *engine, EngineText text) {
    const EngineOptions *o = &engine->options;
    const char *path = text == TEXT_CALIBRATION ? o->calibration : o->evaluation;
    return path ? path : shipped[engine->own_text].name;
}

const char *engine_text_name(const Engine *engine, EngineText text) {
    if (text == TEXT_CALIBRATION && engine->measured_on.name[0]) return engine->measured_on.name;
    if (text == TEXT_CALIBRATION && engine->options.random_tokens) return "random tokens";
    const char *path = text_asked_for(engine, text), *slash = strrchr(path, '/');
    return slash && slash[1] ? slash + 1 : path;
}

static bool read_tokens(const Engine *engine, const TextForm *form, EngineText text, size_t length, size_t most,
                        TokenIds *ids, Error *err) {
    const ModelConfig *config = &engine->structure.config;
    const char *path = text_asked_for(engine, text);
    char *found = NULL;
    for (int i = 0; i < SHIPPED; i++) {
        if (strcmp(shipped[i].name, path) != 0) continue;
        found = shipped_path(text == TEXT_CALIBRATION ? shipped[i].calibration : shipped[i].evaluation, err);
        if (!found) return false;
        path = found;
    }
    const bool ok = config->pair.encoder_layers ? pairs_from_file(form, config, path, length, most, ids, err)
                                                : tokens_from_file(form, path, most, ids, err);
    free(found);
    return ok;
}

// A tokenizer may know more ids than the model has rows for (a mixed-up download): better refused here than in the
// middle of the work.
static bool check_ids(const Engine *engine, const TokenIds *ids, Error *err) {
    for (size_t i = 0; i < ids->count; i++) {
        if (ids->ids[i] < 0 || ids->ids[i] >= engine->structure.config.vocab) {
            return error_set(err,
                             "%s: the tokenizer gives id %d, but the model has only %d; do tokenizer.json and the "
                             "weights belong together?",
                             engine->checkpoint.path, ids->ids[i], engine->structure.config.vocab);
        }
    }
    return true;
}

bool engine_text_form(Engine *engine, TextForm *out, Error *err) {
    if (!engine_tokenizer(engine, &out->tokenizer, err)) return false;
    out->chat = engine->chat;
    if (!engine->chat_error.message[0]) return true;
    return error_set(err, "%s; --chat off leaves the template out", engine->chat_error.message);
}

static bool add_ids(const TokenIds *from, size_t most, TokenIds *out, Error *err) {
    for (size_t i = 0; i < from->count && i < most; i++) {
        if (!array_grow(&out->ids, out->count, &out->capacity, sizeof *out->ids)) return error_memory(err, "token ids");
        out->ids[out->count++] = from->ids[i];
    }
    return true;
}

static bool wants_self(const Engine *engine, EngineText text) {
    return text == TEXT_CALIBRATION && strcmp(text_asked_for(engine, text), SELF_TEXT) == 0;
}

// Made once for all that ask for it.
static bool need_self(Engine *engine, Progress *progress, Error *err) {
    const EngineOptions *o = &engine->options;
    const Tokenizer *tokenizer;
    if (engine->self.count) return true;
    if (!engine_can_run(engine, err) || !engine_tokenizer(engine, &tokenizer, err)) return false;
    if (engine->structure.config.pair.encoder_layers)
        return error_set(err, "a model with an encoder cannot sample text to calibrate on; give a text file");
    const SelfTextOptions options = {o->sequences, o->length, tokenizer_prefix(tokenizer), o->seed};
    return self_text(engine->base, &options, engine->cache_folder, &engine->self, progress, err);
}

bool engine_text_ids(Engine *engine, EngineText text, size_t length, size_t most, TokenIds *ids, Progress *progress,
                     Error *err) {
    TextForm form;
    if (wants_self(engine, text)) return need_self(engine, progress, err) && add_ids(&engine->self, most, ids, err);
    return engine_text_form(engine, &form, err) && read_tokens(engine, &form, text, length, most, ids, err) &&
           check_ids(engine, ids, err);
}

bool engine_calibration_ids(Engine *engine, bool random, TokenIds *ids, size_t *sequences, Progress *progress,
                            Error *err) {
    EngineOptions *o = &engine->options;
    const size_t most = o->sequences * o->length, vocab = (size_t)engine->structure.config.vocab;
    if (random ? !tokens_random(vocab, most, o->seed, ids, err)
               : !engine_text_ids(engine, TEXT_CALIBRATION, o->length, most, ids, progress, err))
        return false;
    if (ids->count == 0) return error_set(err, "the calibration text is empty");
    if (ids->count < o->length) o->length = ids->count;
    *sequences = ids->count / o->length;
    return true;
}

// ---- Prompts ----

bool engine_is_chat(const Engine *engine) { return engine->chat || engine->chat_error.message[0]; }

bool engine_text_is_chat(const Engine *engine, EngineText text) {
    if (text == TEXT_CALIBRATION && engine->measured_on.name[0]) return engine->measured_on.chat;
    const bool is_text = text == TEXT_EVALUATION || !(engine->options.random_tokens || wants_self(engine, text));
    const char *path = text_asked_for(engine, text);
    for (int i = 0; i < SHIPPED; i++) {
        if (strcmp(shipped[i].name, path) == 0) path = shipped[i].evaluation; // both halves have one form
    }
    return engine_is_chat(engine) && is_text && tokens_file_has_lines(path);
}

const char *engine_default_prompt(const Engine *engine) {
    return engine_is_chat(engine) ? DEFAULT_QUESTION : shipped[engine->own_text].prompt;
}

// What a user says, up to where the assistant begins to answer.
static bool encode_question(const TextForm *form, const char *text, TokenIds *out, Error *err) {
    cJSON *messages = cJSON_CreateArray(), *message = cJSON_CreateObject();
    cJSON_AddStringToObject(message, "role", "user");
    cJSON_AddStringToObject(message, "content", text);
    const bool ok = cJSON_AddItemToArray(messages, message) ? tokens_of_conversation(form, messages, true, out, err)
                                                            : error_memory(err, "a prompt");
    cJSON_Delete(messages);
    return ok;
}

bool engine_prompt(Engine *engine, const char *text, TokenIds *out, Error *err) {
    TextForm form;
    const size_t length = strlen(text);
    if (!engine_can_run(engine, err) || !engine_text_form(engine, &form, err)) return false;
    const bool whole = !tokenizer_has_prefix(form.tokenizer, text, length);
    if (!(form.chat && length ? encode_question(&form, text, out, err)
                              : tokenizer_encode(form.tokenizer, text, length, whole, out, err)))
        return false;
    if (!check_ids(engine, out, err)) return false;
    if (out->count == 0) return error_set(err, "the prompt is empty");
    return true;
}

bool engine_generated_text(Engine *engine, const Generated *generated, Text *out, Error *err) {
    const Tokenizer *tokenizer;
    text_add(out, "", 0);
    return engine_tokenizer(engine, &tokenizer, err) &&
           tokenizer_decode(tokenizer, generated->ids, generated->count, true, out, err);
}
