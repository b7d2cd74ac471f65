// Exports: what is known of them before, and the thread that writes.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "workbench/workbench_parts.h"

// ---- before the first byte ----------------------------------------------------------------------------------------

static void ask_forecast_locked(Workbench *w) {
    w->forecast.asked++;
    if (w->forecast.folder && w->jobs[JOB_FORECAST].state == JOB_DONE) w->jobs[JOB_FORECAST].state = JOB_WAITING;
    wish_wakes_locked(w);
}

void workbench_allow_odd_bits(Workbench *w, bool allow) {
    if (w->odd_bits == allow) return;
    pthread_mutex_lock(&w->lock);
    w->odd_bits = allow;
    ask_forecast_locked(w);
    pthread_mutex_unlock(&w->lock);
    memset(w->verdict_plans, 0, sizeof w->verdict_plans);
    memset(w->standings, 0, sizeof w->standings);
}

const Verdict *workbench_verdict(Workbench *w, ExportFormat format) {
    Verdict *verdict = &w->verdicts[format];
    if (w->verdict_plans[format] == w->plans) return verdict;
    const VerdictWish wish = {format, targets_of_format(format), w->odd_bits};
    verdict_free(verdict);
    w->verdict_plans[format] = 0;
    if (!verdict_make(engine_structure(w->engine), &w->measured, &w->plan, &wish, verdict, NULL)) return NULL;
    w->verdict_plans[format] = w->plans;
    return verdict;
}

const Verdict *workbench_verdict_of(Workbench *w, ExportFormat format, Target target) {
    const VerdictWish wish = {format, 1U << target, w->odd_bits};
    Verdict *verdict = &w->verdict_of.verdict;
    if (w->verdict_of.plan == w->plans && verdict_wish_equal(&w->verdict_of.wish, &wish)) return verdict;
    verdict_free(verdict);
    w->verdict_of.wish = wish;
    w->verdict_of.plan = 0;
    if (!verdict_make(engine_structure(w->engine), &w->measured, &w->plan, &wish, verdict, NULL)) return NULL;
    w->verdict_of.plan = w->plans;
    return verdict;
}

static void find_standing(Workbench *w, ExportFormat format, Target target) {
    const VerdictWish wish = {format, 1U << target, w->odd_bits};
    verdict_standing(history_now(&w->history), engine_structure(w->engine), &w->measured, &w->plan, &wish,
                     &w->standings[format][target].standing, NULL);
    w->standings[format][target].plan = w->plans;
}

// Of thousands of linears each takes a while: the rest comes with the next look, which is asked for.
void workbench_standings(Workbench *w, Standing out[EXPORT_FORMAT_COUNT][TARGET_COUNT]) {
    const double end = clock_seconds() + 0.004;
    bool late = false;
    for (ExportFormat format = 0; format < EXPORT_FORMAT_COUNT; format++)
        for (Target target = 0; target < TARGET_COUNT; target++) {
            if (!late && w->standings[format][target].plan != w->plans) {
                find_standing(w, format, target);
                late = clock_seconds() >= end;
            }
            const bool known = w->standings[format][target].plan == w->plans;
            out[format][target] = known ? w->standings[format][target].standing : STANDING_COUNT;
        }
    if (late) signal_screen(w);
}

bool workbench_fix(const Workbench *w, ExportFormat format, Targets targets, VerdictFix *out, Error *err) {
    const VerdictWish wish = {format, targets, w->odd_bits};
    return verdict_fix(history_now(&w->history), engine_structure(w->engine), &w->measured, &wish, out, err);
}

bool workbench_keep(const Workbench *w, const VerdictWish *wish, Recipe *recipe, Error *err) {
    const Engines engines = engines_of(wish);
    Plan plan;
    const bool ok = verdict_keep(engine_structure(w->engine), &w->measured, &engines, recipe, &plan, NULL, err);
    plan_free(&plan);
    return ok;
}

