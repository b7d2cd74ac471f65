// The verdict on engines: every finding, where it is due and only there, and every remedy. What engines really do is
// tried by tools/reference/check_verdicts.py.
#include <glob.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/random.h"
#include "export/export.h"
#include "export/verdict.h"
#include "tests/support/toy_model.h"

enum { Q, K, V, O, GATE, UP, DOWN, HEAD = 14, LINEARS = 14 }; // of layer 0 of two, and the head
enum {
    SM75 = 1 << TARGET_VLLM_SM75,
    SM80 = 1 << TARGET_VLLM_SM80,
    SM90 = 1 << TARGET_VLLM_SM90,
    SM100 = 1 << TARGET_VLLM_SM100,
    CPU = 1 << TARGET_VLLM_CPU,
    SGLANG = 1 << TARGET_SGLANG,
    TRANSFORMERS = 1 << TARGET_TRANSFORMERS,
    LLAMA_CPP = 1 << TARGET_LLAMA_CPP,
    MLX = 1 << TARGET_MLX,
    ALL = (1 << TARGET_COUNT) - 1,
};

static const ExportFormat CT = EXPORT_COMPRESSED_TENSORS;

typedef struct Scheme {
    int bits;
    size_t group; // 0: whole channels
} Scheme;

typedef struct Fixture {
    ToyModel model;
    Recipe recipe;
    Plan plan;
    Verdict verdict;
    VerdictFix fix;
    bool odd_bits; // are written
} Fixture;

static Fixture *make(void) {
    Fixture *f = calloc(1, sizeof *f);
    f->odd_bits = true;
    assert_true(recipe_default(&f->recipe, NULL));
    f->recipe.value[DIAL_GRANULARITY] = GRANULARITY_GROUP;
    f->recipe.value[DIAL_GROUP_SIZE] = 64;
    f->recipe.value[DIAL_ACTIVATIONS] = POLICY_NONE;
    return f;
}

// Which GGUF is written for.
static void name_config(ModelConfig *config, const char *family) {
    snprintf(config->family, sizeof config->family, "%s", family);
    config->activation = NONLINEARITY_SILU;
    config->heads = 4;
    config->head_dim = config->rotated_dims = config->hidden / 4;
    config->attention_scale = 1 / sqrtf((float)config->head_dim);
}

static int setup(void **state) {
    Fixture *f = make();
    toy_model_new(2, 256, 128, 768, DTYPE_BF16, &f->model);
    name_config(&f->model.structure.config, "llama");
    *state = f;
    return 0;
}

static int setup_experts(void **state) {
    Fixture *f = make();
    toy_experts_new(2, 4, 256, 512, &f->model);
    ModelConfig *config = &f->model.structure.config;
    name_config(config, "mixtral");
    config->experts.count = 4;
    config->experts.normalized = true;
    for (int layer = 0; layer < config->layers; layer++) layer_add(&config->experts.layers, layer);
    *state = f;
    return 0;
}

static int teardown(void **state) {
    Fixture *f = *state;
    verdict_fix_free(&f->fix);
    verdict_free(&f->verdict);
    plan_free(&f->plan);
    recipe_free(&f->recipe);
    toy_model_free(&f->model);
    free(f);
    return 0;
}

static void set(Fixture *f, const char *match, Dial dial, double value) {
    if (match)
        assert_true(recipe_override(&f->recipe, match, dial, &value, NULL));
    else
        f->recipe.value[dial] = value;
}

static const Verdict *judge(Fixture *f, ExportFormat format, Targets targets) {
    Error err = {0};
    plan_free(&f->plan);
    verdict_free(&f->verdict);
    if (!plan_make(&f->recipe, &f->model.structure, &f->model.measured, &f->plan, &err) ||
        !verdict_make(&f->model.structure, &f->model.measured, &f->plan, &(VerdictWish){format, targets, f->odd_bits},
                      &f->verdict, &err))
        fail_msg("%s", err.message);
    return &f->verdict;
}

static const Finding *find(const Verdict *verdict, const char *name) {
    for (int i = 0; i < verdict->finding_count; i++)
        if (strcmp(verdict->findings[i].name, name) == 0) return &verdict->findings[i];
    return NULL;
}

// The finding, of so many linears and exactly these of the targets.
static const Finding *finds(Fixture *f, ExportFormat format, Targets asked, const char *name, Severity severity,
                            int linears, Targets meant) {
    const Finding *found = find(judge(f, format, asked), name);
    if (!found) fail_msg("%s is not found", name);
    assert_int_equal(found->severity, severity);
    assert_int_equal(found->linear_count, linears);
    assert_int_equal(found->targets, meant);
    assert_true(strlen(found->what) > 20 && strlen(found->remedy) > 10);
    return found;
}

static const VerdictRow *row_of(const Verdict *verdict, Target target) {
    for (int i = 0; i < verdict->row_count; i++)
        if (verdict->rows[i].target == target) return &verdict->rows[i];
    fail();
    return NULL;
}

static const Verdict *mended(Fixture *f, ExportFormat format, Targets targets) {
    Error err = {0};
    verdict_fix_free(&f->fix);
    if (!verdict_fix(&f->recipe, &f->model.structure, &f->model.measured, &(VerdictWish){format, targets, f->odd_bits},
                     &f->fix, &err))
        fail_msg("%s", err.message);
    return &f->fix.verdict;
}

static void mends(Fixture *f, ExportFormat format, Targets targets, const char *name) {
    const Verdict *after = mended(f, format, targets);
    if (find(after, name)) fail_msg("%s is still found; done was\n%s", name, f->fix.changes.data);
    assert_true(f->fix.change_count > 0);
}

static void says(const Fixture *f, const char *part) {
    if (!strstr(f->fix.changes.data, part)) fail_msg("\"%s\" is not in\n%s", part, f->fix.changes.data);
}

// ---- Kernels ----

static void runs(Fixture *f, ExportFormat format, Target target, const char *kernel, const char *inputs, int linears) {
    const VerdictRow *row = row_of(judge(f, format, ALL), target);
    for (int i = 0; i < row->use_count; i++) {
        if (strcmp(row->uses[i].kernel, kernel) != 0) continue;
        assert_string_equal(row->uses[i].inputs, inputs);
        assert_int_equal(row->uses[i].linears, linears);
        return;
    }
    fail_msg("%s does not run %s but %s", target_table[target].name, kernel, row->uses[0].kernel);
}

static void weights_of_four_bits_find_their_kernels(void **state) {
    Fixture *f = *state;
    runs(f, CT, TARGET_VLLM_SM80, "Marlin", "16 bit", LINEARS);
    runs(f, CT, TARGET_VLLM_SM90, "Machete", "16 bit", LINEARS);
    runs(f, CT, TARGET_VLLM_SM100, "Marlin", "16 bit", LINEARS);
    runs(f, CT, TARGET_VLLM_CPU, "CPUWNA16", "16 bit", LINEARS);
    runs(f, CT, TARGET_TRANSFORMERS, "floats", "16 bit", LINEARS);
    runs(f, EXPORT_GPTQ, TARGET_VLLM_SM80, "Marlin", "16 bit", LINEARS);
    runs(f, EXPORT_GGUF, TARGET_LLAMA_CPP, "Q4_0", "int8 in blocks of 32", LINEARS);
    runs(f, EXPORT_MLX, TARGET_MLX, "quantized_matmul", "16 bit", LINEARS);
    assert_int_equal(judge(f, CT, ALL)->finding_count, 0);
    for (int i = 0; i < f->verdict.row_count; i++) assert_true(f->verdict.rows[i].loads);
    set(f, NULL, DIAL_GROUP_SIZE, 32);
    runs(f, CT, TARGET_VLLM_SM90, "Humming", "16 bit", LINEARS);
    set(f, NULL, DIAL_BITS, 3);
    runs(f, CT, TARGET_VLLM_SM75, "Humming", "16 bit", LINEARS);
}

static void inputs_of_eight_bits_find_theirs(void **state) {
    Fixture *f = *state;
    set(f, NULL, DIAL_BITS, 8);
    set(f, NULL, DIAL_GRANULARITY, GRANULARITY_CHANNEL);
    set(f, NULL, DIAL_ACTIVATIONS, POLICY_TOKEN);
    runs(f, CT, TARGET_VLLM_SM80, "CutlassInt8", "int8 per token", LINEARS);
    runs(f, CT, TARGET_VLLM_CPU, "CPUInt8", "int8 per token", LINEARS);
    set(f, NULL, DIAL_ACTIVATIONS, POLICY_STATIC);
    runs(f, CT, TARGET_SGLANG, "CutlassInt8", "int8, static", LINEARS);
    assert_int_equal(judge(f, CT, SM80 | SM90 | CPU | SGLANG | TRANSFORMERS)->finding_count, 0);
}

