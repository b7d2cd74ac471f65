// Remedies that a recipe can give.
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "export/verdict_parts.h"
#include "quant/assign.h"
#include "quant/difference.h"

enum {
    ROUNDS = 4,     // of one rule: a remedy may bring it up elsewhere
    SINGLE_MOST = 4 // rules for one linear each, of one change
};

static VerdictChange change(int linear, Dial dial, double value) {
    return (VerdictChange){.linear = linear, .dial = (int)dial, .value = value};
}

static int group_changes(int linear, size_t group, VerdictChange *out) {
    out[0] = change(linear, DIAL_GRANULARITY, group ? GRANULARITY_GROUP : GRANULARITY_CHANNEL);
    if (group) out[1] = change(linear, DIAL_GROUP_SIZE, (double)group);
    return group ? 2 : 1;
}

// Of 128, 64 and 32 the largest that divides the columns and is not above what was asked for, else the smallest that
// divides them.
static size_t portable_group(size_t in, size_t asked) {
    size_t smallest = 0;
    for (size_t group = 128; group >= 32; group /= 2) {
        if (in % group) continue;
        if (group <= asked) return group;
        smallest = group;
    }
    return smallest;
}

// Only what differs from what the linear has.
static int set_changes(const Case *c, const Rule *rule, int linear, VerdictChange *out) {
    const SetWish *wish = &c->wish[linear];
    const Decision *d = &c->plan->decisions[linear];
    const bool experts = c->structure->linears[linear].expert >= 0;
    int count = 0;
    if (experts && wish->ignored) {
        out[0] = (VerdictChange){.linear = linear, .dial = -1};
        return 1;
    }
    const bool only_inputs = rule->dial == DIAL_ACTIVATIONS; // of weights that agree
    const bool token = wish->token && (!only_inputs || takes_tokens(c, linear));
    const ActivationPolicy inputs = token ? POLICY_TOKEN : POLICY_NONE;
    if ((experts || only_inputs) && d->activations != inputs) out[count++] = change(linear, DIAL_ACTIVATIONS, inputs);
    if (only_inputs) return count;
    if (d->bits != wish->bits) out[count++] = change(linear, DIAL_BITS, wish->bits);
    if (d->grid != wish->grid) out[count++] = change(linear, DIAL_GRID, wish->grid);
    const size_t group = d->granularity == GRANULARITY_GROUP ? d->group : 0;
    const bool coarser = wish->finer && d->granularity == GRANULARITY_TENSOR;
    return group == wish->group && !coarser ? count : count + group_changes(linear, wish->group, out + count);
}

int changes_of(const Case *c, const Rule *rule, int linear, VerdictChange *out) {
    switch (rule->mend) {
    case MEND_NOT: return 0;
    case MEND_MODEL: out[0] = change(-1, rule->dial, rule->value); return 1;
    case MEND_DIAL: out[0] = change(linear, rule->dial, rule->value); return 1;
    case MEND_IGNORE: out[0] = (VerdictChange){.linear = linear, .dial = -1}; return 1;
    case MEND_INPUTS:
        out[0] = change(linear, DIAL_ACTIVATIONS, takes_tokens(c, linear) ? POLICY_TOKEN : POLICY_NONE);
        return 1;
    case MEND_SET: return set_changes(c, rule, linear, out);
    case MEND_GROUP: break;
    }
    const Decision *d = &c->plan->decisions[linear];
    return group_changes(linear, portable_group(c->structure->linears[linear].in, d->group), out);
}

// ---- Applying ----

typedef struct Fixing {
    const ModelStructure *structure;
    const Measured *measured;
    const VerdictWish *wish;
    VerdictFix *fix;
    Plan *asked;            // NULL, or where the plan goes that was before the first remedy
    int *unit;              // [linear_count] (quant/units.h): what the engines store as one
    int rounds[RULE_COUNT]; // in which a rule was mended
    bool again;             // the rule at hand was mended before
    bool widens;            // what is set now is set for whole sets
    Error *err;
} Fixing;

static bool same_change(const VerdictChange *a, const VerdictChange *b) {
    return a->dial == b->dial && fabs(a->value - b->value) < 1e-9;
}

static bool overrides_set(const Recipe *recipe, int dial) {
    for (int i = 0; i < recipe->override_count; i++)
        if (recipe->overrides[i].set[dial]) return true;
    return false;
}

static bool apply_to(const Fixing *f, const VerdictChange *change, const char *match) {
    if (change->dial < 0) return recipe_ignore(&f->fix->recipe, match, f->err);
    return recipe_mend(&f->fix->recipe, match, (Dial)change->dial, change->value, f->err);
}

