// A checkpoint whose matrices, made all at once, would not fit into the memory that the process may use: GPTQ, 4 bits,
// mostly a hole in the file.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sys/resource.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/array.h"
#include "base/file.h"
#include "base/memory.h"
#include "engine/engine.h"
#include "tests/support/folder.h"
#include "tests/support/program.h"

enum { LAYERS = 14, HIDDEN = 1024, FFN = 4096, GROUP = 128 };
#define MATRIX_BYTES ((size_t)LAYERS * (4 * HIDDEN * HIDDEN + 3 * HIDDEN * FFN) * 2) // made: 2 bytes per weight
#define LIMIT ((rlim_t)256 << 20)

static char *folder;

// ---- The checkpoint ----

typedef struct Header {
    Text text;
    size_t offset;
} Header;

static void add_tensor(Header *h, const char *name, const char *dtype, size_t rows, size_t columns, size_t element) {
    size_t bytes = (rows ? rows : 1) * columns * element;
    text_addf(&h->text, "%s\"%s\":{\"dtype\":\"%s\",\"shape\":[", h->offset ? "," : "{", name, dtype);
    if (rows) text_addf(&h->text, "%zu,", rows);
    text_addf(&h->text, "%zu],\"data_offsets\":[%zu,%zu]}", columns, h->offset, h->offset + bytes);
    h->offset += bytes;
}

static void add_part(Header *h, int layer, const char *part, const char *dtype, size_t rows, size_t columns) {
    char name[128];
    snprintf(name, sizeof name, "model.layers.%d.%s", layer, part);
    add_tensor(h, name, dtype, rows, columns, dtype[0] == 'I' ? 4 : 2);
}

static void add_linear(Header *h, int layer, const char *linear, size_t out, size_t in) {
    char part[64];
    snprintf(part, sizeof part, "%s.qweight", linear);
    add_part(h, layer, part, "I32", in / 8, out);
    snprintf(part, sizeof part, "%s.qzeros", linear);
    add_part(h, layer, part, "I32", in / GROUP, out / 8);
    snprintf(part, sizeof part, "%s.scales", linear);
    add_part(h, layer, part, "F16", in / GROUP, out);
}

static void add_layer(Header *h, int layer) {
    static const char *const norms[] = {"input_layernorm", "post_attention_layernorm"};
    static const char *const attention[] = {"q_proj", "k_proj", "v_proj", "o_proj"};
    char name[128];
    for (int i = 0; i < 2; i++) {
        snprintf(name, sizeof name, "model.layers.%d.%s.weight", layer, norms[i]);
        add_tensor(h, name, "F16", 0, HIDDEN, 2);
    }
    for (int i = 0; i < 4; i++) {
        snprintf(name, sizeof name, "self_attn.%s", attention[i]);
        add_linear(h, layer, name, HIDDEN, HIDDEN);
    }
    add_linear(h, layer, "mlp.gate_proj", FFN, HIDDEN);
    add_linear(h, layer, "mlp.up_proj", FFN, HIDDEN);
    add_linear(h, layer, "mlp.down_proj", HIDDEN, FFN);
}

static int make_checkpoint(void **state) {
    (void)state;
    folder = folder_temporary();
    folder_put_text(folder, "config.json",
                    "{\"model_type\":\"llama\",\"hidden_size\":1024,\"intermediate_size\":4096,"
                    "\"num_hidden_layers\":14,\"num_attention_heads\":8,\"num_key_value_heads\":8,"
                    "\"vocab_size\":64,\"rms_norm_eps\":1e-5,\"max_position_embeddings\":256,"
                    "\"tie_word_embeddings\":true,\"torch_dtype\":\"float16\",\"quantization_config\":"
                    "{\"quant_method\":\"gptq\",\"bits\":4,\"group_size\":128,\"sym\":true}}");
    Header h = {0};
    add_tensor(&h, "model.embed_tokens.weight", "F16", 64, HIDDEN, 2);
    add_tensor(&h, "model.norm.weight", "F16", 0, HIDDEN, 2);
    for (int layer = 0; layer < LAYERS; layer++) add_layer(&h, layer);
    text_addf(&h.text, "}");
    char *path = path_join(folder, "model.safetensors");
    FILE *file = fopen(path, "wb");
    uint64_t length = h.text.length;
    assert_true(file && fwrite(&length, 1, 8, file) == 8 && fwrite(h.text.data, 1, length, file) == length);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(truncate(path, (off_t)(8 + length + h.offset)), 0); // zeros that take no room
    free(path);
    text_free(&h.text);
    return 0;
}

