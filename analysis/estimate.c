// Estimates: each linear quantized alone, as when it is measured, but on few tokens.
#include "analysis/sensitivity.h"

#include "base/array.h"

// From the last layer to the first: what lies before the layer of a linear is then the base's.
static bool measure_each(Trial *t, const Plan *plan, Sensitivity *linears, int count, Progress *progress, Error *err) {
    Plan varied = {.linear_count = plan->linear_count,
                   .cache_bits = 16,
                   .decisions = array_new((size_t)plan->linear_count, sizeof *varied.decisions)};
    bool ok = varied.decisions || error_memory(err, "estimates");
    progress_begin(progress, "estimating", (uint64_t)count * trial_work(t));
    for (int i = count - 1; ok && i >= 0; i--) {
        Accuracy accuracy;
        varied.decisions[linears[i].linear] = plan->decisions[linears[i].linear];
        ok = trial_run(t, &varied, &accuracy, progress, err);
        varied.decisions[linears[i].linear] = (Decision){0};
        if (!ok) break;
        linears[i].estimate = accuracy.kl_mean;
        linears[i].estimate_se = accuracy.kl_se;
    }
    plan_free(&varied);
    return ok;
}

bool sensitivity_estimate(Trial *trial, const Plan *plan, Sensitivity *linears, int count, size_t *tokens,
                          Progress *progress, Error *err) {
    Trial few;
    bool ok = trial_begin_on(trial, FEW_TOKENS, &few, err) && measure_each(&few, plan, linears, count, progress, err);
    *tokens = ok ? (size_t)trial_work(&few) : 0;
    trial_end(&few);
    trial->first_changed = 0; // the quantized model follows another plan now
    return ok;
}
