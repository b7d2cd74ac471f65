#include "analysis/sweep.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/number.h"

// ---- Lists of values ----

static bool add_value(SweepDial *dial, size_t *capacity, const char *text, Error *err) {
    double value;
    if (!dial_parse(dial->dial, text, &value, err)) return false;
    for (int i = 0; i < dial->count; i++) {
        if (dial->values[i] == value) return error_set(err, "the value %s is listed twice", text);
    }
    if (dial->count == SWEEP_POINTS) return error_set(err, "more than %d values", SWEEP_POINTS);
    if (!array_grow(&dial->values, (size_t)dial->count, capacity, sizeof *dial->values))
        return error_memory(err, "a sweep");
    dial->values[dial->count++] = value;
    return true;
}

// from : to : step. Ten digits of each value, so that 0.1 + 2 · 0.1 is 0.3.
static bool add_range(SweepDial *dial, size_t *capacity, char *text, Error *err) {
    char *middle = strchr(text, ':'), *last = strchr(middle + 1, ':'), shown[NUMBER_ROOM];
    double from, to, step;
    if (!last) return error_set(err, "a range is from:to:step, not \"%.40s\"", text);
    *middle++ = '\0';
    *last++ = '\0';
    if (!number_parse(text, &from) || !number_parse(middle, &to) || !number_parse(last, &step))
        return error_set(err, "a range is from:to:step, each a number");
    double steps = floor((to - from) / step + 1e-9);
    if (!(step != 0 && steps >= 0 && steps < SWEEP_POINTS))
        return error_set(err, "a step of %s does not lead from %s to %s, or only in more than %d values", last, text,
                         middle, SWEEP_POINTS);
    for (int i = 0; i <= (int)steps; i++) {
        snprintf(shown, sizeof shown, "%.10g", from + i * step);
        if (!add_value(dial, capacity, shown, err)) return false;
    }
    return true;
}

static bool add_values(SweepDial *dial, char *list, Error *err) {
    size_t capacity = 0;
    for (char *item = list, *next; item; item = next) {
        next = strchr(item, ',');
        if (next) *next++ = '\0';
        bool ok = strchr(item, ':') ? add_range(dial, &capacity, item, err) : add_value(dial, &capacity, item, err);
        if (!ok) return false;
    }
    return true;
}

bool sweep_dial_parse(const char *text, SweepDial *out, Error *err) {
    *out = (SweepDial){0};
    const char *equals = strchr(text, '=');
    char option[40], *list = equals ? strdup(equals + 1) : NULL;
    if (!equals) return error_set(err, "a sweep is DIAL=VALUE,VALUE,… or DIAL=from:to:step, not \"%.40s\"", text);
    if (!list) return error_memory(err, "a sweep");
    snprintf(option, sizeof option, "%.*s", (int)(equals - text), text);
    int dial = dial_find(option);
    out->dial = (Dial)dial;
    bool ok = dial >= 0 ? add_values(out, list, err) : error_set(err, "there is no dial \"%s\"", option);
    free(list);
    if (ok) return true;
    sweep_dial_free(out);
    return false;
}

void sweep_dial_free(SweepDial *dial) {
    free(dial->values);
    *dial = (SweepDial){0};
}

// ---- Whether it makes a difference ----

static bool may_be_turned(const Recipe *recipe, const SweepDial *dials, int dial_count, Dial dial) {
    bool turned = false;
    for (int d = 0; d < dial_count; d++) turned = turned || dials[d].dial == dial;
    for (int i = 0; i < recipe->override_count; i++) turned = turned || recipe->overrides[i].set[dial];
    return turned;
}

bool sweep_matters(const Recipe *recipe, const SweepDial *dials, int dial_count, Error *err) {
    for (int d = 0; d < dial_count; d++) {
        const Dial dial = dials[d].dial;
        const int by = dial_idle_by(dial, recipe->value);
        if (by < 0 || may_be_turned(recipe, dials, dial_count, (Dial)by)) continue;
        char value[40];
        dial_format((Dial)by, recipe->value[by], value, sizeof value);
        const bool bounds = dial == DIAL_GROUP_SIZE && recipe->value[DIAL_GRANULARITY] == GRANULARITY_ADAPTIVE;
        if (bounds)
            return error_set(err, "%s is not used while %s is %s; sweep %s or %s", dial_table[dial].label,
                             dial_table[by].label, value, dial_table[DIAL_MIN_GROUP].option,
                             dial_table[DIAL_MAX_GROUP].option);
        return error_set(err, "%s is not used while %s is %s; turn %s first", dial_table[dial].label,
                         dial_table[by].label, value, dial_table[by].option);
    }
    return true;
}

// ---- Combinations ----

double sweep_value(const Sweep *sweep, int point, int dial) {
    for (int d = sweep->dial_count - 1; d > dial; d--) point /= sweep->dials[d].count;
    return sweep->dials[dial].values[point % sweep->dials[dial].count];
}

void sweep_value_text(const Sweep *sweep, int point, int dial, char *out, size_t size) {
    dial_format(sweep->dials[dial].dial, sweep_value(sweep, point, dial), out, size);
}

const char *sweep_option(const Sweep *sweep, int dial) { return dial_table[sweep->dials[dial].dial].option; }

static bool make_recipes(const Recipe *recipe, Sweep *sweep, Error *err) {
    sweep->recipes = array_new((size_t)sweep->count, sizeof *sweep->recipes);
    sweep->points = array_new((size_t)sweep->count, sizeof *sweep->points);
    if (!sweep->recipes || !sweep->points) return error_memory(err, "a sweep");
    for (int i = 0; i < sweep->count; i++) {
        if (!recipe_copy(recipe, &sweep->recipes[i], err)) return false;
        for (int d = 0; d < sweep->dial_count; d++)
            sweep->recipes[i].value[sweep->dials[d].dial] = sweep_value(sweep, i, d);
    }
    return true;
}

bool sweep_new(const Recipe *recipe, SweepDial *dials, int dial_count, Sweep *out, Error *err) {
    *out = (Sweep){.dial_count = dial_count, .count = 1};
    for (int d = 0; d < dial_count; d++) {
        out->dials[d] = dials[d];
        dials[d] = (SweepDial){0};
        out->count *= out->dials[d].count;
    }
    if (dial_count == 2 && out->dials[0].dial == out->dials[1].dial)
        return error_set(err, "the dial %s is swept twice; give all its values at once",
                         dial_table[out->dials[0].dial].option);
    if (out->count > SWEEP_POINTS)
        return error_set(err, "%d points are more than the %d that are allowed", out->count, SWEEP_POINTS);
    return make_recipes(recipe, out, err);
}

void sweep_free(Sweep *sweep) {
    for (int i = 0; sweep->recipes && i < sweep->count; i++) recipe_free(&sweep->recipes[i]);
    for (int d = 0; d < sweep->dial_count; d++) sweep_dial_free(&sweep->dials[d]);
    free(sweep->recipes);
    free(sweep->points);
    *sweep = (Sweep){0};
}
