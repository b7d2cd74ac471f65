// The background thread's side of studies.
#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/clock.h"
#include "workbench/workbench_parts.h"

// ---- choices ------------------------------------------------------------------------------------------------------

// What other bits would be, and what the engine that is chosen asks of them.
typedef struct Choosing {
    Recipe recipe;
    uint64_t presents; // the recipe's
    VerdictWish engine;
    BitChoices *choices;
    int *unit;
    uint8_t *refused;
} Choosing;

static bool choosing_new(Workbench *w, uint64_t turn, Choosing *out, Error *err) {
    const size_t n = (size_t)engine_structure(w->engine)->linear_count;
    *out = (Choosing){.choices = array_new(n, sizeof *out->choices),
                      .unit = array_new(n, sizeof *out->unit),
                      .refused = array_new(n, sizeof *out->refused)};
    if (!out->choices || !out->unit || !out->refused) return error_memory(err, "a budget");
    pthread_mutex_lock(&w->lock);
    const bool ok = w->turn == turn ? recipe_copy(&w->present, &out->recipe, err) : error_stopped(err);
    out->presents = w->presents;
    out->engine = w->studies.engine;
    pthread_mutex_unlock(&w->lock);
    return ok;
}

static void choosing_take(Workbench *w, uint64_t turn, const Choosing *c) {
    Studies *s = &w->studies;
    const size_t n = (size_t)engine_structure(w->engine)->linear_count;
    pthread_mutex_lock(&w->lock);
    memcpy(s->choices, c->choices, n * sizeof *s->choices);
    memcpy(s->unit, c->unit, n * sizeof *s->unit);
    memcpy(s->refused, c->refused, n * sizeof *s->refused);
    s->choices_turn = turn;
    s->choices_presents = c->presents;
    s->bound_by = c->engine;
    s->version++;
    pthread_mutex_unlock(&w->lock);
}

static bool choices_run(Workbench *w, const Plan *plan, uint64_t turn, Error *err) {
    const ModelStructure *structure = engine_structure(w->engine);
    const Measured *measured = &engine_stats(w->engine)->measured;
    Choosing c;
    bool ok = choosing_new(w, turn, &c, err) && bit_choices_make(&c.recipe, structure, measured, plan, c.choices, err);
    if (ok && c.engine.targets) {
        const Engines engines = engines_of(&c.engine);
        ok = budget_bounds(&c.recipe, structure, measured, &engines, c.unit, c.refused, err);
    }
    if (ok) choosing_take(w, turn, &c);
    recipe_free(&c.recipe);
    free(c.choices);
    free(c.unit);
    free(c.refused);
    return ok;
}

// ---- sensitivity --------------------------------------------------------------------------------------------------

typedef struct SensitivityContext {
    Workbench *w;
    const Plan *plan;
    uint64_t turn;
} SensitivityContext;

static void take_sensitivities(void *context, const Sensitivities *so_far) {
    const SensitivityContext *c = context;
    Studies *s = &c->w->studies;
    pthread_mutex_lock(&c->w->lock);
    if (s->sensitivity_turn != c->turn) studies_forget(s->linears, (size_t)c->plan->linear_count);
    for (int i = 0; i < c->plan->linear_count; i++) s->bits[i] = c->plan->decisions[i].bits;
    s->measured = 0;
    for (int i = 0; i < so_far->count; i++) {
        // One that was interrupted reads from the disk what it knows, and not all at once.
        Sensitivity *shown = &s->linears[so_far->linears[i].linear];
        const Sensitivity was = *shown;
        *shown = so_far->linears[i];
        if (was.alone_known && !shown->alone_known) {
            shown->alone_known = true;
            shown->kl = was.kl;
            shown->kl_se = was.kl_se;
        }
        s->measured += shown->alone_known;
    }
    s->sensitivity_turn = c->turn;
    s->count = so_far->count;
    // The estimates say nothing about how long the rest takes.
    if (so_far->measured == 0) c->w->jobs[JOB_SENSITIVITY].started = clock_seconds();
    s->estimate_tokens = so_far->estimate_tokens;
    s->version++;
    pthread_mutex_unlock(&c->w->lock);
    signal_screen(c->w);
}

// Nothing is known of a turn of which nothing is kept: figures of the turn before stay.
bool study_recall(Workbench *w, const Plan *plan, uint64_t turn, Error *err) {
    Sensitivities found = {0};
    SensitivityContext context = {w, plan, turn};
    const bool ok = plan->quantized_count == 0 || engine_sensitivity(w->engine, plan, SENSITIVITY_KEPT, NULL, NULL,
                                                                     &found, &w->jobs[JOB_SENSITIVITY].progress, err);
    if (ok && found.measured > 0) take_sensitivities(&context, &found);
    pthread_mutex_lock(&w->lock);
    if (ok) w->studies.kept_turn = turn;
    if (ok && found.count > 0 && found.measured == found.count) {
        w->studies.sensitivity_done = turn;
        w->studies.version++;
    }
    pthread_mutex_unlock(&w->lock);
    sensitivities_free(&found);
    return ok;
}

