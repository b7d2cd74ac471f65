// The engine: one loaded model with its statistics, calibration, recipe, plan and quantized variant, and all that can
// be done with them, step by step and blocking. The commands call it, and the workbench's background thread.
//
//     Engine *engine;
//     Accuracy accuracy;
//     if (!engine_open(&(EngineOptions){.model = "org/name"}, &engine, err)) return false;
//     engine_set_recipe(engine, &recipe);
//     bool ok = engine_prepare(engine, false, progress, err) &&
//               engine_follow(engine, engine_plan(engine), NULL, progress, err) &&
//               engine_evaluate(engine, 0, NULL, NULL, &accuracy, progress, err);
//     engine_close(engine);
//
// Threads. One thread at a time works with an engine and may call everything. Beside it any thread may call what stands
// under "What was opened". What the working thread found (the rest of the accessors) is read elsewhere only after it
// was handed over, by a lock or by joining that thread; a transformer is never run by two.
#pragma once

#include "analysis/accuracy.h"
#include "analysis/outliers.h"
#include "analysis/points.h"
#include "analysis/remedies.h"
#include "analysis/sensitivity.h"
#include "analysis/speed_map.h"
#include "analysis/stats.h"
#include "analysis/translate.h"
#include "analysis/tune.h"
#include "analysis/why.h"
#include "export/export.h"
#include "loaders/tokenizer/tokenizer.h"
#include "model/generate.h"
#include "model/quantized_model.h"

// The decode sample, where nothing else is asked for.
#define DEFAULT_PROMPT "Once upon a time"
#define DEFAULT_QUESTION "Why is the sky blue?" // to a chat model
#define DEFAULT_MOST_TOKENS 64

typedef enum BackendChoice {
    BACKEND_AUTO, // CUDA where a device can be used and the model fits, else the CPU; QUANTDIAL_BACKEND=cpu|cuda
                  // decides
    BACKEND_CPU,
    BACKEND_CUDA, // or an error that says why not
} BackendChoice;

// Whether prompts and conversations go through the model's chat template.
typedef enum ChatChoice {
    CHAT_AUTO, // if it has one
    CHAT_ON,   // or an error that says that it has none
    CHAT_OFF,
} ChatChoice;

// Texts stay the caller's and must outlive the engine.
typedef struct EngineOptions {
    const char *model;       // folder, file, "org/name"; NULL: the sample that ships with the program
    const char *calibration; // text file, or "mixed", "stories" or "pairs", or "self", which the base model
                             // samples; NULL: mixed, or the text of a model that ships with the program
    const char *evaluation;  // the same, without self
    ChatChoice chat;
    const char *statistics;   // file of engine_keep_statistics to take inputs from instead of calibrating; NULL
    bool random_tokens;       // calibrate on random vocabulary ids instead of text
    size_t sequences, length; // calibration: how many sequences of how many tokens (0: 128 × 512, 16 × 512 of self);
                              // cut to the text and the model's positions
    size_t eval_tokens;       // 0: 4096
    size_t window;            // evaluation window; 0: 256
    BackendChoice backend;
    int threads; // of the CPU backend; 0: all cores
    Precision precision;
    uint64_t seed;
    bool no_cache; // neither read nor write measurements on disk
} EngineOptions;

typedef struct Engine Engine;

// For people: whether all kernels of the first device are used, or why it is not.
void engine_device_note(char *out, size_t size);

// Opens and checks everything that is quick (mapping, configuration, structure, statistics still unknown). Slow parts
// follow on demand. A model that cannot be run is opened all the same: weights can be measured and a plan made, and
// everything that needs a forward pass is refused. *out is NULL after a failure.
bool engine_open(const EngineOptions *options, Engine **out, Error *err);
void engine_close(Engine *engine); // NULL: nothing

// ---- What was opened: the same until it is closed ----

const ModelStructure *engine_structure(const Engine *engine); // with the configuration and the checkpoint
// Of weights each is final once its `known` says so; inputs are the working thread's (analysis/stats.h).
const ModelStats *engine_stats(const Engine *engine);
const char *engine_backend_name(const Engine *engine);        // "cpu"
const char *engine_backend_description(const Engine *engine); // "avx512 ×2"
// False with a sentence for a person when there is no forward pass for this model.
bool engine_can_run(const Engine *engine, Error *err);
Transformer *engine_base(const Engine *engine); // NULL when it cannot be run

typedef enum EngineText { TEXT_CALIBRATION, TEXT_EVALUATION } EngineText;
// The text that figures belong to: "mixed", "stories", "pairs", "self", "random tokens", or the name of a file.
const char *engine_text_name(const Engine *engine, EngineText text);
bool engine_text_is_named(EngineText text, const char *name); // such a name, and no file
// Whether prompts are messages of a user, and conversations of a text go through the model's chat template.
bool engine_is_chat(const Engine *engine);
// Whether those of this text do: plain files, sampled text and random tokens have none.
bool engine_text_is_chat(const Engine *engine, EngineText text);
const char *engine_default_prompt(const Engine *engine); // where nothing else is asked for

