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

static bool begin(Study *s, const double *db) {
    size_t linears = (size_t)s->plan->linear_count;
    s->varied =
        (Plan){.linear_count = s->plan->linear_count, .decisions = array_new(linears, sizeof *s->varied.decisions)};
    s->out->linears = array_new(linears, sizeof *s->out->linears);
    if (!s->varied.decisions || !s->out->linears) return error_memory(s->err, "sensitivities");
    for (int i = 0; i < s->plan->linear_count; i++) {
        if (!s->plan->decisions[i].quantized) continue;
        s->out->linears[s->out->count++] = (Sensitivity){.linear = i, .estimate = pow(10, -db[i] / 10)};
    }
    return s->out->count > 0 || error_set(s->err, "the recipe quantizes no linear; there is nothing to rank");
}

// Alone: one linear and the cache as it is. All: what the plan says, its cache too.
static void vary(Study *s, bool all) {
    s->varied.cache_bits = all ? s->plan->cache_bits : 16;
    if (all)
        memcpy(s->varied.decisions, s->plan->decisions, (size_t)s->plan->linear_count * sizeof *s->plan->decisions);
    else
        memset(s->varied.decisions, 0, (size_t)s->plan->linear_count * sizeof *s->plan->decisions);
}

static bool measure(Study *s, double *kl, double *se) {
    Accuracy accuracy;
    if (!trial_run(s->trial, &s->varied, &accuracy, s->progress, s->err)) return false;
    *kl = accuracy.kl_mean;
    *se = accuracy.kl_se;
    return true;
}

static void tell(Study *s, bool *known) {
    *known = true;
    if (s->partial) s->partial(s->context, s->out);
}

// From the last layer to the first: what lies before the layer of a linear is then the same as in the trial before, and
// the evaluation starts at that layer.
static bool measure_alone(Study *s) {
    vary(s, false);
    for (int i = s->out->count - 1; i >= 0; i--) {
        Sensitivity *linear = &s->out->linears[i];
        s->varied.decisions[linear->linear] = s->plan->decisions[linear->linear];
        if (!measure(s, &linear->kl, &linear->kl_se)) return false;
        s->varied.decisions[linear->linear] = (Decision){0};
        tell(s, &linear->alone_known);
    }
    return true;
}

static bool measure_rest(Study *s) {
    vary(s, true);
    for (int i = s->out->count - 1; i >= 0; i--) {
        Sensitivity *linear = &s->out->linears[i];
        s->varied.decisions[linear->linear] = (Decision){0};
        if (!measure(s, &linear->rest_kl, &linear->rest_kl_se)) return false;
        s->varied.decisions[linear->linear] = s->plan->decisions[linear->linear];
        tell(s, &linear->rest_known);
    }
    return true;
}

static bool correlate(Study *s) {
    size_t count = (size_t)s->out->count, n = 0;
    double *estimates = array_new(count, sizeof *estimates), *truths = array_new(count, sizeof *truths);
    bool ok = estimates && truths;
    for (size_t i = 0; ok && i < count; i++) {
        const Sensitivity *linear = &s->out->linears[i];
        if (!isfinite(linear->estimate)) continue;
        estimates[n] = linear->estimate;
        truths[n++] = linear->kl;
    }
    ok = ok ? rank_correlation(estimates, truths, n, &s->out->rank_correlation, s->err)
            : error_memory(s->err, "sensitivities");
    free(estimates);
    free(truths);
    return ok;
}

static int by_kl(const void *a, const void *b) {
    const Sensitivity *x = a, *y = b;
    return x->kl < y->kl ? 1 : x->kl > y->kl ? -1 : x->linear - y->linear;
}

bool sensitivity_measure(Trial *trial, const Plan *plan, const double *output_sqnr_db, bool reverse,
                         void (*partial)(void *, const Sensitivities *), void *context, Sensitivities *out,
                         Progress *progress, Error *err) {
    *out = (Sensitivities){.rank_correlation = NAN};
    Study s = {.trial = trial,
               .plan = plan,
               .out = out,
               .partial = partial,
               .context = context,
               .progress = progress,
               .err = err};
    bool ok = begin(&s, output_sqnr_db);
    uint64_t trials = (uint64_t)out->count * (reverse ? 2 : 1) + 1;
    if (ok) progress_begin(progress, "sensitivity", trials * trial_work(trial));
    ok = ok && measure_alone(&s);
    if (ok) vary(&s, true);
    ok = ok && measure(&s, &out->all_kl, &out->all_kl_se) && (!reverse || measure_rest(&s)) && correlate(&s);
    if (ok) qsort(out->linears, (size_t)out->count, sizeof *out->linears, by_kl);
    plan_free(&s.varied);
    return ok;
}

void sensitivities_free(Sensitivities *sensitivities) {
    free(sensitivities->linears);
    *sensitivities = (Sensitivities){0};
}