static bool recall_first(Workbench *w, const Plan *plan, uint64_t turn, bool *done, Error *err) {
    pthread_mutex_lock(&w->lock);
    const bool was_read = w->studies.kept_turn == turn;
    pthread_mutex_unlock(&w->lock);
    if (!was_read && !study_recall(w, plan, turn, err)) return false;
    pthread_mutex_lock(&w->lock);
    *done = w->studies.sensitivity_done == turn;
    w->jobs[JOB_SENSITIVITY].started = clock_seconds(); // reading says nothing about how long the rest takes
    pthread_mutex_unlock(&w->lock);
    return true;
}

// What the disk has comes first: it is known also where the rest is put off.
static bool sensitivity_run(Workbench *w, const Plan *plan, uint64_t turn, Error *err) {
    Sensitivities found;
    SensitivityContext context = {w, plan, turn};
    bool done = false;
    if (!recall_first(w, plan, turn, &done, err)) return false;
    if (done) return true;
    // Where nothing is quantized there is nothing to find.
    const bool ok =
        plan->quantized_count == 0 || engine_sensitivity(w->engine, plan, SENSITIVITY_ALONE, take_sensitivities,
                                                         &context, &found, &w->jobs[JOB_SENSITIVITY].progress, err);
    if (plan->quantized_count == 0) found = (Sensitivities){0};
    if (ok) {
        take_sensitivities(&context, &found);
        pthread_mutex_lock(&w->lock);
        w->studies.sensitivity_done = turn;
        w->studies.version++;
        pthread_mutex_unlock(&w->lock);
    }
    sensitivities_free(&found);
    return ok;
}

// ---- speeds -------------------------------------------------------------------------------------------------------

#define CELL_SECONDS 0.5

typedef struct SpeedsContext {
    Workbench *w;
    uint64_t turn;
} SpeedsContext;

static void take_speeds(void *context, const SpeedMap *so_far) {
    const SpeedsContext *c = context;
    Studies *s = &c->w->studies;
    pthread_mutex_lock(&c->w->lock);
    s->speeds = (SpeedsView){.turn = c->turn, .map = *so_far};
    s->version++;
    pthread_mutex_unlock(&c->w->lock);
    signal_screen(c->w);
}

// Cells of this turn that are there stay: it goes on with the others.
static bool speeds_run(Workbench *w, uint64_t turn, Error *err) {
    SpeedsContext context = {w, turn};
    pthread_mutex_lock(&w->lock);
    SpeedMap map =
        w->studies.speeds.turn == turn ? w->studies.speeds.map : speed_map_usual(&engine_structure(w->engine)->config);
    pthread_mutex_unlock(&w->lock);
    take_speeds(&context, &map); // its axes are seen
    if (!engine_speed_map(w->engine, CELL_SECONDS, &map, take_speeds, &context, &w->jobs[JOB_SPEEDS].progress, err))
        return false;
    pthread_mutex_lock(&w->lock);
    w->studies.speeds.finished = true;
    w->studies.version++;
    pthread_mutex_unlock(&w->lock);
    return true;
}

// ---- the pin ------------------------------------------------------------------------------------------------------

// Nothing is kept of one that is not wanted any more.
static void publish_pin(Workbench *w, PinScore *score) {
    pthread_mutex_lock(&w->lock);
    if (w->pin_wish.wanted && w->pin_wish.model == score->model) {
        free(w->findings.pin.by_position);
        w->findings.pin = *score;
        score->by_position = NULL;
        w->pin_wish.wanted = false;
    }
    pthread_mutex_unlock(&w->lock);
    signal_screen(w);
}

static bool pin_run(Workbench *w, Error *err) {
    Progress *progress = &w->jobs[JOB_PIN].progress;
    Plan plan = {0};
    Trial trial = {0};
    PinScore score = {0};
    pthread_mutex_lock(&w->lock);
    bool ok = plan_copy(&w->pin_wish.plan, &plan) || error_memory(err, "the pin");
    score.model = w->pin_wish.model;
    pthread_mutex_unlock(&w->lock);
    ok = ok && engine_begin_study(w->engine, &trial, err);
    if (ok) score.positions = (size_t)trial_work(&trial);
    if (ok) score.by_position = array_new(POSITION_FIGURES * score.positions, sizeof *score.by_position);
    ok = ok && (score.by_position || error_memory(err, "the pin"));
    if (ok) progress_begin(progress, "scoring the pin", score.positions);
    ok = ok && trial_run_positions(&trial, &plan, &score.accuracy, score.by_position, progress, err);
    if (ok) publish_pin(w, &score);
    trial_end(&trial);
    plan_free(&plan);
    free(score.by_position);
    return ok;
}

