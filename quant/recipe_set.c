#include "quant/recipe_set.h"

#include <stdlib.h>
#include <string.h>

#include "base/array.h"

bool linear_set_new(const LinearIndex *index, const int *linears, int count, LinearSet *out, Error *err) {
    *out = (LinearSet){.index = index, .in = array_new((size_t)index->table.structure->linear_count, sizeof *out->in)};
    if (!out->in) return error_memory(err, "the chosen linears");
    for (int i = 0; i < count; i++) out->in[linears[i]] = true;
    return linear_index_globs(index, out->in, &out->globs, err);
}

void linear_set_free(LinearSet *set) {
    free(set->in);
    globs_free(&set->globs);
    *set = (LinearSet){0};
}

// How a rule and a set of linears lie to one another.
typedef enum Overlap { APART, WITHIN, BEYOND } Overlap;

typedef struct Scratch {
    int *matched; // by the rule that was looked at last
    int count;
    bool *rest; // those of them that are not in the set
} Scratch;

static Overlap overlap(const LinearSet *set, const char *match, Scratch *s) {
    for (size_t i = 0; i < set->globs.count; i++) { // as while a dial is held
        if (strcmp(set->globs.texts[i], match) == 0) return WITHIN;
    }
    s->count = name_table_match(&set->index->table, match, s->matched);
    int inside = 0;
    for (int i = 0; i < s->count; i++) inside += set->in[s->matched[i]];
    return inside == 0 ? APART : inside == s->count ? WITHIN : BEYOND;
}

static bool globs_of_rest(const LinearSet *set, Scratch *s, Globs *out, Error *err) {
    for (int i = 0; i < s->count; i++) s->rest[s->matched[i]] = !set->in[s->matched[i]];
    const bool ok = linear_index_globs(set->index, s->rest, out, err);
    for (int i = 0; i < s->count; i++) s->rest[s->matched[i]] = false;
    return ok;
}

static bool scratch_new(const LinearIndex *index, Scratch *s) {
    const size_t total = (size_t)index->table.structure->linear_count;
    *s = (Scratch){.matched = array_new(total, sizeof *s->matched), .rest = array_new(total, sizeof *s->rest)};
    return s->matched && s->rest;
}

static void scratch_free(Scratch *s) {
    free(s->matched);
    free(s->rest);
}

// ---- overrides ----

// Rules that say of the rest what rule `at` says of a dial, in its place; returns how many, −1 when memory is short.
static int split(Recipe *recipe, int at, Dial dial, const Globs *rest, Error *err) {
    const int first = recipe->override_count;
    for (size_t i = 0; i < rest->count; i++) {
        Override *added = recipe_add_override(recipe, rest->texts[i], err);
        if (!added) return -1;
        added->tuned = recipe->overrides[at].tuned;
        added->set[dial] = true;
        added->value[dial] = recipe->overrides[at].value[dial];
    }
    const int added = recipe->override_count - first;
    Override *moved = array_new((size_t)added, sizeof *moved);
    if (!moved && added) return error_memory(err, "the recipe"), -1;
    if (added) {
        memcpy(moved, &recipe->overrides[first], (size_t)added * sizeof *moved);
        memmove(&recipe->overrides[at + 1 + added], &recipe->overrides[at + 1],
                (size_t)(first - at - 1) * sizeof *moved);
        memcpy(&recipe->overrides[at + 1], moved, (size_t)added * sizeof *moved);
    }
    free(moved);
    recipe->overrides[at].set[dial] = false;
    return added;
}

// beyond: also from rules that hold for others, too.
static bool take_dial(Recipe *recipe, const LinearSet *set, Dial dial, bool beyond, Error *err) {
    Scratch s;
    bool ok = scratch_new(set->index, &s) || error_memory(err, "the recipe");
    for (int i = 0; ok && i < recipe->override_count; i++) {
        if (!recipe->overrides[i].set[dial]) continue;
        const Overlap how = overlap(set, recipe->overrides[i].match, &s);
        if (how == WITHIN) recipe->overrides[i].set[dial] = false;
        if (how != BEYOND || !beyond) continue;
        Globs rest;
        int added = -1;
        if (globs_of_rest(set, &s, &rest, err)) added = split(recipe, i, dial, &rest, err);
        globs_free(&rest);
        ok = added >= 0;
        i += added;
    }
    scratch_free(&s);
    return ok;
}

bool recipe_override_set(Recipe *recipe, const LinearSet *set, Dial dial, const double *value, Error *err) {
    if (!dial_table[dial].per_linear) return error_set(err, "%s holds for the whole model", dial_table[dial].option);
    bool ok = take_dial(recipe, set, dial, !value, err);
    for (size_t i = 0; ok && value && i < set->globs.count; i++)
        ok = recipe_override(recipe, set->globs.texts[i], dial, value, err);
    recipe_drop_empty(recipe);
    return ok;
}

// ---- linears left alone ----

