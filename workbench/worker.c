// The background thread: does what the newest turn misses most, one job at a time.
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/array.h"
#include "base/clock.h"
#include "base/log.h"
#include "workbench/workbench_parts.h"

#define SPEED_SECONDS 2.0
// Ranges from so many tokens hardly change any more: long jobs need not wait for the rest.
#define ENOUGH_TOKENS 4096

void signal_screen(Workbench *w) {
    uint64_t one = 1;
    while (write(w->event, &one, sizeof one) < 0 && errno == EINTR) {
    }
}

typedef struct Worker {
    Workbench *w;
    Plan plan;                                             // the plan being worked on
    uint64_t turn;                                         // and its turn
    uint64_t followed, scored, generated, measured, timed; // the turns for which each part is complete
    uint64_t measured_tokens;                              // calibration tokens behind the measured errors
    uint64_t shares_tokens;                                // and behind the shares of the stream
    uint64_t explained, explained_tokens;                  // the same where it is known why
    int explained_linear;                                  // this one hurts
    uint64_t explained_recipe;                             // and what would mend it, by this recipe
    uint64_t base_prompt, quantized_prompt;                // prompts that the texts belong to
    int first_changed;                                     // layers before it are as in the last evaluation
    bool begun;                                            // the first window of this turn is scored
    bool glimpsed;                                         // a first pair of this turn is timed
    char *prompt;
    size_t most_tokens;
    uint64_t prompt_turn;
    Plan row; // whose text is being written
    uint64_t forecast_asked;
    JobKind job;
    bool astray;   // a study made the quantized model follow another plan
    double shared; // when the export had its last turn, or the job began
} Worker;

// True while what the worker works on is still what is wanted; only texts depend on the prompt. Call with the lock
// held.
static bool is_newest_locked(const Worker *k, JobKind kind) {
    if (kind < JOB_QUANTIZE) return true;
    if (kind == JOB_FORECAST && k->forecast_asked != k->w->forecast.asked) return false;
    return k->turn == k->w->turn && (kind != JOB_DECODE || k->prompt_turn == k->w->prompt_turn);
}

static bool has_quantized_text(const Worker *k) {
    return k->generated == k->turn && k->quantized_prompt == k->prompt_turn;
}

// The place of a text that is wanted; −1: none, or the screen has still to take what was written there. With the lock
// held.
static int wanted_row_text(const Workbench *w) {
    for (int i = 0; i < ROW_TEXTS; i++) {
        if (w->row_texts[i].wanted && !w->findings.row_texts[i].text.finished) return i;
    }
    return -1;
}

// The state of a job that succeeded. Calibration is done in parts, and there are several texts: then it waits for the
// rest. Call with the lock held.
static JobState state_after_locked(const Worker *k, JobKind kind) {
    const Job *quantize = &k->w->jobs[JOB_QUANTIZE];
    if (kind >= JOB_STUDIES) return study_wanted_locked(k->w, kind) ? JOB_WAITING : JOB_DONE;
    if (kind == JOB_FORECAST && !k->w->forecast.folder) return JOB_DONE;
    if (!is_newest_locked(k, kind)) return trials_know_locked(k->w, kind) ? JOB_DONE : JOB_WAITING;
    if (kind == JOB_CALIBRATE && !engine_calibrated(k->w->engine)) return JOB_WAITING;
    if (kind == JOB_DECODE && !has_quantized_text(k) && quantize->held) return quantize->state;
    if (kind == JOB_DECODE &&
        (!has_quantized_text(k) || k->base_prompt != k->prompt_turn || wanted_row_text(k->w) >= 0))
        return JOB_WAITING;
    return JOB_DONE;
}

// Without quantized weights there is nothing to judge. The reason is told once, by the job that failed.
static void fail_later_jobs_locked(Workbench *w) {
    for (JobKind later = JOB_QUANTIZE + 1; later < JOB_FIGURES_END; later++) {
        if (w->jobs[later].state != JOB_WAITING) continue;
        w->jobs[later].state = JOB_FAILED;
        w->jobs[later].message[0] = '\0';
    }
    for (JobKind study = JOB_CHOICES + 1; study < JOB_EXPORT; study++) {
        if (w->jobs[study].state == JOB_WAITING) w->jobs[study].state = JOB_FAILED;
    }
}

static bool job_begin(Worker *k, JobKind kind) {
    Workbench *w = k->w;
    Job *job = &w->jobs[kind];
    pthread_mutex_lock(&w->lock);
    bool run = !job->held && !atomic_load(&w->quit) && is_newest_locked(k, kind);
    if (run) {
        atomic_store(&job->progress.stop, false);
        if (kind == JOB_TUNE) atomic_store(&w->studies.interrupted, false);
        atomic_store(&job->progress.done, 0);
        atomic_store(&job->progress.total, 0);
        job->state = JOB_RUNNING;
        job->started = clock_seconds();
        job->message[0] = '\0';
    }
    pthread_mutex_unlock(&w->lock);
    if (run) log_line("job %s begins, turn %llu", job_name(kind), (unsigned long long)k->turn);
    return run;
}

