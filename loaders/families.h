// What is known of each family before config.json is read. Only its readers (config_read.c, config_rope.c) and
// gguf_names.c include it.
#pragma once

#include <cjson/cJSON.h>

#include "loaders/config.h"

// Which layers have a window where the file does not list them.
typedef enum WindowRule {
    WINDOW_ALL_LAYERS,
    WINDOW_LATER_LAYERS,     // from max_window_layers on
    WINDOW_EARLY_ODD_LAYERS, // the first, third, … up to max_window_layers
    WINDOW_EVERY_NTH,        // those where (layer + 1) % window_period == 0
    WINDOW_NOT_EVERY_NTH,    // all but those
    WINDOW_ROTATED_LAYERS,   // those with positions
} WindowRule;

typedef struct Family {
    const char *type;                                    // model_type
    const char *same_as;                                 // another type that it is by another name; NULL: none
    const char *keys;                                    // all that it reads, with spaces between them
    const char *activation;                              // where the file does not say
    const char *attention_bias, *output_bias, *mlp_bias; // keys of flags; NULL: as in `defaults`
    WindowRule windows;
    int window_period;
    double query_scalar;       // attention_scale is its −½th power; 0: head_dim's
    double partial_rotary;     // 0: all dimensions
    const char *nested;        // what is meant is in text_config, of this type if it does not say; NULL: is not
    bool gelu_means_tanh;      // old files say "gelu" and were trained with the other
    bool scales_embedding;     // by √hidden, where "scale_embedding" does not say
    bool scales_tied_logits;   // by 1 / √hidden, where the head is the embedding
    bool parallel_shares_norm; // parallel branches have one norm
    bool clamps_gate;          // "silu" means NONLINEARITY_SWIGLU_OAI
    QkNorm qk_norm;            // what "use_qk_norm" or "qk_layernorm" means
    bool windows_rotate;       // layers without a window have no positions, where others have one
    bool rope_mscales;         // "long_mscale" and "short_mscale" multiply cosine and sine
    bool rope_alpha;           // "dynamic" positions have a larger theta from the beginning, by `alpha`
    int sharing_layers;        // the last so many read keys and values of others, where the file does not say
    bool last_is_full;         // the last layer has no window, whatever the file says
    bool decoder_architecture; // num_kv_heads, multi_query, num_ln_in_parallel_attn say how heads and norms are shared
    ModelConfig defaults;      // of keys that are missing; 0: derived from others
} Family;

// NULL when the family is not known.
const Family *family_find(const char *type);

// Whether the family knows a key of config.json.
bool family_reads(const Family *family, const char *key);
