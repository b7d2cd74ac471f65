#include "engine/engine.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/nonfinite.h"
#include "analysis/stats_cache.h"
#include "analysis/tokens.h"
#include "base/array.h"
#include "base/file.h"

#define STANDARD_SEQUENCES 128
#define STANDARD_LENGTH 512
#define STANDARD_EVAL_TOKENS 4096
#define STANDARD_WINDOW 256
#define EVALUATOR_BUDGET ((size_t)512 << 20) // bytes of kept hidden states

static size_t smaller(size_t a, size_t b) { return a < b ? a : b; }

static void fill_standards(Engine *engine) {
    EngineOptions *o = &engine->options;
    size_t positions = (size_t)engine->config.max_positions;
    if (!o->sequences) o->sequences = STANDARD_SEQUENCES;
    if (!o->eval_tokens) o->eval_tokens = STANDARD_EVAL_TOKENS;
    o->length = smaller(o->length ? o->length : STANDARD_LENGTH, positions);
    o->window = smaller(o->window ? o->window : STANDARD_WINDOW, positions);
}

static bool open_checkpoint(Engine *engine, Error *err) {
    if (engine->options.model) return checkpoint_open(engine->options.model, &engine->checkpoint, err);
    char *sample = sample_path(err);
    bool ok = sample && checkpoint_open(sample, &engine->checkpoint, err);
    free(sample);
    return ok;
}

// What the model takes on a device: its linears, a quantized copy of at most 9 bits a weight beside them, and caches,
// activations and logits of ordinary length.
static size_t bytes_on_device(const ModelStructure *structure) {
    const ModelConfig *config = &structure->config;
    size_t bytes = (size_t)512 << 20, cached = (size_t)config->kv_heads * (size_t)config->head_dim;
    bytes += 2 * (size_t)config->layers * cached * 2 * 2048; // 2,048 positions of keys and values in 16 bits
    for (int i = 0; i < structure->linear_count; i++) {
        const Linear *linear = &structure->linears[i];
        bytes += linear->out * linear->in * dtype_bytes(linear->weight->dtype) + linear->out * linear->in * 9 / 8;
    }
    return bytes;
}

static bool open_cuda(const Engine *engine, Backend **out, Error *err) {
    if (!backend_cuda_new(0, out, err)) return false;
    if (engine->config.not_run[0] || (*out)->ops->has_room(*out, bytes_on_device(&engine->structure), err)) return true;
    (*out)->ops->destroy(*out);
    *out = NULL;
    return error_prefix(err, "%s", engine->checkpoint.path);
}

static bool choice_from_environment(BackendChoice *choice, Error *err) {
    const char *text = getenv("QUANTDIAL_BACKEND");
    if (!text || !text[0] || strcmp(text, "auto") == 0) return true;
    if (strcmp(text, "cpu") != 0 && strcmp(text, "cuda") != 0)
        return error_set(err, "QUANTDIAL_BACKEND is \"%.40s\"; it may be auto, cpu or cuda", text);
    *choice = strcmp(text, "cpu") == 0 ? BACKEND_CPU : BACKEND_CUDA;
    return true;
}

static bool open_backend(Engine *engine, Error *err) {
    BackendChoice choice = engine->options.backend;
    if (choice == BACKEND_AUTO && !choice_from_environment(&choice, err)) return false;
    if (choice == BACKEND_CUDA) return open_cuda(engine, &engine->backend, err);
    if (choice == BACKEND_AUTO && open_cuda(engine, &engine->backend, NULL)) return true;
    return backend_cpu_new(engine->options.threads, &engine->backend, err);
}

// The message about the refusal names the checkpoint already.
static const char *without_folder(const Engine *engine, const char *message) {
    const size_t length = strlen(engine->checkpoint.folder);
    if (strncmp(message, engine->checkpoint.folder, length) != 0) return message;
    message += length;
    return message + strspn(message, "/: ");
}

static void not_to_be_run(Engine *engine, const Error *reason) {
    config_unusable(&engine->config, without_folder(engine, reason->message));
}

