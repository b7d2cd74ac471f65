// What config.json says about a model, as numbers and named flags; one struct for all families.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "kernels/dtype.h"
#include "kernels/nonlinearity.h"

#define LAYERS_MAX 1024
#define ROPE_PAIRS_MAX 256 // of scalings that list a factor for every pair

typedef struct LayerSet {
    uint64_t bits[LAYERS_MAX / 64];
} LayerSet;

static inline bool layer_is_in(const LayerSet *set, int layer) { return set->bits[layer / 64] >> (layer % 64) & 1; }
static inline void layer_remove(LayerSet *set, int layer) { set->bits[layer / 64] &= ~((uint64_t)1 << (layer % 64)); }
static inline void layer_add(LayerSet *set, int layer) { set->bits[layer / 64] |= (uint64_t)1 << (layer % 64); }

// How tensors are named and which of them are stored as one (structure.c).
typedef enum TensorLayout {
    LAYOUT_LLAMA,
    LAYOUT_PHI3,
    LAYOUT_GPT2,
    LAYOUT_GPT_NEO,
    LAYOUT_GPT_NEOX,
    LAYOUT_OPT,
    LAYOUT_BLOOM,
    LAYOUT_FALCON,
    LAYOUT_MIXTRAL,
    LAYOUT_QWEN_MOE,
    LAYOUT_GLM_MOE,
    LAYOUT_ERNIE_MOE,
    LAYOUT_MINIMAX,
    LAYOUT_GEMMA4,
    LAYOUT_GEMMA3N,
    LAYOUT_GPT_OSS,
    LAYOUT_GRANITE_MOE,
    LAYOUT_LLAMA4,
    LAYOUT_APERTUS,
    LAYOUT_DEEPSEEK,
    LAYOUT_DEEPSEEK_Q, // queries are one linear
    LAYOUT_FALCON_H1,
    LAYOUT_LFM2,
    LAYOUT_LFM2_MOE,
    LAYOUT_NEMOTRON_H,
    LAYOUT_QWEN3_5,
    LAYOUT_QWEN3_5_MOE,
    LAYOUT_QWEN3_NEXT,
    LAYOUT_UNGATED_LLAMA,
    LAYOUT_STARCODER2,
    LAYOUT_PHI,
    LAYOUT_GLM,
    LAYOUT_GPT_J,
    LAYOUT_CODEGEN,
    LAYOUT_GPT_BIGCODE,
    LAYOUT_MPT,
    LAYOUT_T5,
    LAYOUT_T5_GATED,
    LAYOUT_BART,
    LAYOUT_OTHER, // nothing is known: matrices are found by their shape
} TensorLayout;

typedef enum NormKind {
    NORM_RMS,            // x / rms · w
    NORM_RMS_PLUS_ONE,   // x / rms · (1 + w)
    NORM_LAYER,          // (x − mean) / σ · w + b
    NORM_LAYER_PLUS_ONE, // (x − mean) / σ · (1 + w) + b
} NormKind;

static inline bool norm_is_centred(NormKind kind) { return kind >= NORM_LAYER; }
static inline bool norm_adds_one(NormKind kind) { return kind == NORM_RMS_PLUS_ONE || kind == NORM_LAYER_PLUS_ONE; }

// Norms of q and k.
typedef enum QkNorm {
    QK_NORM_NONE,
    QK_NORM_HEADS,   // over every head, before positions
    QK_NORM_WHOLE,   // over all heads together, before positions
    QK_NORM_ROTATED, // over every head, after positions
    QK_NORM_BARE,    // so, without weights, in layers with positions
    QK_NORM_EACH,    // as QK_NORM_HEADS, every head with weights of its own: rows of one tensor
    QK_NORM_APART,   // so, each a tensor
} QkNorm;

typedef enum Positions {
    POSITIONS_ROPE,
    POSITIONS_LEARNED,
    POSITIONS_ALIBI,
    POSITIONS_SINUSOID, // added to embeddings: sines of falling frequency, then cosines
    POSITIONS_RELATIVE, // added to scores, by how far apart the two are, in buckets (T5, arXiv 1910.10683, 2.1)
} Positions;

typedef enum RopeScaling {
    ROPE_DEFAULT,
    ROPE_LINEAR,
    ROPE_DYNAMIC,
    ROPE_LLAMA3,
    ROPE_YARN,
    ROPE_LONG,
    ROPE_PROPORTIONAL
} RopeScaling;

// Queries at position p are multiplied by 1 + rate · ln(1 + ⌊(p + first) / step⌋), after they are rotated.
typedef struct QueryGrowth {
    float rate; // 0: they are not
    double step;
    int first;
    bool unrotated; // in layers without positions, else in those with
} QueryGrowth;

