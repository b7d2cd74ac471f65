// GPTQ, MLX, numbers, and recipes of other programs: what is written stands for what the plan says. The layouts are
// known from the packages that own them: loaders/stored is held to GPTQ's by test_stored, the reader below to MLX's by
// numbers of MLX itself (tools/fixtures/make_exports.py).
#include <glob.h>
#include <regex.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/json.h"
#include "engine/engine.h"
#include "export/recipe_texts.h"
#include "export/safetensors_writer.h"
#include "loaders/safetensors.h"
#include "tests/support/edited_model.h"
#include "tests/support/export_model.h"
#include "tests/support/fixture_model.h"
#include "tests/support/in_folder.h"
#include "tests/support/tiny_experts.h"

#define LLAMA "tests/fixtures/llama-gqa-llama3-bf16"
#define FAMILY "tests/fixtures/families/"
#define GPTQ_MODEL "tests/fixtures/stored/model-gptq"
#define PLAIN "\"activations\": {\"policy\": \"none\"}"
#define CHANNELS(bits) "\"weights\": {\"bits\": " #bits ", \"granularity\": \"channel\"}"
#define RECIPE(settings) "{\"quantdial_recipe\": 2, " settings "}"
#define LEAVE RECIPE(CHANNELS(4) ", " PLAIN ", \"ignore\": [\"*\"]")

static ExportResult write_to(const char *name, const char *model, const char *recipe, ExportOptions options) {
    char *out = path_join(folder, name);
    Engine *engine = export_engine(model, recipe);
    options.folder = out;
    const ExportResult result = export_written(engine, &options);
    engine_close(engine);
    free(out);
    return result;
}

static void refuse(const char *model, const char *recipe, ExportFormat format, const char *reason) {
    char *out = path_join(folder, "refused");
    Engine *engine = export_engine(model, recipe);
    const ExportOptions options = {.format = format, .folder = out};
    export_refused(engine, &options, reason);
    assert_false(file_exists(out));
    engine_close(engine);
    free(out);
}

static void open_out(const char *name, Checkpoint *checkpoint) {
    char *out = path_join(folder, name);
    Error err = {0};
    if (!checkpoint_open(out, checkpoint, &err)) fail_msg("%s", err.message);
    free(out);
}

static cJSON *config_of(const char *name, const char *file) {
    char *out = path_join(folder, name);
    size_t size;
    char *text = export_file(out, file, &size);
    cJSON *json = json_parse(text, size, NULL);
    assert_non_null(json);
    free(text);
    free(out);
    return json;
}

static const Tensor *need(const Checkpoint *checkpoint, const char *name, DType type) {
    const Tensor *tensor = checkpoint_find(checkpoint, name);
    if (!tensor) fail_msg("%s is missing", name);
    assert_int_equal(tensor->dtype, type);
    return tensor;
}

static float *floats_of(const Tensor *tensor) {
    const size_t n = (size_t)tensor_elements(tensor);
    float *out = array_new(n, sizeof *out);
    floats_from(tensor->dtype, tensor->data, n, out);
    return out;
}

// ---- A checkpoint of matrices alone ----

typedef struct Matrix {
    const char *name;
    uint64_t rows, columns;
} Matrix;

static const Matrix matrices[] = {
    {"model.layers.0.mlp.up_proj.weight", 8, 256},
    {"model.layers.1.mlp.up_proj.weight", 8, 96},
    {"model.layers.2.mlp.up_proj.weight", 8, 512},
    {"model.layers.3.mlp.up_proj.weight", 8, 64},
};
enum { MATRICES = sizeof matrices / sizeof *matrices };

// Codes −7…7 in every row, so that on the symmetric grid of 4 bits scales are 1 and numbers are codes.
static void add_numbers(Text *text, const Matrix *m) {
    for (uint64_t i = 0; i < m->rows * m->columns; i++) {
        const float value = (float)(int)((i % m->columns * 7 + i / m->columns * 3) % 15) - 7;
        text_add(text, (const char *)&value, sizeof value);
    }
}

static char *make_matrices_of(const Matrix *list, size_t count) {
    char *path = path_join(folder, "matrices");
    SafetensorsHead head;
    assert_int_equal(mkdir(path, 0777), 0);
    safetensors_head_begin(&head);
    for (size_t i = 0; i < count; i++)
        safetensors_head_add(&head, list[i].name, DTYPE_F32, 2, (uint64_t[]){list[i].rows, list[i].columns});
    assert_true(safetensors_head_end(&head, NULL));
    for (size_t i = 0; i < count; i++) add_numbers(&head.text, &list[i]);
    free(folder_write(path, "model.safetensors", head.text.data, head.text.length));
    folder_put_text(path, "config.json", "{\"model_type\": \"no-such-family\"}");
    text_free(&head.text);
    return path;
}

static char *make_matrices(void) { return make_matrices_of(matrices, MATRICES); }

// ---- GPTQ ----

