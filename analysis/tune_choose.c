// What units add to a whole, and the choices that follow from it.
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/tune_parts.h"
#include "base/array.h"

enum { ATTEMPTS = 6 };

// The sum over units holds as far as they do not disturb one another. In a whole, coarse ones cost more than alone, and
// figures of few tokens are off. No single way of weighing was best on all models, but one of these was always near it.
static const Weighing weighings[WEIGHINGS] = {{1, 0},    {1, 0.2},    {1, 0.35},    {1, 0.5},    {1, 0.75},
                                              {0.85, 0}, {0.85, 0.2}, {0.85, 0.35}, {0.85, 0.5}, {0.7, 0}};

static void weigh(Tuning *t, Weighing by) {
    double alone = 0, noise = 0;
    tuning_expect(t);
    for (int u = 0; u < t->unit_count; u++) {
        alone += t->units[u].alone[t->anchor];
        noise += t->units[u].noise[t->anchor];
    }
    for (int u = 0; u < t->unit_count; u++) {
        Unit *unit = &t->units[u];
        for (int s = 0; s < t->scheme_count; s++) {
            unit->share[s] = pow(unit->alone[s], by.trust) * pow(unit->noise[s] * alone / noise, 1 - by.trust) *
                             pow(unit->noise[s] / unit->noise[t->anchor], by.growth);
        }
    }
}

static bool solve(Tuning *t, double most_bytes, double most_share, int *schemes, bool *found) {
    KnapsackItem *items = array_new((size_t)t->unit_count, sizeof *items);
    if (!items) return error_memory(t->err, "tuning");
    for (int u = 0; u < t->unit_count; u++) {
        for (int s = 0; s < t->scheme_count; s++) {
            items[u].weight[s] = t->units[u].bytes[s];
            items[u].cost[s] = t->units[u].offered[s] ? t->units[u].share[s] : (double)INFINITY;
        }
    }
    bool ok = knapsack_solve(items, t->unit_count, t->scheme_count, most_bytes, most_share, schemes, found, t->err);
    free(items);
    return ok;
}

// Solves, measures what was chosen but only expected so far, and solves again.
bool tuning_choose(Tuning *t, double most_bytes, double most_share, int *schemes, bool *found) {
    for (int i = 0; i < ATTEMPTS; i++) {
        weigh(t, t->weighing);
        if (!solve(t, most_bytes, most_share, schemes, found)) return false;
        if (!*found || tuning_known(t, schemes)) break;
        if (!tuning_measure(t, schemes, "measuring choices")) return false;
    }
    return true;
}

double tuning_sum(const Tuning *t, const int *schemes) {
    double sum = 0;
    for (int u = 0; u < t->unit_count; u++) sum += t->units[u].share[schemes[u]];
    return sum;
}

double tuning_sum_alone(const Tuning *t, const int *schemes) {
    double sum = 0;
    for (int u = 0; u < t->unit_count; u++) sum += t->units[u].alone[schemes[u]];
    return sum;
}

// ---- Choices ----

static bool same_as_earlier(const Tuning *t, const Choices *c, int n) {
    for (int i = 0; i < n; i++) {
        if (memcmp(c->list[i].schemes, c->list[n].schemes, (size_t)t->unit_count * sizeof(int)) == 0) return true;
    }
    return false;
}

static int by_kl(const void *a, const void *b) {
    const double x = ((const Choice *)a)->kl, y = ((const Choice *)b)->kl;
    return (x > y) - (x < y);
}

bool tuning_choices(Tuning *t, double most_bytes, Choices *out) {
    *out = (Choices){.schemes = array_new((size_t)WEIGHINGS * (size_t)t->unit_count, sizeof *out->schemes)};
    if (!out->schemes) return error_memory(t->err, "tuning");
    for (int i = 0; i < WEIGHINGS; i++) {
        Choice *one = &out->list[i];
        bool found;
        *one = (Choice){weighings[i], out->schemes + (size_t)i * (size_t)t->unit_count, 0, INFINITY};
        weigh(t, one->by);
        if (!solve(t, most_bytes, INFINITY, one->schemes, &found)) return false;
        one->sum = tuning_sum(t, one->schemes);
        if (!found || same_as_earlier(t, out, i)) continue;
        if (!tuning_whole(t, &t->some, one->schemes, "comparing choices", &one->kl)) return false;
    }
    qsort(out->list, WEIGHINGS, sizeof *out->list, by_kl);
    return true;
}

void choices_free(Choices *choices) { free(choices->schemes); }