#define EXPERT_GROUPS_MAX 1024

typedef struct Experts {
    int count, per_token;      // 0: no mixture of experts
    int ffn, shared_ffn;       // inner width of one expert; of the one that sees every token (0: none)
    int shared_count;          // that is as wide as so many; 0: its width is said
    int first_layer;           // those before it have none
    bool normalized;           // the weights of the chosen ones are made to add up to 1
    bool sigmoid;              // scores are sigmoids of logits, else their softmax
    bool biased;               // a bias is added to scores when experts are chosen, and not to their weights
    bool ungated;              // experts have no gates, and the one that sees every token neither
    bool stacked;              // a layer's experts lie in one tensor, gate and up as every other row of it…
    bool halves;               // …or as its halves
    bool beside;               // the layers that have them have an MLP for all tokens as well (Gemma 4)
    int groups, chosen_groups; // experts are chosen from the best of so many groups; 0: of one
    float scale;               // of the weights; 0: 1
    bool scales_inputs;        // the weights multiply what the experts read, not what they give
    bool mixer;                // SparseMixer (arXiv 2409.12136): a weight is the softmax over the best left and those
    float tolerance;           // whose logits lie below it by no more than this share
    LayerSet layers;           // that have them; the others have an MLP of width ModelConfig.ffn
} Experts;

// Latent attention (DeepSeek V2, arXiv 2405.04434, 2.1): keys and values are made of a narrow vector, and a part of the
// key that is rotated is the same for all heads. head_dim is plain + rotated; heads are [rotated, plain] here.
typedef struct Latent {
    int kv_rank;               // 0: ordinary attention
    int q_rank;                // 0: queries are made as usual
    int plain, rotated, value; // dimensions of a head
} Latent;

// Vectors of a token's own for every layer (Gemma 3n and 4): from a table, and from the embedding by a linear.
typedef struct LayerInputs {
    int width; // of each; 0: none
    int vocab; // rows of the table; other tokens have its first
} LayerInputs;

// Alternating updates (arXiv 2301.13310): tokens are several vectors, of which layers see and change one, and by it
// guess how the others change.
typedef struct AltUp {
    int streams; // 0: a token is one vector
    int active;  // the one that layers see
    bool scaled; // what the others are told of it is multiplied by a vector
} AltUp;

// Layers that remember: instead of keys and values they keep a state for each sequence, which every token changes
// (kernels/backend.h).
typedef enum RecurrentKind {
    RECURRENT_NONE,
    RECURRENT_CONVOLUTION, // c · convolution(b · x) of b, c and x (LFM 2): as one head whose values are all channels
    RECURRENT_DELTA,       // a convolution, and matrices of heads by the gated delta rule
    RECURRENT_MAMBA,       // the same by Mamba 2
} RecurrentKind;

typedef struct Recurrent {
    RecurrentKind kind;
    int taps;                                  // of the convolution
    int heads, key_heads, key_dim, value_dim;  // of the matrices
    bool bias, convolution_bias;               // of linears; of the convolution
    bool without_norm;                         // of what matrices give
    bool norm_first;                           // norm(y) · silu(z), else norm(y · silu(z))
    int norm_groups;                           // channels are normed in so many parts
    float z_scale, step_scale, out_scale;      // what these are multiplied by; 0: not
    float value_scale, key_scale, query_scale; // so are inputs of the convolution
    LayerSet layers;
} Recurrent;

// Inputs of the convolution, and what matrices give.
static inline int recurrent_values(const Recurrent *r) { return r->heads * r->value_dim; }
static inline int recurrent_channels(const Recurrent *r) { return recurrent_values(r) + 2 * r->key_heads * r->key_dim; }
// What a sequence remembers in one layer, in floats: the tail of the convolution, then the matrices.
static inline size_t recurrent_tail(const Recurrent *r) {
    return (size_t)(r->taps - 1) * (size_t)recurrent_channels(r);
}
static inline size_t recurrent_floats(const Recurrent *r) {
    return recurrent_tail(r) + (size_t)recurrent_values(r) * (size_t)r->key_dim;
}

