// Every family against transformers (tools/fixtures/make_families.py, make_other_models.py): logits of all positions at
// once and token by token, what calibration sees, and where scales can be folded.
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "analysis/accuracy.h"
#include "analysis/stats.h"
#include "analysis/stats_cache.h"
#include "base/array.h"
#include "loaders/safetensors.h"
#include "model/generate.h"
#include "model/quantized_model.h"
#include "model/rope.h"
#include "tests/support/fixture_model.h"
#include "tests/support/folder.h"

#define BOUND 1e-4 // of the largest logit, in float

static const char *const names[] = {
    "llama-yarn",
    "llama-yarn-mscale",
    "llama-dynamic",
    "mistral-window",
    "qwen2-window",
    "qwen3-tied",
    "qwen3-bias",
    "gemma",
    "gemma2",
    "gemma3-text",
    "gemma3-nested",
    "phi3",
    "phi3-longrope",
    "phi3-longrope-short",
    "gpt2",
    "gpt2-scaled",
    "gpt-neo",
    "gpt-neo-wide",
    "gpt-neox",
    "gpt-neox-sequential",
    "opt",
    "opt-post-norm",
    "opt-no-bias",
    "bloom",
    "bloom-odd-heads",
    "falcon",
    "falcon-groups",
    "falcon-groups-one-norm",
    "falcon-alibi",
    "mixtral",
    "qwen2-moe",
    "qwen2-moe-normed",
    "qwen3-moe",
    "llava",
    "ministral",
    "smollm3",
    "smollm3-bias",
    "seed-oss",
    "seed-oss-bias",
    "granite",
    "granite-bias",
    "olmo",
    "olmo-bias",
    "olmo2",
    "olmo2-bias",
    "olmo3",
    "olmoe",
    "olmoe-normed",
    "olmoe-clip",
    "ernie4-5",
    "ernie4-5-bias",
    "hunyuan",
    "hunyuan-bias",
    "exaone4",
    "exaone4-full",
    "arcee",
    "arcee-bias",
    "nemotron",
    "nemotron-bias",
    "cohere",
    "cohere-bias",
    "cohere-heads",
    "cohere2",
    "starcoder2",
    "starcoder2-no-bias",
    "stablelm",
    "stablelm-parallel",
    "stablelm-heads",
    "phi-norms",
    "phi",
    "phi-heads",
    "glm",
    "glm4",
    "glm4-no-bias",
    "gptj",
    "gptj-wide",
    "gpt-bigcode",
    "gpt-bigcode-heads",
    "mpt",
    "mpt-clip",
    "mpt-odd-heads",
    "mistral3",
    "smolvlm",
    "qwen2-5-vl",
    "qwen3-vl",
    "glm4-moe",
    "glm4-moe-bias",
    "deepseek-v2",
    "deepseek-v2-groups",
    "deepseek-v3",
    "deepseek-v3-halves",
    "ernie4-5-moe",
    "minimax-m2",
    "lfm2",
    "lfm2-legacy",
    "lfm2-moe",
    "lfm2-moe-plain",
    "qwen3-next",
    "qwen3-next-dense",
    "qwen3-5",
    "qwen3-5-text",
    "qwen3-5-moe",
    "qwen3-5-moe-stacked",
    "falcon-h1",
    "falcon-h1-scaled",
    "falcon-h1-norm-first",
    "nemotron-h",
    "nemotron-h-bias",
    "nemotron-h-moe",
    "nemotron-h-moe-groups",
    "ministral3",
    "ministral3-grown",
    "gpt-oss",
    "gpt-oss-mxfp4",
    "gemma4-capped",
    "gemma4-shared",
    "gemma4-experts",
    "gemma4-unified",
    "gemma3n",
    "gemma3n-nested",
    "apertus",
    "apertus-bias",
    "codegen",
    "codegen-heads",
    "phimoe",
    "phimoe-window",
    "llama4",
    "llama4-nested",
    "granitemoe",
    "granitemoe-bias",
    "granitemoeshared",
    "granitemoeshared-none",
    "t5",
    "t5-gated",
    "mt5",
    "bart",
    "bart-scaled",
    "mbart",
    "mbart-unscaled",
    "marian",
    "marian-odd",
    "marian-stored",
};
enum { NAMES = sizeof names / sizeof *names };

static void open_model(const char *name, Precision precision, FixtureModel *model) {
    char folder[128];
    snprintf(folder, sizeof folder, "tests/fixtures/families/%s", name);
    fixture_model_open(folder, precision, model);
}

