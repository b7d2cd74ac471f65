#include "analysis/remedies.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

// What a remedy sets.
typedef struct Setting {
    Dial dial;
    double value;
} Setting;

typedef struct Change {
    Setting settings[2];
    int count;
} Change;

static void put(Change *change, Dial dial, double value) { change->settings[change->count++] = (Setting){dial, value}; }

// ---- What there is to change ----

// The next smaller size that the dials know; 0: none.
static size_t smaller_group(size_t group) {
    const DialInfo *info = &dial_table[DIAL_GROUP_SIZE];
    size_t found = 0;
    for (int i = 0; i < info->choice_count; i++) {
        if ((size_t)info->choices[i] < group) found = (size_t)info->choices[i];
    }
    return found;
}

// Where adaptive chooses, its floor stays.
static void change_group(const Recipe *recipe, const char *name, const Decision *d, Remedy *remedy, Change *change) {
    const Granularity granularity = (Granularity)recipe_value(recipe, DIAL_GRANULARITY, name);
    const double usual = dial_table[DIAL_GROUP_SIZE].default_value;
    size_t size = smaller_group(d->group);
    if (granularity < GRANULARITY_GROUP && (double)size > usual) size = (size_t)usual;
    if (!size || (granularity == GRANULARITY_ADAPTIVE && (double)size < recipe_value(recipe, DIAL_MIN_GROUP, name)))
        return;
    if (granularity < GRANULARITY_GROUP) put(change, DIAL_GRANULARITY, GRANULARITY_GROUP);
    put(change, granularity == GRANULARITY_ADAPTIVE ? DIAL_MAX_GROUP : DIAL_GROUP_SIZE, (double)size);
    snprintf(remedy->text, sizeof remedy->text,
             granularity == GRANULARITY_ADAPTIVE ? "max group %zu" : "group size %zu", size);
}

static void change_bits(const Decision *d, Remedy *remedy, Change *change) {
    const double more = dial_turn(DIAL_BITS, d->bits, 1, false);
    if (more <= d->bits) return;
    put(change, DIAL_BITS, more);
    snprintf(remedy->text, sizeof remedy->text, "%g bits", more);
}

static void change_policy(ActivationPolicy policy, const char *text, Remedy *remedy, Change *change) {
    put(change, DIAL_ACTIVATIONS, policy);
    snprintf(remedy->text, sizeof remedy->text, "%s", text);
}

// No settings: there is nothing to change.
static Change change_of(const Recipe *recipe, const Linear *linear, const Decision *d, Remedy *remedy) {
    Change change = {0};
    const bool rounded = d->activations != POLICY_NONE;
    switch (remedy->kind) {
    case REMEDY_TOKEN:
        if (rounded && d->activations != POLICY_TOKEN) change_policy(POLICY_TOKEN, "policy token", remedy, &change);
        break;
    case REMEDY_SMOOTH:
        if (!rounded || d->smooth) break;
        change_policy(POLICY_SMOOTHQUANT, "policy smoothquant", remedy, &change);
        if (linear->fold != FOLD_LINEAR_ROWS || recipe_value(recipe, DIAL_FOLD, linear->name) == FOLDS_ALL) break;
        put(&change, DIAL_FOLD, FOLDS_ALL);
        snprintf(remedy->text, sizeof remedy->text, "policy smoothquant, fold all");
        break;
    case REMEDY_GROUP: change_group(recipe, linear->name, d, remedy, &change); break;
    case REMEDY_BITS: change_bits(d, remedy, &change); break;
    case REMEDY_INPUT:
        if (rounded) change_policy(POLICY_NONE, "policy none", remedy, &change);
        break;
    case REMEDY_COUNT: break;
    }
    return change;
}

// ---- Trying it ----

static bool is_of_input(RemedyKind kind) {
    return kind == REMEDY_TOKEN || kind == REMEDY_SMOOTH || kind == REMEDY_INPUT;
}

static bool apply(const ModelStructure *structure, int linear, RemedyKind kind, const Change *change, Recipe *recipe,
                  Error *err) {
    for (int i = 0; i < structure->linear_count; i++) {
        const Linear *l = &structure->linears[i];
        if (i != linear && !(is_of_input(kind) && l->input == structure->linears[linear].input)) continue;
        for (int s = 0; s < change->count; s++) {
            if (!recipe_override(recipe, l->name, change->settings[s].dial, &change->settings[s].value, err))
                return false;
        }
    }
    return true;
}

// A recipe may not get what it asks for: smoothquant where factors cannot be folded, bits that the grid has not.
static bool was_made(RemedyKind kind, const Decision *before, const Decision *d) {
    if (!d->quantized || decision_equal(before, d)) return false;
    if (kind == REMEDY_SMOOTH) return d->smooth && d->fold != FOLD_NONE;
    return (kind != REMEDY_BITS || d->bits > before->bits) && (kind != REMEDY_GROUP || d->group < before->group);
}