// An encoder–decoder reads a source and writes a target. Its encoder's layers come first among the layers: they look at
// the source in both directions. The others are its decoder's, which look back over the target and, by cross-attention,
// at all that the encoder made of the source.
typedef struct EncoderDecoder {
    int encoder_layers;                  // of ModelConfig.layers; 0: there is no encoder
    int encoder_ffn;                     // inner width of its MLPs
    int start_token;                     // with which every target begins
    int first_token, last_token;         // that it goes on with, and ends with where there is no more room; −1: any
    int never_tokens[8], never_count;    // that are never written
    int least_length;                    // with its start a target has so many tokens before it may end
    int no_repeat;                       // no run of so many tokens comes twice in it; 0: any may
    int relative_buckets;                // POSITIONS_RELATIVE: half of them for each direction in the encoder
    int relative_distance;               // beyond which all is in the last bucket
    float length_penalty;                // beams: a target's log-probability is divided by its length to this power
    bool early_stopping, never_stopping; // beams: end at the first full set of targets; only when none can be better
} EncoderDecoder;

typedef struct ModelConfig {
    char family[32];   // "llama": model_type of config.json; "unknown" when it does not say
    char not_run[320]; // why there is no forward pass for this model, as a sentence; "" when there is one
    uint64_t identity; // hash of config.json and quantize_config.json
    uint64_t writing;  // hash of generation_config.json, which what is written depends on and no statistic
    TensorLayout layout;
    int layers, hidden, heads, kv_heads, head_dim, ffn, vocab;
    int max_positions;   // of source and target each, where there are both
    int embedding_width; // of the embedding table, when a linear stands between it and the layers; else hidden
    NormKind norm;
    bool norm_without_bias; // of a NORM_LAYER…
    bool bare_norms;        // no norm has weights
    float norm_eps;
    bool tied_head;                             // the head is the embedding
    bool attention_bias, output_bias, mlp_bias; // q,k,v; o; gate,up,down
    bool head_bias;
    bool grouped_qkv;   // rows of a fused q,k,v: per kv head its queries, k, v; else all q, k, v
    bool quartered_qkv; // four times a quarter of all q, v, k (CodeGen)

    // Order of things in a layer. Sequential: x += attention(norm(x)); x += mlp(norm(x)).
    bool parallel;           // x += attention(norm(x)) + mlp(norm(x))
    bool shared_norm;        // parallel: with one norm for both
    bool norm_after;         // x = norm(x + attention(x)); x = norm(x + mlp(x))
    bool branch_norms;       // x += norm(attention(norm(x))), and so the MLP
    bool no_norm_before;     // without the inner ones of them
    bool residual_from_norm; // x = norm(x) + attention(norm(x)), and so the MLP
    bool no_final_norm;
    bool embedding_norm; // a norm between the embedding and the first layer
    QkNorm qk_norm;
    bool value_norm; // every head of v is divided by its size
    Nonlinearity activation;
    bool xielu; // instead of it, with numbers of each layer

    float embedding_scale; // embeddings are multiplied by it; 0: they are not
    float residual_scale;  // so is what attention and MLP add; 0: not
    float logit_scale;     // so are logits; 0: not
    float logit_softcap;   // c · tanh(logit / c); 0: none

    float qkv_limit;       // q, k and v are held within ± it, before positions; 0: not
    float attention_scale; // of q · k
    bool scale_by_layer;   // which is divided by layer + 1
    float score_softcap;   // c · tanh(score / c); 0: none
    int window;            // positions that a token of a windowed layer sees, itself included; 0: all
    bool chunked;          // it sees those from the last multiple of `window` on
    LayerSet windowed;
    bool gated_attention; // queries of a head are followed by gates: what it gives is multiplied by σ(gate)
    LayerSet unattended;  // layers without attention
    LayerSet without_mlp; // and those without an MLP or experts
    float attention_out_scale, gate_scale, mlp_scale; // of what attention, gates and MLPs give; 0: not

    // Layers of one model that differ. Layers without a window are the full ones.
    int full_head_dim, full_kv_heads; // of full layers; 0: as the others
    bool full_values_are_keys;        // full layers have no v: values are keys as they were before their norm
    int first_sharing; // from this layer on keys and values are those of the last layer before it that is full as this
                       // one is, or is not; 0: every layer has its own
    int wide_ffn;      // instead of ffn, of the layers that are wide
    LayerSet wide;
    float gate_cutoff; // of the gates of sparse layers only what is above the mean by so many deviations is left
    LayerSet sparse;
    int laurel_rank; // attention has a linear of this rank beside it (arXiv 2411.07501); 0: none
    LayerInputs layer_inputs;
    AltUp altup;

    Positions positions;
    int position_offset; // row of the learned table for position 0
    bool alibi_bf16;     // biases are rounded to BF16 and divided by √head_dim like the scores (Falcon)
    int rotated_dims;    // of every head; 0: head_dim
    bool rope_adjacent;  // pairs are dimensions 2i and 2i + 1, else i and i + rotated_dims / 2
    LayerSet unrotated;  // layers without positions
    double rope_theta;
    double rope_window_theta; // of windowed layers, which then are not scaled; 0: as the others
    RopeScaling rope_scaling;
    double rope_factor, rope_low_freq_factor, rope_high_freq_factor, rope_original_positions;
    double rope_beta_fast, rope_beta_slow; // yarn
    bool rope_untruncated;                 // yarn
    double rope_share;                     // proportional: of the pairs, the first of which alone are rotated
    double rope_attention_factor;          // cosine and sine are multiplied by it; 0: 1
    double rope_long_factor;               // by this instead behind the original positions; 0: by the same
    QueryGrowth query_growth;
    float rope_short_factors[ROPE_PAIRS_MAX], rope_long_factors[ROPE_PAIRS_MAX]; // longrope: [rotated_dims / 2]

    Latent latent;
    Recurrent recurrent;
    Experts experts;
    EncoderDecoder pair;

    int bos_token, eos_tokens[8], eos_count; // bos −1 when none
    DType dtype;                             // torch_dtype / dtype; DTYPE_OTHER when not said
} ModelConfig;

