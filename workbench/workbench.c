#include <assert.h>
#include <errno.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/array.h"
#include "base/clock.h"
#include "base/hash.h"
#include "workbench/workbench_parts.h"

#define TURN_SECONDS 0.4

// ---- handing over ----

bool plan_copy(const Plan *from, Plan *to) {
    Decision *decisions = malloc(((size_t)from->linear_count + 1) * sizeof *decisions);
    if (!decisions) return false;
    memcpy(decisions, from->decisions, (size_t)from->linear_count * sizeof *decisions);
    plan_free(to);
    *to = *from;
    to->decisions = decisions;
    return true;
}

// ---- opening and closing ----

// Of a model that cannot be run only the weights are known: every other job has failed before it began.
static void refuse_jobs_locked(Workbench *w) {
    if (engine_can_run(w->engine, NULL)) return;
    for (JobKind kind = JOB_CALIBRATE; kind < JOB_FIGURES_END; kind++) {
        w->jobs[kind].state = JOB_FAILED;
        snprintf(w->jobs[kind].message, sizeof w->jobs[kind].message, "the model cannot be run: %s",
                 engine_structure(w->engine)->config.not_run);
    }
}

void wish_wakes_locked(Workbench *w) {
    w->wishes++;
    pthread_cond_signal(&w->wake);
}

void wait_locked(Workbench *w, pthread_cond_t *condition, double seconds) {
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    const double whole = floor(seconds);
    until.tv_sec += (time_t)whole;
    until.tv_nsec += (long)((seconds - whole) * 1e9);
    if (until.tv_nsec >= 1000000000) {
        until.tv_nsec -= 1000000000;
        until.tv_sec++;
    }
    pthread_cond_timedwait(condition, &w->lock, &until);
}

// Publishes the current plan as the newest wish: whatever works on an older one stops. Call with the lock held.
static void wish_locked(Workbench *w) {
    if (!plan_copy(&w->plan, &w->wanted))
        return; // memory is short: the older wish stands, and the figures stay marked as old
    w->turn++;
    w->wants_ranges = recipe_needs_ranges(history_now(&w->history));
    progress_request_stop(&w->jobs[JOB_CALIBRATE].progress); // it goes on when the new figures are there
    studies_turn_locked(w);
    for (JobKind kind = JOB_QUANTIZE; kind <= JOB_FORECAST; kind++) {
        Job *job = &w->jobs[kind];
        job->held = false;
        progress_request_stop(&job->progress);
        if (job->state != JOB_RUNNING)
            job->state = kind == JOB_FORECAST && !w->forecast.folder ? JOB_DONE : JOB_WAITING;
    }
    refuse_jobs_locked(w);
    trials_adopt_locked(w);
    wish_wakes_locked(w);
}

static bool make_plan(const Workbench *w, Plan *out, Error *err) {
    return plan_make(history_now(&w->history), engine_structure(w->engine), &w->measured, out, err);
}

static void take_plan_locked(Workbench *w, Plan *plan) {
    plan_free(&w->plan);
    w->plan = *plan;
    w->plans++;
}

static void take_findings(Workbench *w);

// Another recipe; figures stay when it comes to the model that they are of, as it does when quorum is turned under the
// rule noise. One that needs other measurements is another wish all the same.
static bool plan_anew(Workbench *w, Error *err) {
    Plan plan;
    if (!make_plan(w, &plan, err)) return false;
    w->changes++;
    w->made_here = 0;
    Recipe present;
    if (!recipe_copy(history_now(&w->history), &present, err)) {
        plan_free(&plan);
        return false;
    }
    pthread_mutex_lock(&w->lock);
    recipe_free(&w->present);
    w->present = present;
    w->presents++;
    wish_wakes_locked(w);
    const bool same =
        plan_hash(&plan) == plan_hash(&w->wanted) && recipe_needs_ranges(history_now(&w->history)) == w->wants_ranges;
    take_plan_locked(w, &plan);
    if (!same) wish_locked(w);
    studies_change_locked(w);
    pthread_mutex_unlock(&w->lock);
    trials_follow(&w->trials, history_now(&w->history));
    take_findings(w);
    studies_take(w);
    return true;
}