// A job that was stopped because something newer was asked for waits; one that the user stopped stays stopped.
static void job_end(Worker *k, JobKind kind, bool ok, const Error *err) {
    Workbench *w = k->w;
    Job *job = &w->jobs[kind];
    pthread_mutex_lock(&w->lock);
    job->ended = clock_seconds();
    log_line("job %s ends after %.3f s: %s", job_name(kind), job->ended - job->started,
             ok             ? "done"
             : err->stopped ? "stopped"
                            : err->message);
    if (ok)
        job->state = state_after_locked(k, kind);
    else if (err->stopped)
        job->state = job->held                     ? JOB_STOPPED
                     : kind >= JOB_STUDIES         ? state_after_locked(k, kind)
                     : trials_know_locked(w, kind) ? JOB_DONE
                                                   : JOB_WAITING;
    else {
        job->state = JOB_FAILED;
        job->held = true;
        snprintf(job->message, sizeof job->message, "%s", err->message);
        if (kind == JOB_QUANTIZE) fail_later_jobs_locked(w);
    }
    pthread_mutex_unlock(&w->lock);
    signal_screen(w);
}

static void weights_job(Worker *k) {
    Error err = {0};
    if (!job_begin(k, JOB_WEIGHTS)) return;
    bool ok = engine_measure(k->w->engine, &k->w->jobs[JOB_WEIGHTS].progress, &err);
    if (ok) {
        pthread_mutex_lock(&k->w->lock);
        k->w->findings.weights = true;
        pthread_mutex_unlock(&k->w->lock);
    }
    job_end(k, JOB_WEIGHTS, ok, &err);
}

// Without the memory for it, no channel is told to be shared.
static void hand_over_inputs(Workbench *w) {
    InputSet *set = input_set_keep(engine_stats(w->engine)->set);
    SharedChannels channels;
    if (!shared_channels_find(engine_structure(w->engine), set, OUTLIER_FACTOR, &channels, NULL))
        shared_channels_free(&channels);
    pthread_mutex_lock(&w->lock);
    input_set_release(w->findings.inputs);
    shared_channels_free(&w->findings.channels);
    w->findings.inputs = set;
    w->findings.channels = channels;
    if (w->jobs[JOB_ERRORS].state == JOB_DONE) w->jobs[JOB_ERRORS].state = JOB_WAITING; // on better rows
    pthread_mutex_unlock(&w->lock);
}

// A part of it. It steps back for whatever is more urgent and goes on where it was.
static void calibrate_job(Worker *k) {
    Error err = {0};
    if (!job_begin(k, JOB_CALIBRATE)) return;
    bool ok = engine_calibrate_on(k->w->engine, &k->w->jobs[JOB_CALIBRATE].progress, &err);
    if (ok) hand_over_inputs(k->w);
    job_end(k, JOB_CALIBRATE, ok, &err);
}

static void follow_job(Worker *k) {
    Workbench *w = k->w;
    Error err = {0};
    int first = 0;
    if (!job_begin(k, JOB_QUANTIZE)) return;
    bool ok = engine_follow(w->engine, &k->plan, &first, &w->jobs[JOB_QUANTIZE].progress, &err);
    if (first < k->first_changed) k->first_changed = first;
    if (ok) {
        k->followed = k->turn;
        k->astray = false;
        pthread_mutex_lock(&w->lock);
        for (int i = 0; i < engine_structure(w->engine)->linear_count; i++) {
            engine_weight_sqnr(w->engine, &k->plan, i, &w->findings.weight_sqnr_db[i], NULL);
        }
        pthread_mutex_unlock(&w->lock);
    }
    job_end(k, JOB_QUANTIZE, ok, &err);
}

// What is known of a later turn from a trial stays, here and below.
static void take_accuracy(Workbench *w, uint64_t turn, const Accuracy *accuracy, bool finished) {
    pthread_mutex_lock(&w->lock);
    const bool late = w->findings.accuracy_turn > turn;
    if (late) {
        pthread_mutex_unlock(&w->lock);
        return;
    }
    w->findings.accuracy = *accuracy;
    w->findings.accuracy_turn = turn;
    w->findings.accuracy_known = true;
    w->findings.accuracy_finished = finished;
    pthread_mutex_unlock(&w->lock);
    signal_screen(w);
}

