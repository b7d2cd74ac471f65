// Estimates: each linear quantized alone, as when it is measured, but on few tokens.
#include "analysis/sensitivity.h"

#include <string.h>

#include "base/array.h"

// Two pieces of the text, its beginning and one from its middle. Each begins anew, so that the first token, where many
// models have their largest activations and to which all others attend, is in both.
#define PIECE_TOKENS ((size_t)64)
#define PIECES ((size_t)2)
// For states and logits of the base, so that an evaluation starts at the layer that was changed.
#define STATES_BYTES ((size_t)256 << 20)

static bool make_evaluator(const Trial *of, Evaluator **out, Error *err) {
    size_t window, all;
    const int32_t *ids = evaluator_ids(of->evaluator, &all, &window);
    const size_t tokens = window < PIECE_TOKENS ? window : PIECE_TOKENS;
    const size_t pieces = all / tokens < PIECES ? 1 : PIECES;
    int32_t few[PIECES * PIECE_TOKENS];
    for (size_t i = 0; i < pieces; i++) memcpy(few + i * tokens, ids + all * i / pieces, tokens * sizeof *few);
    return evaluator_new(of->base, few, pieces * tokens, tokens, STATES_BYTES, out, err);
}

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
    Trial few = {.base = trial->base, .model = trial->model, .measured = trial->measured};
    bool ok = make_evaluator(trial, &few.evaluator, err) && measure_each(&few, plan, linears, count, progress, err);
    *tokens = ok ? evaluator_positions(few.evaluator) : 0;
    evaluator_free(few.evaluator);
    trial->first_changed = 0; // the quantized model follows another plan now
    return ok;
}