static void gptq_codes_go_down_the_columns(void **state) {
    (void)state;
    char *model = make_matrices();
    Checkpoint checkpoint;
    write_to("out", model, RECIPE(CHANNELS(4) ", " PLAIN), (ExportOptions){.format = EXPORT_GPTQ, .verify = true});
    open_out("out", &checkpoint);
    const Tensor *codes = need(&checkpoint, "model.layers.3.mlp.up_proj.qweight", DTYPE_I32);
    const Tensor *zeros = need(&checkpoint, "model.layers.3.mlp.up_proj.qzeros", DTYPE_I32);
    const Tensor *scales = need(&checkpoint, "model.layers.3.mlp.up_proj.scales", DTYPE_F16);
    const Tensor *groups = need(&checkpoint, "model.layers.3.mlp.up_proj.g_idx", DTYPE_I32);
    assert_int_equal(codes->shape[0], 8);
    assert_int_equal(codes->shape[1], 8);
    const uint32_t *words = codes->data, *zero = zeros->data;
    for (uint32_t row = 0; row < 8; row++)
        for (uint32_t column = 0; column < 64; column++)
            assert_int_equal(words[column / 8 * 8 + row] >> column % 8 * 4 & 15, (column * 7 + row * 3) % 15 + 1);
    assert_int_equal(zeros->bytes, 4);
    assert_int_equal(*zero, 0x77777777);
    for (int i = 0; i < 8; i++) assert_int_equal(((const uint16_t *)scales->data)[i], 0x3C00);
    for (int i = 0; i < 64; i++) assert_int_equal(((const int32_t *)groups->data)[i], 0);
    checkpoint_close(&checkpoint);
    free(model);
}

// What a reader of the rules finds for a module: the bits, 0 for none; *group.
static int asked(const cJSON *config, const char *module, int *group) {
    const cJSON *rule;
    *group = cJSON_GetObjectItem(config, "group_size")->valueint;
    cJSON_ArrayForEach(rule, cJSON_GetObjectItem(config, "dynamic")) {
        char pattern[256];
        regex_t regex;
        regmatch_t match;
        size_t n = 0;
        for (const char *at = rule->string + 2; *at; at++) { // \d is not POSIX's
            n += (size_t)snprintf(pattern + n, sizeof pattern - n, strncmp(at, "\\d", 2) == 0 ? "[0-9]" : "%c", *at);
            at += strncmp(at, "\\d", 2) == 0;
        }
        assert_int_equal(regcomp(&regex, pattern, REG_EXTENDED), 0);
        const bool found = regexec(&regex, module, 1, &match, 0) == 0 && match.rm_so == 0;
        regfree(&regex);
        if (!found) continue;
        if (rule->string[0] == '-') return 0;
        *group = cJSON_GetObjectItem(rule, "group_size")->valueint;
        return cJSON_GetObjectItem(rule, "bits")->valueint;
    }
    return cJSON_GetObjectItem(config, "bits")->valueint;
}

static void assert_rule(const cJSON *config, const char *module, int bits, int group) {
    int found;
    if (asked(config, module, &found) != bits) fail_msg("%s", module);
    if (bits) assert_int_equal(found, group);
}

static void gptq_rules_name_every_module(void **state) {
    (void)state;
    const char *recipe =
        RECIPE("\"weights\": {\"bits\": 4, \"granularity\": \"group\", \"group_size\": 16}, " PLAIN
               ", \"ignore\": [\"lm_head\", \"*.1.mlp.down_proj\"], \"overrides\": ["
               "{\"match\": \"*.0.self_attn.[qkv]_proj\", \"weights\": {\"bits\": 8, \"granularity\": \"channel\"}}]");
    const ExportResult result = write_to("out", LLAMA, recipe, (ExportOptions){.format = EXPORT_GPTQ, .verify = true});
    assert_true(result.verified > 0);
    assert_string_equal(result.warning, "");
    cJSON *root = config_of("out", "config.json"), *copy = config_of("out", "quantize_config.json");
    const cJSON *config = cJSON_GetObjectItem(root, "quantization_config");
    assert_true(cJSON_Compare(config, copy, true));
    assert_string_equal(cJSON_GetObjectItem(config, "quant_method")->valuestring, "gptq");
    assert_rule(config, "model.layers.0.self_attn.q_proj", 8, -1);
    assert_rule(config, "model.layers.0.self_attn.qkv_proj", 8, -1); // as engines call the three
    assert_rule(config, "model.layers.1.self_attn.qkv_proj", 4, 16);
    assert_rule(config, "model.layers.1.self_attn.o_proj", 4, 16);
    assert_rule(config, "model.layers.0.mlp.gate_up_proj", 4, 16);
    assert_rule(config, "model.layers.0.mlp.down_proj", 4, 16);
    assert_rule(config, "model.layers.1.mlp.down_proj", 0, 0);
    assert_rule(config, "lm_head", 0, 0);
    cJSON_Delete(root);
    cJSON_Delete(copy);
}

// A tower has modules that are called as those of the text, and an engine may have other words before these.
static void gptq_leaves_what_sees_alone(void **state) {
    (void)state;
    write_to("out", FAMILY "llava", RECIPE(CHANNELS(8) ", " PLAIN ", \"ignore\": [\"*.1.mlp.down_proj\"]"),
             (ExportOptions){.format = EXPORT_GPTQ});
    cJSON *root = config_of("out", "config.json");
    const cJSON *config = cJSON_GetObjectItem(root, "quantization_config");
    assert_rule(config, "model.vision_tower.encoder.layers.0.self_attn.q_proj", 0, 0);
    assert_rule(config, "model.multi_modal_projector.linear_1", 0, 0);
    assert_rule(config, "model.language_model.layers.0.mlp.down_proj", 8, -1);
    assert_rule(config, "model.language_model.layers.1.mlp.down_proj", 0, 0);
    cJSON_Delete(root);
}

