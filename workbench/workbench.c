#include "workbench/workbench.h"

#include <assert.h>
#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/array.h"
#include "base/clock.h"
#include "base/log.h"
#include "workbench/history.h"

#define TURN_SECONDS 0.4
#define SPEED_SECONDS 2.0

typedef struct Job {
    Progress progress;
    JobState state;        // under lock
    bool held;             // under lock: stopped by the user until the next turn
    double started, ended; // under lock
    char message[256];     // under lock
} Job;

// What the worker has found, handed over under the lock; workbench_update copies it to the screen's side.
typedef struct Findings {
    bool inputs_known;
    bool accuracy_known, accuracy_finished;
    uint64_t accuracy_turn, sqnr_turn, decode_turn, speed_turn;
    bool speed_finished;
    DecodeSpeed speed;
    Accuracy accuracy;
    double *output_sqnr_db, *weight_sqnr_db; // [linear_count]
    float *divergences;                      // [positions] of the last accuracy that finished
    size_t positions;
    uint64_t why_turn;
    int why_linear;
    Why why;
    DecodeText base, quantized;
} Findings;

struct Workbench {
    // The screen's thread only.
    Engine *engine; // worked with by the worker alone while it runs; the screen sees what any thread may (engine.h),
                    // and what was handed over
    History history;
    Plan plan;
    Measured measured; // views of what was taken over so far
    int weights_known;
    Effect effect;
    double *effect_output_sqnr, *effect_weight_sqnr;
    float *effect_divergences;
    Why effect_why;
    size_t most_tokens;
    char backend[64];
    struct { // the last turn of a dial: turns that follow at once are one step of the history
        int linear;
        Dial dial;
        size_t at; // its place in the history
        double time;
    } last;

    // Shared, under lock.
    pthread_t thread;
    bool thread_runs;
    pthread_mutex_t lock;
    pthread_cond_t wake;  // something was asked for
    uint64_t turn;        // the screen's current turn
    Plan wanted;          // a copy of the plan of that turn
    uint64_t prompt_turn; // counts prompts
    char *prompt;
    int looked_at;     // linear, or −1
    bool inputs_taken; // the screen has planned with the calibrated ranges
    Findings findings;
    Job jobs[JOB_COUNT];
    atomic_bool quit;
    int event; // eventfd
};

// ---- handing over ----

static void signal_screen(Workbench *w) {
    uint64_t one = 1;
    while (write(w->event, &one, sizeof one) < 0 && errno == EINTR) {
    }
}

static void decode_text_free(DecodeText *d) {
    free(d->text);
    free(d->ids);
    free(d->probabilities);
    *d = (DecodeText){0};
}

// Replaces *to by a copy of *from; keeps the old one when memory is short.
static void decode_text_copy(const DecodeText *from, DecodeText *to) {
    DecodeText copy = *from;
    copy.text = strdup(from->text ? from->text : "");
    copy.ids = malloc((from->count + 1) * sizeof *copy.ids);
    copy.probabilities = malloc((from->count + 1) * sizeof *copy.probabilities);
    if (!copy.text || !copy.ids || !copy.probabilities) {
        decode_text_free(&copy);
        return;
    }
    if (from->count) {
        memcpy(copy.ids, from->ids, from->count * sizeof *copy.ids);
        memcpy(copy.probabilities, from->probabilities, from->count * sizeof *copy.probabilities);
    }
    decode_text_free(to);
    *to = copy;
}

static bool plan_copy(const Plan *from, Plan *to) {
    Decision *decisions = malloc(((size_t)from->linear_count + 1) * sizeof *decisions);
    if (!decisions) return false;
    memcpy(decisions, from->decisions, (size_t)from->linear_count * sizeof *decisions);
    plan_free(to);
    *to = *from;
    to->decisions = decisions;
    return true;
}

// ---- the worker ----

typedef struct Worker {
    Workbench *w;
    Plan plan;                                             // the plan being worked on
    uint64_t turn;                                         // and its turn
    uint64_t followed, scored, generated, measured, timed; // the turns for which each part is complete
    uint64_t explained;                                    // the turn for which it is known why
    int explained_linear;                                  // this one hurts
    uint64_t base_prompt, quantized_prompt;                // prompts that the texts belong to
    int first_changed;                                     // layers before it are as in the last evaluation
    bool begun;                                            // the first window of this turn is scored
    bool glimpsed;                                         // a first pair of this turn is timed
    char *prompt;
    uint64_t prompt_turn;
} Worker;