// What is wrong with a configuration, and what of it does not fit the tensors, keeps a model from being run, and nobody
// from looking at its weights. A checkpoint of which files are missing is no use for either.
static bool read_model(Engine *engine, Error *err) {
    Error reason = {0};
    if (!config_load(engine->checkpoint.folder, &engine->config, &reason)) not_to_be_run(engine, &reason);
    if (structure_build(&engine->checkpoint, &engine->config, &engine->structure, &reason)) return true;
    if (engine->config.not_run[0] || !checkpoint_whole(&engine->checkpoint, NULL))
        return error_set(err, "%s", reason.message);
    not_to_be_run(engine, &reason);
    return structure_build(&engine->checkpoint, &engine->config, &engine->structure, err);
}

bool engine_open(const EngineOptions *options, Engine *out, Error *err) {
    *out = (Engine){.options = *options};
    bool ok = open_checkpoint(out, err) && read_model(out, err) && open_backend(out, err) &&
              (out->config.not_run[0] ||
               transformer_new(&out->structure, out->backend, options->precision, &out->base, err)) &&
              model_stats_new(&out->structure, &out->stats, err);
    if (!ok) {
        engine_close(out);
        return false;
    }
    fill_standards(out);
    if (!options->no_cache) out->cache_folder = folder_cache();
    return true;
}

void engine_close(Engine *engine) {
    evaluator_free(engine->evaluator);
    quantized_model_free(engine->quantized);
    transformer_free(engine->base);
    if (engine->backend) engine->backend->ops->destroy(engine->backend);
    model_stats_free(&engine->stats);
    tokenizer_free(engine->tokenizer);
    structure_free(&engine->structure);
    checkpoint_close(&engine->checkpoint);
    free(engine->cache_folder);
    *engine = (Engine){0};
}

bool engine_can_run(const Engine *engine, Error *err) {
    if (engine->base) return true;
    return error_set(err, "%s cannot be run: %s. Its weights can be inspected and planned", engine->checkpoint.path,
                     engine->config.not_run);
}

bool engine_tokenizer(Engine *engine, const Tokenizer **out, Error *err) {
    if (!engine->tokenizer && !tokenizer_load(engine->checkpoint.folder, &engine->tokenizer, err)) return false;
    *out = engine->tokenizer;
    return true;
}

// Tokens of the file, or of the text of that name which ships with the sample model.
static bool read_tokens(Engine *engine, const char *path, const char *sample_name, size_t most, TokenIds *ids,
                        Error *err) {
    const Tokenizer *tokenizer;
    if (!engine_tokenizer(engine, &tokenizer, err)) return false;
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
        if (ids->ids[i] < 0 || ids->ids[i] >= engine->config.vocab) {
            return error_set(err,
                             "%s: the tokenizer gives id %d, but the model has only %d; do tokenizer.json and the "
                             "weights belong together?",
                             engine->checkpoint.folder, ids->ids[i], engine->config.vocab);
        }
    }
    return true;
}

bool engine_measure_weights(Engine *engine, Progress *progress, Error *err) {
    if (engine->weights_measured) return true;
    uint64_t key = weight_stats_key(&engine->structure);
    if (engine->cache_folder && stats_cache_read_weights(engine->cache_folder, key, &engine->structure, &engine->stats))
        return engine->weights_measured = true;
    uint64_t total = 0;
    for (int i = 0; i < engine->structure.linear_count; i++) total += engine->structure.linears[i].weight->bytes;
    progress_begin(progress, "measuring weights", total);
    for (int i = 0; i < engine->structure.linear_count; i++) {
        if (!weight_stats_measure(&engine->structure, i, &engine->stats, err)) return false;
        if (!progress_add(progress, engine->structure.linears[i].weight->bytes)) return error_stopped(err);
    }
    engine->weights_measured = true;
    if (engine->cache_folder)
        stats_cache_write_weights(engine->cache_folder, key, &engine->stats,
                                  NULL); // a cache that cannot be written is only slower
    return true;
}

