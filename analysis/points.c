#include "analysis/points.h"

#include <stdlib.h>

#include "base/array.h"
#include "base/clock.h"

#define SPEED_SECONDS 0.5

void points_mark_front(Point *points, int count) {
    for (int i = 0; i < count; i++) {
        Point *p = &points[i];
        p->pareto = p->known;
        for (int k = 0; p->pareto && k < count; k++) {
            const Point *other = &points[k];
            if (!other->known || other->bytes > p->bytes || other->accuracy.kl_mean > p->accuracy.kl_mean) continue;
            p->pareto = other->bytes == p->bytes && other->accuracy.kl_mean == p->accuracy.kl_mean;
        }
    }
}

// ---- Speed ----

static bool time_point(Trial *t, Point *out, Progress *progress, Error *err) {
    return decode_speed(t->base, quantized_model_transformer(t->model), &(SpeedCase){.batch = 1}, SPEED_SECONDS, NULL,
                        NULL, &out->speed, progress, err);
}

// From nothing quantized to everything, so that linears packed for the point before do not shorten the time.
static bool measure_speed(Trial *t, const Plan *plan, Point *out, Progress *progress, Error *err) {
    Plan nothing = {.linear_count = plan->linear_count,
                    .decisions = array_new((size_t)plan->linear_count, sizeof *nothing.decisions)};
    bool ok = nothing.decisions ? trial_follow(t, &nothing, progress, err) : error_memory(err, "the plan");
    plan_free(&nothing);
    double start = clock_seconds();
    ok = ok && trial_follow(t, plan, progress, err);
    out->pack_seconds = clock_seconds() - start;
    return ok && time_point(t, out, progress, err);
}

// ---- Points ----

static bool measure_point(Trial *t, const Recipe *recipe, bool speed, Point *out, float *by_position,
                          Progress *progress, Error *err) {
    Plan plan;
    if (!plan_make(recipe, transformer_structure(t->base), t->measured, &plan, err)) return false;
    out->bytes = plan.bytes;
    out->bits_per_weight = plan.bits_per_weight;
    bool ok = (!speed || measure_speed(t, &plan, out, progress, err)) &&
              trial_run_positions(t, &plan, &out->accuracy, by_position, progress, err);
    plan_free(&plan);
    return out->known = ok;
}

// by_position [count, POSITION_FIGURES, positions]
static void take_differences(Point *points, int count, const float *by_position, size_t positions) {
    const size_t each = POSITION_FIGURES * positions;
    int best = -1;
    for (int i = 0; i < count; i++) {
        if (points[i].known && (best < 0 || points[i].accuracy.kl_mean < points[best].accuracy.kl_mean)) best = i;
    }
    for (int i = 0; i < count; i++) {
        if (!points[i].known) continue;
        points[i].paired = true;
        points[i].above_best =
            paired_differences(by_position + (size_t)i * each, by_position + (size_t)best * each, positions);
    }
}

bool points_measure(Trial *trial, const Recipe *recipes, int count, const PointOptions *options, Point *points,
                    Progress *progress, Error *err) {
    const size_t positions = (size_t)trial_work(trial);
    const size_t each = POSITION_FIGURES * positions;
    float *by_position = array_new((size_t)count * each, sizeof *by_position);
    bool ok = by_position || error_memory(err, "figures at each position");
    for (int i = 0; i < count; i++) points[i] = (Point){0};
    progress_begin(progress, "measuring recipes", (uint64_t)count * trial_work(trial));
    for (int i = 0; ok && i < count; i++) {
        ok = measure_point(trial, &recipes[i], options->speed, &points[i], by_position + (size_t)i * each, progress,
                           err);
        if (!ok) error_prefix(err, "recipe %d of %d", i + 1, count);
        if (ok && options->partial) options->partial(options->context, i);
    }
    if (by_position) take_differences(points, count, by_position, positions);
    free(by_position);
    points_mark_front(points, count);
    return ok;
}
