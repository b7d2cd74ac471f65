// Any bytes as a recipe: refused, or read, printed and read again as the same recipe.
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "quant/recipe.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    Recipe recipe, again;
    Error err = {0};
    if (!recipe_parse((const char *)data, size, &recipe, &err)) return 0;
    char *text = recipe_print(&recipe);
    if (!text || !recipe_parse(text, strlen(text), &again, &err) || !recipe_equal(&recipe, &again)) abort();
    recipe_value(&recipe, DIAL_BITS, "model.layers.0.mlp.down_proj");
    recipe_ignores(&recipe, "lm_head");
    free(text);
    recipe_free(&recipe);
    recipe_free(&again);
    return 0;
}
