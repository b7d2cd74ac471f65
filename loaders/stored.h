// Weights that a checkpoint does not hold as plain F32, F16 or BF16, read as the numbers they stand for: GPTQ, AWQ,
// compressed-tensors, F8 and I8 with scales, F64. Each becomes a tensor [out, in] in the type of its scales.
//
// Such a tensor is made when somebody holds it and given up when nobody does, so that a checkpoint costs no more memory
// than the matrices that are in use, and never more than all of them in 16 (with F32 scales 32) bits.
#pragma once

#include "loaders/checkpoint.h"

typedef struct StoredSet StoredSet; // the tensors that were made from one checkpoint

// Reads what config.json says about quantization, if anything. The checkpoint must outlive the set.
bool stored_open(const Checkpoint *checkpoint, StoredSet **out, Error *err);
void stored_close(StoredSet *set); // frees its tensors; NULL is allowed

// The tensor `name` ("model.layers.0.mlp.up_proj.weight"), which lives as long as the set: as in the file when it is
// plain, otherwise made, anew with each call. *out is NULL when there is none. Tensors of rank 1 and what is neither
// plain nor known are returned as in the file; the caller checks the type. Fails when parts are missing or do not fit
// together.
bool stored_find(StoredSet *set, const char *name, const Tensor **out, Error *err);

// Whether stored_find would find `name`, plain or made, or complain about it.
bool stored_has(const Checkpoint *checkpoint, const char *name);

// For lists of everything in a checkpoint: whether this tensor of the file is one of several that make up a matrix and,
// if it is the one that holds its codes, the name of that matrix ("m.weight" for "m.qweight"; else name[0] is 0).
bool stored_is_part(const Checkpoint *checkpoint, const Tensor *tensor, char *name, size_t size);

// What a person should know about how the weights were read ("" when nothing): ambiguities of the formats. Owned by
// the set.
const char *stored_warning(const StoredSet *set);

// Makes the data of a made tensor, which stays until as many releases as holds. Thread-safe. Nothing happens to tensors
// that are as in the file. The numbers may be wrong when the file was damaged meanwhile: see checkpoint_intact.
bool tensor_hold(const Tensor *tensor, Error *err);
void tensor_release(const Tensor *tensor);

// Takes what was read of the file out of memory; for readers that come by only once.
void tensor_drop_pages(const Tensor *tensor);