static void gptq_refuses_what_engines_do_not_read(void **state) {
    (void)state;
    refuse(LLAMA, RECIPE(CHANNELS(3) ", " PLAIN), EXPORT_GPTQ, "4 and 8 bits");
    refuse(LLAMA, RECIPE("\"weights\": {\"grid\": \"asymmetric\"}, " PLAIN), EXPORT_GPTQ, "--grid symmetric");
    refuse(LLAMA, RECIPE("\"weights\": {\"scale\": \"f32\"}, " PLAIN), EXPORT_GPTQ, "--scale f16");
    refuse(FAMILY "gpt2", RECIPE(CHANNELS(4) ", " PLAIN), EXPORT_GPTQ, "Conv1D");
    refuse(LLAMA,
           RECIPE(CHANNELS(4) ", " PLAIN ", \"overrides\": [{\"match\": \"*.0.*q_proj\", \"weights\": {\"bits\": 8}}]"),
           EXPORT_GPTQ, "must agree");
    refuse(FAMILY "mixtral", RECIPE(CHANNELS(8) ", " PLAIN ", \"ignore\": [\"lm_head\", \"*gate\", \"*w2\"]"),
           EXPORT_GPTQ, "experts of a layer");
}

static void formats_of_weights_say_that_inputs_are_lost(void **state) {
    (void)state;
    const char *recipe = RECIPE(CHANNELS(4) ", \"activations\": {\"policy\": \"token\"}");
    const ExportResult result = write_to("out", LLAMA, recipe, (ExportOptions){.format = EXPORT_GPTQ});
    assert_non_null(strstr(result.warning, "inputs stay in 16 bits"));
}

// ---- MLX ----

// Files of MLX promise no alignment.
static uint32_t word_of(const Tensor *tensor, size_t index) {
    uint32_t word;
    memcpy(&word, (const char *)tensor->data + index * sizeof word, sizeof word);
    return word;
}

static float float_of(const Tensor *tensor, size_t index) {
    float value;
    memcpy(&value, (const char *)tensor->data + index * sizeof value, sizeof value);
    return value;
}

// The numbers of a matrix by the definition of the format; owned by the caller.
static float *mlx_numbers(const Checkpoint *checkpoint, const char *module, size_t columns) {
    char name[128];
    const Tensor *parts[3];
    static const char *const endings[] = {"weight", "scales", "biases"};
    for (int i = 0; i < 3; i++) {
        snprintf(name, sizeof name, "%s.%s", module, endings[i]);
        parts[i] = need(checkpoint, name, i ? DTYPE_F32 : DTYPE_U32);
    }
    const size_t rows = (size_t)parts[0]->shape[0], words = (size_t)parts[0]->shape[1];
    const size_t bits = words * 32 / columns, groups = (size_t)parts[1]->shape[1];
    float *out = array_new(rows * columns, sizeof *out);
    for (size_t r = 0; r < rows; r++) {
        for (size_t c = 0; c < columns; c++) {
            const size_t bit = c * bits, g = r * groups + c * groups / columns, at = r * words + bit / 32;
            uint64_t word = word_of(parts[0], at);
            if (bit % 32 + bits > 32) word |= (uint64_t)word_of(parts[0], at + 1) << 32;
            const float code = (float)(word >> bit % 32 & ((1u << bits) - 1));
            out[r * columns + c] = code * float_of(parts[1], g) + float_of(parts[2], g);
        }
    }
    return out;
}

static void the_reader_of_mlx_reads_what_mlx_wrote(void **state) {
    (void)state;
    static const int bits[] = {2, 3, 4, 8};
    Checkpoint checkpoint;
    Error err = {0};
    if (!checkpoint_open("tests/fixtures/exports/mlx.safetensors", &checkpoint, &err)) fail_msg("%s", err.message);
    for (int b = 0; b < 4; b++) {
        for (int group = 32; group <= 128; group *= 2) {
            char module[32], name[64];
            snprintf(module, sizeof module, "w%d_%d", bits[b], group);
            snprintf(name, sizeof name, "%s.numbers", module);
            float *numbers = mlx_numbers(&checkpoint, module, 128);
            float *wanted = floats_of(need(&checkpoint, name, DTYPE_F32));
            assert_true(relative_difference(numbers, wanted, 256) < 1e-6f);
            free(numbers), free(wanted);
        }
    }
    checkpoint_close(&checkpoint);
}

#define OVERRIDE(match, settings) "{\"match\": \"" match "\", \"weights\": {" settings "}}"

