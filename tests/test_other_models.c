// Checkpoints that cannot be run: families without a forward pass, files without config.json. Their weights can be
// measured and planned; everything else says why not.
#include <math.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/array.h"
#include "base/clock.h"
#include "base/file.h"
#include "tests/support/in_folder.h"
#include "tests/support/quant_fixtures.h"
#include "workbench/workbench.h"

// Bytes count 0, 1, 2, …: as BF16 all of these are finite.
static int make_model(void **state) {
    static const struct {
        const char *name;
        int rows, columns; // columns 0: a vector
    } tensors[] = {
        {"encoder.block.10.layer.0.SelfAttention.q.weight", 6, 4},
        {"encoder.block.2.layer.0.SelfAttention.o.weight", 4, 6},
        {"encoder.block.2.layer.1.DenseReluDense.wi_0.weight", 8, 4},
        {"encoder.block.2.layer.0.layer_norm.weight", 4, 0},
        {"encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight", 4, 2},
        {"shared.weight", 10, 4},
        {"encoder.embed_tokens.weight", 10, 4},
        {"lm_head.weight", 10, 4},
        {"encoder.block.2.layer.0.SelfAttention.o.bias", 4, 0},
        {"blob", 4, 4},
    };
    Text header = {0};
    size_t bytes = 0;
    for (size_t i = 0; i < sizeof tensors / sizeof *tensors; i++) {
        size_t size = 2 * (size_t)tensors[i].rows * (size_t)(tensors[i].columns ? tensors[i].columns : 1);
        text_addf(&header, "%c\"%s\":{\"dtype\":\"BF16\",\"shape\":[%d", i ? ',' : '{', tensors[i].name,
                  tensors[i].rows);
        if (tensors[i].columns) text_addf(&header, ",%d", tensors[i].columns);
        text_addf(&header, "],\"data_offsets\":[%zu,%zu]}", bytes, bytes + size);
        bytes += size;
    }
    text_addf(&header, "}");
    make_folder(state);
    free(folder_put_safetensors(folder, "model.safetensors", header.data, bytes));
    text_free(&header);
    return 0;
}

static Engine *open_other(void) {
    Engine *engine;
    Error err = {0};
    EngineOptions options = {.model = folder, .no_cache = true, .random_tokens = true};
    if (!engine_open(&options, &engine, &err)) fail_msg("%s", err.message);
    return engine;
}

static void matrices_are_listed(void **state) {
    (void)state;
    static const struct {
        const char *name;
        LinearRole role;
        int layer;
        bool quantizable;
    } expected[] = {
        {"blob", ROLE_OTHER, -1, true},
        {"encoder.block.2.layer.0.SelfAttention.o", ROLE_O, 2, true},
        {"encoder.block.2.layer.1.DenseReluDense.wi_0", ROLE_GATE, 2, true},
        {"encoder.block.10.layer.0.SelfAttention.q", ROLE_Q, 10, true},
        {"lm_head", ROLE_HEAD, -1, false},
    };
    enum { LINEARS = sizeof expected / sizeof *expected };
    Engine *engine = open_other();
    const ModelStructure *s = engine_structure(engine);
    assert_null(engine_base(engine));
    assert_int_equal(s->linear_count, LINEARS);
    assert_int_equal(s->config.layers, 11);
    for (int i = 0; i < LINEARS; i++) {
        assert_string_equal(s->linears[i].name, expected[i].name);
        assert_int_equal(s->linears[i].role, expected[i].role);
        assert_int_equal(s->linears[i].layer, expected[i].layer);
        assert_int_equal(s->linears[i].quantizable, expected[i].quantizable);
        assert_int_equal(s->linears[i].fold, FOLD_NONE);
    }
    assert_int_equal(s->linears[1].out, 4);
    assert_int_equal(s->linears[1].in, 6);
    assert_int_equal(structure_dtype(s), DTYPE_BF16);
    assert_int_equal(s->parameters, s->checkpoint->bytes / 2);
    engine_close(engine);
}

static void weights_are_measured_and_planned(void **state) {
    (void)state;
    Engine *engine = open_other();
    Recipe recipe;
    Plan plan;
    Error err = {0};
    double db;
    assert_true(recipe_default(&recipe, &err));
    assert_true(engine_measure(engine, NULL, &err));
    assert_true(engine_make_plan(engine, &recipe, &plan, &err));
    assert_int_equal(plan.quantized_count, 4);
    for (int i = 0; i < plan.linear_count; i++) {
        assert_int_equal(plan.decisions[i].activations, POLICY_NONE);
        assert_true(engine_weight_sqnr(engine, &plan, i, &db, &err));
        assert_true(plan.decisions[i].quantized ? db > 5 : isnan(db));
    }
    plan_free(&plan);
    recipe_free(&recipe);
    engine_close(engine);
}

static void refused(bool ok, const Error *err, const char *reason) {
    assert_false(ok);
    if (!strstr(err->message, "cannot be run") || !strstr(err->message, reason))
        fail_msg("\"%s\" does not say \"%s\"", err->message, reason);
}