static bool calibration_tokens(Engine *engine, bool random, TokenIds *ids, size_t *sequences, Error *err) {
    EngineOptions *o = &engine->options;
    size_t most = o->sequences * o->length;
    bool ok = random ? tokens_random((size_t)engine->config.vocab, most, o->seed, ids, err)
                     : read_tokens(engine, o->calibration, "calibration.txt", most, ids, err);
    if (!ok || !check_ids(engine, ids, err)) return false;
    if (ids->count == 0) return error_set(err, "the calibration text is empty");
    if (ids->count < o->length) o->length = ids->count;
    *sequences = ids->count / o->length;
    return true;
}

bool engine_blame(const Engine *engine, Error *err) {
    Nonfinite rest;
    if (!err || err->stopped) return false;
    for (int i = 0; i < engine->structure.linear_count; i++) {
        if (engine->stats.weights[i].known && engine->stats.weights[i].nonfinite)
            return error_prefix(err, "%s holds %llu weights that are infinite or NaN",
                                engine->structure.linears[i].name,
                                (unsigned long long)engine->stats.weights[i].nonfinite);
    }
    return nonfinite_rest(&engine->structure, &rest, NULL) && rest.first &&
           error_prefix(err, "%s holds numbers that are infinite or NaN", rest.first->name);
}

// Fills the inputs of fresh stats, from the cache if it can.
static bool calibrate_stats(Engine *engine, bool random, ModelStats *stats, uint64_t *tokens, Progress *progress,
                            Error *err) {
    TokenIds ids = {0};
    size_t sequences = 0, length = 0;
    bool ok = calibration_tokens(engine, random, &ids, &sequences, err);
    if (ok) {
        length = engine->options.length;
        uint64_t key = input_stats_key(&engine->structure, ids.ids, sequences, length, engine->options.precision,
                                       engine->backend->ops->name);
        if (!engine->cache_folder || !stats_cache_read_inputs(engine->cache_folder, key, &engine->structure, stats)) {
            progress_begin(progress, "calibrating", sequences * length);
            ok = calibrate(engine->base, ids.ids, sequences, length, stats, progress, err) || engine_blame(engine, err);
            if (ok && engine->cache_folder) stats_cache_write_inputs(engine->cache_folder, key, stats, NULL);
        }
    }
    token_ids_free(&ids);
    *tokens = sequences * length;
    return ok;
}

bool engine_calibrate(Engine *engine, Progress *progress, Error *err) {
    if (engine->calibrated) return true;
    if (!engine_can_run(engine, err)) return false;
    return engine->calibrated = calibrate_stats(engine, engine->options.random_tokens, &engine->stats,
                                                &engine->calibration_tokens, progress, err);
}

bool engine_plan(Engine *engine, const Recipe *recipe, Plan *out, Error *err) {
    return plan_make(recipe, &engine->structure, &engine->stats.measured, out, err);
}

bool engine_follow(Engine *engine, const Plan *plan, int *first_changed, Progress *progress, Error *err) {
    if (!engine_can_run(engine, err)) return false;
    if (!engine->quantized && !quantized_model_new(engine->base, &engine->quantized, err)) return false;
    return quantized_model_follow(engine->quantized, plan, &engine->stats.measured, first_changed, progress, err);
}

static bool new_evaluator(Engine *engine, const char *path, const char *sample_name, Evaluator **out, Error *err) {
    TokenIds ids = {0};
    bool ok =
        read_tokens(engine, path, sample_name, engine->options.eval_tokens, &ids, err) && check_ids(engine, &ids, err);
    if (ok && ids.count < 2) ok = error_set(err, "the evaluation text has fewer than two tokens");
    if (ok) ok = evaluator_new(engine->base, ids.ids, ids.count, engine->options.window, EVALUATOR_BUDGET, out, err);
    token_ids_free(&ids);
    return ok;
}

static bool make_evaluator(Engine *engine, Error *err) {
    return new_evaluator(engine, engine->options.evaluation, "evaluation.txt", &engine->evaluator, err);
}

