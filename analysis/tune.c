#include "analysis/tune.h"

#include <assert.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/tune_parts.h"
#include "base/array.h"
#include "base/clock.h"

// A candidate is measured in full unless it is worse on few tokens by more than so many standard errors.
#define REJECTED_BY 3
// Units are measured alone on the most tokens of which weights × units × tokens stay below this for each second.
#define WORK_PER_SECOND 1.6e10

static bool for_bound(const Tuning *t) { return t->goal->max_kl > 0; }

static void keep(Tuning *t, const int *schemes, double kl) {
    t->best_known = true;
    t->out->best_kl = kl;
    t->out->best_bits = 8 * tuning_bytes(t, schemes) / t->elements;
    memmove(t->best, schemes, (size_t)t->unit_count * sizeof *schemes);
    if (t->partial) t->partial(t->context, t->out);
}

// "; for vllm-sm80 no fewer than 4 bits": of those that may be used.
static void engines_text(const Tuning *t, Text *out) {
    int fewest = t->schemes[0].bits, offered = INT_MAX;
    for (int s = 0; s < t->scheme_count; s++) fewest = t->schemes[s].bits < fewest ? t->schemes[s].bits : fewest;
    for (int u = 0; u < t->unit_count; u++) {
        for (int s = 0; s < t->scheme_count; s++)
            if (t->units[u].offered[s] && t->schemes[s].bits < offered) offered = t->schemes[s].bits;
    }
    if (!t->goal->engines.count || offered <= fewest) return;
    Text names = {0};
    Targets targets = 0;
    for (int e = 0; e < t->goal->engines.count; e++) targets |= t->goal->engines.wishes[e].targets;
    targets_list(targets, &names);
    text_addf(out, "; for %s no fewer than %d bits", names.data ? names.data : "", offered);
    text_free(&names);
}

static bool cannot_reach(const Tuning *t, const char *what, double least) {
    char kept[80] = "";
    Text engines = {0};
    engines_text(t, &engines);
    if (t->out->kept)
        snprintf(kept, sizeof kept, ", with %d linear%s kept as the recipe has them (see --keep)", t->out->kept,
                 t->out->kept == 1 ? "" : "s");
    error_set(t->err, "no choice of bits and groups reaches %s %g; the least is %g%s%s%s",
              for_bound(t) ? "a KL divergence of" : "a budget in bits per weight of",
              for_bound(t) ? t->goal->max_kl : t->goal->max_bits, least, kept, engines.data ? engines.data : "", what);
    text_free(&engines);
    return false;
}

static double least_bits(const Tuning *t) {
    double bytes = t->kept_bytes;
    for (int u = 0; u < t->unit_count; u++) {
        double least = INFINITY;
        for (int s = 0; s < t->scheme_count; s++) {
            if (t->units[u].offered[s]) least = fmin(least, t->units[u].bytes[s]);
        }
        bytes += least;
    }
    return 8 * bytes / t->elements;
}

static bool is_out_of_reach(const Tuning *t) { return !for_bound(t) && least_bits(t) > t->goal->max_bits * (1 + 1e-9); }

static bool refuse_budget(const Tuning *t) { return cannot_reach(t, "; see --bits and --min-group", least_bits(t)); }

// ---- Verifying ----

static bool verify(Tuning *t, const Plan *plan, Point *out, float *by_position) {
    const double before = clock_seconds();
    out->bytes = plan->bytes;
    out->bits_per_weight = plan->bits_per_weight;
    out->known = tuning_run(t, t->verify, plan, -1, &out->accuracy, by_position);
    t->verify_seconds = fmax(t->verify_seconds, clock_seconds() - before);
    return out->known;
}

// And what it comes to. Both are to be freed in any case.
static bool make_recipe(const Tuning *t, const int *schemes, Recipe *out, Plan *plan) {
    *plan = (Plan){0};
    return tuning_recipe(t, schemes, out) &&
           verdict_keep(t->structure, &t->stats->measured, &t->goal->engines, out, plan, NULL, t->err);
}

