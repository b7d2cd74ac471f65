// The quantized twin: follows plans, packs no more than it must, is whole at any time, and finds its way back.
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/array.h"
#include "kernels/host/measure.h"
#include "loaders/stored/stored.h"
#include "model/quantized_model.h"
#include "quant/equalize.h"
#include "quant/lae.h"
#include "tests/support/fixture_model.h"

#define FAMILIES "tests/fixtures/families/"
static const char biased[] = "tests/fixtures/llama-gqa-llama3-bf16";
static const char floats[] = "tests/fixtures/llama-mha-linear-f32"; // with biases in the MLP
static const char one_kv_head[] = "tests/fixtures/llama-mqa-plain-f16";

// ---- A backend that counts ----

static struct {
    BackendOps ops; // the CPU's, with the making of quantized weights going through here
    const BackendOps *cpu;
    int packed;     // calls
    int stop_after; // asks `progress` to stop after so many; 0 never
    int fail_after; // refuses from then on; 0 never
    Progress *progress;
} counting;

static bool counted(Error *err) {
    counting.packed++;
    if (counting.fail_after && counting.packed > counting.fail_after) return error_set(err, "no more");
    if (counting.stop_after == counting.packed) progress_request_stop(counting.progress);
    return true;
}

static bool counted_from_dense(Backend *backend, const Weight *dense, const WeightQuantizing *how,
                               const ActivationScheme *scheme, const float *bias, double *errors, Weight **out,
                               Error *err) {
    return counted(err) && counting.cpu->weight_from_dense(backend, dense, how, scheme, bias, errors, out, err);
}

static bool counted_weight(Backend *backend, const QuantizedWeight *w, const ActivationScheme *scheme,
                           const float *bias, Precision precision, Weight **out, Error *err) {
    return counted(err) && counting.cpu->weight_quantized(backend, w, scheme, bias, precision, out, err);
}

// ---- A model with a quantized twin and measured inputs ----

typedef struct Twin {
    FixtureModel model;
    QuantizedModel *quantized;
    Measured measured;
    Recipe recipe;
    size_t n; // logits
} Twin;

static void measure(void *context, int input, const float *x, size_t tokens, size_t width) {
    InputMeasure *measure = &((Measured *)context)->inputs[input];
    for (size_t i = 0; i < tokens * width; i++) {
        float magnitude = fabsf(x[i]), *channel = &measure->channel_absmax[i % width];
        if (magnitude > *channel) *channel = magnitude;
        if (magnitude > measure->range) measure->range = magnitude;
    }
    measure->known = true;
    measure->tokens += tokens;
}

static void measure_inputs(Twin *twin) {
    const ModelStructure *structure = &twin->model.structure;
    Measured *measured = &twin->measured;
    measured->input_count = structure->input_count;
    measured->linear_count = structure->linear_count;
    measured->inputs = array_new((size_t)structure->input_count, sizeof *measured->inputs);
    measured->weights = array_new((size_t)structure->linear_count, sizeof *measured->weights);
    for (int i = 0; i < structure->linear_count; i++) {
        InputMeasure *input = &measured->inputs[structure->linears[i].input];
        if (input->channel_absmax) continue;
        input->width = structure->linears[i].in;
        input->channel_absmax = array_new(input->width, sizeof(float));
    }
    for (int i = 0; i < structure->linear_count; i++) {
        const Linear *linear = &structure->linears[i];
        WeightMeasure *weight = &measured->weights[i];
        weight->column_absmax = array_new(linear->in, sizeof(float));
        column_absmax(linear->weight->dtype, linear->weight->data, linear->out, linear->in, weight->column_absmax);
        weight->known = true;
    }
    Sequences *sequences;
    Error err = {0};
    Observer observer = {.linear_input = measure, .context = measured};
    float *logits = array_new(twin->n, sizeof *logits);
    assert_true(sequences_new(twin->model.base, twin->model.tokens, &sequences, &err));
    assert_true(transformer_forward(twin->model.base, sequences, twin->model.ids, twin->model.tokens, true, logits,
                                    &observer, &err));
    sequences_free(sequences);
    free(logits);
}