bool engine_evaluate(Engine *engine, int first_changed, void (*partial)(void *, const Accuracy *), void *context,
                     Accuracy *out, Progress *progress, Error *err) {
    if (!engine_can_run(engine, err) || (!engine->evaluator && !make_evaluator(engine, err))) return false;
    return evaluator_run(engine->evaluator, quantized_model_transformer(engine->quantized), first_changed, partial,
                         context, out, progress, err) ||
           engine_blame(engine, err);
}

bool engine_output_sqnr(Engine *engine, const Plan *plan, double *db, Progress *progress, Error *err) {
    int count = engine->structure.linear_count;
    for (int i = 0; i < count; i++) db[i] = NAN;
    progress_begin(progress, "measuring errors", (uint64_t)count);
    for (int i = 0; i < count; i++) {
        const InputStats *input = &engine->stats.inputs[engine->structure.linears[i].input];
        if (plan->decisions[i].quantized && engine->calibrated && input->sample_rows) {
            if (!linear_output_sqnr(engine->base, quantized_model_transformer(engine->quantized), i, input->sample,
                                    input->sample_rows, quantized_model_factors(engine->quantized, i),
                                    quantized_model_divisors(engine->quantized, i), &db[i], err)) {
                return false;
            }
        }
        if (!progress_add(progress, 1)) return error_stopped(err);
    }
    return checkpoint_intact(&engine->checkpoint, err);
}

bool engine_weight_sqnr(const Engine *engine, const Plan *plan, int linear, double *db, Error *err) {
    QuantizedWeight codes;
    WeightError error;
    *db = NAN;
    if (!plan->decisions[linear].quantized) return true;
    if (!quantize_linear(&engine->structure.linears[linear], &plan->decisions[linear], NULL, NULL, &codes, &error, err))
        return false;
    quantized_weight_free(&codes);
    *db = weight_sqnr_db(&error);
    return checkpoint_intact(&engine->checkpoint, err);
}

static bool begin_trial(Engine *engine, Evaluator *evaluator, Trial *out, Error *err) {
    uint64_t key =
        input_stats_key(&engine->structure, NULL, 0, 0, engine->options.precision, engine->backend->ops->name);
    return (engine->quantized || quantized_model_new(engine->base, &engine->quantized, err)) &&
           trial_begin(engine->base, engine->quantized, evaluator, &engine->stats.measured, engine->cache_folder, key,
                       out, err);
}

bool engine_trial(Engine *engine, Trial *out, Error *err) {
    *out = (Trial){0};
    return engine_can_run(engine, err) && (engine->evaluator || make_evaluator(engine, err)) &&
           begin_trial(engine, engine->evaluator, out, err);
}

bool engine_sensitivity(Engine *engine, const Plan *plan, SensitivityDepth depth,
                        void (*partial)(void *, const Sensitivities *), void *context, Sensitivities *out,
                        Progress *progress, Error *err) {
    Trial trial;
    *out = (Sensitivities){0};
    bool ok = engine_trial(engine, &trial, err) &&
              sensitivity_measure(&trial, plan, depth, partial, context, out, progress, err);
    trial_end(&trial);
    return ok;
}

bool engine_points(Engine *engine, const Recipe *recipes, int count, const PointOptions *options, Point *points,
                   Progress *progress, Error *err) {
    Trial trial;
    bool ok =
        engine_trial(engine, &trial, err) && points_measure(&trial, recipes, count, options, points, progress, err);
    trial_end(&trial);
    return ok;
}

bool engine_tune(Engine *engine, const Recipe *recipe, const TuneGoal *goal, Tuned *out, Progress *progress,
                 Error *err) {
    Trial search = {0}, verify;
    Evaluator *evaluator = NULL;
    *out = (Tuned){0};
    bool ok = engine_trial(engine, &verify, err);
    if (ok && !engine->options.random_tokens) {
        ok = new_evaluator(engine, engine->options.calibration, "calibration.txt", &evaluator, err) &&
             begin_trial(engine, evaluator, &search, err);
    }
    ok = ok && tune(evaluator ? &search : &verify, &verify, &engine->stats, recipe, goal, out, progress, err);
    trial_end(&search);
    trial_end(&verify);
    evaluator_free(evaluator);
    return ok;
}