// Through the recipe that will be written, not through the decisions that it was made from.
static bool verify_choice(Tuning *t, const int *schemes, Point *out, float *by_position) {
    Recipe recipe;
    Plan plan;
    bool ok = make_recipe(t, schemes, &recipe, &plan) && verify(t, &plan, out, by_position);
    plan_free(&plan);
    recipe_free(&recipe);
    return ok;
}

// ---- The recipe as it is given ----

static bool has_bits(const TuneGoal *goal, int bits) {
    for (int b = 0; b < 4; b++)
        if (goal->bits[b] == bits) return true;
    return false;
}

// Of what may be used, and within the budget. Whether it is within a bound has to be measured.
static bool may_stay(const Tuning *t, const Plan *plan) {
    for (int i = 0; i < plan->linear_count; i++) {
        const Decision *d = &plan->decisions[i];
        if (d->quantized && !t->kept[i] && !has_bits(t->goal, d->bits)) return false;
    }
    return plan->quantized_count > 0 && (for_bound(t) || plan->bits_per_weight <= t->goal->max_bits + 1e-9);
}

static bool measure_given(Tuning *t) {
    bool *refused = array_new((size_t)t->structure->linear_count, sizeof *refused);
    Plan plan = {0};
    Point *given = &t->out->given;
    bool ok = (refused || error_memory(t->err, "tuning")) && recipe_copy(t->recipe, &t->given, t->err) &&
              verdict_keep(t->structure, &t->stats->measured, &t->goal->engines, &t->given, &plan, refused, t->err);
    if (ok && may_stay(t, &plan)) ok = verify(t, &plan, given, t->given_by_position);
    if (for_bound(t) && given->accuracy.kl_mean > t->goal->max_kl) *given = (Point){0};
    plan_free(&plan);
    free(refused);
    return ok;
}

static bool given_is_as_good(const Tuning *t) {
    const Point *given = &t->out->given, *found = &t->out->point;
    if (!given->known || !t->best_known) return given->known;
    if (for_bound(t) && given->bytes != found->bytes) return given->bytes < found->bytes;
    return given->accuracy.kl_mean <= found->accuracy.kl_mean;
}

// ---- One scheme for all ----

typedef struct Candidate {
    int scheme;
    double bytes;
    Accuracy few;
    float *by_position; // [POSITION_FIGURES, positions of few]
} Candidate;

typedef struct Candidates {
    Candidate list[KNAPSACK_CHOICES];
    int count;
    Trial few;          // of verify
    float *by_position; // of all in the list
} Candidates;

static int by_bytes(const void *a, const void *b) {
    const double x = ((const Candidate *)a)->bytes, y = ((const Candidate *)b)->bytes;
    return (x > y) - (x < y);
}

static int by_few(const void *a, const void *b) {
    const double x = ((const Candidate *)a)->few.kl_mean, y = ((const Candidate *)b)->few.kl_mean;
    return (x > y) - (x < y);
}

static bool is_candidate(const Tuning *t, int s) {
    return scheme_for_all(t, s) && (for_bound(t) || t->uniform[s].bits_per_weight <= t->goal->max_bits);
}

static bool try_on_few(Tuning *t, Candidates *c) {
    if (!trial_begin_on(t->verify, FEW_TOKENS, &c->few, t->err)) return false;
    const size_t n = (size_t)trial_work(&c->few), each = POSITION_FIGURES * n;
    c->by_position = array_new(KNAPSACK_CHOICES * each, sizeof *c->by_position);
    if (!c->by_position) return error_memory(t->err, "tuning");
    for (int s = 0; s < t->scheme_count; s++) {
        if (!is_candidate(t, s)) continue;
        Candidate *one = &c->list[c->count];
        *one = (Candidate){
            .scheme = s, .bytes = (double)t->uniform[s].bytes, .by_position = c->by_position + (size_t)c->count * each};
        if (!tuning_run(t, &c->few, &t->uniform[s], -1, &one->few, one->by_position)) return false;
        c->count++;
    }
    qsort(c->list, (size_t)c->count, sizeof *c->list, for_bound(t) ? by_bytes : by_few);
    return true;
}

