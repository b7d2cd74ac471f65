// Translations by the base and by the quantized model, kept on disk as they are made.
#include "analysis/trial.h"
#include "base/clock.h"
#include "base/hash.h"
#include "engine/engine_parts.h"

#define SECONDS_BETWEEN_WRITES 5.0

bool engine_translations(Engine *engine, const TranslationOptions *options, TranslationTask *out, Error *err) {
    TextForm form;
    *out = (TranslationTask){0};
    return engine_can_run(engine, err) && engine_text_form(engine, &form, err) &&
           translation_task_load(&form, &engine->structure.config, options, out, err);
}

typedef struct Keeper {
    const char *folder; // NULL: nothing is kept
    uint64_t key;
    const Text *texts;
    size_t count;
    bool unkept;
    double kept_at;
} Keeper;

static void keep(Keeper *k) {
    if (k->folder && k->unkept) kept_translations_write(k->folder, k->key, k->texts, k->count, NULL);
    k->unkept = false;
    k->kept_at = clock_seconds();
}

static void keep_when_due(void *context) {
    Keeper *k = context;
    k->unkept = true;
    if (clock_seconds() - k->kept_at >= SECONDS_BETWEEN_WRITES) keep(k);
}

// Of all that a translation depends on: other versions may compute otherwise.
static uint64_t key_of(const Engine *engine, const TranslationTask *task, bool quantized) {
    const uint64_t numbers[] = {engine_writing_key(engine), translation_task_hash(task),
                                quantized ? plan_hash(&engine->plan) : 0};
    const uint64_t hash = hash_bytes(hash_text(HASH_START, QUANTDIAL_VERSION), numbers, sizeof numbers);
    return quantized ? measured_hash(hash, &engine->stats.measured) : hash;
}

bool engine_translate(Engine *engine, const TranslationTask *task, bool quantized, Text *texts, Progress *progress,
                      Error *err) {
    const Tokenizer *tokenizer;
    if (!engine_can_run(engine, err) || !engine_tokenizer(engine, &tokenizer, err)) return false;
    Transformer *model = quantized ? engine_quantized(engine) : engine->base;
    const bool mixes = quantized && plan_mixes_tokens(&engine->plan);
    Keeper k = {.folder = engine->cache_folder,
                .key = key_of(engine, task, quantized),
                .texts = texts,
                .count = task->count,
                .kept_at = clock_seconds()};
    if (k.folder) kept_translations_read(k.folder, k.key, texts, task->count);
    const bool ok = translate(model, tokenizer, task, mixes, texts, keep_when_due, &k, progress, err);
    keep(&k);
    return ok || engine_blame(engine, err);
}
