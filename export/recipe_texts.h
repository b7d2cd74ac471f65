// A plan as a recipe of another program, for those who convert there. What that program cannot be told stands in
// comments of the text.
#pragma once

#include "base/array.h"
#include "quant/plan.h"

typedef enum RecipeProgram {
    RECIPE_NONE,
    RECIPE_LLM_COMPRESSOR, // YAML for oneshot(…, recipe=…)
    RECIPE_LLAMA_QUANTIZE, // a command line for a POSIX shell
} RecipeProgram;

// Adds to *out.
bool recipe_text(RecipeProgram program, const ModelStructure *structure, const Plan *plan, Text *out, Error *err);