// GPTQ has one scale of a tensor as whole channels.
static void a_tensor_is_whole_channels_in_gptq(void **state) {
    Fixture *f = *state;
    set(f, NULL, DIAL_GRANULARITY, GRANULARITY_TENSOR);
    runs(f, EXPORT_GPTQ, TARGET_VLLM_SM80, "Marlin", "16 bit", LINEARS);
    runs(f, EXPORT_GPTQ, TARGET_VLLM_SM90, "Machete", "16 bit", LINEARS);
    runs(f, EXPORT_GPTQ, TARGET_VLLM_CPU, "CPUWNA16", "16 bit", LINEARS);
    assert_int_equal(judge(f, EXPORT_GPTQ, ALL)->finding_count, 0);
}

// Each fused matrix counts with all of its rows: those of k alone are too few for Machete.
static void fused_rows_count_together(void **state) {
    Fixture *f = *state;
    f->model.structure.linears[K].out = f->model.structure.linears[V].out = 64;
    runs(f, CT, TARGET_VLLM_SM90, "Machete", "16 bit", LINEARS);
    f->model.structure.linears[O].out = 192;
    runs(f, CT, TARGET_VLLM_SM90, "Humming", "16 bit", 1);
}

static void the_kernel_may_drop_inputs(void **state) {
    Fixture *f = *state;
    set(f, NULL, DIAL_ACTIVATIONS, POLICY_TOKEN);
    const Finding *found =
        finds(f, CT, SM80 | SM90 | CPU | TRANSFORMERS, "inputs-dropped", SEVERITY_MISREAD, LINEARS, SM80 | SM90 | CPU);
    assert_non_null(strstr(found->remedy, "humming"));
    assert_int_equal(found->change_count, LINEARS);
    assert_true(row_of(&f->verdict, TARGET_VLLM_SM80)->loads);
    runs(f, CT, TARGET_VLLM_SM80, "Marlin", "16 bit", LINEARS);
    runs(f, CT, TARGET_TRANSFORMERS, "floats", "int8 per token", LINEARS);
    set(f, NULL, DIAL_GROUP_SIZE, 16); // Humming takes these, and does as it is told
    runs(f, CT, TARGET_VLLM_SM80, "Humming", "int8 per token", LINEARS);
    assert_null(find(judge(f, CT, SM80), "inputs-dropped"));
}

static void inputs_become(Fixture *f, Targets targets, ActivationPolicy policy, int changes) {
    const Verdict *after = mended(f, CT, targets);
    assert_false(verdict_has(after, SEVERITY_MISREAD));
    assert_int_equal(f->fix.change_count, changes);
    for (int i = 0; i < LINEARS; i++) assert_int_equal(f->fix.plan.decisions[i].activations, policy);
}

// Never to what an engine would drop in turn.
static void inputs_are_mended_at_once(void **state) {
    Fixture *f = *state;
    for (int i = 0; i < 2; i++) {
        set(f, NULL, DIAL_ACTIVATIONS, i ? POLICY_TOKEN : POLICY_STATIC);
        inputs_become(f, SM80, POLICY_NONE, 1);
        inputs_become(f, CPU | TRANSFORMERS, POLICY_NONE, 1);
        inputs_become(f, SGLANG, POLICY_NONE, 1);
        inputs_become(f, TRANSFORMERS, i ? POLICY_TOKEN : POLICY_STATIC, 0);
    }
    set(f, NULL, DIAL_ACTIVATIONS, POLICY_CHANNEL);
    inputs_become(f, TRANSFORMERS, POLICY_TOKEN, 1);
    inputs_become(f, SM80 | TRANSFORMERS, POLICY_NONE, 1);
    set(f, NULL, DIAL_ACTIVATIONS, POLICY_STATIC);
    set(f, NULL, DIAL_GROUP_SIZE, 16); // for Humming
    inputs_become(f, SM80, POLICY_TOKEN, 1);
    inputs_become(f, SM80 | SGLANG, POLICY_NONE, 2); // and the group
}

// ---- One dial, one finding ----

typedef struct Row {
    const char *name;
    Severity severity;
    ExportFormat format;
    Targets asked, meant;
    struct {
        Dial dial;
        double value;
    } set[3]; // {0} sets bits to 0 and ends the list
} Row;

static const Row setting_rows[] = {
    {"grid",
     SEVERITY_REFUSED,
     EXPORT_COMPRESSED_TENSORS,
     SM80 | TRANSFORMERS,
     SM80 | TRANSFORMERS,
     {{DIAL_GRID, GRID_LOG2}}},
    {"grid", SEVERITY_REFUSED, EXPORT_GGUF, ALL, LLAMA_CPP, {{DIAL_GRID, GRID_TWO_LEVEL}}},
    {"channel-inputs", SEVERITY_REFUSED, EXPORT_COMPRESSED_TENSORS, SM80, SM80, {{DIAL_ACTIVATIONS, POLICY_CHANNEL}}},
    {"asymmetric-inputs",
     SEVERITY_REFUSED,
     EXPORT_COMPRESSED_TENSORS,
     SM80,
     SM80,
     {{DIAL_GRID, GRID_ASYMMETRIC}, {DIAL_ACTIVATIONS, POLICY_TOKEN}}},
    {"partial-group", SEVERITY_REFUSED, EXPORT_COMPRESSED_TENSORS, CPU, CPU, {{DIAL_GROUP_SIZE, 512}}},
    {"three-bits", SEVERITY_MISREAD, EXPORT_COMPRESSED_TENSORS, SM80 | TRANSFORMERS, TRANSFORMERS, {{DIAL_BITS, 3}}},
    {"bits", SEVERITY_REFUSED, EXPORT_COMPRESSED_TENSORS, SM80 | SGLANG, SGLANG, {{DIAL_BITS, 2}}},
    {"bits", SEVERITY_REFUSED, EXPORT_GPTQ, SM80 | CPU | TRANSFORMERS, SM80 | CPU | TRANSFORMERS, {{DIAL_BITS, 3}}},
    {"cpu-bits", SEVERITY_REFUSED, EXPORT_COMPRESSED_TENSORS, SM80 | CPU, CPU, {{DIAL_BITS, 8}}},
    {"group-size", SEVERITY_REFUSED, EXPORT_COMPRESSED_TENSORS, SM80 | SGLANG, SGLANG, {{DIAL_GROUP_SIZE, 16}}},
    {"wide-scales", SEVERITY_REFUSED, EXPORT_GPTQ, SM80 | TRANSFORMERS, SM80 | TRANSFORMERS, {{DIAL_SCALE, SCALE_F32}}},
    {"group-size", SEVERITY_REFUSED, EXPORT_GPTQ, SM80, SM80, {{DIAL_GROUP_SIZE, 16}}},
    {"tensor-scale",
     SEVERITY_REFUSED,
     EXPORT_COMPRESSED_TENSORS,
     SM80 | TRANSFORMERS,
     SM80,
     {{DIAL_GRANULARITY, GRANULARITY_TENSOR}}},
    {"asymmetric",
     SEVERITY_REFUSED,
     EXPORT_GPTQ,
     SM80 | TRANSFORMERS,
     SM80 | TRANSFORMERS,
     {{DIAL_GRID, GRID_ASYMMETRIC}}},
    {"asymmetric", SEVERITY_REFUSED, EXPORT_GGUF, ALL, LLAMA_CPP, {{DIAL_GRID, GRID_ASYMMETRIC}, {DIAL_BITS, 8}}},
    {"zero-points",
     SEVERITY_REFUSED,
     EXPORT_COMPRESSED_TENSORS,
     SM80 | CPU | TRANSFORMERS,
     TRANSFORMERS,
     {{DIAL_GRID, GRID_ASYMMETRIC}}},
    {"static-inputs",
     SEVERITY_REFUSED,
     EXPORT_COMPRESSED_TENSORS,
     SM80 | CPU | TRANSFORMERS,
     SM80 | CPU,
     {{DIAL_ACTIVATIONS, POLICY_STATIC}}},
    {"inputs-refused", SEVERITY_REFUSED, EXPORT_COMPRESSED_TENSORS, SGLANG, SGLANG, {{DIAL_ACTIVATIONS, POLICY_TOKEN}}},
    {"no-inputs", SEVERITY_MISREAD, EXPORT_GPTQ, SM80, SM80, {{DIAL_ACTIVATIONS, POLICY_TOKEN}}},
    {"no-inputs", SEVERITY_MISREAD, EXPORT_MLX, ALL, MLX, {{DIAL_ACTIVATIONS, POLICY_STATIC}}},
    {"block-32", SEVERITY_REFUSED, EXPORT_GGUF, ALL, LLAMA_CPP, {{DIAL_GROUP_SIZE, 16}}},
    {"block-bits", SEVERITY_REFUSED, EXPORT_GGUF, ALL, LLAMA_CPP, {{DIAL_BITS, 2}}},
    {"mlx-group", SEVERITY_REFUSED, EXPORT_MLX, ALL, MLX, {{DIAL_GROUP_SIZE, 16}}},
};

