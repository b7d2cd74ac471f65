#include "analysis/sensitivity.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/statistics.h"
#include "base/array.h"

typedef struct Study {
    Trial *trial;
    const Plan *plan;
    Plan varied; // the decisions of the plan with some taken back
    Sensitivities *out;
    void (*partial)(void *context, const Sensitivities *so_far);
    void *context;
    Progress *progress;
    Error *err;
} Study;

static bool study_begin(Study *s) {
    size_t linears = (size_t)s->plan->linear_count;
    s->varied =
        (Plan){.linear_count = s->plan->linear_count, .decisions = array_new(linears, sizeof *s->varied.decisions)};
    s->out->linears = array_new(linears, sizeof *s->out->linears);
    if (!s->varied.decisions || !s->out->linears) return error_memory(s->err, "sensitivities");
    for (int i = 0; i < s->plan->linear_count; i++) {
        if (!s->plan->decisions[i].quantized) continue;
        s->out->linears[s->out->count++] = (Sensitivity){.linear = i, .estimate = NAN, .estimate_se = NAN};
    }
    return s->out->count > 0 || error_set(s->err, "the recipe quantizes no linear; there is nothing to rank");
}

// all: all decisions of the plan, and its cache. Otherwise nothing quantized and a 16-bit cache; callers add one
// linear.
static void study_vary(Study *s, bool all) {
    s->varied.cache_bits = all ? s->plan->cache_bits : 16;
    if (all)
        memcpy(s->varied.decisions, s->plan->decisions, (size_t)s->plan->linear_count * sizeof *s->plan->decisions);
    else
        memset(s->varied.decisions, 0, (size_t)s->plan->linear_count * sizeof *s->plan->decisions);
}

static bool study_measure(Study *s, double *kl, double *se) {
    Accuracy accuracy;
    if (!trial_run(s->trial, &s->varied, &accuracy, s->progress, s->err)) return false;
    *kl = accuracy.kl_mean;
    *se = accuracy.kl_se;
    return true;
}

// Spearman's correlation of estimates and figures, as far as both are known.
static bool study_correlate(Study *s) {
    size_t count = (size_t)s->out->count, n = 0;
    double *estimates = array_new(count, sizeof *estimates), *truths = array_new(count, sizeof *truths);
    bool ok = estimates && truths;
    s->out->measured = 0;
    for (size_t i = 0; ok && i < count; i++) {
        const Sensitivity *linear = &s->out->linears[i];
        s->out->measured += linear->alone_known;
        if (!linear->alone_known || !isfinite(linear->estimate)) continue;
        estimates[n] = linear->estimate;
        truths[n++] = linear->kl;
    }
    ok = ok ? rank_correlation(estimates, truths, n, &s->out->rank_correlation, s->err)
            : error_memory(s->err, "sensitivities");
    free(estimates);
    free(truths);
    return ok;
}

static bool study_tell(Study *s, bool *known) {
    *known = true;
    if (!study_correlate(s)) return false;
    if (s->partial) s->partial(s->context, s->out);
    return true;
}

static bool study_estimate(Study *s) {
    Sensitivities *out = s->out;
    if (!sensitivity_estimate(s->trial, s->plan, out->linears, out->count, &out->estimate_tokens, s->progress, s->err))
        return false;
    if (s->partial) s->partial(s->context, out);
    return true;
}

// What an earlier study left on disk.
static bool take_known(Study *s) {
    study_vary(s, false);
    for (int i = 0; i < s->out->count; i++) {
        Sensitivity *linear = &s->out->linears[i];
        Accuracy accuracy;
        if (progress_should_stop(s->progress)) return error_stopped(s->err);
        s->varied.decisions[linear->linear] = s->plan->decisions[linear->linear];
        linear->alone_known = trial_known(s->trial, &s->varied, &accuracy, NULL);
        if (linear->alone_known) {
            linear->kl = accuracy.kl_mean;
            linear->kl_se = accuracy.kl_se;
        }
        s->varied.decisions[linear->linear] = (Decision){0};
    }
    return study_correlate(s);
}

static bool measure_one(Study *s, Sensitivity *linear) {
    s->varied.decisions[linear->linear] = s->plan->decisions[linear->linear];
    if (!study_measure(s, &linear->kl, &linear->kl_se)) return false;
    s->varied.decisions[linear->linear] = (Decision){0};
    return study_tell(s, &linear->alone_known);
}

