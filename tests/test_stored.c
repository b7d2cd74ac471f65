// Weights that are quantized already, against what the packages that write them say they stand for
// (tools/fixtures/make_stored.py), and parts that do not fit together.
#include <inttypes.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/array.h"
#include "base/file.h"
#include "base/json.h"
#include "loaders/structure.h"
#include "tests/support/in_folder.h"
#include "tests/support/program.h"

#define FIXTURES "tests/fixtures/stored/"

static void open_set(const char *path, Checkpoint *checkpoint, StoredSet **set) {
    Error err = {0};
    *set = NULL;
    if (!checkpoint_open(path, checkpoint, &err) || !stored_open(checkpoint, set, &err)) fail_msg("%s", err.message);
    assert_non_null(*set);
}

static void close_set(Checkpoint *checkpoint, StoredSet *set) {
    stored_close(set);
    checkpoint_close(checkpoint);
}

static cJSON *read_texts(const char *path) {
    char *file = path_join(path, "stored.json"), *text;
    size_t length;
    Error err = {0};
    if (!file_read(file, 1 << 20, &text, &length, &err)) fail_msg("%s", err.message);
    cJSON *json = json_parse(text, length, &err);
    free(text);
    free(file);
    assert_non_null(json);
    return json;
}

static void compare(StoredSet *set, const Tensor *expected, const char *text) {
    const Tensor *tensor;
    Error err = {0};
    if (!stored_find(set, expected->name, &tensor, &err)) fail_msg("%s", err.message);
    if (!tensor) fail_msg("%s is not found", expected->name);
    assert_non_null(tensor->stored);
    if (strcmp(tensor->stored, text) != 0) fail_msg("%s: \"%s\", not \"%s\"", expected->name, tensor->stored, text);
    assert_int_equal(tensor->dtype, expected->dtype);
    assert_int_equal(tensor->rank, expected->rank);
    assert_memory_equal(tensor->shape, expected->shape, (size_t)tensor->rank * sizeof *tensor->shape);
    assert_int_equal(tensor->bytes, expected->bytes);
    if (!tensor_hold(tensor, &err)) fail_msg("%s", err.message);
    if (memcmp(tensor->data, expected->data, tensor->bytes) != 0) fail_msg("%s: other numbers", expected->name);
    tensor_release(tensor);
}

// Every matrix of a folder, bit for bit.
static void compare_folder(const char *name, const char *warning) {
    char path[128], numbers[160];
    snprintf(path, sizeof path, FIXTURES "%s", name);
    snprintf(numbers, sizeof numbers, "%s/expected.safetensors", path);
    Checkpoint checkpoint, expected;
    StoredSet *set;
    Error err = {0};
    open_set(path, &checkpoint, &set);
    if (!checkpoint_open(numbers, &expected, &err)) fail_msg("%s", err.message);
    cJSON *texts = read_texts(path);
    assert_true(expected.tensor_count > 0);
    for (size_t i = 0; i < expected.tensor_count; i++) {
        const Tensor *tensor = expected.by_name[i];
        compare(set, tensor, cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(texts, tensor->name)));
    }
    if (!strstr(stored_warning(set), warning) || (!*warning && *stored_warning(set)))
        fail_msg("warning \"%s\", not \"%s\"", stored_warning(set), warning);
    cJSON_Delete(texts);
    checkpoint_close(&expected);
    close_set(&checkpoint, set);
}

static void gptq(void **state) {
    (void)state;
    compare_folder("gptq-v1", "");
    compare_folder("gptq-v2", "");
    compare_folder("gptq-ambiguous", "1 of the GPTQ matrices have zero points");
}

static void awq(void **state) {
    (void)state;
    compare_folder("awq", "");
}

static void packed(void **state) {
    (void)state;
    compare_folder("ct-packed", "");
    compare_folder("ct-packed-older", "");
}

static void bytes(void **state) {
    (void)state;
    compare_folder("ct-int", "");
    compare_folder("ct-float", "");
    compare_folder("fp8", "");
    compare_folder("f64", "");
}