// Against the same plan as numbers. Groups of 256 are written as two of 128, channels of 96 columns as three of 32.
static void mlx_stands_for_the_plan(void **state) {
    (void)state;
    static const char *const recipe = RECIPE(
        "\"weights\": {\"bits\": 4, \"granularity\": \"group\", \"group_size\": 256, \"scale\": \"f32\"}, " PLAIN
        ", \"overrides\": [" OVERRIDE("*.1.*", "\"bits\": 3") ", " OVERRIDE(
            "*.2.*", "\"bits\": 8, \"grid\": \"asymmetric\", \"group_size\": 64") ", " OVERRIDE("*.3.*",
                                                                                                "\"bits\": 2") "]");
    char *model = make_matrices();
    Checkpoint mlx, dense;
    write_to("mlx", model, recipe, (ExportOptions){.format = EXPORT_MLX, .verify = true});
    write_to("dense", model, recipe, (ExportOptions){.format = EXPORT_DENSE, .type = EXPORT_TYPE_F32});
    open_out("mlx", &mlx);
    open_out("dense", &dense);
    for (int i = 0; i < MATRICES; i++) {
        const size_t columns = (size_t)matrices[i].columns;
        char module[64];
        snprintf(module, sizeof module, "model.layers.%d.mlp.up_proj", i);
        float *numbers = mlx_numbers(&mlx, module, columns);
        const float *wanted = need(&dense, matrices[i].name, DTYPE_F32)->data;
        assert_true(relative_difference(numbers, wanted, 8 * columns) < 1e-6f);
        free(numbers);
    }
    cJSON *root = config_of("mlx", "config.json");
    const cJSON *said = cJSON_GetObjectItem(root, "quantization");
    assert_true(cJSON_Compare(said, cJSON_GetObjectItem(root, "quantization_config"), true));
    static const int sizes[][2] = {{4, 128}, {3, 32}, {8, 64}, {2, 64}};
    for (int i = 0; i < MATRICES; i++) {
        char module[64];
        snprintf(module, sizeof module, "model.layers.%d.mlp.up_proj", i);
        const cJSON *own = cJSON_GetObjectItem(said, module);
        assert_int_equal(cJSON_GetObjectItem(own ? own : said, "bits")->valueint, sizes[i][0]);
        assert_int_equal(cJSON_GetObjectItem(own ? own : said, "group_size")->valueint, sizes[i][1]);
    }
    cJSON_Delete(root);
    // What was written is a model: as numbers it is the dense one, and nothing is left of its bits and groups.
    char *out = path_join(folder, "mlx");
    Checkpoint again;
    write_to("again", out, LEAVE, (ExportOptions){.format = EXPORT_DENSE, .type = EXPORT_TYPE_F32});
    open_out("again", &again);
    for (int i = 0; i < MATRICES; i++) {
        if (i == 2) continue; // zero points, times scales, are rounded
        const Tensor *a = need(&again, matrices[i].name, DTYPE_F32), *b = need(&dense, matrices[i].name, DTYPE_F32);
        assert_memory_equal(a->data, b->data, b->bytes);
    }
    root = config_of("again", "config.json");
    assert_null(cJSON_GetObjectItem(root, "quantization"));
    cJSON_Delete(root);
    checkpoint_close(&again);
    checkpoint_close(&mlx);
    checkpoint_close(&dense);
    free(out), free(model);
}

// As the file has it, before the loaders take it apart.
static void expect_shape(const TensorFile *file, const char *name, DType type, const uint64_t *shape) {
    for (size_t i = 0; i < file->tensor_count; i++) {
        const Tensor *t = &file->tensors[i];
        if (strcmp(t->name, name) != 0) continue;
        assert_int_equal(t->dtype, type);
        assert_int_equal(t->rank, 3);
        assert_memory_equal(t->shape, shape, 3 * sizeof *shape);
        return;
    }
    fail_msg("%s is missing", name);
}

static void expect_size(const cJSON *said, const char *module, int bits, int group) {
    const cJSON *own = cJSON_GetObjectItem(said, module);
    assert_int_equal(cJSON_GetObjectItem(own ? own : said, "bits")->valueint, bits);
    assert_int_equal(cJSON_GetObjectItem(own ? own : said, "group_size")->valueint, group);
}

static float *logits_of(const char *name, size_t *count) {
    static const int32_t ids[] = {1, 7, 2, 5, 0, 3};
    char *path = path_join(folder, name);
    FixtureModel model;
    fixture_model_open(path, PRECISION_F32, &model);
    float *logits = fixture_logits(model.base, ids, 6);
    *count = 6 * (size_t)model.config.vocab;
    fixture_model_close(&model);
    free(path);
    return logits;
}

