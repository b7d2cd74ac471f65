// What a tensor of an unknown model is, judged by its name, its shape and its neighbours.
#pragma once

#include "loaders/checkpoint.h"

typedef enum TensorKind {
    TENSOR_LINEAR,            // a matrix [out, in]
    TENSOR_LINEAR_TRANSPOSED, // a matrix [in, out]: Conv1D of GPT-2
    TENSOR_ROUTER,            // a matrix that chooses experts
    TENSOR_HEAD,              // a matrix that gives logits of tokens
    TENSOR_EXPERTS,   // the same matrix of several experts: rank 3, 2 with the experts one below the other, or blocks
    TENSOR_EMBEDDING, // rows that are looked up: of tokens, positions, codebooks
    TENSOR_NORM,
    TENSOR_BIAS,
    TENSOR_CONVOLUTION,
    TENSOR_OTHER, // states, buffers, factors, and whatever has no name that is known
    TENSOR_KIND_COUNT,
} TensorKind;

const char *tensor_kind_name(TensorKind kind); // "embeddings"

// `tensor` need not be one of the checkpoint itself (it may be made from several of them).
TensorKind tensor_kind(const Checkpoint *checkpoint, const Tensor *tensor);

static inline bool tensor_kind_is_linear(TensorKind kind) { return kind <= TENSOR_EXPERTS; }

// How the experts of TENSOR_EXPERTS lie in it.
typedef struct ExpertLayout {
    size_t count;
    size_t out, in;  // of one expert
    bool transposed; // stored as [in, out]
    bool mxfp4;      // the tensor holds blocks of 4-bit numbers; their scales are in "…_scales"
} ExpertLayout;

// False where the tensor cannot be taken apart.
bool tensor_experts(const Checkpoint *checkpoint, const Tensor *tensor, ExpertLayout *out);

// The parts of "a.b.c.weight": where its module begins ("c") and ends (before ".weight"). Without ".weight" the tensor
// is a parameter of its parent, and `bare`.
typedef struct TensorName {
    const char *full;
    int parent; // length of "a.b", 0 without
    int begin, end;
    bool bare;
} TensorName;

TensorName tensor_name_parts(const char *name);
