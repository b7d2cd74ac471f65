// Accuracy figures against torch and numpy (tools/fixtures/make_accuracy.py), and the evaluator against straightforward
// arithmetic on whole forward passes: however a run is cut short and taken up again, the figures must be the same bit
// for bit.
#include <fcntl.h>
#include <glob.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include <cmocka.h>

#include "analysis/accuracy.h"
#include "analysis/divergence.h"
#include "analysis/kept_base.h"
#include "analysis/stats_file.h"
#include "analysis/tokens.h"
#include "base/array.h"
#include "base/file.h"
#include "base/random.h"
#include "loaders/safetensors.h"
#include "model/quantized_model.h"
#include "tests/support/fixture_model.h"
#include "tests/support/folder.h"

#define MODEL "tests/fixtures/llama-gqa-llama3-bf16"
#define BUDGET ((size_t)1 << 30)
enum { WINDOW = 24, TOKENS = 4 * WINDOW + 5, LAYERS = 2 };
// One without an end to its positions: two windows, each of which goes through in two pieces.
#define LONG_MODEL "tests/fixtures/families/bloom"
enum { LONG_WINDOW = 150, LONG_PIECE = 128 };

static void assert_near(double got, double expected, double relative, const char *what) {
    if (!(fabs(got - expected) <= relative * fabs(expected) + 1e-9))
        fail_msg("%s: %.9g, not %.9g", what, got, expected);
}

// ---- Arithmetic on logits ----

static void exp_is_accurate(void **state) {
    (void)state;
    double worst = 0;
    for (int i = 0; i < 500000; i++) {
        float x = (float)i * -1.7e-4f;
        double exact = exp((double)x);
        worst = fmax(worst, fabs((double)exp_negative(x) - exact) / exact);
    }
    assert_true(worst < 1.2e-7);
    assert_true(exp_negative(0) == 1);
    assert_true(exp_negative(-88) == 0);
    assert_true(exp_negative(-INFINITY) == 0);
    assert_true(isnan(exp_negative(NAN)));
}

static void figures_equal_torch_and_numpy(void **state) {
    (void)state;
    TensorFile file;
    Error err = {0};
    if (!safetensors_open("tests/fixtures/accuracy.safetensors", &file, &err)) fail_msg("%s", err.message);
    size_t count, n;
    float *base = fixture_floats(&file, "base", &n), *other = fixture_floats(&file, "other", &n);
    float *figures = fixture_floats(&file, "figures", &n);
    int32_t *half = fixture_integers(&file, "half", &n), *target = fixture_integers(&file, "target", &count);
    tensor_file_close(&file);
    enum { VOCAB = 53 };
    Score *scores = array_new(count, sizeof *scores);
    float *scratch = array_new(count, sizeof *scratch);
    for (size_t i = 0; i < count; i++) {
        bool finite;
        assert_true(score_logits(base + i * VOCAB, other + i * VOCAB, VOCAB, target[i], &scores[i], &finite));
        scores[i].second_half = half[i];
    }
    Accuracy a = {.planned = 7};
    scores_summarize(scores, count, scratch, &a);
    assert_int_equal(a.tokens, count);
    assert_int_equal(a.planned, 7);
    const double got[] = {
        a.base_ppl,        a.base_ppl_se,   a.ppl,          a.ppl_se,  a.base_ppl_half, a.base_ppl_half_se, a.ppl_half,
        a.ppl_half_se,     a.ppl_ratio_log, a.ppl_ratio_se, a.kl_mean, a.kl_se,         a.kl_median,        a.kl_p99,
        a.kl_max,          a.top1,          a.top1_se,      a.dp_mean, a.dp_mean_se,    a.dp_rms,           a.dp_rms_se,
        a.kl_reverse_mean, a.kl_reverse_se};
    for (size_t i = 0; i < sizeof got / sizeof *got; i++) {
        char what[32];
        snprintf(what, sizeof what, "figure %zu", i);
        assert_near(got[i], (double)figures[i], 1e-5, what);
    }
    free(base);
    free(other);
    free(figures);
    free(half);
    free(target);
    free(scores);
    free(scratch);
}