// True while what the worker works on is still what is wanted; only texts depend on the prompt. Call with the lock
// held.
static bool is_newest_locked(const Worker *k, JobKind kind) {
    if (kind < JOB_QUANTIZE) return true;
    return k->turn == k->w->turn && (kind != JOB_DECODE || k->prompt_turn == k->w->prompt_turn);
}

static const char *job_name(JobKind kind); // from the table below

static bool job_begin(Worker *k, JobKind kind) {
    Workbench *w = k->w;
    Job *job = &w->jobs[kind];
    pthread_mutex_lock(&w->lock);
    bool run = !job->held && !atomic_load(&w->quit) && is_newest_locked(k, kind);
    if (run) {
        atomic_store(&job->progress.stop, false);
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
        job->state = is_newest_locked(k, kind) ? JOB_DONE : JOB_WAITING;
    else if (err->stopped)
        job->state = job->held ? JOB_STOPPED : JOB_WAITING;
    else {
        job->state = JOB_FAILED;
        job->held = true;
        snprintf(job->message, sizeof job->message, "%.255s", err->message);
        // Without quantized weights there is nothing to judge.
        for (JobKind later = kind + 1; kind == JOB_QUANTIZE && later < JOB_COUNT; later++) {
            if (w->jobs[later].state == JOB_WAITING) w->jobs[later].state = JOB_STOPPED;
        }
    }
    pthread_mutex_unlock(&w->lock);
    signal_screen(w);
}

static void weights_job(Worker *k) {
    Error err = {0};
    if (!job_begin(k, JOB_WEIGHTS)) return;
    bool ok = engine_measure(k->w->engine, &k->w->jobs[JOB_WEIGHTS].progress, &err);
    job_end(k, JOB_WEIGHTS, ok, &err);
}

static void calibrate_job(Worker *k) {
    Error err = {0};
    if (!job_begin(k, JOB_CALIBRATE)) return;
    bool ok = engine_calibrate(k->w->engine, &k->w->jobs[JOB_CALIBRATE].progress, &err);
    if (ok) {
        pthread_mutex_lock(&k->w->lock);
        k->w->findings.inputs_known = true;
        pthread_mutex_unlock(&k->w->lock);
    }
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
        pthread_mutex_lock(&w->lock);
        for (int i = 0; i < engine_structure(w->engine)->linear_count; i++) {
            engine_weight_sqnr(w->engine, &k->plan, i, &w->findings.weight_sqnr_db[i], NULL);
        }
        pthread_mutex_unlock(&w->lock);
    }
    job_end(k, JOB_QUANTIZE, ok, &err);
}

static void take_accuracy(Workbench *w, uint64_t turn, const Accuracy *accuracy, bool finished) {
    pthread_mutex_lock(&w->lock);
    w->findings.accuracy = *accuracy;
    w->findings.accuracy_turn = turn;
    w->findings.accuracy_known = true;
    w->findings.accuracy_finished = finished;
    pthread_mutex_unlock(&w->lock);
    signal_screen(w);
}

// Without memory for them two recipes are compared by the errors of either.
static void take_divergences(Workbench *w) {
    const size_t n = engine_positions(w->engine);
    float *kl = array_new(n, sizeof *kl);
    if (kl && !engine_divergences(w->engine, kl)) {
        free(kl);
        kl = NULL;
    }
    pthread_mutex_lock(&w->lock);
    free(w->findings.divergences);
    w->findings.divergences = kl;
    w->findings.positions = kl ? n : 0;
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
    bool ok = engine_evaluate(w->engine, k->first_changed, accuracy_partial, k, &accuracy,
                              &w->jobs[JOB_ACCURACY].progress, &err);
    if (ok || err.stopped) k->first_changed = engine_structure(w->engine)->config.layers;
    if (ok) {
        take_divergences(w);
        take_accuracy(w, k->turn, &accuracy, true);
        k->scored = k->turn;
    }
    job_end(k, JOB_ACCURACY, ok, &err);
}

typedef struct DecodeContext {
    Worker *worker;
    DecodeText *target;
    uint64_t turn;     // of the quantized text; 0: the base's
    bool accuracy_due; // nothing is scored in this turn yet
} DecodeContext;

