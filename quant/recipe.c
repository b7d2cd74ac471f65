#include "quant/recipe.h"

#include <stdlib.h>
#include <string.h>

// Room for one more element behind `count` of them; a recipe holds few, so it grows by one.
static bool grow_by_one(void *pointer, int count, size_t size) {
    void *old;
    memcpy(&old, pointer, sizeof old);
    void *grown = reallocarray(old, (size_t)count + 1, size);
    if (!grown) return false;
    memcpy(pointer, &grown, sizeof grown);
    return true;
}

bool recipe_ignore(Recipe *recipe, const char *match, Error *err) {
    char *copy = strdup(match);
    if (!copy || !grow_by_one(&recipe->ignore, recipe->ignore_count, sizeof *recipe->ignore)) {
        free(copy);
        return error_memory(err, "the recipe");
    }
    recipe->ignore[recipe->ignore_count++] = copy;
    return true;
}

Override *recipe_add_override(Recipe *recipe, const char *match, Error *err) {
    char *copy = strdup(match);
    if (!copy || !grow_by_one(&recipe->overrides, recipe->override_count, sizeof *recipe->overrides)) {
        free(copy);
        error_memory(err, "the recipe");
        return NULL;
    }
    Override *override = &recipe->overrides[recipe->override_count++];
    *override = (Override){.match = copy};
    return override;
}

bool recipe_default(Recipe *out, Error *err) {
    *out = (Recipe){0};
    for (int i = 0; i < DIAL_COUNT; i++) out->value[i] = dial_table[i].default_value;
    return recipe_ignore(out, RECIPE_DEFAULT_IGNORE, err);
}

bool recipe_copy(const Recipe *recipe, Recipe *out, Error *err) {
    *out = (Recipe){0};
    memcpy(out->value, recipe->value, sizeof out->value);
    bool ok = true;
    for (int i = 0; i < recipe->ignore_count && ok; i++) ok = recipe_ignore(out, recipe->ignore[i], err);
    for (int i = 0; i < recipe->override_count && ok; i++) {
        const Override *from = &recipe->overrides[i];
        Override *to = recipe_add_override(out, from->match, err);
        if (!to) {
            ok = false;
            break;
        }
        memcpy(to->set, from->set, sizeof to->set);
        memcpy(to->value, from->value, sizeof to->value);
        to->tuned = from->tuned;
    }
    if (!ok) recipe_free(out);
    return ok;
}

void recipe_free(Recipe *recipe) {
    for (int i = 0; i < recipe->ignore_count; i++) free(recipe->ignore[i]);
    for (int i = 0; i < recipe->override_count; i++) free(recipe->overrides[i].match);
    free(recipe->ignore);
    free(recipe->overrides);
    *recipe = (Recipe){0};
}

static bool overrides_equal(const Override *a, const Override *b) {
    if (strcmp(a->match, b->match) != 0 || a->tuned != b->tuned) return false;
    for (int i = 0; i < DIAL_COUNT; i++) {
        if (a->set[i] != b->set[i] || (a->set[i] && a->value[i] != b->value[i])) return false;
    }
    return true;
}

bool recipe_equal(const Recipe *a, const Recipe *b) {
    if (a->ignore_count != b->ignore_count || a->override_count != b->override_count) return false;
    for (int i = 0; i < DIAL_COUNT; i++) {
        if (a->value[i] != b->value[i]) return false;
    }
    for (int i = 0; i < a->ignore_count; i++) {
        if (strcmp(a->ignore[i], b->ignore[i]) != 0) return false;
    }
    for (int i = 0; i < a->override_count; i++) {
        if (!overrides_equal(&a->overrides[i], &b->overrides[i])) return false;
    }
    return true;
}

double recipe_value(const Recipe *recipe, Dial dial, const char *linear_name) {
    for (int i = recipe->override_count - 1; i >= 0; i--) {
        const Override *override = &recipe->overrides[i];
        if (override->set[dial] && glob_matches(override->match, linear_name)) return override->value[dial];
    }
    return recipe->value[dial];
}

bool recipe_ignores(const Recipe *recipe, const char *linear_name) {
    for (int i = 0; i < recipe->ignore_count; i++) {
        if (glob_matches(recipe->ignore[i], linear_name)) return true;
    }
    return false;
}

