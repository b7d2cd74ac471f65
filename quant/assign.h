// A setting for every linear, written as few rules as a person would.
#pragma once

#include "loaders/structure.h"
#include "quant/recipe.h"

// Sets a dial to values [linear_count]; NAN: whatever it is. The most common value becomes that of the dial. What
// differs becomes overrides: for a role in all layers, for all experts of a layer, for layers whose numbers share all
// but the last digit ("model.layers.1[2-7].mlp.down_proj"), and for single linears. These are tuned ones (recipe.h).
// Earlier overrides of this dial go, except a person's whose linears are to keep what they have, and those that name a
// linear which is quantized only because it is named.
bool recipe_assign(Recipe *recipe, const ModelStructure *structure, Dial dial, const double *values, Error *err);