static bool is_rejected(const Tuning *t, const Candidates *c, const Candidate *one) {
    if (for_bound(t)) return one->few.kl_mean - REJECTED_BY * one->few.kl_se > t->goal->max_kl;
    const size_t n = (size_t)trial_work(&c->few);
    const Difference d = paired_differences(one->by_position, c->list[0].by_position, n).kl;
    return d.mean > REJECTED_BY * d.se;
}

// Whether this point is the best so far: the first within the bound, since they come by size; or the least divergence.
static bool is_better(const Tuning *t, const Point *point) {
    const double kl = point->accuracy.kl_mean;
    return for_bound(t) ? kl <= t->goal->max_kl : !t->out->uniform.known || kl < t->out->uniform.accuracy.kl_mean;
}

static bool try_in_full(Tuning *t, const Candidates *c) {
    const size_t each = POSITION_FIGURES * (size_t)trial_work(t->verify);
    float *by_position = array_new(each, sizeof *by_position);
    bool ok = by_position || error_memory(t->err, "tuning");
    for (int i = 0; ok && i < c->count && !(for_bound(t) && t->out->uniform.known); i++) {
        const Candidate *one = &c->list[i];
        Point point = {0};
        if (is_rejected(t, c, one)) continue;
        ok = verify(t, &t->uniform[one->scheme], &point, by_position);
        if (!ok || !is_better(t, &point)) continue;
        t->out->uniform = point;
        t->anchor = one->scheme;
        memcpy(t->uniform_by_position, by_position, each * sizeof *by_position);
    }
    free(by_position);
    return ok;
}

// Where no scheme for all reaches the goal: the smallest for a budget, the largest for a bound.
static int extreme_scheme(const Tuning *t) {
    int extreme = 0; // whole channels, which all units may have
    for (int s = 1; s < t->scheme_count; s++) {
        const size_t size = t->uniform[s].bytes, other = t->uniform[extreme].bytes;
        if (scheme_for_all(t, s) && (for_bound(t) ? size > other : size < other)) extreme = s;
    }
    return extreme;
}

// The first recipe that reaches the goal, where one scheme for all can, and the scheme by which units are measured.
// Candidates are judged on the tokens that are reported: the strictest comparison.
static bool best_uniform(Tuning *t) {
    Candidates c = {0};
    const bool ok = try_on_few(t, &c) && try_in_full(t, &c);
    const Point *uniform = &t->out->uniform;
    free(c.by_position);
    trial_end(&c.few);
    if (!ok) return false;
    if (!uniform->known) t->anchor = extreme_scheme(t);
    t->out->uniform_bits = t->schemes[t->anchor].bits;
    t->out->uniform_group = t->schemes[t->anchor].group;
    for (int u = 0; u < t->unit_count; u++) t->chosen[u] = t->anchor;
    // Within a budget others are compared with it on other tokens.
    t->out->first_kl = for_bound(t) && uniform->known ? uniform->accuracy.kl_mean : (double)NAN;
    if (uniform->known) keep(t, t->chosen, t->out->first_kl);
    return true;
}

// ---- Within a budget ----

// The best few once more, on all tokens of the search.
static bool try_finalists(Tuning *t, const Choices *choices) {
    for (int i = 0; i < FINALISTS && isfinite(choices->list[i].kl); i++) {
        const int *schemes = choices->list[i].schemes;
        double kl;
        if (!tuning_whole(t, t->search, schemes, &kl)) return false;
        if (!t->best_known || kl < t->out->best_kl) keep(t, schemes, kl);
    }
    return true;
}