static void the_rest_says_why_not(void **state) {
    (void)state;
    static const struct {
        const char *config, *reason;
    } files[] = {{NULL, "no config.json"},
                 {"{\"model_type\":\"umt5\"}", "family \"umt5\""},
                 {"{\"model_type\":\"llava\",\"text_config\":{\"model_type\":\"jamba\"}}", "family \"jamba\""},
                 {"{\"model_type\":\"llama\",\"hidden_act\":\"other\"}", "activation function \"other\""}};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        if (files[i].config) folder_put_text(folder, "config.json", files[i].config);
        Engine *engine = open_other();
        Error err = {0};
        Plan plan = {0};
        Accuracy accuracy;
        TokenIds ids = {0};
        refused(engine_calibrate(engine, NULL, &err), &err, files[i].reason);
        refused(engine_follow(engine, &plan, NULL, NULL, &err), &err, files[i].reason);
        refused(engine_evaluate(engine, 0, NULL, NULL, &accuracy, NULL, &err), &err, files[i].reason);
        refused(engine_prompt(engine, "x", &ids, &err), &err, files[i].reason);
        engine_close(engine);
    }
}

static void nothing_to_quantize_is_refused(void **state) {
    (void)state;
    Engine *engine;
    Error err = {0};
    EngineOptions options = {.model = folder, .no_cache = true};
    const char *header = "{\"norm\":{\"dtype\":\"BF16\",\"shape\":[4],\"data_offsets\":[0,8]}}";
    free(folder_put_safetensors(folder, "model.safetensors", header, 8));
    assert_false(engine_open(&options, &engine, &err));
    assert_null(engine);
    assert_non_null(strstr(err.message, "holds no matrices"));
    char *file = path_join(folder, "model.safetensors");
    options.model = file;
    assert_false(engine_open(&options, &engine, &err));
    assert_int_equal(strncmp(err.message, file, strlen(file)), 0); // what was named
    free(file);
}

// The workbench measures the weights, plans, and is done; turning a dial plans again.
static void the_workbench_settles(void **state) {
    (void)state;
    Workbench *w;
    Error err = {0};
    JobView job;
    double bits = 8;
    const WorkbenchOptions options = {.model = {.model = folder, .no_cache = true}};
    if (!workbench_open(&options, &w, &err)) fail_msg("%s", err.message);
    double end = clock_seconds() + 60;
    while (workbench_busy(w) && clock_seconds() < end) {
        struct pollfd fd = {.fd = workbench_fd(w), .events = POLLIN};
        poll(&fd, 1, 100);
        workbench_update(w);
    }
    assert_false(workbench_busy(w));
    workbench_job(w, JOB_WEIGHTS, &job);
    assert_int_equal(job.state, JOB_DONE);
    assert_true(workbench_set(w, -1, DIAL_BITS, &bits, &err));
    workbench_restart_jobs(w);
    workbench_set_prompt(w, "something");
    assert_false(workbench_busy(w));
    assert_int_equal(workbench_plan(w)->decisions[0].bits, 8);
    for (int kind = JOB_CALIBRATE; kind < JOB_FIGURES_END; kind++) {
        workbench_job(w, (JobKind)kind, &job);
        assert_int_equal(job.state, JOB_FAILED);
        assert_non_null(strstr(job.message, "cannot be run"));
    }
    workbench_close(w);
}

// Models with an encoder, as transformers saves them: torch says which matrices are linears, their shapes, their
// largest weights.
static void linears_are_those_of_torch(void **state) {
    (void)state;
    static const char *const models[] = {"t5", "t5-gated", "bart"};
    for (size_t m = 0; m < sizeof models / sizeof *models; m++) {
        char path[128];
        snprintf(path, sizeof path, "tests/fixtures/other/%s/linears.json", models[m]);
        cJSON *expected = fixture_json(path);
        snprintf(path, sizeof path, "tests/fixtures/other/%s", models[m]);
        Engine *engine;
        Recipe recipe;
        Plan plan;
        Error err = {0};
        const EngineOptions options = {.model = path, .no_cache = true};
        if (!engine_open(&options, &engine, &err)) fail_msg("%s", err.message);
        if (!engine_can_run(engine, &err)) fail_msg("%s", err.message);
        assert_true(engine_measure(engine, NULL, &err) && recipe_default(&recipe, &err) &&
                    engine_make_plan(engine, &recipe, &plan, &err));
        const ModelStructure *structure = engine_structure(engine);
        const bool tied = structure->linears[structure->head].weight == structure->embedding; // listed as embedding
        assert_int_equal(structure->linear_count - tied, cJSON_GetArraySize(expected));
        for (int i = 0; i < structure->linear_count; i++) {
            const Linear *linear = &structure->linears[i];
            const cJSON *row = cJSON_GetObjectItemCaseSensitive(expected, linear->name);
            double db;
            if (tied && i == structure->head) continue;
            if (!row) fail_msg("%s: torch has no linear %s", models[m], linear->name);
            assert_int_equal(linear->out, cJSON_GetArrayItem(row, 0)->valueint);
            assert_int_equal(linear->in, cJSON_GetArrayItem(row, 1)->valueint);
            assert_true(engine_stats(engine)->weights[i].absmax == (float)cJSON_GetArrayItem(row, 2)->valuedouble);
            assert_true(plan.decisions[i].quantized == linear->quantizable);
            assert_true(engine_weight_sqnr(engine, &plan, i, &db, &err));
            assert_true(plan.decisions[i].quantized ? db > 15 : isnan(db));
        }
        plan_free(&plan);
        recipe_free(&recipe);
        engine_close(engine);
        cJSON_Delete(expected);
    }
}

#define WITH_MODEL(function) cmocka_unit_test_setup_teardown(function, make_model, drop_folder)

int main(void) {
    const struct CMUnitTest tests[] = {WITH_MODEL(matrices_are_listed),   WITH_MODEL(weights_are_measured_and_planned),
                                       WITH_MODEL(the_rest_says_why_not), WITH_MODEL(nothing_to_quantize_is_refused),
                                       WITH_MODEL(the_workbench_settles), cmocka_unit_test(linears_are_those_of_torch)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
