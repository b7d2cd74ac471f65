// Linears that are to get one scheme, because an engine stores them as one: a forest. unit [linear_count]: a linear
// before this one in its unit, or itself.
#pragma once

#include "loaders/structure.h"

void units_alone(int *unit, int linears); // each is one
int units_first(const int *unit, int linear);
void units_join(int *unit, int a, int b);
bool units_join_sets(int *unit, const ModelStructure *structure, Error *err); // q,k,v and gate,up
