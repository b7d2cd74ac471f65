// Units of the tuner, and what each costs alone.
#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/tune_parts.h"
#include "base/array.h"
#include "base/clock.h"
#include "base/log.h"

#define LEAST_NOISE 1e-12 // where nothing is lost at all

// Finest last, for messages.
static const size_t group_sizes[] = {0, 256, 128, 64, 32, 16};
#define GROUP_SIZES ((int)(sizeof group_sizes / sizeof *group_sizes))
#define LARGEST_FAST 128 // the fast kernels of engines take no larger groups, but whole channels

// ---- Schemes and units ----

// Larger groups only where the recipe itself has them.
static double largest_group(const Recipe *recipe) {
    const double *value = recipe->value, granularity = value[DIAL_GRANULARITY];
    const double own = granularity == GRANULARITY_GROUP      ? value[DIAL_GROUP_SIZE]
                       : granularity == GRANULARITY_ADAPTIVE ? value[DIAL_MAX_GROUP]
                                                             : 0;
    return fmax(own, fmax(LARGEST_FAST, value[DIAL_MIN_GROUP]));
}

static void list_schemes(Tuning *t) {
    const double floor = t->recipe->value[DIAL_MIN_GROUP], most = largest_group(t->recipe);
    for (int b = 0; b < 4 && t->goal->bits[b]; b++) {
        for (int g = 0; g < GROUP_SIZES; g++) {
            if (group_sizes[g] && ((double)group_sizes[g] < floor || (double)group_sizes[g] > most)) continue;
            t->schemes[t->scheme_count++] = (Scheme){t->goal->bits[b], group_sizes[g]};
        }
    }
}

static bool recipe_for(const Recipe *recipe, Scheme scheme, Recipe *out, Error *err) {
    if (!recipe_copy(recipe, out, err)) return false;
    recipe_set_scheme(out, scheme.bits, scheme.group);
    return true;
}

// refused [scheme_count, linear_count]: what the engines do not take.
static bool make_uniform_plans(Tuning *t, bool *refused) {
    const size_t linears = (size_t)t->structure->linear_count;
    for (int s = 0; s < t->scheme_count; s++) {
        Recipe recipe;
        if (!recipe_for(&t->start, t->schemes[s], &recipe, t->err)) return false;
        bool ok = verdict_keep(t->structure, &t->stats->measured, &t->goal->engines, &recipe, &t->uniform[s],
                               refused + (size_t)s * linears, t->err);
        recipe_free(&recipe);
        if (!ok) return false;
    }
    return true;
}

// Engines may want it left alone with some of them.
static bool is_quantized(const Tuning *t, int linear) {
    for (int s = 0; s < t->scheme_count; s++)
        if (t->uniform[s].decisions[linear].quantized) return true;
    return false;
}

static bool begin_units(const Tuning *t, int *unit) {
    const bool fused = t->recipe->value[DIAL_FUSED] != 0;
    return units_begin(t->structure, NULL, fused, unit, t->err) &&
           engines_join(t->structure, &t->goal->engines, unit, t->err);
}

static bool refuse_all(const Tuning *t, const char *linear) {
    return error_set(t->err, "%s: what the recipe is for takes none of the bits and groups that may be used", linear);
}

static bool make_units(Tuning *t) {
    size_t linears = (size_t)t->structure->linear_count;
    int *unit = array_new(linears, sizeof *unit), *number = array_new(linears, sizeof *number); // of a first + 1
    t->unit_of = array_new(linears, sizeof *t->unit_of);
    t->units = array_new(linears, sizeof *t->units);
    t->varied = (Plan){.linear_count = t->structure->linear_count,
                       .decisions = array_new(linears, sizeof *t->varied.decisions)};
    bool ok =
        unit && number && t->unit_of && t->units && t->varied.decisions && begin_units(t, unit) && tuning_keep(t, unit);
    for (int i = 0; ok && i < t->structure->linear_count; i++) {
        const Linear *linear = &t->structure->linears[i];
        t->unit_of[i] = -1;
        if (!is_quantized(t, i) && !t->kept[i]) continue;
        t->elements += (double)linear->out * (double)linear->in;
        if (t->kept[i]) continue;
        int *known = &number[units_first(unit, i)];
        if (!*known) *known = ++t->unit_count;
        t->unit_of[i] = *known - 1;
    }
    free(unit);
    free(number);
    if (!ok) return error_memory(t->err, "tuning");
    if (t->unit_count > 0) return true;
    if (t->out->kept)
        return error_set(t->err, "there is nothing to tune: all linears are kept as the recipe has them; --keep none "
                                 "takes back the bits and groups that overrides give");
    if (t->goal->engines.count) return refuse_all(t, "each linear");
    return error_set(t->err, "the recipe quantizes no linear; there is nothing to tune");
}

