#include "analysis/tune.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/knapsack.h"
#include "base/array.h"

enum { ANCHOR_GROUP = 64, ROUNDS = 3, BOUND_TRIES = 8 };
#define LEAST_NOISE 1e-12 // where nothing is lost at all

// Finest last, so that the anchor and messages find it.
static const size_t group_sizes[] = {0, 256, 128, 64, 32, 16};
#define GROUP_SIZES ((int)(sizeof group_sizes / sizeof *group_sizes))

typedef struct Scheme {
    int bits;
    size_t group; // 0: whole channel
} Scheme;

// Linears that share one scheme. Arrays are by scheme.
typedef struct Unit {
    int first; // index of its first linear, for the order of layers
    bool offered[KNAPSACK_CHOICES];
    double bytes[KNAPSACK_CHOICES];
    double noise[KNAPSACK_CHOICES]; // noise / signal of the outputs, summed over its linears
    double kl[KNAPSACK_CHOICES];    // expected share in the divergence
} Unit;

typedef struct Tuning {
    Trial *search, *verify;
    const ModelStructure *structure;
    const ModelStats *stats;
    const Recipe *recipe;
    const TuneGoal *goal;
    Tuned *out;
    Progress *progress;
    Error *err;
    Scheme schemes[KNAPSACK_CHOICES];
    int scheme_count;
    Plan uniform[KNAPSACK_CHOICES]; // every linear by this scheme
    Plan varied;                    // room for one assembled from those
    int *unit_of;                   // [linear_count], −1: not quantized
    Unit *units;                    // [unit_count]
    int unit_count;
    double elements; // weights in all units
    int *chosen;     // [unit_count] → scheme
    int *best;       // [unit_count]
    double best_kl;  // on the search tokens
} Tuning;

// ---- Schemes and units ----

static void list_schemes(Tuning *t) {
    double floor = t->recipe->value[DIAL_MIN_GROUP];
    for (int b = 0; b < 4 && t->goal->bits[b]; b++) {
        for (int g = 0; g < GROUP_SIZES; g++) {
            if (group_sizes[g] && (double)group_sizes[g] < floor) continue;
            t->schemes[t->scheme_count++] = (Scheme){t->goal->bits[b], group_sizes[g]};
        }
    }
}

// Turns the dials of the scheme, also where an override sets them: the override stays, so that what it names stays
// quantized.
static bool recipe_for(const Recipe *recipe, Scheme scheme, Recipe *out, Error *err) {
    if (!recipe_copy(recipe, out, err)) return false;
    const Dial dials[] = {DIAL_BITS, DIAL_GRANULARITY, DIAL_GROUP_SIZE};
    const double values[] = {scheme.bits, scheme.group ? GRANULARITY_GROUP : GRANULARITY_CHANNEL,
                             scheme.group ? (double)scheme.group : dial_table[DIAL_GROUP_SIZE].default_value};
    for (int d = 0; d < 3; d++) {
        out->value[dials[d]] = values[d];
        for (int i = 0; i < out->override_count; i++) {
            if (out->overrides[i].set[dials[d]]) out->overrides[i].value[dials[d]] = values[d];
        }
    }
    return true;
}

static bool make_uniform_plans(Tuning *t) {
    for (int s = 0; s < t->scheme_count; s++) {
        Recipe recipe;
        if (!recipe_for(t->recipe, t->schemes[s], &recipe, t->err)) return false;
        bool ok = plan_make(&recipe, t->structure, &t->stats->measured, &t->uniform[s], t->err);
        recipe_free(&recipe);
        if (!ok) return false;
    }
    return true;
}