static void twin_open(const char *folder, Precision precision, Twin *twin) {
    Error err = {0};
    *twin = (Twin){0};
    fixture_model_open(folder, precision, &twin->model);
    Backend *backend = twin->model.backend;
    memset(&counting, 0, sizeof counting);
    counting.cpu = backend->ops;
    counting.ops = *backend->ops;
    counting.ops.weight_quantized = counted_weight;
    counting.ops.weight_from_dense = counted_from_dense;
    backend->ops = &counting.ops;
    twin->n = twin->model.tokens * (size_t)twin->model.config.vocab;
    for (int i = 0; i < twin->model.structure.linear_count; i++)
        assert_true(tensor_hold(twin->model.structure.linears[i].weight, &err));
    measure_inputs(twin);
    assert_true(quantized_model_new(twin->model.base, &twin->quantized, &err));
    assert_true(recipe_default(&twin->recipe, &err));
}

static void twin_close(Twin *twin) {
    for (int i = 0; i < twin->measured.input_count; i++) free(twin->measured.inputs[i].channel_absmax);
    for (int i = 0; i < twin->measured.linear_count; i++) free(twin->measured.weights[i].column_absmax);
    free(twin->measured.inputs);
    free(twin->measured.weights);
    recipe_free(&twin->recipe);
    quantized_model_free(twin->quantized);
    for (int i = 0; i < twin->model.structure.linear_count; i++)
        tensor_release(twin->model.structure.linears[i].weight);
    fixture_model_close(&twin->model);
}

// Weights of `bits` in groups of 16; activations by FPTQ with every input in the class of LAE.
static void set_recipe(Twin *twin, int bits, ActivationPolicy activations) {
    twin->recipe.value[DIAL_BITS] = bits;
    twin->recipe.value[DIAL_GRANULARITY] = GRANULARITY_GROUP;
    twin->recipe.value[DIAL_GROUP_SIZE] = 16;
    twin->recipe.value[DIAL_SCALE] = SCALE_F32;
    twin->recipe.value[DIAL_ACTIVATIONS] = activations;
    twin->recipe.value[DIAL_V0] = 0.01;
    twin->recipe.value[DIAL_V1] = 1e6;
}

static Plan plan_of(const Twin *twin) {
    Plan plan;
    Error err = {0};
    if (!plan_make(&twin->recipe, &twin->model.structure, &twin->measured, &plan, &err)) fail_msg("%s", err.message);
    return plan;
}

// Follows a plan that must succeed; returns how many linears were packed.
static int follow(Twin *twin, const Plan *plan, int *first_changed) {
    Error err = {0};
    counting.packed = 0;
    if (!quantized_model_follow(twin->quantized, plan, &twin->measured, first_changed, NULL, &err))
        fail_msg("%s", err.message);
    return counting.packed;
}

static int follow_recipe(Twin *twin, int *first_changed) {
    Plan plan = plan_of(twin);
    int packed = follow(twin, &plan, first_changed);
    plan_free(&plan);
    return packed;
}

static float *twin_logits(Twin *twin) {
    return fixture_logits(quantized_model_transformer(twin->quantized), twin->model.ids, twin->model.tokens);
}

// √(Σ (a − b)² / Σ b²): how far rounding led away, of all logits together.
static double noise(const float *a, const float *b, size_t n) {
    double difference = 0, all = 0;
    for (size_t i = 0; i < n; i++) {
        difference += ((double)a[i] - (double)b[i]) * ((double)a[i] - (double)b[i]);
        all += (double)b[i] * (double)b[i];
    }
    return sqrt(difference / all);
}

// The noise of the twin's logits against the base's.
static double distance(Twin *twin) {
    float *base = fixture_logits(twin->model.base, twin->model.ids, twin->model.tokens), *now = twin_logits(twin);
    double difference = noise(now, base, twin->n);
    free(base);
    free(now);
    return difference;
}

// What 8-bit weights and activations cost these models, with some room; a factor in the wrong place costs ten times as
// much.
static const double NEAR = 8e-2;

static void assert_within(double value, double least, double most) {
    if (!(value >= least && value <= most)) fail_msg("%.3e is not within %.1e … %.1e", value, least, most);
}

// Replaces a linear of t by floats [out, in], which must outlive it; its bias is divided by divisors [out] unless NULL.
static void set_dense_divided(const Twin *twin, Transformer *t, int index, const float *weights,
                              const float *divisors) {
    const Linear *linear = &twin->model.structure.linears[index];
    Backend *backend = twin->model.backend;
    Weight *weight;
    float *bias;
    Error err = {0};
    assert_true(linear_bias(linear, &bias, &err));
    for (size_t o = 0; bias && divisors && o < linear->out; o++) bias[o] /= divisors[o];
    assert_true(backend->ops->weight_dense(backend, DTYPE_F32, weights, linear->out, linear->in, bias, PRECISION_F32,
                                           &weight, &err));
    transformer_set_linear(t, index, weight);
    free(bias);
}

