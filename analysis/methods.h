// The methods that are compared with each other, as settings of the dials.
#pragma once

#include "quant/recipe.h"

typedef struct Method {
    const char *name;
    const char *dials; // "granularity=group group-size=128": what makes the method; the rest is as the recipe has it
} Method;

extern const Method method_table[];
extern const int method_count;

// Turns dials of a recipe as a text says: "alpha=0.3 weight-bits=4".
bool recipe_turn(Recipe *recipe, const char *dials, Error *err);