// Single modules have sizes of their own in config.json. Numbers of MLX itself, in floats
// (tools/fixtures/make_exports.py).
static void mlx(void **state) {
    (void)state;
    static const int bits[] = {2, 3, 4, 8};
    Checkpoint checkpoint;
    StoredSet *set;
    Error err = {0};
    Text config = {0};
    size_t size;
    char *data, module[32], name[48];
    assert_true(file_read("tests/fixtures/exports/mlx.safetensors", 1 << 20, &data, &size, &err));
    free(folder_write(folder, "model.safetensors", data, size));
    free(data);
    text_addf(&config, "{\"quantization\": {\"bits\": 4, \"group_size\": 64, \"mode\": \"affine\"");
    for (int i = 0; i < 12; i++)
        if (i != 7)
            text_addf(&config, ", \"w%d_%d\": {\"bits\": %d, \"group_size\": %d}", bits[i / 3], 32 << i % 3,
                      bits[i / 3], 32 << i % 3);
    text_addf(&config, "}}");
    folder_put_text(folder, "config.json", config.data);
    text_free(&config);
    open_set(folder, &checkpoint, &set);
    for (int i = 0; i < 12; i++) {
        const Tensor *tensor, *numbers;
        char stored[32];
        snprintf(module, sizeof module, "w%d_%d", bits[i / 3], 32 << i % 3);
        snprintf(name, sizeof name, "%s.weight", module);
        snprintf(stored, sizeof stored, "MLX %d-bit g%d", bits[i / 3], 32 << i % 3);
        if (!stored_find(set, name, &tensor, &err) || !tensor_hold(tensor, &err)) fail_msg("%s", err.message);
        assert_string_equal(tensor->stored, stored);
        snprintf(name, sizeof name, "%s.numbers", module);
        numbers = checkpoint_find(&checkpoint, name);
        assert_int_equal(tensor->bytes, numbers->bytes);
        const float *made = tensor->data;
        for (size_t k = 0; k < tensor->bytes / sizeof(float); k++) {
            float wanted; // MLX promises no alignment
            memcpy(&wanted, (const char *)numbers->data + k * sizeof wanted, sizeof wanted);
            assert_true(fabsf(made[k] - wanted) < 1e-6f);
        }
        tensor_release(tensor);
    }
    // Parts of a matrix are no tensors of their own; other scales and biases are.
    assert_true(stored_is_part(&checkpoint, checkpoint_find(&checkpoint, "w2_32.biases"), name, sizeof name));
    assert_false(stored_is_part(&checkpoint, checkpoint_find(&checkpoint, "w2_32.numbers"), name, sizeof name));
    close_set(&checkpoint, set);
}

// ---- Holding ----

static void holding(void **state) {
    (void)state;
    Checkpoint checkpoint;
    StoredSet *set;
    const Tensor *tensor, *plain, *missing;
    Error err = {0};
    open_set(FIXTURES "awq", &checkpoint, &set);
    assert_true(stored_find(set, "grouped.weight", &tensor, &err));
    assert_true(tensor_hold(tensor, &err) && tensor_hold(tensor, &err));
    uint16_t first;
    memcpy(&first, tensor->data, sizeof first);
    tensor_release(tensor);
    assert_memory_equal(tensor->data, &first, sizeof first); // still held once
    tensor_release(tensor);
    tensor_release(tensor); // one too many is harmless
    assert_true(tensor_hold(tensor, &err));
    assert_memory_equal(tensor->data, &first, sizeof first); // made again
    assert_true(tensor->stored_bytes < tensor->bytes && tensor_stored_bytes(tensor) == tensor->stored_bytes);
    assert_true(stored_find(set, "grouped.scales", &plain, &err) && plain && !plain->stored);
    assert_true(tensor_hold(plain, &err));
    tensor_release(plain);
    tensor_drop_pages(plain);
    tensor_drop_pages(tensor);
    assert_true(stored_find(set, "other.weight", &missing, &err) && !missing);
    assert_true(stored_has(&checkpoint, "grouped.weight") && !stored_has(&checkpoint, "other.weight"));
    assert_false(stored_has(&checkpoint, "grouped") || stored_has(&checkpoint, ""));
    close_set(&checkpoint, set); // while it is held
}