static bool make_units(Tuning *t) {
    size_t linears = (size_t)t->structure->linear_count;
    int *unit_of_set = array_new(linears, sizeof *unit_of_set);
    t->unit_of = array_new(linears, sizeof *t->unit_of);
    t->units = array_new(linears, sizeof *t->units);
    t->varied = (Plan){.linear_count = t->structure->linear_count,
                       .decisions = array_new(linears, sizeof *t->varied.decisions)};
    bool ok = unit_of_set && t->unit_of && t->units && t->varied.decisions;
    for (int i = 0; ok && i < t->structure->linear_count; i++) unit_of_set[i] = -1;
    for (int i = 0; ok && i < t->structure->linear_count; i++) {
        const Linear *linear = &t->structure->linears[i];
        t->unit_of[i] = -1;
        if (!t->uniform[0].decisions[i].quantized) continue;
        bool together = linear->fused_set >= 0 && t->recipe->value[DIAL_FUSED] != 0;
        int *known = together ? &unit_of_set[linear->fused_set] : NULL;
        if (known && *known >= 0) {
            t->unit_of[i] = *known;
        } else {
            t->unit_of[i] = t->unit_count;
            if (known) *known = t->unit_count;
            t->units[t->unit_count++].first = i;
        }
        t->elements += (double)linear->out * (double)linear->in;
    }
    free(unit_of_set);
    if (!ok) return error_memory(t->err, "tuning");
    return t->unit_count > 0 || error_set(t->err, "the recipe quantizes no linear; there is nothing to tune");
}

// A scheme is offered to a unit when all of its linears have whole groups of that size.
static void offer_schemes(Tuning *t) {
    for (int u = 0; u < t->unit_count; u++) memset(t->units[u].offered, 1, sizeof t->units[u].offered);
    for (int i = 0; i < t->structure->linear_count; i++) {
        if (t->unit_of[i] < 0) continue;
        Unit *unit = &t->units[t->unit_of[i]];
        size_t in = t->structure->linears[i].in;
        for (int s = 0; s < t->scheme_count; s++) {
            size_t group = t->schemes[s].group;
            unit->offered[s] &= !group || (group < in && in % group == 0);
            unit->bytes[s] += (double)t->uniform[s].decisions[i].bytes;
        }
    }
}

// ---- Measuring ----

static bool linear_noise(const Tuning *t, int linear, double *noise) {
    const InputStats *input = &t->stats->inputs[t->structure->linears[linear].input];
    double db;
    if (!linear_output_sqnr(t->search->base, quantized_model_transformer(t->search->model), linear, input->sample,
                            input->sample_rows, quantized_model_factors(t->search->model, linear),
                            quantized_model_divisors(t->search->model, linear), &db, t->err))
        return false;
    *noise = fmax(pow(10, -db / 10), LEAST_NOISE);
    return true;
}

static bool measure_noise(Tuning *t) {
    progress_begin(t->progress, "measuring errors", (uint64_t)t->scheme_count);
    for (int s = 0; s < t->scheme_count; s++) {
        if (!progress_add(t->progress, 1)) return error_stopped(t->err);
        if (!trial_follow(t->search, &t->uniform[s], NULL, t->err)) return false;
        for (int i = 0; i < t->structure->linear_count; i++) {
            double noise;
            if (t->unit_of[i] < 0) continue;
            if (!linear_noise(t, i, &noise)) return false;
            t->units[t->unit_of[i]].noise[s] += noise;
        }
    }
    return true;
}

// The varied plan: unit `only` by its scheme and everything else as it is, or all units (−1) and the recipe's cache;
// unit `but` left out.
static void assemble(Tuning *t, const int *schemes, int only, int but) {
    t->varied.cache_bits = only >= 0 ? 16 : t->uniform[0].cache_bits;
    memset(t->varied.decisions, 0, (size_t)t->varied.linear_count * sizeof *t->varied.decisions);
    for (int i = 0; i < t->varied.linear_count; i++) {
        int unit = t->unit_of[i];
        if (unit < 0 || unit == but || (only >= 0 && unit != only)) continue;
        t->varied.decisions[i] = t->uniform[schemes[unit]].decisions[i];
    }
}

static bool run(Tuning *t, double *kl) {
    Accuracy accuracy;
    t->out->trials++;
    if (!trial_run(t->search, &t->varied, &accuracy, t->progress, t->err)) return false;
    *kl = accuracy.kl_mean;
    return true;
}

// The offered scheme with these bits whose group is nearest to the anchor: measured, the others follow by their noise.
static int anchor_of(const Tuning *t, const Unit *unit, int bits) {
    int anchor = -1;
    double least = INFINITY;
    for (int s = 0; s < t->scheme_count; s++) {
        size_t group = t->schemes[s].group ? t->schemes[s].group : 4096;
        double distance = fabs(log2((double)group / ANCHOR_GROUP));
        if (t->schemes[s].bits != bits || !unit->offered[s] || distance >= least) continue;
        least = distance;
        anchor = s;
    }
    return anchor;
}

