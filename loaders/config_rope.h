// Rotary positions in config.json, under the keys of every version of transformers: rope_theta and rope_scaling,
// rotary_emb_base and rotary_pct, or rope_parameters with everything inside, for each kind of layer if need be.
#pragma once

#include "loaders/families.h"

// Reads them into *out, whose other numbers are read already.
bool config_read_rope(const cJSON *config, const Family *family, ModelConfig *out, Error *err);