static int find_override(const Recipe *recipe, const char *match, bool tuned) {
    for (int i = recipe->override_count - 1; i >= 0; i--) {
        if (recipe->overrides[i].tuned == tuned && strcmp(recipe->overrides[i].match, match) == 0) return i;
    }
    return -1;
}

static bool sets_nothing(const Override *override) {
    for (int i = 0; i < DIAL_COUNT; i++) {
        if (override->set[i]) return false;
    }
    return true;
}

void recipe_drop_empty(Recipe *recipe) {
    int kept = 0;
    for (int i = 0; i < recipe->override_count; i++) {
        if (sets_nothing(&recipe->overrides[i]))
            free(recipe->overrides[i].match);
        else
            recipe->overrides[kept++] = recipe->overrides[i];
    }
    recipe->override_count = kept;
}

static bool set_again_later(const Recipe *recipe, int index, Dial dial) {
    for (int i = index + 1; i < recipe->override_count; i++) {
        if (recipe->overrides[i].set[dial]) return true;
    }
    return false;
}

void recipe_set_everywhere(Recipe *recipe, Dial dial, double value) {
    recipe->value[dial] = value;
    for (int i = 0; i < recipe->override_count; i++)
        if (recipe->overrides[i].set[dial]) recipe->overrides[i].value[dial] = value;
}

void recipe_set_scheme(Recipe *recipe, int bits, size_t group) {
    recipe_set_everywhere(recipe, DIAL_BITS, bits);
    recipe_set_everywhere(recipe, DIAL_GRANULARITY, group ? GRANULARITY_GROUP : GRANULARITY_CHANNEL);
    recipe_set_everywhere(recipe, DIAL_GROUP_SIZE, group ? (double)group : dial_table[DIAL_GROUP_SIZE].default_value);
}

static void clear(Recipe *recipe, const char *match, Dial dial) {
    for (int i = 0; i < recipe->override_count; i++)
        if (strcmp(recipe->overrides[i].match, match) == 0) recipe->overrides[i].set[dial] = false;
}

static bool set_one(Recipe *recipe, const char *match, Dial dial, double value, bool tuned, Error *err) {
    if (!dial_table[dial].per_linear) return error_set(err, "%s holds for the whole model", dial_table[dial].option);
    const int index = find_override(recipe, match, tuned);
    const bool overruled = index >= 0 && set_again_later(recipe, index, dial);
    Override *override = index >= 0 && !overruled ? &recipe->overrides[index] : recipe_add_override(recipe, match, err);
    if (!override) return false;
    clear(recipe, match, dial);
    override->tuned = tuned;
    override->set[dial] = true;
    override->value[dial] = value;
    return true;
}

bool recipe_override(Recipe *recipe, const char *match, Dial dial, const double *value, Error *err) {
    if (value && !set_one(recipe, match, dial, *value, false, err)) return false;
    if (!value) clear(recipe, match, dial);
    recipe_drop_empty(recipe);
    return true;
}

bool recipe_mend(Recipe *recipe, const char *match, Dial dial, double value, Error *err) {
    if (!set_one(recipe, match, dial, value, true, err)) return false;
    recipe_drop_empty(recipe);
    return true;
}

static bool policy_needs_ranges(double policy) {
    return policy != POLICY_NONE && policy != POLICY_TOKEN && policy != POLICY_CHANNEL;
}

// Whether a dial has such a value for some linear that may be quantized.
static bool some_value(const Recipe *recipe, Dial dial, bool (*is)(double value)) {
    for (int i = 0; i < recipe->ignore_count; i++) {
        if (strcmp(recipe->ignore[i], "*") == 0) return false; // nothing is quantized
    }
    bool any = is(recipe->value[dial]);
    for (int i = 0; i < recipe->override_count && !any; i++)
        any = recipe->overrides[i].set[dial] && is(recipe->overrides[i].value[dial]);
    return any;
}

static bool is_adaptive(double granularity) { return granularity == GRANULARITY_ADAPTIVE; }
static bool is_smooth(double policy) { return policy == POLICY_SMOOTHQUANT; }

bool recipe_needs_ranges(const Recipe *recipe) { return some_value(recipe, DIAL_ACTIVATIONS, policy_needs_ranges); }

bool recipe_needs_weights(const Recipe *recipe) {
    return some_value(recipe, DIAL_GRANULARITY, is_adaptive) || some_value(recipe, DIAL_ACTIVATIONS, is_smooth);
}