// The name with any numbers: "model.layers.*.mlp.down_proj".
static void any_numbers(const char *name, Text *out) {
    text_clear(out);
    while (*name) {
        const size_t digits = strspn(name, "0123456789"), rest = strcspn(name, ".");
        const bool number = digits && digits == rest;
        text_add(out, number ? "*" : name, number ? 1 : rest);
        name += rest;
        if (*name) text_add(out, name++, 1);
    }
}

// Whether a glob matches no quantized linear but those of a set.
static bool stays_within(const Fixing *f, const bool *set, const char *glob) {
    for (int i = 0; i < f->structure->linear_count; i++)
        if (!set[i] && f->fix->plan.decisions[i].quantized && glob_matches(glob, f->structure->linears[i].name))
            return false;
    return true;
}

// The settings of all linears anew, in few rules.
static bool assign(const Fixing *f, const VerdictChange *change, const bool *set) {
    Recipe *recipe = &f->fix->recipe;
    double *values = array_new((size_t)f->structure->linear_count, sizeof *values);
    for (int i = 0; values && i < f->structure->linear_count; i++) {
        const double kept = recipe_value(recipe, (Dial)change->dial, f->structure->linears[i].name);
        values[i] = set[i] ? change->value : f->fix->plan.decisions[i].quantized ? kept : NAN;
    }
    const bool ok = values ? recipe_assign(recipe, f->structure, (Dial)change->dial, values, f->err)
                           : error_memory(f->err, "the recipe");
    free(values);
    return ok;
}

// Whether many linears of a set would get a rule each, because their kinds have others. Short of memory: no.
static bool has_many_single(const Fixing *f, const bool *set) {
    const int linears = f->structure->linear_count;
    bool *left = array_new((size_t)linears, sizeof *left);
    Text glob = {0};
    int single = 0;
    if (left) memcpy(left, set, (size_t)linears * sizeof *left);
    for (int i = 0; left && i < linears && single <= SINGLE_MOST; i++) {
        if (!left[i]) continue;
        any_numbers(f->structure->linears[i].name, &glob);
        const bool within = !glob.failed && stays_within(f, set, glob.data);
        single += !within;
        for (int j = i; within && j < linears; j++)
            if (left[j] && glob_matches(glob.data, f->structure->linears[j].name)) left[j] = false;
    }
    free(left);
    text_free(&glob);
    return single > SINGLE_MOST;
}

// The same change of a set of linears. All of a kind are one rule: a model of many experts would get thousands.
static bool apply_to_set(const Fixing *f, const VerdictChange *change, bool *set) {
    const Linear *linears = f->structure->linears;
    Text glob = {0}, outside = {0}; // outside: the last glob that does not stay within the set
    bool ok = true;
    for (int i = 0; ok && i < f->structure->linear_count; i++) {
        if (!set[i]) continue;
        any_numbers(linears[i].name, &glob);
        ok = !glob.failed && !outside.failed ? true : error_memory(f->err, "the recipe");
        const bool known = ok && outside.data && strcmp(glob.data, outside.data) == 0;
        const bool within = ok && !known && stays_within(f, set, glob.data);
        if (ok) ok = apply_to(f, change, within ? glob.data : linears[i].name);
        for (int j = i; within && j < f->structure->linear_count; j++)
            if (glob_matches(glob.data, linears[j].name)) set[j] = false;
        if (ok && !within && !known) {
            text_clear(&outside);
            text_add(&outside, glob.data, glob.length);
        }
    }
    text_free(&glob);
    text_free(&outside);
    return ok;
}

// A change of everything that is quantized is one rule of the recipe. What has to be said again stands behind rules
// that were there before, and may have been overruled by a later one.
static bool apply_change(const Fixing *f, const VerdictChange *change, bool *set, int alike) {
    Recipe *recipe = &f->fix->recipe;
    const bool all = change->dial >= 0 && alike == f->fix->plan.quantized_count;
    if (change->linear >= 0 && change->dial >= 0 && (f->again || (!all && has_many_single(f, set))))
        return assign(f, change, set);
    if (change->linear >= 0 && (!all || overrides_set(recipe, change->dial)))
        return all ? apply_to(f, change, "*") : apply_to_set(f, change, set);
    recipe->value[change->dial] = change->value;
    return true;
}

// To all that the engines store as one with them; returns how many they are then. The first of a unit is looked at
// last: it stands for the others.
static int widen(const Fixing *f, bool *set) {
    int count = 0;
    for (int i = 0; i < f->structure->linear_count; i++)
        if (set[i]) set[units_first(f->unit, i)] = true;
    for (int i = f->structure->linear_count; i-- > 0;) {
        set[i] = f->fix->plan.decisions[i].quantized && set[units_first(f->unit, i)];
        count += set[i];
    }
    return count;
}