bool recipe_ignore_set(Recipe *recipe, const LinearSet *set, bool ignore, Error *err) {
    Scratch s;
    Globs rest = {0};
    bool ok = scratch_new(set->index, &s) || error_memory(err, "the recipe");
    for (int i = 0, count = recipe->ignore_count; ok && i < count; i++) {
        const Overlap how = overlap(set, recipe->ignore[i], &s);
        if (how == BEYOND && !ignore) {
            ok = globs_of_rest(set, &s, &rest, err);
            for (size_t j = 0; ok && j < rest.count; j++) ok = recipe_ignore(recipe, rest.texts[j], err);
            globs_free(&rest);
        }
        if (how == APART || (how == BEYOND && ignore)) continue;
        free(recipe->ignore[i]);
        recipe->ignore[i] = NULL;
    }
    int left = 0;
    for (int i = 0; i < recipe->ignore_count; i++) {
        if (recipe->ignore[i]) recipe->ignore[left++] = recipe->ignore[i];
    }
    recipe->ignore_count = left;
    for (size_t i = 0; ok && ignore && i < set->globs.count; i++) ok = recipe_ignore(recipe, set->globs.texts[i], err);
    scratch_free(&s);
    return ok;
}

// ---- what the rules come to ----

bool recipe_settings(const Recipe *recipe, const NameTable *names, double (*settings)[DIAL_COUNT], Error *err) {
    const size_t total = (size_t)names->structure->linear_count;
    int *matched = array_new(total, sizeof *matched);
    if (!matched) return error_memory(err, "the settings");
    for (size_t i = 0; i < total; i++) memcpy(settings[i], recipe->value, sizeof settings[i]);
    for (int o = 0; o < recipe->override_count; o++) {
        const Override *override = &recipe->overrides[o];
        const int count = name_table_match(names, override->match, matched);
        for (int dial = 0; dial < DIAL_COUNT; dial++) {
            for (int i = 0; override->set[dial] && i < count; i++) settings[matched[i]][dial] = override->value[dial];
        }
    }
    free(matched);
    return true;
}

bool recipe_held(const Recipe *recipe, const NameTable *names, bool *held, Error *err) {
    const size_t total = (size_t)names->structure->linear_count;
    int *matched = array_new(total, sizeof *matched);
    bool(*by_hand)[DIAL_COUNT] = array_new(total, sizeof *by_hand); // who said it last
    const bool ok = (matched && by_hand) || error_memory(err, "the settings");
    for (int o = 0; ok && o < recipe->override_count; o++) {
        const Override *override = &recipe->overrides[o];
        const int count = name_table_match(names, override->match, matched);
        for (int dial = 0; dial < DIAL_COUNT; dial++) {
            if (!override->set[dial] || !dial_is_of_scheme(dial)) continue;
            for (int i = 0; i < count; i++) by_hand[matched[i]][dial] = !override->tuned;
        }
    }
    for (size_t i = 0; ok && i < total; i++) {
        held[i] = false;
        for (int dial = 0; dial < DIAL_COUNT; dial++) held[i] |= by_hand[i][dial];
    }
    free(matched);
    free(by_hand);
    return ok;
}

bool recipe_overruled(const Recipe *recipe, const NameTable *names, bool *overruled, Error *err) {
    const size_t total = (size_t)names->structure->linear_count;
    int *matched = array_new(total, sizeof *matched);
    bool *alone = array_new(total, sizeof *alone);
    bool(*said)[DIAL_COUNT] = array_new(total, sizeof *said); // by a later one
    bool ok = (matched && alone && said) || error_memory(err, "the settings");
    ok = ok && recipe_left_alone(recipe, names, alone, err);
    for (int o = recipe->override_count - 1; ok && o >= 0; o--) {
        const Override *override = &recipe->overrides[o];
        const int count = name_table_match(names, override->match, matched);
        bool counts = false;
        for (int dial = 0; dial < DIAL_COUNT; dial++) {
            for (int i = 0; override->set[dial] && i < count; i++) {
                counts = counts || (!said[matched[i]][dial] && !alone[matched[i]]);
                said[matched[i]][dial] = true;
            }
        }
        overruled[o] = !counts;
    }
    free(matched);
    free(alone);
    free(said);
    return ok;
}

static bool sets_weights(const Override *override) {
    for (int i = 0; i < DIAL_COUNT; i++) {
        if (override->set[i] && dial_table[i].section && strcmp(dial_table[i].section, "weights") == 0) return true;
    }
    return false;
}

bool recipe_left_alone(const Recipe *recipe, const NameTable *names, bool *left, Error *err) {
    const ModelStructure *structure = names->structure;
    int *matched = array_new((size_t)structure->linear_count, sizeof *matched);
    if (!matched) return error_memory(err, "the settings");
    for (int i = 0; i < structure->linear_count; i++) left[i] = !structure->linears[i].quantizable;
    for (int o = 0; o < recipe->override_count; o++) {
        const char *match = recipe->overrides[o].match;
        const int count = sets_weights(&recipe->overrides[o]) ? name_table_match(names, match, matched) : 0;
        for (int i = 0; i < count; i++)
            if (strcmp(match, structure->linears[matched[i]].name) == 0) left[matched[i]] = false;
    }
    for (int r = 0; r < recipe->ignore_count; r++) {
        const int count = name_table_match(names, recipe->ignore[r], matched);
        for (int i = 0; i < count; i++) left[matched[i]] = true;
    }
    free(matched);
    return true;
}