// One module for each projection, also where it stays as it is. Read again they are experts one by one.
static void mlx_stacks_experts(void **state) {
    (void)state;
    static const char recipe[] =
        RECIPE("\"weights\": {\"bits\": 4, \"granularity\": \"group\", \"group_size\": 32, \"scale\": \"f32\"}, " PLAIN
               ", \"ignore\": [\"*.w3\"], \"overrides\": [" OVERRIDE("*.w2", "\"bits\": 8, \"group_size\": 64") "]");
    char *model = tiny_experts_put(folder), *written = path_join(folder, "mlx/model.safetensors");
    write_to("mlx", model, recipe, (ExportOptions){.format = EXPORT_MLX, .verify = true});
    write_to("dense", model, recipe, (ExportOptions){.format = EXPORT_DENSE, .type = EXPORT_TYPE_F32});
    TensorFile file;
    assert_true(safetensors_open(written, &file, NULL));
#define STACK "model.layers.0.block_sparse_moe.switch_mlp."
    expect_shape(&file, STACK "gate_proj.weight", DTYPE_U32, (uint64_t[]){TINY_EXPERTS, TINY_FFN, 4});
    expect_shape(&file, STACK "gate_proj.scales", DTYPE_F32, (uint64_t[]){TINY_EXPERTS, TINY_FFN, 1});
    expect_shape(&file, STACK "down_proj.weight", DTYPE_U32, (uint64_t[]){TINY_EXPERTS, TINY_HIDDEN, 16});
    expect_shape(&file, STACK "down_proj.biases", DTYPE_F32, (uint64_t[]){TINY_EXPERTS, TINY_HIDDEN, 1});
    expect_shape(&file, STACK "up_proj.weight", DTYPE_F32, (uint64_t[]){TINY_EXPERTS, TINY_FFN, TINY_HIDDEN});
    tensor_file_close(&file);
    cJSON *root = config_of("mlx", "config.json");
    expect_size(cJSON_GetObjectItem(root, "quantization"), STACK "gate_proj", 4, 32);
    expect_size(cJSON_GetObjectItem(root, "quantization"), STACK "down_proj", 8, 64);
    cJSON_Delete(root);
    size_t n, m;
    float *a = logits_of("mlx", &n), *b = logits_of("dense", &m);
    assert_int_equal(n, m);
    assert_memory_equal(a, b, n * sizeof *a);
    free(a), free(b);
    refuse(model,
           RECIPE("\"weights\": {\"granularity\": \"channel\"}, " PLAIN
                  ", \"overrides\": [" OVERRIDE("*.1.w2", "\"scale\": \"f32\"") "]"),
           EXPORT_MLX, "experts of a layer");
    refuse(FAMILY "ernie4-5-moe", RECIPE(CHANNELS(4) ", " PLAIN), EXPORT_MLX, "experts of this family are not written");
    free(model), free(written);
}

// transformers 5 has put these elsewhere, where mlx-lm does not look; what is there stays.
static void config_of_mlx_says_what_it_looks_for(void **state) {
    (void)state;
    write_to("moe", FAMILY "qwen3-moe", LEAVE, (ExportOptions){.format = EXPORT_MLX});
    cJSON *root = config_of("moe", "config.json");
    assert_int_equal(cJSON_GetObjectItem(root, "num_experts")->valueint, 6);
    assert_true(cJSON_GetObjectItem(root, "rope_theta")->valuedouble == 10000);
    assert_non_null(cJSON_GetObjectItem(root, "rope_parameters"));
    assert_null(cJSON_GetObjectItem(root, "rope_scaling"));
    cJSON_Delete(root);
    write_to("gemma", FAMILY "gemma3-text", LEAVE, (ExportOptions){.format = EXPORT_MLX});
    root = config_of("gemma", "config.json");
    const cJSON *rope = cJSON_GetObjectItem(root, "rope_parameters");
    const cJSON *full = cJSON_GetObjectItem(rope, "full_attention");
    const cJSON *windowed = cJSON_GetObjectItem(rope, "sliding_attention");
    assert_true(cJSON_Compare(cJSON_GetObjectItem(root, "rope_theta"), cJSON_GetObjectItem(full, "rope_theta"), true));
    assert_true(cJSON_Compare(cJSON_GetObjectItem(root, "rope_local_base_freq"),
                              cJSON_GetObjectItem(windowed, "rope_theta"), true));
    assert_true(cJSON_Compare(cJSON_GetObjectItem(root, "rope_scaling"), full, true));
    cJSON_Delete(root);
    model_copy(folder, FAMILY "gpt-neox", "config.json");
    model_copy(folder, FAMILY "gpt-neox", "model.safetensors");
    model_edit(folder, "config.json", "\"rotary_emb_base\": 10000.0",
               "\"rope_parameters\": {\"rope_theta\": 500.0, \"partial_rotary_factor\": 0.25}");
    model_edit(folder, "config.json", "\"rotary_pct\": 0.25,", "");
    write_to("neox", folder, LEAVE, (ExportOptions){.format = EXPORT_MLX});
    root = config_of("neox", "config.json");
    assert_true(cJSON_GetObjectItem(root, "rotary_emb_base")->valuedouble == 500);
    assert_true(cJSON_GetObjectItem(root, "rotary_pct")->valuedouble == 0.25);
    cJSON_Delete(root);
}

static void mlx_refuses_what_it_has_not(void **state) {
    (void)state;
    char *model = make_matrices();
    refuse(model, RECIPE("\"weights\": {\"granularity\": \"group\", \"group_size\": 16}, " PLAIN), EXPORT_MLX,
           "32, 64 and 128");
    refuse(model, RECIPE("\"weights\": {\"grid\": \"log2\"}, " PLAIN), EXPORT_MLX, "--grid symmetric");
    refuse(LLAMA, RECIPE(CHANNELS(4) ", " PLAIN), EXPORT_MLX, "multiple of 32");
    free(model);
}

// ---- Numbers ----