static void settings_are_found_and_mended(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof setting_rows / sizeof *setting_rows; i++) {
        const Row *row = &setting_rows[i];
        void *fresh;
        assert_int_equal(setup(&fresh), 0);
        Fixture *f = fresh;
        for (int k = 0; k < 3 && (row->set[k].dial || row->set[k].value > 0); k++)
            set(f, NULL, row->set[k].dial, row->set[k].value);
        const int linears = strcmp(row->name, "partial-group") == 0 ? 2 : LINEARS; // only down has 768 columns
        finds(f, row->format, row->asked, row->name, row->severity, linears, row->meant);
        for (Target t = 0; row->severity == SEVERITY_REFUSED && t < TARGET_COUNT; t++)
            if (row->meant >> t & 1) assert_false(row_of(&f->verdict, t)->loads);
        mends(f, row->format, row->asked, row->name);
        teardown(&fresh);
    }
}

// Of everything that is quantized, a remedy is one setting of the recipe; of some it is an exception for all of a kind,
// and only where that would reach others for each.
static void a_remedy_is_as_small_as_it_can_be(void **state) {
    Fixture *f = *state;
    set(f, NULL, DIAL_BITS, 3);
    mends(f, CT, TRANSFORMERS, "three-bits");
    assert_int_equal(f->fix.recipe.override_count, 0);
    assert_true(f->fix.recipe.value[DIAL_BITS] == 4);
    says(f, "weight-bits 4: layers 0–1 (14 linears)\n");
    set(f, NULL, DIAL_BITS, 4);
    set(f, "*.down_proj", DIAL_BITS, 3);
    mends(f, CT, TRANSFORMERS, "three-bits");
    assert_int_equal(f->fix.plan.decisions[DOWN].bits, 4);
    assert_int_equal(f->fix.recipe.override_count, 2);
    assert_string_equal(f->fix.recipe.overrides[1].match, "model.layers.*.mlp.down_proj");
    says(f, "weight-bits 4: down_proj (2 linears)\n");
    assert_int_equal(f->recipe.override_count, 1); // the recipe that was given stays
    set(f, "*.down_proj", DIAL_BITS, 4);
    set(f, "*.0.mlp.down_proj", DIAL_BITS, 3);
    mends(f, CT, TRANSFORMERS, "three-bits");
    assert_string_equal(f->fix.recipe.overrides[2].match, "model.layers.0.mlp.down_proj"); // not that of layer 1
    set(f, NULL, DIAL_BITS, 2);
    set(f, "*.0.mlp.down_proj", DIAL_BITS, 2);
    set(f, "*.down_proj", DIAL_BITS, 2);
    mends(f, CT, SGLANG, "bits");
    assert_int_equal(f->fix.recipe.override_count, 3); // *, behind the others
    for (int i = 0; i < LINEARS; i++) assert_int_equal(f->fix.plan.decisions[i].bits, 4);
}

// Half of every kind: no rule for each of them, and none at all where then all are alike.
static void many_exceptions_become_few_rules(void **state) {
    Fixture *f = *state;
    set(f, "*.0.*", DIAL_BITS, 3);
    mends(f, CT, TRANSFORMERS, "three-bits");
    assert_int_equal(f->fix.recipe.override_count, 0);
    for (int i = 0; i < LINEARS; i++) assert_int_equal(f->fix.plan.decisions[i].bits, 4);
    set(f, "*.1.*", DIAL_BITS, 8);
    mends(f, CT, TRANSFORMERS, "three-bits");
    assert_in_range(f->fix.recipe.override_count, 1, 7); // those of layer 1
    for (int i = 0; i < LINEARS; i++) assert_int_equal(f->fix.plan.decisions[i].bits, i < LINEARS / 2 ? 4 : 8);
}

static void what_needs_nothing_is_left_alone(void **state) {
    Fixture *f = *state;
    mended(f, CT, ALL);
    assert_int_equal(f->fix.change_count, 0);
    assert_string_equal(f->fix.changes.data, "");
    assert_true(recipe_equal(&f->recipe, &f->fix.recipe));
    set(f, NULL, DIAL_GROUP_SIZE, 256); // slower is no reason to change a recipe
    finds(f, CT, SM80 | SM90, "slow-group", SEVERITY_SLOWER, 2, SM80);
    mended(f, CT, SM80);
    assert_int_equal(f->fix.change_count, 0);
}

static void groups_are_made_to_divide(void **state) {
    Fixture *f = *state;
    f->model.structure.linears[DOWN].in = 736; // 32 · 23
    set(f, NULL, DIAL_GROUP_SIZE, 128);
    finds(f, CT, CPU, "partial-group", SEVERITY_REFUSED, 1, CPU);
    mends(f, CT, CPU, "partial-group");
    assert_int_equal(f->fix.plan.decisions[DOWN].group, 32);
    assert_int_equal(f->fix.plan.decisions[UP].group, 128);
    f->model.structure.linears[DOWN].in = 740; // whole channels are left
    mends(f, CT, SM80, "partial-group");
    assert_int_equal(f->fix.plan.decisions[DOWN].granularity, GRANULARITY_CHANNEL);
    finds(f, EXPORT_GGUF, ALL, "shape", SEVERITY_REFUSED, 1, LLAMA_CPP);
    mends(f, EXPORT_GGUF, ALL, "shape");
    assert_false(f->fix.plan.decisions[DOWN].quantized);
    assert_true(f->fix.plan.decisions[UP].quantized);
}

// Written are 2 and 3 bits only when that is asked for, whatever engines make of them.
static void odd_bits_are_asked_for(void **state) {
    Fixture *f = *state;
    f->odd_bits = false;
    set(f, "*.up_proj", DIAL_BITS, 3);
    set(f, "*.gate_proj", DIAL_BITS, 2);
    finds(f, CT, SM80, "odd-bits", SEVERITY_REFUSED, 4, SM80);
    assert_false(row_of(&f->verdict, TARGET_VLLM_SM80)->loads);
    mends(f, CT, SM80, "odd-bits");
    for (int i = 0; i < LINEARS; i++) assert_int_equal(f->fix.plan.decisions[i].bits, 4);
    assert_null(find(judge(f, EXPORT_MLX, ALL), "odd-bits"));
    f->odd_bits = true;
    assert_null(find(judge(f, CT, SM80), "odd-bits"));
}

// As a search leaves it: bits, groups and inputs of each linear by themselves.
static void tune_at_random(Fixture *f, Random *random) {
    static const double bits[] = {2, 3, 4, 8}, groups[] = {16, 32, 64, 128, 256, 512};
    recipe_free(&f->recipe);
    assert_true(recipe_default(&f->recipe, NULL)); // adaptive groups, and inputs with constant scales
    if (random_below(random, 2)) set(f, NULL, DIAL_ACTIVATIONS, random_below(random, POLICY_COUNT));
    if (random_below(random, 4) == 0) set(f, NULL, DIAL_GRID, random_below(random, 3));
    for (int i = 0; i < f->model.structure.linear_count; i++) {
        const char *name = f->model.structure.linears[i].name;
        if (random_below(random, 4) == 0) continue;
        set(f, name, DIAL_BITS, bits[random_below(random, 4)]);
        set(f, name, DIAL_GRANULARITY, random_below(random, 3));
        set(f, name, DIAL_GROUP_SIZE, groups[random_below(random, 6)]);
        if (random_below(random, 4) == 0) set(f, name, DIAL_ACTIVATIONS, random_below(random, POLICY_COUNT));
    }
}

// Of what is left no change mends anything, so it is said; else the model loads.
static void check_mended(const Fixture *f, ExportFormat format, Target target) {
    const VerdictRow *row = row_of(&f->fix.verdict, target);
    for (int i = 0; i < f->fix.verdict.finding_count; i++) {
        const Finding *left = &f->fix.verdict.findings[i];
        if (left->severity >= SEVERITY_MISREAD && left->change_count)
            fail_msg("%s: %s is left of %d linears for %s; done was\n%s", export_format_names[format], left->name,
                     left->linear_count, target_table[target].name, f->fix.changes.data);
    }
    assert_true(row->loads || f->fix.verdict.findings[row->worst].change_count == 0);
}

static void whatever_was_tuned_is_mended_whole(void **state) {
    (void)state;
    Random random = random_seeded(7);
    for (int round = 0; round < 60; round++) {
        void *fresh;
        assert_int_equal(round % 3 ? setup(&fresh) : setup_experts(&fresh), 0);
        Fixture *f = fresh;
        f->odd_bits = random_below(&random, 2);
        tune_at_random(f, &random);
        for (ExportFormat format = 0; format < EXPORT_FORMAT_COUNT; format++)
            for (Target t = 0; t < TARGET_COUNT; t++) {
                Error err = {0};
                const VerdictWish wish = {format, 1U << t, f->odd_bits};
                if (!(targets_of_format(format) >> t & 1)) continue;
                verdict_fix_free(&f->fix);
                if (verdict_fix(&f->recipe, &f->model.structure, &f->model.measured, &wish, &f->fix, &err))
                    check_mended(f, format, t);
                else
                    assert_non_null(strstr(err.message, "leave nothing quantized"));
            }
        teardown(&fresh);
    }
}