static double upper_bound(const Sensitivity *linear) { return linear->estimate + 2 * linear->estimate_se; }

static int by_upper_bound(const void *a, const void *b) {
    const double x = upper_bound(*(Sensitivity *const *)a), y = upper_bound(*(Sensitivity *const *)b);
    return x < y ? 1 : x > y ? -1 : (*(Sensitivity *const *)a)->linear - (*(Sensitivity *const *)b)->linear;
}

static int from_the_end(const void *a, const void *b) {
    return (*(Sensitivity *const *)b)->linear - (*(Sensitivity *const *)a)->linear;
}

// In so many rounds, the doubtful and the worst first. Each round goes from the last layer to the first: what lies
// before the layer of a linear is then the same as in the trial before, and the evaluation starts at that layer.
#define ROUNDS 4

static bool measure_alone(Study *s) {
    const int count = s->out->count;
    Sensitivity **order = array_new((size_t)count, sizeof *order);
    bool ok = order || error_memory(s->err, "sensitivities");
    for (int i = 0; ok && i < count; i++) order[i] = &s->out->linears[i];
    if (ok) qsort(order, (size_t)count, sizeof *order, by_upper_bound);
    study_vary(s, false);
    for (int round = 0; ok && round < ROUNDS; round++) {
        const int from = count * round / ROUNDS, to = count * (round + 1) / ROUNDS;
        qsort(order + from, (size_t)(to - from), sizeof *order, from_the_end);
        for (int i = from; ok && i < to; i++) ok = measure_one(s, order[i]);
    }
    s->out->alone_sum = 0;
    for (int i = 0; i < count; i++) s->out->alone_sum += s->out->linears[i].kl;
    if (!ok) s->out->alone_sum = NAN;
    free(order);
    return ok;
}

static bool measure_rest(Study *s) {
    study_vary(s, true);
    for (int i = s->out->count - 1; i >= 0; i--) {
        Sensitivity *linear = &s->out->linears[i];
        s->varied.decisions[linear->linear] = (Decision){0};
        if (!study_measure(s, &linear->rest_kl, &linear->rest_kl_se)) return false;
        s->varied.decisions[linear->linear] = s->plan->decisions[linear->linear];
        linear->rest_known = true;
        if (s->partial) s->partial(s->context, s->out);
    }
    return true;
}

static int by_kl(const void *a, const void *b) {
    const Sensitivity *x = a, *y = b;
    return x->kl < y->kl ? 1 : x->kl > y->kl ? -1 : x->linear - y->linear;
}

static int by_estimate(const void *a, const void *b) {
    const Sensitivity *x = a, *y = b;
    return x->estimate < y->estimate ? 1 : x->estimate > y->estimate ? -1 : x->linear - y->linear;
}

static bool measure_all(Study *s, SensitivityDepth depth) {
    uint64_t trials = (uint64_t)s->out->count * (depth == SENSITIVITY_BOTH_WAYS ? 2 : 1) + 1;
    progress_begin(s->progress, "sensitivity", trials * trial_work(s->trial));
    if (!measure_alone(s)) return false;
    study_vary(s, true);
    return study_measure(s, &s->out->all_kl, &s->out->all_kl_se) && (depth == SENSITIVITY_ALONE || measure_rest(s));
}

bool sensitivity_measure(Trial *trial, const Plan *plan, SensitivityDepth depth,
                         void (*partial)(void *, const Sensitivities *), void *context, Sensitivities *out,
                         Progress *progress, Error *err) {
    *out = (Sensitivities){.rank_correlation = NAN, .all_kl = NAN, .all_kl_se = NAN, .alone_sum = NAN};
    Study s = {.trial = trial,
               .plan = plan,
               .out = out,
               .partial = partial,
               .context = context,
               .progress = progress,
               .err = err};
    const bool only = depth <= SENSITIVITY_ESTIMATES;
    const bool ok = study_begin(&s) && (depth == SENSITIVITY_KEPT || study_estimate(&s)) &&
                    (only ? take_known(&s) : measure_all(&s, depth));
    if (ok) qsort(out->linears, (size_t)out->count, sizeof *out->linears, only ? by_estimate : by_kl);
    plan_free(&s.varied);
    return ok;
}

void sensitivities_free(Sensitivities *sensitivities) {
    free(sensitivities->linears);
    *sensitivities = (Sensitivities){0};
}