// A model that is stored as GPTQ: its matrices under their names, and no word of quantization.
static void what_is_stored_becomes_numbers(void **state) {
    (void)state;
    write_to("out", GPTQ_MODEL, LEAVE, (ExportOptions){.format = EXPORT_DENSE, .verify = true});
    cJSON *config = config_of("out", "config.json");
    assert_null(cJSON_GetObjectItem(config, "quantization_config"));
    cJSON_Delete(config);
    Engine *engine = export_engine(GPTQ_MODEL, LEAVE);
    Checkpoint out;
    open_out("out", &out);
    int computed = 0;
    for (int i = 0; i < engine_structure(engine)->linear_count; i++) {
        const Linear *linear = &engine_structure(engine)->linears[i];
        char name[128];
        snprintf(name, sizeof name, "%s.weight", linear->name);
        if (!linear->weight->made) continue;
        assert_true(tensor_hold(linear->weight, NULL));
        const Tensor *tensor = need(&out, name, structure_dtype(engine_structure(engine)));
        float *numbers = floats_of(tensor), *wanted = floats_of(linear->weight);
        const size_t n = (size_t)tensor_elements(tensor);
        for (size_t k = 0; k < n; k++) assert_true(numbers[k] == float_rounded(tensor->dtype, wanted[k]));
        tensor_release(linear->weight);
        free(numbers), free(wanted);
        computed++;
    }
    assert_true(computed > 0);
    checkpoint_close(&out);
    engine_close(engine);
}

// Another engine that reads the numbers computes what the quantized model computes; Conv1D keeps its layout.
static void numbers_make_the_quantized_model(void **state) {
    (void)state;
    static const char *const models[] = {FAMILY "gpt2", FAMILY "qwen3-tied", FAMILY "mixtral",
                                         FAMILY "gpt-oss-mxfp4"}; // biases of experts are rows of one tensor
    int32_t ids[] = {1, 5, 9, 2, 7, 3};
    for (size_t m = 0; m < sizeof models / sizeof *models; m++) {
        char name[16];
        snprintf(name, sizeof name, "out-%zu", m);
        const char *recipe = RECIPE(CHANNELS(4) ", " PLAIN ", \"ignore\": []");
        write_to(name, models[m], recipe,
                 (ExportOptions){.format = EXPORT_DENSE, .type = EXPORT_TYPE_F32, .verify = true});
        Engine *engine = export_engine(models[m], recipe);
        Error err = {0};
        if (!engine_follow(engine, engine_plan(engine), NULL, NULL, &err)) fail_msg("%s", err.message);
        FixtureModel written;
        char *out = path_join(folder, name);
        fixture_model_open(out, PRECISION_F32, &written);
        float *theirs = fixture_logits(written.base, ids, 6), *ours = fixture_logits(engine_quantized(engine), ids, 6);
        assert_true(relative_difference(theirs, ours, 6 * (size_t)written.config.vocab) < 1e-5f);
        free(theirs), free(ours), free(out);
        fixture_model_close(&written);
        engine_close(engine);
    }
}

// Two experts of 8 × 32 as blocks of MXFP4 become one tensor [2, 32, 8].
static void experts_in_blocks_stay_one_tensor(void **state) {
    (void)state;
    static const float magnitudes[] = {0, 0.5f, 1, 1.5f, 2, 3, 4, 6};
    char *path = path_join(folder, "blocks");
    SafetensorsHead head;
    uint8_t blocks[2 * 8 * 16], scales[2 * 8];
    for (size_t i = 0; i < sizeof blocks; i++) blocks[i] = (uint8_t)(i * 37 + i / 16);
    for (size_t i = 0; i < sizeof scales; i++) scales[i] = (uint8_t)(120 + i);
    assert_int_equal(mkdir(path, 0777), 0);
    safetensors_head_begin(&head);
    safetensors_head_add(&head, "model.layers.0.mlp.experts.gate_up_proj_blocks", DTYPE_U8, 4,
                         (uint64_t[]){2, 8, 1, 16});
    safetensors_head_add(&head, "model.layers.0.mlp.experts.gate_up_proj_scales", DTYPE_U8, 3, (uint64_t[]){2, 8, 1});
    assert_true(safetensors_head_end(&head, NULL));
    text_add(&head.text, (const char *)blocks, sizeof blocks);
    text_add(&head.text, (const char *)scales, sizeof scales);
    free(folder_write(path, "model.safetensors", head.text.data, head.text.length));
    folder_put_text(path, "config.json", "{\"model_type\": \"gpt_oss\"}");
    text_free(&head.text);
    write_to("out", path, LEAVE, (ExportOptions){.format = EXPORT_DENSE});
    Checkpoint out;
    open_out("out", &out);
    const Tensor *tensor = need(&out, "model.layers.0.mlp.experts.gate_up_proj", DTYPE_BF16);
    assert_int_equal(out.tensor_count, 1);
    assert_int_equal(tensor->shape[1], 32);
    float *numbers = floats_of(tensor);
    for (size_t e = 0; e < 2; e++)
        for (size_t o = 0; o < 8; o++)
            for (size_t i = 0; i < 32; i++) {
                const unsigned code = blocks[(e * 8 + o) * 16 + i / 2] >> i % 2 * 4 & 15;
                const float size = magnitudes[code & 7] / (float)(1 << (127 - scales[e * 8 + o] + 8)) * 256;
                assert_true(numbers[(e * 32 + i) * 8 + o] == (code & 8 ? -size : size));
            }
    free(numbers);
    checkpoint_close(&out);
    // Beside codes of another format there is no place for them.
    static const ExportFormat others[] = {EXPORT_COMPRESSED_TENSORS, EXPORT_MLX, EXPORT_GPTQ};
    char *refused = path_join(folder, "refused");
    Engine *left = export_engine(path, LEAVE), *all = export_engine(path, RECIPE(CHANNELS(4) ", " PLAIN));
    for (size_t i = 0; i < 3; i++) {
        const ExportOptions options = {.folder = refused, .format = others[i]};
        export_refused(left, &options, "is an expert stored as MXFP4 in one tensor with others, which the format ");
        export_refused(all, &options, "is an expert in one tensor with others, which cannot be split");
    }
    assert_false(folder_exists(refused));
    engine_close(left), engine_close(all);
    free(refused);
    free(path);
}