void workbench_look_at_export(Workbench *w, ExportFormat format, const char *folder) {
    const char *old = w->forecast.folder; // only the screen's thread writes it
    if (folder ? old && strcmp(old, folder) == 0 && w->forecast.format == format : !old) return;
    char *copy = folder ? strdup(folder) : NULL;
    pthread_mutex_lock(&w->lock);
    free(w->forecast.folder);
    w->forecast.folder = copy;
    w->forecast.format = format;
    w->forecast.asked++;
    Job *job = &w->jobs[JOB_FORECAST];
    if (job->state != JOB_RUNNING) job->state = copy ? JOB_WAITING : JOB_DONE;
    job->held = false;
    const JobKind yield[] = {JOB_CALIBRATE, JOB_ACCURACY, JOB_SPEED}; // what takes long goes on later
    for (size_t i = 0; copy && i < sizeof yield / sizeof *yield; i++)
        progress_request_stop(&w->jobs[yield[i]].progress);
    wish_wakes_locked(w);
    pthread_mutex_unlock(&w->lock);
}

void workbench_forecast(const Workbench *w, ForecastView *out) {
    Workbench *shared = (Workbench *)w; // the lock is no part of what the caller sees
    pthread_mutex_lock(&shared->lock);
    *out = w->findings.forecast;
    out->known =
        w->forecast.folder && w->findings.forecast_turn == w->turn && w->findings.forecast_asked == w->forecast.asked;
    pthread_mutex_unlock(&shared->lock);
}

void forecast_make(const Workbench *w, const Plan *plan, const ExportOptions *options, ForecastView *out) {
    const ExportModel model = {
        .structure = engine_structure(w->engine), .measured = &engine_stats(w->engine)->measured, .plan = plan};
    Error err = {0};
    *out = (ForecastView){0};
    out->refused = !export_forecast(&model, options, &out->forecast, &err);
    if (out->refused) snprintf(out->message, sizeof out->message, "%s", err.message);
}

// ---- the gate -----------------------------------------------------------------------------------------------------

void exporter_open_locked(Workbench *w, bool open) {
    if (open && !w->exporter.open) pthread_cond_broadcast(&w->exporter.changed);
    w->exporter.open = open;
}

void exporter_let_pass(Workbench *w) {
    pthread_mutex_lock(&w->lock);
    w->exporter.pass = true;
    pthread_cond_broadcast(&w->exporter.changed);
    pthread_mutex_unlock(&w->lock);
}

void exporter_let(Workbench *w, double seconds) {
    const double end = clock_seconds() + seconds;
    pthread_mutex_lock(&w->lock);
    const uint64_t wishes = w->wishes;
    exporter_open_locked(w, true);
    for (double left; w->exporter.runs && w->wishes == wishes && (left = end - clock_seconds()) > 0;)
        wait_locked(w, &w->wake, left);
    exporter_open_locked(w, false);
    pthread_mutex_unlock(&w->lock);
}

void exporter_stop_locked(Workbench *w) { pthread_cond_broadcast(&w->exporter.changed); }

// The accuracy of the model that is written may become known on the way: it is for the model card, which comes last.
static void take_accuracy_locked(Workbench *w) {
    Exporter *e = &w->exporter;
    const Findings *f = &w->findings;
    if (e->model.accuracy || !e->turn || !f->accuracy_finished || f->accuracy_turn != e->turn) return;
    e->accuracy = engine_export_accuracy(w->engine, &f->accuracy);
    e->model.accuracy = &e->accuracy;
}

static bool may_go_on(const Workbench *w) {
    const Exporter *e = &w->exporter;
    return e->open || e->pass || atomic_load(&w->jobs[JOB_EXPORT].progress.stop) || atomic_load(&w->quit);
}

// Between two steps. The thread that puts bytes on the disk passes here, too, and takes no part in it.
static void wait_at_gate(void *context) {
    Workbench *w = context;
    Exporter *e = &w->exporter;
    Job *job = &w->jobs[JOB_EXPORT];
    pthread_mutex_lock(&w->lock);
    const char *phase = atomic_load(&job->progress.what);
    if (pthread_equal(e->self, pthread_self())) {
        if (phase != e->phase) job->started = clock_seconds(); // each has a speed of its own
        e->phase = phase;
        while (!may_go_on(w)) pthread_cond_wait(&e->changed, &w->lock);
        e->pass = false;
        take_accuracy_locked(w);
    }
    pthread_mutex_unlock(&w->lock);
}

// ---- the thread ---------------------------------------------------------------------------------------------------

