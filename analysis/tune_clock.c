#include "analysis/tune_clock.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "analysis/stats.h"

// ---- work ---------------------------------------------------------------------------------------------------------

static double met_from(const TuneExtent *e, double layer) { return (e->layers - layer) * e->layer + e->head; }

TuneWork tune_evaluation_from(const TuneExtent *e, double positions, bool fresh, int layer, double packed) {
    return (TuneWork){packed, positions * (met_from(e, layer) + (fresh ? met_from(e, 0) : 0))};
}

TuneWork tune_evaluation(const TuneExtent *e, double positions, bool fresh) {
    return tune_evaluation_from(e, positions, fresh, 0, e->packed);
}

// Both models multiply the sample rows.
TuneWork tune_noise_of_all(const TuneExtent *e) { return (TuneWork){e->packed, 2 * SAMPLE_ROWS * e->packed}; }

static void add(TuneWork *sum, double times, TuneWork work) {
    sum->packed += times * work.packed;
    sum->met += times * work.met;
}

static TuneWork unit_on_average(const TuneExtent *e) {
    return (TuneWork){e->packed / e->units, e->alone * met_from(e, (e->layers - 1) / 2.0)};
}

// How many units are chosen with another scheme than the one that all are measured by, as long as that is not known:
// measured, of 42 and of 210. A search within a bound has two such rounds.
#define AGAIN 0.75
#define AGAIN_FOR_BOUND 1

// It changes nothing but what is told. Of the base, each set of tokens is met once.
static void plan(TuneClock *clock) {
    const TuneExtent *e = &clock->extent;
    TuneWork *planned = clock->planned;
    const double base = met_from(e, 0);
    const TuneWork whole = tune_evaluation(e, e->whole, false), verified = tune_evaluation(e, e->verified, false),
                   some = tune_evaluation(e, e->some, false);
    add(&planned[TUNE_SCHEMES], e->candidates, tune_evaluation(e, e->few, false));
    add(&planned[TUNE_SCHEMES], 3, verified);
    planned[TUNE_SCHEMES].met += (e->few + e->verified) * base;
    add(&planned[TUNE_NOISE], e->schemes, tune_noise_of_all(e));
    if (e->for_bound)
        add(&planned[TUNE_NOISE], NOISE_TRIES, verified);
    else
        add(&planned[TUNE_NOISE], 1, tune_evaluation(e, e->whole, true));
    add(&planned[TUNE_LINEARS], e->units, unit_on_average(e));
    if (e->for_bound || e->alone < e->whole) planned[TUNE_LINEARS].met += e->alone * base;
    add(&clock->again, (e->for_bound ? 2 * AGAIN_FOR_BOUND : AGAIN) * e->units, unit_on_average(e));
    add(&planned[TUNE_CHOICES], (e->for_bound ? 2 : 1) * WEIGHINGS, some);
    if (e->alone < e->some || e->alone > e->some) planned[TUNE_CHOICES].met += e->some * base;
    if (e->for_bound)
        add(&planned[TUNE_CHOICES], (1 + BOUND_WAYS) * BOUND_TRIES, verified);
    else
        add(&planned[TUNE_CHOICES], FINALISTS, whole);
    planned[TUNE_VERIFYING] = verified;
}

TuneClock tune_clock_new(const TuneExtent *extent, const TunePace *before) {
    TuneClock clock = {.extent = *extent, .before = *before};
    plan(&clock);
    return clock;
}

void tune_weights_met(const ModelStructure *structure, double *layer, double *head) {
    const ModelConfig *config = &structure->config;
    const double chosen = config->experts.count ? (double)config->experts.per_token / config->experts.count : 1;
    double sum = 0;
    for (int i = 0; i < structure->linear_count; i++) {
        const Linear *linear = &structure->linears[i];
        if (linear->layer >= 0) sum += (double)(linear->out * linear->in) * (linear->expert < 0 ? 1 : chosen);
    }
    *layer = sum / config->layers;
    *head = (double)config->vocab * config->hidden;
}

// ---- time ---------------------------------------------------------------------------------------------------------

void tune_clock_again(TuneClock *clock, int units) {
    const TuneExtent *e = &clock->extent;
    clock->again = (TuneWork){0};
    add(&clock->again, units + (e->for_bound && !clock->rounds++ ? AGAIN_FOR_BOUND * e->units : 0), unit_on_average(e));
}

void tune_clock_begin(TuneClock *clock, TunePhase phase, bool of_unit, TuneWork work) {
    TuneWork *planned = of_unit && phase == TUNE_CHOICES ? &clock->again : &clock->planned[phase];
    planned->packed = fmax(planned->packed - work.packed, 0);
    planned->met = fmax(planned->met - work.met, 0);
}

// What else the machine does changes: the last minute counts, or the last fourth of all.
#define LEAST_MEMORY 60
void tune_clock_timed(TuneClock *clock, TuneWork work, double pack_seconds, double meet_seconds) {
    const double seconds = pack_seconds + meet_seconds;
    clock->seconds += seconds;
    const double kept = exp(-seconds / fmax(clock->seconds / 4, LEAST_MEMORY));
    clock->timed = (TuneWork){kept * clock->timed.packed + work.packed, kept * clock->timed.met + work.met};
    clock->pack_seconds = kept * clock->pack_seconds + pack_seconds;
    clock->meet_seconds = kept * clock->meet_seconds + meet_seconds;
}

TunePace tune_clock_pace(const TuneClock *clock) {
    if (!(clock->timed.packed > 0 && clock->timed.met > 0)) return clock->before;
    return (TunePace){clock->pack_seconds / clock->timed.packed, clock->meet_seconds / clock->timed.met};
}

double tune_clock_seconds(const TuneClock *clock, TuneWork work) {
    const TunePace pace = tune_clock_pace(clock);
    if (!(pace.meet > 0)) return TUNE_PACKING * work.packed + work.met;
    return (pace.pack > 0 ? pace.pack : TUNE_PACKING * pace.meet) * work.packed + pace.meet * work.met;
}

double tune_clock_left(const TuneClock *clock, TunePhase phase) {
    double left = phase <= TUNE_CHOICES ? tune_clock_seconds(clock, clock->again) : 0;
    for (TunePhase p = phase; p < TUNE_PHASES; p++) left += tune_clock_seconds(clock, clock->planned[p]);
    return left;
}