// Without memory for them, two recipes are compared by their separate standard errors.
static void take_positions(Workbench *w, uint64_t turn) {
    const size_t n = engine_positions(w->engine);
    float *by_position = array_new(POSITION_FIGURES * n, sizeof *by_position);
    if (by_position && !engine_by_position(w->engine, by_position)) {
        free(by_position);
        by_position = NULL;
    }
    pthread_mutex_lock(&w->lock);
    const bool late = w->findings.accuracy_turn > turn;
    if (late)
        free(by_position);
    else
        put_positions_locked(w, by_position, n);
    pthread_mutex_unlock(&w->lock);
}

// After the first figure the job steps back for the decode sample, so that both show something soon.
static void accuracy_partial(void *context, const Accuracy *so_far) {
    Worker *k = context;
    take_accuracy(k->w, k->turn, so_far, false);
    if (!k->begun) progress_request_stop(&k->w->jobs[JOB_ACCURACY].progress);
    k->begun = true;
}

static void accuracy_job(Worker *k) {
    Workbench *w = k->w;
    Error err = {0};
    Accuracy accuracy;
    if (!job_begin(k, JOB_ACCURACY)) return;
    if (!w->keeping.recalled) { // what is known of this model need not be computed
        trials_recall(w);
        error_stopped(&err);
        job_end(k, JOB_ACCURACY, false, &err);
        return;
    }
    const EvaluatorWork before = engine_evaluation_work(w->engine);
    bool ok = engine_evaluate(w->engine, k->first_changed, accuracy_partial, k, &accuracy,
                              &w->jobs[JOB_ACCURACY].progress, &err);
    study_pace(w, &before, clock_seconds() - w->jobs[JOB_ACCURACY].started);
    if (ok || err.stopped) k->first_changed = engine_structure(w->engine)->config.layers;
    if (ok) {
        take_positions(w, k->turn);
        take_accuracy(w, k->turn, &accuracy, true);
        k->scored = k->turn;
    }
    job_end(k, JOB_ACCURACY, ok, &err);
}

typedef struct DecodeContext {
    Worker *worker;
    DecodeText *target;
    uint64_t turn;     // of the quantized text; 0: the base's, or that of a row
    bool accuracy_due; // nothing is scored in this turn yet
    size_t *ends;      // as in DecodeText
    size_t count, capacity;
} DecodeContext;

// A text of the same model that is written again from its beginning is the same: the longer one stays.
static bool is_there_locked(const DecodeContext *c, const Generated *g, bool finished) {
    const bool same = !c->turn || c->worker->w->findings.decode_turn == c->turn;
    return same && !finished && c->target->known && c->target->count > g->count;
}

// Where each token ends: what is said without those that follow it. A token that only begins a character may have said
// something else then.
static bool find_ends(DecodeContext *c, const Generated *g, Text *text) {
    Workbench *w = c->worker->w;
    bool ok = true;
    const bool whole = c->count < g->count; // the last of them is the whole text
    for (; ok && c->count < g->count; c->count += ok) {
        Generated part = *g;
        part.count = c->count + 1;
        text_clear(text);
        ok = array_grow(&c->ends, c->count, &c->capacity, sizeof *c->ends) &&
             engine_generated_text(w->engine, &part, text, NULL);
        if (ok) c->ends[c->count] = text->length;
    }
    if (ok && !whole) {
        text_clear(text);
        ok = engine_generated_text(w->engine, g, text, NULL);
    }
    for (size_t i = g->count; ok && i > 0; i--) {
        const size_t most = i < g->count ? c->ends[i] : text->length;
        if (c->ends[i - 1] > most) c->ends[i - 1] = most;
    }
    return ok;
}

static void publish_text(DecodeContext *c, const Generated *g, bool finished) {
    Workbench *w = c->worker->w;
    Text text = {0};
    if (!find_ends(c, g, &text)) {
        text_free(&text);
        return;
    }
    // From here on a NUL would end the text; the screen shows all control characters alike.
    for (size_t i = 0; i < text.length; i++) text.data[i] = text.data[i] ? text.data[i] : 1;
    DecodeText now = {.known = true,
                      .finished = finished,
                      .text = text.data,
                      .ids = g->ids,
                      .probabilities = g->probabilities,
                      .ends = c->ends,
                      .count = g->count};
    pthread_mutex_lock(&w->lock);
    const bool late = c->turn && w->findings.decode_turn > c->turn;
    if (!is_there_locked(c, g, finished) && !late) decode_text_copy(&now, c->target);
    if (c->turn && !late) w->findings.decode_turn = c->turn;
    pthread_mutex_unlock(&w->lock);
    text_free(&text);
    signal_screen(w);
}