// ---- Recipes of other programs ----

static char *recipe_for(RecipeProgram program, const char *model, const char *recipe) {
    Engine *engine = export_engine(model, recipe);
    Text text = {0};
    Error err = {0};
    if (!recipe_text(program, engine_structure(engine), engine_plan(engine), &text, &err)) fail_msg("%s", err.message);
    engine_close(engine);
    return text.data;
}

static void assert_says(const char *text, const char *part) {
    if (!strstr(text, part)) fail_msg("no \"%s\" in:\n%s", part, text);
}

static void llm_compressor_gets_schemes_and_equalization(void **state) {
    (void)state;
    char *text =
        recipe_for(RECIPE_LLM_COMPRESSOR, LLAMA,
                   RECIPE(CHANNELS(8) ", \"activations\": {\"policy\": \"fptq\", \"v0\": 0.001, \"v1\": 100000, "
                                      "\"fold\": \"all\"}, \"cache\": {\"bits\": 8}"));
    assert_says(text, "    SmoothQuantModifier:\n      algorithm: log_equalization\n");
    assert_says(text, "[[\"model.layers.1.self_attn.q_proj\", \"model.layers.1.self_attn.k_proj\", "
                      "\"model.layers.1.self_attn.v_proj\"], \"model.layers.1.input_layernorm\"]");
    assert_says(text, "\"ignore\": [\"lm_head\"]");
    assert_says(text, "\"re:(.*\\\\.)?layers\\\\.\\\\d+\\\\.mlp\\\\.down_proj$\"");
    assert_says(text, "# 4 linears: it equalizes only what norms give");
    assert_says(text, "# The cache of 8 bits");
    free(text);
    text = recipe_for(RECIPE_LLM_COMPRESSOR, LLAMA,
                      RECIPE("\"weights\": {\"grid\": \"log2\", \"granularity\": \"channel\"}, " PLAIN));
    assert_says(text, "# 14 linears: it has no such grid");
    assert_null(strstr(text, "SmoothQuant"));
    free(text);
}

// vLLM asks for the scheme of a v that is not there (Gemma 4), and refuses the model when it finds none, or another.
static void a_missing_v_is_named_as_k_is(void **state) {
    (void)state;
    static const Matrix layers[] = {
        {"model.layers.0.self_attn.q_proj.weight", 8, 64}, {"model.layers.0.self_attn.k_proj.weight", 8, 64},
        {"model.layers.0.self_attn.v_proj.weight", 8, 64}, {"model.layers.1.self_attn.q_proj.weight", 8, 64},
        {"model.layers.1.self_attn.k_proj.weight", 8, 64}, {"model.layers.2.self_attn.k_proj.weight", 8, 64},
    };
    char *path = make_matrices_of(layers, sizeof layers / sizeof *layers);
    write_to("left", path, RECIPE(CHANNELS(4) ", " PLAIN ", \"ignore\": [\"*.1.*\"]"), (ExportOptions){0});
    cJSON *config = config_of("left", "config.json");
    const cJSON *quantization = cJSON_GetObjectItem(config, "quantization_config");
    char *ignored = cJSON_PrintUnformatted(cJSON_GetObjectItem(quantization, "ignore"));
    assert_string_equal(ignored, "[\"re:(.*\\\\.)?layers\\\\.1\\\\.self_attn\\\\.k_proj$\","
                                 "\"re:(.*\\\\.)?layers\\\\.1\\\\.self_attn\\\\.v_proj$\","
                                 "\"re:(.*\\\\.)?layers\\\\.1\\\\.self_attn\\\\.q_proj$\"]");
    free(ignored);
    char *groups = cJSON_PrintUnformatted(cJSON_GetObjectItem(quantization, "config_groups"));
    assert_null(strstr(groups, "layers.1.self_attn.v_proj"));
    assert_null(strstr(groups, "layers.2.self_attn.v_proj")); // no set without q
    free(groups);
    cJSON_Delete(config);
    free(path);
}

