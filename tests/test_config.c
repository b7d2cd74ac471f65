// config.json: defaults, both generations of keys, and what is refused.
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "loaders/config.h"
#include "tests/support/in_folder.h"

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
    assert_true(config.norm_eps == 1e-6f && config.rope_theta == 10000 && config.rope_scaling == ROPE_DEFAULT);
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
    assert_true(config.rope_scaling == ROPE_DEFAULT && config.rope_theta == 777);
    config = loaded("\"max_position_embeddings\":4096,\"rope_parameters\":{\"rope_type\":\"llama3\",\"factor\":8,\"low_"
                    "freq_factor\":1,\"high_freq_factor\":4}");
    assert_true(config.rope_original_positions == 4096);
    static const struct {
        const char *members, *reason;
    } wrong[] = {
        {"\"rope_scaling\":{\"rope_type\":\"yarn\"}", "\"factor\" must be a positive number"},
        {"\"rope_scaling\":{\"rope_type\":\"longrope\",\"short_factor\":[1]}", "\"short_factor\" must list 64 numbers"},
        {"\"rope_scaling\":{\"type\":\"linear\"}", "\"factor\" must be a positive number"},
        {"\"rope_scaling\":{\"type\":\"linear\",\"factor\":0}", "\"factor\" must be a positive number"},
        {"\"rope_scaling\":{\"type\":\"llama3\",\"factor\":8,\"low_freq_factor\":4,\"high_freq_factor\":4}",
         "must be above"},
        {"\"rope_scaling\":7", "must be an object"},
        {"\"rope_theta\":-1", "\"rope_theta\" must be a positive number"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        put(wrong[i].members);
        expect_refused(wrong[i].reason);
    }
    folder_put_text(folder, "config.json", "{\"model_type\":\"phi3\",\"partial_rotary_factor\":1.5}");
    expect_refused("\"partial_rotary_factor\" must be above 0 and at most 1");
    folder_put_text(folder, "config.json", "{\"model_type\":\"phi3\",\"partial_rotary_factor\":0.01}");
    expect_refused("rotary positions need an even number");
}

// Half a character where nobody looks is no reason to refuse a model.
static void an_unread_key_may_be_broken(void **state) {
    (void)state;
    ModelConfig config = loaded("\"prompt\":\"\\ud83d cut off\",\"num_key_value_heads\":2");
    assert_int_equal(config.kv_heads, 2);
    assert_string_equal(config.not_run, "");
}

static void a_key_may_be_empty(void **state) {
    (void)state;
    assert_int_equal(loaded("\"\":1,\" \":2,\"vocab_size bos_token_id\":3,\"eos_token_id\":5").eos_tokens[0], 5);
}

static void tokens(void **state) {
    (void)state;
    ModelConfig config = loaded("\"bos_token_id\":null,\"eos_token_id\":[5,6,5]");
    assert_int_equal(config.bos_token, -1);
    assert_int_equal(config.eos_count, 2);
    assert_int_equal(config.eos_tokens[1], 6);
    assert_int_equal(loaded("\"eos_token_id\":null").eos_count, 0);
    assert_int_equal(loaded("\"eos_token_id\":-1").eos_count, 0);
    assert_int_equal(loaded("\"eos_token_id\":[-1,3]").eos_count, 1);
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
    static const char *const wrong[] = {"\"eos_token_id\":-0.5", "\"eos_token_id\":1.5", "\"eos_token_id\":[[1]]",
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
        {"\"tie_word_embeddings\":1", "must be true or false"},
        {"\"torch_dtype\":16", "must be a string"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        put(wrong[i].members);
        expect_refused(wrong[i].reason);
    }
}

// ---- Other families ----

static ModelConfig loaded_text(const char *text) {
    ModelConfig config;
    Error err = {0};
    folder_put_text(folder, "config.json", text);
    if (!config_load(folder, &config, &err)) fail_msg("%s: %s", text, err.message);
    return config;
}

static void what_cannot_be_run_says_why(void **state) {
    (void)state;
    ModelConfig config;
    Error err = {0};
    assert_true(config_load(folder, &config, &err));
    assert_non_null(strstr(config.not_run, "no config.json"));
    static const struct {
        const char *text, *reason;
    } files[] = {
        {"{\"model_type\":\"mamba\\u001b\"}", "family \"mamba\xEF\xBF\xBD\" is not one of those that are run"},
        {"{}", "no \"model_type\""},
        {"{\"model_type\":\"llama\",\"hidden_act\":\"quick\\u001b\"}", "activation function \"quick\xEF\xBF\xBD\""},
        {"{\"model_type\":\"llama\",\"rope_scaling\":{\"type\":\"other\"}}", "rope_type \"other\""},
        {"{\"model_type\":\"gpt2\",\"add_cross_attention\":true}", "cross-attention"},
        {"{\"model_type\":\"qwen3\",\"num_hidden_layers\":1,\"layer_types\":[\"linear_attention\"]}",
         "\"linear_attention\""},
        {"{\"model_type\":\"opt\",\"layer_norm_elementwise_affine\":false}", "norms without weights"},
    };
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        config = loaded_text(files[i].text);
        if (!strstr(config.not_run, files[i].reason))
            fail_msg("%s: \"%s\" does not say \"%s\"", files[i].text, config.not_run, files[i].reason);
    }
    folder_put_text(folder, "config.json", "[]");
    expect_refused("must hold a JSON object");
    folder_put_text(folder, "config.json", "{\"model_type\"");
    expect_refused("JSON cannot be read");
    folder_put_text(folder, "config.json", "{\"model_type\":\"gemma3\"}");
    expect_refused("\"text_config\" is missing");
}