static int layer_of(const Tuning *t, int linear) { // the head is part of the last
    const int layer = t->structure->linears[linear].layer;
    return layer < 0 ? t->structure->config.layers - 1 : layer;
}

// A scheme is offered to a unit when all of its linears have whole groups of that size, and the engines take it.
static void offer_schemes(Tuning *t, const bool *refused) {
    const int linears = t->structure->linear_count;
    for (int u = 0; u < t->unit_count; u++) memset(t->units[u].offered, 1, sizeof t->units[u].offered);
    for (int i = 0; i < linears; i++) {
        if (t->unit_of[i] < 0) continue;
        Unit *unit = &t->units[t->unit_of[i]];
        const size_t in = t->structure->linears[i].in;
        if (!(unit->weights > 0)) unit->layer = layer_of(t, i);
        unit->weights += (double)(t->structure->linears[i].out * in);
        for (int s = 0; s < t->scheme_count; s++) {
            size_t group = t->schemes[s].group;
            unit->offered[s] &= (!group || (group < in && in % group == 0)) && !refused[s * linears + i];
            unit->bytes[s] += (double)t->uniform[s].decisions[i].bytes;
        }
    }
}

static bool is_offered_some(const Tuning *t, int unit) {
    for (int s = 0; s < t->scheme_count; s++)
        if (t->units[unit].offered[s]) return true;
    return false;
}

static bool all_have_schemes(const Tuning *t) {
    for (int i = 0; i < t->structure->linear_count; i++) {
        if (t->unit_of[i] < 0 || is_offered_some(t, t->unit_of[i])) continue;
        return refuse_all(t, t->structure->linears[i].name);
    }
    return true;
}

bool tuning_units(Tuning *t) {
    list_schemes(t);
    if (!t->scheme_count) return error_set(t->err, "no bits and group sizes are left to choose from");
    bool *refused = array_new((size_t)t->scheme_count * (size_t)t->structure->linear_count, sizeof *refused);
    bool ok = (refused || error_memory(t->err, "tuning")) && tuning_start(t) && make_uniform_plans(t, refused) &&
              engines_load(t->structure, &t->goal->engines, &t->uniform[0], t->err) && make_units(t);
    if (ok) offer_schemes(t, refused);
    free(refused);
    for (int u = 0; ok && u < t->unit_count; u++) {
        for (int s = 0; s < t->scheme_count; s++) t->units[u].measured[s] = -1;
    }
    return ok && all_have_schemes(t);
}

bool scheme_for_all(const Tuning *t, int scheme) {
    for (int u = 0; u < t->unit_count; u++) {
        if (!t->units[u].offered[scheme]) return false;
    }
    return true;
}

double tuning_bytes(const Tuning *t, const int *schemes) {
    double sum = t->kept_bytes;
    for (int u = 0; u < t->unit_count; u++) sum += t->units[u].bytes[schemes[u]];
    return sum;
}