// ---- sweep --------------------------------------------------------------------------------------------------------

typedef struct SweepRun {
    Workbench *w;
    uint64_t asked;
    Sweep sweep;
    bool *known; // [count]
    int *order;  // [count]: the nearest to the recipe first
    Recipe recipe;
    Trial trial;
    float *by_position; // [POSITION_FIGURES, positions]
    Error *err;
} SweepRun;

static bool copy_dial(const SweepDial *from, SweepDial *to, Error *err) {
    *to = (SweepDial){from->dial, array_new((size_t)from->count, sizeof *to->values), from->count};
    if (!to->values) return error_memory(err, "a sweep");
    memcpy(to->values, from->values, (size_t)from->count * sizeof *to->values);
    return true;
}

// The question as it is now, and which points are there already.
static bool take_question(SweepRun *r) {
    Studies *s = &r->w->studies;
    SweepDial dials[SWEEP_DIALS] = {0};
    int points = 0;
    pthread_mutex_lock(&r->w->lock);
    const int dial_count = s->dial_count;
    r->asked = s->sweep_asked;
    bool ok = recipe_copy(&s->sweep_recipe, &r->recipe, r->err);
    for (int d = 0; ok && d < dial_count; d++) ok = copy_dial(&s->dials[d], &dials[d], r->err);
    r->known = array_new((size_t)s->points_count, sizeof *r->known);
    r->order = array_new((size_t)s->points_count, sizeof *r->order);
    ok = ok && ((r->known && r->order) || error_memory(r->err, "a sweep"));
    for (; ok && points < s->points_count; points++)
        r->known[points] = s->points[points].point.known && !s->points[points].older;
    pthread_mutex_unlock(&r->w->lock);
    if (ok) return sweep_new(&r->recipe, dials, dial_count, &r->sweep, r->err);
    for (int d = 0; d < SWEEP_DIALS; d++) sweep_dial_free(&dials[d]);
    return false;
}

static int nearest_value(const SweepDial *dial, double value) {
    int nearest = 0;
    for (int i = 1; i < dial->count; i++) {
        if (fabs(dial->values[i] - value) < fabs(dial->values[nearest] - value)) nearest = i;
    }
    return nearest;
}

static int steps_away(const SweepRun *r, int point) {
    int steps = 0;
    for (int d = r->sweep.dial_count - 1; d >= 0; d--) {
        const SweepDial *dial = &r->sweep.dials[d];
        steps += abs(point % dial->count - nearest_value(dial, r->recipe.value[dial->dial]));
        point /= dial->count;
    }
    return steps;
}

static void put_in_order(SweepRun *r) {
    for (int i = 0; i < r->sweep.count; i++) {
        int at = i;
        const int steps = steps_away(r, i);
        for (; at > 0 && steps_away(r, r->order[at - 1]) > steps; at--) r->order[at] = r->order[at - 1];
        r->order[at] = i;
    }
}

// With a copy of the divergences, the first of by_position, where there is memory for it.
static void publish_point(SweepRun *r, int i, const Point *point, const float *by_position) {
    Studies *s = &r->w->studies;
    const size_t n = (size_t)trial_work(&r->trial);
    static_assert(POSITION_KL == 0, "divergences do not come first");
    float *copy = by_position ? array_new(n, sizeof *copy) : NULL;
    if (copy) memcpy(copy, by_position, n * sizeof *copy);
    pthread_mutex_lock(&r->w->lock);
    if (s->sweep_asked == r->asked) {
        const bool was = s->points[i].point.known; // an older figure stays until there is a new one
        if (point->known || !was) {
            free(s->points[i].divergences);
            s->points[i] = (SweepPoint){.point = *point, .planned = true, .divergences = copy};
            copy = NULL;
        }
        s->version++;
    }
    pthread_mutex_unlock(&r->w->lock);
    free(copy);
    signal_screen(r->w);
}

static bool plan_point(SweepRun *r, int i, Plan *plan, Point *out) {
    if (!engine_make_plan(r->w->engine, &r->sweep.recipes[i], plan, r->err)) return false;
    *out = (Point){.bytes = plan->bytes, .bits_per_weight = plan->bits_per_weight};
    return true;
}

// Sizes, and figures that are on disk.
static bool look_up_points(SweepRun *r, Progress *progress) {
    for (int i = 0; i < r->sweep.count; i++) {
        const int at = r->order[i];
        Plan plan = {0};
        Point point;
        if (r->known[at]) continue;
        if (progress_should_stop(progress)) return error_stopped(r->err);
        if (!plan_point(r, at, &plan, &point)) return false;
        const bool whole = trial_known(&r->trial, &plan, &point.accuracy, r->by_position);
        point.known = r->known[at] = whole || trial_known(&r->trial, &plan, &point.accuracy, NULL);
        publish_point(r, at, &point, whole ? r->by_position : NULL);
        plan_free(&plan);
    }
    return true;
}