static void keys_of_all_years(void **state) {
    (void)state;
    ModelConfig config =
        loaded_text("{\"model_type\":\"gpt2\",\"n_embd\":48,\"n_head\":3,\"n_layer\":5,\"n_inner\":null,"
                    "\"n_positions\":77}");
    assert_int_equal(config.hidden, 48);
    assert_int_equal(config.heads, 3);
    assert_int_equal(config.layers, 5);
    assert_int_equal(config.ffn, 192);
    assert_int_equal(config.max_positions, 77);
    assert_true(config.tied_head && config.norm == NORM_LAYER && config.activation == NONLINEARITY_GELU_TANH);
    config = loaded_text("{\"model_type\":\"falcon\",\"n_head\":8,\"hidden_size\":64,\"n_layer\":2,\"n_head_kv\":2,"
                         "\"new_decoder_architecture\":true}");
    assert_int_equal(config.kv_heads, 2);
    assert_true(config.parallel && !config.shared_norm);
    config = loaded_text("{\"model_type\":\"falcon\",\"multi_query\":true,\"num_kv_heads\":71}");
    assert_int_equal(config.kv_heads, 1);
    assert_true(config.parallel && config.shared_norm);
    config =
        loaded_text("{\"model_type\":\"gpt_neo\",\"num_layers\":4,\"attention_types\":[[[\"global\",\"local\"],2]]}");
    assert_true(!layer_is_in(&config.windowed, 2) && layer_is_in(&config.windowed, 3) && config.window == 256);
    config = loaded_text("{\"model_type\":\"mistral\",\"sliding_window\":null}");
    assert_int_equal(config.window, 0);
    assert_int_equal(config.kv_heads, 8);
    config = loaded_text("{\"model_type\":\"gemma2\",\"attn_logit_softcapping\":null}");
    assert_true(config.score_softcap == 0 && config.logit_softcap == 30 && config.embedding_scale == 48);
}

static void gemma_3_is_nested(void **state) {
    (void)state;
    ModelConfig config = loaded_text(
        "{\"model_type\":\"gemma3\",\"torch_dtype\":\"bfloat16\",\"eos_token_id\":[1,106],\"text_config\":"
        "{\"num_hidden_layers\":12,\"hidden_size\":64,\"rope_scaling\":{\"rope_type\":\"linear\",\"factor\":8}}}");
    assert_string_equal(config.family, "gemma3");
    assert_string_equal(config.not_run, "");
    assert_int_equal(config.layers, 12);
    assert_int_equal(config.vocab, 262208);
    assert_int_equal(config.dtype, DTYPE_BF16);
    assert_int_equal(config.eos_tokens[1], 106);
    assert_true(layer_is_in(&config.windowed, 4) && !layer_is_in(&config.windowed, 5) && config.rope_factor == 8);
    assert_true(config.rope_theta == 1e6 && config.rope_window_theta == 1e4);
}

