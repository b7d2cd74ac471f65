// Every family × recipe × format × engine: what is said of it in different places is the same.
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "export/export.h"
#include "export/verdict.h"
#include "loaders/checkpoint.h"
#include "loaders/structure.h"

#define FAMILIES "tests/fixtures/families"

static int contradictions;

typedef struct Case {
    const char *path;
    Checkpoint checkpoint;
    ModelConfig config;
    ModelStructure structure;
    Measured measured;
    Recipe recipe;
    Plan plan;
    ExportFormat format;
    Verdict verdict;
} Case;

static const struct {
    int bits;
    Granularity granularity;
    ActivationPolicy activations;
    Grid grid;
} recipes[] = {
    {4, GRANULARITY_GROUP, POLICY_NONE, GRID_SYMMETRIC},    {4, GRANULARITY_GROUP, POLICY_TOKEN, GRID_SYMMETRIC},
    {8, GRANULARITY_CHANNEL, POLICY_TOKEN, GRID_SYMMETRIC}, {4, GRANULARITY_GROUP, POLICY_NONE, GRID_ASYMMETRIC},
    {3, GRANULARITY_TENSOR, POLICY_NONE, GRID_SYMMETRIC},
};

static void open_model(Case *c, const char *path) {
    Error err = {0};
    *c = (Case){.path = path};
    if (!checkpoint_open(path, &c->checkpoint, &err) || !config_load(c->checkpoint.documents, &c->config, &err) ||
        !structure_build(&c->checkpoint, &c->config, &c->structure, &err))
        fail_msg("%s: %s", path, err.message);
    c->measured.linear_count = c->structure.linear_count;
}

static void close_model(Case *c) {
    structure_free(&c->structure);
    checkpoint_close(&c->checkpoint);
}

// All of them are told, not the first alone.
static void contradicts(const Case *c, Target target, const char *how, const char *detail) {
    print_error("%s, %d bits, %s, %s: %s%s%s\n", c->path, (int)c->recipe.value[DIAL_BITS],
                export_format_names[c->format], target < TARGET_COUNT ? target_table[target].name : "advice", how,
                *detail ? ": " : "", detail);
    contradictions++;
}

// What the sign promises, f does; and it says what the row of the verdict says.
static void signs_are_true(const Case *c, Target target, const VerdictRow *row) {
    Error err = {0};
    Standing standing;
    VerdictFix fix;
    const VerdictWish wish = {c->format, 1U << target, false};
    const Severity worst = row->worst < 0 ? SEVERITY_NOTE : c->verdict.findings[row->worst].severity;
    assert_true(verdict_standing(&c->recipe, &c->structure, NULL, &c->plan, &wish, &standing, NULL));
    const bool ok = verdict_fix(&c->recipe, &c->structure, NULL, &wish, &fix, &err),
               good = ok && !verdict_has(&fix.verdict, SEVERITY_MISREAD);
    if ((standing == STANDING_LOADS) != (worst < SEVERITY_MISREAD)) contradicts(c, target, "loads", "");
    if (standing == STANDING_REFUSES && worst != SEVERITY_REFUSED) contradicts(c, target, "refuses", "");
    if (standing == STANDING_MISREADS && worst != SEVERITY_MISREAD) contradicts(c, target, "misreads", "");
    if ((standing <= STANDING_MENDED) != good) contradicts(c, target, "mended", ok ? fix.changes.data : err.message);
    verdict_fix_free(&fix);
}

static const VerdictRow *row_of(const Case *c, Target target) {
    for (int r = 0; r < c->verdict.row_count; r++)
        if (c->verdict.rows[r].target == target) return &c->verdict.rows[r];
    return NULL;
}

static bool some_load(const Case *c, Targets targets) {
    for (int r = 0; r < c->verdict.row_count; r++)
        if (c->verdict.rows[r].loads && targets >> c->verdict.rows[r].target & 1) return true;
    return false;
}

enum { VLLM = TARGETS_VLLM, TRANSFORMERS = 1U << TARGET_TRANSFORMERS };