static float *token_by_token(const FixtureModel *model) {
    Sequences *sequences;
    Error err = {0};
    size_t vocab = (size_t)model->config.vocab;
    float *logits = array_new(model->tokens * vocab, sizeof *logits);
    assert_non_null(logits);
    if (!sequences_new(model->base, model->tokens, &sequences, &err)) fail_msg("%s", err.message);
    for (size_t t = 0; t < model->tokens - model->source; t++) {
        const size_t before = t == 0 ? model->source : 0; // the source comes with the first token of the target
        if (!transformer_forward(model->base, sequences, &model->ids[model->source + t - before], 1 + before, false,
                                 logits + t * vocab, NULL, &err))
            fail_msg("%s", err.message);
    }
    sequences_free(sequences);
    return logits;
}

static double difference(const FixtureModel *model, float *logits) {
    const size_t rows = model->tokens - model->source;
    double d = relative_difference(logits, model->logits, rows * (size_t)model->config.vocab);
    free(logits);
    return d;
}

static void in_float_they_equal_transformers(void **state) {
    (void)state;
    int wrong = 0;
    for (int i = 0; i < NAMES; i++) {
        FixtureModel model;
        open_model(names[i], PRECISION_F32, &model);
        double whole = difference(&model, fixture_logits(model.base, model.ids, model.tokens));
        double single = difference(&model, token_by_token(&model));
        bool right = whole <= BOUND && single <= BOUND;
        print_message("%-24s all at once %.1e, token by token %.1e%s\n", names[i], whole, single,
                      right ? "" : "  <--- wrong");
        wrong += !right;
        fixture_model_close(&model);
    }
    assert_int_equal(wrong, 0);
}

static void in_native_precision_they_are_near(void **state) {
    (void)state;
    for (int i = 0; i < NAMES; i++) {
        FixtureModel model;
        open_model(names[i], PRECISION_NATIVE, &model);
        double d = difference(&model, fixture_logits(model.base, model.ids, model.tokens));
        // A token near the border between two experts may take the other one.
        if (!(d <= 0.15) && model.config.experts.count == 0) fail_msg("%s: %.2e", names[i], d);
        fixture_model_close(&model);
    }
}

// ---- Observer ----

enum { MOST_INPUTS = 128 };

typedef struct Seen {
    int calls[MOST_INPUTS];
    size_t tokens[MOST_INPUTS], widths[MOST_INPUTS];
} Seen;

static void see(void *context, int input, const float *x, size_t tokens, size_t width) {
    Seen *seen = context;
    assert_in_range(input, 0, MOST_INPUTS - 1);
    seen->calls[input]++;
    seen->tokens[input] += tokens;
    seen->widths[input] = width;
    for (size_t i = 0; i < tokens * width; i++) assert_true(isfinite(x[i]));
}

// An encoder reads the source, and so do keys and values of cross-attention; the rest of such a model reads the target.
static size_t tokens_of(const FixtureModel *model, const Linear *linear) {
    const bool source = linear->stack == 'e' || linear->role == ROLE_CROSS_K || linear->role == ROLE_CROSS_V;
    return source ? model->source : model->tokens - model->source;
}

// Every linear's input once, of the width that it reads; experts see the tokens that were sent to them, which together
// are as many as the tokens times the experts of each.
static void check_seen(const FixtureModel *model, const Seen *seen) {
    const ModelStructure *s = &model->structure;
    size_t routed = 0, layers_with_experts = 0;
    for (int i = 0; i < s->linear_count; i++) {
        const Linear *linear = &s->linears[i];
        if (linear->expert >= 0) {
            if (seen->calls[linear->input]) assert_int_equal(seen->widths[linear->input], linear->in);
            if (linear->role == ROLE_DOWN) routed += seen->tokens[linear->input];
            continue;
        }
        assert_int_equal(seen->calls[linear->input], 1);
        assert_int_equal(seen->tokens[linear->input], tokens_of(model, linear));
        assert_int_equal(seen->widths[linear->input], linear->in);
    }
    for (int layer = 0; layer < model->config.layers; layer++) layers_with_experts += s->layers[layer].router >= 0;
    assert_int_equal(routed, layers_with_experts * model->tokens * (size_t)model->config.experts.per_token);
}