static void publish_text(DecodeContext *c, const Generated *g, bool finished) {
    Workbench *w = c->worker->w;
    Text text = {0};
    engine_generated_text(w->engine, g, &text, NULL);
    // From here on a NUL would end the text; the screen shows all control characters alike.
    for (size_t i = 0; i < text.length; i++) text.data[i] = text.data[i] ? text.data[i] : 1;
    DecodeText now = {.known = true,
                      .finished = finished,
                      .text = text.data,
                      .ids = g->ids,
                      .probabilities = g->probabilities,
                      .count = g->count};
    pthread_mutex_lock(&w->lock);
    decode_text_copy(&now, c->target);
    if (c->turn) w->findings.decode_turn = c->turn;
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

static bool decode_one(Worker *k, Transformer *t, DecodeText *target, uint64_t turn, const TokenIds *prompt,
                       Error *err) {
    DecodeContext context = {k, target, turn, accuracy_is_due(k)};
    Sampling greedy = {.temperature = 0, .top_p = 1};
    Generated g = {0};
    bool ok = generate(t, prompt->ids, prompt->count, k->w->most_tokens, &greedy, decode_token, &context, &g,
                       &k->w->jobs[JOB_DECODE].progress, err);
    if (ok) publish_text(&context, &g, true);
    generated_free(&g);
    return ok;
}

static void decode_job(Worker *k) {
    Workbench *w = k->w;
    Error err = {0};
    TokenIds prompt = {0};
    if (!job_begin(k, JOB_DECODE)) return;
    bool ok = engine_prompt(w->engine, k->prompt, &prompt, &err);
    if (ok && k->base_prompt != k->prompt_turn) {
        ok = decode_one(k, engine_base(w->engine), &w->findings.base, 0, &prompt, &err);
        if (ok) k->base_prompt = k->prompt_turn;
    }
    if (ok && k->followed == k->turn && k->turn) {
        ok = decode_one(k, engine_quantized(w->engine), &w->findings.quantized, k->turn, &prompt, &err);
        if (ok) {
            k->generated = k->turn;
            k->quantized_prompt = k->prompt_turn;
        }
    }
    token_ids_free(&prompt);
    job_end(k, JOB_DECODE, ok, &err);
}

// Whether it is still to be found out why the linear that the user looks at hurts. Of an input that no token reached
// there is nothing to find out.
static bool must_explain(const Worker *k) {
    const int linear = k->w->looked_at;
    if (linear < 0 || !k->plan.decisions || !k->plan.decisions[linear].quantized) return false;
    if (k->explained == k->turn && k->explained_linear == linear) return false;
    return engine_stats(k->w->engine)->inputs[engine_structure(k->w->engine)->linears[linear].input].sample_rows > 0;
}

static bool explain(Worker *k, Error *err) {
    Workbench *w = k->w;
    Why why;
    pthread_mutex_lock(&w->lock);
    const int linear = must_explain(k) ? w->looked_at : -1;
    pthread_mutex_unlock(&w->lock);
    if (linear < 0) return true;
    if (!engine_why(w->engine, &k->plan, linear, &why, err)) return false;
    k->explained = k->turn;
    k->explained_linear = linear;
    pthread_mutex_lock(&w->lock);
    w->findings.why = why;
    w->findings.why_turn = k->turn;
    w->findings.why_linear = linear;
    pthread_mutex_unlock(&w->lock);
    signal_screen(w);
    return true;
}

static bool measure_errors(Worker *k, double *db, Error *err) {
    if (k->measured == k->turn) return true;
    Workbench *w = k->w;
    bool ok = db ? engine_output_sqnr(w->engine, &k->plan, db, &w->jobs[JOB_ERRORS].progress, err)
                 : error_memory(err, "errors");
    if (ok) {
        pthread_mutex_lock(&w->lock);
        memcpy(w->findings.output_sqnr_db, db, (size_t)engine_structure(w->engine)->linear_count * sizeof *db);
        w->findings.sqnr_turn = k->turn;
        pthread_mutex_unlock(&w->lock);
        k->measured = k->turn;
    }
    return ok;
}

// The linear that is looked at first, then all.
static void errors_job(Worker *k) {
    Workbench *w = k->w;
    Error err = {0};
    if (!job_begin(k, JOB_ERRORS)) return;
    double *db = malloc((size_t)engine_structure(w->engine)->linear_count * sizeof *db);
    const bool ok = explain(k, &err) && measure_errors(k, db, &err);
    free(db);
    job_end(k, JOB_ERRORS, ok, &err);
}

static void take_speed(Workbench *w, uint64_t turn, const DecodeSpeed *speed, bool finished) {
    pthread_mutex_lock(&w->lock);
    w->findings.speed = *speed;
    w->findings.speed_turn = turn;
    w->findings.speed_finished = finished;
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

// The next thing to do for the newest turn, in the order in which its figures are missed most: JOB_COUNT when all is
// done.
static JobKind next_job(const Worker *k) {
    const Job *jobs = k->w->jobs;
    if (!jobs[JOB_WEIGHTS].held && !engine_measured(k->w->engine)) return JOB_WEIGHTS;
    if (!engine_can_run(k->w->engine, NULL)) return JOB_COUNT;
    if (!jobs[JOB_DECODE].held && k->base_prompt != k->prompt_turn) return JOB_DECODE;
    if (!jobs[JOB_CALIBRATE].held && !engine_calibrated(k->w->engine)) return JOB_CALIBRATE;
    if (k->w->findings.inputs_known && !k->w->inputs_taken)
        return JOB_COUNT; // the plan of the calibrated ranges is about to come
    if (!jobs[JOB_QUANTIZE].held && k->followed != k->turn) return JOB_QUANTIZE;
    if (k->followed != k->turn) return JOB_COUNT;
    if (!jobs[JOB_DECODE].held && (k->generated != k->turn || k->quantized_prompt != k->prompt_turn)) return JOB_DECODE;
    if (!jobs[JOB_SPEED].held && !k->glimpsed) return JOB_SPEED;
    if (!jobs[JOB_ACCURACY].held && k->scored != k->turn) return JOB_ACCURACY;
    if (!jobs[JOB_ERRORS].held && (k->measured != k->turn || must_explain(k))) return JOB_ERRORS;
    if (!jobs[JOB_SPEED].held && k->timed != k->turn) return JOB_SPEED;
    return JOB_COUNT;
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
                k->prompt_turn = w->prompt_turn;
            }
        }
        job = is_newest_locked(k, JOB_DECODE) ? next_job(k)
                                              : JOB_COUNT; // not so only when memory was short: wait for the next wish
        if (job != JOB_COUNT) break;
        pthread_cond_wait(&w->wake, &w->lock);
    }
    pthread_mutex_unlock(&w->lock);
    return atomic_load(&w->quit) ? JOB_COUNT : job;
}

