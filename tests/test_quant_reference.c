// quant/ against an independent implementation (tools/reference/methods.py) on small matrices: codes and group sizes
// equal, scales equal to the bit, equalization factors within one unit in the last place.
// tools/reference/make_quant_fixtures.py, make_grid_fixtures.py and make_noise_fixture.py wrote what is read here.
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/hash.h"
#include "kernels/backend.h"
#include "quant/equalize.h"
#include "quant/lae.h"
#include "quant/noise.h"
#include "quant/quantize.h"
#include "quant/vote_counts.h"
#include "tests/support/quant_fixtures.h"

#define FOLDER "tests/fixtures/quant/"

typedef struct Reference {
    cJSON *cases, *grids, *noise;
    TensorFile matrices, expected;
} Reference;

static int setup(void **state) {
    static Reference reference;
    reference = (Reference){.cases = fixture_json(FOLDER "cases.json"),
                            .grids = fixture_json(FOLDER "grids.json"),
                            .noise = fixture_json(FOLDER "noise.json"),
                            .matrices = fixture_tensors(FOLDER "matrices.safetensors"),
                            .expected = fixture_tensors(FOLDER "expected.safetensors")};
    *state = &reference;
    return 0;
}

static int teardown(void **state) {
    Reference *r = *state;
    cJSON_Delete(r->cases);
    cJSON_Delete(r->grids);
    cJSON_Delete(r->noise);
    tensor_file_close(&r->matrices);
    tensor_file_close(&r->expected);
    return 0;
}

static Linear linear_of(const Reference *r, const char *name) {
    const Tensor *tensor = fixture_tensor(&r->matrices, name);
    return (Linear){.name = (char *)name,
                    .out = tensor->shape[0],
                    .in = tensor->shape[1],
                    .weight = tensor,
                    .fused_set = -1,
                    .quantizable = true};
}

static const Tensor *numbered(const Reference *r, const char *kind, int number) {
    char name[64];
    snprintf(name, sizeof name, "%s.%d", kind, number);
    return fixture_tensor(&r->expected, name);
}

static float *factors_of(const Reference *r, const char *matrix) {
    char name[64];
    snprintf(name, sizeof name, "factors.%s", matrix);
    const Tensor *tensor = fixture_tensor(&r->expected, name);
    float *factors = malloc(tensor->bytes);
    memcpy(factors, tensor->data, tensor->bytes); // tensors have no alignment
    return factors;
}

static void check_quantized(const Reference *r, const cJSON *item, int number) {
    Linear linear = linear_of(r, fixture_text(item, "matrix"));
    const char *granularity = fixture_text(item, "granularity");
    double value;
    Error err = {0};
    assert_true(dial_parse(DIAL_GRANULARITY, granularity, &value, &err));
    Decision decision = {.quantized = true,
                         .bits = (int)fixture_number(item, "bits"),
                         .granularity = (Granularity)value,
                         .group = (size_t)fixture_number(item, "group"),
                         .scale_dtype = fixture_dtype(fixture_text(item, "scale"))};
    bool equalized = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(item, "equalized"));
    float *factors = equalized ? factors_of(r, linear.name) : NULL;
    QuantizedWeight w;
    if (!quantize_linear(&linear, &decision, factors, NULL, &w, NULL, &err)) fail_msg("%s", err.message);
    const Tensor *codes = numbered(r, "codes", number), *scales = numbered(r, "scales", number);
    size_t groups = group_count(linear.in, decision.group);
    assert_int_equal(codes->bytes, linear.out * linear.in);
    assert_int_equal(scales->bytes, linear.out * groups * sizeof(float));
    bool same = memcmp(w.codes, codes->data, codes->bytes) == 0 && memcmp(w.scales, scales->data, scales->bytes) == 0;
    if (!same)
        fail_msg("case %d (%s, %d bits, %s %zu) differs", number, linear.name, decision.bits, granularity,
                 decision.group);
    quantized_weight_free(&w);
    free(factors);
}

static void codes_and_scales_are_the_same(void **state) {
    const Reference *r = *state;
    const cJSON *item;
    int number = 0;
    cJSON_ArrayForEach(item, cJSON_GetObjectItemCaseSensitive(r->cases, "quantized"))
        check_quantized(r, item, number++);
    assert_true(number > 100);
}