// More was measured: figures stay when the model that they are of does. The worker waits for this.
static void plan_anew_measured(Workbench *w) {
    Plan plan;
    const bool made = make_plan(w, &plan, NULL);
    pthread_mutex_lock(&w->lock);
    const bool same = made && plan_same_model(&plan, &w->plan);
    if (made) take_plan_locked(w, &plan);
    if (made && !same) wish_locked(w);
    wish_wakes_locked(w);
    pthread_mutex_unlock(&w->lock);
}

static bool first_recipe(const WorkbenchOptions *options, Workbench *w, Error *err) {
    Recipe recipe;
    if (options->recipe ? !recipe_load(options->recipe, &recipe, err) : !recipe_default(&recipe, err)) return false;
    return history_start(&w->history, &recipe, err);
}

static bool make_tables(Workbench *w, Error *err) {
    const ModelStructure *structure = engine_structure(w->engine);
    size_t linears = (size_t)structure->linear_count;
    double **figures[] = {&w->findings.output_sqnr_db, &w->findings.input_sqnr_db, &w->findings.weight_sqnr_db,
                          &w->findings.stream_shares,  &w->effect_output_sqnr,     &w->effect_input_sqnr,
                          &w->effect_weight_sqnr,      &w->effect_shares};
    w->inputs = input_set_new(structure->input_count);
    w->measured = (Measured){.weights = array_new(linears, sizeof(WeightMeasure)),
                             .inputs = w->inputs ? w->inputs->measured : NULL,
                             .linear_count = structure->linear_count,
                             .input_count = structure->input_count};
    bool ok = w->measured.weights && w->inputs;
    for (size_t i = 0; i < sizeof figures / sizeof *figures; i++) {
        *figures[i] = array_new(linears, sizeof(double));
        for (size_t j = 0; *figures[i] && j < linears; j++) (*figures[i])[j] = NAN;
        ok = ok && *figures[i];
    }
    return ok || error_memory(err, "the workbench");
}

bool thread_start(pthread_t *thread, void *(*run)(void *), void *argument, Error *err) {
    sigset_t all, old;
    // Signals are for the screen's thread; but faults belong to the thread that makes them, and end the program without
    // a word where they are blocked. One of them is how a checkpoint that was cut off shows (loaders/mapping.h).
    static const int faults[] = {SIGBUS, SIGSEGV, SIGFPE, SIGILL, SIGABRT};
    sigfillset(&all);
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) sigdelset(&all, faults[i]);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    const int failure = pthread_create(thread, NULL, run, argument);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return !failure || error_set(err, "a background thread cannot be started: %s", strerror(failure));
}

static void init_conditions(Workbench *w) {
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&w->wake, &monotonic);
    pthread_cond_init(&w->exporter.changed, &monotonic);
    pthread_condattr_destroy(&monotonic);
}

