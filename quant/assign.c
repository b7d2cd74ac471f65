#include "quant/assign.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"

#define PATTERN_ROOM 256

// A linear whose value matters, with the name of its role in all layers.
typedef struct Place {
    int linear, layer;
    double value;
    char role[PATTERN_ROOM]; // "model.layers.*.mlp.experts.*.down_proj"; without a * it is only this linear
} Place;

typedef struct Assignment {
    Recipe *recipe;
    const ModelStructure *structure;
    Dial dial;
    const double *values;
    Place *places;
    int count;
    Error *err;
} Assignment;

// ---- names --------------------------------------------------------------------------------------------------------

// Numbers between dots become *. False where the first of them is not the layer, or there is none.
static bool starred(const char *name, int layer, char *out, size_t size) {
    bool any = false;
    size_t used = 0;
    if (strlen(name) >= size || strpbrk(name, "*?[")) return false;
    for (const char *part = name; *part;) {
        const size_t length = strcspn(part, ".");
        const bool number = length && strspn(part, "0123456789") == length;
        if (number && !any && strtol(part, NULL, 10) != layer) return false;
        any = any || number;
        memcpy(out + used, number ? "*" : part, number ? 1 : length);
        used += number ? 1 : length;
        part += length;
        if (*part == '.') out[used++] = *part++;
    }
    out[used] = '\0';
    return any;
}

static Place place_of(const Linear *linear, int index, double value) {
    Place place = {.linear = index, .layer = linear->layer, .value = value};
    if (linear->layer < 0 || !starred(linear->name, linear->layer, place.role, sizeof place.role))
        snprintf(place.role, sizeof place.role, "%s", "");
    return place;
}

static int by_role(const void *a, const void *b) {
    const Place *x = a, *y = b;
    const int role = strcmp(x->role, y->role);
    return role ? role : x->layer != y->layer ? x->layer - y->layer : x->linear - y->linear;
}

// ---- values -------------------------------------------------------------------------------------------------------

