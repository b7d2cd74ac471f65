// What the files of this room share of a Transformer, a Sequences and a forward pass; nobody outside includes it.
#pragma once

#include "model/transformer.h"

// A layer's experts as one operation of the backend.
typedef struct LayerMixture {
    Mixture *mixture; // NULL: not made yet, or refused
    bool refused;     // until a linear of the layer changes
} LayerMixture;

struct Transformer {
    const ModelStructure *structure;
    Backend *backend;
    Precision precision;
    int cache_bits;      // 8, or anything else for the default
    bool is_variant;     // dense weights and gains belong to another transformer
    Weight **dense;      // [linear_count]; where the backend reads in place, the tensor must be held to compute with it
    Weight **replaced;   // [linear_count], own; NULL where the dense one is in use
    float **gains;       // [norm_count] → [width], and biases [width] behind if it has some, in backend memory
    float **sinks;       // [layers] → [heads] in backend memory, NULL where there are none; as gains
    float **corrections; // [layers] → [hidden], AltUp.scaled; as sinks
    Xielu *xielu;        // [layers], where the configuration has it; as gains
    float **recurrent;   // [layers] → constants of a layer that remembers (recurrent.c), NULL elsewhere; as gains
    float *ones, *zeros; // [widest norm without weights] in backend memory, one behind the other; NULL: there is none
    float **divided;     // [norm_count], own; NULL where the checkpoint's gain is in use
    LayerMixture *mixtures; // [layers], own; made when they are first used
    uint64_t version;       // counts its changes
};

// Intermediate results of one forward pass, in backend memory. Width 0: this model does not need it.
typedef enum ScratchKind {
    SCRATCH_HIDDEN,       // [tokens, hidden], and what tokens carry besides (stream.c): that of transformer_forward
    SCRATCH_NORMED,       // [tokens, hidden]
    SCRATCH_Q,            // [tokens, heads · head_dim]
    SCRATCH_K,            // [tokens, kv_heads · head_dim]
    SCRATCH_V,            // [tokens, kv_heads · head_dim]
    SCRATCH_MIXED,        // [tokens, heads · head_dim]: what attention gives
    SCRATCH_BRANCH,       // [tokens, hidden]: what attention or MLP adds to the residual stream
    SCRATCH_FUSED,        // [tokens, its rows]: what a fused linear gives, before it is split
    SCRATCH_MIXING,       // [tokens, channels]: what goes into the convolution of a layer that remembers
    SCRATCH_GATES,        // [tokens, heads · head_dim, or values]: what attention or memory is multiplied by
    SCRATCH_RATES,        // [tokens, heads] of a layer that remembers
    SCRATCH_STEPS,        // as these
    SCRATCH_LATENT,       // [tokens, larger rank]: of latent attention, and its parts of heads
    SCRATCH_PLAIN,        // [tokens, heads · plain]
    SCRATCH_ROTATED,      // [tokens, heads · rotated]
    SCRATCH_VALUES,       // [tokens, heads · value]
    SCRATCH_PADDING,      // [tokens, heads · (head_dim − value)]
    SCRATCH_GATE,         // [tokens, ffn]
    SCRATCH_UP,           // [tokens, ffn]
    SCRATCH_INNER,        // [tokens, ffn]: f(gate) · up
    SCRATCH_ROUTER,       // [tokens, experts], and [tokens, 1] of the shared expert's gate
    SCRATCH_ROUTED,       // [tokens, hidden]: the tokens of one expert
    SCRATCH_EXPERT,       // [tokens, hidden]: what one expert gives
    SCRATCH_DENSE,        // [tokens, hidden]: of the MLP that experts stand beside
    SCRATCH_LAYER_INPUTS, // [tokens, layers · layer_inputs.width]
    SCRATCH_STREAMS,      // [streams, tokens, hidden]: what a layer guesses (AltUp)
    SCRATCH_ACTIVE,       // [tokens, hidden]
    SCRATCH_MODALITIES,   // [tokens, streams]
    SCRATCH_COEFFICIENTS, // [tokens, streams²]
    SCRATCH_LAUREL,       // [tokens, hidden]
    SCRATCH_RANK,         // [tokens, laurel_rank]
    SCRATCH_COUNT,
} ScratchKind;

