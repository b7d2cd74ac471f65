// The screen's side of studies: what is asked for, and what was found.
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/clock.h"
#include "workbench/workbench_parts.h"

static size_t linear_count(const Workbench *w) { return (size_t)engine_structure(w->engine)->linear_count; }

void studies_forget(Sensitivity *linears, size_t count) {
    for (size_t i = 0; i < count; i++)
        linears[i] = (Sensitivity){.linear = (int)i, .estimate = (double)NAN, .estimate_se = (double)NAN};
}

bool studies_new(Workbench *w, Error *err) {
    Studies *s = &w->studies;
    const size_t n = linear_count(w);
    s->choices = array_new(n, sizeof *s->choices);
    s->shown_choices = array_new(n, sizeof *s->shown_choices);
    s->unit = array_new(n, sizeof *s->unit);
    s->shown_unit = array_new(n, sizeof *s->shown_unit);
    s->refused = array_new(n, sizeof *s->refused);
    s->shown_refused = array_new(n, sizeof *s->shown_refused);
    s->linears = array_new(n, sizeof *s->linears);
    s->shown_linears = array_new(n, sizeof *s->shown_linears);
    s->bits = array_new(n, sizeof *s->bits);
    s->shown_bits = array_new(n, sizeof *s->shown_bits);
    s->tune_kept = array_new(n, sizeof *s->tune_kept);
    if (!s->choices || !s->shown_choices || !s->linears || !s->shown_linears || !s->bits || !s->shown_bits ||
        !s->tune_kept || !s->unit || !s->shown_unit || !s->refused || !s->shown_refused)
        return error_memory(err, "studies");
    studies_forget(s->linears, n);
    return true;
}

static void free_sweep(Studies *s) {
    for (int i = 0; i < s->points_count; i++) free(s->points[i].divergences);
    for (int d = 0; d < SWEEP_DIALS; d++) sweep_dial_free(&s->dials[d]);
    free(s->points);
    free(s->shown_points);
    s->points = s->shown_points = NULL;
    s->points_count = s->dial_count = 0;
    s->sweep = (SweepView){0};
}

void studies_free(Workbench *w) {
    Studies *s = &w->studies;
    free_sweep(s);
    free(s->choices);
    free(s->shown_choices);
    free(s->unit);
    free(s->shown_unit);
    free(s->refused);
    free(s->shown_refused);
    free(s->linears);
    free(s->shown_linears);
    free(s->bits);
    free(s->shown_bits);
    free(s->tune_kept);
    recipe_free(&s->sweep_recipe);
    recipe_free(&s->tune_recipe);
    tuned_free(&s->tuned);
}

static bool has_choices_locked(const Workbench *w) {
    const Studies *s = &w->studies;
    return s->choices_turn == w->turn && s->choices_presents == w->presents &&
           verdict_wish_equal(&s->bound_by, &s->engine);
}

// Where the turn has figures already, these say more.
bool study_wants_kept_locked(const Workbench *w) {
    const Studies *s = &w->studies;
    const bool measures = s->wants_sensitivity && s->sensitivity_done != w->turn;
    return s->looks_at_kept && !measures && s->kept_turn != w->turn && s->sensitivity_turn != w->turn;
}

bool study_wanted_locked(const Workbench *w, JobKind kind) {
    const Studies *s = &w->studies;
    switch (kind) {
    case JOB_CHOICES: return s->looks_at_sensitivity && !has_choices_locked(w);
    case JOB_SPEEDS: return s->looks_at_speeds && !(s->speeds.turn == w->turn && s->speeds.finished);
    case JOB_PIN: return w->pin_wish.wanted;
    case JOB_SENSITIVITY: return (s->wants_sensitivity && s->sensitivity_done != w->turn) || study_wants_kept_locked(w);
    case JOB_SWEEP: return s->wants_sweep && s->sweep_done != s->sweep_asked;
    case JOB_TUNE: return s->tune_asked && !s->tune_done;
    default: return false;
    }
}

static bool was_asked_locked(const Workbench *w, JobKind kind) {
    const Studies *s = &w->studies;
    return kind == JOB_TUNE || (kind == JOB_SWEEP && s->sweep_was_asked) ||
           (kind == JOB_SENSITIVITY && s->sensitivity_was_asked);
}

