// How mlx-lm names experts: all those of a layer are one module, M.switch_mlp.gate_proj, called by what it does.
#pragma once

#include "loaders/config.h"
#include "loaders/tensor_file.h"

// Whether mlx-lm reads the experts of a model so, and computes with them as transformers does. Of a model that is not
// run their number is not known, so it is left out.
bool mlx_stacks_experts(const ModelConfig *config);

// "M.block_sparse_moe.experts.3.w1" → "M.block_sparse_moe.switch_mlp.gate_proj". False: is no expert.
bool mlx_experts_name(const char *linear, char *out, size_t size);

// Takes the tensors of such modules apart: one for each expert, under the names of a checkpoint.
bool mlx_take_apart(TensorFile *file, Error *err);
