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
#define KEYS_AS_LLAMA \
    KEYS_OF_ALL KEYS_OF_SIZES KEYS_OF_ROPE "intermediate_size num_key_value_heads head_dim hidden_act rms_norm_eps "
#define KEYS_OF_QWEN KEYS_AS_LLAMA "use_sliding_window sliding_window "
#define KEYS_OF_GEMMA                      \
    KEYS_OF_ALL KEYS_OF_SIZES KEYS_OF_ROPE \
        "intermediate_size num_key_value_heads head_dim rms_norm_eps attention_bias use_bidirectional_attention "
#define KEYS_OF_LATER_GEMMAS \
    KEYS_OF_GEMMA "hidden_activation sliding_window layer_types query_pre_attn_scalar final_logit_softcapping "
#define KEYS_OF_EXPERTS \
    "num_experts num_experts_per_tok moe_intermediate_size norm_topk_prob decoder_sparse_step mlp_only_layers "

#define ONES_EOS(id) .eos_tokens = {(id)}, .eos_count = 1
#define BOS_EOS(bos, eos) .bos_token = (bos), ONES_EOS(eos)
#define SIZES(L, H, A, KV, D, F, V, P)                                                                       \
    .layers = (L), .hidden = (H), .heads = (A), .kv_heads = (KV), .head_dim = (D), .ffn = (F), .vocab = (V), \
    .max_positions = (P)
#define RMS(eps, theta) .norm_eps = (eps), .rope_theta = (theta)
#define LAYER_NORM(eps) .norm = NORM_LAYER, .norm_eps = (eps)
#define ALL_BIASES .attention_bias = true, .output_bias = true, .mlp_bias = true
#define GEMMA .norm = NORM_RMS_PLUS_ONE, .tied_head = true, BOS_EOS(2, 1)

static const Family families[] = {
    {.type = "llama",
     .keys = KEYS_AS_LLAMA "attention_bias mlp_bias",
     .activation = "silu",
     .attention_bias = "attention_bias",
     .output_bias = "attention_bias", // one flag for all four
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
     .attention_bias = "attention_bias",
     .output_bias = "attention_bias",
     .windows = WINDOW_LATER_LAYERS,
     .defaults = {SIZES(32, 4096, 32, 32, 128, 22016, 151936, 32768), RMS(1e-6f, 1e4), .bos_token = -1,
                  .qk_norm = true}},
    {.type = "gemma",
     .keys = KEYS_OF_GEMMA "hidden_act",
     .activation = "gelu_pytorch_tanh",
     .attention_bias = "attention_bias",
     .output_bias = "attention_bias",
     .gelu_means_tanh = true,
     .scales_embedding = true,
     .defaults = {SIZES(28, 3072, 16, 16, 256, 24576, 256000, 8192), RMS(1e-6f, 1e4), GEMMA}},
    {.type = "gemma2",
     .keys = KEYS_OF_LATER_GEMMAS "attn_logit_softcapping",
     .activation = "gelu_pytorch_tanh",
     .attention_bias = "attention_bias",
     .output_bias = "attention_bias",
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
     .attention_bias = "attention_bias",
     .output_bias = "attention_bias",
     .windows = WINDOW_NOT_EVERY_NTH,
     .window_period = 6,
     .query_scalar = 256,
     .scales_embedding = true,
     .defaults = {SIZES(26, 2304, 8, 4, 256, 9216, 262208, 131072), RMS(1e-6f, 1e6), GEMMA, .branch_norms = true,
                  .qk_norm = true, .window = 4096, .rope_window_theta = 1e4}},
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
     .attention_bias = "attention_bias",
     .output_bias = "attention_bias",
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
     .attention_bias = "attention_bias",
     .output_bias = "attention_bias",
     .defaults = {SIZES(24, 2048, 32, 4, 0, 6144, 151936, 32768), RMS(1e-6f, 1e4), .bos_token = -1, .qk_norm = true,
                  .layout = LAYOUT_QWEN_MOE, .experts = {.count = 128, .per_token = 8, .ffn = 768}}},
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
        if (strcmp(families[i].type, type) == 0) return &families[i];
    }
    return NULL;
}
