// Estimates: each linear quantized alone, as when it is measured, but on few tokens.
#include "analysis/sensitivity.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"

// Few tokens will do when the right ones are among them: two pieces of the text, each begun anew, so that the first
// token, where many models have their largest activations, is in both.
#define PIECE_TOKENS ((size_t)64)
#define PIECES_LOOKED_AT ((size_t)16)
// For states and logits of the base, so that an evaluation starts at the layer that was changed.
#define STATES_BYTES ((size_t)256 << 20)

typedef struct Pieces {
    Transformer *base;
    const int32_t *ids; // of the evaluation
    size_t tokens;      // of each piece
    size_t count, inputs;
    float *reach; // [count, inputs]: how far each input reaches in each piece
    float *piece; // of the one that is being run: [inputs]
} Pieces;

// ---- Which tokens ----

static void see_input(void *context, int input, const float *x, size_t tokens, size_t width) {
    Pieces *p = context;
    float most = p->piece[input];
    for (size_t i = 0; i < tokens * width; i++) most = fabsf(x[i]) > most ? fabsf(x[i]) : most;
    p->piece[input] = most;
}

static bool run_pieces(Pieces *p, Progress *progress, Error *err) {
    Backend *backend = transformer_backend(p->base);
    const ModelConfig *config = &transformer_structure(p->base)->config;
    const Observer observer = {.linear_input = see_input, .context = p};
    Sequences *running = NULL;
    float *hidden = backend->ops->memory_new(backend, p->tokens * (size_t)config->hidden * sizeof(float), err);
    bool ok = hidden && sequences_new(p->base, p->tokens, &running, err);
    for (size_t i = 0; ok && i < p->count; i++) {
        p->piece = p->reach + i * p->inputs;
        sequences_rewind(running, 0);
        ok = (!progress_should_stop(progress) || error_stopped(err)) &&
             transformer_embed(p->base, p->ids + i * p->tokens, p->tokens, hidden, err) &&
             transformer_layers(p->base, running, 0, config->layers, hidden, p->tokens, &observer, err);
    }
    if (running) sequences_free(running);
    if (hidden) backend->ops->memory_free(backend, hidden);
    return ok && transformer_healthy(p->base, err);
}

// How much further inputs reach in this piece than in the first, in octaves, summed over inputs.
static double gain_of(const Pieces *p, size_t piece) {
    const float *first = p->reach, *reach = p->reach + piece * p->inputs;
    double gain = 0;
    for (size_t i = 0; i < p->inputs; i++) {
        if (first[i] > 0 && reach[i] > first[i]) gain += log2((double)reach[i] / (double)first[i]);
    }
    return gain;
}

// The piece with the most gain; 0 when there is one only.
static size_t furthest_piece(const Pieces *p) {
    size_t best = p->count > 1;
    for (size_t i = 2; i < p->count; i++) best = gain_of(p, i) > gain_of(p, best) ? i : best;
    return best;
}

// The first piece, and the one in which inputs reach furthest beyond it.
static bool make_evaluator(const Trial *of, Evaluator **out, Progress *progress, Error *err) {
    size_t window, all;
    const int32_t *ids = evaluator_ids(of->evaluator, &all, &window);
    const size_t tokens = window < PIECE_TOKENS ? window : PIECE_TOKENS, there = all / tokens;
    Pieces p = {.base = of->base,
                .ids = ids,
                .tokens = tokens,
                .count = there < PIECES_LOOKED_AT ? there : PIECES_LOOKED_AT,
                .inputs = (size_t)transformer_structure(of->base)->input_count};
    p.reach = array_new(p.count * p.inputs, sizeof *p.reach);
    int32_t *chosen = array_new(2 * tokens, sizeof *chosen);
    bool ok = (p.reach && chosen) || error_memory(err, "estimates");
    ok = ok && (p.count == 1 || run_pieces(&p, progress, err));
    const size_t second = ok ? furthest_piece(&p) : 0, count = second ? 2 : 1;
    if (ok) memcpy(chosen, ids, tokens * sizeof *ids);
    if (ok && second) memcpy(chosen + tokens, ids + second * tokens, tokens * sizeof *ids);
    ok = ok && evaluator_new(of->base, chosen, count * tokens, tokens, STATES_BYTES, out, err);
    free(p.reach);
    free(chosen);
    return ok;
}

// ---- Each alone ----

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
    bool ok =
        make_evaluator(trial, &few.evaluator, progress, err) && measure_each(&few, plan, linears, count, progress, err);
    *tokens = ok ? evaluator_positions(few.evaluator) : 0;
    evaluator_free(few.evaluator);
    trial->first_changed = 0; // the model went elsewhere
    return ok;
}