// The first change that is not done yet, and all like it.
static bool mend_alike(Fixing *f, const Finding *finding, int first, bool *done, bool *set) {
    const VerdictChange *change = &finding->changes[first];
    int alike = 0;
    for (int i = 0; i < f->structure->linear_count; i++) set[i] = false;
    for (int i = first; i < finding->change_count; i++) {
        const int linear = finding->changes[i].linear;
        if (done[i] || !same_change(change, &finding->changes[i])) continue;
        done[i] = true;
        alike++;
        if (linear >= 0) set[linear] = true;
    }
    if (f->widens) alike = widen(f, set);
    return apply_change(f, change, set, alike);
}

static bool mend(Fixing *f, const Finding *finding) {
    bool *done = array_new((size_t)finding->change_count, sizeof *done),
         *set = array_new((size_t)f->structure->linear_count, sizeof *set);
    bool ok = (done && set) || error_memory(f->err, "the changes");
    for (int i = 0; ok && i < finding->change_count; i++)
        if (!done[i]) ok = mend_alike(f, finding, i, done, set);
    free(done);
    free(set);
    return ok;
}

static int rule_of(const Finding *finding) {
    int rule = RULE_NONE + 1;
    while (verdict_rules[rule].name != finding->name) rule++;
    return rule;
}

// The worst finding that a change mends, and did not fail to. One at a time: the next may be gone with it. What comes
// up again was undone by the rule of a set, whose members did not all have it.
static const Finding *next_finding(Fixing *f) {
    const Verdict *verdict = &f->fix->verdict;
    for (int i = 0; i < verdict->finding_count; i++) {
        const Finding *finding = &verdict->findings[i];
        if (finding->severity < SEVERITY_MISREAD || !finding->change_count) continue;
        const int rule = rule_of(finding), round = f->rounds[rule]++;
        f->again = round > 0;
        f->widens = f->again && verdict_rules[rule].mend != MEND_SET;
        if (round < ROUNDS) return finding;
    }
    return NULL;
}

static bool plan_again(const Fixing *f) {
    VerdictFix *fix = f->fix;
    if (f->asked && !f->asked->decisions)
        *f->asked = fix->plan;
    else
        plan_free(&fix->plan);
    verdict_free(&fix->verdict);
    return plan_make(&fix->recipe, f->structure, f->measured, &fix->plan, f->err) &&
           verdict_make(f->structure, f->measured, &fix->plan, f->wish, &fix->verdict, f->err);
}

// A model as it was is no remedy.
bool verdict_leaves_something(const VerdictWish *wish, const Plan *plan, const Plan *asked, Error *err) {
    if (plan->quantized_count || !asked->decisions || !asked->quantized_count) return true;
    Text names = {0};
    targets_list(wish->targets & targets_of_format(wish->format), &names);
    error_set(err, "the remedies for %s leave nothing quantized in %s; write dense or another format",
              names.data ? names.data : "", export_format_names[wish->format]);
    text_free(&names);
    return false;
}

bool verdict_mend(const Recipe *recipe, const ModelStructure *structure, const Measured *measured,
                  const VerdictWish *wish, VerdictFix *out, Plan *asked, Error *err) {
    *out = (VerdictFix){0};
    Fixing f = {.structure = structure, .measured = measured, .wish = wish, .fix = out, .asked = asked, .err = err};
    f.unit = array_new((size_t)structure->linear_count, sizeof *f.unit);
    bool ok = f.unit || error_memory(err, "the changes");
    if (ok) units_alone(f.unit, structure->linear_count);
    ok = ok && verdict_join(structure, wish, f.unit, err) && recipe_copy(recipe, &out->recipe, err) && plan_again(&f);
    const Finding *finding;
    while (ok && (finding = next_finding(&f))) ok = mend(&f, finding) && plan_again(&f);
    free(f.unit);
    return ok;
}

bool verdict_fix(const Recipe *recipe, const ModelStructure *structure, const Measured *measured,
                 const VerdictWish *wish, VerdictFix *out, Error *err) {
    Plan asked = {0};
    const bool ok = verdict_mend(recipe, structure, measured, wish, out, &asked, err);
    text_add(&out->changes, "", 0);
    if (ok) out->change_count = recipe_new_settings(recipe, &out->recipe, structure, &out->changes);
    const bool left = ok && verdict_leaves_something(wish, &out->plan, &asked, err);
    plan_free(&asked);
    return left && (!out->changes.failed || error_memory(err, "the changes"));
}

void verdict_fix_free(VerdictFix *fix) {
    recipe_free(&fix->recipe);
    plan_free(&fix->plan);
    verdict_free(&fix->verdict);
    text_free(&fix->changes);
    *fix = (VerdictFix){0};
}