static bool search_within_budget(Tuning *t) {
    const double most_bytes = t->goal->max_bits * t->elements / 8;
    double kl;
    bool found;
    Choices choices = {0};
    if (t->best_known) {
        if (!tuning_whole(t, t->search, t->best, &kl)) return false;
        t->out->first_kl = kl;
        keep(t, t->best, kl);
    }
    t->phase = TUNE_LINEARS;
    if (!tuning_measure(t, t->chosen)) return false;
    t->phase = TUNE_CHOICES;
    if (!tuning_choose(t, most_bytes, INFINITY, t->chosen, &found)) return false;
    if (!found) return t->out->given.known || refuse_budget(t);
    const bool ok = tuning_choices(t, most_bytes, &choices) && try_finalists(t, &choices);
    choices_free(&choices);
    return ok;
}

// ---- Within a bound ----

// The smallest choice that promises so little, or the one of least divergence where none does.
static bool choose_within(Tuning *t, double promise) {
    bool found;
    return tuning_choose(t, INFINITY, promise, t->chosen, &found) &&
           (found || tuning_choose(t, INFINITY, 0, t->chosen, &found));
}

static bool try_chosen(Tuning *t, Point *best) {
    Point point;
    if (!verify_choice(t, t->chosen, &point, NULL)) return false;
    const double kl = point.accuracy.kl_mean;
    if (kl <= t->goal->max_kl && (!best->known || point.bytes < best->bytes)) {
        *best = point;
        keep(t, t->chosen, kl);
    }
    return tuning_learn(t, t->chosen, kl);
}

// What the sum promises and what is measured differ. Each measurement corrects the sum, until that leads to a choice
// which was measured already. promise: what the first of all choices should, before anything was learned.
static bool approach_bound(Tuning *t, Weighing by, double promise, int tries, Point *best) {
    t->weighing = by;
    for (int i = 0; i < tries; i++) {
        if (!choose_within(t, t->whole_count ? t->goal->max_kl : promise)) return false;
        if (tuning_learned(t, t->chosen)) break;
        if (!try_chosen(t, best)) return false;
    }
    return true;
}

// By the ways of weighing that are best at a size.
static bool approach_by(Tuning *t, double most_bytes, int ways, Point *best) {
    const double bound = t->goal->max_kl;
    bool found;
    Choices choices = {0};
    if (!t->best_known) return approach_bound(t, t->weighing, bound, BOUND_TRIES, best);
    bool ok = tuning_choose(t, most_bytes, INFINITY, t->chosen, &found) && tuning_choices(t, most_bytes, &choices);
    for (int i = 0; ok && i < ways && isfinite(choices.list[i].kl); i++) {
        const Choice *one = &choices.list[i];
        ok = approach_bound(t, one->by, bound * one->sum / fmax(one->kl, LEAST_KL), BOUND_TRIES, best);
    }
    choices_free(&choices);
    return ok;
}

// From noise alone, before any unit is measured: where time is short, this is the result.
static bool begin_by_noise(Tuning *t, Point *best) {
    const Weighing by_noise = {0, 0}, after = t->weighing;
    if (!tuning_learn(t, t->best, best->accuracy.kl_mean) ||
        !approach_bound(t, by_noise, t->goal->max_kl, NOISE_TRIES, best))
        return false;
    tuning_forget(t); // it was learned of other shares
    t->weighing = after;
    return true;
}

