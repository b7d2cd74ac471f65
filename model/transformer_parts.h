// What the files of this room share of a Transformer and a Session; nobody outside includes it.
#pragma once

#include "model/transformer.h"

struct Transformer {
    const ModelStructure *structure;
    Backend *backend;
    Precision precision;
    bool is_variant; // dense weights and gains belong to another transformer
    bool holds_embedding;
    Weight **dense;    // [linear_count]
    Weight **replaced; // [linear_count], own; NULL where the dense one is in use
    float **gains;     // [norm_count] → [hidden] in backend memory, as in the checkpoint
    float **divided;   // [norm_count], own; NULL where the checkpoint's gain is in use
};

// Intermediate results of one forward pass, in backend memory.
typedef enum ScratchKind {
    SCRATCH_HIDDEN, // [tokens, hidden]: the residual stream of transformer_forward
    SCRATCH_NORMED, // [tokens, hidden]
    SCRATCH_Q,      // [tokens, heads · head_dim]
    SCRATCH_K,      // [tokens, kv_heads · head_dim]
    SCRATCH_V,      // [tokens, kv_heads · head_dim]
    SCRATCH_MIXED,  // [tokens, heads · head_dim]: what attention gives
    SCRATCH_BRANCH, // [tokens, hidden]: what attention or MLP adds to the residual stream
    SCRATCH_GATE,   // [tokens, ffn]
    SCRATCH_UP,     // [tokens, ffn]
    SCRATCH_INNER,  // [tokens, ffn]: silu(gate) · up
    SCRATCH_COUNT,
} ScratchKind;

struct Session {
    Backend *backend;
    Cache *cache;
    size_t positions, length;      // room for, filled
    float *cosine, *sine;          // [positions, head_dim / 2] in backend memory
    size_t widths[SCRATCH_COUNT];  // floats per token
    float *scratch[SCRATCH_COUNT]; // [scratch_tokens, widths]
    size_t scratch_tokens;
    float *logits; // [logits_rows, vocab] in backend memory
    size_t logits_rows;
    float *observed; // [observed_floats] on the host, made when an observer first looks
    size_t observed_floats;
};

// Makes room for `tokens` tokens in every scratch buffer. What they held is lost when they grow.
bool session_scratch(Session *session, size_t tokens, Error *err);
// Makes room for `rows` rows of logits.
bool session_logits(Session *session, size_t rows, size_t vocab, Error *err);
// A host buffer of at least `floats`; NULL with err set when memory is short.
float *session_observed(Session *session, size_t floats, Error *err);