JobKind study_next_locked(const Workbench *w, JobKind but) {
    static const JobKind order[] = {JOB_TUNE, JOB_PIN, JOB_SENSITIVITY, JOB_SWEEP};
    JobKind best = JOB_COUNT;
    int best_rank = -1;
    for (size_t i = 0; i < sizeof order / sizeof *order; i++) {
        const JobKind kind = order[i];
        const bool ahead = kind == JOB_PIN || (kind == JOB_SWEEP && w->studies.looks_at_sweep);
        const int rank = 2 * was_asked_locked(w, kind) + ahead;
        if (rank <= best_rank || kind == but || w->jobs[kind].held || !study_wanted_locked(w, kind)) continue;
        best = kind;
        best_rank = rank;
    }
    return best;
}

JobKind workbench_next_study(const Workbench *w, JobKind but) {
    Workbench *shared = (Workbench *)w;
    pthread_mutex_lock(&shared->lock);
    const JobKind next = study_next_locked(w, but);
    pthread_mutex_unlock(&shared->lock);
    return next;
}

// How long it takes is known after a while. What is on disk already says nothing about it.
#define WATCH_SECONDS 1.0
#define WATCH_SECONDS_MOST 5.0 // a step that takes so long is one of a large model
void study_put_off_locked(Workbench *w, JobKind kind) {
    Job *job = &w->jobs[kind];
    const double took = clock_seconds() - job->started, patience = w->studies.patience;
    if ((kind != JOB_SENSITIVITY && kind != JOB_SWEEP) || was_asked_locked(w, kind) ||
        took < fmin(WATCH_SECONDS, patience))
        return;
    const double total = (double)atomic_load(&job->progress.total), done = (double)atomic_load(&job->progress.done),
                 from = (double)atomic_load(&job->progress.from);
    const bool begun = total > 0 && done > from;
    if (!begun && took < WATCH_SECONDS_MOST) return;
    const double left = begun ? took * (total - done) / (done - from) : (double)INFINITY;
    if (took + left <= patience || job->held) return;
    job->held = true;
    job->put_off = left;
    progress_request_stop(&job->progress);
}

void studies_interrupt_locked(Workbench *w) {
    atomic_store(&w->studies.interrupted, true);
    for (JobKind kind = JOB_STUDIES; kind < JOB_EXPORT; kind++) progress_request_stop(&w->jobs[kind].progress);
}

// What was asked for, or is not wanted any more. What runs learns of it by itself.
static void ask_locked(Workbench *w, JobKind kind) {
    Job *job = &w->jobs[kind];
    job->held = false;
    job->put_off = 0;
    if (kind == JOB_TUNE) w->studies.tune_ends = false;
    job->message[0] = '\0';
    if (job->state != JOB_RUNNING) job->state = study_wanted_locked(w, kind) ? JOB_WAITING : JOB_DONE;
    wish_wakes_locked(w);
}

void workbench_resume_study(Workbench *w, JobKind kind) {
    pthread_mutex_lock(&w->lock);
    if (kind == JOB_SWEEP) w->studies.sweep_was_asked = true;
    if (kind == JOB_SENSITIVITY) w->studies.sensitivity_was_asked = true;
    ask_locked(w, kind);
    pthread_mutex_unlock(&w->lock);
}

void study_pin_locked(Workbench *w) {
    progress_request_stop(&w->jobs[JOB_PIN].progress);
    ask_locked(w, JOB_PIN);
}

// What takes long goes on after what is looked at now.
static void step_back_locked(Workbench *w) {
    studies_interrupt_locked(w);
    progress_request_stop(&w->jobs[JOB_CALIBRATE].progress);
    if (w->findings.accuracy_turn == w->turn) progress_request_stop(&w->jobs[JOB_ACCURACY].progress);
}

// ---- sensitivity --------------------------------------------------------------------------------------------------

void studies_turn_locked(Workbench *w) {
    Studies *s = &w->studies;
    studies_interrupt_locked(w);
    s->wants_sensitivity = s->looks_at_sensitivity;
    s->sensitivity_was_asked = false;
    ask_locked(w, JOB_CHOICES);
    ask_locked(w, JOB_SENSITIVITY);
    ask_locked(w, JOB_SPEEDS);
}

static void find_choices_locked(Workbench *w) {
    if (!study_wanted_locked(w, JOB_CHOICES)) return;
    step_back_locked(w);
    ask_locked(w, JOB_CHOICES);
}

void workbench_bound_by(Workbench *w, const VerdictWish *engine) {
    pthread_mutex_lock(&w->lock);
    const bool other = !verdict_wish_equal(&w->studies.engine, engine);
    w->studies.engine = *engine;
    if (other) find_choices_locked(w);
    pthread_mutex_unlock(&w->lock);
}

