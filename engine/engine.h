// One open model with everything that can be done to it, step by step and blocking: what the commands call, and what
// the workbench runs in its background thread.
#pragma once

#include "analysis/accuracy.h"
#include "analysis/outliers.h"
#include "analysis/points.h"
#include "analysis/sensitivity.h"
#include "analysis/speed.h"
#include "analysis/stats.h"
#include "analysis/tune.h"
#include "loaders/tokenizer/tokenizer.h"
#include "model/generate.h"
#include "model/quantized_model.h"

// The decode sample, where nothing else is asked for.
#define STANDARD_PROMPT "Once upon a time"
#define STANDARD_MOST_TOKENS 64

typedef enum BackendChoice {
    BACKEND_AUTO, // CUDA where a device can be used and the model fits, else the CPU; QUANTDIAL_BACKEND=cpu|cuda
                  // decides
    BACKEND_CPU,
    BACKEND_CUDA, // or an error that says why not
} BackendChoice;

typedef struct EngineOptions {
    const char *model;       // folder, file, "org/name"; NULL: the sample that ships with the program
    const char *calibration; // text file; NULL: the sample's
    const char *evaluation;  // text file; NULL: the sample's
    bool random_tokens;      // calibrate on random vocabulary ids instead of text
    size_t sequences,
        length; // calibration: how many sequences of how many tokens (0: 128 × 512); cut to the text and the model's
                // positions
    size_t eval_tokens; // 0: 4096
    size_t window;      // evaluation window; 0: 256
    BackendChoice backend;
    int threads; // of the CPU backend; 0: all cores
    Precision precision;
    uint64_t seed;
    bool no_cache; // neither read nor write measurements on disk
} EngineOptions;

typedef struct Engine {
    EngineOptions options;
    Checkpoint checkpoint;
    ModelConfig config;
    ModelStructure structure;
    Tokenizer *tokenizer; // NULL until engine_tokenizer was called
    Backend *backend;
    Transformer *base; // NULL: the model cannot be run (config.not_run says why), only its weights can be worked on
    QuantizedModel *quantized;
    Evaluator *evaluator; // made on first use
    ModelStats stats;
    char *cache_folder; // NULL: no cache
    bool weights_measured;
    bool calibrated;
    uint64_t calibration_tokens;
} Engine;

// Opens and checks everything that is quick (mapping, configuration, structure, statistics still unknown). Slow parts
// follow on demand. A model that cannot be run is opened all the same: weights can be measured and a plan made, and
// everything that needs a forward pass is refused.
bool engine_open(const EngineOptions *options, Engine *out, Error *err);
void engine_close(Engine *engine);

// False with a sentence for a person when there is no forward pass for this model.
bool engine_can_run(const Engine *engine, Error *err);

// The tokenizer, read on first use: a large one takes longer than everything that the first screen needs.
bool engine_tokenizer(Engine *engine, const Tokenizer **out, Error *err);

// Each does its work once; from the cache if it can. Stopping leaves what was already done.
bool engine_measure_weights(Engine *engine, Progress *progress, Error *err); // progress counts bytes
bool engine_calibrate(Engine *engine, Progress *progress, Error *err);

bool engine_plan(Engine *engine, const Recipe *recipe, Plan *out, Error *err);

// Makes the quantized model follow the plan; *first_changed as in quantized_model_follow.
bool engine_follow(Engine *engine, const Plan *plan, int *first_changed, Progress *progress, Error *err);

bool engine_evaluate(Engine *engine, int first_changed, void (*partial)(void *context, const Accuracy *so_far),
                     void *context, Accuracy *out, Progress *progress, Error *err);

// Output SQNR in dB of each linear on the calibration sample rows: [linear_count], NAN where it is not quantized or
// unknown.
bool engine_output_sqnr(Engine *engine, const Plan *plan, double *db, Progress *progress, Error *err);

// What rounding the weights of one linear by the plan's decision costs, in dB; NAN while it is not quantized. Works
// without a forward pass, and quantizes the linear to find out.
bool engine_weight_sqnr(const Engine *engine, const Plan *plan, int linear, double *db, Error *err);

// For a study on the evaluation tokens: begins a trial on what the engine has (give it to trial_end). Afterwards the
// quantized model follows the study's last plan, and the next evaluation counts as all new (first_changed 0).
bool engine_trial(Engine *engine, Trial *out, Error *err);

// What each linear that the plan quantizes costs (analysis/sensitivity.h), estimates included.
bool engine_sensitivity(Engine *engine, const Plan *plan, SensitivityDepth depth,
                        void (*partial)(void *context, const Sensitivities *so_far), void *context, Sensitivities *out,
                        Progress *progress, Error *err);

// Every recipe on the evaluation tokens (analysis/points.h): points [count].
bool engine_points(Engine *engine, const Recipe *recipes, int count, const PointOptions *options, Point *points,
                   Progress *progress, Error *err);

// Bits and group size of every linear (analysis/tune.h): searched on calibration text, as many tokens as for
// evaluation, and verified on the evaluation tokens; on these for both when calibration is on random tokens.
bool engine_tune(Engine *engine, const Recipe *recipe, const TuneGoal *goal, Tuned *out, Progress *progress,
                 Error *err);

// Outliers of the calibrated engine (analysis/outliers.h); tokens are counted in the beginning of the calibration
// text, as many as for evaluation.
bool engine_outliers(Engine *engine, double factor, Outliers *out, Progress *progress, Error *err);

// Calibration on random vocabulary tokens beside that on text, and what each does to the model.
typedef struct RandomCalibration {
    ModelStats stats;      // measured on as many random tokens as the engine's text had
    Plan plan;             // what the recipe decides from them
    Point text, random;    // on the evaluation tokens; the plans differ only by the calibration
    Difference difference; // of KL divergence, random − text, position by position
} RandomCalibration;

// The engine must be calibrated, on text. Free with random_calibration_free in any case.
bool engine_random_calibration(Engine *engine, const Plan *text_plan, const Recipe *recipe, RandomCalibration *out,
                               Progress *progress, Error *err);
void random_calibration_free(RandomCalibration *random);

// For failures in what the model computes: puts the tensor before the message that holds infinite numbers or NaN, if
// there is one. Returns false.
bool engine_blame(const Engine *engine, Error *err);
// Base and quantized model, decoding in turn (analysis/speed.h).
bool engine_speed(Engine *engine, double seconds, void (*partial)(void *context, const DecodeSpeed *so_far),
                  void *context, DecodeSpeed *out, Progress *progress, Error *err);

// The prompt as ids (a beginning-of-sequence token as the tokenizer adds it). Refused without a tokenizer.
bool engine_prompt(Engine *engine, const char *text, TokenIds *out, Error *err);