// Every key that some family reads, with a value that would change something or be refused. None of them may matter
// where transformers does not read it.
static void keys_of_other_families_mean_nothing(void **state) {
    (void)state;
    static const struct {
        const char *family, *members;
    } foreign[] = {
        {"llama", "\"sliding_window\":4,\"layer_types\":7,\"final_logit_softcapping\":5,\"partial_rotary_factor\":9,"
                  "\"rotary_pct\":9,\"rotary_emb_base\":3,\"scale_attn_weights\":false,\"use_parallel_residual\":true,"
                  "\"layer_norm_eps\":-1,\"alibi\":true,\"norm_topk_prob\":true,\"n_embd\":3,\"n_head\":7,"
                  "\"rope_local_base_freq\":5,\"query_pre_attn_scalar\":1,\"do_layer_norm_before\":false,"
                  "\"add_cross_attention\":true,\"use_bidirectional_attention\":true,\"hidden_activation\":\"relu\","
                  "\"scale_attn_by_inverse_layer_idx\":true,\"apply_residual_connection_post_layernorm\":true"},
        {"mistral", "\"attention_bias\":true,\"mlp_bias\":true,\"layer_types\":[\"x\"],\"use_sliding_window\":false"},
        {"qwen2", "\"attention_bias\":false,\"sliding_window_pattern\":2,\"attn_logit_softcapping\":2"},
        {"qwen3", "\"mlp_bias\":true,\"num_local_experts\":4,\"qkv_bias\":true"},
        {"gemma", "\"sliding_window\":4,\"final_logit_softcapping\":5,\"query_pre_attn_scalar\":9"},
        {"gemma2", "\"sliding_window_pattern\":3,\"rope_local_base_freq\":5,\"hidden_act\":\"relu\""},
        {"gemma3_text", "\"attn_logit_softcapping\":5,\"_sliding_window_pattern\":2,\"use_sliding_window\":true"},
        {"phi3", "\"attention_bias\":true,\"layer_types\":[],\"max_window_layers\":1"},
        {"gpt2", "\"num_key_value_heads\":5,\"head_dim\":3,\"intermediate_size\":9,\"rope_theta\":-1"},
        {"gpt_neo", "\"num_key_value_heads\":5,\"sliding_window\":3,\"scale_attn_weights\":true,\"head_dim\":1"},
        {"gpt_neox", "\"num_key_value_heads\":5,\"rope_theta\":3,\"partial_rotary_factor\":1,\"parallel_attn\":false"},
        {"opt", "\"num_key_value_heads\":5,\"layer_norm_eps\":1,\"hidden_act\":\"silu\",\"bias\":false"},
        {"bloom", "\"num_key_value_heads\":5,\"alibi\":false,\"activation\":\"relu\",\"intermediate_size\":3"},
        {"falcon", "\"num_key_value_heads\":5,\"head_dim\":5,\"apply_residual_connection_post_layernorm\":true"},
        {"mixtral", "\"norm_topk_prob\":false,\"moe_intermediate_size\":3,\"decoder_sparse_step\":2,"
                    "\"shared_expert_intermediate_size\":5,\"mlp_only_layers\":[0]"},
        {"qwen2_moe", "\"attention_bias\":false,\"num_local_experts\":2"},
        {"llama", "\"encoder_layers\":3,\"d_kv\":8,\"scale_embedding\":true,\"feed_forward_proj\":\"relu\","
                  "\"forced_bos_token_id\":\"x\",\"bad_words_ids\":[[1,2]],\"length_penalty\":[]"},
        {"t5", "\"num_key_value_heads\":2,\"n_positions\":5,\"hidden_act\":\"silu\",\"encoder_layers\":3"},
        {"bart", "\"num_hidden_layers\":3,\"add_final_layer_norm\":true,\"relative_attention_num_buckets\":1"},
        {"qwen3_moe", "\"max_window_layers\":0,\"layer_types\":[\"x\"],\"shared_expert_intermediate_size\":5"},
    };
    for (size_t i = 0; i < sizeof foreign / sizeof *foreign; i++) {
        char text[2048];
        snprintf(text, sizeof text, "{\"model_type\":\"%s\"}", foreign[i].family);
        ModelConfig plain = loaded_text(text);
        snprintf(text, sizeof text, "{\"model_type\":\"%s\",%s}", foreign[i].family, foreign[i].members);
        ModelConfig config = loaded_text(text);
        config.identity = plain.identity;
        // Both were cleared before they were filled.
        // NOLINTNEXTLINE(bugprone-suspicious-memory-comparison)
        if (memcmp(&config, &plain, sizeof config) != 0) fail_msg("%s is another one with %s", foreign[i].family, text);
    }
}