void workbench_look_at_sensitivity(Workbench *w, bool look) {
    Studies *s = &w->studies;
    if (look && !engine_can_run(w->engine, NULL)) look = false;
    pthread_mutex_lock(&w->lock);
    const bool begins = look && !s->looks_at_sensitivity;
    s->looks_at_sensitivity = look;
    if (begins) {
        step_back_locked(w);
        ask_locked(w, JOB_CHOICES);
        // One that the user stopped stays so.
        if (!s->wants_sensitivity) {
            s->wants_sensitivity = true;
            ask_locked(w, JOB_SENSITIVITY);
        }
    }
    pthread_mutex_unlock(&w->lock);
}

void workbench_look_at_kept_sensitivity(Workbench *w, bool look) {
    Studies *s = &w->studies;
    pthread_mutex_lock(&w->lock);
    s->looks_at_kept = look && engine_can_run(w->engine, NULL);
    if (!w->jobs[JOB_SENSITIVITY].held && w->jobs[JOB_SENSITIVITY].state != JOB_FAILED) {
        if (study_wants_kept_locked(w)) step_back_locked(w);
        ask_locked(w, JOB_SENSITIVITY);
    }
    pthread_mutex_unlock(&w->lock);
}

const SensitivityView *workbench_sensitivity(const Workbench *w) { return &w->studies.sensitivity; }

static void take_sensitivity_locked(Workbench *w) {
    Studies *s = &w->studies;
    memcpy(s->shown_choices, s->choices, linear_count(w) * sizeof *s->choices);
    memcpy(s->shown_unit, s->unit, linear_count(w) * sizeof *s->unit);
    memcpy(s->shown_refused, s->refused, linear_count(w) * sizeof *s->refused);
    memcpy(s->shown_linears, s->linears, linear_count(w) * sizeof *s->linears);
    memcpy(s->shown_bits, s->bits, linear_count(w) * sizeof *s->bits);
    s->sensitivity = (SensitivityView){.choices_turn = s->choices_turn,
                                       .choices = s->choices_turn ? s->shown_choices : NULL,
                                       .bound_by = s->bound_by,
                                       .unit = s->bound_by.targets ? s->shown_unit : NULL,
                                       .refused = s->bound_by.targets ? s->shown_refused : NULL,
                                       .turn = s->sensitivity_turn,
                                       .linears = s->shown_linears,
                                       .bits = s->shown_bits,
                                       .count = s->count,
                                       .measured = s->measured,
                                       .estimate_tokens = s->estimate_tokens,
                                       .finished = s->sensitivity_turn && s->sensitivity_done == s->sensitivity_turn,
                                       .version = s->version};
}

// ---- speeds -------------------------------------------------------------------------------------------------------

void workbench_look_at_speeds(Workbench *w, bool look) {
    Studies *s = &w->studies;
    pthread_mutex_lock(&w->lock);
    const bool begins = look && !s->looks_at_speeds;
    s->looks_at_speeds = look;
    if (begins) step_back_locked(w);
    if (begins || (!look && job_is_on(w->jobs[JOB_SPEEDS].state))) ask_locked(w, JOB_SPEEDS);
    if (!look) progress_request_stop(&w->jobs[JOB_SPEEDS].progress);
    pthread_mutex_unlock(&w->lock);
}

const SpeedsView *workbench_speeds(const Workbench *w) { return &w->studies.shown_speeds; }

// ---- sweep --------------------------------------------------------------------------------------------------------

// But for the dials that are swept.
static bool same_others(const Studies *s, const Recipe *now) {
    Recipe set = s->sweep_recipe; // which keeps what it points to
    for (int d = 0; d < s->dial_count; d++) set.value[s->dials[d].dial] = now->value[s->dials[d].dial];
    return recipe_equal(&set, now);
}

static bool ask_sweep_locked(Workbench *w, Error *err) {
    Studies *s = &w->studies;
    Recipe copy;
    if (!recipe_copy(history_now(&w->history), &copy, err)) return false;
    recipe_free(&s->sweep_recipe);
    s->sweep_recipe = copy;
    s->sweep_asked++;
    s->wants_sweep = true;
    s->sweep_dropped = false;
    studies_interrupt_locked(w); // the newest question comes first
    ask_locked(w, JOB_SWEEP);
    return true;
}