// Once the text of a turn has begun, the first accuracy figure goes before the rest of it.
static void decode_token(void *context, const Generated *so_far) {
    DecodeContext *c = context;
    Worker *k = c->worker;
    publish_text(c, so_far, false);
    if (c->turn && c->accuracy_due && !k->begun) {
        c->accuracy_due = false;
        accuracy_job(k);
    }
}

static bool accuracy_is_due(const Worker *k) {
    Workbench *w = k->w;
    pthread_mutex_lock(&w->lock);
    bool held = w->jobs[JOB_ACCURACY].held;
    pthread_mutex_unlock(&w->lock);
    return !held && k->scored != k->turn && !k->begun;
}

static bool decode_quantized(Worker *k, const TokenIds *prompt, Error *err) {
    Workbench *w = k->w;
    DecodeContext context = {
        .worker = k, .target = &w->findings.quantized, .turn = k->turn, .accuracy_due = accuracy_is_due(k)};
    const Sampling greedy = {.temperature = 0, .top_p = 1};
    Generated g = {0};
    bool ok = generate(engine_quantized(w->engine), prompt->ids, prompt->count, k->most_tokens, &greedy, decode_token,
                       &context, &g, &w->jobs[JOB_DECODE].progress, err);
    if (ok) {
        publish_text(&context, &g, true);
        k->generated = k->turn;
        k->quantized_prompt = k->prompt_turn;
    }
    free(context.ends);
    generated_free(&g);
    return ok;
}

static bool decode_base(Worker *k, const TokenIds *prompt, Error *err) {
    Workbench *w = k->w;
    DecodeContext context = {.worker = k, .target = &w->findings.base};
    Generated g = {0};
    bool ok = engine_base_text(w->engine, prompt, k->most_tokens, decode_token, &context, &g,
                               &w->jobs[JOB_DECODE].progress, err);
    if (ok) {
        publish_text(&context, &g, true);
        k->base_prompt = k->prompt_turn;
    }
    free(context.ends);
    generated_free(&g);
    return ok;
}

// Where the text goes that is wanted; NULL: none is any more.
static RowText *choose_row_text(Worker *k) {
    Workbench *w = k->w;
    RowText *out = NULL;
    pthread_mutex_lock(&w->lock);
    const int at = wanted_row_text(w);
    if (at >= 0 && plan_copy(&w->row_texts[at].plan, &k->row)) {
        out = &w->findings.row_texts[at];
        decode_text_free(&out->text);
        out->model = w->row_texts[at].model;
        out->prompt_turn = k->prompt_turn;
        out->asked = k->most_tokens;
    }
    pthread_mutex_unlock(&w->lock);
    return out;
}

static void row_text_is_done(Workbench *w, uint64_t model) {
    pthread_mutex_lock(&w->lock);
    for (int i = 0; i < ROW_TEXTS; i++) {
        if (w->row_texts[i].model == model) w->row_texts[i].wanted = false;
    }
    pthread_mutex_unlock(&w->lock);
}

// Of a row of the trials; the quantized model follows the plan of the turn again before a job needs that.
static bool decode_row(Worker *k, const TokenIds *prompt, Error *err) {
    Workbench *w = k->w;
    Progress *progress = &w->jobs[JOB_DECODE].progress;
    RowText *row = choose_row_text(k);
    if (!row) return true;
    const uint64_t model = row->model;
    DecodeContext context = {.worker = k, .target = &row->text};
    const Sampling greedy = {.temperature = 0, .top_p = 1};
    Generated g = {0};
    int first = 0;
    k->astray = true;
    k->first_changed = 0;
    const bool ok = engine_follow(w->engine, &k->row, &first, progress, err) &&
                    generate(engine_quantized(w->engine), prompt->ids, prompt->count, k->most_tokens, &greedy,
                             decode_token, &context, &g, progress, err);
    if (ok) publish_text(&context, &g, true);
    if (ok) row_text_is_done(w, model);
    free(context.ends);
    generated_free(&g);
    return ok;
}

static bool wants_quantized_text(const Worker *k) { return k->followed == k->turn && !has_quantized_text(k); }

// One text: the quantized model's is what a turn changes, then the base's, then those of rows.
static void decode_job(Worker *k) {
    Error err = {0};
    TokenIds prompt = {0};
    if (!job_begin(k, JOB_DECODE)) return;
    bool ok = engine_prompt(k->w->engine, k->prompt, &prompt, &err) &&
              (wants_quantized_text(k)            ? decode_quantized
               : k->base_prompt != k->prompt_turn ? decode_base
                                                  : decode_row)(k, &prompt, &err);
    token_ids_free(&prompt);
    job_end(k, JOB_DECODE, ok, &err);
}