static void encoder_decoders(void **state) {
    (void)state;
    ModelConfig config = loaded_text("{\"model_type\":\"t5\",\"num_layers\":3,\"num_decoder_layers\":null,\"d_ff\":10,"
                                     "\"feed_forward_proj\":\"gated-gelu\",\"tie_word_embeddings\":false}");
    assert_int_equal(config.pair.encoder_layers, 3);
    assert_int_equal(config.layers, 6);
    assert_true(config.layout == LAYOUT_T5_GATED && config.activation == NONLINEARITY_GELU_TANH);
    assert_true(config.logit_scale == 0 && config.attention_scale == 1 && config.pair.encoder_ffn == 10);
    assert_int_equal(config.pair.start_token, 0);
    assert_true(loaded_text("{\"model_type\":\"t5\",\"d_model\":64}").logit_scale == 0.125f);
    assert_true(loaded_text("{\"model_type\":\"t5\",\"scale_decoder_outputs\":false}").logit_scale == 0);
    config = loaded_text("{\"model_type\":\"marian\",\"encoder_layers\":1,\"decoder_layers\":2,\"encoder_ffn_dim\":5,"
                         "\"scale_embedding\":true,\"d_model\":64,\"forced_eos_token_id\":[7],\"min_length\":3,"
                         "\"bad_words_ids\":[[9]],\"early_stopping\":\"never\",\"no_repeat_ngram_size\":2}");
    assert_true(config.layers == 3 && config.pair.encoder_layers == 1 && config.pair.encoder_ffn == 5);
    assert_true(config.embedding_scale == 8 && config.pair.never_stopping && !config.pair.early_stopping);
    assert_true(config.pair.last_token == 7 && config.pair.never_count == 1 && config.pair.never_tokens[0] == 9);
    assert_true(config.pair.least_length == 3 && config.pair.no_repeat == 2 && config.pair.first_token == -1);
    folder_put_text(folder, "generation_config.json", "{\"decoder_start_token_id\":4,\"length_penalty\":2}");
    config = loaded_text("{\"model_type\":\"mbart\"}");
    assert_true(config.pair.start_token == 4 && config.pair.length_penalty == 2 && config.pair.last_token == 2);
    folder_put_text(folder, "generation_config.json", "{}");
    static const struct {
        const char *members, *reason;
    } wrong[] = {
        {"\"relative_attention_num_buckets\":3", "4 or more"},
        {"\"relative_attention_max_distance\":16", "more than half of it"},
        {"\"num_layers\":600", "more than 1024"},
        {"\"bad_words_ids\":[[1,2]]", "one token each"},
        {"\"decoder_start_token_id\":0.5", "a token id or null"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        char text[200];
        snprintf(text, sizeof text, "{\"model_type\":\"t5\",%s}", wrong[i].members);
        folder_put_text(folder, "config.json", text);
        expect_refused(wrong[i].reason);
    }
    config = loaded_text("{\"model_type\":\"bart\",\"encoder_attention_heads\":8}");
    assert_non_null(strstr(config.not_run, "other heads"));
    config = loaded_text("{\"model_type\":\"marian\",\"share_encoder_decoder_embeddings\":false}");
    assert_non_null(strstr(config.not_run, "a vocabulary of the source's own"));
}

// One letter for each layer: 'r' remembers, 'a' attends, 'b' both, 'm' and 'e' are an MLP or experts alone.
static void expect_layers(const ModelConfig *config, const char *kinds) {
    assert_int_equal(config->layers, strlen(kinds));
    for (int i = 0; kinds[i]; i++) {
        const bool alone = kinds[i] == 'm' || kinds[i] == 'e';
        assert_int_equal(layer_is_in(&config->recurrent.layers, i), kinds[i] == 'r' || kinds[i] == 'b');
        assert_int_equal(layer_is_in(&config->unattended, i), kinds[i] == 'r' || alone);
        if (kinds[i] == 'e') assert_true(layer_is_in(&config->experts.layers, i));
        if (alone) assert_false(layer_is_in(&config->without_mlp, i));
    }
}

static void layers_that_remember(void **state) {
    (void)state;
    ModelConfig config = loaded_text("{\"model_type\":\"nemotron_h\",\"hybrid_override_pattern\":\"M-M*EM\"}");
    expect_layers(&config, "rmraer");
    assert_true(layer_is_in(&config.without_mlp, 0) && layer_is_in(&config.without_mlp, 3));
    assert_int_equal(config.experts.count, 8);
    config = loaded_text("{\"model_type\":\"nemotron_h\",\"hybrid_override_pattern\":\"\"}");
    expect_layers(&config, "aaaa");
    config = loaded_text("{\"model_type\":\"nemotron_h\",\"layers_block_type\":[\"mamba\",\"attention\",\"mlp\"]}");
    expect_layers(&config, "ram");
    assert_int_equal(config.experts.count, 0);
    assert_true(layer_is_in(&config.unrotated, 1));
    assert_int_equal(remembered_floats(&config), 3 * (128 * 64 + 2 * 8 * 128) + 128 * 64 * 128);
    config = loaded_text("{\"model_type\":\"qwen3_next\",\"num_hidden_layers\":6,\"full_attention_interval\":3}");
    expect_layers(&config, "rrarra");
    config =
        loaded_text("{\"model_type\":\"lfm2\",\"num_hidden_layers\":3,\"full_attn_idxs\":[1],\"block_ff_dim\":100}");
    expect_layers(&config, "rar");
    assert_int_equal(config.ffn, 256); // two thirds, in whole blocks
    config =
        loaded_text("{\"model_type\":\"falcon_h1\",\"num_hidden_layers\":2,\"mamba_d_ssm\":null,\"mamba_n_heads\":64}");
    expect_layers(&config, "bb");
    assert_int_equal(config.recurrent.value_dim, 128); // twice the model's width, shared by 64
    static const struct {
        const char *text, *reason;
        bool refused;
    } files[] = {
        {"{\"model_type\":\"falcon_h1\",\"time_step_limit\":[0.001,0.1]}", "limits of time steps", false},
        {"{\"model_type\":\"falcon_h1\",\"time_step_limit\":[0,Infinity]}", "", false},
        {"{\"model_type\":\"falcon_h1\",\"projectors_bias\":true}", "half of their biases", false},
        {"{\"model_type\":\"falcon_h1\",\"attention_bias\":true,\"attention_in_multiplier\":2}", "with a bias", false},
        {"{\"model_type\":\"falcon_h1\",\"mlp_multipliers\":[1]}", "a list of 2 positive numbers", true},
        {"{\"model_type\":\"falcon_h1\",\"mamba_d_ssm\":1000}", "cannot be shared by 128 heads", true},
        {"{\"model_type\":\"nemotron_h\",\"mamba_hidden_act\":\"gelu\"}", "than silu", false},
        {"{\"model_type\":\"nemotron_h\",\"hybrid_override_pattern\":\"ME*\",\"moe_latent_size\":64}",
         "\"moe_latent_size\"", false},
        {"{\"model_type\":\"nemotron_h\",\"hybrid_override_pattern\":\"MX\"}", "may hold M, *, - and E", true},
        {"{\"model_type\":\"nemotron_h\",\"hybrid_override_pattern\":\"M*-\",\"num_hidden_layers\":2}",
         "the kind of 3 layers is named, but there are 2", true},
        {"{\"model_type\":\"qwen3_next\",\"linear_num_value_heads\":5}", "cannot share 16 keys", true},
        {"{\"model_type\":\"lfm2\",\"block_ffn_dim_multiplier\":1e9}", "does not make a width", true},
        {"{\"model_type\":\"lfm2\",\"num_hidden_layers\":1,\"layer_types\":[\"other\"]}", "of the kind \"other\"",
         false},
    };
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        if (files[i].refused) {
            folder_put_text(folder, "config.json", files[i].text);
            expect_refused(files[i].reason);
        } else if (config = loaded_text(files[i].text),
                   files[i].reason[0] ? !strstr(config.not_run, files[i].reason) : config.not_run[0]) {
            fail_msg("%s: \"%s\" does not say \"%s\"", files[i].text, config.not_run, files[i].reason);
        }
    }
}