static void set_dense(const Twin *twin, Transformer *t, int index, const float *weights) {
    set_dense_divided(twin, t, index, weights, NULL);
}

// ---- Tests ----

static void fewer_bits_are_farther_from_the_base(void **state) {
    (void)state;
    Twin twin;
    twin_open(biased, PRECISION_F32, &twin);
    double last = 0;
    const int bits[] = {8, 4, 2};
    const double least[] = {1e-6, 1e-2, 1e-1}, most[] = {3e-2, 5e-1, 3};
    for (int i = 0; i < 3; i++) {
        set_recipe(&twin, bits[i], POLICY_NONE);
        assert_int_equal(follow_recipe(&twin, NULL), twin.model.structure.linear_count - 1); // all but the head
        double now = distance(&twin);
        print_message("%d bits: %.2e of the logits\n", bits[i], now);
        assert_within(now, least[i], most[i]);
        assert_true(now > last);
        last = now;
        const WeightError *error = quantized_model_weight_error(twin.quantized, 0);
        assert_non_null(error);
        assert_within(weight_sqnr_db(error), 6.0 * bits[i] - 8, 6.0 * bits[i] + 6);
        assert_null(quantized_model_weight_error(twin.quantized, twin.model.structure.head));
    }
    twin_close(&twin);
}

static void assert_equals_dense(Grid grid, Clip clip) {
    Twin twin;
    Transformer *dense;
    Error err = {0};
    twin_open(biased, PRECISION_F32, &twin);
    const ModelStructure *structure = &twin.model.structure;
    assert_true(transformer_variant(twin.model.base, &dense, &err));
    set_recipe(&twin, 4, POLICY_NONE);
    twin.recipe.value[DIAL_GRID] = grid;
    twin.recipe.value[DIAL_CLIP] = clip;
    Plan plan = plan_of(&twin);
    follow(&twin, &plan, NULL);
    float **kept = array_new((size_t)structure->linear_count, sizeof *kept);
    for (int i = 0; i < structure->linear_count; i++) {
        if (!plan.decisions[i].quantized) continue;
        QuantizedWeight w;
        assert_true(quantize_linear(&structure->linears[i], &plan.decisions[i], NULL, NULL, &w, NULL, &err));
        kept[i] = array_new(w.out * w.in, sizeof(float));
        dequantize(&w, kept[i]);
        quantized_weight_free(&w);
        set_dense(&twin, dense, i, kept[i]);
    }
    float *expected = fixture_logits(dense, twin.model.ids, twin.model.tokens), *now = twin_logits(&twin);
    assert_within(relative_difference(now, expected, twin.n), 0, 1e-5);
    transformer_free(dense);
    for (int i = 0; i < structure->linear_count; i++) free(kept[i]);
    free(kept);
    free(expected);
    free(now);
    plan_free(&plan);
    twin_close(&twin);
}

// Weight-only is nothing but a forward pass over the rounded weights.
static void weights_alone_equal_a_dense_model_of_them(void **state) {
    (void)state;
    for (Grid grid = GRID_SYMMETRIC; grid <= GRID_TWO_LEVEL; grid++) assert_equals_dense(grid, CLIP_ABSMAX);
    assert_equals_dense(GRID_SYMMETRIC, CLIP_MSE);
}

static double weight_noise(const Twin *twin) {
    double noise = 0;
    for (int i = 0; i < twin->model.structure.linear_count; i++) {
        const WeightError *error = quantized_model_weight_error(twin->quantized, i);
        if (error) noise += error->noise;
    }
    return noise;
}

// Four bits: zero points and clipping lose less, powers of two more.
static void grids_differ_in_what_they_lose(void **state) {
    (void)state;
    Twin twin;
    twin_open(biased, PRECISION_F32, &twin);
    set_recipe(&twin, 4, POLICY_TOKEN);
    follow_recipe(&twin, NULL);
    double plain = weight_noise(&twin);
    twin.recipe.value[DIAL_CLIP] = CLIP_MSE;
    assert_int_equal(follow_recipe(&twin, NULL), 14);
    assert_true(weight_noise(&twin) < plain);
    twin.recipe.value[DIAL_CLIP] = CLIP_ABSMAX;
    twin.recipe.value[DIAL_GRID] = GRID_ASYMMETRIC;
    follow_recipe(&twin, NULL);
    assert_true(weight_noise(&twin) < plain);
    assert_within(distance(&twin), 1e-2, 0.6);
    twin.recipe.value[DIAL_GRID] = GRID_LOG2;
    follow_recipe(&twin, NULL);
    assert_true(weight_noise(&twin) > plain);
    twin.recipe.value[DIAL_GRID] = GRID_TWO_LEVEL;
    twin.recipe.value[DIAL_BITS] = 8;
    follow_recipe(&twin, NULL);
    assert_within(distance(&twin), 1e-5, NEAR);
    twin_close(&twin);
}