// The whole way: ranges of groups, votes, ladder, by a plan over a model of one linear.
static size_t planned_group(const Linear *linear, WeightMeasure *weight, const Recipe *recipe) {
    ModelStructure structure = {.linears = (Linear *)linear, .linear_count = 1, .input_count = 1};
    Measured measured = {.weights = weight, .linear_count = 1};
    Plan plan;
    assert_true(plan_make(recipe, &structure, &measured, &plan, NULL));
    size_t group = plan.decisions[0].group;
    plan_free(&plan);
    return group;
}

static double at(const cJSON *row, int index) { return cJSON_GetArrayItem(row, index)->valuedouble; }

// Ends of rows: the least and the largest size that may be chosen, and the one that must be.
static void expect_group(const cJSON *row, const Linear *linear, WeightMeasure *weight, Recipe *recipe) {
    recipe->value[DIAL_MIN_GROUP] = at(row, 4);
    recipe->value[DIAL_MAX_GROUP] = at(row, 5);
    const size_t group = planned_group(linear, weight, recipe);
    if (group != (size_t)at(row, 6)) fail_msg("%s: %zu", cJSON_PrintUnformatted(row), group);
}

static void adaptive_group_sizes_are_the_same(void **state) {
    const Reference *r = *state;
    const cJSON *row;
    Recipe recipe;
    assert_true(recipe_default(&recipe, NULL));
    Linear linear = {0};
    WeightMeasure weight = {.known = true};
    int number = 0;
    cJSON_ArrayForEach(row, cJSON_GetObjectItemCaseSensitive(r->cases, "adaptive")) {
        const char *matrix = cJSON_GetArrayItem(row, 0)->valuestring, *rule = cJSON_GetArrayItem(row, 1)->valuestring;
        if (!linear.name || strcmp(linear.name, matrix) != 0) { // rows of one matrix follow each other
            vote_counts_free(&weight.votes);
            linear = linear_of(r, matrix);
            weight.votes = fixture_votes(&linear);
        }
        assert_true(dial_parse(DIAL_RULE, rule, &recipe.value[DIAL_RULE], NULL));
        recipe.value[DIAL_ALPHA] = at(row, 2);
        recipe.value[DIAL_QUORUM] = at(row, 3);
        expect_group(row, &linear, &weight, &recipe);
        number++;
    }
    vote_counts_free(&weight.votes);
    recipe_free(&recipe);
    assert_true(number > 1000);
}

// ---- Group sizes by noise ----

static double parsed(Dial dial, const char *text) {
    double value;
    Error err = {0};
    if (!dial_parse(dial, text, &value, &err)) fail_msg("%s", err.message);
    return value;
}

// As the room analysis/ fills it.
static WeightMeasure measured_weight(const Linear *linear) {
    WeightMeasure weight = {.known = true, .votes = fixture_votes(linear)};
    const size_t n = linear->out * linear->in;
    float *w = malloc(n * sizeof *w);
    assert_non_null(w);
    floats_from(linear->weight->dtype, linear->weight->data, n, w);
    for (size_t i = 0; i < n; i++) weight.energy += (double)w[i] * (double)w[i];
    free(w);
    return weight;
}

static void assert_close(double got, double expected, double tolerance, const char *what) {
    if (!(fabs(got - expected) <= tolerance * expected)) fail_msg("%s: %.12g, not %.12g", what, got, expected);
}

static const char *word(const cJSON *row, int index) { return cJSON_GetArrayItem(row, index)->valuestring; }

static void noise_of_every_size_is_the_same(void **state) {
    const Reference *r = *state;
    const cJSON *row, *expected;
    int number = 0;
    cJSON_ArrayForEach(row, cJSON_GetObjectItemCaseSensitive(r->noise, "noise")) {
        const Linear linear = linear_of(r, word(row, 0));
        WeightMeasure weight = measured_weight(&linear);
        int s = 0;
        cJSON_ArrayForEach(expected, cJSON_GetArrayItem(row, 3)) {
            double noise = weight_noise(&weight, s++, (Grid)parsed(DIAL_GRID, word(row, 1)), (int)at(row, 2));
            assert_close(noise, expected->valuedouble, 1e-12, linear.name);
            number++;
        }
        assert_int_equal(s, weight.votes.sizes_count);
        vote_counts_free(&weight.votes);
    }
    assert_true(number > 100);
}

static void ceilings_are_the_noise_of_normal_weights(void **state) {
    const Reference *r = *state;
    const cJSON *row;
    int number = 0;
    cJSON_ArrayForEach(row, cJSON_GetObjectItemCaseSensitive(r->noise, "ceilings")) {
        double ceiling = noise_ceiling(at(row, 0), (Grid)parsed(DIAL_GRID, word(row, 1)), (int)at(row, 2));
        assert_close(ceiling, at(row, 3), 2e-5, word(row, 1));
        number++;
    }
    assert_true(number > 100);
}