static bool add_scheme(Recipe *recipe, const char *name, const Scheme *scheme, Error *err) {
    for (int i = 0; i < recipe->override_count; i++) // one that names a head exactly
        if (strcmp(recipe->overrides[i].match, name) == 0) override_drop_scheme(&recipe->overrides[i]);
    Override *override = recipe_add_override(recipe, name, err);
    if (!override) return false;
    override->tuned = true;
    override->set[DIAL_BITS] = override->set[DIAL_GRANULARITY] = true;
    override->set[DIAL_GROUP_SIZE] = scheme->group > 0;
    override->value[DIAL_BITS] = scheme->bits;
    override->value[DIAL_GRANULARITY] = scheme->group ? GRANULARITY_GROUP : GRANULARITY_CHANNEL;
    override->value[DIAL_GROUP_SIZE] = (double)scheme->group;
    return true;
}

bool tuning_recipe(const Tuning *t, const int *schemes, Recipe *out) {
    bool ok = recipe_copy(&t->start, out, t->err);
    for (int i = 0; ok && i < t->structure->linear_count; i++) {
        if (t->unit_of[i] >= 0)
            ok = add_scheme(out, t->structure->linears[i].name, &t->schemes[schemes[t->unit_of[i]]], t->err);
    }
    if (ok) recipe_drop_empty(out);
    return ok;
}

// ---- Time ----

// What comes after this piece. Where the time is limited, verifying comes on top.
static double within_limit(const Tuning *t, double piece) {
    const double left = tune_clock_left(&t->clock, t->phase), end = t->began + t->goal->seconds;
    if (!(t->goal->seconds > 0)) return left;
    return fmin(left, fmax(end - clock_seconds() - piece, 0) + t->verify_seconds);
}

// A piece of work gets as much of what is left of the bar as it is expected to take of the time from here on.
static void begin(Tuning *t, bool of_unit, TuneWork work, uint64_t ticks) {
    static const char *const names[] = {"1 of 5, comparing schemes", "2 of 5, measuring noise",
                                        "3 of 5, measuring linears", "4 of 5, comparing choices", "5 of 5, verifying"};
    static_assert(sizeof names / sizeof *names == TUNE_PHASES, "a phase has no name");
    tune_clock_begin(&t->clock, t->phase, of_unit, work);
    log_line("tune: phase %d expects %.6g weights packed, %.6g met, at %.3f", (int)t->phase, work.packed, work.met,
             clock_seconds() - t->began);
    const double piece = tune_clock_seconds(&t->clock, work), rest = within_limit(t, piece);
    const double share = (1 - t->reached) * piece / (piece + rest), total = (double)ticks / share;
    const bool known = tune_clock_pace(&t->clock).meet > 0;
    progress_expect(t->progress, known ? piece : (double)NAN, rest);
    progress_begin_at(t->progress, names[t->phase], (uint64_t)total, (uint64_t)(total * t->reached));
    t->reached += share;
}

// ---- Noise ----

static bool linear_noise(const Tuning *t, int linear, double *noise) {
    const InputStats *input = &t->stats->inputs[t->structure->linears[linear].input];
    double db;
    const LinearRows x = {.rows = input->sample,
                          .count = input->sample_rows,
                          .factors = quantized_model_factors(t->search->model, linear),
                          .divisors = quantized_model_divisors(t->search->model, linear)};
    if (!linear_output_sqnr(t->search->base, quantized_model_transformer(t->search->model), linear, &x, &db, NULL,
                            t->err))
        return false;
    *noise = fmax(pow(10, -db / 10), LEAST_NOISE);
    return true;
}

bool tuning_noise(Tuning *t) {
    t->last = t->search;
    const uint64_t each = trial_work(&t->few); // takes about as long
    for (int s = 0; s < t->scheme_count; s++) {
        begin(t, false, tune_noise_of_all(&t->clock.extent), each);
        if (!progress_add(t->progress, each)) return error_stopped(t->err);
        if (!trial_follow(t->search, &t->uniform[s], NULL, t->err)) return false;
        for (int i = 0; i < t->structure->linear_count; i++) {
            double noise;
            if (t->unit_of[i] < 0) continue;
            if (!t->uniform[s].decisions[i].quantized)
                noise = LEAST_NOISE;
            else if (!linear_noise(t, i, &noise))
                return false;
            t->units[t->unit_of[i]].noise[s] += noise;
        }
    }
    return true;
}

// ---- Measuring ----