// ---- For a search ----

// So many linears are not taken with this scheme by all, whatever else has to be mended for it.
static int refused_with(Fixture *f, ExportFormat format, Targets targets, Scheme scheme, bool *refused) {
    const VerdictWish wish = {format, targets, f->odd_bits};
    const Engines engines = engines_of(&wish);
    const int linears = f->model.structure.linear_count;
    bool none[64];
    Recipe tried;
    Plan plan;
    Error err = {0};
    int count = 0;
    assert_in_range(linears, 1, 64);
    assert_true(recipe_copy(&f->recipe, &tried, &err));
    recipe_set_scheme(&tried, scheme.bits, scheme.group);
    if (!refused) refused = none;
    if (!verdict_keep(&f->model.structure, &f->model.measured, &engines, &tried, &plan, refused, &err))
        fail_msg("%s", err.message);
    for (int i = 0; i < linears; i++) count += refused[i];
    plan_free(&plan);
    recipe_free(&tried);
    return count;
}

static void a_search_knows_what_engines_take(void **state) {
    static const size_t sizes[] = {0, 16, 32, 64, 128, 256};
    static const struct {
        ExportFormat format;
        Targets targets;
        int bits;
        size_t refused; // added up, 1 for whole channels
    } rows[] = {{EXPORT_COMPRESSED_TENSORS, SM80, 4, 0},
                {EXPORT_COMPRESSED_TENSORS, TRANSFORMERS, 3, 1 + 16 + 32 + 64 + 128 + 256},
                {EXPORT_COMPRESSED_TENSORS, SGLANG, 4, 16 + 256},
                {EXPORT_GPTQ, SM80, 4, 16 + 256},
                {EXPORT_COMPRESSED_TENSORS, CPU, 8, 1 + 16 + 32 + 64 + 128 + 256},
                {EXPORT_GGUF, LLAMA_CPP, 4, 16},
                {EXPORT_MLX, MLX, 2, 16}};
    Fixture *f = *state;
    set(f, "*.down_proj", DIAL_BITS, 3); // what the recipe has of its own is no matter
    for (size_t r = 0; r < sizeof rows / sizeof *rows; r++)
        for (size_t g = 0; g < sizeof sizes / sizeof *sizes; g++) {
            const bool meant = rows[r].refused & (sizes[g] ? sizes[g] : 1);
            const int count = refused_with(f, rows[r].format, rows[r].targets, (Scheme){rows[r].bits, sizes[g]}, NULL);
            // Groups of 256 are whole channels but of down_proj.
            if (count != (!meant            ? 0
                          : sizes[g] == 256 ? LINEARS / 7
                                            : LINEARS) &&
                !(sizes[g] == 256 && count == LINEARS))
                fail_msg("row %zu, group %zu: %d linears", r, sizes[g], count);
        }
    f->odd_bits = false;
    assert_int_equal(refused_with(f, CT, SM80, (Scheme){3, 64}, NULL), LINEARS);
    set(f, NULL, DIAL_ACTIVATIONS, POLICY_STATIC); // neither are inputs: another dial mends these
    assert_int_equal(refused_with(f, CT, SM80, (Scheme){4, 64}, NULL), 0);
    f->model.structure.linears[DOWN].in = 740; // of one linear, which may have no scheme there
    assert_int_equal(refused_with(f, EXPORT_GGUF, LLAMA_CPP, (Scheme){4, 0}, NULL), 1);
}

// Units get schemes by chance, of those that the engine takes for all of their linears.
static void give_schemes(Fixture *f, const VerdictWish *wish, Random *random, int *bits) {
    static const Scheme schemes[] = {{4, 0}, {8, 0}, {4, 32}, {8, 64}, {4, 64}, {8, 128}, {4, 16}, {3, 32}, {2, 64}};
    enum { SCHEMES = sizeof schemes / sizeof *schemes };
    const ModelStructure *structure = &f->model.structure;
    bool refused[SCHEMES][64], of_unit[64][SCHEMES] = {{false}};
    int unit[64], scheme_of[64];
    units_alone(unit, structure->linear_count);
    assert_true(verdict_join(structure, wish, unit, NULL));
    for (int s = 0; s < SCHEMES; s++) {
        refused_with(f, wish->format, wish->targets, schemes[s], refused[s]);
        for (int i = 0; i < structure->linear_count; i++) {
            const size_t group = schemes[s].group, in = structure->linears[i].in;
            of_unit[units_first(unit, i)][s] |= refused[s][i] || (group && (group >= in || in % group));
        }
    }
    for (int i = 0; i < structure->linear_count; i++) {
        const int first = units_first(unit, i), from = (int)random_below(random, SCHEMES);
        if (first == i) scheme_of[i] = -1;
        for (int n = 0; first == i && n < SCHEMES && scheme_of[i] < 0; n++)
            if (!of_unit[i][(from + n) % SCHEMES]) scheme_of[i] = (from + n) % SCHEMES;
        const int chosen = scheme_of[first];
        bits[i] = chosen < 0 || !structure->linears[i].quantizable ? 0 : schemes[chosen].bits;
        if (!bits[i]) continue;
        set(f, structure->linears[i].name, DIAL_BITS, bits[i]);
        set(f, structure->linears[i].name, DIAL_GRANULARITY,
            schemes[chosen].group ? GRANULARITY_GROUP : GRANULARITY_CHANNEL);
        if (schemes[chosen].group) set(f, structure->linears[i].name, DIAL_GROUP_SIZE, (double)schemes[chosen].group);
    }
}

static void check_kept(const Fixture *f, const VerdictWish *wish, const Plan *plan, const int *bits) {
    Verdict verdict;
    assert_true(verdict_make(&f->model.structure, &f->model.measured, plan, wish, &verdict, NULL));
    for (int i = 0; i < verdict.finding_count; i++) {
        const Finding *left = &verdict.findings[i];
        // Without a scheme that is taken a search does not begin.
        if (left->severity >= SEVERITY_MISREAD && (left->change_count || (left->linear_count && bits[*left->linears])))
            fail_msg("%s in %s: %s of %d linears, as of %s", target_table[verdict.rows[0].target].name,
                     export_format_names[wish->format], left->name, left->linear_count,
                     f->model.structure.linears[left->linears[0]].name);
    }
    for (int i = 0; i < f->model.structure.linear_count; i++)
        if (bits[i] && plan->decisions[i].quantized) assert_int_equal(plan->decisions[i].bits, bits[i]);
    verdict_free(&verdict);
}

// A recipe of any kind is mended as f does it, and then a search or a budget chooses bits and groups.
static void whatever_bits_a_search_gives_what_was_mended_loads(void **state) {
    (void)state;
    Random random = random_seeded(11);
    int kept = 0;
    for (int round = 0; round < 30; round++) {
        void *fresh;
        assert_int_equal(round % 3 ? setup(&fresh) : setup_experts(&fresh), 0);
        Fixture *f = fresh;
        tune_at_random(f, &random);
        f->odd_bits = random_below(&random, 2);
        for (ExportFormat format = 0; format < EXPORT_FORMAT_COUNT; format++)
            for (Target t = 0; t < TARGET_COUNT; t++) {
                const VerdictWish wish = {format, 1U << t, f->odd_bits};
                const Engines engines = engines_of(&wish);
                Fixture again = {.model = f->model, .odd_bits = f->odd_bits};
                Plan plan = {0};
                int bits[64];
                if (!(targets_of_format(format) >> t & 1)) continue;
                verdict_fix_free(&f->fix);
                if (!verdict_fix(&f->recipe, &f->model.structure, &f->model.measured, &wish, &f->fix, NULL)) continue;
                assert_true(recipe_copy(&f->fix.recipe, &again.recipe, NULL));
                give_schemes(&again, &wish, &random, bits);
                assert_true(
                    verdict_keep(&f->model.structure, &f->model.measured, &engines, &again.recipe, &plan, NULL, NULL));
                check_kept(f, &wish, &plan, bits);
                kept++;
                plan_free(&plan);
                recipe_free(&again.recipe);
            }
        teardown(&fresh);
    }
    assert_true(kept > 200);
}

static void engines_store_sets_as_one(void **state) {
    Fixture *f = *state;
    int unit[64];
    const VerdictWish vllm = {CT, SM80, false}, apart = {EXPORT_GGUF, LLAMA_CPP, false};
    const int linears = f->model.structure.linear_count;
    assert_in_range(linears, 1, 64);
    units_alone(unit, linears);
    assert_true(verdict_join(&f->model.structure, &apart, unit, NULL));
    for (int i = 0; i < linears; i++) assert_int_equal(units_first(unit, i), i);
    assert_true(verdict_join(&f->model.structure, &vllm, unit, NULL));
    for (int i = 1; i < linears; i++) {
        const Linear *a = &f->model.structure.linears[i - 1], *b = &f->model.structure.linears[i];
        const bool same = a->fused_set >= 0 && a->fused_set == b->fused_set;
        assert_int_equal(units_first(unit, i - 1) == units_first(unit, i), same);
    }
}