static void rival_policies_stay_near_the_base(void **state) {
    (void)state;
    Twin twin;
    twin_open(biased, PRECISION_F32, &twin);
    const LayerMap *layer = &twin.model.structure.layers[1];
    set_recipe(&twin, 8, POLICY_SMOOTHQUANT);
    follow_recipe(&twin, NULL);
    assert_non_null(quantized_model_factors(twin.quantized, layer->gate));
    assert_within(distance(&twin), 1e-5, NEAR);
    twin.recipe.value[DIAL_FOLD] = FOLDS_ALL;
    twin.recipe.value[DIAL_SMOOTH_SCALE] = SMOOTH_TOKEN;
    follow_recipe(&twin, NULL);
    assert_non_null(quantized_model_divisors(twin.quantized, layer->v));
    assert_within(distance(&twin), 1e-5, NEAR);
    twin.recipe.value[DIAL_ACTIVATIONS] = POLICY_CHANNEL;
    assert_int_equal(follow_recipe(&twin, NULL), 14);
    assert_null(quantized_model_divisors(twin.quantized, layer->v));
    assert_within(distance(&twin), 1e-5, NEAR);
    twin_close(&twin);
}

static void a_smaller_cache_changes_every_layer(void **state) {
    (void)state;
    Twin twin;
    int first;
    twin_open(biased, PRECISION_F32, &twin);
    Plan plan = plan_of(&twin);
    memset(plan.decisions, 0, (size_t)plan.linear_count * sizeof *plan.decisions);
    size_t wide = plan.cache_bytes;
    plan.cache_bits = 8;
    assert_int_equal(follow(&twin, &plan, &first), 0);
    assert_int_equal(first, 0);
    assert_within(distance(&twin), 1e-5, NEAR); // of nothing but the cache
    assert_int_equal(follow(&twin, &plan, &first), 0);
    assert_int_equal(first, twin.model.config.layers);
    plan_free(&plan);
    twin.recipe.value[DIAL_CACHE_BITS] = 8;
    plan = plan_of(&twin);
    assert_int_equal(plan.cache_bits, 8);
    assert_true(plan.cache_bytes < wide);
    memset(plan.decisions, 0, (size_t)plan.linear_count * sizeof *plan.decisions);
    plan.cache_bits = 16;
    follow(&twin, &plan, &first);
    assert_int_equal(first, 0);
    assert_true(distance(&twin) == 0);
    plan_free(&plan);
    twin_close(&twin);
}

static void going_back_restores_the_base_exactly(void **state) {
    (void)state;
    Twin twin;
    int first;
    twin_open(biased, PRECISION_NATIVE, &twin);
    set_recipe(&twin, 4, POLICY_FPTQ);
    follow_recipe(&twin, &first);
    assert_int_equal(first, 0);
    assert_true(distance(&twin) > 0);
    assert_non_null(quantized_model_factors(twin.quantized, twin.model.structure.layers[0].q));
    Plan plan = plan_of(&twin);
    memset(plan.decisions, 0, (size_t)plan.linear_count * sizeof *plan.decisions);
    assert_int_equal(follow(&twin, &plan, &first), 0);
    assert_int_equal(first, 0);
    plan_free(&plan);
    assert_true(distance(&twin) == 0);
    for (int i = 0; i < twin.model.structure.linear_count; i++) {
        assert_null(quantized_model_weight_error(twin.quantized, i));
        assert_null(quantized_model_factors(twin.quantized, i));
    }
    twin_close(&twin);
}

