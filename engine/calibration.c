// Calibration: read from disk if it is there, otherwise continued from where it stopped, and kept on disk as it grows.
#include <stdio.h>

#include "analysis/stats_cache.h"
#include "base/clock.h"
#include "base/hash.h"
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
    const char *path = engine->options.statistics;
    if (path) return statistics_read(path, &engine->structure, &engine->measured_on, &engine->stats, err);
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

// ---- By several processes ----

static CalibrationText own_text(const Engine *engine) {
    CalibrationText text = {.chat = engine_text_is_chat(engine, TEXT_CALIBRATION)};
    snprintf(text.name, sizeof text.name, "%s", engine_text_name(engine, TEXT_CALIBRATION));
    return text;
}

static CalibrationWork work_on(const Engine *engine, const TokenIds *ids, size_t sequences) {
    CalibrationWork work = {.model = inputs_model_key(&engine->structure),
                            .ids = input_ids_key(ids->ids, sequences, engine->options.length),
                            .precision = engine->options.precision,
                            .text = own_text(engine)};
    snprintf(work.backend, sizeof work.backend, "%s", engine->backend->ops->name);
    return work;
}

// By which the result is found in the cache.
static uint64_t key_of(const Engine *engine, const CalibrationWork *work) {
    return input_stats_key_of(&engine->structure, work->ids, work->precision, work->backend);
}

static bool run_part(Engine *engine, Calibration *c, const CalibrationWork *work, const char *path, Progress *progress,
                     Error *err) {
    if (engine->cache_folder) calibrator_resume(c->calibrator, engine->cache_folder, c->key);
    c->kept_at = clock_seconds();
    calibrator_begin(c->calibrator, progress);
    bool ok = true;
    while (ok && !calibrator_done(c->calibrator)) ok = calibration_batch(engine, c, progress, err);
    if (ok && (ok = calibration_part_write(c->calibrator, work, path, err)) && engine->cache_folder)
        calibrator_forget(engine->cache_folder, c->key);
    if (ok) c->unkept = false;
    engine_end_calibration(engine, c);
    return ok;
}

bool engine_calibrate_part(Engine *engine, int part, int parts, const char *path, CalibrationPart *out,
                           Progress *progress, Error *err) {
    TokenIds ids = {0};
    size_t sequences;
    *out = (CalibrationPart){0};
    if (!engine_can_run(engine, err) ||
        !engine_calibration_ids(engine, engine->options.random_tokens, &ids, &sequences, progress, err)) {
        token_ids_free(&ids);
        return false;
    }
    const size_t length = engine->options.length;
    const CalibrationWork work = work_on(engine, &ids, sequences);
    const int share[] = {part, parts};
    Calibration c = {.key = hash_bytes(key_of(engine, &work), share, sizeof share)};
    bool ok = calibrator_new_part(engine->base, ids.ids, sequences, length, part, parts, &c.calibrator, err);
    token_ids_free(&ids);
    if (!ok) return false;
    out->all = (uint64_t)sequences * length;
    out->tokens = calibrator_planned(c.calibrator);
    out->was_there = calibration_part_is_there(path, &work, part, parts);
    if (!out->was_there) return run_part(engine, &c, &work, path, progress, err);
    calibrator_free(c.calibrator);
    return true;
}

bool engine_merge_calibration(Engine *engine, char *const *paths, int count, Error *err) {
    CalibrationWork work;
    InputSet *set;
    if (!calibration_merge(&engine->structure, paths, count, &work, &set, err)) return false;
    model_stats_take_inputs(&engine->stats, set);
    engine->measured_on = work.text;
    if (engine->cache_folder)
        stats_cache_write_inputs(engine->cache_folder, key_of(engine, &work), &engine->stats, NULL);
    return true;
}

bool engine_keep_statistics(const Engine *engine, const char *path, Error *err) {
    const CalibrationText text = own_text(engine);
    return statistics_write(path, &engine->structure, &text, &engine->stats, err);
}