static bool measure_unit(Tuning *t, int u, int bits) {
    Unit *unit = &t->units[u];
    int anchor = anchor_of(t, unit, bits);
    double kl;
    t->chosen[u] = anchor;
    assemble(t, t->chosen, u, -1);
    if (!run(t, &kl)) return false;
    for (int s = 0; s < t->scheme_count; s++) {
        if (t->schemes[s].bits == bits) unit->kl[s] = kl * unit->noise[s] / unit->noise[anchor];
    }
    return true;
}

// From the last layer to the first, so that each evaluation starts where the one before left the model unchanged.
static bool measure_units(Tuning *t) {
    int bits_count = 0;
    while (bits_count < 4 && t->goal->bits[bits_count]) bits_count++;
    progress_begin(t->progress, "measuring linears", (uint64_t)(t->unit_count * bits_count) * trial_work(t->search));
    for (int u = t->unit_count - 1; u >= 0; u--) {
        for (int b = 0; b < bits_count; b++) {
            if (!measure_unit(t, u, t->goal->bits[b])) return false;
        }
    }
    return true;
}

// ---- Choosing ----

static double expected(const Tuning *t, const int *schemes) {
    double sum = 0;
    for (int u = 0; u < t->unit_count; u++) sum += t->units[u].kl[schemes[u]];
    return sum;
}

static bool solve(Tuning *t, double most_bytes, double most_kl, int *schemes, bool *found) {
    KnapsackItem *items = array_new((size_t)t->unit_count, sizeof *items);
    if (!items) return error_memory(t->err, "tuning");
    for (int u = 0; u < t->unit_count; u++) {
        for (int s = 0; s < t->scheme_count; s++) {
            items[u].weight[s] = t->units[u].bytes[s];
            items[u].cost[s] = t->units[u].offered[s] ? t->units[u].kl[s] : (double)INFINITY;
        }
    }
    bool ok = knapsack_solve(items, t->unit_count, t->scheme_count, most_bytes, most_kl, schemes, found, t->err);
    free(items);
    return ok;
}

static bool whole(Tuning *t, const int *schemes, double *kl) {
    assemble(t, schemes, -1, -1);
    return run(t, kl);
}

// What each unit adds to the whole, measured by taking it back, replaces what it adds alone. Noise may turn the sign:
// no share changes by more than a factor of four.
static bool correct_shares(Tuning *t, const int *schemes, double whole_kl) {
    for (int u = t->unit_count - 1; u >= 0; u--) {
        double rest, alone = t->units[u].kl[schemes[u]];
        assemble(t, schemes, -1, u);
        if (!run(t, &rest)) return false;
        double ratio = alone > 0 ? fmin(fmax((whole_kl - rest) / alone, 0.25), 4) : 1;
        for (int s = 0; s < t->scheme_count; s++) t->units[u].kl[s] *= ratio;
    }
    return true;
}

static void keep_if_better(Tuning *t, const int *schemes, double kl) {
    if (kl >= t->best_kl) return;
    t->best_kl = kl;
    t->out->expected_kl = expected(t, schemes);
    memcpy(t->best, schemes, (size_t)t->unit_count * sizeof *schemes);
}

static bool cannot_reach(const Tuning *t, const char *what, double least) {
    return error_set(t->err, "no choice of bits and groups reaches %s %g; the least is %g%s",
                     t->goal->max_kl > 0 ? "a KL divergence of" : "a budget in bits per weight of",
                     t->goal->max_kl > 0 ? t->goal->max_kl : t->goal->max_bits, least, what);
}

static double least_bits(const Tuning *t) {
    double bytes = 0;
    for (int u = 0; u < t->unit_count; u++) {
        double least = INFINITY;
        for (int s = 0; s < t->scheme_count; s++) {
            if (t->units[u].offered[s]) least = fmin(least, t->units[u].bytes[s]);
        }
        bytes += least;
    }
    return 8 * bytes / t->elements;
}

// Budget: solve, measure the whole, measure the shares in it, solve again.
static bool search_within_budget(Tuning *t) {
    double most_bytes = t->goal->max_bits * t->elements / 8, kl;
    bool found;
    for (int round = 0; round < ROUNDS; round++) {
        if (!solve(t, most_bytes, INFINITY, t->chosen, &found)) return false;
        if (!found) return cannot_reach(t, "; see --bits and --min-group", least_bits(t));
        progress_begin(t->progress, "choosing", (uint64_t)(t->unit_count + 1) * trial_work(t->search));
        if (!whole(t, t->chosen, &kl)) return false;
        bool better = kl < t->best_kl;
        keep_if_better(t, t->chosen, kl);
        if (!better || round + 1 == ROUNDS) break;
        if (!correct_shares(t, t->chosen, kl)) return false;
    }
    return true;
}