static void only_what_changed_is_packed_again(void **state) {
    (void)state;
    Twin twin;
    Error err = {0};
    int first;
    twin_open(biased, PRECISION_F32, &twin);
    const ModelStructure *structure = &twin.model.structure;
    set_recipe(&twin, 8, POLICY_NONE);
    assert_int_equal(follow_recipe(&twin, &first), 14);
    assert_int_equal(follow_recipe(&twin, &first), 0);
    assert_int_equal(first, structure->config.layers); // nothing changed
    const Weight *before = transformer_linear(quantized_model_transformer(twin.quantized), structure->layers[1].k);
    double four = 4;
    int down = structure->layers[1].down;
    assert_true(recipe_override(&twin.recipe, structure->linears[down].name, DIAL_BITS, &four, &err));
    assert_int_equal(follow_recipe(&twin, &first), 1);
    assert_int_equal(first, 1);
    assert_ptr_equal(transformer_linear(quantized_model_transformer(twin.quantized), structure->layers[1].k), before);
    assert_true(recipe_override(&twin.recipe, structure->linears[structure->layers[0].o].name, DIAL_BITS, &four, &err));
    assert_int_equal(follow_recipe(&twin, &first), 1);
    assert_int_equal(first, 0);
    twin_close(&twin);
}

static void the_head_counts_as_part_of_the_last_layer(void **state) {
    (void)state;
    Twin twin;
    int first;
    twin_open(biased, PRECISION_F32, &twin);
    set_recipe(&twin, 8, POLICY_NONE);
    Plan plan = plan_of(&twin);
    follow(&twin, &plan, &first);
    int q = twin.model.structure.layers[0].q, head = twin.model.structure.head;
    plan.decisions[head] = plan.decisions[q];
    assert_int_equal(follow(&twin, &plan, &first), 1);
    assert_int_equal(first, twin.model.config.layers - 1);
    plan_free(&plan);
    twin_close(&twin);
}

// ---- Equalization ----

static float *columns_times(const Linear *linear, const float *factors) {
    float *weights = array_new(linear->out * linear->in, sizeof *weights);
    floats_from(linear->weight->dtype, linear->weight->data, linear->out * linear->in, weights);
    for (size_t i = 0; i < linear->out * linear->in; i++) weights[i] *= factors[i % linear->in];
    return weights;
}

// Divides the gain of norm by LAE factors and multiplies the columns of its readers, all in float.
static void fold(const Twin *twin, Transformer *t, int norm, float **kept) {
    const ModelStructure *structure = &twin->model.structure;
    const InputMeasure *input = &twin->measured.inputs[structure->norms[norm].input];
    float *factors = array_new(input->width, sizeof *factors);
    Error err = {0};
    lae_factors(input->channel_absmax, input->width, 1, factors);
    assert_true(transformer_set_norm_divisor(t, norm, factors, &err));
    for (int i = 0; i < structure->linear_count; i++) {
        const Linear *linear = &structure->linears[i];
        if (linear->input != structure->norms[norm].input) continue;
        kept[i] = columns_times(linear, factors);
        set_dense(twin, t, i, kept[i]);
    }
    free(factors);
}

static void equalization_in_float_changes_nothing(void **state) {
    (void)state;
    const char *const folders[] = {biased, floats};
    for (int f = 0; f < 2; f++) {
        Twin twin;
        Transformer *variant;
        Error err = {0};
        twin_open(folders[f], PRECISION_F32, &twin);
        assert_true(transformer_variant(twin.model.base, &variant, &err));
        float **kept = array_new((size_t)twin.model.structure.linear_count, sizeof *kept);
        for (int norm = 0; norm < twin.model.structure.norm_count; norm++) fold(&twin, variant, norm, kept);
        float *base = fixture_logits(twin.model.base, twin.model.ids, twin.model.tokens);
        float *folded = fixture_logits(variant, twin.model.ids, twin.model.tokens);
        double difference = relative_difference(folded, base, twin.n);
        print_message("%s: %.1e of the largest logit\n", folders[f], difference);
        assert_within(difference, 0, 1e-5);
        transformer_free(variant);
        for (int i = 0; i < twin.model.structure.linear_count; i++) free(kept[i]);
        free(kept);
        free(base);
        free(folded);
        twin_close(&twin);
    }
}

// Multiplies the columns of a linear by its factors and divides the rows of the one before it, all in float.
static void fold_rows(const Twin *twin, Transformer *t, const Plan *plan, int reader, float **kept) {
    const ModelStructure *structure = &twin->model.structure;
    const Linear *linear = &structure->linears[reader], *source = &structure->linears[linear->fold_index];
    float *factors = array_new(linear->in, sizeof *factors), *divisors = array_new(source->out, sizeof *divisors);
    Error err = {0};
    int *readers = array_new((size_t)structure->linear_count, sizeof *readers);
    equalize_row_readers(structure, plan, readers);
    assert_int_equal(readers[linear->fold_index], reader);
    free(readers);
    assert_true(equalize_factors(structure, &twin->measured, &plan->decisions[reader], reader, factors, &err));
    assert_true(equalize_divisors(structure, &twin->measured, plan, reader, divisors, &err));
    kept[reader] = columns_times(linear, factors);
    float *rows = kept[linear->fold_index] = array_new(source->out * source->in, sizeof *rows);
    floats_from(source->weight->dtype, source->weight->data, source->out * source->in, rows);
    for (size_t i = 0; i < source->out * source->in; i++) rows[i] /= divisors[i / source->in];
    set_dense(twin, t, reader, kept[reader]);
    set_dense_divided(twin, t, linear->fold_index, rows, divisors);
    free(factors);
    free(divisors);
}

