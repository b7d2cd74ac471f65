// How the layers of one model differ, and what they have beside attention and MLP (Gemma 3n and 4).
#pragma once

#include "loaders/families.h"

// Before sizes are read: a list of inner widths is taken out of `config`.
bool config_take_widths(cJSON *config, ModelConfig *out, Error *err);

// After sizes and windows. Other families' configurations have none of it.
bool config_read_layers(const cJSON *config, const Family *family, ModelConfig *out, Error *err);