bool remedy_is_free(const Remedy *remedy) { return remedy->bytes <= 0; }

double remedy_noise_taken(const Remedy *remedy) { return 1 - pow(10, -remedy->gain / 10); }

// Free ones, then the one that gives up products of integers, then those that take room.
static int cost_rank(const Remedy *remedy) {
    if (!remedy_is_free(remedy)) return 2;
    return remedy->kind == REMEDY_INPUT;
}

// Divergence goes with noise, so that this is the order of what the model gains for a byte, also where nobody knows yet
// how much that is.
static bool goes_before(const Remedy *a, const Remedy *b) {
    const int rank = cost_rank(a);
    if (rank != cost_rank(b)) return rank < cost_rank(b);
    return rank == 2 ? remedy_noise_taken(a) / a->bytes > remedy_noise_taken(b) / b->bytes : a->gain > b->gain;
}

static void insert(Remedies *remedies, const Remedy *remedy) {
    int at = remedies->count++;
    for (; at > 0 && goes_before(remedy, &remedies->list[at - 1]); at--) remedies->list[at] = remedies->list[at - 1];
    remedies->list[at] = *remedy;
}

static void name_dials(const Change *change, Remedy *remedy) {
    for (int s = 0; s < change->count; s++) {
        char value[32];
        const size_t used = strlen(remedy->dials);
        dial_format(change->settings[s].dial, change->settings[s].value, value, sizeof value);
        snprintf(remedy->dials + used, sizeof remedy->dials - used, "%s%s=%s", s ? " " : "",
                 dial_table[change->settings[s].dial].option, value);
    }
}

// What helps, and more than what costs nothing does where it gives up products of integers, which is tried last.
static bool is_worth_telling(const Remedies *remedies, const Remedy *remedy) {
    const bool given_up = remedy->kind == REMEDY_INPUT && remedies->count && remedy_is_free(&remedies->list[0]);
    return remedy->gain >= REMEDY_GAIN_LEAST + (given_up ? remedies->list[0].gain : 0);
}

static bool measure(const ModelStructure *structure, const ModelStats *stats, const Plan *changed, const Plan *plan,
                    int linear, Remedy *remedy, Remedies *remedies, Error *err) {
    const Decision *before = &plan->decisions[linear], *after = &changed->decisions[linear];
    Why why;
    if (!was_made(remedy->kind, before, after)) return true;
    if (!why_errors(structure, stats, changed, linear, &why, err)) return false;
    remedy->db = why_db(&why);
    remedy->gain = remedy->db - remedies->db;
    remedy->bits_per_weight = after->bits_per_weight - before->bits_per_weight;
    remedy->bytes = (double)changed->bytes - (double)plan->bytes;
    if (is_worth_telling(remedies, remedy)) insert(remedies, remedy);
    return true;
}

bool remedies_try(const ModelStructure *structure, const ModelStats *stats, const Recipe *recipe, const Plan *plan,
                  int linear, RemedyKind kind, Remedies *remedies, Error *err) {
    Remedy remedy = {.kind = kind};
    const Change change = change_of(recipe, &structure->linears[linear], &plan->decisions[linear], &remedy);
    Recipe changed;
    Plan made = {0};
    if (!change.count) return true;
    name_dials(&change, &remedy);
    if (!recipe_copy(recipe, &changed, err)) return false;
    const bool ok = apply(structure, linear, kind, &change, &changed, err) &&
                    plan_make(&changed, structure, &stats->measured, &made, err) &&
                    measure(structure, stats, &made, plan, linear, &remedy, remedies, err);
    plan_free(&made);
    recipe_free(&changed);
    return ok;
}

bool remedies_find(const ModelStructure *structure, const ModelStats *stats, const Recipe *recipe, const Plan *plan,
                   int linear, const Why *why, Remedies *out, Error *err) {
    *out = (Remedies){.db = why_db(why)};
    for (int kind = 0; out->db < REMEDY_ENOUGH && kind < REMEDY_COUNT; kind++) {
        if (!remedies_try(structure, stats, recipe, plan, linear, (RemedyKind)kind, out, err)) return false;
    }
    return out->known = true;
}

void remedies_text(const Remedies *remedies, char *out, size_t size) {
    if (remedies->db >= REMEDY_ENOUGH)
        snprintf(out, size, "nothing needed: %.1f dB", remedies->db);
    else
        snprintf(out, size, remedies->count ? "mends it:" : "no dial helps here");
    for (int i = 0; i < remedies->count; i++) {
        const size_t used = strlen(out);
        const Remedy *remedy = &remedies->list[i];
        snprintf(out + used, size - used, "%s %s %.1f dB%s", i ? " or" : "", remedy->text, remedy->db,
                 remedy_is_free(remedy) ? " (same size)" : "");
    }
}