bool engine_outliers(Engine *engine, double factor, Outliers *out, Progress *progress, Error *err) {
    TokenIds ids = {0};
    size_t sequences = 0;
    *out = (Outliers){0};
    bool ok = calibration_tokens(engine, engine->options.random_tokens, &ids, &sequences, err);
    size_t most = engine->options.eval_tokens / engine->options.length;
    if (most < 1) most = 1;
    if (sequences > most) sequences = most;
    ok = ok && outliers_find(engine->base, &engine->stats, ids.ids, sequences, engine->options.length, factor, out,
                             progress, err);
    token_ids_free(&ids);
    return ok;
}

// The same weights: votes are measured (or read) again, so that both plans stand on the same ground.
static bool random_stats(Engine *engine, RandomCalibration *out, Progress *progress, Error *err) {
    uint64_t tokens;
    if (!model_stats_new(&engine->structure, &out->stats, err)) return false;
    uint64_t key = weight_stats_key(&engine->structure);
    bool ok =
        engine->cache_folder && stats_cache_read_weights(engine->cache_folder, key, &engine->structure, &out->stats);
    for (int i = 0; !ok && i < engine->structure.linear_count; i++) {
        if (!weight_stats_measure(&engine->structure, i, &out->stats, err)) return false;
    }
    return calibrate_stats(engine, true, &out->stats, &tokens, progress, err);
}

static bool run_point(Trial *trial, const Plan *plan, Point *out, float *kl, Progress *progress, Error *err) {
    *out = (Point){.bytes = plan->bytes, .bits_per_weight = plan->bits_per_weight};
    return out->known = trial_run_positions(trial, plan, &out->accuracy, kl, progress, err);
}

static bool compare_calibrations(Engine *engine, const Plan *text_plan, RandomCalibration *out, float *kl,
                                 Progress *progress, Error *err) {
    Trial text, random = {0};
    bool ok = engine_trial(engine, &text, err);
    size_t n = ok ? (size_t)trial_work(&text) : 0;
    if (ok) random = text;
    // Another calibration, another set of maxima behind the factors: nothing of one is kept for the other.
    random.cache = NULL;
    random.measured = &out->stats.measured;
    progress_begin(progress, "evaluating", 2 * n);
    ok = ok && run_point(&text, text_plan, &out->text, kl, progress, err) &&
         run_point(&random, &out->plan, &out->random, kl + n, progress, err);
    if (ok) out->difference = paired_difference(kl + n, kl, n);
    trial_end(&text);
    return ok;
}

bool engine_random_calibration(Engine *engine, const Plan *text_plan, const Recipe *recipe, RandomCalibration *out,
                               Progress *progress, Error *err) {
    *out = (RandomCalibration){0};
    if (!random_stats(engine, out, progress, err) ||
        !plan_make(recipe, &engine->structure, &out->stats.measured, &out->plan, err))
        return false;
    float *kl = array_new(2 * engine->options.eval_tokens, sizeof *kl);
    bool ok = kl ? compare_calibrations(engine, text_plan, out, kl, progress, err) : error_memory(err, "a comparison");
    free(kl);
    return ok;
}

void random_calibration_free(RandomCalibration *random) {
    model_stats_free(&random->stats);
    plan_free(&random->plan);
    *random = (RandomCalibration){0};
}

bool engine_speed(Engine *engine, double seconds, void (*partial)(void *, const DecodeSpeed *), void *context,
                  DecodeSpeed *out, Progress *progress, Error *err) {
    *out = (DecodeSpeed){0};
    return engine_can_run(engine, err) && decode_speed(engine->base, quantized_model_transformer(engine->quantized),
                                                       seconds, partial, context, out, progress, err);
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
