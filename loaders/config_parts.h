// What the files that read config.json share; nobody else includes it. Each reads its part into *out, in the order in
// which config_read.c calls them: a later one relies on what the earlier ones read.
#pragma once

#include "loaders/families.h"

// ---- What every reader needs ----

typedef const char *const Keys[9]; // names of one thing, NULL behind the last; the first that is there counts

bool config_is_null(const cJSON *config, const char *key);
// null says "none", which is 0; a missing key leaves *out. Neither negative nor infinite.
bool config_read_optional(const cJSON *config, const char *key, float *out, Error *err);
// From 1 to `most`; `missing` where no key is there.
bool config_read_count(const cJSON *config, Keys keys, int missing, int most, int *out, Error *err);

// ---- Parts ----

// Before sizes are read: a list of inner widths is taken out of `config` (config_layers.c).
bool config_take_widths(cJSON *config, ModelConfig *out, Error *err);

// Which layers have a window, which no positions (config_kinds.c).
bool config_read_windows(const cJSON *config, const Family *family, ModelConfig *out, Error *err);
bool config_read_unrotated(const cJSON *config, const Family *family, ModelConfig *out, Error *err);
// `kind` as files name it: "full_attention", "mamba"; NULL is refused.
bool config_set_layer_kind(ModelConfig *out, int layer, const char *kind, Error *err);

// Layers that keep a state: which, and how wide (config_recurrent.c).
bool config_read_recurrent(const cJSON *config, const Family *family, ModelConfig *out, Error *err);

// How the layers of one model differ, and what they have beside attention and MLP, as in Gemma 3n and 4
// (config_layers.c).
bool config_read_layers(const cJSON *config, const Family *family, ModelConfig *out, Error *err);

// Rotary positions, under the keys of every version of transformers: rope_theta and rope_scaling, rotary_emb_base and
// rotary_pct, or rope_parameters with everything inside, for each kind of layer if need be (config_rope.c).
bool config_read_rope(const cJSON *config, const Family *family, ModelConfig *out, Error *err);

// Mixtures of experts, and which layers have them (config_experts.c).
bool config_read_experts(const cJSON *config, const Family *family, ModelConfig *out, Error *err);

// Tokens with a meaning, and how an encoder–decoder writes. The last two also read generation_config.json, whose
// tokens are added and whose settings count (config_tokens.c).
bool config_read_tokens(const cJSON *config, ModelConfig *out, Error *err);
bool config_add_eos_tokens(const cJSON *object, ModelConfig *out, Error *err);
bool config_read_writing(const cJSON *config, ModelConfig *out, Error *err);