static void windows_of_mixtures(void **state) {
    (void)state;
    ModelConfig config = loaded_text("{\"model_type\":\"qwen2_moe\",\"num_hidden_layers\":6,\"max_window_layers\":4,"
                                     "\"use_sliding_window\":true}");
    assert_int_equal(config.windowed.bits[0], 1 | 4);
    config = loaded_text("{\"model_type\":\"qwen3_moe\",\"num_hidden_layers\":3,\"use_sliding_window\":true}");
    assert_int_equal(config.windowed.bits[0], 1 | 2 | 4);
    assert_int_equal(loaded_text("{\"model_type\":\"qwen3_moe\",\"sliding_window\":9}").window, 0);
    config = loaded_text("{\"model_type\":\"gpt_neo\",\"num_layers\":4}");
    assert_int_equal(config.windowed.bits[0], 2 | 8);
}

// Two places for the same number, as transformers 5 chooses between them.
static void rope_in_two_places(void **state) {
    (void)state;
#define LLAMA3 "\"rope_type\":\"llama3\",\"factor\":8,\"low_freq_factor\":1,\"high_freq_factor\":4"
    static const char original[] = "\"original_max_position_embeddings\"";
    char text[512];
    snprintf(text, sizeof text, "%s:100,\"rope_scaling\":{" LLAMA3 ",%s:200}", original, original);
    assert_true(loaded(text).rope_original_positions == 100);
    snprintf(text, sizeof text, "%s:null,\"rope_scaling\":{" LLAMA3 ",%s:200}", original, original);
    assert_true(loaded(text).rope_original_positions == 200);
    snprintf(text, sizeof text, "{\"model_type\":\"phi3\",\"rope_scaling\":{" LLAMA3 ",%s:200}}", original);
    assert_true(loaded_text(text).rope_original_positions == 4096); // the family's own
    ModelConfig config = loaded("\"rope_theta\":5,\"rope_scaling\":{},\"rope_parameters\":{\"rope_type\":\"linear\","
                                "\"type\":\"yarn\",\"factor\":2,\"rope_theta\":7}");
    assert_true(config.rope_scaling == ROPE_LINEAR && config.rope_theta == 7);
    config = loaded("\"rope_scaling\":{\"type\":\"linear\",\"factor\":3},\"rope_parameters\":{\"rope_theta\":7}");
    assert_true(config.rope_factor == 3 && config.rope_theta == 1e4);
    config =
        loaded_text("{\"model_type\":\"gemma3_text\",\"rope_theta\":5,\"rope_local_base_freq\":6,\"rope_parameters\":"
                    "{\"full_attention\":{\"rope_type\":\"linear\",\"factor\":8,\"rope_theta\":7},"
                    "\"sliding_attention\":{\"rope_type\":\"default\",\"rope_theta\":8}}}");
    assert_true(config.rope_factor == 8 && config.rope_theta == 7 && config.rope_window_theta == 8);
    config = loaded_text("{\"model_type\":\"gemma3_text\",\"rope_parameters\":{\"sliding_attention\":{\"rope_type\":"
                         "\"linear\",\"factor\":8}}}");
    assert_non_null(strstr(config.not_run, "windowed layers"));
}

