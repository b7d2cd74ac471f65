// The forward pass: one transformer over any backend, for every family. Weights are shared and replaceable, so that a
// quantized model is the same transformer with other linears. Data flow per layer of the Llama family: norm → q,k,v →
// rope → attention → o → add → norm → gate,up → silu·up → down → add; the configuration says where other families
// differ.
#pragma once

#include "base/progress.h"
#include "kernels/backend.h"
#include "loaders/structure.h"

typedef struct Transformer Transformer;

// All linears dense, in the checkpoint's own type. Where the backend reads in place nothing is read yet: matrices that
// are not plain in the file are made when they are first used. structure and backend must outlive it.
bool transformer_new(const ModelStructure *structure, Backend *backend, Precision precision, Transformer **out,
                     Error *err);

// A second transformer with the same dense weights, which stay owned by `base` (base must outlive it).
bool transformer_variant(const Transformer *base, Transformer **out, Error *err);
void transformer_free(Transformer *t);

const ModelStructure *transformer_structure(const Transformer *t);
Backend *transformer_backend(const Transformer *t);
Precision transformer_precision(const Transformer *t);

// Replaces one linear (ownership of weight passes to t) or, with NULL, goes back to the dense one.
void transformer_set_linear(Transformer *t, int linear, Weight *weight);
const Weight *transformer_dense(const Transformer *t, int linear);
const Weight *transformer_linear(const Transformer *t, int linear);
// Divides gain and bias of a norm by factors [its width], or restores it with NULL. Counts from the checkpoint's gain,
// not from the last call.
bool transformer_set_norm_divisor(Transformer *t, int norm, const float *factors, Error *err);

// Bits per number of the cache of sequences that are made from t from now on: 16 (the default; 32 with PRECISION_F32)
// or 8, int8 with a scale per head and token.
void transformer_set_cache_bits(Transformer *t, int bits);

// One linear: x [tokens, in] → y [tokens, out] in backend memory. Fails when memory is short for a matrix that has to
// be made.
bool transformer_multiply(Transformer *t, int linear, const float *x, size_t tokens, float *y, Error *err);
// Up to TRANSFORMER_TOGETHER linears of the same input, each with its own y.
enum { TRANSFORMER_TOGETHER = 3 };
bool transformer_multiply_together(Transformer *t, int count, const int *linears, const float *x, size_t tokens,
                                   float *const *y, Error *err);

// For work that runs many sequences through one layer after another: the dense matrices of a layer stay in memory in
// between. No effect on matrices that are plain in the file.
bool transformer_hold_layer(const Transformer *t, int layer, Error *err);
void transformer_release_layer(const Transformer *t, int layer);

// The bias of a linear as floats [out], NULL when it has none; owned by the caller (free).
bool linear_bias(const Linear *linear, float **out, Error *err);

// False with the reason in err when the device behind the backend has failed; what was downloaded since then is NaN.
bool transformer_healthy(const Transformer *t, Error *err);

// Bytes of weights that one decoded token reads.
size_t transformer_bytes_per_token(const Transformer *t);

// One or more running sequences: their cache, how many positions are filled, and scratch memory. One thread at a time.
// Made from a transformer they serve its variants too, with the cache of the one they were made from. More positions
// than the model has are refused.
typedef struct Sequences Sequences;
bool sequences_new(const Transformer *t, size_t positions, Sequences **out, Error *err);
// Of a model with an encoder a sequence is a source and, behind it, a target: the first call brings the whole source,
// and logits are those of the target. `source` positions are the source's; sequences_new makes it source_share.
bool sequences_new_pair(const Transformer *t, size_t source, size_t positions, size_t sequences, Sequences **out,
                        Error *err);
// Several sequences that run side by side. The tokens of a call are those of the first sequence, then those of the
// second and so on, the same number for each, and each sequence sees only its own. Lengths and positions are those of
// one. They share a source; its tokens come before those of the sequences.
bool sequences_new_many(const Transformer *t, size_t positions, size_t sequences, Sequences **out, Error *err);
void sequences_free(Sequences *running);
// Forgets all but the first `positions`; of a pair at least the source, or all. Where layers remember, what they did at
// a position is known only if it was kept there: then all but those kept, or all. sequences_length says which.
void sequences_rewind(Sequences *running, size_t positions);
// Keeps what layers remember now, so that sequences_rewind can go back to here. Nothing to do without such layers.
bool sequences_keep(Sequences *running, Error *err);
// Sequence s goes on where from[s] was [as many as there are sequences, MOST_FOLLOWING at most].
void sequences_follow(Sequences *running, const int32_t *from);
size_t sequences_length(const Sequences *running);

// Sees the input of linears as it is computed: x [tokens, width] on the host. For calibration.
typedef struct Observer {
    void (*linear_input)(void *context, int input, const float *x, size_t tokens, size_t width);
    void *context;
    // NULL, or what is called instead with x in backend memory, where the backend can measure it there (ops->measure).
    void (*measured_input)(void *context, int input, Backend *backend, const float *x, size_t tokens, size_t width);
} Observer;

// The three parts of a forward pass. `hidden` is [tokens, hidden] in backend memory, in place; between the embedding
// and the first layer it may hold less than the layers add to it (positions, for one). Layers first … last − 1 are run
// at positions sequences_length … + tokens; their length moves on with sequences_advance, after all layers. Ids
// outside the vocabulary are refused.
bool transformer_embed(Transformer *t, const int32_t *ids, size_t tokens, float *hidden, Error *err);
bool transformer_layers(Transformer *t, Sequences *running, int first, int last, float *hidden, size_t tokens,
                        const Observer *observer, Error *err);
void sequences_advance(Sequences *running, size_t tokens);
// Final norm and head of `tokens` rows of a target → logits [tokens, vocab] in backend memory. logits NULL: the
// observer sees the head's input, the product is left out.
bool transformer_head(Transformer *t, Sequences *running, const float *hidden, size_t tokens, float *logits,
                      const Observer *observer, Error *err);

// The whole pass: ids → logits on the host, of the last token only (all == false: [vocab]) or of every token ([tokens,
// vocab]; those of a source have none). On failure the sequences keep the length that they had, or where layers
// remember are at their beginning.
bool transformer_forward(Transformer *t, Sequences *running, const int32_t *ids, size_t tokens, bool all, float *logits,
                         const Observer *observer, Error *err);

// The same without the logits, which stay where they are: what the backend chooses behind the last token of each
// sequence, and its softmax probability at temperature 1; draw->points, next and probabilities: [sequences].
bool transformer_choose(Transformer *t, Sequences *running, const int32_t *ids, size_t tokens, const Draw *draw,
                        int32_t *next, float *probabilities, Error *err);
// The same of one sequence, but none of these tokens.
bool transformer_choose_other(Transformer *t, Sequences *running, const int32_t *ids, size_t tokens, const Draw *draw,
                              const int32_t *forbidden, size_t forbidden_count, int32_t *next, float *probabilities,
                              Error *err);