static const struct {
    const char *name;
    void (*run)(Worker *k);
} job_table[] = {
    [JOB_WEIGHTS] = {"weights", weights_job},  [JOB_CALIBRATE] = {"calibrate", calibrate_job},
    [JOB_QUANTIZE] = {"quantize", follow_job}, [JOB_ACCURACY] = {"accuracy", accuracy_job},
    [JOB_DECODE] = {"decode", decode_job},     [JOB_ERRORS] = {"errors", errors_job},
    [JOB_SPEED] = {"speed", speed_job},
};
static_assert(sizeof job_table / sizeof *job_table == JOB_COUNT, "a job has no row");

static const char *job_name(JobKind kind) { return job_table[kind].name; }

static void *worker_run(void *argument) {
    Workbench *w = argument;
    Worker k = {.w = w};
    for (JobKind job; (job = wait_for_job(&k)) != JOB_COUNT;) job_table[job].run(&k);
    plan_free(&k.plan);
    free(k.prompt);
    return NULL;
}

// ---- opening and closing ----

// Of a model that cannot be run only the weights are known: every other job has failed before it began.
static void refuse_jobs_locked(Workbench *w) {
    if (engine_can_run(w->engine, NULL)) return;
    for (JobKind kind = JOB_CALIBRATE; kind < JOB_COUNT; kind++) {
        w->jobs[kind].state = JOB_FAILED;
        snprintf(w->jobs[kind].message, sizeof w->jobs[kind].message, "the model cannot be run: %s",
                 engine_structure(w->engine)->config.not_run);
    }
}

