// Calibration: read from disk if it is there, otherwise continued from where it stopped, and kept on disk as it grows.
#include "analysis/stats_cache.h"
#include "base/clock.h"
#include "engine/engine_parts.h"

// What was found is handed over after the first batch, and then after four times as many tokens each time: every plan
// in between costs a packing of what changed.
#define NEXT_LOOK 4
// Writing the state may take this share of the time, and waits at least so long.
#define KEEPING_SHARE 0.03
#define LEAST_SECONDS_BETWEEN 1.0

// Afterwards the result is there already, or *c is ready to go on.
static bool calibration_begin(Engine *engine, bool random, Calibration *c, ModelStats *stats, Progress *progress,
                              Error *err) {
    TokenIds ids = {0};
    size_t sequences = 0;
    bool ok = engine_calibration_ids(engine, random, &ids, &sequences, progress, err);
    const size_t length = engine->options.length;
    if (ok) {
        const char *folder = engine->cache_folder, *backend = engine->backend->ops->name;
        c->key = input_stats_key(&engine->structure, ids.ids, sequences, length, engine->options.precision, backend);
        if (folder && stats_cache_read_inputs(folder, c->key, &engine->structure, stats)) {
            stats->set->tokens = stats->set->planned = (uint64_t)sequences * length;
        } else {
            ok = calibrator_new(engine->base, ids.ids, sequences, length, &c->calibrator, err);
            if (ok && folder) calibrator_resume(c->calibrator, folder, c->key);
            c->kept_at = clock_seconds();
        }
    }
    token_ids_free(&ids);
    return ok;
}

static void calibration_keep(const Engine *engine, Calibration *c) {
    if (!engine->cache_folder || !c->unkept) return;
    const double start = clock_seconds();
    calibrator_keep(c->calibrator, engine->cache_folder, c->key, NULL); // one that cannot be written is only slower
    c->kept_at = clock_seconds();
    c->keeping = c->kept_at - start;
    c->unkept = false;
}

static bool calibration_is_due(const Calibration *c) {
    const double since = clock_seconds() - c->kept_at;
    return since >= LEAST_SECONDS_BETWEEN && since * KEEPING_SHARE >= c->keeping;
}

static bool calibration_batch(Engine *engine, Calibration *c, Progress *progress, Error *err) {
    Error own = {0};
    if (!err) err = &own;
    c->unkept = true;
    if (!calibrator_batch(c->calibrator, progress, err)) {
        if (!err->stopped) { // what it saw is of no use
            calibrator_free(c->calibrator);
            c->calibrator = NULL;
        }
        return engine_blame(engine, err);
    }
    if (!calibrator_done(c->calibrator) && calibration_is_due(c)) calibration_keep(engine, c);
    return true;
}

// Puts what was found into the statistics; at the end its file takes the place of the state.
static bool calibration_look(const Engine *engine, Calibration *c, ModelStats *stats, Error *err) {
    InputSet *set;
    if (!calibrator_inputs(c->calibrator, &set, err)) return false;
    model_stats_take_inputs(stats, set);
    c->next_look = NEXT_LOOK * set->tokens;
    if (!calibrator_done(c->calibrator)) return true;
    if (engine->cache_folder && stats_cache_write_inputs(engine->cache_folder, c->key, stats, NULL))
        calibrator_forget(engine->cache_folder, c->key);
    calibrator_free(c->calibrator);
    c->calibrator = NULL;
    return true;
}

void engine_end_calibration(const Engine *engine, Calibration *c) {
    if (!c->calibrator) return;
    calibration_keep(engine, c);
    calibrator_free(c->calibrator);
    c->calibrator = NULL;
}

bool engine_fill_inputs(Engine *engine, bool random, ModelStats *stats, Progress *progress, Error *err) {
    Calibration c = {0};
    if (!calibration_begin(engine, random, &c, stats, progress, err)) return false;
    if (!c.calibrator) return true;
    calibrator_begin(c.calibrator, progress);
    bool ok = true;
    while (ok && !calibrator_done(c.calibrator)) ok = calibration_batch(engine, &c, progress, err);
    ok = ok && calibration_look(engine, &c, stats, err);
    engine_end_calibration(engine, &c);
    return ok;
}

// ---- Of the engine itself ----

bool engine_calibrated(const Engine *engine) {
    const InputSet *set = engine->stats.set;
    return set->planned && set->tokens == set->planned;
}

uint64_t engine_calibration_tokens(const Engine *engine) { return engine->stats.set->tokens; }

static bool calibration_go_on(Engine *engine, Progress *progress, Error *err) {
    Calibration *c = &engine->calibration;
    if (calibrator_tokens(c->calibrator) > 0 && !engine->stats.set->tokens)
        return calibration_look(engine, c, &engine->stats, err); // of an earlier start
    while (!calibrator_done(c->calibrator)) {
        if (!calibration_batch(engine, c, progress, err)) return false;
        if (calibrator_tokens(c->calibrator) >= c->next_look) break;
    }
    return calibration_look(engine, c, &engine->stats, err);
}

static bool calibration_begin_own(Engine *engine, Progress *progress, Error *err) {
    Calibration *c = &engine->calibration;
    if (!engine_can_run(engine, err)) return false;
    if (!c->calibrator && !calibration_begin(engine, engine->options.random_tokens, c, &engine->stats, progress, err))
        return false;
    if (c->calibrator) calibrator_begin(c->calibrator, progress);
    return true;
}

bool engine_calibrate_on(Engine *engine, Progress *progress, Error *err) {
    if (engine_calibrated(engine)) return true;
    return calibration_begin_own(engine, progress, err) &&
           (engine_calibrated(engine) || calibration_go_on(engine, progress, err));
}

bool engine_calibrate(Engine *engine, Progress *progress, Error *err) {
    if (engine_calibrated(engine)) return true;
    bool ok = calibration_begin_own(engine, progress, err);
    while (ok && !engine_calibrated(engine)) ok = calibration_go_on(engine, progress, err);
    return ok;
}