static int drop_checkpoint(void **state) {
    (void)state;
    folder_remove(folder);
    return 0;
}

// ---- Work within the limit ----

// Sanitizers and valgrind take more memory for themselves than there is here.
static bool can_be_limited(void) {
#ifdef __SANITIZE_ADDRESS__
    return false;
#else
    const char *preloaded = getenv("LD_PRELOAD");
    return !preloaded || !strstr(preloaded, "valgrind");
#endif
}

static struct rlimit limit_memory(rlim_t bytes) {
    struct rlimit before, now;
    assert_int_equal(getrlimit(RLIMIT_DATA, &before), 0);
    now = before;
    now.rlim_cur = bytes;
    assert_int_equal(setrlimit(RLIMIT_DATA, &now), 0);
    return before;
}

static void run_limited(const char *const *arguments) {
    struct rlimit before = limit_memory(LIMIT);
    Ran ran = program_run(arguments, NULL, NULL);
    setrlimit(RLIMIT_DATA, &before);
    if (ran.status != 0) fail_msg("%s: exit status %d: %s", arguments[0], ran.status, ran.err);
    assert_non_null(strstr(ran.out, "layers.13.mlp.down_proj"));
    ran_free(&ran);
}

static void it_is_inspected_and_calibrated(void **state) {
    (void)state;
    if (!can_be_limited()) skip();
    assert_true(MATRIX_BYTES > LIMIT);
    run_limited((const char *const[]){"inspect", "--quiet", "--json", "--no-cache", "--threads", "2", folder, NULL});
    run_limited((const char *const[]){"calibrate", "--quiet", "--json", "--no-cache", "--threads", "2",
                                      "--random-tokens", "--calibration-tokens", "64", folder, NULL});
}

static void it_is_quantized(void **state) {
    (void)state;
    if (!can_be_limited()) skip();
    const EngineOptions options = {.model = folder, .threads = 2, .no_cache = true};
    struct rlimit before = limit_memory(LIMIT);
    Engine *engine;
    Recipe recipe;
    Plan plan;
    Error err = {0};
    if (!engine_open(&options, &engine, &err)) fail_msg("%s", err.message);
    assert_true(recipe_default(&recipe, &err));
    recipe.value[DIAL_GRANULARITY] = GRANULARITY_GROUP;
    assert_true(engine_make_plan(engine, &recipe, &plan, &err));
    assert_int_equal(plan.quantized_count, 7 * LAYERS);
    for (int i = 0; i < plan.linear_count; i++) {
        double db;
        if (!engine_weight_sqnr(engine, &plan, i, &db, &err)) fail_msg("%s", err.message);
    }
    plan_free(&plan);
    recipe_free(&recipe);
    engine_close(engine);
    setrlimit(RLIMIT_DATA, &before);
}

// A limit shows in what is said to be available, and memory that was taken counts.
static void available_memory_follows_limits(void **state) {
    (void)state;
    if (!can_be_limited()) skip();
    size_t all = memory_available();
    assert_true(all > (size_t)16 << 20);
    struct rlimit before = limit_memory(LIMIT);
    size_t limited = memory_available();
    void *taken = malloc((size_t)64 << 20);
    size_t less = memory_available();
    setrlimit(RLIMIT_DATA, &before);
    assert_true(limited < LIMIT && limited > LIMIT / 4);
    assert_non_null(taken);
    assert_true(less + ((size_t)64 << 20) <= limited);
    free(taken);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_is_inspected_and_calibrated),
        cmocka_unit_test(it_is_quantized),
        cmocka_unit_test(available_memory_follows_limits),
    };
    return cmocka_run_group_tests(tests, make_checkpoint, drop_checkpoint);
}
