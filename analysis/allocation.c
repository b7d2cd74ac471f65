#include "analysis/allocation.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"

// The choices of an item by size; of equal sizes only the cheapest. Returns how many.
static int by_size(const AllocationItem *item, int *order) {
    int count = 0;
    for (int c = 0; c < ALLOCATION_CHOICES; c++) {
        if (!isfinite(item->cost[c])) continue;
        int at = count++;
        for (; at > 0 && item->bytes[order[at - 1]] > item->bytes[c]; at--) order[at] = order[at - 1];
        order[at] = c;
        if (at > 0 && item->bytes[order[at - 1]] == item->bytes[c]) {
            if (item->cost[c] < item->cost[order[at - 1]]) order[at - 1] = c;
            count--;
            memmove(&order[at], &order[at + 1], (size_t)(count - at) * sizeof *order);
        }
    }
    return count;
}

static double slope(const AllocationItem *item, int from, int to) {
    return (item->cost[from] - item->cost[to]) / (item->bytes[to] - item->bytes[from]);
}

// Leaves the choices from which each step gains more for its bytes than the next one. Returns how many.
static int lower_hull(const AllocationItem *item, int *order, int count) {
    int kept = 0;
    for (int i = 0; i < count; i++) {
        if (kept && item->cost[order[i]] >= item->cost[order[kept - 1]]) continue; // larger, and no better
        while (kept > 1 && slope(item, order[kept - 1], order[i]) >= slope(item, order[kept - 2], order[kept - 1]))
            kept--;
        order[kept++] = order[i];
    }
    return kept;
}

static void add_item(Allocation *a, const AllocationItem *item, int index) {
    int order[ALLOCATION_CHOICES];
    const int count = lower_hull(item, order, by_size(item, order));
    a->least[index] = count ? order[0] : -1;
    if (!count) return;
    a->least_bytes += item->bytes[order[0]];
    a->most_cost += item->cost[order[0]];
    a->most_bytes += item->bytes[order[count - 1]];
    for (int i = 1; i < count; i++) {
        const int from = order[i - 1], to = order[i];
        a->steps[a->step_count++] = (AllocationStep){.item = index,
                                                     .rank = i - 1,
                                                     .from = from,
                                                     .to = to,
                                                     .bytes = item->bytes[to] - item->bytes[from],
                                                     .gain = item->cost[from] - item->cost[to]};
    }
}

static int by_worth(const void *a, const void *b) {
    const AllocationStep *x = a, *y = b;
    const double left = x->gain * y->bytes, right = y->gain * x->bytes;
    if (x->item == y->item) return x->rank - y->rank;
    return left > right ? -1 : left < right ? 1 : x->item - y->item;
}

bool allocation_make(const AllocationItem *items, int count, Allocation *out, Error *err) {
    const size_t steps = (size_t)count * (ALLOCATION_CHOICES - 1);
    *out = (Allocation){.count = count,
                        .least = array_new((size_t)count, sizeof *out->least),
                        .steps = array_new(steps, sizeof *out->steps)};
    if (!out->least || !out->steps) return error_memory(err, "an allocation");
    for (int i = 0; i < count; i++) add_item(out, &items[i], i);
    qsort(out->steps, (size_t)out->step_count, sizeof *out->steps, by_worth);
    return true;
}

void allocation_free(Allocation *allocation) {
    free(allocation->least);
    free(allocation->steps);
    *allocation = (Allocation){0};
}

static Allocated begin(const Allocation *a, int *chosen) {
    memcpy(chosen, a->least, (size_t)a->count * sizeof *chosen);
    return (Allocated){.bytes = a->least_bytes, .cost = a->most_cost};
}

static void take(const AllocationStep *step, int *chosen, Allocated *so_far) {
    chosen[step->item] = step->to;
    so_far->bytes += step->bytes;
    so_far->cost -= step->gain;
}

Allocated allocation_within_bytes(const Allocation *a, double most_bytes, int *chosen) {
    Allocated result = begin(a, chosen);
    result.met = result.bytes <= most_bytes;
    for (int i = 0; result.met && i < a->step_count; i++) {
        const AllocationStep *step = &a->steps[i];
        if (chosen[step->item] == step->from && result.bytes + step->bytes <= most_bytes) take(step, chosen, &result);
    }
    return result;
}

Allocated allocation_within_cost(const Allocation *a, double most_cost, int *chosen) {
    Allocated result = begin(a, chosen);
    for (int i = 0; i < a->step_count && result.cost > most_cost; i++) take(&a->steps[i], chosen, &result);
    result.met = result.cost <= most_cost;
    return result;
}
