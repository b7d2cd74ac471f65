#include "quant/units.h"

#include <stdlib.h>
#include <string.h>

#include "base/array.h"

void units_alone(int *unit, int linears) {
    for (int i = 0; i < linears; i++) unit[i] = i;
}

int units_first(const int *unit, int linear) {
    while (unit[linear] != linear) linear = unit[linear];
    return linear;
}

void units_join(int *unit, int a, int b) {
    const int x = units_first(unit, a), y = units_first(unit, b);
    unit[x > y ? x : y] = x < y ? x : y;
}

static bool join_sets(const ModelStructure *structure, int *unit, Error *err) {
    int *known = array_new((size_t)structure->linear_count, sizeof *known); // [set]: a linear of it, + 1
    if (!known) return error_memory(err, "sets of linears");
    for (int i = 0; i < structure->linear_count; i++) {
        const int set = structure->linears[i].fused_set;
        if (set < 0) continue;
        if (known[set]) units_join(unit, known[set] - 1, i);
        known[set] = i + 1;
    }
    free(known);
    return true;
}

bool units_begin(const ModelStructure *structure, const int *bound, bool fused_together, int *unit, Error *err) {
    if (bound)
        memcpy(unit, bound, (size_t)structure->linear_count * sizeof *unit);
    else
        units_alone(unit, structure->linear_count);
    return !fused_together || join_sets(structure, unit, err);
}