// Whether the linear that the user looks at still has to be explained. Where no token reached its input there is
// nothing to explain.
static bool must_explain(const Worker *k) {
    const Engine *engine = k->w->engine;
    const int linear = k->w->looked_at;
    if (linear < 0 || !k->plan.decisions || !k->plan.decisions[linear].quantized) return false;
    if (k->explained == k->turn && k->explained_linear == linear && k->explained_recipe == k->w->presents &&
        k->explained_tokens == engine_calibration_tokens(engine))
        return false;
    return engine_stats(engine)->inputs[engine_structure(engine)->linears[linear].input].sample_rows > 0;
}

static void tell_why(Worker *k, int linear, const Why *why, const Remedies *remedies) {
    Workbench *w = k->w;
    pthread_mutex_lock(&w->lock);
    w->findings.why = *why;
    w->findings.remedies = *remedies;
    w->findings.why_turn = k->turn;
    w->findings.why_linear = linear;
    pthread_mutex_unlock(&w->lock);
    signal_screen(w);
}

// Another turn, or another linear, goes before what is left.
static bool still_looks(const Worker *k, int linear) {
    Workbench *w = k->w;
    pthread_mutex_lock(&w->lock);
    const bool looks = k->turn == w->turn && w->looked_at == linear;
    pthread_mutex_unlock(&w->lock);
    return looks;
}

// out->known: all kinds were tried.
static bool find_remedies(Worker *k, const Recipe *recipe, int linear, const Why *why, Remedies *out, Error *err) {
    *out = (Remedies){.db = why_db(why)};
    int kind = out->db < REMEDY_ENOUGH ? 0 : REMEDY_COUNT;
    for (; kind < REMEDY_COUNT && still_looks(k, linear); kind++)
        if (!engine_try_remedy(k->w->engine, recipe, &k->plan, linear, (RemedyKind)kind, out, err)) return false;
    out->known = kind == REMEDY_COUNT;
    return true;
}

static bool explain(Worker *k, int linear, const Recipe *recipe, uint64_t presents, Error *err) {
    const Engine *engine = k->w->engine;
    Why why;
    Remedies remedies = {0};
    if (!engine_why(engine, &k->plan, linear, &why, err)) return false;
    tell_why(k, linear, &why, &remedies);
    if (!find_remedies(k, recipe, linear, &why, &remedies, err)) return false;
    if (!remedies.known) return true;
    tell_why(k, linear, &why, &remedies);
    k->explained = k->turn;
    k->explained_linear = linear;
    k->explained_recipe = presents;
    k->explained_tokens = engine_calibration_tokens(engine);
    return true;
}

// Another linear may be looked at before it is done.
static bool explain_linear(Worker *k, Error *err) {
    Workbench *w = k->w;
    Recipe recipe = {0};
    pthread_mutex_lock(&w->lock);
    const int linear = must_explain(k) ? w->looked_at : -1;
    const uint64_t presents = w->presents;
    bool ok = linear < 0 || recipe_copy(&w->present, &recipe, err);
    pthread_mutex_unlock(&w->lock);
    if (linear >= 0) ok = ok && explain(k, linear, &recipe, presents, err);
    recipe_free(&recipe);
    return ok;
}

static bool must_measure_errors(const Worker *k) {
    return k->measured != k->turn || k->measured_tokens != engine_calibration_tokens(k->w->engine);
}

// shares [linear_count]: room. They are the same for every recipe.
static bool find_shares(Worker *k, double *shares, Error *err) {
    Workbench *w = k->w;
    const uint64_t tokens = engine_calibration_tokens(w->engine);
    if (k->shares_tokens == tokens) return true;
    if (!engine_stream_shares(w->engine, shares, &w->jobs[JOB_ERRORS].progress, err)) return false;
    pthread_mutex_lock(&w->lock);
    memcpy(w->findings.stream_shares, shares, (size_t)engine_structure(w->engine)->linear_count * sizeof *shares);
    pthread_mutex_unlock(&w->lock);
    signal_screen(w);
    k->shares_tokens = tokens;
    return true;
}

// db [2, linear_count]: of the outputs, and when only inputs are rounded.
static bool measure_errors(Worker *k, double *db, Error *err) {
    if (!must_measure_errors(k)) return true;
    Workbench *w = k->w;
    const size_t linears = (size_t)engine_structure(w->engine)->linear_count;
    const bool ok = db ? find_shares(k, db, err) && engine_output_sqnr(w->engine, &k->plan, db, db + linears,
                                                                       &w->jobs[JOB_ERRORS].progress, err)
                       : error_memory(err, "errors");
    if (ok) {
        pthread_mutex_lock(&w->lock);
        memcpy(w->findings.output_sqnr_db, db, linears * sizeof *db);
        memcpy(w->findings.input_sqnr_db, db + linears, linears * sizeof *db);
        w->findings.sqnr_turn = k->turn;
        pthread_mutex_unlock(&w->lock);
        k->measured = k->turn;
        k->measured_tokens = engine_calibration_tokens(w->engine);
    }
    return ok;
}