// v → o (with grouped-query attention, with one kv head, with as many as query heads), up → down (with a bias), fc1 →
// fc2 behind ReLU (opt), the rows of v and up within fused linears, experts.
static void folding_into_rows_in_float_changes_nothing(void **state) {
    (void)state;
    static const struct {
        const char *folder;
        int folds; // of a layer
    } models[] = {{biased, 2},
                  {floats, 2},
                  {one_kv_head, 2},
                  {FAMILIES "opt", 2},
                  {FAMILIES "phi3", 2},
                  {FAMILIES "gpt2", 1},
                  {FAMILIES "gpt-neox", 1},
                  {FAMILIES "falcon-groups", 1},
                  {FAMILIES "qwen3-moe", 3}};
    for (size_t m = 0; m < sizeof models / sizeof *models; m++) {
        Twin twin;
        Transformer *variant;
        Error err = {0};
        int folds = 0;
        twin_open(models[m].folder, PRECISION_F32, &twin);
        set_recipe(&twin, 8, POLICY_FPTQ);
        twin.recipe.value[DIAL_FOLD] = FOLDS_ALL;
        twin.recipe.value[DIAL_V0] = 0;
        Plan plan = plan_of(&twin);
        assert_true(transformer_variant(twin.model.base, &variant, &err));
        float **kept = array_new((size_t)twin.model.structure.linear_count, sizeof *kept);
        for (int i = 0; i < plan.linear_count; i++) {
            if (plan.decisions[i].fold != FOLD_LINEAR_ROWS || !plan.decisions[i].lae) continue;
            fold_rows(&twin, variant, &plan, i, kept);
            folds++;
        }
        assert_true(folds >= models[m].folds * twin.model.config.layers);
        float *base = fixture_logits(twin.model.base, twin.model.ids, twin.model.tokens);
        float *folded = fixture_logits(variant, twin.model.ids, twin.model.tokens);
        double difference = relative_difference(folded, base, twin.n);
        print_message("%s: %.1e of the largest logit\n", models[m].folder, difference);
        assert_within(difference, 0, 1e-5);
        transformer_free(variant);
        for (int i = 0; i < twin.model.structure.linear_count; i++) free(kept[i]);
        free(kept);
        free(base);
        free(folded);
        plan_free(&plan);
        twin_close(&twin);
    }
}

static void set_all_folds(Plan *plan, FoldKind kind) {
    for (int i = 0; i < plan->linear_count; i++)
        if (plan->decisions[i].lae) plan->decisions[i].fold = kind;
}

// 8-bit weights and activations with the factors in the norms, in the linears, or for some in one and some in the
// other: the same function up to rounding, and near the base.
static void factors_can_be_folded_or_divided_at_run_time(void **state) {
    (void)state;
    Twin twin;
    twin_open(biased, PRECISION_F32, &twin);
    const LayerMap *layer = &twin.model.structure.layers[0];
    set_recipe(&twin, 8, POLICY_FPTQ);
    Plan plan = plan_of(&twin);
    assert_true(plan.decisions[layer->q].lae && plan.decisions[layer->gate].lae);
    assert_int_equal(follow(&twin, &plan, NULL), 14);
    assert_non_null(quantized_model_factors(twin.quantized, layer->q));
    assert_null(quantized_model_factors(twin.quantized, layer->down)); // per token: nothing to fold
    float *folded = twin_logits(&twin);
    assert_within(distance(&twin), 1e-5, NEAR);
    set_all_folds(&plan, FOLD_NONE);
    assert_int_equal(follow(&twin, &plan, NULL), 10);
    assert_null(quantized_model_factors(twin.quantized, layer->q));
    float *divided = twin_logits(&twin);
    // Roundings of the product may fall to the other side, not more.
    assert_within(relative_difference(divided, folded, twin.n), 0, 2e-2);
    set_all_folds(&plan, FOLD_NORM);
    plan.decisions[layer->k].lae_alpha = 0.5f; // q and v cannot be folded without k
    const InputMeasure *input = &twin.measured.inputs[twin.model.structure.linears[layer->k].input];
    plan.decisions[layer->k].activation_scale = lae_range(input->range, 0.5) / 127;
    follow(&twin, &plan, NULL);
    assert_null(quantized_model_factors(twin.quantized, layer->q));
    assert_non_null(quantized_model_factors(twin.quantized, layer->gate));
    assert_within(distance(&twin), 1e-5, NEAR);
    plan.decisions[layer->k].quantized = false;
    follow(&twin, &plan, NULL);
    assert_within(distance(&twin), 1e-5, NEAR);
    free(folded);
    free(divided);
    plan_free(&plan);
    twin_close(&twin);
}

