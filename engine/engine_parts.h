// What is in an engine, for the files of this folder alone. Calls go one way: studies → stages → texts → engine.
#pragma once

#include "analysis/calibrator.h"
#include "analysis/tokens.h"
#include "engine/engine.h"
#include "loaders/chat/chat_template.h"

#define SELF_TEXT "self" // the name of what the base model samples

// A calibration on its way.
typedef struct Calibration {
    Calibrator *calibrator;  // NULL: not begun, or over
    uint64_t key;            // of its result
    uint64_t next_look;      // tokens after which what was found is put into the statistics again
    bool unkept;             // the state on disk is older
    double kept_at, keeping; // when that was written, and the seconds that it took
} Calibration;

struct Engine {
    EngineOptions options;
    Checkpoint checkpoint;
    ModelStructure structure;
    Backend *backend;
    Transformer *base;    // NULL: the model cannot be run (structure.config.not_run says why)
    Tokenizer *tokenizer; // read on first use
    TokenIds self;        // sampled by the base model; made on first use
    ChatTemplate *chat;   // NULL: none, or not to be used
    Error chat_error;     // of a template that cannot be read; empty otherwise
    int own_text;         // of those that ship: what is taken where no other is named (texts.c)
    QuantizedModel *quantized;
    Evaluator *evaluator; // made on first use
    ModelStats stats;
    Recipe recipe;
    Plan plan;
    char *cache_folder; // NULL: no cache
    bool measured;      // the weights
    Calibration calibration;
    CalibrationText measured_on; // by others, in files that were read; name "": not so
};

// Which of the texts that ship is this model's.
void engine_find_text(Engine *engine);

// The text to calibrate on, or as many random tokens, in *sequences of options.length; shortens that to what there is.
bool engine_calibration_ids(Engine *engine, bool random, TokenIds *ids, size_t *sequences, Progress *progress,
                            Error *err);

// The first `most` tokens of that text.
bool engine_text_ids(Engine *engine, EngineText text, size_t length, size_t most, TokenIds *ids, Progress *progress,
                     Error *err);

// Which text becomes what the model reads: its tokenizer, and its chat template where that is to be used.
bool engine_text_form(Engine *engine, TextForm *out, Error *err);

// Fills the inputs of other stats, from the cache if it can.
bool engine_fill_inputs(Engine *engine, bool random, ModelStats *stats, Progress *progress, Error *err);
// Keeps its state on disk when it was stopped on its way.
void engine_end_calibration(const Engine *engine, Calibration *calibration);
// Reads what the cache has of the weights.
bool engine_cached_weights(const Engine *engine, ModelStats *stats);
// Of the model and how it is computed.
uint64_t engine_model_key(const Engine *engine);
// And of how it writes.
uint64_t engine_writing_key(const Engine *engine);
// On the beginning of a text.
bool engine_new_evaluator(Engine *engine, EngineText text, Evaluator **out, Progress *progress, Error *err);
// That of the evaluation text, made on first use.
bool engine_need_evaluator(Engine *engine, Error *err);