// What stands beside text_config belongs to the whole, tokens and types excepted.
static void text_config_stands_alone(void **state) {
    (void)state;
    ModelConfig config = loaded_text("{\"model_type\":\"llava\",\"hidden_size\":64,\"rope_theta\":5,\"vocab_size\":9,"
                                     "\"eos_token_id\":7,\"text_config\":{\"num_hidden_layers\":2}}");
    assert_true(config.hidden == 4096 && config.rope_theta == 1e4 && config.vocab == 32000 && config.layers == 2);
    assert_int_equal(config.eos_tokens[0], 7);
    assert_false(config.tied_head);
    assert_true(loaded_text("{\"model_type\":\"llava\",\"text_config\":{\"tie_word_embeddings\":true}}").tied_head);
    assert_true(loaded_text("{\"model_type\":\"gemma3\",\"text_config\":{\"tie_word_embeddings\":false}}").tied_head);
}

static void experts(void **state) {
    (void)state;
    ModelConfig config = loaded_text("{\"model_type\":\"qwen2_moe\",\"num_hidden_layers\":6,\"decoder_sparse_step\":2,"
                                     "\"mlp_only_layers\":[3]}");
    static const bool expected[] = {false, true, false, false, false, true};
    for (int i = 0; i < 6; i++) assert_int_equal(layer_is_in(&config.experts.layers, i), expected[i]);
    assert_int_equal(config.experts.count, 60);
    assert_int_equal(config.experts.shared_ffn, 5632);
    assert_false(config.experts.normalized);
    config = loaded_text("{\"model_type\":\"mixtral\",\"intermediate_size\":100}");
    assert_int_equal(config.experts.ffn, 100);
    assert_true(config.experts.normalized);
    folder_put_text(folder, "config.json", "{\"model_type\":\"mixtral\",\"num_experts_per_tok\":9}");
    expect_refused("\"num_experts_per_tok\"");
#define GROUPED(topk_group)                                                                            \
    "{\"model_type\":\"deepseek_v2\",\"topk_method\":\"group_limited_greedy\",\"n_routed_experts\":6," \
    "\"n_group\":3,\"num_experts_per_tok\":3,\"topk_group\":" topk_group "}"
    config = loaded_text(GROUPED("2"));
    assert_true(config.experts.groups == 3 && config.experts.chosen_groups == 2);
    folder_put_text(folder, "config.json", GROUPED("1"));
    expect_refused("1 groups of 2 experts (\"topk_group\") are too few to choose 3 experts from");
    folder_put_text(folder, "config.json", GROUPED("0"));
    expect_refused("\"topk_group\"");
    assert_non_null(
        strstr(loaded_text("{\"model_type\":\"phimoe\",\"num_experts_per_tok\":3}").not_run, "two experts"));
    assert_true(loaded_text("{\"model_type\":\"phimoe\",\"router_jitter_noise\":0.25}").experts.tolerance == 0.5f);
}

// The first files of Llama 4 leave to rules what later ones list.
static void layers_of_llama_4(void **state) {
    (void)state;
#define LLAMA4(members) "{\"model_type\":\"llama4\",\"text_config\":{\"num_hidden_layers\":8," members "}}"
    ModelConfig config = loaded_text(LLAMA4("\"no_rope_layers\":[],\"attn_temperature_tuning\":4"));
    for (int i = 0; i < 8; i++) {
        assert_int_equal(layer_is_in(&config.unrotated, i), i % 4 == 3);
        assert_int_equal(layer_is_in(&config.windowed, i), i % 4 != 3);
        assert_true(layer_is_in(&config.experts.layers, i));
    }
    assert_true(config.chunked && config.window == 8192 && config.qk_norm == QK_NORM_BARE);
    assert_true(config.query_growth.rate == 0.1f && config.query_growth.unrotated && config.experts.scales_inputs);
    assert_true(config.ffn == 16384 && config.experts.ffn == 8192 && config.experts.shared_ffn == 8192);
    config = loaded_text(LLAMA4("\"attn_temperature_tuning\":false,\"attention_chunk_size\":null,"
                                "\"interleave_moe_layer_step\":2,\"use_qk_norm\":false,\"intermediate_size\":5,"
                                "\"intermediate_size_mlp\":7"));
    for (int i = 0; i < 8; i++) assert_int_equal(layer_is_in(&config.experts.layers, i), i % 2);
    assert_true(config.window == 0 && config.qk_norm == QK_NORM_NONE && config.query_growth.rate == 0);
    assert_true(config.ffn == 7 && config.experts.ffn == 5 && config.experts.shared_ffn == 5);
    config = loaded_text(LLAMA4("\"num_local_experts\":0,\"num_experts_per_tok\":0,\"moe_layers\":[],"
                                "\"interleave_moe_layer_step\":0"));
    assert_true(!*config.not_run && config.experts.count == 0 && !layer_is_in(&config.experts.layers, 0));
}