// Whether a made tensor has its memory: until then its addresses are only reserved, and cannot be read.
static bool is_made(const Tensor *tensor) {
    FILE *maps = fopen("/proc/self/maps", "r");
    char line[1024];
    bool readable = false;
    assert_non_null(maps);
    while (fgets(line, sizeof line, maps)) {
        uintptr_t begin, end;
        char mode;
        if (sscanf(line, "%" SCNxPTR "-%" SCNxPTR " %c", &begin, &end, &mode) != 3) continue;
        if ((uintptr_t)tensor->data >= begin && (uintptr_t)tensor->data < end) readable = mode == 'r';
    }
    fclose(maps);
    return readable;
}

static void what_is_needed_again_is_kept_while_there_is_room(void **state) {
    (void)state;
    Checkpoint checkpoint;
    StoredSet *set;
    const Tensor *first = NULL, *second = NULL;
    Error err = {0};
    open_set(FIXTURES "gptq-v2", &checkpoint, &set);
    assert_true(stored_find(set, "any4.weight", &first, &err) && stored_find(set, "any8.weight", &second, &err));
    assert_true(first && second);
    stored_keep_at_most(set, first->bytes + second->bytes - 1);
    assert_false(is_made(first));
    assert_true(tensor_hold(first, &err) && tensor_hold(second, &err));
    tensor_keep(first);
    tensor_keep(second); // no room for this one
    assert_true(is_made(first) && !is_made(second));
    assert_true(tensor_hold(first, &err));
    tensor_release(first); // kept all the same
    assert_true(is_made(first));
    stored_keep_at_most(set, first->bytes + second->bytes);
    assert_true(tensor_hold(second, &err));
    tensor_keep(second);
    assert_true(is_made(second));
    close_set(&checkpoint, set);
}

// ---- A whole model ----

static char *logits_of(const char *model, const char *more, size_t *size) {
    char *path = path_join(folder, "logits.safetensors"), *data = NULL;
    Error err = {0};
    Ran ran = program_run((const char *const[]){"logits", "--quiet", "--no-cache", "--backend", "cpu", "--ids",
                                                "5,1,60,7,7,0,33", "--output", path, more, model, NULL},
                          NULL, NULL);
    if (ran.status != 0) fail_msg("exit status %d: %s", ran.status, ran.err);
    if (!file_read(path, 1 << 20, &data, size, &err)) fail_msg("%s", err.message);
    ran_free(&ran);
    free(path);
    return data;
}

static void stored_and_plain_models_are_alike(void **state) {
    (void)state;
    size_t sizes[2];
    char *stored = logits_of(FIXTURES "model-gptq", "--base", &sizes[0]);
    char *plain = logits_of(FIXTURES "model-plain", "--base", &sizes[1]);
    assert_int_equal(sizes[0], sizes[1]);
    assert_memory_equal(stored, plain, sizes[0]);
    free(stored);
    free(plain);
}

static cJSON *inspected(const char *model) {
    Ran ran = program_run((const char *const[]){"inspect", "--quiet", "--no-cache", "--json", model, NULL}, NULL, NULL);
    if (ran.status != 0) fail_msg("exit status %d: %s", ran.status, ran.err);
    cJSON *json = cJSON_Parse(ran.out);
    assert_non_null(json);
    ran_free(&ran);
    return json;
}

// Apart from how it is stored, everything that is said of both is the same.
static void inspect_tells_how_weights_are_stored(void **state) {
    (void)state;
    cJSON *stored = inspected(FIXTURES "model-gptq"), *plain = inspected(FIXTURES "model-plain");
    cJSON *linear, *twin = cJSON_GetObjectItem(plain, "linears")->child;
    const char *model = cJSON_GetStringValue(cJSON_GetObjectItem(cJSON_GetObjectItem(stored, "model"), "stored"));
    assert_string_equal(model, "GPTQ 4-bit g32");
    int count = 0;
    cJSON_ArrayForEach(linear, cJSON_GetObjectItem(stored, "linears")) {
        cJSON *text = cJSON_DetachItemFromObject(linear, "stored");
        bool head = strcmp(cJSON_GetStringValue(cJSON_GetObjectItem(linear, "role")), "head") == 0;
        if (head)
            assert_true(cJSON_IsNull(text));
        else
            assert_string_equal(cJSON_GetStringValue(text), "GPTQ 4-bit g32");
        cJSON_Delete(text);
        cJSON_DeleteItemFromObject(twin, "stored");
        assert_true(cJSON_Compare(linear, twin, true));
        twin = twin->next;
        count++;
    }
    assert_int_equal(count, 8);
    cJSON_Delete(stored);
    cJSON_Delete(plain);
    Ran ran = program_run((const char *const[]){"inspect", "--no-cache", FIXTURES "model-gptq", NULL}, NULL, NULL);
    assert_non_null(strstr(ran.out, "in F16 (GPTQ 4-bit g32)"));
    ran_free(&ran);
}