// By measured units in two rounds: the uniform recipe that the first one starts from may be twice as large as what it
// ends with, and other ways of weighing are best there. From that far, units are measured by many schemes on the way; a
// start from the choice by noise needs half the evaluations, but on a model of 210 linears it ended larger. Whatever is
// kept was measured to be within the bound.
static bool search_within_bound(Tuning *t) {
    Point point, best = t->out->uniform;
    bool found;
    const double most_bytes = tuning_bytes(t, t->chosen); // of the uniform recipe
    if (best.known && !begin_by_noise(t, &best)) return false;
    for (int u = 0; u < t->unit_count; u++) t->chosen[u] = t->anchor;
    t->phase = TUNE_LINEARS;
    if (!tuning_measure(t, t->chosen)) return false;
    t->phase = TUNE_CHOICES;
    if (!approach_by(t, most_bytes, 1, &best) || !approach_by(t, tuning_bytes(t, t->best), BOUND_WAYS, &best))
        return false;
    if (best.known) return true;
    // The choice of least divergence, whatever its size: the last hope, and what can be told.
    if (!tuning_choose(t, INFINITY, 0, t->chosen, &found) || !verify_choice(t, t->chosen, &point, NULL)) return false;
    if (point.accuracy.kl_mean > t->goal->max_kl)
        return t->out->given.known ||
               cannot_reach(t, " (activations are as the recipe has them)", point.accuracy.kl_mean);
    keep(t, t->chosen, point.accuracy.kl_mean);
    return true;
}

// ---- The whole ----

static bool prepare(Tuning *t) {
    if (!tuning_units(t)) return false;
    t->chosen = array_new((size_t)t->unit_count, sizeof *t->chosen);
    t->best = array_new((size_t)t->unit_count, sizeof *t->best);
    const size_t figures = POSITION_FIGURES * (size_t)trial_work(t->verify);
    t->uniform_by_position = array_new(figures, sizeof *t->uniform_by_position);
    t->given_by_position = array_new(figures, sizeof *t->given_by_position);
    t->out->units = t->unit_count;
    if (!t->chosen || !t->best || !t->uniform_by_position || !t->given_by_position)
        return error_memory(t->err, "tuning");
    return trial_begin_on(t->search, FEW_TOKENS, &t->few, t->err) &&
           trial_begin_on(t->search, SOME_TOKENS, &t->some, t->err);
}

// Chosen by the work, not by the clock, so that every machine finds the same if it has the time.
static Trial *trial_for_units(Tuning *t) {
    Trial *const longest_first[] = {t->search, &t->some};
    for (int i = 0; i < 2 && t->goal->seconds > 0; i++) {
        const double work = (double)trial_work(longest_first[i]) * t->elements * t->unit_count;
        if (work <= WORK_PER_SECOND * t->goal->seconds) return longest_first[i];
    }
    return t->goal->seconds > 0 ? &t->few : t->search;
}

static void start_clock(Tuning *t) {
    TuneExtent extent = {.for_bound = for_bound(t),
                         .schemes = t->scheme_count,
                         .units = t->unit_count,
                         .layers = t->structure->config.layers,
                         .few = (double)trial_work(&t->few),
                         .some = (double)trial_work(&t->some),
                         .whole = (double)trial_work(t->search),
                         .verified = (double)trial_work(t->verify),
                         .alone = (double)trial_work(t->alone)};
    for (int s = 0; s < t->scheme_count; s++) extent.candidates += is_candidate(t, s);
    for (int u = 0; u < t->unit_count; u++) extent.packed += t->units[u].weights;
    tune_weights_met(t->structure, &extent.layer, &extent.head);
    t->clock = tune_clock_new(&extent, &t->goal->pace);
}

static void set_deadline(Tuning *t, double deadline) {
    t->search->deadline = t->verify->deadline = t->few.deadline = t->some.deadline = deadline;
}

static bool search_units(Tuning *t) {
    // Verifying the result comes on top of the search.
    if (t->goal->seconds > 0) set_deadline(t, t->began + fmax(t->goal->seconds - t->verify_seconds, 0));
    t->phase = TUNE_NOISE;
    const bool ok = tuning_noise(t) && (for_bound(t) ? search_within_bound(t) : search_within_budget(t));
    set_deadline(t, 0);
    return ok;
}