static TuneWork work_of(const Tuning *t, const Trial *trial, int only) {
    const bool fresh = !(evaluator_work(trial->evaluator).heads > 0);
    const double positions = (double)trial_work(trial);
    return only < 0
               ? tune_evaluation(&t->clock.extent, positions, fresh)
               : tune_evaluation_from(&t->clock.extent, positions, fresh, t->units[only].layer, t->units[only].weights);
}

// With what it took, where it was not known already.
static bool run_timed(Tuning *t, Trial *trial, const Plan *plan, double packed, Accuracy *out, float *by_position) {
    const EvaluatorWork before = evaluator_work(trial->evaluator);
    const TuneExtent *e = &t->clock.extent;
    const double began = clock_seconds();
    if (!trial_known(trial, plan, out, by_position) && !trial_follow(trial, plan, t->progress, t->err)) return false;
    const double followed = clock_seconds();
    if (!(by_position ? trial_run_positions(trial, plan, out, by_position, t->progress, t->err)
                      : trial_run(trial, plan, out, t->progress, t->err)))
        return false;
    const EvaluatorWork after = evaluator_work(trial->evaluator);
    const double met = (after.layers - before.layers) * e->layer + (after.heads - before.heads) * e->head;
    const TuneWork done = {met > 0 ? packed : 0, met};
    const double pack = followed - began, meet = clock_seconds() - followed;
    if (met > 0) tune_clock_timed(&t->clock, done, pack, meet);
    log_line("tune: took %.4f s to pack, %.4f s for %.4g weights met, at %.3f", pack, meet, met,
             clock_seconds() - t->began);
    return true;
}

// The model was left where another trial had it: this one does not know what changed since its last run.
bool tuning_run(Tuning *t, Trial *trial, const Plan *plan, int only, Accuracy *out, float *by_position) {
    const TuneWork work = work_of(t, trial, only);
    begin(t, only >= 0, work, trial_work(trial));
    if (t->last != trial) trial->first_changed = 0;
    t->last = trial;
    if (!run_timed(t, trial, plan, work.packed, out, by_position)) return false;
    t->out->trials++;
    t->out->tokens += trial_work(trial);
    t->out->seconds = clock_seconds() - t->began;
    t->out->pace = tune_clock_pace(&t->clock);
    if (t->partial) t->partial(t->context, t->out);
    return true;
}

// The varied plan: unit `only` by its scheme and everything else as it is, or all units (−1) and the recipe's cache.
static void assemble(Tuning *t, const int *schemes, int only) {
    t->varied.cache_bits = only >= 0 ? 16 : t->uniform[0].cache_bits;
    memset(t->varied.decisions, 0, (size_t)t->varied.linear_count * sizeof *t->varied.decisions);
    for (int i = 0; i < t->varied.linear_count; i++) {
        const int unit = t->unit_of[i];
        if (only < 0 && t->kept[i]) t->varied.decisions[i] = t->kept_plan.decisions[i];
        if (unit >= 0 && (only < 0 || unit == only)) t->varied.decisions[i] = t->uniform[schemes[unit]].decisions[i];
    }
}

bool tuning_whole(Tuning *t, Trial *trial, const int *schemes, double *kl) {
    Accuracy accuracy;
    assemble(t, schemes, -1);
    if (!tuning_run(t, trial, &t->varied, -1, &accuracy, NULL)) return false;
    *kl = accuracy.kl_mean;
    return true;
}

static int count_unknown(const Tuning *t, const int *schemes) {
    int count = 0;
    for (int u = 0; u < t->unit_count; u++) count += t->units[u].measured[schemes[u]] < 0;
    return count;
}

bool tuning_known(const Tuning *t, const int *schemes) { return !count_unknown(t, schemes); }

bool tuning_begun(const Tuning *t) {
    for (int u = 0; u < t->unit_count; u++) {
        bool any = false;
        for (int s = 0; s < t->scheme_count; s++) any = any || t->units[u].measured[s] >= 0;
        if (!any) return false;
    }
    return true;
}

