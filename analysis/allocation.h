// One choice for each of many items, at once: fast enough for a dial that is held down, where knapsack.h is exact and
// takes its time. Both minimize a sum of costs within a sum of bytes.
#pragma once

#include <stdbool.h>

#include "base/error.h"

#define ALLOCATION_CHOICES 4

typedef struct AllocationItem {
    double bytes[ALLOCATION_CHOICES];
    double cost[ALLOCATION_CHOICES]; // ≥ 0; infinite: not offered
} AllocationItem;

// From one choice of an item to the next on the lower hull of its costs over bytes.
typedef struct AllocationStep {
    int item, rank, from, to; // rank: how many steps of its item come before it
    double bytes, gain;       // both > 0
} AllocationStep;

typedef struct Allocation {
    int count;
    int *least;            // [count]: the smallest choice of each item, −1 where none is offered
    AllocationStep *steps; // [step_count], the one that gains most for its bytes first
    int step_count;
    double least_bytes, most_cost; // of the smallest choices
    double most_bytes;             // of all steps taken
} Allocation;

// Items [count]. Free with allocation_free in any case.
bool allocation_make(const AllocationItem *items, int count, Allocation *out, Error *err);
void allocation_free(Allocation *allocation);

typedef struct Allocated {
    bool met; // otherwise nothing is within the limit, and these are the smallest choices, or those of least cost
    double bytes, cost;
} Allocated;

// The least cost within a size, up to what one step is worth: chosen [count]. Steps are taken in their order; one that
// no longer fits is left out, and smaller ones after it are still taken.
Allocated allocation_within_bytes(const Allocation *allocation, double most_bytes, int *chosen);
// The least size within a cost, up to one step.
Allocated allocation_within_cost(const Allocation *allocation, double most_cost, int *chosen);
