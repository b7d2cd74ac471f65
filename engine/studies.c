// What takes more than one plan, or more than one measurement.
#include <assert.h>
#include <stdlib.h>

#include "base/array.h"
#include "engine/engine_parts.h"

static bool begin_trial(Engine *engine, Evaluator *evaluator, Trial *out, Error *err) {
    return (engine->quantized || quantized_model_new(engine->base, &engine->quantized, err)) &&
           trial_begin(engine->base, engine->quantized, evaluator, &engine->stats.measured, engine->cache_folder,
                       engine_model_key(engine), out, err);
}

bool engine_begin_study(Engine *engine, Trial *out, Error *err) {
    *out = (Trial){0};
    return engine_can_run(engine, err) && engine_need_evaluator(engine, err) &&
           begin_trial(engine, engine->evaluator, out, err);
}

// Another checkpoint, run by the engine's backend.
typedef struct StoredModel {
    Checkpoint checkpoint;
    ModelStructure structure;
    Transformer *transformer;
} StoredModel;

static bool same_shape(const Engine *engine, const ModelConfig *other, Error *err) {
    const ModelConfig *config = &engine->structure.config;
    const struct {
        const char *what;
        int one, other;
    } sizes[] = {{"layers", config->layers, other->layers},
                 {"hidden channels", config->hidden, other->hidden},
                 {"tokens in the vocabulary", config->vocab, other->vocab}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        if (sizes[i].one != sizes[i].other)
            return error_set(err, "is not the same model as %s: %d %s instead of %d", engine->checkpoint.path,
                             sizes[i].other, sizes[i].what, sizes[i].one);
    }
    return true;
}

static bool stored_model_open(const Engine *engine, const char *path, StoredModel *out, Error *err) {
    ModelConfig config;
    if (!checkpoint_open(path, &out->checkpoint, err) || !config_load(out->checkpoint.documents, &config, err) ||
        !structure_build(&out->checkpoint, &config, &out->structure, err))
        return false;
    if (config.not_run[0]) return error_set(err, "%s: %s", path, config.not_run);
    return (same_shape(engine, &config, err) || error_prefix(err, "%s", path)) &&
           transformer_new(&out->structure, engine->backend, engine->options.precision, &out->transformer, err);
}

static void stored_model_close(StoredModel *stored) {
    transformer_free(stored->transformer);
    structure_free(&stored->structure);
    checkpoint_close(&stored->checkpoint);
}

bool engine_evaluate_stored(Engine *engine, const char *path, Accuracy *out, size_t *bytes, Progress *progress,
                            Error *err) {
    StoredModel stored = {0};
    bool ok = engine_can_run(engine, err) && stored_model_open(engine, path, &stored, err) &&
              engine_need_evaluator(engine, err) &&
              (evaluator_run(engine->evaluator, stored.transformer, 0, NULL, NULL, out, progress, err) ||
               engine_blame(engine, err));
    ok = ok && checkpoint_intact(&stored.checkpoint, err);
    *bytes = stored.checkpoint.bytes;
    stored_model_close(&stored);
    return ok;
}

bool engine_sensitivity(Engine *engine, const Plan *plan, SensitivityDepth depth,
                        void (*partial)(void *, const Sensitivities *), void *context, Sensitivities *out,
                        Progress *progress, Error *err) {
    Trial trial;
    *out = (Sensitivities){0};
    bool ok = engine_begin_study(engine, &trial, err) &&
              sensitivity_measure(&trial, plan, depth, partial, context, out, progress, err);
    trial_end(&trial);
    return ok;
}

bool engine_points(Engine *engine, const Recipe *recipes, int count, const PointOptions *options, Point *points,
                   Progress *progress, Error *err) {
    Trial trial;
    bool ok = engine_begin_study(engine, &trial, err) &&
              points_measure(&trial, recipes, count, options, points, progress, err);
    trial_end(&trial);
    return ok;
}

