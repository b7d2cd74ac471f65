// Results that more than one command prints: accuracy, and the same prompt through base and quantized model.
#pragma once

#include "analysis/statistics.h"
#include "base/array.h"
#include "cli/cli.h"

typedef struct Sides {            // [0] base, [1] quantized
    const char *prompt, *backend; // of the options, of the engine
    bool chat;                    // the prompt is a message, through the chat template
    Generated generated[2];
    Text text[2];
    size_t difference; // index of the first token that differs
    bool same;
    DecodeSpeed speed;
} Sides;

bool sides_generate(const Options *options, Engine *engine, Sides *out, Error *err);
void sides_free(Sides *sides);
void sides_print(const Sides *sides);
cJSON *sides_json(const Sides *sides);
bool prompt_fits(const Options *options, Engine *engine, Error *err); // asked before the model is measured

// Accuracy in both forms: shared by `eval` and the overview.
// Of the base and of what is compared with it.
typedef struct ModelSize {
    size_t base_bytes, bytes;
    double bits_per_weight; // over the quantized linears; 0: not known
    bool stored;            // a checkpoint as it is, no plan
} ModelSize;

ModelSize planned_size(const Engine *engine);                                          // by its plan
bool evaluate_plan(const Options *options, Engine *engine, Accuracy *out, Error *err); // quantizes by it first
void accuracy_print(const Accuracy *accuracy, const ModelSize *size, const Engine *engine);
cJSON *accuracy_json(const Accuracy *accuracy, const ModelSize *size, const Engine *engine);

// "tokens_per_second" of either: the middle of what was timed, and its range.
void spread_json(cJSON *object, const char *key, const Spread *spread);
const char *rate_text(double rate, char *out, size_t size); // "1394", "17.2", "1.05"

// One point of a sweep or row of a comparison: keys added to an object; a table row to which the caller puts what tells
// the points apart.
void point_json(cJSON *object, const Point *point);
// kl_KEY, ln_ppl_KEY and top1_KEY, each with its standard error.
void differences_json(cJSON *object, const char *key, const Differences *differences);
void differences_print(const Differences *differences); // the rest of a line that began with what they are of
void point_print_header(void);
void point_print(const Point *point);
void best_print(void); // what "above best" means

// The tokens that figures come from: "4096 tokens of mixed", and that they mean nothing where those are fewer than
// FEWEST_TOKENS; as "text", "chat" and "too_few_tokens" in JSON.
void scored_print(const Engine *engine, EngineText text, uint64_t tokens);
void scored_json(cJSON *object, const Engine *engine, EngineText text, uint64_t tokens);

// eval --task: the user's task file, read before the model is measured, and the answers of both models.
bool task_open(const Options *options, Engine *engine, Task *out, Error *err);
bool task_command(const Options *options, Engine *engine, const Task *task, Error *err);
// The same of eval --task translate.
bool translation_open(const Options *options, Engine *engine, TranslationTask *out, Error *err);
bool translation_command(const Options *options, Engine *engine, const TranslationTask *task, Error *err);
