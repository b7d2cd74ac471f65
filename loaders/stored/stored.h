// Weights that a checkpoint does not hold as plain F32, F16 or BF16, read as the numbers they stand for: GPTQ, AWQ,
// compressed-tensors, MLX, F8 and I8 with scales, F64. Each becomes a tensor [out, in] in the type of its scales.
//
// Such a tensor is made when it is first held and freed with the last release, unless it will be needed again and there
// is memory to keep it. So a checkpoint needs no more memory than the matrices in use and those that fit besides.
#pragma once

#include "loaders/tensor_kind.h"

typedef struct StoredSet StoredSet; // the tensors that were made from one checkpoint

// Reads what config.json says about quantization, if anything. The checkpoint must outlive the set.
bool stored_open(const Checkpoint *checkpoint, StoredSet **out, Error *err);
void stored_close(StoredSet *set); // frees its tensors; NULL is allowed

// The tensor `name` ("model.layers.0.mlp.up_proj.weight"), which lives as long as the set: as in the file when it is
// plain, otherwise made, anew with each call. *out is NULL when there is none. Tensors of rank 1 and what is neither
// plain nor known are returned as in the file; the caller checks the type. Fails when parts are missing or do not fit
// together.
bool stored_find(StoredSet *set, const char *name, const Tensor **out, Error *err);

// A matrix [in, out] of the set or its checkpoint as [out, in], made when it is held.
bool stored_transposed(StoredSet *set, const Tensor *tensor, const Tensor **out, Error *err);

// Whether stored_expert can read the experts of a tensor that holds several; err says why not.
bool stored_experts_known(StoredSet *set, const Tensor *tensor, const ExpertLayout *layout, Error *err);

// One expert of such a tensor (tensor_experts), [out, in]; `name` is that of its linear.
bool stored_expert(StoredSet *set, const Tensor *tensor, const ExpertLayout *layout, size_t expert, const char *name,
                   const Tensor **out, Error *err);

// One row of a plain matrix, as a tensor of rank 1.
bool stored_row(StoredSet *set, const Tensor *tensor, size_t row, const Tensor **out, Error *err);

// The tensor of the file that holds the numbers of this one.
const Tensor *tensor_in_file(const Tensor *tensor);

// Whether it is one of several matrices that a tensor of the file holds: of one expert.
bool tensor_is_slice(const Tensor *tensor);

// How many bytes of matrices may be kept; half of the free memory by default.
void stored_keep_at_most(StoredSet *set, size_t bytes);

// Whether stored_find would find `name`, plain or made, or complain about it.
bool stored_has(const Checkpoint *checkpoint, const char *name);

// For lists of everything in a checkpoint: whether this tensor of the file is one of several that make up a matrix and,
// if it is the one that holds its codes, the name of that matrix ("m.weight" for "m.qweight"; else name[0] is 0).
bool stored_is_part(const Checkpoint *checkpoint, const Tensor *tensor, char *name, size_t size);

// The tensor that makes this one a part of a matrix: the codes of scales, scales of codes; NULL: none.
const Tensor *stored_companion(const Checkpoint *checkpoint, const Tensor *tensor);

// What a user should know about how the weights are read, such as ambiguities of a format; "" when there is nothing.
// Looks through the zero points of all matrices found so far, which takes a while in a large checkpoint. Owned by the
// set.
const char *stored_warning(StoredSet *set);

// Makes the data of a made tensor, which stays until as many releases as holds. Thread-safe. Nothing happens to tensors
// that are as in the file. The numbers may be wrong when the file was damaged meanwhile: see tensor_intact.
bool tensor_hold(const Tensor *tensor, Error *err);
void tensor_release(const Tensor *tensor);
// Releases a tensor that will soon be held again: it stays made, until its set is closed, if there is room to keep it.
void tensor_keep(const Tensor *tensor);

// checkpoint_intact of the one file that holds the numbers of this tensor: for work that goes matrix by matrix, where
// there may be hundreds of files. Scales of a made tensor may lie in another, so before its results are kept ask
// checkpoint_intact once. `checkpoint` may be NULL.
bool tensor_intact(const Checkpoint *checkpoint, const Tensor *tensor, Error *err);

// Drops the pages of the file that were read from memory; for readers that pass only once.
void tensor_drop_pages(const Tensor *tensor);