// Nor are a k and a v there where a layer reads those of another.
static void keys_of_others_are_named_as_q_is(void **state) {
    (void)state;
    write_to("shared", "tests/fixtures/families/gemma4-shared",
             RECIPE(CHANNELS(4) ", " PLAIN ", \"ignore\": [\"*.3.self_attn*\", \"*per_layer*\", \"*mlp*\"]"),
             (ExportOptions){0});
    cJSON *config = config_of("shared", "config.json");
    const cJSON *quantization = cJSON_GetObjectItem(config, "quantization_config");
    char *ignored = cJSON_PrintUnformatted(cJSON_GetObjectItem(quantization, "ignore"));
    assert_says(ignored, "layers\\\\.3\\\\.self_attn\\\\.k_proj");
    assert_says(ignored, "layers\\\\.3\\\\.self_attn\\\\.v_proj");
    assert_null(strstr(ignored, ".2\\\\."));
    free(ignored);
    cJSON_Delete(config);
}

static void llama_quantize_gets_a_type_for_each_tensor(void **state) {
    (void)state;
    char *text = recipe_for(RECIPE_LLAMA_QUANTIZE, LLAMA,
                            RECIPE(CHANNELS(4) ", " PLAIN ", \"ignore\": [\"lm_head\", \"*.0.mlp.down_proj\"], "
                                               "\"overrides\": [" OVERRIDE("*o_proj", "\"bits\": 8") "]"));
    assert_says(text, "llama-quantize --pure \\\n  --token-embedding-type bf16 \\\n");
    assert_says(text, "  --tensor-type 'blk\\.(0|1)\\.attn_output\\.weight=q8_0' \\\n");
    assert_says(text, "  --tensor-type 'blk\\.(0)\\.ffn_down\\.weight=bf16' \\\n");
    assert_says(text, "  --tensor-type 'blk\\.(1)\\.ffn_down\\.weight=q4_0' \\\n");
    assert_says(text, "its groups are of 32 columns");
    free(text);
}

// ---- What is said before ----

static uint64_t bytes_on_disk(const char *out, const char *pattern) {
    char *path = path_join(out, pattern);
    glob_t found;
    struct stat info;
    assert_int_equal(glob(path, 0, NULL, &found), 0);
    assert_int_equal(found.gl_pathc, 1);
    assert_int_equal(stat(found.gl_pathv[0], &info), 0);
    globfree(&found);
    free(path);
    return (uint64_t)info.st_size;
}

#define GPTQ_SAID \
    "4.72 bits/weight there, by the recipe 4.50: each group has a zero point, and each column the number of its group"

// A scale of 16 bits for each 32 weights by the plan: 4.5 bits. Each format has more to it, or not.
static void a_forecast_is_of_the_very_file(void **state) {
    (void)state;
    static const char *const said[EXPORT_FORMAT_COUNT] = {
        [EXPORT_COMPRESSED_TENSORS] = "", // of matrices of this size, shapes are less than a hundredth
        [EXPORT_GGUF] = "",
        [EXPORT_MLX] = "5.00 bits/weight there, by the recipe 4.50: each group has a scale and an offset of 16 bits",
        [EXPORT_GPTQ] = GPTQ_SAID,
        [EXPORT_DENSE] = "16.00 bits/weight there, by the recipe 4.50: it holds the numbers that codes stand for"};
    const char *recipe = RECIPE("\"weights\": {\"bits\": 4, \"granularity\": \"group\", \"group_size\": 32}, " PLAIN);
    for (int format = 0; format < EXPORT_FORMAT_COUNT; format++) {
        const bool gguf = format == EXPORT_GGUF;
        char *out = path_join(folder, export_format_names[format]), text[256];
        Engine *engine = export_engine("samples/storyteller", recipe);
        const ExportOptions options = {.format = (ExportFormat)format, .folder = out};
        ExportForecast forecast;
        Error err = {0};
        if (!engine_forecast(engine, &options, &forecast, &err)) fail_msg("%s", err.message);
        export_written(engine, &options);
        assert_int_equal(forecast.bytes, bytes_on_disk(out, gguf ? "*.gguf" : "*.safetensors"));
        export_bits_text(&forecast, engine_plan(engine), text, sizeof text);
        assert_string_equal(text, said[format]);
        engine_close(engine);
        free(out);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        IN_FOLDER(a_forecast_is_of_the_very_file),
        IN_FOLDER(gptq_codes_go_down_the_columns),
        IN_FOLDER(gptq_rules_name_every_module),
        IN_FOLDER(gptq_leaves_what_sees_alone),
        IN_FOLDER(gptq_refuses_what_engines_do_not_read),
        IN_FOLDER(formats_of_weights_say_that_inputs_are_lost),
        IN_FOLDER(the_reader_of_mlx_reads_what_mlx_wrote),
        IN_FOLDER(mlx_stands_for_the_plan),
        IN_FOLDER(mlx_stacks_experts),
        IN_FOLDER(config_of_mlx_says_what_it_looks_for),
        IN_FOLDER(mlx_refuses_what_it_has_not),
        IN_FOLDER(what_is_stored_becomes_numbers),
        IN_FOLDER(numbers_make_the_quantized_model),
        IN_FOLDER(experts_in_blocks_stay_one_tensor),
        IN_FOLDER(a_missing_v_is_named_as_k_is),
        IN_FOLDER(keys_of_others_are_named_as_q_is),
        IN_FOLDER(llm_compressor_gets_schemes_and_equalization),
        IN_FOLDER(llama_quantize_gets_a_type_for_each_tensor),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