static int by_number(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

// The most common value, of equally common ones `kept` or else the smallest.
static bool most_common(const Place *places, int count, double kept, double *out, Error *err) {
    double *sorted = array_new((size_t)count, sizeof *sorted);
    if (!sorted) return error_memory(err, "the recipe");
    for (int i = 0; i < count; i++) sorted[i] = places[i].value;
    qsort(sorted, (size_t)count, sizeof *sorted, by_number);
    int best = 0;
    for (int i = 0, from = 0; i < count; i++) {
        if (sorted[i] != sorted[from]) from = i;
        const int seen = i - from + 1;
        if (seen < best || (seen == best && sorted[i] != kept)) continue;
        best = seen;
        *out = sorted[i];
    }
    free(sorted);
    return true;
}

static bool all_have(const Place *places, int count, double value) {
    for (int i = 0; i < count; i++) {
        if (places[i].value != value) return false;
    }
    return true;
}

// At the end: what stands before it stays in its order.
static bool set(Assignment *a, const char *match, double value) {
    Override *override = recipe_add_override(a->recipe, match, a->err);
    if (!override) return false;
    override->tuned = true;
    override->set[a->dial] = true;
    override->value[a->dial] = value;
    return true;
}

// ---- what was there -----------------------------------------------------------------------------------------------

// The linear that is quantized only because this override names it, −1.
static int named_by(const Assignment *a, const Override *override) {
    for (int i = 0; i < a->structure->linear_count; i++) {
        const Linear *linear = &a->structure->linears[i];
        if (!linear->quantizable && strcmp(linear->name, override->match) == 0) return i;
    }
    return -1;
}

// Whether a person's rule holds on: its linears are to have what they have.
static bool holds_on(const Assignment *a, const Override *override, const double *present) {
    for (int i = 0; !override->tuned && i < a->count; i++) {
        const Place *place = &a->places[i];
        if (place->value != present[place->linear] &&
            glob_matches(override->match, a->structure->linears[place->linear].name))
            return false;
    }
    return !override->tuned;
}

static bool clear_earlier(Assignment *a) {
    double *present = array_new((size_t)a->structure->linear_count, sizeof *present);
    if (!present) return error_memory(a->err, "the recipe");
    for (int i = 0; i < a->structure->linear_count; i++)
        present[i] = recipe_value(a->recipe, a->dial, a->structure->linears[i].name);
    for (int i = 0; i < a->recipe->override_count; i++) {
        Override *override = &a->recipe->overrides[i];
        if (!override->set[a->dial] || holds_on(a, override, present)) continue;
        const int named = named_by(a, override);
        if (named < 0)
            override->set[a->dial] = false;
        else if (!isnan(a->values[named]))
            override->value[a->dial] = a->values[named];
        override->tuned = override->tuned || named >= 0;
    }
    free(present);
    recipe_drop_empty(a->recipe);
    return true;
}

static bool is_held(const Assignment *a, const Place *place) {
    const char *name = a->structure->linears[place->linear].name;
    for (int i = 0; i < a->recipe->override_count; i++) {
        const Override *override = &a->recipe->overrides[i];
        if (!override->tuned && override->set[a->dial] && glob_matches(override->match, name))
            return recipe_value(a->recipe, a->dial, name) == place->value;
    }
    return false;
}

// Puts the places that rules are needed for first, and returns how many.
static int put_held_last(Assignment *a) {
    int free_count = 0;
    for (int i = 0; i < a->count; i++) {
        if (is_held(a, &a->places[i])) continue;
        const Place moved = a->places[i];
        a->places[i] = a->places[free_count];
        a->places[free_count++] = moved;
    }
    return free_count;
}

// New rules, which stand at the end from `first` on, go before those of people, which so win. They set this dial alone,
// so that others do not mind.
static bool put_before_held(Assignment *a, int first) {
    Recipe *recipe = a->recipe;
    const size_t added = (size_t)(recipe->override_count - first);
    int at = 0;
    while (at < first && (recipe->overrides[at].tuned || !recipe->overrides[at].set[a->dial])) at++;
    Override *moved = array_new(added, sizeof *moved);
    if (!moved && added) return error_memory(a->err, "the recipe");
    if (added) {
        memcpy(moved, &recipe->overrides[first], added * sizeof *moved);
        memmove(&recipe->overrides[at + (int)added], &recipe->overrides[at], (size_t)(first - at) * sizeof *moved);
        memcpy(&recipe->overrides[at], moved, added * sizeof *moved);
    }
    free(moved);
    return true;
}

// ---- rules --------------------------------------------------------------------------------------------------------

// "[2-7]", "[135]", or the digit itself.
static void digits_glob(const bool *digits, char *out, size_t size) {
    size_t used = 0;
    int count = 0;
    for (int d = 0; d < 10; d++) count += digits[d];
    if (count > 1) used += (size_t)snprintf(out, size, "[");
    for (int d = 0; d < 10; d++) {
        if (!digits[d]) continue;
        int last = d;
        while (last + 1 < 10 && digits[last + 1]) last++;
        if (last - d >= 2)
            used += (size_t)snprintf(out + used, size - used, "%d-%d", d, last);
        else
            for (int i = d; i <= last; i++) used += (size_t)snprintf(out + used, size - used, "%d", i);
        d = last;
    }
    if (count > 1) snprintf(out + used, size - used, "]");
}

// One rule for layers of the same tens, in the place of the first * of the role.
static bool set_layers(Assignment *a, const char *role, int tens, const bool *digits, double value) {
    char digit[32], tens_text[16] = "", match[PATTERN_ROOM + 64];
    const char *star = strchr(role, '*');
    digits_glob(digits, digit, sizeof digit);
    if (tens) snprintf(tens_text, sizeof tens_text, "%d", tens);
    snprintf(match, sizeof match, "%.*s%s%s%s", (int)(star - role), role, tens_text, digit, star + 1);
    return set(a, match, value);
}

// Places of one layer, which stand together: where they end, and whether they share a value.
static int layer_end(const Place *places, int from, int count) {
    int end = from + 1;
    while (end < count && places[end].layer == places[from].layer) end++;
    return end;
}

static bool set_singly(Assignment *a, const Place *places, int count, double usual) {
    for (int i = 0; i < count; i++) {
        const char *name = a->structure->linears[places[i].linear].name;
        if (places[i].value != usual && !set(a, name, places[i].value)) return false;
    }
    return true;
}

// The places of one role that are not as its rule says, in the order of layers. Where places of a layer differ, they
// are named one by one.
static bool set_exceptions(Assignment *a, const Place *places, int count, double usual) {
    bool done[10] = {false}; // last digits that were written with the tens at hand
    int tens = -1;
    for (int from = 0, to; from < count; from = to) {
        const double value = places[from].value;
        to = layer_end(places, from, count);
        if (places[from].layer / 10 != tens) memset(done, 0, sizeof done);
        tens = places[from].layer / 10;
        if (!all_have(places + from, to - from, value)) {
            if (!set_singly(a, places + from, to - from, usual)) return false;
            continue;
        }
        if (value == usual || done[places[from].layer % 10]) continue;
        bool digits[10] = {false};
        for (int i = from, end; i < count && places[i].layer / 10 == tens; i = end) {
            end = layer_end(places, i, count);
            if (all_have(places + i, end - i, value)) digits[places[i].layer % 10] = done[places[i].layer % 10] = true;
        }
        if (!set_layers(a, places[from].role, tens, digits, value)) return false;
    }
    return true;
}

static bool assign_roles(Assignment *a) {
    const double usual = a->recipe->value[a->dial];
    for (int from = 0, to; from < a->count; from = to) {
        for (to = from + 1; to < a->count && strcmp(a->places[to].role, a->places[from].role) == 0;) to++;
        if (!*a->places[from].role) {
            if (!set_singly(a, a->places + from, to - from, usual)) return false;
            continue;
        }
        double common;
        if (!most_common(a->places + from, to - from, usual, &common, a->err)) return false;
        if (common != usual && !set(a, a->places[from].role, common)) return false;
        if (!set_exceptions(a, a->places + from, to - from, common)) return false;
    }
    return true;
}

// A glob may hold for more than it was written for.
static bool mend(Assignment *a) {
    for (int i = 0; i < a->count; i++) {
        const Place *place = &a->places[i];
        const char *name = a->structure->linears[place->linear].name;
        if (recipe_value(a->recipe, a->dial, name) != place->value && !set(a, name, place->value)) return false;
    }
    return true;
}

bool recipe_assign(Recipe *recipe, const ModelStructure *structure, Dial dial, const double *values, Error *err) {
    Assignment a = {recipe, structure, dial, values, NULL, 0, err};
    a.places = array_new((size_t)structure->linear_count, sizeof *a.places);
    if (!a.places) return error_memory(err, "the recipe");
    for (int i = 0; i < structure->linear_count; i++) {
        if (!isnan(values[i])) a.places[a.count++] = place_of(&structure->linears[i], i, values[i]);
    }
    bool ok = clear_earlier(&a);
    const int kept = recipe->override_count, all = a.count;
    if (ok) a.count = put_held_last(&a);
    qsort(a.places, (size_t)a.count, sizeof *a.places, by_role);
    if (ok && a.count) ok = most_common(a.places, a.count, recipe->value[dial], &recipe->value[dial], err);
    ok = ok && assign_roles(&a) && put_before_held(&a, kept);
    a.count = all;
    ok = ok && mend(&a);
    free(a.places);
    return ok;
}