// Dials stand there by their options, which the screen puts into its own words.
static void check_words(const char *text) {
    static const char *const never[] = {" activations ", " granularity ", " group-size ", " unfoldable ",
                                        " weight-bits "};
    for (const char *at = text; *at; at++) assert_true((unsigned char)*at < 128); // for terminals that have no more
    for (size_t i = 0; i < sizeof never / sizeof *never; i++)
        if (strstr(text, never[i])) fail_msg("\"%s\" names a dial by no option", text);
    for (const char *at = text; (at = strstr(at, "--")); at += 2) {
        const size_t length = strspn(at + 2, "abcdefghijklmnopqrstuvwxyz-");
        bool known = strncmp(at, "--allow-odd-bits", 16) == 0 || strncmp(at, "--linear-backend", 16) == 0; // vLLM's
        for (int i = 0; i < DIAL_COUNT; i++)
            known = known || (strlen(dial_table[i].option) == length && !memcmp(dial_table[i].option, at + 2, length));
        if (!known) fail_msg("%.20s in \"%s\" is no dial", at, text);
    }
}

static void remedies_name_options(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof setting_rows / sizeof *setting_rows; i++) {
        const Row *row = &setting_rows[i];
        void *fresh;
        assert_int_equal(setup(&fresh), 0);
        Fixture *f = fresh;
        f->odd_bits = false;
        for (int k = 0; k < 3 && (row->set[k].dial || row->set[k].value > 0); k++)
            set(f, NULL, row->set[k].dial, row->set[k].value);
        const Verdict *verdict = judge(f, row->format, ALL);
        for (int j = 0; j < verdict->finding_count; j++) {
            check_words(verdict->findings[j].what);
            check_words(verdict->findings[j].remedy);
        }
        teardown(&fresh);
    }
}

// Which linears run by which kernel, in the order of the row.
static void every_linear_has_its_use(void **state) {
    Fixture *f = *state;
    set(f, "*.0.mlp.down_proj", DIAL_GROUP_SIZE, 16);
    set(f, "*.1.*", DIAL_BITS, 2);
    const VerdictRow *row = row_of(judge(f, CT, SM80), TARGET_VLLM_SM80);
    int counted[VERDICT_USES] = {0};
    for (int i = 0; i < LINEARS; i++) counted[row->use_of[i]]++;
    assert_int_equal(row->use_of[HEAD], VERDICT_USES);
    assert_string_equal(row->uses[row->use_of[DOWN]].kernel, "Humming");
    assert_string_equal(row->uses[row->use_of[UP]].kernel, "Marlin");
    for (int i = 0; i < row->use_count; i++) assert_int_equal(counted[i], row->uses[i].linears);
    assert_true(row->uses[0].linears == 8 && row->uses[1].linears == 6);
}

// ---- Sets ----

static void sets_must_agree_in_weights(void **state) {
    Fixture *f = *state;
    set(f, "*.0.self_attn.k_proj", DIAL_BITS, 8);
    set(f, "*.0.self_attn.v_proj", DIAL_GROUP_SIZE, 32);
    const Finding *found = finds(f, CT, SM80 | SGLANG | TRANSFORMERS, "fused-bits", SEVERITY_REFUSED, 3, SM80 | SGLANG);
    for (int i = 0; i < 3; i++) assert_int_equal(found->linears[i], Q + i);
    mends(f, CT, SM80, "fused-bits");
    for (int i = Q; i <= V; i++) {
        assert_int_equal(f->fix.plan.decisions[i].bits, 8);
        assert_int_equal(f->fix.plan.decisions[i].group, 32);
    }
    assert_int_equal(f->fix.plan.decisions[O].bits, 4);
    set(f, "*.0.self_attn.k_proj", DIAL_BITS, 4);
    set(f, "*.0.self_attn.v_proj", DIAL_GROUP_SIZE, 64);
    set(f, "*.0.mlp.up_proj", DIAL_GRID, GRID_ASYMMETRIC);
    finds(f, CT, SM80, "fused-bits", SEVERITY_REFUSED, 2, SM80);
    mends(f, CT, SM80, "fused-bits");
    assert_int_equal(f->fix.plan.decisions[UP].grid, GRID_SYMMETRIC);
}

// One scale for a matrix is another scheme in compressed-tensors. GPTQ repeats it for every channel, and has no inputs.
static void sets_agree_as_the_format_has_them(void **state) {
    Fixture *f = *state;
    set(f, NULL, DIAL_BITS, 8);
    set(f, NULL, DIAL_GRANULARITY, GRANULARITY_CHANNEL);
    set(f, "*.0.self_attn.k_proj", DIAL_GRANULARITY, GRANULARITY_TENSOR);
    assert_null(find(judge(f, EXPORT_GPTQ, SM80), "fused-bits"));
    set(f, NULL, DIAL_ACTIVATIONS, POLICY_TOKEN);
    finds(f, CT, SM80, "fused-bits", SEVERITY_REFUSED, 3, SM80);
    mends(f, CT, SM80, "fused-bits");
    assert_int_equal(f->fix.plan.decisions[K].granularity, GRANULARITY_CHANNEL);
    set(f, "*.0.self_attn.k_proj", DIAL_GRANULARITY, GRANULARITY_CHANNEL);
    set(f, "*.0.self_attn.k_proj", DIAL_ACTIVATIONS, POLICY_NONE);
    finds(f, CT, SM80, "fused-bits", SEVERITY_REFUSED, 3, SM80); // codes of k are packed
    assert_null(find(judge(f, EXPORT_GPTQ, SM80), "fused-bits"));
}

static void sets_must_agree_in_inputs(void **state) {
    Fixture *f = *state;
    set(f, "*.1.mlp.gate_proj", DIAL_ACTIVATIONS, POLICY_TOKEN);
    const Finding *found = finds(f, CT, SM80, "fused-inputs", SEVERITY_MISREAD, 2, SM80);
    assert_int_equal(found->linears[0], 7 + GATE);
    mends(f, CT, SM80, "fused-inputs");
    assert_int_equal(f->fix.plan.decisions[7 + GATE].activations, POLICY_NONE); // Marlin drops them
    set(f, NULL, DIAL_GROUP_SIZE, 16);                                          // Humming does not
    mends(f, CT, SM80, "fused-inputs");
    assert_int_equal(f->fix.plan.decisions[7 + UP].activations, POLICY_TOKEN);
    set(f, NULL, DIAL_GROUP_SIZE, 64);
    // With 8 bits the two are not even stored alike.
    set(f, "*.1.mlp.*", DIAL_BITS, 8);
    set(f, "*.1.mlp.*", DIAL_GRANULARITY, GRANULARITY_CHANNEL);
    finds(f, CT, SM80, "fused-bits", SEVERITY_REFUSED, 2, SM80);
    mends(f, CT, SM80, "fused-bits");
}

static void sets_stay_together(void **state) {
    Fixture *f = *state;
    assert_true(recipe_ignore(&f->recipe, "*.0.self_attn.q_proj", NULL));
    finds(f, CT, SM80 | CPU | TRANSFORMERS, "fused-ignored", SEVERITY_REFUSED, 2, SM80 | CPU);
    mends(f, CT, SM80, "fused-ignored");
    for (int i = Q; i <= V; i++) assert_false(f->fix.plan.decisions[i].quantized);
    assert_true(f->fix.plan.decisions[O].quantized);
    says(f, "left as it is");
}

static void rename_linear(Fixture *f, int linear, const char *name) {
    free(f->model.structure.linears[linear].name);
    f->model.structure.linears[linear].name = strdup(name);
}

static void other_families_fuse_other_names(void **state) {
    Fixture *f = *state;
    rename_linear(f, GATE, "model.layers.0.linear_attn.in_proj_qkv");
    rename_linear(f, UP, "model.layers.0.linear_attn.in_proj_z");
    set(f, "*.in_proj_z", DIAL_BITS, 8);
    const Finding *found = finds(f, CT, SM80, "fused-bits", SEVERITY_REFUSED, 2, SM80);
    assert_int_equal(found->linears[0], GATE);
    set(f, "*.in_proj_z", DIAL_BITS, 4);
    rename_linear(f, V, "model.layers.0.self_attn.other");
    finds(f, EXPORT_GPTQ, SM80 | CPU, "fused-without-v", SEVERITY_REFUSED, 2, SM80 | CPU);
    mends(f, EXPORT_GPTQ, SM80, "fused-without-v");
    assert_false(f->fix.plan.decisions[K].quantized);
    assert_true(f->fix.plan.decisions[V].quantized);
    assert_int_equal(judge(f, CT, SM80)->finding_count, 0); // it names a v
    rename_linear(f, K, "model.layers.0.self_attn.kv_a_proj_with_mqa");
    assert_int_equal(judge(f, EXPORT_GPTQ, SM80)->finding_count, 0);
    f->model.structure.linears[Q].layer = f->model.structure.config.first_sharing = 1; // they are another layer's
    finds(f, EXPORT_GPTQ, SM80 | CPU, "fused-without-v", SEVERITY_REFUSED, 1, SM80 | CPU);
    assert_int_equal(judge(f, CT, SM80)->finding_count, 0);
}