// Which expert gets which token, on the host.
typedef struct Routing {
    size_t tokens;   // room for
    float *logits;   // [tokens, experts]
    int32_t *chosen; // [tokens, per_token]
    float *weights;  // [tokens, per_token]
    int32_t *rows;   // [tokens]: those of one expert
    int32_t *order;  // [tokens]: 0, 1, 2 …
    float *factors;  // [tokens]
    float *scores;   // [experts]: of one token, by which it chooses
    float *bias;     // [experts]
    float *scales;   // [experts]: of their weights
} Routing;

typedef struct RopeTable {
    int dims;             // of every head that are rotated
    float *cosine, *sine; // [positions, dims / 2] in backend memory; NULL without rope
} RopeTable;

// What attention adds to scores, of all heads in backend memory; NULL without.
typedef struct ScoreBias {
    float *bias;           // [heads, stride]
    size_t stride, middle; // as in AttentionShape
} ScoreBias;

struct Sequences {
    Backend *backend;
    Cache *caches[2]; // of all sequences: of the layers, or those of the decoder; the second of full layers
    size_t count;
    size_t positions, length; // room for, filled: of each sequence, source included
    size_t source;            // of them those of the source, which all share; 0 without an encoder
    // Keys and values of the source: of the decoder's layers, and behind them of the encoder's layer that is at work.
    Cache *cross;
    // What layers remember: of each sequence that of its layers, recurrent_floats each; NULL without. So it was at
    // position `kept_length`, if that is not 0. `turned`: for sequences that change places.
    float *states, *kept, *turned;
    size_t state_floats, kept_length; // of each sequence
    RopeTable rope, windowed_rope;    // the second is empty where windowed layers rotate like the others
    RopeTable growth;                 // of queries, as if they were rotated; empty where they do not grow
    ScoreBias bias, encoder_bias;
    float *sinusoids;              // [positions, hidden] on the host; NULL without
    size_t widths[SCRATCH_COUNT];  // floats per token
    float *scratch[SCRATCH_COUNT]; // [scratch_tokens, widths]
    size_t scratch_tokens;
    float *logits; // [logits_rows, vocab] in backend memory
    size_t logits_rows;
    float *observed; // [observed_floats] on the host, made when an observer first looks
    size_t observed_floats;
    Routing routing;
    // One token of each sequence by a recorded step (step.c): NULL until there is one, and what the last token was
    // computed with.
    Step *step;
    const Transformer *step_of;
    uint64_t step_version;
    bool step_refused;
};

static inline size_t larger(size_t a, size_t b) { return a > b ? a : b; }

// Makes room for `tokens` tokens in every scratch buffer. What they held is lost when they grow.
bool sequences_scratch(Sequences *running, size_t tokens, Error *err);
// Makes room for `rows` rows of logits.
bool sequences_logits(Sequences *running, size_t rows, size_t vocab, Error *err);
// A host buffer of at least `floats`; NULL with err set when memory is short.
float *sequences_observed(Sequences *running, size_t floats, Error *err);
// One token of each sequence through all layers and the head, into their logits [sequences, vocab], by a step
// recorded before or now. False: run the operations instead; nothing has happened then (step.c).
bool sequences_step(Transformer *t, Sequences *running, const int32_t *ids);
void sequences_forget_step(Sequences *running);

// What layers remember does not fit their length any more: a pass has failed (sequences.c).
void sequences_spoil(Sequences *running);

// Makes room for the routing of `tokens` tokens.
bool sequences_routing(Sequences *running, const Experts *experts, size_t tokens, Error *err);

// Whether the ids are of the vocabulary, and the sequences have room for so many more tokens, the same for each
// (forward.c).
bool forward_ids_known(const ModelConfig *config, const int32_t *ids, size_t tokens, Error *err);
bool forward_has_room(const Sequences *running, size_t tokens, Error *err);

// Rows of the source among the tokens of the next call: all of it, or none.
static inline size_t source_rows(const Sequences *running) { return running->length == 0 ? running->source : 0; }

// Where the next token of each sequence stands, counted without the source.
static inline size_t sequences_target(const Sequences *running) {
    return running->length > running->source ? running->length - running->source : 0;
}

// Positions that so many tokens take up in each sequence; the source's among them.
static inline size_t rows_of_each(const Sequences *running, size_t tokens) {
    const size_t source = source_rows(running);
    return source + (tokens - source) / running->count;
}