// A family that nobody knows: its matrices are listed, and their parts are not taken for more of them.
static void stored_matrices_of_unknown_models_are_listed(void **state) {
    (void)state;
    char *data;
    size_t size;
    Error err = {0};
    assert_true(file_read(FIXTURES "model-gptq/model.safetensors", 1 << 20, &data, &size, &err));
    free(folder_write(folder, "model.safetensors", data, size));
    free(data);
    folder_put_text(folder, "config.json",
                    "{\"model_type\":\"strange\",\"quantization_config\":{\"quant_method\":\"gptq\",\"sym\":false}}");
    Checkpoint checkpoint, plain;
    ModelConfig config;
    ModelStructure s;
    assert_true(checkpoint_open(folder, &checkpoint, &err) && config_load(folder, &config, &err));
    if (!structure_build(&checkpoint, &config, &s, &err)) fail_msg("%s", err.message);
    assert_int_equal(s.linear_count, 7);
    for (int i = 0; i < s.linear_count; i++) assert_string_equal(s.linears[i].weight->stored, "GPTQ 4-bit g32");
    assert_string_equal(structure_stored(&s), "GPTQ 4-bit g32");
    uint64_t parameters = 0;
    assert_true(checkpoint_open(FIXTURES "model-plain", &plain, &err));
    for (size_t i = 0; i < plain.tensor_count; i++) parameters += tensor_elements(plain.by_name[i]);
    assert_int_equal(s.parameters, parameters);
    checkpoint_close(&plain);
    structure_free(&s);
    checkpoint_close(&checkpoint);
}

// ---- What does not fit ----

typedef struct Wrong {
    const char *header, *config, *reason;
    size_t bytes;
} Wrong;

#define T(name, dtype, shape, from, to) \
    "\"m." name "\":{\"dtype\":\"" dtype "\",\"shape\":[" shape "],\"data_offsets\":[" #from "," #to "]}"
#define GPTQ_PARTS(words, zero_words, scales)                                                                          \
    "{" T("qweight", "I32", words, 0, 256) "," T("qzeros", "I32", zero_words, 256, 272) "," T("scales", "F16", scales, \
                                                                                              272, 304) "}"

#define MLX_PARTS(scales)                                                                                           \
    "{" T("weight", "U32", "2, 4", 0, 32) "," T("scales", "F32", scales, 32, 40) "," T("biases", "F32", scales, 40, \
                                                                                       48) "}"
#define MLX(group, mode) "},\"quantization\":{\"bits\":4,\"group_size\":" group ",\"mode\":\"" mode "\""

static void expect_refused(const Wrong *wrong) {
    char config[256];
    snprintf(config, sizeof config, "{\"quantization_config\":{%s}}", wrong->config ? wrong->config : "");
    folder_put_text(folder, "config.json", config);
    free(folder_put_safetensors(folder, "model.safetensors", wrong->header, wrong->bytes));
    Checkpoint checkpoint;
    StoredSet *set;
    const Tensor *tensor;
    Error err = {0};
    if (!checkpoint_open(folder, &checkpoint, &err)) fail_msg("%s", err.message);
    if (stored_open(&checkpoint, &set, &err)) {
        if (stored_find(set, "m.weight", &tensor, &err)) fail_msg("accepted, but expected: %s", wrong->reason);
        stored_close(set);
    }
    if (!strstr(err.message, wrong->reason)) fail_msg("expected \"%s\", got \"%s\"", wrong->reason, err.message);
    checkpoint_close(&checkpoint);
}

