// How checkpoints name things: one table per layout, in execution order.
#include <assert.h>
#include <stddef.h>

#include "loaders/structure_parts.h"

#define AT(member) offsetof(LayerMap, member)
#define INTO(member) .offset = offsetof(LayerMap, member) // and what a row does not say is 0
#define QKV_APART(q_name, k_name, v_name)                                                               \
    {q_name, ROLE_Q, WIDTH_QUERIES, WIDTH_HIDDEN, BIAS_ATTENTION, SLOT_ATTENTION, FUSED_QKV, AT(q)},    \
        {k_name, ROLE_K, WIDTH_KEYS, WIDTH_HIDDEN, BIAS_ATTENTION, SLOT_ATTENTION, FUSED_QKV, AT(k)}, { \
        v_name, ROLE_V, WIDTH_KEYS, WIDTH_HIDDEN, BIAS_ATTENTION, SLOT_ATTENTION, FUSED_QKV, AT(v)      \
    }
#define QKV(name) \
    { name, ROLE_QKV, WIDTH_QKV, WIDTH_HIDDEN, BIAS_ATTENTION, SLOT_ATTENTION, FUSED_ALONE, AT(qkv) }
#define OUTPUT(name) \
    { name, ROLE_O, WIDTH_HIDDEN, WIDTH_QUERIES, BIAS_OUTPUT, SLOT_MIXED, FUSED_ALONE, AT(o) }
#define DOWN(name) \
    { name, ROLE_DOWN, WIDTH_HIDDEN, WIDTH_FFN, BIAS_MLP, SLOT_INNER, FUSED_ALONE, AT(down) }
#define GATED_MLP(gate_name, up_name, down_name)                                                  \
    {gate_name, ROLE_GATE, WIDTH_FFN, WIDTH_HIDDEN, BIAS_MLP, SLOT_MLP, FUSED_GATE_UP, AT(gate)}, \
        {up_name, ROLE_UP, WIDTH_FFN, WIDTH_HIDDEN, BIAS_MLP, SLOT_MLP, FUSED_GATE_UP, AT(up)}, DOWN(down_name)
#define SHARED_EXPERT(module)                                                                                           \
    {module ".gate_proj", ROLE_GATE, WIDTH_SHARED_FFN, WIDTH_HIDDEN,                                                    \
     BIAS_NONE,           SLOT_MLP,  FUSED_SHARED,     AT(shared_gate)},                                                \
        {module ".up_proj", ROLE_UP, WIDTH_SHARED_FFN, WIDTH_HIDDEN, BIAS_NONE, SLOT_MLP, FUSED_SHARED, AT(shared_up)}, \
    {                                                                                                                   \
        module ".down_proj", ROLE_DOWN, WIDTH_HIDDEN, WIDTH_SHARED_FFN, BIAS_NONE, SLOT_SHARED_INNER, FUSED_ALONE,      \
            AT(shared_down)                                                                                             \
    }
#define UNGATED_MLP(fc1_name, fc2_name)                                                          \
    {fc1_name, ROLE_FC1, WIDTH_FFN, WIDTH_HIDDEN, BIAS_MLP, SLOT_MLP, FUSED_ALONE, AT(up)}, {    \
        fc2_name, ROLE_FC2, WIDTH_HIDDEN, WIDTH_FFN, BIAS_MLP, SLOT_INNER, FUSED_ALONE, AT(down) \
    }
#define TWO_NORMS(attention, mlp)                                                   \
    {attention, SLOT_ATTENTION, WIDTH_HIDDEN, WHEN_ALWAYS, INTO(attention_norm)}, { \
        mlp, SLOT_MLP, WIDTH_HIDDEN, WHEN_ALWAYS, INTO(mlp_norm)                    \
    }
#define END \
    { .name = NULL }

// ---- Llama and its many heirs ----

