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

// On the evaluation tokens.
static bool begin_study(Engine *engine, Trial *out, Error *err) {
    *out = (Trial){0};
    return engine_can_run(engine, err) && engine_need_evaluator(engine, err) &&
           begin_trial(engine, engine->evaluator, out, err);
}

bool engine_sensitivity(Engine *engine, SensitivityDepth depth, void (*partial)(void *, const Sensitivities *),
                        void *context, Sensitivities *out, Progress *progress, Error *err) {
    Trial trial;
    *out = (Sensitivities){0};
    bool ok = begin_study(engine, &trial, err) &&
              sensitivity_measure(&trial, &engine->plan, depth, partial, context, out, progress, err);
    trial_end(&trial);
    return ok;
}

bool engine_points(Engine *engine, const Recipe *recipes, int count, const PointOptions *options, Point *points,
                   Progress *progress, Error *err) {
    Trial trial;
    bool ok =
        begin_study(engine, &trial, err) && points_measure(&trial, recipes, count, options, points, progress, err);
    trial_end(&trial);
    return ok;
}

bool engine_tune(Engine *engine, const TuneGoal *goal, void (*partial)(void *, const Tuned *), void *context,
                 Tuned *out, Progress *progress, Error *err) {
    Trial search = {0}, verify;
    Evaluator *evaluator = NULL;
    *out = (Tuned){0};
    bool ok = begin_study(engine, &verify, err);
    if (ok && !engine->options.random_tokens) {
        ok = engine_new_evaluator(engine, TEXT_CALIBRATION, &evaluator, progress, err) &&
             begin_trial(engine, evaluator, &search, err);
    }
    ok = ok && tune(evaluator ? &search : &verify, &verify, &engine->stats, &engine->recipe, goal, partial, context,
                    out, progress, err);
    trial_end(&search);
    trial_end(&verify);
    evaluator_free(evaluator);
    return ok;
}

bool engine_outliers(Engine *engine, double factor, Outliers *out, Progress *progress, Error *err) {
    TokenIds ids = {0};
    size_t sequences = 0;
    *out = (Outliers){0};
    bool ok = engine_calibration_ids(engine, engine->options.random_tokens, &ids, &sequences, progress, err);
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
    if (!model_stats_new(&engine->structure, &out->stats, err)) return false;
    bool ok = engine_cached_weights(engine, &out->stats);
    for (int i = 0; !ok && i < engine->structure.linear_count; i++) {
        if (!weight_stats_measure(&engine->structure, i, &out->stats, err)) return false;
    }
    return engine_fill_inputs(engine, true, &out->stats, progress, err);
}

static bool run_point(Trial *trial, const Plan *plan, Point *out, float *kl, Progress *progress, Error *err) {
    *out = (Point){.bytes = plan->bytes, .bits_per_weight = plan->bits_per_weight};
    return out->known = trial_run_positions(trial, plan, &out->accuracy, kl, progress, err);
}

static bool compare_calibrations(Engine *engine, RandomCalibration *out, float *kl, Progress *progress, Error *err) {
    Trial text, random = {0};
    bool ok = begin_study(engine, &text, err);
    size_t n = ok ? (size_t)trial_work(&text) : 0;
    if (ok) random = text;
    // Another calibration, another set of maxima behind the factors: nothing of one is kept for the other.
    random.cache = NULL;
    random.measured = &out->stats.measured;
    progress_begin(progress, "evaluating", 2 * n);
    ok = ok && run_point(&text, &engine->plan, &out->text, kl, progress, err) &&
         run_point(&random, &out->plan, &out->random, kl + n, progress, err);
    if (ok) out->difference = paired_difference(kl + n, kl, n);
    trial_end(&text);
    return ok;
}

bool engine_random_calibration(Engine *engine, RandomCalibration *out, Progress *progress, Error *err) {
    *out = (RandomCalibration){0};
    if (!random_stats(engine, out, progress, err) ||
        !plan_make(&engine->recipe, &engine->structure, &out->stats.measured, &out->plan, err))
        return false;
    float *kl = array_new(2 * engine->options.eval_tokens, sizeof *kl);
    bool ok = kl ? compare_calibrations(engine, out, kl, progress, err) : error_memory(err, "a comparison");
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
    if (!engine_can_run(engine, err)) return false;
    assert(engine->quantized);
    return decode_speed(engine->base, quantized_model_transformer(engine->quantized), seconds, partial, context, out,
                        progress, err);
}