static void the_observer_sees_every_input_once(void **state) {
    (void)state;
    for (int i = 0; i < NAMES; i++) {
        FixtureModel model;
        Sequences *sequences;
        Error err = {0};
        Seen seen = {0};
        const Observer observer = {.linear_input = see, .context = &seen};
        open_model(names[i], PRECISION_F32, &model);
        float *logits = array_new(model.tokens * (size_t)model.config.vocab, sizeof *logits);
        assert_true(sequences_new(model.base, model.tokens, &sequences, &err));
        assert_true(transformer_forward(model.base, sequences, model.ids, model.tokens, true, logits, &observer, &err));
        assert_true(model.structure.input_count <= MOST_INPUTS);
        check_seen(&model, &seen);
        sequences_free(sequences);
        free(logits);
        fixture_model_close(&model);
    }
}

// ---- Folds ----

// Scales that have moved: a variant of the model whose weights are floats of its own.
typedef struct Folded {
    FixtureModel *model;
    Transformer *variant;
    float **weights, **biases; // [linear_count]; NULL where untouched
} Folded;

static float factor_of(size_t channel) { return 0.5f + 0.37f * (float)(channel * 7 % 11); }

static void folded_open(FixtureModel *model, Folded *out) {
    const ModelStructure *s = &model->structure;
    Error err = {0};
    *out = (Folded){.model = model,
                    .weights = array_new((size_t)s->linear_count, sizeof(float *)),
                    .biases = array_new((size_t)s->linear_count, sizeof(float *))};
    assert_true(transformer_variant(model->base, &out->variant, &err));
    for (int i = 0; i < s->linear_count; i++) {
        const Linear *linear = &s->linears[i];
        out->weights[i] = array_new(linear->out * linear->in, sizeof(float));
        if (!tensor_hold(linear->weight, &err)) fail_msg("%s", err.message);
        floats_from(linear->weight->dtype, linear->weight->data, linear->out * linear->in, out->weights[i]);
        tensor_release(linear->weight);
        assert_true(linear_bias(linear, &out->biases[i], &err));
    }
}

// What the folded model computes, against the base.
static double folded_close(Folded *f) {
    const ModelStructure *s = &f->model->structure;
    for (int i = 0; i < s->linear_count; i++) {
        Weight *weight;
        assert_true(f->model->backend->ops->weight_dense(f->model->backend, DTYPE_F32, f->weights[i], s->linears[i].out,
                                                         s->linears[i].in, f->biases[i], PRECISION_F32, &weight, NULL));
        transformer_set_linear(f->variant, i, weight);
    }
    double d = difference(f->model, fixture_logits(f->variant, f->model->ids, f->model->tokens));
    transformer_free(f->variant);
    for (int i = 0; i < s->linear_count; i++) {
        free(f->weights[i]);
        free(f->biases[i]);
    }
    free(f->weights);
    free(f->biases);
    return d;
}

static void times_columns(Folded *f, int linear, size_t first, size_t step) {
    const Linear *l = &f->model->structure.linears[linear];
    for (size_t o = 0; o < l->out; o++) f->weights[linear][o * l->in + first] *= factor_of(step);
}

static void divide_row(Folded *f, int linear, size_t row, size_t step) {
    const Linear *l = &f->model->structure.linears[linear];
    for (size_t i = 0; i < l->in; i++) f->weights[linear][row * l->in + i] /= factor_of(step);
    if (f->biases[linear]) f->biases[linear][row] /= factor_of(step);
}

static int fold_norms(Folded *f) {
    const ModelStructure *s = &f->model->structure;
    int folds = 0;
    for (int n = 0; n < s->norm_count; n++) {
        float factors[64];
        bool read = false;
        for (size_t i = 0; i < 64; i++) factors[i] = factor_of(i);
        for (int i = 0; i < s->linear_count; i++) {
            if (s->linears[i].fold != FOLD_NORM || s->linears[i].fold_index != n) continue;
            assert_int_equal(s->norms[n].input, s->linears[i].input);
            for (size_t j = 0; j < s->linears[i].in; j++) times_columns(f, i, j, j);
            read = true;
        }
        if (read) assert_true(transformer_set_norm_divisor(f->variant, n, factors, NULL));
        folds += read;
    }
    return folds;
}

// The row of v, alone or within a fused linear, that channel d of a kv head comes from.
static size_t row_of_v(const FixtureModel *model, LinearRole role, size_t kv_head, size_t d) {
    const ModelConfig *c = &model->config;
    size_t dim = (size_t)c->head_dim, ratio = (size_t)(c->heads / c->kv_heads);
    if (role == ROLE_V) return kv_head * dim + d;
    const size_t quarter = (size_t)c->hidden / 4, channel = kv_head * dim + d;
    if (c->quartered_qkv) return channel / quarter * 3 * quarter + quarter + channel % quarter;
    if (c->grouped_qkv) return (kv_head * (ratio + 2) + ratio + 1) * dim + d;
    return (size_t)(c->heads + c->kv_heads) * dim + kv_head * dim + d;
}

