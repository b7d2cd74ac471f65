// Changes of a recipe for a set of linears, as rules that stay readable.
#pragma once

#include "quant/linear_index.h"
#include "quant/recipe.h"

// A set of linears, and the globs that name it (linear_index_globs).
typedef struct LinearSet {
    const LinearIndex *index;
    bool *in; // [linear_count]
    Globs globs;
} LinearSet;

bool linear_set_new(const LinearIndex *index, const int *linears, int count, LinearSet *out, Error *err);
void linear_set_free(LinearSet *set);

// Sets a dial for the linears of the set, or (value NULL) takes its overrides from them. What is set
// takes effect, and for no other linear anything changes: rules that the new ones make useless are gone, and a rule
// that also holds for others is kept for these alone.
bool recipe_override_set(Recipe *recipe, const LinearSet *set, Dial dial, const double *value, Error *err);
bool recipe_ignore_set(Recipe *recipe, const LinearSet *set, bool ignore, Error *err);

// What the rules come to for all linears: what every dial says, [linear_count][DIAL_COUNT], and which of them stay in
// their own precision by a rule, or as a head or router that no override names, [linear_count].
bool recipe_settings(const Recipe *recipe, const NameTable *names, double (*settings)[DIAL_COUNT], Error *err);
bool recipe_left_alone(const Recipe *recipe, const NameTable *names, bool *left, Error *err);
// Linears whose bits or groups a person gave them: by an override that was not tuned, and that no later one overrules.
// held [linear_count].
bool recipe_held(const Recipe *recipe, const NameTable *names, bool *held, Error *err);
// Overrides without effect, because later ones say otherwise of all their linears, or these are left alone, or there
// are none: overruled [override_count].
bool recipe_overruled(const Recipe *recipe, const NameTable *names, bool *overruled, Error *err);