// ---- Verifying ----

// The model was left where the search had it: the other evaluator does not know what changed since its last run.
static bool verify_plan(Tuning *t, const Plan *plan, Point *out, float *kl) {
    t->verify->first_changed = 0;
    bool ok = kl ? trial_run_positions(t->verify, plan, &out->accuracy, kl, t->progress, t->err)
                 : trial_run(t->verify, plan, &out->accuracy, t->progress, t->err);
    t->search->first_changed = 0;
    out->bytes = plan->bytes;
    out->bits_per_weight = plan->bits_per_weight;
    t->out->trials++;
    return out->known = ok;
}

static bool make_recipe(const Tuning *t, const int *schemes, Recipe *out) {
    if (!recipe_copy(t->recipe, out, t->err)) return false;
    for (int i = 0; i < t->structure->linear_count; i++) {
        if (t->unit_of[i] < 0) continue;
        const char *name = t->structure->linears[i].name;
        const Scheme *scheme = &t->schemes[schemes[t->unit_of[i]]];
        double bits = scheme->bits, group = (double)scheme->group;
        double granularity = scheme->group ? GRANULARITY_GROUP : GRANULARITY_CHANNEL;
        bool ok = recipe_override(out, name, DIAL_BITS, &bits, t->err) &&
                  recipe_override(out, name, DIAL_GRANULARITY, &granularity, t->err) &&
                  (!scheme->group || recipe_override(out, name, DIAL_GROUP_SIZE, &group, t->err));
        if (!ok) return false;
    }
    return true;
}

// Through the recipe that will be written, not through the decisions that it was made from.
static bool verify_choice(Tuning *t, const int *schemes, Point *out, float *kl) {
    Recipe recipe;
    Plan plan = {0};
    bool ok = make_recipe(t, schemes, &recipe) &&
              plan_make(&recipe, t->structure, &t->stats->measured, &plan, t->err) && verify_plan(t, &plan, out, kl);
    plan_free(&plan);
    recipe_free(&recipe);
    return ok;
}

typedef struct Bisection {
    double target;    // divergence that the next choice should promise
    double low, high; // the largest promise that kept the bound, the smallest that did not
} Bisection;

// Towards the bound in the proportion that was just measured, then between what kept it and what did not.
static void next_target(Bisection *b, double bound, double kl) {
    double ratio = bound / fmax(kl, 1e-12);
    if (kl <= bound)
        b->low = b->target;
    else
        b->high = b->target;
    if (b->low > 0 && isfinite(b->high))
        b->target = sqrt(b->low * b->high);
    else
        b->target *= kl <= bound ? fmin(fmax(ratio, 1.02), 2) : fmin(0.95 * ratio, 0.8);
}

static bool try_target(Tuning *t, double target, Point *best, Point *out, bool *found) {
    if (!solve(t, INFINITY, target, t->chosen, found)) return false;
    if (!*found) return true;
    if (!verify_choice(t, t->chosen, out, NULL)) return false;
    if (out->accuracy.kl_mean > t->goal->max_kl || (best->known && out->bytes >= best->bytes)) return true;
    *best = *out;
    t->out->expected_kl = expected(t, t->chosen);
    memcpy(t->best, t->chosen, (size_t)t->unit_count * sizeof *t->best);
    return true;
}

// Bound: what the sum promises and what is measured differ, so the promise that just keeps the bound is looked for.
// Whatever is kept was measured to be within the bound.
static bool search_within_bound(Tuning *t) {
    Point point, best = {0};
    Bisection b = {.target = t->goal->max_kl, .high = INFINITY};
    bool found;
    progress_begin(t->progress, "choosing", BOUND_TRIES * trial_work(t->verify));
    for (int i = 0; i < BOUND_TRIES; i++) {
        if (!try_target(t, b.target, &best, &point, &found)) return false;
        if (found)
            next_target(&b, t->goal->max_kl, point.accuracy.kl_mean);
        else
            b.target *= 2; // no choice promises so little
    }
    if (best.known) return true;
    // The choice of least divergence, whatever its size: the last hope, and what can be told.
    if (!solve(t, INFINITY, 0, t->best, &found) || !verify_choice(t, t->best, &point, NULL)) return false;
    t->out->expected_kl = expected(t, t->best);
    return point.accuracy.kl_mean <= t->goal->max_kl ||
           cannot_reach(t, " (activations are as the recipe has them)", point.accuracy.kl_mean);
}

