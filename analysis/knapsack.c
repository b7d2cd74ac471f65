// Dynamic programming over weight in steps: least[w] is the least cost of the items so far at a weight of at most w
// steps above the least. Weights are rounded up to steps, so that a result never weighs more than it says; what the
// rounding leaves of the budget is then spent on single improvements.
#include "analysis/knapsack.h"

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"

enum { STEPS = 8192 };

typedef struct Solver {
    const KnapsackItem *items;
    int count, choices;
    double lightest, heaviest; // total weights of the lightest and the heaviest choices that are offered
    double step;
    double *least, *next; // [STEPS + 1]
    uint8_t *taken;       // [count, STEPS + 1]
} Solver;

static bool offered(const Solver *s, int item, int choice) { return isfinite(s->items[item].cost[choice]); }

static double lightest_of(const Solver *s, int item) {
    double weight = INFINITY;
    for (int c = 0; c < s->choices; c++) {
        if (offered(s, item, c)) weight = fmin(weight, s->items[item].weight[c]);
    }
    return weight;
}

static void find_range(Solver *s, double most_weight) {
    for (int i = 0; i < s->count; i++) {
        double heaviest = 0;
        for (int c = 0; c < s->choices; c++) {
            if (offered(s, i, c)) heaviest = fmax(heaviest, s->items[i].weight[c]);
        }
        s->lightest += lightest_of(s, i);
        s->heaviest += heaviest;
    }
    // Without a limit that matters every choice must be reachable, and rounding up costs each item up to a step.
    int spare = s->count < STEPS / 2 ? s->count : STEPS / 2;
    double steps = s->heaviest <= most_weight ? STEPS - spare : STEPS;
    s->step = fmax((fmin(s->heaviest, most_weight) - s->lightest) / steps, 0);
}

static void add_item(Solver *s, int item) {
    double lightest = lightest_of(s, item);
    uint8_t *taken = s->taken + (size_t)item * (STEPS + 1);
    for (int w = 0; w <= STEPS; w++) s->next[w] = INFINITY;
    for (int c = 0; c < s->choices; c++) {
        if (!offered(s, item, c)) continue;
        double above = s->items[item].weight[c] - lightest;
        double steps = above > 0 ? s->step > 0 ? ceil(above / s->step - 1e-9) : STEPS + 1.0 : 0;
        if (steps > STEPS) continue;
        for (int w = (int)steps; w <= STEPS; w++) {
            double cost = s->least[w - (int)steps] + s->items[item].cost[c];
            if (cost >= s->next[w]) continue;
            s->next[w] = cost;
            taken[w] = (uint8_t)c;
        }
    }
    double *swapped = s->least;
    s->least = s->next;
    s->next = swapped;
}

static void trace_back(const Solver *s, int w, int *chosen) {
    for (int i = s->count - 1; i >= 0; i--) {
        int c = s->taken[(size_t)i * (STEPS + 1) + (size_t)w];
        chosen[i] = c;
        double above = s->items[i].weight[c] - lightest_of(s, i);
        if (above > 0) w -= (int)ceil(above / s->step - 1e-9);
    }
}

static double total_weight(const Solver *s, const int *chosen) {
    double sum = 0;
    for (int i = 0; i < s->count; i++) sum += s->items[i].weight[chosen[i]];
    return sum;
}

// The single change that lowers the cost most within what is left; false when there is none.
static bool improve(const Solver *s, double most_weight, int *chosen) {
    double left = most_weight - total_weight(s, chosen), most_gain = 0;
    int best_item = -1, best_choice = -1;
    for (int i = 0; i < s->count; i++) {
        const KnapsackItem *item = &s->items[i];
        for (int c = 0; c < s->choices; c++) {
            double gain = item->cost[chosen[i]] - item->cost[c];
            if (gain <= most_gain || item->weight[c] - item->weight[chosen[i]] > left) continue;
            most_gain = gain;
            best_item = i;
            best_choice = c;
        }
    }
    if (best_item < 0) return false;
    chosen[best_item] = best_choice;
    return true;
}

// least[] never rises with w: the first step that is good enough is the lightest.
static int lightest_within(const Solver *s, double most_cost) {
    for (int w = 0; w <= STEPS; w++) {
        if (s->least[w] <= most_cost) return w;
    }
    return -1;
}

static bool choose(const Solver *s, double most_weight, double most_cost, int *chosen) {
    if (s->lightest > most_weight) return false;
    int w = isfinite(most_weight) || most_cost <= 0 ? STEPS : lightest_within(s, most_cost);
    if (w < 0 || !isfinite(s->least[w])) return false;
    trace_back(s, w, chosen);
    double most = isfinite(most_weight) ? most_weight : most_cost <= 0 ? (double)INFINITY : 0;
    while (most > 0 && improve(s, most, chosen)) continue;
    return true;
}

bool knapsack_solve(const KnapsackItem *items, int count, int choices, double most_weight, double most_cost,
                    int *chosen, bool *found, Error *err) {
    Solver s = {.items = items, .count = count, .choices = choices};
    find_range(&s, most_weight);
    s.least = array_new(STEPS + 1, sizeof *s.least);
    s.next = array_new(STEPS + 1, sizeof *s.next);
    s.taken = array_new((size_t)count, STEPS + 1);
    bool ok = (s.least && s.next && s.taken) || error_memory(err, "choosing");
    for (int i = 0; ok && i < count; i++) add_item(&s, i);
    *found = ok && choose(&s, most_weight, most_cost, chosen);
    free(s.least);
    free(s.next);
    free(s.taken);
    return ok;
}
