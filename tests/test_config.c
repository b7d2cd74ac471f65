// config.json: defaults, both generations of keys, and what is refused.
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "loaders/config.h"
#include "tests/support/folder.h"

static char *folder;

static int make_folder(void **state) {
    (void)state;
    folder = folder_temporary();
    return 0;
}

static int drop_folder(void **state) {
    (void)state;
    folder_remove(folder);
    return 0;
}

static void put(const char *members) {
    char text[2048];
    snprintf(text, sizeof text, "{\"model_type\":\"llama\"%s%s}", *members ? "," : "", members);
    folder_put_text(folder, "config.json", text);
}

static ModelConfig loaded(const char *members) {
    ModelConfig config;
    Error err = {0};
    put(members);
    if (!config_load(folder, &config, &err)) fail_msg("%s: %s", members, err.message);
    return config;
}

static void expect_refused(const char *reason) {
    ModelConfig config;
    Error err = {0};
    if (config_load(folder, &config, &err)) fail_msg("accepted, but expected: %s", reason);
    if (!strstr(err.message, reason)) fail_msg("expected \"%s\", got \"%s\"", reason, err.message);
    assert_non_null(strstr(err.message, "config.json"));
}

static void defaults(void **state) {
    (void)state;
    ModelConfig config = loaded("");
    assert_string_equal(config.family, "llama");
    assert_int_equal(config.layers, 32);
    assert_int_equal(config.hidden, 4096);
    assert_int_equal(config.heads, 32);
    assert_int_equal(config.kv_heads, 32);
    assert_int_equal(config.head_dim, 128);
    assert_int_equal(config.ffn, 11008);
    assert_int_equal(config.vocab, 32000);
    assert_int_equal(config.max_positions, 2048);
    assert_true(config.norm_eps == 1e-6f && config.rope_theta == 10000 && config.rope_scaling == ROPE_PLAIN);
    assert_false(config.tied_head || config.attention_bias || config.output_bias || config.mlp_bias);
    assert_int_equal(config.bos_token, 1);
    assert_int_equal(config.eos_count, 1);
    assert_int_equal(config.eos_tokens[0], 2);
    assert_int_equal(config.dtype, DTYPE_OTHER);
}

static void sizes(void **state) {
    (void)state;
    ModelConfig config =
        loaded("\"hidden_size\":64,\"num_hidden_layers\":2,\"num_attention_heads\":4,\"num_key_value_heads\":2,"
               "\"head_dim\":32,\"intermediate_size\":100,\"vocab_size\":7,\"max_position_embeddings\":9,"
               "\"rms_norm_eps\":1e-5,\"tie_word_embeddings\":true,\"attention_bias\":true,\"mlp_bias\":true,"
               "\"torch_dtype\":\"bfloat16\",\"rope_theta\":500000.0,\"rope_scaling\":null,\"head\":[1]");
    assert_int_equal(config.kv_heads, 2);
    assert_int_equal(config.head_dim, 32); // the key wins over hidden / heads
    assert_int_equal(config.ffn, 100);
    assert_true(config.norm_eps == 1e-5f && config.rope_theta == 500000);
    assert_true(config.tied_head && config.attention_bias && config.output_bias && config.mlp_bias);
    assert_int_equal(config.dtype, DTYPE_BF16);
    assert_int_equal(loaded("\"dtype\":\"float16\",\"head_dim\":null,\"num_key_value_heads\":null").dtype, DTYPE_F16);
    assert_int_equal(loaded("\"torch_dtype\":\"torch.float32\"").dtype, DTYPE_F32);
}