// ---- Compared with one scheme for all ----

static bool uniform_candidate(const Tuning *t, int s) {
    for (int u = 0; u < t->unit_count; u++) {
        if (!t->units[u].offered[s]) return false;
    }
    return t->goal->max_kl > 0 || t->uniform[s].bits_per_weight <= t->goal->max_bits;
}

// All candidates are measured on the tokens that are reported: the strictest comparison.
static bool best_uniform(Tuning *t, int *best) {
    Point points[KNAPSACK_CHOICES] = {0};
    int count = 0;
    *best = -1;
    for (int s = 0; s < t->scheme_count; s++) count += uniform_candidate(t, s);
    progress_begin(t->progress, "comparing", (uint64_t)count * trial_work(t->verify));
    for (int s = 0; s < t->scheme_count; s++) {
        if (!uniform_candidate(t, s)) continue;
        if (!verify_plan(t, &t->uniform[s], &points[s], NULL)) return false;
        double kl = points[s].accuracy.kl_mean;
        if (t->goal->max_kl > 0 && kl > t->goal->max_kl) continue;
        bool better = *best < 0 || (t->goal->max_kl > 0 ? points[s].bytes < points[*best].bytes
                                                        : kl < points[*best].accuracy.kl_mean);
        if (better) *best = s;
    }
    return true;
}

static bool compare(Tuning *t) {
    size_t n = (size_t)trial_work(t->verify);
    float *tuned = array_new(n, sizeof *tuned), *uniform = array_new(n, sizeof *uniform);
    int s = -1;
    bool ok = (tuned && uniform) || error_memory(t->err, "tuning");
    ok = ok && best_uniform(t, &s);
    progress_begin(t->progress, "verifying", 2 * trial_work(t->verify));
    ok = ok && verify_choice(t, t->best, &t->out->point, tuned);
    if (ok && s >= 0) {
        t->out->uniform_bits = t->schemes[s].bits;
        t->out->uniform_group = t->schemes[s].group;
        ok = verify_plan(t, &t->uniform[s], &t->out->uniform, uniform);
        if (ok) t->out->difference = paired_difference(tuned, uniform, n);
    }
    free(tuned);
    free(uniform);
    return ok;
}

// ---- The whole ----

static bool prepare(Tuning *t) {
    list_schemes(t);
    if (!t->scheme_count) return error_set(t->err, "there are no bits to choose from");
    if (!make_uniform_plans(t) || !make_units(t)) return false;
    offer_schemes(t);
    t->chosen = array_new((size_t)t->unit_count, sizeof *t->chosen);
    t->best = array_new((size_t)t->unit_count, sizeof *t->best);
    t->out->units = t->unit_count;
    return (t->chosen && t->best) || error_memory(t->err, "tuning");
}

static void tuning_free(Tuning *t) {
    for (int s = 0; s < t->scheme_count; s++) plan_free(&t->uniform[s]);
    plan_free(&t->varied);
    free(t->unit_of);
    free(t->units);
    free(t->chosen);
    free(t->best);
}

bool tune(Trial *search, Trial *verify, const ModelStats *stats, const Recipe *recipe, const TuneGoal *goal, Tuned *out,
          Progress *progress, Error *err) {
    *out = (Tuned){0};
    Tuning t = {.search = search,
                .verify = verify,
                .structure = transformer_structure(search->base),
                .stats = stats,
                .recipe = recipe,
                .goal = goal,
                .out = out,
                .progress = progress,
                .err = err,
                .best_kl = INFINITY};
    bool ok = prepare(&t) && measure_noise(&t) && measure_units(&t) &&
              (goal->max_kl > 0 ? search_within_bound(&t) : search_within_budget(&t)) && compare(&t) &&
              make_recipe(&t, t.best, &out->recipe);
    tuning_free(&t);
    return ok;
}

void tuned_free(Tuned *tuned) {
    recipe_free(&tuned->recipe);
    *tuned = (Tuned){0};
}
