// What config.c knows of each family before it has read a file; nobody else includes it.
#pragma once

#include <cjson/cJSON.h>

#include "loaders/config.h"

// Which layers have a window where the file does not list them.
typedef enum WindowRule {
    WINDOW_ALL_LAYERS,
    WINDOW_LATER_LAYERS,     // from max_window_layers on
    WINDOW_EARLY_ODD_LAYERS, // the first, third, … up to max_window_layers
    WINDOW_EVERY_NTH,        // those where (layer + 1) % window_period == 0
    WINDOW_NOT_EVERY_NTH     // all but those
} WindowRule;

typedef struct Family {
    const char *type;                                    // model_type
    const char *keys;                                    // all that it reads, with spaces between them
    const char *activation;                              // where the file does not say
    const char *attention_bias, *output_bias, *mlp_bias; // keys of flags; NULL: as in `defaults`
    WindowRule windows;
    int window_period;
    double query_scalar;       // attention_scale is its −½th power; 0: head_dim's
    double partial_rotary;     // 0: all dimensions
    const char *nested;        // what is meant is in text_config, of this type if it does not say; NULL: is not
    bool gelu_means_tanh;      // old files say "gelu" and were trained with the other
    bool scales_embedding;     // by √hidden
    bool decoder_architecture; // num_kv_heads, multi_query, num_ln_in_parallel_attn say how heads and norms are shared
    ModelConfig defaults;      // of keys that are missing; 0: derived from others
} Family;

// NULL when the family is not known.
const Family *family_find(const char *type);

// Whether the family knows a key of config.json.
bool family_reads(const Family *family, const char *key);

// rope_theta, rope_scaling, rope_parameters and their relatives (config_rope.c).
bool config_read_rope(const cJSON *config, const Family *family, ModelConfig *out, Error *err);

// For the readers of config.c and config_rope.c: the first key of the list that is there and not null, else the first.
const char *config_key(const cJSON *config, const char *const *keys);
bool config_read_positive(const cJSON *object, const char *key, double missing, double *out, Error *err);
// Notes why the model cannot be run; the first reason stays. Returns true: it is no error.
bool config_not_run(ModelConfig *out, const char *format, ...) __attribute__((format(printf, 2, 3)));