static void fold_attention(Folded *f, int o, int v) {
    const ModelConfig *c = &f->model->config;
    const size_t dim = (size_t)c->head_dim, ratio = (size_t)(c->heads / c->kv_heads);
    LinearRole role = f->model->structure.linears[v].role;
    for (size_t kv = 0; kv < (size_t)c->kv_heads; kv++) {
        for (size_t d = 0; d < dim; d++) {
            divide_row(f, v, row_of_v(f->model, role, kv, d), kv * dim + d);
            for (size_t h = kv * ratio; h < (kv + 1) * ratio; h++) times_columns(f, o, h * dim + d, kv * dim + d);
        }
    }
}

static int fold_rows(Folded *f) {
    const ModelStructure *s = &f->model->structure;
    int folds = 0;
    for (int i = 0; i < s->linear_count; i++) {
        const Linear *linear = &s->linears[i], *before = &s->linears[linear->fold_index];
        if (linear->fold != FOLD_LINEAR_ROWS) continue;
        folds++;
        if (linear->role == ROLE_O && before->role != ROLE_IN) {
            fold_attention(f, i, linear->fold_index);
            continue;
        }
        const bool second = before->role == ROLE_GATE_UP || before->role == ROLE_IN; // of two parts, or of three
        for (size_t j = 0; j < linear->in; j++) {
            divide_row(f, linear->fold_index, second ? linear->in + j : j, j);
            times_columns(f, i, j, j);
        }
    }
    return folds;
}

// Of a layer v, or its MLP: an ungated one folds nothing where the layer is an MLP alone (Nemotron H).
static int least_rows(const FixtureModel *model) {
    const ModelStructure *s = &model->structure;
    int least = 0;
    for (int layer = 0; layer < model->config.layers; layer++)
        least += s->layers[layer].o >= 0 || s->layers[layer].gate >= 0 || s->layers[layer].gate_up >= 0 ||
                 (s->layers[layer].router >= 0 && !model->config.experts.ungated);
    return least;
}

// Wherever the structure says that scales can be folded, the function stays the same.
static void folding_changes_nothing(void **state) {
    (void)state;
    for (int i = 0; i < NAMES; i++) {
        FixtureModel model;
        Folded f;
        open_model(names[i], PRECISION_F32, &model);
        folded_open(&model, &f);
        int norms = fold_norms(&f);
        double by_norms = folded_close(&f);
        folded_open(&model, &f);
        int rows = fold_rows(&f);
        double by_rows = folded_close(&f);
        print_message("%-24s %d norms %.1e, %d linears %.1e\n", names[i], norms, by_norms, rows, by_rows);
        assert_true(by_norms <= BOUND && by_rows <= BOUND);
        assert_true(rows >= least_rows(&model) || model.config.qkv_limit > 0);
        const bool folds = !model.config.norm_after && !model.config.no_norm_before &&
                           !model.config.residual_from_norm && !model.config.bare_norms;
        assert_true(folds ? norms >= model.config.layers : norms == 0);
        fixture_model_close(&model);
    }
}

// ---- Calibration and quantization ----

static void set_recipe(Recipe *recipe) {
    Error err = {0};
    assert_true(recipe_default(recipe, &err));
    recipe->value[DIAL_BITS] = 8;
    recipe->value[DIAL_GRANULARITY] = GRANULARITY_CHANNEL;
    recipe->value[DIAL_SCALE] = SCALE_F32;
    recipe->value[DIAL_ACTIVATIONS] = POLICY_FPTQ;
    recipe->value[DIAL_V0] = 2;
    recipe->value[DIAL_V1] = 1e6;
}

// 8-bit weights and activations, equalized where that is possible: the distance from the base.
static double quantized_distance(FixtureModel *model, const ModelStats *stats, const char *name, FoldReach folds,
                                 Unfoldable unfoldable) {
    QuantizedModel *quantized;
    Recipe recipe;
    Plan plan;
    Error err = {0};
    int equalized = 0;
    set_recipe(&recipe);
    recipe.value[DIAL_FOLD] = folds;
    recipe.value[DIAL_UNFOLDABLE] = unfoldable;
    assert_true(plan_make(&recipe, &model->structure, &stats->measured, &plan, &err));
    assert_true(plan.calibrated);
    for (int i = 0; i < plan.linear_count; i++) equalized += plan.decisions[i].lae;
    assert_true(quantized_model_new(model->base, &quantized, &err));
    if (!quantized_model_follow(quantized, &plan, &stats->measured, NULL, NULL, &err)) fail_msg("%s", err.message);
    double d = difference(model, fixture_logits(quantized_model_transformer(quantized), model->ids, model->tokens));
    print_message("%-24s 8 bits, %2d of %2d equalized: %.1e\n", name, equalized, plan.quantized_count, d);
    quantized_model_free(quantized);
    plan_free(&plan);
    recipe_free(&recipe);
    return d;
}