// Figures stay, as those of another recipe; what they were made of goes, so that nothing is compared with it.
static void age_points_locked(Studies *s) {
    for (int i = 0; i < s->points_count; i++) {
        free(s->points[i].divergences);
        s->points[i].divergences = NULL;
        s->points[i].older = true;
        if (s->shown_points) s->shown_points[i] = s->points[i];
    }
    s->version++;
}

// A sweep that was dropped on the way goes on when its recipe is back: its points are on disk.
void studies_change_locked(Workbench *w) {
    Studies *s = &w->studies;
    find_choices_locked(w);
    if (!s->dial_count) return;
    if (same_others(s, history_now(&w->history))) {
        if (s->sweep_dropped) ask_sweep_locked(w, NULL);
        return;
    }
    age_points_locked(s);
    s->sweep_dropped = s->sweep_dropped || study_wanted_locked(w, JOB_SWEEP);
    s->wants_sweep = false;
    if (!s->looks_at_sweep || !ask_sweep_locked(w, NULL)) ask_locked(w, JOB_SWEEP);
}

bool workbench_sweep(Workbench *w, SweepDial *dials, int dial_count, bool asked, Error *err) {
    Studies *s = &w->studies;
    Sweep sweep; // checks what is asked for
    bool ok = sweep_new(workbench_recipe(w), dials, dial_count, &sweep, err) && engine_can_run(w->engine, err);
    SweepPoint *points = ok ? array_new((size_t)sweep.count, sizeof *points) : NULL;
    SweepPoint *shown = ok ? array_new((size_t)sweep.count, sizeof *shown) : NULL;
    ok = ok && ((points && shown) || error_memory(err, "a sweep"));
    pthread_mutex_lock(&w->lock);
    if (ok) {
        free_sweep(s);
        s->points = points;
        s->shown_points = shown;
        s->points_count = sweep.count;
        s->dial_count = dial_count;
        for (int d = 0; d < dial_count; d++) {
            s->dials[d] = sweep.dials[d];
            sweep.dials[d] = (SweepDial){0};
        }
        s->version++;
        s->sweep_was_asked = asked;
        ok = ask_sweep_locked(w, err);
    } else {
        free(points);
        free(shown);
    }
    pthread_mutex_unlock(&w->lock);
    sweep_free(&sweep);
    if (ok) studies_take(w);
    return ok;
}

void workbench_look_at_sweep(Workbench *w, bool look) {
    Studies *s = &w->studies;
    pthread_mutex_lock(&w->lock);
    s->looks_at_sweep = look;
    if (look && study_wanted_locked(w, JOB_SWEEP)) studies_interrupt_locked(w);
    if (look && s->dial_count && !s->wants_sweep) ask_sweep_locked(w, NULL);
    pthread_mutex_unlock(&w->lock);
}

const SweepView *workbench_swept(const Workbench *w) { return &w->studies.sweep; }

double sweep_view_value(const SweepView *view, int point, int dial) {
    const Sweep sweep = {.dials = {view->dials[0], view->dials[1]}, .dial_count = view->dial_count};
    return sweep_value(&sweep, point, dial);
}

// The front of those of one recipe, and its knee. Without memory for it none is marked.
static int mark_front(SweepPoint *points, int count) {
    Point *present = array_new((size_t)count, sizeof *present);
    for (int i = 0; present && i < count; i++) {
        present[i] = points[i].point;
        present[i].known = present[i].known && !points[i].older;
    }
    if (present) points_mark_front(present, count);
    for (int i = 0; present && i < count; i++) points[i].point.pareto = present[i].pareto;
    const int knee = present ? points_knee(present, count) : -1;
    free(present);
    return knee;
}

static void take_sweep_locked(Workbench *w) {
    Studies *s = &w->studies;
    s->sweep = (SweepView){.dial_count = s->dial_count, .count = s->points_count, .knee = -1, .version = s->version};
    if (!s->dial_count) return;
    memcpy(s->shown_points, s->points, (size_t)s->points_count * sizeof *s->points);
    s->sweep.knee = mark_front(s->shown_points, s->points_count);
    memcpy(s->sweep.dials, s->dials, sizeof s->dials); // the values stay those of the studies
    s->sweep.points = s->shown_points;
    for (int i = 0; i < s->points_count; i++) s->sweep.known += s->points[i].point.known && !s->points[i].older;
}

// ---- tune ---------------------------------------------------------------------------------------------------------

bool tune_can_end(const Studies *s) { return !s->tune_ends && isfinite(s->tuned.best_kl); }

