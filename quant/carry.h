// A recipe that was changed while a search was on: its changes, on what the search found.
#pragma once

#include "quant/linear_index.h"
#include "quant/recipe.h"

// Does to `recipe`, in place, what was done between `from` and `to`: each linear gets what every dial says of it by
// `to` where that is not what `from` said, and is left alone, or no longer, as there. Bits, granularity and group size
// go with a change only where a person gave them by an override, before or after: elsewhere they are the search's to
// choose, whatever the dial says.
bool recipe_carry(const Recipe *from, const Recipe *to, const LinearIndex *index, Recipe *recipe, Error *err);