// Every length around the 16 lanes; a distribution against itself costs exactly nothing.
static void rows_of_every_length(void **state) {
    (void)state;
    Random random = random_seeded(3);
    for (size_t n = 1; n < 70; n++) {
        float base[70], other[70];
        double base_sum = 0, other_sum = 0, kl = 0, back = 0;
        for (size_t i = 0; i < n; i++) {
            base[i] = (float)random_normal(&random) * 5 - 100;
            other[i] = (float)random_normal(&random) * 5 + 3;
            base_sum += exp((double)base[i]);
            other_sum += exp((double)other[i]);
        }
        for (size_t i = 0; i < n; i++) {
            double p = exp((double)base[i]) / base_sum, q = exp((double)other[i]) / other_sum;
            kl += p * (log(p) - log(q));
            back += q * (log(q) - log(p));
        }
        Score score;
        bool finite;
        assert_true(score_logits(base, other, n, (int32_t)n - 1, &score, &finite));
        assert_true(fabs((double)score.kl - kl) < 1e-5 * (1 + kl));
        assert_true(fabs((double)score.kl_reverse - back) < 1e-5 * (1 + back));
        assert_near(score.nll, log(other_sum) - (double)other[n - 1], 1e-5, "nll");
        assert_true(score_logits(base, base, n, 0, &score, &finite));
        assert_true(score.kl == 0 && score.kl_reverse == 0 && score.same_top && score.nll == score.base_nll);
    }
}

static void logits_that_are_not_finite_are_found(void **state) {
    (void)state;
    static const float bad[] = {NAN, INFINITY, -INFINITY};
    for (size_t n = 1; n < 40; n++) {
        for (size_t at = 0; at < n; at++) {
            for (int b = 0; b < 3; b++) {
                float good[40] = {0}, other[40] = {0};
                other[at] = bad[b];
                Score score;
                bool base_is_finite;
                assert_false(score_logits(good, other, n, 0, &score, &base_is_finite));
                assert_true(base_is_finite);
                assert_false(score_logits(other, good, n, 0, &score, &base_is_finite));
                assert_false(base_is_finite);
            }
        }
    }
}