// Words by which a remedy or a way to load names an engine to use.
static const struct {
    const char *words;
    Targets targets;
} advice[] = {
    {"with transformers", TRANSFORMERS},
    {"by transformers", TRANSFORMERS},
    {"with vLLM", VLLM},
    {"vllm serve", VLLM},
    {"with SGLang", 1U << TARGET_SGLANG},
    {"with mlx-lm", 1U << TARGET_MLX},
    {"mlx_lm", 1U << TARGET_MLX},
    {"llama-cli", 1U << TARGET_LLAMA_CPP},
    {"GPTQModel", TRANSFORMERS},
    {"gptqmodel", TRANSFORMERS},
};

static void heed(const Case *c, const char *text) {
    for (size_t i = 0; i < sizeof advice / sizeof *advice; i++)
        if (strstr(text, advice[i].words) && !some_load(c, advice[i].targets))
            contradicts(c, TARGET_COUNT, advice[i].words, text);
}

// Whoever is named as loading it has a row that says so.
static void advice_is_sound(const Case *c) {
    Text ways = {0};
    for (int i = 0; i < c->verdict.finding_count; i++) heed(c, c->verdict.findings[i].remedy);
    export_loading(&c->structure, c->format, &c->verdict, &ways);
    heed(c, ways.data ? ways.data : "");
    text_free(&ways);
}

// What the writer refuses no engine loads. The place is none, so that nothing is timed.
static void writer_agrees(const Case *c) {
    Error err = {0};
    ExportForecast forecast;
    const ExportModel model = {.structure = &c->structure, .recipe = &c->recipe, .plan = &c->plan};
    const ExportOptions options = {.format = c->format, .folder = "tests/test_engines.c/none"};
    const bool ok = export_forecast(&model, &options, &forecast, &err);
    for (int r = 0; !ok && forecast.unwritable && r < c->verdict.row_count; r++)
        if (c->verdict.rows[r].loads)
            contradicts(c, c->verdict.rows[r].target, "loads what is not written", err.message);
}

static void each_engine(const Case *c) {
    for (Target target = 0; target < TARGET_COUNT; target++) {
        const VerdictRow *row = row_of(c, target);
        assert_int_equal(row != NULL, targets_of_format(c->format) >> target & 1);
        if (row) signs_are_true(c, target, row);
    }
    advice_is_sound(c);
    writer_agrees(c);
}

static void each_format(Case *c) {
    Error err = {0};
    for (c->format = 0; c->format < EXPORT_FORMAT_COUNT; c->format++) {
        const VerdictWish wish = {c->format, (1U << TARGET_COUNT) - 1, false};
        if (!verdict_make(&c->structure, NULL, &c->plan, &wish, &c->verdict, &err)) fail_msg("%s", err.message);
        each_engine(c);
        verdict_free(&c->verdict);
    }
}

static void each_recipe(Case *c) {
    for (size_t i = 0; i < sizeof recipes / sizeof *recipes; i++) {
        Error err = {0};
        assert_true(recipe_default(&c->recipe, NULL));
        c->recipe.value[DIAL_BITS] = recipes[i].bits;
        c->recipe.value[DIAL_GRANULARITY] = (double)recipes[i].granularity;
        c->recipe.value[DIAL_GROUP_SIZE] = 32;
        c->recipe.value[DIAL_ACTIVATIONS] = (double)recipes[i].activations;
        c->recipe.value[DIAL_GRID] = (double)recipes[i].grid;
        if (!plan_make(&c->recipe, &c->structure, NULL, &c->plan, &err)) fail_msg("%s", err.message);
        each_format(c);
        plan_free(&c->plan);
        recipe_free(&c->recipe);
    }
}

static void one_model(const char *path) {
    Case c;
    open_model(&c, path);
    each_recipe(&c);
    close_model(&c);
}

static void nothing_that_is_said_contradicts_another(void **state) {
    (void)state;
    struct dirent **names;
    char path[512];
    const int count = scandir(FAMILIES, &names, NULL, alphasort);
    assert_true(count > 100);
    for (int i = 0; i < count; i++) {
        snprintf(path, sizeof path, FAMILIES "/%.200s", names[i]->d_name);
        if (names[i]->d_name[0] != '.') one_model(path);
        free(names[i]);
    }
    free(names);
    one_model("samples/translator");
    one_model("samples/storyteller");
    assert_int_equal(contradictions, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(nothing_that_is_said_contradicts_another)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