// All four inputs of a layer equalized and static: near the base, whether rows or the linears divide.
static void factors_go_into_the_rows_of_the_linear_before(void **state) {
    (void)state;
    Twin twin;
    int first;
    twin_open(biased, PRECISION_F32, &twin);
    const LayerMap *layer = &twin.model.structure.layers[1];
    set_recipe(&twin, 8, POLICY_FPTQ);
    twin.recipe.value[DIAL_V0] = 0;
    assert_int_equal(follow_recipe(&twin, NULL), 14);
    assert_null(quantized_model_divisors(twin.quantized, layer->v));
    twin.recipe.value[DIAL_FOLD] = FOLDS_ALL;
    assert_int_equal(follow_recipe(&twin, &first), 8); // v, o, up and down of two layers
    assert_int_equal(first, 0);
    assert_non_null(quantized_model_factors(twin.quantized, layer->o));
    assert_non_null(quantized_model_divisors(twin.quantized, layer->v));
    assert_non_null(quantized_model_divisors(twin.quantized, layer->up));
    assert_within(distance(&twin), 1e-5, NEAR);
    twin.recipe.value[DIAL_FOLD] = FOLDS_NORM;
    twin.recipe.value[DIAL_UNFOLDABLE] = UNFOLDABLE_RUNTIME;
    assert_int_equal(follow_recipe(&twin, NULL), 8);
    assert_null(quantized_model_factors(twin.quantized, layer->o)); // it divides by itself
    assert_null(quantized_model_divisors(twin.quantized, layer->v));
    assert_within(distance(&twin), 1e-5, NEAR);
    twin_close(&twin);
}

// Stopped between v and o, neither has changed.
static void rows_and_their_reader_change_together(void **state) {
    (void)state;
    Twin twin;
    Error err = {0};
    twin_open(biased, PRECISION_F32, &twin);
    set_recipe(&twin, 8, POLICY_FPTQ);
    twin.recipe.value[DIAL_V0] = 0;
    twin.recipe.value[DIAL_FOLD] = FOLDS_ALL;
    Plan plan = plan_of(&twin);
    for (int fail_after = 0; fail_after <= 14; fail_after++) {
        int first;
        counting.packed = 0;
        counting.fail_after = fail_after ? fail_after : 1;
        bool done = quantized_model_follow(twin.quantized, &plan, &twin.measured, &first, NULL, &err);
        assert_within(distance(&twin), 0, NEAR);
        const LayerMap *layer = &twin.model.structure.layers[0];
        assert_true(!quantized_model_divisors(twin.quantized, layer->v) ==
                    !quantized_model_factors(twin.quantized, layer->o));
        assert_true(fail_after < 14 || done);
    }
    counting.fail_after = 0;
    Plan none = plan_of(&twin);
    memset(none.decisions, 0, (size_t)none.linear_count * sizeof *none.decisions);
    follow(&twin, &none, NULL);
    assert_true(distance(&twin) == 0);
    plan_free(&none);
    plan_free(&plan);
    twin_close(&twin);
}

static void a_new_calibration_packs_what_it_equalizes_again(void **state) {
    (void)state;
    Twin twin;
    int first;
    twin_open(biased, PRECISION_F32, &twin);
    set_recipe(&twin, 8, POLICY_FPTQ);
    Plan plan = plan_of(&twin);
    follow(&twin, &plan, NULL);
    // Another maximum in a channel that does not decide the range: the decisions stay as they are.
    int gate = twin.model.structure.layers[1].gate;
    InputMeasure *input = &twin.measured.inputs[twin.model.structure.linears[gate].input];
    size_t channel = input->channel_absmax[0] == input->range ? 1 : 0;
    input->channel_absmax[channel] *= 0.9f;
    assert_int_equal(follow(&twin, &plan, &first), 2); // gate and up
    assert_int_equal(first, 1);
    assert_within(distance(&twin), 1e-5, NEAR);
    input->known = false;
    Error err = {0};
    assert_false(quantized_model_follow(twin.quantized, &plan, &twin.measured, NULL, NULL, &err));
    assert_non_null(strstr(err.message, "calibrate first"));
    assert_non_null(strstr(err.message, "mlp.gate_proj"));
    plan_free(&plan);
    twin_close(&twin);
}