static int ascending(const void *a, const void *b) {
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

// Against a sort, with many equal values.
static void percentiles_of_any_count(void **state) {
    (void)state;
    Random random = random_seeded(11);
    for (size_t n = 1; n < 200; n++) {
        Score scores[200] = {0};
        float scratch[200], sorted[200];
        for (size_t i = 0; i < n; i++) sorted[i] = scores[i].kl = (float)random_below(&random, n % 7 ? 1000 : 3);
        qsort(sorted, n, sizeof *sorted, ascending);
        Accuracy a = {0};
        scores_summarize(scores, n, scratch, &a);
        static const double shares[] = {0.5, 0.99};
        for (int s = 0; s < 2; s++) {
            double place = shares[s] * (double)(n - 1);
            size_t k = (size_t)place;
            double next = (double)sorted[k + 1 < n ? k + 1 : k], here = (double)sorted[k];
            assert_near(s ? a.kl_p99 : a.kl_median, here + (place - (double)k) * (next - here), 1e-12, "percentile");
        }
        assert_true(a.kl_max == (double)sorted[n - 1]);
    }
}

// ---- The evaluator ----

typedef struct Fixture {
    FixtureModel model;
    Transformer *quantized;
    TokenIds tokens;
    size_t window;
    Evaluator *evaluator;
} Fixture;

// Puts `bits`-bit weights with one scale per row into a linear of the variant, or takes them out (bits 0).
static void quantize_one(Fixture *f, int index, int bits) {
    if (bits == 0) {
        transformer_set_linear(f->quantized, index, NULL);
        return;
    }
    const Linear *linear = &f->model.structure.linears[index];
    Decision decision = {.quantized = true,
                         .bits = bits,
                         .granularity = GRANULARITY_CHANNEL,
                         .group = linear->in,
                         .scale_dtype = DTYPE_F32};
    QuantizedWeight w;
    WeightError error;
    Weight *weight = NULL;
    Error err = {0};
    const ActivationScheme scheme = {.mode = ACTIVATION_NONE};
    if (!quantize_linear(linear, &decision, NULL, NULL, &w, &error, &err) ||
        !f->model.backend->ops->weight_quantized(f->model.backend, &w, &scheme, NULL, PRECISION_F32, &weight, &err)) {
        fail_msg("%s", err.message);
    }
    quantized_weight_free(&w);
    transformer_set_linear(f->quantized, index, weight);
}

static void new_evaluator(Fixture *f, size_t budget) {
    Error err = {0};
    evaluator_free(f->evaluator);
    f->evaluator = NULL;
    if (!evaluator_new(f->model.base, f->tokens.ids, f->tokens.count, f->window, budget, &f->evaluator, &err))
        fail_msg("%s", err.message);
}

static void open_model(Fixture *f, const char *model, size_t tokens, size_t window) {
    Error err = {0};
    *f = (Fixture){.window = window};
    fixture_model_open(model, PRECISION_F32, &f->model);
    if (!transformer_variant(f->model.base, &f->quantized, &err) ||
        !tokens_random((size_t)f->model.config.vocab, tokens, 5, &f->tokens, &err))
        fail_msg("%s", err.message);
    assert_int_equal(f->model.config.layers, LAYERS);
    new_evaluator(f, BUDGET);
}

static void open_fixture(Fixture *f) { open_model(f, MODEL, TOKENS, WINDOW); }
static void open_long(Fixture *f) { open_model(f, LONG_MODEL, (size_t)2 * LONG_WINDOW, LONG_WINDOW); }

static void close_fixture(Fixture *f) {
    evaluator_free(f->evaluator);
    transformer_free(f->quantized);
    token_ids_free(&f->tokens);
    fixture_model_close(&f->model);
}

static Accuracy run(Fixture *f, int first_changed) {
    Accuracy a;
    Error err = {0};
    if (!evaluator_run(f->evaluator, f->quantized, first_changed, NULL, NULL, &a, NULL, &err))
        fail_msg("%s", err.message);
    return a;
}

static int q_of(const Fixture *f, int layer) { return f->model.structure.layers[layer].q; }

static void base_against_itself(void **state) {
    (void)state;
    Fixture f;
    open_fixture(&f);
    Accuracy a = run(&f, 0);
    assert_int_equal(a.tokens, 4 * (WINDOW - 1));
    assert_int_equal(a.planned, a.tokens);
    assert_true(a.kl_mean == 0 && a.kl_max == 0 && a.top1 == 1 && a.dp_rms == 0 && a.ppl_ratio_log == 0);
    assert_true(a.ppl == a.base_ppl && a.ppl_half == a.base_ppl_half && a.ppl > 1);
    close_fixture(&f);
}

// A window of two tokens has no later half.
static void what_has_no_positions_is_not_defined(void **state) {
    (void)state;
    const Score score = {.base_nll = 1, .nll = 2, .kl = 0.5F, .kl_reverse = 0.5F};
    float scratch[1];
    Accuracy a = {0};
    scores_summarize(&score, 1, scratch, &a);
    assert_true(a.ppl == exp(2) && a.ppl_se == 0 && isnan(a.ppl_half) && isnan(a.base_ppl_half));
}

static double log_sum(const float *logits, size_t vocab) {
    double sum = 0;
    for (size_t i = 0; i < vocab; i++) sum += exp((double)logits[i]);
    return log(sum);
}

// KL and both likelihoods summed over one window, from whole forward passes.
static void window_by_formula(const Fixture *f, const int32_t *ids, double *kl, double *base_nll, double *nll) {
    size_t vocab = (size_t)f->model.config.vocab;
    float *base = fixture_logits(f->model.base, ids, WINDOW), *other = fixture_logits(f->quantized, ids, WINDOW);
    for (size_t t = 0; t + 1 < WINDOW; t++) {
        const float *b = base + t * vocab, *q = other + t * vocab;
        double b_sum = log_sum(b, vocab), q_sum = log_sum(q, vocab);
        for (size_t i = 0; i < vocab; i++) {
            double lp = (double)b[i] - b_sum, lq = (double)q[i] - q_sum;
            *kl += exp(lp) * (lp - lq);
        }
        *base_nll += b_sum - (double)b[ids[t + 1]];
        *nll += q_sum - (double)q[ids[t + 1]];
    }
    free(base);
    free(other);
}

static void figures_by_formula(void **state) {
    (void)state;
    Fixture f;
    open_fixture(&f);
    quantize_one(&f, q_of(&f, 0), 4);
    quantize_one(&f, f.model.structure.layers[1].down, 3);
    Accuracy a = run(&f, 0);
    double kl = 0, base_nll = 0, nll = 0;
    for (int w = 0; w < 4; w++) window_by_formula(&f, f.tokens.ids + w * WINDOW, &kl, &base_nll, &nll);
    double n = 4 * (WINDOW - 1);
    assert_true(a.kl_mean > 1e-5);
    assert_near(a.kl_mean, kl / n, 1e-3, "kl");
    assert_near(a.base_ppl, exp(base_nll / n), 1e-5, "base ppl");
    assert_near(a.ppl, exp(nll / n), 1e-5, "ppl");
    close_fixture(&f);
}

static void assert_same(const Accuracy *a, const Accuracy *b) { assert_memory_equal(a, b, sizeof *a); }

// Turning a dial back and forth, starting at the layer that changed, gives what a fresh evaluator gives. With every
// budget.
static void incremental_equals_full(void **state) {
    (void)state;
    size_t one = (size_t)WINDOW * 48 * sizeof(float); // one kept state
    const size_t budgets[] = {0, one, 3 * one, 5 * one, 9 * one, BUDGET};
    for (size_t b = 0; b < sizeof budgets / sizeof *budgets; b++) {
        Fixture f;
        open_fixture(&f);
        new_evaluator(&f, budgets[b]);
        run(&f, 0);
        Accuracy turned[3];
        const int layer[3] = {1, 0, 1}, bits[3] = {3, 4, 2};
        for (int i = 0; i < 3; i++) {
            quantize_one(&f, q_of(&f, layer[i]), bits[i]);
            turned[i] = run(&f, layer[i]);
        }
        Accuracy again = run(&f, LAYERS);
        assert_same(&again, &turned[2]);
        quantize_one(&f, f.model.structure.head, 4); // the head counts as part of the last layer
        Accuracy head = run(&f, LAYERS - 1);
        new_evaluator(&f, BUDGET);
        Accuracy full = run(&f, 0);
        assert_same(&head, &full);
        quantize_one(&f, f.model.structure.head, 0);
        full = run(&f, 0);
        assert_same(&full, &turned[2]);
        close_fixture(&f);
    }
}

typedef struct Stopper {
    Progress progress;
    int windows, stop_after; // stop when so many windows are done
    uint64_t last_tokens;
} Stopper;

static void count_window(void *context, const Accuracy *so_far) {
    Stopper *s = context;
    assert_true(so_far->tokens > s->last_tokens);
    s->last_tokens = so_far->tokens;
    if (++s->windows == s->stop_after) progress_request_stop(&s->progress);
}

// Stops after some windows; false when it came to the end.
static bool run_stopped(Fixture *f, int first_changed, int windows, Accuracy *out) {
    Stopper s = {.stop_after = windows};
    Error err = {0};
    if (windows == 0) progress_request_stop(&s.progress);
    bool done = evaluator_run(f->evaluator, f->quantized, first_changed, count_window, &s, out, &s.progress, &err);
    assert_int_equal(done, !err.stopped);
    assert_int_equal(s.windows, done ? 4 : windows);
    assert_int_equal(out->planned, 4 * (WINDOW - 1));
    return !done;
}

static void stopped_and_resumed_equals_full(void **state) {
    (void)state;
    for (int stop = 0; stop < 4; stop++) {
        Fixture f;
        open_fixture(&f);
        run(&f, 0);
        // A run that is superseded after `stop` windows leaves the others with states of the model before.
        quantize_one(&f, q_of(&f, 0), 3);
        Accuracy part;
        assert_true(run_stopped(&f, 0, stop, &part));
        assert_int_equal(part.tokens, stop * (WINDOW - 1));
        // Resumed with nothing changed: only the rest is computed.
        if (stop % 2) {
            Accuracy resumed = run(&f, LAYERS);
            assert_int_equal(resumed.tokens, 4 * (WINDOW - 1));
        }
        // Superseded again, in another layer, and stopped again.
        quantize_one(&f, q_of(&f, 1), 2);
        assert_true(run_stopped(&f, 1, 3 - stop, &part));
        Accuracy resumed = run(&f, LAYERS);
        new_evaluator(&f, BUDGET);
        Accuracy full = run(&f, 0);
        assert_same(&resumed, &full);
        close_fixture(&f);
    }
}

// The first piece of the first window alone.
static Accuracy run_piece(Fixture *f, int first_changed) {
    Stopper s = {.stop_after = 1};
    Error err = {0};
    Accuracy a;
    assert_false(evaluator_run(f->evaluator, f->quantized, first_changed, count_window, &s, &a, &s.progress, &err));
    assert_true(err.stopped);
    assert_int_equal(a.tokens, LONG_PIECE);
    return a;
}

static int down_of(const Fixture *f, int layer) { return f->model.structure.layers[layer].down; }

// Turns that follow one another before a window is through: its pieces have come differently far.
static void stopped_within_a_window_equals_full(void **state) {
    (void)state;
    const size_t boundary = (size_t)2 * LONG_WINDOW * 24 * sizeof(float); // one of the base and of each boundary
    const size_t budgets[] = {0, boundary, boundary + (LONG_PIECE + 1) * 56 * sizeof(float), 3 * boundary, BUDGET};
    Accuracy fresh = {0}, full = {0}; // the same for each
    for (size_t b = 0; b < sizeof budgets / sizeof *budgets; b++) {
        Fixture f;
        open_long(&f);
        new_evaluator(&f, budgets[b]);
        run_piece(&f, 0);
        run(&f, LAYERS);
        quantize_one(&f, down_of(&f, 0), 3);
        run_piece(&f, 0);
        quantize_one(&f, down_of(&f, 1), 2);
        Accuracy piece = run_piece(&f, 1), resumed = run(&f, LAYERS);
        if (b == 0) {
            new_evaluator(&f, BUDGET);
            fresh = run_piece(&f, 0);
            full = run(&f, 0);
        }
        assert_same(&piece, &fresh);
        assert_same(&resumed, &full);
        assert_int_equal(full.tokens, 2 * (LONG_WINDOW - 1));
        close_fixture(&f);
    }
}

// What is kept is used: a change that the evaluator is not told of does not show, not even after a run that was stopped
// within the window.
static void what_is_kept_is_not_computed_again(void **state) {
    (void)state;
    Fixture f;
    open_long(&f);
    run(&f, 0);
    quantize_one(&f, down_of(&f, 0), 4);
    run_piece(&f, 0);
    quantize_one(&f, down_of(&f, 1), 4);
    Accuracy before = run_piece(&f, 1);
    quantize_one(&f, down_of(&f, 0), 2);
    Transformer *quantized = f.quantized;
    f.quantized = f.model.base;
    quantize_one(&f, f.model.structure.head, 2);
    f.quantized = quantized;
    Accuracy after = run_piece(&f, 1);
    assert_same(&before, &after);
    Accuracy told = run_piece(&f, 0);
    assert_true(told.kl_mean != before.kl_mean && told.base_ppl == before.base_ppl);
    new_evaluator(&f, 0);
    told = run_piece(&f, 0);
    assert_true(told.base_ppl != before.base_ppl);
    close_fixture(&f);
}

static void another_model_counts_as_new(void **state) {
    (void)state;
    Fixture f;
    open_fixture(&f);
    run(&f, 0);
    Transformer *first = f.quantized;
    Error err = {0};
    assert_true(transformer_variant(f.model.base, &f.quantized, &err));
    quantize_one(&f, q_of(&f, 0), 2);
    Accuracy a = run(&f, LAYERS);
    assert_true(a.kl_mean > 0);
    transformer_free(first);
    close_fixture(&f);
}

static void windows_and_refusals(void **state) {
    (void)state;
    Fixture f;
    open_fixture(&f);
    Error err = {0};
    Evaluator *e = NULL;
    assert_false(evaluator_new(f.model.base, f.tokens.ids, 1, WINDOW, BUDGET, &e, &err));
    assert_non_null(strstr(err.message, "longer text"));
    assert_false(evaluator_new(f.model.base, f.tokens.ids, TOKENS, 65, BUDGET, &e, &err));
    assert_non_null(strstr(err.message, "64 positions"));
    // Fewer tokens than a window: one short window.
    Accuracy a;
    assert_true(evaluator_new(f.model.base, f.tokens.ids, 7, WINDOW, BUDGET, &e, &err));
    assert_true(evaluator_run(e, f.quantized, 0, NULL, NULL, &a, NULL, &err));
    assert_int_equal(a.tokens, 6);
    evaluator_free(e);
    int32_t ids[3] = {1, 5000, 2};
    assert_true(evaluator_new(f.model.base, ids, 3, WINDOW, BUDGET, &e, &err));
    assert_false(evaluator_run(e, f.quantized, 0, NULL, NULL, &a, NULL, &err));
    assert_false(err.stopped);
    evaluator_free(e);
    close_fixture(&f);
}

static void overflow_is_refused(void **state) {
    (void)state;
    Fixture f;
    open_fixture(&f);
    float factors[48];
    for (int j = 0; j < 48; j++) factors[j] = 1e-38f;
    Error err = {0};
    assert_true(transformer_set_norm_divisor(f.quantized, f.model.structure.ends.final_norm, factors, &err));
    Accuracy a;
    assert_false(evaluator_run(f.evaluator, f.quantized, 0, NULL, NULL, &a, NULL, &err));
    assert_non_null(strstr(err.message, "quantized model's logits"));
    close_fixture(&f);
}

static void output_sqnr_by_formula(void **state) {
    (void)state;
    Fixture f;
    open_fixture(&f);
    int index = f.model.structure.layers[0].up;
    const Linear *linear = &f.model.structure.linears[index];
    enum { ROWS = 5 };
    float *rows = array_new(ROWS * linear->in, sizeof *rows), *twice = array_new(linear->in, sizeof *twice);
    Random random = random_seeded(1);
    for (size_t i = 0; i < ROWS * linear->in; i++) rows[i] = (float)random_normal(&random);
    double db;
    Error err = {0};
    LinearRows x = {.rows = rows, .count = ROWS};
    assert_true(linear_output_sqnr(f.model.base, f.quantized, index, &x, &db, NULL, &err));
    assert_true(isinf(db) && db > 0);
    quantize_one(&f, index, 4);
    assert_true(linear_output_sqnr(f.model.base, f.quantized, index, &x, &db, NULL, &err));
    // By formula, from the weights in float.
    Decision decision = {.quantized = true,
                         .bits = 4,
                         .granularity = GRANULARITY_CHANNEL,
                         .group = linear->in,
                         .scale_dtype = DTYPE_F32};
    QuantizedWeight w;
    WeightError error;
    assert_true(quantize_linear(linear, &decision, NULL, NULL, &w, &error, &err));
    float *exact = array_new(linear->out * linear->in, sizeof *exact),
          *other = array_new(linear->out * linear->in, sizeof *other);
    floats_from(linear->weight->dtype, linear->weight->data, linear->out * linear->in, exact);
    dequantize(&w, other);
    double signal = 0, noise = 0;
    for (size_t r = 0; r < ROWS; r++) {
        for (size_t o = 0; o < linear->out; o++) {
            double y = 0, d = 0;
            for (size_t j = 0; j < linear->in; j++) {
                y += (double)exact[o * linear->in + j] * (double)rows[r * linear->in + j];
                d += ((double)exact[o * linear->in + j] - (double)other[o * linear->in + j]) *
                     (double)rows[r * linear->in + j];
            }
            signal += y * y;
            noise += d * d;
        }
    }
    assert_near(db, 10 * log10(signal / noise), 1e-3, "output SQNR");
    // Halved inputs halve the output: noise is a quarter of the signal, and what quantization adds.
    for (size_t j = 0; j < linear->in; j++) twice[j] = 2;
    x.factors = twice;
    assert_true(linear_output_sqnr(f.model.base, f.quantized, index, &x, &db, NULL, &err));
    assert_near(db, 10 * log10(4), 0.1, "output SQNR of halved inputs");
    x.count = 0;
    assert_false(linear_output_sqnr(f.model.base, f.quantized, index, &x, &db, NULL, &err));
    quantized_weight_free(&w);
    free(rows);
    free(twice);
    free(exact);
    free(other);
    close_fixture(&f);
}

// ---- The base on disk ----

static void keep_in(Fixture *f, const char *folder, uint64_t key, size_t budget) {
    new_evaluator(f, budget);
    evaluator_keep_base(f->evaluator, folder, key);
}

// The base is another one now, so that figures tell whether it was asked again.
static void change_base(Fixture *f) {
    Transformer *quantized = f->quantized;
    f->quantized = f->model.base;
    quantize_one(f, down_of(f, 1), 2);
    f->quantized = quantized;
}

static void what_the_base_says_is_kept_on_disk(void **state) {
    (void)state;
    Fixture f;
    char *folder = folder_temporary(), path[512], *data;
    size_t size;
    Error err = {0};
    open_long(&f);
    quantize_one(&f, down_of(&f, 0), 4);
    keep_in(&f, folder, 1, BUDGET);
    Accuracy before = run(&f, 0);
    change_base(&f);
    keep_in(&f, folder, 1, BUDGET); // a second start
    Accuracy after = run(&f, 0);
    assert_same(&before, &after);
    keep_in(&f, folder, 2, BUDGET); // of another model
    after = run(&f, 0);
    assert_true(after.base_ppl != before.base_ppl);
    // Where states of one window alone are kept, that one is taken.
    keep_in(&f, folder, 1, (size_t)LONG_WINDOW * (size_t)f.model.config.hidden * sizeof(float));
    Accuracy one = run(&f, 0);
    assert_true(one.base_ppl != before.base_ppl && one.base_ppl != after.base_ppl);

    evaluator_free(f.evaluator);
    f.evaluator = NULL;
    glob_t found = {0};
    snprintf(path, sizeof path, "%s/states-*.stats", folder);
    glob(path, 0, NULL, &found);
    assert_int_equal(found.gl_pathc, 2);
    for (size_t i = 0; i < found.gl_pathc; i++) {
        assert_true(file_read(found.gl_pathv[i], (size_t)1 << 24, &data, &size, &err));
        data[size / 2] ^= 1;
        assert_true(file_write(found.gl_pathv[i], data, size, &err));
        free(data);
    }
    globfree(&found);
    keep_in(&f, folder, 1, BUDGET); // damaged
    Accuracy again = run(&f, 0);
    assert_same(&again, &after);
    close_fixture(&f);
    folder_remove(folder);
}

static void a_run_that_was_stopped_keeps_what_it_has(void **state) {
    (void)state;
    Fixture f;
    char *folder = folder_temporary();
    open_fixture(&f);
    Accuracy full = run(&f, 0);
    keep_in(&f, folder, 1, BUDGET);
    Accuracy first, mixed;
    assert_true(run_stopped(&f, 0, 1, &first)); // one window
    change_base(&f);
    keep_in(&f, folder, 1, BUDGET);
    mixed = run(&f, 0);
    new_evaluator(&f, BUDGET);
    Accuracy other = run(&f, 0);
    assert_true(mixed.base_ppl != full.base_ppl && mixed.base_ppl != other.base_ppl);
    close_fixture(&f);
    folder_remove(folder);
}

static void kept_files_make_room(void **state) {
    (void)state;
    char *folder = folder_temporary();
    float row[256] = {1};
    float *states[] = {row}, *back[] = {NULL};
    Error err = {0};
    for (uint64_t key = 1; key <= 4; key++) {
        if (!kept_states_write(folder, key, states, 1, 256, &err)) fail_msg("%s", err.message);
        nanosleep(&(struct timespec){.tv_nsec = 20 * 1000 * 1000}, NULL); // their times differ
    }
    stats_file_prune(folder, STATS_STATES, 2, 2600); // room for two of about 1,100 bytes
    for (uint64_t key = 1; key <= 4; key++) {
        const bool there = kept_states_read(folder, key, back, 1, 256);
        assert_int_equal(there, key == 2 || key == 4); // the one in use, and the newest
        assert_true(!there || back[0][0] == row[0]);
        free(back[0]);
        back[0] = NULL;
    }
    folder_remove(folder);
}

static void what_a_killed_writer_left_goes(void **state) {
    (void)state;
    static const char *const names[] = {"states-0123456789abcdef.stats.aB3xYz", "trials-0123456789abcdef.bin.aB3xYz",
                                        "states-0123456789abcdef.stats", "mine.stats.aB3xYz",
                                        "inputs-0123456789abcdef.stats.fresh1"};
    char *folder = folder_temporary();
    float row[4] = {1};
    float *states[] = {row};
    for (int i = 0; i < 5; i++) {
        char *path = path_join(folder, names[i]);
        folder_put_text(folder, names[i], "half of");
        const struct timespec old[2] = {{.tv_sec = time(NULL) - 7200}, {.tv_sec = time(NULL) - 7200}};
        if (i < 4) assert_int_equal(utimensat(AT_FDCWD, path, old, 0), 0);
        free(path);
    }
    assert_true(kept_states_write(folder, 1, states, 1, 4, NULL));
    for (int i = 0; i < 5; i++) {
        char *path = path_join(folder, names[i]);
        assert_int_equal(file_exists(path), i >= 2);
        free(path);
    }
    folder_remove(folder);
}

static void a_text_is_kept_on_disk(void **state) {
    (void)state;
    char *folder = folder_temporary();
    int32_t ids[] = {3, 1, 2};
    float probabilities[] = {0.5f, 1, 0};
    const Generated text = {.ids = ids, .probabilities = probabilities, .count = 3, .ended = true};
    Generated back;
    Error err = {0};
    if (!kept_text_write(folder, 5, &text, &err)) fail_msg("%s", err.message);
    assert_true(kept_text_read(folder, 5, 4, &back));
    assert_true(back.count == 3 && back.ended && memcmp(back.ids, ids, sizeof ids) == 0);
    assert_memory_equal(back.probabilities, probabilities, sizeof probabilities);
    generated_free(&back);
    assert_false(kept_text_read(folder, 5, 3, &back)); // a model with fewer tokens
    assert_false(kept_text_read(folder, 6, 4, &back));
    probabilities[1] = 1.5f;
    assert_true(kept_text_write(folder, 5, &text, &err));
    assert_false(kept_text_read(folder, 5, 4, &back));
    folder_remove(folder);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(exp_is_accurate),
        cmocka_unit_test(figures_equal_torch_and_numpy),
        cmocka_unit_test(rows_of_every_length),
        cmocka_unit_test(logits_that_are_not_finite_are_found),
        cmocka_unit_test(percentiles_of_any_count),
        cmocka_unit_test(base_against_itself),
        cmocka_unit_test(what_has_no_positions_is_not_defined),
        cmocka_unit_test(figures_by_formula),
        cmocka_unit_test(incremental_equals_full),
        cmocka_unit_test(stopped_and_resumed_equals_full),
        cmocka_unit_test(stopped_within_a_window_equals_full),
        cmocka_unit_test(what_is_kept_is_not_computed_again),
        cmocka_unit_test(what_the_base_says_is_kept_on_disk),
        cmocka_unit_test(a_run_that_was_stopped_keeps_what_it_has),
        cmocka_unit_test(kept_files_make_room),
        cmocka_unit_test(what_a_killed_writer_left_goes),
        cmocka_unit_test(a_text_is_kept_on_disk),
        cmocka_unit_test(another_model_counts_as_new),
        cmocka_unit_test(windows_and_refusals),
        cmocka_unit_test(overflow_is_refused),
        cmocka_unit_test(output_sqnr_by_formula),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
