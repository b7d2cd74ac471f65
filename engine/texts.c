// Texts and their tokens.
#include <stdlib.h>
#include <string.h>

#include "analysis/tokens.h"
#include "base/file.h"
#include "engine/engine_parts.h"

bool engine_tokenizer(Engine *engine, const Tokenizer **out, Error *err) {
    if (!engine->tokenizer && !tokenizer_load(engine->checkpoint.folder, &engine->tokenizer, err)) return false;
    *out = engine->tokenizer;
    return true;
}

// Of the file, or of the text of that name which ships with the sample model.
static bool read_tokens(const Tokenizer *tokenizer, const char *path, const char *sample_name, size_t most,
                        TokenIds *ids, Error *err) {
    if (path) return tokens_from_file(tokenizer, path, most, ids, err);
    char *folder = sample_path(err), *file = folder ? path_join(folder, sample_name) : NULL;
    bool ok = file && tokens_from_file(tokenizer, file, most, ids, err);
    free(file);
    free(folder);
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
                             engine->checkpoint.folder, ids->ids[i], engine->structure.config.vocab);
        }
    }
    return true;
}

bool engine_text_ids(Engine *engine, EngineText text, size_t most, TokenIds *ids, Error *err) {
    const bool calibration = text == TEXT_CALIBRATION;
    const char *path = calibration ? engine->options.calibration : engine->options.evaluation;
    const Tokenizer *tokenizer;
    return engine_tokenizer(engine, &tokenizer, err) &&
           read_tokens(tokenizer, path, calibration ? "calibration.txt" : "evaluation.txt", most, ids, err) &&
           check_ids(engine, ids, err);
}

bool engine_calibration_ids(Engine *engine, bool random, TokenIds *ids, size_t *sequences, Error *err) {
    EngineOptions *o = &engine->options;
    const size_t most = o->sequences * o->length, vocab = (size_t)engine->structure.config.vocab;
    if (random ? !tokens_random(vocab, most, o->seed, ids, err)
               : !engine_text_ids(engine, TEXT_CALIBRATION, most, ids, err))
        return false;
    if (ids->count == 0) return error_set(err, "the calibration text is empty");
    if (ids->count < o->length) o->length = ids->count;
    *sequences = ids->count / o->length;
    return true;
}

bool engine_prompt(Engine *engine, const char *text, TokenIds *out, Error *err) {
    const Tokenizer *tokenizer;
    size_t length = strlen(text);
    if (!engine_can_run(engine, err) || !engine_tokenizer(engine, &tokenizer, err) ||
        !tokenizer_encode(tokenizer, text, length, !tokenizer_has_prefix(tokenizer, text, length), out, err))
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