// Whether a layer is one of those without a window that have heads of their own.
static inline bool layer_is_full(const ModelConfig *config, int layer) {
    return layer >= 0 && config->full_head_dim > 0 && !layer_is_in(&config->windowed, layer);
}
static inline int layer_head_dim(const ModelConfig *config, int layer) {
    return layer_is_full(config, layer) ? config->full_head_dim : config->head_dim;
}
static inline int layer_kv_heads(const ModelConfig *config, int layer) {
    return layer_is_full(config, layer) ? config->full_kv_heads : config->kv_heads;
}
static inline size_t layer_key_width(const ModelConfig *config, int layer) {
    return (size_t)layer_kv_heads(config, layer) * (size_t)layer_head_dim(config, layer);
}
static inline int layer_ffn(const ModelConfig *config, int layer) {
    return layer >= 0 && layer_is_in(&config->wide, layer) ? config->wide_ffn : config->ffn;
}

// Whether a layer reads the keys and values of another.
static inline bool layer_shares(const ModelConfig *config, int layer) {
    return config->first_sharing > 0 && layer >= config->first_sharing;
}
// The layer whose keys and values later ones read that have a window, or none; −1: there is none.
int shared_layer(const ModelConfig *config, bool windowed);

// Floats of a token between two layers: [streams, hidden], then what later layers read of it besides (model/stream.c).
size_t stream_width(const ModelConfig *config);

// Bytes of keys and values of one position, in all layers of the decoder, each head with `more` bytes besides.
size_t cache_bytes(const ModelConfig *config, size_t bytes_of_number, size_t more);

// Dimensions of every head that rope rotates; windowed: in layers with a window.
static inline int rope_dims_of(const ModelConfig *config, bool windowed) {
    if (config->full_head_dim && !windowed) return config->full_head_dim;
    return config->rotated_dims ? config->rotated_dims : config->head_dim;
}
static inline int rope_dims(const ModelConfig *config) { return rope_dims_of(config, false); }

// How many of so many positions are those of the source, where a text is cut into source and target: half of them. 0
// for models without an encoder.
static inline size_t source_share(const ModelConfig *config, size_t positions) {
    return config->pair.encoder_layers ? positions / 2 : 0;
}

// Positions of the longest sequence, source and target together.
static inline size_t most_positions(const ModelConfig *config) {
    return (size_t)config->max_positions * (config->pair.encoder_layers ? 2 : 1);
}

// What a sequence remembers in all layers, in floats.
size_t remembered_floats(const ModelConfig *config);

// Reads config.json (and generation_config.json for further eos ids, if there) of a folder, or what a GGUF file says
// instead (loaders/documents.h). Every number is checked for
// sense (positive, heads divisible by kv_heads, …). Families and options that cannot be run, and a missing file, are
// not errors: `not_run` says why, and only the weights can be worked on.
bool config_load(const char *source, ModelConfig *out, Error *err);

// Notes why the model cannot be run; the first reason stays. Returns true: it is no error.
bool config_not_run(ModelConfig *config, const char *format, ...) __attribute__((format(printf, 2, 3)));

extern const ModelConfig config_unknown; // nothing is known

// For use after config_load failed, or when the tensors do not fit its result: only the family's name is known, and
// `reason` says why the model is not run.
void config_unusable(ModelConfig *config, const char *reason);

// The same from the text of config.json.
bool config_parse(const char *text, size_t length, ModelConfig *out, Error *err);