// ---- Linears that are special ----

static void special_linears(void **state) {
    Fixture *f = *state;
    Linear *linears = f->model.structure.linears;
    linears[O].transposed = true;
    finds(f, CT, CPU | TRANSFORMERS, "conv1d", SEVERITY_REFUSED, 1, CPU | TRANSFORMERS);
    finds(f, EXPORT_GPTQ, SM80, "conv1d", SEVERITY_REFUSED, 1, SM80);
    mends(f, CT, TRANSFORMERS, "conv1d");
    Tensor all = *linears[UP].weight, part = all;
    const Tensor *weight = linears[O].weight;
    part.whole = &all;
    linears[O].weight = &part; // of several experts, whichever way they lie
    finds(f, CT, SM80 | TRANSFORMERS, "stack", SEVERITY_REFUSED, 1, SM80 | TRANSFORMERS);
    assert_null(find(&f->verdict, "conv1d"));
    linears[O].weight = weight;
    linears[O].transposed = false;
    linears[O].role = ROLE_ROUTER;
    finds(f, CT, TRANSFORMERS, "router", SEVERITY_MISREAD, 1, TRANSFORMERS);
    mends(f, CT, TRANSFORMERS, "router");
    finds(f, CT, SM80 | TRANSFORMERS, "router-refused", SEVERITY_REFUSED, 1, SM80);
    mends(f, CT, SM80, "router-refused");
    linears[O].role = ROLE_O;
    f->recipe.ignore[0][0] = 'x';
    set(f, "lm_head", DIAL_BITS, 4); // a head is read everywhere
    assert_int_equal(judge(f, CT, SM80 | SM90 | TRANSFORMERS)->finding_count, 0);
    runs(f, CT, TARGET_TRANSFORMERS, "floats", "16 bit", LINEARS + 1);
}

static void a_fix_that_leaves_nothing_is_refused(void **state) {
    Fixture *f = *state;
    Error err = {0};
    for (int i = 0; i < LINEARS; i++) f->model.structure.linears[i].transposed = true;
    assert_false(verdict_fix(&f->recipe, &f->model.structure, &f->model.measured,
                             &(VerdictWish){CT, TRANSFORMERS, true}, &f->fix, &err));
    assert_non_null(strstr(err.message, "for transformers leave nothing quantized in compressed-tensors;"));
    f->model.structure.linears[O].transposed = false;
    mends(f, CT, TRANSFORMERS, "conv1d");
    assert_int_equal(f->fix.plan.quantized_count, 1);
    assert_true(recipe_ignore(&f->recipe, "*", NULL)); // nothing was asked for: nothing to refuse
    mended(f, CT, TRANSFORMERS);
    assert_int_equal(f->fix.change_count, 0);
}

static void packed_falcon_needs_another_engine(void **state) {
    Fixture *f = *state;
    snprintf(f->model.structure.config.family, sizeof f->model.structure.config.family, "falcon");
    finds(f, CT, SM80 | TRANSFORMERS, "falcon", SEVERITY_REFUSED, LINEARS, TRANSFORMERS);
    assert_false(row_of(&f->verdict, TARGET_TRANSFORMERS)->loads);
    set(f, NULL, DIAL_BITS, 8); // codes of a byte each are the weight
    set(f, NULL, DIAL_GRANULARITY, GRANULARITY_CHANNEL);
    set(f, NULL, DIAL_ACTIVATIONS, POLICY_TOKEN);
    assert_null(find(judge(f, CT, TRANSFORMERS), "falcon"));
}

static void shapes_of_kernels(void **state) {
    Fixture *f = *state;
    f->model.structure.linears[O].out = 240;
    finds(f, CT, SM80 | CPU | SGLANG, "shape", SEVERITY_REFUSED, 1, CPU | SGLANG);
    mends(f, CT, CPU, "shape");
}

static void factors_need_a_place(void **state) {
    Fixture *f = *state;
    set(f, NULL, DIAL_ACTIVATIONS, POLICY_FPTQ);
    set(f, NULL, DIAL_UNFOLDABLE, UNFOLDABLE_RUNTIME);
    set(f, NULL, DIAL_V0, 0.5);
    const Finding *found = finds(f, CT, TRANSFORMERS, "runtime-factors", SEVERITY_REFUSED, 4, TRANSFORMERS);
    assert_int_equal(found->linears[0], O); // no norm stands before o and down
    assert_int_equal(found->linears[1], DOWN);
    mends(f, CT, TRANSFORMERS, "runtime-factors");
    assert_int_equal(f->fix.plan.decisions[O].activations, POLICY_TOKEN);
    assert_true(f->fix.plan.decisions[Q].lae);
}

static void scales_and_cache(void **state) {
    Fixture *f = *state;
    set(f, NULL, DIAL_SCALE, SCALE_F32);
    finds(f, CT, SM80 | TRANSFORMERS, "f32-scales", SEVERITY_NOTE, LINEARS, SM80);
    set(f, NULL, DIAL_SCALE, SCALE_MODEL);
    set(f, NULL, DIAL_CACHE_BITS, 8);
    finds(f, EXPORT_GGUF, ALL, "cache", SEVERITY_NOTE, 0, LLAMA_CPP);
    assert_null(find(&f->verdict, "small-scales"));
    WeightMeasure *weight = &f->model.measured.weights[UP];
    weight->absmax = 3e-4F; // / 7
    weight->known = true;
    const Finding *found = finds(f, EXPORT_GGUF, ALL, "small-scales", SEVERITY_NOTE, 1, LLAMA_CPP);
    assert_int_equal(found->linears[0], UP);
    weight->absmax = 5e-4F;
    assert_null(find(judge(f, EXPORT_GGUF, ALL), "small-scales"));
}

static void name_family(Fixture *f, const char *family) {
    snprintf(f->model.structure.config.family, sizeof f->model.structure.config.family, "%s", family);
}

// Ways to load it that are named, and those that are not.
static void expect_loading(Fixture *f, ExportFormat format, const char *named, const char *unnamed) {
    Text text = {0};
    export_loading(&f->model.structure, format, judge(f, format, ALL), &text);
    text_add(&text, "", 0);
    if (named && !strstr(text.data, named)) fail_msg("no %s in \"%s\"", named, text.data);
    if (strstr(text.data, unnamed)) fail_msg("%s in \"%s\"", unnamed, text.data);
    text_free(&text);
}

static void other_notes(void **state) {
    Fixture *f = *state;
    name_family(f, "opt");
    finds(f, EXPORT_MLX, ALL, "family", SEVERITY_REFUSED, 0, MLX);
    assert_false(row_of(&f->verdict, TARGET_MLX)->loads);
    mended(f, EXPORT_MLX, ALL); // no recipe mends that
    assert_true(verdict_has(&f->fix.verdict, SEVERITY_REFUSED));
    assert_null(find(judge(f, CT, ALL), "family-untried"));
    name_family(f, "codegen");
    finds(f, EXPORT_MLX, ALL, "family", SEVERITY_REFUSED, 0, MLX);
    finds(f, CT, ALL, "family-untried", SEVERITY_NOTE, 0, SM75 | SM80 | SM90 | SM100 | CPU | SGLANG);
    name_family(f, "llama");
    set(f, NULL, DIAL_ACTIVATIONS, POLICY_TOKEN);
    finds(f, EXPORT_GGUF, ALL, "block-inputs", SEVERITY_NOTE, LINEARS, LLAMA_CPP);
    set(f, NULL, DIAL_BITS, 8);
    set(f, NULL, DIAL_GRANULARITY, GRANULARITY_CHANNEL);
    finds(f, CT, ALL, "int8-blackwell", SEVERITY_REFUSED, LINEARS, SM100);
    assert_false(row_of(&f->verdict, TARGET_VLLM_SM100)->loads);
    mended(f, CT, SM100); // an option of vLLM mends it
    assert_int_equal(f->fix.plan.decisions[Q].activations, POLICY_TOKEN);
}