// ---- From weights to figures ----

// Each does its work once; from the cache if it can. Stopping leaves what was already done: a calibration goes on where
// it was, also in another start of the program.
bool engine_measure(Engine *engine, Progress *progress, Error *err); // the weights; progress counts bytes
bool engine_calibrate(Engine *engine, Progress *progress, Error *err);
// A part of it: until inputs are known that were not, or better than before. They replace those of engine_stats, whole
// sets at a time (InputSet), and are provisional until engine_calibrated.
bool engine_calibrate_on(Engine *engine, Progress *progress, Error *err);
bool engine_measured(const Engine *engine);
bool engine_calibrated(const Engine *engine);             // on all tokens
uint64_t engine_calibration_tokens(const Engine *engine); // behind the inputs as they are known now; 0: not at all

// Part `part` of `parts` of the calibration, counted from 1, into a file; the engine itself is not calibrated by it. A
// file that holds this part already stays as it is. Stopped, it goes on where it was.
typedef struct CalibrationPart {
    uint64_t tokens, all; // of the part; of all parts
    bool was_there;
} CalibrationPart;
bool engine_calibrate_part(Engine *engine, int part, int parts, const char *path, CalibrationPart *out,
                           Progress *progress, Error *err);
// The files of all parts in place of a calibration, kept in the cache as such.
bool engine_merge_calibration(Engine *engine, char *const *paths, int count, Error *err);
// Inputs as they were calibrated, for EngineOptions.statistics.
bool engine_keep_statistics(const Engine *engine, const char *path, Error *err);

// Takes the recipe over and empties *recipe; the plan of an earlier one is gone.
void engine_set_recipe(Engine *engine, Recipe *recipe);
// Measures the weights and plans by that recipe. Calibrates first, where the model can be run, if the recipe needs
// ranges of inputs or `inputs` asks for them; other recipes do not wait for it.
bool engine_prepare(Engine *engine, bool inputs, Progress *progress, Error *err);
const Recipe *engine_recipe(const Engine *engine);
const Plan *engine_plan(const Engine *engine); // empty before engine_prepare
// What another recipe comes to with what is measured so far.
bool engine_make_plan(const Engine *engine, const Recipe *recipe, Plan *out, Error *err);

// Makes the quantized model follow the plan; *first_changed as in quantized_model_follow.
bool engine_follow(Engine *engine, const Plan *plan, int *first_changed, Progress *progress, Error *err);
Transformer *engine_quantized(const Engine *engine); // NULL before the first engine_follow

bool engine_evaluate(Engine *engine, int first_changed, void (*partial)(void *context, const Accuracy *so_far),
                     void *context, Accuracy *out, Progress *progress, Error *err);
EvaluatorWork engine_evaluation_work(const Engine *engine); // of all of these so far (evaluator_work)
// The same for another checkpoint of this model, as someone stored it: the file's numbers, inputs left as they are. Not
// of another shape or vocabulary. *bytes: of its tensors. Afterwards the next evaluation counts as all new
// (first_changed 0).
bool engine_evaluate_stored(Engine *engine, const char *path, Accuracy *out, size_t *bytes, Progress *progress,
                            Error *err);
// Positions that evaluations and studies score; 0 before the first of them.
size_t engine_positions(const Engine *engine);
// Figures with the same key are of the same base on the same evaluation tokens; 0 when these cannot be had.
uint64_t engine_figures_key(Engine *engine);
// EngineOptions.eval_tokens with which so many are scored: whole windows, each with a first token that is not.
size_t engine_tokens_for(const Engine *engine, size_t positions);
// What the last evaluation found at each of them, by_position [POSITION_FIGURES, engine_positions]; false when it did
// not finish.
bool engine_by_position(const Engine *engine, float *by_position);

// What rounding the weights of one linear by the plan's decision costs, in dB; NAN while it is not quantized. The plan
// is the one followed last. Where none was followed yet, as with a model that cannot be run, the linear is quantized to
// find out.
bool engine_weight_sqnr(const Engine *engine, const Plan *plan, int linear, double *db, Error *err);
// Output SQNR in dB of each linear on the calibration sample rows: [linear_count], NAN where it is not quantized or
// unknown. input_db (may be NULL): the same when only its input is rounded, +infinity when it is not. The plan is the
// one followed last.
bool engine_output_sqnr(Engine *engine, const Plan *plan, double *db, double *input_db, Progress *progress, Error *err);
// shares [linear_count] of the residual stream (analysis/stream_share.h), by the calibration as far as it has come.
// They do not depend on a plan.
bool engine_stream_shares(Engine *engine, double *shares, Progress *progress, Error *err);

// What the error of one linear's output comes from (analysis/why.h) under a plan that quantizes it. Needs calibration,
// but no forward pass.
bool engine_why(const Engine *engine, const Plan *plan, int linear, Why *out, Error *err);
// What would mend it (analysis/remedies.h): one kind, or all. plan: of the recipe.
bool engine_try_remedy(const Engine *engine, const Recipe *recipe, const Plan *plan, int linear, RemedyKind kind,
                       Remedies *remedies, Error *err);