// Near the base; and factors that move into rows are as good as dividing at run time. Roundings differ, and with
// experts they decide about routes.
static void check_quantized(FixtureModel *model, const ModelStats *stats, const char *name) {
    double token = quantized_distance(model, stats, name, FOLDS_NORM, UNFOLDABLE_TOKEN);
    double divided = quantized_distance(model, stats, name, FOLDS_NORM, UNFOLDABLE_RUNTIME);
    double folded = quantized_distance(model, stats, name, FOLDS_ALL, UNFOLDABLE_TOKEN);
    if (model->config.experts.count > 0) return;
    // What is remembered carries roundings from token to token.
    if (!(token <= (model->config.recurrent.kind ? 0.5 : 0.3))) fail_msg("%s: %.2e", name, token);
    if (!(folded <= 1.5 * divided + 0.02)) fail_msg("%s: folded %.2e, divided %.2e", name, folded, divided);
}

static void they_are_calibrated_and_quantized(void **state) {
    (void)state;
    for (int i = 0; i < NAMES; i++) {
        FixtureModel model;
        ModelStats stats;
        Error err = {0};
        open_model(names[i], PRECISION_F32, &model);
        assert_true(model_stats_new(&model.structure, &stats, &err));
        const size_t sequences = model.source ? 1 : 2; // the same source and target
        if (!calibrate(model.base, model.ids, sequences, model.tokens / sequences, &stats, NULL, &err))
            fail_msg("%s", err.message);
        for (int input = 0; input < stats.input_count; input++) assert_true(stats.inputs[input].known);
        check_quantized(&model, &stats, names[i]);
        model_stats_free(&stats);
        fixture_model_close(&model);
    }
}

// Evaluation keeps hidden states and starts in the middle: a model that is its own twin is scored as equal, from the
// start and from the last layer on.
static void a_twin_is_scored_as_equal(void **state) {
    (void)state;
    for (int i = 0; i < NAMES; i++) {
        FixtureModel model;
        Transformer *twin;
        Evaluator *evaluator;
        Accuracy whole = {0}, again = {0};
        Error err = {0};
        open_model(names[i], PRECISION_F32, &model);
        assert_true(transformer_variant(model.base, &twin, &err));
        if (!evaluator_new(model.base, model.ids, model.tokens, 12, (size_t)1 << 24, &evaluator, &err) ||
            !evaluator_run(evaluator, twin, 0, NULL, NULL, &whole, NULL, &err) ||
            !evaluator_run(evaluator, twin, model.config.layers - 1, NULL, NULL, &again, NULL, &err))
            fail_msg("%s: %s", names[i], err.message);
        assert_true(whole.kl_max < 1e-9 && again.kl_max < 1e-9 && isfinite(whole.base_ppl));
        assert_float_equal(whole.ppl, whole.base_ppl, 1e-9 * whole.base_ppl);
        evaluator_free(evaluator);
        transformer_free(twin);
        fixture_model_close(&model);
    }
}

// Two tokens reach a few experts at most; the others are known to have seen none, and the plan says so.
static void experts_without_tokens_are_told(void **state) {
    (void)state;
    FixtureModel model;
    ModelStats stats, again;
    Recipe recipe;
    Plan plan;
    Error err = {0};
    int unreached = 0, few = 0;
    open_model("qwen3-moe", PRECISION_F32, &model);
    assert_true(model_stats_new(&model.structure, &stats, &err) && model_stats_new(&model.structure, &again, &err));
    assert_true(calibrate(model.base, model.ids, 1, 2, &stats, NULL, &err));
    set_recipe(&recipe);
    recipe.value[DIAL_V0] = 1e6; // static wherever there is a range
    assert_true(plan_make(&recipe, &model.structure, &stats.measured, &plan, &err));
    for (int i = 0; i < plan.linear_count; i++) {
        const Decision *d = &plan.decisions[i];
        if (model.structure.linears[i].expert < 0) continue;
        uint64_t tokens = stats.inputs[model.structure.linears[i].input].tokens;
        assert_int_equal(d->activations, tokens ? POLICY_STATIC : POLICY_TOKEN);
        assert_non_null(strstr(d->note, tokens ? "few tokens" : "no token"));
        assert_true(tokens || d->input_class == CLASS_UNKNOWN);
        *(tokens ? &few : &unreached) += 1;
    }
    assert_true(unreached > 0 && few > 0);
    char *folder = folder_temporary(); // such statistics can be kept
    assert_true(stats_cache_write_inputs(folder, 5, &stats, &err));
    assert_true(stats_cache_read_inputs(folder, 5, &model.structure, &again));
    for (int i = 0; i < stats.input_count; i++) assert_int_equal(stats.inputs[i].tokens, again.inputs[i].tokens);
    folder_remove(folder);
    plan_free(&plan);
    recipe_free(&recipe);
    model_stats_free(&stats);
    model_stats_free(&again);
    fixture_model_close(&model);
}

