// The families as tables: keys and defaults of transformers' configuration classes (4.57 and 5). A further family of a
// known layout is one more row.
//
// `keys` are those that a family reads, several names for one thing included. Others are left over from another model
// or a training program: config.json may say "sliding_window" or "final_logit_softcapping" of a Llama, which has none.
#include "loaders/families.h"

#include <string.h>

#define KEYS_OF_ALL \
    "model_type vocab_size max_position_embeddings tie_word_embeddings bos_token_id eos_token_id dtype torch_dtype "
#define KEYS_OF_SIZES "hidden_size num_hidden_layers num_attention_heads "
#define KEYS_OF_ROPE "rope_theta rope_scaling rope_parameters original_max_position_embeddings "
#define KEYS_BUT_EPS KEYS_OF_ALL KEYS_OF_SIZES KEYS_OF_ROPE "intermediate_size num_key_value_heads head_dim hidden_act "
#define KEYS_AS_LLAMA KEYS_BUT_EPS "rms_norm_eps "
#define KEYS_OF_QWEN KEYS_AS_LLAMA "use_sliding_window sliding_window "
#define KEYS_OF_GEMMA                      \
    KEYS_OF_ALL KEYS_OF_SIZES KEYS_OF_ROPE \
        "intermediate_size num_key_value_heads head_dim rms_norm_eps attention_bias use_bidirectional_attention "
#define KEYS_OF_LATER_GEMMAS \
    KEYS_OF_GEMMA "hidden_activation sliding_window layer_types query_pre_attn_scalar final_logit_softcapping "
#define KEYS_OF_EXPERTS \
    "num_experts num_experts_per_tok moe_intermediate_size norm_topk_prob decoder_sparse_step mlp_only_layers "

#define KEYS_OF_ROUTING                                                                              \
    "num_local_experts n_routed_experts num_experts_per_tok moe_intermediate_size n_shared_experts " \
    "first_k_dense_replace "                                                                         \
    "n_group topk_group routed_scaling_factor norm_topk_prob "
#define KEYS_OF_GRANITE \
    KEYS_AS_LLAMA "attention_bias embedding_multiplier attention_multiplier residual_multiplier logits_scaling "
#define KEYS_OF_WRITING                                                                                           \
    "decoder_start_token_id forced_bos_token_id forced_eos_token_id bad_words_ids length_penalty early_stopping " \
    "min_length no_repeat_ngram_size "
#define KEYS_OF_T5                                                                                        \
    KEYS_OF_ALL KEYS_OF_WRITING                                                                           \
        "d_model d_kv d_ff num_layers num_decoder_layers num_heads feed_forward_proj layer_norm_epsilon " \
        "relative_attention_num_buckets relative_attention_max_distance scale_decoder_outputs "
#define KEYS_OF_BART                                                                                             \
    KEYS_OF_ALL KEYS_OF_WRITING                                                                                  \
        "d_model encoder_layers decoder_layers encoder_attention_heads decoder_attention_heads encoder_ffn_dim " \
        "decoder_ffn_dim activation_function scale_embedding "
#define KEYS_OF_DEEPSEEK                                                                                               \
    KEYS_OF_ALL KEYS_OF_SIZES KEYS_OF_ROPE                                                                             \
        "intermediate_size hidden_act rms_norm_eps attention_bias mlp_bias kv_lora_rank q_lora_rank qk_nope_head_dim " \
        "qk_rope_head_dim v_head_dim num_local_experts n_routed_experts num_experts_per_tok moe_intermediate_size "    \
        "n_shared_experts first_k_dense_replace n_group topk_group topk_method routed_scaling_factor "
#define DEEPSEEK                                      \
    .layout = LAYOUT_DEEPSEEK, .rope_adjacent = true, \
    .latent = {.kv_rank = 512, .q_rank = 1536, .plain = 128, .rotated = 64, .value = 128}

#define KEYS_OF_GEMMA4                                                                                    \
    KEYS_OF_GEMMA "hidden_activation sliding_window layer_types final_logit_softcapping global_head_dim " \
                  "num_global_key_value_heads per_layer_config attention_k_eq_v num_kv_shared_layers "    \
                  "use_double_wide_mlp "
#define GEMMA4                                                                                                       \
    RMS(1e-6f, 1e6), BOS_EOS(2, 1),                                                                                  \
        .tied_head = true, .branch_norms = true, .qk_norm = QK_NORM_HEADS, .value_norm = true, .attention_scale = 1, \
        .full_head_dim = 512, .rope_window_theta = 1e4, .layout = LAYOUT_GEMMA4, .rope_scaling = ROPE_PROPORTIONAL,  \
        .rope_share = 0.25
#define KEYS_OF_LFM2 \
    KEYS_OF_ALL KEYS_OF_SIZES KEYS_OF_ROPE "num_key_value_heads norm_eps layer_types conv_L_cache conv_bias "
#define KEYS_OF_QWEN_NEXT                                                                                  \
    KEYS_AS_LLAMA "attention_bias partial_rotary_factor layer_types full_attention_interval "              \
                  "linear_conv_kernel_dim linear_key_head_dim linear_value_head_dim linear_num_key_heads " \
                  "linear_num_value_heads "

#define BOS_EOS(bos, eos) .bos_token = (bos), .eos_tokens = {(eos)}, .eos_count = 1
#define SIZES(L, H, A, KV, D, F, V, P)                                                                       \
    .layers = (L), .hidden = (H), .heads = (A), .kv_heads = (KV), .head_dim = (D), .ffn = (F), .vocab = (V), \
    .max_positions = (P)
#define RMS(eps, theta) .norm_eps = (eps), .rope_theta = (theta)
#define LAYER_NORM(eps) .norm = NORM_LAYER, .norm_eps = (eps)
#define ATTENTION_BIAS .attention_bias = "attention_bias", .output_bias = "attention_bias" // one flag for all four
#define ALL_BIASES .attention_bias = true, .output_bias = true, .mlp_bias = true
#define NORMS_AFTER .branch_norms = true, .no_norm_before = true
#define COHERE                                                                                             \
    LAYER_NORM(1e-5f), BOS_EOS(5, 255001), .norm_without_bias = true, .parallel = true, .tied_head = true, \
                                           .rope_theta = 1e4, .rope_adjacent = true, .logit_scale = 0.0625f