bool engine_remedies(const Engine *engine, int linear, const Why *why, Remedies *out, Error *err); // of its own plan

// For failures in what the model computes: if a tensor holds infinite numbers or NaN, puts its name before the message.
// Returns false.
bool engine_blame(const Engine *engine, Error *err);

// ---- Files ----

// As engine_prepare, but leaves weights unmeasured where the recipe does not need them: an export reads them anyway.
bool engine_prepare_export(Engine *engine, Progress *progress, Error *err);
// Writes the model by the engine's recipe and plan (export/export.h). accuracy: for the model card; NULL when it was
// not measured.
bool engine_export(Engine *engine, const ExportOptions *options, const Accuracy *accuracy, ExportResult *out,
                   Progress *progress, Error *err);
ExportAccuracy engine_export_accuracy(const Engine *engine, const Accuracy *accuracy); // may be called by any thread
bool engine_forecast(Engine *engine, const ExportOptions *options, ExportForecast *out, Error *err);

// ---- Text ----

// The tokenizer, read on first use: a large one takes longer than everything that the first screen needs.
bool engine_tokenizer(Engine *engine, const Tokenizer **out, Error *err);
// The prompt as ids: as a message of a user, up to where the answer begins, or for a model without a chat template as
// it is (with a beginning-of-sequence token as the tokenizer adds it). Refused without a tokenizer.
bool engine_prompt(Engine *engine, const char *text, TokenIds *out, Error *err);
// What the base writes after the prompt, greedily; as generate. From the disk, at once, if it was written before.
bool engine_base_text(Engine *engine, const TokenIds *prompt, size_t most,
                      void (*token)(void *context, const Generated *so_far), void *context, Generated *out,
                      Progress *progress, Error *err);
// What was generated as text; *out is at least "".
bool engine_generated_text(Engine *engine, const Generated *generated, Text *out, Error *err);

// A file of sentences to translate, with prompts for this model (analysis/translate.h).
bool engine_translations(Engine *engine, const TranslationOptions *options, TranslationTask *out, Error *err);
// Translates them by the base, or by the quantized model as the engine's plan has made it: texts [task->count], {0}
// at first, owned by the caller. What was translated before comes from the disk, also of a run that was stopped.
bool engine_translate(Engine *engine, const TranslationTask *task, bool quantized, Text *texts, Progress *progress,
                      Error *err);

// ---- Studies ----

// By the recipe or plan that they are given, or the engine's. Those on the evaluation tokens make the quantized model
// follow plans of their own: engine_follow comes before anything else that needs it, and the next evaluation counts as
// all new (first_changed 0).

// For any plans, one after the other, on the evaluation tokens (analysis/trial.h); ends with trial_end, also after a
// failure.
bool engine_begin_study(Engine *engine, Trial *out, Error *err);

// What each linear that the plan quantizes costs (analysis/sensitivity.h), estimates included.
bool engine_sensitivity(Engine *engine, const Plan *plan, SensitivityDepth depth,
                        void (*partial)(void *context, const Sensitivities *so_far), void *context, Sensitivities *out,
                        Progress *progress, Error *err);

// Every recipe on the evaluation tokens (analysis/points.h): points [count].
bool engine_points(Engine *engine, const Recipe *recipes, int count, const PointOptions *options, Point *points,
                   Progress *progress, Error *err);

// Bits and group size of every linear (analysis/tune.h): searched on calibration text, as many tokens as for
// evaluation, and verified on the evaluation tokens; on these for both when calibration is on random tokens.
bool engine_tune(Engine *engine, const Recipe *recipe, const TuneGoal *goal,
                 void (*partial)(void *context, const Tuned *so_far), void *context, Tuned *out, Progress *progress,
                 Error *err);

// Outliers of the calibrated model (analysis/outliers.h).
bool engine_outliers(Engine *engine, double factor, Outliers *out, Progress *progress, Error *err);

// Calibration on random vocabulary tokens beside that on text, and what each does to the model.
typedef struct RandomCalibration {
    ModelStats stats;       // measured on as many random tokens as the engine's text had
    Plan plan;              // what the recipe decides from them
    Point text, random;     // on the evaluation tokens; the plans differ only by the calibration
    Differences difference; // random − text, position by position
} RandomCalibration;

// The engine must be calibrated, on text. Free with random_calibration_free in any case.
bool engine_random_calibration(Engine *engine, RandomCalibration *out, Progress *progress, Error *err);
void random_calibration_free(RandomCalibration *random);

// Base and quantized model, decoding in turn (analysis/speed.h).
bool engine_speed(Engine *engine, double seconds, void (*partial)(void *context, const DecodeSpeed *so_far),
                  void *context, DecodeSpeed *out, Progress *progress, Error *err);
// The same over batch and context (analysis/speed_map.h).
bool engine_speed_map(Engine *engine, double seconds, SpeedMap *map,
                      void (*partial)(void *context, const SpeedMap *so_far), void *context, Progress *progress,
                      Error *err);