// One call of transformer_layers or transformer_head: what every step needs.
typedef struct Pass {
    Transformer *t;
    Sequences *running;
    size_t tokens;
    const Observer *observer;
    Error *err;
    // What layers need besides: those of an encoder see the rows of the source, all others those of the sequences.
    size_t sequences;    // that the rows are of, the same number of each
    size_t first;        // position of the first row of each
    bool encodes;        // the rows are those of the source
    const float *source; // [running->source, hidden]: what the encoder made of it; NULL: that was seen before
    float *stream;       // hidden states, and what tokens carry besides (stream.c)
    bool goes_on;        // further layers come with another pass
} Pass;

// The linears of one MLP; −1 as in LayerMap.
typedef struct Mlp {
    int gate_up, gate, up, down;
    const Xielu *xielu;  // between up and down; NULL: the activation function of the configuration
    const float *cutoff; // ModelConfig.gate_cutoff; NULL: all of the gate is left
} Mlp;

static inline const ModelConfig *pass_config(const Pass *pass) { return &pass->t->structure->config; }

// Shows the input of a linear, x [tokens, in], to the observer. Several linears share one; the caller shows it once.
bool pass_observe(const Pass *pass, int linear, const float *x);
bool pass_linear(const Pass *pass, int index, const float *x, float *y);
// Several linears of the same x, TRANSFORMER_TOGETHER at most.
bool pass_together(const Pass *pass, int count, const int *linears, const float *x, float *const *y);
// x [tokens, hidden] += y; y = x [tokens, width].
void pass_add(const Pass *pass, float *x, const float *y);
void pass_copy(const Pass *pass, const float *x, size_t width, float *y);
// x [tokens, width] *= factor, if that is not 0; x *= f(gates).
void pass_scale(const Pass *pass, float *x, float factor, size_t width);
void pass_multiply(const Pass *pass, Nonlinearity f, const float *gates, size_t width, float *x);
// The gain in use.
const float *pass_gain(const Pass *pass, int norm);
// x [rows, width of the norm]; y may be x.
void pass_norm(const Pass *pass, int index, const float *x, size_t rows, float *y);
// A norm without weights, x [rows, width] (bare_norms, QK_NORM_BARE, value_norm, norm_groups).
void pass_bare_norm(const Pass *pass, const float *x, size_t rows, size_t width, float *y);
// SCRATCH_BRANCH = o(attention(q, k, v of x)) (attention.c).
bool pass_attention(const Pass *pass, int layer, const float *x);
// SCRATCH_BRANCH = what a layer makes of x by what it remembers (recurrent.c).
bool pass_recurrent(const Pass *pass, int layer, const float *x);
// A copy in backend memory; NULL with err set when memory is short (weights.c).
float *floats_new(Backend *backend, const float *host, size_t floats, Error *err);
// Its constants in backend memory; NULL with err set when memory is short.
float *recurrent_new(const Transformer *t, int layer, Error *err);
// The same with keys and values of what the encoder made of the source.
bool pass_cross_attention(const Pass *pass, int layer, const float *x);
// y [tokens, hidden] = down(f(gate(x)) · up(x)). show: x is not known to the observer yet.
bool pass_mlp(const Pass *pass, const Mlp *mlp, const float *x, bool show, float *y);
// SCRATCH_BRANCH = the mixture of experts of a layer (experts.c).
bool pass_experts(const Pass *pass, int layer, const float *x);

// What tokens carry beside their hidden state (stream.c), from looking ids up to the first layer.
bool stream_embed(Transformer *t, const int32_t *ids, size_t tokens, float *stream, Error *err);
bool stream_enter(const Pass *pass, const float *hidden);
// SCRATCH_BRANCH = what a layer's own input adds to x.
bool stream_layer_input(const Pass *pass, int layer, const float *x);
// Keys and values in the scratch, of a layer whose later ones share them: as a pass that begins behind it will need
// them, and back into the cache.
void stream_keep_keys(const Pass *pass, int layer);
void stream_restore_keys(const Pass *pass, int first, int last);

// Several streams of a token (altup.c): before the first layer and behind the last; what a layer guesses, of which
// `active` [tokens, hidden] is what it goes on to compute; the streams by how far off that was; and what the layer's
// own input adds to all but the first.
bool altup_enter(const Pass *pass, const float *hidden);
bool altup_leave(const Pass *pass);
bool altup_predict(const Pass *pass, int layer, float **active);
bool altup_correct(const Pass *pass, int layer, const float *active);
bool altup_tell(const Pass *pass, int layer);

// hidden [tokens, hidden]: one layer in place; what stands before the first (layers.c).
bool pass_enter(const Pass *pass, float *hidden);
bool pass_layer(const Pass *pass, int layer, float *hidden);