// The linear that is looked at first, then all.
static void errors_job(Worker *k) {
    Workbench *w = k->w;
    Error err = {0};
    if (!job_begin(k, JOB_ERRORS)) return;
    double *db = malloc(2 * (size_t)engine_structure(w->engine)->linear_count * sizeof *db);
    bool ok = explain_linear(k, &err);
    pthread_mutex_lock(&w->lock);
    const bool more = must_explain(k);
    pthread_mutex_unlock(&w->lock);
    if (!more) ok = ok && measure_errors(k, db, &err);
    free(db);
    job_end(k, JOB_ERRORS, ok, &err);
}

static void take_speed(Workbench *w, uint64_t turn, const DecodeSpeed *speed, bool finished) {
    pthread_mutex_lock(&w->lock);
    if (w->findings.speed_turn <= turn) {
        w->findings.speed = *speed;
        w->findings.speed_turn = turn;
        w->findings.speed_finished = finished;
        w->findings.speed_remembered = false;
    }
    pthread_mutex_unlock(&w->lock);
    signal_screen(w);
}

// The first pair shows something soon; then the job steps back until nobody waits for anything else.
static void speed_partial(void *context, const DecodeSpeed *so_far) {
    Worker *k = context;
    take_speed(k->w, k->turn, so_far, false);
    if (!k->glimpsed) progress_request_stop(&k->w->jobs[JOB_SPEED].progress);
    k->glimpsed = true;
}

static void speed_job(Worker *k) {
    Workbench *w = k->w;
    Error err = {0};
    DecodeSpeed speed;
    if (!job_begin(k, JOB_SPEED)) return;
    bool ok = engine_speed(w->engine, SPEED_SECONDS, speed_partial, k, &speed, &w->jobs[JOB_SPEED].progress, &err);
    if (ok) {
        take_speed(w, k->turn, &speed, true);
        k->timed = k->turn;
    }
    job_end(k, JOB_SPEED, ok, &err);
}

// ---- exports ------------------------------------------------------------------------------------------------------

static bool wants_forecast(const Worker *k) {
    const Workbench *w = k->w;
    const bool there = w->findings.forecast_turn == k->turn && w->findings.forecast_asked == w->forecast.asked;
    return w->forecast.folder && !w->jobs[JOB_FORECAST].held && !there;
}

static void forecast_job(Worker *k) {
    Workbench *w = k->w;
    Error err = {0};
    ForecastView view;
    pthread_mutex_lock(&w->lock);
    const ExportOptions options = {.format = w->forecast.format,
                                   .folder = w->forecast.folder ? strdup(w->forecast.folder) : NULL,
                                   .odd_bits = w->odd_bits};
    k->forecast_asked = w->forecast.asked;
    pthread_mutex_unlock(&w->lock);
    if (options.folder && job_begin(k, JOB_FORECAST)) {
        forecast_make(w, &k->plan, &options, &view);
        pthread_mutex_lock(&w->lock);
        w->findings.forecast = view;
        w->findings.forecast_turn = k->turn;
        w->findings.forecast_asked = k->forecast_asked;
        pthread_mutex_unlock(&w->lock);
        job_end(k, JOB_FORECAST, true, &err);
    }
    free((char *)options.folder);
}

// ---- studies ------------------------------------------------------------------------------------------------------

static void study_job(Worker *k, JobKind kind) {
    Workbench *w = k->w;
    Error err = {0};
    if (!job_begin(k, kind)) return;
    if (kind != JOB_CHOICES && kind != JOB_SPEEDS) {
        k->astray = true;
        k->first_changed = 0;
    }
    const bool ok = study_run(w, kind, &k->plan, k->turn, &err);
    job_end(k, kind, ok, &err);
}

static void choices_job(Worker *k) { study_job(k, JOB_CHOICES); }
static void speeds_job(Worker *k) { study_job(k, JOB_SPEEDS); }
static void pin_job(Worker *k) { study_job(k, JOB_PIN); }
static void sweep_job(Worker *k) { study_job(k, JOB_SWEEP); }
static void tune_job(Worker *k) { study_job(k, JOB_TUNE); }

static bool wants_kept(const Worker *k) { return !k->w->jobs[JOB_SENSITIVITY].held && study_wants_kept_locked(k->w); }

// What is read from the disk needs no model that follows.
static void sensitivity_job(Worker *k) {
    Workbench *w = k->w;
    Error err = {0};
    pthread_mutex_lock(&w->lock);
    const bool kept = wants_kept(k);
    pthread_mutex_unlock(&w->lock);
    if (!kept) {
        study_job(k, JOB_SENSITIVITY);
        return;
    }
    if (!job_begin(k, JOB_SENSITIVITY)) return;
    const bool ok = study_recall(w, &k->plan, k->turn, &err);
    job_end(k, JOB_SENSITIVITY, ok, &err);
}