// Only transformers runs these; of a model that an engine does not know nothing else counts.
static void encoder_decoders(void **state) {
    Fixture *f = *state;
    const Targets others = ALL & targets_of_format(CT) & ~TRANSFORMERS;
    f->model.structure.config.pair.encoder_layers = 1;
    name_family(f, "bart");
    set(f, NULL, DIAL_ACTIVATIONS, POLICY_STATIC);
    finds(f, CT, ALL, "encoder-decoder", SEVERITY_REFUSED, 0, others);
    assert_string_equal(f->verdict.findings[0].name, "encoder-decoder");
    check_words(f->verdict.findings[0].what);
    assert_null(find(&f->verdict, "static-inputs"));
    assert_int_equal(row_of(&f->verdict, TARGET_VLLM_SM80)->use_count, 0);
    assert_true(row_of(&f->verdict, TARGET_TRANSFORMERS)->loads);
    finds(f, EXPORT_GPTQ, ALL, "encoder-decoder", SEVERITY_REFUSED, 0, others);
    finds(f, EXPORT_MLX, ALL, "family", SEVERITY_REFUSED, 0, MLX);
    finds(f, EXPORT_GGUF, ALL, "gguf-model", SEVERITY_REFUSED, 0, LLAMA_CPP);
    expect_loading(f, CT, "AutoModelForSeq2SeqLM", "vllm");
    set(f, NULL, DIAL_ACTIVATIONS, POLICY_NONE);
    expect_loading(f, EXPORT_GPTQ, "AutoModelForSeq2SeqLM", "vllm");
    f->model.structure.config.pair.encoder_layers = 0;
    expect_loading(f, CT, "AutoModelForCausalLM", "Seq2Seq");
}

// Who loads a model is told how, and who does not is not.
static void ways_to_load_are_those_that_work(void **state) {
    Fixture *f = *state;
    expect_loading(f, CT, "vllm serve", "Seq2Seq");
    expect_loading(f, EXPORT_GGUF, "llama-cli", "vllm");
    set(f, NULL, DIAL_ACTIVATIONS, POLICY_STATIC); // with 4 bits no kernel of vLLM takes it
    expect_loading(f, CT, "AutoModelForCausalLM", "vllm");
    set(f, NULL, DIAL_GRID, GRID_ASYMMETRIC); // and now none at all
    expect_loading(f, CT, NULL, "AutoModel");
    Text text = {0};
    export_misgivings(&f->verdict, &text);
    assert_non_null(strstr(text.data, "- refused by vllm, "));
    assert_non_null(strstr(text.data, "vLLM drops these, transformers fails"));
    text_free(&text);
    expect_loading(f, EXPORT_DENSE, "anything else", "vllm");
}

static bool some_load(Fixture *f, ExportFormat format, Targets targets, Error *err) {
    const VerdictWish wish = {format, targets, false};
    const Engines engines = engines_of(&wish);
    judge(f, format, targets); // and plans
    return engines_load(&f->model.structure, &engines, &f->plan, err);
}

// Nobody loads it: the reason is told. One does, or would with another recipe: nothing is.
static void a_model_that_no_recipe_helps_is_refused(void **state) {
    Fixture *f = *state;
    Error err = {0};
    set(f, NULL, DIAL_BITS, 3);
    assert_true(some_load(f, CT, ALL, &err));
    name_family(f, "t5");
    assert_false(some_load(f, CT, TRANSFORMERS, &err));
    assert_non_null(strstr(err.message, "t5: refused by transformers, whatever the recipe: T5 asks"));
    assert_non_null(strstr(err.message, "dequantize=True"));
    err = (Error){0};
    assert_true(some_load(f, CT, TRANSFORMERS | SM80, &err));
    f->model.structure.config.pair.encoder_layers = 1;
    assert_false(some_load(f, CT, SM80 | SM90, &err));
    assert_non_null(strstr(err.message, "encoder-decoder: refused by vllm-sm80, vllm-sm90, whatever the recipe: "));
}

static void t5_wants_plain_weights(void **state) {
    Fixture *f = *state;
    name_family(f, "t5");
    finds(f, CT, ALL, "t5", SEVERITY_REFUSED, 0, TRANSFORMERS);
    assert_null(find(judge(f, EXPORT_GPTQ, ALL), "t5"));
    expect_loading(f, CT, "dequantize=True", "AutoModelForCausalLM");
}

// Whatever its writer refuses, GGUF is not said to load.
static void gguf_of_other_families(void **state) {
    Fixture *f = *state;
    assert_null(find(judge(f, EXPORT_GGUF, ALL), "gguf-model"));
    static const char *const families[] = {"lfm2", "qwen3_next", "nemotron_h", "gpt2", "olmo2"};
    for (size_t i = 0; i < sizeof families / sizeof *families; i++) {
        name_family(f, families[i]);
        finds(f, EXPORT_GGUF, ALL, "gguf-model", SEVERITY_REFUSED, 0, LLAMA_CPP);
        assert_false(row_of(&f->verdict, TARGET_LLAMA_CPP)->loads);
        assert_int_equal(f->verdict.finding_count, 1);
    }
}

// ---- Experts ----

static void experts_are_one_tensor(void **state) {
    Fixture *f = *state;
    assert_int_equal(judge(f, CT, SM80 | TRANSFORMERS)->finding_count, 0);
    runs(f, CT, TARGET_VLLM_SM80, "Marlin experts", "16 bit", 24);
    set(f, "*.0.mlp.experts.2.up_proj", DIAL_BITS, 8);
    finds(f, CT, SM80 | TRANSFORMERS, "experts-differ", SEVERITY_REFUSED, 12, SM80 | TRANSFORMERS);
    mends(f, CT, SM80, "experts-differ");
    for (int i = 0; i < 24; i++) assert_int_equal(f->fix.plan.decisions[i].bits, i < 12 ? 8 : 4);
    name_family(f, "deepseek_v3");
    finds(f, EXPORT_MLX, ALL, "mlx-experts", SEVERITY_REFUSED, 24, MLX);
    name_family(f, "qwen3_moe");
    finds(f, EXPORT_MLX, ALL, "experts-stacked", SEVERITY_REFUSED, 4, MLX);
    mends(f, EXPORT_MLX, ALL, "experts-stacked");
    assert_true(recipe_ignore(&f->recipe, "*.1.mlp.experts.0.down_proj", NULL));
    mends(f, CT, SM80, "experts-differ");
    assert_false(f->fix.plan.decisions[12].quantized);
}

static void experts_have_few_kernels(void **state) {
    Fixture *f = *state;
    finds(f, CT, CPU, "cpu-experts", SEVERITY_REFUSED, 24, CPU);
    set(f, NULL, DIAL_ACTIVATIONS, POLICY_TOKEN);
    finds(f, CT, SM80, "expert-inputs", SEVERITY_REFUSED, 24, SM80);
    mends(f, CT, SM80, "expert-inputs");
    finds(f, CT, TRANSFORMERS, "expert-inputs-dropped", SEVERITY_MISREAD, 24, TRANSFORMERS);
    mends(f, CT, TRANSFORMERS, "expert-inputs-dropped");
    set(f, NULL, DIAL_BITS, 8);
    set(f, NULL, DIAL_GRANULARITY, GRANULARITY_CHANNEL);
    runs(f, CT, TARGET_VLLM_SM80, "Triton int8 experts", "int8 per token", 24);
    finds(f, CT, SM80 | TRANSFORMERS, "experts-int8", SEVERITY_REFUSED, 24, TRANSFORMERS);
    mends(f, CT, TRANSFORMERS, "experts-int8");
    set(f, NULL, DIAL_ACTIVATIONS, POLICY_NONE);
    set(f, NULL, DIAL_GRANULARITY, GRANULARITY_TENSOR);
    finds(f, CT, SM80, "expert-scheme", SEVERITY_REFUSED, 24, SM80);
}

// ---- Targets ----