// Publishes the current plan as the newest wish: whatever works on an older one stops. Call with the lock held.
static void wish_locked(Workbench *w) {
    if (!plan_copy(&w->plan, &w->wanted))
        return; // memory is short: the older wish stands, and the figures stay marked as old
    w->turn++;
    for (JobKind kind = JOB_QUANTIZE; kind < JOB_COUNT; kind++) {
        Job *job = &w->jobs[kind];
        job->held = false;
        progress_request_stop(&job->progress);
        if (job->state != JOB_RUNNING) job->state = JOB_WAITING;
    }
    refuse_jobs_locked(w);
    pthread_cond_signal(&w->wake);
}

static bool replan(Workbench *w, Error *err) {
    Plan plan;
    if (!plan_make(history_now(&w->history), engine_structure(w->engine), &w->measured, &plan, err)) return false;
    pthread_mutex_lock(&w->lock);
    plan_free(&w->plan);
    w->plan = plan;
    wish_locked(w);
    pthread_mutex_unlock(&w->lock);
    return true;
}

static bool first_recipe(const WorkbenchOptions *options, Workbench *w, Error *err) {
    Recipe recipe;
    if (options->recipe ? !recipe_load(options->recipe, &recipe, err) : !recipe_default(&recipe, err)) return false;
    return history_start(&w->history, &recipe, err);
}

static bool make_tables(Workbench *w, Error *err) {
    const ModelStructure *structure = engine_structure(w->engine);
    size_t linears = (size_t)structure->linear_count, inputs = (size_t)structure->input_count;
    double **figures[] = {&w->findings.output_sqnr_db, &w->findings.weight_sqnr_db, &w->effect_output_sqnr,
                          &w->effect_weight_sqnr};
    w->measured = (Measured){array_new(linears, sizeof(WeightMeasure)), array_new(inputs, sizeof(InputMeasure)),
                             (int)linears, (int)inputs};
    bool ok = w->measured.weights && w->measured.inputs;
    for (size_t i = 0; i < sizeof figures / sizeof *figures; i++) {
        *figures[i] = array_new(linears, sizeof(double));
        for (size_t j = 0; *figures[i] && j < linears; j++) (*figures[i])[j] = NAN;
        ok = ok && *figures[i];
    }
    return ok || error_memory(err, "the workbench");
}

static bool start_thread(Workbench *w, Error *err) {
    sigset_t all, old;
    // Signals are for the screen's thread; but faults belong to the thread that makes them, and end the program without
    // a word where they are blocked. One of them is how a checkpoint that was cut off shows (loaders/mapping.h).
    static const int faults[] = {SIGBUS, SIGSEGV, SIGFPE, SIGILL, SIGABRT};
    sigfillset(&all);
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) sigdelset(&all, faults[i]);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    w->thread_runs = pthread_create(&w->thread, NULL, worker_run, w) == 0;
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return w->thread_runs || error_set(err, "the background thread cannot be started: %s", strerror(errno));
}

bool workbench_open(const WorkbenchOptions *options, Workbench **out, Error *err) {
    Workbench *w = calloc(1, sizeof *w);
    if (!w) return error_memory(err, "the workbench");
    pthread_mutex_init(&w->lock, NULL);
    pthread_cond_init(&w->wake, NULL);
    for (int i = 0; i < JOB_COUNT; i++) {
        w->jobs[i].progress.also_stop = &w->quit;
        w->jobs[i].state = JOB_WAITING;
    }
    w->event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    w->most_tokens = options->most_tokens ? options->most_tokens : DEFAULT_MOST_TOKENS;
    w->prompt_turn = 1;
    w->looked_at = -1;
    bool ok = w->event >= 0 || error_memory(err, "the workbench");
    ok = ok && engine_open(&options->model, &w->engine, err);
    if (ok) w->prompt = strdup(options->prompt ? options->prompt : engine_default_prompt(w->engine));
    ok = ok && (w->prompt || error_memory(err, "the workbench"));
    ok = ok && make_tables(w, err) && first_recipe(options, w, err) && replan(w, err) && start_thread(w, err);
    if (!ok) {
        workbench_close(w);
        return false;
    }
    snprintf(w->backend, sizeof w->backend, "%s %s", engine_backend_name(w->engine),
             engine_backend_description(w->engine));
    *out = w;
    return true;
}