// ---- Stopping ----

// Every reader of a norm is as the norm is: a model cut off between them would compute nonsense.
static void assert_whole(Twin *twin) { assert_within(distance(twin), 0, NEAR); }

static void stopping_anywhere_leaves_a_whole_model(void **state) {
    (void)state;
    Twin direct, twin;
    twin_open(biased, PRECISION_F32, &direct);
    set_recipe(&direct, 8, POLICY_FPTQ);
    follow_recipe(&direct, NULL);
    float *expected = twin_logits(&direct);
    twin_open(biased, PRECISION_F32, &twin);
    set_recipe(&twin, 8, POLICY_FPTQ);
    Plan plan = plan_of(&twin);
    for (int stop_after = 1; stop_after <= 14; stop_after++) {
        Progress progress = {0};
        Error err = {0};
        int first;
        counting.packed = 0;
        counting.progress = &progress;
        counting.stop_after = stop_after < 3 ? stop_after : 3;
        bool done = quantized_model_follow(twin.quantized, &plan, &twin.measured, &first, &progress, &err);
        assert_true(done || err.stopped);
        assert_whole(&twin);
        if (stop_after < 3) assert_int_equal(first, twin.model.config.layers); // not even q, k and v
        if (stop_after == 3) assert_int_equal(first, 0);
        if (done) break;
        assert_true(stop_after < 14);
    }
    counting.stop_after = 0;
    assert_int_equal(follow(&twin, &plan, NULL), 0);
    float *now = twin_logits(&twin);
    assert_memory_equal(now, expected, twin.n * sizeof *now);
    free(expected);
    free(now);
    plan_free(&plan);
    twin_close(&twin);
    twin_close(&direct);
}

static void a_failure_leaves_a_whole_model(void **state) {
    (void)state;
    Twin twin;
    Error err = {0};
    twin_open(biased, PRECISION_F32, &twin);
    set_recipe(&twin, 8, POLICY_FPTQ);
    Plan plan = plan_of(&twin);
    counting.fail_after = 5; // o is done, of gate and up only one
    int first;
    assert_false(quantized_model_follow(twin.quantized, &plan, &twin.measured, &first, NULL, &err));
    assert_false(err.stopped);
    assert_string_equal(err.message, "model.layers.0.mlp.up_proj.weight: no more");
    assert_int_equal(first, 0);
    assert_non_null(quantized_model_weight_error(twin.quantized, twin.model.structure.layers[0].o));
    assert_null(quantized_model_weight_error(twin.quantized, twin.model.structure.layers[0].gate));
    assert_whole(&twin);
    counting.fail_after = 0;
    assert_int_equal(follow(&twin, &plan, NULL), 10);
    plan.linear_count--;
    assert_false(quantized_model_follow(twin.quantized, &plan, &twin.measured, &first, NULL, &err));
    assert_non_null(strstr(err.message, "another model"));
    plan.linear_count++;
    plan_free(&plan);
    twin_close(&twin);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fewer_bits_are_farther_from_the_base),
        cmocka_unit_test(weights_alone_equal_a_dense_model_of_them),
        cmocka_unit_test(grids_differ_in_what_they_lose),
        cmocka_unit_test(rival_policies_stay_near_the_base),
        cmocka_unit_test(a_smaller_cache_changes_every_layer),
        cmocka_unit_test(going_back_restores_the_base_exactly),
        cmocka_unit_test(only_what_changed_is_packed_again),
        cmocka_unit_test(the_head_counts_as_part_of_the_last_layer),
        cmocka_unit_test(equalization_in_float_changes_nothing),
        cmocka_unit_test(folding_into_rows_in_float_changes_nothing),
        cmocka_unit_test(factors_go_into_the_rows_of_the_linear_before),
        cmocka_unit_test(rows_and_their_reader_change_together),
        cmocka_unit_test(factors_can_be_folded_or_divided_at_run_time),
        cmocka_unit_test(a_new_calibration_packs_what_it_equalizes_again),
        cmocka_unit_test(stopping_anywhere_leaves_a_whole_model),
        cmocka_unit_test(a_failure_leaves_a_whole_model),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
