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
    if (by.trust > 0) tuning_expect(t);
    for (int u = 0; u < t->unit_count; u++) {
        alone += t->units[u].alone[t->anchor];
        noise += t->units[u].noise[t->anchor];
    }
    const double scale = by.trust > 0 ? alone / noise : 1;
    for (int u = 0; u < t->unit_count; u++) {
        Unit *unit = &t->units[u];
        for (int s = 0; s < t->scheme_count; s++) {
            unit->share[s] = pow(unit->alone[s], by.trust) * pow(unit->noise[s] * scale, 1 - by.trust) *
                             pow(unit->noise[s] / unit->noise[t->anchor], by.growth);
        }
    }
}

// ---- Learning from wholes ----

// The sum of shares is off in two ways: by a factor common to all units, and by what single ones do in a whole. Each
// whole that was measured is an equation for the factors of the units. They are solved as Kaczmarz does, one after the
// other in turn: every step is the smallest change of the factors towards one of them, so that what no whole tells
// apart stays at the common factor. Half steps, because costs do not add up exactly.
enum { PASSES = 40 };
#define STEP 0.5
#define WORTH_MOST 4.0     // times the common factor, or a fourth of it
#define FAR_FROM_BOUND 3.0 // wholes whose divergence is so many times the bound tell nothing of what is near it

static double sum_of(const Tuning *t, const int *schemes, bool with_worth) {
    double sum = 0;
    for (int u = 0; u < t->unit_count; u++) sum += t->units[u].share[schemes[u]] * (with_worth ? t->units[u].worth : 1);
    return sum;
}

// Of the whole that is nearest to the bound.
static double common_factor(const Tuning *t) {
    double nearest = INFINITY, factor = 1;
    for (int i = 0; i < t->whole_count; i++) {
        const Whole *whole = &t->wholes[i];
        const double distance = fabs(log(whole->kl / t->goal->max_kl));
        if (distance > nearest) continue;
        nearest = distance;
        factor = whole->kl / sum_of(t, whole->schemes, false);
    }
    return factor;
}

static void step_towards(Tuning *t, const Whole *whole, double common) {
    double squares = 0;
    for (int u = 0; u < t->unit_count; u++) squares += pow(t->units[u].share[whole->schemes[u]], 2);
    const double step = STEP * (whole->kl - sum_of(t, whole->schemes, true)) / squares;
    for (int u = 0; u < t->unit_count; u++) {
        Unit *unit = &t->units[u];
        unit->worth =
            fmin(fmax(unit->worth + step * unit->share[whole->schemes[u]], common / WORTH_MOST), common * WORTH_MOST);
    }
}

static void apply_wholes(Tuning *t) {
    const double common = common_factor(t);
    for (int u = 0; u < t->unit_count; u++) t->units[u].worth = common;
    for (int pass = 0; pass < PASSES; pass++) {
        for (int i = 0; i < t->whole_count; i++) {
            if (t->wholes[i].kl <= FAR_FROM_BOUND * t->goal->max_kl) step_towards(t, &t->wholes[i], common);
        }
    }
    for (int u = 0; u < t->unit_count; u++) {
        for (int s = 0; s < t->scheme_count; s++) t->units[u].share[s] *= t->units[u].worth;
    }
}

bool tuning_learned(const Tuning *t, const int *schemes) {
    for (int i = 0; i < t->whole_count; i++) {
        if (memcmp(t->wholes[i].schemes, schemes, (size_t)t->unit_count * sizeof *schemes) == 0) return true;
    }
    return false;
}

bool tuning_learn(Tuning *t, const int *schemes, double kl) {
    if (t->whole_count == WHOLES || tuning_learned(t, schemes)) return true;
    int *copy = array_new((size_t)t->unit_count, sizeof *copy);
    if (!copy) return error_memory(t->err, "tuning");
    memcpy(copy, schemes, (size_t)t->unit_count * sizeof *copy);
    t->wholes[t->whole_count++] = (Whole){copy, fmax(kl, LEAST_KL)};
    return true;
}

void tuning_forget(Tuning *t) {
    for (int i = 0; i < t->whole_count; i++) free(t->wholes[i].schemes);
    t->whole_count = 0;
}

// ---- Choosing ----

static bool solve(Tuning *t, double most_bytes, double most_share, int *schemes, bool *found) {
    KnapsackItem *items = array_new((size_t)t->unit_count, sizeof *items);
    if (!items) return error_memory(t->err, "tuning");
    for (int u = 0; u < t->unit_count; u++) {
        for (int s = 0; s < t->scheme_count; s++) {
            items[u].weight[s] = t->units[u].bytes[s];
            items[u].cost[s] = t->units[u].offered[s] ? t->units[u].share[s] : (double)INFINITY;
        }
    }
    const double most = most_bytes - t->kept_bytes; // infinite where that is
    bool ok = knapsack_solve(items, t->unit_count, t->scheme_count, most, most_share, schemes, found, t->err);
    free(items);
    return ok;
}

// Solves, measures what was chosen but only expected so far, and solves again. Noise alone needs no measuring.
bool tuning_choose(Tuning *t, double most_bytes, double most_share, int *schemes, bool *found) {
    for (int i = 0; i < ATTEMPTS; i++) {
        weigh(t, t->weighing);
        if (t->whole_count) apply_wholes(t);
        if (!solve(t, most_bytes, most_share, schemes, found)) return false;
        if (!*found || t->weighing.trust <= 0 || tuning_known(t, schemes)) break;
        if (!tuning_measure(t, schemes)) return false;
    }
    return true;
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
        one->sum = sum_of(t, one->schemes, false);
        if (!found || same_as_earlier(t, out, i)) continue;
        if (!tuning_whole(t, &t->some, one->schemes, &one->kl)) return false;
    }
    qsort(out->list, WEIGHINGS, sizeof *out->list, by_kl);
    return true;
}

void choices_free(Choices *choices) { free(choices->schemes); }
