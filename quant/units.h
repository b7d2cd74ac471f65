// Linears that are to get one scheme, because an engine stores them as one: a forest. unit [linear_count]: a linear
// before this one in its unit, or itself.
#pragma once

#include "loaders/structure.h"

void units_alone(int *unit, int linears); // each is one
int units_first(const int *unit, int linear);
void units_join(int *unit, int a, int b);
// Begins with what others joined, with each alone where that is NULL, and joins q,k,v and gate,up where they are to be
// fused_together.
bool units_begin(const ModelStructure *structure, const int *bound, bool fused_together, int *unit, Error *err);