#define GLM                                                                                        \
    RMS(1.5625e-7f, 1e4), .bos_token = -1, .eos_tokens = {151329, 151336, 151338}, .eos_count = 3, \
                          .attention_bias = true, .layout = LAYOUT_GLM, .rope_adjacent = true
#define LFM2                                                                     \
    RMS(1e-5f, 1e6), BOS_EOS(1, 2), .tied_head = true, .qk_norm = QK_NORM_HEADS, \
                                    .recurrent = {.kind = RECURRENT_CONVOLUTION, .taps = 3, .heads = 1}
#define QWEN_NEXT                                                                                                   \
    .norm = NORM_RMS_PLUS_ONE, RMS(1e-6f, 1e4), .bos_token = -1, .qk_norm = QK_NORM_HEADS, .gated_attention = true, \
    .recurrent = {.kind = RECURRENT_DELTA,                                                                          \
                  .taps = 4,                                                                                        \
                  .heads = 32,                                                                                      \
                  .key_heads = 16,                                                                                  \
                  .key_dim = 128,                                                                                   \
                  .value_dim = 128,                                                                                 \
                  .norm_first = true}
#define GEMMA .norm = NORM_RMS_PLUS_ONE, .tied_head = true, BOS_EOS(2, 1)

// Nothing limits positions that are relative but the tables made for them.
#define T5_POSITIONS 32768
#define T5                                                                                                       \
    RMS(1e-6f, 1e4), BOS_EOS(-1, 1), .attention_scale = 1, .layout = LAYOUT_T5, .positions = POSITIONS_RELATIVE, \
                                     .pair = {.encoder_layers = 1,                                               \
                                              .start_token = 0,                                                  \
                                              .first_token = -1,                                                 \
                                              .last_token = -1,                                                  \
                                              .relative_buckets = 32,                                            \
                                              .relative_distance = 128,                                          \
                                              .length_penalty = 1}
#define BART(start, last)                         \
    LAYER_NORM(1e-5f), ALL_BIASES,                \
        .tied_head = true, .layout = LAYOUT_BART, \
        .pair = {                                 \
            .encoder_layers = 1, .start_token = (start), .first_token = -1, .last_token = (last), .length_penalty = 1}