static const LinearRow llama_attention[] = {QKV_APART("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
                                            OUTPUT("self_attn.o_proj"), END};
static const LinearRow llama_mlp[] = {GATED_MLP("mlp.gate_proj", "mlp.up_proj", "mlp.down_proj"), END};
static const NormRow llama_norms[] = {
    {"input_layernorm", SLOT_ATTENTION, WIDTH_HIDDEN, WHEN_NORM_BEFORE, INTO(attention_norm)},
    {"self_attn.q_norm", SLOT_NONE, WIDTH_HEAD_DIM, WHEN_QK_NORM_HEADS, INTO(q_norm), .of = NORMED_QUERIES},
    {"self_attn.k_norm", SLOT_NONE, WIDTH_HEAD_DIM, WHEN_QK_NORM_HEADS, INTO(k_norm), .of = NORMED_KEYS},
    {"self_attn.q_norm", SLOT_NONE, WIDTH_QUERIES, WHEN_QK_NORM_WHOLE, INTO(q_norm), .of = NORMED_QUERIES},
    {"self_attn.k_norm", SLOT_NONE, WIDTH_KEYS, WHEN_QK_NORM_WHOLE, INTO(k_norm), .of = NORMED_KEYS},
    {"self_attn.q_norm", SLOT_NONE, WIDTH_HEAD_DIM, WHEN_QK_NORM_EACH, INTO(q_norm), .of = NORMED_QUERIES},
    {"self_attn.k_norm", SLOT_NONE, WIDTH_HEAD_DIM, WHEN_QK_NORM_EACH, INTO(k_norm), .of = NORMED_KEYS},
    {"self_attn.q_layernorm.norms", SLOT_NONE, WIDTH_HEAD_DIM, WHEN_QK_NORM_APART, INTO(q_norm), .of = NORMED_QUERIES},
    {"self_attn.k_layernorm.norms", SLOT_NONE, WIDTH_HEAD_DIM, WHEN_QK_NORM_APART, INTO(k_norm), .of = NORMED_KEYS},
    {"self_attn.query_layernorm", SLOT_NONE, WIDTH_HEAD_DIM, WHEN_QK_NORM_ROTATED, INTO(q_norm), .of = NORMED_QUERIES},
    {"self_attn.key_layernorm", SLOT_NONE, WIDTH_HEAD_DIM, WHEN_QK_NORM_ROTATED, INTO(k_norm), .of = NORMED_KEYS},
    {"post_attention_layernorm", SLOT_MLP, WIDTH_HIDDEN, WHEN_MLP_NORM, INTO(mlp_norm)},
    {"post_attention_layernorm", SLOT_NONE, WIDTH_HIDDEN, WHEN_BRANCH_NORMS, INTO(attention_out_norm)},
    {"pre_feedforward_layernorm", SLOT_MLP, WIDTH_HIDDEN, WHEN_NORMS_AROUND, INTO(mlp_norm)},
    {"post_feedforward_layernorm", SLOT_NONE, WIDTH_HIDDEN, WHEN_BRANCH_NORMS, INTO(mlp_out_norm)},
    END};

static const LinearRow phi3_attention[] = {QKV("self_attn.qkv_proj"), OUTPUT("self_attn.o_proj"), END};
static const LinearRow phi3_mlp[] = {
    {"mlp.gate_up_proj", ROLE_GATE_UP, WIDTH_TWO_FFN, WIDTH_HIDDEN, BIAS_MLP, SLOT_MLP, FUSED_ALONE, AT(gate_up)},
    DOWN("mlp.down_proj"),
    END};

static const LinearRow ungated_llama_mlp[] = {
    {"mlp.up_proj", ROLE_UP, WIDTH_FFN, WIDTH_HIDDEN, BIAS_MLP, SLOT_MLP, FUSED_ALONE, AT(up)},
    DOWN("mlp.down_proj"),
    END};

static const NormRow apertus_norms[] = {
    TWO_NORMS("attention_layernorm", "feedforward_layernorm"),
    {"self_attn.q_norm", SLOT_NONE, WIDTH_HEAD_DIM, WHEN_ALWAYS, INTO(q_norm), .of = NORMED_QUERIES},
    {"self_attn.k_norm", SLOT_NONE, WIDTH_HEAD_DIM, WHEN_ALWAYS, INTO(k_norm), .of = NORMED_KEYS},
    END};

static const LinearRow starcoder2_mlp[] = {UNGATED_MLP("mlp.c_fc", "mlp.c_proj"), END};

static const LinearRow phi_attention[] = {QKV_APART("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
                                          OUTPUT("self_attn.dense"), END};
static const LinearRow phi_mlp[] = {UNGATED_MLP("mlp.fc1", "mlp.fc2"), END};
static const NormRow phi_norms[] = {
    {"input_layernorm", SLOT_ATTENTION, WIDTH_HIDDEN, WHEN_ALWAYS, INTO(attention_norm)},
    {"self_attn.q_layernorm", SLOT_NONE, WIDTH_HEAD_DIM, WHEN_QK_NORM_HEADS, INTO(q_norm), .of = NORMED_QUERIES},
    {"self_attn.k_layernorm", SLOT_NONE, WIDTH_HEAD_DIM, WHEN_QK_NORM_HEADS, INTO(k_norm), .of = NORMED_KEYS},
    END};

static const NormRow glm_norms[] = {
    {"input_layernorm", SLOT_ATTENTION, WIDTH_HIDDEN, WHEN_ALWAYS, INTO(attention_norm)},
    {"post_self_attn_layernorm", SLOT_NONE, WIDTH_HIDDEN, WHEN_BRANCH_NORMS, INTO(attention_out_norm)},
    {"post_attention_layernorm", SLOT_MLP, WIDTH_HIDDEN, WHEN_ALWAYS, INTO(mlp_norm)},
    {"post_mlp_layernorm", SLOT_NONE, WIDTH_HIDDEN, WHEN_BRANCH_NORMS, INTO(mlp_out_norm)},
    END};

static const ExpertNames mixtral_experts = {
    .router = "block_sparse_moe.gate", .experts = "block_sparse_moe.experts", .gate = "w1", .up = "w3", .down = "w2"};

static const LinearRow qwen_shared[] = {SHARED_EXPERT("mlp.shared_expert"),
                                        {"mlp.shared_expert_gate", ROLE_ROUTER, WIDTH_ONE, WIDTH_HIDDEN, BIAS_NONE,
                                         SLOT_MLP, FUSED_ALONE, AT(shared_router)},
                                        END};
static const ExpertNames qwen_experts = {.router = "mlp.gate",
                                         .experts = "mlp.experts",
                                         .gate = "gate_proj",
                                         .up = "up_proj",
                                         .down = "down_proj",
                                         .gate_up = "gate_up_proj",
                                         .shared = qwen_shared};

static const LinearRow glm_shared[] = {SHARED_EXPERT("mlp.shared_experts"), END};
static const ExpertNames glm_experts = {.router = "mlp.gate",
                                        .experts = "mlp.experts",
                                        .gate = "gate_proj",
                                        .up = "up_proj",
                                        .down = "down_proj",
                                        .bias = "mlp.gate.e_score_correction_bias",
                                        .shared = glm_shared};

static const ExpertNames ernie_experts = {.router = "mlp.gate",
                                          .experts = "mlp.experts",
                                          .gate = "gate_proj",
                                          .up = "up_proj",
                                          .down = "down_proj",
                                          .bias = "mlp.moe_statics.e_score_correction_bias",
                                          .bias_is_row = true,
                                          .shared = glm_shared};
static const ExpertNames minimax_experts = {.router = "block_sparse_moe.gate",
                                            .experts = "block_sparse_moe.experts",
                                            .gate = "w1",
                                            .up = "w3",
                                            .down = "w2",
                                            .bias = "block_sparse_moe.e_score_correction_bias"};

static const ExpertNames gpt_oss_experts = {.router = "mlp.router",
                                            .router_bias = BIAS_MLP,
                                            .experts = "mlp.experts",
                                            .gate_up = "gate_up_proj",
                                            .down = "down_proj"};

static const LinearRow granite_shared[] = {{"shared_mlp.input_linear", ROLE_GATE_UP, WIDTH_TWO_SHARED_FFN, WIDTH_HIDDEN,
                                            BIAS_NONE, SLOT_MLP, FUSED_ALONE, AT(shared_gate_up)},
                                           {"shared_mlp.output_linear", ROLE_DOWN, WIDTH_HIDDEN, WIDTH_SHARED_FFN,
                                            BIAS_NONE, SLOT_SHARED_INNER, FUSED_ALONE, AT(shared_down)},
                                           END};
static const ExpertNames granite_experts = {.router = "block_sparse_moe.router.layer",
                                            .experts = "block_sparse_moe",
                                            .gate_up = "input_linear",
                                            .down = "output_linear",
                                            .shared = granite_shared};

static const LinearRow feed_forward_mlp[] = {
    GATED_MLP("feed_forward.gate_proj", "feed_forward.up_proj", "feed_forward.down_proj"), END};
static const LinearRow llama4_shared[] = {SHARED_EXPERT("feed_forward.shared_expert"), END};
static const ExpertNames llama4_experts = {.router = "feed_forward.router",
                                           .experts = "feed_forward.experts",
                                           .gate_up = "gate_up_proj",
                                           .down = "down_proj",
                                           .shared = llama4_shared};

// ---- Latent attention ----

#define LATENT_ATTENTION                                                                                       \
    {"self_attn.kv_a_proj_with_mqa",                                                                           \
     ROLE_KV_A,                                                                                                \
     WIDTH_KV_LATENT_AND_ROTATED,                                                                              \
     WIDTH_HIDDEN,                                                                                             \
     BIAS_ATTENTION,                                                                                           \
     SLOT_ATTENTION,                                                                                           \
     FUSED_QKV,                                                                                                \
     AT(kv_a)},                                                                                                \
        {"self_attn.kv_b_proj", ROLE_KV_B, WIDTH_KEYS_AND_VALUES, WIDTH_KV_LATENT, BIAS_NONE, SLOT_KV_LATENT,  \
         FUSED_ALONE,           AT(kv_b)},                                                                     \
    {                                                                                                          \
        "self_attn.o_proj", ROLE_O, WIDTH_HIDDEN, WIDTH_VALUES, BIAS_ATTENTION, SLOT_MIXED, FUSED_ALONE, AT(o) \
    }
static const LinearRow deepseek_attention[] = {
    {"self_attn.q_a_proj", ROLE_Q_A, WIDTH_Q_LATENT, WIDTH_HIDDEN, BIAS_ATTENTION, SLOT_ATTENTION, FUSED_QKV, AT(q_a)},
    {"self_attn.q_b_proj", ROLE_Q_B, WIDTH_QUERIES, WIDTH_Q_LATENT, BIAS_NONE, SLOT_Q_LATENT, FUSED_ALONE, AT(q_b)},
    LATENT_ATTENTION,
    END};
static const LinearRow deepseek_q_attention[] = {
    {"self_attn.q_proj", ROLE_Q, WIDTH_QUERIES, WIDTH_HIDDEN, BIAS_NONE, SLOT_ATTENTION, FUSED_ALONE, AT(q)},
    LATENT_ATTENTION,
    END};
static const NormRow deepseek_norms[] = {
    {"input_layernorm", SLOT_ATTENTION, WIDTH_HIDDEN, WHEN_ALWAYS, INTO(attention_norm)},
    {"self_attn.q_a_layernorm", SLOT_Q_LATENT, WIDTH_Q_LATENT, WHEN_Q_LATENT, INTO(q_latent_norm)},
    {"self_attn.kv_a_layernorm", SLOT_KV_LATENT, WIDTH_KV_LATENT, WHEN_ALWAYS, INTO(kv_latent_norm)},
    {"post_attention_layernorm", SLOT_MLP, WIDTH_HIDDEN, WHEN_ALWAYS, INTO(mlp_norm)},
    END};

// ---- Later Gemmas ----

#define GEMMA_NORMS                                                                                       \
    {"input_layernorm", SLOT_ATTENTION, WIDTH_HIDDEN, WHEN_ALWAYS, INTO(attention_norm)},                 \
        {"self_attn.q_norm", SLOT_NONE, WIDTH_HEAD_DIM, WHEN_ALWAYS, INTO(q_norm), .of = NORMED_QUERIES}, \
        {"self_attn.k_norm", SLOT_NONE, WIDTH_HEAD_DIM, WHEN_ALWAYS, INTO(k_norm), .of = NORMED_KEYS},    \
        {"post_attention_layernorm", SLOT_NONE, WIDTH_HIDDEN, WHEN_ALWAYS, INTO(attention_out_norm)},     \
        {"pre_feedforward_layernorm", SLOT_MLP, WIDTH_HIDDEN, WHEN_ALWAYS, INTO(mlp_norm)},               \
        {"post_feedforward_layernorm", SLOT_NONE, WIDTH_HIDDEN, WHEN_ALWAYS, INTO(mlp_out_norm)}, {       \
        "post_per_layer_input_norm", SLOT_NONE, WIDTH_HIDDEN, WHEN_LAYER_INPUTS, INTO(layer_input_norm)   \
    }
static const NormRow gemma4_norms[] = {
    GEMMA_NORMS,
    {"router.scale", SLOT_NONE, WIDTH_HIDDEN, WHEN_BESIDE_EXPERTS, INTO(router_norm), .divided = DIVIDED_BY_ROOT,
     .bare = true},
    {"pre_feedforward_layernorm_2", SLOT_NONE, WIDTH_HIDDEN, WHEN_BESIDE_EXPERTS, INTO(experts_norm)},
    {"post_feedforward_layernorm_1", SLOT_NONE, WIDTH_HIDDEN, WHEN_BESIDE_EXPERTS, INTO(dense_out_norm)},
    {"post_feedforward_layernorm_2", SLOT_NONE, WIDTH_HIDDEN, WHEN_BESIDE_EXPERTS, INTO(experts_out_norm)},
    END};
static const NormRow gemma3n_norms[] = {
    GEMMA_NORMS,
    {"laurel.post_laurel_norm", SLOT_NONE, WIDTH_HIDDEN, WHEN_ALWAYS, INTO(laurel_norm)},
    {"altup.router_norm", SLOT_NONE, WIDTH_HIDDEN, WHEN_ALWAYS, INTO(modality_norm), .divided = DIVIDED_BY_WIDTH},
    END};

#define LAYER_INPUTS                                                                                           \
    {"per_layer_input_gate", ROLE_LAYER_GATE, WIDTH_LAYER_INPUT, WIDTH_HIDDEN, BIAS_NONE,                      \
     SLOT_LAYER_GATE,        FUSED_ALONE,     AT(layer_gate)},                                                 \
    {                                                                                                          \
        "per_layer_projection", ROLE_LAYER_PROJ, WIDTH_HIDDEN, WIDTH_LAYER_INPUT, BIAS_NONE, SLOT_LAYER_INNER, \
            FUSED_ALONE, AT(layer_proj)                                                                        \
    }
static const LinearRow gemma4_more[] = {LAYER_INPUTS, END};
static const LinearRow gemma3n_more[] = {{"altup.modality_router", ROLE_ROUTER, WIDTH_STREAMS, WIDTH_HIDDEN, BIAS_NONE,
                                          SLOT_MODALITIES, FUSED_ALONE, AT(modalities)},
                                         {"altup.prediction_coefs", ROLE_OTHER, WIDTH_STREAMS_SQUARED, WIDTH_STREAMS,
                                          BIAS_NONE, SLOT_PREDICTION, FUSED_ALONE, AT(prediction)},
                                         {"altup.correction_coefs", ROLE_OTHER, WIDTH_STREAMS, WIDTH_STREAMS, BIAS_NONE,
                                          SLOT_CORRECTION, FUSED_ALONE, AT(correction)},
                                         {"laurel.linear_left", ROLE_OTHER, WIDTH_LAUREL, WIDTH_HIDDEN, BIAS_NONE,
                                          SLOT_ATTENTION, FUSED_ALONE, AT(laurel_left)},
                                         {"laurel.linear_right", ROLE_OTHER, WIDTH_HIDDEN, WIDTH_LAUREL, BIAS_NONE,
                                          SLOT_LAUREL, FUSED_ALONE, AT(laurel_right)},
                                         LAYER_INPUTS,
                                         END};
static const ExpertNames gemma4_experts = {.router = "router.proj",
                                           .experts = "experts",
                                           .gate_up = "gate_up_proj",
                                           .down = "down_proj",
                                           .scale = "router.per_expert_scale"};

// ---- Layers that remember ----

#define REMEMBERED(name) \
    { name, ROLE_O, WIDTH_HIDDEN, WIDTH_RECURRENT_VALUES, BIAS_RECURRENT, SLOT_REMEMBERED, FUSED_ALONE, AT(out) }
#define RECURRENT_IN(name, width) \
    { name, ROLE_IN, width, WIDTH_HIDDEN, BIAS_RECURRENT, SLOT_ATTENTION, FUSED_IN, AT(in) }

static const LinearRow lfm2_attention[] = {QKV_APART("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
                                           OUTPUT("self_attn.out_proj"), END};
static const LinearRow lfm2_mlp[] = {GATED_MLP("feed_forward.w1", "feed_forward.w3", "feed_forward.w2"), END};
static const NormRow lfm2_norms[] = {
    TWO_NORMS("operator_norm", "ffn_norm"),
    {"self_attn.q_layernorm", SLOT_NONE, WIDTH_HEAD_DIM, WHEN_QK_NORM_HEADS, INTO(q_norm), .of = NORMED_QUERIES},
    {"self_attn.k_layernorm", SLOT_NONE, WIDTH_HEAD_DIM, WHEN_QK_NORM_HEADS, INTO(k_norm), .of = NORMED_KEYS},
    END};
static const LinearRow lfm2_linears[] = {RECURRENT_IN("conv.in_proj", WIDTH_THREE_HIDDEN), REMEMBERED("conv.out_proj"),
                                         END};
static const RecurrentNames lfm2_recurrent = {.linears = lfm2_linears, .convolution = "conv.conv"};
static const ExpertNames lfm2_experts = {.router = "feed_forward.gate",
                                         .experts = "feed_forward.experts",
                                         .gate = "w1",
                                         .up = "w3",
                                         .down = "w2",
                                         .bias = "feed_forward.expert_bias"};

static const LinearRow qwen_next_attention[] = {
    {"self_attn.q_proj", ROLE_Q, WIDTH_GATED_QUERIES, WIDTH_HIDDEN, BIAS_ATTENTION, SLOT_ATTENTION, FUSED_QKV, AT(q)},
    {"self_attn.k_proj", ROLE_K, WIDTH_KEYS, WIDTH_HIDDEN, BIAS_ATTENTION, SLOT_ATTENTION, FUSED_QKV, AT(k)},
    {"self_attn.v_proj", ROLE_V, WIDTH_KEYS, WIDTH_HIDDEN, BIAS_ATTENTION, SLOT_ATTENTION, FUSED_QKV, AT(v)},
    OUTPUT("self_attn.o_proj"),
    END};
static const NormRow qwen_next_norms[] = {
    TWO_NORMS("input_layernorm", "post_attention_layernorm"),
    {"self_attn.q_norm", SLOT_NONE, WIDTH_HEAD_DIM, WHEN_QK_NORM_HEADS, INTO(q_norm), .of = NORMED_QUERIES},
    {"self_attn.k_norm", SLOT_NONE, WIDTH_HEAD_DIM, WHEN_QK_NORM_HEADS, INTO(k_norm), .of = NORMED_KEYS},
    {"linear_attn.norm", SLOT_NONE, WIDTH_RECURRENT_VALUE, WHEN_RECURRENT_NORM, INTO(recurrent_norm)},
    END};
#define RATES(name, width, member) \
    { name, ROLE_RATES, width, WIDTH_HIDDEN, BIAS_NONE, SLOT_ATTENTION, FUSED_RATES, AT(member) }
static const LinearRow qwen3_next_linears[] = {RECURRENT_IN("linear_attn.in_proj_qkvz", WIDTH_CONVOLVED_AND_Z),
                                               RATES("linear_attn.in_proj_ba", WIDTH_TWO_RECURRENT_HEADS, rates),
                                               REMEMBERED("linear_attn.out_proj"), END};
static const LinearRow qwen3_5_linears[] = {
    RECURRENT_IN("linear_attn.in_proj_qkv", WIDTH_CONVOLVED),
    {"linear_attn.in_proj_z", ROLE_Z, WIDTH_RECURRENT_VALUES, WIDTH_HIDDEN, BIAS_NONE, SLOT_ATTENTION, FUSED_IN, AT(z)},
    RATES("linear_attn.in_proj_b", WIDTH_RECURRENT_HEADS, rates),
    RATES("linear_attn.in_proj_a", WIDTH_RECURRENT_HEADS, steps),
    REMEMBERED("linear_attn.out_proj"),
    END};
#define DELTA_TENSORS .convolution = "linear_attn.conv1d", .decay = "linear_attn.A_log", .offset = "linear_attn.dt_bias"
static const RecurrentNames qwen3_next_recurrent = {.linears = qwen3_next_linears, DELTA_TENSORS},
                            qwen3_5_recurrent = {.linears = qwen3_5_linears, DELTA_TENSORS};

#define MAMBA_NAMES(prefix) \
    .convolution = prefix ".conv1d", .decay = prefix ".A_log", .offset = prefix ".dt_bias", .skip = prefix ".D"
static const LinearRow nemotron_h_attention[] = {QKV_APART("mixer.q_proj", "mixer.k_proj", "mixer.v_proj"),
                                                 OUTPUT("mixer.o_proj"), END};
static const LinearRow nemotron_h_mlp[] = {
    {"mixer.up_proj", ROLE_UP, WIDTH_FFN, WIDTH_HIDDEN, BIAS_MLP, SLOT_MLP, FUSED_ALONE, AT(up)},
    DOWN("mixer.down_proj"),
    END};
static const LinearRow nemotron_h_shared[] = {{"mixer.shared_experts.up_proj", ROLE_UP, WIDTH_SHARED_FFN, WIDTH_HIDDEN,
                                               BIAS_MLP, SLOT_MLP, FUSED_ALONE, AT(shared_up)},
                                              {"mixer.shared_experts.down_proj", ROLE_DOWN, WIDTH_HIDDEN,
                                               WIDTH_SHARED_FFN, BIAS_MLP, SLOT_SHARED_INNER, FUSED_ALONE,
                                               AT(shared_down)},
                                              END};
static const ExpertNames nemotron_h_experts = {.router = "mixer.gate",
                                               .experts = "mixer.experts",
                                               .up = "up_proj",
                                               .down = "down_proj",
                                               .bias = "mixer.gate.e_score_correction_bias",
                                               .shared = nemotron_h_shared};
static const NormRow nemotron_h_norms[] = {
    {"norm", SLOT_ATTENTION, WIDTH_HIDDEN, WHEN_MIXING, INTO(attention_norm)},
    {"norm", SLOT_MLP, WIDTH_HIDDEN, WHEN_MLP, INTO(mlp_norm)},
    {"mixer.norm", SLOT_REMEMBERED, WIDTH_RECURRENT_VALUES, WHEN_RECURRENT_NORM, INTO(recurrent_norm)},
    END};
static const LinearRow nemotron_h_linears[] = {RECURRENT_IN("mixer.in_proj", WIDTH_CONVOLVED_Z_AND_STEPS),
                                               REMEMBERED("mixer.out_proj"), END};
static const RecurrentNames nemotron_h_recurrent = {.linears = nemotron_h_linears, MAMBA_NAMES("mixer")};

static const NormRow falcon_h1_norms[] = {
    TWO_NORMS("input_layernorm", "pre_ff_layernorm"),
    {"mamba.norm", SLOT_REMEMBERED, WIDTH_RECURRENT_VALUES, WHEN_RECURRENT_NORM, INTO(recurrent_norm)},
    END};
static const LinearRow falcon_h1_linears[] = {RECURRENT_IN("mamba.in_proj", WIDTH_CONVOLVED_Z_AND_STEPS),
                                              REMEMBERED("mamba.out_proj"), END};
static const RecurrentNames falcon_h1_recurrent = {.linears = falcon_h1_linears, MAMBA_NAMES("mamba")};

// ---- GPT-2 and its relatives ----

static const LinearRow gpt2_attention[] = {QKV("attn.c_attn"), OUTPUT("attn.c_proj"), END};
static const LinearRow gpt_neo_attention[] = {
    QKV_APART("attn.attention.q_proj", "attn.attention.k_proj", "attn.attention.v_proj"),
    OUTPUT("attn.attention.out_proj"), END};
static const LinearRow gpt2_mlp[] = {UNGATED_MLP("mlp.c_fc", "mlp.c_proj"), END};
static const NormRow gpt2_norms[] = {TWO_NORMS("ln_1", "ln_2"), END};

static const LinearRow gpt_j_attention[] = {QKV_APART("attn.q_proj", "attn.k_proj", "attn.v_proj"),
                                            OUTPUT("attn.out_proj"), END};
static const LinearRow gpt_j_mlp[] = {UNGATED_MLP("mlp.fc_in", "mlp.fc_out"), END};
static const NormRow gpt_j_norms[] = {{"ln_1", SLOT_ATTENTION, WIDTH_HIDDEN, WHEN_ALWAYS, INTO(attention_norm)}, END};

static const LinearRow codegen_attention[] = {QKV("attn.qkv_proj"), OUTPUT("attn.out_proj"), END};

static const LinearRow mpt_attention[] = {QKV("attn.Wqkv"), OUTPUT("attn.out_proj"), END};
static const LinearRow mpt_mlp[] = {UNGATED_MLP("ffn.up_proj", "ffn.down_proj"), END};
static const NormRow mpt_norms[] = {TWO_NORMS("norm_1", "norm_2"), END};

static const LinearRow gpt_neox_attention[] = {QKV("attention.query_key_value"), OUTPUT("attention.dense"), END};
static const LinearRow bloom_attention[] = {QKV("self_attention.query_key_value"), OUTPUT("self_attention.dense"), END};
static const LinearRow dense_mlp[] = {UNGATED_MLP("mlp.dense_h_to_4h", "mlp.dense_4h_to_h"), END};
static const NormRow dense_norms[] = {TWO_NORMS("input_layernorm", "post_attention_layernorm"), END};

static const NormRow falcon_norms[] = {
    {"input_layernorm", SLOT_ATTENTION, WIDTH_HIDDEN, WHEN_NOT_PARALLEL_TWO, INTO(attention_norm)},
    {"ln_attn", SLOT_ATTENTION, WIDTH_HIDDEN, WHEN_PARALLEL_TWO, INTO(attention_norm)},
    {"ln_mlp", SLOT_MLP, WIDTH_HIDDEN, WHEN_PARALLEL_TWO, INTO(mlp_norm)},
    {"post_attention_layernorm", SLOT_MLP, WIDTH_HIDDEN, WHEN_SEQUENTIAL, INTO(mlp_norm)},
    END};

static const LinearRow opt_attention[] = {QKV_APART("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
                                          OUTPUT("self_attn.out_proj"), END};
static const LinearRow opt_mlp[] = {UNGATED_MLP("fc1", "fc2"), END};
static const NormRow opt_norms[] = {TWO_NORMS("self_attn_layer_norm", "final_layer_norm"), END};

// ---- Encoder–decoders ----

#define CROSS(q_name, k_name, v_name, o_name)                                                                      \
    {q_name, ROLE_CROSS_Q, WIDTH_QUERIES, WIDTH_HIDDEN, BIAS_ATTENTION, SLOT_CROSS, FUSED_ALONE, AT(cross_q)},     \
        {k_name, ROLE_CROSS_K, WIDTH_KEYS, WIDTH_HIDDEN, BIAS_ATTENTION, SLOT_SOURCE, FUSED_ALONE, AT(cross_k)},   \
        {v_name, ROLE_CROSS_V, WIDTH_KEYS, WIDTH_HIDDEN, BIAS_ATTENTION, SLOT_SOURCE, FUSED_ALONE, AT(cross_v)}, { \
        o_name, ROLE_CROSS_O, WIDTH_HIDDEN, WIDTH_QUERIES, BIAS_OUTPUT, SLOT_CROSS_MIXED, FUSED_ALONE, AT(cross_o) \
    }

static const LinearRow t5_attention[] = {
    QKV_APART("layer.0.SelfAttention.q", "layer.0.SelfAttention.k", "layer.0.SelfAttention.v"),
    OUTPUT("layer.0.SelfAttention.o"), END};
static const LinearRow t5_cross[] = {CROSS("layer.1.EncDecAttention.q", "layer.1.EncDecAttention.k",
                                           "layer.1.EncDecAttention.v", "layer.1.EncDecAttention.o"),
                                     END};
#define T5_GATED_MLP(layer) \
    GATED_MLP(layer ".DenseReluDense.wi_0", layer ".DenseReluDense.wi_1", layer ".DenseReluDense.wo")
static const LinearRow t5_encoder_mlp[] = {UNGATED_MLP("layer.1.DenseReluDense.wi", "layer.1.DenseReluDense.wo"), END};
static const LinearRow t5_mlp[] = {UNGATED_MLP("layer.2.DenseReluDense.wi", "layer.2.DenseReluDense.wo"), END};
static const LinearRow t5_gated_encoder_mlp[] = {T5_GATED_MLP("layer.1"), END};
static const LinearRow t5_gated_mlp[] = {T5_GATED_MLP("layer.2"), END};
static const NormRow t5_encoder_norms[] = {TWO_NORMS("layer.0.layer_norm", "layer.1.layer_norm"), END};
static const NormRow t5_norms[] = {TWO_NORMS("layer.0.layer_norm", "layer.2.layer_norm"),
                                   {"layer.1.layer_norm", SLOT_CROSS, WIDTH_HIDDEN, WHEN_ALWAYS, INTO(cross_norm)},
                                   END};

static const LinearRow bart_cross[] = {
    CROSS("encoder_attn.q_proj", "encoder_attn.k_proj", "encoder_attn.v_proj", "encoder_attn.out_proj"), END};
static const LinearRow bart_encoder_mlp[] = {
    {"fc1", ROLE_FC1, WIDTH_ENCODER_FFN, WIDTH_HIDDEN, BIAS_MLP, SLOT_MLP, FUSED_ALONE, AT(up)},
    {"fc2", ROLE_FC2, WIDTH_HIDDEN, WIDTH_ENCODER_FFN, BIAS_MLP, SLOT_INNER, FUSED_ALONE, AT(down)},
    END};
static const NormRow bart_norms[] = {
    TWO_NORMS("self_attn_layer_norm", "final_layer_norm"),
    {"encoder_attn_layer_norm", SLOT_CROSS, WIDTH_HIDDEN, WHEN_ALWAYS, INTO(cross_norm)},
    END};

#define T5_STACK(stack)                                                                           \
    .layer = stack ".block.", .final_norm = stack ".final_layer_norm", .attention = t5_attention, \
    .relative = "layer.0.SelfAttention.relative_attention_bias"
#define BART_STACK(stack)                                                                                             \
    .layer = stack ".layers.", .positions = stack ".embed_positions", .embedding_norm = stack ".layernorm_embedding", \
    .final_norm = stack ".layer_norm", .attention = opt_attention
static const LayoutTable t5_encoder = {T5_STACK("encoder"), .mlp = t5_encoder_mlp, .norms = t5_encoder_norms},
                         t5_gated_encoder = {T5_STACK("encoder"), .mlp = t5_gated_encoder_mlp,
                                             .norms = t5_encoder_norms},
                         bart_encoder = {BART_STACK("encoder"), .mlp = bart_encoder_mlp, .norms = opt_norms};

// ---- The layouts ----

// Files saved from the model without its head lack the first prefix; multimodal models put another before it.
#define LLAMA_PLACES                                                                                   \
    .prefixes = {"model.", "", "language_model.model.", "model.language_model.", "model.text_model."}, \
    .layer = "layers.", .embedding = "embed_tokens", .heads = {"lm_head", "language_model.lm_head"}
#define LLAMA_NAMES_BUT_NORMS LLAMA_PLACES, .final_norm = "norm"
#define LLAMA_NAMES LLAMA_NAMES_BUT_NORMS, .norms = llama_norms
#define LFM2_NAMES                                                                                                   \
    LLAMA_PLACES, .final_norm = "embedding_norm", .norms = lfm2_norms, .attention = lfm2_attention, .mlp = lfm2_mlp, \
                  .recurrent = &lfm2_recurrent
#define QWEN_NEXT_NAMES \
    LLAMA_NAMES_BUT_NORMS, .norms = qwen_next_norms, .attention = qwen_next_attention, .mlp = llama_mlp
#define TRANSFORMER_NAMES .prefixes = {"transformer.", ""}, .layer = "h.", .final_norm = "ln_f", .heads = {"lm_head"}

#define PAIR_NAMES(prefix)                                                                                       \
    .prefixes = {prefix, ""}, .embedding = "shared", .copies = {"encoder.embed_tokens", "decoder.embed_tokens"}, \
    .heads = {"lm_head"}

static const LayoutTable tables[] = {
    [LAYOUT_LLAMA] = {LLAMA_NAMES, .attention = llama_attention, .mlp = llama_mlp},
    [LAYOUT_PHI3] = {LLAMA_NAMES, .attention = phi3_attention, .mlp = phi3_mlp},
    [LAYOUT_MIXTRAL] = {LLAMA_NAMES, .attention = llama_attention, .mlp = llama_mlp, .experts = &mixtral_experts},
    [LAYOUT_QWEN_MOE] = {LLAMA_NAMES, .attention = llama_attention, .mlp = llama_mlp, .experts = &qwen_experts},
    [LAYOUT_GLM_MOE] = {LLAMA_NAMES, .attention = llama_attention, .mlp = llama_mlp, .experts = &glm_experts},
    [LAYOUT_ERNIE_MOE] = {LLAMA_NAMES, .attention = llama_attention, .mlp = llama_mlp, .experts = &ernie_experts},
    [LAYOUT_MINIMAX] = {LLAMA_NAMES, .attention = llama_attention, .mlp = llama_mlp, .experts = &minimax_experts},
    [LAYOUT_GPT_OSS] = {LLAMA_NAMES, .attention = llama_attention, .mlp = llama_mlp, .experts = &gpt_oss_experts,
                        .sinks = "self_attn.sinks"},
    [LAYOUT_GEMMA4] = {LLAMA_NAMES_BUT_NORMS, .norms = gemma4_norms, .attention = llama_attention, .mlp = llama_mlp,
                       .more = gemma4_more, .experts = &gemma4_experts, .scalar = "layer_scalar"},
    [LAYOUT_GEMMA3N] = {LLAMA_NAMES_BUT_NORMS, .norms = gemma3n_norms, .attention = llama_attention, .mlp = llama_mlp,
                        .more = gemma3n_more, .correction = "altup.correct_output_scale"},
    [LAYOUT_GRANITE_MOE] = {LLAMA_NAMES, .attention = llama_attention, .mlp = llama_mlp, .experts = &granite_experts},
    [LAYOUT_LLAMA4] = {LLAMA_NAMES, .attention = llama_attention, .mlp = feed_forward_mlp, .experts = &llama4_experts},
    [LAYOUT_DEEPSEEK] = {LLAMA_NAMES_BUT_NORMS, .norms = deepseek_norms, .attention = deepseek_attention,
                         .mlp = llama_mlp, .experts = &glm_experts},
    [LAYOUT_DEEPSEEK_Q] = {LLAMA_NAMES_BUT_NORMS, .norms = deepseek_norms, .attention = deepseek_q_attention,
                           .mlp = llama_mlp, .experts = &glm_experts},
    [LAYOUT_FALCON_H1] = {LLAMA_PLACES, .final_norm = "final_layernorm", .norms = falcon_h1_norms,
                          .attention = llama_attention, .mlp = feed_forward_mlp, .recurrent = &falcon_h1_recurrent},
    [LAYOUT_LFM2] = {LFM2_NAMES},
    [LAYOUT_LFM2_MOE] = {LFM2_NAMES, .experts = &lfm2_experts},
    [LAYOUT_NEMOTRON_H] = {.prefixes = {"backbone.", "model.", ""},
                           .layer = "layers.",
                           .embedding = "embeddings",
                           .final_norm = "norm_f",
                           .heads = {"lm_head"},
                           .attention = nemotron_h_attention,
                           .mlp = nemotron_h_mlp,
                           .norms = nemotron_h_norms,
                           .experts = &nemotron_h_experts,
                           .recurrent = &nemotron_h_recurrent},
    [LAYOUT_QWEN3_5] = {QWEN_NEXT_NAMES, .recurrent = &qwen3_5_recurrent},
    [LAYOUT_QWEN3_5_MOE] = {QWEN_NEXT_NAMES, .experts = &qwen_experts, .recurrent = &qwen3_5_recurrent},
    [LAYOUT_QWEN3_NEXT] = {QWEN_NEXT_NAMES, .experts = &qwen_experts, .recurrent = &qwen3_next_recurrent},
    [LAYOUT_UNGATED_LLAMA] = {LLAMA_NAMES, .attention = llama_attention, .mlp = ungated_llama_mlp},
    [LAYOUT_APERTUS] = {LLAMA_NAMES_BUT_NORMS, .norms = apertus_norms, .attention = llama_attention,
                        .mlp = ungated_llama_mlp, .xielu = "mlp.act_fn"},
    [LAYOUT_STARCODER2] = {LLAMA_NAMES, .attention = llama_attention, .mlp = starcoder2_mlp},
    [LAYOUT_GLM] = {LLAMA_NAMES_BUT_NORMS, .norms = glm_norms, .attention = llama_attention, .mlp = phi3_mlp},
    [LAYOUT_PHI] = {.prefixes = {"model.", ""},
                    .layer = "layers.",
                    .embedding = "embed_tokens",
                    .final_norm = "final_layernorm",
                    .heads = {"lm_head"},
                    .attention = phi_attention,
                    .mlp = phi_mlp,
                    .norms = phi_norms},
    [LAYOUT_GPT_J] = {TRANSFORMER_NAMES, .embedding = "wte", .attention = gpt_j_attention, .mlp = gpt_j_mlp,
                      .norms = gpt_j_norms},
    [LAYOUT_CODEGEN] = {TRANSFORMER_NAMES, .embedding = "wte", .attention = codegen_attention, .mlp = gpt_j_mlp,
                        .norms = gpt_j_norms},
    [LAYOUT_GPT_BIGCODE] = {TRANSFORMER_NAMES, .embedding = "wte", .positions = "wpe", .attention = gpt2_attention,
                            .mlp = gpt2_mlp, .norms = gpt2_norms},
    [LAYOUT_MPT] = {.prefixes = {"transformer.", ""},
                    .layer = "blocks.",
                    .embedding = "wte",
                    .final_norm = "norm_f",
                    .heads = {"lm_head"},
                    .attention = mpt_attention,
                    .mlp = mpt_mlp,
                    .norms = mpt_norms},
    [LAYOUT_GPT2] = {TRANSFORMER_NAMES, .embedding = "wte", .positions = "wpe", .attention = gpt2_attention,
                     .mlp = gpt2_mlp, .norms = gpt2_norms, .transposed = true},
    [LAYOUT_GPT_NEO] = {TRANSFORMER_NAMES, .embedding = "wte", .positions = "wpe", .attention = gpt_neo_attention,
                        .mlp = gpt2_mlp, .norms = gpt2_norms},
    [LAYOUT_BLOOM] = {TRANSFORMER_NAMES, .embedding = "word_embeddings", .embedding_norm = "word_embeddings_layernorm",
                      .attention = bloom_attention, .mlp = dense_mlp, .norms = dense_norms},
    [LAYOUT_FALCON] = {TRANSFORMER_NAMES, .embedding = "word_embeddings", .attention = bloom_attention,
                       .mlp = dense_mlp, .norms = falcon_norms},
    [LAYOUT_GPT_NEOX] = {.prefixes = {"gpt_neox.", ""},
                         .layer = "layers.",
                         .embedding = "embed_in",
                         .final_norm = "final_layer_norm",
                         .heads = {"embed_out", "lm_head"},
                         .attention = gpt_neox_attention,
                         .mlp = dense_mlp,
                         .norms = dense_norms},
    [LAYOUT_OPT] = {.prefixes = {"model.decoder.", "decoder.", ""},
                    .layer = "layers.",
                    .embedding = "embed_tokens",
                    .positions = "embed_positions",
                    .final_norm = "final_layer_norm",
                    .heads = {"lm_head"},
                    .attention = opt_attention,
                    .mlp = opt_mlp,
                    .norms = opt_norms},
    [LAYOUT_T5] = {PAIR_NAMES(""), T5_STACK("decoder"), .mlp = t5_mlp, .norms = t5_norms, .cross = t5_cross,
                   .encoder = &t5_encoder},
    [LAYOUT_T5_GATED] = {PAIR_NAMES(""), T5_STACK("decoder"), .mlp = t5_gated_mlp, .norms = t5_norms, .cross = t5_cross,
                         .encoder = &t5_gated_encoder},
    [LAYOUT_BART] = {PAIR_NAMES("model."), BART_STACK("decoder"), .mlp = opt_mlp, .norms = bart_norms,
                     .cross = bart_cross, .encoder = &bart_encoder, .head_bias = "final_logits_bias"},
};

static_assert(sizeof tables / sizeof *tables == LAYOUT_OTHER, "a layout has no table");

const LayoutTable *layout_table(TensorLayout layout) {
    assert(layout < LAYOUT_OTHER);
    return &tables[layout];
}