void tune_end_locked(Workbench *w) {
    w->studies.tune_ends = true;
    if (w->studies.tune_reached) progress_request_stop(&w->jobs[JOB_TUNE].progress);
}

bool workbench_tune(Workbench *w, const TuneGoal *goal, const VerdictWish *engine, Error *err) {
    Studies *s = &w->studies;
    Recipe copy;
    if (!engine_can_run(w->engine, err) || !recipe_copy(workbench_recipe(w), &copy, err)) return false;
    pthread_mutex_lock(&w->lock);
    const JobState state = w->jobs[JOB_TUNE].state;
    const bool runs = job_is_on(state);
    if (!runs) {
        const TunePace pace = study_pace_locked(w);
        recipe_free(&s->tune_recipe);
        tuned_free(&s->tuned);
        s->tuned.pace = pace;
        s->tune_recipe = copy;
        s->goal = *goal;
        s->goal.kept = NULL; // of the caller
        memset(s->tune_kept, 0, linear_count(w) * sizeof *s->tune_kept);
        if (goal->kept) memcpy(s->tune_kept, goal->kept, linear_count(w) * sizeof *s->tune_kept);
        s->goal.engines = engine ? engines_of(engine) : (Engines){0};
        s->tuned.best_bits = s->tuned.best_kl = s->tuned.first_kl = (double)NAN;
        s->tune_asked = true;
        s->tune_done = s->tune_ends = false;
        s->tune_change = w->changes;
        studies_interrupt_locked(w);
        ask_locked(w, JOB_TUNE);
    }
    pthread_mutex_unlock(&w->lock);
    if (runs) recipe_free(&copy);
    return !runs || error_set(err, "a search is on its way; x stops it");
}

void study_pace(Workbench *w, const EvaluatorWork *before, double seconds) {
    const EvaluatorWork after = engine_evaluation_work(w->engine);
    double layer, head;
    tune_weights_met(engine_structure(w->engine), &layer, &head);
    pthread_mutex_lock(&w->lock);
    w->studies.met += layer * (after.layers - before->layers) + head * (after.heads - before->heads);
    w->studies.met_seconds += seconds;
    pthread_mutex_unlock(&w->lock);
}

// Of a search that was interrupted, or of evaluations.
TunePace study_pace_locked(const Workbench *w) {
    const Studies *s = &w->studies;
    if (s->tuned.pace.meet > 0) return s->tuned.pace;
    return (TunePace){.meet = s->met > 0 ? s->met_seconds / s->met : 0};
}

bool workbench_tune_seconds(const Workbench *w, const TuneGoal *goal, const VerdictWish *engine, double *seconds,
                            Error *err) {
    Workbench *shared = (Workbench *)w;
    TuneGoal whole = *goal;
    if (engine) whole.engines = engines_of(engine);
    pthread_mutex_lock(&shared->lock);
    whole.pace = study_pace_locked(w);
    pthread_mutex_unlock(&shared->lock);
    return tune_forecast(engine_structure(w->engine), &w->plan, history_now(&w->history), &whole,
                         (size_t)w->effect.accuracy.planned, seconds, err);
}

void workbench_tuned(const Workbench *w, TuneView *out) {
    Workbench *shared = (Workbench *)w;
    const Studies *s = &w->studies;
    pthread_mutex_lock(&shared->lock);
    *out = (TuneView){.asked = s->tune_asked,
                      .goal = s->goal,
                      .changes = w->changes - s->tune_change,
                      .done = s->tune_done,
                      .ends = s->tune_ends,
                      .tuned = s->tuned,
                      .recipe = s->tune_done ? &s->tuned.recipe : NULL,
                      .began = &s->tune_recipe};
    pthread_mutex_unlock(&shared->lock);
}

void workbench_forget_tuned(Workbench *w) {
    pthread_mutex_lock(&w->lock);
    const JobState state = w->jobs[JOB_TUNE].state;
    if (!job_is_on(state)) {
        w->studies.tune_asked = w->studies.tune_done = false;
        w->jobs[JOB_TUNE].state = JOB_DONE;
    }
    pthread_mutex_unlock(&w->lock);
}

// ---- what was found -----------------------------------------------------------------------------------------------

void studies_take(Workbench *w) {
    Studies *s = &w->studies;
    pthread_mutex_lock(&w->lock);
    if (s->shown_version != s->version) {
        take_sensitivity_locked(w);
        take_sweep_locked(w);
        s->shown_speeds = s->speeds;
        s->shown_version = s->version;
    }
    pthread_mutex_unlock(&w->lock);
}