static void group_sizes_by_noise_are_the_same(void **state) {
    const Reference *r = *state;
    const cJSON *row;
    Recipe recipe;
    assert_true(recipe_default(&recipe, NULL));
    int number = 0;
    cJSON_ArrayForEach(row, cJSON_GetObjectItemCaseSensitive(r->noise, "groups")) {
        const Linear linear = linear_of(r, word(row, 0));
        WeightMeasure weight = measured_weight(&linear);
        recipe.value[DIAL_GRID] = parsed(DIAL_GRID, word(row, 1));
        recipe.value[DIAL_BITS] = at(row, 2);
        recipe.value[DIAL_ALPHA] = at(row, 3);
        expect_group(row, &linear, &weight, &recipe);
        vote_counts_free(&weight.votes);
        number++;
    }
    recipe_free(&recipe);
    assert_true(number > 1000);
}

// ---- Number grids ----

static uint64_t hash_weight(const QuantizedWeight *w) {
    size_t groups = w->out * group_count(w->in, w->group);
    uint64_t hash = hash_bytes(HASH_START, w->codes, w->out * w->in);
    hash = hash_bytes(hash, w->scales, (w->factors ? w->out : groups) * sizeof *w->scales);
    if (w->zeros) hash = hash_bytes(hash, w->zeros, groups);
    return w->factors ? hash_bytes(hash, w->factors, groups) : hash;
}

static void assert_hash(const Linear *linear, const Decision *decision, const float *factors, const float *divisors,
                        const char *expected, const char *what) {
    QuantizedWeight w;
    WeightError error;
    Error err = {0};
    if (!quantize_linear(linear, decision, factors, divisors, &w, &error, &err)) fail_msg("%s", err.message);
    char text[20];
    snprintf(text, sizeof text, "%016llx", (unsigned long long)hash_weight(&w));
    quantized_weight_free(&w);
    if (strcmp(text, expected) != 0) fail_msg("%s, %s differs", linear->name, what);
}

// Bits per weight as a plan has them; 0 where it resolves the grid to another one.
static double planned_bits(const Linear *linear, const Decision *decision) {
    ModelStructure structure = {.linears = (Linear *)linear, .linear_count = 1, .input_count = 1};
    Recipe recipe;
    Plan plan;
    assert_true(recipe_default(&recipe, NULL));
    recipe.value[DIAL_GRID] = decision->grid;
    recipe.value[DIAL_BITS] = decision->bits;
    recipe.value[DIAL_GRANULARITY] = decision->granularity;
    recipe.value[DIAL_GROUP_SIZE] = (double)decision->group;
    recipe.value[DIAL_CLIP] = decision->clip;
    recipe.value[DIAL_SCALE] = decision->scale_dtype == DTYPE_F16    ? SCALE_F16
                               : decision->scale_dtype == DTYPE_BF16 ? SCALE_BF16
                                                                     : SCALE_F32;
    assert_true(plan_make(&recipe, &structure, NULL, &plan, NULL));
    const Decision *d = &plan.decisions[0];
    double bits = d->grid == decision->grid ? d->bits_per_weight : 0;
    if (bits > 0) assert_int_equal(d->clip, decision->clip);
    plan_free(&plan);
    recipe_free(&recipe);
    return bits;
}

// Codes, scales, zero points and factors on every grid, by absmax and by least squared error; sizes.
static void grids_are_the_same(void **state) {
    const Reference *r = *state;
    const cJSON *row;
    int number = 0, sizes = 0;
    cJSON_ArrayForEach(row, cJSON_GetObjectItemCaseSensitive(r->grids, "grids")) {
        Linear linear = linear_of(r, word(row, 0));
        Decision decision = {.quantized = true,
                             .grid = (Grid)parsed(DIAL_GRID, word(row, 1)),
                             .bits = (int)at(row, 2),
                             .granularity = (Granularity)parsed(DIAL_GRANULARITY, word(row, 3)),
                             .group = (size_t)at(row, 4),
                             .scale_dtype = fixture_dtype(word(row, 5)),
                             .clip = (Clip)parsed(DIAL_CLIP, word(row, 6))};
        char what[96];
        snprintf(what, sizeof what, "case %d: %s, %d bits, %s %zu, %s, %s", number++, word(row, 1), decision.bits,
                 word(row, 3), decision.group, word(row, 5), word(row, 6));
        assert_hash(&linear, &decision, NULL, NULL, word(row, 8), what);
        double bits = planned_bits(&linear, &decision), bytes = (double)(linear.out * linear.in) / 8;
        if (bits > 0) sizes++;
        if (bits > 0) assert_true(fabs(bits * bytes - at(row, 7) * bytes) < 2); // parts are rounded up to bytes
    }
    assert_true(number > 500 && sizes > 400);
}