static const Family families[] = {
    {.type = "llama",
     .keys = KEYS_AS_LLAMA "attention_bias mlp_bias",
     .activation = "silu",
     ATTENTION_BIAS,
     .mlp_bias = "mlp_bias",
     .defaults = {SIZES(32, 4096, 32, 0, 0, 11008, 32000, 2048), RMS(1e-6f, 1e4), BOS_EOS(1, 2)}},
    {.type = "mistral",
     .keys = KEYS_AS_LLAMA "sliding_window",
     .activation = "silu",
     .defaults = {SIZES(32, 4096, 32, 8, 0, 14336, 32000, 131072), RMS(1e-6f, 1e4), BOS_EOS(1, 2), .window = 4096}},
    {.type = "qwen2",
     .keys = KEYS_OF_QWEN "max_window_layers layer_types",
     .activation = "silu",
     .windows = WINDOW_LATER_LAYERS,
     .defaults = {SIZES(32, 4096, 32, 32, 0, 22016, 151936, 32768), RMS(1e-6f, 1e4), .bos_token = -1,
                  .attention_bias = true}},
    {.type = "qwen3",
     .keys = KEYS_OF_QWEN "max_window_layers layer_types attention_bias",
     .activation = "silu",
     ATTENTION_BIAS,
     .windows = WINDOW_LATER_LAYERS,
     .defaults = {SIZES(32, 4096, 32, 32, 128, 22016, 151936, 32768), RMS(1e-6f, 1e4), .bos_token = -1,
                  .qk_norm = QK_NORM_HEADS}},
    {.type = "gemma",
     .keys = KEYS_OF_GEMMA "hidden_act",
     .activation = "gelu_pytorch_tanh",
     ATTENTION_BIAS,
     .gelu_means_tanh = true,
     .scales_embedding = true,
     .defaults = {SIZES(28, 3072, 16, 16, 256, 24576, 256000, 8192), RMS(1e-6f, 1e4), GEMMA}},
    {.type = "gemma2",
     .keys = KEYS_OF_LATER_GEMMAS "attn_logit_softcapping",
     .activation = "gelu_pytorch_tanh",
     ATTENTION_BIAS,
     .windows = WINDOW_NOT_EVERY_NTH,
     .window_period = 2,
     .query_scalar = 256,
     .scales_embedding = true,
     .defaults = {SIZES(26, 2304, 8, 4, 256, 9216, 256000, 8192), RMS(1e-6f, 1e4), GEMMA, .branch_norms = true,
                  .window = 4096, .score_softcap = 50, .logit_softcap = 30}},
    {.type = "gemma3", .nested = "gemma3_text", .defaults = {.tied_head = true}},
    {.type = "llava", .nested = "llama"},
    {.type = "llava_next", .nested = "llama"},
    {.type = "gemma3_text",
     .keys = KEYS_OF_LATER_GEMMAS "sliding_window_pattern rope_local_base_freq",
     .activation = "gelu_pytorch_tanh",
     ATTENTION_BIAS,
     .windows = WINDOW_NOT_EVERY_NTH,
     .window_period = 6,
     .query_scalar = 256,
     .scales_embedding = true,
     .defaults = {SIZES(26, 2304, 8, 4, 256, 9216, 262208, 131072), RMS(1e-6f, 1e6), GEMMA, .branch_norms = true,
                  .qk_norm = QK_NORM_HEADS, .window = 4096, .rope_window_theta = 1e4}},
    {.type = "phi3",
     .keys = KEYS_AS_LLAMA "sliding_window partial_rotary_factor",
     .activation = "silu",
     .defaults = {SIZES(32, 3072, 32, 0, 0, 8192, 32064, 4096), RMS(1e-5f, 1e4), BOS_EOS(1, 32000),
                  .layout = LAYOUT_PHI3, .rope_original_positions = 4096}},
    {.type = "gpt2",
     .keys =
         KEYS_OF_ALL KEYS_OF_SIZES "n_embd n_layer n_head n_positions n_inner activation_function layer_norm_epsilon "
                                   "scale_attn_weights scale_attn_by_inverse_layer_idx add_cross_attention",
     .activation = "gelu_new",
     .defaults = {SIZES(12, 768, 12, 0, 0, 0, 50257, 1024), LAYER_NORM(1e-5f), BOS_EOS(50256, 50256), ALL_BIASES,
                  .layout = LAYOUT_GPT2, .positions = POSITIONS_LEARNED, .tied_head = true}},
    {.type = "gpt_neo",
     .keys = KEYS_OF_ALL KEYS_OF_SIZES "num_layers num_heads intermediate_size activation_function layer_norm_epsilon "
                                       "window_size attention_layers attention_types",
     .activation = "gelu_new",
     .windows = WINDOW_EVERY_NTH,
     .window_period = 2,
     .defaults = {SIZES(24, 2048, 16, 0, 0, 0, 50257, 2048), LAYER_NORM(1e-5f), BOS_EOS(50256, 50256),
                  .output_bias = true, .mlp_bias = true, .layout = LAYOUT_GPT_NEO, .positions = POSITIONS_LEARNED,
                  .attention_scale = 1, .tied_head = true, .window = 256}},
    {.type = "gpt_neox",
     .keys = KEYS_OF_ALL KEYS_OF_SIZES
     "intermediate_size hidden_act layer_norm_eps attention_bias use_parallel_residual "
     "rotary_emb_base rotary_pct rope_scaling rope_parameters original_max_position_embeddings",
     .activation = "gelu",
     ATTENTION_BIAS,
     .partial_rotary = 0.25,
     .defaults = {SIZES(44, 6144, 64, 0, 0, 24576, 50432, 2048), LAYER_NORM(1e-5f), BOS_EOS(0, 2), ALL_BIASES,
                  .rope_theta = 1e4, .layout = LAYOUT_GPT_NEOX, .grouped_qkv = true, .parallel = true}},
    {.type = "opt",
     .keys =
         KEYS_OF_ALL KEYS_OF_SIZES "ffn_dim word_embed_proj_dim activation_function enable_bias do_layer_norm_before "
                                   "_remove_final_layer_norm layer_norm_elementwise_affine",
     .activation = "relu",
     .attention_bias = "enable_bias",
     .output_bias = "enable_bias",
     .mlp_bias = "enable_bias",
     .defaults = {SIZES(12, 768, 12, 0, 0, 3072, 50272, 2048), LAYER_NORM(1e-5f), BOS_EOS(2, 2), ALL_BIASES,
                  .layout = LAYOUT_OPT, .positions = POSITIONS_LEARNED, .position_offset = 2, .tied_head = true}},
    {.type = "bloom",
     .keys = KEYS_OF_ALL KEYS_OF_SIZES "n_embed n_layer n_head seq_length layer_norm_epsilon "
                                       "apply_residual_connection_post_layernorm",
     .activation = "gelu_new",
     .defaults = {SIZES(2, 64, 8, 0, 0, 0, 250880, 2048), LAYER_NORM(1e-5f), BOS_EOS(1, 2), ALL_BIASES,
                  .layout = LAYOUT_BLOOM, .positions = POSITIONS_ALIBI, .grouped_qkv = true, .embedding_norm = true,
                  .tied_head = true}},
    {.type = "falcon",
     .keys = KEYS_OF_ALL KEYS_OF_SIZES KEYS_OF_ROPE
     "n_embed n_layer n_head num_kv_heads n_head_kv "
     "new_decoder_architecture multi_query parallel_attn "
     "num_ln_in_parallel_attn alibi bias ffn_hidden_size activation layer_norm_epsilon",
     .activation = "gelu",
     .attention_bias = "bias",
     .output_bias = "bias",
     .mlp_bias = "bias",
     .decoder_architecture = true,
     .defaults = {SIZES(32, 4544, 71, 0, 0, 0, 65024, 2048), LAYER_NORM(1e-5f), BOS_EOS(11, 11), .rope_theta = 1e4,
                  .layout = LAYOUT_FALCON, .grouped_qkv = true, .parallel = true, .tied_head = true}},
    {.type = "mixtral",
     .keys = KEYS_AS_LLAMA "sliding_window num_local_experts num_experts num_experts_per_tok",
     .activation = "silu",
     .defaults = {SIZES(32, 4096, 32, 8, 0, 14336, 32000, 131072), RMS(1e-5f, 1e6), BOS_EOS(1, 2),
                  .layout = LAYOUT_MIXTRAL, .experts = {.count = 8, .per_token = 2, .normalized = true}}},
    {.type = "qwen2_moe",
     .keys = KEYS_OF_QWEN KEYS_OF_EXPERTS "max_window_layers layer_types shared_expert_intermediate_size qkv_bias",
     .activation = "silu",
     .attention_bias = "qkv_bias",
     .windows = WINDOW_EARLY_ODD_LAYERS,
     .defaults = {SIZES(24, 2048, 16, 16, 0, 5632, 151936, 32768), RMS(1e-6f, 1e4), .bos_token = -1,
                  .attention_bias = true, .layout = LAYOUT_QWEN_MOE,
                  .experts = {.count = 60, .per_token = 4, .ffn = 1408, .shared_ffn = 5632}}},
    {.type = "qwen3_moe",
     .keys = KEYS_OF_QWEN KEYS_OF_EXPERTS "num_local_experts attention_bias",
     .activation = "silu",
     ATTENTION_BIAS,
     .defaults = {SIZES(24, 2048, 32, 4, 0, 6144, 151936, 32768), RMS(1e-6f, 1e4), .bos_token = -1,
                  .qk_norm = QK_NORM_HEADS, .layout = LAYOUT_QWEN_MOE,
                  .experts = {.count = 128, .per_token = 8, .ffn = 768}}},
    // ---- Near Llama ----
    {.type = "ministral",
     .keys = KEYS_AS_LLAMA "sliding_window layer_types",
     .activation = "silu",
     .defaults = {SIZES(32, 4096, 32, 8, 0, 14336, 32000, 131072), RMS(1e-6f, 1e4), BOS_EOS(1, 2), .window = 4096}},
    {.type = "ministral3",
     .keys = KEYS_AS_LLAMA "sliding_window",
     .activation = "silu",
     .defaults = {SIZES(34, 4096, 32, 8, 128, 14336, 131072, 262144), RMS(1e-5f, 1e6), BOS_EOS(1, 2)}},
    {.type = "smollm3",
     .keys = KEYS_OF_QWEN "layer_types attention_bias mlp_bias no_rope_layers no_rope_layer_interval",
     .activation = "silu",
     ATTENTION_BIAS,
     .mlp_bias = "mlp_bias",
     .defaults = {SIZES(36, 2048, 16, 4, 0, 11008, 128256, 32768), RMS(1e-6f, 2e6), BOS_EOS(128000, 128001),
                  .tied_head = true}},
    {.type = "seed_oss",
     .keys = KEYS_AS_LLAMA "attention_bias attention_out_bias mlp_bias",
     .activation = "silu",
     .attention_bias = "attention_bias",
     .output_bias = "attention_out_bias",
     .mlp_bias = "mlp_bias",
     .defaults = {SIZES(64, 4096, 80, 8, 128, 27648, 155136, 524288), RMS(1e-6f, 1e4), BOS_EOS(0, 2),
                  .attention_bias = true}},
    {.type = "granite",
     .keys = KEYS_OF_GRANITE "mlp_bias",
     .activation = "silu",
     ATTENTION_BIAS,
     .mlp_bias = "mlp_bias",
     .defaults = {SIZES(32, 4096, 32, 0, 0, 11008, 32000, 2048), RMS(1e-6f, 1e4), BOS_EOS(1, 2), .attention_scale = 1}},
    {.type = "olmo",
     .keys = KEYS_BUT_EPS "attention_bias clip_qkv",
     .activation = "silu",
     ATTENTION_BIAS,
     .defaults = {SIZES(32, 4096, 32, 0, 0, 11008, 50304, 2048), LAYER_NORM(1e-5f), BOS_EOS(-1, 50279),
                  .rope_theta = 1e4, .bare_norms = true}},
    {.type = "olmo2",
     .keys = KEYS_AS_LLAMA "attention_bias",
     .activation = "silu",
     ATTENTION_BIAS,
     .defaults = {SIZES(32, 4096, 32, 0, 0, 11008, 50304, 2048), RMS(1e-5f, 1e4), BOS_EOS(-1, 50279), NORMS_AFTER,
                  .qk_norm = QK_NORM_WHOLE}},
    {.type = "olmo3",
     .keys = KEYS_AS_LLAMA "attention_bias sliding_window layer_types",
     .activation = "silu",
     ATTENTION_BIAS,
     .windows = WINDOW_NOT_EVERY_NTH,
     .window_period = 4,
     .defaults = {SIZES(32, 4096, 32, 0, 0, 11008, 50304, 2048), RMS(1e-5f, 5e5), BOS_EOS(-1, 50279), NORMS_AFTER,
                  .qk_norm = QK_NORM_WHOLE, .window = 4096, .rope_window_theta = 5e5}},
    {.type = "olmoe",
     .keys = KEYS_AS_LLAMA "attention_bias clip_qkv num_experts num_experts_per_tok norm_topk_prob",
     .activation = "silu",
     ATTENTION_BIAS,
     .defaults = {SIZES(16, 2048, 16, 0, 0, 2048, 50304, 4096), RMS(1e-5f, 1e4), BOS_EOS(-1, 50279),
                  .qk_norm = QK_NORM_WHOLE, .layout = LAYOUT_QWEN_MOE, .experts = {.count = 64, .per_token = 8}}},
    {.type = "ernie4_5",
     .keys = KEYS_AS_LLAMA "use_bias",
     .activation = "silu",
     .attention_bias = "use_bias",
     .output_bias = "use_bias",
     .mlp_bias = "use_bias",
     .defaults = {SIZES(18, 1024, 16, 2, 128, 3072, 103424, 131072), RMS(1e-5f, 5e5), BOS_EOS(1, 2), .tied_head = true,
                  .rope_adjacent = true}},
    {.type = "hunyuan_v1_dense",
     .keys = KEYS_AS_LLAMA "attention_bias",
     .activation = "silu",
     ATTENTION_BIAS,
     .rope_alpha = true,
     .defaults = {SIZES(32, 4096, 32, 0, 0, 11008, 290943, 2048), RMS(1e-5f, 1e4), BOS_EOS(1, 2),
                  .qk_norm = QK_NORM_ROTATED}},
    {.type = "exaone4",
     .keys = KEYS_AS_LLAMA "sliding_window sliding_window_pattern layer_types",
     .activation = "silu",
     .windows = WINDOW_NOT_EVERY_NTH,
     .window_period = 4,
     .windows_rotate = true,
     .defaults = {SIZES(32, 4096, 32, 32, 0, 16384, 102400, 2048), RMS(1e-5f, 1e4), BOS_EOS(0, 2), NORMS_AFTER,
                  .qk_norm = QK_NORM_HEADS, .window = 4096}},
    {.type = "arcee",
     .keys = KEYS_AS_LLAMA "attention_bias mlp_bias",
     .activation = "relu2",
     ATTENTION_BIAS,
     .mlp_bias = "mlp_bias",
     .defaults = {SIZES(32, 2560, 32, 0, 0, 18432, 32000, 4096), RMS(1e-5f, 1e4), BOS_EOS(128000, 128001),
                  .layout = LAYOUT_UNGATED_LLAMA}},
    {.type = "apertus",
     .keys = KEYS_AS_LLAMA "attention_bias",
     .activation = "xielu",
     ATTENTION_BIAS,
     .defaults = {SIZES(32, 4096, 32, 0, 0, 14336, 131072, 65536), RMS(1e-5f, 1.2e7), BOS_EOS(1, 2),
                  .qk_norm = QK_NORM_HEADS, .layout = LAYOUT_APERTUS}},
    {.type = "nemotron",
     .keys = KEYS_BUT_EPS "attention_bias mlp_bias norm_eps partial_rotary_factor",
     .activation = "relu2",
     ATTENTION_BIAS,
     .mlp_bias = "mlp_bias",
     .partial_rotary = 0.5,
     .defaults = {SIZES(32, 6144, 48, 0, 0, 24576, 256000, 4096), .norm = NORM_LAYER_PLUS_ONE, RMS(1e-5f, 1e4),
                  BOS_EOS(2, 3), .layout = LAYOUT_UNGATED_LLAMA}},
    {.type = "cohere",
     .keys = KEYS_BUT_EPS "attention_bias layer_norm_eps logit_scale use_qk_norm",
     .activation = "silu",
     ATTENTION_BIAS,
     .parallel_shares_norm = true,
     .qk_norm = QK_NORM_EACH,
     .defaults = {SIZES(40, 8192, 64, 0, 0, 22528, 256000, 8192), COHERE}},
    {.type = "cohere2",
     .keys = KEYS_BUT_EPS "attention_bias layer_norm_eps logit_scale sliding_window sliding_window_pattern layer_types",
     .activation = "silu",
     ATTENTION_BIAS,
     .windows = WINDOW_NOT_EVERY_NTH,
     .window_period = 4,
     .windows_rotate = true,
     .parallel_shares_norm = true,
     .defaults = {SIZES(40, 8192, 64, 0, 0, 22528, 256000, 8192), COHERE, .window = 4096}},
    {.type = "starcoder2",
     .keys = KEYS_BUT_EPS "norm_epsilon use_bias sliding_window",
     .activation = "gelu_pytorch_tanh",
     .attention_bias = "use_bias",
     .output_bias = "use_bias",
     .mlp_bias = "use_bias",
     .defaults = {SIZES(30, 3072, 24, 2, 0, 12288, 49152, 4096), LAYER_NORM(1e-5f), BOS_EOS(50256, 50256), ALL_BIASES,
                  .rope_theta = 1e4, .layout = LAYOUT_STARCODER2, .tied_head = true}},
    {.type = "stablelm",
     .keys = KEYS_BUT_EPS "layer_norm_eps use_qkv_bias qk_layernorm use_parallel_residual partial_rotary_factor",
     .activation = "silu",
     .attention_bias = "use_qkv_bias",
     .partial_rotary = 0.25,
     .qk_norm = QK_NORM_APART,
     .parallel_shares_norm = true,
     .defaults = {SIZES(32, 2560, 32, 32, 0, 6912, 50304, 4096), LAYER_NORM(1e-5f), BOS_EOS(0, 0), .rope_theta = 1e4}},
    {.type = "phi",
     .keys = KEYS_BUT_EPS "layer_norm_eps qk_layernorm partial_rotary_factor",
     .activation = "gelu_new",
     .partial_rotary = 0.5,
     .parallel_shares_norm = true,
     .qk_norm = QK_NORM_HEADS,
     .defaults = {SIZES(24, 2048, 32, 0, 0, 8192, 51200, 2048), LAYER_NORM(1e-5f), BOS_EOS(1, 2), ALL_BIASES,
                  .head_bias = true, .rope_theta = 1e4, .layout = LAYOUT_PHI, .parallel = true}},
    {.type = "glm",
     .keys = KEYS_AS_LLAMA "attention_bias partial_rotary_factor",
     .activation = "silu",
     .attention_bias = "attention_bias",
     .partial_rotary = 0.5,
     .defaults = {SIZES(40, 4096, 32, 2, 128, 13696, 151552, 131072), GLM}},
    {.type = "glm4",
     .keys = KEYS_AS_LLAMA "attention_bias partial_rotary_factor",
     .activation = "silu",
     .attention_bias = "attention_bias",
     .partial_rotary = 0.5,
     .defaults = {SIZES(40, 4096, 32, 2, 128, 13696, 151552, 131072), GLM, .branch_norms = true}},
    // ---- Mixtures as DeepSeek's ----
    {.type = "glm4_moe",
     .keys = KEYS_AS_LLAMA KEYS_OF_ROUTING "attention_bias partial_rotary_factor use_qk_norm",
     .activation = "silu",
     .attention_bias = "attention_bias",
     .partial_rotary = 0.5,
     .qk_norm = QK_NORM_HEADS,
     .defaults = {SIZES(46, 4096, 96, 8, 0, 10944, 151552, 131072), RMS(1e-5f, 1e4), .bos_token = -1,
                  .layout = LAYOUT_GLM_MOE,
                  .experts = {.count = 128,
                              .per_token = 8,
                              .ffn = 1408,
                              .shared_count = 1,
                              .first_layer = 1,
                              .normalized = true,
                              .sigmoid = true,
                              .biased = true,
                              .groups = 1,
                              .chosen_groups = 1}}},
    {.type = "ernie4_5_moe",
     .keys = KEYS_AS_LLAMA "use_bias moe_intermediate_size moe_k moe_num_experts moe_num_shared_experts "
                           "moe_layer_start_index moe_layer_end_index moe_layer_interval",
     .activation = "silu",
     .attention_bias = "use_bias",
     .output_bias = "use_bias",
     .mlp_bias = "use_bias",
     .defaults = {SIZES(28, 2560, 20, 4, 0, 12288, 103424, 131072), RMS(1e-5f, 5e5), BOS_EOS(1, 2), .tied_head = true,
                  .rope_adjacent = true, .layout = LAYOUT_ERNIE_MOE,
                  .experts = {.count = 64,
                              .per_token = 6,
                              .ffn = 1536,
                              .shared_count = 2,
                              .first_layer = 1,
                              .normalized = true,
                              .biased = true}}},
    {.type = "minimax_m2",
     .keys = KEYS_AS_LLAMA "num_local_experts num_experts_per_tok rotary_dim partial_rotary_factor",
     .activation = "silu",
     .defaults = {SIZES(62, 3072, 48, 8, 128, 1536, 200064, 196608), RMS(1e-6f, 5e6), BOS_EOS(200034, 200020),
                  .qk_norm = QK_NORM_WHOLE, .layout = LAYOUT_MINIMAX,
                  .experts = {.count = 256, .per_token = 8, .normalized = true, .sigmoid = true, .biased = true}}},
    {.type = "gpt_oss",
     .keys = KEYS_AS_LLAMA "attention_bias sliding_window layer_types num_local_experts num_experts_per_tok",
     .activation = "silu",
     ATTENTION_BIAS,
     .clamps_gate = true,
     .windows = WINDOW_NOT_EVERY_NTH,
     .window_period = 2,
     .defaults = {SIZES(36, 2880, 64, 8, 64, 2880, 201088, 131072), RMS(1e-5f, 150000), .bos_token = -1,
                  .attention_bias = true, .output_bias = true, .mlp_bias = true, .window = 128,
                  .layout = LAYOUT_GPT_OSS,
                  .experts = {.count = 128, .per_token = 4, .normalized = true, .stacked = true}}},
    {.type = "granitemoeshared",
     .keys = KEYS_OF_GRANITE "num_local_experts num_experts_per_tok shared_intermediate_size",
     .activation = "silu",
     ATTENTION_BIAS,
     .defaults = {SIZES(32, 4096, 32, 0, 0, 11008, 32000, 2048), RMS(1e-6f, 1e4), BOS_EOS(1, 2), .attention_scale = 1,
                  .layout = LAYOUT_GRANITE_MOE,
                  .experts = {.count = 8, .per_token = 2, .normalized = true, .stacked = true, .halves = true}}},
    {.type = "phimoe",
     .keys = KEYS_AS_LLAMA "attention_bias lm_head_bias sliding_window num_local_experts num_experts_per_tok "
                           "router_jitter_noise",
     .activation = "silu",
     ATTENTION_BIAS,
     .rope_mscales = true,
     .defaults = {SIZES(32, 4096, 32, 8, 0, 6400, 32064, 131072), LAYER_NORM(1e-5f), BOS_EOS(1, 2), .rope_theta = 1e6,
                  .layout = LAYOUT_MIXTRAL, .experts = {.count = 16, .per_token = 2, .mixer = true}}},
    {.type = "llama4", .nested = "llama4_text"},
    {.type = "llama4_text",
     .keys = KEYS_AS_LLAMA "attention_bias intermediate_size_mlp num_local_experts num_experts_per_tok moe_layers "
                           "interleave_moe_layer_step use_qk_norm no_rope_layers no_rope_layer_interval layer_types "
                           "attention_chunk_size attn_temperature_tuning floor_scale attn_scale",
     .activation = "silu",
     ATTENTION_BIAS,
     .qk_norm = QK_NORM_BARE,
     .windows = WINDOW_ROTATED_LAYERS,
     .defaults = {SIZES(48, 5120, 40, 8, 128, 16384, 202048, 131072), RMS(1e-5f, 5e5), BOS_EOS(1, 2),
                  .qk_norm = QK_NORM_BARE, .rope_adjacent = true, .window = 8192, .chunked = true,
                  .query_growth = {.rate = 0.1f, .step = 8192, .first = 1, .unrotated = true}, .layout = LAYOUT_LLAMA4,
                  .experts = {.count = 16,
                              .per_token = 1,
                              .ffn = 8192,
                              .shared_ffn = 8192,
                              .sigmoid = true,
                              .stacked = true,
                              .halves = true,
                              .scales_inputs = true}}},
    {.type = "granitemoe", .same_as = "granitemoeshared"},
    {.type = "deepseek_v2",
     .keys = KEYS_OF_DEEPSEEK,
     .activation = "silu",
     .attention_bias = "attention_bias",
     .mlp_bias = "mlp_bias",
     .defaults = {SIZES(32, 4096, 32, 0, 0, 11008, 102400, 2048), RMS(1e-6f, 1e4), BOS_EOS(1, 2), DEEPSEEK,
                  .experts = {.count = 64, .per_token = 1, .ffn = 1407, .shared_count = 2}}},
    {.type = "deepseek_v3",
     .keys = KEYS_OF_DEEPSEEK "rope_interleave norm_topk_prob",
     .activation = "silu",
     .attention_bias = "attention_bias",
     .defaults = {SIZES(61, 7168, 128, 0, 0, 18432, 129280, 4096), RMS(1e-6f, 1e4), BOS_EOS(0, 1), DEEPSEEK,
                  .experts = {.count = 256,
                              .per_token = 8,
                              .ffn = 2048,
                              .shared_count = 1,
                              .first_layer = 3,
                              .normalized = true,
                              .sigmoid = true,
                              .biased = true,
                              .groups = 8,
                              .chosen_groups = 4,
                              .scale = 2.5f}}},
    {.type = "kimi_k2", .same_as = "deepseek_v3"},
    // ---- Later Gemmas, whose layers differ ----
    {.type = "gemma4", .nested = "gemma4_text", .defaults = {.tied_head = true}},
    {.type = "gemma4_text",
     .keys = KEYS_OF_GEMMA4 "vocab_size_per_layer_input hidden_size_per_layer_input enable_moe_block num_experts "
                            "top_k_experts moe_intermediate_size",
     .activation = "gelu_pytorch_tanh",
     ATTENTION_BIAS,
     .windows = WINDOW_NOT_EVERY_NTH,
     .window_period = 6,
     .last_is_full = true,
     .scales_embedding = true,
     .defaults =
         {SIZES(30, 2304, 8, 4, 256, 9216, 262144, 131072), GEMMA4, .window = 512, .layer_inputs = {.width = 256},
          .experts =
              {.count = 1, .per_token = 1, .normalized = true, .stacked = true, .halves = true, .beside = true}}},
    {.type = "gemma4_unified", .nested = "gemma4_unified_text", .defaults = {.tied_head = true}},
    {.type = "gemma4_unified_text",
     .keys = KEYS_OF_GEMMA4,
     .activation = "gelu_pytorch_tanh",
     ATTENTION_BIAS,
     .windows = WINDOW_NOT_EVERY_NTH,
     .window_period = 6,
     .last_is_full = true,
     .scales_embedding = true,
     .defaults = {SIZES(30, 2304, 8, 4, 256, 9216, 262144, 262144), GEMMA4, .window = 1024}},
    {.type = "gemma3n", .nested = "gemma3n_text", .defaults = {.tied_head = true}},
    {.type = "gemma3n_text",
     .keys = KEYS_OF_GEMMA
     "hidden_activation sliding_window layer_types final_logit_softcapping rope_local_base_freq num_kv_shared_layers "
     "vocab_size_per_layer_input hidden_size_per_layer_input activation_sparsity_pattern altup_num_inputs "
     "altup_active_idx altup_correct_scale laurel_rank",
     .activation = "gelu_pytorch_tanh",
     ATTENTION_BIAS,
     .windows = WINDOW_NOT_EVERY_NTH,
     .window_period = 5,
     .sharing_layers = 15,
     .scales_embedding = true,
     .defaults = {SIZES(35, 2048, 8, 2, 256, 16384, 262400, 32768), RMS(1e-6f, 1e6), BOS_EOS(2, 1), .tied_head = true,
                  .branch_norms = true, .qk_norm = QK_NORM_HEADS, .value_norm = true, .attention_scale = 1,
                  .window = 512, .rope_window_theta = 1e4, .logit_softcap = 30, .layout = LAYOUT_GEMMA3N,
                  .laurel_rank = 64, .layer_inputs = {.width = 256}, .altup = {.streams = 4, .scaled = true}}},
    // ---- Layers that remember ----
    {.type = "lfm2",
     .keys = KEYS_OF_LFM2 "intermediate_size block_ff_dim block_auto_adjust_ff_dim block_ffn_dim_multiplier "
                          "block_multiple_of tie_embedding full_attn_idxs",
     .activation = "silu",
     .defaults = {SIZES(32, 2560, 32, 8, 0, 12288, 65536, 128000), LFM2, .layout = LAYOUT_LFM2}},
    {.type = "lfm2_moe",
     .keys = KEYS_OF_LFM2 "intermediate_size tie_embedding num_dense_layers num_experts num_experts_per_tok "
                          "moe_intermediate_size use_expert_bias norm_topk_prob routed_scaling_factor",
     .activation = "silu",
     .defaults = {SIZES(32, 2048, 32, 8, 0, 7168, 65536, 128000), LFM2, .layout = LAYOUT_LFM2_MOE,
                  .experts = {.count = 32,
                              .per_token = 4,
                              .ffn = 1792,
                              .first_layer = 2,
                              .normalized = true,
                              .sigmoid = true,
                              .biased = true}}},
    {.type = "qwen3_next",
     .keys = KEYS_OF_QWEN_NEXT KEYS_OF_EXPERTS "shared_expert_intermediate_size",
     .activation = "silu",
     ATTENTION_BIAS,
     .partial_rotary = 0.25,
     .defaults = {SIZES(48, 2048, 16, 2, 256, 5632, 151936, 32768), QWEN_NEXT, .layout = LAYOUT_QWEN3_NEXT,
                  .experts = {.count = 512, .per_token = 10, .ffn = 512, .shared_ffn = 512, .normalized = true}}},
    {.type = "qwen3_5", .nested = "qwen3_5_text"},
    {.type = "qwen3_5_text",
     .keys = KEYS_OF_QWEN_NEXT,
     .activation = "silu",
     ATTENTION_BIAS,
     .partial_rotary = 0.25,
     .defaults = {SIZES(32, 4096, 16, 4, 256, 12288, 248320, 32768), QWEN_NEXT, .layout = LAYOUT_QWEN3_5}},
    {.type = "qwen3_5_moe", .nested = "qwen3_5_moe_text"},
    {.type = "qwen3_5_moe_text",
     .keys = KEYS_OF_QWEN_NEXT "num_experts num_experts_per_tok moe_intermediate_size shared_expert_intermediate_size",
     .activation = "silu",
     ATTENTION_BIAS,
     .partial_rotary = 0.25,
     .defaults = {SIZES(40, 2048, 16, 2, 256, 5632, 248320, 32768), QWEN_NEXT, .layout = LAYOUT_QWEN3_5_MOE,
                  .experts = {.count = 256, .per_token = 8, .ffn = 512, .shared_ffn = 512, .normalized = true}}},
    {.type = "falcon_h1",
     .keys = KEYS_AS_LLAMA "attention_bias mlp_bias projectors_bias mamba_d_ssm mamba_n_heads mamba_d_head "
                           "mamba_n_groups mamba_d_state mamba_d_conv mamba_expand mamba_conv_bias mamba_proj_bias "
                           "mamba_norm_before_gate mamba_rms_norm time_step_limit lm_head_multiplier "
                           "embedding_multiplier mlp_multipliers key_multiplier attention_out_multiplier "
                           "attention_in_multiplier ssm_multipliers ssm_in_multiplier ssm_out_multiplier",
     .activation = "silu",
     ATTENTION_BIAS,
     .mlp_bias = "mlp_bias",
     .defaults = {SIZES(32, 4096, 32, 8, 0, 14336, 128000, 8192), RMS(1e-5f, 1e4), BOS_EOS(1, 2),
                  .layout = LAYOUT_FALCON_H1,
                  .recurrent = {.kind = RECURRENT_MAMBA,
                                .taps = 4,
                                .heads = 128,
                                .key_heads = 1,
                                .key_dim = 256,
                                .convolution_bias = true,
                                .without_norm = true,
                                .norm_first = true}}},
    {.type = "nemotron_h",
     .keys = KEYS_OF_ALL KEYS_OF_SIZES
     "intermediate_size num_key_value_heads head_dim mlp_hidden_act mlp_bias layer_norm_epsilon layers_block_type "
     "hybrid_override_pattern ssm_state_size mamba_num_heads mamba_head_dim mamba_hidden_act n_groups conv_kernel "
     "use_bias use_conv_bias n_routed_experts num_local_experts num_experts_per_tok n_shared_experts "
     "moe_intermediate_size moe_shared_expert_intermediate_size moe_latent_size norm_topk_prob n_group topk_group "
     "routed_scaling_factor",
     .activation = "relu2",
     .mlp_bias = "mlp_bias",
     .defaults = {SIZES(4, 4096, 32, 8, 128, 21504, 131072, 4096), RMS(1e-5f, 1e4), BOS_EOS(1, 2),
                  .layout = LAYOUT_NEMOTRON_H,
                  .recurrent = {.kind = RECURRENT_MAMBA,
                                .taps = 4,
                                .heads = 128,
                                .key_heads = 8,
                                .key_dim = 128,
                                .value_dim = 64,
                                .convolution_bias = true},
                  .experts = {.count = 8,
                              .per_token = 2,
                              .ffn = 7688,
                              .shared_ffn = 7688,
                              .normalized = true,
                              .sigmoid = true,
                              .biased = true,
                              .ungated = true,
                              .groups = 1,
                              .chosen_groups = 1}}},
    // ---- Near GPT-2 ----
    {.type = "gptj",
     .keys = KEYS_OF_ALL KEYS_OF_SIZES
     "n_embd n_layer n_head n_positions n_inner activation_function layer_norm_epsilon rotary_dim",
     .activation = "gelu_new",
     .parallel_shares_norm = true,
     .defaults = {SIZES(28, 4096, 16, 0, 0, 0, 50400, 2048), LAYER_NORM(1e-5f), BOS_EOS(50256, 50256), .mlp_bias = true,
                  .head_bias = true, .layout = LAYOUT_GPT_J, .rope_theta = 1e4, .rope_adjacent = true,
                  .parallel = true}},
    {.type = "codegen",
     .keys = KEYS_OF_ALL KEYS_OF_SIZES
     "n_embd n_layer n_head n_positions n_inner activation_function layer_norm_epsilon rotary_dim",
     .activation = "gelu_new",
     .parallel_shares_norm = true,
     .defaults = {SIZES(28, 4096, 16, 0, 0, 0, 50400, 2048), LAYER_NORM(1e-5f), BOS_EOS(50256, 50256), .mlp_bias = true,
                  .head_bias = true, .quartered_qkv = true, .layout = LAYOUT_CODEGEN, .rope_theta = 1e4,
                  .rope_adjacent = true, .parallel = true}},
    {.type = "gpt_bigcode",
     .keys = KEYS_OF_ALL KEYS_OF_SIZES "n_embd n_layer n_head n_positions n_inner activation_function "
                                       "layer_norm_epsilon scale_attn_weights multi_query add_cross_attention",
     .activation = "gelu_pytorch_tanh",
     .defaults = {SIZES(12, 768, 12, 0, 0, 0, 50257, 1024), LAYER_NORM(1e-5f), BOS_EOS(50256, 50256), ALL_BIASES,
                  .layout = LAYOUT_GPT_BIGCODE, .positions = POSITIONS_LEARNED, .grouped_qkv = true,
                  .tied_head = true}},
    {.type = "mpt",
     .keys = KEYS_OF_ALL "d_model n_heads n_layers max_seq_len layer_norm_epsilon attn_config",
     .activation = "gelu",
     .defaults = {SIZES(24, 2048, 16, 0, 0, 0, 50368, 2048), LAYER_NORM(1e-5f), .bos_token = -1,
                  .norm_without_bias = true, .layout = LAYOUT_MPT, .positions = POSITIONS_ALIBI, .tied_head = true}},
    // ---- Encoder–decoders ----
    {.type = "t5",
     .keys = KEYS_OF_T5,
     .activation = "relu",
     .scales_tied_logits = true,
     .defaults = {SIZES(6, 512, 8, 0, 64, 2048, 32128, T5_POSITIONS), T5, .tied_head = true}},
    {.type = "mt5",
     .keys = KEYS_OF_T5,
     .activation = "gated-gelu",
     .defaults = {SIZES(8, 512, 6, 0, 64, 1024, 250112, T5_POSITIONS), T5}},
    {.type = "bart",
     .keys = KEYS_OF_BART,
     .activation = "gelu",
     .defaults = {SIZES(12, 1024, 16, 0, 0, 4096, 50265, 1024), BOS_EOS(0, 2), BART(2, 2), .norm_after = true,
                  .positions = POSITIONS_LEARNED, .position_offset = 2, .embedding_norm = true}},
    {.type = "mbart",
     .keys = KEYS_OF_BART,
     .activation = "gelu",
     .defaults = {SIZES(12, 1024, 16, 0, 0, 4096, 50265, 1024), BOS_EOS(0, 2), BART(-1, 2),
                  .positions = POSITIONS_LEARNED, .position_offset = 2, .embedding_norm = true}},
    {.type = "marian",
     .keys = KEYS_OF_BART "share_encoder_decoder_embeddings",
     .activation = "gelu",
     .defaults = {SIZES(12, 1024, 16, 0, 0, 4096, 58101, 1024), BOS_EOS(-1, 0), BART(58100, 0), .norm_after = true,
                  .positions = POSITIONS_SINUSOID}},
    // ---- Text halves of models that see ----
    {.type = "mistral3", .nested = "mistral"},
    {.type = "smolvlm", .nested = "llama"},
    {.type = "idefics3", .nested = "llama"},
    {.type = "paligemma", .nested = "gemma", .defaults = {.tied_head = true}},
    {.type = "internvl", .nested = "qwen2"},
    {.type = "llava_onevision", .nested = "qwen2"},
    {.type = "qwen2_vl", .nested = "qwen2"},
    {.type = "qwen2_5_vl", .nested = "qwen2"},
    {.type = "qwen3_vl", .nested = "qwen3"},
    {.type = "qwen3_vl_moe", .nested = "qwen3_moe"},
    {.type = "qwen2_vl_text", .same_as = "qwen2"},
    {.type = "qwen2_5_vl_text", .same_as = "qwen2"},
    {.type = "qwen3_vl_text", .same_as = "qwen3"},
    {.type = "qwen3_vl_moe_text", .same_as = "qwen3_moe"},
};
enum { FAMILIES = sizeof families / sizeof *families };

bool family_reads(const Family *family, const char *key) {
    size_t length = strlen(key);
    if (!length) return false; // it is found everywhere
    for (const char *at = family->keys; (at = strstr(at, key)); at += length) {
        bool begins = at == family->keys || at[-1] == ' ', ends = !at[length] || at[length] == ' ';
        if (begins && ends) return true;
    }
    return false;
}

const Family *family_find(const char *type) {
    for (int i = 0; i < FAMILIES; i++) {
        if (strcmp(families[i].type, type) != 0) continue;
        return families[i].same_as ? family_find(families[i].same_as) : &families[i];
    }
    return NULL;
}