void workbench_close(Workbench *w) {
    if (!w) return;
    if (w->thread_runs) {
        pthread_mutex_lock(&w->lock);
        atomic_store(&w->quit, true);
        pthread_cond_signal(&w->wake);
        pthread_mutex_unlock(&w->lock);
        pthread_join(w->thread, NULL);
    }
    engine_close(w->engine);
    history_free(&w->history);
    plan_free(&w->plan);
    plan_free(&w->wanted);
    free(w->measured.weights);
    free(w->measured.inputs);
    free(w->findings.divergences);
    free(w->effect_divergences);
    free(w->findings.output_sqnr_db);
    free(w->findings.weight_sqnr_db);
    free(w->effect_output_sqnr);
    free(w->effect_weight_sqnr);
    decode_text_free(&w->findings.base);
    decode_text_free(&w->findings.quantized);
    decode_text_free(&w->effect.base);
    decode_text_free(&w->effect.quantized);
    free(w->prompt);
    if (w->event >= 0) close(w->event);
    pthread_cond_destroy(&w->wake);
    pthread_mutex_destroy(&w->lock);
    free(w);
}

// ---- taking over ----

int workbench_fd(const Workbench *w) { return w->event; }

// The measured views that have become known since the last call; true when a new plan is due.
static bool take_measured(Workbench *w) {
    const ModelStats *stats = engine_stats(w->engine);
    int before = w->weights_known;
    for (int i = 0; i < w->measured.linear_count; i++) {
        if (w->measured.weights[i].known || !stats->measured.weights[i].known) continue;
        w->measured.weights[i] = stats->measured.weights[i];
        w->weights_known++;
    }
    pthread_mutex_lock(&w->lock);
    bool inputs = w->findings.inputs_known && !w->inputs_taken;
    if (inputs) {
        memcpy(w->measured.inputs, stats->measured.inputs,
               (size_t)w->measured.input_count * sizeof *w->measured.inputs);
        w->inputs_taken = true;
    }
    pthread_mutex_unlock(&w->lock);
    return inputs || w->weights_known != before;
}

static size_t first_difference(const DecodeText *a, const DecodeText *b) {
    size_t n = a->count < b->count ? a->count : b->count, i = 0;
    while (i < n && a->ids[i] == b->ids[i]) i++;
    return i;
}

static void take_positions(Workbench *w, const Findings *f) {
    float *copy = f->divergences ? array_new(f->positions, sizeof *copy) : NULL;
    if (copy) memcpy(copy, f->divergences, f->positions * sizeof *copy);
    free(w->effect_divergences);
    w->effect.divergences = w->effect_divergences = copy;
    w->effect.positions = copy ? f->positions : 0;
}

static void take_findings(Workbench *w) {
    Effect *e = &w->effect;
    size_t bytes = (size_t)engine_structure(w->engine)->linear_count * sizeof(double);
    pthread_mutex_lock(&w->lock);
    const Findings *f = &w->findings;
    e->accuracy_turn = f->accuracy_turn;
    e->accuracy_known = f->accuracy_known;
    e->accuracy_finished = f->accuracy_finished;
    e->accuracy = f->accuracy;
    take_positions(w, f);
    w->effect_why = f->why;
    e->why = f->why_turn ? &w->effect_why : NULL;
    e->why_turn = f->why_turn;
    e->why_linear = f->why_linear;
    e->sqnr_turn = f->sqnr_turn;
    e->decode_turn = f->decode_turn;
    e->speed_turn = f->speed_turn;
    e->speed_finished = f->speed_finished;
    e->speed = f->speed;
    memcpy(w->effect_output_sqnr, f->output_sqnr_db, bytes);
    memcpy(w->effect_weight_sqnr, f->weight_sqnr_db, bytes);
    if (f->base.known) decode_text_copy(&f->base, &e->base);
    if (f->quantized.known) decode_text_copy(&f->quantized, &e->quantized);
    pthread_mutex_unlock(&w->lock);
    e->output_sqnr_db = w->effect_output_sqnr;
    e->weight_sqnr_db = w->effect_weight_sqnr;
    e->first_difference = first_difference(&e->base, &e->quantized);
}

bool workbench_update(Workbench *w) {
    uint64_t count;
    if (read(w->event, &count, sizeof count) < 0) return false; // nothing new
    if (take_measured(w)) replan(w, NULL);
    take_findings(w);
    return true;
}

// ---- the model ----

const ModelStructure *workbench_structure(const Workbench *w) { return engine_structure(w->engine); }
const char *workbench_backend(const Workbench *w) { return w->backend; }