static float *floats_of(const cJSON *list) {
    float *values = calloc((size_t)cJSON_GetArraySize(list) + 1, sizeof *values);
    int i = 0;
    const cJSON *item;
    cJSON_ArrayForEach(item, list) values[i++] = (float)item->valuedouble;
    return values;
}

static const cJSON *member(const cJSON *object, const char *key) {
    return cJSON_GetObjectItemCaseSensitive(object, key);
}

static void rows_are_divided_after_columns_are_multiplied(void **state) {
    const Reference *r = *state;
    const cJSON *item;
    cJSON_ArrayForEach(item, member(r->grids, "divided")) {
        Linear linear = linear_of(r, fixture_text(item, "matrix"));
        Decision decision = {
            .quantized = true, .bits = 4, .granularity = GRANULARITY_GROUP, .group = 32, .scale_dtype = DTYPE_F32};
        float *columns = floats_of(member(item, "columns")), *rows = floats_of(member(item, "rows"));
        assert_hash(&linear, &decision, columns, rows, fixture_text(item, "hash"), "divided");
        free(columns);
        free(rows);
    }
}

static void assert_within_one_unit(float got, float expected) {
    if (got != expected && got != nextafterf(expected, got))
        fail_msg("%.9g is not %.9g", (double)got, (double)expected);
}

static void factors_are_the_same(void **state) {
    const Reference *r = *state;
    const Tensor *absmax = fixture_tensor(&r->expected, "lae.absmax");
    size_t width = absmax->shape[0];
    float m[256], s[256], expected[256];
    assert_true(width <= 256);
    memcpy(m, absmax->data, absmax->bytes);
    const cJSON *alphas =
        cJSON_GetObjectItemCaseSensitive(cJSON_GetObjectItemCaseSensitive(r->cases, "fptq"), "lae_alphas");
    for (int i = 0; i < cJSON_GetArraySize(alphas); i++) {
        memcpy(expected, numbered(r, "lae.factors", i)->data, width * sizeof(float));
        lae_factors(m, width, at(alphas, i), s);
        for (size_t j = 0; j < width; j++) assert_within_one_unit(s[j], expected[j]);
    }
}

static void assert_factors(const float *got, const float *expected, size_t n) {
    for (size_t j = 0; j < n; j++) assert_within_one_unit(got[j], expected[j]);
}

static void smoothing_factors_are_the_same(void **state) {
    const Reference *r = *state;
    const cJSON *smooth = member(r->grids, "smooth"), *item;
    size_t n = (size_t)cJSON_GetArraySize(member(smooth, "inputs"));
    float *inputs = floats_of(member(smooth, "inputs")), *weights = floats_of(member(smooth, "weights"));
    float got[64];
    assert_true(n <= 64);
    cJSON_ArrayForEach(item, member(smooth, "cases")) {
        float *expected = floats_of(member(item, "factors")), range = 0;
        double alpha = fixture_number(item, "alpha");
        smooth_factors(inputs, weights, n, alpha, got);
        assert_factors(got, expected, n);
        for (size_t j = 0; j < n; j++) range = fmaxf(range, inputs[j] / got[j]);
        float quick = smooth_range(inputs, weights, n, alpha);
        assert_true(fabsf(quick - range) <= 2e-7f * range); // channels that are equal but for rounding
        free(expected);
    }
    free(inputs);
    free(weights);
}