static bool wants_study(const Worker *k, JobKind kind) {
    return !k->w->jobs[kind].held && study_wanted_locked(k->w, kind);
}

// ---- sharing with an export ---------------------------------------------------------------------------------------

// In the midst of what takes long, an export gets as much time as passed since it had some last. Before the first
// figure of a turn it does not.
#define SHARE_SECONDS 0.2
#define SHARE_SECONDS_MOST 1.0
static void share_time(void *context) {
    Worker *k = context;
    if (k->job == JOB_SENSITIVITY || k->job == JOB_SWEEP) {
        pthread_mutex_lock(&k->w->lock);
        study_put_off_locked(k->w, k->job);
        pthread_mutex_unlock(&k->w->lock);
    }
    const double took = clock_seconds() - k->shared;
    if (took < SHARE_SECONDS || accuracy_is_due(k)) return;
    exporter_let(k->w, took < SHARE_SECONDS_MOST ? took : SHARE_SECONDS_MOST);
    k->shared = clock_seconds();
}

// Whether fewer than so many tokens (or all there are) were run.
static bool wants_calibration(const Worker *k, uint64_t tokens) {
    const Engine *engine = k->w->engine;
    return !k->w->jobs[JOB_CALIBRATE].held && !engine_calibrated(engine) && engine_calibration_tokens(engine) < tokens;
}

static bool wants_errors(const Worker *k) {
    return !k->w->jobs[JOB_ERRORS].held && (must_measure_errors(k) || must_explain(k));
}

// What takes long, once everything has shown something.
static JobKind next_long_job(const Worker *k) {
    const Workbench *w = k->w;
    const Job *jobs = w->jobs;
    if (w->wants_ranges && wants_calibration(k, ENOUGH_TOKENS)) return JOB_CALIBRATE;
    if (!jobs[JOB_ACCURACY].held && k->scored != k->turn) return JOB_ACCURACY;
    if (!jobs[JOB_SPEED].held && k->timed != k->turn) return JOB_SPEED;
    if (wants_study(k, JOB_SPEEDS)) return JOB_SPEEDS;
    if (!jobs[JOB_DECODE].held && wanted_row_text(w) >= 0) return JOB_DECODE;
    return wants_calibration(k, UINT64_MAX) ? JOB_CALIBRATE : study_next_locked(w, JOB_COUNT);
}

// The next thing to do for the newest turn, in the order in which it is looked at: the plan, the text, a first figure,
// the figures of linears, the rest. Nothing waits for a calibration that its plan does not need. JOB_COUNT when all is
// done.
static JobKind next_job(const Worker *k) {
    const Workbench *w = k->w;
    const Job *jobs = w->jobs;
    const bool writes = !jobs[JOB_DECODE].held;
    if (!jobs[JOB_WEIGHTS].held && !engine_measured(w->engine)) return JOB_WEIGHTS;
    if (wants_forecast(k)) return JOB_FORECAST;
    if (wants_study(k, JOB_CHOICES)) return JOB_CHOICES;
    if (!engine_can_run(w->engine, NULL)) return JOB_COUNT;
    if (w->wants_ranges && wants_calibration(k, 1)) return JOB_CALIBRATE;
    if (w->findings.weights || w->findings.inputs) return JOB_COUNT; // a plan by them is about to come
    if (w->keeping.data) return JOB_COUNT;                           // and what is known of it
    if (!jobs[JOB_QUANTIZE].held && k->followed != k->turn) return JOB_QUANTIZE;
    const bool quantized = k->followed == k->turn;
    if (quantized && !jobs[JOB_ACCURACY].held && !w->keeping.recalled) return JOB_ACCURACY;
    if (writes && wants_quantized_text(k)) return JOB_DECODE;
    if (quantized && !jobs[JOB_ACCURACY].held && k->scored != k->turn && !k->begun) return JOB_ACCURACY;
    if (writes && k->base_prompt != k->prompt_turn) return JOB_DECODE;
    if (wants_calibration(k, quantized ? 1 : UINT64_MAX)) return JOB_CALIBRATE;
    if (!quantized) return JOB_COUNT;
    if (engine_calibrated(w->engine) && wants_kept(k)) return JOB_SENSITIVITY;
    if (wants_errors(k)) return JOB_ERRORS;
    if (!jobs[JOB_SPEED].held && !k->glimpsed) return JOB_SPEED;
    return next_long_job(k);
}

