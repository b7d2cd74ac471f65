// What quantization cost, token by token, against the model in its own precision.
#pragma once

#include "base/progress.h"
#include "model/transformer.h"

// Positions: in a window of n tokens each of the first n − 1 predicts the token after it. Percentiles interpolate
// linearly at f · (count − 1). Standard errors (…_se) treat positions as independent, as llama.cpp does; they are 0
// where fewer than two positions were scored.
typedef struct Accuracy {
    uint64_t tokens;      // scored positions
    uint64_t planned;     // positions that will be scored when all is done
    double base_ppl, ppl; // exp(mean negative log likelihood of the true next token)
    double base_ppl_se, ppl_se;
    // Only positions n/2 … n − 2 of each window scored (llama.cpp's convention); NAN where there is none.
    double base_ppl_half, ppl_half;
    double base_ppl_half_se, ppl_half_se;
    double ppl_ratio_log, ppl_ratio_se;               // mean of (nll − base nll) and its standard error
    double kl_mean, kl_se, kl_median, kl_p99, kl_max; // D(base ‖ quantized) in nats
    double kl_reverse_mean, kl_reverse_se;            // D(quantized ‖ base)
    double top1, top1_se;       // share of positions where both put the same token first (ties: lowest id)
    double dp_mean, dp_mean_se; // p(true token): quantized − base
    double dp_rms, dp_rms_se;
} Accuracy;

// Keeps the evaluation tokens and what the base says of them, and the quantized model's hidden states before each
// layer, so that an evaluation starts at the first layer that changed. One run at a time.
typedef struct Evaluator Evaluator;

// ids are copied and cut into windows of `window` tokens (the last partial window is dropped unless it is the only
// one). A tokenizer's BOS is the caller's affair (llama.cpp overwrites the first token of each window with it). The
// base is run window by window, as evaluator_run reaches them; it must outlive the evaluator and stay as it is. budget:
// bytes for kept states, and logits of the base; what does not fit is computed anew.
bool evaluator_new(Transformer *base, const int32_t *ids, size_t count, size_t window, size_t budget, Evaluator **out,
                   Error *err);
void evaluator_free(Evaluator *evaluator);
// Takes what an earlier start kept of the base on these tokens, and keeps there what is computed from now on: last
// hidden states, from which logits follow bit by bit. model_key tells models apart (checkpoint, configuration,
// precision, backend).
void evaluator_keep_base(Evaluator *evaluator, const char *folder, uint64_t model_key);

// Evaluates `quantized`, a variant of the base. Layers before first_changed are as in the last call, whether that
// finished, failed or was stopped. 0: all are new. The layer count: nothing changed, and only windows that the last
// call did not reach are computed. quantized_model_follow gives it; a caller that changed the model several times since
// then passes the smallest. Another transformer than last time counts as all new. partial (may be NULL) is called with
// the figures so far, after each window and, in long ones, after every 128 tokens. Progress counts scored positions.
// Logits that are not finite are refused, naming the model and the token.
bool evaluator_run(Evaluator *evaluator, Transformer *quantized, int first_changed,
                   void (*partial)(void *context, const Accuracy *so_far), void *context, Accuracy *out,
                   Progress *progress, Error *err);

// What was computed since it was made: tokens × layers of both models, and tokens whose logits were. It tells how fast
// that goes.
typedef struct EvaluatorWork {
    double layers, heads;
} EvaluatorWork;
EvaluatorWork evaluator_work(const Evaluator *evaluator);

// The positions that a run scores.
size_t evaluator_positions(const Evaluator *evaluator);
// What the last run that finished found at each of them, for comparing two models position by position (statistics.h):
// by_position [POSITION_FIGURES, positions]. False when not all are scored.
typedef enum PositionFigure {
    POSITION_KL,   // D(base ‖ quantized), nats
    POSITION_NLL,  // −ln p(true token)
    POSITION_TOP1, // 1 where both put the same token first, else 0
    POSITION_FIGURES
} PositionFigure;
bool evaluator_by_position(const Evaluator *evaluator, float *by_position);
// The tokens that are run, [*count], in windows of *window; owned by the evaluator.
const int32_t *evaluator_ids(const Evaluator *evaluator, size_t *count, size_t *window);
// What the figures depend on beside the quantized model: the tokens and how they are cut into windows.
uint64_t evaluator_hash(const Evaluator *evaluator, uint64_t hash);

typedef struct LinearRows {
    const float *rows; // [count, in]: samples of its input
    size_t count;
    const float *factors,
        *divisors;        // [in], [out]: the quantized one takes rows / factors and gives y / divisors; or NULL
    const float *changes; // [count, in]: what rounding does to rows; or NULL
} LinearRows;

// Output error of one linear: 10 log10(Σ y² / Σ (y − ŷ)²), y by the dense weight, ŷ by `quantized`; +infinity when
// equal. input_db (may be NULL): the same with ŷ by the dense weight on rows + changes.
bool linear_output_sqnr(Transformer *base, Transformer *quantized, int linear, const LinearRows *x, double *db,
                        double *input_db, Error *err);
// Mean of Σ y² over rows; there must be some.
bool linear_output_energy(Transformer *base, int linear, const LinearRows *x, double *energy, Error *err);