static void export_ends(Workbench *w, bool ok, const ExportResult *result, const Error *err) {
    Exporter *e = &w->exporter;
    Job *job = &w->jobs[JOB_EXPORT];
    pthread_mutex_lock(&w->lock);
    e->runs = false;
    e->result = *result;
    job->ended = clock_seconds();
    job->state = ok ? JOB_DONE : err->stopped ? JOB_STOPPED : JOB_FAILED;
    snprintf(job->message, sizeof job->message, "%s", ok || err->stopped ? "" : err->message);
    ask_forecast_locked(w); // the folder and the disk are others now
    pthread_mutex_unlock(&w->lock);
    log_line("the export ends: %s", ok ? "done" : err->stopped ? "stopped" : err->message);
    signal_screen(w);
}

static void *export_thread(void *argument) {
    Workbench *w = argument;
    Exporter *e = &w->exporter;
    Progress *progress = &w->jobs[JOB_EXPORT].progress;
    ExportResult result;
    Error err = {0};
    pthread_mutex_lock(&w->lock);
    e->self = pthread_self();
    pthread_mutex_unlock(&w->lock);
    wait_at_gate(w);
    const VerdictWish wish = {e->options.format, targets_of_format(e->options.format), e->options.odd_bits};
    const bool ok = export_run(&e->model, &e->options, &result, progress, &err);
    if (ok) verdict_make(e->model.structure, &e->measured, &e->plan, &wish, &e->verdict, NULL);
    export_ends(w, ok, &result, &err);
    return NULL;
}

// ---- the screen's side --------------------------------------------------------------------------------------------

static void join_thread(Workbench *w) {
    if (w->exporter.thread_there) pthread_join(w->exporter.thread, NULL);
    w->exporter.thread_there = false;
}

static void forget_measured(Exporter *e) {
    verdict_free(&e->verdict);
    plan_free(&e->plan);
    free(e->measured.weights);
    input_set_release(e->inputs);
    e->measured = (Measured){0};
    e->inputs = NULL;
}

static void forget_export(Exporter *e) {
    forget_measured(e);
    recipe_free(&e->recipe);
    free((char *)e->options.folder);
    e->options = (ExportOptions){0};
    e->asked = false;
}

void exporter_close(Workbench *w) {
    pthread_mutex_lock(&w->lock);
    exporter_stop_locked(w);
    pthread_mutex_unlock(&w->lock);
    join_thread(w);
    forget_export(&w->exporter);
}

// What was measured so far, kept as it is.
static bool keep_measured(const Workbench *w, Exporter *e) {
    const size_t linears = (size_t)w->measured.linear_count;
    WeightMeasure *weights = array_new(linears + 1, sizeof *weights);
    if (!weights) return false;
    memcpy(weights, w->measured.weights, linears * sizeof *weights);
    e->measured = w->measured;
    e->measured.weights = weights;
    e->inputs = input_set_keep(w->inputs);
    return true;
}

static bool start_writing(Workbench *w, Error *err) {
    Exporter *e = &w->exporter;
    const ModelStructure *structure = engine_structure(w->engine);
    forget_measured(e);
    if (!keep_measured(w, e)) return error_memory(err, "the export");
    if (!plan_make(&e->recipe, structure, &e->measured, &e->plan, err)) return false;
    e->model = (ExportModel){.structure = structure, .measured = &e->measured, .recipe = &e->recipe, .plan = &e->plan};
    e->turn = plan_hash(&e->plan) == plan_hash(&w->plan) ? w->turn : 0;
    Job *job = &w->jobs[JOB_EXPORT];
    pthread_mutex_lock(&w->lock);
    e->phase = NULL;
    e->runs = true;
    job->state = JOB_RUNNING;
    job->started = clock_seconds();
    atomic_store(&job->progress.what, NULL);
    atomic_store(&job->progress.total, 0);
    job->progress.pause = wait_at_gate;
    job->progress.pause_context = w;
    pthread_cond_signal(&w->wake); // so that an idle worker opens the gate
    pthread_mutex_unlock(&w->lock);
    e->thread_there = thread_start(&e->thread, export_thread, w, err);
    return e->thread_there;
}