// ---- Targets ----

enum { SENTENCES = 50, LONGEST = 10, WRITTEN = 12 };

static const char *const writers[] = {"t5", "bart", "mbart", "marian"};

static size_t length_of(const int32_t *ids, size_t most) {
    size_t n = 0;
    while (n < most && ids[n] >= 0) n++;
    return n;
}

// The ids that transformers gives, end token included.
static bool is_written(const FixtureModel *model, const Generated *g, const int32_t *expected) {
    const size_t length = length_of(expected, WRITTEN);
    if (g->count + g->ended != length || memcmp(g->ids, expected, g->count * sizeof *expected) != 0) return false;
    return !g->ended || expected[length - 1] == model->config.eos_tokens[0];
}

static int count_written(FixtureModel *model, const int32_t *sources, const int32_t *expected, int beams) {
    int right = 0;
    Error err = {0};
    for (size_t i = 0; i < SENTENCES; i++) {
        Generated g;
        const int32_t *source = sources + i * LONGEST;
        if (!generate(model->base, source, length_of(source, LONGEST), WRITTEN, &(Sampling){.beams = beams}, NULL, NULL,
                      &g, NULL, &err))
            fail_msg("%s", err.message);
        for (size_t k = 0; k < g.count; k++) assert_true(g.probabilities[k] > 0 && g.probabilities[k] <= 1);
        right += is_written(model, &g, expected + i * WRITTEN);
        generated_free(&g);
    }
    return right;
}

static void targets_are_those_of_transformers(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof writers / sizeof *writers; i++) {
        FixtureModel model;
        TensorFile file;
        char path[160];
        size_t count;
        Error err = {0};
        open_model(writers[i], PRECISION_F32, &model);
        snprintf(path, sizeof path, "tests/fixtures/families/%s/written.safetensors", writers[i]);
        if (!safetensors_open(path, &file, &err)) fail_msg("%s", err.message);
        int32_t *sources = fixture_integers(&file, "sources", &count),
                *greedy = fixture_integers(&file, "greedy", &count), *beams = fixture_integers(&file, "beams", &count);
        assert_int_equal(count, SENTENCES * WRITTEN);
        const int one = count_written(&model, sources, greedy, 1), four = count_written(&model, sources, beams, 4);
        print_message("%-8s %d greedy, %d with beams\n", writers[i], one, four);
        assert_int_equal(one, SENTENCES);
        assert_int_equal(four, SENTENCES);
        free(sources), free(greedy), free(beams);
        tensor_file_close(&file);
        fixture_model_close(&model);
    }
}

// Families whose layers remember; their files know how the first ids go on.
static bool remembers(const char *name) {
    ModelConfig config;
    char folder[128];
    Error err = {0};
    snprintf(folder, sizeof folder, "tests/fixtures/families/%s", name);
    if (!config_load(folder, &config, &err)) fail_msg("%s", err.message);
    return config.recurrent.kind != RECURRENT_NONE;
}

static void check_continued(const char *name) {
    enum { BEGUN = 8 };
    FixtureModel model;
    TensorFile file;
    Generated g;
    char path[160];
    size_t count;
    Error err = {0};
    open_model(name, PRECISION_F32, &model);
    snprintf(path, sizeof path, "tests/fixtures/families/%s/expected.safetensors", name);
    if (!safetensors_open(path, &file, &err)) fail_msg("%s", err.message);
    int32_t *continued = fixture_integers(&file, "continued", &count);
    assert_int_equal(count, WRITTEN);
    if (!generate(model.base, model.ids, BEGUN, WRITTEN, &(Sampling){0}, NULL, NULL, &g, NULL, &err))
        fail_msg("%s", err.message);
    if (!is_written(&model, &g, continued)) fail_msg("%s goes on differently", name);
    generated_free(&g), free(continued);
    tensor_file_close(&file);
    fixture_model_close(&model);
}