// From the last layer to the first, so that each evaluation starts where the one before left the model unchanged.
bool tuning_measure(Tuning *t, const int *schemes) {
    if (t->phase == TUNE_CHOICES) tune_clock_again(&t->clock, count_unknown(t, schemes));
    for (int u = t->unit_count - 1; u >= 0; u--) {
        double *measured = &t->units[u].measured[schemes[u]];
        Accuracy accuracy;
        if (*measured >= 0) continue;
        assemble(t, schemes, u);
        if (!tuning_run(t, t->alone, &t->varied, u, &accuracy, NULL)) return false;
        *measured = fmax(accuracy.kl_mean, LEAST_NOISE);
    }
    return true;
}

// ---- Expecting ----

// Divergence is proportional to noise beyond what is measured, and between two measured schemes a power of it.
static double expect_alone(const Unit *unit, int schemes, double noise) {
    int below = -1, above = -1; // the nearest that are measured
    for (int s = 0; s < schemes; s++) {
        if (unit->measured[s] < 0) continue;
        if (unit->noise[s] <= noise && (below < 0 || unit->noise[s] > unit->noise[below])) below = s;
        if (unit->noise[s] >= noise && (above < 0 || unit->noise[s] < unit->noise[above])) above = s;
    }
    if (below < 0) return unit->measured[above] * noise / unit->noise[above];
    if (above < 0 || unit->noise[above] <= unit->noise[below])
        return unit->measured[below] * noise / unit->noise[below];
    const double part = log(noise / unit->noise[below]) / log(unit->noise[above] / unit->noise[below]);
    return pow(unit->measured[below], 1 - part) * pow(unit->measured[above], part);
}

void tuning_expect(Tuning *t) {
    for (int u = 0; u < t->unit_count; u++) {
        Unit *unit = &t->units[u];
        for (int s = 0; s < t->scheme_count; s++) {
            unit->alone[s] =
                unit->measured[s] >= 0 ? unit->measured[s] : expect_alone(unit, t->scheme_count, unit->noise[s]);
        }
    }
}

// ---- Before it begins ----

static double positions_of(Pieces pieces, double most) {
    return fmin((double)(pieces.count * (pieces.tokens - 1)), most);
}

// Units by the plan, and weights in them.
static void count_units(const Tuning *t, const Plan *plan, int *unit, bool *known, TuneExtent *extent) {
    for (int i = 0; i < t->structure->linear_count; i++) {
        if (!plan->decisions[i].quantized || (t->goal->kept && t->goal->kept[i])) continue;
        const int first = units_first(unit, i);
        extent->units += !known[first];
        extent->packed += (double)(t->structure->linears[i].out * t->structure->linears[i].in);
        known[first] = true;
    }
}

bool tune_forecast(const ModelStructure *structure, const Plan *plan, const Recipe *recipe, const TuneGoal *goal,
                   size_t tokens, double *seconds, Error *err) {
    Tuning t = {.structure = structure, .recipe = recipe, .goal = goal, .err = err};
    const double all = (double)tokens;
    const size_t linears = (size_t)structure->linear_count;
    int *unit = array_new(linears, sizeof *unit);
    bool *known = array_new(linears, sizeof *known);
    TuneExtent extent = {.for_bound = goal->max_kl > 0,
                         .layers = structure->config.layers,
                         .few = positions_of(FEW_TOKENS, all),
                         .some = positions_of(SOME_TOKENS, all),
                         .whole = all,
                         .verified = all,
                         .alone = all};
    const bool ok = ((unit && known) || error_memory(err, "tuning")) && begin_units(&t, unit);
    list_schemes(&t);
    extent.schemes = extent.candidates = t.scheme_count;
    if (ok) count_units(&t, plan, unit, known, &extent);
    free(unit);
    free(known);
    tune_weights_met(structure, &extent.layer, &extent.head);
    const TuneClock clock = tune_clock_new(&extent, &goal->pace);
    *seconds = goal->pace.meet > 0 && extent.units > 0 ? tune_clock_left(&clock, TUNE_SCHEMES) : (double)NAN;
    return ok;
}