// What the recipe asks for and is not all measured; JOB_COUNT: nothing.
static JobKind missing(const Workbench *w) {
    const Recipe *recipe = &w->exporter.recipe;
    const InputSet *inputs = w->inputs;
    const bool calibrated = inputs->tokens > 0 && inputs->tokens == inputs->planned;
    if (recipe_needs_weights(recipe) && w->weights_known < w->measured.linear_count) return JOB_WEIGHTS;
    if (recipe_needs_ranges(recipe) && engine_can_run(w->engine, NULL) && !calibrated) return JOB_CALIBRATE;
    return JOB_COUNT;
}

static void fail_export(Workbench *w, const Error *err) { export_ends(w, false, &(ExportResult){0}, err); }

void exporter_begin_when_measured(Workbench *w) {
    Exporter *e = &w->exporter;
    JobView job;
    Error err = {0};
    workbench_job(w, JOB_EXPORT, &job);
    if (!e->asked || job.state != JOB_WAITING) return;
    e->waits_for = missing(w);
    if (e->waits_for == JOB_COUNT) {
        if (!start_writing(w, &err)) fail_export(w, &err);
        return;
    }
    workbench_job(w, e->waits_for, &job);
    if (job.state != JOB_FAILED) return;
    error_set(&err, "%s: %s", job.name, job.message);
    fail_export(w, &err);
}

bool workbench_export_on(Workbench *w, Error *err) {
    Exporter *e = &w->exporter;
    Job *job = &w->jobs[JOB_EXPORT];
    pthread_mutex_lock(&w->lock);
    const bool free = !job_is_on(job->state) && e->asked;
    if (free) {
        job->state = JOB_WAITING;
        job->held = false;
        job->message[0] = '\0';
        e->result = (ExportResult){0};
        atomic_store(&job->progress.stop, false);
    }
    pthread_mutex_unlock(&w->lock);
    if (!free) return error_set(err, "a model is being written already; stop that first");
    join_thread(w);
    exporter_begin_when_measured(w);
    signal_screen(w);
    return true;
}

bool workbench_export(Workbench *w, ExportFormat format, const char *folder, bool overwrite, Error *err) {
    Exporter *e = &w->exporter;
    JobView job;
    Recipe recipe;
    workbench_job(w, JOB_EXPORT, &job);
    if (job_is_on(job.state)) return error_set(err, "a model is being written already; stop that first");
    char *copy = strdup(folder);
    if (!copy) return error_memory(err, folder);
    if (!recipe_copy(history_now(&w->history), &recipe, err)) {
        free(copy);
        return false;
    }
    join_thread(w);
    forget_export(e);
    e->asked = true;
    e->recipe = recipe;
    e->change = w->changes;
    e->options = (ExportOptions){
        .format = format, .folder = copy, .overwrite = overwrite, .verify = true, .odd_bits = w->odd_bits};
    return workbench_export_on(w, err);
}

void workbench_export_view(const Workbench *w, ExportView *out) {
    const Exporter *e = &w->exporter;
    *out = (ExportView){.asked = e->asked, .waits_for = JOB_COUNT, .rate = (double)NAN, .bits_per_weight = (double)NAN};
    workbench_job(w, JOB_EXPORT, &out->job);
    if (!e->asked) return;
    out->format = e->options.format;
    out->folder = e->options.folder;
    if (!recipe_equal(&e->recipe, history_now(&w->history))) out->changes = w->changes - e->change;
    if (out->job.state == JOB_WAITING) out->waits_for = e->waits_for;
    if (out->job.state == JOB_DONE) out->verdict = &e->verdict;
    if (e->plan.decisions) out->bits_per_weight = e->plan.bits_per_weight;
    Workbench *shared = (Workbench *)w; // the lock is no part of what the caller sees
    pthread_mutex_lock(&shared->lock);
    const Progress *progress = &w->jobs[JOB_EXPORT].progress;
    const uint64_t from = atomic_load(&progress->from);
    out->done = atomic_load(&progress->done);
    out->total = atomic_load(&progress->total);
    out->reads = e->phase && strcmp(e->phase, "reading back") == 0;
    out->result = e->result;
    pthread_mutex_unlock(&shared->lock);
    if (out->job.seconds > 0 && out->done > from) out->rate = (double)(out->done - from) / out->job.seconds;
}
