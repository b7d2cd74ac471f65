#include "analysis/points.h"

#include <math.h>
#include <stdlib.h>

#include "base/array.h"
#include "base/clock.h"

enum { WARM_UP = 4, TIMED = 16, RUNS = 3 };

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

static bool decode(Transformer *t, Session *session, int count, float *logits, Progress *progress, Error *err) {
    const int32_t id = 0;
    for (int i = 0; i < count; i++) {
        if (progress_should_stop(progress)) return error_stopped(err);
        if (!transformer_forward(t, session, &id, 1, false, logits, NULL, err)) return false;
    }
    return true;
}

bool decode_speed(Transformer *t, double *tokens_per_second, Progress *progress, Error *err) {
    const ModelConfig *config = &transformer_structure(t)->config;
    size_t positions = (size_t)(config->max_positions < WARM_UP + TIMED ? config->max_positions : WARM_UP + TIMED);
    Session *session = NULL;
    float *logits = array_new((size_t)config->vocab, sizeof *logits);
    bool ok = logits ? session_new(t, positions, &session, err) : error_memory(err, "logits");
    double best = INFINITY;
    for (int run = 0; ok && run < RUNS; run++) {
        int warm_up = positions > WARM_UP ? WARM_UP : 0, timed = (int)positions - warm_up;
        session_rewind(session, 0);
        ok = decode(t, session, warm_up, logits, progress, err);
        double start = clock_seconds();
        ok = ok && decode(t, session, timed, logits, progress, err);
        best = fmin(best, (clock_seconds() - start) / timed);
    }
    *tokens_per_second = ok && best > 0 ? 1 / best : 0;
    if (session) session_free(session);
    free(logits);
    return ok;
}

// From nothing quantized to all of it, so that what the point before left behind does not shorten the time.
static bool measure_speed(Trial *t, const Plan *plan, Point *out, Progress *progress, Error *err) {
    Plan nothing = {.linear_count = plan->linear_count,
                    .decisions = array_new((size_t)plan->linear_count, sizeof *nothing.decisions)};
    bool ok = nothing.decisions ? trial_follow(t, &nothing, progress, err) : error_memory(err, "the plan");
    plan_free(&nothing);
    double start = clock_seconds();
    ok = ok && trial_follow(t, plan, progress, err);
    out->pack_seconds = clock_seconds() - start;
    return ok && decode_speed(quantized_model_transformer(t->model), &out->tokens_per_second, progress, err);
}

// ---- Points ----

static bool measure_point(Trial *t, const Recipe *recipe, bool speed, Point *out, Progress *progress, Error *err) {
    Plan plan;
    if (!plan_make(recipe, transformer_structure(t->base), t->measured, &plan, err)) return false;
    out->bytes = plan.bytes;
    out->bits_per_weight = plan.bits_per_weight;
    bool ok =
        (!speed || measure_speed(t, &plan, out, progress, err)) && trial_run(t, &plan, &out->accuracy, progress, err);
    plan_free(&plan);
    return out->known = ok;
}

bool points_measure(Trial *trial, const Recipe *recipes, int count, const PointOptions *options, Point *points,
                    Progress *progress, Error *err) {
    bool ok = true;
    for (int i = 0; i < count; i++) points[i] = (Point){0};
    progress_begin(progress, "measuring recipes", (uint64_t)count * trial_work(trial));
    for (int i = 0; ok && i < count; i++) {
        ok = measure_point(trial, &recipes[i], options->speed, &points[i], progress, err);
        if (!ok) error_prefix(err, "recipe %d of %d", i + 1, count);
        if (ok && options->partial) options->partial(options->context, i);
    }
    points_mark_front(points, count);
    return ok;
}
