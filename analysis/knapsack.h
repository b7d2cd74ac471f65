// Inside analysis/: one choice for each of many items, so that the sum of costs is least within a total weight, or the
// total weight least within a sum of costs (the multiple-choice knapsack problem).
#pragma once

#include <stdbool.h>

#include "base/error.h"

#define KNAPSACK_CHOICES 24

typedef struct KnapsackItem {
    double weight[KNAPSACK_CHOICES];
    double cost[KNAPSACK_CHOICES]; // ≥ 0; infinite: not offered
} KnapsackItem;

// choices ≤ KNAPSACK_CHOICES. most_weight finite: the least cost within it. Otherwise the least weight whose cost is at
// most most_cost; most_cost 0 (below any) asks for the least cost there is, whatever the weight. Total weights are
// exact where they are compared with most_weight; otherwise the range of weights is divided into some thousands of
// steps. *found: false when nothing is within the limit.
bool knapsack_solve(const KnapsackItem *items, int count, int choices, double most_weight, double most_cost,
                    int *chosen, bool *found, Error *err);