static bool measure_points(SweepRun *r, Progress *progress) {
    uint64_t missing = 0;
    for (int i = 0; i < r->sweep.count; i++) missing += !r->known[i];
    progress_begin(progress, "measuring recipes", missing * trial_work(&r->trial));
    for (int i = 0; i < r->sweep.count; i++) {
        const int at = r->order[i];
        Plan plan = {0};
        Point point;
        if (r->known[at]) continue;
        bool ok = plan_point(r, at, &plan, &point) &&
                  trial_run_positions(&r->trial, &plan, &point.accuracy, r->by_position, progress, r->err);
        plan_free(&plan);
        if (!ok) return false;
        point.known = true;
        publish_point(r, at, &point, r->by_position);
    }
    return true;
}

static bool sweep_run(Workbench *w, Error *err) {
    SweepRun r = {.w = w, .err = err};
    Progress *progress = &w->jobs[JOB_SWEEP].progress;
    bool ok = take_question(&r) && engine_begin_study(w->engine, &r.trial, err);
    if (ok) r.by_position = array_new(POSITION_FIGURES * (size_t)trial_work(&r.trial), sizeof *r.by_position);
    ok = ok && (r.by_position || error_memory(err, "a sweep"));
    if (ok) put_in_order(&r);
    ok = ok && look_up_points(&r, progress) && measure_points(&r, progress);
    if (ok) {
        pthread_mutex_lock(&w->lock);
        w->studies.sweep_done = r.asked;
        pthread_mutex_unlock(&w->lock);
    }
    trial_end(&r.trial);
    sweep_free(&r.sweep);
    recipe_free(&r.recipe);
    free(r.known);
    free(r.order);
    free(r.by_position);
    return ok;
}

// ---- tune ---------------------------------------------------------------------------------------------------------

// One that was interrupted begins again, and comes to what it had found before.
static bool is_behind(const TuneGoal *goal, const Tuned *so_far, const Tuned *before) {
    if (isnan(before->best_kl) || isnan(so_far->best_kl)) return !isnan(before->best_kl);
    return goal->max_kl > 0 ? so_far->best_bits > before->best_bits : so_far->best_kl > before->best_kl;
}

static void take_tuned(void *context, const Tuned *so_far) {
    Workbench *w = context;
    pthread_mutex_lock(&w->lock);
    Tuned *shown = &w->studies.tuned;
    const Tuned before = *shown;
    *shown = *so_far;
    shown->recipe = (Recipe){0};
    if (!so_far->uniform.known) shown->uniform = before.uniform;
    const bool behind = is_behind(&w->studies.goal, so_far, &before);
    if (behind) {
        shown->best_kl = before.best_kl;
        shown->best_bits = before.best_bits;
        shown->first_kl = before.first_kl;
    }
    w->studies.tune_reached = isfinite(so_far->best_kl) && !behind && so_far->cut == TUNE_WHOLE;
    if (w->studies.tune_ends && w->studies.tune_reached) progress_request_stop(&w->jobs[JOB_TUNE].progress);
    pthread_mutex_unlock(&w->lock);
    signal_screen(w);
}

static bool tune_run(Workbench *w, Error *err) {
    Recipe recipe;
    Tuned tuned = {0};
    pthread_mutex_lock(&w->lock);
    TuneGoal goal = w->studies.goal;
    w->studies.tune_reached = false;
    bool ok = recipe_copy(&w->studies.tune_recipe, &recipe, err);
    goal.kept = w->studies.tune_kept; // which stays as it is while the search is on
    goal.pace = study_pace_locked(w);
    pthread_mutex_unlock(&w->lock);
    if (!ok) return false;
    ok = engine_tune(w->engine, &recipe, &goal, take_tuned, w, &tuned, &w->jobs[JOB_TUNE].progress, err);
    recipe_free(&recipe);
    if (ok) {
        pthread_mutex_lock(&w->lock);
        w->studies.tuned = tuned;
        w->studies.tune_done = true;
        pthread_mutex_unlock(&w->lock);
    } else
        tuned_free(&tuned);
    return ok;
}

bool study_run(Workbench *w, JobKind kind, const Plan *plan, uint64_t turn, Error *err) {
    switch (kind) {
    case JOB_CHOICES: return choices_run(w, plan, turn, err);
    case JOB_SPEEDS: return speeds_run(w, turn, err);
    case JOB_PIN: return pin_run(w, err);
    case JOB_SWEEP: return sweep_run(w, err);
    case JOB_TUNE: return tune_run(w, err);
    default: return sensitivity_run(w, plan, turn, err);
    }
}