bool engine_tune(Engine *engine, const Recipe *recipe, const TuneGoal *goal, void (*partial)(void *, const Tuned *),
                 void *context, Tuned *out, Progress *progress, Error *err) {
    Trial search = {0}, verify;
    Evaluator *evaluator = NULL;
    *out = (Tuned){0};
    bool ok = engine_begin_study(engine, &verify, err);
    if (ok && !engine->options.random_tokens) {
        ok = engine_new_evaluator(engine, TEXT_CALIBRATION, &evaluator, progress, err) &&
             begin_trial(engine, evaluator, &search, err);
    }
    ok = ok && tune(evaluator ? &search : &verify, &verify, &engine->stats, recipe, goal, partial, context, out,
                    progress, err);
    trial_end(&search);
    trial_end(&verify);
    evaluator_free(evaluator);
    return ok;
}

bool engine_outliers(Engine *engine, double factor, Outliers *out, Progress *progress, Error *err) {
    return outliers_find(&engine->structure, &engine->stats, factor, out, progress, err);
}

// The same weights: votes are measured (or read) again, so that both plans stand on the same ground.
static bool random_stats(Engine *engine, RandomCalibration *out, Progress *progress, Error *err) {
    if (!model_stats_new(&engine->structure, &out->stats, err)) return false;
    bool ok = engine_cached_weights(engine, &out->stats);
    for (int i = 0; !ok && i < engine->structure.linear_count; i++) {
        if (!weight_stats_measure(&engine->structure, i, &out->stats, err)) return false;
    }
    return engine_fill_inputs(engine, true, &out->stats, progress, err);
}

static bool run_point(Trial *trial, const Plan *plan, Point *out, float *by_position, Progress *progress, Error *err) {
    *out = (Point){.bytes = plan->bytes, .bits_per_weight = plan->bits_per_weight};
    return out->known = trial_run_positions(trial, plan, &out->accuracy, by_position, progress, err);
}

static bool compare_calibrations(Engine *engine, RandomCalibration *out, float *by_position, Progress *progress,
                                 Error *err) {
    Trial text, random = {0};
    bool ok = engine_begin_study(engine, &text, err);
    size_t n = ok ? (size_t)trial_work(&text) : 0, each = POSITION_FIGURES * n;
    if (ok) random = text;
    // Another calibration, another set of maxima behind the factors: nothing of one is kept for the other.
    random.cache = NULL;
    random.measured = &out->stats.measured;
    progress_begin(progress, "evaluating", 2 * n);
    ok = ok && run_point(&text, &engine->plan, &out->text, by_position, progress, err) &&
         run_point(&random, &out->plan, &out->random, by_position + each, progress, err);
    if (ok) out->difference = paired_differences(by_position + each, by_position, n);
    trial_end(&text);
    return ok;
}

bool engine_random_calibration(Engine *engine, RandomCalibration *out, Progress *progress, Error *err) {
    *out = (RandomCalibration){0};
    if (!random_stats(engine, out, progress, err) ||
        !plan_make(&engine->recipe, &engine->structure, &out->stats.measured, &out->plan, err))
        return false;
    float *by_position = array_new(2 * POSITION_FIGURES * engine->options.eval_tokens, sizeof *by_position);
    bool ok =
        by_position ? compare_calibrations(engine, out, by_position, progress, err) : error_memory(err, "a comparison");
    free(by_position);
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
    if (!engine_can_run(engine, err)) return false;
    assert(engine->quantized);
    progress_begin(progress, "timing", 0);
    return decode_speed(engine->base, quantized_model_transformer(engine->quantized), &(SpeedCase){.batch = 1}, seconds,
                        partial, context, out, progress, err);
}

bool engine_speed_map(Engine *engine, double seconds, SpeedMap *map, void (*partial)(void *, const SpeedMap *),
                      void *context, Progress *progress, Error *err) {
    if (!engine_can_run(engine, err)) return false;
    assert(engine->quantized);
    return speed_map_measure(engine->base, quantized_model_transformer(engine->quantized), seconds, map, partial,
                             context, progress, err);
}