static void queries_grow(void **state) {
    (void)state;
    const ModelConfig config =
        loaded_text("{\"model_type\":\"ministral3\",\"rope_parameters\":{\"rope_type\":\"yarn\",\"factor\":16,"
                    "\"original_max_position_embeddings\":16384,\"llama_4_scaling_beta\":0.1}}");
    assert_true(config.query_growth.rate == 0.1f && config.query_growth.step == 16384);
    assert_true(!config.query_growth.unrotated && config.max_positions == 262144);
    assert_true(loaded_text("{\"model_type\":\"ministral3\"}").query_growth.rate == 0);
    folder_put_text(folder, "config.json",
                    "{\"model_type\":\"ministral3\",\"rope_parameters\":{\"llama_4_scaling_beta\":-1}}");
    expect_refused("llama_4_scaling_beta");
}

static void options_of_attention(void **state) {
    (void)state;
    assert_non_null(strstr(
        loaded_text("{\"model_type\":\"codegen\",\"n_embd\":18,\"n_head\":3,\"rotary_dim\":6}").not_run, "of 4"));
    assert_true(loaded_text("{\"model_type\":\"olmo\",\"clip_qkv\":8}").qkv_limit == 8);
    assert_true(loaded_text("{\"model_type\":\"olmo\",\"clip_qkv\":null}").qkv_limit == 0);
    assert_true(loaded_text("{\"model_type\":\"mpt\",\"attn_config\":{\"clip_qkv\":6}}").qkv_limit == 6);
    assert_true(loaded_text("{\"model_type\":\"cohere\",\"use_qk_norm\":true}").qk_norm == QK_NORM_EACH);
    assert_true(loaded_text("{\"model_type\":\"stablelm\",\"qk_layernorm\":true}").qk_norm == QK_NORM_APART);
    assert_true(loaded_text("{\"model_type\":\"phi\",\"qk_layernorm\":true}").qk_norm == QK_NORM_HEADS);
    assert_true(loaded_text("{\"model_type\":\"phi\"}").qk_norm == QK_NORM_NONE);
}

#define GEMMA4 \
    "{\"model_type\":\"gemma4_text\",\"num_hidden_layers\":4,\"num_attention_heads\":8,\"num_key_value_heads\":4,"
#define OF_LAYERS(list) \
    GEMMA4              \
    "\"layer_types\":[\"sliding_attention\",\"full_attention\",\"sliding_attention\",\"sliding_attention\"]," list "}"

// Layers without a window have heads of their own, and the last has none, whatever the file says.
static void heads_differ_by_windows(void **state) {
    (void)state;
    ModelConfig config = loaded_text(OF_LAYERS("\"global_head_dim\":64,\"num_global_key_value_heads\":2"));
    assert_string_equal(config.not_run, "");
    assert_false(layer_is_in(&config.windowed, 3));
    assert_int_equal(layer_head_dim(&config, 3), 64);
    assert_int_equal(layer_kv_heads(&config, 1), 4); // another number only where values are keys
    assert_int_equal(layer_head_dim(&config, 2), 256);
    assert_true(config.rope_scaling == ROPE_PROPORTIONAL && config.rope_share == 0.25);
    assert_int_equal(rope_dims_of(&config, false), 64);
    assert_int_equal(rope_dims_of(&config, true), 256);
    config = loaded_text(OF_LAYERS("\"attention_k_eq_v\":true,\"num_global_key_value_heads\":2"));
    assert_true(layer_kv_heads(&config, 1) == 2 && layer_kv_heads(&config, 0) == 4);
    config = loaded_text(OF_LAYERS("\"per_layer_config\":{\"1\":{\"head_dim\":32},\"3\":{\"head_dim\":32}}"));
    assert_true(layer_head_dim(&config, 1) == 32 && !config.not_run[0]);
    config = loaded_text(OF_LAYERS("\"per_layer_config\":{}"));
    assert_true(layer_head_dim(&config, 1) == 256 && rope_dims(&config) == 256);
    static const char *const others[] = {
        "{\"1\":{\"head_dim\":32}}",
        "{\"0\":{\"head_dim\":32}}",
        "{\"\":{}}",
        "{\"1\":{\"head_dim\":32},\"3\":{\"head_dim\":64}}",
    };
    for (int i = 0; i < 4; i++) {
        char text[512];
        snprintf(text, sizeof text, OF_LAYERS("\"per_layer_config\":%s"), others[i]);
        assert_non_null(strstr(loaded_text(text).not_run, "heads that differ"));
    }
    config = loaded_text(OF_LAYERS("\"use_bidirectional_attention\":\"vision\""));
    assert_string_equal(config.not_run, "");
    config = loaded_text(OF_LAYERS("\"use_bidirectional_attention\":\"all\""));
    assert_non_null(strstr(config.not_run, "both directions"));
}