static void targets_have_names(void **state) {
    (void)state;
    Error err = {0};
    Targets targets;
    assert_true(targets_parse("vllm,mlx", &targets, &err));
    assert_int_equal(targets, 15 | MLX);
    assert_true(targets_parse("vllm-sm90", &targets, &err));
    assert_int_equal(targets, SM90);
    assert_true(targets_parse("all", &targets, &err));
    assert_int_equal(targets, ALL);
    static const struct {
        const char *name;
        Targets targets;
    } devices[] = {{"7.5", SM75}, {"8.0", SM80},   {"sm80", SM80},  {"sm_89", SM80},  {"vllm-sm86", SM80},
                   {"9.0", SM90}, {"SM_90", SM90}, {"10.0", SM100}, {"sm120", SM100}, {"12.1,mlx", SM100 | MLX}};
    for (size_t i = 0; i < sizeof devices / sizeof *devices; i++) {
        assert_true(targets_parse(devices[i].name, &targets, &err));
        assert_int_equal(targets, devices[i].targets);
    }
    static const struct {
        const char *name;
        Targets targets;
    } cards[] = {{"t4", SM75},
                 {"Tesla T4", SM75},
                 {"RTX 2080 Ti", SM75},
                 {"A100", SM80},
                 {"a100-80gb", SM80},
                 {"NVIDIA A10G", SM80},
                 {"L40S", SM80},
                 {"GeForce RTX 4090", SM80},
                 {"3090", SM80},
                 {"vllm-l4", SM80},
                 {"RTX 4070 Ti SUPER", SM80},
                 {"H100 SXM,mlx", SM90 | MLX},
                 {"nvidia h200", SM90},
                 {"B200", SM100},
                 {"rtx5090", SM100},
                 {"RTX PRO 6000", SM100}};
    for (size_t i = 0; i < sizeof cards / sizeof *cards; i++) {
        assert_true(targets_parse(cards[i].name, &targets, &err));
        assert_int_equal(targets, cards[i].targets);
    }
    assert_false(targets_parse("V100", &targets, &err)); // known, and told why not
    assert_string_equal(
        err.message, "\"V100\" has compute capability 7.0; vLLM multiplies quantized weights from 7.5 on (T4, RTX 20)");
    static const char *const none[] = {"a1000x", "rtx", "a",     "h1000", "rtx4090q", "7.0",  "80",
                                       "8.",     "sm",  "sm80x", "8.00",  "sm_",      "13.0", "-8.0"};
    for (size_t i = 0; i < sizeof none / sizeof *none; i++) assert_false(targets_parse(none[i], &targets, &err));
    assert_false(targets_parse("vllm,,mlx", &targets, &err));
    assert_false(targets_parse("onnx", &targets, &err));
    assert_non_null(strstr(err.message, "vllm, vllm-sm75"));
    assert_non_null(strstr(err.message, "\"onnx\""));
    for (ExportFormat format = 0; format < EXPORT_FORMAT_COUNT; format++)
        assert_int_equal(targets_usual(format) & ~targets_of_format(format), 0);
    for (int t = 0; t < TARGET_COUNT; t++) {
        assert_true(targets_parse(target_table[t].name, &targets, &err));
        assert_true(targets >> t & 1);
    }
}

// Only those are judged that read the format; the worst comes first.
static void rows_and_order(void **state) {
    Fixture *f = *state;
    assert_int_equal(judge(f, EXPORT_GGUF, SM80 | LLAMA_CPP)->row_count, 1);
    assert_int_equal(judge(f, EXPORT_DENSE, ALL)->row_count, 0);
    set(f, NULL, DIAL_CACHE_BITS, 8);
    set(f, "*.0.mlp.down_proj", DIAL_GROUP_SIZE, 16);
    set(f, "*.1.mlp.down_proj", DIAL_GRANULARITY, GRANULARITY_TENSOR);
    const Verdict *v = judge(f, CT, SM80 | SGLANG | TRANSFORMERS);
    for (int i = 1; i < v->finding_count; i++) assert_true(v->findings[i - 1].severity >= v->findings[i].severity);
    assert_string_equal(v->findings[row_of(v, TARGET_TRANSFORMERS)->worst].name, "cache");
    const VerdictRow *row = row_of(v, TARGET_VLLM_SM80);
    assert_string_equal(v->findings[row->worst].name, "tensor-scale");
    assert_int_equal(row->use_count, 3);
    assert_string_equal(row->uses[0].kernel, "Marlin");
    assert_int_equal(find(v, "tensor-scale")->evidence, EVIDENCE_READ); // nobody had such devices
    assert_int_equal(find(judge(f, CT, CPU), "tensor-scale")->evidence, EVIDENCE_TRIED);
}

// ---- No sentence contradicts another ----

static bool loads_one(const Verdict *verdict, const char *engine) {
    for (int r = 0; r < verdict->row_count; r++)
        if (verdict->rows[r].loads && strstr(target_table[verdict->rows[r].target].group, engine)) return true;
    return false;
}

static bool is_of(const Finding *finding, const char *engine) {
    for (int t = 0; t < TARGET_COUNT; t++)
        if (finding->targets >> t & 1 && strstr(target_table[t].group, engine)) return true;
    return false;
}

// A way out of what one engine refuses leads to another one only where that takes it.
static void check_remedies(const char *model, const Verdict *verdict) {
    static const char *const engines[] = {"vllm", "sglang", "transformers", "llama.cpp", "mlx"};
    for (int i = 0; i < verdict->finding_count; i++) {
        const Finding *finding = &verdict->findings[i];
        for (size_t e = 0; e < sizeof engines / sizeof *engines; e++)
            if (strstr(finding->remedy, engines[e]) && !is_of(finding, engines[e]) && !loads_one(verdict, engines[e]))
                fail_msg("%s: %s: \"%s\", and %s does not load it", model, finding->name, finding->remedy, engines[e]);
    }
}

// How it is loaded, and no engine that does so.
static void check_ways(const char *model, const ModelStructure *structure, ExportFormat format,
                       const Verdict *verdict) {
    static const struct {
        const char *way, *engine;
    } ways[] = {{"vllm serve", "vllm"},
                {"from_pretrained", "transformers"},
                {"GPTQModel", "transformers"},
                {"llama-cli", "llama.cpp"},
                {"mlx_lm", "mlx"}};
    Text text = {0};
    export_loading(structure, format, verdict, &text);
    text_add(&text, "", 0);
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++)
        if (strstr(text.data, ways[i].way) && !strstr(text.data, "dequantize=True") &&
            !loads_one(verdict, ways[i].engine))
            fail_msg("%s in %s: \"%s\", and %s does not load it", model, export_format_names[format], text.data,
                     ways[i].engine);
    text_free(&text);
}

static void check_model(const char *folder) {
    Fixture *f = make();
    Checkpoint checkpoint;
    ModelConfig config;
    ModelStructure structure;
    Error err = {0};
    set(f, NULL, DIAL_GRANULARITY, GRANULARITY_CHANNEL); // which divide any row
    if (!checkpoint_open(folder, &checkpoint, &err) || !config_load(checkpoint.documents, &config, &err) ||
        !structure_build(&checkpoint, &config, &structure, &err))
        fail_msg("%s: %s", folder, err.message);
    for (int format = 0; format < EXPORT_FORMAT_COUNT; format++) {
        const VerdictWish wish = {(ExportFormat)format, ALL, false};
        Verdict verdict;
        Plan plan;
        assert_true(plan_make(&f->recipe, &structure, NULL, &plan, NULL));
        assert_true(verdict_make(&structure, NULL, &plan, &wish, &verdict, NULL));
        check_remedies(folder, &verdict);
        if (format != EXPORT_DENSE) check_ways(folder, &structure, wish.format, &verdict);
        verdict_free(&verdict);
        plan_free(&plan);
    }
    structure_free(&structure);
    checkpoint_close(&checkpoint);
    recipe_free(&f->recipe);
    free(f);
}

static void whoever_is_named_loads_it(void **state) {
    (void)state;
    glob_t families;
    assert_int_equal(glob("tests/fixtures/families/*", GLOB_ONLYDIR, NULL, &families), 0);
    assert_true(families.gl_pathc > 100);
    for (size_t i = 0; i < families.gl_pathc; i++) check_model(families.gl_pathv[i]);
    check_model("samples/translator");
    globfree(&families);
}

int main(void) {
#define ON(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        ON(weights_of_four_bits_find_their_kernels),
        ON(inputs_of_eight_bits_find_theirs),
        ON(fused_rows_count_together),
        ON(the_kernel_may_drop_inputs),
        ON(inputs_are_mended_at_once),
        ON(a_tensor_is_whole_channels_in_gptq),
        cmocka_unit_test(settings_are_found_and_mended),
        ON(odd_bits_are_asked_for),
        ON(a_search_knows_what_engines_take),
        cmocka_unit_test(remedies_name_options),
        ON(every_linear_has_its_use),
        cmocka_unit_test(whatever_was_tuned_is_mended_whole),
        ON(a_remedy_is_as_small_as_it_can_be),
        ON(many_exceptions_become_few_rules),
        ON(what_needs_nothing_is_left_alone),
        ON(groups_are_made_to_divide),
        ON(sets_must_agree_in_weights),
        ON(sets_agree_as_the_format_has_them),
        ON(sets_must_agree_in_inputs),
        ON(sets_stay_together),
        ON(other_families_fuse_other_names),
        ON(special_linears),
        ON(a_fix_that_leaves_nothing_is_refused),
        ON(packed_falcon_needs_another_engine),
        ON(shapes_of_kernels),
        ON(factors_need_a_place),
        ON(scales_and_cache),
        ON(other_notes),
        ON(encoder_decoders),
        ON(ways_to_load_are_those_that_work),
        ON(a_model_that_no_recipe_helps_is_refused),
        ON(t5_wants_plain_weights),
        ON(gguf_of_other_families),
        cmocka_unit_test_setup_teardown(experts_are_one_tensor, setup_experts, teardown),
        cmocka_unit_test_setup_teardown(experts_have_few_kernels, setup_experts, teardown),
        cmocka_unit_test(whatever_bits_a_search_gives_what_was_mended_loads),
        cmocka_unit_test_setup_teardown(engines_store_sets_as_one, setup, teardown),
        cmocka_unit_test(targets_have_names),
        ON(rows_and_order),
        cmocka_unit_test(whoever_is_named_loads_it),
    };
    return cmocka_run_group_tests_name("verdict", tests, NULL, NULL);
}
