// What one recipe does other than another, in words.
#pragma once

#include "base/array.h"
#include "loaders/structure.h"
#include "quant/recipe.h"

// "alpha 0.3 → 0.1", "down_proj bits 4 → 8 (6 linears)", "3 o_proj left alone": dials in their order, what holds for
// all linears first, with `between` between two. Rules count by what they do to the linears of this model: two recipes
// that do the same to all of them differ in nothing, and then nothing is added. Returns the number of changes; 0 also
// when memory is short, which out->failed tells.
int recipe_difference(const Recipe *from, const Recipe *to, const ModelStructure *structure, const char *between,
                      Text *out);
// Of these, what an override of `from` had set.
int recipe_taken_back(const Recipe *from, const Recipe *to, const ModelStructure *structure, const char *between,
                      Text *out);
// Of these, all but what their bits, granularity and group size are: what came with a choice of bits.
int recipe_difference_beside(const Recipe *from, const Recipe *to, const ModelStructure *structure, const char *between,
                             Text *out);
// What linears have by `to` that they had not, a line for each setting, dials by their options: "weight-bits 4:
// down_proj of layers 3–5 (3 linears)\n", "cache-bits 16: the whole model\n". Returns the number of lines.
int recipe_new_settings(const Recipe *from, const Recipe *to, const ModelStructure *structure, Text *out);
// What linears of a list are, without their names one by one: "down_proj of layers 15–29 (15 linears)", "3 o_proj",
// "some q_proj, k_proj (7 linears)", "42 linears".
void linears_describe(const ModelStructure *structure, const int *linears, int count, Text *out);