bool workbench_open(const WorkbenchOptions *options, Workbench **out, Error *err) {
    Workbench *w = calloc(1, sizeof *w);
    if (!w) return error_memory(err, "the workbench");
    pthread_mutex_init(&w->lock, NULL);
    init_conditions(w);
    for (JobKind i = 0; i < JOB_COUNT; i++) {
        w->jobs[i].progress.also_stop = &w->quit;
        w->jobs[i].state = i < JOB_FIGURES_END ? JOB_WAITING : JOB_DONE;
    }
    w->jobs[JOB_TUNE].progress.also_stop = &w->studies.interrupted;
    w->event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    w->most_tokens = options->most_tokens ? options->most_tokens : DEFAULT_MOST_TOKENS;
    w->prompt_turn = 1;
    w->looked_at = -1;
    w->keeping.lock = -1;
    w->studies.patience = options->patience > 0 ? options->patience : PUT_OFF_SECONDS;
    w->keeping.unkept = options->forgetful || options->model.no_cache ? "nothing of this session is" : NULL;
    bool ok = w->event >= 0 || error_memory(err, "the workbench");
    ok = ok && engine_open(&options->model, &w->engine, err);
    if (ok) w->prompt = strdup(options->prompt ? options->prompt : engine_default_prompt(w->engine));
    ok = ok && (w->prompt || error_memory(err, "the workbench"));
    ok = ok && make_tables(w, err) && linear_index_new(engine_structure(w->engine), &w->index, err) &&
         studies_new(w, err) && first_recipe(options, w, err) && workbench_begin(w, NULL, err) && plan_anew(w, err) &&
         (w->thread_runs = thread_start(&w->thread, worker_run, w, err));
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
        studies_interrupt_locked(w);
        wish_wakes_locked(w);
        pthread_mutex_unlock(&w->lock);
        pthread_join(w->thread, NULL);
    }
    exporter_close(w);
    studies_free(w);
    trials_close(w);
    linear_set_free(&w->set);
    linear_index_free(&w->index);
    engine_close(w->engine);
    for (int format = 0; format < EXPORT_FORMAT_COUNT; format++) verdict_free(&w->verdicts[format]);
    verdict_free(&w->verdict_of.verdict);
    free(w->forecast.folder);
    history_free(&w->history);
    plan_free(&w->plan);
    plan_free(&w->wanted);
    recipe_free(&w->present);
    free(w->measured.weights);
    input_set_release(w->inputs);
    input_set_release(w->findings.inputs);
    shared_channels_free(&w->channels);
    shared_channels_free(&w->findings.channels);
    free(w->findings.by_position);
    free(w->effect_by_position);
    free(w->findings.output_sqnr_db);
    free(w->findings.input_sqnr_db);
    free(w->findings.weight_sqnr_db);
    free(w->findings.stream_shares);
    free(w->effect_output_sqnr);
    free(w->effect_input_sqnr);
    free(w->effect_weight_sqnr);
    free(w->effect_shares);
    decode_text_free(&w->findings.base);
    decode_text_free(&w->findings.quantized);
    decode_text_free(&w->effect.base);
    decode_text_free(&w->effect.quantized);
    for (int i = 0; i < ROW_TEXTS; i++) {
        decode_text_free(&w->findings.row_texts[i].text);
        plan_free(&w->row_texts[i].plan);
    }
    plan_free(&w->pin_wish.plan);
    recipe_free(&w->pin);
    free(w->findings.pin.by_position);
    free(w->prompt);
    if (w->event >= 0) close(w->event);
    pthread_cond_destroy(&w->wake);
    pthread_cond_destroy(&w->exporter.changed);
    pthread_mutex_destroy(&w->lock);
    free(w);
}

// ---- taking over ----

int workbench_fd(const Workbench *w) { return w->event; }

// Takes over both.
static void take_inputs(Workbench *w, InputSet *set, SharedChannels channels) {
    input_set_release(w->inputs);
    shared_channels_free(&w->channels);
    w->inputs = set;
    w->channels = channels;
    w->measured.inputs = set->measured;
}

// What has become known since the last call; true when a new plan is due.
static bool take_measured(Workbench *w) {
    const ModelStats *stats = engine_stats(w->engine);
    const int before = w->weights_known;
    pthread_mutex_lock(&w->lock);
    InputSet *set = w->findings.inputs;
    const bool waits = set || w->findings.weights;
    const SharedChannels channels = w->findings.channels;
    w->findings.inputs = NULL;
    w->findings.channels = (SharedChannels){0};
    w->findings.weights = false;
    pthread_mutex_unlock(&w->lock);
    for (int i = 0; i < w->measured.linear_count; i++) {
        if (w->measured.weights[i].known || !stats->measured.weights[i].known) continue;
        w->measured.weights[i] = stats->measured.weights[i];
        w->weights_known++;
    }
    if (set) take_inputs(w, set, channels);
    return waits || w->weights_known != before;
}

void put_positions_locked(Workbench *w, float *by_position, size_t positions) {
    Findings *f = &w->findings;
    free(f->by_position);
    f->by_position = by_position;
    f->positions = by_position ? positions : 0;
    f->positions_version++;
}

