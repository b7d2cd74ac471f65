#include "tui/pin.h"

#include <stdlib.h>
#include <string.h>

#include "base/array.h"

void pin_free(Pin *pin) {
    recipe_free(&pin->recipe);
    free(pin->by_position);
    free(pin->output_sqnr_db);
    *pin = (Pin){0};
}

static void pin_clear(Pin *pin, Changes *changes, Rows *rows) {
    pin_free(pin);
    changes_pin(changes, rows, NULL);
}

void pin_remove(Pin *pin, Pin *kept, Changes *changes, Rows *rows) {
    pin_free(kept);
    *kept = *pin;
    *pin = (Pin){0};
    changes_pin(changes, rows, NULL);
}

// Ranges make another model of the same recipe: the present one is compared with what the pin would be by the same
// ranges.
static bool plan_again(Pin *pin, Changes *changes, Rows *rows, Error *err) {
    const Workbench *w = rows->workbench;
    Plan plan;
    if (!workbench_plan_of(w, &pin->recipe, &plan, &pin->model, err)) return false;
    pin->plans = workbench_plans(w);
    pin->plan = plan_hash(&plan);
    pin->bytes = (double)plan.bytes;
    pin->bits_per_weight = plan.bits_per_weight;
    pin->here = pin->plan == plan_hash(workbench_plan(w));
    changes_pin(changes, rows, &plan);
    plan_free(&plan);
    return true;
}

bool pin_set(Pin *pin, Changes *changes, Rows *rows, Recipe *recipe, uint64_t measured, Error *err) {
    pin_clear(pin, changes, rows);
    *pin = (Pin){.set = true, .recipe = *recipe, .measured = measured};
    *recipe = (Recipe){0};
    if (plan_again(pin, changes, rows, err)) return true;
    pin_clear(pin, changes, rows);
    return false;
}

bool pin_bring_back(Pin *pin, Pin *kept, Changes *changes, Rows *rows, Error *err) {
    pin_free(pin);
    *pin = *kept;
    *kept = (Pin){0};
    if (plan_again(pin, changes, rows, err)) return true;
    pin_clear(pin, changes, rows);
    return false;
}

bool pin_is_known(const Pin *pin) { return pin->accuracy_known; }
bool pin_is_settled(const Pin *pin) { return pin->measured == pin->model; }
bool pin_is_timed(const Pin *pin) { return pin->speed_known && pin->measured == pin->model; }

const Recipe *pin_to_score(const Pin *pin) {
    const bool asks = !pin_is_known(pin) || !pin_is_settled(pin) || pin->trial;
    return pin->set && !pin->here && asks ? &pin->recipe : NULL;
}

static void forget_figures(Pin *pin) {
    free(pin->by_position);
    pin->by_position = NULL;
    pin->positions = 0;
    pin->accuracy_known = pin->speed_known = false;
    pin->measured = pin->model;
}

static void take_positions(Pin *pin, const TrialFigures *known) {
    const size_t count = POSITION_FIGURES * known->positions;
    if (pin->by_position || !known->by_position || !(pin->by_position = array_new(count, sizeof *pin->by_position)))
        return;
    memcpy(pin->by_position, known->by_position, count * sizeof *pin->by_position);
    pin->positions = known->positions;
}

// Whenever its state was measured: before it was pinned, while it is the present one, or in an earlier session. A copy,
// since rows can be forgotten.
static void take_figures(Pin *pin, const TrialFigures *known) {
    if (pin->measured != pin->model) forget_figures(pin);
    pin->accuracy = known->accuracy;
    pin->accuracy_known = known->accuracy.tokens > 0;
    take_positions(pin, known);
    if (!known->timed || known->timed_earlier) return;
    pin->speed = known->speed.ratio;
    pin->base_speed = known->speed.first.median;
    pin->speed_known = true;
}

// As long as it is the present one.
static void take_part(Pin *pin, const Workbench *w) {
    const Effect *effect = workbench_effect(w);
    const bool of_it = pin->here && effect->accuracy_known && effect->accuracy_turn == workbench_turn(w);
    if (of_it && !effect->accuracy_finished) pin->part = effect->accuracy;
}

// Each time: errors are measured again as calibration goes on.
static void take_errors(Pin *pin, const Workbench *w) {
    const Effect *effect = workbench_effect(w);
    const size_t linears = (size_t)workbench_structure(w)->linear_count;
    if (!pin->here || !effect->output_sqnr_db || effect->sqnr_turn != workbench_turn(w)) return;
    if (!pin->output_sqnr_db) pin->output_sqnr_db = array_new(linears, sizeof *pin->output_sqnr_db);
    if (pin->output_sqnr_db) memcpy(pin->output_sqnr_db, effect->output_sqnr_db, linears * sizeof *pin->output_sqnr_db);
}

void pin_follow(Pin *pin, Changes *changes, Rows *rows) {
    const Workbench *w = rows->workbench;
    if (!pin->set) return;
    if (pin->plans != workbench_plans(w)) plan_again(pin, changes, rows, NULL);
    const TrialRow *row = trials_row_for(workbench_trials(w), &pin->recipe, pin->model);
    const TrialFigures *known = trials_of_model(workbench_trials(w), pin->model);
    pin->trial = row ? row->number : 0;
    if (known) take_figures(pin, known);
    take_part(pin, w);
    take_errors(pin, w);
}