const WeightStats *workbench_weight_stats(const Workbench *w, int linear) {
    const WeightStats *stats = &engine_stats(w->engine)->weights[linear];
    return stats->known ? stats : NULL;
}

const InputStats *workbench_input_stats(const Workbench *w, int linear) {
    const int input = engine_structure(w->engine)->linears[linear].input;
    return w->inputs_taken ? &engine_stats(w->engine)->inputs[input] : NULL;
}

uint64_t workbench_calibration_tokens(const Workbench *w) {
    return w->inputs_taken ? engine_calibration_tokens(w->engine) : 0;
}

// ---- dials ----

const char *workbench_text(const Workbench *w, EngineText text) { return engine_text_name(w->engine, text); }
bool workbench_is_chat(const Workbench *w) { return engine_is_chat(w->engine); }

const Recipe *workbench_recipe(const Workbench *w) { return history_now(&w->history); }
const Plan *workbench_plan(const Workbench *w) { return &w->plan; }
uint64_t workbench_turn(const Workbench *w) { return w->turn; } // only the screen's thread writes it

static bool push_recipe(Workbench *w, Recipe *recipe, Error *err) {
    if (recipe_equal(recipe, history_now(&w->history))) {
        recipe_free(recipe);
        return true;
    }
    return history_push(&w->history, recipe, err) && replan(w, err);
}

// A dial that is held down or dragged passes many values on its way; undoing each of them would be tedious.
static bool same_turn(const Workbench *w, int linear, Dial dial) {
    const History *h = &w->history;
    return w->last.at == h->now && h->now > 0 && h->now + 1 == h->length && h->saved != h->now &&
           w->last.linear == linear && w->last.dial == dial && clock_seconds() - w->last.time < TURN_SECONDS;
}

static bool turn_recipe(Workbench *w, int linear, Dial dial, Recipe *recipe, Error *err) {
    bool same = same_turn(w, linear, dial);
    if (same) history_replace(&w->history, recipe);
    if (same ? !replan(w, err) : !push_recipe(w, recipe, err)) return false;
    w->last.linear = linear;
    w->last.dial = dial;
    w->last.at = w->history.now;
    w->last.time = clock_seconds();
    return true;
}

bool workbench_set(Workbench *w, int linear, Dial dial, const double *value, Error *err) {
    Recipe recipe;
    if (linear >= 0 && !dial_table[dial].per_linear)
        return error_set(err, "%s holds for the whole model", dial_table[dial].label);
    if (!recipe_copy(history_now(&w->history), &recipe, err)) return false;
    if (linear < 0) {
        recipe.value[dial] = value ? *value : dial_table[dial].default_value;
    } else if (!recipe_override(&recipe, engine_structure(w->engine)->linears[linear].name, dial, value, err)) {
        recipe_free(&recipe);
        return false;
    }
    return turn_recipe(w, linear, dial, &recipe, err);
}

static bool ignore_add(Recipe *recipe, const char *name, Error *err) {
    char *copy = strdup(name);
    char **grown = copy ? realloc(recipe->ignore, ((size_t)recipe->ignore_count + 1) * sizeof *grown) : NULL;
    if (!grown) {
        free(copy);
        return error_memory(err, "the recipe");
    }
    recipe->ignore = grown;
    recipe->ignore[recipe->ignore_count++] = copy;
    return true;
}

// Removes the rules that name exactly this linear; a glob that also covers others is the user's to change.
static bool ignore_remove(Recipe *recipe, const char *name, Error *err) {
    int kept = 0;
    for (int i = 0; i < recipe->ignore_count; i++) {
        if (strcmp(recipe->ignore[i], name) == 0)
            free(recipe->ignore[i]);
        else
            recipe->ignore[kept++] = recipe->ignore[i];
    }
    recipe->ignore_count = kept;
    return !recipe_ignores(recipe, name) ||
           error_set(err, "%s is covered by a rule for several linears; change the recipe's \"ignore\"", name);
}

bool workbench_toggle_ignore(Workbench *w, int linear, Error *err) {
    Recipe recipe;
    const char *name = engine_structure(w->engine)->linears[linear].name;
    if (!recipe_copy(history_now(&w->history), &recipe, err)) return false;
    if (recipe_ignores(&recipe, name) ? !ignore_remove(&recipe, name, err) : !ignore_add(&recipe, name, err)) {
        recipe_free(&recipe);
        return false;
    }
    return push_recipe(w, &recipe, err);
}

