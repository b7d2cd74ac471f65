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

static void fill_standards(ModelSession *s) {
    ModelOptions *o = &s->options;
    size_t positions = (size_t)s->config.max_positions;
    if (!o->sequences) o->sequences = STANDARD_SEQUENCES;
    if (!o->eval_tokens) o->eval_tokens = STANDARD_EVAL_TOKENS;
    o->length = smaller(o->length ? o->length : STANDARD_LENGTH, positions);
    o->window = smaller(o->window ? o->window : STANDARD_WINDOW, positions);
}

static bool open_checkpoint(ModelSession *s, Error *err) {
    if (s->options.model) return checkpoint_open(s->options.model, &s->checkpoint, err);
    char *sample = sample_path(err);
    bool ok = sample && checkpoint_open(sample, &s->checkpoint, err);
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

static bool open_cuda(const ModelSession *s, Backend **out, Error *err) {
    if (!backend_cuda_new(0, out, err)) return false;
    if (s->config.not_run[0] || (*out)->ops->has_room(*out, bytes_on_device(&s->structure), err)) return true;
    (*out)->ops->destroy(*out);
    *out = NULL;
    return error_prefix(err, "%s", s->checkpoint.path);
}

static bool choice_from_environment(BackendChoice *choice, Error *err) {
    const char *text = getenv("QUANTDIAL_BACKEND");
    if (!text || !text[0] || strcmp(text, "auto") == 0) return true;
    if (strcmp(text, "cpu") != 0 && strcmp(text, "cuda") != 0)
        return error_set(err, "QUANTDIAL_BACKEND is \"%.40s\"; it may be auto, cpu or cuda", text);
    *choice = strcmp(text, "cpu") == 0 ? BACKEND_CPU : BACKEND_CUDA;
    return true;
}

static bool open_backend(ModelSession *s, Error *err) {
    BackendChoice choice = s->options.backend;
    if (choice == BACKEND_AUTO && !choice_from_environment(&choice, err)) return false;
    if (choice == BACKEND_CUDA) return open_cuda(s, &s->backend, err);
    if (choice == BACKEND_AUTO && open_cuda(s, &s->backend, NULL)) return true;
    return backend_cpu_new(s->options.threads, &s->backend, err);
}

// The message about the refusal names the checkpoint already.
static const char *without_folder(const ModelSession *s, const char *message) {
    const size_t length = strlen(s->checkpoint.folder);
    if (strncmp(message, s->checkpoint.folder, length) != 0) return message;
    message += length;
    return message + strspn(message, "/: ");
}

static void not_to_be_run(ModelSession *s, const Error *reason) {
    config_unusable(&s->config, without_folder(s, reason->message));
}

// What is wrong with a configuration, and what of it does not fit the tensors, keeps a model from being run, and nobody
// from looking at its weights. A checkpoint of which files are missing is no use for either.
static bool read_model(ModelSession *s, Error *err) {
    Error reason = {0};
    if (!config_load(s->checkpoint.folder, &s->config, &reason)) not_to_be_run(s, &reason);
    if (structure_build(&s->checkpoint, &s->config, &s->structure, &reason)) return true;
    if (s->config.not_run[0] || !checkpoint_whole(&s->checkpoint, NULL)) return error_set(err, "%s", reason.message);
    not_to_be_run(s, &reason);
    return structure_build(&s->checkpoint, &s->config, &s->structure, err);
}

bool model_session_open(const ModelOptions *options, ModelSession *out, Error *err) {
    *out = (ModelSession){.options = *options};
    bool ok = open_checkpoint(out, err) && read_model(out, err) && open_backend(out, err) &&
              (out->config.not_run[0] ||
               transformer_new(&out->structure, out->backend, options->precision, &out->base, err)) &&
              model_stats_new(&out->structure, &out->stats, err);
    if (!ok) {
        model_session_close(out);
        return false;
    }
    fill_standards(out);
    if (!options->no_cache) out->cache_folder = folder_cache();
    return true;
}

void model_session_close(ModelSession *s) {
    evaluator_free(s->evaluator);
    quantized_model_free(s->quantized);
    transformer_free(s->base);
    if (s->backend) s->backend->ops->destroy(s->backend);
    model_stats_free(&s->stats);
    tokenizer_free(s->tokenizer);
    structure_free(&s->structure);
    checkpoint_close(&s->checkpoint);
    free(s->cache_folder);
    *s = (ModelSession){0};
}

bool model_session_can_run(const ModelSession *s, Error *err) {
    if (s->base) return true;
    return error_set(err, "%s cannot be run: %s. Its weights can be inspected and planned", s->checkpoint.path,
                     s->config.not_run);
}

bool model_session_tokenizer(ModelSession *s, const Tokenizer **out, Error *err) {
    if (!s->tokenizer && !tokenizer_load(s->checkpoint.folder, &s->tokenizer, err)) return false;
    *out = s->tokenizer;
    return true;
}

// Tokens of the file, or of the text of that name which ships with the sample model.
static bool read_tokens(ModelSession *s, const char *path, const char *sample_name, size_t most, TokenIds *ids,
                        Error *err) {
    const Tokenizer *tokenizer;
    if (!model_session_tokenizer(s, &tokenizer, err)) return false;
    if (path) return tokens_from_file(tokenizer, path, most, ids, err);
    char *folder = sample_path(err), *file = folder ? path_join(folder, sample_name) : NULL;
    bool ok = file && tokens_from_file(tokenizer, file, most, ids, err);
    free(file);
    free(folder);
    return ok;
}

// A tokenizer may know more ids than the model has rows for (a mixed-up download): better refused here than in the
// middle of the work.
static bool check_ids(const ModelSession *s, const TokenIds *ids, Error *err) {
    for (size_t i = 0; i < ids->count; i++) {
        if (ids->ids[i] < 0 || ids->ids[i] >= s->config.vocab) {
            return error_set(err,
                             "%s: the tokenizer gives id %d, but the model has only %d; do tokenizer.json and the "
                             "weights belong together?",
                             s->checkpoint.folder, ids->ids[i], s->config.vocab);
        }
    }
    return true;
}

bool model_session_measure_weights(ModelSession *s, Progress *progress, Error *err) {
    if (s->weights_measured) return true;
    uint64_t key = weight_stats_key(&s->structure);
    if (s->cache_folder && stats_cache_read_weights(s->cache_folder, key, &s->structure, &s->stats))
        return s->weights_measured = true;
    uint64_t total = 0;
    for (int i = 0; i < s->structure.linear_count; i++) total += s->structure.linears[i].weight->bytes;
    progress_begin(progress, "measuring weights", total);
    for (int i = 0; i < s->structure.linear_count; i++) {
        if (!weight_stats_measure(&s->structure, i, &s->stats, err)) return false;
        if (!progress_add(progress, s->structure.linears[i].weight->bytes)) return error_stopped(err);
    }
    s->weights_measured = true;
    if (s->cache_folder)
        stats_cache_write_weights(s->cache_folder, key, &s->stats,
                                  NULL); // a cache that cannot be written is only slower
    return true;
}

static bool calibration_tokens(ModelSession *s, bool random, TokenIds *ids, size_t *sequences, Error *err) {
    ModelOptions *o = &s->options;
    size_t most = o->sequences * o->length;
    bool ok = random ? tokens_random((size_t)s->config.vocab, most, o->seed, ids, err)
                     : read_tokens(s, o->calibration, "calibration.txt", most, ids, err);
    if (!ok || !check_ids(s, ids, err)) return false;
    if (ids->count == 0) return error_set(err, "the calibration text is empty");
    if (ids->count < o->length) o->length = ids->count;
    *sequences = ids->count / o->length;
    return true;
}

bool model_session_blame(const ModelSession *s, Error *err) {
    Nonfinite rest;
    if (!err || err->stopped) return false;
    for (int i = 0; i < s->structure.linear_count; i++) {
        if (s->stats.weights[i].known && s->stats.weights[i].nonfinite)
            return error_prefix(err, "%s holds %llu weights that are infinite or NaN", s->structure.linears[i].name,
                                (unsigned long long)s->stats.weights[i].nonfinite);
    }
    return nonfinite_rest(&s->structure, &rest, NULL) && rest.first &&
           error_prefix(err, "%s holds numbers that are infinite or NaN", rest.first->name);
}

// Fills the inputs of fresh stats, from the cache if it can.
static bool calibrate_stats(ModelSession *s, bool random, ModelStats *stats, uint64_t *tokens, Progress *progress,
                            Error *err) {
    TokenIds ids = {0};
    size_t sequences = 0, length = 0;
    bool ok = calibration_tokens(s, random, &ids, &sequences, err);
    if (ok) {
        length = s->options.length;
        uint64_t key =
            input_stats_key(&s->structure, ids.ids, sequences, length, s->options.precision, s->backend->ops->name);
        if (!s->cache_folder || !stats_cache_read_inputs(s->cache_folder, key, &s->structure, stats)) {
            progress_begin(progress, "calibrating", sequences * length);
            ok = calibrate(s->base, ids.ids, sequences, length, stats, progress, err) || model_session_blame(s, err);
            if (ok && s->cache_folder) stats_cache_write_inputs(s->cache_folder, key, stats, NULL);
        }
    }
    token_ids_free(&ids);
    *tokens = sequences * length;
    return ok;
}

bool model_session_calibrate(ModelSession *s, Progress *progress, Error *err) {
    if (s->calibrated) return true;
    if (!model_session_can_run(s, err)) return false;
    return s->calibrated =
               calibrate_stats(s, s->options.random_tokens, &s->stats, &s->calibration_tokens, progress, err);
}

bool model_session_plan(ModelSession *s, const Recipe *recipe, Plan *out, Error *err) {
    return plan_make(recipe, &s->structure, &s->stats.measured, out, err);
}

bool model_session_follow(ModelSession *s, const Plan *plan, int *first_changed, Progress *progress, Error *err) {
    if (!model_session_can_run(s, err)) return false;
    if (!s->quantized && !quantized_model_new(s->base, &s->quantized, err)) return false;
    return quantized_model_follow(s->quantized, plan, &s->stats.measured, first_changed, progress, err);
}

static bool new_evaluator(ModelSession *s, const char *path, const char *sample_name, Evaluator **out, Error *err) {
    TokenIds ids = {0};
    bool ok = read_tokens(s, path, sample_name, s->options.eval_tokens, &ids, err) && check_ids(s, &ids, err);
    if (ok && ids.count < 2) ok = error_set(err, "the evaluation text has fewer than two tokens");
    if (ok) ok = evaluator_new(s->base, ids.ids, ids.count, s->options.window, EVALUATOR_BUDGET, out, err);
    token_ids_free(&ids);
    return ok;
}

static bool make_evaluator(ModelSession *s, Error *err) {
    return new_evaluator(s, s->options.evaluation, "evaluation.txt", &s->evaluator, err);
}

bool model_session_evaluate(ModelSession *s, int first_changed, void (*partial)(void *, const Accuracy *),
                            void *context, Accuracy *out, Progress *progress, Error *err) {
    if (!model_session_can_run(s, err) || (!s->evaluator && !make_evaluator(s, err))) return false;
    return evaluator_run(s->evaluator, quantized_model_transformer(s->quantized), first_changed, partial, context, out,
                         progress, err) ||
           model_session_blame(s, err);
}

bool model_session_output_sqnr(ModelSession *s, const Plan *plan, double *db, Progress *progress, Error *err) {
    int count = s->structure.linear_count;
    for (int i = 0; i < count; i++) db[i] = NAN;
    progress_begin(progress, "measuring errors", (uint64_t)count);
    for (int i = 0; i < count; i++) {
        const InputStats *input = &s->stats.inputs[s->structure.linears[i].input];
        if (plan->decisions[i].quantized && s->calibrated && input->sample_rows) {
            if (!linear_output_sqnr(s->base, quantized_model_transformer(s->quantized), i, input->sample,
                                    input->sample_rows, quantized_model_factors(s->quantized, i),
                                    quantized_model_divisors(s->quantized, i), &db[i], err)) {
                return false;
            }
        }
        if (!progress_add(progress, 1)) return error_stopped(err);
    }
    return checkpoint_intact(&s->checkpoint, err);
}

bool model_session_weight_sqnr(const ModelSession *s, const Plan *plan, int linear, double *db, Error *err) {
    QuantizedWeight codes;
    WeightError error;
    *db = NAN;
    if (!plan->decisions[linear].quantized) return true;
    if (!quantize_linear(&s->structure.linears[linear], &plan->decisions[linear], NULL, NULL, &codes, &error, err))
        return false;
    quantized_weight_free(&codes);
    *db = weight_sqnr_db(&error);
    return checkpoint_intact(&s->checkpoint, err);
}

static bool begin_trial(ModelSession *s, Evaluator *evaluator, Trial *out, Error *err) {
    uint64_t key = input_stats_key(&s->structure, NULL, 0, 0, s->options.precision, s->backend->ops->name);
    return (s->quantized || quantized_model_new(s->base, &s->quantized, err)) &&
           trial_begin(s->base, s->quantized, evaluator, &s->stats.measured, s->cache_folder, key, out, err);
}

bool model_session_trial(ModelSession *s, Trial *out, Error *err) {
    *out = (Trial){0};
    return model_session_can_run(s, err) && (s->evaluator || make_evaluator(s, err)) &&
           begin_trial(s, s->evaluator, out, err);
}

bool model_session_sensitivity(ModelSession *s, const Plan *plan, SensitivityDepth depth,
                               void (*partial)(void *, const Sensitivities *), void *context, Sensitivities *out,
                               Progress *progress, Error *err) {
    Trial trial;
    *out = (Sensitivities){0};
    bool ok = model_session_trial(s, &trial, err) &&
              sensitivity_measure(&trial, plan, depth, partial, context, out, progress, err);
    trial_end(&trial);
    return ok;
}

bool model_session_points(ModelSession *s, const Recipe *recipes, int count, const PointOptions *options, Point *points,
                          Progress *progress, Error *err) {
    Trial trial;
    bool ok =
        model_session_trial(s, &trial, err) && points_measure(&trial, recipes, count, options, points, progress, err);
    trial_end(&trial);
    return ok;
}

bool model_session_tune(ModelSession *s, const Recipe *recipe, const TuneGoal *goal, Tuned *out, Progress *progress,
                        Error *err) {
    Trial search = {0}, verify;
    Evaluator *evaluator = NULL;
    *out = (Tuned){0};
    bool ok = model_session_trial(s, &verify, err);
    if (ok && !s->options.random_tokens) {
        ok = new_evaluator(s, s->options.calibration, "calibration.txt", &evaluator, err) &&
             begin_trial(s, evaluator, &search, err);
    }
    ok = ok && tune(evaluator ? &search : &verify, &verify, &s->stats, recipe, goal, out, progress, err);
    trial_end(&search);
    trial_end(&verify);
    evaluator_free(evaluator);
    return ok;
}

bool model_session_outliers(ModelSession *s, double factor, Outliers *out, Progress *progress, Error *err) {
    TokenIds ids = {0};
    size_t sequences = 0;
    *out = (Outliers){0};
    bool ok = calibration_tokens(s, s->options.random_tokens, &ids, &sequences, err);
    size_t most = s->options.eval_tokens / s->options.length;
    if (most < 1) most = 1;
    if (sequences > most) sequences = most;
    ok = ok && outliers_find(s->base, &s->stats, ids.ids, sequences, s->options.length, factor, out, progress, err);
    token_ids_free(&ids);
    return ok;
}

// The same weights: votes are measured (or read) again, so that both plans stand on the same ground.
static bool random_stats(ModelSession *s, RandomCalibration *out, Progress *progress, Error *err) {
    uint64_t tokens;
    if (!model_stats_new(&s->structure, &out->stats, err)) return false;
    uint64_t key = weight_stats_key(&s->structure);
    bool ok = s->cache_folder && stats_cache_read_weights(s->cache_folder, key, &s->structure, &out->stats);
    for (int i = 0; !ok && i < s->structure.linear_count; i++) {
        if (!weight_stats_measure(&s->structure, i, &out->stats, err)) return false;
    }
    return calibrate_stats(s, true, &out->stats, &tokens, progress, err);
}

static bool run_point(Trial *trial, const Plan *plan, Point *out, float *kl, Progress *progress, Error *err) {
    *out = (Point){.bytes = plan->bytes, .bits_per_weight = plan->bits_per_weight};
    return out->known = trial_run_positions(trial, plan, &out->accuracy, kl, progress, err);
}

static bool compare_calibrations(ModelSession *s, const Plan *text_plan, RandomCalibration *out, float *kl,
                                 Progress *progress, Error *err) {
    Trial text, random = {0};
    bool ok = model_session_trial(s, &text, err);
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

bool model_session_random_calibration(ModelSession *s, const Plan *text_plan, const Recipe *recipe,
                                      RandomCalibration *out, Progress *progress, Error *err) {
    *out = (RandomCalibration){0};
    if (!random_stats(s, out, progress, err) ||
        !plan_make(recipe, &s->structure, &out->stats.measured, &out->plan, err))
        return false;
    float *kl = array_new(2 * s->options.eval_tokens, sizeof *kl);
    bool ok = kl ? compare_calibrations(s, text_plan, out, kl, progress, err) : error_memory(err, "a comparison");
    free(kl);
    return ok;
}

void random_calibration_free(RandomCalibration *random) {
    model_stats_free(&random->stats);
    plan_free(&random->plan);
    *random = (RandomCalibration){0};
}

bool model_session_speed(ModelSession *s, double seconds, void (*partial)(void *, const DecodeSpeed *), void *context,
                         DecodeSpeed *out, Progress *progress, Error *err) {
    *out = (DecodeSpeed){0};
    return model_session_can_run(s, err) && decode_speed(s->base, quantized_model_transformer(s->quantized), seconds,
                                                         partial, context, out, progress, err);
}

bool model_session_prompt(ModelSession *s, const char *text, TokenIds *out, Error *err) {
    const Tokenizer *tokenizer;
    size_t length = strlen(text);
    if (!model_session_can_run(s, err) || !model_session_tokenizer(s, &tokenizer, err) ||
        !tokenizer_encode(tokenizer, text, length, !tokenizer_has_prefix(tokenizer, text, length), out, err))
        return false;
    if (!check_ids(s, out, err)) return false;
    if (out->count == 0) return error_set(err, "the prompt is empty");
    return true;
}