// Ends with the best so far when it is stopped, or out of time. The request to stop is met by that: what follows is
// needed for the result, and another request ends it.
static bool search(Tuning *t) {
    if (search_units(t)) return true;
    const bool asked = progress_should_stop(t->progress);
    if (!t->err->stopped || (asked && !t->best_known)) return false;
    if (!t->best_known && !t->out->given.known)
        return error_set(t->err, "the time was over before there was a recipe that reaches the goal; run the same "
                                 "command again to continue");
    t->out->cut = asked ? TUNE_STOPPED : TUNE_OUT_OF_TIME;
    if (asked) atomic_store(&t->progress->stop, false);
    *t->err = (Error){0};
    return true;
}

// NAN where the search ended before units were measured.
static double expected(Tuning *t) {
    if (!tuning_begun(t)) return NAN;
    tuning_expect(t);
    return tuning_sum_alone(t, t->best);
}

// What was found, unless what was given is as good.
static bool take_result(Tuning *t, float *by_position, size_t figures) {
    Plan plan = {0};
    if (t->best_known && !verify_choice(t, t->best, &t->out->point, by_position)) return false;
    t->out->expected_kl = t->best_known ? expected(t) : (double)NAN;
    t->out->stays = given_is_as_good(t);
    if (t->out->stays) {
        t->out->point = t->out->given;
        t->out->expected_kl = (double)NAN;
        memcpy(by_position, t->given_by_position, figures * sizeof *by_position);
        return recipe_copy(&t->given, &t->out->recipe, t->err);
    }
    const bool ok = make_recipe(t, t->best, &t->out->recipe, &plan);
    plan_free(&plan);
    return ok;
}

static bool report(Tuning *t) {
    const size_t n = (size_t)trial_work(t->verify), figures = POSITION_FIGURES * n;
    float *by_position = array_new(figures, sizeof *by_position);
    t->phase = TUNE_VERIFYING;
    const bool ok = by_position ? take_result(t, by_position, figures) : error_memory(t->err, "tuning");
    if (ok && t->out->uniform.known) t->out->difference = paired_differences(by_position, t->uniform_by_position, n);
    free(by_position);
    return ok;
}

static void tuning_free(Tuning *t) {
    for (int s = 0; s < t->scheme_count; s++) plan_free(&t->uniform[s]);
    trial_end(&t->few);
    trial_end(&t->some);
    plan_free(&t->varied);
    plan_free(&t->kept_plan);
    recipe_free(&t->start);
    free(t->kept);
    free(t->unit_of);
    free(t->units);
    recipe_free(&t->given);
    free(t->uniform_by_position);
    free(t->given_by_position);
    tuning_forget(t);
    free(t->chosen);
    free(t->best);
}

bool tune(Trial *search_on, Trial *verify_on, const ModelStats *stats, const Recipe *recipe, const TuneGoal *goal,
          void (*partial)(void *, const Tuned *), void *context, Tuned *out, Progress *progress, Error *err) {
    Error own = {0};
    *out = (Tuned){.best_kl = NAN, .best_bits = NAN, .first_kl = NAN};
    Tuning t = {.search = search_on,
                .verify = verify_on,
                .structure = transformer_structure(search_on->base),
                .stats = stats,
                .recipe = recipe,
                .goal = goal,
                .partial = partial,
                .context = context,
                .out = out,
                .progress = progress,
                .err = err ? err : &own,
                .began = clock_seconds(),
                .weighing = {1, 0}};
    bool ok = prepare(&t);
    t.alone = trial_for_units(&t);
    if (ok) start_clock(&t);
    ok = ok && measure_given(&t);
    if (ok && is_out_of_reach(&t))
        ok = t.out->given.known || refuse_budget(&t);
    else
        ok = ok && best_uniform(&t) && search(&t);
    ok = ok && report(&t);
    tuning_free(&t);
    return ok;
}

void tuned_free(Tuned *tuned) {
    recipe_free(&tuned->recipe);
    *tuned = (Tuned){0};
}