static void take_positions(Workbench *w, const Findings *f) {
    if (w->effect_positions == f->positions_version) return;
    float *copy = f->by_position ? array_new(POSITION_FIGURES * f->positions, sizeof *copy) : NULL;
    if (copy) memcpy(copy, f->by_position, POSITION_FIGURES * f->positions * sizeof *copy);
    free(w->effect_by_position);
    w->effect.by_position = w->effect_by_position = copy;
    w->effect.positions = copy ? f->positions : 0;
    if (copy || !f->by_position) w->effect_positions = f->positions_version; // else the next time there may be memory
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
    w->effect_remedies = f->remedies;
    e->remedies = &w->effect_remedies;
    e->why = f->why_turn ? &w->effect_why : NULL;
    e->why_turn = f->why_turn;
    e->why_linear = f->why_linear;
    e->sqnr_turn = f->sqnr_turn;
    e->decode_turn = f->decode_turn;
    e->speed_turn = f->speed_turn;
    e->speed_finished = f->speed_finished;
    e->speed_remembered = f->speed_remembered;
    e->speed = f->speed;
    memcpy(w->effect_output_sqnr, f->output_sqnr_db, bytes);
    memcpy(w->effect_input_sqnr, f->input_sqnr_db, bytes);
    memcpy(w->effect_weight_sqnr, f->weight_sqnr_db, bytes);
    memcpy(w->effect_shares, f->stream_shares, bytes);
    if (f->base.known) decode_text_copy(&f->base, &e->base);
    if (f->quantized.known) decode_text_copy(&f->quantized, &e->quantized);
    pthread_mutex_unlock(&w->lock);
    e->output_sqnr_db = w->effect_output_sqnr;
    e->input_sqnr_db = w->effect_input_sqnr;
    e->weight_sqnr_db = w->effect_weight_sqnr;
    e->stream_shares = w->effect_shares;
    trials_update(w);
}

bool workbench_update(Workbench *w) {
    uint64_t count;
    if (read(w->event, &count, sizeof count) < 0) return false; // nothing new
    if (take_measured(w)) plan_anew_measured(w);
    trials_take_recalled(w);
    take_findings(w);
    studies_take(w);
    exporter_begin_when_measured(w);
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
    return w->inputs->inputs[input].known ? &w->inputs->inputs[input] : NULL;
}

const SharedChannels *workbench_channels(const Workbench *w) { return &w->channels; }
uint64_t workbench_calibration_tokens(const Workbench *w) { return w->inputs->tokens; }
uint64_t workbench_calibration_planned(const Workbench *w) { return w->inputs->planned; }

// ---- dials ----

const char *workbench_text(const Workbench *w, EngineText text) { return engine_text_name(w->engine, text); }
bool workbench_text_is_chat(const Workbench *w, EngineText text) { return engine_text_is_chat(w->engine, text); }
bool workbench_is_chat(const Workbench *w) { return engine_is_chat(w->engine); }

const Recipe *workbench_recipe(const Workbench *w) { return history_now(&w->history); }
const Plan *workbench_plan(const Workbench *w) { return &w->plan; }
uint64_t workbench_turn(const Workbench *w) { return w->turn; } // only the screen's thread writes it
uint64_t workbench_changes(const Workbench *w) { return w->changes; }
size_t workbench_step(const Workbench *w) { return w->history.now; }
uint64_t workbench_plans(const Workbench *w) { return w->plans; }
const LinearIndex *workbench_index(const Workbench *w) { return &w->index; }

bool workbench_plan_of(const Workbench *w, const Recipe *recipe, Plan *out, uint64_t *model, Error *err) {
    if (!plan_make(recipe, engine_structure(w->engine), &w->measured, out, err)) return false;
    *model = trial_model(out, &w->measured);
    return true;
}

bool push_recipe(Workbench *w, Recipe *recipe, Error *err) {
    if (recipe_equal(recipe, history_now(&w->history))) {
        recipe_free(recipe);
        return true;
    }
    return history_push(&w->history, recipe, err) && plan_anew(w, err);
}

// A dial that is held down or dragged passes many values on its way; undoing each of them would be tedious.
static bool same_turn(const Workbench *w, uint64_t linears, Dial dial) {
    const History *h = &w->history;
    return w->last.at == h->now && h->now > 0 && h->now + 1 == h->length && h->saved != h->now &&
           w->last.linears == linears && w->last.dial == dial && clock_seconds() - w->last.time < TURN_SECONDS;
}

static bool turn_recipe(Workbench *w, uint64_t linears, Dial dial, Recipe *recipe, Error *err) {
    bool same = same_turn(w, linears, dial);
    if (same && w->made_here) trials_forget(&w->trials, w->made_here); // was only passed through
    if (same) history_replace(&w->history, recipe);
    if (same ? !plan_anew(w, err) : !push_recipe(w, recipe, err)) return false;
    w->last.linears = linears;
    w->last.dial = dial;
    w->last.at = w->history.now;
    w->last.time = clock_seconds();
    return true;
}