// The factors of a linear behind grouped-query attention, and what they divide in the rows before it.
static void shared_factors_are_the_same(void **state) {
    const Reference *r = *state;
    const cJSON *smooth = member(r->grids, "smooth"), *shared = member(smooth, "shared");
    float *inputs = floats_of(member(smooth, "inputs")), *columns = floats_of(member(shared, "columns")),
          *rows = floats_of(member(shared, "rows"));
    size_t n = (size_t)cJSON_GetArraySize(member(smooth, "inputs"));
    Linear linears[2] = {{.name = (char *)"v", .role = ROLE_V, .out = n / 2, .in = 8, .input = 1},
                         {.name = (char *)"o", .role = ROLE_O, .in = n, .out = 8, .fold = FOLD_LINEAR_ROWS}};
    ModelStructure structure = {.linears = linears, .linear_count = 2, .input_count = 2};
    structure.config.heads = (int)fixture_number(shared, "heads");
    structure.config.kv_heads = (int)fixture_number(shared, "kv_heads");
    structure.config.head_dim = (int)n / structure.config.heads;
    InputMeasure measures[2] = {{.known = true, .channel_absmax = inputs}, {0}};
    Measured measured = {.inputs = measures, .input_count = 2};
    Decision decisions[2] = {
        {.quantized = true},
        {.quantized = true, .activations = POLICY_STATIC, .lae = true, .lae_alpha = 1, .fold = FOLD_LINEAR_ROWS}};
    Plan plan = {.decisions = decisions, .linear_count = 2};
    float got[64];
    assert_true(equalize_factors(&structure, &measured, &decisions[1], 1, got, NULL));
    assert_factors(got, columns, n);
    assert_true(equalize_divisors(&structure, &measured, &plan, 1, got, NULL));
    assert_factors(got, rows, n / 2);
    free(inputs);
    free(columns);
    free(rows);
}

static void classes_and_scales_of_inputs_are_the_same(void **state) {
    const Reference *r = *state;
    const cJSON *item;
    Linear linear = linear_of(r, "one");
    linear.fold = FOLD_NORM;
    linear.expert = -1;
    ModelStructure structure = {.linears = &linear, .linear_count = 1, .input_count = 1};
    Recipe recipe;
    assert_true(recipe_default(&recipe, NULL));
    recipe.value[DIAL_V0] = 15; // the paper's
    cJSON_ArrayForEach(item,
                       cJSON_GetObjectItemCaseSensitive(cJSON_GetObjectItemCaseSensitive(r->cases, "fptq"), "ranges")) {
        InputMeasure input = {.known = true, .range = (float)fixture_number(item, "v")};
        Measured measured = {.inputs = &input, .input_count = 1};
        Plan plan;
        assert_true(plan_make(&recipe, &structure, &measured, &plan, NULL));
        const Decision *d = &plan.decisions[0];
        assert_string_equal(class_name(d->input_class), fixture_text(item, "class"));
        if (d->input_class == CLASS_STATIC) assert_true(d->activation_scale == (float)fixture_number(item, "scale"));
        if (d->input_class == CLASS_LAE) {
            assert_true(d->lae);
            assert_within_one_unit(d->activation_scale, (float)fixture_number(item, "equalized_scale"));
        }
        assert_true((d->input_class == CLASS_TOKEN) == (d->activations == POLICY_TOKEN));
        plan_free(&plan);
    }
    recipe_free(&recipe);
}

// ---- Products, the cache, percentiles ----

static QuantizedWeight product_weight(const Reference *r, const cJSON *item, size_t group) {
    Linear linear = linear_of(r, "gauss_partial");
    Decision decision = {.quantized = true,
                         .grid = (Grid)parsed(DIAL_GRID, fixture_text(item, "grid")),
                         .bits = (int)fixture_number(item, "bits"),
                         .granularity = GRANULARITY_GROUP,
                         .group = group,
                         .scale_dtype = DTYPE_BF16};
    QuantizedWeight w;
    Error err = {0};
    if (!quantize_linear(&linear, &decision, NULL, NULL, &w, NULL, &err)) fail_msg("%s", err.message);
    return w;
}

static ActivationScheme scheme_named(const char *name, float static_scale) {
    static const char *const names[] = {"none", "static", "token", "channel"};
    ActivationScheme scheme = {.scale = static_scale};
    for (int i = 0; i < 4; i++) {
        if (strcmp(name, names[i]) == 0) scheme.mode = (ActivationMode)i;
    }
    return scheme;
}

static void assert_near(const float *got, const float *expected, size_t n, const char *what) {
    float largest = 0;
    for (size_t i = 0; i < n; i++) largest = fmaxf(largest, fabsf(expected[i]));
    for (size_t i = 0; i < n; i++) {
        if (!(fabsf(got[i] - expected[i]) <= 3e-6f * largest))
            fail_msg("%s: %.9g, not %.9g", what, (double)got[i], (double)expected[i]);
    }
}