static void misfits(void **state) {
    (void)state;
    static const Wrong wrong[] = {
        {"{" T("qweight", "I32", "8, 8", 0, 256) "}", NULL, "m.qzeros, which belongs to it, is missing", 256},
        {"{" T("weight_packed", "I32", "1, 4", 0, 16) "," T("weight_scale", "F16", "1", 16,
                                                            18) "," T("weight_shape", "I64", "2", 18, 34) "}",
         NULL, "is not valid", 34},
        {GPTQ_PARTS("4, 16", "2, 2", "1, 16"), NULL, "does not fit the zero points", 304},
        {"{" T("qweight", "I32", "8, 8", 0, 256) "," T("qzeros", "I32", "1, 4", 256, 272) "," T("scales", "F32", "1, 8",
                                                                                                272, 304) "}",
         NULL, "4 words for 8 columns fit", 304},
        {GPTQ_PARTS("8, 8", "1, 4", "1, 16"), NULL, "fit neither GPTQ nor AWQ", 304},
        {GPTQ_PARTS("4, 16", "1, 4", "1, 16"), "\"quant_method\":\"gptq\",\"checkpoint_format\":\"marlin\"",
         "checkpoint_format \"marlin\" is not read", 304},
        {GPTQ_PARTS("4, 16", "1, 4", "1, 16"), "\"quant_method\":\"awq\",\"version\":\"gemv\"",
         "AWQ version \"gemv\" is not read", 304},
        {GPTQ_PARTS("4, 16", "1, 4", "1, 16"), "\"quant_method\":\"quip\"", "quant_method \"quip\" is not read", 304},
        {"{" T("weight", "U8", "4, 4", 0, 16) "}", "\"quant_method\":\"bitsandbytes\"",
         "quant_method \"bitsandbytes\" is not read; read are gptq", 16},
        {"{" T("weight", "I8", "4, 4", 0, 16) "}", NULL, "m.weight_scale is missing", 16},
        {"{" T("weight", "I8", "4, 4", 0, 16) "," T("weight_scale", "F32", "3", 16, 28) "}", NULL,
         "does not fit a matrix of 4 × 4", 28},
        {"{" T("weight", "I8", "4, 4", 0, 16) "," T("weight_scale", "I32", "4", 16, 32) "}", NULL,
         "scales of type I32 are not read", 32},
        {"{" T("weight_packed", "I32", "4, 4", 0, 64) "," T("weight_scale", "F16", "4, 1", 64,
                                                            72) "," T("weight_shape", "I64", "2", 72, 88) "}",
         NULL, "is not valid", 88},
        {"{" T("weight_packed", "U8", "4, 4", 0, 16) "}", "\"quant_method\":\"compressed-tensors\"",
         "U8 of rank 2 where a matrix of 32-bit words is expected", 16},
        {"{" T("weight_packed", "U8", "4, 4", 0, 16) "}",
         "\"quant_method\":\"compressed-tensors\",\"format\":\"nvfp4-pack-quantized\"",
         "the format \"nvfp4-pack-quantized\" is not read", 16},
        {MLX_PARTS("2, 1"), NULL, "config.json, which knows bits and groups, says nothing of it", 48},
        {MLX_PARTS("2, 1"), MLX("64", "affine"), "4 words per row hold no groups of 64 codes of 4 bits", 48},
        {MLX_PARTS("1, 2"), MLX("32", "affine"), "does not fit a matrix of 2 × 32", 48},
        {MLX_PARTS("2, 1"), MLX("32", "mxfp4"), "mode \"mxfp4\" is not read", 48},
        {"{" T("weight", "U32", "2, 4", 0, 32) "," T("scales", "F32", "2, 1", 32, 40) "}", MLX("32", "affine"),
         "m.biases, which belongs to it, is missing", 40},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) expect_refused(&wrong[i]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        IN_FOLDER(gptq),
        IN_FOLDER(awq),
        IN_FOLDER(packed),
        IN_FOLDER(bytes),
        IN_FOLDER(mlx),
        IN_FOLDER(holding),
        IN_FOLDER(what_is_needed_again_is_kept_while_there_is_room),
        IN_FOLDER(stored_and_plain_models_are_alike),
        IN_FOLDER(inspect_tells_how_weights_are_stored),
        IN_FOLDER(stored_matrices_of_unknown_models_are_listed),
        IN_FOLDER(misfits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