bool workbench_set(Workbench *w, int linear, Dial dial, const double *value, Error *err) {
    if (linear >= 0) return workbench_set_many(w, &linear, 1, dial, value, err);
    Recipe recipe;
    if (!recipe_copy(history_now(&w->history), &recipe, err)) return false;
    recipe.value[dial] = value ? *value : dial_table[dial].default_value;
    return turn_recipe(w, 0, dial, &recipe, err);
}

// What the dial was turned for last is turned again: globs of many linears take a while to be found.
static bool choose_set(Workbench *w, const int *linears, int count, Error *err) {
    const uint64_t hash = hash_bytes(HASH_START, linears, (size_t)count * sizeof *linears);
    if (w->set.in && w->set_hash == hash) return true;
    linear_set_free(&w->set);
    w->set_hash = hash;
    return linear_set_new(&w->index, linears, count, &w->set, err) || (linear_set_free(&w->set), false);
}

bool workbench_set_many(Workbench *w, const int *linears, int count, Dial dial, const double *value, Error *err) {
    Recipe recipe;
    if (!dial_table[dial].per_linear) return error_set(err, "%s holds for the whole model", dial_table[dial].label);
    if (!choose_set(w, linears, count, err) || !recipe_copy(history_now(&w->history), &recipe, err)) return false;
    if (recipe_override_set(&recipe, &w->set, dial, value, err)) return turn_recipe(w, w->set_hash, dial, &recipe, err);
    recipe_free(&recipe);
    return false;
}

bool workbench_toggle_ignore(Workbench *w, const int *linears, int count, Error *err) {
    const Linear *all = engine_structure(w->engine)->linears;
    Recipe recipe;
    bool ignore = false;
    if (!choose_set(w, linears, count, err) || !recipe_copy(history_now(&w->history), &recipe, err)) return false;
    for (int i = 0; i < count; i++) ignore = ignore || !recipe_ignores(&recipe, all[linears[i]].name);
    if (recipe_ignore_set(&recipe, &w->set, ignore, err)) return push_recipe(w, &recipe, err);
    recipe_free(&recipe);
    return false;
}

bool workbench_undo(Workbench *w) { return history_undo(&w->history) && plan_anew(w, NULL); }
bool workbench_redo(Workbench *w) { return history_redo(&w->history) && plan_anew(w, NULL); }

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

bool workbench_begin(Workbench *w, Recipe *recipe, Error *err) {
    History history;
    if (recipe) {
        if (!history_start(&history, recipe, err)) return false;
        history_free(&w->history);
        w->history = history;
        if (!plan_anew(w, err)) return false;
    }
    return trials_begin(&w->trials, history_now(&w->history), err);
}

bool workbench_saved(const Workbench *w) { return w->history.saved == w->history.now; }

// Texts that go on stay until they are written as far as that again.
static void texts_anew_locked(Workbench *w, bool go_on) {
    w->prompt_turn++;
    w->jobs[JOB_DECODE].held = false;
    // Texts go before what can go on later.
    const JobKind yield[] = {JOB_DECODE, JOB_CALIBRATE, JOB_ACCURACY, JOB_SPEED};
    for (size_t i = 0; i < sizeof yield / sizeof *yield; i++) progress_request_stop(&w->jobs[yield[i]].progress);
    studies_interrupt_locked(w);
    DecodeText *const texts[] = {&w->findings.base, &w->findings.quantized, &w->effect.base, &w->effect.quantized};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        texts[i]->finished = false;
        if (!go_on) decode_text_free(texts[i]);
    }
    wish_wakes_locked(w);
}

void workbench_set_prompt(Workbench *w, const char *prompt) {
    char *copy = strdup(prompt);
    if (!copy) return;
    pthread_mutex_lock(&w->lock);
    free(w->prompt);
    w->prompt = copy;
    texts_anew_locked(w, false);
    pthread_mutex_unlock(&w->lock);
}

