// Translation: sentences from the user's JSONL file, through the model, greedily or by beams. How they are scored:
// translation_score.h.
#pragma once

#include "analysis/tokens.h"
#include "base/progress.h"
#include "model/transformer.h"

typedef struct TranslationOptions {
    const char *path;        // lines of {"source", "reference"}, or "references": a list
    size_t shots;            // examples in the prompt
    const char *shots_path;  // whose first lines these are; NULL: the first lines of path, which are not scored then
    const char *instruction; // what to do, before source or examples; NULL: nothing
    size_t most;             // tokens of one translation
    int beams;               // at most 1: greedily; more, up to BEAMS_MOST, are for models with an encoder
} TranslationOptions;

typedef struct TranslationItem {
    Text source, *references; // [reference_count]
    size_t reference_count;
    TokenIds prompt;
} TranslationItem;

typedef struct TranslationTask {
    TranslationItem *items;
    size_t count, capacity;
    size_t shared;     // tokens that all prompts begin with; fewer than any has
    size_t references; // how many each has; 0: not all as many
    size_t most;
    int beams;    // 1: greedily
    bool by_line; // a translation ends with its line
} TranslationTask;

// A chat model (form->chat) is asked as a user, and examples are earlier turns of the conversation. Another one
// continues "Source: …\nTranslation: …\n\n" to the end of the line. Either must be told what to do, by an instruction
// or by examples. A model with an encoder reads the source, behind the instruction if there is one. A line that is not
// as described, and a prompt that leaves no room in the model's positions, are refused with their number.
bool translation_task_load(const TextForm *form, const ModelConfig *config, const TranslationOptions *options,
                           TranslationTask *out, Error *err);
void translation_task_free(TranslationTask *task);

#define TRANSLATION_WORK "translating" // what Progress calls it

// Of everything that translations depend on beside the model.
uint64_t translation_task_hash(const TranslationTask *task);

// Fills those of texts [count] that have no data yet, each without white space around it, and calls done (may be NULL)
// after each. What all prompts begin with is computed once, unless tokens_mix (plan_mixes_tokens): then each prompt is
// one call of its own. So a translation does not depend on which others were made before it.
bool translate(Transformer *t, const Tokenizer *tokenizer, const TranslationTask *task, bool tokens_mix, Text *texts,
               void (*done)(void *context), void *context, Progress *progress, Error *err);

// Translations on disk, those that there are: texts without data are not kept, and reading fills no others. False when
// nothing was read. All such files together take KEPT_TRANSLATIONS_TOTAL at most.
#define KEPT_TRANSLATIONS_TOTAL ((size_t)64 << 20)
bool kept_translations_read(const char *folder, uint64_t key, Text *texts, size_t count);
bool kept_translations_write(const char *folder, uint64_t key, const Text *texts, size_t count, Error *err);