static void texts_go_on_as_in_transformers(void **state) {
    (void)state;
    int known = 0;
    for (int i = 0; i < NAMES; i++) {
        if (!remembers(names[i])) continue;
        check_continued(names[i]);
        known++;
    }
    assert_true(known > 10);
}

// A token of the target does not run the encoder again.
static void a_token_reads_what_runs_for_it(void **state) {
    (void)state;
    FixtureModel model;
    size_t decoder = 0, rest = 0;
    open_model("t5", PRECISION_F32, &model);
    for (int i = 0; i < model.structure.linear_count; i++) {
        const Linear *linear = &model.structure.linears[i];
        const bool once = linear->stack == 'e' || linear->role == ROLE_CROSS_K || linear->role == ROLE_CROSS_V;
        *(once ? &rest : &decoder) += linear->out * linear->in * sizeof(uint16_t);
    }
    const size_t bytes = transformer_bytes_per_token(model.base);
    assert_true(rest > decoder / 2 && bytes >= decoder && bytes < decoder + rest / 2);
    fixture_model_close(&model);
}

static void what_cannot_be_written_is_refused(void **state) {
    (void)state;
    FixtureModel model;
    Generated g;
    Error err = {0};
    const int32_t source[] = {5, 6, 7};
    open_model("t5", PRECISION_F32, &model);
    assert_false(generate(model.base, source, 0, 4, &(Sampling){0}, NULL, NULL, &g, NULL, &err));
    assert_false(generate(model.base, source, 3, 4, &(Sampling){.beams = 40}, NULL, NULL, &g, NULL, &err));
    assert_non_null(strstr(err.message, "40 beams"));
    generated_free(&g);
    model.structure.config.pair.start_token = -1;
    assert_false(generate(model.base, source, 3, 4, &(Sampling){0}, NULL, NULL, &g, NULL, &err));
    assert_non_null(strstr(err.message, "decoder_start_token_id"));
    model.structure.config.pair.start_token = 56;
    assert_false(generate(model.base, source, 3, 4, &(Sampling){.beams = 4}, NULL, NULL, &g, NULL, &err));
    assert_non_null(strstr(err.message, "outside the vocabulary"));
    fixture_model_close(&model);
    open_model("opt", PRECISION_F32, &model);
    assert_false(generate(model.base, source, 3, 4, &(Sampling){.beams = 4}, NULL, NULL, &g, NULL, &err));
    assert_non_null(strstr(err.message, "has none"));
    generated_free(&g);
    fixture_model_close(&model);
}

// ---- Positions ----

// PhiMoE multiplies by another number where there is room for more than the original positions.
static void long_texts_have_a_factor_of_their_own(void **state) {
    (void)state;
    FixtureModel model;
    float within[16], beyond[16];
    open_model("phimoe", PRECISION_F32, &model);
    assert_float_equal(rope_frequencies(&model.config, false, 28, within), 1.2, 1e-6);
    assert_float_equal(rope_frequencies(&model.config, false, 29, beyond), 1.4, 1e-6);
    assert_float_equal(within[2] * 1.9f, beyond[2] * 6, 1e-6);
    fixture_model_close(&model);
}

// ---- Structure ----

static void fused_and_transposed_linears_are_as_stored(void **state) {
    (void)state;
    FixtureModel model;
    open_model("gpt2", PRECISION_F32, &model);
    const Linear *linear = &model.structure.linears[model.structure.layers[1].qkv];
    assert_string_equal(linear->name, "h.1.attn.c_attn");
    assert_int_equal(linear->role, ROLE_QKV);
    assert_true(linear->transposed && linear->out == 72 && linear->in == 24);
    const Tensor *stored = checkpoint_find(&model.checkpoint, "h.1.attn.c_attn.weight");
    Error err = {0};
    assert_true(tensor_hold(linear->weight, &err) && !linear->weight->stored); // turned round, and plain all the same
    const uint16_t *copy = linear->weight->data, *data = stored->data;
    assert_int_equal(linear->weight->shape[0], 72);
    assert_int_equal(stored->shape[0], 24);
    for (size_t o = 0; o < 72; o++)
        for (size_t i = 0; i < 24; i++) assert_int_equal(copy[o * 24 + i], data[i * 72 + o]);
    tensor_release(linear->weight);
    assert_int_equal(model.structure.linears[model.structure.layers[1].down].role, ROLE_FC2);
    assert_int_equal(model.structure.linears[model.structure.layers[1].down].fold, FOLD_NONE); // GELU
    fixture_model_close(&model);
    open_model("phi3", PRECISION_F32, &model);
    assert_int_equal(model.structure.linears[model.structure.layers[0].gate_up].out, 64);
    assert_string_equal(role_name(ROLE_GATE_UP), "gate_up");
    fixture_model_close(&model);
    open_model("falcon", PRECISION_F32, &model); // one norm for attention and MLP: one input
    const LayerMap *map = &model.structure.layers[0];
    assert_int_equal(model.structure.linears[map->qkv].input, model.structure.linears[map->up].input);
    assert_int_equal(map->attention_norm, map->mlp_norm);
    fixture_model_close(&model);
}