// The same, but first of all the quantized model follows the plan of the turn again where a job needs it.
static JobKind next_possible_job(const Worker *k) {
    const JobKind job = next_job(k);
    const bool needs = job == JOB_ACCURACY || job == JOB_SPEED || job == JOB_SPEEDS ||
                       (job == JOB_DECODE && wants_quantized_text(k)) || (job == JOB_ERRORS && must_measure_errors(k));
    if (!needs || !k->astray) return job;
    return k->w->jobs[JOB_QUANTIZE].held ? JOB_COUNT : JOB_QUANTIZE;
}

static void take_known_locked(Worker *k) {
    const Workbench *w = k->w;
    if (w->known.turn != k->turn) return;
    k->begun = true;
    k->scored = k->turn;
    if (w->known.speed) {
        k->glimpsed = true;
        k->timed = k->turn;
    }
    if (w->known.text && w->known.prompt_turn == k->prompt_turn) {
        k->generated = k->turn;
        k->quantized_prompt = k->prompt_turn;
    }
}

// Takes the newest wishes over; waits while there is nothing to do. JOB_COUNT: the workbench closes.
static JobKind wait_for_job(Worker *k) {
    Workbench *w = k->w;
    JobKind job = JOB_COUNT;
    pthread_mutex_lock(&w->lock);
    while (!atomic_load(&w->quit)) {
        if (k->turn != w->turn && plan_copy(&w->wanted, &k->plan)) {
            k->turn = w->turn;
            k->begun = k->glimpsed = false;
        }
        if (k->prompt_turn != w->prompt_turn) {
            char *prompt = strdup(w->prompt);
            if (prompt) {
                free(k->prompt);
                k->prompt = prompt;
                k->most_tokens = w->most_tokens;
                k->prompt_turn = w->prompt_turn;
            }
        }
        take_known_locked(k);
        if (w->keeping.file.length) {
            pthread_mutex_unlock(&w->lock);
            trials_write(w);
            pthread_mutex_lock(&w->lock);
            continue;
        }
        job = is_newest_locked(k, JOB_DECODE) ? next_possible_job(k)
                                              : JOB_COUNT; // not so only when memory was short: wait for the next wish
        if (job != JOB_COUNT) break;
        exporter_open_locked(w, true);
        pthread_cond_wait(&w->wake, &w->lock);
    }
    exporter_open_locked(w, false);
    pthread_mutex_unlock(&w->lock);
    return atomic_load(&w->quit) ? JOB_COUNT : job;
}

static const struct {
    const char *name;
    void (*run)(Worker *k);
} job_table[] = {
    [JOB_WEIGHTS] = {"weights", weights_job},
    [JOB_CALIBRATE] = {"calibrate", calibrate_job},
    [JOB_QUANTIZE] = {"quantize", follow_job},
    [JOB_ACCURACY] = {"accuracy", accuracy_job},
    [JOB_DECODE] = {"decode", decode_job},
    [JOB_ERRORS] = {"errors", errors_job},
    [JOB_SPEED] = {"speed", speed_job},
    [JOB_FORECAST] = {"estimate", forecast_job},
    [JOB_CHOICES] = {"choices", choices_job},
    [JOB_SPEEDS] = {"speeds", speeds_job},
    [JOB_PIN] = {"pin", pin_job},
    [JOB_SWEEP] = {"sweep", sweep_job},
    [JOB_TUNE] = {"tune", tune_job},
    [JOB_SENSITIVITY] = {"sensitivity", sensitivity_job},
    [JOB_EXPORT] = {"convert", NULL}, // has a thread of its own
};
static_assert(sizeof job_table / sizeof *job_table == JOB_COUNT, "a job has no row");

const char *job_name(JobKind kind) { return job_table[kind].name; }

void *worker_run(void *argument) {
    Workbench *w = argument;
    Worker k = {.w = w};
    static const JobKind share[] = {JOB_WEIGHTS, JOB_CALIBRATE, JOB_ACCURACY, JOB_ERRORS,
                                    JOB_PIN,     JOB_SWEEP,     JOB_TUNE,     JOB_SENSITIVITY};
    for (size_t i = 0; i < sizeof share / sizeof *share; i++) {
        w->jobs[share[i]].progress.pause = share_time;
        w->jobs[share[i]].progress.pause_context = &k;
    }
    for (JobKind job; (job = wait_for_job(&k)) != JOB_COUNT;) {
        k.job = JOB_COUNT;
        share_time(&k);
        k.job = job;
        if (job != JOB_SPEED && job != JOB_SPEEDS) exporter_let_pass(w); // what is timed is timed alone
        k.shared = clock_seconds();
        job_table[job].run(&k);
    }
    plan_free(&k.plan);
    plan_free(&k.row);
    free(k.prompt);
    return NULL;
}
