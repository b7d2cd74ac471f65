// What config.json says about a model, as numbers and named flags; one struct for all families.
#pragma once

#include <stdbool.h>

#include "base/error.h"
#include "kernels/dtype.h"

typedef enum RopeScaling { ROPE_PLAIN, ROPE_LINEAR, ROPE_LLAMA3 } RopeScaling;

typedef struct ModelConfig {
    char family[32]; // "llama": model_type of config.json
    int layers, hidden, heads, kv_heads, head_dim, ffn, vocab, max_positions;
    float norm_eps;
    bool tied_head;                             // the head is the embedding
    bool attention_bias, output_bias, mlp_bias; // q,k,v; o; gate,up,down
    double rope_theta;
    RopeScaling rope_scaling;
    double rope_factor, rope_low_freq_factor, rope_high_freq_factor, rope_original_positions; // llama3 and linear
    int bos_token, eos_tokens[8], eos_count;                                                  // bos −1 when none
    DType dtype; // torch_dtype / dtype; DTYPE_OTHER when not said
} ModelConfig;

// Reads FOLDER/config.json (and generation_config.json for further eos ids, if there). Every number is checked for
// sense (positive, heads divisible by kv_heads, …); families without a forward pass are refused with the list of those
// that have one.
bool config_load(const char *folder, ModelConfig *out, Error *err);