static void layers_share_keys_and_values(void **state) {
    (void)state;
    ModelConfig config = loaded_text(OF_LAYERS("\"num_kv_shared_layers\":2,\"use_double_wide_mlp\":true,"
                                               "\"hidden_size\":64,\"hidden_size_per_layer_input\":8"));
    assert_true(layer_shares(&config, 2) && !layer_shares(&config, 1));
    assert_true(shared_layer(&config, true) == 0 && shared_layer(&config, false) == 1);
    assert_true(layer_ffn(&config, 1) == 9216 && layer_ffn(&config, 2) == 2 * 9216);
    assert_int_equal(stream_width(&config), 64 + 4 * 8 + 2 * 4 * (256 + 512));
    assert_int_equal(cache_bytes(&config, 2, 0), 2 * 2 * 4 * (256 + 512));
    folder_put_text(folder, "config.json", OF_LAYERS("\"num_kv_shared_layers\":3"));
    expect_refused("\"num_kv_shared_layers\": 3");
    folder_put_text(folder, "config.json", OF_LAYERS("\"num_kv_shared_layers\":4"));
    expect_refused("\"num_kv_shared_layers\": 4");
}

#define GEMMA3N "{\"model_type\":\"gemma3n_text\",\"num_hidden_layers\":3,\"num_kv_shared_layers\":0,"

static void layers_differ_in_width_and_sparsity(void **state) {
    (void)state;
    ModelConfig config = loaded_text(GEMMA3N "\"intermediate_size\":[48,32,48],\"activation_sparsity_pattern\":"
                                             "[0.95,0.0,0.95]}");
    assert_string_equal(config.not_run, "");
    assert_true(layer_ffn(&config, 0) == 48 && layer_ffn(&config, 1) == 32);
    assert_true(layer_is_in(&config.sparse, 2) && !layer_is_in(&config.sparse, 1));
    assert_float_equal(config.gate_cutoff, 1.6448536f, 1e-6); // 95 % of a normal distribution lie below
    assert_true(config.altup.streams == 4 && config.altup.scaled && config.laurel_rank == 64);
    assert_int_equal(stream_width(&config), 4 * 2048 + 3 * 256);
    config = loaded_text(GEMMA3N "\"intermediate_size\":[48,32,16]}");
    assert_non_null(strstr(config.not_run, "more than two inner widths"));
    config = loaded_text(GEMMA3N "\"activation_sparsity_pattern\":[0.5,0.6,0]}");
    assert_non_null(strstr(config.not_run, "several sparsities"));
    folder_put_text(folder, "config.json", GEMMA3N "\"intermediate_size\":[48,0.5,16]}");
    expect_refused("\"intermediate_size\"");
    folder_put_text(folder, "config.json", GEMMA3N "\"activation_sparsity_pattern\":[0.5,1,0]}");
    expect_refused("below 1");
}

int main(void) {
    const struct CMUnitTest tests[] = {IN_FOLDER(defaults),
                                       IN_FOLDER(sizes),
                                       IN_FOLDER(rope),
                                       IN_FOLDER(an_unread_key_may_be_broken),
                                       IN_FOLDER(a_key_may_be_empty),
                                       IN_FOLDER(tokens),
                                       IN_FOLDER(nonsense),
                                       IN_FOLDER(what_cannot_be_run_says_why),
                                       IN_FOLDER(keys_of_all_years),
                                       IN_FOLDER(gemma_3_is_nested),
                                       IN_FOLDER(keys_of_other_families_mean_nothing),
                                       IN_FOLDER(encoder_decoders),
                                       IN_FOLDER(layers_that_remember),
                                       IN_FOLDER(windows_of_mixtures),
                                       IN_FOLDER(rope_in_two_places),
                                       IN_FOLDER(text_config_stands_alone),
                                       IN_FOLDER(experts),
                                       IN_FOLDER(heads_differ_by_windows),
                                       IN_FOLDER(layers_share_keys_and_values),
                                       IN_FOLDER(layers_differ_in_width_and_sparsity),
                                       IN_FOLDER(layers_of_llama_4),
                                       IN_FOLDER(queries_grow),
                                       IN_FOLDER(options_of_attention)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