bool workbench_undo(Workbench *w) { return history_undo(&w->history) && replan(w, NULL); }
bool workbench_redo(Workbench *w) { return history_redo(&w->history) && replan(w, NULL); }

bool workbench_load(Workbench *w, const char *path, Error *err) {
    Recipe recipe;
    if (!recipe_load(path, &recipe, err) || !push_recipe(w, &recipe, err)) return false;
    w->history.saved = w->history.now;
    return true;
}

bool workbench_restore(Workbench *w, const Recipe *recipe, Error *err) {
    Recipe copy;
    return recipe_copy(recipe, &copy, err) && push_recipe(w, &copy, err);
}

bool workbench_save(Workbench *w, const char *path, Error *err) {
    if (!recipe_save(history_now(&w->history), path, err)) return false;
    w->history.saved = w->history.now;
    return true;
}

bool workbench_saved(const Workbench *w) { return w->history.saved == w->history.now; }

void workbench_set_prompt(Workbench *w, const char *prompt) {
    char *copy = strdup(prompt);
    if (!copy) return;
    pthread_mutex_lock(&w->lock);
    free(w->prompt);
    w->prompt = copy;
    w->prompt_turn++;
    w->jobs[JOB_DECODE].held = false;
    progress_request_stop(&w->jobs[JOB_DECODE].progress);
    w->findings.base.known = w->findings.quantized.known = false;
    pthread_cond_signal(&w->wake);
    pthread_mutex_unlock(&w->lock);
    decode_text_free(&w->effect.base);
    decode_text_free(&w->effect.quantized);
}

const char *workbench_prompt(const Workbench *w) { return w->prompt; }
const Effect *workbench_effect(const Workbench *w) { return &w->effect; }

void workbench_look(Workbench *w, int linear) {
    if (linear == w->looked_at) return; // only the screen's thread writes it
    pthread_mutex_lock(&w->lock);
    w->looked_at = linear;
    pthread_cond_signal(&w->wake);
    pthread_mutex_unlock(&w->lock);
}

// ---- jobs ----

void workbench_job(const Workbench *w, JobKind kind, JobView *out) {
    Workbench *shared = (Workbench *)w; // the lock is no part of what the caller sees
    *out = (JobView){.kind = kind, .name = job_name(kind), .share = -1, .seconds_left = -1};
    pthread_mutex_lock(&shared->lock);
    const Job *job = &w->jobs[kind];
    out->state = job->state;
    if (job->started > 0) out->seconds = (job->state == JOB_RUNNING ? clock_seconds() : job->ended) - job->started;
    snprintf(out->message, sizeof out->message, "%s", job->message);
    uint64_t done = atomic_load(&job->progress.done), total = atomic_load(&job->progress.total);
    pthread_mutex_unlock(&shared->lock);
    if (total) out->share = done >= total ? 1 : (double)done / (double)total;
    if (total && done && out->state == JOB_RUNNING)
        out->seconds_left = out->seconds * (double)(total - done) / (double)done;
}

void workbench_stop_job(Workbench *w, JobKind kind) {
    pthread_mutex_lock(&w->lock);
    Job *job = &w->jobs[kind];
    if (job->state == JOB_RUNNING || job->state == JOB_WAITING) {
        job->held = true;
        progress_request_stop(&job->progress);
        if (job->state == JOB_WAITING) job->state = JOB_STOPPED;
    }
    pthread_mutex_unlock(&w->lock);
}

void workbench_restart_jobs(Workbench *w) {
    pthread_mutex_lock(&w->lock);
    for (int i = 0; i < JOB_COUNT; i++) {
        w->jobs[i].held = false;
        if (w->jobs[i].state == JOB_STOPPED || w->jobs[i].state == JOB_FAILED) w->jobs[i].state = JOB_WAITING;
    }
    refuse_jobs_locked(w);
    pthread_cond_signal(&w->wake);
    pthread_mutex_unlock(&w->lock);
}

bool workbench_busy(const Workbench *w) {
    Workbench *shared = (Workbench *)w;
    bool busy = false;
    pthread_mutex_lock(&shared->lock);
    for (int i = 0; i < JOB_COUNT; i++)
        busy = busy || w->jobs[i].state == JOB_RUNNING || w->jobs[i].state == JOB_WAITING;
    pthread_mutex_unlock(&shared->lock);
    return busy;
}