// Which linears layers have, what stays as it is, and where keys and values are.
static void layers_that_differ_are_as_stored(void **state) {
    (void)state;
    FixtureModel model;
    open_model("gemma4-shared", PRECISION_F32, &model);
    const LayerMap *maps = model.structure.layers;
    const Linear *linears = model.structure.linears;
    assert_true(maps[2].k < 0 && maps[2].v < 0 && maps[2].k_norm < 0 && maps[2].q_norm >= 0);
    assert_true(maps[2].keys_of == 0 && maps[3].keys_of == 1 && maps[1].keys_of == 1);
    assert_true(maps[2].cache == 0 && maps[3].cache == 1 && maps[3].cache_at == 0);
    assert_true(model.structure.cached_layers[0] == 1 && model.structure.cached_layers[1] == 1);
    assert_true(linears[maps[1].q].out == 32 && linears[maps[0].q].out == 24 && linears[maps[3].gate].out == 64);
    assert_int_equal(linears[maps[0].o].fold, FOLD_NONE); // heads of v are divided by their sizes
    assert_int_equal(linears[maps[0].layer_gate].role, ROLE_LAYER_GATE);
    assert_true(linears[maps[0].layer_proj].quantizable && !linears[model.structure.layer_projection].quantizable);
    fixture_model_close(&model);
    open_model("gemma4-experts", PRECISION_F32, &model);
    maps = model.structure.layers, linears = model.structure.linears;
    assert_true(maps[1].v < 0 && maps[1].k >= 0 && maps[0].v >= 0 && maps[1].down >= 0 && maps[1].router >= 0);
    assert_true(!linears[maps[1].router].quantizable && linears[maps[1].first_expert].quantizable);
    assert_true(linears[maps[1].router].input != linears[maps[1].gate].input);
    fixture_model_close(&model);
    open_model("gemma3n", PRECISION_F32, &model);
    maps = model.structure.layers, linears = model.structure.linears;
    assert_true(maps[3].k >= 0 && maps[3].keys_of == 1); // in the file, but nobody reads them
    assert_true(!linear_is_read(&model.structure, maps[3].k) && linear_is_read(&model.structure, maps[3].q));
    assert_int_equal(linears[maps[3].k].fused_set, linears[maps[3].q].fused_set);
    assert_int_equal(linears[maps[0].q].fold, FOLD_NONE); // laurel adds what the norm gives
    assert_int_equal(linears[maps[0].laurel_right].fold, FOLD_LINEAR_ROWS);
    const int apart[] = {maps[0].modalities,  maps[0].prediction,           maps[0].correction,
                         maps[0].laurel_left, model.structure.first_stream, model.structure.last_stream};
    for (size_t i = 0; i < sizeof apart / sizeof *apart; i++) assert_false(linears[apart[i]].quantizable);
    char name[64];
    linear_short_name(&linears[model.structure.last_stream], name, sizeof name);
    assert_string_equal(name, "3.altup_unembed_projections.0");
    fixture_model_close(&model);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(in_float_they_equal_transformers),
        cmocka_unit_test(in_native_precision_they_are_near),
        cmocka_unit_test(the_observer_sees_every_input_once),
        cmocka_unit_test(folding_changes_nothing),
        cmocka_unit_test(they_are_calibrated_and_quantized),
        cmocka_unit_test(a_twin_is_scored_as_equal),
        cmocka_unit_test(experts_without_tokens_are_told),
        cmocka_unit_test(targets_are_those_of_transformers),
        cmocka_unit_test(texts_go_on_as_in_transformers),
        cmocka_unit_test(a_token_reads_what_runs_for_it),
        cmocka_unit_test(what_cannot_be_written_is_refused),
        cmocka_unit_test(long_texts_have_a_factor_of_their_own),
        cmocka_unit_test(fused_and_transposed_linears_are_as_stored),
        cmocka_unit_test(layers_that_differ_are_as_stored),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