static void rope(void **state) {
    (void)state;
    ModelConfig config = loaded("\"rope_scaling\":{\"type\":\"linear\",\"factor\":2.5}");
    assert_true(config.rope_scaling == ROPE_LINEAR && config.rope_factor == 2.5);
    const char *llama3 =
        "\"rope_theta\":1000,\"rope_scaling\":{\"rope_type\":\"llama3\",\"factor\":8,\"low_freq_factor\":1.0,"
        "\"high_freq_factor\":4.0,\"original_max_position_embeddings\":8192}";
    config = loaded(llama3);
    assert_true(config.rope_scaling == ROPE_LLAMA3 && config.rope_factor == 8 && config.rope_low_freq_factor == 1);
    assert_true(config.rope_high_freq_factor == 4 && config.rope_original_positions == 8192 &&
                config.rope_theta == 1000);
    config = loaded("\"rope_parameters\":{\"rope_type\":\"default\",\"rope_theta\":777}");
    assert_true(config.rope_scaling == ROPE_PLAIN && config.rope_theta == 777);
    config = loaded("\"max_position_embeddings\":4096,\"rope_parameters\":{\"rope_type\":\"llama3\",\"factor\":8,\"low_"
                    "freq_factor\":1,\"high_freq_factor\":4}");
    assert_true(config.rope_original_positions == 4096);
    static const struct {
        const char *members, *reason;
    } wrong[] = {
        {"\"rope_scaling\":{\"rope_type\":\"yarn\",\"factor\":4}",
         "rope_type \"yarn\" is not supported; supported: default, linear, llama3"},
        {"\"rope_scaling\":{\"type\":\"dynamic\",\"factor\":4}", "\"dynamic\" is not supported"},
        {"\"rope_scaling\":{\"type\":\"linear\"}", "\"factor\" must be a positive number"},
        {"\"rope_scaling\":{\"type\":\"linear\",\"factor\":0}", "\"factor\" must be a positive number"},
        {"\"rope_scaling\":{\"type\":\"llama3\",\"factor\":8,\"low_freq_factor\":4,\"high_freq_factor\":4}",
         "must be above"},
        {"\"rope_scaling\":7", "must be an object"},
        {"\"rope_theta\":-1", "\"rope_theta\" must be a positive number"},
        {"\"partial_rotary_factor\":0.5", "partial_rotary_factor 0.5 is not supported"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        put(wrong[i].members);
        expect_refused(wrong[i].reason);
    }
}

static void tokens(void **state) {
    (void)state;
    ModelConfig config = loaded("\"bos_token_id\":null,\"eos_token_id\":[5,6,5]");
    assert_int_equal(config.bos_token, -1);
    assert_int_equal(config.eos_count, 2);
    assert_int_equal(config.eos_tokens[1], 6);
    assert_int_equal(loaded("\"eos_token_id\":null").eos_count, 0);
    folder_put_text(folder, "generation_config.json", "{\"eos_token_id\":[6,9]}");
    config = loaded("\"eos_token_id\":5");
    assert_int_equal(config.eos_count, 3);
    assert_int_equal(config.eos_tokens[2], 9);
    folder_put_text(folder, "generation_config.json", "{\"eos_token_id\":\"x\"}");
    ModelConfig out;
    Error err = {0};
    assert_false(config_load(folder, &out, &err));
    assert_non_null(strstr(err.message, "generation_config.json: \"eos_token_id\""));
    folder_put_text(folder, "generation_config.json", "{}");
    static const char *const wrong[] = {"\"eos_token_id\":-1", "\"eos_token_id\":1.5", "\"eos_token_id\":[[1]]",
                                        "\"eos_token_id\":[1,2,3,4,5,6,7,8,9]"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        put(wrong[i]);
        expect_refused("eos_token_id");
    }
}

static void nonsense(void **state) {
    (void)state;
    static const struct {
        const char *members, *reason;
    } wrong[] = {
        {"\"hidden_size\":0", "\"hidden_size\" must be a whole number from 1"},
        {"\"hidden_size\":-4096", "\"hidden_size\""},
        {"\"hidden_size\":4096.5", "\"hidden_size\""},
        {"\"hidden_size\":1e300", "\"hidden_size\""},
        {"\"hidden_size\":\"4096\"", "\"hidden_size\" must be a number"},
        {"\"hidden_size\":100", "not a multiple of num_attention_heads"},
        {"\"num_key_value_heads\":5", "not a multiple of num_key_value_heads"},
        {"\"num_key_value_heads\":64", "not a multiple of num_key_value_heads"},
        {"\"num_hidden_layers\":0", "\"num_hidden_layers\""},
        {"\"vocab_size\":99999999", "\"vocab_size\""},
        {"\"head_dim\":3", "odd"},
        {"\"hidden_size\":16", "\"head_dim\""},
        {"\"rms_norm_eps\":0", "\"rms_norm_eps\""},
        {"\"hidden_act\":\"gelu\"", "hidden_act \"gelu\" is not supported for llama; supported: silu"},
        {"\"tie_word_embeddings\":1", "must be true or false"},
        {"\"torch_dtype\":16", "must be a string"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        put(wrong[i].members);
        expect_refused(wrong[i].reason);
    }
}

static void families(void **state) {
    (void)state;
    expect_refused("cannot be opened");
    folder_put_text(folder, "config.json", "{\"model_type\":\"mamba\\u001b\"}");
    expect_refused("\"mamba\xEF\xBF\xBD\" is not supported; supported: llama");
    folder_put_text(folder, "config.json", "{}");
    expect_refused("\"model_type\" is missing");
    folder_put_text(folder, "config.json", "[]");
    expect_refused("must hold a JSON object");
    folder_put_text(folder, "config.json", "{\"model_type\"");
    expect_refused("JSON cannot be read");
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, make_folder, drop_folder)

int main(void) {
    const struct CMUnitTest tests[] = {TEST(defaults), TEST(sizes),    TEST(rope),
                                       TEST(tokens),   TEST(nonsense), TEST(families)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
