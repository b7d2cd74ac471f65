#include "quant/carry.h"

#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "quant/recipe_set.h"

// What a recipe comes to, [linear_count] each.
typedef struct Said {
    double (*settings)[DIAL_COUNT];
    bool *left, *held;
} Said;

typedef struct Carrying {
    const LinearIndex *index;
    int linears;
    Said from, to, now; // now: by the recipe that is changed
    double *wanted;     // [linear_count], of one dial
    int *chosen;        // room for a list of linears
    Recipe *recipe;
    Error *err;
} Carrying;

static bool say(const Recipe *recipe, const NameTable *names, Said *out, Error *err) {
    const size_t n = (size_t)names->structure->linear_count;
    *out =
        (Said){array_new(n, sizeof *out->settings), array_new(n, sizeof *out->left), array_new(n, sizeof *out->held)};
    if (!out->settings || !out->left || !out->held) return error_memory(err, "a recipe");
    return recipe_settings(recipe, names, out->settings, err) && recipe_left_alone(recipe, names, out->left, err) &&
           recipe_held(recipe, names, out->held, err);
}

static void said_free(Said *said) {
    free(said->settings);
    free(said->left);
    free(said->held);
}

static bool differs(const double a, const double b) { return a < b || a > b; }

// Of one that was left alone the search chose nothing.
static bool was_changed(const Carrying *c, int dial, int linear) {
    return differs(c->from.settings[linear][dial], c->to.settings[linear][dial]) &&
           (!dial_is_of_scheme((Dial)dial) || c->from.held[linear] || c->to.held[linear] || c->from.left[linear]);
}

// Those of the list get what they are to have.
static bool put(Carrying *c, int count, int dial, double value) {
    LinearSet set;
    const bool ok = linear_set_new(c->index, c->chosen, count, &set, c->err) &&
                    recipe_override_set(c->recipe, &set, (Dial)dial, &value, c->err);
    linear_set_free(&set);
    return ok;
}

// One value after the other, until all linears that are quantized have what they are to have.
static bool settle(Carrying *c, int dial) {
    for (int first = 0; first < c->linears; first++) {
        int count = 0;
        for (int i = first; i < c->linears; i++) {
            if (c->now.left[i] || !differs(c->wanted[i], c->now.settings[i][dial])) continue;
            if (count && differs(c->wanted[i], c->wanted[c->chosen[0]])) continue;
            c->chosen[count++] = i;
        }
        if (!count) break;
        if (!put(c, count, dial, c->wanted[c->chosen[0]])) return false;
        for (int i = 0; i < count; i++) c->now.settings[c->chosen[i]][dial] = c->wanted[c->chosen[i]];
    }
    return true;
}

static bool carry_dial(Carrying *c, const Recipe *from, const Recipe *to, int dial) {
    const bool turned = differs(from->value[dial], to->value[dial]) && !dial_is_of_scheme((Dial)dial);
    bool any = turned;
    for (int i = 0; i < c->linears; i++) {
        const bool changed = was_changed(c, dial, i);
        c->wanted[i] = changed ? c->to.settings[i][dial] : c->now.settings[i][dial];
        any |= changed;
    }
    if (!any) return true;
    if (turned) c->recipe->value[dial] = to->value[dial];
    return recipe_settings(c->recipe, &c->index->table, c->now.settings, c->err) &&
           (!dial_table[dial].per_linear || settle(c, dial));
}

static bool carry_left(Carrying *c, bool left) {
    int count = 0;
    LinearSet set;
    for (int i = 0; i < c->linears; i++)
        if (c->from.left[i] != c->to.left[i] && c->to.left[i] == left && c->now.left[i] != left) c->chosen[count++] = i;
    if (!count) return true;
    const bool ok =
        linear_set_new(c->index, c->chosen, count, &set, c->err) && recipe_ignore_set(c->recipe, &set, left, c->err);
    linear_set_free(&set);
    return ok;
}

bool recipe_carry(const Recipe *from, const Recipe *to, const LinearIndex *index, Recipe *recipe, Error *err) {
    const NameTable *names = &index->table;
    const size_t n = (size_t)names->structure->linear_count;
    Carrying c = {.index = index, .linears = (int)n, .recipe = recipe, .err = err};
    if (recipe_equal(from, to)) return true;
    c.wanted = array_new(n, sizeof *c.wanted);
    c.chosen = array_new(n, sizeof *c.chosen);
    bool ok = ((c.wanted && c.chosen) || error_memory(err, "a recipe")) && say(from, names, &c.from, err) &&
              say(to, names, &c.to, err) && say(recipe, names, &c.now, err) && carry_left(&c, true) &&
              carry_left(&c, false) && recipe_left_alone(recipe, names, c.now.left, err);
    for (int dial = 0; ok && dial < DIAL_COUNT; dial++) ok = carry_dial(&c, from, to, dial);
    said_free(&c.from);
    said_free(&c.to);
    said_free(&c.now);
    free(c.wanted);
    free(c.chosen);
    return ok;
}