void workbench_set_tokens(Workbench *w, size_t most) {
    pthread_mutex_lock(&w->lock);
    const bool longer = most > w->most_tokens;
    w->most_tokens = most;
    texts_anew_locked(w, longer);
    pthread_mutex_unlock(&w->lock);
}

size_t workbench_tokens(const Workbench *w) { return w->most_tokens; } // only the screen's thread writes it

const char *workbench_prompt(const Workbench *w) { return w->prompt; }
const Effect *workbench_effect(const Workbench *w) { return &w->effect; }

void workbench_look(Workbench *w, int linear) {
    if (linear == w->looked_at) return; // only the screen's thread writes it
    pthread_mutex_lock(&w->lock);
    w->looked_at = linear;
    // What takes long steps back for it; a first figure does not.
    progress_request_stop(&w->jobs[JOB_CALIBRATE].progress);
    if (w->findings.accuracy_turn == w->turn) progress_request_stop(&w->jobs[JOB_ACCURACY].progress);
    studies_interrupt_locked(w);
    wish_wakes_locked(w);
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
    if (job->state == JOB_STOPPED) out->put_off = job->put_off;
    uint64_t done = atomic_load(&job->progress.done), total = atomic_load(&job->progress.total);
    out->what = atomic_load(&job->progress.what);
    if (out->state == JOB_RUNNING) out->seconds_left = progress_left(&job->progress, out->seconds);
    pthread_mutex_unlock(&shared->lock);
    if (total) out->share = done >= total ? 1 : (double)done / (double)total;
}

void workbench_stop_job(Workbench *w, JobKind kind) {
    pthread_mutex_lock(&w->lock);
    Job *job = &w->jobs[kind];
    if (kind == JOB_TUNE && job_is_on(job->state) && tune_can_end(&w->studies)) {
        tune_end_locked(w);
    } else if (job_is_on(job->state)) {
        job->held = true;
        job->put_off = 0;
        progress_request_stop(&job->progress);
        if (job->state == JOB_WAITING) job->state = JOB_STOPPED;
        if (kind == JOB_EXPORT) exporter_stop_locked(w);
    }
    pthread_mutex_unlock(&w->lock);
}

void workbench_resume_job(Workbench *w, JobKind kind) {
    pthread_mutex_lock(&w->lock);
    Job *job = &w->jobs[kind];
    if (kind != JOB_EXPORT && (job->state == JOB_STOPPED || job->state == JOB_FAILED)) {
        job->held = false;
        job->put_off = 0;
        w->studies.sweep_was_asked = w->studies.sweep_was_asked || kind == JOB_SWEEP;
        w->studies.sensitivity_was_asked = w->studies.sensitivity_was_asked || kind == JOB_SENSITIVITY;
        job->state = JOB_WAITING;
        refuse_jobs_locked(w);
        wish_wakes_locked(w);
    }
    pthread_mutex_unlock(&w->lock);
}

void workbench_restart_jobs(Workbench *w) {
    pthread_mutex_lock(&w->lock);
    for (int i = 0; i < JOB_FIGURES_END; i++) {
        w->jobs[i].held = false;
        if (w->jobs[i].state == JOB_STOPPED || w->jobs[i].state == JOB_FAILED) w->jobs[i].state = JOB_WAITING;
    }
    if (w->forecast.folder && w->jobs[JOB_FORECAST].state == JOB_STOPPED) w->jobs[JOB_FORECAST].state = JOB_WAITING;
    w->jobs[JOB_FORECAST].held = false;
    for (JobKind kind = JOB_STUDIES; kind < JOB_EXPORT; kind++) {
        if (w->jobs[kind].state == JOB_STOPPED && study_wanted_locked(w, kind)) w->jobs[kind].state = JOB_WAITING;
        w->jobs[kind].held = false;
        w->jobs[kind].put_off = 0;
    }
    refuse_jobs_locked(w);
    wish_wakes_locked(w);
    pthread_mutex_unlock(&w->lock);
}

bool workbench_busy(const Workbench *w) {
    Workbench *shared = (Workbench *)w;
    bool busy = false;
    pthread_mutex_lock(&shared->lock);
    for (int i = 0; i < JOB_COUNT; i++) busy = busy || job_is_on(w->jobs[i].state);
    pthread_mutex_unlock(&shared->lock);
    return busy;
}