static void products_are_the_same(void **state) {
    const Reference *r = *state;
    const cJSON *products = member(r->grids, "products"), *item;
    size_t tokens = (size_t)fixture_number(products, "tokens"), group = (size_t)fixture_number(products, "group");
    float *x = floats_of(member(products, "x"));
    Backend *backend = NULL;
    Error err = {0};
    assert_true(backend_cpu_new(1, &backend, &err));
    cJSON_ArrayForEach(item, member(products, "cases")) {
        QuantizedWeight w = product_weight(r, item, group);
        ActivationScheme scheme = scheme_named(fixture_text(item, "mode"), (float)fixture_number(products, "static"));
        float *expected = floats_of(member(item, "y")), y[64] = {0};
        Weight *weight = NULL;
        assert_true(tokens * w.out <= 64 &&
                    backend->ops->weight_quantized(backend, &w, &scheme, NULL, PRECISION_F32, &weight, &err));
        backend->ops->linear(backend, weight, x, tokens, y);
        assert_near(y, expected, tokens * w.out, fixture_text(item, "grid"));
        backend->ops->weight_free(backend, weight);
        quantized_weight_free(&w);
        free(expected);
    }
    backend->ops->destroy(backend);
    free(x);
}

static void an_int8_cache_is_the_same(void **state) {
    const Reference *r = *state;
    const cJSON *item = member(r->grids, "cache");
    AttentionShape shape = {.heads = (int)fixture_number(item, "heads"),
                            .kv_heads = (int)fixture_number(item, "kv_heads"),
                            .head_dim = (int)fixture_number(item, "dim"),
                            .scale = (float)fixture_number(item, "scale")};
    size_t positions = (size_t)fixture_number(item, "positions");
    float *q = floats_of(member(item, "q")), *k = floats_of(member(item, "k")), *v = floats_of(member(item, "v")),
          *expected = floats_of(member(item, "y")), y[512] = {0};
    size_t n = positions * (size_t)(shape.heads * shape.head_dim);
    Backend *b = NULL;
    Cache *cache = NULL;
    Error err = {0};
    assert_true(n <= 512 && backend_cpu_new(1, &b, &err));
    assert_true(b->ops->cache_new(b, 1, 1, shape.kv_heads, shape.head_dim, positions, DTYPE_I8, &cache, &err));
    b->ops->cache_write(b, cache, 0, 0, positions, k, v);
    b->ops->attention(b, cache, 0, &shape, q, 0, positions, y);
    assert_near(y, expected, n, "attention");
    b->ops->cache_free(b, cache);
    b->ops->destroy(b);
    free(q);
    free(k);
    free(v);
    free(expected);
}

static void percentile_scales_are_the_same(void **state) {
    const Reference *r = *state;
    const cJSON *item;
    Linear linear = linear_of(r, "one");
    linear.expert = -1;
    ModelStructure structure = {.linears = &linear, .linear_count = 1, .input_count = 1};
    Recipe recipe;
    assert_true(recipe_default(&recipe, NULL));
    recipe.value[DIAL_ACTIVATIONS] = POLICY_PERCENTILE;
    cJSON_ArrayForEach(item, member(r->grids, "percentiles")) {
        InputMeasure input = {.known = true,
                              .range = (float)fixture_number(item, "range"),
                              .p99_9 = (float)fixture_number(item, "percentile")};
        Measured measured = {.inputs = &input, .input_count = 1};
        Plan plan;
        assert_true(plan_make(&recipe, &structure, &measured, &plan, NULL));
        assert_true(plan.decisions[0].activation_scale == (float)fixture_number(item, "scale"));
        plan_free(&plan);
    }
    recipe_free(&recipe);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(codes_and_scales_are_the_same),
        cmocka_unit_test(adaptive_group_sizes_are_the_same),
        cmocka_unit_test(noise_of_every_size_is_the_same),
        cmocka_unit_test(ceilings_are_the_noise_of_normal_weights),
        cmocka_unit_test(group_sizes_by_noise_are_the_same),
        cmocka_unit_test(grids_are_the_same),
        cmocka_unit_test(rows_are_divided_after_columns_are_multiplied),
        cmocka_unit_test(factors_are_the_same),
        cmocka_unit_test(smoothing_factors_are_the_same),
        cmocka_unit_test(shared_factors_are_the_same),
        cmocka_unit_test(products_are_the_same),
        cmocka_unit_test(an_int8_cache_is_the_same),
        cmocka_unit_test(percentile_scales_are_the_same),
        cmocka_unit_test(classes_and_scales_of_inputs_are_the_same),
    };
    return cmocka_run_group_tests_name("quant_reference", tests, setup, teardown);
}
